/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-test.h"

#include <float.h>
#include <math.h>

/* seedlm overlap=true as a plugin: properties, layouts, planes, decoding by hand, errors and sizes. */

/* --- layouts --------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *properties;
  guint64 rows, cols;
  const char *params; /* what stands between layout and the rest, and the rest */
  guint64 steps;
} layouts[] = {
  { "overlap=true", 128, 1024,
    "layout=row,scale=tensor,overlap=true,state-bits=12,step-bits=2,step-length=1,segment=512",
    128 * 1024 },
  { "overlap=true", 128, 576,
    "layout=row,scale=tensor,overlap=true,state-bits=12,step-bits=2,step-length=1,segment=288",
    128 * 576 },
  { "overlap=true", 30, 513,
    "layout=row,scale=tensor,overlap=true,state-bits=12,step-bits=2,step-length=1,segment=257",
    30 * 514 },
  { "overlap=true", 100, 16,
    "layout=flat,scale=tensor,overlap=true,state-bits=12,step-bits=2,step-length=1,segment=512",
    4 * 512 },
  { "overlap=true", 10, 16,
    "layout=flat,scale=tensor,overlap=true,state-bits=12,step-bits=2,step-length=1,segment=160",
    160 },
  { "overlap=true scale=row", 100, 16,
    "layout=row,scale=row,overlap=true,state-bits=12,step-bits=2,step-length=1,segment=16", 1600 },
  { "overlap=true feedback=true", 100, 16,
    "layout=row,scale=tensor,overlap=true,state-bits=12,step-bits=2,step-length=1,segment=16",
    1600 },
  { "overlap=true layout=row", 100, 3,
    "layout=row,scale=tensor,overlap=true,state-bits=12,step-bits=2,step-length=1,segment=6", 600 },
  { "overlap=true", 1, 3,
    "layout=row,scale=tensor,overlap=true,state-bits=12,step-bits=2,step-length=1,segment=6", 6 },
  { "overlap=true segment=64", 10, 100,
    "layout=flat,scale=tensor,overlap=true,state-bits=12,step-bits=2,step-length=1,segment=64",
    16 * 64 },
  { "overlap=true segment=50", 10, 100,
    "layout=row,scale=tensor,overlap=true,state-bits=12,step-bits=2,step-length=1,segment=50",
    1000 },
  { "preset=shift-1.5", 10, 1000,
    "layout=row,scale=tensor,overlap=true,state-bits=12,step-bits=3,step-length=2,segment=1000",
    10 * 500 },
  { "preset=shift-1.0", 10, 1024,
    "layout=row,scale=tensor,overlap=true,state-bits=12,step-bits=1,step-length=1,segment=512",
    10240 },
  { "preset=shift-0.5 L=16", 10, 1024,
    "layout=row,scale=tensor,overlap=true,state-bits=16,step-bits=1,step-length=2,segment=1024",
    5120 },
};

START_TEST (layout_is_resolved)
{
  g_autoptr (AfpLayout) layout =
      describe (layouts[_i].properties, layouts[_i].rows, layouts[_i].cols, NULL);

  ck_assert_ptr_nonnull (layout);
  assert_text (afp_layout_get_params (layout), layouts[_i].params);
  ck_assert_uint_eq (afp_layout_get_n_children (layout), 2);
  const AfpPlaneDesc *steps = afp_layout_get_child (layout, 0),
                     *scale = afp_layout_get_child (layout, 1);
  ck_assert_str_eq (steps->name, "steps");
  ck_assert_int_eq (steps->kind, AFP_KIND_CODE);
  ck_assert_uint_eq (steps->rows * steps->cols, layouts[_i].steps);
  ck_assert_str_eq (scale->name, "scale");
  ck_assert_int_eq (scale->kind, AFP_KIND_SCALE);
}
END_TEST

/* Recipes of blocks are as they were before there was anything else. */
START_TEST (blocks_do_not_mention_overlap)
{
  g_autoptr (AfpLayout) layout = describe ("overlap=false", 128, 1024, NULL);

  assert_text (afp_layout_get_params (layout),
               "block-size=12,rank=4,seed-bits=16,leap=16,layout=row,scale=tensor");
}
END_TEST

