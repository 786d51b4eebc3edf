/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "pre-tokenizer.h"

#define M AFP_MARKER

/* Parts are put between bars. */
static const struct {
  AfpPreTokenizer how;
  const char *text, *parts;
} cases[] = {
  { AFP_PRE_GPT2, "", "" },
  { AFP_PRE_GPT2, "Hello world 12", "Hello| world| 12" },
  { AFP_PRE_GPT2, "it's IT'S 'x", "it|'s| IT|'|S| '|x" },
  { AFP_PRE_GPT2, "a1b22 c3", "a|1|b|22| c|3" },
  { AFP_PRE_GPT2, "  two   three ", " | two|  | three| " },
  { AFP_PRE_GPT2, "a\n\n b", "a|\n\n| b" },
  { AFP_PRE_GPT2, "a \tb", "a| |\t|b" },
  { AFP_PRE_GPT2, "x...!? y", "x|...!?| y" },
  { AFP_PRE_GPT2, "\xff\xfe x", "\xff\xfe| x" },
  { AFP_PRE_GPT2, "''s'll", "''|s|'ll" },
  { AFP_PRE_GPT2, "'r 're", "'|r| '|re" },
  { AFP_PRE_LLAMA3, "it's IT'S 'Re 'x", "it|'s| IT|'S| '|Re| '|x" },
  { AFP_PRE_LLAMA3, "'RE 'ReX", "'RE| '|ReX" },
  { AFP_PRE_LLAMA3, "'\xc5\xbf '\xc5\xbf", "'\xc5\xbf| '|\xc5\xbf" },
  { AFP_PRE_LLAMA3, "1234567 12", "123|456|7| |12" },
  { AFP_PRE_LLAMA3, "(foo)\tbar", "(foo|)|\tbar" },
  { AFP_PRE_LLAMA3, "x;\n\ny", "x|;\n\n|y" },
  { AFP_PRE_LLAMA3, " ;\r\n z", " ;\r\n| z" },
  { AFP_PRE_LLAMA3, "a \n \n  b", "a| \n \n| | b" },
  { AFP_PRE_LLAMA3, "  \nx", "  \n|x" },
  { AFP_PRE_LLAMA3, "a   ", "a|   " },
  { AFP_PRE_LLAMA3, "\nword", "\n|word" },
  { AFP_PRE_LLAMA3, "\x80word", "\x80word" },
  { AFP_PRE_QWEN2, "1234 x", "1|2|3|4| x" },
  { AFP_PRE_QWEN2, "IT'LL;\n", "IT|'LL|;\n" },
  { AFP_PRE_DIGIT, "ab12 3", "ab|1|2| |3" },
  { AFP_PRE_DIGIT,
    "\xc2\xbd\xff"
    "1",
    "\xc2\xbd|\xff|1" },
  { AFP_PRE_DIGITS, "ab12 34", "ab|12| |34" },
  { AFP_PRE_MARKER_WORDS, M "a" M M "b", M "a|" M M "b" },
  { AFP_PRE_MARKER_WORDS, "a" M, "a|" M },
  { AFP_PRE_MARKERS, M M "a" M, M "|" M "a|" M },
  { AFP_PRE_BLANK_WORDS, " a  b", " a|  b" },
};

START_TEST (parts_by_hand)
{
  const char *text = cases[_i].text;
  const gsize n = strlen (text);
  g_autoptr (GString) got = g_string_new (NULL);

  for (gsize at = 0, length; at < n; at += length) {
    length = afp_pre_tokenizer_cut (cases[_i].how, text + at, n - at);
    ck_assert (length > 0 && length <= n - at);
    g_string_append_printf (got, "%s%.*s", at ? "|" : "", (int) length, text + at);
  }
  ck_assert_str_eq (got->str, cases[_i].parts);
}
END_TEST

/* Any bytes are cut, and every part is cut again into itself (true of all but those that look at what follows). */
START_TEST (noise_is_cut)
{
  const AfpPreTokenizer how = (AfpPreTokenizer) _i;
  static const char letters[] = " \n\r\ta'sS1;\x80\xc3\xa9\xe2\x96\x81\xff";
  guint32 state = 7;

  for (guint i = 0; i < 3000; i++) {
    char text[24];
    gsize at = 0, length;
    for (guint j = 0; j < sizeof text; j++) {
      state = state * 1664525 + 1013904223;
      text[j] = letters[(state >> 16) % (sizeof letters - 1)];
    }
    for (; at < sizeof text; at += length) {
      length = afp_pre_tokenizer_cut (how, text + at, sizeof text - at);
      ck_assert (length > 0 && length <= sizeof text - at);
      ck_assert_uint_eq (afp_pre_tokenizer_cut (how, text + at, length), length);
    }
  }
}
END_TEST

#define LINES(digits)                                                  \
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits \
  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

START_TEST (regexes_that_are_known)
{
  static const struct {
    const char *regex;
    AfpPreTokenizer how;
  } known[] = {
    { "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
      AFP_PRE_GPT2 },
    { LINES ("\\p{N}{1,3}"), AFP_PRE_LLAMA3 },
    { LINES ("\\p{N}"), AFP_PRE_QWEN2 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (known); i++) {
    AfpPreTokenizer how = AFP_PRE_DIGIT;
    ck_assert (afp_pre_tokenizer_from_regex (known[i].regex, &how, NULL));
    ck_assert_uint_eq (how, known[i].how);
  }
}
END_TEST

static const char *const unknown[] = { "", "\\s+", LINES ("\\p{N}{1,2}"), LINES ("\\p{N}") " " };

START_TEST (other_regexes_are_refused)
{
  GError *error = NULL;
  AfpPreTokenizer how;

  ck_assert (!afp_pre_tokenizer_from_regex (unknown[_i], &how, &error));
  assert_error (error, AFP_ERROR_PLAN, unknown[_i], "those of GPT-2, Llama 3 and Qwen2");
}
END_TEST

static TCase *
all_case (void)
{
  TCase *tcase = tcase_create ("pre-tokenizer");
  tcase_add_loop_test (tcase, parts_by_hand, 0, G_N_ELEMENTS (cases));
  tcase_add_loop_test (tcase, noise_is_cut, 0, AFP_PRE_BLANK_WORDS + 1);
  tcase_add_test (tcase, regexes_that_are_known);
  tcase_add_loop_test (tcase, other_regexes_are_refused, 0, G_N_ELEMENTS (unknown));
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { all_case };

  return run_suite ("pre-tokenizer", all, G_N_ELEMENTS (all));
}
