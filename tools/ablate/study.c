/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "study.h"

void
afp_study_free (AfpStudy *study)
{
  if (!study)
    return;
  g_free (study->text);
  g_clear_pointer (&study->runs, g_ptr_array_unref);
  g_clear_pointer (&study->names, g_ptr_array_unref);
  g_clear_pointer (&study->conditions, g_ptr_array_unref);
  g_free (study);
}
