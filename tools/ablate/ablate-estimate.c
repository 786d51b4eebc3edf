/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-estimate.h"

#include "ablate-record.h"
#include "ablate-rewrite.h"
#include "ablate-sample.h"
#include "afp-eta.h"
#include "afp-table.h"
#include "json-util.h"
#include "tool-util.h"

#include <math.h>
#include <string.h>

#define FIRST_WEIGHTS 4096 /* of the first piece of a tensor */
#define GROWTH 8           /* of the next */
#define MAX_LEVELS 12
#define REST_SHARE 0.4 /* of the time that measuring may take */

/* What is known of a codec in a kind of run. */
typedef struct {
  const char *stage, *element; /* the plan's */
  const char *tensor;          /* on whose pieces it is tried */
  AfpEta *curve;               /* seconds for a plane of so many weights */
  gboolean known;
} Stage;

/* Runs that differ in random seeds only. */
typedef struct {
  guint run;         /* the first that has work of its own */
  GPtrArray *stages; /* Stage: those that have work in it */
  double packing;    /* of lossless stages, seconds for a weight; NAN: not known */
  double last;       /* seconds of the last try */
  gboolean complete, failed;
} Kind;

typedef struct {
  AfpEstimate *estimate;
  const AfpStudyPlan *plan;
  const AfpStudy *study;
  const AfpEstimateOptions *options;
  GHashTable *by_name; /* what a kind is -> Kind */
  GPtrArray *kinds;    /* in the order of the study */
  GHashTable *rates;   /* element -> Rate */
  AfpEta *found;       /* seconds for finding a plane in the cache */
  gboolean found_known;
  char *folder;          /* of files for the time being */
  gint64 end;            /* of the time for measuring */
  double rest_on_record; /* what runs on record took beside their codecs; NAN without any */
  guint n_guessed, n_unknown;
} Estimating;

/* Of all kinds, where one was not measured. */
typedef struct {
  double seconds, weights;
} Rate;

/* --- kinds --------------------------------------------------------------------------------------------------------------- */

static void
stage_free (gpointer data)
{
  afp_eta_free (((Stage *) data)->curve);
  g_free (data);
}

static void
kind_free (gpointer data)
{
  g_ptr_array_unref (((Kind *) data)->stages);
  g_free (data);
}

static char *
name_kind (const AfpStudyRun *run)
{
  g_autoptr (GList) names = json_object_get_members (run->choices);
  GString *text = g_string_new (run->chain);

  for (GList *l = names; l; l = l->next) {
    const char *value = afp_json_get_text (run->choices, l->data, NULL);
    if (value) /* the number of a repeat is none */
      g_string_append_printf (text, "\n%s=%s", (char *) l->data, value);
  }
  return g_string_free (text, FALSE);
}

static Kind *
get_kind (Estimating *self, guint run)
{
  g_autofree char *name = name_kind (self->study->runs->pdata[run]);
  Kind *kind = g_hash_table_lookup (self->by_name, name);

  if (kind)
    return kind;
  kind = g_new0 (Kind, 1);
  kind->run = run;
  kind->packing = NAN;
  kind->stages = g_ptr_array_new_with_free_func (stage_free);
  g_hash_table_insert (self->by_name, g_steal_pointer (&name), kind);
  g_ptr_array_add (self->kinds, kind);
  return kind;
}

static Stage *
find_stage (const Kind *kind, const char *name)
{
  for (guint i = 0; i < kind->stages->len; i++)
    if (strcmp (((Stage *) kind->stages->pdata[i])->stage, name) == 0)
      return kind->stages->pdata[i];
  return NULL;
}

static Stage *
get_stage (Kind *kind, const AfpRunWork *work)
{
  Stage *stage = find_stage (kind, work->stage);

  if (stage)
    return stage;
  stage = g_new0 (Stage, 1);
  stage->stage = work->stage;
  stage->element = work->element;
  stage->curve = afp_eta_new ();
  g_ptr_array_add (kind->stages, stage);
  return stage;
}

