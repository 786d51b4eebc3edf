/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-pipeline-private.h"

#include "afp-error.h"
#include "afp-memo.h"
#include "afp-memory.h"
#include "afp-parse-private.h"
#include "afp-plan-private.h"
#include "afp-registry.h"

#include <string.h>

G_DEFINE_FINAL_TYPE (AfpPipeline, afp_pipeline, G_TYPE_OBJECT)

/* --- the object --- */

static void
afp_pipeline_finalize (GObject *object)
{
  AfpPipeline *self = AFP_PIPELINE (object);

  g_clear_pointer (&self->plan, afp_plan_unref);
  g_clear_error (&self->plan_error);
  /* Links hold no references on what they link. */
  g_ptr_array_unref (self->links);
  g_ptr_array_unref (self->sorted);
  for (guint i = 0; i < self->elements->len; i++)
    g_object_run_dispose (self->elements->pdata[i]);
  g_ptr_array_unref (self->elements);
  g_ptr_array_unref (self->stages);
  g_ptr_array_unref (self->chains);
  g_ptr_array_unref (self->notes);
  g_object_unref (self->cancellable);
  afp_memo_free (self->memo);
  g_mutex_clear (&self->message_lock);
  g_mutex_clear (&self->run_lock);
  g_free (self->text);
  G_OBJECT_CLASS (afp_pipeline_parent_class)->finalize (object);
}

static void
afp_pipeline_class_init (AfpPipelineClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = afp_pipeline_finalize;
}

static void
afp_stage_free (AfpStage *stage)
{
  g_clear_pointer (&stage->metrics, json_node_unref);
  g_clear_pointer (&stage->output, json_node_unref);
  g_object_unref (stage->element);
  g_free (stage);
}

static void
afp_pipeline_init (AfpPipeline *self)
{
  self->chains = g_ptr_array_new_with_free_func ((GDestroyNotify) g_array_unref);
  self->stages = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_stage_free);
  self->elements = g_ptr_array_new_with_free_func (g_object_unref);
  self->sorted = g_ptr_array_new ();
  self->links = g_ptr_array_new_with_free_func (g_object_unref);
  self->notes = g_ptr_array_new_with_free_func (g_free);
  self->cancellable = g_cancellable_new ();
  self->memo = afp_memo_new (NULL, 0);
  g_mutex_init (&self->message_lock);
  g_mutex_init (&self->run_lock);
}

/* Not in class_init: registries look at classes while they hold their lock. */
static void
afp_pipeline_register (void)
{
  static gsize once = 0;

  if (g_once_init_enter (&once)) {
    afp_registry_add_builtin ("assert", AFP_TYPE_ASSERT);
    g_once_init_leave (&once, 1);
  }
}

/**
 * afp_pipeline_new_from_ast:
 * @ast: a tree; not kept
 * @error: what is wrong, with a caret into the tree's text
 *
 * Returns: (transfer full): the elements, with their properties, linked; %NULL on error
 */
AfpPipeline *
afp_pipeline_new_from_ast (const AfpAst *ast, GError **error)
{
  g_autoptr (AfpPipeline) self = g_object_new (AFP_TYPE_PIPELINE, NULL);

  g_return_val_if_fail (ast, NULL);
  afp_pipeline_register ();
  self->text = g_strdup (ast->text);
  if (!afp_pipeline_build (self, ast, error))
    return NULL;
  return g_steal_pointer (&self);
}

/**
 * afp_pipeline_new_from_text:
 * @text: a pipeline, as in afpipe-pipeline(7)
 * @error: what is wrong, with a caret
 *
 * Returns: (transfer full): the pipeline; %NULL on error
 */
AfpPipeline *
afp_pipeline_new_from_text (const char *text, GError **error)
{
  g_autoptr (AfpAst) ast = NULL;

  g_return_val_if_fail (text, NULL);
  ast = afp_parse (text, NULL, error);
  return ast ? afp_pipeline_new_from_ast (ast, error) : NULL;
}

void
afp_pipeline_set_threads (AfpPipeline *self, guint n_threads)
{
  g_return_if_fail (AFP_IS_PIPELINE (self));
  self->n_threads = n_threads;
}

void
afp_pipeline_set_max_memory (AfpPipeline *self, guint64 bytes)
{
  g_return_if_fail (AFP_IS_PIPELINE (self));
  self->max_memory = bytes;
}

