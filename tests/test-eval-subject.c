/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval/eval-subject.h"

#include "afp-test.h"
#include "pipe-test.h"

/* "t0", "t1", "t2": 4 x 4 zeros. @property: (nullable) of the source, with @value */
static AfpSource *
make_source (const char *property, const char *value)
{
  AfpElement *source = afp_registry_make (afp_registry_get_default (), "tsource", NULL);

  ck_assert (afp_element_set_property_text (source, "n", "3", NULL));
  ck_assert (!property || afp_element_set_property_text (source, property, value, NULL));
  ck_assert (afp_source_open (AFP_SOURCE (source), NULL));
  return AFP_SOURCE (source);
}

static EvalSubject *
make_subject (AfpSource *source, EvalKept *kept)
{
  GError *error = NULL;
  EvalSubject *subject = eval_subject_new (source, kept, &error);

  ck_assert_msg (subject != NULL, "%s", error ? error->message : "?");
  return subject;
}

/* t1 as test-q leaves it. */
static AfpTensor *
make_coded (void)
{
  g_autoptr (AfpTensor) plain = test_tensor ("t1", AFP_DTYPE_F32, "40x64", "in:1", 3);

  test_set_tensors (plain, NULL);
  return test_run ("test-q", 1);
}

/* The numbers of a tensor, outputs x inputs. */
static float *
numbers (EvalSubject *subject, const char *name)
{
  GError *error = NULL;
  g_autoptr (AfpMatrix) matrix = eval_subject_open (subject, name, &error);
  float *out;

  ck_assert_msg (matrix != NULL, "%s: %s", name, error ? error->message : "none");
  out = g_new0 (float, afp_matrix_get_rows (matrix) * afp_matrix_get_cols (matrix));
  ck_assert (afp_matrix_read (matrix, 0, afp_matrix_get_rows (matrix), 0,
                              afp_matrix_get_cols (matrix), out, &error));
  return out;
}

START_TEST (as_the_source_has_it)
{
  g_autoptr (AfpSource) source = make_source (NULL, NULL);
  g_autoptr (EvalSubject) subject = make_subject (source, NULL);
  g_autofree float *zeros = numbers (subject, "t2");
  g_autoptr (AfpTensor) tensor = eval_subject_read (subject, "t0", NULL);

  for (guint i = 0; i < 16; i++)
    ck_assert (zeros[i] == 0);
  ck_assert_str_eq (afp_spec_get_name (afp_tensor_get_spec (tensor)), "t0");
}
END_TEST

/* What passed, where it differs, and else what the source has; what did not pass is not there. */
START_TEST (as_it_passed)
{
  g_autoptr (AfpSource) source = make_source (NULL, NULL);
  g_autoptr (AfpTensor) coded = make_coded (), raw = afp_source_read_tensor (source, 0, NULL);
  g_autoptr (EvalKept) kept = eval_kept_new (NULL);
  g_autoptr (EvalSubject) subject = make_subject (source, kept);
  g_autofree float *expected = test_decode (coded), *found = NULL, *zeros = NULL;
  GError *error = NULL;

  ck_assert (eval_kept_add (kept, coded, NULL) && eval_kept_add (kept, raw, NULL));
  found = numbers (subject, "t1");
  ck_assert_mem_eq (found, expected, 40 * 64 * sizeof *found);
  zeros = numbers (subject, "t0");
  ck_assert (zeros[0] == 0);
  ck_assert_ptr_null (eval_subject_open (subject, "t2", &error));
  ck_assert_ptr_null (error);
}
END_TEST

/* Tied weights are those of the tensor that they are tied to, by their own name. */
START_TEST (alias)
{
  g_autoptr (AfpSource) source = make_source (NULL, NULL);
  g_autoptr (AfpTensor) coded = make_coded (), tied = make_alias ("tied", coded, "t1");
  g_autoptr (EvalKept) kept = eval_kept_new (NULL);
  g_autoptr (EvalSubject) subject = make_subject (source, kept);

  ck_assert (eval_kept_add (kept, coded, NULL) && eval_kept_add (kept, tied, NULL));
  g_autofree float *one = numbers (subject, "t1"), *two = numbers (subject, "tied");
  g_autoptr (AfpTensor) tensor = eval_subject_read (subject, "tied", NULL);
  ck_assert_mem_eq (one, two, 40 * 64 * sizeof *one);
  ck_assert_str_eq (afp_spec_get_name (afp_tensor_get_spec (tensor)), "tied");
  ck_assert_str_eq (afp_spec_get_alias_of (afp_tensor_get_spec (tensor)), "t1");
}
END_TEST

