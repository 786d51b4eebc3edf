/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-element.h"

G_BEGIN_DECLS

/*
 * AfpAnalysis: what an element finds out of its input that other runs need again, whatever comes behind it: kept in the folder of
 * afp_pipeline_set_cache(). The class says which analyses it has; the element says in each run what one depends on, and looks it up:
 *
 *   static const AfpAnalysisInfo analyses[] = {
 *     { "ranges", 1, "The largest weight of each row", "the model" },
 *   };
 *   afp_element_class_set_analyses (AFP_ELEMENT_CLASS (klass), analyses, G_N_ELEMENTS (analyses));
 *
 *   g_autofree char *model = afp_source_digest (source, afp_run_get_pool (run), error);
 *   if (!model)
 *     return FALSE;
 *   g_autoptr (AfpAnalysis) analysis = afp_analysis_new (element, "ranges");
 *   afp_analysis_add_text (analysis, model);
 *   g_autoptr (GBytes) ranges = afp_run_find_analysis (run, analysis);
 *   if (!ranges) {
 *     ranges = ...;
 *     afp_run_keep_analysis (run, analysis, ranges);
 *   }
 *
 * What is found is what was kept, to the byte: an entry that is damaged is none. Boxed, ref-counted; of one thread at a time.
 */

/**
 * AfpAnalysisInfo:
 * @name: of the analysis, among those of the class
 * @version: from 1; raised when the same input would give other bytes, or bytes of another form
 * @blurb: what is found out
 * @depends: on what, beside the plugin's and the library's code and the machine: all of it is given to the analysis
 *
 * An analysis that elements of a class have; @blurb and @depends are for people (afpipe-inspect).
 */
struct _AfpAnalysisInfo {
  const char *name;
  guint version;
  const char *blurb;
  const char *depends;
};

AFP_API void
afp_element_class_set_analyses (AfpElementClass *klass, const AfpAnalysisInfo *analyses, gsize n);

#define AFP_TYPE_ANALYSIS (afp_analysis_get_type ())
AFP_API GType afp_analysis_get_type (void);

AFP_API AfpAnalysis *afp_analysis_new (AfpElement *element, const char *name);
AFP_API AfpAnalysis *afp_analysis_ref (AfpAnalysis *self);
AFP_API void afp_analysis_unref (AfpAnalysis *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpAnalysis, afp_analysis_unref)

/* What it depends on, piece by piece, in the same order in each run. */
AFP_API void afp_analysis_add_text (AfpAnalysis *self, const char *text);
AFP_API void afp_analysis_add_data (AfpAnalysis *self, gconstpointer data, gsize n);
AFP_API const char *afp_analysis_get_key (AfpAnalysis *self);

AFP_API gboolean afp_run_can_keep_analysis (AfpRun *run, guint64 bytes);
AFP_API GBytes *afp_run_find_analysis (AfpRun *run, AfpAnalysis *analysis);
AFP_API void afp_run_keep_analysis (AfpRun *run, AfpAnalysis *analysis, GBytes *bytes);

G_END_DECLS
