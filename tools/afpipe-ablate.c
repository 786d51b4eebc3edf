/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tool-util.h"

#include "ablate-baseline.h"
#include "ablate-estimate.h"
#include "ablate-html.h"
#include "ablate-plan.h"
#include "ablate-run.h"
#include "ablate-summary.h"
#include "ablate-table.h"
#include "ablate-verdict.h"
#include "afp-memory.h"
#include "json-util.h"

#include <locale.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

/*
 * afpipe-ablate: runs a study. Standard output carries the table and the verdict, or with --json the records, and nothing else.
 */
#define TOOL "afpipe-ablate"
#define MAX_AT_ONCE 256
#define CACHE_NAME "cache"
#define ESTIMATE_TIME 20
#define DEFAULT_SORT "bits_per_weight,nmse"

static struct {
  char *file, *out;
  char **sets, **rivals;
  int threads, at_once, estimate;
  char *max_mem, *cache_limit, *rates, *sort, *csv, *plot, *axes;
  gboolean no_cache, plan, json, fresh, quiet, verbose;
} options = { .at_once = 1, .estimate = ESTIMATE_TIME };

static const GOptionEntry entries[] = {
  { "file", 'f', 0, G_OPTION_ARG_FILENAME, &options.file,
    "Read the study from FILE (-: standard input)", "FILE" },
  { "set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.sets, "Give the variable NAME this VALUE",
    "NAME=VALUE" },
  { "out", 0, 0, G_OPTION_ARG_FILENAME, &options.out,
    "Folder of the results (default: beside the study file)", "DIR" },
  { "fresh", 0, 0, G_OPTION_ARG_NONE, &options.fresh,
    "Forget what an earlier call has done, and its cache", NULL },
  { "plan", 0, 0, G_OPTION_ARG_NONE, &options.plan,
    "Print the runs, what they share and about how long they take, and end", NULL },
  { "estimate-time", 0, 0, G_OPTION_ARG_INT, &options.estimate,
    "Seconds in which --plan may find out how long it all takes (default: 20; 0: it does not)",
    "SECONDS" },
  { "jobs", 'j', 0, G_OPTION_ARG_INT, &options.threads,
    "Threads that compute, in all (default: one per processor)", "N" },
  { "runs-at-once", 0, 0, G_OPTION_ARG_INT, &options.at_once,
    "Runs that go on at a time and share threads and memory (default: 1)", "N" },
  { "max-mem", 0, 0, G_OPTION_ARG_STRING, &options.max_mem,
    "Memory budget of all runs (default: 80 % of what there is)", "SIZE" },
  { "cache-limit", 0, 0, G_OPTION_ARG_STRING, &options.cache_limit,
    "Bytes that the cache of stages may take (default: as afpipe-launch)", "SIZE" },
  { "no-cache", 0, 0, G_OPTION_ARG_NONE, &options.no_cache, "Do the work of each run anew", NULL },
  { "rates", 0, 0, G_OPTION_ARG_STRING, &options.rates,
    "Compare at these bits per weight: 1,2,3 (default: as the runs come)", "LIST" },
  { "rival", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options.rivals,
    "Another, smaller model to compare with", "FILE" },
  { "sort", 0, 0, G_OPTION_ARG_STRING, &options.sort,
    "Order of the table, such as nll,-bytes (default: " DEFAULT_SORT ")", "KEY,..." },
  { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, "Print a line of JSON for each run as it ends",
    NULL },
  { "csv", 0, 0, G_OPTION_ARG_FILENAME, &options.csv, "Write the results to FILE as a table",
    "FILE" },
  { "plot", 0, 0, G_OPTION_ARG_FILENAME, &options.plot,
    "Write a picture of the results to FILE, an SVG", "FILE" },
  { "axes", 0, 0, G_OPTION_ARG_STRING, &options.axes,
    "What the picture shows (default: bits_per_weight,sqnr_db)", "X,Y" },
  { "quiet", 'q', 0, G_OPTION_ARG_NONE, &options.quiet, "No progress, and no table", NULL },
  { "verbose", 'v', 0, G_OPTION_ARG_NONE, &options.verbose,
    "Also what runs say, and in the table runs that miss a condition", NULL },
  G_OPTION_ENTRY_NULL,
};

