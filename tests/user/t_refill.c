// SPDX-License-Identifier: GPL-2.0
/*
 * Objects that a program takes together, as extents, and hands out one by one: each is
 * an object of its own, is kept as long as its extent has it, and no longer.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

#define REFILLS 64u

struct node {
	struct node *next;
	__u64 number;
};

/* Of processes that share the heap; no root by itself. */
struct cache {
	struct karena_extent extent[KARENA_MAX_EXTENTS];
	struct heap heap;
	__u32 type;
	__u32 nr;			/* extents */
	__u32 distance;
	unsigned int over;
};

static int heap_refill(struct cache *cache, __u32 type, __u32 count, __u32 room)
{
	struct karena_refill req = {
		.size = sizeof(req),
		.type = type,
		.count = count,
		.room = room,
		.extents = as_addr(cache->extent),
	};
	int ret = kioctl(cache->heap.fd, KARENA_IOC_REFILL, &req);

	if (ret)
		return ret;
	cache->nr = req.room;
	cache->distance = req.distance;
	return req.count;
}

static struct cache *setup(__u64 limit)
{
	struct cache *cache = mmap(NULL, sizeof(*cache), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (!check(cache != MAP_FAILED) || !heap_open_collected(&cache->heap, WINDOW, limit))
		return NULL;
	cache->type = heap_register(cache->heap.fd, sizeof(struct node), (__u32[]){ 0 }, 1);
	check(cache->type);
	check(gc_check(cache->heap.fd));
	return cache;
}

static void teardown(struct cache *cache)
{
	struct karena_gc_info info;

	if (gc_info(cache->heap.fd, &info))
		check_eq(info.lost, 0);
	heap_close(&cache->heap);
	munmap(cache, sizeof(*cache));
}

static void keep(struct cache *cache, __u32 flags)
{
	check_ret(heap_root(cache->heap.fd, cache->extent, sizeof(cache->extent), flags), 0);
}

static struct node *take(struct cache *cache)
{
	struct karena_extent *extent;
	struct node *node;

