/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keras-test.h"

static const AfpReader *const reader = &afp_reader_keras;

static gpointer
open_ok (const char *path)
{
  GError *error = NULL;
  gpointer handle = open_reader (reader, path, &error);
  ck_assert_msg (handle != NULL, "%s", error ? error->message : "no error");
  return handle;
}

static void
assert_read (gpointer handle, gsize index, gsize n, float base)
{
  GError *error = NULL;
  g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, index, &error);
  ck_assert_msg (tensor != NULL, "%s", error ? error->message : "no error");
  assert_floats (tensor, n, base);
}

START_TEST (model)
{
  g_autofree char *path = put_keras ("m.h5");
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 3);
  assert_planned (reader, handle, 0, "conv/depthwise_kernel:0 f32 3x3x4x1 in:2/4");
  assert_planned (reader, handle, 1, "dense/kernel:0 f32 6x5 in:1");
  assert_planned (reader, handle, 2, "dense/bias:0 f32 5 out:1");
  assert_read (handle, 0, 36, CONV_BASE);  /* mapped */
  assert_read (handle, 1, 30, DENSE_BASE); /* compressed */
  assert_read (handle, 2, 5, BIAS_BASE);   /* big-endian */
  ck_assert_uint_eq (reader->tensor_memory (handle, 0), 0);
  ck_assert_uint_eq (reader->tensor_memory (handle, 1), 120);
  ck_assert_uint_eq (reader->tensor_memory (handle, 2), 20);
  g_autofree char *notes = get_notes (reader, handle);
  ck_assert_str_eq (notes, "left out: /optimizer_weights (2 datasets, 240 bytes)\n");
  g_autoptr (JsonNode) node = NULL;
  JsonObject *info = get_info (reader, handle, &node);
  ck_assert_str_eq (json_object_get_string_member (info, "layout"), "keras");
  ck_assert_str_eq (
      json_object_get_string_member (json_object_get_object_member (info, "config"), "class_name"),
      "Sequential");
  reader->close (handle);
}
END_TEST

START_TEST (mapped_data_outlives_the_reader)
{
  g_autofree char *path = put_keras ("m.h5");
  gpointer handle = open_ok (path);
  g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, 0, NULL);
  reader->close (handle);
  assert_floats (tensor, 36, CONV_BASE);
}
END_TEST

START_TEST (weights_only)
{
  g_autofree char *path = in_folder ("w.h5");
  {
    g_auto (AfpHid) file = h5_create (path);
    h5_put_layers (file, "");
  }
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 3);
  assert_planned (reader, handle, 0, "conv/depthwise_kernel:0 f32 3x3x4x1 in:2/4");
  assert_read (handle, 1, 30, DENSE_BASE);
  g_autofree char *notes = get_notes (reader, handle);
  ck_assert_str_eq (notes, "");
  reader->close (handle);
}
END_TEST

/* Keras splits lists that are too long for an attribute; Keras 3 calls all kernels by the same name. */
START_TEST (split_lists_and_equal_names)
{
  static const char *const one[] = { "a" }, *const two[] = { "b" };
  static const char *const kernel[] = { "kernel" }, *const top_weights[] = { "scale:0" };
  static const hsize_t dims[] = { 2, 3 };
  g_autofree char *path = in_folder ("w.h5");
  {
    g_auto (AfpHid) file = h5_create (path);
    h5_put_floats (file, "/a/kernel", H5T_IEEE_F32LE, 2, dims, 1, FALSE);
    h5_put_floats (file, "/b/kernel", H5T_IEEE_F32LE, 2, dims, 7, FALSE);
    h5_put_floats (file, "/top_level_model_weights/scale:0", H5T_IEEE_F32LE, 0, NULL, 3, FALSE);
    g_auto (AfpHid) a = H5Gopen2 (file, "/a", H5P_DEFAULT);
    g_auto (AfpHid) b = H5Gopen2 (file, "/b", H5P_DEFAULT);
    g_auto (AfpHid) top = H5Gopen2 (file, "/top_level_model_weights", H5P_DEFAULT);
    h5_put_fixed (file, "layer_names0", 1, one);
    h5_put_fixed (file, "layer_names1", 1, two);
    h5_put_fixed (a, "weight_names", 1, kernel);
    h5_put_fixed (b, "weight_names0", 1, kernel);
    h5_put_fixed (top, "weight_names", 1, top_weights);
  }
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 3);
  assert_planned (reader, handle, 0, "a/kernel f32 2x3 in:1");
  assert_planned (reader, handle, 1, "b/kernel f32 2x3 in:1");
  assert_planned (reader, handle, 2, "scale:0 f32 scalar out:1");
  assert_read (handle, 1, 6, 7);
  assert_read (handle, 2, 1, 3);
  reader->close (handle);
}
END_TEST

