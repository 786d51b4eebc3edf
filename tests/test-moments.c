/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#define SIZE 70u

/* What stands in row @i and column @j of the test's matrix. */
static float
entry (guint64 i, guint64 j)
{
  return i < j ? entry (j, i) : (float) (1000 * i + j);
}

static AfpMoments *
make (guint64 size, gboolean diagonal)
{
  const gsize n = (gsize) afp_moments_n_stored (size, diagonal);
  float *stored = g_new (float, n + 1), *out = stored;

  for (guint64 i = 0; i < size; i++)
    for (guint64 j = diagonal ? i : 0; j <= i; j++)
      *out++ = entry (i, j);
  ck_assert_uint_eq ((gsize) (out - stored), n);
  g_autoptr (GBytes) bytes = g_bytes_new_take (stored, n * sizeof *stored);
  return afp_moments_new (size, diagonal, 1234, bytes);
}

START_TEST (what_it_is)
{
  g_autoptr (AfpMoments) moments = make (SIZE, _i);

  ck_assert_uint_eq (afp_moments_get_size (moments), SIZE);
  ck_assert_int_eq (afp_moments_is_diagonal (moments), _i);
  ck_assert_uint_eq (afp_moments_get_n_samples (moments), 1234);
  ck_assert (!afp_moments_is_planned (moments));
}
END_TEST

START_TEST (stored_numbers)
{
  ck_assert_uint_eq (afp_moments_n_stored (0, FALSE), 0);
  ck_assert_uint_eq (afp_moments_n_stored (1, FALSE), 1);
  ck_assert_uint_eq (afp_moments_n_stored (5, FALSE), 15);
  ck_assert_uint_eq (afp_moments_n_stored (5, TRUE), 5);
  ck_assert_uint_eq (afp_moments_n_stored (G_MAXUINT32, FALSE),
                     G_GUINT64_CONSTANT (9223372034707292160));
}
END_TEST

START_TEST (rows)
{
  float out[SIZE + 1];

  for (gint diagonal = 0; diagonal < 2; diagonal++) {
    g_autoptr (AfpMoments) moments = make (SIZE, diagonal);
    for (guint row = 0; row < SIZE; row++) {
      out[row + 1] = -1;
      afp_moments_read_row (moments, row, out);
      for (guint j = 0; j <= row; j++)
        must (out[j] == (diagonal && j < row ? 0 : entry (row, j)));
      must (out[row + 1] == -1);
    }
  }
}
END_TEST

static const struct {
  guint64 first, n;
} squares[] = { { 0, SIZE }, { 0, 1 }, { SIZE - 1, 1 }, { 3, 17 }, { 63, 7 }, { SIZE, 0 } };

/* Squares on the diagonal: symmetric, though only a triangle is stored. */
START_TEST (square)
{
  const guint64 first = squares[_i].first, n = squares[_i].n;

  for (gint diagonal = 0; diagonal < 2; diagonal++) {
    g_autoptr (AfpMoments) moments = make (SIZE, diagonal);
    g_autofree float *out = g_new (float, n *n + 1);
    out[n * n] = -7;
    for (guint64 i = 0; i < n * n; i++)
      out[i] = -5;
    afp_moments_read (moments, first, n, out);
    for (guint64 i = 0; i < n; i++)
      for (guint64 j = 0; j < n; j++)
        must (out[i * n + j] == (diagonal && i != j ? 0 : entry (first + i, first + j)));
    must (out[n * n] == -7);
  }
}
END_TEST

START_TEST (diagonal)
{
  const guint64 first = squares[_i].first, n = squares[_i].n;

  for (gint only = 0; only < 2; only++) {
    g_autoptr (AfpMoments) moments = make (SIZE, only);
    g_autofree float *out = g_new (float, n + 1);
    out[n] = -7;
    afp_moments_read_diagonal (moments, first, n, out);
    for (guint64 i = 0; i < n; i++)
      must (out[i] == entry (first + i, first + i));
    must (out[n] == -7);
  }
}
END_TEST

START_TEST (planned)
{
  g_autoptr (AfpMoments) moments = afp_moments_new (SIZE, FALSE, 0, NULL);
  g_autoptr (AfpMoments) same = afp_moments_ref (moments);

  ck_assert (afp_moments_is_planned (same));
  ck_assert_uint_eq (afp_moments_get_size (same), SIZE);
}
END_TEST

