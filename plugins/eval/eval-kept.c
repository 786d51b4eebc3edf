/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-kept.h"

#include "eval-spill.h"

typedef struct {
  AfpTensor *tensor; /* with its data, or planned; NULL: the source gives it */
  GArray *places; /* of EvalPlace, of each leaf that has data, in order; NULL: they are in memory */
} Entry;

struct _EvalKept {
  AfpRun *run;
  GMutex lock; /* of all below */
  GHashTable *entries;
  GHashTable *shared; /* names of shared planes that are in memory */
  GHashTable *places; /* of those in the file -> EvalPlace */
  guint64 memory;
  gboolean differs; /* a tensor is not what its source has */
  EvalSpill *spill; /* NULL: not needed so far */
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_clear_pointer (&entry->tensor, afp_tensor_unref);
  g_clear_pointer (&entry->places, g_array_unref);
  g_free (entry);
}

EvalKept *
eval_kept_new (AfpRun *run)
{
  EvalKept *kept = g_new0 (EvalKept, 1);

  kept->run = run;
  g_mutex_init (&kept->lock);
  kept->entries = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, entry_free);
  kept->shared = g_hash_table_new (NULL, NULL);
  kept->places = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  return kept;
}

void
eval_kept_free (EvalKept *kept)
{
  g_clear_pointer (&kept->spill, eval_spill_free);
  g_hash_table_unref (kept->entries);
  g_hash_table_unref (kept->shared);
  g_hash_table_unref (kept->places);
  g_mutex_clear (&kept->lock);
  g_free (kept);
}

gboolean
eval_kept_differs (EvalKept *kept)
{
  return kept->differs;
}

guint64
eval_kept_get_memory (EvalKept *kept)
{
  return kept->memory;
}

guint64
eval_kept_get_spilled (EvalKept *kept)
{
  return kept->spill ? eval_spill_get_size (kept->spill) : 0;
}

/* --- keeping ------------------------------------------------------------------------------------------------------ */

typedef struct {
  EvalKept *kept;
  Entry *entry;
  guint next; /* leaf, when they are read again */
} Walk;

/* Bytes of a leaf that nothing else keeps. */
static guint64
count_leaf (EvalKept *kept, AfpPlane *leaf)
{
  GBytes *data = afp_plane_get_data (leaf);
  const char *shared = afp_plane_get_desc (leaf)->shared;

  return !data || afp_mapped_contains (data) ||
                 (shared && g_hash_table_contains (kept->shared, shared))
             ? 0
             : g_bytes_get_size (data);
}

typedef struct {
  EvalKept *kept;
  guint64 bytes;
} Count;

static gboolean
add_leaf (AfpPlane *plane, const char *path, gpointer user_data)
{
  Count *count = user_data;

  if (!afp_plane_get_codec (plane))
    count->bytes += count_leaf (count->kept, plane);
  return TRUE;
}

static gboolean
note_shared (AfpPlane *plane, const char *path, gpointer user_data)
{
  const char *shared = afp_plane_get_desc (plane)->shared;

  if (!afp_plane_get_codec (plane) && shared)
    g_hash_table_add (user_data, (gpointer) shared);
  return TRUE;
}

static GBytes *
spill_leaf (AfpPlane *leaf, gpointer user_data, GError **error)
{
  Walk *walk = user_data;
  EvalKept *kept = walk->kept;
  GBytes *data = afp_plane_get_data (leaf);
  const char *shared = afp_plane_get_desc (leaf)->shared;
  const EvalPlace *known = shared ? g_hash_table_lookup (kept->places, shared) : NULL;
  EvalPlace place = { 0, 0 };

  if (!data)
    return NULL;
  if (known)
    place = *known;
  else if (!eval_spill_append (kept->spill, g_bytes_get_data (data, NULL), g_bytes_get_size (data),
                               &place, error))
    return NULL;
  if (shared && !known)
    g_hash_table_insert (kept->places, (gpointer) shared, g_memdup2 (&place, sizeof place));
  g_array_append_val (walk->entry->places, place);
  return NULL;
}

