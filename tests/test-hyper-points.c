/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define CODEC "hyper"
#include "afp-test.h"
#include "codec-test.h"

/* hyper trajectory=grid and winding as a plugin: symbols joined to codes. */

#define PLAIN "hyper min-weights=0 force=true "
#define HYPER "hyper min-weights=0 min-dims=0 force=true U=25 M=0 "

/* 25 points: 14 bits for three pairs; the numbers are those of single symbols. */
START_TEST (joined_codes)
{
  g_autofree float *one = NULL, *three = NULL;

  g_autoptr (AfpTensor) input = test_tensor ("w", AFP_DTYPE_F32, "64x48", NULL, 3);
  test_set_tensors (input, NULL);
  g_autoptr (AfpTensor) single = test_run (HYPER, 1), joined = test_run (HYPER "join=3", 2);
  AfpPlane *thetas = test_find (afp_tensor_get_root (joined), "weight/thetas");
  ck_assert_uint_eq (afp_plane_get_desc (thetas)->bits, 14);
  ck_assert_uint_eq (afp_plane_get_desc (thetas)->cols, 8);
  ck_assert_str_eq (
      afp_plane_get_params (afp_tensor_get_root (joined)),
      "points=25,classes=0,trajectory=grid,dimension=2,join=3,frame=tensor,frame-size=auto");
  ck_assert_str_eq (afp_plane_get_params (afp_tensor_get_root (single)),
                    "points=25,classes=0,trajectory=grid,dimension=2,frame=tensor,frame-size=auto");
  one = test_decode (single);
  three = test_decode (joined);
  ck_assert_mem_eq (one, three, 64 * 48 * sizeof *one);
}
END_TEST

/* Shapes that three pairs do not divide, off the middle: padding does no harm. */
START_TEST (joined_padding)
{
  static const char *const shapes[] = { "33x31", "1x7", "3x1", "1x1" };
  static const gsize sizes[] = { 1023, 7, 3, 1 };

  for (guint s = 0; s < G_N_ELEMENTS (shapes); s++) {
    g_autofree float *x = test_values (sizes[s], 4);
    for (gsize i = 0; i < sizes[s]; i++)
      x[i] += 100;
    g_autoptr (AfpTensor) input = test_tensor_from ("w", shapes[s], NULL, x);
    test_set_tensors (input, NULL);
    g_autoptr (AfpTensor) tensor = test_run (HYPER "join=3", 1);
    g_autofree float *y = test_decode (tensor);
    ck_assert_double_le (test_nmse (x, y, sizes[s]), 0.0828 * 1.1 / 10000);
  }
}
END_TEST

START_TEST (joined_with_importance)
{
  g_autoptr (AfpTensor) input = test_tensor_with_moments ("w", "16x48", FALSE, 4);
  test_set_tensors (input, NULL);
  g_autofree float *x = test_values (16 * 48, 4);
  g_autoptr (AfpTensor) tensor = test_run (_i ? HYPER "join=3 feedback=true" : HYPER "join=3", 2);
  g_autofree float *y = test_decode (tensor);
  ck_assert_double_le (test_nmse (x, y, 16 * 48), 0.3);
}
END_TEST

