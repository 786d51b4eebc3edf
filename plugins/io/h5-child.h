/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "h5-util.h"

/*
 * libhdf5 can crash or hang on files that are made to harm: what is read from a file that nobody vouches for is read in a child
 * process with limits on memory and time, whose death is an ordinary error.
 */

/* Runs in the child, with afp_h5_lock() held. The bytes, or the error, are handed to the parent. */
typedef GBytes *(*AfpH5ChildFunc) (gpointer user_data, GError **error);

typedef struct {
  guint seconds;      /* of waiting and of computing */
  guint64 memory;     /* bytes beyond what the parent has */
  guint64 max_result; /* bytes */
} AfpH5ChildLimits;

/* @limits: (nullable). AFP_ERROR_FORMAT if the child died; AFP_ERROR_IO if there could be none. */
GBytes *afp_h5_child_run (const char *path, AfpH5ChildFunc func, gpointer user_data,
                          const AfpH5ChildLimits *limits, GError **error);
