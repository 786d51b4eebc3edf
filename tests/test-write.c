/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keras-test.h"

#include "toy-codec.h"

#include <unistd.h>

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}"
#define B "\"b\":{\"dtype\":\"I8\",\"shape\":[3],\"data_offsets\":[16,19]}"

/* $D in the text is the test's folder. */
static AfpPipeline *
parse_text (const char *text)
{
  g_auto (GStrv) parts = g_strsplit (text, "$D", -1);
  g_autofree char *full = g_strjoinv (test_folder, parts);
  GError *error = NULL;
  AfpPipeline *pipeline = afp_pipeline_new_from_text (full, &error);
  ck_assert_msg (pipeline != NULL, "%s", error ? error->message : "?");
  return pipeline;
}

static AfpPipeline *
run_ok (const char *text)
{
  AfpPipeline *pipeline = parse_text (text);
  GError *error = NULL;
  ck_assert_msg (afp_pipeline_run (pipeline, &error), "%s", error ? error->message : "?");
  return pipeline;
}

#define assert_no_plan(text, code_, ...)                         \
  do {                                                           \
    GError *error_ = NULL;                                       \
    g_autoptr (AfpPipeline) pipeline_ = parse_text (text);       \
    ck_assert_ptr_null (afp_pipeline_plan (pipeline_, &error_)); \
    assert_error (error_, (code_), __VA_ARGS__);                 \
  } while (0)

static void
put_model (void)
{
  g_autofree G_GNUC_UNUSED char *path = put_safetensors ("m.safetensors", "{" A "," B "}", 19);
}

static JsonObject *
get_output (AfpPipeline *pipeline, guint index, JsonNode **node)
{
  AfpElement *element = afp_pipeline_get_elements (pipeline)->pdata[index];
  *node = AFP_ELEMENT_GET_CLASS (element)->get_output (element);
  return json_node_get_object (*node);
}

static gboolean
same_content (const char *a, const char *b)
{
  g_autofree char *path_a = in_folder (a), *path_b = in_folder (b);
  g_autofree char *x = NULL, *y = NULL;
  gsize n, m;
  ck_assert (g_file_get_contents (path_a, &x, &n, NULL));
  ck_assert (g_file_get_contents (path_b, &y, &m, NULL));
  return n == m && memcmp (x, y, n) == 0;
}

START_TEST (safetensors)
{
  put_model ();
  g_autoptr (AfpPipeline) pipeline =
      run_ok ("load location=$D/m.safetensors ! write location=$D/out.SafeTensors");
  g_autofree char *path = in_folder ("out.SafeTensors");
  g_autoptr (JsonNode) node = NULL;
  JsonObject *output = get_output (pipeline, 1, &node);
  GStatBuf info;
  ck_assert_int_eq (g_stat (path, &info), 0);
  ck_assert_str_eq (json_object_get_string_member (output, "location"), path);
  ck_assert_str_eq (json_object_get_string_member (output, "format"), "safetensors");
  ck_assert_int_eq (json_object_get_int_member (output, "file_bytes"), info.st_size);
  gpointer handle = open_reader (&afp_reader_safetensors, path, NULL);
  assert_planned (&afp_reader_safetensors, handle, 0, "a f32 2x2 out:1");
  assert_planned (&afp_reader_safetensors, handle, 1, "b i8 3 out:1");
  afp_reader_safetensors.close (handle);
  ck_assert_uint_eq (count_files (), 2);
}
END_TEST

START_TEST (own_file_and_back)
{
  put_model ();
  g_autoptr (AfpPipeline) there =
      run_ok ("load location=$D/m.safetensors ! write location=$D/x.h5");
  g_autoptr (AfpPipeline) G_GNUC_UNUSED back =
      run_ok ("load location=$D/x.h5 ! decode ! write location=$D/back.safetensors");
  g_autoptr (AfpPipeline) G_GNUC_UNUSED twin =
      run_ok ("load location=$D/m.safetensors ! write location=$D/twin.safetensors");
  g_autoptr (JsonNode) node = NULL;
  ck_assert_str_eq (json_object_get_string_member (get_output (there, 1, &node), "format"),
                    "afpipe");
  ck_assert (same_content ("back.safetensors", "twin.safetensors"));
}
END_TEST

