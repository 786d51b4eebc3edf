/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/afp-file.h"

#include <unistd.h>

/* 1: text that shrinks; 2: bytes that do not; 3: so regular that it would shrink too much. */
static GBytes *
make_extra (guint kind)
{
  static const guint sizes[] = { 0, 5000, 300, 100000 };
  guint8 *bytes = g_malloc0 (sizes[kind]);
  guint32 state = 1;

  for (guint i = 0; kind < 3 && i < sizes[kind]; i++) {
    state = state * 1664525 + 1013904223;
    bytes[i] = kind == 1 ? "abcdefgh"[state >> 29] : (guint8) (state >> 24);
  }
  return g_bytes_new_take (bytes, sizes[kind]);
}

static AfpFile *
make_file (void)
{
  AfpFile *file = afp_file_new ();

  for (guint kind = 1; kind <= 3; kind++) {
    g_autoptr (GBytes) bytes = make_extra (kind);
    g_autofree char *name = g_strdup_printf ("extra.%u", kind);
    ck_assert (afp_file_add_extra (file, name, bytes, NULL));
  }
  return file;
}

/* The file on the disk, with what fills its holes. */
static char *
put_h5 (AfpFile *file, const char *name)
{
  char *path = in_folder (name);
  GError *error = NULL;
  AfpOutput *output = afp_output_new (path, TRUE, &error);
  guint64 bytes;

  ck_assert (afp_file_write (file, afp_output_get_path (output), &error));
  ck_assert (afp_file_write_extras (file, output, &error));
  ck_assert (afp_output_sync (output, &error) && afp_output_publish (output, &bytes, &error));
  afp_output_free (output);
  return path;
}

static GBytes *
map (const char *path)
{
  char *data;
  gsize n;

  ck_assert (g_file_get_contents (path, &data, &n, NULL));
  return g_bytes_new_take (data, n);
}

START_TEST (there_and_back)
{
  g_autoptr (AfpFile) file = make_file ();
  g_autofree char *path = put_h5 (file, "x.h5");
  GError *error = NULL;
  g_autoptr (AfpFile) read = afp_file_read (path, &error);
  g_autoptr (GBytes) bytes = map (path);

  ck_assert_msg (read != NULL, "%s", error ? error->message : "no error");
  ck_assert_uint_eq (read->extras->len, 3);
  ck_assert_uint_eq (afp_file_get_extras_bytes (read), afp_file_get_extras_bytes (file));
  ck_assert_uint_ge (file->extras_cost, afp_file_get_extras_bytes (file));
  ck_assert_uint_lt (afp_file_extra (read, 0)->stored, 5000);
  ck_assert_uint_eq (afp_file_extra (read, 1)->stored, 300);
  ck_assert_uint_eq (afp_file_extra (read, 2)->stored, 100000);
  for (guint kind = 1; kind <= 3; kind++) {
    g_autofree char *name = g_strdup_printf ("extra.%u", kind);
    g_autoptr (GBytes) expected = make_extra (kind);
    g_autoptr (GBytes) found = afp_file_read_extra (read, bytes, name, &error);
    ck_assert_msg (found != NULL, "%s", error ? error->message : "no error");
    ck_assert (g_bytes_equal (found, expected));
  }
  ck_assert_ptr_null (afp_file_read_extra (read, bytes, "extra.4", &error));
  assert_error (error, AFP_ERROR_FORMAT, "none of this name");
}
END_TEST

START_TEST (none)
{
  g_autoptr (AfpFile) file = afp_file_new ();
  g_autofree char *path = put_h5 (file, "x.h5");
  g_autoptr (AfpFile) read = afp_file_read (path, NULL);
  g_autoptr (GBytes) bytes = map (path);

  ck_assert_uint_eq (read->extras->len, 0);
  ck_assert_uint_eq (file->extras_cost, 0);
  ck_assert_ptr_null (
      g_strstr_len (g_bytes_get_data (bytes, NULL), (gssize) g_bytes_get_size (bytes), "extras"));
}
END_TEST

/* A file of the time before. */
START_TEST (old_file)
{
  g_autofree char *path =
      g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "tests/data/file-1.h5", NULL);
  g_autoptr (AfpFile) read = afp_file_read (path, NULL);

  ck_assert_ptr_nonnull (read);
  ck_assert_uint_eq (read->extras->len, 0);
}
END_TEST

