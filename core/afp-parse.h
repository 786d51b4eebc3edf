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
 *
 * A study, a text that stands for many pipelines, has more:
 *
 *   study      = { let } chain { let | chain | where | repeat }
 *   item       = element | assertion | choice
 *   choice     = "permute" parts | "subsets" parts | "either" parts
 *   parts      = "(" chain { "," chain } ")"       without references and assertions
 *   value      = [ TEXT ] "{" value { "," value } "}" [ TEXT ]     several values
 *   let        = "let" NAME "=" value              ${NAME} has the same of these values wherever it stands
 *   where      = "where" condition { "," condition }
 *   condition  = NAME ( "<" | "<=" | ">" | ">=" | "=" | "!=" ) value
 *   repeat     = "repeat=" NUMBER                  also behind the properties of an element
 */
typedef enum {
  AFP_AST_ELEMENT,
  AFP_AST_ASSERTION,
  AFP_AST_REFERENCE,
  AFP_AST_PERMUTE, /* the three choices of a study */
  AFP_AST_SUBSETS,
  AFP_AST_EITHER,
} AfpAstType;

typedef struct {
  char *name;
  char *value;
  gsize name_column; /* bytes from the start of the text, 0-based */
  gsize value_column;
  gsize value_end; /* behind the value, quotes and all */
  GPtrArray *
      values; /* (nullable) (element-type utf8): of a study, where there are several; value is as typed */
} AfpAstProperty;

typedef struct {
  AfpAstType type;
  char *name;   /* element name; "tensor"; the id of a reference without the dot; "permute" */
  gsize column; /* of the name */
  GPtrArray *properties; /* (element-type AfpAstProperty) */
  GPtrArray *parts;      /* (nullable) (element-type AfpAstChain): of a choice */
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

/* A variable of a study, with all its values. */
typedef struct {
  char *name;
  GPtrArray *values; /* (element-type utf8) */
  gsize column;
} AfpAstLet;

typedef enum {
  AFP_AST_LESS,
  AFP_AST_AT_MOST,
  AFP_AST_MORE,
  AFP_AST_AT_LEAST,
  AFP_AST_EQUAL,
  AFP_AST_OTHER
} AfpAstOperator;

typedef struct {
  char *name;
  AfpAstOperator op;
  char *value;
  char *text; /* as typed */
  gsize column;
} AfpAstCondition;

typedef struct {
  AfpAst *ast;
  GPtrArray *lets;       /* (element-type AfpAstLet), in the order of the text */
  GPtrArray *conditions; /* (element-type AfpAstCondition): all must hold */
  guint repeat;          /* 1 without */
} AfpAstStudy;

/*
 * A study. @chosen: (nullable) (element-type utf8 utf8): which value each variable of the text has here; one that is not in there has its
 * first. @variables count more than what the text says, and may hold several values, as in "{2,3}".
 */
AFP_API AfpAstStudy *
afp_parse_study (const char *text, GHashTable *variables, GHashTable *chosen, GError **error);
AFP_API void afp_ast_study_free (AfpAstStudy *study);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpAstStudy, afp_ast_study_free)

AFP_API char *
afp_ast_to_string (const AfpAst *ast); /* canonical text, parses back to the same tree */
/* Appends "\n  <line>\n  <spaces>^" for the column to the message of @error; used for every error that has a place in the text. */
AFP_API void afp_error_add_caret (GError *error, const char *text, gsize column);
/* Joins arguments by blanks, as gst-launch does. */
AFP_API char *afp_parse_join_arguments (char **argv);

G_END_DECLS
