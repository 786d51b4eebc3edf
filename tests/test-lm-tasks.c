/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lm-test.h"
#include "tokenizer-test.h"

#include "afp-lm-tasks.h"
#include "afp-lm-text.h"

#include <math.h>

static AfpLmTasks *
parse (const char *text, GError **error)
{
  return afp_lm_tasks_parse (text, strlen (text), "some.jsonl", error);
}

static const char three[] =
    "{\"question\": \"ab \", \"choices\": [\"x\", \"yy\"], \"answer\": 1}\n"
    "{\"text\": \"z \\n ab\\n\", \"more\": 1}\n"
    "\n"
    "{\"question\": \"\", \"choices\": [\"abx\", \"bx\", \"cx\"], \"answer\": 0}";

/* As they are encoded: the context, and with the choice. */
static const struct {
  const char *context, *whole;
} documents[] = { { "ab", "ab x" }, { "ab", "ab yy" }, { "z", "z \n ab" },
                  { NULL, "abx" },  { NULL, "bx" },    { NULL, "cx" } };

static GArray *
encode (const AfpTokenizer *tokenizer, const char *text)
{
  return afp_tokenizer_encode (tokenizer, text, strlen (text));
}

/* Each choice stands in a document of its own behind its question, and its tokens alone are asked for; with BOS and without. */
START_TEST (choices_are_targets)
{
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  g_autoptr (AfpLmTasks) tasks = parse (three, NULL);
  const guint bos = _i == 0 ? 1 : G_MAXUINT, n_bos = _i == 0;

  ck_assert_uint_eq (afp_lm_tasks_get_n (tasks), 3);
  g_autoptr (AfpLmText) text = afp_lm_tasks_make_text (tasks, tokenizer, bos, 100, NULL);
  ck_assert_ptr_nonnull (text);
  ck_assert_uint_eq (text->n_documents, 6);
  for (gsize d = 0; d < 6; d++) {
    g_autoptr (GArray) whole = encode (tokenizer, documents[d].whole);
    g_autoptr (GArray) before =
        documents[d].context ? encode (tokenizer, documents[d].context) : NULL;
    const gsize known = MAX ((before ? before->len : 0) + n_bos, 1);
    ck_assert_uint_eq (text->starts[d + 1] - text->starts[d], whole->len - 1 + n_bos);
    for (gsize t = 0; t < whole->len - 1 + n_bos; t++) {
      const gsize at = text->starts[d] + t;
      ck_assert_uint_eq (text->tokens[at],
                         t < n_bos ? bos : g_array_index (whole, guint32, t - n_bos));
      ck_assert_uint_eq (text->targets[at], t + 1 < known
                                                ? AFP_LM_NO_TARGET
                                                : g_array_index (whole, guint32, t + 1 - n_bos));
    }
  }
}
END_TEST

/* What does not fit falls off at the beginning. */
START_TEST (long_questions_lose_their_beginning)
{
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  g_autoptr (AfpLmTasks) tasks =
      parse ("{\"question\": \"zzzzzzzz\", \"choices\": [\"x\", \"yy\"], \"answer\": 1}", NULL);
  g_autoptr (AfpLmText) text = afp_lm_tasks_make_text (tasks, tokenizer, 1, 5, NULL);

  for (gsize d = 0; d < 2; d++) {
    const guint32 *tokens = text->tokens + text->starts[d];
    ck_assert_uint_eq (text->starts[d + 1] - text->starts[d], 5);
    ck_assert_uint_eq (tokens[0], 3 + 'z');
    ck_assert_uint_eq (text->targets[text->starts[d] + 4], 3 + (d == 0 ? 'x' : 'y'));
  }
  ck_assert_uint_eq (afp_lm_text_get_n_targets (text), 5); /* blank, x; blank, y, y */
}
END_TEST

static AfpLmTaskScore
judge (const char *lines, const AfpLmPrediction *predictions, gsize n)
{
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  g_autoptr (AfpLmTasks) tasks = parse (lines, NULL);
  g_autoptr (AfpLmText) text = afp_lm_tasks_make_text (tasks, tokenizer, 1, 100, NULL);
  AfpLmTaskScore score;

  ck_assert_uint_eq (afp_lm_text_get_n_targets (text), n);
  afp_lm_tasks_judge (tasks, text, predictions, &score);
  return score;
}

