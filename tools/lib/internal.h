/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/*
 * What the files of libkarena share.  Nothing here is seen from outside.
 */
#ifndef LIBKARENA_INTERNAL_H
#define LIBKARENA_INTERNAL_H

/* Here each function is itself. */
#define KARENA_NO_INLINE

#include "cache.h"
#include "karena.h"

#define EXPORT __attribute__((visibility("default")))

/*
 * Arrays of pointers go to the kernel as they are, where they are arrays of
 * __u64.
 */
KARENA_ASSERT(sizeof(void *) == sizeof(__u64));

struct ranges;

/*
 * Never changes between open and close, which is why no call needs a lock; but for
 * @data, what of the program's memory is registered as roots, and @next: roots.c.
 *
 * @control is NULL only if the module says that there is none.
 */
struct karena {
	struct karena_fast fast;	/* first: inline.h knows that */
	int fd;
	int readonly;
	__u32 id;
	void *base;
	size_t window;
	const struct karena_control *control;
	size_t control_size;
	struct ranges *data;
	int barrier;
	int checked;		/* no object passes by the kernel */
	struct karena *next;	/* of those that are open: roots.c */
};

/* Of a heap that is collected. */
static inline int karena_is_marking(const struct karena *heap)
{
	return __atomic_load_n(&heap->control->phase, __ATOMIC_ACQUIRE) == KARENA_PHASE_MARK;
}

/* roots.c */
void karena_opened(struct karena *heap);
void karena_closed(struct karena *heap);
int karena_refresh_roots(struct karena *heap);
int karena_add_extents(struct karena *heap, void *start, size_t size);
void karena_drop_root(__u64 serial, void *start, size_t size);

int karena_hold(const struct karena *heap, __u64 serial);
void karena_let_go(void);

/* cache.c */
struct karena_cache *karena_find_cache(struct karena *heap);
void karena_drop_cache(struct karena *heap);

/* refill.c */
void karena_flush(struct karena *heap);

/* local.c */
void *karena_local_take(struct karena *heap, unsigned int number);
int karena_local_give(struct karena *heap, unsigned int number, void *object);
void karena_local_end(struct karena_cache *cache);

/* scope.c */
void karena_scopes_end(struct karena_cache *cache);

/* barrier.c */
void karena_shade_words(struct karena *heap, const void *words, size_t count);

/* object.c */
void *karena_alloc_one(struct karena *heap, size_t size, unsigned int flags);

#endif /* LIBKARENA_INTERNAL_H */
