/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include <signal.h>
#include <sys/resource.h>

static const AfpWriter *const writer = &afp_writer_safetensors;
static const AfpReader *const reader = &afp_reader_safetensors;
static const guint64 shape_2x3[] = { 2, 3 };
static const guint8 bytes[64] = { 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                  13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24 };

static AfpWriterOptions
options_for (const char *location, guint n, AfpTensor *const *tensors)
{
  AfpWriterOptions options = { .location = location };
  options.planned = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_spec_unref);
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (options.planned, afp_spec_ref (afp_tensor_get_spec (tensors[i])));
  return options;
}

START_TEST (round_trip)
{
  static const guint64 empty[] = { 0, 3 };
  g_autofree char *path = in_folder ("out.safetensors");
  AfpTensor *tensors[] = { tensor_with ("a", AFP_DTYPE_I8, 2, shape_2x3, bytes),
                           tensor_with ("b\"\\\xc3\xa9", AFP_DTYPE_F32, 2, shape_2x3, bytes),
                           tensor_with ("c", AFP_DTYPE_BF16, 0, NULL, bytes),
                           tensor_with ("d", AFP_DTYPE_F32, 2, empty, bytes),
                           tensor_with ("e", AFP_DTYPE_BOOL, 2, shape_2x3, bytes),
                           tensor_with ("f", AFP_DTYPE_F64, 1, shape_2x3, bytes) };
  const AfpWriterOptions options = options_for (path, G_N_ELEMENTS (tensors), tensors);
  const guint64 size = write_all (writer, &options, G_N_ELEMENTS (tensors), tensors);
  g_autofree char *text = NULL;
  gsize n;
  ck_assert (g_file_get_contents (path, &text, &n, NULL));
  ck_assert_uint_eq (size, n);

  gpointer handle = open_reader (reader, path, NULL);
  ck_assert_ptr_nonnull (handle);
  ck_assert_uint_eq (reader->get_n_tensors (handle), G_N_ELEMENTS (tensors));
  guint found = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (tensors); i++) {
    g_autoptr (AfpTensor) back = reader->read_tensor (handle, i, NULL);
    GBytes *data = afp_plane_get_data (afp_tensor_get_root (back));
    const gsize width = afp_dtype_size (afp_spec_get_dtype (afp_tensor_get_spec (back)));
    if (g_bytes_get_size (data) > 0)
      ck_assert_uint_eq (((gsize) g_bytes_get_data (data, NULL)) % width,
                         0); /* wide types first: all are aligned */
    for (gsize j = 0; j < G_N_ELEMENTS (tensors); j++) {
      g_autofree char *x = describe_tensor (back), *y = describe_tensor (tensors[j]);
      if (!g_str_equal (x, y))
        continue;
      assert_raw_bytes (back, bytes, (gsize) afp_spec_get_n_bytes (afp_tensor_get_spec (back)));
      found++;
    }
  }
  ck_assert_uint_eq (found, G_N_ELEMENTS (tensors));
  reader->close (handle);
  ck_assert_uint_eq (count_files (), 1);
  for (gsize i = 0; i < G_N_ELEMENTS (tensors); i++)
    afp_tensor_unref (tensors[i]);
  g_ptr_array_unref (options.planned);
}
END_TEST

START_TEST (order_is_kept_and_bytes_repeat)
{
  g_autofree char *one = in_folder ("one"), *two = in_folder ("two");
  g_autoptr (AfpTensor) z = tensor_with ("z", AFP_DTYPE_F32, 2, shape_2x3, bytes);
  g_autoptr (AfpTensor) a = tensor_with ("a", AFP_DTYPE_F32, 1, shape_2x3, bytes);
  AfpTensor *tensors[] = { z, a };
  AfpWriterOptions options = options_for (one, 2, tensors);
  write_all (writer, &options, 2, tensors);
  options.location = two;
  write_all (writer, &options, 2, tensors);
  gpointer handle = open_reader (reader, one, NULL);
  assert_planned (reader, handle, 0, "z f32 2x3 out:1");
  assert_planned (reader, handle, 1, "a f32 2 out:1");
  reader->close (handle);
  g_autofree char *x = NULL, *y = NULL;
  gsize n, m;
  g_file_get_contents (one, &x, &n, NULL);
  g_file_get_contents (two, &y, &m, NULL);
  ck_assert_uint_eq (n, m);
  ck_assert_mem_eq (x, y, n);
  ck_assert_uint_eq ((n - 32) % 8, 0);
  g_ptr_array_unref (options.planned);
}
END_TEST

START_TEST (no_tensors)
{
  g_autofree char *path = in_folder ("out");
  const AfpWriterOptions options = options_for (path, 0, NULL);
  write_all (writer, &options, 0, NULL);
  gpointer handle = open_reader (reader, path, NULL);
  ck_assert_ptr_nonnull (handle);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 0);
  reader->close (handle);
  g_ptr_array_unref (options.planned);
}
END_TEST

START_TEST (planning)
{
  const AfpWriterOptions options = { .location = "out.safetensors" };
  GError *error = NULL;
  g_autoptr (AfpTensor) coded = coded_tensor ("fc.weight");
  g_autoptr (AfpTensor) plain = make_tensor ("fc.weight", AFP_DTYPE_F32, 2, shape_2x3, FALSE);
  g_autoptr (AfpTensor) metadata = make_tensor ("__metadata__", AFP_DTYPE_F32, 2, shape_2x3, FALSE);
  ck_assert (writer->plan_tensor (&options, plain, &error));
  ck_assert (!writer->plan_tensor (&options, coded, &error));
  assert_error (error, AFP_ERROR_PLAN, "tensor 'fc.weight' is coded (seedlm)", "out.safetensors",
                "put 'decode' before write");
  ck_assert (!writer->plan_tensor (&options, metadata, &error));
  assert_error (error, AFP_ERROR_PLAN, "'__metadata__'", "keeps this name");
}
END_TEST

