/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

static AfpCaps *
parse (const char *text)
{
  g_autoptr (GError) error = NULL;
  AfpCaps *caps = afp_caps_parse (text, &error);
  ck_assert_msg (caps != NULL, "%s: %s", text, error ? error->message : "");
  return caps;
}

START_TEST (good_texts)
{
  static const struct {
    const char *text, *canonical;
  } cases[] = {
    { "tensor", "tensor" },
    { "tensor,dtype=f16,rank=2", "tensor,dtype=f16,rank=2" },
    { " tensor , rank={4,2}, dtype={bf16, F16} ", "tensor,dtype={f16,bf16},rank={2,4}" },
    { "tensor,dtype={f16}", "tensor,dtype=f16" },
    { "tensor,name=fc*.weight,state=raw", "tensor,name=fc*.weight,state=raw" },
    { "tensor,name=\"a,b\",state=coded", "tensor,name=\"a,b\",state=coded" },
    { "tensor,min-weights=4k,max-weights=1M", "tensor,min-weights=4096,max-weights=1048576" },
    { "tensor,min-weights=0", "tensor,min-weights=0" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (AfpCaps) caps = parse (cases[i].text);
    g_autofree char *text = afp_caps_to_string (caps);
    ck_assert_str_eq (text, cases[i].canonical);
    g_autoptr (AfpCaps) again = parse (text);
    g_autoptr (AfpCaps) copy = afp_caps_copy (again);
    assert_text (afp_caps_to_string (copy), text);
  }
}
END_TEST

START_TEST (bad_texts)
{
  static const struct {
    const char *text;
    int code;
    const char *first, *second;
  } cases[] = {
    { "", AFP_ERROR_USAGE, "stray ''", "" },
    { "video,rank=2", AFP_ERROR_USAGE, "stray ',' after 'video'", "" },
    { "load", AFP_ERROR_USAGE, "'load' is no assertion", "" },
    { "tensor,rank", AFP_ERROR_USAGE, "FIELD=VALUE is missing", "" },
    { "tensor,rank=1,rank=2", AFP_ERROR_USAGE, "'rank' is given twice", "" },
    { "tensor,rank=2 ! null", AFP_ERROR_USAGE, "stray text after the assertion", "" },
    { "tensor,dtyp=f16", AFP_ERROR_PROPERTY, "no field 'dtyp'; did you mean 'dtype'?",
      "The fields are dtype, rank" },
    { "tensor,wdth=320", AFP_ERROR_PROPERTY, "no field 'wdth'.", "The fields are dtype, rank" },
    { "tensor,dtype=f15", AFP_ERROR_PROPERTY, "dtype=f15: give an element type",
      "did you mean 'f" },
    { "tensor,dtype={f16,}", AFP_ERROR_PROPERTY, "give an element type", "" },
    { "tensor,dtype=\"\"", AFP_ERROR_PROPERTY, "give an element type", "" },
    { "tensor,dtype={}", AFP_ERROR_PROPERTY, "give an element type", "" },
    { "tensor,rank=33", AFP_ERROR_PROPERTY, "rank=33: give a number of axes, 0..32", "" },
    { "tensor,rank=-1", AFP_ERROR_PROPERTY, "rank=-1: give", "" },
    { "tensor,rank=two", AFP_ERROR_PROPERTY, "rank=two: give", "" },
    { "tensor,rank=\"\"", AFP_ERROR_PROPERTY, "rank=: give", "" },
    { "tensor,rank={2,x}", AFP_ERROR_PROPERTY, "give a number of axes", "" },
    { "tensor,name=\"\"", AFP_ERROR_PROPERTY, "name=: give a name of a tensor", "" },
    { "tensor,state=rwa", AFP_ERROR_PROPERTY, "state=rwa: give raw | coded",
      "did you mean 'raw'?" },
    { "tensor,state=any", AFP_ERROR_PROPERTY, "state=any: give raw | coded", "" },
    { "tensor,min-weights=many", AFP_ERROR_PROPERTY, "min-weights=many: give a number of weights",
      "" },
    { "tensor,max-weights=-1", AFP_ERROR_PROPERTY, "max-weights=-1: give", "" },
    { "tensor,min-weights=10,max-weights=5", AFP_ERROR_PROPERTY,
      "min-weights=10 is above max-weights=5", "" },
  };
  g_autoptr (GError) error = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    ck_assert_msg (afp_caps_parse (cases[i].text, &error) == NULL, "%s", cases[i].text);
    assert_error (error, cases[i].code, cases[i].first, cases[i].second);
  }
  ck_assert_ptr_null (afp_caps_parse ("tensor,rank=x", NULL));
}
END_TEST

