/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images-test.h"

#include "gunzip.h"

static GByteArray *
pack (gsize n)
{
  g_autofree guint8 *data = g_malloc (MAX (n, 1));

  for (gsize i = 0; i < n; i++)
    data[i] = (guint8) (i * i >> 3);
  return gzip_bytes (data, n);
}

static GBytes *
unpack (GByteArray *bytes, GError **error)
{
  g_autoptr (GBytes) file = g_bytes_new (bytes->data, bytes->len);

  return afp_gunzip (file, "the file 'x'", error);
}

static const gsize sizes[] = { 0, 1, 1000, 100000 };

START_TEST (what_was_packed_comes_back)
{
  g_autoptr (GByteArray) bytes = pack (sizes[_i]);
  g_autoptr (GBytes) back = unpack (bytes, NULL);

  ck_assert_ptr_nonnull (back);
  ck_assert_uint_eq (g_bytes_get_size (back), sizes[_i]);
  const guint8 *data = g_bytes_get_data (back, NULL);
  for (gsize i = 0; i < sizes[_i]; i++)
    ck_assert_uint_eq (data[i], (guint8) (i * i >> 3));
}
END_TEST

START_TEST (gzip_is_seen_by_its_first_bytes)
{
  g_autoptr (GByteArray) bytes = pack (3);
  g_autoptr (GBytes) good = g_bytes_new (bytes->data, bytes->len);
  g_autoptr (GBytes) other = g_bytes_new ("\x1f", 1);

  ck_assert (afp_gunzip_sniff (good));
  ck_assert (!afp_gunzip_sniff (other));
}
END_TEST

/* From the end: the size, the checksum, the packed bytes. */
static const struct {
  guint at;
  const char *words[2];
} damages[] = {
  { 1, { "cannot unpack the file 'x'", "claims more bytes than can be packed" } },
  { 4, { "another number of bytes", "damaged or cut off" } },
  { 5, { "its checksum differs", "get the file again" } },
  { 8, { "its checksum differs", "get the file again" } },
};

START_TEST (damage_is_found)
{
  g_autoptr (GByteArray) bytes = pack (1000);
  GError *error = NULL;

  bytes->data[bytes->len - damages[_i].at] ^= 0xff;
  if (damages[_i].at == 4) /* fewer than there are */
    bytes->data[bytes->len - 4] = 0;
  ck_assert_ptr_null (unpack (bytes, &error));
  assert_error (error, AFP_ERROR_FORMAT, damages[_i].words[0], damages[_i].words[1]);
}
END_TEST

START_TEST (a_file_that_is_cut_off_is_refused)
{
  g_autoptr (GByteArray) bytes = pack (1000);

  for (guint n = 0; n < bytes->len; n++) {
    GError *error = NULL;
    g_autoptr (GBytes) file = g_bytes_new (bytes->data, n);
    ck_assert_ptr_null (afp_gunzip (file, "the file 'x'", &error));
    assert_error (error, AFP_ERROR_FORMAT, "cannot unpack the file 'x': ");
  }
}
END_TEST

START_TEST (a_second_piece_is_refused)
{
  g_autoptr (GByteArray) bytes = pack (1000);
  g_autoptr (GByteArray) more = pack (1000);
  GError *error = NULL;

  g_byte_array_append (bytes, more->data, more->len);
  ck_assert_ptr_null (unpack (bytes, &error));
  assert_error (error, AFP_ERROR_FORMAT, "pack it in one piece");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, what_was_packed_comes_back, 0, G_N_ELEMENTS (sizes));
  tcase_add_test (tcase, gzip_is_seen_by_its_first_bytes);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, damage_is_found, 0, G_N_ELEMENTS (damages));
  tcase_add_test (tcase, a_file_that_is_cut_off_is_refused);
  tcase_add_test (tcase, a_second_piece_is_refused);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("gunzip", cases, G_N_ELEMENTS (cases));
}
