/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* The plugins of tests/plugins, as libtool leaves them. They are linked into scratch folders, not copied: one file is one module. */
static char *modules;
static GPtrArray *scratch;

static char *
new_folder (void)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("afp-registry-XXXXXX", &error);
  ck_assert_msg (folder != NULL, "%s", error ? error->message : "");
  g_ptr_array_add (scratch, folder);
  return folder;
}

static void
put_module (const char *folder, const char *plugin, const char *as)
{
  g_autofree char *name = g_strdup_printf ("afp%s.so", plugin);
  g_autofree char *from = g_build_filename (modules, name, NULL);
  g_autofree char *to = g_build_filename (folder, as ? as : name, NULL);
  ck_assert_msg (g_file_test (from, G_FILE_TEST_EXISTS), "%s", from);
  ck_assert_int_eq (symlink (from, to), 0);
}

static void
put_text (const char *folder, const char *as)
{
  g_autofree char *to = g_build_filename (folder, as, NULL);
  ck_assert (g_file_set_contents (to, "no module at all, but long enough to look at", -1, NULL));
}

static void
remove_tree (const char *path)
{
  g_autoptr (GDir) dir =
      g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *child = g_build_filename (path, name, NULL);
    remove_tree (child);
  }
  g_remove (path);
}

static void
set_up (void)
{
  scratch = g_ptr_array_new_with_free_func (g_free);
}

static void
tear_down (void)
{
  for (guint i = 0; i < scratch->len; i++)
    remove_tree (scratch->pdata[i]);
  g_ptr_array_unref (scratch);
}

/* Exactly one problem, of this file, for this reason. */
static void
check_problem (AfpRegistry *registry, const char *file, const char *reason)
{
  g_autoptr (GPtrArray) problems = afp_registry_list_problems (registry);
  ck_assert_uint_eq (problems->len, 1);
  const AfpPluginProblem *problem = problems->pdata[0];
  ck_assert_msg (g_str_has_suffix (problem->filename, file), "%s", problem->filename);
  ck_assert_msg (strstr (problem->reason, reason) != NULL, "'%s' is not in: %s", reason,
                 problem->reason);
}

static guint
count_problems (AfpRegistry *registry)
{
  g_autoptr (GPtrArray) problems = afp_registry_list_problems (registry);
  return problems->len;
}

static gboolean
has_plugin (AfpRegistry *registry, const char *name)
{
  g_autoptr (GPtrArray) plugins = afp_registry_list_plugins (registry);
  for (guint i = 0; i < plugins->len; i++)
    if (strcmp (afp_plugin_get_name (plugins->pdata[i]), name) == 0)
      return TRUE;
  return FALSE;
}

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

/* A copy, perhaps of the beginning only, perhaps with another byte. */
static void
copy_module (const char *folder, const char *plugin, const char *as, gsize length, gsize at,
             guint8 byte)
{
  g_autofree char *from = g_strdup_printf ("%s/afp%s.so", modules, plugin);
  g_autofree char *to = g_build_filename (folder, as, NULL);
  g_autofree char *data = NULL;
  gsize size;

  ck_assert (g_file_get_contents (from, &data, &size, NULL));
  if (at)
    data[at] = (char) byte;
  ck_assert (g_file_set_contents (to, data, (gssize) MIN (length, size), NULL));
}

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

static const struct {
  const char *name, *reason;
} troubles[] = {
  { "load-crash", "it crashed (Segmentation fault) while it was opened: in a constructor" },
  { "desc-crash", "it crashed (Segmentation fault) in afp_plugin_get_desc" },
  { "init-crash", "it crashed (Segmentation fault) in init" },
  { "init-abort", "it crashed (Aborted) in init" },
  { "class-crash", "it crashed (Segmentation fault) when one of its elements was made" },
  { "make-crash", "it crashed (Segmentation fault) when one of its elements was made" },
  { "load-exit", "it ended the process (exit status 0) while it was opened" },
  { "init-exit", "it ended the process (exit status 0) in init" },
  { "init-mute", "it was killed in init" },
};

static void
put_trouble (const char *folder, const char *name)
{
  g_autofree char *as = g_strdup_printf ("afp%s.so", name);
  copy_module (folder, "trouble", as, G_MAXSIZE, 0, 0);
}

/* It is named with the reason, and plugins before and behind it work. */
START_TEST (trouble)
{
  const char *folder = new_folder ();
  g_autofree char *file = g_strdup_printf ("/afp%s.so", troubles[_i].name);
  put_trouble (folder, troubles[_i].name);
  put_trouble (folder, "a-good-one");
  put_module (folder, "good", "afpzzz.so");
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  check_problem (registry, file, troubles[_i].reason);
  ck_assert (!has_plugin (registry, troubles[_i].name));
  ck_assert_ptr_nonnull (afp_registry_find (registry, "a-good-one"));
  ck_assert_ptr_nonnull (afp_registry_find (registry, "good-thing"));
}
END_TEST

