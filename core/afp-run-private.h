/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-budget.h"
#include "afp-eta.h"
#include "afp-pipeline-private.h"
#include "afp-pool.h"

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

/*
 * One run: a load thread for the source at work, the thread of afp_pipeline_run() that carries each tensor through the graph,
 * one thread for each sink. Queues stand after the source and before the sinks. Internal to afp-run.c and afp-run-threads.c.
 */
typedef struct {
  AfpRun *run;
  AfpLink *link;
  GThread *thread;
} AfpRunWriter;

struct _AfpRun {
  AfpPipeline *pipeline;
  AfpPool *pool;
  AfpPlan *plan;
  AfpBudget *budget;
  AfpTicket
      *ticket; /* of the tensor that the stages have; NULL between two; the compute thread's */
  AfpTicket *borrowed; /* by the element that judges */
  guint64 queue_bytes;
  GPtrArray *writers; /* AfpRunWriter */
  GMutex lock;        /* of all fields below */
  GPtrArray *errors;  /* GError: the first is the cause */
  gboolean stopping;
  gboolean winding_down; /* no tensor begins any more; those that did go on to the sinks */
  AfpQueue *load_queue;  /* of the source at work */
  guint64 done, tensors, bytes_done, bytes_total;
  guint64 bytes_held;                                /* of bytes_done: from an earlier run */
  guint64 weights_done, weights_total, weights_held; /* likewise */
  AfpEta *eta;                                       /* of what is counted there */
  gint64 last_done; /* when the last tensor was done, or the first began */
};

void afp_run_fail (AfpRun *run, GError *error); /* (transfer full) */
gboolean afp_run_has_failed (AfpRun *run);
gboolean afp_run_is_stopping (AfpRun *run);
/* After the sinks have started: what they hold is found out about, and not sent through the graph again. */
gboolean afp_run_find_held (AfpRun *run, GError **error);

/* All tensors of a source, through the graph, and the end of its stream. */
void afp_run_source (AfpRun *run, AfpStage *stage);
gboolean afp_run_start_writers (AfpRun *run, GError **error);
void afp_run_join_writers (AfpRun *run);

#pragma GCC visibility pop
