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
 * @bound: largest packed size for @n_bytes
 * @pack: lossless: packed bytes of a code plane (@bits per symbol); (transfer full). Must not exceed @bound
 * @scratch: (nullable): working bytes of pack for @n_bytes of codes, @bits per symbol, beside what it takes and returns: an upper bound
 * @unpack: the original @n_bytes bytes back, or AFP_ERROR_FORMAT
 *
 * A lossless stage over code planes. The base class finalizes the float planes that nobody downstream claims, then
 * replaces each code plane by a coded plane with one child "packed" (8-bit symbols, size known after the run).
 */
struct _AfpPackerClass {
  AfpTransformClass parent_class;
  guint version;
  guint64 (*bound) (AfpPacker *self, guint64 n_bytes);
  GBytes *(*pack) (AfpPacker *self, GBytes *codes, guint bits, GError **error);
  GBytes *(*unpack) (AfpPacker *self, GBytes *packed, guint64 n_bytes, guint bits, GError **error);
  guint64 (*scratch) (AfpPacker *self, guint64 n_bytes, guint bits);
  gpointer padding[3];
};

G_END_DECLS
