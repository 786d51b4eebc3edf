/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include <math.h>

/* The lossless stage over planes of codes: what comes back, and what damage does. Of the range coder: test-entropy-rans.c. */

static AfpTensor *
chain (AfpTensor *tensor, const char *text)
{
  test_set_tensors (tensor, NULL);
  return test_run (text, 2);
}

/* Codes of `bits` bits: "zero", "narrow" (few values, in the middle) or "noise" (nothing to gain). */
static AfpPlane *
packed_codes (const char *what, guint bits, GBytes **plain)
{
  g_autofree float *values = test_values (40 * 50, bits);
  for (guint i = 0; i < 40 * 50; i++)
    values[i] = strcmp (what, "zero") == 0     ? 0
                : strcmp (what, "narrow") == 0 ? rintf (values[i]) / 8
                                               : ldexpf (values[i], (int) bits - 5);
  g_autoptr (AfpTensor) tensor = test_tensor_from ("t", "40x50", NULL, values);
  g_autofree char *coded = g_strdup_printf ("test-q scale=none force=true bits=%u", bits);
  g_autofree char *text = g_strconcat (coded, " ! entropy coder=zstd", NULL);
  g_autoptr (AfpTensor) a = chain (tensor, coded);
  AfpPlane *codes = test_find (afp_tensor_get_root (a), "weight/codes");
  *plain = g_bytes_ref (afp_plane_get_data (codes));
  g_autoptr (AfpTensor) b = chain (tensor, text);
  g_autofree float *x = test_decode (a), *y = test_decode (b);
  ck_assert_mem_eq (x, y, 40 * 50 * 4);
  return afp_plane_ref (test_find (afp_tensor_get_root (b), "weight/codes"));
}

static GBytes *
packed_bytes (AfpPlane *codes)
{
  ck_assert_str_eq (afp_plane_get_codec (codes), "entropy");
  return afp_plane_get_data (afp_plane_get_child (codes, 0));
}

static guint
mode_of (AfpPlane *codes)
{
  return *(const guint8 *) g_bytes_get_data (packed_bytes (codes), NULL);
}

/* The same plane with other packed bytes. */
static AfpPlane *
with_bytes (AfpPlane *codes, gconstpointer data, gsize n)
{
  AfpPlaneDesc desc = *afp_plane_get_desc (afp_plane_get_child (codes, 0));
  g_autoptr (GBytes) bytes = g_bytes_new (data, n);
  desc.cols = n;
  g_autoptr (AfpPlane) child = afp_plane_new_code (&desc, bytes);
  return afp_plane_replace_child (codes, 0, child);
}

static void
assert_damaged (AfpPlane *codes, gconstpointer data, gsize n, const char *word)
{
  GError *error = NULL;
  g_autoptr (AfpPlane) plane = with_bytes (codes, data, n);
  g_autoptr (GBytes) bytes = afp_plane_get_codes (plane, &error);
  ck_assert_msg (bytes == NULL, "%" G_GSIZE_FORMAT " bytes", n);
  assert_error (error, AFP_ERROR_FORMAT, "plane 'codes': ", word);
}

/* --- there and back ----------------------------------------------------------------------------------------------- */

START_TEST (every_width)
{
  static const char *const kinds[] = { "zero", "narrow", "noise" };
  const guint bits = (guint) _i;
  for (guint k = 0; k < G_N_ELEMENTS (kinds); k++) {
    g_autoptr (GBytes) plain = NULL;
    g_autoptr (AfpPlane) codes = packed_codes (kinds[k], bits, &plain);
    g_autoptr (GBytes) back = afp_plane_get_codes (codes, NULL);
    ck_assert (g_bytes_equal (back, plain));
    const gsize n = g_bytes_get_size (plain), size = g_bytes_get_size (packed_bytes (codes));
    ck_assert_uint_le (size, n + 1); /* never more than stored */
    if (k < 2 && bits > 3)
      ck_assert_msg (size < n, "%s, %u bits: %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT, kinds[k],
                     bits, size, n);
    if (mode_of (codes) == 0)
      ck_assert_uint_eq (size, n + 1);
    else
      ck_assert_uint_le (size, n);
    ck_assert (bits % 8 != 0 || mode_of (codes) != 2);
  }
}
END_TEST

START_TEST (modes)
{
  guint seen[3] = { 0 };
  for (guint bits = 1; bits <= 20; bits++)
    for (guint k = 0; k < 3; k++) {
      static const char *const kinds[] = { "zero", "narrow", "noise" };
      g_autoptr (GBytes) plain = NULL;
      g_autoptr (AfpPlane) codes = packed_codes (kinds[k], bits, &plain);
      ck_assert_uint_lt (mode_of (codes), 3);
      seen[mode_of (codes)]++;
    }
  ck_assert (seen[0] && seen[1] && seen[2]);
}
END_TEST

