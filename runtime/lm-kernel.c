/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lm-kernel.h"

#include <math.h>
#include <string.h>

/*
 * Vectors of eight, in the language of gcc and clang: each loop is compiled for the instruction set at hand and, on x86-64, for AVX2 as
 * well. Both do the same operations in the same order, and give the same bits: sums are those of eight lanes, added up at the end.
 */
#define LANES 8
typedef float Floats __attribute__ ((vector_size (32)));
typedef int32_t Words __attribute__ ((vector_size (32)));
typedef uint64_t Pairs __attribute__ ((vector_size (32)));
typedef float Half __attribute__ ((vector_size (16)));
typedef double Doubles __attribute__ ((vector_size (32)));
#define INLINE static inline __attribute__ ((always_inline))

static bool simd_wanted = true;

bool
afp_lm_kernel_use_simd (bool use)
{
  simd_wanted = use;
#if defined __x86_64__
  return use && __builtin_cpu_supports ("avx2");
#else
  return false;
#endif
}

/* Defines afp_lm_NAME from the inline function NAME_loop. */
#if defined __x86_64__
#define KERNEL(type, name, parameters, arguments)                                  \
  __attribute__ ((target ("avx2"))) static type name##_avx2 parameters             \
  {                                                                                \
    return name##_loop arguments;                                                  \
  }                                                                                \
  type afp_lm_##name parameters                                                    \
  {                                                                                \
    return simd_wanted && __builtin_cpu_supports ("avx2") ? name##_avx2 arguments  \
                                                          : name##_loop arguments; \
  }
#else
#define KERNEL(type, name, parameters, arguments) \
  type afp_lm_##name parameters                   \
  {                                               \
    return name##_loop arguments;                 \
  }
#endif

/* --- vectors ------------------------------------------------------------------------------------------------------ */

INLINE Floats
all (float x)
{
  return (Floats){ x, x, x, x, x, x, x, x };
}

INLINE Floats
load (const float *x)
{
  Floats v;

  memcpy (&v, x, sizeof v);
  return v;
}

INLINE void
store (float *x, Floats v)
{
  memcpy (x, &v, sizeof v);
}

/* The first @n of eight; @otherwise in place of the others. */
INLINE Floats
load_part (const float *x, size_t n, float otherwise)
{
  float values[LANES];

  for (size_t i = 0; i < LANES; i++)
    values[i] = i < n ? x[i] : otherwise;
  return load (values);
}

INLINE void
store_part (float *x, size_t n, Floats v)
{
  memcpy (x, &v, n * sizeof *x);
}

INLINE Floats
choose (Words mask, Floats yes, Floats no)
{
  return (Floats) (((Words) yes & mask) | ((Words) no & ~mask));
}

/* Eight sums in double. */
typedef struct {
  Doubles low, high;
} Sums;

INLINE Sums
widen (Floats v)
{
  union {
    Floats all;
    Half half[2];
  } u = { v };

  return (Sums){ __builtin_convertvector(u.half[0], Doubles),
                 __builtin_convertvector(u.half[1], Doubles) };
}

INLINE void
add_to (Sums *sums, Sums more)
{
  sums->low += more.low;
  sums->high += more.high;
}

INLINE double
add_up (const Sums *sums)
{
  const Doubles four = sums->low + sums->high;

  return (four[0] + four[2]) + (four[1] + four[3]);
}

/*
 * exp (x): x = n ln 2 + r, |r| <= ln 2 / 2, and a polynomial of r that is off by less than 4e-9 of e^r; with the rounding of float, within
 * 2e-7 of the truth. 0 below -87.33, where floats lose digits; no more than 2.4e38.
 */
INLINE Floats
exponential (Floats x)
{
  const Floats least = all (-87.33f), most = all (88.37f), magic = all (12582912.f);
  const Words small = (Words) (x < least), large = (Words) (x > most);
  const Floats y = choose (small, least, choose (large, most, x));
  const Floats shifted = y * all (1.44269504f) + magic; /* rounds to whole numbers */
  const Floats n = shifted - magic;
  const Floats r = (y - n * all (0.693359375f)) + n * all (2.12194440e-4f);
  Floats p = all (0.001381459878757596f);

  p = p * r + all (0.008368716575205326f);
  p = p * r + all (0.04166838899254799f);
  p = p * r + all (0.1666652113199234f);
  p = p * r + all (0.4999999403953552f);
  p = (p * r) * r + r + all (1);
  const Floats power = (Floats) (((Words) shifted - (Words) magic + 127) << 23);
  return choose (small, all (0), p * power);
}

/* --- loops -------------------------------------------------------------------------------------------------------- */

INLINE void
exp_loop (size_t n, float *x)
{
  size_t i = 0;

  for (; i + LANES <= n; i += LANES)
    store (x + i, exponential (load (x + i)));
  if (i < n)
    store_part (x + i, n - i, exponential (load_part (x + i, n - i, 0)));
}
KERNEL (void, exp, (size_t n, float *x), (n, x))

