/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images-test.h"

#include "afp-images.h"

#define CIFAR_RECORD 3073

static char *
put_bytes (const char *name, GByteArray *bytes)
{
  char *path = put_file (name, bytes->data, bytes->len);

  g_byte_array_unref (bytes);
  return path;
}

/* 4 images of 2 x 3, labels 0, 1, 2, 0. */
static char *
put_images (gboolean packed)
{
  GByteArray *bytes = make_idx (8, AXES (4, 2, 3), 24, 256);

  if (packed) {
    GByteArray *small = gzip_bytes (bytes->data, bytes->len);
    g_byte_array_unref (bytes);
    bytes = small;
  }
  return put_bytes ("images", bytes);
}

static char *
put_labels (guint n)
{
  return put_bytes ("labels", make_idx (8, AXES (n), n, 3));
}

/* Names and headers of arrays, up to a NULL. */
typedef struct {
  const char *name, *text;
  gsize n_bytes;
} Array;

static char *
put_npz (const Array *arrays)
{
  TestZip zip;

  zip_init (&zip);
  for (; arrays->name; arrays++)
    zip_add_npy (&zip, arrays->name, TRUE, arrays->text, arrays->n_bytes);
  return put_bytes ("a.npz", zip_end (&zip));
}

#define IMAGES_U8 NPY_TEXT ("|u1", "(4, 2, 3, 1)"), 24
#define IMAGES_F32 NPY_TEXT ("<f4", "(4, 2, 3, 1)"), 96
#define LABELS_U8 NPY_TEXT ("|u1", "(4,)"), 4

/* --- good --------------------------------------------------------------------------------------------------------- */

static void
assert_four (const AfpImages *images)
{
  static const guint32 labels[] = { 0, 1, 2, 0 };
  float pixels[12];

  ck_assert_uint_eq (images->n, 4);
  ck_assert_uint_eq (images->height, 2);
  ck_assert_uint_eq (images->width, 3);
  ck_assert_uint_eq (images->channels, 1);
  ck_assert_mem_eq (images->labels, labels, sizeof labels);
  afp_images_read (images, 1, 2, 0.5f, pixels);
  for (guint i = 0; i < 12; i++)
    ck_assert_float_eq (pixels[i], 0.5f * (float) (6 + i));
}

START_TEST (idx_is_read_plain_and_packed)
{
  g_autofree char *path = put_images (_i == 1), *labels = put_labels (4);
  g_autoptr (AfpImages) images = afp_images_load (path, labels, NULL);

  ck_assert_ptr_nonnull (images);
  assert_four (images);
  ck_assert_ptr_nonnull (strstr (images->about, "array 'images' (4x2x3, u8)"));
  ck_assert_ptr_nonnull (strstr (images->about, "labels: array 'labels' (u8)"));
}
END_TEST

START_TEST (floats_of_idx_are_turned)
{
  const float values[] = { 0.25f, -1.5f };
  g_autoptr (GByteArray) bytes = make_idx (0x0d, AXES (1, 1, 2), 0, 1);
  g_autofree char *labels = put_labels (1);
  float pixels[2];

  for (guint i = 0; i < 2; i++) {
    guint32 bits;
    memcpy (&bits, &values[i], 4);
    bits = GUINT32_TO_BE (bits);
    g_byte_array_append (bytes, (const guint8 *) &bits, 4);
  }
  g_autofree char *path = put_file ("images", bytes->data, bytes->len);
  g_autoptr (AfpImages) images = afp_images_load (path, labels, NULL);
  ck_assert_ptr_nonnull (images);
  afp_images_read (images, 0, 1, 2, pixels);
  ck_assert_float_eq (pixels[0], 0.5f);
  ck_assert_float_eq (pixels[1], -3);
}
END_TEST

/* Two records: the pixel at (0, 1) is red 7, green 8, blue 9 in the first. */
static char *
put_cifar (guint8 label)
{
  g_autofree guint8 *data = g_malloc0 (2 * CIFAR_RECORD);

  data[0] = 3;
  data[1 + 1] = 7;
  data[1 + 1024 + 1] = 8;
  data[1 + 2048 + 1] = 9;
  data[CIFAR_RECORD] = label;
  return put_file ("data_batch.bin", data, 2 * CIFAR_RECORD);
}

