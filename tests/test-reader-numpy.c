/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "numpy-test.h"

static const AfpReader *const reader = &afp_reader_numpy;

static gpointer
open_ok (const char *path)
{
  GError *error = NULL;
  gpointer handle = open_reader (reader, path, &error);
  ck_assert_msg (handle != NULL, "%s", error ? error->message : "no error");
  return handle;
}

static char *
put_array (const char *name, GByteArray *bytes)
{
  char *path = put_file (name, bytes->data, bytes->len);
  g_byte_array_unref (bytes);
  return path;
}

/* --- what numpy wrote --- */

static const struct {
  const char *name, *expected;
} goldens[] = {
  { "plain", "plain f32 2x3 out:1" },
  { "fortran", "fortran i16 2x3x4 out:1" },
  { "big", "big f64 2x3 out:1" },
  { "big_fortran", "big_fortran u32 3x5 out:1" },
  { "half", "half f16 4 out:1" },
  { "scalar", "scalar f64 scalar out:1" },
  { "empty", "empty i32 0x3 out:1" },
  { "flags", "flags bool 3 out:1" },
  { "layers/0.weight", "layers/0.weight u8 2x2 out:1" },
  { "größe", "größe i64 2 out:1" },
  { "zeros", "zeros f32 100x100 out:1" },
};

/* The values that tests/data/make-numpy.py gave them. */
static void
assert_values (AfpTensor *tensor)
{
  static const float plain[] = { 0, 1, 2, 3, 4, 5 };
  static const double big[] = { 0, 1, 2, 3, 4, 5 }, scalar = 2.5;
  static const guint16 half[] = { 0, 0x3c00, 0x4000, 0x4200 };
  static const guint8 flags[] = { 1, 0, 1 }, square[] = { 0, 1, 2, 3 };
  static const gint64 size[] = { 1, -2 };
  const char *name = afp_spec_get_name (afp_tensor_get_spec (tensor));
  gint16 fortran[24];
  guint32 big_fortran[15];
  g_autofree guint8 *zeros = g_malloc0 (40000);
  for (guint i = 0; i < 24; i++)
    fortran[i] = (gint16) i;
  for (guint i = 0; i < 15; i++)
    big_fortran[i] = i;
  const struct {
    gconstpointer data;
    gsize n;
  } values[] = { { plain, sizeof plain },
                 { fortran, sizeof fortran },
                 { big, sizeof big },
                 { big_fortran, sizeof big_fortran },
                 { half, sizeof half },
                 { &scalar, sizeof scalar },
                 { "", 0 },
                 { flags, sizeof flags },
                 { square, sizeof square },
                 { size, sizeof size },
                 { zeros, 40000 } };
  guint i = 0;
  while (strcmp (goldens[i].name, name) != 0)
    ck_assert_uint_lt (++i, G_N_ELEMENTS (goldens));
  assert_raw_bytes (tensor, values[i].data, values[i].n);
}

static void
check_golden (const char *file, guint n)
{
  g_autofree char *path = golden_path (file);
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), n);
  for (guint i = 0; i < n; i++) {
    GError *error = NULL;
    assert_planned (reader, handle, i, goldens[i].expected);
    for (guint again = 0; again < 2; again++) {
      g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, i, &error);
      ck_assert_msg (tensor != NULL, "%s", error ? error->message : "?");
      assert_text (describe_tensor (tensor), goldens[i].expected);
      GBytes *bytes = afp_plane_get_data (afp_tensor_get_root (tensor));
      ck_assert (g_bytes_get_size (bytes) == 0 ||
                 afp_mapped_contains (bytes) == (reader->tensor_memory (handle, i) == 0));
      assert_values (tensor);
    }
  }
  reader->close (handle);
}

START_TEST (golden_stored)
{
  check_golden ("numpy-stored.npz", 10);
}
END_TEST

START_TEST (golden_deflated)
{
  check_golden ("numpy-deflated.npz", 11);
}
END_TEST

