/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

static const AfpReader *const reader = &afp_reader_safetensors;

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}"
#define B "\"b\":{\"dtype\":\"I8\",\"shape\":[3],\"data_offsets\":[16,19]}"

static gpointer
open_ok (const char *path)
{
  GError *error = NULL;
  gpointer handle = open_reader (reader, path, &error);
  ck_assert_msg (handle != NULL, "%s", error ? error->message : "no error");
  return handle;
}

START_TEST (two_tensors)
{
  g_autofree char *path =
      put_safetensors ("m", "{" B "," A ",\"__metadata__\":{\"format\":\"pt\"}}  ", 19);
  gpointer handle = open_ok (path);
  static const guint8 b[] = { 16, 17, 18 };
  ck_assert_uint_eq (reader->get_n_tensors (handle), 2);
  assert_planned (reader, handle, 0, "a f32 2x2 out:1");
  assert_planned (reader, handle, 1, "b i8 3 out:1");
  g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, 1, NULL);
  assert_raw_bytes (tensor, b, 3);
  g_autoptr (JsonNode) node = NULL;
  JsonObject *info = get_info (reader, handle, &node);
  ck_assert_str_eq (json_object_get_string_member (info, "format"), "safetensors");
  ck_assert_str_eq (
      json_object_get_string_member (json_object_get_object_member (info, "metadata"), "format"),
      "pt");
  ck_assert (!json_object_has_member (info, "notes"));
  reader->close (handle);
  assert_raw_bytes (tensor, b, 3); /* the map lives on */
}
END_TEST

START_TEST (every_dtype)
{
  static const struct {
    const char *name;
    guint size;
  } types[] = { { "F64", 8 },     { "F32", 4 }, { "F16", 2 }, { "BF16", 2 }, { "F8_E4M3", 1 },
                { "F8_E5M2", 1 }, { "I64", 8 }, { "I32", 4 }, { "I16", 2 },  { "I8", 1 },
                { "U64", 8 },     { "U32", 4 }, { "U16", 2 }, { "U8", 1 },   { "BOOL", 1 } };
  g_autoptr (GString) header = g_string_new ("{");
  guint at = 0;
  for (guint i = 0; i < G_N_ELEMENTS (types); i++) {
    g_string_append_printf (header,
                            "%s\"t%02u\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[%u,%u]}",
                            i ? "," : "", i, types[i].name, at, at + 3 * types[i].size);
    at += 3 * types[i].size;
  }
  g_string_append_c (header, '}');
  g_autofree char *path = put_safetensors ("m", header->str, at);
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), G_N_ELEMENTS (types));
  for (guint i = 0; i < G_N_ELEMENTS (types); i++) {
    g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, i, NULL);
    const char *name = afp_dtype_name (afp_spec_get_dtype (afp_tensor_get_spec (tensor)));
    ck_assert_int_eq (g_ascii_strcasecmp (name, types[i].name), 0);
    ck_assert_uint_eq (g_bytes_get_size (afp_plane_get_data (afp_tensor_get_root (tensor))),
                       3 * types[i].size);
  }
  reader->close (handle);
}
END_TEST

START_TEST (scalars_and_empty_tensors)
{
  g_autofree char *path =
      put_safetensors ("m",
                       "{\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                       "\"e\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[4,4]},"
                       "\"d\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]}}",
                       4);
  gpointer handle = open_ok (path);
  assert_planned (reader, handle, 0, "s f32 scalar out:1");
  assert_planned (reader, handle, 1, "d f32 0 out:1");
  assert_planned (reader, handle, 2, "e f32 3x0 out:1");
  g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, 2, NULL);
  assert_raw_bytes (tensor, "", 0);
  reader->close (handle);
}
END_TEST

START_TEST (no_tensors)
{
  g_autofree char *path = put_safetensors ("m", "{}", 0);
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 0);
  reader->close (handle);
}
END_TEST

