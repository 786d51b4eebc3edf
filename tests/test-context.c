/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include <math.h>

/* What a codec sees in fit: test-probe calls back. */

static float *plane_values; /* rows x cols */
static guint64 n_rows, n_cols;
static guint n_probes;
static AfpPool *pool;

/* A plane of ROWS x COLS of kind scale, vectors of @vector, metric numbers @data, in the hands of test-probe. */
static void
probe (TestProbe func, const char *properties, guint64 rows, guint64 cols, guint vector,
       AfpMetricKind kind, const float *data)
{
  g_autofree char *call = g_strconcat ("test-probe ", properties, NULL);
  const AfpPlaneDesc desc = { .name = "p",
                              .kind = AFP_KIND_COEFFS,
                              .rows = rows,
                              .cols = cols,
                              .vector = vector,
                              .metric = kind,
                              .fallback = g_intern_string (call) };
  GError *error = NULL;
  g_autofree float *values = plane_values = test_values (rows * cols, rows * 1000 + cols);
  g_autoptr (GBytes) bytes = g_bytes_new_static (values, rows * cols * sizeof (float));
  g_autoptr (AfpMatrix) matrix = afp_matrix_new_dense (rows, cols, bytes);
  g_autoptr (AfpClaim) claim = afp_claim_new_fallback (&desc, &error);
  ck_assert_msg (claim != NULL, "%s", error ? error->message : "?");
  n_rows = rows;
  n_cols = cols;
  n_probes = 0;
  test_probe = func;
  g_autoptr (AfpPlane) plane =
      afp_claim_encode (claim, matrix, data, "tensor/weight/p", pool, &error);
  ck_assert_msg (plane != NULL, "%s", error ? error->message : "?");
  ck_assert_uint_eq (n_probes, 1);
  test_probe = NULL;
}

/* --- what is there ------------------------------------------------------------------------------------------------ */

static void
look_around (AfpContext *ctx)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  n_probes++;
  ck_assert_str_eq (afp_context_get_name (ctx), "tensor/weight/p");
  ck_assert_uint_eq (afp_layout_get_input (layout)->rows, n_rows);
  ck_assert_ptr_eq (afp_context_get_pool (ctx), pool);
  ck_assert (!afp_context_has_fit (ctx));
  ck_assert (!afp_context_is_decoding (ctx));
  ck_assert_ptr_null (afp_context_get_codes (ctx, 0)); /* of blocks */
  ck_assert_ptr_null (afp_context_get_values (ctx, 0));
  ck_assert_ptr_nonnull (afp_context_get_codes (ctx, 1)); /* of the tensor */
  ck_assert_ptr_null (afp_context_get_quantizer (ctx, 0));
  ck_assert_ptr_null (afp_context_get_child_metric (ctx, 1));
  for (guint i = 0; i < 3; i++)
    ck_assert_uint_eq (afp_context_get_codes (ctx, 1)[i], 0);
}

START_TEST (what_is_there)
{
  probe (look_around, "", 3, 5, 0, AFP_METRIC_NONE, NULL);
  pool = afp_pool_new (2);
  probe (look_around, "quantum=4", 3, 5, 0, AFP_METRIC_NONE, NULL);
  g_clear_pointer (&pool, afp_pool_unref);
}
END_TEST

static guint64 seed;

static void
keep_seed (AfpContext *ctx)
{
  n_probes++;
  seed = afp_context_get_seed (ctx);
}

/* FNV-1a of the name; the same whatever the plane is. */
static guint n_freed;

static void
count_freed (gpointer kept)
{
  n_freed += *(guint *) kept;
}

static void
keep_twice (AfpContext *ctx)
{
  static guint one = 1, ten = 10;

  n_probes++;
  ck_assert_ptr_null (afp_context_get_kept (ctx));
  afp_context_keep (ctx, &one, count_freed);
  ck_assert_ptr_eq (afp_context_get_kept (ctx), &one);
  afp_context_keep (ctx, &ten, count_freed);
  ck_assert_ptr_eq (afp_context_get_kept (ctx), &ten);
  ck_assert_uint_eq (n_freed, 1);
}

/* What is kept goes when it is replaced, and with its context. */
START_TEST (keeping)
{
  n_freed = 0;
  probe (keep_twice, "", 2, 4, 0, AFP_METRIC_NONE, NULL);
  ck_assert_uint_eq (n_freed, 11);
}
END_TEST

