/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-spec.h"

#include <string.h>

struct _AfpSpec {
  gatomicrefcount ref_count;
  char *name;
  char *alias_of;
  AfpDType dtype;
  guint rank;
  guint64 *shape;
  AfpView view;
  guint64 n_elements;
  guint64 rows, cols;
};

G_DEFINE_BOXED_TYPE (AfpSpec, afp_spec, afp_spec_ref, afp_spec_unref)

/**
 * afp_shape_count:
 * @rank: number of axes
 * @shape: (array length=rank): their lengths
 * @element_size: bytes of an element
 * @n_elements: (out): product of the axes; 1 for a scalar
 * @n_bytes: (out): bytes of the array
 *
 * Returns: %FALSE if the bytes do not fit into 63 bits or the rank is above %AFP_MAX_RANK
 */
gboolean
afp_shape_count (guint rank, const guint64 *shape, gsize element_size, guint64 *n_elements,
                 guint64 *n_bytes)
{
  guint64 n = 1, bytes;

  if (rank > AFP_MAX_RANK)
    return FALSE;
  for (guint i = 0; i < rank; i++)
    if (shape[i] == 0) {
      *n_elements = *n_bytes = 0;
      return TRUE;
    }
  for (guint i = 0; i < rank; i++)
    if (!g_uint64_checked_mul (&n, n, shape[i]))
      return FALSE;
  if (!g_uint64_checked_mul (&bytes, n, element_size) || bytes > G_MAXINT64)
    return FALSE;
  *n_elements = n;
  *n_bytes = bytes;
  return TRUE;
}

/**
 * afp_shape_count_dtype:
 * @dtype: element type
 * @rank: number of axes
 * @shape: (array length=rank): their lengths
 * @n_elements: (out): product of the axes; 1 for a scalar
 * @n_bytes: (out): bytes of the array
 *
 * Returns: %FALSE if no array can be so: afp_shape_count(), or the elements do not fill the type's blocks (of ggml's types: those of the
 *   innermost axis)
 */
gboolean
afp_shape_count_dtype (AfpDType dtype, guint rank, const guint64 *shape, guint64 *n_elements,
                       guint64 *n_bytes)
{
  const gsize block = afp_dtype_block (dtype), size = afp_dtype_size (dtype);

  if (afp_dtype_has_row_blocks (dtype) &&
      (rank == 0 || rank > AFP_MAX_RANK || shape[rank - 1] % block != 0))
    return FALSE;
  if (!afp_shape_count (rank, shape, block > 1 ? 1 : size, n_elements, n_bytes) ||
      *n_elements % block != 0)
    return FALSE;
  *n_bytes = *n_elements / block * size;
  return TRUE;
}

static void
spec_set_matrix (AfpSpec *spec)
{
  guint64 first = 1, second = 1;

  if (spec->rank < 2) {
    spec->rows = spec->n_elements ? 1 : 0;
    spec->cols = spec->n_elements;
    return;
  }
  for (guint i = 0; i < spec->rank; i++)
    if (i < spec->view.split)
      first *= spec->shape[i];
    else
      second *= spec->shape[i];
  if (spec->n_elements == 0)
    first = second = 0;
  spec->rows = spec->view.input_first ? second : first;
  spec->cols = spec->view.input_first ? first : second;
}

/**
 * afp_spec_new:
 * @name: unique name in the model
 * @dtype: element type
 * @rank: number of axes, up to %AFP_MAX_RANK
 * @shape: (array length=rank): lengths, outermost first; must pass afp_shape_count_dtype()
 * @view: (nullable): the matrix view; "out:1" if %NULL
 * @alias_of: (nullable): name of the tensor that this one shares its values with
 *
 * Returns: (transfer full): a new spec
 */
AfpSpec *
afp_spec_new (const char *name, AfpDType dtype, guint rank, const guint64 *shape,
              const AfpView *view, const char *alias_of)
{
  guint64 n, bytes;

  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (afp_shape_count_dtype (dtype, rank, shape, &n, &bytes), NULL);

  AfpSpec *spec = g_new0 (AfpSpec, 1);
  g_atomic_ref_count_init (&spec->ref_count);
  spec->name = g_strdup (name);
  spec->alias_of = g_strdup (alias_of);
  spec->dtype = dtype;
  spec->rank = rank;
  spec->shape = g_memdup2 (shape, rank * sizeof *shape);
  spec->view = view ? *view : (AfpView){ 1, FALSE, 1 };
  spec->view.split = rank < 2 ? 1 : CLAMP (spec->view.split, 1, rank - 1);
  spec->view.groups = MAX (spec->view.groups, 1);
  spec->n_elements = n;
  spec_set_matrix (spec);
  return spec;
}

