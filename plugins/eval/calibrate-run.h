/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "eval-language.h"
#include "eval-vision.h"
#include "moment-file.h"

/*
 * Runs a model and sums up what goes into its linear layers, layer by layer: the sums of one layer are in memory; those of the others, where
 * more is to come (a text too long for its activations to be there at once; images), lie in a temporary file.
 */
typedef struct {
  gboolean diagonal;
  guint64 bytes; /* of memory that it may take */
  AfpPool *pool;
  AfpLmProgress progress;
  gpointer user_data;
} CalibrateMeans;

/* @text: of @language, or a part of it */
gboolean
calibrate_run_language (EvalLanguage *language, const AfpLmText *text, EvalSubject *subject,
                        const CalibrateMeans *means, MomentWriter *writer, GError **error);
gboolean calibrate_run_vision (EvalVision *vision, EvalSubject *subject,
                               const CalibrateMeans *means, MomentWriter *writer, GError **error);

/* Name of a weight -> AfpMoments as they are planned. (transfer full) */
GHashTable *calibrate_plan_language (const AfpLmConfig *config, gboolean diagonal);
GHashTable *calibrate_plan_vision (const AfpNet *net, gboolean diagonal);
/* Bytes that it takes at least: in all, and of the sums. */
guint64 calibrate_get_memory_language (const EvalLanguage *language, gboolean diagonal);
guint64 calibrate_get_memory_vision (GHashTable *planned, gboolean diagonal);
/* Tokens that run at once with so many bytes. */
gsize calibrate_get_max_tokens (const EvalLanguage *language, gboolean diagonal, guint64 bytes);
