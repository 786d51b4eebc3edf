/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keras-config.h"

#include "json-util.h"
#include "keras-layers.h"

#include <string.h>

#define MAX_DEPTH 200
#define NOT_YET G_MAXUINT

typedef struct {
  AfpNetGraph *graph;
  gboolean is_keras3;
  guint n_calls; /* of layers, in all models together */
} Builder;

/* A model of layers, and what it is called with; NULL: it is the network, and has an input of its own. */
typedef struct {
  const char *name, *class_name;
  JsonObject *object, *config;
  const guint *input;
} Model;

static gboolean add_model (Builder *builder, const Model *model, guint *output, GError **error);

static gboolean
damaged (const Model *model, GError **error, const char *format, ...) G_GNUC_PRINTF (3, 4);

static gboolean
damaged (const Model *model, GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "model_config: model '%s' (%s) %s", model->name,
               model->class_name, why);
  return FALSE;
}

static gboolean
refuse_size (const AfpKerasLayer *layer, GError **error)
{
  return afp_net_refuse (layer, error, "is one too many: networks of %u layers are run",
                         AFP_NET_MAX_NODES);
}

/* --- a layer ------------------------------------------------------------------------------------------------------ */

static JsonObject *
object_at (JsonArray *list, guint index)
{
  JsonNode *node =
      index < json_array_get_length (list) ? json_array_get_element (list, index) : NULL;

  return node && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

/* Class, settings and name of entry @index of the model's layers. */
static gboolean
read_layer (const Model *model, JsonArray *layers, guint index, AfpKerasLayer *layer,
            GError **error)
{
  JsonObject *object = object_at (layers, index);

  *layer = (AfpKerasLayer){ 0 };
  if (object) {
    layer->config = afp_json_get_object (object, "config");
    layer->class_name = afp_json_get_text (object, "class_name", NULL);
    layer->name = afp_json_get_text (object, "name", NULL);
  }
  if (layer->config && !layer->name)
    layer->name = afp_json_get_text (layer->config, "name", NULL);
  if (layer->name && layer->class_name)
    return TRUE;
  return damaged (model, error, "has no name, class_name and config in layer %u", index);
}

static gboolean
is_input (const AfpKerasLayer *layer)
{
  return strcmp (layer->class_name, "InputLayer") == 0;
}

static gboolean
is_model (const AfpKerasLayer *layer)
{
  return strcmp (layer->class_name, "Sequential") == 0 ||
         strcmp (layer->class_name, "Functional") == 0 || strcmp (layer->class_name, "Model") == 0;
}

/* @object: the layer with its class. */
static gboolean
add_layer (Builder *builder, const Model *model, JsonObject *object, AfpKerasLayer *layer,
           guint *output, GError **error)
{
  if (++builder->n_calls > AFP_NET_MAX_NODES)
    return refuse_size (layer, error);
  layer->is_keras3 = builder->is_keras3;
  layer->scope = model->name;
  if (!layer->config)
    return damaged (model, error, "has no config in layer '%s'", layer->name);
  if (!is_model (layer))
    return afp_keras_add_layer (builder->graph, layer, output, error);
  if (layer->n_inputs != 1)
    return damaged (model, error, "calls '%s' (%s) with %u inputs; models of one are run",
                    layer->name, layer->class_name, layer->n_inputs);
  const Model inner = { layer->name, layer->class_name, object, layer->config, layer->inputs };
  return add_model (builder, &inner, output, error);
}

/* The input of the network, from the first of these that is there. */
static gboolean
add_input (Builder *builder, const AfpKerasLayer *layer, JsonArray *otherwise, guint *output,
           GError **error)
{
  JsonArray *shape = layer->config ? afp_json_get_array (layer->config, "batch_shape") : NULL;

  builder->is_keras3 = shape != NULL;
  if (!shape && layer->config)
    shape = afp_json_get_array (layer->config, "batch_input_shape");
  return afp_keras_add_input (builder->graph, layer, shape ? shape : otherwise, output, error);
}

/* --- Sequential --------------------------------------------------------------------------------------------------- */

/* What a Sequential model without an InputLayer was built for. */
static JsonArray *
find_built_shape (const Model *model)
{
  JsonArray *shape = afp_json_get_array (model->config, "build_input_shape");
  JsonObject *build = afp_json_get_object (model->object, "build_config");

  return shape || !build ? shape : afp_json_get_array (build, "input_shape");
}

static gboolean
add_sequential (Builder *builder, const Model *model, JsonArray *layers, guint *output,
                GError **error)
{
  const guint n = json_array_get_length (layers);
  guint at = model->input ? *model->input : 0;

  if (n == 0)
    return damaged (model, error, "has no layers");
  for (guint i = 0; i < n; i++) {
    AfpKerasLayer layer;
    if (!read_layer (model, layers, i, &layer, error))
      return FALSE;
    if (i == 0 && !model->input &&
        !add_input (builder, &layer, find_built_shape (model), &at, error))
      return FALSE;
    if (is_input (&layer))
      continue;
    const guint input = at;
    layer.inputs = &input;
    layer.n_inputs = 1;
    if (!add_layer (builder, model, object_at (layers, i), &layer, &at, error))
      return FALSE;
  }
  *output = at;
  return TRUE;
}

/* --- Functional --------------------------------------------------------------------------------------------------- */

/* One of the times that a layer is called. */
typedef struct {
  AfpKerasLayer layer;
  JsonObject *object;
  JsonNode *from; /* (nullable) what it is called with */
  guint base;     /* what the first of its calls is numbered in references */
  GArray *inputs; /* of guint: calls */
  guint output;   /* node of the graph, or NOT_YET */
} Call;

typedef struct {
  const Model *model;
  GArray *calls;       /* of Call */
  GHashTable *by_name; /* layer's name -> its first call + 1 */
} Calls;

static void
call_clear (gpointer data)
{
  g_clear_pointer (&((Call *) data)->inputs, g_array_unref);
}

static Call *
get_call (const Calls *calls, guint index)
{
  return &g_array_index (calls->calls, Call, index);
}

/* Which call [name, node, tensor, ...] is. */
static gboolean
find_call (const Calls *calls, JsonArray *reference, guint *index, GError **error)
{
  JsonNode *parts[3] = { NULL };
  gint64 numbers[2] = { 0 };
  const char *name = NULL;

  for (guint i = 0; i < 3 && i < json_array_get_length (reference); i++)
    parts[i] = json_array_get_element (reference, i);
  if (parts[0] && JSON_NODE_HOLDS_VALUE (parts[0]))
    name = json_node_get_value_type (parts[0]) == G_TYPE_STRING ? json_node_get_string (parts[0])
                                                                : NULL;
  for (guint i = 0; i < 2; i++)
    numbers[i] =
        parts[i + 1] && JSON_NODE_HOLDS_VALUE (parts[i + 1]) ? json_node_get_int (parts[i + 1]) : 0;
  if (!name)
    return damaged (calls->model, error, "refers to a layer without a name");
  const guint first = GPOINTER_TO_UINT (g_hash_table_lookup (calls->by_name, name));
  if (first == 0)
    return damaged (calls->model, error, "refers to layer '%s', which it has not", name);
  const gint64 nth = numbers[0] - get_call (calls, first - 1)->base;
  if (numbers[0] < 0 || nth < 0 || nth >= (gint64) (calls->calls->len - (first - 1)) ||
      strcmp (get_call (calls, first - 1 + (guint) nth)->layer.name, name) != 0)
    return damaged (calls->model, error,
                    "refers to call %" G_GINT64_FORMAT
                    " of layer '%s', which is not called so often",
                    numbers[0], name);
  if (numbers[1] != 0)
    return damaged (calls->model, error,
                    "refers to output %" G_GINT64_FORMAT " of layer '%s'; layers with one are run",
                    numbers[1], name);
  *index = first - 1 + (guint) nth;
  return TRUE;
}

static gboolean
take_reference (const Calls *calls, Call *call, JsonArray *reference, GError **error)
{
  guint index;

  if (!find_call (calls, reference, &index, error))
    return FALSE;
  g_array_append_val (call->inputs, index);
  return TRUE;
}

/* Keras 3: tensors anywhere in the arguments. The depth of the text was limited when it was parsed. */
static gboolean
take_tensors (const Calls *calls, Call *call, JsonNode *node, GError **error)
{
  if (JSON_NODE_HOLDS_ARRAY (node)) {
    JsonArray *list = json_node_get_array (node);
    for (guint i = 0; i < json_array_get_length (list); i++)
      if (!take_tensors (calls, call, json_array_get_element (list, i), error))
        return FALSE;
    return TRUE;
  }
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return TRUE;
  JsonObject *config = afp_json_get_object (json_node_get_object (node), "config");
  JsonArray *history = config ? afp_json_get_array (config, "keras_history") : NULL;
  if (history)
    return take_reference (calls, call, history, error);
  g_autoptr (GList) members = json_object_get_values (json_node_get_object (node));
  for (GList *at = members; at; at = at->next)
    if (!take_tensors (calls, call, at->data, error))
      return FALSE;
  return TRUE;
}

/* Keras 2: a list of references, or one. */
static gboolean
take_references (const Calls *calls, Call *call, JsonArray *list, GError **error)
{
  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonNode *node = json_array_get_element (list, i);
    if (!JSON_NODE_HOLDS_ARRAY (node))
      return take_reference (calls, call, list, error);
    if (!take_reference (calls, call, json_node_get_array (node), error))
      return FALSE;
  }
  return TRUE;
}

