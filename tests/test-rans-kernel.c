/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "entropy/rans-kernel.h"

#include "core-test.h"
#include "entropy/rans-table-kernel.h"
#include "simd-kernel.h"

/* --- bits --------------------------------------------------------------------------------------------------------- */

START_TEST (bits_in_any_order)
{
  const guint bits = (guint) _i;
  enum { N = 61, STRIDE = 3 };
  uint16_t symbols[N * STRIDE], back[N];
  uint8_t stream[2 * N + 8] = { 0 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (bits);

  for (guint i = 0; i < N * STRIDE; i++)
    symbols[i] = (uint16_t) (g_rand_int (rand) & ((1u << bits) - 1));
  for (guint k = 0; k < 3; k++) { /* the parts touch in the middle of bytes */
    static const guint order[] = { 1, 2, 0 }, begin[] = { 0, 7, 40, N };
    const guint at = begin[order[k]], n = begin[order[k] + 1] - at;
    rans_put (stream, 5 + at * bits, symbols + STRIDE * at, STRIDE, n, bits);
  }
  rans_put (stream, 5, symbols, 1, 0, bits);
  rans_get (stream, 5, back, N, bits);
  for (guint i = 0; i < N; i++)
    ck_assert_uint_eq (back[i], symbols[STRIDE * i]);
  const guint end = 5 + N * bits;
  ck_assert_uint_eq (stream[0] & 31, 0);
  ck_assert_uint_eq (stream[end / 8] >> end % 8, 0);
  for (guint i = end / 8 + 1; i < sizeof stream; i++)
    ck_assert_uint_eq (stream[i], 0);
}
END_TEST

/* --- there and back ----------------------------------------------------------------------------------------------- */

/* Three states by the two low bits of a symbol; the first has a table of its own. */
static const uint16_t next[] = { 1, 2, 1, 2, 2, 1, 0, 1, 1, 2, 2, 0 };
static const uint8_t context[] = { 1, 0, 0 };
static const RansMachine machine = { 3, 2, 2, next, context };
static const uint8_t map[] = { 0, 1 };

typedef struct {
  guint bits, precision, raw, lanes;
  gsize n, quantum;
  const RansMachine *machine;
} Form;

typedef struct {
  Form form;
  uint8_t *plane, *coded; /* coded: to its end */
  gsize n_plane, n_coded;
  double entropy; /* in bytes */
  uint16_t *symbols, *values;
  uint32_t *slots, steps[12];
  RansDecoder decoder;
} Case;

static void
case_free (Case *c)
{
  g_free (c->plane);
  g_free (c->coded);
  g_free (c->symbols);
  g_free (c->values);
  g_free (c->slots);
  g_free (c);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Case, case_free)

static void
init_decoder (Case *c, const uint16_t *frequencies, guint n_tables)
{
  const Form *f = &c->form;
  const gsize n_slots = (gsize) n_tables << f->precision;

  c->slots = g_new (uint32_t, n_slots);
  c->values = rans_is_narrow (f->bits, f->precision) ? NULL : g_new (uint16_t, n_slots + 1);
  rans_decoder_init (c->slots, c->values, frequencies, n_tables, f->bits);
  c->decoder = (RansDecoder){ .bits = f->bits,
                              .precision = f->precision,
                              .raw = f->raw,
                              .lanes = f->lanes,
                              .quantum = f->quantum,
                              .slots = c->slots,
                              .symbols = c->values };
  if (f->machine) {
    c->decoder.steps = c->steps;
    c->decoder.step_bits = f->machine->bits;
    c->decoder.first_step = rans_steps_init (c->steps, f->machine, map);
  }
}

/* Symbols of small numbers mostly, coded. */
static Case *
make_case (Form form)
{
  Case *c = g_new0 (Case, 1);
  const gsize n = form.n, size = (gsize) 1 << form.bits, room = 2 * n + 4 * RANS_LANES;
  const guint width = form.bits + form.raw, n_tables = form.machine ? 2 : 1;
  g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32) (n + form.bits));
  g_autofree uint8_t *tables = g_malloc0 (n + 1), *out = g_malloc (room);
  g_autofree uint16_t *high = g_new (uint16_t, n + 1), *low = g_new (uint16_t, n + 1);
  g_autofree uint32_t *counts = g_new0 (uint32_t, n_tables * size);
  g_autofree uint16_t *frequencies = g_new (uint16_t, n_tables * size);
  g_autofree RansSymbol *encoder = g_new (RansSymbol, n_tables * size);
  RansLog log;

  c->form = form;
  c->symbols = g_new (uint16_t, n + 1);
  c->n_plane = (n * width + 7) / 8;
  c->plane = g_malloc0 (c->n_plane + 1);
  for (gsize i = 0; i < n; i++) {
    const double x = g_rand_double (rand);
    c->symbols[i] = (uint16_t) (x * x * x * (double) (1u << width));
    high[i] = (uint16_t) (c->symbols[i] >> form.raw);
    low[i] = (uint16_t) (c->symbols[i] & ((1u << form.raw) - 1));
  }
  rans_put (c->plane, 0, c->symbols, 1, n, width);
  if (form.machine)
    rans_follow (form.machine, map, high, n, form.quantum, tables);
  for (gsize i = 0; i < n; i++)
    counts[tables[i] * size + high[i]]++;
  rans_log_init (&log);
  for (guint t = 0; t < n_tables; t++) {
    c->entropy += (double) rans_entropy (&log, counts + t * size, size) / RANS_COST_ONE / 8;
    rans_normalise (counts + t * size, size, form.precision, frequencies + t * size);
  }
  rans_encoder_init (encoder, frequencies, n_tables, form.bits, form.precision);
  const RansEncoder e = { encoder, form.bits, form.precision, form.lanes, form.quantum };
  const gsize coded = rans_encode (&e, high, form.machine ? tables : NULL, n, out, room);
  c->n_coded = coded + (n * form.raw + 7) / 8;
  c->coded = g_malloc0 (c->n_coded + 1);
  memcpy (c->coded, out + room - coded, coded);
  if (form.raw)
    rans_put (c->coded + coded, 0, low, 1, n, form.raw);
  init_decoder (c, frequencies, n_tables);
  return c;
}

