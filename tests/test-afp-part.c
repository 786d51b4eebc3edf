/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/afp-file.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static AfpPart *
open_part (const char *location)
{
  gboolean leftover;
  GError *error = NULL;
  AfpPart *part = afp_part_new (location, "a ! b", NULL, &leftover, &error);

  ck_assert_msg (part != NULL, "%s", error ? error->message : "");
  ck_assert (!leftover);
  return part;
}

static AfpFilePlane
add (AfpPart *part, gsize n, guint8 first)
{
  guint8 *data = g_malloc (MAX (n, 1));
  AfpFilePlane plane = { .role = "weight", .bits = 8 };
  GError *error = NULL;

  for (gsize i = 0; i < n; i++)
    data[i] = (guint8) (first + i * i);
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, n);
  ck_assert_msg (afp_part_add_plane (part, bytes, &plane, &error), "%s",
                 error ? error->message : "");
  ck_assert_uint_eq (plane.bytes, n);
  ck_assert_uint_eq (plane.crc32, afp_file_crc32 (data, n));
  return plane;
}

static void
end (AfpPart *part, const char *name, const AfpFilePlane *planes, guint n)
{
  const guint64 shape[] = { 3, 5 };
  g_autoptr (AfpSpec) spec =
      afp_spec_new (name, AFP_DTYPE_F16, 2, shape, NULL, n == 2 ? "other" : NULL);
  GError *error = NULL;

  ck_assert_msg (afp_part_end_tensor (part, spec, "weight", planes, n, &error), "%s",
                 error ? error->message : "");
}

START_TEST (planes_are_aligned)
{
  g_autofree char *location = in_folder ("x.h5");
  g_autoptr (AfpPart) part = open_part (location);

  ck_assert_uint_eq (add (part, 3, 1).offset, 0);
  ck_assert_uint_eq (add (part, 8, 2).offset, 8);
  ck_assert_uint_eq (add (part, 0, 0).offset, 0);
  ck_assert_uint_eq (add (part, 65535, 3).offset, 16);
  ck_assert_uint_eq (add (part, 65536, 4).offset, (16 + 65535 + 63) / 64 * 64);
  ck_assert_uint_eq (afp_part_get_bytes (part), (16 + 65535 + 63) / 64 * 64 + 65536);
}
END_TEST

START_TEST (equal_planes_are_stored_once)
{
  g_autofree char *location = in_folder ("x.h5");
  g_autoptr (AfpPart) part = open_part (location);
  const gsize large = (3 << 20) + 5;

  const AfpFilePlane a = add (part, 100, 1), b = add (part, large, 2), c = add (part, 100, 3);
  const guint64 bytes = afp_part_get_bytes (part);
  ck_assert_uint_eq (add (part, 100, 1).offset, a.offset);
  ck_assert_uint_eq (add (part, large, 2).offset, b.offset);
  ck_assert_uint_eq (add (part, 100, 3).offset, c.offset);
  ck_assert_uint_eq (afp_part_get_bytes (part), bytes);
}
END_TEST

/* Two texts with the same CRC-32: their checksums agree, their bytes do not. */
START_TEST (equal_checksums_are_not_enough)
{
  g_autofree char *location = in_folder ("x.h5");
  g_autoptr (AfpPart) part = open_part (location);
  g_autoptr (GBytes) one = g_bytes_new_static ("plumless", 8),
                     two = g_bytes_new_static ("buckeroo", 8);
  AfpFilePlane a, b;

  ck_assert (afp_part_add_plane (part, one, &a, NULL));
  ck_assert (afp_part_add_plane (part, two, &b, NULL));
  ck_assert_uint_eq (a.crc32, b.crc32);
  ck_assert_uint_ne (a.offset, b.offset);
}
END_TEST

