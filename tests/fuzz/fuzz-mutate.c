/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <string.h>

/*
 * Mutations without feedback: the same for the same record, seeds and number, on every machine. Each is a seed with one to eight changes;
 * then, half the time, the record mends what would be found out at once.
 */
#define MAX_BYTES (256u << 10)

guint64
fuzz_random (FuzzRandom *random)
{
  guint64 x = random->state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  x = (x ^ (x >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return x ^ (x >> 31);
}

guint64
fuzz_below (FuzzRandom *random, guint64 n)
{
  return n ? fuzz_random (random) % n : 0;
}

typedef struct {
  FuzzRandom *random;
  GByteArray *bytes;
  const guint8 *other; /* another seed */
  gsize n_other;
} Mutation;

/* A place, more often near the front, where headers are; 0 in an empty input. */
static gsize
place (Mutation *m)
{
  const gsize n = m->bytes->len;

  return fuzz_below (m->random, fuzz_below (m->random, 3) ? n : MIN (n, 128));
}

static void
replace (Mutation *m, gsize at, gsize n_old, const void *with, gsize n_new)
{
  g_autoptr (GByteArray) tail = g_byte_array_new ();

  at = MIN (at, m->bytes->len);
  n_old = MIN (n_old, m->bytes->len - at);
  if (at + n_old < m->bytes->len)
    g_byte_array_append (tail, m->bytes->data + at + n_old, (guint) (m->bytes->len - at - n_old));
  g_byte_array_set_size (m->bytes, (guint) at);
  if (n_new > 0)
    g_byte_array_append (m->bytes, with, (guint) n_new);
  if (tail->len > 0)
    g_byte_array_append (m->bytes, tail->data, tail->len);
}

static void
flip_bit (Mutation *m)
{
  if (m->bytes->len)
    m->bytes->data[place (m)] ^= (guint8) (1 << fuzz_below (m->random, 8));
}

static void
set_byte (Mutation *m)
{
  static const char odd[] = "\0\xff\x80\x7f\x01 !\"#'(),-./0129:;=@AZ[\\]^_`az{|}~\n\t$";

  if (m->bytes->len)
    m->bytes->data[place (m)] = fuzz_below (m->random, 2)
                                    ? (guint8) odd[fuzz_below (m->random, sizeof odd - 1)]
                                    : (guint8) fuzz_random (m->random);
}

/* Numbers where something tends to happen. */
static guint64
edge (Mutation *m)
{
  const guint64 n = m->bytes->len;
  const guint64 numbers[] = { 0,
                              1,
                              2,
                              3,
                              7,
                              n,
                              n - 1,
                              n + 1,
                              n * 8,
                              G_MAXUINT64,
                              G_MAXINT64,
                              G_MAXUINT32,
                              G_MAXINT32,
                              G_MAXUINT16,
                              G_MAXUINT8,
                              G_GUINT64_CONSTANT (1) << fuzz_below (m->random, 64),
                              (G_GUINT64_CONSTANT (1) << fuzz_below (m->random, 64)) - 1,
                              -(G_GUINT64_CONSTANT (1) << fuzz_below (m->random, 64)),
                              fuzz_random (m->random) };

  return numbers[fuzz_below (m->random, G_N_ELEMENTS (numbers))];
}

/* A little-endian integer of 1, 2, 4 or 8 bytes becomes an odd one, or one nearby. */
static void
set_integer (Mutation *m)
{
  const gsize size = (gsize) 1 << fuzz_below (m->random, 4), at = place (m);
  guint64 value = 0;

  if (at + size > m->bytes->len)
    return;
  memcpy (&value, m->bytes->data + at, size);
  if (fuzz_below (m->random, 3))
    value = GUINT64_TO_LE (edge (m));
  else
    value += fuzz_below (m->random, 33) - 16;
  memcpy (m->bytes->data + at, &value, size);
}

/* The same for digits. */
static void
set_decimal (Mutation *m)
{
  gsize at = place (m), end;

  while (at < m->bytes->len && !g_ascii_isdigit (m->bytes->data[at]))
    at++;
  while (at > 0 && at < m->bytes->len && g_ascii_isdigit (m->bytes->data[at - 1]))
    at--;
  for (end = at; end < m->bytes->len && g_ascii_isdigit (m->bytes->data[end]); end++)
    ;
  if (end == at)
    return;
  g_autofree char *digits = g_strndup ((char *) m->bytes->data + at, end - at);
  const guint64 old = g_ascii_strtoull (digits, NULL, 10);
  const guint64 numbers[] = { edge (m), fuzz_below (m->random, 70), old + 1, old - 1,
                              old * fuzz_below (m->random, 20) };
  g_autofree char *text =
      g_strdup_printf ("%s%" G_GUINT64_FORMAT "%s", fuzz_below (m->random, 12) ? "" : "-",
                       numbers[fuzz_below (m->random, G_N_ELEMENTS (numbers))],
                       fuzz_below (m->random, 20) ? "" : "e9");
  replace (m, at, end - at, text, strlen (text));
}

static void
cut_off (Mutation *m)
{
  g_byte_array_set_size (m->bytes, (guint) fuzz_below (m->random, m->bytes->len + 1));
}

static void
delete_range (Mutation *m)
{
  replace (m, place (m), 1 + fuzz_below (m->random, fuzz_below (m->random, 4) ? 8 : 256), NULL, 0);
}

/* A range of this input or of another seed, somewhere else: inserted, or over what is there. */
static void
copy_range (Mutation *m)
{
  const gboolean from_other = fuzz_below (m->random, 2) && m->n_other;
  const guint8 *source = from_other ? m->other : m->bytes->data;
  const gsize n_source = from_other ? m->n_other : m->bytes->len;
  const gsize from = fuzz_below (m->random, n_source);
  const gsize wanted = 1 + fuzz_below (m->random, 64), n = MIN (n_source - from, wanted);
  g_autofree guint8 *copy = n ? g_memdup2 (source + from, n) : NULL;

  replace (m, place (m), fuzz_below (m->random, 2) ? n : 0, copy, n);
}

static gboolean
is_word (guint8 c)
{
  return g_ascii_isalnum (c) || c == '-' || c == '_' || c == '.';
}

/* One of the words of another seed in place of a word. */
static void
copy_word (Mutation *m)
{
  gsize from = fuzz_below (m->random, m->n_other), at = place (m), n = 0, n_old = 0;

  while (from > 0 && is_word (m->other[from - 1]))
    from--;
  while (from + n < m->n_other && is_word (m->other[from + n]) && n < 64)
    n++;
  while (at > 0 && is_word (m->bytes->data[at - 1]))
    at--;
  while (at + n_old < m->bytes->len && is_word (m->bytes->data[at + n_old]) && n_old < 64)
    n_old++;
  if (n > 0)
    replace (m, at, n_old, m->other + from, n);
}

/* A byte, or a short range, many times. */
static void
repeat (Mutation *m)
{
  const gsize at = place (m), wanted = 1 + fuzz_below (m->random, 4);
  const gsize n = MIN (m->bytes->len - at, wanted);
  const gsize times = 1 + fuzz_below (m->random, fuzz_below (m->random, 8) ? 8 : 2000);
  g_autoptr (GByteArray) all = g_byte_array_new ();

  for (gsize i = 0; n > 0 && i < times; i++)
    g_byte_array_append (all, m->bytes->data + at, (guint) n);
  replace (m, at, 0, all->data, all->len);
}

/* The front of this one and the back of another. */
static void
splice (Mutation *m)
{
  const gsize from = fuzz_below (m->random, m->n_other + 1);

  if (m->n_other > 0)
    replace (m, place (m), m->bytes->len, m->other + from, m->n_other - from);
}

GBytes *
fuzz_mutate (const FuzzRecord *record, const GPtrArray *seeds, guint64 index)
{
  static void (*const changes[]) (
      Mutation *) = { flip_bit,    flip_bit,    set_byte, set_byte,     set_integer, set_integer,
                      set_decimal, set_decimal, cut_off,  delete_range, copy_range,  copy_range,
                      copy_word,   copy_word,   repeat,   splice };
  FuzzRandom random = { g_str_hash (record->name) ^ (index << 32) };
  const GBytes *seed = seeds->pdata[fuzz_below (&random, seeds->len)];
  Mutation m = { .random = &random, .bytes = g_byte_array_new () };
  gsize n;

  fuzz_random (&random);
  m.other = g_bytes_get_data (seeds->pdata[fuzz_below (&random, seeds->len)], &m.n_other);
  const guint8 *data = g_bytes_get_data ((GBytes *) seed, &n);
  if (n > 0)
    g_byte_array_append (m.bytes, data, (guint) n);
  for (guint left = 1 + (guint) fuzz_below (&random, fuzz_below (&random, 3) ? 3 : 8); left > 0;
       left--)
    changes[fuzz_below (&random, G_N_ELEMENTS (changes))](&m);
  if (m.bytes->len > MAX_BYTES)
    g_byte_array_set_size (m.bytes, MAX_BYTES);
  if (record->mend && fuzz_below (&random, 2))
    record->mend (m.bytes);
  return g_byte_array_free_to_bytes (m.bytes);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

GPtrArray *
fuzz_load (const char *folder, const char *record, GPtrArray **names)
{
  const char *top = g_getenv ("AFP_TEST_SRCDIR");
  g_autofree char *path = g_build_filename (top ? top : ".", "tests", "fuzz", folder, record, NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  GPtrArray *found = g_ptr_array_new_with_free_func (g_free);
  GPtrArray *files = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  const char *name;

  while (dir && (name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (found, g_strdup (name));
  g_ptr_array_sort (found, compare_names);
  for (guint i = 0; i < found->len; i++) {
    g_autofree char *file = g_build_filename (path, found->pdata[i], NULL);
    char *bytes = NULL;
    gsize n = 0;
    if (!g_file_get_contents (file, &bytes, &n, NULL))
      g_error ("cannot read '%s'", file);
    g_ptr_array_add (files, g_bytes_new_take (bytes, n));
  }
  if (names)
    *names = found;
  else
    g_ptr_array_unref (found);
  return files;
}
