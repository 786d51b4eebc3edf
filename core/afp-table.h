/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

G_BEGIN_DECLS

/*
 * AfpTable (internal): text in columns, for plans, reports and tools. Cells are padded to the widest of their column; lines pass as they
 * are, between the rows where they were added.
 */
typedef struct _AfpTable AfpTable;

/* @alignment: one letter per column: "l" or "r". */
AFP_API AfpTable *afp_table_new (const char *alignment);
AFP_API void afp_table_free (AfpTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpTable, afp_table_free)
AFP_API void afp_table_add (AfpTable *table, ...)
    G_GNUC_NULL_TERMINATED; /* cells as char *; missing ones are empty */
AFP_API void afp_table_take (AfpTable *table, ...)
    G_GNUC_NULL_TERMINATED; /* the same; frees the cells with g_free() */
AFP_API void afp_table_add_line (AfpTable *table, const char *format, ...) G_GNUC_PRINTF (2, 3);
AFP_API char *afp_table_to_string (AfpTable *table);

/* "917 B", "12.3 KiB", "4.00 MiB" */
AFP_API char *afp_format_bytes (guint64 bytes);
/* "250,000" */
AFP_API char *afp_format_count (guint64 count);
/* "2.3 s", "4:05", "1:02:03" */
AFP_API char *afp_format_seconds (double seconds);

G_END_DECLS