START_TEST (data_that_is_not_aligned)
{
  static const float values[] = { 1.5f, -2.25f };
  const char *header = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                       "\"b\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[1,9]}}";
  g_autofree char *path = put_safetensors ("m", header, 9);
  g_autofree char *text = NULL;
  gsize n;
  g_file_get_contents (path, &text, &n, NULL);
  memcpy (text + n - 8, values, 8);
  g_file_set_contents (path, text, (gssize) n, NULL);
  gpointer handle = open_ok (path);
  g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, 1, NULL);
  g_autoptr (AfpMatrix) matrix =
      afp_plane_open (afp_tensor_get_root (tensor), afp_tensor_get_spec (tensor), NULL);
  float out[2];
  ck_assert (afp_matrix_read (matrix, 0, 1, 0, 2, out, NULL));
  ck_assert_mem_eq (out, values, 8);
  reader->close (handle);
}
END_TEST

START_TEST (fingerprints)
{
  g_autofree char *one = put_safetensors ("one", "{" A "}", 16);
  g_autofree char *copy = put_safetensors ("copy", "{" A "}", 16);
  g_autofree char *other = put_safetensors ("other", "{" A "} ", 16);
  gpointer handles[] = { open_ok (one), open_ok (copy), open_ok (other) };
  g_autofree char *a = reader->get_fingerprint (handles[0]);
  g_autofree char *b = reader->get_fingerprint (handles[1]);
  g_autofree char *c = reader->get_fingerprint (handles[2]);
  ck_assert_uint_eq (strlen (a), 64);
  ck_assert_str_eq (a, b);
  ck_assert_str_ne (a, c);
  for (guint i = 0; i < 3; i++)
    reader->close (handles[i]);
}
END_TEST

/* Two models of one kind differ in their arrays only. */
START_TEST (fingerprints_of_arrays)
{
  static const char header[] =
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[100000],\"data_offsets\":[0,100000]}}";
  g_autofree char *path = put_safetensors ("one", header, 100000), *bytes = NULL;
  char *found[2];
  gsize n;

  for (guint i = 0; i < 2; i++) {
    gpointer handle = open_ok (path);
    found[i] = reader->get_fingerprint (handle);
    reader->close (handle);
    ck_assert (g_file_get_contents (path, &bytes, &n, NULL));
    for (gsize k = 1000; k < n; k++)
      bytes[k] ^= 1;
    g_free (put_file ("one", bytes, n));
    g_clear_pointer (&bytes, g_free);
  }
  ck_assert_str_ne (found[0], found[1]);
  g_free (found[0]);
  g_free (found[1]);
}
END_TEST

START_TEST (sniffing)
{
  static const guint8 file[] = { 2, 0, 0, 0, 0, 0, 0, 0, '{', '}' };
  const char *index = "\n {\"metadata\":{},\"weight_map\":{}}";
  ck_assert (reader->sniff ("x.bin", file, sizeof file, 10));
  ck_assert (!reader->sniff ("x", file, sizeof file, 9));
  ck_assert (!reader->sniff ("x", file, 8, 10));
  ck_assert (reader->sniff ("x", (const guint8 *) index, strlen (index), strlen (index)));
  ck_assert (!reader->sniff ("x.json", (const guint8 *) "{\"a\":1}", 7, 7));
  ck_assert (!reader->sniff ("x", (const guint8 *) "", 0, 0));
}
END_TEST

/* --- damaged files ------------------------------------------------------------------------------------------------- */

#define assert_header(header, n, ...)                                     \
  do {                                                                    \
    g_autofree char *path_ = put_safetensors ("bad", (header), (n));      \
    assert_refused (reader, path_, AFP_ERROR_FORMAT, "bad", __VA_ARGS__); \
  } while (0)

START_TEST (bad_length)
{
  static const guint8 huge[] = { 0, 0, 0, 0, 0, 1, 0, 0, '{', '}' };
  static const guint8 longer[] = { 200, 0, 0, 0, 0, 0, 0, 0, '{', '}' };
  g_autofree char *missing = in_folder ("missing");
  g_autofree char *small = put_file ("small", "abc", 3);
  g_autofree char *big = put_file ("big", huge, sizeof huge);
  g_autofree char *cut = put_file ("cut", longer, sizeof longer);
  assert_refused (reader, missing, AFP_ERROR_IO, "cannot read", "missing");
  assert_refused (reader, small, AFP_ERROR_FORMAT, "3 bytes", "at least 8");
  assert_refused (reader, big, AFP_ERROR_FORMAT, "1099511627776", "limit is 100000000");
  assert_refused (reader, cut, AFP_ERROR_FORMAT, "is cut off", "200", "only 2 follow");
}
END_TEST

