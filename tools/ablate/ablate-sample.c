/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-sample.h"

#include "ablate-rewrite.h"
#include "afp-pipeline-private.h"
#include "json-util.h"

#include <math.h>
#include <string.h>

#define PIECE "ablate-piece"
#define MANY_SAMPLES 65536 /* of moments */

/* --- a source of one tensor, a piece of another ------------------------------------------------------------------------- */

#define ABLATE_TYPE_PIECE (ablate_piece_get_type ())
G_DECLARE_FINAL_TYPE (AblatePiece, ablate_piece, ABLATE, PIECE, AfpSource)
struct _AblatePiece {
  AfpSource parent_instance;
  AfpTensor *tensor, *planned;
};
G_DEFINE_FINAL_TYPE (AblatePiece, ablate_piece, AFP_TYPE_SOURCE)

static gboolean
piece_open (AfpSource *source G_GNUC_UNUSED, GError **error G_GNUC_UNUSED)
{
  return TRUE;
}

static gsize
piece_get_n_tensors (AfpSource *source)
{
  return ABLATE_PIECE (source)->tensor ? 1 : 0;
}

static AfpTensor *
piece_plan_tensor (AfpSource *source, gsize index G_GNUC_UNUSED, GError **error G_GNUC_UNUSED)
{
  return afp_tensor_ref (ABLATE_PIECE (source)->planned);
}

static AfpTensor *
piece_read_tensor (AfpSource *source, gsize index G_GNUC_UNUSED, GError **error G_GNUC_UNUSED)
{
  return afp_tensor_ref (ABLATE_PIECE (source)->tensor);
}

static void
ablate_piece_finalize (GObject *object)
{
  AblatePiece *self = ABLATE_PIECE (object);

  g_clear_pointer (&self->tensor, afp_tensor_unref);
  g_clear_pointer (&self->planned, afp_tensor_unref);
  G_OBJECT_CLASS (ablate_piece_parent_class)->finalize (object);
}

static void
ablate_piece_class_init (AblatePieceClass *klass)
{
  AfpSourceClass *source_class = AFP_SOURCE_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = ablate_piece_finalize;
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "A piece of a tensor.", NULL);
  source_class->open = piece_open;
  source_class->get_n_tensors = piece_get_n_tensors;
  source_class->plan_tensor = piece_plan_tensor;
  source_class->read_tensor = piece_read_tensor;
}

static void
ablate_piece_init (AblatePiece *self G_GNUC_UNUSED)
{
}

/* --- tensors of models ------------------------------------------------------------------------------------------------- */

struct _AfpSample {
  guint n_threads;
  guint64 max_memory;
  GHashTable *sources; /* text -> AfpSource */
  GHashTable *tensors; /* text and name -> AfpTensor: those that were read */
};

AfpSample *
afp_sample_new (guint n_threads, guint64 max_memory)
{
  static gsize once = 0;
  AfpSample *self = g_new0 (AfpSample, 1);

  if (g_once_init_enter (&once)) {
    afp_registry_add_builtin (PIECE, ABLATE_TYPE_PIECE);
    g_once_init_leave (&once, 1);
  }
  self->n_threads = n_threads;
  self->max_memory = max_memory;
  self->sources = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_object_unref);
  self->tensors =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) afp_tensor_unref);
  return self;
}

void
afp_sample_free (AfpSample *self)
{
  g_hash_table_unref (self->tensors);
  g_hash_table_unref (self->sources);
  g_free (self);
}

static AfpSource *
get_source (AfpSample *self, const char *text, GError **error)
{
  AfpSource *source = g_hash_table_lookup (self->sources, text);
  g_autoptr (AfpAst) ast = source ? NULL : afp_parse (text, NULL, error);

  if (source || !ast)
    return source;
  const AfpAstChain *chain = ast->chains->pdata[0];
  g_autoptr (AfpElement) element = afp_pipeline_make_element (ast, chain->nodes->pdata[0], error);
  if (!element || !afp_source_open (AFP_SOURCE (element), error))
    return NULL;
  source = AFP_SOURCE (g_steal_pointer (&element));
  g_hash_table_insert (self->sources, g_strdup (text), source);
  return source;
}

