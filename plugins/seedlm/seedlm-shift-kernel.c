/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-shift-kernel.h"
#include "simd-kernel.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#if HAS_SIMD
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__ ((always_inline))
#define LARGEST \
  32.0f /* of numbers searched for: beyond, all values are about as far, and sums of costs stay exact enough */
#define SEAM 4 /* times the window: steps on either side of the seam that the first pass looks at */

/* --- values ---------------------------------------------------------------------------------------------------------- */

int
seedlm_shift_number (uint32_t window, unsigned lane)
{
  uint32_t h = window + lane * 65536 + 1;

  h = (h ^ h >> 16) * 0x85ebca6bu;
  h = (h ^ h >> 13) * 0xc2b2ae35u;
  h ^= h >> 16;
  return (int) ((h & 255) + (h >> 8 & 255) + (h >> 16 & 255) + (h >> 24)) - 510;
}

/* Four bytes have the variance 4 * (256^2 - 1) / 12 = 21845. */
float
seedlm_shift_value (uint32_t window, unsigned lane)
{
  return (float) seedlm_shift_number (window, lane) * 0x1.bb688cp-8f;
}

uint64_t
seedlm_shift_bytes (unsigned state_bits, unsigned step_length)
{
  return sizeof (SeedlmShift) + (sizeof (float) * step_length << state_bits);
}

SeedlmShift *
seedlm_shift_new (unsigned state_bits, unsigned step_bits, unsigned step_length)
{
  SeedlmShift *shift = malloc (sizeof *shift);
  const size_t n = (size_t) 1 << state_bits;

  if (!shift)
    return NULL;
  *shift = (SeedlmShift){ state_bits, step_bits, step_length, NULL };
  shift->values = malloc (n * step_length * sizeof (float));
  if (!shift->values) {
    free (shift);
    return NULL;
  }
  for (size_t w = 0; w < n; w++)
    for (unsigned j = 0; j < step_length; j++)
      shift->values[w * step_length + j] = seedlm_shift_value ((uint32_t) w, j);
  return shift;
}

void
seedlm_shift_free (SeedlmShift *shift)
{
  if (!shift)
    return;
  free (shift->values);
  free (shift);
}

unsigned
seedlm_shift_min_steps (unsigned state_bits, unsigned step_bits)
{
  return (state_bits + step_bits - 1) / step_bits;
}

INLINE float
finite_product (float scale, float value)
{
  const float product = scale * value;

  return product > FLT_MAX ? FLT_MAX : product < -FLT_MAX ? -FLT_MAX : product;
}

void
seedlm_shift_decode (const SeedlmShift *shift, const uint32_t *steps, size_t n_steps, float scale,
                     float *out)
{
  const unsigned b = shift->step_bits, top = shift->state_bits - b, length = shift->step_length;
  const uint32_t mask = (1u << b) - 1;
  uint32_t window = 0;

  for (size_t t = n_steps - seedlm_shift_min_steps (shift->state_bits, b); t < n_steps; t++)
    window = window >> b | (steps[t] & mask) << top;
  if (length == 1)
    for (size_t t = 0; t < n_steps; t++) {
      window = window >> b | (steps[t] & mask) << top;
      out[t] = finite_product (scale, shift->values[window]);
    }
  else
    for (size_t t = 0; t < n_steps; t++) {
      window = window >> b | (steps[t] & mask) << top;
      out[2 * t] = finite_product (scale, shift->values[2 * window]);
      out[2 * t + 1] = finite_product (scale, shift->values[2 * window + 1]);
    }
}

/* --- search: one step ------------------------------------------------------------------------------------------------ */

/*
 * In here a state is the window with its bits in reverse, the newest lowest: state (s << b | new bits) follows s, so that the 2^b states
 * that follow a group of 2^b have one minimum in common, and neighbours in memory are neighbours in the loops.
 */
typedef struct {
  size_t groups, plane; /* 2^(state_bits - step_bits); bytes of a bit of their choices */
  unsigned length;
  int weighted;
  const float *from, *values; /* values: lane after lane, in the order of states */
  float *to;
  uint8_t *
      choices; /* step_bits planes: which h of the states g + h * groups is best; of equals the lowest */
  float x[SEEDLM_SHIFT_MAX_STEP_LENGTH], weights[SEEDLM_SHIFT_MAX_STEP_LENGTH];
} Step;

typedef void (*StepFunc) (const Step *step);

/* The sums are taken in the order of the vector code. */
INLINE void
step_portable (const Step *step, unsigned b)
{
  const size_t groups = step->groups, n_states = groups << b;
  float *restrict to = step->to;

  memset (step->choices, 0, step->plane * b);
  for (size_t g = 0; g < groups; g++) {
    float best = step->from[g];
    unsigned choice = 0;
    for (unsigned h = 1; h < 1u << b; h++) {
      const float other = step->from[g + h * groups];
      choice = other < best ? h : choice;
      best = other < best ? other : best;
    }
    for (unsigned p = 0; p < b; p++)
      step->choices[p * step->plane + g / 8] |= (uint8_t) ((choice >> p & 1) << g % 8);
    for (unsigned i = 0; i < 1u << b; i++)
      to[(g << b) + i] = best;
  }
  for (unsigned j = 0; j < step->length; j++) {
    const float *restrict values = step->values + j * n_states;
    const float x = step->x[j], weight = step->weights[j];
    for (size_t s = 0; s < n_states; s++) {
      const float d = x - values[s];
      to[s] += d * d * weight;
    }
  }
}

