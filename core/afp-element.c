/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-element.h"

#include "afp-error-private.h"
#include "afp-parse-private.h"
#include "afp-pipeline.h"

#include <string.h>

#define PRESET "preset"

/* A row of a table, and where the struct starts that its offset is in. */
typedef struct {
  const AfpProperty *property;
  gssize base;
} AfpPropertySlot;

/* How a property got its value. */
typedef enum { BY_DEFAULT, BY_PRESET, BY_HAND } Origin;

typedef struct {
  char *name;
  char *factory_name;
  gboolean name_is_set;
  gboolean frozen;
  guint8 *origins; /* one Origin for each slot of the class */
  const AfpPreset *preset;
  GPtrArray *sinks;
  GPtrArray *srcs;
  AfpRun *run;
} AfpElementPrivate;

/* GObject's ids of properties: slots follow. */
enum { PROP_NAME = 1, PROP_FIRST_SLOT };

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (AfpElement, afp_element, G_TYPE_OBJECT)

#define get_private(self) ((AfpElementPrivate *) afp_element_get_instance_private (self))

static void
afp_element_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec);
static void afp_element_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec);

/* --- slots --- */

static const AfpPropertySlot *
get_slot (AfpElementClass *klass, guint index)
{
  return klass->properties->pdata[index];
}

static gpointer
get_field (AfpElement *self, const AfpPropertySlot *slot)
{
  return (char *) self + slot->base + slot->property->offset;
}

/* The index of a slot, by name or alias; -1: none. */
static int
find_slot (AfpElementClass *klass, const char *name)
{
  for (guint i = 0; i < klass->properties->len; i++) {
    const AfpProperty *property = get_slot (klass, i)->property;
    if (strcmp (property->name, name) == 0 || g_strcmp0 (property->alias, name) == 0)
      return (int) i;
  }
  return -1;
}

/**
 * afp_element_class_add_properties: (skip)
 * @klass: the class that is being set up
 * @properties: (array length=n): static table
 * @n: number of rows
 * @base_offset: 0 if offsets are those of the instance struct; a base class with a private struct gives
 *   g_type_class_get_instance_private_offset()
 */
void
afp_element_class_add_properties (AfpElementClass *klass, const AfpProperty *properties, gsize n,
                                  gssize base_offset)
{
  /* The class struct began as a copy of its parent's: the first call makes the array its own. */
  AfpElementClass *parent = g_type_class_peek_parent (klass);
  if (klass->properties == parent->properties) {
    klass->properties = g_ptr_array_new ();
    for (guint i = 0; i < parent->properties->len; i++)
      g_ptr_array_add (klass->properties, parent->properties->pdata[i]);
  }
  /* GObject does not inherit these two. */
  G_OBJECT_CLASS (klass)->get_property = afp_element_get_property;
  G_OBJECT_CLASS (klass)->set_property = afp_element_set_property;
  for (gsize i = 0; i < n; i++) {
    const AfpProperty *row = &properties[i];
    if (!afp_parse_is_name (row->name) || strcmp (row->name, PRESET) == 0 ||
        strcmp (row->name, "name") == 0 || find_slot (klass, row->name) >= 0 ||
        (row->alias && find_slot (klass, row->alias) >= 0)) {
      g_critical ("%s: the property '%s' or its alias exists already, or is no name",
                  G_OBJECT_CLASS_NAME (klass), row->name);
      continue;
    }
    AfpPropertySlot *slot = g_new (AfpPropertySlot, 1);
    slot->property = row;
    slot->base = base_offset;
    g_ptr_array_add (klass->properties, slot);
    g_object_class_install_property (G_OBJECT_CLASS (klass),
                                     PROP_FIRST_SLOT + klass->properties->len - 1,
                                     afp_property_to_pspec (row));
  }
}

void
afp_element_class_set_presets (AfpElementClass *klass, const AfpPreset *presets, gsize n)
{
  klass->presets = presets;
  klass->n_presets = n;
}

