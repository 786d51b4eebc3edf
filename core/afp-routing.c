/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec-private.h"
#include "afp-error.h"

#include <string.h>

static void
rule_free (gpointer data)
{
  AfpRule *rule = data;

  g_pattern_spec_free (rule->pattern);
  g_clear_object (&rule->variant);
  g_free (rule);
}

void
afp_routing_clear (AfpRouting *routing)
{
  g_clear_pointer (&routing->rule_list, g_ptr_array_unref);
}

/* What chooses tensors by name: for the element as a whole, not for one of its rules. */
static const char *const by_name[] = { "tensors", "exclude", "rules", NULL };

/* The properties of @element that were set, but for those of by_name. */
static gboolean
copy_properties (AfpElement *element, AfpElement *variant, GError **error)
{
  gsize n;
  g_autofree const AfpProperty **properties =
      afp_element_class_list_properties (AFP_ELEMENT_GET_CLASS (element), &n);
  g_autofree char *preset = afp_element_get_property_text (element, "preset");

  if (preset && !afp_element_apply_preset (variant, preset, error))
    return FALSE;
  for (gsize i = 0; i < n; i++) {
    const char *name = properties[i]->name;
    if (g_strv_contains (by_name, name) || !afp_element_property_is_set (element, name))
      continue;
    g_autofree char *value = afp_element_get_property_text (element, name);
    if (value && !afp_element_set_property_text (variant, name, value, error))
      return FALSE;
  }
  return TRUE;
}

/* A codec like @codec but for the properties in @text. */
static AfpCodec *
make_variant (AfpCodec *codec, const char *text, GError **error)
{
  AfpElement *element = AFP_ELEMENT (codec);
  g_autoptr (AfpElement) variant = g_object_new (G_OBJECT_TYPE (codec), NULL);

  afp_element_set_name (variant, afp_element_get_name (element));
  afp_element_set_factory_name (variant, afp_element_get_factory_name (element));
  if (!copy_properties (element, variant, error) ||
      !afp_element_set_properties_text (variant, text, error))
    return NULL;
  if (strcmp (afp_element_get_name (variant), afp_element_get_name (element)) != 0) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                         "a rule cannot give the element another name");
    return NULL;
  }
  for (guint i = 0; by_name[i]; i++)
    if (afp_element_property_is_set (variant, by_name[i])) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                   "%s= cannot stand in a rule: its pattern says which tensors it is for",
                   by_name[i]);
      return NULL;
    }
  if (AFP_ELEMENT_GET_CLASS (codec)->check &&
      !AFP_ELEMENT_GET_CLASS (codec)->check (variant, error))
    return NULL;
  afp_element_freeze (variant);
  return AFP_CODEC (g_steal_pointer (&variant));
}

/*
 * A rules file: one rule a line, the first that matches a tensor's name counts:
 *   GLOB pass                   leave the tensor alone
 *   GLOB take                   as the element's properties say
 *   GLOB NAME=VALUE ...         with these properties instead
 */
static AfpRule *
parse_rule (const char *line, guint index, AfpCodec *codec, GError **error)
{
  g_auto (GStrv) words = g_strsplit_set (line, " \t", 2);
  g_autofree char *rest = g_strdup (words[1] ? words[1] : "");

  g_strstrip (rest);
  if (!*rest) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "rule '%s' says nothing after the pattern: give pass, take, or NAME=VALUE ...",
                 line);
    return NULL;
  }
  AfpCodec *variant = NULL;
  const gboolean pass = strcmp (rest, "pass") == 0;
  if (!pass && strcmp (rest, "take") != 0 && !(variant = make_variant (codec, rest, error)))
    return NULL;
  AfpRule *rule = g_new0 (AfpRule, 1);
  rule->pattern = g_pattern_spec_new (words[0]);
  rule->pass = pass;
  rule->variant = variant;
  if (variant)
    afp_codec_get_routing (variant)->variant = index + 1;
  return rule;
}

gboolean
afp_routing_prepare (AfpRouting *routing, AfpCodec *codec, GError **error)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) local = NULL;

  afp_routing_clear (routing);
  if (!routing->rules)
    return TRUE;
  if (!g_file_get_contents (routing->rules, &text, NULL, &local)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "rules=%s cannot be read: %s", routing->rules,
                 local->message);
    return FALSE;
  }
  if (!g_utf8_validate (text, -1, NULL)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "rules=%s is not a UTF-8 text file",
                 routing->rules);
    return FALSE;
  }
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  routing->rule_list = g_ptr_array_new_with_free_func (rule_free);
  for (guint i = 0; lines[i]; i++) {
    char *hash = strchr (lines[i], '#');
    if (hash)
      *hash = '\0';
    g_strstrip (lines[i]);
    if (!*lines[i])
      continue;
    AfpRule *rule = parse_rule (lines[i], routing->rule_list->len, codec, error);
    if (!rule) {
      g_prefix_error (error, "rules=%s, line %u: ", routing->rules, i + 1);
      return FALSE;
    }
    g_ptr_array_add (routing->rule_list, rule);
  }
  return TRUE;
}

/* "a*,b*": does one of the globs match? */
static gboolean
match_globs (const char *globs, const char *name)
{
  g_auto (GStrv) list = g_strsplit (globs, ",", -1);

  for (guint i = 0; list[i]; i++)
    if (g_pattern_match_simple (g_strstrip (list[i]), name))
      return TRUE;
  return FALSE;
}

static const AfpRule *
find_rule (const AfpRouting *routing, const char *name)
{
  for (guint i = 0; routing->rule_list && i < routing->rule_list->len; i++) {
    const AfpRule *rule = routing->rule_list->pdata[i];
    if (g_pattern_spec_match_string (rule->pattern, name))
      return rule;
  }
  return NULL;
}

AfpCodec *
afp_routing_match (AfpRouting *routing, AfpCodec *codec, AfpSpec *spec, const AfpPlaneDesc *desc,
                   char **why)
{
  const char *name = afp_spec_get_family (spec);
  const AfpRule *rule = find_rule (routing, name);
  AfpCodec *taker = rule && rule->variant ? rule->variant : codec;
  const AfpRouting *own = rule && rule->variant ? afp_codec_get_routing (rule->variant) : routing;

  *why = NULL;
  if (routing->tensors && !match_globs (routing->tensors, name))
    *why = g_strdup_printf ("tensors=%s does not match", routing->tensors);
  else if (routing->exclude && match_globs (routing->exclude, name))
    *why = g_strdup_printf ("exclude=%s matches", routing->exclude);
  else if (rule && rule->pass)
    *why = g_strdup ("a rule says pass");
  else if (!(own->planes & AFP_KINDS (desc->kind)))
    *why = g_strdup_printf ("planes= does not include %s", afp_plane_kind_name (desc->kind));
  else if (afp_spec_get_rank (spec) < own->min_dims)
    *why =
        g_strdup_printf ("rank %u is below min-dims=%u", afp_spec_get_rank (spec), own->min_dims);
  else if (desc->kind == AFP_KIND_WEIGHT && afp_spec_get_n_elements (spec) < own->min_weights)
    *why = g_strdup_printf ("fewer weights than min-weights=%" G_GUINT64_FORMAT, own->min_weights);
  return *why ? NULL : taker;
}
