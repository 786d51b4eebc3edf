/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "../tokenizer-test.h"

#include "afp-lm-config.h"
#include "afp-lm-tasks.h"
#include "afp-lm-text.h"

#include <math.h>

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

/* --- configurations of language models: config.json, the head of a GGUF file, that of a llama2.c checkpoint ---------- */

/* An AfpLmRows: by the length of the name, some are there and some are not. */
static guint64
rows_of (gpointer user_data, const char *name)
{
  return strlen (name) % 3 == 0 ? 0 : *(const gsize *) user_data;
}

static gboolean
read_lm_config (const guint8 *bytes, gsize n, AfpLmConfig *config, GError **error)
{
  g_autoptr (GBytes) head = g_bytes_new_static (bytes, n);

  if (n > 0 && bytes[0] == '{')
    return afp_lm_config_from_json ((const char *) bytes, n, config, error);
  if (n > 0 && bytes[0] == 'G')
    return afp_lm_config_from_gguf (head, rows_of, &n, config, error);
  return afp_lm_config_from_llama2c (bytes, n, config, error);
}

/* What is taken can be run: every tensor has a name and a size, and positions turn. */
static void
run_lm_config (const guint8 *bytes, gsize n)
{
  GError *error = NULL;
  AfpLmConfig config;

  if (!read_lm_config (bytes, n, &config, &error)) {
    fuzz_check_error (&error);
    return;
  }
  for (guint t = 0; t < AFP_LM_N_TENSORS; t++) {
    g_autofree char *name = afp_lm_tensor_name (&config, t, config.n_layers - 1);
    guint64 rows, cols;
    if (afp_lm_tensor_shape (&config, t, &rows, &cols) && (rows == 0 || cols == 0))
      fuzz_fail ("%s has no elements", name);
  }
  g_autofree double *angles = afp_lm_rope_angles (&config);
  for (guint i = 0; i < config.head_dim / 2; i++)
    if (!(angles[i] >= 0 && isfinite (angles[i])))
      fuzz_fail ("angle %u is %g", i, angles[i]);
}

const FuzzRecord fuzz_lm_config = { "lm-config",   "configurations of language models",
                                    run_lm_config, NULL,
                                    4 * MEGABYTE,  1024 };
