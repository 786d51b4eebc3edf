/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-test.h"

#include <math.h>

/* seedlm among other elements: what is fitted, asked and answered, and the errors that come of it. */

/* --- what comes out --------------------------------------------------------------------------------------------------- */

static const struct {
  const char *text;
  double nmse, bits;
} runs[] = {
  { "shapes=256x256 ! seedlm preset=paper-4bit", 0.0155, 4.03 },
  { "shapes=256x252 ! seedlm preset=paper-3bit", 0.0512, 3.03 },
  { "shapes=256x256 ! seedlm preset=fast", 0.034, 3.53 },
  { "shapes=256x256 sigma=0.01 ! seedlm preset=fast", 0.034, 3.53 },
  { "shapes=256x256 sigma=1000 ! seedlm preset=fast scale=row", 0.034, 3.6 },
  { "shapes=256x256 ! seedlm preset=fast scale=none", 0.034, 3.53 },
  { "shapes=64x100 ! seedlm C=12 K=10", 0.14, 2.75 },
  { "shapes=64x100 ! seedlm C=12 K=10 layout=row", 0.14, 2.95 },
  { "shapes=64x100 ! seedlm C=12 K=10 layout=row scale=row", 0.14, 3.1 },
  { "shapes=3x3x32x16 ! seedlm preset=fast", 0.036, 3.8 },
  { "shapes=64x65 ! seedlm C=8 P=8 K=8 coeff-bits=8", 0.001, 11 },
  { "shapes=64x65 ! seedlm C=1 P=1 K=8", 0.001, 18 },
  { "shapes=64x65 ! seedlm C=16 P=1 K=6", 0.8, 1.25 },
  { "shapes=32x256 ! seedlm C=256 P=8 K=12", 0.97, 0.4 },
  { "shapes=128x128 distribution=laplace ! seedlm preset=fast candidates=1", 0.06, 3.6 },
  { "shapes=256x256 ! seedlm C=8 P=3 K=12 ! vptq k=256", 0.054, 3.1 },
  { "shapes=256x256 sigma=0.001 ! seedlm C=8 P=3 K=10 scale=row ! vptq k=64", 0.11, 2.5 },
  { "shapes=256x256 ! seedlm C=8 P=3 K=10 scale=none samples=1000 rounds=0 ! vptq k=64", 0.16,
    2.3 },
  { "shapes=256x256 ! vptq k=64 residual=true ! seedlm preset=fast", 0.01, 5.6 },
  { "shapes=256x256 ! vptq k=256 ! seedlm preset=fast", 0.105, 2.3 },
  { "shapes=256x256 ! seedlm preset=fast ! decode ! seedlm preset=fast", 0.07, 3.53 },
};

START_TEST (errors_and_sizes)
{
  assert_result (runs[_i].text, runs[_i].nmse, runs[_i].bits);
}
END_TEST

/* The stages are optimised together: against seeds that were chosen without knowing the codebook. */
START_TEST (joint_is_better_than_open_loop)
{
  g_auto (Result) joint;
  g_auto (Result) open;

  run ("synth shapes=128x768 ! seedlm C=12 P=4 K=16 ! vptq k=256 ! eval ! null", &joint);
  run ("synth shapes=128x768 ! seedlm C=12 P=4 K=16 open-loop=true ! vptq k=256 ! eval ! null",
       &open);
  ck_assert_double_le (joint.nmse, 0.0897);
  ck_assert_double_gt (open.nmse, 1.4 * joint.nmse);
  ck_assert_double_eq (joint.bits, open.bits);
}
END_TEST

START_TEST (a_neutral_element_between_changes_nothing)
{
  g_auto (Result) direct;
  g_auto (Result) through;

  run ("synth shapes=128x128 ! seedlm C=8 P=3 K=9 ! vptq k=64 ! eval ! null", &direct);
  run ("synth shapes=128x128 ! seedlm C=8 P=3 K=9 ! eval ! identity ! vptq k=64 ! eval ! null",
       &through);
  ck_assert_double_eq (direct.nmse, through.nmse);
  ck_assert_double_eq (direct.bits, through.bits);
}
END_TEST

