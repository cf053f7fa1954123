// SPDX-License-Identifier: GPL-2.0
/*
 * Stands in for libkarena, for programs that are made and run without the module: objects
 * come from malloc().  What is given back is filled with a pattern, be it freed by hand or
 * with the scope of a function; the stack below a function that has returned is filled by
 * poison().  Objects from the heap are counted.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KARENA_NO_INLINE
#include <karena.h>

#include "../../tools/lib/frame.h"
#include "standin.h"

#define POISON		0xa5
#ifdef STANDIN_COUNTS
#define MOST_BYTES	(256 << 10)
#else
#define MOST_BYTES	2048	/* few, so that the limit is met */
#endif

struct block {
	struct block *next;
	size_t size;
	size_t unused[2];
	char bytes[];
};

struct karena_frame {
	struct block *blocks;
	size_t taken;
	unsigned long long unused[6];
};
KARENA_ASSERT(sizeof(struct karena_frame) == KARENA_FRAME_SIZE);

unsigned long standin_heap, standin_scope;

void poison(void)
{
	volatile char frames[8192];
	size_t i;

	for (i = 0; i < sizeof(frames); i++)
		frames[i] = (char)POISON;
}

static struct block *new_block(size_t size)
{
	struct block *block = calloc(1, sizeof(*block) + size);

	if (!block)
		abort();
	block->size = size;
	return block;
}

static void drop(struct block *block)
{
	memset(block->bytes, POISON, block->size);
}

/* For the benchmark, in whose programs nothing else tells. */
#ifdef STANDIN_COUNTS
static __attribute__((destructor)) void tell(void)
{
	fprintf(stderr, "objects=%lu scope=%lu\n", standin_heap, standin_scope);
}
#endif

struct karena *karena_open(const struct karena_options *opts)
{
	static char heap;

	(void)opts;
	return (struct karena *)&heap;
}

void karena_close(struct karena *heap)
{
	(void)heap;
}

void *(karena_alloc)(struct karena *heap, size_t size)
{
	(void)heap;
	standin_heap++;
	return new_block(size)->bytes;
}

void *karena_alloc_flags(struct karena *heap, size_t size, unsigned int flags)
{
	(void)flags;
	return karena_alloc(heap, size);
}

void *(karena_new)(struct karena *heap, struct karena_type type)
{
	return karena_alloc(heap, type.element);
}

void *karena_new_array(struct karena *heap, struct karena_type type, size_t count)
{
	return karena_alloc(heap, type.element * count);
}

struct karena_type karena_type(struct karena *heap, const char *name, size_t size,
			       const __u32 *refs, size_t nr_refs)
{
	(void)heap;
	(void)name;
	(void)refs;
	(void)nr_refs;
	return (struct karena_type){ 1, size };
}

int karena_free(struct karena *heap, void *object)
{
	(void)heap;
	if (object)
		drop((struct block *)((char *)object - offsetof(struct block, bytes)));
	return 0;
}

void karena_store(struct karena *heap, void *slot, const void *value)
{
	(void)heap;
	memcpy(slot, &value, sizeof(value));
}

void karena_move(struct karena *heap, void *to, const void *from, size_t size)
{
	(void)heap;
	memmove(to, from, size);
}

/* --- what the compiler calls --- */

void *karena_frame_alloc(struct karena_frame *frame, struct karena *heap, size_t size)
{
	struct block *block;

	if (frame->taken + size > MOST_BYTES)
		return karena_alloc(heap, size);
	standin_scope++;
	frame->taken += size;
	block = new_block(size);
	block->next = frame->blocks;
	frame->blocks = block;
	return block->bytes;
}

void *karena_frame_alloc_flags(struct karena_frame *frame, struct karena *heap, size_t size,
			       unsigned int flags)
{
	(void)flags;
	return karena_frame_alloc(frame, heap, size);
}

void *karena_frame_new(struct karena_frame *frame, struct karena *heap, struct karena_type type)
{
	return karena_frame_alloc(frame, heap, type.element);
}

void *karena_frame_new_array(struct karena_frame *frame, struct karena *heap,
			     struct karena_type type, size_t count)
{
	return karena_frame_alloc(frame, heap, type.element * count);
}

void karena_frame_close(struct karena_frame *frame)
{
	struct block *block;

	for (block = frame->blocks; block; block = block->next)
		drop(block);
	frame->blocks = NULL;
}
