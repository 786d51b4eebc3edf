/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec-private.h"
#include "afp-crash.h"
#include "afp-error.h"
#include "afp-feedback.h"

#include <string.h>

AfpLayout *
afp_layout_new (AfpCodec *codec, const AfpPlaneDesc *input)
{
  AfpLayout *layout = g_new0 (AfpLayout, 1);

  g_atomic_ref_count_init (&layout->ref_count);
  layout->codec = g_object_ref (codec);
  layout->input = *input;
  layout->quantum = 1;
  layout->children = g_array_new (FALSE, TRUE, sizeof (AfpPlaneDesc));
  layout->params = g_ptr_array_new_with_free_func (g_free);
  return layout;
}

AfpLayout *
afp_layout_ref (AfpLayout *layout)
{
  g_atomic_ref_count_inc (&layout->ref_count);
  return layout;
}

void
afp_layout_unref (AfpLayout *layout)
{
  if (!g_atomic_ref_count_dec (&layout->ref_count))
    return;
  g_object_unref (layout->codec);
  g_array_unref (layout->children);
  g_ptr_array_unref (layout->params);
  g_free (layout);
}

/* The same choices for a plane of another size: what a quantizer is fitted on. */
AfpLayout *
afp_layout_resize (AfpLayout *layout, guint64 rows, guint64 cols)
{
  AfpLayout *copy = afp_layout_new (layout->codec, &layout->input);

  copy->input.rows = rows;
  copy->input.cols = cols;
  copy->quantum = layout->quantum;
  copy->flat = layout->flat;
  copy->transposed = layout->transposed;
  copy->open_loop = layout->open_loop;
  copy->tile_weights = layout->tile_weights;
  for (guint i = 0; i < layout->children->len; i++) {
    AfpPlaneDesc child = g_array_index (layout->children, AfpPlaneDesc, i);
    if (child.scope == AFP_SCOPE_BLOCK) {
      child.rows = afp_layout_get_rows (copy);
      child.cols = afp_layout_get_quanta (copy) * child.per_quantum;
    } else if (child.scope == AFP_SCOPE_ROW) {
      child.cols = afp_layout_get_rows (copy);
    }
    g_array_append_val (copy->children, child);
  }
  for (guint i = 0; i < layout->params->len; i++)
    g_ptr_array_add (copy->params, g_strdup (layout->params->pdata[i]));
  return copy;
}

/**
 * afp_layout_has_metric:
 * @layout: a layout that a codec has claimed a plane with
 *
 * Returns: %TRUE if errors of the plane count by a metric: its own, or one from the moments of the tensor (importance, feedback)
 */
gboolean
afp_layout_has_metric (const AfpLayout *layout)
{
  return layout->by_moments || layout->input.metric != AFP_METRIC_NONE;
}

AfpCodec *
afp_layout_get_codec (const AfpLayout *layout)
{
  return layout->codec;
}

const AfpPlaneDesc *
afp_layout_get_input (const AfpLayout *layout)
{
  return &layout->input;
}

/**
 * afp_layout_set_quantum:
 * @layout: a layout in the making; before the first child
 * @quantum: columns that the codec handles together
 *
 * Blocks start at multiples of the quantum; rows are padded with zeros to a multiple of it.
 */
void
afp_layout_set_quantum (AfpLayout *layout, guint quantum)
{
  g_return_if_fail (quantum > 0 && layout->children->len == 0);
  layout->quantum = quantum;
}

/**
 * afp_layout_set_flat:
 * @layout: a layout in the making; before the first child
 * @flat: whether the plane is one row, so that blocks cross rows
 */
void
afp_layout_set_flat (AfpLayout *layout, gboolean flat)
{
  g_return_if_fail (layout->children->len == 0);
  layout->flat = flat;
}

/**
 * afp_layout_set_transposed:
 * @layout: a layout in the making; before the first child
 * @transposed: whether the codec's rows are the plane's columns
 *
 * A plane whose vectors have a metric of their own cannot be turned.
 */
void
afp_layout_set_transposed (AfpLayout *layout, gboolean transposed)
{
  g_return_if_fail (layout->children->len == 0 &&
                    !(transposed && layout->input.metric != AFP_METRIC_NONE));
  layout->transposed = transposed;
}

/**
 * afp_layout_set_open_loop:
 * @layout: a layout in the making
 * @why: a string literal: why the codec cannot choose codes vector by vector, wherever they lie
 */
void
afp_layout_set_open_loop (AfpLayout *layout, const char *why)
{
  layout->open_loop = why;
}

