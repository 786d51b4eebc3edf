/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-run.h"

#include "json-util.h"

#include <glib-unix.h>
#include <glib/gstdio.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define LAUNCH "afpipe-launch"
#define MAX_DEPTH 64 /* of a report */
#define SLOT_PREFIX "run-"

typedef struct _Work Work;

/* A place for one run at a time, with its share of threads and memory. */
typedef struct {
  Work *work;
  guint threads;
  guint64 memory;
  GSubprocess *process; /* NULL: free */
  guint number;         /* of the run */
  char *report, *said;  /* files */
} Slot;

struct _Work {
  AfpRunner *runner;
  GMainLoop *loop;
  Slot *slots;
  gboolean *begun; /* of each run */
  guint n_active, signals;
  GError *error;
};

char *
afp_runner_find_launch (GError **error)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = self ? g_path_get_dirname (self) : g_strdup (".");
  char *path = g_build_filename (folder, LAUNCH, NULL);

  if (g_file_test (path, G_FILE_TEST_IS_EXECUTABLE))
    return path;
  g_free (path);
  path = g_find_program_in_path (LAUNCH);
  if (!path)
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLUGIN,
                 LAUNCH " is missing: it is neither in '%s' nor in PATH; the installation is not "
                        "complete",
                 folder);
  return path;
}

/* --- one run --- */

/* In the child, before the program. A terminal's Ctrl-C is for this tool to pass on; whoever kills it kills its runs. */
static void
prepare_child (gpointer parent)
{
  setpgid (0, 0);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != GPOINTER_TO_INT (parent))
    _exit (127);
}

static GPtrArray *
make_arguments (const AfpLaunch *launch, const char *pipeline)
{
  GPtrArray *arguments = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (arguments, g_strdup (launch->program));
  g_ptr_array_add (arguments, g_strdup ("-q"));
  g_ptr_array_add (arguments, g_strdup ("--report"));
  g_ptr_array_add (arguments, g_strdup (launch->report));
  g_ptr_array_add (arguments, g_strdup_printf ("--jobs=%u", launch->threads));
  g_ptr_array_add (arguments, g_strdup_printf ("--max-mem=%" G_GUINT64_FORMAT, launch->max_memory));
  if (launch->cache)
    g_ptr_array_add (arguments, g_strconcat ("--cache=", launch->cache, NULL));
  if (launch->cache && launch->cache_limit)
    g_ptr_array_add (arguments, g_strconcat ("--cache-limit=", launch->cache_limit, NULL));
  g_ptr_array_add (arguments, g_strdup ("--"));
  g_ptr_array_add (arguments, g_strdup (pipeline));
  g_ptr_array_add (arguments, NULL);
  return arguments;
}

GSubprocess *
afp_launch_spawn (const AfpLaunch *launch, const char *pipeline, GError **error)
{
  g_autoptr (GSubprocessLauncher) launcher =
      g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
  g_autoptr (GPtrArray) arguments = make_arguments (launch, pipeline);
  g_autoptr (GError) local = NULL;

  g_unlink (launch->report);
  g_subprocess_launcher_set_stderr_file_path (launcher, launch->said);
  g_subprocess_launcher_set_child_setup (launcher, prepare_child, GINT_TO_POINTER (getpid ()),
                                         NULL);
  GSubprocess *process =
      g_subprocess_launcher_spawnv (launcher, (const char *const *) arguments->pdata, &local);
  if (!process)
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot start '%s': %s", launch->program,
                 local->message);
  return process;
}

static JsonNode *
read_report (const char *path)
{
  g_autofree char *text = NULL;
  gsize n;

  if (!g_file_get_contents (path, &text, &n, NULL))
    return NULL;
  g_autoptr (JsonNode) node = afp_json_parse (text, n, MAX_DEPTH, path, NULL);
  return node && JSON_NODE_HOLDS_OBJECT (node) ? g_steal_pointer (&node) : NULL;
}

