/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec-private.h"
#include "afp-identity.h"
#include "afp-pipeline-private.h"

#include <string.h>

/*
 * A claim as a text in which everything stands that its codec's work depends on, beside the numbers themselves.
 */

/* --- a codec ------------------------------------------------------------------------------------------------------- */

gboolean
afp_codec_owns_property (const AfpProperty *property)
{
  g_autoptr (GTypeClass) base = g_type_class_ref (AFP_TYPE_CODEC);

  return !afp_element_class_find_property (AFP_ELEMENT_CLASS (base), property->name);
}

/* Properties of the codec's own; those of the base class say which planes it takes, or are spoken of where they count. */
static gboolean
is_own (const AfpProperty *property)
{
  return !(property->flags & AFP_PROPERTY_RUN) && afp_codec_owns_property (property);
}

static void
add_codec (GString *text, const AfpClaim *claim)
{
  AfpElement *codec = AFP_ELEMENT (claim->codec);
  const AfpMomentUse *use = afp_codec_get_moment_use (claim->codec);
  g_autofree char *params = afp_layout_get_params (claim->layout);
  gsize n;
  g_autofree const AfpProperty **rows =
      afp_element_class_list_properties (AFP_ELEMENT_GET_CLASS (codec), &n);

  g_string_append_printf (text, "%s/%u %s(%s;", afp_element_get_factory_name (codec),
                          AFP_CODEC_GET_CLASS (codec)->version, afp_identity_get_code (codec),
                          params);
  for (gsize i = 0; i < n; i++) {
    g_autofree char *value =
        is_own (rows[i]) ? afp_element_get_property_text (codec, rows[i]->name) : NULL;
    g_autofree char *safe = value ? g_uri_escape_string (value, ".,:/*", FALSE) : NULL;
    if (safe)
      g_string_append_printf (text, " %s=%s", rows[i]->name, safe);
  }
  g_string_append_printf (text, "; seed=%u%s)", afp_codec_get_seed (claim->codec),
                          claim->importance ? " importance" : "");
  if (claim->feedback)
    g_string_append_printf (text, " feedback=%d", use->order);
  if (claim->feedback || claim->importance)
    g_string_append_printf (text, " damping=%.17g", use->damping);
}

/* --- planes -------------------------------------------------------------------------------------------------------- */

/* Names that planes share are not told: they hold the name of an element. */
static void
add_desc (GString *text, const AfpPlaneDesc *desc)
{
  g_string_append_printf (
      text,
      "%s %s/%d %" G_GUINT64_FORMAT "x%" G_GUINT64_FORMAT " b%u q%u v%u m%d%s%s%s t%.17g <%s>",
      desc->name, afp_plane_kind_name (desc->kind), desc->scope, desc->rows, desc->cols, desc->bits,
      desc->per_quantum, desc->vector, desc->metric, desc->optional ? " optional" : "",
      desc->bound ? " bound" : "", desc->shared ? " shared" : "", desc->tolerance,
      desc->fallback ? desc->fallback : "");
}

static void
add_claim (GString *text, const AfpClaim *claim)
{
  const AfpLayout *layout = claim->layout;

  add_codec (text, claim);
  g_string_append_printf (text, "[q%u%s%s t%" G_GUINT64_FORMAT "%s on ", layout->quantum,
                          layout->flat ? " flat" : "", layout->transposed ? " transposed" : "",
                          layout->tile_weights,
                          afp_codec_is_open_loop (claim->codec) ? " open-loop" : "");
  add_desc (text, &layout->input);
  g_string_append_c (text, ']');
  for (guint i = 0; i < afp_layout_get_n_children (layout); i++) {
    g_string_append (text, i ? ", " : "{");
    add_desc (text, afp_layout_get_child (layout, i));
    if (afp_claim_freezes (claim, i) && claim->children && claim->children[i]) {
      g_string_append (text, " = ");
      add_claim (text, claim->children[i]);
    }
  }
  if (afp_layout_get_n_children (layout))
    g_string_append_c (text, '}');
}

/**
 * afp_claim_get_canonical_text:
 * @claim: a claim, planned
 *
 * What the codec's work on a plane depends on, beside the plane's numbers, metric and moments: codec, versions of its format and of its
 * plugin's file, properties with defaults, what was resolved for the plane, and the same of all who answer its queries, transitively.
 * Who takes a plane that it only leaves is no part of it: two claims with equal texts do the same.
 *
 * Returns: (transfer full): a text without line breaks
 */
char *
afp_claim_get_canonical_text (const AfpClaim *claim)
{
  GString *text = g_string_new (NULL);

  add_claim (text, claim);
  return g_string_free (text, FALSE);
}

/* --- executions of a plan ------------------------------------------------------------------------------------------ */

/* A source, or what changes tensors on the way, with all that it is set to; codecs are told by their claims. */
static void
add_element (GString *text, AfpElement *element)
{
  gsize n;
  g_autofree const AfpProperty **rows =
      afp_element_class_list_properties (AFP_ELEMENT_GET_CLASS (element), &n);

  g_string_append_printf (text, "%s %s", afp_element_get_factory_name (element),
                          afp_identity_get_code (element));
  for (gsize i = 0; i < n; i++) {
    g_autofree char *value = rows[i]->flags & AFP_PROPERTY_RUN
                                 ? NULL
                                 : afp_element_get_property_text (element, rows[i]->name);
    if (value)
      g_string_append_printf (text, " %s=%s", rows[i]->name, value);
  }
  g_string_append (text, "\n");
}

