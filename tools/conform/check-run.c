/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* What happens in a run around the numbers: bad ones, other dtypes, cancellation, memory. */

#define TRIAL(c, trial)             \
  const ConformTrial *trial = data; \
  g_autoptr (AfpTensor) input = conform_input_make (trial->input, (c)->target->quick)

/* Memory cannot be measured where a sanitizer holds it. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* The variable that makes malloc() keep no freed blocks for threads. */
#define MEASURED "GLIBC_TUNABLES"

/* --- numbers that cannot be coded, tensors that are not to be coded ------------------------------------------------ */

void
conform_check_not_finite (ConformCase *c, gconstpointer data)
{
  static const struct {
    float value;
    const char *text;
  } bad[] = { { NAN, "NaN" }, { INFINITY, "Inf" }, { -INFINITY, "-Inf" } };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autofree float *values = conform_numbers ("normal", 24 * 40, 1);
    g_autoptr (GError) error = NULL;
    g_auto (ConformResult) result = { 0 };
    values[7 * 40 + 11] = bad[i].value;
    g_autoptr (AfpTensor) input =
        conform_tensor_new ("layer.weight", AFP_DTYPE_F32, "24x40", NULL, values);
    conform_begin (c, bad[i].text);
    if (conform_run_any (c->target, "", input, 2, &result, NULL, &error)) {
      if (result.taken)
        conform_fail (c, "an error that names tensor and index", "the tensor was coded");
      else
        conform_skip (c, "the tensor was left alone");
      continue;
    }
    conform_expect (c,
                    g_error_matches (error, AFP_ERROR, AFP_ERROR_CODEC) &&
                        strstr (error->message, "layer.weight") &&
                        strstr (error->message, "[7,11]") && strstr (error->message, bad[i].text),
                    "AFP_ERROR_CODEC with tensor, index and value", "%s", error->message);
  }
}

void
conform_check_passes (ConformCase *c, gconstpointer data)
{
  static const struct {
    const char *name, *shape;
    AfpDType dtype;
  } others[] = { { "integers", "8x40", AFP_DTYPE_I32 },
                 { "truth values", "8x40", AFP_DTYPE_BOOL },
                 { "bytes", "8x40", AFP_DTYPE_U8 },
                 { "nothing", "0x40", AFP_DTYPE_F32 } };

  for (guint i = 0; i < G_N_ELEMENTS (others); i++) {
    const float none = 0;
    g_autoptr (AfpTensor) input =
        conform_tensor_new ("other", others[i].dtype, others[i].shape, NULL, &none);
    g_auto (ConformResult) result = { 0 };
    g_autoptr (GError) error = NULL;
    conform_begin (c, others[i].name);
    g_autofree char *before = conform_fingerprint (input);
    if (!conform_run_any (c->target, "", input, 2, &result, NULL, &error)) {
      conform_fail (c, "the tensor to pass by", "%s", error->message);
      continue;
    }
    g_autofree char *after = conform_fingerprint (result.tensor);
    conform_expect (c, g_str_equal (before, after), "the bytes that went in", "others");
  }
}

/* --- cancellation ---------------------------------------------------------------------------------------------------- */

/* Counts blocks and cancels at the first: put in the place of the class's own function in this process. */
static struct {
  AfpPipeline *pipeline;
  gint blocks;
  gboolean (*encode_block) (AfpCodec *self, gpointer state, AfpBlock *block, GError **error);
  gboolean (*fit) (AfpCodec *self, AfpContext *ctx, GError **error);
  GBytes *(*pack) (AfpPacker *self, const AfpPlaneDesc *desc, GBytes *codes, GError **error);
} hooks;

static void
count_and_cancel (void)
{
  if (g_atomic_int_add (&hooks.blocks, 1) == 0 && hooks.pipeline)
    afp_pipeline_cancel (hooks.pipeline);
}

static gboolean
hooked_encode_block (AfpCodec *self, gpointer state, AfpBlock *block, GError **error)
{
  count_and_cancel ();
  return hooks.encode_block (self, state, block, error);
}

static gboolean
hooked_fit (AfpCodec *self, AfpContext *ctx, GError **error)
{
  count_and_cancel ();
  return hooks.fit (self, ctx, error);
}

static GBytes *
hooked_pack (AfpPacker *self, const AfpPlaneDesc *desc, GBytes *codes, GError **error)
{
  count_and_cancel ();
  return hooks.pack (self, desc, codes, error);
}

