/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keras-net-test.h"
#include "net-test.h"

/* --- names -------------------------------------------------------------------------------------------------------- */

/* Zeros for the tensors that are there. */
typedef struct {
  const char *kernel, *bias; /* their names */
  guint64 rows, cols;
} Store;

static AfpMatrix *
open_zeros (gpointer user_data, const char *name, GError **error)
{
  Store *store = user_data;
  const gboolean kernel = g_strcmp0 (name, store->kernel) == 0;
  const gboolean bias = g_strcmp0 (name, store->bias) == 0;
  const guint64 rows = kernel ? store->rows : 1, cols = kernel ? store->cols : store->rows;

  if (!kernel && !bias)
    return NULL;
  g_autoptr (GBytes) bytes =
      g_bytes_new_take (g_malloc0 (rows * cols * sizeof (float)), rows * cols * sizeof (float));
  return afp_matrix_new_dense (rows, cols, bytes);
}

/* A dense layer 'x' of 3 outputs and 4 inputs in a model 's'. */
static AfpNet *
make_net (Store *store, GError **error)
{
  g_autofree char *text = with_quotes (KERAS_CHAIN ("4", KERAS_LAYER ("Dense", "'units': 3")));

  return afp_net_new (text, strlen (text), open_zeros, store, error);
}

/* As Keras 2 and 3 name them, and `load` where two of them are the same. */
static const char *const names[][2] = {
  { "x/kernel:0", "x/bias:0" },     { "x/kernel", "x/bias" },     { "x/x/kernel:0", "x/x/bias:0" },
  { "s/x/kernel:0", "s/x/bias:0" }, { "s/x/kernel", "s/x/bias" }, { "kernel", "bias" },
};

START_TEST (tensors_are_found_by_the_names_of_keras)
{
  Store store = { names[_i][0], names[_i][1], 3, 4 };
  GError *error = NULL;
  g_autoptr (AfpNet) net = make_net (&store, &error);

  ck_assert_msg (net != NULL, "%s", error ? error->message : "");
  ck_assert_uint_eq (afp_net_get_n_classes (net), 3);
}
END_TEST

START_TEST (a_missing_tensor_is_named)
{
  Store store = { "x/kernel:0", "y/bias:0", 3, 4 };
  GError *error = NULL;

  ck_assert_ptr_null (make_net (&store, &error));
  assert_error (error, AFP_ERROR_PLAN, "layer 'x' (Dense) has no tensor 'x/bias:0'", "'x/bias'");
}
END_TEST

static const struct {
  guint64 rows, cols;
  const char *words;
} shapes[] = {
  { 4, 3, "tensor 'x/kernel:0' is 4x3, its layer 'x' (Dense) asks for 3x4" },
  { 3, 5, "tensor 'x/kernel:0' is 3x5, its layer 'x' (Dense) asks for 3x4" },
  { 12, 1, "tensor 'x/kernel:0' is 12x1, its layer 'x' (Dense) asks for 3x4" },
};

START_TEST (another_shape_is_named_with_both)
{
  Store store = { "x/kernel:0", "x/bias:0", shapes[_i].rows, shapes[_i].cols };
  GError *error = NULL;

  ck_assert_ptr_null (make_net (&store, &error));
  assert_error (error, AFP_ERROR_PLAN, "the network cannot be run", shapes[_i].words);
}
END_TEST

START_TEST (no_configuration_makes_no_network)
{
  Store store = { "x/kernel:0", "x/bias:0", 3, 4 };
  GError *error = NULL;

  ck_assert_ptr_null (afp_net_new ("{}", 2, open_zeros, &store, &error));
  assert_error (error, AFP_ERROR_FORMAT, "model_config: it has no class_name");
}
END_TEST

/* --- files -------------------------------------------------------------------------------------------------------- */

START_TEST (a_network_is_found_with_its_file)
{
  g_autofree char *path = net_test_path (FALSE, "models/fashion-mnist/model.h5");
  g_autoptr (NetTest) test = net_test_new (path);
  g_autoptr (AfpNet) net = net_test_net (test, NULL);

  ck_assert_ptr_nonnull (net);
  ck_assert_uint_eq (afp_net_get_n_classes (net), 10);
  ck_assert (afp_net_get_graph (net)->has_softmax);
  ck_assert_uint_eq (test->n_opened, 10);
}
END_TEST

/* Compressed, in a file of ours: the configuration is with it, and the names are the same. */
START_TEST (a_network_is_found_in_a_file_of_ours)
{
  g_autofree char *path = net_test_path (FALSE, "models/fashion-mnist/model.h5"),
                  *ours = in_folder ("ours.h5"),
                  *text =
                      g_strdup_printf ("load location=%s ! hyper ! write location=%s", path, ours);
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, &error);

  ck_assert_msg (pipeline && afp_pipeline_plan (pipeline, &error) &&
                     afp_pipeline_run (pipeline, &error),
                 "%s", error ? error->message : "");
  g_autoptr (NetTest) test = net_test_new (ours);
  g_autoptr (AfpNet) net = net_test_net (test, &error);
  ck_assert_msg (net != NULL, "%s", error ? error->message : "");
}
END_TEST

START_TEST (a_file_without_a_network_says_so)
{
  static const char header[] =
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";
  g_autofree char *path = put_safetensors ("m.safetensors", header, 16);
  g_autoptr (NetTest) test = net_test_new (path);
  GError *error = NULL;

  ck_assert_ptr_null (net_test_net (test, &error));
  assert_error (error, AFP_ERROR_PLAN, "cannot be run as a classifier of images",
                "no model upstream has 'keras.model_config'", "there is nothing");
}
END_TEST

START_TEST (a_failing_reader_is_heard)
{
  g_autofree char *path = net_test_path (FALSE, "models/fashion-mnist/model.h5");
  g_autoptr (NetTest) test = net_test_new (path);
  GError *error = NULL;

  test->failing = "dense/bias:0";
  ck_assert_ptr_null (net_test_net (test, &error));
  assert_error (error, AFP_ERROR_IO, "dense/bias:0: gone");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_checked_fixture (tcase, folder_setup, folder_teardown);
  tcase_add_loop_test (tcase, tensors_are_found_by_the_names_of_keras, 0, G_N_ELEMENTS (names));
  tcase_add_test (tcase, a_network_is_found_with_its_file);
  tcase_add_test (tcase, a_network_is_found_in_a_file_of_ours);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_checked_fixture (tcase, folder_setup, folder_teardown);
  tcase_add_test (tcase, a_missing_tensor_is_named);
  tcase_add_loop_test (tcase, another_shape_is_named_with_both, 0, G_N_ELEMENTS (shapes));
  tcase_add_test (tcase, no_configuration_makes_no_network);
  tcase_add_test (tcase, a_file_without_a_network_says_so);
  tcase_add_test (tcase, a_failing_reader_is_heard);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("net", cases, G_N_ELEMENTS (cases));
}
