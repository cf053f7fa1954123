/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A collected heap, and processes that change it while it is collected, step by step
 * together.  Addresses are kept inverted, in memory that is not searched, so that
 * nothing lives by chance.
 */
#ifndef _TESTS_USER_WORLD_H
#define _TESTS_USER_WORLD_H

#include <pthread.h>

#include "heap.h"

#define MACHINE_PAGE	4096u
#define PER_PAGE	512u	/* references */
#define MOST_ROOTS	4u

/* Shared by the processes of a case; only @root is searched. */
struct world {
	struct heap heap;
	pthread_barrier_t barrier;
	bool over;
	bool collected;			/* the cycle under way is over */
	__u64 stops;			/* before it */
	unsigned int nr;		/* who waits at the barrier, besides of the first */
	__u64 root[MOST_ROOTS];
	__u64 word[65536];		/* and this, once it is registered */
};

/* NULL when it failed; nothing is collected that is not asked for. */
struct world *world_new(unsigned int nr);
void world_delete(struct world *w);

/* What it takes a while to mark, and only then @last. */
__u64 world_chain(struct world *w, __u64 last);
/* Stops that there have been. */
__u64 world_stops(struct world *w);
/* One cycle that is in no hurry: nobody waits for it. */
void world_collect_slowly(struct world *w);
bool is_alive(struct world *w, __u64 addr);

/* Plain stores and loads, where and as often as they are written down. */
static inline void put(__u64 addr, __u64 value)
{
	__atomic_store_n((__u64 *)as_ptr(addr), value, __ATOMIC_RELAXED);
	__asm__ volatile("" ::: "memory");
}

static inline __u64 get(__u64 addr)
{
	return __atomic_load_n((__u64 *)as_ptr(addr), __ATOMIC_RELAXED);
}

static inline bool is_set(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static inline void set(bool *flag, bool value)
{
	__atomic_store_n(flag, value, __ATOMIC_RELEASE);
}

#endif /* _TESTS_USER_WORLD_H */
