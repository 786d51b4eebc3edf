/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "entropy-rans.h"

#include "entropy-form.h"

#include <string.h>

#define LENGTH_BYTES 3 /* of a chunk's length */

/* --- the choice of contexts and tables ---------------------------------------------------------------------------- */

typedef struct {
  EntropyForm form;
  RansTables tables;
  RansLog log;
  guint32 *counts; /* of contexts, then of tables */
  guint8 *map;
  guint64 cost; /* guessed, then of what is chosen */
  GByteArray *coded_tables;
} Plan;

static void
plan_free (Plan *plan)
{
  g_free (plan->counts);
  g_free (plan->map);
  g_free (plan->tables.frequencies);
  g_clear_pointer (&plan->coded_tables, g_byte_array_unref);
  g_free (plan);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Plan, plan_free)

/* What each context has of each symbol. */
static void
count_symbols (Plan *plan, const guint8 *codes, guint bits)
{
  const EntropyForm *form = &plan->form;
  const gsize piece = (4095 / form->quantum + 1) * form->quantum;
  g_autofree guint16 *symbols = g_new (guint16, piece);
  g_autofree guint8 *contexts = g_malloc (piece), *same = g_malloc (form->machine.n_contexts);

  for (guint i = 0; i < form->machine.n_contexts; i++)
    same[i] = (guint8) i;
  for (guint64 at = 0; at < form->n; at += piece) {
    const gsize n = (gsize) MIN (form->n - at, piece);
    rans_get (codes, at * bits, symbols, n, bits);
    if (form->contexts == ENTROPY_PLAIN) {
      for (gsize i = 0; i < n; i++)
        plan->counts[symbols[i]]++;
      continue;
    }
    rans_follow (&form->machine, same, symbols, n, form->quantum, contexts);
    for (gsize i = 0; i < n; i++)
      plan->counts[(gsize) contexts[i] << bits | symbols[i]]++;
  }
}

static gsize
count_used (const guint32 *counts, gsize n)
{
  gsize used = 0;

  for (gsize i = 0; i < n; i++)
    used += counts[i] != 0;
  return used;
}

#define FEW \
  65536 /* symbols for which tables with any number of plain bits are written to see what is best */

/* Takes one plain low bit off the symbols: pairs of counts become one. */
static void
fold (guint32 *counts, guint bits)
{
  for (gsize i = 0; i < (gsize) 1 << (bits - 1); i++)
    counts[i] = counts[2 * i] + counts[2 * i + 1];
}

/* Takes plain low bits off the symbols as long as that seems to pay. */
static void
choose_raw (Plan *plan, guint bits)
{
  g_autofree guint32 *counts = g_memdup2 (plan->counts, sizeof (guint32) << bits);
  guint best = 0;

  plan->cost = G_MAXUINT64;
  for (guint raw = 0; raw < bits; fold (counts, bits - raw), raw++) {
    const gsize size = (gsize) 1 << (bits - raw), used = count_used (counts, size);
    const guint64 cost = rans_entropy (&plan->log, counts, size) + rans_guess_table (used) +
                         plan->form.n * raw * RANS_COST_ONE;
    if (cost < plan->cost && used <= (gsize) 1 << RANS_MAX_PRECISION) {
      plan->cost = cost;
      best = raw;
    }
  }
  if (plan->form.n <= FEW) /* only those that no table for all would ever pay for */
    for (best = 0; best + 1 < bits && plan->form.n * 4 < (guint64) 1 << (bits - best);)
      best++;
  for (; plan->form.raw < best; plan->form.raw++)
    fold (plan->counts, bits - plan->form.raw);
  plan->tables.bits = bits - plan->form.raw;
}