AfpSpec *
afp_spec_ref (AfpSpec *spec)
{
  g_atomic_ref_count_inc (&spec->ref_count);
  return spec;
}

void
afp_spec_unref (AfpSpec *spec)
{
  if (!g_atomic_ref_count_dec (&spec->ref_count))
    return;
  g_free (spec->name);
  g_free (spec->alias_of);
  g_free (spec->shape);
  g_free (spec);
}

const char *
afp_spec_get_name (const AfpSpec *spec)
{
  return spec->name;
}

AfpDType
afp_spec_get_dtype (const AfpSpec *spec)
{
  return spec->dtype;
}

guint
afp_spec_get_rank (const AfpSpec *spec)
{
  return spec->rank;
}

const guint64 *
afp_spec_get_shape (const AfpSpec *spec)
{
  return spec->shape;
}

const AfpView *
afp_spec_get_view (const AfpSpec *spec)
{
  return &spec->view;
}

const char *
afp_spec_get_alias_of (const AfpSpec *spec)
{
  return spec->alias_of;
}

/**
 * afp_spec_get_family:
 * @spec: a spec
 *
 * Tied weights are several names of the same values. Codecs choose by the family: what they make of one is what they make of all.
 *
 * Returns: (transfer none): the name of the tensor that it is an alias of, or its own
 */
const char *
afp_spec_get_family (const AfpSpec *spec)
{
  return spec->alias_of ? spec->alias_of : spec->name;
}

/**
 * afp_spec_is_same_array:
 * @a: a spec
 * @b: another
 *
 * Returns: whether dtype, shape and matrix view are the same; names may differ
 */
gboolean
afp_spec_is_same_array (const AfpSpec *a, const AfpSpec *b)
{
  return a->dtype == b->dtype && a->rank == b->rank &&
         (a->rank == 0 || memcmp (a->shape, b->shape, a->rank * sizeof *a->shape) == 0) &&
         a->view.split == b->view.split && a->view.input_first == b->view.input_first &&
         a->view.groups == b->view.groups;
}

guint64
afp_spec_get_n_elements (const AfpSpec *spec)
{
  return spec->n_elements;
}

guint64
afp_spec_get_n_bytes (const AfpSpec *spec)
{
  return spec->n_elements / afp_dtype_block (spec->dtype) * afp_dtype_size (spec->dtype);
}

guint64
afp_spec_get_rows (const AfpSpec *spec)
{
  return spec->rows;
}

guint64
afp_spec_get_cols (const AfpSpec *spec)
{
  return spec->cols;
}

/**
 * afp_spec_shape_to_string:
 * @spec: a spec
 *
 * Returns: (transfer full): "3x3x32x64", or "scalar"
 */
char *
afp_spec_shape_to_string (const AfpSpec *spec)
{
  GString *text = g_string_new (spec->rank ? NULL : "scalar");

  for (guint i = 0; i < spec->rank; i++)
    g_string_append_printf (text, "%s%" G_GUINT64_FORMAT, i ? "x" : "", spec->shape[i]);
  return g_string_free (text, FALSE);
}

/**
 * afp_view_to_string:
 * @view: a matrix view
 *
 * Returns: (transfer full): "out:1", "in:3", "in:2/32"
 */
char *
afp_view_to_string (const AfpView *view)
{
  if (view->groups > 1)
    return g_strdup_printf ("%s:%u/%" G_GUINT64_FORMAT, view->input_first ? "in" : "out",
                            view->split, view->groups);
  return g_strdup_printf ("%s:%u", view->input_first ? "in" : "out", view->split);
}

/**
 * afp_view_parse:
 * @text: what afp_view_to_string() gave
 * @rank: number of axes of the array
 * @view: (out): the matrix view
 *
 * Returns: %FALSE if the text is no view of an array of this rank
 */
gboolean
afp_view_parse (const char *text, guint rank, AfpView *view)
{
  const char *digits;
  char *end;

  if (g_str_has_prefix (text, "out:")) {
    view->input_first = FALSE;
    digits = text + 4;
  } else if (g_str_has_prefix (text, "in:")) {
    view->input_first = TRUE;
    digits = text + 3;
  } else
    return FALSE;
  if (!g_ascii_isdigit (*digits))
    return FALSE;
  guint64 split = g_ascii_strtoull (digits, &end, 10);
  guint64 groups = 1;
  if (*end == '/' && g_ascii_isdigit (end[1]))
    groups = g_ascii_strtoull (end + 1, &end, 10);
  if (*end != '\0' || split < 1 || groups < 1 || groups > G_MAXINT64 ||
      (rank >= 2 ? split > rank - 1 : split != 1))
    return FALSE;
  view->split = (guint) split;
  view->groups = groups;
  return TRUE;
}
