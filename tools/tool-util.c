/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tool-util.h"

#include "afp-report-private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TOOL_BUGS "Pipelines are described in afpipe-pipeline(7)."
#define TOOL_MAX_THREADS 1024

/* GLib wants "-j 4": "-j4" is cut in two. */
static void
tool_split_short_options (const GOptionEntry *entries, char ***argv)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  gboolean options = TRUE;

  for (guint i = 0; (*argv)[i]; i++) {
    char *word = (*argv)[i];
    const GOptionEntry *entry = entries;

    options = options && strcmp (word, "--") != 0;
    while (entry->long_name &&
           !(options && i > 0 && word[0] == '-' && word[1] == entry->short_name && word[2] &&
             entry->short_name && entry->arg != G_OPTION_ARG_NONE))
      entry++;
    if (entry->long_name) {
      g_ptr_array_add (words, g_strndup (word, 2));
      g_ptr_array_add (words, g_strdup (word + 2));
      g_free (word);
    } else {
      g_ptr_array_add (words, word);
    }
  }
  g_ptr_array_add (words, NULL);
  g_free (*argv);
  *argv = (char **) g_ptr_array_free (g_steal_pointer (&words), FALSE);
}

gboolean
tool_parse_options (const char *tool, const char *arguments, const char *summary,
                    const char *description, const GOptionEntry *entries, char ***argv,
                    int *exit_code)
{
  g_autoptr (GOptionContext) context = g_option_context_new (arguments);
  gboolean version = FALSE;
  const GOptionEntry common[] = {
    { "version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version and end", NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GError) error = NULL;

  g_set_prgname (tool);
  g_option_context_set_summary (context, summary);
  g_option_context_set_description (context, description ? description : TOOL_BUGS);
  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_add_main_entries (context, common, NULL);
  tool_split_short_options (entries, argv);
  if (!g_option_context_parse_strv (context, argv, &error)) {
    g_printerr ("%s: error: %s\nTry '%s --help'.\n", tool, error->message, tool);
    *exit_code = 2;
    return FALSE;
  }
  if (version) {
    g_autofree char *text = g_strdup_printf ("%s (afpipe) %s\n", tool, AFP_VERSION);

    *exit_code = tool_print_text (tool, text);
    return FALSE;
  }
  return TRUE;
}

int
tool_print_error (const char *tool, const GError *error)
{
  g_printerr ("%s: error: %s\n", tool, error->message);
  return afp_error_exit_code (error);
}

void
tool_print_warning (const char *tool, const char *text)
{
  g_printerr ("%s: warning: %s\n", tool, text);
}

char *
tool_json_to_text (JsonNode *node)
{
  g_autofree char *text = json_to_string (node, TRUE);

  return g_strconcat (text, "\n", NULL);
}

int
tool_print_text (const char *tool, const char *text)
{
  gsize length = strlen (text);

  if (fwrite (text, 1, length, stdout) == length && fflush (stdout) == 0)
    return 0;
  g_printerr ("%s: error: cannot write to the standard output: %s\n", tool, g_strerror (errno));
  return 5;
}

int
tool_print_json (const char *tool, JsonNode *node)
{
  g_autofree char *text = tool_json_to_text (node);

  return tool_print_text (tool, text);
}

JsonNode *
tool_error_to_json (const GError *error)
{
  JsonObject *object = json_object_new (), *inner = json_object_new ();
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  json_object_set_string_member (inner, "kind", afp_error_nick (error));
  json_object_set_string_member (inner, "message", error->message);
  json_object_set_int_member (object, "exit", afp_error_exit_code (error));
  json_object_set_object_member (object, "error", inner);
  json_node_take_object (node, object);
  return node;
}

gboolean
tool_write_file (const char *path, const char *text, GError **error)
{
  g_autoptr (GError) local = NULL;

  if (g_file_set_contents_full (path, text, -1,
                                G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0666,
                                &local))
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot write '%s': %s", path, local->message);
  return FALSE;
}

void
tool_remove_tree (const char *path)
{
  g_autoptr (GDir) folder = g_dir_open (path, 0, NULL);
  const char *name;

  while (folder && (name = g_dir_read_name (folder))) {
    g_autofree char *inner = g_build_filename (path, name, NULL);
    if (g_file_test (inner, G_FILE_TEST_IS_SYMLINK) || !g_file_test (inner, G_FILE_TEST_IS_DIR))
      unlink (inner);
    else
      tool_remove_tree (inner);
  }
  rmdir (path);
}

static char *
tool_read_stdin (gsize *length, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);
  char buffer[4096];
  gsize n;

  while ((n = fread (buffer, 1, sizeof buffer, stdin)) > 0)
    g_string_append_len (text, buffer, (gssize) n);
  if (ferror (stdin)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot read the standard input: %s",
                 g_strerror (errno));
    return NULL;
  }
  *length = text->len;
  return g_string_free (g_steal_pointer (&text), FALSE);
}

