/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "output-set.h"

#include <errno.h>
#include <glib/gstdio.h>

struct _AfpOutputSet {
  gboolean overwrite;
  GPtrArray *outputs;   /* of AfpOutput */
  GPtrArray *locations; /* of char* */
};

AfpOutputSet *
afp_output_set_new (gboolean overwrite)
{
  AfpOutputSet *set = g_new0 (AfpOutputSet, 1);

  set->overwrite = overwrite;
  set->outputs = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_output_free);
  set->locations = g_ptr_array_new_with_free_func (g_free);
  return set;
}

AfpOutput *
afp_output_set_add (AfpOutputSet *set, const char *location, GError **error)
{
  AfpOutput *output = afp_output_new (location, set->overwrite, error);

  if (output == NULL)
    return NULL;
  g_ptr_array_add (set->outputs, output);
  g_ptr_array_add (set->locations, g_strdup (location));
  return output;
}

gboolean
afp_output_set_sync (AfpOutputSet *set, GError **error)
{
  for (guint i = 0; i < set->outputs->len; i++)
    if (!afp_output_sync (set->outputs->pdata[i], error))
      return FALSE;
  return TRUE;
}

static gboolean
remove_file (const char *path, GError **error)
{
  if (g_unlink (path) == 0 || errno == ENOENT)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot remove '%s', which is to be replaced: %s",
               path, g_strerror (errno));
  return FALSE;
}

/* The new files are in place: what cannot be removed now is left. */
static void
remove_stale (AfpOutputSet *set, const GPtrArray *stale)
{
  for (guint i = 0; stale != NULL && i < stale->len; i++)
    if (!g_ptr_array_find_with_equal_func (set->locations, stale->pdata[i], g_str_equal, NULL))
      g_unlink (stale->pdata[i]);
}

gboolean
afp_output_set_publish (AfpOutputSet *set, const GPtrArray *stale, guint64 *file_bytes,
                        GError **error)
{
  const guint n = set->outputs->len;

  *file_bytes = 0;
  if (n > 1 && set->overwrite && !remove_file (set->locations->pdata[n - 1], error))
    return FALSE;
  for (guint i = 0; i < n; i++) {
    guint64 bytes = 0;
    if (!afp_output_publish (set->outputs->pdata[i], &bytes, error)) {
      while (i-- > 0)
        g_unlink (set->locations->pdata[i]);
      return FALSE;
    }
    *file_bytes += bytes;
  }
  remove_stale (set, stale);
  return TRUE;
}

void
afp_output_set_free (AfpOutputSet *set)
{
  g_ptr_array_unref (set->outputs);
  g_ptr_array_unref (set->locations);
  g_free (set);
}
