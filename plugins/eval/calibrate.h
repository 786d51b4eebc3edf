/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

#define AFP_TYPE_CALIBRATE (afp_calibrate_get_type ())
G_DECLARE_FINAL_TYPE (AfpCalibrate, afp_calibrate, AFP, CALIBRATE, AfpTransform)
