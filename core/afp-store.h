/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

G_BEGIN_DECLS

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

/*
 * AfpStore: results that are kept for later in a folder, found by a key that tells all that they depend on. Any number of processes use
 * one folder at once. Nothing here fails: an entry that is damaged is no entry, and what cannot be written is not there the next time.
 * Thread-safe.
 */
typedef struct _AfpStore AfpStore;

#define AFP_STORE_KEY 64     /* hex digits of a key */
#define AFP_STORE_HEADER 128 /* bytes of an entry's file before its contents */

/* @limit: bytes that all entries may take together; beyond it those go that were not used for longest */
AfpStore *afp_store_new (const char *folder, guint64 limit);
void afp_store_free (AfpStore *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpStore, afp_store_free)
/* (transfer full) (nullable): in a mapped file, aligned to 64 bytes */
GBytes *afp_store_get (AfpStore *self, const char *key);
/* May so many bytes stand in it? */
gboolean afp_store_has_room (AfpStore *self, guint64 bytes);
/* @pieces: (element-type GBytes): the contents, one after another */
void afp_store_put (AfpStore *self, const char *key, GPtrArray *pieces);
/* (transfer full) (nullable): why the store is of no use for writing any more: told once */
char *afp_store_take_problem (AfpStore *self);

#pragma GCC visibility pop

G_END_DECLS
