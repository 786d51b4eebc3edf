/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "h5-child.h"

#include "afp-helper.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEGABYTE (G_GUINT64_CONSTANT (1) << 20)

/* For headers and tables: a small multiple of the file, whatever sizes it claims. */
static AfpH5ChildLimits
usual_limits (const char *path)
{
  struct stat info;
  const guint64 size = stat (path, &info) == 0 && info.st_size > 0 ? (guint64) info.st_size : 0;
  const guint64 memory = 512 * MEGABYTE + 8 * MIN (size, 1024 * MEGABYTE);

  return (AfpH5ChildLimits){ .seconds = 120, .memory = memory, .max_result = memory };
}

static gboolean
send_bytes (int fd, GBytes *bytes, gint64 deadline)
{
  gsize n = 0;
  gconstpointer data = bytes ? g_bytes_get_data (bytes, &n) : NULL;

  return afp_helper_send (fd, data, n, deadline);
}

static gboolean
ask (int fd, const char *op, GBytes *request, GBytes *data, const AfpH5ChildLimits *limits,
     gint64 deadline)
{
  AfpH5Question question = { .seconds = limits->seconds,
                             .memory = limits->memory,
                             .request_bytes = g_bytes_get_size (request),
                             .data_bytes = data ? g_bytes_get_size (data) : 0 };

  g_strlcpy (question.op, op, sizeof question.op);
  return afp_helper_send (fd, &question, sizeof question, deadline) &&
         send_bytes (fd, request, deadline) && send_bytes (fd, data, deadline);
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
  AfpH5Answer head;

  *answered = FALSE;
  if (!afp_helper_receive (fd, &head, sizeof head, deadline) || head.size > limits->max_result)
    return NULL;
  g_autofree guint8 *data = g_try_malloc (head.size + 1);
  if (!data || !afp_helper_receive (fd, data, head.size, deadline))
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

static AfpH5ChildStart other_start;

void
afp_h5_child_set_start (AfpH5ChildStart start)
{
  other_start = start;
}

/* Starts the helper. @fd: (out): the socket to it. -1 on error */
static pid_t
start (const char *path, int *fd, GError **error)
{
  int ends[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "no socket to a helper: %s", g_strerror (errno));
    g_prefix_error (error, "cannot read '%s': ", path);
    return -1;
  }
  const pid_t child =
      other_start ? other_start (ends[1]) : afp_helper_start (AFP_H5_HELPER, ends[1], error);
  close (ends[1]);
  *fd = ends[0];
  if (child < 0) {
    g_prefix_error (error, "cannot read '%s': ", path);
    close (ends[0]);
  }
  return child;
}

/**
 * afp_h5_child_run:
 * @path: the file, for messages
 * @op: what to do: a name of afp_h5_ops[]
 * @request: its arguments, as the function behind @op wants them
 * @data: (nullable): more of them, of any size
 * @limits: (nullable): other limits than the usual ones
 * @error: return location
 *
 * Returns: (transfer full): the answer; %NULL with its error, or with %AFP_ERROR_FORMAT if the helper crashed or took too long
 */
GBytes *
afp_h5_child_run (const char *path, const char *op, GBytes *request, GBytes *data,
                  const AfpH5ChildLimits *limits, GError **error)
{
  int fd, status = 0;
  gboolean answered = FALSE;
  GBytes *result = NULL;

  const AfpH5ChildLimits usual = usual_limits (path);
  if (!limits)
    limits = &usual;
  const pid_t child = start (path, &fd, error);
  if (child < 0)
    return NULL;
  const gint64 deadline = g_get_monotonic_time () + (gint64) limits->seconds * G_USEC_PER_SEC;
  if (ask (fd, op, request, data, limits, deadline))
    result = collect (fd, limits, deadline, &answered, error);
  const gboolean in_time = g_get_monotonic_time () < deadline;
  close (fd);
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
