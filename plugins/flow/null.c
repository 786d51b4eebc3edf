/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flow.h"

/*
 * null: a sink that counts and throws away: what a file would hold, without the file.
 */
struct _AfpNull {
  AfpSink parent_instance;
};

G_DEFINE_FINAL_TYPE (AfpNull, afp_null, AFP_TYPE_SINK)

static gboolean
null_consume (AfpSink *sink, AfpTensor *tensor, GError **error)
{
  return TRUE;
}

static JsonNode *
null_get_output (AfpElement *element)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "format");
  json_builder_add_string_value (builder, "null");
  json_builder_end_object (builder);
  return json_builder_get_root (builder);
}

static void
afp_null_class_init (AfpNullClass *klass)
{
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Counts tensors and throws them away",
                                 "load location=model.safetensors ! seedlm ! eval ! null");
  AFP_ELEMENT_CLASS (klass)->get_output = null_get_output;
  AFP_SINK_CLASS (klass)->consume = null_consume;
}

static void
afp_null_init (AfpNull *self)
{
}
