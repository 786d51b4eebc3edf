/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-table.h"

#include <stdarg.h>
#include <string.h>

typedef struct {
  char *line;   /* or NULL: */
  char **cells; /* one per column */
} AfpTableRow;

struct _AfpTable {
  char *alignment;
  gsize n_columns;
  GArray *rows;
};

static void
afp_table_row_clear (gpointer data)
{
  AfpTableRow *row = data;

  g_free (row->line);
  g_strfreev (row->cells);
}

AfpTable *
afp_table_new (const char *alignment)
{
  AfpTable *table = g_new0 (AfpTable, 1);

  table->alignment = g_strdup (alignment);
  table->n_columns = strlen (alignment);
  table->rows = g_array_new (FALSE, TRUE, sizeof (AfpTableRow));
  g_array_set_clear_func (table->rows, afp_table_row_clear);
  return table;
}

void
afp_table_free (AfpTable *table)
{
  if (!table)
    return;
  g_array_unref (table->rows);
  g_free (table->alignment);
  g_free (table);
}

static void
afp_table_add_cells (AfpTable *table, gboolean take, va_list args)
{
  AfpTableRow row = { NULL, g_new0 (char *, table->n_columns + 1) };
  char *cell;
  gsize n = 0;

  while ((cell = va_arg (args, char *))) {
    if (n < table->n_columns)
      row.cells[n++] = take ? g_steal_pointer (&cell) : g_strdup (cell);
    if (take)
      g_free (cell);
  }
  while (n < table->n_columns)
    row.cells[n++] = g_strdup ("");
  g_array_append_val (table->rows, row);
}

void
afp_table_add (AfpTable *table, ...)
{
  va_list args;

  va_start (args, table);
  afp_table_add_cells (table, FALSE, args);
  va_end (args);
}

void
afp_table_take (AfpTable *table, ...)
{
  va_list args;

  va_start (args, table);
  afp_table_add_cells (table, TRUE, args);
  va_end (args);
}

void
afp_table_add_line (AfpTable *table, const char *format, ...)
{
  AfpTableRow row = { NULL, NULL };
  va_list args;

  va_start (args, format);
  row.line = g_strdup_vprintf (format, args);
  va_end (args);
  g_array_append_val (table->rows, row);
}

static gsize
afp_table_width (const char *cell)
{
  glong width = g_utf8_validate (cell, -1, NULL) ? g_utf8_strlen (cell, -1) : (glong) strlen (cell);

  return (gsize) width;
}

static void
afp_table_append_cell (GString *out, const char *cell, gsize width, gboolean right)
{
  gsize blanks = width - afp_table_width (cell);

  if (!right)
    g_string_append (out, cell);
  for (gsize i = 0; i < blanks; i++)
    g_string_append_c (out, ' ');
  if (right)
    g_string_append (out, cell);
}

static void
afp_table_strip_line (GString *out)
{
  while (out->len && out->str[out->len - 1] == ' ')
    g_string_truncate (out, out->len - 1);
}

/* Every row ends with a newline; blanks at the ends of rows are left out. */
char *
afp_table_to_string (AfpTable *table)
{
  g_autofree gsize *widths = g_new0 (gsize, table->n_columns + 1);
  GString *out = g_string_new (NULL);

  for (guint r = 0; r < table->rows->len; r++) {
    AfpTableRow *row = &g_array_index (table->rows, AfpTableRow, r);

    for (gsize c = 0; row->cells && c < table->n_columns; c++)
      widths[c] = MAX (widths[c], afp_table_width (row->cells[c]));
  }
  for (guint r = 0; r < table->rows->len; r++) {
    AfpTableRow *row = &g_array_index (table->rows, AfpTableRow, r);

    for (gsize c = 0; row->cells && c < table->n_columns; c++) {
      if (c > 0)
        g_string_append (out, "  ");
      afp_table_append_cell (out, row->cells[c], widths[c], table->alignment[c] == 'r');
    }
    if (row->cells)
      afp_table_strip_line (out);
    else
      g_string_append (out, row->line);
    g_string_append_c (out, '\n');
  }
  return g_string_free (out, FALSE);
}

char *
afp_format_bytes (guint64 bytes)
{
  static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
  double value = (double) bytes / 1024;
  guint unit = 0;

  if (bytes < 1024)
    return g_strdup_printf ("%" G_GUINT64_FORMAT " B", bytes);
  while (value >= 1023.5 && unit + 1 < G_N_ELEMENTS (units)) {
    value /= 1024;
    unit++;
  }
  return g_strdup_printf ("%.*f %s", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, units[unit]);
}

char *
afp_format_count (guint64 count)
{
  g_autofree char *digits = g_strdup_printf ("%" G_GUINT64_FORMAT, count);
  GString *out = g_string_new (NULL);
  gsize n = strlen (digits);

  for (gsize i = 0; i < n; i++) {
    if (i > 0 && (n - i) % 3 == 0)
      g_string_append_c (out, ',');
    g_string_append_c (out, digits[i]);
  }
  return g_string_free (out, FALSE);
}

char *
afp_format_seconds (double seconds)
{
  double positive = MAX (seconds, 0);
  guint64 whole, minutes, hours;

  if (positive < 59.5)
    return g_strdup_printf ("%.*f s", positive < 9.995 ? 2 : 1, positive);
  if (positive > 1e12)
    return g_strdup_printf ("%g s", positive);
  whole = (guint64) (positive + 0.5);
  minutes = whole / 60;
  hours = minutes / 60;
  if (hours == 0)
    return g_strdup_printf ("%" G_GUINT64_FORMAT ":%02u", minutes, (guint) (whole % 60));
  return g_strdup_printf ("%" G_GUINT64_FORMAT ":%02u:%02u", hours, (guint) (minutes % 60),
                          (guint) (whole % 60));
}
