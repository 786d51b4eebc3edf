/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-error-private.h"

#include <string.h>

/* Longer words are not compared: nobody mistypes them, and the cost grows with the square. */
#define MAX_WORD 64

GQuark
afp_error_quark (void)
{
  return g_quark_from_static_string ("afp-error-quark");
}

/**
 * afp_error_exit_code:
 * @error: (nullable): how a program ended
 *
 * Returns: the exit code of a tool that ends with @error; 0 for %NULL
 */
int
afp_error_exit_code (const GError *error)
{
  static const int codes[] = {
    [AFP_ERROR_USAGE] = 2,  [AFP_ERROR_PROPERTY] = 2,    [AFP_ERROR_NO_ELEMENT] = 3,
    [AFP_ERROR_PLUGIN] = 3, [AFP_ERROR_PLAN] = 4,        [AFP_ERROR_IO] = 5,
    [AFP_ERROR_FORMAT] = 5, [AFP_ERROR_CODEC] = 6,       [AFP_ERROR_METRIC] = 7,
    [AFP_ERROR_MEMORY] = 8, [AFP_ERROR_CANCELLED] = 130,
  };

  if (!error)
    return 0;
  if (error->domain == AFP_ERROR && (guint) error->code < G_N_ELEMENTS (codes))
    return codes[error->code];
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return 130;
  if (error->domain == G_OPTION_ERROR)
    return 2;
  /* Errors of GLib, GIO and the JSON parser: something outside could not be read or written. */
  return 5;
}

/* Edit distance with transpositions of neighbours; case does not count. */
static guint
edit_distance (const char *a, gsize n_a, const char *b, gsize n_b)
{
  guint rows[3][MAX_WORD + 1];
  guint *before = rows[0], *last = rows[1], *row = rows[2];

  for (gsize j = 0; j <= n_b; j++)
    last[j] = (guint) j;
  for (gsize i = 1; i <= n_a; i++) {
    char x = g_ascii_tolower (a[i - 1]);
    row[0] = (guint) i;
    for (gsize j = 1; j <= n_b; j++) {
      char y = g_ascii_tolower (b[j - 1]);
      guint best = MIN (last[j], row[j - 1]) + 1;
      best = MIN (best, last[j - 1] + (x != y));
      if (i > 1 && j > 1 && x == g_ascii_tolower (b[j - 2]) && y == g_ascii_tolower (a[i - 2]))
        best = MIN (best, before[j - 2] + 1);
      row[j] = best;
    }
    guint *spare = before;
    before = last;
    last = row;
    row = spare;
  }
  return last[n_b];
}

/**
 * afp_nearest_name:
 * @word: what was typed
 * @names: (array length=n_names): what exists; entries may be %NULL
 * @n_names: number of names
 *
 * Returns: (nullable) (transfer none): the name that was probably meant: a few typing errors away, or begun with @word;
 *   %NULL if none is near
 */
const char *
afp_nearest_name (const char *word, const char *const *names, gsize n_names)
{
  gsize length = strlen (word);
  if (length == 0 || length > MAX_WORD)
    return NULL;

  const char *best = NULL;
  guint limit = length <= 2 ? 0 : 1 + (guint) (length - 1) / 4;
  guint best_distance = limit + 1;
  for (gsize i = 0; i < n_names; i++) {
    gsize n = names[i] ? strlen (names[i]) : 0;
    if (n == 0 || n > MAX_WORD)
      continue;
    guint distance = edit_distance (word, length, names[i], n);
    if (distance < best_distance) {
      best_distance = distance;
      best = names[i];
    }
  }
  for (gsize i = 0; !best && length >= 2 && i < n_names; i++)
    if (names[i] && g_ascii_strncasecmp (names[i], word, length) == 0)
      best = names[i];
  return best;
}

char *
afp_nearest_hint (const char *word, const char *const *names, gsize n_names)
{
  const char *nearest = afp_nearest_name (word, names, n_names);
  return nearest ? g_strdup_printf ("; did you mean '%s'?", nearest) : g_strdup ("");
}
