/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-element.h"

G_BEGIN_DECLS

#define AFP_TYPE_SINK (afp_sink_get_type ())
AFP_API
G_DECLARE_DERIVABLE_TYPE (AfpSink, afp_sink, AFP, SINK, AfpElement)

/**
 * AfpSinkClass:
 * @plan_tensor: (nullable): refuses at plan time what it cannot write (planned, finalized tensor)
 * @plan_end: (nullable): every tensor is planned; refuses what only all of them show, and may tell the plan about files
 * @consume: one tensor, finalized; called from one thread, in the order of the source
 * @finish: everything came: build and sync the file, still under its temporary name
 * @publish: (nullable): rename into place; called after every element finished well. On failure stop (ok=FALSE) removes all traces
 * @read_held: (nullable): a tensor that was told by afp_sink_hold(), with its data; (transfer full)
 *
 * The base class finalizes tensors before it hands them over, and counts them for the report.
 */
struct _AfpSinkClass {
  AfpElementClass parent_class;
  gboolean (*plan_tensor) (AfpSink *self, AfpTensor *tensor, GError **error);
  gboolean (*consume) (AfpSink *self, AfpTensor *tensor, GError **error);
  gboolean (*finish) (AfpSink *self, GError **error);
  gboolean (*publish) (AfpSink *self, GError **error);
  gboolean (*plan_end) (AfpSink *self, AfpPlan *plan, GError **error);
  AfpTensor *(*read_held) (AfpSink *self, const char *tensor, GError **error);
  gpointer padding[6];
};

AFP_API gboolean afp_sink_plan_end (AfpSink *self, AfpPlan *plan, GError **error);
AFP_API gboolean afp_sink_publish (AfpSink *self, GError **error);
/* What has been consumed so far: for each tensor its size, spec and recipe; see afp-report. */
AFP_API gsize afp_sink_get_n_records (AfpSink *self);
typedef struct {
  AfpSpec *spec;
  AfpSize size;
  char *recipe;
} AfpSinkRecord;
AFP_API const AfpSinkRecord *afp_sink_get_record (AfpSink *self, gsize index);
AFP_API guint64 afp_sink_get_total_bytes (AfpSink *self); /* sizes and shared recipes */

/* Tensors that a sink has from an earlier run; told in its start function. @found: (transfer full) (nullable) */
AFP_API void afp_sink_hold (AfpSink *self, AfpSpec *spec, const AfpSize *size, const char *recipe,
                            JsonNode *found);
AFP_API guint afp_sink_get_n_held (AfpSink *self);
AFP_API gboolean afp_sink_holds (AfpSink *self, const char *tensor);
AFP_API JsonNode *afp_sink_get_found (AfpSink *self, const char *tensor,
                                      const char *element); /* (transfer none) (nullable) */
AFP_API JsonNode *afp_sink_collect_found (AfpSink *self, const char *tensor); /* (transfer full) */
AFP_API void afp_sink_set_keeps (AfpSink *self, gboolean keeps);
AFP_API gboolean afp_sink_get_keeps (AfpSink *self);
AFP_API void afp_sink_set_advice (AfpSink *self, const char *advice); /* (nullable) */
AFP_API const char *afp_sink_get_advice (AfpSink *self);              /* (nullable) */

G_END_DECLS