/* Contexts that share a table. */
static void
choose_map (Plan *plan)
{
  const guint n = plan->form.machine.n_contexts;
  g_autofree gint64 *work = g_new (gint64, (gsize) n * n);
  const gsize size = (gsize) 1 << plan->tables.bits;

  plan->tables.n_tables =
      rans_merge (&plan->log, plan->counts, n, plan->tables.bits, plan->map, work);
  plan->cost = 0;
  for (guint t = 0; t < plan->tables.n_tables; t++) {
    const guint32 *counts = plan->counts + t * size;
    plan->cost +=
        rans_entropy (&plan->log, counts, size) + rans_guess_table (count_used (counts, size));
  }
}

/* (nullable): counted and guessed, with contexts of one kind */
static Plan *
plan_new (const AfpPlaneDesc *desc, const guint8 *codes, EntropyContexts contexts)
{
  g_autoptr (Plan) plan = g_new0 (Plan, 1);

  if (!entropy_form_init (&plan->form, desc, contexts))
    return NULL;
  const guint n_contexts = plan->form.machine.n_contexts;
  rans_log_init (&plan->log);
  plan->counts = g_new0 (guint32, (gsize) n_contexts << desc->bits);
  plan->map = g_new0 (guint8, n_contexts);
  plan->tables =
      (RansTables){ .bits = desc->bits, .n_contexts = n_contexts, .n_tables = 1, .map = plan->map };
  count_symbols (plan, codes, desc->bits);
  if (contexts == ENTROPY_PLAIN)
    choose_raw (plan, desc->bits);
  else
    choose_map (plan);
  return g_steal_pointer (&plan);
}

/* Writes tables of the symbols' high @bits, and keeps them if they are the best so far. */
static void
try_tables (Plan *plan, const guint16 *exact, guint bits, guint precision, guint digits)
{
  const gsize size = (gsize) 1 << bits, n = plan->tables.n_tables * size;
  const gsize capacity = 256 + n * 4;
  const guint raw = plan->form.raw + plan->tables.bits - bits;
  g_autofree guint8 *out = g_malloc (capacity);
  RansTables tables = plan->tables;

  tables.bits = bits;
  tables.precision = precision;
  tables.digits = digits;
  tables.frequencies = g_memdup2 (exact, n * sizeof *exact);
  const gsize n_out = rans_write_tables (&tables, out, capacity);
  guint64 cost = ((guint64) n_out * 8 + plan->form.n * raw) * RANS_COST_ONE;
  for (guint t = 0; t < tables.n_tables; t++)
    cost += rans_cost (&plan->log, plan->counts + t * size, tables.frequencies + t * size, size,
                       precision);
  /* Longer tables are slower: they must pay. */
  if (n_out > 0 && cost + (precision > RANS_MIN_PRECISION ? cost / 1024 : 0) < plan->cost) {
    plan->cost = cost;
    g_free (plan->tables.frequencies);
    plan->tables = tables;
    plan->form.raw = raw;
    g_byte_array_set_size (plan->coded_tables, 0);
    g_byte_array_append (plan->coded_tables, out, (guint) n_out);
  } else {
    g_free (tables.frequencies);
  }
}

static void
try_precisions (Plan *plan, guint bits)
{
  static const guint digits[] = { RANS_EXACT, 6, 4, 3, 2, 1 };
  const gsize size = (gsize) 1 << bits, n = plan->tables.n_tables * size;
  g_autofree guint16 *exact = g_new (guint16, n);
  gsize used = 0;

  for (guint t = 0; t < plan->tables.n_tables; t++)
    used = MAX (used, count_used (plan->counts + t * size, size));
  for (guint precision = RANS_MIN_PRECISION; precision <= RANS_MAX_PRECISION; precision++) {
    if (used > (gsize) 1 << precision ||
        (guint64) plan->tables.n_tables << precision > ENTROPY_MAX_COUNTS)
      continue;
    for (guint t = 0; t < plan->tables.n_tables; t++)
      rans_normalise (plan->counts + t * size, size, precision, exact + t * size);
    for (guint i = 0; i < G_N_ELEMENTS (digits); i++)
      try_tables (plan, exact, bits, precision, digits[i]);
  }
}

