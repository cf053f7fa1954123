// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, collection: types of objects, cycles, and how they are tuned.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "internal.h"

/* --- types --- */

static int by_offset(const void *a, const void *b)
{
	const __u32 *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The kernel wants them ascending; who lists members need not care. */
static __u32 *sorted(const __u32 *refs, size_t nr)
{
	__u32 *copy = malloc(nr * sizeof(*copy) + 1);

	if (copy && nr) {
		memcpy(copy, refs, nr * sizeof(*copy));
		qsort(copy, nr, sizeof(*copy), by_offset);
	}
	return copy;
}

static struct karena_type register_type(struct karena *heap, const char *name,
					size_t size, const __u32 *refs,
					size_t nr_refs)
{
	struct karena_register args = {
		.size = sizeof(args),
		.object_size = size,
		.refs = (uintptr_t)refs,
		.nr_refs = nr_refs,
	};

	memcpy(args.name, name, strnlen(name, sizeof(args.name) - 1));
	if (ioctl(heap->fd, KARENA_IOC_REGISTER, &args))
		return (struct karena_type){ 0 };
	return (struct karena_type){ .id = args.id, .element = size };
}

EXPORT struct karena_type karena_type(struct karena *heap, const char *name,
				      size_t size, const __u32 *refs,
				      size_t nr_refs)
{
	struct karena_type type = { 0 };
	__u32 *copy;

	/* The kernel would say the same, but of a count of 32 bits. */
	if (nr_refs > KARENA_MAX_SMALL / sizeof(void *)) {
		errno = EINVAL;
		return type;
	}
	/* Who registers types may be a library that has just been loaded. */
	if (karena_refresh_roots(heap))
		return type;
	copy = sorted(refs, nr_refs);
	if (!copy)
		return type;
	type = register_type(heap, name, size, copy, nr_refs);
	free(copy);
	return type;
}

EXPORT void *karena_new_array(struct karena *heap, struct karena_type type,
			      size_t count)
{
	struct karena_alloc args = {
		.size = sizeof(args),
		.count = 1,
		.type = type.id,
	};
	void *object;

	args.addrs = (uintptr_t)&object;
	if (!type.id || !count) {
		errno = EINVAL;
		return NULL;
	}
	if (__builtin_mul_overflow(count, type.element, &args.object_size)) {
		errno = ENOMEM;
		return NULL;
	}
	if (ioctl(heap->fd, KARENA_IOC_ALLOC, &args))
		return NULL;
	return object;
}

/* --- cycles --- */

EXPORT int karena_gc(struct karena *heap)
{
	struct karena_collect args = {
		.size = sizeof(args),
		.flags = KARENA_COLLECT_WAIT,
	};
	struct karena_flush all = { .size = sizeof(all), .flags = KARENA_FLUSH_ALL };

	if (karena_refresh_roots(heap))
		return -1;
	karena_flush(heap);
	/* They would stay in the magazines for good otherwise. */
	if (heap->fast.magazines)
		ioctl(heap->fd, KARENA_IOC_FLUSH, &all);
	if (ioctl(heap->fd, KARENA_IOC_COLLECT, &args))
		return -1;
	karena_pools_tick(heap);
	return 0;
}

EXPORT int karena_step(struct karena *heap, __u64 ns)
{
	struct karena_step args = { .size = sizeof(args), .ns = ns };

	if (ioctl(heap->fd, KARENA_IOC_STEP, &args))
		return -1;
	return args.ns;
}

EXPORT int karena_gc_get(const struct karena *heap,
			 struct karena_gc_control *control)
{
	*control = (struct karena_gc_control){ .size = sizeof(*control) };
	return ioctl(heap->fd, KARENA_IOC_GC_CONTROL, control);
}

EXPORT int karena_gc_set(struct karena *heap,
			 const struct karena_gc_control *control)
{
	struct karena_gc_control args = *control;

	args.flags |= KARENA_GC_SET;
	args.id = 0;
	return ioctl(heap->fd, KARENA_IOC_GC_CONTROL, &args);
}

EXPORT int karena_gc_stats(const struct karena *heap,
			   struct karena_gc_info *info)
{
	if (info->size >= sizeof(*info)) {
		info->id = 0;
		info->reserved = 0;
	}
	return ioctl(heap->fd, KARENA_IOC_GC_INFO, info);
}