/* --- as meta of a tensor --- */

START_TEST (none_by_default)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("w", AFP_DTYPE_F32, "70x8", "in:1", 1);

  ck_assert_ptr_null (afp_tensor_get_moments (tensor));
}
END_TEST

/* Other planes, another dtype: the moments are those of what goes in, and stay. */
START_TEST (handed_on)
{
  g_autoptr (AfpMoments) moments = make (SIZE, FALSE);
  g_autoptr (AfpTensor) plain = test_tensor ("w", AFP_DTYPE_F32, "70x8", "in:1", 1);
  g_autoptr (AfpTensor) tensor = afp_tensor_new_with_moments (plain, moments);
  g_autoptr (AfpSpec) half = test_spec ("w", AFP_DTYPE_F16, "70x8", "in:1");
  g_autoptr (AfpPlane) root = afp_plane_new_raw (half, NULL);
  g_autoptr (AfpTensor) other = afp_tensor_new_with_root (tensor, afp_tensor_get_root (plain));
  g_autoptr (AfpTensor) third = afp_tensor_new_with_spec (other, half, root);

  ck_assert_ptr_null (afp_tensor_get_moments (plain));
  ck_assert_ptr_eq (afp_tensor_get_moments (tensor), moments);
  ck_assert_ptr_eq (afp_tensor_get_moments (other), moments);
  ck_assert_ptr_eq (afp_tensor_get_moments (third), moments);
}
END_TEST

START_TEST (replaced)
{
  g_autoptr (AfpMoments) moments = make (SIZE, FALSE), others = make (SIZE, TRUE);
  g_autoptr (AfpTensor) plain = test_tensor ("w", AFP_DTYPE_F32, "70x8", "in:1", 1);
  g_autoptr (AfpTensor) tensor = afp_tensor_new_with_moments (plain, moments);
  g_autoptr (AfpTensor) again = afp_tensor_new_with_moments (tensor, others);

  ck_assert_ptr_eq (afp_tensor_get_moments (again), others);
  ck_assert_ptr_eq (afp_tensor_get_moments (tensor), moments);
}
END_TEST

static AfpMoments *given;

/* test-give: every tensor gets the moments of the test. */
typedef AfpTransform TestGive;
typedef AfpTransformClass TestGiveClass;
GType test_give_get_type (void);
G_DEFINE_TYPE (TestGive, test_give, AFP_TYPE_TRANSFORM)

static AfpTensor *
give (AfpTransform *transform, AfpTensor *tensor, GError **error)
{
  return afp_tensor_new_with_moments (tensor, given);
}

static AfpTensor *
give_planned (AfpTransform *transform, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  return give (transform, tensor, error);
}

static void
test_give_class_init (TestGiveClass *klass)
{
  klass->process = give;
  klass->plan_tensor = give_planned;
}

static void
test_give_init (TestGive *self)
{
}

static const char *const chains[] = { "test-q",          "test-ask ! test-q planes=coeffs bits=4",
                                      "test-q ! decode", "decode dtype=f16",
                                      "identity",        "test-q table=true ! test-pack" };

START_TEST (through_a_chain)
{
  g_autofree char *text = g_strdup_printf ("test-give ! %s ! test-tap", chains[_i]);
  g_autoptr (AfpTensor) plain = test_tensor ("w", AFP_DTYPE_F32, "64x8", "in:1", 1);

  given = make (64, FALSE);
  test_set_tensors (plain, NULL);
  g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (text, 2);
  ck_assert_uint_eq (test_tapped ()->len, 1);
  ck_assert_ptr_eq (afp_tensor_get_moments (test_tapped ()->pdata[0]), given);
  g_clear_pointer (&given, afp_moments_unref);
}
END_TEST

