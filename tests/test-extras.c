/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

/* A model in a folder of its own, with a file beside it. */
static char *
put_model (const char *folder, const char *tensor, const char *name, const char *text)
{
  g_autofree char *path = in_folder (folder);
  g_autofree char *model = g_build_filename (folder, "model.safetensors", NULL);
  g_autofree char *extra = name ? g_build_filename (folder, name, NULL) : NULL;
  g_autofree char *header = g_strdup_printf (
      "{\"%s\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", tensor);
  g_mkdir_with_parents (path, 0700);
  g_free (put_safetensors (model, header, 16));
  if (name)
    g_free (put_file (extra, text, strlen (text)));
  return g_steal_pointer (&path);
}

static AfpPipeline *G_GNUC_PRINTF (1, 2) plan (const char *format, ...)
{
  va_list args;
  GError *error = NULL;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  AfpPipeline *pipeline = afp_pipeline_new_from_text (text, &error);
  ck_assert_msg (pipeline != NULL && afp_pipeline_plan (pipeline, &error) != NULL, "%s: %s", text,
                 error ? error->message : "no error");
  return pipeline;
}

static AfpElement *
last_element (AfpPipeline *pipeline)
{
  GPtrArray *elements = afp_pipeline_get_elements (pipeline);
  return elements->pdata[elements->len - 1];
}

static void
assert_names (AfpElement *element, const char *expected)
{
  g_auto (GStrv) names = afp_element_list_extras (element);
  g_autofree char *list = g_strjoinv (" ", names);
  ck_assert_str_eq (list, expected);
}

static void
assert_extra (AfpElement *element, const char *name, const char *expected)
{
  GError *error = NULL;
  g_autoptr (GBytes) bytes = afp_element_read_extra (element, name, &error);
  ck_assert_msg (bytes != NULL, "%s", error ? error->message : "no error");
  ck_assert_uint_eq (g_bytes_get_size (bytes), strlen (expected));
  ck_assert_mem_eq (g_bytes_get_data (bytes, NULL), expected, strlen (expected));
}

START_TEST (names)
{
  static const char *const good[] = { "a", "config.json", "llama2c.config", "A-Z_0.9", ".." };
  static const char *const bad[] = { "", "a/b", "a b", "a\n", "\xc3\xa4", "a:b" };
  g_autofree char *longest = g_strnfill (AFP_EXTRA_MAX_NAME, 'x');
  g_autofree char *longer = g_strnfill (AFP_EXTRA_MAX_NAME + 1, 'x');
  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    ck_assert_msg (afp_extra_is_name (good[i]), "%s", good[i]);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    ck_assert_msg (!afp_extra_is_name (bad[i]), "%s", bad[i]);
  ck_assert (afp_extra_is_name (longest) && !afp_extra_is_name (longer));
}
END_TEST

START_TEST (far_downstream)
{
  g_autofree char *path = put_model ("m", "a", "config.json", "{\"x\":1}");
  g_autoptr (AfpPipeline) pipeline = plan ("load location=%s ! identity ! decode ! null", path);
  GPtrArray *elements = afp_pipeline_get_elements (pipeline);
  for (guint i = 0; i < elements->len; i++) {
    g_autoptr (GPtrArray) sources = afp_element_list_sources (elements->pdata[i]);
    ck_assert_uint_eq (sources->len, 1);
    ck_assert_ptr_eq (sources->pdata[0], elements->pdata[0]);
    assert_names (elements->pdata[i], "config.json");
    assert_extra (elements->pdata[i], "config.json", "{\"x\":1}");
  }
}
END_TEST

START_TEST (branches)
{
  g_autofree char *path = put_model ("m", "a", "config.json", "{}");
  g_autoptr (AfpPipeline) pipeline =
      plan ("load location=%s ! tee name=t ! null t. ! decode ! null", path);
  assert_names (last_element (pipeline), "config.json");
}
END_TEST

START_TEST (while_it_runs_and_after)
{
  g_autofree char *path = put_model ("m", "a", "tokenizer.json", "{\"t\":[]}");
  g_autoptr (AfpPipeline) pipeline = plan ("load location=%s ! null", path);
  ck_assert (afp_pipeline_run (pipeline, NULL));
  assert_extra (last_element (pipeline), "tokenizer.json", "{\"t\":[]}");
}
END_TEST

