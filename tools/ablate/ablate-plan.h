/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "study.h"

G_BEGIN_DECLS

typedef struct _AfpEstimate AfpEstimate; /* ablate-estimate.h */

/**
 * AfpRunWork:
 * @key: who it is: the same pointer for the same work, in all runs of a plan
 * @stage: name of the codec
 * @element: what it is
 * @tensor: whose plane it is
 * @weights: of the plane
 *
 * An encoding of one plane by one stage. Its texts are the plan's.
 */
typedef struct {
  const char *key, *stage, *element, *tensor;
  guint64 weights;
} AfpRunWork;

/**
 * AfpRunPlan:
 * @error: (nullable): why the run cannot be planned; the numbers are 0 then
 * @broken: (nullable) (transfer none): the condition on its size that it does not meet
 * @wanted: it is to run: nothing speaks against it, and if it is only there for being a prefix, a run that is wanted has it. A prefix of a run
 *   that is wanted is wanted whatever the conditions say
 * @bytes: in a file of ours, @exact or at the most
 * @executions: encodings of one plane by one stage
 * @n_new: of these: not among those of wanted runs before it
 * @packs: it has a lossless stage, whose work is no execution and done each time
 * @work: (element-type AfpRunWork): those executions
 *
 * What is known of one run before it runs.
 */
typedef struct {
  GError *error;
  const char *broken;
  gboolean wanted;
  guint64 bytes, weights;
  gboolean exact;
  guint executions, n_new;
  gboolean packs;
  GArray *work;
} AfpRunPlan;

/**
 * AfpStudyPlan:
 * @runs: (element-type AfpRunPlan): one for each run of the study
 * @n_wanted: runs that are to run
 * @executions: of all these
 * @distinct: of these: what is left if none is done twice
 */
typedef struct {
  GPtrArray *runs;
  guint n_wanted;
  guint64 executions, distinct;
  GStringChunk *texts; /* private: of the work */
} AfpStudyPlan;

/* Plans every run of @study, in this process. A run that cannot be planned is no error of the study; a study none of whose runs can be
 * is: with the error of its first. */
AfpStudyPlan *afp_study_plan (const AfpStudy *study, GError **error);
void afp_study_plan_free (AfpStudyPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpStudyPlan, afp_study_plan_free)
/* The runs as a table, and what they share: what --plan prints. @estimate: (nullable) */
char *afp_study_plan_to_string (const AfpStudyPlan *plan, const AfpStudy *study,
                                const AfpEstimate *estimate);
JsonNode *afp_study_plan_to_json (const AfpStudyPlan *plan, const AfpStudy *study,
                                  const AfpEstimate *estimate);

G_END_DECLS
