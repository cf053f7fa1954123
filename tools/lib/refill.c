// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, objects of a type without a system call each: a thread takes some at a time
 * from the kernel, and hands them out one by one.
 *
 * Only in heaps that are collected.  There nothing is lost with a thread or process
 * that dies: what it has not handed out, nobody can reach.  While it lives, its slots
 * are a root: all of them hold struct karena_extent, or what looks like none.
 */
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#include "internal.h"

#define FIRST_BATCH	4
#define MOST_BYTES	16384	/* of a batch */
#define FLUSH		64u

/* The extent that the next object is of; NULL if there is none. */
static struct karena_extent *current(struct karena_slot *slot)
{
	while (slot->at < slot->nr && slot->extent[slot->at].start == slot->extent[slot->at].end)
		slot->at++;
	return slot->at < slot->nr ? &slot->extent[slot->at] : NULL;
}

static void flush_slot(struct karena *heap, struct karena_slot *slot)
{
	struct karena_extent *extent;
	void *object[FLUSH];
	unsigned int n;

	do {
		for (n = 0; n < FLUSH && (extent = current(slot)); n++)
			object[n] = karena_hand_out(slot, extent);
		if (n)
			karena_free_bulk(heap, n, object, NULL);
	} while (n);
	memset(slot, 0, sizeof(*slot));
}

/* What this thread has and does not use yet goes back. */
void karena_flush(struct karena *heap)
{
	struct karena_cache *cache = karena_caches;
	int i;

	while (cache && cache->serial != heap->fast.serial)
		cache = cache->next;
	for (i = 0; cache && i < KARENA_SLOTS; i++)
		flush_slot(heap, &cache->slot[i]);
}

static void *take_one(struct karena *heap, struct karena_type type)
{
	void *object;
	struct karena_alloc args = {
		.size = sizeof(args),
		.count = 1,
		.type = type.id,
		.addrs = (uintptr_t)&object,
	};

	if (ioctl(heap->fd, KARENA_IOC_ALLOC, &args))
		return NULL;
	karena_note_sampled(heap, object);
	return object;
}

/* How many to take now: more and more, as long as they are used. */
static __u32 next_batch(const struct karena_slot *slot, struct karena_type type)
{
	__u32 batch = slot->batch ? 2 * slot->batch : FIRST_BATCH;

	return batch > MOST_BYTES / type.element ? MOST_BYTES / type.element : batch;
}

/* Fills a slot that is empty; 0, or -1 if it stays so. */
static int take(struct karena *heap, struct karena_type type, struct karena_slot *slot)
{
	struct karena_refill args = {
		.size = sizeof(args),
		.flags = slot->flags,
		.type = type.id,
		.count = next_batch(slot, type),
		.extents = (uintptr_t)slot->extent,
		.room = KARENA_MAX_EXTENTS,
	};

	slot->type = type.id;
	slot->at = 0;
	slot->nr = 0;
	slot->batch = args.count;
	/* Large ones are not worth it; near the limit there may be room for one. */
	if (args.count < 2 || ioctl(heap->fd, KARENA_IOC_REFILL, &args)) {
		slot->batch = 0;
		return -1;
	}
	slot->nr = args.room;
	slot->flags = args.flags;
	slot->distance = args.distance;
	/* One that is sampled comes alone. */
	if (args.count == 1)
		karena_note_sampled(heap, (void *)(uintptr_t)slot->extent->start);
	return 0;
}

/* Not inline: karena_new() is to save no registers for it. */
static __attribute__((noinline)) void *refill(struct karena *heap, struct karena_type type)
{
	struct karena_cache *cache = NULL;
	struct karena_extent *extent;
	struct karena_slot *slot;

	if (heap->fast.collected && type.id)
		cache = karena_find_cache(heap);
	if (!cache)
		return take_one(heap, type);
	slot = &cache->slot[type.id % KARENA_SLOTS];
	if (slot->type != type.id)
		flush_slot(heap, slot);
	extent = current(slot);
	if (!extent)
		karena_pools_tick(heap);
	if (!extent && take(heap, type, slot))
		return take_one(heap, type);
	return karena_hand_out(slot, extent ? extent : slot->extent);
}

EXPORT void *karena_new(struct karena *heap, struct karena_type type)
{
	void *object = karena_cache_take(&heap->fast, type.id);

	return object ? object : refill(heap, type);
}