START_TEST (other_hdf5)
{
  static const hsize_t dims[] = { 2, 3 };
  static const char *const text[] = { "words" };
  g_autofree char *path = in_folder ("x.h5");
  {
    g_auto (AfpHid) file = h5_create (path);
    h5_put_floats (file, "/w/b", H5T_IEEE_F64LE, 2, dims, 1, FALSE);
    h5_put_floats (file, "/w/a", H5T_STD_I16BE, 2, dims, 1, TRUE);
    h5_put_floats (file, "/c", H5T_STD_U8LE, 1, dims, 1, FALSE);
    H5Lcreate_soft ("/w/b", file, "/soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft ("/loop", file, "/loop", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external ("/etc/passwd", "/x", file, "/external", H5P_DEFAULT, H5P_DEFAULT);
    g_auto (AfpHid) type = H5Tcopy (H5T_C_S1);
    H5Tset_size (type, 5);
    g_auto (AfpHid) space = H5Screate (H5S_SCALAR);
    g_auto (AfpHid) dataset =
        H5Dcreate2 (file, "/text", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Dwrite (dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text[0]);
  }
  gpointer handle = open_ok (path);
  static const gint16 shorts[] = { 1, 2, 3, 4, 5, 6 };
  ck_assert_uint_eq (reader->get_n_tensors (handle), 3);
  assert_planned (reader, handle, 0, "c u8 2 out:1");
  assert_planned (reader, handle, 1, "w/a i16 2x3 out:1");
  assert_planned (reader, handle, 2, "w/b f64 2x3 out:1");
  g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, 1, NULL);
  assert_raw_bytes (tensor, shorts, sizeof shorts);
  g_autofree char *notes = get_notes (reader, handle);
  ck_assert_str_eq (notes, "left out: /text (it is of a type that is no number of 8 to 64 bits)\n");
  reader->close (handle);
}
END_TEST

START_TEST (keras_3_weights)
{
  static const hsize_t dims[] = { 2, 3 };
  g_autofree char *path = in_folder ("m.weights.h5");
  {
    g_auto (AfpHid) file = h5_create (path);
    h5_put_floats (file, "/layers/dense/vars/0", H5T_IEEE_F32LE, 2, dims, 1, FALSE);
    h5_put_floats (file, "/optimizer/vars/0", H5T_IEEE_F32LE, 2, dims, 1, FALSE);
  }
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 1);
  assert_planned (reader, handle, 0, "layers/dense/vars/0 f32 2x3 in:1");
  g_autofree char *notes = get_notes (reader, handle);
  ck_assert_str_eq (notes, "left out: /optimizer (1 dataset, 24 bytes)\n");
  reader->close (handle);
}
END_TEST

/* A float type of 2 bytes with these fields. */
static hid_t
make_float (size_t exponent_bits, size_t mantissa_bits, size_t bias, gboolean big)
{
  const hid_t type = H5Tcopy (big ? H5T_IEEE_F32BE : H5T_IEEE_F32LE);
  H5Tset_fields (type, 15, mantissa_bits, exponent_bits, 0, mantissa_bits);
  H5Tset_ebias (type, bias);
  H5Tset_precision (type, 16);
  H5Tset_size (type, 2);
  return type;
}

