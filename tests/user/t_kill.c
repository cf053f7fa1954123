// SPDX-License-Identifier: GPL-2.0
/*
 * Processes are killed at random moments while they allocate, free and fault
 * in a heap: what others hold in it is whole after each death, it goes on
 * working, and all memory comes back with the last one.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap.h"
#include "kill.h"
#include "model.h"
#include "tap.h"

/* Objects that a victim has at a time: what it leaves behind is bounded. */
#define OBJECTS 24
#define OWN 200
#define LIMIT (96 * MIB)

struct victim {
	struct heap heap;
	/* shared with the killer */
	__u32 *steps;
	unsigned int nr;
	bool private_heap;
};

struct survivor {
	__u64 addrs[OWN];
	__u64 sizes[OWN];
};

static __u64 victims_size(struct rng *rng)
{
	switch (rng_below(rng, 40)) {
	case 0:
		return 32768 + rng_below(rng, 100000);
	case 1 ... 5:
		return 1 + rng_below(rng, 16);
	default:
		return 1 + rng_below(rng, 1500);
	}
}

/* For ever: singly and in bulk, with and without pointers, touching each. */
static void victim(void *arg)
{
	struct victim *v = arg;
	__u64 addrs[OBJECTS] = { 0 }, batch[40];
	struct rng rng;

	rng_init(&rng, 1000 + v->nr);
	if (v->private_heap && !heap_open(&v->heap, WINDOW, 0))
		return;
	for (;;) {
		unsigned int i = rng_below(&rng, OBJECTS);
		__u64 size = victims_size(&rng);

		__atomic_add_fetch(v->steps, 1, __ATOMIC_RELAXED);
		if (addrs[i])
			heap_drop(v->heap.fd, addrs[i]);
		addrs[i] = heap_new(v->heap.fd, size,
				    rng_below(&rng, 2) ? KARENA_ALLOC_NOSCAN : 0);
		if (addrs[i])
			memset(as_ptr(addrs[i]), 0xee, size);
		if (rng_below(&rng, 8))
			continue;
		if (!heap_alloc(v->heap.fd, 200, 0, 40, batch))
			heap_free(v->heap.fd, batch, 40, NULL);
		if (v->private_heap || rng_below(&rng, 8))
			continue;
		heap_unmap(&v->heap);
		heap_map(&v->heap);
	}
}

static pid_t start(struct victim *v)
{
	__atomic_store_n(v->steps, 0, __ATOMIC_RELAXED);
	return tap_fork(victim, v);
}

static bool victim_init(struct victim *v)
{
	memset(v, 0, sizeof(*v));
	v->steps = shared_memory(4096);
	return v->steps;
}

/* Replaces one of the survivor's objects by another. */
static bool renew(struct survivor *s, const struct heap *heap, struct rng *rng)
{
	unsigned int i = rng_below(rng, OWN);

	if (s->addrs[i] && !check_ret(heap_drop(heap->fd, s->addrs[i]), 0))
		return false;
	s->sizes[i] = 1 + rng_below(rng, rng_below(rng, 20) ? 2000 : 60000);
	s->addrs[i] = heap_new(heap->fd, s->sizes[i], 0);
	if (!s->addrs[i])
		return true;
	if (!check(zeroed(as_ptr(s->addrs[i]), s->sizes[i])))
		return false;
	fill(as_ptr(s->addrs[i]), s->sizes[i], s->addrs[i]);
	return true;
}

static bool all_whole(const struct survivor *s)
{
	unsigned int i;

	for (i = 0; i < OWN; i++) {
		if (s->addrs[i] &&
		    !check(filled(as_ptr(s->addrs[i]), s->sizes[i], s->addrs[i])))
			return false;
	}
	return true;
}

static void let_go(struct survivor *s, const struct heap *heap)
{
	unsigned int i;

	for (i = 0; i < OWN; i++) {
		if (s->addrs[i])
			check_ret(heap_drop(heap->fd, s->addrs[i]), 0);
	}
}

