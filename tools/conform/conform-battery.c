/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <string.h>

/* --- the element's own properties ------------------------------------------------------------------------------------- */

static gboolean
is_own (AfpElementClass *klass, const AfpProperty *property)
{
  const GType base =
      G_TYPE_CHECK_CLASS_TYPE (klass, AFP_TYPE_CODEC) ? AFP_TYPE_CODEC : AFP_TYPE_PACKER;
  g_autoptr (GTypeClass) base_class = g_type_class_ref (base);

  return afp_element_class_find_property (AFP_ELEMENT_CLASS (base_class), property->name) == NULL;
}

/* The values at the ends of what may be given; for enumerations all of them. */
static GStrv
values_at_bounds (const AfpProperty *property)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  const gboolean ranged = property->min < property->max;
  char text[64];

  switch (property->type) {
  case AFP_PROPERTY_BOOL:
    g_strv_builder_add_many (builder, "false", "true", NULL);
    break;
  case AFP_PROPERTY_ENUM:
    g_strv_builder_addv (builder, (const char **) property->values);
    break;
  case AFP_PROPERTY_FLAGS:
    g_strv_builder_add_many (builder, "none", "all", NULL);
    break;
  case AFP_PROPERTY_STRING:
    break;
  case AFP_PROPERTY_DOUBLE:
    if (ranged) {
      g_strv_builder_add (builder, g_ascii_dtostr (text, sizeof text, property->min));
      g_strv_builder_add (builder, g_ascii_dtostr (text, sizeof text, property->max));
    }
    break;
  default: {
    const double low = ranged ? property->min : 0;
    const double high = ranged                               ? property->max
                        : property->type == AFP_PROPERTY_INT ? (double) G_MAXINT
                                                             : (double) G_MAXUINT;
    g_strv_builder_add (builder, g_ascii_formatd (text, sizeof text, "%.0f", low));
    g_strv_builder_add (builder, g_ascii_formatd (text, sizeof text, "%.0f", high));
  }
  }
  if (property->flags & AFP_PROPERTY_AUTO)
    g_strv_builder_add (builder, "auto");
  return g_strv_builder_end (builder);
}

typedef struct {
  ConformReport *report;
  const ConformTarget *target;
  AfpElementClass *klass;
} Battery;

/* The data that codecs stumble over, with a choice of properties. */
static void
run_hard_data (Battery *battery, const char *config, gboolean may_refuse)
{
  static const char *const hard[] = {
    "zeros", "denormal numbers", "one huge outlier", "near the largest float32",
    "tiny",  "one number",       "one row",          "one column"
  };

  for (guint i = 0; i < G_N_ELEMENTS (hard); i++) {
    const ConformTrial trial = { conform_input_find (hard[i]), config, may_refuse };
    g_autofree char *described = conform_input_describe (trial.input, FALSE);
    g_autofree char *name = g_strdup_printf ("data with %s, %s", config, described);
    conform_case (battery->report, battery->target, name, conform_check_round_trip, &trial);
  }
}

static void
run_config (Battery *battery, const char *config, gboolean may_refuse)
{
  const ConformTrial trial = { conform_input_find ("small primes"), config, may_refuse };
  g_autofree char *name = g_strdup_printf ("property %s", config);
  g_autofree char *memory = g_strdup_printf ("memory with %s", config);

  conform_case (battery->report, battery->target, name, conform_check_round_trip, &trial);
  if (battery->target->quick)
    return;
  conform_case (battery->report, battery->target, memory, conform_check_memory, &trial);
}

/* In the child: the settings that the element takes along with the ones before them. */
static char *
keep_what_goes_together (const ConformTarget *target, const char *config)
{
  g_auto (GStrv) settings = g_strsplit (config, " ", -1);
  g_autoptr (GString) kept = g_string_new (NULL);

  for (guint i = 0; settings[i]; i++) {
    g_autofree char *more = g_strconcat (kept->str, kept->len ? " " : "", settings[i], NULL);
    g_autoptr (AfpElement) element =
        afp_registry_make (afp_registry_get_default (), target->element, NULL);
    AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (element);
    if (afp_element_set_properties_text (element, more, NULL) &&
        (!klass->check || klass->check (element, NULL)))
      g_string_assign (kept, more);
  }
  return g_strdup (kept->str);
}

static void
check_corner (ConformCase *c, gconstpointer data)
{
  const ConformTrial *all = data;
  g_autofree char *config = keep_what_goes_together (c->target, all->config);
  const ConformTrial trial = { all->input, config, all->may_refuse };

  conform_check_round_trip (c, &trial);
}

static void
check_corner_memory (ConformCase *c, gconstpointer data)
{
  const ConformTrial *all = data;
  g_autofree char *config = keep_what_goes_together (c->target, all->config);
  const ConformTrial trial = { all->input, config, all->may_refuse };

  conform_check_memory (c, &trial);
}

/* All properties that go together at their lowest, or at their highest, at once. @base: settings that come first. */
static void
run_corner (Battery *battery, const AfpProperty **properties, gsize n, const char *base,
            gboolean high)
{
  g_autoptr (GString) config = g_string_new (base);

  for (gsize i = 0; i < n; i++) {
    if (!is_own (battery->klass, properties[i]) || properties[i]->type == AFP_PROPERTY_BOOL ||
        properties[i]->type == AFP_PROPERTY_ENUM)
      continue;
    g_auto (GStrv) values = values_at_bounds (properties[i]);
    if (values[0] && values[1])
      g_string_append_printf (config, "%s%s=%s", config->len ? " " : "", properties[i]->name,
                              values[high]);
  }
  if (config->len == 0)
    return;
  const ConformTrial trial = { conform_input_find ("small primes"), config->str, TRUE };
  g_autofree char *name = g_strdup_printf ("property %s", config->str);
  g_autofree char *memory = g_strdup_printf ("memory with %s", config->str);
  conform_case (battery->report, battery->target, name, check_corner, &trial);
  if (!battery->target->quick)
    conform_case (battery->report, battery->target, memory, check_corner_memory, &trial);
}

