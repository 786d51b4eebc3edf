/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-pipeline-private.h"

#include "afp-error.h"
#include "afp-parse-private.h"
#include "afp-registry.h"

#include <string.h>

/* From the tree of a pipeline text to elements and links. Every error has its place in the text. */
typedef struct {
  AfpPipeline *self;
  const AfpAst *ast;
  GHashTable *names; /* name -> AfpStage; NULL while the element is not made yet */
} AfpBuild;

static gboolean afp_build_fail (AfpBuild *build, gsize column, GError **error, const char *format,
                                ...) G_GNUC_PRINTF (4, 5);

static gboolean
afp_build_fail (AfpBuild *build, gsize column, GError **error, const char *format, ...)
{
  GError *local;
  va_list args;

  va_start (args, format);
  local = g_error_new_valist (AFP_ERROR, AFP_ERROR_USAGE, format, args);
  va_end (args);
  afp_pipeline_add_caret (build->self, local, column);
  g_propagate_error (error, local);
  return FALSE;
}

static gboolean
afp_build_forward (AfpBuild *build, gsize column, GError **error, GError *local)
{
  afp_pipeline_add_caret (build->self, local, column);
  g_propagate_error (error, local);
  return FALSE;
}

/* --- names --- */

static const AfpAstProperty *
afp_build_find_property (const AfpAstNode *node, const char *name)
{
  for (guint i = 0; i < node->properties->len; i++) {
    const AfpAstProperty *property = g_ptr_array_index (node->properties, i);

    if (strcmp (property->name, name) == 0)
      return property;
  }
  return NULL;
}

/* Names that were given come first: numbered names go around them. */
static gboolean
afp_build_collect_names (AfpBuild *build, GError **error)
{
  for (guint c = 0; c < build->ast->chains->len; c++) {
    const AfpAstChain *chain = g_ptr_array_index (build->ast->chains, c);

    for (guint n = 0; n < chain->nodes->len; n++) {
      const AfpAstNode *node = g_ptr_array_index (chain->nodes, n);
      const AfpAstProperty *property =
          node->type == AFP_AST_ELEMENT ? afp_build_find_property (node, "name") : NULL;

      if (!property)
        continue;
      if (!afp_parse_is_name (property->value))
        return afp_build_fail (build, property->value_column, error,
                               "'%s' is no name for an element: letters, digits, '-' and '_'",
                               property->value);
      if (g_hash_table_contains (build->names, property->value))
        return afp_build_fail (build, property->value_column, error,
                               "two elements have the name '%s': names are unique in a pipeline",
                               property->value);
      g_hash_table_insert (build->names, g_strdup (property->value), NULL);
    }
  }
  return TRUE;
}

static char *
afp_build_make_name (AfpBuild *build, const char *factory)
{
  for (guint i = 0;; i++) {
    char *name = g_strdup_printf ("%s%u", factory, i);

    if (!g_hash_table_contains (build->names, name))
      return name;
    g_free (name);
  }
}

/* --- elements --- */

static gboolean
afp_build_set_property (AfpBuild *build, AfpElement *element, const AfpAstProperty *property,
                        GError **error)
{
  GError *local = NULL;
  gboolean known =
      afp_element_class_find_property (AFP_ELEMENT_GET_CLASS (element), property->name) != NULL;

  if (afp_element_set_property_text (element, property->name, property->value, &local))
    return TRUE;
  return afp_build_forward (build, known ? property->value_column : property->name_column, error,
                            local);
}

/* An alias and its long name are the same property. */
static gboolean
afp_build_check_twice (AfpBuild *build, AfpElement *element, const AfpAstNode *node, guint index,
                       GError **error)
{
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (element);
  const AfpAstProperty *property = g_ptr_array_index (node->properties, index);
  const AfpProperty *row = afp_element_class_find_property (klass, property->name);

  for (guint i = 0; row && i < index; i++) {
    const AfpAstProperty *other = g_ptr_array_index (node->properties, i);

    if (afp_element_class_find_property (klass, other->name) == row)
      return afp_build_fail (build, property->name_column, error,
                             "'%s' and '%s' are the same property: give it once", other->name,
                             property->name);
  }
  return TRUE;
}

