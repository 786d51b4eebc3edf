/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include <math.h>

/* Mode 3 of entropy: planes with and without a code machine, small and of many chunks, and what damage does to them. */

static AfpPacker *
make_packer (const char *coder)
{
  GError *error = NULL;
  AfpElement *element = afp_registry_make (afp_registry_get_default (), "entropy", &error);

  ck_assert_msg (element != NULL, "%s", error ? error->message : "?");
  ck_assert (afp_element_set_property_text (element, "coder", coder, NULL));
  return AFP_PACKER (element);
}

/* Two tables by the parity of the symbol before; the first symbol of a quantum is in the first. */
static const guint16 next[] = { 0, 1, 0, 1 };
static const guint8 context[] = { 0, 1 };
static const AfpCodeMachine parity = { 2, 2, 1, next, context };

static AfpPlaneDesc
describe (guint64 rows, guint64 cols, guint bits)
{
  return (AfpPlaneDesc){ .name = "codes",
                         .kind = AFP_KIND_CODE,
                         .scope = AFP_SCOPE_BLOCK,
                         .rows = rows,
                         .cols = cols,
                         .bits = bits,
                         .per_quantum = 1 };
}

static void
put_symbol (guint8 *codes, guint64 i, guint bits, guint32 symbol)
{
  for (guint b = 0; b < bits; b++)
    if (symbol >> b & 1)
      codes[(i * bits + b) / 8] |= (guint8) (1u << (i * bits + b) % 8);
}

/* Symbols in a bell; odd ones are followed by larger ones. */
static GBytes *
make_codes (const AfpPlaneDesc *desc, double deviation)
{
  const guint64 n = desc->rows * desc->cols;
  const double top = ldexp (1, (int) desc->bits) - 1;
  const gsize n_bytes = afp_plane_desc_bytes (desc);
  g_autoptr (GRand) rand = g_rand_new_with_seed (desc->bits);
  guint8 *codes = g_malloc0 (n_bytes + 1);
  guint32 symbol = 0;

  for (guint64 i = 0; i < n; i++) {
    double x = 0;
    for (guint k = 0; k < 6; k++)
      x += g_rand_double (rand) - 0.5;
    x = top / 2 + deviation * (x + (symbol & 1 ? 1 : -1));
    symbol = (guint32) CLAMP (rint (x), 0, top);
    put_symbol (codes, i, desc->bits, symbol);
  }
  return g_bytes_new_take (codes, n_bytes);
}

static GBytes *
pack (const AfpPlaneDesc *desc, GBytes *codes, const char *coder)
{
  g_autoptr (AfpPacker) packer = make_packer (coder);
  GBytes *packed = AFP_PACKER_GET_CLASS (packer)->pack (packer, desc, codes, NULL);

  ck_assert_uint_le (g_bytes_get_size (packed),
                     AFP_PACKER_GET_CLASS (packer)->bound (packer, desc));
  return packed;
}

static GBytes *
unpack (const AfpPlaneDesc *desc, gconstpointer data, gsize n, GError **error)
{
  g_autoptr (AfpPacker) packer = make_packer ("auto");
  g_autoptr (GBytes) packed = g_bytes_new (data, n);

  return AFP_PACKER_GET_CLASS (packer)->unpack (packer, desc, packed, error);
}

static guint
mode_of (GBytes *packed)
{
  return *(const guint8 *) g_bytes_get_data (packed, NULL);
}

/* --- there and back ----------------------------------------------------------------------------------------------- */

static void
assert_same (const AfpPlaneDesc *desc, GBytes *codes, GBytes *packed)
{
  GError *error = NULL;
  g_autoptr (GBytes) back =
      unpack (desc, g_bytes_get_data (packed, NULL), g_bytes_get_size (packed), &error);

  ck_assert_msg (back != NULL, "%s", error ? error->message : "?");
  ck_assert (g_bytes_equal (back, codes));
}

START_TEST (every_width)
{
  const guint bits = (guint) _i;
  static const guint64 shapes[][2] = { { 1, 1 }, { 7, 11 }, { 40, 80 } };

  for (guint s = 0; s < G_N_ELEMENTS (shapes); s++)
    for (guint m = 0; m < 2; m++) {
      AfpPlaneDesc desc = describe (shapes[s][0], shapes[s][1], bits);
      desc.per_quantum = m ? (guint) desc.cols : 1;
      desc.machine = m ? &parity : NULL;
      g_autoptr (GBytes) codes = make_codes (&desc, ldexp (1, (int) bits - 3));
      g_autoptr (GBytes) packed = pack (&desc, codes, "rans");
      assert_same (&desc, codes, packed);
      if (s == 2 && bits >= 2 && bits <= 16)
        ck_assert_uint_eq (mode_of (packed), 3);
      ck_assert (bits <= 16 || mode_of (packed) == 0);
    }
}
END_TEST

