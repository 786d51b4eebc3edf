/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rans-table-kernel.h"

#include <string.h>

/* --- costs -------------------------------------------------------------------------------------------------------- */

static unsigned
bit_length (uint32_t x)
{
  return x ? 32 - (unsigned) __builtin_clz (x) : 0;
}

void
rans_log_init (RansLog *self)
{
  for (unsigned i = 0; i <= 256; i++) {
    uint64_t x = (uint64_t) (256 + i) << 23; /* in units of 2^-31: 1..2 */
    uint32_t log = 0;

    for (unsigned bit = 0; bit < 17; bit++) {
      const bool two = x >> 32 != 0;
      log = log << 1 | two;
      x >>= two;
      x = x * x >> 31;
    }
    self->at[i] = log;
  }
}

uint32_t
rans_log (const RansLog *self, uint32_t x)
{
  const unsigned e = bit_length (x) - 1;
  const uint32_t mantissa = x << (31 - e) & 0x7fffffff, i = mantissa >> 23;
  const uint64_t rise = self->at[i + 1] - self->at[i];

  return (e << 16) + self->at[i] + (uint32_t) (rise * (mantissa & 0x7fffff) >> 23);
}

uint64_t
rans_entropy (const RansLog *log, const uint32_t *counts, size_t n)
{
  uint64_t sum = 0, cost = 0;

  for (size_t i = 0; i < n; i++)
    if (counts[i]) {
      sum += counts[i];
      cost += (uint64_t) counts[i] * rans_log (log, counts[i]);
    }
  return sum ? sum * rans_log (log, (uint32_t) sum) - cost : 0;
}

uint64_t
rans_cost (const RansLog *log, const uint32_t *counts, const uint16_t *frequencies, size_t n,
           unsigned precision)
{
  uint64_t cost = 0;

  for (size_t i = 0; i < n; i++)
    if (counts[i])
      cost += (uint64_t) counts[i] * ((precision << 16) - rans_log (log, frequencies[i]));
  return cost;
}

uint64_t
rans_guess_table (size_t n_used)
{
  return ((uint64_t) n_used * 5 + 8) * RANS_COST_ONE;
}

/* --- frequencies -------------------------------------------------------------------------------------------------- */

/* Of the running sum of weights, the part that @weight brings to @total, when the weights add up to @sum. */
static uint32_t
share (uint64_t *running, uint32_t weight, uint64_t total, uint64_t sum)
{
  const uint64_t before = *running * total / sum;

  *running += weight;
  return (uint32_t) (*running * total / sum - before);
}

void
rans_normalise (const uint32_t *counts, size_t n, unsigned precision, uint16_t *frequencies)
{
  uint64_t sum = 0, total = (uint64_t) 1 << precision, running = 0, ones, taken;

  memset (frequencies, 0, n * sizeof *frequencies);
  for (size_t i = 0; i < n; i++)
    sum += counts[i];
  do { /* symbols too rare for a whole frequency get 1, which makes others rare */
    ones = taken = 0;
    for (size_t i = 0; i < n; i++)
      if (counts[i] && !frequencies[i] && counts[i] * total < sum) {
        frequencies[i] = 1;
        taken += counts[i];
        ones++;
      }
    sum -= taken;
    total -= ones;
  } while (ones);
  for (size_t i = 0; i < n; i++)
    if (counts[i] && !frequencies[i])
      frequencies[i] = (uint16_t) share (&running, counts[i], total, sum);
}

/* The frequencies of weights: every symbol that is marked as used gets 1, the rest goes in proportion. */
#define USED 0x8000u