static void
expect_cancelled (ConformCase *c, gboolean ok, const GError *error, guint most)
{
  const guint blocks = (guint) g_atomic_int_get (&hooks.blocks);

  if (ok)
    conform_fail (c, "AFP_ERROR_CANCELLED", "the run went on to its end");
  else if (!g_error_matches (error, AFP_ERROR, AFP_ERROR_CANCELLED))
    conform_fail (c, "AFP_ERROR_CANCELLED", "%s", error->message);
  else if (conform_chain_get_output ())
    conform_fail (c, "nothing at the sink", "a tensor");
  else
    conform_expect (c, blocks <= most, "no block to be begun after it",
                    "%u blocks were begun by 2 threads", blocks);
}

/* Runs the trial with the hooks that the caller has set. */
static void
run_hooked (ConformCase *c, const char *check, const ConformTrial *trial, AfpTensor *input,
            guint most)
{
  g_autofree char *config = conform_config (c->target, trial->config, TRUE);
  g_autoptr (GError) error = NULL;

  conform_begin (c, check);
  hooks.blocks = 0;
  conform_chain_set_input (input);
  g_autoptr (AfpPipeline) pipeline = conform_pipeline_new (c->target, config, &error);
  if (!pipeline) {
    conform_fail (c, "a pipeline", "%s", error->message);
    return;
  }
  hooks.pipeline = pipeline;
  afp_pipeline_set_threads (pipeline, 2);
  const gboolean ok = afp_pipeline_run (pipeline, &error);
  hooks.pipeline = NULL;
  if (g_atomic_int_get (&hooks.blocks) == 0 && ok)
    conform_skip (c, "the tensor does not come there");
  else
    expect_cancelled (c, ok, error, most);
}

static void
cancel_from_source (gpointer source, gpointer unused)
{
  count_and_cancel ();
}

static gpointer
cancel_later (gpointer delay)
{
  g_usleep (GPOINTER_TO_UINT (delay));
  if (g_atomic_pointer_get (&hooks.pipeline))
    afp_pipeline_cancel (hooks.pipeline);
  return NULL;
}

/* From another thread at some moment: cancelled or done, and nothing else. */
static void
cancel_any_time (ConformCase *c, const ConformTrial *trial, AfpTensor *input)
{
  g_autofree char *config = conform_config (c->target, trial->config, TRUE);

  for (guint i = 0; i < 6; i++) {
    const guint delay = 100u << (2 * i);
    g_autofree char *check = g_strdup_printf ("from another thread after %u us", delay);
    g_autoptr (GError) error = NULL;
    conform_begin (c, check);
    conform_chain_set_input (input);
    g_autoptr (AfpPipeline) pipeline = conform_pipeline_new (c->target, config, &error);
    afp_pipeline_set_threads (pipeline, 2);
    hooks.pipeline = pipeline;
    GThread *thread = g_thread_new ("cancel", cancel_later, GUINT_TO_POINTER (delay));
    const gboolean ok = afp_pipeline_run (pipeline, &error);
    g_thread_join (thread);
    hooks.pipeline = NULL;
    conform_expect (c, ok || g_error_matches (error, AFP_ERROR, AFP_ERROR_CANCELLED),
                    "AFP_ERROR_CANCELLED, or the end", "%s", error ? error->message : "");
  }
}

void
conform_check_cancel (ConformCase *c, gconstpointer data)
{
  TRIAL (c, trial);
  g_autoptr (AfpElement) element =
      afp_registry_make (afp_registry_get_default (), c->target->element, NULL);

  conform_chain_set_hook (cancel_from_source, NULL);
  run_hooked (c, "before the first block", trial, input, 1);
  conform_chain_set_hook (NULL, NULL);
  cancel_any_time (c, trial, input);
  if (c->target->packer) {
    AfpPackerClass *klass = AFP_PACKER_GET_CLASS (element);
    hooks.pack = klass->pack;
    klass->pack = hooked_pack;
    run_hooked (c, "in pack()", trial, input, G_MAXUINT);
    klass->pack = hooks.pack;
    return;
  }
  AfpCodecClass *klass = AFP_CODEC_GET_CLASS (element);
  hooks.fit = klass->fit;
  hooks.encode_block = klass->encode_block;
  if (klass->fit) {
    klass->fit = hooked_fit;
    run_hooked (c, "in fit()", trial, input, G_MAXUINT);
    klass->fit = hooks.fit;
  }
  if (klass->encode_block) {
    klass->encode_block = hooked_encode_block;
    run_hooked (c, "in the first block", trial, input, 2);
    klass->encode_block = hooks.encode_block;
  }
}

/* --- memory ---------------------------------------------------------------------------------------------------------- */