/* The end of what it said on standard error. */
static char *
read_said (const char *path)
{
  g_autofree char *text = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return g_strdup ("");
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  return g_strdup (g_strchomp (valid));
}

/* Where there is no report, or one that says nothing of it. */
static char *
describe_end (const Slot *slot, const char *said)
{
  const char *last = strrchr (said, '\n');
  g_autofree char *how =
      g_subprocess_get_if_signaled (slot->process)
          ? g_strdup_printf ("was ended by signal %d (%s)",
                             g_subprocess_get_term_sig (slot->process),
                             g_strsignal (g_subprocess_get_term_sig (slot->process)))
          : g_strdup_printf ("ended with status %d and no report",
                             g_subprocess_get_exit_status (slot->process));

  return g_strconcat (LAUNCH " ", how, *said ? ": " : "", last ? last + 1 : said, NULL);
}

static void
fail (Work *work, GError *error)
{
  if (work->error)
    g_error_free (error);
  else
    work->error = error;
}

static void
take_end (Work *work, Slot *slot)
{
  AfpRunner *runner = work->runner;
  AfpResults *results = runner->results;
  g_autoptr (JsonNode) report = read_report (slot->report);
  g_autofree char *said = read_said (slot->said), *message = describe_end (slot, said);
  const gboolean crashed = g_subprocess_get_if_signaled (slot->process);
  AfpRunEnd end = { report ? json_node_get_object (report) : NULL,
                    crashed ? 128 + g_subprocess_get_term_sig (slot->process)
                            : g_subprocess_get_exit_status (slot->process),
                    "crash", message };
  GError *error = NULL;

  if (crashed) /* a report that it may have written is not of this end */
    end.report = NULL;
  if (runner->warnings && *said)
    g_printerr ("%s\n", said);
  JsonObject *record = afp_record_new (results->ids->pdata[slot->number],
                                       results->fingerprints->pdata[slot->number], &end);
  if (!afp_results_add (results, slot->number, record, &error) ||
      (runner->on_end && !runner->on_end (runner, slot->number, record, &error)))
    fail (work, error);
}

static void begin_runs (Work *work);

static void
on_child_end (GObject *source, GAsyncResult *result, gpointer data)
{
  Slot *slot = data;
  Work *work = slot->work;

  g_subprocess_wait_finish (G_SUBPROCESS (source), result, NULL);
  if (!work->error && (!work->signals || g_subprocess_get_successful (slot->process)))
    take_end (work, slot);
  g_unlink (slot->report);
  g_unlink (slot->said);
  g_clear_object (&slot->process);
  work->n_active--;
  begin_runs (work);
}

static gboolean
begin_run (Work *work, Slot *slot, guint number)
{
  AfpRunner *runner = work->runner;
  const AfpStudyRun *run = runner->results->study->runs->pdata[number];
  const AfpLaunch launch = { runner->program,     slot->threads, slot->memory, runner->cache,
                             runner->cache_limit, slot->report,  slot->said };
  GError *error = NULL;

  slot->process = afp_launch_spawn (&launch, run->pipeline, &error);
  if (!slot->process) {
    fail (work, error);
    return FALSE;
  }
  slot->number = number;
  work->begun[number] = TRUE;
  work->n_active++;
  g_subprocess_wait_async (slot->process, NULL, on_child_end, slot);
  if (runner->on_begin)
    runner->on_begin (runner, number);
  return TRUE;
}

/* --- which runs, and when --- */

static gboolean
is_to_run (const Work *work, guint number)
{
  return !work->runner->planned || work->runner->planned[number];
}

/* The first that can begin: what the last stage is worth is known as soon as it has ended. -1: none */
static int
find_next (const Work *work)
{
  const AfpResults *results = work->runner->results;

  for (guint i = 0; i < results->records->len; i++) {
    const AfpStudyRun *run = results->study->runs->pdata[i];
    if (results->records->pdata[i] || work->begun[i] || !is_to_run (work, i))
      continue;
    if (run->prefix < 0 || results->records->pdata[run->prefix] ||
        !is_to_run (work, (guint) run->prefix))
      return (int) i;
  }
  return -1;
}