START_TEST (template_of_keras)
{
  g_autofree G_GNUC_UNUSED char *model = put_keras ("m.h5");
  g_autoptr (AfpPipeline) pipeline = run_ok (
      "load location=$D/m.h5 ! select tensors=dense/kernel* ! toy min-weights=0 force=true ! decode ! "
      "write location=$D/out.h5 template=$D/m.h5");
  g_autoptr (JsonNode) node = NULL;
  ck_assert_str_eq (json_object_get_string_member (get_output (pipeline, 4, &node), "format"),
                    "keras");
  g_autofree char *path = in_folder ("out.h5");
  gpointer handle = open_reader (&afp_reader_keras, path, NULL);
  ck_assert_uint_eq (afp_reader_keras.get_n_tensors (handle), 3);
  g_autoptr (AfpTensor) conv = afp_reader_keras.read_tensor (handle, 0, NULL);
  g_autoptr (AfpTensor) kernel = afp_reader_keras.read_tensor (handle, 1, NULL);
  float first;
  memcpy (&first, g_bytes_get_data (afp_plane_get_data (afp_tensor_get_root (kernel)), NULL), 4);
  assert_floats (conv, 36, CONV_BASE);
  ck_assert_float_ne (first, DENSE_BASE);
  afp_reader_keras.close (handle);
}
END_TEST

START_TEST (overwrite)
{
  put_model ();
  g_autofree char *path = put_file ("out.safetensors", "old", 3);
  assert_no_plan ("load location=$D/m.safetensors ! write location=$D/out.safetensors",
                  AFP_ERROR_IO, "exists already", "3 bytes", "overwrite=true");
  g_autoptr (AfpPipeline) G_GNUC_UNUSED pipeline =
      run_ok ("load location=$D/m.safetensors ! write location=$D/out.safetensors overwrite=true");
  ck_assert_uint_eq (count_files (), 2);
  gpointer handle = open_reader (&afp_reader_safetensors, path, NULL);
  ck_assert_ptr_nonnull (handle);
  afp_reader_safetensors.close (handle);
}
END_TEST

/* The tensors a and b of the model, read back. */
static void
assert_model (const char *name)
{
  static const guint8 expected[] = { 0,  1,  2,  3,  4,  5,  6,  7,  8, 9,
                                     10, 11, 12, 13, 14, 15, 16, 17, 18 };
  g_autofree char *path = in_folder (name);
  GError *error = NULL;
  gpointer handle = open_reader (&afp_reader_safetensors, path, &error);
  ck_assert_msg (handle != NULL, "%s", error ? error->message : "?");
  ck_assert_uint_eq (afp_reader_safetensors.get_n_tensors (handle), 2);
  assert_planned (&afp_reader_safetensors, handle, 0, "a f32 2x2 out:1");
  assert_planned (&afp_reader_safetensors, handle, 1, "b i8 3 out:1");
  for (gsize i = 0; i < 2; i++) {
    g_autoptr (AfpTensor) tensor = afp_reader_safetensors.read_tensor (handle, i, NULL);
    assert_raw_bytes (tensor, expected + 16 * i, i == 0 ? 16 : 3);
  }
  afp_reader_safetensors.close (handle);
}

static guint64
size_of (const char *name)
{
  g_autofree char *path = in_folder (name);
  GStatBuf info;
  ck_assert_msg (g_stat (path, &info) == 0, "%s is missing", name);
  return (guint64) info.st_size;
}

#define TO_SHARDS "load location=$D/m.safetensors ! write location=$D/out.safetensors "

START_TEST (shards)
{
  put_model ();
  g_autoptr (AfpPipeline) pipeline = parse_text (TO_SHARDS "max-shard=16");
  AfpPlan *plan = afp_pipeline_plan (pipeline, NULL);
  ck_assert_ptr_nonnull (plan);
  g_autofree char *planned = afp_plan_to_string (plan);
  ck_assert_ptr_nonnull (strstr (planned, ", in 3 files\n"));
  ck_assert_uint_eq (count_files (), 1);
  ck_assert (afp_pipeline_run (pipeline, NULL));
  ck_assert_uint_eq (count_files (), 4);
  const guint64 bytes = size_of ("out-00001-of-00002.safetensors") +
                        size_of ("out-00002-of-00002.safetensors") +
                        size_of ("out.safetensors.index.json");
  g_autofree char *index = in_folder ("out.safetensors.index.json");
  g_autoptr (JsonNode) node = NULL;
  JsonObject *output = get_output (pipeline, 1, &node);
  ck_assert_str_eq (json_object_get_string_member (output, "location"), index);
  ck_assert_int_eq (json_object_get_int_member (output, "file_bytes"), (gint64) bytes);
  assert_model ("out.safetensors.index.json");
}
END_TEST

