/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-test.h"

/* vptq as a plugin: layouts and planes. Decoding and the query: test-vptq-block. */

/* --- layouts ------------------------------------------------------------------------------------------------------ */

static AfpLayout *
describe (const char *properties, const AfpPlaneDesc *desc, GError **error)
{
  g_autoptr (AfpElement) element = make_vptq (properties);

  return afp_codec_describe (AFP_CODEC (element), desc, error);
}

static void
assert_child (const AfpLayout *layout, guint i, const char *name, guint64 rows, guint64 cols,
              guint bits)
{
  const AfpPlaneDesc *child = afp_layout_get_child (layout, i);

  ck_assert_str_eq (child->name, name);
  ck_assert_uint_eq (child->rows, rows);
  ck_assert_uint_eq (child->cols, cols);
  ck_assert_uint_eq (child->bits, bits);
}

START_TEST (layout_of_a_weight)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 512, 510, 0, AFP_METRIC_NONE);
  g_autoptr (AfpLayout) layout = describe ("", &desc, NULL);

  ck_assert_uint_eq (afp_layout_get_quantum (layout), 4);
  ck_assert_uint_eq (afp_layout_get_n_children (layout), 2);
  assert_child (layout, 0, "indices", 512, 128, 8);
  assert_child (layout, 1, "codebook", 256, 4, 0);
  const AfpPlaneDesc *codebook = afp_layout_get_child (layout, 1);
  ck_assert_int_eq (codebook->kind, AFP_KIND_CODEBOOK);
  ck_assert_int_eq (codebook->scope, AFP_SCOPE_TENSOR);
  ck_assert_int_eq (codebook->metric, AFP_METRIC_SCALAR);
  ck_assert_uint_eq (codebook->vector, 4);
  ck_assert_str_eq (codebook->fallback, "f16");
  assert_text (afp_layout_get_params (layout),
               "vector-length=4,centroids=256,residual=false,scale=none,codebook=trained");
}
END_TEST

START_TEST (layout_with_all_children)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_COEFFS, 64, 60, 6, AFP_METRIC_MATRIX);
  g_autoptr (AfpLayout) layout = describe ("v=3 k=9 residual=true scale=row", &desc, NULL);

  ck_assert_uint_eq (afp_layout_get_n_children (layout), 4);
  assert_child (layout, 0, "indices", 64, 20, 4);
  assert_child (layout, 1, "codebook", 9, 3, 0);
  assert_child (layout, 2, "residual", 64, 60, 0);
  assert_child (layout, 3, "scale", 1, 64, 0);
  const AfpPlaneDesc *residual = afp_layout_get_child (layout, 2);
  ck_assert_int_eq (residual->kind, AFP_KIND_RESIDUAL);
  ck_assert (residual->optional);
  ck_assert_str_eq (residual->fallback, "drop");
  ck_assert_int_eq (residual->metric, AFP_METRIC_MATRIX);
  ck_assert_uint_eq (residual->vector, 3);
  ck_assert_int_eq (afp_layout_get_child (layout, 3)->scope, AFP_SCOPE_ROW);
  assert_text (afp_layout_get_params (layout),
               "vector-length=3,centroids=9,residual=true,scale=row,codebook=trained");
}
END_TEST

START_TEST (layout_of_columns)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 510, 64, 0, AFP_METRIC_NONE);
  const AfpPlaneDesc coeffs = make_desc (AFP_KIND_COEFFS, 64, 60, 4, AFP_METRIC_MATRIX);
  g_autoptr (AfpLayout) layout = describe ("v=4 k=16 k2=8 axis=output norm=column", &desc, NULL);
  GError *error = NULL;

  ck_assert_uint_eq (afp_layout_get_n_children (layout), 6);
  assert_child (layout, 0, "indices", 64, 128, 4);
  assert_child (layout, 1, "codebook", 16, 4, 0);
  assert_child (layout, 2, "residual-indices", 64, 128, 3);
  assert_child (layout, 3, "residual-codebook", 8, 4, 0);
  assert_child (layout, 4, "scale", 1, 64, 0);
  assert_child (layout, 5, "bias", 1, 64, 0);
  assert_text (afp_layout_get_params (layout),
               "vector-length=4,centroids=16,residual=false,codebook=trained,axis=output,"
               "norm=column,residual-centroids=8");
  ck_assert_ptr_null (describe ("axis=output", &coeffs, &error));
  assert_error (error, AFP_ERROR_PLAN, "axis=output", "'coeffs'", "4 numbers", "axis=input");
}
END_TEST

