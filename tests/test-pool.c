/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include <stdatomic.h>

typedef struct {
  AfpPool *pool;
  _Atomic guint calls[1000];
  _Atomic guint total;
  gsize fail_from, cancel_at, step;
  GCancellable *cancellable;
  GThread *caller;
  _Atomic gboolean foreign;
} Loop;

static gboolean
count (gsize index, gpointer user_data, GError **error)
{
  Loop *loop = user_data;

  atomic_fetch_add (&loop->calls[index], 1);
  atomic_fetch_add (&loop->total, 1);
  if (loop->caller && g_thread_self () != loop->caller)
    loop->foreign = TRUE;
  if (loop->cancellable && index == loop->cancel_at)
    g_cancellable_cancel (loop->cancellable);
  if (index >= loop->fail_from && (index - loop->fail_from) % MAX (loop->step, 1) == 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC, "index %u failed", (guint) index);
    return FALSE;
  }
  return TRUE;
}

static Loop *
loop_new (AfpPool *pool)
{
  Loop *loop = g_new0 (Loop, 1);

  loop->pool = pool;
  loop->fail_from = G_MAXSIZE;
  return loop;
}

START_TEST (test_every_index_once)
{
  g_autoptr (AfpPool) pool = afp_pool_new ((guint) _i);
  g_autofree Loop *loop = loop_new (pool);
  g_autoptr (GError) error = NULL;

  ck_assert_uint_eq (afp_pool_get_n_threads (pool), (guint) _i);
  for (guint round = 1; round <= 20; round++) {
    ck_assert (afp_parallel_for (pool, 1000, count, loop, &error));
    for (guint i = 0; i < 1000; i++)
      ck_assert_uint_eq (loop->calls[i], round);
  }
}
END_TEST

START_TEST (test_no_pool_is_inline)
{
  g_autofree Loop *loop = loop_new (NULL);
  g_autoptr (GError) error = NULL;

  loop->caller = g_thread_self ();
  ck_assert (afp_parallel_for (NULL, 100, count, loop, &error));
  ck_assert_uint_eq (loop->total, 100);
  ck_assert (!loop->foreign);
}
END_TEST

START_TEST (test_one_thread_makes_none)
{
  g_autoptr (AfpPool) pool = afp_pool_new (1);
  g_autofree Loop *loop = loop_new (pool);

  loop->caller = g_thread_self ();
  ck_assert (afp_parallel_for (pool, 100, count, loop, NULL));
  ck_assert (!loop->foreign);
}
END_TEST

START_TEST (test_default_is_processors)
{
  g_autoptr (AfpPool) pool = afp_pool_new (0);

  ck_assert_uint_eq (afp_pool_get_n_threads (pool), g_get_num_processors ());
}
END_TEST

START_TEST (test_nothing_to_do)
{
  g_autoptr (AfpPool) pool = afp_pool_new (2);
  g_autofree Loop *loop = loop_new (pool);

  ck_assert (afp_parallel_for (pool, 0, count, loop, NULL));
  ck_assert_uint_eq (loop->total, 0);
}
END_TEST

static gboolean
nest (gsize index, gpointer user_data, GError **error)
{
  Loop *outer = user_data;
  g_autofree Loop *inner = loop_new (outer->pool);

  inner->caller = g_thread_self ();
  if (!afp_parallel_for (outer->pool, 50, count, inner, error))
    return FALSE;
  outer->foreign = outer->foreign || inner->foreign;
  atomic_fetch_add (&outer->total, inner->total);
  return TRUE;
}

START_TEST (test_nested_is_inline)
{
  g_autoptr (AfpPool) pool = afp_pool_new (3);
  g_autofree Loop *loop = loop_new (pool);

  ck_assert (afp_parallel_for (pool, 40, nest, loop, NULL));
  ck_assert_uint_eq (loop->total, 40 * 50);
  ck_assert (!loop->foreign);
}
END_TEST

static gpointer
ask (gpointer data)
{
  Loop *loop = data;

  for (guint i = 0; i < 50; i++)
    if (!afp_parallel_for (loop->pool, 100, count, loop, NULL))
      return NULL;
  return loop;
}

START_TEST (test_two_callers)
{
  g_autoptr (AfpPool) pool = afp_pool_new (2);
  g_autofree Loop *a = loop_new (pool), *b = loop_new (pool);
  GThread *thread = g_thread_new ("other", ask, b);

  ck_assert_ptr_eq (ask (a), a);
  ck_assert_ptr_eq (g_thread_join (thread), b);
  ck_assert_uint_eq (a->total, 5000);
  ck_assert_uint_eq (b->total, 5000);
}
END_TEST

