/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "numpy-test.h"

#include "io/npy-header.h"

#define WHAT "array 'w' in 'm.npz'"
#define TAIL ", 'fortran_order': False, 'shape': (2, 3), }"

static gboolean
parse (GByteArray *npy, AfpNpyHeader *header, GError **error)
{
  return afp_npy_parse (npy->data, npy->len, npy->len, WHAT, header, error);
}

static void
assert_good (guint major, const char *text, gsize n, const char *expected)
{
  g_autoptr (GByteArray) npy = make_npy (major, text, n);
  AfpNpyHeader header;
  GError *error = NULL;
  ck_assert_msg (parse (npy, &header, &error), "%s: %s", text, error ? error->message : "?");
  g_autoptr (GString) found = g_string_new (afp_dtype_name (header.dtype));
  for (guint i = 0; i < header.rank; i++)
    g_string_append_printf (found, "%c%" G_GUINT64_FORMAT, i ? 'x' : ' ', header.shape[i]);
  g_string_append_printf (found, "%s%s", header.swapped ? " swapped" : "",
                          header.fortran ? " fortran" : "");
  ck_assert_str_eq (found->str, expected);
  ck_assert_uint_eq (header.n_bytes, n);
  ck_assert_uint_eq (header.header_bytes, npy->len - n);
}

static void
assert_bad (const char *text, gsize n, const char *word, const char *word2)
{
  g_autoptr (GByteArray) npy = make_npy (1, text, n);
  AfpNpyHeader header;
  GError *error = NULL;
  ck_assert_msg (!parse (npy, &header, &error), "%s was taken", text);
  assert_error (error, AFP_ERROR_FORMAT, WHAT, word, word2);
}

