/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"
#include "vptq-list-kernel.h"

/*
 * What the files of vptq share.
 *   vptq.c      properties and layout      vptq-fit.c      scales and codebook from the data
 *   vptq-block.c  blocks of codes          vptq-search.c   a codebook that is searched
 *   vptq-group.c  columns with codebooks of their own
 */

#define AFP_TYPE_VPTQ (afp_vptq_get_type ())
G_DECLARE_FINAL_TYPE (AfpVptq, afp_vptq, AFP, VPTQ, AfpCodec)

typedef enum { VPTQ_SCALE_AUTO, VPTQ_SCALE_NONE, VPTQ_SCALE_TENSOR, VPTQ_SCALE_ROW } VptqScale;
typedef enum { VPTQ_CODEBOOK_TRAINED, VPTQ_CODEBOOK_BUILTIN, VPTQ_CODEBOOK_BUILTIN_1 } VptqCodebook;
typedef enum { VPTQ_SHARING_TENSOR, VPTQ_SHARING_MODEL } VptqSharing;
typedef enum { VPTQ_AXIS_INPUT, VPTQ_AXIS_OUTPUT } VptqAxis;
typedef enum { VPTQ_NORM_NONE, VPTQ_NORM_COLUMN } VptqNorm;
typedef enum { VPTQ_SEARCH_EXACT, VPTQ_SEARCH_FAST } VptqSearch;

struct _AfpVptq {
  AfpCodec parent_instance;
  guint vector_length;
  guint centroids;
  guint iterations;
  guint samples;
  gboolean residual;
  gint scale;
  gint codebook;
  gint sharing;
  gint axis;
  gint norm;
  gint search;
  gdouble rate_lambda;
  guint residual_centroids;
  guint groups;
  gdouble outliers;
  guint refits;
};

/* Where the children of a layout are; -1: there is none. The indices are child 0. */
typedef struct {
  gint codebook, residual_indices, residual_codebook, residual, scale, bias, groups;
  guint length, n_centroids, n_residual;
  guint n_groups;     /* of columns, each with n_centroids of the codebook's rows */
  gboolean row_scale; /* of the codec's rows: with axis=output the plane's columns */
} VptqChildren;
#define VPTQ_CHILD_INDICES 0

void vptq_get_children (AfpVptq *self, const AfpLayout *layout, VptqChildren *children);

/* Kernels' loops on a pool; error: why one stopped. */
typedef struct {
  AfpPool *pool;
  GError *error;
} VptqRunner;
int vptq_run_tasks (void *runner, size_t n, void (*func) (size_t, void *), void *data);

/* A codebook that is searched, laid out for that; all zeros are not. */
typedef struct {
  gpointer memory;
  VptqTable table;
  VptqLists lists; /* n_cells 0: none */
  gboolean exact;
  gboolean rated;
  guint length; /* of vectors */
  float unit;   /* vectors are to be divided by it */
} VptqSearcher;

/* What fit keeps for open: the last coordinates of vptq-rate-kernel.h. */
typedef struct {
  float unit; /* of the scales of rows in the training */
  guint n;
  float places[];
} VptqRates;

/* @searcher: zeros. @rates: (nullable). FALSE: no memory. */
gboolean
vptq_searcher_init (VptqSearcher *searcher, const float *codebook, guint n_centroids, guint length,
                    const VptqRates *rates, gboolean exact, AfpContext *ctx, GError **error);
void vptq_searcher_clear (VptqSearcher *searcher);
guint64 vptq_searcher_bytes (guint n_centroids, guint length);
/* Of @metric, numbers from vector @first on. @bits: how much more than in the training bits count there. */
void vptq_searcher_search (const VptqSearcher *searcher, const AfpMetric *metric, gsize first,
                           float bits, const float *x, gsize n, guint32 *indices);

/* Place of the vector at @row, @col of the codec's matrix among those that groups speak of: its columns' of the plane. */
guint64 vptq_group_place (const AfpVptq *self, guint length, guint64 row, guint64 col);
guint64 vptq_count_places (const AfpVptq *self, const AfpPlaneDesc *in, guint length);
/* Fills @groups, one for each place: by what the place counts for, most first. */
gboolean vptq_choose_groups (const AfpVptq *self, AfpContext *ctx, const VptqChildren *children,
                             guint32 *groups, GError **error);
/* At most @max vectors of one group; free with g_free(). */
AfpDraw *vptq_draw_group (const AfpVptq *self, AfpContext *ctx, const guint32 *groups, guint group,
                          gsize max, gsize *n);

guint64 vptq_scratch (AfpCodec *codec, const AfpLayout *layout);
guint vptq_passes (AfpCodec *codec, const AfpLayout *layout);
gboolean vptq_fit (AfpCodec *codec, AfpContext *ctx, GError **error);

gpointer vptq_open (AfpCodec *codec, AfpContext *ctx, GError **error);
void vptq_close (AfpCodec *codec, gpointer user_state);
gboolean vptq_encode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error);
gboolean vptq_decode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error);
