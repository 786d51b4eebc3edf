/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

/* --- raw arrays through their view -------------------------------------------------------------------------------- */

/* Element (row, col) by the meaning of the view: which axes are outputs, which inputs. */
static float
element_of (AfpSpec *spec, const float *values, guint64 row, guint64 col)
{
  const AfpView *view = afp_spec_get_view (spec);
  const guint rank = afp_spec_get_rank (spec);
  guint64 first = rank >= 2 && view->input_first ? col : row,
          second = rank >= 2 && view->input_first ? row : col;
  guint64 place[AFP_MAX_RANK] = { 0 }, index = 0;

  if (rank < 2)
    return values[col];
  for (guint a = view->split; a-- > 0; first /= afp_spec_get_shape (spec)[a])
    place[a] = first % afp_spec_get_shape (spec)[a];
  for (guint a = rank; a-- > view->split; second /= afp_spec_get_shape (spec)[a])
    place[a] = second % afp_spec_get_shape (spec)[a];
  for (guint a = 0; a < rank; a++)
    index = index * afp_spec_get_shape (spec)[a] + place[a];
  return values[index];
}

static const struct {
  const char *shape, *view;
} shapes[] = {
  { "1x1", NULL },        { "5x7", "out:1" },      { "5x7", "in:1" },
  { "3x3x4x6", "in:3" },  { "3x3x4x6", "in:2/4" }, { "6x4x3x3", "out:1" },
  { "6x4x3x3", "out:3" }, { "2x3x4x5x2", "in:4" }, { "300x3", "in:1" },
  { "3x300", "in:1" },    { "513x2", "out:1" },    { "11", NULL },
  { "", NULL },           { "1x97", "in:1" },      { "97x1", "in:1" },
};

static void
check_rectangle (AfpMatrix *matrix, AfpSpec *spec, const float *values, guint64 row, guint64 n_rows,
                 guint64 col, guint64 n_cols)
{
  g_autofree float *out = g_new (float, n_rows *n_cols + 1);
  GError *error = NULL;
  out[n_rows * n_cols] = 12345;
  for (guint64 i = 0; i < n_rows * n_cols; i++)
    out[i] = 99;
  ck_assert (afp_matrix_read (matrix, row, n_rows, col, n_cols, out, &error));
  for (guint64 r = 0; r < n_rows; r++)
    for (guint64 c = 0; c < n_cols; c++) {
      const float expected =
          col + c < afp_matrix_get_cols (matrix) ? element_of (spec, values, row + r, col + c) : 0;
      if (out[r * n_cols + c] != expected)
        ck_abort_msg ("(%u, %u)", (guint) (row + r), (guint) (col + c));
    }
  ck_assert (out[n_rows * n_cols] == 12345);
}

static void
check_view (AfpDType dtype, const char *shape, const char *view)
{
  g_autoptr (AfpSpec) spec = test_spec ("t", dtype, shape, view);
  const gsize n = afp_spec_get_n_elements (spec), n_bytes = afp_spec_get_n_bytes (spec);
  g_autofree float *values = g_new (float, n);
  g_autofree guint8 *unaligned = g_malloc (n_bytes + 1);
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  for (gsize i = 0; i < n; i++)
    values[i] = (float) (i % 251) - 125; /* exact in every dtype */
  afp_dtype_from_f32 (dtype, values, unaligned + 1, 1, n);
  g_autoptr (GBytes) raw = g_bytes_new_static (unaligned + 1, n_bytes);
  g_autoptr (AfpMatrix) matrix = afp_matrix_new_raw (spec, raw);
  const guint64 rows = afp_matrix_get_rows (matrix), cols = afp_matrix_get_cols (matrix);
  ck_assert_uint_eq (rows, afp_spec_get_rows (spec));
  ck_assert_uint_eq (cols, afp_spec_get_cols (spec));
  check_rectangle (matrix, spec, values, 0, rows, 0, cols);
  check_rectangle (matrix, spec, values, 0, rows, 0, cols + 3);
  check_rectangle (matrix, spec, values, 0, rows, cols, 2);
  for (guint i = 0; i < 30; i++) {
    const guint64 row = g_rand_int_range (rand, 0, (gint32) rows),
                  col = g_rand_int_range (rand, 0, (gint32) cols + 1);
    check_rectangle (matrix, spec, values, row,
                     g_rand_int_range (rand, 0, (gint32) (rows - row) + 1), col,
                     g_rand_int_range (rand, 0, (gint32) (cols - col) + 5));
  }
  for (guint threads = 1; threads <= 5; threads += threads == 1 ? 1 : 3) { /* and back */
    g_autoptr (AfpPool) pool = afp_pool_new (threads);
    g_autoptr (GBytes) back = afp_matrix_to_raw (matrix, spec, dtype, pool, NULL);
    ck_assert (g_bytes_equal (back, raw));
  }
}

