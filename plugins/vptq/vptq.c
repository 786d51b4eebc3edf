/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq.h"
#include "vptq-builtin-kernel.h"
#include "vptq-kernel.h"

/*
 * vptq: vector quantization. Vectors of a float plane become indices into a codebook of centroids, trained on the plane
 * itself (k-means under the plane's metric), on a sample of the model, or built in. Format and training: SPEC.md.
 */

#define DEFAULT_LENGTH 4
#define AUTO_CENTROIDS 256 /* the most that auto takes */
#define VPTQ_MAX_GROUPS 256
#define AUTO_ROW_WIDTH \
  1270 /* from here on a scale per row in 16 bits pays, if rows differ by a seventh */

G_DEFINE_FINAL_TYPE (AfpVptq, afp_vptq, AFP_TYPE_CODEC)

static const char *const scale_values[] = { "auto", "none", "tensor", "row", NULL };
static const char *const codebook_values[] = { "trained", "builtin", "builtin-1", NULL };
static const char *const axis_values[] = { "input", "output", NULL };
static const char *const search_values[] = { "exact", "fast", NULL };
static const char *const norm_values[] = { "none", "column", NULL };
static const char *const sharing_values[] = { "tensor", "model", NULL };

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
  AFP_PROP_ENUM (
      "scale", NULL, AFP_PROPERTY_FORMAT, AfpVptq, scale, "auto", scale_values,
      "Divide by the root mean square of the plane or of each row first; auto: where the codebook is not the plane's own"),
  AFP_PROP_ENUM (
      "codebook", NULL, AFP_PROPERTY_FORMAT, AfpVptq, codebook, "trained", codebook_values,
      "Trained on the data; builtin: fitted to normal numbers, a part of the codec, without bytes; builtin-1: its version 1"),
  AFP_PROP_ENUM (
      "sharing", NULL, 0, AfpVptq, sharing, "tensor", sharing_values,
      "A trained codebook is of one tensor, or one for all tensors of the model that the element takes"),
  AFP_PROP_ENUM (
      "axis", NULL, AFP_PROPERTY_FORMAT, AfpVptq, axis, "input", axis_values,
      "A vector is neighbours in a row (inputs of one output), or in a column (outputs of "
      "one input, as in the paper)"),
  AFP_PROP_ENUM ("norm", NULL, AFP_PROPERTY_FORMAT, AfpVptq, norm, "none", norm_values,
                 "With axis=output: each column less its mean and divided by its deviation first; "
                 "both are kept, and errors count as they come out"),
  AFP_PROP_UINT ("residual-centroids", "k2", AFP_PROPERTY_FORMAT, AfpVptq, residual_centroids, 0,
                 VPTQ_MAX_CENTROIDS, "0", "vectors",
                 "A second codebook, of so many vectors, for what the first one misses; 0: none"),
  AFP_PROP_UINT (
      "groups", NULL, AFP_PROPERTY_FORMAT, AfpVptq, groups, 1, VPTQ_MAX_GROUPS, "1", "codebooks",
      "Columns fall into so many groups of one size, by what they count for, and each has a codebook of its own"),
  AFP_PROP_DOUBLE ("outliers", NULL, 0, AfpVptq, outliers, 0, 50, "0", "percent",
                   "So much of the columns, those that count most, make up one more group"),
  AFP_PROP_UINT (
      "refits", NULL, 0, AfpVptq, refits, 0, 16, "0", NULL,
      "With feedback: the codebook is trained so many times more, on what feedback makes of the data"),
  AFP_PROP_ENUM (
      "search", NULL, 0, AfpVptq, search, "exact", search_values,
      "The nearest of all centroids, or the nearest of those near by (fast), which costs about 0.05 % of the "
      "error, under a matrix metric 1 %; for 2,048 centroids and more. Training is always fast there"),
  AFP_PROP_DOUBLE (
      "rate-lambda", "lambda", 0, AfpVptq, rate_lambda, 0, 100, "0", NULL,
      "Centroids are chosen by error and bits, for a lossless stage behind: what a bit is worth, in mean squares of a number; "
      "0.1 to 0.5 make 2 to 1 bits per weight of normal numbers. 0: by error alone"),
  AFP_PROP_UINT ("iterations", NULL, 0, AfpVptq, iterations, 1, 10000, "25", NULL,
                 "Rounds of k-means at the most; it ends where a round gains less than 1e-4"),
  AFP_PROP_UINT ("samples", NULL, 0, AfpVptq, samples, 1, 1 << 20, "256", "vectors",
                 "Vectors per centroid to train on, at the most"),
};