/* Keras 2 counts how a model inside was made as its first call, if that began with an InputLayer. */
static guint
find_base (const AfpKerasLayer *layer)
{
  JsonArray *layers =
      is_model (layer) && layer->config ? afp_json_get_array (layer->config, "layers") : NULL;
  JsonObject *first = layers ? object_at (layers, 0) : NULL;
  JsonObject *config = first ? afp_json_get_object (first, "config") : NULL;

  return config && json_object_has_member (config, "batch_input_shape") &&
         strcmp (afp_json_get_text (first, "class_name", ""), "InputLayer") == 0;
}

/* All calls of all layers, what each is called with yet unread. */
static gboolean
list_calls (Calls *calls, JsonArray *layers, GError **error)
{
  for (guint i = 0; i < json_array_get_length (layers); i++) {
    Call call = { .object = object_at (layers, i), .output = NOT_YET };
    if (!read_layer (calls->model, layers, i, &call.layer, error))
      return FALSE;
    const char *name = call.layer.name;
    call.base = find_base (&call.layer);
    JsonArray *nodes = afp_json_get_array (call.object, "inbound_nodes");
    const guint n = is_input (&call.layer) ? 1 : nodes ? json_array_get_length (nodes) : 0;
    if (n > AFP_NET_MAX_NODES || calls->calls->len > AFP_NET_MAX_NODES)
      return refuse_size (&call.layer, error);
    if (n > 0 && !g_hash_table_insert (calls->by_name, (char *) name,
                                       GUINT_TO_POINTER (calls->calls->len + 1)))
      return damaged (calls->model, error, "has two layers '%s'", name);
    for (guint k = 0; k < n; k++) {
      call.from = is_input (&call.layer) ? NULL : json_array_get_element (nodes, k);
      call.inputs = g_array_new (FALSE, FALSE, sizeof (guint));
      g_array_append_val (calls->calls, call);
    }
  }
  return TRUE;
}