START_TEST (bad_json)
{
  assert_header ("[]", 0, "no JSON object");
  assert_header ("{\"a\":1", 0, "header of", "is damaged");
  assert_header ("{\"a\":[]}", 0, "tensor 'a'", "no JSON object");
  assert_header ("{" A "," A "}", 16, "'a' occurs twice");
  assert_header ("{\"__metadata__\":3}", 0, "__metadata__", "no JSON object");
  assert_header ("{\"__metadata__\":{\"x\":3}}", 0, "__metadata__", "'x' is no string");
}
END_TEST

START_TEST (bad_names)
{
  g_autofree char *name = g_strnfill (1025, 'n');
  g_autofree char *header =
      g_strdup_printf ("{\"%s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", name);
  assert_header (header, 4, "1025 bytes", "limit is 1024");
  assert_header ("{\"\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "empty name");
  assert_header ("{\"a\\nb\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4,
                 "control character 0x0a");
  assert_header ("{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4,
                 "NUL");
}
END_TEST

START_TEST (bad_members)
{
  assert_header ("{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, "tensor 'a'", "no dtype");
  assert_header ("{\"a\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,4]}}", 4, "no dtype");
  assert_header ("{\"a\":{\"dtype\":\"F5\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "'F5'",
                 "F8_E4M3");
  assert_header ("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "no shape");
  assert_header ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,-1],\"data_offsets\":[0,4]}}", 4,
                 "axis 1");
  assert_header ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, "axis 0");
  assert_header (
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}", 4,
      "axis 0");
  assert_header ("{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, "no pair data_offsets");
  assert_header ("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4,8]}}", 4,
                 "no pair data_offsets");
  assert_header ("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[4,0]}}", 4, "rising");
  assert_header ("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[-4,0]}}", 4, "rising");
}
END_TEST

START_TEST (bad_shapes)
{
  g_autoptr (GString) header = g_string_new ("{\"a\":{\"dtype\":\"F32\",\"shape\":[");
  for (guint i = 0; i < 33; i++)
    g_string_append (header, i ? ",1" : "1");
  g_string_append (header, "],\"data_offsets\":[0,4]}}");
  assert_header (header->str, 4, "rank 33", "limit is 32");
  assert_header (
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}", 4,
      "63 bits");
  assert_header ("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,4]}}", 4, "12 bytes",
                 "dtype f32", "span 4");
}
END_TEST

START_TEST (bad_offsets)
{
  assert_header ("{" A "}", 15, "ends at byte 16 of 15", "cut off");
  assert_header ("{" A "}", 17, "17 bytes of data", "end at 16");
  assert_header ("{" B "}", 19, "tensor 'b'", "begins at byte 16", "ends at 0", "no holes");
  assert_header ("{" A ",\"c\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}", 16,
                 "tensor 'c'", "overlaps tensor 'a'");
  assert_header ("{" A ",\"c\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16,
                 "overlaps");
}
END_TEST

/* Every file that is cut off, and every file with one byte changed, is read or refused, and nothing else. */
START_TEST (mutants)
{
  g_autofree char *path =
      put_safetensors ("m", "{" A "," B ",\"__metadata__\":{\"format\":\"pt\"}}", 19);
  g_autofree char *text = NULL;
  gsize n;
  g_file_get_contents (path, &text, &n, NULL);
  for (gsize i = 0; i < n; i++) {
    g_autofree char *cut = put_file ("cut", text, i);
    assert_refused (reader, cut, AFP_ERROR_FORMAT, "cut");
  }
  for (gsize i = 0; i < n - 19; i++)
    for (guint k = 0; k < 8; k++) {
      g_autofree char *copy = g_memdup2 (text, n);
      copy[i] ^= (char) (1 << k);
      g_autofree char *changed = put_file ("changed", copy, n);
      g_autoptr (GError) error = NULL;
      gpointer handle = open_reader (reader, changed, &error);
      ck_assert ((handle != NULL) != (error != NULL));
      if (handle == NULL)
        continue;
      for (gsize t = 0; t < reader->get_n_tensors (handle); t++) {
        g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, t, NULL);
        ck_assert_ptr_nonnull (tensor);
      }
      reader->close (handle);
    }
}
END_TEST

