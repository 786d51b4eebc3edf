/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "vptq/vptq-builtin-kernel.h"
#include "vptq/vptq-kernel.h"

#include <math.h>

#define TABLES_HASH G_GUINT64_CONSTANT (10119529100325632912)

/* Tables that files depend on: they must never change. */

START_TEST (tables_are_what_they_were)
{
  guint v, k;
  guint64 hash = G_GUINT64_CONSTANT (14695981039346656037);
  gsize n = 0;

  for (; vptq_builtin_list (n, &v, &k); n++) {
    g_autofree float *codebook = g_new (float, v *k);
    ck_assert (vptq_builtin_has (v, k));
    ck_assert (vptq_builtin_fill (v, k, codebook));
    for (guint i = 0; i < v * k; i++) {
      const long code = lround ((double) codebook[i] * VPTQ_BUILTIN_STEPS);
      ck_assert_int_lt (labs (code), 2049);
      hash = (hash ^ (guint64) (code + 2048)) * G_GUINT64_CONSTANT (1099511628211);
    }
  }
  ck_assert_uint_eq (n, 12);
  ck_assert_msg (hash == TABLES_HASH, "hash %" G_GUINT64_FORMAT, hash);
}
END_TEST

START_TEST (no_such_table)
{
  float untouched[4] = { 7, 7, 7, 7 };
  guint v = 1, k = 1;

  ck_assert (!vptq_builtin_has (4, 255));
  ck_assert (!vptq_builtin_has (5, 256));
  ck_assert (!vptq_builtin_fill (2, 2, untouched));
  ck_assert_float_eq (untouched[0], 7);
  ck_assert (!vptq_builtin_list (12, &v, &k));
  ck_assert_uint_eq (v, 1);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("tables");
  tcase_add_test (tcase, tables_are_what_they_were);
  tcase_add_test (tcase, no_such_table);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("vptq-builtin-kernel", cases, G_N_ELEMENTS (cases));
}
