/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

static void
check_matrix (const char *shape, const char *view, guint64 rows, guint64 cols)
{
  g_autoptr (AfpSpec) spec = test_spec ("t", AFP_DTYPE_F32, shape, view);
  ck_assert_msg (afp_spec_get_rows (spec) == rows && afp_spec_get_cols (spec) == cols,
                 "%s %s: %" G_GUINT64_FORMAT " x %" G_GUINT64_FORMAT, shape, view ? view : "",
                 afp_spec_get_rows (spec), afp_spec_get_cols (spec));
}

START_TEST (matrices)
{
  check_matrix ("5x7", NULL, 5, 7);
  check_matrix ("5x7", "in:1", 7, 5);
  check_matrix ("64x32x3x3", NULL, 64, 288);
  check_matrix ("64x32x3x3", "out:1", 64, 288);
  check_matrix ("3x3x32x64", "in:3", 64, 288);
  check_matrix ("3x3x32x64", "in:2/32", 2048, 9);
  check_matrix ("3x3x32x64", "out:2", 9, 2048);
  check_matrix ("9", NULL, 1, 9);
  check_matrix ("9", "in:1", 1, 9);
  check_matrix ("", NULL, 1, 1);
  check_matrix ("1x1", "in:1", 1, 1);
  check_matrix ("0", NULL, 0, 0);
  check_matrix ("4x0", NULL, 0, 0);
  check_matrix ("0x4", "in:1", 0, 0);
}
END_TEST

START_TEST (fields)
{
  g_autoptr (AfpSpec) spec =
      afp_spec_new ("a/b.weight", AFP_DTYPE_BF16, 3, (guint64[]){ 2, 3, 4 }, NULL, "tied");
  ck_assert_str_eq (afp_spec_get_name (spec), "a/b.weight");
  ck_assert_str_eq (afp_spec_get_alias_of (spec), "tied");
  ck_assert_int_eq (afp_spec_get_dtype (spec), AFP_DTYPE_BF16);
  ck_assert_uint_eq (afp_spec_get_rank (spec), 3);
  ck_assert_uint_eq (afp_spec_get_shape (spec)[2], 4);
  ck_assert_uint_eq (afp_spec_get_n_elements (spec), 24);
  ck_assert_uint_eq (afp_spec_get_n_bytes (spec), 48);
  assert_text (afp_spec_shape_to_string (spec), "2x3x4");
  assert_text (afp_view_to_string (afp_spec_get_view (spec)), "out:1");
  g_autoptr (AfpSpec) same = afp_spec_ref (spec);
  ck_assert_ptr_eq (same, spec);
  g_autoptr (AfpSpec) scalar = afp_spec_new ("s", AFP_DTYPE_I64, 0, NULL, NULL, NULL);
  assert_text (afp_spec_shape_to_string (scalar), "scalar");
  ck_assert_uint_eq (afp_spec_get_n_elements (scalar), 1);
  ck_assert_uint_eq (afp_spec_get_n_bytes (scalar), 8);
  ck_assert_ptr_null (afp_spec_get_alias_of (scalar));
}
END_TEST

/* A split that the rank does not have goes to the nearest that it has. */
START_TEST (splits_out_of_range)
{
  const AfpView far = { 9, TRUE, 0 }, none = { 0, FALSE, 5 };
  g_autoptr (AfpSpec) a = afp_spec_new ("a", AFP_DTYPE_F32, 3, (guint64[]){ 2, 3, 4 }, &far, NULL);
  g_autoptr (AfpSpec) b = afp_spec_new ("b", AFP_DTYPE_F32, 3, (guint64[]){ 2, 3, 4 }, &none, NULL);
  ck_assert_uint_eq (afp_spec_get_rows (a), 4);
  ck_assert_uint_eq (afp_spec_get_cols (a), 6);
  assert_text (afp_view_to_string (afp_spec_get_view (a)), "in:2");
  ck_assert_uint_eq (afp_spec_get_rows (b), 2);
  assert_text (afp_view_to_string (afp_spec_get_view (b)), "out:1/5");
}
END_TEST