/**
 * afp_layout_set_tile_weights:
 * @layout: a layout in the making
 * @weights: how many weights encode_block had best be given at once, about; 0: as many as is usual, 65,536
 *
 * For codecs that gain by many blocks at a time. A plane is cut into four tiles at least all the same, unless they are no larger than usual then;
 * with feedback it is cut as usual.
 */
void
afp_layout_set_tile_weights (AfpLayout *layout, guint64 weights)
{
  layout->tile_weights = weights;
}

/* How the plane of @layout is cut to be encoded. */
void
afp_layout_cut (const AfpLayout *layout, gboolean feedback, AfpTiles *tiles)
{
  const guint64 rows = afp_layout_get_rows (layout), cols = afp_layout_get_cols (layout);

  if (feedback)
    afp_feedback_init_tiles (tiles, layout);
  else
    afp_tiles_init_sized (tiles, rows, cols, layout->quantum,
                          MAX (MIN (layout->tile_weights, rows * cols / 4), AFP_TILE_ELEMENTS));
}

guint
afp_layout_get_quantum (const AfpLayout *layout)
{
  return layout->quantum;
}

guint64
afp_layout_get_rows (const AfpLayout *layout)
{
  return layout->flat ? 1 : layout->transposed ? layout->input.cols : layout->input.rows;
}

guint64
afp_layout_get_cols (const AfpLayout *layout)
{
  if (layout->flat)
    return layout->input.rows * layout->input.cols;
  return layout->transposed ? layout->input.rows : layout->input.cols;
}

guint64
afp_layout_get_quanta (const AfpLayout *layout)
{
  return (afp_layout_get_cols (layout) + layout->quantum - 1) / layout->quantum;
}

guint64
afp_layout_get_padded_cols (const AfpLayout *layout)
{
  return afp_layout_get_quanta (layout) * layout->quantum;
}

/* Columns of a block-scope child; what does not fit is refused by afp_codec_describe(). */
static guint64
per_row (const AfpLayout *layout, guint per_quantum)
{
  guint64 n;

  return g_uint64_checked_mul (&n, afp_layout_get_quanta (layout), per_quantum) ? n : G_MAXUINT64;
}

static guint
add_child (AfpLayout *layout, const AfpPlaneDesc *desc)
{
  AfpPlaneDesc child = *desc;

  child.name = g_intern_string (desc->name);
  if (!child.fallback && afp_plane_desc_is_float (desc))
    child.fallback = desc->kind == AFP_KIND_COEFFS     ? "block-float"
                     : desc->kind == AFP_KIND_RESIDUAL ? "drop"
                                                       : "f16";
  g_array_append_val (layout->children, child);
  return layout->children->len - 1;
}

/**
 * afp_layout_add_code:
 * @layout: a layout in the making
 * @name: name of the plane
 * @per_quantum: symbols for each quantum
 * @bits: bits per symbol, 1..32
 *
 * Returns: index of the new child: a code plane that follows rows and columns of the input
 */
guint
afp_layout_add_code (AfpLayout *layout, const char *name, guint per_quantum, guint bits)
{
  g_return_val_if_fail (bits >= 1 && bits <= 32 && per_quantum > 0, 0);
  return add_child (layout, &(AfpPlaneDesc){ .name = name,
                                             .kind = AFP_KIND_CODE,
                                             .scope = AFP_SCOPE_BLOCK,
                                             .rows = afp_layout_get_rows (layout),
                                             .cols = per_row (layout, per_quantum),
                                             .bits = bits,
                                             .per_quantum = per_quantum });
}

/**
 * afp_layout_add_float:
 * @layout: a layout in the making
 * @name: name of the plane
 * @kind: what it holds
 * @per_quantum: numbers for each quantum
 * @vector: natural vector length, a divisor of @per_quantum, or 0
 *
 * Returns: index of the new child: a float plane that follows rows and columns of the input
 */
guint
afp_layout_add_float (AfpLayout *layout, const char *name, AfpPlaneKind kind, guint per_quantum,
                      guint vector)
{
  g_return_val_if_fail (
      kind < AFP_KIND_CODE && per_quantum > 0 && (vector == 0 || per_quantum % vector == 0), 0);
  return add_child (layout, &(AfpPlaneDesc){ .name = name,
                                             .kind = kind,
                                             .scope = AFP_SCOPE_BLOCK,
                                             .rows = afp_layout_get_rows (layout),
                                             .cols = per_row (layout, per_quantum),
                                             .per_quantum = per_quantum,
                                             .vector = vector });
}

/**
 * afp_layout_add_tensor_code:
 * @layout: a layout in the making
 * @name: name of the plane
 * @n: number of symbols
 * @bits: bits per symbol, 1..32
 *
 * Returns: index of the new child: a code plane of the input as a whole
 */
