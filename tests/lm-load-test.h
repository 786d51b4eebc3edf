/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A language model from the disk. */
#pragma once

#include "core-test.h"

#include "afp-lm.h"

/* The tensors of `load location=PATH`, for an AfpLmOpen. */
typedef struct {
  AfpSource *source;
  GHashTable *tensors; /* name -> AfpTensor */
} LmLoaded;

static inline AfpMatrix *
lm_loaded_open (gpointer user_data, const char *name, GError **error)
{
  LmLoaded *loaded = user_data;
  AfpTensor *tensor = g_hash_table_lookup (loaded->tensors, name);

  return tensor ? afp_plane_open (afp_tensor_get_root (tensor), afp_tensor_get_spec (tensor), error)
                : NULL;
}

static inline LmLoaded
lm_load (const char *path)
{
  g_autoptr (AfpElement) element = afp_registry_make (afp_registry_get_default (), "load", NULL);
  LmLoaded loaded = { AFP_SOURCE (element),
                      g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                             (GDestroyNotify) afp_tensor_unref) };

  ck_assert (afp_element_set_property_text (element, "location", path, NULL));
  ck_assert (afp_source_open (loaded.source, NULL));
  for (gsize i = 0; i < afp_source_get_n_tensors (loaded.source); i++) {
    AfpTensor *tensor = afp_source_read_tensor (loaded.source, i, NULL);
    ck_assert_ptr_nonnull (tensor);
    g_hash_table_insert (loaded.tensors,
                         g_strdup (afp_spec_get_name (afp_tensor_get_spec (tensor))), tensor);
  }
  g_steal_pointer (&element);
  return loaded;
}

static inline void
lm_unload (LmLoaded *loaded)
{
  g_hash_table_unref (loaded->tensors);
  g_object_unref (loaded->source);
}
