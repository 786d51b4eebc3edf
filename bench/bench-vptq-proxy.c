/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-vptq-proxy: what each step of vptq's second order gains. Weights of normal numbers (0.3 % of them five times as large) whose
 * columns are of one size, and of sizes with a log-normal spread of 0.3 (norm=column is for these, and gains nothing without); inputs that are
 * correlated, of uneven size and heavy tails; the error is tr (D H D^T) / tr (W H W^T). Two draws of each.
 *
 *   make bench          or   bench/bench-vptq-proxy [ROWS] [COLUMNS]
 */
#include "afpipe.h"

#include "afp-codec-private.h"
#include "afp-feedback.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES 4 /* inputs per column */
#define FACTORS 32

static const struct {
  const char *name, *properties;
  gboolean importance, feedback;
} steps[] = {
  { "k-means alone", "axis=output", FALSE, FALSE },
  { "+ weights by H", "axis=output", TRUE, FALSE },
  { "+ feedback", "axis=output feedback=true", TRUE, TRUE },
  { "+ order", "axis=output feedback=true order=importance", TRUE, TRUE },
  { "+ norm", "axis=output feedback=true order=importance norm=column", TRUE, TRUE },
  { "+ residual, 256", "axis=output feedback=true order=importance norm=column k2=256", TRUE,
    TRUE },
  { "axis=input, feedback", "feedback=true", TRUE, TRUE },
  { "axis=input, order", "feedback=true order=importance", TRUE, TRUE },
};

static double
normal (GRand *rand)
{
  return sqrt (-2 * log (1 - g_rand_double (rand))) * cos (2 * G_PI * g_rand_double (rand));
}

static float *
draw_weights (GRand *rand, double spread, guint64 rows, guint64 cols)
{
  float *w = g_new (float, rows *cols);
  g_autofree double *size = g_new (double, cols);

  for (guint64 c = 0; c < cols; c++)
    size[c] = 0.02 * exp (spread * normal (rand));
  for (guint64 i = 0; i < rows * cols; i++)
    w[i] = (float) (normal (rand) * (g_rand_double (rand) < 0.003 ? 5 : 1) * size[i % cols]);
  return w;
}

/* x_c = size_c * heavy * (mixed factors + noise) */
static AfpMoments *
draw_moments (GRand *rand, guint64 cols)
{
  g_autofree double *mix = g_new (double, cols *FACTORS), *size = g_new (double, cols),
                    *h = g_new0 (double, cols *cols), *x = g_new (double, cols);
  float *stored = g_new (float, cols *(cols + 1) / 2);

  for (guint64 c = 0; c < cols; c++) {
    size[c] = exp (0.7 * normal (rand));
    for (guint f = 0; f < FACTORS; f++)
      mix[c * FACTORS + f] = normal (rand) / sqrt (FACTORS);
  }
  for (guint64 n = 0; n < SAMPLES * cols; n++) {
    double factors[FACTORS];
    const double heavy = exp (0.5 * normal (rand));
    for (guint f = 0; f < FACTORS; f++)
      factors[f] = 2 * normal (rand);
    for (guint64 c = 0; c < cols; c++) {
      x[c] = normal (rand);
      for (guint f = 0; f < FACTORS; f++)
        x[c] += mix[c * FACTORS + f] * factors[f];
      x[c] *= size[c] * heavy;
    }
    for (guint64 i = 0; i < cols; i++)
      for (guint64 j = 0; j <= i; j++)
        h[i * cols + j] += x[i] * x[j];
  }
  for (guint64 i = 0, at = 0; i < cols; i++)
    for (guint64 j = 0; j <= i; j++)
      stored[at++] = (float) (h[i * cols + j] / (double) (SAMPLES * cols));
  g_autoptr (GBytes) bytes = g_bytes_new_take (stored, cols * (cols + 1) / 2 * sizeof *stored);
  return afp_moments_new (cols, FALSE, SAMPLES * cols, bytes);
}

static double
quadratic (const float *h, const float *w, guint64 rows, guint64 cols)
{
  double sum = 0;

  for (guint64 r = 0; r < rows; r++, w += cols)
    for (guint64 i = 0; i < cols; i++) {
      double row = 0;
      for (guint64 j = 0; j < cols; j++)
        row += (double) h[i * cols + j] * w[j];
      sum += row * w[i];
    }
  return sum;
}