START_TEST (accepted)
{
  static const char *const texts[] = {
    "tensor",
    "tensor,dtype=f32",
    "tensor,dtype={f16,f32}",
    "tensor,rank=2",
    "tensor,rank={1,2}",
    "tensor,name=fc1.*",
    "tensor,name=*",
    "tensor,state=raw",
    "tensor,min-weights=12",
    "tensor,max-weights=12",
    "tensor,dtype=f32,rank=2,name=*.weight,state=raw,min-weights=1,max-weights=1k",
  };
  g_autoptr (AfpTensor) tensor =
      make_tensor ("fc1.weight", AFP_DTYPE_F32, 2, (guint64[]){ 3, 4 }, FALSE);
  g_autoptr (AfpCaps) any = afp_caps_new_any ();
  g_autoptr (GError) error = NULL;
  ck_assert (afp_caps_accept (any, tensor, &error));
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autoptr (AfpCaps) caps = parse (texts[i]);
    ck_assert_msg (afp_caps_accept (caps, tensor, &error), "%s", texts[i]);
  }
}
END_TEST

START_TEST (refused)
{
  static const struct {
    const char *text, *message;
  } cases[] = {
    { "tensor,dtype=f16", "tensor 'fc1.weight': dtype is f32, but f16 is asked for here" },
    { "tensor,dtype={f16,bf16}", "dtype is f32, but f16 or bf16 is asked for here" },
    { "tensor,rank=4", "tensor 'fc1.weight': rank is 2, but 4 is asked for here" },
    { "tensor,rank={1,3}", "rank is 2, but 1 or 3 is asked for here" },
    { "tensor,name=conv*", "name is 'fc1.weight', but 'conv*' is asked for here" },
    { "tensor,name=fc1", "name is 'fc1.weight', but 'fc1' is asked for here" },
    { "tensor,state=coded", "state is raw, but coded is asked for here" },
    { "tensor,min-weights=13", "the number of weights is 12, but at least 13 is asked for here" },
    { "tensor,max-weights=11", "the number of weights is 12, but at most 11 is asked for here" },
  };
  g_autoptr (AfpTensor) tensor =
      make_tensor ("fc1.weight", AFP_DTYPE_F32, 2, (guint64[]){ 3, 4 }, FALSE);
  g_autoptr (GError) error = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (AfpCaps) caps = parse (cases[i].text);
    ck_assert (!afp_caps_accept (caps, tensor, &error));
    assert_error (error, AFP_ERROR_PLAN, cases[i].message);
    ck_assert (!afp_caps_accept (caps, tensor, NULL));
  }
}
END_TEST

START_TEST (boxed)
{
  GValue value = G_VALUE_INIT;
  g_value_init (&value, AFP_TYPE_CAPS);
  g_value_take_boxed (&value, parse ("tensor,name=x"));
  g_autoptr (AfpCaps) copy = g_value_dup_boxed (&value);
  g_value_unset (&value);
  assert_text (afp_caps_to_string (copy), "tensor,name=x");
  afp_caps_free (NULL);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("caps");
  tcase_add_test (tcase, good_texts);
  tcase_add_test (tcase, bad_texts);
  tcase_add_test (tcase, accepted);
  tcase_add_test (tcase, refused);
  tcase_add_test (tcase, boxed);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("caps", cases, G_N_ELEMENTS (cases));
}
