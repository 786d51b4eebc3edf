/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "afp-budget.h"

static AfpTicket *
take (AfpBudget *budget, guint64 kept, guint64 working)
{
  g_autoptr (GError) error = NULL;
  AfpTicket *ticket = afp_budget_take (budget, kept, working, &error);

  ck_assert_msg (ticket != NULL, "%s", error ? error->message : "?");
  return ticket;
}

/* Of all working parts only the largest counts. */
START_TEST (test_sums)
{
  g_autoptr (AfpBudget) budget = afp_budget_new (1000, 100);

  ck_assert_uint_eq (afp_budget_get_charged (budget), 100);
  AfpTicket *a = take (budget, 200, 300);
  ck_assert_uint_eq (afp_budget_get_charged (budget), 600);
  AfpTicket *b = take (budget, 50, 10);
  ck_assert_uint_eq (afp_budget_get_charged (budget), 650);
  AfpTicket *c = take (budget, 100, 500);
  ck_assert_uint_eq (afp_budget_get_charged (budget), 950);
  afp_ticket_unref (c);
  ck_assert_uint_eq (afp_budget_get_charged (budget), 650);
  afp_ticket_unref (a);
  afp_ticket_unref (b);
  ck_assert_uint_eq (afp_budget_get_charged (budget), 100);
  ck_assert_uint_eq (afp_budget_get_peak (budget), 950);
}
END_TEST

START_TEST (test_shrink)
{
  g_autoptr (AfpBudget) budget = afp_budget_new (1000, 0);
  g_autoptr (AfpTicket) ticket = take (budget, 200, 300);

  afp_ticket_shrink (ticket, 150);
  ck_assert_uint_eq (afp_budget_get_charged (budget), 150);
  afp_ticket_shrink (ticket, 900); /* does not grow */
  ck_assert_uint_eq (afp_budget_get_charged (budget), 150);
  ck_assert_uint_eq (afp_budget_get_peak (budget), 500);
}
END_TEST

START_TEST (test_references)
{
  g_autoptr (AfpBudget) budget = afp_budget_new (1000, 0);
  AfpTicket *ticket = take (budget, 200, 0);

  afp_ticket_ref (ticket);
  afp_ticket_unref (ticket);
  ck_assert_uint_eq (afp_budget_get_charged (budget), 200);
  afp_ticket_unref (ticket);
  ck_assert_uint_eq (afp_budget_get_charged (budget), 0);
}
END_TEST

/* For good, as long as the largest tensor still fits. */
START_TEST (test_keep)
{
  g_autoptr (AfpBudget) budget = afp_budget_new (1000, 100);
  AfpTicket *ticket = take (budget, 300, 0);

  ck_assert (afp_budget_keep (budget, 200, 700));
  ck_assert_uint_eq (afp_budget_get_charged (budget), 600);
  ck_assert_uint_eq (afp_budget_get_room (budget), 700);
  ck_assert (!afp_budget_keep (budget, 1, 700));
  ck_assert (!afp_budget_keep (budget, G_MAXUINT64, 1));
  ck_assert (!afp_budget_keep (budget, 1, G_MAXUINT64));
  ck_assert_uint_eq (afp_budget_get_charged (budget), 600);
  afp_ticket_unref (ticket);
  ck_assert_uint_eq (afp_budget_get_charged (budget), 300);
  ck_assert_uint_eq (afp_budget_get_peak (budget), 600);
}
END_TEST

static void
count_up (gpointer data)
{
  ++*(guint *) data;
}

START_TEST (test_notify)
{
  g_autoptr (AfpBudget) budget = afp_budget_new (1000, 0);
  AfpTicket *ticket = take (budget, 1, 0);
  guint n = 0;

  afp_ticket_set_notify (ticket, count_up, &n);
  afp_ticket_ref (ticket);
  afp_ticket_unref (ticket);
  ck_assert_uint_eq (n, 0);
  afp_ticket_unref (ticket);
  ck_assert_uint_eq (n, 1);
}
END_TEST

/* --- what does not fit --- */

/* Nothing could be given back: it passes, and nobody waits for ever. */
START_TEST (test_too_large_passes_alone)
{
  g_autoptr (AfpBudget) budget = afp_budget_new (10, 100);
  AfpTicket *ticket = take (budget, G_MAXUINT64, G_MAXUINT64);

  ck_assert_uint_eq (afp_budget_get_charged (budget), G_MAXUINT64);
  afp_ticket_unref (ticket);
  ticket = take (budget, 11, 0);
  afp_ticket_unref (ticket);
}
END_TEST

typedef struct {
  AfpBudget *budget;
  guint64 kept;
  gint taken; /* atomic */
  GError *error;
} Taker;

static gpointer
run_taker (gpointer data)
{
  Taker *taker = data;
  AfpTicket *ticket = afp_budget_take (taker->budget, taker->kept, 0, &taker->error);

  g_atomic_int_set (&taker->taken, ticket != NULL);
  return ticket;
}

