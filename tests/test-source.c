/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#define TEST_TYPE_SOURCE (test_source_get_type ())
GType test_source_get_type (void);
typedef struct {
  AfpSource parent_instance;
  guint n_opened;
  gboolean refuse;
} TestSource;
typedef struct {
  AfpSourceClass parent_class;
} TestSourceClass;

G_DEFINE_TYPE (TestSource, test_source, AFP_TYPE_SOURCE)

static gboolean
test_source_open (AfpSource *source, GError **error)
{
  TestSource *self = (TestSource *) source;
  self->n_opened++;
  if (self->refuse)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_IO, "no such file");
  return !self->refuse;
}

static gsize
test_source_get_n_tensors (AfpSource *source)
{
  return 3;
}

/* The tensor 0 is good, 1 fails with a reason, 2 without. */
static AfpTensor *
get_tensor (gsize index, gboolean with_data, GError **error)
{
  if (index == 1)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_FORMAT, "damaged header");
  return index == 0 ? make_tensor ("t", AFP_DTYPE_F16, 1, (guint64[]){ 5 }, with_data) : NULL;
}

static AfpTensor *
test_source_plan_tensor (AfpSource *source, gsize index, GError **error)
{
  return get_tensor (index, FALSE, error);
}

static AfpTensor *
test_source_read_tensor (AfpSource *source, gsize index, GError **error)
{
  return get_tensor (index, TRUE, error);
}

static void
test_source_class_init (TestSourceClass *klass)
{
  klass->parent_class.open = test_source_open;
  klass->parent_class.get_n_tensors = test_source_get_n_tensors;
  klass->parent_class.plan_tensor = test_source_plan_tensor;
  klass->parent_class.read_tensor = test_source_read_tensor;
}

static void
test_source_init (TestSource *self)
{
}

static AfpSource *
new_source (void)
{
  AfpSource *source = g_object_new (TEST_TYPE_SOURCE, "name", "load0", NULL);
  return source;
}

START_TEST (opened_once)
{
  g_autoptr (AfpSource) source = new_source ();
  g_autoptr (GError) error = NULL;
  ck_assert_uint_eq (afp_element_get_n_pads (AFP_ELEMENT (source), AFP_PAD_SRC), 1);
  ck_assert_uint_eq (afp_element_get_n_pads (AFP_ELEMENT (source), AFP_PAD_SINK), 0);
  ck_assert_uint_eq (afp_source_get_n_tensors (source), 0);
  ck_assert (afp_source_open (source, &error));
  ck_assert (afp_source_open (source, &error));
  ck_assert_uint_eq (((TestSource *) source)->n_opened, 1);
  ck_assert_uint_eq (afp_source_get_n_tensors (source), 3);
}
END_TEST

START_TEST (failed_open)
{
  g_autoptr (AfpSource) source = new_source ();
  g_autoptr (GError) error = NULL;
  ((TestSource *) source)->refuse = TRUE;
  ck_assert (!afp_source_open (source, &error));
  assert_error (error, AFP_ERROR_IO, "no such file");
  ck_assert (!afp_source_open (source, NULL));
  ck_assert_uint_eq (afp_source_get_n_tensors (source), 0);
  ck_assert_ptr_null (afp_source_plan_tensor (source, 0, &error));
  assert_error (error, AFP_ERROR_IO, "load0: not open yet");
  ((TestSource *) source)->refuse = FALSE;
  ck_assert (afp_source_open (source, &error));
  ck_assert_uint_eq (((TestSource *) source)->n_opened, 3);
}
END_TEST

START_TEST (tensors)
{
  g_autoptr (AfpSource) source = new_source ();
  g_autoptr (GError) error = NULL;
  ck_assert (afp_source_open (source, &error));
  g_autoptr (AfpTensor) planned = afp_source_plan_tensor (source, 0, &error);
  g_autoptr (AfpTensor) tensor = afp_source_read_tensor (source, 0, &error);
  ck_assert (planned && afp_tensor_is_planned (planned));
  ck_assert (tensor && !afp_tensor_is_planned (tensor));
}
END_TEST

START_TEST (bad_tensors)
{
  g_autoptr (AfpSource) source = new_source ();
  g_autoptr (GError) error = NULL;
  ck_assert (afp_source_open (source, &error));
  ck_assert_ptr_null (afp_source_plan_tensor (source, 3, &error));
  assert_error (error, AFP_ERROR_IO, "load0: there is no tensor 3: the input has 3");
  ck_assert_ptr_null (afp_source_read_tensor (source, G_MAXSIZE, &error));
  assert_error (error, AFP_ERROR_IO, "the input has 3");
  ck_assert_ptr_null (afp_source_plan_tensor (source, 1, &error));
  assert_error (error, AFP_ERROR_FORMAT, "damaged header");
  ck_assert_ptr_null (afp_source_read_tensor (source, 1, &error));
  assert_error (error, AFP_ERROR_FORMAT, "damaged header");
  ck_assert_ptr_null (afp_source_plan_tensor (source, 2, &error));
  assert_error (error, AFP_ERROR_FORMAT, "load0: tensor 2 cannot be read, and no reason is given");
  ck_assert_ptr_null (afp_source_read_tensor (source, 2, NULL));
}
END_TEST

START_TEST (facts)
{
  g_autoptr (AfpSource) source = new_source ();
  g_autoptr (JsonNode) info = afp_source_get_info (source);
  ck_assert (JSON_NODE_HOLDS_OBJECT (info));
  ck_assert_uint_eq (json_object_get_size (json_node_get_object (info)), 0);
  ck_assert_ptr_null (afp_source_get_fingerprint (source));
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("source");
  tcase_add_test (tcase, opened_once);
  tcase_add_test (tcase, failed_open);
  tcase_add_test (tcase, tensors);
  tcase_add_test (tcase, bad_tensors);
  tcase_add_test (tcase, facts);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("source", cases, G_N_ELEMENTS (cases));
}
