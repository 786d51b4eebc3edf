/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-caps.h"

#include "afp-error-private.h"
#include "afp-parse-private.h"
#include "afp-property.h"

#include <string.h>

typedef enum { STATE_ANY, STATE_RAW, STATE_CODED } State;

struct _AfpCaps {
  guint dtypes;  /* bit set; 0: any */
  guint64 ranks; /* bit set; 0: any */
  State state;
  char *name; /* glob; NULL: any */
  gboolean has_min, has_max;
  guint64 min_weights, max_weights;
};

static const char *const state_names[] = { "any", "raw", "coded" };

G_DEFINE_BOXED_TYPE (AfpCaps, afp_caps, afp_caps_copy, afp_caps_free)

/* (transfer full): accepts everything */
AfpCaps *
afp_caps_new_any (void)
{
  return g_new0 (AfpCaps, 1);
}

AfpCaps *
afp_caps_copy (const AfpCaps *caps)
{
  AfpCaps *copy = g_memdup2 (caps, sizeof *caps);
  copy->name = g_strdup (caps->name);
  return copy;
}

void
afp_caps_free (AfpCaps *caps)
{
  if (!caps)
    return;
  g_free (caps->name);
  g_free (caps);
}

/* --- parse --- */

static gboolean
refuse (const AfpAstProperty *field, const char *give, const char *word, const char *const *names,
        gsize n_names, GError **error)
{
  g_autofree char *hint = afp_nearest_hint (word, names, n_names);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY, "assertion: %s=%s: give %s%s", field->name,
               field->value, give, hint);
  return FALSE;
}

/* "x" or "{x,y}" */
static GStrv
split_set (const char *value)
{
  gsize length = strlen (value);
  g_autofree char *list = g_strdup (value);
  if (length >= 2 && value[0] == '{' && value[length - 1] == '}') {
    g_free (list);
    list = g_strndup (value + 1, length - 2);
  }
  GStrv words = g_strsplit (list, ",", -1);
  for (guint i = 0; words[i]; i++)
    g_strstrip (words[i]);
  return words;
}

static gboolean
parse_dtype (AfpCaps *caps, const AfpAstProperty *field, GError **error)
{
  const char *names[AFP_N_DTYPES];
  for (guint i = 0; i < AFP_N_DTYPES; i++)
    names[i] = afp_dtype_name ((AfpDType) i);

  g_auto (GStrv) words = split_set (field->value);
  if (!words[0])
    return refuse (field, "an element type such as f16, or {f16,bf16}", "", NULL, 0, error);
  for (guint i = 0; words[i]; i++) {
    AfpDType dtype;
    if (!afp_dtype_parse (words[i], &dtype))
      return refuse (field, "an element type such as f16, or {f16,bf16}", words[i], names,
                     AFP_N_DTYPES, error);
    caps->dtypes |= 1u << dtype;
  }
  return TRUE;
}

static gboolean
parse_rank (AfpCaps *caps, const AfpAstProperty *field, GError **error)
{
  g_auto (GStrv) words = split_set (field->value);
  for (guint i = 0; i == 0 || words[i]; i++) {
    guint64 rank;
    if (!words[i] || !g_ascii_string_to_unsigned (words[i], 10, 0, AFP_MAX_RANK, &rank, NULL))
      return refuse (field, "a number of axes, 0..32, or {2,4}", "", NULL, 0, error);
    caps->ranks |= G_GUINT64_CONSTANT (1) << rank;
  }
  return TRUE;
}

static gboolean
parse_name (AfpCaps *caps, const AfpAstProperty *field, GError **error)
{
  if (*field->value == '\0')
    return refuse (field, "a name of a tensor; * and ? stand for other characters", "", NULL, 0,
                   error);
  g_free (caps->name);
  caps->name = g_strdup (field->value);
  return TRUE;
}

