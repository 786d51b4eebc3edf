/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "added-tokens.h"

static AfpAddedTokens *
make_tokens (void)
{
  AfpAddedTokens *tokens = afp_added_tokens_new ();

  afp_added_tokens_add (tokens, "<a>", 3, 1, AFP_ADDED_PLAIN);
  afp_added_tokens_add (tokens, "<a><b>", 6, 2, AFP_ADDED_PLAIN);
  afp_added_tokens_add (tokens, "<l>", 3, 3, AFP_ADDED_STRIP_LEFT);
  afp_added_tokens_add (tokens, "<r>", 3, 4, AFP_ADDED_STRIP_RIGHT);
  afp_added_tokens_add (tokens, "a>", 2, 5, AFP_ADDED_PLAIN);
  return tokens;
}

static const struct {
  const char *text;
  gsize from, start, end;
  guint32 id; /* 0: none */
} cases[] = {
  { "x<a>y", 0, 1, 4, 1 },
  { "x<a><b>y", 0, 1, 7, 2 }, /* the longest */
  { "x<a><b", 0, 1, 4, 1 },
  { "<a>", 1, 1, 3, 5 }, /* not before @from */
  { "a  \xc2\xa0<l> b", 0, 1, 8, 3 },
  { "  <l>", 1, 1, 5, 3 },
  { "  <l>", 0, 0, 5, 3 },
  { "\x80 <l>", 0, 1, 5, 3 },
  { "\xc2<l>", 0, 1, 4, 3 },
  { "<r> \xe3\x80\x80\tx", 0, 0, 8, 4 },
  { "<r>", 0, 0, 3, 4 },
  { "", 0, 0, 0, 0 },
  { "<a", 0, 0, 0, 0 },
  { "<A>", 0, 0, 0, 0 },
  { "<a>", 3, 0, 0, 0 },
  { "< a >", 0, 0, 0, 0 },
};

START_TEST (matches)
{
  g_autoptr (AfpAddedTokens) tokens = make_tokens ();
  AfpAddedMatch match;
  const gboolean found = afp_added_tokens_find (tokens, cases[_i].text, strlen (cases[_i].text),
                                                cases[_i].from, &match);

  ck_assert_int_eq (found, cases[_i].id != 0);
  if (found) {
    ck_assert_uint_eq (match.id, cases[_i].id);
    ck_assert_uint_eq (match.start, cases[_i].start);
    ck_assert_uint_eq (match.end, cases[_i].end);
  }
}
END_TEST

START_TEST (empty_ones_find_nothing)
{
  g_autoptr (AfpAddedTokens) none = afp_added_tokens_new (), some = make_tokens ();
  AfpAddedMatch match;

  ck_assert (afp_added_tokens_is_empty (none) && !afp_added_tokens_is_empty (some));
  ck_assert (!afp_added_tokens_find (none, "<a>", 3, 0, &match));
}
END_TEST

START_TEST (the_later_of_equals_counts)
{
  g_autoptr (AfpAddedTokens) tokens = make_tokens ();
  AfpAddedMatch match;

  afp_added_tokens_add (tokens, "<a>", 3, 9, AFP_ADDED_PLAIN);
  ck_assert (afp_added_tokens_find (tokens, "<a>", 3, 0, &match));
  ck_assert_uint_eq (match.id, 9);
}
END_TEST

static TCase *
all_case (void)
{
  TCase *tcase = tcase_create ("added-tokens");
  tcase_add_loop_test (tcase, matches, 0, G_N_ELEMENTS (cases));
  tcase_add_test (tcase, empty_ones_find_nothing);
  tcase_add_test (tcase, the_later_of_equals_counts);
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { all_case };

  return run_suite ("added-tokens", all, G_N_ELEMENTS (all));
}
