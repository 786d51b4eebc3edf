/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-net: images per second of the shipped classifier, and the share of its processor time that its products of matrices (OpenBLAS's
 * sgemm, of the same shapes, on as many threads) take alone, in turn with it.
 *
 *   make bench          or   bench/bench-net [FOLDER [THREADS]]        FOLDER: models/fashion-mnist
 */
#include "afp-net-score.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RUNS 3
#define GROUP_IMAGES 16 /* as afp-net-run.c has it */

static AfpMatrix *
open_tensor (gpointer user_data, const char *name, GError **error)
{
  AfpTensor *tensor = g_hash_table_lookup (user_data, name);

  return tensor ? afp_plane_open (afp_tensor_get_root (tensor), afp_tensor_get_spec (tensor), error)
                : NULL;
}

/* The classifier in @folder and its tensors, or the end of the program. */
static AfpNet *
open_net (const char *folder, AfpElement *load, GHashTable *tensors)
{
  g_autofree char *path = g_build_filename (folder, "model.h5", NULL);
  GError *error = NULL;
  AfpNet *net = NULL;

  if (afp_element_set_property_text (load, "location", path, &error) &&
      afp_source_open (AFP_SOURCE (load), &error)) {
    for (gsize i = 0; i < afp_source_get_n_tensors (AFP_SOURCE (load)); i++) {
      AfpTensor *tensor = afp_source_read_tensor (AFP_SOURCE (load), i, NULL);
      g_hash_table_insert (tensors, g_strdup (afp_spec_get_name (afp_tensor_get_spec (tensor))),
                           tensor);
    }
    net = afp_net_find (load, open_tensor, tensors, &error);
  }
  if (!net)
    g_error ("%s", error->message);
  return net;
}

/* --- the products alone ------------------------------------------------------------------------------------------- */

/* A node's products for a group of images. */
typedef struct {
  const AfpNetNode *node;
  gsize places; /* rows of an image */
} Products;

static gboolean
multiply_group (gsize index, gpointer user_data, GError **error)
{
  const Products *p = user_data;
  const gsize in = (gsize) p->node->weights[0].cols, out = (gsize) p->node->weights[0].rows;
  const gboolean dense = p->node->op == AFP_NET_DENSE;
  const gsize rows = dense ? p->places * GROUP_IMAGES : p->places, n = dense ? 1 : GROUP_IMAGES;
  g_autofree float *x = g_new0 (float, rows *in), *w = g_new0 (float, out *in),
                   *y = g_new (float, rows *out);

  for (gsize i = 0; i < n; i++)
    cblas_sgemm (CblasRowMajor, CblasNoTrans, CblasTrans, (blasint) rows, (blasint) out,
                 (blasint) in, 1, x, (blasint) in, w, (blasint) in, 0, y, (blasint) out);
  return TRUE;
}

static void
multiply_all (const AfpNetGraph *graph, gsize n_images, AfpPool *pool)
{
  for (guint i = 0; i < graph->nodes->len; i++) {
    const AfpNetNode *node = afp_net_graph_get (graph, i);
    if (node->op != AFP_NET_DENSE && node->op != AFP_NET_CONV)
      continue;
    Products p = { node, (gsize) (afp_net_shape_count (&node->shape) / node->outputs) };
    afp_parallel_for (pool, (n_images + GROUP_IMAGES - 1) / GROUP_IMAGES, multiply_group, &p, NULL);
  }
}

/* --- the runs ----------------------------------------------------------------------------------------------------- */

int
main (int argc, char **argv)
{
  const char *top = g_getenv ("AFP_TEST_SRCDIR");
  g_autofree char *folder = argc > 1
                                ? g_strdup (argv[1])
                                : g_build_filename (top ? top : "..", "models/fashion-mnist", NULL);
  g_autofree char *images_path = g_build_filename (folder, "images-idx3-ubyte.gz", NULL),
                  *labels_path = g_build_filename (folder, "labels-idx1-ubyte.gz", NULL);
  g_autoptr (AfpPool) pool = afp_pool_new (argc > 2 ? (guint) atoi (argv[2]) : 2);
  g_autoptr (AfpElement) load = afp_registry_make (afp_registry_get_default (), "load", NULL);
  g_autoptr (GHashTable) tensors =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) afp_tensor_unref);
  g_autoptr (AfpNet) net = open_net (folder, load, tensors);
  g_autoptr (AfpImages) images = afp_images_load (images_path, labels_path, NULL);
  const AfpNetOptions options = { 1.0f / 255, 0 };
  double seconds = 0, whole = 0, products = 0;
  AfpNetScore score = { 0 };

  if (!images)
    g_error ("no images in '%s'", folder);
  for (guint i = 0; i < RUNS; i++) {
    const gint64 begin = g_get_monotonic_time ();
    const clock_t start = clock ();
    if (!afp_net_score (&net, 1, NULL, images, &options, pool, NULL, NULL, &score, NULL))
      return 1;
    const clock_t middle = clock ();
    seconds += (double) (g_get_monotonic_time () - begin) / G_USEC_PER_SEC;
    multiply_all (afp_net_get_graph (net), images->n, pool);
    whole += (double) (middle - start);
    products += (double) (clock () - middle);
  }
  printf (
      "classifier: %zu of %zu right, %.0f images/s, products alone take %.0f%% of its processor "
      "time\n",
      score.hits, score.n, (double) images->n * RUNS / seconds, 100 * products / whole);
  return 0;
}
