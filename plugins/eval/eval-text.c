/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-text.h"

#include <math.h>

static gint
compare_nmse (gconstpointer a, gconstpointer b)
{
  const EvalRecord *x = *(EvalRecord *const *) a, *y = *(EvalRecord *const *) b;
  const double p = x->judged ? eval_nmse (&x->sums) : -1, q = y->judged ? eval_nmse (&y->sums) : -1;

  return p < q || (isnan (p) && !isnan (q)) ? 1 : p > q || (isnan (q) && !isnan (p)) ? -1 : 0;
}

static void
append_fixed (GString *text, int digits, double value)
{
  if (isfinite (value))
    g_string_append_printf (text, "%10.*f", digits, value);
  else
    g_string_append_printf (text, "%10s", "-");
}

static void
append_general (GString *text, int digits, double value)
{
  if (isfinite (value))
    g_string_append_printf (text, "%10.*g", digits, value);
  else
    g_string_append_printf (text, "%10s", "-");
}

static void
append_row (GString *text, const char *name, guint64 weights, guint64 bytes, const EvalSums *sums)
{
  g_string_append_printf (text, "  %-40s %12" G_GUINT64_FORMAT " %12" G_GUINT64_FORMAT, name,
                          weights, bytes);
  append_fixed (text, 4, weights ? (double) bytes * 8 / (double) weights : NAN);
  append_general (text, 3, sums ? eval_nmse (sums) : NAN);
  append_fixed (text, 2, sums ? eval_sqnr_db (sums) : NAN);
  append_fixed (text, 6, sums ? eval_cosine (sums) : NAN);
  append_general (text, 3, sums ? sums->peak : NAN);
  g_string_append_c (text, '\n');
}

char *
eval_text (const EvalTotals *totals, const char *who, guint rows)
{
  GString *text = g_string_new (NULL);
  g_autoptr (GPtrArray) records = g_ptr_array_new ();

  for (guint i = 0; i < totals->records->len; i++)
    g_ptr_array_add (records, totals->records->pdata[i]);
  if (records->len > rows)
    g_ptr_array_sort (records, compare_nmse);
  g_string_append_printf (text, "%s: %u tensors, %u against their original\n", who,
                          totals->records->len, totals->n_judged);
  g_string_append_printf (text, "  %-40s %12s %12s%10s%10s%10s%10s%10s\n", "tensor", "weights",
                          "bytes", "b/weight", "NMSE", "SQNR dB", "cosine", "max err");
  for (guint i = 0; i < MIN (records->len, rows); i++) {
    const EvalRecord *record = records->pdata[i];
    append_row (text, record->name, record->weights, record->bytes,
                record->judged ? &record->sums : NULL);
  }
  if (records->len > rows)
    g_string_append_printf (text, "  (%u more, all with a smaller NMSE)\n", records->len - rows);
  append_row (text, "total", totals->weights, totals->bytes,
              totals->n_judged ? &totals->sums : NULL);
  return g_string_free (text, FALSE);
}
