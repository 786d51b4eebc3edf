/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#define TEST_TYPE_SINK (test_sink_get_type ())
GType test_sink_get_type (void);
typedef struct {
  AfpSink parent_instance;
  guint n_planned, n_consumed, n_finished, n_published;
  const char *refuse; /* name of a tensor */
} TestSink;
typedef struct {
  AfpSinkClass parent_class;
} TestSinkClass;

G_DEFINE_TYPE (TestSink, test_sink, AFP_TYPE_SINK)

static gboolean
accept (TestSink *self, AfpTensor *tensor, GError **error)
{
  const char *name = afp_spec_get_name (afp_tensor_get_spec (tensor));
  if (g_strcmp0 (self->refuse, name) != 0)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "disk full at '%s'", name);
  return FALSE;
}

static gboolean
test_sink_plan_tensor (AfpSink *sink, AfpTensor *tensor, GError **error)
{
  ((TestSink *) sink)->n_planned++;
  ck_assert (afp_tensor_is_planned (tensor));
  return accept ((TestSink *) sink, tensor, error);
}

static gboolean
test_sink_consume (AfpSink *sink, AfpTensor *tensor, GError **error)
{
  ((TestSink *) sink)->n_consumed++;
  return accept ((TestSink *) sink, tensor, error);
}

static gboolean
test_sink_finish (AfpSink *sink, GError **error)
{
  ((TestSink *) sink)->n_finished++;
  if (((TestSink *) sink)->refuse)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_IO, "cannot sync");
  return ((TestSink *) sink)->refuse == NULL;
}

static gboolean
test_sink_publish (AfpSink *sink, GError **error)
{
  ((TestSink *) sink)->n_published++;
  if (((TestSink *) sink)->refuse)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_IO, "cannot rename");
  return ((TestSink *) sink)->refuse == NULL;
}

static void
test_sink_class_init (TestSinkClass *klass)
{
  klass->parent_class.plan_tensor = test_sink_plan_tensor;
  klass->parent_class.consume = test_sink_consume;
  klass->parent_class.finish = test_sink_finish;
  klass->parent_class.publish = test_sink_publish;
}

static void
test_sink_init (TestSink *self)
{
}

/* A sink that says nothing of itself. */
#define TEST_TYPE_HOLE (test_hole_get_type ())
GType test_hole_get_type (void);
typedef struct {
  AfpSink parent_instance;
} TestHole;
typedef struct {
  AfpSinkClass parent_class;
} TestHoleClass;

G_DEFINE_TYPE (TestHole, test_hole, AFP_TYPE_SINK)

static void
test_hole_class_init (TestHoleClass *klass)
{
}

static void
test_hole_init (TestHole *self)
{
}

/* --- a pad to push from --- */

typedef struct {
  AfpPad *src;
  AfpSink *sink;
  AfpPlan *plan;
} Fixture;

static Fixture
set_up (GType type)
{
  Fixture f = { afp_pad_new (NULL, "src", AFP_PAD_SRC), g_object_new (type, "name", "write0", NULL),
                afp_plan_new () };
  ck_assert (
      afp_pad_link (f.src, afp_element_get_pad (AFP_ELEMENT (f.sink), AFP_PAD_SINK, 0), NULL));
  return f;
}

static void
tear_down (Fixture *f)
{
  afp_pad_free (f->src);
  g_object_unref (f->sink);
  afp_plan_unref (f->plan);
}

static AfpTensor *
new_tensor (const char *name, gboolean with_data)
{
  return make_tensor (name, AFP_DTYPE_F32, 2, (guint64[]){ 8, 8 }, with_data);
}

START_TEST (records)
{
  Fixture f = set_up (TEST_TYPE_SINK);
  g_autoptr (AfpTensor) a = new_tensor ("a", TRUE), b = new_tensor ("b", TRUE);
  g_autoptr (GError) error = NULL;
  AfpSize size;
  ck_assert_uint_eq (afp_sink_get_n_records (f.sink), 0);
  ck_assert_uint_eq (afp_sink_get_total_bytes (f.sink), 0);
  ck_assert_ptr_null (afp_sink_get_record (f.sink, 0));
  ck_assert (afp_pad_push (f.src, a, &error));
  ck_assert (afp_pad_push (f.src, b, &error));
  ck_assert_uint_eq (((TestSink *) f.sink)->n_consumed, 2);
  ck_assert_uint_eq (afp_sink_get_n_records (f.sink), 2);

  const AfpSinkRecord *record = afp_sink_get_record (f.sink, 1),
                      *first = afp_sink_get_record (f.sink, 0);
  g_autofree char *recipe = afp_tensor_get_recipe (a);
  afp_tensor_get_size (a, &size);
  ck_assert_str_eq (afp_spec_get_name (record->spec), "b");
  ck_assert_str_eq (record->recipe, recipe);
  ck_assert_uint_eq (record->size.total, size.total);
  ck_assert_ptr_eq (record->recipe, first->recipe);
  ck_assert_ptr_null (afp_sink_get_record (f.sink, 2));
  /* A recipe is paid for once. */
  ck_assert_uint_eq (afp_sink_get_total_bytes (f.sink),
                     2 * size.total + afp_size_recipe_bytes (recipe));
  tear_down (&f);
}
END_TEST

