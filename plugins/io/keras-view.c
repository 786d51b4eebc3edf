/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keras-view.h"

#include "json-util.h"

#include <string.h>

/* A model or a wrapper: its own class says nothing about its weights. */
static gboolean
is_container (JsonObject *layer)
{
  JsonObject *config = afp_json_get_object (layer, "config");

  return config != NULL &&
         (json_object_has_member (config, "layers") || json_object_has_member (config, "layer"));
}

/* The depth of the text was limited when it was parsed. */
static void
collect (JsonObject *layer, GHashTable *layers)
{
  JsonObject *config = afp_json_get_object (layer, "config");
  const char *name = config != NULL ? afp_json_get_text (config, "name", NULL) : NULL;

  if (name != NULL && afp_json_get_text (layer, "class_name", NULL) != NULL)
    g_hash_table_insert (layers, (char *) name, layer);
  if (config == NULL)
    return;
  JsonObject *wrapped = afp_json_get_object (config, "layer");
  if (wrapped != NULL)
    collect (wrapped, layers);
  JsonNode *node = json_object_get_member (config, "layers");
  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node))
    return;
  JsonArray *array = json_node_get_array (node);
  for (guint i = 0; i < json_array_get_length (array); i++) {
    JsonNode *element = json_array_get_element (array, i);
    if (JSON_NODE_HOLDS_OBJECT (element))
      collect (json_node_get_object (element), layers);
  }
}

GHashTable *
afp_keras_list_layers (JsonNode *config)
{
  GHashTable *layers = g_hash_table_new (g_str_hash, g_str_equal);

  if (config != NULL && JSON_NODE_HOLDS_OBJECT (config))
    collect (json_node_get_object (config), layers);
  return layers;
}

/* The layer that holds the weight: its group, or in a nested model the innermost part of the weight's name that is one. */
static JsonObject *
find_layer (GHashTable *layers, const char *layer, char **parts)
{
  JsonObject *found = layers != NULL ? g_hash_table_lookup (layers, layer) : NULL;

  if (layers == NULL || (found != NULL && !is_container (found)))
    return found;
  for (guint i = g_strv_length (parts); i-- > 1;) {
    JsonObject *inner = g_hash_table_lookup (layers, parts[i - 1]);
    if (inner != NULL && !is_container (inner))
      return inner;
  }
  return NULL;
}

static guint64
get_groups (JsonObject *layer, guint64 outputs)
{
  JsonObject *config = layer != NULL ? afp_json_get_object (layer, "config") : NULL;
  JsonNode *node = config != NULL ? json_object_get_member (config, "groups") : NULL;

  if (node == NULL || !JSON_NODE_HOLDS_VALUE (node) ||
      json_node_get_value_type (node) != G_TYPE_INT64)
    return 1;
  const gint64 groups = json_node_get_int (node);
  return groups > 1 && outputs % (guint64) groups == 0 ? (guint64) groups : 1;
}

static gboolean
has_part (char **parts, const char *const *names)
{
  for (guint i = 0; parts[i] != NULL; i++)
    if (g_strv_contains (names, parts[i]))
      return TRUE;
  return FALSE;
}

/* The projections of multi-head attention, of rank 3: (in, heads, size), and (heads, size, out). */
static gboolean
attention_view (char **parts, guint rank, AfpView *view)
{
  static const char *const to_heads[] = { "query", "key", "value", NULL };
  static const char *const from_heads[] = { "attention_output", NULL };

  if (rank != 3)
    return FALSE;
  if (has_part (parts, to_heads))
    *view = (AfpView){ 1, TRUE, 1 };
  else if (has_part (parts, from_heads))
    *view = (AfpView){ 2, TRUE, 1 };
  else
    return FALSE;
  return TRUE;
}

gboolean
afp_keras_view (GHashTable *layers, const char *layer, const char *weight, guint rank,
                const guint64 *shape, AfpView *view)
{
  if (rank < 2)
    return FALSE;

  g_auto (GStrv) parts = g_strsplit (weight, "/", -1);
  const guint n = g_strv_length (parts);
  char *variable = n > 0 ? parts[n - 1] : NULL;
  if (variable != NULL)
    variable[strcspn (variable, ":")] = '\0';
  JsonObject *found = find_layer (layers, layer, parts);
  const char *class = found != NULL ? afp_json_get_text (found, "class_name", NULL) : "";
  const gboolean kernel = g_strcmp0 (variable, "kernel") == 0;

  if (g_strcmp0 (variable, "embeddings") == 0 || strcmp (class, "Embedding") == 0)
    *view = (AfpView){ 1, FALSE, 1 };
  else if (rank >= 3 && (g_strcmp0 (variable, "depthwise_kernel") == 0 ||
                         (kernel && g_str_has_prefix (class, "DepthwiseConv"))))
    *view = (AfpView){ rank - 2, TRUE, MAX (shape[rank - 2], 1) };
  else if (rank >= 3 && kernel && g_str_has_suffix (class, "Transpose"))
    *view = (AfpView){ rank - 1, FALSE, 1 };
  else if (g_str_has_prefix (class, "Conv") || !attention_view (parts, rank, view))
    *view = (AfpView){ rank - 1, TRUE, kernel ? get_groups (found, shape[rank - 1]) : 1 };
  return TRUE;
}
