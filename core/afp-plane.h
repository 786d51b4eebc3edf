/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-matrix.h"
#include "afp-metric.h"

G_BEGIN_DECLS

/**
 * AfpPlaneKind: what a plane holds. CODE is for bit-packed integers, opaque to the lossy codecs; the others are
 * kinds of float planes. RAW is a tensor that no codec can take (integer, bool, scalar, empty).
 */
typedef enum {
  AFP_KIND_WEIGHT,
  AFP_KIND_RESIDUAL,
  AFP_KIND_COEFFS,
  AFP_KIND_CODEBOOK,
  AFP_KIND_SCALE,
  AFP_KIND_FRAME,
  AFP_KIND_CODE,
  AFP_KIND_RAW,
  AFP_N_KINDS
} AfpPlaneKind;

/* Bit sets of kinds for the property planes= */
#define AFP_KINDS(kind) (1u << (kind))
#define AFP_KINDS_ALL_FLOAT ((1u << AFP_KIND_CODE) - 1)

/**
 * AfpScope:
 * @AFP_SCOPE_BLOCK: element (r, q*n + i) belongs to row r and column quantum q of the parent
 * @AFP_SCOPE_TENSOR: the plane belongs to the parent as a whole (codebook, scale)
 * @AFP_SCOPE_ROW: one element per row of the parent, as a matrix of 1 x rows
 */
typedef enum { AFP_SCOPE_BLOCK, AFP_SCOPE_TENSOR, AFP_SCOPE_ROW } AfpScope;

/**
 * AfpCodeMachine:
 * @n_states: 1..1024
 * @n_contexts: 1..256 tables of frequencies
 * @bits: 0..8: so many of the lowest bits of a symbol choose the next state
 * @next: n_states << bits states: next[(state << bits) | (symbol's lowest bits)]
 * @context: for each state the table of the symbol that comes next
 *
 * What the symbols of a code plane tell of those after them: a finite automaton, by which a lossless coder keeps a table of
 * frequencies for each context. In state 0 at the first symbol of each quantum (a plane of scope TENSOR: of each row).
 */
typedef struct {
  guint n_states;
  guint n_contexts;
  guint bits;
  const guint16 *next;
  const guint8 *context;
} AfpCodeMachine;

#define AFP_MAX_MACHINE_STATES 1024u
#define AFP_MAX_MACHINE_BITS 8u

/**
 * AfpPlaneDesc:
 * @name: interned name, the last part of the plane's path
 * @kind: what it holds
 * @scope: how it follows its parent's rows and columns
 * @rows: rows of the plane seen as a matrix
 * @cols: columns (elements or symbols per row)
 * @bits: bits per symbol of a code plane, 1..32; 0 for float planes
 * @per_quantum: for scope BLOCK, elements per column quantum of the parent
 * @vector: natural vector length, or 0; vectors run along the columns and never cross a row's end
 * @metric: kind of error metric that the emitter supplies
 * @optional: %TRUE if the plane may be dropped (residual)
 * @bound: %TRUE if the stored bytes depend on data and rows*cols*bits is an upper bound
 * @fallback: the codec call that stores the plane if nobody takes it, e.g. "f16" or "block-float mantissa-bits=4"; interned
 * @tolerance: largest useful relative error (NMSE); 0 if not declared
 * @machine: (nullable): of a code plane: contexts of its symbols
 * @shared: (nullable): planes of a model that are one: those with the same interned text hold the same bytes, stored once
 *
 * Shape and meaning of a plane; known at plan time.
 */
typedef struct {
  const char *name;
  AfpPlaneKind kind;
  AfpScope scope;
  guint64 rows;
  guint64 cols;
  guint bits;
  guint per_quantum;
  guint vector;
  AfpMetricKind metric;
  gboolean optional;
  gboolean bound;
  const char *fallback;
  double tolerance;
  const AfpCodeMachine *machine;
  const char *shared;
} AfpPlaneDesc;

AFP_API const char *afp_plane_kind_name (AfpPlaneKind kind);
AFP_API guint64 afp_plane_desc_bytes (
    const AfpPlaneDesc *desc); /* packed bytes of a code plane (worst case if bound) */
