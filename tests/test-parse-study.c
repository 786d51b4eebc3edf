/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "parse-test.h"

/* The text of studies: what tools expand into pipelines. */

static AfpAstStudy *
parse_study (const char *text)
{
  g_autoptr (GError) error = NULL;
  AfpAstStudy *study = afp_parse_study (text, NULL, NULL, &error);
  ck_assert_msg (study != NULL, "%s: %s", text, error ? error->message : "");
  return study;
}

START_TEST (a_study)
{
  const char *text =
      "let r = {2.0, \"3 0\"} load location=a{b,\"c d\",'{'}.h5 x=\"{1}\" "
      "! permute(a k=1 ! b, either(c m={1,2}, subsets(d)) ! e) ! t p=${r} ! null repeat=5\n"
      "where bpw<=3 and c.m!=\"1 2\", nll >4 where x==y";
  g_autoptr (AfpAstStudy) study = parse_study (text);
  const AfpAstProperty *location = property_at (study->ast, 0, 0, 0);
  ck_assert_uint_eq (location->values->len, 3);
  ck_assert_str_eq (location->values->pdata[1], "ac d.h5");
  ck_assert_str_eq (location->values->pdata[2], "a{.h5");
  ck_assert_str_eq (location->value, "a{b,\"c d\",'{'}.h5");
  ck_assert_uint_eq (location->value_end - location->value_column, strlen (location->value));
  ck_assert_ptr_null (property_at (study->ast, 0, 0, 1)->values);
  ck_assert_str_eq (property_at (study->ast, 0, 0, 1)->value, "{1}");
  const AfpAstNode *node = node_at (study->ast, 0, 1);
  ck_assert_int_eq (node->type, AFP_AST_PERMUTE);
  ck_assert_str_eq (node->name, "permute");
  ck_assert_uint_eq (node->parts->len, 2);
  ck_assert_str_eq (property_at (study->ast, 0, 2, 0)->value, "2.0");
  ck_assert_uint_eq (study->repeat, 5);
  ck_assert_uint_eq (study->lets->len, 1);
  ck_assert_str_eq (((AfpAstLet *) study->lets->pdata[0])->values->pdata[1], "3 0");
  ck_assert_uint_eq (study->conditions->len, 4);
  const AfpAstCondition *condition = study->conditions->pdata[1];
  ck_assert_str_eq (condition->name, "c.m");
  ck_assert_int_eq (condition->op, AFP_AST_OTHER);
  ck_assert_str_eq (condition->value, "1 2");
  ck_assert_str_eq (condition->text, "c.m!=\"1 2\"");
  assert_text (
      afp_ast_to_string (study->ast),
      "load location={ab.h5,\"ac d.h5\",\"a{.h5\"} x=\"{1}\" ! permute(a k=1 ! b, either(c m={1,2}, "
      "subsets(d)) ! e) ! t p=2.0 ! null");
}
END_TEST

START_TEST (chosen_variables)
{
  g_autoptr (GHashTable) set = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) chosen = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GError) error = NULL;
  const char *text = "let a = 1 let b = {${a}0, 7} load x=${a}-${b} ! null";
  g_hash_table_insert (set, (gpointer) "a", (gpointer) "{4, 5}");
  g_hash_table_insert (chosen, (gpointer) "a", (gpointer) "5");
  g_autoptr (AfpAstStudy) study = afp_parse_study (text, set, chosen, &error);
  ck_assert_ptr_nonnull (study);
  ck_assert_str_eq (property_at (study->ast, 0, 0, 0)->value, "5-50");
  ck_assert_uint_eq (((AfpAstLet *) study->lets->pdata[0])->values->len, 2);
  g_hash_table_insert (set, (gpointer) "a", (gpointer) "{4, 5");
  ck_assert_ptr_null (afp_parse_study (text, set, NULL, &error));
  assert_error (error, AFP_ERROR_USAGE,
                "--set a: line 1, column 1: the brace opened here is not closed");
  g_hash_table_insert (set, (gpointer) "a", (gpointer) "{4}x y");
  ck_assert_ptr_null (afp_parse_study (text, set, NULL, &error));
  assert_error (error, AFP_ERROR_USAGE, "--set a: ", "stray text behind the set");
}
END_TEST

