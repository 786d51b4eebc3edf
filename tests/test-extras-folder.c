/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gguf-test.h"

#include "io/extras-folder.h"

static void
assert_list (const char *path, const char *expected)
{
  g_auto (GStrv) names = afp_extras_folder_list (path, NULL);
  g_autofree char *list = g_strjoinv (" ", names);
  ck_assert_str_eq (list, expected);
}

/* A sparse file of this size. */
static void
put_large (const char *name, guint64 size)
{
  g_autofree char *path = put_file (name, "x", 1);
  ck_assert_int_eq (truncate (path, (off_t) size), 0);
}

START_TEST (files_beside)
{
  g_autofree char *model = in_folder ("model.safetensors");
  assert_list (model, "");
  g_free (put_file ("config.json", "{}", 2));
  g_free (put_file ("tokenizer.json", "{\"a\":1}", 7));
  g_free (put_file ("tokenizer_config.json", "{}", 2));
  g_free (put_file ("generation_config.json", "{}", 2));
  g_free (put_file ("special_tokens_map.json", "{}", 2));
  g_free (put_file ("vocab.json", "{}", 2));
  assert_list (model, "config.json generation_config.json tokenizer.json tokenizer_config.json "
                      "special_tokens_map.json");
  g_autoptr (GBytes) bytes = afp_extras_folder_read (model, "tokenizer.json", NULL);
  ck_assert_mem_eq (g_bytes_get_data (bytes, NULL), "{\"a\":1}", 7);
}
END_TEST

START_TEST (what_is_no_extra)
{
  g_autofree char *model = in_folder ("model.safetensors");
  g_autofree char *folder = in_folder ("config.json");
  g_autoptr (GPtrArray) notes = g_ptr_array_new_with_free_func (g_free);
  GError *error = NULL;
  g_mkdir (folder, 0700);
  g_free (put_file ("tokenizer.json", "", 0));
  put_large ("tokenizer_config.json", AFP_EXTRA_MAX_BYTES + 1);
  g_auto (GStrv) names = afp_extras_folder_list (model, notes);
  ck_assert_uint_eq (g_strv_length (names), 0);
  ck_assert_uint_eq (notes->len, 1);
  ck_assert_ptr_nonnull (strstr (notes->pdata[0], "left out"));
  ck_assert_ptr_nonnull (strstr (notes->pdata[0], "tokenizer_config.json"));
  ck_assert_ptr_null (afp_extras_folder_read (model, "config.json", &error));
  assert_error (error, AFP_ERROR_IO, "config.json", "not an ordinary file");
  ck_assert_ptr_null (afp_extras_folder_read (model, "tokenizer.json", &error));
  assert_error (error, AFP_ERROR_FORMAT, "tokenizer.json", "has 0 bytes");
  ck_assert_ptr_null (afp_extras_folder_read (model, "tokenizer_config.json", &error));
  assert_error (error, AFP_ERROR_FORMAT, "268435457 bytes", "1 to 268435456");
  ck_assert_ptr_null (afp_extras_folder_read (model, "none.json", &error));
  assert_error (error, AFP_ERROR_IO, "cannot read", "none.json");
}
END_TEST

/* --- what each format has ------------------------------------------------------------------------------------------ */

static AfpSource *
open_load (const char *path, const char *properties)
{
  AfpElement *element = afp_registry_make (afp_registry_get_default (), "load", NULL);
  GError *error = NULL;
  ck_assert (afp_element_set_property_text (element, "location", path, NULL));
  ck_assert (*properties == '\0' || afp_element_set_properties_text (element, properties, NULL));
  ck_assert_msg (afp_source_open (AFP_SOURCE (element), &error), "%s",
                 error ? error->message : "no error");
  return AFP_SOURCE (element);
}

static void
assert_extras (AfpSource *source, const char *expected)
{
  g_auto (GStrv) names = afp_source_list_extras (source);
  g_autofree char *list = g_strjoinv (" ", names);
  ck_assert_str_eq (list, expected);
}

START_TEST (gguf)
{
  g_autoptr (GByteArray) file = small_gguf (3);
  g_autofree char *path = put_gguf ("m.gguf", file);
  g_autoptr (AfpSource) source = open_load (path, "");
  assert_extras (source, "gguf.metadata");
  g_autoptr (GBytes) head = afp_source_read_extra (source, "gguf.metadata", NULL);
  g_autoptr (AfpGgufMeta) meta = afp_gguf_meta_parse (head, "extra", NULL);
  guint64 count = 0;
  ck_assert_ptr_nonnull (meta);
  ck_assert_uint_eq (meta->end, g_bytes_get_size (head));
  ck_assert (afp_gguf_meta_get_count (meta, "toy.count", &count) && count == 7);
}
END_TEST

static char *
put_llama2c (void)
{
  const gint32 header[7] = { 2, 1, 1, 1, 1, 1, 1 };
  const gsize n = 28 + 4 * (2 + 2 + 4 * 4 + 2 + 3 * 2 + 2 + 2);
  g_autofree guint8 *data = g_malloc0 (n);
  for (guint i = 0; i < 7; i++)
    data[4 * i] = (guint8) header[i];
  return put_file ("m.bin", data, n);
}

