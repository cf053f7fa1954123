/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/*
 * What the files of libkarena share.  Nothing here is seen from outside.
 */
#ifndef LIBKARENA_INTERNAL_H
#define LIBKARENA_INTERNAL_H

#include "fast.h"
#include "karena.h"

#define EXPORT __attribute__((visibility("default")))

/*
 * Arrays of pointers go to the kernel as they are, where they are arrays of
 * __u64.
 */
KARENA_ASSERT(sizeof(void *) == sizeof(__u64));

struct ranges;

/* Objects of one type that are ready, in a heap that is collected: refill.c. */
struct slot {
	__u32 type;
	__u32 distance;		/* from one object to the next */
	__u32 at;		/* those in the extents from here */
	__u32 nr;		/* up to here */
	__u32 batch;		/* how many were taken the last time */
	__u32 unused[3];
	struct karena_extent extent[KARENA_MAX_EXTENTS];
};
KARENA_ASSERT(sizeof(struct slot) % sizeof(struct karena_extent) == 0);

/* Those of one magazine's kind, in another heap: local.c. */
struct local {
	unsigned int count;
	void *object[32];
};

#define KARENA_SLOTS	16

/* What a thread has of a heap: cache.c. */
struct cache {
	struct cache *next;
	__u64 serial;		/* of the heap; 0 in a child after fork() */
	struct karena *heap;	/* may be closed, or NULL: see karena_hold() */
	__u64 unused;
	union {
		struct slot slot[KARENA_SLOTS];
		struct local local[KARENA_NR_MAGAZINES];
	};
};

extern __thread struct cache *karena_caches __attribute__((tls_model("initial-exec")));

/*
 * Never changes between open and close, which is why no call needs a lock; but for
 * @data, what of the program's memory is registered as roots, and @next: roots.c.
 *
 * @control is NULL only if the module says that there is none.
 */
struct karena {
	struct karena_fast fast;	/* first: karena.h knows that */
	int fd;
	int readonly;
	__u32 id;
	void *base;
	size_t window;
	const struct karena_control *control;
	size_t control_size;
	struct ranges *data;
	int collected;
	int barrier;
	int checked;		/* no object passes by the kernel */
	__u64 serial;		/* above 0, and never used again */
	struct karena *next;	/* of those that are open: roots.c */
};

/* roots.c */
void karena_opened(struct karena *heap);
void karena_closed(struct karena *heap);
int karena_refresh_roots(struct karena *heap);
int karena_add_extents(struct karena *heap, void *start, size_t size);
void karena_drop_root(__u64 serial, void *start, size_t size);

int karena_hold(const struct karena *heap, __u64 serial);
void karena_let_go(void);

/* cache.c */
struct cache *karena_find_cache(struct karena *heap);
void karena_drop_cache(struct karena *heap);

/* refill.c */
void karena_flush(struct karena *heap);

/* local.c */
void *karena_local_take(struct karena *heap, unsigned int number);
int karena_local_give(struct karena *heap, unsigned int number, void *object);
void karena_local_end(struct cache *cache);

/* object.c */
void *karena_alloc_one(struct karena *heap, size_t size, unsigned int flags);

#endif /* LIBKARENA_INTERNAL_H */
