/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * What the files of afpipe-conform share.
 *   conform-child.c     a case in a child process with a time limit; its results come back through a pipe
 *   conform-report.c    the results as lines and as JSON
 *   conform-input.c     the tensors that every codec is tried on
 *   conform-chain.c     source and sink in memory; pipelines around the element
 *   conform-battery.c   which cases there are
 *   check-*.c           the cases
 */

/* --- who is judged --- */

typedef struct {
  const char *element;
  const char *prefix;        /* what stands before the element in a chain, with its "!", or "" */
  gboolean packer;           /* a lossless coder; else a codec */
  gboolean quick;            /* the reduced battery */
  guint limit;               /* seconds for a case */
  GPatternSpec *only;        /* names of the cases to run; NULL: all */
  const char *const *except; /* patterns of names of cases not to run; may be NULL */
} ConformTarget;

/* --- results --- */

typedef enum { CONFORM_OK, CONFORM_FAIL, CONFORM_SKIP } ConformOutcome;

typedef struct _ConformReport ConformReport;

ConformReport *conform_report_new (gboolean verbose, gboolean silent);
void conform_report_free (ConformReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ConformReport, conform_report_free)
/* @expected, @found: of a failure; @found is also the reason of a skip. Either may be NULL. */
void conform_report_add (ConformReport *report, const ConformTarget *target, const char *name,
                         const char *check, ConformOutcome outcome, const char *expected,
                         const char *found);
/* Ends a case: its line, unless it has failures, whose lines have been printed. */
void conform_report_end_case (ConformReport *report, const ConformTarget *target, const char *name);
guint conform_report_get_count (ConformReport *report, ConformOutcome outcome);
guint conform_report_get_cases (ConformReport *report);
JsonNode *conform_report_to_json (ConformReport *report, const char *plugin); /* (transfer full) */

/* --- a case, seen from inside of the child --- */

typedef struct {
  const ConformTarget *target;
  int fd;
} ConformCase;

typedef void (*ConformFunc) (ConformCase *c, gconstpointer data);

/* Runs @func in a child process; its death and its overtime are failures of the check that it was at. */
void conform_case (ConformReport *report, const ConformTarget *target, const char *name,
                   ConformFunc func, gconstpointer data);

/* A check begins and ends; between the two the child may die. */
void conform_begin (ConformCase *c, const char *check);
void conform_pass (ConformCase *c);
void conform_skip (ConformCase *c, const char *format, ...) G_GNUC_PRINTF (2, 3);
void
conform_fail (ConformCase *c, const char *expected, const char *format, ...) G_GNUC_PRINTF (3, 4);
/* The end of a check that holds or not; returns @holds. */
gboolean conform_expect (ConformCase *c, gboolean holds, const char *expected, const char *format,
                         ...) G_GNUC_PRINTF (4, 5);

/* --- inputs --- */

typedef struct {
  const char *name;
  const char *shape, *quick_shape;
  const char *view; /* or NULL */
  AfpDType dtype;
  const char *values; /* kind of numbers: a word that conform-input.c knows */
  gboolean moments;   /* second moments of its inputs are known */
} ConformInput;

/* Those that every codec is tried on; conform_input_find() knows "several tiles", too. */
const ConformInput *conform_inputs (gsize *n);
const ConformInput *conform_input_find (const char *name);
char *conform_input_describe (const ConformInput *input, gboolean quick);
AfpTensor *conform_input_make (const ConformInput *input, gboolean quick);
/* @n numbers of a kind; free with g_free(). */
float *conform_numbers (const char *values, gsize n, guint32 seed);
AfpTensor *conform_tensor_new (const char *name, AfpDType dtype, const char *shape,
                               const char *view, const float *values);

/* --- chains --- */

