/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER (1u << 20) /* planes are gathered up to this many bytes */
#define DIRECT (1u << 16) /* planes of so many bytes are not gathered */
#define COPY_STEP (4u << 20)

struct _AfpPart {
  char *path;
  char *journal_path;
  int fd;
  int journal_fd;
  GByteArray *buffer; /* the end of the payload, not yet in the file */
  guint64 written;    /* bytes in the file */
  GHashTable *places; /* Place: planes that are there */
};

typedef struct {
  guint64 bytes;
  guint64 offset;
  guint32 crc32;
} Place;

static guint
place_hash (gconstpointer key)
{
  const Place *place = key;

  return place->crc32 ^ (guint) place->bytes;
}

static gboolean
place_equal (gconstpointer a, gconstpointer b)
{
  const Place *p = a, *q = b;

  return p->crc32 == q->crc32 && p->bytes == q->bytes;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static gboolean
fail (GError **error, const char *path, const char *what, int number)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot write '%s': %s: %s", path, what,
               g_strerror (number));
  return FALSE;
}

static gboolean
append (const char *path, int fd, guint64 offset, gconstpointer data, gsize n, GError **error)
{
  const guint8 *at = data;

  while (n > 0) {
    const gssize done = write (fd, at, MIN (n, 64u << 20));
    if (done < 0 && errno == EINTR)
      continue;
    if (done <= 0) {
      g_autofree char *what =
          g_strdup_printf ("%" G_GSIZE_FORMAT " bytes at offset %" G_GUINT64_FORMAT, n, offset);
      return fail (error, path, what, done < 0 ? errno : EIO);
    }
    at += done;
    offset += (guint64) done;
    n -= (gsize) done;
  }
  return TRUE;
}

static gboolean
read_back (AfpPart *part, guint64 offset, gpointer data, gsize n, GError **error)
{
  guint8 *at = data;

  while (n > 0) {
    const gssize done = pread (part->fd, at, n, (off_t) offset);
    if (done < 0 && errno == EINTR)
      continue;
    if (done <= 0) {
      g_set_error (
          error, AFP_ERROR, AFP_ERROR_IO,
          "cannot read '%s' back: %" G_GSIZE_FORMAT " bytes at offset %" G_GUINT64_FORMAT ": %s",
          part->path, n, offset, done < 0 ? g_strerror (errno) : "the file has become shorter");
      return FALSE;
    }
    at += done;
    offset += (guint64) done;
    n -= (gsize) done;
  }
  return TRUE;
}

/* Opens without truncating: another run may hold it. */
static int
open_locked (const char *path, gboolean *leftover, GError **error)
{
  struct stat info;
  const int fd = g_open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);

  if (fd < 0) {
    fail (error, path, "opening it", errno);
    return -1;
  }
  if (flock (fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_IO,
        "cannot write '%s': another run or stage is writing to the same location; wait for it, or choose another",
        path);
    close (fd);
    return -1;
  }
  *leftover = *leftover || (fstat (fd, &info) == 0 && info.st_size > 0);
  if (ftruncate (fd, 0) != 0) {
    fail (error, path, "emptying it", errno);
    close (fd);
    return -1;
  }
  return fd;
}

/* --- journal ------------------------------------------------------------------------------------------------------ */

static gboolean
write_line (AfpPart *part, JsonBuilder *builder, GError **error)
{
  g_autoptr (JsonNode) node = json_builder_get_root (builder);
  g_autofree char *text = json_to_string (node, FALSE);
  g_autofree char *line = g_strconcat (text, "\n", NULL);

  const off_t end = lseek (part->journal_fd, 0, SEEK_CUR);
  return append (part->journal_path, part->journal_fd, (guint64) MAX (end, 0), line, strlen (line),
                 error);
}

static void
add_text (JsonBuilder *builder, const char *name, const char *text)
{
  json_builder_set_member_name (builder, name);
  if (text)
    json_builder_add_string_value (builder, text);
  else
    json_builder_add_null_value (builder);
}

static void
add_number (JsonBuilder *builder, const char *name, guint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, (gint64) value);
}

static gboolean
begin_journal (AfpPart *part, const char *pipeline, const char *fingerprint, GError **error)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  add_number (builder, "afpipe_journal", AFP_FILE_VERSION);
  add_text (builder, "pipeline", pipeline);
  add_text (builder, "fingerprint", fingerprint);
  json_builder_end_object (builder);
  return write_line (part, builder, error);
}

/* --- planes ------------------------------------------------------------------------------------------------------- */

static gboolean
flush (AfpPart *part, GError **error)
{
  if (!append (part->path, part->fd, part->written, part->buffer->data, part->buffer->len, error))
    return FALSE;
  part->written += part->buffer->len;
  g_byte_array_set_size (part->buffer, 0);
  return TRUE;
}

/* -1: error */
static int
is_same (AfpPart *part, const Place *place, const guint8 *data, GError **error)
{
  g_autofree guint8 *piece = g_malloc (MIN (place->bytes, BUFFER));

  if (!flush (part, error))
    return -1;
  for (guint64 at = 0; at < place->bytes; at += BUFFER) {
    const gsize n = MIN (place->bytes - at, BUFFER);
    if (!read_back (part, place->offset + at, piece, n, error))
      return -1;
    if (memcmp (piece, data + at, n) != 0)
      return 0;
  }
  return 1;
}

