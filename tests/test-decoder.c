/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include "afp-bits.h"

/* Coded planes out of damaged files. The tree is built by hand: a reader checks less, or in another order. */

#define ROWS 6
#define COLS 10

typedef struct {
  const char *codec;
  guint version;
  const char *params;
  guint n_children;
  AfpPlane *children[4];
} Tree;

static AfpPlane *
code (const char *name, AfpScope scope, guint64 rows, guint64 cols, guint bits)
{
  const AfpPlaneDesc desc = {
    .name = name, .kind = AFP_KIND_CODE, .scope = scope, .rows = rows, .cols = cols, .bits = bits
  };
  const gsize n = afp_plane_desc_bytes (&desc);
  guint8 *data = g_malloc (n + 1);
  for (gsize i = 0; i < n; i++)
    data[i] = (guint8) (i * 37 + 11);
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, n);
  return afp_plane_new_code (&desc, bytes);
}

static AfpPlane *
floats (const char *name, AfpPlaneKind kind, guint64 rows, guint64 cols)
{
  const AfpPlaneDesc desc = { .name = name,
                              .kind = kind,
                              .scope = AFP_SCOPE_TENSOR,
                              .rows = rows,
                              .cols = cols,
                              .fallback = "f16" };
  float *values = g_new (float, rows *cols);
  for (guint64 i = 0; i < rows * cols; i++)
    values[i] = 0.5f;
  g_autoptr (GBytes) bytes = g_bytes_new_take (values, rows * cols * sizeof (float));
  return afp_plane_new_float (&desc, bytes, NULL);
}

static Tree
good (void)
{
  return (Tree){ "test-q",
                 3,
                 "bits=5,quantum=1,scale=tensor,layout=row,residual=false,table=false",
                 2,
                 { code ("codes", AFP_SCOPE_BLOCK, ROWS, COLS, 5),
                   floats ("scale", AFP_KIND_SCALE, 1, 1) } };
}

/* Takes the children. */
static AfpPlane *
build (Tree tree)
{
  const AfpPlaneDesc desc = {
    .name = "weight", .kind = AFP_KIND_WEIGHT, .rows = ROWS, .cols = COLS
  };
  AfpPlane *plane = afp_plane_new_coded (&desc, tree.codec, tree.version, tree.params,
                                         tree.n_children, tree.children);
  for (guint i = 0; i < G_N_ELEMENTS (tree.children); i++)
    if (tree.children[i])
      afp_plane_unref (tree.children[i]);
  return plane;
}

static void
replace (Tree *tree, guint child, AfpPlane *plane)
{
  afp_plane_unref (tree->children[child]);
  tree->children[child] = plane;
}

static void
assert_refused (Tree tree, int error_code, const char *word, const char *other)
{
  GError *error = NULL;
  g_autoptr (AfpPlane) plane = build (tree);
  ck_assert_ptr_null (afp_plane_open (plane, NULL, &error));
  assert_error (error, error_code, word, other);
  ck_assert_ptr_null (afp_plane_open (plane, NULL, NULL));
}

static void
assert_damaged (Tree tree, const char *word, const char *other)
{
  assert_refused (tree, AFP_ERROR_FORMAT, word, other);
}

START_TEST (what_is_whole)
{
  g_autoptr (AfpPlane) plane = build (good ());
  g_autofree float *values = test_decode_plane (plane, NULL);
  guint32 symbols[ROWS * COLS];
  afp_bits_unpack (g_bytes_get_data (afp_plane_get_data (afp_plane_get_child (plane, 0)), NULL), 0,
                   symbols, ROWS * COLS, 5);
  for (guint i = 0; i < ROWS * COLS; i++)
    ck_assert (values[i] == ((float) symbols[i] - 16) * 0.5f);
}
END_TEST

START_TEST (unknown_codecs)
{
  Tree tree = good ();
  tree.codec = "no-such-codec";
  assert_refused (tree, AFP_ERROR_PLUGIN, "codec 'no-such-codec' is not installed",
                  "no element 'no-such-codec'");
  tree = good ();
  tree.codec = "test_q";
  assert_refused (tree, AFP_ERROR_PLUGIN, "'test_q'", "test-q"); /* the nearest name */
  tree = good ();
  tree.codec = "";
  assert_refused (tree, AFP_ERROR_PLUGIN, "codec ''", "not installed");
  tree = good ();
  tree.codec = "test-sink";
  assert_damaged (tree, "'test-sink' is no codec", "recipe");
  tree = good ();
  tree.codec = "test-pack";
  tree.version = 4;
  tree.params = "fail=false";
  assert_damaged (tree, "'weight' holds numbers", "'test-pack' is for code planes");
}
END_TEST

