/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

static const AfpReader *const reader = &afp_reader_llama2c;

/* dim 8, hidden 12, 2 layers, 2 heads, 1 kv head, vocabulary 5, context 3 */
static const gint32 small[7] = { 8, 12, 2, 2, 1, 5, 3 };
#define LAYER_FLOATS (8 + 64 + 32 + 32 + 64 + 8 + 96 + 96 + 96)
#define SHARED_FLOATS (5 * 8 + 2 * LAYER_FLOATS + 8 + 2 * 3 * 2)

/* Header, then the floats 0, 1, 2, ... */
static char *
put_checkpoint (const char *name, const gint32 *header, guint n_floats)
{
  g_autofree guint8 *data = g_malloc (28 + 4 * n_floats);
  for (guint i = 0; i < 7; i++) {
    const gint32 word = GINT32_TO_LE (header[i]);
    memcpy (data + 4 * i, &word, 4);
  }
  for (guint i = 0; i < n_floats; i++) {
    const float value = (float) i;
    memcpy (data + 28 + 4 * i, &value, 4);
  }
  return put_file (name, data, 28 + 4 * n_floats);
}

static gpointer
open_ok (const char *path)
{
  GError *error = NULL;
  gpointer handle = open_reader (reader, path, &error);
  ck_assert_msg (handle != NULL, "%s", error ? error->message : "no error");
  return handle;
}

static void
assert_first (gpointer handle, gsize index, const char *expected, float value)
{
  g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, index, NULL);
  float first;
  assert_text (describe_tensor (tensor), expected);
  memcpy (&first, g_bytes_get_data (afp_plane_get_data (afp_tensor_get_root (tensor)), NULL), 4);
  ck_assert_float_eq (first, value);
}

START_TEST (shared_classifier)
{
  g_autofree char *path = put_checkpoint ("m", small, SHARED_FLOATS);
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 1 + 2 * 9 + 1 + 1);
  assert_planned (reader, handle, 1, "layers.0.attention_norm.weight f32 8 out:1");
  assert_first (handle, 0, "tok_embeddings.weight f32 5x8 out:1", 0);
  assert_first (handle, 2, "layers.1.attention_norm.weight f32 8 out:1", 48);
  assert_first (handle, 3, "layers.0.attention.wq.weight f32 8x8 out:1", 56);
  assert_first (handle, 5, "layers.0.attention.wk.weight f32 4x8 out:1", 184);
  assert_first (handle, 7, "layers.0.attention.wv.weight f32 4x8 out:1", 248);
  assert_first (handle, 9, "layers.0.attention.wo.weight f32 8x8 out:1", 312);
  assert_first (handle, 11, "layers.0.ffn_norm.weight f32 8 out:1", 440);
  assert_first (handle, 13, "layers.0.feed_forward.w1.weight f32 12x8 out:1", 456);
  assert_first (handle, 15, "layers.0.feed_forward.w2.weight f32 8x12 out:1", 648);
  assert_first (handle, 18, "layers.1.feed_forward.w3.weight f32 12x8 out:1", 936);
  assert_first (handle, 19, "norm.weight f32 8 out:1", 1032);
  assert_first (handle, 20, "output.weight f32 5x8 out:1", 0);
  for (gsize i = 0; i < 21; i++) {
    g_autoptr (AfpTensor) tensor = reader->plan_tensor (handle, i, NULL);
    ck_assert_pstr_eq (afp_spec_get_alias_of (afp_tensor_get_spec (tensor)),
                       i == 20 ? "tok_embeddings.weight" : NULL);
  }
  g_autofree char *notes = get_notes (reader, handle);
  ck_assert_ptr_nonnull (strstr (notes, "left out: freq_cis_real, freq_cis_imag (48 bytes"));
  ck_assert_ptr_nonnull (strstr (notes, "output.weight is tok_embeddings.weight"));
  reader->close (handle);
}
END_TEST

