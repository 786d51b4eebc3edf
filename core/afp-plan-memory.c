/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-plan-private.h"

#include "afp-codec-private.h"
#include "afp-error.h"
#include "afp-table.h"

/*
 * The memory of a run, per tensor. While a tensor is planned, its planes are held and dropped as they will be in the run: each
 * stage has what came in and what goes out, and what sinks were handed stays. A plane that two tensors share counts once.
 */
typedef struct {
  guint holders;
  guint64 bytes;
  gboolean frozen;
} HeldPlane;

/* --- planes ------------------------------------------------------------------------------------------------------- */

static HeldPlane *
find_held (AfpPlan *plan, AfpPlane *plane)
{
  HeldPlane *held = g_hash_table_lookup (plan->held, plane);

  if (!held) {
    held = g_new0 (HeldPlane, 1);
    held->bytes = G_MAXUINT64; /* not known yet */
    g_hash_table_insert (plan->held, afp_plane_ref (plane), held);
  }
  return held;
}

void
afp_plan_note_plane (AfpPlan *plan, AfpPlane *plane, guint64 bytes, gboolean frozen)
{
  HeldPlane *held = find_held (plan, plane);

  held->bytes = bytes;
  held->frozen = frozen;
}

gboolean
afp_plan_plane_is_frozen (AfpPlan *plan, AfpPlane *plane)
{
  const HeldPlane *held = g_hash_table_lookup (plan->held, plane);

  return held && held->frozen;
}

static guint64
plane_bytes (const AfpPlaneDesc *desc, AfpSpec *spec)
{
  if (desc->kind == AFP_KIND_CODE)
    return afp_plane_desc_bytes (desc);
  return afp_plane_desc_is_array (desc) ? afp_spec_get_n_bytes (spec)
                                        : afp_plane_desc_memory (desc);
}

typedef struct {
  AfpPlan *plan;
  AfpSpec *spec;
  gboolean drop;
} HoldWalk;

static gboolean
hold_plane (AfpPlane *plane, const char *path, gpointer user_data)
{
  HoldWalk *walk = user_data;

  if (afp_plane_get_codec (plane))
    return TRUE;
  HeldPlane *held = find_held (walk->plan, plane);
  if (held->bytes == G_MAXUINT64)
    held->bytes = plane_bytes (afp_plane_get_desc (plane), walk->spec);
  if (walk->drop && --held->holders == 0)
    walk->plan->live -= held->bytes;
  if (!walk->drop && held->holders++ == 0)
    walk->plan->live += held->bytes;
  return TRUE;
}

static void
hold_tensor (AfpPlan *plan, AfpTensor *tensor, gboolean drop)
{
  HoldWalk walk = { plan, afp_tensor_get_spec (tensor), drop };
  AfpPlane *root = afp_tensor_get_root (tensor), *original = afp_tensor_get_original (tensor);

  afp_plane_foreach (root, hold_plane, &walk);
  walk.spec = afp_tensor_get_original_spec (tensor);
  if (original && original != root)
    afp_plane_foreach (original, hold_plane, &walk);
}

static AfpPlanMemory *
find_memory (AfpPlan *plan, AfpSpec *spec)
{
  const char *name = afp_spec_get_name (spec);
  AfpPlanMemory *memory = plan->current ? plan->current : g_hash_table_lookup (plan->memory, name);

  if (!memory) {
    char *key = g_strdup (name);

    memory = g_new0 (AfpPlanMemory, 1);
    g_hash_table_insert (plan->memory, key, memory);
    g_ptr_array_add (plan->names, key);
  }
  return memory;
}

/* --- elements ------------------------------------------------------------------------------------------------------ */

AfpElement *
afp_plan_set_element (AfpPlan *plan, AfpElement *element)
{
  AfpElement *before = plan->element;

  plan->element = element;
  return before;
}

/* The element holds so much, beside what each of its threads works with. */
static void
note_element (AfpPlan *plan, AfpElement *element, guint64 all, guint64 per_thread)
{
  AfpPlanMemory *memory = element ? g_hash_table_lookup (plan->elements, element) : NULL;

  if (!element)
    return;
  if (!memory) {
    memory = g_new0 (AfpPlanMemory, 1);
    g_hash_table_insert (plan->elements, element, memory);
  }
  memory->all = MAX (memory->all, all);
  memory->per_thread = MAX (memory->per_thread, per_thread);
}

/* --- tensors ------------------------------------------------------------------------------------------------------- */

void
afp_plan_hold (AfpPlan *plan, AfpTensor *tensor)
{
  AfpPlanMemory *memory = find_memory (plan, afp_tensor_get_spec (tensor));

  hold_tensor (plan, tensor, FALSE);
  memory->kept = MAX (memory->kept, plan->live);
  memory->all = MAX (memory->all, plan->live + plan->working);
  note_element (plan, plan->element, plan->live + plan->working, 0);
  plan->working = 0;
}

