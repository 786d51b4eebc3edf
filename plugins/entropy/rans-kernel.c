/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rans-private.h"

/* --- bits --------------------------------------------------------------------------------------------------------- */

void
rans_get (const uint8_t *stream, uint64_t first_bit, uint16_t *symbols, size_t n, unsigned bits)
{
  const uint32_t mask = ((uint32_t) 1 << bits) - 1;
  const unsigned skip = first_bit % 8;
  uint64_t held = 0;
  unsigned n_held = 0;

  stream += first_bit / 8;
  if (skip && n) {
    held = (uint64_t) *stream++ >> skip;
    n_held = 8 - skip;
  }
  for (size_t i = 0; i < n; i++) {
    for (; n_held < bits; n_held += 8)
      held |= (uint64_t) *stream++ << n_held;
    symbols[i] = (uint16_t) (held & mask);
    held >>= bits;
    n_held -= bits;
  }
}

void
rans_put (uint8_t *stream, uint64_t first_bit, const uint16_t *symbols, size_t stride, size_t n,
          unsigned bits)
{
  unsigned n_held = first_bit % 8;
  uint64_t held;

  if (n == 0)
    return;
  stream += first_bit / 8;
  held = n_held ? *stream : 0;
  for (size_t i = 0; i < n; i++) {
    held |= (uint64_t) symbols[i * stride] << n_held;
    n_held += bits;
    if (n_held >= 32) {
      for (unsigned b = 0; b < 4; b++)
        stream[b] = (uint8_t) (held >> 8 * b);
      stream += 4;
      held >>= 32;
      n_held -= 32;
    }
  }
  for (; n_held >= 8; n_held -= 8, held >>= 8)
    *stream++ = (uint8_t) held;
  if (n_held)
    *stream |= (uint8_t) held;
}

/* --- encoding ----------------------------------------------------------------------------------------------------- */

/*
 * x / f for every x < f 2^(32 - precision) is x * ceil(2^(32 + precision) / f) >> (32 + precision): what the reciprocal is too large by
 * adds less than 1/f, and the product stays below 2^64.
 */
void
rans_encoder_init (RansSymbol *symbols, const uint16_t *frequencies, unsigned n_tables,
                   unsigned bits, unsigned precision)
{
  for (unsigned t = 0; t < n_tables; t++) {
    uint32_t start = 0;
    for (size_t i = 0; i < (size_t) 1 << bits; i++, symbols++) {
      const uint32_t f = *frequencies++;
      *symbols = (RansSymbol){ f ? (((uint64_t) 1 << (32 + precision)) + f - 1) / f : 0, f, start };
      start += f;
    }
  }
}

void
rans_follow (const RansMachine *machine, const uint8_t *map, const uint16_t *symbols, size_t n,
             size_t quantum, uint8_t *tables)
{
  const unsigned mask = (1u << machine->bits) - 1;

  for (size_t i = 0; i < n; i += quantum) {
    unsigned state = 0;
    for (size_t k = i; k < i + quantum; k++) {
      tables[k] = map[machine->context[state]];
      state = machine->next[state << machine->bits | (symbols[k] & mask)];
    }
  }
}

typedef struct {
  uint32_t state[RANS_LANES];
  uint8_t *out;
} Writer;

static inline void
encode_symbol (Writer *w, unsigned lane, const RansSymbol *s, unsigned precision)
{
  uint32_t x = w->state[lane];

  if (x >> (32 - precision) >= s->frequency) {
    w->out -= 2;
    w->out[0] = (uint8_t) x;
    w->out[1] = (uint8_t) (x >> 8);
    x >>= 16;
  }
  const uint32_t q = (uint32_t) (x * s->reciprocal >> (32 + precision));
  w->state[lane] = (q << precision) + (x - q * s->frequency) + s->start;
}

