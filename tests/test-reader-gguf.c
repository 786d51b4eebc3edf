/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gguf-test.h"

static const AfpReader *const reader = &afp_reader_gguf;

static gpointer
open_ok (const char *path)
{
  GError *error = NULL;
  gpointer handle = open_reader (reader, path, &error);
  ck_assert_msg (handle != NULL, "%s", error ? error->message : "no error");
  return handle;
}

#define assert_damaged(file, ...)                                  \
  do {                                                             \
    g_autofree char *path_ = put_gguf ("bad.gguf", (file));        \
    assert_refused (reader, path_, AFP_ERROR_FORMAT, __VA_ARGS__); \
  } while (0)

START_TEST (small)
{
  for (guint32 version = 2; version <= 3; version++) {
    g_autoptr (GByteArray) file = small_gguf (version);
    g_autofree char *path = put_gguf ("m.gguf", file);
    gpointer handle = open_ok (path);
    ck_assert_uint_eq (reader->get_n_tensors (handle), 2);
    assert_planned (reader, handle, 0, "a f32 2x3 out:1");
    assert_planned (reader, handle, 1, "b q8_0 2x32 out:1");
    g_autoptr (AfpTensor) a = reader->read_tensor (handle, 0, NULL);
    g_autoptr (AfpTensor) b = reader->read_tensor (handle, 1, NULL);
    g_autoptr (GByteArray) expected = g_byte_array_new ();
    put_counting_bytes (expected, 68);
    assert_raw_bytes (a, expected->data, 24);
    assert_raw_bytes (b, expected->data, 68);
    reader->close (handle);
  }
}
END_TEST

START_TEST (facts)
{
  static const guint64 shape[] = { 4 };
  g_autoptr (GByteArray) file = new_gguf (3, 1, 1);
  put_key (file, "general.name", AFP_GGUF_STRING);
  put_text (file, "tied");
  put_tensor (file, "token_embd.weight", 1, shape, 0, 0);
  put_padding (file, 32);
  put_counting_bytes (file, 16);
  g_autofree char *path = put_gguf ("m.gguf", file);
  gpointer handle = open_ok (path);
  g_autoptr (JsonNode) node = NULL;
  JsonObject *info = get_info (reader, handle, &node);
  ck_assert_str_eq (json_object_get_string_member (info, "format"), "gguf");
  ck_assert_int_eq (json_object_get_int_member (info, "format_version"), 3);
  ck_assert_str_eq (json_object_get_string_member (
                        json_object_get_object_member (info, "gguf_metadata"), "general.name"),
                    "tied");
  g_autofree char *notes = get_notes (reader, handle);
  ck_assert_ptr_nonnull (strstr (notes, "the head is token_embd.weight"));
  g_autofree char *one = reader->get_fingerprint (handle);
  reader->close (handle);
  file->data[32] ^= 1; /* in the key */
  g_autofree char *other = put_gguf ("o.gguf", file);
  handle = open_ok (other);
  g_autofree char *two = reader->get_fingerprint (handle);
  ck_assert_str_ne (one, two);
  ck_assert_uint_eq (strlen (one), 64);
  reader->close (handle);
}
END_TEST

START_TEST (own_alignment)
{
  static const guint64 shape[] = { 2 };
  g_autoptr (GByteArray) file = new_gguf (3, 2, 1);
  put_key (file, "general.alignment", AFP_GGUF_U32);
  put_u32 (file, 8);
  put_tensor (file, "x", 1, shape, 0, 8);
  put_tensor (file, "y", 1, shape, 0, 0);
  put_padding (file, 8);
  put_counting_bytes (file, 16);
  g_autofree char *path = put_gguf ("m.gguf", file);
  gpointer handle = open_ok (path);
  g_autoptr (AfpTensor) x = reader->read_tensor (handle, 0, NULL);
  assert_raw_bytes (x, "\10\11\12\13\14\15\16\17", 8);
  reader->close (handle);
}
END_TEST

