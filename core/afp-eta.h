/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

/*
 * How long a run will still take, from how long its tensors took so far. Models have few sizes of tensors, each many times: those
 * to come take as long as the last ones of their size did. Sizes that have not been seen follow a curve through those that have: it rises with the
 * size, steeply at first (a fit to a sample of a tensor costs the same from some size on), and then in proportion.
 */
typedef struct _AfpEta AfpEta;
AfpEta *afp_eta_new (void);
void afp_eta_free (AfpEta *eta);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpEta, afp_eta_free)
/* A tensor of @size weights is to come; it no longer is, for it is there already. */
void afp_eta_expect (AfpEta *eta, guint64 size);
void afp_eta_forget (AfpEta *eta, guint64 size);
/* One that was to come is done, and took so long. */
void afp_eta_note (AfpEta *eta, guint64 size, double seconds);
/* Seconds for those to come; negative: nothing is known yet. */
double afp_eta_get_left (const AfpEta *eta);

#pragma GCC visibility pop

G_END_DECLS
