/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-codecs: weights per second of each codec, encoding and decoding, with one and two threads, and the ratio to the
 * plainest codec there is (raw32: a copy) in the same run. Medians of several runs.
 *
 *   make bench          or   bench/bench-codecs [ROWS] [COLUMNS]
 */
#include "bench.h"

#include "afpipe.h"

#include <glib/gstdio.h>
#include <stdlib.h>

#define RUNS 3

static const char *const chains[] = {
  "raw32 planes=weight force=true",
  "hyper U=225 M=1",
  "hyper trajectory=winding",
  "vptq v=4 k=256",
  "vptq v=8 k=256",
  "seedlm C=8 P=3 K=8",
  "seedlm preset=paper-4bit",
  "seedlm preset=paper-3bit",
  "seedlm C=12 P=4 K=16 ! vptq k=256",
  "hyper U=225 M=1 ! entropy",
};

static void
fail (GError *error)
{
  g_printerr ("bench-codecs: %s\n", error->message);
  exit (1);
}

/* Seconds in the codecs of one run. */
static double
encode (const char *chain, guint rows, guint cols, guint threads)
{
  g_autofree char *text = g_strdup_printf ("synth shapes=%ux%u ! %s ! null", rows, cols, chain);
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, &error);
  double seconds = 0;

  if (!pipeline)
    fail (error);
  afp_pipeline_set_threads (pipeline, threads);
  if (!afp_pipeline_run (pipeline, &error))
    fail (error);
  g_autoptr (JsonNode) report = afp_pipeline_get_report (pipeline, NULL);
  JsonArray *stages = json_object_get_array_member (json_node_get_object (report), "stages");
  for (guint i = 1; i + 1 < json_array_get_length (stages); i++)
    seconds += json_object_get_double_member (json_array_get_object_element (stages, i), "seconds");
  return seconds;
}

static AfpTensor *
coded_tensor (const char *chain, guint rows, guint cols)
{
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), "afpipe-bench.h5", NULL);
  g_autofree char *text = g_strdup_printf (
      "synth shapes=%ux%u ! %s ! write location=%s overwrite=true", rows, cols, chain, path);
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, &error);

  if (!pipeline || !afp_pipeline_run (pipeline, &error))
    fail (error);
  g_autoptr (AfpElement) load = afp_registry_make (afp_registry_get_default (), "load", &error);
  if (!load || !afp_element_set_property_text (load, "location", path, &error) ||
      !afp_source_open (AFP_SOURCE (load), &error))
    fail (error);
  AfpTensor *tensor = afp_source_read_tensor (AFP_SOURCE (load), 0, &error);
  if (!tensor)
    fail (error);
  g_unlink (path);
  return tensor;
}

static double
decode (AfpTensor *tensor, AfpPool *pool)
{
  GError *error = NULL;
  const gint64 begin = g_get_monotonic_time ();
  g_autoptr (AfpMatrix) matrix =
      afp_plane_open (afp_tensor_get_root (tensor), afp_tensor_get_spec (tensor), &error);
  g_autoptr (GBytes) dense = matrix ? afp_matrix_to_dense (matrix, pool, &error) : NULL;

  if (!dense)
    fail (error);
  return (double) (g_get_monotonic_time () - begin) / G_USEC_PER_SEC;
}

int
main (int argc, char **argv)
{
  const guint rows = argc > 1 ? (guint) atoi (argv[1]) : 1024,
              cols = argc > 2 ? (guint) atoi (argv[2]) : 1024;
  const double n = (double) rows * cols / 1e6;
  double base[4] = { 0 };

  g_print ("%ux%u normal weights, Mw/s (ratio to raw32 in this run), medians of %d\n", rows, cols,
           RUNS);
  g_print ("%-36s %20s %20s %20s %20s\n", "chain", "encode, 1 thread", "encode, 2 threads",
           "decode, 1 thread", "decode, 2 threads");
  for (gsize c = 0; c < G_N_ELEMENTS (chains); c++) {
    g_autoptr (AfpTensor) tensor = coded_tensor (chains[c], rows, cols);
    double speed[4];
    for (guint threads = 1; threads <= 2; threads++) {
      g_autoptr (AfpPool) pool = afp_pool_new (threads);
      double e[RUNS], d[RUNS];
      for (guint r = 0; r < RUNS; r++) {
        e[r] = encode (chains[c], rows, cols, threads);
        d[r] = decode (tensor, pool);
      }
      speed[threads - 1] = n / bench_median (e, RUNS);
      speed[threads + 1] = n / bench_median (d, RUNS);
    }
    g_print ("%-36s", chains[c]);
    for (guint i = 0; i < 4; i++) {
      if (c == 0)
        base[i] = speed[i];
      g_print (" %10.3f (%6.4f)", speed[i], speed[i] / base[i]);
    }
    g_print ("\n");
  }
  return 0;
}
