/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gguf-test.h"

#include "afp-lm-config.h"

/* What is found for the last element of `load location=PATH ! null`. */
static gboolean
find (const char *path, AfpLmConfig *config, GError **error)
{
  g_autoptr (AfpPipeline) pipeline = NULL;
  AfpElement *element = last_of ("load location=%s ! null", path, &pipeline);

  return afp_lm_config_find (element, config, error);
}

static const struct {
  const char *file;
  gboolean tied, interleaved;
  AfpLmNames names;
} stories[] = {
  { "model.safetensors", TRUE, FALSE, AFP_LM_NAMES_HF },
  { "stories260K.bin", TRUE, TRUE, AFP_LM_NAMES_LLAMA2C },
  { "stories260K.gguf", FALSE, TRUE, AFP_LM_NAMES_GGUF },
};

/* One model in three formats; and through a file of ours. */
START_TEST (formats_agree)
{
  const char *shared = g_getenv ("AFP_TEST_SHARED");
  g_autofree char *path =
      g_build_filename (shared ? shared : "", "data", "stories260k", stories[_i].file, NULL);
  g_autofree char *ours = in_folder ("ours.h5");
  g_autoptr (AfpPipeline) writing = NULL;
  AfpLmConfig config;
  GError *error = NULL;

  if (!shared || !*shared)
    return;
  for (guint i = 0; i < 2; i++) {
    ck_assert_msg (find (i ? ours : path, &config, &error), "%s", error ? error->message : "");
    ck_assert (config.dim == 64 && config.hidden == 172 && config.n_layers == 5);
    ck_assert (config.n_heads == 8 && config.n_kv_heads == 4 && config.head_dim == 8);
    ck_assert_uint_eq (config.vocab, 512);
    ck_assert_uint_eq (config.bos, 1);
    ck_assert (config.tied == stories[_i].tied && config.interleaved == stories[_i].interleaved);
    ck_assert_uint_eq (config.names, stories[_i].names);
    if (i == 0) {
      g_autofree char *text = g_strdup_printf ("load location=%%s ! write location=%s", ours);
      last_of (text, path, &writing);
      ck_assert (afp_pipeline_run (writing, NULL));
    }
  }
}
END_TEST

START_TEST (config_json_beside_safetensors)
{
  static const char header[] =
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";
  static const char json[] =
      "{\"model_type\": \"llama\", \"hidden_size\": 64, \"intermediate_size\": 100, "
      "\"num_hidden_layers\": 1, \"num_attention_heads\": 4, \"vocab_size\": 300}";
  g_autofree char *path = put_safetensors ("m.safetensors", header, 16);
  G_GNUC_UNUSED g_autofree char *extra = put_file ("config.json", json, strlen (json));
  AfpLmConfig config;

  ck_assert (find (path, &config, NULL));
  ck_assert (config.dim == 64 && config.vocab == 300 && !config.tied);
}
END_TEST

START_TEST (what_cannot_be_run_says_why)
{
  g_autoptr (GByteArray) file = small_gguf (3);
  g_autofree char *path = put_gguf ("m.gguf", file);
  AfpLmConfig config;
  GError *error = NULL;

  ck_assert (!find (path, &config, &error));
  assert_error (error, AFP_ERROR_PLAN, "general.architecture is 'toy'", "supported are");
}
END_TEST

START_TEST (a_bad_config_says_why)
{
  static const char header[] =
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";
  g_autofree char *path = put_safetensors ("m.safetensors", header, 16);
  G_GNUC_UNUSED g_autofree char *extra = put_file ("config.json", "{]", 2);
  AfpLmConfig config;
  GError *error = NULL;

  ck_assert (!find (path, &config, &error));
  assert_error (error, AFP_ERROR_FORMAT, "config.json is damaged");
}
END_TEST

START_TEST (none_says_what_to_do)
{
  static const char header[] =
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";
  g_autofree char *path = put_safetensors ("m.safetensors", header, 16);
  G_GNUC_UNUSED g_autofree char *extra = put_file ("tokenizer.json", "{}", 2);
  g_autoptr (AfpPipeline) synth = NULL;
  AfpLmConfig config;
  GError *error = NULL;

  ck_assert (!find (path, &config, &error));
  assert_error (error, AFP_ERROR_PLAN, "null0: the model cannot be run as a language model",
                "'config.json' beside safetensors", "there is tokenizer.json. Load the folder");
  ck_assert (
      !afp_lm_config_find (last_of ("synth shapes=4x4 ! null", "", &synth), &config, &error));
  assert_error (error, AFP_ERROR_PLAN, "there is nothing");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_checked_fixture (tcase, folder_setup, folder_teardown);
  tcase_add_loop_test (tcase, formats_agree, 0, G_N_ELEMENTS (stories));
  tcase_add_test (tcase, config_json_beside_safetensors);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_checked_fixture (tcase, folder_setup, folder_teardown);
  tcase_add_test (tcase, what_cannot_be_run_says_why);
  tcase_add_test (tcase, a_bad_config_says_why);
  tcase_add_test (tcase, none_says_what_to_do);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("lm-config-find", cases, G_N_ELEMENTS (cases));
}
