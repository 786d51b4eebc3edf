/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-device.h"
#include "seedlm-cuda.h"

#include <string.h>

#define BATCH 512 /* blocks whose coefficients are quantized together */

struct _SeedlmDevice {
  const SeedlmBasis *basis;
  SeedlmCuda *cuda;
  GMutex lock; /* one search at a time: it fills the device */
};

const char *
seedlm_device_missing (void)
{
  const char *why = NULL;
  SeedlmCuda *cuda = seedlm_cuda_new (0, NULL, NULL, &why);

  seedlm_cuda_free (cuda);
  return cuda ? NULL : why;
}

SeedlmDevice *
seedlm_device_new (const SeedlmBasis *basis, GError **error)
{
  const char *why = NULL;
  SeedlmCuda *cuda = seedlm_cuda_new (0, NULL, basis, &why);

  if (!cuda) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN, "seedlm: device=cuda: %s; or take device=cpu",
                 why);
    return NULL;
  }
  SeedlmDevice *self = g_new0 (SeedlmDevice, 1);
  self->basis = basis;
  self->cuda = cuda;
  g_mutex_init (&self->lock);
  return self;
}

void
seedlm_device_free (SeedlmDevice *self)
{
  if (!self)
    return;
  seedlm_cuda_free (self->cuda);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static gboolean
is_zero (const float *block, guint block_size)
{
  guint i = 0;

  while (i < block_size && block[i] == 0)
    i++;
  return i == block_size;
}

/* Coefficients of the seeds that were found, as the search on the processor has them. */
static gboolean
quantize_found (const SeedlmBasis *basis, const SeedlmSearchParams *params, const float *blocks,
                gsize n, guint32 *seeds, float *t_hat, guint32 *codes)
{
  const guint length = basis->block_size, rank = basis->rank;
  float t[BATCH * SEEDLM_MAX_RANK], metric[BATCH * SEEDLM_MAX_RANK * SEEDLM_MAX_RANK];

  for (gsize b = 0; b < n; b++)
    seedlm_project (seedlm_block_values (basis->sequence, seeds[b]), length, rank,
                    blocks + b * length, NULL, t + b * rank, metric + b * rank * rank);
  if (!params->quantize)
    memcpy (t_hat, t, n * rank * sizeof *t);
  else if (!params->quantize (params->user_data, t, n, metric, params->n_codes ? codes : NULL,
                              t_hat))
    return FALSE;
  for (gsize b = 0; b < n; b++)
    if (params->zero && is_zero (blocks + b * length, length)) {
      seeds[b] = params->zero->seed;
      memcpy (t_hat + b * rank, params->zero->t_hat, rank * sizeof *t_hat);
      if (params->n_codes)
        memcpy (codes + b * params->n_codes, params->zero->codes, params->n_codes * sizeof *codes);
    }
  return TRUE;
}

gboolean
seedlm_device_search (SeedlmDevice *self, const SeedlmSearchParams *params, guint mantissa_bits,
                      const float *blocks, gsize n, guint32 *seeds, float *t_hat, guint32 *codes,
                      GError **error)
{
  const SeedlmThreadQuantizer quantizer = { .mantissa_bits = mantissa_bits };
  const guint length = self->basis->block_size, rank = self->basis->rank;
  g_autofree guint32 *no_codes = g_new (guint32, n + 1);
  g_autofree double *errors = g_new (double, n + 1);
  const char *why = NULL;

  g_mutex_lock (&self->lock);
  const gboolean found =
      seedlm_cuda_search (self->cuda, &quantizer, blocks, n, seeds, t_hat, no_codes, errors, &why);
  g_mutex_unlock (&self->lock);
  for (gsize b = 0; found && b < n; b++)
    if (seeds[b] == 0 || seeds[b] > self->basis->sequence->period)
      why = "it found a seed that the register does not have";
  if (why) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
                 "seedlm: the search on the CUDA device failed: %s; take device=cpu", why);
    return FALSE;
  }
  for (gsize from = 0; from < n; from += BATCH)
    if (!quantize_found (self->basis, params, blocks + from * length, MIN (BATCH, n - from),
                         seeds + from, t_hat + from * rank,
                         codes ? codes + from * params->n_codes : NULL))
      return FALSE;
  return TRUE;
}
