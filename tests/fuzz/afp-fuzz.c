/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The driver by hand. Without --mutations, the findings of the past and the seeds are run.
 *   build/afpipe-uninstalled build/tests/fuzz/afp-fuzz --mutations 10000 --findings DIR [RECORD...]
 *   build/afpipe-uninstalled build/tests/fuzz/afp-fuzz --replay RECORD FILE...
 *   build/afpipe-uninstalled build/tests/fuzz/afp-fuzz --dump decode FILE >tests/fuzz/seeds/decode/NAME
 */
#include "fuzz-dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gint64 n_mutations, first_mutation;
static int seconds = 20;
static char *findings, *dump, *replay;
static char **names;

static const GOptionEntry entries[] = {
  { "mutations", 'n', 0, G_OPTION_ARG_INT64, &n_mutations, "Mutations of each record", "N" },
  { "first", 0, 0, G_OPTION_ARG_INT64, &first_mutation, "Number of the first one", "N" },
  { "seconds", 0, 0, G_OPTION_ARG_INT, &seconds, "Time for an input", "N" },
  { "findings", 0, 0, G_OPTION_ARG_FILENAME, &findings, "Where to put what was found", "DIR" },
  { "replay", 0, 0, G_OPTION_ARG_STRING, &replay, "Run files, in this process", "RECORD" },
  { "dump", 0, 0, G_OPTION_ARG_STRING, &dump, "Print the input that stands for a file", "RECORD" },
  { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &names, NULL, "RECORD..." },
  { NULL }
};

typedef struct {
  const FuzzRecord *record;
  GPtrArray *inputs;
} Inputs;

static GBytes *
mutation (guint64 index, gpointer user_data)
{
  const Inputs *self = user_data;

  return fuzz_mutate (self->record, self->inputs, index);
}

static GBytes *
given (guint64 index, gpointer user_data)
{
  return g_bytes_ref (((Inputs *) user_data)->inputs->pdata[index]);
}

static void
keep_findings (const FuzzRecord *record, const FuzzReport *report)
{
  for (guint i = 0; findings && i < report->inputs->len; i++) {
    g_autofree char *sum =
        g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, report->inputs->pdata[i]);
    g_autofree char *name = g_strdup_printf ("%s-%.12s", record->name, sum);
    g_autofree char *path = g_build_filename (findings, name, NULL);
    gsize n;
    const char *data = g_bytes_get_data (report->inputs->pdata[i], &n);
    if (g_file_set_contents (path, data, (gssize) n, NULL))
      printf ("  kept as %s\n", path);
  }
}

static guint
run (const FuzzRecord *record, FuzzInput input, GPtrArray *inputs, const char *what, guint64 first,
     guint64 n)
{
  Inputs self = { record, inputs };
  const gint64 start = g_get_monotonic_time ();
  g_autoptr (FuzzReport) report = fuzz_drive (record, input, &self, first, n, (guint) seconds);
  const double took = (double) (g_get_monotonic_time () - start) / G_USEC_PER_SEC;

  printf ("%-18s %8" G_GUINT64_FORMAT " %s, %" G_GUINT64_FORMAT
          " refused, %u findings, at most %.1f MB, %.1f s\n%s",
          record->name, report->tried, what, report->refused, report->findings,
          (double) report->peak / 1e6, took, report->text->str);
  keep_findings (record, report);
  fflush (stdout);
  return report->findings;
}

static guint
run_record (const FuzzRecord *record)
{
  g_autoptr (GPtrArray) seeds = fuzz_load ("seeds", record->name, NULL);
  g_autoptr (GPtrArray) past = fuzz_load ("findings", record->name, NULL);

  if (n_mutations > 0)
    return run (record, mutation, seeds, "mutations", (guint64) first_mutation,
                (guint64) n_mutations);
  return run (record, given, seeds, "seeds", 0, seeds->len) +
         run (record, given, past, "findings of the past", 0, past->len);
}

static int
replay_files (const FuzzRecord *record)
{
  for (char **name = names; name && *name; name++) {
    g_autofree char *bytes = NULL;
    gsize n;
    if (!g_file_get_contents (*name, &bytes, &n, NULL))
      return EXIT_FAILURE;
    fuzz_alloc_start ();
    record->run ((const guint8 *) bytes, n);
    printf ("%s: %.1f MB\n", *name, (double) fuzz_alloc_stop () / 1e6);
  }
  fuzz_cleanup ();
  return fuzz_leaks () ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int
dump_file (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = names && *names ? fuzz_dump (dump, *names, &error) : NULL;

  if (!bytes || error) {
    g_printerr ("%s\n", error ? error->message : "give a file");
    return EXIT_FAILURE;
  }
  fwrite (g_bytes_get_data (bytes, NULL), 1, g_bytes_get_size (bytes), stdout);
  return EXIT_SUCCESS;
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  guint n_findings = 0;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error)) {
    g_printerr ("%s\n", error->message);
    return 2;
  }
  if (dump)
    return dump_file ();
  for (char **name = replay ? (char *[]){ replay, NULL } : names; name && *name; name++)
    if (!fuzz_find (*name)) {
      g_printerr ("no record '%s'\n", *name);
      return 2;
    }
  if (replay)
    return replay_files (fuzz_find (replay));
  if (findings)
    g_mkdir_with_parents (findings, 0755);
  for (guint i = 0; fuzz_records[i]; i++)
    if (!names || g_strv_contains ((const char *const *) names, fuzz_records[i]->name))
      n_findings += run_record (fuzz_records[i]);
  return n_findings ? EXIT_FAILURE : EXIT_SUCCESS;
}
