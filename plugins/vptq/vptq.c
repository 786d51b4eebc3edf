/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afpipe.h"
#include "vptq-train-kernel.h"

#include <math.h>
#include <string.h>

/*
 * vptq: vector quantization. Vectors of a float plane become indices into a codebook of centroids, trained on the plane
 * itself (k-means under the plane's metric). Format and training: SPEC.md.
 */

#define AFP_TYPE_VPTQ (afp_vptq_get_type ())
G_DECLARE_FINAL_TYPE (AfpVptq, afp_vptq, AFP, VPTQ, AfpCodec)

#define DEFAULT_LENGTH 4
#define AUTO_CENTROIDS 256 /* the most that auto takes */

typedef enum { SCALE_NONE, SCALE_TENSOR, SCALE_ROW } VptqScale;

struct _AfpVptq {
  AfpCodec parent_instance;
  guint vector_length;
  guint centroids;
  guint iterations;
  guint samples;
  guint seed;
  gboolean residual;
  gint scale;
};

G_DEFINE_FINAL_TYPE (AfpVptq, afp_vptq, AFP_TYPE_CODEC)

static const char *const scale_values[] = { "none", "tensor", "row", NULL };

static const AfpProperty vptq_properties[] = {
  AFP_PROP_UINT (
      "vector-length", "v", AFP_PROPERTY_FORMAT | AFP_PROPERTY_AUTO, AfpVptq, vector_length, 1,
      VPTQ_MAX_LENGTH, "auto", "weights",
      "Numbers coded together; auto: the plane's own vectors, 4 (or its width) where it has none"),
  AFP_PROP_UINT (
      "centroids", "k", AFP_PROPERTY_FORMAT | AFP_PROPERTY_AUTO, AfpVptq, centroids, 2,
      VPTQ_MAX_CENTROIDS, "auto", "vectors",
      "Vectors in the codebook; auto: the power of two, at most 256, whose codebook costs "
      "1/16 of what it saves"),
  AFP_PROP_BOOL ("residual", NULL, AFP_PROPERTY_FORMAT, AfpVptq, residual, "false",
                 "Leave what the codebook misses as a float plane for the codecs that follow"),
  AFP_PROP_ENUM ("scale", NULL, AFP_PROPERTY_FORMAT, AfpVptq, scale, "none", scale_values,
                 "Divide by the root mean square of the plane or of each row first"),
  AFP_PROP_UINT ("iterations", NULL, 0, AfpVptq, iterations, 1, 10000, "25", NULL,
                 "Rounds of k-means at the most; it ends where a round gains less than 1e-4"),
  AFP_PROP_UINT ("samples", NULL, 0, AfpVptq, samples, 1, 1 << 20, "256", "vectors",
                 "Vectors per centroid to train on, at the most"),
  AFP_PROP_UINT ("seed", NULL, 0, AfpVptq, seed, 0, G_MAXUINT32, "0", NULL,
                 "Of the random choice of the first centroids"),
};

static const AfpPreset vptq_presets[] = {
  { "paper-2bit", "vector-length=6 centroids=4096",
    "2 bits per weight as in VPTQ (arXiv 2409.17066), without its outliers and tuning" },
};

/* --- layout --- */

/* Children, in this order; those after the codebook are there if they are asked for. */
enum { CHILD_INDICES, CHILD_CODEBOOK };

static guint
residual_child (const AfpVptq *self)
{
  return CHILD_CODEBOOK + 1;
}

static guint
scale_child (const AfpVptq *self)
{
  return CHILD_CODEBOOK + (self->residual ? 2 : 1);
}

static guint
choose_length (const AfpVptq *self, const AfpPlaneDesc *in, GError **error)
{
  const guint length = self->vector_length ? self->vector_length : in->vector;

  if (in->vector == 0)
    return length ? length : (guint) CLAMP (in->cols, 1, DEFAULT_LENGTH);
  if (in->vector % length != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "vector-length=%u does not divide the vectors of plane '%s', which have %u "
                 "numbers: set vector-length to a divisor of %u, or to auto",
                 length, in->name, in->vector, in->vector);
    return 0;
  }
  if (length > VPTQ_MAX_LENGTH) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "the vectors of plane '%s' have %u numbers, and vptq takes up to %u: set "
                 "vector-length to a divisor of %u",
                 in->name, in->vector, VPTQ_MAX_LENGTH, in->vector);
    return 0;
  }
  return length;
}

