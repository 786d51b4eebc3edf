/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-memo.h"

#include "afp-digest.h"
#include "afp-identity.h"
#include "afp-pipeline-private.h"
#include "afp-pool.h"

#include <string.h>

#define FORMAT "afpipe execution 1" /* of what is kept, and of the text that makes the key */
#define ALIGN 64

struct _AfpMemo {
  AfpStore *store; /* (nullable) */
  guint64 executions, cached;
  gint analyses, analyses_cached; /* atomic */
  AfpMoments *moments;            /* (nullable): those of the last execution, */
  char *digest;                   /* and theirs */
};

AfpMemo *
afp_memo_new (const char *folder, guint64 limit)
{
  AfpMemo *self = g_new0 (AfpMemo, 1);

  self->store = folder ? afp_store_new (folder, limit) : NULL;
  return self;
}

void
afp_memo_free (AfpMemo *self)
{
  g_clear_pointer (&self->store, afp_store_free);
  g_clear_pointer (&self->moments, afp_moments_unref);
  g_free (self->digest);
  g_free (self);
}

guint64
afp_memo_get_executions (AfpMemo *self)
{
  return self->executions;
}

guint64
afp_memo_get_cached (AfpMemo *self)
{
  return self->cached;
}

void
afp_memo_count_analysis (AfpMemo *self, gboolean found)
{
  g_atomic_int_inc (&self->analyses);
  if (found)
    g_atomic_int_inc (&self->analyses_cached);
}

guint
afp_memo_get_analyses (AfpMemo *self)
{
  return (guint) g_atomic_int_get (&self->analyses);
}

guint
afp_memo_get_analyses_cached (AfpMemo *self)
{
  return (guint) g_atomic_int_get (&self->analyses_cached);
}

void
afp_memo_tell_problem (AfpMemo *self, AfpRun *run)
{
  g_autofree char *problem = self->store ? afp_store_take_problem (self->store) : NULL;

  if (problem)
    afp_run_post (run, afp_message_new (AFP_MESSAGE_WARNING, NULL, problem, NULL));
}

AfpStore *
afp_memo_get_store (AfpMemo *self)
{
  return self->store;
}

/* --- numbers ------------------------------------------------------------------------------------------------------- */

/* Tensors of one layer have the same moments one after another. */
static const char *
digest_moments (AfpMemo *self, AfpMoments *moments)
{
  const guint64 n = afp_moments_get_size (moments);
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree float *row = g_new (float, MAX (n, 1));

  if (self->moments == moments)
    return self->digest;
  if (afp_moments_is_diagonal (moments)) {
    afp_moments_read_diagonal (moments, 0, n, row);
    g_checksum_update (checksum, (const guchar *) row, (gssize) (n * sizeof *row));
  } else {
    for (guint64 r = 0; r < n; r++) {
      afp_moments_read_row (moments, r, row);
      g_checksum_update (checksum, (const guchar *) row, (gssize) ((r + 1) * sizeof *row));
    }
  }
  g_clear_pointer (&self->moments, afp_moments_unref);
  self->moments = afp_moments_ref (moments);
  g_free (self->digest);
  self->digest = g_strdup_printf ("%s %" G_GUINT64_FORMAT " %d", g_checksum_get_string (checksum),
                                  n, afp_moments_is_diagonal (moments));
  return self->digest;
}

/* --- the key ------------------------------------------------------------------------------------------------------- */

/* What an element finds out on the way must be known to be told again; and of a file only the name is known. */
static gboolean
can_keep_codec (AfpElement *codec)
{
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (codec);
  gsize n;
  g_autofree const AfpProperty **rows = afp_element_class_list_properties (klass, &n);

  if (klass->get_metrics && !(klass->save_found && klass->restore_found))
    return FALSE;
  for (gsize i = 0; i < n; i++) {
    g_autofree char *value = rows[i]->flags & AFP_PROPERTY_FILE && afp_codec_owns_property (rows[i])
                                 ? afp_element_get_property_text (codec, rows[i]->name)
                                 : NULL;
    if (value && *value)
      return FALSE;
  }
  return TRUE;
}

