/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/*
 * libkarena, what a thread has ready of each heap that it allocates from: an object of a
 * type is taken by some ten instructions, which programs have inline.
 *
 * The layout is that of the library's version; nothing of it is for programs to use.
 */
#ifndef KARENA_CACHE_H
#define KARENA_CACHE_H

#include "fast.h"

struct karena;

/* Objects of one type that are ready, in a heap that is collected: refill.c. */
struct karena_slot {
	__u32 type;
	__u32 distance;		/* from one object to the next */
	__u32 at;		/* those in the extents from here */
	__u32 nr;		/* up to here */
	__u32 batch;		/* how many were taken the last time */
	__u32 unused[3];
	struct karena_extent extent[KARENA_MAX_EXTENTS];
};
KARENA_ASSERT(sizeof(struct karena_slot) % sizeof(struct karena_extent) == 0);

/* Those of one magazine's kind, in another heap: local.c. */
struct karena_local {
	unsigned int count;
	void *object[32];
};

#define KARENA_SLOTS	16

/* What a thread has of a heap: cache.c. */
struct karena_cache {
	struct karena_cache *next;
	__u64 serial;		/* of the heap; 0 in a child after fork() */
	struct karena *heap;	/* may be closed, or NULL: see karena_hold() */
	struct karena_scopes *scopes;	/* or NULL: scope.c */
	union {
		struct karena_slot slot[KARENA_SLOTS];
		struct karena_local local[KARENA_NR_MAGAZINES];
	};
};

extern __thread struct karena_cache *karena_caches __attribute__((tls_model("initial-exec")));

static inline void *karena_hand_out(struct karena_slot *slot, struct karena_extent *extent)
{
	void *object = (void *)(unsigned long)extent->start;

	/* In a register before the cache does not keep it any more. */
	__asm__ __volatile__("" : "+r"(object) : : "memory");
	extent->start += slot->distance;
	return object;
}

/* The next object of a type that this thread has ready; NULL if it has none. */
static inline void *karena_cache_take(const struct karena_fast *fast, __u32 type)
{
	struct karena_cache *cache = karena_caches;
	struct karena_extent *extent;
	struct karena_slot *slot;

	if (!cache || cache->serial != fast->serial)
		return NULL;
	slot = &cache->slot[type % KARENA_SLOTS];
	extent = &slot->extent[slot->at % KARENA_MAX_EXTENTS];
	if (slot->type != type || extent->start >= extent->end)
		return NULL;
	return karena_hand_out(slot, extent);
}

#endif /* KARENA_CACHE_H */