static gboolean
afp_build_set_properties (AfpBuild *build, AfpElement *element, const AfpAstNode *node,
                          GError **error)
{
  const AfpAstProperty *preset = afp_build_find_property (node, "preset");
  GError *local = NULL;

  if (preset && !afp_element_apply_preset (element, preset->value, &local))
    return afp_build_forward (build,
                              AFP_ELEMENT_GET_CLASS (element)->n_presets ? preset->value_column
                                                                         : preset->name_column,
                              error, local);
  for (guint i = 0; i < node->properties->len; i++) {
    const AfpAstProperty *property = g_ptr_array_index (node->properties, i);

    if (property == preset || strcmp (property->name, "name") == 0)
      continue;
    if (!afp_build_check_twice (build, element, node, i, error) ||
        !afp_build_set_property (build, element, property, error))
      return FALSE;
  }
  return TRUE;
}

/* "tensor,dtype=f16": each field is tried alone first, so that the caret stands under the wrong one. */
static AfpElement *
afp_build_make_assertion (AfpBuild *build, const AfpAstNode *node, GError **error)
{
  g_autoptr (AfpElement) element = g_object_new (AFP_TYPE_ASSERT, NULL);
  g_autoptr (GString) text = g_string_new ("tensor");
  GError *local = NULL;

  afp_element_set_factory_name (element, "assert");
  if (node->properties->len == 0) {
    afp_build_fail (
        build, node->column, error,
        "the assertion says nothing: write what tensors must be, for example tensor,dtype=f16");
    return NULL;
  }
  for (guint i = 0; i < node->properties->len; i++) {
    const AfpAstProperty *property = g_ptr_array_index (node->properties, i);
    g_autoptr (GString) field = g_string_new (NULL);
    g_autofree char *alone = NULL;
    g_autoptr (AfpCaps) caps = NULL;

    g_string_append_printf (field, ",%s=", property->name);
    afp_ast_append_value (field, property->value, TRUE);
    alone = g_strconcat ("tensor", field->str, NULL);
    caps = afp_caps_parse (alone, &local);
    if (!caps) {
      afp_build_forward (build, property->name_column, error, local);
      return NULL;
    }
    g_string_append (text, field->str);
  }
  if (!afp_element_set_property_text (element, "caps", text->str, &local)) {
    afp_build_forward (build, node->column, error, local);
    return NULL;
  }
  if (build->ast->text)
    afp_assert_set_place (AFP_ASSERT (element), build->ast->text, node->column);
  return g_steal_pointer (&element);
}

static AfpElement *
afp_build_make_element (AfpBuild *build, const AfpAstNode *node, GError **error)
{
  g_autoptr (AfpElement) element = NULL;
  GError *local = NULL;

  if (node->type == AFP_AST_ASSERTION)
    return afp_build_make_assertion (build, node, error);
  element = afp_registry_make (afp_registry_get_default (), node->name, &local);
  if (!element) {
    afp_build_forward (build, node->column, error, local);
    return NULL;
  }
  afp_element_set_factory_name (element, node->name);
  if (!afp_build_set_properties (build, element, node, error))
    return NULL;
  return g_steal_pointer (&element);
}

static AfpStage *
afp_build_make_stage (AfpBuild *build, const AfpAstNode *node, GError **error)
{
  const AfpAstProperty *named =
      node->type == AFP_AST_ELEMENT ? afp_build_find_property (node, "name") : NULL;
  AfpElement *element = afp_build_make_element (build, node, error);
  g_autofree char *name = NULL;
  AfpStage *stage;

  if (!element)
    return NULL;
  name = named ? g_strdup (named->value)
               : afp_build_make_name (build, afp_element_get_factory_name (element));
  afp_element_set_name (element, name);
  stage = g_new0 (AfpStage, 1);
  stage->element = element;
  stage->column = node->column;
  stage->named = named != NULL;
  stage->index = build->self->stages->len;
  g_ptr_array_add (build->self->stages, stage);
  g_hash_table_replace (build->names, g_steal_pointer (&name), stage);
  return stage;
}

static gboolean
afp_build_make_elements (AfpBuild *build, GError **error)
{
  for (guint c = 0; c < build->ast->chains->len; c++) {
    const AfpAstChain *chain = g_ptr_array_index (build->ast->chains, c);
    GArray *items = g_array_new (FALSE, TRUE, sizeof (AfpChainItem));

    g_ptr_array_add (build->self->chains, items);
    for (guint n = 0; n < chain->nodes->len; n++) {
      const AfpAstNode *node = g_ptr_array_index (chain->nodes, n);
      AfpChainItem item = { .type = node->type };

      if (node->type != AFP_AST_REFERENCE) {
        item.stage = afp_build_make_stage (build, node, error);
        if (!item.stage)
          return FALSE;
      }
      g_array_append_val (items, item);
    }
  }
  return TRUE;
}