static const AfpPreset vptq_presets[] = {
  { "paper-2bit", "vector-length=6 centroids=4096",
    "2 bits per weight as in VPTQ (arXiv 2409.17066), without its outliers and tuning" },
  { "joint-3.0", "centroids=256", "3 bits per weight behind seedlm preset=joint-3.0" },
  { "joint-2.5", "centroids=512", "2.5 bits per weight behind seedlm preset=joint-2.5" },
  { "joint-2.0", "centroids=256", "2 bits per weight behind seedlm preset=joint-2.0" },
  { "joint-1.5", "centroids=256", "1.5 bits per weight behind seedlm preset=joint-1.5" },
  { "joint-1.0", "centroids=16", "1 bit per weight behind seedlm preset=joint-1.0" },
  { "joint-0.5", "centroids=16", "Half a bit per weight behind seedlm preset=joint-0.5" },
};

/* --- layout --- */

/* Does the codebook serve other planes, too? */
static gboolean
is_common (const AfpVptq *self)
{
  return self->codebook != VPTQ_CODEBOOK_TRAINED || self->sharing == VPTQ_SHARING_MODEL;
}

/* Coefficients come divided by a scale already; that they are spread like normal numbers is not said. */
static VptqScale
choose_scale (const AfpVptq *self, const AfpPlaneDesc *in)
{
  if (self->norm == VPTQ_NORM_COLUMN)
    return VPTQ_SCALE_ROW;
  if (self->scale != VPTQ_SCALE_AUTO)
    return self->scale;
  if (!is_common (self) || (in->kind == AFP_KIND_COEFFS && self->codebook == VPTQ_CODEBOOK_TRAINED))
    return VPTQ_SCALE_NONE;
  return self->axis == VPTQ_AXIS_INPUT && in->kind == AFP_KIND_WEIGHT && in->cols >= AUTO_ROW_WIDTH
             ? VPTQ_SCALE_ROW
             : VPTQ_SCALE_TENSOR;
}

/* A decoder's properties say it all in groups. */
static guint
count_groups (const AfpVptq *self)
{
  return self->groups + (self->outliers > 0);
}

static guint
choose_length (const AfpVptq *self, const AfpPlaneDesc *in, GError **error)
{
  const guint length = self->vector_length ? self->vector_length : in->vector;

  if (self->rate_lambda > 0 && length >= VPTQ_MAX_LENGTH) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "rate-lambda needs a place beside the vector: vector-length=%u must be %u or less",
                 length, VPTQ_MAX_LENGTH - 1);
    return 0;
  }
  if (in->vector == 0) {
    const guint64 most = self->axis == VPTQ_AXIS_OUTPUT ? in->rows : in->cols;
    return length ? length : (guint) CLAMP (most, 1, DEFAULT_LENGTH);
  }
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
centroids_that_pay (const AfpPlaneDesc *in, guint length)
{
  const double n = (double) in->rows * (double) in->cols, v = length;
  guint k = AUTO_CENTROIDS;

  while (k > 2 && k * v * 16 > (16 - vptq_index_bits (k) / v) * n / 16)
    k /= 2;
  return k;
}

/* What a codebook costs that is not the plane's own does not depend on the plane. */
static guint
choose_centroids (const AfpVptq *self, const AfpPlaneDesc *in, guint length)
{
  if (self->centroids)
    return self->centroids;
  return is_common (self) ? AUTO_CENTROIDS : centroids_that_pay (in, length);
}

/* The order of the children is that in which they are added here and nowhere else. */
void
vptq_get_children (AfpVptq *self, const AfpLayout *layout, VptqChildren *children)
{
  const AfpPlaneDesc *in = afp_layout_get_input (layout);
  const VptqScale scale = choose_scale (self, in);
  gint next = VPTQ_CHILD_INDICES + 1;

  children->length = afp_layout_get_quantum (layout);
  children->codebook = self->codebook == VPTQ_CODEBOOK_TRAINED ? next++ : -1;
  children->n_residual = self->residual_centroids;
  children->residual_indices = self->residual_centroids ? next++ : -1;
  children->residual_codebook = self->residual_centroids ? next++ : -1;
  children->residual = self->residual ? next++ : -1;
  children->scale = scale == VPTQ_SCALE_NONE ? -1 : next++;
  children->bias = self->norm == VPTQ_NORM_COLUMN ? next++ : -1;
  children->n_groups = count_groups (self);
  children->groups = children->n_groups > 1 ? next++ : -1;
  children->row_scale = scale == VPTQ_SCALE_ROW;
  children->n_centroids =
      children->codebook >= 0
          ? (guint) afp_layout_get_child (layout, (guint) children->codebook)->rows /
                children->n_groups
          : choose_centroids (self, in, children->length);
}

