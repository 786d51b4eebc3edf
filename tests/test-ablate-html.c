/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The report of a study as HTML, its pictures, and what they take from records. test-ablate-html --make FILE writes the sample. */
#include "core-test.h"

#include "ablate-figures.h"
#include "ablate-html.h"

#include <math.h>
#include <stdio.h>

#define BITS "bits_per_weight"

/* --- records ------------------------------------------------------------------------------------------------------ */

/* Also outside of a test: --make. */
static JsonNode *
parse (const char *text)
{
  GError *error = NULL;
  JsonNode *node = json_from_string (text, &error);

  if (!node)
    g_error ("%s: %s", text, error ? error->message : "");
  return node;
}

static const char sample_study[] =
    "{\"study\": \"load location=m ! permute(seedlm, vptq) ! eval ! null\\n# <b>\", \"versions\": \"afpipe 0.1\","
    " \"verdict\": [\"At 2 b/w seedlm ! vptq wins by 0.4 dB & more.\", {\"text\": \"It is < noise.\"}, null, 7]}";

static const char sample_records[] =
    "["
    "{\"run\":0,\"status\":\"ok\",\"chain\":\"\",\"bits_per_weight\":16,\"nmse\":0,\"sqnr_db\":null,\"marginal\":null,"
    " \"metrics\":{\"nll\":1.25,\"accuracy\":0.9}},"
    "{\"run\":1,\"status\":\"ok\",\"chain\":\"seedlm C=8\",\"choices\":{\"C\":8,\"repeat\":1},\"bits_per_weight\":4.0,"
    " \"file_bytes\":1048576,\"nmse\":0.01,\"metrics\":{\"nll\":1.3,\"perplexity\":3.67,\"accuracy\":0.88},"
    " \"marginal\":{\"bits_per_weight\":-12,\"nmse\":0.01,\"nll\":0.05,\"accuracy\":-0.02},\"pareto\":{\"nmse\":true,\"nll\":false},"
    " \"command\":\"afpipe-launch \\\"synth ! seedlm C=8 ! eval ! null\\\" --set 'a<b'\","
    " \"tensors\":[{\"name\":\"a\",\"nmse\":0.01},{\"name\":\"b<i>\",\"nmse\":0.0001},{\"name\":\"c\",\"nmse\":null}]},"
    "{\"run\":2,\"status\":\"ok\",\"chain\":\"seedlm C=8 ! vptq k=16\",\"bits_per_weight\":2.1,\"nmse\":0.08,\"sqnr_db\":10.97,"
    " \"metrics\":{\"nll\":1.6,\"perplexity\":4.95,\"accuracy\":0.7},"
    " \"marginal\":{\"bits_per_weight\":-1.9,\"nmse\":0.07,\"nll\":0.3,\"accuracy\":-0.18},\"command\":\"x\","
    " \"tensors\":[{\"name\":\"a\",\"nmse\":0.08}]},"
    "{\"run\":3,\"status\":\"ok\",\"chain\":\"vptq k=16 ! seedlm\",\"bits_per_weight\":2.2,\"nmse\":0.09,"
    " \"metrics\":{\"nll\":1.7,\"perplexity\":5.47,\"accuracy\":0.66},\"marginal\":{\"bits_per_weight\":-0.1,\"nmse\":-0.001}},"
    "{\"run\":4,\"status\":\"ok\",\"chain\":\"rtn bits=2\",\"bits_per_weight\":2.25,\"nmse\":0.14,\"metrics\":{\"nll\":2.4,\"perplexity\":11.0}},"
    "{\"run\":5,\"status\":\"failed\",\"chain\":\"hyper U=0 & more\",\"error\":{\"kind\":\"property\",\"message\":\"U=0 is < 1\"},"
    " \"bits_per_weight\":1,\"nmse\":0.001,\"command\":\"afpipe-launch fails\"}"
    "]";

