/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "json-util.h"
#include "io/safetensors-layout.h"

/* Tensors t0, t1, ... of so many bytes: u8, or f32 where the number is negative. */
static GPtrArray *
make_specs (guint n, const int *bytes)
{
  GPtrArray *specs = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_spec_unref);
  for (guint i = 0; i < n; i++) {
    g_autofree char *name = g_strdup_printf ("t%u", i);
    const guint64 shape = bytes[i] < 0 ? (guint64) -bytes[i] / 4 : (guint64) bytes[i];
    g_ptr_array_add (specs, afp_spec_new (name, bytes[i] < 0 ? AFP_DTYPE_F32 : AFP_DTYPE_U8, 1,
                                          &shape, NULL, NULL));
  }
  return specs;
}

/* "0:0 0:16 1:0 | 20 8": shard and offset of each tensor, payload of each shard */
static char *
describe (guint n, const int *bytes, guint64 max_shard)
{
  g_autoptr (GPtrArray) specs = make_specs (n, bytes);
  g_autoptr (AfpSafetensorsLayout) layout =
      afp_safetensors_lay_out ("m.safetensors", specs, max_shard, NULL);
  GString *text = g_string_new (NULL);
  ck_assert_ptr_nonnull (layout);
  for (guint i = 0; i < layout->slots->len; i++) {
    const AfpSafetensorsSlot *slot = &g_array_index (layout->slots, AfpSafetensorsSlot, i);
    g_string_append_printf (text, "%u:%" G_GUINT64_FORMAT " ", slot->shard, slot->offset);
  }
  g_string_append_c (text, '|');
  for (guint i = 0; i < layout->payloads->len; i++)
    g_string_append_printf (text, " %" G_GUINT64_FORMAT,
                            g_array_index (layout->payloads, guint64, i));
  return g_string_free (text, FALSE);
}

START_TEST (one_file)
{
  assert_text (describe (3, (const int[]){ 3, -8, 5 }, 0), "0:8 0:0 0:11 | 16");
  assert_text (describe (0, NULL, 0), "| 0");
  assert_text (describe (0, NULL, 1), "| 0");
  assert_text (describe (2, (const int[]){ 0, 0 }, 1), "0:0 0:0 | 0");
}
END_TEST

START_TEST (shards)
{
  static const int bytes[] = { 4, 4, 4, 4, 4 };
  assert_text (describe (5, bytes, 8), "0:0 0:4 1:0 1:4 2:0 | 8 8 4");
  assert_text (describe (5, bytes, 7), "0:0 1:0 2:0 3:0 4:0 | 4 4 4 4 4");
  assert_text (describe (5, bytes, 20), "0:0 0:4 0:8 0:12 0:16 | 20");
  assert_text (describe (5, bytes, 19), "0:0 0:4 0:8 0:12 1:0 | 16 4");
  assert_text (describe (4, (const int[]){ 3, -8, 5, -4 }, 11), "0:8 0:0 1:4 1:0 | 11 9");
}
END_TEST

/* What is larger than the limit is alone. */
START_TEST (large_tensors)
{
  assert_text (describe (3, (const int[]){ 1, 100, 1 }, 10), "0:0 1:0 2:0 | 1 100 1");
  assert_text (describe (3, (const int[]){ 100, 100, 1 }, 10), "0:0 1:0 2:0 | 100 100 1");
  assert_text (describe (4, (const int[]){ 100, 0, 1, 0 }, 10), "0:0 1:0 1:0 1:1 | 100 1");
  assert_text (describe (2, (const int[]){ 2, 2 }, 1), "0:0 1:0 | 2 2");
}
END_TEST

START_TEST (too_many)
{
  int bytes[AFP_SAFETENSORS_MAX_SHARDS + 1];
  for (guint i = 0; i < G_N_ELEMENTS (bytes); i++)
    bytes[i] = 2;
  g_autoptr (GPtrArray) specs = make_specs (G_N_ELEMENTS (bytes), bytes);
  GError *error = NULL;
  ck_assert_ptr_null (afp_safetensors_lay_out ("m.safetensors", specs, 3, &error));
  assert_error (error, AFP_ERROR_PLAN, "'m.safetensors' would be 513 files with max-shard=3",
                "limit is 512", "raise max-shard");
  g_autoptr (AfpSafetensorsLayout) layout =
      afp_safetensors_lay_out ("m.safetensors", specs, 4, &error);
  ck_assert_uint_eq (layout->payloads->len, 257);
}
END_TEST

START_TEST (names_that_occur_twice)
{
  g_autoptr (GPtrArray) specs = make_specs (1, (const int[]){ 1 });
  GError *error = NULL;
  g_ptr_array_add (specs, afp_spec_ref (specs->pdata[0]));
  ck_assert_ptr_null (afp_safetensors_lay_out ("m.safetensors", specs, 0, &error));
  assert_error (error, AFP_ERROR_PLAN, "two tensors are called 't0'", "m.safetensors");
}
END_TEST

START_TEST (too_large)
{
  const guint64 huge = G_GUINT64_CONSTANT (1) << 61;
  g_autoptr (GPtrArray) specs = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_spec_unref);
  GError *error = NULL;
  for (guint i = 0; i < 3; i++) {
    g_autofree char *name = g_strdup_printf ("t%u", i);
    g_ptr_array_add (specs, afp_spec_new (name, AFP_DTYPE_U8, 1, &huge, NULL, NULL));
  }
  ck_assert_ptr_null (afp_safetensors_lay_out ("m.safetensors", specs, 0, &error));
  assert_error (error, AFP_ERROR_PLAN, "'m.safetensors' would have more than");
}
END_TEST

/* --- texts --- */

