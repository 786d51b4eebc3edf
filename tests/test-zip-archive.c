/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "numpy-test.h"

#include "io/zip-archive.h"

#define WHAT "the zip archive 'a.zip'"
#define BAD WHAT " is damaged: "

/* Takes the bytes. */
static GBytes *
to_bytes (GByteArray *array)
{
  return g_byte_array_free_to_bytes (array);
}

static GArray *
list (GByteArray *bytes, GError **error)
{
  g_autofree guint8 *copy = g_memdup2 (bytes->data, bytes->len);
  g_autoptr (GBytes) map = g_bytes_new (copy, bytes->len);
  return afp_zip_list (WHAT, map, error);
}

#define assert_no_list(bytes, ...)                              \
  do {                                                          \
    GError *error_ = NULL;                                      \
    ck_assert_ptr_null (list ((bytes), &error_));               \
    assert_error (error_, AFP_ERROR_FORMAT, WHAT, __VA_ARGS__); \
  } while (0)

static char *
read_golden (const char *name, gsize *n)
{
  g_autofree char *path = golden_path (name);
  char *data;
  ck_assert (g_file_get_contents (path, &data, n, NULL));
  return data;
}

static const AfpZipMember *
get_member (GArray *members, guint i)
{
  return &g_array_index (members, AfpZipMember, i);
}

static GByteArray *
two_members (void)
{
  TestZip zip;
  zip_init (&zip);
  zip_add (&zip, "first", FALSE, "plain text", 10);
  zip_add (&zip, "second", TRUE, "text text text text text text", 29);
  return zip_end (&zip);
}

START_TEST (two)
{
  g_autoptr (GBytes) map = to_bytes (two_members ());
  GError *error = NULL;
  g_autoptr (GArray) members = afp_zip_list (WHAT, map, &error);
  ck_assert_msg (members != NULL, "%s", error ? error->message : "?");
  ck_assert_uint_eq (members->len, 2);
  ck_assert_str_eq (get_member (members, 0)->name, "first");
  ck_assert_uint_eq (get_member (members, 0)->method, AFP_ZIP_STORED);
  ck_assert_uint_eq (get_member (members, 1)->method, AFP_ZIP_DEFLATED);
  ck_assert_uint_eq (get_member (members, 1)->bytes, 29);
  g_autoptr (GBytes) first = afp_zip_read (WHAT, map, get_member (members, 0), TRUE, &error);
  g_autoptr (GBytes) second = afp_zip_read (WHAT, map, get_member (members, 1), FALSE, &error);
  ck_assert_mem_eq (g_bytes_get_data (first, NULL), "plain text", 10);
  ck_assert_mem_eq (g_bytes_get_data (second, NULL), "text text text text text text", 29);
  /* A stored one is not copied. */
  ck_assert_ptr_eq (g_bytes_get_data (first, NULL),
                    (const guint8 *) g_bytes_get_data (map, NULL) + 30 + 5);
}
END_TEST

START_TEST (peeks)
{
  g_autoptr (GBytes) map = to_bytes (two_members ());
  g_autoptr (GArray) members = afp_zip_list (WHAT, map, NULL);
  for (guint i = 0; i < 2; i++)
    for (gsize n = 0; n < 40; n++) {
      g_autoptr (GBytes) head = afp_zip_peek (WHAT, map, get_member (members, i), n, NULL);
      ck_assert_uint_eq (g_bytes_get_size (head), MIN (n, i == 0 ? 10 : 29));
      if (n > 0)
        ck_assert_int_eq (*(const char *) g_bytes_get_data (head, NULL), i == 0 ? 'p' : 't');
    }
}
END_TEST

START_TEST (no_members)
{
  TestZip zip;
  zip_init (&zip);
  g_autoptr (GByteArray) bytes = zip_end (&zip);
  g_autoptr (GArray) members = list (bytes, NULL);
  ck_assert_uint_eq (members->len, 0);
}
END_TEST

START_TEST (comments)
{
  g_autoptr (GByteArray) bytes = two_members ();
  g_autofree char *comment = g_strnfill (65535, 'c');
  bytes->data[bytes->len - 2] = 0xff;
  bytes->data[bytes->len - 1] = 0xff;
  put_text (bytes, comment);
  g_autoptr (GArray) members = list (bytes, NULL);
  ck_assert_uint_eq (members->len, 2);
  g_byte_array_set_size (bytes, bytes->len - 1);
  assert_no_list (bytes, "no directory at its end; it is cut off");
}
END_TEST