static char *
make_html (const char *study, const char *records)
{
  g_autoptr (JsonNode) s = study ? parse (study) : NULL;
  g_autoptr (JsonNode) r = parse (records);

  return afp_ablate_html (s, json_node_get_array (r));
}

static AblateRuns *
make_runs (JsonNode **node, const char *records)
{
  *node = parse (records);
  return ablate_runs_new (json_node_get_array (*node));
}

/* --- well-formed? ------------------------------------------------------------------------------------------------- */

typedef struct {
  GHashTable *ids, *links;
  guint points, rows, tables;
} Seen;

static void
see_element (GMarkupParseContext *context, const char *name, const char **names,
             const char **values, gpointer user_data, GError **error)
{
  Seen *seen = user_data;

  seen->rows += strcmp (name, "tr") == 0;
  seen->tables += strcmp (name, "table") == 0;
  seen->points += strcmp (name, "path") == 0;
  for (; *names; names++, values++) {
    ck_assert_msg (!g_str_has_prefix (*names, "on"), "%s", *names);
    ck_assert_msg (strcmp (*names, "src") != 0 && strcmp (*names, "action") != 0, "%s", *names);
    if (strcmp (*names, "id") == 0)
      ck_assert_msg (g_hash_table_add (seen->ids, g_strdup (*values)), "id %s twice", *values);
    if (strcmp (*names, "href") == 0) {
      ck_assert_msg (**values == '#', "%s leads out of the file", *values);
      g_hash_table_add (seen->links, g_strdup (*values + 1));
    }
  }
}

/* Every element is closed, every id is there once, every link leads to one. */
static Seen
assert_whole (const char *text)
{
  static const GMarkupParser parser = { .start_element = see_element };
  Seen seen = { g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
                g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL), 0, 0, 0 };
  GMarkupParseContext *context = g_markup_parse_context_new (&parser, 0, &seen, NULL);
  GError *error = NULL;
  GHashTableIter iter;
  gpointer link;

  ck_assert_msg (g_markup_parse_context_parse (context, text, -1, &error) &&
                     g_markup_parse_context_end_parse (context, &error),
                 "%s", error ? error->message : "");
  g_markup_parse_context_free (context);
  g_hash_table_iter_init (&iter, seen.links);
  while (g_hash_table_iter_next (&iter, &link, NULL))
    ck_assert_msg (g_hash_table_contains (seen.ids, link), "no id %s", (char *) link);
  g_hash_table_unref (seen.ids);
  g_hash_table_unref (seen.links);
  return seen;
}

#define assert_has(text, part) ck_assert_msg (strstr (text, part) != NULL, "no '%s'", part)
#define assert_lacks(text, part) ck_assert_msg (strstr (text, part) == NULL, "'%s'", part)

/* --- the page ----------------------------------------------------------------------------------------------------- */

START_TEST (page)
{
  static const char *const parts[] = {
    "At 2 b/w seedlm ! vptq wins by 0.4 dB &amp; more.",
    "It is &lt; noise.",
    "id=\"verdict\"",
    "id=\"sqnr_db\"",
    "id=\"nll\"",
    "id=\"perplexity\"",
    "id=\"accuracy\"",
    "id=\"stages\"",
    "id=\"orders\"",
    "id=\"errors\"",
    "id=\"failed\"",
    "id=\"runs\"",
    "6 runs, 1 failed; afpipe 0.1",
    "# &lt;b&gt;",
    "--set &#39;a&lt;b&#39;</code>",
    "b&lt;i&gt;",
    "U=0 is &lt; 1",
    "bound of normal numbers",
    "Pareto front",
    "C=8 repeat=1",
    "About 2 b/w",
    "Behind others: NMSE added",
    "As the first stage: bits per weight saved",
    "class=\"copy tool\"",
    "class=\"original\"",
    "prefers-color-scheme:dark",
    "@media print",
    "run 2: seedlm C=8 ! vptq k=16\n2.1 bits per weight",
    ">1048576<",
  };
  g_autofree char *html = make_html (sample_study, sample_records);
  const Seen seen = assert_whole (html);

  for (gsize i = 0; i < G_N_ELEMENTS (parts); i++)
    assert_has (html, parts[i]);
  assert_lacks (html, "id=\"kl_mean\"");
  assert_lacks (html, "http-equiv");
  assert_lacks (html, "https:");
  assert_lacks (html, "nan");
  ck_assert_uint_ge (seen.tables, 6);
  ck_assert_uint_ge (seen.points, 4 + 4 + 3 + 5);
}
END_TEST