#define GUARD 8

/* Decodes so many bytes, not one of them beyond the end, with all instructions there are. */
static bool
decodes (Case *c, const uint8_t *in, gsize n, bool same)
{
  g_autofree uint8_t *exact = g_memdup2 (in, MAX (n, 1));
  bool result = false;

  for (SimdKind kind = SIMD_PORTABLE; kind < SIMD_N_KINDS; kind++) {
    g_autofree uint8_t *back = g_malloc0 (c->n_plane + GUARD);
    memset (back + c->n_plane, 0xa5, GUARD);
    simd_limit (kind);
    const bool ok = rans_decode (&c->decoder, exact, n, c->form.n, back, 0);
    ck_assert (kind == SIMD_PORTABLE || ok == result);
    result = ok;
    for (guint i = 0; i < GUARD; i++)
      ck_assert_uint_eq (back[c->n_plane + i], 0xa5);
    if (ok && same)
      ck_assert_mem_eq (back, c->plane, c->n_plane);
  }
  return result;
}

static const Form forms[] = {
  { 8, 12, 0, 32, 5000, 1, NULL },
  { 8, 12, 0, 32, 4992, 8, &machine },
  { 2, 12, 0, 32, 4000, 1000, &machine },
  { 5, 12, 0, 4, 333, 1, NULL },
  { 3, 13, 0, 1, 77, 7, &machine },
  { 11, 13, 0, 32, 9000, 1, NULL },
  { 10, 15, 0, 32, 9000, 300, &machine },
  { 8, 12, 3, 32, 4321, 1, NULL },
  { 4, 14, 12, 16, 1111, 1, NULL },
  { 16, 15, 0, 8, 3000, 1, NULL },
  { 1, 12, 0, 32, 31, 1, NULL },
  { 6, 12, 0, 2, 30000, 15000, &machine },
  { 4, 12, 0, 8, 0, 1, NULL },
};

START_TEST (same_symbols)
{
  g_autoptr (Case) c = make_case (forms[_i]);

  ck_assert (decodes (c, c->coded, c->n_coded, true));
  /* 4 bytes a lane and 0.5 percent over the entropy, and a bit more where a frequency is one of 4096 */
  if (c->form.n > 1000 && c->form.bits < 11)
    ck_assert_double_le ((double) c->n_coded, c->entropy * 1.005 + (double) c->form.lanes * 4 +
                                                  (double) (c->form.n * c->form.raw + 7) / 8);
}
END_TEST

/* A chunk in the middle of a plane, without those around it. */
START_TEST (one_chunk_alone)
{
  g_autoptr (Case) c = make_case ((Form){ 5, 12, 0, 32, 800, 8, &machine });
  const gsize offset = 37;
  g_autofree uint8_t *stream = g_malloc0 (offset + c->n_plane + 1);

  ck_assert (rans_decode (&c->decoder, c->coded, c->n_coded, 800, stream, offset * 8));
  ck_assert_mem_eq (stream + offset, c->plane, c->n_plane);
  for (gsize i = 0; i < offset; i++)
    ck_assert_uint_eq (stream[i], 0);
}
END_TEST

