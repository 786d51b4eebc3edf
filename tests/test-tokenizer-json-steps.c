/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ids-test.h"

/* A tokenizer of single letters and some words, with these members. */
static AfpTokenizer *
make (const char *members, GError **error)
{
  g_autofree char *text = g_strdup_printf (
      "{%s,\"added_tokens\":[{\"id\":9,\"content\":\"<s>\",\"special\":true}],\"model\":{\"vocab\":"
      "{\"a\":0,\"b\":1,\"\xe2\x96\x81\":2,\"1\":3,\"2\":4,\"12\":5,\"\xe2\x96\x81"
      "a\":6,\"\xc4\xa0\":7,\"\xc4\xa0"
      "a\":8,\"a\xe2\x96\x81\":10},"
      "\"merges\":[\"1 2\",\"\xe2\x96\x81 a\",\"\xc4\xa0 a\",\"a \xe2\x96\x81\"]}}",
      members);
  g_autoptr (GBytes) file = g_bytes_new (text, strlen (text));

  return afp_tokenizer_new_json (file, error);
}

#define PRE "\"pre_tokenizer\":"
#define NORM "\"normalizer\":"
#define POST "\"post_processor\":"
#define META(more) PRE "{\"type\":\"Metaspace\"" more "}"
#define SEQUENCE(list, parts) "{\"type\":\"Sequence\",\"" list "\":[" parts "]}"
#define REPLACE "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"b\"}"

static const struct {
  const char *members, *text, *ids;
} good[] = {
  { PRE "null", "a12", " 0 5" },
  { NORM REPLACE, "a12", " 1 5" },
  { NORM "{\"type\":\"Prepend\",\"prepend\":\"b\"}", "a", " 1 0" },
  { NORM SEQUENCE ("normalizers", "{\"type\":\"NFC\"}," REPLACE), "a", " 1" },
  { PRE "{\"type\":\"Digits\",\"individual_digits\":true}", "a12", " 0 3 4" },
  { PRE "{\"type\":\"Digits\",\"individual_digits\":false}", "a12", " 0 5" },
  { META (""), "a a", " 6 6" },
  { META (",\"add_prefix_space\":false"), "a a", " 0 6" },
  { META (",\"prepend_scheme\":\"never\",\"split\":false"), "a a", " 0 6" },
  { META (",\"prepend_scheme\":\"first\""), "a<s>a", " 6 9 0" },
  { META (",\"prepend_scheme\":\"always\""), "a<s>a", " 6 9 6" },
  { META (""), " a", " 6" }, /* it has one */
  { META (""), "a ", " 6 2" },
  { META (",\"split\":false,\"prepend_scheme\":\"never\""), "ba b", " 1 10 1" }, /* over the end */
  { PRE "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}", "a<s>a a", " 8 9 8 8" },
  { PRE "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}", "a a", " 0 8" },
  { POST "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{}}]}", "a", " 0" },
};

START_TEST (steps)
{
  GError *error = NULL;
  g_autoptr (AfpTokenizer) tokenizer = make (good[_i].members, &error);

  ck_assert_msg (tokenizer != NULL, "%s", error ? error->message : "");
  g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, good[_i].text, strlen (good[_i].text));
  assert_text (ids_to_text (ids), good[_i].ids);
}
END_TEST

#define DIGITS "{\"type\":\"Digits\"},"
#define FOUR DIGITS DIGITS DIGITS DIGITS
#define TOKEN "{\"SpecialToken\":{\"id\":\"<s>\"}}"
#define TEMPLATE(parts) POST "{\"type\":\"TemplateProcessing\",\"single\":[" parts "]}"
#define SPLIT(pattern, behavior) \
  PRE "{\"type\":\"Split\",\"pattern\":" pattern ",\"behavior\":\"" behavior "\"}"
#define GPT2 \
  "{\"Regex\":\"'s|'t|'re|'ve|'m|'ll|'d| ?\\\\p{L}+| ?\\\\p{N}+| ?[^\\\\s\\\\p{L}\\\\p{N}]+|\\\\s+(?!\\\\S)|\\\\s+\"}"

