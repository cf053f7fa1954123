// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, the objects: allocate, free, ask.
 *
 * One system call a function.  Nothing is cached in the process, because a
 * process that is killed would take what it caches with it (but see cache.c); who
 * wants speed uses the bulk forms.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#include "internal.h"

static int alloc_objects(struct karena *heap, size_t size, unsigned int flags,
			 size_t count, void **objects)
{
	struct karena_alloc args = {
		.size = sizeof(args),
		.flags = flags,
		.object_size = size,
		.count = count,
		.addrs = (uintptr_t)objects,
	};

	return ioctl(heap->fd, KARENA_IOC_ALLOC, &args);
}

EXPORT void *karena_alloc_flags(struct karena *heap, size_t size,
				unsigned int flags)
{
	void *object;

	if (alloc_objects(heap, size, flags, 1, &object))
		return NULL;
	return object;
}

EXPORT void *karena_alloc(struct karena *heap, size_t size)
{
	return karena_alloc_flags(heap, size, 0);
}

EXPORT int karena_alloc_bulk(struct karena *heap, size_t size,
			     unsigned int flags, size_t count, void **objects)
{
	/* The kernel would say the same, but of a count of 32 bits. */
	if (count > KARENA_MAX_BULK) {
		errno = EINVAL;
		return -1;
	}
	if (!count)
		return 0;
	return alloc_objects(heap, size, flags, count, objects);
}

/* Returns how many were rejected, or -1. */
static long free_objects(struct karena *heap, size_t count,
			 void *const *objects)
{
	struct karena_free args = {
		.size = sizeof(args),
		.count = count,
		.addrs = (uintptr_t)objects,
	};

	if (ioctl(heap->fd, KARENA_IOC_FREE, &args))
		return -1;
	return args.rejected;
}

EXPORT int karena_free(struct karena *heap, void *object)
{
	return object ? karena_free_bulk(heap, 1, &object, NULL) : 0;
}

EXPORT int karena_free_bulk(struct karena *heap, size_t count,
			    void *const *objects, size_t *rejected)
{
	size_t done, part, sum = 0;
	long n = 0;

	for (done = 0; done < count && n >= 0; done += part) {
		part = count - done;
		if (part > KARENA_MAX_BULK)
			part = KARENA_MAX_BULK;
		n = free_objects(heap, part, objects + done);
		if (n > 0)
			sum += n;
	}
	if (rejected)
		*rejected = sum;
	if (n >= 0 && sum)
		errno = EINVAL;
	return n < 0 || sum ? -1 : 0;
}

EXPORT size_t karena_usable_size(struct karena *heap, const void *object)
{
	struct karena_usable args = {
		.size = sizeof(args),
		.addr = (uintptr_t)object,
	};

	if (ioctl(heap->fd, KARENA_IOC_USABLE, &args))
		return 0;
	return args.usable;
}

EXPORT char *karena_strdup(struct karena *heap, const char *text)
{
	size_t size = strlen(text) + 1;
	unsigned int flags = KARENA_ALLOC_NOSCAN | KARENA_ALLOC_NOZERO;
	char *copy;

	copy = karena_alloc_flags(heap, size, flags);
	return copy ? memcpy(copy, text, size) : NULL;
}
