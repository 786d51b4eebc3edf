/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

static const char *const names[] = { "block-size", "rank", "seed-bits", "leap",  NULL,
                                     "C",          "P",    "K",         "preset" };

static const char *
nearest (const char *word)
{
  return afp_nearest_name (word, names, G_N_ELEMENTS (names));
}

START_TEST (exit_codes)
{
  static const struct {
    int code, exit;
  } cases[] = {
    { AFP_ERROR_USAGE, 2 },  { AFP_ERROR_PROPERTY, 2 },    { AFP_ERROR_NO_ELEMENT, 3 },
    { AFP_ERROR_PLUGIN, 3 }, { AFP_ERROR_PLAN, 4 },        { AFP_ERROR_IO, 5 },
    { AFP_ERROR_FORMAT, 5 }, { AFP_ERROR_CODEC, 6 },       { AFP_ERROR_METRIC, 7 },
    { AFP_ERROR_MEMORY, 8 }, { AFP_ERROR_CANCELLED, 130 },
  };
  ck_assert_int_eq (afp_error_exit_code (NULL), 0);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = g_error_new_literal (AFP_ERROR, cases[i].code, "x");
    ck_assert_int_eq (afp_error_exit_code (error), cases[i].exit);
  }
}
END_TEST

START_TEST (exit_codes_of_other_domains)
{
  g_autoptr (GError) cancelled = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "x");
  g_autoptr (GError) file = g_error_new_literal (G_FILE_ERROR, G_FILE_ERROR_NOENT, "x");
  g_autoptr (GError) option = g_error_new_literal (G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "x");
  g_autoptr (GError) unknown = g_error_new_literal (AFP_ERROR, 999, "x");
  ck_assert_int_eq (afp_error_exit_code (cancelled), 130);
  ck_assert_int_eq (afp_error_exit_code (file), 5);
  ck_assert_int_eq (afp_error_exit_code (option), 2);
  ck_assert_int_ne (afp_error_exit_code (unknown), 0);
}
END_TEST

START_TEST (near_names)
{
  ck_assert_pstr_eq (nearest ("blok-size"), "block-size");
  ck_assert_pstr_eq (nearest ("block_size"), "block-size");
  ck_assert_pstr_eq (nearest ("BLOCK-SIZE"), "block-size");
  ck_assert_pstr_eq (nearest ("rnak"), "rank");
  ck_assert_pstr_eq (nearest ("lep"), "leap");
  ck_assert_pstr_eq (nearest ("rank"), "rank");
  ck_assert_pstr_eq (nearest ("c"), "C");
  ck_assert_pstr_eq (nearest ("block"), "block-size");
  ck_assert_pstr_eq (nearest ("se"), "seed-bits");
}
END_TEST

START_TEST (far_names)
{
  g_autofree char *longer = g_strnfill (100000, 'b');
  ck_assert_pstr_eq (nearest (""), NULL);
  ck_assert_pstr_eq (nearest ("x"), NULL);
  ck_assert_pstr_eq (nearest ("zz"), NULL);
  ck_assert_pstr_eq (nearest ("centroids"), NULL);
  ck_assert_pstr_eq (nearest ("\xff\xfe\xfd"), NULL);
  ck_assert_pstr_eq (nearest (longer), NULL);
  ck_assert_pstr_eq (afp_nearest_name ("rank", NULL, 0), NULL);
  ck_assert_pstr_eq (afp_nearest_name ("b", (const char *const[]){ longer, "" }, 2), NULL);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("error");
  tcase_add_test (tcase, exit_codes);
  tcase_add_test (tcase, exit_codes_of_other_domains);
  tcase_add_test (tcase, near_names);
  tcase_add_test (tcase, far_names);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("error", cases, G_N_ELEMENTS (cases));
}