START_TEST (endless_loops)
{
  static const char *const reasons[] = { "it took more than 2 seconds in init",
                                         "it took more than 2 seconds while it was opened" };
  const char *folder = new_folder ();
  put_trouble (folder, "init-loop");
  put_trouble (folder, "load-loop");
  put_module (folder, "good", "afpjust-between.so");
  g_setenv ("AFPIPE_PLUGIN_SECONDS", "2", TRUE);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  g_unsetenv ("AFPIPE_PLUGIN_SECONDS");
  g_autoptr (GPtrArray) problems = afp_registry_list_problems (registry);
  ck_assert_uint_eq (problems->len, 2);
  for (guint i = 0; i < 2; i++)
    ck_assert_ptr_nonnull (strstr (((AfpPluginProblem *) problems->pdata[i])->reason, reasons[i]));
  ck_assert_ptr_nonnull (afp_registry_find (registry, "good-thing"));
}
END_TEST

/* That is not what init is for, but it hangs nothing. */
START_TEST (init_asks_for_the_registry)
{
  const char *folder = new_folder ();
  put_trouble (folder, "init-registry");
  g_setenv ("AFPIPE_PLUGIN_PATH", "", TRUE);
  g_setenv ("AFPIPE_PLUGIN_SYSTEM_PATH", "", TRUE);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  ck_assert_uint_eq (count_problems (registry), 0);
  ck_assert_ptr_nonnull (afp_registry_find (registry, "init-registry"));
}
END_TEST

/* The second helper knows what the first has loaded: the init of same-plugin is not called. */
START_TEST (names_outlive_a_crash)
{
  const char *first = new_folder (), *second = new_folder ();
  g_autofree char *path = g_strdup_printf ("%s:%s", first, second);
  put_module (first, "good", NULL);
  put_trouble (second, "init-crash");
  put_module (second, "same-plugin", NULL);
  g_autoptr (AfpRegistry) registry = afp_registry_new (path, NULL);
  g_autoptr (GPtrArray) problems = afp_registry_list_problems (registry);
  ck_assert_uint_eq (problems->len, 2);
  ck_assert_ptr_nonnull (strstr (((AfpPluginProblem *) problems->pdata[1])->reason,
                                 "plugin 'good' was already loaded from "));
}
END_TEST

START_TEST (without_the_helper)
{
  const char *folder = new_folder ();
  g_autofree char *before = g_strdup (g_getenv ("AFPIPE_HELPER_DIR"));
  put_module (folder, "good", NULL);
  put_module (folder, "bad-abi", NULL);
  g_setenv ("AFPIPE_HELPER_DIR", folder, TRUE);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  if (before)
    g_setenv ("AFPIPE_HELPER_DIR", before, TRUE);
  g_autoptr (GPtrArray) problems = afp_registry_list_problems (registry);
  ck_assert_uint_eq (problems->len, 2);
  const AfpPluginProblem *problem = problems->pdata[0];
  ck_assert_str_eq (problem->filename, "afpipe-plugin-scan");
  ck_assert_ptr_nonnull (strstr (problem->reason, "plugins were loaded without a trial"));
  ck_assert_ptr_nonnull (strstr (problem->reason, "is missing"));
  ck_assert_ptr_nonnull (afp_registry_find (registry, "good-thing"));
}
END_TEST

START_TEST (undefined_symbol)
{
  const char *folder = new_folder ();
  put_module (folder, "undefined", NULL);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  check_problem (registry, "/afpundefined.so", "undefined symbol: afp_test_nowhere");
}
END_TEST

START_TEST (damaged_modules)
{
  static const struct {
    gsize length, at;
    guint8 byte;
    const char *reason;
  } damages[] = {
    { 0, 0, 0, "file too short" },
    { 10, 0, 0, "file too short" },
    { 3000, 0, 0, "it crashed (Bus error) while it was opened" },
    { G_MAXSIZE, 0x12, 0xff, "a module for another machine (ELF machine 255, this one is " },
    { G_MAXSIZE, 4, 1, "wrong ELF class: ELFCLASS32" },
  };
  const char *folder = new_folder ();
  copy_module (folder, "good", "afpcut.so", damages[_i].length, damages[_i].at, damages[_i].byte);
  g_autoptr (AfpRegistry) registry = afp_registry_new (folder, NULL);
  check_problem (registry, "/afpcut.so", damages[_i].reason);
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

static TCase *
misbehaving (void)
{
  TCase *tcase = tcase_create ("misbehaving");
  tcase_add_checked_fixture (tcase, set_up, tear_down);
  tcase_add_loop_test (tcase, trouble, 0, G_N_ELEMENTS (troubles));
  tcase_add_test (tcase, endless_loops);
  tcase_add_test (tcase, init_asks_for_the_registry);
  tcase_add_test (tcase, names_outlive_a_crash);
  tcase_add_test (tcase, without_the_helper);
  tcase_add_test (tcase, undefined_symbol);
  tcase_add_loop_test (tcase, damaged_modules, 0, 5);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { files, plugins, misbehaving };
  const char *build_folder = g_getenv ("AFP_TEST_BUILDDIR");
  if (!build_folder)
    printf ("# SKIP plugins: AFP_TEST_BUILDDIR is not set\n");
  modules =
      build_folder ? g_build_filename (build_folder, "tests", "plugins", ".libs", NULL) : NULL;
  int status = run_suite ("registry", cases, build_folder ? 3 : 1);
  g_free (modules);
  return status;
}
