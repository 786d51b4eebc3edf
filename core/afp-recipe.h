/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-tensor.h"

G_BEGIN_DECLS

/*
 * From the text of a recipe back to a tree of planes: readers of files use this. Codecs are found by name in the registry and
 * describe their planes again from the resolved parameters.
 */

/* Leaf planes (code and raw) of a recipe in file order. For each leaf @func gives its bytes; NULL data plans. */
typedef GBytes *(*AfpRecipeData) (guint leaf, const AfpPlaneDesc *desc, const char *path,
                                  gpointer user_data, GError **error);

/* AFP_ERROR_PLUGIN: "codec 'x' version 2 is missing"; AFP_ERROR_FORMAT: the text or the sizes of planes are damaged.
 * @data: (nullable): NULL gives a planned tree. */
AFP_API AfpPlane *afp_recipe_build (const char *recipe, AfpSpec *spec, AfpRecipeData data,
                                    gpointer user_data, GError **error);
AFP_API guint afp_recipe_count_leaves (
    const char *recipe); /* without needing the codecs; G_MAXUINT if the text is damaged */
AFP_API GStrv afp_recipe_list_codecs (const char *recipe); /* "seedlm/1", ... each once */
/* A plane stored by a fallback codec becomes a float plane again (with its coded form frozen), so that a chain can go on. */
AFP_API AfpPlane *afp_recipe_reopen_floats (AfpPlane *root);

G_END_DECLS
