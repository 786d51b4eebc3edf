/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval/moment-file.h"

#include "io-test.h"

#include <sys/stat.h>

#define HEAD_BYTES 24

static const char *const qkv[] = { "q", "k", "v", NULL };
static const char *const down[] = { "down", NULL };

static float *
numbers (guint64 size, gboolean diagonal, float first)
{
  const gsize n = (gsize) afp_moments_n_stored (size, diagonal);
  float *stored = g_new (float, n);

  for (gsize i = 0; i < n; i++)
    stored[i] = first + (float) i;
  return stored;
}

static void
add (MomentWriter *writer, const char *const *names, guint64 size, gboolean diagonal, float first)
{
  g_autofree float *stored = numbers (size, diagonal, first);
  GError *error = NULL;

  ck_assert (moment_writer_add (writer, names, size, diagonal, 1000 + size, stored, &error));
}

static MomentWriter *
begin (const char *path)
{
  GError *error = NULL;
  MomentWriter *writer = moment_writer_new (path, &error);

  ck_assert_msg (writer != NULL, "%s", error ? error->message : "?");
  return writer;
}

/* Two entries of another size each. Returns the path. */
static char *
write_file (void)
{
  char *path = in_folder ("x.moments");
  g_autoptr (MomentWriter) writer = begin (path);
  GError *error = NULL;

  add (writer, qkv, 7, FALSE, 10);
  add (writer, down, 33, TRUE, 500);
  ck_assert (moment_writer_end (writer, &error));
  return path;
}

static void
check_numbers (GHashTable *all, const char *name, guint64 size, gboolean diagonal, float first)
{
  AfpMoments *moments = g_hash_table_lookup (all, name);
  g_autofree float *stored = numbers (size, diagonal, first), *out = g_new (float, size *size);

  ck_assert_msg (moments != NULL, "%s", name);
  ck_assert_uint_eq (afp_moments_get_size (moments), size);
  ck_assert_int_eq (afp_moments_is_diagonal (moments), diagonal);
  ck_assert_uint_eq (afp_moments_get_n_samples (moments), 1000 + size);
  afp_moments_read (moments, 0, size, out);
  for (guint64 i = 0; i < size; i++)
    for (guint64 j = diagonal ? i : 0; j <= i; j++)
      ck_assert (out[i * size + j] == stored[diagonal ? i : i * (i + 1) / 2 + j]);
}

