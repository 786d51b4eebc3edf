/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/h5-child.h"

#include <string.h>

static const AfpH5Op *
find (const char *name)
{
  for (const AfpH5Op *op = afp_h5_ops; op->name; op++)
    if (strcmp (op->name, name) == 0)
      return op;
  return NULL;
}

/* As the helper does it, in this process. */
static GBytes *
serve (const char *name, GBytes *request, GError **error)
{
  g_autoptr (GBytes) data = g_bytes_new_static ("", 0);

  afp_h5_lock ();
  GBytes *result = find (name)->func (request, data, error);
  afp_h5_unlock ();
  return result;
}

START_TEST (names_are_distinct_and_fit)
{
  for (const AfpH5Op *op = afp_h5_ops; op->name; op++) {
    ck_assert_ptr_eq (find (op->name), op);
    ck_assert_uint_lt (strlen (op->name), AFP_H5_OP_NAME);
  }
}
END_TEST

START_TEST (a_model_is_listed)
{
  g_autofree char *path =
      g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "models/fashion-mnist/model.h5", NULL);
  g_autoptr (GBytes) request = g_bytes_new (path, strlen (path) + 1);
  g_autoptr (GBytes) listing = serve ("keras-list", request, NULL);

  ck_assert_ptr_nonnull (listing);
  ck_assert_uint_gt (g_bytes_get_size (listing), 1000);
}
END_TEST

static const char *const by_path[] = { "keras-list", "afp-tables" };

START_TEST (a_text_is_no_hdf5)
{
  g_autofree char *path = put_file ("text.h5", "text", 4);
  g_autoptr (GBytes) request = g_bytes_new (path, strlen (path) + 1);
  GError *error = NULL;

  ck_assert_ptr_null (serve (by_path[_i], request, &error));
  assert_error (error, AFP_ERROR_FORMAT, "signature not found");
}
END_TEST

START_TEST (a_missing_file_is_an_error)
{
  static const char path[] = "/no/such.h5";
  g_autoptr (GBytes) request = g_bytes_new_static (path, sizeof path);
  GError *error = NULL;

  ck_assert_ptr_null (serve (by_path[_i], request, &error));
  ck_assert_ptr_nonnull (error);
  g_error_free (error);
}
END_TEST

static const char *const by_dataset[] = { "keras-read", "keras-write" };

START_TEST (a_missing_dataset_is_an_error)
{
  g_autofree char *model =
      g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "models/fashion-mnist/model.h5", NULL);
  g_autofree char *bytes = NULL;
  gsize n;
  ck_assert (g_file_get_contents (model, &bytes, &n, NULL));
  g_autofree char *path = put_file ("model.h5", bytes, n);
  g_autoptr (GVariant) access = g_variant_ref_sink (
      g_variant_new ("(^ay^ayytt)", path, "/no/such", 0, (guint64) 4, (guint64) n));
  g_autoptr (GBytes) request = g_variant_get_data_as_bytes (access);
  GError *error = NULL;

  ck_assert_ptr_null (serve (by_dataset[_i], request, &error));
  assert_error (error, AFP_ERROR_FORMAT, "no");
}
END_TEST

static TCase *
table_case (void)
{
  TCase *tcase = io_case ("table");
  tcase_add_test (tcase, names_are_distinct_and_fit);
  tcase_add_test (tcase, a_model_is_listed);
  return tcase;
}

static TCase *
trouble_case (void)
{
  TCase *tcase = io_case ("trouble");
  tcase_add_loop_test (tcase, a_text_is_no_hdf5, 0, G_N_ELEMENTS (by_path));
  tcase_add_loop_test (tcase, a_missing_file_is_an_error, 0, G_N_ELEMENTS (by_path));
  tcase_add_loop_test (tcase, a_missing_dataset_is_an_error, 0, G_N_ELEMENTS (by_dataset));
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { table_case, trouble_case };

  return run_suite ("h5-ops", cases, G_N_ELEMENTS (cases));
}
