// SPDX-License-Identifier: GPL-2.0
/*
 * Private heaps: memory that the program maps, and the kernel knows what is in it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

#define OBJECTS		3000
#define PAGE		KARENA_PAGE_SIZE

static __u64 live_of(int fd)
{
	struct karena_heap_info info;

	return check_ret(heap_info(fd, 0, 0, &info), 0) ? info.live_objects : ~0ULL;
}

static void give(int fd, const __u64 *addrs, __u32 count)
{
	struct karena_free done;

	check_ret(heap_free(fd, addrs, count, &done), 0);
	check_eq(done.rejected, 0);
}

static __u64 random_size(struct rng *rng)
{
	return 1 + rng_below(rng, rng_below(rng, 8) ? 2000 : 100000);
}

/* Of any size; with NOSCAN too, which means nothing there. */
static void make_objects(int fd, __u64 stream, __u64 *addrs, __u64 *sizes)
{
	struct rng rng;
	unsigned int i;

	rng_init(&rng, stream);
	for (i = 0; i < OBJECTS; i++) {
		sizes[i] = random_size(&rng);
		addrs[i] = heap_new(fd, sizes[i], i % 2 ? KARENA_ALLOC_NOSCAN : 0);
		if (!check(addrs[i]))
			return;
	}
}

static void nothing_before_grow(void)
{
	struct heap heap;
	__u64 addr;

	if (!heap_open_private(&heap, WINDOW, 0))
		return;
	check_ret(heap_alloc(heap.fd, 64, 0, 1, &addr), -ENOMEM);
	check_ret(heap_grow(heap.fd, MIB), 0);
	check_ret(heap_alloc(heap.fd, 2 * MIB, 0, 1, &addr), -ENOMEM);
	check_ret(heap_alloc(heap.fd, 64, 0, 1, &addr), 0);
	check(addr >= heap.base && addr < heap.base + MIB);
	check_ret(heap_grow(heap.fd, PAGE), 0);
	check_ret(heap_grow(heap.fd, 8 * MIB), 0);
	check_ret(heap_alloc(heap.fd, 7 * MIB, 0, 1, &addr), 0);
	check(addr >= heap.base && addr + 7 * MIB <= heap.base + 8 * MIB);
	heap_close(&heap);
}

/* No types, no references, no window to map. */
static void only_what_it_is_for(void)
{
	struct karena_register reg = { .size = sizeof(reg), .object_size = 64, .name = "t" };
	struct heap heap, other;
	__u64 addr;

	if (!heap_open_private(&heap, WINDOW, MIB) || !heap_open(&other, WINDOW, 0))
		return;
	check_ret(kioctl(heap.fd, KARENA_IOC_REGISTER, &reg), -EINVAL);
	check_ret(heap_collect(heap.fd), -EINVAL);
	check_ret(heap_root(heap.fd, &heap, sizeof(heap), 0), -EINVAL);
	munmap(heap.objects, heap.window);
	check_ret(map_objects(heap.fd, heap.base, heap.window, PROT_READ, MAP_SHARED), -EINVAL);
	heap.objects = NULL;
	/* The kernel needs none of it. */
	check_ret(heap_alloc(heap.fd, 64, 0, 1, &addr), 0);
	check_eq(heap_usable(heap.fd, addr), 64);
	check_ret(heap_grow(other.fd, MIB), -EINVAL);
	check_ret(kioctl(other.fd, KARENA_IOC_RELEASE,
			 &(struct karena_release){ .size = sizeof(struct karena_release) }),
		  -EINVAL);
	heap_close(&other);
	heap_close(&heap);
}

/* All runs that are told; whether none of them has what is in use. */
static __u64 release_all(const struct heap *heap, __u64 in_use)
{
	struct karena_release req = { .size = sizeof(req), .flags = KARENA_RELEASE_ALL };
	__u64 sum = 0;

	while (check_ret(kioctl(heap->fd, KARENA_IOC_RELEASE, &req), 0) && req.length) {
		check(in_use < req.start || in_use >= req.start + req.length);
		check(req.start >= heap->base && req.length <= heap->window &&
		      req.start - heap->base <= heap->window - req.length);
		check(!madvise(as_ptr(req.start), req.length, MADV_DONTNEED));
		sum += req.length;
	}
	return sum;
}

/* --- memory goes back --- */

#define PEAK_OBJECTS	16u
#define SECOND		1000000000ULL

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