void
afp_element_class_set_details (AfpElementClass *klass, const char *blurb, const char *example)
{
  klass->blurb = blurb;
  klass->example = example;
}

/**
 * afp_element_class_list_properties: (skip)
 * @klass: a class
 * @n: (out): number of rows
 *
 * Returns: (transfer container) (array length=n): table rows, those of base classes first; free with g_free()
 */
const AfpProperty **
afp_element_class_list_properties (AfpElementClass *klass, gsize *n)
{
  *n = klass->properties->len;
  const AfpProperty **rows = g_new0 (const AfpProperty *, *n + 1);
  for (guint i = 0; i < *n; i++)
    rows[i] = get_slot (klass, i)->property;
  return rows;
}

const AfpProperty *
afp_element_class_find_property (AfpElementClass *klass, const char *name)
{
  int index = find_slot (klass, name);
  return index >= 0 ? get_slot (klass, (guint) index)->property : NULL;
}

/* --- messages --- */

/* What messages about properties call the element. */
static const char *
get_label (AfpElement *self)
{
  AfpElementPrivate *priv = get_private (self);
  return priv->factory_name ? priv->factory_name : G_OBJECT_TYPE_NAME (self);
}

static gboolean
refuse_frozen (AfpElement *self, const char *name, GError **error)
{
  if (!get_private (self)->frozen)
    return FALSE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
               "%s: '%s' cannot change any more: the pipeline has been planned",
               afp_element_get_name (self), name);
  return TRUE;
}

static gboolean
refuse_unknown (AfpElement *self, const char *name, GError **error)
{
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (self);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  for (guint i = 0; i < klass->properties->len; i++) {
    g_ptr_array_add (names, (gpointer) get_slot (klass, i)->property->name);
    g_ptr_array_add (names, (gpointer) get_slot (klass, i)->property->alias);
  }
  g_ptr_array_add (names, (gpointer) "name");
  if (klass->n_presets > 0)
    g_ptr_array_add (names, (gpointer) PRESET);

  const char *nearest = afp_nearest_name (name, (const char *const *) names->pdata, names->len);
  const AfpProperty *row = nearest ? afp_element_class_find_property (klass, nearest) : NULL;
  g_autofree char *range = row ? afp_property_describe_range (row) : NULL;
  g_autofree char *hint = NULL;
  if (row)
    hint = g_strdup_printf ("; did you mean '%s' (%s)?", nearest, range);
  else if (nearest)
    hint = g_strdup_printf ("; did you mean '%s'?", nearest);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
               "%s: no property '%s'%s afpipe-inspect %s lists all", get_label (self), name,
               hint ? hint : ";", get_label (self));
  return FALSE;
}

/* --- properties by text --- */

/* Back to the default of the table. */
static void
set_default (AfpElement *self, guint index)
{
  const AfpPropertySlot *slot = get_slot (AFP_ELEMENT_GET_CLASS (self), index);
  gpointer field = get_field (self, slot);
  g_autoptr (GError) error = NULL;

  afp_property_clear (slot->property, field);
  if (slot->property->def &&
      !afp_property_parse (slot->property, slot->property->def, field, &error))
    g_critical ("%s: default of a property: %s", G_OBJECT_TYPE_NAME (self), error->message);
  get_private (self)->origins[index] = BY_DEFAULT;
}

static gboolean
set_slot (AfpElement *self, guint index, const char *text, Origin origin, GError **error)
{
  const AfpPropertySlot *slot = get_slot (AFP_ELEMENT_GET_CLASS (self), index);
  if (!afp_property_parse (slot->property, text, get_field (self, slot), error)) {
    g_prefix_error (error, "%s: ", get_label (self));
    return FALSE;
  }
  get_private (self)->origins[index] = origin;
  return TRUE;
}

static gboolean
set_name_text (AfpElement *self, const char *text, GError **error)
{
  if (!afp_parse_is_name (text)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "%s: '%s' is no name for an element: letters, digits, '-' and '_', a letter first",
                 get_label (self), text);
    return FALSE;
  }
  afp_element_set_name (self, text);
  get_private (self)->name_is_set = TRUE;
  return TRUE;
}

