/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ablate-record.h"

G_BEGIN_DECLS

/* The order of the table, from the text "nll,-bytes": a list of keys, of which "-" turns one round; "bpw" is "bits_per_weight". Names of
 * choices are keys, too. AFP_ERROR_USAGE: names the keys there are. */
typedef struct _AfpSort AfpSort;
AfpSort *afp_sort_new (const char *text, const AfpStudy *study, GError **error);
void afp_sort_free (AfpSort *sort);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpSort, afp_sort_free)

/* The results for people: a row for each run, repeats in one; runs on a Pareto front are marked; failed ones follow with their errors. @all:
 * also those that do not meet a condition. */
char *afp_ablate_format_table (const GPtrArray *records, const AfpSort *sort, gboolean all);
/* A row for each run. */
char *afp_ablate_format_csv (const GPtrArray *records, const AfpStudy *study);

G_END_DECLS
