/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-test.h"

#include <math.h>

/* seedlm as a plugin: properties, layouts, planes, decoding by hand. With other elements: test-seedlm-fit. */

/* --- layouts ---------------------------------------------------------------------------------------------------------- */

START_TEST (layout_of_a_weight)
{
  g_autoptr (AfpLayout) layout = describe ("", 512, 1200, NULL);

  ck_assert_uint_eq (afp_layout_get_quantum (layout), 12);
  ck_assert_uint_eq (afp_layout_get_rows (layout), 512);
  ck_assert_uint_eq (afp_layout_get_n_children (layout), 3);
  const AfpPlaneDesc *seeds = afp_layout_get_child (layout, 0),
                     *coeffs = afp_layout_get_child (layout, 1),
                     *scale = afp_layout_get_child (layout, 2);
  ck_assert_str_eq (seeds->name, "seeds");
  ck_assert_int_eq (seeds->kind, AFP_KIND_CODE);
  ck_assert_uint_eq (seeds->bits, 16);
  ck_assert_uint_eq (seeds->cols, 100);
  ck_assert_str_eq (coeffs->name, "coeffs");
  ck_assert_int_eq (coeffs->kind, AFP_KIND_COEFFS);
  ck_assert_uint_eq (coeffs->cols, 400);
  ck_assert_uint_eq (coeffs->vector, 4);
  ck_assert_int_eq (coeffs->metric, AFP_METRIC_MATRIX);
  ck_assert_str_eq (coeffs->fallback, "block-float mantissa-bits=4");
  ck_assert_str_eq (scale->name, "scale");
  ck_assert_int_eq (scale->kind, AFP_KIND_SCALE);
  ck_assert_int_eq (scale->scope, AFP_SCOPE_TENSOR);
  ck_assert_uint_eq (scale->rows * scale->cols, 1);
  assert_text (afp_layout_get_params (layout),
               "block-size=12,rank=4,seed-bits=16,leap=16,layout=row,scale=tensor");
}
END_TEST

static const struct {
  const char *properties;
  guint64 rows, cols;
  const char *params;
  guint64 quanta; /* of all rows */
} layouts[] = {
  { "", 128, 1024, "block-size=12,rank=4,seed-bits=16,leap=16,layout=row,scale=tensor", 128 * 86 },
  { "", 128, 64, "block-size=12,rank=4,seed-bits=16,leap=16,layout=flat,scale=tensor", 683 },
  { "", 1000, 4, "block-size=12,rank=4,seed-bits=16,leap=16,layout=flat,scale=tensor", 334 },
  { "", 1, 5, "block-size=12,rank=4,seed-bits=16,leap=16,layout=row,scale=tensor", 1 },
  { "scale=row", 128, 64, "block-size=12,rank=4,seed-bits=16,leap=16,layout=row,scale=row",
    128 * 6 },
  { "layout=row", 100, 5, "block-size=12,rank=4,seed-bits=16,leap=16,layout=row,scale=tensor",
    100 },
  { "layout=flat scale=none", 128, 1024,
    "block-size=12,rank=4,seed-bits=16,leap=16,layout=flat,scale=none", 10923 },
  { "C=8 P=3 K=12", 64, 64, "block-size=8,rank=3,seed-bits=12,leap=16,layout=row,scale=tensor",
    512 },
  { "C=8 P=3 K=7", 64, 64, "block-size=8,rank=3,seed-bits=7,leap=11,layout=row,scale=tensor", 512 },
  { "C=8 P=3 K=3", 64, 64, "block-size=8,rank=3,seed-bits=3,leap=1,layout=row,scale=tensor", 512 },
  { "C=12 P=4 K=24", 64, 240, "block-size=12,rank=4,seed-bits=24,leap=16,layout=row,scale=tensor",
    64 * 20 },
  { "C=256 P=8 K=20 leap=7", 64, 256,
    "block-size=256,rank=8,seed-bits=20,leap=7,layout=row,scale=tensor", 64 },
};

