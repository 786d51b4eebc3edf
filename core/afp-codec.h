/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-quantizer.h"
#include "afp-transform.h"

G_BEGIN_DECLS

/*
 * A codec replaces a float plane by planes of its own. The author writes five functions; the base class does the rest:
 * routing, claims, matrix views, padding, tiles and threads, packing, nested codecs, the quantizer query, recipes, decoding.
 *
 * AfpLayout: what becomes of one float plane, filled in by AfpCodecClass.describe.
 */
AFP_API const AfpPlaneDesc *afp_layout_get_input (const AfpLayout *layout);
/* Column quantum: blocks start at multiples of it and hold multiples of it; rows are padded with zeros. Default 1. */
AFP_API void afp_layout_set_quantum (AfpLayout *layout, guint quantum);
/* The plane is one row of rows*cols elements: blocks cross rows (layout=flat). */
AFP_API void afp_layout_set_flat (AfpLayout *layout, gboolean flat);
/* The codec's rows are the plane's columns: blocks run down a column, and a row of the codec is an input of the layer. */
AFP_API void afp_layout_set_transposed (AfpLayout *layout, gboolean transposed);
/* Codes depend on where they lie (a scale for each group of columns, say): the codec cannot answer a quantizer query. @why: a string
 * literal; completes "open loop: ". Scope ROW and float children of block scope say so by themselves. */
AFP_API void afp_layout_set_open_loop (AfpLayout *layout, const char *why);
/* Children; each returns the index of the child. Names must be string literals. */
AFP_API guint afp_layout_add_code (AfpLayout *layout, const char *name, guint per_quantum,
                                   guint bits); /* block scope */
AFP_API guint afp_layout_add_float (AfpLayout *layout, const char *name, AfpPlaneKind kind,
                                    guint per_quantum, guint vector); /* block scope */
AFP_API guint afp_layout_add_tensor_code (AfpLayout *layout, const char *name, guint64 n,
                                          guint bits);
AFP_API guint afp_layout_add_tensor_float (AfpLayout *layout, const char *name, AfpPlaneKind kind,
                                           guint64 rows, guint64 cols, guint vector);
AFP_API guint afp_layout_add_row_float (AfpLayout *layout, const char *name,
                                        AfpPlaneKind kind); /* one per row */
/* What stores child @child if nobody takes it: a codec call; defaults: "block-float" for coeffs, "drop" for residual, "f16" for others. */
AFP_API void afp_layout_set_fallback (AfpLayout *layout, guint child, const char *fallback);
AFP_API void afp_layout_set_metric (AfpLayout *layout, guint child, AfpMetricKind metric);
AFP_API void afp_layout_set_optional (AfpLayout *layout, guint child);
/* Contexts of the symbols of a code child, for a lossless coder. @machine: lives as long as the program. */
AFP_API void afp_layout_set_machine (AfpLayout *layout, guint child, const AfpCodeMachine *machine);
/* Weights that encode_block had best be given at once. */
AFP_API void afp_layout_set_tile_weights (AfpLayout *layout, guint64 weights);
/* A tensor-scope float child that all planes of the same layout share (a codebook for the model): fitted once, in the prepare phase,
 * to a sample of them all; stored once. */
AFP_API void afp_layout_set_shared (AfpLayout *layout, guint child);
/* A property flagged FORMAT whose resolved value differs from the element's (auto): goes into the recipe. */
AFP_API void afp_layout_set_param (AfpLayout *layout, const char *name, guint64 value);
/* @value: (nullable): NULL: the coded form does not depend on it here, and the recipe leaves it out. */
AFP_API void afp_layout_set_param_text (AfpLayout *layout, const char *name, const char *value);

AFP_API guint afp_layout_get_quantum (const AfpLayout *layout);
AFP_API guint64 afp_layout_get_rows (const AfpLayout *layout); /* as the codec sees it: 1 if flat */
AFP_API guint64 afp_layout_get_cols (const AfpLayout *layout); /* unpadded */
AFP_API guint64 afp_layout_get_padded_cols (const AfpLayout *layout); /* multiple of the quantum */
/* Does its plane come with a metric, its own or from the moments of the tensor? Known to scratch and thread_scratch. */
AFP_API gboolean afp_layout_has_metric (const AfpLayout *layout);
AFP_API guint afp_layout_get_n_children (const AfpLayout *layout);
AFP_API const AfpPlaneDesc *afp_layout_get_child (const AfpLayout *layout, guint child);

/*
 * AfpContext: one plane being fitted, encoded or decoded.
 * In fit, the arrays of the tensor- and row-scope children are to be filled (they hold the last fit's values, or zeros);
 * in open they hold what a decoder will have (rounded through whatever stores them) and are read-only.
 */
