/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/writer-afp-about.h"

/* Within a run the texts are seen in the files: test-writer-afp.c and cli-resume.sh. */

START_TEST (without_a_run)
{
  g_autoptr (AfpFile) file = afp_file_new ();
  g_auto (GStrv) plugins = afp_about_plugins (file);

  ck_assert_ptr_null (afp_about_pipeline (NULL));
  ck_assert_ptr_null (afp_about_fingerprint (NULL));
  ck_assert_ptr_null (afp_about_metrics (NULL));
  ck_assert_uint_eq (g_strv_length (plugins), 0);
}
END_TEST

/* Built-in codecs belong to no plugin, and a codec that nobody has to none that is known. */
START_TEST (plugins_that_are_none)
{
  g_autoptr (AfpFile) file = afp_file_new ();

  g_ptr_array_add (file->recipes, g_strdup ("weight"));
  g_ptr_array_add (file->recipes, g_strdup ("weight=f16/1{codes}"));
  g_ptr_array_add (file->recipes, g_strdup ("weight=nosuch/1{codes}"));
  g_auto (GStrv) plugins = afp_about_plugins (file);
  ck_assert_uint_eq (g_strv_length (plugins), 0);
}
END_TEST

START_TEST (header_without_a_run)
{
  g_autoptr (JsonNode) header = afp_about_header (NULL, NULL, "77");

  assert_text (
      json_to_string (header, FALSE),
      "{\"afpipe_journal\":2,\"tool\":\"afpipe " AFP_VERSION
      "\",\"pipeline\":null,\"sink\":null,\"fingerprint\":\"77\",\"plugins\":[],\"codecs\":[],\"files\":{}}");
}
END_TEST

static TCase *
about_case (void)
{
  TCase *tcase = io_case ("about");
  tcase_add_test (tcase, without_a_run);
  tcase_add_test (tcase, plugins_that_are_none);
  tcase_add_test (tcase, header_without_a_run);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { about_case };

  return run_suite ("writer-afp-about", cases, G_N_ELEMENTS (cases));
}
