/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests of codecs and pipelines: tensors, a source and a sink in memory, codecs that are easy to check. */
#pragma once

#include "core-test.h"

/* For inner loops: ck_assert() reports where it is, which takes its time. */
#define must(expression)                \
  do {                                  \
    if (!(expression))                  \
      ck_abort_msg ("%s", #expression); \
  } while (0)

/* --- numbers and tensors --- */

/* Normal deviates; the same for the same seed. Free with g_free(). */
float *test_values (gsize n, guint64 seed);
/* @shape: "3x5", or "" for a scalar; @view: "in:1", or NULL */
AfpSpec *test_spec (const char *name, AfpDType dtype, const char *shape, const char *view);
/* Normal deviates in @dtype (real ones), else bytes 0, 1, 2, ... */
AfpTensor *
test_tensor (const char *name, AfpDType dtype, const char *shape, const char *view, guint64 seed);
AfpTensor *
test_tensor_from (const char *name, const char *shape, const char *view, const float *values);
/* Second moments of inputs that have to do with each other. */
AfpMoments *test_moments (guint64 size, gboolean diagonal, guint64 seed);
AfpTensor *
test_tensor_with_moments (const char *name, const char *shape, gboolean diagonal, guint64 seed);
/* The tensor's numbers, outputs x inputs, decoded. Free with g_free(). */
float *test_decode (AfpTensor *tensor);
float *test_decode_plane (AfpPlane *plane, AfpSpec *spec);
/* All paths and stored bytes of a tree, for comparisons. Frozen forms count for the plane. */
GBytes *test_tree_bytes (AfpPlane *plane);
/* "weight/coeffs" -> that plane, or NULL */
AfpPlane *test_find (AfpPlane *root, const char *path);
double test_nmse (const float *x, const float *y, gsize n);

/* --- pipelines in this process --- */

/* Registers test-source, test-sink, test-tap and the codecs below. */
void test_init (void);
/* What test-source gives from now on; (transfer none) each; NULL ends. */
void test_set_tensors (AfpTensor *first, ...) G_GNUC_NULL_TERMINATED;
/* Runs "test-source ! TEXT ! test-sink" (only "test-source ! test-sink" if TEXT is ""). FALSE: failed. */
gboolean test_try (const char *text, guint threads, GError **error);
/* A tensor of @shape comes, and TEXT is refused for a property, with both words. */
void test_refuses (const char *text, const char *shape, const char *one, const char *two);
/* The same; it must go well. Returns the first tensor that reached the sink (transfer full). */
AfpTensor *test_run (const char *text, guint threads);
/* What reached the sink in the last run: finalized. (transfer none) (element-type AfpTensor) */
GPtrArray *test_output (void);
/* What passed test-tap elements in the last run, as it was there. (transfer none) (element-type AfpTensor) */
GPtrArray *test_tapped (void);
/* The report of the last run, and its plan as text: (transfer none). */
JsonNode *test_report (void);
const char *test_plan (void);
/* "0.exit", "stages.1.claims.0.bytes" in the report; NULL if there is no such member. */
JsonNode *test_report_get (const char *path);

/* --- a folder for files --- */
char *test_write_file (const char *name,
                       const char *text); /* path; the folder goes with test_remove_files() */
void test_remove_files (void);

/* --- codecs (tests/afp-test-codecs.c, tests/afp-test-more.c) ---
 * test-q      codes of `bits` bits: x = scale * (code - 2^(bits-1)); scale=none|tensor|row; layout=row|flat; quantum;
 *             residual=true leaves what is missing; table=true adds a plane of symbols for the tensor. Answers queries.
 * test-pair   two code planes: signs (1 bit each) and one level (5 bits) for each two numbers. Nothing to fit. Answers.
 * test-ask    blocks of `block`: one of four patterns of signs, and coeffs with vectors of `vector` under metric=. Asks.
 * test-flip   leaves one float plane of kind weight: the negated numbers.
 * test-wide   leaves more bytes than it takes; optional=true: an optional plane only.
 * test-many   17 code planes.
 * test-fail   fails in=describe|fit|open|encode|decode|none; on=row: only there.
 * test-probe  calls test_probe in fit; 8-bit codes, all zero; `quantum`. (test-ask calls it too, when it has fitted its quantizer.)
 * test-pack   a lossless coder that copies; fail=true fails; bloat=true breaks its word about the largest size.
 */
typedef void (*TestProbe) (AfpContext *ctx);
extern TestProbe test_probe;
extern guint test_n_fits, test_n_encodes; /* calls of test-q's fit and encode_block */
void test_codecs_register (void);
void test_more_codecs_register (void); /* the odd ones (tests/afp-test-more.c) */
