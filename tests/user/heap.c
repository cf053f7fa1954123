// SPDX-License-Identifier: GPL-2.0
/* Raw calls to /dev/karena: see heap.h. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

/* Looks at numbers that have to come back, 1 ms apart. */
#define MAX_LOOKS 30000

int dev_open(int flags)
{
	int fd = open("/dev/karena", flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int kioctl(int fd, unsigned long cmd, void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

static int make(struct heap *heap, __u64 window, __u64 limit, __u32 flags)
{
	struct karena_setup setup = {
		.size = sizeof(setup), .flags = flags, .window = window, .limit = limit,
		.name = "test",
	};
	int ret;

	memset(heap, 0, sizeof(*heap));
	heap->fd = dev_open(O_RDWR);
	if (heap->fd < 0)
		return heap->fd;
	ret = kioctl(heap->fd, KARENA_IOC_SETUP, &setup);
	if (ret) {
		close(heap->fd);
		heap->fd = -1;
		return ret;
	}
	heap->base = setup.base;
	heap->window = setup.window;
	heap->control_size = setup.control_size;
	heap->id = setup.id;
	return 0;
}

int heap_make(struct heap *heap, __u64 window, __u64 limit)
{
	return make(heap, window, limit, 0);
}

__s64 map_objects(int fd, __u64 hint, __u64 len, int prot, int flags)
{
	void *p = mmap(as_ptr(hint), len, prot, flags, fd, KARENA_OFF_OBJECTS);

	return p == MAP_FAILED ? -errno : (__s64)as_addr(p);
}

__s64 map_control(int fd, __u64 len, int prot, int flags)
{
	void *p = mmap(NULL, len, prot, flags, fd, KARENA_OFF_CONTROL);

	return p == MAP_FAILED ? -errno : (__s64)as_addr(p);
}

bool map_failed(__s64 addr)
{
	return addr < 0 && addr >= -4095;
}

int heap_map(struct heap *heap)
{
	__s64 addr;

	addr = map_objects(heap->fd, 0, heap->window, PROT_READ | PROT_WRITE,
			   MAP_SHARED);
	if (map_failed(addr))
		return addr;
	heap->objects = as_ptr(addr);
	addr = map_control(heap->fd, heap->control_size, PROT_READ, MAP_SHARED);
	if (map_failed(addr)) {
		munmap(heap->objects, heap->window);
		heap->objects = NULL;
		return addr;
	}
	heap->control = as_ptr(addr);
	return 0;
}

static bool open_heap(struct heap *heap, __u64 window, __u64 limit, __u32 flags)
{
	if (!check_ret(make(heap, window, limit, flags), 0))
		return false;
	if (!check_ret(heap_map(heap), 0)) {
		heap_close(heap);
		return false;
	}
	return check_eq(as_addr(heap->objects), heap->base);
}

bool heap_open(struct heap *heap, __u64 window, __u64 limit)
{
	return open_heap(heap, window, limit, 0);
}

bool heap_open_collected(struct heap *heap, __u64 window, __u64 limit)
{
	return open_heap(heap, window, limit, KARENA_SETUP_COLLECT);
}

bool heap_open_with_barrier(struct heap *heap, __u64 window, __u64 limit)
{
	return open_heap(heap, window, limit, KARENA_SETUP_COLLECT | KARENA_SETUP_BARRIER);
}

int heap_grow(int fd, __u64 length)
{
	struct karena_grow req = { .size = sizeof(req), .length = length };

	return kioctl(fd, KARENA_IOC_GROW, &req);
}

bool heap_open_private(struct heap *heap, __u64 window, __u64 grown)
{
	if (!check_ret(make(heap, window, 0, KARENA_SETUP_PRIVATE), 0))
		return false;
	heap->objects = mmap(as_ptr(heap->base), heap->window, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
			     -1, 0);
	return check(heap->objects == as_ptr(heap->base)) &&
	       (!grown || check_ret(heap_grow(heap->fd, grown), 0));
}

int heap_collect(int fd)
{
	struct karena_collect req = { .size = sizeof(req), .flags = KARENA_COLLECT_WAIT };

	return kioctl(fd, KARENA_IOC_COLLECT, &req);
}

int heap_root(int fd, const void *start, __u64 length, __u32 flags)
{
	struct karena_root_range req = {
		.size = sizeof(req), .flags = flags, .start = as_addr(start), .length = length,
	};

	return kioctl(fd, KARENA_IOC_ROOT, &req);
}

bool gc_info(int fd, struct karena_gc_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return check_ret(kioctl(fd, KARENA_IOC_GC_INFO, info), 0);
}

bool gc_get(int fd, struct karena_gc_control *control)
{
	*control = (struct karena_gc_control){ .size = sizeof(*control) };
	return check_ret(kioctl(fd, KARENA_IOC_GC_CONTROL, control), 0);
}

bool gc_set(int fd, struct karena_gc_control *control)
{
	control->flags = KARENA_GC_SET;
	return check_ret(kioctl(fd, KARENA_IOC_GC_CONTROL, control), 0);
}

bool gc_check(int fd)
{
	struct karena_gc_control control;

	if (!gc_get(fd, &control))
		return false;
	control.check = 1;
	return gc_set(fd, &control);
}

void heap_unmap(struct heap *heap)
{
	if (heap->objects)
		check(!munmap(heap->objects, heap->window));
	if (heap->control)
		check(!munmap((void *)heap->control, heap->control_size));
	heap->objects = NULL;
	heap->control = NULL;
}

void heap_close(struct heap *heap)
{
	heap_unmap(heap);
	if (heap->fd >= 0)
		close(heap->fd);
	heap->fd = -1;
}

int heap_alloc_type(int fd, __u32 type, __u64 object_size, __u32 flags, __u32 count,
		    __u64 *addrs)
{
	struct karena_alloc alloc = {
		.size = sizeof(alloc), .flags = flags, .object_size = object_size,
		.count = count, .type = type, .addrs = as_addr(addrs),
	};

	return kioctl(fd, KARENA_IOC_ALLOC, &alloc);
}

int heap_alloc(int fd, __u64 object_size, __u32 flags, __u32 count, __u64 *addrs)
{
	return heap_alloc_type(fd, 0, object_size, flags, count, addrs);
}

__u32 heap_register(int fd, __u64 object_size, const __u32 *refs, __u32 nr_refs)
{
	struct karena_register arg = {
		.size = sizeof(arg), .object_size = object_size, .refs = as_addr(refs),
		.nr_refs = nr_refs, .name = "test",
	};

	return check_ret(kioctl(fd, KARENA_IOC_REGISTER, &arg), 0) ? arg.id : 0;
}

__u64 heap_new(int fd, __u64 object_size, __u32 flags)
{
	__u64 addr = 0;

	return heap_alloc(fd, object_size, flags, 1, &addr) ? 0 : addr;
}

int heap_free(int fd, const __u64 *addrs, __u32 count, struct karena_free *out)
{
	struct karena_free arg = {
		.size = sizeof(arg), .addrs = as_addr(addrs), .count = count,
	};
	int ret = kioctl(fd, KARENA_IOC_FREE, &arg);

	if (out)
		*out = arg;
	return ret;
}

int heap_drop(int fd, __u64 addr)
{
	struct karena_free out;
	int ret = heap_free(fd, &addr, 1, &out);

	if (ret)
		return ret;
	return out.rejected ? (int)out.reason : 0;
}

__s64 heap_usable(int fd, __u64 addr)
{
	struct karena_usable arg = { .size = sizeof(arg), .addr = addr };
	int ret = kioctl(fd, KARENA_IOC_USABLE, &arg);

	return ret ? ret : (__s64)arg.usable;
}

int heap_share(int fd, __u32 flags)
{
	struct karena_share arg = { .size = sizeof(arg), .flags = flags };
	int ret = kioctl(fd, KARENA_IOC_SHARE, &arg);

	return ret ? ret : arg.fd;
}

int heap_info(int fd, __u32 id, __u32 next, struct karena_heap_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->id = id;
	info->next = next;
	return kioctl(fd, KARENA_IOC_HEAP_INFO, info);
}

int heap_classes(int fd, __u32 id, struct karena_class_stat *stats, __u32 room,
		 __u32 *count)
{
	struct karena_class_stats arg = {
		.size = sizeof(arg), .id = id, .count = room, .stats = as_addr(stats),
	};
	int ret = kioctl(fd, KARENA_IOC_CLASS_STATS, &arg);

	*count = arg.count;
	return ret;
}

/* Free memory goes back to the machine now and then, by itself. */
bool heap_adds_up(int fd)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	struct karena_heap_info own = { 0 };
	unsigned int looks;

	for (looks = 0; looks < MAX_LOOKS; looks++) {
		if (!check_ret(heap_info(fd, 0, 0, &own), 0))
			return false;
		if (own.held_bytes == own.span_bytes + own.free_bytes)
			return true;
		nanosleep(&pause, NULL);
	}
	return check_eq(own.held_bytes, own.span_bytes + own.free_bytes);
}

int dev_info(int fd, struct karena_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return kioctl(fd, KARENA_IOC_INFO, info);
}

bool user_numbers(struct karena_info *info)
{
	int fd = dev_open(O_RDONLY);
	bool good;

	if (!check(fd >= 0))
		return false;
	good = check_ret(dev_info(fd, info), 0);
	close(fd);
	return good;
}

bool user_at_rest(struct karena_info *info)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	unsigned int looks;

	for (looks = 0; looks < MAX_LOOKS; looks++) {
		if (!user_numbers(info))
			return false;
		if (!info->user_heaps)
			return true;
		nanosleep(&pause, NULL);
	}
	return check_eq(info->user_heaps, 0);
}

bool user_back_to(const struct karena_info *before)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	struct karena_info now = { 0 };
	unsigned int looks;

	for (looks = 0; looks < MAX_LOOKS; looks++) {
		if (!user_numbers(&now))
			return false;
		if (now.user_bytes == before->user_bytes &&
		    now.user_heaps == before->user_heaps) {
			if (looks)
				tap_diag("memory was back after %u looks", looks);
			return true;
		}
		nanosleep(&pause, NULL);
	}
	check_eq(now.user_heaps, before->user_heaps);
	return check_eq(now.user_bytes, before->user_bytes);
}

static unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int nr = 0;

	if (!check(dir))
		return 0;
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

void state_get(int fd, struct state *state)
{
	memset(state, 0, sizeof(*state));
	state->ret = heap_info(fd, 0, 0, &state->heap);
	check_ret(dev_info(fd, &state->user), 0);
	state->nr_fds = open_fds();
}

static bool same(const char *what, __u64 now, __u64 before)
{
	if (check_eq(now, before))
		return true;
	tap_diag("%s was %llu and is %llu", what, before, now);
	return false;
}

bool state_live_same(int fd, const struct state *before)
{
	const struct karena_heap_info *old = &before->heap;
	struct state now;

	state_get(fd, &now);
	return same("result of heap info", now.ret, before->ret) &
	       same("open descriptors", now.nr_fds, before->nr_fds) &
	       same("user_heaps", now.user.user_heaps, before->user.user_heaps) &
	       same("live_bytes", now.heap.live_bytes, old->live_bytes) &
	       same("live_objects", now.heap.live_objects, old->live_objects) &
	       same("allocs - frees", now.heap.allocs - now.heap.frees,
		    old->allocs - old->frees);
}

bool state_same(int fd, const struct state *before)
{
	const struct karena_heap_info *old = &before->heap;
	struct state now;
	bool good = true;
	unsigned int i;

	state_get(fd, &now);
	for (i = 0; i < KARENA_NR_REJECT; i++)
		good &= same("rejects", now.heap.rejects[i], old->rejects[i]);
	return good & state_live_same(fd, before) &
	       same("user_bytes", now.user.user_bytes, before->user.user_bytes) &
	       same("base", now.heap.base, old->base) &
	       same("window", now.heap.window, old->window) &
	       same("limit", now.heap.limit, old->limit) &
	       same("held_bytes", now.heap.held_bytes, old->held_bytes) &
	       same("span_bytes", now.heap.span_bytes, old->span_bytes) &
	       same("free_bytes", now.heap.free_bytes, old->free_bytes) &
	       same("cached_bytes", now.heap.cached_bytes, old->cached_bytes) &
	       same("nr_spans", now.heap.nr_spans, old->nr_spans) &
	       same("allocs", now.heap.allocs, old->allocs) &
	       same("frees", now.heap.frees, old->frees) &
	       same("refills", now.heap.refills, old->refills) &
	       same("flushes", now.heap.flushes, old->flushes) &
	       same("failed", now.heap.failed, old->failed);
}
