/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-cuda: what a graphics processor does of the codecs' work, beside the kernels for the CPU on one thread. Times of the device
 * hold everything of a call: memory, copies there and back. A product with a vector is compared with cblas_sgemv on decoded weights.
 *
 *   make bench          or   bench/bench-cuda
 */
#include "bench.h"

#include "hyper/hyper-cuda.h"
#include "seedlm/seedlm-cuda.h"
#include "vptq/vptq-cuda.h"

#include "afp-bits.h"

#include <cblas.h>
#include <string.h>

#define SIDE 4096u
#define CALLS 9 /* the median counts; one more comes first */

typedef gboolean (*Call) (gpointer data, const char **why);

/* --- time ---------------------------------------------------------------------------------------------------------- */

static double
time_of (Call call, gpointer data)
{
  double seconds[CALLS];
  const char *why = NULL;

  for (int i = -1; i < CALLS; i++) {
    const double start = bench_wall_seconds ();
    if (!call (data, &why))
      g_error ("%s", why ? why : "a call failed");
    if (i >= 0)
      seconds[i] = bench_wall_seconds () - start;
  }
  return bench_median (seconds, CALLS);
}

static void
row (const char *what, double weights, gpointer data, Call there, Call here)
{
  const double device = time_of (there, data), cpu = time_of (here, data);

  g_print ("%-34s %10.1f %10.2f %8.1f\n", what, weights / device / 1e6, weights / cpu / 1e6,
           cpu / device);
}

/* --- data ---------------------------------------------------------------------------------------------------------- */

static guint32 *
symbols_below (gsize n, guint32 limit)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (2);
  guint32 *symbols = g_new (guint32, n);

  for (gsize i = 0; i < n; i++)
    symbols[i] = g_rand_int (rand) % limit;
  return symbols;
}

/* A product is one of a coded matrix there, of its weights here. */
typedef struct {
  gpointer coded;
  const float *weights, *input;
  float *output;
} Product;

static gboolean
product_here (gpointer data, const char **why G_GNUC_UNUSED)
{
  Product *p = data;

  cblas_sgemv (CblasRowMajor, CblasNoTrans, SIDE, SIDE, 1, p->weights, SIDE, p->input, 1, 0,
               p->output, 1);
  return TRUE;
}

/* --- seedlm: its search is timed by bench-cuda.sh, with the lists of the CPU ------------------------------------------- */

typedef struct {
  SeedlmCuda *cuda;
  SeedlmDecoder *decoder;
  gsize n;
  const guint32 *seeds;
  const float *t;
  float *out;
} Seeds;

static gboolean
seeds_there (gpointer data, const char **why)
{
  const Seeds *s = data;

  return seedlm_cuda_decode (s->cuda, s->seeds, s->t, 1, s->n, s->out, NULL, why);
}

static gboolean
seeds_here (gpointer data, const char **why G_GNUC_UNUSED)
{
  const Seeds *s = data;

  seedlm_decoder_run (s->decoder, s->seeds, s->t, 1, s->n, s->out);
  return TRUE;
}

static void
bench_seeds (const float *x, float *out)
{
  const char *why = NULL;
  SeedlmDecoder *decoder = seedlm_decoder_new (16, 16, 8, 3);
  SeedlmCuda *cuda = seedlm_cuda_new (0, decoder, NULL, &why);
  const gsize n = (gsize) SIDE * SIDE / 8;
  g_autofree guint32 *seeds = symbols_below (n, 65535);
  Seeds s = { cuda, decoder, n, seeds, x, out };

  if (!cuda)
    g_error ("%s", why);
  for (gsize b = 0; b < n; b++)
    seeds[b]++;
  row ("seedlm C=8 P=3 K=16, decode", (double) n * 8, &s, seeds_there, seeds_here);
  seedlm_cuda_free (cuda);
  seedlm_decoder_free (decoder);
}

/* --- vptq ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  const float *codebook, *x;
  VptqTable table;
  guint v, k;
  gsize n;
  guint32 *indices;
} Vectors;

static gboolean
assign_there (gpointer data, const char **why)
{
  const Vectors *w = data;

  return vptq_cuda_search (0, w->codebook, w->k, w->v, VPTQ_METRIC_NONE, NULL, w->x, w->n,
                           w->indices, NULL, why);
}

static gboolean
assign_here (gpointer data, const char **why G_GNUC_UNUSED)
{
  const Vectors *w = data;

  vptq_search (&w->table, VPTQ_METRIC_NONE, NULL, w->x, w->n, w->indices, NULL);
  return TRUE;
}

static gboolean
vptq_product_there (gpointer data, const char **why)
{
  const Product *p = data;

  return vptq_cuda_multiply (p->coded, p->input, p->output, why);
}

static void
bench_vectors (guint v, guint k, const float *x, float *out)
{
  const gsize vectors = (SIDE + v - 1) / v, n = SIDE * vectors,
              n_few = MIN (n, ((gsize) 1 << 32) / k / v);
  g_autofree float *storage = g_new (float, vptq_table_floats (k, v));
  g_autofree guint32 *indices = symbols_below (n, k);
  VptqThreadPlane plane = { .rows = SIDE,
                            .cols = SIDE,
                            .length = v,
                            .bits = vptq_index_bits (k),
                            .centroids = k,
                            .codebook = x };
  g_autofree guint8 *packed = g_new0 (guint8, afp_bits_bytes (n, plane.bits));
  g_autofree char *name = g_strdup_printf ("vptq v=%u k=%u", v, k);
  g_autofree char *assign = g_strconcat (name, ", assign", NULL);
  g_autofree char *multiply = g_strconcat (name, ", product", NULL);
  Vectors w = { .codebook = x, .x = x, .v = v, .k = k, .n = n_few, .indices = indices };
  const char *why = NULL;

  afp_bits_pack (packed, 0, indices, n, plane.bits);
  plane.indices = packed;
  VptqCuda *cuda = vptq_cuda_new (0, &plane, &why);
  Product p = { cuda, out, x, out + (gsize) SIDE * SIDE };
  if (!cuda || !vptq_cuda_decode (cuda, out, NULL, &why))
    g_error ("%s", why);
  row (multiply, (double) SIDE * SIDE, &p, vptq_product_there, product_here);
  vptq_table_init (&w.table, storage, x, k, v);
  row (assign, (double) n_few * v, &w, assign_there, assign_here);
  vptq_cuda_free (cuda);
}

/* --- hyper --------------------------------------------------------------------------------------------------------- */

