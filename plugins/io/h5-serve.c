/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "h5-child.h"

#include "afp-helper.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

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

static GBytes *
receive_bytes (int fd, guint64 n)
{
  g_autofree guint8 *bytes = g_try_malloc (MAX (n, 1));

  if (!bytes || !afp_helper_receive (fd, bytes, n, G_MAXINT64))
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&bytes), n);
}

static void
set_limits (const AfpH5Question *question)
{
  const guint64 used = used_memory ();

  signal (SIGPIPE, SIG_IGN);
  limit (RLIMIT_CORE, 0);
  limit (RLIMIT_CPU, question->seconds);
  if (used)
    limit (RLIMIT_DATA, used + question->memory);
  alarm ((guint) question->seconds);
}

static GBytes *
work (const AfpH5Op *ops, const char *name, GBytes *request, GBytes *data, GError **error)
{
  while (ops->name && strcmp (ops->name, name) != 0)
    ops++;
  if (ops->name) {
    afp_h5_lock ();
    return ops->func (request, data, error);
  }
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLUGIN,
               "the helper program '%s' does not know '%s': it is of another version than the "
               "plugin 'io'; install both anew",
               AFP_H5_HELPER, name);
  return NULL;
}

/**
 * afp_h5_serve:
 * @fd: a socket
 * @ops: what can be asked
 *
 * Returns: never: the process ends at once, for libhdf5 may hang while it tidies up
 */
int
afp_h5_serve (int fd, const AfpH5Op *ops)
{
  AfpH5Question question;
  GError *error = NULL;

  if (!afp_helper_receive (fd, &question, sizeof question, G_MAXINT64))
    return EXIT_FAILURE;
  question.op[AFP_H5_OP_NAME - 1] = '\0';
  set_limits (&question);
  GBytes *request = receive_bytes (fd, question.request_bytes);
  GBytes *data = request ? receive_bytes (fd, question.data_bytes) : NULL;
  if (!data)
    _exit (EXIT_FAILURE);

  GBytes *result = work (ops, question.op, request, data, &error);
  gsize size = 0;
  gconstpointer bytes = result ? g_bytes_get_data (result, &size) : error->message;
  if (!result)
    size = strlen (error->message);
  const AfpH5Answer answer = { result != NULL, result ? 0 : (guint32) error->code, size };
  const gboolean sent = afp_helper_send (fd, &answer, sizeof answer, G_MAXINT64) &&
                        afp_helper_send (fd, bytes, size, G_MAXINT64);
  _exit (sent ? EXIT_SUCCESS : EXIT_FAILURE);
}
