/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "parse-test.h"

static AfpAst *
parse (const char *text)
{
  g_autoptr (GError) error = NULL;
  AfpAst *ast = afp_parse (text, NULL, &error);
  ck_assert_msg (ast != NULL, "%s: %s", text, error ? error->message : "");
  return ast;
}

/* --- good texts --- */

START_TEST (a_chain)
{
  const char *text =
      "load location=model.safetensors ! seedlm C=8 P=3 ! write location=\"my file.h5\"";
  g_autoptr (AfpAst) ast = parse (text);
  ck_assert_uint_eq (ast->chains->len, 1);
  ck_assert_str_eq (ast->text, text);
  ck_assert_str_eq (node_at (ast, 0, 1)->name, "seedlm");
  ck_assert_int_eq (node_at (ast, 0, 1)->type, AFP_AST_ELEMENT);
  ck_assert_uint_eq (node_at (ast, 0, 1)->column, 34);
  ck_assert_uint_eq (node_at (ast, 0, 1)->properties->len, 2);
  ck_assert_str_eq (property_at (ast, 0, 1, 1)->name, "P");
  ck_assert_str_eq (property_at (ast, 0, 1, 1)->value, "3");
  ck_assert_uint_eq (property_at (ast, 0, 1, 1)->name_column, 45);
  ck_assert_uint_eq (property_at (ast, 0, 1, 1)->value_column, 47);
  ck_assert_str_eq (property_at (ast, 0, 2, 0)->value, "my file.h5");
  ck_assert (text[property_at (ast, 0, 2, 0)->value_column] == '"');
}
END_TEST

START_TEST (branches)
{
  g_autoptr (AfpAst) ast =
      parse ("load ! tee name=t ! write location=a.h5   t. ! null\nt. ! eval ! join. u. ! null");
  ck_assert_uint_eq (ast->chains->len, 4);
  ck_assert_int_eq (node_at (ast, 1, 0)->type, AFP_AST_REFERENCE);
  ck_assert_str_eq (node_at (ast, 1, 0)->name, "t");
}
END_TEST

START_TEST (two_chains)
{
  g_autoptr (AfpAst) ast = parse ("load a=1 b=2 ! null synth!null");
  ck_assert_uint_eq (ast->chains->len, 2);
  ck_assert_str_eq (node_at (ast, 1, 0)->name, "synth");
  ck_assert_str_eq (node_at (ast, 1, 1)->name, "null");
}
END_TEST

START_TEST (assertions)
{
  g_autoptr (AfpAst) ast =
      parse ("load ! tensor,dtype={f16, bf16},rank=2,name=\"a,b\" ! tensor ! tensor , rank=1 ! t.");
  ck_assert_int_eq (node_at (ast, 0, 1)->type, AFP_AST_ASSERTION);
  ck_assert_uint_eq (node_at (ast, 0, 1)->properties->len, 3);
  ck_assert_str_eq (property_at (ast, 0, 1, 0)->value, "{f16,bf16}");
  ck_assert_str_eq (property_at (ast, 0, 1, 1)->value, "2");
  ck_assert_str_eq (property_at (ast, 0, 1, 2)->value, "a,b");
  ck_assert_uint_eq (node_at (ast, 0, 2)->properties->len, 0);
  ck_assert_str_eq (property_at (ast, 0, 3, 0)->name, "rank");
}
END_TEST

START_TEST (quotes)
{
  g_autoptr (AfpAst) ast = parse (
      "a b=\"x \\\"y\\\" \\\\ \\n\\t\\${Z}\" c='\\ \"${Z}' d=\"\" e='' f=x=y,z g=a\\b#c h=\"!\"!null");
  ck_assert_str_eq (property_at (ast, 0, 0, 0)->value, "x \"y\" \\ \n\t${Z}");
  ck_assert_str_eq (property_at (ast, 0, 0, 1)->value, "\\ \"${Z}");
  ck_assert_str_eq (property_at (ast, 0, 0, 2)->value, "");
  ck_assert_str_eq (property_at (ast, 0, 0, 3)->value, "");
  ck_assert_str_eq (property_at (ast, 0, 0, 4)->value, "x=y,z");
  ck_assert_str_eq (property_at (ast, 0, 0, 5)->value, "a\\b#c");
  ck_assert_str_eq (property_at (ast, 0, 0, 6)->value, "!");
  ck_assert_str_eq (node_at (ast, 0, 1)->name, "null");
}
END_TEST

