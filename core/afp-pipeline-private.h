/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-crash.h"
#include "afp-pipeline.h"
#include "afp-queue.h"
#include "afp-sink.h"
#include "afp-source.h"
#include "afp-transform.h"

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

/*
 * What the files of the pipeline share. Internal.
 *   afp-build.c   tree -> elements, links      afp-pipeline.c  the object, planning
 *   afp-link.c    what sits between two pads   afp-run.c       threads, errors, publishing
 *   afp-held.c    tensors of an earlier run    afp-memo.c      executions of earlier runs
 *   afp-assert.c  assertions                   afp-report.c    the report
 *   afp-dot.c     the graph
 */

/* What is known of one element in its pipeline. Each field has one thread that writes it; the report reads after they are gone. */
typedef struct {
  AfpElement *element; /* owned by the pipeline's list */
  gsize column;        /* in the text */
  gboolean named;      /* by name= */
  guint index;         /* order of the text */
  gint64 usec;         /* in the element's own code */
  gint64 wait_usec;    /* for room behind it or, where a thread begins, for its input */
  guint64 calls;       /* of its code, with tensors or with the end of the stream */
  guint64 bytes_in, bytes_out;
  gsize n_in, n_out;
  gsize planned_in;
  gconstpointer root;    /* of the tensor that it works on; only compared */
  gboolean changed;      /* it handed on other planes than it got */
  gboolean plan_changed; /* likewise, in the plan */
  gboolean counted;      /* a sink whose tensors are the progress of the run */
  gboolean started;
  gboolean published;
  gboolean complete;          /* a sink that got all that was planned */
  JsonNode *metrics, *output; /* kept when the run ended; may be NULL */
} AfpStage;

/* --- own time: what is spent further down counts there --- */
typedef struct _AfpStageFrame AfpStageFrame;
struct _AfpStageFrame {
  AfpStage *stage; /* NULL: counts nowhere (waiting) */
  AfpStageFrame *outer;
  AfpCrashNote note;
};
void afp_run_stage_begin (AfpStageFrame *frame, AfpStage *stage, AfpTensor *tensor);
void afp_run_stage_end (AfpStageFrame *frame);
/* The thread of the stage has waited since then, by g_get_monotonic_time(). */
void afp_stage_add_wait (AfpStage *stage, gint64 since);

/* --- AfpLink: an invisible element between a source pad and a sink pad: counts, clocks, and holds the queue before a sink --- */
#define AFP_TYPE_LINK (afp_link_get_type ())
G_DECLARE_FINAL_TYPE (AfpLink, afp_link, AFP, LINK, AfpElement)
struct _AfpLink {
  AfpElement parent_instance;
  AfpPad *sink, *src;
  AfpStage *from, *to;
  AfpQueue *queue; /* while running, before sinks */
  gboolean first;  /* of the branches of @from: counts what leaves it */
  GPtrArray *
      sinks; /* AfpSink: all behind it, if one of them holds tensors of an earlier run; else NULL */
  GHashTable *seen_in, *seen_out; /* shared planes that were counted: before the queue, behind it */
};
AfpLink *
afp_link_new (AfpStage *from, AfpPad *from_pad, AfpStage *to, AfpPad *to_pad, GError **error);
/* With the queue passed: by the thread of the sink. */
gboolean afp_link_deliver (AfpLink *self, AfpTensor *tensor, GError **error);
gboolean afp_link_deliver_finish (AfpLink *self, GError **error);
/* Do all sinks behind it hold the tensor? Then it is taken over instead of delivered (afp-held.c). */
gboolean afp_link_holds (AfpLink *self, const char *tensor);
gboolean afp_link_take_over (AfpLink *self, AfpSpec *spec, GError **error);
/* Adds stage and tensor to the message where they are not in it. Called again for the same error it does nothing. */
void afp_stage_place_error (AfpStage *stage, AfpTensor *tensor, GError **error);
void afp_stage_forget_error (void); /* the last error is done with */

/* --- AfpAssert: an assertion, as an element --- */
#define AFP_TYPE_ASSERT (afp_assert_get_type ())
AFP_API
G_DECLARE_FINAL_TYPE (AfpAssert, afp_assert, AFP, ASSERT, AfpTransform)
AFP_API void afp_assert_set_place (AfpAssert *self, const char *text, gsize column);

/* --- AfpPipeline --- */
typedef struct {
  AfpAstType type;
  AfpStage *stage; /* of an element, or of the element referred to */
} AfpChainItem;

struct _AfpPipeline {
  GObject parent_instance;
  char *text;          /* as typed; may be NULL */
  GPtrArray *chains;   /* GArray of AfpChainItem: the order of the text */
  GPtrArray *stages;   /* AfpStage, in the order of the text */
  GPtrArray *elements; /* AfpElement, upstream first */
  GPtrArray *sorted;   /* AfpStage, upstream first (borrowed) */
  GPtrArray *links;    /* AfpLink */
  guint n_threads;
  guint64 max_memory;
  struct _AfpMemo *memo; /* what is kept of executions, and how many there were */
  AfpMessageFunc handler;
  gpointer handler_data;
  GMutex message_lock; /* one message at a time */
  AfpPlan *plan;
  GError *plan_error; /* planning failed */
  GPtrArray *notes;   /* char *: what the sources said */
  guint64 n_resumed;  /* tensors that were not even read: all sinks held them */
  GMutex run_lock;    /* of run */
  AfpRun *run;        /* while it lasts */
  GCancellable *cancellable;
  gint cancelled;    /* atomic: by the user */
  gboolean used;     /* a pipeline runs once */
  gboolean finished; /* all went well */
  double seconds;
  guint64 charged_peak; /* the most that the run charged to its budget */
};

/* An execution that a run has to do, as far as the plan tells. */
typedef struct {
  char *key;         /* of afp_pipeline_list_executions() */
  AfpElement *codec; /* who codes the plane */
  char *tensor;
  guint64 weights; /* of the plane */
} AfpWork;
GPtrArray *afp_pipeline_list_work (AfpPipeline *self);

gboolean afp_pipeline_build (AfpPipeline *self, const AfpAst *ast, GError **error);
AfpStage *afp_pipeline_find_stage (AfpPipeline *self, AfpElement *element);
AfpLink *
afp_pipeline_get_link_to (AfpPipeline *self, AfpStage *stage); /* the first; NULL for a source */
void afp_pipeline_add_caret (AfpPipeline *self, GError *error, gsize column);
void afp_pipeline_post (AfpPipeline *self, AfpMessage *message); /* (transfer full) */
guint64 afp_pipeline_get_budget (AfpPipeline *self);
gboolean afp_pipeline_is_cancelled (AfpPipeline *self);
void afp_run_cancel (AfpRun *run);
gboolean afp_run_interrupt (AfpRun *run);
AfpTicket *afp_run_get_ticket (AfpRun *run);

#pragma GCC visibility pop
