/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A tiny language model on disk, in the formats of llama2.c: m.bin, its tokenizer t.bin, and a text text.txt. */
#pragma once

#include "io-test.h"

#include <string.h>

#define TINY_DIM 32
#define TINY_HIDDEN 48
#define TINY_LAYERS 2
#define TINY_HEADS 4
#define TINY_KV_HEADS 2
#define TINY_VOCAB 300
#define TINY_CONTEXT 64
#define TINY_HEAD_DIM (TINY_DIM / TINY_HEADS)
#define TINY_KV_DIM (TINY_KV_HEADS * TINY_HEAD_DIM)

/* "@" stands for the folder of the test, see eval-run-test.h. */
#define TINY_LOAD "load location=@/m.bin tokenizer=@/t.bin"

#define TINY_TEXT                                                                               \
  "once upon a time there was a little boat. the boat was on the river, and the river ran to "  \
  "the sea. one day the rain came down. it rained and rained until the river was as wide as a " \
  "lake. the little boat said: now i can see the whole land! and away it went.\n"               \
  "a bird sat on the mast. where are you going? asked the bird. i do not know, said the boat, " \
  "but the water knows. so they went on together, the boat and the bird, and the sun came out.\n"

static inline void
tiny_put_int (GByteArray *file, gint32 value)
{
  const guint32 word = GUINT32_TO_LE ((guint32) value);

  g_byte_array_append (file, (const guint8 *) &word, 4);
}

static inline void
tiny_put_float (GByteArray *file, double value)
{
  const float number = (float) value;
  gint32 bits;

  memcpy (&bits, &number, 4);
  tiny_put_int (file, bits);
}

/* @n numbers around @mean: sums of three evenly spread ones. */
static inline void
tiny_put_floats (GByteArray *file, GRand *random, gsize n, double mean, double spread)
{
  for (gsize i = 0; i < n; i++) {
    double sum = 0;
    for (guint j = 0; j < 3; j++)
      sum += g_rand_double_range (random, -1, 1);
    tiny_put_float (file, mean + spread * sum);
  }
}

/* The checkpoint, as plugins/io/reader-llama2c.c reads it. (transfer full) */
static inline GBytes *
tiny_lm_model (guint32 seed)
{
  const gint32 head[] = { TINY_DIM,      TINY_HIDDEN, TINY_LAYERS, TINY_HEADS,
                          TINY_KV_HEADS, TINY_VOCAB,  TINY_CONTEXT };
  static const gsize kinds[] = { TINY_DIM, /* attention norms */
                                 TINY_DIM * TINY_DIM,
                                 TINY_DIM * TINY_KV_DIM,
                                 TINY_DIM * TINY_KV_DIM,
                                 TINY_DIM * TINY_DIM,
                                 TINY_DIM, /* feed-forward norms */
                                 TINY_HIDDEN * TINY_DIM,
                                 TINY_HIDDEN * TINY_DIM,
                                 TINY_HIDDEN * TINY_DIM };
  GByteArray *file = g_byte_array_new ();
  GRand *random = g_rand_new_with_seed (seed);

  for (guint i = 0; i < G_N_ELEMENTS (head); i++)
    tiny_put_int (file, head[i]);
  tiny_put_floats (file, random, TINY_VOCAB * TINY_DIM, 0, 0.3);
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    tiny_put_floats (file, random, TINY_LAYERS * kinds[i], kinds[i] == TINY_DIM, 0.15);
  tiny_put_floats (file, random, TINY_DIM, 1, 0.15);
  for (guint i = 0; i < TINY_CONTEXT * TINY_HEAD_DIM;
       i++) /* the rotary tables: nobody reads them */
    tiny_put_float (file, 0);
  g_rand_free (random);
  return g_byte_array_free_to_bytes (file);
}

static inline void
tiny_put_piece (GByteArray *file, double score, const char *piece)
{
  tiny_put_float (file, score);
  tiny_put_int (file, (gint32) strlen (piece));
  g_byte_array_append (file, (const guint8 *) piece, (guint) strlen (piece));
}

/* <unk>, <s>, </s>, 256 bytes, a blank, letters, and what they are merged into. (transfer full) */
static inline GBytes *
tiny_lm_tokenizer (void)
{
  static const char *const merged[] = { "th", "he", "in", "er",  "an",   "re",  "nd",
                                        "on", "at", "it", "the", " the", "and", "ed" };
  GByteArray *file = g_byte_array_new ();
  guint n = 3 + 256 + 1 + 26;

  tiny_put_int (file, 7);
  tiny_put_piece (file, 0, "<unk>");
  tiny_put_piece (file, 0, "<s>");
  tiny_put_piece (file, 0, "</s>");
  for (guint i = 0; i < 256; i++) {
    g_autofree char *name = g_strdup_printf ("<0x%02X>", i);
    tiny_put_piece (file, 0, name);
  }
  tiny_put_piece (file, -100, " ");
  for (char c = 'a'; c <= 'z'; c++)
    tiny_put_piece (file, -100, (const char[]){ c, '\0' });
  for (guint i = 0; i < G_N_ELEMENTS (merged); i++, n++)
    tiny_put_piece (file, -1.0 - i, merged[i]);
  ck_assert_uint_eq (n, TINY_VOCAB);
  return g_byte_array_free_to_bytes (file);
}

static inline void
tiny_put_bytes (const char *name, GBytes *bytes)
{
  g_free (put_file (name, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes)));
}

static inline void
tiny_put_text (const char *name, const char *text)
{
  g_free (put_file (name, text, strlen (text)));
}

/* Into the folder of the test: another model than that of another @seed. */
static inline void
tiny_lm_write (guint32 seed)
{
  g_autoptr (GBytes) model = tiny_lm_model (seed), tokenizer = tiny_lm_tokenizer ();

  tiny_put_bytes ("m.bin", model);
  tiny_put_bytes ("t.bin", tokenizer);
  tiny_put_text ("text.txt", TINY_TEXT);
}
