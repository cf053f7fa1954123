// SPDX-License-Identifier: GPL-2.0
/*
 * Who may do what: descriptors with fewer rights, other users' heaps, limits of
 * a heap and of a user's number of heaps.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "heap.h"
#include "model.h"
#include "tap.h"

static int ask_profile(int fd, __u32 id, __u32 flags)
{
	struct karena_profile req = { .size = sizeof(req), .id = id, .flags = flags };

	return kioctl(fd, KARENA_IOC_PROFILE, &req);
}

static void setup_readonly(void)
{
	struct karena_setup arg = { .size = sizeof(arg), .window = WINDOW };
	struct state before;
	int fd = dev_open(O_RDONLY);

	state_get(fd, &before);
	check_ret(kioctl(fd, KARENA_IOC_SETUP, &arg), -EBADF);
	state_same(fd, &before);
	close(fd);
}

/* A heap with one object, and a read-only descriptor of it. */
static bool lend(struct heap *heap, __u64 *object, int *lent)
{
	if (!heap_open(heap, WINDOW, 0))
		return false;
	*object = heap_new(heap->fd, 64, 0);
	*lent = heap_share(heap->fd, KARENA_SHARE_RDONLY);
	return check(*object) && check(*lent >= 0);
}

static void lent_alloc_free(void)
{
	struct state before;
	struct heap heap;
	__u64 object, addr;
	int lent;

	if (!lend(&heap, &object, &lent))
		return;
	state_get(heap.fd, &before);
	check_ret(heap_alloc(lent, 64, 0, 1, &addr), -EBADF);
	check_ret(heap_free(lent, &object, 1, NULL), -EBADF);
	state_same(heap.fd, &before);
	close(lent);
	heap_close(&heap);
}

static void lent_share(void)
{
	struct state before;
	struct heap heap;
	__u64 object;
	int lent, again;

	if (!lend(&heap, &object, &lent))
		return;
	state_get(heap.fd, &before);
	check_ret(heap_share(lent, 0), -EBADF);
	state_same(heap.fd, &before);
	again = heap_share(lent, KARENA_SHARE_RDONLY);
	check(again >= 0);
	check_eq(fcntl(again, F_GETFL) & O_ACCMODE, O_RDONLY);
	check_ret(heap_drop(again, object), -EBADF);
	close(again);
	close(lent);
	heap_close(&heap);
}