START_TEST (seeds)
{
  guint64 expected = G_GUINT64_CONSTANT (14695981039346656037);
  for (const char *p = "tensor/weight/p"; *p; p++)
    expected = (expected ^ (guint8) *p) * G_GUINT64_CONSTANT (1099511628211);
  probe (keep_seed, "", 3, 5, 0, AFP_METRIC_NONE, NULL);
  ck_assert (seed == expected);
  probe (keep_seed, "quantum=2", 1, 70, 0, AFP_METRIC_NONE, NULL);
  ck_assert (seed == expected);
  probe (keep_seed, "seed=0", 3, 5, 0, AFP_METRIC_NONE, NULL);
  ck_assert (seed == expected);
  probe (keep_seed, "seed=3", 3, 5, 0, AFP_METRIC_NONE, NULL);
  ck_assert (seed == (expected ^ (3 * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15))));
}
END_TEST

/* --- reading ------------------------------------------------------------------------------------------------------ */

static void
read_all (AfpContext *ctx)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const guint64 rows = afp_layout_get_rows (layout), cols = afp_layout_get_cols (layout);
  const guint64 padded = afp_layout_get_padded_cols (layout);
  g_autofree float *out = g_new (float, rows *padded);
  n_probes++;
  ck_assert (afp_context_read (ctx, 0, rows, 0, padded, out, NULL));
  for (guint64 r = 0; r < rows; r++)
    for (guint64 c = 0; c < padded; c++)
      must (out[r * padded + c] == (c < cols ? plane_values[r * cols + c] : 0));
}

START_TEST (reading)
{
  probe (read_all, "quantum=4", 3, 5, 0, AFP_METRIC_NONE, NULL);
  probe (read_all, "quantum=4 flat=true", 3, 5, 0, AFP_METRIC_NONE, NULL);
  probe (read_all, "quantum=7 flat=true", 7, 5, 0, AFP_METRIC_NONE, NULL);
  probe (read_all, "quantum=64", 1, 1, 0, AFP_METRIC_NONE, NULL);
}
END_TEST

static void
moments (AfpContext *ctx)
{
  const guint64 rows = afp_layout_get_rows (afp_context_get_layout (ctx)),
                cols = n_rows * n_cols / rows;
  g_autofree double *squares = g_new0 (double, rows);
  double mean, sum = 0, alone;
  float peak, largest = 0, peak_alone;
  n_probes++;
  ck_assert (afp_context_get_moments (ctx, &mean, &peak, squares, NULL));
  for (guint64 r = 0; r < rows; r++) {
    double row = 0;
    for (guint64 c = 0; c < cols; c++) {
      row += (double) plane_values[r * cols + c] * plane_values[r * cols + c];
      largest = MAX (largest, fabsf (plane_values[r * cols + c]));
    }
    must (fabs (squares[r] - row / (double) cols) <= 1e-12 * row);
    sum += row;
  }
  ck_assert (fabs (mean - sum / (double) (rows * cols)) < 1e-12 * sum);
  ck_assert (peak == largest);
  ck_assert (afp_context_get_moments (ctx, &alone, NULL, NULL, NULL) && alone == mean);
  ck_assert (afp_context_get_moments (ctx, NULL, &peak_alone, NULL, NULL) && peak_alone == peak);
}

START_TEST (moments_of_planes)
{
  static const guint64 sizes[][2] = {
    { 1, 1 }, { 3, 5 }, { 1, 200001 }, { 300, 301 }, { 70001, 1 }
  };
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    probe (moments, "quantum=8", sizes[i][0], sizes[i][1], 0, AFP_METRIC_NONE, NULL);
    probe (moments, "quantum=8 flat=true", sizes[i][0], sizes[i][1], 0, AFP_METRIC_NONE, NULL);
  }
}
END_TEST

static double kept[2];

static void
keep_moments (AfpContext *ctx)
{
  g_autofree double *squares = g_new0 (double, n_rows);
  n_probes++;
  ck_assert (afp_context_get_moments (ctx, &kept[0], NULL, squares, NULL));
  kept[1] = squares[n_rows - 1];
}

START_TEST (moments_for_any_threads)
{
  double first[2];
  for (guint threads = 1; threads <= 5; threads += 2) {
    pool = afp_pool_new (threads);
    probe (keep_moments, "", 1000, 333, 0, AFP_METRIC_NONE, NULL);
    g_clear_pointer (&pool, afp_pool_unref);
    if (threads == 1)
      memcpy (first, kept, sizeof kept);
    ck_assert_mem_eq (first, kept, sizeof kept);
  }
}
END_TEST

