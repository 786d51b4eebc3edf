/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "normalizer.h"

static void
assert_becomes (const AfpNormalizer *normalizer, const char *text, gsize n, const char *expected,
                gsize n_expected)
{
  g_autoptr (GString) got = afp_normalizer_run (normalizer, text, n);

  ck_assert_uint_eq (got->len, n_expected);
  ck_assert_mem_eq (got->str, expected, n_expected);
}

#define becomes(normalizer, text, expected) \
  assert_becomes ((normalizer), (text), sizeof (text) - 1, (expected), sizeof (expected) - 1)

START_TEST (steps_in_their_order)
{
  g_autoptr (AfpNormalizer) normalizer = afp_normalizer_new ();

  ck_assert (afp_normalizer_is_empty (normalizer));
  becomes (normalizer, "a b", "a b");
  afp_normalizer_add_prepend (normalizer, " ");
  ck_assert (afp_normalizer_add_replace (normalizer, " ", "__", NULL));
  ck_assert (!afp_normalizer_is_empty (normalizer));
  becomes (normalizer, "a b  c", "__a__b____c");
  becomes (normalizer, " ", "____");
  becomes (normalizer, "", ""); /* nothing goes before nothing */
}
END_TEST

START_TEST (replaced_from_the_left)
{
  g_autoptr (AfpNormalizer) normalizer = afp_normalizer_new ();

  ck_assert (afp_normalizer_add_replace (normalizer, "aa", "", NULL));
  becomes (normalizer, "aaabaa\0aaa", "ab\0a");
}
END_TEST

START_TEST (nfc)
{
  g_autoptr (AfpNormalizer) normalizer = afp_normalizer_new ();

  afp_normalizer_add_nfc (normalizer);
  becomes (normalizer, "e\xcc\x81t\xc3\xa9", "\xc3\xa9t\xc3\xa9");
  becomes (normalizer, "plain\n", "plain\n");
  becomes (normalizer, "\xe2\x84\xab", "\xc3\x85");     /* ANGSTROM SIGN */
  becomes (normalizer, "\xef\xac\x81", "\xef\xac\x81"); /* compatibility forms stay */
  becomes (normalizer, "\xe1\x84\x80\xe1\x85\xa1", "\xea\xb0\x80");
}
END_TEST

START_TEST (nfc_leaves_what_is_no_text)
{
  g_autoptr (AfpNormalizer) normalizer = afp_normalizer_new ();

  afp_normalizer_add_nfc (normalizer);
  becomes (normalizer, "e\0\xcc\x81", "e\0\xcc\x81");
  becomes (normalizer, "e\xff\xcc\x81 e\xcc\x81\xcc", "e\xff\xcc\x81 \xc3\xa9\xcc");
  becomes (normalizer, "\xed\xa0\x80", "\xed\xa0\x80");
}
END_TEST

START_TEST (growth_is_bounded)
{
  g_autoptr (AfpNormalizer) normalizer = afp_normalizer_new ();
  GError *error = NULL;

  ck_assert (afp_normalizer_add_replace (normalizer, "a", "1234", NULL));
  ck_assert (afp_normalizer_add_replace (normalizer, "bb", "12345678", NULL));
  ck_assert (!afp_normalizer_add_replace (normalizer, "c", "12", &error));
  assert_error (error, AFP_ERROR_PLAN, "\"c\" by \"12\"", "32 times as long", "are 16 times");
  ck_assert (afp_normalizer_add_replace (normalizer, "c", "d", NULL));
  becomes (normalizer, "abbc", "123412345678d");
}
END_TEST

static TCase *
all_case (void)
{
  TCase *tcase = tcase_create ("normalizer");
  tcase_add_test (tcase, steps_in_their_order);
  tcase_add_test (tcase, replaced_from_the_left);
  tcase_add_test (tcase, nfc);
  tcase_add_test (tcase, nfc_leaves_what_is_no_text);
  tcase_add_test (tcase, growth_is_bounded);
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { all_case };

  return run_suite ("normalizer", all, G_N_ELEMENTS (all));
}