static void
begin_runs (Work *work)
{
  int next;

  for (guint i = 0; i < work->runner->at_once && !work->signals && !work->error; i++)
    if (!work->slots[i].process && (next = find_next (work)) >= 0)
      begin_run (work, &work->slots[i], (guint) next);
  if (work->n_active == 0)
    g_main_loop_quit (work->loop);
}

static gboolean
on_signal (gpointer data)
{
  Work *work = data;

  work->signals++;
  g_printerr ("%sstopping: %u of the runs %s told to end%s\n", isatty (STDERR_FILENO) ? "\n" : "",
              work->n_active, work->n_active == 1 ? "is" : "are",
              work->signals == 1 ? " (once more: they are killed)" : "");
  for (guint i = 0; i < work->runner->at_once; i++) {
    if (!work->slots[i].process)
      continue;
    if (work->signals == 1)
      g_subprocess_send_signal (work->slots[i].process, SIGINT);
    else
      g_subprocess_force_exit (work->slots[i].process);
  }
  if (work->n_active == 0)
    g_main_loop_quit (work->loop);
  return G_SOURCE_CONTINUE;
}

/* --- all --- */

/* What a tool that was killed has left. */
static void
remove_leftovers (const char *path)
{
  g_autoptr (GDir) folder = g_dir_open (path, 0, NULL);
  const char *name;

  while (folder && (name = g_dir_read_name (folder))) {
    g_autofree char *file = g_build_filename (path, name, NULL);
    if (g_str_has_prefix (name, SLOT_PREFIX))
      g_unlink (file);
  }
}

static void
make_slots (Work *work)
{
  const AfpRunner *runner = work->runner;

  work->slots = g_new0 (Slot, runner->at_once);
  for (guint i = 0; i < runner->at_once; i++) {
    Slot *slot = &work->slots[i];
    g_autofree char *report = g_strdup_printf (SLOT_PREFIX "%u.json", i);
    g_autofree char *said = g_strdup_printf (SLOT_PREFIX "%u.err", i);

    slot->work = work;
    slot->threads =
        MAX (1, runner->threads / runner->at_once + (i < runner->threads % runner->at_once));
    slot->memory = runner->max_memory / runner->at_once;
    slot->report = afp_results_get_path (runner->results, report);
    slot->said = afp_results_get_path (runner->results, said);
  }
}

static void
clear (Work *work)
{
  for (guint i = 0; i < work->runner->at_once; i++) {
    g_free (work->slots[i].report);
    g_free (work->slots[i].said);
  }
  g_free (work->slots);
  g_free (work->begun);
  g_main_loop_unref (work->loop);
}

gboolean
afp_runner_run (AfpRunner *self, GError **error)
{
  Work work = { .runner = self };
  guint interrupt, terminate;

  work.begun = g_new0 (gboolean, self->results->records->len);
  work.loop = g_main_loop_new (NULL, FALSE);
  remove_leftovers (self->results->folder);
  make_slots (&work);
  interrupt = g_unix_signal_add (SIGINT, on_signal, &work);
  terminate = g_unix_signal_add (SIGTERM, on_signal, &work);
  begin_runs (&work);
  if (work.n_active > 0)
    g_main_loop_run (work.loop);
  g_source_remove (interrupt);
  g_source_remove (terminate);
  if (work.signals && !work.error)
    work.error = g_error_new (AFP_ERROR, AFP_ERROR_CANCELLED,
                              "cancelled; what has been done is in '%s', and the same command goes "
                              "on with it",
                              self->results->folder);
  clear (&work);
  if (!work.error)
    return TRUE;
  g_propagate_error (error, work.error);
  return FALSE;
}
