/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-source.h"

G_BEGIN_DECLS

/*
 * Extras: what a model needs to run, besides its tensors. Named blobs of bytes that a source offers, that `write` stores in our own file,
 * and that `load` of such a file offers again. The name says what a blob is:
 *
 *   config.json, generation_config.json, tokenizer.json,
 *   tokenizer_config.json, special_tokens_map.json         files of these names beside safetensors
 *   gguf.metadata                                          a GGUF file up to the end of its metadata, tokenizer included
 *   keras.model_config                                     JSON
 *   llama2c.config, llama2c.tokenizer                      the header of a checkpoint; the file tokenizer.bin
 */
#define AFP_EXTRA_CONFIG "config.json"
#define AFP_EXTRA_TOKENIZER "tokenizer.json"
#define AFP_EXTRA_GGUF_METADATA "gguf.metadata"
#define AFP_EXTRA_KERAS_CONFIG "keras.model_config"
#define AFP_EXTRA_LLAMA2C_CONFIG "llama2c.config"
#define AFP_EXTRA_LLAMA2C_TOKENIZER "llama2c.tokenizer"

#define AFP_EXTRA_MAX_NAME 100                               /* bytes */
#define AFP_EXTRA_MAX_BYTES (G_GUINT64_CONSTANT (256) << 20) /* of a blob */
#define AFP_EXTRA_MAX_COUNT 64

/* 1 to AFP_EXTRA_MAX_NAME letters, digits and -_. characters. */
AFP_API gboolean afp_extra_is_name (const char *name);

/* Of one source, after afp_source_open(). */
AFP_API char **afp_source_list_extras (AfpSource *self); /* names; never NULL */
AFP_API GBytes *afp_source_read_extra (AfpSource *self, const char *name, GError **error);

/* Of all sources upstream of an element (an element is upstream of itself): the first that has it counts. The sources are open
 * from the plan on; also in a run that goes on with an interrupted one. */
AFP_API GPtrArray *afp_element_list_sources (AfpElement *self);
AFP_API char **afp_element_list_extras (AfpElement *self);
AFP_API GBytes *afp_element_read_extra (AfpElement *self, const char *name, GError **error);

G_END_DECLS
