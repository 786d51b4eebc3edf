/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-kernel.h"

/*
 * Fast decoding of many blocks. Pure C11.
 *
 * m clocks of the register are linear over GF(2): every state of a block is the exclusive or of what the pieces of its seed, of a few bits
 * each, contribute. Tables of these contributions take tens of kilobytes, for any register and any block, and are
 * laid out so that a column of U is read in one go. A long block is decoded in chunks of rows; the last state of a chunk is the seed of the next.
 */

#define SEEDLM_MAX_PIECES 8
#define SEEDLM_DECODER_BYTES 32768 /* tables are no larger, whatever the register */

/**
 * SeedlmDecoder:
 * @rows: of a chunk: 8 or 16
 * @n_pieces, @piece_bits: of the seed, from bit 0 up
 * @scale: 1 / (2^(seed_bits-1) - 1), rounded: value = y + y * scale, rounded once, for y = (state - 2^(seed_bits-1)) / 2^(seed_bits-1)
 * @divisor: 1 - 2^(1-seed_bits): value = y / divisor, rounded
 * @bytes: of the table
 * @table: n_pieces x 2^piece_bits entries of rank x rows states, which stand in the highest bits; those of the first piece have their
 *   top bit inverted, so that as a signed number each is y * 2^31
 */
typedef struct {
  unsigned seed_bits, block_size, rank, rows, n_pieces, piece_bits;
  float scale, divisor;
  uint32_t period;
  uint64_t bytes;
  uint32_t *table;
} SeedlmDecoder;

/* NULL if memory runs out. @leap must be coprime with the period, 1 <= rank <= block_size. */
SeedlmDecoder *
seedlm_decoder_new (unsigned seed_bits, uint32_t leap, unsigned block_size, unsigned rank);
void seedlm_decoder_free (SeedlmDecoder *decoder);

/*
 * Decodes n blocks, as seedlm_decode() does each: @seeds (n, below 2^seed_bits), @t (n x rank), @out (n x block_size). The same bits whatever
 * instructions are used.
 */
void seedlm_decoder_run (const SeedlmDecoder *decoder, const uint32_t *seeds, const float *t,
                         float scale, size_t n, float *out);
