/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

#include <json-glib/json-glib.h>

/*
 * An evaluator outside: a program that is given the path of a model and says numbers of it.
 */

/* What a program may write to its standard output. */
#define EVAL_COMMAND_MAX_OUTPUT (1u << 20)

/**
 * eval_command_check:
 * @command: words, quoted as in a shell; no shell reads them: there are no variables, pipes or patterns
 * @error: %AFP_ERROR_PROPERTY
 *
 * Whether it can be split into words, and there is one.
 */
gboolean eval_command_check (const char *command, GError **error);

/**
 * eval_command_run:
 * @command: see eval_command_check(); each {} in it becomes @model_path, which is the last word if there is none
 * @model_path: of the model
 * @seconds: that it may take; 0: as long as it likes
 * @cancellable: (nullable): ends it
 * @metrics: (out) (transfer full): what it said: the numbers of its object by name, in its order, and nothing else
 * @error: %AFP_ERROR_PROPERTY, %AFP_ERROR_IO (it does not start, fails, takes too long: with the last lines that it complained),
 *   %AFP_ERROR_FORMAT (what it says is no JSON object with a number in it), %AFP_ERROR_CANCELLED
 *
 * Runs the program, in a group of processes of its own that ends when it does. Its standard output must be one JSON object, of at most
 * %EVAL_COMMAND_MAX_OUTPUT bytes; members that are no numbers (texts, lists, objects) are left out. It reads nothing.
 */
gboolean eval_command_run (const char *command, const char *model_path, guint seconds,
                           GCancellable *cancellable, JsonObject **metrics, GError **error);
