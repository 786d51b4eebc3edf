/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ids-test.h"

#include "text-class.h"

/* By the regular expressions of the Python package tokenizers, every character. */
START_TEST (classes)
{
  g_autofree char *expected = g_malloc (0x110000);
  g_autoptr (GBytes) file = read_tokenizer_data ("classes.txt");
  g_autofree char *all = g_strndup (g_bytes_get_data (file, NULL), g_bytes_get_size (file));
  g_auto (GStrv) lines = g_strsplit (all, "\n", -1);
  static const char letters[] = {
    [AFP_TEXT_LETTER] = 'L', [AFP_TEXT_NUMBER] = 'N', [AFP_TEXT_SPACE] = 'S', [AFP_TEXT_OTHER] = '-'
  };

  memset (expected, '-', 0x110000);
  ck_assert_uint_gt (g_strv_length (lines), 500);
  for (char **line = lines; **line; line++) {
    char *end;
    const guint64 first = g_ascii_strtoull (*line + 2, &end, 16);
    const guint64 last = g_ascii_strtoull (end, NULL, 16);
    memset (expected + first, **line, last - first + 1);
  }
  for (gunichar c = 0; c < 0x110000; c++)
    if (letters[afp_text_class (c)] != expected[c])
      ck_abort_msg ("U+%04X is %c, not %c", c, letters[afp_text_class (c)], expected[c]);
}
END_TEST

START_TEST (characters)
{
  for (gunichar c = 0; c < 0x110000; c++) {
    char text[6];
    gunichar got;
    if (c >= 0xd800 && c < 0xe000)
      continue;
    const gsize n = (gsize) g_unichar_to_utf8 (c, text);
    if (afp_text_next (text, n, &got) != n || got != c)
      ck_abort_msg ("U+%04X is U+%04X", c, got);
    for (gsize cut = 1; cut < n; cut++)
      if (afp_text_next (text, cut, &got) != 1 || got != AFP_TEXT_BROKEN)
        ck_abort_msg ("%u bytes of U+%04X are U+%04X", (guint) cut, c, got);
  }
}
END_TEST

static const struct {
  const char *text;
  gsize n;
} broken[] = {
  { "\x80", 1 },
  { "\xff", 1 },
  { "\xc0\xaf", 2 },
  { "\xc1\xbf", 2 },
  { "\xe0\x9f\xbf", 3 },
  { "\xed\xa0\x80", 3 },
  { "\xf0\x8f\xbf\xbf", 4 },
  { "\xf4\x90\x80\x80", 4 },
  { "\xf5\x80\x80\x80", 4 },
  { "\xc3x", 2 },
  { "\xe2\x82x", 3 },
  { "\xf0\x9f\x98 ", 4 },
  { "\xc3\xc3\xa9", 3 },
};

START_TEST (bytes_that_are_no_character)
{
  gunichar c;

  ck_assert_uint_eq (afp_text_next (broken[_i].text, broken[_i].n, &c), 1);
  ck_assert_uint_eq (c, AFP_TEXT_BROKEN);
  ck_assert_uint_eq (afp_text_class (c), AFP_TEXT_OTHER);
}
END_TEST

/* What GLib calls valid is what has no broken byte. */
START_TEST (validity_is_that_of_glib)
{
  guint32 state = 1;

  for (guint i = 0; i < 200000; i++) {
    static const guchar often[] = { 0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98,
                                    0x80, 0xed, 0xe0, 0xf4, 0x90, 'x',  0xbf, 0xc0 };
    char text[5];
    gboolean valid = TRUE;
    for (guint j = 0; j < sizeof text; j++) {
      state = state * 1664525 + 1013904223;
      text[j] = (char) often[state >> 28];
    }
    for (gsize at = 0; at < sizeof text;) {
      gunichar c;
      const gsize length = afp_text_next (text + at, sizeof text - at, &c);
      valid = valid && !(c == AFP_TEXT_BROKEN && length == 1);
      at += length;
    }
    ck_assert_int_eq (valid, g_utf8_validate (text, sizeof text, NULL));
  }
}
END_TEST

static TCase *
all_case (void)
{
  TCase *tcase = tcase_create ("text-class");
  tcase_add_test (tcase, classes);
  tcase_add_test (tcase, characters);
  tcase_add_loop_test (tcase, bytes_that_are_no_character, 0, G_N_ELEMENTS (broken));
  tcase_add_test (tcase, validity_is_that_of_glib);
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { all_case };

  return run_suite ("text-class", all, G_N_ELEMENTS (all));
}