START_TEST (one_shard_is_a_file)
{
  put_model ();
  g_autoptr (AfpPipeline) G_GNUC_UNUSED pipeline = run_ok (TO_SHARDS "max-shard=1k");
  ck_assert_uint_eq (count_files (), 2);
  assert_model ("out.safetensors");
}
END_TEST

START_TEST (shards_of_an_earlier_run)
{
  put_model ();
  static const char *const old[] = { "out-00001-of-00003.safetensors",
                                     "out-00002-of-00002.safetensors", "out.safetensors",
                                     "out.safetensors.index.json" };
  for (guint i = 0; i < G_N_ELEMENTS (old); i++) {
    g_autofree char *path = put_file (old[i], "old", 3);
    assert_no_plan (TO_SHARDS "max-shard=16", AFP_ERROR_IO, old[i], "exists already",
                    "overwrite=true");
    assert_no_plan (TO_SHARDS, AFP_ERROR_IO, old[i], "exists already", "overwrite=true");
    ck_assert_int_eq (g_unlink (path), 0);
  }
  for (guint i = 0; i < G_N_ELEMENTS (old); i++) {
    g_autofree G_GNUC_UNUSED char *path = put_file (old[i], "old", 3);
  }
  g_autofree G_GNUC_UNUSED char *other = put_file ("output-00001-of-00003.safetensors", "old", 3);
  g_autoptr (AfpPipeline) G_GNUC_UNUSED many = run_ok (TO_SHARDS "max-shard=16 overwrite=true");
  assert_model ("out.safetensors.index.json");
  ck_assert_uint_eq (count_files (), 2 + 3);
  g_autoptr (AfpPipeline) G_GNUC_UNUSED one = run_ok (TO_SHARDS "overwrite=true");
  assert_model ("out.safetensors");
  ck_assert_uint_eq (count_files (), 2 + 1);
  ck_assert_uint_eq (size_of ("output-00001-of-00003.safetensors"), 3);
}
END_TEST

/* Shards that would be, or are to be removed, and that a stage reads. */
START_TEST (shards_that_are_inputs)
{
  put_model ();
  g_autoptr (AfpPipeline) G_GNUC_UNUSED pipeline = run_ok (TO_SHARDS "max-shard=16");
  assert_no_plan ("load location=$D/out.safetensors.index.json ! write location=$D/out.safetensors "
                  "overwrite=true",
                  AFP_ERROR_IO, "same file as", "out-00001-of-00002.safetensors");
  assert_no_plan ("load location=$D/out-00002-of-00002.safetensors ! write "
                  "location=$D/out.safetensors overwrite=true",
                  AFP_ERROR_IO, "same file as location= of 'load0'");
  assert_no_plan (TO_SHARDS "max-shard=16", AFP_ERROR_IO, "exists already");
  assert_no_plan ("load location=$D/m.safetensors ! tee name=t ! write max-shard=16 "
                  "location=$D/x.safetensors  t. ! write location=$D/x-00001-of-00002.safetensors",
                  AFP_ERROR_IO, "same file as location= of 'write1'");
  assert_model ("out.safetensors.index.json");
}
END_TEST

START_TEST (shards_of_other_formats)
{
  put_model ();
  assert_no_plan ("load location=$D/m.safetensors ! write location=$D/out.h5 max-shard=16",
                  AFP_ERROR_PROPERTY, "max-shard= goes with format=safetensors", "afpipe");
  assert_no_plan ("load location=$D/m.safetensors ! write location=$D/out.h5 template=$D/k.h5 "
                  "max-shard=16",
                  AFP_ERROR_PROPERTY, "max-shard= goes with format=safetensors", "keras");
}
END_TEST

