/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of codecs as plugins share. CODEC is the name of the element. */
#pragma once

#include "recipe-test.h"

#include <math.h>

static inline AfpElement *
make_codec (const char *properties)
{
  GError *error = NULL;
  AfpElement *element = afp_registry_make (afp_registry_get_default (), CODEC, &error);

  ck_assert_msg (element != NULL, "%s", error ? error->message : "");
  ck_assert_msg (afp_element_set_properties_text (element, properties, &error), "%s",
                 error ? error->message : "");
  return element;
}

static inline AfpPlaneDesc
make_desc (AfpPlaneKind kind, guint64 rows, guint64 cols, guint vector, AfpMetricKind metric)
{
  return (AfpPlaneDesc){ .name = kind == AFP_KIND_WEIGHT ? "weight" : "coeffs",
                         .kind = kind,
                         .rows = rows,
                         .cols = cols,
                         .vector = vector,
                         .metric = metric,
                         .fallback = "raw32" };
}

/* Who answers for the plane behind an element: the codec with these properties. */
static inline AfpClaim *
make_claim (const char *properties, const AfpPlaneDesc *desc)
{
  const guint64 shape[] = { desc->rows, desc->cols };
  g_autoptr (AfpElement) asker = make_codec (""), answerer = make_codec (properties);
  g_autoptr (AfpSpec) spec = afp_spec_new ("fc", AFP_DTYPE_F32, 2, shape, NULL, NULL);
  GError *error = NULL;

  ck_assert (afp_element_set_properties_text (answerer, "force=true min-weights=1", &error));
  AfpPad *src = afp_element_get_pad (asker, AFP_PAD_SRC, 0);
  ck_assert (afp_pad_link (src, afp_element_get_pad (answerer, AFP_PAD_SINK, 0), &error));
  AfpClaim *claim = afp_pad_query_claim (src, spec, desc->name, desc);
  ck_assert_ptr_nonnull (claim);
  return claim;
}

/* Rows of normal numbers, each row with its own deviation if @uneven. */
static inline float *
make_values (guint64 rows, guint64 cols, gboolean uneven)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (11);
  float *values = g_new (float, rows *cols);

  for (guint64 i = 0; i < rows * cols; i++) {
    double sum = -6;
    for (guint j = 0; j < 12; j++)
      sum += g_rand_double (rand);
    values[i] = (float) (sum * (uneven ? exp2 ((double) (i / cols % 8)) : 1));
  }
  return values;
}

static inline AfpMatrix *
make_matrix (const float *values, guint64 rows, guint64 cols)
{
  g_autoptr (GBytes) bytes = g_bytes_new (values, rows * cols * sizeof (float));

  return afp_matrix_new_dense (rows, cols, bytes);
}

/* A plane coded by it, and what it decodes to. */
typedef struct {
  AfpPlane *plane;
  float *values, *decoded;
  guint64 rows, cols;
} Coded;

static inline void
coded_init (Coded *coded, const char *properties, const AfpPlaneDesc *desc, gboolean uneven,
            AfpPool *pool)
{
  g_autoptr (AfpClaim) claim = make_claim (properties, desc);
  GError *error = NULL;

  coded->rows = desc->rows;
  coded->cols = desc->cols;
  coded->values = make_values (desc->rows, desc->cols, uneven);
  g_autoptr (AfpMatrix) matrix = make_matrix (coded->values, desc->rows, desc->cols);
  coded->plane = afp_claim_encode (claim, matrix, NULL, "fc/weight", pool, &error);
  ck_assert_msg (coded->plane != NULL, "%s", error ? error->message : "");
  g_autoptr (AfpMatrix) back = afp_plane_open (coded->plane, NULL, &error);
  ck_assert_msg (back != NULL, "%s", error ? error->message : "");
  coded->decoded = g_new (float, desc->rows * desc->cols);
  ck_assert (afp_matrix_read (back, 0, desc->rows, 0, desc->cols, coded->decoded, &error));
}

static inline void
coded_clear (Coded *coded)
{
  afp_plane_unref (coded->plane);
  g_free (coded->values);
  g_free (coded->decoded);
}

static inline double
coded_nmse (const Coded *coded)
{
  double error = 0, power = 0;

  for (guint64 i = 0; i < coded->rows * coded->cols; i++) {
    error += pow ((double) coded->values[i] - coded->decoded[i], 2);
    power += pow (coded->values[i], 2);
  }
  return error / power;
}

/* All numbers of a float plane. */
static inline float *
read_plane (AfpPlane *plane)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  float *values = g_new (float, desc->rows * desc->cols);
  GError *error = NULL;
  g_autoptr (AfpMatrix) matrix = afp_plane_open (plane, NULL, &error);

  ck_assert_msg (matrix != NULL, "%s", error ? error->message : "");
  ck_assert (afp_matrix_read (matrix, 0, desc->rows, 0, desc->cols, values, &error));
  return values;
}
