/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "h5-util.h"

#include <sys/types.h>

/*
 * libhdf5 can crash or hang on files that are made to harm: what is read from a file that nobody vouches for is read by a helper
 * program with limits on memory and time, whose death is an ordinary error.
 *
 *   h5-child.c   our side: starts the helper, asks, waits
 *   h5-serve.c   its side: one question, one answer
 *   h5-ops.c     what can be asked
 */
#define AFP_H5_HELPER "afpipe-h5-child"

typedef struct {
  guint seconds;      /* of waiting and of computing */
  guint64 memory;     /* bytes beyond what the program itself has */
  guint64 max_result; /* bytes */
} AfpH5ChildLimits;

/* Asks for @op of h5-ops.c. @data, @limits: (nullable). AFP_ERROR_FORMAT if the helper died; AFP_ERROR_IO or AFP_ERROR_PLUGIN if
 * there could be none. */
GBytes *afp_h5_child_run (const char *path, const char *op, GBytes *request, GBytes *data,
                          const AfpH5ChildLimits *limits, GError **error);
/* For fuzzing: what starts a helper that talks over @fd from now on; NULL: the installed program. */
typedef pid_t (*AfpH5ChildStart) (int fd);
void afp_h5_child_set_start (AfpH5ChildStart start);

/* Works in the helper, with afp_h5_lock() held. The bytes, or the error, are the answer. */
typedef GBytes *(*AfpH5OpFunc) (GBytes *request, GBytes *data, GError **error);
typedef struct {
  const char *name;
  AfpH5OpFunc func;
} AfpH5Op;

/* The helper's main function: reads a question from @fd and answers it. @ops: ends with an empty row. */
int afp_h5_serve (int fd, const AfpH5Op *ops);
extern const AfpH5Op afp_h5_ops[];

/* --- what goes over the socket --- */

#define AFP_H5_OP_NAME 32

typedef struct {
  char op[AFP_H5_OP_NAME];
  guint64 seconds;
  guint64 memory;
  guint64 request_bytes;
  guint64 data_bytes;
} AfpH5Question; /* then the request, then the data */

typedef struct {
  guint32 ok;
  guint32 code;
  guint64 size;
} AfpH5Answer; /* then the result, or the text of the error */
