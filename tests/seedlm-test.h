/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the element seedlm share: layouts, decoding of planes made by hand, runs of pipelines. */
#pragma once

#include "core-test.h"

static inline AfpElement *
make_seedlm (const char *properties)
{
  GError *error = NULL;
  AfpElement *element = afp_registry_make (afp_registry_get_default (), "seedlm", &error);

  ck_assert_msg (element != NULL, "%s", error ? error->message : "");
  ck_assert_msg (afp_element_set_properties_text (element, properties, &error), "%s",
                 error ? error->message : "");
  return element;
}

static inline AfpPlaneDesc
make_desc (guint64 rows, guint64 cols)
{
  return (AfpPlaneDesc){
    .name = "weight", .kind = AFP_KIND_WEIGHT, .rows = rows, .cols = cols, .fallback = "raw32"
  };
}

static inline AfpLayout *
describe (const char *properties, guint64 rows, guint64 cols, GError **error)
{
  g_autoptr (AfpElement) element = make_seedlm (properties);
  const AfpPlaneDesc desc = make_desc (rows, cols);

  return afp_codec_describe (AFP_CODEC (element), &desc, error);
}

/* --- decoding: from bytes that are written by hand ------------------------------------------------------------------- */

typedef struct {
  const char *path;
  const void *data;
  gsize n;
} Leaf;

static inline GBytes *
leaf_data (guint leaf, const AfpPlaneDesc *desc, const char *path, gpointer user_data,
           GError **error)
{
  for (const Leaf *l = user_data; l->path; l++)
    if (strcmp (l->path, path) == 0)
      return g_bytes_new (l->data, l->n);
  ck_abort_msg ("no data for %s", path);
  return NULL;
}

static inline gboolean
decode (const char *recipe, guint64 rows, guint64 cols, Leaf *leaves, float *out, GError **error)
{
  const guint64 shape[] = { rows, cols };
  g_autoptr (AfpSpec) spec = afp_spec_new ("fc", AFP_DTYPE_F32, 2, shape, NULL, NULL);
  g_autoptr (AfpPlane) root = afp_recipe_build (recipe, spec, leaf_data, leaves, error);
  g_autoptr (AfpMatrix) matrix = root ? afp_plane_open (root, spec, error) : NULL;

  return matrix && afp_matrix_read (matrix, 0, rows, 0, cols, out, error);
}

/* --- pipelines ------------------------------------------------------------------------------------------------------- */

typedef struct {
  double nmse, bits;
  char *warnings;
} Result;

static inline void
on_message (AfpMessage *message, gpointer user_data)
{
  Result *result = user_data;

  if (afp_message_get_message_type (message) != AFP_MESSAGE_WARNING)
    return;
  char *all = g_strconcat (result->warnings ? result->warnings : "", afp_message_get_text (message),
                           "\n", NULL);
  g_free (result->warnings);
  result->warnings = all;
}

static inline void
result_clear (Result *result)
{
  g_free (result->warnings);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Result, result_clear)

static inline gboolean
try_run (const char *text, guint threads, Result *result, GError **error)
{
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, error);

  *result = (Result){ 0 };
  if (!pipeline)
    return FALSE;
  afp_pipeline_set_threads (pipeline, threads);
  afp_pipeline_set_handler (pipeline, on_message, result);
  if (!afp_pipeline_run (pipeline, error))
    return FALSE;
  g_autoptr (JsonNode) report = afp_pipeline_get_report (pipeline, NULL);
  JsonObject *total = json_object_get_object_member (json_node_get_object (report), "total");
  result->bits = json_object_get_double_member (total, "bits_per_weight");
  result->nmse = json_object_get_double_member (total, "nmse");
  return TRUE;
}

static inline void
run (const char *text, Result *result)
{
  GError *error = NULL;

  ck_assert_msg (try_run (text, 1, result, &error), "%s: %s", text, error ? error->message : "");
}
