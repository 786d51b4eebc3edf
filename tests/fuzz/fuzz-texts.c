/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "afp-codec-private.h"
#include "json-util.h"
#include "study.h"

#include <string.h>

#define MEGABYTE (G_GUINT64_CONSTANT (1) << 20)

/* --- pipeline text ------------------------------------------------------------------------------------------------ */

/* Lines NAME=VALUE up to an empty one, as --set gives them. */
static GHashTable *
read_variables (const guint8 **at, const guint8 *end)
{
  GHashTable *variables = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);

  for (;;) {
    g_autofree char *line = fuzz_line (at, end);
    char *equals = line ? strchr (line, '=') : NULL;
    if (!line || !*line || !equals)
      return variables;
    g_hash_table_insert (variables, g_strndup (line, (gsize) (equals - line)),
                         g_strdup (equals + 1));
  }
}

/* The canonical text parses back to the same tree. */
static void
check_canonical (const AfpAst *ast)
{
  g_autofree char *text = afp_ast_to_string (ast);
  g_autoptr (AfpAst) again = afp_parse (text, NULL, NULL);
  g_autofree char *twice = again ? afp_ast_to_string (again) : NULL;

  if (g_strcmp0 (text, twice) != 0)
    fuzz_fail ("canonical text '%.60s' parses to '%.60s'", text, twice ? twice : "nothing");
}

/* A plan may be asked for: few tensors of their own making, and no file that is named. */
static gboolean
may_plan (AfpPipeline *pipeline)
{
  GPtrArray *elements = afp_pipeline_get_elements (pipeline);

  for (guint i = 0; i < elements->len; i++) {
    AfpElement *element = elements->pdata[i];
    gsize n;
    g_autofree const AfpProperty **properties =
        afp_element_class_list_properties (AFP_ELEMENT_GET_CLASS (element), &n);
    for (gsize j = 0; j < n; j++)
      if ((properties[j]->flags & AFP_PROPERTY_FILE) ||
          strcmp (properties[j]->name, "rules") == 0) {
        g_autofree char *value = afp_element_get_property_text (element, properties[j]->name);
        if (value)
          return FALSE;
      }
    if (AFP_IS_SOURCE (element)) {
      g_autofree char *count = afp_element_get_property_text (element, "count");
      if (!count || g_ascii_strtoull (count, NULL, 10) > 16)
        return FALSE;
    }
  }
  return TRUE;
}

static void
run_pipeline (const guint8 *bytes, gsize n)
{
  const guint8 *at = bytes, *end = bytes + n;
  g_autoptr (GHashTable) variables = read_variables (&at, end);
  g_autofree char *text = g_strndup ((const char *) at, (gsize) (end - at));
  GError *error = NULL;
  g_autoptr (AfpAst) ast = afp_parse (text, variables, &error);

  if (!ast) {
    fuzz_check_error (&error);
    return;
  }
  check_canonical (ast);
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_ast (ast, &error);
  if (!pipeline) {
    fuzz_check_error (&error);
    return;
  }
  g_free (afp_pipeline_get_canonical_text (pipeline, TRUE));
  if (!may_plan (pipeline))
    return;
  if (!afp_pipeline_plan (pipeline, &error))
    fuzz_check_error (&error);
}

const FuzzRecord fuzz_pipeline = {
  "pipeline",    "pipeline text and --set: parsed, built and planned",
  run_pipeline,  NULL,
  16 * MEGABYTE, 1024
};

/* --- study -------------------------------------------------------------------------------------------------------- */

/* Every run of it is one line in canonical form and stands behind its prefix. What a choice of nothing leaves may be no pipeline. */
static void
run_study (const guint8 *bytes, gsize n)
{
  const guint8 *at = bytes, *end = bytes + n;
  g_autoptr (GHashTable) variables = read_variables (&at, end);
  g_autofree char *text = g_strndup ((const char *) at, (gsize) (end - at));
  GError *error = NULL;
  g_autoptr (AfpStudy) study = afp_study_new (text, variables, &error);

  if (!study) {
    fuzz_check_error (&error);
    return;
  }
  for (guint i = 0; i < study->runs->len && i < 64; i++) {
    const AfpStudyRun *run = study->runs->pdata[i];
    g_autoptr (AfpAst) ast = *run->pipeline ? afp_parse (run->pipeline, NULL, NULL) : NULL;
    if (ast)
      check_canonical (ast);
    if (strchr (run->pipeline, '\n') || run->prefix >= (int) i)
      fuzz_fail ("run %u, '%.60s': prefix %d, or several lines", i, run->pipeline, run->prefix);
  }
}

