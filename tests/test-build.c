/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipe-test.h"

/* The pipeline text cannot be built; the caret stands under the first character of @under. */
static void
refuse (const char *text, int code, const char *under, const char *word, const char *other)
{
  GError *error = NULL;
  AfpPipeline *pipeline = afp_pipeline_new_from_text (text, &error);
  const char *caret = error ? strstr (error->message, "\n  ") : NULL;

  ck_assert_msg (!pipeline && error, "%s was built", text);
  ck_assert_msg (caret != NULL, "no caret: %s", error->message);
  caret = strchr (caret + 3, '\n');
  ck_assert_msg (caret && strcspn (caret + 3, "^") == (gsize) (strstr (text, under) - text),
                 "caret not under '%s': %s", under, error->message);
  assert_error (error, code, word, other);
}

START_TEST (test_names_are_numbered)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=1 ! tpass ! tpass name=tpass1 ! tpass ! tsink");
  GPtrArray *elements = afp_pipeline_get_elements (pipeline);
  const char *const names[] = { "tsource0", "tpass0", "tpass1", "tpass2", "tsink0" };

  ck_assert_uint_eq (elements->len, 5);
  for (guint i = 0; i < 5; i++)
    ck_assert_str_eq (afp_element_get_name (elements->pdata[i]), names[i]);
  ck_assert_str_eq (afp_element_get_factory_name (elements->pdata[2]), "tpass");
}
END_TEST

START_TEST (test_elements_are_sorted)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("t. ! tpass name=late ! tsink name=end tsource n=1 ! ttee name=t ! tsink");
  GPtrArray *elements = afp_pipeline_get_elements (pipeline);
  const char *const names[] = { "tsource0", "t", "late", "end", "tsink0" };

  for (guint i = 0; i < 5; i++)
    ck_assert_str_eq (afp_element_get_name (elements->pdata[i]), names[i]);
}
END_TEST

START_TEST (test_reference_ends_a_chain)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tpass name=p ! tsink tsource n=2 ! p.");

  pipe_run_ok (pipeline);
  ck_assert_uint_eq (((PipePass *) pipe_find (pipeline, "p"))->n_process, 2);
}
END_TEST

START_TEST (test_properties_and_presets)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=1 R=9 ! tpass memory=5 preset=big ! tpass preset=big m=6 ! tsink");
  PipePass *first = pipe_find (pipeline, "tpass0"), *second = pipe_find (pipeline, "tpass1");

  ck_assert_uint_eq (((PipeSource *) pipe_find (pipeline, "tsource0"))->rows, 9);
  ck_assert_uint_eq (first->memory, 5);
  ck_assert_uint_eq (second->memory, 6);
  ck_assert_str_eq (first->require, "a b");
}
END_TEST

START_TEST (test_assertion_is_an_element)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=1 ! tensor,dtype={f32,f16},rank=2 ! tsink");
  AfpElement *element = pipe_find (pipeline, "assert0");

  assert_text (afp_element_get_property_text (element, "caps"), "tensor,dtype={f32,f16},rank=2");
}
END_TEST

START_TEST (test_ast_without_text)
{
  g_autoptr (AfpAst) ast = afp_parse ("tsource n=1 ! tpass", NULL, NULL);
  GError *error = NULL;

  g_clear_pointer (&ast->text, g_free);
  ck_assert_ptr_null (afp_pipeline_new_from_ast (ast, &error));
  ck_assert_ptr_null (strchr (error->message, '^'));
  assert_error (error, AFP_ERROR_USAGE, "leads nowhere");
}
END_TEST

/* --- refusals --- */

START_TEST (test_unknown_words)
{
  refuse ("tsource n=1 ! tpas ! tsink", AFP_ERROR_NO_ELEMENT, "tpas ", "'tpas'", "'tpass'");
  refuse ("tsource n=1 ! tpass memry=3 ! tsink", AFP_ERROR_PROPERTY, "memry", "'memry'",
          "'memory'");
  refuse ("tsource n=1 ! tpass memory=x ! tsink", AFP_ERROR_PROPERTY, "x ! tsink", "memory", "x");
  refuse ("tsource n=1 ! tpass preset=bigg ! tsink", AFP_ERROR_PROPERTY, "bigg", "bigg", "big");
  refuse ("tsource n=1 preset=big ! tsink", AFP_ERROR_PROPERTY, "preset", "preset", "tsource");
}
END_TEST