START_TEST (ranks)
{
  static const guint64 shape[] = { 2, 1, 3, 1, 2 };
  g_autoptr (GByteArray) file = new_gguf (3, 3, 0);
  put_tensor (file, "five", 5, shape, 24, 0);
  put_tensor (file, "scalar", 0, shape, 26, 32);
  put_tensor (file, "empty", 2, (const guint64[]){ 0, 7 }, 1, 64);
  put_padding (file, 32);
  put_counting_bytes (file, 64);
  g_autofree char *path = put_gguf ("m.gguf", file);
  gpointer handle = open_ok (path);
  assert_planned (reader, handle, 0, "five i8 2x1x3x1x2 out:1");
  assert_planned (reader, handle, 1, "scalar i32 scalar out:1");
  assert_planned (reader, handle, 2, "empty f16 7x0 out:1");
  reader->close (handle);
}
END_TEST

START_TEST (every_cut)
{
  g_autoptr (GByteArray) file = small_gguf (3);
  for (guint n = 0; n < file->len; n++) {
    g_autofree char *path = put_file ("cut.gguf", file->data, n);
    GError *error = NULL;
    gpointer handle = open_reader (reader, path, &error);
    ck_assert_msg (handle == NULL, "%u of %u bytes", n, file->len);
    ck_assert_int_eq (error->code, AFP_ERROR_FORMAT);
    ck_assert_ptr_nonnull (strstr (error->message, "cut off"));
    g_error_free (error);
  }
}
END_TEST

START_TEST (every_byte)
{
  static const guint8 masks[] = { 0xff, 0x01 };
  g_autoptr (GByteArray) file = small_gguf (3);
  for (guint i = 0; i < file->len; i++)
    for (guint j = 0; j < G_N_ELEMENTS (masks); j++) {
      file->data[i] ^= masks[j];
      g_autofree char *path = put_gguf ("flip.gguf", file);
      GError *error = NULL;
      gpointer handle = open_reader (reader, path, &error);
      ck_assert ((handle == NULL) == (error != NULL));
      for (gsize t = 0; handle != NULL && t < reader->get_n_tensors (handle); t++) {
        g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, t, NULL);
        ck_assert_ptr_nonnull (tensor);
      }
      if (handle != NULL)
        reader->close (handle);
      else
        assert_error (error, AFP_ERROR_FORMAT, "flip.gguf");
      file->data[i] ^= masks[j];
    }
}
END_TEST

/* One tensor with this description, and 4096 bytes of data. */
static GByteArray *
one_tensor (const char *name, guint rank, const guint64 *shape, guint32 type, guint64 offset)
{
  GByteArray *file = new_gguf (3, 1, 0);
  put_tensor (file, name, rank, shape, type, offset);
  put_padding (file, 32);
  put_counting_bytes (file, 4096);
  return file;
}

START_TEST (wrong_types)
{
  static const struct {
    guint32 type;
    const char *name;
  } cases[] = { { 4, "Q4_2" },      { 9, "Q8_1" },
                { 15, "Q8_K" },     { 16, "IQ2_XXS" },
                { 23, "IQ4_XS" },   { 29, "IQ1_M" },
                { 39, "MXFP4" },    { 42, "number 42" },
                { 33, "Q4_0_8_8" }, { 0xffffffff, "number 4294967295" } };
  static const guint64 shape[] = { 256, 2 };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GByteArray) file = one_tensor ("blk.0.w", 2, shape, cases[i].type, 0);
    assert_damaged (file, "tensor 'blk.0.w'", cases[i].name, "Q6_K", "llama-quantize");
  }
}
END_TEST

