/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

typedef enum { AFP_ZIP_STORED = 0, AFP_ZIP_DEFLATED = 8 } AfpZipMethod;

typedef struct {
  char *name;   /* as it stands in the archive: it may be no UTF-8, or lead anywhere */
  guint method; /* AfpZipMethod, or another one that is not understood */
  gboolean encrypted;
  guint32 crc32;  /* of the member */
  guint64 packed; /* bytes in the archive */
  guint64 bytes;  /* bytes of the member */
  guint64 begin;  /* of its local header; after afp_zip_find(): of its packed bytes */
} AfpZipMember;

/*
 * The members by the central directory, zip64 included, in its order; names are distinct, and no two members share bytes.
 * @what names the archive
 * in errors ("the zip archive 'm.npz'").
 */
GArray *afp_zip_list (const char *what, GBytes *map, GError **error);

/*
 * The first @n bytes of a member that is not encrypted and stored or deflated, or all if it has fewer. Less is an error. Nothing is
 * allocated beyond them; a member that claims more bytes than deflate can make of what there is was refused by afp_zip_list().
 */
GBytes *
afp_zip_peek (const char *what, GBytes *map, const AfpZipMember *member, gsize n, GError **error);

/* All of it: a slice of @map if it is stored. @check: compare the checksum of a stored one, too. */
GBytes *afp_zip_read (const char *what, GBytes *map, const AfpZipMember *member, gboolean check,
                      GError **error);
