/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-pool.h"

#include "afp-crash.h"
#include "afp-error.h"

#include <stdatomic.h>

/*
 * One parallel loop. It lives on the stack of the thread that asked for it; that thread takes it off the pool's list
 * and waits until no worker is inside before it returns.
 */
typedef struct {
  AfpPoolFunc func;
  gpointer user_data;
  _Atomic gsize next;  /* the next index to be claimed */
  _Atomic gsize limit; /* indices from here on are not started any more */
  GCancellable *cancellable;
  const AfpCrashNote *note; /* of the thread that asked: what its workers do, too */
  GMutex lock;              /* of the fields below */
  gsize failed;
  GError *error; /* of the index @failed, the lowest one that failed */
  guint inside;  /* workers that are in the loop; under the pool's lock */
} AfpJob;

struct _AfpPool {
  gint ref_count;
  guint n_threads;
  GMutex lock; /* of all fields below */
  GCond work;  /* a job was added, or the pool stops */
  GCond left;  /* a worker left a job */
  GQueue jobs; /* of AfpJob with indices to be claimed, oldest first */
  GCancellable *cancellable;
  gboolean stop;
  GThread **workers; /* n_threads - 1 */
};

/* The thread is inside of a loop of some pool: further loops run inline. */
static _Thread_local gboolean afp_pool_busy;

static void
afp_job_fail (AfpJob *job, gsize index, GError *error)
{
  gsize limit = atomic_load (&job->limit);

  while (index < limit && !atomic_compare_exchange_weak (&job->limit, &limit, index))
    ;
  g_mutex_lock (&job->lock);
  if (!job->error || index < job->failed) {
    g_clear_error (&job->error);
    job->error = error;
    job->failed = index;
    error = NULL;
  }
  g_mutex_unlock (&job->lock);
  g_clear_error (&error);
}

/*
 * Claims indices until there are none. Every index below a failed one has been claimed before it, and is finished by
 * whoever claimed it: so the lowest index that fails is the same for any number of threads.
 */
static void
afp_job_work (AfpJob *job)
{
  for (;;) {
    GError *error = NULL;
    gsize index;

    if (job->cancellable && g_cancellable_is_cancelled (job->cancellable))
      return;
    index = atomic_fetch_add (&job->next, 1);
    if (index >= atomic_load (&job->limit))
      return;
    if (!job->func (index, job->user_data, &error)) {
      if (!error)
        error = g_error_new (AFP_ERROR, AFP_ERROR_CODEC, "step %" G_GSIZE_FORMAT " failed", index);
      afp_job_fail (job, index, error);
    }
  }
}

static gboolean
afp_job_is_open (AfpJob *job)
{
  return atomic_load (&job->next) < atomic_load (&job->limit);
}

static gpointer
afp_pool_worker (gpointer data)
{
  AfpPool *pool = data;

  afp_pool_busy = TRUE;
  g_mutex_lock (&pool->lock);
  while (!pool->stop) {
    AfpJob *job = g_queue_peek_head (&pool->jobs);

    if (!job) {
      g_cond_wait (&pool->work, &pool->lock);
      continue;
    }
    job->inside++;
    g_mutex_unlock (&pool->lock);
    afp_crash_set_note (job->note);
    afp_job_work (job);
    afp_crash_set_note (NULL);
    g_mutex_lock (&pool->lock);
    /* Nothing is left to be claimed: the other workers need not look at it. */
    g_queue_remove (&pool->jobs, job);
    job->inside--;
    g_cond_broadcast (&pool->left);
  }
  g_mutex_unlock (&pool->lock);
  return NULL;
}

/**
 * afp_pool_new:
 * @n_threads: threads that work in a loop, the caller's included; 0: one per processor
 *
 * Returns: (transfer full): a pool; its @n_threads - 1 workers are started here and live as long as it
 */