static void lent_may_ask(void)
{
	struct karena_class_stat stats[8];
	struct karena_heap_info own;
	struct heap heap;
	__u64 object;
	__u32 count;
	int lent;

	if (!lend(&heap, &object, &lent))
		return;
	check_eq(fcntl(lent, F_GETFL) & O_ACCMODE, O_RDONLY);
	check_eq(fcntl(lent, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	check_eq(heap_usable(lent, object), 64);
	check_ret(ask_profile(lent, 0, 0), 0);
	check_ret(ask_profile(lent, 0, KARENA_PROFILE_SET), -EBADF);
	check_ret(heap_info(lent, 0, 0, &own), 0);
	check_eq(own.id, heap.id);
	check_ret(heap_classes(lent, 0, stats, 8, &count), 0);
	check_eq(count, 1);
	close(lent);
	heap_close(&heap);
}

/* How much memory a heap has may be asked, and no more. */
static void lent_memory(void)
{
	struct karena_memory memory = { .size = sizeof(memory) };
	struct karena_reclaim reclaim = { .size = sizeof(reclaim) };
	struct karena_explain explain = { .size = sizeof(explain) };
	struct karena_check verify = { .size = sizeof(verify) };
	struct state before;
	struct heap heap;
	__u64 object;
	int lent;

	if (!lend(&heap, &object, &lent))
		return;
	state_get(heap.fd, &before);
	check_ret(kioctl(lent, KARENA_IOC_RECLAIM, &reclaim), -EBADF);
	check_ret(kioctl(lent, KARENA_IOC_MEMORY, &memory), 0);
	memory.flags = KARENA_MEMORY_SET;
	memory.soft_limit = MIB;
	check_ret(kioctl(lent, KARENA_IOC_MEMORY, &memory), -EBADF);
	memory.flags = 0;
	check_ret(kioctl(lent, KARENA_IOC_MEMORY, &memory), 0);
	check_eq(memory.soft_limit, 0);
	check_ret(kioctl(lent, KARENA_IOC_EXPLAIN, &explain), 0);
	check_eq(explain.id, heap.id);
	check_ret(kioctl(lent, KARENA_IOC_CHECK, &verify), 0);
	check_eq(verify.id, heap.id);
	check_eq(verify.damages, 0);
	state_same(heap.fd, &before);
	close(lent);
	heap_close(&heap);
}

static void lent_map(void)
{
	struct heap heap;
	__u64 object;
	__s64 addr;
	int lent;

	if (!lend(&heap, &object, &lent))
		return;
	fill(as_ptr(object), 64, 1);
	heap_unmap(&heap);
	addr = map_objects(lent, 0, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED);
	check_ret(addr, -EACCES);
	addr = map_objects(lent, 0, WINDOW, PROT_READ, MAP_SHARED);
	check_eq(addr, heap.base);
	check(filled(as_ptr(object), 64, 1));
	check(mprotect(as_ptr(addr), WINDOW, PROT_READ | PROT_WRITE));
	check_eq(errno, EACCES);
	check(!munmap(as_ptr(addr), WINDOW));
	addr = map_control(lent, heap.control_size, PROT_READ, MAP_SHARED);
	check(!map_failed(addr));
	munmap(as_ptr(addr), heap.control_size);
	close(lent);
	heap_close(&heap);
}

/* Opening the descriptor again by its name in /proc gives no more rights. */
static void lent_reopened(void)
{
	struct heap heap;
	char path[64];
	__u64 object;
	int lent, fd;

	if (!lend(&heap, &object, &lent))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", lent);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		check(heap_drop(fd, object) < 0);
		check_eq(heap_new(fd, 64, 0), 0);
		check(map_failed(map_objects(fd, 0, WINDOW, PROT_READ | PROT_WRITE,
					     MAP_SHARED)));
		close(fd);
	}
	check_eq(heap_usable(heap.fd, object), 64);
	close(lent);
	heap_close(&heap);
}

static void not_to_read(int fd)
{
	__s64 addr = map_objects(fd, 0, WINDOW, PROT_READ, MAP_SHARED);

	if (!check_ret(addr, -EACCES))
		munmap(as_ptr(addr), WINDOW);
}

/* A descriptor opened to write only gains no right to read by sharing. */
static void writeonly_share(void)
{
	static const __u32 flags[] = { 0, KARENA_SHARE_RDONLY };
	struct karena_setup arg = { .size = sizeof(arg), .window = WINDOW };
	int fd = dev_open(O_WRONLY), more;
	unsigned int i;

	check_ret(kioctl(fd, KARENA_IOC_SETUP, &arg), 0);
	not_to_read(fd);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		more = heap_share(fd, flags[i]);
		if (more < 0)
			continue;
		not_to_read(more);
		close(more);
	}
	close(fd);
}

/* Asks for a heap to be collected, and how it is, by its number. */
static void by_number(int fd, __u32 id, int want, int want_change)
{
	struct karena_collect collect = { .size = sizeof(collect), .id = id };
	struct karena_gc_control control = { .size = sizeof(control), .id = id };
	struct karena_gc_info gc = { .size = sizeof(gc), .id = id };

	collect.flags = KARENA_COLLECT_WAIT;
	check_ret(kioctl(fd, KARENA_IOC_GC_INFO, &gc), want);
	check_ret(kioctl(fd, KARENA_IOC_GC_CONTROL, &control), want);
	if (!want)
		check_eq(control.id, id);
	control.flags = KARENA_GC_SET;
	control.trace = 1;
	check_ret(kioctl(fd, KARENA_IOC_GC_CONTROL, &control), want_change);
	check_ret(kioctl(fd, KARENA_IOC_COLLECT, &collect), want_change);
	check_ret(ask_profile(fd, id, 0), want);
	check_ret(ask_profile(fd, id, KARENA_PROFILE_SET), want_change);
}

/* Who made a heap need not have a descriptor of it, only one to write with. */
static void own_by_number(void)
{
	int reader = dev_open(O_RDONLY), writer = dev_open(O_RDWR);
	struct karena_gc_control control;
	struct karena_gc_info gc;
	struct heap heap;

	if (!heap_open_collected(&heap, WINDOW, 0))
		return;
	by_number(reader, heap.id, 0, -EBADF);
	gc_info(heap.fd, &gc);
	check_eq(gc.cycles, 0);
	by_number(writer, heap.id, 0, 0);
	gc_info(heap.fd, &gc);
	check_eq(gc.cycles, 1);
	gc_get(heap.fd, &control);
	check_eq(control.trace, 1);
	close(reader);
	close(writer);
	heap_close(&heap);
}

