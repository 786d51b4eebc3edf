/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files behind afp-tokenizer.h share. */
#pragma once

#include "added-tokens.h"
#include "afp-tokenizer.h"
#include "merge-table.h"
#include "normalizer.h"
#include "pre-tokenizer.h"
#include "vocabulary.h"

/* One step between the normalized text and the words that are encoded. */
typedef enum {
  AFP_STEP_CUT,         /* by @how */
  AFP_STEP_BLANK_FIRST, /* a blank before what does not begin with one */
  AFP_STEP_MARK,        /* blanks become markers */
  AFP_STEP_MARK_FIRST, /* and one goes before the first part of a text that does not begin with one */
  AFP_STEP_MARK_ALL    /* or before each part */
} AfpStepKind;

typedef struct {
  AfpStepKind kind;
  AfpPreTokenizer how;
} AfpStep;

#define AFP_STEPS_MAX 16

struct _AfpTokenizer {
  AfpVocabulary
      *pieces; /* the bytes of text that tokens stand for; of byte-level ones, found by them */
  AfpVocabulary *
      strings; /* (nullable): the tokens as the file has them, where words are made of characters */
  gboolean byte_level;         /* words are made of bytes, not of characters */
  gboolean byte_fallback;      /* tokens <0x00> to <0xFF> stand for bytes */
  gboolean ignore_merges;      /* a word that is a token is not merged */
  gboolean fuse_unknown;       /* unknown characters that follow each other are one token */
  guint32 byte_ids[256];       /* tokens of single bytes, or AFP_TOKEN_NONE */
  guint32 unknown;             /* or AFP_TOKEN_NONE */
  AfpMergeTable *merges;       /* (nullable): */
  float *scores;               /* then what is merged is what is a token, the best score first */
  gsize longest;               /* string, where there are scores */
  AfpAddedTokens *added;       /* found in the text as it is */
  AfpAddedTokens *added_later; /* found in the normalized text */
  AfpNormalizer *normalizer;
  GArray *steps; /* of AfpStep */
  guint32 bos, eos;
  gboolean adds_bos;
};

/* A tokenizer of @n tokens without any; see the fields. */
AfpTokenizer *afp_tokenizer_new (guint n);
/* Takes the string of a token as the file has it. Of two that are the same, the first is found. */
void afp_tokenizer_set_string (AfpTokenizer *self, guint32 id, const char *string, gsize n);
/* The bytes behind the characters that GPT-2 writes them with; FALSE: it is no such text, and @bytes are those of @string. */
gboolean afp_tokenizer_unmap_bytes (const char *string, gsize n, GString *bytes);
/* After all strings are set: the pieces of the tokens, and which are single bytes. @is_special: (nullable): of each token, whether it
 * is written out. */
void afp_tokenizer_make_pieces (AfpTokenizer *self, const guint8 *is_special);
/* @left and @right as the file has them. AFP_ERROR_FORMAT: one of the three is no token */
gboolean afp_tokenizer_add_merge (AfpTokenizer *self, const char *left, gsize n_left,
                                  const char *right, gsize n_right, guint32 rank, GError **error);
void afp_tokenizer_add_step (AfpTokenizer *self, AfpStepKind kind, AfpPreTokenizer how);
/* Cuts before runs of @marker, if no merge can reach over such a place: long texts become many small words. */
void afp_tokenizer_cut_at (AfpTokenizer *self, const char *marker, AfpPreTokenizer how);