/* --- samples ------------------------------------------------------------------------------------------------------ */

static void
sample (AfpContext *ctx)
{
  const guint64 padded = afp_layout_get_padded_cols (afp_context_get_layout (ctx)),
                per_row = padded / 4;
  gsize n, m;
  n_probes++;
  /* All of them, in order, if there are no more. */
  g_autofree float *every = afp_context_sample (ctx, G_MAXSIZE, 4, &n, NULL, NULL);
  ck_assert_uint_eq (n, n_rows * per_row);
  for (gsize v = 0; v < n; v++)
    for (guint i = 0; i < 4; i++) {
      const guint64 col = v % per_row * 4 + i;
      must (every[4 * v + i] == (col < n_cols ? plane_values[v / per_row * n_cols + col] : 0));
    }
  /* Some: one from each stretch, the same each time. */
  for (gsize most = 1; most <= n; most = most * 3 + 1) {
    g_autofree float *some = afp_context_sample (ctx, most, 4, &m, NULL, NULL);
    g_autofree float *again = afp_context_sample (ctx, most, 4, &m, NULL, NULL);
    ck_assert_uint_eq (m, most);
    ck_assert_mem_eq (some, again, m * 16);
    for (gsize v = 0; v < m; v++) {
      gsize at = (gsize) ((double) v * (double) n / (double) m);
      const gsize end = (gsize) ((double) (v + 1) * (double) n / (double) m);
      while (at < end && memcmp (every + 4 * at, some + 4 * v, 16) != 0)
        at++;
      must (at < end);
    }
  }
  g_autofree float *none = afp_context_sample (ctx, 0, 4, &m, NULL, NULL);
  ck_assert (m == 0 && none != NULL);
}

START_TEST (samples)
{
  probe (sample, "quantum=8", 30, 40, 0, AFP_METRIC_NONE, NULL);
  probe (sample, "quantum=8", 13, 43, 0, AFP_METRIC_NONE, NULL);
  probe (sample, "quantum=4", 1, 3, 0, AFP_METRIC_NONE, NULL);
  probe (sample, "quantum=12", 500, 11, 0, AFP_METRIC_NONE, NULL);
}
END_TEST

/* --- metrics of regrouped vectors --------------------------------------------------------------------------------- */

static const float *metric_numbers;
static AfpMetricKind own_kind;
static guint own_length;

/* The weight of two numbers of a row in the plane's own metric; 0 between vectors. */
static float
weight_between (guint64 row, guint64 a, guint64 b)
{
  const guint64 vector = (row * n_cols + a) / own_length;
  const float *g = metric_numbers + vector * afp_metric_stride (own_kind, own_length);
  const guint i = (guint) (a % own_length), j = (guint) (b % own_length);
  if (a / own_length != b / own_length || (own_kind != AFP_METRIC_MATRIX && i != j))
    return 0;
  return own_kind == AFP_METRIC_SCALAR     ? g[0]
         : own_kind == AFP_METRIC_DIAGONAL ? g[i]
                                           : g[i * own_length + j];
}

static void
check_metric (AfpContext *ctx, guint length)
{
  const AfpMetricKind kind = afp_context_get_metric_kind (ctx, length);
  const gsize stride = afp_metric_stride (kind, length);
  const guint64 per_row = afp_layout_get_padded_cols (afp_context_get_layout (ctx)) / length;
  gsize n;
  g_autofree float *data = NULL;
  g_autofree G_GNUC_UNUSED float *vectors =
      afp_context_sample (ctx, G_MAXSIZE, length, &n, &data, NULL);
  ck_assert_int_eq (data != NULL, kind != AFP_METRIC_NONE);
  if (length == own_length || (own_length % length == 0))
    ck_assert_int_eq (kind, own_kind);
  else
    ck_assert_int_eq (kind, AFP_METRIC_DIAGONAL);
  for (gsize v = 0; v < n && data; v++)
    for (guint i = 0; i < length; i++)
      for (guint j = 0; j < length; j++) {
        const guint64 row = v / per_row, a = v % per_row * length + i, b = v % per_row * length + j;
        const float *g = data + v * stride;
        const float got = kind == AFP_METRIC_MATRIX     ? g[i * length + j]
                          : i != j                      ? 0
                          : kind == AFP_METRIC_DIAGONAL ? g[i]
                                                        : g[0];
        if (kind == AFP_METRIC_DIAGONAL && i != j)
          continue; /* what crosses is left out */
        must (got == (a < n_cols && b < n_cols ? weight_between (row, a, b) : 0));
      }
}

