/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fuzz.h"

/* The input of a record that stands for a model file: for decode, tables and keras-listing. NULL with an error. */
GBytes *fuzz_dump (const char *record, const char *path, GError **error);