START_TEST (views_of_every_dtype)
{
  static const AfpDType types[] = { AFP_DTYPE_F32, AFP_DTYPE_F64, AFP_DTYPE_F16, AFP_DTYPE_BF16 };
  for (guint t = 0; t < G_N_ELEMENTS (types); t++)
    for (guint s = 0; s < G_N_ELEMENTS (shapes); s++)
      check_view (types[t], shapes[s].shape, shapes[s].view);
}
END_TEST

/* Keras keeps kernels (in, out), PyTorch weights (out, in): the same layer gives the same matrix. */
START_TEST (two_frameworks)
{
  float keras[3][5], torch[5][3];
  for (guint i = 0; i < 3; i++)
    for (guint o = 0; o < 5; o++)
      keras[i][o] = torch[o][i] = (float) (10 * i + o);
  g_autoptr (AfpTensor) a = test_tensor_from ("a", "3x5", "in:1", &keras[0][0]);
  g_autoptr (AfpTensor) b = test_tensor_from ("b", "5x3", "out:1", &torch[0][0]);
  g_autofree float *x = test_decode (a), *y = test_decode (b);
  ck_assert_mem_eq (x, y, sizeof torch);
  ck_assert_mem_eq (x, torch, sizeof torch);
}
END_TEST

/* Another dtype than that of the spec. */
START_TEST (to_raw_in_another_dtype)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "7x5", "in:1", 1);
  g_autofree float *values = test_decode (tensor);
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  g_autoptr (AfpMatrix) matrix = afp_plane_open (afp_tensor_get_root (tensor), spec, NULL);
  g_autoptr (GBytes) halves = afp_matrix_to_raw (matrix, spec, AFP_DTYPE_F16, NULL, NULL);
  ck_assert_uint_eq (g_bytes_get_size (halves), 70);
  const guint16 *h = g_bytes_get_data (halves, NULL);
  for (guint i = 0; i < 7; i++)
    for (guint o = 0; o < 5; o++)
      ck_assert_uint_eq (h[i * 5 + o], afp_f32_to_f16 (values[o * 7 + i]));
}
END_TEST

/* --- dense, reshaped, on demand ----------------------------------------------------------------------------------- */

static AfpMatrix *
counting_matrix (guint64 rows, guint64 cols)
{
  float *values = g_new (float, rows *cols + 1);
  for (guint64 i = 0; i < rows * cols; i++)
    values[i] = (float) i;
  g_autoptr (GBytes) bytes = g_bytes_new_take (values, rows * cols * sizeof (float));
  return afp_matrix_new_dense (rows, cols, bytes);
}

START_TEST (reshape)
{
  static const guint64 pairs[][2] = { { 1, 60 }, { 60, 1 }, { 2, 30 }, { 3, 20 },
                                      { 4, 15 }, { 5, 12 }, { 6, 10 }, { 10, 6 } };
  for (guint a = 0; a < G_N_ELEMENTS (pairs); a++)
    for (guint b = 0; b < G_N_ELEMENTS (pairs); b++) {
      const guint64 rows = pairs[b][0], cols = pairs[b][1];
      g_autoptr (AfpMatrix) inner = counting_matrix (pairs[a][0], pairs[a][1]);
      g_autoptr (AfpMatrix) matrix = afp_matrix_reshape (inner, rows, cols);
      ck_assert_int_eq (matrix == inner, a == b);
      for (guint64 row = 0; row < rows; row++)
        for (guint64 n_rows = 1; n_rows <= rows - row; n_rows++)
          for (guint64 col = 0; col < cols; col += 1 + cols / 7) {
            const guint64 n_cols = cols - col + 1; /* one past the edge */
            float out[200];
            ck_assert (afp_matrix_read (matrix, row, n_rows, col, n_cols, out, NULL));
            for (guint64 r = 0; r < n_rows; r++)
              for (guint64 c = 0; c < n_cols; c++)
                if (out[r * n_cols + c] !=
                    (c + 1 == n_cols ? 0 : (float) ((row + r) * cols + col + c)))
                  ck_abort_msg ("%u x %u as %u x %u", (guint) pairs[a][0], (guint) pairs[a][1],
                                (guint) rows, (guint) cols);
          }
    }
}
END_TEST

START_TEST (transpose)
{
  g_autoptr (AfpMatrix) inner = counting_matrix (7, 11);
  g_autoptr (AfpMatrix) matrix = afp_matrix_transpose (inner);
  float out[11 * 8];

  ck_assert_uint_eq (afp_matrix_get_rows (matrix), 11);
  for (guint64 row = 0; row < 11; row++)
    for (guint64 n_rows = 1; n_rows <= 11 - row; n_rows++)
      for (guint64 col = 0; col < 7; col++) {
        const guint64 n_cols = 8 - col; /* one past the edge */
        ck_assert (afp_matrix_read (matrix, row, n_rows, col, n_cols, out, NULL));
        for (guint64 r = 0; r < n_rows; r++)
          for (guint64 c = 0; c < n_cols; c++)
            if (out[r * n_cols + c] != (c + 1 == n_cols ? 0 : (float) ((col + c) * 11 + row + r)))
              ck_abort_msg ("%u, %u", (guint) (row + r), (guint) (col + c));
      }
}
END_TEST

