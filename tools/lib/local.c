// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, magazines of threads: where a CPU's cannot be worked on, as there are no
 * restartable sequences (glibc before 2.35, kernels without rseq(2)).
 *
 * Only in heaps that are not collected, and for small objects.  What a thread has goes
 * back when it ends; what a process has that dies stays allocated, as all else that it
 * had.
 */
#include "internal.h"

#define ROOM	(sizeof(((struct karena_local *)0)->object) / sizeof(void *))
#define LARGEST	1024u		/* bytes of an object */

static int is_for(const struct karena *heap, unsigned int number)
{
	size_t bytes = karena_magazine_bytes(number);

	return !heap->fast.collected && bytes <= LARGEST && bytes % KARENA_SLOT_UNIT == 0;
}

/* This thread's first, as it is in each call but the first one. */
static struct karena_cache *cache_of(struct karena *heap)
{
	struct karena_cache *cache = karena_caches;

	return cache && cache->serial == heap->fast.serial ? cache : karena_find_cache(heap);
}

/* An object, as it is; NULL if none can be had this way. */
void *karena_local_take(struct karena *heap, unsigned int number)
{
	struct karena_cache *cache = is_for(heap, number) ? cache_of(heap) : NULL;
	size_t bytes = karena_magazine_bytes(number);
	struct karena_local *local;

	if (!cache)
		return NULL;
	local = &cache->local[number];
	if (!local->count &&
	    !karena_alloc_bulk(heap, bytes, KARENA_ALLOC_NOZERO |
			       ((number - 1) & 1 ? KARENA_ALLOC_NOSCAN : 0), ROOM / 2,
			       local->object))
		local->count = ROOM / 2;
	return local->count ? local->object[--local->count] : NULL;
}

/* 1 if it has been taken, 0 if it is still the caller's. */
int karena_local_give(struct karena *heap, unsigned int number, void *object)
{
	struct karena_cache *cache = is_for(heap, number) ? cache_of(heap) : NULL;
	struct karena_local *local;

	if (!cache)
		return 0;
	local = &cache->local[number];
	if (local->count == ROOM) {
		karena_free_bulk(heap, ROOM / 2, local->object + ROOM / 2, NULL);
		local->count = ROOM / 2;
	}
	local->object[local->count++] = object;
	return 1;
}

/* All of it goes back, if its heap is open and of this kind. */
void karena_local_end(struct karena_cache *cache)
{
	unsigned int i;

	if (!karena_hold(cache->heap, cache->serial))
		return;
	for (i = 0; !cache->heap->fast.collected && i < KARENA_NR_MAGAZINES; i++)
		karena_free_bulk(cache->heap, cache->local[i].count, cache->local[i].object, NULL);
	karena_let_go();
}
