/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

/* What the transform under test shall do with a tensor. */
typedef enum { PASS, DROP, FAIL } Action;

#define TEST_TYPE_STAGE (test_stage_get_type ())
GType test_stage_get_type (void);
typedef struct {
  AfpTransform parent_instance;
  Action action;
  gboolean refuse_finish;
  guint n_finished;
} TestStage;
typedef struct {
  AfpTransformClass parent_class;
} TestStageClass;

G_DEFINE_TYPE (TestStage, test_stage, AFP_TYPE_TRANSFORM)

static AfpTensor *
act (AfpTransform *transform, AfpTensor *tensor, GError **error)
{
  TestStage *self = (TestStage *) transform;
  if (self->action == FAIL)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_CODEC, "NaN at 7");
  return self->action == PASS ? afp_tensor_ref (tensor) : NULL;
}

static AfpTensor *
test_stage_plan_tensor (AfpTransform *transform, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  return act (transform, tensor, error);
}

static gboolean
test_stage_finish (AfpTransform *transform, GError **error)
{
  TestStage *self = (TestStage *) transform;
  self->n_finished++;
  if (self->refuse_finish)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_METRIC, "sqnr_db is 9");
  return !self->refuse_finish;
}

static void
test_stage_class_init (TestStageClass *klass)
{
  klass->parent_class.plan_tensor = test_stage_plan_tensor;
  klass->parent_class.process = act;
  klass->parent_class.finish = test_stage_finish;
}

static void
test_stage_init (TestStage *self)
{
}

/* --- transforms that say nothing, or only that they end queries --- */

#define TEST_TYPE_IDENTITY (test_identity_get_type ())
GType test_identity_get_type (void);
typedef struct {
  AfpTransform parent_instance;
} TestIdentity;
typedef struct {
  AfpTransformClass parent_class;
} TestIdentityClass;

G_DEFINE_TYPE (TestIdentity, test_identity, AFP_TYPE_TRANSFORM)

static void
test_identity_class_init (TestIdentityClass *klass)
{
}

static void
test_identity_init (TestIdentity *self)
{
}

/* Makes new planes of what comes, and counts. */
#define TEST_TYPE_MAKER (test_maker_get_type ())
GType test_maker_get_type (void);
typedef struct {
  AfpTransform parent_instance;
  guint n_made;
} TestMaker;
typedef struct {
  AfpTransformClass parent_class;
} TestMakerClass;

G_DEFINE_TYPE (TestMaker, test_maker, AFP_TYPE_TRANSFORM)

static AfpTensor *
test_maker_process (AfpTransform *self, AfpTensor *tensor, GError **error)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  g_autoptr (GBytes) bytes =
      g_bytes_new_take (g_malloc0 (afp_spec_get_n_bytes (spec)), afp_spec_get_n_bytes (spec));
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, bytes);
  ((TestMaker *) self)->n_made++;
  return afp_tensor_new_with_root (tensor, plane);
}

static void
test_maker_class_init (TestMakerClass *klass)
{
  klass->parent_class.process = test_maker_process;
  klass->parent_class.reuses = TRUE;
}

static void
test_maker_init (TestMaker *self)
{
}

#define TEST_TYPE_WALL (test_wall_get_type ())
GType test_wall_get_type (void);
typedef struct {
  AfpTransform parent_instance;
} TestWall;
typedef struct {
  AfpTransformClass parent_class;
} TestWallClass;

G_DEFINE_TYPE (TestWall, test_wall, AFP_TYPE_TRANSFORM)

static void
test_wall_class_init (TestWallClass *klass)
{
  klass->parent_class.terminates_queries = TRUE;
}

static void
test_wall_init (TestWall *self)
{
}

/* --- pads around the transform --- */

static guint n_chained, n_planned, n_finished, n_described;
static gboolean claim;

static AfpTensor *last_chained; /* owned */

static gboolean
count_chain (AfpPad *pad, AfpTensor *tensor, GError **error)
{
  g_clear_pointer (&last_chained, afp_tensor_unref);
  last_chained = afp_tensor_ref (tensor);
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
  ck_assert_str_eq (path, "weight/scale");
  return claim ? afp_claim_new_fallback (desc, NULL) : NULL;
}

typedef struct {
  AfpPad *src, *sink;
  AfpTransform *transform;
  AfpPlan *plan;
  AfpTensor *tensor, *planned;
} Fixture;