START_TEST (tokenizers)
{
  g_autofree char *path = put_llama2c ();
  g_autofree char *binary = put_file ("tok.bin", "\7\0\0\0abc", 7);
  g_autofree char *text = put_file ("tok.json", " \n{\"model\":{}}", 14);
  g_autofree char *with_binary = g_strdup_printf ("tokenizer=%s", binary);
  g_autofree char *with_text = g_strdup_printf ("tokenizer=%s", text);
  g_autoptr (AfpSource) bare = open_load (path, "");
  g_autoptr (AfpSource) one = open_load (path, with_binary);
  g_autoptr (AfpSource) two = open_load (path, with_text);
  assert_extras (bare, "llama2c.config");
  assert_extras (one, "llama2c.config llama2c.tokenizer");
  assert_extras (two, "llama2c.config tokenizer.json");
  g_autoptr (GBytes) bytes = afp_source_read_extra (one, "llama2c.tokenizer", NULL);
  ck_assert_mem_eq (g_bytes_get_data (bytes, NULL), "\7\0\0\0abc", 7);
  g_autoptr (GBytes) config = afp_source_read_extra (one, "llama2c.config", NULL);
  ck_assert_uint_eq (g_bytes_get_size (config), 28);
  ck_assert_mem_eq (g_bytes_get_data (config, NULL), "\2\0\0\0\1\0\0\0", 8);
}
END_TEST

/* What is said goes before what lies there. */
START_TEST (another_tokenizer)
{
  g_autofree char *path =
      put_safetensors ("m", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
  g_autofree char *other = put_file ("other.json", "{\"o\":1}", 7);
  g_autofree char *properties = g_strdup_printf ("tokenizer=%s", other);
  g_free (put_file ("tokenizer.json", "{\"t\":1}", 7));
  g_free (put_file ("config.json", "{}", 2));
  g_autoptr (AfpSource) source = open_load (path, properties);
  assert_extras (source, "config.json tokenizer.json");
  g_autoptr (GBytes) bytes = afp_source_read_extra (source, "tokenizer.json", NULL);
  ck_assert_mem_eq (g_bytes_get_data (bytes, NULL), "{\"o\":1}", 7);
}
END_TEST

/* Of another kind, too: nothing else is taken for the model's tokenizer. */
START_TEST (tokenizer_of_another_kind)
{
  g_autofree char *path =
      put_safetensors ("m", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
  g_autofree char *binary = put_file ("tok.bin", "\7\0\0\0abc", 7);
  g_autofree char *properties = g_strdup_printf ("tokenizer=%s", binary);
  g_free (put_file ("tokenizer.json", "{\"t\":1}", 7));
  g_free (put_file ("config.json", "{}", 2));
  g_autoptr (AfpSource) source = open_load (path, properties);
  assert_extras (source, "config.json llama2c.tokenizer");
}
END_TEST

START_TEST (no_tokenizer)
{
  g_autofree char *path = put_llama2c ();
  g_autofree char *empty = put_file ("empty", "", 0);
  const char *const wrong[] = { "/none/such", empty, test_folder };
  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autoptr (AfpElement) load = afp_registry_make (afp_registry_get_default (), "load", NULL);
    GError *error = NULL;
    afp_element_set_property_text (load, "location", path, NULL);
    afp_element_set_property_text (load, "tokenizer", wrong[i], NULL);
    ck_assert (!afp_source_open (AFP_SOURCE (load), &error));
    ck_assert_ptr_nonnull (strstr (error->message, "tokenizer=: "));
    ck_assert_ptr_nonnull (strstr (error->message, wrong[i]));
    g_error_free (error);
  }
}
END_TEST

START_TEST (keras)
{
  g_autofree char *folder =
      g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "models/fashion-mnist", NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  while ((name = g_dir_read_name (dir)) != NULL && !g_str_has_suffix (name, ".h5"))
    ;
  ck_assert_ptr_nonnull (name);
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr (AfpSource) source = open_load (path, "");
  assert_extras (source, "keras.model_config");
  g_autoptr (GBytes) bytes = afp_source_read_extra (source, "keras.model_config", NULL);
  g_autofree char *text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  g_autoptr (JsonNode) config = json_from_string (text, NULL);
  ck_assert (json_object_has_member (json_node_get_object (config), "class_name"));
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = io_case ("extras-folder");
  tcase_add_test (tcase, files_beside);
  tcase_add_test (tcase, what_is_no_extra);
  tcase_add_test (tcase, gguf);
  tcase_add_test (tcase, tokenizers);
  tcase_add_test (tcase, another_tokenizer);
  tcase_add_test (tcase, tokenizer_of_another_kind);
  tcase_add_test (tcase, no_tokenizer);
  tcase_add_test (tcase, keras);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("extras-folder", cases, G_N_ELEMENTS (cases));
}
