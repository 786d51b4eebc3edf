/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include "afp-codec-private.h"

#include <math.h>

/* What goes into a layer says which columns of its weights count: importance=auto. */

#define ALL " min-weights=0 force=true "
#define ROWS 5
#define COLS 10

static guint64 padded; /* columns of a row, as the codec in front left them; 0: all rows in one */
static gboolean weighed;
static guint n_probes;

/* Column i counts i + 1, over the mean and damped by 0.01. */
static AfpTensor *
ramp (const char *name, gboolean diagonal)
{
  float stored[COLS * (COLS + 1) / 2], *out = stored;
  g_autoptr (AfpTensor) tensor = test_tensor (name, AFP_DTYPE_F32, "5x10", NULL, 3);

  for (guint i = 0; i < COLS; i++)
    for (guint j = diagonal ? i : 0; j <= i; j++)
      *out++ = i == j ? (float) (i + 1) : 0.25f;
  g_autoptr (GBytes) bytes = g_bytes_new (stored, (gsize) (out - stored) * sizeof (float));
  g_autoptr (AfpMoments) moments = afp_moments_new (COLS, diagonal, 100, bytes);
  return afp_tensor_new_with_moments (tensor, moments);
}

static float
expected_weight (guint64 col)
{
  return (float) (((col < COLS ? (double) (col + 1) / 5.5 : 0) + 0.01) / 1.01);
}

/* --- what a codec sees --------------------------------------------------------------------------------------------- */

/* Every vector has the weights of the columns that it lies on. */
static void
check_weights (AfpContext *ctx, guint length)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const guint64 per_row = afp_layout_get_padded_cols (layout) / length;
  gsize n;
  g_autofree float *data = NULL;
  g_autofree G_GNUC_UNUSED float *vectors =
      afp_context_sample (ctx, G_MAXSIZE, length, &n, &data, NULL);

  ck_assert_int_eq (afp_context_get_metric_kind (ctx, length),
                    weighed ? AFP_METRIC_DIAGONAL : AFP_METRIC_NONE);
  ck_assert_int_eq (data != NULL, weighed);
  for (gsize v = 0; data && v < n; v++)
    for (guint i = 0; i < length; i++) {
      guint64 col = v % per_row * length + i;
      if (padded == 0 || afp_layout_get_rows (layout) == 1)
        col = col < afp_layout_get_cols (layout) ? col % (padded ? padded : COLS) : COLS;
      must (fabsf (data[v * length + i] - expected_weight (col)) < 1e-6f);
    }
}

static void
probe (AfpContext *ctx)
{
  const guint quantum = afp_layout_get_quantum (afp_context_get_layout (ctx));

  n_probes++;
  for (guint length = 1; length <= quantum; length++)
    if (quantum % length == 0)
      check_weights (ctx, length);
}

static void
run_probe (AfpTensor *tensor, const char *text)
{
  n_probes = 0;
  test_probe = probe;
  test_set_tensors (tensor, NULL);
  g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (text, 2);
  test_probe = NULL;
  ck_assert_msg (n_probes == 1, "%s: %u", text, n_probes);
}

static const struct {
  const char *chain;
  guint64 padded;
} followers[] = {
  { "test-probe" ALL, COLS },
  { "test-probe quantum=4" ALL, COLS },
  { "test-probe quantum=4 flat=true" ALL, COLS },
  { "test-q quantum=3 residual=true" ALL "! test-probe planes=residual quantum=4" ALL, 12 },
  { "test-q quantum=3 residual=true" ALL "! test-probe planes=residual quantum=4 flat=true" ALL,
    12 },
  { "test-q quantum=5 layout=flat residual=true" ALL "! test-probe planes=residual quantum=4" ALL,
    0 },
  { "test-q quantum=3 residual=true" ALL "! test-q planes=residual residual=true quantum=4" ALL
    "! test-probe planes=residual quantum=2" ALL,
    12 },
};

START_TEST (columns_of_planes)
{
  for (gint diagonal = 0; diagonal < 2; diagonal++) {
    g_autoptr (AfpTensor) tensor = ramp ("t", diagonal);
    weighed = TRUE;
    padded = followers[_i].padded;
    run_probe (tensor, followers[_i].chain);
    ck_assert_ptr_nonnull (strstr (test_plan (), "importance by the moments of the inputs"));
  }
}
END_TEST

static const char *const others[] = {
  "test-probe importance=off" ALL,
  "test-ask block=5 vector=5 open-loop=true" ALL "! test-probe planes=coeffs" ALL,
  "test-flip" ALL "! test-probe planes=weight" ALL,
  "test-q scale=row" ALL "! test-probe planes=scale" ALL,
  "test-q residual=true" ALL "! test-flip planes=residual" ALL "! test-probe planes=weight" ALL,
};

/* Planes whose columns are not the tensor's, and who does not want to know. */
START_TEST (no_importance)
{
  g_autoptr (AfpTensor) tensor = ramp ("t", FALSE);

  weighed = FALSE;
  run_probe (tensor, others[_i]);
}
END_TEST

START_TEST (without_moments)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "5x10", NULL, 3);

  weighed = FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (followers); i++) {
    run_probe (tensor, followers[i].chain);
    ck_assert_ptr_null (strstr (test_plan (), "importance by"));
  }
}
END_TEST

/* --- the weights ---------------------------------------------------------------------------------------------------- */

static AfpMoments *
diagonal_of (const float *x, gsize n)
{
  g_autoptr (GBytes) bytes = g_bytes_new (x, n * sizeof *x);

  return afp_moments_new (n, TRUE, 10, bytes);
}