static void stranger(void *arg)
{
	struct karena_memory memory = { .size = sizeof(memory) };
	struct karena_reclaim reclaim = { .size = sizeof(reclaim) };
	struct karena_explain explain = { .size = sizeof(explain) };
	struct karena_check verify = { .size = sizeof(verify) };
	struct heap *other = arg;
	struct karena_class_stat stats[8];
	struct karena_heap_info info;
	struct heap own;
	unsigned int steps = 0;
	__u32 count, id = 0;

	close(other->fd);
	if (!become_nobody() || !heap_open(&own, WINDOW, 0))
		return;
	check_ret(heap_info(own.fd, other->id, 0, &info), -ENOENT);
	check_ret(heap_classes(own.fd, other->id, stats, 8, &count), -ENOENT);
	memory.id = other->id;
	check_ret(kioctl(own.fd, KARENA_IOC_MEMORY, &memory), -ENOENT);
	reclaim.id = other->id;
	check_ret(kioctl(own.fd, KARENA_IOC_RECLAIM, &reclaim), -ENOENT);
	explain.id = other->id;
	check_ret(kioctl(own.fd, KARENA_IOC_EXPLAIN, &explain), -ENOENT);
	verify.id = other->id;
	check_ret(kioctl(own.fd, KARENA_IOC_CHECK, &verify), -ENOENT);
	by_number(own.fd, other->id, -ENOENT, -ENOENT);
	while (!heap_info(own.fd, id, 1, &info) && steps++ < 1000) {
		id = info.id;
		check_eq(info.uid, NOBODY);
		check(info.id != other->id);
	}
	check_eq(steps, 1);
	check_eq(id, own.id);
	check_ret(heap_classes(own.fd, own.id, stats, 8, &count), 0);
	heap_close(&own);
}

static void other_user_sees_nothing(void)
{
	struct heap heap;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	tap_isolate(stranger, &heap);
	heap_close(&heap);
}

struct meeting {
	int to_parent[2];
	int to_child[2];
};

static void lodger(void *arg)
{
	struct meeting *meet = arg;
	struct heap own;
	char c;

	if (!become_nobody() || !heap_open(&own, WINDOW, 0))
		return;
	check_eq(write(meet->to_parent[1], &own.id, 4), 4);
	check_eq(read(meet->to_child[0], &c, 1), 1);
	heap_close(&own);
}

static void root_sees_all(void)
{
	struct karena_heap_info info;
	struct karena_info dev;
	struct meeting meet;
	struct heap own;
	__u32 id = 0;
	pid_t pid;

	if (!heap_open(&own, WINDOW, 0) || !check(!pipe(meet.to_parent)) ||
	    !check(!pipe(meet.to_child)))
		return;
	pid = tap_fork(lodger, &meet);
	close(meet.to_parent[1]);
	check_eq(read(meet.to_parent[0], &id, 4), 4);
	check_ret(heap_info(own.fd, id, 0, &info), 0);
	check_eq(info.uid, NOBODY);
	check_eq(info.pid, pid);
	check_ret(dev_info(own.fd, &dev), 0);
	check_eq(dev.user_heaps, 1);
	check_eq(write(meet.to_child[1], "x", 1), 1);
	tap_join(pid);
	close(meet.to_parent[0]);
	close(meet.to_child[0]);
	close(meet.to_child[1]);
	heap_close(&own);
}

/* A borrowed descriptor shows its heap, whoever owns that. */
static void borrower(void *arg)
{
	struct heap *heap = arg;
	struct karena_heap_info own;
	struct karena_info dev;

	if (!become_nobody())
		return;
	check_ret(heap_info(heap->fd, 0, 0, &own), 0);
	check_eq(own.id, heap->id);
	check(heap_new(heap->fd, 64, 0));
	/* But not whose stacks have led to it. */
	check_ret(ask_profile(heap->fd, 0, 0), -EPERM);
	check_ret(ask_profile(heap->fd, 0, KARENA_PROFILE_SET), -EPERM);
	check_ret(dev_info(heap->fd, &dev), 0);
	check_eq(dev.user_heaps, 0);
	check_eq(dev.user_bytes, 0);
}

static void borrowed(void)
{
	struct heap heap;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	tap_isolate(borrower, &heap);
	heap_close(&heap);
}

static void heap_limit(void)
{
	static const __u64 sizes[] = { 64, 8192, 32768, 100000 };
	struct karena_heap_info own;
	__u64 addrs[4096], first = 0, second = 0;
	struct heap heap;
	unsigned int s;

	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		__u64 most = MIB / sizes[s];
		__u64 batch = most > 1000 ? 16 : 1, nr;

		if (!heap_open(&heap, WINDOW, MIB))
			return;
		for (nr = 0; nr < 4096 * batch; nr += batch) {
			if (heap_alloc(heap.fd, sizes[s], 0, batch, &addrs[0]))
				break;
			first = nr ? first : addrs[0];
			second = addrs[0];
		}
		check(nr <= most && nr >= most / 2);
		check_ret(heap_alloc(heap.fd, sizes[s], 0, batch, addrs), -ENOMEM);
		check_ret(heap_info(heap.fd, 0, 0, &own), 0);
		check_eq(own.live_objects, nr);
		check(own.held_bytes <= MIB);
		check(own.failed >= 2);
		check_ret(heap_drop(heap.fd, first), 0);
		check(heap_new(heap.fd, sizes[s], 0));
		check_ret(heap_drop(heap.fd, second), 0);
		heap_close(&heap);
	}
}

