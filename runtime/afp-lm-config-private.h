/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-lm-config.h"

/* What the readers of configurations share. */

#define AFP_LM_MAX_SIZE (1u << 26)

/* AFP_ERROR_FORMAT names what is out of its range. */
gboolean afp_lm_config_check_number (const char *name, double value, double least, double most,
                                     GError **error);
gboolean afp_lm_config_check (const AfpLmConfig *config, GError **error);
/* What makes the architecture differ from Llama; AFP_ERROR_PLAN: @key says @type, which is not known. */
gboolean afp_lm_config_set_architecture (AfpLmConfig *config, const char *key, const char *type,
                                         GError **error);
