/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-run-private.h"

#include "afp-error.h"
#include "afp-mapped.h"
#include "afp-plan-private.h"
#include "afp-table.h"

#include <sys/mman.h>
#include <unistd.h>

/* --- load --- */

static gboolean
afp_run_add_mapped (AfpPlane *plane, const char *path, gpointer user_data)
{
  GBytes *bytes = afp_plane_get_data (plane);

  if (bytes && afp_mapped_contains (bytes))
    g_ptr_array_add (user_data, g_bytes_ref (bytes));
  return TRUE;
}

static void
afp_run_forget_pages (gpointer data)
{
  g_autoptr (GPtrArray) mapped = data;

  for (guint i = 0; i < mapped->len; i++)
    afp_mapped_forget (g_ptr_array_index (mapped, i));
}

/* When nobody has the tensor any more its mapped pages need not stay. */
static void
afp_run_watch_pages (AfpTensor *tensor, AfpTicket *ticket)
{
  GPtrArray *mapped = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  afp_plane_foreach (afp_tensor_get_root (tensor), afp_run_add_mapped, mapped);
  afp_ticket_set_notify (ticket, afp_run_forget_pages, mapped);
}

/* The kernel may begin to read what is mapped; for memory of our own this does nothing. */
static gboolean
afp_run_read_ahead (AfpPlane *plane, const char *path, gpointer user_data)
{
  GBytes *bytes = afp_plane_get_data (plane);
  gsize page = (gsize) sysconf (_SC_PAGESIZE);
  gsize size = 0;
  gconstpointer data = bytes ? g_bytes_get_data (bytes, &size) : NULL;
  gsize start = (gsize) data / page * page;

  if (size >= page)
    (void) posix_madvise ((gpointer) start, (gsize) data - start + size, POSIX_MADV_WILLNEED);
  return TRUE;
}

typedef struct {
  AfpRun *run;
  AfpStage *stage;
  AfpQueue *queue;
} AfpRunLoader;

/* Waits until the tensor fits into the budget. What it takes was found out by the plan. */
static AfpTicket *
afp_run_take_ticket (AfpRun *run, AfpStage *stage, gsize index, GError **error)
{
  g_autoptr (AfpTensor) planned =
      afp_source_plan_tensor (AFP_SOURCE (stage->element), index, error);
  guint64 kept, working, after;

  if (!planned)
    return NULL;
  afp_plan_get_ticket (run->plan, afp_tensor_get_spec (planned), &kept, &working, &after);
  return afp_budget_take (run->budget, kept, working, error);
}

/* Does no sink need it? Then it goes through without data, and the link behind the source takes it over. (transfer full) */
static AfpTensor *
afp_run_plan_held (AfpRunLoader *loader, gsize index)
{
  AfpSource *source = AFP_SOURCE (loader->stage->element);
  AfpPad *peer = afp_pad_get_peer (afp_element_get_pad (AFP_ELEMENT (source), AFP_PAD_SRC, 0));
  AfpLink *link = AFP_LINK (afp_pad_get_element (peer));
  g_autoptr (AfpTensor) tensor = link->sinks ? afp_source_plan_tensor (source, index, NULL) : NULL;

  if (!tensor || !afp_link_holds (link, afp_spec_get_name (afp_tensor_get_spec (tensor))))
    return NULL;
  loader->run->pipeline->n_resumed++;
  return g_steal_pointer (&tensor);
}

static AfpTensor *
afp_run_read_tensor (AfpRunLoader *loader, gsize index, GError **error)
{
  AfpStage *stage = loader->stage;
  AfpStageFrame frame;
  AfpTensor *tensor;

  afp_run_stage_begin (&frame, stage, NULL);
  tensor = afp_source_read_tensor (AFP_SOURCE (stage->element), index, error);
  if (tensor)
    afp_plane_foreach (afp_tensor_get_root (tensor), afp_run_read_ahead, NULL);
  afp_run_stage_end (&frame);
  if (!tensor)
    afp_stage_place_error (stage, NULL, error);
  return tensor;
}