INLINE double
sum_of_squares (size_t n, const float *x)
{
  Sums sums = { { 0 }, { 0 } };
  size_t i = 0;

  for (; i < n; i += LANES) {
    const Sums v = widen (i + LANES <= n ? load (x + i) : load_part (x + i, n - i, 0));
    add_to (&sums, (Sums){ v.low * v.low, v.high * v.high });
  }
  return add_up (&sums);
}

INLINE void
rms_norm_loop (size_t n, size_t dim, float eps, const float *x, const float *weight, float *out)
{
  for (size_t t = 0; t < n; t++, x += dim, out += dim) {
    const double sum = sum_of_squares (dim, x);
    const float factor = (float) (1 / sqrt (sum / (double) dim + (double) eps));
    size_t i = 0;

    for (; i + LANES <= dim; i += LANES)
      store (out + i, load (x + i) * all (factor) * load (weight + i));
    for (; i < dim; i++)
      out[i] = x[i] * factor * weight[i];
  }
}
KERNEL (void, rms_norm,
        (size_t n, size_t dim, float eps, const float *x, const float *weight, float *out),
        (n, dim, eps, x, weight, out))

void
afp_lm_rope_table (size_t n, size_t head_dim, bool interleaved, const double *angles, float scale,
                   float *table)
{
  const size_t half = head_dim / 2;
  const size_t step = interleaved ? 2 : 1, apart = interleaved ? 1 : half;

  for (size_t t = 0; t < n; t++, table += 2 * head_dim)
    for (size_t i = 0; i < half; i++) {
      const double angle = (double) t * angles[i];
      const float c = (float) cos (angle) * scale, s = (float) sin (angle) * scale;
      float *a = table + i * step;

      a[0] = a[apart] = c;
      a[head_dim] = -s;
      a[head_dim + apart] = s;
    }
}

/* Pairs (i, i + half): the first halves of the rows of the table are not needed twice. */
INLINE void
turn_halves (size_t half, const float *c, const float *s, float *x)
{
  float *y = x + half;
  size_t i = 0;

  s += half;
  for (; i + LANES <= half; i += LANES) {
    const Floats u = load (x + i), v = load (y + i), cosine = load (c + i), sine = load (s + i);
    store (x + i, u * cosine - v * sine);
    store (y + i, v * cosine + u * sine);
  }
  for (; i < half; i++) {
    const float u = x[i], v = y[i];
    x[i] = u * c[i] - v * s[i];
    y[i] = v * c[i] + u * s[i];
  }
}

INLINE void
turn_neighbours (size_t head_dim, const float *c, const float *s, float *x)
{
  size_t i = 0;

  for (; i + LANES <= head_dim; i += LANES) {
    const Floats u = load (x + i);
    const Pairs pairs = (Pairs) u;
    const Floats swapped = (Floats) (pairs >> 32 | pairs << 32);
    store (x + i, u * load (c + i) + swapped * load (s + i));
  }
  for (; i < head_dim; i += 2) {
    const float u = x[i], v = x[i + 1];
    x[i] = u * c[i] + v * s[i];
    x[i + 1] = v * c[i + 1] + u * s[i + 1];
  }
}

INLINE void
rope_loop (size_t n, const uint32_t *positions, size_t n_heads, size_t head_dim, bool interleaved,
           const float *table, float *x)
{
  for (size_t t = 0; t < n; t++) {
    const float *c = table + 2 * head_dim * positions[t], *s = c + head_dim;

    for (size_t h = 0; h < n_heads; h++, x += head_dim)
      if (interleaved)
        turn_neighbours (head_dim, c, s, x);
      else
        turn_halves (head_dim / 2, c, s, x);
  }
}
KERNEL (void, rope,
        (size_t n, const uint32_t *positions, size_t n_heads, size_t head_dim, bool interleaved,
         const float *table, float *x),
        (n, positions, n_heads, head_dim, interleaved, table, x))

/* At least @least. */
INLINE float
largest (size_t n, const float *x, float least)
{
  Floats most = all (least);
  float one;
  size_t i = 0;

  for (; i + LANES <= n; i += LANES) {
    const Floats v = load (x + i);
    most = choose ((Words) (v > most), v, most);
  }
  one = most[0];
  for (size_t lane = 1; lane < LANES; lane++)
    one = most[lane] > one ? most[lane] : one;
  for (; i < n; i++)
    one = x[i] > one ? x[i] : one;
  return one;
}

/* One row of @n scores. */
INLINE void
softmax (size_t n, float scale, float *scores)
{
  const Floats most = all (largest (n, scores, scores[0]));
  Sums sums = { { 0 }, { 0 } };
  size_t i = 0;

  for (; i + LANES <= n; i += LANES) {
    const Floats v = exponential ((load (scores + i) - most) * all (scale));
    store (scores + i, v);
    add_to (&sums, widen (v));
  }
  if (i < n) {
    const Floats v = exponential ((load_part (scores + i, n - i, -INFINITY) - most) * all (scale));
    store_part (scores + i, n - i, v);
    add_to (&sums, widen (v));
  }
  const float factor = (float) (1 / add_up (&sums));
  for (i = 0; i + LANES <= n; i += LANES)
    store (scores + i, load (scores + i) * all (factor));
  for (; i < n; i++)
    scores[i] *= factor;
}

