/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keras-test.h"

static const AfpWriter *const writer = &afp_writer_keras;
static const AfpReader *const reader = &afp_reader_keras;
static const guint64 conv_shape[] = { 3, 3, 4, 1 }, kernel_shape[] = { 6, 5 }, bias_shape[] = { 5 };

static AfpTensor *
floats_from (const char *name, guint rank, const guint64 *shape, float base)
{
  float values[64];
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    values[i] = base + (float) i;
  return tensor_with (name, AFP_DTYPE_F32, rank, shape, values);
}

static void
assert_dataset (const char *path, gsize index, gsize n, float base)
{
  gpointer handle = open_reader (reader, path, NULL);
  ck_assert_ptr_nonnull (handle);
  g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, index, NULL);
  assert_floats (tensor, n, base);
  reader->close (handle);
}

/* A contiguous, a compressed and a big-endian dataset get new values; the rest of the file stays. */
START_TEST (all_layouts)
{
  g_autofree char *template_path = put_keras ("m.h5");
  g_autofree char *path = in_folder ("out.h5");
  g_autoptr (AfpTensor) conv = floats_from ("conv/depthwise_kernel:0", 4, conv_shape, 1);
  g_autoptr (AfpTensor) kernel = floats_from ("dense/kernel:0", 2, kernel_shape, 2);
  g_autoptr (AfpTensor) bias = floats_from ("dense/bias:0", 1, bias_shape, 3);
  AfpTensor *tensors[] = { bias, conv, kernel };
  const AfpWriterOptions options = { .location = path, .template_location = template_path };
  const guint64 size = write_all (writer, &options, 3, tensors);
  GStatBuf info;
  ck_assert_int_eq (g_stat (path, &info), 0);
  ck_assert_uint_eq (size, (guint64) info.st_size);
  assert_dataset (path, 0, 36, 1);
  assert_dataset (path, 1, 30, 2);
  assert_dataset (path, 2, 5, 3);
  assert_dataset (template_path, 0, 36, CONV_BASE);
  gpointer handle = open_reader (reader, path, NULL);
  g_autofree char *notes = get_notes (reader, handle);
  ck_assert_str_eq (notes, "left out: /optimizer_weights (2 datasets, 240 bytes)\n");
  reader->close (handle);
  ck_assert_uint_eq (count_files (), 2);
}
END_TEST

START_TEST (some_weights_only)
{
  g_autofree char *template_path = put_keras ("m.h5");
  g_autofree char *path = in_folder ("out.h5");
  g_autoptr (AfpTensor) kernel = floats_from ("dense/kernel:0", 2, kernel_shape, 2);
  const AfpWriterOptions options = { .location = path, .template_location = template_path };
  write_all (writer, &options, 1, &kernel);
  assert_dataset (path, 0, 36, CONV_BASE);
  assert_dataset (path, 1, 30, 2);
  assert_dataset (path, 2, 5, BIAS_BASE);
}
END_TEST

START_TEST (other_dtypes)
{
  static const guint16 half[] = { 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500 }; /* 1 to 5 */
  static const double wide[] = { 7, 8, 9, 10, 11 };
  g_autofree char *template_path = put_keras ("m.h5");
  g_autofree char *one = in_folder ("one.h5"), *two = in_folder ("two.h5");
  g_autoptr (AfpTensor) f16 = tensor_with ("dense/bias:0", AFP_DTYPE_F16, 1, bias_shape, half);
  g_autoptr (AfpTensor) f64 = tensor_with ("dense/bias:0", AFP_DTYPE_F64, 1, bias_shape, wide);
  AfpWriterOptions options = { .location = one, .template_location = template_path };
  write_all (writer, &options, 1, &f16);
  assert_dataset (one, 2, 5, 1);
  options.location = two;
  write_all (writer, &options, 1, &f64);
  assert_dataset (two, 2, 5, 7);
}
END_TEST