static char *
list_builtin (void)
{
  GString *text = g_string_new (NULL);
  guint v, k;

  for (gsize i = 0; vptq_builtin_list (i, &v, &k); i++)
    g_string_append_printf (text, "%sv=%u k=%u", i ? ", " : "", v, k);
  return g_string_free (text, FALSE);
}

/* Properties that do not go together, for a plane of this kind. */
static gboolean
check_common (const AfpVptq *self, const AfpPlaneDesc *in, guint v, guint k, GError **error)
{
  const gboolean builtin = self->codebook != VPTQ_CODEBOOK_TRAINED;

  if (builtin && self->sharing == VPTQ_SHARING_MODEL) {
    g_set_error_literal (
        error, AFP_ERROR, AFP_ERROR_PROPERTY,
        "sharing=model and codebook=builtin exclude each other: a built-in codebook "
        "is every model's; leave one of the two out");
    return FALSE;
  }
  if (is_common (self) && self->scale == VPTQ_SCALE_NONE &&
      (builtin || in->kind != AFP_KIND_COEFFS)) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_PROPERTY,
        "scale=none cannot go with %s on plane '%s': planes of one codebook must be brought "
        "to one size; take scale=auto, tensor or row",
        builtin ? "codebook=builtin" : "sharing=model", in->name);
    return FALSE;
  }
  if (builtin && !vptq_builtin_has (v, k)) {
    g_autofree char *list = list_builtin ();
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "codebook=builtin has no table of centroids=%u with vector-length=%u for plane "
                 "'%s': there are %s",
                 k, v, in->name, list);
    return FALSE;
  }
  return TRUE;
}

/* Properties that the axis has a say in. */
static gboolean
check_axis (const AfpVptq *self, const AfpPlaneDesc *in, GError **error)
{
  const char *what = NULL;

  if (self->axis == VPTQ_AXIS_OUTPUT && in->vector > 0) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_PLAN,
        "axis=output is for planes whose columns are inputs, and plane '%s' has vectors of "
        "its own, of %u numbers: set axis=input",
        in->name, in->vector);
    return FALSE;
  }
  if (self->norm == VPTQ_NORM_COLUMN && self->axis == VPTQ_AXIS_INPUT)
    what = "norm=column needs axis=output: set that, or take scale=row or scale=tensor";
  else if (self->norm == VPTQ_NORM_COLUMN && self->scale != VPTQ_SCALE_AUTO)
    what = "norm=column has scales of its own: leave out scale";
  else if (self->axis == VPTQ_AXIS_OUTPUT && self->scale == VPTQ_SCALE_ROW)
    what = "scale=row needs axis=input: with axis=output take norm=column or scale=tensor";
  else if (self->axis == VPTQ_AXIS_OUTPUT && self->residual)
    what = "residual=true needs axis=input: with axis=output take residual-centroids";
  else if (self->axis == VPTQ_AXIS_OUTPUT && self->sharing == VPTQ_SHARING_MODEL)
    what = "sharing=model needs axis=input: its sample is pieces of rows";
  else if (self->rate_lambda > 0 && is_common (self))
    what =
        "rate-lambda needs the codebook of one tensor: leave out codebook=builtin and sharing=model";
  else if (self->rate_lambda > 0 && self->residual_centroids)
    what = "rate-lambda and residual-centroids exclude each other: leave one of the two out";
  else if (self->residual_centroids == 1)
    what = "residual-centroids=1 says nothing: take 0 for none, or 2 and more";
  else if (self->residual_centroids && self->residual)
    what = "residual-centroids and residual=true exclude each other: leave one of the two out";
  else if (self->residual_centroids && self->sharing == VPTQ_SHARING_MODEL)
    what = "residual-centroids and sharing=model exclude each other: leave one of the two out";
  if (what)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_PROPERTY, what);
  return !what;
}

/* Groups of columns, and what they do not go with. */
static gboolean
check_groups (const AfpVptq *self, const AfpPlaneDesc *in, GError **error)
{
  const char *what = NULL;

  if (count_groups (self) == 1)
    return TRUE;
  if (in->vector > 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "groups and outliers are for planes whose columns are inputs, and plane '%s' has "
                 "vectors of its own, of %u numbers: set groups=1 and outliers=0",
                 in->name, in->vector);
    return FALSE;
  }
  if (is_common (self))
    what = "groups and outliers need the codebook of one tensor: leave out codebook=builtin and "
           "sharing=model";
  else if (self->rate_lambda > 0)
    what = "groups and outliers exclude rate-lambda: leave one of them out";
  else if (self->residual_centroids)
    what = "groups and outliers exclude residual-centroids: leave one of them out";
  if (what)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_PROPERTY, what);
  return !what;
}

