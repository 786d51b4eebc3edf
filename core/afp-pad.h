/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-caps.h"

G_BEGIN_DECLS

struct _AfpElement; /* AfpElement, declared in afp-element.h */

typedef enum { AFP_PAD_SINK, AFP_PAD_SRC } AfpPadDirection;

/*
 * AfpPad: where elements are linked. Light; owned by its element. A source pad pushes to its peer; queries travel the
 * same way, downstream.
 */
typedef gboolean (*AfpPadChain) (AfpPad *pad, AfpTensor *tensor,
                                 GError **error); /* run: takes no reference */
typedef gboolean (*AfpPadPlan) (AfpPad *pad, AfpTensor *tensor, AfpPlan *plan,
                                GError **error);                /* plan: tensor without data */
typedef gboolean (*AfpPadFinish) (AfpPad *pad, GError **error); /* end of stream */
/* describe: who takes this float plane? (transfer full), or NULL: nobody, the fallback stores it */
typedef AfpClaim *(*AfpPadDescribe) (AfpPad *pad, AfpSpec *spec, const char *path,
                                     const AfpPlaneDesc *desc);

AFP_API AfpPad *
afp_pad_new (struct _AfpElement *element, const char *name, AfpPadDirection direction);
AFP_API void afp_pad_free (AfpPad *pad);
AFP_API const char *afp_pad_get_name (const AfpPad *pad);
AFP_API struct _AfpElement *afp_pad_get_element (const AfpPad *pad);
AFP_API AfpPad *afp_pad_get_peer (const AfpPad *pad);
AFP_API const AfpCaps *afp_pad_get_caps (const AfpPad *pad);
AFP_API void afp_pad_set_caps (AfpPad *pad, AfpCaps *caps); /* (transfer full) */
AFP_API void afp_pad_set_functions (AfpPad *pad, AfpPadChain chain, AfpPadPlan plan,
                                    AfpPadFinish finish, AfpPadDescribe describe);
AFP_API gboolean afp_pad_link (AfpPad *src, AfpPad *sink, GError **error);

/* On a source pad: hand to the peer (checks the peer's caps at plan time). */
AFP_API gboolean afp_pad_push (AfpPad *src, AfpTensor *tensor, GError **error);
AFP_API gboolean afp_pad_push_plan (AfpPad *src, AfpTensor *tensor, AfpPlan *plan, GError **error);
AFP_API gboolean afp_pad_push_finish (AfpPad *src, GError **error);
/* The query: who takes the plane downstream of this source pad? NULL: nobody. */
AFP_API AfpClaim *
afp_pad_query_claim (AfpPad *src, AfpSpec *spec, const char *path, const AfpPlaneDesc *desc);

G_END_DECLS