/* Every dtype of safetensors, in an order that is not ours; 12 elements each. Returns the header and the bytes of the arrays. */
static char *
make_all_dtypes (guint *n)
{
  static const struct {
    const char *name;
    guint bits;
  } types[] = { { "F4", 4 },      { "BOOL", 8 },        { "F6_E2M3", 6 }, { "U8", 8 },
                { "F6_E3M2", 6 }, { "I8", 8 },          { "F8_E5M2", 8 }, { "F8_E4M3", 8 },
                { "F8_E8M0", 8 }, { "F8_E4M3FNUZ", 8 }, { "I16", 16 },    { "F8_E5M2FNUZ", 8 },
                { "U16", 16 },    { "F16", 16 },        { "BF16", 16 },   { "I32", 32 },
                { "U32", 32 },    { "F32", 32 },        { "C64", 64 },    { "F64", 64 },
                { "I64", 64 },    { "U64", 64 } };
  GString *header = g_string_new ("{");
  *n = 0;
  for (guint i = 0; i < G_N_ELEMENTS (types); i++) {
    const guint end = *n + 12 * types[i].bits / 8;
    g_string_append_printf (header,
                            "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[4,3],\"data_offsets\":[%u,%u]}",
                            i ? "," : "", types[i].name, types[i].name, *n, end);
    *n = end;
  }
  g_string_append_c (header, '}');
  return g_string_free (header, FALSE);
}

