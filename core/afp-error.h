/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

G_BEGIN_DECLS

/**
 * AfpError:
 * @AFP_ERROR_USAGE: a wrong option, a syntax error (exit 2)
 * @AFP_ERROR_PROPERTY: an unknown property or a value out of its range (exit 2)
 * @AFP_ERROR_NO_ELEMENT: no such element (exit 3)
 * @AFP_ERROR_PLUGIN: a plugin or codec is missing or has another ABI (exit 3)
 * @AFP_ERROR_PLAN: the pipeline cannot work on this model (exit 4)
 * @AFP_ERROR_IO: reading or writing failed (exit 5)
 * @AFP_ERROR_FORMAT: a file or a plane is damaged or of an unknown kind (exit 5)
 * @AFP_ERROR_CODEC: a codec failed (exit 6)
 * @AFP_ERROR_METRIC: a required metric was not met (exit 7)
 * @AFP_ERROR_MEMORY: over the memory budget (exit 8)
 * @AFP_ERROR_CANCELLED: cancelled by the user (exit 130)
 *
 * What went wrong. Every function of the library that can fail reports one of these.
 */
typedef enum {
  AFP_ERROR_USAGE,
  AFP_ERROR_PROPERTY,
  AFP_ERROR_NO_ELEMENT,
  AFP_ERROR_PLUGIN,
  AFP_ERROR_PLAN,
  AFP_ERROR_IO,
  AFP_ERROR_FORMAT,
  AFP_ERROR_CODEC,
  AFP_ERROR_METRIC,
  AFP_ERROR_MEMORY,
  AFP_ERROR_CANCELLED
} AfpError;

#define AFP_ERROR (afp_error_quark ())
AFP_API GQuark afp_error_quark (void);
AFP_API int afp_error_exit_code (const GError *error);
AFP_API const char *afp_nearest_name (const char *word, const char *const *names, gsize n_names);

G_END_DECLS