/* The codebook at 16 bits a number costs at most 1/16 of what indices save against 16 bits a number. */
static guint
choose_centroids (const AfpPlaneDesc *in, guint length)
{
  const double n = (double) in->rows * (double) in->cols, v = length;
  guint k = AUTO_CENTROIDS;

  while (k > 2 && k * v * 16 > (16 - vptq_index_bits (k) / v) * n / 16)
    k /= 2;
  return k;
}

static gboolean
vptq_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  const AfpVptq *self = AFP_VPTQ (codec);
  const AfpPlaneDesc *in = afp_layout_get_input (layout);
  const guint v = choose_length (self, in, error);

  if (!v)
    return FALSE;
  const guint k = self->centroids ? self->centroids : choose_centroids (in, v);
  afp_layout_set_quantum (layout, v);
  afp_layout_set_param (layout, "vector-length", v);
  afp_layout_set_param (layout, "centroids", k);

  afp_layout_add_code (layout, "indices", 1, vptq_index_bits (k));
  const guint codebook =
      afp_layout_add_tensor_float (layout, "codebook", AFP_KIND_CODEBOOK, k, v, v);
  afp_layout_set_metric (layout, codebook, AFP_METRIC_SCALAR);
  if (self->residual) {
    /* A residual takes vectors of any length, unless a metric ties them to its own. */
    const gboolean metric = in->vector && in->metric != AFP_METRIC_NONE;
    const guint residual =
        afp_layout_add_float (layout, "residual", AFP_KIND_RESIDUAL, v, metric ? v : 0);
    afp_layout_set_optional (layout, residual);
    if (metric)
      afp_layout_set_metric (layout, residual, in->metric);
  }
  if (self->scale == SCALE_TENSOR)
    afp_layout_add_tensor_float (layout, "scale", AFP_KIND_SCALE, 1, 1, 0);
  else if (self->scale == SCALE_ROW)
    afp_layout_add_row_float (layout, "scale", AFP_KIND_SCALE);
  return TRUE;
}

static guint64
count_vectors (const AfpLayout *layout)
{
  return afp_layout_get_rows (layout) *
         (afp_layout_get_padded_cols (layout) / afp_layout_get_quantum (layout));
}

static gsize
max_samples (const AfpVptq *self, guint k)
{
  return (gsize) MIN ((guint64) self->samples * k, G_MAXUINT32);
}

static guint64
vptq_scratch (AfpCodec *codec, const AfpLayout *layout)
{
  const AfpVptq *self = AFP_VPTQ (codec);
  const AfpPlaneDesc *in = afp_layout_get_input (layout);
  const guint v = afp_layout_get_quantum (layout);
  const guint k = (guint) afp_layout_get_child (layout, CHILD_CODEBOOK)->rows;
  const guint64 total = count_vectors (layout), n = MIN (total, max_samples (self, k));
  const guint64 weights =
      in->metric == AFP_METRIC_NONE ? self->scale == SCALE_ROW : afp_metric_stride (in->metric, v);
  guint64 bytes = n * (v + weights) * sizeof (float) + vptq_train_bytes (MAX (n, 1), k, v);

  if (self->scale == SCALE_ROW && in->metric != AFP_METRIC_NONE)
    bytes += total * (v + weights) * sizeof (float);
  return bytes;
}

/* --- fit: what to train on --- */

typedef struct {
  float *vectors;
  float *weights; /* NULL: kind NONE */
  gsize n;
  AfpMetricKind kind;
} Sample;

