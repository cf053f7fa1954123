// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, the objects: allocate, free, ask.
 *
 * Small ones come from the magazines of CPUs (fast.h), which belong to the heap: nothing
 * is lost with a process that is killed.  Whatever else is a system call.
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

static void *alloc_one(struct karena *heap, size_t size, unsigned int flags)
{
	void *object;

	return alloc_objects(heap, size, flags, 1, &object) ? NULL : object;
}

/* An object for the caller, and others for the magazine. */
static void *fill(struct karena *heap, unsigned int number)
{
	struct karena_fill args = { .size = sizeof(args), .magazine = number };

	return ioctl(heap->fd, KARENA_IOC_FILL, &args) ? NULL : (void *)(uintptr_t)args.object;
}

/* An object of a magazine's kind, as it is; NULL with errno. */
static void *take(struct karena *heap, unsigned int number)
{
	void *object;

	if (!heap->fast.magazines)
		return karena_local_take(heap, number);
	object = karena_fast_take(&heap->fast, number);
	return object ? object : fill(heap, number);
}

/* Whether objects are cleared before they go to a magazine: they may hold references. */
static int is_cleared(const struct karena *heap, unsigned int number)
{
	return heap->fast.collected && !((number - 1) & 1);
}

/* Which magazine has what is asked for; 0 if none. */
static unsigned int magazine_of(const struct karena *heap, size_t size, unsigned int flags)
{
	int noscan = !!(flags & KARENA_ALLOC_NOSCAN);

	if (!size || size > KARENA_MAX_SMALL || heap->checked || heap->readonly ||
	    flags & ~(KARENA_ALLOC_NOZERO | KARENA_ALLOC_NOSCAN))
		return 0;
	return karena_magazine_for(size) + noscan;
}

EXPORT void *karena_alloc_flags(struct karena *heap, size_t size,
				unsigned int flags)
{
	unsigned int number = magazine_of(heap, size, flags);
	void *object = number ? take(heap, number) : NULL;

	if (!object)
		return alloc_one(heap, size, flags);
	if (!(flags & KARENA_ALLOC_NOZERO) && !is_cleared(heap, number))
		memset(object, 0, karena_magazine_bytes(number));
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

static int free_one(struct karena *heap, void *object)
{
	return karena_free_bulk(heap, 1, &object, NULL);
}

/* To the heap, with half of a magazine that is full; but not while it is marked. */
static int flush(struct karena *heap, unsigned int number, void *object)
{
	struct karena_flush args = {
		.size = sizeof(args),
		.magazine = number,
		.object = (uintptr_t)object,
	};

	/* One that begins at an odd multiple of 8, now and then, has none. */
	if (karena_magazine_bytes(number) % KARENA_SLOT_UNIT || karena_is_marking(heap))
		return free_one(heap, object);
	if (ioctl(heap->fd, KARENA_IOC_FLUSH, &args))
		return -1;
	if (args.reason == KARENA_REJECT_NONE)
		return 0;
	errno = EINVAL;
	return -1;
}

EXPORT int karena_free(struct karena *heap, void *object)
{
	unsigned int number = karena_fast_magazine(&heap->fast, object);

	if (!object)
		return 0;
	if (!number)
		return free_one(heap, object);
	if (!heap->fast.magazines)
		return karena_local_give(heap, number, object) ? 0 : free_one(heap, object);
	if (is_cleared(heap, number)) {
		/* What it refers to is shaded by the call: karena_store() has not seen it go. */
		if (karena_is_marking(heap))
			return free_one(heap, object);
		memset(object, 0, karena_magazine_bytes(number));
	}
	return karena_fast_give(&heap->fast, number, object) ? 0 : flush(heap, number, object);
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
