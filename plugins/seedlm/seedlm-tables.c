/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-lists.h"

#include "afpipe.h"

struct _SeedlmTables {
  gatomicrefcount ref_count;
  guint seed_bits, leap, block_size, rank;
  guint64 bytes;
  SeedlmSequence *sequence;
  SeedlmBasis *basis;
  GMutex lists_lock;
  SeedlmLists *lists; /* under lists_lock until set */
};

static GMutex tables_lock;
static GQueue tables_recent =
    G_QUEUE_INIT; /* of SeedlmTables, last used first; under tables_lock */

static SeedlmTables *
tables_ref (SeedlmTables *tables)
{
  g_atomic_ref_count_inc (&tables->ref_count);
  return tables;
}

void
seedlm_tables_unref (SeedlmTables *tables)
{
  if (!g_atomic_ref_count_dec (&tables->ref_count))
    return;
  seedlm_lists_free (tables->lists);
  g_mutex_clear (&tables->lists_lock);
  seedlm_basis_free (tables->basis);
  seedlm_sequence_free (tables->sequence);
  g_free (tables);
}

const SeedlmSequence *
seedlm_tables_get_sequence (const SeedlmTables *tables)
{
  return tables->sequence;
}

const SeedlmBasis *
seedlm_tables_get_basis (const SeedlmTables *tables)
{
  return tables->basis;
}

const SeedlmLists *
seedlm_tables_get_lists (SeedlmTables *tables, AfpPool *pool, const char **warning, GError **error)
{
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&tables->lists_lock);

  SeedlmListsShape shape;

  if (!tables->lists &&
      seedlm_lists_shape (tables->seed_bits, tables->block_size, tables->rank, &shape))
    tables->lists = seedlm_lists_load (tables->basis, &shape, pool, warning, error);
  return tables->lists;
}

static gboolean
check_limit (guint seed_bits, guint block_size, guint rank, GError **error)
{
  const guint64 bytes = seedlm_basis_bound (seed_bits, block_size, rank);

  if (bytes <= SEEDLM_TABLES_LIMIT)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
               "seedlm: block-size=%u rank=%u seed-bits=%u need tables of %" G_GUINT64_FORMAT
               " bytes, but %" G_GUINT64_FORMAT
               " are the limit: take fewer seed-bits, or a block-size of rank + 2 or more",
               block_size, rank, seed_bits, bytes, SEEDLM_TABLES_LIMIT);
  return FALSE;
}

static gboolean
add_basis (SeedlmTables *self, GError **error)
{
  SeedlmBasis *basis = seedlm_basis_new (self->sequence, self->block_size, self->rank);
  if (!basis) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "seedlm: no memory for tables of %" G_GUINT64_FORMAT " bytes",
                 seedlm_basis_bound (self->seed_bits, self->block_size, self->rank));
    return FALSE;
  }
  if (basis->n_usable == 0) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_PROPERTY,
        "seedlm: none of the %u seeds of %u bits spans %u dimensions: take more seed-bits or a lower rank",
        self->sequence->period, self->seed_bits, self->rank);
    seedlm_basis_free (basis);
    return FALSE;
  }
  self->basis = basis;
  self->bytes += basis->bytes;
  return TRUE;
}

static SeedlmTables *
tables_find (guint seed_bits, guint leap, guint block_size, guint rank)
{
  for (GList *l = tables_recent.head; l; l = l->next) {
    SeedlmTables *tables = l->data;
    if (tables->seed_bits != seed_bits || tables->leap != leap ||
        tables->block_size != block_size || tables->rank != rank)
      continue;
    g_queue_unlink (&tables_recent, l);
    g_queue_push_head_link (&tables_recent, l);
    return tables;
  }
  return NULL;
}

static SeedlmTables *
tables_new (guint seed_bits, guint leap, guint block_size, guint rank, GError **error)
{
  SeedlmTables *tables = g_new0 (SeedlmTables, 1);

  g_atomic_ref_count_init (&tables->ref_count);
  g_mutex_init (&tables->lists_lock);
  tables->seed_bits = seed_bits;
  tables->leap = leap;
  tables->block_size = block_size;
  tables->rank = rank;
  tables->bytes = seedlm_sequence_bytes (seed_bits, SEEDLM_EXTRA);
  tables->sequence = seedlm_sequence_new (seed_bits, leap, SEEDLM_EXTRA);
  if (tables->sequence)
    return tables;
  g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
               "seedlm: no memory for a sequence of %" G_GUINT64_FORMAT " bytes", tables->bytes);
  seedlm_tables_unref (tables);
  return NULL;
}