INLINE void
causal_softmax_loop (size_t n, size_t first, size_t cols, float scale, float *scores)
{
  for (size_t t = 0; t < n; t++, scores += cols) {
    const size_t end = first + t + 1;

    softmax (end, scale, scores);
    memset (scores + end, 0, (cols - end) * sizeof *scores);
  }
}
KERNEL (void, causal_softmax, (size_t n, size_t first, size_t cols, float scale, float *scores),
        (n, first, cols, scale, scores))

INLINE Floats
silu (Floats x)
{
  return x / (all (1) + exponential (-x));
}

/* The square of what is positive. */
INLINE Floats
relu2 (Floats x)
{
  const Floats y = choose ((Words) (x < all (0)), all (0), x);

  return y * y;
}

INLINE void
gate_loop (bool squares, size_t n, float *gate, const float *up)
{
  for (size_t i = 0; i < n; i += LANES) {
    const bool whole = i + LANES <= n;
    const Floats x = whole ? load (gate + i) : load_part (gate + i, n - i, 0);
    const Floats y =
        (squares ? relu2 (x) : silu (x)) * (whole ? load (up + i) : load_part (up + i, n - i, 0));
    if (whole)
      store (gate + i, y);
    else
      store_part (gate + i, n - i, y);
  }
}

INLINE void
silu_mul_loop (size_t n, float *gate, const float *up)
{
  gate_loop (false, n, gate, up);
}
KERNEL (void, silu_mul, (size_t n, float *gate, const float *up), (n, gate, up))

INLINE void
relu2_mul_loop (size_t n, float *gate, const float *up)
{
  gate_loop (true, n, gate, up);
}
KERNEL (void, relu2_mul, (size_t n, float *gate, const float *up), (n, gate, up))

INLINE void
add_bias_loop (size_t n, size_t dim, const float *bias, float *x)
{
  for (size_t t = 0; t < n; t++, x += dim) {
    size_t i = 0;

    for (; i + LANES <= dim; i += LANES)
      store (x + i, load (x + i) + load (bias + i));
    for (; i < dim; i++)
      x[i] += bias[i];
  }
}
KERNEL (void, add_bias, (size_t n, size_t dim, const float *bias, float *x), (n, dim, bias, x))

/* --- predictions -------------------------------------------------------------------------------------------------- */

INLINE double
fold_loop (AfpLmFold *fold, uint32_t first, size_t n, const float *logits, uint32_t target,
           float *weights)
{
  const float before = fold->most, most = largest (n, logits, before);
  Sums sums = { { 0 }, { 0 } };
  double factor = 1;

  if (most > before) {
    size_t i = 0;
    while (logits[i] != most)
      i++;
    fold->most = most;
    fold->best = first + (uint32_t) i;
    factor = exp ((double) before - (double) most);
  }
  for (size_t i = 0; i < n; i += LANES) {
    const bool whole = i + LANES <= n;
    const Floats x = whole ? load (logits + i) : load_part (logits + i, n - i, -INFINITY);
    const Floats w = exponential (x - all (most));
    if (whole)
      store (weights + i, w);
    else
      store_part (weights + i, n - i, w);
    add_to (&sums, widen (w));
  }
  fold->sum = fold->sum * factor + add_up (&sums);
  if (target >= first && target - first < n)
    fold->target = logits[target - first];
  return factor;
}
KERNEL (double, fold,
        (AfpLmFold * fold, uint32_t first, size_t n, const float *logits, uint32_t target,
         float *weights),
        (fold, first, n, logits, target, weights))

double
afp_lm_fold_log_sum (const AfpLmFold *fold)
{
  return log (fold->sum) + (double) fold->most;
}

INLINE double
cross_loop (size_t n, const float *weights, const float *p, const float *q)
{
  Sums sums = { { 0 }, { 0 } };

  for (size_t i = 0; i < n; i += LANES) {
    const bool whole = i + LANES <= n;
    const Sums w = widen (whole ? load (weights + i) : load_part (weights + i, n - i, 0));
    const Sums a = widen (whole ? load (p + i) : load_part (p + i, n - i, 0));
    const Sums b = widen (whole ? load (q + i) : load_part (q + i, n - i, 0));
    add_to (&sums, (Sums){ w.low * (a.low - b.low), w.high * (a.high - b.high) });
  }
  return add_up (&sums);
}
KERNEL (double, cross, (size_t n, const float *weights, const float *p, const float *q),
        (n, weights, p, q))

double
afp_lm_divergence (double cross, const AfpLmFold *p, const AfpLmFold *q)
{
  const double sum = cross / p->sum - afp_lm_fold_log_sum (p) + afp_lm_fold_log_sum (q);

  return sum < 0 ? 0 : sum;
}
