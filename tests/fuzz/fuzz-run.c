/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Inputs run in a worker process, one after the other, so that one which crashes or hangs costs a process and not the run. What the
 * worker is at is in shared memory.
 */
typedef struct {
  guint64 at; /* the input in work */
  guint64 peak;
  guint64 refused;      /* inputs that some error was made for */
  guint64 last_refused; /* 1 + the last of them */
  char why[200];        /* what the worker itself found wrong */
} Shared;

static Shared *shared; /* of this process's worker, or NULL outside of fuzz_drive() */

void
fuzz_fail (const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  if (shared)
    g_strlcpy (shared->why, why, sizeof shared->why);
  fprintf (stderr, "fuzz: %s\n", why);
  abort ();
}

void
fuzz_check_error (GError **error)
{
  if (!*error)
    fuzz_fail ("failed without an error");
  if ((*error)->domain != AFP_ERROR)
    fuzz_fail ("an error of a foreign domain: %s", (*error)->message);
  if (!*(*error)->message || !g_utf8_validate ((*error)->message, -1, NULL))
    fuzz_fail ("the text of an error is empty or no UTF-8: %s", (*error)->message);
  g_clear_error (error);
  if (shared && shared->last_refused != shared->at + 1) {
    shared->last_refused = shared->at + 1;
    shared->refused++;
  }
}

/* --- worker ------------------------------------------------------------------------------------------------------- */

static void
work (const FuzzRecord *record, FuzzInput input, gpointer user_data, guint64 end)
{
  static const int fatal[] = { SIGINT, SIGTERM, SIGALRM };

  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    signal (fatal[i], SIG_DFL);
  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING | G_LOG_LEVEL_ERROR);
  for (; shared->at < end; shared->at++) {
    g_autoptr (GBytes) bytes = input (shared->at, user_data);
    gsize n;
    /* A copy of its own, so that a sanitizer sees a byte that is read too far. */
    gconstpointer source = g_bytes_get_data (bytes, &n);
    g_autofree guint8 *data = n > 0 ? g_memdup2 (source, n) : g_malloc (1);
    const guint64 limit = record->memory + record->factor * n;
    fuzz_alloc_start ();
    record->run (data, n);
    const guint64 peak = fuzz_alloc_stop ();
    shared->peak = MAX (shared->peak, peak);
    if (peak > limit)
      fuzz_fail ("took %" G_GUINT64_FORMAT " bytes of memory for an input of %" G_GSIZE_FORMAT
                 "; the limit is %" G_GUINT64_FORMAT,
                 peak, n, limit);
  }
  fuzz_cleanup ();
  if (fuzz_leaks ())
    g_strlcpy (shared->why, "leaked memory; run the inputs before it one by one",
               sizeof shared->why);
}

/* --- driver ------------------------------------------------------------------------------------------------------- */

/* Waits for the end of the worker, or for an input that takes too long. FALSE: it hung, and was killed. */
static gboolean
wait_for (pid_t worker, int alive, guint seconds, int *status)
{
  guint64 last = shared->at;
  gint64 since = g_get_monotonic_time ();
  gboolean in_time = TRUE;

  for (;;) {
    struct pollfd end = { .fd = alive, .events = POLLIN };
    if (poll (&end, 1, 200) > 0)
      break;
    if (shared->at != last) {
      last = shared->at;
      since = g_get_monotonic_time ();
    } else if (g_get_monotonic_time () - since > (gint64) seconds * G_USEC_PER_SEC) {
      in_time = FALSE;
      kill (worker, SIGKILL);
      break;
    }
  }
  while (waitpid (worker, status, 0) < 0 && errno == EINTR)
    ;
  return in_time;
}

static void
note (FuzzReport *report, GBytes *input, guint64 index, const char *what)
{
  report->findings++;
  g_ptr_array_add (report->inputs, input);
  g_string_append_printf (report->text, "%" G_GUINT64_FORMAT ": %s\n", index, what);
}

FuzzReport *
fuzz_drive (const FuzzRecord *record, FuzzInput input, gpointer user_data, guint64 first, guint64 n,
            guint seconds)
{
  FuzzReport *report = g_new0 (FuzzReport, 1);

  report->text = g_string_new (NULL);
  report->inputs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert (shared != MAP_FAILED);
  for (shared->at = first; shared->at < first + n; shared->at++) {
    int ends[2], status = 0;
    shared->why[0] = '\0';
    g_assert (pipe (ends) == 0);
    fflush (NULL);
    const pid_t worker = fork ();
    g_assert (worker >= 0);
    if (worker == 0) {
      close (ends[0]);
      work (record, input, user_data, first + n);
      _exit (EXIT_SUCCESS);
    }
    close (ends[1]);
    const gboolean in_time = wait_for (worker, ends[0], seconds, &status);
    close (ends[0]);
    if (in_time && shared->at >= first + n && WIFEXITED (status) && !shared->why[0])
      break;
    g_autofree char *what =
        shared->why[0] ? g_strdup (shared->why)
        : !in_time     ? g_strdup_printf ("took more than %u seconds", seconds)
        : WIFSIGNALED (status)
            ? g_strdup_printf ("crashed (%s)", strsignal (WTERMSIG (status)))
            : g_strdup_printf ("ended the process with status %d", WEXITSTATUS (status));
    note (report, input (MIN (shared->at, first + n - 1), user_data), shared->at, what);
  }
  report->tried = n;
  report->peak = shared->peak;
  report->refused = shared->refused;
  munmap (shared, sizeof *shared);
  shared = NULL;
  return report;
}

void
fuzz_report_free (FuzzReport *report)
{
  g_string_free (report->text, TRUE);
  g_ptr_array_unref (report->inputs);
  g_free (report);
}
