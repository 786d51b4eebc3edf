/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include <math.h>

static guint32
bits_of (float value)
{
  guint32 bits;
  memcpy (&bits, &value, 4);
  return bits;
}

static float
float_of (guint32 bits)
{
  float value;
  memcpy (&value, &bits, 4);
  return value;
}

START_TEST (names)
{
  static const struct {
    const char *name;
    gsize size;
    gboolean real;
  } rows[AFP_N_DTYPES] = {
    { "f32", 4, TRUE },         { "f64", 8, TRUE },         { "f16", 2, TRUE },
    { "bf16", 2, TRUE },        { "f8_e4m3", 1, TRUE },     { "f8_e5m2", 1, TRUE },
    { "i64", 8, FALSE },        { "i32", 4, FALSE },        { "i16", 2, FALSE },
    { "i8", 1, FALSE },         { "u64", 8, FALSE },        { "u32", 4, FALSE },
    { "u16", 2, FALSE },        { "u8", 1, FALSE },         { "bool", 1, FALSE },
    { "f8_e4m3fnuz", 1, TRUE }, { "f8_e5m2fnuz", 1, TRUE }, { "f8_e8m0", 1, FALSE },
    { "f6_e2m3", 3, FALSE },    { "f6_e3m2", 3, FALSE },    { "f4", 1, FALSE },
    { "c64", 8, FALSE },        { "q4_0", 18, TRUE },       { "q4_1", 20, TRUE },
    { "q5_0", 22, TRUE },       { "q5_1", 24, TRUE },       { "q8_0", 34, TRUE },
    { "q2_k", 84, TRUE },       { "q3_k", 110, TRUE },      { "q4_k", 144, TRUE },
    { "q5_k", 176, TRUE },      { "q6_k", 210, TRUE },      { "iq4_nl", 18, TRUE },
    { "tq1_0", 54, TRUE },      { "tq2_0", 66, TRUE },
  };
  for (guint i = 0; i < AFP_N_DTYPES; i++) {
    AfpDType parsed = AFP_N_DTYPES;
    g_autofree char *upper = g_ascii_strup (rows[i].name, -1);
    ck_assert_str_eq (afp_dtype_name ((AfpDType) i), rows[i].name);
    ck_assert_uint_eq (afp_dtype_size ((AfpDType) i), rows[i].size);
    ck_assert_int_eq (afp_dtype_is_real ((AfpDType) i), rows[i].real);
    ck_assert (afp_dtype_parse (rows[i].name, &parsed));
    ck_assert_uint_eq (parsed, i);
    parsed = AFP_N_DTYPES;
    ck_assert (afp_dtype_parse (upper, &parsed));
    ck_assert_uint_eq (parsed, i);
  }
}
END_TEST

START_TEST (no_such_names)
{
  static const char *const wrong[] = { "",        " f32",  "f32 ", "f",     "f3",    "f320",
                                       "float32", "bf-16", "i4",   "U128",  "f16\n", "\xff",
                                       "q4_2",    "q8_k",  "q4",   "iq4_xs" };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    AfpDType parsed = AFP_DTYPE_I8;
    ck_assert_msg (!afp_dtype_parse (wrong[i], &parsed), "'%s'", wrong[i]);
    ck_assert_int_eq (parsed, AFP_DTYPE_I8);
  }
}
END_TEST

/* What IEEE 754 says of binary16, in double. */
static double
half_value (guint half)
{
  const int exponent = (half >> 10) & 31, mantissa = half & 1023;
  const double magnitude =
      exponent ? ldexp (1024 + mantissa, exponent - 25) : ldexp (mantissa, -24);
  return half & 0x8000 ? -magnitude : magnitude;
}

START_TEST (every_half)
{
  for (guint half = 0; half < 65536; half++) {
    const float value = afp_f16_to_f32 ((guint16) half);
    if ((half & 0x7c00) == 0x7c00) {
      if (half & 0x3ff) {
        must (isnan (value));
        const guint16 back = afp_f32_to_f16 (value);
        must ((back & 0x7c00) == 0x7c00 && (back & 0x3ff) != 0 &&
              (back & 0x8000) == (half & 0x8000));
      } else {
        must (isinf (value) && (signbit (value) != 0) == (half >> 15 != 0));
        must (afp_f32_to_f16 (value) == half);
      }
      continue;
    }
    must ((double) value == half_value (half) && (signbit (value) != 0) == (half >> 15 != 0));
    must (afp_f32_to_f16 (value) == half);
  }
}
END_TEST

