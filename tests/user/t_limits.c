// SPDX-License-Identifier: GPL-2.0
/*
 * Limits around a heap: the control group's memory, a user's bytes; reaching
 * them is ENOMEM from the call, and all is given back in the end.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "group.h"
#include "heap.h"
#include "model.h"
#include "tap.h"

#define USER_LIMIT "/sys/module/karena/parameters/max_user_bytes"
#define GROUP_MAX (32 * MIB)
/* What the kernel keeps precharged, and what it needs around the objects. */
#define SLACK (2 * MIB)

/* Fills the group with objects of a size; what is there stays usable. */
static void fill_group(__u64 size, __u32 batch)
{
	static __u64 addrs[65536];
	struct karena_heap_info own;
	struct heap heap;
	__u32 nr = 0, i;
	int ret = 0;

	memset(addrs, 0, sizeof(addrs));
	if (!heap_open(&heap, WINDOW, 0) || !enter_group())
		return;
	while (nr + batch <= ARRAY_SIZE(addrs)) {
		ret = heap_alloc(heap.fd, size, 0, batch, addrs + nr);
		if (ret)
			break;
		for (i = nr; i < nr + batch; i++)
			*(__u64 *)as_ptr(addrs[i]) = addrs[i];
		nr += batch;
	}
	check_ret(ret, -ENOMEM);
	check(nr * size <= GROUP_MAX);
	check(nr * size >= GROUP_MAX / 2);
	check_ret(heap_alloc(heap.fd, size, 0, batch, addrs + nr), -ENOMEM);
	for (i = 0; i < nr; i++)
		check_eq(*(__u64 *)as_ptr(addrs[i]), addrs[i]);
	check_ret(heap_info(heap.fd, 0, 0, &own), 0);
	check_eq(own.live_objects, nr);
	check(own.failed > 0);
	check_ret(heap_free(heap.fd, addrs, nr, NULL), 0);
	check_ret(heap_alloc(heap.fd, size, 0, batch, addrs), 0);
	heap_close(&heap);
}

static void full_of_large(void *arg)
{
	(void)arg;
	fill_group(64 * KIB, 1);
}

static void full_of_small(void *arg)
{
	(void)arg;
	fill_group(4096, 32);
}

static void full_of_huge(void *arg)
{
	(void)arg;
	fill_group(4 * MIB, 1);
}

static void group_limit(void (*fn)(void *arg))
{
	struct karena_info before;

	if (!user_at_rest(&before) || !group_open(GROUP_MAX))
		return;
	tap_isolate(fn, NULL);
	group_close();
	user_back_to(&before);
}

static void group_large(void)
{
	group_limit(full_of_large);
}

static void group_small(void)
{
	group_limit(full_of_small);
}

static void group_huge(void)
{
	group_limit(full_of_huge);
}

/* Looks until the group holds at most @most bytes; what it holds in the end. */
static __s64 current_down_to(__s64 most)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	unsigned int looks;
	__s64 now = 0;

	for (looks = 0; looks < 10000; looks++) {
		now = read_number(in_group("memory.current"), "");
		if (now <= most)
			break;
		nanosleep(&pause, NULL);
	}
	return now;
}

static void hold_and_let_go(void *arg)
{
	const __s64 bytes = 16 * MIB;
	__s64 before, during, after;
	struct heap heap;
	unsigned int i;

	(void)arg;
	if (!enter_group())
		return;
	before = read_number(in_group("memory.current"), "");
	if (!heap_open(&heap, WINDOW, 0))
		return;
	for (i = 0; i < 16; i++)
		check(heap_new(heap.fd, MIB, 0));
	during = read_number(in_group("memory.current"), "");
	/* some of it may come out of what was precharged before */
	check(during >= before + bytes - (__s64)SLACK);
	check(during <= before + bytes + (__s64)SLACK);
	heap_close(&heap);
	after = current_down_to(before + SLACK);
	check(after <= before + (__s64)SLACK);
	tap_diag("KiB charged: %lld before, %lld with 16 MiB of objects, %lld after",
		 before / 1024, during / 1024, after / 1024);
}

static void group_charged(void)
{
	if (!group_open(GROUP_MAX))
		return;
	tap_isolate(hold_and_let_go, NULL);
	group_close();
}

/* The charge is the one's who allocated, as long as the heap lives. */
static void allocate_and_end(void *arg)
{
	struct heap *heap = arg;

	if (enter_group())
		check(heap_new(heap->fd, 16 * MIB, 0));
}

static void group_outlived(void)
{
	struct heap heap;
	__s64 held;

	if (!group_open(GROUP_MAX))
		return;
	if (heap_open(&heap, WINDOW, 0)) {
		tap_isolate(allocate_and_end, &heap);
		held = read_number(in_group("memory.current"), "");
		check(held >= (__s64)(16 * MIB));
		heap_close(&heap);
		check(current_down_to(SLACK) <= (__s64)SLACK);
	}
	group_close();
}

/* Allocates until it cannot; bytes it got. */
static __u64 until_full(const struct heap *heap, __u64 size)
{
	__u64 got = 0;

	while (got < 64 * MIB && heap_new(heap->fd, size, 0))
		got += size;
	return got;
}