/* Each array of the first file is in the second, byte by byte. */
static void
assert_same_arrays (const char *one, const char *two)
{
  g_autofree char *path_one = in_folder (one), *path_two = in_folder (two);
  gpointer x = open_reader (&afp_reader_safetensors, path_one, NULL);
  gpointer y = open_reader (&afp_reader_safetensors, path_two, NULL);
  const gsize n = afp_reader_safetensors.get_n_tensors (x);
  guint found = 0;
  ck_assert_uint_eq (afp_reader_safetensors.get_n_tensors (y), n);
  for (gsize i = 0; i < n; i++)
    for (gsize j = 0; j < n; j++) {
      g_autoptr (AfpTensor) a = afp_reader_safetensors.read_tensor (x, i, NULL);
      g_autoptr (AfpTensor) b = afp_reader_safetensors.read_tensor (y, j, NULL);
      g_autofree char *text_a = describe_tensor (a), *text_b = describe_tensor (b);
      if (!g_str_equal (text_a, text_b))
        continue;
      GBytes *bytes = afp_plane_get_data (afp_tensor_get_root (a));
      assert_raw_bytes (b, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
      found++;
    }
  ck_assert_uint_eq (found, n);
  afp_reader_safetensors.close (x);
  afp_reader_safetensors.close (y);
}

START_TEST (every_dtype)
{
  guint n;
  g_autofree char *header = make_all_dtypes (&n);
  g_autofree G_GNUC_UNUSED char *model = put_safetensors ("m.safetensors", header, n);
  g_autoptr (AfpPipeline) G_GNUC_UNUSED one =
      run_ok ("load location=$D/m.safetensors ! decode ! write location=$D/one.safetensors");
  g_autoptr (AfpPipeline) G_GNUC_UNUSED own =
      run_ok ("load location=$D/m.safetensors ! write location=$D/own.h5");
  g_autoptr (AfpPipeline) G_GNUC_UNUSED two =
      run_ok ("load location=$D/own.h5 ! write location=$D/two.safetensors");
  assert_same_arrays ("m.safetensors", "one.safetensors");
  ck_assert (same_content ("one.safetensors", "two.safetensors"));
}
END_TEST

/* Codecs take numbers of 8 bits; what they made of them is not rounded to 8 bits again. */
START_TEST (numbers_of_8_bits)
{
  g_autofree G_GNUC_UNUSED char *model = put_safetensors (
      "m.safetensors", "{\"a\":{\"dtype\":\"F8_E5M2\",\"shape\":[8,8],\"data_offsets\":[0,64]}}",
      64);
  g_autoptr (AfpPipeline) G_GNUC_UNUSED coded =
      run_ok ("load location=$D/m.safetensors ! toy min-weights=0 force=true ! decode ! write "
              "location=$D/coded.safetensors");
  g_autoptr (AfpPipeline) G_GNUC_UNUSED half = run_ok (
      "load location=$D/m.safetensors ! decode dtype=f16 ! write location=$D/half.safetensors");
  static const char *const files[] = { "coded.safetensors", "half.safetensors" };
  for (guint i = 0; i < 2; i++) {
    g_autofree char *path = in_folder (files[i]);
    gpointer handle = open_reader (&afp_reader_safetensors, path, NULL);
    g_autoptr (AfpTensor) tensor = afp_reader_safetensors.read_tensor (handle, 0, NULL);
    ck_assert_int_eq (afp_spec_get_dtype (afp_tensor_get_spec (tensor)),
                      i ? AFP_DTYPE_F16 : AFP_DTYPE_F32);
    if (i == 1) { /* E5M2 is the upper half of binary16 */
      guint8 expected[128];
      for (guint j = 0; j < 64; j++) {
        expected[2 * j] = 0;
        expected[2 * j + 1] = (guint8) j;
      }
      assert_raw_bytes (tensor, expected, sizeof expected);
    }
    afp_reader_safetensors.close (handle);
  }
}
END_TEST

static char *
get_metadata (const char *name)
{
  g_autofree char *path = in_folder (name);
  gpointer handle = open_reader (&afp_reader_safetensors, path, NULL);
  g_autoptr (JsonNode) node = NULL;
  JsonObject *info = get_info (&afp_reader_safetensors, handle, &node);
  char *text = json_object_has_member (info, "metadata")
                   ? json_to_string (json_object_get_member (info, "metadata"), FALSE)
                   : NULL;
  afp_reader_safetensors.close (handle);
  return text;
}

/* What the input says of itself goes along, over any stages, into each shard. */
START_TEST (metadata)
{
  static const char *const said = "{\"format\":\"tf\",\"who\":\"\\\"me\\\" \xc3\xa9\"}";
  g_autofree char *header = g_strconcat ("{\"__metadata__\":", said, "," A "," B "}", NULL);
  g_autofree G_GNUC_UNUSED char *model = put_safetensors ("m.safetensors", header, 19);
  g_autoptr (AfpPipeline) G_GNUC_UNUSED one = run_ok (
      "load location=$D/m.safetensors ! tee name=t ! toy min-weights=0 force=true ! decode ! write "
      "location=$D/one.safetensors  t. ! write location=$D/two.safetensors max-shard=1");
  assert_text (get_metadata ("one.safetensors"), said);
  assert_text (get_metadata ("two-00001-of-00002.safetensors"), said);
  assert_text (get_metadata ("two-00002-of-00002.safetensors"), said);
  put_model ();
  g_autoptr (AfpPipeline) G_GNUC_UNUSED none =
      run_ok ("load location=$D/m.safetensors ! write location=$D/none.safetensors");
  assert_text (get_metadata ("none.safetensors"), "{\"format\":\"pt\"}");
}
END_TEST

START_TEST (branches)
{
  put_model ();
  g_autoptr (AfpPipeline) G_GNUC_UNUSED pipeline =
      run_ok ("load location=$D/m.safetensors ! tee name=t ! write location=$D/one.safetensors  "
              "t. ! write location=$D/two.safetensors");
  ck_assert (same_content ("one.safetensors", "two.safetensors"));
  assert_no_plan (
      "load location=$D/m.safetensors ! tee name=t ! write location=$D/x.safetensors  t. ! write location=$D/./x.safetensors",
      AFP_ERROR_IO, "same file as location= of 'write");
}
END_TEST

/* --- what is refused ----------------------------------------------------------------------------------------------- */

START_TEST (formats)
{
  put_model ();
  assert_no_plan ("load location=$D/m.safetensors ! write location=$D/out.bin", AFP_ERROR_PROPERTY,
                  "does not tell the format", ".safetensors (safetensors)", ".h5 (afpipe)",
                  "format=");
  assert_no_plan ("load location=$D/m.safetensors ! write location=$D/out", AFP_ERROR_PROPERTY,
                  "does not tell the format");
  assert_no_plan ("load location=$D/m.safetensors ! write location=$D/out.h5 format=keras",
                  AFP_ERROR_PROPERTY, "template=ORIGINAL.h5");
  assert_no_plan (
      "load location=$D/m.safetensors ! write location=$D/out.safetensors format=safetensors template=$D/m.h5",
      AFP_ERROR_PROPERTY, "template= goes with format=keras", "safetensors");
  g_autoptr (AfpPipeline) G_GNUC_UNUSED said =
      run_ok ("load location=$D/m.safetensors ! write location=$D/out.bin format=safetensors");
  ck_assert_uint_eq (count_files (), 2);
}
END_TEST

START_TEST (places)
{
  put_model ();
  assert_no_plan ("load location=$D/m.safetensors ! write location=$D/no/out.safetensors",
                  AFP_ERROR_IO, "write0", "/no'", "create it first");
  assert_no_plan ("load location=$D/m.safetensors ! write location=$D format=safetensors",
                  AFP_ERROR_IO, "is a folder");
  assert_no_plan (
      "load location=$D/m.safetensors ! write location=/dev/null format=safetensors overwrite=true",
      AFP_ERROR_IO, "not an ordinary file");
  assert_no_plan ("load location=$D/m.safetensors ! write", AFP_ERROR_PROPERTY,
                  "location= is missing");
  assert_no_plan ("load location=$D/m.safetensors ! write location=\"\"", AFP_ERROR_PROPERTY,
                  "location= is missing");
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

/* With overwrite=true, too: the input, by its name, by another name, and a file that is an input on the way. */
START_TEST (outputs_that_are_inputs)
{
  put_model ();
  g_autofree char *model = in_folder ("m.safetensors"), *hard = in_folder ("hard.safetensors");
  g_autofree char *soft = in_folder ("soft.safetensors");
  g_autofree G_GNUC_UNUSED char *keras_model = put_keras ("k.h5");
  ck_assert_int_eq (link (model, hard), 0);
  ck_assert_int_eq (symlink ("m.safetensors", soft), 0);
  static const char *const outputs[] = { "m", "hard", "soft", "./m" };
  for (gsize i = 0; i < G_N_ELEMENTS (outputs); i++) {
    g_autofree char *text = g_strdup_printf (
        "load location=$D/m.safetensors ! write location=$D/%s.safetensors overwrite=true",
        outputs[i]);
    assert_no_plan (text, AFP_ERROR_IO, "same file as location= of 'load0'");
  }
  assert_no_plan (
      "load location=$D/k.h5 ! select tensors=dense* ! write location=$D/k.h5 template=$D/k.h5 overwrite=true",
      AFP_ERROR_IO, "same file as");
  assert_no_plan (
      "load location=$D/m.safetensors ! write location=$D/k.h5 template=$D/k.h5 overwrite=true",
      AFP_ERROR_IO, "same file as template= of 'write0'");
}
END_TEST

/* Files that no property names: the model in a folder, a shard. */
START_TEST (outputs_that_are_opened_by_load)
{
  g_autofree G_GNUC_UNUSED char *file = put_safetensors ("model.safetensors", "{" A "}", 16);
  assert_no_plan ("load location=$D ! write location=$D/model.safetensors overwrite=true",
                  AFP_ERROR_IO, "same file as", "which 'load0' reads");
  const char *text = "{\"weight_map\":{\"a\":\"shard.safetensors\"}}";
  g_autofree G_GNUC_UNUSED char *index =
      put_file ("model.safetensors.index.json", text, strlen (text));
  g_autofree G_GNUC_UNUSED char *shard = put_safetensors ("shard.safetensors", "{" A "}", 16);
  assert_no_plan ("load location=$D ! write location=$D/shard.safetensors overwrite=true",
                  AFP_ERROR_IO, "same file as", "shard.safetensors", "which 'load0' reads");
}
END_TEST

START_TEST (coded_tensors)
{
  put_model ();
  assert_no_plan (
      "load location=$D/m.safetensors ! toy min-weights=0 force=true ! write location=$D/out.safetensors",
      AFP_ERROR_PLAN, "tensor 'a' is coded (toy)", "put 'decode' before write");
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

START_TEST (tensors_without_a_dataset)
{
  put_model ();
  g_autofree G_GNUC_UNUSED char *keras_model = put_keras ("k.h5");
  assert_no_plan ("load location=$D/m.safetensors ! write location=$D/out.h5 template=$D/k.h5",
                  AFP_ERROR_PLAN, "tensor 'a' has no dataset in the template");
  assert_no_plan ("load location=$D/m.safetensors ! write location=$D/out.h5 template=$D/none.h5",
                  AFP_ERROR_IO, "template", "none.h5");
}
END_TEST

/* A run that fails publishes nothing and leaves what was there. */
START_TEST (failed_run)
{
  static const hsize_t dims[] = { 64, 64 };
  g_autofree char *path = in_folder ("m.h5");
  g_autofree char *old = put_file ("out.safetensors", "old", 3);
  g_autofree char *text = NULL;
  gsize n;
  haddr_t at;
  {
    g_auto (AfpHid) file = h5_create (path);
    h5_put_floats (file, "/a", H5T_IEEE_F32LE, 2, dims, 1, FALSE);
    h5_put_floats (file, "/w", H5T_IEEE_F32LE, 2, dims, 1, TRUE);
    g_auto (AfpHid) dataset = H5Dopen2 (file, "/w", H5P_DEFAULT);
    g_auto (AfpHid) space = H5Dget_space (dataset);
    hsize_t offset[2], size;
    unsigned mask;
    H5Fflush (file, H5F_SCOPE_GLOBAL);
    ck_assert (H5Dget_chunk_info (dataset, space, 0, offset, &mask, &at, &size) >= 0);
  }
  g_file_get_contents (path, &text, &n, NULL);
  memset (text + at + 4, 0xff, 40);
  g_file_set_contents (path, text, (gssize) n, NULL);
  g_autoptr (AfpPipeline) pipeline =
      parse_text ("load location=$D/m.h5 ! write location=$D/out.safetensors overwrite=true");
  GError *error = NULL;
  ck_assert (!afp_pipeline_run (pipeline, &error));
  assert_error (error, AFP_ERROR_FORMAT, "m.h5", "dataset '/w'");
  g_autofree char *content = NULL;
  g_file_get_contents (old, &content, NULL, NULL);
  ck_assert_str_eq (content, "old");
  ck_assert_uint_eq (count_files (), 2);
  g_autoptr (JsonNode) node = NULL;
  ck_assert (json_object_get_null_member (get_output (pipeline, 1, &node), "file_bytes"));
}
END_TEST

START_TEST (bad_properties)
{
  GError *error = NULL;
  g_autoptr (AfpElement) element = afp_registry_make (afp_registry_get_default (), "write", NULL);
  ck_assert (!afp_element_set_property_text (element, "format", "onnx", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "onnx", "safetensors");
  ck_assert (!afp_element_set_property_text (element, "max-shard", "5 apples", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "max-shard=5 apples", "is not a size");
  ck_assert (!afp_element_set_property_text (element, "overwrit", "true", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "overwrit", "overwrite");
  ck_assert (!afp_element_set_property_text (element, "overwrite", "perhaps", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "perhaps");
}
END_TEST

static TCase *
written (void)
{
  TCase *tcase = io_case ("written");
  tcase_add_test (tcase, safetensors);
  tcase_add_test (tcase, own_file_and_back);
  tcase_add_test (tcase, template_of_keras);
  tcase_add_test (tcase, overwrite);
  tcase_add_test (tcase, shards);
  tcase_add_test (tcase, one_shard_is_a_file);
  tcase_add_test (tcase, shards_of_an_earlier_run);
  tcase_add_test (tcase, every_dtype);
  tcase_add_test (tcase, numbers_of_8_bits);
  tcase_add_test (tcase, metadata);
  tcase_add_test (tcase, branches);
  return tcase;
}

static TCase *
refused (void)
{
  TCase *tcase = io_case ("refused");
  tcase_add_test (tcase, formats);
  tcase_add_test (tcase, places);
  tcase_add_test (tcase, outputs_that_are_inputs);
  tcase_add_test (tcase, outputs_that_are_opened_by_load);
  tcase_add_test (tcase, shards_that_are_inputs);
  tcase_add_test (tcase, shards_of_other_formats);
  tcase_add_test (tcase, coded_tensors);
  tcase_add_test (tcase, tensors_without_a_dataset);
  tcase_add_test (tcase, failed_run);
  tcase_add_test (tcase, bad_properties);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { written, refused };
  toy_register ();
  return run_suite ("write", cases, G_N_ELEMENTS (cases));
}