/* --- shards -------------------------------------------------------------------------------------------------------- */

static char *
put_index (const char *weight_map)
{
  g_autofree char *text =
      g_strdup_printf ("{\"metadata\":{\"total_size\":35},\"weight_map\":%s}", weight_map);
  return put_file ("model.safetensors.index.json", text, strlen (text));
}

static void
put_shards (void)
{
  g_autofree G_GNUC_UNUSED char *one = put_safetensors ("m-1.safetensors", "{" A "," B "}", 19);
  g_autofree G_GNUC_UNUSED char *two = put_safetensors (
      "m-2.safetensors", "{\"c\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 16);
}

START_TEST (sharded)
{
  put_shards ();
  g_autofree char *path =
      put_index ("{\"c\":\"m-2.safetensors\",\"b\":\"m-1.safetensors\",\"a\":\"m-1.safetensors\"}");
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 3);
  assert_planned (reader, handle, 0, "a f32 2x2 out:1");
  assert_planned (reader, handle, 1, "b i8 3 out:1");
  assert_planned (reader, handle, 2, "c f32 2x2 out:1");
  guint8 bytes[16];
  for (guint i = 0; i < 16; i++)
    bytes[i] = (guint8) i;
  g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, 2, NULL);
  assert_raw_bytes (tensor, bytes, 16);
  g_autoptr (JsonNode) node = NULL;
  JsonObject *info = get_info (reader, handle, &node);
  ck_assert_uint_eq (json_array_get_length (json_object_get_array_member (info, "files")), 2);
  g_autofree char *fingerprint = reader->get_fingerprint (handle);
  ck_assert_uint_eq (strlen (fingerprint), 64);
  reader->close (handle);
}
END_TEST

START_TEST (tensors_that_the_index_leaves_out)
{
  put_shards ();
  g_autofree char *path = put_index ("{\"b\":\"m-1.safetensors\"}");
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 1);
  assert_planned (reader, handle, 0, "b i8 3 out:1");
  g_autofree char *notes = get_notes (reader, handle);
  ck_assert_ptr_nonnull (strstr (notes, "left out: 1 tensors of 'm-1.safetensors'"));
  reader->close (handle);
}
END_TEST

START_TEST (bad_index)
{
  put_shards ();
  static const struct {
    const char *map;
    const char *words[3];
  } cases[] = {
    { "3", { "no object weight_map", "index" } },
    { "{\"a\":3}", { "names no file for tensor 'a'", "index" } },
    { "{\"a\":\"../m-1.safetensors\"}", { "'../m-1.safetensors'", "beside the index" } },
    { "{\"a\":\"/etc/passwd\"}", { "tensor 'a'", "beside the index" } },
    { "{\"a\":\"..\"}", { "tensor 'a'", "beside the index" } },
    { "{\"a\":\"\"}", { "tensor 'a'", "beside the index" } },
    { "{\"a\":\"m-2.safetensors\"}",
      { "tensor 'a' is not in 'm-2.safetensors'", "1 tensors are missing" } },
    { "{\"a\":\"m-1.safetensors\",\"z\":\"m-1.safetensors\",\"y\":\"m-2.safetensors\"}",
      { "tensor 'y' is not in 'm-2.safetensors'", "2 tensors are missing" } },
    { "{\"a\":\"m-1.safetensors\",\"a\":\"m-1.safetensors\"}", { "'a' occurs twice", "index" } },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = put_index (cases[i].map);
    assert_refused (reader, path, AFP_ERROR_FORMAT, cases[i].words[0], cases[i].words[1]);
  }
}
END_TEST

