/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is a JSON text what a JSON Schema says? Only the words that our schemas use; any other is an error of the schema. */
#pragma once

#include <json-glib/json-glib.h>
#include <string.h>

typedef struct {
  JsonObject *root; /* of the schema, for "#/$defs/NAME" */
  GString *wrong;   /* "/stages/0/name: ...", a line each */
} Schema;

static inline void schema_check (Schema *self, JsonObject *rule, JsonNode *node, const char *path);

static inline const char *
schema_type_of (JsonNode *node)
{
  if (JSON_NODE_HOLDS_OBJECT (node))
    return "object";
  if (JSON_NODE_HOLDS_ARRAY (node))
    return "array";
  if (JSON_NODE_HOLDS_NULL (node))
    return "null";
  switch (json_node_get_value_type (node)) {
  case G_TYPE_STRING:
    return "string";
  case G_TYPE_BOOLEAN:
    return "boolean";
  case G_TYPE_INT64:
    return "integer";
  default:
    return "number";
  }
}

static inline gboolean
schema_is_type (JsonNode *node, const char *type)
{
  return strcmp (type, schema_type_of (node)) == 0 ||
         (strcmp (type, "number") == 0 && strcmp (schema_type_of (node), "integer") == 0);
}

static inline gboolean
schema_has_type (JsonNode *node, JsonNode *type)
{
  JsonArray *all = JSON_NODE_HOLDS_ARRAY (type) ? json_node_get_array (type) : NULL;

  for (guint i = 0; all && i < json_array_get_length (all); i++)
    if (schema_is_type (node, json_array_get_string_element (all, i)))
      return TRUE;
  return !all && schema_is_type (node, json_node_get_string (type));
}

static inline void
schema_check_members (Schema *self, JsonObject *rule, JsonObject *object, const char *path)
{
  JsonObject *properties = json_object_has_member (rule, "properties")
                               ? json_object_get_object_member (rule, "properties")
                               : NULL;
  JsonNode *others = json_object_get_member (rule, "additionalProperties");
  JsonArray *required = json_object_has_member (rule, "required")
                            ? json_object_get_array_member (rule, "required")
                            : NULL;
  g_autoptr (GList) names = json_object_get_members (object);

  for (guint i = 0; required && i < json_array_get_length (required); i++)
    if (!json_object_has_member (object, json_array_get_string_element (required, i)))
      g_string_append_printf (self->wrong, "%s: '%s' is missing\n", path,
                              json_array_get_string_element (required, i));
  for (GList *l = names; l; l = l->next) {
    g_autofree char *place = g_strdup_printf ("%s/%s", path, (char *) l->data);
    JsonNode *member = json_object_get_member (object, l->data);
    if (properties && json_object_has_member (properties, l->data))
      schema_check (self, json_object_get_object_member (properties, l->data), member, place);
    else if (others && JSON_NODE_HOLDS_OBJECT (others))
      schema_check (self, json_node_get_object (others), member, place);
    else if (others && !json_node_get_boolean (others))
      g_string_append_printf (self->wrong, "%s: the schema does not have it\n", place);
  }
}

static inline void
schema_check_word (Schema *self, JsonObject *rule, const char *word, JsonNode *node,
                   const char *path)
{
  JsonNode *value = json_object_get_member (rule, word);

  if (strcmp (word, "type") == 0) {
    if (!schema_has_type (node, value))
      g_string_append_printf (self->wrong, "%s: is of type %s\n", path, schema_type_of (node));
  } else if (strcmp (word, "enum") == 0) {
    JsonArray *all = json_node_get_array (value);
    guint i = 0;
    while (i < json_array_get_length (all) &&
           !json_node_equal (node, json_array_get_element (all, i)))
      i++;
    if (i == json_array_get_length (all))
      g_string_append_printf (self->wrong, "%s: is none of the values\n", path);
  } else if (strcmp (word, "minimum") == 0) {
    if (schema_is_type (node, "number") &&
        json_node_get_double (node) < json_node_get_double (value))
      g_string_append_printf (self->wrong, "%s: is too small\n", path);
  } else if (strcmp (word, "pattern") == 0) {
    if (schema_is_type (node, "string") &&
        !g_regex_match_simple (json_node_get_string (value), json_node_get_string (node), 0, 0))
      g_string_append_printf (self->wrong, "%s: does not match\n", path);
  } else if (strcmp (word, "items") == 0) {
    JsonArray *items = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
    for (guint i = 0; items && i < json_array_get_length (items); i++) {
      g_autofree char *place = g_strdup_printf ("%s/%u", path, i);
      schema_check (self, json_node_get_object (value), json_array_get_element (items, i), place);
    }
  } else if (strcmp (word, "$ref") == 0) {
    const char *name = json_node_get_string (value) + strlen ("#/$defs/");
    schema_check (
        self,
        json_object_get_object_member (json_object_get_object_member (self->root, "$defs"), name),
        node, path);
  } else if (strstr ("$schema title $defs properties required additionalProperties", word) ==
             NULL) {
    g_string_append_printf (
        self->wrong, "%s: the schema says '%s', which this checker does not know\n", path, word);
  }
}

static inline void
schema_check (Schema *self, JsonObject *rule, JsonNode *node, const char *path)
{
  g_autoptr (GList) words = json_object_get_members (rule);

  for (GList *l = words; l; l = l->next)
    schema_check_word (self, rule, l->data, node, path);
  if (JSON_NODE_HOLDS_OBJECT (node))
    schema_check_members (self, rule, json_node_get_object (node), path);
}

/* What is wrong with @node, or "". @name: of the definition. */
static inline char *
schema_find_errors (const char *file, const char *name, JsonNode *node)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  Schema self = { NULL, g_string_new (NULL) };

  if (!json_parser_load_from_file (parser, file, NULL)) {
    g_string_append (self.wrong, "the schema cannot be read");
    return g_string_free (self.wrong, FALSE);
  }
  self.root = json_node_get_object (json_parser_get_root (parser));
  schema_check (
      &self,
      json_object_get_object_member (json_object_get_object_member (self.root, "$defs"), name),
      node, "");
  return g_string_free (self.wrong, FALSE);
}
