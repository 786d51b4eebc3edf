/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "h5-table.h"
#include "io-output.h"

/*
 * Our own file: tables in HDF5 and one payload. The format is in docs/afpipe-file.5; the limits here are stated there too.
 *   afp-file.c        the tables in memory, their check     afp-file-write.c  tables to a file
 *   h5-table.c        one table in HDF5                     afp-file-read.c   a file to tables
 *   h5-child.c        reading in a child process            afp-file-pack.c   tables as bytes, from there to here
 *   afp-file-extras.c what goes with the model
 *   afp-part.c        the payload while a run goes on       writer-afp.c, reader-afp.c: behind write and load
 *   afp-journal.c     what is in it so far                  writer-afp-about.c: where a file comes from
 */
#define AFP_FILE_VERSION 1
#define AFP_FILE_VERSION_ATTRIBUTE "afpipe_format"
#define AFP_FILE_PAYLOAD_ALIGN 64 /* of the payload in the file */
#define AFP_FILE_HEAD 4096        /* the attribute above lies in the first bytes of the file */

#define AFP_FILE_MAX_TENSORS (1u << 18)
#define AFP_FILE_MAX_PLANES (1u << 20)
#define AFP_FILE_MAX_RECIPES (1u << 15)
#define AFP_FILE_MAX_NAME 1024
#define AFP_FILE_MAX_ROLE 200
#define AFP_FILE_MAX_RECIPE 8192
#define AFP_FILE_MAX_PLUGINS 256
#define AFP_FILE_MAX_SQUEEZE 256 /* how many times larger an extra may be than what is stored */
#define AFP_FILE_MAX_TEXT AFP_H5_MAX_TEXT /* bytes of an attribute */

/* A row of /tensors. */
typedef struct {
  char *name;
  char *dtype;
  char *shape;         /* "3x3x32x64", "scalar" */
  char *view;          /* "in:3" */
  gint32 alias_of;     /* row of /tensors, or -1 */
  guint32 recipe;      /* row of /recipes */
  guint32 first_plane; /* row of /planes */
  guint32 n_planes;
} AfpFileTensor;

/* A row of /planes. */
typedef struct {
  const char *role; /* path, owned by the AfpFile: "weight/coeffs/indices" */
  guint8 bits;      /* per symbol; of an element of a raw array */
  guint64 offset;   /* in the payload */
  guint64 bytes;
  guint32 crc32;
} AfpFilePlane;

/* A row of /extras. */
typedef struct {
  char *name;
  guint64 bytes;  /* of the extra */
  guint64 stored; /* of them in the file: fewer if compressed */
  guint32 crc32;  /* of what is stored */
  GBytes *data;   /* what is stored; NULL when the file was read */
} AfpFileExtra;

/* All but the payload. */
typedef struct {
  GArray *tensors;     /* AfpFileTensor */
  GArray *planes;      /* AfpFilePlane */
  GPtrArray *recipes;  /* char* */
  GStringChunk *texts; /* roles, each once */
  char *pipeline;      /* these may be NULL */
  char *tool_version;
  char *fingerprint;
  char *metrics;
  GStrv
      plugins; /* "seedlm 0.1.0; codecs seedlm/1; license LGPL-2.1-or-later; origin https://..." */
  guint64 payload_bytes;
  guint64 payload_offset; /* in the file; 0 if the payload is empty */
  GArray *extras;         /* AfpFileExtra; stored one behind the other */
  guint64 extras_offset;  /* in the file; 0 if there are none */
  guint64
      extras_cost; /* by how much they made the file larger, tables included; after afp_file_write() */
} AfpFile;

AfpFile *afp_file_new (void);
void afp_file_free (AfpFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpFile, afp_file_free)
#define afp_file_tensor(file, i) (&g_array_index ((file)->tensors, AfpFileTensor, i))
#define afp_file_extra(file, i) (&g_array_index ((file)->extras, AfpFileExtra, i))
#define afp_file_plane(file, i) (&g_array_index ((file)->planes, AfpFilePlane, i))

/* By the first bytes of a file, without HDF5: safe on anything. FALSE if it cannot be read. */
gboolean afp_file_is_ours (const char *path);
/* Does everything fit together? @path: for messages; @file_bytes: size of the file. */
gboolean afp_file_check (const AfpFile *file, const char *path, guint64 file_bytes, GError **error);
/* The spec of a row of /tensors; AFP_ERROR_FORMAT if dtype, shape or view are damaged. (transfer full) */
AfpSpec *afp_file_make_spec (const AfpFile *file, guint tensor, GError **error);
/* Column bits of /planes for a raw array: of an element; of a byte if its dtype has blocks. */
guint8 afp_file_raw_bits (AfpSpec *spec);
/* The tables in one piece, and back; AFP_ERROR_FORMAT if the bytes are no such thing. */
GBytes *afp_file_pack (const AfpFile *file);
AfpFile *afp_file_unpack (GBytes *packed, const char *path, GError **error);
guint32 afp_file_crc32 (gconstpointer data, gsize size);
guint32 afp_file_crc32_add (guint32 crc32, gconstpointer data, gsize size); /* more bytes */

/*
 * Extras (afp-extras.h): compresses and keeps one, or all of the sources upstream of @element (nullable); fills the hole that
 * afp_file_write() left; bytes in the file of all; part of afp_file_check(); one of a mapped file.
 */
gboolean afp_file_take_extras (AfpFile *file, AfpElement *element, GError **error);
gboolean afp_file_write_extras (const AfpFile *file, AfpOutput *output, GError **error);
gboolean afp_file_add_extra (AfpFile *file, const char *name, GBytes *bytes, GError **error);
guint64 afp_file_get_extras_bytes (const AfpFile *file);
gboolean afp_file_check_extras (const AfpFile *file, guint64 file_bytes, GError **error);
GBytes *afp_file_read_extra (const AfpFile *file, GBytes *map, const char *name, GError **error);

/* Creates the HDF5 file, with holes for the payload and for the stored extras, and sets payload_offset and extras_offset. */
gboolean afp_file_write (AfpFile *file, const char *path, GError **error);
/* Reads and checks all but the payload. */
AfpFile *afp_file_read (const char *path, GError **error);
/* An AfpH5OpFunc (h5-child.h): packed tables. @request: the path, ended by a zero. */
GBytes *afp_file_serve_tables (GBytes *request, GBytes *data, GError **error);