START_TEST (threads_do_not_matter)
{
  static const char *const texts[] = {
    "synth shapes=700x301,64x64 ! seedlm preset=fast ! eval ! null",
    "synth shapes=200x301 ! seedlm C=8 P=3 K=9 scale=row ! vptq k=64 ! eval ! null",
    "synth shapes=200x301 ! seedlm C=8 P=3 K=9 layout=flat ! vptq k=64 ! eval ! null",
  };
  g_auto (Result) one;
  g_auto (Result) three;
  GError *error = NULL;

  run (texts[_i], &one);
  ck_assert (try_run (texts[_i], 3, &three, &error));
  ck_assert_double_eq (one.nmse, three.nmse);
  ck_assert_double_eq (one.bits, three.bits);
}
END_TEST

static TCase *
result_case (void)
{
  TCase *tcase = tcase_create ("results");
  tcase_set_timeout (tcase, 120);
  tcase_add_loop_test (tcase, errors_and_sizes, 0, G_N_ELEMENTS (runs));
  tcase_add_test (tcase, joint_is_better_than_open_loop);
  tcase_add_test (tcase, a_neutral_element_between_changes_nothing);
  tcase_add_loop_test (tcase, threads_do_not_matter, 0, 3);
  return tcase;
}

/* --- planes ------------------------------------------------------------------------------------------------------------- */

/* Codes rows x cols numbers with "seedlm <properties>" and nobody behind it; gives back what they decode to. */
static AfpPlane *
code (const char *properties, const float *values, guint64 rows, guint64 cols, float *back)
{
  g_autofree char *forced = g_strconcat ("force=true min-weights=1 ", properties, NULL);
  const AfpPlaneDesc desc = make_desc (rows, cols);
  AfpPlane *plane = encode_plane (forced, &desc, values, NULL, 1);
  GError *error = NULL;
  g_autoptr (AfpMatrix) decoded = afp_plane_open (plane, NULL, &error);

  ck_assert_msg (decoded && afp_matrix_read (decoded, 0, rows, 0, cols, back, &error), "%s",
                 error ? error->message : "");
  return plane;
}

static void
fill (float *values, guint n, float sigma)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);

  for (guint i = 0; i < n; i++) {
    double sum = -6;
    for (guint k = 0; k < 12; k++)
      sum += g_rand_double (rand);
    values[i] = (float) sum * sigma;
  }
}

static const char *const zero_properties[] = { "K=10", "K=10 scale=row", "K=10 scale=none",
                                               "K=10 layout=flat", "K=10 open-loop=true" };

START_TEST (zeros_stay_zeros)
{
  float values[600] = { 0 }, back[600];
  afp_plane_unref (code (zero_properties[_i], values, 20, 30, back));

  for (guint i = 0; i < 600; i++)
    ck_assert_float_eq (back[i], 0);
}
END_TEST

/* Rows of zeros among others, and blocks of zeros in a row. */
START_TEST (some_zeros_stay_zeros)
{
  float values[640], back[640];

  fill (values, 640, 1);
  memset (values + 64, 0, 64 * sizeof *values);
  memset (values + 256, 0, 16 * sizeof *values);
  afp_plane_unref (code (_i ? "C=8 P=3 K=10 scale=row" : "C=8 P=3 K=10", values, 10, 64, back));
  for (guint i = 0; i < 640; i++)
    ck_assert (values[i] != 0 || back[i] == 0);
  ck_assert_float_ne (back[0], 0);
}
END_TEST

static const float sigmas[] = { 1e-30f, 1e-6f, 1e6f, 1e30f };

START_TEST (scale_makes_up_for_size)
{
  float values[1024], back[1024];
  double error = 0, power = 0;

  fill (values, 1024, sigmas[_i]);
  afp_plane_unref (code ("C=8 P=3 K=10", values, 16, 64, back));
  for (guint i = 0; i < 1024; i++) {
    error += pow (((double) values[i] - back[i]) / sigmas[_i], 2);
    power += pow ((double) values[i] / sigmas[_i], 2);
  }
  ck_assert_double_le (error / power, 0.06);
}
END_TEST

START_TEST (open_loop_leaves_numbers)
{
  float values[1024], back[1024];
  double sum = 0, power = 0;

  fill (values, 1024, 1);
  g_autoptr (AfpPlane) plane = code ("C=8 P=3 K=10 open-loop=true", values, 16, 64, back);
  AfpPlane *coeffs = afp_plane_get_child (plane, 1);
  ck_assert_ptr_null (afp_plane_get_frozen (coeffs));
  ck_assert_ptr_nonnull (afp_plane_get_data (coeffs));
  for (guint i = 0; i < 1024; i++) {
    sum += pow ((double) values[i] - back[i], 2);
    power += pow (values[i], 2);
  }
  ck_assert_double_le (sum / power, 0.05); /* coefficients are exact yet */
}
END_TEST