START_TEST (layout_is_resolved)
{
  g_autoptr (AfpLayout) layout =
      describe (layouts[_i].properties, layouts[_i].rows, layouts[_i].cols, NULL);

  ck_assert_ptr_nonnull (layout);
  assert_text (afp_layout_get_params (layout), layouts[_i].params);
  const AfpPlaneDesc *seeds = afp_layout_get_child (layout, 0);
  ck_assert_uint_eq (seeds->rows * seeds->cols, layouts[_i].quanta);
}
END_TEST

START_TEST (layout_has_what_is_asked_for)
{
  g_autoptr (AfpLayout) rows = describe ("scale=row coeff-bits=3", 64, 120, NULL);
  g_autoptr (AfpLayout) none = describe ("scale=none", 64, 120, NULL);

  ck_assert_str_eq (afp_layout_get_child (rows, 1)->fallback, "block-float mantissa-bits=3");
  ck_assert_int_eq (afp_layout_get_child (rows, 2)->scope, AFP_SCOPE_ROW);
  ck_assert_uint_eq (afp_layout_get_child (rows, 2)->cols, 64);
  ck_assert_uint_eq (afp_layout_get_n_children (none), 2);
}
END_TEST

static const struct {
  const char *name, *params, *fallback;
} presets[] = {
  { "paper-4bit", "block-size=8,rank=3,seed-bits=16,leap=1,layout=flat,scale=tensor",
    "block-float mantissa-bits=4" },
  { "paper-3bit", "block-size=12,rank=4,seed-bits=16,leap=1,layout=flat,scale=tensor",
    "block-float mantissa-bits=4" },
  { "fast", "block-size=8,rank=3,seed-bits=12,leap=16,layout=row,scale=tensor",
    "block-float mantissa-bits=4" },
};

START_TEST (presets_are_the_papers)
{
  g_autoptr (AfpElement) element = make_seedlm ("");
  const AfpPlaneDesc desc = make_desc (480, 480);
  GError *error = NULL;

  ck_assert_msg (afp_element_apply_preset (element, presets[_i].name, &error), "%s",
                 error ? error->message : "");
  g_autoptr (AfpLayout) layout = afp_codec_describe (AFP_CODEC (element), &desc, &error);
  assert_text (afp_layout_get_params (layout), presets[_i].params);
  ck_assert_str_eq (afp_layout_get_child (layout, 1)->fallback, presets[_i].fallback);
}
END_TEST

/* The presets that go together: bits of the seed and of vptq's index make the bits per weight in the name. */
START_TEST (joint_presets_keep_their_word)
{
  static const char *const names[] = { "joint-3.0", "joint-2.5", "joint-2.0",
                                       "joint-1.5", "joint-1.0", "joint-0.5" };
  g_autoptr (AfpElement) element = make_seedlm ("");
  g_autoptr (AfpElement) next = afp_registry_make (afp_registry_get_default (), "vptq", NULL);
  const AfpPlaneDesc desc = make_desc (480, 960);
  GError *error = NULL;

  ck_assert_msg (afp_element_apply_preset (element, names[_i], &error) &&
                     afp_element_apply_preset (next, names[_i], &error),
                 "%s", error ? error->message : "");
  g_autoptr (AfpLayout) layout = afp_codec_describe (AFP_CODEC (element), &desc, NULL);
  g_autoptr (AfpLayout) coeffs =
      afp_codec_describe (AFP_CODEC (next), afp_layout_get_child (layout, 1), NULL);
  const guint bits =
      afp_layout_get_child (layout, 0)->bits + afp_layout_get_child (coeffs, 0)->bits;
  ck_assert_double_eq_tol (bits / (double) afp_layout_get_quantum (layout),
                           g_ascii_strtod (names[_i] + strlen ("joint-"), NULL), 1e-9);
}
END_TEST

