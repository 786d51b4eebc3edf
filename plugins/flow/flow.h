/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* The elements of this plugin. */
G_DECLARE_FINAL_TYPE (AfpTee, afp_tee, AFP, TEE, AfpElement)
G_DECLARE_FINAL_TYPE (AfpSelect, afp_select, AFP, SELECT, AfpTransform)
G_DECLARE_FINAL_TYPE (AfpIdentity, afp_identity, AFP, IDENTITY, AfpTransform)
G_DECLARE_FINAL_TYPE (AfpNull, afp_null, AFP, NULL, AfpSink)
G_DECLARE_FINAL_TYPE (AfpSynth, afp_synth, AFP, SYNTH, AfpSource)
