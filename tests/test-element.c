/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

/* --- a base class with a private struct, a leaf with its own rows, and a leaf without --- */

#define TEST_TYPE_BASE (test_base_get_type ())
GType test_base_get_type (void);
typedef struct {
  AfpTransform parent_instance;
} TestBase;
typedef struct {
  AfpTransformClass parent_class;
} TestBaseClass;
typedef struct {
  guint min_dims;
  char *tensors;
} TestBasePrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (TestBase, test_base, AFP_TYPE_TRANSFORM)

static const AfpProperty base_rows[] = {
  AFP_PROP_UINT ("min-dims", NULL, 0, TestBasePrivate, min_dims, 0, 32, "2", "axes", "Fewer pass."),
  AFP_PROP_STRING ("tensors", NULL, 0, TestBasePrivate, tensors, "*", "Which."),
};

static void
test_base_class_init (TestBaseClass *klass)
{
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), base_rows, G_N_ELEMENTS (base_rows),
                                    g_type_class_get_instance_private_offset (klass));
}

static void
test_base_init (TestBase *self)
{
}

#define TEST_TYPE_LEAF (test_leaf_get_type ())
GType test_leaf_get_type (void);
typedef struct {
  TestBase parent_instance;
  guint block_size, rank;
  gint offset;
  gboolean force;
  guint64 budget;
  double ratio;
  gint layout;
  guint planes;
  char *location;
} TestLeaf;
typedef struct {
  TestBaseClass parent_class;
} TestLeafClass;

G_DEFINE_TYPE (TestLeaf, test_leaf, TEST_TYPE_BASE)

static const char *const layouts[] = { "row", "flat", NULL };
static const char *const kinds[] = { "weight", "coeffs", NULL };
static const AfpProperty leaf_rows[] = {
  AFP_PROP_UINT ("block-size", "C", AFP_PROPERTY_FORMAT, TestLeaf, block_size, 1, 256, "8",
                 "weights", "Block."),
  AFP_PROP_UINT ("rank", "P", AFP_PROPERTY_AUTO, TestLeaf, rank, 1, 8, "auto", NULL, "Rank."),
  AFP_PROP_INT ("offset", NULL, 0, TestLeaf, offset, -5, 5, "-1", NULL, "Offset."),
  AFP_PROP_BOOL ("force", NULL, 0, TestLeaf, force, "false", "Force."),
  AFP_PROP_SIZE ("budget", NULL, AFP_PROPERTY_AUTO, TestLeaf, budget, 1, 1e15, "64M", "bytes",
                 "Budget."),
  AFP_PROP_DOUBLE ("ratio", NULL, 0, TestLeaf, ratio, 0, 1, "0.5", NULL, "Ratio."),
  AFP_PROP_ENUM ("layout", "L", 0, TestLeaf, layout, "row", layouts, "Layout."),
  AFP_PROP_FLAGS ("planes", NULL, 0, TestLeaf, planes, "all", kinds, "Planes."),
  AFP_PROP_STRING ("location", NULL, AFP_PROPERTY_FILE, TestLeaf, location, NULL, "File."),
};
static const AfpPreset leaf_presets[] = {
  { "paper-4bit", "block-size=4 P=3 layout=flat", "As in the paper." },
  { "paper-3bit", "block-size=12,planes=weight,coeffs,tensors=fc*", "Likewise." },
  { "broken", "block-size=999", "Out of range." },
  { "unknown", "blok-size=9", "No such property." },
};

static void
test_leaf_class_init (TestLeafClass *klass)
{
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), leaf_rows, 5, 0);
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), leaf_rows + 5,
                                    G_N_ELEMENTS (leaf_rows) - 5, 0);
  afp_element_class_set_presets (AFP_ELEMENT_CLASS (klass), leaf_presets,
                                 G_N_ELEMENTS (leaf_presets));
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "A leaf.", "leaf ! null");
}