START_TEST (reshape_of_a_reshape)
{
  g_autoptr (AfpMatrix) inner = counting_matrix (7, 11);
  g_autoptr (AfpMatrix) flat = afp_matrix_reshape (inner, 1, 77);
  g_autoptr (AfpMatrix) tall = afp_matrix_reshape (flat, 11, 7);
  g_autoptr (GBytes) all = afp_matrix_to_dense (tall, NULL, NULL);
  const float *values = g_bytes_get_data (all, NULL);
  for (guint i = 0; i < 77; i++)
    ck_assert (values[i] == (float) i);
}
END_TEST

/* Larger than a tile, in either direction: the same for any number of threads. */
START_TEST (to_dense)
{
  static const guint64 sizes[][2] = { { 1, 200001 }, { 200001, 1 }, { 17, 9001 },
                                      { 3, 70000 },  { 1, 1 },      { 8, 8192 } };
  for (guint s = 0; s < G_N_ELEMENTS (sizes); s++)
    for (guint threads = 0; threads < 4; threads++) {
      g_autoptr (AfpMatrix) matrix = counting_matrix (sizes[s][0], sizes[s][1]);
      g_autoptr (AfpPool) pool = threads ? afp_pool_new (threads) : NULL;
      g_autoptr (GBytes) all = afp_matrix_to_dense (matrix, pool, NULL);
      const float *values = g_bytes_get_data (all, NULL);
      ck_assert_uint_eq (g_bytes_get_size (all), sizes[s][0] * sizes[s][1] * 4);
      for (guint64 i = 0; i < sizes[s][0] * sizes[s][1]; i++)
        if (values[i] != (float) i)
          ck_abort_msg ("element %u of %u x %u", (guint) i, (guint) sizes[s][0],
                        (guint) sizes[s][1]);
    }
}
END_TEST

START_TEST (nothing_in_it)
{
  static const guint64 sizes[][2] = { { 0, 0 }, { 0, 5 }, { 5, 0 } };
  for (guint s = 0; s < G_N_ELEMENTS (sizes); s++) {
    g_autoptr (AfpMatrix) matrix = counting_matrix (sizes[s][0], sizes[s][1]);
    g_autoptr (GBytes) all = afp_matrix_to_dense (matrix, NULL, NULL);
    float out[10] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    ck_assert_uint_eq (g_bytes_get_size (all), 0);
    ck_assert (afp_matrix_read (matrix, 0, sizes[s][0], 0, 2, out, NULL));
    for (guint i = 0; i < 10; i++)
      ck_assert (out[i] == (i < 2 * sizes[s][0] ? 0 : 1));
  }
  g_autoptr (AfpTensor) empty = test_tensor ("e", AFP_DTYPE_F32, "3x0", "in:1", 1);
  g_autoptr (AfpMatrix) raw = afp_matrix_new_raw (afp_tensor_get_spec (empty),
                                                  afp_plane_get_data (afp_tensor_get_root (empty)));
  g_autoptr (GBytes) back =
      afp_matrix_to_raw (raw, afp_tensor_get_spec (empty), AFP_DTYPE_F32, NULL, NULL);
  ck_assert_uint_eq (g_bytes_get_size (back), 0);
}
END_TEST

typedef struct {
  guint64 bad_row;
  guint n_reads, n_frees;
} Lazy;

static gboolean
lazy_read (gpointer user_data, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols, float *out,
           GError **error)
{
  Lazy *lazy = user_data;
  g_atomic_int_inc (&lazy->n_reads);
  if (lazy->bad_row >= row && lazy->bad_row < row + n_rows) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "row %u is damaged", (guint) lazy->bad_row);
    return FALSE;
  }
  for (guint64 i = 0; i < n_rows * n_cols; i++)
    out[i] = (float) (row + i / n_cols);
  return TRUE;
}

static void
lazy_free (gpointer user_data)
{
  ((Lazy *) user_data)->n_frees++;
}

