/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flow.h"
#include "synth-kernel.h"

#include <string.h>

/*
 * synth: tensors made on the fly, for benchmarks and for models larger than the disk. The same text gives the same numbers.
 *
 *   afpipe-launch "synth shapes=1024x1024,4096 count=3 distribution=normal seed=1 ! seedlm ! eval ! null"
 */
struct _AfpSynth {
  AfpSource parent_instance;
  char *shapes;
  guint count;
  gint distribution;
  double freedom;
  double deviation;
  guint64 seed;
  gint dtype;
  GPtrArray *specs;
};

G_DEFINE_FINAL_TYPE (AfpSynth, afp_synth, AFP_TYPE_SOURCE)

static const char *const distributions[] = { "normal", "laplace", "student-t", "uniform", NULL };
static const char *const dtypes[] = { "f32", "f64", "f16", "bf16", NULL };

static const AfpProperty properties[] = {
  AFP_PROP_STRING ("shapes", NULL, AFP_PROPERTY_REQUIRED, AfpSynth, shapes, NULL,
                   "Shapes separated by commas, outputs first: 1024x1024,4096"),
  AFP_PROP_UINT ("count", NULL, 0, AfpSynth, count, 1, 1000000, "1", "times",
                 "How many times the list of shapes is repeated"),
  AFP_PROP_ENUM ("distribution", NULL, 0, AfpSynth, distribution, "normal", distributions,
                 "Distribution of the numbers, of mean 0"),
  AFP_PROP_DOUBLE ("degrees-of-freedom", "nu", 0, AfpSynth, freedom, 2.001, 1e6, "5", NULL,
                   "Of Student's t"),
  AFP_PROP_DOUBLE ("standard-deviation", "sigma", 0, AfpSynth, deviation, 0, 1e30, "1", NULL,
                   "Of the numbers"),
  AFP_PROP_SIZE ("seed", NULL, 0, AfpSynth, seed, 0, 0x1p40, "1", NULL,
                 "Other seeds give other numbers"),
  AFP_PROP_ENUM ("dtype", NULL, 0, AfpSynth, dtype, "f32", dtypes, "Element type"),
};

static AfpDType
synth_dtype (AfpSynth *self)
{
  AfpDType dtype = AFP_DTYPE_F32;

  afp_dtype_parse (dtypes[self->dtype], &dtype);
  return dtype;
}

/* "1024x1024" */
static gboolean
parse_shape (const char *text, guint64 *shape, guint *rank, GError **error)
{
  g_auto (GStrv) axes = g_strsplit (text, "x", -1);

  *rank = 0;
  for (guint i = 0; axes[i]; i++) {
    char *end;
    if (*rank == AFP_MAX_RANK || !g_ascii_isdigit (*axes[i]))
      goto wrong;
    shape[(*rank)++] = g_ascii_strtoull (axes[i], &end, 10);
    if (*end)
      goto wrong;
  }
  if (*rank > 0)
    return TRUE;
wrong:
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_PROPERTY,
      "synth: '%s' in shapes= is no shape: give numbers joined by x, shapes joined by commas, like 1024x1024,4096",
      text);
  return FALSE;
}

static gboolean
synth_open (AfpSource *source, GError **error)
{
  AfpSynth *self = AFP_SYNTH (source);
  g_auto (GStrv) shapes = g_strsplit (self->shapes ? self->shapes : "", ",", -1);
  const AfpDType dtype = synth_dtype (self);

  g_clear_pointer (&self->specs, g_ptr_array_unref);
  self->specs = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_spec_unref);
  for (guint repeat = 0; repeat < self->count; repeat++)
    for (guint i = 0; shapes[i]; i++) {
      guint64 shape[AFP_MAX_RANK], n, bytes;
      guint rank;
      if (!parse_shape (g_strstrip (shapes[i]), shape, &rank, error))
        return FALSE;
      if (!afp_shape_count (rank, shape, afp_dtype_size (dtype), &n, &bytes)) {
        g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                     "synth: shape %s has more than 2^63 bytes", shapes[i]);
        return FALSE;
      }
      g_autofree char *name = g_strdup_printf ("synth.%u", self->specs->len);
      g_ptr_array_add (self->specs, afp_spec_new (name, dtype, rank, shape, NULL, NULL));
    }
  return TRUE;
}

