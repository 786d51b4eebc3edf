/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bpe.h"
#include "text-class.h"
#include "tokenizer-private.h"

#include <string.h>

void
afp_tokenizer_free (AfpTokenizer *tokenizer)
{
  g_clear_pointer (&tokenizer->pieces, afp_vocabulary_free);
  g_clear_pointer (&tokenizer->strings, afp_vocabulary_free);
  g_clear_pointer (&tokenizer->merges, afp_merge_table_free);
  g_clear_pointer (&tokenizer->added, afp_added_tokens_free);
  g_clear_pointer (&tokenizer->added_later, afp_added_tokens_free);
  g_clear_pointer (&tokenizer->normalizer, afp_normalizer_free);
  g_clear_pointer (&tokenizer->steps, g_array_unref);
  g_free (tokenizer->scores);
  g_free (tokenizer);
}

guint
afp_tokenizer_get_size (const AfpTokenizer *tokenizer)
{
  return afp_vocabulary_get_size (tokenizer->pieces);
}

guint32
afp_tokenizer_get_bos (const AfpTokenizer *tokenizer)
{
  return tokenizer->bos;
}

guint32
afp_tokenizer_get_eos (const AfpTokenizer *tokenizer)
{
  return tokenizer->eos;
}

gboolean
afp_tokenizer_adds_bos (const AfpTokenizer *tokenizer)
{
  return tokenizer->adds_bos;
}

const char *
afp_tokenizer_get_piece (const AfpTokenizer *tokenizer, guint32 id, gsize *n)
{
  return afp_vocabulary_get (tokenizer->pieces, id, n);
}

/* --- words --------------------------------------------------------------------------------------------------------- */

/* A word that was met, and its ids. */
typedef struct {
  char bytes[24];
  guint8 n, n_ids; /* 0 bytes: none yet */
  guint32 ids[8];
} Known;

#define N_KNOWN 8192 /* a power of two */

/* An encoding in work. */
typedef struct {
  const AfpTokenizer *self;
  GArray *ids;
  Known *known;      /* by a hash of the word; the last one that came stays */
  gboolean at_start; /* of the text */
} Encoder;

static gboolean
find_merge (gpointer user_data, guint32 left, guint32 right, double *rank, guint32 *merged)
{
  const AfpTokenizer *self = user_data;
  guint32 number;

  if (!afp_merge_table_find (self->merges, left, right, &number, merged))
    return FALSE;
  *rank = number;
  return TRUE;
}

static gboolean
find_scored (gpointer user_data, guint32 left, guint32 right, double *rank, guint32 *merged)
{
  const AfpTokenizer *self = user_data;
  gsize n_left, n_right;
  const char *a = afp_vocabulary_get (self->strings, left, &n_left);
  const char *b = afp_vocabulary_get (self->strings, right, &n_right);
  char bytes[256];

  if (n_left + n_right > MIN (self->longest, sizeof bytes))
    return FALSE;
  memcpy (bytes, a, n_left);
  memcpy (bytes + n_left, b, n_right);
  *merged = afp_vocabulary_find (self->strings, bytes, n_left + n_right);
  if (*merged == AFP_VOCABULARY_NONE)
    return FALSE;
  *rank = -(double) self->scores[*merged];
  return TRUE;
}

/* What has no token: the unknown one, or nothing. */
static void
add_unknown (Encoder *encoder, gboolean *is_last)
{
  const AfpTokenizer *self = encoder->self;

  if (self->unknown != AFP_TOKEN_NONE && !(*is_last && self->fuse_unknown))
    g_array_append_val (encoder->ids, self->unknown);
  *is_last = TRUE;
}

static void
add_bytes (Encoder *encoder, const char *text, gsize n)
{
  gboolean unknown = FALSE;

  for (gsize i = 0; i < n; i++) {
    const guint32 id = encoder->self->byte_ids[(guchar) text[i]];
    if (id == AFP_TOKEN_NONE)
      add_unknown (encoder, &unknown);
    else {
      g_array_append_val (encoder->ids, id);
      unknown = FALSE;
    }
  }
}

static gboolean
has_bytes (const AfpTokenizer *self, const char *text, gsize n)
{
  for (gsize i = 0; i < n; i++)
    if (self->byte_ids[(guchar) text[i]] == AFP_TOKEN_NONE)
      return FALSE;
  return TRUE;
}

/* Characters; those without a token become bytes. */
static void
add_characters (Encoder *encoder, const char *text, gsize n)
{
  const AfpTokenizer *self = encoder->self;
  gboolean unknown = FALSE;

  for (gsize at = 0, length; at < n; at += length) {
    gunichar c;
    length = afp_text_next (text + at, n - at, &c);
    const guint32 id = afp_vocabulary_find (self->strings, text + at, length);
    if (id == AFP_VOCABULARY_NONE && !has_bytes (self, text + at, length)) {
      add_unknown (encoder, &unknown);
      continue;
    }
    unknown = FALSE;
    if (id == AFP_VOCABULARY_NONE)
      add_bytes (encoder, text + at, length);
    else
      g_array_append_val (encoder->ids, id);
  }
}

static void
merge_word (Encoder *encoder, const char *text, gsize n)
{
  const AfpTokenizer *self = encoder->self;
  const guint start = encoder->ids->len;

  if (self->ignore_merges) {
    const guint32 id =
        afp_vocabulary_find (self->byte_level ? self->pieces : self->strings, text, n);
    if (id != AFP_VOCABULARY_NONE) {
      g_array_append_val (encoder->ids, id);
      return;
    }
  }
  if (self->byte_level)
    add_bytes (encoder, text, n);
  else
    add_characters (encoder, text, n);
  const gsize left =
      afp_bpe_merge (&g_array_index (encoder->ids, guint32, start), encoder->ids->len - start,
                     self->merges ? find_merge : find_scored, (gpointer) self);
  g_array_set_size (encoder->ids, start + (guint) left);
}

