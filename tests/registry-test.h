/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Folders with plugins, good and bad. */
#pragma once

#include "core-test.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The plugins of tests/plugins, as libtool leaves them. They are linked into scratch folders, not copied: one file is one module. */
static char *modules;
static GPtrArray *scratch;

static inline char *
new_folder (void)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("afp-registry-XXXXXX", &error);
  ck_assert_msg (folder != NULL, "%s", error ? error->message : "");
  g_ptr_array_add (scratch, folder);
  return folder;
}

static inline void
put_module (const char *folder, const char *plugin, const char *as)
{
  g_autofree char *name = g_strdup_printf ("afp%s.so", plugin);
  g_autofree char *from = g_build_filename (modules, name, NULL);
  g_autofree char *to = g_build_filename (folder, as ? as : name, NULL);
  ck_assert_msg (g_file_test (from, G_FILE_TEST_EXISTS), "%s", from);
  ck_assert_int_eq (symlink (from, to), 0);
}

static inline void
put_text (const char *folder, const char *as)
{
  g_autofree char *to = g_build_filename (folder, as, NULL);
  ck_assert (g_file_set_contents (to, "no module at all, but long enough to look at", -1, NULL));
}

static inline void
remove_tree (const char *path)
{
  g_autoptr (GDir) dir =
      g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *child = g_build_filename (path, name, NULL);
    remove_tree (child);
  }
  g_remove (path);
}

static inline void
set_up (void)
{
  scratch = g_ptr_array_new_with_free_func (g_free);
}

static inline void
tear_down (void)
{
  for (guint i = 0; i < scratch->len; i++)
    remove_tree (scratch->pdata[i]);
  g_ptr_array_unref (scratch);
}

/* Exactly one problem, of this file, for this reason. */
static inline void
check_problem (AfpRegistry *registry, const char *file, const char *reason)
{
  g_autoptr (GPtrArray) problems = afp_registry_list_problems (registry);
  ck_assert_uint_eq (problems->len, 1);
  const AfpPluginProblem *problem = problems->pdata[0];
  ck_assert_msg (g_str_has_suffix (problem->filename, file), "%s", problem->filename);
  ck_assert_msg (strstr (problem->reason, reason) != NULL, "'%s' is not in: %s", reason,
                 problem->reason);
}

static inline guint
count_problems (AfpRegistry *registry)
{
  g_autoptr (GPtrArray) problems = afp_registry_list_problems (registry);
  return problems->len;
}

static inline gboolean
has_plugin (AfpRegistry *registry, const char *name)
{
  g_autoptr (GPtrArray) plugins = afp_registry_list_plugins (registry);
  for (guint i = 0; i < plugins->len; i++)
    if (strcmp (afp_plugin_get_name (plugins->pdata[i]), name) == 0)
      return TRUE;
  return FALSE;
}

/* A copy, perhaps of the beginning only, perhaps with another byte. */
static inline void
copy_module (const char *folder, const char *plugin, const char *as, gsize length, gsize at,
             guint8 byte)
{
  g_autofree char *from = g_strdup_printf ("%s/afp%s.so", modules, plugin);
  g_autofree char *to = g_build_filename (folder, as, NULL);
  g_autofree char *data = NULL;
  gsize size;

  ck_assert (g_file_get_contents (from, &data, &size, NULL));
  if (at)
    data[at] = (char) byte;
  ck_assert (g_file_set_contents (to, data, (gssize) MIN (length, size), NULL));
}
