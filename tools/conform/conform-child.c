/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A record of the pipe: a letter, texts, each ended by a NUL byte.
 *   B check          a check begins
 *   P                it passed
 *   S reason         it was left out
 *   F expected found it failed
 */

static void
send_record (ConformCase *c, char letter, const char *first, const char *second)
{
  g_autoptr (GString) record = g_string_new (NULL);

  g_string_append_c (record, letter);
  if (first)
    g_string_append_len (record, first, (gssize) strlen (first) + 1);
  if (second)
    g_string_append_len (record, second, (gssize) strlen (second) + 1);
  for (gsize done = 0; done < record->len;) {
    const gssize n = write (c->fd, record->str + done, record->len - done);
    if (n < 0 && errno != EINTR)
      _exit (1); /* the parent is gone */
    done += n > 0 ? (gsize) n : 0;
  }
}

void
conform_begin (ConformCase *c, const char *check)
{
  send_record (c, 'B', check, NULL);
}

void
conform_pass (ConformCase *c)
{
  send_record (c, 'P', NULL, NULL);
}

void
conform_skip (ConformCase *c, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *reason = g_strdup_vprintf (format, args);
  va_end (args);
  send_record (c, 'S', reason, NULL);
}

void
conform_fail (ConformCase *c, const char *expected, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *found = g_strdup_vprintf (format, args);
  va_end (args);
  send_record (c, 'F', expected, found);
}

gboolean
conform_expect (ConformCase *c, gboolean holds, const char *expected, const char *format, ...)
{
  va_list args;

  if (holds) {
    conform_pass (c);
    return TRUE;
  }
  va_start (args, format);
  g_autofree char *found = g_strdup_vprintf (format, args);
  va_end (args);
  send_record (c, 'F', expected, found);
  return FALSE;
}

/* --- the child --- */

/* What GLib has to complain about is a failure like any other. */
static GLogWriterOutput
log_writer (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user_data)
{
  if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING))
    for (gsize i = 0; i < n_fields; i++)
      if (strcmp (fields[i].key, "MESSAGE") == 0)
        send_record (user_data, 'F', "no complaint of GLib", fields[i].value);
  return G_LOG_WRITER_HANDLED;
}

G_NORETURN static void
be_child (const ConformTarget *target, int fd, ConformFunc func, gconstpointer data)
{
  const struct rlimit no_core = { 0, 0 };
  ConformCase c = { target, fd };

  setrlimit (RLIMIT_CORE, &no_core);
  g_log_set_writer_func (log_writer, &c, NULL);
  func (&c, data);
  _exit (0);
}

/* --- the parent --- */

typedef struct {
  ConformReport *report;
  const ConformTarget *target;
  const char *name;
  char *check; /* the one that goes on, or NULL */
} Reader;

static void
add (Reader *reader, ConformOutcome outcome, const char *expected, const char *found)
{
  conform_report_add (reader->report, reader->target, reader->name,
                      reader->check ? reader->check : "run", outcome, expected, found);
}

/* The next text of the records, or "". */
static const char *
next_text (const GByteArray *all, gsize *place)
{
  const char *text = (const char *) all->data + *place;
  const gsize left = all->len - *place, length = strnlen (text, left);

  if (length == left) {
    *place = all->len;
    return "(cut off)";
  }
  *place += length + 1;
  return text;
}

static void
read_records (Reader *reader, const GByteArray *all)
{
  for (gsize place = 0; place < all->len;) {
    const char letter = (char) all->data[place++];
    if (letter == 'B') {
      g_free (reader->check);
      reader->check = g_strdup (next_text (all, &place));
      continue;
    }
    const char *expected = letter == 'F' ? next_text (all, &place) : NULL;
    const char *found = letter == 'F' || letter == 'S' ? next_text (all, &place) : NULL;
    add (reader,
         letter == 'P'   ? CONFORM_OK
         : letter == 'S' ? CONFORM_SKIP
                         : CONFORM_FAIL,
         expected, found);
    if (letter != 'F')
      g_clear_pointer (&reader->check, g_free);
  }
}

/* All that the child has to say; FALSE: it took too long. */
static gboolean
collect (int fd, guint limit, GByteArray *all)
{
  const gint64 end = g_get_monotonic_time () + (gint64) limit * G_USEC_PER_SEC;
  guint8 buffer[4096];

  for (;;) {
    struct pollfd poll_fd = { fd, POLLIN, 0 };
    const gint64 left = end - g_get_monotonic_time ();
    if (left <= 0)
      return FALSE;
    const int ready = poll (&poll_fd, 1, (int) (left / 1000) + 1);
    if (ready <= 0)
      continue;
    const gssize n = read (fd, buffer, sizeof buffer);
    if (n == 0)
      return TRUE;
    if (n > 0)
      g_byte_array_append (all, buffer, (guint) n);
  }
}

static void
judge_end (Reader *reader, int status, gboolean in_time)
{
  g_autofree char *found = NULL;

  if (!in_time)
    found = g_strdup_printf ("no end after %u seconds", reader->target->limit);
  else if (WIFSIGNALED (status))
    found = g_strdup_printf ("killed by signal %d (%s)", WTERMSIG (status),
                             strsignal (WTERMSIG (status)));
  else if (WEXITSTATUS (status) != 0)
    found = g_strdup_printf ("the process ended itself with status %d", WEXITSTATUS (status));
  if (found)
    add (reader, CONFORM_FAIL, in_time ? "no crash" : "an end in time", found);
}

void
conform_case (ConformReport *report, const ConformTarget *target, const char *name,
              ConformFunc func, gconstpointer data)
{
  Reader reader = { report, target, name, NULL };
  g_autoptr (GByteArray) all = g_byte_array_new ();
  int fds[2], status = 0;

  if (target->only && !g_pattern_spec_match_string (target->only, name))
    return;
  for (const char *const *except = target->except; except && *except; except++)
    if (g_pattern_match_simple (*except, name))
      return;
  fflush (NULL);
  if (pipe (fds) != 0) {
    add (&reader, CONFORM_FAIL, "a pipe", g_strerror (errno));
    return;
  }
  const pid_t pid = fork ();
  if (pid == 0) {
    close (fds[0]);
    be_child (target, fds[1], func, data);
  }
  close (fds[1]);
  if (pid < 0)
    add (&reader, CONFORM_FAIL, "a child process", g_strerror (errno));
  else {
    const gboolean in_time = collect (fds[0], target->limit, all);
    if (!in_time)
      kill (pid, SIGKILL);
    while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
      continue;
    read_records (&reader, all);
    judge_end (&reader, status, in_time);
  }
  close (fds[0]);
  g_free (reader.check);
  conform_report_end_case (report, target, name);
}
