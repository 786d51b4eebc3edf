/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-scan.h"

#include "afp-helper.h"
#include "afp-registry-private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCAN_SECONDS 10.0       /* for each step */
#define SCAN_START_SECONDS 60.0 /* of the helper itself */
#define SCAN_MAX_REQUEST (64 << 20)
#define SCAN_END_WAIT (G_USEC_PER_SEC)

/* --- files --- */

char *
afp_scan_get_stem (const char *name)
{
  if (!g_str_has_prefix (name, "afp") ||
      (!g_str_has_suffix (name, ".so") && !g_str_has_suffix (name, ".la")))
    return NULL;
  return g_strndup (name, strlen (name) - 3);
}

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* The installed module, or the one that libtool left in a build tree. */
static void
find_module (const char *directory, const char *stem, AfpScanFunc func, gpointer user_data)
{
  g_autofree char *so = g_strconcat (stem, ".so", NULL);
  g_autofree char *la = g_strconcat (stem, ".la", NULL);
  g_autofree char *installed = g_build_filename (directory, so, NULL);
  g_autofree char *built = g_build_filename (directory, ".libs", so, NULL);
  g_autofree char *text = g_build_filename (directory, la, NULL);
  g_autofree char *missing = g_strconcat ("the module it stands for is missing: ", built, NULL);
  gboolean is_installed = g_file_test (installed, G_FILE_TEST_EXISTS);

  if (!is_installed && g_file_test (built, G_FILE_TEST_EXISTS))
    func (built, NULL, user_data);
  else if (!is_installed && g_file_test (text, G_FILE_TEST_EXISTS))
    func (text, missing, user_data);
  else
    func (installed, NULL, user_data);
}

void
afp_scan_directory (const char *directory, gboolean must_exist, AfpScanFunc func,
                    gpointer user_data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (directory, 0, &error);
  g_autoptr (GPtrArray) stems = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  if (!dir) {
    if (must_exist)
      func (directory, error->message, user_data);
    return;
  }
  while ((name = g_dir_read_name (dir))) {
    char *stem = afp_scan_get_stem (name);
    if (stem)
      g_ptr_array_add (stems, stem);
  }
  /* The order of a directory is no order: sorted, so that every machine loads the same. */
  g_ptr_array_sort (stems, compare_strings);
  for (guint i = 0; i < stems->len; i++)
    if (i == 0 || strcmp (stems->pdata[i], stems->pdata[i - 1]) != 0)
      find_module (directory, stems->pdata[i], func, user_data);
}

/* --- this process --- */

typedef struct {
  pid_t child;
  int fd;
  double seconds;
  char step; /* what the child does, an AfpProbeStep */
} Scan;

double
afp_scan_get_seconds (void)
{
  const char *text = g_getenv ("AFPIPE_PLUGIN_SECONDS");
  const double seconds = text ? g_ascii_strtod (text, NULL) : 0;

  return seconds > 0 && seconds < 1e6 ? seconds : SCAN_SECONDS;
}

static gint64
get_deadline (double seconds)
{
  return g_get_monotonic_time () + (gint64) (seconds * G_USEC_PER_SEC);
}

static void
append_list (GByteArray *request, const char *const *list)
{
  for (; *list; list++)
    g_byte_array_append (request, (const guint8 *) *list, (guint) strlen (*list) + 1);
  g_byte_array_append (request, (const guint8 *) "", 1);
}

/* What is sent: names, "", files, "": each with its final NUL; behind the number of bytes. */
static gboolean
send_request (const Scan *self, const char *const *files, const char *const *taken)
{
  g_autoptr (GByteArray) request = g_byte_array_new ();

  append_list (request, taken);
  append_list (request, files);
  const guint64 size = request->len;
  const gint64 deadline = get_deadline (SCAN_START_SECONDS);
  return afp_helper_send (self->fd, &size, sizeof size, deadline) &&
         afp_helper_send (self->fd, request->data, request->len, deadline);
}

static gboolean
start (Scan *self, const char *const *files, const char *const *taken, GError **error)
{
  int ends[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "no socket to a helper: %s", g_strerror (errno));
    return FALSE;
  }
  self->child = afp_helper_start (AFP_SCAN_HELPER, ends[1], error);
  self->fd = ends[0];
  close (ends[1]);
  if (self->child < 0) {
    close (self->fd);
    return FALSE;
  }
  /* If it has died already, that is found out when nothing is received. */
  (void) send_request (self, files, taken);
  return TRUE;
}