static void
tables_drop_old (void)
{
  guint64 bytes = 0;

  for (GList *l = tables_recent.head; l; l = l->next)
    bytes += ((SeedlmTables *) l->data)->bytes;
  while (bytes > SEEDLM_TABLES_LIMIT && tables_recent.length > 1) {
    SeedlmTables *old = g_queue_pop_tail (&tables_recent);
    bytes -= old->bytes;
    seedlm_tables_unref (old);
  }
}

SeedlmTables *
seedlm_tables_get (guint seed_bits, guint leap, guint block_size, guint rank, gboolean encoding,
                   GError **error)
{
  if (encoding && !check_limit (seed_bits, block_size, rank, error))
    return NULL;
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&tables_lock);
  SeedlmTables *tables = tables_find (seed_bits, leap, block_size, rank);

  if (!tables) {
    tables = tables_new (seed_bits, leap, block_size, rank, error);
    if (!tables)
      return NULL;
    g_queue_push_head (&tables_recent, tables);
  }
  if (encoding && !tables->basis && !add_basis (tables, error))
    return NULL;
  tables_ref (tables);
  tables_drop_old ();
  return tables;
}

/* --- working memory ------------------------------------------------------------------------------------------------ */

struct _SeedlmWorkers {
  GMutex lock;
  GPtrArray *idle; /* of SeedlmSearch */
  const SeedlmBasis *basis;
  guint n_codes;
  const SeedlmLists *lists;
  gsize most_seeds;
};

SeedlmWorkers *
seedlm_workers_new (const SeedlmBasis *basis, guint n_codes, const SeedlmLists *lists,
                    gsize most_seeds)
{
  SeedlmWorkers *workers = g_new0 (SeedlmWorkers, 1);

  g_mutex_init (&workers->lock);
  workers->idle = g_ptr_array_new_with_free_func ((GDestroyNotify) seedlm_search_free);
  workers->basis = basis;
  workers->n_codes = n_codes;
  workers->lists = lists;
  workers->most_seeds = most_seeds;
  return workers;
}

void
seedlm_workers_free (SeedlmWorkers *workers)
{
  g_ptr_array_unref (workers->idle);
  g_mutex_clear (&workers->lock);
  g_free (workers);
}

const SeedlmBasis *
seedlm_workers_get_basis (const SeedlmWorkers *workers)
{
  return workers->basis;
}

gboolean
seedlm_workers_are_fast (const SeedlmWorkers *workers)
{
  return workers->lists && workers->most_seeds > 0;
}

static void
set_no_memory (const SeedlmWorkers *workers, GError **error)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
               "seedlm: no memory to search in: %" G_GUINT64_FORMAT " bytes",
               seedlm_search_bytes (workers->basis->sequence->seed_bits, workers->basis->block_size,
                                    workers->basis->rank, workers->n_codes));
}

gboolean
seedlm_workers_set_exact (const SeedlmWorkers *workers, SeedlmSearch *search, gboolean exact,
                          GError **error)
{
  if (seedlm_search_set_lists (search, workers->lists, exact ? 0 : workers->most_seeds))
    return TRUE;
  set_no_memory (workers, error);
  return FALSE;
}

SeedlmSearch *
seedlm_workers_take (SeedlmWorkers *workers, GError **error)
{
  SeedlmSearch *search = NULL;

  g_mutex_lock (&workers->lock);
  if (workers->idle->len > 0)
    search = g_ptr_array_steal_index_fast (workers->idle, workers->idle->len - 1);
  g_mutex_unlock (&workers->lock);
  if (search)
    return search;
  search = seedlm_search_new (workers->basis, workers->n_codes);
  if (search && !seedlm_search_set_lists (search, workers->lists, workers->most_seeds))
    g_clear_pointer (&search, seedlm_search_free);
  if (!search)
    set_no_memory (workers, error);
  return search;
}

void
seedlm_workers_give (SeedlmWorkers *workers, SeedlmSearch *search)
{
  g_mutex_lock (&workers->lock);
  g_ptr_array_add (workers->idle, search);
  g_mutex_unlock (&workers->lock);
}