/* nmse: points so far apart that the error is that; bits: as many symbols as they hold; the rules of classes, in order of their error. */
START_TEST (error_and_bits_in_place_of_points)
{
  static const struct {
    const char *call, *params;
    double nmse;
  } cases[] = {
    { PLAIN "U=400 M=0 nmse=0.02", "points=400,classes=0,trajectory=grid,", 0.02 },
    { PLAIN "U=399 M=1 nmse=0.02 join=3", "points=399,classes=1,trajectory=grid,", 0.02 },
    { PLAIN "U=100 M=0 nmse=0.05 trajectory=winding", "points=100,classes=0,trajectory=winding,",
      0.05 },
    { PLAIN "bits=5 nmse=0.01", "points=512,classes=1,trajectory=grid,", 0.01 },
    { PLAIN "bits=5 nmse=0.01 class-rule=l2", "points=512,classes=1,trajectory=grid,", 0.01 },
    { PLAIN "bits=3", "points=64,classes=0,trajectory=grid,", 0.0377 },
    { PLAIN "bits=4 M=3", "points=64,classes=3,trajectory=grid,", 0.0113 },
    { PLAIN "bits=3.9 d=1", "points=14,classes=0,trajectory=grid,", 0.0145 },
  };
  enum { N = 96 * 96 };
  g_autoptr (AfpTensor) input = test_tensor ("w", AFP_DTYPE_F32, "96x96", NULL, 5);
  test_set_tensors (input, NULL);
  g_autofree float *x = test_values (N, 5);
  g_autoptr (AfpTensor) tensor = test_run (cases[_i].call, 2);
  g_autofree float *y = test_decode (tensor);
  ck_assert_double_eq_tol (test_nmse (x, y, N), cases[_i].nmse, 0.08 * cases[_i].nmse);
  ck_assert (
      g_str_has_prefix (afp_plane_get_params (afp_tensor_get_root (tensor)), cases[_i].params));
}
END_TEST

START_TEST (bits_that_are_refused)
{
  static const struct {
    const char *call, *one, *two;
  } cases[] = {
    { PLAIN "bits=9", "262144 symbols", "at most 8" },
    { PLAIN "bits=0.1 M=3", "a vector of 2 numbers 1 symbols", "4 (one for each class)" },
    { PLAIN "bits=4 U=225", "bits=4 and points=225", "leave one of them out" },
    { PLAIN "class-rule=l1", "class-rule=l1", "nearest | l2 | linf" },
  };

  test_refuses (cases[_i].call, "8x8", cases[_i].one, cases[_i].two);
}
END_TEST

START_TEST (joins_that_are_refused)
{
  static const struct {
    const char *call, *one, *two;
  } cases[] = {
    { HYPER "join=7", "do not go into 32 bits", "join at most 6" },
    { HYPER "join=2 frame=row", "join=2 needs frame=tensor", "set join=1" },
    { HYPER "join=2 frame=group", "join=2 needs frame=tensor", "set join=1" },
    { HYPER "join=0", "join", "1..8" },
    { HYPER "join=9", "join", "1..8" },
  };

  test_refuses (cases[_i].call, "8x8", cases[_i].one, cases[_i].two);
}
END_TEST

/* 14 bits hold more than 25^3 codes. */
START_TEST (damaged_codes)
{
  static const guint8 codes[2] = { 0xff, 0x3f };
  static const float frames[4] = { 0, 0, 2, 1 };
  Leaf leaves[] = { { "weight/thetas", codes, 2 },
                    { "weight/frames/codes", (const guint8 *) frames, sizeof frames },
                    { NULL, NULL, 0 } };
  GError *error = NULL;
  g_autoptr (AfpMatrix) matrix = open_recipe (
      "weight=hyper/2(points=25,classes=0,trajectory=grid,dimension=2,join=3,frame=tensor,"
      "frame-size=auto){thetas,frames=raw32/1{codes}}",
      1, 6, leaves, &error);
  float out[6];

  ck_assert_msg (matrix != NULL, "%s", error ? error->message : "");
  ck_assert (!afp_matrix_read (matrix, 0, 1, 0, 6, out, &error));
  assert_error (error, AFP_ERROR_FORMAT, "is not below 25", "'thetas' is damaged");
}
END_TEST

static TCase *
points_case (void)
{
  TCase *tcase = tcase_create ("points");

  tcase_add_test (tcase, joined_codes);
  tcase_add_test (tcase, joined_padding);
  tcase_add_loop_test (tcase, joined_with_importance, 0, 2);
  tcase_add_loop_test (tcase, joins_that_are_refused, 0, 5);
  tcase_add_loop_test (tcase, error_and_bits_in_place_of_points, 0, 8);
  tcase_add_loop_test (tcase, bits_that_are_refused, 0, 4);
  tcase_add_test (tcase, damaged_codes);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { points_case };

  test_init ();
  return run_suite ("hyper-points", cases, G_N_ELEMENTS (cases));
}
