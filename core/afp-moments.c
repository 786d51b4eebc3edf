/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-moments.h"

#include <string.h>

struct _AfpMoments {
  gatomicrefcount ref_count;
  guint64 size;
  gboolean diagonal;
  guint64 n_samples;
  GBytes *stored; /* NULL: planned */
};

G_DEFINE_BOXED_TYPE (AfpMoments, afp_moments, afp_moments_ref, afp_moments_unref)

guint64
afp_moments_n_stored (guint64 size, gboolean diagonal)
{
  return diagonal ? size : size * (size + 1) / 2;
}

/**
 * afp_moments_new:
 * @size: columns of the weights' matrix view
 * @diagonal: only that is known
 * @n_samples: inputs that it is the mean of
 * @stored: (nullable): afp_moments_n_stored() floats in the machine's order; %NULL at plan time
 *
 * Returns: (transfer full): new moments
 */
AfpMoments *
afp_moments_new (guint64 size, gboolean diagonal, guint64 n_samples, GBytes *stored)
{
  g_return_val_if_fail (!stored || g_bytes_get_size (stored) ==
                                       afp_moments_n_stored (size, diagonal) * sizeof (float),
                        NULL);

  AfpMoments *moments = g_new0 (AfpMoments, 1);
  g_atomic_ref_count_init (&moments->ref_count);
  moments->size = size;
  moments->diagonal = diagonal;
  moments->n_samples = n_samples;
  moments->stored = stored ? g_bytes_ref (stored) : NULL;
  return moments;
}

AfpMoments *
afp_moments_ref (AfpMoments *moments)
{
  g_atomic_ref_count_inc (&moments->ref_count);
  return moments;
}

void
afp_moments_unref (AfpMoments *moments)
{
  if (!g_atomic_ref_count_dec (&moments->ref_count))
    return;
  g_clear_pointer (&moments->stored, g_bytes_unref);
  g_free (moments);
}

guint64
afp_moments_get_size (const AfpMoments *moments)
{
  return moments->size;
}

gboolean
afp_moments_is_diagonal (const AfpMoments *moments)
{
  return moments->diagonal;
}

gboolean
afp_moments_is_planned (const AfpMoments *moments)
{
  return moments->stored == NULL;
}

guint64
afp_moments_get_n_samples (const AfpMoments *moments)
{
  return moments->n_samples;
}

static const float *
row_of (const AfpMoments *moments, guint64 row)
{
  const float *stored = g_bytes_get_data (moments->stored, NULL);

  return stored + (moments->diagonal ? row : row * (row + 1) / 2);
}

/**
 * afp_moments_read:
 * @moments: moments that are not planned
 * @first: first row and column
 * @n: rows and columns
 * @out: (out caller-allocates) (array): n x n floats
 *
 * A square on the diagonal, symmetric.
 */
void
afp_moments_read (const AfpMoments *moments, guint64 first, guint64 n, float *out)
{
  g_return_if_fail (moments->stored && first <= moments->size && n <= moments->size - first);

  if (moments->diagonal)
    memset (out, 0, n * n * sizeof *out);
  for (guint64 i = 0; i < n; i++) {
    const float *row = row_of (moments, first + i);
    if (moments->diagonal) {
      out[i * n + i] = *row;
      continue;
    }
    memcpy (out + i * n, row + first, (i + 1) * sizeof *out);
    for (guint64 j = 0; j < i; j++)
      out[j * n + i] = out[i * n + j];
  }
}

/**
 * afp_moments_read_row:
 * @moments: moments that are not planned
 * @row: a row
 * @out: (out caller-allocates) (array): row + 1 floats, up to the diagonal
 */
void
afp_moments_read_row (const AfpMoments *moments, guint64 row, float *out)
{
  g_return_if_fail (moments->stored && row < moments->size);

  if (moments->diagonal) {
    memset (out, 0, row * sizeof *out);
    out[row] = *row_of (moments, row);
  } else {
    memcpy (out, row_of (moments, row), (row + 1) * sizeof *out);
  }
}

/**
 * afp_moments_read_diagonal:
 * @moments: moments that are not planned
 * @first: first of them
 * @n: how many
 * @out: (out caller-allocates) (array length=n): E[x_i^2]
 */
void
afp_moments_read_diagonal (const AfpMoments *moments, guint64 first, guint64 n, float *out)
{
  g_return_if_fail (moments->stored && first <= moments->size && n <= moments->size - first);

  for (guint64 i = 0; i < n; i++)
    out[i] = row_of (moments, first + i)[moments->diagonal ? 0 : first + i];
}
