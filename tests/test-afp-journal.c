/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/afp-journal.h"

static AfpSpec *
make_spec (const char *name, const char *alias_of)
{
  const guint64 shape[] = { 3, 5 };

  return afp_spec_new (name, AFP_DTYPE_F16, 2, shape, NULL, alias_of);
}

static GPtrArray *
make_plan (void)
{
  GPtrArray *planned = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_spec_unref);

  g_ptr_array_add (planned, make_spec ("a \"\n", NULL));
  g_ptr_array_add (planned, make_spec ("b", "a \"\n"));
  g_ptr_array_add (planned, make_spec ("c", NULL));
  return planned;
}

static char *
header_line (const char *text)
{
  g_autoptr (JsonNode) node = json_from_string (text, NULL);

  return afp_journal_format_header (node);
}

static char *
tensor_line (AfpSpec *spec)
{
  AfpFilePlane plane = {
    .role = "weight", .bits = 16, .offset = 64, .bytes = 30, .crc32 = 0xfedcba98
  };
  g_autofree char *recipe = g_strdup ("weight");
  g_autoptr (JsonNode) found = json_from_string ("{\"eval0\": {\"sums\": [\"1e-310\"]}}", NULL);
  const AfpJournalTensor tensor = { .spec = spec,
                                    .recipe = recipe,
                                    .planes = &plane,
                                    .n_planes = 1,
                                    .size = { .planes = 30, .padding = 2, .rows = 13, .total = 45 },
                                    .found = found };

  return afp_journal_format_tensor (&tensor);
}

/* The header and a line for each planned tensor. */
static GString *
make_text (GPtrArray *planned)
{
  g_autofree char *header = header_line ("{\"afpipe_journal\": 2, \"pipeline\": \"a ! b\"}");
  GString *text = g_string_new (header);

  for (guint i = 0; i < planned->len; i++) {
    g_autofree char *line = tensor_line (planned->pdata[i]);
    g_string_append (text, line);
  }
  return text;
}

static AfpJournal *
read_text (const char *text, gsize n, GPtrArray *planned)
{
  g_autofree char *path = put_file ("journal", text, n);
  AfpJournal *journal = afp_journal_read (path, planned, NULL);

  ck_assert_ptr_nonnull (journal);
  return journal;
}

START_TEST (lines)
{
  g_autoptr (AfpSpec) spec = make_spec ("fc", "other");

  assert_text (header_line ("{\"afpipe_journal\": 2, \"pipeline\": null}"),
               "{\"afpipe_journal\":2,\"pipeline\":null,\"check\":\"1f1cf8b0\"}\n");
  g_autofree char *line = tensor_line (spec);
  ck_assert (g_str_has_prefix (
      line,
      "{\"name\":\"fc\",\"dtype\":\"f16\",\"shape\":\"3x5\",\"view\":\"out:1\",\"alias_of\":\"other\","
      "\"recipe\":\"weight\",\"planes\":[{\"role\":\"weight\",\"bits\":16,\"offset\":64,\"bytes\":30,"
      "\"crc32\":4275878552}],\"padding\":2,\"rows\":13,\"found\":{\"eval0\":{\"sums\":[\"1e-310\"]}},"
      "\"check\":\""));
  ck_assert (g_str_has_suffix (line, "\"}\n"));
}
END_TEST

