/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include "afp-bits.h"

#define N 203

/* Bit by bit, as the man page says it. */
static void
reference_put (guint8 *stream, guint64 i, guint32 symbol, guint bits)
{
  for (guint b = 0; b < bits; b++) {
    const guint64 n = i * bits + b;
    stream[n / 8] = (guint8) ((stream[n / 8] & ~(1u << (n % 8))) | ((symbol >> b & 1) << (n % 8)));
  }
}

static void
fill (guint32 *symbols, gsize n, guint bits, guint seed)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  for (gsize i = 0; i < n; i++)
    symbols[i] = bits == 32 ? g_rand_int (rand) : g_rand_int (rand) & ((1u << bits) - 1);
}

START_TEST (sizes)
{
  for (guint bits = 1; bits <= 32; bits++)
    for (guint64 n = 0; n < 100; n++)
      ck_assert_uint_eq (afp_bits_bytes (n, bits), (n * bits + 7) / 8);
  ck_assert_uint_eq (afp_bits_bytes ((guint64) 1 << 60, 32), (guint64) 1 << 62);
  ck_assert_uint_eq (afp_bits_bytes (((guint64) 1 << 60) + 1, 31), ((guint64) 31 << 57) + 4);
}
END_TEST

START_TEST (pack)
{
  const guint bits = (guint) _i;
  guint32 symbols[N], back[N];
  fill (symbols, N, bits, bits);
  for (gsize n = 0; n < N; n += n < 20 ? 1 : 61) {
    const gsize size = afp_bits_bytes (n, bits);
    g_autofree guint8 *expected = g_malloc0 (size + 1), *stream = g_malloc (size + 1);
    memset (stream, 0xff, size + 1);
    for (gsize i = 0; i < n; i++)
      reference_put (expected, i, symbols[i], bits);
    afp_bits_pack (stream, 0, symbols, n, bits);
    ck_assert_mem_eq (stream, expected, size); /* padded with zeros, too */
    ck_assert_uint_eq (stream[size], 0xff);
    memset (back, 0, sizeof back);
    afp_bits_unpack (stream, 0, back, n, bits);
    ck_assert_mem_eq (back, symbols, n * sizeof *back);
  }
}
END_TEST

/* Any place, any length; the stream ends with its last bit (the sanitizer sees reads past it). */
START_TEST (unpack_anywhere)
{
  const guint bits = (guint) _i;
  guint32 symbols[N], back[N];
  fill (symbols, N, bits, 100 + bits);
  for (gsize n = 1; n < N; n += 1 + n / 3) {
    const gsize size = afp_bits_bytes (n, bits);
    g_autofree guint8 *stream = g_malloc (size);
    afp_bits_pack (stream, 0, symbols, n, bits);
    for (gsize first = 0; first < n; first++)
      for (gsize count = 0; first + count <= n; count += 1 + count / 2) {
        memset (back, 0xee, sizeof back);
        afp_bits_unpack (stream, first, back, count, bits);
        must (memcmp (back, symbols + first, count * sizeof *back) == 0);
        must (back[count] == 0xeeeeeeee);
      }
  }
}
END_TEST

/* Parts that start on a byte, in any order. */
START_TEST (pack_in_parts)
{
  const guint bits = (guint) _i;
  guint32 symbols[N];
  const gsize size = afp_bits_bytes (N, bits);
  g_autofree guint8 *whole = g_malloc0 (size), *parts = g_malloc0 (size);
  fill (symbols, N, bits, 200 + bits);
  afp_bits_pack (whole, 0, symbols, N, bits);
  for (gsize step = 8; step < N; step += 24) {
    memset (parts, 0, size);
    for (gsize k = (N + step - 1) / step; k-- > 0;)
      afp_bits_pack (parts, k * step, symbols + k * step, MIN (step, N - k * step), bits);
    ck_assert_mem_eq (parts, whole, size);
  }
}
END_TEST

/* What does not fit into the bits is cut off and harms no neighbour. */
START_TEST (too_wide_symbols)
{
  const guint bits = (guint) _i;
  guint32 symbols[N], masked[N];
  const gsize size = afp_bits_bytes (N, bits);
  g_autofree guint8 *a = g_malloc0 (size), *b = g_malloc0 (size);
  fill (symbols, N, 32, 300 + bits);
  for (gsize i = 0; i < N; i++)
    masked[i] = bits == 32 ? symbols[i] : symbols[i] & ((1u << bits) - 1);
  afp_bits_pack (a, 0, symbols, N, bits);
  afp_bits_pack (b, 0, masked, N, bits);
  ck_assert_mem_eq (a, b, size);
}
END_TEST

/* A place in a stream of more than 2^32 bits. */
START_TEST (far_away)
{
  const guint64 first = (guint64) 1 << 33;
  const guint32 in[3] = { 5, 2, 7 };
  guint8 room[8] = { 0 };
  guint32 out[3];
  guint8 *stream = (guint8 *) ((guintptr) room - (guintptr) (first / 8 * 3));
  afp_bits_pack (stream, first, in, 3, 3);
  afp_bits_unpack (stream, first, out, 3, 3);
  ck_assert_mem_eq (in, out, sizeof in);
  ck_assert_uint_eq (room[0], (5 | 2 << 3 | 7 << 6) & 0xff);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("bits");
  tcase_add_test (tcase, sizes);
  tcase_add_loop_test (tcase, pack, 1, 33);
  tcase_add_loop_test (tcase, unpack_anywhere, 1, 33);
  tcase_add_loop_test (tcase, pack_in_parts, 1, 33);
  tcase_add_loop_test (tcase, too_wide_symbols, 1, 33);
  tcase_add_test (tcase, far_away);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("bits", cases, G_N_ELEMENTS (cases));
}
