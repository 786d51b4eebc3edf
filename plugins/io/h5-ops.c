/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-file.h"
#include "h5-child.h"
#include "keras-list.h"
#include "keras-scan.h"

const AfpH5Op afp_h5_ops[] = {
  { "afp-tables", afp_file_serve_tables },
  { "keras-list", afp_keras_list },
  { "keras-read", afp_keras_serve_read },
  { "keras-write", afp_keras_serve_write },
  { NULL, NULL },
};
