/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tokenizer-test.h"

#include "afp-lm-text.h"

static AfpLmText *
make (const char *text, const char *separator, guint context, guint stride, guint64 *n_bytes,
      GError **error)
{
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  const AfpLmTextOptions options = { separator, context, stride, 1 };

  return afp_lm_text_new (tokenizer, text, strlen (text), &options, n_bytes, error);
}

START_TEST (documents_are_stripped_and_begin_with_bos)
{
  guint64 n_bytes;
  g_autoptr (AfpLmText) text = make (" ab \n|\n| c ", "|", 100, 0, &n_bytes, NULL);

  ck_assert_uint_eq (text->n_documents, 2); /* the one of blanks is none */
  ck_assert_uint_eq (text->tokens[0], 1);
  ck_assert_uint_eq (text->tokens[text->starts[1]], 1);
  ck_assert_uint_eq (n_bytes, 3);
  ck_assert_uint_eq (afp_lm_text_get_n_targets (text), afp_lm_text_get_n_tokens (text));
  for (gsize t = 0; t + 1 < text->starts[1]; t++)
    ck_assert_uint_eq (text->targets[t], text->tokens[t + 1]);
}
END_TEST

START_TEST (documents_end_at_the_context)
{
  guint64 n_bytes;
  g_autoptr (AfpLmText) text = make ("xyzxyzxyz", "|", 4, 0, &n_bytes, NULL);

  ck_assert_uint_eq (text->n_documents, 1);
  ck_assert_uint_eq (afp_lm_text_get_n_tokens (text), 4);
  ck_assert_uint_lt (n_bytes, 9);
}
END_TEST

static const guint windows[][2] = {
  { 4, 0 }, { 4, 2 }, { 4, 1 }, { 4, 100 }, { 1, 0 }, { 100, 3 }
};

/* However it is cut, each token but the first is a target once, and what stands before it in its window stood before it. */
START_TEST (windows_predict_each_token_once)
{
  static const char string[] = "zyxwzyxwzyxwzzyyxxww";
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, string, strlen (string));
  guint64 n_bytes;
  g_autoptr (AfpLmText) text = make (string, NULL, windows[_i][0], windows[_i][1], &n_bytes, NULL);
  gsize next = 0;

  for (gsize d = 0; d < text->n_documents; d++) {
    ck_assert_uint_le (text->starts[d + 1] - text->starts[d], windows[_i][0]);
    for (gsize t = text->starts[d]; t < text->starts[d + 1]; t++)
      if (text->targets[t] != AFP_LM_NO_TARGET)
        ck_assert_uint_eq (text->targets[t], g_array_index (ids, guint32, next++));
  }
  ck_assert_uint_eq (next, ids->len);
  ck_assert_uint_eq (n_bytes, strlen (string) + 1); /* and the blank that goes before it */
}
END_TEST

static const struct {
  const char *text, *separator;
} nothing[] = { { "", NULL }, { "", "|" }, { " \n ", "|" }, { "||||", "|" } };

/* Parts hold whole documents, and one at least; limits are in tokens of the first, second and third document. */
static const struct {
  gsize weights[3]; /* of the lengths */
  gboolean less;    /* one token less */
  guint n_parts;
  gsize ends[3];
} parts[] = {
  { { 0, 0, 0 }, FALSE, 3, { 1, 2, 3 } }, { { 1, 1, 0 }, TRUE, 3, { 1, 2, 3 } },
  { { 1, 1, 0 }, FALSE, 2, { 2, 3 } },    { { 1, 1, 1 }, TRUE, 2, { 2, 3 } },
  { { 1, 1, 1 }, FALSE, 1, { 3 } },       { { 9, 9, 9 }, FALSE, 1, { 3 } },
};

START_TEST (parts_are_whole_documents)
{
  guint64 n_bytes;
  g_autoptr (AfpLmText) text = make ("xyzxxyzx|wz|xyzxyxyzxyzw", "|", 100, 0, &n_bytes, NULL);
  const gsize lengths[] = { text->starts[1], text->starts[2] - text->starts[1],
                            text->starts[3] - text->starts[2] };
  gsize first = 0, n_tokens = 0, limit = 0;

  ck_assert_uint_eq (text->n_documents, 3);
  ck_assert (lengths[2] > lengths[0] && lengths[0] > lengths[1]);
  for (guint i = 0; i < 3; i++)
    limit += parts[_i].weights[i] * lengths[i];
  limit -= parts[_i].less ? 1 : 0;
  ck_assert_uint_eq (afp_lm_text_count_parts (text, limit), parts[_i].n_parts);
  for (guint i = 0; i < parts[_i].n_parts; i++) {
    const gsize end = afp_lm_text_get_part_end (text, first, limit);
    g_autoptr (AfpLmText) part = afp_lm_text_new_part (text, first, end);
    ck_assert_uint_eq (end, parts[_i].ends[i]);
    ck_assert_uint_eq (part->n_documents, end - first);
    ck_assert_uint_eq (part->starts[0], 0);
    ck_assert_mem_eq (part->tokens, text->tokens + text->starts[first],
                      afp_lm_text_get_n_tokens (part) * sizeof *part->tokens);
    ck_assert_mem_eq (part->targets, text->targets + text->starts[first],
                      afp_lm_text_get_n_tokens (part) * sizeof *part->targets);
    n_tokens += afp_lm_text_get_n_tokens (part);
    first = end;
  }
  ck_assert_uint_eq (n_tokens, afp_lm_text_get_n_tokens (text));
}
END_TEST

START_TEST (nothing_to_predict_is_an_error)
{
  guint64 n_bytes;
  GError *error = NULL;

  ck_assert_ptr_null (make (nothing[_i].text, nothing[_i].separator, 10, 0, &n_bytes, &error));
  assert_error (error, AFP_ERROR_FORMAT, "has nothing to predict");
}
END_TEST

START_TEST (one_token_predicts_nothing)
{
  const guint32 token = 5;
  g_autoptr (AfpLmText) text = afp_lm_text_new_tokens (&token, 1);

  ck_assert_uint_eq (afp_lm_text_get_n_tokens (text), 0);
  ck_assert_uint_eq (afp_lm_text_get_n_targets (text), 0);
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_test (tcase, documents_are_stripped_and_begin_with_bos);
  tcase_add_test (tcase, documents_end_at_the_context);
  tcase_add_loop_test (tcase, windows_predict_each_token_once, 0, G_N_ELEMENTS (windows));
  tcase_add_loop_test (tcase, parts_are_whole_documents, 0, G_N_ELEMENTS (parts));
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, nothing_to_predict_is_an_error, 0, G_N_ELEMENTS (nothing));
  tcase_add_test (tcase, one_token_predicts_nothing);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("lm-text", cases, G_N_ELEMENTS (cases));
}