/* A study at work. */
typedef struct {
  AfpStudy *study;
  AfpResults *results;
  AfpSort *sort;
  GArray *rates;     /* double */
  gboolean *planned; /* of each run: it is to run; NULL: all are */
  guint n_todo, n_ended;
  gint64 begin;
  gboolean terminal, line; /* stderr is one; a progress line stands there */
} Ablate;

/* --- options --- */

static GArray *
parse_rates (GError **error)
{
  g_autoptr (GArray) rates = g_array_new (FALSE, FALSE, sizeof (double));
  g_auto (GStrv) words = g_strsplit (options.rates ? options.rates : "", ",", -1);

  for (char **word = words; *word; word++) {
    char *end;
    const double rate = g_ascii_strtod (*word, &end);
    if (end == *word || *end || !(rate > 0) || !isfinite (rate)) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
                   "--rates %s: '%s' is no number of bits per weight; write such as 1,2,3.5",
                   options.rates, *word);
      return NULL;
    }
    g_array_append_val (rates, rate);
  }
  return g_steal_pointer (&rates);
}

static gboolean
check_options (guint64 *memory, GError **error)
{
  guint64 limit;

  if (!tool_check_threads (options.threads, error) ||
      !tool_parse_memory (options.max_mem, memory, error))
    return FALSE;
  if (options.at_once < 1 || options.at_once > MAX_AT_ONCE) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE, "--runs-at-once %d: give 1..%d",
                 options.at_once, MAX_AT_ONCE);
    return FALSE;
  }
  if (options.estimate < 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
                 "--estimate-time %d: give seconds, or 0 for no estimate", options.estimate);
    return FALSE;
  }
  if (options.cache_limit && (!afp_parse_size (options.cache_limit, &limit) || options.no_cache)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
                 "--cache-limit %s: give a size such as 4G, and no --no-cache",
                 options.cache_limit);
    return FALSE;
  }
  if (*memory == 0)
    *memory = afp_memory_get_default_budget ();
  return TRUE;
}

/* So that a study of hours does not end with axes that there are not. */
static gboolean
check_axes (GError **error)
{
  const char *const *names = afp_ablate_plot_list_axes ();
  g_auto (GStrv) axes = g_strsplit (options.axes ? options.axes : "", ",", -1);

  if (options.axes && (!options.plot || g_strv_length (axes) != 2)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE, "--axes %s: %s", options.axes,
                 options.plot ? "give two, such as bytes,nll" : "there is no --plot to draw");
    return FALSE;
  }
  for (char **axis = axes; *axis; axis++) {
    if (g_strv_contains (names, *axis))
      continue;
    g_autofree char *list = g_strjoinv (", ", (char **) names);
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE, "--axes %s: there is no '%s'; there are %s",
                 options.axes, *axis, list);
    return FALSE;
  }
  return TRUE;
}

/* "study.ablation" beside "study.afp". */
static char *
get_folder (void)
{
  g_autofree char *stem = NULL;

  if (options.out)
    return g_strdup (options.out);
  if (!options.file || strcmp (options.file, "-") == 0)
    return g_strdup ("ablation");
  stem = g_strdup (options.file);
  if (g_str_has_suffix (stem, ".afp"))
    stem[strlen (stem) - strlen (".afp")] = '\0';
  return g_strconcat (stem, ".ablation", NULL);
}

