/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-digest.h"

#include "afp-dtype.h"
#include "afp-mapped.h"
#include "afp-matrix.h"
#include "afp-plane.h"
#include "afp-pool.h"
#include "afp-source.h"
#include "afp-spec.h"
#include "afp-tensor.h"
#include "afp-tiles.h"

#define DIGEST 20 /* SHA-1, of a tile: twice as fast as SHA-256, and nobody makes numbers collide */
#define CHUNK ((gsize) 1 << 20) /* bytes */

typedef struct {
  AfpMatrix *matrix; /* one of the two */
  AfpTiles tiles;
  GBytes *bytes;
  guint8 *digests;
} DigestJob;

static void
digest_into (gconstpointer data, gsize size, guint8 *digest)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA1);
  gsize n = DIGEST;

  g_checksum_update (checksum, data, (gssize) size);
  g_checksum_get_digest (checksum, digest, &n);
}

static gboolean
digest_tile (gsize index, gpointer user_data, GError **error)
{
  const DigestJob *job = user_data;
  const AfpTile tile = afp_tiles_get (&job->tiles, index);
  const gsize n = tile.n_rows * tile.n_cols;
  g_autofree float *values = g_new (float, MAX (n, 1));

  if (!afp_matrix_read (job->matrix, tile.row, tile.n_rows, tile.col, tile.n_cols, values, error))
    return FALSE;
  digest_into (values, n * sizeof *values, job->digests + index * DIGEST);
  return TRUE;
}

static gboolean
digest_chunk (gsize index, gpointer user_data, GError **error)
{
  const DigestJob *job = user_data;
  gsize size;
  const guint8 *data = g_bytes_get_data (job->bytes, &size);

  digest_into (data + index * CHUNK, MIN (size - index * CHUNK, CHUNK),
               job->digests + index * DIGEST);
  return TRUE;
}

static char *
digest_parts (DigestJob *job, gsize n, AfpPoolFunc func, AfpPool *pool, GError **error)
{
  g_autofree guint8 *digests = job->digests = g_malloc0 (MAX (n * DIGEST, 1));

  return afp_parallel_for (pool, n, func, job, error)
             ? g_compute_checksum_for_data (G_CHECKSUM_SHA256, digests, n * DIGEST)
             : NULL;
}

char *
afp_digest_matrix (AfpMatrix *matrix, AfpPool *pool, GError **error)
{
  DigestJob job = { .matrix = matrix };

  afp_tiles_init (&job.tiles, afp_matrix_get_rows (matrix), afp_matrix_get_cols (matrix), 1);
  return digest_parts (&job, job.tiles.n_tiles, digest_tile, pool, error);
}

char *
afp_digest_bytes (GBytes *bytes, AfpPool *pool, GError **error)
{
  DigestJob job = { .bytes = bytes };

  return digest_parts (&job, (g_bytes_get_size (bytes) + CHUNK - 1) / CHUNK, digest_chunk, pool,
                       error);
}

/* --- a source ------------------------------------------------------------------------------------------------------ */

static void
add_spec (AfpSpec *spec, GString *text)
{
  const char *alias = afp_spec_get_alias_of (spec);

  g_string_append_printf (text, "%s\n%s\n%s", afp_spec_get_name (spec), alias ? alias : "",
                          afp_dtype_name (afp_spec_get_dtype (spec)));
  for (guint i = 0; i < afp_spec_get_rank (spec); i++)
    g_string_append_printf (text, " %" G_GUINT64_FORMAT, afp_spec_get_shape (spec)[i]);
  g_string_append_printf (text, " as %" G_GUINT64_FORMAT "x%" G_GUINT64_FORMAT "\n",
                          afp_spec_get_rows (spec), afp_spec_get_cols (spec));
}

/* An array as its bytes, which are fewer than its numbers; what is coded as the numbers that come out. (transfer full) */
static char *
digest_tensor (AfpTensor *tensor, AfpPool *pool, GError **error)
{
  AfpPlane *root = afp_tensor_get_root (tensor);
  GBytes *data = afp_plane_get_codec (root) ? NULL : afp_plane_get_data (root);

  if (data) {
    char *digest = afp_digest_bytes (data, pool, error);
    if (afp_mapped_contains (data))
      afp_mapped_forget (data);
    return digest;
  }
  g_autoptr (AfpMatrix) matrix = afp_plane_open (root, afp_tensor_get_spec (tensor), error);
  return matrix ? afp_digest_matrix (matrix, pool, error) : NULL;
}

/**
 * afp_source_digest:
 * @self: an open source
 * @pool: (nullable): threads
 * @error: what reading it gives
 *
 * Unlike a fingerprint, which is made in a moment, it tells any other model from this one: all tensors are read. What the source has beside
 * tensors is no part.
 *
 * Returns: (transfer full): hex digits that are the same where names, shapes and numbers of all tensors are, in their order
 */
char *
afp_source_digest (AfpSource *self, AfpPool *pool, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (gsize i = 0; i < afp_source_get_n_tensors (self); i++) {
    g_autoptr (AfpTensor) tensor = afp_source_read_tensor (self, i, error);
    if (!tensor)
      return NULL;
    AfpSpec *spec = afp_tensor_get_spec (tensor);
    add_spec (spec, text);
    if (afp_spec_get_alias_of (spec))
      continue;
    g_autofree char *digest = digest_tensor (tensor, pool, error);
    if (!digest)
      return NULL;
    g_string_append_printf (text, "%s\n", digest);
  }
  return g_compute_checksum_for_string (G_CHECKSUM_SHA256, text->str, (gssize) text->len);
}
