/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm/seedlm-cuda.h"
#include "seedlm/seedlm-device.h"
#include "seedlm/seedlm-fit.h"

#include "seedlm-test.h"
#include "seedlm-twin-test.h"

/* The search of device=cuda: here on a device that is none, its threads run one after another. What the element says of a device. */

#define N 70 /* blocks */

/* --- the device --------------------------------------------------------------------------------------------------------- */

static const char *failing; /* what the device says */
static guint32 seed_found;  /* what it finds; 0: what there is */

struct SeedlmCuda {
  const SeedlmBasis *basis;
};

SeedlmCuda *
seedlm_cuda_new (int device, const SeedlmDecoder *decoder, const SeedlmBasis *basis,
                 const char **why)
{
  if (failing) {
    *why = failing;
    return NULL;
  }
  SeedlmCuda *cuda = g_new0 (SeedlmCuda, 1);
  cuda->basis = basis;
  return cuda;
}

void
seedlm_cuda_free (SeedlmCuda *cuda)
{
  g_free (cuda);
}

int
seedlm_cuda_decode (SeedlmCuda *cuda, const uint32_t *seeds, const float *t, float scale, size_t n,
                    float *out, uint16_t *half, const char **why)
{
  ck_abort_msg ("nothing is decoded there");
}

int
seedlm_cuda_search (SeedlmCuda *cuda, const SeedlmThreadQuantizer *quantizer, const float *blocks,
                    size_t n, uint32_t *seeds, float *t_hat, uint32_t *codes, double *errors,
                    const char **why)
{
  Twin twin;

  if (failing) {
    *why = failing;
    return 0;
  }
  twin_init (&twin, cuda->basis, blocks, n, *quantizer);
  twin_run (&twin);
  for (size_t b = 0; b < n; b++)
    seeds[b] = seed_found ? seed_found : twin.seeds[b];
  twin_clear (&twin);
  return 1;
}

/* --- searching ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  Tables tables;
  AfpQuantizer *quantizer;
  SeedlmAsk ask;
  GError *error;
  SeedlmSearchParams params;
  float *blocks, *t_hat, *t_there;
  guint32 seeds[N], seeds_there[N], *codes, *codes_there, *zero_codes;
  SeedlmZero zero;
} Case;

/* The codec block-float, as the plane's fallback. @bits 0: no quantizer */
static void
case_init (Case *self, unsigned c, unsigned rank, unsigned k, uint32_t leap, guint bits)
{
  g_autofree char *call = g_strdup_printf ("block-float mantissa-bits=%u", bits);
  const AfpPlaneDesc desc = { .name = "coeffs",
                              .kind = AFP_KIND_COEFFS,
                              .rows = 1,
                              .cols = 16 * rank,
                              .vector = rank,
                              .metric = AFP_METRIC_MATRIX,
                              .fallback = g_intern_string (call) };

  failing = NULL;
  seed_found = 0;
  *self = (Case){ .ask = { NULL, rank, NULL } };
  if (bits) {
    g_autoptr (AfpClaim) claim = afp_claim_new_fallback (&desc, NULL);
    self->quantizer = afp_quantizer_new (claim, "coeffs", NULL, NULL);
    ck_assert (afp_quantizer_fit (self->quantizer, NULL, 0, NULL, NULL));
  }
  const guint n_codes = bits ? afp_quantizer_get_n_codes (self->quantizer) : 0;
  tables_init (&self->tables, c, rank, k, leap, n_codes);
  self->blocks = normal_blocks (N * c);
  self->t_hat = g_new (float, N *rank);
  self->t_there = g_new (float, N *rank);
  self->codes = g_new0 (guint32, N * n_codes + 1);
  self->codes_there = g_new0 (guint32, N * n_codes + 1);
  self->zero_codes = g_new0 (guint32, n_codes + 1);
  self->zero = (SeedlmZero){ .seed = 2, .codes = self->zero_codes };
  self->ask.quantizer = self->quantizer;
  self->ask.error = &self->error;
  self->params = (SeedlmSearchParams){ .quantize = bits ? seedlm_ask_quantize : NULL,
                                       .user_data = &self->ask,
                                       .n_codes = n_codes,
                                       .zero = &self->zero };
}

