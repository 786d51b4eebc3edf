/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-run-test.h"

#define ANY (-1)

/* What is wrong is found before the first tensor is read, and nothing is written. */
static void
check_refused (const char *text, int code, int status, const char *const *words)
{
  g_autofree char *all = g_strconcat (text, " ! write location=@/x.h5", NULL);
  GError *error = NULL;

  ck_assert_msg (!eval_try (all, &error), "%s", text);
  ck_assert_msg (code == ANY || afp_error_exit_code (error) == status, "exit %d: %s",
                 afp_error_exit_code (error), error->message);
  for (; *words; words++)
    ck_assert_msg (strstr (error->message, *words) != NULL, "no '%s' in: %s", *words,
                   error->message);
  ck_assert (code == ANY || g_error_matches (error, AFP_ERROR, code));
  ck_assert (!eval_file_exists ("x.h5"));
  g_clear_error (&error);
}

#define SYNTH "synth shapes=4x4"

static const struct {
  const char *source, *options;
  int code, status;
  const char *words[4];
} plans[] = {
  { "load location=@/m.bin", TEXT, ANY, 0, { "eval0: ", "tokenizer" } },
  { "load location=@/m.bin tokenizer=@/m.bin", TEXT, AFP_ERROR_FORMAT, 5, { "eval0: ", "token" } },
  { SYNTH,
    TEXT,
    AFP_ERROR_PLAN,
    4,
    { "eval0: the model cannot be run as a language model", "config.json", "gguf.metadata" } },
  { TINY_LOAD " ! select exclude='layers.1.ffn_norm.*'",
    TEXT,
    AFP_ERROR_PLAN,
    4,
    { "eval0: the model", "cannot be run: it has no tensor 'layers.1.ffn_norm.weight'" } },
  { TINY_LOAD " ! select tensors='*norm*'", TEXT, AFP_ERROR_PLAN, 4, { "it has no tensor '" } },
  { SYNTH, TEXT " original=@/m.bin", ANY, 0, { "eval0: " } }, /* it has no tokenizer with it */
  { SYNTH, TEXT " original=@/nowhere.bin", ANY, 0, { "eval0: ", "original=", "nowhere.bin" } },
};

START_TEST (cannot_be_run)
{
  g_autofree char *text = g_strdup_printf ("%s ! eval %s", plans[_i].source, plans[_i].options);

  check_refused (text, plans[_i].code, plans[_i].status, plans[_i].words);
}
END_TEST

static const struct {
  const char *options;
  int code, status;
  const char *words[3];
} properties[] = {
  { "text=@/nowhere.txt",
    AFP_ERROR_IO,
    5,
    { "eval0: text=", "nowhere.txt: there is no such file" } },
  { "text=@", AFP_ERROR_IO, 5, { "there is no such file" } }, /* a folder */
  { TEXT " context=30 stride=100",
    AFP_ERROR_PROPERTY,
    2,
    { "stride=100 is more than context=30: text would be left out" } },
  { TEXT " separator=x stride=10",
    AFP_ERROR_PROPERTY,
    2,
    { "stride=10 is for one stream of text in windows", "give one of them" } },
  { "context=8", AFP_ERROR_PROPERTY, 2, { "context= is about the text", "give text=FILE, too" } },
  { "stride=8", AFP_ERROR_PROPERTY, 2, { "stride= is about the text" } },
  { "separator=x", AFP_ERROR_PROPERTY, 2, { "separator= is about the text" } },
  { TEXT " context=-1", AFP_ERROR_PROPERTY, 2, { "context" } },
  { TEXT " context=10000000", AFP_ERROR_PROPERTY, 2, { "context" } },
};

START_TEST (wrong_options)
{
  g_autofree char *text = g_strdup_printf (TINY_LOAD " ! eval %s", properties[_i].options);

  check_refused (text, properties[_i].code, properties[_i].status, properties[_i].words);
}
END_TEST

/* --- a text with nothing in it ------------------------------------------------------------------------------------ */

static const struct {
  const char *text, *options;
} empty[] = {
  { "", "" },
  { "", "separator=x" },
  { " \n\t ", "separator=x" },
  { "xxxx", "separator=x" },
  { "x \nx", "separator=x" },
};

START_TEST (nothing_to_predict)
{
  g_autofree char *text = g_strdup_printf (TINY_LOAD " ! eval " TEXT " %s", empty[_i].options);
  static const char *const words[] = { "eval0: text=", "text.txt: the text of ",
                                       " bytes has nothing to predict: two tokens are the least",
                                       NULL };

  tiny_put_text ("text.txt", empty[_i].text);
  check_refused (text, AFP_ERROR_FORMAT, 5, words);
}
END_TEST

/* --- and those that can be run ------------------------------------------------------------------------------------ */

/* Any bytes are text. */
START_TEST (noise)
{
  char bytes[300];
  g_autofree char *path = NULL;

  for (guint i = 0; i < sizeof bytes; i++)
    bytes[i] = (char) (i * i * 7 >> 3);
  path = put_file ("text.txt", bytes, sizeof bytes);
  eval_run (TINY_LOAD " ! eval " TEXT " ! null");
  ck_assert (isfinite (eval_number (0, "nll")));
  ck_assert (eval_number (0, "tokens") >= 250);
}
END_TEST

START_TEST (one_letter)
{
  tiny_put_text ("text.txt", "a");
  eval_run (TINY_LOAD " ! eval " TEXT " ! null");
  ck_assert (eval_number (0, "tokens") >= 1);
}
END_TEST

/* Documents are stripped: what lies between them does not matter. */
START_TEST (documents)
{
  tiny_put_text ("text.txt", "a boat\n--\n\n  a bird  \n--\n--");
  eval_run (TINY_LOAD " ! eval " TEXT " separator='--' ! null");
  const double nll = eval_number (0, "nll");

  tiny_put_text ("text.txt", "a boat--a bird");
  eval_run (TINY_LOAD " ! eval " TEXT " separator='--' ! null");
  ck_assert (eval_number (0, "nll") == nll);
  tiny_put_text ("text.txt", "a bird--a boat");
  eval_run (TINY_LOAD " ! eval " TEXT " separator='--' ! null");
  ck_assert (fabs (eval_number (0, "nll") - nll) < 1e-6);
}
END_TEST

/* The one that is compared with, if it is not the one that is coded. */
START_TEST (another_original)
{
  eval_run (TINY_LOAD " ! seedlm seed-bits=6 ! write location=@/m.h5");
  eval_run (TINY_LOAD " ! eval original=@/m.h5 " TEXT " ! null");
  ck_assert (eval_number (0, "nll") != eval_number (0, "nll_ref"));
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");

  tcase_add_checked_fixture (tcase, eval_setup, eval_teardown);
  tcase_add_test (tcase, noise);
  tcase_add_test (tcase, one_letter);
  tcase_add_test (tcase, documents);
  tcase_add_test (tcase, another_original);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");

  tcase_add_checked_fixture (tcase, eval_setup, eval_teardown);
  tcase_add_loop_test (tcase, cannot_be_run, 0, G_N_ELEMENTS (plans));
  tcase_add_loop_test (tcase, wrong_options, 0, G_N_ELEMENTS (properties));
  tcase_add_loop_test (tcase, nothing_to_predict, 0, G_N_ELEMENTS (empty));
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("eval-language", cases, G_N_ELEMENTS (cases));
}
