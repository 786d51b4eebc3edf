/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-store.h"

#include "afp-mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The file of key "abcdef..." is FOLDER/ab/abcdef...: a header of 128 bytes, then the contents. The header: "AFPSTOR1", the length of the
 * contents (64 bits, little-endian), the key, 32 bytes SHA-256 of the contents, zeros. It is written under another name first.
 */

#define MAGIC "AFPSTOR1"
#define DIGEST 32
#define UNFINISHED ".unfinished"
#define UNFINISHED_SECONDS 3600 /* after so long nobody is still at it */

struct _AfpStore {
  char *folder;
  guint64 limit;
  GMutex lock;   /* of all below */
  guint64 bytes; /* of all entries, as last counted, and of those written since */
  gboolean counted;
  guint n_written;
  gboolean broken;
  char *problem; /* not told yet */
};

/* --- the object ---------------------------------------------------------------------------------------------------- */

AfpStore *
afp_store_new (const char *folder, guint64 limit)
{
  AfpStore *self = g_new0 (AfpStore, 1);

  self->folder = g_strdup (folder);
  self->limit = limit;
  g_mutex_init (&self->lock);
  return self;
}

void
afp_store_free (AfpStore *self)
{
  g_mutex_clear (&self->lock);
  g_free (self->folder);
  g_free (self->problem);
  g_free (self);
}

char *
afp_store_take_problem (AfpStore *self)
{
  char *problem;

  g_mutex_lock (&self->lock);
  problem = g_steal_pointer (&self->problem);
  g_mutex_unlock (&self->lock);
  return problem;
}

/* The lock is held. */
static void
note_problem (AfpStore *self, const char *path, int code)
{
  if (!self->broken)
    self->problem = g_strdup_printf ("cannot write '%s': %s; what is done from here on is not kept "
                                     "for later runs",
                                     path, g_strerror (code));
  self->broken = TRUE;
}

static char *
get_path (AfpStore *self, const char *key)
{
  return g_strdup_printf ("%s/%.2s/%s", self->folder, key, key);
}

static gboolean
is_key (const char *name)
{
  return strspn (name, "0123456789abcdef") == AFP_STORE_KEY && !name[AFP_STORE_KEY];
}

/* --- one entry ----------------------------------------------------------------------------------------------------- */

static void
make_header (const char *key, guint64 size, GChecksum *checksum, guint8 *header)
{
  const guint64 length = GUINT64_TO_LE (size);
  gsize n = DIGEST;

  memset (header, 0, AFP_STORE_HEADER);
  memcpy (header, MAGIC, 8);
  memcpy (header + 8, &length, 8);
  memcpy (header + 16, key, AFP_STORE_KEY);
  g_checksum_get_digest (checksum, header + 16 + AFP_STORE_KEY, &n);
}

/* (transfer full) (nullable): the contents, if the file is whole */
static GBytes *
open_entry (GBytes *map, const char *key)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (map, &size);
  guint8 header[AFP_STORE_HEADER];

  if (size < AFP_STORE_HEADER)
    return NULL;
  size -= AFP_STORE_HEADER;
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  for (gsize at = 0; at < size; at += G_MAXINT32)
    g_checksum_update (checksum, data + AFP_STORE_HEADER + at,
                       (gssize) MIN (size - at, (gsize) G_MAXINT32));
  make_header (key, size, checksum, header);
  return memcmp (header, data, AFP_STORE_HEADER) == 0
             ? g_bytes_new_from_bytes (map, AFP_STORE_HEADER, size)
             : NULL;
}

/**
 * afp_store_get:
 * @self: a store
 * @key: 64 hex digits
 *
 * Finding an entry is using it: it is the last to go. A damaged one is removed.
 *
 * Returns: (transfer full) (nullable): the contents
 */
GBytes *
afp_store_get (AfpStore *self, const char *key)
{
  g_return_val_if_fail (is_key (key), NULL);

  g_autofree char *path = get_path (self, key);
  g_autoptr (GBytes) map =
      g_file_test (path, G_FILE_TEST_IS_REGULAR) ? afp_mapped_new (path, NULL) : NULL;
  if (!map)
    return NULL;
  GBytes *contents = open_entry (map, key);
  if (contents)
    utimensat (AT_FDCWD, path, NULL, 0);
  else
    g_unlink (path);
  return contents;
}

static gboolean
write_all (int fd, gconstpointer data, gsize size)
{
  for (gsize done = 0; done < size;) {
    const gssize n = write (fd, (const guint8 *) data + done, MIN (size - done, (gsize) 1 << 30));
    if (n < 0 && errno != EINTR)
      return FALSE;
    done += n > 0 ? (gsize) n : 0;
  }
  return TRUE;
}

static guint64
count_pieces (GPtrArray *pieces)
{
  guint64 size = 0;

  for (guint i = 0; i < pieces->len; i++)
    size += g_bytes_get_size (pieces->pdata[i]);
  return size;
}