static bool
weights_to_frequencies (uint16_t *table, size_t n, unsigned precision)
{
  uint64_t sum = 0, used = 0, running = 0;

  for (size_t i = 0; i < n; i++) {
    sum += table[i] & (USED - 1);
    used += (table[i] & USED) != 0;
  }
  if (used == 0 || used > (uint64_t) 1 << precision)
    return false;
  const uint64_t rest = ((uint64_t) 1 << precision) - used;
  for (size_t i = 0; i < n; i++)
    if (table[i] & USED) {
      const uint32_t weight = sum ? table[i] & (USED - 1) : 1;
      table[i] = (uint16_t) (1 + share (&running, weight, rest, sum ? sum : used));
    }
  return true;
}

/* --- contexts ----------------------------------------------------------------------------------------------------- */

static int64_t
cost_of_both (const RansLog *log, const uint32_t *a, const uint32_t *b, size_t n)
{
  uint64_t sum = 0, cost = 0;
  size_t used = 0;

  for (size_t i = 0; i < n; i++) {
    const uint32_t count = a[i] + (b ? b[i] : 0);
    if (!count)
      continue;
    sum += count;
    cost += (uint64_t) count * rans_log (log, count);
    used++;
  }
  return sum ? (int64_t) (sum * rans_log (log, (uint32_t) sum) - cost + rans_guess_table (used))
             : 0;
}

/* Gives @other to @keeper, and finds the costs of what that makes. @work: [i, j] costs of both, [i, i] of one. */
static void
merge_two (const RansLog *log, uint32_t *counts, unsigned n, size_t size, uint8_t *map,
           int64_t *work, unsigned keeper, unsigned other)
{
  for (size_t i = 0; i < size; i++)
    counts[keeper * size + i] += counts[other * size + i];
  for (unsigned c = 0; c < n; c++)
    if (map[c] == other)
      map[c] = (uint8_t) keeper;
  work[keeper * n + keeper] = work[keeper * n + other];
  work[other * n + other] = 0;
  for (unsigned c = 0; c < n; c++)
    if (c != keeper && work[c * n + c]) {
      const int64_t cost = cost_of_both (log, counts + keeper * size, counts + c * size, size);
      work[keeper * n + c] = work[c * n + keeper] = cost;
    }
}

static bool
find_best_pair (const int64_t *work, unsigned n, unsigned *keeper, unsigned *other)
{
  int64_t best = 0;

  for (unsigned i = 0; i < n; i++)
    for (unsigned j = i + 1; work[i * n + i] && j < n; j++) {
      if (!work[j * n + j])
        continue;
      const int64_t gain = work[i * n + i] + work[j * n + j] - work[i * n + j];
      if (gain > best) {
        best = gain;
        *keeper = i;
        *other = j;
      }
    }
  return best > 0;
}

unsigned
rans_merge (const RansLog *log, uint32_t *counts, unsigned n_contexts, unsigned bits, uint8_t *map,
            int64_t *work)
{
  const size_t size = (size_t) 1 << bits;
  const unsigned n = n_contexts;
  unsigned n_tables = 0, keeper, other;
  uint8_t name[RANS_MAX_TABLES];
  bool named[RANS_MAX_TABLES] = { false };

  for (unsigned i = 0; i < n; i++) {
    map[i] = (uint8_t) i;
    work[i * n + i] = cost_of_both (log, counts + i * size, NULL, size);
  }
  for (unsigned i = 0; i < n; i++)
    for (unsigned j = i + 1; work[i * n + i] && j < n; j++)
      if (work[j * n + j])
        work[i * n + j] = work[j * n + i] =
            cost_of_both (log, counts + i * size, counts + j * size, size);
  while (find_best_pair (work, n, &keeper, &other))
    merge_two (log, counts, n, size, map, work, keeper, other);
  for (unsigned c = 0; c < n; c++) {
    const unsigned owner = map[c];
    if (!work[owner * n + owner]) { /* never occurs */
      map[c] = c ? map[c - 1] : 0;
      continue;
    }
    if (!named[owner]) { /* owner >= n_tables: no table moves over one that is still needed */
      named[owner] = true;
      name[owner] = (uint8_t) n_tables;
      if (owner != n_tables)
        memcpy (counts + n_tables * size, counts + owner * size, size * sizeof *counts);
      n_tables++;
    }
    map[c] = name[owner];
  }
  return n_tables ? n_tables : 1;
}

