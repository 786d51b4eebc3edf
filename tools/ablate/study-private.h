/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "study.h"

#include "afpipe.h"

G_BEGIN_DECLS

/* More elements than these, in a text, are no study. */
#define AFP_STUDY_MAX_NODES 200

/**
 * StudyItem:
 * @node: of the tree; NULL: here a chain ends
 * @picks: of each property, which of its values
 *
 * One element of a run.
 */
typedef struct {
  const AfpAstNode *node;
  const guint *picks;
} StudyItem;

/* --- study-expand.c --- */

/* How many pipelines a tree stands for; saturates. */
guint64 study_count (const AfpAst *ast);
/* All element nodes, those within choices too, in the order of the text: (element-type AfpAstNode). */
GPtrArray *study_list_nodes (const AfpAst *ast);
/* @items: (element-type StudyItem): one run; valid during the call */
typedef gboolean (*StudyEmit) (const GArray *items, gpointer user_data, GError **error);
/* Calls @emit for each combination of the choices of @ast, always in the same order. */
gboolean study_expand (const AfpAst *ast, StudyEmit emit, gpointer user_data, GError **error);

/* --- study-chain.c --- */

/* What the registry says of elements, and what their nodes have in common. */
typedef struct _StudyNames StudyNames;
StudyNames *study_names_new (void);
void study_names_free (StudyNames *names);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (StudyNames, study_names_free)
/* Looks up the elements of @ast, tries each value of their properties, and compares nodes of the same element. @ast has to live on. */
gboolean study_names_set_tree (StudyNames *names, const AfpAst *ast, GError **error);
/* The text of a run. @seed_step: is added to the seed of every element that has one and does not set it. Without outputs: nothing is written. */
char *
study_run_text (StudyNames *names, const GArray *items, guint seed_step, gboolean with_outputs);
/* @items, perhaps without what writes. (transfer full) */
GArray *study_run_parts (StudyNames *names, const GArray *items, gboolean with_outputs);
/* Every file that a run writes, and who does. */
typedef void (*StudyOutput) (const char *file, const AfpAstNode *node, gpointer user_data);
void study_run_foreach_output (StudyNames *names, const GArray *items, StudyOutput func,
                               gpointer user_data);
char *study_run_chain (StudyNames *names, const GArray *items);
/* Index of the last compressing item of the main chain, or -1; how many there are. */
int study_run_last_stage (StudyNames *names, const GArray *items, guint *n_stages);
/* Names of the compressing items of the main chain. */
char *study_run_codecs (StudyNames *names, const GArray *items);
/* Adds "vptq.k" and the like, in the order of the text. */
void study_run_add_choices (const GArray *items, JsonObject *choices);
/* @items without the stage at @index, without a decode that would end the chain then, and without a calibrate that no stage is behind. (transfer full) */
GArray *study_run_without (StudyNames *names, const GArray *items, guint index);

/* --- study-where.c --- */

/* Those of @conditions that speak of choices: FALSE: the run is not wanted. @lets: variables with their values. */
gboolean study_where_choices (const AfpAstStudy *tree, GHashTable *lets, const AfpStudyRun *run,
                              gboolean *wanted, GError **error);
/* Every condition has a name that is known, of a choice of @study or of a result; those on results become @study's. */
gboolean
study_where_results (const AfpAstStudy *tree, GHashTable *lets, AfpStudy *study, GError **error);

G_END_DECLS
