/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-quantizer.h"

#include "afp-codec-private.h"
#include "afp-crash.h"
#include "afp-error.h"

#include <string.h>

typedef struct {
  guint child; /* index in the layout */
  guint n;     /* symbols per vector */
  guint bits;
  guint offset;
} CodeChild;

struct _AfpQuantizer {
  GObject parent_instance;
  AfpEncoder *encoder;
  guint length;
  guint n_codes;
  GArray *codes; /* CodeChild */
};

G_DEFINE_FINAL_TYPE (AfpQuantizer, afp_quantizer, G_TYPE_OBJECT)

static void
afp_quantizer_finalize (GObject *object)
{
  AfpQuantizer *self = AFP_QUANTIZER (object);

  g_clear_pointer (&self->encoder, afp_encoder_free);
  g_array_unref (self->codes);
  G_OBJECT_CLASS (afp_quantizer_parent_class)->finalize (object);
}

static void
afp_quantizer_class_init (AfpQuantizerClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = afp_quantizer_finalize;
}

static void
afp_quantizer_init (AfpQuantizer *self)
{
  self->codes = g_array_new (FALSE, FALSE, sizeof (CodeChild));
}

/**
 * afp_quantizer_new:
 * @claim: a claim on a plane with a vector length, without open-loop reason
 * @name: "tensor/plane/path"
 * @pool: (nullable): threads for fitting
 * @error: return location
 *
 * Returns: (transfer full): a quantizer for vectors of the plane, not yet frozen
 */
AfpQuantizer *
afp_quantizer_new (AfpClaim *claim, const char *name, AfpPool *pool, GError **error)
{
  const AfpLayout *layout = claim->layout;

  if (claim->open_loop_reason) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC, "%s: %s cannot answer the quantizer query: %s",
                 name, afp_element_get_factory_name (AFP_ELEMENT (claim->codec)),
                 claim->open_loop_reason);
    return NULL;
  }
  g_autoptr (AfpQuantizer) self = g_object_new (AFP_TYPE_QUANTIZER, NULL);
  self->length = layout->input.vector;
  for (guint i = 0; i < afp_layout_get_n_children (layout); i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (layout, i);
    if (desc->scope != AFP_SCOPE_BLOCK)
      continue;
    CodeChild code = { i, self->length / layout->quantum * desc->per_quantum, desc->bits,
                       self->n_codes };
    g_array_append_val (self->codes, code);
    self->n_codes += code.n;
  }
  self->encoder = afp_encoder_new (claim, name, pool, error);
  return self->encoder ? g_steal_pointer (&self) : NULL;
}

AfpClaim *
afp_quantizer_get_claim (AfpQuantizer *self)
{
  return self->encoder->claim;
}

guint
afp_quantizer_get_length (AfpQuantizer *self)
{
  return self->length;
}

guint
afp_quantizer_get_n_codes (AfpQuantizer *self)
{
  return self->n_codes;
}

guint
afp_quantizer_get_n_code_children (AfpQuantizer *self)
{
  return self->codes->len;
}

void
afp_quantizer_get_code_child (AfpQuantizer *self, guint i, guint *n, guint *bits, guint *offset)
{
  const CodeChild *code = &g_array_index (self->codes, CodeChild, i);

  *n = code->n;
  *bits = code->bits;
  *offset = code->offset;
}

gboolean
afp_quantizer_needs_fit (AfpQuantizer *self)
{
  const AfpContext *ctx = self->encoder->ctx;

  if (!AFP_CODEC_GET_CLASS (ctx->codec)->fit)
    return FALSE;
  for (guint i = 0; i < afp_layout_get_n_children (ctx->layout); i++)
    if (afp_layout_get_child (ctx->layout, i)->scope != AFP_SCOPE_BLOCK && !ctx->children[i].given)
      return TRUE;
  return FALSE;
}

gboolean
afp_quantizer_is_frozen (AfpQuantizer *self)
{
  return self->encoder->open;
}

/**
 * afp_quantizer_fit:
 * @self: a quantizer
 * @vectors: (nullable): n x length floats; %NULL: only freeze
 * @n: number of vectors
 * @metric: (nullable): metric of each vector
 * @error: return location
 *
 * Fits, or refits from where the last fit ended, and freezes.
 *
 * Returns: %FALSE on failure
 */
gboolean
afp_quantizer_fit (AfpQuantizer *self, const float *vectors, gsize n, const AfpMetric *metric,
                   GError **error)
{
  if (!vectors)
    return afp_encoder_fit (self->encoder, NULL, AFP_METRIC_NONE, 0, NULL, error);
  g_autoptr (GBytes) bytes = g_bytes_new_static (vectors, n * self->length * sizeof (float));
  g_autoptr (AfpMatrix) matrix = afp_matrix_new_dense (n, self->length, bytes);
  gboolean ok = afp_encoder_fit (self->encoder, matrix, metric ? metric->kind : AFP_METRIC_NONE,
                                 self->length, metric ? metric->data : NULL, error);
  g_clear_pointer (&self->encoder->ctx->matrix,
                   afp_matrix_unref); /* the vectors are the caller's */
  self->encoder->ctx->metric_data = NULL;
  self->encoder->ctx->metric_kind = AFP_METRIC_NONE;
  return ok;
}

