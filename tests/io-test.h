/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of plugins/io share. */
#pragma once

#include "core-test.h"

#include "io/reader.h"
#include "io/writer.h"

#include <glib/gstdio.h>

static char *test_folder; /* one for each test */

static void
folder_setup (void)
{
  test_folder = g_dir_make_tmp ("afpipe-test-XXXXXX", NULL);
  ck_assert_ptr_nonnull (test_folder);
}

static void
remove_tree (const char *path)
{
  if (g_file_test (path, G_FILE_TEST_IS_DIR) && !g_file_test (path, G_FILE_TEST_IS_SYMLINK)) {
    g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name (dir)) != NULL) {
      g_autofree char *child = g_build_filename (path, name, NULL);
      remove_tree (child);
    }
  }
  g_remove (path);
}

static void
folder_teardown (void)
{
  remove_tree (test_folder);
  g_clear_pointer (&test_folder, g_free);
}

static inline char *
in_folder (const char *name)
{
  return g_build_filename (test_folder, name, NULL);
}

/* Returns the path. */
static inline char *
put_file (const char *name, const void *data, gsize n)
{
  char *path = in_folder (name);
  g_unlink (path);
  ck_assert (
      g_file_set_contents_full (path, data, (gssize) n, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
  return path;
}

/* Files of the folder: so many, and none that looks temporary. */
static inline guint
count_files (void)
{
  g_autoptr (GDir) dir = g_dir_open (test_folder, 0, NULL);
  guint n = 0;
  const char *name;
  while ((name = g_dir_read_name (dir)) != NULL) {
    ck_assert_msg (strstr (name, ".part") == NULL, "'%s' was left behind", name);
    n++;
  }
  return n;
}

/* A safetensors file: header text, then n bytes 0, 1, 2, ... */
static inline char *
put_safetensors (const char *name, const char *header, gsize n)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  guint64 length = GUINT64_TO_LE (strlen (header));
  g_byte_array_append (bytes, (const guint8 *) &length, 8);
  g_byte_array_append (bytes, (const guint8 *) header, (guint) strlen (header));
  for (gsize i = 0; i < n; i++) {
    const guint8 byte = (guint8) i;
    g_byte_array_append (bytes, &byte, 1);
  }
  return put_file (name, bytes->data, bytes->len);
}

static inline gpointer
open_reader (const AfpReader *reader, const char *path, GError **error)
{
  const AfpReaderOptions options = { path, FALSE, FALSE };
  return reader->open (&options, error);
}

/* The reader refuses the file, with this code and these words. */
#define assert_refused(reader, path, code_, ...)                \
  do {                                                          \
    GError *error_ = NULL;                                      \
    gpointer handle_ = open_reader ((reader), (path), &error_); \
    ck_assert_ptr_null (handle_);                               \
    assert_error (error_, (code_), __VA_ARGS__);                \
  } while (0)

static inline JsonObject *
get_info (const AfpReader *reader, gpointer handle, JsonNode **node)
{
  *node = reader->get_info (handle);
  return json_node_get_object (*node);
}

/* All notes of the reader, a line each. */
static inline char *
get_notes (const AfpReader *reader, gpointer handle)
{
  g_autoptr (JsonNode) node = NULL;
  JsonObject *info = get_info (reader, handle, &node);
  GString *text = g_string_new (NULL);
  if (json_object_has_member (info, "notes")) {
    JsonArray *notes = json_object_get_array_member (info, "notes");
    for (guint i = 0; i < json_array_get_length (notes); i++)
      g_string_append_printf (text, "%s\n", json_array_get_string_element (notes, i));
  }
  return g_string_free (text, FALSE);
}

/* "name dtype shape view" */
static inline char *
describe_tensor (AfpTensor *tensor)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  g_autofree char *shape = afp_spec_shape_to_string (spec);
  g_autofree char *view = afp_view_to_string (afp_spec_get_view (spec));
  return g_strdup_printf ("%s %s %s %s", afp_spec_get_name (spec),
                          afp_dtype_name (afp_spec_get_dtype (spec)), shape, view);
}