/* They are not what the tensor is: its bytes are the same with and without. */
START_TEST (bytes_do_not_depend_on_them)
{
  g_autoptr (AfpTensor) plain = test_tensor ("w", AFP_DTYPE_F32, "64x8", "in:1", 1);

  given = make (64, FALSE);
  test_set_tensors (plain, NULL);
  g_autoptr (AfpTensor) with = test_run ("test-give ! test-q", 1);
  g_autoptr (AfpTensor) without = test_run ("test-q", 1);
  g_autoptr (GBytes) x = test_tree_bytes (afp_tensor_get_root (with)),
                     y = test_tree_bytes (afp_tensor_get_root (without));
  ck_assert (g_bytes_equal (x, y));
  g_clear_pointer (&given, afp_moments_unref);
}
END_TEST

/* --- mistakes of a program --- */

#define assert_critical(words, call)                                       \
  do {                                                                     \
    g_test_expect_message ("afpipe", G_LOG_LEVEL_CRITICAL, "*" words "*"); \
    call;                                                                  \
    g_test_assert_expected_messages ();                                    \
  } while (0)

START_TEST (wrong_number_of_floats)
{
  const gsize wrong[] = { 0, 4, 5 * 4, 14 * 4, 15 * 4 + 1, 16 * 4, 25 * 4 };
  static const guint8 zeros[100];

  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autoptr (GBytes) bytes = g_bytes_new_static (zeros, wrong[i]);
    assert_critical ("n_stored", ck_assert_ptr_null (afp_moments_new (5, FALSE, 1, bytes)));
  }
}
END_TEST

START_TEST (wrong_size)
{
  g_autoptr (AfpMoments) moments = make (SIZE, FALSE);
  g_autoptr (AfpTensor) plain = test_tensor ("w", AFP_DTYPE_F32, "8x70", "in:1", 1);

  assert_critical ("afp_spec_get_cols",
                   ck_assert_ptr_null (afp_tensor_new_with_moments (plain, moments)));
}
END_TEST

START_TEST (beyond_the_end)
{
  static const guint64 places[][2] = {
    { 0, SIZE + 1 }, { SIZE, 1 }, { SIZE + 1, 0 }, { G_MAXUINT64, 2 }, { 60, 11 }
  };
  g_autoptr (AfpMoments) moments = make (SIZE, FALSE);
  float out[1] = { 5 };

  assert_critical ("moments->size", afp_moments_read (moments, places[_i][0], places[_i][1], out));
  assert_critical ("moments->size",
                   afp_moments_read_diagonal (moments, places[_i][0], places[_i][1], out));
  ck_assert (out[0] == 5);
}
END_TEST

START_TEST (planned_is_not_read)
{
  g_autoptr (AfpMoments) moments = afp_moments_new (SIZE, FALSE, 0, NULL);
  float out[1] = { 5 };

  assert_critical ("stored", afp_moments_read (moments, 0, 1, out));
  assert_critical ("stored", afp_moments_read_diagonal (moments, 0, 1, out));
  ck_assert (out[0] == 5);
}
END_TEST

static TCase *
numbers_case (void)
{
  TCase *tcase = tcase_create ("numbers");

  tcase_add_loop_test (tcase, what_it_is, 0, 2);
  tcase_add_test (tcase, stored_numbers);
  tcase_add_test (tcase, rows);
  tcase_add_loop_test (tcase, square, 0, G_N_ELEMENTS (squares));
  tcase_add_loop_test (tcase, diagonal, 0, G_N_ELEMENTS (squares));
  tcase_add_test (tcase, planned);
  return tcase;
}

static TCase *
meta_case (void)
{
  TCase *tcase = tcase_create ("meta");

  tcase_add_test (tcase, none_by_default);
  tcase_add_test (tcase, handed_on);
  tcase_add_test (tcase, replaced);
  tcase_add_loop_test (tcase, through_a_chain, 0, G_N_ELEMENTS (chains));
  tcase_add_test (tcase, bytes_do_not_depend_on_them);
  return tcase;
}

static TCase *
mistakes_case (void)
{
  TCase *tcase = tcase_create ("mistakes");

  tcase_add_test (tcase, wrong_number_of_floats);
  tcase_add_test (tcase, wrong_size);
  tcase_add_loop_test (tcase, beyond_the_end, 0, 5);
  tcase_add_test (tcase, planned_is_not_read);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { numbers_case, meta_case, mistakes_case };

  test_init ();
  afp_registry_add_builtin ("test-give", test_give_get_type ());
  return run_suite ("moments", cases, G_N_ELEMENTS (cases));
}
