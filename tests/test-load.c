/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keras-test.h"
#include "numpy-test.h"

#include <sys/stat.h>
#include <unistd.h>

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}"

static AfpSource *
make_load (const char *location)
{
  GError *error = NULL;
  AfpElement *element = afp_registry_make (afp_registry_get_default (), "load", &error);
  ck_assert_msg (element != NULL, "%s", error ? error->message : "?");
  if (location != NULL)
    ck_assert (afp_element_set_property_text (element, "location", location, &error));
  return AFP_SOURCE (element);
}

static AfpSource *
open_load (const char *location)
{
  GError *error = NULL;
  AfpSource *source = make_load (location);
  ck_assert_msg (afp_source_open (source, &error), "%s", error ? error->message : "?");
  return source;
}

static void
assert_info (AfpSource *source, const char *format, const char *file)
{
  g_autoptr (JsonNode) node = afp_source_get_info (source);
  JsonObject *info = json_node_get_object (node);
  ck_assert_str_eq (json_object_get_string_member (info, "format"), format);
  JsonArray *files = json_object_get_array_member (info, "files");
  ck_assert_uint_eq (json_array_get_length (files), 1);
  ck_assert_str_eq (json_array_get_string_element (files, 0), file);
}

#define assert_no_load(location, code_, ...)              \
  do {                                                    \
    GError *error_ = NULL;                                \
    g_autoptr (AfpSource) source_ = make_load (location); \
    ck_assert (!afp_source_open (source_, &error_));      \
    assert_error (error_, (code_), __VA_ARGS__);          \
  } while (0)

START_TEST (safetensors)
{
  g_autofree char *path = put_safetensors ("model.h5", "{" A "}", 16); /* by content, not by name */
  g_autoptr (AfpSource) source = open_load (path);
  ck_assert_uint_eq (afp_source_get_n_tensors (source), 1);
  g_autoptr (AfpTensor) planned = afp_source_plan_tensor (source, 0, NULL);
  ck_assert (afp_tensor_is_planned (planned));
  assert_text (describe_tensor (planned), "a f32 2x2 out:1");
  g_autoptr (AfpTensor) tensor = afp_source_read_tensor (source, 0, NULL);
  ck_assert (!afp_tensor_is_planned (tensor));
  assert_info (source, "safetensors", path);
  g_autofree char *fingerprint = afp_source_get_fingerprint (source);
  ck_assert_uint_eq (strlen (fingerprint), 64);
  ck_assert_ptr_null (afp_source_read_tensor (source, 1, NULL));
}
END_TEST

START_TEST (keras)
{
  g_autofree char *path = put_keras ("model.safetensors");
  g_autoptr (AfpSource) source = open_load (path);
  ck_assert_uint_eq (afp_source_get_n_tensors (source), 3);
  assert_info (source, "keras", path);
}
END_TEST

START_TEST (llama2c)
{
  /* dim 2, hidden 1, 1 layer, 1 head, 1 kv head, vocabulary 1, context 1 */
  static const gint32 header[] = { 2, 1, 1, 1, 1, 1, 1 };
  const guint n_floats = 2 + (2 + 4 * 4 + 2 + 3 * 2) + 2 + 2;
  g_autofree guint8 *data = g_malloc0 (28 + 4 * n_floats);
  for (guint i = 0; i < 7; i++) {
    const gint32 word = GINT32_TO_LE (header[i]);
    memcpy (data + 4 * i, &word, 4);
  }
  g_autofree char *path = put_file ("model", data, 28 + 4 * n_floats);
  g_autoptr (AfpSource) source = open_load (path);
  ck_assert_uint_eq (afp_source_get_n_tensors (source), 12);
  assert_info (source, "llama2c", path);
}
END_TEST

START_TEST (numpy)
{
  g_autofree char *path = golden_path ("numpy-v1.npy");
  g_autofree char *archive = golden_path ("numpy-deflated.npz");
  g_autoptr (AfpSource) one = open_load (path);
  ck_assert_uint_eq (afp_source_get_n_tensors (one), 1);
  assert_info (one, "numpy", path);
  g_autoptr (AfpSource) many = open_load (archive);
  ck_assert_uint_eq (afp_source_get_n_tensors (many), 11);
  assert_info (many, "numpy", archive);
}
END_TEST

START_TEST (folders)
{
  assert_no_load (test_folder, AFP_ERROR_IO, "is a folder without", "model.safetensors.index.json");
  g_autofree char *file = put_safetensors ("model.safetensors", "{" A "}", 16);
  g_autoptr (AfpSource) one = open_load (test_folder);
  assert_info (one, "safetensors", file);
  /* An index goes before a file. */
  const char *text = "{\"weight_map\":{\"a\":\"m.safetensors\"}}";
  g_autofree G_GNUC_UNUSED char *index =
      put_file ("model.safetensors.index.json", text, strlen (text));
  g_autofree char *shard = put_safetensors ("m.safetensors", "{" A "}", 16);
  g_autoptr (AfpSource) two = open_load (test_folder);
  assert_info (two, "safetensors", shard);
}
END_TEST

