/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

/* Plugins are made by registries only: what a good one says, here through a built-in element. */

#define TEST_TYPE_STAGE (test_stage_get_type ())
GType test_stage_get_type (void);
typedef struct {
  AfpTransform parent_instance;
} TestStage;
typedef struct {
  AfpTransformClass parent_class;
} TestStageClass;

G_DEFINE_TYPE (TestStage, test_stage, AFP_TYPE_TRANSFORM)

static void
test_stage_class_init (TestStageClass *klass)
{
}

static void
test_stage_init (TestStage *self)
{
}

static gboolean
init (AfpPlugin *plugin, GError **error)
{
  return TRUE;
}

AFP_PLUGIN_DEFINE ("mine", "0.1", "MIT", "https://example.org", "A blurb", init)

START_TEST (descriptor)
{
  const AfpPluginDesc *desc = afp_plugin_get_desc ();
  ck_assert_uint_eq (desc->magic, AFP_PLUGIN_MAGIC);
  ck_assert_uint_eq (desc->abi_major, AFP_ABI_MAJOR);
  ck_assert_uint_eq (desc->abi_minor, AFP_ABI_MINOR);
  ck_assert_uint_eq (desc->struct_size, sizeof (AfpPluginDesc));
  ck_assert_str_eq (desc->name, "mine");
  ck_assert_ptr_eq (desc->init, init);
}
END_TEST

START_TEST (factories)
{
  afp_registry_add_builtin ("test-stage", TEST_TYPE_STAGE);
  g_autoptr (AfpRegistry) registry = afp_registry_new (NULL, NULL);
  AfpElementFactory *factory = afp_registry_find (registry, "test-stage");
  ck_assert_ptr_nonnull (factory);
  ck_assert_str_eq (afp_element_factory_get_name (factory), "test-stage");
  ck_assert (afp_element_factory_get_element_type (factory) == TEST_TYPE_STAGE);

  g_autoptr (AfpElement) named = afp_element_factory_make (factory, "s1");
  g_autoptr (AfpElement) unnamed = afp_element_factory_make (factory, NULL);
  ck_assert_str_eq (afp_element_get_name (named), "s1");
  ck_assert_str_eq (afp_element_get_name (unnamed), "test-stage");
  ck_assert_str_eq (afp_element_get_factory_name (named), "test-stage");
}
END_TEST

START_TEST (plugin_of_the_library)
{
  afp_registry_add_builtin ("test-stage", TEST_TYPE_STAGE);
  g_autoptr (AfpRegistry) registry = afp_registry_new (NULL, NULL);
  AfpPlugin *plugin = afp_element_factory_get_plugin (afp_registry_find (registry, "test-stage"));
  ck_assert_str_eq (afp_plugin_get_name (plugin), "core");
  ck_assert_str_eq (afp_plugin_get_version (plugin), AFP_VERSION);
  ck_assert_str_eq (afp_plugin_get_license (plugin), "LGPL-2.1-or-later");
  ck_assert_ptr_nonnull (afp_plugin_get_origin (plugin));
  ck_assert_ptr_nonnull (afp_plugin_get_blurb (plugin));
  ck_assert_ptr_null (afp_plugin_get_filename (plugin));
}
END_TEST

START_TEST (elements_only_in_init)
{
  afp_registry_add_builtin ("test-stage", TEST_TYPE_STAGE);
  g_autoptr (AfpRegistry) registry = afp_registry_new (NULL, NULL);
  AfpPlugin *plugin = afp_element_factory_get_plugin (afp_registry_find (registry, "test-stage"));
  GLogLevelFlags fatal = g_log_set_always_fatal (G_LOG_FATAL_MASK);
  g_test_expect_message ("afpipe", G_LOG_LEVEL_CRITICAL, "*in_init*");
  afp_plugin_add_element (plugin, "late", TEST_TYPE_STAGE);
  g_test_assert_expected_messages ();
  g_test_expect_message ("afpipe", G_LOG_LEVEL_CRITICAL, "*name*");
  afp_plugin_add_element (plugin, NULL, TEST_TYPE_STAGE);
  g_test_assert_expected_messages ();
  g_log_set_always_fatal (fatal);
  ck_assert_ptr_null (afp_registry_find (registry, "late"));
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("plugin");
  tcase_add_test (tcase, descriptor);
  tcase_add_test (tcase, factories);
  tcase_add_test (tcase, plugin_of_the_library);
  tcase_add_test (tcase, elements_only_in_init);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("plugin", cases, G_N_ELEMENTS (cases));
}