guint64
afp_pipeline_get_budget (AfpPipeline *self)
{
  return self->max_memory ? self->max_memory : afp_memory_get_default_budget ();
}

/**
 * afp_pipeline_set_handler:
 * @self: a pipeline
 * @handler: (nullable) (scope notified): gets the messages, from any thread, one at a time
 * @user_data: for @handler
 */
void
afp_pipeline_set_handler (AfpPipeline *self, AfpMessageFunc handler, gpointer user_data)
{
  g_return_if_fail (AFP_IS_PIPELINE (self));
  g_mutex_lock (&self->message_lock);
  self->handler = handler;
  self->handler_data = user_data;
  g_mutex_unlock (&self->message_lock);
}

/**
 * afp_pipeline_get_elements:
 * @self: a pipeline
 *
 * Returns: (transfer none) (element-type AfpElement): the elements, upstream first
 */
GPtrArray *
afp_pipeline_get_elements (AfpPipeline *self)
{
  g_return_val_if_fail (AFP_IS_PIPELINE (self), NULL);
  return self->elements;
}

void
afp_pipeline_post (AfpPipeline *self, AfpMessage *message)
{
  g_mutex_lock (&self->message_lock);
  if (self->handler)
    self->handler (message, self->handler_data);
  g_mutex_unlock (&self->message_lock);
  afp_message_free (message);
}

void
afp_pipeline_add_caret (AfpPipeline *self, GError *error, gsize column)
{
  if (self->text)
    afp_error_add_caret (error, self->text, column);
}

AfpStage *
afp_pipeline_find_stage (AfpPipeline *self, AfpElement *element)
{
  for (guint i = 0; i < self->stages->len; i++) {
    AfpStage *stage = g_ptr_array_index (self->stages, i);

    if (stage->element == element)
      return stage;
  }
  return NULL;
}

AfpLink *
afp_pipeline_get_link_to (AfpPipeline *self, AfpStage *stage)
{
  for (guint i = 0; i < self->links->len; i++) {
    AfpLink *link = g_ptr_array_index (self->links, i);

    if (link->to == stage)
      return link;
  }
  return NULL;
}

/* --- canonical text --- */

static void
afp_pipeline_add_setting (AfpAstNode *node, const char *name, const char *value)
{
  AfpAstProperty *property = g_new0 (AfpAstProperty, 1);

  property->name = g_strdup (name);
  property->value = g_strdup (value);
  g_ptr_array_add (node->properties, property);
}

/* What differs from an element of the same type that nobody touched. */
static void
afp_pipeline_add_settings (AfpAstNode *node, AfpElement *element, gboolean with_files)
{
  g_autoptr (AfpElement) untouched = g_object_new (G_OBJECT_TYPE (element), NULL);
  gsize n;
  g_autofree const AfpProperty **rows =
      afp_element_class_list_properties (AFP_ELEMENT_GET_CLASS (element), &n);

  for (gsize i = 0; i < n; i++) {
    g_autofree char *value = afp_element_get_property_text (element, rows[i]->name);
    g_autofree char *usual = afp_element_get_property_text (untouched, rows[i]->name);

    if (value && g_strcmp0 (value, usual) != 0 &&
        (with_files || !(rows[i]->flags & (AFP_PROPERTY_FILE | AFP_PROPERTY_RUN))))
      afp_pipeline_add_setting (node, rows[i]->name, value);
  }
}

static AfpAstNode *
afp_pipeline_make_node (AfpPipeline *self, const AfpChainItem *item, gboolean with_files)
{
  AfpStage *stage = item->stage;
  AfpAstNode *node;

  if (item->type == AFP_AST_REFERENCE)
    return afp_ast_node_new (AFP_AST_REFERENCE, afp_element_get_name (stage->element), 0);
  if (item->type == AFP_AST_ASSERTION) {
    g_autofree char *caps = afp_element_get_property_text (stage->element, "caps");

    node = afp_parse_assertion (caps ? caps : "tensor", NULL);
    if (node)
      return node;
  }
  node = afp_ast_node_new (AFP_AST_ELEMENT, afp_element_get_factory_name (stage->element), 0);
  if (stage->named)
    afp_pipeline_add_setting (node, "name", afp_element_get_name (stage->element));
  afp_pipeline_add_settings (node, stage->element, with_files);
  return node;
}

