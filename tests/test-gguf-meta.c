/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gguf-test.h"

static AfpGgufMeta *
parse (const void *data, gsize n, GError **error)
{
  /* A copy, so that a sanitizer sees reads behind the end. */
  g_autoptr (GBytes) bytes = g_bytes_new (data, n);
  return afp_gguf_meta_parse (bytes, "x.gguf", error);
}

#define assert_damaged(file, ...)                                    \
  do {                                                               \
    GError *error_ = NULL;                                           \
    ck_assert_ptr_null (parse ((file)->data, (file)->len, &error_)); \
    assert_error (error_, AFP_ERROR_FORMAT, "x.gguf", __VA_ARGS__);  \
  } while (0)

START_TEST (values_of_a_head)
{
  for (guint32 version = 2; version <= 3; version++) {
    g_autoptr (GByteArray) file = small_gguf (version);
    g_autoptr (GBytes) bytes = g_bytes_new (file->data, file->len);
    g_autoptr (AfpGgufMeta) meta = afp_gguf_meta_parse (bytes, "x", NULL);
    guint64 count = 0;
    ck_assert_ptr_nonnull (meta);
    ck_assert_uint_eq (meta->version, version);
    ck_assert_uint_eq (meta->n_tensors, 2);
    ck_assert_uint_eq (meta->values->len, 6);
    ck_assert (afp_gguf_meta_get_count (meta, "toy.count", &count) && count == 7);
    const AfpGgufValue *words = afp_gguf_meta_find (meta, "toy.words");
    ck_assert_uint_eq (words->type, AFP_GGUF_ARRAY);
    ck_assert_uint_eq (words->element, AFP_GGUF_STRING);
    ck_assert_uint_eq (words->n, 2);
    ck_assert_uint_eq (words->n_bytes, 8 + 3 + 8);
    ck_assert_mem_eq (words->data, "\3\0\0\0\0\0\0\0one", 11);
    const AfpGgufValue *yes = afp_gguf_meta_find (meta, "toy.yes");
    ck_assert_uint_eq (yes->n_bytes, 1);
    ck_assert_uint_eq (yes->data[0], 1);
  }
}
END_TEST

/* Of every type, from the file that the reference wrote. */
START_TEST (all_types)
{
  static const char *const expected[][2] = {
    { "general.architecture", "test" },
    { "test.u8", "200" },
    { "test.i8", "-100" },
    { "test.u16", "60000" },
    { "test.i16", "-30000" },
    { "test.u32", "4000000000" },
    { "test.i32", "-2000000000" },
    { "test.u64", "9223372036854775808" },
    { "test.i64", "-4611686018427387904" },
    { "test.f32", "0.100000001" },
    { "test.f64", "0.10000000000000001" },
    { "test.yes", "true" },
    { "test.no", "false" },
    { "test.text", "na\xc3\xafve \xe2\x98\x83" },
    { "test.words", "3 of type string" },
    { "test.numbers", "4 of type i32" },
  };
  g_autofree char *path =
      g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "tests/data/gguf/blocks.gguf", NULL);
  g_autofree char *data = NULL;
  gsize n;
  ck_assert (g_file_get_contents (path, &data, &n, NULL));
  g_autoptr (GBytes) bytes = g_bytes_new (data, n);
  g_autoptr (AfpGgufMeta) meta = afp_gguf_meta_parse (bytes, path, NULL);
  g_autoptr (JsonNode) json = afp_gguf_meta_to_json (meta);
  guint64 count = 0;
  double real = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (expected); i++)
    ck_assert_str_eq (json_object_get_string_member (json_node_get_object (json), expected[i][0]),
                      expected[i][1]);
  ck_assert_uint_eq (json_object_get_size (json_node_get_object (json)), G_N_ELEMENTS (expected));
  ck_assert (afp_gguf_meta_get_count (meta, "test.u64", &count) && count == 1ull << 63);
  ck_assert (afp_gguf_meta_get_count (meta, "test.u8", &count) && count == 200);
  ck_assert (afp_gguf_meta_get_real (meta, "test.i8", &real) && real == -100);
  ck_assert (afp_gguf_meta_get_real (meta, "test.u64", &real) && real == 0x1p63);
  ck_assert (afp_gguf_meta_get_real (meta, "test.f32", &real) && real == (double) (float) real);
  ck_assert (afp_gguf_meta_get_real (meta, "test.f64", &real) && real != (double) (float) real);
  assert_text (afp_gguf_meta_get_text (meta, "general.architecture"), "test");
}
END_TEST