START_TEST (cifar_has_its_labels_and_planes)
{
  g_autofree char *path = put_cifar (9);
  g_autoptr (AfpImages) images = afp_images_load (path, NULL, NULL);
  g_autofree float *pixels = g_new (float, 3072);

  ck_assert_ptr_nonnull (images);
  ck_assert_uint_eq (images->n, 2);
  ck_assert_uint_eq (images->channels, 3);
  ck_assert_uint_eq (images->labels[0], 3);
  ck_assert_uint_eq (images->labels[1], 9);
  afp_images_read (images, 0, 1, 1, pixels);
  for (guint i = 0; i < 3; i++)
    ck_assert_float_eq (pixels[3 + i], (float) (7 + i));
}
END_TEST

/* As long as a record of CIFAR-10, which also begins with a label that is one there. */
START_TEST (idx_as_long_as_cifar_is_idx)
{
  g_autofree char *path = put_bytes ("images", make_idx (8, AXES (3065, 1, 1), 3065, 10)),
                  *labels = put_labels (3065);
  g_autoptr (AfpImages) images = afp_images_load (path, labels, NULL);

  ck_assert_ptr_nonnull (images);
  ck_assert_uint_eq (images->n, 3065);
}
END_TEST

/* What is in the archive, and what is taken of it. */
static const struct {
  Array arrays[5];
  const char *images, *labels;
} archives[] = {
  { { { "X.npy", IMAGES_U8 }, { "Y.npy", LABELS_U8 }, { NULL } }, "'X' (4x2x3x1, u8)", "'Y' (u8)" },
  { { { "p.npy", IMAGES_F32 }, { "q.npy", NPY_TEXT (">i2", "(4, 1)"), 8 }, { NULL } },
    "'p' (4x2x3x1, f32)",
    "'q' (i16)" },
  { { { "x_train.npy", IMAGES_F32 },
      { "x_test.npy", IMAGES_U8 },
      { "y_train.npy", LABELS_U8 },
      { "y_test.npy", LABELS_U8 },
      { NULL } },
    "'x_test' (4x2x3x1, u8)",
    "'y_test' (u8)" },
  { { { "labels.npy", LABELS_U8 }, { "images.npy", NPY_TEXT ("|u1", "(4, 2, 3)"), 24 }, { NULL } },
    "'images' (4x2x3, u8)",
    "'labels' (u8)" },
};

START_TEST (arrays_are_chosen_by_shape_and_name)
{
  g_autofree char *path = put_npz (archives[_i].arrays);
  GError *error = NULL;
  g_autoptr (AfpImages) images = afp_images_load (path, NULL, &error);

  ck_assert_msg (images != NULL, "%s", error ? error->message : "");
  if (_i == 1) /* big-endian numbers: the bytes 2 and 3 */
    ck_assert_uint_eq (images->labels[1], 2 * 256 + 3);
  ck_assert_ptr_nonnull (strstr (images->about, archives[_i].images));
  ck_assert_ptr_nonnull (strstr (images->about, archives[_i].labels));
}
END_TEST

/* Other labels than the file of images has go before them. */
START_TEST (labels_may_be_an_array_of_their_own)
{
  static const Array arrays[] = { { "X.npy", IMAGES_U8 }, { "Y.npy", LABELS_U8 }, { NULL } };
  g_autofree char *images_path = _i == 0 ? put_images (TRUE) : put_npz (arrays);
  g_autofree char *labels_path = put_bytes ("b.npy", make_npy (1, NPY_TEXT ("<u2", "(4,)"), 8));
  g_autoptr (AfpImages) images = afp_images_load (images_path, labels_path, NULL);

  ck_assert_ptr_nonnull (images);
  for (guint i = 0; i < 4; i++)
    ck_assert_uint_eq (images->labels[i], 2 * i + 256 * (2 * i + 1));
  ck_assert_ptr_nonnull (strstr (images->about, "labels: array 'b' (u16)"));
}
END_TEST