static void
sample_clear (Sample *sample)
{
  g_clear_pointer (&sample->vectors, g_free);
  g_clear_pointer (&sample->weights, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Sample, sample_clear)

/* One index from each of n equal stretches of total. */
static guint64
pick (guint64 seed, gsize i, gsize n, guint64 total)
{
  const guint64 whole = total / n, rest = total % n; /* total can be large: no product of it */
  const guint64 low = i * whole + i * rest / n, high = (i + 1) * whole + (i + 1) * rest / n;
  guint64 z = (seed + i + 1) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  z = (z ^ (z >> 32)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  return high - low > 1 ? low + (z ^ (z >> 31)) % (high - low) : low;
}

/* With a scale per row: vectors are divided by their row's scale, and their weights multiplied by its square. */
static gboolean
sample_rows (AfpContext *ctx, gsize max, const float *scale, Sample *sample, GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const guint v = afp_layout_get_quantum (layout);
  const guint64 per_row = afp_layout_get_padded_cols (layout) / v, total = count_vectors (layout);
  const AfpMetricKind own = afp_context_get_metric_kind (ctx, v);
  const AfpMetricKind kind = own == AFP_METRIC_NONE ? AFP_METRIC_SCALAR : own;
  const gsize stride = afp_metric_stride (kind, v);
  g_auto (Sample) all = { 0 };

  /* A sample does not tell its rows: where a metric must be had, all vectors are taken, row after row. */
  if (own != AFP_METRIC_NONE &&
      !(all.vectors = afp_context_sample (ctx, G_MAXSIZE, v, &all.n, &all.weights, error)))
    return FALSE;
  sample->n = (gsize) MIN (total, max);
  sample->kind = kind;
  const float unit =
      vptq_unit (scale, afp_layout_get_rows (layout)); /* of weights: they are relative */
  sample->vectors = g_new (float, sample->n *v);
  sample->weights = g_new (float, sample->n *stride);
  for (gsize i = 0; i < sample->n; i++) {
    const guint64 index = pick (afp_context_get_seed (ctx), i, sample->n, total);
    const guint64 row = index / per_row;
    float *x = sample->vectors + i * v, *w = sample->weights + i * stride;
    if (all.vectors)
      memcpy (x, all.vectors + index * v, v * sizeof *x);
    else if (!afp_context_read (ctx, row, 1, index % per_row * v, v, x, error))
      return FALSE;
    vptq_divide (x, v, scale[row]);
    for (gsize j = 0; j < stride; j++)
      w[j] = (all.weights ? all.weights[index * stride + j] : 1) * (scale[row] / unit) *
             (scale[row] / unit);
  }
  return TRUE;
}

static gboolean
sample_plane (AfpContext *ctx, gsize max, const float *scale, Sample *sample, GError **error)
{
  const guint v = afp_layout_get_quantum (afp_context_get_layout (ctx));

  sample->kind = afp_context_get_metric_kind (ctx, v);
  sample->vectors = afp_context_sample (ctx, max, v, &sample->n, &sample->weights, error);
  if (!sample->vectors)
    return FALSE;
  if (!sample->weights)
    sample->kind = AFP_METRIC_NONE;
  if (scale)
    vptq_divide (sample->vectors, sample->n * v, scale[0]);
  return TRUE;
}

static gboolean
fit_scale (const AfpVptq *self, AfpContext *ctx, float *scale, GError **error)
{
  const guint64 rows = afp_layout_get_rows (afp_context_get_layout (ctx));
  g_autofree double *row_square = self->scale == SCALE_ROW ? g_new0 (double, MAX (rows, 1)) : NULL;
  double square = 0;

  if (!afp_context_get_moments (ctx, &square, NULL, row_square, error))
    return FALSE;
  if (!row_square)
    scale[0] = (float) sqrt (square);
  for (guint64 r = 0; row_square && r < rows; r++)
    scale[r] = (float) sqrt (row_square[r]);
  return TRUE;
}

/* --- fit: k-means on the pool --- */

typedef struct {
  AfpPool *pool;
  GError *error;
} Runner;

typedef struct {
  void (*task) (size_t index, void *data);
  void *data;
} Task;

static gboolean
run_task (gsize index, gpointer user_data, GError **error)
{
  const Task *task = user_data;

  task->task (index, task->data);
  return TRUE;
}

static int
run_tasks (void *pool, size_t n, void (*func) (size_t, void *), void *data)
{
  Runner *runner = pool;
  Task task = { func, data };

  return afp_parallel_for (runner->pool, n, run_task, &task, &runner->error) ? 0 : -1;
}

static gboolean
vptq_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  const AfpVptq *self = AFP_VPTQ (codec);
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const guint v = afp_layout_get_quantum (layout);
  const guint k = (guint) afp_layout_get_child (layout, CHILD_CODEBOOK)->rows;
  float *scale =
      self->scale == SCALE_NONE ? NULL : afp_context_get_values (ctx, scale_child (self));
  g_auto (Sample) sample = { 0 };
  Runner runner = { afp_context_get_pool (ctx), NULL };

  if (scale && !fit_scale (self, ctx, scale, error))
    return FALSE;
  if (!(self->scale == SCALE_ROW ? sample_rows : sample_plane) (ctx, max_samples (self, k), scale,
                                                                &sample, error))
    return FALSE;
  if (sample.n == 0) /* an empty plane: the codebook is of no use */
    return TRUE;
  const float unit = vptq_unit (sample.vectors, sample.n * v);
  float *codebook = afp_context_get_values (ctx, CHILD_CODEBOOK);
  if (unit != 1)
    vptq_divide (sample.vectors, sample.n * v, unit);
  if (unit != 1 && afp_context_has_fit (ctx))
    vptq_divide (codebook, (gsize) k * v, unit);

  const VptqTrainJob job = {
    .length = v,
    .n_centroids = k,
    .iterations = self->iterations,
    .seed = afp_context_get_seed (ctx) ^ (self->seed * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)),
    .metric = (VptqMetric) sample.kind,
    .vectors = sample.vectors,
    .weights = sample.weights,
    .n = sample.n,
    .warm = afp_context_has_fit (ctx),
    .parallel_for = run_tasks,
    .pool = &runner,
  };
  const gsize bytes = vptq_train_bytes (sample.n, k, v);
  g_autofree gpointer workspace = bytes ? g_try_malloc (bytes) : NULL;
  if (!workspace) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "%s: no memory to train %u centroids on %" G_GSIZE_FORMAT
                 " vectors (%" G_GSIZE_FORMAT " bytes): lower samples=%u or centroids",
                 afp_context_get_name (ctx), k, sample.n, bytes, self->samples);
    return FALSE;
  }
  if (vptq_train (&job, workspace, codebook, afp_context_get_child_metric (ctx, CHILD_CODEBOOK),
                  NULL) < 0) {
    g_propagate_error (error, runner.error);
    return FALSE;
  }
  for (gsize i = 0; unit != 1 && i < (gsize) k * v; i++)
    codebook[i] *= unit;
  return TRUE;
}