START_TEST (comments)
{
  g_autoptr (AfpAst) ast =
      parse ("# the job ! of today\nload # here: \"\n  location=a#1 ! # next\n#\nnull # end");
  ck_assert_uint_eq (ast->chains->len, 1);
}
END_TEST

START_TEST (comment_needs_a_blank_before_it)
{
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (afp_parse ("load ! null#x", NULL, &error));
  assert_error (error, AFP_ERROR_USAGE, "stray 'null#x'");
}
END_TEST

START_TEST (variables)
{
  g_autoptr (GHashTable) set = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GError) error = NULL;
  g_hash_table_insert (set, (gpointer) "FILE", (gpointer) "my file!");
  g_hash_table_insert (set, (gpointer) "CODEC", (gpointer) "seedlm");
  g_hash_table_insert (set, (gpointer) "N", (gpointer) "8");
  g_hash_table_insert (set, (gpointer) "EMPTY", (gpointer) "");
  g_autoptr (AfpAst) ast = afp_parse (
      "load location=${FILE} ! ${CODEC} C=${N}${N} ${CODEC}x=\"${N} $N\" e=${EMPTY} s='${N}' ! null",
      set, &error);
  ck_assert_msg (ast != NULL, "%s", error ? error->message : "");
  ck_assert_str_eq (property_at (ast, 0, 0, 0)->value, "my file!");
  ck_assert_str_eq (node_at (ast, 0, 1)->name, "seedlm");
  ck_assert_str_eq (property_at (ast, 0, 1, 0)->value, "88");
  ck_assert_str_eq (property_at (ast, 0, 1, 1)->name, "seedlmx");
  ck_assert_str_eq (property_at (ast, 0, 1, 1)->value, "8 $N");
  ck_assert_str_eq (property_at (ast, 0, 1, 2)->value, "");
  ck_assert_str_eq (property_at (ast, 0, 1, 3)->value, "${N}");

  ck_assert_ptr_null (afp_parse ("load location=${FIEL}", set, &error));
  assert_error (error, AFP_ERROR_USAGE,
                "${FIEL} is not defined: give --set FIEL=VALUE; did you mean ${FILE}?",
                "\n  load location=${FIEL}\n                ^");
  ck_assert_ptr_null (afp_parse ("${FILE} ! null", set, &error));
  assert_error (error, AFP_ERROR_USAGE, "stray 'my file!'");
}
END_TEST

/* --- bad texts: what is wrong, and the byte under the caret --- */

