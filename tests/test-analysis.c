/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include "afp-store.h"

/* --- an element that declares one, as a plugin from outside would -------------------------------------------------- */

typedef struct {
  AfpTransform parent_instance;
  char *salt; /* part of what it depends on */
} TestRanges;
typedef AfpTransformClass TestRangesClass;
GType test_ranges_get_type (void);
G_DEFINE_TYPE (TestRanges, test_ranges, AFP_TYPE_TRANSFORM)

static AfpAnalysisInfo infos[] = {
  { "ranges", 1, "The largest number of each tensor", "the model, salt=" },
  { "means", 1, "Nothing that anybody asks for", "nothing" },
};
static const AfpProperty properties[] = {
  AFP_PROP_STRING ("salt", NULL, 0, TestRanges, salt, NULL, "Another one, another key"),
};
static guint n_found_out;
static gsize n_bytes; /* of what it finds out */
static GBytes *last;  /* what it had in the last run */
static guint can_keep;

static gboolean
ranges_prepare (AfpElement *element, AfpRun *run, GError **error)
{
  g_autoptr (GPtrArray) sources = afp_element_list_sources (element);
  g_autofree char *model = afp_source_digest (sources->pdata[0], afp_run_get_pool (run), error);

  if (!model)
    return FALSE;
  g_autoptr (AfpAnalysis) analysis = afp_analysis_new (element, "ranges");
  afp_analysis_add_text (analysis, model);
  afp_analysis_add_text (analysis, ((TestRanges *) element)->salt);
  can_keep = afp_run_can_keep_analysis (run, n_bytes);
  g_clear_pointer (&last, g_bytes_unref);
  last = afp_run_find_analysis (run, analysis);
  if (last)
    return TRUE;
  n_found_out++;
  last = g_bytes_new_take (g_strnfill (n_bytes, (char) ('a' + n_found_out)), n_bytes);
  afp_run_keep_analysis (run, analysis, last);
  return TRUE;
}

static AfpTensor *
ranges_process (AfpTransform *transform, AfpTensor *tensor, GError **error)
{
  return afp_tensor_ref (tensor);
}

static AfpTensor *
ranges_plan (AfpTransform *transform, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  return afp_tensor_ref (tensor);
}

static void
test_ranges_class_init (TestRangesClass *klass)
{
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);

  afp_element_class_add_properties (element_class, properties, G_N_ELEMENTS (properties), 0);
  afp_element_class_set_analyses (element_class, infos, G_N_ELEMENTS (infos));
  element_class->prepare = ranges_prepare;
  klass->process = ranges_process;
  klass->plan_tensor = ranges_plan;
}

static void
test_ranges_init (TestRanges *self)
{
}

static char *folder;

static void
set_up (void)
{
  folder = g_dir_make_tmp ("afp-analysis-XXXXXX", NULL);
  n_found_out = 0;
  n_bytes = 100;
  infos[0].version = 1;
}

static void
tear_down (void)
{
  g_autofree char *command = g_strdup_printf ("rm -rf '%s'", folder);
  ck_assert_int_eq (system (command), 0);
  g_clear_pointer (&folder, g_free);
  g_clear_pointer (&last, g_bytes_unref);
}

/* --- keys ---------------------------------------------------------------------------------------------------------- */

static AfpElement *
make (const char *name)
{
  AfpElement *element = afp_registry_make (afp_registry_get_default (), name, NULL);
  ck_assert_ptr_nonnull (element);
  return element;
}

/* Of the pieces; NULL: no text. (transfer full) */
static char *
key_of (const char *factory, const char *name, guint n, const char *const *pieces)
{
  g_autoptr (AfpElement) element = make (factory);
  g_autoptr (AfpAnalysis) analysis = afp_analysis_new (element, name);
  g_autoptr (AfpAnalysis) same = afp_analysis_ref (analysis);

  for (guint i = 0; i < n; i++)
    afp_analysis_add_text (same, pieces[i]);
  return g_strdup (afp_analysis_get_key (analysis));
}

