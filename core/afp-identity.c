/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* dladdr */
#endif

#include "afp-identity.h"

#include "afp-mapped.h"
#include "afp-registry.h"

#include <dlfcn.h>

#define N_DIGITS 16

/* (transfer full): "VERSION+DIGITS". A file that cannot be read any more has a name of its own in each process: nothing matches it. */
static char *
describe_file (const char *version, const char *filename)
{
  g_autoptr (GBytes) map = filename ? afp_mapped_new (filename, NULL) : NULL;

  if (!map)
    return g_strdup_printf ("%s+%08x%08x", version, g_random_int (), g_random_int ());
  g_autofree char *digest = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, map);
  return g_strdup_printf ("%s+%.*s", version, N_DIGITS, digest);
}

/* Each file is read once. */
static const char *
get_file (const char *version, const char *filename)
{
  static GMutex lock;
  static GHashTable *known = NULL;

  g_mutex_lock (&lock);
  if (!known)
    known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  const char *name = filename ? filename : "";
  char *text = g_hash_table_lookup (known, name);
  if (!text) {
    text = describe_file (version, filename);
    g_hash_table_insert (known, g_strdup (name), text);
  }
  g_mutex_unlock (&lock);
  return text;
}

const char *
afp_identity_get_file_of (gconstpointer function)
{
  Dl_info info = { 0 };

  return get_file (AFP_VERSION, dladdr (function, &info) != 0 ? info.dli_fname : NULL);
}

static const char *
get_library (void)
{
  return afp_identity_get_file_of ((gconstpointer) afp_identity_get_machine);
}

const char *
afp_identity_get_code (AfpElement *element)
{
  const char *name = afp_element_get_factory_name (element);
  AfpElementFactory *factory = name ? afp_registry_find (afp_registry_get_default (), name) : NULL;
  AfpPlugin *plugin = factory ? afp_element_factory_get_plugin (factory) : NULL;
  const char *filename = plugin ? afp_plugin_get_filename (plugin) : NULL;

  return filename ? get_file (afp_plugin_get_version (plugin), filename) : get_library ();
}

static const char *
get_instructions (void)
{
#if defined(__x86_64__) && defined(__GNUC__)
  if (!__builtin_cpu_supports ("avx2") || !__builtin_cpu_supports ("fma") ||
      !__builtin_cpu_supports ("bmi2"))
    return "x86-64";
  return __builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512bw") &&
                 __builtin_cpu_supports ("avx512dq") && __builtin_cpu_supports ("avx512vl")
             ? "x86-64 avx2 avx512"
             : "x86-64 avx2";
#elif G_BYTE_ORDER == G_LITTLE_ENDIAN
  return "little-endian";
#else
  return "big-endian";
#endif
}

const char *
afp_identity_get_machine (void)
{
  static char *text = NULL;

  if (g_once_init_enter (&text))
    g_once_init_leave (&text, g_strdup_printf ("%s %s", get_library (), get_instructions ()));
  return text;
}
