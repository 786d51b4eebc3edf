/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The record that AFP_FUZZ_RECORD names, for libFuzzer: see scripts/fuzz. */
#include "fuzz.h"

#include <stdlib.h>

int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const guint8 *bytes, gsize n);

static const FuzzRecord *record;

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  const char *name = g_getenv ("AFP_FUZZ_RECORD");

  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING | G_LOG_LEVEL_ERROR);
  record = name ? fuzz_find (name) : NULL;
  if (record)
    return 0;
  g_printerr ("AFP_FUZZ_RECORD must be one of:\n");
  for (guint i = 0; fuzz_records[i]; i++)
    g_printerr ("  %-18s %s\n", fuzz_records[i]->name, fuzz_records[i]->blurb);
  exit (2);
}

int
LLVMFuzzerTestOneInput (const guint8 *bytes, gsize n)
{
  fuzz_alloc_start ();
  record->run (bytes, n);
  const guint64 peak = fuzz_alloc_stop (), limit = record->memory + record->factor * n;
  if (peak > limit)
    fuzz_fail ("took %" G_GUINT64_FORMAT " bytes of memory; the limit is %" G_GUINT64_FORMAT, peak,
               limit);
  return 0;
}