START_TEST (counts)
{
  guint64 n, bytes, shape[AFP_MAX_RANK + 1];
  ck_assert (afp_shape_count (0, NULL, 4, &n, &bytes) && n == 1 && bytes == 4);
  ck_assert (afp_shape_count (3, (guint64[]){ 2, 3, 5 }, 8, &n, &bytes) && n == 30 && bytes == 240);
  ck_assert (afp_shape_count (2, (guint64[]){ G_MAXUINT64, 0 }, 8, &n, &bytes) && n == 0 &&
             bytes == 0);
  ck_assert (afp_shape_count (3, (guint64[]){ G_MAXUINT64, G_MAXUINT64, 0 }, 8, &n, &bytes) &&
             n == 0);
  for (guint i = 0; i <= AFP_MAX_RANK; i++)
    shape[i] = 1;
  ck_assert (afp_shape_count (AFP_MAX_RANK, shape, 1, &n, &bytes) && n == 1);
  ck_assert (afp_shape_count (1, (guint64[]){ G_MAXINT64 }, 1, &n, &bytes) && bytes == G_MAXINT64);
}
END_TEST

START_TEST (counts_too_large)
{
  guint64 n = 77, bytes = 78, shape[AFP_MAX_RANK + 1];
  for (guint i = 0; i <= AFP_MAX_RANK; i++)
    shape[i] = 1;
  ck_assert (!afp_shape_count (AFP_MAX_RANK + 1, shape, 1, &n, &bytes));
  ck_assert (!afp_shape_count (G_MAXUINT, shape, 1, &n, &bytes));
  ck_assert (!afp_shape_count (1, (guint64[]){ (guint64) G_MAXINT64 + 1 }, 1, &n, &bytes));
  ck_assert (!afp_shape_count (1, (guint64[]){ G_MAXUINT64 }, 8, &n, &bytes));
  ck_assert (!afp_shape_count (1, (guint64[]){ (guint64) 1 << 60 }, 8, &n, &bytes));
  ck_assert (
      !afp_shape_count (2, (guint64[]){ (guint64) 1 << 32, (guint64) 1 << 32 }, 1, &n, &bytes));
  ck_assert (!afp_shape_count (3, (guint64[]){ 3, G_MAXUINT64 / 2, 5 }, 1, &n, &bytes));
  ck_assert (n == 77 && bytes == 78);
}
END_TEST

START_TEST (views)
{
  AfpView view;
  ck_assert (afp_view_parse ("out:1", 2, &view) && view.split == 1 && !view.input_first &&
             view.groups == 1);
  ck_assert (afp_view_parse ("in:3", 4, &view) && view.split == 3 && view.input_first);
  ck_assert (afp_view_parse ("in:2/32", 4, &view) && view.split == 2 && view.groups == 32);
  assert_text (afp_view_to_string (&view), "in:2/32");
  ck_assert (afp_view_parse ("out:1", 0, &view));
  ck_assert (afp_view_parse ("in:1", 1, &view));
  ck_assert (afp_view_parse ("out:31", 32, &view));
}
END_TEST

START_TEST (no_views)
{
  static const char *const wrong[] = {
    "",
    "out",
    "out:",
    "in:",
    "out:0",
    "out:4",
    "in:-1",
    "in: 1",
    "in:1 ",
    "OUT:1",
    "in:1/",
    "in:1/0",
    "in:1/x",
    "in:1/-2",
    "in:1/2/3",
    "in:1.0",
    "out:+1",
    "inner:1",
    "in:99999999999999999999999",
    "in:1/99999999999999999999999",
    "in:1/18446744073709551615",
    "in:1\n",
    "in:\xc2\xb9",
  };
  const AfpView before = { 7, TRUE, 9 };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    AfpView view = before;
    ck_assert_msg (!afp_view_parse (wrong[i], 4, &view), "'%s'", wrong[i]);
  }
  AfpView view = before;
  ck_assert (!afp_view_parse ("out:2", 2, &view));
  ck_assert (!afp_view_parse ("out:2", 1, &view));
  ck_assert (!afp_view_parse ("out:0", 0, &view));
}
END_TEST

START_TEST (counts_of_blocks)
{
  guint64 n, bytes;
  ck_assert (afp_shape_count_dtype (AFP_DTYPE_Q4_1, 2, (guint64[]){ 3, 64 }, &n, &bytes));
  ck_assert (n == 192 && bytes == 120);
  ck_assert (afp_shape_count_dtype (AFP_DTYPE_Q6_K, 1, (guint64[]){ 512 }, &n, &bytes));
  ck_assert (n == 512 && bytes == 420);
  ck_assert (afp_shape_count_dtype (AFP_DTYPE_Q8_0, 2, (guint64[]){ 0, 32 }, &n, &bytes));
  ck_assert (n == 0 && bytes == 0);
  ck_assert (afp_shape_count_dtype (AFP_DTYPE_F16, 2, (guint64[]){ 3, 5 }, &n, &bytes));
  ck_assert (n == 15 && bytes == 30);
  g_autoptr (AfpSpec) spec = test_spec ("t", AFP_DTYPE_Q4_1, "3x2x64", NULL);
  ck_assert_uint_eq (afp_spec_get_n_bytes (spec), 240);
  ck_assert_uint_eq (afp_spec_get_cols (spec), 128);
}
END_TEST