/* --- wrong words -------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *text, *word, *hint;
} bad_properties[] = {
  { "C=0", "block-size=0", "1..256" },
  { "C=257", "block-size=257", "1..256" },
  { "P=0", "rank=0", "1..8" },
  { "P=9", "rank=9", "1..8" },
  { "K=1", "seed-bits=1", "2..24" },
  { "K=25", "seed-bits=25", "2..24" },
  { "K=sixteen", "sixteen", "2..24" },
  { "leap=0", "leap=0", "default auto" },
  { "leap=-1", "leap=-1", "default auto" },
  { "layout=diagonal", "layout=diagonal", "auto | row | flat" },
  { "scale=column", "scale=column", "none | tensor | row" },
  { "coeff-bits=1", "coeff-bits=1", "2..8" },
  { "coeff-bits=9", "coeff-bits=9", "2..8" },
  { "rounds=-1", "rounds=-1", "default 4" },
  { "samples=0", "samples=0", "default 16384" },
  { "candidates=0", "candidates=0", "default auto" },
  { "blocksize=8", "blocksize", "block-size" },
};

START_TEST (properties_are_checked)
{
  g_autoptr (AfpElement) element = make_seedlm ("");
  GError *error = NULL;

  ck_assert (!afp_element_set_properties_text (element, bad_properties[_i].text, &error));
  assert_error (error, AFP_ERROR_PROPERTY, bad_properties[_i].word, bad_properties[_i].hint);
}
END_TEST

static const struct {
  const char *properties, *word, *value, *hint;
} bad_together[] = {
  { "C=3 P=4", "rank=4", "block-size=3", "at most 3" },
  { "leap=3", "leap=3", "2^16 - 1 = 65535", "leap=16" },
  { "leap=7 K=12", "leap=7", "factor in common with 2^12", "leap=16" },
  { "leap=65535", "leap=65535", "not below 2^16", "leap=16" },
  { "leap=47 K=23", "leap=47", "factor in common with 2^23", "leap=16" },
  { "leap=16777214 K=23", "leap=16777214", "not below 2^23", "leap=16" },
  { "leap=16 K=4 C=8 P=2", "leap=16", "not below 2^4", "leap=1" },
  { "layout=flat scale=row", "scale=row", "layout=flat", "layout=row" },
};

START_TEST (properties_are_checked_together)
{
  assert_refused (bad_together[_i].properties, bad_together[_i].word, bad_together[_i].value,
                  bad_together[_i].hint);
}
END_TEST

static const struct {
  const char *properties;
  int code;
  const char *word, *value, *hint;
} bad_choices[] = {
  { "leap=32767", AFP_ERROR_PROPERTY, "leap=32767", "0.50", "leap=16" },
  { "leap=32768", AFP_ERROR_PROPERTY, "leap=32768", "0.3 is the limit", "leap=16" },
  { "leap=2047 K=12", AFP_ERROR_PROPERTY, "12-bit register", "0.50", "leap=16" },
  { "leap=8388608 K=24", AFP_ERROR_PROPERTY, "24-bit register", "0.50", "leap=16" },
  { "leap=1048575 K=21", AFP_ERROR_PROPERTY, "21-bit register", "0.50", "leap=16" },
  { "K=24 C=8 P=3", AFP_ERROR_MEMORY, "seed-bits=24", "268435456 are the limit",
    "fewer seed-bits" },
  { "K=20 C=8 P=8", AFP_ERROR_MEMORY, "seed-bits=20", "268435456 are the limit",
    "fewer seed-bits" },
  { "K=2 C=4 P=4", AFP_ERROR_PROPERTY, "3 seeds of 2 bits", "4 dimensions", "more seed-bits" },
};

START_TEST (poor_choices_are_refused)
{
  g_autoptr (AfpElement) element = make_seedlm (bad_choices[_i].properties);
  GError *error = NULL;

  ck_assert (!AFP_ELEMENT_GET_CLASS (element)->check (element, &error));
  assert_error (error, bad_choices[_i].code, bad_choices[_i].word, bad_choices[_i].value,
                bad_choices[_i].hint);
}
END_TEST

static const char *const good_choices[] = { "",
                                            "leap=1",
                                            "leap=7",
                                            "leap=2",
                                            "K=2 C=2 P=1",
                                            "K=20 C=24 P=8",
                                            "K=23 C=8 P=1",
                                            "K=22 C=8 P=3 leap=7",
                                            "K=8 C=8 P=8" };

START_TEST (good_choices_are_not)
{
  g_autoptr (AfpElement) element = make_seedlm (good_choices[_i]);
  GError *error = NULL;

  ck_assert_msg (AFP_ELEMENT_GET_CLASS (element)->check (element, &error), "%s",
                 error ? error->message : "");
}
END_TEST

static TCase *
layout_case (void)
{
  TCase *tcase = tcase_create ("layout");
  tcase_add_test (tcase, layout_of_a_weight);
  tcase_add_loop_test (tcase, layout_is_resolved, 0, G_N_ELEMENTS (layouts));
  tcase_add_test (tcase, layout_has_what_is_asked_for);
  tcase_add_loop_test (tcase, presets_are_the_papers, 0, G_N_ELEMENTS (presets));
  tcase_add_loop_test (tcase, joint_presets_keep_their_word, 0, 6);
  tcase_add_loop_test (tcase, properties_are_checked, 0, G_N_ELEMENTS (bad_properties));
  tcase_add_loop_test (tcase, properties_are_checked_together, 0, G_N_ELEMENTS (bad_together));
  tcase_add_loop_test (tcase, poor_choices_are_refused, 0, G_N_ELEMENTS (bad_choices));
  tcase_add_loop_test (tcase, good_choices_are_not, 0, G_N_ELEMENTS (good_choices));
  return tcase;
}

/* --- decoding: from bytes that are written here, as SPEC.md says --------------------------------------------------------- */

