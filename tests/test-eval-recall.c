/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* memmem */
#endif

#include "afp-store.h"
#include "eval-run-test.h"
#include "eval/eval-language.h"

#define LIMIT (1 << 26)
#define CODED TINY_LOAD " ! rtn bits=4 ! "
#define TASKS "tasks=@/tasks.jsonl"
#define KNOWN "info eval0: what the original says is known of an earlier run\n"

static const char tasks[] =
    "{\"question\": \"the boat\", \"choices\": [\"sat\", \"ran\"], \"answer\": 0}\n"
    "{\"question\": \"a bird\", \"choices\": [\"sat\", \"ran\"], \"answer\": 1}\n"
    "{\"text\": \"the river ran to the sea\"}\n";

/* A small network, and five images of its own with labels. */
#define NETWORK "/tests/data/keras/keras2-sequential"
static char *network; /* "load ... ! ", and the options of eval */
static char *images;

static void
put_labels (guint8 first)
{
  const guint8 labels[] = { 0, 0, 8, 1, 0, 0, 0, 5, first, 1, 2, 3, 4 };

  g_free (put_file ("labels", labels, sizeof labels));
}

static void
setup (void)
{
  eval_setup ();
  tiny_put_text ("tasks.jsonl", tasks);
  put_labels (3);
  network = g_strdup_printf ("load location=%s" NETWORK ".h5 ! rtn bits=4 ! ",
                             g_getenv ("AFP_TEST_SRCDIR"));
  images = g_strdup_printf ("images=%s" NETWORK ".npz labels=@/labels image-scale=1/255",
                            g_getenv ("AFP_TEST_SRCDIR"));
}

static void
teardown (void)
{
  g_clear_pointer (&network, g_free);
  g_clear_pointer (&images, g_free);
  eval_teardown ();
}

/* --- runs ---------------------------------------------------------------------------------------------------------- */

static guint
count (const char *member)
{
  return (guint) json_object_get_int_member (json_node_get_object (eval_report), member);
}

/* Runs it, and tells how many analyses were found. What is measured is what is measured without a cache. */
static guint
found_in (const char *text)
{
  const guint64 limit = eval_cache_limit;

  eval_cache_limit = 0;
  eval_run (text);
  g_autofree char *expected = eval_metrics_text (0);
  ck_assert_uint_eq (count ("analyses"), 0);
  ck_assert_uint_eq (count ("analyses_cached"), 0);
  eval_cache_limit = limit;
  eval_run (text);
  g_autofree char *metrics = eval_metrics_text (0);
  ck_assert_str_eq (metrics, expected);
  const guint cached = count ("analyses_cached");
  ck_assert_uint_le (cached, count ("analyses"));
  ck_assert_int_eq (strstr (eval_said->str, KNOWN) != NULL, cached > 0);
  return cached;
}

/* Entries of the cache, analyses and executions: (transfer full) (element-type utf8) */
static GPtrArray *
list_kept (void)
{
  GPtrArray *paths = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *folder = in_folder ("kept");
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *part, *name;

  while (dir && (part = g_dir_read_name (dir))) {
    g_autofree char *inner = g_build_filename (folder, part, NULL);
    g_autoptr (GDir) entries = g_dir_open (inner, 0, NULL);
    while (entries && (name = g_dir_read_name (entries)))
      g_ptr_array_add (paths, g_build_filename (inner, name, NULL));
  }
  return paths;
}

static const struct {
  const char *options; /* NULL: images */
  guint analyses;
} questions[] = {
  { TEXT, 1 },  { TEXT " separator='\n'", 1 }, { TEXT " context=20 stride=7", 1 },
  { TASKS, 1 }, { TEXT " " TASKS, 2 },         { NULL, 1 },
};

static const guint kinds[] = { 0, 3, 5 }; /* of them: one of each kind */

/* (transfer full) */
static char *
make_pipeline (guint question, const char *more)
{
  const char *options = questions[question].options;

  return g_strconcat (options ? CODED : network, "eval ", options ? options : images, " ", more,
                      " ! null", NULL);
}

/* Nothing is found the first time, all of it from then on. */
START_TEST (asked_once)
{
  g_autofree char *text = make_pipeline ((guint) _i, "");

  eval_cache_limit = LIMIT;
  ck_assert_uint_eq (found_in (text), 0);
  ck_assert_uint_eq (count ("analyses"), questions[_i].analyses);
  for (guint again = 0; again < 2; again++) {
    ck_assert_uint_eq (found_in (text), questions[_i].analyses);
    ck_assert_uint_eq (count ("analyses"), questions[_i].analyses);
  }
}
END_TEST

