/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* Does a file of gzip begin so? */
gboolean afp_gunzip_sniff (GBytes *file);

/*
 * What a file of gzip holds, its checksum compared. Files of several pieces and of 4 GiB and more are refused. No more is allocated
 * than deflate can make of the file. @what names it in errors ("the images 'a.gz'"). AFP_ERROR_FORMAT, AFP_ERROR_MEMORY.
 */
GBytes *afp_gunzip (GBytes *file, const char *what, GError **error);
