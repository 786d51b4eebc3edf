/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Bit-packed symbols spread to whole bytes, least significant byte plane first, so that a byte-wise entropy coder sees
 * symbols. Pure C. @n_bytes of stream hold floor(8 n_bytes / bits) symbols; what remains is padding and must be zero.
 */
size_t entropy_spread_bytes (size_t n_bytes, unsigned bits);
void entropy_spread (const uint8_t *stream, size_t n_bytes, unsigned bits, uint8_t *planes);
void entropy_gather (const uint8_t *planes, size_t n_bytes, unsigned bits, uint8_t *stream);
