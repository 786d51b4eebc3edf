/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-feedback.h"

#include "afp-error.h"
#include "afp-feedback-kernel.h"
#include "afp-pool.h"

#include <math.h>
#include <string.h>

#define PANEL 64 /* columns that are taken apart in one go */
#define CHUNK 64 /* rows of a task */

struct _AfpFeedback {
  gatomicrefcount ref_count;
  AfpMoments *moments;
  guint64 cols;
  guint quantum;
  double damping, raised;
  AfpFeedbackOrder order;
  guint32 *places; /* NULL: natural */
  float *factor;   /* cols x cols */
  float *metrics;  /* quantum x quantum for each block */
};

/* --- the factor ---------------------------------------------------------------------------------------------------- */

typedef struct {
  float *h;
  guint64 cols, first, n; /* the panel's columns */
  guint quantum;
  float *panel; /* n x first: the negated panel, transposed */
} FactorJob;

static gsize
count_chunks (guint64 rows)
{
  return (gsize) ((rows + CHUNK - 1) / CHUNK);
}

static gboolean
solve_chunk (gsize index, gpointer user_data, GError **error)
{
  const FactorJob *job = user_data;
  const guint64 row = index * CHUNK, n_rows = MIN (CHUNK, job->first - row);
  float *a = job->h + row * job->cols + job->first;

  afp_feedback_solve (a, job->cols, n_rows, job->h + job->first * job->cols + job->first, job->cols,
                      job->n);
  afp_feedback_transpose (a, job->cols, n_rows, job->n, job->panel + row, job->first);
  return TRUE;
}

static gboolean
update_chunk (gsize index, gpointer user_data, GError **error)
{
  const FactorJob *job = user_data;
  const guint64 row = index * CHUNK, n_rows = MIN (CHUNK, job->first - row);
  float *h = job->h + row * job->cols;

  afp_feedback_add_product (h + row, job->cols, n_rows, job->first - row, h + job->first, job->cols,
                            job->n, job->panel + row, job->first);
  return TRUE;
}

/* Rows of R become rows of U, whose blocks on the diagonal are 1; there R stays. */
static gboolean
divide_chunk (gsize index, gpointer user_data, GError **error)
{
  const FactorJob *job = user_data;
  const guint64 row = index * CHUNK, end = MIN (row + CHUNK, job->cols);

  for (guint64 col = (row / job->quantum + 1) * job->quantum; col < job->cols; col += job->quantum)
    afp_feedback_divide (job->h + row * job->cols + col, job->cols, MIN (end, col) - row,
                         job->h + col * job->cols + col, job->cols, job->quantum);
  return TRUE;
}

/* R, R R^T = H. FALSE without error: not positive definite */
static gboolean
factorise (AfpFeedback *self, float *panel, AfpPool *pool, GError **error)
{
  FactorJob job = { .h = self->factor, .cols = self->cols, .panel = panel };

  for (guint64 end = self->cols; end > 0; end = job.first) {
    job.first = (end - 1) / PANEL * PANEL;
    job.n = end - job.first;
    if (!afp_feedback_factor (job.h + job.first * job.cols + job.first, job.cols, job.n))
      return FALSE;
    const gsize n = count_chunks (job.first);
    if (!afp_parallel_for (pool, n, solve_chunk, &job, error) ||
        !afp_parallel_for (pool, n, update_chunk, &job, error))
      return FALSE;
  }
  return TRUE;
}

/* Blocks of one column: U^T below the diagonal, row by row what goes into a column's target. */
static void
mirror (AfpFeedback *self)
{
  for (guint64 i = 0; i < self->cols; i++)
    for (guint64 j = i + 1; j < self->cols; j++)
      self->factor[j * self->cols + i] = self->factor[i * self->cols + j];
}

/* D, and U in place of R. */
static gboolean
split (AfpFeedback *self, AfpPool *pool, GError **error)
{
  FactorJob job = { .h = self->factor, .cols = self->cols, .quantum = self->quantum };

  for (guint64 col = 0; col < self->cols; col += self->quantum)
    afp_feedback_square (self->factor + col * self->cols + col, self->cols, self->quantum,
                         self->metrics + col * self->quantum);
  if (!afp_parallel_for (pool, count_chunks (self->cols), divide_chunk, &job, error))
    return FALSE;
  if (self->quantum == 1)
    mirror (self);
  return TRUE;
}

typedef struct {
  double weight;
  guint32 block;
} Rank;

static int
compare_ranks (gconstpointer a, gconstpointer b)
{
  const Rank *x = a, *y = b;

  if (x->weight != y->weight)
    return x->weight > y->weight ? -1 : 1;
  return x->block < y->block ? -1 : 1;
}

/* Blocks by the sum of their diagonal. */
static void
rank_blocks (AfpFeedback *self)
{
  const guint64 size = afp_moments_get_size (self->moments), n = self->cols / self->quantum;
  g_autofree float *diagonal = g_new0 (float, MAX (self->cols, size) + 1);
  g_autofree Rank *ranks = g_new0 (Rank, n + 1);

  afp_moments_read_diagonal (self->moments, 0, size, diagonal);
  for (guint64 i = 0; i < n; i++) {
    ranks[i].block = (guint32) i;
    for (guint q = 0; q < self->quantum; q++)
      ranks[i].weight += diagonal[i * self->quantum + q];
  }
  qsort (ranks, n, sizeof *ranks, compare_ranks);
  self->places = g_new (guint32, n + 1);
  for (guint64 i = 0; i < n; i++)
    self->places[i] = ranks[i].block;
}

