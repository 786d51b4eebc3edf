/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/h5-table.h"

static hid_t h5;

static void
open_setup (void)
{
  folder_setup ();
  g_autofree char *path = in_folder ("t.h5");
  afp_h5_lock ();
  h5 = H5Fcreate (path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  ck_assert_int_ge (h5, 0);
}

static void
close_teardown (void)
{
  H5Fclose (h5);
  afp_h5_unlock ();
  folder_teardown ();
}

#define COLUMNS(name_size, text_size)                                      \
  {                                                                        \
    { "name", AFP_H5_TEXT, name_size, 0 }, { "small", AFP_H5_UINT, 1, 0 }, \
        { "index", AFP_H5_INT, 4, 0 }, { "place", AFP_H5_UINT, 8, 0 },     \
        { "text", AFP_H5_TEXT, text_size, 0 },                             \
  }

static guint8 *
make_rows (AfpH5Column *columns, guint n, gboolean regular)
{
  const guint size = afp_h5_table_layout (columns, 5);
  guint8 *rows = g_malloc0 (MAX (n * size, 1));

  for (guint i = 0; i < n; i++) {
    guint8 *row = rows + i * size;
    g_autofree char *name = g_strdup_printf ("row%u", i);
    afp_h5_table_put_text (&columns[0], row, name);
    afp_h5_table_put_int (&columns[1], row, i & 0xff);
    afp_h5_table_put_int (&columns[2], row, (guint64) (gint64) -1 - (i & 7));
    afp_h5_table_put_int (&columns[3], row,
                          regular ? i : G_GUINT64_CONSTANT (0x9e3779b97f4a7c15) * i);
    afp_h5_table_put_text (&columns[4], row, "\xc3\xa9");
  }
  return rows;
}

static H5D_layout_t
layout_of (const char *name, int *n_filters)
{
  hid_t dataset = H5Dopen2 (h5, name, H5P_DEFAULT), plist = H5Dget_create_plist (dataset);
  H5D_layout_t layout = H5Pget_layout (plist);

  *n_filters = H5Pget_nfilters (plist);
  H5Pclose (plist);
  H5Dclose (dataset);
  return layout;
}

static const struct {
  guint n;
  gboolean compact;
} sizes[] = { { 0, TRUE }, { 1, TRUE }, { 2, TRUE }, { 100, FALSE }, { 5000, FALSE } };

START_TEST (rows_come_back)
{
  AfpH5Column out[] = COLUMNS (8, 3), in[] = COLUMNS (0, 0);
  const guint n = sizes[_i].n;
  g_autofree guint8 *rows = make_rows (out, n, TRUE);
  GError *error = NULL;
  gsize n_read;
  int n_filters;

  ck_assert (afp_h5_table_write (h5, "table", out, 5, rows, n, &error));
  g_autofree guint8 *back = afp_h5_table_read (h5, "table", in, 5, 10000, &n_read, &error);
  ck_assert_msg (back != NULL, "%s", error ? error->message : "");
  ck_assert_uint_eq (n_read, n);
  ck_assert_uint_eq (in[0].size, 8);
  if (n)
    ck_assert_mem_eq (back, rows, n * (in[4].offset + in[4].size));
  ck_assert_int_eq (layout_of ("table", &n_filters) == H5D_COMPACT, sizes[_i].compact);
  if (n > 1) {
    const guint8 *row = back + afp_h5_table_layout (in, 5);
    assert_text (afp_h5_table_get_text (&in[0], row), "row1");
    assert_text (afp_h5_table_get_text (&in[4], row), "\xc3\xa9");
    ck_assert_int_eq ((gint64) afp_h5_table_get_int (&in[2], row), -2);
    ck_assert_uint_eq (afp_h5_table_get_int (&in[3], row), 1);
  }
}
END_TEST

START_TEST (columns_are_found_by_name)
{
  AfpH5Column out[] = COLUMNS (8, 3);
  AfpH5Column in[] = { { "place", AFP_H5_UINT, 8, 0 }, { "name", AFP_H5_TEXT, 0, 0 } };
  g_autofree guint8 *rows = make_rows (out, 3, TRUE);
  gsize n;

  ck_assert (afp_h5_table_write (h5, "table", out, 5, rows, 3, NULL));
  g_autofree guint8 *back = afp_h5_table_read (h5, "table", in, 2, 3, &n, NULL);
  ck_assert_ptr_nonnull (back);
  ck_assert_uint_eq (afp_h5_table_get_int (&in[0], back + 2 * 16), 2);
  assert_text (afp_h5_table_get_text (&in[1], back + 2 * 16), "row2");
}
END_TEST

START_TEST (one_column_without_a_name_is_no_compound)
{
  AfpH5Column out = { NULL, AFP_H5_TEXT, 6, 0 }, in = { NULL, AFP_H5_TEXT, 0, 0 };
  gsize n;

  afp_h5_table_layout (&out, 1);
  ck_assert (afp_h5_table_write (h5, "texts", &out, 1, (const guint8 *) "one\0\0\0three", 2, NULL));
  g_autofree guint8 *back = afp_h5_table_read (h5, "texts", &in, 1, 2, &n, NULL);
  ck_assert_ptr_nonnull (back);
  ck_assert_uint_eq (n, 2);
  assert_text (afp_h5_table_get_text (&in, back), "one");
  assert_text (afp_h5_table_get_text (&in, back + 6), "three");
}
END_TEST

START_TEST (the_smaller_filter_is_taken)
{
  AfpH5Column columns[] = COLUMNS (8, 3);
  AfpH5Column text = { NULL, AFP_H5_TEXT, 64, 0 };
  g_autofree guint8 *rows = make_rows (columns, 2000, TRUE);
  g_autofree guint8 *texts = g_malloc0 (64 * 400);
  int n_filters;

  ck_assert (afp_h5_table_write (h5, "numbers", columns, 5, rows, 2000, NULL));
  ck_assert_int_eq (layout_of ("numbers", &n_filters), H5D_CHUNKED);
  ck_assert_int_eq (n_filters, 2);
  afp_h5_table_layout (&text, 1);
  for (guint i = 0; i < 400; i++)
    g_snprintf ((char *) texts + 64 * i, 64, "%.*s with the same words as all the others %u",
                (int) (i * 7 % 20), "what comes at first ", i * 7919 % 400);
  ck_assert (afp_h5_table_write (h5, "texts", &text, 1, texts, 400, NULL));
  ck_assert_int_eq (layout_of ("texts", &n_filters), H5D_CHUNKED);
  ck_assert_int_eq (n_filters, 1);
}
END_TEST

/* --- refusals ----------------------------------------------------------------------------------------------------- */

#define assert_unread(name, n_columns, columns, max, ...)                             \
  do {                                                                                \
    GError *error_ = NULL;                                                            \
    gsize n_;                                                                         \
    ck_assert_ptr_null (                                                              \
        afp_h5_table_read (h5, (name), (columns), (n_columns), (max), &n_, &error_)); \
    assert_error (error_, AFP_ERROR_FORMAT, __VA_ARGS__);                             \
  } while (0)

START_TEST (missing_tables_links_and_groups)
{
  AfpH5Column column = { NULL, AFP_H5_TEXT, 0, 0 };

  assert_unread ("none", 1, &column, 1, "/none");
  H5Lcreate_soft ("/elsewhere", h5, "soft", H5P_DEFAULT, H5P_DEFAULT);
  assert_unread ("soft", 1, &column, 1, "/soft", "link to elsewhere");
  H5Lcreate_external ("other.h5", "/x", h5, "external", H5P_DEFAULT, H5P_DEFAULT);
  assert_unread ("external", 1, &column, 1, "/external", "link to elsewhere");
  H5Gclose (H5Gcreate2 (h5, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  assert_unread ("group", 1, &column, 1, "/group", "no dataset");
}
END_TEST

START_TEST (wrong_columns)
{
  AfpH5Column out[] = COLUMNS (8, 3);
  AfpH5Column unknown[] = { { "name", AFP_H5_TEXT, 0, 0 }, { "color", AFP_H5_UINT, 4, 0 } };
  AfpH5Column number[] = { { "name", AFP_H5_UINT, 4, 0 } },
              text[] = { { "index", AFP_H5_TEXT, 0, 0 } };
  AfpH5Column plain = { NULL, AFP_H5_TEXT, 0, 0 };
  g_autofree guint8 *rows = make_rows (out, 3, TRUE);

  ck_assert (afp_h5_table_write (h5, "table", out, 5, rows, 3, NULL));
  assert_unread ("table", 2, unknown, 3, "/table", "column 'color' is missing");
  assert_unread ("table", 1, number, 3, "/table, column 'name'", "integers are expected");
  assert_unread ("table", 1, text, 3, "/table, column 'index'", "texts of fixed length");
  assert_unread ("table", 1, &plain, 3, "/table", "texts of fixed length");
  assert_unread ("table", 1, text, 2, "/table");
  AfpH5Column place[] = { { "place", AFP_H5_UINT, 8, 0 } };
  assert_unread ("table", 1, place, 2, "/table: 3 rows", "too many");
}
END_TEST

/* A dataset of another kind than we write. */
static void
put_dataset (const char *name, hid_t type, guint rank, hsize_t length, hid_t plist)
{
  const hsize_t dims[2] = { length, length };
  hid_t space = rank ? H5Screate_simple ((int) rank, dims, NULL) : H5Screate (H5S_SCALAR);
  hid_t dataset = H5Dcreate2 (h5, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);

  ck_assert_int_ge (dataset, 0);
  H5Dclose (dataset);
  H5Sclose (space);
}

START_TEST (foreign_types_and_shapes)
{
  AfpH5Column text = { NULL, AFP_H5_TEXT, 0, 0 }, column = { "name", AFP_H5_TEXT, 0, 0 };
  hid_t variable = H5Tcopy (H5T_C_S1), large = H5Tcopy (H5T_C_S1);

  H5Tset_size (variable, H5T_VARIABLE);
  H5Tset_size (large, AFP_H5_MAX_TEXT + 1);
  put_dataset ("variable", variable, 1, 2, H5P_DEFAULT);
  assert_unread ("variable", 1, &text, 2, "/variable", "texts of fixed length are expected");
  put_dataset ("large", large, 1, 2, H5P_DEFAULT);
  assert_unread ("large", 1, &text, 2, "/large", "too long");
  put_dataset ("scalar", H5T_C_S1, 0, 1, H5P_DEFAULT);
  assert_unread ("scalar", 1, &text, 2, "/scalar", "one dimension");
  put_dataset ("square", H5T_C_S1, 2, 2, H5P_DEFAULT);
  assert_unread ("square", 1, &text, 2, "/square", "one dimension");
  put_dataset ("ints", H5T_STD_I32LE, 1, 2, H5P_DEFAULT);
  assert_unread ("ints", 1, &column, 2, "/ints", "compound");
  H5Tclose (variable);
  H5Tclose (large);
}
END_TEST

START_TEST (foreign_storage)
{
  AfpH5Column text = { NULL, AFP_H5_TEXT, 0, 0 };
  hid_t filtered = H5Pcreate (H5P_DATASET_CREATE), external = H5Pcreate (H5P_DATASET_CREATE);
  const hsize_t chunk = 2;

  H5Pset_chunk (filtered, 1, &chunk);
  H5Pset_fletcher32 (filtered);
  put_dataset ("filtered", H5T_C_S1, 1, 2, filtered);
  assert_unread ("filtered", 1, &text, 2, "/filtered", "filter other than shuffle and deflate");
  H5Pset_external (external, "/etc/passwd", 0, 2);
  put_dataset ("external", H5T_C_S1, 1, 2, external);
  assert_unread ("external", 1, &text, 2, "/external", "in another file");
  H5Pclose (filtered);
  H5Pclose (external);
}
END_TEST

START_TEST (a_table_is_not_written_twice)
{
  AfpH5Column column = { NULL, AFP_H5_TEXT, 2, 0 };
  GError *error = NULL;

  ck_assert (afp_h5_table_write (h5, "table", &column, 1, (const guint8 *) "a", 1, &error));
  ck_assert (!afp_h5_table_write (h5, "table", &column, 1, (const guint8 *) "a", 1, &error));
  assert_error (error, AFP_ERROR_IO, "table /table with 1 rows", "already exists");
}
END_TEST

static TCase *
table_case (void)
{
  TCase *tcase = tcase_create ("table");
  tcase_add_checked_fixture (tcase, open_setup, close_teardown);
  tcase_add_loop_test (tcase, rows_come_back, 0, G_N_ELEMENTS (sizes));
  tcase_add_test (tcase, columns_are_found_by_name);
  tcase_add_test (tcase, one_column_without_a_name_is_no_compound);
  tcase_add_test (tcase, the_smaller_filter_is_taken);
  return tcase;
}

static TCase *
refusal_case (void)
{
  TCase *tcase = tcase_create ("refusals");
  tcase_add_checked_fixture (tcase, open_setup, close_teardown);
  tcase_add_test (tcase, missing_tables_links_and_groups);
  tcase_add_test (tcase, wrong_columns);
  tcase_add_test (tcase, foreign_types_and_shapes);
  tcase_add_test (tcase, foreign_storage);
  tcase_add_test (tcase, a_table_is_not_written_twice);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { table_case, refusal_case };

  return run_suite ("h5-table", cases, G_N_ELEMENTS (cases));
}
