/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include <glib/gstdio.h>
#include <math.h>

/* --- numbers and tensors ------------------------------------------------------------------------------------------ */

static guint64
mix (guint64 x)
{
  x += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return x ^ (x >> 31);
}

float *
test_values (gsize n, guint64 seed)
{
  float *values = g_new (float, n + 1);

  for (gsize i = 0; i < n; i++) {
    const guint64 bits = mix (mix (seed) + i);
    const double u = ((double) (bits >> 32) + 0.5) / 4294967296.0,
                 v = ((double) (guint32) bits + 0.5) / 4294967296.0;
    values[i] = (float) (sqrt (-2 * log (u)) * cos (2 * G_PI * v));
  }
  return values;
}

AfpSpec *
test_spec (const char *name, AfpDType dtype, const char *shape, const char *view)
{
  g_auto (GStrv) axes = g_strsplit (shape, "x", -1);
  guint64 lengths[AFP_MAX_RANK];
  AfpView parsed;
  guint rank = 0;

  for (; axes[rank]; rank++)
    lengths[rank] = g_ascii_strtoull (axes[rank], NULL, 10);
  if (view)
    ck_assert_msg (afp_view_parse (view, rank, &parsed), "view '%s' of '%s'", view, shape);
  return afp_spec_new (name, dtype, rank, lengths, view ? &parsed : NULL, NULL);
}

static AfpTensor *
tensor_with (AfpSpec *spec, guint8 *raw)
{
  g_autoptr (GBytes) bytes = g_bytes_new_take (raw, afp_spec_get_n_bytes (spec));
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, bytes);

  return afp_tensor_new (spec, plane);
}

AfpTensor *
test_tensor (const char *name, AfpDType dtype, const char *shape, const char *view, guint64 seed)
{
  g_autoptr (AfpSpec) spec = test_spec (name, dtype, shape, view);
  const gsize n = afp_spec_get_n_elements (spec), n_bytes = afp_spec_get_n_bytes (spec);
  guint8 *raw = g_malloc (n_bytes + 1);

  if (afp_dtype_is_writable (dtype)) {
    g_autofree float *values = test_values (n, seed);
    afp_dtype_from_f32 (dtype, values, raw, 1, n);
  } else
    for (gsize i = 0; i < n_bytes; i++)
      raw[i] = (guint8) i;
  return tensor_with (spec, raw);
}

AfpTensor *
test_tensor_from (const char *name, const char *shape, const char *view, const float *values)
{
  g_autoptr (AfpSpec) spec = test_spec (name, AFP_DTYPE_F32, shape, view);

  return tensor_with (spec, g_memdup2 (values, afp_spec_get_n_bytes (spec)));
}

float *
test_decode_plane (AfpPlane *plane, AfpSpec *spec)
{
  GError *error = NULL;
  g_autoptr (AfpMatrix) matrix = afp_plane_open (plane, spec, &error);
  ck_assert_msg (matrix != NULL, "%s", error ? error->message : "?");
  g_autoptr (GBytes) dense = afp_matrix_to_dense (matrix, NULL, &error);
  ck_assert_msg (dense != NULL, "%s", error ? error->message : "?");
  gsize n;
  return g_bytes_unref_to_data (g_steal_pointer (&dense), &n);
}

float *
test_decode (AfpTensor *tensor)
{
  return test_decode_plane (afp_tensor_get_root (tensor), afp_tensor_get_spec (tensor));
}

static gboolean
append_plane (AfpPlane *plane, const char *path, gpointer user_data)
{
  GByteArray *all = user_data;
  const char *codec = afp_plane_get_codec (plane), *params = afp_plane_get_params (plane);
  GBytes *data = afp_plane_get_data (plane);
  g_autofree char *head =
      g_strdup_printf ("<%s=%s/%u(%s)%" G_GSIZE_FORMAT ">", path, codec ? codec : "",
                       afp_plane_get_codec_version (plane), params ? params : "",
                       data ? g_bytes_get_size (data) : 0);

  g_byte_array_append (all, (const guint8 *) head, (guint) strlen (head));
  if (data && g_bytes_get_size (data))
    g_byte_array_append (all, g_bytes_get_data (data, NULL), (guint) g_bytes_get_size (data));
  if (afp_plane_get_frozen (plane))
    afp_plane_foreach (afp_plane_get_frozen (plane), append_plane, all);
  return TRUE;
}

GBytes *
test_tree_bytes (AfpPlane *plane)
{
  GByteArray *all = g_byte_array_new ();

  afp_plane_foreach (plane, append_plane, all);
  return g_byte_array_free_to_bytes (all);
}

typedef struct {
  const char *path;
  AfpPlane *found;
} Find;

static gboolean
find_plane (AfpPlane *plane, const char *path, gpointer user_data)
{
  Find *find = user_data;

  if (strcmp (path, find->path) == 0)
    find->found = plane;
  return !find->found;
}