/* What was fitted to the whole model before, for the claim and those that it asks. FALSE: that cannot be told. */
static gboolean
add_given (GString *text, const AfpClaim *claim)
{
  if (!can_keep_codec (AFP_ELEMENT (claim->codec)))
    return FALSE;
  for (guint i = 0; claim->children && i < afp_layout_get_n_children (claim->layout); i++) {
    AfpPlane *given = afp_claim_find_given (claim, i);
    if (!claim->children[i] || !afp_claim_freezes (claim, i))
      continue;
    if (given) {
      AfpPlane *frozen = afp_plane_get_frozen (given);
      g_autoptr (GPtrArray) pieces =
          frozen ? afp_plane_to_bytes (frozen, claim->children[i]) : NULL;
      g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
      for (guint p = 0; pieces && p < pieces->len; p++)
        g_checksum_update (checksum, g_bytes_get_data (pieces->pdata[p], NULL),
                           (gssize) g_bytes_get_size (pieces->pdata[p]));
      if (!pieces)
        return FALSE;
      g_string_append_printf (text, "given %s\n", g_checksum_get_string (checksum));
    }
    if (!add_given (text, claim->children[i]))
      return FALSE;
  }
  return TRUE;
}

/* (transfer full) (nullable): NULL: it cannot be kept */
static char *
make_key (AfpMemo *self, const AfpExecution *execution)
{
  g_autoptr (GString) text = g_string_new (FORMAT "\n");
  g_autofree char *claim = afp_claim_get_canonical_text (execution->claim);
  g_autofree char *numbers = NULL, *metric = NULL;

  g_string_append_printf (text, "%s\n%s\n%s\n%d\n", afp_identity_get_machine (), execution->name,
                          claim, execution->claim->sampling);
  if (!add_given (text, execution->claim))
    return NULL;
  numbers = afp_digest_matrix (execution->matrix, execution->pool, NULL);
  if (!numbers)
    return NULL;
  if (execution->metric)
    metric = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, execution->metric);
  g_string_append_printf (text, "%s\n%s\n%s\n", numbers, metric ? metric : "",
                          execution->moments ? digest_moments (self, execution->moments) : "");
  return g_compute_checksum_for_string (G_CHECKSUM_SHA256, text->str, (gssize) text->len);
}

/* --- what codecs find out ------------------------------------------------------------------------------------------ */

/* Elements that take part and have something to tell, the claim's first. */
static void
list_finders (const AfpClaim *claim, GPtrArray *finders)
{
  if (AFP_ELEMENT_GET_CLASS (claim->codec)->save_found &&
      !g_ptr_array_find (finders, claim->codec, NULL))
    g_ptr_array_add (finders, claim->codec);
  for (guint i = 0; claim->children && i < afp_layout_get_n_children (claim->layout); i++)
    if (claim->children[i] && afp_claim_freezes (claim, i))
      list_finders (claim->children[i], finders);
}

/* (transfer full): an array of what each has found so far of the tensor that the execution is named after */
static JsonArray *
save_found (GPtrArray *finders, const char *name)
{
  JsonArray *all = json_array_new ();
  const char *end = g_strrstr (name, "/weight");
  g_autofree char *tensor =
      end ? g_strndup (name, (gsize) (end - name)) : g_strndup (name, strcspn (name, "/"));

  for (guint i = 0; i < finders->len; i++) {
    AfpElement *element = finders->pdata[i];
    JsonNode *found = AFP_ELEMENT_GET_CLASS (element)->save_found (element, tensor);
    json_array_add_element (all, found ? found : json_node_new (JSON_NODE_NULL));
  }
  return all;
}

/* Members that were there before, with the same values, are other executions'. */
static void
leave_out_old (JsonArray *all, JsonArray *before)
{
  for (guint i = 0; i < json_array_get_length (all); i++) {
    JsonNode *now = json_array_get_element (all, i), *then = json_array_get_element (before, i);
    if (!JSON_NODE_HOLDS_OBJECT (now) || !JSON_NODE_HOLDS_OBJECT (then))
      continue;
    JsonObject *object = json_node_get_object (now), *old = json_node_get_object (then);
    g_autoptr (GList) names = json_object_get_members (old);
    for (GList *l = names; l; l = l->next) {
      JsonNode *same = json_object_get_member (object, l->data);
      if (same && json_node_equal (same, json_object_get_member (old, l->data)))
        json_object_remove_member (object, l->data);
    }
  }
}

static gboolean
restore_found (GPtrArray *finders, JsonArray *all, AfpSpec *spec)
{
  gboolean ok = json_array_get_length (all) == finders->len;

  for (guint i = 0; ok && i < finders->len; i++) {
    AfpElement *element = finders->pdata[i];
    JsonNode *node = json_array_get_element (all, i);
    if (!JSON_NODE_HOLDS_OBJECT (node) || json_object_get_size (json_node_get_object (node)) == 0)
      continue;
    ok = AFP_ELEMENT_GET_CLASS (element)->restore_found (element, spec, node, NULL);
  }
  return ok;
}

/* --- keep and take ------------------------------------------------------------------------------------------------- */