G_STATIC_ASSERT ((int) AFP_METRIC_NONE == (int) VPTQ_METRIC_NONE);
G_STATIC_ASSERT ((int) AFP_METRIC_SCALAR == (int) VPTQ_METRIC_SCALAR);
G_STATIC_ASSERT ((int) AFP_METRIC_DIAGONAL == (int) VPTQ_METRIC_DIAGONAL);
G_STATIC_ASSERT ((int) AFP_METRIC_MATRIX == (int) VPTQ_METRIC_MATRIX);

/* --- blocks --- */

typedef struct {
  guint length;
  guint n_centroids;
  VptqTable table;
  float *storage; /* of the table; NULL while decoding */
  float *codebook;
  float *scale; /* NULL: none */
  float unit;   /* of the table */
  AfpMetricKind residual_metric;
} VptqState;

static void
vptq_close (AfpCodec *codec, gpointer user_state)
{
  VptqState *state = user_state;

  g_free (state->storage);
  g_free (state->codebook);
  g_free (state->scale);
  g_free (state);
}

/* A copy of a child's numbers, or NULL if one of them is none. */
static float *
copy_child (AfpContext *ctx, guint child, GError **error)
{
  const AfpPlaneDesc *desc = afp_layout_get_child (afp_context_get_layout (ctx), child);
  const gsize n = desc->rows * desc->cols;
  const float *values = afp_context_get_values (ctx, child);

  for (gsize i = 0; i < n; i++)
    if (!isfinite (values[i])) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "%s: number %" G_GSIZE_FORMAT " of '%s' is %s: the plane is damaged",
                   afp_context_get_name (ctx), i, desc->name,
                   isnan (values[i]) ? "NaN" : "infinite");
      return NULL;
    }
  float *copy = g_new (float, MAX (n, 1));
  memcpy (copy, values, n * sizeof *copy);
  return copy;
}