START_TEST (round_trip)
{
  g_autofree char *path = write_file ();
  GError *error = NULL;
  g_autoptr (GHashTable) all = moment_file_read (path, &error);

  ck_assert_msg (all != NULL, "%s", error ? error->message : "?");
  ck_assert_uint_eq (g_hash_table_size (all), 4);
  for (guint i = 0; qkv[i]; i++)
    check_numbers (all, qkv[i], 7, FALSE, 10);
  check_numbers (all, "down", 33, TRUE, 500);
  ck_assert_ptr_null (g_hash_table_lookup (all, "x"));
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

/* The numbers outlive the table: they hold the file. */
START_TEST (moments_outlive_the_table)
{
  g_autofree char *path = write_file ();
  GHashTable *all = moment_file_read (path, NULL);
  g_autoptr (AfpMoments) moments = afp_moments_ref (g_hash_table_lookup (all, "down"));
  float out[33];

  g_hash_table_unref (all);
  ck_assert_int_eq (g_unlink (path), 0);
  afp_moments_read_diagonal (moments, 0, 33, out);
  ck_assert (out[32] == 532);
}
END_TEST

START_TEST (odd_names)
{
  static const char *const names[] = { "a \"quoted\"\\ name", "\xc3\xa9", "", NULL };
  g_autofree char *path = in_folder ("x.moments");
  g_autoptr (MomentWriter) writer = begin (path);

  add (writer, names, 3, FALSE, 1);
  ck_assert (moment_writer_end (writer, NULL));
  g_autoptr (GHashTable) all = moment_file_read (path, NULL);
  ck_assert_ptr_nonnull (all);
  for (guint i = 0; names[i]; i++)
    check_numbers (all, names[i], 3, FALSE, 1);
}
END_TEST

START_TEST (no_entries)
{
  g_autofree char *path = in_folder ("x.moments");
  g_autoptr (MomentWriter) writer = begin (path);

  ck_assert (moment_writer_end (writer, NULL));
  g_autoptr (GHashTable) all = moment_file_read (path, NULL);
  ck_assert_ptr_nonnull (all);
  ck_assert_uint_eq (g_hash_table_size (all), 0);
}
END_TEST

START_TEST (makes_its_folders)
{
  g_autofree char *path = in_folder ("a/b/x.moments");
  g_autoptr (MomentWriter) writer = begin (path);

  ck_assert (moment_writer_end (writer, NULL));
  ck_assert (g_file_test (path, G_FILE_TEST_IS_REGULAR));
}
END_TEST

/* --- it has its name when all of it is there --- */

START_TEST (nothing_is_left_of_one_that_did_not_end)
{
  g_autofree char *path = in_folder ("x.moments");
  MomentWriter *writer = begin (path);

  add (writer, qkv, 7, FALSE, 10);
  ck_assert (!g_file_test (path, G_FILE_TEST_EXISTS));
  moment_writer_free (writer);
  ck_assert_uint_eq (count_files (), 0);
}
END_TEST

/* Until then the old one stands, and afterwards the new one. */
START_TEST (replaces)
{
  g_autofree char *path = write_file ();
  MomentWriter *writer = begin (path);

  add (writer, down, 33, TRUE, 600);
  g_autoptr (GHashTable) old = moment_file_read (path, NULL);
  check_numbers (old, "down", 33, TRUE, 500);
  ck_assert (moment_writer_end (writer, NULL));
  moment_writer_free (writer);
  g_autoptr (GHashTable) new = moment_file_read (path, NULL);
  check_numbers (new, "down", 33, TRUE, 600);
  ck_assert_ptr_null (g_hash_table_lookup (new, "q"));
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

/* A folder stands where a file would be, or no folder can be made. */
START_TEST (cannot_be_written)
{
  g_autofree char *file G_GNUC_UNUSED = put_file ("file", "x", 1),
                        *below = in_folder ("file/x.moments");
  GError *error = NULL;

  ck_assert_ptr_null (moment_writer_new (below, &error));
  assert_error (error, AFP_ERROR_IO, "cannot write '", "file/x.moments': Not a directory",
                "cache=");
  ck_assert_ptr_null (moment_writer_new ("/proc/no-such-folder/x.moments", &error));
  assert_error (error, AFP_ERROR_IO, "cannot write '/proc/no-such-folder/x.moments'", "cache=");
}
END_TEST

START_TEST (a_folder_of_its_name)
{
  g_autofree char *path = in_folder ("x.moments"), *child = in_folder ("x.moments/y");
  GError *error = NULL;

  ck_assert_int_eq (g_mkdir_with_parents (child, 0700), 0);
  MomentWriter *writer = begin (path);
  ck_assert (!moment_writer_end (writer, &error));
  assert_error (error, AFP_ERROR_IO, "cannot write '", "x.moments'");
  moment_writer_free (writer);
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

/* --- damage --- */

START_TEST (no_file)
{
  GError *error = NULL;

  ck_assert_ptr_null (moment_file_read ("/no/such/file", &error));
  assert_error (error, AFP_ERROR_IO, "/no/such/file");
}
END_TEST

static const char *const others[] = { "", "AFPMOM1", "AFPMOM1\n",
                                      "AFPMOM2\nxxxxxxxxxxxxxxxxxxxxxxxxx",
                                      "{\"this\": \"is something else entirely\"}" };

START_TEST (another_file)
{
  g_autofree char *path = put_file ("y", others[_i], strlen (others[_i]));
  GError *error = NULL;

  ck_assert_ptr_null (moment_file_read (path, &error));
  if (*others[_i])
    assert_error (error, AFP_ERROR_FORMAT, path, "is damaged, or no file of moments");
  else
    g_clear_error (&error);
}
END_TEST

/* What is read of it lies within it, whatever it says. */
static void
read_all (GHashTable *all)
{
  GHashTableIter iter;
  gpointer moments;

  g_hash_table_iter_init (&iter, all);
  while (g_hash_table_iter_next (&iter, NULL, &moments)) {
    const guint64 size = afp_moments_get_size (moments);
    g_autofree float *out = g_new (float, size + 1);
    afp_moments_read_diagonal (moments, 0, size, out);
  }
}

/* NULL, or what was made of it, which can be read. */
static gboolean
survives (const guint8 *bytes, gsize n)
{
  g_autofree char *path = put_file ("z", bytes, n);
  GError *error = NULL;
  g_autoptr (GHashTable) all = moment_file_read (path, &error);

  if (all) {
    read_all (all);
    return TRUE;
  }
  ck_assert_msg (g_error_matches (error, AFP_ERROR, AFP_ERROR_FORMAT) ||
                     (n == 0 && g_error_matches (error, AFP_ERROR, AFP_ERROR_IO)),
                 "%s", error->message);
  g_clear_error (&error);
  return FALSE;
}

static guint8 *
read_file (gsize *n)
{
  g_autofree char *path = write_file ();
  char *data;

  ck_assert (g_file_get_contents (path, &data, n, NULL));
  return (guint8 *) data;
}

START_TEST (every_shorter_file_is_refused)
{
  gsize n;
  g_autofree guint8 *bytes = read_file (&n);

  ck_assert (survives (bytes, n));
  for (gsize length = 0; length < n; length++)
    ck_assert_msg (!survives (bytes, length), "%" G_GSIZE_FORMAT, length);
}
END_TEST

/* Head and table, byte by byte; the numbers in between may be any. */
START_TEST (every_changed_byte_is_harmless)
{
  static const guint8 changes[] = { 0x01, 0x10, 0x80, 0xff };
  gsize n, refused = 0;
  g_autofree guint8 *bytes = read_file (&n);
  guint64 table;

  memcpy (&table, bytes + 8, sizeof table);
  for (gsize i = 0; i < n; i += i == HEAD_BYTES - 1 ? (gsize) table - i : 1)
    for (guint c = 0; c < G_N_ELEMENTS (changes); c++) {
      bytes[i] ^= changes[c];
      refused += !survives (bytes, n);
      bytes[i] ^= changes[c];
    }
  ck_assert_uint_gt (refused, HEAD_BYTES * G_N_ELEMENTS (changes) / 2);
  ck_assert (survives (bytes, n));
}
END_TEST

static const char *const tables[] = {
  "{}",
  "[7]",
  "[{}]",
  "[{\"tensors\": [\"a\"], \"size\": 1, \"diagonal\": 1, \"samples\": 1, \"offset\": 64}]",
  "[{\"tensors\": [\"a\"], \"size\": -1, \"diagonal\": true, \"samples\": 1, \"offset\": 64}]",
  "[{\"tensors\": [\"a\"], \"size\": 1.5, \"diagonal\": true, \"samples\": 1, \"offset\": 64}]",
  "[{\"tensors\": [\"a\"], \"size\": 1, \"diagonal\": true, \"samples\": 1, \"offset\": 65}]",
  "[{\"tensors\": [\"a\"], \"size\": 1, \"diagonal\": true, \"samples\": 1, \"offset\": 128}]",
  "[{\"tensors\": [\"a\"], \"size\": 17, \"diagonal\": true, \"samples\": 1, \"offset\": 64}]",
  "[{\"tensors\": [\"a\"], \"size\": 6, \"diagonal\": false, \"samples\": 1, \"offset\": 64}]",
  "[{\"tensors\": [\"a\"], \"size\": 4294967296, \"diagonal\": true, \"samples\": 1, \"offset\": 64}]",
  "[{\"tensors\": [\"a\"], \"size\": 4294967295, \"diagonal\": false, \"samples\": 1, \"offset\": 0}]",
  "[{\"tensors\": \"a\", \"size\": 1, \"diagonal\": true, \"samples\": 1, \"offset\": 64}]",
  "[{\"tensors\": [1], \"size\": 1, \"diagonal\": true, \"samples\": 1, \"offset\": 64}]",
  "[{\"size\": 1, \"diagonal\": true, \"samples\": 1, \"offset\": 64}]",
};

/* 64 bytes of numbers after the head, then the table. */
static char *
put_table (const char *table)
{
  guint8 bytes[1024] = "AFPMOM1\n";
  const guint64 places[2] = { 128, strlen (table) };

  memcpy (bytes + 8, places, sizeof places);
  memcpy (bytes + 128, table, strlen (table));
  return put_file ("t", bytes, 128 + strlen (table));
}

START_TEST (table_that_cannot_be)
{
  g_autofree char *path = put_table (tables[_i]);
  GError *error = NULL;

  ck_assert_ptr_null (moment_file_read (path, &error));
  assert_error (error, AFP_ERROR_FORMAT, path, "is damaged, or no file of moments");
}
END_TEST

/* So that the ones above are refused for what is wrong in them. */
START_TEST (table_that_can_be)
{
  g_autofree char *path = put_table (
      "[{\"tensors\": [\"a\"], \"size\": 16, \"diagonal\": true, \"samples\": 1, \"offset\": 64}, "
      "{\"tensors\": [\"b\"], \"size\": 5, \"diagonal\": false, \"samples\": 1, \"offset\": 64}]");
  g_autoptr (GHashTable) all = moment_file_read (path, NULL);

  ck_assert_ptr_nonnull (all);
  ck_assert_uint_eq (g_hash_table_size (all), 2);
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");

  tcase_add_checked_fixture (tcase, folder_setup, folder_teardown);
  tcase_add_test (tcase, round_trip);
  tcase_add_test (tcase, moments_outlive_the_table);
  tcase_add_test (tcase, odd_names);
  tcase_add_test (tcase, no_entries);
  tcase_add_test (tcase, makes_its_folders);
  tcase_add_test (tcase, replaces);
  tcase_add_test (tcase, table_that_can_be);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");

  tcase_add_checked_fixture (tcase, folder_setup, folder_teardown);
  tcase_add_test (tcase, nothing_is_left_of_one_that_did_not_end);
  tcase_add_test (tcase, cannot_be_written);
  tcase_add_test (tcase, a_folder_of_its_name);
  tcase_add_test (tcase, no_file);
  tcase_add_loop_test (tcase, another_file, 0, G_N_ELEMENTS (others));
  tcase_add_test (tcase, every_shorter_file_is_refused);
  tcase_add_test (tcase, every_changed_byte_is_harmless);
  tcase_add_loop_test (tcase, table_that_cannot_be, 0, G_N_ELEMENTS (tables));
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("moment-file", cases, G_N_ELEMENTS (cases));
}
