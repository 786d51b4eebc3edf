/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net-test.h"

#include "net-kernel.h"

#include <math.h>

/* --- against Keras ------------------------------------------------------------------------------------------------ */

/* tests/oracle/keras-nets.py */
static const char *const nets[] = { "keras2-sequential", "keras2-activations", "keras2-branches",
                                    "keras3-sequential", "keras3-activations", "keras3-branches" };

typedef struct {
  NetTest *model, *data;
  AfpNet *net;
  AfpImages *images;
} Golden;

static void
golden_clear (Golden *golden)
{
  afp_images_free (golden->images);
  afp_net_free (golden->net);
  net_test_free (golden->data);
  net_test_free (golden->model);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Golden, golden_clear)

static Golden
open_golden (const char *name)
{
  g_autofree char *model = g_strdup_printf ("tests/data/keras/%s.h5", name),
                  *data = g_strdup_printf ("tests/data/keras/%s.npz", name);
  g_autofree char *model_path = net_test_path (FALSE, model),
                  *data_path = net_test_path (FALSE, data);
  Golden golden = { net_test_new (model_path), net_test_new (data_path), NULL, NULL };
  GError *error = NULL;

  golden.net = net_test_net (golden.model, &error);
  ck_assert_msg (golden.net != NULL, "%s", error ? error->message : "");
  golden.images = net_test_images (golden.data, "x");
  return golden;
}

START_TEST (outputs_are_those_of_keras)
{
  g_auto (Golden) golden = open_golden (nets[_i]);
  AfpTensor *tensor = g_hash_table_lookup (golden.data->tensors, "out");
  const float *expected =
      g_bytes_get_data (afp_plane_get_data (afp_tensor_get_root (tensor)), NULL);
  const gsize n = afp_spec_get_n_elements (afp_tensor_get_spec (tensor));
  g_autofree float *out =
      afp_net_run (golden.net, golden.images, &net_test_plain, NULL, NULL, NULL, NULL);

  ck_assert_ptr_nonnull (out);
  ck_assert_uint_eq (afp_net_get_n_classes (golden.net) * golden.images->n, n);
  if (afp_net_get_graph (golden.net)->has_softmax)
    afp_net_softmax (golden.images->n, afp_net_get_n_classes (golden.net), out);
  ck_assert (afp_net_get_graph (golden.net)->has_softmax == !strstr (nets[_i], "activations"));
  for (gsize i = 0; i < n; i++)
    ck_assert_msg (
        fabs ((double) (out[i] - expected[i])) <= 2e-5 * MAX (1, fabs ((double) expected[i])),
        "%s: number %zu is %g, Keras has %g", nets[_i], i, (double) out[i], (double) expected[i]);
}
END_TEST

/* --- threads and memory ------------------------------------------------------------------------------------------- */

/* The images again and again, until there are @n. */
static AfpImages *
repeat (const AfpImages *images, gsize n)
{
  const gsize size = g_bytes_get_size (images->pixels), each = size / images->n;
  const guint8 *pixels = g_bytes_get_data (images->pixels, NULL);
  AfpImages *more = g_new0 (AfpImages, 1);
  guint8 *data = g_malloc (n * each);

  *more = *images;
  more->n = n;
  for (gsize i = 0; i < n; i++)
    memcpy (data + i * each, pixels + i % images->n * each, each);
  more->pixels = g_bytes_new_take (data, n * each);
  more->labels = g_new0 (guint32, n);
  more->about = NULL;
  return more;
}

START_TEST (threads_and_memory_change_no_bit)
{
  static const struct {
    guint threads;
    guint64 memory;
  } ways[] = { { 1, 1 }, { 2, 1 }, { 3, 100000 }, { 2, 400000 } };
  g_auto (Golden) golden = open_golden (nets[_i]);
  g_autoptr (AfpImages) images = repeat (golden.images, 53);
  const gsize n = images->n * afp_net_get_n_classes (golden.net);
  g_autofree float *one = afp_net_run (golden.net, images, &net_test_plain, NULL, NULL, NULL, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (ways); i++) {
    const AfpNetOptions options = { 1, ways[i].memory };
    g_autoptr (AfpPool) pool = afp_pool_new (ways[i].threads);
    g_autofree float *other = afp_net_run (golden.net, images, &options, pool, NULL, NULL, NULL);
    ck_assert_mem_eq (one, other, n * sizeof *one);
  }
}
END_TEST

