/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/*
 * A study: a text that stands for many pipelines (man page afpipe-pipeline(7)), and the runs that it comes to.
 *   study.c         the study as a whole    study-expand.c  all combinations of its choices
 *   study-chain.c   what a run is called    study-where.c   conditions
 */

/* More runs than this are refused, with their number, before any is made. */
#define AFP_STUDY_MAX_RUNS 100000

/**
 * AfpStudyRun:
 * @pipeline: canonical text for afpipe-launch, one line
 * @chain: "seedlm ! vptq k=16": the stages between the source and the first eval or sink, with the properties in which the study's stages
 *   of that element differ; "" where there are none. A variable stands as it was typed: "hyper preset=z-${rate}"
 * @choices: name -> chosen value (strings), in the order of the text: variables with several values, properties with several values as
 *   "vptq.k", or "ID.k" where the element has a name ("vptq2.k" where a second vptq of the run has several, too); last "repeat", a number, where the study
 *   repeats
 * @repeat: 0 .. N-1; 0 is the run with the default seeds
 * @prefix: index of the run that is the same without its last compressing stage, and without choices of that stage; -1: there is none, for
 *   this one has no compressing stage, or the text has branches
 * @n_stages: compressing stages
 * @codecs: their names: "seedlm ! vptq"
 * @added: the text does not stand for it: it is there for being the prefix of another
 *
 * A run of a study. A prefix comes before its runs.
 */
typedef struct {
  char *pipeline;
  char *chain;
  JsonObject *choices;
  guint repeat;
  int prefix;
  guint n_stages;
  char *codecs;
  gboolean added;
} AfpStudyRun;

typedef struct {
  char *text;            /* as typed */
  GPtrArray *runs;       /* AfpStudyRun; runs with the same pipeline are one */
  GPtrArray *names;      /* char *: of all choices, in the order of the text */
  guint n_repeats;       /* as the text says, 1 without */
  guint n_excluded;      /* by conditions on choices */
  GPtrArray *conditions; /* private: those on results */
} AfpStudy;

/* @variables: (nullable) (element-type utf8 utf8): from --set; they count more than what the text says. Errors carry a caret into @text. */
AfpStudy *afp_study_new (const char *text, GHashTable *variables, GError **error);
void afp_study_free (AfpStudy *study);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpStudy, afp_study_free)

/*
 * The conditions on results: "where bpw<3". @results: any object with such members ("bits_per_weight", "bytes", "nmse", ...; those in a
 * member "metrics" count, too); a condition on a member that is missing, null or not a number holds. FALSE: the first that does not hold is
 * @broken (transfer none) (optional), as typed.
 */
gboolean afp_study_accepts (const AfpStudy *study, JsonObject *results, const char **broken);

G_END_DECLS
