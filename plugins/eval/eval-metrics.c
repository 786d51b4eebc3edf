/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-metrics.h"

#include <math.h>
#include <string.h>

const char *const eval_metric_names[] = { "nmse",    "sqnr_db", "cosine",          "max_abs_error",
                                          "weights", "bytes",   "bits_per_weight", NULL };

static void
record_free (gpointer data)
{
  EvalRecord *record = data;

  g_free (record->name);
  g_free (record->recipe);
  g_free (record);
}

EvalTotals *
eval_totals_new (void)
{
  EvalTotals *totals = g_new0 (EvalTotals, 1);

  totals->records = g_ptr_array_new_with_free_func (record_free);
  totals->codecs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  totals->recipes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  return totals;
}

void
eval_totals_free (EvalTotals *totals)
{
  g_ptr_array_unref (totals->records);
  g_hash_table_unref (totals->codecs);
  g_hash_table_unref (totals->recipes);
  g_free (totals);
}

static void
add_codec_bytes (EvalTotals *totals, const char *codec, guint64 bytes)
{
  guint64 *sum = g_hash_table_lookup (totals->codecs, codec);

  if (!sum) {
    sum = g_new0 (guint64, 1);
    g_hash_table_insert (totals->codecs, g_strdup (codec), sum);
  }
  *sum += bytes;
}

/* Bytes of leaves count for the codec that made them. */
static void
count_leaves (EvalTotals *totals, AfpPlane *plane, const char *codec)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);

  if (!afp_plane_get_codec (plane)) {
    GBytes *data = afp_plane_get_data (plane);
    add_codec_bytes (totals, codec, data ? g_bytes_get_size (data) : 0);
    return;
  }
  const char *own = desc->kind == AFP_KIND_CODE ? codec : afp_plane_get_codec (plane);
  for (guint i = 0; i < afp_plane_get_n_children (plane); i++)
    count_leaves (totals, afp_plane_get_child (plane, i), own);
}

void
eval_totals_add (EvalTotals *totals, AfpTensor *final, const EvalSums *sums)
{
  AfpSpec *spec = afp_tensor_get_spec (final);
  EvalRecord *record = g_new0 (EvalRecord, 1);
  AfpSize size;

  afp_tensor_get_size (final, &size);
  record->name = g_strdup (afp_spec_get_name (spec));
  record->recipe = afp_tensor_get_recipe (final);
  record->weights = afp_spec_get_n_elements (spec);
  record->bytes = size.total;
  record->judged = sums != NULL;
  if (sums) {
    record->sums = *sums;
    eval_merge (&totals->sums, sums);
    totals->n_judged++;
  }
  totals->weights += record->weights;
  totals->bytes += record->bytes;
  if (g_hash_table_add (totals->recipes, g_strdup (record->recipe)))
    totals->bytes += afp_size_recipe_bytes (record->recipe);
  count_leaves (totals, afp_tensor_get_root (final), "raw");
  g_ptr_array_add (totals->records, record);
}

static double
metric_of (const EvalSums *sums, guint64 weights, guint64 bytes, const char *metric)
{
  if (strcmp (metric, "nmse") == 0)
    return sums ? eval_nmse (sums) : NAN;
  if (strcmp (metric, "sqnr_db") == 0)
    return sums ? eval_sqnr_db (sums) : NAN;
  if (strcmp (metric, "cosine") == 0)
    return sums ? eval_cosine (sums) : NAN;
  if (strcmp (metric, "max_abs_error") == 0)
    return sums ? sums->peak : NAN;
  if (strcmp (metric, "weights") == 0)
    return (double) weights;
  if (strcmp (metric, "bytes") == 0)
    return (double) bytes;
  return weights ? (double) bytes * 8 / (double) weights : NAN;
}

gboolean
eval_totals_get (const EvalTotals *totals, const char *metric, double *value)
{
  if (!g_strv_contains (eval_metric_names, metric))
    return FALSE;
  *value =
      metric_of (totals->n_judged ? &totals->sums : NULL, totals->weights, totals->bytes, metric);
  return TRUE;
}

