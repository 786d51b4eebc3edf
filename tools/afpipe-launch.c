/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tool-util.h"

#include "afp-crash.h"
#include "afp-watch.h"
#include "afp-report-private.h"
#include "afp-scan.h"

#include <glib-unix.h>
#include <locale.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/*
 * afpipe-launch: plans or runs a pipeline. Standard output carries the report or the plan and nothing else.
 */
#define TOOL "afpipe-launch"
#define MMAP_THRESHOLD (1 << 20)
#define REPORT_TENSORS 40
#define CACHE_LIMIT (G_GUINT64_CONSTANT (4) << 30)
#define PROGRESS_INTERVAL (G_USEC_PER_SEC / 10)

static struct {
  char *file;
  char **sets;
  int threads;
  char *max_mem;
  char *cache, *cache_limit;
  gboolean plan, json, quiet, verbose;
  char *report, *dot, *trace;
} options;

static const GOptionEntry entries[] = {
  { "file", 'f', 0, G_OPTION_ARG_FILENAME, &options.file,
    "Read the pipeline from FILE (-: standard input)", "FILE" },
  { "set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.sets,
    "Replace ${NAME} in the pipeline by VALUE", "NAME=VALUE" },
  { "jobs", 'j', 0, G_OPTION_ARG_INT, &options.threads,
    "Threads that compute (default: one per processor)", "N" },
  { "max-mem", 0, 0, G_OPTION_ARG_STRING, &options.max_mem,
    "Memory budget, such as 4G or 500MB (default: 80 % of what there is)", "SIZE" },
  { "cache", 0, 0, G_OPTION_ARG_FILENAME, &options.cache,
    "Keep what stages make in DIR, and take from there what was made before", "DIR" },
  { "cache-limit", 0, 0, G_OPTION_ARG_STRING, &options.cache_limit,
    "Of DIR, such as 500MB (default: 4G)", "SIZE" },
  { "plan", 0, 0, G_OPTION_ARG_NONE, &options.plan, "Print what would be done, and end", NULL },
  { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, "Print the report (or the plan) as JSON",
    NULL },
  { "report", 0, 0, G_OPTION_ARG_FILENAME, &options.report,
    "Write the report (or the plan) as JSON to FILE", "FILE" },
  { "dot", 0, 0, G_OPTION_ARG_FILENAME, &options.dot,
    "Write the planned pipeline to FILE as a graph for Graphviz", "FILE" },
  { "trace", 0, 0, G_OPTION_ARG_STRING, &options.trace,
    "Print calls, bytes, seconds and waiting for each element", "stats" },
  { "quiet", 'q', 0, G_OPTION_ARG_NONE, &options.quiet, "No progress and no report for people",
    NULL },
  { "verbose", 'v', 0, G_OPTION_ARG_NONE, &options.verbose,
    "Also print the plan, notes, and all tensors", NULL },
  G_OPTION_ENTRY_NULL,
};

typedef struct {
  AfpPipeline *pipeline;
  GMainLoop *loop;
  GThread *thread;
  GError *error;  /* how it ended */
  JsonNode *plan; /* with --plan */
  char *plan_text;
  GString *metrics;  /* tables of the evals */
  guint signals;     /* that came */
  gboolean terminal; /* stderr is one */
  gboolean line;     /* a progress line stands there */
  gint64 begin;      /* of the run */
  gint64 shown;      /* when progress was last shown */
} Launch;

/* --- options --- */

/* So that a run of hours does not end with a report that cannot be written. */
static gboolean
check_report_place (GError **error)
{
  g_autofree char *folder = options.report ? g_path_get_dirname (options.report) : NULL;

  if (!folder ||
      (access (folder, W_OK | X_OK) == 0 && !g_file_test (options.report, G_FILE_TEST_IS_DIR)))
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "--report %s: %s", options.report,
               g_file_test (options.report, G_FILE_TEST_IS_DIR)
                   ? "that is a folder"
                   : "its folder does not exist, or cannot be written to");
  return FALSE;
}

static gboolean
configure (AfpPipeline *pipeline, GError **error)
{
  guint64 bytes;

  if (!tool_check_threads (options.threads, error) ||
      !tool_parse_memory (options.max_mem, &bytes, error))
    return FALSE;
  afp_pipeline_set_threads (pipeline, (guint) options.threads);
  afp_pipeline_set_max_memory (pipeline, bytes);
  bytes = CACHE_LIMIT;
  if (options.cache_limit && (!afp_parse_size (options.cache_limit, &bytes) || !options.cache)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
                 "--cache-limit %s: give a size such as 4G (2^32 bytes) or 500MB (500,000,000 "
                 "bytes), and a folder with --cache",
                 options.cache_limit);
    return FALSE;
  }
  if (options.cache)
    afp_pipeline_set_cache (pipeline, options.cache, bytes);
  return TRUE;
}