START_TEST (keys)
{
  static const struct {
    guint n;
    const char *pieces[3];
  } cases[] = { { 0, { NULL } },       { 1, { NULL } },          { 1, { "" } },
                { 2, { "", "" } },     { 1, { "ab" } },          { 2, { "a", "b" } },
                { 2, { "", "ab" } },   { 2, { "ab", "" } },      { 2, { "b", "a" } },
                { 2, { "ab", NULL } }, { 3, { "a", "b", "c" } }, { 2, { "a", "bc" } } };
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    char *key = key_of ("test-ranges", "ranges", cases[i].n, cases[i].pieces);
    g_autofree char *again = key_of ("test-ranges", "ranges", cases[i].n, cases[i].pieces);
    ck_assert_uint_eq (strlen (key), AFP_STORE_KEY);
    ck_assert_str_eq (key, again);
    ck_assert_msg (g_hash_table_add (seen, key), "case %u", i);
  }
  /* Another analysis, another element, another version. */
  ck_assert (g_hash_table_add (seen, key_of ("test-ranges", "means", 0, NULL)));
  ck_assert (g_hash_table_add (seen, key_of ("test-others", "ranges", 0, NULL)));
  infos[0].version = 2;
  ck_assert (g_hash_table_add (seen, key_of ("test-ranges", "ranges", 0, NULL)));
}
END_TEST

START_TEST (data_is_no_text)
{
  g_autoptr (AfpElement) element = make ("test-ranges");
  const char *const piece = "ab";
  g_autofree char *text = key_of ("test-ranges", "ranges", 1, &piece);

  for (gsize n = 0; n <= 3; n++) {
    g_autoptr (AfpAnalysis) analysis = afp_analysis_new (element, "ranges");
    afp_analysis_add_data (analysis, "ab", n);
    ck_assert_str_ne (afp_analysis_get_key (analysis), text);
  }
}
END_TEST

#define critical(pattern, statement)                                   \
  do {                                                                 \
    GLogLevelFlags fatal = g_log_set_always_fatal (G_LOG_FATAL_MASK);  \
    g_test_expect_message ("afpipe", G_LOG_LEVEL_CRITICAL, (pattern)); \
    statement;                                                         \
    g_test_assert_expected_messages ();                                \
    g_log_set_always_fatal (fatal);                                    \
  } while (0)

START_TEST (not_declared)
{
  g_autoptr (AfpElement) element = make ("test-ranges"), none = make ("f16");

  critical ("*TestRanges: the class declares no analysis 'range'*",
            ck_assert_ptr_null (afp_analysis_new (element, "range")));
  critical ("*the class declares no analysis 'ranges'*",
            ck_assert_ptr_null (afp_analysis_new (none, "ranges")));
}
END_TEST

START_TEST (complete)
{
  g_autoptr (AfpElement) element = make ("test-ranges");
  g_autoptr (AfpAnalysis) analysis = afp_analysis_new (element, "ranges");
  g_autofree char *key = g_strdup (afp_analysis_get_key (analysis));

  critical ("*complete*", afp_analysis_add_text (analysis, "more"));
  critical ("*complete*", afp_analysis_add_data (analysis, "more", 4));
  ck_assert_str_eq (afp_analysis_get_key (analysis), key);
}
END_TEST

/* --- runs ---------------------------------------------------------------------------------------------------------- */

static guint n_warnings;

static void
count_warnings (AfpMessage *message, gpointer user_data)
{
  n_warnings += afp_message_get_message_type (message) == AFP_MESSAGE_WARNING;
}

/* Runs it; how many analyses were found, of those that were looked for. */
static guint
run (const char *chain, const char *where, guint64 limit, guint *looked_for)
{
  g_autofree char *text = g_strdup_printf ("test-source ! %s ! test-sink", chain);
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, &error);

  ck_assert_msg (pipeline != NULL, "%s", error ? error->message : "?");
  afp_pipeline_set_cache (pipeline, where, limit);
  n_warnings = 0;
  afp_pipeline_set_handler (pipeline, count_warnings, NULL);
  ck_assert_msg (afp_pipeline_run (pipeline, &error), "%s", error ? error->message : "?");
  g_autoptr (JsonNode) node = afp_pipeline_get_report (pipeline, NULL);
  JsonObject *report = json_node_get_object (node);
  *looked_for = (guint) json_object_get_int_member (report, "analyses");
  return (guint) json_object_get_int_member (report, "analyses_cached");
}