static Fixture
set_up (GType type)
{
  Fixture f = { .src = afp_pad_new (NULL, "src", AFP_PAD_SRC),
                .sink = afp_pad_new (NULL, "sink", AFP_PAD_SINK) };
  f.transform = g_object_new (type, "name", "stage0", NULL);
  f.plan = afp_plan_new ();
  f.tensor = make_tensor ("t", AFP_DTYPE_F32, 2, (guint64[]){ 8, 8 }, TRUE);
  f.planned = make_tensor ("t", AFP_DTYPE_F32, 2, (guint64[]){ 8, 8 }, FALSE);
  afp_pad_set_functions (f.sink, count_chain, count_plan, count_finish, count_describe);
  ck_assert (afp_pad_link (f.src, afp_transform_get_sink (f.transform), NULL));
  ck_assert (afp_pad_link (afp_transform_get_src (f.transform), f.sink, NULL));
  n_chained = n_planned = n_finished = n_described = 0;
  claim = FALSE;
  return f;
}

static void
tear_down (Fixture *f)
{
  g_clear_pointer (&last_chained, afp_tensor_unref);
  afp_pad_free (f->src);
  afp_pad_free (f->sink);
  g_object_unref (f->transform);
  afp_plan_unref (f->plan);
  afp_tensor_unref (f->tensor);
  afp_tensor_unref (f->planned);
}

static const AfpPlaneDesc scale = { .name = "scale",
                                    .kind = AFP_KIND_SCALE,
                                    .scope = AFP_SCOPE_TENSOR,
                                    .rows = 1,
                                    .cols = 8,
                                    .fallback = "f16" };

static AfpClaim *
ask (Fixture *f)
{
  return afp_pad_query_claim (f->src, afp_tensor_get_spec (f->tensor), "weight/scale", &scale);
}

START_TEST (pass)
{
  const GType types[] = { TEST_TYPE_STAGE, TEST_TYPE_IDENTITY, TEST_TYPE_WALL };
  for (gsize i = 0; i < G_N_ELEMENTS (types); i++) {
    Fixture f = set_up (types[i]);
    g_autoptr (GError) error = NULL;
    ck_assert (afp_pad_push_plan (f.src, f.planned, f.plan, &error));
    ck_assert (afp_pad_push (f.src, f.tensor, &error));
    ck_assert (afp_pad_push_finish (f.src, &error));
    ck_assert (n_planned == 1 && n_chained == 1 && n_finished == 1);
    g_autofree char *table = afp_plan_to_string (f.plan);
    ck_assert_ptr_nonnull (strstr (table, "stage0"));
    tear_down (&f);
  }
}
END_TEST

START_TEST (drop)
{
  Fixture f = set_up (TEST_TYPE_STAGE);
  g_autoptr (GError) error = NULL;
  ((TestStage *) f.transform)->action = DROP;
  ck_assert (afp_pad_push_plan (f.src, f.planned, f.plan, &error));
  ck_assert (afp_pad_push (f.src, f.tensor, &error));
  ck_assert (n_planned == 0 && n_chained == 0);
  ck_assert (afp_pad_push (f.src, f.tensor, NULL));
  tear_down (&f);
}
END_TEST

START_TEST (fail)
{
  Fixture f = set_up (TEST_TYPE_STAGE);
  g_autoptr (GError) error = NULL;
  ((TestStage *) f.transform)->action = FAIL;
  ck_assert (!afp_pad_push_plan (f.src, f.planned, f.plan, &error));
  assert_error (error, AFP_ERROR_CODEC, "NaN at 7");
  ck_assert (!afp_pad_push (f.src, f.tensor, &error));
  assert_error (error, AFP_ERROR_CODEC, "NaN at 7");
  ck_assert (!afp_pad_push (f.src, f.tensor, NULL));
  ck_assert (n_planned == 0 && n_chained == 0);
  tear_down (&f);
}
END_TEST

START_TEST (fail_at_the_end)
{
  Fixture f = set_up (TEST_TYPE_STAGE);
  g_autoptr (GError) error = NULL;
  ((TestStage *) f.transform)->refuse_finish = TRUE;
  ck_assert (!afp_pad_push_finish (f.src, &error));
  assert_error (error, AFP_ERROR_METRIC, "sqnr_db is 9");
  ck_assert_uint_eq (((TestStage *) f.transform)->n_finished, 1);
  ck_assert_uint_eq (n_finished, 0);
  tear_down (&f);
}
END_TEST

START_TEST (linked_to_nothing)
{
  Fixture f = set_up (TEST_TYPE_IDENTITY);
  g_autoptr (GError) error = NULL;
  afp_pad_free (g_steal_pointer (&f.sink));
  ck_assert (!afp_pad_push_plan (f.src, f.planned, f.plan, &error));
  assert_error (error, AFP_ERROR_PLAN, "stage0: pad 'src' is linked to nothing");
  ck_assert (!afp_pad_push (f.src, f.tensor, &error));
  assert_error (error, AFP_ERROR_PLAN, "stage0: pad 'src' is linked to nothing");
  ck_assert (!afp_pad_push_finish (f.src, &error));
  assert_error (error, AFP_ERROR_PLAN, "stage0: pad 'src' is linked to nothing");
  ck_assert_ptr_null (ask (&f));
  tear_down (&f);
}
END_TEST