static gboolean
read_study (Ablate *self, char **arguments, GError **error)
{
  g_autofree char *text = tool_get_pipeline (TOOL, options.file, arguments, error);
  g_autoptr (GHashTable) variables = text ? tool_parse_variables (options.sets, text, error) : NULL;

  if (!variables || !(self->rates = parse_rates (error)))
    return FALSE;
  self->study = afp_study_new (text, variables, error);
  if (!self->study)
    return FALSE;
  self->sort = afp_sort_new (options.sort ? options.sort : DEFAULT_SORT, self->study, error);
  return self->sort != NULL;
}

/* --- progress --- */

static void
clear_line (Ablate *self)
{
  if (self->line)
    g_printerr ("\r\033[K");
  self->line = FALSE;
}

/* What runs took so far, for those that are left. */
static char *
format_left (Ablate *self)
{
  const double seconds = (double) (g_get_monotonic_time () - self->begin) / G_USEC_PER_SEC;

  if (self->n_ended == 0)
    return g_strdup ("?");
  return afp_format_seconds (seconds / self->n_ended * (self->n_todo - self->n_ended));
}

static void
on_begin (AfpRunner *runner, guint number)
{
  Ablate *self = runner->user_data;
  const AfpStudyRun *run = self->study->runs->pdata[number];

  if (options.quiet || !self->terminal)
    return;
  g_autofree char *left = format_left (self);
  g_printerr ("\r\033[K[%u/%u] %s left, %.100s", self->n_ended + 1, self->n_todo, left, run->chain);
  self->line = TRUE;
}

static void
print_end (Ablate *self, JsonObject *record)
{
  const char *chain = afp_json_get_text (record, "chain", "");
  JsonObject *error = afp_json_get_object (record, "error");
  g_autofree char *choices = afp_record_format_choices (record);
  g_autofree char *left = format_left (self);

  clear_line (self);
  if (options.quiet || (self->terminal && !error))
    return;
  g_printerr ("[%u/%u] %s%s%s: ", self->n_ended, self->n_todo, *chain ? chain : "(no stage)",
              *choices ? " " : "", choices);
  if (error)
    g_printerr ("failed: %s\n", afp_json_get_text (error, "message", ""));
  else
    g_printerr ("%.3f b/w, %.1f s; %s left\n", afp_record_get (record, "bits_per_weight"),
                afp_record_get (record, "seconds"), left);
}

static gboolean
print_record (JsonObject *record, GError **error)
{
  g_autofree char *line = afp_results_format_line (record);

  if (!options.json || tool_print_text (TOOL, line) == 0)
    return TRUE;
  g_set_error_literal (error, AFP_ERROR, AFP_ERROR_IO, "nobody reads the records");
  return FALSE;
}

static gboolean
on_end (AfpRunner *runner, guint number G_GNUC_UNUSED, JsonObject *record, GError **error)
{
  Ablate *self = runner->user_data;

  self->n_ended++;
  print_end (self, record);
  return print_record (record, error);
}

/* --- the runs --- */

/* Where sizes are known before, runs that miss a condition on them do not run, unless others need them. */
static gboolean
choose_runs (Ablate *self, GError **error)
{
  const guint n_rivals = options.rivals ? g_strv_length (options.rivals) : 0;
  g_autoptr (AfpStudyPlan) plan = NULL;

  if (self->study->conditions->len == 0)
    return TRUE;
  plan = afp_study_plan (self->study, error);
  if (!plan)
    return FALSE;
  self->planned = g_new0 (gboolean, plan->runs->len + n_rivals);
  for (guint i = 0; i < plan->runs->len + n_rivals; i++)
    self->planned[i] = i >= plan->runs->len || ((AfpRunPlan *) plan->runs->pdata[i])->wanted;
  return TRUE;
}

static void
count_todo (Ablate *self)
{
  for (guint i = 0; i < self->results->records->len; i++)
    self->n_todo += !self->results->records->pdata[i] && (!self->planned || self->planned[i]);
}

static gboolean
write_summary (Ablate *self, JsonObject *verdict, JsonNode **summary, GError **error)
{
  g_autofree char *path = afp_results_get_path (self->results, "study.json"), *text = NULL;

  *summary = afp_ablate_summarize (self->results, verdict);
  text = tool_json_to_text (*summary);
  return tool_write_file (path, text, error);
}