START_TEST (what_is_no_count)
{
  static const char *const keys[] = { "toy.minus", "toy.words", "toy.yes", "general.architecture",
                                      "toy.none",  "",          "toy.coun" };
  g_autoptr (GByteArray) file = small_gguf (3);
  g_autoptr (GBytes) bytes = g_bytes_new (file->data, file->len);
  g_autoptr (AfpGgufMeta) meta = afp_gguf_meta_parse (bytes, "x", NULL);
  guint64 count = 99;
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    ck_assert_msg (!afp_gguf_meta_get_count (meta, keys[i], &count), "%s", keys[i]);
  ck_assert_uint_eq (count, 99);
  ck_assert_ptr_null (afp_gguf_meta_find (meta, "toy.none"));
}
END_TEST

START_TEST (what_is_no_number_and_no_text)
{
  static const char *const keys[] = { "toy.words", "toy.yes", "toy.none", "toy.bad" };
  g_autoptr (GByteArray) file = small_gguf (3);
  g_autoptr (GByteArray) zeros = new_gguf (3, 0, 2);
  double real = 99;

  put_key (zeros, "toy.zero", AFP_GGUF_STRING);
  put_u64 (zeros, 2);
  g_byte_array_append (zeros, (const guint8 *) "a", 2);
  put_key (zeros, "toy.latin", AFP_GGUF_STRING);
  put_text (zeros, "\xe4");
  g_autoptr (AfpGgufMeta) meta = parse (file->data, file->len, NULL);
  g_autoptr (AfpGgufMeta) other = parse (zeros->data, zeros->len, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++) {
    ck_assert_msg (!afp_gguf_meta_get_real (meta, keys[i], &real), "%s", keys[i]);
    ck_assert_ptr_null (afp_gguf_meta_get_text (meta, keys[i]));
  }
  ck_assert (!afp_gguf_meta_get_real (meta, "general.architecture", &real));
  ck_assert_ptr_null (afp_gguf_meta_get_text (meta, "toy.count"));
  ck_assert_double_eq (real, 99);
  ck_assert_ptr_null (afp_gguf_meta_get_text (other, "toy.zero"));
  ck_assert_ptr_null (afp_gguf_meta_get_text (other, "toy.latin"));
}
END_TEST

START_TEST (every_cut)
{
  g_autoptr (GByteArray) file = small_gguf (3);
  g_autoptr (AfpGgufMeta) whole = parse (file->data, file->len, NULL);
  for (gsize n = 0; n < whole->end; n++) {
    GError *error = NULL;
    ck_assert_msg (parse (file->data, n, &error) == NULL, "%" G_GSIZE_FORMAT, n);
    assert_error (error, AFP_ERROR_FORMAT, "cut off or damaged");
  }
  g_autoptr (AfpGgufMeta) head = parse (file->data, whole->end, NULL);
  ck_assert_ptr_nonnull (head);
  ck_assert_uint_eq (head->end, whole->end);
}
END_TEST

/* Whatever a byte becomes: parsed, or an error of the format. */
START_TEST (every_byte)
{
  static const guint8 masks[] = { 0xff, 0x80, 0x01, 0x10 };
  g_autoptr (GByteArray) file = small_gguf (3);
  for (guint i = 0; i < 400 && i < file->len; i++)
    for (guint j = 0; j < G_N_ELEMENTS (masks); j++) {
      GError *error = NULL;
      file->data[i] ^= masks[j];
      g_autoptr (AfpGgufMeta) meta = parse (file->data, file->len, &error);
      ck_assert ((meta == NULL) == (error != NULL));
      if (error != NULL)
        assert_error (error, AFP_ERROR_FORMAT, "x.gguf");
      file->data[i] ^= masks[j];
    }
}
END_TEST

START_TEST (wrong_heads)
{
  static const struct {
    guint32 version;
    const char *word;
  } cases[] = { { 0, "version 0" },           { 1, "version 1" },
                { 4, "knows 2 and 3" },       { 0x03000000, "big-endian" },
                { 0x02000000, "big-endian" }, { 0xffffffff, "version 4294967295" } };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GByteArray) file = small_gguf (cases[i].version);
    assert_damaged (file, cases[i].word);
  }
  g_autoptr (GByteArray) magic = small_gguf (3);
  magic->data[3] = 'f';
  assert_damaged (magic, "no GGUF file");
}
END_TEST