static void
step_1 (const Step *step)
{
  step_portable (step, 1);
}

static void
step_2 (const Step *step)
{
  step_portable (step, 2);
}

static void
step_3 (const Step *step)
{
  step_portable (step, 3);
}

static void
step_4 (const Step *step)
{
  step_portable (step, 4);
}

#if HAS_SIMD
#define NAME(name) name##_avx2
#define TARGET SIMD_FOR_AVX2
#define LANES 8
#define VEC __m256
#define MASK __m256
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define SET _mm256_set1_ps
#define SUB _mm256_sub_ps
#define MUL _mm256_mul_ps
#define ADD _mm256_add_ps
#define CHOOSE(less, a, b) _mm256_blendv_ps (b, a, less)
#define LESS(a, b) _mm256_cmp_ps (a, b, _CMP_LT_OQ)
#define NONE _mm256_setzero_ps ()
#define PICK(mask, less, bit) ((bit) ? _mm256_or_ps (mask, less) : _mm256_andnot_ps (less, mask))
#define BITS(to, mask) (*(to) = (uint8_t) _mm256_movemask_ps (mask))
#define EXPAND(v, b, k) \
  _mm256_permutevar8x32_ps (v, (__m256i) (((__v8su){ 0, 1, 2, 3, 4, 5, 6, 7 } + (k) *8u) >> (b)))
#include "seedlm-shift-step.h"
#undef NAME
#undef TARGET
#undef LANES
#undef VEC
#undef MASK
#undef LOAD
#undef STORE
#undef SET
#undef SUB
#undef MUL
#undef ADD
#undef CHOOSE
#undef LESS
#undef NONE
#undef PICK
#undef BITS
#undef EXPAND

#define NAME(name) name##_avx512
#define TARGET SIMD_FOR_AVX512
#define LANES 16
#define VEC __m512
#define MASK __mmask16
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define SET _mm512_set1_ps
#define SUB _mm512_sub_ps
#define MUL _mm512_mul_ps
#define ADD _mm512_add_ps
#define CHOOSE(less, a, b) _mm512_mask_mov_ps (b, less, a)
#define LESS(a, b) _mm512_cmp_ps_mask (a, b, _CMP_LT_OQ)
#define NONE 0
#define PICK(mask, less, bit) ((__mmask16) ((bit) ? (mask) | (less) : (mask) & ~(less)))
#define BITS(to, mask) memcpy (to, &(mask), 2)
#define EXPAND(v, b, k)                                                                            \
  _mm512_mask_permutexvar_ps (                                                                     \
      v, UINT16_MAX,                                                                               \
      (__m512i) (((__v16su){ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } + (k) *16u) >> \
                 (b)),                                                                             \
      v)
#include "seedlm-shift-step.h"
#endif

static StepFunc
choose_step (unsigned step_bits, size_t groups)
{
  static const StepFunc portable[] = { step_1, step_2, step_3, step_4 };
  const SimdKind simd = simd_get ();

#if HAS_SIMD
  static const StepFunc avx2[] = { step_1_avx2, step_2_avx2, step_3_avx2, step_4_avx2 };
  static const StepFunc avx512[] = { step_1_avx512, step_2_avx512, step_3_avx512, step_4_avx512 };
  if (simd >= SIMD_AVX512 && groups >= 16)
    return avx512[step_bits - 1];
  if (simd >= SIMD_AVX2 && groups >= 8)
    return avx2[step_bits - 1];
#endif
  (void) simd;
  (void) groups;
  return portable[step_bits - 1];
}

/* --- search: a segment ----------------------------------------------------------------------------------------------- */

struct SeedlmShiftSearch {
  const SeedlmShift *shift;
  size_t n_states, groups, plane;
  float *values; /* see Step */
  float *costs[2];
  uint8_t *choices; /* of each step of a pass */
};

static size_t
plane_bytes (size_t groups)
{
  return (groups + 7) / 8;
}

/* Steps before and behind the seam in the first pass: enough for the paths to have merged. Short rings are gone round more than once. */
static size_t
seam_steps (unsigned state_bits, unsigned step_bits)
{
  return (size_t) SEAM * seedlm_shift_min_steps (state_bits, step_bits);
}

static size_t
longest_pass (unsigned state_bits, unsigned step_bits, size_t max_steps)
{
  const size_t first = 2 * seam_steps (state_bits, step_bits);

  return max_steps > first ? max_steps : first;
}

uint64_t
seedlm_shift_search_bytes (unsigned state_bits, unsigned step_bits, unsigned step_length,
                           size_t max_steps)
{
  const uint64_t n_states = (uint64_t) 1 << state_bits;

  return sizeof (SeedlmShiftSearch) + n_states * (step_length + 2) * sizeof (float) + 64 +
         longest_pass (state_bits, step_bits, max_steps) * step_bits *
             plane_bytes ((size_t) 1 << (state_bits - step_bits));
}