static void
metrics (AfpContext *ctx)
{
  n_probes++;
  for (guint length = 1; length <= 12; length++)
    if (12 % length == 0)
      check_metric (ctx, length);
}

START_TEST (regrouped_metrics)
{
  static const guint lengths[] = { 1, 2, 3, 4, 6, 8, 12 };
  for (guint l = 0; l < G_N_ELEMENTS (lengths); l++)
    for (guint kind = AFP_METRIC_SCALAR; kind <= AFP_METRIC_MATRIX; kind++)
      for (guint cols = 24; cols <= 48; cols += 24) {
        const guint64 rows = 5;
        own_length = lengths[l];
        own_kind = (AfpMetricKind) kind;
        g_autofree float *data =
            test_values (rows * cols / own_length * afp_metric_stride (own_kind, own_length), l);
        metric_numbers = data;
        probe (metrics, "quantum=12", rows, cols, own_length, own_kind, data);
      }
}
END_TEST

static void
no_metric (AfpContext *ctx)
{
  gsize n;
  float *data = (float *) &n;
  n_probes++;
  ck_assert_int_eq (afp_context_get_metric_kind (ctx, 4), AFP_METRIC_NONE);
  g_autofree G_GNUC_UNUSED float *vectors = afp_context_sample (ctx, 5, 4, &n, &data, NULL);
  ck_assert_ptr_null (data);
}

/* A metric that is declared but was not given (a plane out of a file) is none. */
START_TEST (metrics_that_are_missing)
{
  probe (no_metric, "quantum=4", 4, 8, 4, AFP_METRIC_DIAGONAL, NULL);
  probe (no_metric, "quantum=4", 4, 8, 0, AFP_METRIC_NONE, NULL);
}
END_TEST

/* --- data that cannot be read ------------------------------------------------------------------------------------- */

static gboolean
damaged (gpointer user_data, guint64 row, guint64 rows, guint64 col, guint64 cols, float *out,
         GError **error)
{
  g_set_error_literal (error, AFP_ERROR, AFP_ERROR_FORMAT, "no such row");
  return FALSE;
}

static void
fail_to_read (AfpContext *ctx)
{
  GError *error = NULL;
  double mean;
  float out[4];
  gsize n = 77;
  n_probes++;
  ck_assert (!afp_context_read (ctx, 0, 1, 0, 4, out, &error));
  assert_error (error, AFP_ERROR_FORMAT, "no such row");
  ck_assert (!afp_context_get_moments (ctx, &mean, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "no such row");
  ck_assert_ptr_null (afp_context_sample (ctx, 3, 4, &n, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "no such row");
}

START_TEST (damaged_data)
{
  const AfpPlaneDesc desc = {
    .name = "p", .kind = AFP_KIND_COEFFS, .rows = 9, .cols = 8, .fallback = "test-probe quantum=4"
  };
  GError *error = NULL;
  g_autoptr (AfpMatrix) matrix = afp_matrix_new (9, 8, damaged, NULL, NULL);
  g_autoptr (AfpClaim) claim = afp_claim_new_fallback (&desc, NULL);
  test_probe = fail_to_read;
  n_probes = 0;
  ck_assert_ptr_null (afp_claim_encode (claim, matrix, NULL, "tensor/weight/p", NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "tensor/weight/p", "no such row");
  ck_assert_uint_eq (n_probes, 1);
  test_probe = NULL;
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("context");
  tcase_add_test (tcase, what_is_there);
  tcase_add_test (tcase, keeping);
  tcase_add_test (tcase, seeds);
  tcase_add_test (tcase, reading);
  tcase_add_test (tcase, moments_of_planes);
  tcase_add_test (tcase, moments_for_any_threads);
  tcase_add_test (tcase, samples);
  tcase_add_test (tcase, regrouped_metrics);
  tcase_add_test (tcase, metrics_that_are_missing);
  tcase_add_test (tcase, damaged_data);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("context", cases, G_N_ELEMENTS (cases));
}
