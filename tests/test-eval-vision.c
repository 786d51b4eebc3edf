/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval/moment-file.h"

#include "eval-run-test.h"

/* The model that ships with afpipe. */
static char *
shipped (const char *name)
{
  return g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "models", "fashion-mnist", name, NULL);
}

/* "load ! CHAIN ! eval ... OPTIONS ! null", of the shipped model and its images. */
static char *
make_pipeline (const char *chain, const char *options)
{
  g_autofree char *model = shipped ("model.h5"), *images = shipped ("images-idx3-ubyte.gz"),
                  *labels = shipped ("labels-idx1-ubyte.gz");

  return g_strdup_printf ("load location=%s ! %s ! eval images=%s labels=%s image-scale=1/255 %s",
                          model, chain, images, labels, options);
}

/* To the image. */
START_TEST (shipped_model)
{
  g_autofree char *text = make_pipeline ("hyper U=225", "! null");

  eval_run (text);
  ck_assert_int_eq (json_node_get_int (eval_member (0, "images")), 1000);
  ck_assert_double_eq_tol (eval_number (0, "accuracy_ref"), 0.939, 1e-12);
  const double accuracy = eval_number (0, "accuracy");
  ck_assert_double_eq_tol (accuracy * 1000, (double) json_node_get_int (eval_member (0, "hits")),
                           1e-9);
  ck_assert (accuracy > 0.9);
  ck_assert_double_eq_tol (eval_number (0, "accuracy_loss"), (0.939 - accuracy) / 0.939, 1e-12);
  ck_assert (eval_number (0, "kl_mean") > 0 && eval_number (0, "same_top1") < 1);
}
END_TEST

#define N_FEW 30
#define FEW "images=@/few labels=@/labels image-scale=1/255"

/* Images of noise, and a label for each. */
static void
put_few (void)
{
  const guint8 images[] = { 0, 0, 8, 3, 0, 0, 0, N_FEW, 0, 0, 0, 28, 0, 0, 0, 28 };
  const guint8 labels[] = { 0, 0, 8, 1, 0, 0, 0, N_FEW };
  g_autoptr (GByteArray) pixels = g_byte_array_new (), classes = g_byte_array_new ();
  g_autoptr (GRand) random = g_rand_new_with_seed (3);

  g_byte_array_append (pixels, images, sizeof images);
  g_byte_array_append (classes, labels, sizeof labels);
  for (guint i = 0; i < N_FEW * 28 * 28; i++)
    g_byte_array_append (pixels, (const guint8[]){ (guint8) g_rand_int (random) }, 1);
  for (guint i = 0; i < N_FEW; i++)
    g_byte_array_append (classes, (const guint8[]){ (guint8) (i % 10) }, 1);
  g_free (put_file ("few", pixels->data, pixels->len));
  g_free (put_file ("labels", classes->data, classes->len));
}

START_TEST (same_for_any_threads)
{
  g_autofree char *model = shipped ("model.h5"), *first = NULL;
  g_autofree char *text =
      g_strdup_printf ("load location=%s ! hyper U=225 ! eval " FEW " ! null", model);

  put_few ();
  for (guint threads = 1; threads <= 3; threads++) {
    eval_threads = threads;
    eval_run (text);
    g_autofree char *metrics = eval_metrics_text (0);
    if (first)
      ck_assert_str_eq (first, metrics);
    else
      first = g_steal_pointer (&metrics);
  }
}
END_TEST

/* The configuration travels: what was written runs, beside the original. */
START_TEST (written_and_read)
{
  g_autofree char *model = shipped ("model.h5");
  g_autofree char *write =
      g_strdup_printf ("load location=%s ! hyper ! eval " FEW " ! write location=@/m.h5", model);
  g_autofree char *read =
      g_strdup_printf ("load location=@/m.h5 ! eval " FEW " original=%s ! null", model);

  put_few ();
  eval_run (write);
  const double accuracy = eval_number (0, "accuracy"), divergence = eval_number (0, "kl_mean");
  eval_run (read);
  ck_assert (eval_number (0, "accuracy") == accuracy && eval_number (0, "kl_mean") == divergence);
  eval_run ("load location=@/m.h5 ! eval " FEW " ! null");
  ck_assert (eval_number (0, "accuracy") == accuracy && eval_is_null (0, "accuracy_ref"));
}
END_TEST

