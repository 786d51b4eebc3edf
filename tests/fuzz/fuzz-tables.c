/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "io/afp-file.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/*
 * Our own file by its tables: the input is text, a line for each row, then the payload; the file made of it is sound HDF5 with sound
 * checksums, so that what the tables say is looked at.
 *
 *   about PIPELINE                       and so tool, fingerprint, metrics, plugin
 *   recipe TEXT
 *   tensor NAME DTYPE SHAPE VIEW ALIAS-OF RECIPE FIRST-PLANE N-PLANES
 *   plane ROLE BITS OFFSET BYTES
 *   payload
 */
#define MAX_ROWS 2000

/* "%20" is a blank, "%00" nothing. */
static char *
word (char **words, guint i)
{
  char *text = i < g_strv_length (words) ? g_uri_unescape_string (words[i], NULL) : NULL;

  return text ? text : g_strdup (i < g_strv_length (words) ? words[i] : "");
}

static gint64
number (char **words, guint i)
{
  return i < g_strv_length (words) ? (gint64) g_ascii_strtoull (words[i], NULL, 10) : 0;
}

static void
add_tensor (AfpFile *file, char **words)
{
  const AfpFileTensor tensor = {
    .name = word (words, 1),
    .dtype = word (words, 2),
    .shape = word (words, 3),
    .view = word (words, 4),
    .alias_of = (gint32) number (words, 5),
    .recipe = (guint32) number (words, 6),
    .first_plane = (guint32) number (words, 7),
    .n_planes = (guint32) number (words, 8),
  };

  g_array_append_val (file->tensors, tensor);
}

static void
add_plane (AfpFile *file, char **words)
{
  g_autofree char *role = word (words, 1);
  const AfpFilePlane plane = { .role = g_string_chunk_insert_const (file->texts, role),
                               .bits = (guint8) number (words, 2),
                               .offset = (guint64) number (words, 3),
                               .bytes = (guint64) number (words, 4) };

  g_array_append_val (file->planes, plane);
}

static void
set_text (char **field, const char *text)
{
  g_free (*field);
  *field = g_utf8_make_valid (text, -1);
}

/* FALSE: the payload follows. */
static gboolean
add_line (AfpFile *file, GPtrArray *plugins, const char *line)
{
  g_auto (GStrv) words = g_strsplit (line, " ", -1);
  const char *kind = words[0] ? words[0] : "", *rest = strchr (line, ' ');

  rest = rest ? rest + 1 : "";
  if (strcmp (kind, "payload") == 0)
    return FALSE;
  if (strcmp (kind, "tensor") == 0)
    add_tensor (file, words);
  else if (strcmp (kind, "plane") == 0)
    add_plane (file, words);
  else if (strcmp (kind, "recipe") == 0)
    g_ptr_array_add (file->recipes, g_strdup (rest));
  else if (strcmp (kind, "about") == 0)
    set_text (&file->pipeline, rest);
  else if (strcmp (kind, "tool") == 0)
    set_text (&file->tool_version, rest);
  else if (strcmp (kind, "fingerprint") == 0)
    set_text (&file->fingerprint, rest);
  else if (strcmp (kind, "metrics") == 0)
    set_text (&file->metrics, rest);
  else if (strcmp (kind, "plugin") == 0)
    g_ptr_array_add (plugins, g_utf8_make_valid (rest, -1));
  return TRUE;
}

static AfpFile *
make_file (const guint8 **at, const guint8 *end)
{
  AfpFile *file = afp_file_new ();
  GPtrArray *plugins = g_ptr_array_new ();

  for (guint i = 0; i < MAX_ROWS; i++) {
    g_autofree char *line = fuzz_line (at, end);
    if (!line || !add_line (file, plugins, line))
      break;
  }
  g_ptr_array_add (plugins, NULL);
  file->plugins = (GStrv) g_ptr_array_free (plugins, FALSE);
  file->payload_bytes = (guint64) (end - *at);
  for (guint i = 0; i < file->planes->len; i++) {
    AfpFilePlane *plane = afp_file_plane (file, i);
    if (plane->offset <= file->payload_bytes && plane->bytes <= file->payload_bytes - plane->offset)
      plane->crc32 = afp_file_crc32 (*at + plane->offset, plane->bytes);
  }
  return file;
}

static void
run_tables (const guint8 *bytes, gsize n)
{
  const guint8 *at = bytes, *end = bytes + n;
  g_autoptr (AfpFile) file = make_file (&at, end);
  g_autofree char *path = fuzz_path ("tables.h5");
  GError *error = NULL;

  if (!afp_file_write (file, path, &error)) {
    fuzz_check_error (&error);
    return;
  }
  const int fd = open (path, O_WRONLY | O_CLOEXEC);
  const gsize left = (gsize) (end - at);
  if (fd < 0 || pwrite (fd, at, left, (off_t) file->payload_offset) != (gssize) left)
    fuzz_fail ("cannot write the payload of '%s'", path);
  close (fd);
  fuzz_read_model (&afp_reader_afp, path);
}

const FuzzRecord fuzz_tables = { "tables",   "what the tables of our own file say, and its planes",
                                 run_tables, NULL,
                                 32u << 20,  1024 };
