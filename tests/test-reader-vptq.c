/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/vptq-dequant.h"

static const AfpReader *const reader = &afp_reader_vptq;

/* --- folders of tests/oracle/vptq-folder.py ------------------------------------------------------------------------ */

static char *
golden_path (const char *folder, const char *name)
{
  return g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "tests/data/vptq", folder, name, NULL);
}

static gpointer
open_ok (const AfpReader *of, const char *path)
{
  GError *error = NULL;
  gpointer handle = open_reader (of, path, &error);

  ck_assert_msg (handle != NULL, "%s", error ? error->message : "no error");
  return handle;
}

/* All that the reader gives is what the package has, and nothing else is there. */
static void
compare_with_package (const char *path, const char *folder)
{
  g_autofree char *decoded = golden_path (folder, "decoded.safetensors");
  gpointer handle = open_ok (reader, path), expected = open_ok (&afp_reader_safetensors, decoded);
  const gsize n = reader->get_n_tensors (handle);
  guint found = 0;

  ck_assert_uint_eq (n, afp_reader_safetensors.get_n_tensors (expected));
  for (gsize i = 0; i < n; i++) {
    g_autoptr (AfpTensor) want = afp_reader_safetensors.read_tensor (expected, i, NULL);
    g_autofree char *description = describe_tensor (want);
    GBytes *bytes = afp_plane_get_data (afp_tensor_get_root (want));
    for (gsize j = 0; j < n; j++) {
      GError *error = NULL;
      g_autoptr (AfpTensor) planned = reader->plan_tensor (handle, j, NULL);
      g_autofree char *text = describe_tensor (planned);
      if (strcmp (text, description) != 0)
        continue;
      g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, j, &error);
      ck_assert_msg (tensor != NULL, "%s: %s", text, error ? error->message : "");
      assert_raw_bytes (tensor, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
      found++;
    }
  }
  ck_assert_uint_eq (found, n);
  reader->close (handle);
  afp_reader_safetensors.close (expected);
}

START_TEST (as_the_package)
{
  g_autofree char *f16 = golden_path ("f16", "model.safetensors");
  g_autofree char *bf16 = golden_path ("bf16", "model.safetensors");

  compare_with_package (f16, "f16");
  compare_with_package (bf16, "bf16");
}
END_TEST

static char *
copy_golden (const char *name)
{
  g_autofree char *path = golden_path ("f16", name), *text = NULL;
  gsize n;

  ck_assert (g_file_get_contents (path, &text, &n, NULL));
  return put_file (name, text, n);
}

START_TEST (an_index)
{
  g_autofree char *model = copy_golden ("model.safetensors"),
                  *config G_GNUC_UNUSED = copy_golden ("config.json");
  gpointer handle = open_ok (&afp_reader_safetensors, model);
  g_autoptr (GString) text = g_string_new ("{\"weight_map\":{");

  for (gsize i = 0; i < afp_reader_safetensors.get_n_tensors (handle); i++) {
    g_autoptr (AfpTensor) tensor = afp_reader_safetensors.plan_tensor (handle, i, NULL);
    g_string_append_printf (text, "%s\"%s\":\"model.safetensors\"", i ? "," : "",
                            afp_spec_get_name (afp_tensor_get_spec (tensor)));
  }
  afp_reader_safetensors.close (handle);
  g_string_append (text, "}}");
  g_autofree char *index = put_file ("model.safetensors.index.json", text->str, text->len);
  ck_assert (reader->sniff (index, (const guint8 *) text->str, text->len, text->len));
  compare_with_package (index, "f16");
}
END_TEST

/* A pipeline finds it by its configuration, and what follows sees weights. */
START_TEST (what_else_there_is)
{
  g_autofree char *folder = golden_path ("f16", "");
  g_autofree char *model = golden_path ("f16", "model.safetensors");
  g_autoptr (AfpPipeline) pipeline = NULL;
  AfpElement *null = last_of ("load location=%s ! null", folder, &pipeline);
  GError *error = NULL;
  g_autoptr (GBytes) config = afp_element_read_extra (null, AFP_EXTRA_CONFIG, &error);
  const char *text = g_bytes_get_data (config, NULL);
  const gssize n = (gssize) g_bytes_get_size (config);
  ck_assert_ptr_nonnull (g_strstr_len (text, n, "\"model_type\" : \"llama\""));
  ck_assert_ptr_null (g_strstr_len (text, n, "quantization"));

  gpointer handle = open_ok (reader, model), plain = open_ok (&afp_reader_safetensors, model);
  g_autoptr (JsonNode) node = NULL;
  JsonObject *info = get_info (reader, handle, &node);
  ck_assert_str_eq (json_object_get_string_member (info, "format"), "vptq");
  JsonArray *files = json_object_get_array_member (info, "files");
  ck_assert_uint_eq (json_array_get_length (files), 2);
  ck_assert (g_str_has_suffix (json_array_get_string_element (files, 1), "/config.json"));
  g_autofree char *mark = reader->get_fingerprint (handle);
  g_autofree char *other = afp_reader_safetensors.get_fingerprint (plain);
  ck_assert_str_ne (mark, other);
  g_autoptr (AfpTensor) first = reader->plan_tensor (handle, 0, NULL);
  ck_assert_uint_gt (reader->tensor_memory (handle, 0),
                     afp_spec_get_n_bytes (afp_tensor_get_spec (first)));
  reader->close (handle);
  afp_reader_safetensors.close (plain);
}
END_TEST