START_TEST (newer_versions)
{
  Tree tree = good ();
  tree.version = 4;
  assert_refused (tree, AFP_ERROR_PLUGIN, "'test-q' version 4 is needed", "version 3 is installed");
  tree = good ();
  tree.version = G_MAXUINT;
  assert_refused (tree, AFP_ERROR_PLUGIN, "version 4294967295", "update the plugin");
  tree = good ();
  tree.version = 2; /* an older file: the codec reads it */
  g_autoptr (AfpPlane) plane = build (tree);
  g_autoptr (AfpMatrix) matrix = afp_plane_open (plane, NULL, NULL);
  ck_assert_ptr_nonnull (matrix);
}
END_TEST

START_TEST (wrong_parameters)
{
  static const struct {
    const char *params, *word;
  } wrong[] = {
    { "bits=0", "bits=0" },
    { "bits=33", "1..32" },
    { "bits=five", "bits=five" },
    { "bits=", "bits" },
    { "bits", "bits" },
    { "widht=3", "'widht'" },
    { "scale=rows", "scale=rows" },
    { "quantum=4294967296", "quantum" },
    { "bits=5,,quantum=1", "" },

    { "=5", "" },
    { "bits=5)(", "" },
    { "quantum=-1", "quantum=-1" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    GError *error = NULL;
    Tree tree = good ();
    tree.params = wrong[i].params;
    g_autoptr (AfpPlane) plane = build (tree);
    AfpMatrix *matrix = afp_plane_open (plane, NULL, &error);
    ck_assert_msg (matrix == NULL, "'%s'", wrong[i].params);
    ck_assert_msg (strstr (error->message, "codec 'test-q'") ||
                       strstr (error->message, "is damaged"),
                   "%s", error->message);
    ck_assert_msg (strstr (error->message, wrong[i].word) != NULL, "%s", error->message);
    g_clear_error (&error);
  }
  /* Parameters that fit, but not to these planes. */
  Tree tree = good ();
  tree.params = "bits=6";
  assert_damaged (tree, "'codes' is damaged", "recipe");
  tree = good ();
  tree.params = "bits=5,quantum=4";
  assert_damaged (tree, "'codes' is damaged", "recipe");
  tree = good ();
  tree.params = "bits=5,layout=flat";
  assert_damaged (tree, "'codes' is damaged", "recipe");
  tree = good ();
  tree.params = "bits=5,scale=none";
  assert_damaged (tree, "has 2 planes", "needs 1");
  tree = good ();
  tree.params = NULL; /* the defaults: six bits */
  assert_damaged (tree, "'codes' is damaged", "recipe");
}
END_TEST

START_TEST (missing_planes)
{
  Tree tree = good ();
  tree.n_children = 1;
  assert_damaged (tree, "'weight' has 1 planes", "'test-q' needs 2");
  tree = good ();
  tree.n_children = 0;
  assert_damaged (tree, "'weight' has 0 planes", "'test-q' needs 2");
  tree = good ();
  tree.n_children = 3;
  tree.children[2] = code ("more", AFP_SCOPE_BLOCK, ROWS, COLS, 5);
  assert_damaged (tree, "'weight' has 3 planes", "'test-q' needs 2");
  tree = good ();
  AfpPlane *first = tree.children[0];
  tree.children[0] = tree.children[1];
  tree.children[1] = first;
  assert_damaged (tree, "'scale' is damaged", "recipe");
}
END_TEST

START_TEST (planes_of_another_shape)
{
  static const struct {
    guint64 rows, cols;
    guint bits;
  } shapes[] = { { ROWS, COLS, 4 }, { ROWS, COLS + 1, 5 }, { ROWS - 1, COLS, 5 },
                 { COLS, ROWS, 5 }, { 1, ROWS * COLS, 5 }, { 0, 0, 5 },
                 { ROWS, COLS, 32 } };
  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++) {
    Tree tree = good ();
    replace (&tree, 0,
             code ("codes", AFP_SCOPE_BLOCK, shapes[i].rows, shapes[i].cols, shapes[i].bits));
    assert_damaged (tree, "'codes' is damaged", "not what its recipe describes");
  }
  Tree tree = good ();
  replace (&tree, 1, floats ("scale", AFP_KIND_SCALE, 1, 2));
  assert_damaged (tree, "'scale' is damaged", "not what its recipe describes");
  tree = good ();
  replace (&tree, 1, floats ("scale", AFP_KIND_CODEBOOK, 1, 1));
  assert_damaged (tree, "'scale' is damaged", "not what its recipe describes");
  tree = good ();
  replace (&tree, 1, code ("scale", AFP_SCOPE_TENSOR, 1, 1, 32));
  assert_damaged (tree, "'scale' is damaged", "not what its recipe describes");
  tree = good ();
  replace (&tree, 0, floats ("codes", AFP_KIND_COEFFS, ROWS, COLS));
  assert_damaged (tree, "'codes' is damaged", "not what its recipe describes");
}
END_TEST

