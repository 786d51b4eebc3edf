/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include <math.h>

typedef struct {
  gboolean force;
  guint block_size, threads, wide;
  gint offset;
  guint64 budget, limit;
  double ratio, any;
  char *location, *note;
  gint layout;
  guint planes;
} Thing;

static const char *const layouts[] = { "row", "flat", "auto", NULL };
static const char *const kinds[] = { "weight", "residual", "coeffs", NULL };

enum {
  FORCE,
  BLOCK,
  THREADS,
  WIDE,
  OFFSET,
  BUDGET,
  LIMIT,
  RATIO,
  ANY,
  LOCATION,
  NOTE,
  LAYOUT,
  PLANES
};

static const AfpProperty table[] = {
  AFP_PROP_BOOL ("force", NULL, 0, Thing, force, "false", "Take it anyway."),
  AFP_PROP_UINT ("block-size", "C", AFP_PROPERTY_FORMAT, Thing, block_size, 1, 256, "8", "weights",
                 "Weights of a block."),
  AFP_PROP_UINT ("threads", NULL, AFP_PROPERTY_AUTO, Thing, threads, 1, 64, "auto", NULL,
                 "Threads."),
  AFP_PROP_UINT ("wide", NULL, 0, Thing, wide, 0, G_MAXUINT, "0", NULL, "Anything."),
  AFP_PROP_INT ("offset", NULL, 0, Thing, offset, -5, 5, "-1", NULL, "Offset."),
  AFP_PROP_SIZE ("budget", NULL, AFP_PROPERTY_AUTO, Thing, budget, 1024, 1ull << 40, "64M", "bytes",
                 "Budget."),
  AFP_PROP_SIZE ("limit", NULL, 0, Thing, limit, 0, (double) G_MAXUINT64, "0", "bytes", "Limit."),
  AFP_PROP_DOUBLE ("ratio", NULL, 0, Thing, ratio, 0, 1, "0.1", NULL, "Ratio."),
  AFP_PROP_DOUBLE ("any", NULL, 0, Thing, any, 0, 0, "0", NULL, "Any number."),
  AFP_PROP_STRING ("location", NULL, AFP_PROPERTY_FILE | AFP_PROPERTY_REQUIRED, Thing, location,
                   NULL, "File."),
  AFP_PROP_STRING ("note", NULL, 0, Thing, note, "", "Note."),
  AFP_PROP_ENUM ("layout", NULL, 0, Thing, layout, "auto", layouts, "Layout."),
  AFP_PROP_FLAGS ("planes", NULL, 0, Thing, planes, "all", kinds, "Planes."),
};

static gpointer
field (Thing *thing, guint i)
{
  return (char *) thing + table[i].offset;
}

static void
check_round_trip (guint i, const char *text, const char *canonical)
{
  Thing thing = { 0 };
  g_autoptr (GError) error = NULL;
  ck_assert_msg (afp_property_parse (&table[i], text, field (&thing, i), &error), "%s",
                 error ? error->message : "");
  g_autofree char *out = afp_property_format (&table[i], field (&thing, i));
  ck_assert_str_eq (out, canonical);
  ck_assert (afp_property_parse (&table[i], out, field (&thing, i), NULL));
  g_autofree char *again = afp_property_format (&table[i], field (&thing, i));
  ck_assert_str_eq (again, out);
  afp_property_clear (&table[i], field (&thing, i));
}

static void
check_refused (guint i, const char *text, const char *first, const char *second)
{
  Thing thing;
  Thing before;
  g_autoptr (GError) error = NULL;
  memset (&thing, 0x5a, sizeof thing);
  memcpy (&before, &thing, sizeof thing);
  ck_assert_msg (!afp_property_parse (&table[i], text, field (&thing, i), &error),
                 "%s accepts '%s'", table[i].name, text);
  ck_assert_int_eq (memcmp (&thing, &before, sizeof thing), 0);
  assert_error (error, AFP_ERROR_PROPERTY, first, second);
}

