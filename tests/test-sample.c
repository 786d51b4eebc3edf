/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include "afp-codec-private.h"

#include <math.h>

/* Which vectors a fit sees: evenly, or the likelier the more they weigh. test-probe calls back. */

#define MANY 400 /* draws of the same plane, by another name each */

static guint64 n_rows, n_cols;
static guint n_probes, length;
static gsize most;
static float *columns; /* weights of the tensor's columns, or NULL */
static const char *plane_name;

static void
run_probe (TestProbe func, const char *properties)
{
  g_autofree char *call = g_strconcat ("test-probe ", properties, NULL);
  const AfpPlaneDesc desc = { .name = "p",
                              .kind = AFP_KIND_COEFFS,
                              .rows = n_rows,
                              .cols = n_cols,
                              .fallback = g_intern_string (call) };
  GError *error = NULL;
  g_autofree float *values = test_values (n_rows * n_cols, 7);
  g_autoptr (GBytes) bytes = g_bytes_new_static (values, n_rows * n_cols * sizeof (float));
  g_autoptr (AfpMatrix) matrix = afp_matrix_new_dense (n_rows, n_cols, bytes);
  g_autoptr (AfpClaim) claim = afp_claim_new_fallback (&desc, &error);

  ck_assert_msg (claim != NULL, "%s", error ? error->message : "?");
  n_probes = 0;
  test_probe = func;
  g_autoptr (AfpPlane) plane = afp_claim_encode (claim, matrix, NULL, plane_name, NULL, &error);
  ck_assert_msg (plane != NULL, "%s", error ? error->message : "?");
  ck_assert_uint_eq (n_probes, 1);
  test_probe = NULL;
}

/* In the callback: the columns weigh what @columns says. */
static void
weigh (AfpContext *ctx)
{
  n_probes++;
  if (columns)
    afp_context_set_columns (ctx, g_memdup2 (columns, n_cols * sizeof *columns), n_cols, 0.01f);
}

static void
check_draws (AfpContext *ctx, const AfpDraw *draws, gsize n)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);

  for (gsize i = 0; i < n; i++) {
    must (draws[i].row < afp_layout_get_rows (layout));
    must (draws[i].col < afp_layout_get_padded_cols (layout) && draws[i].col % length == 0);
    must (draws[i].factor > 0 && isfinite (draws[i].factor));
    if (i > 0)
      must (draws[i - 1].row < draws[i].row ||
            (draws[i - 1].row == draws[i].row && draws[i - 1].col < draws[i].col));
  }
}

static const struct {
  const char *properties;
  guint64 rows, cols;
  guint length;
} shapes[] = {
  { "quantum=4", 60, 40, 4 },
  { "quantum=4", 60, 43, 2 },
  { "quantum=4 flat=true", 60, 40, 4 },
  { "quantum=4 flat=true", 60, 42, 4 }, /* vectors cross rows */
  { "quantum=4 turned=true", 60, 40, 4 },
  { "quantum=4 turned=true", 61, 40, 1 },
};

static void
choose_shape (guint i)
{
  n_rows = shapes[i].rows;
  n_cols = shapes[i].cols;
  length = shapes[i].length;
}

/* One column counts for nearly all. */
static float *
one_heavy_column (void)
{
  float *w = g_new (float, n_cols);

  for (guint64 c = 0; c < n_cols; c++)
    w[c] = c == 9 ? (float) n_cols * 0.999f : 0.001f;
  return w;
}

/* --- by weight ------------------------------------------------------------------------------------------------------ */

static double sum_drawn, sum_all, n_drawn;

/* Sum over the plane of the metric, and what the draws make of it. */
static void
estimate (AfpContext *ctx)
{
  weigh (ctx);
  const guint64 per_row = afp_layout_get_padded_cols (afp_context_get_layout (ctx)) / length;
  const guint64 total = afp_layout_get_rows (afp_context_get_layout (ctx)) * per_row;
  gsize n;
  g_autofree AfpDraw *draws = afp_context_draw (ctx, most, length, TRUE, &n);
  float one[8];

  check_draws (ctx, draws, n);
  ck_assert (n <= most && n + 1 >= most);
  for (gsize i = 0; i < n; i++) {
    afp_context_fill_metric (ctx, length, draws[i].row, draws[i].col, 1, one);
    sum_drawn += (double) one[0] * (double) draws[i].factor * (double) total / (double) most;
  }
  sum_all = 0;
  for (guint64 i = 0; i < total; i++) {
    afp_context_fill_metric (ctx, length, i / per_row, i % per_row * length, 1, one);
    sum_all += (double) one[0];
  }
  n_drawn += (double) n;
}

