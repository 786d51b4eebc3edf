/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* MAP_ANONYMOUS */
#endif

#include "afp-watch.h"

#include "afp-error.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WATCH_MAX 1024

struct _AfpWatch {
  atomic_uintptr_t start; /* 0: free; set last, so that the handler sees whole ones only */
  gsize size;
  char *path;
  int fd; /* of the file that is mapped, whatever is at the path now */
};

static AfpWatch watches[WATCH_MAX];
static GMutex watch_lock; /* of adding and removing */
static atomic_uint watch_faults;
static atomic_size_t watch_page;

AfpWatch *
afp_watch_new (const char *path, int fd, gconstpointer start, gsize size)
{
  AfpWatch *watch = NULL;

  g_mutex_lock (&watch_lock);
  atomic_store (&watch_page, (gsize) sysconf (_SC_PAGESIZE));
  for (guint i = 0; i < WATCH_MAX && !watch && size > 0; i++)
    if (!watches[i].path)
      watch = &watches[i];
  if (watch) {
    watch->path = g_strdup (path);
    watch->size = size;
    watch->fd = fd;
    atomic_store (&watch->start, (uintptr_t) start);
  } else {
    close (fd);
  }
  g_mutex_unlock (&watch_lock);
  return watch;
}

void
afp_watch_free (AfpWatch *watch)
{
  if (!watch)
    return;
  g_mutex_lock (&watch_lock);
  atomic_store (&watch->start, 0);
  close (watch->fd);
  g_clear_pointer (&watch->path, g_free);
  g_mutex_unlock (&watch_lock);
}

gboolean
afp_watch_has_fault (void)
{
  return atomic_load (&watch_faults) > 0;
}

gboolean
afp_watch_check (GError **error)
{
  gboolean ok = TRUE;
  struct stat info;

  g_mutex_lock (&watch_lock);
  for (guint i = 0; i < WATCH_MAX && ok; i++) {
    const AfpWatch *watch = &watches[i];

    if (!watch->path || fstat (watch->fd, &info) != 0 || (guint64) info.st_size >= watch->size)
      continue;
    ok = FALSE;
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                 "'%s' became shorter while it was read: it had %" G_GSIZE_FORMAT
                 " bytes, now it has %" G_GUINT64_FORMAT "; restore it, and run again",
                 watch->path, watch->size, (guint64) info.st_size);
  }
  g_mutex_unlock (&watch_lock);
  if (ok && afp_watch_has_fault ()) {
    ok = FALSE;
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_IO,
                         "a mapped file could not be read in one place: it became shorter for a "
                         "while, or its disk is damaged; run again");
  }
  return ok;
}

/* What is behind the fault is lost too: zeros up to the end of the mapping, so that the next page is no fault again. */
gboolean
afp_watch_on_signal (int number, siginfo_t *info)
{
  const uintptr_t at = (uintptr_t) info->si_addr;
  const gsize size = atomic_load (&watch_page);

  if (number != SIGBUS || info->si_code <= 0)
    return FALSE;
  for (guint i = 0; i < WATCH_MAX; i++) {
    const uintptr_t start = atomic_load (&watches[i].start);
    const uintptr_t end = start + watches[i].size;
    const uintptr_t page = at / size * size;

    if (start == 0 || at < start || at >= end)
      continue;
    if (mmap ((void *) page, end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
              0) == MAP_FAILED)
      return FALSE;
    atomic_fetch_add (&watch_faults, 1);
    return TRUE;
  }
  return FALSE;
}
