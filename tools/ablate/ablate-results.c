/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-results.h"

#include "ablate-identity.h"
#include "json-util.h"
#include "tool-util.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOG_NAME "results.jsonl"
#define OTHER_NAME "other.jsonl"
#define MAX_DEPTH 16

char *
afp_results_get_path (const AfpResults *self, const char *name)
{
  return g_build_filename (self->folder, name, NULL);
}

char *
afp_results_format_line (JsonObject *record)
{
  g_autoptr (JsonNode) node = json_node_init_object (json_node_alloc (), record);
  g_autofree char *text = json_to_string (node, FALSE);

  return g_strconcat (text, "\n", NULL);
}

/* --- reading --- */

/* Whole lines that are records; of two with one id the last. A torn last line is no line. */
static gboolean
read_lines (const AfpResults *self, const char *name, GHashTable *found, GError **error)
{
  g_autofree char *path = afp_results_get_path (self, name), *text = NULL;
  const char *end;
  gsize n;

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;
  if (!g_file_get_contents (path, &text, &n, error)) {
    g_prefix_error (error, "the study in '%s' cannot be gone on with: ", self->folder);
    (*error)->domain = AFP_ERROR;
    (*error)->code = AFP_ERROR_IO;
    return FALSE;
  }
  for (const char *at = text; (end = memchr (at, '\n', n - (gsize) (at - text))); at = end + 1) {
    g_autoptr (JsonNode) node = afp_json_parse (at, (gsize) (end - at), MAX_DEPTH, path, NULL);
    JsonObject *record = node && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
    const char *id = record ? afp_json_get_text (record, "id", NULL) : NULL;
    if (id)
      g_hash_table_replace (found, g_strdup (id), json_object_ref (record));
  }
  return TRUE;
}

/* Those of other runs are kept: the study may get them back. */
static gboolean
keep_others (const AfpResults *self, GHashTable *found, GError **error)
{
  g_autofree char *path = afp_results_get_path (self, OTHER_NAME);
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GList) ids = g_list_sort (g_hash_table_get_keys (found), (GCompareFunc) strcmp);

  for (GList *l = ids; l; l = l->next) {
    g_autofree char *line = afp_results_format_line (g_hash_table_lookup (found, l->data));
    g_string_append (text, line);
  }
  if (text->len)
    return tool_write_file (path, text->str, error);
  unlink (path);
  return TRUE;
}

/* The records of the study's own runs leave @found. */
static void
take_over (AfpResults *self, GHashTable *found)
{
  g_autoptr (GHashTable) used = g_hash_table_new (g_str_hash, g_str_equal);
  GHashTableIter iter;
  gpointer id;

  for (guint i = 0; i < self->records->len; i++) {
    JsonObject *record = g_hash_table_lookup (found, self->ids->pdata[i]);
    if (!record)
      continue;
    g_hash_table_add (used, self->ids->pdata[i]);
    if (!afp_record_is_ok (record))
      continue;
    afp_record_place (record, self->study, i, self->records);
    self->records->pdata[i] = json_object_ref (record);
    self->n_found++;
  }
  g_hash_table_iter_init (&iter, used);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    g_hash_table_remove (found, id);
}

/* --- the folder --- */

static gboolean
lock_folder (AfpResults *self, GError **error)
{
  if (g_mkdir_with_parents (self->folder, 0777) != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot make the folder '%s' of the study: %s",
                 self->folder, g_strerror (errno));
    return FALSE;
  }
  self->lock = open (self->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (self->lock >= 0 && flock (self->lock, LOCK_EX | LOCK_NB) == 0)
    return TRUE;
  if (errno == EWOULDBLOCK)
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                 "another process works on the study in '%s': wait for it, or give another --out",
                 self->folder);
  else
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot lock the folder '%s' of the study: %s",
                 self->folder, g_strerror (errno));
  return FALSE;
}

