/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Networks of Keras as text. Quotes are ' in these. */
#pragma once

#include "core-test.h"

#include "keras-config.h"

static inline char *
with_quotes (const char *text)
{
  return g_strdelimit (g_strdup (text), "'", '"');
}

static inline AfpNetGraph *
parse_keras (const char *text, GError **error)
{
  g_autofree char *json = with_quotes (text);

  return afp_keras_parse (json, strlen (json), error);
}

/* It is refused with this code and these words. */
#define assert_not_parsed(text, code, ...)            \
  do {                                                \
    GError *error_ = NULL;                            \
    ck_assert_ptr_null (parse_keras (text, &error_)); \
    assert_error (error_, code, __VA_ARGS__);         \
  } while (0)

/* A Sequential model: an input of 8 x 7 x 6, then these layers. */
#define KERAS_INPUT(shape) \
  "{'class_name': 'InputLayer', 'config': {'name': 'in', 'batch_input_shape': [null, " shape "]}}"
#define KERAS_CHAIN(shape, layers)                                                 \
  "{'class_name': 'Sequential', 'config': {'name': 's', 'layers': [" KERAS_INPUT ( \
      shape) ", " layers "]}}"
#define KERAS_LAYER(class, settings) \
  "{'class_name': '" class "', 'config': {'name': 'x', " settings "}}"