START_TEST (same_bytes_every_time)
{
  g_autofree char *template_path = put_keras ("m.h5");
  g_autofree char *one = in_folder ("one.h5"), *two = in_folder ("two.h5");
  g_autoptr (AfpTensor) kernel = floats_from ("dense/kernel:0", 2, kernel_shape, 2);
  AfpWriterOptions options = { .location = one, .template_location = template_path };
  write_all (writer, &options, 1, &kernel);
  options.location = two;
  write_all (writer, &options, 1, &kernel);
  g_autofree char *x = NULL, *y = NULL;
  gsize n, m;
  g_file_get_contents (one, &x, &n, NULL);
  g_file_get_contents (two, &y, &m, NULL);
  ck_assert_uint_eq (n, m);
  ck_assert_mem_eq (x, y, n);
}
END_TEST

/* --- what is refused ----------------------------------------------------------------------------------------------- */

#define assert_not_planned(options, tensor, code_, ...)             \
  do {                                                              \
    GError *error_ = NULL;                                          \
    g_autoptr (AfpTensor) tensor_ = (tensor);                       \
    ck_assert (!writer->plan_tensor ((options), tensor_, &error_)); \
    assert_error (error_, (code_), __VA_ARGS__);                    \
  } while (0)

START_TEST (planning)
{
  g_autofree char *template_path = put_keras ("m.h5");
  AfpWriterState state = { NULL, NULL };
  const AfpWriterOptions options = { .location = "out.h5",
                                     .template_location = template_path,
                                     .plan_state = &state };
  GError *error = NULL;
  g_autoptr (AfpTensor) good =
      make_tensor ("dense/kernel:0", AFP_DTYPE_BF16, 2, kernel_shape, FALSE);
  ck_assert (writer->plan_tensor (&options, good, &error));
  ck_assert_ptr_nonnull (state.data);
  assert_not_planned (&options, coded_tensor ("dense/kernel:0"), AFP_ERROR_PLAN,
                      "tensor 'dense/kernel:0' is coded (seedlm)", "put 'decode' before write");
  assert_not_planned (
      &options, make_tensor ("dense/kernl:0", AFP_DTYPE_F32, 2, kernel_shape, FALSE),
      AFP_ERROR_PLAN, "tensor 'dense/kernl:0' has no dataset", "m.h5", "nearest: 'dense/kernel:0'");
  assert_not_planned (&options, make_tensor ("zzz", AFP_DTYPE_F32, 2, kernel_shape, FALSE),
                      AFP_ERROR_PLAN, "tensor 'zzz' has no dataset", "'select'");
  assert_not_planned (&options, make_tensor ("dense/kernel:0", AFP_DTYPE_F32, 1, bias_shape, FALSE),
                      AFP_ERROR_PLAN, "tensor 'dense/kernel:0' is 5", "is 6x5");
  assert_not_planned (&options, make_tensor ("dense/kernel:0", AFP_DTYPE_F32, 2, conv_shape, FALSE),
                      AFP_ERROR_PLAN, "tensor 'dense/kernel:0' is 3x3", "is 6x5");
  assert_not_planned (&options, make_tensor ("dense/bias:0", AFP_DTYPE_I32, 1, bias_shape, FALSE),
                      AFP_ERROR_PLAN, "tensor 'dense/bias:0' is i32", "is f32", "not converted");
  state.free (state.data);
}
END_TEST

START_TEST (bad_templates)
{
  g_autofree char *missing = in_folder ("missing.h5");
  g_autofree char *text = put_file ("text.h5", "hello", 5);
  AfpWriterOptions options = { .location = "out.h5" };
  assert_not_planned (&options, make_tensor ("x", AFP_DTYPE_F32, 1, bias_shape, FALSE),
                      AFP_ERROR_PROPERTY, "template=");
  options.template_location = missing;
  assert_not_planned (&options, make_tensor ("x", AFP_DTYPE_F32, 1, bias_shape, FALSE),
                      AFP_ERROR_IO, "template", "missing.h5");
  options.template_location = test_folder;
  assert_not_planned (&options, make_tensor ("x", AFP_DTYPE_F32, 1, bias_shape, FALSE),
                      AFP_ERROR_IO, "template");
  options.template_location = text;
  assert_not_planned (&options, make_tensor ("x", AFP_DTYPE_F32, 1, bias_shape, FALSE),
                      AFP_ERROR_FORMAT, "template", "text.h5", "HDF5");
}
END_TEST

