/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/*
 * What the files of libkarena share.  Nothing here is seen from outside.
 */
#ifndef LIBKARENA_INTERNAL_H
#define LIBKARENA_INTERNAL_H

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
	__u64 serial;		/* above 0, and never used again */
	struct karena *next;	/* of those that are open: roots.c */
};

/* roots.c */
void karena_opened(struct karena *heap);
void karena_closed(struct karena *heap);
int karena_refresh_roots(struct karena *heap);
int karena_add_extents(struct karena *heap, void *start, size_t size);
void karena_drop_root(__u64 serial, void *start, size_t size);

/* cache.c */
void karena_flush(struct karena *heap);
void karena_drop_cache(struct karena *heap);

#endif /* LIBKARENA_INTERNAL_H */