gboolean
afp_part_add_plane (AfpPart *part, GBytes *data, AfpFilePlane *plane, GError **error)
{
  static const guint8 zeros[AFP_ALIGN_LARGE];
  gsize n;
  const guint8 *bytes = g_bytes_get_data (data, &n);
  const guint64 align = afp_size_align (n);

  plane->bytes = n;
  plane->crc32 = afp_file_crc32 (bytes, n);
  plane->offset = 0;
  if (n == 0)
    return TRUE;
  Place key = { .bytes = n, .crc32 = plane->crc32 };
  const Place *known = g_hash_table_lookup (part->places, &key);
  const int same = known ? is_same (part, known, bytes, error) : 0;
  if (same != 0) {
    plane->offset = known->offset;
    return same > 0;
  }

  const guint64 end = afp_part_get_bytes (part);
  key.offset = plane->offset = (end + align - 1) / align * align;
  g_byte_array_append (part->buffer, zeros, (guint) (key.offset - end));
  if (!known)
    g_hash_table_add (part->places, g_memdup2 (&key, sizeof key));
  if (n < DIRECT) {
    g_byte_array_append (part->buffer, bytes, (guint) n);
    return part->buffer->len < BUFFER || flush (part, error);
  }
  if (!flush (part, error) || !append (part->path, part->fd, part->written, bytes, n, error))
    return FALSE;
  part->written += n;
  return TRUE;
}

gboolean
afp_part_end_tensor (AfpPart *part, AfpSpec *spec, const char *recipe, const AfpFilePlane *planes,
                     guint n_planes, GError **error)
{
  g_autofree char *shape = afp_spec_shape_to_string (spec);
  g_autofree char *view = afp_view_to_string (afp_spec_get_view (spec));
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  if (!flush (part, error))
    return FALSE;
  json_builder_begin_object (builder);
  add_text (builder, "name", afp_spec_get_name (spec));
  add_text (builder, "dtype", afp_dtype_name (afp_spec_get_dtype (spec)));
  add_text (builder, "shape", shape);
  add_text (builder, "view", view);
  add_text (builder, "alias_of", afp_spec_get_alias_of (spec));
  add_text (builder, "recipe", recipe);
  json_builder_set_member_name (builder, "planes");
  json_builder_begin_array (builder);
  for (guint i = 0; i < n_planes; i++) {
    json_builder_begin_object (builder);
    add_text (builder, "role", planes[i].role);
    add_number (builder, "bits", planes[i].bits);
    add_number (builder, "offset", planes[i].offset);
    add_number (builder, "bytes", planes[i].bytes);
    add_number (builder, "crc32", planes[i].crc32);
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  return write_line (part, builder, error);
}

guint64
afp_part_get_bytes (const AfpPart *part)
{
  return part->written + part->buffer->len;
}

gboolean
afp_part_copy (AfpPart *part, AfpOutput *output, guint64 offset, GError **error)
{
  g_autofree guint8 *piece = g_malloc (COPY_STEP);

  if (!flush (part, error))
    return FALSE;
  for (guint64 at = 0; at < part->written; at += COPY_STEP) {
    const gsize n = MIN (part->written - at, COPY_STEP);
    if (!read_back (part, at, piece, n, error) ||
        !afp_output_write (output, offset + at, piece, n, error))
      return FALSE;
  }
  return TRUE;
}

/**
 * afp_part_new:
 * @location: the file that is to come
 * @pipeline: (nullable): text, for the journal
 * @fingerprint: (nullable): of the input, for the journal
 * @leftover: (out): whether a killed run had left a part, which is lost now
 * @error: return location
 *
 * Returns: (transfer full): an empty payload; %NULL with %AFP_ERROR_IO
 */
AfpPart *
afp_part_new (const char *location, const char *pipeline, const char *fingerprint,
              gboolean *leftover, GError **error)
{
  g_autofree char *path = g_strconcat (location, ".part", NULL);
  g_autofree char *journal_path = g_strconcat (path, ".journal", NULL);

  *leftover = FALSE;
  const int fd = open_locked (path, leftover, error);
  if (fd < 0)
    return NULL;
  g_autoptr (AfpPart) part = g_new0 (AfpPart, 1);
  part->fd = fd;
  part->journal_fd = -1;
  part->path = g_steal_pointer (&path);
  part->journal_path = g_steal_pointer (&journal_path);
  part->buffer = g_byte_array_new ();
  part->places = g_hash_table_new_full (place_hash, place_equal, g_free, NULL);
  part->journal_fd = open_locked (part->journal_path, leftover, error);
  if (part->journal_fd < 0 || !begin_journal (part, pipeline, fingerprint, error))
    return NULL;
  return g_steal_pointer (&part);
}

void
afp_part_free (AfpPart *part)
{
  g_unlink (part->path);
  g_unlink (part->journal_path);
  close (part->fd);
  if (part->journal_fd >= 0)
    close (part->journal_fd);
  g_byte_array_unref (part->buffer);
  g_hash_table_unref (part->places);
  g_free (part->path);
  g_free (part->journal_path);
  g_free (part);
}
