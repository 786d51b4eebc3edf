/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A real model and text: the figures are those of llama2.c's own program, float32, and of a float64 one. */
#include "eval-run-test.h"

#define STORIES "%s/data/stories260k/"
#define STORY " separator='<|endoftext|>' context=512"

#ifdef __SANITIZE_ADDRESS__
#define LONG_RUNS 0 /* they would take a minute */
#else
#define LONG_RUNS 1
#endif

static const char *shared;

/* Each form of one model. */
static const char *const forms[] = {
  "load location=" STORIES "stories260K.bin tokenizer=" STORIES "tok512.bin",
  "load location=" STORIES "model.safetensors tokenizer=" STORIES "tok512.bin",
  "load location=" STORIES "stories260K.gguf tokenizer=" STORIES "tok512.bin",
};

/* "%s" becomes the shared folder. */
static void
run (const char *form, const char *rest)
{
  g_autofree char *text = g_strconcat (form, " ! ", rest, " ! null", NULL);
  g_auto (GStrv) parts = g_strsplit (text, "%s", -1);
  g_autofree char *all = g_strjoinv (shared, parts);

  eval_run (all);
}

static void
check_figures (double nll, guint tokens, guint hits)
{
  ck_assert_msg (fabs (eval_number (0, "nll") - nll) <= 1e-5, "nll %.9f", eval_number (0, "nll"));
  ck_assert (eval_number (0, "nll_ref") == eval_number (0, "nll"));
  ck_assert (eval_number (0, "tokens") == tokens);
  ck_assert_msg (fabs (eval_number (0, "top1") * tokens - hits) < 0.01, "hits %.2f",
                 eval_number (0, "top1") * tokens);
}

START_TEST (five_stories)
{
  run (forms[_i], "eval text=%s/data/text/cs336_sample.txt" STORY);
  check_figures (1.266440900, 1804, 1174);
}
END_TEST

START_TEST (two_hundred_stories)
{
  run (forms[0], "eval text=%s/data/text/valid200_eot.txt" STORY);
  check_figures (1.214528380, 66505, 44369);
}
END_TEST

static TCase *
figures_case (void)
{
  TCase *tcase = tcase_create ("figures");

  tcase_add_checked_fixture (tcase, eval_setup, eval_teardown);
  tcase_add_loop_test (tcase, five_stories, 0, G_N_ELEMENTS (forms));
  tcase_add_loop_test (tcase, two_hundred_stories, 0, LONG_RUNS);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { figures_case };

  shared = g_getenv ("AFP_TEST_SHARED");
  if (!shared || !*shared) {
    g_print ("1..0 # SKIP there is no shared folder\n");
    return 0;
  }
  return run_suite ("eval-figures", cases, G_N_ELEMENTS (cases));
}
