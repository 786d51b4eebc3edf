/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-parse.h"

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

G_BEGIN_DECLS

/* A name of an element, a property, a variable, or the id of a reference: a letter, then letters, digits, "-", "_". */
G_GNUC_INTERNAL gboolean afp_parse_is_name (const char *text);
G_GNUC_INTERNAL AfpAstChain *afp_ast_chain_new (void);
G_GNUC_INTERNAL void afp_ast_chain_free (AfpAstChain *chain);
G_GNUC_INTERNAL AfpAstNode *afp_ast_node_new (AfpAstType type, const char *name, gsize column);
G_GNUC_INTERNAL void afp_ast_node_free (AfpAstNode *node);
G_GNUC_INTERNAL void afp_ast_property_free (AfpAstProperty *property);
/* "tensor,dtype=f16": one assertion and nothing else; "${" is plain text. */
G_GNUC_INTERNAL AfpAstNode *afp_parse_assertion (const char *text, GError **error);
/* "a=1 b=2", "a=1,b=2": (element-type AfpAstProperty). A comma ends a value only where NAME= follows. */
G_GNUC_INTERNAL GPtrArray *afp_parse_settings (const char *text, GError **error);
/* The text of a value, in quotes where it needs them. */
G_GNUC_INTERNAL void afp_ast_append_value (GString *out, const char *value, gboolean in_assertion);

/*
 * The parser. A function that fails has set the error; the cursor is then anywhere.
 *   afp-parse-word.c   errors, blanks, words, values, variables   afp-parse.c   elements, assertions, references, chains
 *   afp-parse-study.c  what only a study has
 */

/* Where a value stands decides what ends it. */
typedef enum {
  AFP_IN_ELEMENT,
  AFP_IN_ASSERTION,
  AFP_IN_SETTINGS,
  AFP_IN_SET,
  AFP_IN_CONDITION
} AfpPlace;

typedef struct {
  const char *text;
  const char *p;
  GHashTable *variables; /* (nullable) */
  gboolean plain;        /* "${" has no meaning */
  AfpAstStudy *study;    /* (nullable): a study is read */
  GHashTable *lets;      /* (nullable): name -> value, of variables of the study */
  GHashTable *chosen;    /* (nullable) */
  guint depth;           /* of choices that are open */
  GError **error;
} AfpParser;

/* "line 1, column 8: <message>", the line, and a caret under @at. Always FALSE. */
G_GNUC_INTERNAL gboolean afp_parser_fail (AfpParser *self, const char *at, const char *format, ...)
    G_GNUC_PRINTF (3, 4);
/* A piece of text for a message. */
G_GNUC_INTERNAL char *afp_parser_show (const char *text, gsize length);
/* Blanks, and comments up to the end of their line. */
G_GNUC_INTERNAL void afp_parser_skip_blanks (AfpParser *self);
/* The name of something: up to a blank or a sign. May be empty. */
G_GNUC_INTERNAL GString *afp_parser_take_word (AfpParser *self);
/* Is there no value at the cursor? */
G_GNUC_INTERNAL gboolean afp_parser_ends_value (const AfpParser *self, AfpPlace place);
/* @set: (nullable): (out): the values, if there are several: only where a set may stand */
G_GNUC_INTERNAL gboolean afp_parser_take_value (AfpParser *self, AfpPlace place, GString *value,
                                                GPtrArray **set);
G_GNUC_INTERNAL gboolean afp_parser_take_chain (AfpParser *self, AfpAstChain *chain);
/* The whole text, without what is before its first chain and between chains in a study. */
G_GNUC_INTERNAL AfpAst *afp_parser_take_pipeline (AfpParser *self);

/* --- afp-parse-study.c: each also says that a plain pipeline has no such thing --- */
/* Does @word, with "(" behind it, begin a choice? */
G_GNUC_INTERNAL gboolean afp_parser_is_choice (const char *word);
/* The cursor is at the "(" behind @name. */
G_GNUC_INTERNAL AfpAstNode *
afp_parser_take_choice (AfpParser *self, const char *name, const char *at);
/* @taken: (out): something that is no chain stood at the cursor */
G_GNUC_INTERNAL gboolean afp_parser_take_statement (AfpParser *self, gboolean *taken);
/* The cursor is at the "=" behind "repeat". */
G_GNUC_INTERNAL gboolean afp_parser_take_repeat (AfpParser *self, const char *at);

G_END_DECLS

#pragma GCC visibility pop