/* Between two neighbours: the half of even mantissa at the tie, else the nearer one; for both signs. */
START_TEST (every_tie)
{
  for (guint half = 0; half < 0x7bff; half++) {
    const float low = (float) half_value (half), high = (float) half_value (half + 1);
    const float tie = (float) (((double) low + high) / 2);
    const guint even = half & 1 ? half + 1 : half;
    must ((double) tie == ((double) low + high) / 2);
    must (afp_f32_to_f16 (tie) == even);
    must (afp_f32_to_f16 (nextafterf (tie, -1)) == half);
    must (afp_f32_to_f16 (nextafterf (tie, 1e9f)) == (half + 1));
    must (afp_f32_to_f16 (-tie) == (even | 0x8000));
    must ((afp_f32_to_f16 (nextafterf (-tie, 1))) == (half | 0x8000));
    must (afp_f32_to_f16 (nextafterf (-tie, -1e9f)) == ((half + 1) | 0x8000));
  }
}
END_TEST

START_TEST (half_ends)
{
  ck_assert_uint_eq (afp_f32_to_f16 (65504.0f), 0x7bff);
  ck_assert_uint_eq (afp_f32_to_f16 (nextafterf (65520.0f, 0)), 0x7bff);
  ck_assert_uint_eq (afp_f32_to_f16 (65520.0f), 0x7c00);
  ck_assert_uint_eq (afp_f32_to_f16 (-65520.0f), 0xfc00);
  ck_assert_uint_eq (afp_f32_to_f16 (3.4e38f), 0x7c00);
  ck_assert_uint_eq (afp_f32_to_f16 (-INFINITY), 0xfc00);
  ck_assert_uint_eq (afp_f32_to_f16 (-0.0f), 0x8000);
  ck_assert_uint_eq (afp_f32_to_f16 (1e-45f), 0);
  ck_assert_uint_eq (afp_f32_to_f16 (0x1p-25f), 0); /* a tie with zero */
  ck_assert_uint_eq (afp_f32_to_f16 (0x1.000002p-25f), 1);
  ck_assert_uint_eq (afp_f32_to_f16 (float_of (0x7f800001)) & 0x7e00,
                     0x7e00); /* a signalling NaN stays a NaN */
  ck_assert_uint_eq (afp_f32_to_f16 (float_of (0xffffffff)) & 0xfe00, 0xfe00);
}
END_TEST

START_TEST (bf16)
{
  for (guint high = 0; high < 65536; high++) {
    const guint16 stored = (guint16) high;
    guint16 back;
    float value;
    afp_dtype_to_f32 (AFP_DTYPE_BF16, &stored, 1, &value, 1);
    must (bits_of (value) == (high << 16));
    afp_dtype_from_f32 (AFP_DTYPE_BF16, &value, &back, 1, 1);
    if (isnan (value))
      must ((back & 0x7fff) > 0x7f80);
    else
      must (back == high);
    if ((high & 0x7fff) >= 0x7f80)
      continue;
    const float around[] = { float_of (high << 16 | 0x7fff), float_of (high << 16 | 0x8000),
                             float_of (high << 16 | 0x8001) };
    guint16 rounded[3];
    afp_dtype_from_f32 (AFP_DTYPE_BF16, around, rounded, 1, 3);
    must (rounded[0] == high);
    must (rounded[1] == (high + (high & 1)));
    must (rounded[2] == (high + 1));
  }
}
END_TEST

START_TEST (f64)
{
  const double in[] = {
    1 + 0x1p-24, 1 + 0x1.8p-23, 1e300, -1e300, 1e-300, -0.0, 0.1, (double) NAN
  };
  float out[G_N_ELEMENTS (in)];
  double back[G_N_ELEMENTS (in)];
  afp_dtype_to_f32 (AFP_DTYPE_F64, in, 1, out, G_N_ELEMENTS (in));
  ck_assert (out[0] == 1); /* to even */
  ck_assert (out[1] == 1 + 0x1p-22f);
  ck_assert (isinf (out[2]) && out[2] > 0 && isinf (out[3]) && out[3] < 0);
  ck_assert (out[4] == 0 && out[5] == 0 && signbit (out[5]));
  ck_assert (out[6] == 0.1f && isnan (out[7]));
  afp_dtype_from_f32 (AFP_DTYPE_F64, out, back, 1, G_N_ELEMENTS (in));
  ck_assert (back[6] == (double) 0.1f && isnan (back[7]));
}
END_TEST

