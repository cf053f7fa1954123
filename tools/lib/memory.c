// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, memory: giving it back, limits, and what explains a heap.
 */
#include <sys/ioctl.h>

#include "internal.h"

EXPORT long long karena_reclaim(struct karena *heap, unsigned int flags)
{
	struct karena_reclaim args = { .size = sizeof(args), .flags = flags };

	if (heap->fast.collected) {
		if (karena_refresh_roots(heap))
			return -1;
		karena_flush(heap);
	}
	if (ioctl(heap->fd, KARENA_IOC_RECLAIM, &args))
		return -1;
	return args.returned;
}

EXPORT int karena_memory_get(const struct karena *heap, struct karena_memory *memory)
{
	*memory = (struct karena_memory){ .size = sizeof(*memory) };
	return ioctl(heap->fd, KARENA_IOC_MEMORY, memory);
}

EXPORT int karena_memory_set(struct karena *heap, const struct karena_memory *memory)
{
	struct karena_memory args = *memory;

	args.flags |= KARENA_MEMORY_SET;
	args.id = 0;
	args.over = 0;
	return ioctl(heap->fd, KARENA_IOC_MEMORY, &args);
}

EXPORT int karena_explain(const struct karena *heap, struct karena_explain *explain)
{
	explain->id = 0;
	return ioctl(heap->fd, KARENA_IOC_EXPLAIN, explain);
}