/* The example of SPEC.md. */
START_TEST (worked_example)
{
  static const uint16_t frequencies[] = { 2048, 1024, 1024, 0 }, symbols[] = { 0, 1, 0, 2 };
  static const uint8_t expected[] = { 0x00, 0xb0, 0x40, 0x00 };
  RansSymbol table[4];
  uint8_t out[12];

  rans_encoder_init (table, frequencies, 1, 2, 12);
  const RansEncoder e = { table, 2, 12, 1, 1 };
  ck_assert_uint_eq (rans_encode (&e, symbols, NULL, 4, out, sizeof out), 4);
  ck_assert_mem_eq (out + 8, expected, 4);
}
END_TEST

/* One symbol that has all frequencies takes no words. */
START_TEST (certain_symbols)
{
  static const uint16_t frequencies[] = { 0, 1 << 15 };
  g_autofree uint16_t *symbols = g_new (uint16_t, 1000);
  g_autofree uint32_t *slots = g_new (uint32_t, 1 << 15);
  g_autofree uint16_t *values = g_new (uint16_t, (1 << 15) + 1);
  RansSymbol table[2];
  uint8_t out[2128], back[125] = { 0 };

  for (guint i = 0; i < 1000; i++)
    symbols[i] = 1;
  rans_encoder_init (table, frequencies, 1, 1, 15);
  const RansEncoder e = { table, 1, 15, 32, 1 };
  ck_assert_uint_eq (rans_encode (&e, symbols, NULL, 1000, out, sizeof out), 128);
  rans_decoder_init (slots, values, frequencies, 1, 1);
  const RansDecoder d = {
    .bits = 1, .precision = 15, .lanes = 32, .quantum = 1, .slots = slots, .symbols = values
  };
  ck_assert (rans_decode (&d, out + sizeof out - 128, 128, 1000, back, 0));
  for (guint i = 0; i < 125; i++)
    ck_assert_uint_eq (back[i], 0xff);
}
END_TEST

/* --- damage ------------------------------------------------------------------------------------------------------- */

START_TEST (wrong_lengths)
{
  g_autoptr (Case) c = make_case (forms[_i]);
  g_autofree uint8_t *longer = g_malloc0 (c->n_coded + 4);

  for (gsize n = 0; n < c->n_coded; n += 1 + n / 16)
    ck_assert_msg (!decodes (c, c->coded, n, false), "%zu bytes", n);
  ck_assert (c->n_coded == 0 || !decodes (c, c->coded, c->n_coded - 1, false));
  memcpy (longer, c->coded, c->n_coded);
  for (guint k = 1; k <= 4; k++)
    ck_assert (!decodes (c, longer, c->n_coded + k, false));
}
END_TEST

/* A flipped bit is seen, or gives other symbols, and never a byte outside. Of plain low bits none is seen. */
START_TEST (flipped_bits)
{
  g_autoptr (Case) c = make_case (forms[_i]);
  guint seen = 0, tried = 0;

  for (gsize bit = 0; bit < 8 * c->n_coded; bit += 1 + bit / 12, tried++) {
    c->coded[bit / 8] ^= (uint8_t) (1u << bit % 8);
    seen += !decodes (c, c->coded, c->n_coded, false);
    c->coded[bit / 8] ^= (uint8_t) (1u << bit % 8);
  }
  ck_assert (c->form.raw || seen * 4 >= tried * 3);
}
END_TEST

/* A state that cannot be. */
START_TEST (low_states)
{
  g_autoptr (Case) c = make_case (forms[0]);

  for (guint lane = 0; lane < c->form.lanes; lane++) {
    g_autofree uint8_t *other = g_memdup2 (c->coded, c->n_coded);
    other[4 * lane + 2] = other[4 * lane + 3] = 0;
    ck_assert (!decodes (c, other, c->n_coded, false));
  }
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("rans");
  const int n = G_N_ELEMENTS (forms);
  tcase_add_loop_test (tcase, bits_in_any_order, 1, 17);
  tcase_add_loop_test (tcase, same_symbols, 0, n);
  tcase_add_test (tcase, one_chunk_alone);
  tcase_add_test (tcase, worked_example);
  tcase_add_test (tcase, certain_symbols);
  tcase_add_loop_test (tcase, wrong_lengths, 0, n);
  tcase_add_loop_test (tcase, flipped_bits, 0, n);
  tcase_add_test (tcase, low_states);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("rans-kernel", cases, G_N_ELEMENTS (cases));
}
