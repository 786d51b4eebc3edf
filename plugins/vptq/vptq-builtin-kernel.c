/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-builtin-kernel.h"

#include <string.h>

/* Version 1, by vptq-builtin-make. */
static const char table_1x16[] =
#include "vptq-builtin-1x16.inc"
    ;
static const char table_1x256[] =
#include "vptq-builtin-1x256.inc"
    ;
static const char table_2x16[] =
#include "vptq-builtin-2x16.inc"
    ;
static const char table_2x256[] =
#include "vptq-builtin-2x256.inc"
    ;
static const char table_3x256[] =
#include "vptq-builtin-3x256.inc"
    ;
static const char table_4x16[] =
#include "vptq-builtin-4x16.inc"
    ;
static const char table_4x256[] =
#include "vptq-builtin-4x256.inc"
    ;
static const char table_4x4096[] =
#include "vptq-builtin-4x4096.inc"
    ;
static const char table_6x256[] =
#include "vptq-builtin-6x256.inc"
    ;
static const char table_6x4096[] =
#include "vptq-builtin-6x4096.inc"
    ;
static const char table_8x16[] =
#include "vptq-builtin-8x16.inc"
    ;
static const char table_8x256[] =
#include "vptq-builtin-8x256.inc"
    ;

static const struct {
  unsigned length, n_centroids;
  const char *digits;
} tables[] = {
  { 1, 16, table_1x16 },     { 1, 256, table_1x256 },   { 2, 16, table_2x16 },
  { 2, 256, table_2x256 },   { 3, 256, table_3x256 },   { 4, 16, table_4x16 },
  { 4, 256, table_4x256 },   { 4, 4096, table_4x4096 }, { 6, 256, table_6x256 },
  { 6, 4096, table_6x4096 }, { 8, 16, table_8x16 },     { 8, 256, table_8x256 },
};

#define N_TABLES (sizeof tables / sizeof tables[0])

static const char *
find (unsigned length, unsigned n_centroids)
{
  for (size_t i = 0; i < N_TABLES; i++)
    if (tables[i].length == length && tables[i].n_centroids == n_centroids)
      return tables[i].digits;
  return NULL;
}

bool
vptq_builtin_has (unsigned length, unsigned n_centroids)
{
  return find (length, n_centroids) != NULL;
}

bool
vptq_builtin_list (size_t i, unsigned *length, unsigned *n_centroids)
{
  if (i >= N_TABLES)
    return false;
  *length = tables[i].length;
  *n_centroids = tables[i].n_centroids;
  return true;
}

bool
vptq_builtin_fill (unsigned length, unsigned n_centroids, float *codebook)
{
  static const char digits[] = VPTQ_BUILTIN_DIGITS;
  const char *p = find (length, n_centroids);

  if (!p)
    return false;
  for (size_t i = 0; i < (size_t) length * n_centroids; i++, p += 2) {
    const int code =
        (int) (64 * (strchr (digits, p[0]) - digits) + (strchr (digits, p[1]) - digits));
    codebook[i] = (float) (code - 2048) / VPTQ_BUILTIN_STEPS;
  }
  return true;
}