/* Ends the child if it does not end by itself. FALSE: nobody knows how it ended. */
static gboolean
end (Scan *self, gboolean in_time, int *status)
{
  const gint64 deadline = g_get_monotonic_time () + SCAN_END_WAIT;
  pid_t ended = 0;

  close (self->fd);
  while (in_time && (ended = waitpid (self->child, status, WNOHANG)) == 0 &&
         g_get_monotonic_time () < deadline)
    g_usleep (1000);
  if (ended == 0) {
    kill (self->child, SIGKILL);
    while ((ended = waitpid (self->child, status, 0)) < 0 && errno == EINTR)
      ;
  }
  return ended == self->child;
}

static const char *
describe_step (char step)
{
  switch (step) {
  case AFP_PROBE_OPEN:
    return "while it was opened: in a constructor, of it or of a library that it needs";
  case AFP_PROBE_DESC:
    return "in afp_plugin_get_desc";
  case AFP_PROBE_INIT:
    return "in init";
  case AFP_PROBE_MAKE:
    return "when one of its elements was made";
  default:
    return NULL;
  }
}

static char *
describe_end (const Scan *self, gboolean in_time, gboolean known, int status)
{
  const char *where = describe_step (self->step);

  if (known && WIFSIGNALED (status) && WTERMSIG (status) != SIGKILL)
    return g_strdup_printf ("it crashed (%s) %s", strsignal (WTERMSIG (status)), where);
  if (!in_time)
    return g_strdup_printf (
        "it took more than %g seconds %s; it was stopped (AFPIPE_PLUGIN_SECONDS sets the limit)",
        self->seconds, where);
  if (known && WIFEXITED (status))
    return g_strdup_printf ("it ended the process (exit status %d) %s", WEXITSTATUS (status),
                            where);
  return g_strdup_printf ("it was killed %s", where);
}

guint
afp_scan_files (const char *const *files, const char *const *taken, AfpScanFunc func,
                gpointer user_data, GError **error)
{
  Scan self = { .seconds = afp_scan_get_seconds () };
  gboolean in_time = TRUE;
  guint done = 0;
  int status = 0;

  if (!start (&self, files, taken, error))
    return 0;
  while (files[done] && in_time) {
    const gint64 deadline = get_deadline (self.step ? self.seconds : SCAN_START_SECONDS);
    if (afp_helper_receive (self.fd, &self.step, 1, deadline)) {
      if (self.step == AFP_PROBE_DONE)
        func (files[done++], NULL, user_data);
      continue;
    }
    in_time = g_get_monotonic_time () < deadline;
    break;
  }
  const gboolean known = end (&self, in_time && files[done] != NULL, &status);
  if (files[done] && describe_step (self.step)) {
    g_autofree char *problem = describe_end (&self, in_time, known, status);
    func (files[done++], problem, user_data);
  }
  if (done == 0)
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLUGIN,
                 "the helper program '%s' does not work: it %s before the first file",
                 AFP_SCAN_HELPER, in_time ? "ended" : "did nothing");
  return done;
}

/* --- the helper --- */

static void
say (AfpProbeStep step, gpointer user_data)
{
  const char byte = (char) step;

  /* Without the process that asked there is nothing to do. */
  if (send (*(const int *) user_data, &byte, 1, MSG_NOSIGNAL) != 1)
    _exit (EXIT_FAILURE);
}

/* Two lists, as append_list() wrote them, one behind the other. FALSE: it is something else. */
static gboolean
split_request (const char *text, gsize size, GPtrArray *lists[2])
{
  gsize at = 0;

  for (int i = 0; i < 2; i++) {
    while (at < size && text[at]) {
      g_ptr_array_add (lists[i], (gpointer) (text + at));
      at += strlen (text + at) + 1;
    }
    if (at++ >= size)
      return FALSE;
    g_ptr_array_add (lists[i], NULL);
  }
  return at == size;
}

/* A plugin that crashes leaves no core file, and one that hangs does not survive the process that waits for it. */
static void
prepare (void)
{
  const struct rlimit none = { 0, 0 };

  setrlimit (RLIMIT_CORE, &none);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

int
afp_scan_serve (int fd)
{
  const gint64 deadline = get_deadline (SCAN_START_SECONDS);
  g_autoptr (GPtrArray) taken = g_ptr_array_new (), files = g_ptr_array_new ();
  g_autofree char *request = NULL;
  int own = fcntl (fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  guint64 size;

  if (own < 0 || !afp_helper_receive (own, &size, sizeof size, deadline) || size > SCAN_MAX_REQUEST)
    return EXIT_FAILURE;
  request = g_malloc (size + 1);
  request[size] = '\0';
  if (!afp_helper_receive (own, request, size, deadline) ||
      !split_request (request, size, (GPtrArray *[]){ taken, files }))
    return EXIT_FAILURE;
  prepare ();
  afp_registry_probe ((const char *const *) files->pdata, (const char *const *) taken->pdata, say,
                      &own);
  /* The plugins' destructors are not what was asked for. */
  _exit (EXIT_SUCCESS);
}
