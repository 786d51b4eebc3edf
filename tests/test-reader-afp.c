/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"
#include "toy-codec.h"

#include "io/afp-file.h"

static const guint64 square[] = { 64, 64 }, vector[] = { 10 }, nothing[] = { 0, 3 };

#define PACKED_RECIPE \
  "weight=toy/1(block-size=8){seeds=toy-pack/1{packed},coeffs=raw32/1{codes},scale=f16/1{codes}}"

/* Tensors of all sorts: coded, packed, of integers, a scalar, without elements, an alias. */
static GPtrArray *
make_model (void)
{
  GPtrArray *tensors = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_tensor_unref);

  g_ptr_array_add (tensors, toy_tensor ("fc", TOY_RECIPE, AFP_DTYPE_F16, 2, square, NULL));
  g_ptr_array_add (tensors, toy_tensor ("packed", PACKED_RECIPE, AFP_DTYPE_F32, 2, square, NULL));
  g_ptr_array_add (tensors, toy_tensor ("ids", "weight", AFP_DTYPE_I64, 1, vector, NULL));
  g_ptr_array_add (tensors, toy_tensor ("step", "weight", AFP_DTYPE_BOOL, 0, NULL, NULL));
  g_ptr_array_add (tensors, toy_tensor ("none", "weight", AFP_DTYPE_F32, 2, nothing, NULL));
  g_autoptr (AfpSpec) alias = afp_spec_new ("tied", AFP_DTYPE_F16, 2, square, NULL, "fc");
  g_ptr_array_add (tensors, afp_tensor_new (alias, afp_tensor_get_root (tensors->pdata[0])));
  return tensors;
}

static char *
put_model (const char *name, GPtrArray *tensors)
{
  char *path = in_folder (name);
  const AfpWriterOptions options = { .location = path };

  write_all (&afp_writer_afp, &options, tensors->len, (AfpTensor **) tensors->pdata);
  return path;
}

static gpointer
open_path (const char *path)
{
  GError *error = NULL;
  gpointer reader = open_reader (&afp_reader_afp, path, &error);

  ck_assert_msg (reader != NULL, "%s", error ? error->message : "");
  return reader;
}

static AfpTensor *
read_tensor (gpointer reader, guint index)
{
  GError *error = NULL;
  AfpTensor *tensor = afp_reader_afp.read_tensor (reader, index, &error);

  ck_assert_msg (tensor != NULL, "%s", error ? error->message : "");
  return tensor;
}

/* One tensor "t" of 64x64 with this recipe and a payload of zeros. */
static AfpFile *
make_file (const char *recipe, guint n, const AfpFilePlane *planes)
{
  AfpFile *file = afp_file_new ();
  const AfpFileTensor tensor = {
    g_strdup ("t"), g_strdup ("f32"), g_strdup ("64x64"), g_strdup ("out:1"), -1, 0, 0, n
  };
  const AfpFileTensor raw = {
    g_strdup ("raw"), g_strdup ("f32"), g_strdup ("2"), g_strdup ("out:1"), -1, 1, n, 1
  };
  AfpFilePlane row = { .role = "weight", .bits = 32, .bytes = 8 };
  guint8 zeros[8] = { 0 };

  g_array_append_val (file->tensors, tensor);
  g_array_append_val (file->tensors, raw);
  g_ptr_array_add (file->recipes, g_strdup (recipe));
  g_ptr_array_add (file->recipes, g_strdup ("weight"));
  g_array_append_vals (file->planes, planes, n);
  for (guint i = 0; i < n; i++)
    row.offset = MAX (row.offset, (planes[i].offset + planes[i].bytes + 7) / 8 * 8);
  row.crc32 = afp_file_crc32 (zeros, 8);
  g_array_append_val (file->planes, row);
  file->payload_bytes = row.offset + 8;
  return file;
}