static void
run_corners (Battery *battery, const AfpProperty **properties, gsize n, const char *base)
{
  run_corner (battery, properties, n, base, FALSE);
  if (!battery->target->quick)
    run_corner (battery, properties, n, base, TRUE);
}

static void
run_properties (Battery *battery)
{
  gsize n;
  g_autofree const AfpProperty **properties =
      afp_element_class_list_properties (battery->klass, &n);

  for (gsize i = 0; i < n; i++) {
    g_autofree char *name = g_strdup_printf ("values of %s", properties[i]->name);
    conform_case (battery->report, battery->target, name, conform_check_limits, properties[i]);
  }
  for (gsize i = 0; i < n; i++) {
    if (!is_own (battery->klass, properties[i]))
      continue;
    g_auto (GStrv) values = values_at_bounds (properties[i]);
    for (guint v = 0; values[v]; v++) {
      g_autofree char *config = g_strdup_printf ("%s=%s", properties[i]->name, values[v]);
      run_config (battery, config, TRUE);
      if (!battery->target->quick &&
          (properties[i]->type == AFP_PROPERTY_BOOL || properties[i]->type == AFP_PROPERTY_ENUM))
        run_hard_data (battery, config, TRUE);
    }
    if (properties[i]->type == AFP_PROPERTY_STRING &&
        properties[i]->flags & (AFP_PROPERTY_FORMAT | AFP_PROPERTY_FILE)) {
      g_autofree char *name = g_strdup_printf ("text of %s", properties[i]->name);
      conform_case (battery->report, battery->target, name, conform_check_text, properties[i]);
    }
  }
  for (gsize i = 0; i < battery->klass->n_presets; i++) {
    g_autofree char *config = g_strdup_printf ("preset=%s", battery->klass->presets[i].name);
    run_config (battery, config, FALSE);
    if (!battery->target->quick)
      run_hard_data (battery, config, FALSE);
  }
  run_corners (battery, properties, n, "");
  for (gsize i = 0; i < n; i++)
    if (is_own (battery->klass, properties[i]) && properties[i]->type == AFP_PROPERTY_BOOL) {
      g_autofree char *on = g_strdup_printf ("%s=true", properties[i]->name);
      run_corners (battery, properties, n, on);
    }
}

/* --- the rest ---------------------------------------------------------------------------------------------------------- */

static void
run_trial (Battery *battery, const char *what, ConformFunc func, const char *input)
{
  const ConformTrial trial = { conform_input_find (input), "", FALSE };
  g_autofree char *described = conform_input_describe (trial.input, battery->target->quick);
  g_autofree char *name = g_strdup_printf ("%s, %s", what, described);

  conform_case (battery->report, battery->target, name, func, &trial);
}

/* One block of columns at a time, each to what the blocks before it missed; with threads as without. */
static void
run_feedback (Battery *battery)
{
  const ConformTrial trial = { conform_input_find ("known inputs"), "feedback=true", TRUE };

  conform_case (battery->report, battery->target, "feedback", conform_check_round_trip, &trial);
  conform_case (battery->report, battery->target, "feedback, threads", conform_check_threads,
                &trial);
}

void
conform_battery (ConformReport *report, const ConformTarget *target)
{
  g_autoptr (AfpElement) element =
      afp_registry_make (afp_registry_get_default (), target->element, NULL);
  Battery battery = { report, target, AFP_ELEMENT_GET_CLASS (element) };
  gsize n;
  const ConformInput *inputs = conform_inputs (&n);

  run_properties (&battery);
  for (gsize i = 0; i < n; i++)
    run_trial (&battery, "data", conform_check_round_trip, inputs[i].name);
  run_trial (&battery, "threads", conform_check_threads, "several tiles");
  run_trial (&battery, "threads", conform_check_threads, "large primes");
  run_trial (&battery, "file", conform_check_file, "normal");
  run_trial (&battery, "file", conform_check_file, "large primes");
  run_trial (&battery, "damaged planes", conform_check_damage, "small primes");
  run_trial (&battery, "recipes", conform_check_recipe, "normal");
  run_trial (&battery, "other tensors", conform_check_passes, "normal");
  run_trial (&battery, "cancel", conform_check_cancel, "several tiles");
  run_trial (&battery, "leaks", conform_check_leaks, "small primes");
  if (target->packer) {
    conform_case (report, target, "bytes", conform_check_packer, NULL);
    return;
  }
  run_feedback (&battery);
  run_trial (&battery, "NaN and infinities", conform_check_not_finite, "normal");
  conform_case (report, target, "planes of every kind", conform_check_planes, NULL);
  static const guint lengths[] = { 1, 2, 3, 4, 8, 12, 16 };
  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++) {
    g_autofree char *name = g_strdup_printf ("query, vectors of %u", lengths[i]);
    conform_case (report, target, name, conform_check_query, GUINT_TO_POINTER (lengths[i]));
  }
}
