/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-dtype.h"

#include "afp-block-kernel.h"
#include "afp-float8.h"
#include "afp-half.h"

#include <math.h>
#include <string.h>

static const struct {
  const char *name;
  guint8 size;
  gboolean real;
  guint16 block; /* elements of a block; 0: there are no blocks */
  AfpBlockDecode decode;
} dtypes[AFP_N_DTYPES] = {
  [AFP_DTYPE_F32] = { "f32", 4, TRUE, 0, NULL },
  [AFP_DTYPE_F64] = { "f64", 8, TRUE, 0, NULL },
  [AFP_DTYPE_F16] = { "f16", 2, TRUE, 0, NULL },
  [AFP_DTYPE_BF16] = { "bf16", 2, TRUE, 0, NULL },
  [AFP_DTYPE_F8_E4M3] = { "f8_e4m3", 1, TRUE, 0, NULL },
  [AFP_DTYPE_F8_E5M2] = { "f8_e5m2", 1, TRUE, 0, NULL },
  [AFP_DTYPE_I64] = { "i64", 8, FALSE, 0, NULL },
  [AFP_DTYPE_I32] = { "i32", 4, FALSE, 0, NULL },
  [AFP_DTYPE_I16] = { "i16", 2, FALSE, 0, NULL },
  [AFP_DTYPE_I8] = { "i8", 1, FALSE, 0, NULL },
  [AFP_DTYPE_U64] = { "u64", 8, FALSE, 0, NULL },
  [AFP_DTYPE_U32] = { "u32", 4, FALSE, 0, NULL },
  [AFP_DTYPE_U16] = { "u16", 2, FALSE, 0, NULL },
  [AFP_DTYPE_U8] = { "u8", 1, FALSE, 0, NULL },
  [AFP_DTYPE_BOOL] = { "bool", 1, FALSE, 0, NULL },
  [AFP_DTYPE_F8_E4M3FNUZ] = { "f8_e4m3fnuz", 1, TRUE, 0, NULL },
  [AFP_DTYPE_F8_E5M2FNUZ] = { "f8_e5m2fnuz", 1, TRUE, 0, NULL },
  [AFP_DTYPE_F8_E8M0] = { "f8_e8m0", 1, FALSE, 0, NULL },
  [AFP_DTYPE_F6_E2M3] = { "f6_e2m3", 3, FALSE, 4, NULL },
  [AFP_DTYPE_F6_E3M2] = { "f6_e3m2", 3, FALSE, 4, NULL },
  [AFP_DTYPE_F4] = { "f4", 1, FALSE, 2, NULL },
  [AFP_DTYPE_C64] = { "c64", 8, FALSE, 0, NULL },
  [AFP_DTYPE_Q4_0] = { "q4_0", 18, TRUE, AFP_BLOCK_SMALL, afp_block_q4_0 },
  [AFP_DTYPE_Q4_1] = { "q4_1", 20, TRUE, AFP_BLOCK_SMALL, afp_block_q4_1 },
  [AFP_DTYPE_Q5_0] = { "q5_0", 22, TRUE, AFP_BLOCK_SMALL, afp_block_q5_0 },
  [AFP_DTYPE_Q5_1] = { "q5_1", 24, TRUE, AFP_BLOCK_SMALL, afp_block_q5_1 },
  [AFP_DTYPE_Q8_0] = { "q8_0", 34, TRUE, AFP_BLOCK_SMALL, afp_block_q8_0 },
  [AFP_DTYPE_Q2_K] = { "q2_k", 84, TRUE, AFP_BLOCK_LARGE, afp_block_q2_k },
  [AFP_DTYPE_Q3_K] = { "q3_k", 110, TRUE, AFP_BLOCK_LARGE, afp_block_q3_k },
  [AFP_DTYPE_Q4_K] = { "q4_k", 144, TRUE, AFP_BLOCK_LARGE, afp_block_q4_k },
  [AFP_DTYPE_Q5_K] = { "q5_k", 176, TRUE, AFP_BLOCK_LARGE, afp_block_q5_k },
  [AFP_DTYPE_Q6_K] = { "q6_k", 210, TRUE, AFP_BLOCK_LARGE, afp_block_q6_k },
  [AFP_DTYPE_IQ4_NL] = { "iq4_nl", 18, TRUE, AFP_BLOCK_SMALL, afp_block_iq4_nl },
  [AFP_DTYPE_TQ1_0] = { "tq1_0", 54, TRUE, AFP_BLOCK_LARGE, afp_block_tq1_0 },
  [AFP_DTYPE_TQ2_0] = { "tq2_0", 66, TRUE, AFP_BLOCK_LARGE, afp_block_tq2_0 },
};

