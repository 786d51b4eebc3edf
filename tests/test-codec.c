/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include <math.h>

/* The codec as an element: what is planned is what is done. */

static AfpTensor *
run_on (AfpTensor *tensor, const char *text)
{
  test_set_tensors (tensor, NULL);
  return test_run (text, 2);
}

static AfpTensor *
normal (const char *shape)
{
  return test_tensor ("t", AFP_DTYPE_F32, shape, NULL, 1);
}

/* --- plan and run ------------------------------------------------------------------------------------------------- */

static const char *const chains[] = {
  "test-q",
  "test-ask",
  "test-ask ! test-q planes=coeffs bits=4",
  "test-ask vector=0 ! test-q planes=coeffs bits=3 scale=row",
  "test-flip ! test-flip planes=weight ! test-q bits=3",
  "test-q residual=true bits=2 ! test-q planes=residual residual=true bits=2 ! f16 planes=residual force=true",
  "test-ask ! entropy ! test-q planes=coeffs bits=3",
  "test-q ! test-pack",
  "test-wide",
  "test-q bits=3 layout=flat quantum=7 ! raw32 planes=scale force=true",
};

/* The recipe that was planned is the recipe that comes out; exact sizes are exact, bounds are kept. */
START_TEST (plans_come_true)
{
  static const char *const shapes[] = { "16x16", "37x91", "1x1000", "1000x1" };
  for (guint s = 0; s < G_N_ELEMENTS (shapes); s++) {
    g_autoptr (AfpTensor) tensor = normal (shapes[s]);
    g_autoptr (AfpTensor) out = run_on (tensor, chains[_i]);
    g_autofree char *recipe = afp_tensor_get_recipe (out);
    AfpSize size;
    afp_tensor_get_size (out, &size);
    const gint64 bytes = (gint64) (size.total + afp_size_recipe_bytes (recipe));
    ck_assert_int_eq (json_node_get_int (test_report_get ("total.bytes")), bytes);
    g_autoptr (AfpPipeline) pipeline = NULL;
    g_autofree char *text =
        g_strconcat ("test-source ! ", chains[_i], " ! test-sink name=sink", NULL);
    pipeline = afp_pipeline_new_from_text (text, NULL);
    AfpPlan *plan = afp_pipeline_plan (pipeline, NULL);
    GPtrArray *elements = afp_pipeline_get_elements (pipeline);
    gboolean exact;
    const guint64 planned =
        afp_plan_get_total_bytes (plan, elements->pdata[elements->len - 1], &exact);
    if (exact)
      ck_assert_int_eq ((gint64) planned, bytes);
    else
      ck_assert_int_ge ((gint64) planned, bytes);
    g_autofree char *said = afp_plan_to_string (plan);
    ck_assert_msg (exact == (strstr (chains[_i], "entropy") == NULL &&
                             strstr (chains[_i], "test-pack") == NULL),
                   "%s\n%s", chains[_i], said);
  }
}
END_TEST

START_TEST (stages_in_the_report)
{
  g_autoptr (AfpTensor) tensor = normal ("32x64");
  g_autoptr (AfpTensor) G_GNUC_UNUSED out =
      run_on (tensor, "test-ask ! test-q planes=coeffs bits=4 name=inner");
  ck_assert_str_eq (json_node_get_string (test_report_get ("stages.1.element")), "test-ask");
  ck_assert_str_eq (json_node_get_string (test_report_get ("stages.2.name")), "inner");
  ck_assert_str_eq (json_node_get_string (test_report_get ("stages.1.claims.0.plane")), "weight");
  ck_assert_str_eq (json_node_get_string (test_report_get ("stages.1.claims.0.why")),
                    "coeffs: optimised with inner");
  ck_assert_int_gt (json_node_get_int (test_report_get ("stages.1.bytes_in")),
                    json_node_get_int (test_report_get ("stages.1.bytes_out")));
  ck_assert_int_eq (json_node_get_int (test_report_get ("exit")), 0);
}
END_TEST

/* A codec that gets coded tensors takes what it may of them, deep in the tree. */
START_TEST (planes_of_others)
{
  g_autoptr (AfpTensor) tensor = normal ("32x64");
  g_autoptr (AfpTensor) out = run_on (
      tensor,
      "test-q residual=true bits=2 ! test-q planes=residual residual=true bits=2 ! test-q planes=residual bits=4 ! "
      "raw32 planes=scale force=true");
  g_autofree float *x = test_decode (tensor), *y = test_decode (out);
  ck_assert_msg (test_nmse (x, y, 2048) < 3e-3, "%g", test_nmse (x, y, 2048));
  AfpPlane *root = afp_tensor_get_root (out);
  ck_assert_str_eq (afp_plane_get_codec (test_find (root, "weight/residual/residual")), "test-q");
  ck_assert_str_eq (afp_plane_get_codec (test_find (root, "weight/residual/residual/scale")),
                    "raw32");
  ck_assert_str_eq (afp_plane_get_codec (test_find (root, "weight/scale")), "raw32");
}
END_TEST

START_TEST (residuals_add_up)
{
  g_autoptr (AfpTensor) tensor = normal ("32x64");
  g_autofree float *x = test_decode (tensor);
  double last = 1;
  static const char *const steps[] = { "test-q bits=3 residual=true",
                                       " ! test-q planes=residual bits=3 residual=true",
                                       " ! test-q planes=residual bits=3" };
  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < G_N_ELEMENTS (steps); i++) {
    g_string_append (text, steps[i]);
    g_autoptr (AfpTensor) out = run_on (tensor, text->str);
    g_autofree float *y = test_decode (out);
    const double nmse = test_nmse (x, y, 2048);
    ck_assert_msg (nmse < last / 10, "%s: %g after %g", text->str, nmse, last);
    last = nmse;
  }
}
END_TEST

