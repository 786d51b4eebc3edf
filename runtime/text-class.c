/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text-class.h"

/* Letters and numbers of Unicode 15.1 and 16 that an older GLib does not know yet. */
static const struct {
  gunichar first, last;
} new_letters[] = {
  { 0x1c89, 0x1c8a },   { 0xa7cb, 0xa7cd },   { 0xa7da, 0xa7dc },   { 0x105c0, 0x105f3 },
  { 0x10d4a, 0x10d65 }, { 0x10d6f, 0x10d85 }, { 0x10ec2, 0x10ec4 }, { 0x11380, 0x11389 },
  { 0x1138b, 0x1138b }, { 0x1138e, 0x1138e }, { 0x11390, 0x113b5 }, { 0x113b7, 0x113b7 },
  { 0x113d1, 0x113d1 }, { 0x113d3, 0x113d3 }, { 0x11bc0, 0x11be0 }, { 0x13460, 0x143fa },
  { 0x16100, 0x1611d }, { 0x16d40, 0x16d6c }, { 0x18cff, 0x18cff }, { 0x1e5d0, 0x1e5ed },
  { 0x1e5f0, 0x1e5f0 }, { 0x2ebf0, 0x2ee5d },
}, new_numbers[] = {
  { 0x10d40, 0x10d49 }, { 0x116d0, 0x116e3 }, { 0x11bf0, 0x11bf9 }, { 0x16130, 0x16139 },
  { 0x16d70, 0x16d79 }, { 0x1ccf0, 0x1ccf9 }, { 0x1e5f1, 0x1e5fa },
};

/* Bytes of a well-formed character that begins with @lead, and the bounds of its second byte (Unicode, table 3-7); 0: none does. */
static gsize
get_form (guchar lead, guchar *least, guchar *most)
{
  *least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  *most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (lead < 0xc2 || lead > 0xf4)
    return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

gsize
afp_text_next (const char *text, gsize n, gunichar *c)
{
  const guchar lead = (guchar) text[0];
  guchar least, most;

  *c = lead;
  if (lead < 0x80)
    return 1;
  const gsize length = get_form (lead, &least, &most);
  *c = AFP_TEXT_BROKEN;
  if (length == 0 || length > n || (guchar) text[1] < least || (guchar) text[1] > most)
    return 1;
  gunichar value = lead & (0x7fu >> length);
  for (gsize i = 1; i < length; i++) {
    if (((guchar) text[i] & 0xc0) != 0x80)
      return 1;
    value = value << 6 | ((guchar) text[i] & 0x3f);
  }
  *c = value;
  return length;
}

static AfpTextClass
look_up_new (gunichar c)
{
  for (gsize i = 0; i < G_N_ELEMENTS (new_letters); i++)
    if (c >= new_letters[i].first && c <= new_letters[i].last)
      return AFP_TEXT_LETTER;
  for (gsize i = 0; i < G_N_ELEMENTS (new_numbers); i++)
    if (c >= new_numbers[i].first && c <= new_numbers[i].last)
      return AFP_TEXT_NUMBER;
  return AFP_TEXT_OTHER;
}

AfpTextClass
afp_text_class (gunichar c)
{
  if (c < 0x80)
    return g_ascii_isalpha ((char) c)                        ? AFP_TEXT_LETTER
           : g_ascii_isdigit ((char) c)                      ? AFP_TEXT_NUMBER
           : c == ' ' || (c >= 0x9 && c <= 0xd) /* \t..\r */ ? AFP_TEXT_SPACE
                                                             : AFP_TEXT_OTHER;
  switch (g_unichar_type (c)) {
  case G_UNICODE_LOWERCASE_LETTER:
  case G_UNICODE_UPPERCASE_LETTER:
  case G_UNICODE_TITLECASE_LETTER:
  case G_UNICODE_MODIFIER_LETTER:
  case G_UNICODE_OTHER_LETTER:
    return AFP_TEXT_LETTER;
  case G_UNICODE_DECIMAL_NUMBER:
  case G_UNICODE_LETTER_NUMBER:
  case G_UNICODE_OTHER_NUMBER:
    return AFP_TEXT_NUMBER;
  case G_UNICODE_SPACE_SEPARATOR:
  case G_UNICODE_LINE_SEPARATOR:
  case G_UNICODE_PARAGRAPH_SEPARATOR:
    return AFP_TEXT_SPACE;
  case G_UNICODE_UNASSIGNED:
    return look_up_new (c);
  default:
    return c == 0x85 ? AFP_TEXT_SPACE : AFP_TEXT_OTHER;
  }
}