/**
 * afp_dtype_name:
 * @dtype: an element type
 *
 * Returns: (transfer none): its name in lower case, as in files and caps
 */
const char *
afp_dtype_name (AfpDType dtype)
{
  g_return_val_if_fail ((guint) dtype < AFP_N_DTYPES, NULL);
  return dtypes[dtype].name;
}

/**
 * afp_dtype_parse:
 * @name: a name in any case ("F32", "bf16")
 * @dtype: (out): the element type
 *
 * Returns: %FALSE if there is no such type
 */
gboolean
afp_dtype_parse (const char *name, AfpDType *dtype)
{
  for (guint i = 0; i < AFP_N_DTYPES; i++)
    if (g_ascii_strcasecmp (name, dtypes[i].name) == 0) {
      *dtype = (AfpDType) i;
      return TRUE;
    }
  return FALSE;
}

/**
 * afp_dtype_size:
 * @dtype: an element type
 *
 * Returns: bytes of one element; of one block if the type has blocks
 */
gsize
afp_dtype_size (AfpDType dtype)
{
  g_return_val_if_fail ((guint) dtype < AFP_N_DTYPES, 0);
  return dtypes[dtype].size;
}

/**
 * afp_dtype_block:
 * @dtype: an element type
 *
 * Returns: how many elements share a block of afp_dtype_size() bytes; 1 for all but the types of ggml ("q4_0", ...) and those
 *   of less than 8 bits ("f4", "f6_e2m3", ...), of which so many fill whole bytes
 */
gsize
afp_dtype_block (AfpDType dtype)
{
  g_return_val_if_fail ((guint) dtype < AFP_N_DTYPES, 1);
  return MAX (dtypes[dtype].block, 1);
}

/**
 * afp_dtype_has_row_blocks:
 * @dtype: an element type
 *
 * Returns: whether its blocks run along the innermost axis and never cross its end: the types of ggml
 */
gboolean
afp_dtype_has_row_blocks (AfpDType dtype)
{
  g_return_val_if_fail ((guint) dtype < AFP_N_DTYPES, FALSE);
  return dtypes[dtype].decode != NULL;
}

/**
 * afp_dtype_is_writable:
 * @dtype: an element type
 *
 * Returns: whether afp_dtype_from_f32() writes it
 */
gboolean
afp_dtype_is_writable (AfpDType dtype)
{
  return dtype == AFP_DTYPE_F32 || dtype == AFP_DTYPE_F64 || dtype == AFP_DTYPE_F16 ||
         dtype == AFP_DTYPE_BF16;
}

/**
 * afp_dtype_is_real:
 * @dtype: an element type
 *
 * Returns: whether codecs can work on it
 */
gboolean
afp_dtype_is_real (AfpDType dtype)
{
  g_return_val_if_fail ((guint) dtype < AFP_N_DTYPES, FALSE);
  return dtypes[dtype].real;
}

static guint32
float_bits (float value)
{
  guint32 bits;
  memcpy (&bits, &value, sizeof bits);
  return bits;
}

static float
bits_float (guint32 bits)
{
  float value;
  memcpy (&value, &bits, sizeof value);
  return value;
}

/**
 * afp_f16_to_f32:
 * @half: IEEE 754 binary16
 *
 * Returns: the same value; exact
 */
float
afp_f16_to_f32 (guint16 half)
{
  return afp_half_to_float (half);
}

/**
 * afp_f32_to_f16:
 * @value: a number
 *
 * Returns: the nearest binary16, ties to even; overflow gives infinity
 */
guint16
afp_f32_to_f16 (float value)
{
  guint32 bits = float_bits (value);
  guint16 sign = (guint16) ((bits >> 16) & 0x8000u);
  guint32 magnitude = bits & 0x7fffffffu;

  if (magnitude >= 0x7f800000u) /* infinity, NaN (kept quiet) */
    return sign | 0x7c00u | (magnitude > 0x7f800000u ? 0x200u : 0);
  if (magnitude >= 0x477ff000u) /* rounds past 65504 */
    return sign | 0x7c00u;
  if (magnitude < 0x38800000u) {                         /* subnormal in binary16 */
    float scaled = bits_float (magnitude) * 16777216.0f; /* 2^24: exact */
    return sign | (guint16) lrintf (scaled);
  }
  magnitude += 0xfffu + ((magnitude >> 13) & 1);
  return sign | (guint16) ((magnitude - 0x38000000u) >> 13);
}