START_TEST (own_classifier)
{
  gint32 header[7];
  memcpy (header, small, sizeof header);
  header[5] = -5;
  g_autofree char *path = put_checkpoint ("m", header, SHARED_FLOATS + 40);
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 21);
  assert_first (handle, 20, "output.weight f32 5x8 out:1", SHARED_FLOATS);
  g_autoptr (JsonNode) node = NULL;
  JsonObject *info_config =
      json_object_get_object_member (get_info (reader, handle, &node), "config");
  ck_assert (!json_object_get_boolean_member (info_config, "shared_classifier"));
  ck_assert_int_eq (json_object_get_int_member (info_config, "vocab_size"), 5);
  ck_assert_int_eq (json_object_get_int_member (info_config, "hidden_dim"), 12);
  reader->close (handle);
}
END_TEST

START_TEST (fingerprints)
{
  gint32 header[7];
  memcpy (header, small, sizeof header);
  header[5] = -5;
  g_autofree char *one = put_checkpoint ("one", small, SHARED_FLOATS);
  g_autofree char *copy = put_checkpoint ("copy", small, SHARED_FLOATS);
  g_autofree char *other = put_checkpoint ("other", header, SHARED_FLOATS + 40);
  gpointer handles[] = { open_ok (one), open_ok (copy), open_ok (other) };
  g_autofree char *a = reader->get_fingerprint (handles[0]);
  g_autofree char *b = reader->get_fingerprint (handles[1]);
  g_autofree char *c = reader->get_fingerprint (handles[2]);
  ck_assert_str_eq (a, b);
  ck_assert_str_ne (a, c);
  for (guint i = 0; i < 3; i++)
    reader->close (handles[i]);
}
END_TEST

static gboolean
sniff (const gint32 *header, guint64 size)
{
  guint8 head[28];
  for (guint i = 0; i < 7; i++) {
    const gint32 word = GINT32_TO_LE (header[i]);
    memcpy (head + 4 * i, &word, 4);
  }
  return reader->sniff ("x", head, sizeof head, size);
}

START_TEST (sniffing)
{
  static const gint32 extreme[7] = {
    1 << 20, 1 << 22, 1 << 12, 1 << 19, 1 << 19, 1 << 26, 1 << 26
  };
  gint32 header[7];
  ck_assert (sniff (small, 28 + 4 * SHARED_FLOATS));
  ck_assert (!sniff (small, 28 + 4 * SHARED_FLOATS + 1));
  ck_assert (!sniff (small, 28));
  ck_assert (!sniff (extreme, 28));
  ck_assert (!reader->sniff ("x", (const guint8 *) "", 0, 28 + 4 * SHARED_FLOATS));
  for (guint i = 0; i < 7; i++) {
    memcpy (header, small, sizeof header);
    header[i] = 0;
    ck_assert (!sniff (header, 28 + 4 * SHARED_FLOATS));
    header[i] = G_MININT32;
    ck_assert (!sniff (header, 28 + 4 * SHARED_FLOATS));
    header[i] = G_MAXINT32;
    ck_assert (!sniff (header, 28 + 4 * SHARED_FLOATS));
  }
}
END_TEST

START_TEST (damaged)
{
  static const struct {
    guint field;
    gint32 value;
    const char *name;
  } cases[] = { { 0, 0, "dim" },
                { 0, -8, "dim" },
                { 1, 0, "hidden_dim" },
                { 2, -1, "n_layers" },
                { 3, 3, "n_heads" },
                { 3, 8, "n_heads" },
                { 4, 3, "n_kv_heads" },
                { 4, 0, "n_kv_heads" },
                { 5, 0, "vocab_size" },
                { 6, 0, "seq_len" },
                { 6, G_MAXINT32, "seq_len" },
                { 5, G_MININT32, "vocab_size" } };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    gint32 header[7];
    memcpy (header, small, sizeof header);
    header[cases[i].field] = cases[i].value;
    g_autofree char *path = put_checkpoint ("bad", header, SHARED_FLOATS);
    assert_refused (reader, path, AFP_ERROR_FORMAT, "bad", "no llama2.c checkpoint", cases[i].name);
  }
}
END_TEST

