/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-pipeline-private.h"

#include "afp-caps.h"
#include "afp-error.h"

/*
 * assert: "... ! tensor,dtype=f16,rank=2 ! ...": every planned tensor must meet the caps; at run time tensors pass as they are.
 */
struct _AfpAssert {
  AfpTransform parent_instance;
  char *caps_text;
  AfpCaps *caps;
  char *text; /* of the pipeline, for carets; may be NULL */
  gsize column;
};

G_DEFINE_FINAL_TYPE (AfpAssert, afp_assert, AFP_TYPE_TRANSFORM)

static const AfpProperty afp_assert_properties[] = {
  AFP_PROP_STRING ("caps", NULL, AFP_PROPERTY_REQUIRED, AfpAssert, caps_text, NULL,
                   "What every tensor must be, for example tensor,dtype=f16,rank=2"),
};

/* In a pipeline text the assertion stands at @column. */
void
afp_assert_set_place (AfpAssert *self, const char *text, gsize column)
{
  g_free (self->text);
  self->text = g_strdup (text);
  self->column = column;
}

static gboolean
afp_assert_check (AfpElement *element, GError **error)
{
  AfpAssert *self = AFP_ASSERT (element);

  if (self->caps || !self->caps_text)
    return TRUE;
  self->caps = afp_caps_parse (self->caps_text, error);
  return self->caps != NULL;
}

static AfpTensor *
afp_assert_plan_tensor (AfpTransform *transform, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  AfpAssert *self = AFP_ASSERT (transform);
  GError *local = NULL;

  if (!afp_assert_check (AFP_ELEMENT (self), error))
    return NULL;
  if (!self->caps || afp_caps_accept (self->caps, tensor, &local))
    return afp_tensor_ref (tensor);
  if (self->text)
    afp_error_add_caret (local, self->text, self->column);
  g_propagate_error (error, local);
  return NULL;
}

static AfpTensor *
afp_assert_process (AfpTransform *transform, AfpTensor *tensor, GError **error)
{
  return afp_tensor_ref (tensor);
}

static void
afp_assert_finalize (GObject *object)
{
  AfpAssert *self = AFP_ASSERT (object);

  g_clear_pointer (&self->caps, afp_caps_free);
  g_free (self->text);
  G_OBJECT_CLASS (afp_assert_parent_class)->finalize (object);
}

static void
afp_assert_class_init (AfpAssertClass *klass)
{
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);
  AfpTransformClass *transform_class = AFP_TRANSFORM_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = afp_assert_finalize;
  element_class->check = afp_assert_check;
  transform_class->plan_tensor = afp_assert_plan_tensor;
  transform_class->process = afp_assert_process;
  afp_element_class_add_properties (element_class, afp_assert_properties,
                                    G_N_ELEMENTS (afp_assert_properties), 0);
  afp_element_class_set_details (element_class,
                                 "Refuses, at plan time, tensors that are not as asked for.",
                                 "load location=model.safetensors ! tensor,dtype=f16 ! null");
}

static void
afp_assert_init (AfpAssert *self)
{
}