/* Each Dense and Conv2D gets moments of its inputs; nothing else changes. */
START_TEST (calibrated)
{
  g_autofree char *model = shipped ("model.h5");
  g_autofree char *text =
      g_strdup_printf ("load location=%s ! calibrate " FEW " diag=true cache=@/cache ! eval " FEW
                       " require='accuracy_loss<=0' ! null",
                       model);

  put_few ();
  eval_run (text);
  g_autofree char *cache = in_folder ("cache");
  g_autoptr (GDir) dir = g_dir_open (cache, 0, NULL);
  ck_assert_ptr_nonnull (dir);
  g_autofree char *path = g_build_filename (cache, g_dir_read_name (dir), NULL);
  GError *error = NULL;
  g_autoptr (GHashTable) found = moment_file_read (path, &error);
  static const struct {
    const char *name;
    guint64 size, samples;
  } layers[] = { { "conv2d/kernel:0", 9, N_FEW * 784 },
                 { "conv2d_1/kernel:0", 288, N_FEW * 784 },
                 { "conv2d_2/kernel:0", 576, N_FEW * 196 },
                 { "dense/kernel:0", 3136, N_FEW },
                 { "dense_1/kernel:0", 64, N_FEW } };
  ck_assert_uint_eq (g_hash_table_size (found), G_N_ELEMENTS (layers));
  for (guint i = 0; i < G_N_ELEMENTS (layers); i++) {
    const AfpMoments *moments = g_hash_table_lookup (found, layers[i].name);
    ck_assert_msg (moments != NULL, "%s", layers[i].name);
    ck_assert_uint_eq (afp_moments_get_size (moments), layers[i].size);
    ck_assert_uint_eq (afp_moments_get_n_samples (moments), layers[i].samples);
  }
}
END_TEST

static const struct {
  const char *options;
  int code;
  const char *says;
} wrong[] = {
  { "labels=@/text.txt", AFP_ERROR_PROPERTY, "labels= is about the images" },
  { "image-scale=2", AFP_ERROR_PROPERTY, "image-scale= is about the images" },
  { "images=@/text.txt image-scale=big", AFP_ERROR_PROPERTY, "like 0.5 or 1/255" },
  { "images=@/nothing", AFP_ERROR_IO, "images=" },
  { "images=@/text.txt labels=@/nothing", AFP_ERROR_IO, "labels=" },
  { "images=@/text.txt text=@/text.txt", AFP_ERROR_PROPERTY, "a model is one of them" },
  { "images=@/text.txt tasks=@/text.txt", AFP_ERROR_PROPERTY, "tasks= is for language models" },
  { "images=@/text.txt", AFP_ERROR_PLAN, "the model cannot be run as a network" },
  { "images=@/text.txt require=nll<1", AFP_ERROR_PROPERTY, "no metric 'nll'" },
};

START_TEST (refused)
{
  g_autofree char *text = g_strdup_printf (TINY_LOAD " ! eval %s ! null", wrong[_i].options);

  eval_refused (text, wrong[_i].code, wrong[_i].says);
}
END_TEST

/* Before anything is coded. */
START_TEST (no_images)
{
  g_autofree char *model = shipped ("model.h5");
  g_autofree char *text =
      g_strdup_printf ("load location=%s ! eval images=@/text.txt ! write location=@/x.h5", model);

  eval_refused (text, AFP_ERROR_FORMAT, "text.txt");
  ck_assert (!eval_file_exists ("x.h5") && !eval_file_exists ("x.h5.part"));
}
END_TEST

START_TEST (labels_of_others)
{
  g_autofree char *model = shipped ("model.h5"), *images = shipped ("images-idx3-ubyte.gz");
  g_autofree char *text =
      g_strdup_printf ("load location=%s ! eval images=%s labels=%s ! null", model, images, images);

  eval_refused (text, AFP_ERROR_FORMAT, "images-idx3-ubyte.gz");
}
END_TEST

/* One image of 28 x 28, all black. */
static GBytes *
make_image (guint8 side)
{
  const guint8 head[] = { 0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, side, 0, 0, 0, side };
  GByteArray *file = g_byte_array_new ();

  g_byte_array_append (file, head, sizeof head);
  g_byte_array_set_size (file, (guint) (sizeof head + (gsize) side * side));
  memset (file->data + sizeof head, 0, (gsize) side * side);
  return g_byte_array_free_to_bytes (file);
}

/* Images of another size: both sizes are told. */
START_TEST (other_size)
{
  static const guint8 label[] = { 0, 0, 8, 1, 0, 0, 0, 1, 3 };
  g_autofree char *model = shipped ("model.h5");
  g_autoptr (GBytes) image = make_image (27);
  g_autofree char *images =
      put_file ("images", g_bytes_get_data (image, NULL), g_bytes_get_size (image));
  g_autofree char *labels = put_file ("labels", label, sizeof label);
  g_autofree char *text =
      g_strdup_printf ("load location=%s ! eval images=%s labels=%s ! null", model, images, labels);

  eval_refused (text, AFP_ERROR_PLAN, "28x28", "27x27");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("vision");

  tcase_set_timeout (tcase, 120);
  tcase_add_checked_fixture (tcase, eval_setup, eval_teardown);
  tcase_add_test (tcase, shipped_model);
  tcase_add_test (tcase, same_for_any_threads);
  tcase_add_test (tcase, written_and_read);
  tcase_add_test (tcase, calibrated);
  tcase_add_loop_test (tcase, refused, 0, G_N_ELEMENTS (wrong));
  tcase_add_test (tcase, no_images);
  tcase_add_test (tcase, labels_of_others);
  tcase_add_test (tcase, other_size);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("eval-vision", cases, G_N_ELEMENTS (cases));
}