AFP_API const AfpLayout *afp_context_get_layout (AfpContext *ctx);
AFP_API float *afp_context_get_values (AfpContext *ctx, guint child); /* rows*cols floats */
AFP_API guint32 *afp_context_get_codes (AfpContext *ctx, guint child);
AFP_API gboolean
afp_context_has_fit (AfpContext *ctx); /* the arrays hold an earlier fit: warm start */
AFP_API guint
afp_context_get_pass (AfpContext *ctx); /* fit: how often it was called before on this plane */
AFP_API gboolean afp_context_is_given (
    AfpContext *ctx,
    guint child); /* fit: a shared child that was fitted already: leave it as it is */
AFP_API gboolean
afp_context_is_decoding (AfpContext *ctx); /* open: only decode_block will follow */
/* Something of the encoder's own that fit leaves for open and for the next fit (code lengths, say). A decoder has none: NULL. @free: (nullable) */
AFP_API void afp_context_keep (AfpContext *ctx, gpointer kept, GDestroyNotify free);
AFP_API gpointer afp_context_get_kept (AfpContext *ctx);
AFP_API const char *afp_context_get_name (AfpContext *ctx); /* "tensor/plane/path", for messages */
AFP_API AfpPool *afp_context_get_pool (AfpContext *ctx);    /* may be NULL */
AFP_API guint64
afp_context_get_seed (AfpContext *ctx); /* from tensor name, path and seed=: for random choices */

/* fit only: the data. n_cols must be a multiple of the quantum, as col; zeros beyond the right edge. */
AFP_API gboolean afp_context_read (AfpContext *ctx, guint64 row, guint64 n_rows, guint64 col,
                                   guint64 n_cols, float *out, GError **error);
/* fit only: at most @max vectors of @length (a divisor of the quantum), spread evenly and repeatably over the plane; all of them if there are no more.
 * @weights: (out) (nullable): metric data of the sampled vectors, or NULL if the plane has none. Free both with g_free(). */
AFP_API float *afp_context_sample (AfpContext *ctx, gsize max, guint length, gsize *n,
                                   float **metric_data, GError **error);
typedef struct {
  guint64 row, col; /* where the vector starts */
  float factor;     /* of its metric, for it was likelier to be drawn than others, or less */
} AfpDraw;
/* fit only: which vectors; with @by_weight the likelier, the more they weigh by the moments of the inputs, and metric times factor evens that out.
 * Counts of such draws are not those of the plane. Free with g_free(). */
AFP_API AfpDraw *
afp_context_draw (AfpContext *ctx, gsize max, guint length, gboolean by_weight, gsize *n);
AFP_API float *afp_context_sample_by_weight (AfpContext *ctx, gsize max, guint length, gsize *n,
                                             float **metric_data, GError **error);
/* One index from the @i-th of @n equal stretches of 0 .. @total - 1, at a place that depends on @seed. */
AFP_API guint64 afp_sample_index (guint64 seed, gsize i, gsize n, guint64 total);
/* fit only: the metric of the vector of @length elements that starts at @row, @col: afp_metric_stride() floats of that kind */
AFP_API void
afp_context_read_metric (AfpContext *ctx, guint64 row, guint64 col, guint length, float *out);
/* Kind of the metric of a sampled vector of @length elements (regrouped from the plane's own vectors). */
AFP_API AfpMetricKind afp_context_get_metric_kind (AfpContext *ctx, guint length);
/* fit only: sums of the data: mean square over all elements (padding excluded), per row if @rows is not NULL; largest magnitude */
AFP_API gboolean afp_context_get_moments (AfpContext *ctx, double *mean_square, float *max_abs,
                                          double *row_mean_square, GError **error);

/* fit only: where the metric of a tensor-scope float child goes (afp_metric_stride() floats for each of its vectors, set to 1), or NULL if the layout declares none. */
AFP_API float *afp_context_get_child_metric (AfpContext *ctx, guint child);

/* The quantizer of a block-scope float child, or NULL: open loop. In fit it may be fitted; the base class freezes it after fit. */
AFP_API AfpQuantizer *afp_context_get_quantizer (AfpContext *ctx, guint child);

/**
 * AfpBlockPlane:
 * @codes: code child: (n_cols / quantum) * per_quantum symbols for each row, row after row
 * @values: float child: likewise, floats. When encoding with a quantizer, its reconstruction
 * @quantizer: (nullable): frozen quantizer of the child
 * @quantizer_codes: with a quantizer: afp_quantizer_get_n_codes() symbols for each of its vectors, to be filled by the encoder
 * @metric: (nullable): without a quantizer, for a child that declares a metric: afp_metric_stride() floats for each of its
 *   vectors, to be filled by the encoder
 */