/* --- strings of bits ------------------------------------------------------------------------------------------------ */

static float *
count_up (gsize n)
{
  float *numbers = g_new (float, n);

  for (gsize i = 0; i < n; i++)
    numbers[i] = (float) i;
  return numbers;
}

/* Vectors of one number, which is the index: so the weights are the indices. */
static void
check_symbols (guint centroids, guint residuals, const guint32 *words, const double *expected)
{
  const AfpVptqLayer layer = { .rows = 1,
                               .cols = 5,
                               .length = 1,
                               .centroids = centroids,
                               .residuals = residuals,
                               .groups = 1,
                               .group_size = 5,
                               .packed = TRUE };
  g_autofree float *main = count_up (centroids), *res = count_up (residuals);
  g_autofree guint32 *little = g_new (guint32, afp_vptq_n_words (&layer));
  AfpVptqArrays arrays = { .indices = (const guint8 *) little, .centroids = main };
  float weights[5];

  for (guint i = 0; i < residuals; i++)
    res[i] *= 65536;
  arrays.residuals = res;
  for (guint64 i = 0; i < afp_vptq_n_words (&layer); i++)
    little[i] = GUINT32_TO_LE (words[i]);
  ck_assert (afp_vptq_dequantize (&layer, &arrays, AFP_DTYPE_F32, "x", (guint8 *) weights, NULL));
  for (guint i = 0; i < 5; i++)
    ck_assert_double_eq ((double) weights[i], expected[i]);
}

START_TEST (symbols_that_straddle)
{
  static const double main[] = { 0xffff, 0x1234, 1, 0xabcd, 0x8000 };
  static const double with_8[] = { 0xabffff, 0x1234, 0xff0001, 0x7eabcd, 0x018000 };
  static const double low[] = { 0xfff, 0x234, 1, 0xbcd, 0 };
  static const double low_with_12[] = { 0xab0fff, 0x234, 0xff0001, 0x7e0bcd, 0x10000 };
  static const double all[] = { 0xffff, 0, 0x10000, 1, 0xff0000 };

  check_symbols (65536, 256, (const guint32[]){ 0x34abffff, 0x00010012, 0x7eabcdff, 0x00018000 },
                 with_8);
  check_symbols (65536, 0, (const guint32[]){ 0x1234ffff, 0xabcd0001, 0x00008000 }, main);
  check_symbols (4096, 4096, (const guint32[]){ 0x340abfff, 0xf0010002, 0x07ebcd0f, 0x00001000 },
                 low_with_12);
  check_symbols (4096, 0, (const guint32[]){ 0x01234fff, 0x0000bcd0 }, low);
  check_symbols (65536, 65536, (const guint32[]){ 0xffff, 0, 0x10000, 1, 0xff0000 }, all);
  check_symbols (2, 0, (const guint32[]){ 0x15 }, (const double[]){ 1, 0, 1, 0, 1 });
}
END_TEST

START_TEST (indices_beyond)
{
  const guint8 indices[] = { 2, 0, 3, 0 }, outlier[] = { 1, 0 }, twice[] = { 1, 0, 1, 0 };
  AfpVptqLayer layer = {
    .rows = 1, .cols = 2, .length = 1, .centroids = 3, .groups = 1, .group_size = 2
  };
  g_autofree float *numbers = count_up (4);
  AfpVptqArrays arrays = { .indices = indices, .centroids = numbers };
  float out[2];
  GError *error = NULL;

#define refused(...)                                                                          \
  do {                                                                                        \
    ck_assert (                                                                               \
        !afp_vptq_dequantize (&layer, &arrays, AFP_DTYPE_F32, "it", (guint8 *) out, &error)); \
    assert_error (error, AFP_ERROR_FORMAT, "it has", __VA_ARGS__);                            \
  } while (0)
  refused ("index 3", "3 vectors");
  layer.centroids = 4;
  arrays.perm = twice;
  refused ("no permutation", "entry 1 is 1", "came before");
  arrays.perm = indices;
  refused ("no permutation", "entry 0 is 2", "beyond the inputs");
  arrays.perm = NULL;
  layer.residuals = 3;
  arrays.residuals = numbers;
  arrays.res_indices = indices;
  refused ("residual index 3", "3 vectors");
  layer.residuals = 0;
  layer.n_outliers = layer.outlier_length = layer.outlier_centroids = layer.group_size = 1;
  arrays.outlier_indices = outlier;
  arrays.outlier_centroids = numbers;
  refused ("outlier index 1", "1 vectors");
}
END_TEST

