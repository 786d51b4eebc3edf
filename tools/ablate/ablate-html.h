/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/*
 * What a study found, to look at. @study: what study.json holds, or %NULL; @records: objects as in results.jsonl. Keys that are
 * missing, null or of another type are left out of the pictures, never an error.
 */

/* One HTML file, complete in itself: (transfer full). */
char *afp_ablate_html (JsonNode *study, JsonArray *records);

/*
 * One picture, to stand alone: (transfer full). @x, @y: (nullable): names of numbers of a record or of its metrics
 * (afp_ablate_plot_list_axes()); %NULL: "bits_per_weight" and "sqnr_db". %NULL with AFP_ERROR_PROPERTY: no run has both.
 */
char *afp_ablate_plot_svg (JsonNode *study, JsonArray *records, const char *x, const char *y,
                           GError **error);

/* What can be drawn: %NULL-terminated, static. */
const char *const *afp_ablate_plot_list_axes (void);

G_END_DECLS
