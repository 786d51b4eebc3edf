/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-element.h"

G_BEGIN_DECLS

#define AFP_TYPE_TRANSFORM (afp_transform_get_type ())
AFP_API
G_DECLARE_DERIVABLE_TYPE (AfpTransform, afp_transform, AFP, TRANSFORM, AfpElement)

/**
 * AfpTransformClass:
 * @plan_tensor: what becomes of a planned tensor; NULL without error drops it (transfer full)
 * @process: the same with data; const on the element, called from any thread (transfer full)
 * @finish: (nullable): end of the stream
 * @sample: (nullable): what becomes of a tensor whose values the prepare phase samples: as @process, but nothing is counted or
 *   kept; %NULL: its values pass unchanged (transfer full)
 * @describe: (nullable): answers or forwards the quantizer query; the base class forwards
 *
 * One sink pad, one source pad, one tensor in, at most one out.
 */
struct _AfpTransformClass {
  AfpElementClass parent_class;
  AfpTensor *(*plan_tensor) (AfpTransform *self, AfpTensor *tensor, AfpPlan *plan, GError **error);
  AfpTensor *(*process) (AfpTransform *self, AfpTensor *tensor, GError **error);
  gboolean (*finish) (AfpTransform *self, GError **error);
  AfpClaim *(*describe) (AfpTransform *self, AfpSpec *spec, const char *path,
                         const AfpPlaneDesc *desc);
  gboolean terminates_queries; /* decode: nobody behind it sees the planes */
  gboolean
      reuses; /* what becomes of one of several names of the same values is kept for the others */
  AfpTensor *(*sample) (AfpTransform *self, AfpTensor *tensor, GError **error);
  gpointer padding[7];
};

AFP_API AfpPad *afp_transform_get_src (AfpTransform *self);
AFP_API AfpPad *afp_transform_get_sink (AfpTransform *self);

G_END_DECLS