/* Metric of the codec's quanta from that of whole vectors; data in @buffer (freed by the caller) where it must be regrouped. */
static AfpMetric
regroup_metric (const AfpMetric *metric, guint quantum, gsize n, float **buffer)
{
  AfpMetric result = { AFP_METRIC_NONE, quantum, NULL };

  *buffer = NULL;
  if (!metric || metric->kind == AFP_METRIC_NONE)
    return result;
  result.kind = metric->kind;
  const guint length = metric->length, parts = length / quantum;
  if (parts == 1 || metric->kind == AFP_METRIC_DIAGONAL) {
    result.data = metric->data;
    return result;
  }
  float *out = *buffer =
      g_new (float, MAX (n * parts * afp_metric_stride (metric->kind, quantum), 1));
  result.data = out;
  for (gsize v = 0; v < n; v++)
    for (guint p = 0; p < parts; p++)
      if (metric->kind == AFP_METRIC_SCALAR)
        *out++ = metric->data[v];
      else
        for (guint i = 0; i < quantum; i++, out += quantum)
          memcpy (out, metric->data + (v * length + p * quantum + i) * length + p * quantum,
                  quantum * sizeof *out);
  return result;
}

/* Symbols of all code children of n vectors, child after child, from or to the asker's order: vector after vector. */
static void
interleave (AfpQuantizer *self, gsize n, guint32 *const *children, guint32 *codes)
{
  for (guint c = 0; c < self->codes->len; c++) {
    const CodeChild *code = &g_array_index (self->codes, CodeChild, c);
    for (gsize v = 0; v < n; v++)
      memcpy (codes + v * self->n_codes + code->offset, children[c] + v * code->n,
              code->n * sizeof *codes);
  }
}

/**
 * afp_quantizer_quantize:
 * @self: a frozen quantizer
 * @vectors: n x length floats
 * @n: number of vectors
 * @metric: (nullable): the error that counts
 * @codes: (out caller-allocates) (nullable): n x n_codes symbols
 * @reconstruction: (out caller-allocates) (nullable): n x length floats: what a decoder will see
 * @errors: (out caller-allocates) (nullable): n errors under @metric
 * @error: return location
 *
 * The nearest representable vectors. Thread-safe.
 *
 * Returns: %FALSE on failure
 */
gboolean
afp_quantizer_quantize (AfpQuantizer *self, const float *vectors, gsize n, const AfpMetric *metric,
                        guint32 *codes, float *reconstruction, float *errors, GError **error)
{
  AfpCodec *codec = self->encoder->claim->codec;
  AfpCodecClass *klass = AFP_CODEC_GET_CLASS (codec);
  const guint quantum = self->encoder->claim->layout->quantum, length = self->length;
  AfpBlockPlane planes[AFP_QUANTIZER_MAX_CHILDREN] = { 0 };
  guint32 *children[AFP_QUANTIZER_MAX_CHILDREN];
  g_autofree float *regrouped = NULL;
  g_autofree guint32 *symbols = NULL;
  g_autofree float *own = NULL;

  g_return_val_if_fail (self->encoder->open, FALSE);
  const gboolean direct = codes && self->codes->len == 1;
  guint32 *next = direct ? codes : (symbols = g_new0 (guint32, MAX (n * self->n_codes, 1)));
  for (guint c = 0; c < self->codes->len; c++) {
    const CodeChild *code = &g_array_index (self->codes, CodeChild, c);
    children[c] = planes[code->child].codes = next;
    next += n * code->n;
  }
  AfpBlock block = {
    0, n, 0, length, (float *) vectors, regroup_metric (metric, quantum, n, &regrouped), planes
  };
  AfpCrashNote note;
  afp_crash_enter (&note, AFP_ELEMENT (codec));
  gboolean ok = klass->encode_block (codec, self->encoder->state, &block, error);
  afp_crash_leave (&note);
  if (!ok)
    return FALSE;
  if (codes && !direct)
    interleave (self, n, children, codes);
  if (!reconstruction && !errors)
    return TRUE;
  block.values = reconstruction ? reconstruction : (own = g_new (float, MAX (n * length, 1)));
  afp_crash_enter (&note, AFP_ELEMENT (codec));
  ok = klass->decode_block (codec, self->encoder->state, &block, error);
  afp_crash_leave (&note);
  if (!ok)
    return FALSE;
  for (gsize v = 0; errors && v < n; v++)
    errors[v] = metric
                    ? afp_metric_error (metric, v, vectors + v * length, block.values + v * length)
                    : afp_squared_error (vectors + v * length, block.values + v * length, length);
  return TRUE;
}

AfpPlane *
afp_quantizer_make_plane (AfpQuantizer *self, GBytes *const *codes)
{
  const AfpLayout *layout = self->encoder->claim->layout;
  const guint n = afp_layout_get_n_children (layout);
  g_autoptr (GPtrArray) children =
      g_ptr_array_new_with_free_func ((GDestroyNotify) afp_plane_unref);
  guint next = 0;

  for (guint i = 0; i < n; i++)
    g_ptr_array_add (children,
                     self->encoder->fixed[i]
                         ? afp_plane_ref (self->encoder->fixed[i])
                         : afp_plane_new_code (afp_layout_get_child (layout, i), codes[next++]));
  return afp_claim_make_plane (self->encoder->claim, (AfpPlane **) children->pdata);
}
