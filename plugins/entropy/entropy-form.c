/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "entropy-form.h"

#define CHUNK_BYTES 65536 /* aimed at */
#define LANE_BYTES 1024   /* coded bytes for which a lane pays */
#define ALIGNED 8         /* quanta after which a plane is at a whole byte again */

gboolean
entropy_form_init (EntropyForm *self, const AfpPlaneDesc *desc, EntropyContexts contexts)
{
  static const guint16 next[] = { 0 };
  static const guint8 context[] = { 0 };

  *self = (EntropyForm){ .contexts = contexts,
                         .n = desc->rows * desc->cols,
                         .quantum = 1,
                         .machine = { 1, 1, 0, next, context } };
  if (contexts == ENTROPY_DECLARED) {
    const AfpCodeMachine *m = desc->machine;
    if (!m || (guint64) m->n_contexts << desc->bits > ENTROPY_MAX_COUNTS)
      return FALSE;
    self->machine = (RansMachine){ m->n_states, m->n_contexts, m->bits, m->next, m->context };
    self->quantum = afp_plane_desc_get_period (desc);
  }
  return self->n > 0 && self->n <= G_MAXUINT32 && self->quantum > 0 &&
         self->quantum <= ENTROPY_MAX_QUANTUM && self->n % self->quantum == 0;
}

static guint64
count_quanta (const EntropyForm *self)
{
  return self->n / self->quantum;
}

guint64
entropy_form_get_symbols (const EntropyForm *self, guint64 c)
{
  return MIN (self->per_chunk, count_quanta (self) - c * self->per_chunk) * self->quantum;
}

void
entropy_form_set_chunks (EntropyForm *self, guint64 n_coded)
{
  const guint64 n_quanta = count_quanta (self);
  const guint64 wanted = MAX (n_coded / CHUNK_BYTES, (self->n - 1) / ENTROPY_MAX_CHUNK + 1);
  const guint64 most = ENTROPY_MAX_CHUNK / self->quantum;

  self->per_chunk = (n_quanta - 1) / wanted + 1;
  const guint64 n_bytes = n_coded / ((n_quanta - 1) / self->per_chunk + 1);
  for (self->lanes = 1; self->lanes < RANS_LANES && 2 * self->lanes <= n_bytes / LANE_BYTES &&
                        2 * self->lanes <= MIN (most, self->per_chunk);)
    self->lanes *= 2;
  /* Whole rounds of the lanes, and whole bytes of the plane. */
  guint64 unit = self->lanes;
  while (unit * self->quantum % ALIGNED)
    unit *= 2;
  if (self->per_chunk < n_quanta)
    self->per_chunk = MIN ((self->per_chunk + unit - 1) / unit * unit, most / unit * unit);
  self->per_chunk = MIN (self->per_chunk, n_quanta);
  self->n_chunks = (n_quanta - 1) / self->per_chunk + 1;
}

/* --- the head ----------------------------------------------------------------------------------------------------- */

static void
append_number (GByteArray *out, guint64 x)
{
  guint8 byte;

  for (; x >= 128; x >>= 7) {
    byte = (guint8) (x | 128);
    g_byte_array_append (out, &byte, 1);
  }
  byte = (guint8) x;
  g_byte_array_append (out, &byte, 1);
}

static gboolean
read_number (const guint8 **at, const guint8 *end, guint64 *x)
{
  *x = 0;
  for (guint shift = 0; *at < end && shift < 35; shift += 7) {
    const guint8 byte = *(*at)++;
    *x |= (guint64) (byte & 127) << shift;
    if (!(byte & 128))
      return TRUE;
  }
  return FALSE;
}

static guint
log_of (guint x)
{
  return (guint) g_bit_nth_msf (x, -1);
}

void
entropy_form_write (const EntropyForm *self, gsize n_tables_bytes, GByteArray *out)
{
  const guint8 head[] = {
    (guint8) ((self->precision - RANS_MIN_PRECISION) | log_of (self->lanes) << 2 |
              (guint) self->contexts << 5),
    (guint8) (self->digits | self->raw << 4),
  };

  g_byte_array_append (out, head, sizeof head);
  append_number (out, self->n_chunks > 1 ? self->per_chunk : 0);
  append_number (out, n_tables_bytes);
}

static gboolean
refuse (GError **error, const char *why)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "damaged head of a range-coded plane: %s", why);
  return FALSE;
}

gboolean
entropy_form_read (EntropyForm *self, const AfpPlaneDesc *desc, const guint8 **at,
                   const guint8 *end, gsize *n_tables_bytes, GError **error)
{
  guint64 per_chunk, n_tables;

  if (end - *at < 2)
    return refuse (error, "it is cut off");
  const guint first = (*at)[0], second = (*at)[1];
  *at += 2;
  if (first >> 5 >= ENTROPY_N_CONTEXTS)
    return refuse (error, "unknown contexts");
  if (!entropy_form_init (self, desc, (EntropyContexts) (first >> 5)))
    return refuse (error, "the plane has no such contexts, or is too large");
  self->precision = RANS_MIN_PRECISION + (first & 3);
  self->lanes = 1u << (first >> 2 & 7);
  self->digits = second & 15;
  self->raw = second >> 4;
  if (self->lanes > RANS_LANES || self->digits == 0)
    return refuse (error, "wrong lanes or digits");
  if (self->raw >= desc->bits || (self->raw && self->contexts != ENTROPY_PLAIN))
    return refuse (error, "too many plain bits");
  if (!read_number (at, end, &per_chunk) || !read_number (at, end, &n_tables) ||
      n_tables > (guint64) (end - *at))
    return refuse (error, "it is cut off");
  self->per_chunk = per_chunk ? per_chunk : count_quanta (self);
  self->n_chunks = (count_quanta (self) - 1) / self->per_chunk + 1;
  if (self->per_chunk > ENTROPY_MAX_CHUNK / self->quantum)
    return refuse (error, "chunks too large");
  if (self->n_chunks > 1 && self->per_chunk * self->quantum % ALIGNED)
    return refuse (error, "chunks that end within a byte");
  *n_tables_bytes = (gsize) n_tables;
  return TRUE;
}
