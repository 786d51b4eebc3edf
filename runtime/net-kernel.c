/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net-kernel.h"

#include <math.h>
#include <string.h>

/* --- windows ------------------------------------------------------------------------------------------------------ */

/* Steps of the kernel that fall into an axis of @size: from *first to before *end. @at: where it begins, may lie outside. */
static void
clip (ptrdiff_t at, size_t size, size_t kernel, size_t dilation, size_t *first, size_t *end)
{
  const ptrdiff_t step = (ptrdiff_t) dilation, past = (ptrdiff_t) size - at;

  *first = at < 0 ? (size_t) ((-at + step - 1) / step) : 0;
  *end = past <= 0 ? 0 : (size_t) ((past + step - 1) / step);
  *end = *end < kernel ? *end : kernel;
  *first = *first < *end ? *first : *end;
}

/* What a window sees: rows and columns of the kernel inside of the image, and where its first ones would be. */
typedef struct {
  ptrdiff_t row, col;
  size_t first_row, end_row, first_col, end_col;
} Sight;

static Sight
look (const AfpNetWindow *w, size_t out_row, size_t out_col)
{
  Sight s;

  s.row = (ptrdiff_t) (out_row * w->stride_height) - (ptrdiff_t) w->top;
  s.col = (ptrdiff_t) (out_col * w->stride_width) - (ptrdiff_t) w->left;
  clip (s.row, w->height, w->kernel_height, w->dilation_height, &s.first_row, &s.end_row);
  clip (s.col, w->width, w->kernel_width, w->dilation_width, &s.first_col, &s.end_col);
  return s;
}

/* The pixel under row @i and column @j of the kernel. */
static const float *
pixel (const AfpNetWindow *w, const Sight *s, const float *x, size_t i, size_t j)
{
  const size_t row = (size_t) (s->row + (ptrdiff_t) (i * w->dilation_height)),
               col = (size_t) (s->col + (ptrdiff_t) (j * w->dilation_width));

  return x + (row * w->width + col) * w->channels;
}

void
afp_net_patches (const AfpNetWindow *w, size_t first, size_t n, size_t first_channel,
                 size_t n_channels, const float *x, float *patches)
{
  const size_t line = w->kernel_width * n_channels, size = w->kernel_height * line;

  for (size_t at = first; at < first + n; at++, patches += size) {
    const Sight s = look (w, at / w->out_width, at % w->out_width);
    const bool whole = s.first_row == 0 && s.end_row == w->kernel_height && s.first_col == 0 &&
                       s.end_col == w->kernel_width;

    if (!whole)
      memset (patches, 0, size * sizeof *patches);
    for (size_t i = s.first_row; i < s.end_row; i++)
      for (size_t j = s.first_col; j < s.end_col; j++)
        memcpy (patches + i * line + j * n_channels, pixel (w, &s, x, i, j) + first_channel,
                n_channels * sizeof *patches);
  }
}

void
afp_net_depthwise (const AfpNetWindow *w, size_t multiplier, const float *x, const float *weights,
                   const float *bias, float *out)
{
  const size_t n = w->channels * multiplier;

  for (size_t r = 0; r < w->out_height; r++)
    for (size_t c = 0; c < w->out_width; c++, out += n) {
      const Sight s = look (w, r, c);

      if (bias)
        memcpy (out, bias, n * sizeof *out);
      else
        memset (out, 0, n * sizeof *out);
      for (size_t i = s.first_row; i < s.end_row; i++)
        for (size_t j = s.first_col; j < s.end_col; j++) {
          const float *from = pixel (w, &s, x, i, j), *by = weights + (i * w->kernel_width + j) * n;

          if (multiplier == 1)
            for (size_t k = 0; k < n; k++)
              out[k] += from[k] * by[k];
          else
            for (size_t k = 0; k < n; k++)
              out[k] += from[k / multiplier] * by[k];
        }
    }
}

static float
pool_channel (const AfpNetWindow *w, const Sight *s, bool largest, const float *x)
{
  float most = -INFINITY;
  double sum = 0;

  for (size_t i = s->first_row; i < s->end_row; i++)
    for (size_t j = s->first_col; j < s->end_col; j++) {
      const float value = *pixel (w, s, x, i, j);

      sum += (double) value;
      most = value > most ? value : most;
    }
  return largest
             ? most
             : (float) (sum / (double) ((s->end_row - s->first_row) * (s->end_col - s->first_col)));
}

