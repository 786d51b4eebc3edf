/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-file.h"

#define TENSORS "a(ayayayayiuuu)"
#define PLANES "a(ayyttu)"
#define RECIPES "aay"
#define EXTRAS "a(ayttu)"

static GVariant *
pack_text (const char *text)
{
  return g_variant_new_maybe (G_VARIANT_TYPE_STRING, text ? g_variant_new_string (text) : NULL);
}

static GVariant *
pack_tensors (const AfpFile *file)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE (TENSORS));
  for (guint i = 0; i < file->tensors->len; i++) {
    const AfpFileTensor *row = afp_file_tensor (file, i);
    g_variant_builder_add (&builder, "(^ay^ay^ay^ayiuuu)", row->name, row->dtype, row->shape,
                           row->view, row->alias_of, row->recipe, row->first_plane, row->n_planes);
  }
  return g_variant_builder_end (&builder);
}

static GVariant *
pack_planes (const AfpFile *file)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE (PLANES));
  for (guint i = 0; i < file->planes->len; i++) {
    const AfpFilePlane *row = afp_file_plane (file, i);
    g_variant_builder_add (&builder, "(^ayyttu)", row->role, row->bits, row->offset, row->bytes,
                           row->crc32);
  }
  return g_variant_builder_end (&builder);
}

static GVariant *
pack_extras (const AfpFile *file)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE (EXTRAS));
  for (guint i = 0; i < file->extras->len; i++) {
    const AfpFileExtra *row = afp_file_extra (file, i);
    g_variant_builder_add (&builder, "(^ayttu)", row->name, row->bytes, row->stored, row->crc32);
  }
  return g_variant_builder_end (&builder);
}

GBytes *
afp_file_pack (const AfpFile *file)
{
  static const char *const none[] = { NULL };
  const char *const *plugins = file->plugins ? (const char *const *) file->plugins : none;
  GVariant *members[] = {
    pack_text (file->pipeline),
    pack_text (file->tool_version),
    pack_text (file->fingerprint),
    pack_text (file->metrics),
    g_variant_new_strv (plugins, -1),
    g_variant_new_uint64 (file->payload_bytes),
    g_variant_new_uint64 (file->payload_offset),
    g_variant_new_bytestring_array ((const char *const *) file->recipes->pdata, file->recipes->len),
    pack_tensors (file),
    pack_planes (file),
    pack_extras (file),
    g_variant_new_uint64 (file->extras_offset),
  };
  g_autoptr (GVariant) packed =
      g_variant_ref_sink (g_variant_new_tuple (members, G_N_ELEMENTS (members)));

  return g_variant_get_data_as_bytes (packed);
}

static void
unpack_tensors (AfpFile *file, GVariantIter *rows)
{
  AfpFileTensor row;

  while (g_variant_iter_next (rows, "(^ay^ay^ay^ayiuuu)", &row.name, &row.dtype, &row.shape,
                              &row.view, &row.alias_of, &row.recipe, &row.first_plane,
                              &row.n_planes))
    g_array_append_val (file->tensors, row);
}

static void
unpack_planes (AfpFile *file, GVariantIter *rows)
{
  AfpFilePlane row;
  const char *role;

  while (g_variant_iter_next (rows, "(^&ayyttu)", &role, &row.bits, &row.offset, &row.bytes,
                              &row.crc32)) {
    row.role = g_string_chunk_insert_const (file->texts, role);
    g_array_append_val (file->planes, row);
  }
}

static void
unpack_extras (AfpFile *file, GVariantIter *rows)
{
  AfpFileExtra row = { NULL, 0, 0, 0, NULL };

  while (g_variant_iter_next (rows, "(^ayttu)", &row.name, &row.bytes, &row.stored, &row.crc32))
    g_array_append_val (file->extras, row);
}

AfpFile *
afp_file_unpack (GBytes *bytes, const char *path, GError **error)
{
  const GVariantType *type = G_VARIANT_TYPE ("(msmsmsmsastt" RECIPES TENSORS PLANES EXTRAS "t)");
  g_autoptr (GVariant) packed = g_variant_ref_sink (g_variant_new_from_bytes (type, bytes, FALSE));
  g_autoptr (GVariantIter) recipes = NULL, tensors = NULL, planes = NULL, extras = NULL;
  g_autoptr (AfpFile) file = afp_file_new ();
  char *recipe;

  if (!g_variant_is_normal_form (packed)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "cannot read '%s': its tables came over damaged from the child process", path);
    return NULL;
  }
  g_variant_get (packed, "(msmsmsms^astt" RECIPES TENSORS PLANES EXTRAS "t)", &file->pipeline,
                 &file->tool_version, &file->fingerprint, &file->metrics, &file->plugins,
                 &file->payload_bytes, &file->payload_offset, &recipes, &tensors, &planes, &extras,
                 &file->extras_offset);
  while (g_variant_iter_next (recipes, "^ay", &recipe))
    g_ptr_array_add (file->recipes, recipe);
  unpack_tensors (file, tensors);
  unpack_planes (file, planes);
  unpack_extras (file, extras);
  return g_steal_pointer (&file);
}