/* The plane as it is decoded. */
static GBytes *
code (gsize step, AfpMatrix *matrix, AfpMoments *moments, AfpPool *pool, guint64 *n_bytes,
      GError **error)
{
  const guint64 rows = afp_matrix_get_rows (matrix), cols = afp_matrix_get_cols (matrix);
  const AfpPlaneDesc desc = {
    .name = "weight", .kind = AFP_KIND_WEIGHT, .rows = rows, .cols = cols, .fallback = "raw32"
  };
  g_autoptr (AfpElement) element = afp_registry_make (afp_registry_get_default (), "vptq", error);
  g_autoptr (AfpFeedback) feedback = NULL;
  guint quantum;
  guint64 n;

  if (!element || !afp_element_set_properties_text (element, "v=4 k=256", error) ||
      !afp_element_set_properties_text (element, steps[step].properties, error))
    return NULL;
  AfpLayout *layout = afp_codec_describe (AFP_CODEC (element), &desc, error);
  if (!layout)
    return NULL;
  AfpClaim **children = g_new0 (AfpClaim *, afp_layout_get_n_children (layout) + 1);
  for (guint i = 0; i < afp_layout_get_n_children (layout); i++)
    if (afp_plane_desc_is_float (afp_layout_get_child (layout, i)))
      children[i] = afp_claim_new_fallback (afp_layout_get_child (layout, i), NULL);
  afp_layout_get_feedback_shape (layout, &n, &quantum);
  g_autoptr (AfpClaim) claim = afp_claim_new (AFP_CODEC (element), layout, children);
  claim->feedback = steps[step].feedback;
  if (steps[step].feedback &&
      !(feedback = afp_feedback_new (
            moments, n, quantum, 0.01,
            (AfpFeedbackOrder) afp_codec_get_moment_use (AFP_CODEC (element))->order, pool, error)))
    return NULL;
  g_autoptr (AfpPlane) plane =
      afp_claim_encode_with (claim, matrix, NULL, steps[step].importance ? moments : NULL, feedback,
                             "w/weight", pool, error);
  g_autoptr (AfpMatrix) decoded = plane ? afp_plane_open (plane, NULL, error) : NULL;
  *n_bytes = afp_claim_get_bytes (claim, NULL);
  return decoded ? afp_matrix_to_dense (decoded, pool, error) : NULL;
}

static void
draw (guint32 seed, double spread, guint64 rows, guint64 cols, AfpPool *pool)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  g_autofree float *w = draw_weights (rand, spread, rows, cols), *h = g_new (float, cols *cols);
  g_autoptr (AfpMoments) moments = draw_moments (rand, cols);
  g_autoptr (GBytes) bytes = g_bytes_new (w, rows * cols * sizeof *w);
  g_autoptr (AfpMatrix) matrix = afp_matrix_new_dense (rows, cols, bytes);
  double last = 0;

  afp_moments_read (moments, 0, cols, h);
  const double power = quadratic (h, w, rows, cols);
  for (gsize s = 0; s < G_N_ELEMENTS (steps); s++) {
    GError *error = NULL;
    guint64 n_bytes = 0;
    const gint64 start = g_get_monotonic_time ();
    g_autoptr (GBytes) out = code (s, matrix, moments, pool, &n_bytes, &error);
    if (!out) {
      g_printerr ("bench-vptq-proxy: %s\n", error->message);
      exit (1);
    }
    const double seconds = (double) (g_get_monotonic_time () - start) * 1e-6;
    g_autofree float *e = g_memdup2 (g_bytes_get_data (out, NULL), rows * cols * sizeof *e);
    for (guint64 i = 0; i < rows * cols; i++)
      e[i] -= w[i];
    const double error_now = quadratic (h, e, rows, cols) / power;
    g_print ("%-22s %8.5f  %5.3f of the step before  %5.3f b/w %6.2f s\n", steps[s].name, error_now,
             last > 0 ? error_now / last : 1, 8.0 * (double) n_bytes / (double) (rows * cols),
             seconds);
    last = error_now;
  }
}

int
main (int argc, char **argv)
{
  const guint64 rows = argc > 1 ? g_ascii_strtoull (argv[1], NULL, 10) : 512;
  const guint64 cols = argc > 2 ? g_ascii_strtoull (argv[2], NULL, 10) : rows;
  g_autoptr (AfpPool) pool = afp_pool_new (2);

  for (guint run = 0; run < 4; run++) {
    const guint32 seed = 1 + run % 2;
    const double spread = run < 2 ? 0 : 0.3;
    g_print ("draw %u, columns' spread %.1f, %" G_GUINT64_FORMAT " x %" G_GUINT64_FORMAT
             ", v=4 k=256\n",
             seed, spread, rows, cols);
    draw (seed, spread, rows, cols, pool);
  }
  return 0;
}