static void
add_metrics (JsonObject *object, const EvalSums *sums, guint64 weights, guint64 bytes)
{
  for (guint i = 0; eval_metric_names[i]; i++) {
    const char *name = eval_metric_names[i];
    if (strcmp (name, "weights") == 0 || strcmp (name, "bytes") == 0)
      json_object_set_int_member (object, name, (gint64) metric_of (sums, weights, bytes, name));
    else
      json_object_set_member (object, name,
                              afp_json_number_or_null (metric_of (sums, weights, bytes, name)));
  }
}

JsonNode *
eval_totals_to_json (const EvalTotals *totals)
{
  JsonObject *object = json_object_new ();
  JsonArray *tensors = json_array_new (), *stages = json_array_new ();
  g_autoptr (GList) names =
      g_list_sort (g_hash_table_get_keys (totals->codecs), (GCompareFunc) strcmp);
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  add_metrics (object, totals->n_judged ? &totals->sums : NULL, totals->weights, totals->bytes);
  json_object_set_int_member (object, "tensors_judged", totals->n_judged);
  for (GList *l = names; l; l = l->next) {
    const guint64 *bytes = g_hash_table_lookup (totals->codecs, l->data);
    JsonObject *stage = json_object_new ();
    json_object_set_string_member (stage, "codec", l->data);
    json_object_set_int_member (stage, "bytes", (gint64) *bytes);
    json_object_set_member (
        stage, "bits_per_weight",
        afp_json_number_or_null (totals->weights ? (double) *bytes * 8 / (double) totals->weights
                                                 : NAN));
    json_array_add_object_element (stages, stage);
  }
  json_object_set_array_member (object, "stages", stages);
  for (guint i = 0; i < totals->records->len; i++) {
    const EvalRecord *record = totals->records->pdata[i];
    JsonObject *tensor = json_object_new ();
    json_object_set_string_member (tensor, "name", record->name);
    json_object_set_string_member (tensor, "recipe", record->recipe);
    add_metrics (tensor, record->judged ? &record->sums : NULL, record->weights, record->bytes);
    json_array_add_object_element (tensors, tensor);
  }
  json_object_set_array_member (object, "tensors", tensors);
  json_node_take_object (node, object);
  return node;
}

/* --- comparing ---------------------------------------------------------------------------------------------------- */

typedef struct {
  AfpMatrix *original, *decoded;
  guint64 rows, cols, step_rows, step_cols;
  guint64 n_across;
  EvalSums *sums;
} CompareJob;

#define COMPARE_ELEMENTS 65536

static gboolean
compare_tile (gsize index, gpointer user_data, GError **error)
{
  CompareJob *job = user_data;
  const guint64 row = index / job->n_across * job->step_rows,
                col = index % job->n_across * job->step_cols;
  const guint64 n_rows = MIN (job->step_rows, job->rows - row),
                n_cols = MIN (job->step_cols, job->cols - col);
  g_autofree float *x = g_new (float, n_rows *n_cols);
  g_autofree float *y = g_new (float, n_rows *n_cols);

  if (!afp_matrix_read (job->original, row, n_rows, col, n_cols, x, error) ||
      !afp_matrix_read (job->decoded, row, n_rows, col, n_cols, y, error))
    return FALSE;
  eval_add (&job->sums[index], x, y, n_rows * n_cols);
  return TRUE;
}

gboolean
eval_compare (AfpMatrix *original, AfpMatrix *decoded, AfpPool *pool, EvalSums *sums,
              GError **error)
{
  CompareJob job = { .original = original,
                     .decoded = decoded,
                     .rows = afp_matrix_get_rows (decoded),
                     .cols = afp_matrix_get_cols (decoded) };

  *sums = (EvalSums){ 0 };
  if (job.rows == 0 || job.cols == 0)
    return TRUE;
  job.step_cols = MIN (job.cols, COMPARE_ELEMENTS);
  job.step_rows = MAX (COMPARE_ELEMENTS / job.step_cols, 1);
  job.n_across = (job.cols + job.step_cols - 1) / job.step_cols;
  const gsize n = (gsize) (job.n_across * ((job.rows + job.step_rows - 1) / job.step_rows));
  g_autofree EvalSums *parts = job.sums = g_new0 (EvalSums, n);
  if (!afp_parallel_for (pool, n, compare_tile, &job, error))
    return FALSE;
  for (gsize i = 0; i < n; i++)
    eval_merge (sums, &parts[i]);
  return TRUE;
}