/* Where each column comes to stand. */
static guint32 *
place_columns (const AfpFeedback *self)
{
  guint32 *place = g_new (guint32, self->cols + 1);

  for (guint64 i = 0; i < self->cols; i++) {
    const guint64 block = i / self->quantum, offset = i % self->quantum;
    place[(self->places ? self->places[block] : block) * self->quantum + offset] = (guint32) i;
  }
  return place;
}

/* The upper triangle of H over the mean of its diagonal, damped. */
static void
fill (AfpFeedback *self, double mean, float *row)
{
  const guint64 size = afp_moments_get_size (self->moments);
  g_autofree guint32 *place = place_columns (self);

  for (guint64 i = 0; i < self->cols; i++) {
    memset (row, 0, (i + 1) * sizeof *row);
    if (i < size)
      afp_moments_read_row (self->moments, i, row);
    for (guint64 j = 0; j < i; j++) {
      const guint64 a = MIN (place[i], place[j]), b = MAX (place[i], place[j]);
      self->factor[a * self->cols + b] = (float) (row[j] / mean);
    }
    self->factor[place[i] * (self->cols + 1)] = (float) (row[i] / mean + self->raised);
  }
}

static gboolean
get_mean (const AfpMoments *moments, double *mean, GError **error)
{
  const guint64 size = afp_moments_get_size (moments);
  g_autofree float *diagonal = g_new (float, size + 1);
  double sum = 0;

  afp_moments_read_diagonal (moments, 0, size, diagonal);
  for (guint64 i = 0; i < size; i++)
    sum += diagonal[i];
  if (!isfinite (sum) || sum < 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
                 "the moments of %" G_GUINT64_FORMAT
                 " inputs sum up to %g: they are of no use for feedback; calibrate anew, or set "
                 "feedback=false",
                 size, sum);
    return FALSE;
  }
  *mean = sum > 0 ? sum / (double) size : 1;
  return TRUE;
}

static gboolean
fill_and_factorise (AfpFeedback *self, AfpPool *pool, GError **error)
{
  g_autofree float *scratch = g_try_new (float, MAX (self->cols, 1) * PANEL);
  GError *local = NULL;
  double mean;

  if (!get_mean (self->moments, &mean, error))
    return FALSE;
  if (self->order == AFP_FEEDBACK_IMPORTANCE)
    rank_blocks (self);
  if (!scratch || !self->factor || !self->metrics) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "no memory for the feedback of %" G_GUINT64_FORMAT " columns (%" G_GUINT64_FORMAT
                 " bytes): set feedback=false",
                 self->cols, afp_feedback_get_bytes (self->cols, self->quantum));
    return FALSE;
  }
  for (self->raised = self->damping;; self->raised = MIN (self->raised * 10, 1)) {
    fill (self, mean, scratch);
    if (factorise (self, scratch, pool, &local))
      return split (self, pool, error);
    if (local) {
      g_propagate_error (error, local);
      return FALSE;
    }
    if (self->raised >= 1)
      break;
  }
  g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
               "the moments of %" G_GUINT64_FORMAT " inputs, from %" G_GUINT64_FORMAT
               " samples, are not positive definite, not even with damping=1: calibrate anew, or "
               "set feedback=false",
               afp_moments_get_size (self->moments), afp_moments_get_n_samples (self->moments));
  return FALSE;
}

AfpFeedback *
afp_feedback_new (AfpMoments *moments, guint64 cols, guint quantum, double damping,
                  AfpFeedbackOrder order, AfpPool *pool, GError **error)
{
  g_autoptr (AfpFeedback) self = g_new0 (AfpFeedback, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->moments = afp_moments_ref (moments);
  self->cols = cols;
  self->quantum = quantum;
  self->damping = damping;
  self->order = order;
  self->factor = g_try_malloc_n (MAX (cols, 1), MAX (cols, 1) * sizeof (float));
  self->metrics = g_try_malloc_n (MAX (cols, 1), quantum * sizeof (float));
  return fill_and_factorise (self, pool, error) ? g_steal_pointer (&self) : NULL;
}

AfpFeedback *
afp_feedback_ref (AfpFeedback *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
afp_feedback_unref (AfpFeedback *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  afp_moments_unref (self->moments);
  g_free (self->places);
  g_free (self->factor);
  g_free (self->metrics);
  g_free (self);
}

gboolean
afp_feedback_is_of (const AfpFeedback *self, const AfpMoments *moments, guint64 cols, guint quantum,
                    double damping, AfpFeedbackOrder order)
{
  return self->moments == moments && self->cols == cols && self->quantum == quantum &&
         self->damping == damping && self->order == order;
}

double
afp_feedback_get_damping (const AfpFeedback *self)
{
  return self->raised;
}

guint64
afp_feedback_get_cols (const AfpFeedback *self)
{
  return self->cols;
}

guint
afp_feedback_get_quantum (const AfpFeedback *self)
{
  return self->quantum;
}

const guint32 *
afp_feedback_get_places (const AfpFeedback *self)
{
  return self->places;
}

const float *
afp_feedback_get_metric (const AfpFeedback *self, guint64 col)
{
  return self->metrics + col * self->quantum;
}

const float *
afp_feedback_get_factor (const AfpFeedback *self)
{
  return self->factor;
}

/* --- what it takes --------------------------------------------------------------------------------------------------- */

guint64
afp_feedback_get_bytes (guint64 cols, guint quantum)
{
  return (cols + quantum) * cols * sizeof (float);
}

guint64
afp_feedback_get_scratch (guint64 cols)
{
  return (PANEL + 1) * cols * sizeof (float);
}