/* Of the planes of one size the stage has most to do with, the tensor of the first. */
static void
choose_tensor (Stage *stage, const AfpRunPlan *run)
{
  g_autoptr (GHashTable) sums = g_hash_table_new (NULL, NULL);
  guint64 best = 0;

  for (guint pass = 0; pass < 2; pass++)
    for (guint i = 0; i < run->work->len; i++) {
      const AfpRunWork *work = &g_array_index (run->work, AfpRunWork, i);
      gpointer size = GSIZE_TO_POINTER ((gsize) work->weights);
      if (strcmp (work->stage, stage->stage) != 0)
        continue;
      const guint64 sum = GPOINTER_TO_SIZE (g_hash_table_lookup (sums, size));
      if (pass == 0)
        g_hash_table_insert (sums, size, GSIZE_TO_POINTER ((gsize) (sum + work->weights)));
      else if (sum > best) {
        best = sum;
        stage->tensor = work->tensor;
      }
    }
}

/* --- what was run before ------------------------------------------------------------------------------------------------- */

static JsonObject *
get_record (const Estimating *self, guint run)
{
  const GPtrArray *records = self->options->records;

  return records && run < records->len ? records->pdata[run] : NULL;
}

static gboolean
is_to_run (const Estimating *self, guint run)
{
  return ((AfpRunPlan *) self->plan->runs->pdata[run])->wanted && !get_record (self, run);
}

static const AfpRunWork *
get_work (const Estimating *self, guint run, guint i)
{
  return &g_array_index (((AfpRunPlan *) self->plan->runs->pdata[run])->work, AfpRunWork, i);
}

static guint
count_work (const Estimating *self, guint run)
{
  return ((AfpRunPlan *) self->plan->runs->pdata[run])->work->len;
}

/* Keys of what the runs on record did. */
static GHashTable *
list_done (const Estimating *self)
{
  GHashTable *done = g_hash_table_new (NULL, NULL);

  for (guint r = 0; r < self->plan->runs->len; r++)
    for (guint i = 0; get_record (self, r) && i < count_work (self, r); i++)
      g_hash_table_add (done, (gpointer) get_work (self, r, i)->key);
  return done;
}

/* --- points of the curves ------------------------------------------------------------------------------------------------ */

static void
note_stage (Estimating *self, Stage *stage, double weights, double seconds)
{
  Rate *rate = g_hash_table_lookup (self->rates, stage->element);

  if (!rate) {
    rate = g_new0 (Rate, 1);
    g_hash_table_insert (self->rates, (gpointer) stage->element, rate);
  }
  rate->seconds += seconds;
  rate->weights += weights;
  afp_eta_note (stage->curve, (guint64) weights, seconds);
  stage->known = TRUE;
}

/* The stages of a run on record, where it found next to nothing in the cache: each took so long for its planes. */
static void
take_record (Estimating *self, Kind *kind, guint run)
{
  JsonObject *record = get_record (self, run);
  JsonArray *stages = afp_json_get_array (record, "stages");

  if (!stages || !(afp_record_get (record, "executions_cached") == 0))
    return;
  for (guint s = 0; s < json_array_get_length (stages); s++) {
    JsonObject *from = json_array_get_object_element (stages, s);
    Stage *stage = find_stage (kind, afp_json_get_text (from, "name", ""));
    const double seconds = afp_json_get_number (from, "seconds", NAN);
    double weights = 0;
    guint n = 0;
    for (guint i = 0; stage && i < count_work (self, run); i++) {
      const AfpRunWork *work = get_work (self, run, i);
      weights += strcmp (work->stage, stage->stage) == 0 ? (double) work->weights : 0;
      n += strcmp (work->stage, stage->stage) == 0;
    }
    if (n && isfinite (seconds))
      note_stage (self, stage, weights / n, seconds / n);
    kind->complete = kind->complete || n;
  }
}

/* --- measuring ----------------------------------------------------------------------------------------------------------- */

static double
get_time (const Estimating *self)
{
  return (double) (self->end - g_get_monotonic_time ()) / G_USEC_PER_SEC;
}

/* Pieces of the tensor on which @stage is tried; they tell of the others in the run, too. */
static AfpTry *
try_piece (Estimating *self, AfpSample *sample, Kind *kind, const char *tensor, guint64 weights)
{
  const AfpStudyRun *run = self->study->runs->pdata[kind->run];
  g_autoptr (GError) error = NULL;
  AfpTry *done =
      afp_sample_try (sample, run->pipeline, tensor, weights, get_time (self), NULL, &error);

  if (!done) {
    kind->failed = TRUE;
    return NULL;
  }
  if (done->weights > 0)
    kind->packing = done->packing / (double) done->weights;
  for (guint i = 0; i < done->trials->len; i++) {
    const AfpTrial *trial = done->trials->pdata[i];
    Stage *stage = find_stage (kind, trial->stage);
    if (stage)
      note_stage (self, stage, trial->weights, trial->seconds);
  }
  return done;
}

