/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "toy-codec.h"

static const guint64 square[] = { 64, 64 };

static AfpSpec *
make_spec (guint rank, const guint64 *shape)
{
  return afp_spec_new ("fc.weight", AFP_DTYPE_F32, rank, shape, NULL, NULL);
}

/* --- text --------------------------------------------------------------------------------------------------------- */

START_TEST (counts_leaves)
{
  ck_assert_uint_eq (afp_recipe_count_leaves ("weight"), 1);
  ck_assert_uint_eq (afp_recipe_count_leaves (TOY_RECIPE), 4);
  ck_assert_uint_eq (afp_recipe_count_leaves ("weight=a/1{b=c/2,d=e/3(){},f}"), 1);
  ck_assert_uint_eq (afp_recipe_count_leaves ("weight=a/1{b=c/2(x=1,2,y=z){p,q},r}"), 3);
}
END_TEST

START_TEST (lists_codecs_once)
{
  g_auto (GStrv) codecs = afp_recipe_list_codecs ("weight=a/1{b=c/22{p},d=a/1{q},e=a/2}");
  const char *const expected[] = { "a/1", "c/22", "a/2", NULL };

  ck_assert (g_strv_equal ((const char *const *) codecs, expected));
  g_auto (GStrv) none = afp_recipe_list_codecs ("weight");
  ck_assert_uint_eq (g_strv_length (none), 0);
  g_auto (GStrv) damaged = afp_recipe_list_codecs ("weight=a/1{");
  ck_assert_uint_eq (g_strv_length (damaged), 0);
}
END_TEST

static const struct {
  const char *text, *what;
} damaged[] = {
  { "", "the name of a plane is expected at column 1" },
  { "weight=", "the name of a codec is expected at column 8" },
  { "weight=toy", "'/' and the version" },
  { "weight=toy/", "'/' and the version" },
  { "weight=toy/x", "'/' and the version" },
  { "weight=toy/99999999999999999999", "version of a codec is too large" },
  { "weight=toy/1(block-size=8", "')' is expected" },
  { "weight=toy/1(block-size=8 path=x)", "')' is expected" },
  { "weight=toy/1(block-size=8\tpath=x)", "')' is expected" },
  { "weight=toy/1(a=(b))", "')' is expected" },
  { "weight=toy/1{seeds", "',' or '}' is expected" },
  { "weight=toy/1{seeds,}", "the name of a plane is expected" },
  { "weight=toy/1{seeds}}", "the end is expected at column 20" },
  { "weight,bias", "the end is expected" },
  { "bias", "the first plane must be 'weight'" },
  { "weight=toy/1{s\xc3\xa9"
    "eds}",
    "the byte 0xc3 at column 15 is no printable ASCII character" },
  { "weight=toy/1(a=\x1b)", "the byte 0x1b at column 16 is no printable" },
  { "weight=toy/1(a=\xff)", "the byte 0xff at column 16 is no printable" },
  { "\x7fweight", "the byte 0x7f at column 1 is no printable" },
};

