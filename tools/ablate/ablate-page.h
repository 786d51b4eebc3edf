/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ablate-figures.h"

G_BEGIN_DECLS

/* The parts of the HTML report. Each appends its section, or nothing where the records have nothing to say. */

void ablate_page_put_stages (GString *out, const AblateRuns *runs); /* ablate-page-stages.c */
void ablate_page_put_orders (GString *out, const AblateRuns *runs); /* ablate-page-orders.c */
void ablate_page_put_errors (GString *out, const AblateRuns *runs); /* ablate-page-errors.c */
void ablate_page_put_runs (GString *out, const AblateRuns *runs);   /* ablate-page-runs.c */
void ablate_page_put_failed (GString *out, const AblateRuns *runs);

/* ablate-page.c */
extern const char ablate_page_style[];
extern const char ablate_page_script[];
#define ABLATE_N_SHADES 9
void ablate_page_open (GString *out, const char *id, const char *title);
void ablate_page_close (GString *out);
/* A table whose rows can be sorted by the heads: NULL-terminated; more heads may follow. A head that begins with a blank is of text. */
void ablate_page_open_table (GString *out, const char *caption, ...) G_GNUC_NULL_TERMINATED;
void ablate_page_head (GString *out, const char *text);
void ablate_page_open_rows (GString *out, const char *id); /* (nullable): behind the heads */
void ablate_page_close_table (GString *out);
void ablate_page_cell (GString *out, const char *text);
void ablate_page_number (GString *out, double value, int digits);
/* @share: 0 is the best, 1 the worst. NaN value: an empty cell. */
void ablate_page_shaded (GString *out, double value, int digits, double share, const char *title);

G_END_DECLS
