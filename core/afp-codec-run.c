/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec-private.h"
#include "afp-error.h"
#include "afp-feedback.h"
#include "afp-memo.h"
#include "afp-pipeline-private.h"
#include "afp-pool.h"

#include <math.h>

/*
 * A codec while the pipeline runs: planes are coded as they were claimed.
 */

static AfpPlane *
encode (const AfpExecution *execution, gpointer user_data, GError **error)
{
  const AfpClaim *claim = execution->claim;
  GBytes *metric = execution->metric;
  AfpFeedback *feedback = NULL;

  if (claim->feedback && !(feedback = afp_codec_take_feedback (user_data, claim, execution->moments,
                                                               execution->pool, error))) {
    g_prefix_error (error, "%s: ", execution->name);
    return NULL;
  }
  return afp_claim_encode_with (execution->claim, execution->matrix,
                                metric ? g_bytes_get_data (metric, NULL) : NULL,
                                claim->importance ? execution->moments : NULL, feedback,
                                execution->name, execution->pool, error);
}

/* Does it, or finds it done. */
static AfpPlane *
execute (AfpCodec *self, const AfpExecution *execution, GError **error)
{
  AfpRun *run = afp_element_get_run (AFP_ELEMENT (self));
  AfpMemo *memo = run ? afp_run_get_pipeline (run)->memo : NULL;

  if (!memo)
    return encode (execution, self, error);
  AfpPlane *coded = afp_memo_execute (memo, execution, encode, self, error);
  afp_memo_tell_problem (memo, run);
  return coded;
}

static AfpPlane *
run_take (AfpCodec *self, AfpTensor *tensor, AfpPlane *plane, const char *path, gpointer user_data,
          GError **error)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  AfpClaim *claim = afp_codec_find_claim (self, afp_spec_get_name (spec), path);
  AfpPlane *frozen = afp_plane_get_frozen (plane);

  if (!claim)
    return NULL;
  if (frozen && afp_plane_get_maker (frozen) == claim->codec)
    return afp_plane_ref (frozen);
  g_autoptr (AfpMatrix) matrix = afp_plane_open (plane, spec, error);
  if (!matrix)
    return NULL;
  g_autofree char *seed = g_strconcat (afp_spec_get_family (spec), "/", path, NULL);
  const AfpExecution execution = {
    .claim = claim,
    .matrix = matrix,
    .metric = afp_plane_get_metric (plane),
    .moments = claim->importance || claim->feedback ? afp_tensor_get_moments (tensor) : NULL,
    /* A shared plane gets the same codes in every tensor: random choices must not depend on the name. */
    .name = afp_plane_get_desc (plane)->shared ? path : seed,
    .spec = spec,
    .pool = afp_element_get_pool (AFP_ELEMENT (self)),
  };
  AfpPlane *coded = execute (self, &execution, error);
  if (!coded && error && !*error)
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
                 "%s failed on plane '%s/%s' and did not say why",
                 afp_element_get_name (AFP_ELEMENT (self)), afp_spec_get_name (spec), path);
  return coded;
}

typedef struct {
  AfpMatrix *matrix;
  AfpTiles tiles;
  AfpSpec *spec;
} FiniteJob;

static void
set_not_finite_error (AfpSpec *spec, guint64 row, guint64 col, float value, GError **error)
{
  const gboolean transposed =
      afp_spec_get_rank (spec) >= 2 && afp_spec_get_view (spec)->input_first;
  guint64 index =
      transposed ? col * afp_spec_get_rows (spec) + row : row * afp_spec_get_cols (spec) + col;
  g_autoptr (GString) place = g_string_new (NULL);

  for (guint i = afp_spec_get_rank (spec); i-- > 0;) {
    const guint64 length = afp_spec_get_shape (spec)[i];
    g_autofree char *text = g_strdup_printf ("%s%" G_GUINT64_FORMAT, i ? "," : "", index % length);
    g_string_prepend (place, text);
    index /= length;
  }
  const char *what = isnan (value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
  if (isinf (value) && afp_spec_get_dtype (spec) == AFP_DTYPE_F64)
    what = value > 0 ? "+Inf (or a number beyond float32)" : "-Inf (or a number beyond float32)";
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_CODEC,
      "tensor '%s' holds %s at [%s]: weights must be finite to be encoded; repair the model, or leave the tensor alone with "
      "exclude=%s",
      afp_spec_get_name (spec), what, place->str, afp_spec_get_name (spec));
}

static gboolean
finite_tile (gsize index, gpointer user_data, GError **error)
{
  FiniteJob *job = user_data;
  const AfpTile tile = afp_tiles_get (&job->tiles, index);
  const gsize n = tile.n_rows * tile.n_cols;
  g_autofree float *values = g_new (float, n);

  if (!afp_matrix_read (job->matrix, tile.row, tile.n_rows, tile.col, tile.n_cols, values, error))
    return FALSE;
  for (gsize i = 0; i < n; i++)
    if (!isfinite (values[i])) {
      set_not_finite_error (job->spec, tile.row + i / tile.n_cols, tile.col + i % tile.n_cols,
                            values[i], error);
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_finite (AfpTensor *tensor, AfpPool *pool, GError **error)
{
  FiniteJob job = { .spec = afp_tensor_get_spec (tensor) };
  g_autoptr (AfpMatrix) matrix = afp_plane_open (afp_tensor_get_root (tensor), job.spec, error);

  if (!matrix)
    return FALSE;
  job.matrix = matrix;
  afp_tiles_init (&job.tiles, afp_matrix_get_rows (matrix), afp_matrix_get_cols (matrix), 1);
  return afp_parallel_for (pool, job.tiles.n_tiles, finite_tile, &job, error);
}

AfpTensor *
afp_codec_process (AfpTransform *transform, AfpTensor *tensor, GError **error)
{
  AfpCodec *self = AFP_CODEC (transform);
  AfpPlane *root = afp_tensor_get_root (tensor);
  const char *name = afp_plane_get_desc (root)->name;

  if (afp_tensor_is_raw (tensor) &&
      afp_codec_find_claim (self, afp_spec_get_name (afp_tensor_get_spec (tensor)), name) &&
      !check_finite (tensor, afp_element_get_pool (AFP_ELEMENT (self)), error))
    return NULL;
  g_autoptr (AfpPlane) result = afp_codec_walk (self, tensor, root, name, run_take, NULL, error);
  return result ? afp_tensor_new_with_root (tensor, result) : NULL;
}