/* A megabyte of zeros takes a kilobyte. */
START_TEST (large_members)
{
  const gsize n = 1 << 20;
  g_autofree guint8 *zeros = g_malloc0 (n);
  TestZip zip;
  zip_init (&zip);
  zip_add (&zip, "zeros", TRUE, zeros, n);
  g_autoptr (GBytes) map = to_bytes (zip_end (&zip));
  g_autoptr (GArray) members = afp_zip_list (WHAT, map, NULL);
  ck_assert_uint_lt (get_member (members, 0)->packed, n / 900);
  g_autoptr (GBytes) all = afp_zip_read (WHAT, map, get_member (members, 0), FALSE, NULL);
  ck_assert_uint_eq (g_bytes_get_size (all), n);
  ck_assert_mem_eq (g_bytes_get_data (all, NULL), zeros, n);
}
END_TEST

START_TEST (wide_numbers)
{
  gsize n;
  g_autofree char *data = read_golden ("numpy-zip64.npz", &n);
  g_autoptr (GBytes) map = g_bytes_new (data, n);
  g_autoptr (GArray) members = afp_zip_list (WHAT, map, NULL);
  ck_assert_uint_eq (members->len, 2);
  ck_assert_str_eq (get_member (members, 1)->name, "fortran.npy");
  ck_assert_uint_eq (get_member (members, 1)->bytes, 128 + 48);
}
END_TEST

/* --- archives that cannot be --- */

START_TEST (truncations)
{
  g_autoptr (GByteArray) bytes = two_members ();
  for (guint n = bytes->len; n-- > 0;) {
    g_byte_array_set_size (bytes, n);
    assert_no_list (bytes, WHAT);
  }
}
END_TEST

/* Where the parts of two_members() are. */
#define LOCAL_1 0
#define LOCAL_2 (30 + 5 + 10)

static guint
central_of (GByteArray *bytes)
{
  guint32 begin;
  memcpy (&begin, bytes->data + bytes->len - 22 + 16, 4);
  return GUINT32_FROM_LE (begin);
}

START_TEST (damaged_fields)
{
  /* from: 0 the file, 1 the first entry of the directory, 2 the second, 3 the end */
  static const struct {
    guint from, at, size;
    guint64 value;
    const char *word;
  } rows[] = {
    { 0, LOCAL_1, 1, 'Q', "member 'first' does not begin where the directory says" },
    { 0, LOCAL_1 + 8, 2, 8, "'first' has another name or method where it lies" },
    { 0, LOCAL_1 + 26, 2, 4, "'first' has another name or method" },
    { 0, LOCAL_1 + 30, 1, 'F', "'first' has another name or method" },
    { 0, LOCAL_1 + 26, 2, 0xffff, "'first' ends beyond the members" },
    { 0, LOCAL_2 + 28, 2, 0xffff, "'second' ends beyond the members" },
    { 0, LOCAL_1 + 28, 2, 5, "'second' overlaps another one" },
    { 1, 0, 1, 'Q', "entry 0 of its directory is none" },
    { 1, 10, 2, 12, "'first' has another name or method" },
    { 1, 20, 4, 11, "stored with another size than it has" },
    { 1, 24, 4, 9, "stored with another size than it has" },
    { 1, 20, 4, 0xffffffff, "no size of 64 bits" },
    { 1, 28, 2, 0xffff, "the name of entry 0" },
    { 1, 46, 1, 0, "the name of entry 0" },
    { 1, 30, 2, 1, "entry 1 of its directory is none" },
    { 1, 42, 4, 0x7fffffff, "'first' begins beyond the members" },
    { 1, 42, 4, LOCAL_2, "'first' has another name or method" },
    { 1, 42, 4, 1, "does not begin where the directory says" },
    { 2, 20, 4, 0x7fffffff, "'second' ends beyond the members" },
    { 2, 24, 4, 0x7fffffff, "'second' claims more bytes than can be packed into so few" },
    { 2, 0, 1, 'Q', "entry 1 of its directory is none" },
    { 2, 32, 2, 1, "the name of entry 1" },
    { 3, 10, 2, 1, "follow the 1 members of its directory" },
    { 3, 10, 2, 3, "a directory of 3 members" },
    { 3, 10, 2, 0xffff, "a directory of 65535 members" },
    { 3, 12, 4, 0x7fffffff, "a directory of 2 members in 2147483647 bytes" },
    { 3, 16, 4, 0xffffffff, "at byte 4294967295" },
    { 3, 16, 4, 0, "entry 0 of its directory is none" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GByteArray) bytes = two_members ();
    const guint central = central_of (bytes);
    const guint from[] = { 0, central, central + 46 + 5, bytes->len - 22 };
    for (guint b = 0; b < rows[i].size; b++)
      bytes->data[from[rows[i].from] + rows[i].at + b] = (guint8) (rows[i].value >> 8 * b);
    assert_no_list (bytes, BAD, rows[i].word);
  }
}
END_TEST