static void
afp_pipeline_free_chain (AfpAstChain *chain)
{
  g_ptr_array_unref (chain->nodes);
  g_free (chain);
}

/**
 * afp_pipeline_get_canonical_text:
 * @self: a pipeline
 * @with_files: %FALSE leaves out properties that are paths, or on which nothing depends that comes out
 *
 * Returns: (transfer full): the pipeline as text: long names, presets resolved, defaults left out
 */
char *
afp_pipeline_get_canonical_text (AfpPipeline *self, gboolean with_files)
{
  g_autoptr (GPtrArray) chains =
      g_ptr_array_new_with_free_func ((GDestroyNotify) afp_pipeline_free_chain);
  AfpAst ast = { .text = NULL, .chains = chains };

  g_return_val_if_fail (AFP_IS_PIPELINE (self), NULL);
  for (guint c = 0; c < self->chains->len; c++) {
    GArray *items = g_ptr_array_index (self->chains, c);
    AfpAstChain *chain = g_new0 (AfpAstChain, 1);

    chain->nodes = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_ast_node_free);
    for (guint i = 0; i < items->len; i++)
      g_ptr_array_add (
          chain->nodes,
          afp_pipeline_make_node (self, &g_array_index (items, AfpChainItem, i), with_files));
    g_ptr_array_add (chains, chain);
  }
  return afp_ast_to_string (&ast);
}

/* --- the plan --- */

static void
afp_pipeline_add_error (AfpPipeline *self, AfpStage *stage, GError *error)
{
  afp_pipeline_add_caret (self, error, stage->column);
  afp_plan_add_error (self->plan, error);
}

static void
afp_pipeline_check_required (AfpPipeline *self, AfpStage *stage)
{
  gsize n;
  g_autofree const AfpProperty **rows =
      afp_element_class_list_properties (AFP_ELEMENT_GET_CLASS (stage->element), &n);

  for (gsize i = 0; i < n; i++) {
    g_autofree char *value = NULL;

    if (!(rows[i]->flags & AFP_PROPERTY_REQUIRED))
      continue;
    value = afp_element_get_property_text (stage->element, rows[i]->name);
    if (value && value[0] &&
        (rows[i]->type == AFP_PROPERTY_STRING || rows[i]->def ||
         afp_element_property_is_set (stage->element, rows[i]->name)))
      continue;
    afp_pipeline_add_error (self, stage,
                            g_error_new (AFP_ERROR, AFP_ERROR_PROPERTY, "%s: %s= is missing: %s",
                                         afp_element_get_name (stage->element), rows[i]->name,
                                         rows[i]->blurb));
  }
}

/* Properties cannot change from here on. */
static void
afp_pipeline_check_elements (AfpPipeline *self)
{
  for (guint i = 0; i < self->sorted->len; i++) {
    AfpStage *stage = g_ptr_array_index (self->sorted, i);
    AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (stage->element);
    AfpCrashNote note;
    GError *error = NULL;

    afp_crash_enter_stage (&note, stage->element, NULL);
    afp_element_freeze (stage->element);
    afp_plan_add_stage (self->plan, stage->element);
    afp_pipeline_check_required (self, stage);
    if (klass->check && !klass->check (stage->element, &error)) {
      afp_stage_place_error (stage, NULL, &error);
      afp_stage_forget_error ();
      afp_pipeline_add_error (self, stage, error);
    }
    afp_crash_leave (&note);
  }
}

static void
afp_pipeline_add_note (AfpPipeline *self, AfpElement *source, const char *text)
{
  g_ptr_array_add (self->notes, g_strdup_printf ("%s: %s", afp_element_get_name (source), text));
  afp_pipeline_post (self,
                     afp_message_new (AFP_MESSAGE_INFO, afp_element_get_name (source), text, NULL));
}

/* "notes" of a source: a text or an array of texts. */
static void
afp_pipeline_collect_notes (AfpPipeline *self, AfpSource *source)
{
  g_autoptr (JsonNode) info = afp_source_get_info (source);
  JsonNode *notes = info && JSON_NODE_HOLDS_OBJECT (info)
                        ? json_object_get_member (json_node_get_object (info), "notes")
                        : NULL;

  if (notes && JSON_NODE_HOLDS_VALUE (notes) && json_node_get_value_type (notes) == G_TYPE_STRING)
    afp_pipeline_add_note (self, AFP_ELEMENT (source), json_node_get_string (notes));
  if (notes && JSON_NODE_HOLDS_ARRAY (notes)) {
    JsonArray *array = json_node_get_array (notes);

    for (guint i = 0; i < json_array_get_length (array); i++) {
      JsonNode *node = json_array_get_element (array, i);

      if (JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING)
        afp_pipeline_add_note (self, AFP_ELEMENT (source), json_node_get_string (node));
    }
  }
}

