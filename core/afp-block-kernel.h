/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

/*
 * Types of ggml whose elements come in blocks with scales of their own, as GGUF files hold them. Each function gives the numbers of one
 * block: products and sums of float32 in the order of the reference (the Python package gguf), so that the bits are the same.
 */
#define AFP_BLOCK_SMALL 32  /* elements of a block: q4_0 to q8_0, iq4_nl */
#define AFP_BLOCK_LARGE 256 /* the others */

typedef void (*AfpBlockDecode) (const uint8_t *block, float *out);

void afp_block_q4_0 (const uint8_t *block, float *out);   /* 18 bytes */
void afp_block_q4_1 (const uint8_t *block, float *out);   /* 20 */
void afp_block_q5_0 (const uint8_t *block, float *out);   /* 22 */
void afp_block_q5_1 (const uint8_t *block, float *out);   /* 24 */
void afp_block_q8_0 (const uint8_t *block, float *out);   /* 34 */
void afp_block_q2_k (const uint8_t *block, float *out);   /* 84 */
void afp_block_q3_k (const uint8_t *block, float *out);   /* 110 */
void afp_block_q4_k (const uint8_t *block, float *out);   /* 144 */
void afp_block_q5_k (const uint8_t *block, float *out);   /* 176 */
void afp_block_q6_k (const uint8_t *block, float *out);   /* 210 */
void afp_block_iq4_nl (const uint8_t *block, float *out); /* 18 */
void afp_block_tq1_0 (const uint8_t *block, float *out);  /* 54 */
void afp_block_tq2_0 (const uint8_t *block, float *out);  /* 66 */

#pragma GCC visibility pop
