/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ablate-results.h"

G_BEGIN_DECLS

/**
 * AfpLaunch:
 * @program: path of afpipe-launch
 * @threads: that compute
 * @max_memory: bytes
 * @cache: (nullable): folder of the cache of stages
 * @cache_limit: (nullable): as text
 * @report: file for the report
 * @said: file for what it says on standard error
 *
 * How a process of afpipe-launch is run. Whoever kills this one kills it, too; a terminal's Ctrl-C does not reach it.
 */
typedef struct {
  const char *program;
  guint threads;
  guint64 max_memory;
  const char *cache, *cache_limit;
  const char *report, *said;
} AfpLaunch;
GSubprocess *afp_launch_spawn (const AfpLaunch *launch, const char *pipeline, GError **error);

/**
 * AfpRunner:
 * @results: where records go
 * @planned: (nullable) (element-type gboolean): of each run: it is to run; NULL: all are
 * @program: path of afpipe-launch
 * @threads: of all runs that go on at a time
 * @max_memory: bytes, likewise
 * @at_once: runs that go on at a time
 * @cache: (nullable): folder of the cache of stages
 * @cache_limit: (nullable): as text
 * @warnings: what runs say on standard error is passed on
 * @on_begin: (nullable): a run has begun
 * @on_end: (nullable): a run has ended; @record is in the results
 * @user_data: for both
 *
 * How the runs of a study are run: each in a process of its own, so that one that crashes is no more than a failed run.
 */
typedef struct _AfpRunner AfpRunner;
struct _AfpRunner {
  AfpResults *results;
  const gboolean *planned;
  const char *program;
  guint threads;
  guint64 max_memory;
  guint at_once;
  const char *cache, *cache_limit;
  gboolean warnings;
  void (*on_begin) (AfpRunner *self, guint number);
  gboolean (*on_end) (AfpRunner *self, guint number, JsonObject *record, GError **error);
  gpointer user_data;
};

/* Runs all that have no record yet; a run begins when that of its prefix has ended. SIGINT, SIGTERM: those that go on are told to end, and
 * have no record: AFP_ERROR_CANCELLED; once more: they are killed. If this process is killed, they die with it. */
gboolean afp_runner_run (AfpRunner *self, GError **error);
/* afpipe-launch beside the program that calls this, or in PATH. AFP_ERROR_PLUGIN. (transfer full) */
char *afp_runner_find_launch (GError **error);

G_END_DECLS