START_TEST (names_that_occur_twice)
{
  g_autofree char *path = in_folder ("out");
  g_autoptr (AfpTensor) tensor = tensor_with ("x", AFP_DTYPE_F32, 2, shape_2x3, bytes);
  AfpTensor *tensors[] = { tensor, tensor };
  const AfpWriterOptions options = options_for (path, 2, tensors);
  GError *error = NULL;
  ck_assert_ptr_null (writer->open (&options, &error));
  assert_error (error, AFP_ERROR_PLAN, "two tensors are called 'x'");
  ck_assert_uint_eq (count_files (), 0);
  g_ptr_array_unref (options.planned);
}
END_TEST

/* What was planned and what comes must be the same. */
START_TEST (other_tensors_than_planned)
{
  g_autofree char *path = in_folder ("out");
  g_autoptr (AfpTensor) x = tensor_with ("x", AFP_DTYPE_F32, 2, shape_2x3, bytes);
  g_autoptr (AfpTensor) y = tensor_with ("y", AFP_DTYPE_F32, 2, shape_2x3, bytes);
  g_autoptr (AfpTensor) wide = tensor_with ("x", AFP_DTYPE_F64, 2, shape_2x3, bytes);
  g_autoptr (AfpTensor) flat = tensor_with ("x", AFP_DTYPE_F32, 1, shape_2x3, bytes);
  g_autoptr (AfpTensor) planned = make_tensor ("y", AFP_DTYPE_F32, 2, shape_2x3, FALSE);
  g_autoptr (AfpTensor) coded = coded_tensor ("z");
  g_autoptr (AfpTensor) other = tensor_with ("other", AFP_DTYPE_F32, 2, shape_2x3, bytes);
  AfpTensor *tensors[] = { x, y, coded };
  const AfpWriterOptions options = options_for (path, 3, tensors);
  GError *error = NULL;
  gpointer handle = writer->open (&options, &error);
  ck_assert_ptr_nonnull (handle);
  ck_assert (!writer->write (handle, other, &error));
  assert_error (error, AFP_ERROR_CODEC, "tensor 'other' was not planned");
  ck_assert (!writer->write (handle, wide, &error));
  assert_error (error, AFP_ERROR_CODEC, "tensor 'x'", "another dtype or shape");
  ck_assert (!writer->write (handle, flat, &error));
  assert_error (error, AFP_ERROR_CODEC, "tensor 'x'", "another dtype or shape");
  ck_assert (writer->write (handle, x, &error));
  ck_assert (!writer->write (handle, x, &error));
  assert_error (error, AFP_ERROR_CODEC, "tensor 'x' came twice");
  ck_assert (!writer->write (handle, planned, &error));
  assert_error (error, AFP_ERROR_CODEC, "tensor 'y'", "no plain array");
  ck_assert (!writer->write (handle, coded, &error));
  assert_error (error, AFP_ERROR_CODEC, "tensor 'z'", "'decode' before write");
  ck_assert (!writer->finish (handle, &error));
  assert_error (error, AFP_ERROR_CODEC, "tensor 'y' was planned, but never came");
  writer->close (handle, FALSE);
  ck_assert_uint_eq (count_files (), 0);
  g_ptr_array_unref (options.planned);
}
END_TEST

START_TEST (existing_file)
{
  g_autofree char *path = put_file ("out", "old", 3);
  AfpWriterOptions options = options_for (path, 0, NULL);
  GError *error = NULL;
  ck_assert_ptr_null (writer->open (&options, &error));
  assert_error (error, AFP_ERROR_IO, "exists already", "overwrite=true");
  options.overwrite = TRUE;
  gpointer handle = writer->open (&options, &error);
  ck_assert_ptr_nonnull (handle);
  writer->close (handle, FALSE);
  g_autofree char *text = NULL;
  g_file_get_contents (path, &text, NULL, NULL);
  ck_assert_str_eq (text, "old");
  ck_assert_uint_eq (count_files (), 1);
  g_ptr_array_unref (options.planned);
}
END_TEST

/* A limit on the size of files stands for a full disk: it is found when the file is opened. */
START_TEST (no_space)
{
  static const guint64 shape[] = { 100, 100 };
  const struct rlimit small = { 4096, 4096 };
  g_autofree char *path = in_folder ("out");
  g_autoptr (AfpTensor) tensor = make_tensor ("x", AFP_DTYPE_F32, 2, shape, TRUE);
  const AfpWriterOptions options = options_for (path, 1, &tensor);
  GError *error = NULL;
  if (g_strcmp0 (g_getenv ("CK_FORK"), "no") != 0) { /* the limit would stay for the other tests */
    signal (SIGXFSZ, SIG_IGN);
    ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &small), 0);
    ck_assert_ptr_null (writer->open (&options, &error));
    assert_error (error, AFP_ERROR_IO, "cannot write", "/out'", "reserving", "too large");
    ck_assert_uint_eq (count_files (), 0);
  }
  g_ptr_array_unref (options.planned);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = io_case ("safetensors");
  tcase_add_test (tcase, round_trip);
  tcase_add_test (tcase, order_is_kept_and_bytes_repeat);
  tcase_add_test (tcase, no_tensors);
  tcase_add_test (tcase, planning);
  tcase_add_test (tcase, names_that_occur_twice);
  tcase_add_test (tcase, other_tensors_than_planned);
  tcase_add_test (tcase, existing_file);
  tcase_add_test (tcase, no_space);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("writer-safetensors", cases, G_N_ELEMENTS (cases));
}
