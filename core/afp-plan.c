/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-plan-private.h"

#include "afp-error.h"
#include "afp-source.h"
#include "afp-table.h"

#define AFP_PLAN_MAX_ERRORS 20

G_DEFINE_BOXED_TYPE (AfpPlan, afp_plan, afp_plan_ref, afp_plan_unref)

static void
afp_plan_claim_free (AfpPlanClaim *claim)
{
  g_free (claim->path);
  g_free (claim->what);
  g_free (claim->why);
  g_free (claim);
}

static void
afp_plan_stage_free (AfpPlanStage *stage)
{
  g_hash_table_unref (stage->claim_index);
  g_ptr_array_unref (stage->claims);
  g_hash_table_unref (stage->seen_in);
  g_hash_table_unref (stage->seen_out);
  g_object_unref (stage->element);
  g_free (stage);
}

static void
afp_plan_recipe_free (AfpPlanRecipe *recipe)
{
  g_free (recipe->text);
  g_free (recipe);
}

static void
afp_plan_tensor_clear (gpointer data)
{
  AfpPlanTensor *tensor = data;

  afp_spec_unref (tensor->spec);
}

static void
afp_plan_output_free (AfpPlanOutput *output)
{
  g_array_unref (output->tensors);
  g_hash_table_unref (output->recipe_index);
  g_hash_table_unref (output->seen);
  g_ptr_array_unref (output->recipes);
  g_object_unref (output->element);
  g_free (output);
}

/**
 * afp_plan_new:
 *
 * Returns: (transfer full): an empty plan
 */
AfpPlan *
afp_plan_new (void)
{
  AfpPlan *plan = g_new0 (AfpPlan, 1);

  plan->ref_count = 1;
  plan->stages = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_plan_stage_free);
  plan->outputs = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_plan_output_free);
  plan->memory = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  plan->elements = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  plan->names = g_ptr_array_new ();
  plan->held = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) afp_plane_unref, g_free);
  plan->n_threads = 1;
  plan->errors = g_ptr_array_new_with_free_func ((GDestroyNotify) g_error_free);
  return plan;
}

AfpPlan *
afp_plan_ref (AfpPlan *plan)
{
  g_return_val_if_fail (plan, NULL);
  g_atomic_int_inc (&plan->ref_count);
  return plan;
}

void
afp_plan_unref (AfpPlan *plan)
{
  if (!plan || !g_atomic_int_dec_and_test (&plan->ref_count))
    return;
  g_ptr_array_unref (plan->stages);
  g_ptr_array_unref (plan->outputs);
  g_ptr_array_unref (plan->names);
  g_free (plan->judge_name);
  g_hash_table_unref (plan->memory);
  g_hash_table_unref (plan->elements);
  g_hash_table_unref (plan->held);
  g_ptr_array_unref (plan->errors);
  g_free (plan);
}

AfpPlanStage *
afp_plan_find_stage (AfpPlan *plan, AfpElement *element)
{
  for (guint i = 0; i < plan->stages->len; i++) {
    AfpPlanStage *stage = g_ptr_array_index (plan->stages, i);

    if (stage->element == element)
      return stage;
  }
  return NULL;
}

AfpPlanStage *
afp_plan_add_stage (AfpPlan *plan, AfpElement *element)
{
  AfpPlanStage *stage = afp_plan_find_stage (plan, element);

  if (stage)
    return stage;
  stage = g_new0 (AfpPlanStage, 1);
  stage->element = g_object_ref (element);
  stage->exact_in = stage->exact_out = TRUE;
  stage->seen_in = g_hash_table_new (NULL, NULL);
  stage->seen_out = g_hash_table_new (NULL, NULL);
  stage->claims = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_plan_claim_free);
  stage->claim_index = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_ptr_array_add (plan->stages, stage);
  return stage;
}