/* One process killed over and over in a heap that the survivor works in. */
static void shared_heap(void)
{
	unsigned int kills = tap_count(100, 1000);
	struct karena_heap_info own;
	struct survivor s = { 0 };
	struct karena_info before;
	struct victim v;
	struct rng rng;

	rng_init(&rng, 1);
	if (!user_numbers(&before) || !victim_init(&v) ||
	    !heap_open(&v.heap, WINDOW, LIMIT))
		return;
	for (v.nr = 0; v.nr < kills && !tap_failed(); v.nr++) {
		pid_t pid = start(&v);
		unsigned int i;

		for (i = 0; i < 20; i++)
			renew(&s, &v.heap, &rng);
		kill_at_random(&rng, v.steps, pid);
		reap_killed(pid);
		all_whole(&s);
	}
	check_ret(heap_info(v.heap.fd, 0, 0, &own), 0);
	tap_diag("%u killed; they left %llu objects of %llu KiB", v.nr,
		 own.live_objects, own.live_bytes / 1024);
	check(own.live_objects <= OWN + v.nr * (OBJECTS + 42ULL));
	let_go(&s, &v.heap);
	heap_close(&v.heap);
	munmap(v.steps, 4096);
	user_back_to(&before);
}

/* Several at once, in one heap. */
static void several(void)
{
	unsigned int rounds = tap_count(12, 200), round, i;
	struct survivor s = { 0 };
	struct karena_info before;
	struct victim v;
	pid_t pids[4];
	struct rng rng;

	rng_init(&rng, 2);
	if (!user_numbers(&before) || !victim_init(&v) ||
	    !heap_open(&v.heap, WINDOW, LIMIT))
		return;
	for (round = 0; round < rounds && !tap_failed(); round++) {
		for (i = 0; i < ARRAY_SIZE(pids); i++, v.nr++)
			pids[i] = start(&v);
		for (i = 0; i < 20; i++)
			renew(&s, &v.heap, &rng);
		for (i = 0; i < ARRAY_SIZE(pids); i++)
			kill_at_random(&rng, v.steps, pids[i]);
		for (i = 0; i < ARRAY_SIZE(pids); i++)
			reap_killed(pids[i]);
		all_whole(&s);
	}
	let_go(&s, &v.heap);
	heap_close(&v.heap);
	munmap(v.steps, 4096);
	user_back_to(&before);
}

/* Each has a heap of its own, which dies with it. */
static void private_heaps(void)
{
	unsigned int kills = tap_count(100, 1000);
	struct karena_info before;
	struct victim v;
	struct rng rng;

	rng_init(&rng, 3);
	if (!user_numbers(&before) || !victim_init(&v))
		return;
	v.private_heap = true;
	for (v.nr = 0; v.nr < kills && !tap_failed(); v.nr++) {
		pid_t pid = start(&v);

		kill_at_random(&rng, v.steps, pid);
		reap_killed(pid);
		if (v.nr % 10 == 9)
			user_back_to(&before);
	}
	munmap(v.steps, 4096);
	user_back_to(&before);
}

struct big {
	struct heap heap;
	__u32 *steps;
};

/* Large bulk calls and a large first touch: long stays in the kernel. */
static void glutton(void *arg)
{
	struct big *big = arg;
	static __u64 addrs[4000];

	for (;;) {
		__u64 addr;

		__atomic_add_fetch(big->steps, 1, __ATOMIC_RELAXED);
		if (!heap_alloc(big->heap.fd, 2000, 0, 4000, addrs))
			heap_free(big->heap.fd, addrs, 4000, NULL);
		addr = heap_new(big->heap.fd, 16 * MIB, 0);
		if (addr) {
			memset(as_ptr(addr), 1, 16 * MIB);
			heap_drop(big->heap.fd, addr);
		}
	}
}

/* What a killed call had in hand is at most one call's worth. */
static void long_calls(void)
{
	unsigned int kills = tap_count(20, 200), i;
	struct karena_info before;
	struct victim v;
	struct big big;
	struct rng rng;

	rng_init(&rng, 4);
	if (!user_numbers(&before) || !victim_init(&v))
		return;
	for (i = 0; i < kills && !tap_failed(); i++) {
		pid_t pid;

		if (!heap_open(&big.heap, WINDOW, 64 * MIB))
			return;
		big.steps = v.steps;
		__atomic_store_n(v.steps, 0, __ATOMIC_RELAXED);
		pid = tap_fork(glutton, &big);
		wait_for_steps(v.steps, pid, 1);
		spin_at_random(&rng, 3000000);
		kill(pid, SIGKILL);
		reap_killed(pid);
		check(heap_new(big.heap.fd, 16 * MIB, 0));
		heap_close(&big.heap);
		user_back_to(&before);
	}
	munmap(v.steps, 4096);
}

static const struct tap_case cases[] = {
	{ "killed in a shared heap", shared_heap },
	{ "four at a time killed in a shared heap", several },
	{ "killed with a heap of their own", private_heaps },
	{ "killed in long calls", long_calls },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