static gsize
synth_get_n_tensors (AfpSource *source)
{
  return AFP_SYNTH (source)->specs->len;
}

static AfpTensor *
synth_plan_tensor (AfpSource *source, gsize index, GError **error)
{
  AfpSpec *spec = AFP_SYNTH (source)->specs->pdata[index];
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, NULL);

  return afp_tensor_new (spec, plane);
}

#define CHUNK 65536

typedef struct {
  AfpSynth *self;
  AfpDType dtype;
  guint64 seed, n;
  guint8 *out;
} FillJob;

static gboolean
fill_chunk (gsize index, gpointer user_data, GError **error)
{
  FillJob *job = user_data;
  const guint64 first = (guint64) index * CHUNK;
  const gsize n = (gsize) MIN (CHUNK, job->n - first);
  g_autofree float *values = g_new (float, n);
  const float deviation = (float) job->self->deviation;

  synth_fill ((SynthDistribution) job->self->distribution, job->self->freedom, job->seed, first, n,
              values);
  for (gsize i = 0; i < n; i++)
    values[i] *= deviation;
  afp_dtype_from_f32 (job->dtype, values, job->out + first * afp_dtype_size (job->dtype), 1, n);
  return TRUE;
}

static AfpTensor *
synth_read_tensor (AfpSource *source, gsize index, GError **error)
{
  AfpSynth *self = AFP_SYNTH (source);
  AfpSpec *spec = self->specs->pdata[index];
  FillJob job = { self, afp_spec_get_dtype (spec),
                  self->seed * G_GUINT64_CONSTANT (0x100000001b3) + index,
                  afp_spec_get_n_elements (spec), NULL };
  const gsize n_bytes = afp_spec_get_n_bytes (spec);

  job.out = g_try_malloc (MAX (n_bytes, 1));
  if (!job.out) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "synth: no memory for tensor '%s' of %" G_GSIZE_FORMAT " bytes",
                 afp_spec_get_name (spec), n_bytes);
    return NULL;
  }
  g_autoptr (GBytes) bytes = g_bytes_new_take (job.out, n_bytes);
  if (!afp_parallel_for (afp_element_get_pool (AFP_ELEMENT (self)),
                         (gsize) ((job.n + CHUNK - 1) / CHUNK), fill_chunk, &job, error))
    return NULL;
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, bytes);
  return afp_tensor_new (spec, plane);
}

static JsonNode *
synth_get_info (AfpSource *source)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "format");
  json_builder_add_string_value (builder, "synth");
  json_builder_end_object (builder);
  return json_builder_get_root (builder);
}

static char *
synth_get_fingerprint (AfpSource *source)
{
  AfpSynth *self = AFP_SYNTH (source);
  g_autofree char *text = g_strdup_printf ("synth 1 %s %u %d %.17g %.17g %" G_GUINT64_FORMAT " %d",
                                           self->shapes, self->count, self->distribution,
                                           self->freedom, self->deviation, self->seed, self->dtype);

  return g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);
}

static void
afp_synth_finalize (GObject *object)
{
  g_clear_pointer (&AFP_SYNTH (object)->specs, g_ptr_array_unref);
  G_OBJECT_CLASS (afp_synth_parent_class)->finalize (object);
}

static void
afp_synth_class_init (AfpSynthClass *klass)
{
  AfpSourceClass *source_class = AFP_SOURCE_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = afp_synth_finalize;
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), properties,
                                    G_N_ELEMENTS (properties), 0);
  afp_element_class_set_details (
      AFP_ELEMENT_CLASS (klass), "Makes tensors of random numbers",
      "synth shapes=1024x1024 distribution=normal seed=1 ! seedlm ! eval ! null");
  source_class->open = synth_open;
  source_class->get_n_tensors = synth_get_n_tensors;
  source_class->plan_tensor = synth_plan_tensor;
  source_class->read_tensor = synth_read_tensor;
  source_class->get_info = synth_get_info;
  source_class->get_fingerprint = synth_get_fingerprint;
}

static void
afp_synth_init (AfpSynth *self)
{
}