static gboolean
is_tried (const Kind *kind, guint stage)
{
  for (guint i = 0; i < stage; i++)
    if (((Stage *) kind->stages->pdata[i])->tensor ==
        ((Stage *) kind->stages->pdata[stage])->tensor)
      return TRUE;
  return FALSE;
}

static void
try_kind (Estimating *self, AfpSample *sample, Kind *kind, guint64 weights)
{
  const gint64 begin = g_get_monotonic_time ();
  gboolean rows_left = FALSE;

  for (guint i = 0; i < kind->stages->len && !kind->failed; i++) {
    const Stage *stage = kind->stages->pdata[i];
    g_autoptr (AfpTry) done =
        is_tried (kind, i) ? NULL : try_piece (self, sample, kind, stage->tensor, weights);
    rows_left = rows_left || (done && done->rows_left);
  }
  kind->complete = !rows_left && !kind->failed;
  kind->last = (double) (g_get_monotonic_time () - begin) / G_USEC_PER_SEC;
}

/* How long finding takes, by a piece that is found. */
static void
try_cache (Estimating *self, AfpSample *sample)
{
  for (guint k = 0; self->options->cached && k < self->kinds->len && !self->found_known; k++) {
    const Kind *kind = self->kinds->pdata[k];
    const Stage *stage = kind->stages->len ? kind->stages->pdata[0] : NULL;
    const AfpStudyRun *run = self->study->runs->pdata[kind->run];
    for (guint64 n = FIRST_WEIGHTS; stage && !kind->failed && n <= GROWTH * FIRST_WEIGHTS;
         n *= GROWTH)
      for (guint second = 0; second < 2 && get_time (self) > 0; second++) {
        g_autoptr (AfpTry) done = afp_sample_try (sample, run->pipeline, stage->tensor, n,
                                                  get_time (self), self->folder, NULL);
        for (guint i = 0; done && second && i < done->trials->len; i++) {
          const AfpTrial *trial = done->trials->pdata[i];
          afp_eta_note (self->found, (guint64) trial->weights, trial->seconds);
          self->found_known = TRUE;
        }
      }
  }
}

/* First a small piece for each kind, then larger ones for those that may still be measured in time. */
static void
measure (Estimating *self)
{
  g_autoptr (AfpSample) sample =
      afp_sample_new (MAX (1, self->options->threads / self->options->at_once),
                      self->options->max_memory / self->options->at_once);
  guint64 weights = FIRST_WEIGHTS;

  for (guint level = 0; level < MAX_LEVELS; level++, weights *= GROWTH)
    for (guint k = 0; k < self->kinds->len && get_time (self) > 0; k++) {
      Kind *kind = self->kinds->pdata[k];
      const double left = get_time (self) / 2;
      if (!kind->complete && !kind->failed && (level == 0 || GROWTH * kind->last < left))
        try_kind (self, sample, kind, weights);
    }
  try_cache (self, sample);
}

/* --- sums ---------------------------------------------------------------------------------------------------------------- */

/* Seconds for planes of these sizes, by the curve. */
static double
sum_curve (AfpEta *curve, const GArray *sizes)
{
  for (guint i = 0; i < sizes->len; i++)
    afp_eta_expect (curve, g_array_index (sizes, guint64, i));
  const double seconds = afp_eta_get_left (curve);
  for (guint i = 0; i < sizes->len; i++)
    afp_eta_forget (curve, g_array_index (sizes, guint64, i));
  return seconds;
}

/* 0: nothing like it was measured. */
static double
sum_stage (Estimating *self, const Stage *stage, const GArray *sizes)
{
  const Rate *rate = g_hash_table_lookup (self->rates, stage->element);
  double weights = 0;

  if (stage->known)
    return sum_curve (stage->curve, sizes);
  if (!rate || rate->weights == 0) {
    self->n_unknown++;
    return 0;
  }
  self->n_guessed++;
  for (guint i = 0; i < sizes->len; i++)
    weights += (double) g_array_index (sizes, guint64, i);
  return rate->seconds / rate->weights * weights;
}

