/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-baseline.h"

#include "json-util.h"

#include <math.h>
#include <string.h>

const AfpBaseline afp_baselines[AFP_N_BASELINES] = {
  { "rtn", "round-to-nearest (rtn)" },
  { "block-float", "block floating point (rtn shared-exponent=true)" },
  { "hyper-entropy", "hyper ! entropy" },
};

char *
afp_chain_get_shape (const char *chain)
{
  g_auto (GStrv) stages = g_strsplit (chain, " ! ", -1);

  for (char **stage = stages; *stage; stage++)
    (*stage)[strcspn (*stage, " ")] = '\0';
  return g_strjoinv (" ! ", stages);
}

/* The chain shows only what a study varies: the pipeline tells. */
static gboolean
has_shared_exponent (JsonObject *record)
{
  g_autoptr (AfpAst) ast = afp_parse (afp_json_get_text (record, "pipeline", ""), NULL, NULL);
  AfpAstChain *chain = ast && ast->chains->len ? ast->chains->pdata[0] : NULL;

  for (guint i = 0; chain && i < chain->nodes->len; i++) {
    const AfpAstNode *node = chain->nodes->pdata[i];
    for (guint k = 0; strcmp (node->name, "rtn") == 0 && k < node->properties->len; k++) {
      const AfpAstProperty *property = node->properties->pdata[k];
      if (strcmp (property->name, "shared-exponent") == 0)
        return strcmp (property->value, "true") == 0;
    }
  }
  return FALSE;
}

char *
afp_record_get_codecs (JsonObject *record)
{
  const char *codecs = afp_json_get_text (record, "codecs", NULL);

  return codecs ? g_strdup (codecs) : afp_chain_get_shape (afp_json_get_text (record, "chain", ""));
}

int
afp_group_get_baseline (const AfpGroup *group)
{
  g_autofree char *shape = afp_record_get_codecs (group->first);

  if (strcmp (shape, "rtn") == 0)
    return has_shared_exponent (group->first) ? 1 : 0;
  return strcmp (shape, "hyper ! entropy") == 0 ? 2 : -1;
}

double
afp_rate_interpolate (GArray *points, double bits, gboolean in_log)
{
  AfpRatePoint below = { -INFINITY, NAN }, above = { INFINITY, NAN };

  for (guint i = 0; i < points->len; i++) {
    const AfpRatePoint point = g_array_index (points, AfpRatePoint, i);
    if (point.bits <= bits && point.bits > below.bits)
      below = point;
    if (point.bits >= bits && point.bits < above.bits)
      above = point;
  }
  if (isinf (below.bits) || isinf (above.bits))
    return NAN;
  if (above.bits == below.bits)
    return below.value;
  const double t = (bits - below.bits) / (above.bits - below.bits);
  if (in_log && below.value > 0 && above.value > 0)
    return exp ((1 - t) * log (below.value) + t * log (above.value));
  return in_log ? NAN : (1 - t) * below.value + t * above.value;
}

/* --- rivals --- */

/* The first eval and what follows; a writing sink becomes null. */
static gboolean
append_tail (GString *text, const AfpAst *ast)
{
  const AfpAstChain *chain = ast->chains->pdata[0];
  guint i = 0;

  while (i < chain->nodes->len &&
         strcmp (((AfpAstNode *) chain->nodes->pdata[i])->name, "eval") != 0)
    i++;
  if (i == chain->nodes->len)
    return FALSE;
  for (; i < chain->nodes->len; i++) {
    const AfpAstNode *node = chain->nodes->pdata[i];
    const gboolean writes = strcmp (node->name, "write") == 0;
    g_string_append_printf (text, " ! %s", writes ? "null" : node->name);
    for (guint k = 0; !writes && k < node->properties->len; k++) {
      const AfpAstProperty *property = node->properties->pdata[k];
      g_autofree char *value = g_strescape (property->value, "\b\f\n\r\t\v\001-\377");
      g_string_append_printf (text, " %s=\"%s\"", property->name, value);
    }
  }
  return TRUE;
}

static gboolean
add_rival (AfpStudy *study, const AfpAst *ast, const char *file, GError **error)
{
  g_autofree char *value = g_strescape (file, "\b\f\n\r\t\v\001-\377");
  g_autofree char *base = g_path_get_basename (file);
  g_autoptr (GString) text = g_string_new (NULL);

  g_string_append_printf (text, "load location=\"%s\"", value);
  if (!append_tail (text, ast)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
                 "--rival %s: the study has no eval that could judge it", file);
    return FALSE;
  }
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text->str, error);
  if (!pipeline)
    return FALSE;
  AfpStudyRun *run = g_new0 (AfpStudyRun, 1);
  run->pipeline = afp_pipeline_get_canonical_text (pipeline, TRUE);
  run->chain = g_strdup_printf ("rival %s", base);
  run->choices = json_object_new ();
  json_object_set_string_member (run->choices, "rival", file);
  run->prefix = -1;
  g_ptr_array_add (study->runs, run);
  return TRUE;
}

gboolean
afp_study_add_rivals (AfpStudy *study, const char *const *files, GError **error)
{
  const AfpStudyRun *first = study->runs->len ? study->runs->pdata[0] : NULL;
  g_autoptr (AfpAst) ast = first ? afp_parse (first->pipeline, NULL, error) : NULL;

  if (!files || !*files)
    return TRUE;
  if (!ast)
    return FALSE;
  if (ast->chains->len != 1) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
                 "--rival %s: only studies without branches can have rivals", *files);
    return FALSE;
  }
  for (; *files; files++)
    if (!add_rival (study, ast, *files, error))
      return FALSE;
  return TRUE;
}
