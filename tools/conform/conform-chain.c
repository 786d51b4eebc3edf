/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <string.h>

/* --- a source and a sink in memory, of one tensor ------------------------------------------------------------------ */

typedef struct {
  AfpSource parent_instance;
} ConformSource;
typedef AfpSourceClass ConformSourceClass;

typedef struct {
  AfpSink parent_instance;
} ConformSink;
typedef AfpSinkClass ConformSinkClass;

GType conform_source_get_type (void);
GType conform_sink_get_type (void);
G_DEFINE_TYPE (ConformSource, conform_source, AFP_TYPE_SOURCE)
G_DEFINE_TYPE (ConformSink, conform_sink, AFP_TYPE_SINK)

static struct {
  AfpTensor *input, *output;
  GFunc hook;
  gpointer hook_data;
} memory;

void
conform_chain_set_input (AfpTensor *input)
{
  if (input)
    afp_tensor_ref (input);
  g_clear_pointer (&memory.input, afp_tensor_unref);
  g_clear_pointer (&memory.output, afp_tensor_unref);
  memory.input = input;
}

void
conform_chain_set_hook (GFunc hook, gpointer user_data)
{
  memory.hook = hook;
  memory.hook_data = user_data;
}

AfpTensor *
conform_chain_get_output (void)
{
  return memory.output;
}

static gsize
conform_source_get_n_tensors (AfpSource *self)
{
  return memory.input ? 1 : 0;
}

static AfpTensor *
conform_source_plan_tensor (AfpSource *self, gsize index, GError **error)
{
  AfpSpec *spec = afp_tensor_get_spec (memory.input);
  const AfpMoments *moments = afp_tensor_get_moments (memory.input);
  g_autoptr (AfpPlane) planned = afp_plane_new_raw (spec, NULL);
  g_autoptr (AfpTensor) tensor = afp_tensor_new (spec, planned);

  if (!moments)
    return g_steal_pointer (&tensor);
  g_autoptr (AfpMoments) own =
      afp_moments_new (afp_moments_get_size (moments), afp_moments_is_diagonal (moments),
                       afp_moments_get_n_samples (moments), NULL);
  return afp_tensor_new_with_moments (tensor, own);
}

static AfpTensor *
conform_source_read_tensor (AfpSource *self, gsize index, GError **error)
{
  if (memory.hook)
    memory.hook (self, memory.hook_data);
  return afp_tensor_ref (memory.input);
}

static void
conform_source_class_init (ConformSourceClass *klass)
{
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "The tensor of a case",
                                 "conform-source ! null");
  klass->get_n_tensors = conform_source_get_n_tensors;
  klass->plan_tensor = conform_source_plan_tensor;
  klass->read_tensor = conform_source_read_tensor;
}

static void
conform_source_init (ConformSource *self)
{
}

static gboolean
conform_sink_consume (AfpSink *self, AfpTensor *tensor, GError **error)
{
  g_clear_pointer (&memory.output, afp_tensor_unref);
  memory.output = afp_tensor_ref (tensor);
  return TRUE;
}

static void
conform_sink_class_init (ConformSinkClass *klass)
{
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Keeps the tensor of a case",
                                 "conform-source ! conform-sink");
  klass->consume = conform_sink_consume;
}

static void
conform_sink_init (ConformSink *self)
{
}

void
conform_chain_register (void)
{
  afp_registry_add_builtin ("conform-source", conform_source_get_type ());
  afp_registry_add_builtin ("conform-sink", conform_sink_get_type ());
}

/* --- pipelines ------------------------------------------------------------------------------------------------------ */

char *
conform_config (const ConformTarget *target, const char *config, gboolean force)
{
  if (target->packer)
    return g_strdup (config);
  return g_strconcat ("min-dims=0 min-weights=0", strstr (config, "planes=") ? "" : " planes=all",
                      force ? " force=true " : " ", config, NULL);
}

AfpPipeline *
conform_pipeline_new (const ConformTarget *target, const char *config, GError **error)
{
  g_autofree char *text = g_strdup_printf ("conform-source ! %s%s %s ! conform-sink",
                                           target->prefix, target->element, config);

  return afp_pipeline_new_from_text (text, error);
}

AfpElement *
conform_pipeline_get_element (AfpPipeline *pipeline, const ConformTarget *target)
{
  GPtrArray *elements = afp_pipeline_get_elements (pipeline);

  return elements->pdata[elements->len - 2];
}

static gboolean
recipe_names (AfpTensor *tensor, const char *element)
{
  g_autofree char *recipe = afp_tensor_get_recipe (tensor);
  g_auto (GStrv) codecs = afp_recipe_list_codecs (recipe);
  g_autofree char *start = g_strconcat (element, "/", NULL);

  for (guint i = 0; codecs[i]; i++)
    if (g_str_has_prefix (codecs[i], start))
      return TRUE;
  return FALSE;
}

