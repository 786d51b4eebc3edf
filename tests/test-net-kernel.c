/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "net-kernel.h"

#include <math.h>

#define assert_numbers(x, ...)                                                                  \
  do {                                                                                          \
    const float expected_[] = { __VA_ARGS__ };                                                  \
    for (gsize i_ = 0; i_ < G_N_ELEMENTS (expected_); i_++)                                     \
      ck_assert_msg (fabsf ((x)[i_] - expected_[i_]) <= 1e-6f * MAX (1, fabsf (expected_[i_])), \
                     "number %zu is %g, not %g", i_, (double) (x)[i_], (double) expected_[i_]); \
  } while (0)

/* 1 2 3
 * 4 5 6
 * 7 8 9 */
static const float square[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };

/* A window of 2 x 2 on it that reaches one beyond the edges. */
static AfpNetWindow
window_of (void)
{
  return (AfpNetWindow){ .height = 3,
                         .width = 3,
                         .channels = 1,
                         .out_height = 2,
                         .out_width = 2,
                         .kernel_height = 2,
                         .kernel_width = 2,
                         .stride_height = 2,
                         .stride_width = 2,
                         .dilation_height = 1,
                         .dilation_width = 1,
                         .top = 0,
                         .left = 1 };
}

/* --- windows ------------------------------------------------------------------------------------------------------ */

START_TEST (patches_are_zero_outside)
{
  const AfpNetWindow w = window_of ();
  float patches[16];

  afp_net_patches (&w, 0, 4, 0, 1, square, patches);
  assert_numbers (patches, 0, 1, 0, 4, /**/ 2, 3, 5, 6, /**/ 0, 7, 0, 0, /**/ 8, 9, 0, 0);
}
END_TEST

START_TEST (patches_begin_at_any_place)
{
  const AfpNetWindow w = window_of ();
  float patches[8];

  afp_net_patches (&w, 1, 2, 0, 1, square, patches);
  assert_numbers (patches, 2, 3, 5, 6, 0, 7, 0, 0);
}
END_TEST

/* Two channels: the numbers and a hundred more. */
static void
fill_two (float *x)
{
  for (guint i = 0; i < 9; i++) {
    x[2 * i] = square[i];
    x[2 * i + 1] = 100 + square[i];
  }
}

START_TEST (patches_take_some_channels)
{
  AfpNetWindow w = window_of ();
  float x[18], patches[16];

  fill_two (x);
  w.channels = 2;
  afp_net_patches (&w, 1, 1, 0, 2, x, patches);
  assert_numbers (patches, 2, 102, 3, 103, 5, 105, 6, 106);
  afp_net_patches (&w, 1, 1, 1, 1, x, patches);
  assert_numbers (patches, 102, 103, 105, 106);
}
END_TEST

START_TEST (dilation_spreads_a_window)
{
  AfpNetWindow w = window_of ();
  float patches[4];

  w.dilation_height = w.dilation_width = 2;
  w.out_height = w.out_width = 1;
  w.left = 0;
  afp_net_patches (&w, 0, 1, 0, 1, square, patches);
  assert_numbers (patches, 1, 3, 7, 9);
  w.top = w.left = 1; /* the first row and column lie outside */
  afp_net_patches (&w, 0, 1, 0, 1, square, patches);
  assert_numbers (patches, 0, 0, 0, 5);
}
END_TEST

START_TEST (a_window_may_see_nothing)
{
  AfpNetWindow w = window_of ();
  float patches[4];

  w.top = w.left = 5;
  afp_net_patches (&w, 0, 1, 0, 1, square, patches);
  assert_numbers (patches, 0, 0, 0, 0);
  w.top = w.left = 0;
  w.stride_height = 7;
  afp_net_patches (&w, 2, 1, 0, 1, square, patches);
  assert_numbers (patches, 0, 0, 0, 0);
}
END_TEST

START_TEST (depthwise_keeps_channels_apart)
{
  static const float weights[] = { 1, 10, 2, 20, 3, 30, 4, 40 }, bias[] = { 0.5f, -1 };
  AfpNetWindow w = window_of ();
  float x[18], out[8];

  fill_two (x);
  w.channels = 2;
  afp_net_depthwise (&w, 1, x, weights, bias, out);
  /* at (0, 1): 2 + 2*3 + 3*5 + 4*6; 10*102 + 20*103 + 30*105 + 40*106 */
  assert_numbers (out + 2, 47.5f, 10469);
  afp_net_depthwise (&w, 1, x, weights, NULL, out);
  assert_numbers (out + 2, 47, 10470);
}
END_TEST

