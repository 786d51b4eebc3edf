/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* Strings of bytes with numbers 0 to n - 1, found by number and by bytes. */
typedef struct _AfpVocabulary AfpVocabulary;

#define AFP_VOCABULARY_NONE G_MAXUINT32
#define AFP_VOCABULARY_MAX (1u << 24)

/* All strings are empty, and none is found. */
AfpVocabulary *afp_vocabulary_new (guint n);
void afp_vocabulary_free (AfpVocabulary *vocabulary);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpVocabulary, afp_vocabulary_free)

guint afp_vocabulary_get_size (const AfpVocabulary *vocabulary);
void afp_vocabulary_set (AfpVocabulary *vocabulary, guint32 id, const char *bytes, gsize n);
/* From now on afp_vocabulary_find() knows the string of @id. FALSE: another one of the same bytes is known already, and stays. */
gboolean afp_vocabulary_enter (AfpVocabulary *vocabulary, guint32 id);
/* The bytes stay until the next afp_vocabulary_set(). (transfer none) */
const char *afp_vocabulary_get (const AfpVocabulary *vocabulary, guint32 id, gsize *n);
guint32 afp_vocabulary_find (const AfpVocabulary *vocabulary, const char *bytes, gsize n);
