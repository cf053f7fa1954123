// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, weak references and cleanups of heaps that are collected.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "internal.h"

/* An object that holds no references, as far as the collector knows: a cell. */
struct karena_weak {
	void *object;
	void *unused;
};

#define MOST_EVENTS	65536	/* that are read at a time */

EXPORT struct karena_weak *karena_weak_new(struct karena *heap, const void *object)
{
	struct karena_weak_cell args = { .size = sizeof(args), .object = (uintptr_t)object };
	struct karena_weak *weak;
	int err;

	weak = karena_alloc_flags(heap, sizeof(*weak), KARENA_ALLOC_NOSCAN);
	if (!weak)
		return NULL;
	args.cell = (uintptr_t)weak;
	if (ioctl(heap->fd, KARENA_IOC_WEAK, &args)) {
		err = errno;
		karena_free(heap, weak);
		errno = err;
		return NULL;
	}
	/* Not before: who finds it there may rely on it. */
	__atomic_store_n(&weak->object, (void *)(uintptr_t)object, __ATOMIC_RELEASE);
	return weak;
}

/* Phase and number of the cycle, at one moment. */
static __u64 cycle_of(const struct karena *heap)
{
	const __u64 *both = (const __u64 *)(const void *)&heap->control->phase;

	return __atomic_load_n(both, __ATOMIC_ACQUIRE);
}

/* By the kernel, which knows whether the cycle that runs has found it alive. */
static void *get_slow(struct karena *heap, const struct karena_weak *weak)
{
	struct karena_weak_cell args = { .size = sizeof(args), .cell = (uintptr_t)weak };

	if (ioctl(heap->fd, KARENA_IOC_WEAK_GET, &args))
		return NULL;
	return (void *)(uintptr_t)args.object;
}

EXPORT void *karena_weak_get(struct karena *heap, const struct karena_weak *weak)
{
	__u64 before;
	void *object;

	if (!heap->control)
		return get_slow(heap, weak);
	before = cycle_of(heap);
	if ((__u32)before != KARENA_PHASE_IDLE)
		return get_slow(heap, weak);
	object = __atomic_load_n(&weak->object, __ATOMIC_ACQUIRE);
	/* In a register, or on the stack, before the phase is looked at again. */
	__asm__ __volatile__("" : "+r"(object) : : "memory");
	return cycle_of(heap) == before ? object : get_slow(heap, weak);
}

static int call_cleanup(struct karena *heap, const void *object, __u64 cookie,
			unsigned int flags)
{
	struct karena_cleanup_call args = {
		.size = sizeof(args),
		.flags = flags,
		.object = (uintptr_t)object,
		.cookie = cookie,
	};

	return ioctl(heap->fd, KARENA_IOC_CLEANUP, &args);
}

EXPORT int karena_cleanup_add(struct karena *heap, const void *object, __u64 cookie)
{
	return call_cleanup(heap, object, cookie, 0);
}

EXPORT int karena_cleanup_del(struct karena *heap, const void *object, __u64 cookie)
{
	return call_cleanup(heap, object, cookie, KARENA_CLEANUP_DEL);
}

EXPORT long karena_cleanup_read(struct karena *heap, struct karena_event *events, size_t count)
{
	ssize_t n;

	if (count > MOST_EVENTS)
		count = MOST_EVENTS;
	n = read(heap->fd, events, count * sizeof(*events));
	return n < 0 ? -1 : (long)(n / (ssize_t)sizeof(*events));
}
