// SPDX-License-Identifier: GPL-2.0
/*
 * Spans with grey objects: marked ones that have not been scanned.  Spans are
 * queued, not objects (Go's "Green Tea", 2025): each of them is on the queue once,
 * however many of its objects are grey, so that the queue needs no memory of its
 * own and cannot overflow, whatever the shape of the graph; and first in, first
 * out, so that more objects of a span become grey while it waits.
 *
 * KARENA_INFO_QUEUED belongs to who sets it, until the span has been scanned.
 *
 * Markers give and take batches of spans, so that the lock is taken seldom and
 * nobody walks a list of cold spans under it.  What barriers shade, in any context,
 * comes in through a list without a lock.
 *
 * No work can be missed: a marker is active from before it takes spans until after
 * it has given all that it found, both under the lock.  Nobody active and nothing
 * queued means that everything shaded so far has been followed.
 */
#include "gc.h"

#define BATCH		32u		/* spans */

void karena_queue_init(struct karena_queue *queue)
{
	init_llist_head(&queue->shaded);
	spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->batches);
	init_waitqueue_head(&queue->wait);
}

void karena_hand_init(struct karena_hand *hand)
{
	INIT_LIST_HEAD(&hand->taken);
	INIT_LIST_HEAD(&hand->found);
}

static void wake(struct karena_queue *queue)
{
	/* Full barrier, against the one in wait_event(): they look again, or are woken. */
	if (wq_has_sleeper(&queue->wait))
		wake_up(&queue->wait);
}

/* Queues a span whose flag a barrier has set.  Any context. */
void karena_queue_shade(struct karena_queue *queue, struct karena_span *span)
{
	if (llist_add(&span->grey, &queue->shaded))
		wake(queue);
}

/* Puts a span whose flag a marker has set into its hand. */
void karena_hand_add(struct karena_hand *hand, struct karena_span *span)
{
	span->grey.next = NULL;
	if (hand->nr_made++)
		hand->last->grey.next = &span->grey;
	else
		hand->first = span;
	hand->last = span;
	if (hand->nr_made < BATCH)
		return;
	list_add_tail(&hand->first->batch, &hand->found);
	hand->nr_made = 0;
}

static void give_locked(struct karena_queue *queue, struct karena_hand *hand)
{
	list_splice_tail_init(&hand->found, &queue->batches);
	if (hand->nr_made)
		list_add_tail(&hand->first->batch, &queue->batches);
	hand->nr_made = 0;
}

static void take_shaded(struct karena_queue *queue)
{
	struct llist_node *shaded = llist_del_all(&queue->shaded);

	if (shaded)
		list_add_tail(&llist_entry(shaded, struct karena_span, grey)->batch,
			      &queue->batches);
}

/* Gives all that a marker has found, for others to take. */
void karena_queue_give(struct karena_queue *queue, struct karena_hand *hand)
{
	spin_lock(&queue->lock);
	give_locked(queue, hand);
	WRITE_ONCE(queue->some, !list_empty(&queue->batches));
	spin_unlock(&queue->lock);
	wake(queue);
}

/*
 * Gives all that a marker has, and takes up to @most batches; whether there were
 * any, and the marker is active.  What it had taken and not scanned goes in front.
 */
bool karena_queue_trade(struct karena_queue *queue, struct karena_hand *hand, unsigned int most)
{
	unsigned int n;
	bool idle;

	spin_lock(&queue->lock);
	list_splice_init(&hand->taken, &queue->batches);
	give_locked(queue, hand);
	take_shaded(queue);
	for (n = 0; n < most && !list_empty(&queue->batches); n++)
		list_move_tail(queue->batches.next, &hand->taken);
	WRITE_ONCE(queue->some, !list_empty(&queue->batches));
	WRITE_ONCE(queue->active, queue->active + !!n - hand->active);
	hand->active = n;
	idle = !queue->active;
	spin_unlock(&queue->lock);
	if (idle || READ_ONCE(queue->some))
		wake(queue);
	return n;
}

/* Whether there may be spans to take. */
bool karena_queue_has_some(struct karena_queue *queue)
{
	/* A hint; looked at under the lock by whoever takes. */
	return READ_ONCE(queue->some) || !llist_empty(&queue->shaded);
}

/* Nobody has work, and there is none. */
bool karena_queue_idle(struct karena_queue *queue)
{
	bool idle;

	spin_lock(&queue->lock);
	idle = !queue->active && list_empty(&queue->batches) && llist_empty(&queue->shaded);
	spin_unlock(&queue->lock);
	return idle;
}