static char *
put_h5 (AfpFile *file)
{
  char *path = in_folder ("t.h5");
  GError *error = NULL;

  ck_assert_msg (afp_file_write (file, path, &error), "%s", error ? error->message : "");
  return path;
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

START_TEST (our_files_are_known)
{
  g_autoptr (GPtrArray) model = make_model ();
  g_autofree char *path = put_model ("m.h5", model), *text = put_file ("m.txt", "text", 4),
                  *head = NULL;
  gsize n;

  ck_assert (g_file_get_contents (path, &head, &n, NULL));
  ck_assert (afp_reader_afp.sniff (path, (guint8 *) head, 512, n));
  ck_assert (!afp_reader_afp.sniff (path, (guint8 *) head, 3, n));
  ck_assert (!afp_reader_afp.sniff (text, (guint8 *) "text", 4, 4));
}
END_TEST

static gboolean
add_bytes (AfpPlane *plane, const char *path, gpointer user_data)
{
  gsize n;

  if (!afp_plane_get_codec (plane)) {
    const guint8 *data = g_bytes_get_data (afp_plane_get_data (plane), &n);
    g_byte_array_append (user_data, (const guint8 *) path, (guint) strlen (path));
    if (n)
      g_byte_array_append (user_data, data, (guint) n);
  }
  return TRUE;
}

static GByteArray *
all_bytes (AfpTensor *tensor)
{
  g_autoptr (AfpTensor) final = afp_tensor_finalize (tensor, NULL, NULL);
  GByteArray *bytes = g_byte_array_new ();

  afp_plane_foreach (afp_tensor_get_root (final), add_bytes, bytes);
  return bytes;
}

START_TEST (planes_come_back)
{
  g_autoptr (GPtrArray) model = make_model ();
  g_autofree char *path = put_model ("m.h5", model);
  gpointer reader = open_path (path);

  ck_assert_uint_eq (afp_reader_afp.get_n_tensors (reader), model->len);
  for (guint i = 0; i < model->len; i++) {
    g_autoptr (AfpTensor) tensor = read_tensor (reader, i),
                          final = afp_tensor_finalize (tensor, NULL, NULL);
    g_autofree char *recipe = afp_tensor_get_recipe (model->pdata[i]),
                    *expected = describe_tensor (model->pdata[i]);
    g_autoptr (GByteArray) before = all_bytes (model->pdata[i]), after = all_bytes (tensor);
    assert_text (describe_tensor (tensor), expected);
    assert_text (afp_tensor_get_recipe (final), recipe);
    ck_assert_uint_eq (before->len, after->len);
    ck_assert_mem_eq (before->data, after->data, before->len);
    ck_assert_pstr_eq (afp_spec_get_alias_of (afp_tensor_get_spec (tensor)), i == 5 ? "fc" : NULL);
  }
  afp_reader_afp.close (reader);
}
END_TEST

/* Written by version 0.1.0: what make_model() gives. Old files are read for ever. */
START_TEST (old_files_are_read)
{
  const char *folder = g_getenv ("AFP_TEST_SRCDIR");
  g_autoptr (GPtrArray) model = make_model ();
  g_autofree char *path =
      g_build_filename (folder ? folder : ".", "tests", "data", "file-1.h5", NULL);
  gpointer reader = open_path (path);

  ck_assert_uint_eq (afp_reader_afp.get_n_tensors (reader), model->len);
  for (guint i = 0; i < model->len; i++) {
    g_autoptr (AfpTensor) tensor = read_tensor (reader, i);
    g_autofree char *expected = describe_tensor (model->pdata[i]);
    g_autoptr (GByteArray) before = all_bytes (model->pdata[i]), after = all_bytes (tensor);
    assert_text (describe_tensor (tensor), expected);
    ck_assert_uint_eq (before->len, after->len);
    ck_assert_mem_eq (before->data, after->data, before->len);
  }
  afp_reader_afp.close (reader);
}
END_TEST

START_TEST (tensors_outlive_their_reader)
{
  g_autoptr (GPtrArray) model = make_model ();
  g_autofree char *path = put_model ("m.h5", model);
  gpointer reader = open_path (path);
  g_autoptr (AfpTensor) tensor = read_tensor (reader, 0);
  GError *error = NULL;

  afp_reader_afp.close (reader);
  g_autoptr (AfpMatrix) one = afp_plane_open (afp_tensor_get_root (model->pdata[0]), NULL, &error);
  g_autoptr (AfpMatrix) two = afp_plane_open (afp_tensor_get_root (tensor), NULL, &error);
  ck_assert_msg (one && two, "%s", error ? error->message : "");
  g_autoptr (GBytes) x = afp_matrix_to_dense (one, NULL, NULL),
                     y = afp_matrix_to_dense (two, NULL, NULL);
  ck_assert (g_bytes_equal (x, y));
}
END_TEST

START_TEST (plans_have_no_data)
{
  g_autoptr (GPtrArray) model = make_model ();
  g_autofree char *path = put_model ("m.h5", model);
  gpointer reader = open_path (path);

  assert_planned (&afp_reader_afp, reader, 0, "fc f16 64x64 in:1");
  assert_planned (&afp_reader_afp, reader, 2, "ids i64 10 out:1");
  assert_planned (&afp_reader_afp, reader, 3, "step bool scalar out:1");
  g_autoptr (AfpTensor) planned = afp_reader_afp.plan_tensor (reader, 1, NULL);
  g_autoptr (AfpTensor) final = afp_tensor_finalize (planned, NULL, NULL);
  /* A fallback may be claimed again; the codec of another stage may not. */
  assert_text (afp_tensor_get_recipe (planned),
               "weight=toy/1(block-size=8){seeds=toy-pack/1{packed},"
               "coeffs=raw32/1{codes},scale}");
  assert_text (afp_tensor_get_recipe (final), PACKED_RECIPE);
  afp_reader_afp.close (reader);
}
END_TEST

/* Written again, a file stays what it is. */
START_TEST (a_second_generation_is_the_same)
{
  g_autoptr (GPtrArray) model = make_model (),
                        again = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_tensor_unref);
  g_autofree char *path = put_model ("m.h5", model), *x = NULL, *y = NULL;
  gpointer reader = open_path (path);
  gsize n, m;

  for (guint i = 0; i < model->len; i++) {
    g_autoptr (AfpTensor) tensor = read_tensor (reader, i);
    g_ptr_array_add (again, afp_tensor_finalize (tensor, NULL, NULL));
  }
  g_autofree char *second = put_model ("n.h5", again);
  ck_assert (g_file_get_contents (path, &x, &n, NULL));
  ck_assert (g_file_get_contents (second, &y, &m, NULL));
  ck_assert_uint_eq (n, m);
  ck_assert_mem_eq (x, y, n);
  afp_reader_afp.close (reader);
}
END_TEST

