/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define CODEC "hyper"
#include "codec-test.h"

/* trajectory=trellis as a plugin. The search itself: test-hyper-trellis-kernel. */

#define TRELLIS "trajectory=trellis states=8 "

static AfpLayout *
describe (const char *properties, AfpPlaneKind kind, guint64 rows, guint64 cols, GError **error)
{
  g_autoptr (AfpElement) element = make_codec (properties);
  const AfpPlaneDesc desc = make_desc (kind, rows, cols, 0, AFP_METRIC_NONE);

  return afp_codec_describe (AFP_CODEC (element), &desc, error);
}

/* --- layouts ------------------------------------------------------------------------------------------------------ */

static const struct {
  guint64 rows, cols, seen_rows;
  guint length;
} shapes[] = {
  { 64, 4096, 64, 4096 }, { 4, 8193, 4, 4097 },  { 576, 576, 1, 2304 }, { 64, 64, 1, 2048 },
  { 7, 1000, 1, 7000 },   { 11, 1000, 1, 5500 }, { 1, 5, 1, 5 },        { 1, 20000, 1, 6667 },
  { 100003, 3, 1, 8109 }, { 1, 1, 1, 1 },
};

/* Long rows are cut, short ones are joined, in numbers that divide them where there are such. */
START_TEST (segments)
{
  g_autoptr (AfpLayout) layout =
      describe (TRELLIS, AFP_KIND_WEIGHT, shapes[_i].rows, shapes[_i].cols, NULL);
  const AfpPlaneDesc *paths = afp_layout_get_child (layout, 0);
  ck_assert_uint_eq (afp_layout_get_quantum (layout), shapes[_i].length);
  ck_assert_uint_eq (paths->rows, shapes[_i].seen_rows);
  ck_assert_uint_eq (afp_plane_desc_get_period (paths), shapes[_i].length);
  ck_assert_uint_eq (afp_layout_get_child (layout, 1)->cols, 9);
}
END_TEST

START_TEST (contexts_are_the_unions)
{
  g_autoptr (AfpLayout) layout = describe (TRELLIS "bits=3", AFP_KIND_WEIGHT, 64, 4096, NULL);
  const AfpPlaneDesc *paths = afp_layout_get_child (layout, 0);
  ck_assert_uint_eq (paths->bits, 9);
  ck_assert_ptr_nonnull (paths->machine);
  ck_assert_uint_eq (paths->machine->n_states, 8);
  ck_assert_uint_eq (paths->machine->n_contexts, 2);
  ck_assert_uint_eq (paths->machine->bits, 1);
  for (guint s = 0; s < 8; s++)
    ck_assert_uint_eq (paths->machine->context[s], s & 1);
  assert_text (afp_layout_get_params (layout),
               "trajectory=trellis,frame=tensor,symbol-bits=9,states=8");
}
END_TEST

static const struct {
  const char *properties, *what, *why;
} refused[] = {
  { "trajectory=trellis states=12", "states=12", "4, 8, 16, 32, 64, 128 and 256" },
  { "trajectory=trellis states=5", "states=5", "there are trellises of" },
  { TRELLIS "frame=row", "frame=row", "set frame=tensor" },
  { TRELLIS "frame=group", "frame=group", "one step for the tensor" },
  { TRELLIS "feedback=true", "feedback=true", "take trajectory=lattice" },
};

START_TEST (refuses)
{
  GError *error = NULL;
  ck_assert_ptr_null (describe (refused[_i].properties, AFP_KIND_WEIGHT, 64, 64, &error));
  assert_error (error, AFP_ERROR_PROPERTY, refused[_i].what, refused[_i].why);
}
END_TEST

/* --- coding ------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *properties;
  guint64 rows, cols;
  double nmse;
} coded_shapes[] = {
  { TRELLIS "bits=2", 40, 1030, 0.075 },     { TRELLIS "bits=4", 300, 41, 0.0047 },
  { TRELLIS "bits=1", 96, 64, 0.33 },        { TRELLIS "bits=8", 1, 7, 0.02 },
  { TRELLIS "nmse=0.02", 64, 1024, 0.0206 },
};

/* Any number of threads gives the same bytes; the error is that of the rate. */
START_TEST (round_trip)
{
  const AfpPlaneDesc desc =
      make_desc (AFP_KIND_WEIGHT, coded_shapes[_i].rows, coded_shapes[_i].cols, 0, AFP_METRIC_NONE);
  g_autoptr (AfpPool) pool = afp_pool_new (3);
  Coded one, other;

  coded_init (&one, coded_shapes[_i].properties, &desc, FALSE, NULL);
  coded_init (&other, coded_shapes[_i].properties, &desc, FALSE, pool);
  ck_assert_msg (coded_nmse (&one) < coded_shapes[_i].nmse, "%g", coded_nmse (&one));
  ck_assert_mem_eq (one.decoded, other.decoded, one.rows * one.cols * sizeof (float));
  coded_clear (&one);
  coded_clear (&other);
}
END_TEST