size_t
rans_encode (const RansEncoder *self, const uint16_t *symbols, const uint8_t *tables, size_t n,
             uint8_t *out, size_t capacity)
{
  const size_t lanes = self->lanes, quantum = self->quantum, n_quanta = n / quantum;
  const unsigned bits = self->bits, precision = self->precision;
  Writer w = { .out = out + capacity };

  for (size_t l = 0; l < lanes; l++)
    w.state[l] = RANS_LOWEST;
  for (size_t end = n_quanta; end > 0;) { /* backwards: the decoder sees the last word first */
    const size_t active = end % lanes ? end % lanes : lanes, first = end - active;
    for (size_t step = quantum; step-- > 0;)
      for (size_t l = active; l-- > 0;) {
        const size_t at = (first + l) * quantum + step;
        const size_t table = tables ? tables[at] : 0;
        encode_symbol (&w, (unsigned) l, self->symbols + (table << bits) + symbols[at], precision);
      }
    end = first;
  }
  w.out -= 4 * lanes;
  for (size_t l = 0; l < lanes; l++)
    for (unsigned b = 0; b < 4; b++)
      w.out[4 * l + b] = (uint8_t) (w.state[l] >> 8 * b);
  return (size_t) (out + capacity - w.out);
}

/* --- decoding ----------------------------------------------------------------------------------------------------- */

void
rans_decoder_init (uint32_t *slots, uint16_t *symbols, const uint16_t *frequencies,
                   unsigned n_tables, unsigned bits)
{
  for (unsigned t = 0; t < n_tables; t++)
    for (uint32_t i = 0; i < (uint32_t) 1 << bits; i++) {
      const uint32_t f = *frequencies++;
      for (uint32_t k = 0; k < f; k++) {
        *slots++ = symbols ? (f - 1) | k << 16 : (f - 1) | k << 12 | i << 24;
        if (symbols)
          *symbols++ = (uint16_t) i;
      }
    }
  if (symbols)
    *symbols = 0; /* loads of 32 bits reach here */
}

static uint32_t
make_step (const RansMachine *machine, const uint8_t *map, uint32_t state)
{
  return state << machine->bits << 8 | map[machine->context[state]];
}

uint32_t
rans_steps_init (uint32_t *steps, const RansMachine *machine, const uint8_t *map)
{
  const uint32_t n = (uint32_t) machine->n_states << machine->bits;

  for (uint32_t i = 0; i < n; i++)
    steps[i] = make_step (machine, map, machine->next[i]);
  return make_step (machine, map, 0);
}

/* A symbol of a lane; the state may want a word then. */
static inline uint32_t
decode_symbol (const RansDecoder *d, RansLanes *lanes, unsigned l, bool narrow, bool machine,
               uint16_t *symbol)
{
  const unsigned precision = d->precision;
  const uint32_t x = lanes->state[l], part = x & (((uint32_t) 1 << precision) - 1);
  const uint32_t at = machine ? (lanes->step[l] & 0xff) << precision | part : part;
  const uint32_t slot = d->slots[at], value = narrow ? slot >> 24 : d->symbols[at];

  *symbol = (uint16_t) value;
  if (machine)
    lanes->step[l] =
        d->steps[(lanes->step[l] >> 8) + (value & (((uint32_t) 1 << d->step_bits) - 1))];
  return narrow ? ((slot & 0xfff) + 1) * (x >> precision) + (slot >> 12 & 0xfff)
                : ((slot & 0xffff) + 1) * (x >> precision) + (slot >> 16);
}

/* One symbol of each of @active lanes, as long as there are words. */
static inline bool
decode_last (const RansDecoder *d, RansLanes *lanes, unsigned active, uint16_t *out)
{
  for (unsigned l = 0; l < active; l++) {
    uint32_t x = decode_symbol (d, lanes, l, !d->symbols, d->steps != NULL, out + l);
    if (x < RANS_LOWEST) {
      if (lanes->in == lanes->end)
        return false;
      x = x << 16 | rans_load16 (lanes->in);
      lanes->in += 2;
    }
    lanes->state[l] = x;
  }
  return true;
}

static inline bool
decode_some (const RansDecoder *d, RansLanes *lanes, unsigned active, size_t steps, bool narrow,
             bool machine, uint16_t *out)
{
  size_t i = 0;

  for (; i < steps && lanes->end - lanes->in >= 2 * (ptrdiff_t) active; i++, out += active) {
    const uint8_t *in = lanes->in;
    for (unsigned l = 0; l < active; l++) { /* without a branch: none could be foretold */
      const uint32_t x = decode_symbol (d, lanes, l, narrow, machine, out + l);
      const uint32_t need = (uint32_t) (((uint64_t) x - RANS_LOWEST) >> 63);
      lanes->state[l] = x << 16 * need | (rans_load16 (in) & -need);
      in += 2 * need;
    }
    lanes->in = in;
  }
  for (; i < steps; i++, out += active)
    if (!decode_last (d, lanes, active, out))
      return false;
  return true;
}

