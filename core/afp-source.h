/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-element.h"

G_BEGIN_DECLS

#define AFP_TYPE_SOURCE (afp_source_get_type ())
AFP_API
G_DECLARE_DERIVABLE_TYPE (AfpSource, afp_source, AFP, SOURCE, AfpElement)

/**
 * AfpSourceClass:
 * @open: reads headers only; sets up what the others answer
 * @get_n_tensors: number of tensors
 * @plan_tensor: tensor @index without data (transfer full)
 * @read_tensor: tensor @index with data (transfer full); raw arrays should be mapped, not copied. Called from one thread,
 *   in order of index, or at random by tools
 * @get_info: (nullable): facts about the file: "format", "pipeline", "plugins", "metrics", "notes" ...; (transfer full)
 * @tensor_memory: (nullable): bytes of memory that read_tensor takes for tensor @index: 0 if it is mapped. Without this function: all
 *   that the tensor has
 * @get_fingerprint: (nullable): SHA-256 hex of what identifies the input without reading all of it; (transfer full)
 * @list_extras: (nullable): names of what there is besides tensors (afp-extras.h); (transfer full)
 * @read_extra: bytes of one of them; (transfer full). From any thread
 */
struct _AfpSourceClass {
  AfpElementClass parent_class;
  gboolean (*open) (AfpSource *self, GError **error);
  gsize (*get_n_tensors) (AfpSource *self);
  AfpTensor *(*plan_tensor) (AfpSource *self, gsize index, GError **error);
  AfpTensor *(*read_tensor) (AfpSource *self, gsize index, GError **error);
  JsonNode *(*get_info) (AfpSource *self);
  char *(*get_fingerprint) (AfpSource *self);
  guint64 (*tensor_memory) (AfpSource *self, gsize index);
  char **(*list_extras) (AfpSource *self);
  GBytes *(*read_extra) (AfpSource *self, const char *name, GError **error);
  gpointer padding[5];
};

AFP_API gboolean afp_source_open (AfpSource *self,
                                  GError **error); /* once; later calls return TRUE */
AFP_API gsize afp_source_get_n_tensors (AfpSource *self);
AFP_API AfpTensor *afp_source_plan_tensor (AfpSource *self, gsize index, GError **error);
AFP_API AfpTensor *afp_source_read_tensor (AfpSource *self, gsize index, GError **error);
/* What tensor @index, as planned, takes of memory when it is read. */
AFP_API guint64 afp_source_get_tensor_memory (AfpSource *self, gsize index, AfpTensor *tensor);
AFP_API JsonNode *afp_source_get_info (AfpSource *self);    /* an object; never NULL */
AFP_API char *afp_source_get_fingerprint (AfpSource *self); /* or NULL */
AFP_API char *afp_source_digest (AfpSource *self, AfpPool *pool, GError **error);

G_END_DECLS
