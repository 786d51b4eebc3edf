/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "afp-queue.h"

/* n floats */
static AfpTensor *
make (const char *name, guint64 n)
{
  return make_tensor (name, AFP_DTYPE_F32, 1, &n, TRUE);
}

static void
push (AfpQueue *queue, const char *name, guint64 n)
{
  g_autoptr (AfpTensor) tensor = make (name, n);

  ck_assert (afp_queue_push (queue, tensor, NULL, NULL));
}

static void
pop (AfpQueue *queue, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AfpTensor) tensor = afp_queue_pop (queue, NULL, &error);

  ck_assert_ptr_null (error);
  if (name)
    ck_assert_str_eq (afp_spec_get_name (afp_tensor_get_spec (tensor)), name);
  else
    ck_assert_ptr_null (tensor);
}

START_TEST (test_order)
{
  g_autoptr (AfpQueue) queue = afp_queue_new (1000);

  push (queue, "a", 10);
  push (queue, "b", 20);
  ck_assert_uint_eq (afp_queue_get_bytes (queue), 120);
  ck_assert_uint_eq (afp_queue_get_length (queue), 2);
  pop (queue, "a");
  push (queue, "c", 1);
  pop (queue, "b");
  pop (queue, "c");
  ck_assert_uint_eq (afp_queue_get_bytes (queue), 0);
}
END_TEST

START_TEST (test_end)
{
  g_autoptr (AfpQueue) queue = afp_queue_new (1000);

  push (queue, "a", 10);
  afp_queue_push_end (queue);
  pop (queue, "a");
  pop (queue, NULL);
  pop (queue, NULL);
}
END_TEST

START_TEST (test_too_large_passes_when_empty)
{
  g_autoptr (AfpQueue) queue = afp_queue_new (0);

  push (queue, "a", 1000);
  ck_assert_uint_eq (afp_queue_get_bytes (queue), 4000);
  pop (queue, "a");
  push (queue, "b", 1000);
  pop (queue, "b");
}
END_TEST

/* What is kept for eval counts as well. */
START_TEST (test_bytes_of_a_tensor)
{
  g_autoptr (AfpTensor) tensor = make ("a", 10);
  AfpPlaneDesc desc = { .name = "weight", .kind = AFP_KIND_WEIGHT, .rows = 1, .cols = 10 };
  g_autoptr (GBytes) values = g_bytes_new_take (g_malloc0 (40), 40);
  g_autoptr (AfpPlane) inner = afp_plane_new_float (&desc, values, NULL);
  g_autoptr (AfpPlane) plane = afp_plane_new_float (&desc, values, inner);
  g_autoptr (AfpTensor) other = afp_tensor_new_with_root (tensor, plane);
  guint64 n = 10;
  g_autoptr (AfpTensor) planned = make_tensor ("p", AFP_DTYPE_F32, 1, &n, FALSE);

  ck_assert_uint_eq (afp_queue_tensor_bytes (tensor), 40);
  ck_assert_uint_eq (afp_queue_tensor_bytes (other), 120);
  ck_assert_uint_eq (afp_queue_tensor_bytes (planned), 0);
}
END_TEST

static gpointer
produce (gpointer data)
{
  AfpQueue *queue = data;

  for (guint i = 0; i < 500; i++) {
    g_autofree char *name = g_strdup_printf ("%u", i);
    g_autoptr (AfpTensor) tensor = make (name, 1 + i % 40);

    if (!afp_queue_push (queue, tensor, NULL, NULL))
      return NULL;
  }
  afp_queue_push_end (queue);
  return queue;
}

START_TEST (test_back_pressure)
{
  g_autoptr (AfpQueue) queue = afp_queue_new (200);
  GThread *thread = g_thread_new ("produce", produce, queue);

  for (guint i = 0; i < 500; i++) {
    g_autofree char *name = g_strdup_printf ("%u", i);

    ck_assert_uint_le (afp_queue_get_bytes (queue), 200);
    pop (queue, name);
  }
  pop (queue, NULL);
  ck_assert_ptr_eq (g_thread_join (thread), queue);
}
END_TEST

/* --- abort --- */

START_TEST (test_abort_wakes_a_producer)
{
  g_autoptr (AfpQueue) queue = afp_queue_new (10);
  GThread *thread = g_thread_new ("produce", produce, queue);

  while (afp_queue_get_length (queue) == 0)
    g_usleep (100);
  afp_queue_abort (queue);
  ck_assert_ptr_null (g_thread_join (thread));
}
END_TEST

static gpointer
consume (gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AfpTensor) tensor = afp_queue_pop (data, NULL, &error);

  return GINT_TO_POINTER (!tensor && g_error_matches (error, AFP_ERROR, AFP_ERROR_CANCELLED));
}

START_TEST (test_abort_wakes_a_consumer)
{
  g_autoptr (AfpQueue) queue = afp_queue_new (10);
  GThread *thread = g_thread_new ("consume", consume, queue);

  g_usleep (2000);
  afp_queue_abort (queue);
  ck_assert_ptr_nonnull (g_thread_join (thread));
}
END_TEST

START_TEST (test_abort_is_for_good)
{
  g_autoptr (AfpQueue) queue = afp_queue_new (100);
  g_autoptr (AfpTensor) tensor = make ("a", 1);
  GError *error = NULL;

  push (queue, "b", 2);
  afp_queue_push_end (queue);
  afp_queue_abort (queue);
  afp_queue_abort (queue);
  ck_assert_uint_eq (afp_queue_get_length (queue), 0);
  ck_assert_uint_eq (afp_queue_get_bytes (queue), 0);
  ck_assert (!afp_queue_push (queue, tensor, NULL, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "stopped");
  ck_assert_ptr_null (afp_queue_pop (queue, NULL, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "stopped");
}
END_TEST

START_TEST (test_free_with_content)
{
  AfpQueue *queue = afp_queue_new (100);

  push (queue, "a", 5);
  afp_queue_free (queue);
  afp_queue_free (NULL);
}
END_TEST

static TCase *
make_order (void)
{
  TCase *tcase = tcase_create ("order");
  tcase_add_test (tcase, test_order);
  tcase_add_test (tcase, test_end);
  tcase_add_test (tcase, test_too_large_passes_when_empty);
  tcase_add_test (tcase, test_bytes_of_a_tensor);
  tcase_add_test (tcase, test_back_pressure);
  return tcase;
}

static TCase *
make_abort (void)
{
  TCase *tcase = tcase_create ("abort");
  tcase_add_test (tcase, test_abort_wakes_a_producer);
  tcase_add_test (tcase, test_abort_wakes_a_consumer);
  tcase_add_test (tcase, test_abort_is_for_good);
  tcase_add_test (tcase, test_free_with_content);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_order, make_abort };
  return run_suite ("queue", cases, G_N_ELEMENTS (cases));
}