/* Planes of one symbol, odd ends, one byte. */
START_TEST (small_planes)
{
  static const char *const shapes[] = { "1x1", "1x2", "1x7", "3x3", "1x9", "5x13" };
  for (guint s = 0; s < G_N_ELEMENTS (shapes); s++)
    for (guint bits = 1; bits <= 32; bits += 3) {
      g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, shapes[s], NULL, bits);
      g_autofree char *coded =
          g_strdup_printf ("test-q table=true force=true min-weights=0 bits=%u", bits);
      g_autofree char *text = g_strconcat (coded, " ! entropy", NULL);
      g_autoptr (AfpTensor) a = chain (tensor, coded), b = chain (tensor, text);
      g_autofree float *x = test_decode (a), *y = test_decode (b);
      ck_assert_mem_eq (x, y, afp_spec_get_n_elements (afp_tensor_get_spec (tensor)) * 4);
    }
}
END_TEST

START_TEST (levels)
{
  g_autofree float *values = test_values (64 * 64, 3);
  for (guint i = 0; i < 64 * 64; i++)
    values[i] = rintf (values[i]);
  g_autoptr (AfpTensor) tensor = test_tensor_from ("t", "64x64", NULL, values);
  g_autoptr (AfpTensor) fast = chain (tensor, "test-q ! entropy level=1"),
                        best = chain (tensor, "test-q ! entropy level=19");
  g_autofree char *a = afp_tensor_get_recipe (fast), *b = afp_tensor_get_recipe (best);
  AfpSize x, y;
  ck_assert_str_eq (a, b); /* the level is no part of the format */
  afp_tensor_get_size (fast, &x);
  afp_tensor_get_size (best, &y);
  ck_assert_uint_le (y.planes, x.planes);
}
END_TEST

START_TEST (wrong_levels)
{
  static const char *const wrong[] = { "entropy level=0", "entropy level=20", "entropy level=fast",
                                       "entropy levels=3" };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    GError *error = NULL;
    ck_assert (!test_try (wrong[i], 1, &error));
    assert_error (error, AFP_ERROR_PROPERTY, "level");
  }
}
END_TEST

/* --- damage ------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *what;
  guint bits, mode;
} examples[] = { { "noise", 5, 0 }, { "narrow", 16, 1 }, { "narrow", 11, 2 } };

START_TEST (truncated)
{
  g_autoptr (GBytes) plain = NULL;
  g_autoptr (AfpPlane) codes = packed_codes (examples[_i].what, examples[_i].bits, &plain);
  gsize n;
  const guint8 *data = g_bytes_get_data (packed_bytes (codes), &n);
  ck_assert_uint_eq (mode_of (codes), examples[_i].mode);
  assert_damaged (codes, data, 0, "empty");
  for (gsize k = 1; k < n; k += 1 + k / 20)
    assert_damaged (codes, data, k, "");
  assert_damaged (codes, data, n - 1, "");
  g_autofree guint8 *longer = g_malloc0 (n + 8);
  memcpy (longer, data, n);
  assert_damaged (codes, longer, n + 1, "");
  assert_damaged (codes, longer, n + 8, "");
}
END_TEST

/* A flipped bit may go unseen (the file has a checksum for each plane), but gives no other size and no crash. */
START_TEST (flipped)
{
  g_autoptr (GBytes) plain = NULL;
  g_autoptr (AfpPlane) codes = packed_codes (examples[_i].what, examples[_i].bits, &plain);
  gsize n;
  const guint8 *data = g_bytes_get_data (packed_bytes (codes), &n);
  g_autofree guint8 *other = g_memdup2 (data, n);
  for (gsize bit = 0; bit < 8 * n; bit += bit < 200 ? 1 : 37) {
    GError *error = NULL;
    other[bit / 8] = (guint8) (data[bit / 8] ^ (1u << bit % 8));
    g_autoptr (AfpPlane) plane = with_bytes (codes, other, n);
    g_autoptr (GBytes) bytes = afp_plane_get_codes (plane, &error);
    if (bytes)
      ck_assert_uint_eq (g_bytes_get_size (bytes), g_bytes_get_size (plain));
    else
      assert_error (error, AFP_ERROR_FORMAT, "plane 'codes': ");
    other[bit / 8] = data[bit / 8];
  }
}
END_TEST

