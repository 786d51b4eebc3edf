/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Queries within queries: seedlm ! vptq ! hyper on a matrix so small that every choice can be tried. */
#include "afp-test.h"

#include "afp-bits.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define ROWS 12
#define COLS 32
#define BLOCK 4
#define RANK 2
#define SEED_BITS 5
#define N_SEEDS ((1u << SEED_BITS) - 1)
#define BLOCKS (ROWS * COLS / BLOCK)
#define CHAIN                                                       \
  "seedlm C=4 P=2 K=5 leap=1 layout=row scale=tensor force=true ! " \
  "vptq v=2 k=%u planes=coeffs force=true ! hyper U=16 M=1 planes=codebook force=true"

/* --- by hand ------------------------------------------------------------------------------------------------------ */

/* plugins/seedlm/SPEC.md, "The register": K = 5 has the taps 0 and 2. */
static void
make_basis (guint32 state, double *u)
{
  for (guint i = 0; i < BLOCK * RANK; i++) {
    const guint32 feedback = (state ^ state >> 2) & 1;
    state = state >> 1 | feedback << (SEED_BITS - 1);
    u[i] = (double) (float) (((double) state - 16) / 15);
  }
}

static double
block_error (const float *block, double scale, const double *u, const float *t)
{
  double error = 0;

  for (guint i = 0; i < BLOCK; i++) {
    const double y = u[2 * i] * (double) t[0] + u[2 * i + 1] * (double) t[1];
    const double e = (double) block[i] / scale - y;
    error += e * e;
  }
  return error;
}

/* The least error of all seeds and all centroids. */
static double
try_all (const float *block, double scale, const float *codebook, guint k)
{
  double least = DBL_MAX, u[BLOCK * RANK];

  for (guint32 seed = 1; seed <= N_SEEDS; seed++) {
    make_basis (seed, u);
    for (guint c = 0; c < k; c++)
      least = MIN (least, block_error (block, scale, u, codebook + RANK * c));
  }
  return least;
}

/* --- what was coded ----------------------------------------------------------------------------------------------- */

static guint32 *
get_symbols (AfpTensor *tensor, const char *path, gsize n)
{
  AfpPlane *plane = test_find (afp_tensor_get_root (tensor), path);
  guint32 *symbols = g_new (guint32, n);

  ck_assert_msg (plane != NULL, "no plane %s", path);
  g_autoptr (GBytes) packed = afp_plane_get_codes (plane, NULL);
  ck_assert_ptr_nonnull (packed);
  afp_bits_unpack (g_bytes_get_data (packed, NULL), 0, symbols, n,
                   afp_plane_get_desc (plane)->bits);
  return symbols;
}

static float *
get_values (AfpTensor *tensor, const char *path)
{
  AfpPlane *plane = test_find (afp_tensor_get_root (tensor), path);

  ck_assert_msg (plane != NULL, "no plane %s", path);
  return test_decode_plane (plane, NULL);
}

static AfpTensor *
run (guint k, guint threads, float **weights)
{
  g_autofree char *text = g_strdup_printf (CHAIN, k);

  *weights = test_values (ROWS * COLS, 5);
  g_autoptr (AfpTensor) tensor = test_tensor_from ("w", "12x32", NULL, *weights);
  test_set_tensors (tensor, NULL);
  return test_run (text, threads);
}

static const guint sizes[] = { 2, 3, 8 };

START_TEST (choices_are_the_best_of_all)
{
  const guint k = sizes[_i];
  g_autofree float *weights = NULL;
  g_autoptr (AfpTensor) tensor = run (k, 2, &weights);
  g_autofree char *recipe = afp_tensor_get_recipe (tensor);

  ck_assert_msg (strstr (recipe, "coeffs=vptq/") && strstr (recipe, "codebook=hyper/"), "%s",
                 recipe);
  g_autofree guint32 *seeds = get_symbols (tensor, "weight/seeds", BLOCKS);
  g_autofree guint32 *indices = get_symbols (tensor, "weight/coeffs/indices", BLOCKS);
  g_autofree float *codebook = get_values (tensor, "weight/coeffs/codebook");
  g_autofree float *scale = get_values (tensor, "weight/scale");
  for (guint b = 0; b < BLOCKS; b++) {
    double u[BLOCK * RANK];
    ck_assert (seeds[b] >= 1 && seeds[b] <= N_SEEDS && indices[b] < k);
    make_basis (seeds[b], u);
    const float *block = weights + BLOCK * b;
    const double chosen = block_error (block, (double) *scale, u, codebook + RANK * indices[b]);
    const double least = try_all (block, (double) *scale, codebook, k);
    ck_assert_double_le (chosen, least * (1 + 1e-5) + 1e-9);
  }
}
END_TEST

