/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* The longest header that is read, with what stands before its text: arrays of numbers need less than 1 KB. */
#define AFP_NPY_MAX_HEADER (65536 + 12)
#define AFP_NPY_MAGIC "\x93NUMPY"
#define AFP_NPY_MAGIC_BYTES 6

/* An array in NumPy's own format (.npy). Its numbers begin at @header_bytes and take @n_bytes. */
typedef struct {
  AfpDType dtype;
  gboolean swapped; /* big-endian */
  gboolean fortran; /* first axis innermost; FALSE where that makes no difference */
  guint rank;
  guint64 shape[AFP_MAX_RANK];
  guint64 header_bytes;
  guint64 n_bytes;
} AfpNpyHeader;

/*
 * Reads and checks a header, versions 1 to 3. @data: the array's first @n bytes, all or at least AFP_NPY_MAX_HEADER of them;
 * @size: bytes of the whole, which header and numbers must fill. @what names the array in errors ("array 'w' in 'm.npz'").
 */
gboolean afp_npy_parse (const guint8 *data, gsize n, guint64 size, const char *what,
                        AfpNpyHeader *header, GError **error);