AfpPlanOutput *
afp_plan_find_output (AfpPlan *plan, AfpElement *sink)
{
  for (guint i = 0; i < plan->outputs->len; i++) {
    AfpPlanOutput *output = g_ptr_array_index (plan->outputs, i);

    if (output->element == sink)
      return output;
  }
  return NULL;
}

static AfpPlanOutput *
afp_plan_add_output (AfpPlan *plan, AfpElement *sink)
{
  AfpPlanOutput *output = afp_plan_find_output (plan, sink);

  if (output)
    return output;
  output = g_new0 (AfpPlanOutput, 1);
  output->element = g_object_ref (sink);
  output->exact = TRUE;
  output->tensors = g_array_new (FALSE, FALSE, sizeof (AfpPlanTensor));
  g_array_set_clear_func (output->tensors, afp_plan_tensor_clear);
  output->recipes = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_plan_recipe_free);
  output->recipe_index = g_hash_table_new (g_str_hash, g_str_equal);
  output->seen = g_hash_table_new (NULL, NULL);
  g_ptr_array_add (plan->outputs, output);
  return output;
}

/**
 * afp_plan_note_claim:
 * @plan: a plan
 * @element: who took or refused
 * @spec: of the tensor
 * @path: of the plane
 * @taken: %TRUE if @element takes the plane
 * @bytes: what the plane costs if @element takes it
 * @exact: %FALSE if @bytes is an upper bound
 * @fallback_bytes: what the plane's fallback costs
 * @what: (nullable): the codec call, with nested ones
 * @why: (nullable): the reason of a refusal
 */
void
afp_plan_note_claim (AfpPlan *plan, AfpElement *element, AfpSpec *spec, const char *path,
                     gboolean taken, guint64 bytes, gboolean exact, guint64 fallback_bytes,
                     const char *what, const char *why)
{
  AfpPlanStage *stage = afp_plan_add_stage (plan, element);
  g_autofree char *key =
      g_strjoin ("\n", taken ? "+" : "-", path ? path : "", what ? what : "", why ? why : "", NULL);
  AfpPlanClaim *claim = g_hash_table_lookup (stage->claim_index, key);

  if (!claim) {
    claim = g_new0 (AfpPlanClaim, 1);
    claim->path = g_strdup (path ? path : "");
    claim->taken = taken;
    claim->exact = TRUE;
    claim->what = g_strdup (what ? what : "");
    claim->why = g_strdup (why ? why : "");
    g_ptr_array_add (stage->claims, claim);
    g_hash_table_insert (stage->claim_index, g_steal_pointer (&key), claim);
  }
  claim->tensors++;
  claim->bytes += bytes;
  claim->fallback_bytes += fallback_bytes;
  claim->exact = claim->exact && exact;
}

/**
 * afp_plan_note_tensor:
 * @plan: a plan
 * @element: a stage
 * @in: (nullable): what comes in; %NULL: @element is a source
 * @out: (nullable): what goes out; %NULL: nothing
 */
void
afp_plan_note_tensor (AfpPlan *plan, AfpElement *element, AfpTensor *in, AfpTensor *out)
{
  AfpPlanStage *stage = afp_plan_add_stage (plan, element);
  AfpSize size;

  if (in) {
    afp_tensor_get_size_once (in, stage->seen_in, &size);
    stage->tensors_in++;
    stage->bytes_in += size.total;
    stage->exact_in = stage->exact_in && size.exact;
  } else if (AFP_IS_SOURCE (element)) {
    plan->n_tensors++;
  }
  if (out) {
    afp_tensor_get_size_once (out, stage->seen_out, &size);
    stage->tensors_out++;
    stage->bytes_out += size.total;
    stage->exact_out = stage->exact_out && size.exact;
  }
}

/**
 * afp_plan_note_output:
 * @plan: a plan
 * @sink: where the tensor ends
 * @tensor: planned and finalized
 */
