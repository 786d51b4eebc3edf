/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/afp-file.h"

/* Two tensors: "a" of two planes, its alias "b" with the same rows; one raw tensor "c". */
static AfpFile *
make_file (void)
{
  AfpFile *file = afp_file_new ();
  AfpFileTensor tensors[] = {
    { g_strdup ("a"), g_strdup ("f32"), g_strdup ("4x4"), g_strdup ("in:1"), -1, 0, 0, 2 },
    { g_strdup ("b"), g_strdup ("f32"), g_strdup ("4x4"), g_strdup ("in:1"), 0, 0, 0, 2 },
    { g_strdup ("c"), g_strdup ("i16"), g_strdup ("scalar"), g_strdup ("out:1"), -1, 1, 2, 1 },
  };
  const AfpFilePlane planes[] = {
    { "weight/p", 4, 0, 9, 1 },
    { "weight/q", 8, 16, 5, 2 },
    { "weight", 16, 24, 2, 3 },
  };

  g_array_append_vals (file->tensors, tensors, G_N_ELEMENTS (tensors));
  g_array_append_vals (file->planes, planes, G_N_ELEMENTS (planes));
  g_ptr_array_add (file->recipes, g_strdup ("weight=toy/1{p,q}"));
  g_ptr_array_add (file->recipes, g_strdup ("weight"));
  file->payload_bytes = 26;
  file->payload_offset = 1024;
  return file;
}

static void
set_text (char **text, const char *value)
{
  g_free (*text);
  *text = g_strdup (value);
}

static char *
put_h5 (AfpFile *file, const char *name)
{
  char *path = in_folder (name);
  GError *error = NULL;

  ck_assert_msg (afp_file_write (file, path, &error), "%s", error ? error->message : "");
  return path;
}

/* --- check -------------------------------------------------------------------------------------------------------- */

START_TEST (a_sound_file_passes)
{
  g_autoptr (AfpFile) file = make_file ();
  GError *error = NULL;

  ck_assert_msg (afp_file_check (file, "x.h5", 1050, &error), "%s", error ? error->message : "");
  g_autoptr (AfpSpec) spec = afp_file_make_spec (file, 1, NULL);
  ck_assert_str_eq (afp_spec_get_alias_of (spec), "a");
  ck_assert (afp_spec_get_view (spec)->input_first);
  g_autoptr (AfpSpec) scalar = afp_file_make_spec (file, 2, NULL);
  ck_assert_uint_eq (afp_spec_get_rank (scalar), 0);
}
END_TEST

/* Each number breaks another rule. FALSE: @which is not one of those of the rows of /tensors. */
static gboolean
damage_tensors (AfpFile *file, int which)
{
  AfpFileTensor *a = afp_file_tensor (file, 0), *b = afp_file_tensor (file, 1),
                *c = afp_file_tensor (file, 2);

  switch (which) {
  case 0:
    set_text (&a->name, "");
    break;
  case 1:
    set_text (&a->name, "\xff");
    break;
  case 2:
    set_text (&b->name, "a");
    break;
  case 3:
    set_text (&a->dtype, "f31");
    break;
  case 4:
    set_text (&a->shape, "4x");
    break;
  case 5:
    set_text (&a->shape, "-4x4");
    break;
  case 6:
    set_text (&a->shape, "4294967296x4294967296x4294967296");
    break;
  case 7:
    set_text (&a->shape, "99999999999999999999");
    break;
  case 8:
    set_text (&a->view, "in:2");
    break;
  case 9:
    set_text (&a->view, "");
    break;
  case 10:
    b->alias_of = 3;
    break;
  case 11:
    b->alias_of = -2;
    break;
  case 12:
    b->alias_of = 1;
    break;
  case 13:
    c->recipe = 2;
    break;
  case 14:
    c->first_plane = 3;
    break;
  case 15:
    c->first_plane = G_MAXUINT32;
    break;
  case 16:
    c->n_planes = G_MAXUINT32;
    break;
  case 17:
    c->first_plane = 1, c->n_planes = 2;
    break;
  case 28:
    set_text (&a->dtype, "f\xff");
    break;
  case 29:
    set_text (&a->shape, "4x\xff");
    break;
  case 30:
    set_text (&a->view, "\xc3\xa9");
    break;
  default:
    return FALSE;
  }
  return TRUE;
}

