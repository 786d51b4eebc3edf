/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

/*
 * Bit-packed symbols: symbol i of b bits (1..32) takes bits i*b .. i*b+b-1 of the stream; bit n of the stream is bit n%8
 * of byte n/8. Pure C. See the man page afpipe-file(5).
 */
uint64_t afp_bits_bytes (uint64_t n_symbols, unsigned bits);
/* first * bits must be a multiple of 8; writes whole bytes, the last one padded with zero bits. */
void
afp_bits_pack (uint8_t *stream, uint64_t first, const uint32_t *symbols, size_t n, unsigned bits);
/* Any first; never reads a byte past the one that holds the last bit. */
void
afp_bits_unpack (const uint8_t *stream, uint64_t first, uint32_t *symbols, size_t n, unsigned bits);

#pragma GCC visibility pop
