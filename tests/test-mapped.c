/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include <glib/gstdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE ((gsize) 1 << 20)

static char *path;

static void
setup (void)
{
  g_autofree char *content = g_malloc (SIZE);

  for (gsize i = 0; i < SIZE; i++)
    content[i] = (char) (i * 31 + i / 4096);
  const int fd = g_file_open_tmp ("afp-mapped-XXXXXX", &path, NULL);
  ck_assert_int_ge (fd, 0);
  close (fd);
  ck_assert (g_file_set_contents (path, content, (gssize) SIZE, NULL));
}

static void
teardown (void)
{
  g_unlink (path);
  g_free (path);
}

static GBytes *
map (void)
{
  g_autoptr (GError) error = NULL;
  GBytes *bytes = afp_mapped_new (path, &error);

  ck_assert_msg (bytes != NULL, "%s", error ? error->message : "?");
  return bytes;
}

/* Looks at every page. */
static void
check_content (GBytes *bytes, gsize offset)
{
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);

  for (gsize i = 0; i < size; i += 1000)
    ck_assert_int_eq (data[i], (char) ((i + offset) * 31 + (i + offset) / 4096));
}

START_TEST (test_content)
{
  g_autoptr (GBytes) bytes = map ();

  ck_assert_uint_eq (g_bytes_get_size (bytes), SIZE);
  check_content (bytes, 0);
}
END_TEST

START_TEST (test_forgotten_pages_come_back)
{
  g_autoptr (GBytes) bytes = map ();
  static const gsize slices[][2] = {
    { 0, SIZE }, { 5, 3 }, { 4095, 2 }, { 300000, 200001 }, { SIZE - 1, 1 }
  };

  for (guint i = 0; i < G_N_ELEMENTS (slices); i++) {
    g_autoptr (GBytes) slice = g_bytes_new_from_bytes (bytes, slices[i][0], slices[i][1]);
    ck_assert (afp_mapped_contains (slice));
    check_content (bytes, 0);
    afp_mapped_forget (slice);
    check_content (slice, slices[i][0]);
    check_content (bytes, 0);
  }
}
END_TEST

/* Bytes of the mapping that are resident in this process, by /proc/self/smaps; G_MAXSIZE: unknown. */
static gsize
get_resident (GBytes *bytes)
{
  g_autofree char *text = NULL;
  g_autofree char *start =
      g_strdup_printf ("%" G_GINTPTR_MODIFIER "x-", (gsize) g_bytes_get_data (bytes, NULL));

  if (!g_file_get_contents ("/proc/self/smaps", &text, NULL, NULL))
    return G_MAXSIZE;
  const char *line = strstr (text, start), *rss = line ? strstr (line, "Rss:") : NULL;
  return rss ? g_ascii_strtoull (rss + strlen ("Rss:"), NULL, 10) * 1024 : G_MAXSIZE;
}

START_TEST (test_pages_go)
{
  g_autoptr (GBytes) bytes = map ();

  check_content (bytes, 0);
  const gsize before = get_resident (bytes);
  if (before == G_MAXSIZE)
    return; /* no /proc here */
  ck_assert_uint_eq (before, SIZE);
  g_autoptr (GBytes) half = g_bytes_new_from_bytes (bytes, SIZE / 2, SIZE / 2);
  afp_mapped_forget (half);
  ck_assert_uint_le (get_resident (bytes), SIZE / 2);
  afp_mapped_forget (bytes);
  ck_assert_uint_eq (get_resident (bytes), 0);
}
END_TEST

START_TEST (test_slice_outlives_the_whole)
{
  GBytes *bytes = map ();
  g_autoptr (GBytes) slice = g_bytes_new_from_bytes (bytes, 100, 5000);

  g_bytes_unref (bytes);
  ck_assert (afp_mapped_contains (slice));
  afp_mapped_forget (slice);
  check_content (slice, 100);
}
END_TEST

/* --- what is no slice --- */

/* Memory of our own would lose what is in it. */
START_TEST (test_own_memory_stays)
{
  G_GNUC_UNUSED g_autoptr (GBytes) file = map ();
  g_autofree char *content = g_malloc (SIZE);
  memset (content, 7, SIZE);
  g_autoptr (GBytes) bytes = g_bytes_new (content, SIZE);

  ck_assert (!afp_mapped_contains (bytes));
  afp_mapped_forget (bytes);
  ck_assert_mem_eq (g_bytes_get_data (bytes, NULL), content, SIZE);
}
END_TEST

START_TEST (test_foreign_mapping_stays)
{
  char *data = mmap (NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  ck_assert_ptr_ne (data, MAP_FAILED);
  memset (data, 9, SIZE);
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, SIZE);
  ck_assert (!afp_mapped_contains (bytes));
  afp_mapped_forget (bytes);
  ck_assert_int_eq (data[SIZE / 2], 9);
  munmap (data, SIZE);
}
END_TEST

START_TEST (test_no_bytes)
{
  g_autoptr (GBytes) file = map ();
  g_autoptr (GBytes) none = g_bytes_new_from_bytes (file, 10, 0), empty = g_bytes_new (NULL, 0);

  ck_assert (!afp_mapped_contains (empty));
  afp_mapped_forget (none);
  afp_mapped_forget (empty);
}
END_TEST

START_TEST (test_empty_file)
{
  ck_assert (g_file_set_contents (path, "", 0, NULL));
  g_autoptr (GBytes) bytes = map ();

  ck_assert_uint_eq (g_bytes_get_size (bytes), 0);
  ck_assert (!afp_mapped_contains (bytes));
  afp_mapped_forget (bytes);
}
END_TEST

START_TEST (test_missing_file)
{
  g_autoptr (GError) error = NULL;

  g_unlink (path);
  ck_assert_ptr_null (afp_mapped_new (path, &error));
  ck_assert_ptr_nonnull (strstr (error->message, path));
  ck_assert_ptr_null (afp_mapped_new ("/", NULL));
}
END_TEST

static TCase *
make_slices (void)
{
  TCase *tcase = tcase_create ("slices");
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_test (tcase, test_content);
  tcase_add_test (tcase, test_forgotten_pages_come_back);
  tcase_add_test (tcase, test_pages_go);
  tcase_add_test (tcase, test_slice_outlives_the_whole);
  return tcase;
}

static TCase *
make_others (void)
{
  TCase *tcase = tcase_create ("others");
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_test (tcase, test_own_memory_stays);
  tcase_add_test (tcase, test_foreign_mapping_stays);
  tcase_add_test (tcase, test_no_bytes);
  tcase_add_test (tcase, test_empty_file);
  tcase_add_test (tcase, test_missing_file);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_slices, make_others };
  return run_suite ("mapped", cases, G_N_ELEMENTS (cases));
}
