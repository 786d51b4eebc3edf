/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"
#include "toy-codec.h"

#include "io/afp-file.h"

#include <sys/stat.h>

static const guint64 square[] = { 64, 64 }, vector[] = { 10 };

/* --- a source and a sink, for pipelines around the writer ------------------------------------------------------------ */

typedef AfpSource ToySource;
typedef AfpSourceClass ToySourceClass;
typedef struct {
  AfpSink parent_instance;
  char *location;
  gpointer writer;
} ToySink;
typedef AfpSinkClass ToySinkClass;

GType toy_source_get_type (void);
GType toy_sink_get_type (void);
G_DEFINE_TYPE (ToySource, toy_source, AFP_TYPE_SOURCE)
G_DEFINE_TYPE (ToySink, toy_sink, AFP_TYPE_SINK)

static gboolean
toy_source_open (AfpSource *self, GError **error)
{
  return TRUE;
}

static gsize
toy_source_get_n_tensors (AfpSource *self)
{
  return 2;
}

static AfpTensor *
toy_source_make (gsize index, gboolean with_data)
{
  g_autoptr (AfpSpec) spec = index == 0
                                 ? afp_spec_new ("fc", AFP_DTYPE_F32, 2, square, NULL, NULL)
                                 : afp_spec_new ("bias", AFP_DTYPE_F32, 1, vector, NULL, NULL);
  g_autoptr (GBytes) data = NULL;

  if (with_data) {
    const gsize n = afp_spec_get_n_bytes (spec);
    float *values = g_malloc (n);
    for (gsize i = 0; i < n / 4; i++)
      values[i] = (float) i / 100;
    data = g_bytes_new_take (values, n);
  }
  g_autoptr (AfpPlane) root = afp_plane_new_raw (spec, data);
  return afp_tensor_new (spec, root);
}

static AfpTensor *
toy_source_plan (AfpSource *self, gsize index, GError **error)
{
  return toy_source_make (index, FALSE);
}

static AfpTensor *
toy_source_read (AfpSource *self, gsize index, GError **error)
{
  return toy_source_make (index, TRUE);
}

static char *
toy_source_fingerprint (AfpSource *self)
{
  return g_strdup ("c0ffee");
}

/* More than fits, with a list and a time. */
static JsonNode *
toy_source_metrics (AfpElement *self)
{
  g_autofree char *long_text = g_strnfill (3000, 'x');
  g_autofree char *text =
      g_strdup_printf ("{\"nmse\":0.5,\"total\":{\"bytes\":7,\"tensors\":[1,2]},\"seconds\":9.5,"
                       "\"tensors\":[{\"name\":\"fc\"}],\"remark\":\"%s\"}",
                       long_text);
  return json_from_string (text, NULL);
}

static void
toy_source_class_init (ToySourceClass *klass)
{
  AFP_ELEMENT_CLASS (klass)->get_metrics = toy_source_metrics;
  klass->open = toy_source_open;
  klass->get_n_tensors = toy_source_get_n_tensors;
  klass->plan_tensor = toy_source_plan;
  klass->read_tensor = toy_source_read;
  klass->get_fingerprint = toy_source_fingerprint;
}

static void
toy_source_init (ToySource *self)
{
}

static gboolean
toy_sink_start (AfpElement *element, AfpRun *run, GError **error)
{
  ToySink *self = (ToySink *) element;
  const AfpWriterOptions options = { .location = self->location, .run = run };

  self->writer = afp_writer_afp.open (&options, error);
  return self->writer != NULL;
}

static void
toy_sink_stop (AfpElement *element, gboolean ok)
{
  ToySink *self = (ToySink *) element;

  if (self->writer)
    afp_writer_afp.close (self->writer, ok);
  self->writer = NULL;
}

static gboolean
toy_sink_consume (AfpSink *self, AfpTensor *tensor, GError **error)
{
  return afp_writer_afp.write (((ToySink *) self)->writer, tensor, error);
}

