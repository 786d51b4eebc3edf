/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Frequency tables of a static range coder: what they cost, which contexts share one, how they are written. Integers only, so that every
 * machine makes the same tables. Pure C, no allocation. Format: SPEC.md, "Tables".
 *
 * A table of @bits-bit symbols has 1 << bits frequencies that add up to 1 << precision; a frequency of 0 is a symbol that does not occur.
 */
#define RANS_MIN_PRECISION 12
#define RANS_MAX_PRECISION 15
#define RANS_EXACT 15u          /* digits of a frequency that loses nothing */
#define RANS_MAX_TABLES 256     /* and contexts */
#define RANS_COST_ONE (1 << 16) /* costs are in 1/65536 bit */

/* Logarithms to the base of two, in costs. */
typedef struct {
  uint32_t at[257];
} RansLog;
void rans_log_init (RansLog *self);
uint32_t rans_log (const RansLog *self, uint32_t x); /* x > 0 */

/* Cost of symbols counted, under the ideal code for these counts, and under frequencies. */
uint64_t rans_entropy (const RansLog *log, const uint32_t *counts, size_t n);
uint64_t rans_cost (const RansLog *log, const uint32_t *counts, const uint16_t *frequencies,
                    size_t n, unsigned precision);
/* About what it costs to write a table of so many symbols. */
uint64_t rans_guess_table (size_t n_used);

/* Frequencies nearly in proportion to counts; at most 1 << precision of them may be used. All 0: none is used. */
void rans_normalise (const uint32_t *counts, size_t n, unsigned precision, uint16_t *frequencies);

/*
 * Contexts that share a table where that costs less than another table does. @counts: 1 << bits for each context; on return those of the
 * tables, which stand in order of the contexts that use them first. Returns the number of tables, at least 1. @work: n_contexts^2 numbers.
 */
unsigned rans_merge (const RansLog *log, uint32_t *counts, unsigned n_contexts, unsigned bits,
                     uint8_t *map, int64_t *work);

typedef struct {
  unsigned bits, precision, digits; /* digits: of a frequency that are kept, 1..RANS_EXACT */
  unsigned n_contexts, n_tables;    /* n_tables is read and written */
  uint8_t *map;                     /* [n_contexts]: the table of a context */
  uint16_t *frequencies;            /* [n_tables << bits] */
} RansTables;

/* Returns the bytes, or 0: no room. What the reader will have replaces the frequencies. */
size_t rans_write_tables (RansTables *self, uint8_t *out, size_t capacity);
/* FALSE: these are no tables, or more than @max_tables. Their bytes must be used up. */
bool rans_read_tables (RansTables *self, const uint8_t *in, size_t n, unsigned max_tables);
