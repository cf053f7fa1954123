// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, what a thread has of each heap that it allocates from: objects that are
 * ready for it (refill.c, local.c), and scopes (scope.c).
 *
 * It is in a mapping that the kernel clears in a child after fork(), however that is
 * done: no object is handed out twice.  Heaps are told apart by a number that is never
 * used again.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "internal.h"

EXPORT __thread struct karena_cache *karena_caches;
static pthread_key_t at_end;

/* What of it is searched for extents. */
#define ROOT_SIZE	(offsetof(struct karena_cache, slot) + \
			 sizeof(((struct karena_cache *)0)->slot))

static void end_cache(struct karena_cache *cache)
{
	/* Of a child, it may be a root of any heap; of one that is not, it is none. */
	karena_drop_root(cache->serial, cache, ROOT_SIZE);
	karena_local_end(cache);
	karena_scopes_end(cache);
	munmap(cache, sizeof(*cache));
}

/* A thread ends: what its caches still have is garbage, or goes back. */
static void end_caches(void *unused)
{
	struct karena_cache *cache;

	(void)unused;
	while ((cache = karena_caches)) {
		karena_caches = cache->next;
		end_cache(cache);
	}
}

/* Of a heap that is being closed, by this thread; those of others go with them. */
void karena_drop_cache(struct karena *heap)
{
	struct karena_cache **at = &karena_caches, *cache;

	while (*at && (*at)->serial != heap->fast.serial)
		at = &(*at)->next;
	cache = *at;
	if (!cache)
		return;
	*at = cache->next;
	end_cache(cache);
}

static __attribute__((constructor)) void make_key(void)
{
	pthread_key_create(&at_end, end_caches);
}

/* Makes it this heap's; -1 if it cannot be. */
static int adopt(struct karena *heap, struct karena_cache *cache)
{
	if (heap->fast.collected && karena_add_extents(heap, cache, ROOT_SIZE))
		return -1;
	cache->heap = heap;
	cache->serial = heap->fast.serial;
	return 0;
}

/* NULL if it cannot be had: then each object is a system call. */
static struct karena_cache *map_cache(struct karena *heap)
{
	struct karena_cache *cache = mmap(NULL, sizeof(*cache), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (cache == MAP_FAILED)
		return NULL;
	if (!madvise(cache, sizeof(*cache), MADV_WIPEONFORK) &&
	    !pthread_setspecific(at_end, cache) && !adopt(heap, cache))
		return cache;
	munmap(cache, sizeof(*cache));
	return NULL;
}

/* Of a child after fork(), where it is a root still, of whichever heap; or a new one. */
static struct karena_cache *adopt_or_map(struct karena *heap, struct karena_cache *wiped)
{
	if (!wiped)
		return map_cache(heap);
	karena_drop_root(0, wiped, ROOT_SIZE);
	return adopt(heap, wiped) ? NULL : wiped;
}

/* This thread's cache for a heap, which becomes the first one. */
struct karena_cache *karena_find_cache(struct karena *heap)
{
	struct karena_cache **at = &karena_caches, *cache;

	while (*at && (*at)->serial && (*at)->serial != heap->fast.serial)
		at = &(*at)->next;
	cache = *at;
	if (!cache || !cache->serial)
		cache = adopt_or_map(heap, cache);
	if (!cache)
		return NULL;
	if (*at)
		*at = cache->next;
	cache->next = karena_caches;
	karena_caches = cache;
	return cache;
}
