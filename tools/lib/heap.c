// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, the heap as a whole: open, attach, close, and what it is.
 *
 * A struct karena is a descriptor and two mappings.  All that is shared lives
 * in the kernel, so nothing here outlives the process, and nothing here can
 * spoil the heap for others.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <unistd.h>

#include "internal.h"

static int open_device(void)
{
	const char *path = secure_getenv("KARENA_DEVICE");

	return open(path && *path ? path : "/dev/karena", O_RDWR | O_CLOEXEC);
}

static int map_window(struct karena *heap)
{
	int prot = heap->readonly ? PROT_READ : PROT_READ | PROT_WRITE;
	void *at;

	at = mmap(heap->base, heap->window, prot,
		  MAP_SHARED | MAP_FIXED_NOREPLACE, heap->fd,
		  KARENA_OFF_OBJECTS);
	if (at == MAP_FAILED)
		return -1;
	/* Kernels before 4.17 take the flag for a mere hint. */
	if (at != heap->base) {
		munmap(at, heap->window);
		errno = EEXIST;
		return -1;
	}
	return 0;
}

static int map_control(struct karena *heap)
{
	void *at;

	at = mmap(NULL, heap->control_size, PROT_READ, MAP_SHARED, heap->fd,
		  KARENA_OFF_CONTROL);
	if (at == MAP_FAILED)
		return -1;
	heap->control = at;
	if (heap->control->magic == KARENA_CONTROL_MAGIC)
		return 0;
	errno = EPROTO;
	return -1;
}

/* glibc 2.35 registers threads for it; this may run with an older one. */
#pragma weak __rseq_size
#pragma weak __rseq_offset

static int has_rseq(void)
{
	return &__rseq_size && __rseq_size;
}

/* The magazines of CPUs; NULL if they cannot be had. */
static char *map_magazines(struct karena *heap)
{
	char *at;

	if (!heap->control->magazines_size || !has_rseq())
		return NULL;
	at = mmap(NULL, heap->control->magazines_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		  heap->fd, KARENA_OFF_MAGAZINES);
	if (at == MAP_FAILED)
		return NULL;
	return at + (KARENA_NO_CPUS << KARENA_CPU_SHIFT);
}

/* What is zero else: then each object is a system call. */
static void make_fast(struct karena *heap)
{
	const struct karena_control *control = heap->control;

	if (!control || heap->readonly || heap->checked)
		return;
	heap->fast.magazines = map_magazines(heap);
	heap->fast.rseq = &__rseq_offset ? __rseq_offset : 0;
	heap->fast.base = heap->base;
	heap->fast.slots = heap->window / KARENA_SLOT_UNIT;
	heap->fast.map = (const void *)((const char *)control + control->map_offset);
	heap->fast.phase = &control->phase;
}

static int map(struct karena *heap)
{
	if (map_window(heap))
		return -1;
	if (!heap->control_size || !map_control(heap)) {
		make_fast(heap);
		return 0;
	}
	munmap(heap->base, heap->window);
	return -1;
}

static void unmap(struct karena *heap)
{
	struct karena_fast *fast = &heap->fast;

	if (fast->magazines)
		munmap(fast->magazines - (KARENA_NO_CPUS << KARENA_CPU_SHIFT),
		       heap->control->magazines_size);
	if (heap->control)
		munmap((void *)heap->control, heap->control_size);
	munmap(heap->base, heap->window);
}

/* Of a heap that is mapped; errors leave it so. */
static int register_data(struct karena *heap)
{
	__u64 flags = heap->control ? heap->control->flags : 0;

	heap->barrier = !!(flags & KARENA_SETUP_BARRIER);
	heap->fast.collected = !!(flags & KARENA_SETUP_COLLECT);
	return heap->fast.collected ? karena_data_roots(heap, 1) : 0;
}

static int map_and_register(struct karena *heap)
{
	int saved;

	if (map(heap))
		return -1;
	if (!register_data(heap)) {
		karena_opened(heap);
		return 0;
	}
	saved = errno;
	unmap(heap);
	errno = saved;
	return -1;
}