static gboolean
afp_build_resolve (AfpBuild *build, const AfpAstNode *node, AfpChainItem *item, GError **error)
{
  g_autofree const char **names = NULL;
  const char *nearest;
  guint n;

  item->stage = g_hash_table_lookup (build->names, node->name);
  if (item->stage)
    return TRUE;
  names = (const char **) g_hash_table_get_keys_as_array (build->names, &n);
  nearest = afp_nearest_name (node->name, names, n);
  if (nearest)
    return afp_build_fail (build, node->column, error,
                           "no element has the name '%s'; did you mean '%s.'? Give it with name=%s",
                           node->name, nearest, node->name);
  return afp_build_fail (build, node->column, error,
                         "no element has the name '%s': give it with name=%s, as in tee name=%s",
                         node->name, node->name, node->name);
}

/* --- links --- */

static AfpPad *
afp_build_free_pad (AfpElement *element, AfpPadDirection direction)
{
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (element);
  AfpPad *pad;

  for (guint i = 0; (pad = afp_element_get_pad (element, direction, i)); i++)
    if (!afp_pad_get_peer (pad))
      return pad;
  return klass->request_pad ? klass->request_pad (element, direction) : NULL;
}

static AfpLink *
afp_build_find_link (AfpPipeline *self, const AfpStage *from, const AfpStage *to)
{
  for (guint i = 0; i < self->links->len; i++) {
    AfpLink *link = g_ptr_array_index (self->links, i);

    if ((!from || link->from == from) && (!to || link->to == to))
      return link;
  }
  return NULL;
}

static gboolean
afp_build_link (AfpBuild *build, AfpStage *from, AfpStage *to, gsize column, GError **error)
{
  const char *from_name = afp_element_get_name (from->element),
             *to_name = afp_element_get_name (to->element);
  AfpPad *src = afp_build_free_pad (from->element, AFP_PAD_SRC);
  AfpPad *sink = src ? afp_build_free_pad (to->element, AFP_PAD_SINK) : NULL;
  GError *local = NULL;
  AfpLink *link;

  if (!src && afp_element_get_n_pads (from->element, AFP_PAD_SRC) == 0)
    return afp_build_fail (build, column, error, "'%s' is a sink: nothing can follow it",
                           from_name);
  if (!src)
    return afp_build_fail (
        build, column, error,
        "'%s' is linked twice: its tensors go to '%s' already; to branch, put a tee behind it: %s "
        "! tee name=t ! ... t. ! ...",
        from_name,
        afp_element_get_name (afp_build_find_link (build->self, from, NULL)->to->element),
        afp_element_get_factory_name (from->element));
  if (!sink && afp_element_get_n_pads (to->element, AFP_PAD_SINK) == 0)
    return afp_build_fail (
        build, column, error,
        "'%s' is a source: it can only be the first of a chain, but '%s' comes before it", to_name,
        from_name);
  if (!sink)
    return afp_build_fail (
        build, column, error, "'%s' is linked twice: its tensors come from '%s' already", to_name,
        afp_element_get_name (afp_build_find_link (build->self, NULL, to)->from->element));
  link = afp_link_new (from, src, to, sink, &local);
  if (!link)
    return afp_build_forward (build, column, error, local);
  g_ptr_array_add (build->self->links, link);
  return TRUE;
}

static gboolean
afp_build_link_chains (AfpBuild *build, GError **error)
{
  for (guint c = 0; c < build->ast->chains->len; c++) {
    const AfpAstChain *chain = g_ptr_array_index (build->ast->chains, c);
    GArray *items = g_ptr_array_index (build->self->chains, c);

    for (guint n = 0; n < chain->nodes->len; n++) {
      const AfpAstNode *node = g_ptr_array_index (chain->nodes, n);
      AfpChainItem *item = &g_array_index (items, AfpChainItem, n);

      if (node->type == AFP_AST_REFERENCE && !afp_build_resolve (build, node, item, error))
        return FALSE;
      if (n > 0 && !afp_build_link (build, item[-1].stage, item->stage, node->column, error))
        return FALSE;
    }
  }
  return TRUE;
}

/* --- checks of the whole --- */

