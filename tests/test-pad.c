/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

/* --- an element that is only a place for pads --- */

#define TEST_TYPE_STAGE (test_stage_get_type ())
GType test_stage_get_type (void);
typedef struct {
  AfpElement parent_instance;
} TestStage;
typedef struct {
  AfpElementClass parent_class;
} TestStageClass;

G_DEFINE_TYPE (TestStage, test_stage, AFP_TYPE_ELEMENT)

static void
test_stage_class_init (TestStageClass *klass)
{
}

static void
test_stage_init (TestStage *self)
{
  afp_element_add_pad (AFP_ELEMENT (self), "sink", AFP_PAD_SINK);
  afp_element_add_pad (AFP_ELEMENT (self), "src", AFP_PAD_SRC);
}

static AfpElement *
new_stage (const char *name)
{
  AfpElement *stage = g_object_new (TEST_TYPE_STAGE, NULL);
  afp_element_set_name (stage, name);
  return stage;
}

#define SRC(stage) afp_element_get_pad ((stage), AFP_PAD_SRC, 0)
#define SINK(stage) afp_element_get_pad ((stage), AFP_PAD_SINK, 0)

static guint n_chained, n_planned, n_finished, n_described;

static gboolean
count_chain (AfpPad *pad, AfpTensor *tensor, GError **error)
{
  n_chained++;
  return TRUE;
}

static gboolean
count_plan (AfpPad *pad, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  n_planned++;
  return TRUE;
}

static gboolean
count_finish (AfpPad *pad, GError **error)
{
  n_finished++;
  return TRUE;
}

static AfpClaim *
count_describe (AfpPad *pad, AfpSpec *spec, const char *path, const AfpPlaneDesc *desc)
{
  n_described++;
  return NULL;
}

static AfpTensor *
new_tensor (void)
{
  return make_tensor ("fc1.weight", AFP_DTYPE_F32, 2, (guint64[]){ 3, 4 }, FALSE);
}

START_TEST (linked)
{
  g_autoptr (AfpElement) a = new_stage ("a"), b = new_stage ("b");
  g_autoptr (AfpTensor) tensor = new_tensor ();
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (GError) error = NULL;
  ck_assert_str_eq (afp_pad_get_name (SRC (a)), "src");
  ck_assert_ptr_null (afp_pad_get_peer (SRC (a)));
  ck_assert (afp_pad_link (SRC (a), SINK (b), &error));
  ck_assert_ptr_eq (afp_pad_get_peer (SRC (a)), SINK (b));
  ck_assert_ptr_eq (afp_pad_get_peer (SINK (b)), SRC (a));

  n_chained = n_planned = n_finished = n_described = 0;
  afp_pad_set_functions (SINK (b), count_chain, count_plan, count_finish, count_describe);
  ck_assert (afp_pad_push (SRC (a), tensor, &error));
  ck_assert (afp_pad_push_plan (SRC (a), tensor, plan, &error));
  ck_assert (afp_pad_push_finish (SRC (a), &error));
  ck_assert_ptr_null (afp_pad_query_claim (SRC (a), afp_tensor_get_spec (tensor), "weight",
                                           afp_plane_get_desc (afp_tensor_get_root (tensor))));
  ck_assert (n_chained == 1 && n_planned == 1 && n_finished == 1 && n_described == 1);
}
END_TEST

START_TEST (bad_links)
{
  g_autoptr (AfpElement) a = new_stage ("a"), b = new_stage ("b"), c = new_stage ("c");
  g_autoptr (GError) error = NULL;
  ck_assert (!afp_pad_link (SINK (a), SINK (b), &error));
  assert_error (error, AFP_ERROR_USAGE, "cannot link a (pad 'sink') to b (pad 'sink')",
                "takes tensors, it sends none");
  ck_assert (!afp_pad_link (SRC (a), SRC (b), &error));
  assert_error (error, AFP_ERROR_USAGE, "cannot link a (pad 'src') to b (pad 'src')",
                "sends tensors, it takes none");
  ck_assert (!afp_pad_link (SRC (a), SINK (a), &error));
  assert_error (error, AFP_ERROR_USAGE, "an element cannot feed itself");
  ck_assert (afp_pad_link (SRC (a), SINK (b), &error));
  ck_assert (!afp_pad_link (SRC (a), SINK (c), &error));
  assert_error (error, AFP_ERROR_USAGE, "'src' of a is already linked to b", "tee");
  ck_assert (!afp_pad_link (SRC (c), SINK (b), &error));
  assert_error (error, AFP_ERROR_USAGE, "'sink' of b is already linked to a");
  ck_assert_ptr_null (afp_pad_get_peer (SRC (c)));
}
END_TEST