static void
test_leaf_init (TestLeaf *self)
{
}

#define TEST_TYPE_PLAIN (test_plain_get_type ())
GType test_plain_get_type (void);
typedef struct {
  TestBase parent_instance;
} TestPlain;
typedef struct {
  TestBaseClass parent_class;
} TestPlainClass;

G_DEFINE_TYPE (TestPlain, test_plain, TEST_TYPE_BASE)

static void
test_plain_class_init (TestPlainClass *klass)
{
}

static void
test_plain_init (TestPlain *self)
{
}

static AfpElement *
new_leaf (void)
{
  AfpElement *leaf = g_object_new (TEST_TYPE_LEAF, NULL);
  afp_element_set_factory_name (leaf, "leaf");
  return leaf;
}

static void
set (AfpElement *element, const char *name, const char *text)
{
  g_autoptr (GError) error = NULL;
  ck_assert_msg (afp_element_set_property_text (element, name, text, &error), "%s",
                 error ? error->message : "");
}

#define assert_property(element, name, text) \
  assert_text (afp_element_get_property_text ((element), (name)), (text))

/* --- properties --- */

START_TEST (defaults)
{
  g_autoptr (AfpElement) leaf = new_leaf ();
  TestLeaf *self = (TestLeaf *) leaf;
  ck_assert_uint_eq (self->block_size, 8);
  ck_assert_uint_eq (self->rank, 0);
  ck_assert_int_eq (self->offset, -1);
  ck_assert_uint_eq (self->budget, 64 << 20);
  ck_assert_uint_eq (self->planes, 3);
  ck_assert_ptr_null (self->location);
  assert_property (leaf, "min-dims", "2");
  assert_property (leaf, "tensors", "*");
  assert_property (leaf, "location", NULL);
  assert_property (leaf, "P", "auto");
  assert_property (leaf, "nothing", NULL);
  ck_assert (!afp_element_property_is_set (leaf, "block-size"));
  ck_assert (!afp_element_property_is_set (leaf, "nothing"));
}
END_TEST

START_TEST (rows_of_a_class)
{
  static const char *const names[] = { "min-dims", "tensors", "block-size", "rank",
                                       "offset",   "force",   "budget",     "ratio",
                                       "layout",   "planes",  "location" };
  AfpElementClass *leaf = g_type_class_ref (TEST_TYPE_LEAF),
                  *plain = g_type_class_ref (TEST_TYPE_PLAIN);
  gsize n, n_plain;
  g_autofree const AfpProperty **rows = afp_element_class_list_properties (leaf, &n);
  g_autofree const AfpProperty **plain_rows = afp_element_class_list_properties (plain, &n_plain);
  ck_assert_uint_eq (n, G_N_ELEMENTS (names));
  for (gsize i = 0; i < n; i++)
    ck_assert_str_eq (rows[i]->name, names[i]);
  ck_assert_uint_eq (n_plain, 2);
  ck_assert_ptr_eq (plain_rows[0], &base_rows[0]);
  ck_assert_ptr_eq (afp_element_class_find_property (leaf, "C"), &leaf_rows[0]);
  ck_assert_ptr_null (afp_element_class_find_property (leaf, "c"));
  ck_assert_ptr_null (afp_element_class_find_property (plain, "block-size"));
  ck_assert_str_eq (leaf->blurb, "A leaf.");
  ck_assert_str_eq (leaf->example, "leaf ! null");
  g_type_class_unref (leaf);
  g_type_class_unref (plain);
}
END_TEST

