/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "afp-table.h"

START_TEST (test_columns)
{
  g_autoptr (AfpTable) table = afp_table_new ("lrl");

  afp_table_add (table, "stage", "bytes", "x", NULL);
  afp_table_add_line (table, "  a %s that is as long as it likes", "line");
  afp_table_take (table, g_strdup ("a"), g_strdup ("12345678"), g_strdup (""), NULL);
  assert_text (afp_table_to_string (table), "stage     bytes  x\n"
                                            "  a line that is as long as it likes\n"
                                            "a      12345678\n");
}
END_TEST

START_TEST (test_cells_missing_and_too_many)
{
  g_autoptr (AfpTable) table = afp_table_new ("ll");

  afp_table_add (table, "a", NULL);
  afp_table_take (table, g_strdup ("b"), g_strdup ("c"), g_strdup ("left out"), NULL);
  assert_text (afp_table_to_string (table), "a\nb  c\n");
}
END_TEST

START_TEST (test_width_in_characters)
{
  g_autoptr (AfpTable) table = afp_table_new ("lr");

  afp_table_add (table, "\303\244\303\266", "1", NULL);
  afp_table_add (table, "abc", "22", NULL);
  assert_text (afp_table_to_string (table), "\303\244\303\266    1\nabc  22\n");
}
END_TEST

START_TEST (test_not_utf8)
{
  g_autoptr (AfpTable) table = afp_table_new ("ll");

  afp_table_add (table, "\377\376", "1", NULL);
  afp_table_add (table, "abc", "2", NULL);
  assert_text (afp_table_to_string (table), "\377\376   1\nabc  2\n");
}
END_TEST

START_TEST (test_empty)
{
  g_autoptr (AfpTable) table = afp_table_new ("l");

  assert_text (afp_table_to_string (table), "");
  afp_table_free (NULL);
}
END_TEST

START_TEST (test_bytes)
{
  assert_text (afp_format_bytes (0), "0 B");
  assert_text (afp_format_bytes (1023), "1023 B");
  assert_text (afp_format_bytes (1024), "1.00 KiB");
  assert_text (afp_format_bytes (10239), "10.0 KiB");
  assert_text (afp_format_bytes (102297), "99.9 KiB");
  assert_text (afp_format_bytes (1024 * 1024 - 1), "1.00 MiB");
  assert_text (afp_format_bytes (500000000), "477 MiB");
  assert_text (afp_format_bytes (G_MAXUINT64), "16.0 EiB");
}
END_TEST

START_TEST (test_count)
{
  assert_text (afp_format_count (0), "0");
  assert_text (afp_format_count (999), "999");
  assert_text (afp_format_count (1000), "1,000");
  assert_text (afp_format_count (1234567), "1,234,567");
}
END_TEST

START_TEST (test_seconds)
{
  assert_text (afp_format_seconds (0.123), "0.12 s");
  assert_text (afp_format_seconds (12.34), "12.3 s");
  assert_text (afp_format_seconds (59.9), "1:00");
  assert_text (afp_format_seconds (245), "4:05");
  assert_text (afp_format_seconds (3723), "1:02:03");
}
END_TEST

START_TEST (test_seconds_that_are_none)
{
  assert_text (afp_format_seconds (-5), "0.00 s");
  assert_text (afp_format_seconds (1e300), "1e+300 s");
}
END_TEST

static TCase *
make_tables (void)
{
  TCase *tcase = tcase_create ("tables");
  tcase_add_test (tcase, test_columns);
  tcase_add_test (tcase, test_cells_missing_and_too_many);
  tcase_add_test (tcase, test_width_in_characters);
  tcase_add_test (tcase, test_not_utf8);
  tcase_add_test (tcase, test_empty);
  return tcase;
}

static TCase *
make_numbers (void)
{
  TCase *tcase = tcase_create ("numbers");
  tcase_add_test (tcase, test_bytes);
  tcase_add_test (tcase, test_count);
  tcase_add_test (tcase, test_seconds);
  tcase_add_test (tcase, test_seconds_that_are_none);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_tables, make_numbers };
  return run_suite ("table", cases, G_N_ELEMENTS (cases));
}
