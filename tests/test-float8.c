/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "afp-float8.h"

#include <math.h>

/* All bytes in all types, against what ml_dtypes makes of them (tests/data/make-float8.py). */
START_TEST (every_byte)
{
  g_autofree char *path =
      g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "tests/data/float8.bin", NULL);
  g_autofree char *data = NULL;
  gsize n;
  guint8 codes[256];
  float expected[4][256], found[256];
  ck_assert (g_file_get_contents (path, &data, &n, NULL));
  ck_assert_uint_eq (n, sizeof expected);
  memcpy (expected, data, n);
  for (guint i = 0; i < 256; i++)
    codes[i] = (guint8) i;
  afp_float8_read ((AfpFloat8) _i, codes, 1, found, 256);
  for (guint i = 0; i < 256; i++) {
    if (isnan (expected[_i][i]))
      ck_assert_msg (isnan (found[i]), "type %d, 0x%02x", _i, i);
    else
      ck_assert_msg (memcmp (&found[i], &expected[_i][i], 4) == 0, "type %d, 0x%02x: %a, not %a",
                     _i, i, (double) found[i], (double) expected[_i][i]);
  }
}
END_TEST

START_TEST (known_values)
{
  static const struct {
    AfpFloat8 type;
    guint8 code;
    float value;
  } rows[] = {
    { AFP_FLOAT8_E4M3, 0x38, 1 },        { AFP_FLOAT8_E4M3, 0x7e, 448 },
    { AFP_FLOAT8_E4M3, 0xfe, -448 },     { AFP_FLOAT8_E4M3, 0x01, 0x1p-9f },
    { AFP_FLOAT8_E5M2, 0x3c, 1 },        { AFP_FLOAT8_E5M2, 0x7b, 57344 },
    { AFP_FLOAT8_E5M2, 0x01, 0x1p-16f }, { AFP_FLOAT8_E5M2, 0xfc, -INFINITY },
    { AFP_FLOAT8_E4M3FNUZ, 0x40, 1 },    { AFP_FLOAT8_E4M3FNUZ, 0x7f, 240 },
    { AFP_FLOAT8_E5M2FNUZ, 0x40, 1 },    { AFP_FLOAT8_E5M2FNUZ, 0x7f, 57344 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    float value;
    afp_float8_read (rows[i].type, &rows[i].code, 1, &value, 1);
    ck_assert_float_eq (value, rows[i].value);
  }
}
END_TEST

/* What is no number stays none. */
START_TEST (no_numbers)
{
  static const struct {
    AfpFloat8 type;
    guint8 code;
  } rows[] = { { AFP_FLOAT8_E4M3, 0x7f },    { AFP_FLOAT8_E4M3, 0xff },
               { AFP_FLOAT8_E5M2, 0x7d },    { AFP_FLOAT8_E5M2, 0xfe },
               { AFP_FLOAT8_E5M2, 0x7f },    { AFP_FLOAT8_E4M3FNUZ, 0x80 },
               { AFP_FLOAT8_E5M2FNUZ, 0x80 } };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    float value = 0;
    afp_float8_read (rows[i].type, &rows[i].code, 1, &value, 1);
    ck_assert (isnan (value));
  }
}
END_TEST

START_TEST (strides)
{
  static const guint8 codes[] = { 0x38, 0xff, 0xff, 0xb8, 0xff, 0xff, 0x40 };
  float found[4] = { 0, 0, 0, 7 };
  afp_float8_read (AFP_FLOAT8_E4M3, codes, 3, found, 3);
  ck_assert_float_eq (found[0], 1);
  ck_assert_float_eq (found[1], -1);
  ck_assert_float_eq (found[2], 2);
  ck_assert_float_eq (found[3], 7); /* not touched */
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("float8");
  tcase_add_loop_test (tcase, every_byte, 0, 4);
  tcase_add_test (tcase, known_values);
  tcase_add_test (tcase, no_numbers);
  tcase_add_test (tcase, strides);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("float8", cases, G_N_ELEMENTS (cases));
}
