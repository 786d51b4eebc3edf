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
  g_hash_table_unref (record->codecs);
  g_free (record);
}

static EvalRecord *
record_new (AfpSpec *spec, char *recipe, guint64 bytes)
{
  EvalRecord *record = g_new0 (EvalRecord, 1);

  record->name = g_strdup (afp_spec_get_name (spec));
  record->weights = afp_spec_get_alias_of (spec) ? 0 : afp_spec_get_n_elements (spec);
  record->recipe = recipe;
  record->bytes = bytes;
  record->codecs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return record;
}

EvalTotals *
eval_totals_new (void)
{
  EvalTotals *totals = g_new0 (EvalTotals, 1);

  totals->records = g_ptr_array_new_with_free_func (record_free);
  totals->names = g_hash_table_new (g_str_hash, g_str_equal);
  totals->codecs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  totals->recipes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  totals->seen = g_hash_table_new (NULL, NULL);
  return totals;
}

void
eval_totals_free (EvalTotals *totals)
{
  g_hash_table_unref (totals->names);
  g_ptr_array_unref (totals->records);
  g_hash_table_unref (totals->codecs);
  g_hash_table_unref (totals->recipes);
  g_hash_table_unref (totals->seen);
  g_free (totals);
}

static void
add_codec_bytes (GHashTable *codecs, const char *codec, guint64 bytes)
{
  guint64 *sum = g_hash_table_lookup (codecs, codec);

  if (!sum) {
    sum = g_new0 (guint64, 1);
    g_hash_table_insert (codecs, g_strdup (codec), sum);
  }
  *sum += bytes;
}

/* Bytes of leaves count for the codec that made them, those of a shared one for the first tensor. */
static void
count_leaves (EvalTotals *totals, EvalRecord *record, AfpPlane *plane, const char *codec)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);

  if (!afp_plane_get_codec (plane)) {
    GBytes *data = afp_plane_get_data (plane);
    if (afp_plane_desc_counts_for (desc, totals->seen, record->name))
      add_codec_bytes (record->codecs, codec, data ? g_bytes_get_size (data) : 0);
    return;
  }
  const char *own = desc->kind == AFP_KIND_CODE ? codec : afp_plane_get_codec (plane);
  for (guint i = 0; i < afp_plane_get_n_children (plane); i++)
    count_leaves (totals, record, afp_plane_get_child (plane, i), own);
}

static void
add_record (EvalTotals *totals, EvalRecord *record)
{
  GHashTableIter iter;
  gpointer codec, bytes;

  if (record->judged) {
    eval_merge (&totals->sums, &record->sums);
    totals->n_judged++;
  }
  totals->weights += record->weights;
  totals->bytes += record->bytes;
  if (g_hash_table_add (totals->recipes, g_strdup (record->recipe)))
    totals->bytes += afp_size_recipe_bytes (record->recipe);
  g_hash_table_iter_init (&iter, record->codecs);
  while (g_hash_table_iter_next (&iter, &codec, &bytes))
    add_codec_bytes (totals->codecs, codec, *(guint64 *) bytes);
  g_ptr_array_add (totals->records, record);
  g_hash_table_replace (totals->names, record->name, record);
}

void
eval_totals_add (EvalTotals *totals, AfpTensor *final, const EvalSums *sums)
{
  AfpSize size;

  afp_tensor_get_size_once (final, totals->seen, &size);
  EvalRecord *record =
      record_new (afp_tensor_get_spec (final), afp_tensor_get_recipe (final), size.total);
  if (!afp_spec_get_alias_of (afp_tensor_get_spec (final)))
    count_leaves (totals, record, afp_tensor_get_root (final), "raw");
  record->judged = sums != NULL;
  if (sums)
    record->sums = *sums;
  add_record (totals, record);
}

/* --- one tensor, for another run ---------------------------------------------------------------------------------- */

/* Numbers go as texts: JSON has no infinity, and every bit counts. */
static const gsize sum_offsets[] = { G_STRUCT_OFFSET (EvalSums, xx), G_STRUCT_OFFSET (EvalSums, yy),
                                     G_STRUCT_OFFSET (EvalSums, xy), G_STRUCT_OFFSET (EvalSums, ee),
                                     G_STRUCT_OFFSET (EvalSums, peak) };