START_TEST (damaged_text_is_refused)
{
  GError *error = NULL;
  g_autoptr (AfpSpec) spec = make_spec (2, square);

  ck_assert_ptr_null (afp_recipe_build (damaged[_i].text, spec, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "damaged recipe", damaged[_i].what);
  ck_assert_uint_eq (afp_recipe_count_leaves (damaged[_i].text), G_MAXUINT);
}
END_TEST

START_TEST (limits_hold)
{
  g_autoptr (GString) deep = g_string_new ("weight"), wide = g_string_new ("weight=a/1{x");
  g_autofree char *word = g_strnfill (65, 'n'), *recipe = g_strconcat ("weight=", word, "/1", NULL);
  g_autofree char *fill = g_strnfill (8192, 'p'),
                  *large = g_strconcat ("weight=a/1(", fill, ")", NULL);
  g_autoptr (AfpSpec) spec = make_spec (2, square);
  GError *error = NULL;

  for (guint i = 0; i < 15; i++)
    g_string_append (deep, "=a/1{x");
  for (guint i = 0; i < 15; i++)
    g_string_append_c (deep, '}');
  ck_assert_uint_eq (afp_recipe_count_leaves (deep->str), 1);
  g_string_truncate (deep, deep->len - 15);
  g_string_append (deep, "=a/1{x");
  for (guint i = 0; i < 16; i++)
    g_string_append_c (deep, '}');
  ck_assert_ptr_null (afp_recipe_build (deep->str, spec, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "more than 16 levels");

  for (guint i = 0; i < 4095; i++)
    g_string_append (wide, ",x");
  ck_assert_uint_eq (afp_recipe_count_leaves (wide->str), G_MAXUINT);
  ck_assert_ptr_null (afp_recipe_build (recipe, spec, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "the name of a codec is expected");
  ck_assert_ptr_null (afp_recipe_build (large, spec, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "8204 characters, at most 8192");
}
END_TEST

/* --- build -------------------------------------------------------------------------------------------------------- */

START_TEST (raw_tensors_are_rebuilt)
{
  const guint64 shape[] = { 5 };
  g_autoptr (AfpTensor) tensor = toy_tensor ("ids", "weight", AFP_DTYPE_I64, 1, shape, NULL);
  AfpPlane *root = afp_tensor_get_root (tensor);

  ck_assert (afp_tensor_is_raw (tensor));
  ck_assert_int_eq (afp_plane_get_desc (root)->kind, AFP_KIND_RAW);
  ck_assert_uint_eq (g_bytes_get_size (afp_plane_get_data (root)), 40);
  assert_text (afp_tensor_get_recipe (tensor), "weight");
}
END_TEST

START_TEST (planned_trees_have_the_recipe_and_no_data)
{
  GError *error = NULL;
  g_autoptr (AfpSpec) spec = make_spec (2, square);
  g_autoptr (AfpPlane) root = afp_recipe_build (TOY_RECIPE, spec, NULL, NULL, &error);

  ck_assert_msg (root != NULL, "%s", error ? error->message : "");
  g_autoptr (AfpTensor) tensor = afp_tensor_new (spec, root);
  ck_assert (afp_tensor_is_planned (tensor));
  assert_text (afp_tensor_get_recipe (tensor), TOY_RECIPE);
  ck_assert_str_eq (afp_plane_get_codec (root), "toy");
  ck_assert_uint_eq (afp_plane_get_codec_version (root), 1);
  const AfpPlaneDesc *seeds = afp_plane_get_desc (afp_plane_get_child (root, 0));
  ck_assert_uint_eq (seeds->rows, 64);
  ck_assert_uint_eq (seeds->cols, 8);
  ck_assert_uint_eq (seeds->bits, 16);
}
END_TEST

static gboolean
note_path (AfpPlane *plane, const char *path, gpointer user_data)
{
  if (!afp_plane_get_codec (plane))
    g_string_append_printf (user_data, "%s %u,", path,
                            (guint) g_bytes_get_size (afp_plane_get_data (plane)));
  return TRUE;
}

START_TEST (leaves_come_in_order)
{
  g_autoptr (AfpTensor) tensor = toy_tensor ("fc", TOY_RECIPE, AFP_DTYPE_F32, 2, square, NULL);
  g_autoptr (GString) paths = g_string_new (NULL);
  GError *error = NULL;

  afp_plane_foreach (afp_tensor_get_root (tensor), note_path, paths);
  ck_assert_str_eq (paths->str,
                    "weight/seeds 1024,weight/coeffs/exponents 256,weight/coeffs/mantissas 768,"
                    "weight/scale/codes 4,");
  g_autoptr (AfpMatrix) matrix = afp_plane_open (afp_tensor_get_root (tensor), NULL, &error);
  ck_assert_msg (matrix != NULL, "%s", error ? error->message : "");
  ck_assert_uint_eq (afp_matrix_get_rows (matrix), 64);
}
END_TEST

static GBytes *
short_data (guint leaf, const AfpPlaneDesc *desc, const char *path, gpointer user_data,
            GError **error)
{
  return g_bytes_new_static ("1234567", *(gsize *) user_data);
}

START_TEST (packers_keep_their_bytes)
{
  const char *recipe = "weight=f16/1{codes=toy-pack/1{packed}}";
  const guint64 shape[] = { 2, 4 };
  g_autoptr (AfpSpec) spec = make_spec (2, shape);
  gsize n = 3;
  GError *error = NULL;
  g_autoptr (AfpPlane) root = afp_recipe_build (recipe, spec, short_data, &n, &error);

  ck_assert_msg (root != NULL, "%s", error ? error->message : "");
  AfpPlane *codes = afp_plane_get_child (root, 0), *packed = afp_plane_get_child (codes, 0);
  ck_assert_int_eq (afp_plane_get_desc (codes)->kind, AFP_KIND_CODE);
  ck_assert_uint_eq (g_bytes_get_size (afp_plane_get_data (packed)), 3);
  g_autoptr (GBytes) unpacked = afp_plane_get_codes (codes, &error);
  ck_assert_uint_eq (g_bytes_get_size (unpacked), 18);
  g_autoptr (AfpTensor) tensor = afp_tensor_new (spec, root);
  assert_text (afp_tensor_get_recipe (tensor), recipe);

  n = 0;
  g_autoptr (AfpPlane) empty = afp_recipe_build (recipe, spec, short_data, &n, &error);
  ck_assert_ptr_nonnull (empty);
}
END_TEST

static const struct {
  const char *recipe, *what, *more;
  int code;
} unfit[] = {
  { "weight=nosuch/1{codes}", "nosuch", "not installed", AFP_ERROR_PLUGIN },
  { "weight=toy/3(block-size=8){seeds,coeffs,scale}", "version 3 is needed",
    "version 2 is installed", AFP_ERROR_PLUGIN },
  { "weight=f16/1{data}", "'weight' (codec f16/1) has a plane 'data'", "where codes is expected",
    AFP_ERROR_FORMAT },
  { "weight=f16/1{codes,codes}", "has a plane 'codes'", "where none is expected",
    AFP_ERROR_FORMAT },
  { "weight=f16/1", "'weight' (codec f16/1)", "0 planes where 1 are expected", AFP_ERROR_FORMAT },
  { "weight=toy/1{seeds,coeffs=f16/1{codes}}", "'weight' (codec toy/1)", "2 planes where 3",
    AFP_ERROR_FORMAT },
  { "weight=toy/1{seeds,coeffs,scale}", "plane 'weight/coeffs' holds numbers (coeffs)",
    "no codec stores it", AFP_ERROR_FORMAT },
  { "weight=f16/1{codes=f16/1{codes}}", "codec f16/1 cannot stand for 'weight/codes'", "code",
    AFP_ERROR_FORMAT },
  { "weight=toy-pack/1{packed}", "codec toy-pack/1 cannot stand for 'weight'", "holds weight",
    AFP_ERROR_FORMAT },
  { "weight=toy/1(block-size=9999){seeds}", "block-size", "9999", AFP_ERROR_FORMAT },
  { "weight=toy/1(path=/etc/passwd){seeds}", "'path' is no parameter", "toy/1", AFP_ERROR_FORMAT },
  { "weight=toy/1(block-size=8,tensors=*){seeds}", "'tensors' is no parameter", "toy/1",
    AFP_ERROR_FORMAT },
  { "weight=toy/1(block-size=1,name=x){seeds}", "'name' is no parameter", "toy/1",
    AFP_ERROR_FORMAT },
  { "weight=drop/1", "damaged recipe: 'weight'", "optional", AFP_ERROR_FORMAT },
};

START_TEST (unfit_recipes_are_refused)
{
  GError *error = NULL;
  g_autoptr (AfpSpec) spec = make_spec (2, square);

  ck_assert_ptr_null (afp_recipe_build (unfit[_i].recipe, spec, toy_data, spec, &error));
  assert_error (error, unfit[_i].code, unfit[_i].what, unfit[_i].more);
}
END_TEST

START_TEST (a_codec_may_refuse_the_plane)
{
  const guint64 shape[] = { 2, 13 },
                huge[] = { G_GUINT64_CONSTANT (1) << 30, G_GUINT64_CONSTANT (1) << 30 };
  g_autoptr (AfpSpec) spec = make_spec (2, shape), large = make_spec (2, huge);
  g_autoptr (AfpSpec) ints = afp_spec_new ("ids", AFP_DTYPE_I32, 2, square, NULL, NULL);
  GError *error = NULL;

  ck_assert_ptr_null (afp_recipe_build (TOY_RECIPE, spec, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "damaged recipe: 'weight'", "no rows of 13");
  ck_assert_ptr_null (afp_recipe_build (TOY_RECIPE, large, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'weight' is too large to be coded",
                "1073741824 rows of 1073741824");
  ck_assert_ptr_null (afp_recipe_build (TOY_RECIPE, ints, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "cannot stand for 'weight', which holds raw");
}
END_TEST

START_TEST (sizes_of_planes_are_checked)
{
  const guint64 shape[] = { 1, 2 };
  g_autoptr (AfpSpec) spec = make_spec (2, shape);
  gsize n = 5;
  GError *error = NULL;

  ck_assert_ptr_null (afp_recipe_build ("weight=f16/1{codes}", spec, short_data, &n, &error));
  assert_error (error, AFP_ERROR_FORMAT, "plane 'weight/codes' is damaged",
                "5 bytes are stored, its codec needs 6");
  ck_assert_ptr_null (afp_recipe_build ("weight", spec, short_data, &n, &error));
  assert_error (error, AFP_ERROR_FORMAT, "plane 'weight' is damaged",
                "5 bytes are stored, its codec needs 8");
  n = 7;
  ck_assert_ptr_null (
      afp_recipe_build ("weight=f16/1{codes=toy-pack/1{packed}}", spec, short_data, &n, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'weight/codes/packed'",
                "7 bytes are stored, its codec needs at most 6");
}
END_TEST

static GBytes *
no_data (guint leaf, const AfpPlaneDesc *desc, const char *path, gpointer user_data, GError **error)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "leaf %u (%s) is gone", leaf, path);
  return NULL;
}

START_TEST (errors_of_the_reader_come_through)
{
  g_autoptr (AfpSpec) spec = make_spec (2, square);
  GError *error = NULL;

  ck_assert_ptr_null (afp_recipe_build (TOY_RECIPE, spec, no_data, NULL, &error));
  assert_error (error, AFP_ERROR_IO, "leaf 0 (weight/seeds) is gone");
}
END_TEST

/* --- reopen ------------------------------------------------------------------------------------------------------- */

START_TEST (fallbacks_become_floats_again)
{
  g_autoptr (AfpTensor) tensor = toy_tensor ("fc", TOY_RECIPE, AFP_DTYPE_F32, 2, square, NULL);
  g_autoptr (AfpPlane) open = afp_recipe_reopen_floats (afp_tensor_get_root (tensor));
  AfpPlane *coeffs = afp_plane_get_child (open, 1), *scale = afp_plane_get_child (open, 2);
  g_autoptr (AfpTensor) reopened = afp_tensor_new_with_root (tensor, open);
  GError *error = NULL;

  ck_assert_ptr_null (afp_plane_get_codec (coeffs));
  ck_assert_ptr_null (afp_plane_get_codec (scale));
  ck_assert_str_eq (afp_plane_get_codec (afp_plane_get_frozen (coeffs)), "block-float");
  assert_text (afp_tensor_get_recipe (reopened), "weight=toy/1(block-size=8){seeds,coeffs,scale}");
  g_autoptr (AfpMatrix) numbers = afp_plane_open (coeffs, NULL, &error);
  ck_assert_msg (numbers != NULL, "%s", error ? error->message : "");
  ck_assert_uint_eq (afp_matrix_get_cols (numbers), 24);

  /* Nobody takes them: the same codes as before. */
  g_autoptr (AfpTensor) final = afp_tensor_finalize (reopened, NULL, &error);
  ck_assert_msg (final != NULL, "%s", error ? error->message : "");
  assert_text (afp_tensor_get_recipe (final), TOY_RECIPE);
  AfpPlane *before = afp_plane_get_child (afp_plane_get_child (afp_tensor_get_root (tensor), 1), 1);
  AfpPlane *after = afp_plane_get_child (afp_plane_get_child (afp_tensor_get_root (final), 1), 1);
  ck_assert (g_bytes_equal (afp_plane_get_data (before), afp_plane_get_data (after)));
}
END_TEST

START_TEST (planned_trees_can_be_reopened_and_finalized)
{
  g_autoptr (AfpSpec) spec = make_spec (2, square);
  g_autoptr (AfpPlane) root = afp_recipe_build (TOY_RECIPE, spec, NULL, NULL, NULL);
  g_autoptr (AfpPlane) open = afp_recipe_reopen_floats (root);
  g_autoptr (AfpTensor) tensor = afp_tensor_new (spec, open);
  GError *error = NULL;
  g_autoptr (AfpTensor) final = afp_tensor_finalize (tensor, NULL, &error);

  ck_assert_msg (final != NULL, "%s", error ? error->message : "");
  ck_assert (afp_tensor_is_planned (final));
  assert_text (afp_tensor_get_recipe (final), TOY_RECIPE);
}
END_TEST

START_TEST (what_a_codec_stores_stays_coded)
{
  /* f16 is no fallback of coeffs; a weight has none; a packed fallback stays packed inside. */
  const char *recipe = "weight=toy/1(block-size=8){seeds=toy-pack/1{packed},coeffs=f16/1{codes},"
                       "scale=f16/1{codes=toy-pack/1{packed}}}";
  g_autoptr (AfpTensor) tensor = toy_tensor ("fc", recipe, AFP_DTYPE_F32, 2, square, NULL);
  g_autoptr (AfpPlane) open = afp_recipe_reopen_floats (afp_tensor_get_root (tensor));
  g_autoptr (AfpTensor) raw = toy_tensor ("fc", "weight", AFP_DTYPE_F32, 2, square, NULL);
  g_autoptr (AfpPlane) raw_open = afp_recipe_reopen_floats (afp_tensor_get_root (raw));
  g_autoptr (AfpTensor) half =
      toy_tensor ("fc", "weight=f16/1{codes}", AFP_DTYPE_F32, 2, square, NULL);
  g_autoptr (AfpPlane) half_open = afp_recipe_reopen_floats (afp_tensor_get_root (half));

  ck_assert_str_eq (afp_plane_get_codec (afp_plane_get_child (open, 0)), "toy-pack");
  ck_assert_str_eq (afp_plane_get_codec (afp_plane_get_child (open, 1)), "f16");
  AfpPlane *frozen = afp_plane_get_frozen (afp_plane_get_child (open, 2));
  ck_assert_str_eq (afp_plane_get_codec (afp_plane_get_child (frozen, 0)), "toy-pack");
  ck_assert_ptr_eq (raw_open, afp_tensor_get_root (raw));
  ck_assert_ptr_eq (half_open, afp_tensor_get_root (half));
}
END_TEST

static TCase *
text_case (void)
{
  TCase *tcase = tcase_create ("text");
  tcase_add_test (tcase, counts_leaves);
  tcase_add_test (tcase, lists_codecs_once);
  tcase_add_loop_test (tcase, damaged_text_is_refused, 0, G_N_ELEMENTS (damaged));
  tcase_add_test (tcase, limits_hold);
  return tcase;
}

static TCase *
build_case (void)
{
  TCase *tcase = tcase_create ("build");
  tcase_add_test (tcase, raw_tensors_are_rebuilt);
  tcase_add_test (tcase, planned_trees_have_the_recipe_and_no_data);
  tcase_add_test (tcase, leaves_come_in_order);
  tcase_add_test (tcase, packers_keep_their_bytes);
  tcase_add_loop_test (tcase, unfit_recipes_are_refused, 0, G_N_ELEMENTS (unfit));
  tcase_add_test (tcase, a_codec_may_refuse_the_plane);
  tcase_add_test (tcase, sizes_of_planes_are_checked);
  tcase_add_test (tcase, errors_of_the_reader_come_through);
  return tcase;
}

static TCase *
reopen_case (void)
{
  TCase *tcase = tcase_create ("reopen");
  tcase_add_test (tcase, fallbacks_become_floats_again);
  tcase_add_test (tcase, planned_trees_can_be_reopened_and_finalized);
  tcase_add_test (tcase, what_a_codec_stores_stays_coded);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { text_case, build_case, reopen_case };

  toy_register ();
  return run_suite ("recipe", cases, G_N_ELEMENTS (cases));
}
