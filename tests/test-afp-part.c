/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/afp-part.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static JsonNode *
header (const char *pipeline)
{
  g_autofree char *text =
      g_strdup_printf ("{\"afpipe_journal\": 2, \"pipeline\": \"%s\"}", pipeline);

  return json_from_string (text, NULL);
}

static AfpPart *
open_part (const char *location)
{
  g_autoptr (JsonNode) node = header ("a ! b");
  GError *error = NULL;
  int leftover = 7;
  AfpPart *part = afp_part_new (location, node, &leftover, &error);

  ck_assert_msg (part != NULL, "%s", error ? error->message : "");
  ck_assert_int_eq (leftover, -1);
  return part;
}

static AfpPart *
open_fails (const char *location, GError **error)
{
  g_autoptr (JsonNode) node = header ("a ! b");

  return afp_part_new (location, node, NULL, error);
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

static AfpSpec *
make_spec (const char *name)
{
  const guint64 shape[] = { 3, 5 };

  return afp_spec_new (name, AFP_DTYPE_F16, 2, shape, NULL, NULL);
}

/* At most two planes. */
static void
end (AfpPart *part, const char *name, AfpFilePlane *planes, guint n)
{
  g_autoptr (AfpSpec) spec = make_spec (name);
  g_autofree char *recipe = g_strdup (n == 2   ? "weight=q/1{a,b}"
                                      : n == 1 ? "weight"
                                               : "weight=q/1");
  AfpJournalTensor tensor = { .spec = spec,
                              .recipe = recipe,
                              .planes = planes,
                              .n_planes = n,
                              .size = { .padding = 3, .rows = 13 } };
  GError *error = NULL;

  ck_assert_msg (afp_part_end_tensor (part, &tensor, &error), "%s", error ? error->message : "");
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
  end (part, "second", planes, 1);
  ck_assert (g_file_get_contents (journal, &text, NULL, NULL));
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  ck_assert_uint_eq (g_strv_length (lines), 4);
  ck_assert (g_str_has_prefix (lines[1], "{\"name\":\"first\","));
  ck_assert (g_str_has_prefix (lines[2], "{\"name\":\"second\","));
  ck_assert_uint_eq (afp_part_get_n_tensors (part), 2);
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
  g_autoptr (JsonNode) node = header ("a ! b");
  int leftover;
  gsize n;
  g_autoptr (AfpPart) part = afp_part_new (location, node, &leftover, NULL);

  ck_assert_ptr_nonnull (part);
  ck_assert_int_eq (leftover, 0);
  ck_assert (g_file_get_contents (old, &text, &n, NULL));
  ck_assert_uint_eq (n, 0);
}
END_TEST

START_TEST (two_cannot_write_at_once)
{
  g_autofree char *location = in_folder ("x.h5");
  g_autoptr (AfpPart) part = open_part (location);
  g_autoptr (AfpJournal) journal = NULL;
  g_autoptr (JsonNode) node = header ("a ! b");
  AfpFilePlane plane = add (part, 70000, 1);
  GError *error = NULL;

  end (part, "a", &plane, 1);
  ck_assert_ptr_null (open_fails (location, &error));
  assert_error (error, AFP_ERROR_IO, "x.h5.part'",
                "another run or stage is writing to the same location");
  ck_assert_ptr_null (afp_part_resume (location, node, NULL, &journal, &error));
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
  GError *error = NULL;

  ck_assert_ptr_null (open_fails (nowhere, &error));
  assert_error (error, AFP_ERROR_IO, "cannot write '", "no/x.h5.part': opening it: No such file");
  ck_assert_int_eq (symlink (target, part), 0);
  ck_assert_ptr_null (open_fails (location, &error));
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

/* --- going on ----------------------------------------------------------------------------------------------------- */

/* Three tensors of two planes each, as a killed run leaves them; one plane is shared. */
static void
leave_part (const char *location, gboolean keep)
{
  AfpPart *part = open_part (location);

  for (guint8 i = 0; i < 3; i++) {
    g_autofree char *name = g_strdup_printf ("t%u", i);
    AfpFilePlane planes[] = { add (part, 100, 9), add (part, 70000 + i, i) };
    end (part, name, planes, 2);
  }
  add (part, 50, 77); /* not finished */
  afp_part_set_keep (part, keep);
  afp_part_free (part);
}

static AfpPart *
go_on (const char *location, const char *pipeline, AfpJournal **journal, GError **error)
{
  g_autoptr (GPtrArray) planned = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_spec_unref);
  g_autoptr (JsonNode) node = header (pipeline);

  for (guint i = 0; i < 4; i++) {
    g_autofree char *name = g_strdup_printf ("t%u", i);
    g_ptr_array_add (planned, make_spec (name));
  }
  return afp_part_resume (location, node, planned, journal, error);
}

/* Goes on: with so many tensors. Then the rest is written, and the payload is that of a run that went through. */
static void
assert_goes_on (const char *location, guint n)
{
  g_autofree char *other = in_folder ("whole.h5"), *path = g_strconcat (location, ".part", NULL),
                  *other_path = g_strconcat (other, ".part", NULL), *first = NULL, *second = NULL;
  g_autoptr (AfpJournal) journal = NULL;
  GError *error = NULL;
  AfpPart *part = go_on (location, "a ! b", &journal, &error), *whole = open_part (other);
  gsize n_first, n_second;

  ck_assert_msg (part != NULL, "%s", error ? error->message : "");
  ck_assert_uint_eq (journal->tensors->len, n);
  ck_assert_uint_eq (afp_part_get_n_tensors (part), n);
  for (guint8 i = 0; i < 4; i++) {
    g_autofree char *name = g_strdup_printf ("t%u", i);
    for (guint k = i < n; k < 2; k++) {
      AfpPart *at = k == 0 ? part : whole;
      AfpFilePlane planes[] = { add (at, 100, 9), add (at, 70000 + i, i) };
      end (at, name, planes, 2);
    }
  }
  ck_assert_uint_eq (afp_part_get_bytes (part), afp_part_get_bytes (whole));
  afp_part_set_keep (whole, TRUE);
  afp_part_free (part); /* it stays by itself */
  afp_part_free (whole);
  ck_assert (g_file_get_contents (path, &first, &n_first, NULL));
  ck_assert (g_file_get_contents (other_path, &second, &n_second, NULL));
  ck_assert_uint_eq (n_first, n_second);
  ck_assert_mem_eq (first, second, n_first);
  g_free (first);
  g_free (second);
  path = (g_free (path), g_strconcat (location, ".part.journal", NULL));
  other_path = (g_free (other_path), g_strconcat (other, ".part.journal", NULL));
  ck_assert (g_file_get_contents (path, &first, NULL, NULL));
  ck_assert (g_file_get_contents (other_path, &second, NULL, NULL));
  ck_assert_str_eq (first, second);
}

START_TEST (it_goes_on)
{
  g_autofree char *location = in_folder ("x.h5");

  leave_part (location, TRUE);
  assert_goes_on (location, 3);
}
END_TEST

START_TEST (without_a_part_it_begins)
{
  g_autofree char *location = in_folder ("x.h5");

  leave_part (location, FALSE);
  assert_goes_on (location, 0);
}
END_TEST

/* Damage of all kinds: as much as is whole before it is taken. @where: from the end of the file if negative */
static void
damage (const char *path, gssize where, const char *bytes, gssize n)
{
  g_autoptr (GByteArray) array = g_byte_array_new ();
  g_autofree char *text = NULL;
  gsize length;

  ck_assert (g_file_get_contents (path, &text, &length, NULL));
  g_byte_array_append (array, (const guint8 *) text, (guint) length);
  const gsize at = where < 0 ? length - (gsize) -where : (gsize) where;
  if (bytes)
    memcpy (array->data + at, bytes, (gsize) n);
  else
    g_byte_array_set_size (array, (guint) at);
  ck_assert (g_file_set_contents (path, (const char *) array->data, array->len, NULL));
}

START_TEST (damaged_parts)
{
  static const struct {
    gboolean journal;
    gssize where;
    const char *bytes;
    guint n;
  } cases[] = {
    { TRUE, -1, NULL, 2 },    /* the last line is torn: its end */
    { TRUE, -30, NULL, 2 },   /* more of it */
    { TRUE, -2, "x", 2 },     /* its checksum */
    { TRUE, -60, "#", 2 },    /* a byte of it */
    { TRUE, 3, "x", 0 },      /* the header */
    { TRUE, 0, NULL, 0 },     /* all of it */
    { FALSE, -51, NULL, 2 },  /* the payload is shorter: by a byte of the last tensor */
    { FALSE, 0, NULL, 0 },    /* all of it */
    { FALSE, 5, "x", 0 },     /* a byte of a plane that all share */
    { FALSE, 127, "x", 0 },   /* a byte of the zeros between two planes */
    { FALSE, 70200, "x", 1 }, /* a byte of the second tensor */
    { FALSE, -60, "x", 2 },   /* a byte of the third */
    { FALSE, -10, "x", 2 },   /* its end */
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *name = g_strdup_printf ("x%u.h5", i), *location = in_folder (name);
    g_autofree char *path =
        g_strconcat (location, cases[i].journal ? ".part.journal" : ".part", NULL);

    leave_part (location, TRUE);
    damage (path, cases[i].where, cases[i].bytes, 1);
    assert_goes_on (location, cases[i].n);
    g_unlink (location);
    g_autofree char *whole = in_folder ("whole.h5.part"),
                    *journal = in_folder ("whole.h5.part.journal");
    g_unlink (whole);
    g_unlink (journal);
  }
}
END_TEST

START_TEST (another_run_is_refused)
{
  g_autofree char *location = in_folder ("x.h5"), *path = in_folder ("x.h5.part"), *before = NULL,
                  *after = NULL;
  g_autoptr (AfpJournal) journal = NULL;
  GError *error = NULL;
  gsize n, m;

  leave_part (location, TRUE);
  ck_assert (g_file_get_contents (path, &before, &n, NULL));
  ck_assert_ptr_null (go_on (location, "a ! c", &journal, &error));
  assert_error (error, AFP_ERROR_IO, "cannot go on with '", "x.h5.part' and its 3 tensors",
                "the pipeline has changed: it was \"a ! b\", now it is \"a ! c\"",
                "restore that, or begin anew without resume=true");
  ck_assert_ptr_null (journal);
  ck_assert (g_file_get_contents (path, &after, &m, NULL));
  ck_assert_uint_eq (n, m);
  assert_goes_on (location, 3);
}
END_TEST

START_TEST (what_was_planned_otherwise_is_not_taken)
{
  g_autofree char *location = in_folder ("x.h5");
  g_autoptr (GPtrArray) planned = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_spec_unref);
  g_autoptr (AfpJournal) journal = NULL;
  g_autoptr (JsonNode) node = header ("a ! b");

  leave_part (location, TRUE);
  g_ptr_array_add (planned, make_spec ("t0"));
  g_ptr_array_add (planned, make_spec ("t2"));
  g_autoptr (AfpPart) part = afp_part_resume (location, node, planned, &journal, NULL);
  ck_assert_ptr_nonnull (part);
  ck_assert_uint_eq (journal->tensors->len, 1);
}
END_TEST

