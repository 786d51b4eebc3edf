/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-memo.h"

#include <string.h>

/*
 * A coded plane as bytes: its children, one after another. Each begins with 64 bytes: what it is, bytes of its data, bytes of its metric
 * (64 bits each, little-endian), zeros; data and metric follow, padded to 64 bytes; behind a child that is coded, its own children.
 * Names, shapes and codecs are not told: the claim knows them. So little can be wrong in what is read: a kind or a length.
 */

#define ALIGN 64

typedef enum {
  PART_CODE = 1,
  PART_VALUES,
  PART_FROZEN, /* the coded form that the child's claim gave it */
  PART_GIVEN   /* shared, and fitted before: the codec has it */
} PartKind;

static gsize
get_metric_bytes (const AfpPlaneDesc *desc)
{
  const gsize stride = afp_metric_stride (desc->metric, desc->vector);

  return desc->vector ? desc->rows * desc->cols / desc->vector * stride * sizeof (float) : 0;
}

/* --- write --------------------------------------------------------------------------------------------------------- */

static void
add_bytes (GPtrArray *pieces, GBytes *bytes)
{
  static const guint8 zeros[ALIGN] = { 0 };
  const gsize rest = g_bytes_get_size (bytes) % ALIGN;

  g_ptr_array_add (pieces, g_bytes_ref (bytes));
  if (rest)
    g_ptr_array_add (pieces, g_bytes_new_static (zeros, ALIGN - rest));
}

static void
add_part (GPtrArray *pieces, PartKind kind, GBytes *data, GBytes *metric)
{
  const guint64 head[ALIGN / 8] = { GUINT64_TO_LE ((guint64) kind),
                                    GUINT64_TO_LE (data ? g_bytes_get_size (data) : 0),
                                    GUINT64_TO_LE (metric ? g_bytes_get_size (metric) : 0) };

  g_ptr_array_add (pieces, g_bytes_new (head, sizeof head));
  if (data)
    add_bytes (pieces, data);
  if (metric)
    add_bytes (pieces, metric);
}

static gboolean write_children (GPtrArray *pieces, AfpPlane *plane, const AfpClaim *claim);

static gboolean
write_child (GPtrArray *pieces, AfpPlane *plane, const AfpClaim *claim, guint child)
{
  const AfpPlaneDesc *desc = afp_layout_get_child (claim->layout, child),
                     *own = afp_plane_get_desc (plane);
  GBytes *data = afp_plane_get_data (plane), *metric = afp_plane_get_metric (plane);
  AfpPlane *frozen = afp_plane_get_frozen (plane);

  if (plane == afp_claim_find_given (claim, child)) {
    add_part (pieces, PART_GIVEN, NULL, NULL);
    return TRUE;
  }
  if (own->kind != desc->kind || own->rows != desc->rows || own->cols != desc->cols ||
      own->bits != desc->bits || afp_plane_get_codec (plane) || desc->bound)
    return FALSE;
  if (frozen) {
    add_part (pieces, PART_FROZEN, NULL, NULL);
    return !data && !metric && claim->children && claim->children[child] &&
           write_children (pieces, frozen, claim->children[child]);
  }
  if (data)
    add_part (pieces, desc->kind == AFP_KIND_CODE ? PART_CODE : PART_VALUES, data, metric);
  return data != NULL;
}

static gboolean
write_children (GPtrArray *pieces, AfpPlane *plane, const AfpClaim *claim)
{
  const guint n = afp_layout_get_n_children (claim->layout);
  gboolean ok = afp_plane_get_codec (plane) && afp_plane_get_n_children (plane) == n;

  for (guint i = 0; ok && i < n; i++)
    ok = write_child (pieces, afp_plane_get_child (plane, i), claim, i);
  return ok;
}

GPtrArray *
afp_plane_to_bytes (AfpPlane *plane, const AfpClaim *claim)
{
  g_autoptr (GPtrArray) pieces = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  return write_children (pieces, plane, claim) ? g_steal_pointer (&pieces) : NULL;
}

