/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* The elements of this plugin. */
GType afp_tee_get_type (void);
GType afp_select_get_type (void);
GType afp_identity_get_type (void);
GType afp_null_get_type (void);
GType afp_synth_get_type (void);