static gpointer
vptq_open (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  const AfpVptq *self = AFP_VPTQ (codec);
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const AfpPlaneDesc *codebook = afp_layout_get_child (layout, CHILD_CODEBOOK);
  VptqState *state = g_new0 (VptqState, 1);

  state->length = (guint) codebook->cols;
  state->n_centroids = (guint) codebook->rows;
  if (self->residual)
    state->residual_metric = afp_layout_get_child (layout, residual_child (self))->metric;
  state->codebook = copy_child (ctx, CHILD_CODEBOOK, error);
  if (state->codebook && self->scale != SCALE_NONE)
    state->scale = copy_child (ctx, scale_child (self), error);
  if (!state->codebook || (self->scale != SCALE_NONE && !state->scale)) {
    vptq_close (codec, state);
    return NULL;
  }
  if (!afp_context_is_decoding (ctx)) {
    const gsize n_floats = vptq_table_floats (state->n_centroids, state->length);
    state->unit = vptq_unit (state->codebook, (gsize) state->n_centroids * state->length);
    state->storage = g_new0 (float, n_floats);
    vptq_table_init (&state->table, state->storage, state->codebook, state->n_centroids,
                     state->length);
    if (state->unit != 1)
      vptq_divide (state->storage, n_floats, state->unit);
  }
  return state;
}

/* The factor of a row of the block. */
static float
row_scale (const AfpVptq *self, const VptqState *state, guint64 row)
{
  return self->scale == SCALE_NONE ? 1 : state->scale[self->scale == SCALE_ROW ? row : 0];
}

/* A row's vectors, divided by its scale; the metric needs no factor: it is the same for all centroids. */
static void
search_scaled (const VptqState *state, const AfpMetric *metric, gsize first, gsize n, float scale,
               const float *x, guint32 *indices)
{
  const gsize stride = afp_metric_stride (metric->kind, state->length);
  const gsize step = 4096 / VPTQ_MAX_LENGTH;
  float scaled[4096];

  for (gsize i = 0; i < n; i += step) {
    const gsize count = MIN (step, n - i);
    memcpy (scaled, x + i * state->length, count * state->length * sizeof *scaled);
    vptq_divide (scaled, count * state->length, scale);
    vptq_search (&state->table, (VptqMetric) metric->kind,
                 stride ? metric->data + (first + i) * stride : NULL, scaled, count, indices + i,
                 NULL);
  }
}

/* Without a metric in the data, that of a child that declares one is 1. */
static void
fill_residual_metric (const AfpMetric *metric, AfpMetricKind kind, guint length, gsize n,
                      float *out)
{
  const gsize stride = afp_metric_stride (kind, length);

  if (metric->kind == kind && metric->data) {
    memcpy (out, metric->data, n * stride * sizeof *out);
    return;
  }
  for (gsize i = 0; i < n * stride; i++)
    out[i] = kind != AFP_METRIC_MATRIX || i % stride % (length + 1) == 0;
}

static void
subtract_from (const float *x, float *reconstruction, gsize n)
{
  for (gsize i = 0; i < n; i++)
    reconstruction[i] = x[i] - reconstruction[i];
}