static const struct {
  const char *properties, *word, *value, *hint;
} bad_together[] = {
  { "overlap=true step-bits=4 L=3", "step-bits=4", "state-bits=3", "at most 3" },
  { "overlap=true step-length=2 segment=33", "segment=33", "step-length=2", "segment=34" },
  { "overlap=true segment=5", "segment=5", "state-bits=12", "at least 6" },
  { "overlap=true L=16 step-bits=1 step-length=2 segment=30", "segment=30", "state-bits=16",
    "better 256" },
  { "overlap=true scale=none", "scale=none", "overlap=true", "scale=tensor" },
  { "overlap=true scale=row layout=flat", "scale=row", "layout=flat", "layout=row" },
};

START_TEST (properties_are_checked_together)
{
  assert_refused (bad_together[_i].properties, bad_together[_i].word, bad_together[_i].value,
                  bad_together[_i].hint);
}
END_TEST

/* What would say nothing is not ignored. */
static const struct {
  const char *properties, *word, *hint;
} bad_set[] = {
  { "overlap=true C=8", "block-size=", "no blocks" },
  { "overlap=true P=3", "rank=", "no blocks" },
  { "K=8 overlap=true", "seed-bits=", "state-bits" },
  { "overlap=true leap=7", "leap=", "leave it out" },
  { "preset=shift-1.0 coeff-bits=3", "coeff-bits=", "leave it out" },
  { "overlap=true samples=100", "samples=", "leave it out" },
  { "overlap=true rounds=1", "rounds=", "leave it out" },
  { "overlap=true candidates=5", "candidates=", "leave it out" },
  { "L=10", "state-bits=", "overlap=true" },
  { "step-bits=1", "step-bits=", "overlap=true" },
  { "preset=fast step-length=2", "step-length=", "overlap=true" },
  { "preset=shift-1.0 overlap=false segment=64", "segment=", "overlap=true" },
};

START_TEST (what_says_nothing_is_refused)
{
  g_autoptr (AfpElement) element = make_seedlm (bad_set[_i].properties);
  GError *error = NULL;

  ck_assert (!AFP_ELEMENT_GET_CLASS (element)->check (element, &error));
  assert_error (error, AFP_ERROR_PROPERTY, bad_set[_i].word, bad_set[_i].hint);
}
END_TEST

static const struct {
  const char *text, *word, *hint;
} bad_properties[] = {
  { "overlap=maybe", "maybe", "true" },       { "L=1", "state-bits=1", "2..16" },
  { "L=17", "state-bits=17", "2..16" },       { "step-bits=0", "step-bits=0", "1..4" },
  { "step-bits=5", "step-bits=5", "1..4" },   { "step-length=3", "step-length=3", "1..2" },
  { "segment=4097", "segment=4097", "4096" },
};

START_TEST (properties_are_checked)
{
  g_autoptr (AfpElement) element = make_seedlm ("");
  GError *error = NULL;

  ck_assert (!afp_element_set_properties_text (element, bad_properties[_i].text, &error));
  assert_error (error, AFP_ERROR_PROPERTY, bad_properties[_i].word, bad_properties[_i].hint);
}
END_TEST

static TCase *
layout_case (void)
{
  TCase *tcase = tcase_create ("layout");
  tcase_add_loop_test (tcase, layout_is_resolved, 0, G_N_ELEMENTS (layouts));
  tcase_add_test (tcase, blocks_do_not_mention_overlap);
  tcase_add_loop_test (tcase, properties_are_checked_together, 0, G_N_ELEMENTS (bad_together));
  tcase_add_loop_test (tcase, what_says_nothing_is_refused, 0, G_N_ELEMENTS (bad_set));
  tcase_add_loop_test (tcase, properties_are_checked, 0, G_N_ELEMENTS (bad_properties));
  return tcase;
}

/* --- decoding -------------------------------------------------------------------------------------------------------- */

/* The segment of SPEC.md: steps 2 0 3 1, 1 3 0 2; and one of zeros, whose windows are all 0. */
#define RING "overlap=true,state-bits=12,step-bits=2,step-length=1,segment=8"
#define LEAVES "{steps,scale=raw32/1{codes}}"
static const guint8 steps[] = { 2 | 0 << 2 | 3 << 4 | 1 << 6, 1 | 3 << 2 | 0 << 4 | 2 << 6, 0, 0 };
static const int numbers[] = { -221, 2, 63, -96, 112, 61, 84, 14 };
#define UNIT 0x1.bb688cp-8f

