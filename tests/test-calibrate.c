/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-run-test.h"

#define CALIBRATE "calibrate " TEXT " cache=@/cache"

/* --- what passes behind it ---------------------------------------------------------------------------------------- */

/* An element that remembers the moments of what passes, and of what is planned to pass. */
typedef AfpTransform TestLook;
typedef AfpTransformClass TestLookClass;
GType test_look_get_type (void);
G_DEFINE_TYPE (TestLook, test_look, AFP_TYPE_TRANSFORM)

static GHashTable *passed, *planned; /* name -> AfpMoments; NULL: it has none */

static void
look (GHashTable *table, AfpTensor *tensor)
{
  AfpMoments *moments = afp_tensor_get_moments (tensor);

  g_hash_table_insert (table, g_strdup (afp_spec_get_name (afp_tensor_get_spec (tensor))),
                       moments ? afp_moments_ref (moments) : NULL);
}

static AfpTensor *
look_process (AfpTransform *transform, AfpTensor *tensor, GError **error)
{
  look (passed, tensor);
  return afp_tensor_ref (tensor);
}

static AfpTensor *
look_plan (AfpTransform *transform, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  look (planned, tensor);
  return afp_tensor_ref (tensor);
}

static void
test_look_class_init (TestLookClass *klass)
{
  klass->process = look_process;
  klass->plan_tensor = look_plan;
}

static void
test_look_init (TestLook *self)
{
}

static void
clear_moments (gpointer moments)
{
  if (moments)
    afp_moments_unref (moments);
}

static void
setup (void)
{
  eval_setup ();
  passed = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, clear_moments);
  planned = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, clear_moments);
}

static void
teardown (void)
{
  g_hash_table_unref (passed);
  g_hash_table_unref (planned);
  eval_teardown ();
}

static const struct {
  const char *name;
  guint64 size; /* 0: it is no linear layer's */
} weights[] = {
  { "layers.0.attention.wq.weight", TINY_DIM },
  { "layers.1.attention.wk.weight", TINY_DIM },
  { "layers.1.attention.wv.weight", TINY_DIM },
  { "layers.0.attention.wo.weight", TINY_DIM },
  { "layers.1.feed_forward.w1.weight", TINY_DIM },
  { "layers.0.feed_forward.w3.weight", TINY_DIM },
  { "layers.1.feed_forward.w2.weight", TINY_HIDDEN },
  { "tok_embeddings.weight", 0 },
  { "output.weight", 0 },
  { "norm.weight", 0 },
  { "layers.0.attention_norm.weight", 0 },
  { "layers.1.ffn_norm.weight", 0 },
};

static void
check_table (GHashTable *table, gboolean is_planned, gboolean diagonal)
{
  ck_assert_uint_eq (g_hash_table_size (table), 3 + 9 * TINY_LAYERS);
  for (guint i = 0; i < G_N_ELEMENTS (weights); i++) {
    const AfpMoments *moments = g_hash_table_lookup (table, weights[i].name);
    ck_assert_msg ((moments != NULL) == (weights[i].size > 0), "%s", weights[i].name);
    if (!moments)
      continue;
    ck_assert_uint_eq (afp_moments_get_size (moments), weights[i].size);
    ck_assert_int_eq (afp_moments_is_planned (moments), is_planned);
    ck_assert_int_eq (afp_moments_is_diagonal (moments), diagonal);
    ck_assert (is_planned || afp_moments_get_n_samples (moments) > 300);
  }
}

START_TEST (weights_get_moments)
{
  g_autofree char *text = g_strdup_printf (TINY_LOAD " ! " CALIBRATE " diag=%s ! test-look ! null",
                                           _i ? "true" : "false");

  eval_run (text);
  check_table (planned, TRUE, _i);
  check_table (passed, FALSE, _i);
}
END_TEST

/* They go with the weights through codecs. */
START_TEST (behind_a_codec)
{
  eval_run (TINY_LOAD " ! " CALIBRATE " ! seedlm seed-bits=6 ! vptq k=16 ! test-look ! null");
  check_table (passed, FALSE, FALSE);
}
END_TEST

/* A mean square is positive, and what is stored is symmetric and bounded by it. */
START_TEST (moments_are_moments)
{
  float h[TINY_DIM * TINY_DIM];

  eval_run (TINY_LOAD " ! " CALIBRATE " ! test-look ! null");
  afp_moments_read (g_hash_table_lookup (passed, "layers.1.attention.wq.weight"), 0, TINY_DIM, h);
  for (guint i = 0; i < TINY_DIM; i++)
    for (guint j = 0; j < TINY_DIM; j++) {
      const double bound = sqrt ((double) h[i * TINY_DIM + i] * (double) h[j * TINY_DIM + j]);
      ck_assert (h[i * TINY_DIM + i] > 0);
      ck_assert (fabs ((double) h[i * TINY_DIM + j]) <= bound * 1.000001);
    }
}
END_TEST

