/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * Characters of a text that may be broken UTF-8, and the classes by which tokenizers tell them apart. A byte that belongs to no
 * well-formed character is a character of its own, of the class of U+FFFD, by which other programs would replace it: so a broken text
 * is cut where the mended one would be, and none of its bytes is lost.
 */
typedef enum {
  AFP_TEXT_LETTER, /* \p{L} */
  AFP_TEXT_NUMBER, /* \p{N} */
  AFP_TEXT_SPACE,  /* \s */
  AFP_TEXT_OTHER,
} AfpTextClass;

#define AFP_TEXT_BROKEN 0xfffdu

/* Bytes of the character at @text (@n > 0 bytes); @c: (out): the character, or AFP_TEXT_BROKEN. */
gsize afp_text_next (const char *text, gsize n, gunichar *c);
/* The same by Unicode 16 or later, whatever GLib knows. */
AfpTextClass afp_text_class (gunichar c);