START_TEST (the_journal_tells_what_is_there)
{
  g_autofree char *location = in_folder ("x.h5"), *journal = in_folder ("x.h5.part.journal"),
                  *text = NULL;
  g_autofree char *payload_path = in_folder ("x.h5.part"), *payload = NULL;
  g_autoptr (AfpPart) part = open_part (location);
  gsize n;

  AfpFilePlane planes[] = { add (part, 5, 1), add (part, 70000, 2) };
  end (part, "first", planes, 2);
  planes[0] = add (part, 5, 3);
  end (part, "second \"\n", planes, 1);
  ck_assert (g_file_get_contents (journal, &text, NULL, NULL));
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  ck_assert_uint_eq (g_strv_length (lines), 4);
  ck_assert_str_eq (lines[0], "{\"afpipe_journal\":1,\"pipeline\":\"a ! b\",\"fingerprint\":null}");
  g_autofree char *expected = g_strdup_printf (
      "{\"name\":\"first\",\"dtype\":\"f16\",\"shape\":\"3x5\",\"view\":\"out:1\",\"alias_of\":\"other\",\"recipe\":\"weight\","
      "\"planes\":[{\"role\":\"weight\",\"bits\":8,\"offset\":0,\"bytes\":5,\"crc32\":%u},"
      "{\"role\":\"weight\",\"bits\":8,\"offset\":64,\"bytes\":70000,\"crc32\":%u}]}",
      (guint) add (part, 5, 1).crc32, planes[1].crc32);
  ck_assert_str_eq (lines[1], expected);
  ck_assert (g_str_has_prefix (lines[2], "{\"name\":\"second \\\"\\n\""));
  /* All of it is in the file when the journal says so. */
  ck_assert (g_file_get_contents (payload_path, &payload, &n, NULL));
  ck_assert_uint_eq (n, 64 + 70000 + 5);
  ck_assert_uint_eq (afp_file_crc32 (payload + 64, 70000), planes[1].crc32);
}
END_TEST

START_TEST (the_copy_is_exact)
{
  g_autofree char *location = in_folder ("x.h5"), *target = in_folder ("y"), *bytes = NULL;
  g_autoptr (AfpPart) part = open_part (location);
  g_autoptr (AfpOutput) output = afp_output_new (target, FALSE, NULL);
  const AfpFilePlane small = add (part, 7, 1), large = add (part, 9 << 20, 2),
                     last = add (part, 11, 3);
  gsize n;

  ck_assert (afp_part_copy (part, output, 128, NULL));
  ck_assert (afp_output_publish (output, NULL, NULL));
  ck_assert (g_file_get_contents (target, &bytes, &n, NULL));
  ck_assert_uint_eq (n, 128 + afp_part_get_bytes (part));
  ck_assert_uint_eq (afp_file_crc32 (bytes + 128 + small.offset, 7), small.crc32);
  ck_assert_uint_eq (afp_file_crc32 (bytes + 128 + large.offset, 9 << 20), large.crc32);
  ck_assert_uint_eq (afp_file_crc32 (bytes + 128 + last.offset, 11), last.crc32);
}
END_TEST

START_TEST (nothing_is_left)
{
  g_autofree char *location = in_folder ("x.h5");
  AfpPart *part = open_part (location);

  add (part, 100000, 1);
  afp_part_free (part);
  ck_assert_uint_eq (count_files (), 0);
}
END_TEST

START_TEST (a_leftover_is_told_and_overwritten)
{
  g_autofree char *location = in_folder ("x.h5"), *old = put_file ("x.h5.part", "old bytes", 9),
                  *text = NULL;
  gboolean leftover;
  gsize n;
  g_autoptr (AfpPart) part = afp_part_new (location, NULL, NULL, &leftover, NULL);

  ck_assert_ptr_nonnull (part);
  ck_assert (leftover);
  ck_assert (g_file_get_contents (old, &text, &n, NULL));
  ck_assert_uint_eq (n, 0);
}
END_TEST