AfpPlane *
test_find (AfpPlane *root, const char *path)
{
  Find find = { path, NULL };

  afp_plane_foreach (root, find_plane, &find);
  return find.found;
}

double
test_nmse (const float *x, const float *y, gsize n)
{
  double error = 0, energy = 0;

  for (gsize i = 0; i < n; i++) {
    error += ((double) x[i] - y[i]) * ((double) x[i] - y[i]);
    energy += (double) x[i] * x[i];
  }
  return error / energy;
}

/* --- source and sink in memory ------------------------------------------------------------------------------------ */

static GPtrArray *inputs, *outputs, *tapped;
static JsonNode *report;
static char *plan_text;

typedef struct {
  AfpSource parent_instance;
} TestSource;
typedef AfpSourceClass TestSourceClass;
typedef struct {
  AfpSink parent_instance;
} TestSink;
typedef AfpSinkClass TestSinkClass;

GType test_source_get_type (void);
GType test_sink_get_type (void);
G_DEFINE_TYPE (TestSource, test_source, AFP_TYPE_SOURCE)
G_DEFINE_TYPE (TestSink, test_sink, AFP_TYPE_SINK)

static gsize
source_get_n_tensors (AfpSource *self)
{
  return inputs->len;
}

AfpMoments *
test_moments (guint64 size, gboolean diagonal, guint64 seed)
{
  const guint64 samples = 2 * size;
  g_autofree float *x = test_values (samples * size, seed);
  float *stored = g_new (float, afp_moments_n_stored (size, diagonal) + 1), *out = stored;

  for (guint64 s = 0; s < samples; s++)
    for (guint64 i = 0; i < size; i++) /* each input is like the one before, some are larger */
      x[s * size + i] = (i % 3 == 2 ? 2 : 1) * x[s * size + i] + (i ? x[s * size + i - 1] : 0);
  for (guint64 i = 0; i < size; i++)
    for (guint64 j = diagonal ? i : 0; j <= i; j++) {
      double sum = 0;
      for (guint64 s = 0; s < samples; s++)
        sum += (double) x[s * size + i] * x[s * size + j];
      *out++ = (float) (sum / (double) samples);
    }
  g_autoptr (GBytes) bytes = g_bytes_new_take (stored, (gsize) (out - stored) * sizeof *stored);
  return afp_moments_new (size, diagonal, samples, bytes);
}

AfpTensor *
test_tensor_with_moments (const char *name, const char *shape, gboolean diagonal, guint64 seed)
{
  g_autoptr (AfpTensor) tensor = test_tensor (name, AFP_DTYPE_F32, shape, NULL, seed);
  g_autoptr (AfpMoments) moments =
      test_moments (afp_spec_get_cols (afp_tensor_get_spec (tensor)), diagonal, seed + 1);

  return afp_tensor_new_with_moments (tensor, moments);
}

/* The same tree without data, where it is raw. */
static AfpTensor *
source_plan_tensor (AfpSource *self, gsize index, GError **error)
{
  AfpTensor *tensor = inputs->pdata[index];
  const AfpMoments *moments = afp_tensor_get_moments (tensor);
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (afp_tensor_get_spec (tensor), NULL);
  g_autoptr (AfpTensor) planned = afp_tensor_is_raw (tensor)
                                      ? afp_tensor_new (afp_tensor_get_spec (tensor), plane)
                                      : afp_tensor_ref (tensor);

  if (!moments)
    return g_steal_pointer (&planned);
  g_autoptr (AfpMoments) own =
      afp_moments_new (afp_moments_get_size (moments), afp_moments_is_diagonal (moments),
                       afp_moments_get_n_samples (moments), NULL);
  return afp_tensor_new_with_moments (planned, own);
}

static AfpTensor *
source_read_tensor (AfpSource *self, gsize index, GError **error)
{
  return afp_tensor_ref (inputs->pdata[index]);
}

static void
test_source_class_init (TestSourceClass *klass)
{
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Tensors from memory",
                                 "test-source ! null");
  klass->get_n_tensors = source_get_n_tensors;
  klass->plan_tensor = source_plan_tensor;
  klass->read_tensor = source_read_tensor;
}

static void
test_source_init (TestSource *self)
{
}

static gboolean
sink_consume (AfpSink *self, AfpTensor *tensor, GError **error)
{
  g_ptr_array_add (outputs, afp_tensor_ref (tensor));
  return TRUE;
}

static void
test_sink_class_init (TestSinkClass *klass)
{
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Keeps tensors in memory",
                                 "test-source ! test-sink");
  klass->consume = sink_consume;
}

static void
test_sink_init (TestSink *self)
{
}

/* --- what passes by --- */

typedef struct {
  AfpTransform parent_instance;
} TestTap;
typedef AfpTransformClass TestTapClass;
GType test_tap_get_type (void);
G_DEFINE_TYPE (TestTap, test_tap, AFP_TYPE_TRANSFORM)