typedef struct {
  HyperLattice lattice;
  HyperLatticeFrame frame;
  HyperLatticeCost cost;
  HyperThreadSearch search;
  HyperCuda *cuda;
  const float *x;
  gsize n;
  guint32 *symbols;
  float *out;
} Points;

static gboolean
points_there (gpointer data, const char **why)
{
  const Points *p = data;

  return hyper_cuda_encode (0, &p->search, NULL, 0, NULL, p->x, p->n, p->symbols, why);
}

static gboolean
points_here (gpointer data, const char **why G_GNUC_UNUSED)
{
  const Points *p = data;

  hyper_lattice_encode (&p->lattice, &p->frame, &p->cost, HYPER_METRIC_NONE, NULL, p->x, p->n,
                        p->symbols);
  return TRUE;
}

static gboolean
lattice_there (gpointer data, const char **why)
{
  const Points *p = data;

  return hyper_cuda_decode (p->cuda, p->out, NULL, why);
}

static gboolean
lattice_here (gpointer data, const char **why G_GNUC_UNUSED)
{
  const Points *p = data;

  return hyper_lattice_decode (&p->lattice, &p->frame, p->symbols, p->n, p->out) == p->n;
}

static gboolean
hyper_product_there (gpointer data, const char **why)
{
  const Product *p = data;

  return hyper_cuda_multiply (p->coded, p->input, p->output, why);
}

static void
bench_lattice (const char *name, HyperLatticeKind kind, const float *x, float *out)
{
  const float params[HYPER_MAX_LATTICE_PARAMS] = { 0, 0.5f };
  const gsize n = (gsize) SIDE * SIDE;
  g_autofree guint32 *symbols = g_new (guint32, n);
  g_autofree guint8 *packed = g_new0 (guint8, afp_bits_bytes (n, 8));
  HyperThreadPlane plane = { .rows = SIDE, .cols = SIDE, .stride = SIDE, .bits = 8 };
  Points p = { .cost = { NULL, 0, 1 }, .x = x, .symbols = symbols, .out = out };
  const char *why = NULL;

  hyper_lattice_init (&p.lattice, kind, 8);
  if (!hyper_lattice_frame_init (&p.frame, &p.lattice, params))
    g_error ("these parameters make no frame");
  hyper_thread_search_init (&p.search, &p.lattice, &p.frame, &p.cost);
  p.n = n / p.lattice.dimension;
  g_autofree char *encode = g_strconcat ("hyper ", name, ", encode", NULL);
  g_autofree char *decode = g_strconcat ("hyper ", name, ", decode", NULL);
  g_autofree char *multiply = g_strconcat ("hyper ", name, ", product", NULL);
  row (encode, (double) n, &p, points_there, points_here);
  afp_bits_pack (packed, 0, symbols, n, 8);
  plane.codes = packed;
  hyper_thread_take_lattice (&plane, &p.lattice, &p.frame);
  p.cuda = hyper_cuda_new (0, &plane, afp_bits_bytes (n, 8), &why);
  if (!p.cuda)
    g_error ("%s", why);
  row (decode, (double) n, &p, lattice_there, lattice_here);
  Product product = { p.cuda, out, x, out + n };
  row (multiply, (double) n, &product, hyper_product_there, product_here);
  hyper_cuda_free (p.cuda);
}

int
main (void)
{
  const char *why = NULL;

  if (!hyper_cuda_find (0, &why)) {
    g_print ("bench-cuda: SKIP: %s\n", why);
    return EXIT_SUCCESS;
  }
  g_autofree float *x = bench_normal ((gsize) SIDE * SIDE + 64);
  g_autofree float *out = g_new (float, (gsize) SIDE *SIDE + SIDE);
  g_print ("%-34s %10s %10s %8s\n", "million weights per second", "device", "one thread", "ratio");
  bench_seeds (x, out);
  bench_vectors (4, 256, x, out);
  bench_vectors (6, 4096, x, out);
  bench_vectors (8, 65536, x, out);
  bench_lattice ("z", HYPER_Z, x, out);
  bench_lattice ("e8", HYPER_E8, x, out);
  return EXIT_SUCCESS;
}