START_TEST (facts_are_told)
{
  const AfpFilePlane plane = { "weight/codes", 16, 0, 2 * 4097, 0 };
  g_autoptr (AfpFile) file = make_file ("weight=f16/1{codes}", 1, &plane);
  char *plugins[] = {
    (char *) "one 1.0; codecs a/1 b/2; license MIT OR Apache-2.0; origin https://example.org/one",
    NULL
  };
  g_autoptr (JsonNode) node = NULL;

  file->pipeline = g_strdup ("load ! f16 ! write");
  file->metrics = g_strdup ("[{\"nmse\":0.5}]");
  file->tool_version = g_strdup ("afpipe 0");
  file->plugins = g_strdupv (plugins);
  g_autofree char *path = put_h5 (file);
  gpointer reader = open_path (path);
  JsonObject *info = get_info (&afp_reader_afp, reader, &node);
  ck_assert_str_eq (json_object_get_string_member (info, "format"), "afpipe");
  ck_assert_int_eq (json_object_get_int_member (info, "format_version"), 1);
  ck_assert_str_eq (json_object_get_string_member (info, "pipeline"), "load ! f16 ! write");
  ck_assert (json_object_get_null_member (info, "fingerprint"));
  ck_assert_int_eq (json_object_get_int_member (info, "payload_bytes"), 8208);
  ck_assert_int_eq (json_object_get_int_member (info, "table_bytes") + 8208,
                    json_object_get_int_member (info, "file_bytes"));
  JsonObject *plugin =
      json_array_get_object_element (json_object_get_array_member (info, "plugins"), 0);
  ck_assert_str_eq (json_object_get_string_member (plugin, "name"), "one");
  ck_assert_str_eq (json_object_get_string_member (plugin, "version"), "1.0");
  ck_assert_str_eq (json_object_get_string_member (plugin, "license"), "MIT OR Apache-2.0");
  ck_assert_str_eq (json_object_get_string_member (plugin, "origin"), "https://example.org/one");
  ck_assert_uint_eq (json_array_get_length (json_object_get_array_member (info, "metrics")), 1);
  afp_reader_afp.close (reader);
}
END_TEST