void
afp_plan_drop (AfpPlan *plan, AfpTensor *tensor)
{
  hold_tensor (plan, tensor, TRUE);
}

static gboolean
note_mapped (AfpPlane *plane, const char *path, gpointer user_data)
{
  if (!afp_plane_get_codec (plane))
    afp_plan_note_plane (user_data, plane, 0, FALSE);
  return TRUE;
}

/**
 * afp_plan_begin_tensor: (skip)
 * @plan: a plan
 * @tensor: of a source, planned
 * @bytes: what it takes of memory when it is read: 0 if it is mapped
 *
 * All that is noted until afp_plan_end_tensor() is about this tensor.
 */
void
afp_plan_begin_tensor (AfpPlan *plan, AfpTensor *tensor, guint64 bytes)
{
  AfpPlane *root = afp_tensor_get_root (tensor);

  plan->current = find_memory (plan, afp_tensor_get_spec (tensor));
  afp_plane_foreach (root, note_mapped, plan);
  if (!afp_plane_get_codec (root))
    afp_plan_note_plane (plan, root, bytes, FALSE);
  else
    plan->live = bytes;
  afp_plan_hold (plan, tensor);
}

void
afp_plan_end_tensor (AfpPlan *plan)
{
  plan->current->after = MAX (plan->current->after, plan->live);
  plan->current = NULL;
  afp_plan_set_element (plan, NULL);
  plan->live = plan->working = 0;
  g_hash_table_remove_all (plan->held);
}

/* --- what stages work with ----------------------------------------------------------------------------------------- */

/**
 * afp_plan_note_memory:
 * @plan: a plan
 * @spec: of the tensor
 * @bytes: what a stage works with while it has the tensor, beside the planes that come in and go out
 */
void
afp_plan_note_memory (AfpPlan *plan, AfpSpec *spec, guint64 bytes)
{
  AfpPlanMemory *memory = find_memory (plan, spec);

  memory->all = MAX (memory->all, plan->live + bytes);
  note_element (plan, plan->element, plan->live + bytes, 0);
  plan->working = MAX (plan->working, bytes);
}

/**
 * afp_plan_note_thread_memory:
 * @plan: a plan
 * @spec: of the tensor
 * @bytes: what each thread of a stage works with, beside what is noted by afp_plan_note_memory()
 */
void
afp_plan_note_thread_memory (AfpPlan *plan, AfpSpec *spec, guint64 bytes)
{
  AfpPlanMemory *memory = find_memory (plan, spec);

  memory->per_thread = MAX (memory->per_thread, bytes);
  note_element (plan, plan->element, plan->live, bytes);
}

/* A float plane that a fallback codes. */
static gboolean
note_fallback (AfpPlane *plane, const char *path, gpointer user_data)
{
  const HoldWalk *walk = user_data;
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);

  if (afp_plane_get_codec (plane) || !afp_plane_desc_is_float (desc) ||
      afp_plane_desc_is_array (desc))
    return TRUE;
  g_autoptr (AfpClaim) claim = afp_claim_new_fallback (desc, NULL);
  AfpCodecMemory memory = { 0 };
  if (claim)
    afp_claim_get_memory (claim, &memory);
  afp_plan_note_memory (walk->plan, walk->spec, memory.fixed);
  afp_plan_note_thread_memory (walk->plan, walk->spec, memory.per_thread);
  return TRUE;
}

void
afp_plan_note_finalize (AfpPlan *plan, AfpTensor *tensor)
{
  HoldWalk walk = { plan, afp_tensor_get_spec (tensor), FALSE };

  afp_plane_foreach (afp_tensor_get_root (tensor), note_fallback, &walk);
}

/**
 * afp_plan_note_decode:
 * @plan: a plan
 * @tensor: what comes to a stage, planned
 * @finalized: @tensor finalized
 *
 * The stage finalizes @tensor and reads the numbers of the result, tile by tile.
 */
void
afp_plan_note_decode (AfpPlan *plan, AfpTensor *tensor, AfpTensor *finalized)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  AfpCodecMemory memory = { 0 };
  const guint64 live = plan->live;

  afp_plan_note_finalize (plan, tensor);
  hold_tensor (plan, finalized, FALSE);
  afp_plane_get_decode_memory (afp_tensor_get_root (finalized), &memory);
  memory.fixed += plan->live - live;
  hold_tensor (plan, finalized, TRUE);
  afp_plan_note_memory (plan, spec, memory.fixed);
  afp_plan_note_thread_memory (plan, spec, memory.per_thread);
}

/**
 * afp_plan_note_standing_memory:
 * @plan: a plan
 * @bytes: what an element keeps from one tensor to the next, beside what others keep
 */
void
afp_plan_note_standing_memory (AfpPlan *plan, guint64 bytes)
{
  plan->standing += bytes;
}

/**
 * afp_plan_note_judge_memory:
 * @plan: a plan
 * @element: an element that judges the whole model
 * @bytes: what it works with then at least, when all tensors have passed
 */