/* Any stride, any alignment; nothing beside the elements is touched. */
START_TEST (strides)
{
  static const AfpDType types[] = { AFP_DTYPE_F32, AFP_DTYPE_F64, AFP_DTYPE_F16, AFP_DTYPE_BF16 };
  static const float in[] = { 1, -2, 0.5f, 0, -0.25f, 96, -1024 };
  for (guint t = 0; t < G_N_ELEMENTS (types); t++)
    for (gsize stride = 1; stride < 5; stride++)
      for (gsize offset = 0; offset < 4; offset++) {
        const gsize size = afp_dtype_size (types[t]), n = G_N_ELEMENTS (in);
        guint8 raw[8 * 5 * G_N_ELEMENTS (in) + 8];
        float out[G_N_ELEMENTS (in)];
        memset (raw, 0xa5, sizeof raw);
        afp_dtype_from_f32 (types[t], in, raw + offset, stride, n);
        for (gsize i = 0; i < sizeof raw; i++) {
          const gsize at = i - offset;
          const gboolean inside =
              i >= offset && at / (stride * size) < n && at % (stride * size) < size;
          if (!inside)
            ck_assert_uint_eq (raw[i], 0xa5);
        }
        afp_dtype_to_f32 (types[t], raw + offset, stride, out, n);
        ck_assert_mem_eq (out, in, sizeof in);
      }
}
END_TEST

START_TEST (no_elements)
{
  float none = 7;
  guint8 raw = 9;
  afp_dtype_to_f32 (AFP_DTYPE_F16, &raw, 3, &none, 0);
  afp_dtype_from_f32 (AFP_DTYPE_F64, &none, &raw, 3, 0);
  ck_assert (none == 7 && raw == 9);
}
END_TEST

START_TEST (blocks)
{
  for (guint i = 0; i < AFP_N_DTYPES; i++) {
    const gsize block = afp_dtype_block ((AfpDType) i);
    const char *name = afp_dtype_name ((AfpDType) i);
    const gboolean large = g_str_has_suffix (name, "_k") || g_str_has_prefix (name, "tq");
    const gboolean small = i == AFP_DTYPE_F4 || i == AFP_DTYPE_F6_E2M3 || i == AFP_DTYPE_F6_E3M2;
    if (i < AFP_DTYPE_Q4_0)
      ck_assert_uint_eq (block, small ? (i == AFP_DTYPE_F4 ? 2 : 4) : 1);
    else
      ck_assert_uint_eq (block, large ? 256 : 32);
    ck_assert_int_eq (afp_dtype_has_row_blocks ((AfpDType) i), i >= AFP_DTYPE_Q4_0);
  }
}
END_TEST

/* From any element on, any number of them: what the whole array has there. Nothing behind them is touched. */
START_TEST (parts_of_arrays)
{
  static const AfpDType types[] = { AFP_DTYPE_Q8_0, AFP_DTYPE_Q4_K, AFP_DTYPE_F16, AFP_DTYPE_F32 };
  for (guint t = 0; t < G_N_ELEMENTS (types); t++) {
    const gsize block = afp_dtype_block (types[t]), n = 4 * block + (block == 1 ? 60 : 0);
    const gsize n_bytes = n / block * afp_dtype_size (types[t]);
    g_autofree guint8 *array = g_malloc (n_bytes);
    g_autofree float *whole = g_new (float, n), *part = g_new (float, n + 1);
    for (gsize i = 0; i < n_bytes; i++)
      array[i] = (guint8) (i * 29 % 120);
    afp_dtype_read (types[t], array, 0, whole, n);
    for (gsize first = 0; first < n; first += 13)
      for (gsize count = 0; count <= n - first; count += 31) {
        part[count] = 77;
        afp_dtype_read (types[t], array, first, part, count);
        ck_assert (count == 0 || memcmp (part, whole + first, count * sizeof *part) == 0);
        ck_assert (part[count] == 77);
      }
  }
}
END_TEST

START_TEST (numbers_of_8_bits)
{
  static const AfpDType types[] = { AFP_DTYPE_F8_E4M3, AFP_DTYPE_F8_E5M2, AFP_DTYPE_F8_E4M3FNUZ,
                                    AFP_DTYPE_F8_E5M2FNUZ };
  static const guint8 ones[][2] = {
    { 0x38, 0xb8 }, { 0x3c, 0xbc }, { 0x40, 0xc0 }, { 0x40, 0xc0 }
  };
  for (guint i = 0; i < G_N_ELEMENTS (types); i++) {
    float found[2];
    afp_dtype_to_f32 (types[i], ones[i], 1, found, 2);
    ck_assert_float_eq (found[0], 1);
    ck_assert_float_eq (found[1], -1);
    ck_assert (!afp_dtype_is_writable (types[i]));
  }
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("dtype");
  tcase_add_test (tcase, numbers_of_8_bits);
  tcase_add_test (tcase, names);
  tcase_add_test (tcase, no_such_names);
  tcase_add_test (tcase, every_half);
  tcase_add_test (tcase, every_tie);
  tcase_add_test (tcase, half_ends);
  tcase_add_test (tcase, bf16);
  tcase_add_test (tcase, f64);
  tcase_add_test (tcase, strides);
  tcase_add_test (tcase, no_elements);
  tcase_add_test (tcase, blocks);
  tcase_add_test (tcase, parts_of_arrays);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("dtype", cases, G_N_ELEMENTS (cases));
}