/* Whatever is judged beside the original. */
START_TEST (other_chains)
{
  static const char *const chains[] = { "", "hyper U=7 ! ", "seedlm seed-bits=6 ! vptq k=16 ! ",
                                        "rtn bits=3 ! " };

  eval_cache_limit = LIMIT;
  for (guint i = 0; i < G_N_ELEMENTS (chains); i++) {
    g_autofree char *text =
        g_strconcat (TINY_LOAD " ! ", chains[i], "eval " TEXT " " TASKS " ! null", NULL);
    ck_assert_uint_eq (found_in (text), i ? 2 : 0);
  }
}
END_TEST

/* Two places of a chain are asked together: one original. */
START_TEST (places_of_a_chain)
{
  eval_cache_limit = LIMIT;
  for (guint again = 0; again < 2; again++) {
    ck_assert_uint_eq (found_in (CODED "eval " TEXT " ! entropy ! eval " TEXT " ! null"), again);
    ck_assert_uint_eq (count ("analyses"), 1);
  }
  ck_assert_uint_eq (found_in (CODED "eval " TEXT " ! null"), 1);
}
END_TEST

/* A text by another name; another condition; other threads; other labels: of these the original's answer is no part. */
START_TEST (no_part_of_it)
{
  g_autofree char *classify = make_pipeline (G_N_ELEMENTS (questions) - 1, "");

  eval_cache_limit = LIMIT;
  ck_assert_uint_eq (found_in (CODED "eval " TEXT " ! null"), 0);
  tiny_put_text ("copy.txt", TINY_TEXT);
  eval_threads = 3;
  ck_assert_uint_eq (found_in (CODED "eval text=@/copy.txt rows=2 require='nll>0' ! null"), 1);
  ck_assert_uint_eq (found_in (classify), 0);
  const double accuracy = eval_number (0, "accuracy_ref");
  for (guint8 label = 0; label < 5; label++) {
    put_labels (label);
    ck_assert_uint_eq (found_in (classify), 1);
    if (eval_number (0, "accuracy_ref") != accuracy)
      return;
  }
  ck_abort_msg ("the label of an image is of no use to the accuracy");
}
END_TEST

/* The original is another file than what is judged. */
START_TEST (beside_a_written_file)
{
  eval_cache_limit = LIMIT;
  eval_run (TINY_LOAD " ! rtn bits=4 ! write location=@/w.h5");
  for (guint again = 0; again < 2; again++)
    ck_assert_uint_eq (found_in ("load location=@/w.h5 ! eval " TEXT " original=@/m.bin ! null"),
                       again);
  /* It is that of the stream, too, but as its own file is asked for, not known without one. */
  ck_assert_uint_eq (found_in (CODED "eval " TEXT " ! null"), 1);
  ck_assert_uint_eq (found_in ("load location=@/w.h5 ! eval " TEXT " ! null"), 0);
  ck_assert_uint_eq (count ("analyses"), 0);
}
END_TEST

/* --- never stale --------------------------------------------------------------------------------------------------- */

static const struct {
  guint question;
  const char *before, *after; /* options */
} changes[] = {
  { 0, "", "context=32" },     { 0, "", "stride=16" },
  { 0, "", "separator='\n'" }, { 0, "context=32", "context=16" },
  { 1, "", "context=16" },     { 5, "", "require='accuracy>=0' image-scale=1/127" },
};

START_TEST (changed_options)
{
  g_autofree char *before = make_pipeline (changes[_i].question, changes[_i].before);
  g_autofree char *after = make_pipeline (changes[_i].question, changes[_i].after);

  eval_cache_limit = LIMIT;
  if (strstr (changes[_i].after, "image-scale")) { /* given once only */
    char *twice = strstr (after, "image-scale=1/255");
    memset (twice, ' ', strlen ("image-scale=1/255"));
  }
  ck_assert_uint_eq (found_in (before), 0);
  ck_assert_uint_eq (found_in (after), 0);
  ck_assert_uint_eq (found_in (before), 1);
  ck_assert_uint_eq (found_in (after), 1);
}
END_TEST

