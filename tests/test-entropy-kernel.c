/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "entropy/entropy-kernel.h"

#include "core-test.h"

#include <stdlib.h>
#include <string.h>

/* Spread and gathered: the same bytes, for streams whose last symbol is followed by zero bits. */
START_TEST (back_to_the_same_bytes)
{
  const unsigned bits = (unsigned) _i;

  for (size_t n_symbols = 0; n_symbols < 70; n_symbols++) {
    const size_t n = (n_symbols * bits + 7) / 8;
    g_autofree uint8_t *stream = g_malloc0 (n + 1), *back = g_malloc0 (n + 1);
    g_autofree uint8_t *planes = g_malloc0 (entropy_spread_bytes (n, bits) + 1);
    for (size_t b = 0; b < n_symbols * bits; b++)
      if ((b * 2654435761u >> 7) & 1)
        stream[b / 8] |= (uint8_t) (1u << b % 8);
    memset (back, 0xff, n);
    entropy_spread (stream, n, bits, planes);
    entropy_gather (planes, n, bits, back);
    ck_assert_mem_eq (back, stream, n);
  }
}
END_TEST

START_TEST (bytes_are_planes_of_symbols)
{
  /* symbols 1, 2, 3 of 12 bits, then 4 bits of padding */
  const uint8_t stream[5] = { 0x01, 0x20, 0x00, 0x03, 0x00 };
  uint8_t planes[6];

  ck_assert_uint_eq (entropy_spread_bytes (5, 12), 6);
  entropy_spread (stream, 5, 12, planes);
  const uint8_t expected[6] = { 1, 2, 3, 0, 0, 0 };
  ck_assert_mem_eq (planes, expected, 6);
}
END_TEST

/* Whatever bytes a damaged file gives, gather fills exactly the stream. */
START_TEST (garbage_stays_inside)
{
  const unsigned bits = (unsigned) _i;

  for (size_t n = 1; n < 40; n++) {
    const size_t size = entropy_spread_bytes (n, bits);
    g_autofree uint8_t *planes = g_malloc (size + 1), *stream = g_malloc (n);
    memset (planes, 0xff, size + 1);
    entropy_gather (planes, n, bits, stream);
    for (size_t i = 0; i < n * 8 / bits * bits / 8; i++)
      ck_assert_uint_eq (stream[i], 0xff);
  }
}
END_TEST

START_TEST (nothing)
{
  uint8_t byte = 7;

  ck_assert_uint_eq (entropy_spread_bytes (0, 9), 0);
  entropy_spread (NULL, 0, 9, &byte);
  ck_assert_uint_eq (byte, 7);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("spread");

  tcase_add_loop_test (tcase, back_to_the_same_bytes, 1, 33);
  tcase_add_test (tcase, bytes_are_planes_of_symbols);
  tcase_add_loop_test (tcase, garbage_stays_inside, 1, 33);
  tcase_add_test (tcase, nothing);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("entropy-kernel", cases, G_N_ELEMENTS (cases));
}
