/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-codec.h"
#include "afp-packer.h"
#include "afp-tiles.h"

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

/*
 * What the files of the codec base class share. Internal.
 *   afp-layout.c    what becomes of a plane        afp-context.c   one plane in work
 *   afp-claim.c     who takes a plane              afp-encode.c    encode a plane as claimed
 *   afp-quantizer.c a claim as a quantizer         afp-decoder.c   read a coded plane
 *   afp-routing.c   which tensors and planes       afp-codec.c     the element
 *   afp-codec-plan.c what it takes, planned        afp-codec-run.c planes coded as planned
 *   afp-claim-text.c what a claim's work depends on
 *   afp-codec-memory.c what it takes of memory
 *   afp-share.c     planes that tensors share      afp-prepare.c   fitted to a sample of the model
 *   afp-importance.c the moments of a layer's inputs  afp-feedback.c errors fed to later columns
 *   afp-feedback-tile.c a tile coded that way
 */

struct _AfpLayout {
  gatomicrefcount ref_count;
  AfpCodec *codec;
  AfpPlaneDesc input;
  guint quantum;
  gboolean flat, transposed;
  guint64 tile_weights;  /* 0: as usual */
  gboolean by_moments;   /* the metric of its plane comes from the tensor's moments */
  const char *open_loop; /* why it is no quantizer, as the codec says */
  GArray *children;      /* AfpPlaneDesc */
  GPtrArray *params;     /* name, value, name, value: resolved by describe */
};

struct _AfpClaim {
  gatomicrefcount ref_count;
  AfpCodec *codec;
  AfpLayout *layout;
  AfpClaim **children; /* NULL for code planes */
  gboolean is_fallback;
  gboolean exact;
  gboolean sampling;             /* on a sample, in the prepare phase */
  gboolean importance, feedback; /* by the moments of the tensor that it is on */
  guint64 bytes;
  guint64 shared_bytes; /* of them: in planes that other tensors have, too */
  char *open_loop_reason;
};

typedef struct {
  float *values;
  guint32 *codes;
  float *metric;
  AfpQuantizer *quantizer;
  gboolean given; /* shared, and fitted already */
} AfpContextChild;

struct _AfpContext {
  AfpCodec *codec;
  AfpLayout *layout;
  char *name;
  AfpPool *pool;
  AfpMatrix *matrix; /* in the codec's rows and columns; NULL while decoding */
  AfpMetricKind metric_kind;
  guint metric_length;
  const float *metric_data;
  float *column_weights; /* (nullable): of the tensor's columns, where the vectors have no metric */
  guint64 n_columns;
  float least_weight; /* of padding */
  gboolean fed_back;  /* blocks get their metric from afp-feedback.c */
  gboolean fitted;
  gboolean decoding;
  guint pass; /* calls of fit so far */
  gpointer kept;
  GDestroyNotify free_kept;
  AfpContextChild *children;
};

AfpLayout *afp_layout_new (AfpCodec *codec, const AfpPlaneDesc *input);
AfpLayout *afp_layout_resize (AfpLayout *layout, guint64 rows, guint64 cols);
void afp_layout_cut (const AfpLayout *layout, gboolean feedback, AfpTiles *tiles);
guint64 afp_layout_get_quanta (const AfpLayout *layout); /* per row */

AfpContext *afp_context_new (AfpCodec *codec, AfpLayout *layout, const char *name, AfpPool *pool);
AfpContext *afp_context_new_decoding (AfpCodec *codec, AfpLayout *layout, const char *name);
gboolean afp_context_add_array (AfpContext *ctx, guint child, GError **error);
void afp_context_free (AfpContext *ctx);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpContext, afp_context_free)
void afp_context_set_data (AfpContext *ctx, AfpMatrix *matrix, AfpMetricKind kind, guint length,
                           const float *data);
/* Takes @weights: one for each of the tensor's columns. @least: of padding. */
void afp_context_set_columns (AfpContext *ctx, float *weights, guint64 n, float least);
/* Metric of n_vectors vectors of @length starting at element @first of row @row; out: stride * n floats. */
void afp_context_fill_metric (AfpContext *ctx, guint length, guint64 row, guint64 col,
                              gsize n_vectors, float *out);
AfpMetricKind afp_metric_regroup_kind (AfpMetricKind kind, guint from_length, guint to_length);

/* The children of one block, allocated together. Entries for the children whose bit is set in neither are left empty. */
typedef struct {
  AfpBlock block;
  AfpBlockPlane *planes;
  gpointer memory;
  gsize floats; /* in memory */
} AfpBlockBuffer;
void afp_block_buffer_init (AfpBlockBuffer *buffer, AfpContext *ctx, const AfpTile *tile,
                            gboolean encoding);
void afp_block_buffer_clear (AfpBlockBuffer *buffer);

/* One codec at work on one plane or on vectors: fit, freeze, encode. */
typedef struct {
  AfpClaim *claim;
  AfpContext *ctx;
  AfpPlane **fixed; /* finished tensor- and row-scope children */
  gpointer state;
  gboolean open;
} AfpEncoder;
AfpEncoder *afp_encoder_new (AfpClaim *claim, const char *name, AfpPool *pool, GError **error);
void afp_encoder_free (AfpEncoder *encoder);
gboolean afp_encoder_fit (AfpEncoder *encoder, AfpMatrix *matrix, AfpMetricKind kind, guint length,
                          const float *metric_data, GError **error);