/* The machine halves what its contexts tell: a symbol costs less than without it. */
START_TEST (machines_pay)
{
  AfpPlaneDesc desc = describe (64, 128, 5);
  g_autoptr (GBytes) codes = make_codes (&desc, 3);
  g_autoptr (GBytes) plain = pack (&desc, codes, "rans");
  desc.machine = &parity;
  desc.per_quantum = 8;
  g_autoptr (GBytes) packed = pack (&desc, codes, "rans");
  assert_same (&desc, codes, packed);
  ck_assert_uint_lt (g_bytes_get_size (packed) * 10, g_bytes_get_size (plain) * 9);
  /* of scope tensor: quanta are rows */
  desc.scope = AFP_SCOPE_TENSOR;
  g_autoptr (GBytes) rows = pack (&desc, codes, "rans");
  assert_same (&desc, codes, rows);
  ck_assert_uint_lt (g_bytes_get_size (rows), g_bytes_get_size (packed));
}
END_TEST

/* Many chunks; odd numbers of symbols; quanta too long for a machine. */
START_TEST (large_planes)
{
  static const struct {
    guint64 rows, cols;
    guint bits, per_quantum;
  } planes[] = {
    { 601, 601, 3, 1 }, { 3, 150001, 4, 1 }, { 300, 2048, 2, 1024 }, { 5, 60000, 2, 60000 }
  };
  for (guint i = 0; i < G_N_ELEMENTS (planes); i++) {
    AfpPlaneDesc desc = describe (planes[i].rows, planes[i].cols, planes[i].bits);
    desc.per_quantum = planes[i].per_quantum;
    desc.machine = desc.per_quantum > 1 ? &parity : NULL;
    g_autoptr (GBytes) codes = make_codes (&desc, 0.7);
    g_autoptr (GBytes) packed = pack (&desc, codes, "rans");
    ck_assert_uint_eq (mode_of (packed), 3);
    assert_same (&desc, codes, packed);
  }
}
END_TEST

/* Low bits that are noise stay plain: an exponent in front costs what it should. */
START_TEST (noisy_low_bits)
{
  const AfpPlaneDesc desc = describe (60, 100, 16);
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  guint8 *bytes = g_malloc (12000);
  for (guint i = 0; i < 6000; i++) {
    bytes[2 * i] = (guint8) g_rand_int (rand);
    bytes[2 * i + 1] = (guint8) (60 + g_rand_int_range (rand, 0, 4));
  }
  g_autoptr (GBytes) codes = g_bytes_new_take (bytes, 12000);
  g_autoptr (GBytes) packed = pack (&desc, codes, "auto");
  ck_assert_uint_eq (mode_of (packed), 3);
  ck_assert_uint_le (g_bytes_get_size (packed), 6000 * 10 / 8 + 40);
  assert_same (&desc, codes, packed);
}
END_TEST

/* Rows again and again: only zstd sees it, and auto lets it. */
START_TEST (repetitions_are_left_to_zstd)
{
  const AfpPlaneDesc desc = describe (64, 1000, 8);
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  guint8 *bytes = g_malloc (64000);
  for (guint i = 0; i < 64000; i++)
    bytes[i] = i < 1000 ? (guint8) (g_rand_int (rand) & 15) : bytes[i - 1000];
  g_autoptr (GBytes) codes = g_bytes_new_take (bytes, 64000);
  g_autoptr (GBytes) best = pack (&desc, codes, "auto"), rans = pack (&desc, codes, "rans"),
                     zstd = pack (&desc, codes, "zstd");
  ck_assert (mode_of (best) == 1 && mode_of (rans) == 3 && mode_of (zstd) == 1);
  ck_assert (g_bytes_equal (best, zstd));
}
END_TEST

/* Bits behind the last symbol that are not zero come back, too: no range coder then. */
START_TEST (odd_padding)
{
  const AfpPlaneDesc desc = describe (1, 1001, 3);
  g_autofree guint8 *bytes = g_malloc0 (376);
  bytes[375] = 0x80;
  g_autoptr (GBytes) codes = g_bytes_new (bytes, 376);
  g_autoptr (GBytes) packed = pack (&desc, codes, "rans");
  ck_assert_uint_eq (mode_of (packed), 0);
  assert_same (&desc, codes, packed);
}
END_TEST

/* --- damage ------------------------------------------------------------------------------------------------------- */

