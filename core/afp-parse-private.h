/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-parse.h"

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

G_BEGIN_DECLS

/* A name of an element, a property, a variable, or the id of a reference: a letter, then letters, digits, "-", "_". */
G_GNUC_INTERNAL gboolean afp_parse_is_name (const char *text);
G_GNUC_INTERNAL AfpAstNode *afp_ast_node_new (AfpAstType type, const char *name, gsize column);
G_GNUC_INTERNAL void afp_ast_node_free (AfpAstNode *node);
G_GNUC_INTERNAL void afp_ast_property_free (AfpAstProperty *property);
/* "tensor,dtype=f16": one assertion and nothing else; "${" is plain text. */
G_GNUC_INTERNAL AfpAstNode *afp_parse_assertion (const char *text, GError **error);
/* "a=1 b=2", "a=1,b=2": (element-type AfpAstProperty). A comma ends a value only where NAME= follows. */
G_GNUC_INTERNAL GPtrArray *afp_parse_settings (const char *text, GError **error);
/* The text of a value, in quotes where it needs them. */
G_GNUC_INTERNAL void afp_ast_append_value (GString *out, const char *value, gboolean in_assertion);

G_END_DECLS

#pragma GCC visibility pop