/* --- as it is planned --- */

static EvalSubject *
make_planned (void)
{
  g_autoptr (GHashTable) specs =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) afp_spec_unref);

  g_hash_table_insert (specs, g_strdup ("w"), test_spec ("w", AFP_DTYPE_F16, "3x3x8x16", "in:3"));
  return eval_subject_new_planned (specs);
}

START_TEST (planned_shapes)
{
  g_autoptr (EvalSubject) subject = make_planned ();
  g_autoptr (AfpMatrix) matrix = eval_subject_open (subject, "w", NULL);

  ck_assert_uint_eq (afp_matrix_get_rows (matrix), 16);
  ck_assert_uint_eq (afp_matrix_get_cols (matrix), 72);
}
END_TEST

START_TEST (planned_has_no_numbers)
{
  g_autoptr (EvalSubject) subject = make_planned ();
  g_autoptr (AfpMatrix) matrix = eval_subject_open (subject, "w", NULL);
  float out[1];
  GError *error = NULL;

  ck_assert (!afp_matrix_read (matrix, 0, 1, 0, 1, out, &error));
  assert_error (error, AFP_ERROR_PLAN, "a planned tensor has no numbers");
}
END_TEST

START_TEST (planned_without_it)
{
  g_autoptr (EvalSubject) subject = make_planned ();
  GError *error = NULL;

  ck_assert_ptr_null (eval_subject_open (subject, "v", &error));
  ck_assert_ptr_null (error);
}
END_TEST

/* --- what goes wrong --- */

START_TEST (unknown)
{
  g_autoptr (AfpSource) source = make_source (NULL, NULL);
  g_autoptr (EvalSubject) subject = make_subject (source, NULL);
  GError *error = NULL;

  ck_assert_ptr_null (eval_subject_open (subject, "t3", &error));
  ck_assert_ptr_null (error);
  ck_assert_ptr_null (eval_subject_read (subject, "t3", &error));
  assert_error (error, AFP_ERROR_PLAN, "there is no tensor 't3'");
}
END_TEST

START_TEST (source_that_cannot_plan)
{
  g_autoptr (AfpSource) source = make_source ("fail-plan", "2");
  GError *error = NULL;

  ck_assert_ptr_null (eval_subject_new (source, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "tensor 't1' is damaged");
}
END_TEST

START_TEST (source_that_cannot_read)
{
  g_autoptr (AfpSource) source = make_source ("fail-read", "2");
  g_autoptr (EvalSubject) subject = make_subject (source, NULL);
  GError *error = NULL;

  ck_assert_ptr_null (eval_subject_open (subject, "t1", &error));
  assert_error (error, AFP_ERROR_FORMAT, "tensor 't1' is damaged");
  ck_assert_ptr_null (eval_subject_read (subject, "t1", &error));
  assert_error (error, AFP_ERROR_FORMAT, "tensor 't1' is damaged");
  g_autofree float *zeros = numbers (subject, "t0");
  ck_assert (zeros[0] == 0);
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");

  tcase_add_test (tcase, as_the_source_has_it);
  tcase_add_test (tcase, as_it_passed);
  tcase_add_test (tcase, alias);
  tcase_add_test (tcase, planned_shapes);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");

  tcase_add_test (tcase, planned_has_no_numbers);
  tcase_add_test (tcase, planned_without_it);
  tcase_add_test (tcase, unknown);
  tcase_add_test (tcase, source_that_cannot_plan);
  tcase_add_test (tcase, source_that_cannot_read);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { good_case, bad_case };

  test_init ();
  pipe_register ();
  return run_suite ("eval-subject", cases, G_N_ELEMENTS (cases));
}
