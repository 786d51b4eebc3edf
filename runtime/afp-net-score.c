/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-net-score.h"

#include "lm-kernel.h"

static gboolean
check_nets (AfpNet *const *nets, guint n_nets, const AfpImages *images, GError **error)
{
  const guint64 n_classes = afp_net_get_n_classes (nets[0]);

  for (guint i = 1; i < n_nets; i++) {
    const guint64 other = afp_net_get_n_classes (nets[i]);
    if (other == n_classes)
      continue;
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "the networks cannot be compared: %" G_GUINT64_FORMAT
                 " classes against %" G_GUINT64_FORMAT,
                 n_classes, other);
    return FALSE;
  }
  for (gsize i = 0; i < images->n; i++)
    if (images->labels[i] >= n_classes) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                   "label %u of image %" G_GSIZE_FORMAT
                   " is beyond the network's %" G_GUINT64_FORMAT
                   " classes (%s): are they the labels of its own data?",
                   images->labels[i], i, n_classes, images->about ? images->about : "given");
      return FALSE;
    }
  return TRUE;
}

/* Steps of one network after those of the others. */
typedef struct {
  AfpLmProgress func;
  gpointer user_data;
  guint net, n_nets;
} Progress;

static void
tell (gpointer user_data, guint done, guint all)
{
  const Progress *progress = user_data;

  progress->func (progress->user_data, progress->net * all + done, progress->n_nets * all);
}

/* @p, @q: logits of the reference and of another network, image after image; @weights: room for those of one. */
static AfpNetScore
judge (const AfpImages *images, gsize n_classes, const float *p, const float *q, float *weights)
{
  AfpNetScore score = { .n = images->n };
  double divergence = 0;
  gsize same = 0;

  for (gsize i = 0; i < images->n; i++, p += n_classes, q += n_classes) {
    AfpLmFold of_p = AFP_LM_FOLD_NONE, of_q = AFP_LM_FOLD_NONE;
    afp_lm_fold (&of_q, 0, n_classes, q, images->labels[i], weights);
    afp_lm_fold (&of_p, 0, n_classes, p, images->labels[i], weights);
    if (p != q)
      divergence += afp_lm_divergence (afp_lm_cross (n_classes, weights, p, q), &of_p, &of_q);
    score.hits += of_q.best == images->labels[i];
    same += of_p.best == of_q.best;
  }
  score.accuracy = (double) score.hits / (double) score.n;
  score.kl_mean = divergence / (double) score.n;
  score.same_top1 = (double) same / (double) score.n;
  return score;
}

gboolean
afp_net_score (AfpNet *const *nets, guint n_nets, GBytes **logits, const AfpImages *images,
               const AfpNetOptions *options, AfpPool *pool, AfpLmProgress progress,
               gpointer user_data, AfpNetScore *scores, GError **error)
{
  if (!check_nets (nets, n_nets, images, error))
    return FALSE;
  const gsize n_classes = (gsize) afp_net_get_n_classes (nets[0]),
              size = images->n * n_classes * sizeof (float);
  g_autoptr (GBytes) reference = logits && *logits ? g_bytes_ref (*logits) : NULL;
  g_autofree float *weights = g_new (float, n_classes);
  const guint n_known = reference != NULL;
  Progress part = { progress, user_data, 0, n_nets - n_known };

  g_return_val_if_fail (!reference || g_bytes_get_size (reference) == size, FALSE);
  for (guint i = 0; i < n_nets; i++) {
    g_autoptr (GBytes) own = i < n_known ? g_bytes_ref (reference) : NULL;
    part.net = i - n_known;
    if (!own) {
      float *made =
          afp_net_run (nets[i], images, options, pool, progress ? tell : NULL, &part, error);
      if (!made)
        return FALSE;
      own = g_bytes_new_take (made, size);
    }
    if (!reference)
      reference = g_bytes_ref (own);
    scores[i] = judge (images, n_classes, g_bytes_get_data (reference, NULL),
                       g_bytes_get_data (own, NULL), weights);
  }
  if (logits && !*logits)
    *logits = g_steal_pointer (&reference);
  return TRUE;
}