/* A residual takes vectors of any length, unless a metric ties them to its own. */
static void
add_residual (AfpLayout *layout, guint v)
{
  const AfpPlaneDesc *in = afp_layout_get_input (layout);
  const gboolean metric = in->vector && in->metric != AFP_METRIC_NONE;
  const guint residual =
      afp_layout_add_float (layout, "residual", AFP_KIND_RESIDUAL, v, metric ? v : 0);

  afp_layout_set_optional (layout, residual);
  if (metric)
    afp_layout_set_metric (layout, residual, in->metric);
}

/* What version 2 had not is in the recipe only where it is used. */
static void
describe_stages (const AfpVptq *self, AfpLayout *layout, VptqScale scale)
{
  const gboolean norm = self->norm == VPTQ_NORM_COLUMN;

  afp_layout_set_param_text (layout, "scale", norm ? NULL : scale_values[scale]);
  if (self->axis == VPTQ_AXIS_INPUT)
    afp_layout_set_param_text (layout, "axis", NULL);
  else
    afp_layout_set_open_loop (layout, "its vectors run along the outputs");
  if (!norm)
    afp_layout_set_param_text (layout, "norm", NULL);
  if (!self->residual_centroids)
    afp_layout_set_param_text (layout, "residual-centroids", NULL);
  if (count_groups (self) > 1)
    afp_layout_set_param (layout, "groups", count_groups (self));
  else
    afp_layout_set_param_text (layout, "groups", NULL);
}

static void
add_residual_stage (const AfpVptq *self, AfpLayout *layout, guint v)
{
  afp_layout_add_code (layout, "residual-indices", 1, vptq_index_bits (self->residual_centroids));
  const guint codebook = afp_layout_add_tensor_float (
      layout, "residual-codebook", AFP_KIND_CODEBOOK, self->residual_centroids, v, v);
  afp_layout_set_metric (layout, codebook, AFP_METRIC_SCALAR);
}

static gboolean
vptq_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  const AfpVptq *self = AFP_VPTQ (codec);
  const AfpPlaneDesc *in = afp_layout_get_input (layout);
  const VptqScale scale = choose_scale (self, in);
  const guint v = choose_length (self, in, error), k = v ? choose_centroids (self, in, v) : 0;

  if (!v || !check_axis (self, in, error) || !check_groups (self, in, error) ||
      !check_common (self, in, v, k, error))
    return FALSE;
  if (self->axis == VPTQ_AXIS_OUTPUT)
    afp_layout_set_transposed (layout, TRUE);
  afp_layout_set_quantum (layout, v);
  afp_layout_set_param (layout, "vector-length", v);
  afp_layout_set_param (layout, "centroids", k);
  describe_stages (self, layout, scale);
  if (self->codebook == VPTQ_CODEBOOK_BUILTIN)
    afp_layout_set_param_text (layout, "codebook", codebook_values[VPTQ_CODEBOOK_BUILTIN_1]);

  afp_layout_add_code (layout, "indices", 1, vptq_index_bits (k));
  if (self->codebook == VPTQ_CODEBOOK_TRAINED) {
    const guint codebook = afp_layout_add_tensor_float (layout, "codebook", AFP_KIND_CODEBOOK,
                                                        count_groups (self) * k, v, v);
    afp_layout_set_metric (layout, codebook, AFP_METRIC_SCALAR);
    if (self->sharing == VPTQ_SHARING_MODEL)
      afp_layout_set_shared (layout, codebook);
  }
  if (self->residual_centroids)
    add_residual_stage (self, layout, v);
  if (self->residual)
    add_residual (layout, v);
  if (scale == VPTQ_SCALE_TENSOR)
    afp_layout_add_tensor_float (layout, "scale", AFP_KIND_SCALE, 1, 1, 0);
  else if (scale == VPTQ_SCALE_ROW)
    afp_layout_add_row_float (layout, "scale", AFP_KIND_SCALE);
  if (self->norm == VPTQ_NORM_COLUMN)
    afp_layout_add_row_float (layout, "bias", AFP_KIND_SCALE);
  if (count_groups (self) > 1)
    afp_layout_add_tensor_code (layout, "groups", vptq_count_places (self, in, v),
                                vptq_index_bits (count_groups (self)));
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
      element_class, "Vector quantization: vectors become indices into a codebook",
      "load location=model.safetensors ! vptq v=4 k=256 ! eval ! write location=model.h5");
  codec_class->version = 4;
  codec_class->default_planes =
      AFP_KINDS (AFP_KIND_WEIGHT) | AFP_KINDS (AFP_KIND_RESIDUAL) | AFP_KINDS (AFP_KIND_COEFFS);
  codec_class->describe = vptq_describe;
  codec_class->scratch = vptq_scratch;
  codec_class->passes = vptq_passes;
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
