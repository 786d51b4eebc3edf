/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

G_BEGIN_DECLS

/*
 * A run's pipeline, rewritten so that what it takes can be measured before it is to run: nothing is written, no program is started, nothing is
 * required. One chain from one source to one sink; AFP_ERROR_PLAN for any other.
 */

/* With element @piece in place of the source, and evals that do not ask the whole model. @source: (out): the text of the source; @moments:
 * (out): something on the way would have hung moments on tensors, and is left out. (transfer full) */
char *afp_rewrite_for_piece (const char *pipeline, const char *piece, char **source,
                             gboolean *moments, GError **error);

/**
 * AfpHeads:
 * @judged: bytes of the longest file that evals read, if it was cut; else 0
 * @prepared: likewise of what looks at the model before the stages; not more than it reads
 */
typedef struct {
  guint64 judged, prepared;
} AfpHeads;

/* With one stage only, a quick one, in place of all, and of the files of text and questions only the first @head bytes, copied to @folder.
 * (transfer full) */
char *afp_rewrite_for_rest (const char *pipeline, const char *folder, gsize head, AfpHeads *heads,
                            GError **error);

/* The elements that look at the whole model before the stages, "calibrate text=t.txt\n"; "" without any. (transfer full) */
char *afp_rewrite_list_preparing (const char *pipeline);

G_END_DECLS