static gboolean
open_log (AfpResults *self, GError **error)
{
  g_autofree char *path = afp_results_get_path (self, LOG_NAME);

  if (self->log >= 0)
    close (self->log);
  self->log = open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (self->log >= 0)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot write '%s': %s", path, g_strerror (errno));
  return FALSE;
}

static void
identify_runs (AfpResults *self)
{
  g_autoptr (AfpIdentifier) identifier = afp_identifier_new ();

  for (guint i = 0; i < self->study->runs->len; i++) {
    const AfpStudyRun *run = self->study->runs->pdata[i];
    char *fingerprint;

    g_ptr_array_add (self->ids, afp_identifier_identify (identifier, run->pipeline, &fingerprint));
    g_ptr_array_add (self->fingerprints, fingerprint);
    g_ptr_array_add (self->records, NULL);
  }
}

static void
unref_record (gpointer record)
{
  if (record)
    json_object_unref (record);
}

static AfpResults *
results_new (const char *folder, const AfpStudy *study)
{
  AfpResults *self = g_new0 (AfpResults, 1);

  self->folder = g_strdup (folder);
  self->lock = self->log = -1;
  self->study = study;
  self->ids = g_ptr_array_new_with_free_func (g_free);
  self->fingerprints = g_ptr_array_new_with_free_func (g_free);
  self->records = g_ptr_array_new_with_free_func (unref_record);
  return self;
}

AfpResults *
afp_results_open (const char *folder, const AfpStudy *study, gboolean fresh, GError **error)
{
  g_autoptr (AfpResults) self = results_new (folder, study);
  g_autoptr (GHashTable) found =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, unref_record);

  if (!lock_folder (self, error))
    return NULL;
  identify_runs (self);
  if (!fresh &&
      (!read_lines (self, OTHER_NAME, found, error) || !read_lines (self, LOG_NAME, found, error)))
    return NULL;
  take_over (self, found);
  /* First those that would be lost, then without them. */
  if (!keep_others (self, found, error) || !afp_results_rewrite (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

GPtrArray *
afp_results_peek (const char *folder, const AfpStudy *study)
{
  g_autoptr (AfpResults) self = results_new (folder, study);
  g_autoptr (GHashTable) found =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, unref_record);
  g_autoptr (GError) error = NULL;

  if (!read_lines (self, OTHER_NAME, found, &error) ||
      !read_lines (self, LOG_NAME, found, &error) || g_hash_table_size (found) == 0)
    return NULL;
  identify_runs (self);
  take_over (self, found);
  return g_ptr_array_ref (self->records);
}

void
afp_results_close (AfpResults *self)
{
  if (self->log >= 0)
    close (self->log);
  if (self->lock >= 0)
    close (self->lock);
  g_ptr_array_unref (self->ids);
  g_ptr_array_unref (self->fingerprints);
  g_ptr_array_unref (self->records);
  g_free (self->folder);
  g_free (self);
}

gboolean
afp_results_add (AfpResults *self, guint number, JsonObject *record, GError **error)
{
  g_autofree char *line = NULL;
  gsize n;

  unref_record (self->records->pdata[number]);
  self->records->pdata[number] = record;
  afp_record_place (record, self->study, number, self->records);
  line = afp_results_format_line (record);
  n = strlen (line);
  for (gsize done = 0; done < n;) {
    const gssize written = write (self->log, line + done, n - done);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot write to '%s/" LOG_NAME "': %s",
                   self->folder, g_strerror (errno));
      return FALSE;
    }
    done += (gsize) written;
  }
  fdatasync (self->log);
  return TRUE;
}

gboolean
afp_results_rewrite (AfpResults *self, GError **error)
{
  g_autofree char *path = afp_results_get_path (self, LOG_NAME);
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < self->records->len; i++) {
    if (!self->records->pdata[i])
      continue;
    afp_record_place (self->records->pdata[i], self->study, i, self->records);
    g_autofree char *line = afp_results_format_line (self->records->pdata[i]);
    g_string_append (text, line);
  }
  return tool_write_file (path, text->str, error) && open_log (self, error);
}
