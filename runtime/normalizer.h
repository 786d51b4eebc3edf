/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* What is done to a text before it is cut: steps in their order. Bytes that are not UTF-8 stay. */
typedef struct _AfpNormalizer AfpNormalizer;

AfpNormalizer *afp_normalizer_new (void);
void afp_normalizer_free (AfpNormalizer *normalizer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpNormalizer, afp_normalizer_free)

void afp_normalizer_add_nfc (AfpNormalizer *normalizer);
/* Before a text that is not empty. */
void afp_normalizer_add_prepend (AfpNormalizer *normalizer, const char *text);
/* @what: not empty. AFP_ERROR_PLAN: texts could become more than 16 times as long. */
gboolean afp_normalizer_add_replace (AfpNormalizer *normalizer, const char *what, const char *by,
                                     GError **error);
gboolean afp_normalizer_is_empty (const AfpNormalizer *normalizer);
/* The text as it becomes. */
GString *afp_normalizer_run (const AfpNormalizer *normalizer, const char *text, gsize n);
