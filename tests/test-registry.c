/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry-test.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- good ones --- */

START_TEST (good)
{
  const char *folder = new_folder ();
  put_module (folder, "good", NULL);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  g_autoptr (GError) error = NULL;
  AfpElementFactory *factory = afp_registry_find (registry, "good-thing");
  ck_assert_ptr_nonnull (factory);
  ck_assert_uint_eq (count_problems (registry), 0);
  AfpPlugin *plugin = afp_element_factory_get_plugin (factory);
  g_autofree char *file = g_build_filename (folder, "afpgood.so", NULL);
  ck_assert_str_eq (afp_plugin_get_name (plugin), "good");
  ck_assert_str_eq (afp_plugin_get_version (plugin), "1.2.3");
  ck_assert_str_eq (afp_plugin_get_license (plugin), "MIT");
  ck_assert_str_eq (afp_plugin_get_origin (plugin), "https://example.org/good");
  ck_assert_str_eq (afp_plugin_get_blurb (plugin), "A good plugin");
  ck_assert_str_eq (afp_plugin_get_filename (plugin), file);
  g_autoptr (AfpElement) element = afp_registry_make (registry, "good-thing", &error);
  ck_assert_ptr_nonnull (element);
  ck_assert_str_eq (afp_element_get_factory_name (element), "good-thing");
}
END_TEST

START_TEST (lists_are_sorted)
{
  const char *folder = new_folder ();
  put_module (folder, "good", NULL);
  put_module (folder, "empty", NULL);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  g_autoptr (GPtrArray) plugins = afp_registry_list_plugins (registry);
  g_autoptr (GPtrArray) factories = afp_registry_list_factories (registry);
  for (guint i = 1; i < plugins->len; i++)
    ck_assert_str_lt (afp_plugin_get_name (plugins->pdata[i - 1]),
                      afp_plugin_get_name (plugins->pdata[i]));
  for (guint i = 1; i < factories->len; i++)
    ck_assert_str_lt (afp_element_factory_get_name (factories->pdata[i - 1]),
                      afp_element_factory_get_name (factories->pdata[i]));
  ck_assert (has_plugin (registry, "core") && has_plugin (registry, "good"));
}
END_TEST

START_TEST (directories)
{
  const char *a = new_folder (), *b = new_folder ();
  g_autofree char *path = g_strdup_printf ("%s::%s/:%s", a, a, b);
  g_autofree char *missing = g_build_filename (a, "missing", NULL);
  g_autofree char *system_path = g_strdup_printf ("%s:%s", b, missing);
  g_autoptr (AfpRegistry) registry = afp_registry_new (path, system_path);
  g_auto (GStrv) list = afp_registry_list_directories (registry);
  ck_assert_uint_eq (g_strv_length (list), 3);
  ck_assert_str_eq (list[0], a);
  ck_assert_str_eq (list[1], b);
  ck_assert_str_eq (list[2], missing);
  ck_assert_uint_eq (count_problems (registry), 0);
}
END_TEST

START_TEST (other_files_are_ignored)
{
  const char *folder = new_folder ();
  put_module (folder, "no-symbol", "libafp.so");
  put_module (folder, "no-symbol", "afphelper.so.1");
  put_module (folder, "no-symbol", "seedlm.so");
  put_text (folder, "afp.txt");
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  ck_assert_uint_eq (count_problems (registry), 0);
}
END_TEST

/* --- the two ways in which libtool lays modules down --- */

START_TEST (build_tree)
{
  const char *folder = new_folder ();
  g_autofree char *libs = g_build_filename (folder, ".libs", NULL);
  ck_assert_int_eq (g_mkdir (libs, 0700), 0);
  put_text (folder, "afpgood.la");
  put_module (libs, "good", NULL);
  put_module (libs, "empty", NULL);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  ck_assert_uint_eq (count_problems (registry), 0);
  ck_assert (has_plugin (registry, "good"));
  ck_assert (!has_plugin (registry, "empty"));
}
END_TEST

