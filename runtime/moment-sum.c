/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "moment-sum.h"

#include <cblas.h>
#include <math.h>

#define BLOCK 64  /* rows of a tile */
#define CHUNK 256 /* inputs in double at once */
#define HEAD 1    /* doubles before the sums: the number of samples */

struct _AfpMomentSum {
  guint64 size;
  gboolean diagonal;
  gsize n_state;
  double *state; /* samples, then the sums */
};

/* Doubles before the rows of a block. */
static gsize
block_offset (const AfpMomentSum *sum, gsize block)
{
  /* All blocks before it are whole: 64 x 64 x (1 + 2 + ... + block). */
  return HEAD + (sum->diagonal ? block * BLOCK : (gsize) BLOCK * BLOCK * (block * (block + 1) / 2));
}

static gsize
count_blocks (guint64 size)
{
  return (gsize) ((size + BLOCK - 1) / BLOCK);
}

static gsize
count_doubles (guint64 size, gboolean diagonal)
{
  const gsize whole = (gsize) (size / BLOCK), rest = (gsize) (size % BLOCK);

  if (diagonal)
    return HEAD + (gsize) size;
  return HEAD + (gsize) BLOCK * BLOCK * (whole * (whole + 1) / 2) + rest * (gsize) size;
}

guint64
afp_moment_sum_get_memory (guint64 size, gboolean diagonal)
{
  return (count_doubles (size, diagonal) + CHUNK * size) * sizeof (double);
}

AfpMomentSum *
afp_moment_sum_new (guint64 size, gboolean diagonal)
{
  AfpMomentSum *sum = g_new0 (AfpMomentSum, 1);

  sum->size = size;
  sum->diagonal = diagonal;
  sum->n_state = count_doubles (size, diagonal);
  sum->state = g_new0 (double, sum->n_state);
  return sum;
}

void
afp_moment_sum_free (AfpMomentSum *sum)
{
  g_free (sum->state);
  g_free (sum);
}

guint64
afp_moment_sum_get_n_samples (const AfpMomentSum *sum)
{
  return (guint64) sum->state[0];
}

gpointer
afp_moment_sum_get_state (AfpMomentSum *sum, gsize *n)
{
  *n = sum->n_state * sizeof (double);
  return sum->state;
}

typedef struct {
  AfpMomentSum *sum;
  gsize n;
  const float *x;
  double *wide; /* the same inputs */
} Add;

static gboolean
widen (gsize index, gpointer user_data, GError **error)
{
  const Add *add = user_data;
  const gsize size = (gsize) add->sum->size;

  for (gsize i = index * size; i < (index + 1) * size; i++)
    add->wide[i] = (double) add->x[i];
  return TRUE;
}

static gboolean
add_block (gsize index, gpointer user_data, GError **error)
{
  const Add *add = user_data;
  AfpMomentSum *sum = add->sum;
  const gsize size = (gsize) sum->size, first = index * BLOCK, rows = MIN (BLOCK, size - first);
  double *out = sum->state + block_offset (sum, index);

  if (!sum->diagonal) {
    cblas_dgemm (CblasRowMajor, CblasTrans, CblasNoTrans, (blasint) rows, (blasint) (first + rows),
                 (blasint) add->n, 1, add->wide + first, (blasint) size, add->wide, (blasint) size,
                 1, out, (blasint) (first + rows));
    return TRUE;
  }
  for (gsize t = 0; t < add->n; t++)
    for (gsize i = 0; i < rows; i++)
      out[i] += add->wide[t * size + first + i] * add->wide[t * size + first + i];
  return TRUE;
}

gboolean
afp_moment_sum_add (AfpMomentSum *sum, gsize n, const float *x, AfpPool *pool, GError **error)
{
  const gsize size = (gsize) sum->size;
  g_autofree double *wide = g_new (double, MIN (n, CHUNK) * size + 1);

  for (gsize first = 0; first < n; first += CHUNK) {
    Add add = { sum, MIN (CHUNK, n - first), x + first * size, wide };
    if (!afp_parallel_for (pool, add.n, widen, &add, error) ||
        !afp_parallel_for (pool, count_blocks (size), add_block, &add, error))
      return FALSE;
  }
  sum->state[0] += (double) n;
  return TRUE;
}

void
afp_moment_sum_get_mean (const AfpMomentSum *sum, float *stored)
{
  const double n = sum->state[0] > 0 ? sum->state[0] : 1;

  for (gsize row = 0; row < sum->size; row++) {
    const gsize block = row / BLOCK, first = block * BLOCK;
    const gsize rows = MIN (BLOCK, (gsize) sum->size - first);
    const double *from = sum->state + block_offset (sum, block);

    if (sum->diagonal) {
      *stored++ = (float) (from[row - first] / n);
      continue;
    }
    from += (row - first) * (first + rows);
    for (gsize i = 0; i <= row; i++)
      *stored++ = (float) (from[i] / n);
  }
}