static gboolean
link_calls (const Calls *calls, GError **error)
{
  for (guint i = 0; i < calls->calls->len; i++) {
    Call *call = get_call (calls, i);
    const gboolean ok =
        !call->from || (JSON_NODE_HOLDS_ARRAY (call->from)
                            ? take_references (calls, call, json_node_get_array (call->from), error)
                            : take_tensors (calls, call, call->from, error));
    if (!ok)
      return FALSE;
  }
  return TRUE;
}

/* The nodes of the graph that the call is called with; FALSE: not all are there yet. */
static gboolean
has_inputs (const Calls *calls, const Call *call, GArray *nodes)
{
  g_array_set_size (nodes, 0);
  for (guint i = 0; i < call->inputs->len; i++) {
    const guint node = get_call (calls, g_array_index (call->inputs, guint, i))->output;
    if (node == NOT_YET)
      return FALSE;
    g_array_append_val (nodes, node);
  }
  return TRUE;
}

static gboolean
add_call (Builder *builder, const Calls *calls, Call *call, GArray *nodes, GError **error)
{
  AfpKerasLayer layer = call->layer;

  if (is_input (&layer) && !calls->model->input)
    return add_input (builder, &layer, NULL, &call->output, error);
  if (is_input (&layer)) {
    call->output = *calls->model->input;
    return TRUE;
  }
  layer.inputs = (const guint *) (gpointer) nodes->data;
  layer.n_inputs = nodes->len;
  return add_layer (builder, calls->model, call->object, &layer, &call->output, error);
}

