/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "eval-question.h"

/*
 * EvalTap: a place of the stream whose model is asked when the stream has ended. Taps with the same question about the same
 * model are asked together, beside the original: each model runs once.
 */
typedef struct {
  /* from the plan */
  char *key;              /* equal ones are asked together */
  EvalQuestion *question; /* NULL: only a program outside is asked */
  GHashTable *specs;      /* what passes: name -> AfpSpec */
  GPtrArray *names;       /* of them, in the order of the stream */
  gboolean original;      /* all that passes has one */
  /* from the run */
  EvalKept *kept;
  EvalScores *scores;
  gboolean asked;
  gint joint; /* atomic: what passed was coded for what comes behind this place */
} EvalTap;

/* A program outside; @command: (nullable) */
typedef struct {
  const char *command;
  guint seconds; /* 0: as long as it likes */
} EvalOutside;

EvalTap *eval_tap_new (void);
void eval_tap_free (EvalTap *tap);

/* A tensor that will pass, planned. */
void eval_tap_plan (EvalTap *tap, AfpTensor *tensor);
/* All of them were planned. @original: (nullable): the source that has the original, if not the one upstream; @place: (nullable): its file */
gboolean eval_tap_settle (EvalTap *tap, const EvalOptions *options, const EvalOutside *outside,
                          AfpElement *element, AfpSource *original, const char *place,
                          AfpPlan *plan, GError **error);
void eval_tap_start (EvalTap *tap, AfpRun *run);
/* @tensor: as it passes; @final: as it would be written */
gboolean eval_tap_keep (EvalTap *tap, AfpTensor *tensor, AfpTensor *final, GError **error);

/* Of all @taps with one key (element-type EvalTap); @source: upstream; @reference: (nullable): has the original */
gboolean eval_tap_ask (GPtrArray *taps, AfpSource *source, AfpSource *reference,
                       AfpElement *element, AfpRun *run, GError **error);
/* @reference: (nullable): has the original, which is asked, too */
gboolean
eval_tap_ask_outside (EvalTap *tap, const EvalOutside *outside, AfpSource *source,
                      AfpSource *reference, AfpElement *element, AfpRun *run, GError **error);

/* After that. */
void eval_tap_to_json (const EvalTap *tap, JsonObject *object);
char *eval_tap_to_string (const EvalTap *tap); /* lines for people */