START_TEST (format_that_is_said)
{
  g_autofree char *path = put_safetensors ("m", "{" A "}", 16);
  static const char *const wrong[] = { "keras", "afpipe", "llama2c", "numpy" };
  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++) {
    GError *error = NULL;
    g_autoptr (AfpSource) source = make_load (path);
    ck_assert (afp_element_set_property_text (AFP_ELEMENT (source), "format", wrong[i], NULL));
    ck_assert (!afp_source_open (source, &error));
    assert_error (error, AFP_ERROR_FORMAT, "/m'");
  }
  g_autoptr (AfpSource) source = make_load (path);
  ck_assert (afp_element_set_property_text (AFP_ELEMENT (source), "format", "safetensors", NULL));
  ck_assert (afp_source_open (source, NULL));
}
END_TEST

/* A failed open may be tried again. */
START_TEST (file_that_comes_later)
{
  g_autofree char *path = in_folder ("m");
  g_autoptr (AfpSource) source = make_load (path);
  GError *error = NULL;
  ck_assert (!afp_source_open (source, &error));
  assert_error (error, AFP_ERROR_IO, "cannot read", "/m'", "No such file");
  ck_assert_uint_eq (afp_source_get_n_tensors (source), 0);
  g_autoptr (JsonNode) info = afp_source_get_info (source);
  ck_assert_ptr_nonnull (info);
  ck_assert_ptr_null (afp_source_get_fingerprint (source));
  g_autofree G_GNUC_UNUSED char *again = put_safetensors ("m", "{" A "}", 16);
  ck_assert (afp_source_open (source, NULL));
  ck_assert_uint_eq (afp_source_get_n_tensors (source), 1);
}
END_TEST

START_TEST (files_that_are_none)
{
  g_autofree char *empty = put_file ("empty", "", 0);
  g_autofree char *in_file = g_build_filename (empty, "x", NULL);
  g_autofree char *fifo = in_folder ("fifo");
  ck_assert_int_eq (mkfifo (fifo, 0600), 0);
  assert_no_load (NULL, AFP_ERROR_PROPERTY, "location= is missing");
  assert_no_load ("", AFP_ERROR_PROPERTY, "location= is missing");
  assert_no_load (empty, AFP_ERROR_FORMAT, "is empty");
  assert_no_load (in_file, AFP_ERROR_IO, "cannot read", "/empty/x");
  assert_no_load (fifo, AFP_ERROR_IO, "not an ordinary file");
  assert_no_load ("/dev/null", AFP_ERROR_IO, "not an ordinary file");
}
END_TEST

START_TEST (unknown_formats)
{
  static const struct {
    const char *data;
    gsize n;
    const char *word;
  } cases[] = { { "\x80\2}q\1", 5, "pickle" },
                { "version https://git-lfs.github.com/spec/v1\n", 43, "git lfs pull" },
                { "{\"a\":1}", 7, "known are safetensors" },
                { "x", 1, "known are safetensors" } };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = put_file ("what", cases[i].data, cases[i].n);
    assert_no_load (path, AFP_ERROR_FORMAT, "/what' is of no known format", cases[i].word);
  }
}
END_TEST

START_TEST (damaged_files)
{
  g_autofree char *path = put_safetensors ("m", "{" A "}", 15);
  assert_no_load (path, AFP_ERROR_FORMAT, "tensor 'a'", "/m'", "cut off");
  g_autofree char *zip = put_file ("zip", "PK\3\4abcd", 8);
  assert_no_load (zip, AFP_ERROR_FORMAT, "the zip archive", "/zip'", "cut off");
}
END_TEST

START_TEST (properties)
{
  g_autoptr (AfpSource) source = make_load (NULL);
  GError *error = NULL;
  ck_assert (!afp_element_set_property_text (AFP_ELEMENT (source), "format", "onnx", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "onnx", "safetensors", "auto");
  ck_assert (!afp_element_set_property_text (AFP_ELEMENT (source), "verify", "maybe", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "maybe");
  ck_assert (!afp_element_set_property_text (AFP_ELEMENT (source), "locations", "x", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "locations", "location");
  ck_assert (afp_element_set_property_text (AFP_ELEMENT (source), "skip-missing", "true", &error));
}
END_TEST

START_TEST (in_a_pipeline)
{
  g_autofree char *path = put_safetensors ("m", "{" A "}", 16);
  g_autofree char *text = g_strdup_printf ("load location=%s ! null", path);
  g_autofree char *missing = g_strdup_printf ("load location=%s/none ! null", test_folder);
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, &error);
  ck_assert (afp_pipeline_run (pipeline, &error));
  g_autoptr (AfpPipeline) bad = afp_pipeline_new_from_text (missing, &error);
  ck_assert (!afp_pipeline_run (bad, &error));
  assert_error (error, AFP_ERROR_IO, "load0", "cannot read", "/none'");
  g_autoptr (AfpPipeline) none = afp_pipeline_new_from_text ("load ! null", &error);
  ck_assert (!afp_pipeline_run (none, &error));
  assert_error (error, AFP_ERROR_PROPERTY, "location= is missing");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = io_case ("load");
  tcase_add_test (tcase, safetensors);
  tcase_add_test (tcase, keras);
  tcase_add_test (tcase, llama2c);
  tcase_add_test (tcase, numpy);
  tcase_add_test (tcase, folders);
  tcase_add_test (tcase, format_that_is_said);
  tcase_add_test (tcase, file_that_comes_later);
  tcase_add_test (tcase, files_that_are_none);
  tcase_add_test (tcase, unknown_formats);
  tcase_add_test (tcase, damaged_files);
  tcase_add_test (tcase, properties);
  tcase_add_test (tcase, in_a_pipeline);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("load", cases, G_N_ELEMENTS (cases));
}