/* Where the metric says so, numbers are coded better than others. */
START_TEST (metric_counts)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_COEFFS, 64, 64, 2, AFP_METRIC_DIAGONAL);
  g_autoptr (AfpClaim) claim = make_claim (TRELLIS "bits=2", &desc);
  g_autofree float *values = make_values (64, 64, FALSE), *weights = g_new (float, 64 * 64);
  double errors[2] = { 0, 0 };
  GError *error = NULL;

  for (guint i = 0; i < 64 * 64; i++)
    weights[i] = i & 1 ? 1 : 100;
  g_autoptr (AfpMatrix) matrix = make_matrix (values, 64, 64);
  g_autoptr (AfpPlane) plane = afp_claim_encode (claim, matrix, weights, "fc/c", NULL, &error);
  ck_assert_msg (plane != NULL, "%s", error ? error->message : "");
  g_autofree float *decoded = read_plane (plane);
  for (guint i = 0; i < 64 * 64; i++)
    errors[i & 1] += pow ((double) values[i] - decoded[i], 2);
  ck_assert_double_lt (errors[0] * 3, errors[1]);
}
END_TEST

/* --- decoding: from bytes that are written here, as SPEC.md says -------------------------------------------------- */

#define RECIPE                                                             \
  "weight=hyper/2(trajectory=trellis,frame=tensor,symbol-bits=4,states=4)" \
  "{paths,frames=raw32/1{codes}}"

/* Points 2 -1 1 0, then 7 -7 1: steps of 2, the first shifts of union 0 and 1 half a step and a quarter. */
static const guint8 seven[] = { 10 | 7 << 4, 9 | 8 << 4, 15 | 1 << 4, 9 };
static const float nine[] = { 2, 1, 0, 0, 0, 0.5f, 0, 0, 0 };

static AfpMatrix *
open_seven (const guint8 *symbols, const float *frames, GError **error)
{
  Leaf leaves[] = { { "weight/paths", symbols, sizeof seven },
                    { "weight/frames/codes", (const guint8 *) frames, sizeof nine },
                    { NULL, NULL, 0 } };
  return open_recipe (RECIPE, 1, 7, leaves, error);
}

/* States 0 0 1 3 3 2 0: unions 0 0 1 1 1 0 0 (h0 = D^2 + 1, h1 = D). */
START_TEST (decodes_by_hand)
{
  static const float expected[] = { 8, -3, 1.5f, 0, 26, -28, 3 };
  GError *error = NULL;
  g_autoptr (AfpMatrix) matrix = open_seven (seven, nine, &error);
  float values[7];

  ck_assert_msg (matrix != NULL, "%s", error ? error->message : "");
  ck_assert (afp_matrix_read (matrix, 0, 1, 0, 7, values, &error));
  for (guint i = 0; i < 7; i++)
    ck_assert_msg (values[i] == expected[i], "%u: %g", i, values[i]);
}
END_TEST

START_TEST (bad_symbol_is_refused)
{
  guint8 bad[sizeof seven];
  float values[7];
  GError *error = NULL;

  memcpy (bad, seven, sizeof bad);
  bad[2] &= 0xf0;
  g_autoptr (AfpMatrix) matrix = open_seven (bad, nine, &error);
  ck_assert_msg (matrix != NULL, "%s", error ? error->message : "");
  ck_assert (!afp_matrix_read (matrix, 0, 1, 0, 7, values, &error));
  assert_error (error, AFP_ERROR_FORMAT, "symbol 0 at row 0, column 4", "out of range 1..15",
                "'paths' is damaged");
}
END_TEST

START_TEST (bad_frame_is_refused)
{
  static const struct {
    guint at;
    float value;
  } cases[] = { { 0, 0 }, { 0, -1 }, { 0, NAN }, { 3, INFINITY }, { 8, 4.1f } };
  GError *error = NULL;
  float bad[9];

  memcpy (bad, nine, sizeof bad);
  bad[cases[_i].at] = cases[_i].value;
  ck_assert_ptr_null (open_seven (seven, bad, &error));
  assert_error (error, AFP_ERROR_FORMAT, "the step is no positive number", "'frames' is damaged");
}
END_TEST

static TCase *
good (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, segments, 0, G_N_ELEMENTS (shapes));
  tcase_add_test (tcase, contexts_are_the_unions);
  tcase_add_loop_test (tcase, round_trip, 0, G_N_ELEMENTS (coded_shapes));
  tcase_add_test (tcase, metric_counts);
  tcase_add_test (tcase, decodes_by_hand);
  return tcase;
}

static TCase *
bad (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, refuses, 0, G_N_ELEMENTS (refused));
  tcase_add_test (tcase, bad_symbol_is_refused);
  tcase_add_loop_test (tcase, bad_frame_is_refused, 0, 5);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { good, bad };
  return run_suite ("hyper-trellis", cases, G_N_ELEMENTS (cases));
}