const FuzzRecord fuzz_study = { "study",        "study and --set: parsed and expanded",
                                run_study,      NULL,
                                256 * MEGABYTE, 1024 };

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static void
run_json (const guint8 *bytes, gsize n)
{
  GError *error = NULL;
  g_autoptr (JsonNode) node = afp_json_parse ((const char *) bytes, n, 16, "the input", &error);

  if (!node) {
    fuzz_check_error (&error);
    return;
  }
  g_autofree char *text = json_to_string (node, FALSE);
  g_autoptr (JsonNode) again = afp_json_parse (text, strlen (text), 16, "the output", &error);
  if (!again)
    fuzz_fail ("what was written of it does not parse: %s", error->message);
}

const FuzzRecord fuzz_json = { "json", "JSON documents", run_json, NULL, MEGABYTE, 256 };

/* --- rules= of a codec -------------------------------------------------------------------------------------------- */

static void
run_rules (const guint8 *bytes, gsize n)
{
  static const char *const names[] = { "a", "layers.0.weight", "" };
  g_autofree char *path = fuzz_path ("rules.txt");
  g_autoptr (AfpElement) element = afp_registry_make (afp_registry_get_default (), "vptq", NULL);
  GError *error = NULL;

  fuzz_put (path, bytes, n);
  if (!element || !afp_element_set_property_text (element, "rules", path, NULL))
    fuzz_fail ("no element vptq");
  AfpRouting *routing = afp_codec_get_routing (AFP_CODEC (element));
  if (!afp_routing_prepare (routing, AFP_CODEC (element), &error)) {
    fuzz_check_error (&error);
    return;
  }
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (AfpSpec) spec =
        afp_spec_new (names[i], AFP_DTYPE_F32, 2, (const guint64[]){ 64, 64 }, NULL, NULL);
    g_autoptr (AfpPlane) raw = afp_plane_new_raw (spec, NULL);
    g_autofree char *why = NULL;
    if (!afp_routing_match (routing, AFP_CODEC (element), spec, afp_plane_get_desc (raw), &why) &&
        !why)
      fuzz_fail ("a tensor is left alone without a reason");
  }
}

const FuzzRecord fuzz_rules = { "rules", "the file that rules= names", run_rules, NULL, MEGABYTE,
                                1024 };

/* --- small texts: caps, sizes, views ------------------------------------------------------------------------------ */

static void
run_caps (const guint8 *bytes, gsize n)
{
  g_autofree char *text = g_strndup ((const char *) bytes, n);
  GError *error = NULL;
  g_autoptr (AfpCaps) caps = afp_caps_parse (text, &error);
  guint64 size;
  AfpView view;
  gboolean is_other = afp_parse_size (text, &size);

  for (guint rank = 0; rank < 5; rank++)
    if (afp_view_parse (text, rank, &view)) {
      g_free (afp_view_to_string (&view));
      is_other = TRUE;
    }
  if (is_other || !g_utf8_validate (text, -1, NULL)) { /* the parser of pipelines sees to that */
    g_clear_error (&error);
    return;
  }
  if (!caps) {
    fuzz_check_error (&error);
    return;
  }
  g_autofree char *canonical = afp_caps_to_string (caps);
  g_autoptr (AfpCaps) again = afp_caps_parse (canonical, NULL);
  g_autofree char *twice = again ? afp_caps_to_string (again) : NULL;
  if (g_strcmp0 (canonical, twice) != 0)
    fuzz_fail ("caps '%.60s' parse to '%.60s'", canonical, twice ? twice : "nothing");
}

const FuzzRecord fuzz_caps = { "caps", "caps, views and sizes", run_caps, NULL, MEGABYTE, 256 };