/* A plane whose stored bytes are fewer or more than its symbols: only a plane of unknown size can carry them. */
START_TEST (planes_of_another_size)
{
  static const gsize sizes[] = { 0, 1, 37, 39, 100 };
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    const AfpPlaneDesc packed = {
      .name = "packed", .kind = AFP_KIND_CODE, .rows = 1, .cols = 200, .bits = 8, .bound = TRUE
    };
    const AfpPlaneDesc codes = {
      .name = "codes", .kind = AFP_KIND_CODE, .rows = ROWS, .cols = COLS, .bits = 5
    };
    g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc0 (sizes[i] + 1), sizes[i]);
    g_autoptr (AfpPlane) child = afp_plane_new_code (&packed, bytes);
    Tree tree = good ();
    replace (&tree, 0, afp_plane_new_coded (&codes, "test-pack", 4, "fail=false", 1, &child));
    assert_damaged (tree, "'codes'", "test-pack: damaged");
  }
}
END_TEST

START_TEST (planes_without_data)
{
  const AfpPlaneDesc codes = { .name = "codes",
                               .kind = AFP_KIND_CODE,
                               .scope = AFP_SCOPE_BLOCK,
                               .rows = ROWS,
                               .cols = COLS,
                               .bits = 5 };
  const AfpPlaneDesc scale = {
    .name = "scale", .kind = AFP_KIND_SCALE, .scope = AFP_SCOPE_TENSOR, .rows = 1, .cols = 1
  };
  Tree tree = good ();
  replace (&tree, 0, afp_plane_new_code (&codes, NULL));
  assert_damaged (tree, "'codes' has no data", "");
  tree = good ();
  replace (&tree, 1, afp_plane_new_float (&scale, NULL, NULL));
  assert_damaged (tree, "'scale' (scale) holds no numbers", "");
  tree = good ();
  replace (&tree, 1, afp_plane_new_coded (&scale, "f16", 1, "", 0, NULL));
  assert_damaged (tree, "'scale' has 0 planes", "'f16' needs 1");
}
END_TEST