START_TEST (residual_without_metric_takes_any_vectors)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 64, 64, 0, AFP_METRIC_NONE);
  g_autoptr (AfpLayout) layout = describe ("residual=true scale=tensor", &desc, NULL);

  ck_assert_uint_eq (afp_layout_get_child (layout, 2)->vector, 0);
  ck_assert_int_eq (afp_layout_get_child (layout, 2)->metric, AFP_METRIC_NONE);
  assert_child (layout, 3, "scale", 1, 1, 0);
}
END_TEST

static const struct {
  guint64 rows, cols;
  guint vector, length, centroids;
} autos[] = {
  { 1024, 1024, 0, 4, 256 }, { 128, 64, 0, 4, 64 },     { 16, 16, 0, 4, 2 },
  { 1, 1, 0, 1, 2 },         { 100000, 3, 0, 3, 256 },  { 1000, 1, 0, 1, 32 },
  { 1024, 1024, 3, 3, 256 }, { 1024, 1024, 8, 8, 256 }, { 1024, 1024, 64, 64, 256 },
  { 64, 64, 64, 64, 2 },
};

START_TEST (auto_depends_on_the_size)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, autos[_i].rows, autos[_i].cols,
                                       autos[_i].vector, AFP_METRIC_NONE);
  g_autoptr (AfpLayout) layout = describe ("", &desc, NULL);
  const AfpPlaneDesc *codebook = afp_layout_get_child (layout, 1);

  ck_assert_uint_eq (codebook->cols, autos[_i].length);
  ck_assert_uint_eq (codebook->rows, autos[_i].centroids);
}
END_TEST

START_TEST (length_must_divide_the_planes_own)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_COEFFS, 64, 60, 4, AFP_METRIC_NONE);
  GError *error = NULL;

  ck_assert_ptr_null (describe ("v=3", &desc, &error));
  assert_error (error, AFP_ERROR_PROPERTY, "vector-length=3", "'coeffs'", "4 numbers",
                "divisor of 4");
  ck_assert_ptr_null (describe ("vector-length=8", &desc, &error));
  assert_error (error, AFP_ERROR_PROPERTY, "vector-length=8", "'coeffs'", "4 numbers");
}
END_TEST

START_TEST (length_of_the_plane_is_too_large)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_COEFFS, 64, 100, 100, AFP_METRIC_NONE);
  GError *error = NULL;

  ck_assert_ptr_null (describe ("", &desc, &error));
  assert_error (error, AFP_ERROR_PLAN, "'coeffs'", "100 numbers", "up to 64", "divisor of 100");
  g_autoptr (AfpLayout) layout = describe ("v=50", &desc, &error);
  ck_assert_ptr_nonnull (layout);
}
END_TEST

static const struct {
  const char *text, *word, *hint;
} bad_properties[] = {
  { "v=0", "vector-length=0", "1..64" },
  { "v=65", "vector-length=65", "1..64" },
  { "k=1", "centroids=1", "2..65536" },
  { "k=65537", "centroids=65537", "2..65536" },
  { "k=many", "many", "2..65536" },
  { "iterations=0", "iterations=0", "default 25" },
  { "samples=0", "samples=0", "default 256" },
  { "seed=-1", "seed=-1", "default 0" },
  { "scale=column", "scale=column", "auto | none | tensor | row" },
  { "residual=maybe", "residual=maybe", "default false" },
  { "centroid=16", "centroid", "centroids" },
};

START_TEST (properties_are_checked)
{
  g_autoptr (AfpElement) element = make_vptq ("");
  GError *error = NULL;

  ck_assert (!afp_element_set_properties_text (element, bad_properties[_i].text, &error));
  assert_error (error, AFP_ERROR_PROPERTY, bad_properties[_i].word, bad_properties[_i].hint);
}
END_TEST