/* The claims of @element on the planes on the way to @path, itself included. */
static void
add_claims (GString *text, AfpElement *element, const char *tensor, const char *path)
{
  for (const char *end = strchr (path, '/');; end = strchr (end + 1, '/')) {
    g_autofree char *prefix = end ? g_strndup (path, (gsize) (end - path)) : g_strdup (path);
    const AfpClaim *claim = afp_codec_find_claim (AFP_CODEC (element), tensor, prefix);
    if (claim) {
      g_string_append_printf (text, "%s: ", prefix);
      add_claim (text, claim);
      g_string_append_c (text, '\n');
    }
    if (!end)
      return;
  }
}

/* Does another codec code the plane while it asks? Then who answers has nothing left to do. */
static gboolean
is_frozen (GPtrArray *route, const char *tensor, const char *path, const AfpClaim *claim)
{
  const char *name = strrchr (path, '/');

  for (guint i = 0; name && i + 1 < route->len; i++) {
    g_autofree char *parent = g_strndup (path, (gsize) (name - path));
    const AfpClaim *asker = AFP_IS_CODEC (route->pdata[i])
                                ? afp_codec_find_claim (route->pdata[i], tensor, parent)
                                : NULL;
    for (guint c = 0; asker && c < afp_layout_get_n_children (asker->layout); c++)
      if (g_str_equal (afp_layout_get_child (asker->layout, c)->name, name + 1) &&
          afp_claim_freezes (asker, c) && asker->children && asker->children[c] &&
          asker->children[c]->codec == claim->codec)
        return TRUE;
  }
  return FALSE;
}

typedef struct {
  AfpPipeline *pipeline;
  GPtrArray *route; /* from the source to the codec */
  GPtrArray *work;  /* AfpWork */
  GHashTable *seen; /* keys in it */
} Listing;

static void
work_free (gpointer data)
{
  AfpWork *work = data;

  g_free (work->key);
  g_free (work->tensor);
  g_free (work);
}

/* Links between stages are elements, too. */
static gboolean
changes_tensors (AfpPipeline *pipeline, AfpElement *element)
{
  const AfpStage *stage = afp_pipeline_find_stage (pipeline, element);

  return stage && (AFP_IS_SOURCE (element) || AFP_ELEMENT_GET_CLASS (element)->prepare ||
                   stage->plan_changed);
}

/* Several names of the same values are coded once, by the name of the first. */
static void
list_claim (AfpSpec *spec, const char *path, AfpClaim *claim, gpointer user_data)
{
  const Listing *listing = user_data;
  const char *tensor = afp_spec_get_name (spec);
  g_autoptr (GString) text = g_string_new (NULL);

  if (is_frozen (listing->route, tensor, path, claim))
    return;
  g_string_append_printf (text, "%s/%s\n", afp_spec_get_family (spec), path);
  for (guint i = 0; i < listing->route->len; i++)
    if (AFP_IS_CODEC (listing->route->pdata[i]))
      add_claims (text, listing->route->pdata[i], tensor, path);
    else if (changes_tensors (listing->pipeline, listing->route->pdata[i]))
      add_element (text, listing->route->pdata[i]);
  g_autofree char *key =
      g_compute_checksum_for_string (G_CHECKSUM_SHA256, text->str, (gssize) text->len);
  if (g_hash_table_contains (listing->seen, key))
    return;
  AfpWork *work = g_new0 (AfpWork, 1);
  work->key = g_steal_pointer (&key);
  work->codec = listing->route->pdata[listing->route->len - 1];
  work->tensor = g_strdup (tensor);
  work->weights = claim->layout->input.rows * claim->layout->input.cols;
  g_hash_table_add (listing->seen, work->key);
  g_ptr_array_add (listing->work, work);
}

/* (transfer full) (element-type AfpWork): the executions of afp_pipeline_list_executions(), and whose they are */
GPtrArray *
afp_pipeline_list_work (AfpPipeline *self)
{
  GPtrArray *work = g_ptr_array_new_with_free_func (work_free);
  GPtrArray *elements = afp_pipeline_get_elements (self);
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < elements->len; i++) {
    if (!AFP_IS_CODEC (elements->pdata[i]))
      continue;
    g_autoptr (GPtrArray) route = afp_element_find_route (elements->pdata[i]);
    Listing listing = { self, route, work, seen };
    afp_codec_foreach_claim (elements->pdata[i], list_claim, &listing);
  }
  return work;
}

/**
 * afp_pipeline_list_executions:
 * @self: a pipeline, planned
 *
 * Each encoding of one plane by one stage that a run has to do, known by what goes into it as far as the plan tells: source, elements
 * and claims on the way, tensor and plane. Pipelines with an equal entry have that work in common, if their files are the same. What
 * codecs fit to samples before the first tensor is not among them, nor what stores planes that nobody takes.
 *
 * Returns: (transfer full) (element-type utf8): hex digits, codec after codec, for each sorted by tensor and plane
 */
GPtrArray *
afp_pipeline_list_executions (AfpPipeline *self)
{
  GPtrArray *keys = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) work = afp_pipeline_list_work (self);

  for (guint i = 0; i < work->len; i++)
    g_ptr_array_add (keys, g_strdup (((AfpWork *) work->pdata[i])->key));
  return keys;
}
