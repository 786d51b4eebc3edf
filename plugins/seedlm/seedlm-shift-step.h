/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One step of the search in seedlm-shift-kernel.c, for vectors. Included there once for each instruction set, with these defined:
 * NAME, TARGET, LANES, VEC, MASK (a vector of choices), LOAD, STORE, SET, SUB, MUL, ADD, LESS, CHOOSE (mask, then, else), NONE, PICK (mask, lt, bit), BITS, EXPAND.
 */

/* States g << b .. follow groups g; group g is reached from the states g + h * groups. */
TARGET INLINE void
NAME (one_step) (const Step *step, unsigned b, unsigned length, int weighted)
{
  const size_t groups = step->groups, n_states = groups << b;
  VEC x[SEEDLM_SHIFT_MAX_STEP_LENGTH], c[SEEDLM_SHIFT_MAX_STEP_LENGTH];

  for (unsigned j = 0; j < length; j++) {
    x[j] = SET (step->x[j]);
    c[j] = SET (step->weights[j]);
  }
  for (size_t g = 0; g < groups; g += LANES) {
    VEC best = LOAD (step->from + g);
    MASK choice[SEEDLM_SHIFT_MAX_STEP_BITS];
    for (unsigned p = 0; p < b; p++)
      choice[p] = NONE;
    for (unsigned h = 1; h < 1u << b; h++) {
      const VEC other = LOAD (step->from + g + h * groups);
      const MASK less = LESS (other, best);
      best = CHOOSE (less, other, best);
      for (unsigned p = 0; p < b; p++)
        choice[p] = PICK (choice[p], less, h >> p & 1);
    }
    for (unsigned p = 0; p < b; p++)
      BITS (step->choices + p * step->plane + g / 8, choice[p]);
    for (unsigned k = 0; k < 1u << b; k++) {
      const size_t at = (g << b) + k * LANES;
      VEC sum = EXPAND (best, b, k);
      for (unsigned j = 0; j < length; j++) {
        const VEC d = SUB (x[j], LOAD (step->values + j * n_states + at));
        const VEC e = MUL (d, d);
        sum = ADD (sum, weighted ? MUL (e, c[j]) : e);
      }
      STORE (step->to + at, sum);
    }
  }
}

#define ONE(bits)                                                                               \
  TARGET static void NAME (step_##bits) (const Step *step)                                      \
  {                                                                                             \
    if (step->length == 1)                                                                      \
      step->weighted ? NAME (one_step) (step, bits, 1, 1) : NAME (one_step) (step, bits, 1, 0); \
    else                                                                                        \
      step->weighted ? NAME (one_step) (step, bits, 2, 1) : NAME (one_step) (step, bits, 2, 0); \
  }
ONE (1)
ONE (2)
ONE (3)
ONE (4)
#undef ONE
