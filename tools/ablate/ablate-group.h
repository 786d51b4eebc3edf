/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ablate-record.h"

G_BEGIN_DECLS

/**
 * AfpGroup:
 * @records: (element-type JsonObject): the repeats of one run, which count
 * @first: the first of them
 * @name: "seedlm ! vptq k=16", and what was chosen besides
 *
 * Runs that differ only in their random seeds.
 */
typedef struct {
  GPtrArray *records;
  JsonObject *first;
  char *name;
} AfpGroup;

/* @records: (element-type JsonObject): may have NULLs. Those that do not count are left out, or with @all only the failed ones.
 * (transfer full) (element-type AfpGroup) */
GPtrArray *afp_groups_new (const GPtrArray *records, gboolean all);

/* Mean over the repeats; NAN if one lacks it. */
double afp_group_mean (const AfpGroup *group, const char *name);
/* Standard error of the mean; NAN where there is one record only. */
double afp_group_stderr (const AfpGroup *group, const char *name);

/* What can be asked for the best of, and which way: "nmse", "nll", "accuracy". */
#define AFP_N_GOALS 3
typedef struct {
  const char *name;
  gboolean larger; /* is better */
} AfpGoal;
extern const AfpGoal afp_goals[AFP_N_GOALS];
/* @a better than @b? */
gboolean afp_goal_is_better (const AfpGoal *goal, double a, double b);

/* Sets the member "pareto" of all records: for each goal that the record has a value of, whether no other record that counts is at least as
 * good with fewer bytes, or better with as many. */
void afp_records_mark_pareto (const GPtrArray *records);
/* Is it on the front of any goal, or of @goal? */
gboolean afp_record_is_pareto (JsonObject *record, const char *goal);

G_END_DECLS
