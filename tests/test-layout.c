/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

static AfpCodec *
make (const char *name, const char *properties)
{
  AfpElement *element = afp_registry_make (afp_registry_get_default (), name, NULL);
  GError *error = NULL;
  ck_assert_ptr_nonnull (element);
  ck_assert_msg (!*properties || afp_element_set_properties_text (element, properties, &error),
                 "%s", error ? error->message : "?");
  return AFP_CODEC (element);
}

static AfpPlaneDesc
weight (guint64 rows, guint64 cols)
{
  return (AfpPlaneDesc){
    .name = "weight", .kind = AFP_KIND_WEIGHT, .scope = AFP_SCOPE_TENSOR, .rows = rows, .cols = cols
  };
}

static AfpLayout *
describe (const char *name, const char *properties, guint64 rows, guint64 cols)
{
  g_autoptr (AfpCodec) codec = make (name, properties);
  const AfpPlaneDesc desc = weight (rows, cols);
  GError *error = NULL;
  AfpLayout *layout = afp_codec_describe (codec, &desc, &error);
  ck_assert_msg (layout != NULL, "%s", error ? error->message : "?");
  return layout;
}

START_TEST (quanta)
{
  static const struct {
    guint64 rows, cols;
    const char *properties;
    guint64 seen_rows, seen_cols, padded;
  } cases[] = {
    { 3, 16, "quantum=8", 3, 16, 16 },
    { 3, 17, "quantum=8", 3, 17, 24 },
    { 3, 1, "quantum=8", 3, 1, 8 },
    { 5, 7, "quantum=1", 5, 7, 7 },
    { 5, 7, "quantum=4 layout=flat", 1, 35, 36 },
    { 1, 9, "quantum=4 layout=flat", 1, 9, 12 },
    { 9, 1, "quantum=9 layout=flat", 1, 9, 9 },
    { 1, 1, "quantum=1024", 1, 1, 1024 },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (AfpLayout) layout =
        describe ("test-q", cases[i].properties, cases[i].rows, cases[i].cols);
    ck_assert_uint_eq (afp_layout_get_rows (layout), cases[i].seen_rows);
    ck_assert_uint_eq (afp_layout_get_cols (layout), cases[i].seen_cols);
    ck_assert_uint_eq (afp_layout_get_padded_cols (layout), cases[i].padded);
    const AfpPlaneDesc *codes = afp_layout_get_child (layout, 0);
    ck_assert_uint_eq (codes->rows, cases[i].seen_rows);
    ck_assert_uint_eq (codes->cols, cases[i].padded); /* a symbol for each column */
    ck_assert_uint_eq (afp_layout_get_input (layout)->rows, cases[i].rows);
  }
}
END_TEST

START_TEST (children)
{
  g_autoptr (AfpLayout) layout =
      describe ("test-q", "scale=row residual=true table=true quantum=4 bits=7", 6, 10);
  const AfpPlaneDesc *codes = afp_layout_get_child (layout, 0),
                     *scale = afp_layout_get_child (layout, 1);
  const AfpPlaneDesc *residual = afp_layout_get_child (layout, 2),
                     *table = afp_layout_get_child (layout, 3);
  ck_assert_uint_eq (afp_layout_get_n_children (layout), 4);
  ck_assert_uint_eq (afp_layout_get_quantum (layout), 4);
  ck_assert (codes->kind == AFP_KIND_CODE && codes->scope == AFP_SCOPE_BLOCK && codes->bits == 7 &&
             codes->per_quantum == 4);
  ck_assert_ptr_null (codes->fallback);
  ck_assert (scale->kind == AFP_KIND_SCALE && scale->scope == AFP_SCOPE_ROW && scale->rows == 1 &&
             scale->cols == 6 && scale->bits == 0);
  ck_assert_str_eq (scale->fallback, "f16");
  ck_assert (residual->kind == AFP_KIND_RESIDUAL && residual->scope == AFP_SCOPE_BLOCK &&
             residual->rows == 6 && residual->cols == 12);
  ck_assert (residual->optional && !scale->optional);
  ck_assert_str_eq (residual->fallback, "drop");
  ck_assert (table->kind == AFP_KIND_CODE && table->scope == AFP_SCOPE_TENSOR && table->rows == 1 &&
             table->cols == 5 && table->bits == 3);
  g_autoptr (AfpLayout) ask = describe ("test-ask", "block=12 vector=3 metric=matrix", 4, 20);
  const AfpPlaneDesc *coeffs = afp_layout_get_child (ask, 1);
  ck_assert_str_eq (coeffs->fallback, "block-float");
  ck_assert (coeffs->vector == 3 && coeffs->metric == AFP_METRIC_MATRIX && coeffs->cols == 24);
}
END_TEST