/* Figure 4 of the paper: 3 bits, seed 4: 2 5 / 6 7 / 3 1 / 4 2, less 4, over 3. Seed 1 starts 4 2 / 5 6 / 7 3 / 1 4. */
#define FIGURE_4 "{seeds,coeffs=raw32/1{codes},scale=raw32/1{codes}}"
static const float coeffs[] = { 3, 30, -3, 6 };
static const float scales[] = { 2, -0.5f };

START_TEST (decodes_by_hand)
{
  const guint8 seeds[] = { 4 | 1 << 3 };
  Leaf leaves[] = { { "weight/seeds", seeds, 1 },
                    { "weight/coeffs/codes", coeffs, sizeof coeffs },
                    { "weight/scale/codes", scales, sizeof scales },
                    { NULL, NULL, 0 } };
  const float expected[] = { 2 * (-2 + 10),   2 * (2 + 30),     2 * (-1 - 30),
                             -0.5f * (0 - 4), -0.5f * (-1 + 4), -0.5f * (-3 - 2) };
  GError *error = NULL;
  float out[6];

  /* rows of 3 numbers: the fourth of each block is padding */
  ck_assert_msg (
      decode (
          "weight=seedlm/1(block-size=4,rank=2,seed-bits=3,leap=1,layout=row,scale=row)" FIGURE_4,
          2, 3, leaves, out, &error),
      "%s", error ? error->message : "");
  for (guint i = 0; i < 6; i++)
    ck_assert_float_eq_tol (out[i], expected[i], 1e-5f);
}
END_TEST

START_TEST (decodes_flat_by_hand)
{
  const guint8 seeds[] = { 4 | 1 << 3 };
  Leaf leaves[] = { { "weight/seeds", seeds, 1 },
                    { "weight/coeffs/codes", coeffs, sizeof coeffs },
                    { NULL, NULL, 0 } };
  const float expected[] = { -2 + 10, 2 + 30, -1 - 30, 0 - 20, 0 - 4, -1 + 4 };
  GError *error = NULL;
  float out[6];

  ck_assert_msg (
      decode (
          "weight=seedlm/1(block-size=4,rank=2,seed-bits=3,leap=1,layout=flat,scale=none){seeds,coeffs=raw32/1{codes}}",
          2, 3, leaves, out, &error),
      "%s", error ? error->message : "");
  for (guint i = 0; i < 6; i++)
    ck_assert_float_eq_tol (out[i], expected[i], 1e-5f);
}
END_TEST

/* The longest register: sixteen clocks at a time from seeds 1 and 0xabcdef, less 2^23, over 2^23 - 1. */
START_TEST (decodes_24_bits_by_hand)
{
  static const double states[] = { 256,     115200,   5243905, 10946896,
                                   9435307, 15017359, 3432677, 2125620 };
  const guint8 seeds[] = { 1, 0, 0, 0xef, 0xcd, 0xab };
  const float t[] = { 1, -3 };
  Leaf leaves[] = { { "weight/seeds", seeds, sizeof seeds },
                    { "weight/coeffs/codes", t, sizeof t },
                    { NULL, NULL, 0 } };
  GError *error = NULL;
  float out[8];

  ck_assert_msg (
      decode (
          "weight=seedlm/1(block-size=4,rank=1,seed-bits=24,leap=16,layout=row,scale=none){seeds,coeffs=raw32/1{codes}}",
          1, 8, leaves, out, &error),
      "%s", error ? error->message : "");
  for (guint i = 0; i < 8; i++)
    ck_assert_float_eq (out[i], t[i / 4] * (float) ((states[i] - 8388608) / 8388607));
}
END_TEST

