/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

G_BEGIN_DECLS

/*
 * Stages are tried on pieces of a model: the first rows of one of its tensors go through a run's pipeline, in this process, which writes
 * nothing. What looks at the whole model is left out; a tensor that something on the way would give moments has some.
 */
typedef struct _AfpSample AfpSample;

/**
 * AfpTrial:
 * @stage: name of a codec
 * @element: what it is
 * @weights: of a plane that it coded, the mean
 * @seconds: for such a plane
 */
typedef struct {
  char *stage;
  const char *element;
  double weights, seconds;
} AfpTrial;

/**
 * AfpTry:
 * @trials: (element-type AfpTrial): one for each codec that coded something
 * @weights: that went through
 * @rows_left: the piece was not the whole tensor
 * @packing: seconds of lossless stages
 *
 * What came of a try.
 */
typedef struct {
  GPtrArray *trials;
  guint64 weights;
  gboolean rows_left;
  double packing;
} AfpTry;

AfpSample *afp_sample_new (guint n_threads, guint64 max_memory);
void afp_sample_free (AfpSample *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpSample, afp_sample_free)

/* About @weights weights of @tensor through @pipeline, for at most @limit seconds. @cache: (nullable): folder for what stages make.
 * AFP_ERROR_CANCELLED: it took longer; other errors: it cannot be tried. (transfer full) */
AfpTry *afp_sample_try (AfpSample *self, const char *pipeline, const char *tensor, guint64 weights,
                        double limit, const char *cache, GError **error);
void afp_try_free (AfpTry *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpTry, afp_try_free)

G_END_DECLS
