/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the element seedlm share: layouts, decoding of planes made by hand, runs of pipelines. */
#pragma once

#include "recipe-test.h"

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

/* Refused as a whole, before planning; and again for every plane, so that no damaged recipe gets through. */
static inline void
assert_refused (const char *properties, const char *word, const char *value, const char *hint)
{
  g_autoptr (AfpElement) element = make_seedlm (properties);
  GError *error = NULL;

  ck_assert (!AFP_ELEMENT_GET_CLASS (element)->check (element, &error));
  assert_error (error, AFP_ERROR_PROPERTY, word, value, hint);
  ck_assert_ptr_null (describe (properties, 64, 64, &error));
  assert_error (error, AFP_ERROR_PLAN, word, value, hint);
}

/* --- encoding: with nobody behind it ----------------------------------------------------------------------------------- */

/* The coded plane of a matrix; @metric: as @desc says, or NULL. */
static inline AfpPlane *
encode_plane (const char *properties, const AfpPlaneDesc *desc, const float *values,
              const float *metric, guint threads)
{
  const guint64 shape[] = { desc->rows, desc->cols };
  GError *error = NULL;
  g_autoptr (AfpElement) codec = make_seedlm (properties);
  g_autoptr (AfpElement) asker = afp_registry_make (afp_registry_get_default (), "identity", NULL);
  AfpPad *src = afp_element_get_pad (asker, AFP_PAD_SRC, 0);
  g_autoptr (AfpSpec) spec = afp_spec_new ("fc", AFP_DTYPE_F32, 2, shape, NULL, NULL);
  g_autoptr (GBytes) bytes = g_bytes_new (values, desc->rows * desc->cols * sizeof (float));
  g_autoptr (AfpMatrix) matrix = afp_matrix_new_dense (desc->rows, desc->cols, bytes);
  g_autoptr (AfpPool) pool = threads > 1 ? afp_pool_new (threads) : NULL;

  ck_assert (AFP_ELEMENT_GET_CLASS (codec)->check (codec, &error));
  ck_assert (afp_pad_link (src, afp_element_get_pad (codec, AFP_PAD_SINK, 0), &error));
  g_autoptr (AfpClaim) claim = afp_pad_query_claim (src, spec, "weight", desc);
  ck_assert_ptr_nonnull (claim);
  AfpPlane *plane = afp_claim_encode (claim, matrix, metric, "fc/weight", pool, &error);
  ck_assert_msg (plane != NULL, "%s", error ? error->message : "");
  return plane;
}

/* --- decoding: from bytes that are written by hand ------------------------------------------------------------------- */

static inline gboolean
decode (const char *recipe, guint64 rows, guint64 cols, Leaf *leaves, float *out, GError **error)
{
  g_autoptr (AfpMatrix) matrix = open_recipe (recipe, rows, cols, leaves, error);

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

/* Of the chain behind synth: an error, but no more than so much, within so many bits, and nothing to warn of. */
static inline void
assert_result (const char *chain, double nmse, double bits)
{
  g_autofree char *text = g_strdup_printf ("synth %s ! eval ! null", chain);
  g_auto (Result) result;

  run (text, &result);
  ck_assert_double_le (result.nmse, nmse);
  ck_assert_double_gt (result.nmse, 0);
  ck_assert_double_le (result.bits, bits);
  ck_assert_msg (result.warnings == NULL, "%s", result.warnings);
}