/* --- what cannot be taken ----------------------------------------------------------------------------------------- */

START_TEST (what_no_codec_takes)
{
  static const struct {
    AfpDType dtype;
    const char *shape;
  } cases[] = { { AFP_DTYPE_I64, "32x32" },    { AFP_DTYPE_BOOL, "400x2" }, { AFP_DTYPE_F32, "" },
                { AFP_DTYPE_F32, "0x7" },      { AFP_DTYPE_F16, "0" },      { AFP_DTYPE_U8, "" },
                { AFP_DTYPE_F8_E8M0, "64x64" } };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (AfpTensor) tensor = test_tensor ("t", cases[i].dtype, cases[i].shape, NULL, 1);
    g_autoptr (AfpTensor) out = run_on (
        tensor,
        "test-q min-dims=0 min-weights=0 force=true planes=all ! test-ask force=true min-dims=0 min-weights=0");
    ck_assert_ptr_eq (afp_tensor_get_root (out), afp_tensor_get_root (tensor));
  }
}
END_TEST

/* Numbers that a codec leaves alone may be what they want. */
START_TEST (infinities_that_pass)
{
  float values[300];
  for (guint i = 0; i < 300; i++)
    values[i] = i % 7 ? -INFINITY : NAN;
  g_autoptr (AfpTensor) tensor = test_tensor_from ("mask", "300", NULL, values);
  g_autoptr (AfpTensor) out = run_on (tensor, "test-q ! test-ask ! eval");
  ck_assert_ptr_eq (afp_tensor_get_root (out), afp_tensor_get_root (tensor));
}
END_TEST

/* A plane too large for arithmetic in 64 bits is left alone, and the plan says so; one that is only too large for the machine is an error. */
START_TEST (gigantic_tensors)
{
  static const struct {
    const char *shape;
    gboolean left;
  } cases[] = { { "2305843009213693951x1", TRUE },
                { "1125899906842624x2", TRUE },
                { "1518500249x1518500249", TRUE },
                { "16777216x16777216", FALSE } };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    GError *error = NULL;
    g_autofree char *text = g_strdup_printf (
        "synth shapes=%s dtype=f16 ! test-q bits=3 ! f16 planes=weight force=true ! null",
        cases[i].shape);
    g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, &error);
    ck_assert_msg (pipeline != NULL, "%s", error ? error->message : "?");
    afp_pipeline_set_max_memory (pipeline, cases[i].left ? G_MAXUINT64 : (guint64) 1 << 40);
    AfpPlan *plan = afp_pipeline_plan (pipeline, &error);
    if (cases[i].left) {
      ck_assert_msg (plan != NULL, "%s", error ? error->message : "?");
      g_autofree char *said = afp_plan_to_string (plan);
      ck_assert_ptr_nonnull (strstr (said, "too large to be coded"));
      ck_assert_ptr_nonnull (strstr (said, "takes nothing"));
    } else {
      ck_assert_ptr_null (plan);
      assert_error (error, AFP_ERROR_MEMORY, "synth.0");
    }
  }
}
END_TEST

/* --- properties --------------------------------------------------------------------------------------------------- */

START_TEST (wrong_properties)
{
  static const struct {
    const char *text, *word;
  } wrong[] = {
    { "test-q planes=weights", "weight" },       { "test-q min-dims=33", "0..32" },
    { "test-q min-weights=-1", "min-weights" },  { "test-q force=maybe", "force" },
    { "test-q tensor=a", "'tensors'" },          { "test-q bits=0", "1..32" },
    { "test-q open_loop=true", "'open-loop'" },  { "f16 mantissa-bits=4", "f16" },
    { "block-float mantissa-bits=17", "2..16" }, { "drop planes=none,weight", "planes" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    GError *error = NULL;
    ck_assert_msg (!test_try (wrong[i].text, 1, &error), "%s", wrong[i].text);
    assert_error (error, AFP_ERROR_PROPERTY, wrong[i].word);
  }
}
END_TEST

START_TEST (defaults)
{
  static const struct {
    const char *codec, *planes;
  } cases[] = {
    { "test-q", "weight,residual,coeffs,codebook" },
    { "f16", "all" },
    { "raw32", "all" },
    { "drop", "residual" },
    { "block-float", "coeffs" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (AfpElement) element =
        afp_registry_make (afp_registry_get_default (), cases[i].codec, NULL);
    g_autofree char *planes = afp_element_get_property_text (element, "planes");
    if (strcmp (cases[i].planes, "all") == 0)
      ck_assert_msg (strcmp (planes, "all") == 0 ||
                         strcmp (planes, "weight,residual,coeffs,codebook,scale,frame") == 0,
                     "%s", planes);
    else
      ck_assert_str_eq (planes, cases[i].planes);
    ck_assert (!afp_element_property_is_set (element, "planes"));
    assert_text (afp_element_get_property_text (element, "min-dims"), "2");
    assert_text (afp_element_get_property_text (element, "min-weights"), "256");
    assert_text (afp_element_get_property_text (element, "open-loop"), "false");
  }
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("codec");
  tcase_add_loop_test (tcase, plans_come_true, 0, G_N_ELEMENTS (chains));
  tcase_add_test (tcase, stages_in_the_report);
  tcase_add_test (tcase, planes_of_others);
  tcase_add_test (tcase, residuals_add_up);
  tcase_add_test (tcase, what_no_codec_takes);
  tcase_add_test (tcase, infinities_that_pass);
  tcase_add_test (tcase, gigantic_tensors);
  tcase_add_test (tcase, wrong_properties);
  tcase_add_test (tcase, defaults);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("codec", cases, G_N_ELEMENTS (cases));
}
