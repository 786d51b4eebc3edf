/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* memmem */
#endif

#include "normalizer.h"

#include "text-class.h"

#include <string.h>

#define MAX_GROWTH 16
#define FIRST_COMPOSING 0x300 /* nothing below is ever changed by NFC, or put together */

typedef enum { NFC, PREPEND, REPLACE } Kind;

typedef struct {
  Kind kind;
  char *what, *by;
} Step;

struct _AfpNormalizer {
  GArray *steps;
  gsize growth; /* a text becomes so many times as long at most, what is prepended aside */
};

static void
step_clear (gpointer data)
{
  Step *step = data;

  g_free (step->what);
  g_free (step->by);
}

AfpNormalizer *
afp_normalizer_new (void)
{
  AfpNormalizer *self = g_new0 (AfpNormalizer, 1);

  self->growth = 1;
  self->steps = g_array_new (FALSE, FALSE, sizeof (Step));
  g_array_set_clear_func (self->steps, step_clear);
  return self;
}

void
afp_normalizer_free (AfpNormalizer *normalizer)
{
  g_array_unref (normalizer->steps);
  g_free (normalizer);
}

static void
add (AfpNormalizer *self, Kind kind, const char *what, const char *by)
{
  const Step step = { kind, g_strdup (what), g_strdup (by) };

  g_array_append_val (self->steps, step);
}

void
afp_normalizer_add_nfc (AfpNormalizer *normalizer)
{
  add (normalizer, NFC, NULL, NULL);
}

void
afp_normalizer_add_prepend (AfpNormalizer *normalizer, const char *text)
{
  add (normalizer, PREPEND, text, NULL);
}

gboolean
afp_normalizer_add_replace (AfpNormalizer *normalizer, const char *what, const char *by,
                            GError **error)
{
  g_return_val_if_fail (*what, FALSE);
  const gsize growth = normalizer->growth * MAX (1, (strlen (by) - 1) / strlen (what) + 1);

  if (*by && growth > MAX_GROWTH) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_PLAN,
        "the tokenizer replaces \"%.100s\" by \"%.100s\", which can make a text %" G_GSIZE_FORMAT
        " times as long; supported are %d times",
        what, by, growth, MAX_GROWTH);
    return FALSE;
  }
  normalizer->growth = *by ? growth : normalizer->growth;
  add (normalizer, REPLACE, what, by);
  return TRUE;
}

gboolean
afp_normalizer_is_empty (const AfpNormalizer *normalizer)
{
  return normalizer->steps->len == 0;
}

/* End of the run from @at on that is UTF-8 without zeros; @composes: (out): it has characters that NFC may change. */
static gsize
find_run (const char *text, gsize n, gsize at, gboolean *composes)
{
  *composes = FALSE;
  while (at < n && text[at] != '\0') {
    gunichar c;
    const gsize length = afp_text_next (text + at, n - at, &c);
    if (c == AFP_TEXT_BROKEN && length == 1)
      break;
    *composes = *composes || c >= FIRST_COMPOSING;
    at += length;
  }
  return at;
}

static GString *
run_nfc (const char *text, gsize n)
{
  GString *out = g_string_sized_new (n);

  for (gsize at = 0; at < n;) {
    gboolean composes;
    const gsize end = find_run (text, n, at, &composes);
    if (end == at) {
      g_string_append_c (out, text[at++]);
      continue;
    }
    g_autofree char *run =
        composes ? g_utf8_normalize (text + at, (gssize) (end - at), G_NORMALIZE_NFC) : NULL;
    if (run)
      g_string_append (out, run);
    else
      g_string_append_len (out, text + at, (gssize) (end - at));
    at = end;
  }
  return out;
}

static GString *
run_replace (const Step *step, const char *text, gsize n)
{
  GString *out = g_string_sized_new (n);
  const gsize length = strlen (step->what);

  for (;;) {
    const char *found = memmem (text, n, step->what, length);
    const gsize before = found ? (gsize) (found - text) : n;
    g_string_append_len (out, text, (gssize) before);
    if (!found)
      return out;
    g_string_append (out, step->by);
    text += before + length;
    n -= before + length;
  }
}

GString *
afp_normalizer_run (const AfpNormalizer *normalizer, const char *text, gsize n)
{
  GString *now = g_string_new_len (text, (gssize) n);

  for (guint i = 0; i < normalizer->steps->len; i++) {
    const Step *step = &g_array_index (normalizer->steps, Step, i);
    GString *before = now;
    if (step->kind == PREPEND) {
      if (now->len > 0)
        g_string_prepend (now, step->what);
      continue;
    }
    now = step->kind == NFC ? run_nfc (before->str, before->len)
                            : run_replace (step, before->str, before->len);
    g_string_free (before, TRUE);
  }
  return now;
}