/* --- failures --- */

START_TEST (test_lowest_error_wins)
{
  g_autoptr (AfpPool) pool = afp_pool_new ((guint) _i);

  for (guint round = 0; round < 100; round++) {
    g_autofree Loop *loop = loop_new (pool);
    GError *error = NULL;

    loop->fail_from = 17;
    loop->step = 3;
    ck_assert (!afp_parallel_for (pool, 1000, count, loop, &error));
    assert_error (error, AFP_ERROR_CODEC, "index 17 failed");
    for (guint i = 0; i < 17; i++)
      ck_assert_uint_eq (loop->calls[i], 1);
  }
}
END_TEST

START_TEST (test_error_stops)
{
  g_autoptr (AfpPool) pool = afp_pool_new (2);
  g_autofree Loop *loop = loop_new (pool);
  g_autoptr (GError) error = NULL;

  loop->fail_from = 0;
  ck_assert (!afp_parallel_for (pool, 1000, count, loop, &error));
  ck_assert_uint_le (loop->total, 2);
}
END_TEST

static gboolean
fail_in_silence (gsize index, gpointer user_data, GError **error)
{
  return FALSE;
}

START_TEST (test_error_without_reason)
{
  GError *error = NULL;

  ck_assert (!afp_parallel_for (NULL, 3, fail_in_silence, NULL, &error));
  assert_error (error, AFP_ERROR_CODEC, "step 0 failed");
  ck_assert (!afp_parallel_for (NULL, 3, fail_in_silence, NULL, NULL));
}
END_TEST

START_TEST (test_cancelled_before)
{
  g_autoptr (AfpPool) pool = afp_pool_new (2);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree Loop *loop = loop_new (pool);
  GError *error = NULL;

  afp_pool_set_cancellable (pool, cancellable);
  g_cancellable_cancel (cancellable);
  ck_assert (!afp_parallel_for (pool, 10, count, loop, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "cancelled");
  ck_assert_uint_eq (loop->total, 0);
  afp_pool_set_cancellable (pool, NULL);
  ck_assert (afp_parallel_for (pool, 10, count, loop, NULL));
}
END_TEST

START_TEST (test_cancelled_within)
{
  g_autoptr (AfpPool) pool = afp_pool_new ((guint) _i);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree Loop *loop = loop_new (pool);
  GError *error = NULL;

  afp_pool_set_cancellable (pool, cancellable);
  loop->cancellable = cancellable;
  loop->cancel_at = 5;
  ck_assert (!afp_parallel_for (pool, 1000, count, loop, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "cancelled");
  ck_assert_uint_lt (loop->total, 1000);
}
END_TEST

/* Nothing was left undone: that is no cancellation. */
START_TEST (test_cancelled_by_the_last)
{
  g_autoptr (AfpPool) pool = afp_pool_new (1);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree Loop *loop = loop_new (pool);

  afp_pool_set_cancellable (pool, cancellable);
  loop->cancellable = cancellable;
  loop->cancel_at = 9;
  ck_assert (afp_parallel_for (pool, 10, count, loop, NULL));
}
END_TEST

static TCase *
make_loops (void)
{
  TCase *tcase = tcase_create ("loops");
  tcase_add_loop_test (tcase, test_every_index_once, 1, 5);
  tcase_add_test (tcase, test_no_pool_is_inline);
  tcase_add_test (tcase, test_one_thread_makes_none);
  tcase_add_test (tcase, test_default_is_processors);
  tcase_add_test (tcase, test_nothing_to_do);
  tcase_add_test (tcase, test_nested_is_inline);
  tcase_add_test (tcase, test_two_callers);
  return tcase;
}

static TCase *
make_failures (void)
{
  TCase *tcase = tcase_create ("failures");
  tcase_add_loop_test (tcase, test_lowest_error_wins, 1, 4);
  tcase_add_test (tcase, test_error_stops);
  tcase_add_test (tcase, test_error_without_reason);
  tcase_add_test (tcase, test_cancelled_before);
  tcase_add_loop_test (tcase, test_cancelled_within, 1, 4);
  tcase_add_test (tcase, test_cancelled_by_the_last);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_loops, make_failures };
  return run_suite ("pool", cases, G_N_ELEMENTS (cases));
}