START_TEST (wrong_modes)
{
  g_autoptr (GBytes) plain = NULL;
  g_autoptr (AfpPlane) codes = packed_codes (examples[_i].what, examples[_i].bits, &plain);
  gsize n;
  const guint8 *data = g_bytes_get_data (packed_bytes (codes), &n);
  g_autofree guint8 *other = g_memdup2 (data, n);
  for (guint mode = 0; mode < 256; mode += mode < 5 ? 1 : 50) {
    other[0] = (guint8) mode;
    if (mode != examples[_i].mode)
      assert_damaged (codes, other, n,
                      mode > 3                ? "unknown mode"
                      : mode == 3             ? "range-coded plane"
                      : mode == 0             ? "stored bytes where"
                      : examples[_i].bits % 8 ? "zstd frame"
                                              : "symbols of 16 bits");
  }
}
END_TEST

/* Bytes that mean nothing. */
START_TEST (garbage)
{
  g_autoptr (GBytes) plain = NULL;
  g_autoptr (AfpPlane) codes = packed_codes ("narrow", 11, &plain);
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  guint8 noise[300];
  for (guint i = 0; i < 2000; i++) {
    const gsize n = (gsize) g_rand_int_range (rand, 1, sizeof noise);
    for (gsize k = 0; k < n; k++)
      noise[k] = (guint8) g_rand_int (rand);
    noise[0] = (guint8) (1 + i % 2);
    if (i % 3 == 0 && n > 6)
      memcpy (noise + 1, "\x28\xb5\x2f\xfd", 4); /* begins as a frame does */
    assert_damaged (codes, noise, n, "zstd frame");
  }
}
END_TEST

/* A frame whole in itself, of another plane. */
START_TEST (frames_of_others)
{
  g_autoptr (GBytes) plain = NULL, other_plain = NULL;
  g_autoptr (AfpPlane) codes = packed_codes ("narrow", 11, &plain),
                       other = packed_codes ("narrow", 13, &other_plain);
  gsize n;
  const guint8 *data = g_bytes_get_data (packed_bytes (other), &n);
  g_autofree guint8 *wrong = g_memdup2 (data, n);
  ck_assert_uint_eq (mode_of (other), 2);
  wrong[0] = 1; /* the size of the spread bytes is not that of the plane */
  assert_damaged (other, wrong, n, "no frame of");
  (void) codes;
}
END_TEST

/* The head of a frame claims any size: nothing is allocated for what a frame so small cannot hold. */
START_TEST (frames_that_claim)
{
  const AfpPlaneDesc desc = { .name = "codes",
                              .kind = AFP_KIND_CODE,
                              .rows = 1,
                              .cols = G_GUINT64_CONSTANT (1) << 40,
                              .bits = 8 };
  static const guint8 frame[] = {
    1, 0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0
  };
  g_autoptr (GBytes) plain = NULL;
  g_autoptr (AfpPlane) codes = packed_codes ("narrow", 8, &plain);
  g_autoptr (GBytes) bytes = g_bytes_new_static (frame, sizeof frame);
  AfpPlaneDesc packed = *afp_plane_get_desc (afp_plane_get_child (codes, 0));
  packed.cols = sizeof frame;
  AfpPlane *child = afp_plane_new_code (&packed, bytes);
  g_autoptr (AfpPlane) huge =
      afp_plane_new_coded (&desc, "entropy", 1, afp_plane_get_params (codes), 1, &child);
  GError *error = NULL;
  ck_assert_ptr_null (afp_plane_get_codes (huge, &error));
  assert_error (error, AFP_ERROR_FORMAT, "plane 'codes': ", "no frame of 1099511627776 bytes");
  afp_plane_unref (child);
}
END_TEST

START_TEST (newer_version)
{
  GError *error = NULL;
  g_autoptr (GBytes) plain = NULL;
  g_autoptr (AfpPlane) codes = packed_codes ("narrow", 11, &plain);
  AfpPlane *child = afp_plane_get_child (codes, 0);
  g_autoptr (AfpPlane) newer =
      afp_plane_new_coded (afp_plane_get_desc (codes), "entropy", 3, "", 1, &child);
  ck_assert_ptr_null (afp_plane_get_codes (newer, &error));
  assert_error (error, AFP_ERROR_PLUGIN,
                "'entropy' version 3 is needed, but version 2 is installed");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("entropy");
  tcase_add_loop_test (tcase, every_width, 1, 33);
  tcase_add_test (tcase, modes);
  tcase_add_test (tcase, small_planes);
  tcase_add_test (tcase, levels);
  tcase_add_test (tcase, wrong_levels);
  tcase_add_loop_test (tcase, truncated, 0, G_N_ELEMENTS (examples));
  tcase_add_loop_test (tcase, flipped, 0, G_N_ELEMENTS (examples));
  tcase_add_loop_test (tcase, wrong_modes, 0, G_N_ELEMENTS (examples));
  tcase_add_test (tcase, garbage);
  tcase_add_test (tcase, frames_of_others);
  tcase_add_test (tcase, frames_that_claim);
  tcase_add_test (tcase, newer_version);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("entropy", cases, G_N_ELEMENTS (cases));
}