START_TEST (bad_templates_at_open)
{
  g_autofree char *missing = in_folder ("missing.h5");
  g_autofree char *text = put_file ("text.h5", "hello", 5);
  g_autofree char *path = in_folder ("out.h5");
  AfpWriterOptions options = { .location = path, .template_location = missing };
  GError *error = NULL;
  ck_assert_ptr_null (writer->open (&options, &error));
  assert_error (error, AFP_ERROR_IO, "cannot read", "missing.h5");
  options.template_location = text;
  ck_assert_ptr_null (writer->open (&options, &error));
  assert_error (error, AFP_ERROR_FORMAT, "HDF5");
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

START_TEST (wrong_tensors)
{
  g_autofree char *template_path = put_keras ("m.h5");
  g_autofree char *path = in_folder ("out.h5");
  const AfpWriterOptions options = { .location = path, .template_location = template_path };
  g_autoptr (AfpTensor) kernel = floats_from ("dense/kernel:0", 2, kernel_shape, 2);
  g_autoptr (AfpTensor) unknown = floats_from ("x", 2, kernel_shape, 2);
  g_autoptr (AfpTensor) planned = make_tensor ("dense/bias:0", AFP_DTYPE_F32, 1, bias_shape, FALSE);
  GError *error = NULL;
  gpointer handle = writer->open (&options, &error);
  ck_assert_ptr_nonnull (handle);
  ck_assert (!writer->write (handle, unknown, &error));
  assert_error (error, AFP_ERROR_PLAN, "tensor 'x' has no dataset");
  ck_assert (writer->write (handle, kernel, &error));
  ck_assert (!writer->write (handle, kernel, &error));
  assert_error (error, AFP_ERROR_CODEC, "tensor 'dense/kernel:0' came twice");
  ck_assert (!writer->write (handle, planned, &error));
  assert_error (error, AFP_ERROR_CODEC, "tensor 'dense/bias:0' is no plain array");
  writer->close (handle, FALSE);
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

START_TEST (existing_file)
{
  g_autofree char *template_path = put_keras ("m.h5");
  g_autofree char *path = put_file ("out.h5", "old", 3);
  const AfpWriterOptions options = { .location = path, .template_location = template_path };
  GError *error = NULL;
  ck_assert_ptr_null (writer->open (&options, &error));
  assert_error (error, AFP_ERROR_IO, "exists already", "overwrite=true");
}
END_TEST

START_TEST (real_model)
{
  const char *shared = g_getenv ("AFP_TEST_SHARED");
  if (shared == NULL) {
    g_print ("SKIP: AFP_TEST_SHARED is not set\n");
    return;
  }
  g_autofree char *template_path =
      g_build_filename (shared, "data/vision/resnet8_cifar10.h5", NULL);
  g_autofree char *path = in_folder ("out.h5");
  const AfpWriterOptions options = { .location = path, .template_location = template_path };
  g_autoptr (GPtrArray) tensors =
      g_ptr_array_new_with_free_func ((GDestroyNotify) afp_tensor_unref);
  gpointer handle = open_reader (reader, template_path, NULL);
  for (gsize i = 0; i < reader->get_n_tensors (handle); i++)
    g_ptr_array_add (tensors, reader->read_tensor (handle, i, NULL));
  write_all (writer, &options, tensors->len, (AfpTensor **) tensors->pdata);
  reader->close (handle);
  handle = open_reader (reader, path, NULL);
  for (guint i = 0; i < tensors->len; i++) {
    g_autoptr (AfpTensor) back = reader->read_tensor (handle, i, NULL);
    GBytes *bytes = afp_plane_get_data (afp_tensor_get_root (tensors->pdata[i]));
    assert_raw_bytes (back, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  }
  reader->close (handle);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = io_case ("keras");
  tcase_add_test (tcase, all_layouts);
  tcase_add_test (tcase, some_weights_only);
  tcase_add_test (tcase, other_dtypes);
  tcase_add_test (tcase, same_bytes_every_time);
  tcase_add_test (tcase, planning);
  tcase_add_test (tcase, bad_templates);
  tcase_add_test (tcase, bad_templates_at_open);
  tcase_add_test (tcase, wrong_tensors);
  tcase_add_test (tcase, existing_file);
  tcase_add_test (tcase, real_model);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("writer-keras", cases, G_N_ELEMENTS (cases));
}
