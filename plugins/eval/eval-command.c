/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* pipe2 */
#endif

#include "eval-command.h"

#include "afp-helper.h"
#include "json-util.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_DEPTH 64
#define PERIOD_MS 20      /* between looks whether it has ended, while it is silent */
#define COMPLAINT_LINES 5 /* of standard error that are told */
#define COMPLAINT_BYTES 1000
#define CHUNK 65536

/* --- words -------------------------------------------------------------------------------------------------------- */

static char **
split (const char *command, GError **error)
{
  g_autoptr (GError) local = NULL;
  char **words = NULL;

  if (g_shell_parse_argv (command, NULL, &words, &local))
    return words;
  if (g_error_matches (local, G_SHELL_ERROR, G_SHELL_ERROR_EMPTY_STRING))
    g_set_error_literal (
        error, AFP_ERROR, AFP_ERROR_PROPERTY,
        "command: it is empty: give a program and its arguments, like command=\"python3 judge.py\"");
  else
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "command: '%s' cannot be split into words: %s", command, local->message);
  return NULL;
}

gboolean
eval_command_check (const char *command, GError **error)
{
  g_auto (GStrv) words = split (command, error);

  return words != NULL;
}

static char **
make_arguments (const char *command, const char *model_path, GError **error)
{
  g_auto (GStrv) words = split (command, error);
  g_autoptr (GPtrArray) arguments = g_ptr_array_new_with_free_func (g_free);
  gboolean named = FALSE;

  for (guint i = 0; words && words[i]; i++) {
    g_auto (GStrv) parts = g_strsplit (words[i], "{}", -1);
    named = named || (parts[0] && parts[1]);
    g_ptr_array_add (arguments, g_strjoinv (model_path, parts));
  }
  if (!words)
    return NULL;
  if (!named)
    g_ptr_array_add (arguments, g_strdup (model_path));
  g_ptr_array_add (arguments, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&arguments), FALSE);
}

/* --- the process -------------------------------------------------------------------------------------------------- */

enum { OUTPUT, COMPLAINTS, N_STREAMS };

typedef struct {
  const char *name;
  pid_t pid;
  int fds[N_STREAMS]; /* -1: at its end */
  GString *texts[N_STREAMS];
} Child;

static void
child_clear (Child *child)
{
  for (guint i = 0; i < N_STREAMS; i++) {
    if (child->fds[i] >= 0)
      close (child->fds[i]);
    g_string_free (child->texts[i], TRUE);
  }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Child, child_clear)

/* Both ends above the standard streams: ours does not block. */
static gboolean
open_pipe (int ends[2])
{
  int raw[2];

  if (pipe2 (raw, O_CLOEXEC) != 0)
    return FALSE;
  for (guint i = 0; i < 2; i++) {
    ends[i] = fcntl (raw[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close (raw[i]);
  }
  if (ends[0] >= 0 && ends[1] >= 0 && fcntl (ends[0], F_SETFL, O_NONBLOCK) == 0)
    return TRUE;
  for (guint i = 0; i < 2; i++)
    if (ends[i] >= 0)
      close (ends[i]);
  return FALSE;
}

static gboolean
child_start (Child *child, char *const *arguments, GError **error)
{
  int streams[3] = { -1, -1, -1 };
  gboolean ok = TRUE;

  for (guint i = 0; ok && i < N_STREAMS; i++) {
    int ends[2];
    ok = open_pipe (ends);
    if (ok) {
      child->fds[i] = ends[0];
      streams[i + 1] = ends[1];
    } else
      g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "command: cannot make a pipe: %s",
                   g_strerror (errno));
  }
  child->pid = ok ? afp_helper_spawn (arguments, streams, TRUE, error) : -1;
  for (guint i = 1; i < 3; i++)
    if (streams[i] >= 0)
      close (streams[i]);
  if (ok && child->pid < 0)
    g_prefix_error (error, "command: ");
  return child->pid >= 0;
}

/* One chunk of what it wrote, if there is any. FALSE: none for now. */
static gboolean
take (Child *child, guint which)
{
  g_autofree char *chunk = g_malloc (CHUNK);
  GString *text = child->texts[which];
  const gssize n = child->fds[which] < 0 ? 0 : read (child->fds[which], chunk, CHUNK);

  if (n > 0) {
    g_string_append_len (text, chunk, n);
    if (which == COMPLAINTS && text->len > COMPLAINT_BYTES)
      g_string_erase (text, 0, (gssize) (text->len - COMPLAINT_BYTES));
    return TRUE;
  }
  if (child->fds[which] >= 0 && (n == 0 || (errno != EAGAIN && errno != EINTR))) {
    close (child->fds[which]);
    child->fds[which] = -1;
  }
  return FALSE;
}

/* It stays to be waited for, so that its group keeps its number. */
static gboolean
has_ended (const Child *child)
{
  siginfo_t info = { 0 };

  return waitid (P_PID, (id_t) child->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
         info.si_pid != 0;
}

static gboolean
check_output (const Child *child, GError **error)
{
  if (child->texts[OUTPUT]->len <= EVAL_COMMAND_MAX_OUTPUT)
    return TRUE;
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_FORMAT,
      "command: '%s' wrote more than %u bytes to its standard output, where one JSON object is "
      "expected; let it log to standard error",
      child->name, EVAL_COMMAND_MAX_OUTPUT);
  return FALSE;
}

/* Takes what it writes until it has ended. */
static gboolean
child_listen (Child *child, guint seconds, GCancellable *cancellable, GError **error)
{
  const gint64 deadline = g_get_monotonic_time () + (gint64) seconds * G_USEC_PER_SEC;
  GPollFD stop = { .fd = -1 };

  if (!g_cancellable_make_pollfd (cancellable, &stop))
    stop.fd = -1;
  gboolean ok = TRUE, ended = FALSE;
  while (ok && !ended) {
    struct pollfd ready[] = { { .fd = child->fds[OUTPUT], .events = POLLIN },
                              { .fd = child->fds[COMPLAINTS], .events = POLLIN },
                              { .fd = stop.fd, .events = POLLIN } };
    poll (ready, G_N_ELEMENTS (ready), PERIOD_MS);
    ended = has_ended (child);
    for (guint i = 0; i < N_STREAMS; i++)
      for (guint n = 0; n < EVAL_COMMAND_MAX_OUTPUT / CHUNK + 1 && take (child, i); n++)
        continue;
    ok = check_output (child, error);
    if (ok && g_cancellable_is_cancelled (cancellable)) {
      g_set_error_literal (error, AFP_ERROR, AFP_ERROR_CANCELLED, "cancelled");
      ok = FALSE;
    } else if (ok && !ended && seconds > 0 && g_get_monotonic_time () > deadline) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                   "command: '%s' took longer than its time limit of %u s", child->name, seconds);
      ok = FALSE;
    }
  }
  if (stop.fd >= 0)
    g_cancellable_release_fd (cancellable);
  return ok;
}

