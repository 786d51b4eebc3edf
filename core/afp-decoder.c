/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-bits.h"
#include "afp-codec-private.h"
#include "afp-crash.h"
#include "afp-error.h"
#include "afp-registry.h"

#include <string.h>

/* --- codecs by name ----------------------------------------------------------------------------------------------- */

static GMutex codecs_lock;
static GHashTable *codecs; /* "name(params)" -> AfpTransform, frozen, kept for ever */

static guint
codec_version (AfpTransform *element)
{
  return AFP_IS_CODEC (element) ? AFP_CODEC_GET_CLASS (element)->version
                                : AFP_PACKER_GET_CLASS (element)->version;
}

static AfpTransform *
make_codec (const char *name, const char *params, GError **error)
{
  AfpElementFactory *factory = afp_registry_find (afp_registry_get_default (), name);

  if (!factory) {
    g_autoptr (GError) reason = NULL;
    AfpElement *none = afp_registry_make (afp_registry_get_default (), name, &reason);
    g_clear_object (&none);
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLUGIN, "codec '%s' is not installed: %s", name,
                 reason ? reason->message : "no such element");
    return NULL;
  }
  g_autoptr (AfpElement) element = afp_element_factory_make (factory, NULL);
  if (!AFP_IS_CODEC (element) && !AFP_IS_PACKER (element)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "element '%s' is no codec, but a recipe names it as one", name);
    return NULL;
  }
  if (*params && !afp_element_set_properties_text (element, params, error)) {
    g_prefix_error (error, "codec '%s' with parameters \"%s\": ", name, params);
    return NULL;
  }
  afp_element_freeze (element);
  return AFP_TRANSFORM (g_steal_pointer (&element));
}

/* @version 0: any. (transfer none) */
AfpTransform *
afp_codec_find (const char *name, guint version, const char *params, GError **error)
{
  g_autofree char *key = g_strdup_printf ("%s(%s)", name, params);

  g_mutex_lock (&codecs_lock);
  if (!codecs)
    codecs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_object_unref);
  AfpTransform *codec = g_hash_table_lookup (codecs, key);
  if (!codec && (codec = make_codec (name, params, error)))
    g_hash_table_insert (codecs, g_steal_pointer (&key), codec);
  g_mutex_unlock (&codecs_lock);
  if (codec && version > codec_version (codec)) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_PLUGIN,
        "codec '%s' version %u is needed, but version %u is installed: update the plugin that provides it",
        name, version, codec_version (codec));
    return NULL;
  }
  return codec;
}

/* --- a coded plane as a matrix ------------------------------------------------------------------------------------ */

typedef struct {
  AfpCodec *codec;
  AfpContext *ctx;
  gpointer state;
  struct {
    GBytes *codes;
    AfpMatrix *matrix;
  } * children;
} Decoder;

static void
decoder_free (gpointer user_data)
{
  Decoder *self = user_data;

  if (self->state && self->state != self->ctx && AFP_CODEC_GET_CLASS (self->codec)->close)
    AFP_CODEC_GET_CLASS (self->codec)->close (self->codec, self->state);
  for (guint i = 0; i < afp_layout_get_n_children (self->ctx->layout); i++) {
    g_clear_pointer (&self->children[i].codes, g_bytes_unref);
    g_clear_pointer (&self->children[i].matrix, afp_matrix_unref);
  }
  g_free (self->children);
  afp_context_free (self->ctx);
  g_object_unref (self->codec);
  g_free (self);
}

/* The children's part of a tile. */
static gboolean
fill_children (Decoder *self, const AfpTile *tile, AfpBlockBuffer *buffer, GError **error)
{
  const AfpLayout *layout = self->ctx->layout;
  const guint64 quanta = tile->n_cols / layout->quantum, first = tile->col / layout->quantum;

  for (guint i = 0; i < afp_layout_get_n_children (layout); i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (layout, i);
    const guint64 col = first * desc->per_quantum, n = quanta * desc->per_quantum;
    if (desc->scope != AFP_SCOPE_BLOCK)
      continue;
    if (self->children[i].matrix) {
      if (!afp_matrix_read (self->children[i].matrix, tile->row, tile->n_rows, col, n,
                            buffer->planes[i].values, error))
        return FALSE;
      continue;
    }
    const guint8 *packed = g_bytes_get_data (self->children[i].codes, NULL);
    for (guint64 r = 0; r < tile->n_rows; r++)
      afp_bits_unpack (packed, (tile->row + r) * desc->cols + col, buffer->planes[i].codes + r * n,
                       n, desc->bits);
  }
  return TRUE;
}