START_TEST (volumes)
{
  g_autoptr (GByteArray) bytes = two_members ();
  bytes->data[bytes->len - 22 + 4] = 1;
  assert_no_list (bytes, "one of several volumes");
}
END_TEST

START_TEST (damaged_wide_numbers)
{
  gsize n;
  g_autofree char *data = read_golden ("numpy-zip64.npz", &n);
  /* The end is 22 bytes, the locator before it 20, the wide end before that 56. */
  const struct {
    gsize at;
    const char *word;
  } rows[] = { { n - 22 - 20 + 8 + 1, "zip64 end record is not at byte" },
               { n - 22 - 20 + 8 + 7, "zip64 end record is not at byte" },
               { n - 22 - 20 - 56 + 16, "one of several volumes" },
               { n - 22 - 20 - 56 + 32 + 7, "a directory of" },
               { n - 22 - 20 - 56 + 40 + 7, "a directory of" },
               { n - 22 - 20 - 56 + 48 + 7, "a directory of" } };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GByteArray) bytes = g_byte_array_new ();
    g_byte_array_append (bytes, (const guint8 *) data, (guint) n);
    bytes->data[rows[i].at] ^= 0x55;
    assert_no_list (bytes, rows[i].word);
  }
  for (gsize cut = 0; cut < n; cut++) {
    g_autoptr (GByteArray) bytes = g_byte_array_new ();
    g_byte_array_append (bytes, (const guint8 *) data, (guint) cut);
    assert_no_list (bytes, WHAT);
  }
}
END_TEST

START_TEST (names_that_occur_twice)
{
  TestZip zip;
  zip_init (&zip);
  zip_add (&zip, "same", FALSE, "a", 1);
  zip_add (&zip, "same", FALSE, "b", 1);
  g_autoptr (GByteArray) bytes = zip_end (&zip);
  assert_no_list (bytes, BAD "member 'same' occurs twice");
}
END_TEST

/* Two entries for the same bytes: how a small archive unpacks to an endless one. */
START_TEST (members_that_share_bytes)
{
  TestZip zip;
  zip_init (&zip);
  zip_add (&zip, "same", FALSE, "a", 1);
  g_autofree guint8 *entry = g_memdup2 (zip.central->data, zip.central->len);
  g_byte_array_append (zip.central, entry, 46 + 4);
  zip.central->data[zip.central->len - 1] = 'f';
  zip.n = 2;
  g_autoptr (GByteArray) bytes = zip_end (&zip);
  assert_no_list (bytes, BAD, "overlaps another one");
}
END_TEST

/* The headers say @bytes and @crc of what is "aaaa" 25 times, the packed bytes cut by @cut and followed by @extra zeros. */
static void
assert_no_read (guint64 bytes, guint32 crc, guint cut, guint extra, const char *word)
{
  g_autofree char *text = g_strnfill (100, 'a');
  g_autoptr (GByteArray) packed = deflate_bytes (text, 100);
  TestZip zip;
  GError *error = NULL;
  for (guint i = 0; i < extra; i++)
    put_number (packed, 0, 1);
  zip_init (&zip);
  zip_add_raw (&zip, "m", 8, packed->data, packed->len - cut, bytes, crc);
  g_autoptr (GBytes) map = to_bytes (zip_end (&zip));
  g_autoptr (GArray) members = afp_zip_list (WHAT, map, &error);
  ck_assert_msg (members != NULL, "%s", error ? error->message : "?");
  ck_assert_ptr_null (afp_zip_read (WHAT, map, get_member (members, 0), FALSE, &error));
  assert_error (error, AFP_ERROR_FORMAT, BAD "member 'm'", word);
}

