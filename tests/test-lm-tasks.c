/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "lm-load-test.h"
#include "lm-test.h"
#include "tokenizer-test.h"

#include "afp-lm-tasks.h"
#include "afp-lm-text.h"
#include "tokenizer-private.h"

#include <json-glib/json-glib.h>
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

/* Each choice stands in a document of its own behind its question, and its tokens alone are asked for; of tokenizers that put BOS before
 * a text, that do not, and that have none. */
START_TEST (choices_are_targets)
{
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  g_autoptr (AfpLmTasks) tasks = parse (three, NULL);

  tokenizer->adds_bos = _i == 0;
  if (_i == 2)
    tokenizer->bos = AFP_TOKEN_NONE;
  ck_assert_uint_eq (afp_lm_tasks_get_n (tasks), 3);
  g_autoptr (AfpLmText) text = afp_lm_tasks_make_text (tasks, tokenizer, 100, NULL);
  ck_assert_ptr_nonnull (text);
  ck_assert_uint_eq (text->n_documents, 6);
  for (gsize d = 0; d < 6; d++) {
    g_autoptr (GArray) whole = encode (tokenizer, documents[d].whole);
    g_autoptr (GArray) before =
        documents[d].context ? encode (tokenizer, documents[d].context) : NULL;
    const gsize n_bos = _i == 0 || (_i == 1 && !before),
                known = MAX ((before ? before->len : 0) + n_bos, 1);
    ck_assert_uint_eq (text->starts[d + 1] - text->starts[d], whole->len - 1 + n_bos);
    for (gsize t = 0; t < whole->len - 1 + n_bos; t++) {
      const gsize at = text->starts[d] + t;
      ck_assert_uint_eq (text->tokens[at],
                         t < n_bos ? 1 : g_array_index (whole, guint32, t - n_bos));
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
  g_autoptr (AfpLmText) text = afp_lm_tasks_make_text (tasks, tokenizer, 5, NULL);

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
  g_autoptr (AfpLmText) text = afp_lm_tasks_make_text (tasks, tokenizer, 100, NULL);
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
static void
assert_same_score (const AfpLmTaskScore *a, const AfpLmTaskScore *b)
{
  ck_assert_uint_eq (a->n, b->n);
  ck_assert (a->accuracy == b->accuracy && a->accuracy_stderr == b->accuracy_stderr);
  ck_assert (a->accuracy_norm == b->accuracy_norm);
  ck_assert (a->accuracy_norm_stderr == b->accuracy_norm_stderr && a->guess == b->guess);
}

START_TEST (models_answer_side_by_side)
{
  g_autoptr (LmTest) a = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  g_autoptr (LmTest) b = lm_test_new (FALSE, TRUE, FALSE, FALSE);
  lm_test_set_vocab (a, TEST_VOCAB);
  lm_test_set_vocab (b, TEST_VOCAB);
  g_autoptr (AfpLm) first = afp_lm_new (&a->config, lm_test_open, a, NULL);
  g_autoptr (AfpLm) second = afp_lm_new (&b->config, lm_test_open, b, NULL);
  AfpLm *const models[] = { first, second };
  g_autoptr (AfpPool) pool = afp_pool_new (3);
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  g_autoptr (AfpLmTasks) tasks = parse (three, NULL);
  g_autoptr (AfpLmText) text = afp_lm_tasks_make_text (tasks, tokenizer, 100, NULL);
  g_autofree AfpLmPrediction *predictions =
      afp_lm_predict (&second, 1, text, NULL, 0, NULL, NULL, NULL, NULL);
  AfpLmTaskScore one[2], many[2], alone;

  ck_assert (afp_lm_tasks_score (tasks, text, models, 2, 0, NULL, NULL, NULL, one, NULL));
  ck_assert (afp_lm_tasks_score (tasks, text, models, 2, 0, pool, NULL, NULL, many, NULL));
  assert_same_score (&one[0], &many[0]);
  assert_same_score (&one[1], &many[1]);
  afp_lm_tasks_judge (tasks, text, predictions, &alone);
  assert_same_score (&one[1], &alone);
  ck_assert_uint_eq (one[0].n, 3);
  ck_assert_double_eq_tol (one[0].guess, (0.5 + 1.0 / 3) / 3, 1e-12);
}
END_TEST

/* --- models on the disk: by tests/oracle/lm-tasks.py -------------------------------------------------------------- */

/* The model: of the shared folder, in double; or SmolLM2, by lm-evaluation-harness in float32. */
static const struct {
  const char *model, *format, *file;
  guint n, right, right_norm;
  double log_p; /* of all choices */
} oracle[] = {
  { "stories260k/stories260K.gguf", NULL, "text/valid200_eot.txt", 100, 40, 40, -299.987592 },
#ifndef AFP_SANITIZED
  { "stories260k/stories260K.gguf", "piqa", "tasks/piqa_valid.jsonl", 60, 24, 27, -20100.076759 },
  { NULL, "piqa", "tasks/piqa_valid.jsonl", 8, 6, 5, -1206.513103 },
  { NULL, "lambada", "tasks/lambada_test.jsonl", 8, 4, 4, -27.618296 },
#endif
};

/* The first 40 words of each of the first stories. */
static AfpLmTasks *
read_stories (const char *path, guint n)
{
  g_autofree char *text = NULL;
  g_autoptr (GString) lines = g_string_new (NULL);

  ck_assert (g_file_get_contents (path, &text, NULL, NULL));
  g_auto (GStrv) stories = g_strsplit (text, "<|endoftext|>", (int) n + 1);
  for (guint i = 0; i < n; i++) {
    g_auto (GStrv) words = g_strsplit_set (stories[i], " \t\r\n", -1);
    g_autoptr (GString) start = g_string_new (NULL);
    for (guint w = 0, count = 0; words[w] && count < 40; w++)
      if (*words[w]) {
        g_string_append_printf (start, "%s%s", count ? " " : "", words[w]);
        count++;
      }
    g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
    json_node_take_object (node, json_object_new ());
    json_object_set_string_member (json_node_get_object (node), "text", start->str);
    g_autofree char *line = json_to_string (node, FALSE);
    g_string_append_printf (lines, "%s\n", line);
  }
  return parse (lines->str, NULL);
}

/* The first questions of what afpipe-tasks makes of it. */
static AfpLmTasks *
convert (const char *format, const char *path, guint n)
{
  g_autofree char *tool = g_build_filename (g_getenv ("AFP_TEST_BUILDDIR"), "afpipe-tasks", NULL),
                  *start = g_strndup (path, strlen (path) - strlen (".jsonl")),
                  *labels = g_strconcat (start, "-labels.lst", NULL), *text = NULL;
  const char *const arguments[] = { tool, format, path,
                                    strcmp (format, "piqa") == 0 ? labels : NULL, NULL };
  char *end;

  ck_assert (g_spawn_sync (NULL, (char **) arguments, NULL, G_SPAWN_DEFAULT, NULL, NULL, &text,
                           NULL, NULL, NULL));
  end = text;
  for (guint i = 0; i < n; i++)
    end = strchr (end, '\n') + 1;
  *end = '\0';
  return parse (text, NULL);
}

/* NULL: it is not here. */
static char *
find_model (const char *name)
{
  const char *folder = g_getenv ("AFP_TEST_SHARED"), *smollm2 = g_getenv ("AFP_TEST_SMOLLM2");

  if (!folder || !*folder || (!name && !smollm2))
    return NULL;
  return name ? g_build_filename (folder, "data", name, NULL) : g_strdup (smollm2);
}

START_TEST (models_answer_as_elsewhere)
{
  g_autofree char *model = find_model (oracle[_i].model);
  const guint n = oracle[_i].n;
  AfpLmConfig config;
  AfpLmTaskScore score;
  double log_p = 0;

  if (!model)
    return;
  g_autofree char *path =
      g_build_filename (g_getenv ("AFP_TEST_SHARED"), "data", oracle[_i].file, NULL);
  LmLoaded loaded = lm_load (model);
  ck_assert (afp_lm_config_find (AFP_ELEMENT (loaded.source), &config, NULL));
  g_autoptr (AfpLm) lm = afp_lm_new (&config, lm_loaded_open, &loaded, NULL);
  g_autoptr (AfpTokenizer) tokenizer =
      afp_tokenizer_find (AFP_ELEMENT (loaded.source), &config, NULL);
  g_autoptr (AfpLmTasks) tasks =
      oracle[_i].format ? convert (oracle[_i].format, path, n) : read_stories (path, n);
  g_autoptr (AfpPool) pool = afp_pool_new (2);
  ck_assert_uint_eq (afp_lm_tasks_get_n (tasks), n);
  g_autoptr (AfpLmText) text = afp_lm_tasks_make_text (tasks, tokenizer, config.context, NULL);
  g_autofree AfpLmPrediction *predictions =
      afp_lm_predict (&lm, 1, text, NULL, 0, pool, NULL, NULL, NULL);
  ck_assert_ptr_nonnull (predictions);
  for (gsize i = 0; i < afp_lm_text_get_n_targets (text); i++)
    log_p += predictions[i].log_p;
  afp_lm_tasks_judge (tasks, text, predictions, &score);
  ck_assert_double_eq_tol (log_p, oracle[_i].log_p, 1e-5 * fabs (oracle[_i].log_p));
  ck_assert_double_eq_tol (score.accuracy * n, oracle[_i].right, 1e-6);
  ck_assert_double_eq_tol (score.accuracy_norm * n, oracle[_i].right_norm, 1e-6);
  lm_unload (&loaded);
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
  gboolean bos;
  guint context;
  const char *words;
} unpredictable[] = {
  { "\n{\"question\": \"q\", \"choices\": [\"xyz\", \"abcxyz\"], \"answer\": 0}", TRUE, 4,
    "line 2 of 'some.jsonl': choice 1 has 5 tokens, the model's context is 4" },
  { "{\"question\": \"\", \"choices\": [\"bc\", \"a\"], \"answer\": 0}", FALSE, 100,
    "line 1 of 'some.jsonl': choice 1 has no token that follows another" },
};

START_TEST (what_cannot_be_predicted_is_an_error)
{
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  g_autoptr (AfpLmTasks) tasks = parse (unpredictable[_i].text, NULL);
  GError *error = NULL;

  if (!unpredictable[_i].bos)
    tokenizer->bos = AFP_TOKEN_NONE;
  ck_assert_ptr_null (afp_lm_tasks_make_text (tasks, tokenizer, unpredictable[_i].context, &error));
  assert_error (error, AFP_ERROR_FORMAT, unpredictable[_i].words);
}
END_TEST

START_TEST (another_tokenizer_is_an_error)
{
  g_autoptr (LmTest) m = lm_test_new (TRUE, TRUE, FALSE, FALSE); /* a vocabulary of 24 */
  g_autoptr (AfpLm) lm = afp_lm_new (&m->config, lm_test_open, m, NULL);
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  g_autoptr (AfpLmTasks) tasks = parse (three, NULL);
  g_autoptr (AfpLmText) text = afp_lm_tasks_make_text (tasks, tokenizer, 100, NULL);
  AfpLmTaskScore score;
  GError *error = NULL;

  ck_assert (!afp_lm_tasks_score (tasks, text, &lm, 1, 0, NULL, NULL, NULL, &score, &error));
  assert_error (error, AFP_ERROR_FORMAT, "beyond the model's vocabulary of 24");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, choices_are_targets, 0, 3);
  tcase_add_test (tcase, long_questions_lose_their_beginning);
  tcase_add_test (tcase, answers_by_hand);
  tcase_add_test (tcase, half_a_word_is_wrong);
  tcase_add_test (tcase, ties_and_no_numbers);
  tcase_add_test (tcase, models_answer_side_by_side);
  tcase_add_loop_test (tcase, models_answer_as_elsewhere, 0, G_N_ELEMENTS (oracle));
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