static gboolean
parse_state (AfpCaps *caps, const AfpAstProperty *field, GError **error)
{
  for (gsize i = STATE_RAW; i < G_N_ELEMENTS (state_names); i++)
    if (strcmp (field->value, state_names[i]) == 0) {
      caps->state = (State) i;
      return TRUE;
    }
  return refuse (field, "raw | coded", field->value, state_names + STATE_RAW,
                 G_N_ELEMENTS (state_names) - STATE_RAW, error);
}

static gboolean
parse_weights (const AfpAstProperty *field, guint64 *weights, gboolean *has, GError **error)
{
  *has = TRUE;
  if (afp_parse_size (field->value, weights))
    return TRUE;
  return refuse (field, "a number of weights such as 4096 or 64k", "", NULL, 0, error);
}

static gboolean
parse_min (AfpCaps *caps, const AfpAstProperty *field, GError **error)
{
  return parse_weights (field, &caps->min_weights, &caps->has_min, error);
}

static gboolean
parse_max (AfpCaps *caps, const AfpAstProperty *field, GError **error)
{
  return parse_weights (field, &caps->max_weights, &caps->has_max, error);
}

static const struct {
  const char *name;
  gboolean (*parse) (AfpCaps *caps, const AfpAstProperty *field, GError **error);
} fields[] = {
  { "dtype", parse_dtype }, { "rank", parse_rank },       { "name", parse_name },
  { "state", parse_state }, { "min-weights", parse_min }, { "max-weights", parse_max },
};

static gboolean
parse_field (AfpCaps *caps, const AfpAstProperty *field, GError **error)
{
  const char *names[G_N_ELEMENTS (fields)];
  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++) {
    if (strcmp (fields[i].name, field->name) == 0)
      return fields[i].parse (caps, field, error);
    names[i] = fields[i].name;
  }
  g_autofree char *hint = afp_nearest_hint (field->name, names, G_N_ELEMENTS (names));
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_PROPERTY,
      "assertion: no field '%s'%s The fields are dtype, rank, name, state, min-weights and "
      "max-weights",
      field->name, *hint ? hint : ".");
  return FALSE;
}

/**
 * afp_caps_parse:
 * @text: "tensor,dtype={f16,bf16},rank=2"
 * @error: AFP_ERROR_USAGE for the form, AFP_ERROR_PROPERTY for a field
 *
 * Returns: (transfer full): the caps
 */
AfpCaps *
afp_caps_parse (const char *text, GError **error)
{
  g_autoptr (AfpCaps) caps = afp_caps_new_any ();
  AfpAstNode *node = afp_parse_assertion (text, error);
  gboolean ok = node != NULL;

  for (guint i = 0; ok && i < node->properties->len; i++)
    ok = parse_field (caps, node->properties->pdata[i], error);
  if (ok && caps->has_min && caps->has_max && caps->min_weights > caps->max_weights) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "assertion: min-weights=%" G_GUINT64_FORMAT
                 " is above max-weights=%" G_GUINT64_FORMAT ": nothing can meet it",
                 caps->min_weights, caps->max_weights);
    ok = FALSE;
  }
  g_clear_pointer (&node, afp_ast_node_free);
  return ok ? g_steal_pointer (&caps) : NULL;
}

/* --- text --- */

/* The members of a set, joined: "f16,bf16" or "f16 or bf16". @numbers: print bits, not names of element types. */
static char *
set_to_string (guint64 bits, gboolean numbers, const char *separator, guint *n)
{
  GString *out = g_string_new (NULL);
  *n = 0;
  for (guint i = 0; i < 64; i++) {
    if (!(bits >> i & 1))
      continue;
    if ((*n)++ > 0)
      g_string_append (out, separator);
    if (numbers)
      g_string_append_printf (out, "%u", i);
    else
      g_string_append (out, afp_dtype_name ((AfpDType) i));
  }
  return g_string_free (out, FALSE);
}