START_TEST (unlinked)
{
  g_autoptr (AfpElement) a = new_stage ("a");
  g_autoptr (AfpTensor) tensor = new_tensor ();
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (GError) error = NULL;
  ck_assert (!afp_pad_push (SRC (a), tensor, &error));
  assert_error (error, AFP_ERROR_PLAN, "a: pad 'src' is linked to nothing", "'write'");
  ck_assert (!afp_pad_push_plan (SRC (a), tensor, plan, &error));
  assert_error (error, AFP_ERROR_PLAN, "linked to nothing");
  ck_assert (!afp_pad_push_finish (SRC (a), &error));
  assert_error (error, AFP_ERROR_PLAN, "linked to nothing");
  ck_assert_ptr_null (afp_pad_query_claim (SRC (a), afp_tensor_get_spec (tensor), "weight",
                                           afp_plane_get_desc (afp_tensor_get_root (tensor))));
}
END_TEST

START_TEST (missing_functions)
{
  g_autoptr (AfpElement) a = new_stage ("a"), b = new_stage ("b");
  g_autoptr (AfpTensor) tensor = new_tensor ();
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (GError) error = NULL;
  ck_assert (afp_pad_link (SRC (a), SINK (b), &error));
  ck_assert (!afp_pad_push (SRC (a), tensor, &error));
  assert_error (error, AFP_ERROR_PLAN, "b: pad 'sink' has no function to take a tensor");
  ck_assert (!afp_pad_push_plan (SRC (a), tensor, plan, &error));
  assert_error (error, AFP_ERROR_PLAN, "b: pad 'sink' has no function to plan a tensor");
  ck_assert (afp_pad_push_finish (SRC (a), &error));
  ck_assert_ptr_null (afp_pad_query_claim (SRC (a), afp_tensor_get_spec (tensor), "weight",
                                           afp_plane_get_desc (afp_tensor_get_root (tensor))));
}
END_TEST

START_TEST (caps_of_the_peer)
{
  g_autoptr (AfpElement) a = new_stage ("a"), b = new_stage ("b");
  g_autoptr (AfpTensor) tensor = new_tensor ();
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (GError) error = NULL;
  assert_text (afp_caps_to_string (afp_pad_get_caps (SINK (b))), "tensor");
  ck_assert (afp_pad_link (SRC (a), SINK (b), &error));
  afp_pad_set_functions (SINK (b), count_chain, count_plan, NULL, NULL);
  afp_pad_set_caps (SINK (b), afp_caps_parse ("tensor,dtype=f16", NULL));
  n_planned = n_chained = 0;
  ck_assert (!afp_pad_push_plan (SRC (a), tensor, plan, &error));
  assert_error (error, AFP_ERROR_PLAN,
                "a ! b: tensor 'fc1.weight': dtype is f32, but f16 is asked for here");
  ck_assert_uint_eq (n_planned, 0);
  afp_pad_set_caps (SINK (b), afp_caps_parse ("tensor,dtype=f32", NULL));
  ck_assert (afp_pad_push_plan (SRC (a), tensor, plan, &error));
  ck_assert_uint_eq (n_planned, 1);
}
END_TEST

START_TEST (freed_pads_are_unlinked)
{
  g_autoptr (AfpElement) a = new_stage ("a");
  AfpElement *b = new_stage ("b");
  ck_assert (afp_pad_link (SRC (a), SINK (b), NULL));
  g_object_unref (b);
  ck_assert_ptr_null (afp_pad_get_peer (SRC (a)));
  afp_pad_free (NULL);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("pad");
  tcase_add_test (tcase, linked);
  tcase_add_test (tcase, bad_links);
  tcase_add_test (tcase, unlinked);
  tcase_add_test (tcase, missing_functions);
  tcase_add_test (tcase, caps_of_the_peer);
  tcase_add_test (tcase, freed_pads_are_unlinked);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("pad", cases, G_N_ELEMENTS (cases));
}