typedef struct {
  guint32 *codes;
  float *values;
  AfpQuantizer *quantizer;
  guint32 *quantizer_codes;
  float *metric;
} AfpBlockPlane;

/**
 * AfpBlock:
 * @row, @n_rows, @col, @n_cols: the rectangle, in the codec's rows and columns; @col and @n_cols are multiples of the quantum
 * @values: n_rows x n_cols floats: input of encode_block (zero beyond the edge), output of decode_block
 * @metric: of the input's vectors in this rectangle; kind NONE if it has none
 * @planes: one entry for each child of the layout; entries of tensor- and row-scope children are empty
 */
typedef struct {
  guint64 row, n_rows, col, n_cols;
  float *values;
  AfpMetric metric;
  AfpBlockPlane *planes;
} AfpBlock;

#define AFP_TYPE_CODEC (afp_codec_get_type ())
AFP_API
G_DECLARE_DERIVABLE_TYPE (AfpCodec, afp_codec, AFP, CODEC, AfpTransform)

/**
 * AfpCodecClass:
 * @version: of the coded format; written into recipes; a decoder refuses versions it does not know
 * @default_planes: AFP_KINDS() bits: default of the property planes=
 * @describe: the layout for a plane; a pure function of the properties and afp_layout_get_input(). FALSE: cannot take it, and why
 *   (AFP_ERROR_PLAN: it is left to others; AFP_ERROR_PROPERTY: the user's properties do not fit, and the plan fails)
 * @fit: (nullable): fills tensor- and row-scope children from the data
 * @open: (nullable): a state for encode_block and decode_block, from the rounded children; NULL with error if they are damaged,
 *   NULL without error if no state is needed. Without this function the state is the AfpContext itself
 * @close: (nullable): frees the state
 * @encode_block: const, thread-safe
 * @decode_block: const, thread-safe; must check every symbol that it uses as an index (AFP_ERROR_FORMAT)
 * @passes: (nullable): how often fit is called for a plane, 1 without it. Before each call but the first the plane was coded as it stands
 *   then, its fixed children rounded, and the data are what was to be coded: with feedback the targets, else the plane again
 * @scratch: (nullable): working bytes for a plane beyond what the base class needs: an upper bound
 * @thread_scratch: (nullable): those that each thread needs, beside @scratch
 *   What fit and encode_block make may depend on their arguments, the properties (no file's contents) and afp_context_get_seed() alone:
 *   it is kept for later runs. So is what they find out for get_metrics(), by save_found() and restore_found()
 * @asks: %TRUE if encode_block uses quantizers of its block-scope float children
 */
struct _AfpCodecClass {
  AfpTransformClass parent_class;
  guint version;
  guint default_planes;
  gboolean asks;
  gboolean (*describe) (AfpCodec *self, AfpLayout *layout, GError **error);
  gboolean (*fit) (AfpCodec *self, AfpContext *ctx, GError **error);
  guint (*passes) (AfpCodec *self, const AfpLayout *layout);
  gpointer (*open) (AfpCodec *self, AfpContext *ctx, GError **error);
  void (*close) (AfpCodec *self, gpointer state);
  gboolean (*encode_block) (AfpCodec *self, gpointer state, AfpBlock *block, GError **error);
  gboolean (*decode_block) (AfpCodec *self, gpointer state, AfpBlock *block, GError **error);
  guint64 (*scratch) (AfpCodec *self, const AfpLayout *layout);
  guint64 (*thread_scratch) (AfpCodec *self, const AfpLayout *layout);
  gpointer padding[6];
};

/* The layout of @desc under this codec's properties, or NULL with the reason. */
AFP_API AfpLayout *afp_codec_describe (AfpCodec *self, const AfpPlaneDesc *desc, GError **error);
AFP_API AfpLayout *afp_layout_ref (AfpLayout *layout);
AFP_API void afp_layout_unref (AfpLayout *layout);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpLayout, afp_layout_unref)
AFP_API char *afp_layout_get_params (
    const AfpLayout *layout); /* resolved FORMAT properties: "block-size=8,rank=3" */
AFP_API AfpCodec *afp_layout_get_codec (const AfpLayout *layout); /* (transfer none) */
/* feedback=true: where the codec has the choice, blocks are to stay in their row. */
AFP_API gboolean afp_codec_feeds_back (AfpCodec *self);

G_END_DECLS
