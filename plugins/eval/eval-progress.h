/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* Messages of progress while a model runs: an AfpLmProgress; now and then, and in the end. */
typedef struct {
  AfpRun *run;
  const char *who;
  gint64 begin, told;
} EvalProgress;

void eval_progress_init (EvalProgress *progress, AfpRun *run, AfpElement *element);
void eval_progress_tell (gpointer progress, guint done, guint all);
