/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef AFP_HELPERDIR
#define AFP_HELPERDIR ""
#endif

extern char **environ;

/**
 * afp_helper_find:
 * @name: of a program
 * @error: %AFP_ERROR_PLUGIN
 *
 * Returns: (transfer full): its path; %NULL if it is not there
 */
char *
afp_helper_find (const char *name, GError **error)
{
  const char *folder = g_getenv ("AFPIPE_HELPER_DIR");
  g_autofree char *path = g_build_filename (folder && *folder ? folder : AFP_HELPERDIR, name, NULL);

  if (g_file_test (path, G_FILE_TEST_IS_EXECUTABLE))
    return g_steal_pointer (&path);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLUGIN,
               "the helper program '%s' is missing: the installation is not complete; "
               "AFPIPE_HELPER_DIR can name another folder",
               path);
  return NULL;
}

/* Signals as a program expects them that was started from a shell; but Ctrl-C is ours to handle, not the helper's. */
static int
set_signals (posix_spawnattr_t *attributes)
{
  sigset_t usual, blocked;

  sigfillset (&usual);
  sigemptyset (&blocked);
  sigaddset (&blocked, SIGINT);
  posix_spawnattr_setsigdefault (attributes, &usual);
  posix_spawnattr_setsigmask (attributes, &blocked);
  return posix_spawnattr_setflags (attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

static int
set_streams (posix_spawn_file_actions_t *actions, int fd)
{
  int failed = posix_spawn_file_actions_adddup2 (actions, fd, STDIN_FILENO);

  if (!failed)
    failed = posix_spawn_file_actions_addopen (actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  return failed ? failed : posix_spawn_file_actions_adddup2 (actions, STDOUT_FILENO, STDERR_FILENO);
}

/**
 * afp_helper_start:
 * @name: of a program
 * @fd: what becomes its standard input, a socket perhaps; closed on exec in this process
 * @error: %AFP_ERROR_PLUGIN, %AFP_ERROR_IO
 *
 * Returns: its process, to be waited for; -1 on error
 */
pid_t
afp_helper_start (const char *name, int fd, GError **error)
{
  g_autofree char *path = afp_helper_find (name, error);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  pid_t child = -1;

  if (!path)
    return -1;
  char *const arguments[] = { path, NULL };
  posix_spawn_file_actions_init (&actions);
  posix_spawnattr_init (&attributes);
  int failed = set_streams (&actions, fd);
  if (!failed)
    failed = set_signals (&attributes);
  if (!failed)
    failed = posix_spawn (&child, path, &actions, &attributes, arguments, environ);
  posix_spawnattr_destroy (&attributes);
  posix_spawn_file_actions_destroy (&actions);
  if (!failed)
    return child;
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot start '%s': %s", path, g_strerror (failed));
  return -1;
}

static gboolean
wait_for (int fd, short what, gint64 deadline)
{
  struct pollfd ready = { .fd = fd, .events = what };

  for (;;) {
    const gint64 left = deadline - g_get_monotonic_time ();
    if (left <= 0)
      return FALSE;
    const int count = poll (&ready, 1, (int) MIN (left / 1000 + 1, G_MAXINT));
    if (count > 0)
      return TRUE;
    if (count < 0 && errno != EINTR)
      return FALSE;
  }
}

gboolean
afp_helper_receive (int fd, gpointer data, gsize n, gint64 deadline)
{
  guint8 *at = data;

  while (n > 0) {
    if (!wait_for (fd, POLLIN, deadline))
      return FALSE;
    const gssize done = recv (fd, at, n, MSG_DONTWAIT);
    if (done < 0 && (errno == EINTR || errno == EAGAIN))
      continue;
    if (done <= 0)
      return FALSE;
    at += done;
    n -= (gsize) done;
  }
  return TRUE;
}

gboolean
afp_helper_send (int fd, gconstpointer data, gsize n, gint64 deadline)
{
  const guint8 *at = data;

  while (n > 0) {
    if (!wait_for (fd, POLLOUT, deadline))
      return FALSE;
    const gssize done = send (fd, at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done < 0 && (errno == EINTR || errno == EAGAIN))
      continue;
    if (done <= 0)
      return FALSE;
    at += done;
    n -= (gsize) done;
  }
  return TRUE;
}