static gboolean
vptq_encode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error)
{
  const AfpVptq *self = AFP_VPTQ (codec);
  const VptqState *state = user_state;
  const gsize per_row = block->n_cols / state->length, n = block->n_rows * per_row;
  guint32 *indices = block->planes[CHILD_INDICES].codes;

  if (block->metric.kind != AFP_METRIC_NONE && block->metric.length != state->length) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
                 "the metric is of vectors of %u numbers, but vector-length is %u",
                 block->metric.length, state->length);
    return FALSE;
  }
  const gboolean direct = self->scale == SCALE_NONE && state->unit == 1;
  if (direct)
    vptq_search (&state->table, (VptqMetric) block->metric.kind, block->metric.data, block->values,
                 n, indices, NULL);
  for (gsize r = 0; !direct && r < block->n_rows; r++)
    search_scaled (state, &block->metric, r * per_row, per_row,
                   row_scale (self, state, block->row + r) * state->unit,
                   block->values + r * block->n_cols, indices + r * per_row);
  if (!self->residual)
    return TRUE;

  AfpBlockPlane *residual = &block->planes[residual_child (self)];
  for (gsize r = 0; r < block->n_rows; r++)
    vptq_lookup (state->codebook, state->n_centroids, state->length,
                 row_scale (self, state, block->row + r), indices + r * per_row, per_row,
                 residual->values + r * block->n_cols);
  subtract_from (block->values, residual->values, block->n_rows * block->n_cols);
  if (residual->metric)
    fill_residual_metric (&block->metric, state->residual_metric, state->length, n,
                          residual->metric);
  return TRUE;
}

static gboolean
vptq_decode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error)
{
  const AfpVptq *self = AFP_VPTQ (codec);
  const VptqState *state = user_state;
  const gsize per_row = block->n_cols / state->length;
  const float *residual = self->residual ? block->planes[residual_child (self)].values : NULL;

  for (gsize r = 0; r < block->n_rows; r++) {
    const guint32 *indices = block->planes[CHILD_INDICES].codes + r * per_row;
    const gsize done = vptq_lookup (state->codebook, state->n_centroids, state->length,
                                    row_scale (self, state, block->row + r), indices, per_row,
                                    block->values + r * block->n_cols);
    if (done < per_row) {
      g_set_error (
          error, AFP_ERROR, AFP_ERROR_FORMAT,
          "index %u at row %" G_GUINT64_FORMAT ", column %" G_GUINT64_FORMAT
          " is outside of the codebook, which has centroids=%u: the plane 'indices' is damaged",
          indices[done], block->row + r, block->col + done * state->length, state->n_centroids);
      return FALSE;
    }
  }
  for (gsize i = 0; residual && i < block->n_rows * block->n_cols; i++)
    block->values[i] += residual[i];
  return TRUE;
}

/* --- class --- */

static void
afp_vptq_class_init (AfpVptqClass *klass)
{
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);
  AfpCodecClass *codec_class = AFP_CODEC_CLASS (klass);

  afp_element_class_add_properties (element_class, vptq_properties, G_N_ELEMENTS (vptq_properties),
                                    0);
  afp_element_class_set_presets (element_class, vptq_presets, G_N_ELEMENTS (vptq_presets));
  afp_element_class_set_details (
      element_class, "Vector quantization: vectors become indices into a trained codebook",
      "load location=model.safetensors ! vptq v=4 k=256 ! eval ! write location=model.h5");
  codec_class->version = 1;
  codec_class->default_planes =
      AFP_KINDS (AFP_KIND_WEIGHT) | AFP_KINDS (AFP_KIND_RESIDUAL) | AFP_KINDS (AFP_KIND_COEFFS);
  codec_class->describe = vptq_describe;
  codec_class->scratch = vptq_scratch;
  codec_class->fit = vptq_fit;
  codec_class->open = vptq_open;
  codec_class->close = vptq_close;
  codec_class->encode_block = vptq_encode_block;
  codec_class->decode_block = vptq_decode_block;
}

static void
afp_vptq_init (AfpVptq *self)
{
}

static gboolean
vptq_init (AfpPlugin *plugin, GError **error)
{
  afp_plugin_add_element (plugin, "vptq", AFP_TYPE_VPTQ);
  return TRUE;
}

AFP_PLUGIN_DEFINE ("vptq", AFP_VERSION, "LGPL-2.1-or-later", "https://afpipe.example/afpipe",
                   "Vector quantization with trained codebooks", vptq_init)