static guint16
f32_to_bf16 (float value)
{
  guint32 bits = float_bits (value);

  if ((bits & 0x7fffffffu) > 0x7f800000u)
    return (guint16) ((bits >> 16) | 0x40u);
  return (guint16) ((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

/**
 * afp_dtype_to_f32:
 * @dtype: f32, f64, f16, bf16, or one of the numbers of 8 bits
 * @in: first element; need not be aligned
 * @stride: elements from one to the next
 * @out: (array length=n): floats
 * @n: number of elements
 *
 * Reads numbers of any real type. f64 is rounded to nearest.
 */
void
afp_dtype_to_f32 (AfpDType dtype, const void *in, gsize stride, float *out, gsize n)
{
  const guint8 *p = in;

  switch (dtype) {
  case AFP_DTYPE_F32:
    if (stride == 1) {
      memcpy (out, p, n * 4);
      break;
    }
    for (gsize i = 0; i < n; i++)
      memcpy (&out[i], p + i * stride * 4, 4);
    break;
  case AFP_DTYPE_F64:
    for (gsize i = 0; i < n; i++) {
      double value;
      memcpy (&value, p + i * stride * 8, 8);
      out[i] = (float) value;
    }
    break;
  case AFP_DTYPE_F16:
  case AFP_DTYPE_BF16:
    for (gsize i = 0; i < n; i++) {
      guint16 half;
      memcpy (&half, p + i * stride * 2, 2);
      out[i] = dtype == AFP_DTYPE_F16 ? afp_f16_to_f32 (half) : bits_float ((guint32) half << 16);
    }
    break;
  case AFP_DTYPE_F8_E4M3:
    afp_float8_read (AFP_FLOAT8_E4M3, p, stride, out, n);
    break;
  case AFP_DTYPE_F8_E5M2:
    afp_float8_read (AFP_FLOAT8_E5M2, p, stride, out, n);
    break;
  case AFP_DTYPE_F8_E4M3FNUZ:
    afp_float8_read (AFP_FLOAT8_E4M3FNUZ, p, stride, out, n);
    break;
  case AFP_DTYPE_F8_E5M2FNUZ:
    afp_float8_read (AFP_FLOAT8_E5M2FNUZ, p, stride, out, n);
    break;
  default:
    g_return_if_reached ();
  }
}

/**
 * afp_dtype_read:
 * @dtype: a real type
 * @array: its first element or block; need not be aligned
 * @first: the element to begin with
 * @out: (array length=n): floats
 * @n: number of elements
 *
 * Reads elements that follow each other in an array of any real type, blocks included.
 */
void
afp_dtype_read (AfpDType dtype, const void *array, guint64 first, float *out, gsize n)
{
  const gsize block = afp_dtype_block (dtype), size = afp_dtype_size (dtype);
  const guint8 *p = (const guint8 *) array + first / block * size;
  float numbers[AFP_BLOCK_LARGE];

  if (block == 1) {
    afp_dtype_to_f32 (dtype, p, 1, out, n);
    return;
  }
  for (gsize skip = first % block; n > 0; skip = 0, p += size) {
    const gsize used = MIN (n, block - skip);
    const gboolean whole = used == block;
    dtypes[dtype].decode (p, whole ? out : numbers);
    if (!whole)
      memcpy (out, numbers + skip, used * sizeof *out);
    out += used;
    n -= used;
  }
}

/**
 * afp_dtype_from_f32:
 * @dtype: f32, f64, f16 or bf16
 * @in: (array length=n): floats
 * @out: first element; need not be aligned
 * @stride: elements from one to the next
 * @n: number of elements
 *
 * Writes numbers in any real type, rounded to nearest even.
 */
void
afp_dtype_from_f32 (AfpDType dtype, const float *in, void *out, gsize stride, gsize n)
{
  guint8 *p = out;

  switch (dtype) {
  case AFP_DTYPE_F32:
    for (gsize i = 0; i < n; i++)
      memcpy (p + i * stride * 4, &in[i], 4);
    break;
  case AFP_DTYPE_F64:
    for (gsize i = 0; i < n; i++) {
      double value = in[i];
      memcpy (p + i * stride * 8, &value, 8);
    }
    break;
  case AFP_DTYPE_F16:
  case AFP_DTYPE_BF16:
    for (gsize i = 0; i < n; i++) {
      guint16 half = dtype == AFP_DTYPE_F16 ? afp_f32_to_f16 (in[i]) : f32_to_bf16 (in[i]);
      memcpy (p + i * stride * 2, &half, 2);
    }
    break;
  default:
    g_return_if_reached ();
  }
}
