/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-part.h"

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
#define SYNC_BYTES (16u << 20)
#define SYNC_TIME (1 * G_USEC_PER_SEC)

struct _AfpPart {
  char *path;
  char *journal_path;
  int fd;
  int journal_fd;
  GByteArray *buffer; /* the end of the payload, not yet in the file */
  guint64 written;    /* bytes in the file */
  GHashTable *places; /* Place: planes that are there */
  guint n_tensors;    /* lines of the journal */
  gboolean keep;      /* do not remove the files */
  guint64 synced;     /* of written: on the disk for certain */
  gint64 sync_time;
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

/* Opens without truncating: another run may hold it, and what is there may be of use. */
static int
open_locked (const char *path, GError **error)
{
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
  return fd;
}

/* Cuts the file to so many bytes, and goes on there. */
static gboolean
cut (const char *path, int fd, guint64 bytes, GError **error)
{
  if (ftruncate (fd, (off_t) bytes) != 0 || lseek (fd, (off_t) bytes, SEEK_SET) < 0)
    return fail (error, path, "cutting it", errno);
  return TRUE;
}

static gboolean
sync_data (const char *path, int fd, GError **error)
{
  while (fdatasync (fd) != 0)
    if (errno != EINTR)
      return fail (error, path, "syncing it to the disk", errno);
  return TRUE;
}

static gboolean
write_line (AfpPart *part, const char *line, GError **error)
{
  const off_t end = lseek (part->journal_fd, 0, SEEK_CUR);

  return append (part->journal_path, part->journal_fd, (guint64) MAX (end, 0), line, strlen (line),
                 error);
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

/* Where the run is to go on after a power failure: seldom enough to cost nothing, often enough to lose little. */
static gboolean
is_sync_due (const AfpPart *part)
{
  return part->keep && (part->written - part->synced >= SYNC_BYTES ||
                        g_get_monotonic_time () - part->sync_time >= SYNC_TIME);
}

gboolean
afp_part_end_tensor (AfpPart *part, const AfpJournalTensor *tensor, GError **error)
{
  g_autofree char *line = afp_journal_format_tensor (tensor);
  const gboolean sync = is_sync_due (part);

  if (!flush (part, error) || (sync && !sync_data (part->path, part->fd, error)) ||
      !write_line (part, line, error))
    return FALSE;
  part->n_tensors++;
  if (!sync)
    return TRUE;
  part->synced = part->written;
  part->sync_time = g_get_monotonic_time ();
  return sync_data (part->journal_path, part->journal_fd, error);
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

GBytes *
afp_part_read_plane (AfpPart *part, const AfpFilePlane *plane, GError **error)
{
  g_autofree guint8 *data = g_malloc (MAX (plane->bytes, 1));

  if (!read_back (part, plane->offset, data, plane->bytes, error))
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&data), plane->bytes);
}

guint
afp_part_get_n_tensors (const AfpPart *part)
{
  return part->n_tensors;
}

void
afp_part_set_keep (AfpPart *part, gboolean keep)
{
  part->keep = keep;
}

/* --- what an earlier run left ------------------------------------------------------------------------------------- */

/* Bytes that were written as they should be? FALSE also if they cannot be read. */
static gboolean
is_intact (AfpPart *part, const AfpFilePlane *plane, guint8 *piece)
{
  guint32 crc32 = afp_file_crc32 (NULL, 0);

  for (guint64 at = 0; at < plane->bytes; at += BUFFER) {
    const gsize n = MIN (plane->bytes - at, BUFFER);
    if (!read_back (part, plane->offset + at, piece, n, NULL))
      return FALSE;
    crc32 = afp_file_crc32_add (crc32, piece, n);
  }
  return crc32 == plane->crc32;
}

/* The zeros before a plane. */
static gboolean
is_padding (AfpPart *part, guint64 begin, guint64 end)
{
  guint8 bytes[AFP_ALIGN_LARGE], any = 0;

  if (end - begin >= sizeof bytes || !read_back (part, begin, bytes, end - begin, NULL))
    return FALSE;
  for (guint64 i = 0; i < end - begin; i++)
    any |= bytes[i];
  return any == 0;
}

/* A plane that follows all others, or one of them again. @offsets: of the planes that are there -> Place */
static gboolean
take_plane (AfpPart *part, const AfpFilePlane *plane, GHashTable *offsets, guint8 *piece)
{
  const Place place = { .bytes = plane->bytes, .offset = plane->offset, .crc32 = plane->crc32 };
  const guint64 end = part->written;

  if (plane->bytes == 0)
    return plane->offset == 0 && plane->crc32 == afp_file_crc32 (NULL, 0);
  if (plane->offset < end) {
    const Place *known = g_hash_table_lookup (offsets, &plane->offset);
    return known && place_equal (known, &place);
  }
  if (plane->offset % afp_size_align (plane->bytes) != 0 ||
      !is_padding (part, end, plane->offset) || !is_intact (part, plane, piece))
    return FALSE;
  Place *own = g_memdup2 (&place, sizeof place);
  g_hash_table_insert (offsets, &own->offset, own);
  if (!g_hash_table_contains (part->places, &place))
    g_hash_table_add (part->places, g_memdup2 (&place, sizeof place));
  part->written = plane->offset + plane->bytes;
  return TRUE;
}

/* As many tensors as have all their planes; the payload ends with them. */
static void
take_tensors (AfpPart *part, AfpJournal *journal)
{
  g_autoptr (GHashTable) offsets =
      g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, g_free);
  g_autofree guint8 *piece = g_malloc (BUFFER);

