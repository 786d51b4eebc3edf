/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * What the numbers of a model that runs here depend on beside the model, what it is given and the class of instruction set: the code of this
 * library, and the kernels that OpenBLAS chose. Lives as long as the program.
 */
const char *afp_runtime_get_identity (void);