static void
afp_pipeline_plan_tensor (AfpPipeline *self, AfpStage *stage, gsize index, GHashTable *names)
{
  AfpSource *source = AFP_SOURCE (stage->element);
  GError *error = NULL;
  g_autoptr (AfpTensor) tensor = afp_source_plan_tensor (source, index, &error);
  const char *name = tensor ? afp_spec_get_name (afp_tensor_get_spec (tensor)) : NULL;

  if (!tensor) {
    afp_stage_place_error (stage, NULL, &error);
  } else if (!g_hash_table_add (names, g_strdup (name))) {
    error = g_error_new (AFP_ERROR, AFP_ERROR_FORMAT,
                         "%s: two tensors have the name '%s': names must be unique in a model",
                         afp_element_get_name (stage->element), name);
  } else {
    afp_plan_note_tensor (self->plan, stage->element, NULL, tensor);
    afp_plan_set_element (self->plan, stage->element);
    afp_plan_begin_tensor (self->plan, tensor,
                           afp_source_get_tensor_memory (source, index, tensor));
    afp_pad_push_plan (afp_element_get_pad (stage->element, AFP_PAD_SRC, 0), tensor, self->plan,
                       &error);
    afp_plan_drop (self->plan, tensor);
    afp_plan_end_tensor (self->plan);
  }
  if (error)
    afp_plan_add_error (self->plan, error);
  afp_stage_forget_error ();
}

static void
afp_pipeline_plan_source (AfpPipeline *self, AfpStage *stage)
{
  g_autoptr (GHashTable) names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  AfpSource *source = AFP_SOURCE (stage->element);
  GError *error = NULL;
  gsize n;

  if (!afp_source_open (source, &error)) {
    afp_stage_place_error (stage, NULL, &error);
    afp_stage_forget_error ();
    afp_pipeline_add_error (self, stage, error);
    return;
  }
  afp_pipeline_collect_notes (self, source);
  n = afp_source_get_n_tensors (source);
  for (gsize i = 0; i < n && !afp_pipeline_is_cancelled (self); i++)
    afp_pipeline_plan_tensor (self, stage, i, names);
  if (n == 0)
    afp_plan_add_error (self->plan, g_error_new (AFP_ERROR, AFP_ERROR_PLAN,
                                                 "%s: there are no tensors to work on",
                                                 afp_element_get_name (stage->element)));
}

/* The stage where the last tensors on the way to @stage were lost. */
static AfpStage *
afp_pipeline_find_loss (AfpPipeline *self, AfpStage *stage)
{
  AfpLink *link = afp_pipeline_get_link_to (self, stage);

  while (link && link->from->planned_in == 0 && !AFP_IS_SOURCE (link->from->element))
    link = afp_pipeline_get_link_to (self, link->from);
  return link ? link->from : stage;
}

static void
afp_pipeline_check_sinks (AfpPipeline *self)
{
  for (guint i = 0; i < self->sorted->len; i++) {
    AfpStage *stage = g_ptr_array_index (self->sorted, i);
    AfpStage *loss;
    GError *error = NULL;

    if (!AFP_IS_SINK (stage->element))
      continue;
    if (stage->planned_in > 0) {
      if (!afp_sink_plan_end (AFP_SINK (stage->element), self->plan, &error))
        afp_pipeline_add_error (self, stage, error);
      continue;
    }
    loss = afp_pipeline_find_loss (self, stage);
    afp_pipeline_add_error (self, loss,
                            g_error_new (AFP_ERROR, AFP_ERROR_PLAN,
                                         "no tensor reaches '%s': of %" G_GSIZE_FORMAT
                                         " that come to '%s' it passes none on",
                                         afp_element_get_name (stage->element), loss->planned_in,
                                         afp_element_get_name (loss->element)));
  }
}