static gpointer
afp_run_load (gpointer data)
{
  AfpRunLoader *loader = data;
  gsize n = afp_source_get_n_tensors (AFP_SOURCE (loader->stage->element));
  GError *error = NULL;

  for (gsize i = 0; i < n && !error && !afp_run_is_stopping (loader->run); i++) {
    g_autoptr (AfpTicket) ticket = NULL;
    g_autoptr (AfpTensor) tensor = afp_run_plan_held (loader, i);

    gint64 since = g_get_monotonic_time ();
    if (!tensor)
      ticket = afp_run_take_ticket (loader->run, loader->stage, i, &error);
    afp_stage_add_wait (loader->stage, since);
    if (ticket && (tensor = afp_run_read_tensor (loader, i, &error)))
      afp_run_watch_pages (tensor, ticket);
    since = g_get_monotonic_time ();
    if (tensor)
      afp_queue_push (loader->queue, tensor, ticket, &error);
    afp_stage_add_wait (loader->stage, since);
  }
  if (error)
    afp_run_fail (loader->run, error);
  afp_queue_push_end (loader->queue);
  return NULL;
}

/* --- compute --- */

static void
afp_run_set_load_queue (AfpRun *run, AfpQueue *queue)
{
  g_mutex_lock (&run->lock);
  run->load_queue = queue;
  if (queue && (run->stopping || run->winding_down))
    afp_queue_abort (queue);
  g_mutex_unlock (&run->lock);
}

/* Only sinks have what was made of the tensor. */
static void
afp_run_shrink_ticket (AfpRun *run, AfpTensor *tensor, AfpTicket *ticket)
{
  guint64 kept, working, after;

  afp_plan_get_ticket (run->plan, afp_tensor_get_spec (tensor), &kept, &working, &after);
  if (ticket)
    afp_ticket_shrink (ticket, after);
}

static void
afp_run_push_all (AfpRun *run, AfpQueue *queue, AfpPad *src)
{
  AfpStage *next = AFP_LINK (afp_pad_get_element (afp_pad_get_peer (src)))->to;
  GError *error = NULL;
  gboolean more = TRUE;

  while (more && !error) {
    const gint64 since = g_get_monotonic_time ();
    g_autoptr (AfpTicket) ticket = NULL;
    g_autoptr (AfpTensor) tensor = afp_queue_pop (queue, &ticket, &error);

    if (!AFP_IS_SINK (next->element)) /* a sink waits in its own thread */
      afp_stage_add_wait (next, since);
    more = tensor != NULL;
    if (!tensor)
      break;
    run->ticket = ticket;
    afp_pad_push (src, tensor, &error);
    run->ticket = NULL;
    afp_run_shrink_ticket (run, tensor, ticket);
  }
  if (error)
    afp_run_fail (run, error);
}

void
afp_run_source (AfpRun *run, AfpStage *stage)
{
  g_autoptr (AfpQueue) queue = afp_queue_new (run->queue_bytes);
  AfpRunLoader loader = { run, stage, queue };
  AfpPad *src = afp_element_get_pad (stage->element, AFP_PAD_SRC, 0);
  GError *error = NULL;
  GThread *thread;

  afp_run_set_load_queue (run, queue);
  thread = g_thread_try_new ("afp-load", afp_run_load, &loader, &error);
  if (thread) {
    afp_run_push_all (run, queue, src);
    g_thread_join (thread);
  }
  afp_run_set_load_queue (run, NULL);
  if (!error && !afp_run_is_stopping (run))
    afp_pad_push_finish (src, &error);
  if (error)
    afp_run_fail (run, error);
}

/* --- write --- */

