/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "../tokenizer-test.h"

#include "afp-lm-tasks.h"
#include "afp-lm-text.h"

#define MEGABYTE (G_GUINT64_CONSTANT (1) << 20)

/* --- questions: an object in JSON in each line -------------------------------------------------------------------- */

#define CONTEXT 64

/* Every choice has something to predict, within the context. */
static void
check_text (const AfpLmText *text)
{
  for (gsize d = 0; d < text->n_documents; d++) {
    const gsize begin = text->starts[d], end = text->starts[d + 1];
    if (end - begin > CONTEXT || end == begin || text->targets[end - 1] == AFP_LM_NO_TARGET)
      fuzz_fail ("document %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " tokens", d, end - begin);
  }
}

static void
run_tasks (const guint8 *bytes, gsize n)
{
  g_autoptr (GBytes) file = make_tokenizer_file ();
  g_autoptr (AfpTokenizer) tokenizer = afp_tokenizer_new_llama2c (file, TEST_VOCAB, NULL);
  GError *error = NULL;
  g_autoptr (AfpLmTasks) tasks = afp_lm_tasks_parse ((const char *) bytes, n, "the input", &error);
  g_autoptr (AfpLmText) text =
      tasks ? afp_lm_tasks_make_text (tasks, tokenizer, CONTEXT, &error) : NULL;
  AfpLmTaskScore score;

  if (!text) {
    fuzz_check_error (&error);
    return;
  }
  check_text (text);
  g_autofree AfpLmPrediction *predictions =
      g_new0 (AfpLmPrediction, afp_lm_text_get_n_targets (text));
  afp_lm_tasks_judge (tasks, text, predictions, &score);
  if (score.n != afp_lm_tasks_get_n (tasks) || score.accuracy < 0 || score.accuracy > 1 ||
      score.guess < 0 || score.guess > 0.5)
    fuzz_fail ("%u questions, accuracy %g, guessing %g", score.n, score.accuracy, score.guess);
}

const FuzzRecord fuzz_tasks = { "tasks",      "questions, parsed and put to tokens",
                                run_tasks,    NULL,
                                4 * MEGABYTE, 1024 };