  for (guint i = 0; i < journal->tensors->len; i++) {
    const AfpJournalTensor *tensor = journal->tensors->pdata[i];
    const guint64 end = part->written;
    for (guint p = 0; p < tensor->n_planes; p++)
      if (!take_plane (part, &tensor->planes[p], offsets, piece)) {
        part->written = end;
        g_ptr_array_set_size (journal->tensors, (int) i);
        return;
      }
    part->n_tensors++;
  }
}

/* Planes of a tensor that was given up half-way may be known already. */
static gboolean
is_beyond (gpointer key, gpointer value, gpointer written)
{
  return ((const Place *) key)->offset >= *(const guint64 *) written;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static AfpPart *
open_part (const char *location, GError **error)
{
  AfpPart *part = g_new0 (AfpPart, 1);

  part->path = g_strconcat (location, ".part", NULL);
  part->journal_path = g_strconcat (part->path, ".journal", NULL);
  part->keep = TRUE; /* whatever is there, until it is ours */
  part->buffer = g_byte_array_new ();
  part->places = g_hash_table_new_full (place_hash, place_equal, g_free, NULL);
  part->sync_time = g_get_monotonic_time ();
  part->journal_fd = -1;
  part->fd = open_locked (part->path, error);
  if (part->fd >= 0)
    part->journal_fd = open_locked (part->journal_path, error);
  if (part->journal_fd >= 0)
    return part;
  afp_part_free (part);
  return NULL;
}

static gboolean
begin (AfpPart *part, JsonNode *header, GError **error)
{
  g_autofree char *line = afp_journal_format_header (header);

  part->keep = FALSE;
  return cut (part->journal_path, part->journal_fd, 0, error) &&
         cut (part->path, part->fd, 0, error) && write_line (part, line, error);
}

static gboolean
go_on (AfpPart *part, AfpJournal *journal, GError **error)
{
  take_tensors (part, journal);
  g_hash_table_foreach_remove (part->places, is_beyond, &part->written);
  part->synced = part->written;
  const guint n = journal->tensors->len;
  const guint64 end = n ? g_array_index (journal->ends, guint64, n - 1) : journal->header_bytes;
  return cut (part->journal_path, part->journal_fd, end, error) &&
         cut (part->path, part->fd, part->written, error);
}

/**
 * afp_part_new:
 * @location: the file that is to come
 * @header: what makes the run, for the journal
 * @leftover: (out) (nullable): finished tensors that a killed run had left and that are lost now, or -1: it left nothing
 * @error: return location
 *
 * Returns: (transfer full): an empty payload; %NULL with %AFP_ERROR_IO
 */
AfpPart *
afp_part_new (const char *location, JsonNode *header, int *leftover, GError **error)
{
  g_autoptr (AfpPart) part = open_part (location, error);
  struct stat info;

  if (!part)
    return NULL;
  g_autoptr (AfpJournal) journal = afp_journal_read (part->journal_path, NULL, NULL);
  const gboolean used = (fstat (part->fd, &info) == 0 && info.st_size > 0) ||
                        (fstat (part->journal_fd, &info) == 0 && info.st_size > 0);
  if (leftover)
    *leftover = !used ? -1 : journal ? (int) journal->n_lines : 0;
  return begin (part, header, error) ? g_steal_pointer (&part) : NULL;
}

/**
 * afp_part_resume:
 * @location: the file that is to come
 * @header: what makes the run
 * @planned: (element-type AfpSpec): what it will write
 * @journal: (out) (transfer full): its tensors are those that are there, in the order of @planned
 * @error: return location
 *
 * Goes on with what an earlier run left, if it was the same; without one, begins. The files stay when the part is freed,
 * unless afp_part_set_keep() says otherwise.
 *
 * Returns: (transfer full): the payload; %NULL with %AFP_ERROR_IO, and then nothing was touched
 */
AfpPart *
afp_part_resume (const char *location, JsonNode *header, GPtrArray *planned, AfpJournal **journal,
                 GError **error)
{
  g_autoptr (AfpPart) part = open_part (location, error);
  g_autoptr (AfpJournal) read = NULL;

  if (!part || !(read = afp_journal_read (part->journal_path, planned, error)))
    return NULL;
  if (read->header && !afp_journal_check_header (read, header, part->path, error))
    return NULL;
  const gboolean ok = read->header ? go_on (part, read, error) : begin (part, header, error);
  part->keep = TRUE;
  if (!ok)
    return NULL;
  *journal = g_steal_pointer (&read);
  return g_steal_pointer (&part);
}

/* --- the file that came of it ------------------------------------------------------------------------------------- */

static JsonNode *
describe_result (const struct stat *info)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "inode");
  json_builder_add_int_value (builder, (gint64) info->st_ino);
  json_builder_set_member_name (builder, "bytes");
  json_builder_add_int_value (builder, (gint64) info->st_size);
  json_builder_set_member_name (builder, "modified");
  json_builder_add_int_value (builder,
                              (gint64) info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec);
  json_builder_end_object (builder);
  return json_builder_get_root (builder);
}