START_TEST (weights)
{
  const float squares[] = { 0, 1, 2, 0, 7 };
  g_autoptr (AfpMoments) moments = diagonal_of (squares, 5);
  g_autofree float *w = afp_importance_new (moments, 0.01);
  double sum = 0;

  for (guint i = 0; i < 5; i++) {
    ck_assert (fabs (w[i] - (squares[i] / 2 + 0.01) / 1.01) < 1e-6);
    sum += w[i];
  }
  ck_assert (fabs (sum - 5) < 1e-5);
}
END_TEST

static const float odd[][4] = {
  { 0, 0, 0, 0 },        /* never fires */
  { 1, NAN, 1, 1 },      /* damaged */
  { 1, INFINITY, 1, 1 }, /* damaged */
  { -1, -2, 1, 1 },      /* damaged */
};

/* What tells nothing leaves all columns alike. */
START_TEST (weights_of_nothing)
{
  g_autoptr (AfpMoments) moments = diagonal_of (odd[_i], 4);
  g_autofree float *w = afp_importance_new (moments, 0.5);

  for (guint i = 0; i < 4; i++)
    ck_assert (w[i] == 1);
}
END_TEST

/* --- what comes of it ----------------------------------------------------------------------------------------------- */

static double
weighted_error (AfpTensor *tensor, AfpTensor *out)
{
  g_autofree float *x = test_decode (tensor), *y = test_decode (out);
  double sum = 0;

  for (guint i = 0; i < ROWS * COLS; i++)
    sum += (double) expected_weight (i % COLS) * (x[i] - y[i]) * (x[i] - y[i]);
  return sum;
}

START_TEST (less_error_where_it_counts)
{
  g_autoptr (AfpTensor) tensor = ramp ("t", TRUE);

  test_set_tensors (tensor, NULL);
  g_autoptr (AfpTensor) with = test_run ("test-pair" ALL, 2);
  g_autoptr (AfpTensor) off = test_run ("test-pair importance=off" ALL, 2);
  const double ratio = weighted_error (tensor, with) / weighted_error (tensor, off);
  ck_assert_msg (ratio < 0.995, "%g", ratio);
}
END_TEST

/* Off is as if there were no moments. */
START_TEST (off)
{
  g_autoptr (AfpTensor) tensor = ramp ("t", FALSE);
  g_autoptr (AfpTensor) plain = test_tensor ("t", AFP_DTYPE_F32, "5x10", NULL, 3);

  test_set_tensors (tensor, NULL);
  g_autoptr (AfpTensor) a = test_run ("test-pair importance=off" ALL, 2);
  test_set_tensors (plain, NULL);
  g_autoptr (AfpTensor) b = test_run ("test-pair" ALL, 2);
  g_autoptr (GBytes) x = test_tree_bytes (afp_tensor_get_root (a));
  g_autoptr (GBytes) y = test_tree_bytes (afp_tensor_get_root (b));
  ck_assert (g_bytes_equal (x, y));
}
END_TEST

START_TEST (any_threads)
{
  g_autoptr (AfpTensor) tensor = test_tensor_with_moments ("t", "700x100", TRUE, 5);
  g_autoptr (GBytes) first = NULL;

  test_set_tensors (tensor, NULL);
  for (guint threads = 1; threads <= 5; threads += 2) {
    g_autoptr (AfpTensor) out = test_run ("test-pair", threads);
    g_autoptr (GBytes) bytes = test_tree_bytes (afp_tensor_get_root (out));
    if (!first)
      first = g_bytes_ref (bytes);
    ck_assert (g_bytes_equal (bytes, first));
  }
}
END_TEST

/* A weight for each number of a tile. */
START_TEST (memory)
{
  const AfpPlaneDesc desc = {
    .name = "weight", .rows = 3, .cols = 1000, .fallback = "test-q quantum=4 scale=none"
  };
  g_autoptr (AfpClaim) claim = afp_claim_new_fallback (&desc, NULL);
  AfpCodecMemory plain, weighted;

  afp_claim_get_memory (claim, &plain);
  claim->importance = TRUE;
  afp_claim_get_memory (claim, &weighted);
  ck_assert_uint_eq (weighted.fixed, plain.fixed + (3 + 1) * 1000 * sizeof (float));
  ck_assert_uint_eq (weighted.per_thread, plain.per_thread);
}
END_TEST

/* --- refusals -------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *text;
  gint code;
  const char *word, *other;
} refused[] = {
  { "test-q importance=maybe", AFP_ERROR_PROPERTY, "importance", "auto" },
  { "test-q damping=0", AFP_ERROR_PROPERTY, "damping", "0" },
  { "test-q damping=1.5", AFP_ERROR_PROPERTY, "damping", "1.5" },
  { "test-q feedback=perhaps", AFP_ERROR_PROPERTY, "feedback", "perhaps" },
};

START_TEST (refusals)
{
  g_autoptr (AfpTensor) tensor = ramp ("t", FALSE);
  GError *error = NULL;

  test_set_tensors (tensor, NULL);
  ck_assert (!test_try (refused[_i].text, 1, &error));
  assert_error (error, refused[_i].code, refused[_i].word, refused[_i].other);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("importance");
  tcase_add_loop_test (tcase, columns_of_planes, 0, G_N_ELEMENTS (followers));
  tcase_add_loop_test (tcase, no_importance, 0, G_N_ELEMENTS (others));
  tcase_add_test (tcase, without_moments);
  tcase_add_test (tcase, weights);
  tcase_add_loop_test (tcase, weights_of_nothing, 0, G_N_ELEMENTS (odd));
  tcase_add_test (tcase, less_error_where_it_counts);
  tcase_add_test (tcase, off);
  tcase_add_test (tcase, any_threads);
  tcase_add_test (tcase, memory);
  tcase_add_loop_test (tcase, refusals, 0, G_N_ELEMENTS (refused));
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("importance", cases, G_N_ELEMENTS (cases));
}
