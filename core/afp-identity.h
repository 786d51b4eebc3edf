/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-element.h"

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

/*
 * What a result that is kept for later depends on beside its inputs: which code made it, and on what kind of machine. Texts live as long
 * as the program.
 */

/* Of the plugin that an element comes from, or of the library: "0.1.0+" and 16 hex digits, which change whenever its file does. */
const char *afp_identity_get_code (AfpElement *element);
/* Of the library or plugin that a function is part of, likewise, under the version of afpipe. */
const char *afp_identity_get_file_of (gconstpointer function);
/* Of the library, and the class of instruction sets within which results are the same to the bit: "0.1.0+... x86-64 avx2 avx512". */
const char *afp_identity_get_machine (void);

#pragma GCC visibility pop
