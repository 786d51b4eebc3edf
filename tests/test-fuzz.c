/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every parser: its seeds, what was found in the past, and some mutations; and whether the driver sees what is wrong. */
#include "config.h"

#include "core-test.h"

#include "fuzz/fuzz-dump.h"

#include <unistd.h>

#define N_MUTATIONS 300 /* of each record */
#define SECONDS 30      /* for one input: far more than any takes */

static guint
n_records (void)
{
  guint n = 0;

  while (fuzz_records[n])
    n++;
  return n;
}

/* --- the parsers -------------------------------------------------------------------------------------------------- */

typedef struct {
  const FuzzRecord *record;
  GPtrArray *inputs;
} Inputs;

static GBytes *
given (guint64 index, gpointer user_data)
{
  return g_bytes_ref (((Inputs *) user_data)->inputs->pdata[index]);
}

static GBytes *
mutation (guint64 index, gpointer user_data)
{
  const Inputs *self = user_data;

  return fuzz_mutate (self->record, self->inputs, index);
}

/* Returns how many were refused. */
static guint64
assert_clean (const FuzzRecord *record, FuzzInput input, GPtrArray *inputs, guint64 n)
{
  Inputs self = { record, inputs };
  g_autoptr (FuzzReport) report = fuzz_drive (record, input, &self, 0, n, SECONDS);

  ck_assert_msg (report->findings == 0, "%s: %s", record->name, report->text->str);
  ck_assert_uint_eq (report->tried, n);
  return report->refused;
}

/* A seed is a good input: what comes of it gets deep. */
START_TEST (seeds)
{
  const FuzzRecord *record = fuzz_records[_i];
  g_autoptr (GPtrArray) inputs = fuzz_load ("seeds", record->name, NULL);

  ck_assert_msg (inputs->len > 0, "no tests/fuzz/seeds/%s", record->name);
  ck_assert_uint_eq (assert_clean (record, given, inputs, inputs->len), 0);
}
END_TEST

START_TEST (findings_of_the_past)
{
  const FuzzRecord *record = fuzz_records[_i];
  g_autoptr (GPtrArray) inputs = fuzz_load ("findings", record->name, NULL);

  assert_clean (record, given, inputs, inputs->len);
}
END_TEST

START_TEST (mutations)
{
  const FuzzRecord *record = fuzz_records[_i];
  g_autoptr (GPtrArray) inputs = fuzz_load ("seeds", record->name, NULL);

  const guint64 refused = assert_clean (record, mutation, inputs, N_MUTATIONS);
  ck_assert_uint_gt (refused, N_MUTATIONS / 20);
  ck_assert_uint_lt (refused, N_MUTATIONS);
}
END_TEST

/* A folder without a record is a slip of the pen. */
START_TEST (folders_have_records)
{
  static const char *const folders[] = { "seeds", "findings" };
  const char *top = g_getenv ("AFP_TEST_SRCDIR");

  for (guint i = 0; i < G_N_ELEMENTS (folders); i++) {
    g_autofree char *path = g_build_filename (top ? top : ".", "tests", "fuzz", folders[i], NULL);
    g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name (dir)) != NULL)
      ck_assert_msg (fuzz_find (name) != NULL, "tests/fuzz/%s/%s has no record", folders[i], name);
  }
  ck_assert_ptr_null (fuzz_find ("nosuch"));
  ck_assert_ptr_null (fuzz_find (""));
}
END_TEST

/* --- mutations ---------------------------------------------------------------------------------------------------- */

START_TEST (mutations_are_repeatable)
{
  const FuzzRecord *record = fuzz_records[_i];
  g_autoptr (GPtrArray) inputs = fuzz_load ("seeds", record->name, NULL);
  guint changed = 0, other = 0;

  for (guint64 i = 0; i < 50; i++) {
    g_autoptr (GBytes) one = fuzz_mutate (record, inputs, i), two = fuzz_mutate (record, inputs, i);
    g_autoptr (GBytes) next = fuzz_mutate (record, inputs, i + 1);
    ck_assert (g_bytes_equal (one, two));
    other += !g_bytes_equal (one, next);
    gboolean is_seed = FALSE;
    for (guint j = 0; j < inputs->len; j++)
      is_seed = is_seed || g_bytes_equal (one, inputs->pdata[j]);
    changed += !is_seed;
  }
  ck_assert_uint_ge (changed, 40);
  ck_assert_uint_ge (other, 45);
}
END_TEST

START_TEST (empty_seeds_are_mutated)
{
  static const FuzzRecord record = { "test-empty", NULL, NULL, NULL, 0, 0 };
  g_autoptr (GPtrArray) inputs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  g_ptr_array_add (inputs, g_bytes_new_static ("", 0));
  for (guint64 i = 0; i < 2000; i++) {
    g_autoptr (GBytes) bytes = fuzz_mutate (&record, inputs, i);
    ck_assert_uint_le (g_bytes_get_size (bytes), 256 << 10);
  }
}
END_TEST

/* --- the driver --------------------------------------------------------------------------------------------------- */

/* The first byte of the input says what to do. */
static void
misbehave (const guint8 *bytes, gsize n)
{
  static gpointer kept;
  GError *error = NULL;

  switch (n ? bytes[0] : 0) {
  case 'a':
    abort ();
  case 'e':
    _exit (0);
  case 'h':
    for (volatile gboolean go_on = TRUE; go_on;)
      g_usleep (1000);
    break;
  case 'm':
    kept = g_malloc0 (10 << 20);
    g_clear_pointer (&kept, g_free);
    break;
  case 'l':
    kept = g_malloc (100);
    memset (kept, 1, 100);
    kept = NULL;
    break;
  case 'n':
    fuzz_check_error (&error);
    break;
  case 'f':
    g_set_error_literal (&error, G_FILE_ERROR, 1, "foreign");
    fuzz_check_error (&error);
    break;
  case 't':
    g_set_error_literal (&error, AFP_ERROR, AFP_ERROR_IO, "");
    fuzz_check_error (&error);
    break;
  default:
    break;
  }
}