/* Into the file, and the tensor as it is planned into the entry. */
static gboolean
spill (EvalKept *kept, AfpTensor *final, Entry *entry, GError **error)
{
  Walk walk = { kept, entry, 0 };

  if (!kept->spill && !(kept->spill = eval_spill_new (error)))
    return FALSE;
  entry->places = g_array_new (FALSE, FALSE, sizeof (EvalPlace));
  g_autoptr (AfpPlane) root =
      afp_plane_with_data (afp_tensor_get_root (final), spill_leaf, &walk, error);
  if (!root)
    return FALSE;
  entry->tensor = afp_tensor_new_with_root (final, root);
  return TRUE;
}

static gboolean
add_locked (EvalKept *kept, AfpTensor *final, Entry *entry, GError **error)
{
  AfpPlane *root = afp_tensor_get_root (final);
  Count count = { kept, 0 };

  afp_plane_foreach (root, add_leaf, &count);
  if (count.bytes > 0 && root == afp_tensor_get_original (final))
    return TRUE; /* from memory that the source can fill again */
  if (kept->run && count.bytes > 0 && !afp_run_keep_memory (kept->run, count.bytes))
    return spill (kept, final, entry, error);
  afp_plane_foreach (root, note_shared, kept->shared);
  kept->memory += count.bytes;
  /* Without the original: the array that it was made of need not stay. */
  g_autoptr (AfpTensor) bare = afp_tensor_new (afp_tensor_get_spec (final), root);
  entry->tensor = g_steal_pointer (&bare);
  return TRUE;
}

gboolean
eval_kept_add (EvalKept *kept, AfpTensor *final, GError **error)
{
  const char *name = afp_spec_get_name (afp_tensor_get_spec (final));
  const char *alias = afp_spec_get_alias_of (afp_tensor_get_spec (final));
  Entry *entry = g_new0 (Entry, 1);

  g_mutex_lock (&kept->lock);
  const Entry *same = alias ? g_hash_table_lookup (kept->entries, alias) : NULL;
  gboolean ok = TRUE;
  kept->differs = kept->differs || afp_tensor_get_root (final) != afp_tensor_get_original (final);
  if (same) {
    if (same->tensor) /* the same planes, by its own name */
      entry->tensor =
          afp_tensor_new (afp_tensor_get_spec (final), afp_tensor_get_root (same->tensor));
    entry->places = same->places ? g_array_ref (same->places) : NULL;
  } else {
    ok = add_locked (kept, final, entry, error);
  }
  if (ok)
    g_hash_table_insert (kept->entries, g_strdup (name), g_steal_pointer (&entry));
  g_mutex_unlock (&kept->lock);
  if (entry)
    entry_free (entry);
  return ok;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static GBytes *
read_leaf (AfpPlane *leaf, gpointer user_data, GError **error)
{
  Walk *walk = user_data;

  return eval_spill_map (walk->kept->spill,
                         &g_array_index (walk->entry->places, EvalPlace, walk->next++), error);
}

static AfpTensor *
read_entry (EvalKept *kept, Entry *entry, GError **error)
{
  Walk walk = { kept, entry, 0 };

  if (!entry->places)
    return afp_tensor_ref (entry->tensor);
  g_autoptr (AfpPlane) root =
      afp_plane_with_data (afp_tensor_get_root (entry->tensor), read_leaf, &walk, error);
  return root ? afp_tensor_new (afp_tensor_get_spec (entry->tensor), root) : NULL;
}

gboolean
eval_kept_get (EvalKept *kept, const char *name, AfpTensor **tensor, GError **error)
{
  g_mutex_lock (&kept->lock);
  Entry *entry = g_hash_table_lookup (kept->entries, name);
  GError *local = NULL;

  *tensor = entry && entry->tensor ? read_entry (kept, entry, &local) : NULL;
  g_mutex_unlock (&kept->lock);
  if (local)
    g_propagate_error (error, local);
  return entry != NULL && local == NULL;
}
