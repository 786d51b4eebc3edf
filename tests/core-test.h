/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the core share. */
#pragma once

#include "afpipe.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* The error is of the code given, and its text has all the words given; then it is cleared. */
#define assert_error(error, code_, ...) \
  check_error (&(error), (code_), (const char *[]){ __VA_ARGS__, NULL }, __LINE__)

static inline void
check_error (GError **error, int code, const char *const *words, int line)
{
  ck_assert_msg (*error != NULL, "line %d: no error", line);
  ck_assert_msg ((*error)->domain == AFP_ERROR && (*error)->code == code, "line %d: code %d: %s",
                 line, (*error)->code, (*error)->message);
  for (; *words; words++)
    ck_assert_msg (strstr ((*error)->message, *words) != NULL, "line %d: '%s' is not in: %s", line,
                   *words, (*error)->message);
  g_clear_error (error);
}

#define assert_text(text, expected)        \
  do {                                     \
    char *text_ = (text);                  \
    ck_assert_pstr_eq (text_, (expected)); \
    g_free (text_);                        \
  } while (0)

/* A planned tensor, or one of zeros. */
static inline AfpTensor *
make_tensor (const char *name, AfpDType dtype, guint rank, const guint64 *shape, gboolean with_data)
{
  g_autoptr (AfpSpec) spec = afp_spec_new (name, dtype, rank, shape, NULL, NULL);
  gsize n = afp_spec_get_n_bytes (spec);
  g_autoptr (GBytes) data = with_data ? g_bytes_new_take (g_malloc0 (n + 1), n) : NULL;
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, data);
  return afp_tensor_new (spec, plane);
}

/* The same planes under the name of an alias. */
static inline AfpTensor *
make_alias (const char *name, AfpTensor *target, const char *alias_of)
{
  AfpSpec *of = afp_tensor_get_spec (target);
  g_autoptr (AfpSpec) spec =
      afp_spec_new (name, afp_spec_get_dtype (of), afp_spec_get_rank (of), afp_spec_get_shape (of),
                    afp_spec_get_view (of), alias_of);
  return afp_tensor_new (spec, afp_tensor_get_root (target));
}

static inline int
run_suite (const char *name, TCase *(*const *cases) (void), gsize n)
{
  Suite *suite = suite_create (name);
  for (gsize i = 0; i < n; i++)
    suite_add_tcase (suite, cases[i]());
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