START_TEST (by_text)
{
  g_autoptr (AfpElement) leaf = new_leaf ();
  g_autoptr (GError) error = NULL;
  set (leaf, "C", "16");
  set (leaf, "min-dims", "1");
  set (leaf, "location", "a");
  set (leaf, "location", "b");
  ck_assert_uint_eq (((TestLeaf *) leaf)->block_size, 16);
  assert_property (leaf, "block-size", "16");
  assert_property (leaf, "min-dims", "1");
  assert_property (leaf, "location", "b");
  ck_assert (afp_element_property_is_set (leaf, "block-size") &&
             afp_element_property_is_set (leaf, "C"));
  ck_assert (afp_element_set_properties_text (leaf, " C=9 layout=flat", &error));
  ck_assert (afp_element_set_properties_text (
      leaf, "planes=weight,coeffs,C=10,location='x y', ratio=0.25,tensors=\"a,b\"", &error));
  assert_property (leaf, "C", "10");
  assert_property (leaf, "planes", "all");
  assert_property (leaf, "location", "x y");
  assert_property (leaf, "ratio", "0.25");
  assert_property (leaf, "tensors", "a,b");
  ck_assert (afp_element_set_properties_text (leaf, "", &error));
}
END_TEST

START_TEST (bad_properties)
{
  static const struct {
    const char *name, *text, *message;
  } cases[] = {
    { "blok-size", "8",
      "leaf: no property 'blok-size'; did you mean 'block-size' (1..256 weights, default 8)? afpipe-inspect leaf lists all" },
    { "c", "8", "did you mean 'C' (1..256 weights, default 8)?" },
    { "nmae", "8", "did you mean 'name'?" },
    { "presets", "8", "did you mean 'preset'?" },
    { "zzzzzz", "8", "leaf: no property 'zzzzzz'; afpipe-inspect leaf lists all" },
    { "", "8", "leaf: no property ''" },
    { "C", "abc", "leaf: block-size=abc is not a whole number: give 1..256 weights (default 8)" },
    { "layout", "flt", "leaf: layout=flt: give row | flat (default row); did you mean 'flat'?" },
    { "name", "my name", "leaf: 'my name' is no name for an element" },
    { "name", "", "'' is no name" },
    { "preset", "paper-5bit",
      "leaf: preset=paper-5bit: give paper-4bit | paper-3bit | broken | unknown; did you mean 'paper-4bit'?" },
    { "preset", "broken", "block-size=999 is out of range" },
    { "preset", "unknown", "no property 'blok-size'" },
  };
  g_autoptr (AfpElement) leaf = new_leaf ();
  g_autoptr (GError) error = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    ck_assert (!afp_element_set_property_text (leaf, cases[i].name, cases[i].text, &error));
    assert_error (error, AFP_ERROR_PROPERTY, cases[i].message);
    ck_assert (!afp_element_set_property_text (leaf, cases[i].name, cases[i].text, NULL));
  }
  assert_property (leaf, "C", "8");
  ck_assert (!afp_element_property_is_set (leaf, "C"));
}
END_TEST

