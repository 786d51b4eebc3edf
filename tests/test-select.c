/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

static void
setup (void)
{
  g_autoptr (AfpTensor) a = test_tensor ("enc.0.w", AFP_DTYPE_F32, "32x32", NULL, 1),
                        b = test_tensor ("enc.0.b", AFP_DTYPE_F32, "400", NULL, 2);
  g_autoptr (AfpTensor) c = test_tensor ("dec.w", AFP_DTYPE_F16, "32x16", NULL, 3),
                        d = test_tensor ("steps", AFP_DTYPE_I32, "", NULL, 4);
  test_set_tensors (a, b, c, d, NULL);
}

/* The first letters of what is left: "a" enc.0.w, "b" enc.0.b, "c" dec.w, "d" steps. */
START_TEST (what_is_left)
{
  static const struct {
    const char *properties, *left;
  } cases[] = {
    { "", "abcd" },
    { "tensors=enc.*", "ab" },
    { "tensors=*.w", "ac" },
    { "tensors='enc.0.b , steps'", "bd" },
    { "tensors=*", "abcd" },
    { "exclude=*.w", "bd" },
    { "exclude=none", "abcd" },
    { "tensors=enc.* exclude=*b", "a" },
    { "min-dims=1", "abc" },
    { "min-dims=2", "ac" },
    { "min-weights=401", "ac" },
    { "min-weights=2", "abc" },
    { "tensors=s*", "d" },
    { "tensors=?tep?", "d" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text = g_strconcat ("select ", cases[i].properties, NULL);
    g_autoptr (AfpTensor) G_GNUC_UNUSED first = test_run (text, 1);
    char left[5] = "";
    for (guint t = 0; t < test_output ()->len; t++) {
      const char *name = afp_spec_get_name (afp_tensor_get_spec (test_output ()->pdata[t]));
      left[t] = strcmp (name, "enc.0.w") == 0   ? 'a'
                : strcmp (name, "enc.0.b") == 0 ? 'b'
                : strcmp (name, "dec.w") == 0   ? 'c'
                                                : 'd';
      left[t + 1] = '\0';
    }
    ck_assert_msg (strcmp (left, cases[i].left) == 0, "%s: %s, not %s", text, left, cases[i].left);
  }
}
END_TEST

/* What stays is not touched, coded or not, and queries pass. */
START_TEST (what_stays)
{
  g_autoptr (AfpTensor) a =
      test_run ("test-ask ! select tensors=enc.0.w ! test-q planes=coeffs bits=3", 1);
  g_autoptr (GBytes) x = test_tree_bytes (afp_tensor_get_root (a));
  ck_assert_ptr_nonnull (strstr (test_plan (), "optimised with test-q"));
  g_autoptr (AfpTensor) b = test_run ("test-ask ! test-q planes=coeffs bits=3", 1);
  g_autoptr (GBytes) y = test_tree_bytes (afp_tensor_get_root (b));
  ck_assert (g_bytes_equal (x, y));
}
END_TEST

static void
assert_run_fails (const char *text, int code, const char *word, const char *other)
{
  GError *error = NULL;
  ck_assert_msg (!test_try (text, 1, &error), "%s", text);
  assert_error (error, code, word, other);
}

/* A stream of nothing is a mistake, and the plan says where it ends. */
START_TEST (nothing_left)
{
  assert_run_fails ("select tensors=enc", AFP_ERROR_PLAN, "no tensor reaches",
                    "of 4 that come to 'select0'");
  assert_run_fails ("select exclude=*", AFP_ERROR_PLAN, "no tensor reaches", "select0");
  assert_run_fails ("select tensors=''", AFP_ERROR_PLAN, "no tensor reaches", "select0");
  assert_run_fails ("select min-weights=1M", AFP_ERROR_PLAN, "no tensor reaches", "select0");
}
END_TEST

START_TEST (wrong_properties)
{
  assert_run_fails ("select tensor=a", AFP_ERROR_PROPERTY, "'tensor'", "'tensors'");
  assert_run_fails ("select min-dims=33", AFP_ERROR_PROPERTY, "min-dims", "0..32");
  assert_run_fails ("select min-weights=-5", AFP_ERROR_PROPERTY, "min-weights", "-5");
  assert_run_fails ("select min-weights=many", AFP_ERROR_PROPERTY, "min-weights", "many");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("select");
  tcase_add_checked_fixture (tcase, setup, NULL);
  tcase_add_test (tcase, what_is_left);
  tcase_add_test (tcase, what_stays);
  tcase_add_test (tcase, nothing_left);
  tcase_add_test (tcase, wrong_properties);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("select", cases, G_N_ELEMENTS (cases));
}