static const struct {
  const char *text, *message;
  guint column;
} bad[] = {
  { "load !", "'!' with nothing after it", 5 },
  { "load ! # x", "'!' with nothing after it", 5 },
  { "load ! ! null", "an element is missing between '!' and '!'", 7 },
  { "load !! null", "an element is missing between '!' and '!'", 6 },
  { "! load", "'!' with nothing before it", 0 },
  { "!", "'!' with nothing before it", 0 },
  { "load location=\"abc", "the quote \" opened here is not closed", 14 },
  { "load location='a\nb", "the quote ' opened here is not closed", 14 },
  { "load location=", "'location=' has no value: write location=VALUE", 14 },
  { "load C= 8", "'C=' has no value", 7 },
  { "load C=! null", "'C=' has no value", 7 },
  { "load C = 8", "blanks around '=': write C=VALUE", 7 },
  { "load C =8", "blanks around '=': write C=VALUE", 7 },
  { "load a=1 =8", "'=' without a name before it", 9 },
  { "=8", "'=' stands alone", 0 },
  { "load ! =8", "'=' stands alone", 7 },
  { "load ! C=8", "an element is expected here, not the property 'C='", 7 },
  { "C=8", "an element is expected here, not the property 'C='", 0 },
  { "load 9=8", "'9' is no name of a property", 5 },
  { "load a.b=8", "'a.b' is no name of a property", 5 },
  { "load a=1 a=2", "'a' is given twice", 9 },
  { "load name=my.t", "'my.t' is no name for an element", 10 },
  { "load name=\"a b\"", "'a b' is no name for an element", 10 },
  { "load a=\"x\"y", "stray 'y' after a closing quote", 10 },
  { "load a=\"x\",b=1", "stray ',' after a closing quote", 10 },
  { "load a=x\"y\"", "a quote in the middle of a value", 8 },
  { "load a=\"\\d\"", "unknown escape", 8 },
  { "load a=\"\\", "unknown escape", 8 },
  { "load a=${X}", "${X} is not defined: give --set X=VALUE", 7 },
  { "load a=${X", "'${' without its '}'", 7 },
  { "load a=${X }", "'${' without its '}'", 7 },
  { "load a=${}", "'' is no name of a variable", 7 },
  { "load a=${1x}", "'1x' is no name of a variable", 7 },
  { "load ; null", "stray ';'", 5 },
  { "load ! \"null\"", "stray quote", 7 },
  { "load \"x\"", "stray quote", 5 },
  { "load, null", "stray ',' after 'load': assertions are written tensor", 4 },
  { "load ! , null", "stray ','", 7 },
  { "load ! video,rank=2 ! null", "stray ',' after 'video'", 12 },
  { "load ! 8bit", "stray '8bit'", 7 },
  { "load ! n\xc3\xbcll", "stray 'n\xc3\xbcll'", 7 },
  { "load ! t.src ! null", "stray 't.src'", 7 },
  { "load ! . ! null", "stray '.'", 7 },
  { "load ! t. ! null", "a reference begins or ends a chain", 7 },
  { "t.", "the reference 't.' is linked to nothing", 0 },
  { "load ! null t. u. ! null", "the reference 't.' is linked to nothing", 12 },
  { "t. ! u.", "an element is missing between the references 't.' and 'u.'", 5 },
  { "t. ! tensor,rank=2 ! u.", "an element is missing", 21 },
  { "t. C=8 ! null", "the reference 't.' is linked to nothing", 0 },
  { "tensor,rank=2 ! null", "nothing comes before this one", 0 },
  { "load ! tensor,rank=2", "nothing comes after this one", 7 },
  { "load ! tensor,rank=2 null", "nothing comes after this one", 7 },
  { "load ! tensor, ! null", "FIELD=VALUE is missing after ','", 13 },
  { "load ! tensor,rank ! null", "FIELD=VALUE is missing after ','", 13 },
  { "load ! tensor,rank= ! null", "'rank=' has no value", 19 },
  { "load ! tensor,rank=,name=x ! null", "'rank=' has no value", 19 },
  { "load ! tensor rank=2 ! null", "',' is missing: assertions are written tensor,rank=VALUE", 13 },
  { "load ! tensor,=2 ! null", "'=' without a name", 14 },
  { "load ! tensor,dtype={f16 ! null", "the brace opened here is not closed", 20 },
  { "load ! tensor,dtype={{f16}} ! null", "'{' within braces", 21 },
  { "load ! tensor,rank=1,rank=2 ! null", "'rank' is given twice", 21 },
  { "load ! tensor=2 ! null", "an element is expected here", 7 },
  { "load ! f(x) ! null", "stray '('", 8 },
  { "load ! x) ! null", "stray ')'", 8 },
  /* what is for studies */
  { "load k={2,3} ! null", "a set of values stands for many pipelines, which are for afpipe-ablate",
    7 },
  { "load ! permute(a, b) ! null",
    "permute(...) stands for many pipelines, which are for afpipe-ablate", 7 },
  { "load ! subsets(a) ! null", "subsets(...) stands for many", 7 },
  { "load ! either(a, b) ! null", "either(...) stands for many", 7 },
  { "let r = {2,3} load ! null", "'let' is of a text that stands for many pipelines", 0 },
  { "load ! null\nwhere bpw<3", "'where' is of a text that stands for many pipelines", 12 },
  { "repeat=3 load ! null", "repeat= stands for many pipelines", 0 },
};