char *
tool_read_file (const char *path, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autofree char *text = NULL;
  gsize length = 0;

  if (strcmp (path, "-") == 0) {
    text = tool_read_stdin (&length, error);
    if (!text)
      return NULL;
  } else if (!g_file_get_contents (path, &text, &length, &local)) {
    const char *why = strrchr (local->message, ':'); /* GLib names the file, too */

    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot read '%s': %s", path,
                 why ? why + 2 : local->message);
    return NULL;
  }
  if (!g_utf8_validate (text, (gssize) length, NULL)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE, "'%s' is no text in UTF-8", path);
    return NULL;
  }
  return g_steal_pointer (&text);
}

/* --- options that tools share ------------------------------------------------------------------------------------- */

char *
tool_get_pipeline (const char *tool, const char *file, char **arguments, GError **error)
{
  if (arguments[0] && strcmp (arguments[0], "--") == 0)
    arguments++;
  if (file && arguments[0]) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
                 "the pipeline is given twice: in '%s' and as arguments ('%s')", file,
                 arguments[0]);
    return NULL;
  }
  if (file)
    return tool_read_file (file, error);
  if (!arguments[0]) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
                 "no pipeline: write %s \"load location=FILE ! seedlm ! eval ! null\", or -f FILE",
                 tool);
    return NULL;
  }
  return afp_parse_join_arguments (arguments);
}

static gboolean
tool_add_variable (GHashTable *variables, const char *setting, GError **error)
{
  const char *equals = strchr (setting, '=');
  g_autofree char *name = equals ? g_strndup (setting, (gsize) (equals - setting)) : NULL;

  if (!name || !*name) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE, "--set %s: write --set NAME=VALUE", setting);
    return FALSE;
  }
  if (g_hash_table_contains (variables, name)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE, "--set %s: '%s' is set twice", setting, name);
    return FALSE;
  }
  g_hash_table_insert (variables, g_steal_pointer (&name), g_strdup (equals + 1));
  return TRUE;
}

/* A variable that is not in the pipeline is a typing error. */
static gboolean
tool_check_variables (GHashTable *variables, const char *text, GError **error)
{
  GHashTableIter iter;
  gpointer name;

  g_hash_table_iter_init (&iter, variables);
  while (g_hash_table_iter_next (&iter, &name, NULL)) {
    g_autofree char *place = g_strdup_printf ("${%s}", (char *) name);

    if (strstr (text, place))
      continue;
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE, "--set %s: the pipeline has no %s",
                 (char *) name, place);
    return FALSE;
  }
  return TRUE;
}

GHashTable *
tool_parse_variables (char **settings, const char *text, GError **error)
{
  g_autoptr (GHashTable) variables =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);

  for (; settings && *settings; settings++)
    if (!tool_add_variable (variables, *settings, error))
      return NULL;
  return tool_check_variables (variables, text, error) ? g_steal_pointer (&variables) : NULL;
}

gboolean
tool_check_threads (int threads, GError **error)
{
  if (threads >= 0 && threads <= TOOL_MAX_THREADS)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
               "-j %d: give 1..%d threads, or 0 for one per processor", threads, TOOL_MAX_THREADS);
  return FALSE;
}

gboolean
tool_parse_memory (const char *text, guint64 *bytes, GError **error)
{
  *bytes = 0;
  if (!text || (afp_parse_size (text, bytes) && *bytes > 0))
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
               "--max-mem %s: give a size such as 4G (2^32 bytes) or 500MB (500,000,000 bytes)",
               text);
  return FALSE;
}