/* Registers conform-source and conform-sink. */
void conform_chain_register (void);
/* What conform-source gives from now on; @input: (nullable). (transfer none). The last output is forgotten. */
void conform_chain_set_input (AfpTensor *input);
/* Called when the source reads its tensor, in the run; NULL: nothing. */
void conform_chain_set_hook (GFunc hook, gpointer user_data);
/* What reached the sink, finalized, in the last run: (transfer none), or NULL. */
AfpTensor *conform_chain_get_output (void);
/* "conform-source ! PREFIX ELEMENT CONFIG ! conform-sink" */
AfpPipeline *conform_pipeline_new (const ConformTarget *target, const char *config, GError **error);
AfpElement *conform_pipeline_get_element (AfpPipeline *pipeline, const ConformTarget *target);

/* What makes a codec take anything; @force: even at a loss. */
char *conform_config (const ConformTarget *target, const char *config, gboolean force);

typedef struct {
  AfpTensor *tensor;       /* at the sink */
  guint64 planned, stored; /* bytes in all */
  gboolean exact;
  gboolean taken;
  char *why; /* the plan's reason for leaving the plane alone, or NULL */
} ConformResult;

gboolean conform_run (const ConformTarget *target, const char *config, AfpTensor *input,
                      guint threads, ConformResult *result, GError **error);
void conform_result_clear (ConformResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ConformResult, conform_result_clear)
/* Without force, then with it. @forced: (out) (optional) */
gboolean conform_run_any (const ConformTarget *target, const char *config, AfpTensor *input,
                          guint threads, ConformResult *result, gboolean *forced, GError **error);

/* All numbers of a plane, decoded with so many threads; NULL with error. */
GBytes *conform_decode (AfpPlane *plane, AfpSpec *spec, guint threads, GError **error);
GBytes *conform_decode_tensor (AfpTensor *tensor, guint threads, GError **error);
/* Recipe and all stored bytes as a checksum: equal for equal trees. Free with g_free(). */
char *conform_fingerprint (AfpTensor *tensor);
/* The leaves of a tree in file order. (transfer full) (element-type AfpPlane) */
GPtrArray *conform_leaves (AfpPlane *root);
/* The tree that a reader of a file would build; @data: (element-type GBytes), one for each leaf. */
AfpPlane *conform_rebuild (const char *recipe, AfpSpec *spec, GPtrArray *data, GError **error);
GPtrArray *conform_leaf_data (AfpPlane *root); /* (transfer full) (element-type GBytes) */

/* Starts the program anew in an environment where leaks can be measured, unless this is one; returns if it cannot. */
void conform_measure_memory (char **argv);

/* --- the cases --- */

void conform_battery (ConformReport *report, const ConformTarget *target);

/* @data of the check functions: a ConformTrial, or what is said there. */
typedef struct {
  const ConformInput *input;
  const char *config;
  gboolean may_refuse; /* a clean error at plan time is an answer, too */
} ConformTrial;

void conform_check_round_trip (ConformCase *c, gconstpointer trial);
void conform_check_memory (ConformCase *c, gconstpointer trial);
void conform_check_threads (ConformCase *c, gconstpointer trial);
void conform_check_file (ConformCase *c, gconstpointer trial);
void conform_check_damage (ConformCase *c, gconstpointer trial);
void conform_check_recipe (ConformCase *c, gconstpointer trial);
void conform_check_not_finite (ConformCase *c, gconstpointer trial);
void conform_check_passes (ConformCase *c, gconstpointer trial);
void conform_check_cancel (ConformCase *c, gconstpointer trial);
void conform_check_leaks (ConformCase *c, gconstpointer trial);
void conform_check_limits (ConformCase *c, gconstpointer property); /* AfpProperty */
void conform_check_text (ConformCase *c, gconstpointer property);   /* AfpProperty */
void conform_check_planes (ConformCase *c, gconstpointer unused);
void conform_check_query (ConformCase *c, gconstpointer length); /* guint, as a pointer */
void conform_check_packer (ConformCase *c, gconstpointer unused);