guint
afp_layout_add_tensor_code (AfpLayout *layout, const char *name, guint64 n, guint bits)
{
  g_return_val_if_fail (bits >= 1 && bits <= 32, 0);
  return add_child (layout, &(AfpPlaneDesc){ .name = name,
                                             .kind = AFP_KIND_CODE,
                                             .scope = AFP_SCOPE_TENSOR,
                                             .rows = 1,
                                             .cols = n,
                                             .bits = bits });
}

/**
 * afp_layout_add_tensor_float:
 * @layout: a layout in the making
 * @name: name of the plane
 * @kind: what it holds
 * @rows: its rows
 * @cols: its columns
 * @vector: natural vector length, a divisor of @cols, or 0
 *
 * Returns: index of the new child: a float plane of the input as a whole (codebook, scale)
 */
guint
afp_layout_add_tensor_float (AfpLayout *layout, const char *name, AfpPlaneKind kind, guint64 rows,
                             guint64 cols, guint vector)
{
  g_return_val_if_fail (kind < AFP_KIND_CODE && (vector == 0 || cols % vector == 0), 0);
  return add_child (layout, &(AfpPlaneDesc){ .name = name,
                                             .kind = kind,
                                             .scope = AFP_SCOPE_TENSOR,
                                             .rows = rows,
                                             .cols = cols,
                                             .vector = vector });
}

/**
 * afp_layout_add_row_float:
 * @layout: a layout in the making
 * @name: name of the plane
 * @kind: what it holds
 *
 * Returns: index of the new child: one number for each row, as a matrix of one row
 */
guint
afp_layout_add_row_float (AfpLayout *layout, const char *name, AfpPlaneKind kind)
{
  g_return_val_if_fail (kind < AFP_KIND_CODE, 0);
  return add_child (layout, &(AfpPlaneDesc){ .name = name,
                                             .kind = kind,
                                             .scope = AFP_SCOPE_ROW,
                                             .rows = 1,
                                             .cols = afp_layout_get_rows (layout) });
}

void
afp_layout_set_fallback (AfpLayout *layout, guint child, const char *fallback)
{
  g_return_if_fail (child < layout->children->len);
  g_array_index (layout->children, AfpPlaneDesc, child).fallback = g_intern_string (fallback);
}

void
afp_layout_set_metric (AfpLayout *layout, guint child, AfpMetricKind metric)
{
  g_return_if_fail (child < layout->children->len &&
                    g_array_index (layout->children, AfpPlaneDesc, child).vector > 0);
  g_array_index (layout->children, AfpPlaneDesc, child).metric = metric;
}

void
afp_layout_set_optional (AfpLayout *layout, guint child)
{
  g_return_if_fail (child < layout->children->len);
  g_array_index (layout->children, AfpPlaneDesc, child).optional = TRUE;
}

static gboolean
machine_is_whole (const AfpCodeMachine *machine)
{
  if (machine->n_states < 1 || machine->n_states > AFP_MAX_MACHINE_STATES ||
      machine->n_contexts < 1 || machine->n_contexts > 256 || machine->bits > AFP_MAX_MACHINE_BITS)
    return FALSE;
  for (guint i = 0; i < machine->n_states; i++)
    if (machine->context[i] >= machine->n_contexts)
      return FALSE;
  for (guint i = 0; i < machine->n_states << machine->bits; i++)
    if (machine->next[i] >= machine->n_states)
      return FALSE;
  return TRUE;
}

/**
 * afp_layout_set_machine:
 * @layout: a layout in the making
 * @child: a code child
 * @machine: its contexts, all of its states and tables in range; lives as long as the program
 *
 * A lossless coder behind the codec may keep a table of frequencies for each context. Codes and sizes do not depend on it.
 */
void
afp_layout_set_machine (AfpLayout *layout, guint child, const AfpCodeMachine *machine)
{
  g_return_if_fail (child < layout->children->len && machine && machine_is_whole (machine));
  AfpPlaneDesc *desc = &g_array_index (layout->children, AfpPlaneDesc, child);
  g_return_if_fail (desc->kind == AFP_KIND_CODE);
  desc->machine = machine;
}

/**
 * afp_layout_set_shared:
 * @layout: a layout in the making
 * @child: a float child of tensor scope
 *
 * Planes of the same layout have this child in common, whatever tensors they are of. It is stored once.
 */
void
afp_layout_set_shared (AfpLayout *layout, guint child)
{
  AfpPlaneDesc *desc;

  g_return_if_fail (child < layout->children->len);
  desc = &g_array_index (layout->children, AfpPlaneDesc, child);
  g_return_if_fail (desc->scope == AFP_SCOPE_TENSOR && afp_plane_desc_is_float (desc));
  desc->shared = g_intern_static_string ("");
}

