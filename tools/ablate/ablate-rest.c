/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-estimate.h"

#include "ablate-rewrite.h"
#include "ablate-run.h"
#include "json-util.h"

#include <math.h>
#include <string.h>

#define FIRST_HEAD 1024 /* bytes of the files that evals read */
#define GROWTH 8
#define MAX_DEPTH 64

typedef struct {
  const AfpEstimateOptions *options;
  const char *folder;
  gint64 end;
} Resting;

typedef struct {
  GMainLoop *loop;
  GSubprocess *process;
  guint timeout; /* 0: it is over */
} Waiting;

static void
on_end (GObject *source G_GNUC_UNUSED, GAsyncResult *result G_GNUC_UNUSED, gpointer data)
{
  g_main_loop_quit (((Waiting *) data)->loop);
}

static gboolean
on_time (gpointer data)
{
  Waiting *self = data;

  g_subprocess_force_exit (self->process);
  self->timeout = 0;
  return G_SOURCE_REMOVE;
}

static double
get_time (const Resting *self)
{
  return (double) (self->end - g_get_monotonic_time ()) / G_USEC_PER_SEC;
}

/* What a process took: all in all, but for its codecs; of that what looked at the model before the stages; what judged it. NAN: it failed. */
typedef struct {
  double all, preparing, judging;
} Took;

static void
take_stage (Took *took, JsonObject *stage)
{
  const double seconds = afp_json_get_number (stage, "seconds", 0);
  AfpElementFactory *factory =
      afp_registry_find (afp_registry_get_default (), afp_json_get_text (stage, "element", ""));
  const GType type = factory ? afp_element_factory_get_element_type (factory) : G_TYPE_INVALID;
  g_autoptr (GTypeClass) klass =
      g_type_is_a (type, AFP_TYPE_ELEMENT) ? g_type_class_ref (type) : NULL;

  if (klass && g_type_is_a (type, AFP_TYPE_CODEC))
    took->all -= seconds;
  else if (klass && AFP_ELEMENT_CLASS (klass)->judge)
    took->judging += seconds;
  else if (klass && AFP_ELEMENT_CLASS (klass)->prepare)
    took->preparing += seconds;
}

static void
take_report (Took *took, const char *path)
{
  g_autofree char *text = NULL;
  gsize n;

  if (!g_file_get_contents (path, &text, &n, NULL))
    return;
  g_autoptr (JsonNode) node = afp_json_parse (text, n, MAX_DEPTH, path, NULL);
  JsonArray *stages = node && JSON_NODE_HOLDS_OBJECT (node)
                          ? afp_json_get_array (json_node_get_object (node), "stages")
                          : NULL;
  for (guint i = 0; stages && i < json_array_get_length (stages); i++)
    take_stage (took, json_array_get_object_element (stages, i));
}

static Took
run_once (const Resting *self, const char *pipeline)
{
  const AfpEstimateOptions *options = self->options;
  g_autofree char *report = g_build_filename (self->folder, "report.json", NULL);
  g_autofree char *cache = g_build_filename (self->folder, "cache", NULL);
  const AfpLaunch launch = {
    .program = options->program,
    .threads = MAX (1, options->threads / options->at_once),
    .max_memory = options->max_memory / options->at_once,
    .cache = options->cached ? cache : NULL,
    .report = report,
    .said = "/dev/null",
  };
  const gint64 begin = g_get_monotonic_time ();
  g_autoptr (GSubprocess) process = afp_launch_spawn (&launch, pipeline, NULL);
  Waiting waiting = { g_main_loop_new (NULL, FALSE), process, 0 };

  if (process) {
    waiting.timeout = g_timeout_add ((guint) (MAX (0, get_time (self)) * 1000), on_time, &waiting);
    g_subprocess_wait_async (process, NULL, on_end, &waiting);
    g_main_loop_run (waiting.loop);
  }
  g_main_loop_unref (waiting.loop);
  if (waiting.timeout)
    g_source_remove (waiting.timeout);
  if (!process || !g_subprocess_get_successful (process))
    return (Took){ NAN, NAN, NAN };
  Took took = { (double) (g_get_monotonic_time () - begin) / G_USEC_PER_SEC, 0, 0 };
  take_report (&took, report);
  return took;
}

/* Seconds beyond those measured, if files had been read to @whole instead of @head bytes. */
static double
extend (double seconds0, double head0, double seconds, double head, guint64 whole)
{
  return whole ? MAX (0, (seconds - seconds0) / (head - head0) * ((double) whole - head)) : 0;
}

static AfpRest
measure (const Resting *self, const char *pipeline)
{
  AfpRest rest = { NAN, NAN };
  Took old[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
  double old_head = 0;

  for (gsize head = FIRST_HEAD; get_time (self) > 0; head *= GROWTH) {
    AfpHeads heads;
    g_autofree char *text = afp_rewrite_for_rest (pipeline, self->folder, head, &heads, NULL);
    const gint64 begin = g_get_monotonic_time ();
    Took took[2];
    double whole[2];
    if (!text)
      return rest;
    for (guint i = 0; i < 2; i++) {
      took[i] = i && !self->options->cached ? took[0] : run_once (self, text);
      whole[i] =
          took[i].all +
          extend (old[i].judging, old_head, took[i].judging, (double) head, heads.judged) +
          extend (old[i].preparing, old_head, took[i].preparing, (double) head, heads.prepared);
    }
    if (isfinite (whole[1])) {
      rest = (AfpRest){ whole[1], MAX (0, whole[0] - whole[1]) };
      memcpy (old, took, sizeof old);
      old_head = (double) head;
    }
    const double spent = (double) (g_get_monotonic_time () - begin) / G_USEC_PER_SEC;
    if (heads.judged + heads.prepared == 0 || spent * GROWTH > get_time (self))
      break;
  }
  return rest;
}

AfpRest
afp_estimate_rest (const AfpEstimateOptions *options, const char *pipeline, const char *folder,
                   double limit)
{
  const Resting self = { options, folder,
                         g_get_monotonic_time () + (gint64) (limit * G_USEC_PER_SEC) };

  return measure (&self, pipeline);
}