#define assert_planned(reader, handle, index, expected)                              \
  do {                                                                               \
    g_autoptr (AfpTensor) tensor_ = (reader)->plan_tensor ((handle), (index), NULL); \
    ck_assert_ptr_nonnull (tensor_);                                                 \
    ck_assert (afp_tensor_is_planned (tensor_));                                     \
    assert_text (describe_tensor (tensor_), (expected));                             \
  } while (0)

/* A tensor with these bytes. */
static inline AfpTensor *
tensor_with (const char *name, AfpDType dtype, guint rank, const guint64 *shape, const void *data)
{
  g_autoptr (AfpSpec) spec = afp_spec_new (name, dtype, rank, shape, NULL, NULL);
  g_autoptr (GBytes) bytes = g_bytes_new (data, (gsize) afp_spec_get_n_bytes (spec));
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, bytes);
  return afp_tensor_new (spec, plane);
}

/* A planned tensor whose root is coded. */
static inline AfpTensor *
coded_tensor (const char *name)
{
  const guint64 shape[] = { 4, 4 };
  g_autoptr (AfpSpec) spec = afp_spec_new (name, AFP_DTYPE_F32, 2, shape, NULL, NULL);
  g_autoptr (AfpPlane) raw = afp_plane_new_raw (spec, NULL);
  const AfpPlaneDesc desc = {
    .name = "codes", .kind = AFP_KIND_CODE, .rows = 4, .cols = 4, .bits = 4
  };
  g_autoptr (AfpPlane) codes = afp_plane_new_code (&desc, NULL);
  g_autoptr (AfpPlane) root =
      afp_plane_new_coded (afp_plane_get_desc (raw), "seedlm", 1, "", 1, &codes);
  return afp_tensor_new (spec, root);
}

/* Writes the tensors, publishes, and returns the size of the file. */
static inline guint64
write_all (const AfpWriter *writer, const AfpWriterOptions *options, guint n,
           AfpTensor *const *tensors)
{
  GError *error = NULL;
  guint64 bytes = 0;
  gpointer handle = writer->open (options, &error);
  ck_assert_msg (handle != NULL, "%s", error ? error->message : "no error");
  for (guint i = 0; i < n; i++)
    ck_assert_msg (writer->write (handle, tensors[i], &error), "%s",
                   error ? error->message : "no error");
  ck_assert_msg (writer->finish (handle, &error), "%s", error ? error->message : "no error");
  ck_assert_msg (writer->publish (handle, &bytes, &error), "%s",
                 error ? error->message : "no error");
  writer->close (handle, TRUE);
  return bytes;
}

static inline void
assert_raw_bytes (AfpTensor *tensor, const void *data, gsize n)
{
  GBytes *bytes = afp_plane_get_data (afp_tensor_get_root (tensor));
  ck_assert_ptr_nonnull (bytes);
  ck_assert_uint_eq (g_bytes_get_size (bytes), n);
  if (n > 0)
    ck_assert_mem_eq (g_bytes_get_data (bytes, NULL), data, n);
}

/* The last element of a pipeline that is planned, with @path in place of %s. */
static inline AfpElement *
last_of (const char *format, const char *path, AfpPipeline **pipeline)
{
  g_autoptr (GString) text = g_string_new (format);
  GError *error = NULL;

  g_string_replace (text, "%s", path, 0);
  *pipeline = afp_pipeline_new_from_text (text->str, &error);
  ck_assert_msg (*pipeline && afp_pipeline_plan (*pipeline, &error), "%s: %s", text->str,
                 error ? error->message : "");
  GPtrArray *elements = afp_pipeline_get_elements (*pipeline);
  return elements->pdata[elements->len - 1];
}

static inline TCase *
io_case (const char *name)
{
  TCase *tcase = tcase_create (name);
  tcase_add_checked_fixture (tcase, folder_setup, folder_teardown);
  return tcase;
}