static const struct {
  const char *properties;
  guint64 cols;
  const char *params;
} commons[] = {
  { "sharing=model", 64,
    "vector-length=4,centroids=256,residual=false,scale=tensor,codebook=trained" },
  { "sharing=model", 1270,
    "vector-length=4,centroids=256,residual=false,scale=row,codebook=trained" },
  { "codebook=builtin", 64,
    "vector-length=4,centroids=256,residual=false,scale=tensor,codebook=builtin-1" },
};

/* A codebook that is not the plane's own needs a scale, and its size does not depend on the plane. */
START_TEST (common_codebooks)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 64, commons[_i].cols, 0, AFP_METRIC_NONE);
  g_autoptr (AfpLayout) layout = describe (commons[_i].properties, &desc, NULL);

  assert_text (afp_layout_get_params (layout), commons[_i].params);
}
END_TEST

static const struct {
  const char *properties, *word, *hint;
} bad_commons[] = {
  { "codebook=builtin k=100", "centroids=100", "v=4 k=256" },
  { "codebook=builtin v=5", "vector-length=5", "v=8 k=16" },
  { "codebook=builtin scale=none", "codebook=builtin", "scale=auto" },
  { "sharing=model scale=none", "sharing=model", "scale=auto" },
  { "sharing=model codebook=builtin", "exclude each other", "leave one" },
  { "norm=column", "norm=column", "axis=output" },
  { "norm=column axis=output scale=tensor", "norm=column", "leave out scale" },
  { "axis=output scale=row", "scale=row", "norm=column" },
  { "axis=output residual=true", "residual=true", "residual-centroids" },
  { "axis=output sharing=model", "sharing=model", "axis=input" },
  { "residual-centroids=1", "residual-centroids=1", "2 and more" },
  { "k2=16 residual=true", "exclude each other", "leave one" },
  { "k2=16 sharing=model", "exclude each other", "leave one" },
};

START_TEST (what_does_not_go_together)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 64, 64, 0, AFP_METRIC_NONE);
  GError *error = NULL;

  ck_assert_ptr_null (describe (bad_commons[_i].properties, &desc, &error));
  assert_error (error, AFP_ERROR_PROPERTY, bad_commons[_i].word, bad_commons[_i].hint);
}
END_TEST

static TCase *
layout_case (void)
{
  TCase *tcase = tcase_create ("layout");
  tcase_add_test (tcase, layout_of_a_weight);
  tcase_add_test (tcase, layout_with_all_children);
  tcase_add_test (tcase, layout_of_columns);
  tcase_add_test (tcase, residual_without_metric_takes_any_vectors);
  tcase_add_loop_test (tcase, auto_depends_on_the_size, 0, G_N_ELEMENTS (autos));
  tcase_add_test (tcase, length_must_divide_the_planes_own);
  tcase_add_test (tcase, length_of_the_plane_is_too_large);
  tcase_add_loop_test (tcase, common_codebooks, 0, G_N_ELEMENTS (commons));
  tcase_add_loop_test (tcase, what_does_not_go_together, 0, G_N_ELEMENTS (bad_commons));
  tcase_add_loop_test (tcase, properties_are_checked, 0, G_N_ELEMENTS (bad_properties));
  return tcase;
}

