/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A codec whose planes share one number: test-share. */
#pragma once

#include "afp-test.h"

#include <math.h>

/* What its fit saw: the root mean square of the data, which it keeps, and whether that was given to it. */
static guint share_n_fitted, share_n_given;
static guint64 share_rows, share_cols;

typedef struct {
  AfpCodec parent_instance;
  guint size, quantum;
  gboolean share;
} TestShare;
typedef AfpCodecClass TestShareClass;
GType test_share_get_type (void);
G_DEFINE_TYPE (TestShare, test_share, AFP_TYPE_CODEC)

static const AfpProperty test_share_properties[] = {
  AFP_PROP_UINT ("size", NULL, AFP_PROPERTY_FORMAT, TestShare, size, 1, 1000000, "1", "numbers",
                 "Numbers that are shared"),
  AFP_PROP_UINT ("quantum", NULL, AFP_PROPERTY_FORMAT, TestShare, quantum, 1, 64, "4", "weights",
                 "Numbers coded together"),
  AFP_PROP_BOOL ("share", NULL, 0, TestShare, share, "true", "Share them"),
};

static gboolean
test_share_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  const TestShare *self = (TestShare *) codec;

  afp_layout_set_quantum (layout, self->quantum);
  afp_layout_add_code (layout, "signs", self->quantum, 1);
  const guint level =
      afp_layout_add_tensor_float (layout, "level", AFP_KIND_CODEBOOK, 1, self->size, 1);
  if (self->share)
    afp_layout_set_shared (layout, level);
  return TRUE;
}

static gboolean
test_share_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  float *level = afp_context_get_values (ctx, 1);
  double square;

  if (afp_context_is_given (ctx, 1)) {
    share_n_given++;
    return TRUE;
  }
  share_n_fitted++;
  share_rows = afp_layout_get_rows (afp_context_get_layout (ctx));
  share_cols = afp_layout_get_cols (afp_context_get_layout (ctx));
  if (!afp_context_get_moments (ctx, &square, NULL, NULL, error))
    return FALSE;
  for (guint i = 0; i < ((TestShare *) codec)->size; i++)
    level[i] = (float) sqrt (square);
  return TRUE;
}

static gboolean
test_share_encode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  for (guint64 i = 0; i < block->n_rows * block->n_cols; i++)
    block->planes[0].codes[i] = block->values[i] < 0;
  return TRUE;
}

static gboolean
test_share_decode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  const float level = afp_context_get_values (state, 1)[0];

  for (guint64 i = 0; i < block->n_rows * block->n_cols; i++)
    block->values[i] = block->planes[0].codes[i] ? -level : level;
  return TRUE;
}

static void
test_share_class_init (TestShareClass *klass)
{
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), test_share_properties,
                                    G_N_ELEMENTS (test_share_properties), 0);
  klass->default_planes = AFP_KINDS (AFP_KIND_WEIGHT) | AFP_KINDS (AFP_KIND_COEFFS);
  klass->describe = test_share_describe;
  klass->fit = test_share_fit;
  klass->encode_block = test_share_encode;
  klass->decode_block = test_share_decode;
}

static void
test_share_init (TestShare *self)
{
}

/* Three tensors of other sizes and magnitudes. */
static inline void
share_setup (void)
{
  g_autofree float *large = test_values (24 * 64, 3);

  share_n_fitted = share_n_given = 0;
  for (guint i = 0; i < 24 * 64; i++)
    large[i] *= 50;
  g_autoptr (AfpTensor) a = test_tensor ("a", AFP_DTYPE_F32, "32x64", NULL, 1),
                        b = test_tensor ("b", AFP_DTYPE_F32, "48x40", NULL, 2),
                        c = test_tensor_from ("c", "24x64", NULL, large);
  test_set_tensors (a, b, c, NULL);
}

static inline void
share_run (const char *text, guint threads)
{
  g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (text, threads);
}

/* The stored bytes of a plane of an output. (transfer none) */
static inline GBytes *
share_bytes (guint tensor, const char *path)
{
  AfpPlane *plane = test_find (afp_tensor_get_root (test_output ()->pdata[tensor]), path);

  ck_assert_msg (plane != NULL, "%s", path);
  return afp_plane_get_data (plane);
}

static inline void
assert_fails (const char *text, int code, const char *word, const char *other)
{
  GError *error = NULL;

  ck_assert_msg (!test_try (text, 2, &error), "%s", text);
  assert_error (error, code, word, other);
}