START_TEST (bad_text)
{
  g_autoptr (GError) error = NULL;
  AfpAst *ast = afp_parse (bad[_i].text, NULL, &error);
  ck_assert_msg (ast == NULL, "%s", bad[_i].text);
  ck_assert_msg (strstr (error->message, bad[_i].message) != NULL, "%s: %s", bad[_i].text,
                 error->message);
  check_place (bad[_i].text, bad[_i].column, error);
  assert_error (error, AFP_ERROR_USAGE, bad[_i].message);
}
END_TEST

START_TEST (empty_texts)
{
  static const char *const empty[] = { "", " ", "\n\t ", "# only a comment", "#\n#\n" };
  g_autoptr (GError) error = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (empty); i++) {
    ck_assert_ptr_null (afp_parse (empty[i], NULL, &error));
    assert_error (error, AFP_ERROR_USAGE, "the pipeline text is empty");
  }
}
END_TEST

START_TEST (limits)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) text = g_string_new ("load");
  while (text->len < 1024 * 1024 - 16)
    g_string_append_printf (text, " ! x%u", (guint) text->len);
  g_autoptr (AfpAst) ast = afp_parse (text->str, NULL, &error);
  ck_assert_ptr_nonnull (ast);
  g_autofree char *blanks = g_strnfill (1024 * 1024 + 1, ' ');
  ck_assert_ptr_null (afp_parse (blanks, NULL, &error));
  assert_error (error, AFP_ERROR_USAGE, "1048577 bytes, the limit is 1048576");
  ck_assert_ptr_null (afp_parse ("load !", NULL, NULL));
}
END_TEST

/* --- back to text --- */

START_TEST (canonical_text)
{
  static const struct {
    const char *text, *canonical;
  } cases[] = {
    { "load  a=1!null # x", "load a=1 ! null" },
    { "load a=\"plain\" b='two words' c=\"\" d='\"' ! null",
      "load a=plain b=\"two words\" c=\"\" d=\"\\\"\" ! null" },
    { "load a='${X}' b='\\' ! null", "load a=\"\\${X}\" b=\\ ! null" },
    { "load a=\"x\\ny\" b='!' ! null", "load a=\"x\\ny\" b=\"!\" ! null" },
    { "load ! tensor, dtype={f16, bf16}, name=\"a,b\",state=raw ! null",
      "load ! tensor,dtype={f16,bf16},name=\"a,b\",state=raw ! null" },
    { "load ! tensor,name=\"{a, b}\",state='a{b}' ! null",
      "load ! tensor,name=\"{a, b}\",state=\"a{b}\" ! null" },
    { "load ! tee name=t ! null\n t. ! a !b.", "load ! tee name=t ! null t. ! a ! b." },
    { "load planes=weight,coeffs shapes=1x1,2 ! null",
      "load planes=weight,coeffs shapes=1x1,2 ! null" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (AfpAst) ast = parse (cases[i].text);
    g_autofree char *text = afp_ast_to_string (ast);
    ck_assert_str_eq (text, cases[i].canonical);
    g_autoptr (AfpAst) again = parse (text);
    assert_text (afp_ast_to_string (again), text);
  }
}
END_TEST

static void
check_same (const AfpAst *a, const AfpAst *b)
{
  ck_assert_uint_eq (a->chains->len, b->chains->len);
  for (guint c = 0; c < a->chains->len; c++) {
    const AfpAstChain *chain_a = a->chains->pdata[c], *chain_b = b->chains->pdata[c];
    ck_assert_uint_eq (chain_a->nodes->len, chain_b->nodes->len);
    for (guint n = 0; n < chain_a->nodes->len; n++) {
      const AfpAstNode *x = node_at (a, c, n), *y = node_at (b, c, n);
      ck_assert_int_eq (x->type, y->type);
      ck_assert_str_eq (x->name, y->name);
      ck_assert_uint_eq (x->properties->len, y->properties->len);
      for (guint p = 0; p < x->properties->len; p++) {
        ck_assert_str_eq (property_at (a, c, n, p)->name, property_at (b, c, n, p)->name);
        ck_assert_str_eq (property_at (a, c, n, p)->value, property_at (b, c, n, p)->value);
      }
    }
  }
}

/* Random texts: no crash; what parses survives the way to text and back; carets are valid UTF-8. */
START_TEST (random_texts)
{
  static const char *const parts[] = { "load",    " ",     "!",  " ! ", "=",  "a=",   "\"",
                                       "'",       "x",     ",",  "{",   "}",  "t.",   "tensor",
                                       ",rank=2", "${A}",  "${", "\\",  "\n", "#",    "\xc3\xa9",
                                       "\xff",    "name=", "8",  ".",   "\t", " b=1", "\\n" };
  g_autoptr (GHashTable) set = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);
  guint good = 0;
  g_hash_table_insert (set, (gpointer) "A", (gpointer) "v w");
  for (guint i = 0; i < 60000; i++) {
    g_autoptr (GString) text = g_string_new (i % 2 ? "load " : NULL);
    g_autoptr (GError) error = NULL;
    for (guint n = (guint) g_rand_int_range (rand, 1, 9); n > 0; n--)
      g_string_append (text, parts[g_rand_int_range (rand, 0, G_N_ELEMENTS (parts))]);
    g_autoptr (AfpAst) ast = afp_parse (text->str, set, &error);
    ck_assert ((ast == NULL) == (error != NULL));
    if (!ast) {
      ck_assert_msg (g_utf8_validate (error->message, -1, NULL), "%s", error->message);
      continue;
    }
    good++;
    g_autofree char *canonical = afp_ast_to_string (ast);
    g_autoptr (AfpAst) again = afp_parse (canonical, NULL, &error);
    ck_assert_msg (again != NULL, "%s -> %s: %s", text->str, canonical,
                   error ? error->message : "");
    check_same (ast, again);
  }
  ck_assert_uint_gt (good, 500);
}
END_TEST

