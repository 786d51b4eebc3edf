/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* What the pictures of a study take from its records. Numbers that are missing are NaN. */

/**
 * AblateAxis:
 * @key: of a record, or of its metrics
 * @label: in words, with the unit
 * @better: 1: more is better; -1: less is
 * @logarithmic: drawn so
 * @digits: behind the point, of four: printf's %.*g
 */
typedef struct {
  const char *key;
  const char *label;
  int better;
  gboolean logarithmic;
  int digits;
} AblateAxis;

const AblateAxis *ablate_axis_find (const char *key); /* (nullable) */
const AblateAxis *ablate_axis_get (guint index);      /* (nullable): past the end */

/**
 * AblateRun:
 * @chain: "" of the model as it is
 * @shape: the elements of the chain without their properties
 * @series: index of the shape in AblateRuns.shapes
 */
typedef struct {
  JsonObject *record;
  gint64 number;
  gboolean failed;
  const char *chain;
  char *shape;
  guint series;
} AblateRun;

/**
 * AblateRuns:
 * @runs: of AblateRun, in the order of the records
 * @shapes: of char*, in the order in which they come
 */
typedef struct {
  GArray *runs;
  GPtrArray *shapes;
  guint n_failed;
} AblateRuns;

AblateRuns *ablate_runs_new (JsonArray *records);
void ablate_runs_free (AblateRuns *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AblateRuns, ablate_runs_free)

const AblateRun *ablate_runs_get (const AblateRuns *self, guint index);
const AblateRun *ablate_runs_find (const AblateRuns *self, gint64 number); /* (nullable) */
/* The number called @key; NaN of a run that failed, or without it. */
double ablate_run_number (const AblateRun *run, const char *key);
gboolean ablate_runs_have (const AblateRuns *self, const char *key);
/* Is there a point at x, y? The model as it is has none: it would lie far from all others. */
gboolean ablate_run_is_point (const AblateRun *run, const AblateAxis *x, const AblateAxis *y);
guint ablate_runs_count_points (const AblateRuns *self, const AblateAxis *x, const AblateAxis *y);
/* The number of the model as it is: the first such run that has it. */
double ablate_runs_get_original (const AblateRuns *self, const char *key);
/* What models are judged by in this study: the first of nll, accuracy, sqnr_db that a run has. */
const AblateAxis *ablate_runs_get_judge (const AblateRuns *self);
/* Indices of the points that no other beats in x and in y, by x: of guint. */
GArray *ablate_runs_find_front (const AblateRuns *self, const AblateAxis *x, const AblateAxis *y);

/* Members of JSON that may be missing, null or of another type. */
double ablate_json_number (JsonObject *object, const char *key);
const char *ablate_json_text (JsonObject *object, const char *key);   /* (nullable) */
JsonObject *ablate_json_object (JsonObject *object, const char *key); /* (nullable) */
JsonArray *ablate_json_array (JsonObject *object, const char *key);   /* (nullable) */

/* Text of XML: escaped, without characters that XML does not allow. */
void ablate_put_text (GString *out, const char *text);
/* %.*g, with a point in every locale; "–" for none. */
void ablate_put_number (GString *out, double value, int digits);
/* A part of a coordinate or a length: two digits behind the point. */
void ablate_put_length (GString *out, double value);

G_END_DECLS