static const struct {
  const char *text, *message;
  guint column;
} bad_studies[] = {
  { "load k={2,3 ! null", "the brace opened here is not closed", 7 },
  { "load k={", "the brace opened here is not closed", 7 },
  { "load k={} ! null", "a value of the set is missing", 8 },
  { "load k={2,,3} ! null", "a value of the set is missing", 10 },
  { "load k={2 3} ! null", "a comma is missing between two values of a set", 10 },
  { "load k={2,2} ! null", "'2' stands twice in the set", 10 },
  { "load k={2,{3}} ! null", "'{' within braces", 10 },
  { "load k={1,2}{3,4} ! null", "a value has one set at the most", 12 },
  { "load k={\"a\"b} ! null", "stray 'b' after a closing quote", 11 },
  { "load name={a,b} ! null", "'{a,b}' is no name for an element", 10 },
  { "load ! permute() ! null", "permute has an empty part here", 15 },
  { "load ! either(a,) ! null", "subsets(x) for x or nothing", 16 },
  { "load ! either(a, b ! null", "the parenthesis opened here is not closed", 13 },
  { "load ! either(", "the parenthesis opened here is not closed", 13 },
  { "load ! either(a b) ! null", "'!' or ',' is missing", 16 },
  { "load ! either(a ! , b) ! null", "stray ','", 18 },
  { "load ! either(! a) ! null", "'!' with nothing before it", 14 },
  { "load ! either(a)b ! null", "stray 'b' behind either(...)", 16 },
  { "load ! either(a)! either(b)) ! null", "stray ')' behind either(...)", 27 },
  { "load ! either (a) ! null", "stray '('", 14 },
  { "load ! either(t. ! a) ! null", "a reference cannot be a part of a choice", 14 },
  { "load ! either(a ! tensor,rank=2 ! b) ! null", "an assertion cannot be a part of a choice",
    18 },
  { "load ! either(a k=f(x)) ! null", "'(' in a value within a choice", 19 },
  { "load ! either(a repeat=2) ! null", "repeat= counts for the whole study", 16 },
  { "load ! choose(a) ! null", "stray '('", 13 },
  { "let = {1} load", "'let' without a name and '='", 4 },
  { "let r {1} load", "'let' without a name and '='", 4 },
  { "let r = ", "the value of 'r' is missing", 8 },
  { "let r = 1 let r = 2 load ! null", "the variable 'r' is defined twice", 14 },
  { "load x=${r} ! null let r = 1", "${r} is not defined", 7 },
  { "load ! null where", "a condition is missing", 17 },
  { "load ! null where bpw", "a condition is missing", 21 },
  { "load ! null where bpw ~ 3", "with one of < <= > >= = !=", 22 },
  { "load ! null where bpw<", "the value of the condition is missing: write where bpw<VALUE", 22 },
  { "load ! null where bpw<3 and", "a condition is missing", 27 },
  { "load ! null where bpw<3, , x<1", "a condition is missing", 25 },
  { "load ! null where 3<bpw", "a condition is missing", 18 },
  { "load ! null repeat=", "repeat=: give how often", 19 },
  { "load ! null repeat=0",
    "repeat=0: give how often every pipeline runs, with other random seeds: 1..10000", 19 },
  { "load ! null repeat={1,2}", "a set of values cannot stand here", 19 },
  { "load repeat=2 ! null repeat=2", "repeat= is given twice", 21 },
  { "load ! null repeat=10001", "1..10000", 19 },
};

START_TEST (bad_study)
{
  g_autoptr (GError) error = NULL;
  AfpAstStudy *study = afp_parse_study (bad_studies[_i].text, NULL, NULL, &error);
  ck_assert_msg (study == NULL, "%s", bad_studies[_i].text);
  ck_assert_msg (strstr (error->message, bad_studies[_i].message) != NULL, "%s: %s",
                 bad_studies[_i].text, error->message);
  check_place (bad_studies[_i].text, bad_studies[_i].column, error);
}
END_TEST

START_TEST (deep_studies)
{
  g_autoptr (GString) text = g_string_new ("load ! ");
  g_autoptr (GError) error = NULL;
  for (guint i = 0; i < 5000; i++)
    g_string_append (text, "either(");
  ck_assert_ptr_null (afp_parse_study (text->str, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_USAGE, "choices within choices, 16 deep: that is the most");
}
END_TEST

/* Random texts: what parses survives the way to text and back. */
START_TEST (random_studies)
{
  static const char *const parts[] = {
    "load",       " ",        "!", " ! ",     " k=",      "\"",       "{",      "}",
    ",",          "(",        ")", "either(", "permute(", "subsets(", "let r=", "${r}",
    " where x<3", "repeat=2", "a", "'",       "\xff",     "t."
  };
  g_autoptr (GRand) rand = g_rand_new_with_seed (8);
  guint good = 0;
  for (guint i = 0; i < 30000; i++) {
    g_autoptr (GString) text = g_string_new (i % 2 ? "load ! either(a, b" : "load k={1,");
    g_autoptr (GError) error = NULL;
    for (guint n = (guint) g_rand_int_range (rand, 1, 9); n > 0; n--)
      g_string_append (text, parts[g_rand_int_range (rand, 0, G_N_ELEMENTS (parts))]);
    g_autoptr (AfpAstStudy) study = afp_parse_study (text->str, NULL, NULL, &error);
    ck_assert ((study == NULL) == (error != NULL));
    if (!study) {
      ck_assert_msg (g_utf8_validate (error->message, -1, NULL), "%s", error->message);
      continue;
    }
    good++;
    g_autofree char *canonical = afp_ast_to_string (study->ast);
    g_autoptr (AfpAstStudy) again = parse_study (canonical);
    assert_text (afp_ast_to_string (again->ast), canonical);
  }
  ck_assert_uint_gt (good, 300);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("studies");
  tcase_add_test (tcase, a_study);
  tcase_add_test (tcase, chosen_variables);
  tcase_add_loop_test (tcase, bad_study, 0, G_N_ELEMENTS (bad_studies));
  tcase_add_test (tcase, deep_studies);
  tcase_add_test (tcase, random_studies);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("parse-study", cases, G_N_ELEMENTS (cases));
}