/* 64 bytes: the length of what was found, as JSON; that, padded to 64 bytes with spaces; the plane. */
static void
keep (AfpMemo *self, const char *key, const AfpExecution *execution, AfpPlane *plane,
      JsonArray *found)
{
  g_autoptr (GPtrArray) pieces = afp_plane_to_bytes (plane, execution->claim);
  g_autoptr (JsonNode) node = json_node_init_array (json_node_alloc (), found);
  g_autofree char *text = json_to_string (node, FALSE);
  const gsize length = strlen (text), padded = (length + ALIGN - 1) / ALIGN * ALIGN;

  if (!pieces)
    return;
  guint8 *head = g_malloc0 (ALIGN + padded);
  const guint64 word = GUINT64_TO_LE ((guint64) padded);
  memcpy (head, &word, sizeof word);
  memset (head + ALIGN, ' ', padded);
  memcpy (head + ALIGN, text, length);
  g_ptr_array_insert (pieces, 0, g_bytes_new_take (head, ALIGN + padded));
  afp_store_put (self->store, key, pieces);
}

static AfpPlane *
take (AfpMemo *self, const char *key, const AfpExecution *execution, GPtrArray *finders)
{
  g_autoptr (GBytes) bytes = afp_store_get (self->store, key);
  gsize size = 0;
  const guint8 *data = bytes ? g_bytes_get_data (bytes, &size) : NULL;
  guint64 length;

  if (size < ALIGN)
    return NULL;
  memcpy (&length, data, sizeof length);
  length = GUINT64_FROM_LE (length);
  if (length > size - ALIGN)
    return NULL;
  g_autofree char *text = g_strndup ((const char *) data + ALIGN, length);
  g_autoptr (JsonNode) node = json_from_string (text, NULL);
  g_autoptr (GBytes) rest =
      g_bytes_new_from_bytes (bytes, ALIGN + length, size - ALIGN - (gsize) length);
  g_autoptr (AfpPlane) plane = afp_plane_from_bytes (rest, execution->claim);
  if (!plane || !node || !JSON_NODE_HOLDS_ARRAY (node) ||
      !restore_found (finders, json_node_get_array (node), execution->spec))
    return NULL;
  return g_steal_pointer (&plane);
}

static AfpPlane *
encode_as_it_is (const AfpExecution *execution, gpointer user_data, GError **error)
{
  return afp_claim_encode (execution->claim, execution->matrix,
                           execution->metric ? g_bytes_get_data (execution->metric, NULL) : NULL,
                           execution->name, execution->pool, error);
}

/**
 * afp_memo_execute:
 * @self: a memo
 * @execution: what is to be done
 * @func: (nullable): does it, where nothing is kept of it; %NULL: afp_claim_encode()
 * @user_data: for @func
 * @error: what @func reports
 *
 * Of an execution on a sample, before the first tensor, the result is kept as of any other, but it is not counted.
 *
 * Returns: (transfer full): the coded plane
 */
AfpPlane *
afp_memo_execute (AfpMemo *self, const AfpExecution *execution, AfpExecuteFunc func,
                  gpointer user_data, GError **error)
{
  const gboolean counts = !execution->claim->sampling;
  g_autofree char *key = self->store ? make_key (self, execution) : NULL;
  g_autoptr (GPtrArray) finders = g_ptr_array_new ();

  self->executions += counts;
  if (!func)
    func = encode_as_it_is;
  if (!key)
    return func (execution, user_data, error);
  list_finders (execution->claim, finders);
  AfpPlane *plane = take (self, key, execution, finders);
  if (plane) {
    self->cached += counts;
    return plane;
  }
  g_autoptr (JsonArray) before = save_found (finders, execution->name);
  plane = func (execution, user_data, error);
  if (!plane)
    return NULL;
  g_autoptr (JsonArray) found = save_found (finders, execution->name);
  leave_out_old (found, before);
  keep (self, key, execution, plane, found);
  return plane;
}

/**
 * afp_pipeline_set_cache:
 * @self: a pipeline, before it runs
 * @folder: (nullable) (type filename): where results of stages are kept for later runs, and found again; made where it is missing.
 *   %NULL: nowhere
 * @limit: bytes that may be kept there
 *
 * What comes out is the same with a folder and without. Any number of runs may use one folder at once.
 */
void
afp_pipeline_set_cache (AfpPipeline *self, const char *folder, guint64 limit)
{
  g_return_if_fail (AFP_IS_PIPELINE (self) && !self->used);
  afp_memo_free (self->memo);
  self->memo = afp_memo_new (folder, limit);
}