static Known *
find_known (Encoder *encoder, const char *text, gsize n)
{
  guint32 hash = 2166136261u; /* FNV-1a */

  for (gsize i = 0; i < n; i++)
    hash = (hash ^ (guchar) text[i]) * 16777619u;
  return &encoder->known[(hash ^ hash >> 16) & (N_KNOWN - 1)];
}

/* Words come again and again: most are merged once. */
static void
add_word (Encoder *encoder, const char *text, gsize n)
{
  const guint start = encoder->ids->len;
  Known *known = n <= sizeof known->bytes ? find_known (encoder, text, n) : NULL;

  if (known && known->n == n && memcmp (known->bytes, text, n) == 0) {
    g_array_append_vals (encoder->ids, known->ids, known->n_ids);
    return;
  }
  merge_word (encoder, text, n);
  const guint n_ids = encoder->ids->len - start;
  if (!known || n_ids == 0 || n_ids > G_N_ELEMENTS (known->ids))
    return;
  known->n = (guint8) n;
  known->n_ids = (guint8) n_ids;
  memcpy (known->bytes, text, n);
  memcpy (known->ids, &g_array_index (encoder->ids, guint32, start), n_ids * sizeof (guint32));
}

/* --- texts --------------------------------------------------------------------------------------------------------- */

static void run_steps (Encoder *encoder, guint step, const char *text, gsize n);

static void
cut (Encoder *encoder, guint step, const char *text, gsize n)
{
  const AfpPreTokenizer how = g_array_index (encoder->self->steps, AfpStep, step).how;

  for (gsize at = 0, length; at < n; at += length) {
    length = afp_pre_tokenizer_cut (how, text + at, n - at);
    run_steps (encoder, step + 1, text + at, length);
  }
}

static void
mark (Encoder *encoder, guint step, AfpStepKind kind, const char *text, gsize n)
{
  g_autoptr (GString) marked = g_string_sized_new (n + n / 2);

  for (gsize i = 0; i < n; i++)
    if (text[i] == ' ')
      g_string_append (marked, AFP_MARKER);
    else
      g_string_append_c (marked, text[i]);
  if ((kind == AFP_STEP_MARK_ALL || (kind == AFP_STEP_MARK_FIRST && encoder->at_start)) &&
      !g_str_has_prefix (marked->str, AFP_MARKER))
    g_string_prepend (marked, AFP_MARKER);
  run_steps (encoder, step + 1, marked->str, marked->len);
}

static void
run_steps (Encoder *encoder, guint step, const char *text, gsize n)
{
  const GArray *steps = encoder->self->steps;

  if (step == steps->len) {
    add_word (encoder, text, n);
    encoder->at_start = FALSE;
    return;
  }
  const AfpStepKind kind = g_array_index (steps, AfpStep, step).kind;
  if (kind == AFP_STEP_CUT)
    cut (encoder, step, text, n);
  else if (kind != AFP_STEP_BLANK_FIRST)
    mark (encoder, step, kind, text, n);
  else if (text[0] == ' ')
    run_steps (encoder, step + 1, text, n);
  else {
    g_autofree char *longer = g_malloc (n + 1);
    longer[0] = ' ';
    memcpy (longer + 1, text, n);
    run_steps (encoder, step + 1, longer, n + 1);
  }
}

typedef void (*BetweenFunc) (Encoder *encoder, const char *text, gsize n);

/* Ids of the added tokens in a text; @between gets what lies between them. */
static void
split (Encoder *encoder, const AfpAddedTokens *added, const char *text, gsize n,
       BetweenFunc between)
{
  AfpAddedMatch match;
  gsize at = 0;

  while (afp_added_tokens_find (added, text, n, at, &match)) {
    if (match.start > at)
      between (encoder, text + at, match.start - at);
    g_array_append_val (encoder->ids, match.id);
    at = match.end;
    encoder->at_start = FALSE;
  }
  if (at < n)
    between (encoder, text + at, n - at);
}

static void
encode_normal (Encoder *encoder, const char *text, gsize n)
{
  run_steps (encoder, 0, text, n);
}

static void
normalize (Encoder *encoder, const char *text, gsize n)
{
  if (afp_normalizer_is_empty (encoder->self->normalizer)) {
    split (encoder, encoder->self->added_later, text, n, encode_normal);
    return;
  }
  g_autoptr (GString) normal = afp_normalizer_run (encoder->self->normalizer, text, n);
  split (encoder, encoder->self->added_later, normal->str, normal->len, encode_normal);
}

/**
 * afp_tokenizer_encode:
 * @tokenizer: a tokenizer
 * @text: any bytes
 * @n: their number
 *
 * Added tokens are taken out, what lies between is normalized and cut into words; each word becomes tokens of its characters or bytes, and
 * the pair of neighbours that comes first by rank or score is merged, again and again.
 *
 * Returns: (transfer full) (element-type guint32): ids
 */
GArray *
afp_tokenizer_encode (const AfpTokenizer *tokenizer, const char *text, gsize n)
{
  g_autofree Known *known = g_new0 (Known, N_KNOWN);
  Encoder encoder = { tokenizer, g_array_new (FALSE, FALSE, sizeof (guint32)), known, TRUE };

  split (&encoder, tokenizer->added, text, n, normalize);
  return encoder.ids;
}
