/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-page.h"

#include <math.h>

/* A heat map: where the errors are, tensor by tensor, for some of the runs. */

#define MAX_COLUMNS 24 /* runs */
#define MAX_ROWS 200   /* tensors */

/* Those on the front of rate and error first, then as they come. */
static GPtrArray *
choose_runs (const AblateRuns *runs)
{
  GPtrArray *chosen = g_ptr_array_new ();
  g_autoptr (GArray) front = ablate_runs_find_front (runs, ablate_axis_find ("bits_per_weight"),
                                                     ablate_axis_find ("sqnr_db"));

  for (guint i = 0; i < front->len + runs->runs->len && chosen->len < MAX_COLUMNS; i++) {
    const AblateRun *run =
        ablate_runs_get (runs, i < front->len ? g_array_index (front, guint, i) : i - front->len);
    if (!run->failed && *run->shape && ablate_json_array (run->record, "tensors") &&
        !g_ptr_array_find (chosen, run, NULL))
      g_ptr_array_add (chosen, (gpointer) run);
  }
  return chosen;
}

/* The object of an array of objects. */
static JsonObject *
get_tensor (JsonArray *tensors, guint index)
{
  JsonNode *node = json_array_get_element (tensors, index);

  return JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

/* Names of tensors with an error, in the order in which they come, and each one's error in each run. */
typedef struct {
  GPtrArray *names;
  GHashTable *rows; /* name -> double[MAX_COLUMNS] */
  double low, high; /* logarithms */
  guint left_out;
} Errors;

static double *
find_row (Errors *self, const char *name)
{
  double *row = g_hash_table_lookup (self->rows, name);

  if (row || self->names->len >= MAX_ROWS)
    return row;
  row = g_new (double, MAX_COLUMNS);
  for (guint i = 0; i < MAX_COLUMNS; i++)
    row[i] = NAN;
  g_ptr_array_add (self->names, g_strdup (name));
  g_hash_table_insert (self->rows, self->names->pdata[self->names->len - 1], row);
  return row;
}

static void
add_run (Errors *self, const AblateRun *run, guint column)
{
  JsonArray *tensors = ablate_json_array (run->record, "tensors");
  guint left_out = 0;

  for (guint i = 0; i < json_array_get_length (tensors); i++) {
    JsonObject *tensor = get_tensor (tensors, i);
    const char *name = ablate_json_text (tensor, "name");
    const double nmse = ablate_json_number (tensor, "nmse");
    if (!name || !isfinite (nmse))
      continue;
    double *row = find_row (self, name);
    if (!row) {
      left_out++;
      continue;
    }
    row[column] = nmse;
    if (nmse > 0) {
      self->low = MIN (self->low, log10 (nmse));
      self->high = MAX (self->high, log10 (nmse));
    }
  }
  self->left_out = MAX (self->left_out, left_out);
}

static void
put_row (GString *out, const Errors *self, const char *name, guint n_columns)
{
  const double *row = g_hash_table_lookup (self->rows, name), range = self->high - self->low;

  g_string_append (out, "<tr>");
  ablate_page_cell (out, name);
  for (guint c = 0; c < n_columns; c++)
    ablate_page_shaded (out, row[c], 3,
                        row[c] > 0 && range > 0 ? (log10 (row[c]) - self->low) / range : 0, NULL);
  g_string_append (out, "</tr>\n");
}

static void
put_map (GString *out, const Errors *self, const GPtrArray *chosen)
{
  ablate_page_open (out, "errors", "Where the errors are");
  g_string_append (
      out,
      "<p class=\"soft\">NMSE of each tensor, logarithmic shades; runs on the front of rate and error first.");
  if (self->left_out)
    g_string_append_printf (out, " The first %u tensors; %u more are left out.", MAX_ROWS,
                            self->left_out);
  g_string_append (out, "</p>\n<ul>");
  for (guint c = 0; c < chosen->len; c++) {
    const AblateRun *run = chosen->pdata[c];
    g_string_append_printf (
        out, "<li><a href=\"#run-%" G_GINT64_FORMAT "\">run %" G_GINT64_FORMAT "</a> ", run->number,
        run->number);
    ablate_put_text (out, run->chain);
    g_string_append (out, "</li>\n");
  }
  g_string_append (out, "</ul>\n");
  ablate_page_open_table (out, "NMSE", " tensor", NULL);
  for (guint c = 0; c < chosen->len; c++) {
    g_autofree char *head =
        g_strdup_printf ("run %" G_GINT64_FORMAT, ((const AblateRun *) chosen->pdata[c])->number);
    ablate_page_head (out, head);
  }
  ablate_page_open_rows (out, NULL);
  for (guint i = 0; i < self->names->len; i++)
    put_row (out, self, self->names->pdata[i], chosen->len);
  ablate_page_close_table (out);
  ablate_page_close (out);
}

void
ablate_page_put_errors (GString *out, const AblateRuns *runs)
{
  g_autoptr (GPtrArray) chosen = choose_runs (runs);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GHashTable) rows = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);
  Errors self = { names, rows, INFINITY, -INFINITY, 0 };

  for (guint c = 0; c < chosen->len; c++)
    add_run (&self, chosen->pdata[c], c);
  if (names->len > 0)
    put_map (out, &self, chosen);
}
