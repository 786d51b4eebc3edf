/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "afp-identity.h"
#include "afp-runtime.h"

/* The same text each time, of this library and of no other, with the kernels of OpenBLAS. */
START_TEST (identity)
{
  const char *text = afp_runtime_get_identity ();
  g_autofree char *library = g_strndup (text, strcspn (text, ","));

  ck_assert_ptr_eq (afp_runtime_get_identity (), text);
  ck_assert (g_str_has_prefix (library, AFP_VERSION "+"));
  ck_assert_uint_eq (strlen (library), strlen (AFP_VERSION) + 17);
  ck_assert (!g_str_has_prefix (afp_identity_get_machine (), library));
  ck_assert_ptr_nonnull (strstr (text, "OpenBLAS"));
}
END_TEST

/* What is no part of a file has a name that nothing matches, the same in this process. */
START_TEST (no_file)
{
  static const char nowhere[] = "";
  g_autofree void *heap = g_malloc (1);

  ck_assert_str_eq (afp_identity_get_file_of (heap), afp_identity_get_file_of (heap));
  ck_assert_str_ne (afp_identity_get_file_of (heap), afp_identity_get_file_of (nowhere));
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("runtime");

  tcase_add_test (tcase, identity);
  tcase_add_test (tcase, no_file);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };

  return run_suite ("runtime", cases, G_N_ELEMENTS (cases));
}
