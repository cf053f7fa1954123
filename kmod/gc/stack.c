// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of the stacks of grey objects: stack.h.
 */
#include <linux/slab.h>

#include "stack.h"

static_assert(sizeof(struct karena_chunk) == SZ_4K);

/* One more is there: counted apart from what may be made, to show that bound kept. */
static void count_chunk(struct karena_queue *queue)
{
	int n = atomic_inc_return(&queue->nr_chunks), most = atomic_read(&queue->most_chunks);

	while (n > most && !atomic_try_cmpxchg(&queue->most_chunks, &most, n))
		;
}

static struct karena_chunk *new_chunk(struct karena_queue *queue)
{
	struct karena_chunk *chunk;

	if (!atomic_add_unless(&queue->chunks_left, -1, 0))
		return NULL;
	/* A marker does not sleep, and can do without. */
	chunk = kmalloc(sizeof(*chunk), GFP_NOWAIT | __GFP_NOWARN);
	if (!chunk) {
		atomic_inc(&queue->chunks_left);
		return NULL;
	}
	chunk->nr = 0;
	count_chunk(queue);
	return chunk;
}

static void free_chunk(struct karena_queue *queue, struct karena_chunk *chunk)
{
	if (!chunk)
		return;
	kfree(chunk);
	atomic_dec(&queue->nr_chunks);
	atomic_inc(&queue->chunks_left);
}

/* Makes room for one more; false without memory. */
bool karena_stack_grow(struct karena_queue *queue, struct karena_hand *hand)
{
	struct karena_chunk *chunk = hand->spare ?: new_chunk(queue);

	if (!chunk)
		return false;
	hand->spare = NULL;
	if (hand->top)
		list_add(&hand->top->list, &hand->chunks);
	hand->top = chunk;
	return true;
}

/* The chunk below the one that is empty becomes the top; false if there is none. */
bool karena_stack_shrink(struct karena_queue *queue, struct karena_hand *hand)
{
	struct karena_chunk *chunk;

	chunk = list_first_entry_or_null(&hand->chunks, struct karena_chunk, list);
	if (!chunk)
		return false;
	list_del(&chunk->list);
	free_chunk(queue, hand->spare);
	hand->spare = hand->top;
	hand->top = chunk;
	return true;
}

/* Frees the chunks that are kept for what comes next; the stack is empty. */
void karena_stack_free(struct karena_queue *queue, struct karena_hand *hand)
{
	free_chunk(queue, hand->spare);
	free_chunk(queue, hand->top);
	hand->spare = NULL;
	hand->top = NULL;
}