START_TEST (errors_come_through)
{
  Lazy lazy = { .bad_row = 4000 };
  GError *error = NULL;
  float out[64];
  for (guint threads = 1; threads <= 5; threads += 2) {
    g_autoptr (AfpPool) pool = afp_pool_new (threads);
    AfpMatrix *matrix = afp_matrix_new (6000, 60, lazy_read, &lazy, lazy_free);
    g_autoptr (AfpMatrix) shaped = afp_matrix_reshape (matrix, 60, 6000);
    g_autoptr (AfpSpec) spec = test_spec ("t", AFP_DTYPE_F32, "60x6000", "in:1");
    g_autoptr (AfpSpec) straight = test_spec ("t", AFP_DTYPE_F32, "6000x60", NULL);
    g_autoptr (AfpMatrix) refused = afp_matrix_reshape (matrix, 1, 360000);
    ck_assert_ptr_null (afp_matrix_to_dense (matrix, pool, &error));
    assert_error (error, AFP_ERROR_FORMAT, "row 4000 is damaged");
    ck_assert_ptr_null (afp_matrix_to_dense (shaped, pool, &error));
    assert_error (error, AFP_ERROR_FORMAT, "row 4000 is damaged");
    ck_assert_ptr_null (afp_matrix_to_dense (refused, pool, &error));
    assert_error (error, AFP_ERROR_FORMAT, "row 4000 is damaged");
    ck_assert_ptr_null (afp_matrix_to_raw (matrix, spec, AFP_DTYPE_F16, pool, &error));
    assert_error (error, AFP_ERROR_FORMAT, "row 4000 is damaged");
    ck_assert_ptr_null (afp_matrix_to_raw (matrix, straight, AFP_DTYPE_F32, pool, &error));
    assert_error (error, AFP_ERROR_FORMAT, "row 4000 is damaged");
    ck_assert (!afp_matrix_read (matrix, 4000, 1, 59, 5, out, &error));
    assert_error (error, AFP_ERROR_FORMAT, "row 4000 is damaged");
    ck_assert (afp_matrix_read (matrix, 3999, 1, 0, 60, out, &error));
    ck_assert (afp_matrix_read (matrix, 4000, 1, 60, 5, out, &error)); /* nothing of it is inside */
    afp_matrix_unref (matrix);
  }
  ck_assert_uint_eq (lazy.n_frees, 3);
}
END_TEST

START_TEST (empty_rectangles_read_nothing)
{
  Lazy lazy = { .bad_row = 0 };
  g_autoptr (AfpMatrix) matrix = afp_matrix_new (3, 3, lazy_read, &lazy, NULL);
  float out = 5;
  ck_assert (afp_matrix_read (matrix, 0, 0, 0, 3, &out, NULL));
  ck_assert (afp_matrix_read (matrix, 3, 0, 3, 0, &out, NULL));
  ck_assert (afp_matrix_read (matrix, 1, 2, 2, 0, &out, NULL));
  ck_assert (out == 5 && lazy.n_reads == 0);
}
END_TEST

/* Elements that share blocks with their neighbours, through both kinds of view. */
START_TEST (arrays_of_blocks)
{
  static const char *const views[] = { "out:1", "in:1", "out:2", "in:2" };
  for (guint v = 0; v < G_N_ELEMENTS (views); v++) {
    g_autoptr (AfpSpec) spec = test_spec ("t", AFP_DTYPE_Q8_0, "3x5x64", views[v]);
    const gsize n = afp_spec_get_n_elements (spec), n_bytes = afp_spec_get_n_bytes (spec);
    g_autofree guint8 *array = g_malloc (n_bytes);
    g_autofree float *values = g_new (float, n);
    for (gsize i = 0; i < n_bytes; i++)
      array[i] = i % 34 == 1 ? 0x3c : i % 34 == 0 ? 0 : (guint8) (i * 7);
    afp_dtype_read (AFP_DTYPE_Q8_0, array, 0, values, n);
    g_autoptr (GBytes) raw = g_bytes_new_static (array, n_bytes);
    g_autoptr (AfpMatrix) matrix = afp_matrix_new_raw (spec, raw);
    const guint64 rows = afp_matrix_get_rows (matrix), cols = afp_matrix_get_cols (matrix);
    check_rectangle (matrix, spec, values, 0, rows, 0, cols);
    check_rectangle (matrix, spec, values, 1, 2, 3, MIN (cols - 3, 40));
    check_rectangle (matrix, spec, values, rows - 1, 1, cols - 1, 9);
  }
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("matrix");
  tcase_add_test (tcase, views_of_every_dtype);
  tcase_add_test (tcase, arrays_of_blocks);
  tcase_add_test (tcase, two_frameworks);
  tcase_add_test (tcase, to_raw_in_another_dtype);
  tcase_add_test (tcase, reshape);
  tcase_add_test (tcase, transpose);
  tcase_add_test (tcase, reshape_of_a_reshape);
  tcase_add_test (tcase, to_dense);
  tcase_add_test (tcase, nothing_in_it);
  tcase_add_test (tcase, errors_come_through);
  tcase_add_test (tcase, empty_rectangles_read_nothing);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("matrix", cases, G_N_ELEMENTS (cases));
}
