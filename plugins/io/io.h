/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* The elements of the plugin `io`. */
#define AFP_TYPE_LOAD (afp_load_get_type ())
G_DECLARE_FINAL_TYPE (AfpLoad, afp_load, AFP, LOAD, AfpSource)

#define AFP_TYPE_WRITE (afp_write_get_type ())
G_DECLARE_FINAL_TYPE (AfpWrite, afp_write, AFP, WRITE, AfpSink)

#define AFP_TYPE_DECODE (afp_decode_get_type ())
G_DECLARE_FINAL_TYPE (AfpDecode, afp_decode, AFP, DECODE, AfpTransform)
