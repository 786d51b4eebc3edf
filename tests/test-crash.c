/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "afp-crash.h"

/* That a process really dies, and says so, is tested in cli-crash.sh. */
static char text[4096];

static const char *
describe (int number, gconstpointer pc)
{
  gsize n = afp_crash_describe (text, sizeof text, "tool", number, pc);

  ck_assert_uint_eq (n, strlen (text));
  return text;
}

#define says(words) ck_assert_msg (strstr (describe (SIGSEGV, NULL), (words)) != NULL, "%s", text)
#define says_not(words) \
  ck_assert_msg (strstr (describe (SIGSEGV, NULL), (words)) == NULL, "%s", text)

static AfpElement *
make (const char *factory, const char *name)
{
  g_autoptr (GError) error = NULL;
  AfpElement *element = afp_registry_make (afp_registry_get_default (), factory, &error);

  ck_assert_msg (element != NULL, "%s", error ? error->message : "");
  afp_element_set_name (element, name);
  return element;
}

START_TEST (nothing_noted)
{
  ck_assert_ptr_null (afp_crash_get_note ());
  ck_assert_str_eq (describe (SIGSEGV, NULL),
                    "tool: error: crashed (SIGSEGV, a bad address) in afpipe itself\n");
}
END_TEST

START_TEST (signals)
{
  ck_assert_ptr_nonnull (strstr (describe (SIGBUS, NULL), "(SIGBUS, a mapped file"));
  ck_assert_ptr_nonnull (strstr (describe (SIGFPE, NULL), "(SIGFPE, a division by zero)"));
  ck_assert_ptr_nonnull (strstr (describe (SIGILL, NULL), "(SIGILL, "));
  ck_assert_ptr_nonnull (strstr (describe (SIGABRT, NULL), "(SIGABRT, abort()"));
  ck_assert_ptr_nonnull (strstr (describe (SIGTRAP, NULL), "(SIGTRAP, "));
  ck_assert_ptr_nonnull (strstr (describe (SIGUSR1, NULL), "(a signal)"));
}
END_TEST

START_TEST (stage_and_tensor)
{
  g_autoptr (AfpElement) element = make ("f16", "half");
  AfpCrashNote note, inner;

  afp_crash_enter_stage (&note, element, "fc1.weight");
  says (" in element 'half', tensor 'fc1.weight'\n");
  afp_crash_enter_stage (&inner, NULL, NULL);
  says (" in afpipe itself\n");
  afp_crash_leave (&inner);
  says (" in element 'half', tensor 'fc1.weight'\n");
  afp_crash_leave (&note);
  says (" in afpipe itself\n");
}
END_TEST

START_TEST (called_by)
{
  g_autoptr (AfpElement) before = make ("f16", "before");
  g_autoptr (AfpElement) asker = make ("f16", "asker");
  g_autoptr (AfpElement) answerer = make ("block-float", "answerer");
  AfpCrashNote notes[4];

  afp_crash_enter_stage (&notes[0], before, "other");
  afp_crash_enter_stage (&notes[1], asker, "w");
  afp_crash_enter (&notes[2], asker);
  says (" in element 'asker', tensor 'w'\n");
  afp_crash_enter (&notes[3], answerer);
  says (" in element 'answerer', called by 'asker', tensor 'w'\n");
  says_not ("before");
  for (int i = 3; i >= 0; i--)
    afp_crash_leave (&notes[i]);
  ck_assert_ptr_null (afp_crash_get_note ());
}
END_TEST

START_TEST (without_a_stage)
{
  g_autoptr (AfpElement) element = make ("f16", "half");
  AfpCrashNote note;

  afp_crash_enter (&note, element);
  says (" in element 'half'\n");
  says_not ("tensor");
  afp_crash_leave (&note);
}
END_TEST

