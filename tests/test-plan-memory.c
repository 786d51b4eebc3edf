/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "afp-plan-private.h"

#define ARRAY 4000 /* bytes of a tensor's array */

static AfpTensor *
array (const char *name)
{
  const guint64 n = ARRAY / 4;

  return make_tensor (name, AFP_DTYPE_F32, 1, &n, FALSE);
}

/* The tensor with codes of @bytes bytes, of which nothing is shared. */
static AfpTensor *
coded (AfpTensor *tensor, guint64 bytes)
{
  const AfpPlaneDesc desc = {
    .name = "codes", .kind = AFP_KIND_CODE, .rows = 1, .cols = bytes, .bits = 8
  };
  g_autoptr (AfpPlane) child = afp_plane_new_code (&desc, NULL);
  g_autoptr (AfpPlane) root = afp_plane_new_coded (
      afp_plane_get_desc (afp_tensor_get_root (tensor)), "toy", 1, "", 1, &child);

  return afp_tensor_new_with_root (tensor, root);
}

static void
assert_ticket (AfpPlan *plan, AfpTensor *tensor, guint64 kept, guint64 working, guint64 after)
{
  guint64 numbers[3];

  afp_plan_get_ticket (plan, afp_tensor_get_spec (tensor), &numbers[0], &numbers[1], &numbers[2]);
  ck_assert_uint_eq (numbers[0], kept);
  ck_assert_uint_eq (numbers[1], working);
  ck_assert_uint_eq (numbers[2], after);
}

/* --- planes ------------------------------------------------------------------------------------------------------- */

/* Array, codes beside it; the sink keeps both, for the original goes with the codes. */
START_TEST (test_chain)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpTensor) a = array ("a"), b = coded (a, 100), c = coded (a, 30);

  afp_plan_begin_tensor (plan, a, ARRAY);
  afp_plan_hold (plan, b);
  afp_plan_hold (plan, c);
  afp_plan_hold (plan, c); /* the sink */
  afp_plan_drop (plan, c);
  afp_plan_drop (plan, b);
  afp_plan_drop (plan, a);
  afp_plan_end_tensor (plan);
  assert_ticket (plan, a, ARRAY + 130, 0, ARRAY + 30);
  ck_assert_uint_eq (afp_plan_get_peak_memory (plan, NULL), ARRAY + 130);
}
END_TEST

START_TEST (test_mapped)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpTensor) a = array ("a"), b = coded (a, 100);

  afp_plan_begin_tensor (plan, a, 0);
  afp_plan_hold (plan, b);
  afp_plan_drop (plan, b);
  afp_plan_drop (plan, a);
  afp_plan_end_tensor (plan);
  assert_ticket (plan, a, 100, 0, 0);
}
END_TEST

/* Branches: what the first one made is gone when the second one works, but for what its sink has. */
START_TEST (test_branches)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpTensor) a = array ("a"), b = coded (a, 1000), c = coded (a, 300);

  afp_plan_begin_tensor (plan, a, ARRAY);
  afp_plan_hold (plan, b);
  afp_plan_drop (plan, b);
  afp_plan_hold (plan, c);
  afp_plan_hold (plan, c);
  afp_plan_drop (plan, c);
  afp_plan_hold (plan, b);
  afp_plan_drop (plan, b);
  afp_plan_drop (plan, a);
  afp_plan_end_tensor (plan);
  assert_ticket (plan, a, ARRAY + 1300, 0, ARRAY + 300);
}
END_TEST

START_TEST (test_floats_and_noted_planes)
{
  static const AfpPlaneDesc desc = { .name = "coeffs",
                                     .kind = AFP_KIND_COEFFS,
                                     .rows = 10,
                                     .cols = 6,
                                     .vector = 3,
                                     .metric = AFP_METRIC_MATRIX };
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpTensor) a = array ("a");
  g_autoptr (AfpPlane) floats = afp_plane_new_float (&desc, NULL, NULL),
                       frozen = afp_plane_new_float (&desc, NULL, NULL);
  AfpPlane *const children[] = { floats, frozen };
  g_autoptr (AfpPlane) root =
      afp_plane_new_coded (afp_plane_get_desc (afp_tensor_get_root (a)), "toy", 1, "", 2, children);
  g_autoptr (AfpTensor) b = afp_tensor_new_with_root (a, root);

  afp_plan_begin_tensor (plan, a, 0);
  ck_assert (!afp_plan_plane_is_frozen (plan, frozen));
  afp_plan_note_plane (plan, frozen, 17, TRUE);
  ck_assert (afp_plan_plane_is_frozen (plan, frozen));
  ck_assert (!afp_plan_plane_is_frozen (plan, floats));
  afp_plan_hold (plan, b);
  afp_plan_end_tensor (plan);
  /* 60 floats, and 9 floats for each of 20 vectors */
  assert_ticket (plan, a, (60 + 180) * 4 + 17, 0, (60 + 180) * 4 + 17);
  ck_assert (!afp_plan_plane_is_frozen (plan, frozen));
}
END_TEST

