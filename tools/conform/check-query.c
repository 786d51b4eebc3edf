/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include "afp-pool.h"

#include <math.h>
#include <string.h>

/* The codec behind another one: planes of every kind, and the quantizer query. */

/* A pipeline with the codec in it, planned on an ordinary tensor. */
static AfpPipeline *
planned_pipeline (ConformCase *c, GError **error)
{
  g_autoptr (AfpTensor) input = conform_input_make (conform_input_find ("normal"), TRUE);
  g_autofree char *config = conform_config (c->target, "", TRUE);
  g_autoptr (AfpPipeline) pipeline = conform_pipeline_new (c->target, config, error);

  conform_chain_set_input (input);
  return pipeline && afp_pipeline_plan (pipeline, error) ? g_steal_pointer (&pipeline) : NULL;
}

static AfpClaim *
query (AfpPipeline *pipeline, const AfpPlaneDesc *desc)
{
  const guint64 shape[] = { 24, 40 };
  g_autoptr (AfpSpec) spec = afp_spec_new ("layer.weight", AFP_DTYPE_F32, 2, shape, NULL, NULL);
  AfpElement *source = afp_pipeline_get_elements (pipeline)->pdata[0];
  g_autofree char *path = g_strconcat ("weight/", desc->name, NULL);

  return afp_pad_query_claim (afp_element_get_pad (source, AFP_PAD_SRC, 0), spec, path, desc);
}

static AfpPlane *
encode (AfpClaim *claim, const float *vectors, const float *metric, GError **error)
{
  const AfpPlaneDesc *desc = afp_layout_get_input (afp_claim_get_layout (claim));
  g_autoptr (GBytes) bytes = g_bytes_new (vectors, desc->rows * desc->cols * sizeof *vectors);
  g_autoptr (AfpMatrix) matrix = afp_matrix_new_dense (desc->rows, desc->cols, bytes);

  return afp_claim_encode (claim, matrix, metric, "layer.weight/weight/vectors", NULL, error);
}

static gsize
first_not_finite (const float *values, gsize n)
{
  gsize i = 0;

  while (i < n && isfinite (values[i]))
    i++;
  return i;
}

/* --- planes of every kind -------------------------------------------------------------------------------------------- */

static void
check_plane (ConformCase *c, AfpPipeline *pipeline, const AfpPlaneDesc *desc)
{
  g_autofree char *check =
      g_strdup_printf ("%s%s %" G_GUINT64_FORMAT "x%" G_GUINT64_FORMAT ", vectors of %u",
                       desc->optional ? "optional " : "", afp_plane_kind_name (desc->kind),
                       desc->rows, desc->cols, desc->vector);
  g_autofree float *values = conform_numbers ("normal", desc->rows * desc->cols, 3);
  g_autoptr (GError) error = NULL;

  conform_begin (c, check);
  g_autoptr (AfpClaim) claim = query (pipeline, desc);
  if (!claim) {
    conform_skip (c, "it does not take this plane");
    return;
  }
  g_autoptr (AfpPlane) plane = encode (claim, values, NULL, &error);
  g_autoptr (GBytes) decoded = plane ? conform_decode (plane, NULL, 1, &error) : NULL;
  if (!decoded) {
    conform_fail (c, "a plane that is coded and decoded", "%s", error->message);
    return;
  }
  const gsize n = g_bytes_get_size (decoded) / sizeof (float);
  const gsize bad = first_not_finite (g_bytes_get_data (decoded, NULL), n);
  if (n != desc->rows * desc->cols)
    conform_fail (c, "as many numbers as went in", "%" G_GSIZE_FORMAT, n);
  else
    conform_expect (c, bad == n, "finite numbers", "number %" G_GSIZE_FORMAT " is not", bad);
}

void
conform_check_planes (ConformCase *c, gconstpointer unused)
{
  static const struct {
    guint64 rows, cols;
    guint vector;
  } shapes[] = {
    { 1, 1, 0 }, { 1, 5, 0 }, { 1, 333, 0 }, { 16, 24, 4 }, { 37, 11, 0 }, { 5, 21, 7 }
  };
  g_autoptr (GError) error = NULL;

  conform_begin (c, "plan");
  g_autoptr (AfpPipeline) pipeline = planned_pipeline (c, &error);
  if (!conform_expect (c, pipeline != NULL, "a plan", "%s", error ? error->message : ""))
    return;
  for (guint kind = AFP_KIND_WEIGHT; kind < AFP_KIND_CODE; kind++)
    for (guint i = 0; i < G_N_ELEMENTS (shapes); i++) {
      AfpPlaneDesc desc = { .name = g_intern_static_string ("vectors"),
                            .kind = kind,
                            .scope = shapes[i].vector ? AFP_SCOPE_BLOCK : AFP_SCOPE_TENSOR,
                            .rows = shapes[i].rows,
                            .cols = shapes[i].cols,
                            .vector = shapes[i].vector,
                            .per_quantum = MAX (shapes[i].vector, 1),
                            .optional = kind == AFP_KIND_RESIDUAL,
                            .fallback = kind == AFP_KIND_RESIDUAL ? "drop" : "f16" };
      check_plane (c, pipeline, &desc);
    }
}