gboolean
afp_part_set_result (AfpPart *part, const char *path, GError **error)
{
  struct stat info;

  if (stat (path, &info) != 0)
    return fail (error, path, "asking for its size", errno);
  g_autoptr (JsonNode) result = describe_result (&info);
  g_autofree char *line = afp_journal_format_result (result);
  return write_line (part, line, error) && sync_data (part->journal_path, part->journal_fd, error);
}

gboolean
afp_part_is_result (const char *location)
{
  g_autofree char *path = g_strconcat (location, ".part.journal", NULL);
  g_autoptr (AfpJournal) journal = afp_journal_read (path, NULL, NULL);
  struct stat info;

  if (!journal || !journal->result || stat (location, &info) != 0)
    return FALSE;
  g_autoptr (JsonNode) now = describe_result (&info);
  return json_node_equal (now, journal->result);
}

void
afp_part_free (AfpPart *part)
{
  if (!part->keep) {
    g_unlink (part->path);
    g_unlink (part->journal_path);
  }
  if (part->fd >= 0)
    close (part->fd);
  if (part->journal_fd >= 0)
    close (part->journal_fd);
  g_byte_array_unref (part->buffer);
  g_hash_table_unref (part->places);
  g_free (part->path);
  g_free (part->journal_path);
  g_free (part);
}