/**
 * afp_element_set_property_text:
 * @self: an element
 * @name: a property or its alias; also "name" and, where the class has presets, "preset"
 * @text: the value as typed
 * @error: AFP_ERROR_PROPERTY
 */
gboolean
afp_element_set_property_text (AfpElement *self, const char *name, const char *text, GError **error)
{
  if (refuse_frozen (self, name, error))
    return FALSE;
  if (strcmp (name, "name") == 0)
    return set_name_text (self, text, error);
  if (strcmp (name, PRESET) == 0 && AFP_ELEMENT_GET_CLASS (self)->n_presets > 0)
    return afp_element_apply_preset (self, text, error);
  int index = find_slot (AFP_ELEMENT_GET_CLASS (self), name);
  if (index < 0)
    return refuse_unknown (self, name, error);
  return set_slot (self, (guint) index, text, BY_HAND, error);
}

/* (transfer full): NULL for an unset string and for a name that is no property */
char *
afp_element_get_property_text (AfpElement *self, const char *name)
{
  AfpElementPrivate *priv = get_private (self);
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (self);

  if (strcmp (name, "name") == 0)
    return g_strdup (afp_element_get_name (self));
  if (strcmp (name, PRESET) == 0)
    return g_strdup (priv->preset ? priv->preset->name : NULL);
  int index = find_slot (klass, name);
  if (index < 0)
    return NULL;
  const AfpPropertySlot *slot = get_slot (klass, (guint) index);
  return afp_property_format (slot->property, get_field (self, slot));
}

gboolean
afp_element_set_properties_text (AfpElement *self, const char *text, GError **error)
{
  g_autoptr (GPtrArray) settings = afp_parse_settings (text, error);
  if (!settings)
    return FALSE;
  for (guint i = 0; i < settings->len; i++) {
    const AfpAstProperty *setting = settings->pdata[i];
    if (!afp_element_set_property_text (self, setting->name, setting->value, error))
      return FALSE;
  }
  return TRUE;
}

gboolean
afp_element_property_is_set (AfpElement *self, const char *name)
{
  AfpElementPrivate *priv = get_private (self);
  if (strcmp (name, "name") == 0)
    return priv->name_is_set;
  if (strcmp (name, PRESET) == 0)
    return priv->preset != NULL;
  int index = find_slot (AFP_ELEMENT_GET_CLASS (self), name);
  return index >= 0 && priv->origins[index] == BY_HAND;
}

static const AfpPreset *
find_preset (AfpElement *self, const char *name, GError **error)
{
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (self);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  for (gsize i = 0; i < klass->n_presets; i++) {
    if (strcmp (klass->presets[i].name, name) == 0)
      return &klass->presets[i];
    g_ptr_array_add (names, (gpointer) klass->presets[i].name);
  }
  g_autofree char *hint = afp_nearest_hint (name, (const char *const *) names->pdata, names->len);
  g_ptr_array_add (names, NULL);
  g_autofree char *list = g_strjoinv (" | ", (char **) names->pdata);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY, "%s: " PRESET "=%s: give %s%s",
               get_label (self), name, list, hint);
  return NULL;
}

/**
 * afp_element_apply_preset:
 * @self: an element whose class has presets
 * @preset: name of one
 * @error: AFP_ERROR_PROPERTY
 *
 * A preset fills in what is not set explicitly, before or after it; it replaces the preset before it.
 */