START_TEST (decodes_by_hand)
{
  const float scales[] = { 2, -0.5f };
  Leaf leaves[] = { { "weight/steps", steps, sizeof steps },
                    { "weight/scale/codes", scales, sizeof scales },
                    { NULL, NULL, 0 } };
  GError *error = NULL;
  float out[14];

  /* rows of 7 numbers: the eighth of each segment is padding */
  ck_assert_msg (
      decode ("weight=seedlm/1(layout=row,scale=row," RING ")" LEAVES, 2, 7, leaves, out, &error),
      "%s", error ? error->message : "");
  for (guint i = 0; i < 7; i++) {
    ck_assert_float_eq (out[i], 2 * ((float) numbers[i] * UNIT));
    ck_assert_float_eq (out[7 + i], -0.5f * (-128 * UNIT));
  }
}
END_TEST

START_TEST (decodes_flat_by_hand)
{
  const float scale = 1;
  Leaf leaves[] = { { "weight/steps", steps, sizeof steps },
                    { "weight/scale/codes", &scale, sizeof scale },
                    { NULL, NULL, 0 } };
  GError *error = NULL;
  float out[12];

  ck_assert_msg (decode ("weight=seedlm/1(layout=flat,scale=tensor," RING ")" LEAVES, 3, 4, leaves,
                         out, &error),
                 "%s", error ? error->message : "");
  for (guint i = 0; i < 8; i++)
    ck_assert_float_eq (out[i], (float) numbers[i] * UNIT);
  for (guint i = 8; i < 12; i++)
    ck_assert_float_eq (out[i], -128 * UNIT);
}
END_TEST

START_TEST (the_largest_scale_gives_finite_numbers)
{
  const float scales[] = { FLT_MAX, 0 };
  Leaf leaves[] = { { "weight/steps", steps, sizeof steps },
                    { "weight/scale/codes", scales, sizeof scales },
                    { NULL, NULL, 0 } };
  GError *error = NULL;
  float out[16];

  ck_assert_msg (
      decode ("weight=seedlm/1(layout=row,scale=row," RING ")" LEAVES, 2, 8, leaves, out, &error),
      "%s", error ? error->message : "");
  ck_assert_float_eq (out[0], -FLT_MAX);
  for (guint i = 0; i < 16; i++)
    ck_assert (isfinite (out[i]) && (i < 8 || out[i] == 0));
}
END_TEST

START_TEST (scale_must_be_finite)
{
  const float scales[] = { 2, _i ? INFINITY : NAN };
  Leaf leaves[] = { { "weight/steps", steps, sizeof steps },
                    { "weight/scale/codes", scales, sizeof scales },
                    { NULL, NULL, 0 } };
  GError *error = NULL;
  float out[16];

  ck_assert (
      !decode ("weight=seedlm/1(layout=row,scale=row," RING ")" LEAVES, 2, 8, leaves, out, &error));
  assert_error (error, AFP_ERROR_FORMAT, "scale", "number 1", "not finite");
}
END_TEST

static const struct {
  const char *params, *planes, *word;
} bad_recipes[] = {
  { "layout=row,scale=none," RING, "{steps}", "scale=none" },
  { "layout=flat,scale=row," RING, LEAVES, "scale=row" },
  { "layout=row,scale=row,overlap=true,state-bits=12,step-bits=2,step-length=1,segment=5", LEAVES,
    "segment=5" },
  { "layout=row,scale=row,overlap=true,state-bits=3,step-bits=4,step-length=1,segment=8", LEAVES,
    "step-bits=4" },
  { "layout=row,scale=row,overlap=true,state-bits=30,step-bits=4,step-length=1,segment=8", LEAVES,
    "state-bits" },
  { "layout=row,scale=row,overlap=true,state-bits=8,step-bits=2,step-length=0,segment=8", LEAVES,
    "step-length" },
  { "layout=row,scale=row,overlap=true,state-bits=8,step-bits=2,step-length=2,segment=9", LEAVES,
    "segment=9" },
  { "layout=row,scale=row,overlap=true,state-bits=8,step-bits=2,step-length=2,segment=9999999",
    LEAVES, "segment" },
  { "layout=row,scale=row,overlap=false,segment=8", LEAVES, "seeds" },
  { "layout=row,scale=row," RING, "{seeds,scale=raw32/1{codes}}", "steps" },
};

