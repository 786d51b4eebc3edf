/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * What has to be known of a language model beside its weights. Llama and its kin: RMS norms, rotary positions, grouped-query
 * attention, SwiGLU. Weights are taken as they are, and activations are not rounded, as some code for BitNet does.
 */

/* How a format calls the tensors; see afp_lm_tensor_name(). */
typedef enum { AFP_LM_NAMES_LLAMA2C, AFP_LM_NAMES_HF, AFP_LM_NAMES_GGUF } AfpLmNames;

/* Scaling of rotary positions for long contexts. */
typedef enum { AFP_LM_ROPE_PLAIN, AFP_LM_ROPE_LINEAR, AFP_LM_ROPE_LLAMA3 } AfpLmRope;

/* Of the gate: x / (1 + exp (-x)); max (x, 0)^2. */
typedef enum { AFP_LM_SILU, AFP_LM_RELU2 } AfpLmActivation;

typedef struct {
  AfpLmNames names;
  char architecture[32];
  AfpLmActivation activation;
  guint dim, hidden, n_layers, n_heads, n_kv_heads, head_dim;
  guint vocab, context;
  float norm_eps;
  double rope_base;
  AfpLmRope rope;
  double rope_factor, rope_low,
      rope_high;        /* linear: factor; llama3: factor, low_freq_factor, high_freq_factor */
  guint rope_context;   /* llama3: original_max_position_embeddings */
  gboolean interleaved; /* rotary pairs are neighbours */
  gboolean rope_tensor; /* a tensor holds what the rotary angles are divided by */
  gboolean tied;        /* the classifier is the embedding */
  gboolean biases;      /* of q, k, v (Qwen2) */
  gboolean output_bias; /* of o */
  gboolean head_norms;  /* norms of each head of q and k (Qwen3) */
  gboolean sub_norms;   /* norms of what goes into o and down (BitNet) */
  guint window;         /* a token sees so many, itself among them; 0: all before it */
  guint bos, eos;       /* G_MAXUINT: none */
} AfpLmConfig;

/* The header of a llama2.c checkpoint (version 0): seven int32. */
gboolean
afp_lm_config_from_llama2c (const guint8 *head, gsize n, AfpLmConfig *config, GError **error);
/* A config.json in the Hugging Face layout; AFP_ERROR_PLAN names an architecture or setting that is not supported, and what is. */
gboolean afp_lm_config_from_json (const char *text, gsize n, AfpLmConfig *config, GError **error);

/* Rows of the model's tensor called @name (a vector: 1); 0: there is none. */
typedef guint64 (*AfpLmRows) (gpointer user_data, const char *name);
/* The metadata of a GGUF file. What they leave open is seen from the tensors, asked of @rows. Errors as above. */
gboolean afp_lm_config_from_gguf (GBytes *head, AfpLmRows rows, gpointer user_data,
                                  AfpLmConfig *config, GError **error);
/* Of the model whose tensors reach @element: what the sources upstream have with it (afp-extras.h). */
gboolean afp_lm_config_find (AfpElement *element, AfpLmConfig *config, GError **error);

/* Tensors of a model. Those of a layer come last. */
typedef enum {
  AFP_LM_EMBEDDING,
  AFP_LM_NORM,
  AFP_LM_CLASSIFIER,
  AFP_LM_ROPE_FACTORS,
  AFP_LM_ATTENTION_NORM,
  AFP_LM_Q,
  AFP_LM_K,
  AFP_LM_V,
  AFP_LM_O,
  AFP_LM_Q_BIAS,
  AFP_LM_K_BIAS,
  AFP_LM_V_BIAS,
  AFP_LM_O_BIAS,
  AFP_LM_Q_NORM,
  AFP_LM_K_NORM,
  AFP_LM_O_NORM,
  AFP_LM_FFN_NORM,
  AFP_LM_GATE,
  AFP_LM_UP,
  AFP_LM_DOWN,
  AFP_LM_DOWN_NORM,
  AFP_LM_N_TENSORS
} AfpLmTensor;

/* (transfer full) */
char *afp_lm_tensor_name (const AfpLmConfig *config, AfpLmTensor tensor, guint layer);
/* Shape as outputs x inputs; vectors are 1 x n. FALSE: this model has no such tensor. */
gboolean
afp_lm_tensor_shape (const AfpLmConfig *config, AfpLmTensor tensor, guint64 *rows, guint64 *cols);
/* head_dim / 2 angles of the rotary embedding for a step of one position. (transfer full) */
double *afp_lm_rope_angles (const AfpLmConfig *config);