gboolean
afp_element_apply_preset (AfpElement *self, const char *preset, GError **error)
{
  AfpElementPrivate *priv = get_private (self);
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (self);

  if (refuse_frozen (self, PRESET, error))
    return FALSE;
  if (klass->n_presets == 0)
    return refuse_unknown (self, PRESET, error);
  const AfpPreset *found = find_preset (self, preset, error);
  if (!found)
    return FALSE;
  g_autoptr (GPtrArray) settings = afp_parse_settings (found->values, error);
  if (!settings)
    return FALSE;

  for (guint i = 0; i < klass->properties->len; i++)
    if (priv->origins[i] == BY_PRESET)
      set_default (self, i);
  for (guint i = 0; i < settings->len; i++) {
    const AfpAstProperty *setting = settings->pdata[i];
    int index = find_slot (klass, setting->name);
    if (index < 0)
      return refuse_unknown (self, setting->name, error);
    if (priv->origins[index] != BY_HAND &&
        !set_slot (self, (guint) index, setting->value, BY_PRESET, error))
      return FALSE;
  }
  priv->preset = found;
  return TRUE;
}

void
afp_element_freeze (AfpElement *self)
{
  get_private (self)->frozen = TRUE;
}

/* --- names --- */

/* (transfer none): never NULL: an element without a name goes by that of its factory or its type */
const char *
afp_element_get_name (AfpElement *self)
{
  const char *name = get_private (self)->name;
  return name ? name : get_label (self);
}

/* @name: (nullable) */
void
afp_element_set_name (AfpElement *self, const char *name)
{
  AfpElementPrivate *priv = get_private (self);
  g_return_if_fail (!priv->frozen);
  if (g_strcmp0 (name, priv->name) == 0)
    return;
  g_free (priv->name);
  priv->name = g_strdup (name);
  g_object_notify (G_OBJECT (self), "name");
}

/* (transfer none) (nullable): NULL if no factory made it */
const char *
afp_element_get_factory_name (AfpElement *self)
{
  return get_private (self)->factory_name;
}

void
afp_element_set_factory_name (AfpElement *self, const char *name)
{
  AfpElementPrivate *priv = get_private (self);
  g_free (priv->factory_name);
  priv->factory_name = g_strdup (name);
}

/* --- pads --- */

static GPtrArray *
get_pads (AfpElement *self, AfpPadDirection direction)
{
  AfpElementPrivate *priv = get_private (self);
  return direction == AFP_PAD_SRC ? priv->srcs : priv->sinks;
}

/* (transfer none) */
AfpPad *
afp_element_add_pad (AfpElement *self, const char *name, AfpPadDirection direction)
{
  GPtrArray *pads = get_pads (self, direction);
  AfpPad *pad = afp_pad_new (self, name, direction);
  g_ptr_array_add (pads, pad);
  return pad;
}

AfpPad *
afp_element_get_pad (AfpElement *self, AfpPadDirection direction, guint index)
{
  GPtrArray *pads = get_pads (self, direction);
  return index < pads->len ? pads->pdata[index] : NULL;
}

guint
afp_element_get_n_pads (AfpElement *self, AfpPadDirection direction)
{
  return get_pads (self, direction)->len;
}

/* --- run --- */

AfpRun *
afp_element_get_run (AfpElement *self)
{
  return get_private (self)->run;
}

void
afp_element_set_run (AfpElement *self, AfpRun *run)
{
  get_private (self)->run = run;
}

AfpPool *
afp_element_get_pool (AfpElement *self)
{
  AfpRun *run = get_private (self)->run;
  return run ? afp_run_get_pool (run) : NULL;
}

/* --- GObject --- */

/* The value as text, so that there is one way in; NULL for an unset string. */
static char *
value_to_text (const AfpProperty *property, const GValue *value)
{
  gboolean has_auto = (property->flags & AFP_PROPERTY_AUTO) != 0;
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  switch (property->type) {
  case AFP_PROPERTY_BOOL:
    return g_strdup (g_value_get_boolean (value) ? "true" : "false");
  case AFP_PROPERTY_UINT:
    if (has_auto && g_value_get_uint (value) == 0)
      return g_strdup ("auto");
    return g_strdup_printf ("%u", g_value_get_uint (value));
  case AFP_PROPERTY_INT:
    return g_strdup_printf ("%d", g_value_get_int (value));
  case AFP_PROPERTY_SIZE:
    if (has_auto && g_value_get_uint64 (value) == 0)
      return g_strdup ("auto");
    return g_strdup_printf ("%" G_GUINT64_FORMAT, g_value_get_uint64 (value));
  case AFP_PROPERTY_DOUBLE:
    return g_strdup (g_ascii_dtostr (buffer, sizeof buffer, g_value_get_double (value)));
  default:
    return g_value_dup_string (value);
  }
}

