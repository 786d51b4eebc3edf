/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

G_BEGIN_DECLS

/**
 * AfpDType: the element type of a tensor as stored by its loader (little-endian). From %AFP_DTYPE_Q4_0 on: types of ggml, whose
 * elements come in blocks; they are read, never written anew. Numbers of 8 bits are read, too; those of 4 and 6 bits (two in a byte, four in
 * three), the powers of two of %AFP_DTYPE_F8_E8M0 and complex numbers only pass.
 */
typedef enum {
  AFP_DTYPE_F32,
  AFP_DTYPE_F64,
  AFP_DTYPE_F16,
  AFP_DTYPE_BF16,
  AFP_DTYPE_F8_E4M3,
  AFP_DTYPE_F8_E5M2,
  AFP_DTYPE_I64,
  AFP_DTYPE_I32,
  AFP_DTYPE_I16,
  AFP_DTYPE_I8,
  AFP_DTYPE_U64,
  AFP_DTYPE_U32,
  AFP_DTYPE_U16,
  AFP_DTYPE_U8,
  AFP_DTYPE_BOOL,
  AFP_DTYPE_F8_E4M3FNUZ,
  AFP_DTYPE_F8_E5M2FNUZ,
  AFP_DTYPE_F8_E8M0,
  AFP_DTYPE_F6_E2M3,
  AFP_DTYPE_F6_E3M2,
  AFP_DTYPE_F4,
  AFP_DTYPE_C64,
  AFP_DTYPE_Q4_0,
  AFP_DTYPE_Q4_1,
  AFP_DTYPE_Q5_0,
  AFP_DTYPE_Q5_1,
  AFP_DTYPE_Q8_0,
  AFP_DTYPE_Q2_K,
  AFP_DTYPE_Q3_K,
  AFP_DTYPE_Q4_K,
  AFP_DTYPE_Q5_K,
  AFP_DTYPE_Q6_K,
  AFP_DTYPE_IQ4_NL,
  AFP_DTYPE_TQ1_0,
  AFP_DTYPE_TQ2_0,
  AFP_N_DTYPES
} AfpDType;

AFP_API const char *afp_dtype_name (AfpDType dtype); /* "f32", "bf16", "i8", "f8_e4m3" */
AFP_API gboolean afp_dtype_parse (const char *name,
                                  AfpDType *dtype); /* case-insensitive: "F32", "BF16" too */
AFP_API gsize afp_dtype_size (AfpDType dtype);      /* bytes of one element, or of one block */
AFP_API gsize afp_dtype_block (AfpDType dtype);     /* elements of a block; mostly 1 */
AFP_API gboolean
afp_dtype_has_row_blocks (AfpDType dtype);               /* blocks never cross a row's end: ggml */
AFP_API gboolean afp_dtype_is_real (AfpDType dtype);     /* can codecs work on it */
AFP_API gboolean afp_dtype_is_writable (AfpDType dtype); /* f64 f32 f16 bf16 */

AFP_API float afp_f16_to_f32 (guint16 half);
AFP_API guint16 afp_f32_to_f16 (float value); /* nearest even; overflow gives infinity */
AFP_API void afp_dtype_to_f32 (AfpDType dtype, const void *in, gsize stride, float *out, gsize n);
AFP_API void afp_dtype_read (AfpDType dtype, const void *array, guint64 first, float *out, gsize n);
AFP_API void afp_dtype_from_f32 (AfpDType dtype, const float *in, void *out, gsize stride, gsize n);

G_END_DECLS
