/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

/* Which tensors and planes a codec takes. */

static AfpTensor *model[5];

static void
setup (void)
{
  model[0] = test_tensor ("enc.0.weight", AFP_DTYPE_F32, "32x32", NULL, 1);
  model[1] = test_tensor ("enc.0.bias", AFP_DTYPE_F32, "400", NULL, 2);
  model[2] = test_tensor ("dec.1.weight", AFP_DTYPE_F16, "32x16", "in:1", 3);
  model[3] = test_tensor ("dec.small", AFP_DTYPE_F32, "4x4", NULL, 4);
  model[4] = test_tensor ("steps", AFP_DTYPE_I32, "64x64", NULL, 5);
  test_set_tensors (model[0], model[1], model[2], model[3], model[4], NULL);
}

static void
teardown (void)
{
  for (guint i = 0; i < 5; i++)
    g_clear_pointer (&model[i], afp_tensor_unref);
}

/* One letter per tensor: "." left alone, "q" taken by test-q with its own properties, "2" with bits=2, "3" ... */
static char *
taken (const char *text)
{
  static char letters[8];
  g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (text, 1);
  ck_assert_uint_eq (test_output ()->len, 5);
  for (guint i = 0; i < 5; i++) {
    g_autofree char *recipe = afp_tensor_get_recipe (test_output ()->pdata[i]);
    const char *bits = strstr (recipe, "bits=");
    letters[i] = !bits ? '.' : bits[5] == '6' ? 'q' : bits[5];
    if (!bits)
      ck_assert_ptr_eq (afp_tensor_get_root (test_output ()->pdata[i]),
                        afp_tensor_get_root (model[i]));
  }
  letters[5] = '\0';
  return letters;
}

/* --- properties --------------------------------------------------------------------------------------------------- */

START_TEST (globs)
{
  static const struct {
    const char *properties, *taken;
  } cases[] = {
    { "", "q.q.." }, /* two dimensions, 256 weights */
    { "min-dims=1", "qqq.." },
    { "min-weights=1", "q.qq." },
    { "min-dims=0 min-weights=0", "qqqq." }, /* integers never */
    { "min-dims=3", "....." },
    { "min-weights=513", "q...." },
    { "min-weights=512", "q.q.." },
    { "tensors=enc.*", "q...." },
    { "tensors=*weight", "q.q.." },
    { "tensors=enc.0.weight", "q...." },
    { "tensors=nothing", "....." },
    { "tensors=*.weigh?", "q.q.." },
    { "tensors='nothing, dec.*'", "..q.." },
    { "tensors=ENC.*", "....." },
    { "exclude=enc.*", "..q.." },
    { "exclude=*", "....." },
    { "exclude=dec.*,none", "q...." },
    { "tensors=*weight exclude=dec.*", "q...." },
    { "tensors=dec.* exclude=dec.*", "....." },
    { "planes=residual", "....." },
    { "planes=none", "....." },
    { "planes=all", "q.q.." },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text = g_strconcat ("test-q ", cases[i].properties, NULL);
    ck_assert_msg (strcmp (taken (text), cases[i].taken) == 0, "%s: %s, not %s", text, taken (text),
                   cases[i].taken);
  }
}
END_TEST