static gboolean
encode_and_decode (const ConformTarget *target, const char *config, AfpTensor *input,
                   GError **error)
{
  g_auto (ConformResult) result = { 0 };

  if (!conform_run (target, config, input, 1, &result, error))
    return FALSE;
  g_autoptr (GBytes) decoded = conform_decode_tensor (result.tensor, 1, error);
  return decoded != NULL;
}

/* What is allocated now; exact, as conform_measure_memory() keeps no freed blocks for threads. */
static gsize
live_bytes (void)
{
#ifdef __GLIBC__
  const struct mallinfo2 info = mallinfo2 ();

  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

#define LEAK_ROUNDS 4

void
conform_measure_memory (char **argv)
{
  if (SANITIZED || g_getenv (MEASURED))
    return;
  g_setenv (MEASURED, "glibc.malloc.tcache_count=0", FALSE);
  g_setenv ("G_SLICE", "always-malloc", FALSE);
  execv ("/proc/self/exe", argv);
}

/* After a round that fills caches, the live bytes do not grow in every one of some more. */
void
conform_check_leaks (ConformCase *c, gconstpointer data)
{
  TRIAL (c, trial);
  g_autofree char *config = conform_config (c->target, trial->config, TRUE);
  gsize least = G_MAXSIZE, before = 0;

  conform_begin (c, "leaks");
  if (SANITIZED || !g_getenv (MEASURED)) {
    conform_skip (c, "memory cannot be measured here");
    return;
  }
  for (guint round = 0; round < LEAK_ROUNDS; round++) {
    g_autoptr (GError) error = NULL;
    if (!encode_and_decode (c->target, config, input, &error)) {
      conform_fail (c, "a coded tensor", "%s", error->message);
      return;
    }
    g_clear_error (&error);
    const gsize now = live_bytes ();
    if (round > 0)
      least = MIN (least, now > before ? now - before : 0);
    before = now;
  }
  conform_expect (c, least == 0, "no memory to be left behind",
                  "%" G_GSIZE_FORMAT " bytes more after every tensor", least);
}

/* Working bytes that a claim declares, those of nested claims included. */
static guint64
declared_bytes (AfpClaim *claim)
{
  const AfpLayout *layout = afp_claim_get_layout (claim);
  AfpCodec *codec = afp_claim_get_codec (claim);
  guint64 bytes = AFP_CODEC_GET_CLASS (codec)->scratch
                      ? AFP_CODEC_GET_CLASS (codec)->scratch (codec, layout)
                      : 0;

  for (guint i = 0; i < afp_layout_get_n_children (layout); i++) {
    const AfpPlaneDesc *child = afp_layout_get_child (layout, i);
    AfpClaim *nested = afp_claim_get_child (claim, i);
    bytes += child->rows * child->cols * sizeof (float);
    bytes += nested ? declared_bytes (nested) : 0;
  }
  return bytes;
}

#define MEMORY_SLACK (G_GUINT64_CONSTANT (64) << 20)

static guint64
peak_bytes (void)
{
  struct rusage usage;

  getrusage (RUSAGE_SELF, &usage);
  return (guint64) usage.ru_maxrss * 1024;
}

/* The peak of the process grows by no more than what scratch() declares, and some slack. */
void
conform_check_memory (ConformCase *c, gconstpointer data)
{
  TRIAL (c, trial);
  g_autofree char *config = conform_config (c->target, trial->config, TRUE);
  const guint64 before = peak_bytes ();
  g_autoptr (GError) error = NULL;

  conform_begin (c, "memory");
  if (SANITIZED) {
    conform_skip (c, "memory cannot be measured here");
    return;
  }
  conform_chain_set_input (input);
  g_autoptr (AfpPipeline) pipeline = conform_pipeline_new (c->target, config, &error);
  if (!pipeline || !afp_pipeline_plan (pipeline, &error)) {
    conform_skip (c, "%s", error->message);
    return;
  }
  AfpElement *source = afp_pipeline_get_elements (pipeline)->pdata[0];
  g_autoptr (AfpClaim) claim = afp_pad_query_claim (
      afp_element_get_pad (source, AFP_PAD_SRC, 0), afp_tensor_get_spec (input), "weight",
      afp_plane_get_desc (afp_tensor_get_root (input)));
  const guint64 declared = claim ? declared_bytes (claim) : 0;
  if (!encode_and_decode (c->target, config, input, &error)) {
    conform_skip (c, "%s", error->message);
    return;
  }
  const guint64 used = peak_bytes () - before;
  conform_expect (
      c, used <= declared + MEMORY_SLACK, "no more working memory than declared (and 64 MiB)",
      "%" G_GUINT64_FORMAT " MiB, declared %" G_GUINT64_FORMAT, used >> 20, declared >> 20);
}