static void
afp_run_post_progress (AfpRun *run, AfpStage *stage, AfpTensor *tensor)
{
  AfpSink *sink = AFP_SINK (stage->element);
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  gsize n = afp_sink_get_n_records (sink);
  const AfpSinkRecord *record = n > 0 ? afp_sink_get_record (sink, n - 1) : NULL;
  guint64 raw = afp_spec_get_n_bytes (spec), weights = afp_spec_get_n_elements (spec);
  guint64 bytes = record ? record->size.total : 0;
  g_autofree char *from = afp_format_bytes (raw), *to = afp_format_bytes (bytes), *text = NULL;
  JsonObject *object = json_object_new ();
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  text = g_strdup_printf ("%s: %s -> %s (%.3f bits per weight)", afp_spec_get_name (spec), from, to,
                          weights ? 8.0 * (double) bytes / (double) weights : 0.0);
  json_object_set_string_member (object, "tensor", afp_spec_get_name (spec));
  json_object_set_int_member (object, "bytes_in", (gint64) raw);
  json_object_set_int_member (object, "bytes_out", (gint64) bytes);
  g_mutex_lock (&run->lock);
  run->done++;
  run->bytes_done += raw;
  run->weights_done += weights;
  const gint64 now = g_get_monotonic_time ();
  afp_eta_note (run->eta, weights, (double) (now - run->last_done) / G_USEC_PER_SEC);
  run->last_done = now;
  json_object_set_double_member (object, "seconds_left", afp_eta_get_left (run->eta));
  json_object_set_int_member (object, "done", (gint64) run->done);
  json_object_set_int_member (object, "tensors", (gint64) run->tensors);
  json_object_set_int_member (object, "bytes_done", (gint64) run->bytes_done);
  json_object_set_int_member (object, "bytes_total", (gint64) run->bytes_total);
  json_object_set_int_member (object, "bytes_held", (gint64) run->bytes_held);
  json_object_set_int_member (object, "weights_done", (gint64) run->weights_done);
  json_object_set_int_member (object, "weights_total", (gint64) run->weights_total);
  json_object_set_int_member (object, "weights_held", (gint64) run->weights_held);
  g_mutex_unlock (&run->lock);
  json_node_take_object (node, object);
  afp_run_post (run, afp_message_new (AFP_MESSAGE_PROGRESS, afp_element_get_name (stage->element),
                                      text, node));
}

static gpointer
afp_run_write (gpointer data)
{
  AfpRunWriter *writer = data;
  AfpRun *run = writer->run;
  AfpStage *stage = writer->link->to;
  GError *error = NULL;
  gboolean more = TRUE;

  while (more && !error) {
    const gint64 since = g_get_monotonic_time ();
    g_autoptr (AfpTicket) ticket = NULL;
    g_autoptr (AfpTensor) tensor = afp_queue_pop (writer->link->queue, &ticket, &error);

    afp_stage_add_wait (stage, since);
    more = tensor != NULL;
    if (tensor && afp_link_deliver (writer->link, tensor, &error) && stage->counted)
      afp_run_post_progress (run, stage, tensor);
  }
  stage->complete = !error && stage->n_in == stage->planned_in;
  if (!error && !afp_run_has_failed (run))
    afp_link_deliver_finish (writer->link, &error);
  if (error)
    afp_run_fail (run, error);
  return NULL;
}

gboolean
afp_run_start_writers (AfpRun *run, GError **error)
{
  run->last_done = g_get_monotonic_time ();
  for (guint i = 0; i < run->writers->len; i++) {
    AfpRunWriter *writer = g_ptr_array_index (run->writers, i);

    writer->thread = g_thread_try_new ("afp-write", afp_run_write, writer, error);
    if (!writer->thread)
      return FALSE;
  }
  return TRUE;
}

/* The end of the stream goes to the sinks now that all other stages are done. */
void
afp_run_join_writers (AfpRun *run)
{
  for (guint i = 0; i < run->writers->len; i++) {
    AfpRunWriter *writer = g_ptr_array_index (run->writers, i);

    afp_queue_push_end (writer->link->queue);
  }
  for (guint i = 0; i < run->writers->len; i++) {
    AfpRunWriter *writer = g_ptr_array_index (run->writers, i);

    if (writer->thread)
      g_thread_join (writer->thread);
  }
}
