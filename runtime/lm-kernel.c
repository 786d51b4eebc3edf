/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lm-kernel.h"

#include <math.h>

void
afp_lm_rms_norm (size_t n, size_t dim, float eps, const float *x, const float *weight, float *out)
{
  for (size_t t = 0; t < n; t++, x += dim, out += dim) {
    double sum = 0;

    for (size_t i = 0; i < dim; i++)
      sum += (double) x[i] * (double) x[i];
    const float factor = (float) (1 / sqrt (sum / (double) dim + (double) eps));
    for (size_t i = 0; i < dim; i++)
      out[i] = x[i] * factor * weight[i];
  }
}

void
afp_lm_rope (size_t n, size_t first, size_t n_heads, size_t head_dim, size_t stride,
             bool interleaved, const double *angles, float scale, float *x)
{
  const size_t half = head_dim / 2;
  const size_t step = interleaved ? 2 : 1, apart = interleaved ? 1 : half;

  for (size_t t = 0; t < n; t++, x += stride)
    for (size_t i = 0; i < half; i++) {
      const double angle = (double) (first + t) * angles[i];
      const float c = (float) cos (angle) * scale, s = (float) sin (angle) * scale;

      for (size_t h = 0; h < n_heads; h++) {
        float *a = x + h * head_dim + i * step, *b = a + apart;
        const float u = *a, v = *b;

        *a = u * c - v * s;
        *b = u * s + v * c;
      }
    }
}

void
afp_lm_causal_softmax (size_t n, size_t first, size_t cols, float scale, float *scores)
{
  for (size_t t = 0; t < n; t++, scores += cols) {
    const size_t end = first + t + 1;
    float most = scores[0];
    double sum = 0;

    for (size_t i = 1; i < end; i++)
      most = scores[i] > most ? scores[i] : most;
    for (size_t i = 0; i < end; i++) {
      scores[i] = expf ((scores[i] - most) * scale);
      sum += (double) scores[i];
    }
    const float factor = (float) (1 / sum);
    for (size_t i = 0; i < end; i++)
      scores[i] *= factor;
    for (size_t i = end; i < cols; i++)
      scores[i] = 0;
  }
}

void
afp_lm_silu_mul (size_t n, float *gate, const float *up)
{
  for (size_t i = 0; i < n; i++)
    gate[i] = gate[i] / (1 + expf (-gate[i])) * up[i];
}

void
afp_lm_add (size_t n, float *x, const float *y)
{
  for (size_t i = 0; i < n; i++)
    x[i] += y[i];
}

void
afp_lm_add_bias (size_t n, size_t dim, const float *bias, float *x)
{
  for (size_t t = 0; t < n; t++, x += dim)
    afp_lm_add (dim, x, bias);
}

double
afp_lm_fold (AfpLmFold *fold, uint32_t first, size_t n, const float *logits, uint32_t target,
             float *weights)
{
  const float before = fold->most;
  double sum = 0;

  for (size_t i = 0; i < n; i++)
    if (logits[i] > fold->most) {
      fold->most = logits[i];
      fold->best = first + (uint32_t) i;
    }
  const double factor = fold->most > before ? exp ((double) before - (double) fold->most) : 1;
  for (size_t i = 0; i < n; i++) {
    weights[i] = expf (logits[i] - fold->most);
    sum += (double) weights[i];
  }
  fold->sum = fold->sum * factor + sum;
  if (target >= first && target - first < n)
    fold->target = logits[target - first];
  return factor;
}

double
afp_lm_fold_log_sum (const AfpLmFold *fold)
{
  return log (fold->sum) + (double) fold->most;
}

double
afp_lm_cross (size_t n, const float *weights, const float *p, const float *q)
{
  double sum = 0;

  for (size_t i = 0; i < n; i++)
    sum += (double) weights[i] * ((double) p[i] - (double) q[i]);
  return sum;
}

double
afp_lm_divergence (double cross, const AfpLmFold *p, const AfpLmFold *q)
{
  const double sum = cross / p->sum - afp_lm_fold_log_sum (p) + afp_lm_fold_log_sum (q);

  return sum < 0 ? 0 : sum;
}