START_TEST (values)
{
  check_round_trip (FORCE, "true", "true");
  check_round_trip (FORCE, "no", "false");
  check_round_trip (FORCE, "1", "true");
  check_round_trip (BLOCK, "256", "256");
  check_round_trip (BLOCK, "007", "7");
  check_round_trip (THREADS, "auto", "auto");
  check_round_trip (THREADS, "2", "2");
  check_round_trip (WIDE, "4294967295", "4294967295");
  check_round_trip (OFFSET, "-5", "-5");
  check_round_trip (OFFSET, "+5", "5");
  check_round_trip (BUDGET, "64M", "64M");
  check_round_trip (BUDGET, "64MB", "62500k");
  check_round_trip (BUDGET, "auto", "auto");
  check_round_trip (BUDGET, "1.5G", "1536M");
  check_round_trip (BUDGET, "1025", "1025");
  check_round_trip (LIMIT, "0", "0");
  check_round_trip (LIMIT, "18446744073709551615", "18446744073709551615");
  check_round_trip (RATIO, "0.1", "0.1");
  check_round_trip (RATIO, "1e-3", "0.001");
  check_round_trip (RATIO, "0.33333333333333331", "0.3333333333333333");
  check_round_trip (ANY, "-1e300", "-1e+300");
  check_round_trip (LOCATION, "a b.h5", "a b.h5");
  check_round_trip (NOTE, "", "");
  check_round_trip (LAYOUT, "flat", "flat");
  check_round_trip (PLANES, "all", "all");
  check_round_trip (PLANES, "none", "none");
  check_round_trip (PLANES, "coeffs,weight", "weight,coeffs");
  check_round_trip (PLANES, "coeffs,weight,residual", "all");
}
END_TEST

START_TEST (refused_numbers)
{
  check_refused (BLOCK, "abc",
                 "block-size=abc is not a whole number: give 1..256 weights (default 8)", "");
  check_refused (BLOCK, "0", "block-size=0 is out of range: give 1..256 weights", "(default 8)");
  check_refused (BLOCK, "257", "is out of range", "1..256");
  check_refused (BLOCK, "-1", "is out of range", "1..256");
  check_refused (BLOCK, "99999999999999999999", "is out of range", "1..256");
  check_refused (BLOCK, "8.0", "is not a whole number", "1..256");
  check_refused (BLOCK, " 8", "is not a whole number", "1..256");
  check_refused (BLOCK, "8 ", "is not a whole number", "1..256");
  check_refused (BLOCK, "0x8", "is not a whole number", "1..256");
  check_refused (BLOCK, "", "block-size= is not a whole number", "1..256");
  check_refused (BLOCK, "-", "is not a whole number", "1..256");
  check_refused (BLOCK, "auto", "is not a whole number", "1..256");
  check_refused (THREADS, "0", "out of range: give auto or 1..64 (default auto)", "");
  check_refused (WIDE, "4294967296", "out of range: give 0 or more (default 0)", "");
  check_refused (OFFSET, "6", "offset=6 is out of range: give -5..5 (default -1)", "");
  check_refused (OFFSET, "--5", "is not a whole number", "");
  check_refused (RATIO, "1.5", "out of range: give 0..1 (default 0.1)", "");
  check_refused (RATIO, "half", "ratio=half is not a number", "");
  check_refused (RATIO, "0.5x", "is not a number", "");
  check_refused (RATIO, "nan", "is not a number", "");
  check_refused (RATIO, "inf", "is not a number", "");
  check_refused (RATIO, "0x1", "is not a number", "");
  check_refused (RATIO, " 1", "is not a number", "");
  check_refused (ANY, "1e999", "any=1e999 is out of range: give a number", "");
}
END_TEST

START_TEST (refused_sizes)
{
  check_refused (BUDGET, "64X", "budget=64X is not a size: give auto or 1k..1T bytes (default 64M)",
                 "64MB is 64*10^6");
  check_refused (BUDGET, "1023", "is out of range", "1k..1T");
  check_refused (BUDGET, "2T", "is out of range", "");
  check_refused (BUDGET, "", "is not a size", "");
  check_refused (BUDGET, "M", "is not a size", "");
  check_refused (BUDGET, "-1", "is out of range", "");
  check_refused (BUDGET, "64MBB", "is not a size", "");
  check_refused (LIMIT, "18446744073709551616", "is out of range", "");
}
END_TEST

START_TEST (refused_words)
{
  g_autofree char *longer = g_strnfill (100000, 'x');
  check_refused (LAYOUT, "flt",
                 "layout=flt: give row | flat | auto (default auto); did you mean 'flat'?", "");
  check_refused (LAYOUT, "Flat", "did you mean 'flat'?", "");
  check_refused (LAYOUT, "zzzzzz", "give row | flat | auto (default auto)", "");
  check_refused (LAYOUT, "", "layout=: give", "");
  check_refused (FORCE, "maybe", "force=maybe: give true | false (default false)", "");
  check_refused (FORCE, "ture", "did you mean 'true'?", "");
  check_refused (
      PLANES, "weights",
      "'weights' is unknown: give all, none or some of weight | residual | coeffs (default all)",
      "did you mean 'weight'?");
  check_refused (PLANES, "weight,", "'' is unknown", "");
  check_refused (PLANES, "", "planes= is empty", "");
  check_refused (PLANES, "weight,all", "'all' is unknown", "");
  check_refused (LAYOUT, longer, "xxx...: give", "");
  check_refused (LAYOUT, "\xff\x01", "layout=", "give row");
}
END_TEST

