/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * How a text is cut before its parts are encoded each for itself. Matchers written by hand for the regular expressions that models are
 * published with; there is no engine for others.
 */
typedef enum {
  AFP_PRE_GPT2, /* words, numbers and marks, each with a blank before it */
  AFP_PRE_LLAMA3, /* the same with contractions in capitals too, three digits at most, and lines apart */
  AFP_PRE_QWEN2,        /* the same with one digit at most */
  AFP_PRE_DIGIT,        /* each number character for itself, the rest untouched */
  AFP_PRE_DIGITS,       /* numbers, and what lies between */
  AFP_PRE_MARKER_WORDS, /* before a run of markers U+2581 */
  AFP_PRE_MARKERS,      /* before each marker */
  AFP_PRE_BLANK_WORDS,  /* before a run of blanks */
} AfpPreTokenizer;

/* Bytes of the first part of @n > 0 bytes of text, which is not empty. */
gsize afp_pre_tokenizer_cut (AfpPreTokenizer how, const char *text, gsize n);
/* The one that cuts as this regular expression; AFP_ERROR_PLAN names it and says which there are. */
gboolean afp_pre_tokenizer_from_regex (const char *regex, AfpPreTokenizer *how, GError **error);

#define AFP_MARKER "\xe2\x96\x81" /* U+2581, which stands for a blank in SentencePiece */