START_TEST (test_waits_until_it_fits)
{
  g_autoptr (AfpBudget) budget = afp_budget_new (1000, 0);
  AfpTicket *a = take (budget, 600, 0), *b = take (budget, 400, 0);
  Taker taker = { budget, 500, 0, NULL };
  GThread *thread = g_thread_new ("take", run_taker, &taker);

  g_usleep (2000);
  ck_assert (!g_atomic_int_get (&taker.taken));
  afp_ticket_unref (b); /* not enough */
  g_usleep (2000);
  ck_assert (!g_atomic_int_get (&taker.taken));
  afp_ticket_shrink (a, 500);
  AfpTicket *c = g_thread_join (thread);
  ck_assert_ptr_nonnull (c);
  ck_assert_uint_eq (afp_budget_get_peak (budget), 1000);
  afp_ticket_unref (a);
  afp_ticket_unref (c);
}
END_TEST

/* A small one that would fit does not overtake a large one. */
START_TEST (test_first_come_first_served)
{
  g_autoptr (AfpBudget) budget = afp_budget_new (1000, 0);
  AfpTicket *a = take (budget, 600, 0);
  Taker large = { budget, 900, 0, NULL }, small = { budget, 100, 0, NULL };
  GThread *first = g_thread_new ("large", run_taker, &large), *second;

  g_usleep (20000);
  second = g_thread_new ("small", run_taker, &small);
  g_usleep (20000);
  ck_assert (!g_atomic_int_get (&small.taken));
  afp_ticket_unref (a);
  AfpTicket *b = g_thread_join (first), *c = g_thread_join (second);
  ck_assert_uint_eq (afp_budget_get_charged (budget), 1000);
  afp_ticket_unref (b);
  afp_ticket_unref (c);
}
END_TEST

static gpointer
come_and_go (gpointer data)
{
  AfpBudget *budget = data;
  guint64 most = 0;

  for (guint i = 0; i < 300; i++) {
    AfpTicket *ticket = take (budget, 1 + i % 400, i % 300);
    most = MAX (most, afp_budget_get_charged (budget));
    if (i % 3 == 0)
      afp_ticket_shrink (ticket, i % 100);
    afp_ticket_unref (ticket);
  }
  return GUINT_TO_POINTER (most);
}

START_TEST (test_many_threads)
{
  g_autoptr (AfpBudget) budget = afp_budget_new (1000, 50);
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("come and go", come_and_go, budget);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    ck_assert_uint_le (GPOINTER_TO_UINT (g_thread_join (threads[i])), 1000);
  ck_assert_uint_le (afp_budget_get_peak (budget), 1000);
  ck_assert_uint_eq (afp_budget_get_charged (budget), 50);
}
END_TEST

START_TEST (test_abort_wakes)
{
  g_autoptr (AfpBudget) budget = afp_budget_new (1000, 0);
  AfpTicket *ticket = take (budget, 1000, 0);
  Taker taker = { budget, 500, 0, NULL };
  GThread *thread = g_thread_new ("take", run_taker, &taker);

  g_usleep (2000);
  afp_budget_abort (budget);
  ck_assert_ptr_null (g_thread_join (thread));
  assert_error (taker.error, AFP_ERROR_CANCELLED, "stopped");
  afp_ticket_unref (ticket);
}
END_TEST

START_TEST (test_abort_is_for_good)
{
  g_autoptr (AfpBudget) budget = afp_budget_new (1000, 0);
  GError *error = NULL;

  afp_budget_abort (budget);
  afp_budget_abort (budget);
  ck_assert_ptr_null (afp_budget_take (budget, 1, 1, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "stopped");
  ck_assert_ptr_null (afp_budget_take (budget, 1, 1, NULL));
  ck_assert_uint_eq (afp_budget_get_charged (budget), 0);
  afp_budget_free (NULL);
}
END_TEST

static TCase *
make_charges (void)
{
  TCase *tcase = tcase_create ("charges");
  tcase_add_test (tcase, test_sums);
  tcase_add_test (tcase, test_shrink);
  tcase_add_test (tcase, test_references);
  tcase_add_test (tcase, test_keep);
  tcase_add_test (tcase, test_notify);
  tcase_add_test (tcase, test_many_threads);
  return tcase;
}

static TCase *
make_waiting (void)
{
  TCase *tcase = tcase_create ("waiting");
  tcase_add_test (tcase, test_too_large_passes_alone);
  tcase_add_test (tcase, test_waits_until_it_fits);
  tcase_add_test (tcase, test_first_come_first_served);
  tcase_add_test (tcase, test_abort_wakes);
  tcase_add_test (tcase, test_abort_is_for_good);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_charges, make_waiting };
  return run_suite ("budget", cases, G_N_ELEMENTS (cases));
}
