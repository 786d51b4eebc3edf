/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-html.h"
#include "ablate-page.h"
#include "ablate-svg.h"

#include "afp-error.h"

#include <string.h>

/* The page as a whole, and a picture alone. */

/* What is drawn by bits per weight, if runs have it. */
static const char *const judged[] = { "sqnr_db", "nll", "perplexity", "accuracy", "kl_mean" };

static JsonObject *
get_object (JsonNode *node)
{
  return node && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

/* A sentence is a text, or an object with one. */
static const char *
get_sentence (JsonNode *node)
{
  if (JSON_NODE_HOLDS_VALUE (node))
    return json_node_get_value_type (node) == G_TYPE_STRING ? json_node_get_string (node) : NULL;
  return ablate_json_text (get_object (node), "text");
}

static void
put_verdict (GString *out, JsonObject *study)
{
  JsonArray *verdict = ablate_json_array (study, "verdict");

  if (!verdict || json_array_get_length (verdict) == 0)
    return;
  ablate_page_open (out, "verdict", "Is the chain worth it?");
  g_string_append (out, "<ul class=\"verdict\">\n");
  for (guint i = 0; i < json_array_get_length (verdict); i++) {
    const char *sentence = get_sentence (json_array_get_element (verdict, i));
    if (!sentence)
      continue;
    g_string_append (out, "<li>");
    ablate_put_text (out, sentence);
    g_string_append (out, "</li>\n");
  }
  g_string_append (out, "</ul>\n");
  ablate_page_close (out);
}

static void
put_plots (GString *out, const AblateRuns *runs)
{
  const AblateAxis *bits = ablate_axis_find ("bits_per_weight");

  for (guint i = 0; i < G_N_ELEMENTS (judged); i++) {
    const AblatePlot plot = { runs, bits, ablate_axis_find (judged[i]), i == 0, TRUE };
    if (ablate_runs_count_points (runs, bits, plot.y) == 0)
      continue;
    g_autofree char *title = g_strdup_printf ("Rate and %s", plot.y->label);
    ablate_page_open (out, judged[i], title);
    g_string_append (out, "<figure>\n");
    ablate_svg_plot (out, &plot, NULL);
    g_string_append (
        out,
        "<figcaption class=\"soft\">Each point is a run, its numbers where the pointer rests and in "
        "the table below; pale points are beaten by another at no more bits.</figcaption>\n</figure>\n");
    ablate_page_close (out);
  }
}

/* How many runs there are, and by what they were made. */
static void
put_state (GString *out, JsonObject *study, const AblateRuns *runs)
{
  const char *text = ablate_json_text (study, "versions");
  const char *version = ablate_json_text (ablate_json_object (study, "versions"), "afpipe");

  g_string_append_printf (out, "<p class=\"soft\">%u runs, %u failed", runs->runs->len,
                          runs->n_failed);
  if (study && !json_object_get_boolean_member_with_default (study, "finished", TRUE))
    g_string_append (out, "; the study has not ended");
  if (text || version) {
    g_string_append (out, text ? "; " : "; afpipe ");
    ablate_put_text (out, text ? text : version);
  }
  g_string_append (out, "</p>\n");
}

static void
put_head (GString *out, JsonObject *study, const AblateRuns *runs)
{
  const char *text = ablate_json_text (study, "study");

  g_string_append (
      out, "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n"
           "<meta charset=\"utf-8\" />\n<meta name=\"viewport\" content=\"width=device-width\" />\n"
           "<title>Ablation study</title>\n<style>\n");
  g_string_append (out, ablate_page_style);
  g_string_append (out, "</style>\n</head>\n<body>\n<header>\n<h1>Ablation study</h1>\n");
  put_state (out, study, runs);
  if (text) {
    g_string_append (out, "<pre tabindex=\"0\">");
    ablate_put_text (out, text);
    g_string_append (out, "</pre>\n");
  }
  g_string_append (out, "</header>\n");
}

/* Links to the sections that there are: they stand in @sections as id="..."; titles behind them. */
static void
put_navigation (GString *out, const char *sections)
{
  static const char mark[] = "<section id=\"", between[] = "\">\n<h2>", end[] = "</h2>";

  g_string_append (out, "<nav aria-label=\"Sections\">");
  for (const char *p = strstr (sections, mark); p; p = strstr (p, mark)) {
    const char *id = p + strlen (mark), *title = strstr (id, between), *stop = strstr (id, end);
    g_string_append_printf (out, "<a href=\"#%.*s\">%.*s</a>\n", (int) (title - id), id,
                            (int) (stop - title - (gssize) strlen (between)),
                            title + strlen (between));
    p = stop;
  }
  g_string_append (out, "</nav>\n");
}

char *
afp_ablate_html (JsonNode *study, JsonArray *records)
{
  g_autoptr (AblateRuns) runs = ablate_runs_new (records);
  g_autoptr (GString) sections = g_string_new (NULL);
  GString *out = g_string_new (NULL);

  put_verdict (sections, get_object (study));
  put_plots (sections, runs);
  ablate_page_put_stages (sections, runs);
  ablate_page_put_orders (sections, runs);
  ablate_page_put_errors (sections, runs);
  ablate_page_put_failed (sections, runs);
  ablate_page_put_runs (sections, runs);
  put_head (out, get_object (study), runs);
  put_navigation (out, sections->str);
  g_string_append (out, "<main>\n");
  g_string_append (out, sections->str);
  if (sections->len == 0)
    g_string_append (out, "<p>No run has ended as yet.</p>\n");
  g_string_append (out, "</main>\n<script>\n");
  g_string_append (out, ablate_page_script);
  g_string_append (out, "</script>\n</body>\n</html>\n");
  return g_string_free (out, FALSE);
}

/* --- a picture alone ---------------------------------------------------------------------------------------------- */

const char *const *
afp_ablate_plot_list_axes (void)
{
  static const char *keys[32];

  for (guint i = 0; ablate_axis_get (i) && i + 1 < G_N_ELEMENTS (keys); i++)
    keys[i] = ablate_axis_get (i)->key;
  return keys;
}

static const AblateAxis *
find_axis (const char *key, const char *standard, GError **error)
{
  const AblateAxis *axis = ablate_axis_find (key ? key : standard);

  if (!axis) {
    g_autofree char *list = g_strjoinv (", ", (char **) afp_ablate_plot_list_axes ());
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "nothing to draw is called '%s': there are %s", key, list);
  }
  return axis;
}

char *
afp_ablate_plot_svg (JsonNode *study G_GNUC_UNUSED, JsonArray *records, const char *x,
                     const char *y, GError **error)
{
  g_autoptr (AblateRuns) runs = ablate_runs_new (records);
  const AblateAxis *across = find_axis (x, "bits_per_weight", error);
  const AblateAxis *up = across ? find_axis (y, "sqnr_db", error) : NULL;

  if (!up)
    return NULL;
  if (ablate_runs_count_points (runs, across, up) == 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "none of the %u runs has both %s and %s: there is nothing to draw; %s comes from "
                 "eval, with what it needs",
                 runs->runs->len, across->key, up->key, up->key);
    return NULL;
  }
  const AblatePlot plot = { runs, across, up,
                            g_str_equal (up->key, "sqnr_db") &&
                                g_str_has_suffix (across->key, "bits_per_weight"),
                            FALSE };
  GString *out = g_string_new (NULL);
  ablate_svg_plot (out, &plot, ablate_svg_style ());
  return g_string_free (out, FALSE);
}
