/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Overlapping seeds: the register is a window over the last state_bits bits of the stream itself, which moves on by step_bits bits
 * from one step to the next; a hash of the window gives the values of the step. Pure C11; see SPEC.md.
 * A segment is a run of steps whose stream is closed to a ring: the window of its first steps reaches back into its last ones.
 * So it needs nothing but its own bits, and loses nothing at its start.
 */

#define SEEDLM_SHIFT_MIN_STATE_BITS 2
#define SEEDLM_SHIFT_MAX_STATE_BITS 16
#define SEEDLM_SHIFT_MAX_STEP_BITS 4
#define SEEDLM_SHIFT_MAX_STEP_LENGTH 2

/* The integer that a window stands for in place @lane of its step: the sum of four hashed bytes, -510 to 510. */
int seedlm_shift_number (uint32_t window, unsigned lane);
/* The same as a float of unit variance. */
float seedlm_shift_value (uint32_t window, unsigned lane);

/**
 * SeedlmShift:
 * @state_bits: of the window
 * @step_bits: new bits per step, at most state_bits
 * @step_length: values per step
 * @values: values[window * step_length + lane]
 */
typedef struct {
  unsigned state_bits, step_bits, step_length;
  float *values;
} SeedlmShift;

/* NULL if memory runs out. */
SeedlmShift *seedlm_shift_new (unsigned state_bits, unsigned step_bits, unsigned step_length);
void seedlm_shift_free (SeedlmShift *shift);
uint64_t seedlm_shift_bytes (unsigned state_bits, unsigned step_length);
/* Steps that a segment needs at least: those that fill the window. */
unsigned seedlm_shift_min_steps (unsigned state_bits, unsigned step_bits);

/* out[0 .. n_steps * step_length) of one segment; n_steps is at least seedlm_shift_min_steps(). Bits beyond step_bits are ignored. */
void seedlm_shift_decode (const SeedlmShift *shift, const uint32_t *steps, size_t n_steps,
                          float scale, float *out);

typedef struct SeedlmShiftSearch SeedlmShiftSearch; /* working memory of one thread */
/* @shift must outlive it. For segments of up to @max_steps. NULL if memory runs out. */
SeedlmShiftSearch *seedlm_shift_search_new (const SeedlmShift *shift, size_t max_steps);
void seedlm_shift_search_free (SeedlmShiftSearch *search);
uint64_t seedlm_shift_search_bytes (unsigned state_bits, unsigned step_bits, unsigned step_length,
                                    size_t max_steps);
/*
 * The steps of one segment whose values are nearest to @x (n_steps * step_length floats; those beyond 32 count as 32). @weights: NULL, or
 * weights of the squared errors, 0 to 1. The path is the best of those through the window that a first pass finds at the seam of the
 * ring. Returns its error. The same on all processors.
 */
float seedlm_shift_encode (SeedlmShiftSearch *search, const float *x, const float *weights,
                           size_t n_steps, uint32_t *steps);
