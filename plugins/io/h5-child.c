/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* pipe2 */
#endif

#include "h5-child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const AfpH5ChildLimits default_limits = { 120, G_GUINT64_CONSTANT (4) << 30,
                                                 G_GUINT64_CONSTANT (3) << 30 };

/* What goes through the pipe first; then the result, or the text of the error. */
typedef struct {
  guint32 ok;
  guint32 code;
  guint64 size;
} Head;

/* --- in the child --- */

static void
limit (int resource, guint64 value)
{
  const struct rlimit both = { value, value };

  setrlimit (resource, &both);
}

/* Bytes of private memory of this process: what RLIMIT_DATA speaks of. */
static guint64
used_memory (void)
{
  char text[256] = { 0 };
  guint64 fields[6] = { 0 };
  const int fd = open ("/proc/self/statm", O_RDONLY | O_CLOEXEC);

  if (fd < 0)
    return 0;
  char *at = read (fd, text, sizeof text - 1) > 0 ? text : NULL;
  close (fd);
  for (guint i = 0; at && i < G_N_ELEMENTS (fields); i++)
    fields[i] = g_ascii_strtoull (at, &at, 10);
  return fields[5] * (guint64) sysconf (_SC_PAGESIZE);
}

static gboolean
send_all (int fd, gconstpointer data, gsize n)
{
  const guint8 *at = data;

  while (n > 0) {
    const gssize done = write (fd, at, n);
    if (done < 0 && errno == EINTR)
      continue;
    if (done <= 0)
      return FALSE;
    at += done;
    n -= (gsize) done;
  }
  return TRUE;
}

static void
work (int fd, AfpH5ChildFunc func, gpointer user_data, const AfpH5ChildLimits *limits)
{
  static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGINT, SIGALRM };
  const int null = open ("/dev/null", O_RDWR | O_CLOEXEC);
  const guint64 used = used_memory ();
  GError *error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    signal (fatal[i], SIG_DFL);
  signal (SIGPIPE, SIG_IGN);
  if (null >= 0) {
    dup2 (null, STDOUT_FILENO);
    dup2 (null, STDERR_FILENO);
  }
  limit (RLIMIT_CORE, 0);
  limit (RLIMIT_CPU, limits->seconds);
  if (used)
    limit (RLIMIT_DATA, used + limits->memory);
  alarm (limits->seconds);

  GBytes *result = func (user_data, &error);
  gsize size = 0;
  gconstpointer data = result ? g_bytes_get_data (result, &size) : error->message;
  if (!result)
    size = strlen (error->message);
  const Head head = { result != NULL, result ? 0 : (guint32) error->code, size };
  if (send_all (fd, &head, sizeof head))
    send_all (fd, data, size);
}

/* --- in the parent --- */

/* FALSE: the child has died, or time is up. */
static gboolean
receive (int fd, gpointer data, gsize n, gint64 deadline)
{
  guint8 *at = data;

  while (n > 0) {
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    const gint64 left = (deadline - g_get_monotonic_time ()) / 1000;
    if (left <= 0)
      return FALSE;
    const int count = poll (&ready, 1, (int) MIN (left, G_MAXINT));
    if (count < 0 && errno != EINTR)
      return FALSE;
    if (count <= 0)
      continue;
    const gssize done = read (fd, at, n);
    if (done < 0 && errno == EINTR)
      continue;
    if (done <= 0)
      return FALSE;
    at += done;
    n -= (gsize) done;
  }
  return TRUE;
}

static char *
describe_end (int status, gboolean in_time, guint seconds)
{
  if (!in_time ||
      (WIFSIGNALED (status) && (WTERMSIG (status) == SIGALRM || WTERMSIG (status) == SIGXCPU)))
    return g_strdup_printf ("took more than %u seconds", seconds);
  if (WIFSIGNALED (status))
    return g_strdup_printf ("crashed (%s)", strsignal (WTERMSIG (status)));
  return g_strdup ("ended without a result");
}

static GBytes *
collect (int fd, const AfpH5ChildLimits *limits, gint64 deadline, gboolean *answered,
         GError **error)
{
  Head head;

  *answered = FALSE;
  if (!receive (fd, &head, sizeof head, deadline) || head.size > limits->max_result)
    return NULL;
  g_autofree guint8 *data = g_try_malloc (head.size + 1);
  if (!data || !receive (fd, data, head.size, deadline))
    return NULL;
  data[head.size] = '\0';
  *answered = TRUE;
  if (head.ok)
    return g_bytes_new_take (g_steal_pointer (&data), head.size);
  g_autofree char *text = g_utf8_make_valid ((const char *) data, -1);
  const int code = head.code <= AFP_ERROR_CANCELLED ? (int) head.code : AFP_ERROR_FORMAT;
  g_set_error_literal (error, AFP_ERROR, code, text);
  return NULL;
}

/**
 * afp_h5_child_run:
 * @path: the file, for messages
 * @func: what to do in the child
 * @user_data: for @func
 * @limits: (nullable): other limits than the usual ones
 * @error: return location
 *
 * Returns: (transfer full): what @func returned; %NULL with its error, or with %AFP_ERROR_FORMAT if it crashed or took too long
 */
GBytes *
afp_h5_child_run (const char *path, AfpH5ChildFunc func, gpointer user_data,
                  const AfpH5ChildLimits *limits, GError **error)
{
  int ends[2], status = 0;
  gboolean answered;

  if (!limits)
    limits = &default_limits;
  const GQuark domain = AFP_ERROR; /* made before the fork: it takes a lock */
  (void) domain;
  if (pipe2 (ends, O_CLOEXEC) != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot read '%s': no pipe to a child process: %s",
                 path, g_strerror (errno));
    return NULL;
  }
  afp_h5_lock (); /* HDF5 is at rest in both processes */
  const pid_t child = fork ();
  if (child == 0) {
    close (ends[0]);
    work (ends[1], func, user_data, limits);
    _exit (EXIT_SUCCESS);
  }
  const int failure = errno;
  afp_h5_unlock ();
  close (ends[1]);
  if (child < 0) {
    close (ends[0]);
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot read '%s': no child process: %s", path,
                 g_strerror (failure));
    return NULL;
  }
  const gint64 deadline = g_get_monotonic_time () + (gint64) limits->seconds * G_USEC_PER_SEC;
  GBytes *result = collect (ends[0], limits, deadline, &answered, error);
  const gboolean in_time = g_get_monotonic_time () < deadline;
  close (ends[0]);
  if (!answered)
    kill (child, in_time ? SIGTERM : SIGKILL);
  while (waitpid (child, &status, 0) < 0 && errno == EINTR)
    ;
  if (!answered) {
    g_autofree char *what = describe_end (status, in_time, limits->seconds);
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_FORMAT,
        "cannot read '%s': the process that read it %s; the file is damaged, or made to harm", path,
        what);
  }
  return result;
}
