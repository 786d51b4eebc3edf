/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-page.h"

#include <math.h>
#include <string.h>

/*
 * Orders: the best run of each chain at each rate, and at each rate which stage before which. Rates are bands of half a bit: the band
 * of 2 holds what has 1.75 to 2.25 bits per weight.
 */
#define MAX_BANDS 8
#define MAX_STAGES 12
#define MAX_SHAPES 200
#define LEAST_RANGE 0.05 /* of the best: smaller differences stay faint */

typedef struct {
  const AblateRuns *runs;
  const AblateAxis *judge;
  GArray *bands;      /* of double, rising */
  GPtrArray *stages;  /* names */
  double best, worst; /* of a band in work */
} Orders;

static double
band_of (const AblateRun *run)
{
  const double bits = ablate_run_number (run, "bits_per_weight");

  return isfinite (bits) ? floor (2 * bits + 0.5) / 2 : NAN;
}

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  const double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

/* Bands that have a run of two stages or more, the lowest ones. */
static void
find_bands (Orders *self)
{
  for (guint i = 0; i < self->runs->runs->len; i++) {
    const AblateRun *run = ablate_runs_get (self->runs, i);
    const double band = band_of (run);
    gboolean known = !isfinite (band) || !strchr (run->shape, '!') ||
                     !isfinite (ablate_run_number (run, self->judge->key));
    for (guint b = 0; b < self->bands->len; b++)
      known = known || g_array_index (self->bands, double, b) == band;
    if (!known)
      g_array_append_val (self->bands, band);
  }
  g_array_sort (self->bands, compare_doubles);
  g_array_set_size (self->bands, MIN (self->bands->len, MAX_BANDS));
}

static void
find_stages (Orders *self)
{
  for (guint s = 0; s < self->runs->shapes->len; s++) {
    g_auto (GStrv) names = g_strsplit (self->runs->shapes->pdata[s], " ! ", -1);
    for (guint i = 0; names[0] && names[1] && names[i] && self->stages->len < MAX_STAGES; i++)
      if (*names[i] &&
          !g_ptr_array_find_with_equal_func (self->stages, names[i], g_str_equal, NULL))
        g_ptr_array_add (self->stages, g_strdup (names[i]));
  }
}

static gboolean
is_better (const Orders *self, double value, double than)
{
  return isfinite (value) && (isnan (than) || self->judge->better * (value - than) > 0);
}

/* Does @first come somewhere before @second in the chain? */
static gboolean
comes_before (const char *shape, const char *first, const char *second)
{
  g_auto (GStrv) names = g_strsplit (shape, " ! ", -1);
  gboolean seen = FALSE;

  for (guint i = 0; names[i]; i++) {
    if (seen && strcmp (names[i], second) == 0)
      return TRUE;
    seen = seen || strcmp (names[i], first) == 0;
  }
  return FALSE;
}

/* The best value of the runs of a band; of one shape (@series), or those with @first before @second. *run: which one */
static double
find_best (const Orders *self, double band, guint series, const char *first, const char *second,
           const AblateRun **best_run)
{
  double best = NAN;

  for (guint i = 0; i < self->runs->runs->len; i++) {
    const AblateRun *run = ablate_runs_get (self->runs, i);
    const double value = ablate_run_number (run, self->judge->key);
    if (band_of (run) != band || !is_better (self, value, best) ||
        (first ? !comes_before (run->shape, first, second) : run->series != series))
      continue;
    best = value;
    *best_run = run;
  }
  return best;
}

static void
find_range (Orders *self, double band)
{
  self->best = self->worst = NAN;
  for (guint i = 0; i < self->runs->runs->len; i++) {
    const AblateRun *run = ablate_runs_get (self->runs, i);
    const double value = ablate_run_number (run, self->judge->key);
    if (band_of (run) != band || !isfinite (value))
      continue;
    if (is_better (self, value, self->best))
      self->best = value;
    if (isnan (self->worst) || is_better (self, self->worst, value))
      self->worst = value;
  }
}

