/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-analysis.h"

#include "afp-identity.h"
#include "afp-memo.h"
#include "afp-pipeline-private.h"

#include <string.h>

#define FORMAT "afpipe analysis 2" /* of the pieces that make the key */

struct _AfpAnalysis {
  gatomicrefcount ref_count;
  GChecksum *checksum; /* of the pieces so far; once it was read, it is complete */
  gboolean complete;
};

G_DEFINE_BOXED_TYPE (AfpAnalysis, afp_analysis, afp_analysis_ref, afp_analysis_unref)

/**
 * afp_element_class_set_analyses: (skip)
 * @klass: the class that is being set up
 * @analyses: (array length=n): static table
 * @n: number of rows
 */
void
afp_element_class_set_analyses (AfpElementClass *klass, const AfpAnalysisInfo *analyses, gsize n)
{
  klass->analyses = analyses;
  klass->n_analyses = n;
}

static const AfpAnalysisInfo *
find_info (AfpElement *element, const char *name)
{
  const AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (element);

  for (gsize i = 0; i < klass->n_analyses; i++)
    if (strcmp (klass->analyses[i].name, name) == 0)
      return &klass->analyses[i];
  g_critical ("%s: the class declares no analysis '%s'", G_OBJECT_TYPE_NAME (element), name);
  return NULL;
}

/**
 * afp_analysis_new:
 * @element: who finds it out
 * @name: of an analysis that its class declares
 *
 * Element, plugin, library and machine are part of what it depends on.
 *
 * Returns: (transfer full) (nullable): the analysis; %NULL, with a critical warning, for one that is not declared
 */
AfpAnalysis *
afp_analysis_new (AfpElement *element, const char *name)
{
  const AfpAnalysisInfo *info = find_info (element, name);

  if (!info)
    return NULL;
  AfpAnalysis *self = g_new0 (AfpAnalysis, 1);
  g_atomic_ref_count_init (&self->ref_count);
  self->checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *version = g_strdup_printf ("%u", info->version);
  const char *const pieces[] = { FORMAT,
                                 afp_identity_get_machine (),
                                 afp_element_get_factory_name (element),
                                 afp_identity_get_code (element),
                                 name,
                                 version };
  for (guint i = 0; i < G_N_ELEMENTS (pieces); i++)
    afp_analysis_add_text (self, pieces[i]);
  return self;
}

AfpAnalysis *
afp_analysis_ref (AfpAnalysis *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
afp_analysis_unref (AfpAnalysis *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_checksum_free (self->checksum);
  g_free (self);
}

/* Kind and length come first, so that no pieces are others cut otherwise. */
static void
add_piece (AfpAnalysis *self, char kind, gconstpointer data, gsize n)
{
  guint8 head[9] = { (guint8) kind };
  const guint64 length = GUINT64_TO_LE ((guint64) n);

  g_return_if_fail (!self->complete);
  memcpy (head + 1, &length, sizeof length);
  g_checksum_update (self->checksum, head, sizeof head);
  for (gsize at = 0; at < n; at += G_MAXINT32)
    g_checksum_update (self->checksum, (const guchar *) data + at,
                       (gssize) MIN (n - at, (gsize) G_MAXINT32));
}

/**
 * afp_analysis_add_text:
 * @self: an analysis
 * @text: (nullable): what it depends on; %NULL is another than ""
 */
void
afp_analysis_add_text (AfpAnalysis *self, const char *text)
{
  add_piece (self, text ? 't' : 'n', text, text ? strlen (text) : 0);
}

/**
 * afp_analysis_add_data:
 * @self: an analysis
 * @data: (array length=n) (element-type guint8): what it depends on
 * @n: bytes
 */
void
afp_analysis_add_data (AfpAnalysis *self, gconstpointer data, gsize n)
{
  add_piece (self, 'd', data, n);
}

/**
 * afp_analysis_get_key:
 * @self: an analysis to which all is added on which it depends: nothing can be added any more
 *
 * Returns: (transfer none): 64 hex digits
 */
const char *
afp_analysis_get_key (AfpAnalysis *self)
{
  self->complete = TRUE;
  return g_checksum_get_string (self->checksum);
}

/* --- in a run ------------------------------------------------------------------------------------------------------ */

static AfpMemo *
get_memo (AfpRun *run)
{
  return afp_run_get_pipeline (run)->memo;
}

/**
 * afp_run_can_keep_analysis:
 * @run: a run
 * @bytes: of the analysis; 0 if that is not known
 *
 * Returns: whether the run has a cache, and one in which so much has room
 */
gboolean
afp_run_can_keep_analysis (AfpRun *run, guint64 bytes)
{
  AfpStore *store = afp_memo_get_store (get_memo (run));

  return store && afp_store_has_room (store, bytes);
}

/**
 * afp_run_find_analysis:
 * @run: a run
 * @analysis: complete
 *
 * Returns: (transfer full) (nullable): what afp_run_keep_analysis() was given for one that depends on the same, in this run or another; in a
 *   mapped file, aligned to 64 bytes. %NULL: nothing, or there is no cache
 */
GBytes *
afp_run_find_analysis (AfpRun *run, AfpAnalysis *analysis)
{
  AfpMemo *memo = get_memo (run);
  AfpStore *store = afp_memo_get_store (memo);

  if (!store)
    return NULL;
  GBytes *bytes = afp_store_get (store, afp_analysis_get_key (analysis));
  afp_memo_count_analysis (memo, bytes != NULL);
  return bytes;
}

/**
 * afp_run_keep_analysis:
 * @run: a run
 * @analysis: complete
 * @bytes: what was found out
 *
 * Without a cache, where it cannot be written, or where they have no room in it, nothing is kept, and that is no error.
 */
void
afp_run_keep_analysis (AfpRun *run, AfpAnalysis *analysis, GBytes *bytes)
{
  AfpMemo *memo = get_memo (run);
  AfpStore *store = afp_memo_get_store (memo);
  g_autoptr (GPtrArray) pieces = g_ptr_array_new ();

  if (!store)
    return;
  g_ptr_array_add (pieces, bytes);
  afp_store_put (store, afp_analysis_get_key (analysis), pieces);
  afp_memo_tell_problem (memo, run);
}
