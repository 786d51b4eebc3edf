/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

#include <hdf5.h>

/* Debian's libhdf5 is not thread-safe: every call to it is made between these two. Recursive. Error printing is off. */
void afp_h5_lock (void);
void afp_h5_unlock (void);
/* The innermost message of HDF5's error stack, or "unknown HDF5 error". (transfer full) */
char *afp_h5_last_error (void);
