/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * A reader of one file format, behind the element `load`. Chosen by content, never by file name.
 */
typedef struct {
  const char *location;
  gboolean verify;       /* check checksums where the format has them */
  gboolean skip_missing; /* our own files: leave out tensors whose codec is not installed */
} AfpReaderOptions;

typedef struct {
  const char *name; /* "safetensors" */
  const char *blurb;
  /* @head: the first bytes of the file (n may be small); @path may be a folder for some formats */
  gboolean (*sniff) (const char *path, const guint8 *head, gsize n, guint64 file_size);
  gpointer (*open) (const AfpReaderOptions *options, GError **error); /* headers only */
  void (*close) (gpointer reader);
  gsize (*get_n_tensors) (gpointer reader);
  AfpTensor *(*plan_tensor) (gpointer reader, gsize index, GError **error);
  AfpTensor *(*read_tensor) (gpointer reader, gsize index, GError **error);
  guint64 (*tensor_memory) (gpointer reader,
                            gsize index); /* (nullable) as of AfpSourceClass; NULL: all is mapped */
  JsonNode *(*get_info) (gpointer reader);    /* (nullable) object: "format", "notes": [..] ... */
  char *(*get_fingerprint) (gpointer reader); /* (nullable) */
  char **(*list_extras) (gpointer reader);    /* (nullable) names, see afp-extras.h */
  GBytes *(*read_extra) (gpointer reader, const char *name, GError **error); /* one of the list */
} AfpReader;

extern const AfpReader afp_reader_safetensors; /* one file, or an index.json with its shards */
extern const AfpReader afp_reader_vptq;    /* the same, quantized by VPTQ, with its config.json */
extern const AfpReader afp_reader_keras;   /* Keras .h5 and other HDF5 */
extern const AfpReader afp_reader_afp;     /* our own files */
extern const AfpReader afp_reader_gguf;    /* GGUF */
extern const AfpReader afp_reader_llama2c; /* llama2.c .bin */
extern const AfpReader afp_reader_numpy;   /* NumPy .npy and .npz */
