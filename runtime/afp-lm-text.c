/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* memmem */
#endif

#include "afp-lm-text.h"

#include <string.h>

void
afp_lm_text_builder_init (AfpLmTextBuilder *builder)
{
  const gsize zero = 0;

  builder->tokens = g_array_new (FALSE, FALSE, sizeof (guint32));
  builder->targets = g_array_new (FALSE, FALSE, sizeof (guint32));
  builder->starts = g_array_new (FALSE, FALSE, sizeof (gsize));
  g_array_append_val (builder->starts, zero);
}

void
afp_lm_text_builder_add (AfpLmTextBuilder *builder, const guint32 *ids, gsize n, gsize from)
{
  const guint32 none = AFP_LM_NO_TARGET;

  for (gsize i = 0; i < n; i++) {
    g_array_append_val (builder->tokens, ids[i]);
    g_array_append_vals (builder->targets, i >= from ? &ids[i + 1] : &none, 1);
  }
  const gsize end = builder->tokens->len;
  g_array_append_val (builder->starts, end);
}

AfpLmText *
afp_lm_text_builder_end (AfpLmTextBuilder *builder)
{
  AfpLmText *text = g_new0 (AfpLmText, 1);

  text->n_documents = builder->starts->len - 1;
  text->tokens = (guint32 *) (gpointer) g_array_free (builder->tokens, FALSE);
  text->targets = (guint32 *) (gpointer) g_array_free (builder->targets, FALSE);
  text->starts = (gsize *) (gpointer) g_array_free (builder->starts, FALSE);
  return text;
}

void
afp_lm_text_free (AfpLmText *text)
{
  g_free (text->tokens);
  g_free (text->targets);
  g_free (text->starts);
  g_free (text);
}

gsize
afp_lm_text_get_n_tokens (const AfpLmText *text)
{
  return text->starts[text->n_documents];
}

gsize
afp_lm_text_get_n_targets (const AfpLmText *text)
{
  gsize n = 0;

  for (gsize t = 0; t < afp_lm_text_get_n_tokens (text); t++)
    n += text->targets[t] != AFP_LM_NO_TARGET;
  return n;
}

gsize
afp_lm_text_get_part_end (const AfpLmText *text, gsize first, gsize max_tokens)
{
  gsize end = first + 1;

  while (end < text->n_documents && text->starts[end + 1] - text->starts[first] <= max_tokens)
    end++;
  return end;
}

guint
afp_lm_text_count_parts (const AfpLmText *text, gsize max_tokens)
{
  guint n = 0;

  for (gsize d = 0; d < text->n_documents; d = afp_lm_text_get_part_end (text, d, max_tokens))
    n++;
  return n;
}

AfpLmText *
afp_lm_text_new_part (const AfpLmText *text, gsize first, gsize last)
{
  const gsize begin = text->starts[first], n = text->starts[last] - begin;
  AfpLmText *part = g_new0 (AfpLmText, 1);

  part->n_documents = last - first;
  part->tokens = g_memdup2 (text->tokens + begin, n * sizeof *text->tokens);
  part->targets = g_memdup2 (text->targets + begin, n * sizeof *text->targets);
  part->starts = g_new (gsize, last - first + 1);
  for (gsize d = first; d <= last; d++)
    part->starts[d - first] = text->starts[d] - begin;
  return part;
}

AfpLmText *
afp_lm_text_new_tokens (const guint32 *tokens, gsize n)
{
  AfpLmTextBuilder builder;

  afp_lm_text_builder_init (&builder);
  if (n > 1)
    afp_lm_text_builder_add (&builder, tokens, n - 1, 0);
  return afp_lm_text_builder_end (&builder);
}

/* --- from text ---------------------------------------------------------------------------------------------------- */

/* BOS and the ids. */
static GArray *
encode (const AfpTokenizer *tokenizer, const char *text, gsize n, guint bos)
{
  g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, text, n);

  if (bos != G_MAXUINT)
    g_array_prepend_val (ids, bos);
  return g_steal_pointer (&ids);
}