START_TEST (wrong_shapes)
{
  static const guint64 odd[] = { 48, 2 }, small_row[] = { 32, 8 },
                       huge[] = { 1ull << 40, 1ull << 40 }, large[] = { 1024, 2 };
  g_autoptr (GByteArray) half_block = one_tensor ("w", 2, odd, 2, 0);
  assert_damaged (half_block, "tensor 'w'", "rows of 48 elements", "the 32 in a block", "q4_0");
  g_autoptr (GByteArray) k = one_tensor ("w", 2, small_row, 12, 0);
  assert_damaged (k, "rows of 32 elements", "the 256 in a block", "q4_k");
  g_autoptr (GByteArray) scalar = one_tensor ("w", 0, odd, 3, 0);
  assert_damaged (scalar, "rows of 1 elements", "q4_1");
  g_autoptr (GByteArray) product = one_tensor ("w", 2, huge, 8, 0);
  assert_damaged (product, "do not fit into 63 bits");
  g_autoptr (GByteArray) long_one = one_tensor ("w", 2, large, 0, 0);
  assert_damaged (long_one, "takes 8192 bytes", "of which there are 4096");
  const guint64 many[33] = { 1 };
  g_autoptr (GByteArray) rank = one_tensor ("w", 33, many, 0, 0);
  assert_damaged (rank, "rank 33; the limit is 32");
}
END_TEST

START_TEST (wrong_places)
{
  static const guint64 shape[] = { 8 };
  g_autoptr (GByteArray) odd = one_tensor ("w", 1, shape, 0, 33);
  assert_damaged (odd, "tensor 'w'", "byte 33", "alignment 32");
  g_autoptr (GByteArray) behind = one_tensor ("w", 1, shape, 0, 4096);
  assert_damaged (behind, "from byte 4096", "cut off");
  g_autoptr (GByteArray) far = one_tensor ("w", 1, shape, 0, G_MAXUINT64 - 31);
  assert_damaged (far, "cut off");
  g_autoptr (GByteArray) both = new_gguf (3, 2, 0);
  put_tensor (both, "first", 1, (const guint64[]){ 16 }, 0, 0);
  put_tensor (both, "second", 1, shape, 0, 32);
  put_padding (both, 32);
  put_counting_bytes (both, 64);
  assert_damaged (both, "tensor 'second'", "overlaps tensor 'first'", "ends at 64");
  g_autoptr (GByteArray) same = new_gguf (3, 2, 0);
  put_tensor (same, "first", 1, shape, 0, 0);
  put_tensor (same, "second", 1, shape, 0, 0);
  put_padding (same, 32);
  put_counting_bytes (same, 64);
  assert_damaged (same, "overlaps tensor");
}
END_TEST

START_TEST (wrong_names)
{
  static const guint64 shape[] = { 8 };
  g_autofree char *long_name = g_strnfill (1025, 'n');
  g_autoptr (GByteArray) twice = new_gguf (3, 2, 0);
  put_tensor (twice, "w", 1, shape, 0, 0);
  put_tensor (twice, "w", 1, shape, 0, 32);
  put_padding (twice, 32);
  put_counting_bytes (twice, 64);
  assert_damaged (twice, "tensor 'w'", "described twice");
  g_autoptr (GByteArray) none = one_tensor ("", 1, shape, 0, 0);
  assert_damaged (none, "empty name");
  g_autoptr (GByteArray) control = one_tensor ("a\nb", 1, shape, 0, 0);
  assert_damaged (control, "control character");
  g_autoptr (GByteArray) broken = one_tensor ("a\xff", 1, shape, 0, 0);
  assert_damaged (broken, "not UTF-8");
  g_autoptr (GByteArray) length = one_tensor (long_name, 1, shape, 0, 0);
  assert_damaged (length, "the name of a tensor", "1025 bytes", "limit is 1024");
}
END_TEST