/* A recipe may speak of planes of any size: room is made when their bytes are there. */
START_TEST (planes_of_terabytes)
{
  const guint64 side = G_GUINT64_CONSTANT (1) << 20;
  const AfpPlaneDesc codes = { .name = "codes",
                               .kind = AFP_KIND_CODE,
                               .scope = AFP_SCOPE_TENSOR,
                               .rows = 1,
                               .cols = side * side + 1,
                               .bits = 16 };
  const AfpPlaneDesc desc = {
    .name = "weight", .kind = AFP_KIND_WEIGHT, .rows = side, .cols = side
  };
  g_autoptr (AfpPlane) child = afp_plane_new_code (&codes, NULL);
  g_autoptr (AfpPlane) plane = afp_plane_new_coded (&desc, "f16", 1, "", 1, &child);
  GError *error = NULL;
  ck_assert_ptr_null (afp_plane_open (plane, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'codes' has no data");
}
END_TEST

/* What only decode_block can see: the error names the way to the plane. */
START_TEST (damaged_blocks)
{
  GError *error = NULL;
  float out[ROWS * COLS];
  Tree tree = good ();
  tree.params = "bits=5,table=true";
  tree.n_children = 3;
  tree.children[2] = code ("table", AFP_SCOPE_TENSOR, 1, 5, 3);
  g_autoptr (AfpPlane) plane = build (tree);
  g_autoptr (AfpMatrix) matrix = afp_plane_open (plane, NULL, &error);
  ck_assert_msg (matrix != NULL, "%s", error ? error->message : "?");
  ck_assert (!afp_matrix_read (matrix, 0, ROWS, 0, COLS, out, &error));
  assert_error (error, AFP_ERROR_FORMAT, "plane 'weight' (test-q/3): the table is wrong");
  ck_assert (!afp_matrix_read (matrix, 3, 1, 4, 2, out, &error));
  assert_error (error, AFP_ERROR_FORMAT, "the table is wrong");
  ck_assert_ptr_null (afp_matrix_to_dense (matrix, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "the table is wrong");
}
END_TEST

START_TEST (codecs_that_fail)
{
  GError *error = NULL;
  const AfpPlaneDesc desc = { .name = "weight", .kind = AFP_KIND_WEIGHT, .rows = 4000, .cols = 60 };
  float out[60];
  g_autoptr (AfpPlane) codes = code ("codes", AFP_SCOPE_BLOCK, 4000, 60, 8);
  g_autoptr (AfpPlane) closed = afp_plane_new_coded (&desc, "test-fail", 1, "in=open", 1, &codes);
  ck_assert_ptr_null (afp_plane_open (closed, NULL, &error));
  assert_error (error, AFP_ERROR_CODEC, "test-fail fails in open");
  g_autoptr (AfpPlane) refused =
      afp_plane_new_coded (&desc, "test-fail", 1, "in=describe", 1, &codes);
  ck_assert_ptr_null (afp_plane_open (refused, NULL, &error));
  assert_error (error, AFP_ERROR_PLAN, "test-fail fails in describe");
  g_autoptr (AfpPlane) one =
      afp_plane_new_coded (&desc, "test-fail", 1, "in=decode,row=2500", 1, &codes);
  g_autoptr (AfpMatrix) matrix = afp_plane_open (one, NULL, &error);
  ck_assert (afp_matrix_read (matrix, 2499, 1, 0, 60, out, &error)); /* its neighbours can be had */
  ck_assert (afp_matrix_read (matrix, 2501, 1, 0, 60, out, &error));
  ck_assert (!afp_matrix_read (matrix, 2500, 1, 0, 60, out, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'weight' (test-fail/1)", "fails in decode");
  g_autoptr (AfpPool) pool = afp_pool_new (3);
  ck_assert_ptr_null (afp_matrix_to_dense (matrix, pool, &error));
  assert_error (error, AFP_ERROR_FORMAT, "fails in decode");
}
END_TEST

START_TEST (deep_damage)
{
  GError *error = NULL;
  float out[ROWS * COLS];
  const AfpPlaneDesc flipped = { .name = "flipped",
                                 .kind = AFP_KIND_WEIGHT,
                                 .scope = AFP_SCOPE_BLOCK,
                                 .rows = ROWS,
                                 .cols = COLS,
                                 .per_quantum = 1,
                                 .fallback = "f16" };
  g_autoptr (AfpPlane) codes = code ("codes", AFP_SCOPE_BLOCK, ROWS, COLS, 8);
  g_autoptr (AfpPlane) inner =
      afp_plane_new_coded (&flipped, "test-fail", 1, "in=decode", 1, &codes);
  g_autoptr (AfpPlane) outer = build ((Tree){ "test-flip", 1, "", 1, { afp_plane_ref (inner) } });
  g_autoptr (AfpMatrix) matrix = afp_plane_open (outer, NULL, NULL);
  ck_assert (!afp_matrix_read (matrix, 0, ROWS, 0, COLS, out, &error));
  assert_error (
      error, AFP_ERROR_FORMAT,
      "plane 'weight' (test-flip/1): plane 'flipped' (test-fail/1): test-fail fails in decode");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("decoder");
  tcase_add_test (tcase, what_is_whole);
  tcase_add_test (tcase, unknown_codecs);
  tcase_add_test (tcase, newer_versions);
  tcase_add_test (tcase, wrong_parameters);
  tcase_add_test (tcase, missing_planes);
  tcase_add_test (tcase, planes_of_another_shape);
  tcase_add_test (tcase, planes_of_another_size);
  tcase_add_test (tcase, planes_without_data);
  tcase_add_test (tcase, planes_of_terabytes);
  tcase_add_test (tcase, damaged_blocks);
  tcase_add_test (tcase, codecs_that_fail);
  tcase_add_test (tcase, deep_damage);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("decoder", cases, G_N_ELEMENTS (cases));
}