START_TEST (shared_images_are_read)
{
  const char *shared = g_getenv ("AFP_TEST_SHARED");

  if (!shared || !*shared) {
    g_print ("# the shared images are not here: not tested\n");
    return;
  }
  g_autofree char *path = g_build_filename (shared, "data/vision/cifar10_1000.npz", NULL),
                  *digits =
                      g_build_filename (shared, "data/vision/t10k-images-idx3-ubyte.gz", NULL),
                  *labels =
                      g_build_filename (shared, "data/vision/t10k-labels-idx1-ubyte.gz", NULL);
  g_autoptr (AfpImages) images = afp_images_load (path, NULL, NULL);
  g_autoptr (AfpImages) mnist = afp_images_load (digits, labels, NULL);
  guint count[10] = { 0 };

  ck_assert_uint_eq (images->n, 1000);
  for (guint i = 0; i < 1000; i++)
    count[images->labels[i]]++;
  for (guint i = 0; i < 10; i++)
    ck_assert_uint_eq (count[i], 100);
  ck_assert_uint_eq (mnist->n, 10000);
  ck_assert_uint_eq (mnist->labels[0], 7);
}
END_TEST

/* --- bad ---------------------------------------------------------------------------------------------------------- */

#define assert_not_loaded(images, labels, code, ...)                \
  do {                                                              \
    GError *error_ = NULL;                                          \
    ck_assert_ptr_null (afp_images_load (images, labels, &error_)); \
    assert_error (error_, code, __VA_ARGS__);                       \
  } while (0)

START_TEST (a_file_that_is_not_there_is_named)
{
  g_autofree char *path = in_folder ("none"), *images = put_images (FALSE);

  assert_not_loaded (path, NULL, AFP_ERROR_IO, "cannot read the images '", "none'");
  assert_not_loaded (images, path, AFP_ERROR_IO, "cannot read the labels '", "none'");
}
END_TEST

START_TEST (a_file_of_something_else_is_refused)
{
  g_autofree char *path = put_file ("text", "hello", 5);

  assert_not_loaded (path, NULL, AFP_ERROR_FORMAT, "the images '", "neither IDX nor CIFAR-10's",
                     "of no known format");
}
END_TEST

START_TEST (counts_that_differ_are_told)
{
  g_autofree char *images = put_images (FALSE), *labels = put_labels (3);

  assert_not_loaded (images, labels, AFP_ERROR_FORMAT, "the labels '", "has 3 labels for 4 images");
}
END_TEST

START_TEST (idx_without_labels_asks_for_them)
{
  g_autofree char *images = put_images (FALSE);

  assert_not_loaded (images, NULL, AFP_ERROR_FORMAT, "no file of labels was given",
                     "none of its arrays can be labels", "'images' (4x2x3, u8)");
}
END_TEST

START_TEST (images_in_place_of_labels_are_refused)
{
  g_autofree char *images = put_images (FALSE);

  assert_not_loaded (images, images, AFP_ERROR_FORMAT, "none of its arrays can be labels");
}
END_TEST

START_TEST (labels_in_place_of_images_are_refused)
{
  g_autofree char *labels = put_labels (4);

  assert_not_loaded (labels, labels, AFP_ERROR_FORMAT, "none of its arrays can be images",
                     "'images' (4, u8)");
}
END_TEST

START_TEST (idx_that_is_cut_off_is_refused)
{
  g_autoptr (GByteArray) bytes = make_idx (8, AXES (4, 2, 3), 23, 256);
  g_autofree char *images = put_file ("images", bytes->data, bytes->len), *labels = put_labels (4);

  assert_not_loaded (images, labels, AFP_ERROR_FORMAT, "the images '", "ask for 24 bytes, but 23");
}
END_TEST

START_TEST (damage_of_a_packed_file_is_found)
{
  g_autofree char *images = put_images (TRUE), *labels = put_labels (4), *data = NULL;
  gsize n;

  ck_assert (g_file_get_contents (images, &data, &n, NULL));
  data[n - 6] ^= 1;
  g_autofree char *bad = put_file ("bad", data, n);
  assert_not_loaded (bad, labels, AFP_ERROR_FORMAT, "cannot unpack the images '", "checksum");
}
END_TEST

START_TEST (something_else_that_is_packed_is_refused)
{
  g_autofree char *path = put_bytes ("a.gz", gzip_bytes ("hello", 5));

  assert_not_loaded (path, NULL, AFP_ERROR_FORMAT, "what gzip packed there is neither IDX nor");
}
END_TEST