/* The short choice is likelier, the long one by the byte; the last word is right. */
START_TEST (answers_by_hand)
{
  static const char lines[] =
      "{\"question\": \"ab\", \"choices\": [\"x\", \"yy\"], \"answer\": 1}\n"
      "{\"text\": \"z xy\"}";
  const AfpLmPrediction predictions[] = {
    { .log_p = -1 }, { .log_p = -1 },                    /* x: -2 */
    { .log_p = -1 }, { .log_p = -1 }, { .log_p = -0.5 }, /* yy: -2.5 */
    { .hit = TRUE }, { .hit = TRUE }, { .hit = TRUE, .log_p = -9 },
  };
  const AfpLmTaskScore score = judge (lines, predictions, 8);

  ck_assert_uint_eq (score.n, 2);
  ck_assert_double_eq (score.accuracy, 0.5);
  ck_assert_double_eq (score.accuracy_norm, 1);
  ck_assert_double_eq_tol (score.accuracy_stderr, 0.5, 1e-12);
  ck_assert_double_eq (score.accuracy_norm_stderr, 0);
  ck_assert_double_eq (score.guess, 0.25);
}
END_TEST

/* One token of the word that is not the likeliest. */
START_TEST (half_a_word_is_wrong)
{
  const AfpLmPrediction predictions[] = { { .hit = TRUE }, { .hit = FALSE }, { .hit = TRUE } };
  const AfpLmTaskScore score = judge ("{\"text\": \"z xy\"}", predictions, 3);

  ck_assert_double_eq (score.accuracy, 0);
  ck_assert_double_eq (score.accuracy_norm, 0);
  ck_assert_double_eq (score.guess, 0);
  ck_assert_double_eq (score.accuracy_stderr, 0);
}
END_TEST

/* Of equals the first is the answer; what is no number is none. */
START_TEST (ties_and_no_numbers)
{
  static const char line[] = "{\"question\": \"ab\", \"choices\": [\"x\", \"y\"], \"answer\": 0}";
  const AfpLmPrediction same[] = {
    { .log_p = -1 }, { .log_p = -1 }, { .log_p = -1 }, { .log_p = -1 }
  };
  const AfpLmPrediction none[] = {
    { .log_p = NAN }, { .log_p = -1 }, { .log_p = NAN }, { .log_p = NAN }
  };

  ck_assert_double_eq (judge (line, same, 4).accuracy, 1);
  ck_assert_double_eq (judge (line, none, 4).accuracy, 0);
  ck_assert_double_eq (judge (line, none, 4).accuracy_norm, 0);
}
END_TEST

/* Two models: what the parts say, for any number of threads. */
START_TEST (models_answer_side_by_side)
{
  g_autoptr (LmTest) a = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  g_autoptr (LmTest) b = lm_test_new (FALSE, TRUE, FALSE, FALSE);
  lm_test_set_vocab (a, TEST_VOCAB);
  lm_test_set_vocab (b, TEST_VOCAB);
  a->config.bos = b->config.bos = 1;
  g_autoptr (AfpLm) first = afp_lm_new (&a->config, lm_test_open, a, NULL);
  g_autoptr (AfpLm) second = afp_lm_new (&b->config, lm_test_open, b, NULL);
  AfpLm *const models[] = { first, second };
  g_autoptr (AfpPool) pool = afp_pool_new (3);
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  g_autoptr (AfpLmTasks) tasks = parse (three, NULL);
  g_autoptr (AfpLmText) text = afp_lm_tasks_make_text (tasks, tokenizer, 1, 100, NULL);
  g_autofree AfpLmPrediction *predictions =
      afp_lm_predict (&second, 1, text, 0, NULL, NULL, NULL, NULL);
  AfpLmTaskScore one[2], many[2], alone;

  ck_assert (afp_lm_tasks_score (tasks, tokenizer, models, 2, 0, NULL, NULL, NULL, one, NULL));
  ck_assert (afp_lm_tasks_score (tasks, tokenizer, models, 2, 0, pool, NULL, NULL, many, NULL));
  ck_assert_mem_eq (one, many, sizeof one);
  afp_lm_tasks_judge (tasks, text, predictions, &alone);
  ck_assert_mem_eq (&one[1], &alone, sizeof alone);
  ck_assert_uint_eq (one[0].n, 3);
  ck_assert_double_eq_tol (one[0].guess, (0.5 + 1.0 / 3) / 3, 1e-12);
}
END_TEST

/* --- failures ----------------------------------------------------------------------------------------------------- */

