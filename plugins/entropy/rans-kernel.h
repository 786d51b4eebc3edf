/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A static range coder (rANS) with frequency tables that an automaton chooses among. Pure C, no allocation. Format: SPEC.md, "Chunks".
 *
 * A chunk is a number of quanta of so many symbols each. Its lanes, 1 to RANS_LANES, have a state each and share one stream of words; lane
 * l codes quanta l, l + lanes, ... and all lanes advance symbol by symbol.
 */
#define RANS_LANES 32
#define RANS_LOWEST 0x10000u /* of a state between symbols, and what it is before the first */

/* Chooses the frequency table of each symbol; state 0 at the beginning of every quantum. */
typedef struct {
  unsigned n_states;      /* 1..1024 */
  unsigned n_contexts;    /* 1..256 */
  unsigned bits;          /* 0..8: so many low bits of a symbol choose the next state */
  const uint16_t *next;   /* [n_states << bits] */
  const uint8_t *context; /* [n_states] */
} RansMachine;

/* Bit-packed symbols (core/afp-bits.h) from any bit on. To write, the bits must be zero so far. */
void
rans_get (const uint8_t *stream, uint64_t first_bit, uint16_t *symbols, size_t n, unsigned bits);
void rans_put (uint8_t *stream, uint64_t first_bit, const uint16_t *symbols, size_t stride,
               size_t n, unsigned bits);

/* --- encoding --- */

typedef struct {
  uint64_t reciprocal;
  uint32_t frequency, start;
} RansSymbol;

/* @symbols: [n_tables << bits] of frequencies. */
void rans_encoder_init (RansSymbol *symbols, const uint16_t *frequencies, unsigned n_tables,
                        unsigned bits, unsigned precision);

/* The table of each symbol of whole quanta. @map: tables of contexts. */
void rans_follow (const RansMachine *machine, const uint8_t *map, const uint16_t *symbols, size_t n,
                  size_t quantum, uint8_t *tables);

typedef struct {
  const RansSymbol *symbols;
  unsigned bits, precision; /* bits: of a coded symbol */
  unsigned lanes;
  size_t quantum;
} RansEncoder;

/* States and words of a chunk, written to the end of @out, at most 4 lanes + 2 n bytes: returns their number. @tables: NULL: all 0. */
size_t rans_encode (const RansEncoder *self, const uint16_t *symbols, const uint8_t *tables,
                    size_t n, uint8_t *out, size_t capacity);

/* --- decoding --- */

typedef struct {
  unsigned bits, precision, raw; /* raw: plain low bits of a symbol, beside the coded ones */
  unsigned lanes;
  size_t quantum;
  const uint32_t *slots;   /* [n_tables << precision] */
  const uint16_t *symbols; /* [(n_tables << precision) + 1], or NULL: rans_is_narrow() */
  const uint32_t *steps;   /* [n_states << step_bits], or NULL: no machine */
  unsigned step_bits;
  uint32_t first_step;
} RansDecoder;

/* Whether a slot has room for its symbol. */
static inline bool
rans_is_narrow (unsigned bits, unsigned precision)
{
  return bits <= 8 && precision == 12;
}

/* @symbols: NULL if narrow */
void rans_decoder_init (uint32_t *slots, uint16_t *symbols, const uint16_t *frequencies,
                        unsigned n_tables, unsigned bits);
/* Returns the first step. */
uint32_t rans_steps_init (uint32_t *steps, const RansMachine *machine, const uint8_t *map);

/*
 * A chunk of @n symbols, whole quanta, to @stream from @first_bit on (its bits zero so far). FALSE: its bytes are damaged. Bytes of a
 * chunk: rans_encode()'s, then the raw bits.
 */
bool rans_decode (const RansDecoder *self, const uint8_t *in, size_t n_in, size_t n,
                  uint8_t *stream, uint64_t first_bit);