START_TEST (golden_wide)
{
  check_golden ("numpy-zip64.npz", 2);
}
END_TEST

START_TEST (single_arrays)
{
  static const float plain[] = { 0, 1, 2, 3, 4, 5 };
  for (guint version = 1; version <= 3; version++) {
    g_autofree char *file = g_strdup_printf ("numpy-v%u.npy", version);
    g_autofree char *path = golden_path (file);
    g_autofree char *expected = g_strdup_printf ("numpy-v%u f32 2x3 out:1", version);
    gpointer handle = open_ok (path);
    ck_assert_uint_eq (reader->get_n_tensors (handle), 1);
    assert_planned (reader, handle, 0, expected);
    g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, 0, NULL);
    assert_raw_bytes (tensor, plain, sizeof plain);
    reader->close (handle);
  }
}
END_TEST

START_TEST (complex_numbers)
{
  static const guint8 expected[] = { 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12 };
  g_autofree char *path = put_array ("z.npy", make_npy (1, NPY_TEXT (">c8", "(2,)"), 16));
  gpointer handle = open_ok (path);
  assert_planned (reader, handle, 0, "z c64 2 out:1");
  g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, 0, NULL);
  assert_raw_bytes (tensor, expected, sizeof expected);
  reader->close (handle);
}
END_TEST

/* --- names --- */

START_TEST (names_of_single_arrays)
{
  static const struct {
    const char *file, *name;
  } rows[] = { { "w.npy", "w" },   { "w", "w" },         { "a.b.npy", "a.b" },
               { ".npy", ".npy" }, { "w.weights", "w" }, { "\xff.npy", "\xef\xbf\xbd" } };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *path = put_array (rows[i].file, make_npy (1, NPY_TEXT ("|u1", "(3,)"), 3));
    g_autofree char *expected = g_strconcat (rows[i].name, " u8 3 out:1", NULL);
    gpointer handle = open_ok (path);
    assert_planned (reader, handle, 0, expected);
    reader->close (handle);
  }
}
END_TEST

/* Nothing is ever written under a name from an archive. */
START_TEST (names_that_lead_elsewhere)
{
  TestZip zip;
  zip_init (&zip);
  zip_add_npy (&zip, "../../etc/passwd.npy", FALSE, NPY_TEXT ("|u1", "(3,)"), 3);
  zip_add_npy (&zip, "/a.npy.npy", FALSE, NPY_TEXT ("|u1", "(3,)"), 3);
  g_autofree char *path = put_array ("m.npz", zip_end (&zip));
  gpointer handle = open_ok (path);
  assert_planned (reader, handle, 0, "../../etc/passwd u8 3 out:1");
  assert_planned (reader, handle, 1, "/a.npy u8 3 out:1");
  reader->close (handle);
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

static char *
put_named (const char *name)
{
  TestZip zip;
  zip_init (&zip);
  zip_add_npy (&zip, "a.npy", FALSE, NPY_TEXT ("|u1", "(3,)"), 3);
  zip_add_npy (&zip, name, TRUE, NPY_TEXT ("|u1", "(3,)"), 3);
  return put_array ("m.npz", zip_end (&zip));
}

START_TEST (bad_names)
{
  g_autofree char *empty = put_named (".npy");
  assert_refused (reader, empty, AFP_ERROR_FORMAT, "m.npz", "empty name");
  g_autofree char *control = put_named ("a\nb.npy");
  assert_refused (reader, control, AFP_ERROR_FORMAT, "m.npz", "control character 0x0a");
  g_autofree char *latin = put_named ("gr\xf6\xdf"
                                      "e.npy");
  assert_refused (reader, latin, AFP_ERROR_FORMAT, "m.npz", "not UTF-8");
  g_autofree char *twice = put_named ("a.npy");
  assert_refused (reader, twice, AFP_ERROR_FORMAT, "m.npz", "'a.npy' occurs twice");
  g_autofree char *letters = g_strnfill (1025, 'n');
  g_autofree char *longer = g_strconcat (letters, ".npy", NULL);
  g_autofree char *path = put_named (longer);
  assert_refused (reader, path, AFP_ERROR_FORMAT, "m.npz", "limit is 1024");
}
END_TEST

/* --- members that are no arrays --- */

START_TEST (other_members)
{
  TestZip zip;
  zip_init (&zip);
  zip_add (&zip, "readme.txt", TRUE, "hello", 5);
  zip_add_npy (&zip, "a.npy", FALSE, NPY_TEXT ("|u1", "(3,)"), 3);
  zip_add (&zip, "folder/", FALSE, "", 0);
  g_autofree char *path = put_array ("m.npz", zip_end (&zip));
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 1);
  assert_text (get_notes (reader, handle),
               "left out: 'readme.txt', which is no array (.npy; 5 bytes)\n"
               "left out: 'folder/', which is no array (.npy; 0 bytes)\n");
  reader->close (handle);
}
END_TEST