/* Bytes that are told when what is worth keeping is kept. */
static __u64 release_some(const struct heap *heap)
{
	struct karena_release req = { .size = sizeof(req) };
	__u64 sum = 0;

	while (check_ret(kioctl(heap->fd, KARENA_IOC_RELEASE, &req), 0) && req.length)
		sum += req.length;
	return sum;
}

static void rise_and_fall(const struct heap *heap)
{
	__u64 addrs[PEAK_OBJECTS];
	unsigned int i;

	for (i = 0; i < PEAK_OBJECTS; i++)
		addrs[i] = heap_new(heap->fd, MIB, 0);
	give(heap->fd, addrs, PEAK_OBJECTS);
}

/* What was used within a second is kept, and not for longer. */
static void keeps_for_a_second(void)
{
	__u64 begin, end, sum = 0;
	unsigned int i;
	struct heap heap;

	if (!heap_open_private(&heap, WINDOW, WINDOW / 2))
		return;
	/* Whoever is stopped in between tells nothing. */
	for (i = 0; i < 100; i++) {
		begin = now_ns();
		rise_and_fall(&heap);
		sum = release_some(&heap);
		end = now_ns();
		if (end - begin < SECOND / 2)
			break;
	}
	check(i < 100);
	check_eq(sum, 0);
	while (now_ns() < end + 2 * SECOND)
		usleep(100000);
	check(release_some(&heap) >= (PEAK_OBJECTS - 2) * MIB);
	heap_close(&heap);
}

static void gives_back(void)
{
	static __u64 addrs[OBJECTS], sizes[OBJECTS];
	struct karena_heap_info info;
	struct heap heap;
	__u64 kept;

	if (!heap_open_private(&heap, WINDOW, WINDOW / 2))
		return;
	kept = heap_new(heap.fd, 5000, 0);
	make_objects(heap.fd, 1, addrs, sizes);
	check_ret(heap_info(heap.fd, 0, 0, &info), 0);
	check(info.held_bytes > MIB);
	give(heap.fd, addrs, OBJECTS);
	check(release_all(&heap, kept) > MIB);
	check_ret(heap_info(heap.fd, 0, 0, &info), 0);
	check(info.held_bytes <= 8 * PAGE);
	check_eq(release_all(&heap, kept), 0);
	make_objects(heap.fd, 2, addrs, sizes);
	heap_close(&heap);
}

/* What was told is nobody's; what was not is not to be given back. */
static void told_is_taken(void)
{
	struct karena_release req = { .size = sizeof(req), .flags = KARENA_RELEASE_ALL }, wrong;
	struct heap heap;
	__u64 addr;

	if (!heap_open_private(&heap, WINDOW, MIB))
		return;
	addr = heap_new(heap.fd, MIB, 0);
	give(heap.fd, &addr, 1);
	check_ret(kioctl(heap.fd, KARENA_IOC_RELEASE, &req), 0);
	if (!check(req.length))
		goto out;
	check_ret(heap_alloc(heap.fd, MIB, 0, 1, &addr), -ENOMEM);
	wrong = req;
	wrong.start += PAGE;
	check_ret(kioctl(heap.fd, KARENA_IOC_RELEASE, &wrong), -EINVAL);
	wrong = req;
	wrong.length += PAGE;
	check_ret(kioctl(heap.fd, KARENA_IOC_RELEASE, &wrong), -EINVAL);
	/* Somebody is at it. */
	check_eq(release_all(&heap, 0), 0);
	wrong = req;
	check_ret(kioctl(heap.fd, KARENA_IOC_RELEASE, &req), 0);
	check_eq(req.length, 0);
	check_ret(kioctl(heap.fd, KARENA_IOC_RELEASE, &wrong), -EINVAL);
	check_ret(heap_alloc(heap.fd, MIB, 0, 1, &addr), 0);
out:
	heap_close(&heap);
}

static int clone_of(const struct heap *heap)
{
	struct karena_clone req = { .size = sizeof(req) };

	return check_ret(kioctl(heap->fd, KARENA_IOC_CLONE, &req), 0) ? req.fd : -1;
}