#define GOOD "{\"text\": \"a b\"}\n"
static const struct {
  const char *text, *words;
} bad[] = {
  { "", "'some.jsonl' has no question in it" },
  { "\n \n", "'some.jsonl' has no question in it" },
  { GOOD "{\"text\": \"a b\"", "line 2 of 'some.jsonl' is damaged" },
  { GOOD "[]", "line 2 of 'some.jsonl': it is not a JSON object" },
  { GOOD "\n{}", "line 3 of 'some.jsonl': it has neither a question" },
  { "{\"text\": 5}", "neither a question with choices and answer nor a text" },
  { "{\"goal\": \"a\", \"sol1\": \"b\"}", "can be converted with afpipe-tasks" },
  { "{\"text\": \"a b\", \"question\": \"a\"}", "it has both a question and a text" },
  { GOOD "{\"text\": \" one \"}",
    "line 2 of 'some.jsonl': the text ' one ' has no word before its last" },
  { "{\"text\": \"\"}", "has no word before its last" },
  { "{\"question\": \"a\", \"answer\": 0}", "the question has no list of choices" },
  { "{\"question\": \"a\", \"choices\": \"b\", \"answer\": 0}",
    "the question has no list of choices" },
  { "{\"question\": \"a\", \"choices\": [\"b\"], \"answer\": 0}", "there are 1 choices; two are" },
  { "{\"question\": \"a\", \"choices\": [\"b\", 5], \"answer\": 0}", "choice 1 is not a text" },
  { "{\"question\": \"a\", \"choices\": [\" \", \"b\"], \"answer\": 0}", "choice 0 is not a text" },
  { "{\"question\": \"a\", \"choices\": [\"b\", \"c\"]}", "the question has no answer" },
  { "{\"question\": \"a\", \"choices\": [\"b\", \"c\"], \"answer\": \"b\"}",
    "has no answer: give the number" },
  { "{\"question\": \"a\", \"choices\": [\"b\", \"c\"], \"answer\": 2}",
    "the answer is 2; of 2 choices it must be one of 0 to 1" },
  { "{\"question\": \"a\", \"choices\": [\"b\", \"c\"], \"answer\": -1}", "the answer is -1" },
  { "{\"question\": \"a\", \"choices\": [\"b\", \"c\"], \"answer\": 0.5}", "the answer is 0.5" },
};

START_TEST (what_is_wrong_is_told_with_its_line)
{
  GError *error = NULL;

  ck_assert_ptr_null (parse (bad[_i].text, &error));
  assert_error (error, AFP_ERROR_FORMAT, bad[_i].words, "some.jsonl");
}
END_TEST

static const struct {
  const char *text;
  guint bos, context;
  const char *words;
} unpredictable[] = {
  { "\n{\"question\": \"q\", \"choices\": [\"xyz\", \"abcxyz\"], \"answer\": 0}", 1, 4,
    "line 2 of 'some.jsonl': choice 1 has 5 tokens, the model's context is 4" },
  { "{\"question\": \"\", \"choices\": [\"bc\", \"a\"], \"answer\": 0}", G_MAXUINT, 100,
    "line 1 of 'some.jsonl': choice 1 has no token that follows another" },
};

START_TEST (what_cannot_be_predicted_is_an_error)
{
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  g_autoptr (AfpLmTasks) tasks = parse (unpredictable[_i].text, NULL);
  GError *error = NULL;

  ck_assert_ptr_null (afp_lm_tasks_make_text (tasks, tokenizer, unpredictable[_i].bos,
                                              unpredictable[_i].context, &error));
  assert_error (error, AFP_ERROR_FORMAT, unpredictable[_i].words);
}
END_TEST

START_TEST (another_tokenizer_is_an_error)
{
  g_autoptr (LmTest) m = lm_test_new (TRUE, TRUE, FALSE, FALSE); /* a vocabulary of 24 */
  g_autoptr (AfpLm) lm = afp_lm_new (&m->config, lm_test_open, m, NULL);
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  g_autoptr (AfpLmTasks) tasks = parse (three, NULL);
  AfpLmTaskScore score;
  GError *error = NULL;

  ck_assert (!afp_lm_tasks_score (tasks, tokenizer, &lm, 1, 0, NULL, NULL, NULL, &score, &error));
  assert_error (error, AFP_ERROR_FORMAT, "beyond the model's vocabulary of 24");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, choices_are_targets, 0, 2);
  tcase_add_test (tcase, long_questions_lose_their_beginning);
  tcase_add_test (tcase, answers_by_hand);
  tcase_add_test (tcase, half_a_word_is_wrong);
  tcase_add_test (tcase, ties_and_no_numbers);
  tcase_add_test (tcase, models_answer_side_by_side);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, what_is_wrong_is_told_with_its_line, 0, G_N_ELEMENTS (bad));
  tcase_add_loop_test (tcase, what_cannot_be_predicted_is_an_error, 0,
                       G_N_ELEMENTS (unpredictable));
  tcase_add_test (tcase, another_tokenizer_is_an_error);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("lm-tasks", cases, G_N_ELEMENTS (cases));
}
