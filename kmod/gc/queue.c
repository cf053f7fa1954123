// SPDX-License-Identifier: GPL-2.0
/*
 * Spans with grey objects: marked ones that have not been scanned.  Spans are
 * queued, not objects (Go's "Green Tea", 2025): each of them is on the queue once,
 * however many of its objects are grey, so that the queue needs no memory of its
 * own and cannot overflow, whatever the shape of the graph; and first in, first
 * out, so that more objects of a span become grey while it waits.
 *
 * KARENA_SPAN_QUEUED belongs to who sets it, until the span has been scanned.
 *
 * No work can be missed: a marker is active from before it takes spans until after
 * it has queued all that it found, both under the lock.  Nobody active and nothing
 * queued means that everything shaded so far has been followed.
 */
#include "gc.h"

void karena_queue_init(struct karena_queue *queue)
{
	spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->spans);
	init_waitqueue_head(&queue->wait);
}

/* Queues spans whose flag the caller has set. */
void karena_queue_add(struct karena_queue *queue, struct list_head *spans, unsigned int nr)
{
	unsigned long flags;
	bool was_empty;

	if (!nr)
		return;
	spin_lock_irqsave(&queue->lock, flags);
	was_empty = !queue->nr;
	list_splice_tail_init(spans, &queue->spans);
	WRITE_ONCE(queue->nr, queue->nr + nr);
	spin_unlock_irqrestore(&queue->lock, flags);
	if (was_empty)
		wake_up(&queue->wait);
}

/* Takes up to @most spans, onto @spans; the marker is active then.  How many. */
unsigned int karena_queue_take(struct karena_queue *queue, struct list_head *spans,
			       unsigned int most)
{
	unsigned long flags;
	unsigned int n;

	spin_lock_irqsave(&queue->lock, flags);
	for (n = 0; n < most && !list_empty(&queue->spans); n++)
		list_move_tail(queue->spans.next, spans);
	WRITE_ONCE(queue->nr, queue->nr - n);
	WRITE_ONCE(queue->active, queue->active + !!n);
	spin_unlock_irqrestore(&queue->lock, flags);
	return n;
}

/* The marker has nothing left. */
void karena_queue_leave(struct karena_queue *queue)
{
	unsigned long flags;
	bool last;

	spin_lock_irqsave(&queue->lock, flags);
	WRITE_ONCE(queue->active, queue->active - 1);
	last = !queue->active;
	spin_unlock_irqrestore(&queue->lock, flags);
	if (last)
		wake_up(&queue->wait);
}

/* Nobody has work, and there is none. */
bool karena_queue_idle(struct karena_queue *queue)
{
	unsigned long flags;
	bool idle;

	spin_lock_irqsave(&queue->lock, flags);
	idle = !queue->active && !queue->nr;
	spin_unlock_irqrestore(&queue->lock, flags);
	return idle;
}
