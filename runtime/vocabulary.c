/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vocabulary.h"

#include <string.h>

typedef struct {
  gsize start;
  gsize n;
} Piece;

struct _AfpVocabulary {
  GByteArray *bytes; /* of all strings */
  Piece *pieces;
  guint n;
  guint32 *slots; /* open addressing: id + 1, or 0 */
  gsize mask;
};

AfpVocabulary *
afp_vocabulary_new (guint n)
{
  AfpVocabulary *self = g_new0 (AfpVocabulary, 1);

  self->bytes = g_byte_array_new ();
  self->pieces = g_new0 (Piece, n);
  self->n = n;
  self->mask = 15;
  while (self->mask < 2 * (gsize) n)
    self->mask = 2 * self->mask + 1;
  self->slots = g_new0 (guint32, self->mask + 1);
  return self;
}

void
afp_vocabulary_free (AfpVocabulary *vocabulary)
{
  g_byte_array_unref (vocabulary->bytes);
  g_free (vocabulary->pieces);
  g_free (vocabulary->slots);
  g_free (vocabulary);
}

guint
afp_vocabulary_get_size (const AfpVocabulary *vocabulary)
{
  return vocabulary->n;
}

void
afp_vocabulary_set (AfpVocabulary *vocabulary, guint32 id, const char *bytes, gsize n)
{
  g_return_if_fail (id < vocabulary->n);
  vocabulary->pieces[id] = (Piece){ vocabulary->bytes->len, n };
  g_byte_array_append (vocabulary->bytes, (const guint8 *) bytes, (guint) n);
}

const char *
afp_vocabulary_get (const AfpVocabulary *vocabulary, guint32 id, gsize *n)
{
  g_return_val_if_fail (id < vocabulary->n, NULL);
  *n = vocabulary->pieces[id].n;
  return *n ? (const char *) vocabulary->bytes->data + vocabulary->pieces[id].start : "";
}

/* The slot of these bytes, or the free one where they belong. */
static guint32 *
find_slot (const AfpVocabulary *self, const char *bytes, gsize n)
{
  guint64 hash = G_GUINT64_CONSTANT (14695981039346656037); /* FNV-1a */

  for (gsize i = 0; i < n; i++)
    hash = (hash ^ (guchar) bytes[i]) * G_GUINT64_CONSTANT (1099511628211);
  for (gsize at = (gsize) (hash ^ hash >> 32) & self->mask;; at = (at + 1) & self->mask) {
    gsize length;
    if (self->slots[at] == 0)
      return &self->slots[at];
    const char *other = afp_vocabulary_get (self, self->slots[at] - 1, &length);
    if (length == n && memcmp (other, bytes, n) == 0)
      return &self->slots[at];
  }
}

gboolean
afp_vocabulary_enter (AfpVocabulary *vocabulary, guint32 id)
{
  gsize n;
  const char *bytes = afp_vocabulary_get (vocabulary, id, &n);
  guint32 *slot = find_slot (vocabulary, bytes, n);

  if (*slot != 0)
    return *slot == id + 1;
  *slot = id + 1;
  return TRUE;
}

guint32
afp_vocabulary_find (const AfpVocabulary *vocabulary, const char *bytes, gsize n)
{
  return *find_slot (vocabulary, bytes, n) - 1;
}