START_TEST (sums_are_right_on_average)
{
  choose_shape ((guint) _i);
  g_autofree float *w = g_new (float, n_cols);
  columns = w;
  for (guint64 c = 0; c < n_cols; c++)
    w[c] = (float) (c % 7 == 3 ? 9 : 0.1 + 0.02 * (double) c);
  most = 100;
  sum_drawn = n_drawn = 0;
  for (guint i = 0; i < MANY; i++) {
    g_autofree char *name = g_strdup_printf ("tensor%u/weight", i);
    plane_name = name;
    run_probe (estimate, shapes[_i].properties);
  }
  ck_assert_msg (fabs (sum_drawn / MANY / sum_all - 1) < 0.03, "%g of %g", sum_drawn / MANY,
                 sum_all);
  ck_assert (n_drawn / MANY > (double) most - 0.9);
}
END_TEST

static gsize n_heavy, n_others, n_there;

static void
count_heavy (AfpContext *ctx)
{
  weigh (ctx);
  gsize n;
  g_autofree AfpDraw *draws = afp_context_draw (ctx, most, length, TRUE, &n);
  g_autofree AfpDraw *again = afp_context_draw (ctx, most, length, TRUE, &n);
  for (gsize i = 0; i < n; i++)
    must (draws[i].row == again[i].row && draws[i].col == again[i].col);
  const gboolean turned = afp_context_get_layout (ctx)->transposed;

  n_heavy = n_others = 0;
  n_there = turned ? afp_layout_get_padded_cols (afp_context_get_layout (ctx)) / length : n_rows;
  for (gsize i = 0; i < n; i++) {
    const guint64 first = (turned ? draws[i].row : draws[i].col) % n_cols;
    if (first <= 9 && first + (turned ? 1 : length) > 9)
      n_heavy++;
    else
      n_others++;
  }
}

/* Where one column weighs all, its vectors are all there, each once; the others are not forgotten. */
START_TEST (what_weighs_most)
{
  choose_shape ((guint) _i);
  g_autofree float *w = one_heavy_column ();
  columns = w;
  most = 200;
  plane_name = "tensor/weight";
  run_probe (count_heavy, shapes[_i].properties);
  if (n_cols % length == 0 || !strstr (shapes[_i].properties, "flat"))
    ck_assert_msg (n_heavy == n_there, "%zu of %zu", n_heavy, n_there);
  ck_assert_uint_gt (n_others, most / 2);
}
END_TEST

static void
sample_vectors (AfpContext *ctx)
{
  weigh (ctx);
  gsize n, m;
  g_autofree float *metric = NULL;
  g_autofree float *x = afp_context_sample_by_weight (ctx, most, length, &n, &metric, NULL);
  g_autofree AfpDraw *draws = afp_context_draw (ctx, most, length, TRUE, &m);
  float y[8], g[8];

  ck_assert (x && metric && n == m);
  const gsize stride = afp_metric_stride (afp_context_get_metric_kind (ctx, length), length);
  for (gsize i = 0; i < n; i++) {
    const guint64 col = MIN (draws[i].col, afp_layout_get_cols (afp_context_get_layout (ctx)));
    ck_assert (afp_matrix_read (ctx->matrix, draws[i].row, 1, col, length, y, NULL));
    ck_assert_mem_eq (y, x + i * length, length * sizeof *y);
    afp_context_read_metric (ctx, draws[i].row, draws[i].col, length, g);
    for (gsize j = 0; j < stride; j++)
      must (metric[i * stride + j] == g[j] * draws[i].factor);
  }
}

START_TEST (vectors_and_metric)
{
  choose_shape ((guint) _i);
  g_autofree float *w = one_heavy_column ();
  columns = w;
  most = 77;
  plane_name = "tensor/weight";
  run_probe (sample_vectors, shapes[_i].properties);
}
END_TEST

/* --- where weight says nothing -------------------------------------------------------------------------------------- */

static void
draw_evenly (AfpContext *ctx)
{
  weigh (ctx);
  const guint64 per_row = afp_layout_get_padded_cols (afp_context_get_layout (ctx)) / length;
  const guint64 total = afp_layout_get_rows (afp_context_get_layout (ctx)) * per_row;
  const guint64 expected = MIN (total, most);
  gsize n;
  g_autofree AfpDraw *draws = afp_context_draw (ctx, most, length, columns == NULL, &n);

  ck_assert_uint_eq (n, expected);
  check_draws (ctx, draws, n);
  for (gsize i = 0; i < n; i++) {
    const guint64 index = draws[i].row * per_row + draws[i].col / length;
    must (draws[i].factor == 1);
    must (index >= (guint64) floor ((double) i * (double) total / (double) n));
    must (index <= (guint64) ceil ((double) (i + 1) * (double) total / (double) n));
  }
}