/* A plugin that hangs is stopped, each time. */
static void
warn_of_slow_plugins (void)
{
  const gint64 begin = g_get_monotonic_time ();

  afp_registry_get_default ();
  const double seconds = (double) (g_get_monotonic_time () - begin) / G_USEC_PER_SEC;
  if (seconds < afp_scan_get_seconds ())
    return;
  g_autofree char *text = g_strdup_printf (
      "it took %.1f seconds to load the plugins: afpipe-inspect --problems says if one hangs",
      seconds);
  tool_print_warning (TOOL, text);
}

static gboolean
check_trace (GError **error)
{
  if (!options.trace)
    return TRUE;
  if (strcmp (options.trace, "stats") != 0)
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
                 "--trace %s: there is one kind of trace, --trace stats", options.trace);
  else if (options.plan)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_USAGE,
                         "--trace stats says how a run went, but with --plan nothing runs");
  else
    return TRUE;
  return FALSE;
}

static AfpPipeline *
make_pipeline (char **arguments, GError **error)
{
  g_autoptr (AfpPipeline) pipeline = NULL;
  g_autoptr (AfpAst) ast = NULL;
  g_autofree char *text = tool_get_pipeline (TOOL, options.file, arguments, error);
  g_autoptr (GHashTable) variables = text ? tool_parse_variables (options.sets, text, error) : NULL;

  if (!variables || !check_trace (error))
    return NULL;
  warn_of_slow_plugins ();
  ast = afp_parse (text, variables, error);
  if (!ast)
    return NULL;
  pipeline = afp_pipeline_new_from_ast (ast, error);
  if (!pipeline || !configure (pipeline, error) || !check_report_place (error))
    return NULL;
  return g_steal_pointer (&pipeline);
}

/* --- progress --- */

static void
clear_line (Launch *self)
{
  if (self->line)
    g_printerr ("\r\033[K");
  self->line = FALSE;
}

