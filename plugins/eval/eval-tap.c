/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-tap.h"

#include "eval-command.h"
#include "eval-export.h"
#include "eval-progress.h"

#include <math.h>
#include <string.h>

EvalTap *
eval_tap_new (void)
{
  EvalTap *tap = g_new0 (EvalTap, 1);

  tap->specs =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) afp_spec_unref);
  tap->names = g_ptr_array_new ();
  tap->original = TRUE;
  return tap;
}

void
eval_tap_free (EvalTap *tap)
{
  g_free (tap->key);
  g_ptr_array_unref (tap->names);
  g_hash_table_unref (tap->specs);
  g_clear_pointer (&tap->question, eval_question_free);
  g_clear_pointer (&tap->kept, eval_kept_free);
  g_clear_pointer (&tap->scores, eval_scores_free);
  g_free (tap);
}

/* --- the plan ----------------------------------------------------------------------------------------------------- */

void
eval_tap_plan (EvalTap *tap, AfpTensor *tensor)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  char *name = g_strdup (afp_spec_get_name (spec));

  if (g_hash_table_insert (tap->specs, name, afp_spec_ref (spec)))
    g_ptr_array_add (tap->names, name);
  tap->original = tap->original && afp_tensor_get_original (tensor) != NULL;
}

/* What the largest tensor takes when it is written for a program outside: the numbers, and the array. */
static guint64
get_export_memory (EvalTap *tap)
{
  guint64 most = 0;

  for (guint i = 0; i < tap->names->len; i++) {
    AfpSpec *spec = g_hash_table_lookup (tap->specs, tap->names->pdata[i]);
    most = MAX (most, afp_spec_get_n_elements (spec) * 2 * sizeof (float));
  }
  return most;
}

gboolean
eval_tap_settle (EvalTap *tap, const EvalOptions *options, const EvalOutside *outside,
                 AfpElement *element, AfpSource *original, const char *place, AfpPlan *plan,
                 GError **error)
{
  g_autoptr (GPtrArray) sources = afp_element_list_sources (element);
  g_autofree char *key = eval_options_to_key (options);
  guint64 bytes;

  g_free (tap->key);
  tap->key = g_strdup_printf ("%p\n%s\n%s", sources->len ? sources->pdata[0] : NULL,
                              place ? place : "", key);
  g_clear_pointer (&tap->question, eval_question_free);
  if (outside->command && *outside->command)
    afp_plan_note_judge_memory (plan, element, get_export_memory (tap));
  if (eval_options_is_empty (options))
    return TRUE;
  tap->question = eval_question_new (options, element, original, error);
  if (!tap->question || !eval_question_check (tap->question, tap->specs, &bytes, error))
    return FALSE;
  afp_plan_note_judge_memory (plan, element, bytes);
  return TRUE;
}

/* --- the run ------------------------------------------------------------------------------------------------------ */

void
eval_tap_start (EvalTap *tap, AfpRun *run)
{
  g_clear_pointer (&tap->kept, eval_kept_free);
  g_clear_pointer (&tap->scores, eval_scores_free);
  tap->kept = eval_kept_new (run);
  tap->scores = eval_scores_new ();
  tap->asked = FALSE;
  g_atomic_int_set (&tap->joint, 0);
}

/* Has an element behind this place told the one before what becomes of the plane? */
static gboolean
find_joint (AfpPlane *plane, const char *path, gpointer user_data)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  AfpPlane *frozen = afp_plane_get_codec (plane) ? NULL : afp_plane_get_frozen (plane);
  const gsize n = desc->fallback ? strcspn (desc->fallback, " ") : 0;

  if (!frozen || !afp_plane_get_codec (frozen))
    return TRUE;
  const char *codec = afp_plane_get_codec (frozen);
  if (strlen (codec) != n || strncmp (codec, desc->fallback, n) != 0)
    g_atomic_int_set ((gint *) user_data, 1);
  return TRUE;
}

