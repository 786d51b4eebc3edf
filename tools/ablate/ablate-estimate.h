/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ablate-plan.h"

G_BEGIN_DECLS

/*
 * How long a study will take, found out by measuring, in seconds:
 *   ablate-estimate.c       kinds of runs, and what each run has to do that no run before it did
 *   ablate-estimate-text.c  when they will be done, and how that is told
 *   ablate-sample.c         stages, on pieces of the model, in this process
 *   ablate-rest.c           what every run needs beside them: a process of afpipe-launch, and evals, on the beginning of their texts
 */

/**
 * AfpEstimateOptions:
 * @program: (nullable): path of afpipe-launch; NULL: only stages are measured
 * @threads: of all runs that go on at a time
 * @max_memory: bytes, likewise
 * @at_once: runs that go on at a time
 * @cached: work that a run has done is not done again
 * @limit: seconds that measuring may take
 * @records: (nullable) (element-type JsonObject): of the runs that are done; NULL for the others. What they took counts more than what
 *   is measured
 */
typedef struct {
  const char *program;
  guint threads;
  guint64 max_memory;
  guint at_once;
  gboolean cached;
  double limit;
  const GPtrArray *records;
} AfpEstimateOptions;

/**
 * AfpEstimate:
 * @seconds: of all runs that are still to run
 * @runs: of each run; 0: it is done, or left out
 * @done: of each run: it has a record
 * @n_done: runs that have records
 * @n_kinds: what differs in more than random seeds and has work of its own
 * @n_known: of these: measured, or on record
 * @took: seconds that measuring took
 * @gaps: (element-type utf8): sentences: what is not counted, or only guessed
 */
struct _AfpEstimate {
  double seconds;
  double *runs;
  gboolean *done;
  guint n_runs, n_done, n_kinds, n_known;
  double took;
  GPtrArray *gaps;
};

AfpEstimate *afp_estimate_new (const AfpStudyPlan *plan, const AfpStudy *study,
                               const AfpEstimateOptions *options);
void afp_estimate_free (AfpEstimate *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpEstimate, afp_estimate_free)
/* "about 3:20: ..."; a line or several. */
char *afp_estimate_to_string (const AfpEstimate *self);
JsonNode *afp_estimate_to_json (const AfpEstimate *self);

/* When the last of runs that take so long has ended: each begins as soon as one of @at_once places is free and its prefix has ended. */
double afp_estimate_schedule (const AfpStudy *study, const double *seconds, guint at_once);

/**
 * AfpRest:
 * @each: seconds of every run beside its stages; NAN: not known
 * @once: what the first needs more than the others, where work is kept
 */
typedef struct {
  double each, once;
} AfpRest;
/* @pipeline: one of the runs. @folder: for what is kept meanwhile. @limit: seconds */
AfpRest afp_estimate_rest (const AfpEstimateOptions *options, const char *pipeline,
                           const char *folder, double limit);

G_END_DECLS