static guint
found_in (const char *chain)
{
  guint looked_for;
  const guint found = run (chain, folder, 1 << 20, &looked_for);

  ck_assert_uint_ge (looked_for, found);
  ck_assert_uint_gt (looked_for, 0);
  ck_assert_uint_eq (can_keep, 1);
  return found;
}

START_TEST (found_again)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 1);
  g_autoptr (AfpTensor) other = test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 2);

  test_set_tensors (tensor, NULL);
  ck_assert_uint_eq (found_in ("test-ranges"), 0);
  g_autoptr (GBytes) first = g_bytes_ref (last);
  ck_assert_uint_eq (found_in ("test-ranges ! test-q bits=2"), 1);
  ck_assert (g_bytes_equal (first, last));
  ck_assert (afp_mapped_contains (last));
  ck_assert_uint_eq ((guintptr) g_bytes_get_data (last, NULL) % 64, 0);
  ck_assert_uint_eq (found_in ("test-ranges salt=x"), 0);
  test_set_tensors (other, NULL);
  ck_assert_uint_eq (found_in ("test-ranges"), 0);
  ck_assert_uint_eq (found_in ("test-ranges ! test-ranges salt=y"), 1);
  ck_assert_uint_eq (found_in ("test-ranges ! test-ranges salt=y"), 2);
  infos[0].version = 2;
  ck_assert_uint_eq (found_in ("test-ranges"), 0);
  ck_assert_uint_eq (n_found_out, 5);
}
END_TEST

/* Cut short, or changed: it is found out again, and kept. */
START_TEST (damaged)
{
  static const char *const ways[] = {
    "truncate -s -1 \"$f\"", ": >\"$f\"",
    "printf x | dd of=\"$f\" bs=1 seek=150 conv=notrunc status=none",
    "printf x | dd of=\"$f\" bs=1 seek=9 conv=notrunc status=none"
  };
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 1);
  g_autofree char *command = g_strdup_printf ("for f in '%s'/*/*; do %s; done", folder, ways[_i]);

  test_set_tensors (tensor, NULL);
  ck_assert_uint_eq (found_in ("test-ranges"), 0);
  ck_assert_int_eq (system (command), 0);
  ck_assert_uint_eq (found_in ("test-ranges"), 0);
  ck_assert_uint_eq (found_in ("test-ranges"), 1);
  ck_assert_uint_eq (n_found_out, 2);
}
END_TEST

START_TEST (nowhere_to_keep_it)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 1);
  guint looked_for;

  test_set_tensors (tensor, NULL);
  for (guint again = 0; again < 2; again++) {
    ck_assert_uint_eq (run ("test-ranges", NULL, 0, &looked_for), 0);
    ck_assert_uint_eq (looked_for, 0);
    ck_assert_uint_eq (can_keep, 0);
  }
  for (guint again = 0; again < 2; again++) {
    ck_assert_uint_eq (run ("test-ranges", folder, AFP_STORE_HEADER + 99, &looked_for), 0);
    ck_assert_uint_eq (can_keep, 0);
  }
  for (guint again = 0; again < 2; again++) {
    ck_assert_uint_eq (run ("test-ranges", "/dev/null/kept", 1 << 20, &looked_for), 0);
    ck_assert_uint_eq (n_warnings, 1);
  }
  ck_assert_uint_eq (n_found_out, 6);
  ck_assert_uint_eq (run ("test-ranges", folder, AFP_STORE_HEADER + 100, &looked_for), 0);
  ck_assert_uint_eq (can_keep, 1);
  ck_assert_uint_eq (run ("test-ranges", folder, AFP_STORE_HEADER + 100, &looked_for), 1);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("analysis");

  tcase_add_checked_fixture (tcase, set_up, tear_down);
  tcase_add_test (tcase, keys);
  tcase_add_test (tcase, data_is_no_text);
  tcase_add_test (tcase, not_declared);
  tcase_add_test (tcase, complete);
  tcase_add_test (tcase, found_again);
  tcase_add_loop_test (tcase, damaged, 0, 4);
  tcase_add_test (tcase, nowhere_to_keep_it);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  afp_registry_add_builtin ("test-ranges", test_ranges_get_type ());
  afp_registry_add_builtin ("test-others", test_ranges_get_type ());
  return run_suite ("analysis", cases, G_N_ELEMENTS (cases));
}