START_TEST (seed_zero_is_damage)
{
  const guint8 seeds[] = { 4 | 0 << 3 };
  Leaf leaves[] = { { "weight/seeds", seeds, 1 },
                    { "weight/coeffs/codes", coeffs, sizeof coeffs },
                    { "weight/scale/codes", scales, sizeof scales },
                    { NULL, NULL, 0 } };
  GError *error = NULL;
  float out[6];

  ck_assert (!decode (
      "weight=seedlm/1(block-size=4,rank=2,seed-bits=3,leap=1,layout=row,scale=row)" FIGURE_4, 2, 3,
      leaves, out, &error));
  assert_error (error, AFP_ERROR_FORMAT, "seed 0", "row 1, column 0", "1 to 7",
                "'seeds' is damaged");
}
END_TEST

START_TEST (scale_must_be_finite)
{
  const guint8 seeds[] = { 4 | 1 << 3 };
  const float bad[] = { 2, _i ? INFINITY : NAN };
  Leaf leaves[] = { { "weight/seeds", seeds, 1 },
                    { "weight/coeffs/codes", coeffs, sizeof coeffs },
                    { "weight/scale/codes", bad, sizeof bad },
                    { NULL, NULL, 0 } };
  GError *error = NULL;
  float out[6];

  ck_assert (!decode (
      "weight=seedlm/1(block-size=4,rank=2,seed-bits=3,leap=1,layout=row,scale=row)" FIGURE_4, 2, 3,
      leaves, out, &error));
  assert_error (error, AFP_ERROR_FORMAT, "scale", "number 1", "not finite");
}
END_TEST

static const struct {
  const char *params, *word;
} bad_recipes[] = {
  { "block-size=4,rank=5,seed-bits=3,leap=1,layout=row,scale=row", "rank=5" },
  { "block-size=4,rank=2,seed-bits=4,leap=5,layout=row,scale=row", "leap=5" },
  { "block-size=4,rank=2,seed-bits=3,leap=7,layout=row,scale=row", "leap=7" },
  { "block-size=4,rank=2,seed-bits=3,leap=1,layout=flat,scale=row", "scale=row" },
  { "block-size=4000,rank=2,seed-bits=3,leap=1,layout=row,scale=row", "block-size" },
  { "block-size=4,rank=2,seed-bits=25,leap=1,layout=row,scale=row", "seed-bits" },
  { "block-size=4,rank=2,seed-bits=3,leap=1,layout=row,scale=rows", "scale" },
};

START_TEST (recipes_are_checked)
{
  g_autofree char *recipe =
      g_strdup_printf ("weight=seedlm/1(%s)" FIGURE_4, bad_recipes[_i].params);
  Leaf leaves[] = { { NULL, NULL, 0 } };
  GError *error = NULL;
  float out[6];

  ck_assert (!decode (recipe, 2, 3, leaves, out, &error));
  ck_assert_msg (strstr (error->message, bad_recipes[_i].word) != NULL, "%s", error->message);
  g_clear_error (&error);
}
END_TEST

static TCase *
decode_case (void)
{
  TCase *tcase = tcase_create ("decode");
  tcase_add_test (tcase, decodes_by_hand);
  tcase_add_test (tcase, decodes_flat_by_hand);
  tcase_add_test (tcase, decodes_24_bits_by_hand);
  tcase_add_test (tcase, seed_zero_is_damage);
  tcase_add_loop_test (tcase, scale_must_be_finite, 0, 2);
  tcase_add_loop_test (tcase, recipes_are_checked, 0, G_N_ELEMENTS (bad_recipes));
  return tcase;
}

static TCase *(*const cases[]) (void) = { layout_case, decode_case };

int
main (void)
{
  return run_suite ("seedlm", cases, G_N_ELEMENTS (cases));
}