static guint
get_columns (void)
{
  struct winsize size;

  return ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

/* "[3/12] 45 %, 12.3 MiB/s, 0:12 left, fc1.weight" */
static char *
format_progress (Launch *self, AfpMessage *message)
{
  JsonObject *progress = json_node_get_object (afp_message_get_json (message));

  if (json_object_has_member (progress, "steps"))
    return g_strdup (afp_message_get_text (message));
  double done = (double) json_object_get_int_member (progress, "bytes_done");
  double held = (double) json_object_get_int_member (progress, "bytes_held");
  double total = (double) json_object_get_int_member (progress, "bytes_total");
  double seconds = (double) (g_get_monotonic_time () - self->begin) / G_USEC_PER_SEC;
  g_autofree char *rate = afp_format_bytes ((guint64) (seconds > 0 ? (done - held) / seconds : 0));
  g_autofree char *left =
      afp_format_seconds (json_object_get_double_member (progress, "seconds_left"));

  return g_strdup_printf ("[%" G_GINT64_FORMAT "/%" G_GINT64_FORMAT "] %.0f %%, %s/s, %s left, %s",
                          json_object_get_int_member (progress, "done"),
                          json_object_get_int_member (progress, "tensors"),
                          total > 0 ? 100 * done / total : 100, rate, left,
                          json_object_get_string_member (progress, "tensor"));
}

static void
show_progress (Launch *self, AfpMessage *message)
{
  JsonObject *progress = json_node_get_object (afp_message_get_json (message));
  const gboolean steps = json_object_has_member (progress, "steps");
  gint64 now = g_get_monotonic_time ();
  g_autofree char *text = NULL;
  guint columns;

  if (options.quiet)
    return;
  if (!self->terminal) {
    g_printerr ("[%" G_GINT64_FORMAT "/%" G_GINT64_FORMAT "] %s\n",
                json_object_get_int_member (progress, steps ? "steps_done" : "done"),
                json_object_get_int_member (progress, steps ? "steps" : "tensors"),
                afp_message_get_text (message));
    return;
  }
  if (self->line && now - self->shown < PROGRESS_INTERVAL)
    return;
  text = format_progress (self, message);
  columns = get_columns () - 1;
  if (g_utf8_strlen (text, -1) > columns)
    *g_utf8_offset_to_pointer (text, columns) = '\0';
  g_printerr ("\r\033[K%s", text);
  self->line = TRUE;
  self->shown = now;
}

static void
take_message (AfpMessage *message, gpointer user_data)
{
  Launch *self = user_data;
  const char *source = afp_message_get_source (message), *text = afp_message_get_text (message);
  g_autofree char *line =
      g_strdup_printf ("%s%s%s", source ? source : "", source ? ": " : "", text);

  switch (afp_message_get_message_type (message)) {
  case AFP_MESSAGE_PROGRESS:
    show_progress (self, message);
    break;
  case AFP_MESSAGE_WARNING:
    clear_line (self);
    tool_print_warning (TOOL, line);
    break;
  case AFP_MESSAGE_PLAN:
    if (options.verbose)
      g_printerr ("%s\n", text);
    break;
  case AFP_MESSAGE_INFO:
    clear_line (self);
    if (options.verbose || (afp_message_get_json (message) && !options.quiet))
      g_printerr ("%s\n", line);
    break;
  case AFP_MESSAGE_METRIC:
    if (*text)
      g_string_append_printf (self->metrics, "%s%s", text,
                              g_str_has_suffix (text, "\n") ? "\n" : "\n\n");
    break;
  default:
    clear_line (self);
  }
}

/* --- the run --- */

static gboolean
on_end (gpointer data)
{
  Launch *self = data;

  g_main_loop_quit (self->loop);
  return G_SOURCE_REMOVE;
}

/* Before the run, and even if the plan has failed: then it shows what there is. */
static gboolean
write_graph (Launch *self, GError **error)
{
  g_autofree char *text = NULL;

  if (!options.dot)
    return TRUE;
  afp_pipeline_plan (self->pipeline, NULL);
  text = afp_pipeline_to_dot (self->pipeline);
  return tool_write_file (options.dot, text, error);
}

static gpointer
work (gpointer data)
{
  Launch *self = data;
  AfpPlan *plan;

  if (!write_graph (self, &self->error)) {
    /* that is how it ends */
  } else if (!options.plan) {
    afp_pipeline_run (self->pipeline, &self->error);
  } else if ((plan = afp_pipeline_plan (self->pipeline, &self->error))) {
    self->plan = afp_plan_to_json (plan);
    self->plan_text = afp_plan_to_string (plan);
  }
  g_idle_add (on_end, self);
  return NULL;
}

/* Once: the run ends well; a tensor that a later run can take over is finished. Twice: at once. */
static gboolean
on_signal (gpointer data)
{
  Launch *self = data;

  if (self->signals++ > 0)
    _exit (130);
  g_printerr ("%s" TOOL ": %s (once more: at once)\n", self->terminal ? "\n" : "",
              afp_pipeline_interrupt (self->pipeline) ? "finishing the tensor at work"
                                                      : "stopping");
  return G_SOURCE_CONTINUE;
}

static void
run (Launch *self)
{
  guint interrupt = g_unix_signal_add (SIGINT, on_signal, self);
  guint terminate = g_unix_signal_add (SIGTERM, on_signal, self);

  self->begin = g_get_monotonic_time ();
  afp_pipeline_set_handler (self->pipeline, take_message, self);
  self->thread = g_thread_new ("afp-run", work, self);
  g_main_loop_run (self->loop);
  g_thread_join (self->thread);
  afp_pipeline_set_handler (self->pipeline, NULL, NULL);
  clear_line (self);
  g_source_remove (interrupt);
  g_source_remove (terminate);
}

/* --- what is printed --- */

/* For people: with tables of evals, which list the tensors, the report does not list them again. */
static int
print_report (Launch *self, JsonNode *report)
{
  guint tensors = options.verbose ? G_MAXUINT : self->metrics->len ? 0 : REPORT_TENSORS;
  g_autofree char *text = NULL, *all = NULL;

  if (options.json)
    return tool_print_json (TOOL, report);
  if (options.quiet || (self->error && !g_error_matches (self->error, AFP_ERROR, AFP_ERROR_METRIC)))
    return 0;
  text = afp_report_format (report, tensors);
  all = g_strconcat (self->metrics->str, text, NULL);
  return tool_print_text (TOOL, all);
}

static int
print_plan (Launch *self)
{
  if (!self->plan)
    return 0;
  return options.json ? tool_print_json (TOOL, self->plan)
                      : tool_print_text (TOOL, self->plan_text);
}

/* The exit code: of the run; if that went well, of what was written about it. */
static int
conclude (Launch *self)
{
  g_autoptr (JsonNode) report = NULL;
  g_autoptr (GError) error = NULL;
  int code, printed;

  report = options.plan && self->plan ? json_node_copy (self->plan)
                                      : afp_pipeline_get_report (self->pipeline, self->error);
  if (options.plan && (self->plan || !options.json))
    printed = print_plan (self);
  else
    printed = print_report (self, report);
  if (options.trace) {
    g_autofree char *trace = afp_report_format_trace (report);
    g_printerr ("%s", trace);
  }
  code = self->error ? tool_print_error (TOOL, self->error) : printed;
  if (options.report) {
    g_autofree char *text = tool_json_to_text (report);

    if (!tool_write_file (options.report, text, &error)) {
      int failed = tool_print_error (TOOL, error);

      code = code ? code : failed;
    }
  }
  return code;
}

/* What failed before there was a pipeline is reported, too. */
static int
refuse (const GError *error)
{
  g_autoptr (JsonNode) node = tool_error_to_json (error);
  g_autofree char *text = tool_json_to_text (node);

  if (options.json)
    tool_print_text (TOOL, text);
  if (options.report)
    tool_write_file (options.report, text, NULL);
  return tool_print_error (TOOL, error);
}

static int
launch (char **arguments)
{
  Launch self = { .terminal = isatty (STDERR_FILENO) };
  g_autoptr (GError) error = NULL;
  int code;

  self.pipeline = make_pipeline (arguments, &error);
  if (!self.pipeline)
    return refuse (error);
  self.loop = g_main_loop_new (NULL, FALSE);
  self.metrics = g_string_new (NULL);
  run (&self);
  code = conclude (&self);
  g_clear_error (&self.error);
  g_clear_pointer (&self.plan, json_node_unref);
  g_free (self.plan_text);
  g_string_free (self.metrics, TRUE);
  g_main_loop_unref (self.loop);
  g_object_unref (self.pipeline);
  return code;
}

/*
 * What large arrays took goes back when they are freed. By itself the C library of GNU keeps ever larger blocks: measured,
 * "synth shapes=2048x2048 count=6 ! null" then has 60 MB resident, and 29 MB with this.
 */
static void
give_memory_back (void)
{
#ifdef M_MMAP_THRESHOLD
  mallopt (M_MMAP_THRESHOLD, MMAP_THRESHOLD);
#endif
}

/*
 * OpenBLAS, which plugins bring with them, starts a thread for each processor as soon as it is loaded, and would have nothing to do for them: matrices are multiplied
 * in tiles of the pool, each by one thread. It also takes its slowest code for processors of Intel that are newer than itself (measured: a quarter of
 * the speed). Unless the user did, this says which code to take: the one that it takes for those that it knows.
 */
static void
choose_blas_code (void)
{
  g_setenv ("OPENBLAS_NUM_THREADS", "1", FALSE);
#if defined __x86_64__
  const char *code = NULL;

  if (!__builtin_cpu_is ("intel"))
    return;
  if (__builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma"))
    code = "HASWELL";
  if (__builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512cd") &&
      __builtin_cpu_supports ("avx512bw") && __builtin_cpu_supports ("avx512dq") &&
      __builtin_cpu_supports ("avx512vl"))
    code = "SKYLAKEX";
  if (code)
    g_setenv ("OPENBLAS_CORETYPE", code, FALSE);
#endif
}

int
main (int argc, char **argv)
{
  g_auto (GStrv) arguments = g_strdupv (argv);
  int code = 0;

  give_memory_back ();
  choose_blas_code ();
  setlocale (LC_CTYPE, "");
  afp_crash_set_hook (afp_watch_on_signal);
  afp_crash_install (TOOL);
  if (tool_parse_options (
          TOOL, "PIPELINE", "Plans or runs a pipeline that compresses the weights of a model.",
          "Exit status: 0 done, 2 usage or property, 3 element or plugin missing, 4 plan failed, 5 input\n"
          "or output, 6 a codec failed, 7 a required metric not met, 8 over the memory budget,\n"
          "130 cancelled.\n",
          entries, &arguments, &code))
    code = launch (arguments + 1);
  g_free (options.file);
  g_strfreev (options.sets);
  g_free (options.max_mem);
  g_free (options.cache);
  g_free (options.cache_limit);
  g_free (options.report);
  g_free (options.dot);
  g_free (options.trace);
  return code;
}