START_TEST (dtypes)
{
  static const struct {
    const char *descr, *expected;
    gsize size;
  } rows[] = {
    { "<f2", "f16 3", 2 },         { "<f4", "f32 3", 4 },         { "<f8", "f64 3", 8 },
    { "|i1", "i8 3", 1 },          { "<i2", "i16 3", 2 },         { "<i4", "i32 3", 4 },
    { "<i8", "i64 3", 8 },         { "|u1", "u8 3", 1 },          { "<u2", "u16 3", 2 },
    { "<u4", "u32 3", 4 },         { "<u8", "u64 3", 8 },         { "|b1", "bool 3", 1 },
    { ">c8", "c64 3 swapped", 8 }, { "<u1", "u8 3", 1 },          { ">u1", "u8 3", 1 },
    { ">f2", "f16 3 swapped", 2 }, { ">f4", "f32 3 swapped", 4 }, { ">f8", "f64 3 swapped", 8 },
    { ">i8", "i64 3 swapped", 8 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *text = g_strdup_printf (
        "{'descr': '%s', 'fortran_order': False, 'shape': (3,), }  \n", rows[i].descr);
    assert_good (1, text, 3 * rows[i].size, rows[i].expected);
  }
}
END_TEST

START_TEST (texts)
{
  assert_good (1, "{'descr':'<f4','fortran_order':False,'shape':(2,3)}", 24, "f32 2x3");
  assert_good (2, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", 24, "f32 2x3");
  assert_good (3, "{'shape': (2, 3,), \"fortran_order\": False, 'descr': \"<f4\"}\n", 24,
               "f32 2x3");
  assert_good (1, " {'descr': '<f4', 'fortran_order': False, 'shape': ( ), } \n", 4, "f32");
  assert_good (1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }", 24, "f32 2x3");
  assert_good (1, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }", 0, "f32 0x3");
}
END_TEST

/* Fortran order is forgotten where it makes no difference. */
START_TEST (orders)
{
  assert_good (1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", 6,
               "u8 2x3 fortran");
  assert_good (1, "{'descr': '>u2', 'fortran_order': True, 'shape': (1, 2, 3), }", 12,
               "u16 1x2x3 swapped fortran");
  assert_good (1, "{'descr': '|u1', 'fortran_order': True, 'shape': (6,), }", 6, "u8 6");
  assert_good (1, "{'descr': '|u1', 'fortran_order': True, 'shape': (1, 6, 1), }", 6, "u8 1x6x1");
  assert_good (1, "{'descr': '|u1', 'fortran_order': True, 'shape': (), }", 1, "u8");
  assert_good (1, "{'descr': '|u1', 'fortran_order': True, 'shape': (0, 2, 3), }", 0, "u8 0x2x3");
}
END_TEST

START_TEST (many_axes)
{
  g_autoptr (GString) shape = g_string_new (NULL);
  for (guint i = 0; i < 32; i++)
    g_string_append (shape, "1, ");
  g_autofree char *most =
      g_strdup_printf ("{'descr': '|u1', 'fortran_order': False, 'shape': (%s)}", shape->str);
  g_autofree char *more =
      g_strdup_printf ("{'descr': '|u1', 'fortran_order': False, 'shape': (%s1)}", shape->str);
  assert_good (1, most, 1, "u8 1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1");
  assert_bad (more, 1, "more than 32 axes", "limit");
}
END_TEST

START_TEST (dtypes_that_are_refused)
{
  static const struct {
    const char *descr, *word;
  } rows[] = {
    { "'|O'", "Python objects" },
    { "'<U3'", "'<U3': text" },
    { "'|S7'", "text" },
    { "'<M8[s]'", "dates or times" },
    { "'<m8[ns]'", "dates or times" },
    { "'<V2'", "bfloat16" },
    { "'|V1'", "safetensors" },
    { "'<f1'", "no type that is known" },
    { "'<f16'", "no type that is known" },
    { "'<i3'", "known are f2 f4 f8" },
    { "'<c16'", "complex" },
    { "''", "no type that is known" },
    { "'<'", "no type that is known" },
    { "'f4'", "no type that is known" },
    { "'=f4'", "does not tell its byte order" },
    { "'|f4'", "does not tell its byte order" },
    { "[('a', '<f4'), ('b', '<i4')]", "structured array" },
    { "('<f4', (2,))", "structured array" },
    { "[[[[[[[[[[", "structured array" },
    { "'<f4", "'<f4, ': no type that is known" },
    { "'<\\x66\\x34'", "plain string" },
    { "3", "a string is expected, not '3'" },
    { "None", "a string is expected" },
    { "'<f4444444444444444444444444444444444444444444444444444444444444444444'", "a string of 64" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *text = g_strdup_printf ("{'descr': %s" TAIL "\n", rows[i].descr);
    assert_bad (text, 24, rows[i].word, "has");
  }
}
END_TEST

START_TEST (damaged_texts)
{
  static const struct {
    const char *text, *word;
  } rows[] = {
    { "", "it ends where '{' is expected" },
    { "{", "a string is expected" },
    { "[]", "'{' is expected, not '['" },
    { "{}", "needs descr, fortran_order and shape" },
    { "{'descr': '<f4', 'shape': (2, 3)}", "needs descr, fortran_order and shape" },
    { "{'descr' '<f4'" TAIL, "':' is expected" },
    { "{'descr': '<f4' 'fortran_order': False, 'shape': (2, 3)}", "a comma is expected" },
    { "{'descr': '<f4', 'descr': '<f4'" TAIL, "the key 'descr' occurs twice" },
    { "{'descr': '<f4', 'extra': 1" TAIL, "the key 'extra' is unknown" },
    { "{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}", "True or False is expected" },
    { "{'descr': '<f4', 'fortran_order': true, 'shape': (2, 3)}", "True or False is expected" },
    { "{'descr': '<f4', 'fortran_order': Falsehood, 'shape': (2, 3)}", "a comma is expected" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (6)}", "a comma before the end" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': 6}", "'(' is expected, not '6'" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': [2, 3]}", "'(' is expected" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}", "a length >= 0 is expected" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3.0)}", "a comma is expected" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}", "a comma is expected" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", "a length >= 0 is expected" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2, (3,))}", "a length >= 0 is expected" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3", "a comma is expected" },
    { "{'descr': '<f4'" TAIL "x", "the end of the header is expected, not 'x'" },
    { "{'descr': '<f4'" TAIL "{}", "the end of the header is expected" },
    { "{'descr': '<f4'" TAIL "\x01", "not '?'" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616, 3)}", "64 bits" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999, 3)}",
      "64 bits" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "63 bits" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2305843009213693952, )}", "63 bits" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    assert_bad (rows[i].text, 24, rows[i].word, "has a");
}
END_TEST

START_TEST (wrong_sizes)
{
  assert_bad (NPY_TEXT ("<f4", "(2, 3)"), 23, "takes 24 bytes by its shape and dtype f32",
              "but 23 follow");
  assert_bad (NPY_TEXT ("<f4", "(2, 3)"), 25, "but 25 follow", "several arrays");
  assert_bad (NPY_TEXT ("<f4", "(2, 0)"), 1, "takes 0 bytes", "but 1 follow");
}
END_TEST

START_TEST (wrong_heads)
{
  g_autoptr (GByteArray) npy = make_npy (1, NPY_TEXT ("<f4", "(2, 3)"), 24);
  AfpNpyHeader header;
  GError *error = NULL;
  static const struct {
    guint at;
    guint8 value;
    const char *word;
  } rows[] = { { 0, 'N', "does not begin as a NumPy array does" },
               { 5, 'Z', "does not begin as a NumPy array does" },
               { 6, 0, "version 0.0" },
               { 6, 4, "version 4.0; known are 1.0, 2.0 and 3.0" },
               { 7, 1, "version 1.1" },
               { 9, 1, "cut off within its header" },
               { 6, 2, "limit is 65536" } }; /* the text is taken for a length */
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    const guint8 before = npy->data[rows[i].at];
    npy->data[rows[i].at] = rows[i].value;
    ck_assert (!parse (npy, &header, &error));
    assert_error (error, AFP_ERROR_FORMAT, WHAT, rows[i].word);
    npy->data[rows[i].at] = before;
  }
  ck_assert (parse (npy, &header, &error));
}
END_TEST

/* The text of version 2 has four bytes of length; more than the limit is refused before it is looked at. */
START_TEST (long_headers)
{
  g_autofree char *blanks = g_strnfill (65536 - strlen (NPY_TEXT ("|u1", "(3,)")), ' ');
  g_autofree char *most = g_strconcat (NPY_TEXT ("|u1", "(3,)"), blanks, NULL);
  g_autofree char *more = g_strconcat (most, " ", NULL);
  g_autoptr (GByteArray) npy = make_npy (2, more, 3);
  AfpNpyHeader header;
  GError *error = NULL;
  assert_good (2, most, 3, "u8 3");
  ck_assert (!parse (npy, &header, &error));
  assert_error (error, AFP_ERROR_FORMAT, WHAT, "header of 65537 bytes", "limit is 65536");
}
END_TEST

START_TEST (truncations)
{
  for (guint major = 1; major <= 3; major++) {
    g_autoptr (GByteArray) npy = make_npy (major, NPY_TEXT ("<f4", "(2, 3)"), 24);
    for (guint n = 0; n < npy->len; n++) {
      g_autofree guint8 *copy = g_memdup2 (npy->data, MAX (n, 1));
      AfpNpyHeader header;
      GError *error = NULL;
      ck_assert (!afp_npy_parse (copy, n, n, WHAT, &header, &error));
      assert_error (error, AFP_ERROR_FORMAT, WHAT);
    }
  }
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_test (tcase, dtypes);
  tcase_add_test (tcase, texts);
  tcase_add_test (tcase, orders);
  tcase_add_test (tcase, many_axes);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_test (tcase, dtypes_that_are_refused);
  tcase_add_test (tcase, damaged_texts);
  tcase_add_test (tcase, wrong_sizes);
  tcase_add_test (tcase, wrong_heads);
  tcase_add_test (tcase, long_headers);
  tcase_add_test (tcase, truncations);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("npy-header", cases, G_N_ELEMENTS (cases));
}