/* @fresh: of the work of the run, what is not found */
static double
sum_run (Estimating *self, guint run, const gboolean *fresh)
{
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (guint64));
  const AfpRunPlan *plan = self->plan->runs->pdata[run];
  g_autofree char *name = name_kind (self->study->runs->pdata[run]);
  const Kind *kind = g_hash_table_lookup (self->by_name, name);
  double seconds = 0;

  for (guint s = 0; kind && s < kind->stages->len; s++) {
    const Stage *stage = kind->stages->pdata[s];
    g_autoptr (GArray) sizes = g_array_new (FALSE, FALSE, sizeof (guint64));
    for (guint i = 0; i < plan->work->len; i++)
      if (fresh[i] && strcmp (get_work (self, run, i)->stage, stage->stage) == 0)
        g_array_append_val (sizes, get_work (self, run, i)->weights);
    seconds += sizes->len ? sum_stage (self, stage, sizes) : 0;
  }
  for (guint i = 0; i < plan->work->len; i++)
    if (!fresh[i])
      g_array_append_val (found, get_work (self, run, i)->weights);
  if (found->len && self->found_known)
    seconds += sum_curve (self->found, found);
  if (kind && isfinite (kind->packing) && isnan (self->rest_on_record))
    seconds += kind->packing * (double) plan->weights;
  return seconds;
}

typedef void (*WorkFunc) (Estimating *self, guint run, const gboolean *fresh);

/* Calls @func for each run that is to run, with what of its work none before it has done. */
static void
walk (Estimating *self, WorkFunc func)
{
  g_autoptr (GHashTable) seen = list_done (self);

  for (guint r = 0; r < self->plan->runs->len; r++) {
    const guint n = count_work (self, r);
    g_autofree gboolean *fresh = g_new0 (gboolean, n + 1);
    if (!is_to_run (self, r))
      continue;
    for (guint i = 0; i < n; i++) {
      const gboolean first = g_hash_table_add (seen, (gpointer) get_work (self, r, i)->key);
      fresh[i] = first || !self->options->cached;
    }
    func (self, r, fresh);
  }
}

static void
add_kinds (Estimating *self, guint run, const gboolean *fresh)
{
  const AfpRunPlan *plan = self->plan->runs->pdata[run];
  Kind *kind = NULL;

  for (guint i = 0; i < count_work (self, run); i++)
    if (fresh[i] || plan->packs) {
      kind = get_kind (self, run);
      get_stage (kind, get_work (self, run, i));
    }
  for (guint i = 0; kind && i < kind->stages->len; i++) {
    Stage *stage = kind->stages->pdata[i];
    if (!stage->tensor)
      choose_tensor (stage, plan);
  }
}

static void
add_seconds (Estimating *self, guint run, const gboolean *fresh)
{
  self->estimate->runs[run] += sum_run (self, run, fresh);
}

/* What the runs on record took beside their codecs; NAN without any. */
static double
get_rest_on_record (const Estimating *self)
{
  double sum = 0;
  guint n = 0;

  for (guint r = 0; r < self->plan->runs->len; r++) {
    JsonObject *record = get_record (self, r);
    JsonArray *stages = record ? afp_json_get_array (record, "stages") : NULL;
    double seconds = record ? afp_record_get (record, "seconds") : NAN;
    for (guint i = 0; stages && i < json_array_get_length (stages); i++) {
      JsonObject *stage = json_array_get_object_element (stages, i);
      for (guint w = 0; w < count_work (self, r); w++)
        if (strcmp (get_work (self, r, w)->stage, afp_json_get_text (stage, "name", "")) == 0) {
          seconds -= afp_json_get_number (stage, "seconds", 0);
          break;
        }
    }
    if (isfinite (seconds) && ((AfpStudyRun *) self->study->runs->pdata[r])->n_stages > 0) {
      sum += MAX (seconds, 0);
      n++;
    }
  }
  return n ? sum / n : NAN;
}

/* --- all ----------------------------------------------------------------------------------------------------------------- */