void
afp_layout_set_param_text (AfpLayout *layout, const char *name, const char *value)
{
  g_ptr_array_add (layout->params, g_strdup (name));
  g_ptr_array_add (layout->params, g_strdup (value));
}

void
afp_layout_set_param (AfpLayout *layout, const char *name, guint64 value)
{
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT, value);

  afp_layout_set_param_text (layout, name, text);
}

guint
afp_layout_get_n_children (const AfpLayout *layout)
{
  return layout->children->len;
}

const AfpPlaneDesc *
afp_layout_get_child (const AfpLayout *layout, guint child)
{
  g_return_val_if_fail (child < layout->children->len, NULL);
  return &g_array_index (layout->children, AfpPlaneDesc, child);
}

/* (transfer full): NULL: to be left out */
static char *
resolved_param (const AfpLayout *layout, const char *name)
{
  for (guint i = 0; i + 1 < layout->params->len; i += 2)
    if (strcmp (layout->params->pdata[i], name) == 0)
      return g_strdup (layout->params->pdata[i + 1]);
  char *value = afp_element_get_property_text (AFP_ELEMENT (layout->codec), name);
  return value ? value : g_strdup ("");
}

/**
 * afp_layout_get_params:
 * @layout: a layout
 *
 * Returns: (transfer full): the properties that the coded format depends on, resolved: "block-size=8,rank=3"
 */
char *
afp_layout_get_params (const AfpLayout *layout)
{
  GString *text = g_string_new (NULL);
  gsize n;
  g_autofree const AfpProperty **properties =
      afp_element_class_list_properties (AFP_ELEMENT_GET_CLASS (layout->codec), &n);

  for (gsize i = 0; i < n; i++) {
    const char *name = properties[i]->name;
    if (!(properties[i]->flags & AFP_PROPERTY_FORMAT))
      continue;
    g_autofree char *value = resolved_param (layout, name);
    if (value)
      g_string_append_printf (text, "%s%s=%s", text->len ? "," : "", name, value);
  }
  return g_string_free (text, FALSE);
}

/* Sizes in bits and in bytes of what passes are far below 2^64. */
#define MAX_ELEMENTS (G_GUINT64_CONSTANT (1) << 48)

static gboolean
check_size (AfpCodec *codec, const char *name, guint64 rows, guint64 cols, GError **error)
{
  guint64 n;

  if (g_uint64_checked_mul (&n, rows, cols) && n <= MAX_ELEMENTS)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "%s: plane '%s' of %" G_GUINT64_FORMAT " rows of %" G_GUINT64_FORMAT
               " is too large to be coded (2^48 elements at the most)",
               afp_element_get_factory_name (AFP_ELEMENT (codec)), name, rows, cols);
  return FALSE;
}

static gboolean
check_sizes (AfpCodec *codec, const AfpLayout *layout, GError **error)
{
  if (!check_size (codec, layout->input.name, afp_layout_get_rows (layout),
                   afp_layout_get_padded_cols (layout), error))
    return FALSE;
  for (guint i = 0; i < layout->children->len; i++) {
    const AfpPlaneDesc *child = &g_array_index (layout->children, AfpPlaneDesc, i);
    if (!check_size (codec, child->name, child->rows, child->cols, error))
      return FALSE;
  }
  return TRUE;
}

/**
 * afp_codec_describe:
 * @self: a codec
 * @desc: a float plane
 * @error: return location
 *
 * Returns: (transfer full): what the codec makes of the plane, or %NULL if it cannot take it
 */
AfpLayout *
afp_codec_describe (AfpCodec *self, const AfpPlaneDesc *desc, GError **error)
{
  AfpCodecClass *klass = AFP_CODEC_GET_CLASS (self);
  g_autoptr (AfpLayout) layout = afp_layout_new (self, desc);
  AfpCrashNote note;

  g_return_val_if_fail (klass->describe != NULL, NULL);
  if (!check_size (self, desc->name, desc->rows, desc->cols, error))
    return NULL;
  afp_crash_enter (&note, AFP_ELEMENT (self));
  gboolean ok = klass->describe (self, layout, error);
  afp_crash_leave (&note);
  if (!ok) {
    if (error && !*error)
      g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN, "%s cannot take this plane",
                   afp_element_get_factory_name (AFP_ELEMENT (self)));
    return NULL;
  }
  afp_layout_name_shared (layout);
  return check_sizes (self, layout, error) ? g_steal_pointer (&layout) : NULL;
}
