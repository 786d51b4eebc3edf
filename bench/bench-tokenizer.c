/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-tokenizer: how fast a text becomes tokens, on one thread, and how long it takes to read the tokenizer; medians.
 *
 *   bench/bench-tokenizer TOKENIZER TEXT
 *
 * TOKENIZER: a tokenizer.json or a GGUF file. `make bench` names neither, so nothing is measured.
 */
#include "bench.h"

#include "afp-tokenizer.h"

#include <stdio.h>
#include <stdlib.h>

#define RUNS 5

static GBytes *
map (const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GMappedFile) file = g_mapped_file_new (path, FALSE, &error);

  if (!file) {
    fprintf (stderr, "bench-tokenizer: %s\n", error->message);
    exit (EXIT_FAILURE);
  }
  return g_mapped_file_get_bytes (file);
}

int
main (int argc, char **argv)
{
  if (argc != 3) {
    printf ("  bench-tokenizer TOKENIZER TEXT: nothing to measure\n");
    return EXIT_SUCCESS;
  }
  g_autoptr (GBytes) file = map (argv[1]), text = map (argv[2]);
  const gboolean json = g_str_has_suffix (argv[1], ".json");
  double reading[RUNS], encoding[RUNS];
  gsize n;
  const char *data = g_bytes_get_data (text, &n);
  guint n_ids = 0;

  for (guint run = 0; run < RUNS; run++) {
    g_autoptr (GError) error = NULL;
    const double start = bench_wall_seconds ();
    g_autoptr (AfpTokenizer) tokenizer =
        json ? afp_tokenizer_new_json (file, &error) : afp_tokenizer_new_gguf (file, &error);
    if (!tokenizer) {
      fprintf (stderr, "bench-tokenizer: %s\n", error->message);
      return EXIT_FAILURE;
    }
    const double read = bench_wall_seconds ();
    g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, data, n);
    reading[run] = read - start;
    encoding[run] = bench_wall_seconds () - read;
    n_ids = ids->len;
  }
  const double seconds = bench_median (encoding, RUNS);
  printf ("  read in %.3f s; %" G_GSIZE_FORMAT " bytes to %u tokens in %.3f s: %.1f MB/s\n",
          bench_median (reading, RUNS), n, n_ids, seconds, (double) n / seconds / 1e6);
  return EXIT_SUCCESS;
}