static AfpTensor *
get_tensor (AfpSample *self, const char *text, const char *name, GError **error)
{
  g_autofree char *key = g_strconcat (text, "\n", name, NULL);
  AfpTensor *tensor = g_hash_table_lookup (self->tensors, key);
  AfpSource *source = tensor ? NULL : get_source (self, text, error);

  if (tensor || !source)
    return tensor;
  for (gsize i = 0; i < afp_source_get_n_tensors (source); i++) {
    g_autoptr (AfpTensor) planned = afp_source_plan_tensor (source, i, error);
    if (!planned)
      return NULL;
    if (strcmp (afp_spec_get_name (afp_tensor_get_spec (planned)), name) != 0)
      continue;
    tensor = afp_source_read_tensor (source, i, error);
    if (tensor)
      g_hash_table_insert (self->tensors, g_steal_pointer (&key), tensor);
    return tensor;
  }
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN, "'%s' has no tensor '%s'", text, name);
  return NULL;
}

/* --- pieces ------------------------------------------------------------------------------------------------------------ */

/* Any will do: how long a codec works with them does not depend on what they are. */
static AfpMoments *
make_moments (guint64 n, gboolean planned)
{
  const guint64 n_stored = afp_moments_n_stored (n, FALSE);
  float *stored = planned ? NULL : g_new0 (float, n_stored);
  g_autoptr (GBytes) bytes = stored ? g_bytes_new_take (stored, n_stored * sizeof (float)) : NULL;

  for (guint64 r = 0, at = 0; stored && r < n; r++)
    for (guint64 c = 0; c <= r; c++)
      stored[at++] = r == c ? 1.0f + 0.5f * (float) (r % 7) : r - c == 1 ? 0.25f : 0.0f;
  return afp_moments_new (n, FALSE, MANY_SAMPLES, bytes);
}

static AfpTensor *
give_moments (AfpTensor *tensor, gboolean planned)
{
  g_autoptr (AfpMoments) moments =
      make_moments (afp_spec_get_cols (afp_tensor_get_spec (tensor)), planned);

  return afp_tensor_new_with_moments (tensor, moments);
}

/* Its first rows, in the order of the matrix. */
static gboolean
fill_piece (AblatePiece *piece, AfpTensor *tensor, guint64 weights, gboolean moments,
            gboolean *rows_left, GError **error)
{
  AfpSpec *whole = afp_tensor_get_spec (tensor);
  g_autoptr (AfpMatrix) matrix = afp_plane_open (afp_tensor_get_root (tensor), whole, error);

  if (!matrix)
    return FALSE;
  const guint64 cols = afp_matrix_get_cols (matrix), all = afp_matrix_get_rows (matrix);
  const guint64 rows = CLAMP ((weights + cols / 2) / MAX (cols, 1), 1, MAX (all, 1));
  const guint64 shape[] = { rows, cols };
  const gsize n_bytes = rows * cols * sizeof (float);
  float *values = g_malloc (MAX (n_bytes, 1));
  g_autoptr (GBytes) bytes = g_bytes_new_take (values, n_bytes);
  g_autoptr (AfpSpec) spec =
      afp_spec_new (afp_spec_get_name (whole), AFP_DTYPE_F32, 2, shape, NULL, NULL);
  g_autoptr (AfpPlane) data = afp_plane_new_raw (spec, bytes),
                       plan = afp_plane_new_raw (spec, NULL);

  *rows_left = rows < all;
  if (!afp_matrix_read (matrix, 0, rows, 0, cols, values, error))
    return FALSE;
  g_autoptr (AfpTensor) full = afp_tensor_new (spec, data), planned = afp_tensor_new (spec, plan);
  piece->tensor = moments ? give_moments (full, FALSE) : g_steal_pointer (&full);
  piece->planned = moments ? give_moments (planned, TRUE) : g_steal_pointer (&planned);
  return TRUE;
}

/* --- a time limit ------------------------------------------------------------------------------------------------------ */

typedef struct {
  GMutex lock;
  GCond change;
  gboolean done;
  gint64 end;
  AfpPipeline *pipeline;
} Watch;

static gpointer
watch (gpointer data)
{
  Watch *self = data;
  gboolean in_time = TRUE;

  g_mutex_lock (&self->lock);
  while (!self->done && in_time)
    in_time = g_cond_wait_until (&self->change, &self->lock, self->end);
  g_mutex_unlock (&self->lock);
  if (!in_time)
    afp_pipeline_cancel (self->pipeline);
  return NULL;
}