/* From a quantizer: the coded plane for codes that an asker chose. @codes: one packed array per block-scope code child. */
AfpPlane *afp_quantizer_make_plane (AfpQuantizer *self, GBytes *const *codes);
guint afp_quantizer_get_n_code_children (AfpQuantizer *self);
/* symbols per vector, bits and offset in a vector's codes of the i-th block-scope code child */
void
afp_quantizer_get_code_child (AfpQuantizer *self, guint i, guint *n, guint *bits, guint *offset);

#define AFP_QUANTIZER_MAX_CHILDREN 16
/* Not of the base class, whose properties say which planes a codec takes (rules=FILE, too): a claim says what came of those. */
gboolean afp_codec_owns_property (const AfpProperty *property);
char *afp_claim_get_canonical_text (const AfpClaim *claim);
AfpPlane *afp_claim_make_plane (const AfpClaim *claim, AfpPlane *const *children);
/* The same claim on a plane of another size: a sample. */
AfpClaim *afp_claim_resize (const AfpClaim *claim, guint64 rows, guint64 cols);
/* As afp_claim_get_bytes(), without shared planes that count for another tensor: afp_plane_desc_counts_for(). */
guint64 afp_claim_get_bytes_once (const AfpClaim *claim, GHashTable *owners, const char *tensor);
AfpClaim *afp_claim_new (AfpCodec *codec, AfpLayout *layout,
                         AfpClaim **children); /* takes the layout and the array */

/* The element that decodes planes of codec @name with resolved @params; shared, frozen. AfpCodec or AfpPacker. */
AfpTransform *afp_codec_find (const char *name, guint version, const char *params, GError **error);
AfpMatrix *afp_decoder_open (AfpPlane *plane, GError **error); /* of a plane coded by an AfpCodec */

gboolean afp_codec_is_open_loop (AfpCodec *self);
guint afp_codec_get_seed (AfpCodec *self); /* its property */
/* The array of a tensor as it was loaded: it needs no fallback. (A codec may leave a float plane of kind weight, too.) */
gboolean afp_plane_desc_is_array (const AfpPlaneDesc *desc);
gpointer
afp_plane_get_maker (const AfpPlane *plane); /* the codec instance that coded it, or NULL */
void afp_plane_set_maker (AfpPlane *plane, gpointer codec);
void afp_plane_set_metric (AfpPlane *plane, GBytes *metric_data);
GBytes *afp_plane_get_metric (const AfpPlane *plane);
GBytes *afp_packer_unpack_plane (AfpPlane *plane, GError **error);
AfpPlaneDesc afp_packer_child_desc (AfpPacker *self, const AfpPlaneDesc *code);
AfpPlane *
afp_plane_finalize_float (AfpPlane *plane, const char *name, AfpPool *pool, GError **error);

/* What codecs work with, known from layouts. */
typedef struct {
  guint64 fixed;
  guint64 per_thread;
} AfpCodecMemory;
guint afp_claim_count_passes (const AfpClaim *claim);
guint64 afp_plane_desc_memory (const AfpPlaneDesc *desc); /* of its symbols, or floats and metric */
AfpClaim *afp_claim_get_asked (const AfpClaim *claim, guint i);
gboolean afp_claim_freezes (const AfpClaim *claim, guint i); /* child @i is coded with its parent */
guint64 afp_claim_get_child_memory (const AfpClaim *claim, guint i); /* what child @i keeps */
void afp_claim_get_memory (const AfpClaim *claim, AfpCodecMemory *memory);
void afp_plane_get_decode_memory (AfpPlane *plane, AfpCodecMemory *memory);

/* Routing: which tensors and planes a codec takes; properties of the base class. */
typedef struct {
  char *tensors;
  char *exclude;
  char *rules;
  guint planes;
  guint min_dims;
  guint64 min_weights;
  gboolean force;
  gboolean open_loop;
  GPtrArray *rule_list; /* AfpRule */
  guint variant;        /* 1 + the rule that the codec is of; 0: none */
} AfpRouting;
typedef struct {
  GPatternSpec *pattern;
  gboolean pass;
  AfpCodec *variant; /* NULL: the codec itself */
} AfpRule;
AfpRouting *afp_codec_get_routing (AfpCodec *codec);