/* Why the plan says that the element left the tensor's plane alone. */
static char *
reason_in_plan (AfpPlan *plan, AfpElement *element)
{
  g_autoptr (JsonNode) node = afp_plan_stage_to_json (plan, element);
  JsonObject *stage = json_node_get_object (node);
  JsonArray *claims = json_object_has_member (stage, "claims")
                          ? json_object_get_array_member (stage, "claims")
                          : NULL;

  for (guint i = 0; claims && i < json_array_get_length (claims); i++) {
    JsonObject *claim = json_array_get_object_element (claims, i);
    if (!json_object_get_boolean_member (claim, "taken"))
      return g_strdup (json_object_get_string_member (claim, "why"));
  }
  return NULL;
}

void
conform_result_clear (ConformResult *result)
{
  g_clear_pointer (&result->tensor, afp_tensor_unref);
  g_clear_pointer (&result->why, g_free);
}

gboolean
conform_run (const ConformTarget *target, const char *config, AfpTensor *input, guint threads,
             ConformResult *result, GError **error)
{
  g_autoptr (AfpPipeline) pipeline = conform_pipeline_new (target, config, error);

  *result = (ConformResult){ 0 };
  if (!pipeline)
    return FALSE;
  conform_chain_set_input (input);
  afp_pipeline_set_threads (pipeline, threads);
  AfpPlan *plan = afp_pipeline_plan (pipeline, error);
  if (!plan || !afp_pipeline_run (pipeline, error))
    return FALSE;
  GPtrArray *elements = afp_pipeline_get_elements (pipeline);
  AfpElement *sink = elements->pdata[elements->len - 1];
  result->planned = afp_plan_get_total_bytes (plan, sink, &result->exact);
  result->stored = afp_sink_get_total_bytes (AFP_SINK (sink));
  result->tensor = g_steal_pointer (&memory.output);
  result->taken = result->tensor && recipe_names (result->tensor, target->element);
  result->why = reason_in_plan (plan, conform_pipeline_get_element (pipeline, target));
  return TRUE;
}

gboolean
conform_run_any (const ConformTarget *target, const char *config, AfpTensor *input, guint threads,
                 ConformResult *result, gboolean *forced, GError **error)
{
  for (guint force = 0; force < 2; force++) {
    g_autofree char *all = conform_config (target, config, force == 1);
    if (forced)
      *forced = force == 1;
    if (!conform_run (target, all, input, threads, result, error))
      return FALSE;
    if (result->taken || force == 1 || target->packer)
      break;
    conform_result_clear (result);
  }
  return TRUE;
}

/* --- trees ---------------------------------------------------------------------------------------------------------- */

GBytes *
conform_decode (AfpPlane *plane, AfpSpec *spec, guint threads, GError **error)
{
  g_autoptr (AfpPool) pool = afp_pool_new (threads);
  g_autoptr (AfpMatrix) matrix = afp_plane_open (plane, spec, error);

  return matrix ? afp_matrix_to_dense (matrix, pool, error) : NULL;
}

GBytes *
conform_decode_tensor (AfpTensor *tensor, guint threads, GError **error)
{
  return conform_decode (afp_tensor_get_root (tensor), afp_tensor_get_spec (tensor), threads,
                         error);
}

static gboolean
add_leaf (AfpPlane *plane, const char *path, gpointer leaves)
{
  if (!afp_plane_get_codec (plane))
    g_ptr_array_add (leaves, afp_plane_ref (plane));
  return TRUE;
}

GPtrArray *
conform_leaves (AfpPlane *root)
{
  GPtrArray *leaves = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_plane_unref);

  afp_plane_foreach (root, add_leaf, leaves);
  return leaves;
}

GPtrArray *
conform_leaf_data (AfpPlane *root)
{
  g_autoptr (GPtrArray) leaves = conform_leaves (root);
  GPtrArray *data = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  for (guint i = 0; i < leaves->len; i++) {
    GBytes *bytes = afp_plane_get_data (leaves->pdata[i]);
    g_ptr_array_add (data, bytes ? g_bytes_ref (bytes) : g_bytes_new_static ("", 0));
  }
  return data;
}

char *
conform_fingerprint (AfpTensor *tensor)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autoptr (GPtrArray) data = conform_leaf_data (afp_tensor_get_root (tensor));
  g_autofree char *recipe = afp_tensor_get_recipe (tensor);

  g_checksum_update (sum, (const guchar *) recipe, -1);
  for (guint i = 0; i < data->len; i++) {
    const guint64 size = g_bytes_get_size (data->pdata[i]);
    g_checksum_update (sum, (const guchar *) &size, sizeof size);
    if (size)
      g_checksum_update (sum, g_bytes_get_data (data->pdata[i], NULL), (gssize) size);
  }
  return g_strdup (g_checksum_get_string (sum));
}

static GBytes *
give_data (guint leaf, const AfpPlaneDesc *desc, const char *path, gpointer user_data,
           GError **error)
{
  const GPtrArray *data = user_data;

  if (leaf < data->len)
    return g_bytes_ref (data->pdata[leaf]);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "the recipe has more planes than were stored");
  return NULL;
}

AfpPlane *
conform_rebuild (const char *recipe, AfpSpec *spec, GPtrArray *data, GError **error)
{
  return afp_recipe_build (recipe, spec, give_data, data, error);
}