static gboolean
run_for (AfpPipeline *pipeline, double limit, GError **error)
{
  Watch self = { .end = g_get_monotonic_time () + (gint64) (limit * G_USEC_PER_SEC),
                 .pipeline = pipeline };

  g_mutex_init (&self.lock);
  g_cond_init (&self.change);
  GThread *thread = g_thread_new ("ablate-watch", watch, &self);
  const gboolean ok = afp_pipeline_run (pipeline, error);
  g_mutex_lock (&self.lock);
  self.done = TRUE;
  g_cond_signal (&self.change);
  g_mutex_unlock (&self.lock);
  g_thread_join (thread);
  g_cond_clear (&self.change);
  g_mutex_clear (&self.lock);
  return ok;
}

/* --- a try ------------------------------------------------------------------------------------------------------------- */

static void
trial_free (gpointer data)
{
  g_free (((AfpTrial *) data)->stage);
  g_free (data);
}

void
afp_try_free (AfpTry *self)
{
  g_ptr_array_unref (self->trials);
  g_free (self);
}

/* @work: what the pipeline did */
static void
take_stage (AfpTry *self, AfpElement *element, double seconds, const GPtrArray *work)
{
  guint64 weights = 0;
  guint n = 0;

  if (!AFP_IS_CODEC (element)) {
    self->packing += AFP_IS_PACKER (element) ? seconds : 0;
    return;
  }
  for (guint i = 0; i < work->len; i++) {
    const AfpWork *done = work->pdata[i];
    weights += done->codec == element ? done->weights : 0;
    n += done->codec == element;
  }
  if (n == 0)
    return;
  AfpTrial *trial = g_new0 (AfpTrial, 1);
  trial->stage = g_strdup (afp_element_get_name (element));
  trial->element = g_intern_string (afp_element_get_factory_name (element));
  trial->weights = (double) weights / n;
  trial->seconds = seconds / n;
  g_ptr_array_add (self->trials, trial);
}

static AfpTry *
take_report (AfpPipeline *pipeline, guint64 weights)
{
  AfpTry *self = g_new0 (AfpTry, 1);
  g_autoptr (JsonNode) report = afp_pipeline_get_report (pipeline, NULL);
  JsonArray *stages = afp_json_get_array (json_node_get_object (report), "stages");
  GPtrArray *elements = afp_pipeline_get_elements (pipeline);
  g_autoptr (GPtrArray) work = afp_pipeline_list_work (pipeline);

  self->weights = weights;
  self->trials = g_ptr_array_new_with_free_func (trial_free);
  for (guint i = 0; i < json_array_get_length (stages); i++) {
    JsonObject *stage = json_array_get_object_element (stages, i);
    const char *name = afp_json_get_text (stage, "name", "");
    for (guint e = 0; e < elements->len; e++)
      if (strcmp (afp_element_get_name (elements->pdata[e]), name) == 0)
        take_stage (self, elements->pdata[e], afp_json_get_number (stage, "seconds", 0), work);
  }
  return self;
}

AfpTry *
afp_sample_try (AfpSample *self, const char *text, const char *name, guint64 weights, double limit,
                const char *cache, GError **error)
{
  g_autofree char *source = NULL;
  gboolean moments, rows_left;
  g_autofree char *piece_text = afp_rewrite_for_piece (text, PIECE, &source, &moments, error);
  AfpTensor *tensor = piece_text ? get_tensor (self, source, name, error) : NULL;
  g_autoptr (AfpPipeline) pipeline = tensor ? afp_pipeline_new_from_text (piece_text, error) : NULL;

  if (!pipeline)
    return NULL;
  AblatePiece *piece = ABLATE_PIECE (afp_pipeline_get_elements (pipeline)->pdata[0]);
  if (!fill_piece (piece, tensor, weights, moments, &rows_left, error))
    return NULL;
  afp_pipeline_set_threads (pipeline, self->n_threads);
  afp_pipeline_set_max_memory (pipeline, self->max_memory);
  if (cache)
    afp_pipeline_set_cache (pipeline, cache, G_MAXINT64);
  if (!run_for (pipeline, limit, error))
    return NULL;
  AfpTry *done =
      take_report (pipeline, afp_spec_get_n_elements (afp_tensor_get_spec (piece->tensor)));
  done->rows_left = rows_left;
  return done;
}
