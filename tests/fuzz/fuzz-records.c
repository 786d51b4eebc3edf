/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <string.h>

/* All parsers of bytes that nobody vouches for. */
const FuzzRecord *const fuzz_records[] = {
  &fuzz_safetensors,
  &fuzz_safetensors_index,
  &fuzz_vptq,
  &fuzz_llama2c,
  &fuzz_gguf,
  &fuzz_numpy,
  &fuzz_keras,
  &fuzz_keras_listing,
  &fuzz_afp,
  &fuzz_tables,
  &fuzz_decode,
  &fuzz_recipe,
  &fuzz_params,
  &fuzz_pipeline,
  &fuzz_study,
  &fuzz_rules,
  &fuzz_caps,
  &fuzz_json,
  &fuzz_tasks,
  &fuzz_lm_config,
  &fuzz_tokenizer_json,
  &fuzz_tokenizer_gguf,
  &fuzz_tokenizer_llama2c,
  &fuzz_images,
  &fuzz_keras_net,
  &fuzz_journal,
  &fuzz_moments,
  NULL,
};

const FuzzRecord *
fuzz_find (const char *name)
{
  for (guint i = 0; fuzz_records[i]; i++)
    if (strcmp (fuzz_records[i]->name, name) == 0)
      return fuzz_records[i];
  return NULL;
}