/* --- carets --- */

static char *
caret (const char *text, gsize column)
{
  GError *error = g_error_new_literal (AFP_ERROR, AFP_ERROR_USAGE, "x");
  afp_error_add_caret (error, text, column);
  char *message = g_strdup (error->message);
  g_error_free (error);
  return message;
}

START_TEST (carets)
{
  assert_text (caret ("load", 2), "x\n  load\n    ^");
  assert_text (caret ("load", 4), "x\n  load\n      ^");
  assert_text (caret ("load", 99), "x\n  load\n      ^");
  assert_text (caret ("", 0), "x\n  \n  ^");
  assert_text (caret ("one\ntwo\r\nthree", 5), "x\n  two\n   ^");
  assert_text (caret ("one\ntwo\r\nthree", 9), "x\n  three\n  ^");
  assert_text (caret ("a\tb\x01"
                      "c",
                      4),
               "x\n  a b c\n      ^");
  assert_text (caret ("\xc3\xa9\xc3\xa9x", 4), "x\n  \xc3\xa9\xc3\xa9x\n    ^");
  assert_text (caret ("\xe6\x97\xa5x", 3), "x\n  \xe6\x97\xa5x\n    ^");
  assert_text (caret ("\xff\xfex", 2), "x\n  ??x\n    ^");
}
END_TEST

/* What was typed may be no UTF-8, and a message may quote it: then it is UTF-8 at last. */
START_TEST (messages_become_utf8)
{
  g_autoptr (GError) error =
      g_error_new_literal (AFP_ERROR, AFP_ERROR_USAGE, "'16x\xbb' is no shape");
  afp_error_add_caret (error, "synth shapes=16x\xbb", 6);
  ck_assert (g_utf8_validate (error->message, -1, NULL));
  ck_assert (g_str_has_prefix (error->message, "'16x\xef\xbf\xbd' is no shape\n  synth"));
}
END_TEST