static const gsize counts[] = { 0, 1, 13, 599, 600, 601, G_MAXUINT32 };

/* Without moments, or where it is not asked for. */
START_TEST (even_draws)
{
  for (guint shape = 0; shape < G_N_ELEMENTS (shapes); shape++)
    for (gint with = 0; with < 2; with++) {
      choose_shape (shape);
      g_autofree float *w = with ? one_heavy_column () : NULL;
      columns = w;
      most = counts[_i];
      plane_name = "tensor/weight";
      run_probe (draw_evenly, shapes[shape].properties);
    }
}
END_TEST

static void
draw_all (AfpContext *ctx)
{
  weigh (ctx);
  gsize n, m;
  g_autofree float *metric = NULL, *own = NULL;
  g_autofree AfpDraw *draws = afp_context_draw (ctx, most, length, TRUE, &n);
  g_autofree float *x = afp_context_sample_by_weight (ctx, most, length, &m, &metric, NULL);
  g_autofree float *y = afp_context_sample (ctx, most, length, &m, &own, NULL);

  ck_assert (n == m);
  for (gsize i = 0; i < n; i++)
    must (draws[i].factor == 1);
  ck_assert_mem_eq (x, y, n * length * sizeof *x);
  ck_assert_mem_eq (metric, own, n * sizeof *metric);
}

/* There are no more: all of them, as they weigh. */
START_TEST (no_choice)
{
  choose_shape ((guint) _i);
  g_autofree float *w = one_heavy_column ();
  columns = w;
  most = 100000;
  plane_name = "tensor/weight";
  run_probe (draw_all, shapes[_i].properties);
}
END_TEST

static void
draw_none (AfpContext *ctx)
{
  weigh (ctx);
  gsize n = 77;
  g_autofree AfpDraw *draws = afp_context_draw (ctx, 0, length, TRUE, &n);

  ck_assert (draws && n == 0);
}

static const float nothing[] = { 0, 1e-30f, 1e30f };

/* Weights that are all alike, or next to nothing, draw as if there were none, nearly. */
START_TEST (weights_that_say_nothing)
{
  choose_shape (0);
  g_autofree float *w = g_new (float, n_cols);
  columns = w;
  for (guint64 c = 0; c < n_cols; c++)
    w[c] = nothing[_i];
  most = 100;
  plane_name = "tensor/weight";
  run_probe (sample_vectors, shapes[0].properties);
  run_probe (draw_none, shapes[0].properties);
}
END_TEST

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
  float *metric = NULL;
  gsize n;

  weigh (ctx);
  ck_assert_ptr_null (afp_context_sample_by_weight (ctx, most, length, &n, &metric, &error));
  assert_error (error, AFP_ERROR_FORMAT, "no such row");
  ck_assert_ptr_null (metric);
}

START_TEST (damaged_data)
{
  const AfpPlaneDesc desc = {
    .name = "p", .kind = AFP_KIND_COEFFS, .rows = 60, .cols = 40, .fallback = "test-probe quantum=4"
  };
  choose_shape (0);
  g_autofree float *w = one_heavy_column ();
  columns = w;
  g_autoptr (AfpMatrix) matrix = afp_matrix_new (60, 40, damaged, NULL, NULL);
  g_autoptr (AfpClaim) claim = afp_claim_new_fallback (&desc, NULL);
  GError *error = NULL;

  most = (gsize) _i;
  n_probes = 0;
  test_probe = fail_to_read;
  g_autoptr (AfpPlane) plane = afp_claim_encode (claim, matrix, NULL, "tensor/p", NULL, &error);
  ck_assert (!plane && n_probes == 1);
  g_clear_error (&error);
  test_probe = NULL;
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("sample");
  tcase_add_loop_test (tcase, sums_are_right_on_average, 0, G_N_ELEMENTS (shapes));
  tcase_add_loop_test (tcase, what_weighs_most, 0, G_N_ELEMENTS (shapes));
  tcase_add_loop_test (tcase, vectors_and_metric, 0, G_N_ELEMENTS (shapes));
  tcase_add_loop_test (tcase, even_draws, 0, G_N_ELEMENTS (counts));
  tcase_add_loop_test (tcase, no_choice, 0, G_N_ELEMENTS (shapes));
  tcase_add_loop_test (tcase, weights_that_say_nothing, 0, G_N_ELEMENTS (nothing));
  tcase_add_loop_test (tcase, damaged_data, 1, 3);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("sample", cases, G_N_ELEMENTS (cases));
}
