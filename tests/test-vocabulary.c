/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "vocabulary.h"

#define N 5000

START_TEST (found_by_number_and_by_bytes)
{
  g_autoptr (AfpVocabulary) vocabulary = afp_vocabulary_new (N);
  gsize n;

  for (guint i = 0; i < N; i++) {
    g_autofree char *text = g_strdup_printf ("%u*%u", i, i * 7);
    afp_vocabulary_set (vocabulary, i, text, strlen (text));
    ck_assert (afp_vocabulary_enter (vocabulary, i));
  }
  ck_assert_uint_eq (afp_vocabulary_get_size (vocabulary), N);
  for (guint i = 0; i < N; i++) {
    g_autofree char *text = g_strdup_printf ("%u*%u", i, i * 7);
    ck_assert_uint_eq (afp_vocabulary_find (vocabulary, text, strlen (text)), i);
    ck_assert_mem_eq (afp_vocabulary_get (vocabulary, i, &n), text, strlen (text));
    ck_assert_uint_eq (n, strlen (text));
  }
}
END_TEST

START_TEST (any_bytes)
{
  g_autoptr (AfpVocabulary) vocabulary = afp_vocabulary_new (2);

  afp_vocabulary_set (vocabulary, 0, "a\0b", 3);
  afp_vocabulary_set (vocabulary, 1, "a\0c", 3);
  ck_assert (afp_vocabulary_enter (vocabulary, 0) && afp_vocabulary_enter (vocabulary, 1));
  ck_assert_uint_eq (afp_vocabulary_find (vocabulary, "a\0b", 3), 0);
  ck_assert_uint_eq (afp_vocabulary_find (vocabulary, "a\0c", 3), 1);
  ck_assert_uint_eq (afp_vocabulary_find (vocabulary, "a", 1), AFP_VOCABULARY_NONE);
}
END_TEST

START_TEST (what_is_not_there)
{
  g_autoptr (AfpVocabulary) vocabulary = afp_vocabulary_new (3);
  gsize n = 9;

  afp_vocabulary_set (vocabulary, 1, "x", 1);
  ck_assert_uint_eq (afp_vocabulary_find (vocabulary, "x", 1), AFP_VOCABULARY_NONE);
  ck_assert (afp_vocabulary_enter (vocabulary, 1));
  ck_assert_uint_eq (afp_vocabulary_find (vocabulary, "x", 1), 1);
  ck_assert_uint_eq (afp_vocabulary_find (vocabulary, "", 0), AFP_VOCABULARY_NONE);
  ck_assert_uint_eq (afp_vocabulary_find (vocabulary, "xx", 2), AFP_VOCABULARY_NONE);
  ck_assert_ptr_nonnull (afp_vocabulary_get (vocabulary, 2, &n));
  ck_assert_uint_eq (n, 0);
}
END_TEST

START_TEST (the_first_of_equals_stays)
{
  g_autoptr (AfpVocabulary) vocabulary = afp_vocabulary_new (2);

  afp_vocabulary_set (vocabulary, 0, "same", 4);
  afp_vocabulary_set (vocabulary, 1, "same", 4);
  ck_assert (afp_vocabulary_enter (vocabulary, 1));
  ck_assert (!afp_vocabulary_enter (vocabulary, 0));
  ck_assert (afp_vocabulary_enter (vocabulary, 1));
  ck_assert_uint_eq (afp_vocabulary_find (vocabulary, "same", 4), 1);
}
END_TEST

static TCase *
all_case (void)
{
  TCase *tcase = tcase_create ("vocabulary");
  tcase_add_test (tcase, found_by_number_and_by_bytes);
  tcase_add_test (tcase, any_bytes);
  tcase_add_test (tcase, what_is_not_there);
  tcase_add_test (tcase, the_first_of_equals_stays);
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { all_case };

  return run_suite ("vocabulary", all, G_N_ELEMENTS (all));
}
