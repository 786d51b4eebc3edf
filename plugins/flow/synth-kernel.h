/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Numbers of mean 0 and variance 1, each a function of (seed, index) alone. Pure C. */
typedef enum { SYNTH_NORMAL, SYNTH_LAPLACE, SYNTH_STUDENT_T, SYNTH_UNIFORM } SynthDistribution;

/* @freedom: degrees of freedom of Student's t, above 2. Fills out[0..n) with the numbers of index first..first+n. */
void synth_fill (SynthDistribution distribution, double freedom, uint64_t seed, uint64_t first,
                 size_t n, float *out);