START_TEST (cifar_of_more_classes_is_refused)
{
  g_autofree char *path = put_cifar (10);

  assert_not_loaded (path, NULL, AFP_ERROR_FORMAT, "neither IDX nor CIFAR-10's");
}
END_TEST

/* What is in the archive, and what is said of it. */
static const struct {
  Array arrays[4];
  const char *words;
} bad_archives[] = {
  { { { "a.npy", IMAGES_U8 }, { "b.npy", IMAGES_U8 }, { "Y.npy", LABELS_U8 }, { NULL } },
    "several of its arrays can be images" },
  { { { "X.npy", IMAGES_U8 }, { "b.npy", LABELS_U8 }, { "c.npy", LABELS_U8 }, { NULL } },
    "several of its arrays can be labels" },
  { { { "X.npy", NPY_TEXT ("<i4", "(4, 2, 3)"), 96 }, { "Y.npy", LABELS_U8 }, { NULL } },
    "none of its arrays can be images" },
  { { { "X.npy", IMAGES_U8 }, { "Y.npy", NPY_TEXT ("<f4", "(4,)"), 16 }, { NULL } },
    "none of its arrays can be labels" },
  { { { "X.npy", IMAGES_U8 }, { "Y.npy", NPY_TEXT ("<i8", "(4,)"), 32 }, { NULL } },
    "label 0 is none: it must be 0 to 1000000" },
  { { { "X.npy", NPY_TEXT ("|u1", "(0, 2, 3)"), 0 }, { "Y.npy", LABELS_U8 }, { NULL } },
    "none of its arrays can be images" },
  { { { "X.npy", NPY_TEXT ("|u1", "(1, 1, 100000)"), 100000 }, { "Y.npy", LABELS_U8 }, { NULL } },
    "an axis may have 65536" },
  { { { NULL } }, "no array" },
};

START_TEST (archives_that_will_not_do_are_refused)
{
  g_autofree char *path = put_npz (bad_archives[_i].arrays);

  assert_not_loaded (path, NULL, AFP_ERROR_FORMAT, bad_archives[_i].words);
}
END_TEST

START_TEST (negative_labels_are_refused)
{
  GByteArray *bytes = make_idx (9, AXES (4), 4, 3);
  bytes->data[bytes->len - 1] = 0xff;
  g_autofree char *images = put_images (FALSE), *labels = put_bytes ("labels", bytes);

  assert_not_loaded (images, labels, AFP_ERROR_FORMAT, "label 3 is none");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_checked_fixture (tcase, folder_setup, folder_teardown);
  tcase_add_loop_test (tcase, idx_is_read_plain_and_packed, 0, 2);
  tcase_add_test (tcase, floats_of_idx_are_turned);
  tcase_add_test (tcase, cifar_has_its_labels_and_planes);
  tcase_add_test (tcase, idx_as_long_as_cifar_is_idx);
  tcase_add_loop_test (tcase, arrays_are_chosen_by_shape_and_name, 0, G_N_ELEMENTS (archives));
  tcase_add_loop_test (tcase, labels_may_be_an_array_of_their_own, 0, 2);
  tcase_add_test (tcase, shared_images_are_read);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_checked_fixture (tcase, folder_setup, folder_teardown);
  tcase_add_test (tcase, a_file_that_is_not_there_is_named);
  tcase_add_test (tcase, a_file_of_something_else_is_refused);
  tcase_add_test (tcase, counts_that_differ_are_told);
  tcase_add_test (tcase, idx_without_labels_asks_for_them);
  tcase_add_test (tcase, images_in_place_of_labels_are_refused);
  tcase_add_test (tcase, labels_in_place_of_images_are_refused);
  tcase_add_test (tcase, idx_that_is_cut_off_is_refused);
  tcase_add_test (tcase, damage_of_a_packed_file_is_found);
  tcase_add_test (tcase, something_else_that_is_packed_is_refused);
  tcase_add_test (tcase, cifar_of_more_classes_is_refused);
  tcase_add_loop_test (tcase, archives_that_will_not_do_are_refused, 0,
                       G_N_ELEMENTS (bad_archives));
  tcase_add_test (tcase, negative_labels_are_refused);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("images", cases, G_N_ELEMENTS (cases));
}