/* The plan says what was left alone, and why. */
START_TEST (reasons)
{
  static const struct {
    const char *properties, *why;
  } cases[] = {
    { "", "rank 1 is below min-dims=2" },
    { "", "fewer weights than min-weights=256" },
    { "tensors=enc.*", "tensors=enc.* does not match" },
    { "exclude=dec.*", "exclude=dec.* matches" },
    { "planes=coeffs", "planes= does not include weight" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text = g_strconcat ("test-q ", cases[i].properties, NULL);
    g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (text, 1);
    ck_assert_msg (strstr (test_plan (), cases[i].why) != NULL, "no '%s' in\n%s", cases[i].why,
                   test_plan ());
  }
}
END_TEST

/* Two codecs share a model. */
START_TEST (side_by_side)
{
  ck_assert_str_eq (taken ("test-q tensors=enc.* bits=2 ! test-q exclude=enc.* bits=3"), "2.3..");
  ck_assert_str_eq (taken ("test-q bits=2 ! test-q bits=3"), "2.2..");
}
END_TEST

/* --- rules -------------------------------------------------------------------------------------------------------- */

static char *
with_rules (const char *properties, const char *rules)
{
  g_autofree char *path = test_write_file ("rules", rules);
  g_autofree char *text = g_strdup_printf ("test-q %s rules=%s", properties, path);
  return taken (text);
}

START_TEST (rule_files)
{
  ck_assert_str_eq (with_rules ("", ""), "q.q..");
  ck_assert_str_eq (with_rules ("", "# nothing\n\n   \n\t\n"), "q.q..");
  ck_assert_str_eq (with_rules ("", "enc.* pass\n"), "..q..");
  ck_assert_str_eq (with_rules ("", "enc.* take\n* pass"), "q....");
  ck_assert_str_eq (with_rules ("", "enc.* bits=2\n"), "2.q..");
  ck_assert_str_eq (with_rules ("", "*.weight bits=2\nenc.* bits=3\n"),
                    "2.2.."); /* the first that matches */
  ck_assert_str_eq (with_rules ("", "dec.* \t bits=2 quantum=4\r\nenc.* bits=3 # why not\r\n"),
                    "3.2..");
  ck_assert_str_eq (with_rules ("bits=5", "enc.* quantum=2\n* take"),
                    "5.5.."); /* the rest as the element says */
  ck_assert_str_eq (with_rules ("exclude=dec.*", "* bits=2\n"), "2....");
  ck_assert_str_eq (with_rules ("tensors=dec.*", "* bits=2\n"), "..2..");
}
END_TEST

/* A rule may set any property of the codec but those that choose tensors by name. */
START_TEST (rules_on_sizes_and_planes)
{
  ck_assert_str_eq (with_rules ("", "*.bias min-dims=1 bits=2\n*small min-weights=0 bits=3"),
                    "q2q3.");
  ck_assert_str_eq (with_rules ("min-dims=1", "*.bias min-dims=2"), "q.q..");
  ck_assert_str_eq (with_rules ("planes=none", "enc.0.weight planes=weight bits=2"), "2....");
  ck_assert_str_eq (with_rules ("", "enc.* planes=coeffs"), "..q..");
  ck_assert_str_eq (with_rules ("bits=32", "enc.* force=true\n"),
                    "3...."); /* 32 bits and a scale shrink nothing */
  ck_assert_str_eq (with_rules ("bits=32 force=true", "enc.* force=false\n"), "..3..");
}
END_TEST

START_TEST (rules_keep_the_preset)
{
  g_autofree char *path = test_write_file ("rules", "enc.* bits=3\n");
  g_autofree char *text = g_strdup_printf ("test-q preset=coarse rules=%s", path);
  g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (text, 1);
  g_autofree char *a = afp_tensor_get_recipe (test_output ()->pdata[0]),
                  *b = afp_tensor_get_recipe (test_output ()->pdata[2]);
  ck_assert_ptr_nonnull (strstr (a, "bits=3,quantum=2,")); /* the quantum is the preset's */
  ck_assert_ptr_nonnull (strstr (b, "bits=2,quantum=2,"));
}
END_TEST

/* Claims, quantizers and frozen planes are those of the variant. */
START_TEST (rules_in_a_closed_loop)
{
  g_autofree char *path = test_write_file ("rules", "dec.* bits=2\n");
  g_autofree char *text =
      g_strdup_printf ("test-ask ! test-tap ! test-q planes=coeffs bits=4 rules=%s", path);
  g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (text, 1);
  for (guint i = 0; i < 3; i += 2) {
    AfpPlane *open = test_find (afp_tensor_get_root (test_tapped ()->pdata[i]), "weight/coeffs");
    AfpPlane *final = test_find (afp_tensor_get_root (test_output ()->pdata[i]), "weight/coeffs");
    ck_assert_ptr_nonnull (strstr (afp_plane_get_params (final), i ? "bits=2," : "bits=4,"));
    ck_assert_str_eq (afp_plane_get_params (afp_plane_get_frozen (open)),
                      afp_plane_get_params (final));
    ck_assert_ptr_eq (afp_plane_get_child (afp_plane_get_frozen (open), 0),
                      afp_plane_get_child (final, 0));
  }
}
END_TEST

static void
assert_rules_fail (const char *rules, int code, const char *word, const char *other)
{
  GError *error = NULL;
  g_autofree char *path = test_write_file ("rules", rules);
  g_autofree char *text = g_strdup_printf ("test-q rules=%s", path);
  ck_assert_msg (!test_try (text, 1, &error), "%s", rules);
  assert_error (error, code, word, other, path);
}

START_TEST (wrong_rules)
{
  assert_rules_fail ("enc.*\n", AFP_ERROR_PROPERTY, "line 1", "says nothing after the pattern");
  assert_rules_fail ("# one\nenc.* take\n dec.* \t\n", AFP_ERROR_PROPERTY, "line 3", "'dec.*'");
  assert_rules_fail ("* bits=99\n", AFP_ERROR_PROPERTY, "line 1", "1..32");
  assert_rules_fail ("* bits=2\n* bit=2\n", AFP_ERROR_PROPERTY, "line 2", "did you mean 'bits'");
  assert_rules_fail ("* skip\n", AFP_ERROR_USAGE, "line 1", "skip");
  assert_rules_fail ("* pass bits=2\n", AFP_ERROR_USAGE, "line 1", "pass");
  assert_rules_fail ("* tensors=a*\n", AFP_ERROR_PROPERTY, "line 1",
                     "tensors= cannot stand in a rule");
  assert_rules_fail ("* exclude=a*\n", AFP_ERROR_PROPERTY, "line 1",
                     "exclude= cannot stand in a rule");
  assert_rules_fail ("* name=other\n", AFP_ERROR_PROPERTY, "line 1", "another name");
  assert_rules_fail ("* preset=fine\n", AFP_ERROR_PROPERTY, "line 1", "coarse");
  assert_rules_fail ("* bits=2\n\xff\xfe pass\n", AFP_ERROR_FORMAT, "not a UTF-8", "rules=");
}
END_TEST

/* A rule that names its own file does not run in circles. */
START_TEST (rules_in_rules)
{
  g_autofree char *path = test_write_file ("rules", "");
  g_autofree char *rule = g_strdup_printf ("* rules=%s\n", path);
  assert_rules_fail (rule, AFP_ERROR_PROPERTY, "line 1", "rules= cannot stand in a rule");
}
END_TEST

START_TEST (no_rules)
{
  GError *error = NULL;
  ck_assert (!test_try ("test-q rules=/no/such/file", 1, &error));
  assert_error (error, AFP_ERROR_IO, "rules=/no/such/file", "cannot be read", "No such file");
  ck_assert (!test_try ("test-q rules=/", 1, &error));
  assert_error (error, AFP_ERROR_IO, "rules=/", "cannot be read");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("routing");
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_test (tcase, globs);
  tcase_add_test (tcase, reasons);
  tcase_add_test (tcase, side_by_side);
  tcase_add_test (tcase, rule_files);
  tcase_add_test (tcase, rules_on_sizes_and_planes);
  tcase_add_test (tcase, rules_keep_the_preset);
  tcase_add_test (tcase, rules_in_a_closed_loop);
  tcase_add_test (tcase, wrong_rules);
  tcase_add_test (tcase, rules_in_rules);
  tcase_add_test (tcase, no_rules);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("routing", cases, G_N_ELEMENTS (cases));
}