gboolean
afp_pipeline_is_cancelled (AfpPipeline *self)
{
  return g_atomic_int_get (&self->cancelled) != 0;
}

/* All of them: a missing file does not hide another. */
static void
afp_pipeline_plan_sources (AfpPipeline *self)
{
  for (guint i = 0; i < self->sorted->len; i++) {
    AfpStage *stage = g_ptr_array_index (self->sorted, i);
    AfpCrashNote note;

    afp_crash_enter_stage (&note, stage->element, NULL);
    if (AFP_IS_SOURCE (stage->element))
      afp_pipeline_plan_source (self, stage);
    afp_crash_leave (&note);
  }
}

static void
afp_pipeline_settle (AfpPipeline *self)
{
  for (guint i = 0; i < self->sorted->len; i++) {
    AfpStage *stage = g_ptr_array_index (self->sorted, i);
    AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (stage->element);
    GError *error = NULL;

    if (!klass->settle || klass->settle (stage->element, self->plan, &error))
      continue;
    afp_stage_place_error (stage, NULL, &error);
    afp_stage_forget_error ();
    afp_pipeline_add_error (self, stage, error);
  }
}

static void
afp_pipeline_make_plan (AfpPipeline *self)
{
  const guint n_threads = self->n_threads ? self->n_threads : g_get_num_processors ();
  guint64 n_records = 0;

  self->plan = afp_plan_new ();
  afp_pipeline_check_elements (self);
  if (!afp_plan_has_errors (self->plan))
    afp_pipeline_plan_sources (self);
  if (!afp_plan_has_errors (self->plan))
    afp_pipeline_check_sinks (self);
  if (!afp_plan_has_errors (self->plan))
    afp_pipeline_settle (self);
  for (guint i = 0; i < self->plan->outputs->len; i++)
    n_records += ((AfpPlanOutput *) g_ptr_array_index (self->plan->outputs, i))->tensors->len;
  afp_plan_check_memory (self->plan, afp_pipeline_get_budget (self),
                         afp_memory_get_base (n_threads, n_records), n_threads);
  self->plan_error = afp_plan_take_error (self->plan);
  if (afp_pipeline_is_cancelled (self)) {
    g_clear_error (&self->plan_error);
    self->plan_error = g_error_new_literal (AFP_ERROR, AFP_ERROR_CANCELLED, "cancelled");
  }
}

/**
 * afp_pipeline_plan:
 * @self: a pipeline
 * @error: what cannot work; all that was found is in its text
 *
 * Opens the sources (headers only) and folds every tensor through every stage, once; properties cannot change afterwards.
 *
 * Returns: (transfer none): the plan; %NULL on error
 */
AfpPlan *
afp_pipeline_plan (AfpPipeline *self, GError **error)
{
  g_return_val_if_fail (AFP_IS_PIPELINE (self), NULL);
  if (!self->plan)
    afp_pipeline_make_plan (self);
  if (!self->plan_error)
    return self->plan;
  if (error)
    *error = g_error_copy (self->plan_error);
  return NULL;
}

/**
 * afp_pipeline_cancel:
 * @self: a pipeline
 *
 * Stops planning or running as soon as possible, from any thread; the run ends with AFP_ERROR_CANCELLED.
 */
void
afp_pipeline_cancel (AfpPipeline *self)
{
  g_return_if_fail (AFP_IS_PIPELINE (self));
  g_atomic_int_set (&self->cancelled, 1);
  g_cancellable_cancel (self->cancellable);
  g_mutex_lock (&self->run_lock);
  if (self->run)
    afp_run_cancel (self->run);
  g_mutex_unlock (&self->run_lock);
}

/**
 * afp_pipeline_interrupt:
 * @self: a pipeline
 *
 * Like afp_pipeline_cancel(), but if a sink keeps what it got so that a later run can go on (write resume=true), the tensor that is at work
 * is finished first.
 *
 * Returns: whether the tensor at work is being finished
 */
gboolean
afp_pipeline_interrupt (AfpPipeline *self)
{
  gboolean running, soft = FALSE;

  g_return_val_if_fail (AFP_IS_PIPELINE (self), FALSE);
  g_mutex_lock (&self->run_lock);
  running = self->run != NULL;
  if (running)
    soft = afp_run_interrupt (self->run);
  g_mutex_unlock (&self->run_lock);
  if (!running)
    afp_pipeline_cancel (self);
  return soft;
}