static const FuzzRecord misbehaving = { "test-misbehaving", NULL, misbehave, NULL, 1 << 20, 16 };

static FuzzReport *
drive_text (const char *text, guint seconds)
{
  g_autoptr (GPtrArray) inputs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  Inputs self = { &misbehaving, inputs };

  for (const char *c = text; *c; c++)
    g_ptr_array_add (inputs, g_bytes_new (c, 1));
  return fuzz_drive (&misbehaving, given, &self, 0, inputs->len, seconds);
}

static void
assert_found (const char *text, guint n, ...)
{
  g_autoptr (FuzzReport) report = drive_text (text, 2);
  va_list words;

  ck_assert_uint_eq (report->tried, strlen (text));
  ck_assert_msg (report->findings == n && report->inputs->len == n, "'%s': %s", text,
                 report->text->str);
  va_start (words, n);
  for (guint i = 0; i < n; i++) {
    const char *word = va_arg (words, const char *);
    ck_assert_msg (strstr (report->text->str, word) != NULL, "no '%s' in %s", word,
                   report->text->str);
  }
  va_end (words);
}

START_TEST (crashes_are_found)
{
  assert_found ("oaooao", 2, "1: crashed (Aborted)", "4: crashed (Aborted)");
  assert_found ("a", 1, "0: crashed");
}
END_TEST

START_TEST (early_ends_are_found)
{
  assert_found ("ooeo", 1, "2: ended the process with status 0");
}
END_TEST

START_TEST (hangs_are_found)
{
  assert_found ("oho", 1, "1: took more than 2 seconds");
}
END_TEST

START_TEST (memory_is_found)
{
  assert_found ("omo", 1, "1: took 10");
  g_autoptr (FuzzReport) report = drive_text ("m", 5);
  ck_assert (strstr (report->text->str, "the limit is 1048592") != NULL);
}
END_TEST

START_TEST (broken_words_are_found)
{
  assert_found ("nft", 3, "0: failed without an error", "1: an error of a foreign domain: foreign",
                "2: the text of an error is empty");
}
END_TEST

START_TEST (good_inputs_are_no_findings)
{
  assert_found ("oooooooooo", 0);
  assert_found ("", 0);
}
END_TEST

#ifdef __SANITIZE_ADDRESS__
START_TEST (leaks_are_found)
{
  assert_found ("olo", 1, "3: leaked memory");
}
END_TEST
#endif

/* --- dumps -------------------------------------------------------------------------------------------------------- */

START_TEST (files_are_dumped)
{
  const char *top = g_getenv ("AFP_TEST_SRCDIR");
  g_autofree char *path =
      g_build_filename (top ? top : ".", "tests", "data", "golden", "vptq-v1.h5", NULL);
  GError *error = NULL;
  g_autoptr (GBytes) decode = fuzz_dump ("decode", path, &error);
  ck_assert_msg (decode != NULL, "%s", error ? error->message : "?");
  ck_assert_ptr_nonnull (
      g_strstr_len (g_bytes_get_data (decode, NULL), (gssize) g_bytes_get_size (decode), "weight"));
  g_autoptr (GBytes) tables = fuzz_dump ("tables", path, &error);
  ck_assert_msg (tables != NULL, "%s", error ? error->message : "?");
  ck_assert_ptr_nonnull (g_strstr_len (g_bytes_get_data (tables, NULL),
                                       (gssize) g_bytes_get_size (tables), "\npayload\n"));
}
END_TEST

START_TEST (odd_dumps_are_refused)
{
  GError *error = NULL;
  ck_assert_ptr_null (fuzz_dump ("json", "x", &error));
  assert_error (error, AFP_ERROR_USAGE, "'json'", "keras-listing");
  ck_assert_ptr_null (fuzz_dump ("tables", "/nosuch/x.h5", &error));
  assert_error (error, AFP_ERROR_IO, "/nosuch/x.h5");
}
END_TEST

static TCase *
parsers (void)
{
  TCase *tcase = tcase_create ("parsers");
  const int n = (int) n_records ();
  tcase_add_loop_test (tcase, seeds, 0, n);
  tcase_add_loop_test (tcase, findings_of_the_past, 0, n);
  tcase_add_loop_test (tcase, mutations, 0, n);
  tcase_add_test (tcase, folders_have_records);
  return tcase;
}

static TCase *
driver (void)
{
  TCase *tcase = tcase_create ("driver");
  tcase_add_loop_test (tcase, mutations_are_repeatable, 0, (int) n_records ());
  tcase_add_test (tcase, empty_seeds_are_mutated);
  tcase_add_test (tcase, crashes_are_found);
  tcase_add_test (tcase, early_ends_are_found);
  tcase_add_test (tcase, hangs_are_found);
  tcase_add_test (tcase, memory_is_found);
  tcase_add_test (tcase, broken_words_are_found);
  tcase_add_test (tcase, good_inputs_are_no_findings);
#ifdef __SANITIZE_ADDRESS__
  tcase_add_test (tcase, leaks_are_found);
#endif
  tcase_add_test (tcase, files_are_dumped);
  tcase_add_test (tcase, odd_dumps_are_refused);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { parsers, driver };
  return run_suite ("fuzz", cases, G_N_ELEMENTS (cases));
}