START_TEST (sizes)
{
  static const struct {
    const char *text;
    guint64 size;
  } good[] = {
    { "0", 0 },
    { "64M", 64ull << 20 },
    { "64MB", 64000000 },
    { "1.5G", 3ull << 29 },
    { "1k", 1024 },
    { "1K", 1024 },
    { "1kB", 1000 },
    { "2GiB", 2ull << 30 },
    { "3T", 3ull << 40 },
    { "3TB", 3000000000000 },
    { "100B", 100 },
    { "0.5kB", 500 },
    { "0.3k", 307 },
    { "16g", 16ull << 30 },
    { "16777215T", 16777215ull << 40 },
  };
  static const char *const bad[] = { "",           "x",    "1.5",       "1.5B",
                                     "1.",         ".5G",  "1.k",       "-1",
                                     "+1",         "1 M",  "1MiBx",     "1iB",
                                     "1MBs",       "1e6",  "16777216T", "99999999999999999999",
                                     "1.1234567G", "0x10", "64Mb",      "\xff" };
  guint64 size = 42;
  for (gsize i = 0; i < G_N_ELEMENTS (good); i++) {
    ck_assert_msg (afp_parse_size (good[i].text, &size), "%s", good[i].text);
    ck_assert_uint_eq (size, good[i].size);
  }
  size = 42;
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    ck_assert_msg (!afp_parse_size (bad[i], &size), "%s", bad[i]);
    ck_assert_uint_eq (size, 42);
  }
}
END_TEST

START_TEST (ranges)
{
  static const char *const expected[] = {
    "true | false, default false",
    "1..256 weights, default 8",
    "auto or 1..64, default auto",
    "0 or more, default 0",
    "-5..5, default -1",
    "auto or 1k..1T bytes, default 64M",
    "0 or more bytes, default 0",
    "0..1, default 0.1",
    "a number, default 0",
    "a file name, required",
    "a text, default an empty text",
    "row | flat | auto, default auto",
    "all, none or some of weight | residual | coeffs, default all",
  };
  ck_assert_uint_eq (G_N_ELEMENTS (expected), G_N_ELEMENTS (table));
  for (gsize i = 0; i < G_N_ELEMENTS (table); i++)
    assert_text (afp_property_describe_range (&table[i]), expected[i]);
}
END_TEST

START_TEST (strings_are_owned)
{
  Thing thing = { 0 };
  assert_text (afp_property_format (&table[LOCATION], &thing.location), NULL);
  ck_assert (afp_property_parse (&table[LOCATION], "a", &thing.location, NULL));
  ck_assert (afp_property_parse (&table[LOCATION], "b", &thing.location, NULL));
  ck_assert_str_eq (thing.location, "b");
  afp_property_clear (&table[LOCATION], &thing.location);
  ck_assert_ptr_null (thing.location);
  thing.budget = thing.block_size = 7;
  thing.ratio = 7;
  afp_property_clear (&table[BUDGET], &thing.budget);
  afp_property_clear (&table[BLOCK], &thing.block_size);
  afp_property_clear (&table[RATIO], &thing.ratio);
  ck_assert (thing.budget == 0 && thing.block_size == 0 && fpclassify (thing.ratio) == FP_ZERO);
}
END_TEST

START_TEST (pspecs)
{
  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    GParamSpec *pspec = g_param_spec_ref_sink (afp_property_to_pspec (&table[i]));
    ck_assert_str_eq (pspec->name, table[i].name);
    ck_assert_str_eq (g_param_spec_get_blurb (pspec), table[i].blurb);
    g_param_spec_unref (pspec);
  }
  GParamSpecUInt *block =
      G_PARAM_SPEC_UINT (g_param_spec_ref_sink (afp_property_to_pspec (&table[BLOCK])));
  ck_assert (block->minimum == 1 && block->maximum == 256 && block->default_value == 8);
  g_param_spec_unref (G_PARAM_SPEC (block));
  GParamSpecUInt *threads =
      G_PARAM_SPEC_UINT (g_param_spec_ref_sink (afp_property_to_pspec (&table[THREADS])));
  ck_assert (threads->minimum == 0 && threads->default_value == 0);
  g_param_spec_unref (G_PARAM_SPEC (threads));
  GParamSpec *layout = g_param_spec_ref_sink (afp_property_to_pspec (&table[LAYOUT]));
  ck_assert (G_IS_PARAM_SPEC_STRING (layout));
  g_param_spec_unref (layout);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("property");
  tcase_add_test (tcase, values);
  tcase_add_test (tcase, refused_numbers);
  tcase_add_test (tcase, refused_sizes);
  tcase_add_test (tcase, refused_words);
  tcase_add_test (tcase, sizes);
  tcase_add_test (tcase, ranges);
  tcase_add_test (tcase, strings_are_owned);
  tcase_add_test (tcase, pspecs);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("property", cases, G_N_ELEMENTS (cases));
}
