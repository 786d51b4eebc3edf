/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-element.h"

G_BEGIN_DECLS

/*
 * AfpPlan: what a run will do, known before any payload is read: per stage the bytes in and out, each claim and each refusal
 * with both numbers, per tensor the final recipe and size.
 */
#define AFP_TYPE_PLAN (afp_plan_get_type ())
AFP_API GType afp_plan_get_type (void);
AFP_API AfpPlan *afp_plan_new (void);
AFP_API AfpPlan *afp_plan_ref (AfpPlan *plan);
AFP_API void afp_plan_unref (AfpPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpPlan, afp_plan_unref)

/* Called by the base classes while planning. @why: "" or the reason of a refusal. Equal notes (same element, path, outcome, codec call) are summed over tensors. */
AFP_API void afp_plan_note_claim (AfpPlan *plan, AfpElement *element, AfpSpec *spec,
                                  const char *path, gboolean taken, guint64 bytes, gboolean exact,
                                  guint64 fallback_bytes, const char *what, const char *why);
AFP_API void afp_plan_note_tensor (AfpPlan *plan, AfpElement *element, AfpTensor *in,
                                   AfpTensor *out); /* bytes in and out of a stage */
AFP_API void afp_plan_note_output (AfpPlan *plan, AfpElement *sink, AfpTensor *tensor);
AFP_API void afp_plan_note_files (AfpPlan *plan, AfpElement *sink, guint n_files);
/* What a stage works with while it has a tensor: afp-plan-memory.c */
AFP_API void afp_plan_note_memory (AfpPlan *plan, AfpSpec *spec, guint64 bytes);
AFP_API void afp_plan_note_thread_memory (AfpPlan *plan, AfpSpec *spec, guint64 bytes);
AFP_API void afp_plan_note_standing_memory (AfpPlan *plan, guint64 bytes);
AFP_API void afp_plan_note_judge_memory (AfpPlan *plan, AfpElement *element, guint64 bytes);
AFP_API void afp_plan_note_decode (AfpPlan *plan, AfpTensor *tensor, AfpTensor *finalized);
AFP_API void
afp_plan_add_error (AfpPlan *plan, GError *error); /* (transfer full): errors are collected */

AFP_API gsize afp_plan_get_n_tensors (AfpPlan *plan);
AFP_API guint64 afp_plan_get_total_bytes (AfpPlan *plan, AfpElement *sink, gboolean *exact);
AFP_API GError *afp_plan_take_error (
    AfpPlan *plan); /* NULL if there is none; else the first, the others in its text */
AFP_API char *afp_plan_to_string (AfpPlan *plan); /* the table that --plan prints */
AFP_API JsonNode *afp_plan_to_json (
    AfpPlan *
        plan); /* {"stages":[{"name","element","tensors","bytes_in","bytes_out","exact","claims":[{"plane","taken","tensors","bytes","fallback_bytes","exact","what","why"}]}],"outputs":[...]} */
AFP_API JsonNode *afp_plan_stage_to_json (AfpPlan *plan, AfpElement *element);

G_END_DECLS