static guint64
samples (const char *options)
{
  g_autofree char *text =
      g_strdup_printf (TINY_LOAD " ! " CALIBRATE " %s ! test-look ! null", options);

  eval_run (text);
  return afp_moments_get_n_samples (g_hash_table_lookup (passed, "layers.0.attention.wq.weight"));
}

/* So many tokens, and the document that they end in. */
START_TEST (tokens)
{
  const guint64 all = samples ("context=10");

  ck_assert_uint_gt (all, 300);
  ck_assert_uint_eq (samples ("context=10 tokens=0"), all);
  ck_assert_uint_eq (samples ("context=10 tokens=1"), 10);
  ck_assert_uint_eq (samples ("context=10 tokens=10"), 10);
  ck_assert_uint_eq (samples ("context=10 tokens=11"), 20);
  ck_assert_uint_eq (samples ("context=10 tokens=1M"), all);
}
END_TEST

/* Nothing else is changed: the bytes of what a codec that does not ask for moments makes of it; of one that does they are others. */
START_TEST (stream_is_untouched)
{
  eval_run (TINY_LOAD " ! " CALIBRATE " ! seedlm seed-bits=6 importance=off ! decode ! "
                      "write location=@/a.safetensors");
  eval_run (TINY_LOAD " ! seedlm seed-bits=6 ! decode ! write location=@/b.safetensors");
  eval_run (TINY_LOAD " ! " CALIBRATE " ! seedlm seed-bits=6 ! decode ! "
                      "write location=@/c.safetensors");
  g_autoptr (GBytes) with = eval_read_file ("a.safetensors"),
                     without = eval_read_file ("b.safetensors"),
                     weighed = eval_read_file ("c.safetensors");
  ck_assert (g_bytes_equal (with, without) && !g_bytes_equal (with, weighed));
}
END_TEST

START_TEST (same_file_for_any_threads)
{
  eval_threads = 1;
  eval_run (TINY_LOAD " ! calibrate " TEXT " cache=@/one ! null");
  eval_threads = 4;
  eval_run (TINY_LOAD " ! calibrate " TEXT " cache=@/many ! null");
  g_autofree char *one = in_folder ("one");
  g_autoptr (GDir) dir = g_dir_open (one, 0, NULL);
  const char *name = g_dir_read_name (dir);
  g_autofree char *x = g_build_filename ("one", name, NULL),
                  *y = g_build_filename ("many", name, NULL);
  g_autoptr (GBytes) a = eval_read_file (x), b = eval_read_file (y);
  ck_assert (g_bytes_equal (a, b));
}
END_TEST

/* --- what is kept ------------------------------------------------------------------------------------------------- */

/* Files of the cache; @path: (out) (nullable): of the last. */
static guint
count_cached (char **path)
{
  g_autofree char *folder = in_folder ("cache");
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  guint n = 0;

  while (dir && (name = g_dir_read_name (dir))) {
    n++;
    ck_assert (g_str_has_suffix (name, ".moments"));
    if (path) {
      g_free (*path);
      *path = g_build_filename (folder, name, NULL);
    }
  }
  return n;
}

static gboolean
said (const char *text)
{
  return strstr (eval_said->str, text) != NULL;
}

#define EARLIER "info calibrate0: moments are those of an earlier run: '"

