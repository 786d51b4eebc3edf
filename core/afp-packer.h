/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-transform.h"

G_BEGIN_DECLS

#define AFP_TYPE_PACKER (afp_packer_get_type ())
AFP_API
G_DECLARE_DERIVABLE_TYPE (AfpPacker, afp_packer, AFP, PACKER, AfpTransform)

/**
 * AfpPackerClass:
 * @version: of the coded format
 * @bound: largest packed size of a code plane
 * @pack: lossless: packed bytes of a code plane, whose symbols are packed at desc->bits; (transfer full). Must not exceed @bound
 * @unpack: the original afp_plane_desc_bytes() bytes back, or AFP_ERROR_FORMAT
 * @scratch: (nullable): working bytes of pack, beside what it takes and returns: an upper bound
 *
 * A lossless stage over code planes. The base class finalizes the float planes that nobody downstream claims, then
 * replaces each code plane by a coded plane with one child "packed" (8-bit symbols, size known after the run).
 */
struct _AfpPackerClass {
  AfpTransformClass parent_class;
  guint version;
  guint64 (*bound) (AfpPacker *self, const AfpPlaneDesc *desc);
  GBytes *(*pack) (AfpPacker *self, const AfpPlaneDesc *desc, GBytes *codes, GError **error);
  GBytes *(*unpack) (AfpPacker *self, const AfpPlaneDesc *desc, GBytes *packed, GError **error);
  guint64 (*scratch) (AfpPacker *self, const AfpPlaneDesc *desc);
  gpointer padding[3];
};

G_END_DECLS
