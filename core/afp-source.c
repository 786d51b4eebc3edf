/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-source.h"

#include "afp-crash.h"
#include "afp-error.h"

typedef struct {
  gboolean opened;
} AfpSourcePrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (AfpSource, afp_source, AFP_TYPE_ELEMENT)

/**
 * afp_source_open:
 * @self: a source
 * @error: AFP_ERROR_IO, AFP_ERROR_FORMAT
 *
 * Reads headers, once: later calls return %TRUE. A failed open may be tried again.
 */
gboolean
afp_source_open (AfpSource *self, GError **error)
{
  AfpSourcePrivate *priv = afp_source_get_instance_private (self);
  AfpSourceClass *klass = AFP_SOURCE_GET_CLASS (self);
  AfpCrashNote note;

  afp_crash_enter (&note, AFP_ELEMENT (self));
  if (!priv->opened)
    priv->opened = klass->open ? klass->open (self, error) : TRUE;
  afp_crash_leave (&note);
  return priv->opened;
}

/* 0 before afp_source_open() */
gsize
afp_source_get_n_tensors (AfpSource *self)
{
  AfpSourcePrivate *priv = afp_source_get_instance_private (self);
  return priv->opened ? AFP_SOURCE_GET_CLASS (self)->get_n_tensors (self) : 0;
}

static gboolean
check_index (AfpSource *self, gsize index, GError **error)
{
  AfpSourcePrivate *priv = afp_source_get_instance_private (self);
  const char *name = afp_element_get_name (AFP_ELEMENT (self));
  gsize n = afp_source_get_n_tensors (self);

  if (index < n)
    return TRUE;
  if (!priv->opened)
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "%s: not open yet", name);
  else
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                 "%s: there is no tensor %" G_GSIZE_FORMAT ": the input has %" G_GSIZE_FORMAT, name,
                 index, n);
  return FALSE;
}

/* A source that returns nothing has to say why. */
static AfpTensor *
check_result (AfpSource *self, gsize index, AfpTensor *tensor, GError *local, GError **error)
{
  if (!tensor && !local)
    local = g_error_new (AFP_ERROR, AFP_ERROR_FORMAT,
                         "%s: tensor %" G_GSIZE_FORMAT " cannot be read, and no reason is given",
                         afp_element_get_name (AFP_ELEMENT (self)), index);
  if (local)
    g_propagate_error (error, local);
  return tensor;
}

/* (transfer full): tensor @index without data */
AfpTensor *
afp_source_plan_tensor (AfpSource *self, gsize index, GError **error)
{
  AfpCrashNote note;
  GError *local = NULL;
  if (!check_index (self, index, error))
    return NULL;
  afp_crash_enter (&note, AFP_ELEMENT (self));
  AfpTensor *tensor = AFP_SOURCE_GET_CLASS (self)->plan_tensor (self, index, &local);
  afp_crash_leave (&note);
  return check_result (self, index, tensor, local, error);
}

/* (transfer full): tensor @index with data */
AfpTensor *
afp_source_read_tensor (AfpSource *self, gsize index, GError **error)
{
  AfpCrashNote note;
  GError *local = NULL;
  if (!check_index (self, index, error))
    return NULL;
  afp_crash_enter (&note, AFP_ELEMENT (self));
  AfpTensor *tensor = AFP_SOURCE_GET_CLASS (self)->read_tensor (self, index, &local);
  afp_crash_leave (&note);
  return check_result (self, index, tensor, local, error);
}

guint64
afp_source_get_tensor_memory (AfpSource *self, gsize index, AfpTensor *tensor)
{
  AfpSourceClass *klass = AFP_SOURCE_GET_CLASS (self);
  AfpSize size;

  if (klass->tensor_memory)
    return klass->tensor_memory (self, index);
  if (afp_tensor_is_raw (tensor))
    return afp_spec_get_n_bytes (afp_tensor_get_spec (tensor));
  afp_tensor_get_size (tensor, &size);
  return size.planes;
}

/* (transfer full): facts about the input, an object */
JsonNode *
afp_source_get_info (AfpSource *self)
{
  AfpSourceClass *klass = AFP_SOURCE_GET_CLASS (self);
  JsonNode *info = klass->get_info ? klass->get_info (self) : NULL;

  if (!info) {
    info = json_node_new (JSON_NODE_OBJECT);
    json_node_take_object (info, json_object_new ());
  }
  return info;
}

/* (transfer full) (nullable) */
char *
afp_source_get_fingerprint (AfpSource *self)
{
  AfpSourceClass *klass = AFP_SOURCE_GET_CLASS (self);
  return klass->get_fingerprint ? klass->get_fingerprint (self) : NULL;
}

static void
afp_source_class_init (AfpSourceClass *klass)
{
}

static void
afp_source_init (AfpSource *self)
{
  afp_element_add_pad (AFP_ELEMENT (self), "src", AFP_PAD_SRC);
}
