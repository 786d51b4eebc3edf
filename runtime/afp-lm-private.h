/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-lm.h"

/* What the parts of a running model share. */

struct _AfpLm {
  AfpLmConfig config;
  AfpLmOpen open;
  gpointer user_data;
  double *angles; /* rotary, of one step */
  float *rope;    /* afp_lm_rope_table() of the positions before n_rope */
  gsize n_rope;
  AfpObserve observe; /* or NULL */
  gpointer observer_data;
};

/* Dense; NULL without error: this model has no such tensor. */
GBytes *
afp_lm_read_tensor (AfpLm *lm, AfpLmTensor tensor, guint layer, AfpPool *pool, GError **error);
/* Some rows of a matrix that is the model's only one; what it is read from is open during the call only, so that its pages may go. */
GBytes *afp_lm_read_rows (AfpLm *lm, AfpLmTensor tensor, guint64 first, guint64 n, AfpPool *pool,
                          GError **error);