/* What a decoder makes of the planes is what was reckoned with: hyper's codebook, not the one that was fitted. */
START_TEST (decoding_is_what_was_reckoned_with)
{
  const guint k = sizes[_i];
  g_autofree float *weights = NULL;
  g_autoptr (AfpTensor) tensor = run (k, 1, &weights);
  g_autofree guint32 *seeds = get_symbols (tensor, "weight/seeds", BLOCKS);
  g_autofree guint32 *indices = get_symbols (tensor, "weight/coeffs/indices", BLOCKS);
  g_autofree guint32 *thetas = get_symbols (tensor, "weight/coeffs/codebook/thetas", k);
  g_autofree float *codebook = get_values (tensor, "weight/coeffs/codebook");
  g_autofree float *frames = get_values (tensor, "weight/coeffs/codebook/frames");
  g_autofree float *scale = get_values (tensor, "weight/scale"), *decoded = test_decode (tensor);

  /* plugins/hyper/SPEC.md, grid, d = 2, U = 16, M = 1: point q m + r with m = 4 */
  for (guint c = 0; c < k; c++) {
    const guint point = thetas[c] % 16;
    const double inner = fmax ((double) frames[2], 0) / 2, outer = fmax ((double) frames[3], inner);
    const double reach = thetas[c] / 16 ? outer : inner;
    const double x = 2 * (point / 4.0 - 7.5 / 4) / 4, y = 2 * (point % 4 - 1.5) / 4;
    ck_assert_double_eq_tol ((double) codebook[2 * c], (double) frames[0] + reach * x, 1e-5);
    ck_assert_double_eq_tol ((double) codebook[2 * c + 1], (double) frames[1] + reach * y, 1e-5);
  }
  for (guint b = 0; b < BLOCKS; b++) {
    double u[BLOCK * RANK];
    make_basis (seeds[b], u);
    for (guint i = 0; i < BLOCK; i++) {
      const float *t = codebook + RANK * indices[b];
      const double y = u[2 * i] * (double) t[0] + u[2 * i + 1] * (double) t[1];
      ck_assert_double_eq_tol ((double) decoded[BLOCK * b + i], (double) *scale * y, 1e-5);
    }
  }
}
END_TEST

START_TEST (threads_change_nothing)
{
  g_autofree float *weights = NULL, *again = NULL;
  g_autoptr (AfpTensor) one = run (8, 1, &weights), five = run (8, 5, &again);
  g_autoptr (GBytes) a = test_tree_bytes (afp_tensor_get_root (one)),
                     b = test_tree_bytes (afp_tensor_get_root (five));

  ck_assert (g_bytes_equal (a, b));
}
END_TEST

static const struct {
  const char *chain;
  AfpError code;
  const char *says;
} bad[] = {
  { "seedlm C=4 P=2 K=5 ! vptq v=3 planes=coeffs force=true", AFP_ERROR_PROPERTY, "vector" },
  { "seedlm C=4 P=2 K=25", AFP_ERROR_PROPERTY, "25" },
  { "seedlm C=4 P=5 K=5", AFP_ERROR_PROPERTY, "rank" },
};

START_TEST (what_does_not_fit_fails_the_plan)
{
  g_autofree float *weights = test_values (ROWS * COLS, 5);
  g_autoptr (AfpTensor) tensor = test_tensor_from ("w", "12x32", NULL, weights);
  GError *error = NULL;

  test_set_tensors (tensor, NULL);
  ck_assert (!test_try (bad[_i].chain, 1, &error));
  assert_error (error, bad[_i].code, bad[_i].says);
}
END_TEST

static TCase *
nested_case (void)
{
  TCase *tcase = tcase_create ("nested");
  tcase_add_loop_test (tcase, choices_are_the_best_of_all, 0, G_N_ELEMENTS (sizes));
  tcase_add_loop_test (tcase, decoding_is_what_was_reckoned_with, 0, G_N_ELEMENTS (sizes));
  tcase_add_test (tcase, threads_change_nothing);
  tcase_add_loop_test (tcase, what_does_not_fit_fails_the_plan, 0, G_N_ELEMENTS (bad));
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { nested_case };

  test_init ();
  return run_suite ("nested", cases, G_N_ELEMENTS (cases));
}