static gboolean
decode_tile (Decoder *self, const AfpTile *tile, guint64 col, guint64 n_cols, float *out,
             GError **error)
{
  AfpCodecClass *klass = AFP_CODEC_GET_CLASS (self->codec);
  AfpBlockBuffer buffer;
  AfpCrashNote note;
  gboolean ok;

  afp_block_buffer_init (&buffer, self->ctx, tile, FALSE);
  afp_crash_enter (&note, AFP_ELEMENT (self->codec));
  ok = fill_children (self, tile, &buffer, error) &&
       (!klass->decode_block ||
        klass->decode_block (self->codec, self->state, &buffer.block, error));
  afp_crash_leave (&note);
  if (!ok)
    g_prefix_error (error, "plane '%s' (%s/%u): ", self->ctx->name,
                    afp_element_get_factory_name (AFP_ELEMENT (self->codec)), klass->version);
  for (guint64 r = 0; ok && r < tile->n_rows; r++)
    memcpy (out + r * n_cols, buffer.block.values + r * tile->n_cols + (col - tile->col),
            n_cols * sizeof *out);
  afp_block_buffer_clear (&buffer);
  return ok;
}

static gboolean
decoder_read (gpointer user_data, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols,
              float *out, GError **error)
{
  Decoder *self = user_data;
  const guint quantum = self->ctx->layout->quantum;
  const guint64 first = col / quantum * quantum;
  const guint64 end = (col + n_cols + quantum - 1) / quantum * quantum;
  const guint64 step = MAX (AFP_TILE_ELEMENTS * 4 / (end - first), 1);

  for (guint64 r = 0; r < n_rows; r += step) {
    const AfpTile tile = { row + r, MIN (step, n_rows - r), first, end - first };
    if (!decode_tile (self, &tile, col, n_cols, out + r * n_cols, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
open_child (Decoder *self, AfpPlane *plane, guint i, GError **error)
{
  const AfpPlaneDesc *desc = afp_layout_get_child (self->ctx->layout, i);
  const AfpPlaneDesc *actual = afp_plane_get_desc (plane);
  AfpContextChild *child = &self->ctx->children[i];

  if (actual->rows != desc->rows || actual->cols != desc->cols || actual->bits != desc->bits ||
      actual->kind != desc->kind) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "plane '%s' is damaged: it is not what its recipe describes", actual->name);
    return FALSE;
  }
  if (desc->kind == AFP_KIND_CODE) {
    if (!(self->children[i].codes = afp_plane_get_codes (plane, error)))
      return FALSE;
    if (desc->scope == AFP_SCOPE_BLOCK)
      return TRUE;
    if (!afp_context_add_array (self->ctx, i, error))
      return FALSE;
    afp_bits_unpack (g_bytes_get_data (self->children[i].codes, NULL), 0, child->codes,
                     desc->rows * desc->cols, desc->bits);
    return TRUE;
  }
  if (!(self->children[i].matrix = afp_plane_open (plane, NULL, error)))
    return FALSE;
  return desc->scope == AFP_SCOPE_BLOCK ||
         (afp_context_add_array (self->ctx, i, error) &&
          afp_matrix_read (self->children[i].matrix, 0, desc->rows, 0, desc->cols, child->values,
                           error));
}

/* (transfer full): the numbers of a coded plane, decoded from its children and from nothing else */
AfpMatrix *
afp_decoder_open (AfpPlane *plane, GError **error)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  AfpTransform *element =
      afp_codec_find (afp_plane_get_codec (plane), afp_plane_get_codec_version (plane),
                      afp_plane_get_params (plane), error);

  if (!element)
    return NULL;
  if (!AFP_IS_CODEC (element)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "plane '%s' holds numbers, but codec '%s' is for code planes", desc->name,
                 afp_plane_get_codec (plane));
    return NULL;
  }
  g_autoptr (AfpLayout) layout = afp_codec_describe (AFP_CODEC (element), desc, error);
  if (!layout)
    return NULL;
  const guint n = afp_layout_get_n_children (layout);
  if (n != afp_plane_get_n_children (plane)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "plane '%s' has %u planes where codec '%s' needs %u", desc->name,
                 afp_plane_get_n_children (plane), afp_plane_get_codec (plane), n);
    return NULL;
  }
  Decoder *self = g_new0 (Decoder, 1);
  self->codec = AFP_CODEC (g_object_ref (element));
  self->ctx = afp_context_new_decoding (self->codec, layout, desc->name);
  self->children = g_malloc0 (MAX (n, 1) * sizeof *self->children);
  AfpMatrix *matrix = afp_matrix_new (afp_layout_get_rows (layout), afp_layout_get_cols (layout),
                                      decoder_read, self, decoder_free);
  GError *local = NULL;
  gboolean ok = TRUE;
  for (guint i = 0; ok && i < n; i++)
    ok = open_child (self, afp_plane_get_child (plane, i), i, &local);
  if (!AFP_CODEC_GET_CLASS (self->codec)->open)
    self->state = self->ctx;
  else if (ok)
    self->state = AFP_CODEC_GET_CLASS (self->codec)->open (self->codec, self->ctx, &local);
  if (local) {
    g_propagate_error (error, local);
    afp_matrix_unref (matrix);
    return NULL;
  }
  AfpMatrix *result = layout->transposed ? afp_matrix_transpose (matrix)
                                         : afp_matrix_reshape (matrix, desc->rows, desc->cols);
  afp_matrix_unref (matrix);
  return result;
}