static void
choose_tables (Plan *plan)
{
  guint bits = plan->tables.bits;

  plan->cost = G_MAXUINT64;
  plan->coded_tables = g_byte_array_new ();
  try_precisions (plan, bits);
  if (plan->form.contexts == ENTROPY_PLAIN && plan->form.n <= FEW)
    for (; bits > 1; bits--) {
      fold (plan->counts, bits);
      try_precisions (plan, bits - 1);
    }
  plan->form.precision = plan->tables.precision;
  plan->form.digits = plan->tables.digits;
}

/* (nullable): how to code a plane */
static Plan *
choose_plan (const AfpPlaneDesc *desc, const guint8 *codes)
{
  g_autoptr (Plan) plain = plan_new (desc, codes, ENTROPY_PLAIN);
  g_autoptr (Plan) declared = plan_new (desc, codes, ENTROPY_DECLARED);
  Plan *best = declared && (!plain || declared->cost < plain->cost) ? g_steal_pointer (&declared)
                                                                    : g_steal_pointer (&plain);

  if (best)
    choose_tables (best);
  if (best && best->cost == G_MAXUINT64)
    g_clear_pointer (&best, plan_free);
  return best;
}

/* --- packing ------------------------------------------------------------------------------------------------------ */

typedef struct {
  Plan *plan;
  RansSymbol *encoder;
  guint16 *symbols, *low;
  guint8 *tables, *coded; /* of a chunk */
  guint8 *out, *end;
} Packer;

static void
packer_clear (Packer *p)
{
  g_free (p->encoder);
  g_free (p->symbols);
  g_free (p->low);
  g_free (p->tables);
  g_free (p->coded);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Packer, packer_clear)

static void
packer_init (Packer *p, Plan *plan)
{
  const gsize most = (gsize) entropy_form_get_symbols (&plan->form, 0);
  const RansTables *t = &plan->tables;

  p->plan = plan;
  p->encoder = g_new (RansSymbol, (gsize) t->n_tables << t->bits);
  rans_encoder_init (p->encoder, t->frequencies, t->n_tables, t->bits, t->precision);
  p->symbols = g_new (guint16, most);
  p->low = g_new (guint16, plan->form.raw ? most : 0);
  p->tables = g_malloc (plan->form.contexts == ENTROPY_PLAIN ? 0 : most);
  p->coded = g_malloc (2 * most + 4 * RANS_LANES);
}

static gboolean
packer_append (Packer *p, gconstpointer bytes, gsize n)
{
  if (n > (gsize) (p->end - p->out))
    return FALSE;
  memcpy (p->out, bytes, n);
  p->out += n;
  return TRUE;
}

/* Appends @n symbols of @codes from number @first on, as one chunk. */
static gboolean
pack_chunk (Packer *p, const guint8 *codes, guint64 first, gsize n)
{
  const EntropyForm *form = &p->plan->form;
  const RansTables *t = &p->plan->tables;
  const guint width = t->bits + form->raw;
  const RansEncoder encoder = { p->encoder, t->bits, t->precision, form->lanes,
                                (gsize) form->quantum };
  const gsize room = 2 * n + 4 * RANS_LANES;

  rans_get (codes, first * width, p->symbols, n, width);
  for (gsize i = 0; form->raw && i < n; i++) {
    p->low[i] = (guint16) (p->symbols[i] & ((1u << form->raw) - 1));
    p->symbols[i] >>= form->raw;
  }
  if (form->contexts != ENTROPY_PLAIN)
    rans_follow (&form->machine, t->map, p->symbols, n, (gsize) form->quantum, p->tables);
  const gsize size = rans_encode (
      &encoder, p->symbols, form->contexts == ENTROPY_PLAIN ? NULL : p->tables, n, p->coded, room);
  if (!packer_append (p, p->coded + room - size, size))
    return FALSE;
  const gsize n_raw = (n * form->raw + 7) / 8;
  memset (p->coded, 0, n_raw);
  rans_put (p->coded, 0, p->low, 1, form->raw ? n : 0, form->raw);
  return packer_append (p, p->coded, n_raw);
}

