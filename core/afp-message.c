/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-message.h"

struct _AfpMessage {
  gint ref_count;
  AfpMessageType type;
  char *source;
  char *text;
  JsonNode *json;
};

G_DEFINE_BOXED_TYPE (AfpMessage, afp_message, afp_message_copy, afp_message_free)

/**
 * afp_message_new:
 * @type: what it is about
 * @source: (nullable): name of the element that it comes from
 * @text: (nullable): for people
 * @json: (nullable) (transfer full): an object, for programs
 *
 * Returns: (transfer full): the message
 */
AfpMessage *
afp_message_new (AfpMessageType type, const char *source, const char *text, JsonNode *json)
{
  AfpMessage *message = g_new0 (AfpMessage, 1);

  message->ref_count = 1;
  message->type = type;
  message->source = g_strdup (source);
  message->text = g_strdup (text ? text : "");
  message->json = json;
  return message;
}

AfpMessage *
afp_message_copy (AfpMessage *message)
{
  g_return_val_if_fail (message, NULL);
  g_atomic_int_inc (&message->ref_count);
  return message;
}

void
afp_message_free (AfpMessage *message)
{
  if (!message || !g_atomic_int_dec_and_test (&message->ref_count))
    return;
  g_clear_pointer (&message->json, json_node_unref);
  g_free (message->source);
  g_free (message->text);
  g_free (message);
}

AfpMessageType
afp_message_get_message_type (const AfpMessage *message)
{
  g_return_val_if_fail (message, AFP_MESSAGE_ERROR);
  return message->type;
}

/**
 * afp_message_get_source:
 * @message: a message
 *
 * Returns: (nullable): the element's name
 */
const char *
afp_message_get_source (const AfpMessage *message)
{
  g_return_val_if_fail (message, NULL);
  return message->source;
}

const char *
afp_message_get_text (const AfpMessage *message)
{
  g_return_val_if_fail (message, "");
  return message->text;
}

/**
 * afp_message_get_json:
 * @message: a message
 *
 * Returns: (nullable) (transfer none): a JSON object
 */
JsonNode *
afp_message_get_json (const AfpMessage *message)
{
  g_return_val_if_fail (message, NULL);
  return message->json;
}
