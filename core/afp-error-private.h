/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-error.h"

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

G_BEGIN_DECLS

/* "; did you mean 'flat'?" or "" (transfer full) */
G_GNUC_INTERNAL char *afp_nearest_hint (const char *word, const char *const *names, gsize n_names);

G_END_DECLS

#pragma GCC visibility pop
