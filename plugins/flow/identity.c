/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flow.h"

/*
 * identity: passes every tensor as it is and forwards queries: a place for a name, or for nothing in a sweep.
 */
struct _AfpIdentity {
  AfpTransform parent_instance;
};

G_DEFINE_FINAL_TYPE (AfpIdentity, afp_identity, AFP_TYPE_TRANSFORM)

static void
afp_identity_class_init (AfpIdentityClass *klass)
{
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Passes every tensor as it is",
                                 "load location=model.safetensors ! identity ! null");
}

static void
afp_identity_init (AfpIdentity *self)
{
}
