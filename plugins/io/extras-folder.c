/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "extras-folder.h"

#include "io-input.h"

#include <string.h>
#include <sys/stat.h>

static const char *const known[] = { AFP_EXTRA_CONFIG, "generation_config.json",
                                     AFP_EXTRA_TOKENIZER, "tokenizer_config.json",
                                     "special_tokens_map.json" };

static char *
place_beside (const char *path, const char *name)
{
  g_autofree char *folder = g_path_get_dirname (path);

  return g_build_filename (folder, name, NULL);
}

gboolean
afp_extras_folder_has_name (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (known); i++)
    if (strcmp (name, known[i]) == 0)
      return TRUE;
  return FALSE;
}

char **
afp_extras_folder_list (const char *path, GPtrArray *notes)
{
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();
  struct stat info;

  for (guint i = 0; i < G_N_ELEMENTS (known); i++) {
    g_autofree char *file = place_beside (path, known[i]);
    if (stat (file, &info) != 0 || !S_ISREG (info.st_mode) || info.st_size == 0)
      continue;
    if ((guint64) info.st_size <= AFP_EXTRA_MAX_BYTES)
      g_strv_builder_add (names, known[i]);
    else if (notes != NULL)
      g_ptr_array_add (notes, g_strdup_printf ("left out: '%s' has %" G_GUINT64_FORMAT
                                               " bytes; the limit is %" G_GUINT64_FORMAT,
                                               file, (guint64) info.st_size, AFP_EXTRA_MAX_BYTES));
  }
  return g_strv_builder_end (names);
}

GBytes *
afp_extras_file_read (const char *path, GError **error)
{
  struct stat info;

  if (stat (path, &info) == 0 && !S_ISREG (info.st_mode)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot read '%s': it is not an ordinary file",
                 path);
    return NULL;
  }
  g_autoptr (GBytes) bytes = afp_input_map (path, error);
  if (bytes == NULL)
    return NULL;
  const gsize n = g_bytes_get_size (bytes);
  if (n == 0 || n > AFP_EXTRA_MAX_BYTES) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' has %" G_GSIZE_FORMAT " bytes; 1 to %" G_GUINT64_FORMAT " are expected",
                 path, n, AFP_EXTRA_MAX_BYTES);
    return NULL;
  }
  return g_steal_pointer (&bytes);
}

GBytes *
afp_extras_folder_read (const char *path, const char *name, GError **error)
{
  g_autofree char *file = place_beside (path, name);

  return afp_extras_file_read (file, error);
}