static void
damage (AfpFile *file, int which)
{
  AfpFilePlane *p = afp_file_plane (file, 0), *q = afp_file_plane (file, 1),
               *r = afp_file_plane (file, 2);

  if (damage_tensors (file, which))
    return;
  switch (which) {
  case 18:
    set_text ((char **) &file->recipes->pdata[1], "weight=toy/1{");
    break;
  case 19:
    r->offset = 32;
    break;
  case 20:
    r->bytes = G_MAXUINT64;
    break;
  case 21:
    r->offset = G_MAXUINT64 - 7;
    break;
  case 22:
    q->offset = 12;
    break;
  case 23:
    p->bytes = 17;
    break;
  case 24:
    q->offset = 24, q->bytes = 2;
    break;
  case 25:
    file->payload_offset = 1000;
    break;
  case 26:
    file->payload_bytes = 27;
    break;
  case 27:
    file->payload_bytes = G_MAXUINT64;
    break;
  case 31:
    q->role = "weight/\xff";
    break;
  case 32:
    set_text ((char **) &file->recipes->pdata[1], "weight=toy/1(\xe9)");
    break;
  default:
    file->payload_offset = G_MAXUINT64 - 63;
    break;
  }
}

static const char *const damages[] = {
  "tensor 0 has no name",
  "tensor 0 has a name that is not UTF-8",
  "two tensors have the name 'a'",
  "tensor 'a': unknown dtype 'f31'",
  "tensor 'a': shape '4x' is damaged",
  "tensor 'a': shape '-4x4' is damaged",
  "is damaged or too large",
  "is damaged or too large",
  "tensor 'a': view 'in:2' is none of an array 4x4",
  "tensor 'a': view ''",
  "tensor 'b': alias of tensor 3, of 3",
  "tensor 'b': alias of tensor -2, of 3",
  "tensor 'b': alias of tensor 1, of 3",
  "tensor 'c': recipe 2, of 2",
  "tensor 'c': planes 3 and 1 more, of 3",
  "tensor 'c': planes 4294967295 and 1 more, of 3",
  "tensor 'c': planes 2 and 4294967295 more, of 3",
  "tensor 'c': 2 planes, but its recipe \"weight\" has 1",
  "recipe 1 of 2 is damaged: \"weight=toy/1{\"",
  "plane 2 (weight) lies outside of the payload: 2 bytes at offset 32, of 26",
  "plane 2 (weight) lies outside of the payload",
  "plane 2 (weight) lies outside of the payload",
  "plane 1 (weight/q) starts at offset 12, no multiple of 8",
  "planes weight/p (17 bytes at offset 0) and weight/q (5 bytes at offset 16) overlap",
  "bytes at offset 24) overlap", /* the same place, but another checksum */
  "the payload starts at offset 1000, no multiple of 64",
  "the file is cut off: the payload needs 27 bytes at offset 1024, the file has 1050",
  "the file is cut off",
  "the dtype of tensor 0 holds more than ASCII: \"f\\377\"",
  "the shape of tensor 0 holds more than ASCII: \"4x\\377\"",
  "the view of tensor 0 holds more than ASCII: \"\\303\\251\"",
  "the role of plane 1 holds more than ASCII: \"weight/\\377\"",
  "recipe 1 holds more than ASCII: \"weight=toy/1(\\351)\"",
  "the file is cut off",
};