static gboolean
toy_sink_finish (AfpSink *self, GError **error)
{
  return afp_writer_afp.finish (((ToySink *) self)->writer, error);
}

static gboolean
toy_sink_publish (AfpSink *self, GError **error)
{
  return afp_writer_afp.publish (((ToySink *) self)->writer, NULL, error);
}

static const AfpProperty sink_properties[] = {
  AFP_PROP_STRING ("location", NULL, AFP_PROPERTY_FILE, ToySink, location, NULL, "The file"),
};

static void
toy_sink_class_init (ToySinkClass *klass)
{
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);

  afp_element_class_add_properties (element_class, sink_properties, G_N_ELEMENTS (sink_properties),
                                    0);
  element_class->start = toy_sink_start;
  element_class->stop = toy_sink_stop;
  klass->consume = toy_sink_consume;
  klass->finish = toy_sink_finish;
  klass->publish = toy_sink_publish;
}

static void
toy_sink_init (ToySink *self)
{
}

static void
note_warning (AfpMessage *message, gpointer user_data)
{
  if (afp_message_get_message_type (message) == AFP_MESSAGE_WARNING)
    g_string_append (user_data, afp_message_get_text (message));
}

/* Returns the warnings. */
static char *
run_toys (const char *location)
{
  g_autofree char *text =
      g_strdup_printf ("toy-source ! toy block-size=16 ! toy-sink location=%s", location);
  GString *warnings = g_string_new (NULL);
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, &error);

  ck_assert_msg (pipeline != NULL, "%s", error ? error->message : "");
  afp_pipeline_set_handler (pipeline, note_warning, warnings);
  ck_assert_msg (afp_pipeline_run (pipeline, &error), "%s", error ? error->message : "");
  return g_string_free (warnings, FALSE);
}

/* --- helpers -------------------------------------------------------------------------------------------------------- */

static gpointer
open_writer (const char *path)
{
  const AfpWriterOptions options = { .location = path };
  GError *error = NULL;
  gpointer writer = afp_writer_afp.open (&options, &error);

  ck_assert_msg (writer != NULL, "%s", error ? error->message : "");
  return writer;
}

static AfpFile *
read_file (const char *path)
{
  GError *error = NULL;
  AfpFile *file = afp_file_read (path, &error);

  ck_assert_msg (file != NULL, "%s", error ? error->message : "");
  return file;
}

/* --- files ---------------------------------------------------------------------------------------------------------- */