/* Types of less than 8 bits fill whole bytes together, wherever rows end. */
START_TEST (counts_of_bits)
{
  guint64 n, bytes;
  ck_assert (afp_shape_count_dtype (AFP_DTYPE_F4, 2, (guint64[]){ 2, 3 }, &n, &bytes));
  ck_assert (n == 6 && bytes == 3);
  ck_assert (afp_shape_count_dtype (AFP_DTYPE_F6_E2M3, 2, (guint64[]){ 4, 3 }, &n, &bytes));
  ck_assert (n == 12 && bytes == 9);
  ck_assert (!afp_shape_count_dtype (AFP_DTYPE_F4, 2, (guint64[]){ 3, 3 }, &n, &bytes));
  ck_assert (!afp_shape_count_dtype (AFP_DTYPE_F4, 0, NULL, &n, &bytes));
  ck_assert (!afp_shape_count_dtype (AFP_DTYPE_F6_E3M2, 1, (guint64[]){ 6 }, &n, &bytes));
}
END_TEST

START_TEST (no_counts_of_blocks)
{
  guint64 n, bytes;
  ck_assert (!afp_shape_count_dtype (AFP_DTYPE_Q4_1, 0, NULL, &n, &bytes));
  ck_assert (!afp_shape_count_dtype (AFP_DTYPE_Q4_1, 2, (guint64[]){ 64, 3 }, &n, &bytes));
  ck_assert (!afp_shape_count_dtype (AFP_DTYPE_Q4_K, 1, (guint64[]){ 32 }, &n, &bytes));
  ck_assert (!afp_shape_count_dtype (AFP_DTYPE_Q8_0, 2, (guint64[]){ 1ull << 40, 1ull << 40 }, &n,
                                     &bytes));
  ck_assert (!afp_shape_count_dtype (AFP_DTYPE_F64, 1, (guint64[]){ 1ull << 61 }, &n, &bytes));
}
END_TEST

START_TEST (families)
{
  const guint64 shape[] = { 2, 3 }, turned[] = { 3, 2 };
  const AfpView view = { 1, TRUE, 1 };
  g_autoptr (AfpSpec) a = afp_spec_new ("a", AFP_DTYPE_F32, 2, shape, NULL, NULL);
  g_autoptr (AfpSpec) b = afp_spec_new ("b", AFP_DTYPE_F32, 2, shape, NULL, "a");
  AfpSpec *others[] = { afp_spec_new ("a", AFP_DTYPE_U32, 2, shape, NULL, "a"),
                        afp_spec_new ("a", AFP_DTYPE_F32, 2, turned, NULL, "a"),
                        afp_spec_new ("a", AFP_DTYPE_F32, 1, shape, NULL, "a"),
                        afp_spec_new ("a", AFP_DTYPE_F32, 2, shape, &view, "a") };
  ck_assert_str_eq (afp_spec_get_family (a), "a");
  ck_assert_str_eq (afp_spec_get_family (b), "a");
  ck_assert (afp_spec_is_same_array (a, b));
  for (guint i = 0; i < G_N_ELEMENTS (others); i++) {
    ck_assert (!afp_spec_is_same_array (a, others[i]));
    afp_spec_unref (others[i]);
  }
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("spec");
  tcase_add_test (tcase, matrices);
  tcase_add_test (tcase, fields);
  tcase_add_test (tcase, splits_out_of_range);
  tcase_add_test (tcase, counts);
  tcase_add_test (tcase, counts_too_large);
  tcase_add_test (tcase, counts_of_blocks);
  tcase_add_test (tcase, no_counts_of_blocks);
  tcase_add_test (tcase, counts_of_bits);
  tcase_add_test (tcase, views);
  tcase_add_test (tcase, no_views);
  tcase_add_test (tcase, families);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("spec", cases, G_N_ELEMENTS (cases));
}
