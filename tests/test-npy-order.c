/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "io/npy-order.h"

/* Each element by its place on every axis, in both orders. */
static void
check_reorder (guint rank, const guint64 *shape, gsize size)
{
  guint64 n = 1;
  for (guint axis = 0; axis < rank; axis++)
    n *= shape[axis];
  g_autofree guint8 *from = g_malloc (n * size), *to = g_malloc0 (n * size);
  for (guint64 i = 0; i < n * size; i++)
    from[i] = (guint8) (i * 37 + i / 251);
  afp_npy_reorder (from, to, rank, shape, size);
  for (guint64 i = 0; i < n; i++) {
    guint64 rest = i, source = 0, step = n;
    for (guint axis = rank; axis-- > 0;) {
      step /= shape[axis];
      source += rest % shape[axis] * step;
      rest /= shape[axis];
    }
    ck_assert_mem_eq (to + i * size, from + source * size, size);
  }
}

START_TEST (orders)
{
  static const guint64 shapes[][5] = { { 2, 3 },     { 1, 7 },       { 7, 1 },         { 33, 65 },
                                       { 100, 31 },  { 2, 3, 4 },    { 5, 1, 6 },      { 1, 4, 1 },
                                       { 3, 40, 5 }, { 2, 3, 4, 5 }, { 2, 3, 1, 2, 7 } };
  static const guint ranks[] = { 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 5 };
  static const gsize sizes[] = { 1, 2, 4, 8 };
  for (gsize s = 0; s < G_N_ELEMENTS (sizes); s++)
    check_reorder (ranks[_i], shapes[_i], sizes[s]);
}
END_TEST

START_TEST (known_values)
{
  /* [[1, 2, 3], [4, 5, 6]] in Fortran order */
  static const guint8 from[] = { 1, 4, 2, 5, 3, 6 }, expected[] = { 1, 2, 3, 4, 5, 6 };
  static const guint64 shape[] = { 2, 3 };
  guint8 to[6];
  afp_npy_reorder (from, to, 2, shape, 1);
  ck_assert_mem_eq (to, expected, sizeof to);
}
END_TEST

START_TEST (swaps)
{
  guint8 data[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
  static const guint8 twos[] = { 2, 1, 4, 3, 6, 5, 8, 7 }, fours[] = { 4, 3, 2, 1, 8, 7, 6, 5 },
                      eight[] = { 8, 7, 6, 5, 4, 3, 2, 1 };
  afp_npy_swap (data, 4, 2);
  ck_assert_mem_eq (data, twos, 8);
  afp_npy_swap (data, 4, 2);
  afp_npy_swap (data, 2, 4);
  ck_assert_mem_eq (data, fours, 8);
  afp_npy_swap (data, 2, 4);
  afp_npy_swap (data, 1, 8);
  ck_assert_mem_eq (data, eight, 8);
  afp_npy_swap (data, 0, 8);
  ck_assert_mem_eq (data, eight, 8);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("npy-order");
  tcase_add_loop_test (tcase, orders, 0, 11);
  tcase_add_test (tcase, known_values);
  tcase_add_test (tcase, swaps);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("npy-order", cases, G_N_ELEMENTS (cases));
}
