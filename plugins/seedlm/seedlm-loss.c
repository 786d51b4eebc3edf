/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-loss.h"

#include <math.h>
#include <string.h>

#define CHUNK 32 /* blocks per piece of work */

/* --- one plane ------------------------------------------------------------------------------------------------------- */

typedef struct {
  SeedlmWorkers *workers;
  AfpQuantizer *quantizer;
  const float *blocks;
  gsize n;
  double *fast, *exact; /* n each */
} LossJob;

static gboolean
search_chunk (gsize index, gpointer user_data, GError **error)
{
  LossJob *job = user_data;
  const SeedlmBasis *basis = seedlm_workers_get_basis (job->workers);
  const gsize from = index * CHUNK, n = MIN (CHUNK, job->n - from);
  const guint n_codes = job->quantizer ? afp_quantizer_get_n_codes (job->quantizer) : 0;
  const float *blocks = job->blocks + from * basis->block_size;
  SeedlmAsk ask = { job->quantizer, basis->rank, error };
  const SeedlmSearchParams params = { .quantize = job->quantizer ? seedlm_ask_quantize : NULL,
                                      .user_data = &ask,
                                      .n_codes = n_codes };
  g_autofree guint32 *codes = g_new (guint32, (gsize) CHUNK * n_codes + 1);
  guint32 seeds[CHUNK];
  float t[CHUNK * SEEDLM_MAX_RANK];
  SeedlmSearch *search = seedlm_workers_take (job->workers, error);

  if (!search)
    return FALSE;
  gboolean ok =
      seedlm_search_run (search, &params, blocks, NULL, n, seeds, t, codes, job->fast + from);
  if (ok && (ok = seedlm_workers_set_exact (job->workers, search, TRUE, error)))
    ok = seedlm_search_run (search, &params, blocks, NULL, n, seeds, t, codes, job->exact + from) &&
         seedlm_workers_set_exact (job->workers, search, FALSE, error);
  seedlm_workers_give (job->workers, search);
  return ok;
}

static gboolean
is_zero (const float *block, guint length)
{
  for (guint i = 0; i < length; i++)
    if (block[i] != 0)
      return FALSE;
  return TRUE;
}

gboolean
seedlm_loss_measure (SeedlmWorkers *workers, AfpQuantizer *quantizer, AfpPool *pool,
                     const float *blocks, gsize n, SeedlmLossSums *sums, GError **error)
{
  const guint length = seedlm_workers_get_basis (workers)->block_size;
  g_autofree float *kept = g_new (float, n *length + 1);
  g_autofree double *errors = g_new (double, 2 * n + 1);
  LossJob job = { workers, quantizer, kept, 0, errors, errors + n };

  *sums = (SeedlmLossSums){ 0 };
  for (gsize b = 0; b < n; b++)
    if (!is_zero (blocks + b * length, length))
      memcpy (kept + job.n++ * length, blocks + b * length, length * sizeof *kept);
  if (!afp_parallel_for (pool, (job.n + CHUNK - 1) / CHUNK, search_chunk, &job, error))
    return FALSE;
  sums->blocks = job.n;
  for (gsize b = 0; b < job.n; b++) {
    sums->fast += job.fast[b];
    sums->exact += job.exact[b];
  }
  return TRUE;
}

/* --- a run ----------------------------------------------------------------------------------------------------------- */

struct _SeedlmLoss {
  GMutex lock;
  GTree
      *planes; /* name -> SeedlmLossSums, in the order of names: so are they added up; under lock */
};

static gint
compare_names (gconstpointer a, gconstpointer b, gpointer user_data)
{
  return strcmp (a, b);
}

SeedlmLoss *
seedlm_loss_new (void)
{
  SeedlmLoss *loss = g_new0 (SeedlmLoss, 1);

  g_mutex_init (&loss->lock);
  loss->planes = g_tree_new_full (compare_names, NULL, g_free, g_free);
  return loss;
}

void
seedlm_loss_free (SeedlmLoss *loss)
{
  g_tree_unref (loss->planes);
  g_mutex_clear (&loss->lock);
  g_free (loss);
}

void
seedlm_loss_set (SeedlmLoss *loss, const char *name, const SeedlmLossSums *sums)
{
  g_mutex_lock (&loss->lock);
  g_tree_replace (loss->planes, g_strdup (name), g_memdup2 (sums, sizeof *sums));
  g_mutex_unlock (&loss->lock);
}