/* --- a binary coder that adapts ----------------------------------------------------------------------------------- */

typedef struct {
  uint16_t p; /* that the bit is set, in 1/65536 */
  uint8_t seen;
} Bit;

enum { SEEN_MOST = 60, P_LEAST = 32 };

typedef struct {
  uint32_t low, high, value; /* value: of the reader */
  const uint8_t *in;
  uint8_t *out;
  size_t at, n;
  bool writes;
} Coder;

static uint8_t
next_byte (Coder *c)
{
  const uint8_t byte = c->at < c->n ? c->in[c->at] : 0;

  c->at++;
  return byte;
}

static void
put_byte (Coder *c, uint8_t byte)
{
  if (c->at < c->n)
    c->out[c->at] = byte;
  c->at++;
}

/* Writes @bit, or reads and returns it. @p: that it is set. */
static bool
code (Coder *c, uint32_t p, bool bit)
{
  const uint32_t middle = c->low + (uint32_t) ((uint64_t) (c->high - c->low) * p >> 16);

  if (!c->writes)
    bit = c->value <= middle;
  if (bit)
    c->high = middle;
  else
    c->low = middle + 1;
  while ((c->low ^ c->high) >> 24 == 0) {
    if (c->writes)
      put_byte (c, (uint8_t) (c->high >> 24));
    else
      c->value = c->value << 8 | next_byte (c);
    c->low <<= 8;
    c->high = c->high << 8 | 0xff;
  }
  return bit;
}

static bool
code_bit (Coder *c, Bit *model, bool bit)
{
  bit = code (c, model->p, bit);
  const int32_t target = bit ? 65536 - P_LEAST : P_LEAST;
  const int32_t step = (target - model->p) * 2 / (2 * model->seen + 3);

  model->p = (uint16_t) (model->p + step);
  if (model->seen < SEEN_MOST)
    model->seen++;
  return bit;
}

/* @n plain bits, the highest first. */
static uint32_t
code_plain (Coder *c, unsigned n, uint32_t bits)
{
  uint32_t got = 0;

  while (n-- > 0)
    got = got << 1 | code (c, 1 << 15, bits >> n & 1);
  return got;
}

static void
start_reader (Coder *c)
{
  for (unsigned i = 0; i < 4; i++)
    c->value = c->value << 8 | next_byte (c);
}