gboolean
eval_tap_keep (EvalTap *tap, AfpTensor *tensor, AfpTensor *final, GError **error)
{
  if (!g_atomic_int_get (&tap->joint))
    afp_plane_foreach (afp_tensor_get_root (tensor), find_joint, &tap->joint);
  return eval_kept_add (tap->kept, final, error);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

gboolean
eval_tap_ask (GPtrArray *taps, AfpSource *source, AfpSource *reference, AfpElement *element,
              AfpRun *run, GError **error)
{
  g_autoptr (GPtrArray) made = g_ptr_array_new_with_free_func ((GDestroyNotify) eval_subject_free);
  g_autoptr (EvalSubject) original = reference ? eval_subject_new (reference, NULL, error) : NULL;
  g_autofree EvalSubject **subjects = g_new0 (EvalSubject *, taps->len);
  g_autofree EvalScores **scores = g_new0 (EvalScores *, taps->len);
  EvalTap *first = taps->pdata[0];
  EvalProgress progress;

  if (reference && !original)
    return FALSE;
  for (guint i = 0; i < taps->len; i++) {
    EvalTap *tap = taps->pdata[i];
    tap->asked = TRUE;
    scores[i] = tap->scores;
    if (reference == source && !eval_kept_differs (tap->kept))
      continue;
    subjects[i] = eval_subject_new (source, tap->kept, error);
    if (!subjects[i])
      return FALSE;
    g_ptr_array_add (made, subjects[i]);
  }
  eval_progress_init (&progress, run, element);
  g_autoptr (EvalRecall) recall =
      reference ? eval_recall_new (run, element, reference, error) : NULL;
  if (reference && !recall)
    return FALSE;
  const EvalAsked asked = { original, subjects, scores, taps->len };
  const guint64 useful = eval_question_get_memory (first->question, taps->len + 1);
  const EvalMeans means = { afp_run_get_pool (run), MIN (useful, afp_run_get_room (run)),
                            eval_progress_tell, &progress, recall };
  return afp_run_borrow_memory (run, means.bytes, error) &&
         eval_question_ask (first->question, &asked, &means, error);
}

/* --- a program outside -------------------------------------------------------------------------------------------- */

static JsonObject *
run_outside (const EvalOutside *outside, AfpSource *source, EvalKept *kept, GPtrArray *names,
             AfpElement *element, AfpRun *run, GError **error)
{
  g_autoptr (EvalSubject) subject = eval_subject_new (source, kept, error);
  g_autoptr (EvalExport) export =
      subject ? eval_export_new (subject, names, element, run, error) : NULL;
  JsonObject *metrics = NULL;

  if (!export ||
      !eval_command_run (outside->command, eval_export_get_path (export), outside->seconds,
                         afp_run_get_cancellable (run), &metrics, error))
    return NULL;
  return metrics;
}

static double
get_number (JsonObject *metrics, const char *name)
{
  JsonNode *node = metrics ? json_object_get_member (metrics, name) : NULL;

  return node ? json_node_get_double (node) : NAN;
}

gboolean
eval_tap_ask_outside (EvalTap *tap, const EvalOutside *outside, AfpSource *source,
                      AfpSource *reference, AfpElement *element, AfpRun *run, GError **error)
{
  g_autoptr (JsonObject) original = NULL;
  g_autoptr (JsonObject) metrics =
      run_outside (outside, source, tap->kept, tap->names, element, run, error);

  tap->asked = TRUE;
  if (!metrics)
    return FALSE;
  if (reference &&
      !(original = run_outside (outside, reference, NULL, tap->names, element, run, error))) {
    g_prefix_error (error, "with the original: ");
    return FALSE;
  }
  g_autoptr (GList) names = json_object_get_members (metrics);
  for (GList *l = names; l; l = l->next) {
    double value;
    if (eval_scores_get (tap->scores, l->data, &value)) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "command '%s' says '%s', which is measured here, too: let it have another name",
                   outside->command, (const char *) l->data);
      return FALSE;
    }
    eval_scores_add_foreign (tap->scores, l->data, get_number (metrics, l->data),
                             get_number (original, l->data));
  }
  return TRUE;
}

/* --- results ------------------------------------------------------------------------------------------------------ */

void
eval_tap_to_json (const EvalTap *tap, JsonObject *object)
{
  eval_scores_to_json (tap->scores, object);
  json_object_set_boolean_member (object, "joint", g_atomic_int_get (&tap->joint));
}

char *
eval_tap_to_string (const EvalTap *tap)
{
  g_autofree char *scores = eval_scores_to_string (tap->scores);

  if (!g_atomic_int_get (&tap->joint))
    return g_steal_pointer (&scores);
  return g_strconcat (scores,
                      "  (a joint chain: this is what would be written here, not the best that the "
                      "stages before could do alone)\n",
                      NULL);
}