/* --- planes ------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *properties;
  guint64 rows, cols;
  double nmse;
} round_trips[] = {
  { "v=4 k=256", 256, 256, 0.095 },
  { "v=1 k=16", 64, 64, 0.012 },
  { "v=4 k=5", 100, 10, 0.6 },
  { "v=4 k=64", 7, 6, 0.01 },
  { "v=64 k=4", 8, 100, 0.9 },
  { "v=2 k=16 scale=tensor", 64, 63, 0.115 },
  { "v=4 k=256 scale=row", 128, 128, 0.1 },
  { "v=3 k=300", 1, 9000, 0.035 },
  { "v=4 k=256 codebook=builtin", 64, 64, 0.115 },
  { "v=1 k=16 codebook=builtin scale=row", 64, 63, 0.014 },
};

START_TEST (planes_come_back)
{
  const AfpPlaneDesc desc =
      make_desc (AFP_KIND_WEIGHT, round_trips[_i].rows, round_trips[_i].cols, 0, AFP_METRIC_NONE);
  Coded coded;

  coded_init (&coded, round_trips[_i].properties, &desc, FALSE, NULL);
  ck_assert_double_le (coded_nmse (&coded), round_trips[_i].nmse);
  coded_clear (&coded);
}
END_TEST

START_TEST (row_scales_help_uneven_rows)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 256, 128, 0, AFP_METRIC_NONE);
  Coded coded;
  double nmse[64] = { 0 };

  coded_init (&coded, "v=4 k=64 scale=row", &desc, TRUE, NULL);
  for (guint r = 0; r < 8; r++) {
    double error = 0, power = 0;
    for (guint i = 0; i < 128; i++) {
      error += pow ((double) coded.values[r * 128 + i] - coded.decoded[r * 128 + i], 2);
      power += pow (coded.values[r * 128 + i], 2);
    }
    nmse[r] = error / power;
    ck_assert_double_le (nmse[r], 0.4);
  }
  coded_clear (&coded);
}
END_TEST

START_TEST (residual_is_what_is_missed)
{
  static const char *const properties[] = { "v=4 k=16 residual=true",
                                            "v=4 k=16 residual=true scale=tensor",
                                            "v=4 k=16 residual=true scale=row" };
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 40, 66, 0, AFP_METRIC_NONE);
  Coded coded;

  coded_init (&coded, properties[_i], &desc, TRUE, NULL);
  /* the residual is still a float plane: with it nothing is lost but roundings */
  ck_assert_double_le (coded_nmse (&coded), 1e-12);
  g_autofree float *residual = read_plane (afp_plane_get_child (coded.plane, 2));
  g_autofree float *zeros = g_new0 (float, 40 * 68);
  g_autoptr (GBytes) bytes = g_bytes_new (zeros, 40 * 68 * sizeof (float));
  const AfpPlaneDesc *own = afp_plane_get_desc (afp_plane_get_child (coded.plane, 2));
  ck_assert_uint_eq (own->cols, 68);
  g_autoptr (AfpPlane) nothing = afp_plane_new_float (own, bytes, NULL);
  g_autoptr (AfpPlane) without = afp_plane_replace_child (coded.plane, 2, nothing);
  g_autofree float *values = read_plane (without);
  for (guint r = 0; r < 40; r++)
    for (guint c = 0; c < 66; c++)
      ck_assert (residual[r * 68 + c] == coded.values[r * 66 + c] - values[r * 66 + c]);
  coded_clear (&coded);
}
END_TEST

/* An emitter of vectors with a matrix each, and a codec that looks at the metric of a residual. */
typedef AfpCodec Emitter, Witness;
typedef AfpCodecClass EmitterClass, WitnessClass;
GType emitter_get_type (void);
GType witness_get_type (void);
G_DEFINE_TYPE (Emitter, emitter, AFP_TYPE_CODEC)
G_DEFINE_TYPE (Witness, witness, AFP_TYPE_CODEC)

static float
emitted_metric (gsize vector, guint i)
{
  return (i % 5 == 0 ? 2 : 0.125f) + (float) vector;
}

static gboolean
emitter_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  afp_layout_set_quantum (layout, 4);
  afp_layout_set_metric (layout, afp_layout_add_float (layout, "coeffs", AFP_KIND_COEFFS, 4, 4),
                         AFP_METRIC_MATRIX);
  return TRUE;
}

static gboolean
emitter_encode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  memcpy (block->planes[0].values, block->values, block->n_rows * block->n_cols * sizeof (float));
  for (gsize i = 0; i < block->n_rows * block->n_cols * 4; i++)
    block->planes[0].metric[i] = emitted_metric (block->row * 8 + i / 16, i % 16);
  return TRUE;
}

static gboolean
emitter_decode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  memcpy (block->values, block->planes[0].values, block->n_rows * block->n_cols * sizeof (float));
  return TRUE;
}

static void
emitter_class_init (EmitterClass *klass)
{
  klass->describe = emitter_describe;
  klass->encode_block = emitter_encode;
  klass->decode_block = emitter_decode;
}

static void
emitter_init (Emitter *self)
{
}

static guint n_seen; /* vectors whose metric was as it should be */

static gboolean
witness_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  afp_layout_set_quantum (layout, 2);
  afp_layout_add_code (layout, "codes", 1, 1);
  return TRUE;
}