START_TEST (what_is_not_there)
{
  g_autofree char *path = put_model ("m", "a", "config.json", "{}");
  g_autofree char *bare = put_model ("bare", "a", NULL, NULL);
  g_autoptr (AfpPipeline) pipeline = plan ("load location=%s ! null", path);
  g_autoptr (AfpPipeline) other = plan ("load location=%s ! null", bare);
  g_autoptr (AfpPipeline) synth = plan ("synth shapes=4x4 ! null");
  GError *error = NULL;
  ck_assert_ptr_null (afp_element_read_extra (last_element (pipeline), "tokenizer.json", &error));
  assert_error (error, AFP_ERROR_IO, "null0", "'tokenizer.json'", "there is config.json");
  ck_assert_ptr_null (afp_element_read_extra (last_element (other), "config.json", &error));
  assert_error (error, AFP_ERROR_IO, "'config.json'", "there is nothing");
  assert_names (last_element (synth), "");
  ck_assert_ptr_null (afp_element_read_extra (last_element (synth), "config.json", &error));
  assert_error (error, AFP_ERROR_IO, "there is nothing");
  AfpSource *source = afp_pipeline_get_elements (pipeline)->pdata[0];
  ck_assert_ptr_null (afp_source_read_extra (source, "x", &error));
  assert_error (error, AFP_ERROR_IO, "load0", "has no 'x'", "config.json");
}
END_TEST

START_TEST (what_vanishes)
{
  g_autofree char *path = put_model ("m", "a", "config.json", "{}");
  g_autofree char *file = g_build_filename (path, "config.json", NULL);
  g_autoptr (AfpPipeline) pipeline = plan ("load location=%s ! null", path);
  GError *error = NULL;
  g_unlink (file);
  ck_assert_ptr_null (afp_element_read_extra (last_element (pipeline), "config.json", &error));
  assert_error (error, AFP_ERROR_IO, "config.json");
}
END_TEST

/* From the model into our file, out of it again, into another: through a chain that does not know of it. */
START_TEST (into_files_and_out)
{
  g_autofree char *path = put_model ("m", "a", "config.json", "{\"hidden_size\": 4}\n");
  g_autofree char *one = in_folder ("one.h5"), *two = in_folder ("two.h5");
  g_autoptr (AfpPipeline) first = plan ("load location=%s ! write location=%s", path, one);
  ck_assert (afp_pipeline_run (first, NULL));
  g_autoptr (AfpPipeline) second = plan ("load location=%s ! decode ! write location=%s", one, two);
  ck_assert (afp_pipeline_run (second, NULL));
  g_autoptr (AfpPipeline) third = plan ("load location=%s ! null", two);
  assert_names (last_element (third), "config.json");
  assert_extra (last_element (third), "config.json", "{\"hidden_size\": 4}\n");
}
END_TEST

/* What is counted for the extras is what the file is longer by, but for the alignment of the payload. */
START_TEST (counted_apart)
{
  g_autofree char *with = put_model ("with", "a", "config.json", "{\"hidden_size\": 4}\n");
  g_autofree char *without = put_model ("none", "a", NULL, NULL);
  const char *const paths[] = { with, without };
  double bytes[2], extras[2];
  for (guint i = 0; i < 2; i++) {
    g_autofree char *out = g_strdup_printf ("%s/%u.h5", test_folder, i);
    g_autoptr (AfpPipeline) pipeline = plan ("load location=%s ! write location=%s", paths[i], out);
    ck_assert (afp_pipeline_run (pipeline, NULL));
    g_autoptr (JsonNode) report = afp_pipeline_get_report (pipeline, NULL);
    JsonObject *total = json_object_get_object_member (json_node_get_object (report), "total");
    bytes[i] = (double) json_object_get_int_member (total, "file_bytes");
    extras[i] = (double) json_object_get_int_member (total, "extras_bytes");
    ck_assert_double_eq_tol (json_object_get_double_member (total, "file_bits_per_weight"),
                             8 * (bytes[i] - extras[i]) / 4, 1e-9);
  }
  ck_assert_double_eq (extras[1], 0);
  ck_assert_double_gt (extras[0], 19);
  ck_assert_double_eq_tol (bytes[0] - extras[0], bytes[1], 64);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = io_case ("extras");
  tcase_add_test (tcase, names);
  tcase_add_test (tcase, far_downstream);
  tcase_add_test (tcase, branches);
  tcase_add_test (tcase, while_it_runs_and_after);
  tcase_add_test (tcase, what_is_not_there);
  tcase_add_test (tcase, what_vanishes);
  tcase_add_test (tcase, into_files_and_out);
  tcase_add_test (tcase, counted_apart);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("extras", cases, G_N_ELEMENTS (cases));
}