static char *
get_header (guint shard, const char *metadata)
{
  g_autoptr (GPtrArray) specs = make_specs (3, (const int[]){ 3, -8, 5 });
  g_autoptr (AfpSafetensorsLayout) layout = afp_safetensors_lay_out ("m", specs, 11, NULL);
  g_autoptr (JsonNode) node =
      metadata ? afp_json_parse (metadata, strlen (metadata), 4, "metadata", NULL) : NULL;
  g_autoptr (GString) header = afp_safetensors_make_header (layout, shard, node);
  guint64 length;
  memcpy (&length, header->str, 8);
  ck_assert_uint_eq (GUINT64_FROM_LE (length), header->len - 8);
  ck_assert_uint_eq (header->len % 8, 0);
  return g_strchomp (g_strdup (header->str + 8));
}

START_TEST (headers)
{
  assert_text (get_header (0, NULL),
               "{\"t0\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[8,11]},"
               "\"t1\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}");
  assert_text (get_header (1, "{}"), "{\"__metadata__\":{},\"t2\":{\"dtype\":\"U8\",\"shape\":[5],"
                                     "\"data_offsets\":[0,5]}}");
  assert_text (get_header (1, "{\"b\":\"\\\"x\\\\\",\"a\":\"\\u0001\\u00e9\"}"),
               "{\"__metadata__\":{\"b\":\"\\\"x\\\\\",\"a\":\"\\u0001\xc3\xa9\"},"
               "\"t2\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]}}");
}
END_TEST

START_TEST (indexes)
{
  g_autoptr (GPtrArray) specs = make_specs (3, (const int[]){ 3, -8, 5 });
  g_autoptr (AfpSafetensorsLayout) layout = afp_safetensors_lay_out ("m", specs, 11, NULL);
  g_autoptr (GString) index = afp_safetensors_make_index (layout, "/some/where/m.safetensors");
  ck_assert_str_eq (index->str, "{\n"
                                "  \"metadata\": {\n"
                                "    \"total_size\": 16\n"
                                "  },\n"
                                "  \"weight_map\": {\n"
                                "    \"t0\": \"m-00001-of-00002.safetensors\",\n"
                                "    \"t1\": \"m-00001-of-00002.safetensors\",\n"
                                "    \"t2\": \"m-00002-of-00002.safetensors\"\n"
                                "  }\n"
                                "}\n");
}
END_TEST

/* --- names of files --- */

START_TEST (names_of_files)
{
  static const struct {
    const char *location, *first, *index;
  } rows[] = {
    { "m.safetensors", "m-00001-of-00002.safetensors", "m.safetensors.index.json" },
    { "/x/m.SafeTensors", "/x/m-00001-of-00002.safetensors", "/x/m.safetensors.index.json" },
    { "m", "m-00001-of-00002.safetensors", "m.safetensors.index.json" },
    { "m.bin", "m.bin-00001-of-00002.safetensors", "m.bin.safetensors.index.json" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GPtrArray) one = afp_safetensors_list_shards (rows[i].location, 1);
    g_autoptr (GPtrArray) two = afp_safetensors_list_shards (rows[i].location, 2);
    ck_assert_uint_eq (one->len, 1);
    ck_assert_str_eq (one->pdata[0], rows[i].location);
    ck_assert_uint_eq (two->len, 2);
    ck_assert_str_eq (two->pdata[0], rows[i].first);
    assert_text (afp_safetensors_index_name (rows[i].location), rows[i].index);
  }
}
END_TEST

START_TEST (existing_files)
{
  static const char *const files[] = { "m-00002-of-00003.safetensors", /* ours, in this order */
                                       "m-00009-of-00009.safetensors",
                                       "m.safetensors",
                                       "m.safetensors.index.json",
                                       "m-0001-of-00002.safetensors", /* others */
                                       "m-00001-of-00002.safetensors.part.7",
                                       "m-00001-of-0000x.safetensors",
                                       "mm-00001-of-00002.safetensors",
                                       "m-a-00001-of-00002.safetensors",
                                       "m-00001-of-00002",
                                       "m.index.json" };
  g_autofree char *location = in_folder ("m.safetensors");
  g_autofree char *nowhere = in_folder ("none/m.safetensors");
  g_autoptr (GPtrArray) before = afp_safetensors_list_existing (location);
  g_autoptr (GPtrArray) none = afp_safetensors_list_existing (nowhere);
  ck_assert_uint_eq (before->len, 0);
  ck_assert_uint_eq (none->len, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autofree G_GNUC_UNUSED char *path = put_file (files[i], "x", 1);
  }
  g_autoptr (GPtrArray) found = afp_safetensors_list_existing (location);
  ck_assert_uint_eq (found->len, 4);
  for (guint i = 0; i < 4; i++) {
    g_autofree char *path = in_folder (files[i]);
    ck_assert_str_eq (found->pdata[i], path);
  }
}
END_TEST

static TCase *
layout_case (void)
{
  TCase *tcase = tcase_create ("layout");
  tcase_add_test (tcase, one_file);
  tcase_add_test (tcase, shards);
  tcase_add_test (tcase, large_tensors);
  tcase_add_test (tcase, too_many);
  tcase_add_test (tcase, names_that_occur_twice);
  tcase_add_test (tcase, too_large);
  return tcase;
}

static TCase *
text_case (void)
{
  TCase *tcase = io_case ("texts");
  tcase_add_test (tcase, headers);
  tcase_add_test (tcase, indexes);
  tcase_add_test (tcase, names_of_files);
  tcase_add_test (tcase, existing_files);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { layout_case, text_case };

  return run_suite ("safetensors-layout", cases, G_N_ELEMENTS (cases));
}
