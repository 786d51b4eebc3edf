/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Planes from a recipe and bytes that are written by hand. */
#pragma once

#include "core-test.h"

/* Bytes of a leaf of a recipe, written by hand. */
typedef struct {
  const char *path;
  const void *data;
  gsize n;
} Leaf;

static inline GBytes *
leaf_data (guint leaf, const AfpPlaneDesc *desc, const char *path, gpointer user_data,
           GError **error)
{
  for (const Leaf *l = user_data; l->path; l++)
    if (strcmp (l->path, path) == 0)
      return g_bytes_new (l->data, l->n);
  ck_abort_msg ("no data for %s", path);
  return NULL;
}

static inline AfpMatrix *
open_recipe (const char *recipe, guint64 rows, guint64 cols, Leaf *leaves, GError **error)
{
  const guint64 shape[] = { rows, cols };
  g_autoptr (AfpSpec) spec = afp_spec_new ("fc", AFP_DTYPE_F32, 2, shape, NULL, NULL);
  g_autoptr (AfpPlane) root = afp_recipe_build (recipe, spec, leaf_data, leaves, error);

  return root ? afp_plane_open (root, spec, error) : NULL;
}