START_TEST (bad_lists)
{
  g_autoptr (AfpElement) leaf = new_leaf ();
  g_autoptr (GError) error = NULL;
  ck_assert (!afp_element_set_properties_text (leaf, "C", &error));
  assert_error (error, AFP_ERROR_USAGE, "'=' and a value are missing");
  ck_assert (!afp_element_set_properties_text (leaf, "C=", &error));
  assert_error (error, AFP_ERROR_USAGE, "'C=' has no value");
  ck_assert (!afp_element_set_properties_text (leaf, ",C=8", &error));
  assert_error (error, AFP_ERROR_USAGE, "'=' and a value are missing");
  ck_assert (!afp_element_set_properties_text (leaf, "C=8,C=9", &error));
  assert_error (error, AFP_ERROR_USAGE, "'C' is given twice");
  ck_assert (!afp_element_set_properties_text (leaf, "location=\"x", &error));
  assert_error (error, AFP_ERROR_USAGE, "is not closed");
  ck_assert (!afp_element_set_properties_text (leaf, "C=8,oops", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "block-size=8,oops is not a whole number");
  ck_assert (!afp_element_set_properties_text (leaf, "D=8", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "no property 'D'");
}
END_TEST

START_TEST (element_without_presets)
{
  g_autoptr (AfpElement) plain = g_object_new (TEST_TYPE_PLAIN, NULL);
  g_autoptr (GError) error = NULL;
  ck_assert (!afp_element_set_property_text (plain, "preset", "x", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "TestPlain: no property 'preset'");
  ck_assert (!afp_element_apply_preset (plain, "x", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "TestPlain: no property 'preset'");
  assert_property (plain, "preset", NULL);
}
END_TEST

/* --- presets --- */

START_TEST (preset_before_and_after)
{
  for (guint order = 0; order < 2; order++) {
    g_autoptr (AfpElement) leaf = new_leaf ();
    if (order == 0)
      set (leaf, "preset", "paper-4bit");
    set (leaf, "C", "32");
    if (order == 1)
      set (leaf, "preset", "paper-4bit");
    assert_property (leaf, "C", "32");
    assert_property (leaf, "P", "3");
    assert_property (leaf, "layout", "flat");
    assert_property (leaf, "preset", "paper-4bit");
    ck_assert (afp_element_property_is_set (leaf, "C") && !afp_element_property_is_set (leaf, "P"));
    ck_assert (afp_element_property_is_set (leaf, "preset"));
  }
}
END_TEST

START_TEST (preset_replaces_preset)
{
  g_autoptr (AfpElement) leaf = new_leaf ();
  set (leaf, "preset", "paper-4bit");
  set (leaf, "preset", "paper-3bit");
  assert_property (leaf, "C", "12");
  assert_property (leaf, "P", "auto");
  assert_property (leaf, "layout", "row");
  assert_property (leaf, "planes", "all");
  assert_property (leaf, "tensors", "fc*");
  assert_property (leaf, "preset", "paper-3bit");
}
END_TEST

/* --- GObject --- */

START_TEST (gobject_properties)
{
  g_autoptr (AfpElement) leaf =
      g_object_new (TEST_TYPE_LEAF, "block-size", 16, "rank", 0, "offset", -5, "force", TRUE,
                    "budget", (guint64) 0, "ratio", 0.125, "layout", "flat", "planes", "coeffs",
                    "location", "a", "min-dims", 3, "name", "mine", NULL);
  guint block_size, rank, min_dims;
  gint offset;
  gboolean force;
  guint64 budget;
  double ratio;
  g_autofree char *layout = NULL, *planes = NULL, *location = NULL, *name = NULL;
  g_object_get (leaf, "block-size", &block_size, "rank", &rank, "offset", &offset, "force", &force,
                "budget", &budget, "ratio", &ratio, "layout", &layout, "planes", &planes,
                "location", &location, "min-dims", &min_dims, "name", &name, NULL);
  ck_assert_uint_eq (block_size, 16);
  ck_assert_uint_eq (rank, 0);
  ck_assert_int_eq (offset, -5);
  ck_assert (force);
  ck_assert_uint_eq (budget, 0);
  ck_assert_double_eq (ratio, 0.125);
  ck_assert_str_eq (layout, "flat");
  ck_assert_str_eq (planes, "coeffs");
  ck_assert_str_eq (location, "a");
  ck_assert_uint_eq (min_dims, 3);
  ck_assert_str_eq (name, "mine");
  ck_assert (afp_element_property_is_set (leaf, "block-size"));
  assert_property (leaf, "budget", "auto");
  g_object_set (leaf, "location", NULL, NULL);
  assert_property (leaf, "location", NULL);
}
END_TEST

START_TEST (gobject_refuses)
{
  g_autoptr (AfpElement) leaf = new_leaf ();
  GLogLevelFlags fatal = g_log_set_always_fatal (G_LOG_FATAL_MASK);
  g_test_expect_message ("afpipe", G_LOG_LEVEL_CRITICAL, "*layout=flt: give row | flat*");
  g_object_set (leaf, "layout", "flt", NULL);
  g_test_assert_expected_messages ();
  assert_property (leaf, "layout", "row");
  afp_element_freeze (leaf);
  g_test_expect_message ("afpipe", G_LOG_LEVEL_CRITICAL, "*'layout' cannot change any more*");
  g_object_set (leaf, "layout", "flat", NULL);
  g_test_assert_expected_messages ();
  assert_property (leaf, "layout", "row");
  g_log_set_always_fatal (fatal);
}
END_TEST

/* --- frozen, names, pads --- */

START_TEST (frozen)
{
  g_autoptr (AfpElement) leaf = new_leaf ();
  g_autoptr (GError) error = NULL;
  afp_element_set_name (leaf, "leaf0");
  afp_element_freeze (leaf);
  ck_assert (!afp_element_set_property_text (leaf, "C", "9", &error));
  assert_error (error, AFP_ERROR_PROPERTY,
                "leaf0: 'C' cannot change any more: the pipeline has been planned");
  ck_assert (!afp_element_set_property_text (leaf, "name", "x", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "'name' cannot change any more");
  ck_assert (!afp_element_apply_preset (leaf, "paper-4bit", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "'preset' cannot change any more");
  ck_assert (!afp_element_set_properties_text (leaf, "C=9", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "'C' cannot change any more");
  assert_property (leaf, "C", "8");
}
END_TEST

START_TEST (names)
{
  g_autoptr (AfpElement) leaf = g_object_new (TEST_TYPE_LEAF, NULL);
  ck_assert_str_eq (afp_element_get_name (leaf), "TestLeaf");
  ck_assert_ptr_null (afp_element_get_factory_name (leaf));
  afp_element_set_factory_name (leaf, "leaf");
  ck_assert_str_eq (afp_element_get_name (leaf), "leaf");
  afp_element_set_name (leaf, "leaf0");
  ck_assert (!afp_element_property_is_set (leaf, "name"));
  assert_property (leaf, "name", "leaf0");
  set (leaf, "name", "t");
  ck_assert_str_eq (afp_element_get_name (leaf), "t");
  ck_assert (afp_element_property_is_set (leaf, "name"));
  ck_assert_str_eq (afp_element_get_factory_name (leaf), "leaf");
}
END_TEST

START_TEST (pads_and_run)
{
  g_autoptr (AfpElement) leaf = new_leaf ();
  ck_assert_uint_eq (afp_element_get_n_pads (leaf, AFP_PAD_SRC), 1);
  ck_assert_uint_eq (afp_element_get_n_pads (leaf, AFP_PAD_SINK), 1);
  AfpPad *pad = afp_element_add_pad (leaf, "src_1", AFP_PAD_SRC);
  ck_assert_ptr_eq (afp_element_get_pad (leaf, AFP_PAD_SRC, 1), pad);
  ck_assert_ptr_eq (afp_pad_get_element (pad), leaf);
  ck_assert_ptr_null (afp_element_get_pad (leaf, AFP_PAD_SRC, 2));
  ck_assert_ptr_null (afp_element_get_pad (leaf, AFP_PAD_SINK, 1));
  ck_assert_ptr_null (afp_element_get_run (leaf));
  ck_assert_ptr_null (afp_element_get_pool (leaf));
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("element");
  tcase_add_test (tcase, defaults);
  tcase_add_test (tcase, rows_of_a_class);
  tcase_add_test (tcase, by_text);
  tcase_add_test (tcase, bad_properties);
  tcase_add_test (tcase, bad_lists);
  tcase_add_test (tcase, element_without_presets);
  tcase_add_test (tcase, preset_before_and_after);
  tcase_add_test (tcase, preset_replaces_preset);
  tcase_add_test (tcase, gobject_properties);
  tcase_add_test (tcase, gobject_refuses);
  tcase_add_test (tcase, frozen);
  tcase_add_test (tcase, names);
  tcase_add_test (tcase, pads_and_run);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("element", cases, G_N_ELEMENTS (cases));
}