START_TEST (a_pipeline_is_told_in_the_file)
{
  g_autofree char *path = in_folder ("m.h5"), *warnings = run_toys (path);
  g_autoptr (AfpFile) file = read_file (path);

  ck_assert_str_eq (warnings, "");
  ck_assert_str_eq (file->pipeline, "toy-source ! toy block-size=16 ! toy-sink");
  ck_assert_str_eq (file->fingerprint, "c0ffee");
  ck_assert_str_eq (file->tool_version, "afpipe " AFP_VERSION);
  ck_assert_str_eq (
      file->metrics,
      "[{\"name\":\"toy-source0\",\"metrics\":{\"nmse\":0.5,\"total\":{\"bytes\":7}}}]");
  ck_assert (!file->plugins || !*file->plugins); /* all of its codecs are built in */
  ck_assert_uint_eq (file->tensors->len, 2);
  ck_assert_str_eq (file->recipes->pdata[0],
                    "weight=toy/2(block-size=16){seeds,coeffs=block-float/1("
                    "mantissa-bits=4){exponents,mantissas},scale=f16/1{codes}}");
  ck_assert_str_eq (file->recipes->pdata[1], "weight");
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

START_TEST (runs_are_byte_for_byte_the_same)
{
  g_autofree char *one = in_folder ("1.h5"), *two = in_folder ("2.h5");
  g_autofree char *x = NULL, *y = NULL;
  gsize n, m;

  g_free (run_toys (one));
  g_free (run_toys (two));
  ck_assert (g_file_get_contents (one, &x, &n, NULL));
  ck_assert (g_file_get_contents (two, &y, &m, NULL));
  ck_assert_uint_eq (n, m);
  ck_assert_mem_eq (x, y, n);
}
END_TEST

START_TEST (a_leftover_gives_a_warning)
{
  g_autofree char *path = in_folder ("m.h5"), *warnings = NULL;

  g_free (put_file ("m.h5.part", "old", 3));
  warnings = run_toys (path);
  ck_assert_ptr_nonnull (strstr (
      warnings,
      "m.h5.part' was left by a run that was killed, with 0 finished tensors; it is overwritten"));
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

START_TEST (rows_say_what_was_written)
{
  g_autofree char *path = in_folder ("m.h5");
  g_autoptr (AfpTensor) fc = toy_tensor ("fc", TOY_RECIPE, AFP_DTYPE_F16, 2, square, NULL);
  g_autoptr (AfpTensor) ids = toy_tensor ("ids", "weight", AFP_DTYPE_I64, 1, vector, NULL);
  AfpTensor *tensors[] = { fc, ids };
  const AfpWriterOptions options = { .location = path };
  const guint64 bytes = write_all (&afp_writer_afp, &options, 2, tensors);
  g_autoptr (AfpFile) file = read_file (path);
  g_autofree char *data = NULL;
  gsize n;

  ck_assert (g_file_get_contents (path, &data, &n, NULL));
  ck_assert_uint_eq (n, bytes);
  ck_assert_uint_eq (file->planes->len, 5);
  static const struct {
    const char *role;
    guint bits, bytes;
  } expected[] = { { "weight/seeds", 16, 1024 },
                   { "weight/coeffs/exponents", 4, 256 },
                   { "weight/coeffs/mantissas", 4, 768 },
                   { "weight/scale/codes", 16, 4 },
                   { "weight", 64, 80 } };
  for (guint i = 0; i < 5; i++) {
    const AfpFilePlane *plane = afp_file_plane (file, i);
    ck_assert_str_eq (plane->role, expected[i].role);
    ck_assert_uint_eq (plane->bits, expected[i].bits);
    ck_assert_uint_eq (plane->bytes, expected[i].bytes);
    ck_assert_uint_eq (plane->crc32,
                       afp_file_crc32 (data + file->payload_offset + plane->offset, plane->bytes));
  }
  ck_assert_str_eq (afp_file_tensor (file, 0)->view, "in:1");
  ck_assert_str_eq (afp_file_tensor (file, 1)->shape, "10");
  ck_assert_uint_eq (afp_file_tensor (file, 1)->recipe, 1);
}
END_TEST

START_TEST (aliases_share_rows)
{
  g_autofree char *path = in_folder ("m.h5");
  g_autoptr (AfpTensor) first = toy_tensor ("a", TOY_RECIPE, AFP_DTYPE_F16, 2, square, NULL);
  g_autoptr (AfpSpec) alias_spec = afp_spec_new ("b", AFP_DTYPE_F16, 2, square, NULL, "a");
  g_autoptr (AfpTensor) alias = afp_tensor_new (alias_spec, afp_tensor_get_root (first));
  g_autoptr (AfpSpec) early_spec = afp_spec_new ("0", AFP_DTYPE_F16, 2, square, NULL, "a");
  g_autoptr (AfpTensor) early = afp_tensor_new (early_spec, afp_tensor_get_root (first));
  g_autoptr (AfpTensor) other = toy_tensor ("c", TOY_RECIPE, AFP_DTYPE_F16, 2, square, "a");
  g_autoptr (AfpTensor) lost = toy_tensor ("d", TOY_RECIPE, AFP_DTYPE_F16, 2, square, "none");
  AfpTensor *tensors[] = { early, first, alias, other, lost };
  const AfpWriterOptions options = { .location = path };

  write_all (&afp_writer_afp, &options, 5, tensors);
  g_autoptr (AfpFile) file = read_file (path);
  ck_assert_uint_eq (file->planes->len, 16);
  ck_assert_int_eq (afp_file_tensor (file, 0)->alias_of, 1);
  ck_assert_int_eq (afp_file_tensor (file, 1)->alias_of, -1);
  ck_assert_int_eq (afp_file_tensor (file, 2)->alias_of, 1);
  ck_assert_int_eq (afp_file_tensor (file, 3)->alias_of, 1);
  ck_assert_int_eq (afp_file_tensor (file, 4)->alias_of, -1);
  ck_assert_uint_eq (afp_file_tensor (file, 2)->first_plane, 4);
  ck_assert_uint_eq (afp_file_tensor (file, 3)->first_plane, 8);
  /* Told too late to share rows; the bytes are shared all the same. */
  ck_assert_uint_eq (afp_file_plane (file, 0)->offset, afp_file_plane (file, 4)->offset);
  ck_assert_uint_eq (file->payload_bytes, 3 * 2056 - 4);
}
END_TEST

/* The goals of the format: at most 60 bytes for each tensor beyond its planes, alignment included, and 3 KB for the file. */
START_TEST (small_tensors_cost_little)
{
  const char *recipe = "weight=toy/1(block-size=8){seeds,coeffs=raw32/1{codes},scale=f16/1{codes}}";
  guint64 sizes[2], planes = 0;

  for (guint k = 0; k < 2; k++) {
    const guint n = k ? 100 : 1;
    g_autofree char *path = in_folder (k ? "many.h5" : "one.h5");
    gpointer writer = open_writer (path);
    for (guint i = 0; i < n; i++) {
      g_autofree char *name =
          g_strdup_printf ("blocks.%u.mlp.%s.weight", i / 2, i % 2 ? "up_proj" : "down_proj");
      g_autoptr (AfpTensor) tensor = toy_tensor (name, recipe, AFP_DTYPE_F32, 2, square, NULL);
      AfpSize size;
      afp_tensor_get_size (tensor, &size);
      planes = size.planes;
      ck_assert (afp_writer_afp.write (writer, tensor, NULL));
    }
    ck_assert (afp_writer_afp.finish (writer, NULL));
    ck_assert (afp_writer_afp.publish (writer, &sizes[k], NULL));
    afp_writer_afp.close (writer, TRUE);
  }
  ck_assert_uint_lt (sizes[0] - planes, 3000);
  ck_assert_uint_lt ((sizes[1] - sizes[0]) / 99 - planes, 60);
}
END_TEST

/* --- trouble -------------------------------------------------------------------------------------------------------- */

START_TEST (what_is_not_finished_leaves_nothing)
{
  g_autofree char *path = in_folder ("m.h5");
  g_autoptr (AfpTensor) fc = toy_tensor ("fc", TOY_RECIPE, AFP_DTYPE_F16, 2, square, NULL);

  for (guint steps = 0; steps < 3; steps++) {
    gpointer writer = open_writer (path);
    if (steps > 0)
      ck_assert (afp_writer_afp.write (writer, fc, NULL));
    if (steps > 1)
      ck_assert (afp_writer_afp.finish (writer, NULL));
    afp_writer_afp.close (writer, FALSE);
    ck_assert_uint_eq (count_files (), 0);
  }
}
END_TEST

#define assert_not_opened(path, ...)                               \
  do {                                                             \
    const AfpWriterOptions options_ = { .location = (path) };      \
    GError *error_ = NULL;                                         \
    ck_assert_ptr_null (afp_writer_afp.open (&options_, &error_)); \
    assert_error (error_, AFP_ERROR_IO, __VA_ARGS__);              \
  } while (0)

START_TEST (places_where_nothing_can_be_written)
{
  g_autofree char *there = put_file ("m.h5", "keep", 4), *nowhere = in_folder ("no/m.h5"),
                  *free_place = in_folder ("n.h5");

  assert_not_opened (there, "m.h5' exists already", "overwrite=true");
  assert_not_opened (test_folder, "is a folder");
  assert_not_opened (nowhere, "no'", "create it first");
  gpointer writer = open_writer (free_place);
  assert_not_opened (free_place, "another run or stage is writing to the same location");
  afp_writer_afp.close (writer, FALSE);
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

START_TEST (an_old_file_stays_until_the_new_one_is_there)
{
  g_autofree char *path = put_file ("m.h5", "keep", 4), *text = NULL;
  const AfpWriterOptions options = { .location = path, .overwrite = TRUE };
  g_autoptr (AfpTensor) fc = toy_tensor ("fc", TOY_RECIPE, AFP_DTYPE_F16, 2, square, NULL);
  gpointer writer = afp_writer_afp.open (&options, NULL);

  ck_assert (afp_writer_afp.write (writer, fc, NULL));
  ck_assert (afp_writer_afp.finish (writer, NULL));
  ck_assert (g_file_get_contents (path, &text, NULL, NULL));
  ck_assert_str_eq (text, "keep");
  ck_assert (afp_writer_afp.publish (writer, NULL, NULL));
  afp_writer_afp.close (writer, TRUE);
  ck_assert (afp_file_is_ours (path));
}
END_TEST

START_TEST (tensors_that_are_refused)
{
  g_autofree char *path = in_folder ("m.h5");
  g_autoptr (AfpTensor) fc = toy_tensor ("fc", TOY_RECIPE, AFP_DTYPE_F16, 2, square, NULL);
  g_autoptr (AfpPlane) open = afp_recipe_reopen_floats (afp_tensor_get_root (fc));
  g_autoptr (AfpSpec) spec = afp_spec_new ("open", AFP_DTYPE_F16, 2, square, NULL, NULL);
  g_autoptr (AfpTensor) unfinished = afp_tensor_new (spec, open);
  g_autoptr (AfpTensor) planned = make_tensor ("planned", AFP_DTYPE_F32, 1, vector, FALSE);
  gpointer writer = open_writer (path);
  GError *error = NULL;

  ck_assert (afp_writer_afp.write (writer, fc, &error));
  ck_assert (!afp_writer_afp.write (writer, fc, &error));
  assert_error (error, AFP_ERROR_FORMAT, "cannot write '", "two tensors have the name 'fc'");
  ck_assert (!afp_writer_afp.write (writer, unfinished, &error));
  assert_error (error, AFP_ERROR_FORMAT, "tensor 'open': plane 'weight/coeffs' (coeffs)",
                "neither codes nor a raw array");
  ck_assert (!afp_writer_afp.write (writer, planned, &error));
  assert_error (error, AFP_ERROR_FORMAT, "tensor 'planned': plane 'weight' (weight)");
  afp_writer_afp.close (writer, FALSE);
}
END_TEST

START_TEST (plans_that_are_refused)
{
  g_autofree char *name = g_strnfill (1025, 'n'), *params = g_strnfill (8200, 'p');
  g_autoptr (AfpTensor) fine = toy_tensor ("fc", TOY_RECIPE, AFP_DTYPE_F16, 2, square, NULL);
  g_autoptr (AfpTensor) long_name = make_tensor (name, AFP_DTYPE_F32, 1, vector, FALSE);
  g_autoptr (AfpTensor) no_name = make_tensor ("", AFP_DTYPE_F32, 1, vector, FALSE);
  g_autoptr (AfpTensor) two_lines = make_tensor ("a\nb", AFP_DTYPE_F32, 1, vector, FALSE);
  g_autoptr (AfpTensor) no_utf8 = make_tensor ("a\xff", AFP_DTYPE_F32, 1, vector, FALSE);
  AfpPlane *root = afp_tensor_get_root (fine);
  g_autoptr (AfpPlane) verbose =
      afp_plane_new_coded (afp_plane_get_desc (root), "toy", 1, params, 0, NULL);
  g_autoptr (AfpTensor) long_recipe = afp_tensor_new_with_root (fine, verbose);
  const AfpWriterOptions options = { .location = "m.h5" };
  GError *error = NULL;

  ck_assert (afp_writer_afp.plan_tensor (&options, fine, &error));
  ck_assert (!afp_writer_afp.plan_tensor (&options, long_name, &error));
  assert_error (error, AFP_ERROR_PLAN, "tensor \"nnn", "its name has 1025 bytes", "1 to 1024");
  ck_assert (!afp_writer_afp.plan_tensor (&options, no_name, &error));
  assert_error (error, AFP_ERROR_PLAN, "its name has 0 bytes");
  ck_assert (!afp_writer_afp.plan_tensor (&options, no_utf8, &error));
  assert_error (error, AFP_ERROR_PLAN, "tensor \"a\\377\"", "are UTF-8");
  ck_assert (!afp_writer_afp.plan_tensor (&options, two_lines, &error));
  assert_error (error, AFP_ERROR_PLAN, "tensor \"a\\nb\"", "without control characters");
  ck_assert (!afp_writer_afp.plan_tensor (&options, long_recipe, &error));
  assert_error (error, AFP_ERROR_PLAN, "tensor 'fc': its recipe of 8", "at most 8192");

  g_autoptr (AfpPlane) deep = afp_plane_ref (root);
  for (guint i = 0; i < 12; i++) {
    AfpPlaneDesc desc = *afp_plane_get_desc (deep);
    desc.name = "a-name-of-twenty-one";
    AfpPlane *inner = afp_plane_new_coded (&desc, "toy", 1, "", 1, &deep);
    afp_plane_unref (deep);
    deep = inner;
  }
  g_autoptr (AfpTensor) deep_tensor = afp_tensor_new_with_root (fine, deep);
  ck_assert (!afp_writer_afp.plan_tensor (&options, deep_tensor, &error));
  assert_error (error, AFP_ERROR_PLAN, "tensor 'fc'", "use fewer stages");
}
END_TEST

START_TEST (too_many_tensors_are_refused_at_once)
{
  g_autofree char *path = in_folder ("m.h5");
  g_autoptr (GPtrArray) planned = g_ptr_array_new ();
  const AfpWriterOptions options = { .location = path, .planned = planned };
  GError *error = NULL;

  g_ptr_array_set_size (planned, AFP_FILE_MAX_TENSORS + 1);
  ck_assert_ptr_null (afp_writer_afp.open (&options, &error));
  assert_error (error, AFP_ERROR_IO, "262145 tensors are planned, a file holds at most 262144");
  ck_assert_uint_eq (count_files (), 0);
}
END_TEST

static TCase *
file_case (void)
{
  TCase *tcase = io_case ("files");
  tcase_add_test (tcase, a_pipeline_is_told_in_the_file);
  tcase_add_test (tcase, runs_are_byte_for_byte_the_same);
  tcase_add_test (tcase, a_leftover_gives_a_warning);
  tcase_add_test (tcase, rows_say_what_was_written);
  tcase_add_test (tcase, aliases_share_rows);
  tcase_add_test (tcase, small_tensors_cost_little);
  return tcase;
}

static TCase *
trouble_case (void)
{
  TCase *tcase = io_case ("trouble");
  tcase_add_test (tcase, what_is_not_finished_leaves_nothing);
  tcase_add_test (tcase, places_where_nothing_can_be_written);
  tcase_add_test (tcase, an_old_file_stays_until_the_new_one_is_there);
  tcase_add_test (tcase, tensors_that_are_refused);
  tcase_add_test (tcase, plans_that_are_refused);
  tcase_add_test (tcase, too_many_tensors_are_refused_at_once);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { file_case, trouble_case };

  toy_register ();
  afp_registry_add_builtin ("toy-source", toy_source_get_type ());
  afp_registry_add_builtin ("toy-sink", toy_sink_get_type ());
  return run_suite ("writer-afp", cases, G_N_ELEMENTS (cases));
}
