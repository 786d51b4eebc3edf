/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-identity.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define ID_DIGITS 32
#define CHUNK (1 << 20)
/* Raised when records of before are no longer what a run would give. */
#define RECORD_VERSION "afpipe record 1 of " AFP_VERSION

struct _AfpIdentifier {
  GHashTable *files; /* path -> hash */
};

AfpIdentifier *
afp_identifier_new (void)
{
  AfpIdentifier *self = g_new0 (AfpIdentifier, 1);

  self->files = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return self;
}

void
afp_identifier_free (AfpIdentifier *self)
{
  g_hash_table_unref (self->files);
  g_free (self);
}

/* With its end, so that two texts are not another two joined otherwise. */
static void
add_text (GChecksum *checksum, const char *text)
{
  g_checksum_update (checksum, (const guchar *) (text ? text : ""),
                     (gssize) strlen (text ? text : "") + 1);
}

/* --- files --- */

static char *
hash_file (const char *path)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree guchar *chunk = g_malloc (CHUNK);
  const int fd = open (path, O_RDONLY | O_CLOEXEC);
  gssize n = -1;

  while (fd >= 0 && (n = read (fd, chunk, CHUNK)) > 0)
    g_checksum_update (checksum, chunk, n);
  if (fd >= 0)
    close (fd);
  return g_strdup (n == 0 ? g_checksum_get_string (checksum) : "unreadable");
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* Names and bytes of the files in it. */
static char *
hash_folder (const char *path)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) folder = g_dir_open (path, 0, NULL);
  const char *name;

  while (folder && (name = g_dir_read_name (folder)))
    g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *file = g_build_filename (path, names->pdata[i], NULL);
    if (!g_file_test (file, G_FILE_TEST_IS_REGULAR))
      continue;
    g_autofree char *hash = hash_file (file);
    add_text (checksum, names->pdata[i]);
    add_text (checksum, hash);
  }
  return g_strdup (g_checksum_get_string (checksum));
}

static const char *
look_at (AfpIdentifier *self, const char *path)
{
  const char *known = g_hash_table_lookup (self->files, path);
  g_autofree char *folder = g_path_get_dirname (path);
  char *hash;

  if (known)
    return known;
  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    hash = hash_folder (path);
  else if (g_str_has_suffix (path, ".index.json"))
    hash = hash_folder (folder);
  else
    hash = hash_file (path);
  g_hash_table_insert (self->files, g_strdup (path), hash);
  return hash;
}

/* --- elements --- */

/* Any text that is the name of a file: a plugin may not say of its property that it is one. What a sink writes is none. */
static gboolean
is_input (AfpElement *element, const AfpProperty *row, const char *value)
{
  if (row->type != AFP_PROPERTY_STRING || !value || !*value ||
      (AFP_IS_SINK (element) && strcmp (row->name, "location") == 0))
    return FALSE;
  return row->flags & AFP_PROPERTY_FILE || g_file_test (value, G_FILE_TEST_IS_REGULAR);
}

static void
add_files (AfpIdentifier *self, GChecksum *checksum, AfpElement *element)
{
  gsize n;
  g_autofree const AfpProperty **rows =
      afp_element_class_list_properties (AFP_ELEMENT_GET_CLASS (element), &n);

  for (gsize i = 0; i < n; i++) {
    g_autofree char *value = afp_element_get_property_text (element, rows[i]->name);
    if (!is_input (element, rows[i], value))
      continue;
    add_text (checksum, rows[i]->name);
    add_text (checksum, look_at (self, value));
  }
}

static void
add_plugin (AfpIdentifier *self, GChecksum *checksum, AfpElement *element)
{
  AfpElementFactory *factory =
      afp_registry_find (afp_registry_get_default (), afp_element_get_factory_name (element));
  AfpPlugin *plugin = factory ? afp_element_factory_get_plugin (factory) : NULL;

  if (!plugin || !afp_plugin_get_filename (plugin))
    return;
  add_text (checksum, afp_plugin_get_name (plugin));
  add_text (checksum, afp_plugin_get_version (plugin));
  add_text (checksum, look_at (self, afp_plugin_get_filename (plugin)));
}

char *
afp_identifier_identify (AfpIdentifier *self, const char *text, char **fingerprint)
{
  g_autoptr (GChecksum) all = g_checksum_new (G_CHECKSUM_SHA256);
  g_autoptr (GChecksum) inputs = g_checksum_new (G_CHECKSUM_SHA256);
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, NULL);
  GPtrArray *elements = pipeline ? afp_pipeline_get_elements (pipeline) : NULL;

  add_text (all, RECORD_VERSION);
  add_text (all, text);
  for (guint i = 0; elements && i < elements->len; i++) {
    add_files (self, inputs, elements->pdata[i]);
    add_plugin (self, all, elements->pdata[i]);
  }
  add_text (all, g_checksum_get_string (inputs));
  *fingerprint = g_strndup (g_checksum_get_string (inputs), ID_DIGITS);
  return g_strndup (g_checksum_get_string (all), ID_DIGITS);
}