AfpPool *
afp_pool_new (guint n_threads)
{
  AfpPool *pool = g_new0 (AfpPool, 1);

  pool->ref_count = 1;
  pool->n_threads = n_threads ? n_threads : MAX (g_get_num_processors (), 1);
  g_mutex_init (&pool->lock);
  g_cond_init (&pool->work);
  g_cond_init (&pool->left);
  g_queue_init (&pool->jobs);
  pool->workers = g_new0 (GThread *, pool->n_threads);
  for (guint i = 0; i + 1 < pool->n_threads; i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *name = g_strdup_printf ("afp-work-%u", i);

    pool->workers[i] = g_thread_try_new (name, afp_pool_worker, pool, &error);
    if (!pool->workers[i]) {
      g_warning ("%u of %u worker threads could be started: %s", i, pool->n_threads - 1,
                 error->message);
      break;
    }
  }
  return pool;
}

AfpPool *
afp_pool_ref (AfpPool *pool)
{
  g_return_val_if_fail (pool, NULL);
  g_atomic_int_inc (&pool->ref_count);
  return pool;
}

void
afp_pool_unref (AfpPool *pool)
{
  if (!pool || !g_atomic_int_dec_and_test (&pool->ref_count))
    return;
  g_mutex_lock (&pool->lock);
  pool->stop = TRUE;
  g_cond_broadcast (&pool->work);
  g_mutex_unlock (&pool->lock);
  for (guint i = 0; i + 1 < pool->n_threads && pool->workers[i]; i++)
    g_thread_join (pool->workers[i]);
  g_free (pool->workers);
  g_clear_object (&pool->cancellable);
  g_cond_clear (&pool->work);
  g_cond_clear (&pool->left);
  g_mutex_clear (&pool->lock);
  g_free (pool);
}

guint
afp_pool_get_n_threads (const AfpPool *pool)
{
  g_return_val_if_fail (pool, 1);
  return pool->n_threads;
}

/**
 * afp_pool_set_cancellable:
 * @pool: a pool
 * @cancellable: (nullable): stops the loops that start from now on
 */
void
afp_pool_set_cancellable (AfpPool *pool, GCancellable *cancellable)
{
  g_return_if_fail (pool);
  g_mutex_lock (&pool->lock);
  g_set_object (&pool->cancellable, cancellable);
  g_mutex_unlock (&pool->lock);
}

static void
afp_job_share (AfpJob *job, AfpPool *pool)
{
  g_mutex_lock (&pool->lock);
  g_queue_push_tail (&pool->jobs, job);
  g_cond_broadcast (&pool->work);
  g_mutex_unlock (&pool->lock);

  afp_pool_busy = TRUE;
  afp_job_work (job);
  afp_pool_busy = FALSE;

  g_mutex_lock (&pool->lock);
  g_queue_remove (&pool->jobs, job);
  while (job->inside)
    g_cond_wait (&pool->left, &pool->lock);
  g_mutex_unlock (&pool->lock);
}

gboolean
afp_parallel_for (AfpPool *pool, gsize n, AfpPoolFunc func, gpointer user_data, GError **error)
{
  AfpJob job = { .func = func, .user_data = user_data, .note = afp_crash_get_note () };
  gboolean cancelled;

  g_return_val_if_fail (func, FALSE);
  if (n == 0)
    return TRUE;
  atomic_init (&job.next, 0);
  atomic_init (&job.limit, n);
  g_mutex_init (&job.lock);
  if (pool) {
    g_mutex_lock (&pool->lock);
    job.cancellable = pool->cancellable ? g_object_ref (pool->cancellable) : NULL;
    g_mutex_unlock (&pool->lock);
  }
  if (!pool || pool->n_threads == 1 || n == 1 || afp_pool_busy)
    afp_job_work (&job);
  else
    afp_job_share (&job, pool);
  g_mutex_clear (&job.lock);

  /* Cancelled only if that left something undone. */
  cancelled = !job.error && afp_job_is_open (&job);
  g_clear_object (&job.cancellable);
  if (job.error) {
    g_propagate_error (error, job.error);
    return FALSE;
  }
  if (cancelled) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_CANCELLED, "cancelled");
    return FALSE;
  }
  return TRUE;
}