/* @steps symbols of each of @active lanes to @out: [steps][active] */
static bool
decode_steps (const RansDecoder *d, RansLanes *lanes, unsigned active, size_t steps, uint16_t *out)
{
  const bool narrow = !d->symbols;

#if HAS_SIMD
  if (active == RANS_LANES && simd_get () >= SIMD_AVX512) {
    const size_t done = rans_steps_avx512 (d, lanes, steps, out);
    steps -= done;
    out += done * RANS_LANES;
  }
#endif
  if (d->steps)
    return narrow ? decode_some (d, lanes, active, steps, true, true, out)
                  : decode_some (d, lanes, active, steps, false, true, out);
  return narrow ? decode_some (d, lanes, active, steps, true, false, out)
                : decode_some (d, lanes, active, steps, false, false, out);
}

typedef struct {
  const RansDecoder *d;
  RansLanes lanes;
  uint8_t *stream;
  uint64_t first_bit;
  const uint8_t *raw;
} Reader;

#define PIECE 4096 /* symbols decoded before they are packed */

/* Without a machine the lanes take turns symbol by symbol: @n symbols in order. */
static bool
decode_plain (Reader *r, size_t n)
{
  const RansDecoder *d = r->d;
  const unsigned width = d->bits + d->raw;
  uint16_t out[PIECE], low[PIECE];

  for (size_t at = 0; at < n;) {
    const size_t left = n - at < PIECE ? n - at : PIECE;
    const unsigned active = left < d->lanes ? (unsigned) left : d->lanes;
    const size_t steps = left / active, piece = steps * active;

    if (!decode_steps (d, &r->lanes, active, steps, out))
      return false;
    if (d->raw) {
      rans_get (r->raw, (uint64_t) at * d->raw, low, piece, d->raw);
      for (size_t i = 0; i < piece; i++)
        out[i] = (uint16_t) (out[i] << d->raw | low[i]);
    }
    rans_put (r->stream, r->first_bit + (uint64_t) at * width, out, 1, piece, width);
    at += piece;
  }
  return true;
}

/* @active quanta from number @first on, side by side. */
static bool
decode_quanta (Reader *r, uint64_t first, unsigned active)
{
  const RansDecoder *d = r->d;
  uint16_t out[PIECE];

  for (unsigned l = 0; l < active; l++)
    r->lanes.step[l] = d->first_step;
  for (size_t at = 0; at < d->quantum;) {
    const size_t left = d->quantum - at, most = PIECE / active;
    const size_t steps = left < most ? left : most;

    if (!decode_steps (d, &r->lanes, active, steps, out))
      return false;
    for (unsigned l = 0; l < active; l++)
      rans_put (r->stream, r->first_bit + ((first + l) * d->quantum + at) * d->bits, out + l,
                active, steps, d->bits);
    at += steps;
  }
  return true;
}

bool
rans_decode (const RansDecoder *self, const uint8_t *in, size_t n_in, size_t n, uint8_t *stream,
             uint64_t first_bit)
{
  const size_t heads = 4 * (size_t) self->lanes,
               raw = (n / 8) * self->raw + (n % 8 * self->raw + 7) / 8;
  Reader r = { .d = self, .stream = stream, .first_bit = first_bit };

  if (n_in < heads + raw || (n_in - heads - raw) % 2)
    return false;
  r.raw = in + n_in - raw;
  r.lanes.in = in + heads;
  r.lanes.end = r.raw;
  for (unsigned l = 0; l < self->lanes; l++) {
    r.lanes.state[l] = rans_load16 (in + 4 * l) | rans_load16 (in + 4 * l + 2) << 16;
    if (r.lanes.state[l] < RANS_LOWEST)
      return false;
  }
  if (!self->steps) {
    if (!decode_plain (&r, n))
      return false;
  } else {
    for (size_t q = 0; q < n / self->quantum; q += self->lanes) {
      const size_t left = n / self->quantum - q;
      if (!decode_quanta (&r, q, left < self->lanes ? (unsigned) left : self->lanes))
        return false;
    }
  }
  for (unsigned l = 0; l < self->lanes; l++)
    if (r.lanes.state[l] != RANS_LOWEST)
      return false;
  return r.lanes.in == r.lanes.end;
}
