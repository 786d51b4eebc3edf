/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <string.h>

/* One property: its texts. What the bounds do to tensors is in the trials of the battery. */

/* "1..256 weights" of "1..256 weights, default 8": what an error must say. */
static char *
range_of (const AfpProperty *property)
{
  char *range = afp_property_describe_range (property);
  char *end = strstr (range, ", default");

  if (!end && g_str_has_suffix (range, ", required"))
    end = range + strlen (range) - strlen (", required");
  if (end)
    *end = '\0';
  return range;
}

static void
expect_refused (ConformCase *c, const AfpProperty *property, const char *text)
{
  g_autoptr (AfpElement) element =
      afp_registry_make (afp_registry_get_default (), c->target->element, NULL);
  g_autofree char *check = g_strdup_printf ("%s=%s", property->name, text);
  g_autofree char *range = range_of (property);
  g_autofree char *expected = g_strdup_printf ("an error that names the range (%s)", range);
  g_autoptr (GError) error = NULL;

  conform_begin (c, check);
  if (afp_element_set_property_text (element, property->name, text, &error))
    conform_fail (c, expected, "the value was accepted");
  else
    conform_expect (c,
                    g_error_matches (error, AFP_ERROR, AFP_ERROR_PROPERTY) &&
                        strstr (error->message, range) && strstr (error->message, property->name),
                    expected, "%s", error->message);
}

/* The largest number of a type, as its table may say nothing. */
static double
type_max (AfpPropertyType type)
{
  return type == AFP_PROPERTY_UINT  ? (double) G_MAXUINT
         : type == AFP_PROPERTY_INT ? (double) G_MAXINT
                                    : 0x1p62;
}

static void
refuse_numbers (ConformCase *c, const AfpProperty *property)
{
  const gboolean ranged = property->min < property->max;
  const double low = ranged                               ? property->min
                     : property->type == AFP_PROPERTY_INT ? (double) G_MININT
                                                          : 0;
  const double high = ranged ? property->max : type_max (property->type);
  const char *format = property->type == AFP_PROPERTY_DOUBLE ? "%.17g" : "%.0f";
  char below[64], above[64];

  if (property->type == AFP_PROPERTY_DOUBLE && !ranged)
    return;
  /* Beyond 2^53 a double is its own neighbour. */
  g_ascii_formatd (below, sizeof below, format, low - 1);
  g_ascii_formatd (above, sizeof above, format, high + MAX (1, high / 0x1p50));
  expect_refused (c, property, below);
  expect_refused (c, property, above);
  expect_refused (c, property, "99999999999999999999999999999999999999");
}

/* What reads back as what was set. */
static void
check_default (ConformCase *c, const AfpProperty *property)
{
  g_autoptr (AfpElement) element =
      afp_registry_make (afp_registry_get_default (), c->target->element, NULL);
  g_autofree char *value = afp_element_get_property_text (element, property->name);
  g_autoptr (GError) error = NULL;

  conform_begin (c, "default");
  if (!value) {
    conform_skip (c, "unset");
    return;
  }
  if (!afp_element_set_property_text (element, property->name, value, &error)) {
    conform_fail (c, "the default to be a value that may be given", "%s", error->message);
    return;
  }
  g_autofree char *again = afp_element_get_property_text (element, property->name);
  conform_expect (c, g_strcmp0 (value, again) == 0, "the default to read back as itself",
                  "'%s' became '%s'", value, again);
}

void
conform_check_limits (ConformCase *c, gconstpointer data)
{
  const AfpProperty *property = data;

  check_default (c, property);
  switch (property->type) {
  case AFP_PROPERTY_UINT:
  case AFP_PROPERTY_INT:
  case AFP_PROPERTY_SIZE:
  case AFP_PROPERTY_DOUBLE:
    refuse_numbers (c, property);
    break;
  case AFP_PROPERTY_STRING:
    return;
  default:
    break;
  }
  expect_refused (c, property, "no-such-value");
  expect_refused (c, property, "");
}

/* A text is in no table: one that belongs to the coded format, or names a file, must be looked at before the run. */
void
conform_check_text (ConformCase *c, gconstpointer data)
{
  const AfpProperty *property = data;
  g_autoptr (AfpTensor) input =
      conform_input_make (conform_input_find ("normal"), c->target->quick);
  g_autofree char *setting = g_strdup_printf ("%s=/no/such/value", property->name);
  g_autofree char *config = conform_config (c->target, setting, TRUE);
  g_autofree char *check = g_strdup_printf ("%s=/no/such/value", property->name);
  g_autoptr (GError) error = NULL;

  conform_begin (c, check);
  conform_chain_set_input (input);
  g_autoptr (AfpPipeline) pipeline = conform_pipeline_new (c->target, config, &error);
  AfpPlan *plan = pipeline ? afp_pipeline_plan (pipeline, &error) : NULL;
  conform_expect (c, !plan, "an error, as there is no such thing", "the plan was made");
}