/* --- damaged folders ------------------------------------------------------------------------------------------------ */

#define INDICES "\"m.l.indices\":{\"dtype\":\"I32\",\"shape\":[1,1,1],\"data_offsets\":[0,4]}"
#define CENTROIDS \
  "\"m.l.centroids.weight\":{\"dtype\":\"F16\",\"shape\":[1,8],\"data_offsets\":[4,20]}"
#define MORE(name) "\"m.l." name "\":{\"dtype\":\"I16\",\"shape\":[2],\"data_offsets\":[20,24]}"
#define SIZES \
  "\"in_features\":2,\"out_features\":2,\"group_num\":1,\"group_size\":2,\"outlier_size\":0"
#define VECTORS "\"vector_lens\":[-1,2],\"num_centroids\":[-1,4],\"num_res_centroids\":[-1,-1]"
#define LAYER "{" SIZES "," VECTORS ",\"is_indice_packed\":true}"
#define CONFIG(members) "{\"quantization_config\":{\"quant_method\":\"vptq\"" members "}}"
#define LAYERS ",\"config_for_layers\":{\"m.l\":" LAYER "}"

static char *
put_model (const char *config, const char *header, gsize n)
{
  g_free (put_file ("config.json", config, strlen (config)));

  return put_safetensors ("model.safetensors", header, n);
}

/* The configuration with one text in place of another. */
static char *
change (const char *from, const char *to)
{
  g_autoptr (GString) text = g_string_new (CONFIG (LAYERS));

  ck_assert_uint_eq (g_string_replace (text, from, to, 0), 1);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

START_TEST (small_folder)
{
  g_autofree char *path = put_model (CONFIG (LAYERS), "{" INDICES "," CENTROIDS "}", 20);
  gpointer handle = open_ok (reader, path);
  /* The bytes 0 1 2 3 are the symbols 0 0. */
  const guint8 bytes[] = { 4, 5, 4, 5, 6, 7, 6, 7 };

  ck_assert_uint_eq (reader->get_n_tensors (handle), 1);
  assert_planned (reader, handle, 0, "m.l.weight f16 2x2 out:1");
  g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, 0, NULL);
  assert_raw_bytes (tensor, bytes, sizeof bytes);
  reader->close (handle);
}
END_TEST

START_TEST (bad_linears)
{
  static const struct {
    const char *from, *to, *words[2];
  } cases[] = {
    { "\"in_features\":2", "\"in_features\":0", { "in_features", "is 0; 1 to" } },
    { "\"in_features\":2", "\"in_features\":3000000000", { "in_features", "is 3000000000" } },
    { "\"in_features\":2,", "", { "in_features", "no whole number" } },
    { "\"out_features\":2", "\"out_features\":2.5", { "out_features", "no whole number" } },
    { "\"in_features\":2", "\"in_features\":3", { "3 inputs", "1 groups of 2" } },
    { "\"group_num\":1", "\"group_num\":0", { "group_num", "is 0" } },
    { "\"outlier_size\":0", "\"outlier_size\":1", { "2 inputs", "1 outliers" } },
    { "\"group_size\":2,\"outlier_size\":0",
      "\"group_size\":1,\"outlier_size\":1",
      { "1 outliers", "no codebook" } },
    { "[-1,2]", "[-1,65]", { "vector_lens", "is 65" } },
    { "[-1,2]", "[-1,-1]", { "vectors of 0 numbers", "4 centroids" } },
    { "[-1,2]", "[2]", { "vector_lens", "two numbers" } },
    { "[-1,2]", "[-1,\"2\"]", { "vector_lens", "no whole number" } },
    { "[-1,4]", "[-1,65537]", { "num_centroids", "is 65537" } },
    { "[-1,4]", "[-1,3]", { "num_centroids 3", "no power of two" } },
    { "[-1,4]", "[-1,1]", { "num_centroids 1", "2 vectors" } },
    { "[-1,-1]", "[-1,6]", { "num_res_centroids 6", "no power of two" } },
    { "[-1,-1]", "[-1,2]", { "no tensor res_centroids.weight", "asks for" } },
    { "[-1,2],\"num_centroids\":[-1,4],\"num_res_centroids\":[-1,-1]",
      "[2,2],\"num_centroids\":[4,4],\"num_res_centroids\":[4,-1]",
      { "residual codebook for outliers", "linear 'm.l'" } },
    { "true", "true,\"vector_quant_dim\":\"in\"", { "vector_quant_dim 'in'", "'out'" } },
    { "true", "true,\"norm_dim\":1", { "norm_dim 1", "for each input" } },
    { "true", "true,\"enable_norm\":true", { "no tensor weight_scale", "asks for" } },
    { "true", "true,\"enable_perm\":true", { "no tensor perm", "asks for" } },
    { "true", "false", { "indices of type i32", "i16 is expected" } },
    { "\"out_features\":2", "\"out_features\":3", { "indices of shape 1x1x1", "1x2x1" } },
    { "[-1,4]", "[-1,8]", { "centroids.weight of shape 1x8", "it is 1x16" } },
    { "\"m.l\"", "\"m.k\"", { "linear 'm.l'", "does not say how" } },
    { "\"m.l\":", "\"m.k\":" LAYER ",\"m.l\":", { "linear 'm.k'", "no tensor 'm.k.indices'" } },
    { "\"m.l\":", "\"m.k\":7,\"m.l\":", { "linear 'm.k'", "is no object" } },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *config = change (cases[i].from, cases[i].to);
    g_autofree char *path = put_model (config, "{" INDICES "," CENTROIDS "}", 20);
    assert_refused (reader, path, AFP_ERROR_FORMAT, cases[i].words[0], cases[i].words[1]);
  }
}
END_TEST