START_TEST (what_cannot_be_stored)
{
  g_autoptr (AfpFile) file = afp_file_new ();
  g_autoptr (GBytes) good = make_extra (2), nothing = g_bytes_new (NULL, 0);
  GError *error = NULL;

  ck_assert (!afp_file_add_extra (file, "", good, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'' with 300 bytes");
  ck_assert (!afp_file_add_extra (file, "../x", good, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'../x'", "letters, digits");
  ck_assert (!afp_file_add_extra (file, "x", nothing, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'x' with 0 bytes", "of 1 to 268435456 bytes");
  for (guint i = 0; i < AFP_EXTRA_MAX_COUNT; i++) {
    g_autofree char *name = g_strdup_printf ("n%u", i);
    ck_assert (afp_file_add_extra (file, name, good, NULL));
  }
  ck_assert (!afp_file_add_extra (file, "more", good, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'more'", "up to 64");
  ck_assert_uint_eq (file->extras->len, AFP_EXTRA_MAX_COUNT);
}
END_TEST

static void
damage (AfpFile *file, int i)
{
  AfpFileExtra *row = afp_file_extra (file, 1);
  guint64 *const sizes[] = { &row->bytes, &row->stored };

  switch (i) {
  case 0:
    g_free (row->name);
    row->name = g_strdup ("extra.1");
    break;
  case 1:
    g_free (row->name);
    row->name = g_strdup ("a/b");
    break;
  case 2:
  case 3:
    *sizes[i - 2] = 0;
    break;
  case 4:
    row->bytes = AFP_EXTRA_MAX_BYTES + 1;
    break;
  case 5:
    row->stored = row->bytes + 1;
    break;
  case 6:
    row->bytes = 256 * row->stored;
    break;
  case 7:
    file->extras_offset = 1u << 20;
    break;
  default:
    file->extras_offset = G_MAXUINT64;
  }
}

static const char *const damages[] = {
  "extra \"extra.1\" is there twice",
  "extra \"a/b\" has a name that cannot be",
  "has sizes that cannot be: 0 bytes",
  "has sizes that cannot be: 300 bytes, stored in 0",
  "has sizes that cannot be: 268435457 bytes",
  "has sizes that cannot be: 300 bytes, stored in 301",
  "has sizes that cannot be: 76800 bytes, stored in 300",
  "the file is cut off: the extras need",
  "the file is cut off",
};

START_TEST (damage_is_found)
{
  g_autoptr (AfpFile) file = make_file ();
  GError *error = NULL;

  file->extras_offset = 500;
  ck_assert (afp_file_check (file, "x.h5", 1 << 20, NULL));
  damage (file, _i);
  ck_assert (!afp_file_check (file, "x.h5", 1 << 20, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'x.h5' is damaged: ", damages[_i]);
}
END_TEST

START_TEST (too_many)
{
  g_autoptr (AfpFile) file = make_file ();
  GError *error = NULL;

  for (guint i = 0; i < AFP_EXTRA_MAX_COUNT; i++) {
    const AfpFileExtra extra = { g_strdup_printf ("n%u", i), 1, 1, 0, NULL };
    g_array_append_val (file->extras, extra);
  }
  ck_assert (!afp_file_check (file, "x.h5", 1 << 20, &error));
  assert_error (error, AFP_ERROR_FORMAT, "67 extras; the limit is 64");
}
END_TEST

/* Every stored byte counts. */
START_TEST (changed_bytes)
{
  g_autoptr (AfpFile) file = make_file ();
  g_autofree char *path = put_h5 (file, "x.h5");
  g_autofree char *data = NULL;
  gsize n;
  GError *error = NULL;

  ck_assert (g_file_get_contents (path, &data, &n, NULL));
  for (guint64 i = 0; i < afp_file_extra (file, 0)->stored; i += 7) {
    data[file->extras_offset + i] ^= 4;
    g_autoptr (GBytes) changed = g_bytes_new_static (data, n);
    ck_assert_ptr_null (afp_file_read_extra (file, changed, "extra.1", &error));
    assert_error (error, AFP_ERROR_FORMAT, "is damaged", "checksum");
    g_autoptr (GBytes) other = afp_file_read_extra (file, changed, "extra.2", NULL);
    ck_assert_ptr_nonnull (other);
    data[file->extras_offset + i] ^= 4;
  }
}
END_TEST

/* The checksum is right, but it is no frame of the size that is said. */
START_TEST (wrong_frames)
{
  g_autoptr (AfpFile) file = make_file ();
  g_autofree char *path = put_h5 (file, "x.h5");
  g_autofree char *data = NULL;
  AfpFileExtra *row = afp_file_extra (file, 0);
  gsize n;
  GError *error = NULL;

  ck_assert (g_file_get_contents (path, &data, &n, NULL));
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, n);
  row->bytes--;
  ck_assert_ptr_null (afp_file_read_extra (file, bytes, "extra.1", &error));
  assert_error (error, AFP_ERROR_FORMAT, "do not inflate to their size");
  row->bytes++;
  for (guint64 i = 4; i < row->stored; i++)
    data[file->extras_offset + i] = (char) (i * 31);
  row->crc32 = afp_file_crc32 (data + file->extras_offset, row->stored);
  ck_assert_ptr_null (afp_file_read_extra (file, bytes, "extra.1", &error));
  assert_error (error, AFP_ERROR_FORMAT, "do not inflate");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = io_case ("afp-file-extras");
  tcase_add_test (tcase, there_and_back);
  tcase_add_test (tcase, none);
  tcase_add_test (tcase, old_file);
  tcase_add_test (tcase, what_cannot_be_stored);
  tcase_add_loop_test (tcase, damage_is_found, 0, G_N_ELEMENTS (damages));
  tcase_add_test (tcase, too_many);
  tcase_add_test (tcase, changed_bytes);
  tcase_add_test (tcase, wrong_frames);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("afp-file-extras", cases, G_N_ELEMENTS (cases));
}