START_TEST (depthwise_multiplies_channels)
{
  static const float weights[] = { 1, 10, 2, 20, 3, 30, 4, 40 };
  const AfpNetWindow w = window_of ();
  float out[8];

  afp_net_depthwise (&w, 2, square, weights, NULL, out);
  assert_numbers (out, 18, 180, 47, 470, 14, 140, 26, 260);
}
END_TEST

START_TEST (pools_leave_out_what_lies_outside)
{
  static const float negative[] = { -1, -2, -3, -4, -5, -6, -7, -8, -9 };
  const AfpNetWindow w = window_of ();
  float out[4];

  afp_net_pool (&w, TRUE, square, out);
  assert_numbers (out, 4, 6, 7, 9);
  afp_net_pool (&w, FALSE, square, out);
  assert_numbers (out, 2.5f, 4, 7, 8.5f);
  afp_net_pool (&w, TRUE, negative, out);
  assert_numbers (out, -1, -2, -7, -8);
}
END_TEST

START_TEST (surround_puts_zeros_around)
{
  AfpNetWindow w = window_of ();
  float out[20];

  w.top = 1;
  w.left = 0;
  w.out_height = 5;
  w.out_width = 4;
  afp_net_surround (&w, square, out);
  assert_numbers (out, 0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 0, 0, 0, 0);
}
END_TEST

/* --- number by number --------------------------------------------------------------------------------------------- */

START_TEST (affine_has_a_factor_for_each_channel)
{
  static const float factor[] = { 2, -1, 0 }, offset[] = { 0.5f, 0, 7 };
  float out[9];

  afp_net_affine (3, 3, factor, offset, square, out);
  assert_numbers (out, 2.5f, -2, 7, 8.5f, -5, 7, 14.5f, -8, 7);
}
END_TEST

START_TEST (sums_and_products_spread_the_second)
{
  static const float row[] = { 10, 20, 30 };
  float out[9];

  afp_net_add (9, 3, square, row, out);
  assert_numbers (out, 11, 22, 33, 14, 25, 36, 17, 28, 39);
  afp_net_multiply (9, 3, square, row, out);
  assert_numbers (out, 10, 40, 90, 40, 100, 180, 70, 160, 270);
  afp_net_add (9, 9, square, square, out);
  assert_numbers (out, 2, 4, 6, 8, 10, 12, 14, 16, 18);
}
END_TEST

/* At -2, -0.5, 0, 0.5, 2: by hand, with a calculator. */
static const struct {
  AfpNetActivation activation;
  float expected[5];
} activations[] = {
  { { AFP_NET_LINEAR, 0, 0, 0 }, { -2, -0.5f, 0, 0.5f, 2 } },
  { { AFP_NET_RELU, 0, 0, INFINITY }, { 0, 0, 0, 0.5f, 2 } },
  { { AFP_NET_RELU, 0, 0, 1 }, { 0, 0, 0, 0.5f, 1 } },
  { { AFP_NET_RELU, 0.5f, 0, INFINITY }, { -1, -0.25f, 0, 0.5f, 2 } },
  { { AFP_NET_RELU, 0.5f, 1, INFINITY }, { -1.5f, -0.75f, -0.5f, -0.25f, 2 } },
  { { AFP_NET_SIGMOID, 0, 0, 0 }, { 0.11920292f, 0.37754067f, 0.5f, 0.62245933f, 0.88079708f } },
  { { AFP_NET_TANH, 0, 0, 0 }, { -0.96402758f, -0.46211716f, 0, 0.46211716f, 0.96402758f } },
  { { AFP_NET_ELU, 1, 0, 0 }, { -0.86466472f, -0.39346934f, 0, 0.5f, 2 } },
  { { AFP_NET_ELU, 3, 0, 0 }, { -2.59399415f, -1.18040802f, 0, 0.5f, 2 } },
  { { AFP_NET_SELU, 0, 0, 0 }, { -1.52016647f, -0.69175819f, 0, 0.52535049f, 2.10140197f } },
  { { AFP_NET_SILU, 0, 0, 0 }, { -0.23840584f, -0.18877033f, 0, 0.31122967f, 1.76159416f } },
  { { AFP_NET_GELU, 0, 0, 0 }, { -0.04550026f, -0.15426877f, 0, 0.34573123f, 1.95449974f } },
  { { AFP_NET_HARD_SIGMOID, 0.2f, 0, 0 }, { 0.1f, 0.4f, 0.5f, 0.6f, 0.9f } },
  { { AFP_NET_HARD_SIGMOID, 1, 0, 0 }, { 0, 0, 0.5f, 1, 1 } },
  { { AFP_NET_HARD_SILU, 0, 0, 0 }, { -0.33333333f, -0.20833333f, 0, 0.29166667f, 1.66666667f } },
  { { AFP_NET_SOFTPLUS, 0, 0, 0 },
    { 0.12692801f, 0.47407698f, 0.69314718f, 0.97407698f, 2.12692801f } },
  { { AFP_NET_SOFTSIGN, 0, 0, 0 }, { -0.66666667f, -0.33333333f, 0, 0.33333333f, 0.66666667f } },
  { { AFP_NET_EXPONENTIAL, 0, 0, 0 }, { 0.13533528f, 0.60653066f, 1, 1.64872127f, 7.38905610f } },
};

