// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena-malloc: malloc and its family, from a heap in the kernel that no stray write
 * can harm (malloc(3), posix_memalign(3), malloc_usable_size(3), malloc_trim(3)).
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define EXPORT		__attribute__((visibility("default")))
#define ALIGNMENT	16
#define FRESH_SIZE	(128u << 10)	/* from here on, pages are had anew rather than cleared */

/* C23 */
void free_sized(void *object, size_t size);
void free_aligned_sized(void *object, size_t alignment, size_t size);

/* Of no size that SMALL is for, or without a heap. */
static __attribute__((noinline)) void *malloc_other(size_t size)
{
	struct state *state = karena_state;
	unsigned int number = 0;
	void *object;

	if (state->most_small)
		number = size <= KARENA_MAX_SMALL ? karena_magazine_for(size) + 1 :
						    karena_magazine_for_large(size);
	object = number ? karena_fast_take(&state->fast, number) : NULL;
	return likely(object) ? object : karena_take_slowly(size);
}

EXPORT void *malloc(size_t size)
{
	struct state *state = karena_state;
	void *object;

	if (unlikely(size >= state->most_small))
		return malloc_other(size);
	object = karena_fast_take(&state->fast, state->small[(size + KARENA_SLOT_UNIT - 1) /
							     KARENA_SLOT_UNIT]);
	return likely(object) ? object : karena_take_slowly(size);
}

EXPORT void free(void *object)
{
	const struct karena_fast *fast = &karena_state->fast;
	unsigned long slot = karena_fast_slot(fast, object);

	/* Who gets it next is about to write there, and on some CPUs all else waits for it. */
	__builtin_prefetch(object, 1);
	if (likely(slot < fast->slots &&
		   karena_fast_put(fast, karena_fast_number(fast, slot), slot)))
		return;
	if (object)
		karena_give_slowly(object);
}

EXPORT void free_sized(void *object, size_t size)
{
	(void)size;
	free(object);
}

EXPORT void free_aligned_sized(void *object, size_t alignment, size_t size)
{
	(void)alignment;
	(void)size;
	free(object);
}

/* Large objects begin with a page. */
static void clear_large(char *object, size_t size)
{
	size_t page = sysconf(_SC_PAGESIZE), whole = size / page * page;

	/* What is locked in memory cannot be had anew. */
	if (madvise(object, whole, MADV_DONTNEED))
		memset(object, 0, whole);
	memset(object + whole, 0, size - whole);
}

EXPORT void *calloc(size_t count, size_t size)
{
	void *object;

	if (__builtin_mul_overflow(count, size, &size)) {
		errno = ENOMEM;
		return NULL;
	}
	object = malloc(size);
	if (!object)
		return NULL;
	if (size >= FRESH_SIZE && karena_size_of(object))
		clear_large(object, size);
	else
		memset(object, 0, size);
	return object;
}

/* Of any object, or what may be read behind it. */
static size_t readable(void *object, size_t size)
{
	size_t have = karena_size_of(object), left;

	if (have)
		return have;
	return karena_is_foreign(object, &left) && left < size ? left : size;
}

/* What grows is likely to go on; memory that is not written costs nothing. */
static void *with_slack(size_t have, size_t size)
{
	void *object = NULL;

	if (size > have && size > KARENA_MAX_SMALL && size <= PTRDIFF_MAX / 2)
		object = malloc(size + size / 8);
	return object ? object : malloc(size);
}

static void *move(void *object, size_t size)
{
	size_t have = readable(object, size);
	void *other = with_slack(have, size);

	if (!other)
		return NULL;
	memcpy(other, object, have < size ? have : size);
	free(object);
	return other;
}

/* Whether an object may stay: it suffices, and half of it is used. */
static int fits(size_t have, size_t size)
{
	return size <= have && size >= have / 2;
}

EXPORT void *realloc(void *object, size_t size)
{
	size_t have, left;

	if (!object)
		return malloc(size);
	have = karena_size_of(object);
	if (!have && !karena_is_foreign(object, &left))
		return __libc_realloc(object, size);
	if (!size) {
		free(object);
		return NULL;
	}
	return fits(have, size) ? object : move(object, size);
}

EXPORT void *reallocarray(void *object, size_t count, size_t size)
{
	if (__builtin_mul_overflow(count, size, &size)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(object, size);
}

/* A size of a class whose objects are all aligned; above KARENA_MAX_SMALL if none is. */
static size_t aligned_size(size_t alignment, size_t size)
{
	size_t bytes;

	for (size = size ? size : 1; size <= KARENA_MAX_SMALL; size = bytes + 1) {
		bytes = karena_magazine_bytes(karena_magazine_for(size));
		if (bytes % alignment == 0)
			return bytes;
	}
	return KARENA_MAX_SMALL + 1;
}

/* @alignment is a power of two. */
static void *aligned(size_t alignment, size_t size)
{
	void *object = NULL;

	if (alignment <= ALIGNMENT)
		return malloc(size);
	if (alignment <= KARENA_PAGE_SIZE)
		object = malloc(size <= KARENA_MAX_SMALL ? aligned_size(alignment, size) : size);
	if (object && (uintptr_t)object % alignment == 0)
		return object;
	/* The heap does not do that, or there is none. */
	free(object);
	return __libc_memalign(alignment, size);
}

static int is_power_of_two(size_t n)
{
	return n && !(n & (n - 1));
}

EXPORT void *memalign(size_t alignment, size_t size)
{
	size_t rounded = ALIGNMENT;

	if (alignment > SIZE_MAX / 2 + 1) {
		errno = EINVAL;
		return NULL;
	}
	while (rounded < alignment)
		rounded *= 2;
	return aligned(rounded, size);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

EXPORT int posix_memalign(void **object, size_t alignment, size_t size)
{
	int saved = errno, err = 0;
	void *made;

	if (alignment % sizeof(void *) || !is_power_of_two(alignment))
		return EINVAL;
	made = aligned(alignment, size);
	if (made)
		*object = made;
	else
		err = errno;
	errno = saved;
	return err;
}

EXPORT void *valloc(size_t size)
{
	return aligned(sysconf(_SC_PAGESIZE), size);
}

EXPORT void *pvalloc(size_t size)
{
	size_t page = sysconf(_SC_PAGESIZE);

	if (size > SIZE_MAX - page + 1) {
		errno = ENOMEM;
		return NULL;
	}
	return aligned(page, (size + page - 1) / page * page);
}

EXPORT size_t malloc_usable_size(void *object)
{
	size_t (*libc)(void *object);
	size_t size = object ? karena_size_of(object) : 0, left;

	if (size || !object || karena_is_foreign(object, &left))
		return size;
	libc = (size_t (*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
	return libc ? libc(object) : 0;
}

/* Of the heap all goes that is free; @pad is for glibc's. */
EXPORT int malloc_trim(size_t pad)
{
	int (*libc)(size_t pad) = (int (*)(size_t))dlsym(RTLD_NEXT, "malloc_trim");
	int done = libc ? libc(pad) : 0;

	return karena_give_back(1) > 0 || done;
}
