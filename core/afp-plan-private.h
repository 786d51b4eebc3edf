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
  GHashTable *seen_in, *seen_out; /* shared planes that were counted */
  GPtrArray *claims;              /* AfpPlanClaim, in the order of their first note */
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
  GHashTable *seen; /* shared planes that were counted */
  guint64 weights;
  guint64 raw_bytes;
  guint64 bytes; /* all in, with the recipes */
  gboolean exact;
  guint files; /* as far as the sink says, else 0 */
} AfpPlanOutput;

/* Bytes that a tensor takes of memory while it is in a run. */
typedef struct {
  guint64 kept;       /* its planes, while the stages have it */
  guint64 all;        /* with what the stages work with */
  guint64 per_thread; /* and for each thread */
  guint64 after;      /* its planes, while only sinks have it */
} AfpPlanMemory;

struct _AfpPlan {
  gint ref_count;
  guint64 n_tensors;  /* of the sources */
  GPtrArray *stages;  /* AfpPlanStage */
  GPtrArray *outputs; /* AfpPlanOutput */
  GHashTable *memory; /* tensor name -> AfpPlanMemory */
  GPtrArray *names;   /* keys of memory, in the order of their first note */
  GPtrArray *errors;  /* GError */

  AfpPlanMemory *current; /* of the tensor that is being planned */
  GHashTable *held;       /* its planes -> HeldPlane */
  guint64 live, working;  /* bytes of those that are held; what was noted since the last of them */
  guint64 judge;          /* the most that an element takes when it judges the whole model */
  char *judge_name;       /* (nullable): that element */
  AfpElement *element;    /* (nullable): whose notes come now */
  GHashTable *elements;   /* element -> AfpPlanMemory: the most of each */
  guint64 standing;       /* what elements keep between tensors */
  guint64 base;           /* what the process takes without any tensor, the standing included */
  guint n_threads;        /* that the budget allows */
};

AfpPlanStage *afp_plan_add_stage (
    AfpPlan *plan,
    AfpElement *element); /* finds or makes it: the order of stages is the order of these calls */
AfpPlanStage *afp_plan_find_stage (AfpPlan *plan, AfpElement *element);
AfpPlanOutput *afp_plan_find_output (AfpPlan *plan, AfpElement *sink);

/* --- afp-plan-memory.c --- */
AFP_API void afp_plan_begin_tensor (AfpPlan *plan, AfpTensor *tensor, guint64 bytes);
AFP_API void afp_plan_end_tensor (AfpPlan *plan);
/* Notes are of @element from here on. Returns whose they were. */
AFP_API AfpElement *afp_plan_set_element (AfpPlan *plan, AfpElement *element);
/* The most that is held while the element works, the tensor's planes among it; 0 if nothing is known. */
AFP_API guint64 afp_plan_get_element_memory (AfpPlan *plan, AfpElement *element);
/* A stage has @tensor from here on; all notes since the last call were of the stage that made it. */
AFP_API void afp_plan_hold (AfpPlan *plan, AfpTensor *tensor);
AFP_API void afp_plan_drop (AfpPlan *plan, AfpTensor *tensor);
/* What a plane takes, where its description does not tell. @frozen: coded already by the stage that made it. */
AFP_API void afp_plan_note_plane (AfpPlan *plan, AfpPlane *plane, guint64 bytes, gboolean frozen);
AFP_API gboolean afp_plan_plane_is_frozen (AfpPlan *plan, AfpPlane *plane);
AFP_API void afp_plan_note_finalize (AfpPlan *plan, AfpTensor *tensor); /* the stage finalizes it */
/* The most that one tensor takes, and whose. */
AFP_API guint64 afp_plan_get_peak_memory (AfpPlan *plan, const char **name);
/* For afp_budget_take() and afp_ticket_shrink(). */
AFP_API void
afp_plan_get_ticket (AfpPlan *plan, AfpSpec *spec, guint64 *kept, guint64 *working, guint64 *after);
/* Chooses the threads, at most @n_threads. Adds an error for every tensor that does not fit into @budget beside @base, what the process
 * takes without any. */
AFP_API void afp_plan_check_memory (AfpPlan *plan, guint64 budget, guint64 base, guint n_threads);

AFP_API gboolean afp_plan_has_errors (AfpPlan *plan);
/* "first\nalso: second\nalso: third\nand 7 more"; frees the array. NULL if it is empty. */
GError *afp_errors_join (GPtrArray *errors, guint most);

#pragma GCC visibility pop