START_TEST (queries_are_forwarded)
{
  Fixture f = set_up (TEST_TYPE_IDENTITY);
  ck_assert_ptr_null (ask (&f));
  ck_assert_uint_eq (n_described, 1);
  claim = TRUE;
  g_autoptr (AfpClaim) answer = ask (&f);
  ck_assert_ptr_nonnull (answer);
  ck_assert_uint_eq (n_described, 2);
  tear_down (&f);
}
END_TEST

START_TEST (queries_end)
{
  Fixture f = set_up (TEST_TYPE_WALL);
  claim = TRUE;
  ck_assert_ptr_null (ask (&f));
  ck_assert_ptr_null (
      AFP_TRANSFORM_GET_CLASS (f.transform)
          ->describe (f.transform, afp_tensor_get_spec (f.tensor), "weight/scale", &scale));
  ck_assert_uint_eq (n_described, 0);
  tear_down (&f);
}
END_TEST

/* Two names of the same values: made once, in whatever order they come. */
START_TEST (families)
{
  Fixture f = set_up (TEST_TYPE_MAKER);
  g_autoptr (AfpTensor) alias = make_alias ("b", f.tensor, "t");
  g_autoptr (AfpTensor) planned = make_alias ("b", f.planned, "t");
  g_autoptr (AfpTensor) other = make_tensor ("o", AFP_DTYPE_F32, 2, (guint64[]){ 8, 8 }, TRUE);
  ck_assert (afp_pad_push_plan (f.src, f.planned, f.plan, NULL));
  ck_assert (afp_pad_push_plan (f.src, planned, f.plan, NULL));
  ck_assert (afp_pad_push (f.src, _i ? alias : f.tensor, NULL));
  g_autoptr (AfpTensor) first = afp_tensor_ref (last_chained);
  ck_assert (afp_pad_push (f.src, other, NULL));
  ck_assert (afp_pad_push (f.src, _i ? f.tensor : alias, NULL));
  ck_assert_ptr_eq (afp_tensor_get_root (last_chained), afp_tensor_get_root (first));
  ck_assert_str_eq (afp_spec_get_name (afp_tensor_get_spec (last_chained)), _i ? "t" : "b");
  ck_assert_uint_eq (((TestMaker *) f.transform)->n_made, 2);
  /* All that were planned have passed: nothing is kept. */
  ck_assert (afp_pad_push (f.src, f.tensor, NULL));
  ck_assert_uint_eq (((TestMaker *) f.transform)->n_made, 3);
  tear_down (&f);
}
END_TEST

/* A name that claims to be another tensor's, and holds other values, another type or another shape. */
START_TEST (false_families)
{
  static const AfpDType types[] = { AFP_DTYPE_F32, AFP_DTYPE_U32, AFP_DTYPE_F32 };
  static const guint64 shapes[][2] = { { 8, 8 }, { 8, 8 }, { 4, 16 } };
  Fixture f = set_up (TEST_TYPE_MAKER);
  g_autoptr (AfpSpec) spec = afp_spec_new ("b", types[_i], 2, shapes[_i], NULL, "t");
  g_autoptr (GBytes) copy = g_bytes_new_take (g_malloc0 (256), 256);
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (
      spec, _i == 0 ? copy : afp_plane_get_data (afp_tensor_get_root (f.tensor)));
  g_autoptr (AfpPlane) planned_plane = afp_plane_new_raw (spec, NULL);
  g_autoptr (AfpTensor) alias = afp_tensor_new (spec, plane);
  g_autoptr (AfpTensor) planned = afp_tensor_new (spec, planned_plane);
  ck_assert (afp_pad_push_plan (f.src, f.planned, f.plan, NULL));
  ck_assert (afp_pad_push_plan (f.src, planned, f.plan, NULL));
  ck_assert (afp_pad_push (f.src, f.tensor, NULL));
  ck_assert (afp_pad_push (f.src, alias, NULL));
  ck_assert_uint_eq (((TestMaker *) f.transform)->n_made, 2);
  tear_down (&f);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("transform");
  tcase_add_test (tcase, pass);
  tcase_add_test (tcase, drop);
  tcase_add_test (tcase, fail);
  tcase_add_test (tcase, fail_at_the_end);
  tcase_add_test (tcase, linked_to_nothing);
  tcase_add_test (tcase, queries_are_forwarded);
  tcase_add_test (tcase, queries_end);
  tcase_add_loop_test (tcase, families, 0, 2);
  tcase_add_loop_test (tcase, false_families, 0, 3);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("transform", cases, G_N_ELEMENTS (cases));
}
