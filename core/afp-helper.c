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

/* Signals as a program expects them that was started from a shell. Ctrl-C is ours to handle, not the helper's: it is blocked, or goes by a
 * program that is in a group of its own. */
static int
set_signals (posix_spawnattr_t *attributes, gboolean group)
{
  const int flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
  sigset_t usual, blocked;

  sigfillset (&usual);
  sigemptyset (&blocked);
  if (!group)
    sigaddset (&blocked, SIGINT);
  posix_spawnattr_setsigdefault (attributes, &usual);
  posix_spawnattr_setsigmask (attributes, &blocked);
  return posix_spawnattr_setflags (
      attributes, (short) (group ? flags | POSIX_SPAWN_SETPGROUP : flags)); /* group 0: a new one */
}

static int
set_streams (posix_spawn_file_actions_t *actions, const int streams[3])
{
  int failed = 0;

  for (int i = 0; i < 3 && !failed; i++)
    failed = streams[i] < 0
                 ? posix_spawn_file_actions_addopen (actions, i, "/dev/null",
                                                     i == STDIN_FILENO ? O_RDONLY : O_WRONLY, 0)
                 : posix_spawn_file_actions_adddup2 (actions, streams[i], i);
  return failed;
}

/**
 * afp_helper_spawn:
 * @arguments: (array zero-terminated=1): the program, looked for in PATH if it has no slash, and what it is told
 * @streams: (array fixed-size=3): what become its standard streams, closed on exec in this process and none of them 0, 1 or 2; -1: nowhere
 * @group: whether it leads a group of processes of its own, so that those that it starts can be ended with it
 * @error: %AFP_ERROR_IO
 *
 * Returns: its process, to be waited for; -1 on error
 */
pid_t
afp_helper_spawn (char *const *arguments, const int streams[3], gboolean group, GError **error)
{
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  pid_t child = -1;

  posix_spawn_file_actions_init (&actions);
  posix_spawnattr_init (&attributes);
  int failed = set_streams (&actions, streams);
  if (!failed)
    failed = set_signals (&attributes, group);
  if (!failed)
    failed = posix_spawnp (&child, arguments[0], &actions, &attributes, arguments, environ);
  posix_spawnattr_destroy (&attributes);
  posix_spawn_file_actions_destroy (&actions);
  if (!failed)
    return child;
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot start '%s': %s", arguments[0],
               g_strerror (failed));
  return -1;
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
  char *const arguments[] = { path, NULL };
  const int streams[3] = { fd, -1, -1 };

  return path ? afp_helper_spawn (arguments, streams, FALSE, error) : -1;
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
