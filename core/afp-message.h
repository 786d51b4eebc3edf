/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-element.h"

G_BEGIN_DECLS

typedef enum {
  AFP_MESSAGE_ERROR,
  AFP_MESSAGE_WARNING,
  AFP_MESSAGE_INFO,
  AFP_MESSAGE_PLAN,
  AFP_MESSAGE_PROGRESS, /* once per tensor that reached the sinks, and from elements that work on the whole model */
  AFP_MESSAGE_METRIC,
  AFP_MESSAGE_EOS
} AfpMessageType;

/* Boxed, immutable: a type, the element's name (or NULL), a text, a JSON object (or NULL). */
#define AFP_TYPE_MESSAGE (afp_message_get_type ())
AFP_API GType afp_message_get_type (void);
AFP_API AfpMessage *afp_message_new (AfpMessageType type, const char *source, const char *text,
                                     JsonNode *json); /* json (transfer full) */
AFP_API AfpMessage *afp_message_copy (AfpMessage *message);
AFP_API void afp_message_free (AfpMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpMessage, afp_message_free)
AFP_API AfpMessageType afp_message_get_message_type (const AfpMessage *message);
AFP_API const char *afp_message_get_source (const AfpMessage *message);
AFP_API const char *afp_message_get_text (const AfpMessage *message);
AFP_API JsonNode *afp_message_get_json (
    const AfpMessage *
        message); /* PROGRESS: done, tensors, bytes_done, bytes_total, bytes_held (of bytes_done: by an earlier run), weights_done, weights_total, weights_held, tensor, seconds_left; of work on the whole model: steps_done, steps */

/* Called from any thread, never from two at once. */
typedef void (*AfpMessageFunc) (AfpMessage *message, gpointer user_data);

G_END_DECLS
