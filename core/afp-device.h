/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-property.h"

G_BEGIN_DECLS

/**
 * AfpDevice: where an element does its work
 * @AFP_DEVICE_CPU: on the processor
 * @AFP_DEVICE_CUDA: on a graphics processor by CUDA; fails where there is none
 * @AFP_DEVICE_AUTO: there where there is one, else on the processor
 */
typedef enum { AFP_DEVICE_CPU, AFP_DEVICE_CUDA, AFP_DEVICE_AUTO } AfpDevice;

/* Nicks of #AfpDevice, NULL-terminated. */
AFP_API const char *const afp_device_values[];

/* A row of a table of properties: device=, the field a gint. A run may go on with another device: not part of what is written. */
#define AFP_PROP_DEVICE(S, f, blurb) \
  AFP_PROP_ENUM ("device", NULL, AFP_PROPERTY_RUN, S, f, "cpu", afp_device_values, blurb)

G_END_DECLS
