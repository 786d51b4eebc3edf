/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bits against the reference: test-reader-gguf. Here: blocks that can be decoded by hand. */
#include "core-test.h"

#include "afp-block-kernel.h"

#include <math.h>

static float out[AFP_BLOCK_LARGE];

START_TEST (nibbles)
{
  guint8 block[24] = { 0x00, 0x40, 0x00, 0x3c }; /* 2, 1 */
  for (guint i = 0; i < 16; i++)
    block[4 + i] = (guint8) (i | (15 - i) << 4);
  afp_block_q4_1 (block, out);
  for (guint i = 0; i < 16; i++) {
    ck_assert_float_eq (out[i], 2 * (float) i + 1);
    ck_assert_float_eq (out[16 + i], 2 * (float) (15 - i) + 1);
  }
  memmove (block + 2, block + 4, 16);
  afp_block_q4_0 (block, out);
  for (guint i = 0; i < 16; i++) {
    ck_assert_float_eq (out[i], 2 * ((float) i - 8));
    ck_assert_float_eq (out[16 + i], 2 * (7 - (float) i));
  }
  afp_block_iq4_nl (block, out);
  ck_assert_float_eq (out[0], -254);
  ck_assert_float_eq (out[7], -20);
  ck_assert_float_eq (out[8], 2);
  ck_assert_float_eq (out[16], 226);
}
END_TEST

START_TEST (fifth_bits)
{
  guint8 block[24] = { 0x00, 0x3c, 0x00, 0x3c };
  block[6] = 0x01; /* symbol 16 */
  block[8] = 0x05;
  afp_block_q5_1 (block, out);
  for (guint i = 0; i < 32; i++)
    ck_assert_float_eq (out[i], i == 0 ? 6 : i == 16 ? 17 : 1);
  memmove (block + 2, block + 4, 20);
  afp_block_q5_0 (block, out);
  for (guint i = 0; i < 32; i++)
    ck_assert_float_eq (out[i], i == 0 ? -11 : i == 16 ? 0 : -16);
}
END_TEST

START_TEST (bytes)
{
  guint8 block[34] = { 0x00, 0x38 }; /* 1/2 */
  block[2] = 127;
  block[3] = 128;
  block[33] = 255;
  afp_block_q8_0 (block, out);
  ck_assert_float_eq (out[0], 63.5f);
  ck_assert_float_eq (out[1], -64);
  ck_assert_float_eq (out[31], -0.5f);
}
END_TEST

/* Five digits in base three make a byte: n / 243, rounded up to 256ths. */
START_TEST (trits)
{
  guint8 block[54] = { 0 };
  block[53] = 0x3c;
  for (guint n = 0; n < 243; n++) {
    guint rest = n;
    block[5] = (guint8) ((n * 256 + 242) / 243);
    afp_block_tq1_0 (block, out);
    for (guint j = 0, power = 81; j < 5; j++, power /= 3) {
      ck_assert_float_eq (out[32 * j + 5], (float) (rest / power) - 1);
      rest %= power;
    }
  }
}
END_TEST

/* One byte at a time: it moves as many numbers as depend on it, and no other. */
START_TEST (one_byte)
{
  static const struct {
    AfpBlockDecode decode;
    guint bytes, first, last; /* bytes with symbols */
    guint per_byte;           /* numbers that depend on a byte */
  } cases[] = {
    { afp_block_q2_k, 84, 16, 79, 4 },     { afp_block_q3_k, 110, 0, 31, 8 },
    { afp_block_q3_k, 110, 32, 95, 4 },    { afp_block_q4_k, 144, 16, 143, 2 },
    { afp_block_q5_k, 176, 16, 47, 8 },    { afp_block_q5_k, 176, 48, 175, 2 },
    { afp_block_q6_k, 210, 0, 127, 2 },    { afp_block_q6_k, 210, 128, 191, 4 },
    { afp_block_q6_k, 210, 192, 207, 16 }, { afp_block_tq1_0, 54, 0, 47, 5 },
    { afp_block_tq1_0, 54, 48, 51, 4 },    { afp_block_tq2_0, 66, 0, 63, 4 },
  };
  float base[AFP_BLOCK_LARGE];
  for (gsize c = 0; c < G_N_ELEMENTS (cases); c++) {
    g_autofree guint8 *block = g_malloc (cases[c].bytes);
    memset (block, 0x3c, cases[c].bytes); /* scales of about 1 */
    cases[c].decode (block, base);
    for (guint i = cases[c].first; i <= cases[c].last; i++) {
      gboolean moved[AFP_BLOCK_LARGE] = { FALSE };
      guint changed = 0;
      for (guint value = 0; value < 256; value += 5) {
        block[i] = (guint8) value;
        cases[c].decode (block, out);
        for (guint k = 0; k < AFP_BLOCK_LARGE; k++)
          moved[k] = moved[k] || memcmp (&out[k], &base[k], sizeof *out) != 0;
      }
      for (guint k = 0; k < AFP_BLOCK_LARGE; k++)
        changed += moved[k];
      ck_assert_msg (changed == cases[c].per_byte, "case %u, byte %u: %u numbers", (guint) c, i,
                     changed);
      block[i] = 0x3c;
    }
  }
}
END_TEST

/* No byte is forbidden: decoders of files read all of them, and write 256 numbers. */
START_TEST (any_bytes)
{
  static const AfpBlockDecode decoders[] = {
    afp_block_q4_0,   afp_block_q4_1,  afp_block_q5_0,  afp_block_q5_1, afp_block_q8_0,
    afp_block_q2_k,   afp_block_q3_k,  afp_block_q4_k,  afp_block_q5_k, afp_block_q6_k,
    afp_block_iq4_nl, afp_block_tq1_0, afp_block_tq2_0,
  };
  static const guint sizes[] = { 18, 20, 22, 24, 34, 84, 110, 144, 176, 210, 18, 54, 66 };
  for (gsize i = 0; i < G_N_ELEMENTS (decoders); i++) {
    const guint n = sizes[i] < 50 ? AFP_BLOCK_SMALL : AFP_BLOCK_LARGE;
    for (guint byte = 0; byte < 256; byte++) {
      g_autofree guint8 *block = g_malloc (sizes[i]);
      g_autofree float *numbers = g_new0 (float, n);
      memset (block, (int) byte, sizes[i]);
      decoders[i](block, numbers);
      for (guint k = 0; k < n; k++)
        ck_assert (isfinite (numbers[k]) || (byte & 0x7c) == 0x7c);
    }
  }
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("block-kernel");
  tcase_add_test (tcase, nibbles);
  tcase_add_test (tcase, fifth_bits);
  tcase_add_test (tcase, bytes);
  tcase_add_test (tcase, trits);
  tcase_add_test (tcase, one_byte);
  tcase_add_test (tcase, any_bytes);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("block-kernel", cases, G_N_ELEMENTS (cases));
}