/* A word of the text or of the tasks, which answer is right, a weight in the middle of the model, a piece of the tokenizer. */
START_TEST (changed_files)
{
  static const char both[] = CODED "eval " TEXT " " TASKS " ! null";
  g_autoptr (GBytes) model = tiny_lm_model (1), tokenizer = tiny_lm_tokenizer ();
  g_autofree guint8 *copy = g_memdup2 (g_bytes_get_data (model, NULL), g_bytes_get_size (model));
  gsize n;
  g_autofree guint8 *pieces =
      g_memdup2 (g_bytes_get_data (tokenizer, &n), g_bytes_get_size (tokenizer));

  eval_cache_limit = LIMIT;
  ck_assert_uint_eq (found_in (both), 0);
  tiny_put_text ("text.txt", TINY_TEXT "and the wind was still.");
  ck_assert_uint_eq (found_in (both), 1);
  g_autofree char *other = g_strdup (tasks);
  strstr (other, "\"answer\": 1")[strlen ("\"answer\": ")] = '0';
  tiny_put_text ("tasks.jsonl", other);
  ck_assert_uint_eq (found_in (both), 1);
  copy[g_bytes_get_size (model) / 2 + 1] ^= 1;
  g_free (put_file ("m.bin", copy, g_bytes_get_size (model)));
  ck_assert_uint_eq (found_in (both), 0);
  ck_assert_uint_eq (found_in (both), 2);
  memcpy (memmem (pieces, n, " the", 4), " tha", 4);
  g_free (put_file ("t.bin", pieces, n));
  ck_assert_uint_eq (found_in (both), 0);
}
END_TEST

/* Tokens that run at once, as the memory allows, are part of it: where they cut the text otherwise, it is another analysis. */
START_TEST (another_cut)
{
  static const struct {
    gsize a, b;
    gboolean same;
  } cases[] = { { 100, 100, TRUE }, { 100, 0, FALSE }, { 9, 1, TRUE },
                { 20, 29, TRUE },   { 29, 30, FALSE }, { 40, 1 << 20, TRUE } };
  guint32 tokens[40] = { 0 };
  gsize starts[] = { 0, 10, 20, 30, 40 };
  const AfpLmText text = { tokens, tokens, starts, 4 };
  const EvalLanguage language = { .context = 10 };
  g_autoptr (AfpElement) element = afp_registry_make (afp_registry_get_default (), "eval", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (AfpAnalysis) a = afp_analysis_new (element, "states"),
                            b = afp_analysis_new (element, "states");
    eval_language_add_to (&language, &text, cases[i].a, a);
    eval_language_add_to (&language, &text, cases[i].b, b);
    ck_assert_msg ((strcmp (afp_analysis_get_key (a), afp_analysis_get_key (b)) == 0) ==
                       cases[i].same,
                   "%u", i);
  }
}
END_TEST

/* What is damaged is done again, and kept again. */
START_TEST (damaged)
{
  g_autofree char *text = make_pipeline (kinds[_i / 3], "");
  const guint analyses = questions[kinds[_i / 3]].analyses;
  gsize n;

  eval_cache_limit = LIMIT;
  ck_assert_uint_eq (found_in (text), 0);
  g_autoptr (GPtrArray) paths = list_kept ();
  for (guint i = 0; i < paths->len; i++) {
    g_autofree char *bytes = NULL;
    ck_assert (g_file_get_contents (paths->pdata[i], &bytes, &n, NULL));
    ck_assert_uint_gt (n, AFP_STORE_HEADER);
    if (_i % 3 == 0)
      bytes[n - 3] ^= 64;
    ck_assert (g_file_set_contents (paths->pdata[i], bytes,
                                    (gssize) (_i % 3 == 1 ? n - 4
                                              : _i % 3    ? 0
                                                          : n),
                                    NULL));
  }
  ck_assert_uint_eq (found_in (text), 0);
  ck_assert_uint_eq (found_in (text), analyses);
}
END_TEST

/* Whole, but of another size: not what was kept. */
START_TEST (of_another_size)
{
  g_autofree char *text = make_pipeline (kinds[_i / 2], ""), *folder = in_folder ("kept");
  g_autoptr (GPtrArray) pieces = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  eval_cache_limit = LIMIT;
  ck_assert_uint_eq (found_in (text), 0);
  g_autoptr (GPtrArray) paths = list_kept ();
  g_autoptr (AfpStore) store = afp_store_new (folder, LIMIT);
  for (guint i = 0; i < paths->len; i++) {
    g_autofree char *key = g_path_get_basename (paths->pdata[i]);
    g_autoptr (GBytes) old = afp_store_get (store, key);
    const gsize n = g_bytes_get_size (old);
    g_ptr_array_set_size (pieces, 0);
    g_ptr_array_add (pieces, g_bytes_new_from_bytes (old, 0, _i % 2 ? n : n - 4));
    if (_i % 2)
      g_ptr_array_add (pieces, g_bytes_new_static ("\0\0\0", 4));
    afp_store_put (store, key, pieces);
  }
  g_autofree char *expected = eval_metrics_text (0);
  eval_run (text);
  g_autofree char *metrics = eval_metrics_text (0);
  ck_assert_str_eq (metrics, expected);
  ck_assert_ptr_null (strstr (eval_said->str, KNOWN));
}
END_TEST