START_TEST (damage_is_found)
{
  g_autoptr (AfpFile) file = make_file ();
  GError *error = NULL;

  damage (file, _i);
  ck_assert (!afp_file_check (file, "x.h5", 1050, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'x.h5' is damaged: ", damages[_i]);
}
END_TEST

START_TEST (the_same_place_may_be_named_twice)
{
  g_autoptr (AfpFile) file = make_file ();
  AfpFilePlane *q = afp_file_plane (file, 1);

  *q = *afp_file_plane (file, 0);
  q->role = "weight/q";
  ck_assert (afp_file_check (file, "x.h5", 1050, NULL));
  q->bytes = 0; /* nothing overlaps with nothing */
  ck_assert (afp_file_check (file, "x.h5", 1050, NULL));
}
END_TEST

START_TEST (checksums_are_zlib_s)
{
  ck_assert_uint_eq (afp_file_crc32 ("123456789", 9), 0xcbf43926);
  ck_assert_uint_eq (afp_file_crc32 ("", 0), 0);
}
END_TEST

/* --- write and read ----------------------------------------------------------------------------------------------- */

START_TEST (tables_come_back)
{
  g_autoptr (AfpFile) file = make_file ();
  char *plugins[] = { (char *) "one 1.0; codecs a/1", (char *) "another", NULL };
  GError *error = NULL;

  file->pipeline = g_strdup ("load ! toy ! write # \xc3\xa9");
  file->tool_version = g_strdup ("afpipe 0");
  file->metrics = g_strdup ("");
  file->plugins = g_strdupv (plugins);
  g_autofree char *path = put_h5 (file, "a.h5");
  ck_assert_uint_eq (file->payload_offset % 64, 0);
  ck_assert (afp_file_is_ours (path));
  g_autoptr (AfpFile) back = afp_file_read (path, &error);
  ck_assert_msg (back != NULL, "%s", error ? error->message : "");
  ck_assert_uint_eq (back->payload_offset, file->payload_offset);
  ck_assert_uint_eq (back->payload_bytes, 26);
  ck_assert_uint_eq (back->tensors->len, 3);
  ck_assert_uint_eq (back->planes->len, 3);
  ck_assert_str_eq (back->pipeline, file->pipeline);
  ck_assert_str_eq (back->tool_version, "afpipe 0");
  ck_assert_ptr_null (back->fingerprint);
  ck_assert_str_eq (back->metrics, "");
  ck_assert (g_strv_equal ((const char *const *) back->plugins, (const char *const *) plugins));
  ck_assert_str_eq (back->recipes->pdata[0], "weight=toy/1{p,q}");
  for (guint i = 0; i < 3; i++) {
    const AfpFileTensor *x = afp_file_tensor (file, i), *y = afp_file_tensor (back, i);
    ck_assert_str_eq (x->name, y->name);
    ck_assert_str_eq (x->dtype, y->dtype);
    ck_assert_str_eq (x->shape, y->shape);
    ck_assert_str_eq (x->view, y->view);
    ck_assert_int_eq (x->alias_of, y->alias_of);
    ck_assert_uint_eq (x->recipe, y->recipe);
    ck_assert_uint_eq (x->first_plane, y->first_plane);
    ck_assert_uint_eq (x->n_planes, y->n_planes);
    const AfpFilePlane *p = afp_file_plane (file, i), *q = afp_file_plane (back, i);
    ck_assert_str_eq (p->role, q->role);
    ck_assert_uint_eq (p->bits, q->bits);
    ck_assert_uint_eq (p->offset, q->offset);
    ck_assert_uint_eq (p->bytes, q->bytes);
    ck_assert_uint_eq (p->crc32, q->crc32);
  }
}
END_TEST

START_TEST (an_empty_model_is_a_file_too)
{
  g_autoptr (AfpFile) file = afp_file_new ();
  g_autofree char *path = put_h5 (file, "empty.h5");
  GError *error = NULL;
  g_autoptr (AfpFile) back = afp_file_read (path, &error);

  ck_assert_msg (back != NULL, "%s", error ? error->message : "");
  ck_assert_uint_eq (back->tensors->len, 0);
  ck_assert_uint_eq (back->payload_bytes, 0);
}
END_TEST

START_TEST (the_payload_is_aligned_and_inside)
{
  static const guint64 sizes[] = { 1, 8, 300, 5000, 70000, G_GUINT64_CONSTANT (5) << 30 };
  g_autoptr (AfpFile) file = make_file ();
  GStatBuf info;

  file->payload_bytes = sizes[_i] + 24;
  g_autofree char *path = put_h5 (file, "size.h5");
  ck_assert_uint_ge (file->payload_offset, 64);
  ck_assert_uint_eq (file->payload_offset % 64, 0);
  ck_assert_int_eq (g_stat (path, &info), 0);
  ck_assert_uint_ge ((guint64) info.st_size, file->payload_offset + file->payload_bytes);
  ck_assert_uint_lt ((guint64) info.st_size - file->payload_bytes, 3000);
}
END_TEST

START_TEST (nothing_but_ours_is_ours)
{
  g_autofree char *none = in_folder ("none"), *text = put_file ("text", "afpipe_format", 14);
  g_autofree char *short_file = put_file ("short.h5", "\x89HDF\r\n\x1a\n\3", 9),
                  *other = in_folder ("other.h5");
  guint8 old[200] = "\x89HDF\r\n\x1a\n"; /* superblock 0 */

  memcpy (old + 100, "afpipe_format", 14);
  g_autofree char *old_style = put_file ("old.h5", old, sizeof old);
  afp_h5_lock ();
  H5Fclose (H5Fcreate (other, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
  afp_h5_unlock ();
  ck_assert (!afp_file_is_ours (none));
  ck_assert (!afp_file_is_ours (test_folder));
  ck_assert (!afp_file_is_ours (text));
  ck_assert (!afp_file_is_ours (short_file));
  ck_assert (!afp_file_is_ours (old_style));
  ck_assert (!afp_file_is_ours (other));
}
END_TEST

START_TEST (unreadable_files_say_why)
{
  g_autofree char *none = in_folder ("none.h5"), *text = put_file ("text.h5", "text", 4);
  guint8 fake[200] = "\x89HDF\r\n\x1a\n\3";
  GError *error = NULL;

  memcpy (fake + 100, "afpipe_format", 14);
  g_autofree char *wreck = put_file ("wreck.h5", fake, sizeof fake);
  ck_assert_ptr_null (afp_file_read (none, &error));
  assert_error (error, AFP_ERROR_IO, "cannot read '", "none.h5'", "No such file");
  ck_assert_ptr_null (afp_file_read (text, &error));
  assert_error (error, AFP_ERROR_FORMAT, "text.h5' is no file that afpipe wrote");
  ck_assert_ptr_null (afp_file_read (wreck, &error));
  assert_error (error, AFP_ERROR_FORMAT, "cannot read '", "wreck.h5'");
}
END_TEST

START_TEST (a_cut_file_is_refused)
{
  g_autoptr (AfpFile) file = make_file ();
  g_autofree char *path = put_h5 (file, "cut.h5"), *bytes = NULL;
  gsize n;
  GError *error = NULL;

  ck_assert (g_file_get_contents (path, &bytes, &n, NULL));
  for (gsize at = n - 1; at > 60; at -= MIN (at, 97)) {
    g_autofree char *cut = put_file ("shorter.h5", bytes, at);
    ck_assert_ptr_null (afp_file_read (cut, &error));
    assert_error (error, AFP_ERROR_FORMAT, "shorter.h5'");
  }
}
END_TEST

/* Changes the version or a text of a sound file. */
static void
put_attribute (const char *path, const char *name, hid_t type, hsize_t n, const void *value)
{
  afp_h5_lock ();
  hid_t file = H5Fopen (path, H5F_ACC_RDWR, H5P_DEFAULT), space = H5Screate_simple (1, &n, NULL);
  if (H5Aexists (file, name) > 0)
    H5Adelete (file, name);
  hid_t attribute = H5Acreate2 (file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  ck_assert_int_ge (attribute, 0);
  H5Awrite (attribute, type, value);
  H5Aclose (attribute);
  H5Sclose (space);
  H5Fclose (file);
  afp_h5_unlock ();
}

START_TEST (versions_and_attributes_are_checked)
{
  g_autoptr (AfpFile) file = make_file ();
  g_autofree char *path = put_h5 (file, "v.h5");
  const guint32 newer = 2, zero = 0, one[] = { 1, 1 };
  GError *error = NULL;

  put_attribute (path, "afpipe_format", H5T_STD_U32LE, 1, &newer);
  ck_assert_ptr_null (afp_file_read (path, &error));
  assert_error (error, AFP_ERROR_FORMAT, "has version 2", "reads versions up to 1",
                "install a newer afpipe");
  put_attribute (path, "afpipe_format", H5T_STD_U32LE, 1, &zero);
  ck_assert_ptr_null (afp_file_read (path, &error));
  assert_error (error, AFP_ERROR_FORMAT, "version 0 does not exist");
  put_attribute (path, "afpipe_format", H5T_STD_U32LE, 2, one);
  ck_assert_ptr_null (afp_file_read (path, &error));
  assert_error (error, AFP_ERROR_FORMAT, "afpipe_format: one integer is expected");
  put_attribute (path, "afpipe_format", H5T_STD_U32LE, 1, one);
  put_attribute (path, "pipeline", H5T_STD_U32LE, 1, one);
  ck_assert_ptr_null (afp_file_read (path, &error));
  assert_error (error, AFP_ERROR_FORMAT, "attribute pipeline: texts of fixed length");
  put_attribute (path, "pipeline", H5T_C_S1, 2, "ab");
  ck_assert_ptr_null (afp_file_read (path, &error));
  assert_error (error, AFP_ERROR_FORMAT, "attribute pipeline: its texts are too long or too many");
  hid_t variable = H5Tcopy (H5T_C_S1);
  const char *text = "x";
  H5Tset_size (variable, H5T_VARIABLE);
  put_attribute (path, "pipeline", variable, 1, &text);
  ck_assert_ptr_null (afp_file_read (path, &error));
  assert_error (error, AFP_ERROR_FORMAT, "attribute pipeline: texts of fixed length");
  H5Tclose (variable);
}
END_TEST

START_TEST (a_repacked_payload_is_refused)
{
  g_autoptr (AfpFile) file = make_file ();
  g_autofree char *path = put_h5 (file, "p.h5");
  const hsize_t n = 26;
  GError *error = NULL;

  afp_h5_lock ();
  hid_t h5 = H5Fopen (path, H5F_ACC_RDWR, H5P_DEFAULT), plist = H5Pcreate (H5P_DATASET_CREATE);
  hid_t space = H5Screate_simple (1, &n, NULL);
  H5Ldelete (h5, "payload", H5P_DEFAULT);
  H5Pset_chunk (plist, 1, &n);
  H5Dclose (H5Dcreate2 (h5, "payload", H5T_STD_U8LE, space, H5P_DEFAULT, plist, H5P_DEFAULT));
  H5Fclose (h5);
  afp_h5_unlock ();
  ck_assert_ptr_null (afp_file_read (path, &error));
  assert_error (error, AFP_ERROR_FORMAT, "/payload: bytes in one piece are expected", "repacked");
  H5Pclose (plist);
  H5Sclose (space);
}
END_TEST

START_TEST (what_cannot_be_written)
{
  g_autoptr (AfpFile) file = make_file ();
  g_autofree char *path = in_folder ("no/such/folder.h5");
  GError *error = NULL;

  ck_assert (!afp_file_write (file, path, &error));
  assert_error (error, AFP_ERROR_IO, "cannot write '", "folder.h5'", "No such file");
  ck_assert (!afp_file_write (file, test_folder, &error));
  assert_error (error, AFP_ERROR_IO, "Is a directory");
}
END_TEST

/*
 * Bytes of the metadata, changed in turn: an error or tables that fit together, never a crash. Not each one: every file is read by a
 * helper of its own, and tests/fuzz tries many more.
 */
#define CHANGE_STEP 13
START_TEST (changed_bytes_do_no_harm)
{
  g_autoptr (AfpFile) file = make_file ();
  g_autofree char *path = put_h5 (file, "f.h5"), *bytes = NULL;
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  gsize n;
  guint refused = 0;

  ck_assert (g_file_get_contents (path, &bytes, &n, NULL));
  for (gsize at = 0; at < file->payload_offset; at += CHANGE_STEP) {
    g_autoptr (GError) error = NULL;
    const char before = bytes[at];
    bytes[at] = (char) (before ^ (1 << g_rand_int_range (rand, 0, 8)));
    g_autofree char *changed = put_file ("changed.h5", bytes, n);
    g_autoptr (AfpFile) back = afp_file_read (changed, &error);
    ck_assert ((back != NULL) == (error == NULL));
    refused += back == NULL;
    bytes[at] = before;
  }
  ck_assert_uint_gt (refused, file->payload_offset / CHANGE_STEP / 2);
}
END_TEST

static TCase *
check_case (void)
{
  TCase *tcase = io_case ("check");
  tcase_add_test (tcase, a_sound_file_passes);
  tcase_add_loop_test (tcase, damage_is_found, 0, G_N_ELEMENTS (damages));
  tcase_add_test (tcase, the_same_place_may_be_named_twice);
  tcase_add_test (tcase, checksums_are_zlib_s);
  return tcase;
}

static TCase *
file_case (void)
{
  TCase *tcase = io_case ("file");
  tcase_add_test (tcase, tables_come_back);
  tcase_add_test (tcase, an_empty_model_is_a_file_too);
  tcase_add_loop_test (tcase, the_payload_is_aligned_and_inside, 0, 6);
  tcase_add_test (tcase, nothing_but_ours_is_ours);
  tcase_add_test (tcase, unreadable_files_say_why);
  tcase_add_test (tcase, a_cut_file_is_refused);
  tcase_add_test (tcase, versions_and_attributes_are_checked);
  tcase_add_test (tcase, a_repacked_payload_is_refused);
  tcase_add_test (tcase, what_cannot_be_written);
  tcase_add_test (tcase, changed_bytes_do_no_harm);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { check_case, file_case };

  return run_suite ("afp-file", cases, G_N_ELEMENTS (cases));
}
