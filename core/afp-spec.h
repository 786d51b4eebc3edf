/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-dtype.h"

G_BEGIN_DECLS

/**
 * AfpView:
 * @split: number of leading axes in the first half of the matrix
 * @input_first: %FALSE: the leading @split axes are the outputs (rows), as in safetensors (out, in);
 *   %TRUE: they are the inputs (columns), as in Keras (in, out) and HWIO
 * @groups: groups of a grouped convolution, or experts; 1 otherwise
 *
 * How an array of any rank is a matrix of outputs x inputs. Rows, scales, Hessians and error feedback
 * speak of this view only. Text form: "out:1", "in:3", "in:2/32" (32 groups).
 */
typedef struct {
  guint split;
  gboolean input_first;
  guint64 groups;
} AfpView;

#define AFP_TYPE_SPEC (afp_spec_get_type ())
AFP_API GType afp_spec_get_type (void);

#define AFP_MAX_RANK 32

/* @view may be NULL: out:1 for rank >= 2, one row otherwise. @alias_of may be NULL. */
AFP_API AfpSpec *afp_spec_new (const char *name, AfpDType dtype, guint rank, const guint64 *shape,
                               const AfpView *view, const char *alias_of);
AFP_API AfpSpec *afp_spec_ref (AfpSpec *spec);
AFP_API void afp_spec_unref (AfpSpec *spec);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpSpec, afp_spec_unref)

AFP_API const char *afp_spec_get_name (const AfpSpec *spec);
AFP_API AfpDType afp_spec_get_dtype (const AfpSpec *spec);
AFP_API guint afp_spec_get_rank (const AfpSpec *spec);
AFP_API const guint64 *afp_spec_get_shape (const AfpSpec *spec);
AFP_API const AfpView *afp_spec_get_view (const AfpSpec *spec);
AFP_API const char *afp_spec_get_alias_of (const AfpSpec *spec);
AFP_API const char *afp_spec_get_family (
    const AfpSpec *spec); /* alias_of, or else its name: equal for all names of the same values */
AFP_API gboolean afp_spec_is_same_array (const AfpSpec *a, const AfpSpec *b); /* but for names */
AFP_API guint64
afp_spec_get_n_elements (const AfpSpec *spec);              /* 1 for a scalar, 0 if an axis is 0 */
AFP_API guint64 afp_spec_get_n_bytes (const AfpSpec *spec); /* of the raw array */
AFP_API guint64 afp_spec_get_rows (const AfpSpec *spec);    /* outputs of the matrix view */
AFP_API guint64 afp_spec_get_cols (const AfpSpec *spec);    /* inputs of the matrix view */
AFP_API char *afp_spec_shape_to_string (const AfpSpec *spec); /* "3x3x32x64", "scalar" */
AFP_API char *afp_view_to_string (const AfpView *view);
AFP_API gboolean afp_view_parse (const char *text, guint rank, AfpView *view);

/* Product of the axes, or FALSE where it overflows 63 bits in bytes. For readers of untrusted headers. */
AFP_API gboolean afp_shape_count (guint rank, const guint64 *shape, gsize element_size,
                                  guint64 *n_elements, guint64 *n_bytes);
/* The same for a dtype, whose blocks must fill the innermost axis. */
AFP_API gboolean afp_shape_count_dtype (AfpDType dtype, guint rank, const guint64 *shape,
                                        guint64 *n_elements, guint64 *n_bytes);

G_END_DECLS