START_TEST (distinct_recipes)
{
  Fixture f = set_up (TEST_TYPE_SINK);
  g_autoptr (AfpTensor) a = new_tensor ("a", TRUE);
  g_autoptr (AfpTensor) integers = make_tensor ("i", AFP_DTYPE_I32, 1, (guint64[]){ 3 }, TRUE);
  g_autoptr (GError) error = NULL;
  AfpSize size_a, size_i;
  g_autofree char *recipe_a = afp_tensor_get_recipe (a);
  g_autofree char *recipe_i = afp_tensor_get_recipe (integers);
  ck_assert (afp_pad_push (f.src, a, &error) && afp_pad_push (f.src, integers, &error));
  afp_tensor_get_size (a, &size_a);
  afp_tensor_get_size (integers, &size_i);
  guint64 recipes = afp_size_recipe_bytes (recipe_a);
  if (strcmp (recipe_a, recipe_i) != 0)
    recipes += afp_size_recipe_bytes (recipe_i);
  ck_assert_uint_eq (afp_sink_get_total_bytes (f.sink), size_a.total + size_i.total + recipes);
  tear_down (&f);
}
END_TEST

START_TEST (planned)
{
  Fixture f = set_up (TEST_TYPE_SINK);
  g_autoptr (AfpTensor) a = new_tensor ("a", FALSE);
  g_autoptr (GError) error = NULL;
  gboolean exact;
  ck_assert (afp_pad_push_plan (f.src, a, f.plan, &error));
  ck_assert_uint_eq (((TestSink *) f.sink)->n_planned, 1);
  ck_assert_uint_eq (afp_sink_get_n_records (f.sink), 0);
  ck_assert_uint_gt (afp_plan_get_total_bytes (f.plan, AFP_ELEMENT (f.sink), &exact), 256);
  tear_down (&f);
}
END_TEST

START_TEST (refused_at_plan_time)
{
  Fixture f = set_up (TEST_TYPE_SINK);
  g_autoptr (AfpTensor) a = new_tensor ("a", FALSE);
  g_autoptr (GError) error = NULL;
  gboolean exact;
  ((TestSink *) f.sink)->refuse = "a";
  ck_assert (!afp_pad_push_plan (f.src, a, f.plan, &error));
  assert_error (error, AFP_ERROR_IO, "disk full at 'a'");
  ck_assert_uint_eq (afp_plan_get_total_bytes (f.plan, AFP_ELEMENT (f.sink), &exact), 0);
  tear_down (&f);
}
END_TEST

START_TEST (failed_consume)
{
  Fixture f = set_up (TEST_TYPE_SINK);
  g_autoptr (AfpTensor) a = new_tensor ("a", TRUE), b = new_tensor ("b", TRUE);
  g_autoptr (GError) error = NULL;
  ((TestSink *) f.sink)->refuse = "b";
  ck_assert (afp_pad_push (f.src, a, &error));
  ck_assert (!afp_pad_push (f.src, b, &error));
  assert_error (error, AFP_ERROR_IO, "disk full at 'b'");
  ck_assert (!afp_pad_push (f.src, b, NULL));
  tear_down (&f);
}
END_TEST

START_TEST (failed_publish)
{
  Fixture f = set_up (TEST_TYPE_SINK);
  g_autoptr (GError) error = NULL;
  ck_assert (afp_sink_publish (f.sink, &error));
  ((TestSink *) f.sink)->refuse = "";
  ck_assert (!afp_sink_publish (f.sink, &error));
  assert_error (error, AFP_ERROR_IO, "cannot rename");
  ck_assert_uint_eq (((TestSink *) f.sink)->n_published, 2);
  tear_down (&f);
}
END_TEST

START_TEST (failed_finish)
{
  Fixture f = set_up (TEST_TYPE_SINK);
  g_autoptr (GError) error = NULL;
  ck_assert (afp_pad_push_finish (f.src, &error));
  ck_assert_uint_eq (((TestSink *) f.sink)->n_finished, 1);
  ((TestSink *) f.sink)->refuse = "";
  ck_assert (!afp_pad_push_finish (f.src, &error));
  assert_error (error, AFP_ERROR_IO, "cannot sync");
  tear_down (&f);
}
END_TEST