static guint
get_threads (void)
{
  return options.threads ? (guint) options.threads : g_get_num_processors ();
}

static gboolean
run_all (Ablate *self, guint64 memory, GError **error)
{
  g_autofree char *program = afp_runner_find_launch (error);
  g_autofree char *cache = afp_results_get_path (self->results, CACHE_NAME);
  AfpRunner runner = { .results = self->results,
                       .planned = self->planned,
                       .program = program,
                       .threads = get_threads (),
                       .max_memory = memory,
                       .at_once = (guint) options.at_once,
                       .cache = options.no_cache ? NULL : cache,
                       .cache_limit = options.cache_limit,
                       .warnings = options.verbose,
                       .on_begin = on_begin,
                       .on_end = on_end,
                       .user_data = self };

  for (guint i = 0; i < self->results->records->len; i++)
    if (self->results->records->pdata[i] && !print_record (self->results->records->pdata[i], error))
      return FALSE;
  if (!program)
    return FALSE;
  self->begin = g_get_monotonic_time ();
  const gboolean ok = afp_runner_run (&runner, error);
  clear_line (self);
  return ok;
}

/* --- what is printed and written in the end --- */

static gboolean
write_csv (Ablate *self, GError **error)
{
  g_autofree char *text = NULL;

  if (!options.csv)
    return TRUE;
  text = afp_ablate_format_csv (self->results->records, self->study);
  return tool_write_file (options.csv, text, error);
}

/* report.html in the folder, and what --plot asks for. */
static gboolean
write_pictures (Ablate *self, JsonNode *summary, GError **error)
{
  const GPtrArray *records = self->results->records;
  g_autoptr (JsonArray) array = json_array_new ();
  g_autofree char *page = NULL, *picture = NULL;
  g_autofree char *path = afp_results_get_path (self->results, "report.html");

  for (guint i = 0; i < records->len; i++)
    if (records->pdata[i])
      json_array_add_object_element (array, json_object_ref (records->pdata[i]));
  page = afp_ablate_html (summary, array);
  if (!tool_write_file (path, page, error))
    return FALSE;
  if (!options.plot)
    return TRUE;
  g_auto (GStrv) axes = g_strsplit (options.axes ? options.axes : "", ",", 2);
  picture = afp_ablate_plot_svg (summary, array, axes[0], axes[0] ? axes[1] : NULL, error);
  return picture && tool_write_file (options.plot, picture, error);
}

static int
print_results (Ablate *self, JsonObject *verdict, JsonNode *summary)
{
  g_autofree char *table = NULL, *sentences = NULL, *counts = NULL, *all = NULL;

  if (options.json || options.quiet)
    return 0;
  table = afp_ablate_format_table (self->results->records, self->sort, options.verbose);
  sentences = afp_ablate_verdict_to_text (verdict);
  counts = afp_ablate_summary_to_text (summary);
  all = g_strconcat (table, "\n", sentences, "\n", counts, NULL);
  return tool_print_text (TOOL, all);
}

static int
conclude (Ablate *self, GError **error)
{
  JsonObject *verdict = afp_ablate_judge (self->results->records, self->rates);
  g_autoptr (JsonNode) G_GNUC_UNUSED holder = json_node_init_object (json_node_alloc (), verdict);
  g_autoptr (JsonNode) summary = NULL;
  int status;

  json_object_unref (verdict);
  afp_records_mark_pareto (self->results->records);
  if (!afp_results_rewrite (self->results, error) ||
      !write_summary (self, verdict, &summary, error) || !write_csv (self, error) ||
      !write_pictures (self, summary, error))
    return -1;
  status = print_results (self, verdict, summary);
  return status ? status : afp_ablate_get_status (self->results->records);
}