START_TEST (each_tensor_is_read_once_in_a_run)
{
  g_auto (Golden) golden = open_golden ("keras2-sequential");
  g_autoptr (AfpImages) images = repeat (golden.images, 53);
  const AfpNetOptions options = { 1, 1 };
  const guint n = g_hash_table_size (golden.model->tensors), before = golden.model->n_opened;
  g_autofree float *out = afp_net_run (golden.net, images, &options, NULL, NULL, NULL, NULL);

  ck_assert_ptr_nonnull (out);
  ck_assert_uint_eq (before, n);
  ck_assert_uint_eq (golden.model->n_opened, 2 * n);
}
END_TEST

START_TEST (pixels_are_scaled)
{
  g_auto (Golden) golden = open_golden ("keras2-branches");
  g_autoptr (AfpImages) half = repeat (golden.images, golden.images->n);
  const gsize n = g_bytes_get_size (half->pixels) / sizeof (float);
  const AfpNetOptions twice = { 2, 0 };
  float *pixels = g_memdup2 (g_bytes_get_data (half->pixels, NULL), n * sizeof *pixels);

  for (gsize i = 0; i < n; i++)
    pixels[i] /= 2;
  g_bytes_unref (half->pixels);
  half->pixels = g_bytes_new_take (pixels, n * sizeof *pixels);
  g_autofree float *a = afp_net_run (golden.net, golden.images, &net_test_plain, NULL, NULL, NULL,
                                     NULL),
                   *b = afp_net_run (golden.net, half, &twice, NULL, NULL, NULL, NULL);
  ck_assert_mem_eq (a, b, half->n * afp_net_get_n_classes (golden.net) * sizeof *a);
}
END_TEST

/* --- the observer ------------------------------------------------------------------------------------------------- */

typedef struct {
  GString *text;    /* tensor, rows x columns, in order */
  GHashTable *sums; /* tensor -> double: of all numbers */
  NetTest *model;
} Seen;

static gboolean
see (gpointer user_data, const char *const *tensors, gsize n, gsize dim, const float *x,
     AfpPool *pool, GError **error)
{
  Seen *seen = user_data;
  AfpTensor *tensor = g_hash_table_lookup (seen->model->tensors, tensors[0]);
  double *sum = g_hash_table_lookup (seen->sums, tensors[0]);

  ck_assert_ptr_null (tensors[1]);
  ck_assert_uint_eq (dim, afp_spec_get_cols (afp_tensor_get_spec (tensor)));
  g_string_append_printf (seen->text, "%s %zux%zu\n", tensors[0], n, dim);
  if (!sum) {
    sum = g_new0 (double, 1);
    g_hash_table_insert (seen->sums, g_strdup (tensors[0]), sum);
  }
  for (gsize i = 0; i < n * dim; i++)
    *sum += (double) x[i];
  return TRUE;
}

static Seen
observe (Golden *golden, guint64 memory, guint threads)
{
  const AfpNetOptions options = { 1, memory };
  Seen seen = { g_string_new (NULL),
                g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free), golden->model };
  g_autoptr (AfpPool) pool = afp_pool_new (threads);

  afp_net_set_observer (golden->net, see, &seen);
  g_autofree float *out =
      afp_net_run (golden->net, golden->images, &options, pool, NULL, NULL, NULL);
  ck_assert_ptr_nonnull (out);
  return seen;
}

static void
seen_clear (Seen *seen)
{
  g_string_free (seen->text, TRUE);
  g_hash_table_unref (seen->sums);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Seen, seen_clear)

/* The convolution of two groups and the depthwise one are not told of. */
START_TEST (observers_see_the_inputs_of_dense_and_conv)
{
  g_auto (Golden) golden = open_golden ("keras2-sequential");
  g_auto (Seen) seen = observe (&golden, 0, 2);
  g_autoptr (GString) expected = g_string_new (NULL);

  for (guint i = 0; i < 5; i++)
    g_string_append (expected, "conv2d/kernel:0 30x27\n");
  g_string_append (expected, "dense/kernel:0 5x48\ndense_1/kernel:0 5x7\n");
  ck_assert_str_eq (seen.text->str, expected->str);
}
END_TEST

START_TEST (observers_see_the_same_for_any_threads)
{
  g_auto (Golden) golden = open_golden (nets[_i]);
  g_auto (Seen) one = observe (&golden, 0, 1);
  g_auto (Seen) other = observe (&golden, 0, 3);
  GHashTableIter iter;
  gpointer name, sum;

  ck_assert_str_eq (one.text->str, other.text->str);
  ck_assert_uint_gt (g_hash_table_size (one.sums), 0);
  g_hash_table_iter_init (&iter, one.sums);
  while (g_hash_table_iter_next (&iter, &name, &sum))
    ck_assert_double_eq (*(double *) sum, *(double *) g_hash_table_lookup (other.sums, name));
}
END_TEST

