/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plugin that does what the name of its file says: afpWHERE-HOW.so. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* dladdr */
#endif

#include "afpipe.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile int *volatile nowhere = (volatile int *) 4096; /* not NULL: UBSan would see that */

static const char *
get_path (void)
{
  Dl_info info;

  return dladdr ((gconstpointer) get_path, &info) ? info.dli_fname : "?";
}

/* "init-loop" */
static const char *
get_name (void)
{
  static char name[100];
  const char *base = strrchr (get_path (), '/');

  g_strlcpy (name, base + strlen ("/afp"), sizeof name);
  *strchr (name, '.') = '\0';
  return name;
}

static void
act (const char *where)
{
  const char *how = get_name () + strlen (where);

  if (!g_str_has_prefix (get_name (), where) || *how++ != '-')
    return;
  if (strcmp (how, "crash") == 0)
    *nowhere = 1;
  else if (strcmp (how, "abort") == 0)
    abort ();
  else if (strcmp (how, "exit") == 0)
    exit (0);
  else if (strcmp (how, "loop") == 0)
    while (nowhere)
      ;
  else if (strcmp (how, "mute") ==
           0) /* it cannot be ended with SIGTERM, and has closed everything */
    for (int i = 0;; i = (i + 1) % 100) {
      signal (SIGTERM, SIG_IGN);
      close (i);
    }
  else if (strcmp (how, "registry") == 0)
    afp_registry_find (afp_registry_get_default (), "f16");
}

__attribute__ ((constructor)) static void
load (void)
{
  act ("load");
}

static void
trouble_thing_class_init (gpointer klass, gpointer data)
{
  act ("class");
}

static void
trouble_thing_init (GTypeInstance *self, gpointer klass)
{
  act ("make");
}

/* Each copy of this file has a type of its own. */
static gboolean
init (AfpPlugin *plugin, GError **error)
{
  g_autofree char *type = g_strdup_printf ("Trouble%08x", g_str_hash (get_path ()));

  act ("init");
  afp_plugin_add_element (
      plugin, get_name (),
      g_type_register_static_simple (AFP_TYPE_TRANSFORM, type, sizeof (AfpTransformClass),
                                     trouble_thing_class_init, sizeof (AfpTransform),
                                     trouble_thing_init, 0));
  return TRUE;
}

AFP_API const AfpPluginDesc *afp_plugin_get_desc (void);
const AfpPluginDesc *
afp_plugin_get_desc (void)
{
  static AfpPluginDesc desc = { AFP_PLUGIN_MAGIC,
                                AFP_ABI_MAJOR,
                                AFP_ABI_MINOR,
                                sizeof desc,
                                NULL,
                                "1.0",
                                "MIT",
                                "https://example.org/trouble",
                                "Trouble",
                                init };

  act ("desc");
  desc.name = get_name ();
  return &desc;
}