START_TEST (wrong_metadata)
{
  static const guint32 alignments[] = { 0, 3, 24, 0x80000000 };
  for (gsize i = 0; i < G_N_ELEMENTS (alignments); i++) {
    g_autoptr (GByteArray) file = new_gguf (3, 0, 1);
    put_key (file, "general.alignment", AFP_GGUF_U32);
    put_u32 (file, alignments[i]);
    assert_damaged (file, "general.alignment", "a power of two");
  }
  g_autoptr (GByteArray) text = new_gguf (3, 0, 1);
  put_key (text, "general.alignment", AFP_GGUF_STRING);
  put_text (text, "32");
  assert_damaged (text, "general.alignment");
  g_autoptr (GByteArray) part = new_gguf (3, 0, 2);
  put_key (part, "split.count", AFP_GGUF_U32);
  put_u32 (part, 3);
  put_key (part, "split.no", AFP_GGUF_U32);
  put_u32 (part, 1);
  assert_damaged (part, "part 2 of 3", "--merge");
  g_autoptr (GByteArray) count = new_gguf (3, 1ull << 50, 0);
  assert_damaged (count, "1125899906842624 tensors, but only 0 bytes");
  assert_refused (reader, "/none/such", AFP_ERROR_IO, "cannot read", "/none/such");
}
END_TEST

/* --- the bits of the reference ------------------------------------------------------------------------------------ */

static char *
golden_path (void)
{
  return g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "tests/data/gguf/blocks.gguf", NULL);
}

static gboolean
same_bits (float x, float y)
{
  return memcmp (&x, &y, 4) == 0 || (x != x && y != y);
}

/* Numbers of a tensor, row-major. */
static float *
read_numbers (gpointer handle, gsize index, guint64 *n)
{
  g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, index, NULL);
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  g_autoptr (AfpMatrix) matrix = afp_plane_open (afp_tensor_get_root (tensor), spec, NULL);
  *n = afp_spec_get_n_elements (spec);
  float *values = g_new (float, *n);
  ck_assert (afp_matrix_read (matrix, 0, afp_spec_get_rows (spec), 0, afp_spec_get_cols (spec),
                              values, NULL));
  return values;
}

START_TEST (bits_of_the_reference)
{
  g_autofree char *path = golden_path ();
  gpointer handle = open_ok (path);
  guint n_types = 0;
  for (gsize i = 0; i + 1 < reader->get_n_tensors (handle); i++) {
    g_autoptr (AfpTensor) tensor = reader->plan_tensor (handle, i, NULL);
    g_autoptr (AfpTensor) next = reader->plan_tensor (handle, i + 1, NULL);
    const char *name = afp_spec_get_name (afp_tensor_get_spec (tensor));
    g_autofree char *wanted = g_strconcat (name, ".expected", NULL);
    guint64 n, n_expected;
    if (!g_str_equal (afp_spec_get_name (afp_tensor_get_spec (next)), wanted))
      continue;
    ck_assert_str_eq (afp_dtype_name (afp_spec_get_dtype (afp_tensor_get_spec (tensor))), name);
    g_autofree float *values = read_numbers (handle, i, &n);
    g_autofree float *expected = read_numbers (handle, i + 1, &n_expected);
    ck_assert_uint_eq (n, n_expected);
    for (guint64 k = 0; k < n; k++)
      ck_assert_msg (same_bits (values[k], expected[k]), "%s: number %u is %a, not %a", name,
                     (guint) k, (double) values[k], (double) expected[k]);
    n_types++;
  }
  ck_assert_uint_eq (n_types, 15);
  reader->close (handle);
}
END_TEST

/* --- in a pipeline ------------------------------------------------------------------------------------------------- */

static void G_GNUC_PRINTF (1, 2) run_ok (const char *format, ...)
{
  va_list args;
  GError *error = NULL;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, &error);
  ck_assert_msg (pipeline != NULL && afp_pipeline_run (pipeline, &error), "%s: %s", text,
                 error ? error->message : "no error");
}

