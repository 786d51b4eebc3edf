/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-subject.h"

struct _EvalSubject {
  AfpSource *source;
  EvalKept *kept;
  GHashTable *index; /* name -> index in source + 1 */
  GHashTable *specs; /* of a planned one */
};

EvalSubject *
eval_subject_new (AfpSource *source, EvalKept *kept, GError **error)
{
  g_autoptr (EvalSubject) subject = g_new0 (EvalSubject, 1);

  subject->source = source;
  subject->kept = kept;
  subject->index = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (gsize i = 0; source && i < afp_source_get_n_tensors (source); i++) {
    g_autoptr (AfpTensor) tensor = afp_source_plan_tensor (source, i, error);
    if (!tensor)
      return NULL;
    g_hash_table_insert (subject->index,
                         g_strdup (afp_spec_get_name (afp_tensor_get_spec (tensor))),
                         GSIZE_TO_POINTER (i + 1));
  }
  return g_steal_pointer (&subject);
}

EvalSubject *
eval_subject_new_planned (GHashTable *specs)
{
  EvalSubject *subject = g_new0 (EvalSubject, 1);

  subject->specs = g_hash_table_ref (specs);
  return subject;
}

void
eval_subject_free (EvalSubject *subject)
{
  g_clear_pointer (&subject->index, g_hash_table_unref);
  g_clear_pointer (&subject->specs, g_hash_table_unref);
  g_free (subject);
}

/* --- matrices ----------------------------------------------------------------------------------------------------- */

/* Numbers of a mapped array: its pages go when they were looked at. */
typedef struct {
  AfpMatrix *matrix;
  GBytes *mapped;
} Mapped;

static gboolean
mapped_read (gpointer user_data, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols,
             float *out, GError **error)
{
  const Mapped *mapped = user_data;

  return afp_matrix_read (mapped->matrix, row, n_rows, col, n_cols, out, error);
}

static void
mapped_free (gpointer user_data)
{
  Mapped *mapped = user_data;

  afp_matrix_unref (mapped->matrix);
  afp_mapped_forget (mapped->mapped);
  g_bytes_unref (mapped->mapped);
  g_free (mapped);
}

static AfpMatrix *
open_tensor (AfpTensor *tensor, const char *name, GError **error)
{
  AfpPlane *root = afp_tensor_get_root (tensor);
  GBytes *data = afp_plane_get_data (root);
  AfpMatrix *matrix = afp_plane_open (root, afp_tensor_get_spec (tensor), error);

  if (!matrix) {
    g_prefix_error (error, "tensor '%s': ", name);
    return NULL;
  }
  if (!data || !afp_mapped_contains (data))
    return matrix;
  Mapped *mapped = g_new0 (Mapped, 1);
  mapped->matrix = matrix;
  mapped->mapped = g_bytes_ref (data);
  return afp_matrix_new (afp_matrix_get_rows (matrix), afp_matrix_get_cols (matrix), mapped_read,
                         mapped, mapped_free);
}

static gboolean
planned_read (gpointer user_data, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols,
              float *out, GError **error)
{
  g_set_error_literal (error, AFP_ERROR, AFP_ERROR_PLAN, "a planned tensor has no numbers");
  return FALSE;
}

/* NULL without error: none of this name. (transfer full) */
static AfpTensor *
find_tensor (EvalSubject *subject, const char *name, GError **error)
{
  AfpTensor *tensor = NULL;
  GError *local = NULL;

  if (subject->kept && !eval_kept_get (subject->kept, name, &tensor, &local)) {
    if (local)
      g_propagate_error (error, local);
    return NULL;
  }
  const gsize index = tensor ? 0 : GPOINTER_TO_SIZE (g_hash_table_lookup (subject->index, name));
  return index ? afp_source_read_tensor (subject->source, index - 1, error) : tensor;
}

AfpTensor *
eval_subject_read (EvalSubject *subject, const char *name, GError **error)
{
  GError *local = NULL;
  AfpTensor *tensor = find_tensor (subject, name, &local);

  if (!tensor && !local)
    local = g_error_new (AFP_ERROR, AFP_ERROR_PLAN, "there is no tensor '%s'", name);
  if (local)
    g_propagate_error (error, local);
  return tensor;
}

AfpMatrix *
eval_subject_open (gpointer data, const char *name, GError **error)
{
  EvalSubject *subject = data;

  if (subject->specs) {
    AfpSpec *spec = g_hash_table_lookup (subject->specs, name);
    return spec ? afp_matrix_new (afp_spec_get_rows (spec), afp_spec_get_cols (spec), planned_read,
                                  NULL, NULL)
                : NULL;
  }
  g_autoptr (AfpTensor) tensor = find_tensor (subject, name, error);
  return tensor ? open_tensor (tensor, name, error) : NULL;
}
