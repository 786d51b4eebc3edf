/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* memmem */
#endif

#include "pre-tokenizer.h"

#include "text-class.h"

#include <string.h>

static const struct {
  AfpPreTokenizer how;
  const char *regex;
} regexes[] = {
  { AFP_PRE_GPT2, "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|"
                  "\\s+(?!\\S)|\\s+" },
  { AFP_PRE_GPT2, "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|"
                  "\\s+(?!\\S)|\\s+" },
  { AFP_PRE_LLAMA3, "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" },
  { AFP_PRE_QWEN2, "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
                   " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" },
};

gboolean
afp_pre_tokenizer_from_regex (const char *regex, AfpPreTokenizer *how, GError **error)
{
  for (gsize i = 0; i < G_N_ELEMENTS (regexes); i++)
    if (strcmp (regex, regexes[i].regex) == 0) {
      *how = regexes[i].how;
      return TRUE;
    }
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "the tokenizer cuts text by the regular expression \"%.300s\"; supported are those "
               "of GPT-2, Llama 3 and Qwen2",
               regex);
  return FALSE;
}

/* --- runs ---------------------------------------------------------------------------------------------------------- */

static AfpTextClass
class_at (const char *text, gsize n, gsize *length)
{
  gunichar c;

  *length = afp_text_next (text, n, &c);
  return afp_text_class (c);
}

/* End of the characters of one class from @at on, @most of them. */
static gsize
skip_class (const char *text, gsize n, gsize at, AfpTextClass class, gsize most)
{
  gsize length;

  for (; at < n && most > 0 && class_at (text + at, n - at, &length) == class; most--)
    at += length;
  return at;
}

static gboolean
is_line_end (char c)
{
  return c == '\r' || c == '\n';
}

/* A run of blanks: all of it at the end of the text; otherwise all but the last, which belongs to what follows, if there is more than one. */
static gsize
cut_blanks (const char *text, gsize n)
{
  gsize last = 0, at = 0, length;

  while (at < n && class_at (text + at, n - at, &length) == AFP_TEXT_SPACE) {
    last = at;
    at += length;
  }
  return at == n || last == 0 ? at : last;
}

/* --- contractions -------------------------------------------------------------------------------------------------- */

/* One character of a contraction; the long s is an s where capitals count as small letters. 0: none. */
static gsize
match_letter (const char *text, gsize n, char letter, gboolean any_case)
{
  if (n > 0 && (text[0] == letter || (any_case && g_ascii_tolower (text[0]) == letter)))
    return 1;
  return any_case && letter == 's' && n > 1 && memcmp (text, "\xc5\xbf", 2) == 0 ? 2 : 0;
}

/* 's and its like, or 0. */
static gsize
cut_contraction (const char *text, gsize n, gboolean any_case)
{
  static const char *const ends[] = { "s", "t", "re", "ve", "m", "ll", "d" };

  for (gsize i = 0; text[0] == '\'' && i < G_N_ELEMENTS (ends); i++) {
    gsize at = 1, length = 1;
    for (const char *letter = ends[i]; *letter && length > 0; letter++) {
      length = match_letter (text + at, n - at, *letter, any_case);
      at += length;
    }
    if (length > 0)
      return at;
  }
  return 0;
}

/* --- the three ----------------------------------------------------------------------------------------------------- */

static gsize
cut_gpt2 (const char *text, gsize n)
{
  const gsize contraction = cut_contraction (text, n, FALSE);
  const gsize start = text[0] == ' ' && n > 1 ? 1 : 0;
  gsize length;

  if (contraction)
    return contraction;
  const AfpTextClass class = class_at (text + start, n - start, &length);
  if (class == AFP_TEXT_SPACE)
    return cut_blanks (text, n);
  return skip_class (text, n, start, class, G_MAXSIZE);
}

/* Blanks up to the last end of a line among them; 0: there is none. */
static gsize
cut_lines (const char *text, gsize n)
{
  const gsize end = skip_class (text, n, 0, AFP_TEXT_SPACE, G_MAXSIZE);
  gsize at = end;

  while (at > 0 && !is_line_end (text[at - 1]))
    at--;
  return at;
}

static gsize
cut_lines_apart (const char *text, gsize n, gsize most_digits)
{
  const gsize contraction = cut_contraction (text, n, TRUE);
  gsize first, second;
  const AfpTextClass class = class_at (text, n, &first);

  if (contraction)
    return contraction;
  const AfpTextClass next =
      first < n ? class_at (text + first, n - first, &second) : AFP_TEXT_SPACE;
  if (class == AFP_TEXT_LETTER ||
      (class != AFP_TEXT_NUMBER && !is_line_end (text[0]) && next == AFP_TEXT_LETTER))
    return skip_class (text, n, first, AFP_TEXT_LETTER, G_MAXSIZE);
  if (class == AFP_TEXT_NUMBER)
    return skip_class (text, n, first, AFP_TEXT_NUMBER, most_digits - 1);
  if (class == AFP_TEXT_OTHER || (text[0] == ' ' && next == AFP_TEXT_OTHER)) {
    gsize at = skip_class (text, n, first, AFP_TEXT_OTHER, G_MAXSIZE);
    while (at < n && is_line_end (text[at]))
      at++;
    return at;
  }
  const gsize lines = cut_lines (text, n);
  return lines ? lines : cut_blanks (text, n);
}

/* --- others -------------------------------------------------------------------------------------------------------- */

static gsize
cut_digits (const char *text, gsize n, gsize most)
{
  gsize length, at = 0;

  if (class_at (text, n, &length) == AFP_TEXT_NUMBER)
    return skip_class (text, n, 0, AFP_TEXT_NUMBER, most);
  while (at < n && class_at (text + at, n - at, &length) != AFP_TEXT_NUMBER)
    at += length;
  return at;
}

/* Up to the next marker that does not follow another one, or to the next of all. */
static gsize
cut_markers (const char *text, gsize n, const char *marker, gboolean each)
{
  const gsize length = strlen (marker);
  gsize at = 0;

  if (each)
    at = 1;
  else
    while (n - at >= length && memcmp (text + at, marker, length) == 0)
      at += length;
  const char *found = memmem (text + at, n - at, marker, length);
  return found ? (gsize) (found - text) : n;
}

gsize
afp_pre_tokenizer_cut (AfpPreTokenizer how, const char *text, gsize n)
{
  switch (how) {
  case AFP_PRE_GPT2:
    return cut_gpt2 (text, n);
  case AFP_PRE_LLAMA3:
    return cut_lines_apart (text, n, 3);
  case AFP_PRE_QWEN2:
    return cut_lines_apart (text, n, 1);
  case AFP_PRE_DIGIT:
    return cut_digits (text, n, 1);
  case AFP_PRE_DIGITS:
    return cut_digits (text, n, G_MAXSIZE);
  case AFP_PRE_MARKER_WORDS:
    return cut_markers (text, n, AFP_MARKER, FALSE);
  case AFP_PRE_MARKERS:
    return cut_markers (text, n, AFP_MARKER, TRUE);
  case AFP_PRE_BLANK_WORDS:
    return cut_markers (text, n, " ", FALSE);
  }
  g_return_val_if_reached (n);
}
