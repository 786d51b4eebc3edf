/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-plan.h"

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

/*
 * What the pipeline and the texts of a plan see of it. Internal.
 */
typedef struct {
  char *path;
  gboolean taken;
  guint64 tensors, bytes, fallback_bytes;
  gboolean exact;
  char *what;
  char *why;
} AfpPlanClaim;

typedef struct {
  AfpElement *element; /* a reference */
  guint64 tensors_in, tensors_out;
  guint64 bytes_in, bytes_out;
  gboolean exact_in, exact_out;
  GPtrArray *claims; /* AfpPlanClaim, in the order of their first note */
  GHashTable *claim_index;
} AfpPlanStage;

typedef struct {
  char *text;
  guint64 tensors;
  guint64 bytes; /* of its tensors and of itself */
} AfpPlanRecipe;

typedef struct {
  AfpSpec *spec;
  AfpSize size;
  guint recipe;
} AfpPlanTensor;

typedef struct {
  AfpElement *element;
  GArray *tensors;    /* AfpPlanTensor */
  GPtrArray *recipes; /* AfpPlanRecipe */
  GHashTable *recipe_index;
  guint64 weights;
  guint64 raw_bytes;
  guint64 bytes; /* all in, with the recipes */
  gboolean exact;
  guint files; /* as far as the sink says, else 0 */
} AfpPlanOutput;

struct _AfpPlan {
  gint ref_count;
  guint64 n_tensors;  /* of the sources */
  GPtrArray *stages;  /* AfpPlanStage */
  GPtrArray *outputs; /* AfpPlanOutput */
  GHashTable *memory; /* tensor name -> guint64 *, the largest note */
  GPtrArray *names;   /* keys of memory, in the order of their first note */
  GPtrArray *errors;  /* GError */
};

AfpPlanStage *afp_plan_add_stage (
    AfpPlan *plan,
    AfpElement *element); /* finds or makes it: the order of stages is the order of these calls */
AfpPlanStage *afp_plan_find_stage (AfpPlan *plan, AfpElement *element);
AfpPlanOutput *afp_plan_find_output (AfpPlan *plan, AfpElement *sink);
/* The largest working memory of one tensor, and whose. */
AFP_API guint64 afp_plan_get_peak_memory (AfpPlan *plan, const char **name);
/* Adds an error for every tensor that needs more than @budget. */
AFP_API void afp_plan_check_memory (AfpPlan *plan, guint64 budget);
AFP_API gboolean afp_plan_has_errors (AfpPlan *plan);
/* "first\nalso: second\nalso: third\nand 7 more"; frees the array. NULL if it is empty. */
GError *afp_errors_join (GPtrArray *errors, guint most);

#pragma GCC visibility pop
