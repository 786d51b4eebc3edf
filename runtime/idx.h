/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* IDX, the format of MNIST: two zeros, the type, the rank, an axis in four bytes each, the numbers, all big-endian. */

/* Two zeros, a type that there is, and a rank. */
gboolean afp_idx_sniff (GBytes *file);

/* The whole file as an array called @name. @what names the file in errors. AFP_ERROR_FORMAT */
AfpTensor *afp_idx_read (GBytes *file, const char *what, const char *name, GError **error);
