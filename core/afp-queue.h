/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-budget.h"
#include "afp-tensor.h"

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

G_BEGIN_DECLS

/*
 * AfpQueue (internal): tensors on their way from one thread to another, bounded by the bytes that they keep in memory. A tensor larger
 * than the bound passes when the queue is empty.
 */
typedef struct _AfpQueue AfpQueue;

AFP_API AfpQueue *afp_queue_new (guint64 max_bytes);
AFP_API void afp_queue_free (AfpQueue *queue); /* no thread may be inside */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpQueue, afp_queue_free)

/* Waits for room; takes a reference, also on the ticket (or NULL) that goes with the tensor. FALSE with AFP_ERROR_CANCELLED after
 * afp_queue_abort(). */
AFP_API gboolean afp_queue_push (AfpQueue *queue, AfpTensor *tensor, AfpTicket *ticket,
                                 GError **error);
AFP_API void afp_queue_push_end (AfpQueue *queue); /* never waits */
/* Waits for a tensor. (transfer full), as its ticket, where @ticket is not NULL; NULL without error: the end; NULL with AFP_ERROR_CANCELLED after afp_queue_abort(). */
AFP_API AfpTensor *afp_queue_pop (AfpQueue *queue, AfpTicket **ticket, GError **error);
AFP_API void
afp_queue_abort (AfpQueue *queue); /* drops what is inside and wakes everybody, for good */
AFP_API guint64 afp_queue_get_bytes (AfpQueue *queue);
AFP_API gsize afp_queue_get_length (AfpQueue *queue);

/* Bytes that a tensor keeps in memory or mapped: all planes, frozen forms and the original. */
AFP_API guint64 afp_queue_tensor_bytes (AfpTensor *tensor);

G_END_DECLS

#pragma GCC visibility pop