void
afp_net_pool (const AfpNetWindow *w, bool largest, const float *x, float *out)
{
  for (size_t r = 0; r < w->out_height; r++)
    for (size_t c = 0; c < w->out_width; c++) {
      const Sight s = look (w, r, c);

      for (size_t k = 0; k < w->channels; k++)
        *out++ = pool_channel (w, &s, largest, x + k);
    }
}

void
afp_net_surround (const AfpNetWindow *w, const float *x, float *out)
{
  const size_t line = w->width * w->channels, out_line = w->out_width * w->channels;

  memset (out, 0, w->out_height * out_line * sizeof *out);
  for (size_t r = 0; r < w->height; r++)
    memcpy (out + (w->top + r) * out_line + w->left * w->channels, x + r * line,
            line * sizeof *out);
}

/* --- number by number --------------------------------------------------------------------------------------------- */

void
afp_net_affine (size_t n, size_t channels, const float *factor, const float *offset, const float *x,
                float *out)
{
  for (size_t t = 0; t < n; t++, x += channels, out += channels)
    for (size_t i = 0; i < channels; i++)
      out[i] = x[i] * factor[i] + offset[i];
}

void
afp_net_add (size_t n, size_t n_y, const float *x, const float *y, float *out)
{
  for (size_t i = 0; i < n; i += n_y)
    for (size_t j = 0; j < n_y; j++)
      out[i + j] = x[i + j] + y[j];
}

void
afp_net_multiply (size_t n, size_t n_y, const float *x, const float *y, float *out)
{
  for (size_t i = 0; i < n; i += n_y)
    for (size_t j = 0; j < n_y; j++)
      out[i + j] = x[i + j] * y[j];
}

/* --- activations -------------------------------------------------------------------------------------------------- */

static float
sigmoid (float x)
{
  return 1 / (1 + expf (-x));
}

static float
hard_sigmoid (float x, float slope)
{
  const float y = slope * x + 0.5f;

  return y < 0 ? 0 : y > 1 ? 1 : y;
}

static float
relu (const AfpNetActivation *a, float x)
{
  if (x < a->threshold)
    return a->slope == 0 ? 0 : a->slope * (x - a->threshold);
  return x >= a->most ? a->most : x;
}

/* Klambauer et al. 2017. */
static float
selu (float x)
{
  return 1.05070098f * (x < 0 ? 1.67326324f * expm1f (x) : x);
}

static float
softplus (float x)
{
  return (x > 0 ? x : 0) + log1pf (expf (-fabsf (x)));
}

#define EACH(value)                \
  for (size_t i = 0; i < n; i++) { \
    const float v = x[i];          \
                                   \
    x[i] = (value);                \
  }                                \
  break

void
afp_net_activate (const AfpNetActivation *a, size_t n, float *x)
{
  switch (a->function) {
  case AFP_NET_LINEAR:
  case AFP_NET_SOFTMAX:
    break;
  case AFP_NET_RELU:
    EACH (relu (a, v));
  case AFP_NET_SIGMOID:
    EACH (sigmoid (v));
  case AFP_NET_TANH:
    EACH (tanhf (v));
  case AFP_NET_ELU:
    EACH (v < 0 ? a->slope * expm1f (v) : v);
  case AFP_NET_SELU:
    EACH (selu (v));
  case AFP_NET_SILU:
    EACH (v * sigmoid (v));
  case AFP_NET_GELU:
    EACH (0.5f * v * (1 + erff (v * 0.70710678f)));
  case AFP_NET_HARD_SIGMOID:
    EACH (hard_sigmoid (v, a->slope));
  case AFP_NET_HARD_SILU:
    EACH (v * hard_sigmoid (v, 1.0f / 6));
  case AFP_NET_SOFTPLUS:
    EACH (softplus (v));
  case AFP_NET_SOFTSIGN:
    EACH (v / (1 + fabsf (v)));
  case AFP_NET_EXPONENTIAL:
    EACH (expf (v));
  }
}

void
afp_net_softmax (size_t n, size_t cols, float *x)
{
  for (size_t t = 0; t < n; t++, x += cols) {
    float most = x[0];
    double sum = 0;

    for (size_t i = 1; i < cols; i++)
      most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < cols; i++) {
      x[i] = expf (x[i] - most);
      sum += (double) x[i];
    }
    for (size_t i = 0; i < cols; i++)
      x[i] = (float) ((double) x[i] / sum);
  }
}
