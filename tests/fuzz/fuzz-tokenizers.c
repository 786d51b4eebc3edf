/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include "../tokenizer-test.h"

#define MEGABYTE (G_GUINT64_CONSTANT (1) << 20)
#define MAX_TEXT 2000 /* bytes of the input that are encoded */

static void
encode (const AfpTokenizer *tokenizer, const char *text, gsize n)
{
  g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, text, n);
  gsize length;

  for (guint i = 0; i < ids->len; i++) {
    const guint32 id = g_array_index (ids, guint32, i);
    if (id >= afp_tokenizer_get_size (tokenizer))
      fuzz_fail ("id %u of %u", id, afp_tokenizer_get_size (tokenizer));
    if (!afp_tokenizer_get_piece (tokenizer, id, &length))
      fuzz_fail ("token %u has no piece", id);
  }
}

/* What was read takes any text: odd ones, and the file itself. */
static void
check_tokenizer (AfpTokenizer *tokenizer, const guint8 *bytes, gsize n, GError *error)
{
  static const char text[] = " It's  12345 <s>a b</s>\r\n\t\n \xe2\x96\x81 \xe2\x96\x81x e\xcc\x81 "
                             "\xf0\x9f\x98\x80\xff\xe2\x82 \0<|end|>  ";

  if (!tokenizer) {
    fuzz_check_error (&error);
    return;
  }
  encode (tokenizer, text, sizeof text - 1);
  encode (tokenizer, (const char *) bytes, MIN (n, MAX_TEXT));
  if (afp_tokenizer_adds_bos (tokenizer) &&
      afp_tokenizer_get_bos (tokenizer) >= afp_tokenizer_get_size (tokenizer))
    fuzz_fail ("texts begin with what is no token");
  afp_tokenizer_free (tokenizer);
}

static void
run_json (const guint8 *bytes, gsize n)
{
  g_autoptr (GBytes) file = g_bytes_new_static (bytes, n);
  GError *error = NULL;
  AfpTokenizer *tokenizer = afp_tokenizer_new_json (file, &error);

  check_tokenizer (tokenizer, bytes, n, error);
}

static void
run_gguf (const guint8 *bytes, gsize n)
{
  g_autoptr (GBytes) file = g_bytes_new_static (bytes, n);
  GError *error = NULL;
  AfpTokenizer *tokenizer = afp_tokenizer_new_gguf (file, &error);

  check_tokenizer (tokenizer, bytes, n, error);
}

static void
run_llama2c (const guint8 *bytes, gsize n)
{
  g_autoptr (GBytes) file = g_bytes_new_static (bytes, n);
  GError *error = NULL;
  AfpTokenizer *tokenizer = afp_tokenizer_new_llama2c (file, TEST_VOCAB, &error);

  check_tokenizer (tokenizer, bytes, n, error);
}

/* A file may number up to 65536 tokens more than it has. */
const FuzzRecord fuzz_tokenizer_json = {
  "tokenizer-json", "tokenizer.json: read, and texts encoded", run_json, NULL, 16 * MEGABYTE, 1024
};
const FuzzRecord fuzz_tokenizer_gguf = {
  "tokenizer-gguf", "the tokenizer in the head of a GGUF file", run_gguf, NULL, 4 * MEGABYTE, 1024
};
const FuzzRecord fuzz_tokenizer_llama2c = { "tokenizer-llama2c", "tokenizer.bin of llama2.c",
                                            run_llama2c,         NULL,
                                            4 * MEGABYTE,        64 };