static gboolean
afp_build_check_ends (AfpBuild *build, AfpStage *stage, GError **error)
{
  AfpElement *element = stage->element;
  const char *name = afp_element_get_name (element);
  guint n_src = afp_element_get_n_pads (element, AFP_PAD_SRC);
  guint n_sink = afp_element_get_n_pads (element, AFP_PAD_SINK);
  AfpPad *pad;

  for (guint i = 0; i < n_sink; i++) {
    pad = afp_element_get_pad (element, AFP_PAD_SINK, i);
    if (!afp_pad_get_peer (pad))
      return afp_build_fail (
          build, stage->column, error,
          "nothing comes to '%s': its pad '%s' is not linked; a chain begins with a source, as in "
          "load location=FILE ! %s",
          name, afp_pad_get_name (pad), afp_element_get_factory_name (element));
  }
  for (guint i = 0; i < n_src; i++) {
    pad = afp_element_get_pad (element, AFP_PAD_SRC, i);
    if (!afp_pad_get_peer (pad))
      return afp_build_fail (
          build, stage->column, error,
          "'%s' leads nowhere: its pad '%s' is not linked; end the chain with \"! write "
          "location=FILE\", or with \"! null\" to try it out",
          name, afp_pad_get_name (pad));
  }
  if (n_src == 0 && !AFP_IS_SINK (element))
    return afp_build_fail (
        build, stage->column, error,
        "'%s' leads nowhere: none of its branches is linked; write \"%s name=t ! null\", and "
        "\"t. ! ...\" for more",
        name, afp_element_get_factory_name (element));
  return TRUE;
}

/* A link from a stage that has no place in the order yet to @stage. */
static AfpLink *
afp_build_find_waiting (AfpPipeline *self, const AfpStage *stage, const gboolean *done)
{
  for (guint i = 0; i < self->links->len; i++) {
    AfpLink *link = g_ptr_array_index (self->links, i);

    if (link->to == stage && !done[link->from->index])
      return link;
  }
  return NULL;
}

/* The first in the text of those that could be next. */
static AfpStage *
afp_build_find_next (AfpPipeline *self, const gboolean *done)
{
  for (guint i = 0; i < self->stages->len; i++) {
    AfpStage *stage = g_ptr_array_index (self->stages, i);

    if (!done[i] && !afp_build_find_waiting (self, stage, done))
      return stage;
  }
  return NULL;
}

/* Upstream first. */
static gboolean
afp_build_sort (AfpBuild *build, GError **error)
{
  AfpPipeline *self = build->self;
  g_autofree gboolean *done = g_new0 (gboolean, self->stages->len);
  AfpStage *stage;

  while ((stage = afp_build_find_next (self, done))) {
    done[stage->index] = TRUE;
    g_ptr_array_add (self->sorted, stage);
    g_ptr_array_add (self->elements, g_object_ref (stage->element));
  }
  if (self->sorted->len == self->stages->len)
    return TRUE;
  for (guint i = 0; i < self->stages->len && !stage; i++)
    stage = done[i] ? NULL : g_ptr_array_index (self->stages, i);
  /* So many steps upstream end in the circle, also from behind it. */
  for (guint i = 0; i < self->stages->len; i++)
    stage = afp_build_find_waiting (self, stage, done)->from;
  return afp_build_fail (build, stage->column, error,
                         "the pipeline runs in a circle: what '%s' hands on comes back to it",
                         afp_element_get_name (stage->element));
}

gboolean
afp_pipeline_build (AfpPipeline *self, const AfpAst *ast, GError **error)
{
  g_autoptr (GHashTable) names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  AfpBuild build = { self, ast, names };

  if (!afp_build_collect_names (&build, error) || !afp_build_make_elements (&build, error) ||
      !afp_build_link_chains (&build, error))
    return FALSE;
  if (self->stages->len == 0) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_USAGE,
                         "the pipeline is empty: write ELEMENT PROPERTY=VALUE ! ELEMENT ...");
    return FALSE;
  }
  for (guint i = 0; i < self->stages->len; i++)
    if (!afp_build_check_ends (&build, g_ptr_array_index (self->stages, i), error))
      return FALSE;
  return afp_build_sort (&build, error);
}

/**
 * afp_pipeline_make_element:
 * @ast: a tree, for carets
 * @node: one of its elements, or one that stands for it
 * @error: what is wrong, with a caret into the tree's text
 *
 * Returns: (transfer full): the element by itself, with its properties; %NULL on error
 */
AfpElement *
afp_pipeline_make_element (const AfpAst *ast, const AfpAstNode *node, GError **error)
{
  g_autoptr (AfpPipeline) place = g_object_new (AFP_TYPE_PIPELINE, NULL);
  AfpBuild build = { place, ast, NULL };

  place->text = g_strdup (ast->text);
  return afp_build_make_element (&build, node, error);
}