START_TEST (damaged_data)
{
  const guint32 crc = 0xaf707a64; /* of 100 times 'a' */
  g_autofree char *text = g_strnfill (100, 'a');
  ck_assert_uint_eq (crc32_z (0, (const guint8 *) text, 100), crc);
  assert_no_read (99, crc, 0, 0, "unpacks to more than 99 bytes, not to 99");
  assert_no_read (1, crc, 0, 0, "unpacks to more than 1 bytes");
  assert_no_read (0, crc, 0, 0, "unpacks to more than 0 bytes");
  assert_no_read (101, crc, 0, 0, "unpacks to 100 bytes, not to 101");
  assert_no_read (100, crc, 1, 0, "unpacks to");
  assert_no_read (100, crc, 0, 1, "unpacks to");
  assert_no_read (100, crc + 1, 0, 0, "has the checksum af707a64, af707a65 is expected");
}
END_TEST

START_TEST (damaged_streams)
{
  static const guint8 streams[][4] = { { 7, 0, 0, 0 }, { 0xff, 0xff, 0xff, 0xff }, { 0 } };
  TestZip zip;
  GError *error = NULL;
  zip_init (&zip);
  for (guint i = 0; i < G_N_ELEMENTS (streams); i++) {
    g_autofree char *name = g_strdup_printf ("m%u", i);
    zip_add_raw (&zip, name, 8, streams[i], 4, 100, 0);
  }
  zip_add_raw (&zip, "none", 8, "", 0, 0, 0);
  g_autoptr (GBytes) map = to_bytes (zip_end (&zip));
  g_autoptr (GArray) members = afp_zip_list (WHAT, map, &error);
  for (guint i = 0; i < members->len; i++) {
    ck_assert_ptr_null (afp_zip_read (WHAT, map, get_member (members, i), FALSE, &error));
    assert_error (error, AFP_ERROR_FORMAT, BAD, "unpacks to");
    if (i == 3)
      continue;
    ck_assert_ptr_null (afp_zip_peek (WHAT, map, get_member (members, i), 10, &error));
    assert_error (error, AFP_ERROR_FORMAT, BAD, "cannot be unpacked");
  }
}
END_TEST

START_TEST (stored_checksums)
{
  TestZip zip;
  GError *error = NULL;
  zip_init (&zip);
  zip_add_raw (&zip, "m", 0, "abc", 3, 3, 5);
  g_autoptr (GBytes) map = to_bytes (zip_end (&zip));
  g_autoptr (GArray) members = afp_zip_list (WHAT, map, &error);
  g_autoptr (GBytes) unchecked = afp_zip_read (WHAT, map, get_member (members, 0), FALSE, NULL);
  ck_assert_ptr_nonnull (unchecked);
  ck_assert_ptr_null (afp_zip_read (WHAT, map, get_member (members, 0), TRUE, &error));
  assert_error (error, AFP_ERROR_FORMAT, BAD "member 'm' has the checksum 352441c2, 00000005");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_test (tcase, two);
  tcase_add_test (tcase, peeks);
  tcase_add_test (tcase, no_members);
  tcase_add_test (tcase, comments);
  tcase_add_test (tcase, large_members);
  tcase_add_test (tcase, wide_numbers);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_test (tcase, truncations);
  tcase_add_test (tcase, damaged_fields);
  tcase_add_test (tcase, volumes);
  tcase_add_test (tcase, damaged_wide_numbers);
  tcase_add_test (tcase, names_that_occur_twice);
  tcase_add_test (tcase, members_that_share_bytes);
  tcase_add_test (tcase, damaged_data);
  tcase_add_test (tcase, damaged_streams);
  tcase_add_test (tcase, stored_checksums);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("zip-archive", cases, G_N_ELEMENTS (cases));
}