void
afp_plan_note_judge_memory (AfpPlan *plan, AfpElement *element, guint64 bytes)
{
  note_element (plan, element, bytes, 0);
  if (bytes <= plan->judge)
    return;
  plan->judge = bytes;
  g_free (plan->judge_name);
  plan->judge_name = g_strdup (afp_element_get_name (element));
}

/* --- the sums ------------------------------------------------------------------------------------------------------ */

static guint64
sum_of (const AfpPlanMemory *memory, guint n_threads)
{
  return memory->all + n_threads * memory->per_thread;
}

guint64
afp_plan_get_element_memory (AfpPlan *plan, AfpElement *element)
{
  const AfpPlanMemory *memory = g_hash_table_lookup (plan->elements, element);

  return memory ? sum_of (memory, plan->n_threads) : 0;
}

guint64
afp_plan_get_peak_memory (AfpPlan *plan, const char **name)
{
  guint64 peak = 0;

  if (name)
    *name = NULL;
  for (guint i = 0; i < plan->names->len; i++) {
    const char *key = g_ptr_array_index (plan->names, i);
    const guint64 bytes = sum_of (g_hash_table_lookup (plan->memory, key), plan->n_threads);

    if (bytes > peak) {
      peak = bytes;
      if (name)
        *name = key;
    }
  }
  return peak;
}

void
afp_plan_get_ticket (AfpPlan *plan, AfpSpec *spec, guint64 *kept, guint64 *working, guint64 *after)
{
  const AfpPlanMemory *memory = g_hash_table_lookup (plan->memory, afp_spec_get_name (spec));

  *kept = memory ? memory->kept : 0;
  *working = memory ? sum_of (memory, plan->n_threads) - memory->kept : 0;
  *after = memory ? memory->after : 0;
}

/* As many threads as the tensors leave room for, at least one. */
static guint
choose_threads (AfpPlan *plan, guint n_threads, guint64 room)
{
  for (guint i = 0; i < plan->names->len; i++) {
    const AfpPlanMemory *memory =
        g_hash_table_lookup (plan->memory, g_ptr_array_index (plan->names, i));

    while (n_threads > 1 && sum_of (memory, n_threads) > room)
      n_threads--;
  }
  return n_threads;
}

static void
refuse_tensor (AfpPlan *plan, const char *name, guint64 bytes, guint64 budget)
{
  g_autofree char *need = afp_format_bytes (bytes + plan->base);
  g_autofree char *own = afp_format_bytes (bytes), *base = afp_format_bytes (plan->base);
  g_autofree char *have = afp_format_bytes (budget);

  afp_plan_add_error (
      plan,
      g_error_new (AFP_ERROR, AFP_ERROR_MEMORY,
                   "tensor '%s' needs %s (%" G_GUINT64_FORMAT
                   " bytes) of memory, %s for itself and %s for the process, but the budget is "
                   "%s (%" G_GUINT64_FORMAT
                   " bytes): raise --max-mem, or leave the tensor out of the codec with "
                   "exclude='%s'",
                   name, need, bytes + plan->base, own, base, have, budget, name));
}

static void
check_judge (AfpPlan *plan, guint64 budget)
{
  g_autofree char *need = afp_format_bytes (plan->judge), *base = afp_format_bytes (plan->base);
  g_autofree char *have = afp_format_bytes (budget);

  if (plan->base + plan->judge > budget)
    afp_plan_add_error (
        plan,
        g_error_new (AFP_ERROR, AFP_ERROR_MEMORY,
                     "%s needs %s (%" G_GUINT64_FORMAT
                     " bytes) of memory to run the model layer by layer, beside %s for the "
                     "process, but the budget is %s (%" G_GUINT64_FORMAT " bytes): raise --max-mem",
                     plan->judge_name, need, plan->judge, base, have, budget));
}

void
afp_plan_check_memory (AfpPlan *plan, guint64 budget, guint64 base, guint n_threads)
{
  base += plan->standing;
  const guint64 room = budget > base ? budget - base : 0;

  plan->base = base;
  plan->n_threads = choose_threads (plan, MAX (n_threads, 1), room);
  if (room == 0) {
    g_autofree char *have = afp_format_bytes (budget), *need = afp_format_bytes (base);

    afp_plan_add_error (plan, g_error_new (AFP_ERROR, AFP_ERROR_MEMORY,
                                           "the budget is %s (%" G_GUINT64_FORMAT
                                           " bytes), but the process takes %s (%" G_GUINT64_FORMAT
                                           " bytes) without any tensor: raise --max-mem",
                                           have, budget, need, base));
    return;
  }
  check_judge (plan, budget);
  for (guint i = 0; i < plan->names->len; i++) {
    const char *key = g_ptr_array_index (plan->names, i);
    const guint64 bytes = sum_of (g_hash_table_lookup (plan->memory, key), plan->n_threads);

    if (bytes > room)
      refuse_tensor (plan, key, bytes, budget);
  }
}
