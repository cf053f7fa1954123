// SPDX-License-Identifier: GPL-2.0
/*
 * Shapes: size and layout of the objects of each central of a collected heap, by
 * small numbers that fit beside an address into a word (gc/stack.c) and into the
 * pagemap.  Blocks of them are made when they are needed, and stay until the heap
 * goes, so that they are found without a lock.
 */
#include <linux/idr.h>
#include <linux/slab.h>

#include "internal.h"

int karena_shapes_init(struct karena_heap *heap)
{
	ida_init(&heap->shape_numbers);
	heap->shapes = kcalloc(KARENA_SHAPE_BLOCKS, sizeof(*heap->shapes), GFP_KERNEL | heap->gfp);
	return heap->shapes ? 0 : -ENOMEM;
}

void karena_shapes_exit(struct karena_heap *heap)
{
	unsigned int i;

	if (!heap->shapes)
		return;
	for (i = 0; i < KARENA_SHAPE_BLOCKS; i++)
		kfree(heap->shapes[i]);
	kfree(heap->shapes);
	ida_destroy(&heap->shape_numbers);
}

/* A block, made on first use; NULL without memory. */
static struct karena_shape *get_block(struct karena_heap *heap, unsigned int nr, gfp_t gfp)
{
	struct karena_shape *block = READ_ONCE(heap->shapes[nr]), *old;

	if (block)
		return block;
	block = kcalloc(KARENA_SHAPE_BLOCK, sizeof(*block), gfp);
	if (!block)
		return NULL;
	/* Full barrier; readers depend on the address that they loaded. */
	old = cmpxchg(&heap->shapes[nr], NULL, block);
	if (!old)
		return block;
	kfree(block);
	return old;
}

/* Gives a central its number, from 1 up; false without memory, or numbers. */
bool karena_shape_new(struct karena_central *central, gfp_t gfp)
{
	struct karena_heap *heap = central->heap;
	struct karena_shape *block;
	int nr;

	nr = ida_alloc_range(&heap->shape_numbers, 1,
			     KARENA_SHAPE_BLOCK * KARENA_SHAPE_BLOCKS - 1, gfp);
	if (nr < 0)
		return false;
	block = get_block(heap, nr / KARENA_SHAPE_BLOCK, gfp);
	if (!block) {
		ida_free(&heap->shape_numbers, nr);
		return false;
	}
	/* Seen by who finds a span of the central (karena_pagemap_set()). */
	block[nr % KARENA_SHAPE_BLOCK] = (struct karena_shape){ central->layout, central->size };
	central->shape = nr;
	return true;
}