/* -1: @error */
static int
ablate (Ablate *self, guint64 memory, GError **error)
{
  g_autofree char *folder = get_folder ();
  g_autoptr (JsonNode) summary = NULL;

  if (!choose_runs (self, error) ||
      !afp_study_add_rivals (self->study, (const char *const *) options.rivals, error))
    return -1;
  self->results = afp_results_open (folder, self->study, options.fresh, error);
  if (!self->results)
    return -1;
  if (options.fresh) {
    g_autofree char *cache = afp_results_get_path (self->results, CACHE_NAME);
    tool_remove_tree (cache);
  }
  count_todo (self);
  if (self->n_todo > 0 && !write_summary (self, NULL, &summary, error))
    return -1;
  if (!run_all (self, memory, error))
    return -1;
  return conclude (self, error);
}

/* Measures; NULL where nobody asks. */
static AfpEstimate *
estimate (Ablate *self, const AfpStudyPlan *plan, guint64 memory)
{
  g_autofree char *folder = get_folder ();
  g_autofree char *program = afp_runner_find_launch (NULL);
  g_autoptr (GPtrArray) records = options.fresh ? NULL : afp_results_peek (folder, self->study);
  const AfpEstimateOptions how = { .program = program,
                                   .threads = get_threads (),
                                   .max_memory = memory,
                                   .at_once = (guint) options.at_once,
                                   .cached = !options.no_cache,
                                   .limit = options.estimate,
                                   .records = records };

  if (options.estimate == 0)
    return NULL;
  if (self->terminal && !options.quiet)
    g_printerr ("measuring, for at most %d s (--estimate-time)", options.estimate);
  self->line = self->terminal;
  AfpEstimate *result = afp_estimate_new (plan, self->study, &how);
  clear_line (self);
  return result;
}

static int
print_plan (Ablate *self, guint64 memory, GError **error)
{
  g_autoptr (AfpStudyPlan) plan = afp_study_plan (self->study, error);
  g_autoptr (AfpEstimate) time = plan ? estimate (self, plan, memory) : NULL;

  if (!plan)
    return -1;
  if (options.json) {
    g_autoptr (JsonNode) node = afp_study_plan_to_json (plan, self->study, time);
    return tool_print_json (TOOL, node);
  }
  g_autofree char *text = afp_study_plan_to_string (plan, self->study, time);
  return tool_print_text (TOOL, text);
}

static int
work (char **arguments)
{
  Ablate self = { .terminal = isatty (STDERR_FILENO) };
  g_autoptr (GError) error = NULL;
  guint64 memory;
  int code = -1;

  if (check_options (&memory, &error) && check_axes (&error) &&
      read_study (&self, arguments, &error))
    code = options.plan ? print_plan (&self, memory, &error) : ablate (&self, memory, &error);
  if (code < 0)
    code = tool_print_error (TOOL, error);
  g_clear_pointer (&self.results, afp_results_close);
  g_clear_pointer (&self.sort, afp_sort_free);
  g_clear_pointer (&self.rates, g_array_unref);
  g_clear_pointer (&self.study, afp_study_free);
  g_free (self.planned);
  return code;
}

int
main (int argc, char **argv)
{
  g_auto (GStrv) arguments = g_strdupv (argv);
  int code = 0;

  setlocale (LC_CTYPE, "");
  if (tool_parse_options (
          TOOL, "STUDY",
          "Runs all the pipelines that a study stands for, and says which is worth it.",
          "Exit status: 0 done, 2 usage; if runs failed, the status of the first of them, as\n"
          "afpipe-launch ends; 130 cancelled. The same command goes on where it was stopped.\n",
          entries, &arguments, &code))
    code = work (arguments + 1);
  g_free (options.file);
  g_free (options.out);
  g_strfreev (options.sets);
  g_strfreev (options.rivals);
  g_free (options.max_mem);
  g_free (options.cache_limit);
  g_free (options.rates);
  g_free (options.sort);
  g_free (options.csv);
  g_free (options.plot);
  g_free (options.axes);
  return code;
}