static AfpTensor *
tap_process (AfpTransform *self, AfpTensor *tensor, GError **error)
{
  g_ptr_array_add (tapped, afp_tensor_ref (tensor));
  return afp_tensor_ref (tensor);
}

static void
test_tap_class_init (TestTapClass *klass)
{
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Keeps what passes",
                                 "test-source ! test-tap ! null");
  klass->process = tap_process;
}

static void
test_tap_init (TestTap *self)
{
}

/* --- pipelines ---------------------------------------------------------------------------------------------------- */

static void
forget_all (void)
{
  g_clear_pointer (&inputs, g_ptr_array_unref);
  g_clear_pointer (&outputs, g_ptr_array_unref);
  g_clear_pointer (&tapped, g_ptr_array_unref);
  g_clear_pointer (&report, json_node_unref);
  g_clear_pointer (&plan_text, g_free);
  test_remove_files ();
}

void
test_init (void)
{
  afp_registry_add_builtin ("test-source", test_source_get_type ());
  afp_registry_add_builtin ("test-sink", test_sink_get_type ());
  afp_registry_add_builtin ("test-tap", test_tap_get_type ());
  test_codecs_register ();
  inputs = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_tensor_unref);
  outputs = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_tensor_unref);
  tapped = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_tensor_unref);
  atexit (forget_all);
}

void
test_set_tensors (AfpTensor *first, ...)
{
  va_list args;

  g_ptr_array_set_size (inputs, 0);
  va_start (args, first);
  for (AfpTensor *tensor = first; tensor; tensor = va_arg (args, AfpTensor *))
    g_ptr_array_add (inputs, afp_tensor_ref (tensor));
  va_end (args);
}

gboolean
test_try (const char *text, guint threads, GError **error)
{
  g_autofree char *all =
      g_strconcat ("test-source ! ", text, *text ? " ! " : "", "test-sink", NULL);
  GError *local = NULL;
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (all, error);

  g_ptr_array_set_size (outputs, 0);
  g_ptr_array_set_size (tapped, 0);
  g_clear_pointer (&report, json_node_unref);
  g_clear_pointer (&plan_text, g_free);
  if (!pipeline)
    return FALSE;
  afp_pipeline_set_threads (pipeline, threads);
  const gboolean ok = afp_pipeline_run (pipeline, &local);
  report = afp_pipeline_get_report (pipeline, local);
  AfpPlan *plan = afp_pipeline_plan (pipeline, NULL);
  plan_text = plan ? afp_plan_to_string (plan) : NULL;
  if (local)
    g_propagate_error (error, local);
  return ok;
}

void
test_refuses (const char *text, const char *shape, const char *one, const char *two)
{
  g_autoptr (AfpTensor) input = test_tensor ("w", AFP_DTYPE_F32, shape, NULL, 3);
  GError *error = NULL;

  test_set_tensors (input, NULL);
  ck_assert (!test_try (text, 1, &error));
  assert_error (error, AFP_ERROR_PROPERTY, one, two);
}

AfpTensor *
test_run (const char *text, guint threads)
{
  GError *error = NULL;

  ck_assert_msg (test_try (text, threads, &error), "%s: %s", text, error ? error->message : "?");
  return outputs->len ? afp_tensor_ref (outputs->pdata[0]) : NULL;
}

GPtrArray *
test_output (void)
{
  return outputs;
}

GPtrArray *
test_tapped (void)
{
  return tapped;
}

JsonNode *
test_report (void)
{
  return report;
}

const char *
test_plan (void)
{
  return plan_text;
}

JsonNode *
test_report_get (const char *path)
{
  g_auto (GStrv) parts = g_strsplit (path, ".", -1);
  JsonNode *node = report;

  for (guint i = 0; node && parts[i]; i++) {
    if (JSON_NODE_HOLDS_OBJECT (node))
      node = json_object_get_member (json_node_get_object (node), parts[i]);
    else if (JSON_NODE_HOLDS_ARRAY (node)) {
      const guint64 index = g_ascii_strtoull (parts[i], NULL, 10);
      JsonArray *array = json_node_get_array (node);
      node = index < json_array_get_length (array) ? json_array_get_element (array, (guint) index)
                                                   : NULL;
    } else
      node = NULL;
  }
  return node;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static char *folder;
static GPtrArray *files;

char *
test_write_file (const char *name, const char *text)
{
  if (!folder) {
    folder = g_dir_make_tmp ("afpipe-test-XXXXXX", NULL);
    ck_assert_ptr_nonnull (folder);
    files = g_ptr_array_new_with_free_func (g_free);
  }
  char *path = g_build_filename (folder, name, NULL);
  ck_assert (g_file_set_contents (path, text, -1, NULL));
  g_ptr_array_add (files, g_strdup (path));
  return path;
}

void
test_remove_files (void)
{
  for (guint i = 0; files && i < files->len; i++)
    g_remove (files->pdata[i]);
  if (folder)
    g_rmdir (folder);
  g_clear_pointer (&files, g_ptr_array_unref);
  g_clear_pointer (&folder, g_free);
}
