/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tasks/task-format.h"
#include "tool-util.h"

#include <locale.h>

/*
 * afpipe-tasks: published files of questions in the form that eval reads.
 */
#define TOOL "afpipe-tasks"
#define USAGE "FORMAT FILE [LABELS]"

static gboolean
check_arguments (char **arguments, const TaskFormat **format, GError **error)
{
  const guint n = g_strv_length (arguments);

  if (n < 3 || n > 4) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_USAGE, "usage: " TOOL " " USAGE);
    return FALSE;
  }
  *format = task_format_find (arguments[1], error);
  if (!*format || (*format)->labels == (n == 4))
    return *format != NULL;
  g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
               (*format)->labels ? "%s has its answers in a file of their own: " TOOL
                                   " %s FILE LABELS"
                                 : "%s has no labels in a file of their own: " TOOL " %s FILE",
               (*format)->name, (*format)->name);
  return FALSE;
}

int
main (int argc G_GNUC_UNUSED, char **argv)
{
  g_auto (GStrv) arguments = g_strdupv (argv);
  g_autoptr (GString) help = g_string_new ("Formats:\n"), out = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  const GOptionEntry entries[] = { G_OPTION_ENTRY_NULL };
  const TaskFormat *format = NULL;
  int code = 0;

  setlocale (LC_CTYPE, "");
  for (const TaskFormat *known = task_formats; known->name; known++)
    g_string_append_printf (help, "  %-10s %s\n", known->name, known->what);
  if (!tool_parse_options (
          TOOL, USAGE,
          "Converts a published file of questions; what eval reads goes to standard output.",
          help->str, entries, &arguments, &code))
    return code;
  if (!check_arguments (arguments, &format, &error))
    return tool_print_error (TOOL, error);
  g_autofree char *text = tool_read_file (arguments[2], &error);
  g_autofree char *labels = text && format->labels ? tool_read_file (arguments[3], &error) : NULL;
  if (error || !task_format_convert (format, text, arguments[2], labels, arguments[3], out, &error))
    return tool_print_error (TOOL, error);
  return tool_print_text (TOOL, out->str);
}