static int compare(const void *a, const void *b)
{
	const __u64 *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* New objects of the clone are none that it has. */
static void use_clone(int fd, const __u64 *addrs, const __u64 *sizes)
{
	static __u64 all[2 * OBJECTS], other_sizes[OBJECTS];
	unsigned int i;

	for (i = 0; i < OBJECTS; i++)
		check_eq(!!addrs[i], heap_usable(fd, addrs[i]) >= (__s64)sizes[i]);
	make_objects(fd, 4, all, other_sizes);
	memcpy(all + OBJECTS, addrs, OBJECTS * sizeof(*addrs));
	qsort(all, 2 * OBJECTS, sizeof(*all), compare);
	for (i = 1; i < 2 * OBJECTS; i++)
		check(!all[i] || all[i] != all[i - 1]);
	for (i = 0; i < 2 * OBJECTS; i++)
		if (all[i])
			give(fd, &all[i], 1);
	check_eq(live_of(fd), 0);
}

static void has_the_same(void)
{
	static __u64 addrs[OBJECTS], sizes[OBJECTS];
	struct heap heap;
	unsigned int i;
	__u64 live;
	int fd;

	if (!heap_open_private(&heap, WINDOW, WINDOW))
		return;
	make_objects(heap.fd, 3, addrs, sizes);
	for (i = 0; i < OBJECTS; i += 3) {
		give(heap.fd, &addrs[i], 1);
		addrs[i] = 0;
		sizes[i] = 1;
	}
	live = live_of(heap.fd);
	fd = clone_of(&heap);
	check_eq(live_of(fd), live);
	use_clone(fd, addrs, sizes);
	close(fd);
	/* It has nothing to do with it any more. */
	check_eq(live_of(heap.fd), live);
	use_clone(heap.fd, addrs, sizes);
	heap_close(&heap);
}

/* What magazines have is nobody's in the child, which has other ones. */
static void without_magazines(void)
{
	struct karena_fill small = { .size = sizeof(small), .magazine = 10 };
	struct karena_fill large = { .size = sizeof(large), .magazine = KARENA_LARGE_MAGAZINE + 2 };
	struct heap heap;
	int fd;

	if (!heap_open_private(&heap, WINDOW, 2 * MIB))
		return;
	check_ret(kioctl(heap.fd, KARENA_IOC_FILL, &small), 0);
	check(small.count);
	check_ret(kioctl(heap.fd, KARENA_IOC_FILL, &large), 0);
	check(large.count);
	check_eq(live_of(heap.fd), 2);
	fd = clone_of(&heap);
	check_eq(live_of(fd), 2);
	give(fd, (__u64[]){ small.object, large.object }, 2);
	check_eq(live_of(fd), 0);
	close(fd);
	heap_close(&heap);
}

/* Large objects of some numbers of pages; of small ones those that nobody looks into. */
static void which_magazines(void)
{
	struct karena_fill fill = { .size = sizeof(fill) };
	struct karena_flush flush = { .size = sizeof(flush) };
	__u32 number = KARENA_LARGE_MAGAZINE + 5, pages = karena_magazine_pages(number);
	struct heap heap, shared;
	const __u16 *map;
	__u64 addr;

	if (!heap_open_private(&heap, WINDOW, 32 * MIB) || !heap_open(&shared, WINDOW, 0))
		return;
	heap.control = as_ptr(map_control(heap.fd, heap.control_size, PROT_READ, MAP_SHARED));
	map = (const void *)((const char *)heap.control + heap.control->map_offset);
	check_ret(heap_alloc(heap.fd, pages * PAGE - 100, 0, 1, &addr), 0);
	check_eq(map[(addr - heap.base) / PAGE], number);
	check_eq(map[(addr - heap.base) / PAGE + pages - 1], number);
	flush.magazine = number;
	flush.object = addr;
	check_ret(kioctl(heap.fd, KARENA_IOC_FLUSH, &flush), 0);
	check_eq(flush.reason, KARENA_REJECT_NONE);
	check_eq(live_of(heap.fd), 0);
	fill.magazine = number;
	check_ret(kioctl(shared.fd, KARENA_IOC_FILL, &fill), -EINVAL);
	check_ret(kioctl(shared.fd, KARENA_IOC_FLUSH, &flush), -EINVAL);
	check_ret(heap_alloc(shared.fd, pages * PAGE, 0, 1, &addr), 0);
	fill.magazine = 9;
	check_ret(kioctl(heap.fd, KARENA_IOC_FILL, &fill), -EINVAL);
	check_ret(kioctl(shared.fd, KARENA_IOC_FILL, &fill), 0);
	heap_close(&shared);
	heap_close(&heap);
}

/* A clone of a heap without memory to spare has the same limit. */
static void has_the_same_limit(void)
{
	struct heap heap;
	__u64 addr;
	int fd;

	if (!heap_open_private(&heap, 64 * MIB, 4 * MIB))
		return;
	while (!heap_alloc(heap.fd, 40000, 0, 1, &addr))
		;
	fd = clone_of(&heap);
	check_eq(live_of(fd), live_of(heap.fd));
	check_ret(heap_alloc(fd, 40000, 0, 1, &addr), -ENOMEM);
	check_ret(heap_grow(fd, 8 * MIB), 0);
	check_ret(heap_alloc(fd, 40000, 0, 1, &addr), 0);
	check(addr >= heap.base + 3 * MIB && addr < heap.base + 8 * MIB);
	close(fd);
	heap_close(&heap);
}

static void as_nobody(void *unused)
{
	struct heap heap[20];
	unsigned int i, n = 0;

	(void)unused;
	if (!become_nobody())
		return;
	for (i = 0; i < 20; i++) {
		struct karena_setup setup = {
			.size = sizeof(setup), .flags = KARENA_SETUP_PRIVATE, .window = WINDOW,
		};

		heap[i].fd = dev_open(O_RDWR);
		if (check(heap[i].fd >= 0) && !kioctl(heap[i].fd, KARENA_IOC_SETUP, &setup))
			n++;
	}
	check_eq(n, 10);
	check_ret(kioctl(heap[0].fd, KARENA_IOC_CLONE,
			 &(struct karena_clone){ .size = sizeof(struct karena_clone) }), -ENOSPC);
	for (i = 0; i < 20; i++)
		close(heap[i].fd);
}

static void counts(void)
{
	const char *path = "/sys/module/karena/parameters/max_user_private";

	if (!check(write_text(path, "10")))
		return;
	tap_isolate(as_nobody, NULL);
	check(write_text(path, "4096"));
}

/* Whatever others do meanwhile, the clone is a heap. */
static void change(void *arg)
{
	struct heap *heap = arg;
	__u64 grown = MIB, addrs[8];
	struct rng rng;
	unsigned int i, steps = tap_count(3000, 100000);

	rng_init(&rng, 7);
	for (i = 0; i < steps; i++) {
		struct karena_release req = { .size = sizeof(req), .flags = 1 };
		__u64 size = 1 + rng_below(&rng, 200000);

		if (heap_alloc(heap->fd, size, 0, 8, addrs)) {
			if (grown < WINDOW / 2)
				grown += 64 * KARENA_PAGE_SIZE;
			heap_grow(heap->fd, grown);
			kioctl(heap->fd, KARENA_IOC_RELEASE, &req);
			if (req.length)
				kioctl(heap->fd, KARENA_IOC_RELEASE, &req);
		} else {
			give(heap->fd, addrs, 1 + rng_below(&rng, 7));
		}
	}
}

static void cloned_meanwhile(void)
{
	struct karena_clone req;
	struct heap heap;
	__u64 addrs[64];
	unsigned int i, n, rounds = tap_count(150, 2000);
	pid_t pid;

	if (!heap_open_private(&heap, WINDOW, MIB))
		return;
	pid = tap_fork(change, &heap);
	for (n = 0; n < rounds; n++) {
		req = (struct karena_clone){ .size = sizeof(req) };
		if (kioctl(heap.fd, KARENA_IOC_CLONE, &req))
			continue;
		heap_grow(req.fd, WINDOW);
		for (i = 0; i < 64; i++)
			heap_alloc(req.fd, 1 + i * 1000, 0, 1, &addrs[i]);
		close(req.fd);
	}
	tap_join(pid);
	heap_close(&heap);
}

/* A span that ends where the memory does. */
static void to_the_last_page(void)
{
	struct heap heap;
	__u64 addr;
	int fd;

	if (!heap_open_private(&heap, WINDOW, MIB))
		return;
	check_ret(heap_alloc(heap.fd, MIB, 0, 1, &addr), 0);
	fd = clone_of(&heap);
	check_eq(heap_usable(fd, addr), MIB);
	check_ret(heap_alloc(fd, 64, 0, 1, &addr), -ENOMEM);
	close(fd);
	heap_close(&heap);
}

static const struct tap_case cases[] = {
	{ "nothing before it is told", nothing_before_grow },
	{ "neither types nor references nor mapping", only_what_it_is_for },
	{ "gives back what is free", gives_back },
	{ "keeps for a second what was used", keeps_for_a_second },
	{ "what is to be given back is nobody's", told_is_taken },
	{ "a clone has the same objects", has_the_same },
	{ "a clone has nothing in magazines", without_magazines },
	{ "what has magazines", which_magazines },
	{ "a clone has the same memory", has_the_same_limit },
	{ "a clone of memory that is all in use", to_the_last_page },
	{ "a clone of a heap that changes", cloned_meanwhile },
	{ "a user has so many", counts },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
