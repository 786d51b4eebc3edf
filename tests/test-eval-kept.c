/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval/eval-kept.h"

#include "afp-test.h"

#include <unistd.h>

/* What "test-source ! TEXT" makes of these tensors, finalized. */
static GPtrArray *
coded (const char *text)
{
  static const guint64 seeds[] = { 1, 2 };
  g_autoptr (AfpTensor) a = test_tensor ("a", AFP_DTYPE_F32, "40x64", "in:1", seeds[0]);
  g_autoptr (AfpTensor) b = test_tensor ("b", AFP_DTYPE_F16, "32x48", "in:1", seeds[1]);

  test_set_tensors (a, b, NULL);
  g_autoptr (AfpTensor) G_GNUC_UNUSED first = test_run (text, 1);
  return g_ptr_array_ref (test_output ());
}

static void
check_same (EvalKept *kept, AfpTensor *tensor)
{
  const char *name = afp_spec_get_name (afp_tensor_get_spec (tensor));
  g_autoptr (AfpTensor) back = NULL;
  GError *error = NULL;

  ck_assert_msg (eval_kept_get (kept, name, &back, &error), "%s", name);
  ck_assert_ptr_nonnull (back);
  g_autoptr (GBytes) x = test_tree_bytes (afp_tensor_get_root (tensor)),
                     y = test_tree_bytes (afp_tensor_get_root (back));
  ck_assert (g_bytes_equal (x, y));
  g_autofree float *p = test_decode (tensor), *q = test_decode (back);
  ck_assert_mem_eq (p, q, afp_spec_get_n_elements (afp_tensor_get_spec (tensor)) * sizeof *p);
}

START_TEST (in_memory)
{
  g_autoptr (GPtrArray) tensors = coded ("test-ask ! test-q planes=coeffs bits=4");
  g_autoptr (EvalKept) kept = eval_kept_new (NULL);
  GError *error = NULL;

  for (guint i = 0; i < tensors->len; i++)
    ck_assert (eval_kept_add (kept, tensors->pdata[i], &error));
  for (guint i = 0; i < tensors->len; i++)
    check_same (kept, tensors->pdata[i]);
  ck_assert_uint_gt (eval_kept_get_memory (kept), 0);
  ck_assert_uint_eq (eval_kept_get_spilled (kept), 0);
}
END_TEST

/* --- in a run whose budget has no room ---------------------------------------------------------------------------- */

/* An element that keeps what passes. */
typedef struct {
  AfpTransform parent_instance;
} TestKeep;
typedef AfpTransformClass TestKeepClass;
GType test_keep_get_type (void);
G_DEFINE_TYPE (TestKeep, test_keep, AFP_TYPE_TRANSFORM)

static EvalKept *keeper;
static gboolean full; /* all of the budget is taken but what the largest tensor needs */

static gboolean
keep_start (AfpElement *element, AfpRun *run, GError **error)
{
  keeper = eval_kept_new (run);
  const guint64 room = afp_run_get_room (run);
  for (guint64 left = 1024; full && !afp_run_keep_memory (run, room - left); left += 64)
    ck_assert_uint_lt (left, room);
  return TRUE;
}

static AfpTensor *
keep_process (AfpTransform *transform, AfpTensor *tensor, GError **error)
{
  g_autoptr (AfpTensor) final = afp_tensor_finalize (tensor, NULL, error);

  return final && eval_kept_add (keeper, final, error) ? afp_tensor_ref (tensor) : NULL;
}

static gboolean
keep_judge (AfpElement *element, AfpRun *run, GError **error)
{
  for (guint i = 0; i < test_output ()->len; i++)
    check_same (keeper, test_output ()->pdata[i]);
  return TRUE;
}

static void
test_keep_class_init (TestKeepClass *klass)
{
  AFP_ELEMENT_CLASS (klass)->start = keep_start;
  AFP_ELEMENT_CLASS (klass)->judge = keep_judge;
  klass->process = keep_process;
}

static void
test_keep_init (TestKeep *self)
{
}

static void
run_keeping (const char *text, gboolean without_room)
{
  g_autoptr (AfpTensor) a = test_tensor ("a", AFP_DTYPE_F32, "400x64", "in:1", 1);
  g_autoptr (AfpTensor) b = test_tensor ("b", AFP_DTYPE_F16, "320x48", "in:1", 2);
  g_autofree char *all = g_strdup_printf ("%s ! test-keep", text);

  full = without_room;
  test_set_tensors (a, b, NULL);
  g_autoptr (AfpTensor) G_GNUC_UNUSED first = test_run (all, 1);
  for (guint i = 0; i < test_output ()->len; i++)
    check_same (keeper, test_output ()->pdata[i]);
}

START_TEST (spilled)
{
  static const char *const chains[] = { "test-ask ! test-q planes=coeffs bits=4",
                                        "test-q table=true ! test-pack" };

  run_keeping (chains[_i], TRUE);
  ck_assert_uint_gt (eval_kept_get_spilled (keeper), 0);
  eval_kept_free (keeper);
  run_keeping (chains[_i], FALSE);
  ck_assert_uint_eq (eval_kept_get_spilled (keeper), 0);
  eval_kept_free (keeper);
}
END_TEST

/* An array that nobody coded is asked of the source again. */
START_TEST (left_with_the_source)
{
  g_autoptr (AfpTensor) plain = test_tensor ("p", AFP_DTYPE_F32, "40x64", "in:1", 1);
  AfpTensor *back = NULL;
  g_autoptr (EvalKept) kept = eval_kept_new (NULL);
  GError *error = NULL;

  ck_assert (eval_kept_add (kept, plain, &error));
  ck_assert (eval_kept_get (kept, "p", &back, &error));
  ck_assert_ptr_null (back);
  ck_assert_uint_eq (eval_kept_get_memory (kept), 0);
}
END_TEST

START_TEST (unknown)
{
  g_autoptr (EvalKept) kept = eval_kept_new (NULL);
  AfpTensor *tensor = (gpointer) kept;
  GError *error = NULL;

  ck_assert (!eval_kept_get (kept, "nobody", &tensor, &error));
  ck_assert_ptr_null (tensor);
  ck_assert_ptr_null (error);
}
END_TEST

START_TEST (no_folder)
{
  g_autoptr (AfpTensor) a = test_tensor ("a", AFP_DTYPE_F32, "400x64", "in:1", 1);
  GError *error = NULL;

  g_setenv ("TMPDIR", "/no/such/folder", TRUE);
  full = TRUE;
  test_set_tensors (a, NULL);
  ck_assert (!test_try ("test-q ! test-keep", 1, &error));
  assert_error (error, AFP_ERROR_IO, "temporary file", "No such file", "TMPDIR");
  g_unsetenv ("TMPDIR");
  eval_kept_free (keeper);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("kept");

  tcase_add_test (tcase, in_memory);
  tcase_add_loop_test (tcase, spilled, 0, 2);
  tcase_add_test (tcase, left_with_the_source);
  tcase_add_test (tcase, unknown);
  tcase_add_test (tcase, no_folder);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  afp_registry_add_builtin ("test-keep", test_keep_get_type ());
  return run_suite ("eval-kept", cases, G_N_ELEMENTS (cases));
}
