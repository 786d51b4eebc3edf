/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* Room for what a writer learns while planning. */
typedef struct {
  gpointer data;
  GDestroyNotify free;
} AfpWriterState;

/* A small file that goes with the others. */
typedef struct {
  char *location;
  GBytes *bytes;
} AfpCompanion;

/*
 * A writer of one file format, behind the element `write`. It writes under a temporary name beside the location and
 * touches the location itself only in publish.
 */
typedef struct {
  const char *location;
  const char *template_location; /* or NULL */
  gboolean overwrite;
  guint64 max_shard;  /* bytes of arrays in a file; 0: no limit. Only for formats with list_files */
  JsonNode *metadata; /* (nullable): of the input: an object of strings */
  gboolean resume;    /* go on with what an earlier run left, and leave something to go on with */
  AfpSink *
      sink; /* (nullable): the element, to tell what it holds; extras upstream of it go into the file */
  AfpRun *run; /* for the canonical pipeline text, metrics and input fingerprints */
  GPtrArray *
      planned; /* AfpSpec: what plan_tensor was called with, in order; complete when open is called */
  AfpWriterState
      *plan_state; /* plan_tensor may keep something there from one call to the next; may be NULL */
  const GArray *
      companions; /* (nullable): of AfpCompanion: safetensors: published with its files, before them */
} AfpWriterOptions;

typedef struct {
  const char *name;              /* value of format= */
  const char *const *extensions; /* NULL-terminated, without dot */
  gboolean
      is_folder; /* the location is a folder, which need not be there, and list_files names files in it */
  gboolean (*is_result) (
      const char *
          location); /* (nullable) it can resume. Is the file there of a run that was killed after publishing it? */
  gboolean (*plan_tensor) (const AfpWriterOptions *options, AfpTensor *tensor,
                           GError **error); /* (nullable) refuse early */
  /* (nullable) when all is planned: the files that it will write and those of an earlier run that it will remove or replace; one of
   * the same name otherwise. (element-type utf8) */
  gboolean (*list_files) (const AfpWriterOptions *options, GPtrArray *written, GPtrArray *removed,
                          GError **error);
  gpointer (*open) (const AfpWriterOptions *options, GError **error);
  gboolean (*write) (gpointer writer, AfpTensor *tensor, GError **error); /* finalized */
  gboolean (*finish) (gpointer writer, GError **error); /* temporary file complete and synced */
  gboolean (*publish) (gpointer writer, guint64 *file_bytes, GError **error);
  AfpTensor *(*read_held) (gpointer writer, const char *name,
                           GError **error);      /* (nullable) told by afp_sink_hold() */
  guint64 (*get_extras_bytes) (gpointer writer); /* (nullable) bytes of the file that are extras */
  void (*close) (gpointer writer, gboolean ok);  /* removes what is left unless published */
} AfpWriter;

extern const AfpWriter afp_writer_afp;         /* our HDF5 file */
extern const AfpWriter afp_writer_safetensors; /* decoded tensors */
extern const AfpWriter afp_writer_vptq;        /* a folder for the Python package vptq */
extern const AfpWriter afp_writer_keras;       /* template=ORIGINAL.h5 with decoded weights */
