/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "afp-store.h"

#include <glib/gstdio.h>
#include <sys/stat.h>
#include <utime.h>

static char *folder;

static void
set_up (void)
{
  folder = g_dir_make_tmp ("afp-store-XXXXXX", NULL);
}

static void
tear_down (void)
{
  g_autofree char *command = g_strdup_printf ("rm -rf '%s'", folder);
  ck_assert_int_eq (system (command), 0);
  g_clear_pointer (&folder, g_free);
}

/* Key of entry @n. */
static const char *
key_of (guint n)
{
  static char key[AFP_STORE_KEY + 1];
  g_snprintf (key, sizeof key, "%02x%062x", n % 256, n);
  return key;
}

static char *
path_of (guint n)
{
  return g_strdup_printf ("%s/%.2s/%s", folder, key_of (n), key_of (n));
}

static void
put (AfpStore *store, guint n, const char *text)
{
  g_autoptr (GPtrArray) pieces = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  const gsize length = strlen (text);

  g_ptr_array_add (pieces, g_bytes_new (text, length / 2));
  g_ptr_array_add (pieces, g_bytes_new (text + length / 2, length - length / 2));
  afp_store_put (store, key_of (n), pieces);
}

static void
assert_has (AfpStore *store, guint n, const char *text)
{
  g_autoptr (GBytes) bytes = afp_store_get (store, key_of (n));

  ck_assert_msg ((bytes != NULL) == (text != NULL), "entry %u", n);
  if (text)
    ck_assert (g_bytes_get_size (bytes) == strlen (text) &&
               memcmp (g_bytes_get_data (bytes, NULL), text, strlen (text)) == 0);
}

START_TEST (what_is_put_is_there)
{
  g_autoptr (AfpStore) store = afp_store_new (folder, 1 << 20);
  g_autoptr (AfpStore) other = afp_store_new (folder, 1 << 20);
  assert_has (store, 1, NULL);
  put (store, 1, "one");
  put (store, 2, "");
  put (other, 3, "three");
  assert_has (other, 1, "one");
  assert_has (other, 2, "");
  assert_has (store, 3, "three");
  put (other, 1, "uno");
  assert_has (store, 1, "uno");
  ck_assert_ptr_null (afp_store_take_problem (store));
  g_autoptr (GBytes) bytes = afp_store_get (store, key_of (3));
  ck_assert_uint_eq (GPOINTER_TO_SIZE (g_bytes_get_data (bytes, NULL)) % 64, 0);
}
END_TEST

/* Every single byte of a file counts, and so does every length. */
START_TEST (damage_is_absence)
{
  g_autoptr (AfpStore) store = afp_store_new (folder, 1 << 20);
  g_autofree char *path = path_of (7), *contents = NULL;
  gsize size;

  put (store, 7, "some contents");
  ck_assert (g_file_get_contents (path, &contents, &size, NULL));
  ck_assert_uint_eq (size, AFP_STORE_HEADER + 13);
  for (gsize i = 0; i < 2 * size; i++) {
    g_autofree char *copy = g_memdup2 (contents, size);
    copy[i % size] ^= 1 << (i % 8);
    ck_assert (
        g_file_set_contents (path, copy, i < size ? (gssize) size : (gssize) (i - size), NULL));
    assert_has (store, 7, NULL);
    ck_assert (!g_file_test (path, G_FILE_TEST_EXISTS));
  }
  put (store, 7, "anew");
  assert_has (store, 7, "anew");
}
END_TEST

START_TEST (garbage)
{
  g_autoptr (AfpStore) store = afp_store_new (folder, 1 << 20);
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  g_autofree char *path = path_of (7), *parent = g_path_get_dirname (path);

  ck_assert_int_eq (g_mkdir (parent, 0777), 0);
  for (guint i = 0; i < 300; i++) {
    guint8 bytes[300];
    const gssize n = g_rand_int_range (rand, 0, sizeof bytes);
    for (gssize b = 0; b < n; b++)
      bytes[b] = (guint8) g_rand_int (rand);
    memcpy (bytes, "AFPSTOR1", 8);
    ck_assert (g_file_set_contents (path, (const char *) bytes, n, NULL));
    assert_has (store, 7, NULL);
  }
  /* Another's entry under the name of this one; a folder; a link to nowhere. */
  g_autofree char *other = path_of (256 + 7);
  put (store, 256 + 7, "other");
  ck_assert_int_eq (g_rename (other, path), 0);
  assert_has (store, 7, NULL);
  ck_assert_int_eq (g_mkdir (path, 0777), 0);
  assert_has (store, 7, NULL);
  ck_assert_int_eq (g_rmdir (path), 0);
  ck_assert_int_eq (symlink ("/nowhere", path), 0);
  assert_has (store, 7, NULL);
}
END_TEST

