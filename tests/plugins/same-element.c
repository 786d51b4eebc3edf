/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An element of another plugin, and one of its own. */
#include "afpipe.h"

#define OTHER_TYPE_THING (other_thing_get_type ())
G_DECLARE_FINAL_TYPE (OtherThing, other_thing, OTHER, THING, AfpTransform)

struct _OtherThing {
  AfpTransform parent_instance;
};

G_DEFINE_FINAL_TYPE (OtherThing, other_thing, AFP_TYPE_TRANSFORM)

static void
other_thing_class_init (OtherThingClass *klass)
{
}

static void
other_thing_init (OtherThing *self)
{
}

static gboolean
init (AfpPlugin *plugin, GError **error)
{
  afp_plugin_add_element (plugin, "good-thing", OTHER_TYPE_THING);
  afp_plugin_add_element (plugin, "other-thing", OTHER_TYPE_THING);
  return TRUE;
}

AFP_PLUGIN_DEFINE ("other", "1.0", "MIT", "https://example.org/other",
                   "An element that exists already", init)