static gboolean
pack_chunks (Packer *p, const guint8 *codes)
{
  const EntropyForm *form = &p->plan->form;
  guint8 *lengths = p->out;

  if ((form->n_chunks - 1) * LENGTH_BYTES > (guint64) (p->end - p->out))
    return FALSE;
  p->out += (form->n_chunks - 1) * LENGTH_BYTES;
  for (guint64 c = 0; c < form->n_chunks; c++) {
    const guint8 *begin = p->out;
    if (!pack_chunk (p, codes, c * form->per_chunk * form->quantum,
                     (gsize) entropy_form_get_symbols (form, c)))
      return FALSE;
    for (guint b = 0; c + 1 < form->n_chunks && b < LENGTH_BYTES; b++)
      *lengths++ = (guint8) ((p->out - begin) >> 8 * b);
  }
  return TRUE;
}

/* Symbols of the descriptor, and nothing but zeros in the last byte behind them. */
static gboolean
is_whole (const AfpPlaneDesc *desc, GBytes *codes)
{
  gsize n;
  const guint8 *data = g_bytes_get_data (codes, &n);
  const guint rest = desc->rows % 8 * (desc->cols % 8) * desc->bits % 8;

  return n > 0 && n == afp_plane_desc_bytes (desc) && (rest == 0 || data[n - 1] >> rest == 0);
}

gsize
entropy_rans_pack (const AfpPlaneDesc *desc, GBytes *codes, guint8 *out, gsize capacity)
{
  const guint8 *data = g_bytes_get_data (codes, NULL);

  if (desc->bits > ENTROPY_RANS_MAX_BITS || !is_whole (desc, codes))
    return 0;
  g_autoptr (Plan) plan = choose_plan (desc, data);
  if (!plan || plan->cost / 8 / RANS_COST_ONE >= capacity)
    return 0;
  entropy_form_set_chunks (&plan->form, plan->cost / 8 / RANS_COST_ONE);
  g_auto (Packer) packer = { .out = out, .end = out + capacity };
  packer_init (&packer, plan);
  g_autoptr (GByteArray) head = g_byte_array_new ();
  entropy_form_write (&plan->form, plan->coded_tables->len, head);
  if (!packer_append (&packer, head->data, head->len) ||
      !packer_append (&packer, plan->coded_tables->data, plan->coded_tables->len) ||
      !pack_chunks (&packer, data))
    return 0;
  return (gsize) (packer.out - out);
}

guint64
entropy_rans_scratch (const AfpPlaneDesc *desc)
{
  EntropyForm form;
  guint64 counts = 0, n_contexts = 1;

  if (desc->bits > ENTROPY_RANS_MAX_BITS)
    return 0;
  for (guint c = 0; c < ENTROPY_N_CONTEXTS; c++)
    if (entropy_form_init (&form, desc, c)) {
      counts += (guint64) form.machine.n_contexts << desc->bits;
      n_contexts = MAX (n_contexts, form.machine.n_contexts);
    }
  const guint64 tables =
      MAX (counts, 1) * (2 * sizeof (guint32) + 3 * sizeof (guint16) + 8 + sizeof (RansSymbol));
  const guint64 chunk = MIN (desc->rows * desc->cols, ENTROPY_MAX_CHUNK) * 7;
  return tables + chunk + n_contexts * n_contexts * sizeof (gint64) + 65536;
}

/* --- unpacking ---------------------------------------------------------------------------------------------------- */

typedef struct {
  EntropyForm form;
  RansTables tables;
  RansDecoder decoder;
  guint8 map[RANS_MAX_TABLES];
  guint32 *slots, *steps;
  guint16 *symbols;
} Unpacker;

static void
unpacker_free (Unpacker *u)
{
  g_free (u->tables.frequencies);
  g_free (u->slots);
  g_free (u->steps);
  g_free (u->symbols);
  g_free (u);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Unpacker, unpacker_free)

static void
set_damaged (GError **error, const char *what)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "damaged range-coded plane: %s", what);
}