START_TEST (recipes_are_checked)
{
  g_autofree char *recipe =
      g_strdup_printf ("weight=seedlm/1(%s)%s", bad_recipes[_i].params, bad_recipes[_i].planes);
  Leaf leaves[] = { { NULL, NULL, 0 } };
  GError *error = NULL;
  float out[16];

  ck_assert (!decode (recipe, 2, 8, leaves, out, &error));
  assert_error (error, AFP_ERROR_FORMAT, bad_recipes[_i].word);
}
END_TEST

static TCase *
decode_case (void)
{
  TCase *tcase = tcase_create ("decode");
  tcase_add_test (tcase, decodes_by_hand);
  tcase_add_test (tcase, decodes_flat_by_hand);
  tcase_add_test (tcase, the_largest_scale_gives_finite_numbers);
  tcase_add_loop_test (tcase, scale_must_be_finite, 0, 2);
  tcase_add_loop_test (tcase, recipes_are_checked, 0, G_N_ELEMENTS (bad_recipes));
  return tcase;
}

/* --- encoding -------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *text;
  double nmse, bits;
} runs[] = {
  { "shapes=24x512 ! seedlm preset=shift-2.0", 0.0765, 2.08 },
  { "shapes=24x512 ! seedlm preset=shift-1.5", 0.148, 1.58 },
  { "shapes=24x512 ! seedlm preset=shift-1.0", 0.282, 1.08 },
  { "shapes=24x512 ! seedlm preset=shift-0.5", 0.54, 0.58 },
  { "shapes=24x512 sigma=1e-20 ! seedlm overlap=true L=8", 0.094, 2.08 },
  { "shapes=24x512 sigma=1e20 ! seedlm overlap=true L=8 scale=row", 0.094, 2.12 },
  { "shapes=24x512 ! seedlm overlap=true L=8 step-bits=4", 0.0105, 4.08 },
  { "shapes=24x512 ! seedlm overlap=true L=8 step-bits=3 segment=32", 0.03, 3.08 },
  { "shapes=64x500 ! seedlm overlap=true L=8 segment=32", 0.1, 2.1 },
  { "shapes=3x3x32x16 ! seedlm overlap=true L=8", 0.094, 2.2 },
  { "shapes=64x65 ! seedlm overlap=true L=2 step-bits=1 min-weights=1", 0.5, 1.2 },
  { "shapes=24x512 distribution=laplace ! seedlm overlap=true L=8", 0.15, 2.08 },
  { "shapes=64x256 ! vptq k=64 residual=true ! seedlm overlap=true L=8", 0.025, 4.3 },
};

START_TEST (errors_and_sizes)
{
  assert_result (runs[_i].text, runs[_i].nmse, runs[_i].bits);
}
END_TEST

/* The coded plane of a matrix; @metric: as many weights as numbers, or NULL. */
static AfpPlane *
encode (const char *properties, guint64 rows, guint64 cols, const float *values,
        const float *metric, guint threads)
{
  AfpPlaneDesc desc = make_desc (rows, cols);

  desc.vector = (guint) cols;
  desc.metric = metric ? AFP_METRIC_DIAGONAL : AFP_METRIC_NONE;
  return encode_plane (properties, &desc, values, metric, threads);
}

static float *
noise (gsize n)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (4);
  float *x = g_new (float, n);

  for (gsize i = 0; i < n; i++)
    x[i] = (float) (g_rand_double (rand) + g_rand_double (rand) - 1);
  return x;
}

static double
error_of (AfpPlane *plane, gsize n, const float *x, const float *weights)
{
  g_autoptr (AfpMatrix) matrix = afp_plane_open (plane, NULL, NULL);
  g_autoptr (GBytes) dense = matrix ? afp_matrix_to_dense (matrix, NULL, NULL) : NULL;
  double error = 0;

  ck_assert_ptr_nonnull (dense);
  const float *y = g_bytes_get_data (dense, NULL);
  for (gsize i = 0; i < n; i++)
    error += (weights ? weights[i] : 1) * pow (x[i] - y[i], 2);
  return error;
}