START_TEST (fingerprints_follow_the_contents)
{
  g_autoptr (GPtrArray) model = make_model ();
  g_autofree char *one = put_model ("1.h5", model), *two = put_model ("2.h5", model);
  g_ptr_array_set_size (model, 5);
  g_autofree char *three = put_model ("3.h5", model);
  const char *paths[] = { one, two, three };
  char *prints[3];

  for (guint i = 0; i < 3; i++) {
    gpointer reader = open_path (paths[i]);
    prints[i] = afp_reader_afp.get_fingerprint (reader);
    afp_reader_afp.close (reader);
  }
  ck_assert_uint_eq (strlen (prints[0]), 64);
  ck_assert_str_eq (prints[0], prints[1]);
  ck_assert_str_ne (prints[0], prints[2]);
  for (guint i = 0; i < 3; i++)
    g_free (prints[i]);
}
END_TEST

/* --- trouble -------------------------------------------------------------------------------------------------------- */

START_TEST (files_that_are_not_ours)
{
  g_autofree char *none = in_folder ("none.h5"), *text = put_file ("text.h5", "text", 4);

  assert_refused (&afp_reader_afp, none, AFP_ERROR_IO, "none.h5'", "No such file");
  assert_refused (&afp_reader_afp, text, AFP_ERROR_FORMAT, "text.h5' is no file that afpipe wrote");
}
END_TEST

START_TEST (damaged_planes_are_named)
{
  g_autoptr (GPtrArray) model = make_model ();
  g_autofree char *path = put_model ("m.h5", model), *bytes = NULL;
  g_autoptr (AfpFile) file = afp_file_read (path, NULL);
  const AfpFilePlane *plane = afp_file_plane (file, 2);
  GError *error = NULL;
  gsize n;

  ck_assert (g_file_get_contents (path, &bytes, &n, NULL));
  bytes[file->payload_offset + plane->offset + 100] ^= 4;
  const guint32 crc = afp_file_crc32 (bytes + file->payload_offset + plane->offset, plane->bytes);
  g_autofree char *damaged = put_file ("d.h5", bytes, n);
  g_autofree char *checksums =
      g_strdup_printf ("have checksum %08x, %08x is expected", crc, plane->crc32);
  g_autofree char *place =
      g_strdup_printf ("768 bytes at payload offset %u (file offset %u)", (guint) plane->offset,
                       (guint) (file->payload_offset + plane->offset));
  gpointer reader = open_path (damaged);
  g_autoptr (AfpTensor) planned = afp_reader_afp.plan_tensor (reader, 0, &error);
  ck_assert_ptr_nonnull (planned);
  ck_assert_ptr_null (afp_reader_afp.read_tensor (reader, 0, &error));
  assert_error (error, AFP_ERROR_FORMAT,
                "d.h5', tensor 'fc': plane 'weight/coeffs/mantissas' is damaged", place, checksums);
  afp_tensor_unref (read_tensor (reader, 1));
  afp_reader_afp.close (reader);
}
END_TEST

/* A missing codec, and one that is too old. */
static const struct {
  const char *recipe, *what, *more;
} missing[] = {
  { "weight=gone/3{codes}", "codec 'gone' version 3 is needed and not installed",
    "plugin other-plugin 2.5, from https://example.org/other" },
  { "weight=toy/9(block-size=8){codes}", "codec 'toy' version 9 is needed, version 2 is installed",
    "searched: " },
  { "weight=f16/1{codes=gone/4{packed}}", "codec 'gone' version 4 is needed and not installed",
    "searched: " },
};