/* The example of SPEC.md. */
static const guint8 example[] = { 0x03, 0x00, 0x0f, 0x00, 0x07, 0x84, 0x83, 0xa0,
                                  0xe0, 0x11, 0x9a, 0xd4, 0x00, 0xb0, 0x40, 0x00 };

START_TEST (worked_example)
{
  const AfpPlaneDesc desc = describe (1, 4, 2);
  g_autoptr (GBytes) back = unpack (&desc, example, sizeof example, NULL);
  ck_assert_ptr_nonnull (back);
  ck_assert_uint_eq (*(const guint8 *) g_bytes_get_data (back, NULL), 0x84);
}
END_TEST

static void
assert_damaged (const AfpPlaneDesc *desc, gconstpointer data, gsize n, const char *word)
{
  GError *error = NULL;
  ck_assert_ptr_null (unpack (desc, data, n, &error));
  assert_error (error, AFP_ERROR_FORMAT, "damaged", "range-coded plane", word);
}

START_TEST (wrong_heads)
{
  static const struct {
    guint at;
    guint8 byte;
    const char *word;
  } cases[] = {
    { 1, 0xe0, "unknown contexts" }, { 1, 0x20, "no such contexts" }, { 1, 0x18, "wrong lanes" },
    { 2, 0x00, "digits" },           { 2, 0x2f, "too many plain" },   { 3, 0x03, "within a byte" },
    { 4, 0x7f, "cut off" },          { 4, 0x00, "frequency tables" }, { 3, 0xff, "" },
  };
  const AfpPlaneDesc desc = describe (1, 4, 2);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    guint8 other[sizeof example];
    memcpy (other, example, sizeof example);
    other[cases[i].at] = cases[i].byte;
    assert_damaged (&desc, other, sizeof other, cases[i].word);
  }
  for (gsize n = 1; n < sizeof example; n++)
    assert_damaged (&desc, example, n, "");
}
END_TEST

/* A head that claims a huge plane allocates nothing; too wide symbols are refused. */
START_TEST (claims)
{
  GError *error = NULL;
  const AfpPlaneDesc huge = describe (1, G_MAXUINT32 - 7, 2), wide = describe (1, 4, 17);
  guint8 other[sizeof example];
  memcpy (other, example, sizeof example);
  assert_damaged (&huge, other, sizeof other, "chunks too large");
  other[3] = 0x40; /* quanta of a chunk */
  assert_damaged (&huge, other, sizeof other, "cut off");
  ck_assert_ptr_null (unpack (&wide, example, sizeof example, &error));
  assert_error (error, AFP_ERROR_FORMAT, "mode 3", "17 bits");
}
END_TEST

/* Of planes with a machine: cut off anywhere, and other bits: never another size, never a crash. */
START_TEST (truncated_and_flipped)
{
  AfpPlaneDesc desc = describe (200, 1024, 3);
  desc.machine = &parity;
  desc.per_quantum = 32;
  g_autoptr (GBytes) codes = make_codes (&desc, 0.8);
  g_autoptr (GBytes) packed = pack (&desc, codes, "rans");
  gsize n;
  const guint8 *data = g_bytes_get_data (packed, &n);
  g_autofree guint8 *other = g_memdup2 (data, n);
  for (gsize k = 1; k < n; k += 1 + k / 3)
    assert_damaged (&desc, data, k, "");
  assert_damaged (&desc, data, n - 1, "");
  for (gsize bit = 8; bit < 8 * n; bit += 1 + bit / 10) {
    GError *error = NULL;
    other[bit / 8] ^= (guint8) (1u << bit % 8);
    g_autoptr (GBytes) back = unpack (&desc, other, n, &error);
    if (back)
      ck_assert_uint_eq (g_bytes_get_size (back), g_bytes_get_size (codes));
    else
      assert_error (error, AFP_ERROR_FORMAT, "range-coded plane");
    other[bit / 8] ^= (guint8) (1u << bit % 8);
  }
  desc.machine = NULL;
  assert_damaged (&desc, data, n, "no such contexts");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("rans");
  tcase_add_loop_test (tcase, every_width, 1, 19);
  tcase_add_test (tcase, machines_pay);
  tcase_add_test (tcase, large_planes);
  tcase_add_test (tcase, noisy_low_bits);
  tcase_add_test (tcase, repetitions_are_left_to_zstd);
  tcase_add_test (tcase, odd_padding);
  tcase_add_test (tcase, worked_example);
  tcase_add_test (tcase, wrong_heads);
  tcase_add_test (tcase, claims);
  tcase_add_test (tcase, truncated_and_flipped);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("entropy-rans", cases, G_N_ELEMENTS (cases));
}