/* What is made of the moments of a layer's inputs. */
struct _AfpFeedback;
typedef enum { AFP_IMPORTANCE_AUTO, AFP_IMPORTANCE_OFF } AfpImportance;
typedef struct {
  gint importance; /* AfpImportance */
  gboolean feedback;
  gint order; /* AfpFeedbackOrder */
  double damping;
  struct _AfpFeedback *last; /* of the last tensor */
  guint64 bytes;             /* the most that one takes, as planned */
  guint n_without;           /* tensors that are coded without feedback, as planned */
} AfpMomentUse;
AfpMomentUse *afp_codec_get_moment_use (AfpCodec *codec);
/* Do the columns of the plane stand for those of the tensor? */
gboolean afp_plane_follows_columns (AfpTensor *tensor, const char *path);
/* Whether the claim uses the tensor's moments. FALSE: it cannot, though it is told to. */
gboolean
afp_claim_plan_moments (AfpClaim *claim, AfpTensor *tensor, const char *path, GError **error);
void afp_layout_get_feedback_shape (const AfpLayout *layout, guint64 *cols, guint *quantum);
char *afp_claim_describe_moments (const AfpClaim *claim, AfpTensor *tensor);
float *afp_importance_new (const AfpMoments *moments, double damping);
struct _AfpFeedback *afp_codec_take_feedback (AfpCodec *self, const AfpClaim *claim,
                                              AfpMoments *moments, AfpPool *pool, GError **error);
/* As afp_claim_encode(). @moments, @feedback: (nullable): where the claim uses them */
AfpPlane *afp_claim_encode_with (AfpClaim *claim, AfpMatrix *matrix, const float *metric_data,
                                 const AfpMoments *moments, const struct _AfpFeedback *feedback,
                                 const char *name, AfpPool *pool, GError **error);

/* Planes that tensors share. A group: the tensors whose planes have one such child. */
typedef struct {
  char *tensor, *path;
  guint64 weights;
  gboolean is_alias; /* another name of values that are sampled already */
} AfpShareMember;
typedef struct {
  char *key;
  AfpClaim *claim; /* of the first member */
  guint child;     /* which of its children is shared */
  guint64 bytes, saved;
  gboolean forced;
  guint n_aliases;
  GPtrArray *members; /* AfpShareMember, in the order of the plan */
} AfpShareGroup;
typedef struct {
  GPtrArray *groups; /* AfpShareGroup; of an element, its rules' variants included */
  GHashTable *seen;  /* shared planes, and the tensor that each counts for in the plan */
  GHashTable *given; /* key -> AfpPlane: fitted and coded */
} AfpShare;
AfpShare *afp_codec_get_share (AfpCodec *codec);
void afp_share_init (AfpShare *share);
void afp_share_reset (AfpShare *share);
void afp_share_clear (AfpShare *share);
void afp_share_note (AfpShare *share, AfpClaim *claim, AfpSpec *spec, const char *path,
                     guint64 saved, gboolean forced);
gboolean afp_share_settle (AfpShare *share, AfpElement *element, GError **error);
/* Names the shared planes of a layout; under a shared plane all are shared. */
void afp_layout_name_shared (AfpLayout *layout);
gboolean
afp_layout_child_is_shared (const AfpLayout *layout, guint child); /* by the codec itself */
/* (transfer full): what a shared child has in common with others: its name, and how it is stored */
char *afp_claim_get_share_key (const AfpClaim *claim, guint child);
/* (transfer none) (nullable): the shared child, once it was fitted */
AfpPlane *afp_claim_find_given (const AfpClaim *claim, guint child);

/* The claim that the codec has on a plane, or NULL. (transfer none) */
AfpClaim *afp_codec_find_claim (AfpCodec *self, const char *tensor, const char *path);
void afp_codec_keep_claim (AfpCodec *self, AfpSpec *spec, const char *path, AfpClaim *claim);
/* All of them, sorted by tensor and path. */
typedef void (*AfpClaimFunc) (AfpSpec *spec, const char *path, AfpClaim *claim, gpointer user_data);
void afp_codec_foreach_claim (AfpCodec *self, AfpClaimFunc func, gpointer user_data);
/* (transfer container): elements from the source to @element, both included */
GPtrArray *afp_element_find_route (AfpElement *element);
AfpClaim *afp_codec_describe_plane (AfpTransform *transform, AfpSpec *spec, const char *path,
                                    const AfpPlaneDesc *desc);
AfpTensor *
afp_codec_plan_tensor (AfpTransform *transform, AfpTensor *tensor, AfpPlan *plan, GError **error);
AfpTensor *afp_codec_process (AfpTransform *transform, AfpTensor *tensor, GError **error);
/* Walks the tree; take() replaces a float leaf or returns NULL to leave it. */
typedef AfpPlane *(*AfpTakeFunc) (AfpCodec *self, AfpTensor *tensor, AfpPlane *plane,
                                  const char *path, gpointer user_data, GError **error);
AfpPlane *afp_codec_walk (AfpCodec *self, AfpTensor *tensor, AfpPlane *plane, const char *path,
                          AfpTakeFunc take, gpointer user_data, GError **error);
void afp_prepare_get_memory (AfpElement *element, AfpCodecMemory *memory);
gboolean afp_prepare_codec (AfpElement *element, AfpRun *run, GError **error);
gboolean afp_routing_prepare (AfpRouting *routing, AfpCodec *codec, GError **error);
void afp_routing_clear (AfpRouting *routing);
/* The codec that is to take planes of the tensor, or NULL and why not. */
AfpCodec *afp_routing_match (AfpRouting *routing, AfpCodec *codec, AfpSpec *spec,
                             const AfpPlaneDesc *desc, char **why);

#pragma GCC visibility pop