START_TEST (missing_codecs_are_explained)
{
  const AfpFilePlane plane = { "weight/codes", 16, 0, 8194, 0 };
  g_autoptr (AfpFile) file = make_file (missing[_i].recipe, 1, &plane);
  char *plugins[] = {
    (char *) "third 1; codecs x/1; license MIT; origin https://example.org/x",
    (char *) "other-plugin 2.5; codecs y/1 gone/3; license MIT; origin https://example.org/other",
    NULL
  };
  GError *error = NULL;

  file->plugins = g_strdupv (plugins);
  g_autofree char *path = put_h5 (file);
  gpointer reader = open_path (path);
  ck_assert_uint_eq (afp_reader_afp.get_n_tensors (reader), 2);
  ck_assert_ptr_null (afp_reader_afp.plan_tensor (reader, 0, &error));
  assert_error (error, AFP_ERROR_PLUGIN, "t.h5', tensor 't': ", missing[_i].what, missing[_i].more,
                "skip-missing=true");
  ck_assert_ptr_null (afp_reader_afp.read_tensor (reader, 0, &error));
  assert_error (error, AFP_ERROR_PLUGIN, missing[_i].what, "AFPIPE_PLUGIN_PATH");
  afp_tensor_unref (read_tensor (reader, 1));
  afp_reader_afp.close (reader);
}
END_TEST

START_TEST (missing_codecs_can_be_skipped)
{
  const AfpFilePlane plane = { "weight/codes", 16, 0, 8194, 0 };
  g_autoptr (AfpFile) file = make_file ("weight=gone/3{codes}", 1, &plane);
  g_autofree char *path = put_h5 (file);
  const AfpReaderOptions options = { path, FALSE, TRUE };
  gpointer reader = afp_reader_afp.open (&options, NULL);

  ck_assert_uint_eq (afp_reader_afp.get_n_tensors (reader), 1);
  g_autoptr (AfpTensor) raw = read_tensor (reader, 0);
  ck_assert_str_eq (afp_spec_get_name (afp_tensor_get_spec (raw)), "raw");
  g_autofree char *notes = get_notes (&afp_reader_afp, reader);
  ck_assert_ptr_nonnull (
      strstr (notes, "tensor 't' is left out: codec 'gone' version 3 is needed and not installed"));
  afp_reader_afp.close (reader);
}
END_TEST

/* Rows that are sound in themselves, but not what the recipe says. */
static const struct {
  const char *recipe;
  AfpFilePlane plane;
  const char *what;
} unfit[] = {
  { "weight=f16/1{codes}",
    { "weight/codes", 16, 0, 8193, 0 },
    "plane 'weight/codes' has 8193 bytes at payload offset 0, its codec needs 8194" },
  { "weight=f16/1{codes}",
    { "weight/codes", 15, 0, 8194, 0 },
    "plane 'weight/codes' (16 bits per symbol) is stored as 'weight/codes' (15 bits)" },
  { "weight=f16/1{codes}",
    { "weight/data", 16, 0, 8194, 0 },
    "is stored as 'weight/data' (16 bits)" },
  { "weight",
    { "weight", 16, 0, 16384, 0 },
    "plane 'weight' (32 bits per symbol) is stored as 'weight' (16 bits)" },
  { "weight", { "weight", 32, 0, 16380, 0 }, "plane 'weight' has 16380 bytes" },
  { "weight=f16/1{codes=toy-pack/1{packed}}",
    { "weight/codes/packed", 8, 0, 8195, 0 },
    "its codec needs at most 8194" },
  { "weight=f16/1{data}",
    { "weight/data", 16, 0, 8194, 0 },
    "has a plane 'data' where codes is expected" },
  { "weight=toy/1(block-size=9000){seeds}",
    { "weight/seeds", 16, 0, 8194, 0 },
    "damaged recipe: 'weight'" },
};

START_TEST (rows_must_fit_their_recipe)
{
  g_autoptr (AfpFile) file = make_file (unfit[_i].recipe, 1, &unfit[_i].plane);
  g_autofree char *path = put_h5 (file);
  gpointer reader = open_path (path);
  GError *error = NULL;

  ck_assert_ptr_null (afp_reader_afp.plan_tensor (reader, 0, &error));
  assert_error (error, AFP_ERROR_FORMAT, "t.h5', tensor 't': ", unfit[_i].what);
  ck_assert_ptr_null (afp_reader_afp.read_tensor (reader, 0, &error));
  assert_error (error, AFP_ERROR_FORMAT, "t.h5', tensor 't': ", unfit[_i].what);
  afp_reader_afp.close (reader);
}
END_TEST