/* The locale has no say. */
START_TEST (pages_of_little)
{
  static const char *const records[] = {
    "[]",
    "[{}]",
    "[null, 3, \"x\", [], {\"run\":null,\"status\":7,\"chain\":{},\"metrics\":[],\"tensors\":{},\"choices\":3}]",
    "[{\"run\":0,\"status\":\"failed\"}]",
    "[{\"run\":0,\"status\":\"failed\",\"error\":\"text\",\"command\":5,\"chain\":\"a\"}]",
    "[{\"run\":7,\"status\":\"ok\",\"chain\":\"a\",\"bits_per_weight\":2,\"nmse\":0.1}]",
    "[{\"run\":7,\"status\":\"ok\",\"chain\":\"a\",\"bits_per_weight\":0,\"nmse\":0,\"metrics\":null,\"marginal\":{}}]",
    "[{\"run\":7,\"status\":\"ok\",\"chain\":\" ! !  \",\"bits_per_weight\":1e300,\"nmse\":1e-300,\"metrics\":{\"perplexity\":-1}}]",
    "[{\"run\":1,\"chain\":\"a\",\"bits_per_weight\":1,\"nmse\":1e-9,\"metrics\":{\"kl_mean\":1e-7}},{\"run\":2,\"chain\":\"b ! a\",\"bits_per_weight\":1,\"nmse\":9,\"metrics\":{\"kl_mean\":1e7},\"tensors\":[{\"name\":\"a\",\"nmse\":0}, 4]}]",
  };
  g_autofree char *html = make_html (
      _i % 2
          ? NULL
          : "{\"verdict\": {}, \"study\": 4, \"finished\": false, \"versions\": {\"afpipe\": \"7.1\"}}",
      records[_i]);

  assert_whole (html);
  assert_lacks (html, "nan");
  assert_lacks (html, "inf\"");
  if (_i == 0)
    assert_has (html, "No run has ended as yet.");
  if (_i % 2 == 0)
    assert_has (html, "; the study has not ended; afpipe 7.1");
  if (_i == 3)
    assert_lacks (html, "id=\"runs\"");
}
END_TEST

/* A thousand runs, each with a hundred tensors: the page stays readable, and some megabytes. */
START_TEST (page_of_many)
{
  g_autoptr (GString) records = g_string_new ("[");
  static const char *const stages[] = { "seedlm", "vptq", "hyper", "rtn" };

  for (guint i = 0; i < 1000; i++) {
    g_string_append_printf (
        records,
        "%s{\"run\":%u,\"status\":\"ok\",\"chain\":\"%s k=%u ! %s\",\"bits_per_weight\":%u.%02u,"
        "\"nmse\":0.%03u,\"command\":\"afpipe-launch run %u\",\"marginal\":{\"bits_per_weight\":-1},\"tensors\":[",
        i ? "," : "", i, stages[i % 4], i, stages[i / 4 % 4], 1 + i % 4, i % 100, 1 + i % 997, i);
    for (guint t = 0; i < 30 && t < 250; t++)
      g_string_append_printf (records, "%s{\"name\":\"layer.%u\",\"nmse\":0.0%u}", t ? "," : "", t,
                              1 + t);
    g_string_append (records, "]}");
  }
  g_string_append_c (records, ']');
  g_autofree char *html = make_html (NULL, records->str);
  assert_whole (html);
  ck_assert_uint_lt (strlen (html), 1500000);
  assert_has (html, "id=\"run-999\"");
  assert_has (html, "50 more are left out");
}
END_TEST