static gboolean
read_tables (Unpacker *u, const AfpPlaneDesc *desc, const guint8 *in, gsize n, GError **error)
{
  EntropyForm *form = &u->form;
  const guint bits = desc->bits - form->raw, n_contexts = form->machine.n_contexts;
  const guint64 most = MIN (n_contexts, ENTROPY_MAX_COUNTS >> MAX (bits, form->precision));

  u->tables = (RansTables){ .bits = bits,
                            .precision = form->precision,
                            .digits = form->digits,
                            .n_contexts = n_contexts,
                            .map = u->map };
  u->tables.frequencies = g_new0 (guint16, most << bits);
  if (!rans_read_tables (&u->tables, in, n, (guint) most)) {
    set_damaged (error, "its frequency tables are none");
    return FALSE;
  }
  const gsize n_slots = (gsize) u->tables.n_tables << form->precision;
  u->slots = g_new (guint32, n_slots);
  if (!rans_is_narrow (bits, form->precision))
    u->symbols = g_new (guint16, n_slots + 1);
  rans_decoder_init (u->slots, u->symbols, u->tables.frequencies, u->tables.n_tables, bits);
  u->decoder = (RansDecoder){ .bits = bits,
                              .precision = form->precision,
                              .raw = form->raw,
                              .lanes = form->lanes,
                              .quantum = (gsize) form->quantum,
                              .slots = u->slots,
                              .symbols = u->symbols };
  if (form->contexts != ENTROPY_PLAIN) {
    u->steps = g_new (guint32, (gsize) form->machine.n_states << form->machine.bits);
    u->decoder.step_bits = form->machine.bits;
    u->decoder.first_step = rans_steps_init (u->steps, &form->machine, u->map);
    u->decoder.steps = u->steps;
  }
  return TRUE;
}

static gboolean
unpack_chunks (Unpacker *u, const AfpPlaneDesc *desc, const guint8 *at, const guint8 *end,
               guint8 *stream, GError **error)
{
  const EntropyForm *form = &u->form;
  const guint8 *lengths = at;

  at += (form->n_chunks - 1) * LENGTH_BYTES;
  for (guint64 c = 0; c < form->n_chunks; c++, lengths += LENGTH_BYTES) {
    gsize length = (gsize) (end - at);
    if (c + 1 < form->n_chunks)
      length = (gsize) (lengths[0] | lengths[1] << 8 | lengths[2] << 16);
    if (length > (gsize) (end - at) ||
        !rans_decode (&u->decoder, at, length, (gsize) entropy_form_get_symbols (form, c), stream,
                      c * form->per_chunk * form->quantum * desc->bits)) {
      set_damaged (error, "a chunk does not end where its symbols end");
      return FALSE;
    }
    at += length;
  }
  return TRUE;
}

GBytes *
entropy_rans_unpack (const AfpPlaneDesc *desc, const guint8 *body, gsize n, GError **error)
{
  g_autoptr (Unpacker) u = g_new0 (Unpacker, 1);
  const guint8 *at = body, *end = body + n;
  const guint64 n_bytes = afp_plane_desc_bytes (desc);
  gsize n_tables;

  if (desc->bits > ENTROPY_RANS_MAX_BITS) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "mode 3 (range coder) of a packed plane does not go with symbols of %u bits",
                 desc->bits);
    return NULL;
  }
  if (!entropy_form_read (&u->form, desc, &at, end, &n_tables, error) ||
      !read_tables (u, desc, at, n_tables, error))
    return NULL;
  at += n_tables;
  /* A chunk takes its length and a state at least: nothing is allocated for a head that only claims. */
  if (u->form.n_chunks > (guint64) (end - at) / 4) {
    set_damaged (error, "it is cut off");
    return NULL;
  }
  g_autofree guint8 *stream = g_try_malloc0 (MAX (n_bytes, 1));
  if (!stream) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "no memory for a plane of %" G_GUINT64_FORMAT " bytes", n_bytes);
    return NULL;
  }
  if (!unpack_chunks (u, desc, at, end, stream, error))
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&stream), n_bytes);
}
