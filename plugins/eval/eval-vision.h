/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "eval-subject.h"

#include "runtime/afp-net-score.h"

/*
 * EvalVision: an image classifier as it is known without its tensors, and images that it is shown.
 */

/* Bytes for what goes from layer to layer: enough to keep threads busy. */
#define EVAL_VISION_ROUND (G_GUINT64_CONSTANT (64) << 20)

/* As properties say; texts are borrowed, NULL or empty: absent. */
typedef struct {
  const char *images, *labels;
  const char *scale; /* of pixels: "0.5", "1/255"; absent: 1 */
} EvalImageOptions;

gboolean eval_image_options_check (const EvalImageOptions *options, GError **error);
char *eval_image_options_to_key (const EvalImageOptions *options); /* equal for equal ones */

typedef struct {
  char *images_path, *labels_path;
  float scale;
  GBytes *config;    /* of the network */
  AfpImages *images; /* after eval_vision_load() */
} EvalVision;

/* @element: whose sources have the network's configuration, if not @original (nullable) */
EvalVision *eval_vision_new (const EvalImageOptions *options, AfpElement *element,
                             AfpSource *original, GError **error);
void eval_vision_free (EvalVision *vision);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EvalVision, eval_vision_free)

/* The network over the tensors of @subject. AFP_ERROR_PLAN: it cannot be run (transfer full) */
AfpNet *eval_vision_make_net (EvalVision *vision, EvalSubject *subject, GError **error);
gboolean eval_vision_load (EvalVision *vision, GError **error);
/* Bytes that running takes at least, beside the images: the largest tensor of @specs, dense, and what goes from layer to layer. */
guint64 eval_vision_get_memory (const EvalVision *vision, GHashTable *specs);
/* What an analysis of the network on the images depends on: its configuration, and their pixels. Labels are no part. */
void eval_vision_add_to (const EvalVision *vision, AfpAnalysis *analysis);
