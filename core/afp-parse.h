/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

G_BEGIN_DECLS

/*
 * The pipeline text and its tree (man page afpipe-pipeline(7)). The tree is public: tools rewrite it.
 *
 *   pipeline   = chain { chain }
 *   chain      = [ reference "!" ] item { "!" item } [ "!" reference ]
 *   item       = element | assertion
 *   element    = NAME { NAME "=" value }          name=ID names it
 *   assertion  = "tensor" { "," NAME "=" value }
 *   reference  = ID "."                            an element named elsewhere (forward references are allowed)
 *   value      = WORD | "quoted" | 'quoted'        with \ escapes inside double quotes
 *
 * "#" starts a comment that ends with the line. ${NAME} is replaced by --set NAME=VALUE before parsing a token's text.
 */
typedef enum { AFP_AST_ELEMENT, AFP_AST_ASSERTION, AFP_AST_REFERENCE } AfpAstType;

typedef struct {
  char *name;
  char *value;
  gsize name_column; /* bytes from the start of the text, 0-based */
  gsize value_column;
} AfpAstProperty;

typedef struct {
  AfpAstType type;
  char *name;            /* element name; "tensor"; the id of a reference without the dot */
  gsize column;          /* of the name */
  GPtrArray *properties; /* (element-type AfpAstProperty) */
} AfpAstNode;

typedef struct {
  GPtrArray *nodes; /* (element-type AfpAstNode): linked by "!" from left to right */
} AfpAstChain;

typedef struct {
  char *text;        /* as typed, for carets */
  GPtrArray *chains; /* (element-type AfpAstChain) */
} AfpAst;

/* @variables: (nullable) (element-type utf8 utf8). AFP_ERROR_USAGE with line, column, the line itself and a caret. */
AFP_API AfpAst *afp_parse (const char *text, GHashTable *variables, GError **error);
AFP_API void afp_ast_free (AfpAst *ast);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpAst, afp_ast_free)
AFP_API char *
afp_ast_to_string (const AfpAst *ast); /* canonical text, parses back to the same tree */
/* Appends "\n  <line>\n  <spaces>^" for the column to the message of @error; used for every error that has a place in the text. */
AFP_API void afp_error_add_caret (GError *error, const char *text, gsize column);
/* Joins arguments by blanks, as gst-launch does. */
AFP_API char *afp_parse_join_arguments (char **argv);

G_END_DECLS