static JsonObject *
new_object (JsonNode **node)
{
  JsonObject *object = json_object_new ();

  *node = json_node_init_object (json_node_alloc (), object);
  json_object_unref (object);
  return object;
}

static gboolean
add_up (gpointer name, gpointer value, gpointer user_data)
{
  const SeedlmLossSums *sums = value;
  SeedlmLossSums *all = user_data;

  all->blocks += sums->blocks;
  all->fast += sums->fast;
  all->exact += sums->exact;
  return FALSE;
}

JsonNode *
seedlm_loss_to_json (SeedlmLoss *loss)
{
  SeedlmLossSums all = { 0 };
  JsonNode *node;

  g_mutex_lock (&loss->lock);
  g_tree_foreach (loss->planes, add_up, &all);
  g_mutex_unlock (&loss->lock);
  if (all.blocks == 0)
    return NULL;
  JsonObject *object = new_object (&node);
  if (all.exact > 0)
    json_object_set_double_member (object, "search_loss_db", 10 * log10 (all.fast / all.exact));
  else
    json_object_set_null_member (object, "search_loss_db");
  json_object_set_int_member (object, "search_blocks", (gint64) all.blocks);
  return node;
}

/* --- an interrupted run ---------------------------------------------------------------------------------------------- */

typedef struct {
  const char *prefix;
  JsonObject *object;
} Save;

/* Numbers as text, of which none of their bits is lost. */
static gboolean
save_plane (gpointer name, gpointer value, gpointer user_data)
{
  const SeedlmLossSums *sums = value;
  const Save *save = user_data;
  char fast[G_ASCII_DTOSTR_BUF_SIZE], exact[G_ASCII_DTOSTR_BUF_SIZE];

  if (!g_str_has_prefix (name, save->prefix))
    return FALSE;
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT " %s %s", sums->blocks,
                                           g_ascii_dtostr (fast, sizeof fast, sums->fast),
                                           g_ascii_dtostr (exact, sizeof exact, sums->exact));
  json_object_set_string_member (save->object, name, text);
  return FALSE;
}

JsonNode *
seedlm_loss_save (SeedlmLoss *loss, const char *tensor)
{
  g_autofree char *prefix = g_strconcat (tensor, "/", NULL);
  g_autoptr (JsonNode) node = NULL;
  Save save = { prefix, new_object (&node) };

  g_mutex_lock (&loss->lock);
  g_tree_foreach (loss->planes, save_plane, &save);
  g_mutex_unlock (&loss->lock);
  return json_object_get_size (save.object) ? g_steal_pointer (&node) : NULL;
}

static gboolean
parse_sum (const char *text, double *sum)
{
  char *end;

  *sum = g_ascii_strtod (text, &end);
  return end != text && *end == 0 && isfinite (*sum) && *sum >= 0;
}

static gboolean
parse_sums (JsonNode *node, SeedlmLossSums *sums)
{
  const char *text = JSON_NODE_HOLDS_VALUE (node) ? json_node_get_string (node) : NULL;
  g_auto (GStrv) words = g_strsplit (text ? text : "", " ", -1);

  return g_strv_length (words) == 3 &&
         g_ascii_string_to_unsigned (words[0], 10, 1, SEEDLM_LOSS_BLOCKS, &sums->blocks, NULL) &&
         parse_sum (words[1], &sums->fast) && parse_sum (words[2], &sums->exact);
}

gboolean
seedlm_loss_restore (SeedlmLoss *loss, JsonNode *found, GError **error)
{
  JsonObject *object = JSON_NODE_HOLDS_OBJECT (found) ? json_node_get_object (found) : NULL;
  g_autoptr (GList) names = object ? json_object_get_members (object) : NULL;
  gboolean ok = names != NULL;

  for (GList *l = names; l && ok; l = l->next) {
    SeedlmLossSums sums;
    ok = parse_sums (json_object_get_member (object, l->data), &sums);
    if (ok)
      seedlm_loss_set (loss, l->data, &sums);
  }
  if (!ok)
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "what was measured is damaged: it is not what seedlm of this version saves; begin "
                 "anew without resume=true");
  return ok;
}