static void user_full(void *arg)
{
	__u64 limit = *(__u64 *)arg;
	struct karena_info dev, before;
	struct heap one, two;
	__u64 got;

	if (!become_nobody() || !user_numbers(&before) ||
	    !heap_open(&one, WINDOW, 0) || !heap_open(&two, WINDOW, 0))
		return;
	check_eq(before.max_user_bytes, limit);
	got = until_full(&one, 64 * KIB);
	check(got <= limit && got >= limit / 2);
	check_eq(heap_new(two.fd, MIB, 0), 0);
	check_ret(dev_info(two.fd, &dev), 0);
	check(dev.user_bytes <= limit && dev.user_bytes >= got);
	check_eq(dev.user_heaps, 2);
	heap_close(&one);
	check(heap_new(two.fd, MIB, 0));
	got = until_full(&two, 4096);
	check(got <= limit && got >= limit / 2);
	heap_close(&two);
	user_back_to(&before);
}

static void user_limit(void)
{
	__u64 limit = 8 * MIB;
	struct karena_info dev;

	if (!user_numbers(&dev))
		return;
	if (!check(write_number(USER_LIMIT, limit)))
		return;
	tap_isolate(user_full, &limit);
	check(write_number(USER_LIMIT, dev.max_user_bytes));
}

/* Two processes of one user share its bytes; another user has its own. */
static void root_has_its_own(void)
{
	struct karena_info dev, now;
	struct heap heap;

	if (!user_numbers(&dev))
		return;
	if (!check(write_number(USER_LIMIT, MIB)) || !heap_open(&heap, WINDOW, 0))
		return;
	/* root is above the limit, and counted */
	check(heap_new(heap.fd, 4 * MIB, 0));
	user_numbers(&now);
	check(now.user_bytes >= dev.user_bytes + 4 * MIB);
	heap_close(&heap);
	check(write_number(USER_LIMIT, dev.max_user_bytes));
	user_back_to(&dev);
}

/* Bytes that the machine has free, those in lists of each CPU included. */
static __s64 machine_free(void)
{
	FILE *zones = fopen("/proc/zoneinfo", "r");
	__s64 pages = 0, more;
	char line[256];

	while (zones && fgets(line, sizeof(line), zones)) {
		if (sscanf(line, " nr_free_pages %lld", &more) == 1 ||
		    sscanf(line, " count: %lld", &more) == 1)
			pages += more;
	}
	if (zones)
		fclose(zones);
	return pages * 4096;
}

/* What goes by RCU may take its time; bytes that are free in the end. */
static __s64 wait_for_free(__s64 bytes)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	__s64 now = machine_free();
	unsigned int looks;

	for (looks = 0; looks < 30000 && now < bytes; looks++) {
		nanosleep(&pause, NULL);
		now = machine_free();
	}
	return now;
}

/* The machine's memory is back, not only the counter. */
static void machine_gets_back(void)
{
	const __s64 bytes = 128 * MIB, noise = 8 * MIB;
	struct karena_info before;
	__s64 start = machine_free(), end;
	unsigned int round;

	if (start < 2 * bytes)
		return tap_skip("only %lld MiB are free", start / (__s64)MIB);
	if (!user_at_rest(&before))
		return;
	for (round = 0; round < 8; round++) {
		struct heap heap;
		__u64 addrs[64];

		if (!heap_open(&heap, WINDOW, 0))
			return;
		check(heap_new(heap.fd, bytes / 2, 0));
		check_ret(heap_alloc(heap.fd, bytes / 128, 0, 64, addrs), 0);
		check(machine_free() <= start - bytes + noise);
		heap_close(&heap);
		user_back_to(&before);
	}
	end = wait_for_free(start - noise);
	check(end >= start - noise);
	tap_diag("MiB free: %lld before, %lld after", start / (__s64)MIB,
		 end / (__s64)MIB);
}

static void make_and_end(unsigned int rounds)
{
	unsigned int i;

	for (i = 0; i < rounds && !tap_failed(); i++) {
		struct heap heap;

		if (!heap_open(&heap, WINDOW, 0))
			return;
		*(char *)as_ptr(heap_new(heap.fd, 1 + i * 37 % 40000, 0)) = 1;
		check(heap_new(heap.fd, 200000, 0));
		heap_close(&heap);
	}
}

/* Many heaps, one after the other: nothing of each stays, once caches are warm. */
static void heaps_come_and_go(void)
{
	unsigned int rounds = tap_count(300, 5000);
	struct karena_info before;
	__s64 start, end, least;

	if (!user_at_rest(&before))
		return;
	make_and_end(rounds);
	user_back_to(&before);
	if (getenv("KARENA_SLOW")) {
		tap_skip("KASAN keeps back what is freed, so free memory says nothing");
		return;
	}
	start = machine_free();
	make_and_end(rounds);
	user_back_to(&before);
	/* less than a page of each */
	least = start - (__s64)(4 * MIB + rounds * 3 * KIB);
	end = wait_for_free(least);
	tap_diag("KiB free: %lld before %u heaps, %lld after", start / (__s64)KIB, rounds,
		 end / (__s64)KIB);
	check(end >= least);
}

static const struct tap_case cases[] = {
	{ "control group full of 64 KiB objects", group_large },
	{ "control group full of 4 KiB objects", group_small },
	{ "control group full of 4 MiB objects", group_huge },
	{ "memory is charged to the control group and back", group_charged },
	{ "the charge outlives the process", group_outlived },
	{ "bytes of a user", user_limit },
	{ "root is counted and not limited", root_has_its_own },
	{ "the machine gets its memory back", machine_gets_back },
	{ "heaps come and go", heaps_come_and_go },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
