/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* Tokens that are looked for in a text as they are, before it is cut and merged: of those that begin leftmost, the longest. */
typedef struct _AfpAddedTokens AfpAddedTokens;

typedef enum {
  AFP_ADDED_PLAIN = 0,
  AFP_ADDED_STRIP_LEFT = 1 << 0, /* takes the blanks before it */
  AFP_ADDED_STRIP_RIGHT = 1 << 1 /* and those behind it */
} AfpAddedFlags;

typedef struct {
  gsize start, end;
  guint32 id;
} AfpAddedMatch;

AfpAddedTokens *afp_added_tokens_new (void);
void afp_added_tokens_free (AfpAddedTokens *tokens);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpAddedTokens, afp_added_tokens_free)

/* @n > 0. Of two of the same bytes the later counts. */
void afp_added_tokens_add (AfpAddedTokens *tokens, const char *bytes, gsize n, guint32 id,
                           AfpAddedFlags flags);
gboolean afp_added_tokens_is_empty (const AfpAddedTokens *tokens);
/* The first at or behind byte @from. */
gboolean afp_added_tokens_find (const AfpAddedTokens *tokens, const char *text, gsize n, gsize from,
                                AfpAddedMatch *match);
