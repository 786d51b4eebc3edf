/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tokenizer-private.h"

#include <json-glib/json-glib.h>

/* What comes before and behind the model in a tokenizer.json: normalizer, pre_tokenizer, post_processor. After the vocabulary. */
gboolean afp_tokenizer_json_read_steps (AfpTokenizer *self, JsonObject *root, GError **error);

/* Both return FALSE. */
gboolean afp_tokenizer_json_damaged (const char *why, GError **error);
/* Its @what is '@is'. */
gboolean
afp_tokenizer_json_refuse (const char *what, const char *is, const char *supported, GError **error);