/* What one class gave back serves another. */
static void limit_moves(void)
{
	struct heap heap;
	__u64 addrs[128];
	unsigned int nr;

	if (!heap_open(&heap, WINDOW, MIB))
		return;
	for (nr = 0; nr < 128; nr++) {
		if (heap_alloc(heap.fd, 8192, 0, 1, &addrs[nr]))
			break;
	}
	check(nr);
	check_eq(heap_new(heap.fd, 512 * KIB, 0), 0);
	check_ret(heap_free(heap.fd, addrs, nr, NULL), 0);
	check(heap_new(heap.fd, 512 * KIB, 0));
	check(heap_new(heap.fd, 64, 0));
	heap_close(&heap);
}

static void many_heaps(void *arg)
{
	struct karena_setup setup = { .size = sizeof(setup), .window = WINDOW };
	struct karena_info dev;
	struct state before;
	int *fds, fd;
	unsigned int i;

	(void)arg;
	if (!become_nobody() || !user_numbers(&dev))
		return;
	fds = calloc(dev.max_user_heaps, sizeof(*fds));
	for (i = dev.user_heaps; i < dev.max_user_heaps; i++) {
		fds[i] = dev_open(O_RDWR);
		if (!check_ret(kioctl(fds[i], KARENA_IOC_SETUP, &setup), 0))
			return;
	}
	fd = dev_open(O_RDWR);
	state_get(fd, &before);
	check_eq(before.user.user_heaps, dev.max_user_heaps);
	check_ret(kioctl(fd, KARENA_IOC_SETUP, &setup), -ENOSPC);
	state_same(fd, &before);
	close(fds[i - 1]);
	check_ret(kioctl(fd, KARENA_IOC_SETUP, &setup), 0);
	close(fd);
	for (i = dev.user_heaps; i < dev.max_user_heaps - 1; i++)
		close(fds[i]);
	user_back_to(&dev);
}

static void number_of_heaps(void)
{
	struct rlimit files = { 65536, 65536 };
	struct karena_info dev;

	if (!user_numbers(&dev))
		return;
	if (dev.max_user_heaps > 16384)
		return tap_skip("a user may have %u heaps", dev.max_user_heaps);
	check(!setrlimit(RLIMIT_NOFILE, &files));
	tap_isolate(many_heaps, NULL);
}

/* Root is above the number: one more than a user may have. */
static void number_of_roots_heaps(void)
{
	struct karena_info dev, now;
	unsigned int i, nr = 0;
	int *fds;

	if (!user_numbers(&dev))
		return;
	if (dev.max_user_heaps > 16384)
		return tap_skip("a user may have %u heaps", dev.max_user_heaps);
	fds = calloc(dev.max_user_heaps + 1, sizeof(*fds));
	for (i = 0; i <= dev.max_user_heaps; i++) {
		struct heap heap;

		if (!check_ret(heap_make(&heap, WINDOW, 0), 0))
			break;
		fds[nr++] = heap.fd;
	}
	user_numbers(&now);
	check_eq(now.user_heaps, dev.user_heaps + nr);
	for (i = 0; i < nr; i++)
		close(fds[i]);
	free(fds);
	user_back_to(&dev);
}

static const struct tap_case cases[] = {
	{ "setup through a read-only descriptor is refused", setup_readonly },
	{ "alloc and free through a read-only share are refused", lent_alloc_free },
	{ "a read-only share cannot be shared for writing", lent_share },
	{ "a read-only share may ask", lent_may_ask },
	{ "a read-only share gives back nothing, and sets no limits", lent_memory },
	{ "a read-only share maps to read", lent_map },
	{ "a read-only share opened by name gains nothing", lent_reopened },
	{ "a write-only descriptor gains nothing by sharing", writeonly_share },
	{ "collection of an own heap by its number", own_by_number },
	{ "another user sees nothing of a heap", other_user_sees_nothing },
	{ "root sees another user's heap", root_sees_all },
	{ "a borrowed descriptor works and is not charged", borrowed },
	{ "limit of a heap", heap_limit },
	{ "limit is one for all classes", limit_moves },
	{ "number of heaps of a user", number_of_heaps },
	{ "root may have more heaps", number_of_roots_heaps },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
