/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of vptq share. */
#pragma once

#define CODEC "vptq"
#define make_vptq make_codec

#include "codec-test.h"