static int name_heap(struct karena_setup *setup, const char *name)
{
	size_t len;

	if (name) {
		len = strlen(name);
		if (len >= sizeof(setup->name)) {
			errno = EINVAL;
			return -1;
		}
	} else {
		/* Nobody chose this one, so it may be cut. */
		name = program_invocation_short_name;
		len = strnlen(name, sizeof(setup->name) - 1);
	}
	memcpy(setup->name, name, len);
	return 0;
}

static int set_up(struct karena *heap, const struct karena_options *opts)
{
	struct karena_setup setup = {
		.size = sizeof(setup),
		.flags = (opts->flags & KARENA_COLLECT ? KARENA_SETUP_COLLECT : 0) |
			 (opts->flags & KARENA_BARRIER ? KARENA_SETUP_BARRIER : 0),
		.window = opts->window,
		.limit = opts->limit,
	};

	if (name_heap(&setup, opts->name))
		return -1;
	if (ioctl(heap->fd, KARENA_IOC_SETUP, &setup)) {
		if (errno == ENOTTY)
			errno = EPROTO;
		return -1;
	}
	heap->id = setup.id;
	heap->base = (void *)(uintptr_t)setup.base;
	heap->window = setup.window;
	heap->control_size = setup.control_size;
	return map_and_register(heap);
}

EXPORT struct karena *karena_open(const struct karena_options *opts)
{
	static const struct karena_options none;
	struct karena *heap;

	opts = opts ? opts : &none;
	if (opts->flags & ~(__u64)(KARENA_COLLECT | KARENA_BARRIER | KARENA_CHECKED_FREE) ||
	    memcmp(opts->reserved, none.reserved, sizeof(none.reserved))) {
		errno = EINVAL;
		return NULL;
	}
	heap = calloc(1, sizeof(*heap));
	if (!heap)
		return NULL;
	heap->checked = !!(opts->flags & KARENA_CHECKED_FREE);
	heap->fd = open_device();
	if (heap->fd < 0)
		goto free_heap;
	if (set_up(heap, opts))
		goto close_fd;
	return heap;

close_fd:
	close(heap->fd);
free_heap:
	free(heap);
	return NULL;
}

static int ask_where(struct karena *heap)
{
	struct karena_heap_info info = { .size = sizeof(info) };
	int flags = fcntl(heap->fd, F_GETFL);

	if (flags < 0)
		return -1;
	if (ioctl(heap->fd, KARENA_IOC_HEAP_INFO, &info)) {
		/* Whatever else it is, it is not a heap. */
		if (errno == ENOTTY || errno == EINVAL)
			errno = EPROTO;
		return -1;
	}
	heap->readonly = (flags & O_ACCMODE) == O_RDONLY;
	heap->id = info.id;
	heap->base = (void *)(uintptr_t)info.base;
	heap->window = info.window;
	heap->control_size = info.control_size;
	return 0;
}

EXPORT struct karena *karena_attach(int fd)
{
	struct karena *heap = calloc(1, sizeof(*heap));

	if (!heap)
		return NULL;
	heap->fd = fd;
	if (!ask_where(heap) && !map_and_register(heap))
		return heap;
	free(heap);
	return NULL;
}

EXPORT void karena_close(struct karena *heap)
{
	int saved = errno;

	if (!heap)
		return;
	karena_drop_cache(heap);
	karena_closed(heap);
	unmap(heap);
	close(heap->fd);
	free(heap->data);
	free(heap);
	errno = saved;
}

EXPORT int karena_fd(const struct karena *heap)
{
	return heap->fd;
}

EXPORT __u32 karena_id(const struct karena *heap)
{
	return heap->id;
}

EXPORT void *karena_base(const struct karena *heap)
{
	return heap->base;
}

EXPORT size_t karena_window(const struct karena *heap)
{
	return heap->window;
}

EXPORT int karena_readonly(const struct karena *heap)
{
	return heap->readonly;
}

EXPORT int karena_profile(struct karena *heap, size_t rate)
{
	struct karena_profile args = {
		.size = sizeof(args), .flags = KARENA_PROFILE_SET, .rate = rate,
	};

	return ioctl(heap->fd, KARENA_IOC_PROFILE, &args);
}

EXPORT int karena_stats(const struct karena *heap,
			struct karena_heap_info *info)
{
	info->id = 0;
	info->next = 0;
	return ioctl(heap->fd, KARENA_IOC_HEAP_INFO, info);
}