START_TEST (there_and_back)
{
  g_autoptr (GPtrArray) planned = make_plan ();
  g_autoptr (GString) text = make_text (planned);
  g_autoptr (AfpJournal) journal = read_text (text->str, text->len, planned);

  ck_assert_ptr_nonnull (journal->header);
  ck_assert_uint_eq (journal->tensors->len, 3);
  ck_assert_uint_eq (journal->n_lines, 3);
  ck_assert_uint_eq (g_array_index (journal->ends, guint64, 2), text->len);
  const AfpJournalTensor *tensor = journal->tensors->pdata[1];
  ck_assert_ptr_eq (tensor->spec, planned->pdata[1]);
  ck_assert_str_eq (tensor->recipe, "weight");
  ck_assert_str_eq (tensor->planes[0].role, "weight");
  ck_assert_uint_eq (tensor->planes[0].crc32, 0xfedcba98);
  ck_assert_uint_eq (tensor->planes[0].offset, 64);
  ck_assert_uint_eq (tensor->size.total, 45);
  assert_text (json_to_string (tensor->found, FALSE), "{\"eval0\":{\"sums\":[\"1e-310\"]}}");
  g_autofree char *again = afp_journal_format_tensor (tensor), *line = tensor_line (tensor->spec);
  ck_assert_str_eq (again, line);
}
END_TEST

START_TEST (a_result_ends_it)
{
  g_autoptr (GPtrArray) planned = make_plan ();
  g_autoptr (GString) text = make_text (planned);
  g_autoptr (JsonNode) node = json_from_string ("{\"inode\": 5}", NULL);
  g_autofree char *line = afp_journal_format_result (node);

  g_string_append (text, line);
  g_autoptr (AfpJournal) journal = read_text (text->str, text->len, planned);
  ck_assert_uint_eq (journal->tensors->len, 3);
  ck_assert (json_node_equal (journal->result, node));
}
END_TEST

START_TEST (nothing_there)
{
  g_autofree char *path = in_folder ("none");
  g_autoptr (AfpJournal) journal = afp_journal_read (path, NULL, NULL);

  ck_assert_ptr_nonnull (journal);
  ck_assert_ptr_null (journal->header);
  ck_assert_uint_eq (journal->n_lines, 0);
}
END_TEST

START_TEST (unreadable)
{
  GError *error = NULL;

  ck_assert_ptr_null (afp_journal_read (test_folder, NULL, &error));
  assert_error (error, AFP_ERROR_IO, "cannot read '", test_folder);
}
END_TEST

/* Wherever it is cut, what is whole is taken; wherever a byte changes, nothing from there on. */
START_TEST (cut_and_flipped_anywhere)
{
  g_autoptr (GPtrArray) planned = make_plan ();
  g_autoptr (GString) text = make_text (planned);

  for (gsize i = 0; i < text->len; i++) {
    guint before = 0;
    for (gsize k = 0; k < i; k++)
      before += text->str[k] == '\n';
    g_autoptr (AfpJournal) cut = read_text (text->str, i, planned);
    ck_assert_uint_eq (cut->tensors->len, before ? before - 1 : 0);
    ck_assert_int_eq (cut->header != NULL, before > 0);
    text->str[i] ^= 4;
    g_autoptr (AfpJournal) flipped = read_text (text->str, text->len, planned);
    text->str[i] ^= 4;
    ck_assert_uint_eq (flipped->tensors->len, before ? before - 1 : 0);
  }
}
END_TEST

