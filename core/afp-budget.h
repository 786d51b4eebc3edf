/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

G_BEGIN_DECLS

/*
 * AfpBudget (internal): the bytes that a run may take. The loader takes a ticket for each tensor before it reads it, and waits until it
 * fits; the ticket goes with the tensor through the queues and is given back when every part of the run is done with it.
 *
 * A ticket has two parts: what the tensor keeps (its array, the planes made of it) and what the stages work with while they have it. They
 * have one tensor at a time, so that of all working parts only the largest is charged. Who waits holds nothing, and where no ticket
 * is out any tensor passes: nothing can wait for ever. (The plan has refused what does not fit alone.)
 */
typedef struct _AfpBudget AfpBudget;
typedef struct _AfpTicket AfpTicket;

/* @base: of @bytes, what the process takes without any tensor */
AFP_API AfpBudget *afp_budget_new (guint64 bytes, guint64 base);
AFP_API void afp_budget_free (AfpBudget *budget); /* no ticket may be out */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpBudget, afp_budget_free)

/* Waits until it fits, in the order of the calls. NULL with AFP_ERROR_CANCELLED after afp_budget_abort(). */
AFP_API AfpTicket *
afp_budget_take (AfpBudget *budget, guint64 kept, guint64 working, GError **error);
/* Charges @bytes for good if what is left holds a tensor that takes @least; else FALSE, and nothing is charged. */
AFP_API gboolean afp_budget_keep (AfpBudget *budget, guint64 bytes, guint64 least);
AFP_API guint64 afp_budget_get_room (AfpBudget *budget);    /* for all tensors together */
AFP_API void afp_budget_abort (AfpBudget *budget);          /* wakes everybody, for good */
AFP_API guint64 afp_budget_get_charged (AfpBudget *budget); /* now, the base among it */
AFP_API guint64 afp_budget_get_peak (AfpBudget *budget);    /* the most that was charged */

AFP_API AfpTicket *afp_ticket_ref (AfpTicket *ticket);
AFP_API void afp_ticket_unref (AfpTicket *ticket); /* the last one gives it back */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpTicket, afp_ticket_unref)
/* What is to be done when it is given back; once. */
AFP_API void afp_ticket_set_notify (AfpTicket *ticket, GDestroyNotify notify, gpointer user_data);
/* The stages are done with the tensor: only @kept is left of it, at most what it was. */
AFP_API void afp_ticket_shrink (AfpTicket *ticket, guint64 kept);

G_END_DECLS

#pragma GCC visibility pop
