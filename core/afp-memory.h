/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

G_BEGIN_DECLS

/*
 * What the machine and the control group of this process let it use. Internal.
 * @root: prefix of /proc and /sys: "" but for tests. The smallest of MemTotal and the limits of the control group (v2 memory.max, v1
 * memory.limit_in_bytes) and of the groups above it; 0 if nothing is known.
 */
AFP_API guint64 afp_memory_get_limit (const char *root);
AFP_API guint64 afp_memory_get_default_budget (void); /* 80 % of it; 4 GiB if nothing is known */
AFP_API guint64 afp_memory_get_rss (void); /* of this process now, in bytes; 0 if unknown */
/* What this process, as it is now, will take without any tensor: libraries that are still to be loaded, stacks, @n_records of tensors
 * that ended in some sink. */
AFP_API guint64 afp_memory_get_base (guint n_threads, guint64 n_records);
AFP_API guint64 afp_memory_get_peak_rss (void); /* of this process, in bytes; 0 if unknown */

G_END_DECLS

#pragma GCC visibility pop
