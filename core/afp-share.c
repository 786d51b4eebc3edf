/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec-private.h"
#include "afp-error.h"

/*
 * Planes that tensors share. A codec marks a child in its layout; here it gets a name that is the same for all planes of the
 * same layout, and so do the planes that another codec makes of it. What has one name is stored once.
 */

/* --- names -------------------------------------------------------------------------------------------------------- */

/* "vptq0", or "vptq0:2": the codec of the second of its rules. */
static char *
get_label (AfpCodec *codec)
{
  const guint variant = afp_codec_get_routing (codec)->variant;
  const char *name = afp_element_get_name (AFP_ELEMENT (codec));

  return variant ? g_strdup_printf ("%s:%u", name ? name : "", variant)
                 : g_strdup (name ? name : "");
}

gboolean
afp_layout_child_is_shared (const AfpLayout *layout, guint child)
{
  return afp_layout_get_child (layout, child)->shared && !layout->input.shared;
}

void
afp_layout_name_shared (AfpLayout *layout)
{
  const AfpPlaneDesc *in = &layout->input;
  g_autofree char *label = NULL, *params = NULL;

  for (guint i = 0; i < layout->children->len; i++) {
    AfpPlaneDesc *child = &g_array_index (layout->children, AfpPlaneDesc, i);
    if (!child->shared && !in->shared)
      continue;
    if (!label) {
      label = get_label (layout->codec);
      params = afp_layout_get_params (layout);
    }
    g_autofree char *name =
        in->shared
            ? g_strdup_printf ("%s=%s(%s)/%s", in->shared, label, params, child->name)
            : g_strdup_printf ("%s(%s) on %s/%u/%d: %s", label, params,
                               afp_plane_kind_name (in->kind), in->vector, in->metric, child->name);
    child->shared = g_intern_string (name);
  }
}

char *
afp_claim_get_share_key (const AfpClaim *claim, guint child)
{
  const AfpClaim *nested = claim->children[child];
  g_autofree char *label = get_label (nested->codec), *text = afp_claim_to_string (nested);

  return g_strdup_printf ("%s=%s %s", afp_layout_get_child (claim->layout, child)->shared, label,
                          text);
}

AfpPlane *
afp_claim_find_given (const AfpClaim *claim, guint child)
{
  if (!afp_layout_child_is_shared (claim->layout, child) || !claim->children ||
      !claim->children[child])
    return NULL;
  g_autofree char *key = afp_claim_get_share_key (claim, child);
  return g_hash_table_lookup (afp_codec_get_share (claim->codec)->given, key);
}

/* --- groups ------------------------------------------------------------------------------------------------------- */

static void
member_free (gpointer data)
{
  AfpShareMember *member = data;

  g_free (member->tensor);
  g_free (member->path);
  g_free (member);
}

static void
group_free (gpointer data)
{
  AfpShareGroup *group = data;

  g_free (group->key);
  afp_claim_unref (group->claim);
  g_ptr_array_unref (group->members);
  g_free (group);
}

void
afp_share_init (AfpShare *share)
{
  share->groups = g_ptr_array_new_with_free_func (group_free);
  share->seen = g_hash_table_new (NULL, NULL);
  share->given =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) afp_plane_unref);
}

void
afp_share_reset (AfpShare *share)
{
  g_ptr_array_set_size (share->groups, 0);
  g_hash_table_remove_all (share->seen);
  g_hash_table_remove_all (share->given);
}

void
afp_share_clear (AfpShare *share)
{
  g_ptr_array_unref (share->groups);
  g_hash_table_unref (share->seen);
  g_hash_table_unref (share->given);
}

static AfpShareGroup *
get_group (AfpShare *share, AfpClaim *claim, guint child)
{
  g_autofree char *key = afp_claim_get_share_key (claim, child);

  for (guint i = 0; i < share->groups->len; i++) {
    AfpShareGroup *group = share->groups->pdata[i];
    if (g_str_equal (group->key, key))
      return group;
  }
  AfpShareGroup *group = g_new0 (AfpShareGroup, 1);
  group->key = g_steal_pointer (&key);
  group->claim = afp_claim_ref (claim);
  group->child = child;
  group->bytes = claim->children[child]->shared_bytes;
  group->members = g_ptr_array_new_with_free_func (member_free);
  g_ptr_array_add (share->groups, group);
  return group;
}

/* A claim was made on a plane of a tensor. @saved: bytes, without those of the shared planes. */
void
afp_share_note (AfpShare *share, AfpClaim *claim, AfpSpec *spec, const char *path, guint64 saved,
                gboolean forced)
{
  const AfpPlaneDesc *in = afp_layout_get_input (claim->layout);

  for (guint i = 0; i < afp_layout_get_n_children (claim->layout); i++) {
    if (!afp_layout_child_is_shared (claim->layout, i))
      continue;
    AfpShareGroup *group = get_group (share, claim, i);
    AfpShareMember *member = g_new0 (AfpShareMember, 1);
    member->tensor = g_strdup (afp_spec_get_name (spec));
    member->path = g_strdup (path);
    member->weights = in->rows * in->cols;
    member->is_alias = afp_spec_get_alias_of (spec) != NULL;
    group->n_aliases += member->is_alias ? 1 : 0;
    group->forced = group->forced || forced;
    group->saved += forced || member->is_alias ? 0 : saved;
    g_ptr_array_add (group->members, member);
  }
}

/* A tensor is taken if its own planes pay; what all have in common must be paid by all together. */
gboolean
afp_share_settle (AfpShare *share, AfpElement *element, GError **error)
{
  for (guint i = 0; i < share->groups->len; i++) {
    const AfpShareGroup *group = share->groups->pdata[i];
    if (group->forced || group->bytes < group->saved)
      continue;
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "%s: plane '%s', which %u tensors share, costs %" G_GUINT64_FORMAT
                 " bytes, but without it %" G_GUINT64_FORMAT
                 " bytes are saved: make it smaller, do not share it, or say force=true",
                 afp_element_get_name (element),
                 afp_layout_get_child (group->claim->layout, group->child)->name,
                 group->members->len, group->bytes, group->saved);
    return FALSE;
  }
  return TRUE;
}