START_TEST (no_arrays)
{
  TestZip zip;
  zip_init (&zip);
  zip_add (&zip, "archive/data.pkl", FALSE, "\x80\2", 2);
  g_autofree char *path = put_array ("m.pt", zip_end (&zip));
  assert_refused (reader, path, AFP_ERROR_FORMAT, "m.pt", "zip archive without NumPy arrays");
  zip_init (&zip);
  g_autofree char *empty = put_array ("m.npz", zip_end (&zip));
  gpointer handle = open_ok (empty);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 0);
  reader->close (handle);
}
END_TEST

START_TEST (arrays_that_are_refused)
{
  static const struct {
    const char *text, *word;
  } rows[] = {
    { NPY_TEXT ("|O", "(3,)"), "Python objects" },
    { "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }\n", "structured array" },
    { NPY_TEXT ("<U1", "(3,)"), "text" },
    { NPY_TEXT ("|u1", "(4,)"), "takes 4 bytes" },
    { "junk", "damaged header" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    for (guint deflated = 0; deflated < 2; deflated++) {
      TestZip zip;
      zip_init (&zip);
      zip_add_npy (&zip, "good.npy", FALSE, NPY_TEXT ("|u1", "(3,)"), 3);
      zip_add_npy (&zip, "bad.npy", deflated, rows[i].text, 3);
      g_autofree char *path = put_array ("m.npz", zip_end (&zip));
      assert_refused (reader, path, AFP_ERROR_FORMAT, "array 'bad' in ", "m.npz", rows[i].word);
    }
}
END_TEST

START_TEST (methods_that_are_refused)
{
  for (guint kind = 0; kind < 2; kind++) {
    TestZip zip;
    zip_init (&zip);
    zip_add_raw (&zip, "a.npy", kind == 0 ? 12 : 0, "xyz", 3, 3, 0);
    zip.central->data[8] = (guint8) kind;
    g_autofree char *path = put_array ("m.npz", zip_end (&zip));
    assert_refused (reader, path, AFP_ERROR_FORMAT, "array 'a' in ",
                    kind == 0 ? "packed by method 12 of zip" : "is encrypted", "savez");
  }
}
END_TEST

/* --- damage --- */

/* A damaged checksum is found when the array is read, the others are not touched by it. */
START_TEST (checksums)
{
  for (guint deflated = 0; deflated < 2; deflated++) {
    g_autoptr (GByteArray) npy = make_npy (1, NPY_TEXT ("|u1", "(3,)"), 3);
    g_autoptr (GByteArray) packed = deflate_bytes (npy->data, npy->len);
    TestZip zip;
    GError *error = NULL;
    zip_init (&zip);
    zip_add_npy (&zip, "good.npy", FALSE, NPY_TEXT ("|u1", "(3,)"), 3);
    if (deflated)
      zip_add_raw (&zip, "bad.npy", 8, packed->data, packed->len, npy->len, 1);
    else
      zip_add_raw (&zip, "bad.npy", 0, npy->data, npy->len, npy->len, 1);
    g_autofree char *path = put_array ("m.npz", zip_end (&zip));
    gpointer handle = open_ok (path);
    g_autoptr (AfpTensor) good = reader->read_tensor (handle, 0, &error);
    assert_raw_bytes (good, "\0\1\2", 3);
    ck_assert_ptr_null (reader->read_tensor (handle, 1, &error));
    assert_error (error, AFP_ERROR_FORMAT, "m.npz", "member 'bad.npy' has the checksum");
    reader->close (handle);
  }
}
END_TEST

/* Opens and reads all; FALSE with an error where something is wrong. Values that were read are compared if asked for. */
static gboolean
read_all (const char *path, gboolean compare, GError **error)
{
  gpointer handle = open_reader (reader, path, error);
  gboolean ok = handle != NULL;
  for (gsize i = 0; ok && i < reader->get_n_tensors (handle); i++) {
    g_autoptr (AfpTensor) tensor = reader->read_tensor (handle, i, error);
    ok = tensor != NULL;
    if (ok && compare)
      assert_values (tensor);
  }
  if (handle != NULL)
    reader->close (handle);
  return ok;
}

static const char *const files[] = { "numpy-stored.npz", "numpy-deflated.npz", "numpy-zip64.npz",
                                     "numpy-v1.npy",     "numpy-v2.npy",       "numpy-v3.npy" };

START_TEST (truncations)
{
  g_autofree char *golden = golden_path (files[_i]);
  g_autofree char *data = NULL;
  gsize n;
  ck_assert (g_file_get_contents (golden, &data, &n, NULL));
  for (gsize cut = 0; cut < n; cut++) {
    GError *error = NULL;
    g_autofree char *path = put_file ("cut", data, cut);
    ck_assert_msg (!read_all (path, FALSE, &error), "%s, %u bytes", files[_i], (guint) cut);
    ck_assert_ptr_nonnull (error);
    assert_error (error, AFP_ERROR_FORMAT, "/cut'");
  }
}
END_TEST

/* A wrong byte in an archive is an error, or is one that says nothing about an array (a time stamp). */
START_TEST (flips)
{
  g_autofree char *golden = golden_path (files[_i]);
  g_autofree char *data = NULL;
  gsize n;
  guint errors = 0;
  ck_assert (g_file_get_contents (golden, &data, &n, NULL));
  for (gsize i = 0; i < n; i++)
    for (guint flip = 0; flip < 2; flip++) {
      const guint8 mask = flip ? 0xff : (guint8) (1 << i % 8);
      g_autoptr (GError) error = NULL;
      data[i] = (char) (data[i] ^ mask);
      g_autofree char *path = put_file ("flipped", data, n);
      if (!read_all (path, _i < 3, &error)) {
        ck_assert_ptr_nonnull (error);
        errors++;
      }
      data[i] = (char) (data[i] ^ mask);
    }
  ck_assert_uint_gt (errors, n);
}
END_TEST

/* --- the rest --- */

START_TEST (sniffing)
{
  static const struct {
    const char *head;
    gsize n;
    gboolean ours;
  } rows[] = { { "\x93NUMPY\1", 7, TRUE }, { "PK\3\4..", 6, TRUE }, { "PK\5\6", 4, TRUE },
               { "\x93NUMP", 5, FALSE },   { "PK\3", 3, FALSE },    { "", 0, FALSE },
               { "NUMPY\x93", 6, FALSE },  { "PK\1\2..", 6, FALSE } };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    ck_assert_int_eq (reader->sniff ("x", (const guint8 *) rows[i].head, rows[i].n, 100),
                      rows[i].ours);
}
END_TEST

START_TEST (files_that_are_none)
{
  g_autofree char *text = put_file ("text", "hello, world", 12);
  g_autofree char *empty = put_file ("empty", "", 0);
  g_autofree char *missing = in_folder ("missing");
  assert_refused (reader, text, AFP_ERROR_FORMAT, "array 'text' in", "does not begin as");
  assert_refused (reader, empty, AFP_ERROR_FORMAT, "array 'empty' in", "does not begin as");
  assert_refused (reader, missing, AFP_ERROR_IO, "cannot read", "missing");
}
END_TEST

START_TEST (fingerprints)
{
  g_autofree char *one = put_array ("one.npy", make_npy (1, NPY_TEXT ("|u1", "(3,)"), 3));
  g_autofree char *copy = put_array ("copy.npy", make_npy (1, NPY_TEXT ("|u1", "(3,)"), 3));
  g_autofree char *other = put_array ("other.npy", make_npy (1, NPY_TEXT ("|i1", "(3,)"), 3));
  g_autofree char *stored = golden_path ("numpy-stored.npz");
  g_autofree char *deflated = golden_path ("numpy-deflated.npz");
  const char *paths[] = { one, copy, other, stored, deflated };
  char *found[5];
  for (guint i = 0; i < 5; i++) {
    gpointer handle = open_ok (paths[i]);
    found[i] = reader->get_fingerprint (handle);
    ck_assert_uint_eq (strlen (found[i]), 64);
    reader->close (handle);
  }
  ck_assert_str_eq (found[0], found[1]);
  ck_assert_str_ne (found[0], found[2]);
  ck_assert_str_ne (found[3], found[4]);
  for (guint i = 0; i < 5; i++)
    g_free (found[i]);
}
END_TEST

START_TEST (real_data)
{
  const char *shared = g_getenv ("AFP_TEST_SHARED");
  if (shared == NULL) {
    g_print ("SKIP: AFP_TEST_SHARED is not set\n");
    return;
  }
  g_autofree char *path = g_build_filename (shared, "data/vision/cifar10_1000.npz", NULL);
  gpointer handle = open_ok (path);
  ck_assert_uint_eq (reader->get_n_tensors (handle), 2);
  assert_planned (reader, handle, 0, "X u8 1000x32x32x3 out:1");
  assert_planned (reader, handle, 1, "Y u8 1000 out:1");
  g_autoptr (AfpTensor) images = reader->read_tensor (handle, 0, NULL);
  g_autoptr (AfpTensor) labels = reader->read_tensor (handle, 1, NULL);
  ck_assert_ptr_nonnull (images);
  ck_assert_uint_eq (g_bytes_get_size (afp_plane_get_data (afp_tensor_get_root (images))), 3072000);
  /* The first hundred of each of ten classes. */
  const guint8 *label = g_bytes_get_data (afp_plane_get_data (afp_tensor_get_root (labels)), NULL);
  guint counts[10] = { 0 };
  for (guint i = 0; i < 1000; i++)
    counts[MIN (label[i], 9)]++;
  for (guint i = 0; i < 10; i++)
    ck_assert_uint_eq (counts[i], 100);
  reader->close (handle);
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = io_case ("good");
  tcase_add_test (tcase, golden_stored);
  tcase_add_test (tcase, golden_deflated);
  tcase_add_test (tcase, golden_wide);
  tcase_add_test (tcase, single_arrays);
  tcase_add_test (tcase, complex_numbers);
  tcase_add_test (tcase, names_of_single_arrays);
  tcase_add_test (tcase, names_that_lead_elsewhere);
  tcase_add_test (tcase, other_members);
  tcase_add_test (tcase, sniffing);
  tcase_add_test (tcase, fingerprints);
  tcase_add_test (tcase, real_data);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = io_case ("bad");
  tcase_add_test (tcase, bad_names);
  tcase_add_test (tcase, no_arrays);
  tcase_add_test (tcase, arrays_that_are_refused);
  tcase_add_test (tcase, methods_that_are_refused);
  tcase_add_test (tcase, checksums);
  tcase_add_test (tcase, files_that_are_none);
  tcase_add_loop_test (tcase, truncations, 0, G_N_ELEMENTS (files));
  tcase_add_loop_test (tcase, flips, 0, G_N_ELEMENTS (files));
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("reader-numpy", cases, G_N_ELEMENTS (cases));
}
