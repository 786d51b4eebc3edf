/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-options.h"

#include <math.h>

gboolean
eval_is_set (const char *text)
{
  return text && *text;
}

gboolean
eval_check_file (const char *property, const char *path, GError **error)
{
  if (!eval_is_set (path) || g_file_test (path, G_FILE_TEST_IS_REGULAR))
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "%s=%s: there is no such file", property, path);
  return FALSE;
}

char *
eval_read_file (const char *property, const char *path, gsize *n, GError **error)
{
  char *text = NULL;
  GError *local = NULL;

  if (g_file_get_contents (path, &text, n, &local))
    return text;
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "%s=: %s", property, local->message);
  g_error_free (local);
  return NULL;
}

gboolean
eval_parse_ratio (const char *property, const char *text, double *value, GError **error)
{
  char *end = NULL;
  double below = 1;

  *value = g_ascii_strtod (text, &end);
  gboolean ok = end != text;
  if (ok && *end == '/') {
    const char *rest = end + 1;
    below = g_ascii_strtod (rest, &end);
    ok = end != rest;
  }
  *value /= below;
  if (ok && *end == '\0' && isfinite (*value) && *value != 0)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
               "%s=%s: give a number other than 0, or a ratio, like 0.5 or 1/255", property, text);
  return FALSE;
}