static gboolean
write_entry (int fd, const char *key, GPtrArray *pieces)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  guint8 header[AFP_STORE_HEADER] = { 0 };

  if (!write_all (fd, header, sizeof header))
    return FALSE;
  for (guint i = 0; i < pieces->len; i++) {
    gsize size;
    const guint8 *data = g_bytes_get_data (pieces->pdata[i], &size);
    for (gsize at = 0; at < size; at += G_MAXINT32)
      g_checksum_update (checksum, data + at, (gssize) MIN (size - at, (gsize) G_MAXINT32));
    if (!write_all (fd, data, size))
      return FALSE;
  }
  make_header (key, count_pieces (pieces), checksum, header);
  return pwrite (fd, header, sizeof header, 0) == (gssize) sizeof header;
}

/* 0, or why not. The lock is held. */
static int
put_entry (AfpStore *self, const char *path, const char *key, GPtrArray *pieces)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *other =
      g_strdup_printf ("%s.%d.%u" UNFINISHED, path, (int) getpid (), self->n_written++);

  if (g_mkdir_with_parents (folder, 0777) != 0)
    return errno;
  const int fd = open (other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0)
    return errno;
  int code = write_entry (fd, key, pieces) ? 0 : errno;
  if (close (fd) != 0 && !code)
    code = errno;
  if (!code && g_rename (other, path) != 0)
    code = errno;
  if (code)
    g_unlink (other);
  return code;
}

/* --- all entries --------------------------------------------------------------------------------------------------- */

typedef struct {
  char *path;
  guint64 bytes;
  gint64 sec, nsec; /* when it was last used */
} Entry;

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_free (entry->path);
  g_free (entry);
}

static gint
compare_entries (gconstpointer a, gconstpointer b)
{
  const Entry *x = *(Entry *const *) a, *y = *(Entry *const *) b;

  if (x->sec != y->sec)
    return x->sec < y->sec ? -1 : 1;
  if (x->nsec != y->nsec)
    return x->nsec < y->nsec ? -1 : 1;
  return strcmp (x->path, y->path);
}

static void
list_folder (const char *folder, GPtrArray *entries)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    struct stat info;
    if (lstat (path, &info) != 0 || !S_ISREG (info.st_mode))
      continue;
    if (g_str_has_suffix (name, UNFINISHED) &&
        g_get_real_time () / G_USEC_PER_SEC - info.st_mtim.tv_sec > UNFINISHED_SECONDS)
      g_unlink (path);
    if (!is_key (name))
      continue;
    Entry *entry = g_new (Entry, 1);
    *entry = (Entry){ g_steal_pointer (&path), (guint64) info.st_size, info.st_mtim.tv_sec,
                      info.st_mtim.tv_nsec };
    g_ptr_array_add (entries, entry);
  }
}

/* Only folders that are named as ours are looked into. */
static GPtrArray *
list_entries (AfpStore *self)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func (entry_free);

  for (guint i = 0; i < 256; i++) {
    g_autofree char *folder = g_strdup_printf ("%s/%02x", self->folder, i);
    list_folder (folder, entries);
  }
  return entries;
}

/* Counts, and makes room down to nine tenths of the limit where it is passed. The lock is held. */
static void
tidy (AfpStore *self)
{
  g_autoptr (GPtrArray) entries = list_entries (self);

  self->bytes = 0;
  self->counted = TRUE;
  for (guint i = 0; i < entries->len; i++)
    self->bytes += ((Entry *) entries->pdata[i])->bytes;
  if (self->bytes <= self->limit)
    return;
  g_ptr_array_sort (entries, compare_entries);
  for (guint i = 0; i < entries->len && self->bytes > self->limit / 10 * 9; i++) {
    const Entry *entry = entries->pdata[i];
    g_unlink (entry->path);
    self->bytes -= entry->bytes;
  }
}

gboolean
afp_store_has_room (AfpStore *self, guint64 bytes)
{
  return bytes <= self->limit && self->limit - bytes >= AFP_STORE_HEADER;
}

/**
 * afp_store_put:
 * @self: a store
 * @key: 64 hex digits
 * @pieces: (element-type GBytes): the contents
 *
 * What takes more than the limit by itself is not kept. After a first failure nothing more is tried.
 */
void
afp_store_put (AfpStore *self, const char *key, GPtrArray *pieces)
{
  const guint64 contents = count_pieces (pieces), bytes = AFP_STORE_HEADER + contents;
  g_autofree char *path = NULL;

  g_return_if_fail (is_key (key));
  if (!afp_store_has_room (self, contents))
    return;
  path = get_path (self, key);
  g_mutex_lock (&self->lock);
  if (!self->broken) {
    const int code = put_entry (self, path, key, pieces);
    if (code)
      note_problem (self, path, code);
    self->bytes += code ? 0 : bytes;
    if (!self->counted || self->bytes > self->limit)
      tidy (self);
  }
  g_mutex_unlock (&self->lock);
}
