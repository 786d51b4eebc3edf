/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* fallocate, locks of open files */
#endif

#include "io-output.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP (64u << 20) /* bytes of one write() */

struct _AfpOutput {
  char *location;
  char *path; /* temporary name */
  int fd;
  gboolean overwrite;
  gboolean published;
};

static gboolean
fail (GError **error, const char *location, const char *what, int number)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot write '%s': %s: %s", location, what,
               g_strerror (number));
  return FALSE;
}

static gboolean
check_existing (const char *location, gboolean overwrite, GError **error)
{
  GStatBuf info;

  if (g_lstat (location, &info) != 0) {
    if (errno == ENOENT)
      return TRUE;
    return fail (error, location, "looking it up", errno);
  }
  if (S_ISLNK (info.st_mode) && g_stat (location, &info) != 0)
    return fail (error, location, "it is a link that leads nowhere", errno);
  if (S_ISDIR (info.st_mode)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                 "cannot write '%s': it is a folder; give the name of a file in it", location);
    return FALSE;
  }
  if (!S_ISREG (info.st_mode)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                 "cannot write '%s': it is not an ordinary file; to write nothing, end the "
                 "pipeline with 'null'",
                 location);
    return FALSE;
  }
  if (!overwrite) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                 "'%s' exists already (%" G_GUINT64_FORMAT
                 " bytes); choose another location or say overwrite=true",
                 location, (guint64) info.st_size);
    return FALSE;
  }
  return TRUE;
}

gboolean
afp_output_check (const char *location, gboolean overwrite, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (location);
  GStatBuf info;

  if (*location == '\0' || g_str_has_suffix (location, "/")) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot write '%s': it does not name a file",
                 location);
    return FALSE;
  }
  if (g_stat (folder, &info) != 0) {
    const int number = errno;
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot write '%s': folder '%s': %s%s", location,
                 folder, g_strerror (number), number == ENOENT ? "; create it first" : "");
    return FALSE;
  }
  if (!S_ISDIR (info.st_mode)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot write '%s': '%s' is not a folder",
                 location, folder);
    return FALSE;
  }
  if (!check_existing (location, overwrite, error))
    return FALSE;
  if (g_access (folder, W_OK | X_OK) != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot write '%s': folder '%s': %s", location,
                 folder, g_strerror (errno));
    return FALSE;
  }
  return TRUE;
}

/* --- temporary files ---------------------------------------------------------------------------------------------- */

/* Locked as long as it is open: so one that nobody works on any more can be told. (Other than flock(), which HDF5 may use.) */
static gboolean
lock_file (int fd)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

  return fcntl (fd, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES);
}

static gboolean
is_dead (const char *path, const char *pid)
{
  char *end;
  const gint64 number = g_ascii_strtoll (pid, &end, 10);

  if (!g_ascii_isdigit (*pid) || *end || number < 1 || number > G_MAXINT ||
      (kill ((pid_t) number, 0) == 0 && number != getpid ()))
    return FALSE;
  const int fd = g_open (path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
  const gboolean dead = fd >= 0 && lock_file (fd);
  if (fd >= 0)
    close (fd);
  return dead;
}

/* What killed runs left of earlier tries to write the same file. */
static void
remove_dead (const char *location)
{
  g_autofree char *folder = g_path_get_dirname (location);
  g_autofree char *base = g_path_get_basename (location);
  g_autofree char *prefix = g_strconcat (base, ".part.", NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    if (g_str_has_prefix (name, prefix) && is_dead (path, name + strlen (prefix)))
      g_unlink (path);
  }
}

AfpOutput *
afp_output_new (const char *location, gboolean overwrite, GError **error)
{
  if (!afp_output_check (location, overwrite, error))
    return NULL;

  remove_dead (location);
  g_autofree char *path = g_strdup_printf ("%s.part.%d", location, (int) getpid ());
  int fd = g_open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0 && errno == EEXIST) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                 "cannot write '%s': its temporary file '%s' exists already; another stage writes "
                 "to the same location, or a killed run left it: then remove it",
                 location, path);
    return NULL;
  }
  if (fd < 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot write '%s': creating '%s': %s", location,
                 path, g_strerror (errno));
    return NULL;
  }
  lock_file (fd);
  AfpOutput *output = g_new0 (AfpOutput, 1);
  output->location = g_strdup (location);
  output->path = g_steal_pointer (&path);
  output->fd = fd;
  output->overwrite = overwrite;
  return output;
}

