/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "added-tokens.h"

#include "text-class.h"

#include <string.h>

typedef struct {
  char *bytes;
  gsize n;
  guint32 id;
  AfpAddedFlags flags;
} Added;

struct _AfpAddedTokens {
  GArray *by_first[256]; /* of Added, the longest first; nullable */
};

static void
added_clear (gpointer data)
{
  g_free (((Added *) data)->bytes);
}

AfpAddedTokens *
afp_added_tokens_new (void)
{
  return g_new0 (AfpAddedTokens, 1);
}

void
afp_added_tokens_free (AfpAddedTokens *tokens)
{
  for (guint i = 0; i < 256; i++)
    g_clear_pointer (&tokens->by_first[i], g_array_unref);
  g_free (tokens);
}

void
afp_added_tokens_add (AfpAddedTokens *tokens, const char *bytes, gsize n, guint32 id,
                      AfpAddedFlags flags)
{
  g_return_if_fail (n > 0);
  GArray **list = &tokens->by_first[(guchar) bytes[0]];
  const Added added = { g_memdup2 (bytes, n), n, id, flags };
  guint at = 0;

  if (!*list) {
    *list = g_array_new (FALSE, FALSE, sizeof (Added));
    g_array_set_clear_func (*list, added_clear);
  }
  while (at < (*list)->len && g_array_index (*list, Added, at).n > n)
    at++;
  g_array_insert_val (*list, at, added);
}

gboolean
afp_added_tokens_is_empty (const AfpAddedTokens *tokens)
{
  for (guint i = 0; i < 256; i++)
    if (tokens->by_first[i])
      return FALSE;
  return TRUE;
}

static const Added *
match_at (const AfpAddedTokens *self, const char *text, gsize n)
{
  const GArray *list = self->by_first[(guchar) text[0]];

  for (guint i = 0; list && i < list->len; i++) {
    const Added *added = &g_array_index (list, Added, i);
    if (added->n <= n && memcmp (added->bytes, text, added->n) == 0)
      return added;
  }
  return NULL;
}

/* Start of the blanks that end at @end, not before @from. */
static gsize
skip_back (const char *text, gsize from, gsize end)
{
  for (gsize at = end; at > from;) {
    gunichar c;
    for (at--; at > from && ((guchar) text[at] & 0xc0) == 0x80;)
      at--;
    if (afp_text_next (text + at, end - at, &c) != end - at || afp_text_class (c) != AFP_TEXT_SPACE)
      return end;
    end = at;
  }
  return end;
}

static gsize
skip_blanks (const char *text, gsize n, gsize at)
{
  while (at < n) {
    gunichar c;
    const gsize length = afp_text_next (text + at, n - at, &c);
    if (afp_text_class (c) != AFP_TEXT_SPACE)
      break;
    at += length;
  }
  return at;
}

gboolean
afp_added_tokens_find (const AfpAddedTokens *tokens, const char *text, gsize n, gsize from,
                       AfpAddedMatch *match)
{
  for (gsize at = from; at < n; at++) {
    const Added *added = match_at (tokens, text + at, n - at);
    if (!added)
      continue;
    match->id = added->id;
    match->start = added->flags & AFP_ADDED_STRIP_LEFT ? skip_back (text, from, at) : at;
    match->end = at + added->n;
    if (added->flags & AFP_ADDED_STRIP_RIGHT)
      match->end = skip_blanks (text, n, match->end);
    return TRUE;
  }
  return FALSE;
}