static void
assert_same_steps (AfpPlane *a, AfpPlane *b)
{
  GBytes *one = afp_plane_get_data (afp_plane_get_child (a, 0)),
         *other = afp_plane_get_data (afp_plane_get_child (b, 0));

  ck_assert (g_bytes_equal (one, other));
}

START_TEST (threads_do_not_matter)
{
  static const char *const codecs[] = { "overlap=true L=6", "overlap=true L=6 scale=row segment=40",
                                        "overlap=true L=6 layout=flat step-length=2" };
  const gsize n = 120 * 700;
  g_autofree float *x = noise (n);
  g_autoptr (AfpPlane) one = encode (codecs[_i], 120, 700, x, NULL, 1);
  g_autoptr (AfpPlane) three = encode (codecs[_i], 120, 700, x, NULL, 3);

  assert_same_steps (one, three);
  ck_assert_double_eq (error_of (one, n, x, NULL), error_of (three, n, x, NULL));
}
END_TEST

/* Where columns count differently, their weighted error gets less, and the plain one more. */
START_TEST (weights_are_minded)
{
  const gsize n = 32 * 256;
  g_autofree float *x = noise (n), *weights = g_new (float, n);

  for (gsize i = 0; i < n; i++)
    weights[i] = i % 4 == 0 ? 1 : 0.02f;
  g_autoptr (AfpPlane) plain = encode ("overlap=true L=8", 32, 256, x, NULL, 1);
  g_autoptr (AfpPlane) weighted = encode ("overlap=true L=8", 32, 256, x, weights, 1);
  ck_assert_double_lt (error_of (weighted, n, x, weights), 0.6 * error_of (plain, n, x, weights));
  ck_assert_double_gt (error_of (weighted, n, x, NULL), error_of (plain, n, x, NULL));
}
END_TEST

/* Weights that are all alike are none. */
START_TEST (like_weights_change_nothing)
{
  const gsize n = 8 * 256;
  g_autofree float *x = noise (n), *weights = g_new (float, n);

  for (gsize i = 0; i < n; i++)
    weights[i] = _i ? 1e-30f : 7;
  g_autoptr (AfpPlane) plain = encode ("overlap=true L=8", 8, 256, x, NULL, 1);
  g_autoptr (AfpPlane) weighted = encode ("overlap=true L=8", 8, 256, x, weights, 1);
  assert_same_steps (plain, weighted);
}
END_TEST

/* No value is 0: what is nothing but zeros needs a scale of 0. */
START_TEST (zeros_stay_zeros)
{
  static const char *const codecs[] = { "overlap=true L=6", "overlap=true L=6 scale=row" };
  const gsize n = 4 * 256;
  g_autofree float *x = _i ? noise (n) : g_new0 (float, n);

  memset (x, 0, 256 * sizeof *x);
  g_autoptr (AfpPlane) plane = encode (codecs[_i], 4, 256, x, NULL, 1);
  ck_assert_double_eq (error_of (plane, _i ? 256 : n, x, NULL), 0);
}
END_TEST

/* One weight far out does not spoil its neighbours. */
START_TEST (an_outlier_stays_alone)
{
  const gsize n = 32 * 256;
  g_autofree float *x = noise (n);

  x[1000] = 100;
  g_autoptr (AfpPlane) plane = encode ("overlap=true L=8 segment=64", 32, 256, x, NULL, 1);
  x[1000] = 0;
  g_autofree float *weights = g_new (float, n);
  for (gsize i = 0; i < n; i++)
    weights[i] = i != 1000;
  ck_assert_double_lt (error_of (plane, n, x, weights) / (double) n, 1);
}
END_TEST

static TCase *
encode_case (void)
{
  TCase *tcase = tcase_create ("encode");
  tcase_add_loop_test (tcase, errors_and_sizes, 0, G_N_ELEMENTS (runs));
  tcase_add_loop_test (tcase, threads_do_not_matter, 0, 3);
  tcase_add_test (tcase, weights_are_minded);
  tcase_add_loop_test (tcase, like_weights_change_nothing, 0, 2);
  tcase_add_loop_test (tcase, zeros_stay_zeros, 0, 2);
  tcase_add_test (tcase, an_outlier_stays_alone);
  return tcase;
}

static TCase *(*const cases[]) (void) = { layout_case, decode_case, encode_case };

int
main (void)
{
  return run_suite ("seedlm-shift", cases, G_N_ELEMENTS (cases));
}
