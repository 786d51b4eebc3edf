/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <string.h>

/* Decoders are parsers: damaged planes and recipes give errors or other numbers, the same each time. */

/* --- planes --------------------------------------------------------------------------------------------------------- */

typedef struct {
  const char *name;
  guint bit; /* of "bit": which one, in 1/256 of the plane */
} Damage;

static const Damage damages[] = {
  { "empty", 0 },     { "half of it", 0 }, { "a byte short", 0 }, { "a byte long", 0 },
  { "all ones", 0 },  { "all zeros", 0 },  { "random", 1 },       { "random", 2 },
  { "random", 3 },    { "one bit", 0 },    { "one bit", 1 },      { "one bit", 37 },
  { "one bit", 101 }, { "one bit", 128 },  { "one bit", 200 },    { "one bit", 255 },
};

static GBytes *
damaged (GBytes *bytes, const Damage *damage)
{
  gsize size;
  const guint8 *from = g_bytes_get_data (bytes, &size);
  guint8 *to = g_malloc0 (size + 1);
  g_autoptr (GRand) rand = g_rand_new_with_seed (damage->bit);

  if (size)
    memcpy (to, from, size);
  if (strcmp (damage->name, "empty") == 0)
    return g_bytes_new_take (to, 0);
  if (strcmp (damage->name, "half of it") == 0)
    return g_bytes_new_take (to, size / 2);
  if (strcmp (damage->name, "a byte short") == 0)
    return g_bytes_new_take (to, size ? size - 1 : 0);
  if (strcmp (damage->name, "a byte long") == 0)
    return g_bytes_new_take (to, size + 1);
  if (strcmp (damage->name, "all ones") == 0)
    memset (to, 0xff, size);
  else if (strcmp (damage->name, "all zeros") == 0)
    memset (to, 0, size);
  else if (strcmp (damage->name, "random") == 0)
    for (gsize i = 0; i < size; i++)
      to[i] = (guint8) g_rand_int_range (rand, 0, 256);
  else if (size)
    to[(size - 1) * damage->bit / 255] ^= (guint8) (1u << damage->bit % 8);
  return g_bytes_new_take (to, size);
}

/* The numbers of damaged bytes: twice the same, or an error of the right kind. */
static void
try_damaged (ConformCase *c, const char *recipe, AfpSpec *spec, GPtrArray *data)
{
  g_autoptr (GBytes) first = NULL;

  for (guint i = 0; i < 2; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (AfpPlane) plane = conform_rebuild (recipe, spec, data, &error);
    g_autoptr (GBytes) numbers = plane ? conform_decode (plane, spec, 1 + i * 2, &error) : NULL;
    if (!numbers) {
      conform_expect (c,
                      error && (g_error_matches (error, AFP_ERROR, AFP_ERROR_FORMAT) ||
                                g_error_matches (error, AFP_ERROR, AFP_ERROR_MEMORY)),
                      "AFP_ERROR_FORMAT where a plane is damaged", "%s %d: %s",
                      error ? g_quark_to_string (error->domain) : "failure without error",
                      error ? error->code : 0, error ? error->message : "");
      return;
    }
    if (i == 1)
      conform_expect (c, g_bytes_equal (first, numbers), "the same numbers each time",
                      "others the second time: memory that was never set?");
    else
      first = g_steal_pointer (&numbers);
  }
}

void
conform_check_damage (ConformCase *c, gconstpointer user_data)
{
  const ConformTrial *trial = user_data;
  g_autoptr (AfpTensor) input = conform_input_make (trial->input, c->target->quick);
  g_auto (ConformResult) result = { 0 };
  g_autoptr (GError) error = NULL;

  conform_begin (c, "encode");
  if (!conform_run_any (c->target, trial->config, input, 1, &result, NULL, &error)) {
    conform_fail (c, "a coded tensor", "%s", error->message);
    return;
  }
  if (!result.taken) {
    conform_skip (c, "the tensor was left alone");
    return;
  }
  conform_pass (c);
  AfpPlane *root = afp_tensor_get_root (result.tensor);
  g_autoptr (GPtrArray) leaves = conform_leaves (root);
  g_autofree char *recipe = afp_tensor_get_recipe (result.tensor);
  for (guint leaf = 0; leaf < leaves->len; leaf++)
    for (guint d = 0; d < G_N_ELEMENTS (damages); d++) {
      g_autoptr (GPtrArray) data = conform_leaf_data (root);
      GBytes *sound = data->pdata[leaf];
      g_autofree char *check = g_strdup_printf ("plane %u '%s': %s (%u)", leaf,
                                                afp_plane_get_desc (leaves->pdata[leaf])->name,
                                                damages[d].name, damages[d].bit);
      conform_begin (c, check);
      data->pdata[leaf] = damaged (sound, &damages[d]);
      g_bytes_unref (sound);
      try_damaged (c, recipe, afp_tensor_get_spec (input), data);
    }
}