/* The first to go is what was not asked for longest. */
START_TEST (least_recently_used)
{
  g_autofree char *text = g_strnfill (1000, 'x');
  g_autoptr (AfpStore) store = afp_store_new (folder, 10 * (AFP_STORE_HEADER + 1000));

  for (guint i = 0; i < 10; i++) {
    g_autofree char *path = path_of (i);
    const struct utimbuf old = { 1000 + i, 1000 + i };
    put (store, i, text);
    ck_assert_int_eq (utime (path, &old), 0);
  }
  assert_has (store, 0, text);
  put (store, 10, text);
  for (guint i = 0; i <= 10; i++)
    assert_has (store, i, i == 1 || i == 2 ? NULL : text);
  /* What does not fit by itself is not kept, and makes no room for itself. */
  g_autofree char *large = g_strnfill (20000, 'y');
  put (store, 11, large);
  assert_has (store, 11, NULL);
  assert_has (store, 10, text);
  ck_assert_ptr_null (afp_store_take_problem (store));
}
END_TEST

/* What was left behind by a process that was killed goes in the end; files of others stay. */
START_TEST (leftovers)
{
  g_autoptr (AfpStore) store = afp_store_new (folder, 1 << 20);
  g_autofree char *path = path_of (7), *parent = g_path_get_dirname (path);
  g_autofree char *dead = g_strconcat (path, ".1.0.unfinished", NULL);
  g_autofree char *young = g_strconcat (path, ".2.0.unfinished", NULL);
  g_autofree char *foreign = g_build_filename (parent, "thesis.tex", NULL);
  const struct utimbuf old = { 1000, 1000 };

  ck_assert_int_eq (g_mkdir (parent, 0777), 0);
  ck_assert (g_file_set_contents (dead, "x", 1, NULL) && utime (dead, &old) == 0);
  ck_assert (g_file_set_contents (foreign, "x", 1, NULL) && utime (foreign, &old) == 0);
  ck_assert (g_file_set_contents (young, "x", 1, NULL));
  put (store, 9, "nine");
  ck_assert (!g_file_test (dead, G_FILE_TEST_EXISTS));
  ck_assert (g_file_test (young, G_FILE_TEST_EXISTS) && g_file_test (foreign, G_FILE_TEST_EXISTS));
}
END_TEST

/* One warning; the run goes on. */
START_TEST (no_folder)
{
  g_autofree char *file = g_build_filename (folder, "file", NULL);
  g_autofree char *inside = g_build_filename (file, "cache", NULL);
  ck_assert (g_file_set_contents (file, "x", 1, NULL));
  g_autoptr (AfpStore) store = afp_store_new (inside, 1 << 20);

  assert_has (store, 1, NULL);
  put (store, 1, "one");
  put (store, 2, "two");
  assert_has (store, 1, NULL);
  g_autofree char *problem = afp_store_take_problem (store);
  ck_assert (problem && strstr (problem, inside) && strstr (problem, "not kept for later"));
  ck_assert_ptr_null (afp_store_take_problem (store));
}
END_TEST

START_TEST (no_place)
{
  g_autofree char *parent = NULL;
  g_autofree char *path = path_of (5);
  g_autoptr (AfpStore) store = afp_store_new (folder, 1 << 20);

  /* A folder stands where the file is to come: it cannot be renamed into its place. */
  parent = g_build_filename (path, "inside", NULL);
  ck_assert_int_eq (g_mkdir_with_parents (parent, 0777), 0);
  put (store, 5, "five");
  g_autofree char *problem = afp_store_take_problem (store);
  ck_assert (problem && strstr (problem, path));
  assert_has (store, 5, NULL);
}
END_TEST

static gpointer
use_store (gpointer data)
{
  g_autoptr (AfpStore) store = afp_store_new (folder, 20000);
  const guint first = GPOINTER_TO_UINT (data);

  for (guint i = 0; i < 200; i++) {
    char key[AFP_STORE_KEY + 1], text[100];
    g_snprintf (key, sizeof key, "%02x%062x", (first + i) % 7, (first + i) % 31);
    g_snprintf (text, sizeof text, "contents of %.64s", key);
    g_autoptr (GBytes) bytes = afp_store_get (store, key);
    if (bytes && (g_bytes_get_size (bytes) != strlen (text) ||
                  memcmp (g_bytes_get_data (bytes, NULL), text, strlen (text)) != 0))
      return g_strdup ("wrong contents");
    g_autoptr (GPtrArray) pieces = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
    g_ptr_array_add (pieces, g_bytes_new (text, strlen (text)));
    afp_store_put (store, key, pieces);
  }
  return afp_store_take_problem (store);
}

/* Each with a store of its own, as processes have. */
START_TEST (several_at_once)
{
  GThread *threads[4];

  for (guint i = 0; i < 4; i++)
    threads[i] = g_thread_new ("user", use_store, GUINT_TO_POINTER (i * 3));
  for (guint i = 0; i < 4; i++) {
    g_autofree char *problem = g_thread_join (threads[i]);
    ck_assert_msg (!problem, "%s", problem);
  }
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("store");
  tcase_add_checked_fixture (tcase, set_up, tear_down);
  tcase_add_test (tcase, what_is_put_is_there);
  tcase_add_test (tcase, damage_is_absence);
  tcase_add_test (tcase, garbage);
  tcase_add_test (tcase, least_recently_used);
  tcase_add_test (tcase, leftovers);
  tcase_add_test (tcase, no_folder);
  tcase_add_test (tcase, no_place);
  tcase_add_test (tcase, several_at_once);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("store", cases, G_N_ELEMENTS (cases));
}