/* One more byte says all; zeros at the end are left out, for the reader reads zeros there. */
static size_t
end_writer (Coder *c)
{
  put_byte (c, (uint8_t) (c->high >> 24));
  if (c->at > c->n)
    return 0;
  while (c->at > 1 && c->out[c->at - 1] == 0)
    c->at--;
  return c->at;
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

#define MAX_TOKEN 16 /* 0 not used, 1 weight 0, 1 + k a weight of k bits */

typedef struct {
  Bit same[3][2], up[3], further[2][4]; /* of a token, beside the one before it */
  Bit same_table, new_table;            /* of the map */
} Models;

static void
init_models (Models *m)
{
  Bit *all = (Bit *) m;

  for (size_t i = 0; i < sizeof *m / sizeof *all; i++)
    all[i] = (Bit){ 1 << 15, 0 };
}

/* Returns the token; a reader gets MAX_TOKEN + 1 if there is no such token. */
static unsigned
code_token (Coder *c, Models *m, unsigned before, unsigned *direction, unsigned token)
{
  const unsigned was = *direction;

  if (code_bit (c, &m->same[was][before == 0], token == before)) {
    *direction = 0;
    return before;
  }
  const bool up = before == 0 || (before < MAX_TOKEN && code_bit (c, &m->up[was], token > before));
  unsigned distance = 1;
  const unsigned most = up ? MAX_TOKEN - before : before;
  const unsigned wanted = up ? token - before : before - token;
  while (distance < most &&
         code_bit (c, &m->further[up][distance < 4 ? distance - 1 : 3], distance < wanted))
    distance++;
  *direction = up ? 1 : 2;
  return up ? before + distance : before - distance;
}

/* @entry: a weight, marked as used, or 0. Returns what the reader has. */
static uint16_t
code_weight (Coder *c, Models *m, unsigned digits, unsigned *before, unsigned *direction,
             uint16_t entry)
{
  uint32_t weight = entry & (USED - 1);
  unsigned k = bit_length (weight);

  if (k > digits + 1) { /* to the nearest that has so many digits */
    weight += (uint32_t) 1 << (k - digits - 2);
    k = bit_length (weight);
  }
  if (k > 15) {
    k = 15;
    weight = USED - 1;
  }
  *before = code_token (c, m, *before, direction, entry ? 1 + k : 0);
  if (*before == 0)
    return 0;
  k = *before - 1;
  if (k < 2)
    return (uint16_t) (USED | k);
  const unsigned kept = k - 1 < digits ? k - 1 : digits, lost = k - 1 - kept;
  const uint32_t mantissa = code_plain (c, kept, weight >> lost);
  return (uint16_t) (USED | 1u << (k - 1) | mantissa << lost);
}

static void
code_tables (Coder *c, Models *m, RansTables *t)
{
  const size_t size = (size_t) 1 << t->bits;

  for (unsigned i = 0; i < t->n_tables; i++) {
    unsigned before = 0, direction = 0;
    for (size_t s = 0; s < size; s++) {
      uint16_t *entry = t->frequencies + i * size + s;
      *entry = code_weight (c, m, t->digits, &before, &direction, *entry);
    }
  }
}

/* The table of each context: that of the one before it, a new one, or any. Returns the number of tables; beyond @most: wrong. */
static unsigned
code_map (Coder *c, Models *m, RansTables *t, unsigned most)
{
  unsigned n = 1;

  for (unsigned i = 0; i < t->n_contexts && n <= most; i++) {
    if (i == 0 || code_bit (c, &m->same_table, t->map[i] == t->map[i - 1])) {
      t->map[i] = i ? t->map[i - 1] : 0;
    } else if (code_bit (c, &m->new_table, t->map[i] == n)) {
      t->map[i] = (uint8_t) n++;
    } else {
      const uint32_t index = code_plain (c, bit_length (n - 1), t->map[i]);
      if (index >= n)
        return most + 1;
      t->map[i] = (uint8_t) index;
    }
  }
  return n;
}

static bool
finish_tables (RansTables *t)
{
  const size_t size = (size_t) 1 << t->bits;

  for (unsigned i = 0; i < t->n_tables; i++)
    if (!weights_to_frequencies (t->frequencies + i * size, size, t->precision))
      return false;
  return true;
}

size_t
rans_write_tables (RansTables *t, uint8_t *out, size_t capacity)
{
  Coder c = { .high = UINT32_MAX, .out = out, .n = capacity, .writes = true };
  Models m;

  for (size_t i = 0; i < (size_t) t->n_tables << t->bits; i++)
    if (t->frequencies[i])
      t->frequencies[i] = (uint16_t) (USED | (t->frequencies[i] - 1));
  init_models (&m);
  code_map (&c, &m, t, RANS_MAX_TABLES);
  code_tables (&c, &m, t);
  finish_tables (t);
  return end_writer (&c);
}

bool
rans_read_tables (RansTables *t, const uint8_t *in, size_t n, unsigned max_tables)
{
  Coder c = { .high = UINT32_MAX, .in = in, .n = n };
  Models m;

  init_models (&m);
  start_reader (&c);
  t->n_tables = code_map (&c, &m, t, max_tables);
  if (t->n_tables > max_tables)
    return false;
  code_tables (&c, &m, t);
  return c.at >= n + 3 && finish_tables (t);
}