const char *
afp_output_get_path (const AfpOutput *output)
{
  return output->path;
}

gboolean
afp_output_reserve (AfpOutput *output, guint64 size, GError **error)
{
#ifdef __linux__
  int failed;

  if (size == 0)
    return TRUE;
  do
    failed = fallocate (output->fd, 0, 0, (off_t) size);
  while (failed != 0 && errno == EINTR);
  if (failed != 0 && (errno == ENOSPC || errno == EFBIG || errno == EDQUOT)) {
    const int number = errno;
    g_autofree char *what = g_strdup_printf ("reserving %" G_GUINT64_FORMAT " bytes", size);
    return fail (error, output->location, what, number);
  }
#endif
  return TRUE;
}

gboolean
afp_output_write (AfpOutput *output, guint64 offset, const void *data, gsize n, GError **error)
{
  const char *p = data;

  while (n > 0) {
    const gssize done = pwrite (output->fd, p, MIN (n, STEP), (off_t) offset);
    if (done < 0 && errno == EINTR)
      continue;
    if (done <= 0) {
      const int number = done < 0 ? errno : EIO;
      g_autofree char *what =
          g_strdup_printf ("%" G_GSIZE_FORMAT " bytes at offset %" G_GUINT64_FORMAT, n, offset);
      return fail (error, output->location, what, number);
    }
    p += done;
    offset += (guint64) done;
    n -= (gsize) done;
  }
  return TRUE;
}

gboolean
afp_output_copy_from (AfpOutput *output, const char *source, GError **error)
{
  const gsize step = 1 << 20;
  g_autofree char *buffer = g_malloc (step);
  gboolean ok = TRUE;
  guint64 offset = 0;
  GStatBuf info;

  const int in = g_open (source, O_RDONLY | O_CLOEXEC, 0);
  if (in < 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot read '%s': %s", source,
                 g_strerror (errno));
    return FALSE;
  }
  if (fstat (in, &info) == 0 && info.st_size > 0)
    ok = afp_output_reserve (output, (guint64) info.st_size, error);
  while (ok) {
    const gssize n = read (in, buffer, step);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                   "cannot read '%s' at offset %" G_GUINT64_FORMAT ": %s", source, offset,
                   g_strerror (errno));
      ok = FALSE;
    }
    if (n <= 0)
      break;
    ok = afp_output_write (output, offset, buffer, (gsize) n, error);
    offset += (guint64) n;
  }
  close (in);
  return ok;
}

gboolean
afp_output_sync (AfpOutput *output, GError **error)
{
  while (fsync (output->fd) != 0)
    if (errno != EINTR)
      return fail (error, output->location, "syncing it to the disk", errno);
  return TRUE;
}

/* The new name is on the disk only when the folder is. Not every file system can sync one: that is no error. */
static void
sync_folder (const char *location)
{
  g_autofree char *folder = g_path_get_dirname (location);
  const int fd = g_open (folder, O_RDONLY | O_CLOEXEC, 0);

  if (fd >= 0) {
    fsync (fd);
    close (fd);
  }
}

gboolean
afp_output_publish (AfpOutput *output, guint64 *file_bytes, GError **error)
{
  struct stat info;

  if (!check_existing (output->location, output->overwrite, error)) /* came up while we worked */
    return FALSE;
  if (fstat (output->fd, &info) != 0)
    return fail (error, output->location, "asking for its size", errno);
  if (g_rename (output->path, output->location) != 0)
    return fail (error, output->location, "renaming the temporary file", errno);
  output->published = TRUE;
  sync_folder (output->location);
  if (file_bytes != NULL)
    *file_bytes = (guint64) info.st_size;
  return TRUE;
}

void
afp_output_free (AfpOutput *output)
{
  if (output->fd >= 0)
    close (output->fd);
  if (!output->published)
    g_unlink (output->path);
  g_free (output->location);
  g_free (output->path);
  g_free (output);
}