/* All of the same bytes, types and shapes, read by these readers from these files. */
static void
assert_same (const AfpReader *x_reader, const char *x_path, const AfpReader *y_reader,
             const char *y_path)
{
  gpointer x = open_reader (x_reader, x_path, NULL), y = open_reader (y_reader, y_path, NULL);
  ck_assert_ptr_nonnull (y);
  ck_assert_uint_eq (x_reader->get_n_tensors (x), y_reader->get_n_tensors (y));
  for (gsize i = 0; i < x_reader->get_n_tensors (x); i++) {
    g_autoptr (AfpTensor) a = x_reader->read_tensor (x, i, NULL);
    g_autoptr (AfpTensor) b = y_reader->read_tensor (y, i, NULL);
    ck_assert_ptr_nonnull (b);
    GBytes *bytes = afp_plane_get_data (afp_tensor_get_root (a));
    g_autofree char *text = describe_tensor (a);
    assert_text (describe_tensor (b), text);
    assert_raw_bytes (b, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  }
  x_reader->close (x);
  y_reader->close (y);
}

START_TEST (untouched_bytes)
{
  g_autofree char *path = golden_path ();
  g_autofree char *out = in_folder ("out.h5"), *again = in_folder ("again.h5");
  run_ok ("load location=%s ! write location=%s", path, out);
  assert_same (reader, path, &afp_reader_afp, out);
  run_ok ("load location=%s verify=true ! write location=%s", out, again);
  assert_same (reader, path, &afp_reader_afp, again);
}
END_TEST

START_TEST (decoded_numbers)
{
  g_autofree char *path = golden_path ();
  g_autofree char *h5 = in_folder ("out.h5"), *out = in_folder ("out.safetensors");
  run_ok ("load location=%s ! select tensors=q4_k* ! write location=%s", path, h5);
  run_ok ("load location=%s ! decode ! write location=%s", h5, out);
  gpointer handle = open_reader (&afp_reader_safetensors, out, NULL);
  ck_assert_uint_eq (afp_reader_safetensors.get_n_tensors (handle), 2);
  g_autoptr (AfpTensor) tensor = afp_reader_safetensors.read_tensor (handle, 0, NULL);
  g_autoptr (AfpTensor) expected = afp_reader_safetensors.read_tensor (handle, 1, NULL);
  assert_text (describe_tensor (tensor), "q4_k f32 2x1024 out:1");
  const float *x = g_bytes_get_data (afp_plane_get_data (afp_tensor_get_root (tensor)), NULL);
  const float *y = g_bytes_get_data (afp_plane_get_data (afp_tensor_get_root (expected)), NULL);
  for (guint i = 0; i < 2048; i++)
    ck_assert (same_bits (x[i], y[i]));
  afp_reader_safetensors.close (handle);
}
END_TEST

START_TEST (what_safetensors_cannot_hold)
{
  g_autofree char *path = golden_path ();
  g_autofree char *out = in_folder ("out.safetensors");
  g_autofree char *text = g_strdup_printf ("load location=%s ! write location=%s", path, out);
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, &error);
  ck_assert (!afp_pipeline_run (pipeline, &error));
  assert_error (error, AFP_ERROR_PLAN, "tensor 'q4_0'", "is q4_0", "put 'decode'");
  ck_assert (!g_file_test (out, G_FILE_TEST_EXISTS));
}
END_TEST