START_TEST (huge_numbers)
{
  static const guint64 counts[] = { 1000, 1ull << 32, 1ull << 60, G_MAXUINT64 };
  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++) {
    g_autoptr (GByteArray) values = new_gguf (3, 0, counts[i]);
    g_autoptr (GByteArray) text = new_gguf (3, 0, 1);
    g_autoptr (GByteArray) array = new_gguf (3, 0, 1);
    g_autoptr (GByteArray) words = new_gguf (3, 0, 1);
    g_autoptr (GByteArray) key = new_gguf (3, 0, 1);
    put_padding (values, 64);
    assert_damaged (values, "metadata, but only");
    put_key (text, "k", AFP_GGUF_STRING);
    put_u64 (text, counts[i]);
    assert_damaged (text, "the value of 'k'", "but 0 follow");
    put_key (array, "k", AFP_GGUF_ARRAY);
    put_u32 (array, AFP_GGUF_F64);
    put_u64 (array, counts[i]);
    assert_damaged (array, "the value of 'k'", "values of type f64");
    put_key (words, "k", AFP_GGUF_ARRAY);
    put_u32 (words, AFP_GGUF_STRING);
    put_u64 (words, counts[i]);
    assert_damaged (words, "the value of 'k'", "values of type string");
    put_u64 (key, counts[i]);
    put_padding (key, 64);
    assert_damaged (key, "a key");
  }
}
END_TEST

START_TEST (wrong_keys)
{
  static const struct {
    const char *key;
    gsize n;
    const char *word;
  } cases[] = { { "", 0, "empty" }, { "a\xff", 2, "not UTF-8" }, { "a\0b", 3, "zero byte" } };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GByteArray) file = new_gguf (3, 0, 1);
    put_u64 (file, cases[i].n);
    g_byte_array_append (file, (const guint8 *) cases[i].key, (guint) cases[i].n);
    put_u32 (file, AFP_GGUF_U8);
    put_counting_bytes (file, 8);
    assert_damaged (file, cases[i].word);
  }
  g_autoptr (GByteArray) twice = new_gguf (3, 0, 2);
  for (guint i = 0; i < 2; i++) {
    put_key (twice, "same", AFP_GGUF_U32);
    put_u32 (twice, i);
  }
  assert_damaged (twice, "key 'same' twice");
}
END_TEST

START_TEST (wrong_types)
{
  g_autoptr (GByteArray) type = new_gguf (3, 0, 1);
  put_key (type, "k", AFP_GGUF_N_TYPES);
  put_u64 (type, 0);
  assert_damaged (type, "the value of 'k'", "type 13", "0 to 12");
  g_autoptr (GByteArray) element = new_gguf (3, 0, 1);
  put_key (element, "k", AFP_GGUF_ARRAY);
  put_u32 (element, 77);
  put_u64 (element, 0);
  assert_damaged (element, "the value of 'k'", "type 77");
  g_autoptr (GByteArray) deep = new_gguf (3, 0, 1);
  put_key (deep, "k", AFP_GGUF_ARRAY);
  for (guint i = 0; i < 100000; i++) {
    put_u32 (deep, AFP_GGUF_ARRAY);
    put_u64 (deep, 1);
  }
  assert_damaged (deep, "the value of 'k'", "more than 4 deep");
}
END_TEST

START_TEST (long_texts_are_cut_where_they_are_shown)
{
  g_autofree char *text = g_strnfill (5000, 'x');
  g_autoptr (GByteArray) file = new_gguf (3, 0, 2);
  put_key (file, "long", AFP_GGUF_STRING);
  put_text (file, text);
  put_key (file, "broken", AFP_GGUF_STRING);
  put_text (file, "\xff\xfe");
  g_autoptr (GBytes) bytes = g_bytes_new (file->data, file->len);
  g_autoptr (AfpGgufMeta) meta = afp_gguf_meta_parse (bytes, "x", NULL);
  g_autoptr (JsonNode) json = afp_gguf_meta_to_json (meta);
  const char *shown = json_object_get_string_member (json_node_get_object (json), "long");
  ck_assert_uint_eq (strlen (shown), 200 + strlen (" [cut]"));
  ck_assert (g_utf8_validate (json_object_get_string_member (json_node_get_object (json), "broken"),
                              -1, NULL));
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = io_case ("gguf-meta");
  tcase_add_test (tcase, values_of_a_head);
  tcase_add_test (tcase, all_types);
  tcase_add_test (tcase, what_is_no_count);
  tcase_add_test (tcase, what_is_no_number_and_no_text);
  tcase_add_test (tcase, every_cut);
  tcase_add_test (tcase, every_byte);
  tcase_add_test (tcase, wrong_heads);
  tcase_add_test (tcase, huge_numbers);
  tcase_add_test (tcase, wrong_keys);
  tcase_add_test (tcase, wrong_types);
  tcase_add_test (tcase, long_texts_are_cut_where_they_are_shown);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("gguf-meta", cases, G_N_ELEMENTS (cases));
}