START_TEST (installed_tree)
{
  const char *folder = new_folder ();
  put_text (folder, "afpgood.la");
  put_module (folder, "good", NULL);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  ck_assert_uint_eq (count_problems (registry), 0);
  ck_assert (has_plugin (registry, "good"));
}
END_TEST

START_TEST (libtool_file_without_module)
{
  const char *folder = new_folder ();
  put_text (folder, "afpgood.la");
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  check_problem (registry, "/afpgood.la", "/.libs/afpgood.so");
}
END_TEST

/* --- bad ones --- */

static const struct {
  const char *plugin, *reason;
} bad[] = {
  { "bad-abi", "ABI 2.0, this library has 1.0: a newer afpipe is needed" },
  { "bad-magic", "wrong magic number 0x12345678, a plugin of afpipe has 0x41465031" },
  { "no-symbol", "no symbol afp_plugin_get_desc" },
  { "bad-init", "init of plugin 'bad-init' failed: no such device" },
  { "empty", "plugin 'empty' has no element" },
};

START_TEST (bad_plugin)
{
  const char *folder = new_folder ();
  g_autofree char *file = g_strdup_printf ("/afp%s.so", bad[_i].plugin);
  put_module (folder, bad[_i].plugin, NULL);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  check_problem (registry, file, bad[_i].reason);
  ck_assert_ptr_null (afp_registry_find (registry, "never"));
  ck_assert (!has_plugin (registry, bad[_i].plugin) || strcmp (bad[_i].plugin, "empty") == 0);
}
END_TEST

START_TEST (no_files)
{
  const char *folder = new_folder ();
  g_autofree char *sub = g_build_filename (folder, "afpfolder.so", NULL);
  g_autofree char *fifo = g_build_filename (folder, "afppipe.so", NULL);
  ck_assert_int_eq (g_mkdir (sub, 0700), 0);
  ck_assert_int_eq (mkfifo (fifo, 0600), 0);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  g_autoptr (GPtrArray) problems = afp_registry_list_problems (registry);
  ck_assert_uint_eq (problems->len, 2);
  ck_assert_str_eq (((AfpPluginProblem *) problems->pdata[0])->reason, "a folder, not a module");
  ck_assert_str_eq (((AfpPluginProblem *) problems->pdata[1])->reason,
                    "no regular file, not a module");
}
END_TEST

START_TEST (unreadable)
{
  const char *folder = new_folder ();
  g_autofree char *file = g_build_filename (folder, "afpsecret.so", NULL);
  copy_module (folder, "good", "afpsecret.so", G_MAXSIZE, 0, 0);
  ck_assert_int_eq (g_chmod (file, 0), 0);
  if (access (file, R_OK) == 0)
    return; /* root reads everything */
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  check_problem (registry, "/afpsecret.so", "Permission denied");
}
END_TEST

START_TEST (no_module)
{
  const char *folder = new_folder ();
  put_text (folder, "afptext.so");
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  check_problem (registry, "/afptext.so", "afptext.so: ");
}
END_TEST

START_TEST (dangling_link)
{
  const char *folder = new_folder ();
  g_autofree char *file = g_build_filename (folder, "afpgone.so", NULL);
  ck_assert_int_eq (symlink ("nowhere", file), 0);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  check_problem (registry, "/afpgone.so", "No such file or directory");
}
END_TEST

START_TEST (missing_directory)
{
  g_autofree char *missing = g_build_filename (new_folder (), "missing", NULL);
  g_autoptr (AfpRegistry) registry = afp_registry_new (missing, NULL);
  check_problem (registry, "/missing", "No such file or directory");
}
END_TEST

START_TEST (same_plugin)
{
  const char *first = new_folder (), *second = new_folder ();
  g_autofree char *path = g_strdup_printf ("%s:%s", first, second);
  g_autofree char *reason =
      g_strdup_printf ("plugin 'good' was already loaded from %s/afpgood.so", first);
  put_module (first, "good", NULL);
  put_module (second, "same-plugin", NULL);
  g_autoptr (AfpRegistry) registry = afp_registry_new (path, NULL);
  check_problem (registry, "/afpsame-plugin.so", reason);
}
END_TEST

