/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-budget.h"

#include "afp-error.h"

struct _AfpTicket {
  gatomicrefcount ref_count;
  AfpBudget *budget;
  guint64 kept, working; /* under the budget's lock */
  GDestroyNotify notify;
  gpointer user_data;
};

struct _AfpBudget {
  GMutex lock;  /* of all fields below */
  GCond change; /* something was given back, or it is another one's turn */
  guint64 bytes, base;
  GQueue tickets; /* that are out */
  guint64 peak;
  guint64 next, turn; /* numbers of those who wait: first come, first served */
  gboolean aborted;
};

AfpBudget *
afp_budget_new (guint64 bytes, guint64 base)
{
  AfpBudget *budget = g_new0 (AfpBudget, 1);

  budget->bytes = bytes;
  budget->base = budget->peak = base;
  g_queue_init (&budget->tickets);
  g_mutex_init (&budget->lock);
  g_cond_init (&budget->change);
  return budget;
}

void
afp_budget_free (AfpBudget *budget)
{
  if (!budget)
    return;
  g_warn_if_fail (budget->tickets.length == 0);
  g_queue_clear (&budget->tickets);
  g_cond_clear (&budget->change);
  g_mutex_clear (&budget->lock);
  g_free (budget);
}

static guint64
add (guint64 a, guint64 b)
{
  return a > G_MAXUINT64 - b ? G_MAXUINT64 : a + b;
}

/* With one more ticket of these parts. The lock is held. */
static guint64
count (AfpBudget *budget, guint64 kept, guint64 working)
{
  guint64 sum = add (budget->base, kept);

  for (GList *l = budget->tickets.head; l; l = l->next) {
    const AfpTicket *ticket = l->data;

    sum = add (sum, ticket->kept);
    working = MAX (working, ticket->working);
  }
  return add (sum, working);
}

static gboolean
may_pass (AfpBudget *budget, guint64 number, guint64 kept, guint64 working)
{
  if (budget->aborted)
    return TRUE;
  return number == budget->turn &&
         (budget->tickets.length == 0 || count (budget, kept, working) <= budget->bytes);
}

AfpTicket *
afp_budget_take (AfpBudget *budget, guint64 kept, guint64 working, GError **error)
{
  AfpTicket *ticket = NULL;

  g_mutex_lock (&budget->lock);
  const guint64 number = budget->next++;
  while (!may_pass (budget, number, kept, working))
    g_cond_wait (&budget->change, &budget->lock);
  if (!budget->aborted) {
    ticket = g_new0 (AfpTicket, 1);
    g_atomic_ref_count_init (&ticket->ref_count);
    ticket->budget = budget;
    ticket->kept = kept;
    ticket->working = working;
    budget->peak = MAX (budget->peak, count (budget, kept, working));
    g_queue_push_tail (&budget->tickets, ticket);
    budget->turn++;
    g_cond_broadcast (&budget->change);
  }
  g_mutex_unlock (&budget->lock);
  if (!ticket)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_CANCELLED, "stopped");
  return ticket;
}

gboolean
afp_budget_keep (AfpBudget *budget, guint64 bytes, guint64 least)
{
  g_mutex_lock (&budget->lock);
  const guint64 base = add (budget->base, bytes);
  const gboolean fits = add (base, least) <= budget->bytes;

  if (fits) {
    budget->base = base;
    budget->peak = MAX (budget->peak, count (budget, 0, 0));
  }
  g_mutex_unlock (&budget->lock);
  return fits;
}

guint64
afp_budget_get_room (AfpBudget *budget)
{
  g_mutex_lock (&budget->lock);
  const guint64 room = budget->bytes > budget->base ? budget->bytes - budget->base : 0;
  g_mutex_unlock (&budget->lock);
  return room;
}

void
afp_budget_abort (AfpBudget *budget)
{
  g_mutex_lock (&budget->lock);
  budget->aborted = TRUE;
  g_cond_broadcast (&budget->change);
  g_mutex_unlock (&budget->lock);
}

guint64
afp_budget_get_charged (AfpBudget *budget)
{
  g_mutex_lock (&budget->lock);
  const guint64 bytes = count (budget, 0, 0);
  g_mutex_unlock (&budget->lock);
  return bytes;
}

guint64
afp_budget_get_peak (AfpBudget *budget)
{
  g_mutex_lock (&budget->lock);
  const guint64 bytes = budget->peak;
  g_mutex_unlock (&budget->lock);
  return bytes;
}

AfpTicket *
afp_ticket_ref (AfpTicket *ticket)
{
  g_atomic_ref_count_inc (&ticket->ref_count);
  return ticket;
}

void
afp_ticket_unref (AfpTicket *ticket)
{
  AfpBudget *budget = ticket->budget;

  if (!g_atomic_ref_count_dec (&ticket->ref_count))
    return;
  if (ticket->notify)
    ticket->notify (ticket->user_data);
  g_mutex_lock (&budget->lock);
  g_queue_remove (&budget->tickets, ticket);
  g_cond_broadcast (&budget->change);
  g_mutex_unlock (&budget->lock);
  g_free (ticket);
}

void
afp_ticket_set_notify (AfpTicket *ticket, GDestroyNotify notify, gpointer user_data)
{
  ticket->notify = notify;
  ticket->user_data = user_data;
}

void
afp_ticket_shrink (AfpTicket *ticket, guint64 kept)
{
  AfpBudget *budget = ticket->budget;

  g_mutex_lock (&budget->lock);
  ticket->kept = MIN (ticket->kept, kept);
  ticket->working = 0;
  g_cond_broadcast (&budget->change);
  g_mutex_unlock (&budget->lock);
}