START_TEST (types)
{
  static const hsize_t dims[] = { 2 };
  static const guint16 half[] = { 0x3c00, 0x4000 }, brain[] = { 0x3f80, 0x4000 };
  g_autofree char *path = in_folder ("t.h5");
  {
    g_auto (AfpHid) file = h5_create (path);
    g_auto (AfpHid) f16 = make_float (5, 10, 15, FALSE);
    g_auto (AfpHid) f16_big = make_float (5, 10, 15, TRUE);
    g_auto (AfpHid) bf16 = make_float (8, 7, 127, FALSE);
    g_auto (AfpHid) odd = make_float (6, 9, 31, FALSE);
    g_auto (AfpHid) packed = H5Tcopy (H5T_STD_I32LE);
    H5Tset_precision (packed, 24);
    h5_put_floats (file, "/a", f16, 1, dims, 1, FALSE);
    h5_put_floats (file, "/b", f16_big, 1, dims, 1, FALSE);
    h5_put_floats (file, "/c", bf16, 1, dims, 1, FALSE);
    h5_put_floats (file, "/d", odd, 1, dims, 1, FALSE);
    h5_put_floats (file, "/e", packed, 1, dims, 1, FALSE);
    g_auto (AfpHid) boolean = H5Tenum_create (H5T_STD_I8LE);
    gint8 value = 0;
    H5Tenum_insert (boolean, "FALSE", &value);
    value = 1;
    H5Tenum_insert (boolean, "TRUE", &value);
    g_auto (AfpHid) space = H5Screate_simple (1, dims, NULL);
    g_auto (AfpHid) dataset =
        H5Dcreate2 (file, "/f", boolean, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Dwrite (dataset, boolean, H5S_ALL, H5S_ALL, H5P_DEFAULT, (const gint8[]){ 0, 1 });
    g_auto (AfpHid) null = H5Screate (H5S_NULL);
    g_auto (AfpHid) empty =
        H5Dcreate2 (file, "/g", H5T_IEEE_F32LE, null, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert (empty >= 0);
  }
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 4);
  assert_planned (reader, handle, 0, "a f16 2 out:1");
  assert_planned (reader, handle, 1, "b f16 2 out:1");
  assert_planned (reader, handle, 2, "c bf16 2 out:1");
  assert_planned (reader, handle, 3, "f bool 2 out:1");
  for (gsize i = 0; i < 3; i++) {
    g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, i, NULL);
    assert_raw_bytes (tensor, i < 2 ? half : brain, 4);
  }
  g_autoptr (AfpTensor) bools = reader->read_tensor (handle, 3, NULL);
  assert_raw_bytes (bools, (const guint8[]){ 0, 1 }, 2);
  g_autofree char *notes = get_notes (reader, handle);
  ck_assert_ptr_nonnull (strstr (notes, "left out: /d"));
  ck_assert_ptr_nonnull (strstr (notes, "left out: /e"));
  ck_assert_ptr_nonnull (strstr (notes, "left out: /g (it has no shape"));
  reader->close (handle);
}
END_TEST

START_TEST (fingerprints)
{
  g_autofree char *one = put_keras ("one.h5");
  g_autofree char *two = put_keras ("two.h5");
  g_autofree char *other = in_folder ("other.h5");
  {
    g_auto (AfpHid) file = h5_create (other);
    h5_put_layers (file, "");
  }
  gpointer handles[] = { open_ok (one), open_ok (two), open_ok (other) };
  g_autofree char *a = reader->get_fingerprint (handles[0]);
  g_autofree char *b = reader->get_fingerprint (handles[1]);
  g_autofree char *c = reader->get_fingerprint (handles[2]);
  ck_assert_str_eq (a, b);
  ck_assert_str_ne (a, c);
  for (guint i = 0; i < 3; i++)
    reader->close (handles[i]);
}
END_TEST

START_TEST (sniffing)
{
  guint8 head[2048] = { 0 };
  memcpy (head, "\x89HDF\r\n\x1a\n", 8);
  ck_assert (reader->sniff ("x", head, 8, 8));
  ck_assert (!reader->sniff ("x", head, 7, 8));
  memset (head, 0, 8);
  ck_assert (!reader->sniff ("x", head, sizeof head, sizeof head));
  memcpy (head + 1024, "\x89HDF\r\n\x1a\n", 8);
  ck_assert (reader->sniff ("x", head, sizeof head, sizeof head));
}
END_TEST