static const struct {
  const char *members;
  AfpError code;
  const char *says, *more;
} bad[] = {
  { NORM "{\"type\":\"Lowercase\"}", AFP_ERROR_PLAN, "its normalizer is 'Lowercase'",
    "supported: Sequence, NFC, Prepend, Replace" },
  { NORM "{}", AFP_ERROR_PLAN, "its normalizer is ''", "supported" },
  { NORM "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"x+\"},\"content\":\"\"}", AFP_ERROR_PLAN,
    "its pattern of Replace is 'x+'", "supported: a String" },
  { NORM "{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"x\"}", AFP_ERROR_PLAN,
    "pattern of Replace", "a String" },
  { NORM "{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},\"content\":\"12345678901234567\"}",
    AFP_ERROR_PLAN, "17 times as long", "16 times" },
  { PRE "{\"type\":\"Whitespace\"}", AFP_ERROR_PLAN, "its pre_tokenizer is 'Whitespace'",
    "Sequence, ByteLevel, Split, Digits, Metaspace" },
  { SPLIT ("{\"Regex\":\"x+\"}", "Isolated"), AFP_ERROR_PLAN, "regular expression \"x+\"",
    "GPT-2, Llama 3 and Qwen2" },
  { SPLIT ("{\"String\":\" \"}", "Isolated"), AFP_ERROR_PLAN, "its pattern of Split is ' '",
    "regular expressions" },
  { SPLIT (GPT2, "Removed"), AFP_ERROR_PLAN, "its behavior of Split is 'Removed'", "Isolated" },
  { META (",\"replacement\":\"_\""), AFP_ERROR_PLAN, "its replacement of Metaspace is '_'", "" },
  { PRE SEQUENCE ("pretokenizers", "{\"type\":\"ByteLevel\"},{\"type\":\"Digits\"}"),
    AFP_ERROR_PLAN, "a step behind ByteLevel", "ByteLevel as the last step" },
  { PRE SEQUENCE ("pretokenizers", "{\"type\":\"ByteLevel\"},{\"type\":\"ByteLevel\"}"),
    AFP_ERROR_PLAN, "a step behind ByteLevel", "" },
  { PRE SEQUENCE ("pretokenizers", "{\"type\":\"ByteLevel\"},{\"type\":\"Metaspace\"}"),
    AFP_ERROR_PLAN, "a step behind ByteLevel", "" },
  { PRE SEQUENCE ("pretokenizers", FOUR FOUR FOUR FOUR "{\"type\":\"Digits\"}"), AFP_ERROR_PLAN,
    "a long Sequence", "16 steps" },
  { PRE SEQUENCE ("pretokenizers", "3"), AFP_ERROR_FORMAT, "a Sequence holds what is no object",
    "" },
  { PRE SEQUENCE ("pretokenizers", SEQUENCE ("pretokenizers", "")), AFP_ERROR_PLAN,
    "its pre_tokenizer is 'Sequence'", "" },
  { POST "{\"type\":\"BertProcessing\"}", AFP_ERROR_PLAN, "its post_processor is 'BertProcessing'",
    "Sequence, ByteLevel, TemplateProcessing" },
  { TEMPLATE (TOKEN "," TOKEN ",{\"Sequence\":{}}"), AFP_ERROR_PLAN,
    "several tokens around the text", "one before it" },
  { TEMPLATE ("{\"SpecialToken\":{\"id\":\"<x>\"}}"), AFP_ERROR_FORMAT,
    "a template names what is no token", "" },
  { TEMPLATE ("{\"Other\":{}}"), AFP_ERROR_FORMAT, "neither token nor text", "" },
  { TEMPLATE ("7"), AFP_ERROR_FORMAT, "neither token nor text", "" },
};

START_TEST (what_is_refused)
{
  GError *error = NULL;

  ck_assert_ptr_null (make (bad[_i].members, &error));
  assert_error (error, (int) bad[_i].code, bad[_i].says, bad[_i].more);
}
END_TEST

START_TEST (known_split)
{
  g_autoptr (AfpTokenizer) tokenizer = make (SPLIT (GPT2, "Isolated"), NULL);
  g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, "a12b", 4);

  assert_text (ids_to_text (ids), " 0 5 1");
}
END_TEST

static TCase *
all_case (void)
{
  TCase *tcase = tcase_create ("tokenizer-json-steps");
  tcase_add_loop_test (tcase, steps, 0, G_N_ELEMENTS (good));
  tcase_add_test (tcase, known_split);
  tcase_add_loop_test (tcase, what_is_refused, 0, G_N_ELEMENTS (bad));
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { all_case };

  return run_suite ("tokenizer-json-steps", all, G_N_ELEMENTS (all));
}
