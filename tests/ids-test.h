/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of tests/data/tokenizer, which tests/oracle/tokenizer-ids.py makes. */
#pragma once

#include "core-test.h"

#include "afp-tokenizer.h"

#include <string.h>

static inline GBytes *
read_tokenizer_data (const char *name)
{
  g_autofree char *path =
      g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "tests", "data", "tokenizer", name, NULL);
  GError *error = NULL;
  char *data;
  gsize n;

  ck_assert_msg (g_file_get_contents (path, &data, &n, &error), "%s", error ? error->message : "");
  return g_bytes_new_take (data, n);
}

/* Bytes from hexadecimal. */
static inline GString *
read_hex (const char *hex, gsize n)
{
  GString *bytes = g_string_new (NULL);

  for (gsize i = 0; i + 1 < n; i += 2)
    g_string_append_c (
        bytes, (char) (g_ascii_xdigit_value (hex[i]) << 4 | g_ascii_xdigit_value (hex[i + 1])));
  return bytes;
}

static inline char *
ids_to_text (const GArray *ids)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < ids->len; i++)
    g_string_append_printf (text, " %u", g_array_index (ids, guint32, i));
  return g_string_free (text, FALSE);
}

/* The pieces of the ids, put together. */
static inline GString *
join_pieces (const AfpTokenizer *tokenizer, const GArray *ids)
{
  GString *text = g_string_new (NULL);
  gsize n;

  for (guint i = 0; i < ids->len; i++) {
    const char *piece = afp_tokenizer_get_piece (tokenizer, g_array_index (ids, guint32, i), &n);
    g_string_append_len (text, piece, (gssize) n);
  }
  return text;
}

/* It has tokens that take blanks with them, which have no place in a GGUF file and no text of their own. */
static inline gboolean
strips_blanks (const GString *text)
{
  return strstr (text->str, "<|mark|>") != NULL || strstr (text->str, "<|left|>") != NULL;
}

typedef gboolean (*SkipFunc) (const GString *text);

/* Every line "HEX: ids" of the file; @skip: (nullable); @lossless: the pieces put together give the text. Returns how many lines. */
static inline guint
check_ids (const AfpTokenizer *tokenizer, const char *name, SkipFunc skip, gboolean lossless)
{
  g_autoptr (GBytes) file = read_tokenizer_data (name);
  g_autofree char *all = g_strndup (g_bytes_get_data (file, NULL), g_bytes_get_size (file));
  g_auto (GStrv) lines = g_strsplit (all, "\n", -1);
  guint n = 0;

  for (char **line = lines; *line; line++) {
    const char *colon = strchr (*line, ':');
    if (!colon || strspn (*line, "0123456789abcdef") != (gsize) (colon - *line))
      continue;
    g_autoptr (GString) text = read_hex (*line, (gsize) (colon - *line));
    if (skip && skip (text))
      continue;
    g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, text->str, text->len);
    g_autofree char *got = ids_to_text (ids);
    ck_assert_msg (strcmp (got, colon + 1) == 0, "%s: \"%s\" (%.*s) gives%s, not%s", name,
                   text->str, (int) (colon - *line), *line, got, colon + 1);
    g_autoptr (GString) joined = join_pieces (tokenizer, ids);
    ck_assert_msg (!lossless || g_string_equal (joined, text), "%s: \"%s\" (%.*s) becomes \"%s\"",
                   name, text->str, (int) (colon - *line), *line, joined->str);
    n++;
  }
  return n;
}
