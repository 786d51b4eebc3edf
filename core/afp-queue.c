/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-queue.h"

#include "afp-error.h"

typedef struct {
  AfpTensor *tensor;
  AfpTicket *ticket; /* may be NULL */
  guint64 bytes;
} AfpQueueItem;

struct _AfpQueue {
  GMutex lock; /* of all fields below */
  GCond item;  /* something to pop */
  GCond room;  /* something was popped */
  GQueue items;
  guint64 max_bytes;
  guint64 bytes;
  gboolean ended;
  gboolean aborted;
};

static void
afp_queue_item_free (AfpQueueItem *item)
{
  g_clear_pointer (&item->tensor, afp_tensor_unref);
  g_clear_pointer (&item->ticket, afp_ticket_unref);
  g_free (item);
}

AfpQueue *
afp_queue_new (guint64 max_bytes)
{
  AfpQueue *queue = g_new0 (AfpQueue, 1);

  queue->max_bytes = max_bytes;
  g_queue_init (&queue->items);
  g_mutex_init (&queue->lock);
  g_cond_init (&queue->item);
  g_cond_init (&queue->room);
  return queue;
}

void
afp_queue_free (AfpQueue *queue)
{
  if (!queue)
    return;
  g_queue_clear_full (&queue->items, (GDestroyNotify) afp_queue_item_free);
  g_cond_clear (&queue->item);
  g_cond_clear (&queue->room);
  g_mutex_clear (&queue->lock);
  g_free (queue);
}

static gboolean
afp_queue_set_stopped (GError **error)
{
  g_set_error_literal (error, AFP_ERROR, AFP_ERROR_CANCELLED, "stopped");
  return FALSE;
}

gboolean
afp_queue_push (AfpQueue *queue, AfpTensor *tensor, AfpTicket *ticket, GError **error)
{
  guint64 bytes = afp_queue_tensor_bytes (tensor);
  gboolean aborted;

  g_mutex_lock (&queue->lock);
  while (!queue->aborted && queue->items.length &&
         (bytes > queue->max_bytes || queue->bytes > queue->max_bytes - bytes))
    g_cond_wait (&queue->room, &queue->lock);
  aborted = queue->aborted;
  if (!aborted) {
    AfpQueueItem *item = g_new (AfpQueueItem, 1);

    g_warn_if_fail (!queue->ended);
    item->tensor = afp_tensor_ref (tensor);
    item->ticket = ticket ? afp_ticket_ref (ticket) : NULL;
    item->bytes = bytes;
    g_queue_push_tail (&queue->items, item);
    queue->bytes += bytes;
    g_cond_signal (&queue->item);
  }
  g_mutex_unlock (&queue->lock);
  return aborted ? afp_queue_set_stopped (error) : TRUE;
}

void
afp_queue_push_end (AfpQueue *queue)
{
  g_mutex_lock (&queue->lock);
  queue->ended = TRUE;
  g_cond_broadcast (&queue->item);
  g_mutex_unlock (&queue->lock);
}

AfpTensor *
afp_queue_pop (AfpQueue *queue, AfpTicket **ticket, GError **error)
{
  AfpQueueItem *item;
  AfpTensor *tensor = NULL;
  gboolean aborted;

  if (ticket)
    *ticket = NULL;
  g_mutex_lock (&queue->lock);
  while (!queue->aborted && !queue->ended && !queue->items.length)
    g_cond_wait (&queue->item, &queue->lock);
  aborted = queue->aborted;
  item = aborted ? NULL : g_queue_pop_head (&queue->items);
  if (item) {
    queue->bytes -= item->bytes;
    g_cond_broadcast (&queue->room);
  }
  g_mutex_unlock (&queue->lock);
  if (item) {
    tensor = g_steal_pointer (&item->tensor);
    if (ticket)
      *ticket = g_steal_pointer (&item->ticket);
    afp_queue_item_free (item);
  }
  if (aborted)
    afp_queue_set_stopped (error);
  return tensor;
}

void
afp_queue_abort (AfpQueue *queue)
{
  GQueue dropped = G_QUEUE_INIT;

  g_mutex_lock (&queue->lock);
  queue->aborted = TRUE;
  dropped = queue->items;
  g_queue_init (&queue->items);
  queue->bytes = 0;
  g_cond_broadcast (&queue->item);
  g_cond_broadcast (&queue->room);
  g_mutex_unlock (&queue->lock);
  g_queue_clear_full (&dropped, (GDestroyNotify) afp_queue_item_free);
}

guint64
afp_queue_get_bytes (AfpQueue *queue)
{
  guint64 bytes;

  g_mutex_lock (&queue->lock);
  bytes = queue->bytes;
  g_mutex_unlock (&queue->lock);
  return bytes;
}

gsize
afp_queue_get_length (AfpQueue *queue)
{
  gsize length;

  g_mutex_lock (&queue->lock);
  length = queue->items.length;
  g_mutex_unlock (&queue->lock);
  return length;
}

static guint64
afp_queue_data_bytes (AfpPlane *plane)
{
  GBytes *data = afp_plane_get_data (plane);

  return data ? g_bytes_get_size (data) : 0;
}

static gboolean
afp_queue_add_plane (AfpPlane *plane, const char *path, gpointer user_data)
{
  guint64 *bytes = user_data;
  AfpPlane *frozen = afp_plane_get_frozen (plane);

  *bytes += afp_queue_data_bytes (plane);
  if (frozen)
    afp_plane_foreach (frozen, afp_queue_add_plane, bytes);
  return TRUE;
}

guint64
afp_queue_tensor_bytes (AfpTensor *tensor)
{
  AfpPlane *root = afp_tensor_get_root (tensor);
  AfpPlane *original = afp_tensor_get_original (tensor);
  guint64 bytes = 0;

  afp_plane_foreach (root, afp_queue_add_plane, &bytes);
  if (original && original != root)
    bytes += afp_queue_data_bytes (original);
  return bytes;
}
