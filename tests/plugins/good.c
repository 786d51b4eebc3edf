/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A good plugin. */
#include "afpipe.h"

#define GOOD_TYPE_THING (good_thing_get_type ())
G_DECLARE_FINAL_TYPE (GoodThing, good_thing, GOOD, THING, AfpTransform)

struct _GoodThing {
  AfpTransform parent_instance;
};

G_DEFINE_FINAL_TYPE (GoodThing, good_thing, AFP_TYPE_TRANSFORM)

static void
good_thing_class_init (GoodThingClass *klass)
{
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Lets tensors pass.",
                                 "synth ! good-thing ! null");
}

static void
good_thing_init (GoodThing *self)
{
}

static gboolean
init (AfpPlugin *plugin, GError **error)
{
  afp_plugin_add_element (plugin, "good-thing", GOOD_TYPE_THING);
  return TRUE;
}

AFP_PLUGIN_DEFINE ("good", "1.2.3", "MIT", "https://example.org/good", "A good plugin", init)