AFP_API gboolean afp_plane_desc_is_float (const AfpPlaneDesc *desc);
/* Symbols after which the machine of a code plane starts again: those of a quantum, or of a row. */
AFP_API guint64 afp_plane_desc_get_period (const AfpPlaneDesc *desc);
/* Of tensors in one file a shared plane counts for the first. @owners: g_hash_table_new (NULL, NULL), kept for all of them */
AFP_API gboolean afp_plane_desc_counts_for (const AfpPlaneDesc *desc, GHashTable *owners,
                                            const char *tensor);

/*
 * AfpPlane: a node of a tensor's tree of planes; ref-counted, immutable once its tensor was pushed.
 *
 *   raw      bytes in the tensor's own dtype and order (the root of an uncompressed tensor)
 *   code     bit-packed symbols
 *   float    f32 values (rows x cols), and perhaps a frozen coded form
 *   coded    replaced by its children: codec name, version, parameters
 *
 * At plan time the same tree exists without data.
 */
#define AFP_TYPE_PLANE (afp_plane_get_type ())
AFP_API GType afp_plane_get_type (void);
AFP_API AfpPlane *afp_plane_ref (AfpPlane *plane);
AFP_API void afp_plane_unref (AfpPlane *plane);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpPlane, afp_plane_unref)

AFP_API AfpPlane *afp_plane_new_raw (
    AfpSpec *spec,
    GBytes *raw); /* kind WEIGHT if codecs can take it, else RAW; raw NULL: planned */
AFP_API AfpPlane *afp_plane_new_code (const AfpPlaneDesc *desc, GBytes *packed); /* NULL: planned */
AFP_API AfpPlane *afp_plane_new_float (const AfpPlaneDesc *desc, GBytes *f32,
                                       AfpPlane *frozen); /* either may be NULL */
/* @children: one for each child of the codec's layout, in its order. @version: codec version. @params: "a=1,b=2" */
AFP_API AfpPlane *
afp_plane_new_coded (const AfpPlaneDesc *desc, const char *codec, guint version, const char *params,
                     guint n_children, AfpPlane *const *children);

AFP_API const AfpPlaneDesc *afp_plane_get_desc (const AfpPlane *plane);
AFP_API const char *afp_plane_get_codec (const AfpPlane *plane); /* NULL unless coded */
AFP_API guint afp_plane_get_codec_version (const AfpPlane *plane);
AFP_API const char *afp_plane_get_params (const AfpPlane *plane);
AFP_API guint afp_plane_get_n_children (const AfpPlane *plane);
AFP_API AfpPlane *afp_plane_get_child (const AfpPlane *plane, guint index); /* (transfer none) */
AFP_API GBytes *
afp_plane_get_data (const AfpPlane *plane); /* raw, packed or f32 bytes; NULL if planned or coded */
AFP_API AfpPlane *afp_plane_get_frozen (const AfpPlane *plane);
AFP_API AfpPlane *afp_plane_replace_child (AfpPlane *plane, guint index,
                                           AfpPlane *child); /* a copy with another child */

/* The data of a leaf for afp_plane_with_data(): (transfer full) (nullable) */
typedef GBytes *(*AfpPlaneData) (AfpPlane *leaf, gpointer user_data, GError **error);
AFP_API AfpPlane *
afp_plane_with_data (AfpPlane *root, AfpPlaneData data, gpointer user_data, GError **error);

/* Gives all planes of a tree, before others know it, one name each for what they share: AfpPlaneDesc.shared. @name: (nullable) */
typedef const char *(*AfpPlaneNamer) (AfpPlane *leaf, gpointer user_data);
AFP_API void afp_plane_name_shared (AfpPlane *root, AfpPlaneNamer namer, gpointer user_data);

/* Packed bytes of a code plane, unpacked from its lossless coder if there is one. */
AFP_API GBytes *afp_plane_get_codes (AfpPlane *plane, GError **error);

/* Reads the numbers of a raw, float or coded plane. Coded planes are decoded on demand. @spec: the tensor's, for raw planes. */
AFP_API AfpMatrix *afp_plane_open (AfpPlane *plane, AfpSpec *spec, GError **error);

/* Calls func for every node, parents first, in the order of the file; path is "weight/coeffs/indices". */
typedef gboolean (*AfpPlaneFunc) (AfpPlane *plane, const char *path, gpointer user_data);
AFP_API gboolean afp_plane_foreach (AfpPlane *root, AfpPlaneFunc func, gpointer user_data);

G_END_DECLS