/* The input of the first layer times its weights is what Keras' own first layer would give: columns are in the order of the view. */
START_TEST (columns_are_those_of_the_weights)
{
  g_auto (Golden) golden = open_golden ("keras2-activations");
  g_auto (Seen) seen = observe (&golden, 0, 1);
  const float *x = g_bytes_get_data (golden.images->pixels, NULL);
  const gsize n = g_bytes_get_size (golden.images->pixels) / sizeof *x;
  double sum = 0;

  for (gsize i = 0; i < n; i++)
    sum += (double) x[i];
  ck_assert_str_eq (seen.text->str, "dense/kernel:0 30x4\n");
  ck_assert_double_eq (*(double *) g_hash_table_lookup (seen.sums, "dense/kernel:0"), sum);
}
END_TEST

/* --- bad ---------------------------------------------------------------------------------------------------------- */

static gboolean
refuse (gpointer user_data, const char *const *tensors, gsize n, gsize dim, const float *x,
        AfpPool *pool, GError **error)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "no room for %s", tensors[0]);
  return FALSE;
}

START_TEST (an_observer_can_end_the_run)
{
  g_auto (Golden) golden = open_golden (_i ? "keras2-sequential" : "keras2-activations");
  GError *error = NULL;

  afp_net_set_observer (golden.net, refuse, NULL);
  ck_assert_ptr_null (
      afp_net_run (golden.net, golden.images, &net_test_plain, NULL, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_IO, _i ? "no room for conv2d/kernel:0" : "no room for dense");
}
END_TEST

static const struct {
  guint height, width, channels;
} sizes[] = { { 9, 11, 3 }, { 11, 9, 1 }, { 11, 9, 4 }, { 1, 99, 3 }, { 11, 9, 0 }, { 297, 1, 1 } };

START_TEST (images_of_another_size_are_refused)
{
  g_auto (Golden) golden = open_golden ("keras2-sequential");
  GError *error = NULL;

  golden.images->height = sizes[_i].height;
  golden.images->width = sizes[_i].width;
  golden.images->channels = sizes[_i].channels;
  ck_assert_ptr_null (
      afp_net_run (golden.net, golden.images, &net_test_plain, NULL, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_PLAN, "the images are ", "but the network takes 11x9x3");
}
END_TEST

START_TEST (a_failing_reader_is_heard)
{
  g_auto (Golden) golden = open_golden ("keras2-sequential");
  GError *error = NULL;

  golden.model->failing = "batch_normalization/moving_mean:0";
  ck_assert_ptr_null (
      afp_net_run (golden.net, golden.images, &net_test_plain, NULL, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_IO, "batch_normalization/moving_mean:0: gone");
}
END_TEST

START_TEST (a_tensor_that_goes_is_missed)
{
  g_auto (Golden) golden = open_golden ("keras2-sequential");
  GError *error = NULL;

  golden.model->missing = "dense/kernel:0";
  ck_assert_ptr_null (
      afp_net_run (golden.net, golden.images, &net_test_plain, NULL, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_PLAN, "tensor 'dense/kernel:0' has gone");
}
END_TEST

START_TEST (a_run_can_be_cancelled)
{
  g_auto (Golden) golden = open_golden ("keras2-sequential");
  g_autoptr (AfpPool) pool = afp_pool_new (2);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  GError *error = NULL;

  afp_pool_set_cancellable (pool, cancellable);
  g_cancellable_cancel (cancellable);
  ck_assert_ptr_null (
      afp_net_run (golden.net, golden.images, &net_test_plain, pool, NULL, NULL, &error));
  ck_assert_ptr_nonnull (error);
  ck_assert_int_eq (error->code, AFP_ERROR_CANCELLED);
  g_error_free (error);
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, outputs_are_those_of_keras, 0, G_N_ELEMENTS (nets));
  tcase_add_loop_test (tcase, threads_and_memory_change_no_bit, 0, G_N_ELEMENTS (nets));
  tcase_add_test (tcase, each_tensor_is_read_once_in_a_run);
  tcase_add_test (tcase, pixels_are_scaled);
  tcase_add_test (tcase, observers_see_the_inputs_of_dense_and_conv);
  tcase_add_loop_test (tcase, observers_see_the_same_for_any_threads, 0, G_N_ELEMENTS (nets));
  tcase_add_test (tcase, columns_are_those_of_the_weights);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, an_observer_can_end_the_run, 0, 2);
  tcase_add_loop_test (tcase, images_of_another_size_are_refused, 0, G_N_ELEMENTS (sizes));
  tcase_add_test (tcase, a_failing_reader_is_heard);
  tcase_add_test (tcase, a_tensor_that_goes_is_missed);
  tcase_add_test (tcase, a_run_can_be_cancelled);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("net-run", cases, G_N_ELEMENTS (cases));
}