static guint64
count_bytes (const AfpTokenizer *tokenizer, const guint32 *ids, gsize n)
{
  guint64 bytes = 0;
  gsize length;

  for (gsize i = 0; i < n; i++)
    if (ids[i] < afp_tokenizer_get_size (tokenizer) &&
        afp_tokenizer_get_piece (tokenizer, ids[i], &length))
      bytes += length;
  return bytes;
}

static void
add_stripped (AfpLmTextBuilder *builder, const AfpTokenizer *tokenizer, const char *text, gsize n,
              const AfpLmTextOptions *options, guint64 *n_bytes)
{
  for (; n > 0 && g_ascii_isspace (*text); n--)
    text++;
  while (n > 0 && g_ascii_isspace (text[n - 1]))
    n--;
  if (n == 0)
    return;
  g_autoptr (GArray) ids = encode (tokenizer, text, n, options->bos);
  const gsize targets = MIN (ids->len - 1, options->context);
  const guint32 *all = (const guint32 *) (gpointer) ids->data;
  if (targets == 0)
    return;
  afp_lm_text_builder_add (builder, all, targets, 0);
  *n_bytes += targets == ids->len - 1 ? n : count_bytes (tokenizer, all + 1, targets);
}

static void
add_documents (AfpLmTextBuilder *builder, const AfpTokenizer *tokenizer, const char *text, gsize n,
               const AfpLmTextOptions *options, guint64 *n_bytes)
{
  const gsize length = strlen (options->separator);

  while (n > 0) {
    const char *end = memmem (text, n, options->separator, length);
    const gsize part = end ? (gsize) (end - text) : n, step = MIN (part + length, n);
    add_stripped (builder, tokenizer, text, part, options, n_bytes);
    text += step;
    n -= step;
  }
}

/* Every token but the first is predicted once, with up to @context tokens before it. */
static void
add_windows (AfpLmTextBuilder *builder, const AfpTokenizer *tokenizer, const char *text, gsize n,
             const AfpLmTextOptions *options, guint64 *n_bytes)
{
  g_autoptr (GArray) ids = encode (tokenizer, text, n, options->bos);
  const guint32 *all = (const guint32 *) (gpointer) ids->data;
  const gsize stride = options->stride ? MIN (options->stride, options->context) : options->context;
  gsize done = 0; /* targets */

  for (gsize begin = 0; done + 1 < ids->len; begin += stride) {
    const gsize length = MIN (options->context, ids->len - 1 - begin);
    afp_lm_text_builder_add (builder, all + begin, length, done - begin);
    done = begin + length;
  }
  if (done > 0)
    *n_bytes += count_bytes (tokenizer, all + 1, done);
}

/**
 * afp_lm_text_new:
 * @tokenizer: the model's
 * @text: bytes
 * @n: their number
 * @options: how it is cut
 * @n_bytes: (out): bytes that the targets stand for
 * @error: %AFP_ERROR_FORMAT
 *
 * Returns: (transfer full): tokens and targets
 */
AfpLmText *
afp_lm_text_new (const AfpTokenizer *tokenizer, const char *text, gsize n,
                 const AfpLmTextOptions *options, guint64 *n_bytes, GError **error)
{
  AfpLmTextBuilder builder;

  afp_lm_text_builder_init (&builder);
  *n_bytes = 0;
  if (options->separator && *options->separator)
    add_documents (&builder, tokenizer, text, n, options, n_bytes);
  else
    add_windows (&builder, tokenizer, text, n, options, n_bytes);
  g_autoptr (AfpLmText) result = afp_lm_text_builder_end (&builder);
  if (afp_lm_text_get_n_targets (result) > 0)
    return g_steal_pointer (&result);
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_FORMAT,
      "the text of %" G_GSIZE_FORMAT " bytes has nothing to predict: two tokens are the least", n);
  return NULL;
}
