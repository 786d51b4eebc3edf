/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-tensor.h"

G_BEGIN_DECLS

/*
 * AfpCaps: predicates that tensors on a link must meet: "tensor,dtype=f16,rank=2". Fields: dtype (one or "{f16,bf16}"),
 * rank, name (glob), state (raw | coded), min-weights, max-weights. Boxed, immutable.
 */
#define AFP_TYPE_CAPS (afp_caps_get_type ())
AFP_API GType afp_caps_get_type (void);
AFP_API AfpCaps *afp_caps_new_any (void);
AFP_API AfpCaps *
afp_caps_parse (const char *text,
                GError **error); /* AFP_ERROR_USAGE, AFP_ERROR_PROPERTY; nearest field name */
AFP_API AfpCaps *afp_caps_copy (const AfpCaps *caps);
AFP_API void afp_caps_free (AfpCaps *caps);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpCaps, afp_caps_free)
AFP_API char *afp_caps_to_string (const AfpCaps *caps);
/* AFP_ERROR_PLAN: "tensor 'fc1.weight': dtype is f32, but f16 is asked for here" */
AFP_API gboolean afp_caps_accept (const AfpCaps *caps, const AfpTensor *tensor, GError **error);

G_END_DECLS
