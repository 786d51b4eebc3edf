/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "calibrate-run.h"

#include "eval-spill.h"
#include "runtime/moment-sum.h"

/* The weights of a layer that see the same inputs are observed together; the first of them names the sum. */
static const AfpLmTensor linear[] = { AFP_LM_Q,    AFP_LM_K,  AFP_LM_V,   AFP_LM_O,
                                      AFP_LM_GATE, AFP_LM_UP, AFP_LM_DOWN };
static const AfpLmTensor inputs[] = { AFP_LM_Q, AFP_LM_O, AFP_LM_GATE, AFP_LM_DOWN };

typedef struct {
  char **tensors;
  gsize size;
  AfpMomentSum *sum; /* while its layer is at work */
  gboolean stored;   /* an earlier part is in the file */
  EvalPlace place;
} Entry;

typedef struct {
  const CalibrateMeans *means;
  MomentWriter *writer;
  EvalSpill *spill; /* NULL: nothing was put away so far */
  GPtrArray *entries;
  GHashTable *by_name;    /* the first tensor's name -> Entry */
  GPtrArray *at_work;     /* entries with sums (borrowed) */
  gboolean one_at_a_time; /* the next sum puts away those at work */
  guint done, all;
} Run;

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_strfreev (entry->tensors);
  g_clear_pointer (&entry->sum, afp_moment_sum_free);
  g_free (entry);
}

/* --- what is planned ---------------------------------------------------------------------------------------------- */

static GHashTable *
make_table (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                (GDestroyNotify) afp_moments_unref);
}

GHashTable *
calibrate_plan_language (const AfpLmConfig *config, gboolean diagonal)
{
  GHashTable *all = make_table ();
  guint64 rows, cols;

  for (guint layer = 0; layer < config->n_layers; layer++)
    for (guint i = 0; i < G_N_ELEMENTS (linear); i++)
      if (afp_lm_tensor_shape (config, linear[i], &rows, &cols))
        g_hash_table_insert (all, afp_lm_tensor_name (config, linear[i], layer),
                             afp_moments_new (cols, diagonal, 0, NULL));
  return all;
}

GHashTable *
calibrate_plan_vision (const AfpNet *net, gboolean diagonal)
{
  GHashTable *all = make_table ();
  const AfpNetGraph *graph = afp_net_get_graph (net);

  for (guint i = 0; i < graph->nodes->len; i++) {
    const char *name = afp_net_get_observed (net, i);
    if (name)
      g_hash_table_insert (
          all, g_strdup (name),
          afp_moments_new (afp_net_graph_get (graph, i)->weights[0].cols, diagonal, 0, NULL));
  }
  return all;
}

static guint64
get_sum_memory (guint64 size, gboolean diagonal)
{
  return afp_moment_sum_get_memory (size, diagonal) +
         afp_moments_n_stored (size, diagonal) * sizeof (float);
}

guint64
calibrate_get_memory_language (const EvalLanguage *language, gboolean diagonal)
{
  const guint64 tokens = MAX (AFP_LM_GROUP_TOKENS, language->context);
  guint64 bytes = eval_language_get_memory (language, 1) +
                  tokens * language->config.hidden * sizeof (float); /* kept to be told of */
  guint64 rows, cols;

  for (guint i = 0; i < G_N_ELEMENTS (inputs); i++)
    if (afp_lm_tensor_shape (&language->config, inputs[i], &rows, &cols))
      bytes += get_sum_memory (cols, diagonal);
  return bytes;
}

gsize
calibrate_get_max_tokens (const EvalLanguage *language, gboolean diagonal, guint64 bytes)
{
  const guint64 least = calibrate_get_memory_language (language, diagonal);
  const guint64 token = (guint64) language->config.dim * sizeof (float);

  return bytes > least ? (gsize) ((bytes - least) / token) : 1;
}

guint64
calibrate_get_memory_vision (GHashTable *planned, gboolean diagonal)
{
  GHashTableIter iter;
  gpointer moments;
  guint64 most = 0;

  g_hash_table_iter_init (&iter, planned);
  while (g_hash_table_iter_next (&iter, NULL, &moments))
    most = MAX (most, get_sum_memory (afp_moments_get_size (moments), diagonal));
  return most;
}

/* --- sums --------------------------------------------------------------------------------------------------------- */

static Entry *
find_entry (Run *run, const char *const *tensors, gsize size)
{
  Entry *entry = g_hash_table_lookup (run->by_name, tensors[0]);

  if (!entry) {
    entry = g_new0 (Entry, 1);
    entry->tensors = g_strdupv ((char **) tensors);
    entry->size = size;
    g_ptr_array_add (run->entries, entry);
    g_hash_table_insert (run->by_name, entry->tensors[0], entry);
  }
  return entry;
}

/* What an earlier part has left. */
static gboolean
begin_sum (Run *run, Entry *entry, GError **error)
{
  gsize n;

  entry->sum = afp_moment_sum_new (entry->size, run->means->diagonal);
  g_ptr_array_add (run->at_work, entry);
  gpointer state = afp_moment_sum_get_state (entry->sum, &n);
  return !entry->stored || eval_spill_read (run->spill, &entry->place, state, error);
}