START_TEST (same_element)
{
  const char *folder = new_folder ();
  put_module (folder, "good", NULL);
  put_module (folder, "same-element", NULL);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  check_problem (registry, "/afpsame-element.so",
                 "element 'good-thing' already exists in plugin 'good'");
  ck_assert_str_eq (afp_plugin_get_name (afp_element_factory_get_plugin (
                        afp_registry_find (registry, "good-thing"))),
                    "good");
  ck_assert_ptr_nonnull (afp_registry_find (registry, "other-thing"));
}
END_TEST

START_TEST (bad_elements)
{
  static const char *const reasons[] = { "element 'no-type' has no type",
                                         "type AfpPlugin is not derived from AfpElement",
                                         "type AfpTransform is abstract",
                                         "'no name' is no name for an element",
                                         "'tensor' is no name for an element" };
  const char *folder = new_folder ();
  put_module (folder, "bad-elements", NULL);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  g_autoptr (GPtrArray) problems = afp_registry_list_problems (registry);
  ck_assert_uint_eq (problems->len, G_N_ELEMENTS (reasons));
  for (guint i = 0; i < problems->len; i++)
    ck_assert_ptr_nonnull (strstr (((AfpPluginProblem *) problems->pdata[i])->reason, reasons[i]));
  ck_assert_ptr_null (afp_registry_find (registry, "abstract"));
}
END_TEST

START_TEST (one_bad_plugin_does_not_hurt_others)
{
  const char *folder = new_folder ();
  put_module (folder, "bad-abi", NULL);
  put_module (folder, "bad-magic", NULL);
  put_module (folder, "no-symbol", NULL);
  put_text (folder, "afpa.so");
  put_module (folder, "good", NULL);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  ck_assert_uint_eq (count_problems (registry), 4);
  ck_assert_ptr_nonnull (afp_registry_find (registry, "good-thing"));
}
END_TEST

/* --- no such element --- */

START_TEST (no_element)
{
  const char *folder = new_folder ();
  g_autoptr (GError) error = NULL;
  g_autofree char *searched = g_strdup_printf ("Searched: %s", folder);
  put_module (folder, "good", NULL);
  put_module (folder, "bad-abi", NULL);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  ck_assert_ptr_null (afp_registry_make (registry, "good-thnig", &error));
  assert_error (error, AFP_ERROR_NO_ELEMENT,
                "no element 'good-thnig'; did you mean 'good-thing'? Searched: ", searched,
                "; 1 file could not be loaded (afpipe-inspect --problems)");
  ck_assert_ptr_null (afp_registry_make (registry, "zzzzzzzzz", &error));
  assert_error (error, AFP_ERROR_NO_ELEMENT, "no element 'zzzzzzzzz'. Searched: ");
  ck_assert_ptr_null (afp_registry_make (registry, "bad-abi", &error));
  assert_error (error, AFP_ERROR_NO_ELEMENT, "afpbad-abi.so could not be used: ABI 2.0");
  ck_assert_ptr_null (afp_registry_make (registry, "", NULL));
  put_module (folder, "bad-elements", "afpother.so");
  put_module (folder, "bad-init", "afpthird.so");
  g_autoptr (AfpRegistry) second = afp_registry_new (folder, NULL);
  ck_assert_ptr_null (afp_registry_make (second, "no-type", &error));
  assert_error (error, AFP_ERROR_NO_ELEMENT,
                "afpother.so could not be used: element 'no-type' has no type");
  ck_assert_ptr_null (afp_registry_make (second, "bad-init", &error));
  assert_error (error, AFP_ERROR_NO_ELEMENT,
                "afpthird.so could not be used: init of plugin 'bad-init' failed: no such device");
}
END_TEST

