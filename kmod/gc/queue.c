// SPDX-License-Identifier: GPL-2.0
/*
 * Grey objects: marked ones that have not been scanned.  They are queued in two
 * ways.  By themselves, in chunks of a stack (stack.h): best where the next one is
 * anywhere, but it takes memory.  Or by their spans (Go's "Green Tea", 2025): each
 * of these is on the queue once, however many of its objects are grey, so that it
 * needs no memory of its own and cannot overflow, whatever the shape of the graph;
 * and first in, first out, so that more objects of a span become grey while it
 * waits.  Best where objects lie beside those that refer to them, and what is left
 * when there is no memory for a chunk, or no context to ask for it.
 *
 * KARENA_INFO_QUEUED belongs to who sets it, until the span has been scanned.
 *
 * Markers give and take chunks and batches of spans, so that the lock is taken
 * seldom and nobody walks a list of cold spans under it.  What barriers shade, in
 * any context, comes in through lists without a lock: spans of what they have marked,
 * and words whose objects are left for markers to look up.
 *
 * No work can be missed: a marker is active from before it takes anything until
 * after it has given all that it found, both under the lock.  Nobody active and
 * nothing queued means that everything shaded so far has been followed.
 */
#include "stack.h"

#define BATCH		32u		/* spans */
#define STACK_PART	16u		/* of the bytes in objects, that stacks may have */
#define STACK_LEAST	SZ_1M
#define MOST_WORDS	1024		/* blocks of words, that may wait for markers */

void karena_queue_init(struct karena_queue *queue)
{
	init_llist_head(&queue->shaded);
	init_llist_head(&queue->words);
	atomic_set(&queue->words_left, MOST_WORDS);
	spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->chunks);
	INIT_LIST_HEAD(&queue->batches);
	init_waitqueue_head(&queue->wait);
}

/* A cycle begins, with so many bytes of objects. */
void karena_queue_begin(struct karena_queue *queue, u64 bytes)
{
	atomic_set(&queue->chunks_left, max_t(u64, bytes / STACK_PART, STACK_LEAST) / SZ_4K);
}

void karena_hand_init(struct karena_hand *hand)
{
	hand->words = NULL;
	INIT_LIST_HEAD(&hand->chunks);
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

/* Any context. */
void karena_queue_words(struct karena_queue *queue, struct karena_words *words)
{
	if (llist_add(&words->node, &queue->words))
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

/* What of them it has not looked at. */
static void give_words(struct karena_queue *queue, struct karena_hand *hand)
{
	struct llist_node *node, *next;

	llist_for_each_safe(node, next, hand->words)
		llist_add(node, &queue->words);
	hand->words = NULL;
}

/* All that a marker has.  What it had taken and not scanned goes in front. */
static void give_all(struct karena_queue *queue, struct karena_hand *hand)
{
	list_splice_init(&hand->chunks, &queue->chunks);
	if (hand->top && hand->top->nr) {
		list_add(&hand->top->list, &queue->chunks);
		hand->top = NULL;
	}
	list_splice_init(&hand->taken, &queue->batches);
	list_splice_tail_init(&hand->found, &queue->batches);
	if (hand->nr_made)
		list_add_tail(&hand->first->batch, &queue->batches);
	hand->nr_made = 0;
	give_words(queue, hand);
}

static void take_shaded(struct karena_queue *queue)
{
	struct llist_node *shaded = llist_del_all(&queue->shaded);

	if (shaded)
		list_add_tail(&llist_entry(shaded, struct karena_span, grey)->batch,
			      &queue->batches);
}

/* Words, a chunk of objects, or batches of spans; whether there were any. */
static bool take(struct karena_queue *queue, struct karena_hand *hand, unsigned int most)
{
	unsigned int n;

	if (most && !llist_empty(&queue->words)) {
		hand->words = llist_del_all(&queue->words);
		return hand->words;
	}
	if (most && !list_empty(&queue->chunks)) {
		list_move(queue->chunks.next, &hand->chunks);
		return true;
	}
	for (n = 0; n < most && !list_empty(&queue->batches); n++)
		list_move_tail(queue->batches.next, &hand->taken);
	return n;
}

static void set_some(struct karena_queue *queue)
{
	WRITE_ONCE(queue->some, !list_empty(&queue->batches) || !list_empty(&queue->chunks));
}

/* Whether there may be something to take. */
bool karena_queue_has_some(struct karena_queue *queue)
{
	/* A hint; looked at under the lock by whoever takes. */
	return READ_ONCE(queue->some) || !llist_empty(&queue->shaded) ||
	       !llist_empty(&queue->words);
}

/*
 * Gives all that a marker has, and takes words, a chunk of objects, or up to @most batches
 * of spans; whether there were any, and the marker is active.
 */
bool karena_queue_trade(struct karena_queue *queue, struct karena_hand *hand, unsigned int most)
{
	bool got, idle;

	spin_lock(&queue->lock);
	give_all(queue, hand);
	take_shaded(queue);
	got = take(queue, hand, most);
	set_some(queue);
	WRITE_ONCE(queue->active, queue->active + got - hand->active);
	hand->active = got;
	idle = !queue->active;
	spin_unlock(&queue->lock);
	if (idle || karena_queue_has_some(queue))
		wake(queue);
	return got;
}

/* Gives spans that a marker has found, and the lower part of its stack, to others. */
void karena_queue_share(struct karena_queue *queue, struct karena_hand *hand)
{
	spin_lock(&queue->lock);
	list_splice_tail_init(&hand->chunks, &queue->chunks);
	list_splice_tail_init(&hand->found, &queue->batches);
	if (hand->nr_made)
		list_add_tail(&hand->first->batch, &queue->batches);
	hand->nr_made = 0;
	set_some(queue);
	spin_unlock(&queue->lock);
	wake(queue);
}

/* Nobody has work, and there is none. */
bool karena_queue_idle(struct karena_queue *queue)
{
	bool idle;

	spin_lock(&queue->lock);
	idle = !queue->active && list_empty(&queue->chunks) &&
	       list_empty(&queue->batches) && llist_empty(&queue->shaded) &&
	       llist_empty(&queue->words);
	spin_unlock(&queue->lock);
	return idle;
}