START_TEST (two_cannot_write_at_once)
{
  g_autofree char *location = in_folder ("x.h5");
  g_autoptr (AfpPart) part = open_part (location);
  const AfpFilePlane plane = add (part, 70000, 1);
  gboolean leftover;
  GError *error = NULL;

  end (part, "a", &plane, 1);
  ck_assert_ptr_null (afp_part_new (location, NULL, NULL, &leftover, &error));
  assert_error (error, AFP_ERROR_IO, "x.h5.part'",
                "another run or stage is writing to the same location");
  ck_assert_uint_eq (add (part, 70000, 1).offset, 0); /* it was not touched */
}
END_TEST

START_TEST (impossible_places)
{
  g_autofree char *nowhere = in_folder ("no/x.h5"), *location = in_folder ("x.h5"),
                  *part = in_folder ("x.h5.part");
  g_autofree char *target = put_file ("target", "keep", 4);
  gboolean leftover;
  GError *error = NULL;

  ck_assert_ptr_null (afp_part_new (nowhere, NULL, NULL, &leftover, &error));
  assert_error (error, AFP_ERROR_IO, "cannot write '", "no/x.h5.part': opening it: No such file");
  ck_assert_int_eq (symlink (target, part), 0);
  ck_assert_ptr_null (afp_part_new (location, NULL, NULL, &leftover, &error));
  assert_error (error, AFP_ERROR_IO, "x.h5.part': opening it");
}
END_TEST

/* A limit on the size of files stands for a full disk. */
START_TEST (a_full_disk)
{
  const struct rlimit limit = { 100000, RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };
  g_autofree char *location = in_folder ("x.h5");
  AfpPart *part = open_part (location);
  g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc0 (200000), 200000);
  AfpFilePlane plane;
  GError *error = NULL;

  add (part, 24, 1);
  signal (SIGXFSZ, SIG_IGN);
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
  const gboolean ok = afp_part_add_plane (part, bytes, &plane, &error);
  setrlimit (RLIMIT_FSIZE, &none);
  ck_assert (!ok);
  assert_error (error, AFP_ERROR_IO, "cannot write '",
                "x.h5.part': ", " bytes at offset 100000: File too large");
  afp_part_free (part);
  ck_assert_uint_eq (count_files (), 0);
}
END_TEST

START_TEST (a_part_that_shrinks_is_noticed)
{
  g_autofree char *location = in_folder ("x.h5"), *path = in_folder ("x.h5.part"),
                  *target = in_folder ("y");
  g_autoptr (AfpPart) part = open_part (location);
  g_autoptr (AfpOutput) output = afp_output_new (target, FALSE, NULL);
  GError *error = NULL;

  add (part, 100000, 1);
  ck_assert_int_eq (truncate (path, 5), 0);
  ck_assert (!afp_part_copy (part, output, 0, &error));
  assert_error (error, AFP_ERROR_IO, "cannot read '", "x.h5.part' back: 99995 bytes at offset 5",
                "become shorter");
}
END_TEST

static TCase *
part_case (void)
{
  TCase *tcase = io_case ("part");
  tcase_add_test (tcase, planes_are_aligned);
  tcase_add_test (tcase, equal_planes_are_stored_once);
  tcase_add_test (tcase, equal_checksums_are_not_enough);
  tcase_add_test (tcase, the_journal_tells_what_is_there);
  tcase_add_test (tcase, the_copy_is_exact);
  tcase_add_test (tcase, nothing_is_left);
  return tcase;
}

static TCase *
trouble_case (void)
{
  TCase *tcase = io_case ("trouble");
  tcase_add_test (tcase, a_leftover_is_told_and_overwritten);
  tcase_add_test (tcase, two_cannot_write_at_once);
  tcase_add_test (tcase, impossible_places);
  tcase_add_test (tcase, a_full_disk);
  tcase_add_test (tcase, a_part_that_shrinks_is_noticed);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { part_case, trouble_case };

  return run_suite ("afp-part", cases, G_N_ELEMENTS (cases));
}
