/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"
#include "eval/eval-text.h"

/* The table for people. Tensors of rising error: t0 has none, t4 the most; t5 is not judged, t6 is all zero. */
static EvalTotals *
totals_of (guint n)
{
  EvalTotals *totals = eval_totals_new ();
  for (guint i = 0; i < n; i++) {
    g_autofree char *name = g_strdup_printf ("t%u", i);
    g_autoptr (AfpTensor) tensor =
        test_tensor (name, AFP_DTYPE_F32, i == 3 ? "4x4" : "20x30", NULL, i);
    const EvalSums sums = { i == 6 ? 0 : 100, i == 6 ? 0 : 100, i == 6 ? 0 : 99, i < 6 ? i : 0,
                            0.125 * i };
    eval_totals_add (totals, tensor, i == 5 ? NULL : &sums);
  }
  return totals;
}

static char *
line_of (const char *text, const char *name)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i]; i++) {
    g_autofree char *trimmed = g_strstrip (g_strdup (lines[i]));
    const gsize n = strlen (name);
    if (strncmp (trimmed, name, n) == 0 && (trimmed[n] == ' ' || trimmed[n] == '\0'))
      return g_strdup (lines[i]);
  }
  return NULL;
}

static gboolean
has (const char *text, const char *name, const char *word)
{
  g_autofree char *line = line_of (text, name);
  return line && strstr (line, word);
}

START_TEST (all_rows)
{
  EvalTotals *totals = totals_of (7);
  g_autofree char *text = eval_text (totals, "judge", 40);
  ck_assert_ptr_nonnull (strstr (text, "judge: 7 tensors, 6 against their original\n"));
  ck_assert (has (text, "tensor", "NMSE") && has (text, "tensor", "SQNR dB") &&
             has (text, "tensor", "b/weight"));
  ck_assert (has (text, "t1", " 0.01") && has (text, "t1", " 20.00") &&
             has (text, "t1", " 0.125") && has (text, "t1", " 0.990000"));
  ck_assert (has (text, "t0", " 600 ") && has (text, "t3", " 16 "));
  ck_assert (has (text, "total", " 3616 "));
  /* In the order of the stream. */
  ck_assert (strstr (text, "t0") < strstr (text, "t1") &&
             strstr (text, "t5") < strstr (text, "t6"));
  ck_assert_ptr_null (strstr (text, "more"));
  eval_totals_free (totals);
}
END_TEST

/* No value is a dash, never "nan" or "inf". */
START_TEST (dashes)
{
  EvalTotals *totals = totals_of (7), *none = eval_totals_new ();
  g_autofree char *text = eval_text (totals, "e", 40), *empty = eval_text (none, "e", 40);
  ck_assert (has (text, "t5", "         -         -         -         -"));
  ck_assert (has (text, "t6", "         -         -         -"));
  ck_assert (has (text, "t0", "         -")); /* no error: no dB */
  ck_assert (has (empty, "total", "         -         -         -         -         -"));
  ck_assert_ptr_null (strstr (text, "nan"));
  ck_assert_ptr_null (strstr (text, "inf"));
  ck_assert_ptr_null (strstr (empty, "nan"));
  eval_totals_free (totals);
  eval_totals_free (none);
}
END_TEST

/* More tensors than rows: the worst first. */
START_TEST (the_worst)
{
  EvalTotals *totals = totals_of (7);
  g_autofree char *text = eval_text (totals, "e", 3), *none = eval_text (totals, "e", 0);
  g_autofree char *first = line_of (text, "t4"), *second = line_of (text, "t3"),
                  *third = line_of (text, "t2");
  ck_assert (first && second && third && !has (text, "t1", "") && !has (text, "t5", "") &&
             !has (text, "t6", ""));
  ck_assert (strstr (text, "  t4") < strstr (text, "  t3") &&
             strstr (text, "  t3") < strstr (text, "  t2"));
  ck_assert_ptr_nonnull (strstr (text, "(4 more"));
  ck_assert (has (text, "total", " 3616 ")); /* of all */
  ck_assert_ptr_nonnull (strstr (none, "(7 more"));
  ck_assert (has (none, "total", " 3616 ") && !has (none, "t4", ""));
  eval_totals_free (totals);
}
END_TEST

START_TEST (long_names)
{
  EvalTotals *totals = eval_totals_new ();
  g_autofree char *name = g_strnfill (300, 'n');
  g_autoptr (AfpTensor) tensor = test_tensor (name, AFP_DTYPE_F32, "20x30", NULL, 1);
  eval_totals_add (totals, tensor, NULL);
  g_autofree char *text = eval_text (totals, name, 5);
  ck_assert (has (text, name, " 600 "));
  eval_totals_free (totals);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("eval-text");
  tcase_add_test (tcase, all_rows);
  tcase_add_test (tcase, dashes);
  tcase_add_test (tcase, the_worst);
  tcase_add_test (tcase, long_names);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("eval-text", cases, G_N_ELEMENTS (cases));
}