static void
afp_element_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  AfpElement *self = AFP_ELEMENT (object);
  g_autoptr (GError) error = NULL;

  if (id == PROP_NAME) {
    afp_element_set_name (self, g_value_get_string (value));
    return;
  }
  guint index = id - PROP_FIRST_SLOT;
  const AfpPropertySlot *slot = get_slot (AFP_ELEMENT_GET_CLASS (self), index);
  g_autofree char *text = value_to_text (slot->property, value);
  if (refuse_frozen (self, pspec->name, &error)) {
    g_critical ("%s", error->message);
  } else if (!text) {
    afp_property_clear (slot->property, get_field (self, slot));
    get_private (self)->origins[index] = BY_HAND;
  } else if (!set_slot (self, index, text, BY_HAND, &error)) {
    g_critical ("%s", error->message);
  }
}

static void
afp_element_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  AfpElement *self = AFP_ELEMENT (object);
  if (id == PROP_NAME) {
    g_value_set_string (value, afp_element_get_name (self));
    return;
  }
  const AfpPropertySlot *slot = get_slot (AFP_ELEMENT_GET_CLASS (self), id - PROP_FIRST_SLOT);
  gconstpointer field = get_field (self, slot);
  switch (slot->property->type) {
  case AFP_PROPERTY_BOOL:
    g_value_set_boolean (value, *(const gboolean *) field);
    break;
  case AFP_PROPERTY_UINT:
    g_value_set_uint (value, *(const guint *) field);
    break;
  case AFP_PROPERTY_INT:
    g_value_set_int (value, *(const gint *) field);
    break;
  case AFP_PROPERTY_SIZE:
    g_value_set_uint64 (value, *(const guint64 *) field);
    break;
  case AFP_PROPERTY_DOUBLE:
    g_value_set_double (value, *(const double *) field);
    break;
  default:
    g_value_take_string (value, afp_property_format (slot->property, field));
  }
}

static void
afp_element_constructed (GObject *object)
{
  AfpElement *self = AFP_ELEMENT (object);
  guint n = AFP_ELEMENT_GET_CLASS (self)->properties->len;

  G_OBJECT_CLASS (afp_element_parent_class)->constructed (object);
  get_private (self)->origins = g_new0 (guint8, n);
  for (guint i = 0; i < n; i++)
    set_default (self, i);
}

static void
afp_element_finalize (GObject *object)
{
  AfpElement *self = AFP_ELEMENT (object);
  AfpElementPrivate *priv = get_private (self);
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (self);

  for (guint i = 0; i < klass->properties->len; i++) {
    const AfpPropertySlot *slot = get_slot (klass, i);
    afp_property_clear (slot->property, get_field (self, slot));
  }
  g_ptr_array_unref (priv->sinks);
  g_ptr_array_unref (priv->srcs);
  g_free (priv->name);
  g_free (priv->factory_name);
  g_free (priv->origins);
  G_OBJECT_CLASS (afp_element_parent_class)->finalize (object);
}

static void
afp_element_class_init (AfpElementClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->constructed = afp_element_constructed;
  object_class->finalize = afp_element_finalize;
  object_class->get_property = afp_element_get_property;
  object_class->set_property = afp_element_set_property;
  klass->properties = g_ptr_array_new ();
  g_object_class_install_property (
      object_class, PROP_NAME,
      g_param_spec_string ("name", "name", "Name of the element in its pipeline", NULL,
                           G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS));
}

static void
afp_element_init (AfpElement *self)
{
  AfpElementPrivate *priv = get_private (self);
  priv->sinks = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_pad_free);
  priv->srcs = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_pad_free);
}