/* --- the query -------------------------------------------------------------------------------------------------------- */

#define N_VECTORS 300

typedef struct {
  AfpQuantizer *quantizer;
  AfpMetric metric;
  guint length, n_codes;
  const float *vectors;
  guint32 *codes;
  float *reconstruction, *errors;
} Query;

static void
query_clear (Query *query)
{
  g_clear_object (&query->quantizer);
  g_free (query->codes);
  g_free (query->reconstruction);
  g_free (query->errors);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Query, query_clear)

/* Positive weights; matrices that are positive definite. */
static float *
metric_data (AfpMetricKind kind, guint length)
{
  const gsize stride = afp_metric_stride (kind, length);
  float *data = g_new (float, MAX (stride * N_VECTORS, 1));
  g_autofree float *numbers = conform_numbers ("normal", MAX (stride * N_VECTORS, 1), 9);

  for (gsize v = 0; v < N_VECTORS; v++)
    for (gsize i = 0; i < stride; i++) {
      const float *own = numbers + v * stride;
      data[v * stride + i] =
          kind == AFP_METRIC_MATRIX
              ? own[i / length] * own[i % length] / 4 + (i / length == i % length ? 1.0f : 0.0f)
              : 0.2f + own[i] * own[i];
    }
  return data;
}

static gboolean
quantize (Query *query, gsize first, gsize n, guint32 *codes, float *reconstruction, float *errors,
          GError **error)
{
  AfpMetric metric = query->metric;

  if (metric.data)
    metric.data += first * afp_metric_stride (metric.kind, metric.length);
  return afp_quantizer_quantize (query->quantizer, query->vectors + first * query->length, n,
                                 metric.kind == AFP_METRIC_NONE ? NULL : &metric, codes,
                                 reconstruction, errors, error);
}

/* Every symbol fits its bits, every error is that of the reconstruction. */
static void
check_answer (ConformCase *c, Query *query, AfpClaim *claim)
{
  const AfpLayout *layout = afp_claim_get_layout (claim);
  const gsize bad = first_not_finite (query->reconstruction, N_VECTORS * query->length);

  conform_begin (c, "reconstruction");
  conform_expect (c, bad == (gsize) N_VECTORS * query->length, "finite numbers",
                  "number %" G_GSIZE_FORMAT " is not", bad);
  conform_begin (c, "errors");
  for (gsize v = 0; v < N_VECTORS; v++) {
    const float *x = query->vectors + v * query->length,
                *y = query->reconstruction + v * query->length;
    const float error = query->metric.kind == AFP_METRIC_NONE
                            ? afp_squared_error (x, y, query->length)
                            : afp_metric_error (&query->metric, v, x, y);
    if (!(fabsf (error - query->errors[v]) <= 1e-4f * fabsf (error) + 1e-6f)) {
      conform_fail (c, "the errors of the reconstruction",
                    "vector %" G_GSIZE_FORMAT ": %.6g instead of %.6g", v,
                    (double) query->errors[v], (double) error);
      return;
    }
  }
  conform_pass (c);
  conform_begin (c, "codes");
  guint offset = 0;
  for (guint i = 0; i < afp_layout_get_n_children (layout); i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (layout, i);
    if (desc->scope != AFP_SCOPE_BLOCK)
      continue;
    const guint n = query->length / afp_layout_get_quantum (layout) * desc->per_quantum;
    for (gsize v = 0; v < N_VECTORS; v++)
      for (guint s = 0; s < n; s++)
        if (desc->bits < 32 && query->codes[v * query->n_codes + offset + s] >> desc->bits) {
          conform_fail (c, "symbols of the bits that the layout says",
                        "%u in plane '%s' of %u bits",
                        query->codes[v * query->n_codes + offset + s], desc->name, desc->bits);
          return;
        }
    offset += n;
  }
  conform_pass (c);
}

/* A vector's codes do not depend on its neighbours. */
static void
check_alone (ConformCase *c, Query *query)
{
  g_autofree guint32 *codes = g_new (guint32, MAX (query->n_codes, 1));
  g_autofree float *reconstruction = g_new (float, query->length);
  g_autoptr (GError) error = NULL;

  conform_begin (c, "vectors alone");
  for (gsize v = 0; v < N_VECTORS; v += 13) {
    if (!quantize (query, v, 1, codes, reconstruction, NULL, &error)) {
      conform_fail (c, "an answer", "%s", error->message);
      return;
    }
    if (memcmp (codes, query->codes + v * query->n_codes, query->n_codes * sizeof *codes) != 0 ||
        memcmp (reconstruction, query->reconstruction + v * query->length,
                query->length * sizeof *reconstruction) != 0) {
      conform_fail (c, "the codes that it has among others",
                    "vector %" G_GSIZE_FORMAT " has other ones", v);
      return;
    }
  }
  conform_pass (c);
}

typedef struct {
  Query *query;
  guint32 *codes;
} Parallel;