START_TEST (caret_in_a_long_line)
{
  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < 1000; i++)
    g_string_append_c (text, (char) ('a' + i % 26));
  for (gsize column = 0; column <= 1000; column += 10) {
    g_autofree char *message = caret (text->str, column);
    g_auto (GStrv) lines = g_strsplit (message, "\n", -1);
    ck_assert_uint_eq (g_strv_length (lines), 3);
    ck_assert_uint_le (strlen (lines[1]), 2 + 3 + 100 + 3);
    gsize at = strlen (lines[2]) - 1;
    if (column < 1000)
      ck_assert_int_eq (lines[1][at], text->str[column]);
    ck_assert_int_eq (g_str_has_prefix (lines[1], "  ..."), column > 50);
    ck_assert_int_eq (g_str_has_suffix (lines[1], "..."), column < 950);
  }
}
END_TEST

/* --- arguments --- */

START_TEST (arguments)
{
  assert_text (afp_parse_join_arguments ((char *[]){ NULL }), "");
  assert_text (afp_parse_join_arguments ((char *[]){ (char *) "load", (char *) "location=a",
                                                     (char *) "!", (char *) "null", NULL }),
               "load location=a ! null");
  assert_text (afp_parse_join_arguments ((char *[]){ (char *) "load location=a b=1 ! null", NULL }),
               "load location=a b=1 ! null");
  assert_text (
      afp_parse_join_arguments ((char *[]){ (char *) "load", (char *) "location=my file", NULL }),
      "load location=\"my file\"");
  assert_text (afp_parse_join_arguments (
                   (char *[]){ (char *) "load", (char *) "location=\"my file\"", NULL }),
               "load location=\"my file\"");
  assert_text (
      afp_parse_join_arguments ((char *[]){ (char *) "load", (char *) "location='my file'", NULL }),
      "load location='my file'");
  assert_text (afp_parse_join_arguments ((char *[]){ (char *) "location=it's \"a\\b\"", NULL }),
               "location=\"it's \\\"a\\\\b\\\"\"");
  assert_text (afp_parse_join_arguments (
                   (char *[]){ (char *) "location=a!b", (char *) "x=", (char *) "y=a\\b", NULL }),
               "location=\"a!b\" x= y=a\\b");
  assert_text (afp_parse_join_arguments ((char *[]){ (char *) "location=\"a\" \"b\"", NULL }),
               "location=\"\\\"a\\\" \\\"b\\\"\"");
  assert_text (afp_parse_join_arguments ((char *[]){ (char *) "location=${HOME} x", NULL }),
               "location=\"${HOME} x\"");
}
END_TEST

START_TEST (joined_values_survive)
{
  static const char *const values[] = { "my file", "it's",    "\"",      "a\\ b",    "\"a",
                                        "a ! b",   "'a' 'b'", "\"x\\\"", "tab\there" };
  for (gsize i = 0; i < G_N_ELEMENTS (values); i++) {
    g_autofree char *argument = g_strconcat ("location=", values[i], NULL);
    g_autofree char *text = afp_parse_join_arguments (
        (char *[]){ (char *) "load", argument, (char *) "!", (char *) "null", NULL });
    g_autoptr (AfpAst) ast = parse (text);
    ck_assert_str_eq (property_at (ast, 0, 0, 0)->value, values[i]);
  }
}
END_TEST

static TCase *
good_texts (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_test (tcase, a_chain);
  tcase_add_test (tcase, branches);
  tcase_add_test (tcase, two_chains);
  tcase_add_test (tcase, assertions);
  tcase_add_test (tcase, quotes);
  tcase_add_test (tcase, variables);
  tcase_add_test (tcase, canonical_text);
  tcase_add_test (tcase, arguments);
  tcase_add_test (tcase, joined_values_survive);
  return tcase;
}

static TCase *
bad_texts (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, bad_text, 0, G_N_ELEMENTS (bad));
  tcase_add_test (tcase, comments);
  tcase_add_test (tcase, comment_needs_a_blank_before_it);
  tcase_add_test (tcase, empty_texts);
  tcase_add_test (tcase, limits);
  tcase_add_test (tcase, random_texts);
  tcase_add_test (tcase, carets);
  tcase_add_test (tcase, messages_become_utf8);
  tcase_add_test (tcase, caret_in_a_long_line);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { good_texts, bad_texts };
  return run_suite ("parse", cases, G_N_ELEMENTS (cases));
}
