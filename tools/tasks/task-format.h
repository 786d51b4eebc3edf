/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "json-lines.h"

/*
 * Files of questions as they are published, turned into the form that eval reads. Questions are worded as lm-evaluation-harness words
 * them, so that accuracies can be compared.
 */
typedef struct {
  const char *name, *what;
  gboolean labels; /* answers are in a file of their own */
  /* @label: (nullable): the line of that file. @out: an object to fill; errors name the line. */
  gboolean (*convert) (const AfpJsonLines *lines, JsonObject *in, const char *label,
                       JsonObject *out, GError **error);
} TaskFormat;

/* Ended by one without a name. */
extern const TaskFormat task_formats[];

/* AFP_ERROR_USAGE: names all. */
const TaskFormat *task_format_find (const char *name, GError **error);
/* An object a line is appended to @out. @labels: NULL unless the format has them; AFP_ERROR_FORMAT: which line, and what is wrong with it. */
gboolean
task_format_convert (const TaskFormat *format, const char *text, const char *name,
                     const char *labels, const char *labels_name, GString *out, GError **error);