static gboolean
quantize_part (gsize index, gpointer user_data, GError **error)
{
  Parallel *parallel = user_data;
  const gsize first = index * 25;

  return quantize (parallel->query, first, 25, parallel->codes + first * parallel->query->n_codes,
                   NULL, NULL, error);
}

static void
check_parallel (ConformCase *c, Query *query)
{
  const gsize n = (gsize) N_VECTORS * query->n_codes;
  g_autofree guint32 *codes = g_new0 (guint32, MAX (n, 1));
  Parallel parallel = { query, codes };
  g_autoptr (AfpPool) pool = afp_pool_new (5);
  g_autoptr (GError) error = NULL;

  conform_begin (c, "from five threads");
  if (!afp_parallel_for (pool, N_VECTORS / 25, quantize_part, &parallel, &error))
    conform_fail (c, "an answer", "%s", error->message);
  else
    conform_expect (c, memcmp (codes, query->codes, n * sizeof *codes) == 0, "the same codes",
                    "other ones");
}

/* The reconstruction is what the coded plane reads as. */
static void
check_decoded (ConformCase *c, Query *query, AfpClaim *claim)
{
  g_autoptr (GError) error = NULL;

  conform_begin (c, "reconstruction and decoded plane");
  g_autoptr (AfpPlane) plane = encode (claim, query->vectors, query->metric.data, &error);
  g_autoptr (GBytes) decoded = plane ? conform_decode (plane, NULL, 1, &error) : NULL;
  if (!decoded) {
    conform_fail (c, "a coded plane", "%s", error->message);
    return;
  }
  const float *values = g_bytes_get_data (decoded, NULL);
  gsize i = 0;
  while (i < (gsize) N_VECTORS * query->length &&
         memcmp (values + i, query->reconstruction + i, sizeof *values) == 0)
    i++;
  conform_expect (c, i == (gsize) N_VECTORS * query->length, "the same numbers",
                  "number %" G_GSIZE_FORMAT ": %.9g answered, %.9g decoded", i,
                  i < (gsize) N_VECTORS * query->length ? (double) query->reconstruction[i] : 0,
                  i < (gsize) N_VECTORS * query->length ? (double) values[i] : 0);
}

static void
check_kind (ConformCase *c, AfpPipeline *pipeline, guint length, AfpMetricKind kind)
{
  const AfpPlaneDesc desc = { .name = g_intern_static_string ("vectors"),
                              .kind = AFP_KIND_COEFFS,
                              .scope = AFP_SCOPE_BLOCK,
                              .rows = N_VECTORS,
                              .cols = length,
                              .per_quantum = length,
                              .vector = length,
                              .metric = kind,
                              .fallback = "block-float" };
  g_autofree float *vectors = conform_numbers ("normal", (gsize) N_VECTORS * length, 17);
  g_autofree float *weights = metric_data (kind, length);
  g_autoptr (GError) error = NULL;
  g_autofree char *check = g_strdup_printf ("claim, metric %s", afp_metric_kind_name (kind));

  conform_begin (c, check);
  g_autoptr (AfpClaim) claim = query (pipeline, &desc);
  const char *reason = claim ? afp_claim_get_open_loop_reason (claim) : NULL;
  if (!claim || reason) {
    conform_skip (c, "%s%s", claim ? "open loop: " : "it does not take this plane",
                  claim ? reason : "");
    return;
  }
  g_auto (Query) q = { .metric = { kind, length, kind == AFP_METRIC_NONE ? NULL : weights },
                       .length = length,
                       .vectors = vectors };
  q.quantizer = afp_quantizer_new (claim, "layer.weight/weight/vectors", NULL, &error);
  if (!q.quantizer || !afp_quantizer_fit (q.quantizer, vectors, N_VECTORS,
                                          kind == AFP_METRIC_NONE ? NULL : &q.metric, &error)) {
    conform_fail (c, "a quantizer that can be fitted", "%s", error->message);
    return;
  }
  q.n_codes = afp_quantizer_get_n_codes (q.quantizer);
  q.codes = g_new0 (guint32, MAX ((gsize) N_VECTORS * q.n_codes, 1));
  q.reconstruction = g_new0 (float, (gsize) N_VECTORS *length);
  q.errors = g_new0 (float, N_VECTORS);
  if (!quantize (&q, 0, N_VECTORS, q.codes, q.reconstruction, q.errors, &error)) {
    conform_fail (c, "an answer", "%s", error->message);
    return;
  }
  conform_pass (c);
  check_answer (c, &q, claim);
  check_alone (c, &q);
  check_parallel (c, &q);
  check_decoded (c, &q, claim);
}

void
conform_check_query (ConformCase *c, gconstpointer data)
{
  const guint length = GPOINTER_TO_UINT (data);
  g_autoptr (GError) error = NULL;

  conform_begin (c, "plan");
  g_autoptr (AfpPipeline) pipeline = planned_pipeline (c, &error);
  if (!conform_expect (c, pipeline != NULL, "a plan", "%s", error ? error->message : ""))
    return;
  for (guint kind = AFP_METRIC_NONE; kind <= AFP_METRIC_MATRIX; kind++)
    check_kind (c, pipeline, length, kind);
}