/* --- nothing is kept ----------------------------------------------------------------------------------------------- */

/* What does not fit is not even looked for; the small one is. */
START_TEST (limit_reached)
{
  eval_cache_limit = AFP_STORE_HEADER + 1000;
  for (guint again = 0; again < 2; again++) {
    ck_assert_uint_eq (found_in (CODED "eval " TEXT " ! null"), 0);
    ck_assert_uint_eq (count ("analyses"), 0);
  }
  ck_assert_uint_eq (found_in (TINY_LOAD " ! eval " TEXT " " TASKS " ! null"), 0);
  ck_assert_uint_eq (count ("analyses"), 1);
  ck_assert_uint_eq (found_in (TINY_LOAD " ! eval " TEXT " " TASKS " ! null"), 1);
}
END_TEST

/* No folder: a warning, once, and the same figures. */
START_TEST (unwritable)
{
  eval_cache_limit = LIMIT;
  tiny_put_text ("kept", "no folder");
  for (guint again = 0; again < 2; again++) {
    ck_assert_uint_eq (found_in (TINY_LOAD " ! eval " TEXT " " TASKS " ! null"), 0);
    const char *warning = strstr (eval_said->str, "cannot write '");
    ck_assert_ptr_nonnull (warning);
    ck_assert_ptr_null (strstr (warning + 1, "cannot write '"));
  }
}
END_TEST

/* Nor a place for temporary files. */
START_TEST (no_temporary_folder)
{
  eval_cache_limit = LIMIT;
  g_setenv ("TMPDIR", "/no/such/folder", TRUE);
  for (guint again = 0; again < 2; again++)
    ck_assert_uint_eq (found_in (CODED "eval " TEXT " ! null"), 0);
  g_unsetenv ("TMPDIR");
  ck_assert_uint_eq (found_in (CODED "eval " TEXT " ! null"), 0);
  ck_assert_uint_eq (found_in (CODED "eval " TEXT " ! null"), 1);
}
END_TEST

static void
cancel_at_once (AfpMessage *message, gpointer user_data)
{
  if (afp_message_get_message_type (message) == AFP_MESSAGE_PROGRESS &&
      strstr (afp_message_get_text (message), "runs the model"))
    afp_pipeline_cancel (user_data);
}

START_TEST (cancelled)
{
  eval_cache_limit = LIMIT;
  eval_watch = cancel_at_once;
  eval_refused (TINY_LOAD " ! eval " TEXT " ! null", AFP_ERROR_CANCELLED, "cancelled");
  eval_watch = NULL;
  g_autoptr (GPtrArray) kept = list_kept ();
  ck_assert_uint_eq (kept->len, 0);
  ck_assert_uint_eq (found_in (TINY_LOAD " ! eval " TEXT " ! null"), 0);
}
END_TEST

static TCase *
good (void)
{
  TCase *tcase = tcase_create ("good");

  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_loop_test (tcase, asked_once, 0, G_N_ELEMENTS (questions));
  tcase_add_test (tcase, other_chains);
  tcase_add_test (tcase, places_of_a_chain);
  tcase_add_test (tcase, no_part_of_it);
  tcase_add_test (tcase, beside_a_written_file);
  return tcase;
}

static TCase *
bad (void)
{
  TCase *tcase = tcase_create ("bad");

  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_loop_test (tcase, changed_options, 0, G_N_ELEMENTS (changes));
  tcase_add_test (tcase, changed_files);
  tcase_add_test (tcase, another_cut);
  tcase_add_loop_test (tcase, damaged, 0, 3 * G_N_ELEMENTS (kinds));
  tcase_add_loop_test (tcase, of_another_size, 0, 2 * G_N_ELEMENTS (kinds));
  tcase_add_test (tcase, limit_reached);
  tcase_add_test (tcase, unwritable);
  tcase_add_test (tcase, no_temporary_folder);
  tcase_add_test (tcase, cancelled);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { good, bad };

  return run_suite ("eval-recall", cases, G_N_ELEMENTS (cases));
}