/* Numbers that a q8_0 holds exactly go through a codec and back like those of an f32. */
START_TEST (codecs_see_numbers)
{
  static const guint64 shape[] = { 64, 32 };
  g_autoptr (GByteArray) blocks = new_gguf (3, 1, 0), plain = new_gguf (3, 1, 0);
  put_tensor (blocks, "w", 2, shape, 8, 0);
  put_padding (blocks, 32);
  put_tensor (plain, "w", 2, shape, 0, 0);
  put_padding (plain, 32);
  for (guint i = 0; i < 64; i++) {
    g_byte_array_append (blocks, (const guint8 *) "\0\x20", 2); /* 2^-7 */
    for (guint j = 0; j < 32; j++) {
      const gint8 q = (gint8) (i * 37 + j * j * 11);
      const float value = (float) q / 128;
      g_byte_array_append (blocks, (const guint8 *) &q, 1);
      g_byte_array_append (plain, (const guint8 *) &value, 4);
    }
  }
  g_autofree char *x = put_gguf ("x.gguf", blocks), *y = put_gguf ("y.gguf", plain);
  g_autofree char *x_h5 = in_folder ("x.h5"), *y_h5 = in_folder ("y.h5");
  g_autofree char *x_out = in_folder ("x.safetensors"), *y_out = in_folder ("y.safetensors");
  const char *chain = "seedlm K=8 force=true min-weights=1";
  run_ok ("load location=%s ! %s ! write location=%s", x, chain, x_h5);
  run_ok ("load location=%s ! %s ! write location=%s", y, chain, y_h5);
  run_ok ("load location=%s ! decode ! write location=%s", x_h5, x_out);
  run_ok ("load location=%s ! decode ! write location=%s", y_h5, y_out);
  assert_same (&afp_reader_safetensors, x_out, &afp_reader_safetensors, y_out);
}
END_TEST

START_TEST (stories)
{
  const char *shared = g_getenv ("AFP_TEST_SHARED");
  if (shared == NULL || *shared == '\0') {
    g_print ("SKIP: AFP_TEST_SHARED is not set\n");
    return;
  }
  g_autofree char *gguf = g_build_filename (shared, "data/stories260k/stories260K.gguf", NULL);
  g_autofree char *bin = g_build_filename (shared, "data/stories260k/stories260K.bin", NULL);
  g_autoptr (GHashTable) seen =
      g_hash_table_new_full (g_bytes_hash, g_bytes_equal, (GDestroyNotify) g_bytes_unref, NULL);
  gpointer x = open_ok (gguf), y = open_reader (&afp_reader_llama2c, bin, NULL);
  ck_assert_uint_eq (reader->get_n_tensors (x), 48);
  for (gsize i = 0; i < afp_reader_llama2c.get_n_tensors (y); i++) {
    g_autoptr (AfpTensor) tensor = afp_reader_llama2c.read_tensor (y, i, NULL);
    g_hash_table_add (seen, g_bytes_ref (afp_plane_get_data (afp_tensor_get_root (tensor))));
  }
  for (gsize i = 0; i < 48; i++) {
    g_autoptr (AfpTensor) tensor = reader->read_tensor (x, i, NULL);
    ck_assert_msg (g_hash_table_contains (seen, afp_plane_get_data (afp_tensor_get_root (tensor))),
                   "tensor %u is not in the .bin", (guint) i);
  }
  ck_assert_uint_eq (g_hash_table_size (seen), 47);
  reader->close (x);
  afp_reader_llama2c.close (y);
}
END_TEST

static TCase *
reading (void)
{
  TCase *tcase = io_case ("reading");
  tcase_add_test (tcase, small);
  tcase_add_test (tcase, facts);
  tcase_add_test (tcase, own_alignment);
  tcase_add_test (tcase, ranks);
  tcase_add_test (tcase, bits_of_the_reference);
  tcase_add_test (tcase, stories);
  return tcase;
}

static TCase *
damaged (void)
{
  TCase *tcase = io_case ("damaged");
  tcase_add_test (tcase, every_cut);
  tcase_add_test (tcase, every_byte);
  tcase_add_test (tcase, wrong_types);
  tcase_add_test (tcase, wrong_shapes);
  tcase_add_test (tcase, wrong_places);
  tcase_add_test (tcase, wrong_names);
  tcase_add_test (tcase, wrong_metadata);
  return tcase;
}

static TCase *
pipelines (void)
{
  TCase *tcase = io_case ("pipelines");
  tcase_add_test (tcase, untouched_bytes);
  tcase_add_test (tcase, decoded_numbers);
  tcase_add_test (tcase, what_safetensors_cannot_hold);
  tcase_add_test (tcase, codecs_see_numbers);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { reading, damaged, pipelines };
  return run_suite ("reader-gguf", cases, G_N_ELEMENTS (cases));
}
