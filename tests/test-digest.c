/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include "afp-digest.h"

/* --- numbers ------------------------------------------------------------------------------------------------------- */

#define ROWS 300
#define COLS 1000 /* several tiles */

static AfpMatrix *
make_matrix (guint64 rows, guint64 cols, gsize changed)
{
  float *values = test_values (ROWS * COLS, 1);

  if (changed < ROWS * COLS)
    values[changed] += 1;
  g_autoptr (GBytes) bytes = g_bytes_new_take (values, ROWS * COLS * sizeof *values);
  return afp_matrix_new_dense (rows, cols, bytes);
}

static char *
digest_changed (gsize changed, guint threads)
{
  g_autoptr (AfpMatrix) matrix = make_matrix (ROWS, COLS, changed);
  g_autoptr (AfpPool) pool = threads ? afp_pool_new (threads) : NULL;
  char *digest = afp_digest_matrix (matrix, pool, NULL);

  ck_assert_uint_eq (strlen (digest), 64);
  return digest;
}

START_TEST (numbers)
{
  static const gsize places[] = { 0, 999, 1000, 150 * 1000 + 7, ROWS * COLS - 1 };
  g_autofree char *first = digest_changed (G_MAXSIZE, 0);

  for (guint threads = 1; threads <= 3; threads++) {
    g_autofree char *same = digest_changed (G_MAXSIZE, threads);
    ck_assert_str_eq (first, same);
  }
  for (guint i = 0; i < G_N_ELEMENTS (places); i++) {
    g_autofree char *other = digest_changed (places[i], 2);
    ck_assert_str_ne (first, other);
  }
}
END_TEST

static gboolean
read_fails (gpointer user_data, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols,
            float *out, GError **error)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "row %d is gone", (int) row);
  return FALSE;
}

START_TEST (numbers_that_cannot_be_read)
{
  g_autoptr (AfpMatrix) matrix = afp_matrix_new (4, 4, read_fails, NULL, NULL);
  GError *error = NULL;

  ck_assert_ptr_null (afp_digest_matrix (matrix, NULL, &error));
  assert_error (error, AFP_ERROR_IO, "row 0 is gone");
}
END_TEST

/* Around the size of a chunk. */
START_TEST (data)
{
  static const gsize sizes[] = { 0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20 };
  g_autofree guint8 *zeros = g_malloc0 (3 << 20);
  g_autoptr (AfpPool) pool = afp_pool_new (3);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    for (guint end = 0; end <= (sizes[i] > 0); end++) {
      if (end)
        zeros[sizes[i] - 1] = 1;
      g_autoptr (GBytes) bytes = g_bytes_new (zeros, sizes[i]);
      g_autofree char *alone = afp_digest_bytes (bytes, NULL, NULL);
      char *digest = afp_digest_bytes (bytes, pool, NULL);
      ck_assert_str_eq (alone, digest);
      ck_assert (g_hash_table_add (seen, digest));
    }
    if (sizes[i])
      zeros[sizes[i] - 1] = 0;
  }
}
END_TEST

/* --- sources ------------------------------------------------------------------------------------------------------- */

static char *
digest_tensors (AfpTensor *one, AfpTensor *two, GError **error)
{
  g_autoptr (AfpElement) source =
      afp_registry_make (afp_registry_get_default (), "test-source", NULL);

  test_set_tensors (one, two, NULL);
  ck_assert (afp_source_open (AFP_SOURCE (source), NULL));
  return afp_source_digest (AFP_SOURCE (source), NULL, error);
}

/* (transfer full): of one that differs from the others in something; 0: twice */
static AfpTensor *
make_variant (guint variant)
{
  static const guint64 flat[] = { 2048 };

  switch (variant) {
  case 1:
    return test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 2);
  case 2:
    return test_tensor ("u", AFP_DTYPE_F32, "32x64", NULL, 1);
  case 3:
    return test_tensor ("t", AFP_DTYPE_F32, "64x32", NULL, 1);
  case 4:
    return test_tensor ("t", AFP_DTYPE_F32, "32x64", "in:1", 1);
  case 5:
    return test_tensor ("t", AFP_DTYPE_F16, "32x64", NULL, 1);
  case 6:
    return make_tensor ("t", AFP_DTYPE_I32, 1, flat, TRUE);
  case 7:
    return make_tensor ("t", AFP_DTYPE_F32, 1, flat, TRUE);
  default:
    return test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 1);
  }
}

/* What is there twice is the same; everything else differs from everything else. */
START_TEST (models)
{
  g_autoptr (AfpTensor) a = make_variant (0), b = test_tensor ("b", AFP_DTYPE_F32, "8x8", NULL, 3);
  g_autoptr (AfpTensor) alias = make_alias ("c", a, "t");
  g_autofree char *first = digest_tensors (a, b, NULL), *same = digest_tensors (a, b, NULL);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  ck_assert_str_eq (first, same);
  g_hash_table_add (seen, g_strdup (first));
  ck_assert (g_hash_table_add (seen, digest_tensors (b, a, NULL)));
  ck_assert (g_hash_table_add (seen, digest_tensors (a, NULL, NULL)));
  ck_assert (g_hash_table_add (seen, digest_tensors (a, alias, NULL)));
  for (guint i = 0; i < 8; i++) {
    g_autoptr (AfpTensor) other = make_variant (i);
    ck_assert_int_eq (g_hash_table_add (seen, digest_tensors (other, b, NULL)), i > 0);
  }
}
END_TEST

/* Of a coded tensor the numbers that come out count. */
START_TEST (coded)
{
  g_autoptr (AfpTensor) tensor = make_variant (0), other = make_variant (1);
  g_autofree char *of_tensor = digest_tensors (tensor, NULL, NULL);

  test_set_tensors (tensor, NULL);
  g_autoptr (AfpTensor) two = test_run ("test-q bits=2", 1), again = test_run ("test-q bits=2", 2),
                        three = test_run ("test-q bits=3", 1);
  test_set_tensors (other, NULL);
  g_autoptr (AfpTensor) fourth = test_run ("test-q bits=2", 1);
  g_autofree char *a = digest_tensors (two, NULL, NULL), *b = digest_tensors (again, NULL, NULL),
                  *c = digest_tensors (three, NULL, NULL), *d = digest_tensors (fourth, NULL, NULL);
  ck_assert_str_eq (a, b);
  ck_assert_str_ne (a, c);
  ck_assert_str_ne (a, d);
  ck_assert_str_ne (a, of_tensor);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("digest");

  tcase_add_test (tcase, numbers);
  tcase_add_test (tcase, numbers_that_cannot_be_read);
  tcase_add_test (tcase, data);
  tcase_add_test (tcase, models);
  tcase_add_test (tcase, coded);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("digest", cases, G_N_ELEMENTS (cases));
}
