/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ablate-group.h"

G_BEGIN_DECLS

/*
 * What a chain has to beat: round-to-nearest with group scales ("rtn"), block floating point ("block-float": rtn shared-exponent=true), "hyper !
 * entropy" ("hyper-entropy"), each alone; and rivals, other models that go through the study's evals as they are.
 */
#define AFP_N_BASELINES 3
typedef struct {
  const char *name, *what; /* what it is called in sentences */
} AfpBaseline;
extern const AfpBaseline afp_baselines[AFP_N_BASELINES];

/* The names of the stages: "seedlm ! vptq" of the chain "seedlm ! vptq k=16". (transfer full) */
char *afp_chain_get_shape (const char *chain);
/* Likewise of the stages of a run that compress. (transfer full) */
char *afp_record_get_codecs (JsonObject *record);
/* Index in afp_baselines of what the group is, or -1. */
int afp_group_get_baseline (const AfpGroup *group);

typedef struct {
  double bits, value;
} AfpRatePoint;
/* The value at @bits between the two neighbours of @points (of AfpRatePoint, in any order), linear in bits and in the value, or with
 * @in_log in its logarithm. NAN outside. */
double afp_rate_interpolate (GArray *points, double bits, gboolean in_log);

/* Appends to @study a run for each file: the file instead of the source, and the study's first eval with what follows, but that nothing is
 * written. AFP_ERROR_USAGE: the study has no eval, or has branches. */
gboolean afp_study_add_rivals (AfpStudy *study, const char *const *files, GError **error);

G_END_DECLS