/* --- read ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  GBytes *bytes;
  gsize at;
} Reader;

/* (transfer full) (nullable): the next @size bytes; what pads them is passed, too */
static GBytes *
take_bytes (Reader *reader, guint64 size)
{
  const gsize left = g_bytes_get_size (reader->bytes) - reader->at;

  if (size > left || (ALIGN - size % ALIGN) % ALIGN > left - size)
    return NULL;
  GBytes *part = g_bytes_new_from_bytes (reader->bytes, reader->at, size);
  reader->at += (size + ALIGN - 1) / ALIGN * ALIGN;
  return part;
}

static AfpPlane *read_coded (Reader *reader, const AfpClaim *claim);

static AfpPlane *
read_frozen (Reader *reader, const AfpClaim *claim, guint child)
{
  const AfpPlaneDesc *desc = afp_layout_get_child (claim->layout, child);

  if (!afp_plane_desc_is_float (desc) || !claim->children || !claim->children[child])
    return NULL;
  g_autoptr (AfpPlane) frozen = read_coded (reader, claim->children[child]);
  return frozen ? afp_plane_new_float (desc, NULL, frozen) : NULL;
}

static AfpPlane *
read_values (Reader *reader, const AfpPlaneDesc *desc, guint64 n_data, guint64 n_metric)
{
  if (!afp_plane_desc_is_float (desc) || n_data != desc->rows * desc->cols * sizeof (float) ||
      (n_metric && n_metric != get_metric_bytes (desc)))
    return NULL;
  g_autoptr (GBytes) data = take_bytes (reader, n_data);
  g_autoptr (GBytes) metric = data && n_metric ? take_bytes (reader, n_metric) : NULL;
  if (!data || (n_metric && !metric))
    return NULL;
  AfpPlane *plane = afp_plane_new_float (desc, data, NULL);
  afp_plane_set_metric (plane, metric);
  return plane;
}

static AfpPlane *
read_code (Reader *reader, const AfpPlaneDesc *desc, guint64 n_data)
{
  if (desc->kind != AFP_KIND_CODE || desc->bound || n_data != afp_plane_desc_bytes (desc))
    return NULL;
  g_autoptr (GBytes) data = take_bytes (reader, n_data);
  return data ? afp_plane_new_code (desc, data) : NULL;
}

static AfpPlane *
read_child (Reader *reader, const AfpClaim *claim, guint child)
{
  const AfpPlaneDesc *desc = afp_layout_get_child (claim->layout, child);
  g_autoptr (GBytes) head = take_bytes (reader, ALIGN);
  AfpPlane *given;
  guint64 words[ALIGN / 8];

  if (!head)
    return NULL;
  memcpy (words, g_bytes_get_data (head, NULL), ALIGN);
  switch (GUINT64_FROM_LE (words[0])) {
  case PART_CODE:
    return read_code (reader, desc, GUINT64_FROM_LE (words[1]));
  case PART_VALUES:
    return read_values (reader, desc, GUINT64_FROM_LE (words[1]), GUINT64_FROM_LE (words[2]));
  case PART_FROZEN:
    return read_frozen (reader, claim, child);
  case PART_GIVEN:
    given = afp_claim_find_given (claim, child);
    return given ? afp_plane_ref (given) : NULL;
  default:
    return NULL;
  }
}

static AfpPlane *
read_coded (Reader *reader, const AfpClaim *claim)
{
  const AfpLayout *layout = claim->layout;
  const guint n = afp_layout_get_n_children (layout);
  g_autoptr (GPtrArray) children =
      g_ptr_array_new_with_free_func ((GDestroyNotify) afp_plane_unref);

  for (guint i = 0; i < n; i++) {
    AfpPlane *child = read_child (reader, claim, i);
    if (!child)
      return NULL;
    g_ptr_array_add (children, child);
  }
  return afp_claim_make_plane (claim, (AfpPlane **) children->pdata);
}

AfpPlane *
afp_plane_from_bytes (GBytes *bytes, const AfpClaim *claim)
{
  Reader reader = { bytes, 0 };
  g_autoptr (AfpPlane) plane = read_coded (&reader, claim);

  return plane && reader.at == g_bytes_get_size (bytes) ? g_steal_pointer (&plane) : NULL;
}