static void
put_cell (GString *out, const Orders *self, double value, const AblateRun *run)
{
  const double range = MAX (fabs (self->worst - self->best), LEAST_RANGE * fabs (self->best));
  g_autofree char *title =
      run ? g_strdup_printf ("run %" G_GINT64_FORMAT ": %s", run->number, run->chain) : NULL;

  ablate_page_shaded (out, value, self->judge->digits,
                      range > 0 ? fabs (value - self->best) / range : 0, title);
}

static char *
band_name (double band)
{
  g_autoptr (GString) text = g_string_new (NULL);

  ablate_put_number (text, band, 3);
  g_string_append (text, " b/w");
  return g_strdup (text->str);
}

/* The row of a chain, if it has a run at one of the rates. */
static void
put_shape (GString *out, Orders *self, guint series)
{
  g_autoptr (GString) cells = g_string_new (NULL);
  gboolean any = FALSE;

  for (guint b = 0; b < self->bands->len; b++) {
    const double band = g_array_index (self->bands, double, b);
    const AblateRun *run = NULL;
    find_range (self, band);
    const double value = find_best (self, band, series, NULL, NULL, &run);
    put_cell (cells, self, value, run);
    any = any || run;
  }
  if (!any || !*(const char *) self->runs->shapes->pdata[series])
    return;
  g_string_append (out, "<tr>");
  ablate_page_cell (out, self->runs->shapes->pdata[series]);
  g_string_append_printf (out, "%s</tr>\n", cells->str);
}

/* Rows: chains; columns: rates. */
static void
put_shapes (GString *out, Orders *self)
{
  g_autofree char *caption = g_strdup_printf (
      "The best %s of each chain, at rates of half a bit; the fainter, the better at its rate",
      self->judge->label);

  ablate_page_open_table (out, caption, " chain", NULL);
  for (guint b = 0; b < self->bands->len; b++) {
    g_autofree char *name = band_name (g_array_index (self->bands, double, b));
    ablate_page_head (out, name);
  }
  ablate_page_open_rows (out, NULL);
  for (guint s = 0; s < MIN (self->runs->shapes->len, MAX_SHAPES); s++)
    put_shape (out, self, s);
  ablate_page_close_table (out);
}

/* Rows: the stage before; columns: the stage behind it, somewhere in the chain. */
static void
put_pairs (GString *out, Orders *self, double band)
{
  g_autofree char *name = band_name (band);
  g_autofree char *caption = g_strdup_printf (
      "About %s: the best %s of the chains with the row's stage before the column's", name,
      self->judge->label);

  find_range (self, band);
  ablate_page_open_table (out, caption, " before", NULL);
  for (guint j = 0; j < self->stages->len; j++)
    ablate_page_head (out, self->stages->pdata[j]);
  ablate_page_open_rows (out, NULL);
  for (guint i = 0; i < self->stages->len; i++) {
    g_string_append (out, "<tr>");
    ablate_page_cell (out, self->stages->pdata[i]);
    for (guint j = 0; j < self->stages->len; j++) {
      const AblateRun *run = NULL;
      const double value =
          find_best (self, band, 0, self->stages->pdata[i], self->stages->pdata[j], &run);
      put_cell (out, self, value, run);
    }
    g_string_append (out, "</tr>\n");
  }
  ablate_page_close_table (out);
}

void
ablate_page_put_orders (GString *out, const AblateRuns *runs)
{
  Orders self = { .runs = runs, .judge = ablate_runs_get_judge (runs) };
  g_autoptr (GArray) bands = self.bands = g_array_new (FALSE, FALSE, sizeof (double));
  g_autoptr (GPtrArray) stages = self.stages = g_ptr_array_new_with_free_func (g_free);

  find_bands (&self);
  find_stages (&self);
  if (bands->len == 0 || stages->len < 2)
    return;
  ablate_page_open (out, "orders", "Orders");
  put_shapes (out, &self);
  for (guint b = 0; b < bands->len; b++)
    put_pairs (out, &self, g_array_index (bands, double, b));
  ablate_page_close (out);
}