/* Well checked, and nonsense: as from another version. */
START_TEST (nonsense)
{
  static const char *const texts[] = {
    "{\"name\":\"c\"}",
    "{\"name\":\"c\",\"dtype\":\"f16\",\"shape\":\"3x5\",\"view\":\"out:1\",\"recipe\":\"weight\",\"planes\":[]}",
    "{\"name\":\"c\",\"dtype\":\"f16\",\"shape\":\"3x5\",\"view\":\"out:1\",\"recipe\":\"weight\",\"planes\":[7],\"padding\":0,\"rows\":0}",
    "{\"name\":\"c\",\"dtype\":\"f16\",\"shape\":\"3x5\",\"view\":\"out:1\",\"recipe\":\"weight\",\"planes\":[{\"role\":\"x\",\"bits\":8,"
    "\"offset\":-64,\"bytes\":1,\"crc32\":1}],\"padding\":0,\"rows\":0}",
    "{\"name\":\"c\",\"dtype\":\"f16\",\"shape\":\"3x5\",\"view\":\"out:1\",\"recipe\":\"weight\",\"planes\":[{\"role\":\"x\",\"bits\":8,"
    "\"offset\":64,\"bytes\":1,\"crc32\":4294967296}],\"padding\":0,\"rows\":0}",
    "{\"name\":\"c\",\"dtype\":\"f32\",\"shape\":\"3x5\",\"view\":\"out:1\",\"recipe\":\"weight\",\"planes\":[{\"role\":\"x\",\"bits\":8,"
    "\"offset\":64,\"bytes\":1,\"crc32\":1}],\"padding\":0,\"rows\":0}",
  };
  g_autoptr (GPtrArray) planned = make_plan ();

  g_ptr_array_remove_range (planned, 0, 2);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autofree char *header = header_line ("{\"afpipe_journal\": 2}"),
                    *line = header_line (texts[i]), *good = tensor_line (planned->pdata[0]),
                    *text = g_strconcat (header, line, good, NULL);
    g_autoptr (AfpJournal) journal = read_text (text, strlen (text), planned);
    ck_assert_msg (journal->tensors->len == 0, "%s", texts[i]);
    ck_assert_uint_eq (journal->n_lines, 2);
  }
}
END_TEST

START_TEST (headers)
{
  static const struct {
    const char *now, *texts[3];
  } cases[] = {
    { "{\"afpipe_journal\": 3}",
      { "the version of its journal has changed: it was 2, now it is 3" } },
    { "{\"afpipe_journal\": 2, \"tool\": \"afpipe 9\"}",
      { "the version of the tool", "\"afpipe 1\"", "\"afpipe 9\"" } },
    { "{\"afpipe_journal\": 2, \"tool\": \"afpipe 1\", \"pipeline\": \"b\"}",
      { "the pipeline has changed: it was \"a\", now it is \"b\"" } },
    { "{\"afpipe_journal\": 2, \"tool\": \"afpipe 1\", \"pipeline\": \"a\"}",
      { "the input", "it was \"77\", now it is nothing" } },
    { "{\"afpipe_journal\": 2, \"tool\": \"afpipe 1\", \"pipeline\": \"a\", \"fingerprint\": \"77\", \"plugins\": [\"io 2\"]}",
      { "a plugin has changed: it was [\"io 1\"], now it is [\"io 2\"]", "x.part",
        "and its 0 tensors" } },
  };
  g_autofree char *line =
      header_line ("{\"afpipe_journal\": 2, \"tool\": \"afpipe 1\", \"pipeline\": \"a\", "
                   "\"fingerprint\": \"77\", \"plugins\": [\"io 1\"]}");
  g_autoptr (AfpJournal) journal = read_text (line, strlen (line), NULL);

  ck_assert (afp_journal_check_header (journal, journal->header, "x.part", NULL));
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (JsonNode) now = json_from_string (cases[i].now, NULL);
    GError *error = NULL;
    ck_assert (!afp_journal_check_header (journal, now, "x.part", &error));
    ck_assert (g_error_matches (error, AFP_ERROR, AFP_ERROR_IO));
    for (guint t = 0; t < 3 && cases[i].texts[t]; t++)
      ck_assert_msg (strstr (error->message, cases[i].texts[t]) != NULL, "%s", error->message);
    g_error_free (error);
  }
}
END_TEST

static TCase *
journal_case (void)
{
  TCase *tcase = io_case ("journal");
  tcase_add_test (tcase, lines);
  tcase_add_test (tcase, there_and_back);
  tcase_add_test (tcase, a_result_ends_it);
  tcase_add_test (tcase, nothing_there);
  tcase_add_test (tcase, unreadable);
  tcase_add_test (tcase, cut_and_flipped_anywhere);
  tcase_add_test (tcase, nonsense);
  tcase_add_test (tcase, headers);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { journal_case };

  return run_suite ("afp-journal", cases, G_N_ELEMENTS (cases));
}