static TCase *
plane_case (void)
{
  TCase *tcase = tcase_create ("planes");
  tcase_add_loop_test (tcase, zeros_stay_zeros, 0, G_N_ELEMENTS (zero_properties));
  tcase_add_loop_test (tcase, some_zeros_stay_zeros, 0, 2);
  tcase_add_loop_test (tcase, scale_makes_up_for_size, 0, G_N_ELEMENTS (sigmas));
  tcase_add_test (tcase, open_loop_leaves_numbers);
  return tcase;
}

/* --- warnings and errors ------------------------------------------------------------------------------------------------- */

static const struct {
  const char *text, *word, *hint;
} warned[] = {
  { "sigma=0.01 ! seedlm preset=fast scale=none", "too small", "0.00993" },
  { "sigma=1e-6 ! seedlm preset=fast scale=none", "too small", "scale=tensor" },
  { "sigma=1e6 ! seedlm preset=fast scale=none", "too large", "scale=tensor" },
  { "sigma=0.01 ! seedlm preset=fast scale=none open-loop=true", "too small", "-8 to 7" },
};

START_TEST (saturation_is_warned_of)
{
  g_autofree char *text = g_strdup_printf ("synth shapes=64x64 %s ! eval ! null", warned[_i].text);
  g_auto (Result) result;

  run (text, &result);
  ck_assert_ptr_nonnull (result.warnings);
  ck_assert_msg (
      strstr (result.warnings, warned[_i].word) && strstr (result.warnings, warned[_i].hint) &&
          strstr (result.warnings, "synth.0/weight") && strstr (result.warnings, "scale=none"),
      "%s", result.warnings);
}
END_TEST

/* A codebook has no exponents that could saturate; nor do zeros. */
static const char *const unwarned[] = {
  "sigma=0.001 ! seedlm preset=fast scale=none ! vptq k=16",
  "sigma=0 ! seedlm preset=fast scale=none",
  "sigma=0.001 ! seedlm preset=fast",
};

START_TEST (nothing_else_is_warned_of)
{
  g_autofree char *text = g_strdup_printf ("synth shapes=64x64 %s ! null", unwarned[_i]);
  g_auto (Result) result;
  GError *error = NULL;

  ck_assert_msg (try_run (text, 1, &result, &error), "%s", error ? error->message : "");
  ck_assert_ptr_null (result.warnings);
}
END_TEST

static const struct {
  const char *stage;
  int code;
  const char *word, *hint;
} refused[] = {
  { "seedlm C=4 P=5", AFP_ERROR_PROPERTY, "rank=5", "block-size=4" },
  { "seedlm leap=3", AFP_ERROR_PROPERTY, "leap=3", "leap=16" },
  { "seedlm leap=32767", AFP_ERROR_PROPERTY, "correlation", "leap=16" },
  { "seedlm layout=flat scale=row", AFP_ERROR_PROPERTY, "scale=row", "layout=row" },
  { "seedlm K=20 C=7 P=7", AFP_ERROR_MEMORY, "bytes", "fewer seed-bits" },
  { "seedlm preset=paper-2bit", AFP_ERROR_PROPERTY, "paper-2bit", "paper-3bit" },
  { "seedlm ranks=2", AFP_ERROR_PROPERTY, "ranks", "rank" },
};

START_TEST (pipelines_are_refused)
{
  g_autofree char *text = g_strdup_printf ("synth shapes=64x64 ! %s ! null", refused[_i].stage);
  g_auto (Result) result;
  GError *error = NULL;

  ck_assert (!try_run (text, 1, &result, &error));
  assert_error (error, refused[_i].code, refused[_i].word, refused[_i].hint);
}
END_TEST

static TCase *
refusal_case (void)
{
  TCase *tcase = tcase_create ("refusals");
  tcase_add_loop_test (tcase, saturation_is_warned_of, 0, G_N_ELEMENTS (warned));
  tcase_add_loop_test (tcase, nothing_else_is_warned_of, 0, G_N_ELEMENTS (unwarned));
  tcase_add_loop_test (tcase, pipelines_are_refused, 0, G_N_ELEMENTS (refused));
  return tcase;
}

static TCase *(*const cases[]) (void) = { result_case, plane_case, refusal_case };

int
main (void)
{
  return run_suite ("seedlm-fit", cases, G_N_ELEMENTS (cases));
}