START_TEST (canonical_params)
{
  g_autoptr (AfpLayout) layout =
      describe ("test-q", "b=9 planes=weight exclude=x force=true", 4, 4);
  assert_text (afp_layout_get_params (layout),
               "bits=9,quantum=1,scale=tensor,layout=row,residual=false,table=false");
  g_autoptr (AfpLayout) preset = describe ("test-q", "preset=coarse", 4, 4);
  assert_text (afp_layout_get_params (preset),
               "bits=2,quantum=2,scale=tensor,layout=row,residual=false,table=false");
  g_autoptr (AfpLayout) none = describe ("f16", "", 4, 4);
  assert_text (afp_layout_get_params (none), "");
  g_autoptr (AfpLayout) same = afp_layout_ref (layout);
  ck_assert_str_eq (afp_element_get_factory_name (AFP_ELEMENT (afp_layout_get_codec (same))),
                    "test-q");
  /* What describe resolved counts more than the property. */
  afp_layout_set_param (layout, "bits", 11);
  afp_layout_set_param_text (layout, "scale", "row");
  assert_text (afp_layout_get_params (layout),
               "bits=11,quantum=1,scale=row,layout=row,residual=false,table=false");
}
END_TEST

START_TEST (params_describe_the_plane_again)
{
  g_autoptr (AfpLayout) layout =
      describe ("test-q", "preset=coarse layout=flat residual=true", 5, 7);
  g_autofree char *params = afp_layout_get_params (layout);
  g_autoptr (AfpLayout) again = describe ("test-q", params, 5, 7);
  assert_text (afp_layout_get_params (again), params);
  ck_assert_uint_eq (afp_layout_get_n_children (again), afp_layout_get_n_children (layout));
  for (guint i = 0; i < afp_layout_get_n_children (layout); i++) {
    const AfpPlaneDesc *a = afp_layout_get_child (layout, i), *b = afp_layout_get_child (again, i);
    ck_assert_ptr_eq (a->name, b->name); /* interned */
    ck_assert (a->kind == b->kind && a->rows == b->rows && a->cols == b->cols &&
               a->bits == b->bits && a->optional == b->optional);
  }
}
END_TEST

static void
assert_refused (const char *name, const char *properties, const AfpPlaneDesc *desc,
                const char *word, const char *other)
{
  g_autoptr (AfpCodec) codec = make (name, properties);
  GError *error = NULL;
  ck_assert_ptr_null (afp_codec_describe (codec, desc, &error));
  assert_error (error, AFP_ERROR_PLAN, word, other);
  ck_assert_ptr_null (afp_codec_describe (codec, desc, NULL));
}

START_TEST (codecs_refuse)
{
  AfpPlaneDesc desc = weight (4, 4);
  assert_refused ("test-fail", "in=describe", &desc, "test-fail fails in describe", "");
  assert_refused ("drop", "", &desc, "drop takes only planes that are optional", "'weight'");
  desc.vector = 65;
  desc.cols = 65;
  assert_refused ("block-float", "", &desc, "up to 64", "65");
}
END_TEST