static gboolean
witness_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  g_autofree float *metric = NULL;
  gsize n;
  g_autofree float *vectors = afp_context_sample (ctx, G_MAXSIZE, 2, &n, &metric, error);

  ck_assert_ptr_nonnull (vectors);
  ck_assert_int_eq (afp_context_get_metric_kind (ctx, 2), AFP_METRIC_MATRIX);
  for (gsize i = 0; i < n; i++) {
    const guint at = i % 2 ? 10 : 0; /* the lower right or the upper left quarter */
    const float *g = metric + 4 * i;
    n_seen += g[0] == emitted_metric (i / 2, at) && g[1] == emitted_metric (i / 2, at + 1) &&
              g[2] == emitted_metric (i / 2, at + 4) && g[3] == emitted_metric (i / 2, at + 5);
  }
  return TRUE;
}

static gboolean
witness_code (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  return TRUE;
}

static void
witness_class_init (WitnessClass *klass)
{
  klass->default_planes = AFP_KINDS (AFP_KIND_RESIDUAL);
  klass->describe = witness_describe;
  klass->fit = witness_fit;
  klass->encode_block = klass->decode_block = witness_code;
}

static void
witness_init (Witness *self)
{
}

START_TEST (residual_carries_the_metric)
{
  GError *error = NULL;

  afp_registry_add_builtin ("emitter", emitter_get_type ());
  afp_registry_add_builtin ("witness", witness_get_type ());
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (
      "synth shapes=16x32 ! emitter force=true ! vptq v=2 k=4 residual=true force=true ! witness ! null",
      &error);
  ck_assert_msg (pipeline != NULL, "%s", error ? error->message : "");
  ck_assert_msg (afp_pipeline_run (pipeline, &error), "%s", error ? error->message : "");
  ck_assert_uint_eq (n_seen, 16 * 16);
}
END_TEST

START_TEST (threads_do_not_matter)
{
  static const char *const properties[] = { "v=4 k=64", "v=3 k=50 scale=row",
                                            "v=8 k=16 scale=tensor" };
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 500, 301, 0, AFP_METRIC_NONE);
  Coded one, many;

  coded_init (&one, properties[_i], &desc, TRUE, NULL);
  for (guint threads = 2; threads <= 3; threads++) {
    g_autoptr (AfpPool) pool = afp_pool_new (threads);
    coded_init (&many, properties[_i], &desc, TRUE, pool);
    GBytes *a = afp_plane_get_data (afp_plane_get_child (one.plane, 0));
    GBytes *b = afp_plane_get_data (afp_plane_get_child (many.plane, 0));
    ck_assert (g_bytes_equal (a, b));
    ck_assert_mem_eq (one.decoded, many.decoded, 500 * 301 * sizeof (float));
    coded_clear (&many);
  }
  coded_clear (&one);
}
END_TEST

START_TEST (seed_matters)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 100, 100, 0, AFP_METRIC_NONE);
  Coded a, b;

  coded_init (&a, "k=16", &desc, FALSE, NULL);
  coded_init (&b, "k=16 seed=1", &desc, FALSE, NULL);
  ck_assert_mem_ne (a.decoded, b.decoded, 10000 * sizeof (float));
  coded_clear (&a);
  coded_clear (&b);
}
END_TEST

START_TEST (more_centroids_than_vectors)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 5, 8, 0, AFP_METRIC_NONE);
  Coded coded;

  coded_init (&coded, "v=4 k=1000", &desc, FALSE, NULL);
  ck_assert_double_le (coded_nmse (&coded), 1e-6); /* binary16 */
  coded_clear (&coded);
}
END_TEST

/* A power of two on all numbers is one on all decoded numbers, even where no square is a number of binary32. */
START_TEST (magnitude_does_not_matter)
{
  static const int shifts[] = { -100, -70, 70, 100 };
  static const char *const properties[] = { "k=16", "k=16 residual=true", "v=2 k=9 scale=tensor" };
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 24, 40, 0, AFP_METRIC_NONE);
  Coded coded;

  for (guint p = 0; p < G_N_ELEMENTS (properties); p++) {
    GError *error = NULL;
    float values[960];
    coded_init (&coded, properties[p], &desc, FALSE, NULL);
    for (guint i = 0; i < 960; i++)
      values[i] = ldexpf (coded.values[i], shifts[_i]);
    g_autoptr (AfpClaim) claim = make_claim (properties[p], &desc);
    g_autoptr (AfpMatrix) matrix = make_matrix (values, 24, 40);
    g_autoptr (AfpPlane) plane = afp_claim_encode (claim, matrix, NULL, "fc/weight", NULL, &error);
    ck_assert_msg (plane != NULL, "%s", error ? error->message : "");
    g_autofree float *back = read_plane (plane);
    for (guint i = 0; i < 960; i++)
      ck_assert (back[i] == ldexpf (coded.decoded[i], shifts[_i]));
    coded_clear (&coded);
  }
}
END_TEST

