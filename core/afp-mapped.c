/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-mapped.h"

#include "afp-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define AROUND 65536 /* a fault maps pages around it, too */

typedef struct {
  GMappedFile *file;
  const char *start, *end;
  AfpWatch *watch;
} Mapped;

static GMutex mapped_lock;
static GSList *mapped_files; /* of Mapped; under mapped_lock */

static void
mapped_free (gpointer data)
{
  Mapped *mapped = data;

  g_mutex_lock (&mapped_lock);
  mapped_files = g_slist_remove (mapped_files, mapped);
  g_mutex_unlock (&mapped_lock);
  afp_watch_free (mapped->watch);
  g_mapped_file_unref (mapped->file);
  g_free (mapped);
}

/**
 * afp_mapped_new:
 * @path: a file
 * @error: why it cannot be mapped
 *
 * Returns: (transfer full): the whole file
 */
GBytes *
afp_mapped_new (const char *path, GError **error)
{
  const int fd = g_open (path, O_RDONLY | O_CLOEXEC, 0);
  const int number = errno;
  GMappedFile *file = fd >= 0 ? g_mapped_file_new_from_fd (fd, FALSE, error) : NULL;

  if (!file) {
    if (fd >= 0)
      close (fd);
    else
      g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (number),
                   "Failed to open file '%s': %s", path, g_strerror (number));
    return NULL;
  }
  Mapped *mapped = g_new (Mapped, 1);
  const gsize size = g_mapped_file_get_length (file);
  mapped->file = file;
  mapped->start = g_mapped_file_get_contents (file);
  mapped->end = mapped->start ? mapped->start + size : NULL;
  mapped->watch = afp_watch_new (path, fd, mapped->start, size);
  g_mutex_lock (&mapped_lock);
  mapped_files = g_slist_prepend (mapped_files, mapped);
  g_mutex_unlock (&mapped_lock);
  return g_bytes_new_with_free_func (mapped->start, size, mapped_free, mapped);
}

/* The file that @bytes is a part of. Who has @bytes keeps it mapped. */
static gboolean
find (GBytes *bytes, Mapped *found)
{
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);
  gboolean ok = FALSE;

  g_mutex_lock (&mapped_lock);
  for (GSList *l = mapped_files; l && !ok; l = l->next) {
    *found = *(const Mapped *) l->data;
    ok = size > 0 && data >= found->start && data + size <= found->end;
  }
  g_mutex_unlock (&mapped_lock);
  return ok;
}

gboolean
afp_mapped_contains (GBytes *bytes)
{
  Mapped mapped;

  return find (bytes, &mapped);
}

/**
 * afp_mapped_forget:
 * @bytes: any bytes; nothing happens to those that are no slice of a mapped file
 *
 * Gives the pages back, so that a model larger than the memory streams through. A neighbour that shares a page reads it again.
 */
void
afp_mapped_forget (GBytes *bytes)
{
  const gsize page = (gsize) sysconf (_SC_PAGESIZE);
  Mapped mapped;
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);

  if (!find (bytes, &mapped))
    return;
  /* Unlike posix_madvise(), which does nothing here. The pages are clean: the mapping is read-only. */
  gsize first = (gsize) (data - mapped.start);
  first = first > AROUND ? (first - AROUND) / page * page : 0;
  (void) madvise ((gpointer) (mapped.start + first), (gsize) (data + size - mapped.start) - first,
                  MADV_DONTNEED);
}