START_TEST (bad_shards)
{
  put_shards ();
  g_autofree char *path = put_index ("{\"a\":\"m-1.safetensors\",\"c\":\"m-3.safetensors\"}");
  assert_refused (reader, path, AFP_ERROR_IO, "shard 2 of 2", "m-3.safetensors", "index.json");
  g_autofree G_GNUC_UNUSED char *cut = put_safetensors ("m-3.safetensors", "{" A "}", 3);
  assert_refused (reader, path, AFP_ERROR_FORMAT, "m-3.safetensors", "cut off");
}
END_TEST

START_TEST (elements_of_less_than_a_byte)
{
  g_autofree char *good = put_safetensors (
      "good", "{\"a\":{\"dtype\":\"F4\",\"shape\":[3,2],\"data_offsets\":[0,3]}}", 3);
  gpointer handle = open_ok (good);
  assert_planned (reader, handle, 0, "a f4 3x2 out:1");
  reader->close (handle);
  g_autofree char *odd =
      put_safetensors ("odd", "{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2);
  assert_refused (reader, odd, AFP_ERROR_FORMAT, "tensor 'a'", "3 elements of type f4",
                  "no whole bytes");
  g_autofree char *six = put_safetensors (
      "six", "{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4);
  assert_refused (reader, six, AFP_ERROR_FORMAT, "takes 3 bytes", "span 4");
  g_autofree char *block = put_safetensors (
      "block", "{\"a\":{\"dtype\":\"Q4_0\",\"shape\":[32],\"data_offsets\":[0,18]}}", 18);
  assert_refused (reader, block, AFP_ERROR_FORMAT, "the dtype 'Q4_0'", "F8_E8M0");
}
END_TEST

/* --- a real model -------------------------------------------------------------------------------------------------- */

START_TEST (real_model)
{
  const char *shared = g_getenv ("AFP_TEST_SHARED");
  if (shared == NULL) {
    g_print ("SKIP: AFP_TEST_SHARED is not set\n");
    return;
  }
  g_autofree char *path = g_build_filename (shared, "data/stories260k/model.safetensors", NULL);
  gpointer handle = open_ok (path);
  guint64 weights = 0;
  ck_assert_uint_eq (reader->get_n_tensors (handle), 47);
  assert_planned (reader, handle, 0, "model.embed_tokens.weight f32 512x64 out:1");
  for (gsize i = 0; i < 47; i++) {
    g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, i, NULL);
    weights += afp_spec_get_n_elements (afp_tensor_get_spec (tensor));
  }
  ck_assert_uint_eq (weights, 260032);
  reader->close (handle);
}
END_TEST

static TCase *
files (void)
{
  TCase *tcase = io_case ("files");
  tcase_add_test (tcase, two_tensors);
  tcase_add_test (tcase, every_dtype);
  tcase_add_test (tcase, scalars_and_empty_tensors);
  tcase_add_test (tcase, no_tensors);
  tcase_add_test (tcase, data_that_is_not_aligned);
  tcase_add_test (tcase, fingerprints);
  tcase_add_test (tcase, fingerprints_of_arrays);
  tcase_add_test (tcase, sniffing);
  tcase_add_test (tcase, real_model);
  return tcase;
}

static TCase *
damaged (void)
{
  TCase *tcase = io_case ("damaged");
  tcase_add_test (tcase, bad_length);
  tcase_add_test (tcase, bad_json);
  tcase_add_test (tcase, bad_names);
  tcase_add_test (tcase, bad_members);
  tcase_add_test (tcase, bad_shapes);
  tcase_add_test (tcase, bad_offsets);
  tcase_add_test (tcase, mutants);
  return tcase;
}

static TCase *
shards (void)
{
  TCase *tcase = io_case ("shards");
  tcase_add_test (tcase, sharded);
  tcase_add_test (tcase, tensors_that_the_index_leaves_out);
  tcase_add_test (tcase, elements_of_less_than_a_byte);
  tcase_add_test (tcase, bad_index);
  tcase_add_test (tcase, bad_shards);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { files, damaged, shards };
  return run_suite ("reader-safetensors", cases, G_N_ELEMENTS (cases));
}
