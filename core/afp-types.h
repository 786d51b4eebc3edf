/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>
#include <glib-object.h>

G_BEGIN_DECLS

#ifndef AFP_API
#define AFP_API __attribute__ ((visibility ("default"))) extern
#endif

/**
 * AFP_VERSION: the version of the library and of the tools.
 */
#define AFP_VERSION "0.1.0"

/* Where our own plugins can be had: recorded in files, so that a reader that lacks a codec can say where to look. */
#define AFP_ORIGIN "https://afpipe.example/plugins"

/* ABI of the plugin interface; a plugin is refused unless the major numbers are equal and its minor is not newer. */
#define AFP_ABI_MAJOR 1
#define AFP_ABI_MINOR 0

typedef struct _AfpAnalysis AfpAnalysis;
typedef struct _AfpAnalysisInfo AfpAnalysisInfo;
typedef struct _AfpSpec AfpSpec;
typedef struct _AfpMatrix AfpMatrix;
typedef struct _AfpMoments AfpMoments;
typedef struct _AfpPlane AfpPlane;
typedef struct _AfpTensor AfpTensor;
typedef struct _AfpLayout AfpLayout;
typedef struct _AfpContext AfpContext;
typedef struct _AfpClaim AfpClaim;
typedef struct _AfpCaps AfpCaps;
typedef struct _AfpPad AfpPad;
typedef struct _AfpPlan AfpPlan;
typedef struct _AfpPool AfpPool;
typedef struct _AfpRun AfpRun;
typedef struct _AfpMessage AfpMessage;

G_END_DECLS