START_TEST (control_characters_in_names)
{
  const AfpFilePlane plane = { "weight/codes", 16, 0, 8194, 0 };
  g_autoptr (AfpFile) file = make_file ("weight=f16/1{codes}", 1, &plane);

  g_free (afp_file_tensor (file, 0)->name);
  afp_file_tensor (file, 0)->name = g_strdup ("a\nb");
  g_autofree char *path = put_h5 (file);
  assert_refused (&afp_reader_afp, path, AFP_ERROR_FORMAT, "control character 0x0a");
}
END_TEST

/* Bytes of a real file, changed at random: an error or tensors that can be decoded, never a crash. */
START_TEST (changed_bytes_do_no_harm)
{
  g_autoptr (GPtrArray) model = make_model ();
  g_autofree char *path = put_model ("m.h5", model), *bytes = NULL;
  g_autoptr (GRand) rand = g_rand_new_with_seed (2);
  gsize n;

  ck_assert (g_file_get_contents (path, &bytes, &n, NULL));
  for (guint k = 0; k < 300; k++) {
    const gsize at = (gsize) g_rand_int_range (rand, 0, (gint) MIN (n, k % 2 ? 3000 : n));
    const char before = bytes[at];
    GError *error = NULL;
    bytes[at] = (char) g_rand_int_range (rand, 0, 256);
    g_autofree char *changed = put_file ("c.h5", bytes, n);
    gpointer reader = open_reader (&afp_reader_afp, changed, &error);
    ck_assert ((reader != NULL) == (error == NULL));
    for (guint i = 0; reader && i < afp_reader_afp.get_n_tensors (reader); i++) {
      AfpTensor *planned = afp_reader_afp.plan_tensor (reader, i, NULL);
      AfpTensor *tensor = afp_reader_afp.read_tensor (reader, i, NULL);
      AfpMatrix *matrix = NULL;
      if (tensor && !afp_tensor_is_raw (tensor))
        matrix = afp_plane_open (afp_tensor_get_root (tensor), NULL, NULL);
      g_clear_pointer (&matrix, afp_matrix_unref);
      g_clear_pointer (&planned, afp_tensor_unref);
      g_clear_pointer (&tensor, afp_tensor_unref);
    }
    g_clear_pointer (&reader, afp_reader_afp.close);
    g_clear_error (&error);
    bytes[at] = before;
  }
}
END_TEST

static TCase *
read_case (void)
{
  TCase *tcase = io_case ("read");
  tcase_add_test (tcase, our_files_are_known);
  tcase_add_test (tcase, planes_come_back);
  tcase_add_test (tcase, old_files_are_read);
  tcase_add_test (tcase, tensors_outlive_their_reader);
  tcase_add_test (tcase, plans_have_no_data);
  tcase_add_test (tcase, a_second_generation_is_the_same);
  tcase_add_test (tcase, facts_are_told);
  tcase_add_test (tcase, fingerprints_follow_the_contents);
  return tcase;
}

static TCase *
trouble_case (void)
{
  TCase *tcase = io_case ("trouble");
  tcase_add_test (tcase, files_that_are_not_ours);
  tcase_add_test (tcase, damaged_planes_are_named);
  tcase_add_loop_test (tcase, missing_codecs_are_explained, 0, G_N_ELEMENTS (missing));
  tcase_add_test (tcase, missing_codecs_can_be_skipped);
  tcase_add_loop_test (tcase, rows_must_fit_their_recipe, 0, G_N_ELEMENTS (unfit));
  tcase_add_test (tcase, control_characters_in_names);
  tcase_add_test (tcase, changed_bytes_do_no_harm);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { read_case, trouble_case };

  toy_register ();
  return run_suite ("reader-afp", cases, G_N_ELEMENTS (cases));
}
