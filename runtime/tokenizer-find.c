/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tokenizer-private.h"

#include <string.h>

static AfpTokenizer *
read_llama2c (GBytes *bytes, const AfpLmConfig *config, GError **error)
{
  return afp_tokenizer_new_llama2c (bytes, config->vocab, error);
}

static AfpTokenizer *
read_json (GBytes *bytes, const AfpLmConfig *config, GError **error)
{
  return afp_tokenizer_new_json (bytes, error);
}

static AfpTokenizer *
read_gguf (GBytes *bytes, const AfpLmConfig *config, GError **error)
{
  return afp_tokenizer_new_gguf (bytes, error);
}

/* The first that is there counts. */
static const struct {
  const char *extra;
  AfpTokenizer *(*read) (GBytes *bytes, const AfpLmConfig *config, GError **error);
} kinds[] = {
  { AFP_EXTRA_TOKENIZER, read_json },
  { AFP_EXTRA_LLAMA2C_TOKENIZER, read_llama2c },
  { AFP_EXTRA_GGUF_METADATA, read_gguf },
};

/* The model says which tokens begin and end a text where the tokenizer does not; it may have more tokens than are used, not fewer. */
static gboolean
fit (AfpTokenizer *self, const AfpLmConfig *config, GError **error)
{
  if (afp_tokenizer_get_size (self) > config->vocab) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "the tokenizer has %u tokens, the model's vocabulary %u: is it the one of this "
                 "model?",
                 afp_tokenizer_get_size (self), config->vocab);
    return FALSE;
  }
  if (self->bos == AFP_TOKEN_NONE && config->bos < config->vocab)
    self->bos = config->bos;
  if (self->eos == AFP_TOKEN_NONE && config->eos < config->vocab)
    self->eos = config->eos;
  return TRUE;
}

/**
 * afp_tokenizer_find:
 * @element: an element that is linked; the sources upstream are open
 * @config: the model's
 * @error: %AFP_ERROR_PLAN: there is none, or it is not supported; %AFP_ERROR_FORMAT: it is damaged or another model's
 *
 * Of the extras upstream: `tokenizer.json`, `llama2c.tokenizer`, `gguf.metadata`, in this order.
 *
 * Returns: (transfer full): the tokenizer
 */
AfpTokenizer *
afp_tokenizer_find (AfpElement *element, const AfpLmConfig *config, GError **error)
{
  g_auto (GStrv) there = afp_element_list_extras (element);

  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++) {
    if (!g_strv_contains ((const char *const *) there, kinds[i].extra))
      continue;
    g_autoptr (GBytes) bytes = afp_element_read_extra (element, kinds[i].extra, error);
    g_autoptr (AfpTokenizer) self = bytes ? kinds[i].read (bytes, config, error) : NULL;
    return self && fit (self, config, error) ? g_steal_pointer (&self) : NULL;
  }
  g_autofree char *list = g_strjoinv (", ", there);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "%s: no model upstream has a tokenizer ('%s', '%s' or '%s'); there is %s. Name the "
               "model's own: load location=MODEL tokenizer=FILE",
               afp_element_get_name (element), kinds[0].extra, kinds[1].extra, kinds[2].extra,
               *list ? list : "nothing");
  return NULL;
}