static void
append_set (GString *out, const char *field, guint64 bits, gboolean numbers)
{
  guint n;
  g_autofree char *list = set_to_string (bits, numbers, ",", &n);
  if (n > 0)
    g_string_append_printf (out, n > 1 ? ",%s={%s}" : ",%s=%s", field, list);
}

/**
 * afp_caps_to_string:
 * @caps: caps
 *
 * Returns: (transfer full): canonical text; parses back to the same caps
 */
char *
afp_caps_to_string (const AfpCaps *caps)
{
  GString *out = g_string_new ("tensor");
  append_set (out, "dtype", caps->dtypes, FALSE);
  append_set (out, "rank", caps->ranks, TRUE);
  if (caps->name) {
    g_string_append (out, ",name=");
    afp_ast_append_value (out, caps->name, TRUE);
  }
  if (caps->state != STATE_ANY)
    g_string_append_printf (out, ",state=%s", state_names[caps->state]);
  if (caps->has_min)
    g_string_append_printf (out, ",min-weights=%" G_GUINT64_FORMAT, caps->min_weights);
  if (caps->has_max)
    g_string_append_printf (out, ",max-weights=%" G_GUINT64_FORMAT, caps->max_weights);
  return g_string_free (out, FALSE);
}

/* --- accept --- */

static gboolean
mismatch (const AfpSpec *spec, const char *field, const char *is, const char *wanted,
          GError **error)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN, "tensor '%s': %s is %s, but %s is asked for here",
               afp_spec_get_name (spec), field, is, wanted);
  return FALSE;
}

static gboolean
accept_set (const AfpSpec *spec, const char *field, guint64 bits, gboolean numbers, guint value,
            GError **error)
{
  guint n;
  if (bits == 0 || bits >> value & 1)
    return TRUE;
  g_autofree char *is =
      numbers ? g_strdup_printf ("%u", value) : g_strdup (afp_dtype_name ((AfpDType) value));
  g_autofree char *wanted = set_to_string (bits, numbers, " or ", &n);
  return mismatch (spec, field, is, wanted, error);
}

static gboolean
accept_weights (const AfpCaps *caps, const AfpSpec *spec, GError **error)
{
  guint64 weights = afp_spec_get_n_elements (spec);
  gboolean few = caps->has_min && weights < caps->min_weights;
  if (!few && !(caps->has_max && weights > caps->max_weights))
    return TRUE;
  g_autofree char *is = g_strdup_printf ("%" G_GUINT64_FORMAT, weights);
  g_autofree char *wanted = g_strdup_printf ("%s %" G_GUINT64_FORMAT, few ? "at least" : "at most",
                                             few ? caps->min_weights : caps->max_weights);
  return mismatch (spec, "the number of weights", is, wanted, error);
}

/**
 * afp_caps_accept:
 * @caps: caps
 * @tensor: a tensor, planned or with data
 * @error: AFP_ERROR_PLAN with the tensor, the field and both values
 */
gboolean
afp_caps_accept (const AfpCaps *caps, const AfpTensor *tensor, GError **error)
{
  const AfpSpec *spec = afp_tensor_get_spec (tensor);
  const char *name = afp_spec_get_name (spec);

  if (!accept_set (spec, "dtype", caps->dtypes, FALSE, afp_spec_get_dtype (spec), error) ||
      !accept_set (spec, "rank", caps->ranks, TRUE, afp_spec_get_rank (spec), error))
    return FALSE;
  if (caps->name && !g_pattern_match_simple (caps->name, name)) {
    g_autofree char *is = g_strdup_printf ("'%s'", name);
    g_autofree char *wanted = g_strdup_printf ("'%s'", caps->name);
    return mismatch (spec, "name", is, wanted, error);
  }
  State state = afp_tensor_is_raw (tensor) ? STATE_RAW : STATE_CODED;
  if (caps->state != STATE_ANY && caps->state != state)
    return mismatch (spec, "state", state_names[state],
                     caps->state == STATE_RAW ? "raw (as 'decode' gives it)" : "coded", error);
  return accept_weights (caps, spec, error);
}