START_TEST (no_element_and_no_directory)
{
  g_autoptr (AfpRegistry) registry = afp_registry_new (NULL, "");
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (afp_registry_make (registry, "zzzzzzzzz", &error));
  assert_error (error, AFP_ERROR_NO_ELEMENT,
                "Searched: no directory (AFPIPE_PLUGIN_PATH is empty)");
}
END_TEST

/* --- the default registry, built-in elements --- */

static gpointer
get_default (gpointer data)
{
  return afp_registry_get_default ();
}

START_TEST (default_registry)
{
  GThread *threads[4];
  g_setenv ("AFPIPE_PLUGIN_PATH", "", TRUE);
  g_setenv ("AFPIPE_PLUGIN_SYSTEM_PATH", "", TRUE);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("get", get_default, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    ck_assert_ptr_eq (g_thread_join (threads[i]), afp_registry_get_default ());
  g_auto (GStrv) list = afp_registry_list_directories (afp_registry_get_default ());
  ck_assert_uint_eq (g_strv_length (list), 0);
  ck_assert_ptr_nonnull (afp_registry_find (afp_registry_get_default (), "f16"));
  ck_assert_ptr_nonnull (afp_registry_find (afp_registry_get_default (), "block-float"));
}
END_TEST

START_TEST (builtins)
{
  AfpRegistry *registry = afp_registry_get_default ();
  GType type = afp_element_factory_get_element_type (afp_registry_find (registry, "f16"));
  guint before = count_problems (registry);
  ck_assert_ptr_null (afp_registry_find (registry, "second-f16"));
  afp_registry_add_builtin ("second-f16", type);
  afp_registry_add_builtin ("second-f16", type);
  ck_assert_ptr_nonnull (afp_registry_find (registry, "second-f16"));
  ck_assert_uint_eq (count_problems (registry), before);
  g_autoptr (AfpRegistry) later = afp_registry_new (NULL, NULL);
  ck_assert_ptr_nonnull (afp_registry_find (later, "second-f16"));
}
END_TEST

static TCase *
files (void)
{
  TCase *tcase = tcase_create ("files");
  tcase_add_checked_fixture (tcase, set_up, tear_down);
  tcase_add_test (tcase, directories);
  tcase_add_test (tcase, libtool_file_without_module);
  tcase_add_test (tcase, no_files);
  tcase_add_test (tcase, unreadable);
  tcase_add_test (tcase, no_module);
  tcase_add_test (tcase, dangling_link);
  tcase_add_test (tcase, missing_directory);
  tcase_add_test (tcase, no_element_and_no_directory);
  tcase_add_test (tcase, default_registry);
  tcase_add_test (tcase, builtins);
  return tcase;
}

static TCase *
plugins (void)
{
  TCase *tcase = tcase_create ("plugins");
  tcase_add_checked_fixture (tcase, set_up, tear_down);
  tcase_add_test (tcase, good);
  tcase_add_test (tcase, lists_are_sorted);
  tcase_add_test (tcase, other_files_are_ignored);
  tcase_add_test (tcase, build_tree);
  tcase_add_test (tcase, installed_tree);
  tcase_add_loop_test (tcase, bad_plugin, 0, G_N_ELEMENTS (bad));
  tcase_add_test (tcase, same_plugin);
  tcase_add_test (tcase, same_element);
  tcase_add_test (tcase, bad_elements);
  tcase_add_test (tcase, one_bad_plugin_does_not_hurt_others);
  tcase_add_test (tcase, no_element);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { files, plugins };
  const char *build_folder = g_getenv ("AFP_TEST_BUILDDIR");
  if (!build_folder)
    printf ("# SKIP plugins: AFP_TEST_BUILDDIR is not set\n");
  modules =
      build_folder ? g_build_filename (build_folder, "tests", "plugins", ".libs", NULL) : NULL;
  int status = run_suite ("registry", cases, build_folder ? 2 : 1);
  g_free (modules);
  return status;
}