/* Between the renaming of the file and the end of the part. */
START_TEST (the_file_that_came_of_it)
{
  g_autofree char *location = in_folder ("x.h5"), *file = put_file ("made", "content", 7);
  AfpPart *part = open_part (location);

  end (part, "z", NULL, 0);
  ck_assert (!afp_part_is_result (location));
  ck_assert (afp_part_set_result (part, file, NULL));
  ck_assert (!afp_part_is_result (location));
  ck_assert_int_eq (g_rename (file, location), 0);
  ck_assert (afp_part_is_result (location));
  afp_part_set_keep (part, TRUE);
  afp_part_free (part);
  ck_assert (afp_part_is_result (location));
  assert_goes_on (location, 0); /* that line is of no use any more */
  ck_assert (!afp_part_is_result (location));
}
END_TEST

START_TEST (another_file_is_not_the_result)
{
  g_autofree char *location = in_folder ("x.h5"), *file = put_file ("made", "content", 7);
  g_autoptr (AfpPart) part = open_part (location);
  GError *error = NULL;

  ck_assert (afp_part_set_result (part, file, NULL));
  g_free (put_file ("x.h5", "content", 7));
  ck_assert (!afp_part_is_result (location));
  ck_assert (!afp_part_set_result (part, "/no/such", &error));
  assert_error (error, AFP_ERROR_IO, "/no/such", "asking for its size");
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

static TCase *
resume_case (void)
{
  TCase *tcase = io_case ("resume");
  tcase_add_test (tcase, it_goes_on);
  tcase_add_test (tcase, without_a_part_it_begins);
  tcase_add_test (tcase, damaged_parts);
  tcase_add_test (tcase, another_run_is_refused);
  tcase_add_test (tcase, what_was_planned_otherwise_is_not_taken);
  tcase_add_test (tcase, the_file_that_came_of_it);
  tcase_add_test (tcase, another_file_is_not_the_result);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { part_case, trouble_case, resume_case };

  return run_suite ("afp-part", cases, G_N_ELEMENTS (cases));
}