START_TEST (wrong_sizes)
{
  g_autofree char *tiny = put_file ("tiny", "abc", 3);
  g_autofree char *cut = put_checkpoint ("cut", small, SHARED_FLOATS - 1);
  g_autofree char *longer = put_checkpoint ("longer", small, SHARED_FLOATS + 1);
  g_autofree char *missing = in_folder ("missing");
  g_autofree char *expected = g_strdup_printf ("%u", 28 + 4 * SHARED_FLOATS);
  assert_refused (reader, tiny, AFP_ERROR_FORMAT, "3 bytes", "28");
  assert_refused (reader, cut, AFP_ERROR_FORMAT, "cut off", expected);
  assert_refused (reader, longer, AFP_ERROR_FORMAT, "longer", expected);
  assert_refused (reader, missing, AFP_ERROR_IO, "cannot read");
}
END_TEST

START_TEST (later_versions)
{
  static const guint8 head[28] = { 0x32, 0x34, 0x6b, 0x61, 1 };
  g_autofree char *path = put_file ("v1", head, sizeof head);
  ck_assert (reader->sniff (path, head, sizeof head, 28));
  assert_refused (reader, path, AFP_ERROR_FORMAT, "version 1", "version 0");
}
END_TEST

START_TEST (real_model)
{
  const char *shared = g_getenv ("AFP_TEST_SHARED");
  if (shared == NULL) {
    g_print ("SKIP: AFP_TEST_SHARED is not set\n");
    return;
  }
  g_autofree char *path = g_build_filename (shared, "data/stories260k/stories260K.bin", NULL);
  gpointer handle = open_ok (path);
  guint64 weights = 0;
  ck_assert_uint_eq (reader->get_n_tensors (handle), 48);
  for (gsize i = 0; i < 48; i++) {
    g_autoptr (AfpTensor) tensor = reader->plan_tensor (handle, i, NULL);
    if (afp_spec_get_alias_of (afp_tensor_get_spec (tensor)) == NULL)
      weights += afp_spec_get_n_elements (afp_tensor_get_spec (tensor));
  }
  ck_assert_uint_eq (weights, 260032);

  /* The same weights, by another way: the embedding and a matrix that needs no permutation. */
  g_autofree char *twin_path =
      g_build_filename (shared, "data/stories260k/model.safetensors", NULL);
  gpointer twin = open_reader (&afp_reader_safetensors, twin_path, NULL);
  static const char *const pairs[][2] = { { "tok_embeddings.weight", "model.embed_tokens.weight" },
                                          { "layers.3.feed_forward.w2.weight",
                                            "model.layers.3.mlp.down_proj.weight" },
                                          { "norm.weight", "model.norm.weight" } };
  guint found = 0;
  for (gsize i = 0; i < 47; i++)
    for (gsize j = 0; j < 47; j++) {
      g_autoptr (AfpTensor) a = reader->read_tensor (handle, i, NULL);
      g_autoptr (AfpTensor) b = afp_reader_safetensors.read_tensor (twin, j, NULL);
      for (gsize k = 0; k < G_N_ELEMENTS (pairs); k++)
        if (g_str_equal (afp_spec_get_name (afp_tensor_get_spec (a)), pairs[k][0]) &&
            g_str_equal (afp_spec_get_name (afp_tensor_get_spec (b)), pairs[k][1])) {
          GBytes *bytes = afp_plane_get_data (afp_tensor_get_root (b));
          assert_raw_bytes (a, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
          found++;
        }
    }
  ck_assert_uint_eq (found, G_N_ELEMENTS (pairs));
  afp_reader_safetensors.close (twin);
  reader->close (handle);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = io_case ("llama2c");
  tcase_add_test (tcase, shared_classifier);
  tcase_add_test (tcase, own_classifier);
  tcase_add_test (tcase, fingerprints);
  tcase_add_test (tcase, sniffing);
  tcase_add_test (tcase, damaged);
  tcase_add_test (tcase, wrong_sizes);
  tcase_add_test (tcase, later_versions);
  tcase_add_test (tcase, real_model);
  return tcase;
}

int
main (void)
{
  static TCase *(*const suites[]) (void) = { all };
  return run_suite ("reader-llama2c", suites, G_N_ELEMENTS (suites));
}