/* A stage works while it has what came in and what goes out. */
START_TEST (test_working_memory)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpTensor) a = array ("a"), b = coded (a, 100);

  afp_plan_begin_tensor (plan, a, ARRAY);
  afp_plan_note_memory (plan, afp_tensor_get_spec (a), 500);
  afp_plan_note_memory (plan, afp_tensor_get_spec (a), 900);
  afp_plan_note_thread_memory (plan, afp_tensor_get_spec (a), 7);
  afp_plan_hold (plan, b);
  afp_plan_note_memory (plan, afp_tensor_get_spec (a), 10);
  afp_plan_drop (plan, b);
  afp_plan_drop (plan, a);
  afp_plan_end_tensor (plan);
  assert_ticket (plan, a, ARRAY + 100, 900 + 7, 0);
  afp_plan_check_memory (plan, 1000000, 0, 3);
  ck_assert (!afp_plan_has_errors (plan));
  assert_ticket (plan, a, ARRAY + 100, 900 + 3 * 7, 0);
}
END_TEST

START_TEST (test_unknown_tensor)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpTensor) a = array ("a");

  assert_ticket (plan, a, 0, 0, 0);
}
END_TEST

/* --- what does not fit --------------------------------------------------------------------------------------------- */

static void
note (AfpPlan *plan, const char *name, guint64 fixed, guint64 per_thread)
{
  g_autoptr (AfpTensor) tensor = array (name);

  afp_plan_note_memory (plan, afp_tensor_get_spec (tensor), fixed);
  afp_plan_note_thread_memory (plan, afp_tensor_get_spec (tensor), per_thread);
}

START_TEST (test_fewer_threads)
{
  static const struct {
    guint64 budget;
    guint threads;
  } cases[] = { { 1801, 8 }, { 1800, 8 }, { 1799, 7 }, { 1399, 3 }, { 1100, 1 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (AfpPlan) plan = afp_plan_new ();
    note (plan, "small", 10, 10);
    note (plan, "large", 900, 100);
    afp_plan_check_memory (plan, cases[i].budget, 100, 8);
    ck_assert (!afp_plan_has_errors (plan));
    ck_assert_uint_eq (plan->n_threads, cases[i].threads);
  }
}
END_TEST

START_TEST (test_not_even_one_thread)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();

  note (plan, "small", 10, 10);
  note (plan, "large", 900, 100);
  note (plan, "larger", 3000, 0);
  afp_plan_check_memory (plan, 1099, 100, 8);
  GError *error = afp_plan_take_error (plan);
  ck_assert_int_eq (afp_error_exit_code (error), 8);
  ck_assert_ptr_null (strstr (error->message, "small"));
  assert_error (error, AFP_ERROR_MEMORY, "tensor 'large' needs 1.07 KiB (1100 bytes)",
                "1000 B for itself", "100 B for the process", "(1099 bytes)", "--max-mem",
                "exclude='large'", "\nalso: tensor 'larger' needs", "(3100 bytes)");
}
END_TEST

START_TEST (test_less_than_the_process)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();

  note (plan, "small", 10, 10);
  afp_plan_check_memory (plan, 3000, 5000, 2);
  GError *error = afp_plan_take_error (plan);
  ck_assert_int_eq (afp_error_exit_code (error), 8);
  ck_assert_ptr_null (strstr (error->message, "small"));
  assert_error (error, AFP_ERROR_MEMORY, "the budget is 2.93 KiB (3000 bytes)",
                "takes 4.88 KiB (5000 bytes) without any tensor", "raise --max-mem");
}
END_TEST

START_TEST (test_no_threads)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();

  note (plan, "a", 10, 10);
  afp_plan_check_memory (plan, 20, 0, 0);
  ck_assert (!afp_plan_has_errors (plan));
  ck_assert_uint_eq (plan->n_threads, 1);
}
END_TEST

static TCase *
make_planes (void)
{
  TCase *tcase = tcase_create ("planes");
  tcase_add_test (tcase, test_chain);
  tcase_add_test (tcase, test_mapped);
  tcase_add_test (tcase, test_branches);
  tcase_add_test (tcase, test_floats_and_noted_planes);
  tcase_add_test (tcase, test_working_memory);
  return tcase;
}

static TCase *
make_limits (void)
{
  TCase *tcase = tcase_create ("limits");
  tcase_add_test (tcase, test_unknown_tensor);
  tcase_add_test (tcase, test_fewer_threads);
  tcase_add_test (tcase, test_not_even_one_thread);
  tcase_add_test (tcase, test_less_than_the_process);
  tcase_add_test (tcase, test_no_threads);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_planes, make_limits };
  return run_suite ("plan-memory", cases, G_N_ELEMENTS (cases));
}