JsonNode *
eval_totals_save (const EvalTotals *totals, const char *tensor)
{
  const EvalRecord *record = g_hash_table_lookup (totals->names, tensor);
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  if (!record)
    return NULL;
  JsonObject *object = json_object_new (), *codecs = json_object_new ();
  JsonArray *sums = json_array_new ();
  g_autoptr (GList) names =
      g_list_sort (g_hash_table_get_keys (record->codecs), (GCompareFunc) strcmp);
  JsonNode *node = json_node_init_object (json_node_alloc (), object);

  json_object_unref (object);
  json_object_set_string_member (object, "recipe", record->recipe);
  json_object_set_int_member (object, "bytes", (gint64) record->bytes);
  for (GList *l = names; l; l = l->next)
    json_object_set_int_member (codecs, l->data,
                                *(gint64 *) g_hash_table_lookup (record->codecs, l->data));
  json_object_set_object_member (object, "codecs", codecs);
  for (guint i = 0; record->judged && i < G_N_ELEMENTS (sum_offsets); i++) {
    const double value = G_STRUCT_MEMBER (double, &record->sums, sum_offsets[i]);
    json_array_add_string_element (sums, g_ascii_dtostr (text, sizeof text, value));
  }
  json_object_set_array_member (object, "sums", sums);
  return node;
}

static gboolean
get_count (JsonNode *node, guint64 *count)
{
  if (!node || !JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_INT64 ||
      json_node_get_int (node) < 0)
    return FALSE;
  *count = (guint64) json_node_get_int (node);
  return TRUE;
}

static gboolean
get_sums (JsonObject *object, EvalRecord *record)
{
  JsonNode *node = json_object_get_member (object, "sums");
  JsonArray *sums = node && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

  record->judged = sums && json_array_get_length (sums) > 0;
  if (!sums || (record->judged && json_array_get_length (sums) != G_N_ELEMENTS (sum_offsets)))
    return FALSE;
  for (guint i = 0; i < json_array_get_length (sums); i++) {
    JsonNode *element = json_array_get_element (sums, i);
    const char *text = JSON_NODE_HOLDS_VALUE (element) ? json_node_get_string (element) : NULL;
    char *end = NULL;

    if (text)
      G_STRUCT_MEMBER (double, &record->sums, sum_offsets[i]) = g_ascii_strtod (text, &end);
    if (!text || end == text || *end)
      return FALSE;
  }
  return TRUE;
}

static gboolean
get_codecs (JsonObject *object, EvalRecord *record)
{
  JsonNode *node = json_object_get_member (object, "codecs");
  JsonObject *codecs = node && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  g_autoptr (GList) names = codecs ? json_object_get_members (codecs) : NULL;

  for (GList *l = names; l; l = l->next) {
    guint64 bytes;
    if (!get_count (json_object_get_member (codecs, l->data), &bytes))
      return FALSE;
    add_codec_bytes (record->codecs, l->data, bytes);
  }
  return codecs != NULL;
}

gboolean
eval_totals_restore (EvalTotals *totals, AfpSpec *spec, JsonNode *found, GError **error)
{
  JsonObject *object = JSON_NODE_HOLDS_OBJECT (found) ? json_node_get_object (found) : NULL;
  JsonNode *recipe = object ? json_object_get_member (object, "recipe") : NULL;
  const char *text =
      recipe && JSON_NODE_HOLDS_VALUE (recipe) ? json_node_get_string (recipe) : NULL;
  guint64 bytes = 0;

  if (text && get_count (json_object_get_member (object, "bytes"), &bytes)) {
    EvalRecord *record = record_new (spec, g_strdup (text), bytes);
    if (get_codecs (object, record) && get_sums (object, record)) {
      add_record (totals, record);
      return TRUE;
    }
    record_free (record);
  }
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "what was measured is damaged: it is not what eval of this version saves");
  return FALSE;
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