/* --- damaged files ------------------------------------------------------------------------------------------------- */

START_TEST (no_hdf5)
{
  g_autofree char *missing = in_folder ("missing.h5");
  g_autofree char *text = put_file ("text.h5", "hello", 5);
  assert_refused (reader, missing, AFP_ERROR_IO, "cannot read", "missing.h5");
  assert_refused (reader, text, AFP_ERROR_FORMAT, "cannot open", "text.h5", "HDF5");
}
END_TEST

START_TEST (cut_off)
{
  g_autofree char *path = put_keras ("m.h5");
  g_autofree char *text = NULL;
  gsize n;
  g_file_get_contents (path, &text, &n, NULL);
  for (gsize cut = 0; cut < n; cut += 2311) {
    g_autofree char *bad = put_file ("cut.h5", text, cut);
    assert_refused (reader, bad, AFP_ERROR_FORMAT, "cut.h5");
  }
}
END_TEST

/* Layers named in @layers (or no list at all) that have @weights. */
static char *
put_broken (const char *layer, const char *weight)
{
  static const hsize_t dims[] = { 2, 3 };
  char *path = in_folder ("broken.h5");
  g_auto (AfpHid) file = h5_create (path);
  h5_put_floats (file, "/model_weights/a/w", H5T_IEEE_F32LE, 2, dims, 1, FALSE);
  H5Lcreate_soft ("/model_weights/a/w", file, "/model_weights/a/soft", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_external ("/etc/passwd", "/x", file, "/model_weights/a/external", H5P_DEFAULT,
                      H5P_DEFAULT);
  h5_put_groups (file, "/model_weights/a/group");
  g_auto (AfpHid) text = H5Tcopy (H5T_C_S1);
  g_auto (AfpHid) space = H5Screate_simple (2, dims, NULL);
  g_auto (AfpHid) dataset = H5Dcreate2 (file, "/model_weights/a/text", text, space, H5P_DEFAULT,
                                        H5P_DEFAULT, H5P_DEFAULT);
  g_auto (AfpHid) top = H5Gopen2 (file, "/model_weights", H5P_DEFAULT);
  g_auto (AfpHid) group = H5Gopen2 (file, "/model_weights/a", H5P_DEFAULT);
  ck_assert (dataset >= 0);
  if (layer)
    h5_put_fixed (top, "layer_names", 1, &layer);
  if (weight)
    h5_put_fixed (group, "weight_names", 1, &weight);
  return path;
}

START_TEST (broken_lists)
{
  static const struct {
    const char *layer, *weight, *word, *more;
  } cases[] = {
    { NULL, "w", "/model_weights/", "no attribute layer_names" },
    { "b", "w", "names the layer 'b'", "no group '/model_weights/b'" },
    { "a", "x", "weight 'x'", "there is no '/model_weights/a/x'" },
    { "a", "x/y/z", "weight 'x/y/z'", "there is no '/model_weights/a/x'" },
    { "a", "group", "weight 'group'", "is no dataset" },
    { "a", "soft", "weight 'soft'", "is a link to elsewhere" },
    { "a", "external", "weight 'external'", "is a link to elsewhere" },
    { "a", "text", "/model_weights/a/text", "no number" },
    { "a", "w/deeper", "weight 'w/deeper'", "broken.h5" },
    { "a", "", "weight ''", "broken.h5" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = put_broken (cases[i].layer, cases[i].weight);
    assert_refused (reader, path, AFP_ERROR_FORMAT, "broken.h5", cases[i].word, cases[i].more);
  }
}
END_TEST

START_TEST (broken_attributes)
{
  g_autofree char *numbers = in_folder ("numbers.h5");
  g_autofree char *bad_config = in_folder ("config.h5");
  {
    static const hsize_t dims[] = { 2 };
    g_auto (AfpHid) file = h5_create (numbers);
    g_auto (AfpHid) space = H5Screate_simple (1, dims, NULL);
    g_auto (AfpHid) attribute =
        H5Acreate2 (file, "layer_names", H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert (attribute >= 0);
    static const char *const json = "{\"a\":";
    g_auto (AfpHid) other = h5_create (bad_config);
    h5_put_layers (other, "");
    h5_put_variable (other, "model_config", 1, &json);
  }
  assert_refused (reader, numbers, AFP_ERROR_FORMAT, "numbers.h5", "layer_names", "strings");
  assert_refused (reader, bad_config, AFP_ERROR_FORMAT, "model_config", "config.h5", "is damaged");
}
END_TEST

START_TEST (same_weight_twice)
{
  static const char *const layers[] = { "a" }, *const weights[] = { "w", "w" };
  static const hsize_t dims[] = { 2 };
  g_autofree char *path = in_folder ("twice.h5");
  {
    g_auto (AfpHid) file = h5_create (path);
    h5_put_floats (file, "/a/w", H5T_IEEE_F32LE, 1, dims, 1, FALSE);
    g_auto (AfpHid) group = H5Gopen2 (file, "/a", H5P_DEFAULT);
    h5_put_fixed (file, "layer_names", 1, layers);
    h5_put_fixed (group, "weight_names", 2, weights);
  }
  assert_refused (reader, path, AFP_ERROR_FORMAT, "two tensors 'a/w'", "twice.h5");
}
END_TEST

/* Arrays that live elsewhere, or that claim more than the file has. */
START_TEST (data_that_is_not_there)
{
  static const hsize_t dims[] = { 4 }, huge[] = { G_GUINT64_CONSTANT (1) << 40 },
                       chunk[] = { 1024 };
  g_autofree char *path = in_folder ("x.h5");
  {
    g_auto (AfpHid) file = h5_create (path);
    g_auto (AfpHid) external = H5Pcreate (H5P_DATASET_CREATE);
    H5Pset_external (external, "/etc/passwd", 0, 16);
    g_auto (AfpHid) space = H5Screate_simple (1, dims, NULL);
    g_auto (AfpHid) a =
        H5Dcreate2 (file, "/a", H5T_IEEE_F32LE, space, H5P_DEFAULT, external, H5P_DEFAULT);
    g_auto (AfpHid) wide = H5Screate_simple (1, huge, NULL);
    g_auto (AfpHid) plist = H5Pcreate (H5P_DATASET_CREATE);
    H5Pset_chunk (plist, 1, chunk);
    g_auto (AfpHid) b =
        H5Dcreate2 (file, "/b", H5T_IEEE_F32LE, wide, H5P_DEFAULT, plist, H5P_DEFAULT);
    g_auto (AfpHid) c =
        H5Dcreate2 (file, "/c", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert (a >= 0 && b >= 0 && c >= 0);
  }
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 1); /* c was never written: zeros */
  g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, 0, NULL);
  assert_raw_bytes (tensor, (const float[]){ 0, 0, 0, 0 }, 16);
  g_autofree char *notes = get_notes (reader, handle);
  ck_assert_ptr_nonnull (strstr (notes, "left out: /a (it has its data in other files"));
  ck_assert_ptr_nonnull (
      strstr (notes, "left out: /b (it claims 4398046511104 bytes, but stores 0"));
  reader->close (handle);
}
END_TEST

/* A damaged chunk is an error when it is read, with the dataset's name. */
START_TEST (damaged_chunk)
{
  static const hsize_t dims[] = { 64, 64 };
  g_autofree char *path = in_folder ("m.h5");
  g_autofree char *text = NULL;
  gsize n;
  haddr_t at;
  {
    g_auto (AfpHid) file = h5_create (path);
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
  g_autofree char *bad = put_file ("bad.h5", text, n);
  gpointer handle = open_ok (bad);
  GError *error = NULL;
  ck_assert_ptr_null (reader->read_tensor (handle, 0, &error));
  assert_error (error, AFP_ERROR_FORMAT, "bad.h5", "dataset '/w'", "reading the data");
  reader->close (handle);
}
END_TEST

/* A dataset may be called anything; what an error quotes of it is text. */
START_TEST (paths_that_are_no_utf8)
{
  static const hsize_t dims[] = { 2, 3 };
  g_autofree char *path = in_folder ("latin1.h5");
  hid_t file = h5_create (path);
  h5_put_floats (file,
                 "/gr\xf6\xdf"
                 "e",
                 H5T_IEEE_F32LE, 2, dims, 0, FALSE);
  H5Fclose (file);
  assert_refused (reader, path, AFP_ERROR_FORMAT, "latin1.h5", "a dataset whose path is not UTF-8",
                  "/gr\xef\xbf\xbd");
}
END_TEST

/* Whatever is wrong with a file, it is read or refused: libhdf5 may crash, but then in a child process. */
START_TEST (mutants)
{
  g_autofree char *path = put_keras ("m.h5");
  g_autofree char *text = NULL;
  gsize n;
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  g_file_get_contents (path, &text, &n, NULL);
  for (guint i = 0; i < 80; i++) {
    g_autofree char *copy = g_memdup2 (text, n);
    for (gint32 k = g_rand_int_range (rand, 1, 6); k > 0; k--)
      copy[g_rand_int_range (rand, 0, (gint32) n)] = (char) g_rand_int_range (rand, 0, 256);
    g_autofree char *bad = put_file ("bad.h5", copy, n);
    g_autoptr (GError) error = NULL;
    gpointer handle = open_reader (reader, bad, &error);
    ck_assert ((handle == NULL) == (error != NULL));
    for (gsize t = 0; handle != NULL && t < reader->get_n_tensors (handle); t++) {
      g_autoptr (GError) damage = NULL;
      g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, t, &damage);
      ck_assert ((tensor == NULL) == (damage != NULL));
    }
    if (handle != NULL)
      reader->close (handle);
  }
}
END_TEST

START_TEST (real_model)
{
  const char *shared = g_getenv ("AFP_TEST_SHARED");
  if (shared == NULL) {
    g_print ("SKIP: AFP_TEST_SHARED is not set\n");
    return;
  }
  g_autofree char *path = g_build_filename (shared, "data/vision/resnet8_cifar10.h5", NULL);
  gpointer handle = open_ok (path);
  guint64 weights = 0;
  ck_assert_uint_eq (reader->get_n_tensors (handle), 48);
  assert_planned (reader, handle, 0, "conv2d/kernel:0 f32 3x3x3x16 in:3");
  assert_planned (reader, handle, 2, "batch_normalization/gamma:0 f32 16 out:1");
  assert_planned (reader, handle, 46, "dense/kernel:0 f32 64x10 in:1");
  for (gsize i = 0; i < 48; i++) {
    g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, i, NULL);
    weights += afp_spec_get_n_elements (afp_tensor_get_spec (tensor));
  }
  ck_assert_uint_eq (weights, 78666);
  g_autofree char *notes = get_notes (reader, handle);
  ck_assert_ptr_nonnull (strstr (notes, "left out: /optimizer_weights ("));
  reader->close (handle);
}
END_TEST

static TCase *
files (void)
{
  TCase *tcase = io_case ("files");
  tcase_add_test (tcase, model);
  tcase_add_test (tcase, mapped_data_outlives_the_reader);
  tcase_add_test (tcase, weights_only);
  tcase_add_test (tcase, split_lists_and_equal_names);
  tcase_add_test (tcase, other_hdf5);
  tcase_add_test (tcase, keras_3_weights);
  tcase_add_test (tcase, types);
  tcase_add_test (tcase, fingerprints);
  tcase_add_test (tcase, sniffing);
  tcase_add_test (tcase, real_model);
  return tcase;
}

static TCase *
damaged (void)
{
  TCase *tcase = io_case ("damaged");
  tcase_add_test (tcase, no_hdf5);
  tcase_add_test (tcase, cut_off);
  tcase_add_test (tcase, broken_lists);
  tcase_add_test (tcase, broken_attributes);
  tcase_add_test (tcase, same_weight_twice);
  tcase_add_test (tcase, data_that_is_not_there);
  tcase_add_test (tcase, damaged_chunk);
  tcase_add_test (tcase, mutants);
  tcase_add_test (tcase, paths_that_are_no_utf8);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { files, damaged };
  return run_suite ("reader-keras", cases, G_N_ELEMENTS (cases));
}
