/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-element.h"
#include "afp-message.h"
#include "afp-parse.h"
#include "afp-plan.h"

G_BEGIN_DECLS

#define AFP_TYPE_PIPELINE (afp_pipeline_get_type ())
AFP_API
G_DECLARE_FINAL_TYPE (AfpPipeline, afp_pipeline, AFP, PIPELINE, GObject)

/* Builds the elements of the tree, sets properties, links. Errors carry a caret into the text. */
AFP_API AfpPipeline *afp_pipeline_new_from_ast (const AfpAst *ast, GError **error);
AFP_API AfpPipeline *afp_pipeline_new_from_text (const char *text, GError **error);
/* One element of the tree by itself. Errors likewise. */
AFP_API AfpElement *
afp_pipeline_make_element (const AfpAst *ast, const AfpAstNode *node, GError **error);

AFP_API void
afp_pipeline_set_threads (AfpPipeline *self, guint n_threads); /* 0: one per processor */
AFP_API void
afp_pipeline_set_max_memory (AfpPipeline *self,
                             guint64 bytes); /* 0: most of what the machine or cgroup has */
AFP_API void afp_pipeline_set_cache (AfpPipeline *self, const char *folder, guint64 limit);
AFP_API void
afp_pipeline_set_handler (AfpPipeline *self, AfpMessageFunc handler, gpointer user_data);
AFP_API GPtrArray *afp_pipeline_get_elements (
    AfpPipeline *self); /* (transfer none) (element-type AfpElement), upstream first */
AFP_API char *
afp_pipeline_get_canonical_text (AfpPipeline *self,
                                 gboolean with_files); /* resolved, defaults left out */

/* Opens sources, folds every tensor through every stage. All errors at once: the first is @error, the others follow in its text. */
AFP_API AfpPlan *afp_pipeline_plan (AfpPipeline *self, GError **error); /* (transfer none) */
/* Plans if needed, runs to the end, publishes. */
AFP_API gboolean afp_pipeline_run (AfpPipeline *self, GError **error);
AFP_API void
afp_pipeline_cancel (AfpPipeline *self); /* from any thread or a signal handler's main loop */
AFP_API gboolean afp_pipeline_interrupt (
    AfpPipeline
        *self); /* likewise; the tensor at work ends well where a sink keeps it for a later run */
/* The report as a JSON object; after a run, or after a failure (then with "error"). (transfer full). @error: (nullable): how the run ended */
AFP_API JsonNode *afp_pipeline_get_report (AfpPipeline *self, const GError *error);

/* Each encoding of one plane by one stage that a run has to do, known by what goes into it: hex digits, once planned. */
AFP_API GPtrArray *
afp_pipeline_list_executions (AfpPipeline *self); /* (transfer full) (element-type utf8) */

/* The pipeline as a graph for Graphviz; with claims and bytes once it is planned. (transfer full) */
AFP_API char *afp_pipeline_to_dot (AfpPipeline *self);

/* AfpRun: what elements can ask while a run goes on. */
AFP_API AfpPool *afp_run_get_pool (AfpRun *run);
AFP_API GCancellable *afp_run_get_cancellable (AfpRun *run);
AFP_API AfpPipeline *afp_run_get_pipeline (AfpRun *run);
AFP_API AfpPlan *afp_run_get_plan (AfpRun *run);
AFP_API gboolean afp_run_keep_memory (AfpRun *run, guint64 bytes);
AFP_API guint64 afp_run_get_room (AfpRun *run);
AFP_API gboolean afp_run_borrow_memory (AfpRun *run, guint64 bytes, GError **error);
AFP_API void afp_run_return_memory (AfpRun *run);
AFP_API void afp_run_post (AfpRun *run, AfpMessage *message); /* (transfer full) */

G_END_DECLS