START_TEST (activations_are_those_of_their_formulas)
{
  const float *e = activations[_i].expected;
  float x[] = { -2, -0.5f, 0, 0.5f, 2 };

  afp_net_activate (&activations[_i].activation, 5, x);
  assert_numbers (x, e[0], e[1], e[2], e[3], e[4]);
}
END_TEST

START_TEST (softmax_sums_to_one_in_each_row)
{
  float x[] = { 0, 1, 2, 1000, 1000, -1000 };

  afp_net_softmax (2, 3, x);
  assert_numbers (x, 0.09003057f, 0.24472847f, 0.66524096f, 0.5f, 0.5f, 0);
}
END_TEST

/* --- what has no number ------------------------------------------------------------------------------------------- */

START_TEST (infinity_gives_no_nan)
{
  static const AfpNetFunction functions[] = { AFP_NET_RELU, AFP_NET_SIGMOID, AFP_NET_TANH,
                                              AFP_NET_ELU,  AFP_NET_SELU,    AFP_NET_SOFTPLUS };
  for (guint f = 0; f < G_N_ELEMENTS (functions); f++) {
    const AfpNetActivation a = { functions[f], 0, 0, INFINITY };
    float x[] = { -INFINITY, INFINITY };
    afp_net_activate (&a, 2, x);
    ck_assert_msg (!isnan (x[0]) && !isnan (x[1]), "function %d", functions[f]);
  }
}
END_TEST

START_TEST (nan_stays_nan)
{
  const AfpNetActivation a = { AFP_NET_RELU, 0, 0, 6 };
  float x[] = { NAN };

  afp_net_activate (&a, 1, x);
  ck_assert (isnan (x[0]));
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_test (tcase, patches_are_zero_outside);
  tcase_add_test (tcase, patches_begin_at_any_place);
  tcase_add_test (tcase, patches_take_some_channels);
  tcase_add_test (tcase, dilation_spreads_a_window);
  tcase_add_test (tcase, depthwise_keeps_channels_apart);
  tcase_add_test (tcase, depthwise_multiplies_channels);
  tcase_add_test (tcase, pools_leave_out_what_lies_outside);
  tcase_add_test (tcase, surround_puts_zeros_around);
  tcase_add_test (tcase, affine_has_a_factor_for_each_channel);
  tcase_add_test (tcase, sums_and_products_spread_the_second);
  tcase_add_loop_test (tcase, activations_are_those_of_their_formulas, 0,
                       G_N_ELEMENTS (activations));
  tcase_add_test (tcase, softmax_sums_to_one_in_each_row);
  return tcase;
}

static TCase *
edge_case (void)
{
  TCase *tcase = tcase_create ("edge");
  tcase_add_test (tcase, a_window_may_see_nothing);
  tcase_add_test (tcase, infinity_gives_no_nan);
  tcase_add_test (tcase, nan_stays_nan);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, edge_case };

  return run_suite ("net-kernel", cases, G_N_ELEMENTS (cases));
}
