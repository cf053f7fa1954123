// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, allocation without a system call each: a thread takes objects of a type
 * from the kernel some at a time, and hands them out one by one.
 *
 * Only in heaps that are collected.  There nothing is lost with a thread or process
 * that dies: what it has not handed out, nobody can reach.  While it lives, its cache
 * is a root: all of it holds struct karena_extent, or what looks like none.
 *
 * A thread has a cache for each heap that it allocates from.  It is in a mapping that
 * the kernel clears in a child after fork(), however that is done: no object is
 * handed out twice.  Heaps are told apart by a number that is never used again.
 */
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "internal.h"

#define SLOTS		16
#define FIRST_BATCH	4
#define MOST_BYTES	16384	/* of a batch */
#define FLUSH		64u

/* Objects of one type: those in the extents from @at up to @nr. */
struct slot {
	__u32 type;
	__u32 distance;		/* from one object to the next */
	__u32 at;
	__u32 nr;
	__u32 batch;		/* how many were taken the last time */
	__u32 unused[3];
	struct karena_extent extent[KARENA_MAX_EXTENTS];
};
KARENA_ASSERT(sizeof(struct slot) % sizeof(struct karena_extent) == 0);

struct cache {
	struct cache *next;
	__u64 serial;		/* of the heap; 0 in a child after fork() */
	struct slot slot[SLOTS];
};

static __thread struct cache *caches
	__attribute__((tls_model("initial-exec")));
static pthread_key_t at_end;

/* --- caches come and go --- */

/* A thread ends: what its caches still have is garbage. */
static void drop_caches(void *unused)
{
	struct cache *cache;

	(void)unused;
	while ((cache = caches)) {
		caches = cache->next;
		karena_drop_root(cache->serial, cache, sizeof(*cache));
		munmap(cache, sizeof(*cache));
	}
}

/* Of a heap that is being closed, by this thread; those of others go with them. */
void karena_drop_cache(struct karena *heap)
{
	struct cache **at = &caches, *cache;

	while (*at && (*at)->serial != heap->serial)
		at = &(*at)->next;
	cache = *at;
	if (!cache)
		return;
	*at = cache->next;
	munmap(cache, sizeof(*cache));
}

static __attribute__((constructor)) void make_key(void)
{
	pthread_key_create(&at_end, drop_caches);
}

/* NULL if it cannot be had: then each object is a system call. */
static struct cache *map_cache(struct karena *heap)
{
	struct cache *cache = mmap(NULL, sizeof(*cache), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (cache == MAP_FAILED)
		return NULL;
	if (!madvise(cache, sizeof(*cache), MADV_WIPEONFORK) &&
	    !pthread_setspecific(at_end, cache) &&
	    !karena_add_extents(heap, cache, sizeof(*cache)))
		return cache;
	munmap(cache, sizeof(*cache));
	return NULL;
}

/* Of a child after fork(), where it is a root still, of whichever heap; or a new one. */
static struct cache *adopt_cache(struct karena *heap, struct cache *wiped)
{
	if (!wiped)
		return map_cache(heap);
	karena_drop_root(0, wiped, sizeof(*wiped));
	return karena_add_extents(heap, wiped, sizeof(*wiped)) ? NULL : wiped;
}

/* This thread's cache for a heap becomes the first one. */
static struct cache *find_cache(struct karena *heap)
{
	struct cache **at = &caches, *cache;

	while (*at && (*at)->serial && (*at)->serial != heap->serial)
		at = &(*at)->next;
	cache = *at;
	if (!cache || !cache->serial) {
		cache = adopt_cache(heap, cache);
		if (!cache)
			return NULL;
		cache->serial = heap->serial;
	}
	if (*at)
		*at = cache->next;
	cache->next = caches;
	caches = cache;
	return cache;
}

/* --- objects --- */

/* The extent that the next object is of; NULL if there is none. */
static struct karena_extent *current(struct slot *slot)
{
	while (slot->at < slot->nr && slot->extent[slot->at].start == slot->extent[slot->at].end)
		slot->at++;
	return slot->at < slot->nr ? &slot->extent[slot->at] : NULL;
}

static void *hand_out(struct slot *slot, struct karena_extent *extent)
{
	void *object = (void *)(uintptr_t)extent->start;

	/* In a register before the cache does not keep it any more. */
	__asm__ volatile("" : "+r"(object) : : "memory");
	extent->start += slot->distance;
	return object;
}

static void flush_slot(struct karena *heap, struct slot *slot)
{
	struct karena_extent *extent;
	void *object[FLUSH];
	unsigned int n;

	do {
		for (n = 0; n < FLUSH && (extent = current(slot)); n++)
			object[n] = hand_out(slot, extent);
		if (n)
			karena_free_bulk(heap, n, object, NULL);
	} while (n);
	memset(slot, 0, sizeof(*slot));
}

/* What this thread has and does not use yet goes back. */
void karena_flush(struct karena *heap)
{
	struct cache *cache = caches;
	int i;

	while (cache && cache->serial != heap->serial)
		cache = cache->next;
	for (i = 0; cache && i < SLOTS; i++)
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

	return ioctl(heap->fd, KARENA_IOC_ALLOC, &args) ? NULL : object;
}

/* How many to take now: more and more, as long as they are used. */
static __u32 next_batch(const struct slot *slot, struct karena_type type)
{
	__u32 batch = slot->batch ? 2 * slot->batch : FIRST_BATCH;

	return batch > MOST_BYTES / type.element ? MOST_BYTES / type.element : batch;
}

/* Fills a slot that is empty; 0, or -1 if it stays so. */
static int take(struct karena *heap, struct karena_type type, struct slot *slot)
{
	struct karena_refill args = {
		.size = sizeof(args),
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
	slot->distance = args.distance;
	return 0;
}

/* Not inline: karena_new() is to save no registers for it. */
static __attribute__((noinline)) void *refill(struct karena *heap, struct karena_type type)
{
	struct cache *cache = heap->collected && type.id ? find_cache(heap) : NULL;
	struct karena_extent *extent;
	struct slot *slot;

	if (!cache)
		return take_one(heap, type);
	slot = &cache->slot[type.id % SLOTS];
	if (slot->type != type.id)
		flush_slot(heap, slot);
	extent = current(slot);
	if (!extent && take(heap, type, slot))
		return take_one(heap, type);
	return hand_out(slot, extent ? extent : slot->extent);
}

EXPORT void *karena_new(struct karena *heap, struct karena_type type)
{
	struct cache *cache = caches;
	struct karena_extent *extent;
	struct slot *slot;

	if (cache && cache->serial == heap->serial) {
		slot = &cache->slot[type.id % SLOTS];
		extent = &slot->extent[slot->at % KARENA_MAX_EXTENTS];
		if (slot->type == type.id && extent->start < extent->end)
			return hand_out(slot, extent);
	}
	return refill(heap, type);
}