void
afp_plan_note_output (AfpPlan *plan, AfpElement *sink, AfpTensor *tensor)
{
  AfpPlanStage *stage = afp_plan_add_stage (plan, sink);
  AfpPlanOutput *output = afp_plan_add_output (plan, sink);
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  g_autofree char *text = afp_tensor_get_recipe (tensor);
  AfpPlanTensor entry = { .spec = afp_spec_ref (spec) };
  AfpPlanRecipe *recipe;
  gpointer found;

  afp_tensor_get_size_once (tensor, output->seen, &entry.size);
  stage->tensors_in++;
  stage->bytes_in += entry.size.total;
  stage->exact_in = stage->exact_in && entry.size.exact;
  if (g_hash_table_lookup_extended (output->recipe_index, text, NULL, &found)) {
    entry.recipe = GPOINTER_TO_UINT (found);
    recipe = g_ptr_array_index (output->recipes, entry.recipe);
  } else {
    entry.recipe = output->recipes->len;
    recipe = g_new0 (AfpPlanRecipe, 1);
    recipe->text = g_steal_pointer (&text);
    recipe->bytes = afp_size_recipe_bytes (recipe->text);
    output->bytes += recipe->bytes;
    g_ptr_array_add (output->recipes, recipe);
    g_hash_table_insert (output->recipe_index, recipe->text, GUINT_TO_POINTER (entry.recipe));
  }
  recipe->tensors++;
  recipe->bytes += entry.size.total;
  output->bytes += entry.size.total;
  output->exact = output->exact && entry.size.exact;
  if (!afp_spec_get_alias_of (spec)) {
    output->weights += afp_spec_get_n_elements (spec);
    output->raw_bytes += afp_spec_get_n_bytes (spec);
  }
  g_array_append_val (output->tensors, entry);
}

void
afp_plan_note_files (AfpPlan *plan, AfpElement *sink, guint n_files)
{
  afp_plan_add_output (plan, sink)->files = n_files;
}

void
afp_plan_add_error (AfpPlan *plan, GError *error)
{
  g_return_if_fail (error);
  g_ptr_array_add (plan->errors, error);
}

gboolean
afp_plan_has_errors (AfpPlan *plan)
{
  return plan->errors->len > 0;
}

gsize
afp_plan_get_n_tensors (AfpPlan *plan)
{
  g_return_val_if_fail (plan, 0);
  return plan->n_tensors;
}

/**
 * afp_plan_get_total_bytes:
 * @plan: a plan
 * @sink: a sink
 * @exact: (out) (optional): %FALSE if it is an upper bound
 *
 * Returns: bytes of all tensors that reach @sink, shared recipes included
 */
guint64
afp_plan_get_total_bytes (AfpPlan *plan, AfpElement *sink, gboolean *exact)
{
  AfpPlanOutput *output = afp_plan_find_output (plan, sink);

  if (exact)
    *exact = output ? output->exact : TRUE;
  return output ? output->bytes : 0;
}

GError *
afp_errors_join (GPtrArray *errors, guint most)
{
  GError *first;
  GString *text;

  if (errors->len == 0) {
    g_ptr_array_unref (errors);
    return NULL;
  }
  first = g_error_copy (g_ptr_array_index (errors, 0));
  text = g_string_new (first->message);
  for (guint i = 1; i < MIN (errors->len, most); i++) {
    GError *other = g_ptr_array_index (errors, i);

    g_string_append_printf (text, "\nalso: %s", other->message);
  }
  if (errors->len > most)
    g_string_append_printf (text, "\nand %u more", errors->len - most);
  g_free (first->message);
  first->message = g_string_free (text, FALSE);
  g_ptr_array_unref (errors);
  return first;
}

/**
 * afp_plan_take_error:
 * @plan: a plan
 *
 * Returns: (transfer full) (nullable): the first error with the others in its text; the plan has none afterwards
 */
GError *
afp_plan_take_error (AfpPlan *plan)
{
  GPtrArray *errors = plan->errors;

  plan->errors = g_ptr_array_new_with_free_func ((GDestroyNotify) g_error_free);
  return afp_errors_join (errors, AFP_PLAN_MAX_ERRORS);
}
