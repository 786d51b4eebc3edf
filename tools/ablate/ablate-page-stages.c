/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-page.h"
#include "ablate-svg.h"

#include <math.h>
#include <string.h>

/*
 * What each stage saved and what it cost: a run less the run without its last stage, over all runs that end in the stage. Apart: what a
 * stage does to the weights, as the first, and what it does to what others left.
 */

typedef struct {
  const char *key; /* of marginal */
  const char *title;
  int sign; /* -1: less is shown as more: saved */
} Change;

/* The first is what is saved; the others are what it costs. */
static const Change changes[] = {
  { "bits_per_weight", "bits per weight saved", -1 },
  { "nmse", "NMSE added", 1 },
  { "nll", "negative log-likelihood added", 1 },
  { "accuracy", "accuracy lost", -1 },
};
#define N_CHANGES G_N_ELEMENTS (changes)

typedef struct {
  char *name;
  guint n_runs;
  AblateBar bars[N_CHANGES]; /* mean: the sum while it is collected */
} Stage;

static void
clear_stage (gpointer stage)
{
  g_free (((Stage *) stage)->name);
}

static Stage *
find_stage (GArray *stages, const char *name)
{
  for (guint i = 0; i < stages->len; i++)
    if (strcmp (g_array_index (stages, Stage, i).name, name) == 0)
      return &g_array_index (stages, Stage, i);
  Stage stage = { .name = g_strdup (name) };
  for (guint c = 0; c < N_CHANGES; c++)
    stage.bars[c] = (AblateBar){ stage.name, 0, INFINITY, -INFINITY, 0 };
  g_array_append_val (stages, stage);
  return &g_array_index (stages, Stage, stages->len - 1);
}

static void
add_run (GArray *stages, const AblateRun *run, gboolean first)
{
  JsonObject *marginal = ablate_json_object (run->record, "marginal");
  const char *last = strrchr (run->shape, ' ');

  if (!marginal || run->failed || !*run->shape || first != !last)
    return;
  Stage *stage = find_stage (stages, last ? last + 1 : run->shape);
  stage->n_runs++;
  for (guint c = 0; c < N_CHANGES; c++) {
    const double change = changes[c].sign * ablate_json_number (marginal, changes[c].key);
    AblateBar *bar = &stage->bars[c];
    if (!isfinite (change))
      continue;
    bar->mean += change;
    bar->low = MIN (bar->low, change);
    bar->high = MAX (bar->high, change);
    bar->n++;
  }
}

static const char *
group_name (gboolean first)
{
  return first ? "As the first stage" : "Behind others";
}

/* A picture of one kind of change, of the stages that know it. */
static gboolean
put_bars (GString *out, const GArray *stages, guint change, gboolean first)
{
  g_autofree char *title = g_strdup_printf ("%s: %s", group_name (first), changes[change].title);
  g_autoptr (GArray) bars = g_array_new (FALSE, FALSE, sizeof (AblateBar));

  for (guint i = 0; i < stages->len; i++)
    if (g_array_index (stages, Stage, i).bars[change].n > 0)
      g_array_append_val (bars, g_array_index (stages, Stage, i).bars[change]);
  if (bars->len == 0)
    return FALSE;
  g_string_append_printf (out, "<h3>%s</h3>\n<figure>\n", title);
  ablate_svg_bars (out, title, (const AblateBar *) (gpointer) bars->data, bars->len);
  g_string_append (out, "</figure>\n");
  return TRUE;
}

static void
put_table (GString *out, const GArray *stages, const gboolean *known, gboolean first)
{
  g_autofree char *caption =
      g_strconcat (group_name (first), ": means, and the least and the most", NULL);

  ablate_page_open_table (out, caption, " stage", "runs", NULL);
  for (guint c = 0; c < N_CHANGES; c++)
    if (known[c]) {
      ablate_page_head (out, changes[c].title);
      ablate_page_head (out, "least");
      ablate_page_head (out, "most");
    }
  ablate_page_open_rows (out, NULL);
  for (guint i = 0; i < stages->len; i++) {
    const Stage *stage = &g_array_index (stages, Stage, i);
    g_string_append (out, "<tr>");
    ablate_page_cell (out, stage->name);
    ablate_page_number (out, stage->n_runs, 6);
    for (guint c = 0; c < N_CHANGES; c++)
      if (known[c]) {
        const AblateBar *bar = &stage->bars[c];
        ablate_page_number (out, bar->n ? bar->mean : NAN, 4);
        ablate_page_number (out, bar->low, 4);
        ablate_page_number (out, bar->high, 4);
      }
    g_string_append (out, "</tr>\n");
  }
  ablate_page_close_table (out);
}

static void
put_group (GString *out, const AblateRuns *runs, gboolean first)
{
  g_autoptr (GArray) stages = g_array_new (FALSE, TRUE, sizeof (Stage));
  gboolean known[N_CHANGES];

  g_array_set_clear_func (stages, clear_stage);
  for (guint i = 0; i < runs->runs->len; i++)
    add_run (stages, ablate_runs_get (runs, i), first);
  if (stages->len == 0)
    return;
  for (guint i = 0; i < stages->len; i++)
    for (guint c = 0; c < N_CHANGES; c++) {
      AblateBar *bar = &g_array_index (stages, Stage, i).bars[c];
      bar->mean /= MAX (bar->n, 1);
    }
  for (guint c = 0; c < N_CHANGES; c++)
    known[c] = put_bars (out, stages, c, first);
  put_table (out, stages, known, first);
}

void
ablate_page_put_stages (GString *out, const AblateRuns *runs)
{
  g_autoptr (GString) groups = g_string_new (NULL);

  put_group (groups, runs, FALSE);
  put_group (groups, runs, TRUE);
  if (groups->len == 0)
    return;
  ablate_page_open (out, "stages", "What each stage saved, and what it cost");
  g_string_append (
      out,
      "<p class=\"soft\">A run less the same run without its last stage, over the "
      "runs that end in the stage: the mean, a line from the least to the most, and how many there are.</p>\n");
  g_string_append (out, groups->str);
  ablate_page_close (out);
}