static uint32_t
reversed (uint32_t bits, unsigned n)
{
  uint32_t out = 0;

  for (unsigned i = 0; i < n; i++)
    out |= (bits >> i & 1) << (n - 1 - i);
  return out;
}

SeedlmShiftSearch *
seedlm_shift_search_new (const SeedlmShift *shift, size_t max_steps)
{
  const size_t n_states = (size_t) 1 << shift->state_bits, length = shift->step_length;
  SeedlmShiftSearch *search = calloc (1, sizeof *search);

  if (!search)
    return NULL;
  search->shift = shift;
  search->n_states = n_states;
  search->groups = n_states >> shift->step_bits;
  search->plane = plane_bytes (search->groups);
  const size_t floats = (n_states * (length + 2) * sizeof (float) + 63) / 64 * 64;
  search->values = aligned_alloc (64, floats);
  search->choices = malloc (longest_pass (shift->state_bits, shift->step_bits, max_steps) *
                            shift->step_bits * search->plane);
  if (!search->values || !search->choices) {
    seedlm_shift_search_free (search);
    return NULL;
  }
  search->costs[0] = search->values + n_states * length;
  search->costs[1] = search->costs[0] + n_states;
  for (size_t s = 0; s < n_states; s++) {
    const uint32_t window = reversed ((uint32_t) s, shift->state_bits);
    for (size_t j = 0; j < length; j++)
      search->values[j * n_states + s] = shift->values[window * length + j];
  }
  return search;
}

void
seedlm_shift_search_free (SeedlmShiftSearch *search)
{
  if (!search)
    return;
  free (search->values);
  free (search->choices);
  free (search);
}

/* Runs @n steps of the ring from @first on. costs[0] holds what the states before cost, and afterwards what the last cost. */
static void
run_steps (SeedlmShiftSearch *search, const float *x, const float *weights, size_t n_steps,
           size_t first, size_t n)
{
  const unsigned b = search->shift->step_bits, length = search->shift->step_length;
  const StepFunc func = choose_step (b, search->groups);
  Step step = { .groups = search->groups,
                .plane = search->plane,
                .length = length,
                .weighted = weights != NULL,
                .values = search->values,
                .weights = { 1, 1 } };

  for (size_t i = 0; i < n; i++) {
    const size_t at = (first + i) % n_steps * length;
    for (unsigned j = 0; j < length; j++) {
      step.x[j] = fminf (fmaxf (x[at + j], -LARGEST), LARGEST);
      step.weights[j] = weights ? weights[at + j] : 1;
    }
    step.from = search->costs[0];
    step.to = search->costs[1];
    step.choices = search->choices + i * b * search->plane;
    func (&step);
    float *swap = search->costs[0];
    search->costs[0] = search->costs[1];
    search->costs[1] = swap;
  }
}

/* The state before the one that was reached in step @i. */
static size_t
step_back (const SeedlmShiftSearch *search, size_t i, size_t state)
{
  const unsigned b = search->shift->step_bits;
  const size_t g = state >> b;
  const uint8_t *choices = search->choices + i * b * search->plane + g / 8;
  size_t h = 0;

  for (unsigned p = 0; p < b; p++)
    h |= (size_t) (choices[p * search->plane] >> g % 8 & 1) << p;
  return g + h * search->groups;
}

/* Of the states @from, @from + @stride, ... the cheapest; of equals the first. */
static size_t
cheapest (const SeedlmShiftSearch *search, size_t from, size_t stride)
{
  size_t best = from;

  for (size_t s = from + stride; s < search->n_states; s += stride)
    if (search->costs[0][s] < search->costs[0][best])
      best = s;
  return best;
}

/* First pass: the group through which a good path crosses the seam, seen from both sides. */
static size_t
find_seam (SeedlmShiftSearch *search, const float *x, const float *weights, size_t n_steps)
{
  const size_t side = seam_steps (search->shift->state_bits, search->shift->step_bits);

  memset (search->costs[0], 0, search->n_states * sizeof (float));
  run_steps (search, x, weights, n_steps, side * (n_steps - 1), 2 * side);
  size_t state = cheapest (search, 0, 1);
  for (size_t i = 2 * side; i-- > side;)
    state = step_back (search, i, state);
  return state % search->groups;
}

float
seedlm_shift_encode (SeedlmShiftSearch *search, const float *x, const float *weights,
                     size_t n_steps, uint32_t *steps)
{
  const unsigned b = search->shift->step_bits;
  const size_t seam = find_seam (search, x, weights, n_steps);

  for (size_t s = 0; s < search->n_states; s++)
    search->costs[0][s] = INFINITY;
  search->costs[0][seam] = 0;
  run_steps (search, x, weights, n_steps, 0, n_steps);
  size_t state = cheapest (search, seam, search->groups);
  const float error = search->costs[0][state];
  for (size_t i = n_steps; i-- > 0;) {
    steps[i] = reversed ((uint32_t) state & ((1u << b) - 1), b);
    state = step_back (search, i, state);
  }
  return error;
}