/* The second time nothing is run, and the file is left as it is. */
START_TEST (taken_from_the_cache)
{
  g_autofree char *path = NULL;
  GStatBuf before, after;

  eval_run (TINY_LOAD " ! " CALIBRATE " ! test-look ! null");
  ck_assert (!said (EARLIER));
  ck_assert_uint_eq (count_cached (&path), 1);
  ck_assert_int_eq (g_stat (path, &before), 0);
  g_hash_table_remove_all (passed);
  eval_run (TINY_LOAD " ! " CALIBRATE " ! seedlm seed-bits=6 ! test-look ! null");
  ck_assert (said (EARLIER) && said (path));
  check_table (passed, FALSE, FALSE);
  ck_assert_int_eq (g_stat (path, &after), 0);
  ck_assert (before.st_ino == after.st_ino && before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
             before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
  ck_assert_uint_eq (count_cached (NULL), 1);
}
END_TEST

static const char *const others[] = { "diag=true", "context=32", "separator='\n'", "tokens=100" };

/* Another setting, text or model: other moments. */
START_TEST (another_setting)
{
  g_autofree char *text = g_strdup_printf (TINY_LOAD " ! " CALIBRATE " %s ! null", others[_i]);

  eval_run (TINY_LOAD " ! " CALIBRATE " ! null");
  eval_run (text);
  ck_assert (!said (EARLIER));
  ck_assert_uint_eq (count_cached (NULL), 2);
  eval_run (text);
  ck_assert (said (EARLIER));
}
END_TEST

START_TEST (another_text_or_model)
{
  eval_run (TINY_LOAD " ! " CALIBRATE " ! null");
  tiny_put_text ("text.txt", "another text, which is shorter");
  eval_run (TINY_LOAD " ! " CALIBRATE " ! null");
  ck_assert (!said (EARLIER));
  ck_assert_uint_eq (count_cached (NULL), 2);
  tiny_lm_write (2);
  eval_run (TINY_LOAD " ! " CALIBRATE " ! null");
  ck_assert (!said (EARLIER));
  ck_assert_uint_eq (count_cached (NULL), 3);
}
END_TEST

/* The same text by another name is the same. */
START_TEST (text_by_another_name)
{
  eval_run (TINY_LOAD " ! " CALIBRATE " ! null");
  tiny_put_text ("copy.txt", TINY_TEXT);
  eval_run (TINY_LOAD " ! calibrate text=@/copy.txt cache=@/cache ! null");
  ck_assert (said (EARLIER));
}
END_TEST

START_TEST (damaged_cache)
{
  g_autofree char *path = NULL, *good = NULL, *again = NULL;
  gsize n, m;

  eval_run (TINY_LOAD " ! " CALIBRATE " ! null");
  count_cached (&path);
  ck_assert (g_file_get_contents (path, &good, &n, NULL));
  ck_assert (g_file_set_contents (path, good, _i ? (gssize) n / 2 : 0, NULL));
  eval_run (TINY_LOAD " ! " CALIBRATE " ! test-look ! null");
  ck_assert (said ("warning calibrate0: ") && said ("; the model is run again"));
  check_table (passed, FALSE, FALSE);
  ck_assert (g_file_get_contents (path, &again, &m, NULL));
  ck_assert_uint_eq (m, n);
  ck_assert_mem_eq (good, again, n);
}
END_TEST

/* --- what goes wrong ---------------------------------------------------------------------------------------------- */

START_TEST (cache_that_cannot_be_written)
{
  tiny_put_text ("file", "x");
  eval_refused (TINY_LOAD " ! calibrate " TEXT " cache=@/file ! write location=@/x.h5",
                AFP_ERROR_IO, "calibrate0: cannot write '",
                ".moments': ", "cache= says in which folder");
  ck_assert (!eval_file_exists ("x.h5") && !eval_file_exists ("x.h5.part"));
}
END_TEST

static const struct {
  const char *source, *options;
  int code;
  const char *says;
} bad[] = {
  { TINY_LOAD, "", AFP_ERROR_PROPERTY, "text" },
  { TINY_LOAD, "text=@/nowhere.txt", AFP_ERROR_IO, "nowhere.txt: there is no such file" },
  { TINY_LOAD, TEXT " separator=x context=-1", AFP_ERROR_PROPERTY, "context" },
  { TINY_LOAD, TEXT " tokens=-1", AFP_ERROR_PROPERTY, "tokens" },
  { "synth shapes=4x4", TEXT, AFP_ERROR_PLAN,
    "calibrate0: the model cannot be run as a language model" },
  { TINY_LOAD, TEXT " images=@/text.txt", AFP_ERROR_PROPERTY, "a model is one of them" },
  { TINY_LOAD, "images=@/text.txt", AFP_ERROR_PLAN, "the model cannot be run as a network" },
  { TINY_LOAD, TEXT " image-scale=2", AFP_ERROR_PROPERTY, "give images=FILE, too" },
  { "load location=@/m.bin tokenizer=@/m.bin", TEXT, AFP_ERROR_FORMAT, "token" },
};

START_TEST (refused)
{
  g_autofree char *text =
      g_strdup_printf ("%s ! calibrate %s cache=@/cache ! null", bad[_i].source, bad[_i].options);

  eval_refused (text, bad[_i].code, bad[_i].says);
  ck_assert (!eval_file_exists ("cache"));
}
END_TEST

START_TEST (empty_text)
{
  tiny_put_text ("text.txt", "  ");
  eval_refused (TINY_LOAD " ! " CALIBRATE " separator=x ! null", AFP_ERROR_FORMAT,
                "calibrate0: text=", "nothing to predict");
  ck_assert (!eval_file_exists ("cache"));
}
END_TEST

START_TEST (too_little_memory)
{
  eval_max_memory = 1000000000;
  eval_refused (TINY_LOAD " ! " CALIBRATE " context=1000000 ! null", AFP_ERROR_MEMORY,
                "calibrate0 needs ", "to run the model layer by layer", "raise --max-mem");
}
END_TEST

/* --- what codecs make of them --------------------------------------------------------------------------------------- */

static const char *const fed[] = {
  "vptq v=2 k=16 feedback=true",
  "hyper feedback=true importance=off",
  "seedlm seed-bits=6 feedback=true", /* blocks of 12 stay in rows of 32 */
  "seedlm C=8 P=3 seed-bits=6 feedback=true ! vptq k=16",
  "vptq v=2 k=16 residual=true ! vptq v=4 k=16 feedback=true",
};

/* Feedback with the codecs that ship: other bytes than without, for any number of threads. */
START_TEST (fed_back)
{
  g_autoptr (GBytes) first = NULL;

  for (eval_threads = 1; eval_threads <= 4; eval_threads += 3) {
    g_autofree char *text = g_strconcat (
        TINY_LOAD " ! " CALIBRATE " ! ", fed[_i],
        " min-weights=0 ! decode ! write overwrite=true location=@/a.safetensors", NULL);
    eval_run (text);
    g_autoptr (GBytes) bytes = eval_read_file ("a.safetensors");
    if (!first)
      first = g_bytes_ref (bytes);
    ck_assert (g_bytes_equal (first, bytes));
  }
  g_auto (GStrv) parts = g_strsplit (fed[_i], " feedback=true", 2);
  g_autofree char *text =
      g_strconcat (TINY_LOAD " ! " CALIBRATE " ! ", parts[0], parts[1],
                   " min-weights=0 ! decode ! write location=@/b.safetensors", NULL);
  eval_run (text);
  g_autoptr (GBytes) plain = eval_read_file ("b.safetensors");
  ck_assert (!g_bytes_equal (first, plain));
}
END_TEST

static const struct {
  const char *chain, *word, *other;
} not_fed[] = {
  { CALIBRATE " diag=true ! vptq feedback=true", "diagonal=false on calibrate", "vptq0, tensor" },
  { "hyper feedback=true", "put calibrate text=FILE", "hyper0" },
  { CALIBRATE " ! seedlm seed-bits=6 layout=flat feedback=true", "layout=row",
    "32 columns, blocks of 12" },
  { CALIBRATE " ! vptq feedback=true tensors=*norm*,tok_embeddings*", "no second moments",
    "vptq0" },
};

START_TEST (feedback_is_refused)
{
  g_autofree char *text = g_strconcat (TINY_LOAD " ! ", not_fed[_i].chain, " ! null", NULL);

  eval_refused (text, AFP_ERROR_PLAN, not_fed[_i].word, not_fed[_i].other, "feedback=");
}
END_TEST

static void
cancel_at_once (AfpMessage *message, gpointer user_data)
{
  if (afp_message_get_message_type (message) == AFP_MESSAGE_PROGRESS)
    afp_pipeline_cancel (user_data);
}

START_TEST (cancelled_while_it_runs)
{
  eval_watch = cancel_at_once;
  eval_refused (TINY_LOAD " ! " CALIBRATE " ! write location=@/x.h5", AFP_ERROR_CANCELLED,
                "cancelled");
  ck_assert_uint_eq (count_cached (NULL), 0);
  ck_assert (!eval_file_exists ("x.h5"));
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");

  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_loop_test (tcase, weights_get_moments, 0, 2);
  tcase_add_test (tcase, behind_a_codec);
  tcase_add_test (tcase, moments_are_moments);
  tcase_add_test (tcase, tokens);
  tcase_add_test (tcase, stream_is_untouched);
  tcase_add_loop_test (tcase, fed_back, 0, G_N_ELEMENTS (fed));
  tcase_add_loop_test (tcase, feedback_is_refused, 0, G_N_ELEMENTS (not_fed));
  tcase_add_test (tcase, same_file_for_any_threads);
  return tcase;
}

static TCase *
cache_case (void)
{
  TCase *tcase = tcase_create ("cache");

  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_test (tcase, taken_from_the_cache);
  tcase_add_loop_test (tcase, another_setting, 0, G_N_ELEMENTS (others));
  tcase_add_test (tcase, another_text_or_model);
  tcase_add_test (tcase, text_by_another_name);
  tcase_add_loop_test (tcase, damaged_cache, 0, 2);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");

  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_test (tcase, cache_that_cannot_be_written);
  tcase_add_loop_test (tcase, refused, 0, G_N_ELEMENTS (bad));
  tcase_add_test (tcase, empty_text);
  tcase_add_test (tcase, too_little_memory);
  tcase_add_test (tcase, cancelled_while_it_runs);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { good_case, cache_case, bad_case };

  afp_registry_add_builtin ("test-look", test_look_get_type ());
  return run_suite ("calibrate", cases, G_N_ELEMENTS (cases));
}