START_TEST (bad_arrays)
{
  static const struct {
    const char *header, *words[2];
    gsize n;
  } cases[] = {
    { "{" INDICES "}", { "no tensor centroids.weight", "linear 'm.l'" }, 4 },
    { "{" INDICES "," CENTROIDS "," MORE ("perm") "}", { "a tensor perm", "does not speak" }, 24 },
    { "{" INDICES "," CENTROIDS "," MORE ("res_indices") "}",
      { "a tensor res_indices", "m.l" },
      24 },
    { "{" INDICES "," CENTROIDS "," MORE ("weight") "}",
      { "'m.l.weight'", "is quantized, but" },
      24 },
    { "{}", { "no tensor 'm.l.indices'", "linear 'm.l' is quantized" }, 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = put_model (CONFIG (LAYERS), cases[i].header, cases[i].n);
    assert_refused (reader, path, AFP_ERROR_FORMAT, cases[i].words[0], cases[i].words[1]);
  }
}
END_TEST

START_TEST (bad_configurations)
{
  static const char header[] = "{" INDICES "," CENTROIDS "}";
  g_autofree char *alone = put_safetensors ("model.safetensors", header, 20);
  ck_assert (!afp_vptq_config_is_beside (alone));
  assert_refused (reader, alone, AFP_ERROR_IO, "config.json", "No such file");

  g_autofree char *plain = put_model ("{\"model_type\":\"llama\"}", header, 20);
  ck_assert (!afp_vptq_config_is_beside (plain));
  assert_refused (reader, plain, AFP_ERROR_FORMAT, "quant_method 'vptq'", "format=safetensors");
  g_autofree char *other =
      put_model ("{\"quantization_config\":{\"quant_method\":\"gptq\"}}", header, 20);
  ck_assert (!afp_vptq_config_is_beside (other));
  g_autofree char *cut = put_model ("{\"quantization_config\":", header, 20);
  assert_refused (reader, cut, AFP_ERROR_FORMAT, "config.json' is damaged", "inside a bracket");
  g_autofree char *none = put_model (CONFIG (""), header, 20);
  ck_assert (afp_vptq_config_is_beside (none));
  assert_refused (reader, none, AFP_ERROR_FORMAT, "linear 'm.l'", "does not say how");
  g_autofree char *shared =
      put_model (CONFIG (",\"shared_layer_config\":{\"l\":{\"in_features\":2}}"), header, 20);
  assert_refused (reader, shared, AFP_ERROR_FORMAT, "linear 'l' in shared_layer_config");
}
END_TEST

static TCase *
folders (void)
{
  TCase *tcase = io_case ("folders");
  tcase_add_test (tcase, as_the_package);
  tcase_add_test (tcase, an_index);
  tcase_add_test (tcase, what_else_there_is);
  tcase_add_test (tcase, symbols_that_straddle);
  tcase_add_test (tcase, small_folder);
  return tcase;
}

static TCase *
damage (void)
{
  TCase *tcase = io_case ("damage");
  tcase_add_test (tcase, indices_beyond);
  tcase_add_test (tcase, bad_linears);
  tcase_add_test (tcase, bad_arrays);
  tcase_add_test (tcase, bad_configurations);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { folders, damage };

  return run_suite ("reader-vptq", cases, G_N_ELEMENTS (cases));
}