/* Each call after what it is called with, else in the order of the file. */
static gboolean
add_calls (Builder *builder, const Calls *calls, GError **error)
{
  g_autoptr (GArray) nodes = g_array_new (FALSE, FALSE, sizeof (guint));
  const Call *stuck = NULL;
  gboolean moved = TRUE;

  while (moved) {
    moved = FALSE;
    stuck = NULL;
    for (guint i = 0; i < calls->calls->len; i++) {
      Call *call = get_call (calls, i);
      if (call->output != NOT_YET)
        continue;
      if (!has_inputs (calls, call, nodes)) {
        stuck = stuck ? stuck : call;
        continue;
      }
      if (!add_call (builder, calls, call, nodes, error))
        return FALSE;
      moved = TRUE;
    }
  }
  return !stuck || damaged (calls->model, error, "goes round in a circle through layer '%s'",
                            stuck->layer.name);
}

/* The only member of input_layers or output_layers: [[name, 0, 0]], or [name, 0, 0]. */
static gboolean
find_end (const Calls *calls, const char *name, guint *index, GError **error)
{
  JsonArray *list = afp_json_get_array (calls->model->config, name);
  const guint n = list ? json_array_get_length (list) : 0;

  if (n > 0 && JSON_NODE_HOLDS_ARRAY (json_array_get_element (list, 0))) {
    if (n == 1)
      return find_call (calls, json_array_get_array_element (list, 0), index, error);
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "the network cannot be run: model '%s' has %u %s; those with one are run",
                 calls->model->name, n, name);
    return FALSE;
  }
  return n > 0 ? find_call (calls, list, index, error)
               : damaged (calls->model, error, "has no %s", name);
}

static gboolean
add_functional (Builder *builder, const Model *model, JsonArray *layers, guint *output,
                GError **error)
{
  g_autoptr (GArray) list = g_array_new (FALSE, FALSE, sizeof (Call));
  g_autoptr (GHashTable) by_name = g_hash_table_new (g_str_hash, g_str_equal);
  Calls calls = { model, list, by_name };
  guint input, end;

  g_array_set_clear_func (list, call_clear);
  if (!list_calls (&calls, layers, error) || !find_end (&calls, "input_layers", &input, error) ||
      !find_end (&calls, "output_layers", &end, error) || !link_calls (&calls, error) ||
      !add_calls (builder, &calls, error))
    return FALSE;
  *output = get_call (&calls, end)->output;
  return TRUE;
}

/* --- models ------------------------------------------------------------------------------------------------------- */

static gboolean
add_model (Builder *builder, const Model *model, guint *output, GError **error)
{
  JsonArray *layers = afp_json_get_array (model->config, "layers");

  if (!layers)
    return damaged (model, error, "has no list 'layers'");
  if (strcmp (model->class_name, "Sequential") == 0)
    return add_sequential (builder, model, layers, output, error);
  return add_functional (builder, model, layers, output, error);
}

AfpNetGraph *
afp_keras_parse (const char *text, gsize n, GError **error)
{
  g_autoptr (JsonNode) root = afp_json_parse (text, n, MAX_DEPTH, "model_config", error);
  JsonObject *object = root && JSON_NODE_HOLDS_OBJECT (root) ? json_node_get_object (root) : NULL;
  g_autoptr (AfpNetGraph) graph = afp_net_graph_new ();
  Builder builder = { graph, FALSE, 0 };
  AfpKerasLayer top = { 0 };
  guint output;

  if (!root)
    return NULL;
  if (object) {
    top.class_name = afp_json_get_text (object, "class_name", NULL);
    top.config = afp_json_get_object (object, "config");
  }
  if (!top.class_name || !top.config) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "model_config: it has no class_name and no config");
    return NULL;
  }
  if (!is_model (&top)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "the network cannot be run: the model is of class '%s'; supported are Sequential, "
                 "Functional and Model",
                 top.class_name);
    return NULL;
  }
  const Model model = { afp_json_get_text (top.config, "name", "model"), top.class_name, object,
                        top.config, NULL };
  if (!add_model (&builder, &model, &output, error) || !afp_net_graph_finish (graph, output, error))
    return NULL;
  return g_steal_pointer (&graph);
}