/* --- its end ------------------------------------------------------------------------------------------------------ */

/* The last lines of what it complained, as a part of an error. */
static void
tell_complaints (Child *child, GError **error)
{
  g_autofree char *text =
      g_utf8_make_valid (child->texts[COMPLAINTS]->str, (gssize) child->texts[COMPLAINTS]->len);
  g_auto (GStrv) lines = g_strsplit (g_strchomp (text), "\n", -1);
  const guint n = g_strv_length (lines);
  g_autoptr (GString) told = g_string_new ((*error)->message);

  for (guint i = n > COMPLAINT_LINES ? n - COMPLAINT_LINES : 0; i < n; i++) {
    for (char *c = lines[i]; *c; c++)
      if (g_ascii_iscntrl (*c))
        *c = ' ';
    g_string_append_printf (told, "\n  | %s", lines[i]);
  }
  g_free ((*error)->message);
  (*error)->message = g_string_free (g_steal_pointer (&told), FALSE);
}

static gboolean
check_status (const Child *child, int status, GError **error)
{
  if (WIFEXITED (status) && WEXITSTATUS (status) == 0)
    return TRUE;
  if (WIFSIGNALED (status))
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "command: '%s' was ended by signal %d (%s)",
                 child->name, WTERMSIG (status), g_strsignal (WTERMSIG (status)));
  else
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "command: '%s' failed with exit status %d",
                 child->name, WEXITSTATUS (status));
  return FALSE;
}

/* Ends it, and all that it started and is still there. */
static gboolean
child_run (Child *child, guint seconds, GCancellable *cancellable, GError **error)
{
  int status = 0;
  gboolean ok = child_listen (child, seconds, cancellable, error);

  kill (-child->pid, SIGKILL);
  while (waitpid (child->pid, &status, 0) < 0)
    if (errno != EINTR) {
      if (ok)
        g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "command: how '%s' ended is not known: %s",
                     child->name, g_strerror (errno));
      return FALSE;
    }
  return ok && check_status (child, status, error);
}

/* --- what it says ------------------------------------------------------------------------------------------------- */

static void
take_number (JsonObject *object, const char *name, JsonNode *node, gpointer user_data)
{
  const GType type = JSON_NODE_HOLDS_VALUE (node) ? json_node_get_value_type (node) : G_TYPE_NONE;

  if (type == G_TYPE_INT64 || type == G_TYPE_DOUBLE)
    json_object_set_member (user_data, name, json_node_copy (node));
}

static JsonObject *
read_metrics (const Child *child, GError **error)
{
  const GString *text = child->texts[OUTPUT];
  g_autofree char *what = g_strdup_printf ("standard output of '%s'", child->name);
  g_autoptr (JsonNode) node = afp_json_parse (text->str, text->len, MAX_DEPTH, what, error);
  g_autoptr (JsonObject) metrics = json_object_new ();

  if (!node) {
    g_prefix_error_literal (error, "command: ");
    return NULL;
  }
  if (JSON_NODE_HOLDS_OBJECT (node))
    json_object_foreach_member (json_node_get_object (node), take_number, metrics);
  if (json_object_get_size (metrics) > 0)
    return g_steal_pointer (&metrics);
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_FORMAT,
      "command: %s is %s; one is expected with numbers in it, like {\"accuracy\": 0.75}", what,
      JSON_NODE_HOLDS_OBJECT (node) ? "a JSON object without numbers" : "not a JSON object");
  return NULL;
}

gboolean
eval_command_run (const char *command, const char *model_path, guint seconds,
                  GCancellable *cancellable, JsonObject **metrics, GError **error)
{
  g_auto (GStrv) arguments = make_arguments (command, model_path, error);
  g_auto (Child) child = { .name = arguments ? arguments[0] : NULL, .pid = -1, .fds = { -1, -1 } };
  GError *local = NULL;

  for (guint i = 0; i < N_STREAMS; i++)
    child.texts[i] = g_string_new (NULL);
  if (!arguments || !child_start (&child, arguments, error))
    return FALSE;
  *metrics =
      child_run (&child, seconds, cancellable, &local) ? read_metrics (&child, &local) : NULL;
  if (*metrics)
    return TRUE;
  if (local->code != AFP_ERROR_CANCELLED)
    tell_complaints (&child, &local);
  g_propagate_error (error, local);
  return FALSE;
}
