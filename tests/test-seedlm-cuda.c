/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm/seedlm-cuda.h"

#include "seedlm-kernel-test.h"

#include <stdio.h>

/* On a graphics processor, against the kernels in C. Without one: what is said of that, and skipped. */

#define N_BLOCKS 300

static const struct {
  unsigned c, p, k;
  uint32_t leap;
} shapes_there[] = {
  { 8, 3, 16, 1 }, { 8, 3, 12, 16 }, { 12, 4, 16, 16 }, { 20, 3, 10, 16 }, { 8, 8, 6, 1 }
};

START_TEST (device_decodes_the_same_bits)
{
  const unsigned c = shapes_there[_i].c, p = shapes_there[_i].p;
  const char *why = NULL;
  SeedlmDecoder *decoder = seedlm_decoder_new (shapes_there[_i].k, shapes_there[_i].leap, c, p);
  SeedlmCuda *cuda = seedlm_cuda_new (0, decoder, NULL, &why);
  float *t = normal_blocks (N_BLOCKS * p), *plain = malloc (sizeof *plain * N_BLOCKS * c),
        *out = malloc (sizeof *out * N_BLOCKS * c);
  uint16_t *half = malloc (sizeof *half * N_BLOCKS * c);
  uint32_t seeds[N_BLOCKS];

  ck_assert_msg (cuda != NULL, "%s", why);
  for (unsigned b = 0; b < N_BLOCKS; b++)
    seeds[b] = 1 + (uint32_t) (uniform () * decoder->period);
  seedlm_decoder_run (decoder, seeds, t, 0.7f, N_BLOCKS, plain);
  ck_assert_msg (seedlm_cuda_decode (cuda, seeds, t, 0.7f, N_BLOCKS, out, half, &why), "%s", why);
  ck_assert_mem_eq (out, plain, sizeof *out * N_BLOCKS * c);
  for (unsigned i = 0; i < N_BLOCKS * c; i++)
    ck_assert_uint_eq (half[i], afp_thread_half (plain[i]));
  ck_assert (!seedlm_cuda_search (cuda, NULL, t, 1, seeds, t, seeds, NULL, &why));
  ck_assert_ptr_nonnull (strstr (why, "without a basis"));
  seedlm_cuda_free (cuda);
  seedlm_decoder_free (decoder);
  free (t);
  free (plain);
  free (out);
  free (half);
}
END_TEST

START_TEST (device_finds_the_least_error)
{
  const unsigned c = shapes_there[_i].c;
  unsigned rank = shapes_there[_i].p;
  const char *why = NULL;
  const SeedlmThreadQuantizer quantizer = { .mantissa_bits = 4 };
  const SeedlmSearchParams params = { .quantize = best_block_float, .user_data = &rank };
  float *blocks = normal_blocks (N_BLOCKS * c), *t_hat = malloc (sizeof *t_hat * N_BLOCKS * rank);
  uint32_t seeds[N_BLOCKS], codes[N_BLOCKS];
  double errors[N_BLOCKS], errors_there[N_BLOCKS];
  Tables tables;

  tables_init (&tables, c, rank, shapes_there[_i].k, shapes_there[_i].leap, 0);
  SeedlmCuda *cuda = seedlm_cuda_new (0, NULL, tables.basis, &why);
  ck_assert_msg (cuda != NULL, "%s", why);
  ck_assert (seedlm_search_run (tables.search, &params, blocks, NULL, N_BLOCKS, seeds, t_hat, NULL,
                                errors));
  ck_assert_msg (seedlm_cuda_search (cuda, &quantizer, blocks, N_BLOCKS, seeds, t_hat, codes,
                                     errors_there, &why),
                 "%s", why);
  for (unsigned b = 0; b < N_BLOCKS; b++)
    ck_assert_double_eq_tol (errors_there[b], errors[b], 1e-6 * errors[b] + 1e-12);
  ck_assert (!seedlm_cuda_decode (cuda, seeds, t_hat, 1, 1, blocks, NULL, &why));
  ck_assert_ptr_nonnull (strstr (why, "without a decoder"));
  seedlm_cuda_free (cuda);
  tables_clear (&tables);
  free (blocks);
  free (t_hat);
}
END_TEST

START_TEST (no_such_device)
{
  const char *why = NULL;

  ck_assert_ptr_null (seedlm_cuda_new (_i ? -1 : 1000, NULL, NULL, &why));
  ck_assert_ptr_nonnull (strstr (why, "no CUDA device of that number"));
}
END_TEST

static TCase *
device_case (void)
{
  TCase *tcase = tcase_create ("device");
  tcase_add_loop_test (tcase, device_decodes_the_same_bits, 0, 5);
  tcase_add_loop_test (tcase, device_finds_the_least_error, 0, 5);
  tcase_add_loop_test (tcase, no_such_device, 0, 2);
  return tcase;
}

/* What is said where nothing can be run names the cure. */
static int
skip (const char *why)
{
  const int good = strstr (why, "--with-cuda") || strstr (why, "nvidia-smi") ||
                   strstr (why, "compute capability 7.5");
  const char *again = NULL;

  if (!good || seedlm_cuda_new (3, NULL, NULL, &again) || strcmp (again, why) != 0) {
    fprintf (stderr, "no cure in: %s\n", why);
    return EXIT_FAILURE;
  }
  seedlm_cuda_free (NULL);
  printf ("1..0 # SKIP %s\n", why);
  return EXIT_SUCCESS;
}

int
main (void)
{
  const char *why = NULL;
  SeedlmCuda *cuda = seedlm_cuda_new (0, NULL, NULL, &why);

  if (!cuda)
    return skip (why);
  seedlm_cuda_free (cuda);
  /* A process that has used the device cannot use it after fork(). */
  Suite *suite = suite_create ("seedlm-cuda");
  suite_add_tcase (suite, device_case ());
  SRunner *runner = srunner_create (suite);
  srunner_set_fork_status (runner, CK_NOFORK);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