static void add_gap (Estimating *self, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
add_gap (Estimating *self, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_ptr_array_add (self->estimate->gaps, g_strdup_vprintf (format, args));
  va_end (args);
}

/* Runs that are prepared alike. */
typedef struct {
  AfpRest rest;
  gboolean begun; /* a run before has it */
} Preparing;

static Preparing *
find_preparing (Estimating *self, GHashTable *all, guint run)
{
  const AfpStudyRun *of = self->study->runs->pdata[run];
  const double share = self->options->limit * REST_SHARE / (g_hash_table_size (all) ? 2 : 1);
  g_autofree char *name = afp_rewrite_list_preparing (of->pipeline);
  Preparing *found = g_hash_table_lookup (all, name);

  if (found)
    return found;
  found = g_new0 (Preparing, 1);
  found->rest = (AfpRest){ self->rest_on_record, NAN };
  if (isnan (self->rest_on_record) && self->options->program && self->folder)
    found->rest =
        afp_estimate_rest (self->options, of->pipeline, self->folder, MIN (share, get_time (self)));
  g_hash_table_insert (all, g_steal_pointer (&name), found);
  return found;
}

static void
add_rest (Estimating *self)
{
  g_autoptr (GHashTable) all = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  guint n_unknown = 0;

  for (guint r = 0; r < self->plan->runs->len; r++) {
    Preparing *preparing = is_to_run (self, r) ? find_preparing (self, all, r) : NULL;
    if (!preparing)
      continue;
    n_unknown += isnan (preparing->rest.each);
    self->estimate->runs[r] += isfinite (preparing->rest.each) ? preparing->rest.each : 0;
    if (!preparing->begun && isfinite (preparing->rest.once))
      self->estimate->runs[r] += preparing->rest.once;
    preparing->begun = TRUE;
  }
  if (n_unknown)
    add_gap (self,
             "not counted: what %u runs need beside their stages, above all evals and calibration",
             n_unknown);
}

static void
conclude (Estimating *self)
{
  AfpEstimate *estimate = self->estimate;
  for (guint k = 0; k < self->kinds->len; k++) {
    const Kind *kind = self->kinds->pdata[k];
    guint n = 0;
    for (guint s = 0; s < kind->stages->len; s++)
      n += ((Stage *) kind->stages->pdata[s])->known;
    estimate->n_known += n == kind->stages->len;
  }
  estimate->n_kinds = self->kinds->len;
  if (self->n_guessed)
    add_gap (
        self,
        "guessed, by other runs with the same stages: %u stages of runs that could not be measured in time",
        self->n_guessed);
  if (self->n_unknown)
    add_gap (self, "not counted: %u stages of runs that could not be measured", self->n_unknown);
  estimate->seconds = afp_estimate_schedule (self->study, estimate->runs, self->options->at_once);
}

AfpEstimate *
afp_estimate_new (const AfpStudyPlan *plan, const AfpStudy *study,
                  const AfpEstimateOptions *options)
{
  const gint64 begin = g_get_monotonic_time ();
  AfpEstimate *estimate = g_new0 (AfpEstimate, 1);
  Estimating self = { .estimate = estimate,
                      .plan = plan,
                      .study = study,
                      .options = options,
                      .by_name = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, kind_free),
                      .kinds = g_ptr_array_new (),
                      .rates = g_hash_table_new_full (NULL, NULL, NULL, g_free),
                      .found = afp_eta_new (),
                      .folder = g_dir_make_tmp ("afpipe-estimate-XXXXXX", NULL),
                      .end = begin + (gint64) (options->limit * G_USEC_PER_SEC) };

  estimate->n_runs = plan->runs->len;
  estimate->runs = g_new0 (double, plan->runs->len + 1);
  estimate->done = g_new0 (gboolean, plan->runs->len + 1);
  estimate->gaps = g_ptr_array_new_with_free_func (g_free);
  for (guint r = 0; r < plan->runs->len; r++)
    estimate->n_done += estimate->done[r] = get_record (&self, r) != NULL;
  walk (&self, add_kinds);
  for (guint r = 0; r < plan->runs->len; r++) {
    g_autofree char *name = get_record (&self, r) ? name_kind (study->runs->pdata[r]) : NULL;
    Kind *kind = name ? g_hash_table_lookup (self.by_name, name) : NULL;
    if (kind)
      take_record (&self, kind, r);
  }
  self.rest_on_record = get_rest_on_record (&self);
  add_rest (&self);
  measure (&self);
  walk (&self, add_seconds);
  conclude (&self);
  estimate->took = (double) (g_get_monotonic_time () - begin) / G_USEC_PER_SEC;
  if (self.folder)
    tool_remove_tree (self.folder);
  g_free (self.folder);
  afp_eta_free (self.found);
  g_hash_table_unref (self.rates);
  g_ptr_array_unref (self.kinds);
  g_hash_table_unref (self.by_name);
  return estimate;
}
