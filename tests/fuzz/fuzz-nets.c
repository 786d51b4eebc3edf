/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "afp-images.h"
#include "afp-net.h"
#include "keras-config.h"

#include <string.h>

#define MEGABYTE (G_GUINT64_CONSTANT (1) << 20)

/* --- images: IDX, CIFAR-10, packed or not ------------------------------------------------------------------------- */

/* Packed bytes and what they make are in memory together. */
#define UNPACKED 1100

/* Two labels are beside what does not begin as CIFAR-10 or an archive, which have their own. */
static void
run_images (const guint8 *bytes, gsize n)
{
  static const guint8 labels[] = { 0, 0, 8, 1, 0, 0, 0, 2, 1, 7 };
  g_autofree char *path = fuzz_path ("images"), *labels_path = fuzz_path ("labels");
  const gboolean alone = n >= 2 && bytes[0] != 0 && bytes[0] != 0x1f;
  GError *error = NULL;

  fuzz_put (path, bytes, n);
  fuzz_put (labels_path, labels, sizeof labels);
  g_autoptr (AfpImages) images = afp_images_load (path, alone ? NULL : labels_path, &error);
  if (!images) {
    fuzz_check_error (&error);
    return;
  }
  const gsize size = (gsize) images->height * images->width * images->channels;
  g_autofree float *pixels = g_new (float, size);
  for (gsize i = 0; i < images->n; i += MAX (images->n - 1, 1))
    afp_images_read (images, i, 1, 1, pixels);
  for (gsize i = 0; i < images->n; i++)
    if (images->labels[i] > AFP_IMAGES_MAX_LABEL)
      fuzz_fail ("label %u", images->labels[i]);
}

const FuzzRecord fuzz_images = { "images", "images and labels", run_images,
                                 NULL,     4 * MEGABYTE,        2 * UNPACKED };

/* --- networks: Keras' model_config -------------------------------------------------------------------------------- */

#define MAX_NUMBERS 100000   /* of an image between the layers */
#define MAX_PRODUCTS 2000000 /* of an image, about */

/* What the network asks for, in small numbers: an AfpLmOpen. */
static AfpMatrix *
open_small (gpointer user_data, const char *name, GError **error)
{
  const AfpNetGraph *graph = user_data;

  for (guint i = 0; i < graph->nodes->len; i++) {
    const AfpNetNode *node = afp_net_graph_get (graph, i);
    for (guint w = 0; w < node->n_weights; w++) {
      const AfpNetWeight *weight = &node->weights[w];
      g_autofree char *own = g_strdup_printf ("%s/%s", node->name, weight->names[0]);
      if (strcmp (name, own) != 0)
        continue;
      const gsize n = weight->rows * weight->cols;
      float *numbers = g_new (float, n);
      for (gsize k = 0; k < n; k++)
        numbers[k] = (float) (k % 7) / 8;
      g_autoptr (GBytes) bytes = g_bytes_new_take (numbers, n * sizeof *numbers);
      return afp_matrix_new_dense (weight->rows, weight->cols, bytes);
    }
  }
  return NULL;
}

/* Small enough to be run here. */
static gboolean
is_small (const AfpNetGraph *graph)
{
  double products = 0;

  for (guint i = 0; i < graph->nodes->len; i++) {
    const AfpNetNode *node = afp_net_graph_get (graph, i);
    const double n = (double) afp_net_shape_count (&node->shape);
    double each = node->n_weights ? (double) node->weights[0].cols : 1;
    if (node->op == AFP_NET_MAX_POOL || node->op == AFP_NET_AVERAGE_POOL)
      each = (double) node->window.kernel_height * (double) node->window.kernel_width;
    for (guint w = 0; w < node->n_weights; w++)
      products += (double) node->weights[w].rows * (double) node->weights[w].cols;
    products += n * each;
  }
  return products < MAX_PRODUCTS && graph->peak < MAX_NUMBERS;
}

static void
run_net (AfpNet *net)
{
  const AfpNetGraph *graph = afp_net_get_graph (net);
  const gsize size = (gsize) afp_net_shape_count (&afp_net_graph_get (graph, 0)->shape);
  const AfpNetShape *shape = &afp_net_graph_get (graph, 0)->shape;
  AfpImages images = { .n = 1, .height = 1, .width = 1, .channels = 1, .dtype = AFP_DTYPE_U8 };
  const AfpNetOptions options = { 1, 0 };
  guint *axes[] = { &images.height, &images.width, &images.channels };
  GError *error = NULL;

  if (shape->rank > G_N_ELEMENTS (axes))
    return;
  for (guint i = 0; i < shape->rank; i++)
    *axes[i] = (guint) shape->axes[i];
  images.pixels = g_bytes_new_take (g_malloc0 (size), size);
  g_autofree float *out = afp_net_run (net, &images, &options, NULL, NULL, NULL, &error);
  if (!out)
    fuzz_check_error (&error);
  g_bytes_unref (images.pixels);
}

static void
run_keras_net (const guint8 *bytes, gsize n)
{
  GError *error = NULL;
  g_autoptr (AfpNetGraph) graph = afp_keras_parse ((const char *) bytes, n, &error);

  if (!graph) {
    fuzz_check_error (&error);
    return;
  }
  if (!is_small (graph))
    return;
  g_autoptr (AfpNet) net = afp_net_new ((const char *) bytes, n, open_small, graph, &error);
  if (!net) {
    fuzz_check_error (&error);
    return;
  }
  run_net (net);
}

const FuzzRecord fuzz_keras_net = { "keras-net",   "Keras' model_config, and the network run",
                                    run_keras_net, NULL,
                                    32 * MEGABYTE, 1024 };