START_TEST (defaults)
{
  Fixture f = set_up (TEST_TYPE_HOLE);
  g_autoptr (AfpTensor) a = new_tensor ("a", TRUE), planned_a = new_tensor ("a", FALSE);
  g_autoptr (GError) error = NULL;
  ck_assert (afp_pad_push_plan (f.src, planned_a, f.plan, &error));
  ck_assert (afp_pad_push (f.src, a, &error));
  ck_assert (afp_pad_push_finish (f.src, &error));
  ck_assert (afp_sink_publish (f.sink, &error));
  ck_assert_uint_eq (afp_sink_get_n_records (f.sink), 1);
  ck_assert_ptr_null (afp_pad_query_claim (f.src, afp_tensor_get_spec (a), "weight",
                                           afp_plane_get_desc (afp_tensor_get_root (a))));
  ck_assert_uint_eq (afp_element_get_n_pads (AFP_ELEMENT (f.sink), AFP_PAD_SRC), 0);
  tear_down (&f);
}
END_TEST

/* Two names of the same values: the first that is planned is the tensor, the other costs a row. */
START_TEST (aliases)
{
  Fixture f = set_up (TEST_TYPE_SINK);
  const guint64 shape[] = { 8, 4 };
  g_autoptr (AfpTensor) a = make_tensor ("a", AFP_DTYPE_F32, 2, shape, TRUE);
  g_autoptr (AfpTensor) b = make_alias ("b", a, "a");
  g_autoptr (AfpTensor) planned_a = make_tensor ("a", AFP_DTYPE_F32, 2, shape, FALSE);
  g_autoptr (AfpTensor) planned_b = make_alias ("b", planned_a, "a");
  ck_assert (afp_pad_push_plan (f.src, _i ? planned_b : planned_a, f.plan, NULL));
  ck_assert (afp_pad_push_plan (f.src, _i ? planned_a : planned_b, f.plan, NULL));
  ck_assert (afp_pad_push (f.src, _i ? b : a, NULL));
  ck_assert (afp_pad_push (f.src, _i ? a : b, NULL));
  const AfpSinkRecord *first = afp_sink_get_record (f.sink, 0);
  const AfpSinkRecord *second = afp_sink_get_record (f.sink, 1);
  ck_assert_str_eq (afp_spec_get_name (first->spec), _i ? "b" : "a");
  ck_assert_ptr_null (afp_spec_get_alias_of (first->spec));
  ck_assert_pstr_eq (afp_spec_get_alias_of (second->spec), _i ? "b" : "a");
  ck_assert_uint_gt (first->size.total, 128);
  ck_assert_uint_eq (second->size.total, AFP_TENSOR_ROW_BYTES);
  gboolean exact;
  ck_assert_uint_eq (afp_plan_get_total_bytes (f.plan, AFP_ELEMENT (f.sink), &exact),
                     afp_sink_get_total_bytes (f.sink));
  tear_down (&f);
}
END_TEST

/* An alias whose tensor was dropped on the way, or that is of another shape, stands for itself. */
START_TEST (aliases_of_nothing)
{
  Fixture f = set_up (TEST_TYPE_SINK);
  const guint64 shape[] = { 8, 4 }, other[] = { 4, 8 };
  g_autoptr (AfpTensor) a = make_tensor ("a", AFP_DTYPE_F32, 2, other, FALSE);
  g_autoptr (AfpTensor) b = make_tensor ("b", AFP_DTYPE_F32, 2, shape, TRUE);
  g_autoptr (AfpTensor) planned_b = make_tensor ("b", AFP_DTYPE_F32, 2, shape, FALSE);
  g_autoptr (AfpTensor) alias = make_alias ("b", b, "a");
  g_autoptr (AfpTensor) planned_alias = make_alias ("b", planned_b, "a");
  if (_i)
    ck_assert (afp_pad_push_plan (f.src, a, f.plan, NULL));
  ck_assert (afp_pad_push_plan (f.src, planned_alias, f.plan, NULL));
  ck_assert (afp_pad_push (f.src, alias, NULL));
  const AfpSinkRecord *record = afp_sink_get_record (f.sink, 0);
  ck_assert_ptr_null (afp_spec_get_alias_of (record->spec));
  ck_assert_uint_gt (record->size.total, 128);
  tear_down (&f);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("sink");
  tcase_add_test (tcase, records);
  tcase_add_test (tcase, distinct_recipes);
  tcase_add_test (tcase, planned);
  tcase_add_test (tcase, refused_at_plan_time);
  tcase_add_test (tcase, failed_consume);
  tcase_add_test (tcase, failed_publish);
  tcase_add_test (tcase, failed_finish);
  tcase_add_test (tcase, defaults);
  tcase_add_loop_test (tcase, aliases, 0, 2);
  tcase_add_loop_test (tcase, aliases_of_nothing, 0, 2);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("sink", cases, G_N_ELEMENTS (cases));
}