/* --- a picture alone ---------------------------------------------------------------------------------------------- */

START_TEST (picture)
{
  g_autoptr (JsonNode) records = parse (sample_records);
  GError *error = NULL;
  g_autofree char *svg =
      afp_ablate_plot_svg (NULL, json_node_get_array (records), NULL, NULL, &error);

  ck_assert_msg (svg != NULL, "%s", error ? error->message : "");
  assert_whole (svg);
  ck_assert (g_str_has_prefix (svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox="));
  assert_has (svg, "<style>");
  assert_has (svg, "class=\"bound\"");
  assert_has (svg, "<title>run 3: vptq k=16 ! seedlm");
  assert_lacks (svg, "<a ");
  assert_lacks (svg, "hyper");
  g_autofree char *other =
      afp_ablate_plot_svg (NULL, json_node_get_array (records), "bytes", "perplexity", &error);
  ck_assert_ptr_null (other);
  assert_error (error, AFP_ERROR_PROPERTY, "none of the 6 runs has both bytes and perplexity",
                "eval");
  g_autofree char *log =
      afp_ablate_plot_svg (NULL, json_node_get_array (records), NULL, "perplexity", &error);
  assert_whole (log);
  assert_has (log, ">5</text>");
  assert_lacks (log, "class=\"bound\"");
}
END_TEST

START_TEST (pictures_that_are_refused)
{
  static const struct {
    const char *x, *y, *one, *two;
  } cases[] = {
    { "bits", NULL, "nothing to draw is called 'bits'", "bits_per_weight, file_bits_per_weight" },
    { NULL, "loss", "nothing to draw is called 'loss'", "perplexity" },
    { NULL, "kl_mean", "none of the 6 runs has both bits_per_weight and kl_mean",
      "nothing to draw" },
    { "file_bytes", "seconds", "none of the 6 runs", "file_bytes and seconds" },
  };
  g_autoptr (JsonNode) records = parse (sample_records);
  GError *error = NULL;

  ck_assert_ptr_null (
      afp_ablate_plot_svg (NULL, json_node_get_array (records), cases[_i].x, cases[_i].y, &error));
  assert_error (error, AFP_ERROR_PROPERTY, cases[_i].one, cases[_i].two);
}
END_TEST

START_TEST (picture_of_no_records)
{
  GError *error = NULL;

  ck_assert_ptr_null (afp_ablate_plot_svg (NULL, NULL, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_PROPERTY, "none of the 0 runs");
  ck_assert_ptr_nonnull (afp_ablate_plot_list_axes ()[0]);
}
END_TEST

/* --- figures ------------------------------------------------------------------------------------------------------ */

START_TEST (fronts)
{
  g_autoptr (JsonNode) node = NULL;
  g_autoptr (AblateRuns) runs = make_runs (
      &node,
      "[{\"chain\":\"\",\"bits_per_weight\":1,\"nmse\":0.0001},{\"chain\":\"a\",\"bits_per_weight\":3,\"nmse\":0.1},{\"chain\":\"a\",\"bits_per_weight\":2,\"nmse\":0.2},{\"chain\":\"a\",\"bits_per_weight\":2,\"nmse\":0.1},"
      "{\"chain\":\"a\",\"bits_per_weight\":4,\"nmse\":0.1},{\"chain\":\"a\",\"bits_per_weight\":4,\"nmse\":0.01},{\"chain\":\"a\",\"bits_per_weight\":1,\"nmse\":null},"
      "{\"chain\":\"a\",\"bits_per_weight\":1,\"nmse\":0.001,\"status\":\"failed\"}]");
  g_autoptr (GArray) front =
      ablate_runs_find_front (runs, ablate_axis_find (BITS), ablate_axis_find ("nmse"));
  g_autoptr (GArray) same =
      ablate_runs_find_front (runs, ablate_axis_find (BITS), ablate_axis_find ("sqnr_db"));

  ck_assert_uint_eq (front->len, 2);
  ck_assert_uint_eq (g_array_index (front, guint, 0), 3);
  ck_assert_uint_eq (g_array_index (front, guint, 1), 5);
  ck_assert_mem_eq (front->data, same->data, 2 * sizeof (guint));
  ck_assert_uint_eq (same->len, 2);
  ck_assert_uint_eq (runs->n_failed, 1);
}
END_TEST

START_TEST (numbers_of_runs)
{
  g_autoptr (JsonNode) node = NULL;
  g_autoptr (AblateRuns) runs = make_runs (&node, sample_records);

  ck_assert (isnan (ablate_run_number (ablate_runs_get (runs, 0), "sqnr_db"))); /* of no error */
  ck_assert (fabs (ablate_run_number (ablate_runs_get (runs, 1), "sqnr_db") - 20) < 1e-9);
  ck_assert (ablate_run_number (ablate_runs_get (runs, 2), "accuracy") == 0.7);
  ck_assert (isnan (ablate_run_number (ablate_runs_get (runs, 5), "nmse"))); /* failed */
  ck_assert (isnan (ablate_run_number (ablate_runs_get (runs, 1), "chain")));
  ck_assert_str_eq (ablate_runs_get (runs, 2)->shape, "seedlm ! vptq");
  ck_assert_str_eq (ablate_runs_get (runs, 0)->shape, "");
  ck_assert_uint_eq (runs->shapes->len, 6);
  ck_assert_str_eq (ablate_runs_get_judge (runs)->key, "nll");
  ck_assert_ptr_null (ablate_runs_find (runs, 77));
  ck_assert (ablate_runs_find (runs, 4) == ablate_runs_get (runs, 4));
  ck_assert_ptr_null (ablate_axis_find ("none"));
}
END_TEST

START_TEST (texts)
{
  g_autoptr (GString) out = g_string_new (NULL);

  ablate_put_text (out, "a<b>&\"'\001\n");
  ablate_put_text (out, NULL);
  ck_assert_str_eq (out->str, "a&lt;b&gt;&amp;&quot;&#39;\xef\xbf\xbd\n");
  g_string_truncate (out, 0);
  ablate_put_number (out, 123456789, 4);
  g_string_append_c (out, ' ');
  ablate_put_number (out, 0.012345, 3);
  g_string_append_c (out, ' ');
  ablate_put_number (out, NAN, 3);
  ablate_put_number (out, -0.0, 3);
  ck_assert_str_eq (out->str, "123456789 0.0123 –0");
}
END_TEST

static TCase *
page_case (void)
{
  TCase *tcase = tcase_create ("page");

  tcase_add_test (tcase, page);
  tcase_add_loop_test (tcase, pages_of_little, 0, 9);
  tcase_add_test (tcase, page_of_many);
  return tcase;
}

static TCase *
picture_case (void)
{
  TCase *tcase = tcase_create ("picture");

  tcase_add_test (tcase, picture);
  tcase_add_loop_test (tcase, pictures_that_are_refused, 0, 4);
  tcase_add_test (tcase, picture_of_no_records);
  tcase_add_test (tcase, fronts);
  tcase_add_test (tcase, numbers_of_runs);
  tcase_add_test (tcase, texts);
  return tcase;
}

int
main (int argc, char **argv)
{
  static TCase *(*const cases[]) (void) = { page_case, picture_case };

  if (argc == 3 && strcmp (argv[1], "--make") == 0) {
    g_autofree char *html = make_html (sample_study, sample_records);
    return g_file_set_contents (argv[2], html, -1, NULL) ? 0 : 1;
  }
  return run_suite ("ablate-html", cases, G_N_ELEMENTS (cases));
}
