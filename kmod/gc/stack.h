/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Grey objects that a marker has in its hand: a stack in chunks of a page each.  An
 * item is the object's offset from the heap's base and its shape.  When there is no
 * memory for one more chunk, the caller queues the object's span instead (queue.c),
 * which needs none.
 */
#ifndef _KARENA_GC_STACK_H
#define _KARENA_GC_STACK_H

#include "gc.h"

struct karena_chunk {
	struct list_head list;
	unsigned long nr;
	u64 item[(SZ_4K - 3 * sizeof(long)) / sizeof(u64)];
};

#define KARENA_ITEM_SHIFT	16	/* of the offset; the shape is below */

/* stack.c */
bool karena_stack_grow(struct karena_queue *queue, struct karena_hand *hand);
bool karena_stack_shrink(struct karena_queue *queue, struct karena_hand *hand);

static __always_inline bool karena_has_objects(const struct karena_hand *hand)
{
	return (hand->top && hand->top->nr) || !list_empty(&hand->chunks);
}

/* False if there is no memory for it. */
static __always_inline bool karena_push(struct karena_queue *queue, struct karena_hand *hand,
					u64 item)
{
	if (unlikely(!hand->top || hand->top->nr == ARRAY_SIZE(hand->top->item)) &&
	    !karena_stack_grow(queue, hand))
		return false;
	hand->top->item[hand->top->nr++] = item;
	return true;
}

/* The object that was pushed last; 0 if there is none. */
static __always_inline u64 karena_pop(struct karena_queue *queue, struct karena_hand *hand)
{
	if (unlikely(!hand->top || !hand->top->nr) && !karena_stack_shrink(queue, hand))
		return 0;
	return hand->top->item[--hand->top->nr];
}

#endif /* _KARENA_GC_STACK_H */