START_TEST (provider)
{
  g_autoptr (AfpElement) element = make ("block-float", "b");
  AfpCrashNote note;

  afp_crash_enter (&note, element);
  says_not ("plugin");
  afp_crash_set_provider (G_OBJECT_TYPE (element), "thing 1.0 (/p/afpthing.so, from https://x)");
  says (" in plugin thing 1.0 (/p/afpthing.so, from https://x), element 'b'\n");
  afp_crash_leave (&note);
}
END_TEST

START_TEST (file)
{
  AfpCrashNote note;

  afp_crash_enter_file (&note, "/p/afpx.so");
  says (" in plugin '/p/afpx.so'\n");
  afp_crash_leave (&note);
}
END_TEST

START_TEST (module)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *of = g_strconcat (" of ", self, "\n", NULL);
  const char *out = describe (SIGSEGV, (gconstpointer) (gsize) describe);

  ck_assert_msg (strstr (out, "\n  at 0x") != NULL && strstr (out, of) != NULL, "%s", out);
  ck_assert_ptr_null (strstr (describe (SIGSEGV, (gconstpointer) 16), " at 0x"));
}
END_TEST

START_TEST (long_names)
{
  g_autoptr (AfpElement) element = make ("f16", "half");
  g_autofree char *name = g_strnfill (10000, 'n');
  char small[32];
  AfpCrashNote note;

  afp_crash_enter_stage (&note, element, name);
  ck_assert_uint_eq (afp_crash_describe (text, sizeof text, "tool", SIGSEGV, NULL),
                     sizeof text - 1);
  ck_assert_uint_eq (afp_crash_describe (small, sizeof small, "tool", SIGSEGV, NULL), 31);
  ck_assert_str_eq (small, "tool: error: crashed (SIGSEGV, ");
  ck_assert_uint_eq (afp_crash_describe (small, 1, "tool", SIGSEGV, NULL), 0);
  afp_crash_leave (&note);
}
END_TEST

/* --- workers of a pool --- */

static gboolean
compare_note (gsize index, gpointer user_data, GError **error)
{
  return afp_crash_get_note () == user_data;
}

START_TEST (workers)
{
  g_autoptr (AfpElement) element = make ("f16", "half");
  g_autoptr (AfpPool) pool = afp_pool_new (4);
  AfpCrashNote note;

  ck_assert (afp_parallel_for (pool, 200, compare_note, NULL, NULL));
  afp_crash_enter (&note, element);
  ck_assert (afp_parallel_for (pool, 200, compare_note, &note, NULL));
  ck_assert (!afp_parallel_for (pool, 200, compare_note, NULL, NULL));
  afp_crash_leave (&note);
  ck_assert (afp_parallel_for (pool, 200, compare_note, NULL, NULL));
}
END_TEST

/* --- the hook --- */

static int hooked;

static gboolean
take_signal (int number, siginfo_t *info)
{
  hooked = number;
  return info->si_signo == number;
}

START_TEST (hook)
{
  afp_crash_set_hook (take_signal);
  afp_crash_install ("test-crash");
  hooked = 0;
  ck_assert_int_eq (raise (SIGBUS), 0);
  ck_assert_int_eq (hooked, SIGBUS);
  ck_assert_int_eq (raise (SIGFPE), 0);
  ck_assert_int_eq (hooked, SIGFPE);
  for (int number = 1; number < 32; number++)
    if (number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
        number == SIGABRT || number == SIGTRAP)
      signal (number, SIG_DFL);
  afp_crash_set_hook (NULL);
}
END_TEST

static TCase *
notes (void)
{
  TCase *tcase = tcase_create ("notes");
  tcase_add_test (tcase, nothing_noted);
  tcase_add_test (tcase, signals);
  tcase_add_test (tcase, stage_and_tensor);
  tcase_add_test (tcase, called_by);
  tcase_add_test (tcase, without_a_stage);
  tcase_add_test (tcase, provider);
  tcase_add_test (tcase, file);
  tcase_add_test (tcase, module);
  tcase_add_test (tcase, long_names);
  tcase_add_test (tcase, workers);
  tcase_add_test (tcase, hook);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { notes };
  return run_suite ("crash", cases, G_N_ELEMENTS (cases));
}