/* --- recipes -------------------------------------------------------------------------------------------------------- */

/* "x/1(" -> "x/@version(" in the first place where the element stands; @param: (nullable): put before the other ones */
static char *
edit_recipe (const char *recipe, const char *element, guint version, const char *param)
{
  g_autofree char *start = g_strconcat ("=", element, "/", NULL);
  const char *at = strstr (recipe, start);

  if (!at)
    return NULL;
  const char *rest = at + strlen (start);
  rest += strspn (rest, "0123456789");
  const gboolean has_params = *rest == '(';
  GString *text = g_string_new_len (recipe, at - recipe);
  g_string_append_printf (text, "%s%u", start, version);
  if (param)
    g_string_append_printf (text, "(%s%s", param, has_params ? "," : ")");
  g_string_append (text, param && has_params ? rest + 1 : rest);
  return g_string_free (text, FALSE);
}

static void
expect_refusal (ConformCase *c, const char *check, const char *recipe, AfpTensor *tensor,
                AfpError code)
{
  g_autoptr (GPtrArray) data = conform_leaf_data (afp_tensor_get_root (tensor));
  g_autoptr (GError) error = NULL;

  conform_begin (c, check);
  g_autoptr (AfpPlane) plane = conform_rebuild (recipe, afp_tensor_get_spec (tensor), data, &error);
  conform_expect (c, !plane && g_error_matches (error, AFP_ERROR, (gint) code),
                  code == AFP_ERROR_PLUGIN ? "AFP_ERROR_PLUGIN" : "AFP_ERROR_FORMAT",
                  "%s (recipe %s)", plane ? "the recipe was accepted" : error->message, recipe);
}

/* A value beyond the upper bound of each property of the format that has one. */
static void
check_values_beyond (ConformCase *c, AfpElementClass *klass, const char *recipe, guint version,
                     AfpTensor *tensor)
{
  gsize n;
  g_autofree const AfpProperty **properties = afp_element_class_list_properties (klass, &n);

  for (gsize i = 0; i < n; i++) {
    const AfpProperty *property = properties[i];
    if (!(property->flags & AFP_PROPERTY_FORMAT) || property->type == AFP_PROPERTY_STRING)
      continue;
    g_autofree char *start = g_strconcat (property->name, "=", NULL);
    const char *at = strstr (recipe, start);
    if (!at)
      continue;
    g_autofree char *head = g_strndup (recipe, (gsize) (at - recipe) + strlen (start));
    const char *rest = at + strlen (start);
    g_autofree char *edited = g_strconcat (head, "-1e99", rest + strcspn (rest, ",)"), NULL);
    g_autofree char *check = g_strdup_printf ("parameter %s out of range", property->name);
    expect_refusal (c, check, edited, tensor, AFP_ERROR_FORMAT);
  }
}

void
conform_check_recipe (ConformCase *c, gconstpointer user_data)
{
  const ConformTrial *trial = user_data;
  g_autoptr (AfpTensor) input = conform_input_make (trial->input, c->target->quick);
  g_auto (ConformResult) result = { 0 };
  g_autoptr (GError) error = NULL;

  conform_begin (c, "encode");
  if (!conform_run_any (c->target, trial->config, input, 1, &result, NULL, &error)) {
    conform_fail (c, "a coded tensor", "%s", error->message);
    return;
  }
  if (!result.taken) {
    conform_skip (c, "the tensor was left alone");
    return;
  }
  conform_pass (c);
  g_autoptr (AfpElement) element =
      afp_registry_make (afp_registry_get_default (), c->target->element, NULL);
  const guint version = c->target->packer ? AFP_PACKER_GET_CLASS (element)->version
                                          : AFP_CODEC_GET_CLASS (element)->version;
  g_autofree char *recipe = afp_tensor_get_recipe (result.tensor);
  g_autofree char *newer = edit_recipe (recipe, c->target->element, version + 1, NULL);
  g_autofree char *unknown =
      edit_recipe (recipe, c->target->element, version, "no-such-parameter=1");
  expect_refusal (c, "a newer version", newer, result.tensor, AFP_ERROR_PLUGIN);
  expect_refusal (c, "an unknown parameter", unknown, result.tensor, AFP_ERROR_FORMAT);
  check_values_beyond (c, AFP_ELEMENT_GET_CLASS (element), recipe, version, result.tensor);
}