static void
case_clear (Case *self)
{
  g_clear_object (&self->quantizer);
  tables_clear (&self->tables);
  free (self->blocks);
  g_free (self->t_hat);
  g_free (self->t_there);
  g_free (self->codes);
  g_free (self->codes_there);
  g_free (self->zero_codes);
}

/* On the device. */
static gboolean
search_there (Case *self, SeedlmDevice *device, guint bits, gsize n, GError **error)
{
  return seedlm_device_search (device, &self->params, bits, self->blocks, n, self->seeds_there,
                               self->t_there, self->codes_there, error);
}

static const struct {
  unsigned c, p, k;
  uint32_t leap;
  guint bits;
} searched[] = { { 8, 3, 8, 16, 4 }, { 12, 4, 8, 1, 3 }, { 4, 2, 6, 1, 8 },
                 { 6, 5, 7, 1, 2 },  { 8, 8, 6, 1, 4 },  { 12, 4, 8, 16, 0 } };

/* What is stored is what the search on the processor stores, bit for bit; blocks of zeros and small numbers among the others. */
START_TEST (the_same_bytes)
{
  const unsigned c = searched[_i].c, rank = searched[_i].p;
  Case self;
  GError *error = NULL;

  case_init (&self, c, rank, searched[_i].k, searched[_i].leap, searched[_i].bits);
  memset (self.blocks + 5 * c, 0, c * sizeof (float));
  for (unsigned i = 0; i < c; i++)
    self.blocks[7 * c + i] *= 0x1p-7f;
  SeedlmDevice *device = seedlm_device_new (self.tables.basis, &error);
  ck_assert_ptr_nonnull (device);
  ck_assert (seedlm_search_run (self.tables.search, &self.params, self.blocks, NULL, N, self.seeds,
                                self.t_hat, self.codes, NULL));
  ck_assert (search_there (&self, device, searched[_i].bits, N, &error));
  ck_assert_uint_eq (self.seeds_there[5], 2);
  ck_assert_mem_eq (self.seeds_there, self.seeds, sizeof self.seeds);
  ck_assert_mem_eq (self.t_there, self.t_hat, N * rank * sizeof (float));
  ck_assert_mem_eq (self.codes_there, self.codes, (N * self.params.n_codes + 1) * sizeof (guint32));
  seedlm_device_free (device);
  case_clear (&self);
}
END_TEST

START_TEST (no_blocks)
{
  Case self;
  GError *error = NULL;

  case_init (&self, 4, 2, 6, 1, 4);
  SeedlmDevice *device = seedlm_device_new (self.tables.basis, &error);
  ck_assert (search_there (&self, device, 4, 0, &error));
  seedlm_device_free (device);
  seedlm_device_free (NULL);
  case_clear (&self);
}
END_TEST

/* --- what goes wrong ------------------------------------------------------------------------------------------------------ */

START_TEST (there_is_no_device)
{
  GError *error = NULL;

  ck_assert_ptr_null (seedlm_device_missing ());
  failing = "it is too hot";
  ck_assert_str_eq (seedlm_device_missing (), failing);
  ck_assert_ptr_null (seedlm_device_new (NULL, &error));
  assert_error (error, AFP_ERROR_PLAN, "device=cuda", "too hot", "take device=cpu");
}
END_TEST

/* It fails in the middle; it finds what there is not: 0, and a number beyond the register. */
START_TEST (the_device_fails)
{
  Case self;
  GError *error = NULL;

  case_init (&self, 4, 2, 6, 1, 4);
  SeedlmDevice *device = seedlm_device_new (self.tables.basis, NULL);
  failing = _i ? NULL : "it fell off the bus";
  seed_found = 64;
  ck_assert (!search_there (&self, device, 4, N, &error));
  assert_error (error, AFP_ERROR_CODEC, "CUDA device failed",
                _i ? "a seed that the register does not have" : "fell off the bus",
                "take device=cpu");
  seedlm_device_free (device);
  case_clear (&self);
}
END_TEST