	for (extent = cache->extent; extent < cache->extent + cache->nr; extent++) {
		if (extent->start == extent->end)
			continue;
		node = as_ptr(extent->start);
		__asm__ volatile("" : "+r"(node) : : "memory");
		extent->start += cache->distance;
		return node;
	}
	return NULL;
}

static __u64 live_objects(int fd)
{
	struct karena_heap_info info;

	return check_ret(heap_info(fd, 0, 0, &info), 0) ? info.live_objects : 0;
}

/* --- what comes --- */

/* All of it cleared objects that nobody has: each gets a number, which it keeps. */
static unsigned int number_all(struct cache *cache, unsigned int number)
{
	unsigned int i;
	__u64 addr;

	for (i = 0; i < cache->nr; i++) {
		check(cache->extent[i].start < cache->extent[i].end);
		for (addr = cache->extent[i].start; addr < cache->extent[i].end;
		     addr += cache->distance) {
			if (!check_eq(heap_usable(cache->heap.fd, addr), cache->distance) ||
			    !check_eq(((__u64 *)as_ptr(addr))[1], 0))
				return number;
			((__u64 *)as_ptr(addr))[1] = ++number;
		}
	}
	return number;
}

/* Each other object of them is freed, so that the next extents are short. */
static unsigned int free_some(struct cache *cache)
{
	unsigned int i, n = 0;
	__u64 addr;

	for (i = 0; i < cache->nr; i++)
		for (addr = cache->extent[i].start; addr < cache->extent[i].end;
		     addr += 2 * cache->distance) {
			check_ret(heap_drop(cache->heap.fd, addr), 0);
			n++;
		}
	return n;
}

static void new_objects(void)
{
	struct cache *cache = setup(0);
	unsigned int i, number = 0, freed = 0;
	__u32 type, count, room;
	struct rng rng;
	int got;

	if (!cache)
		return;
	/* Nothing goes by itself. */
	rng_init(&rng, 400);
	for (i = 0; i < REFILLS && !tap_failed(); i++) {
		type = heap_register(cache->heap.fd, 16 << rng_below(&rng, 8), (__u32[]){ 0 }, 1);
		count = 1 + rng_below(&rng, 1000);
		room = 1 + rng_below(&rng, KARENA_MAX_EXTENTS);
		got = heap_refill(cache, type, count, room);
		if (!check(got > 0) || !check(got <= (int)count) || !check(cache->nr <= room))
			break;
		check_eq(number_all(cache, number), number + got);
		number += got;
		check_eq(live_objects(cache->heap.fd), number - freed);
		if (rng_below(&rng, 2))
			freed += free_some(cache);
	}
	teardown(cache);
}

/* --- what stays --- */

#define TAKEN 1000u

static void fill(void *arg)
{
	struct cache *cache = arg;

	check_eq(heap_refill(cache, cache->type, TAKEN, KARENA_MAX_EXTENTS), TAKEN);
}

static void extents_keep(void)
{
	struct cache *cache = setup(0);
	unsigned int i;

	if (!cache)
		return;
	keep(cache, KARENA_ROOT_EXTENTS);
	tap_isolate(fill, cache);
	check_ret(heap_collect(cache->heap.fd), 0);
	check_eq(live_objects(cache->heap.fd), TAKEN);
	/* What is handed out, and forgotten, goes. */
	for (i = 0; i < TAKEN / 2; i++)
		take(cache);
	check_ret(heap_collect(cache->heap.fd), 0);
	check(live_objects(cache->heap.fd) - TAKEN / 2 < 4);
	for (i = 0; i < TAKEN / 2; i++)
		take(cache);
	check_eq(as_addr(take(cache)), 0);
	check_ret(heap_collect(cache->heap.fd), 0);
	check(live_objects(cache->heap.fd) < 4);
	teardown(cache);
}

/* The same words in a range that is searched for references. */
static void words_do_not(void)
{
	struct cache *cache = setup(0);

	if (!cache)
		return;
	keep(cache, 0);
	tap_isolate(fill, cache);
	check_ret(heap_collect(cache->heap.fd), 0);
	/* Where each begins, and what is behind it. */
	check(live_objects(cache->heap.fd) <= 2 * cache->nr);
	teardown(cache);
}

static void fill_and_wait(void *arg)
{
	struct cache *cache = arg;

	keep(cache, KARENA_ROOT_EXTENTS);
	fill(cache);
	raise(SIGSTOP);
}

static void gone_with_its_process(void)
{
	struct cache *cache = setup(0);
	pid_t pid;
	int status;

	if (!cache)
		return;
	pid = tap_fork(fill_and_wait, cache);
	check_eq(waitpid(pid, &status, WUNTRACED), pid);
	check(WIFSTOPPED(status));
	check_ret(heap_collect(cache->heap.fd), 0);
	check_eq(live_objects(cache->heap.fd), TAKEN);
	kill(pid, SIGKILL);
	check_eq(waitpid(pid, &status, 0), pid);
	check_ret(heap_collect(cache->heap.fd), 0);
	check_eq(live_objects(cache->heap.fd), 0);
	teardown(cache);
}

/* --- what it is not --- */

static __u64 any_word(struct cache *cache, struct rng *rng, const struct karena_extent *real)
{
	switch (rng_below(rng, 6)) {
	case 0:
		return real->start + 8 * rng_below(rng, 64);
	case 1:
		return real->end - 8 * rng_below(rng, 64);
	case 2:
		return cache->heap.base + rng_below(rng, WINDOW);
	case 3:
		return real->start;
	case 4:
		return rng_below(rng, 2) ? ~0ULL << rng_below(rng, 64) : 0;
	default:
		return rng_next(rng);
	}
}

/* Whatever is written where extents should be. */
static void forged(void)
{
	unsigned int i, j, rounds = tap_count(20, 1000);
	struct cache *cache = setup(0);
	struct karena_extent real;
	struct node *node;
	struct rng rng;
	__u64 large;

	if (!cache)
		return;
	keep(cache, KARENA_ROOT_EXTENTS);
	rng_init(&rng, 401);
	large = heap_new(cache->heap.fd, 100000, 0);
	for (i = 0; i < rounds && !tap_failed(); i++) {
		check(heap_refill(cache, cache->type, TAKEN, KARENA_MAX_EXTENTS) > 0);
		node = take(cache);
		node->number = i;
		real = cache->extent[0];
		for (j = 0; j < KARENA_MAX_EXTENTS; j++) {
			cache->extent[j].start = any_word(cache, &rng, &real);
			cache->extent[j].end = any_word(cache, &rng, &real);
		}
		cache->extent[0].start = large;
		check_ret(heap_collect(cache->heap.fd), 0);
		check_eq(node->number, i);
		check(heap_usable(cache->heap.fd, as_addr(node)) > 0);
		check(heap_usable(cache->heap.fd, large) > 0);
	}
	teardown(cache);
}

#define REPEATED (64 * MIB)

/* One extent that is real, as often as there is room for it. */
static void repeat_and_wait(void *arg)
{
	struct cache *cache = arg;
	struct karena_extent *at, *memory;

	memory = mmap(NULL, REPEATED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!check(memory != MAP_FAILED))
		return;
	fill(cache);
	for (at = memory; at < memory + REPEATED / sizeof(*at); at++)
		*at = cache->extent[0];
	check_ret(heap_root(cache->heap.fd, memory, REPEATED, KARENA_ROOT_EXTENTS), 0);
	raise(SIGSTOP);
}

/* Whoever is searched after it has all of its objects still. */
static void repeated(void)
{
	struct cache *cache = setup(0), *other;
	pid_t pid[2];
	int status;
	size_t i;

	other = mmap(NULL, sizeof(*other), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	if (!cache || !check(other != MAP_FAILED))
		return;
	*other = *cache;
	pid[0] = tap_fork(repeat_and_wait, other);
	check_eq(waitpid(pid[0], &status, WUNTRACED), pid[0]);
	pid[1] = tap_fork(fill_and_wait, cache);
	check_eq(waitpid(pid[1], &status, WUNTRACED), pid[1]);
	for (i = 0; i < 3; i++)
		check_ret(heap_collect(cache->heap.fd), 0);
	check(live_objects(cache->heap.fd) > TAKEN);
	for (i = 0; i < ARRAY_SIZE(pid); i++) {
		kill(pid[i], SIGKILL);
		check_eq(waitpid(pid[i], &status, 0), pid[i]);
		check_ret(heap_collect(cache->heap.fd), 0);
		/* A word that was an extent's may be on some stack. */
		check(live_objects(cache->heap.fd) - (i ? 0 : TAKEN) < 4);
	}
	munmap(other, sizeof(*other));
	teardown(cache);
}

/* --- at the limit --- */

static void garbage_first(void)
{
	struct cache *cache = setup(MIB);
	unsigned int i;

	if (!cache)
		return;
	/* Nobody keeps them: there is always room for more. */
	for (i = 0; i < 200 && !tap_failed(); i++)
		check(heap_refill(cache, cache->type, TAKEN, KARENA_MAX_EXTENTS) > 0);
	teardown(cache);
}

static void no_more(void)
{
	struct cache *cache = setup(MIB);
	struct node *list = NULL, *node;
	unsigned int n = 0;
	int got;

	if (!cache)
		return;
	keep(cache, KARENA_ROOT_EXTENTS);
	while ((got = heap_refill(cache, cache->type, 100, KARENA_MAX_EXTENTS)) > 0)
		while ((node = take(cache))) {
			node->next = list;
			list = node;
			n++;
		}
	check_ret(got, -ENOMEM);
	check(n > MIB / 2 / sizeof(*node));
	for (node = list; node; node = node->next)
		n--;
	check_eq(n, 0);
	teardown(cache);
}

/* --- while cycles run --- */

#define LENGTH 500u

/* Makes lists and looks at them again, with objects of extents alone. */
static void run_lists(void *arg)
{
	struct cache *own, *cache = arg;
	struct node *list, *node;
	unsigned int i;

	own = mmap(NULL, sizeof(*own), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!check(own != MAP_FAILED))
		return;
	own->heap = cache->heap;
	keep(own, KARENA_ROOT_EXTENTS);
	while (!__atomic_load_n(&cache->over, __ATOMIC_RELAXED) && !tap_failed()) {
		for (list = NULL, i = 0; i < LENGTH; i++) {
			node = take(own);
			if (!node && check(heap_refill(own, cache->type, 100,
						       KARENA_MAX_EXTENTS) > 0))
				node = take(own);
			if (!node || !check_eq(node->number, 0))
				return;
			*node = (struct node){ list, i + 1 };
			list = node;
		}
		for (node = list; i; node = node->next, i--)
			if (!check(node) || !check_eq(node->number, i))
				return;
	}
}

static void while_cycles_run(void)
{
	unsigned int i, cycles = tap_count(30, 3000);
	struct cache *cache = setup(0);
	pid_t pid[3];

	if (!cache)
		return;
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		pid[i] = tap_fork(run_lists, cache);
	for (i = 0; i < cycles && !tap_failed(); i++)
		check_ret(heap_collect(cache->heap.fd), 0);
	__atomic_store_n(&cache->over, 1, __ATOMIC_RELAXED);
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		tap_join(pid[i]);
	teardown(cache);
}

static const struct tap_case cases[] = {
	{ "extents are of new objects", new_objects },
	{ "and keep them", extents_keep },
	{ "which their words alone do not", words_do_not },
	{ "nothing is left of who dies", gone_with_its_process },
	{ "forged extents", forged },
	{ "extents that are repeated", repeated },
	{ "garbage makes room", garbage_first },
	{ "until there is none", no_more },
	{ "while cycles run", while_cycles_run },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