START_TEST (test_property_twice)
{
  refuse ("tsource n=1 ! tpass memory=1 m=2 ! tsink", AFP_ERROR_USAGE, "m=2", "'memory' and 'm'",
          "same property");
}
END_TEST

START_TEST (test_names)
{
  refuse ("tsource n=1 name=a ! tpass name=a ! tsink", AFP_ERROR_USAGE, "a ! tsink", "two elements",
          "'a'");
  refuse ("tsource n=1 ! ttee name=tee ! tsink te. ! tsink", AFP_ERROR_USAGE, "te. ", "'te'",
          "name=te");
  refuse ("tsource n=1 ! ttee name=split ! tsink splt. ! tsink", AFP_ERROR_USAGE, "splt.", "'splt'",
          "'split.'");
}
END_TEST

START_TEST (test_assertions)
{
  refuse ("tsource n=1 ! tensor,dtype=f99 ! tsink", AFP_ERROR_PROPERTY, "dtype", "f99", "f16");
  refuse ("tsource n=1 ! tensor,rank=2,dtpe=f16 ! tsink", AFP_ERROR_PROPERTY, "dtpe", "dtpe",
          "dtype");
  refuse ("tsource n=1 ! tensor ! tsink", AFP_ERROR_USAGE, "tensor", "says nothing", "dtype=f16");
}
END_TEST

START_TEST (test_ends)
{
  refuse ("tsource n=1 ! tpass", AFP_ERROR_USAGE, "tpass", "'tpass0' leads nowhere", "! null");
  refuse ("tsource n=1", AFP_ERROR_USAGE, "tsource", "'src' is not linked",
          "! write location=FILE");
  refuse ("tpass ! tsink", AFP_ERROR_USAGE, "tpass", "nothing comes to 'tpass0'", "source");
  refuse ("tsource n=1 ! ttee", AFP_ERROR_USAGE, "ttee", "none of its branches", "t. ! ...");
  refuse ("tsource n=1 ! tsink tsink name=z", AFP_ERROR_USAGE, "tsink name", "nothing comes to 'z'",
          "sink");
}
END_TEST

START_TEST (test_wrong_places)
{
  refuse ("tsource n=1 ! tsource n=2 ! tsink", AFP_ERROR_USAGE, "tsource n=2",
          "'tsource1' is a source", "'tsource0'");
  refuse ("tsource n=1 ! tsink ! tpass", AFP_ERROR_USAGE, "tpass", "'tsink0' is a sink",
          "nothing can follow");
}
END_TEST

START_TEST (test_linked_twice)
{
  refuse ("tsource n=1 ! tpass name=p ! tsink p. ! tpass ! tsink", AFP_ERROR_USAGE, "tpass ! tsink",
          "'p' is linked twice", "tee name=t");
  refuse ("tsource n=1 ! tpass name=p ! tsink tsource n=1 name=other ! p.", AFP_ERROR_USAGE, "p.",
          "'p' is linked twice", "come from 'tsource0'");
}
END_TEST

START_TEST (test_circles)
{
  refuse ("tpass name=a ! tpass name=b ! a. tsource n=1 ! tsink", AFP_ERROR_USAGE, "tpass name=a",
          "circle", "'a'");
  refuse ("tpass name=b ! ttee name=t ! tpass ! b. t. ! tsink tsource n=1 ! tsink", AFP_ERROR_USAGE,
          "tpass name=b", "circle", "comes back");
}
END_TEST

static TCase *
make_built (void)
{
  TCase *tcase = tcase_create ("built");
  tcase_add_test (tcase, test_names_are_numbered);
  tcase_add_test (tcase, test_elements_are_sorted);
  tcase_add_test (tcase, test_reference_ends_a_chain);
  tcase_add_test (tcase, test_properties_and_presets);
  tcase_add_test (tcase, test_assertion_is_an_element);
  tcase_add_test (tcase, test_ast_without_text);
  return tcase;
}

static TCase *
make_refused (void)
{
  TCase *tcase = tcase_create ("refused");
  tcase_add_test (tcase, test_unknown_words);
  tcase_add_test (tcase, test_property_twice);
  tcase_add_test (tcase, test_names);
  tcase_add_test (tcase, test_assertions);
  tcase_add_test (tcase, test_ends);
  tcase_add_test (tcase, test_wrong_places);
  tcase_add_test (tcase, test_linked_twice);
  tcase_add_test (tcase, test_circles);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_built, make_refused };
  pipe_register ();
  return run_suite ("build", cases, G_N_ELEMENTS (cases));
}
