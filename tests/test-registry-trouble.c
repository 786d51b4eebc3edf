/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plugins that crash, hang, end the process or are damaged; what they do to others: nothing. */
#include "registry-test.h"

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

/* The helpers are to crash as programs do: sanitizers would catch the signals first. */
static void
leave_signals (const char *variable)
{
  const char *old = g_getenv (variable);
  g_autofree char *options =
      g_strconcat (old ? old : "", ":handle_segv=0:handle_abort=0:handle_sigbus=0", NULL);

  g_setenv (variable, options, TRUE);
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { misbehaving };
  const char *build_folder = g_getenv ("AFP_TEST_BUILDDIR");
  if (!build_folder) {
    printf ("1..0 # SKIP AFP_TEST_BUILDDIR is not set\n");
    return 0;
  }
  leave_signals ("ASAN_OPTIONS");
  leave_signals ("UBSAN_OPTIONS");
  modules = g_build_filename (build_folder, "tests", "plugins", ".libs", NULL);
  int status = run_suite ("registry-trouble", cases, 1);
  g_free (modules);
  return status;
}