/* Sizes that would overflow on the way are refused, whoever asks. */
START_TEST (too_large)
{
  static const guint64 sizes[][2] = {
    { (guint64) 1 << 49, 1 },
    { 1, (guint64) 1 << 49 },
    { (guint64) 1 << 32, (guint64) 1 << 32 },
    { G_MAXUINT64, G_MAXUINT64 },
    { (guint64) 1 << 25, (guint64) 1 << 24 },
  };
  static const char *const codecs[] = { "f16", "raw32", "block-float", "test-q", "test-ask" };
  for (guint s = 0; s < G_N_ELEMENTS (sizes); s++)
    for (guint c = 0; c < G_N_ELEMENTS (codecs); c++) {
      const AfpPlaneDesc desc = weight (sizes[s][0], sizes[s][1]);
      assert_refused (codecs[c], "", &desc, "too large to be coded", "'weight'");
    }
  const AfpPlaneDesc padded = weight ((guint64) 1 << 40, 1),
                     wide = weight ((guint64) 1 << 24, ((guint64) 1 << 24) - 1);
  assert_refused ("test-q", "quantum=1024", &padded, "too large to be coded", "'weight'");
  assert_refused ("test-wide", "", &wide, "too large to be coded", "'codes'");
}
END_TEST

START_TEST (large_enough)
{
  g_autoptr (AfpLayout) layout = describe ("raw32", "", (guint64) 1 << 24, (guint64) 1 << 24);
  ck_assert_uint_eq (afp_plane_desc_bytes (afp_layout_get_child (layout, 0)), (guint64) 1 << 50);
}
END_TEST

static const guint16 next_states[] = { 0, 1, 1, 0 };
static const guint8 contexts[] = { 0, 1 };

/* Contexts change neither symbols nor sizes; they start again with each quantum, or with the row. */
START_TEST (machines)
{
  static const AfpCodeMachine machine = { 2, 2, 1, next_states, contexts };
  g_autoptr (AfpLayout) layout = describe ("test-q", "quantum=8 table=true", 3, 17);
  const AfpPlaneDesc *codes = afp_layout_get_child (layout, 0);
  ck_assert_ptr_null (codes->machine);
  const guint64 n_bytes = afp_plane_desc_bytes (codes);
  afp_layout_set_machine (layout, 0, &machine);
  ck_assert_ptr_eq (codes->machine, &machine);
  ck_assert_uint_eq (afp_plane_desc_bytes (codes), n_bytes);
  ck_assert_uint_eq (afp_plane_desc_get_period (codes), 8);
  const AfpPlaneDesc row = { .kind = AFP_KIND_CODE, .scope = AFP_SCOPE_TENSOR, .cols = 5 };
  ck_assert_uint_eq (afp_plane_desc_get_period (&row), 5);
}
END_TEST

START_TEST (broken_machines)
{
  static const guint16 beyond[] = { 0, 1, 2, 0 };
  static const guint8 no_context[] = { 0, 2 };
  static const AfpCodeMachine bad[] = {
    { 0, 2, 1, next_states, contexts },   { 1025, 2, 1, next_states, contexts },
    { 2, 0, 1, next_states, contexts },   { 2, 257, 1, next_states, contexts },
    { 2, 2, 9, next_states, contexts },   { 2, 2, 1, beyond, contexts },
    { 2, 2, 1, next_states, no_context },
  };
  static const AfpCodeMachine good = { 2, 2, 1, next_states, contexts };
  g_autoptr (AfpLayout) layout = describe ("test-q", "residual=true", 3, 16);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_test_expect_message ("afpipe", G_LOG_LEVEL_CRITICAL, "*machine_is_whole*");
    afp_layout_set_machine (layout, 0, &bad[i]);
    g_test_assert_expected_messages ();
  }
  ck_assert_ptr_null (afp_layout_get_child (layout, 0)->machine);
  for (guint child = 1; child < 100; child += 98) {
    g_test_expect_message ("afpipe", G_LOG_LEVEL_CRITICAL,
                           child == 1 ? "*AFP_KIND_CODE*" : "*child < *");
    afp_layout_set_machine (layout, child, &good);
    g_test_assert_expected_messages ();
  }
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("layout");
  tcase_add_test (tcase, quanta);
  tcase_add_test (tcase, children);
  tcase_add_test (tcase, canonical_params);
  tcase_add_test (tcase, params_describe_the_plane_again);
  tcase_add_test (tcase, codecs_refuse);
  tcase_add_test (tcase, too_large);
  tcase_add_test (tcase, large_enough);
  tcase_add_test (tcase, machines);
  tcase_add_test (tcase, broken_machines);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("layout", cases, G_N_ELEMENTS (cases));
}