/* Coefficients that the codec cannot store are its error, not the device's. */
START_TEST (the_quantizer_fails)
{
  Case self;
  GError *error = NULL;

  case_init (&self, 4, 2, 6, 1, 4);
  SeedlmDevice *device = seedlm_device_new (self.tables.basis, NULL);
  self.params.quantize = failing_quantize;
  ck_assert (!search_there (&self, device, 4, N, &error));
  ck_assert_ptr_null (error);
  self.params.quantize = seedlm_ask_quantize;
  self.blocks[0] = NAN;
  seed_found = 1;
  ck_assert (!search_there (&self, device, 4, 1, &error));
  assert_error (self.error, AFP_ERROR_CODEC, "block-float", "NaN");
  seedlm_device_free (device);
  case_clear (&self);
}
END_TEST

static TCase *
device_case (void)
{
  TCase *tcase = tcase_create ("device");
  tcase_add_loop_test (tcase, the_same_bytes, 0, G_N_ELEMENTS (searched));
  tcase_add_test (tcase, no_blocks);
  tcase_add_test (tcase, there_is_no_device);
  tcase_add_loop_test (tcase, the_device_fails, 0, 2);
  tcase_add_test (tcase, the_quantizer_fails);
  return tcase;
}

/* --- the element ---------------------------------------------------------------------------------------------------------- */

/* With overlapping seeds it says nothing; of other devices nobody knows. */
static const struct {
  const char *properties;
  const char *words[3];
} refused[] = {
  { "overlap=true device=cpu", { "device=", "overlap=true", "leave it out" } },
  { "device=opencl", { "device", "opencl", "cpu | cuda | auto" } },
};

START_TEST (properties_are_refused)
{
  g_autofree char *text =
      g_strdup_printf ("synth shapes=8x8 ! seedlm %s ! null", refused[_i].properties);
  g_auto (Result) result = { 0 };
  GError *error = NULL;

  ck_assert (!try_run (text, 1, &result, &error));
  assert_error (error, AFP_ERROR_PROPERTY, refused[_i].words[0], refused[_i].words[1],
                refused[_i].words[2]);
}
END_TEST

/* The plugin has the real thing. Where that is missing: device=auto is the processor, device=cuda says what to do. */
START_TEST (the_element_on_a_device)
{
  g_auto (Result) cpu = { 0 };
  g_auto (Result) automatic = { 0 };
  g_auto (Result) cuda = { 0 };
  GError *error = NULL;

  run ("synth shapes=16x64 ! seedlm C=8 P=3 K=8 ! eval ! null", &cpu);
  run ("synth shapes=16x64 ! seedlm C=8 P=3 K=8 device=auto ! eval ! null", &automatic);
  ck_assert_double_eq (automatic.nmse, cpu.nmse);
  if (try_run ("synth shapes=16x64 ! seedlm C=8 P=3 K=8 device=cuda ! eval ! null", 1, &cuda,
               &error))
    ck_assert_double_eq (cuda.nmse, cpu.nmse);
  else
    assert_error (error, AFP_ERROR_PLAN, "seedlm0", "device=cuda", "CUDA", "or take device=cpu");
}
END_TEST

static TCase *
element_case (void)
{
  TCase *tcase = tcase_create ("element");
  tcase_add_loop_test (tcase, properties_are_refused, 0, G_N_ELEMENTS (refused));
  tcase_add_test (tcase, the_element_on_a_device);
  return tcase;
}

static TCase *(*const cases[]) (void) = { device_case, element_case };

int
main (void)
{
  return run_suite ("seedlm-device", cases, G_N_ELEMENTS (cases));
}