/* Into the file, until more of it comes. */
static gboolean
put_away (Run *run, Entry *entry, GError **error)
{
  gsize n;
  gpointer state = afp_moment_sum_get_state (entry->sum, &n);

  if (entry->stored)
    return eval_spill_replace (run->spill, &entry->place, state, error);
  if (!run->spill && !(run->spill = eval_spill_new (error)))
    return FALSE;
  entry->stored = TRUE;
  return eval_spill_append (run->spill, state, n, &entry->place, error);
}

static gboolean
write_mean (Run *run, Entry *entry, GError **error)
{
  const gboolean diagonal = run->means->diagonal;
  g_autofree float *mean = g_new (float, afp_moments_n_stored (entry->size, diagonal));

  afp_moment_sum_get_mean (entry->sum, mean);
  return moment_writer_add (run->writer, (const char *const *) entry->tensors, entry->size,
                            diagonal, afp_moment_sum_get_n_samples (entry->sum), mean, error);
}

/* No more comes of the sums at work for now, or @last: for good. */
static gboolean
end_sums (Run *run, gboolean last, GError **error)
{
  gboolean ok = TRUE;

  for (guint i = 0; i < run->at_work->len; i++) {
    Entry *entry = run->at_work->pdata[i];
    ok = ok && (last ? write_mean : put_away) (run, entry, error);
    g_clear_pointer (&entry->sum, afp_moment_sum_free);
  }
  g_ptr_array_set_size (run->at_work, 0);
  return ok;
}

static gboolean
observe (gpointer user_data, const char *const *tensors, gsize n, gsize dim, const float *x,
         AfpPool *pool, GError **error)
{
  Run *run = user_data;
  Entry *entry = find_entry (run, tensors, dim);

  if (!entry->sum && run->one_at_a_time && !end_sums (run, FALSE, error))
    return FALSE;
  return (entry->sum || begin_sum (run, entry, error)) &&
         afp_moment_sum_add (entry->sum, n, x, pool, error);
}

static void
run_init (Run *run, const CalibrateMeans *means, MomentWriter *writer)
{
  *run = (Run){ .means = means, .writer = writer };
  run->entries = g_ptr_array_new_with_free_func (entry_free);
  run->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  run->at_work = g_ptr_array_new ();
}

static void
run_clear (Run *run)
{
  g_ptr_array_unref (run->at_work);
  g_hash_table_unref (run->by_name);
  g_ptr_array_unref (run->entries);
  g_clear_pointer (&run->spill, eval_spill_free);
}

/* --- a language model --------------------------------------------------------------------------------------------- */

static gboolean
run_part (Run *run, AfpLm *lm, const AfpLmText *text, gboolean last, GError **error)
{
  const CalibrateMeans *means = run->means;
  g_autofree float *x = afp_lm_embed (lm, text, means->pool, error);
  gboolean ok = x != NULL;

  for (guint layer = 0; ok && layer < afp_lm_get_config (lm)->n_layers; layer++) {
    ok = afp_lm_run_layer (lm, layer, text, x, means->pool, error) && end_sums (run, last, error);
    if (ok && means->progress)
      means->progress (means->user_data, ++run->done, run->all);
  }
  return ok;
}

static gboolean
run_parts (Run *run, AfpLm *lm, const AfpLmText *text, gsize max_tokens, GError **error)
{
  run->all = afp_lm_text_count_parts (text, max_tokens) * afp_lm_get_config (lm)->n_layers;
  for (gsize first = 0, last; first < text->n_documents; first = last) {
    last = afp_lm_text_get_part_end (text, first, max_tokens);
    g_autoptr (AfpLmText) part = afp_lm_text_new_part (text, first, last);
    if (!run_part (run, lm, part, last == text->n_documents, error))
      return FALSE;
  }
  return TRUE;
}

gboolean
calibrate_run_language (EvalLanguage *language, const AfpLmText *text, EvalSubject *subject,
                        const CalibrateMeans *means, MomentWriter *writer, GError **error)
{
  g_autoptr (AfpLm) lm = afp_lm_new (&language->config, eval_subject_open, subject, error);
  const gsize max_tokens = calibrate_get_max_tokens (language, means->diagonal, means->bytes);
  Run run;

  if (!lm)
    return FALSE;
  run_init (&run, means, writer);
  afp_lm_set_observer (lm, observe, &run);
  const gboolean ok = run_parts (&run, lm, text, max_tokens, error);
  run_clear (&run);
  return ok;
}

/* --- an image classifier ------------------------------------------------------------------------------------------ */

/* Sums of all layers, one in memory at a time; the others in the file. */
static gboolean
write_all (Run *run, GError **error)
{
  gboolean ok = end_sums (run, FALSE, error);

  for (guint i = 0; ok && i < run->entries->len; i++)
    ok = begin_sum (run, run->entries->pdata[i], error) && end_sums (run, TRUE, error);
  return ok;
}

gboolean
calibrate_run_vision (EvalVision *vision, EvalSubject *subject, const CalibrateMeans *means,
                      MomentWriter *writer, GError **error)
{
  g_autoptr (AfpNet) net = eval_vision_make_net (vision, subject, error);
  const AfpNetOptions options = { vision->scale, MIN (means->bytes / 2, EVAL_VISION_ROUND) };
  Run run;

  if (!net)
    return FALSE;
  run_init (&run, means, writer);
  run.one_at_a_time = TRUE;
  afp_net_set_observer (net, observe, &run);
  g_autofree float *out = afp_net_run (net, vision->images, &options, means->pool, means->progress,
                                       means->user_data, error);
  const gboolean ok = out && write_all (&run, error);
  run_clear (&run);
  return ok;
}