/* Weights are squares of the rows' scales: one that leaves float32 does not make the codebook NaN. */
START_TEST (one_huge_row)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 24, 40, 0, AFP_METRIC_NONE);
  g_autoptr (AfpClaim) claim = make_claim ("k=16 scale=row", &desc);
  g_autofree float *values = make_values (24, 40, FALSE);
  GError *error = NULL;

  values[7 * 40 + 3] = 1e30f;
  g_autoptr (AfpMatrix) matrix = make_matrix (values, 24, 40);
  g_autoptr (AfpPlane) plane = afp_claim_encode (claim, matrix, NULL, "fc/weight", NULL, &error);
  ck_assert_msg (plane != NULL, "%s", error ? error->message : "");
  g_autofree float *back = read_plane (plane);
  ck_assert_float_eq_tol (back[7 * 40 + 3] / 1e30f, 1, 0.1f);
  for (guint i = 0; i < 960; i++)
    ck_assert (isfinite (back[i]));
}
END_TEST

START_TEST (constant_planes)
{
  static const float constants[] = { 0, 1, -3.5f };
  static const char *const properties[] = { "k=16", "k=16 scale=tensor", "k=16 scale=row" };
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 20, 30, 0, AFP_METRIC_NONE);

  for (guint p = 0; p < G_N_ELEMENTS (properties); p++) {
    g_autoptr (AfpClaim) claim = make_claim (properties[p], &desc);
    float values[600];
    GError *error = NULL;

    for (guint i = 0; i < 600; i++)
      values[i] = constants[_i];
    g_autoptr (AfpMatrix) matrix = make_matrix (values, 20, 30);
    g_autoptr (AfpPlane) plane = afp_claim_encode (claim, matrix, NULL, "fc/weight", NULL, &error);
    ck_assert_msg (plane != NULL, "%s", error ? error->message : "");
    g_autofree float *back = read_plane (plane);
    for (guint i = 0; i < 600; i++)
      ck_assert_float_eq_tol (back[i], constants[_i], 1e-3f);
  }
}
END_TEST

START_TEST (cancelled)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 100, 100, 0, AFP_METRIC_NONE);
  g_autoptr (AfpClaim) claim = make_claim ("k=16", &desc);
  g_autofree float *values = make_values (100, 100, FALSE);
  g_autoptr (AfpMatrix) matrix = make_matrix (values, 100, 100);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (AfpPool) pool = afp_pool_new (2);
  GError *error = NULL;

  afp_pool_set_cancellable (pool, cancellable);
  g_cancellable_cancel (cancellable);
  ck_assert_ptr_null (afp_claim_encode (claim, matrix, NULL, "fc/weight", pool, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "");
}
END_TEST

static TCase *
plane_case (void)
{
  TCase *tcase = tcase_create ("planes");
  tcase_add_loop_test (tcase, planes_come_back, 0, G_N_ELEMENTS (round_trips));
  tcase_add_test (tcase, row_scales_help_uneven_rows);
  tcase_add_loop_test (tcase, residual_is_what_is_missed, 0, 3);
  tcase_add_test (tcase, residual_carries_the_metric);
  tcase_add_loop_test (tcase, threads_do_not_matter, 0, 3);
  tcase_add_test (tcase, seed_matters);
  tcase_add_test (tcase, more_centroids_than_vectors);
  tcase_add_loop_test (tcase, magnitude_does_not_matter, 0, 4);
  tcase_add_test (tcase, one_huge_row);
  tcase_add_loop_test (tcase, constant_planes, 0, 3);
  tcase_add_test (tcase, cancelled);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { layout_case, plane_case };

  return run_suite ("vptq", cases, G_N_ELEMENTS (cases));
}
