// SPDX-License-Identifier: GPL-2.0
/*
 * Random steps against a model: allocate, free, free wrongly, look, by one
 * process and by several in one heap.  Each object is filled from its own
 * number and checked before it goes; the seed is printed.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"
#include "model.h"
#include "tap.h"

#define SLOTS 2048
#define BATCH 100

struct object {
	__u64 addr;
	__u64 size;
	__u64 usable;
	__u64 seed;
	bool noscan;
};

struct player {
	struct heap heap;
	struct space space;
	struct rng rng;
	struct object objects[SLOTS];
	__u64 live;
	__u64 live_bytes;
	__u64 rejects;
	unsigned int steps;
	/* others are at work in the heap too */
	bool crowd;
	unsigned int nr;
};

static __u64 any_size(struct rng *rng)
{
	switch (rng_below(rng, 20)) {
	case 0 ... 3:
		return 1 + rng_below(rng, 16);
	case 4 ... 14:
		return 1 + rng_below(rng, 512);
	case 15 ... 17:
		return 1 + rng_below(rng, 8192);
	case 18:
		return 1 + rng_below(rng, 40000);
	default:
		return rng_below(rng, 8) ? 16ULL << rng_below(rng, 10) :
					   1 + rng_below(rng, 300000);
	}
}

static bool tiny(const struct object *o)
{
	return o->noscan && o->size < TINY_BLOCK;
}

/* Enters a fresh object into the model. */
static bool adopt(struct player *p, struct object *o, __u64 addr)
{
	bool good = true;

	o->addr = addr;
	o->seed = rng_next(&p->rng);
	o->usable = tiny(o) ? o->size : go_usable(o->size);
	if (!tiny(o)) {
		good &= check_eq(addr % go_align(o->size), 0);
		good &= check_eq(heap_usable(p->heap.fd, addr), o->usable);
	}
	good &= check(space_take(&p->space, addr, o->usable));
	good &= check(zeroed(as_ptr(addr), o->usable));
	if (!good) {
		tap_diag("size %llu at base+%#llx", o->size, addr - p->heap.base);
		return false;
	}
	fill(as_ptr(addr), o->usable, o->seed);
	p->live++;
	p->live_bytes += o->usable;
	return true;
}

/* The contents are right, and the model forgets it. */
static bool dismiss(struct player *p, struct object *o)
{
	bool good = check(filled(as_ptr(o->addr), o->usable, o->seed));

	if (!good)
		tap_diag("size %llu at base+%#llx", o->size, o->addr - p->heap.base);
	space_give(&p->space, o->addr, o->usable);
	p->live--;
	p->live_bytes -= o->usable;
	o->addr = 0;
	return good;
}

static bool one_more(struct player *p, struct object *o)
{
	__u64 addr;

	o->size = any_size(&p->rng);
	o->noscan = rng_below(&p->rng, 2);
	addr = heap_new(p->heap.fd, o->size, o->noscan ? KARENA_ALLOC_NOSCAN : 0);
	return check(addr) && adopt(p, o, addr);
}

static bool one_less(struct player *p, struct object *o)
{
	__u64 addr = o->addr;

	return dismiss(p, o) && check_ret(heap_drop(p->heap.fd, addr), 0);
}

/* Interior, and by far out: refused.  Double is only safe when alone. */
static bool wrong_free(struct player *p, struct object *o)
{
	__u64 addr = o->addr;
	bool good = true;

	if (!tiny(o) && o->usable > 8) {
		good &= check_ret(heap_drop(p->heap.fd, addr + o->usable - 8),
				  KARENA_REJECT_INTERIOR);
		p->rejects++;
	}
	good &= check_ret(heap_drop(p->heap.fd, p->heap.base + WINDOW),
			  KARENA_REJECT_NOT_OBJECT);
	p->rejects++;
	if (p->crowd || !good)
		return good;
	good &= one_less(p, o);
	p->rejects++;
	return good & check(heap_drop(p->heap.fd, addr) > 0);
}

/* A run of objects, by one call each way. */
static bool many(struct player *p)
{
	__u32 count = 1 + rng_below(&p->rng, BATCH);
	struct object o[BATCH] = { 0 };
	__u64 addrs[BATCH], size = any_size(&p->rng) % 2000 + 16;
	struct karena_free out;
	bool good = true;
	unsigned int i;

	if (!check_ret(heap_alloc(p->heap.fd, size, 0, count, addrs), 0))
		return false;
	for (i = 0; i < count; i++) {
		o[i].size = size;
		good &= adopt(p, &o[i], addrs[i]);
	}
	for (i = 0; i < count; i++)
		good &= dismiss(p, &o[i]);
	good &= check_ret(heap_free(p->heap.fd, addrs, count, &out), 0);
	return good & check_eq(out.rejected, 0);
}

static bool step(struct player *p)
{
	struct object *o = &p->objects[rng_below(&p->rng, SLOTS)];
	__u64 dice = rng_below(&p->rng, 100);

	if (dice == 0)
		return many(p);
	if (!o->addr)
		return one_more(p, o);
	if (dice < 5)
		return check(filled(as_ptr(o->addr), o->usable, o->seed));
	if (dice < 10)
		return wrong_free(p, o);
	return one_less(p, o);
}

/* The module's numbers are the model's. */
static bool numbers_agree(struct player *p)
{
	struct karena_heap_info own;
	__u64 rejects = 0;
	unsigned int i;

	if (!check_ret(heap_info(p->heap.fd, 0, 0, &own), 0))
		return false;
	for (i = 0; i < KARENA_NR_REJECT; i++)
		rejects += own.rejects[i];
	return check_eq(own.live_objects, p->live) &
	       check_eq(own.allocs - own.frees, p->live) &
	       check_eq(rejects, p->rejects) &
	       check(own.held_bytes >= p->live_bytes) &
	       check_eq(own.failed, 0) & heap_adds_up(p->heap.fd);
}

static void play(struct player *p)
{
	unsigned int i;

	for (i = 0; i < p->steps; i++) {
		if (!step(p) || (!p->crowd && i % 1000 == 0 && !numbers_agree(p))) {
			tap_diag("at step %u", i);
			return;
		}
	}
	for (i = 0; i < SLOTS; i++) {
		if (p->objects[i].addr && !one_less(p, &p->objects[i]))
			return;
	}
}

static struct player *player_open(unsigned int steps)
{
	struct player *p = calloc(1, sizeof(*p));

	if (!check(p) || !heap_open(&p->heap, WINDOW, 0) ||
	    !check(space_init(&p->space, p->heap.base, WINDOW)))
		return NULL;
	p->steps = steps;
	rng_init(&p->rng, 1);
	return p;
}

static void player_close(struct player *p)
{
	space_exit(&p->space);
	heap_close(&p->heap);
	free(p);
}

static void alone(void)
{
	struct player *p = player_open(tap_count(20000, 200000));

	if (!p)
		return;
	play(p);
	numbers_agree(p);
	player_close(p);
}

static void play_in_crowd(void *arg)
{
	struct player *p = arg;

	rng_init(&p->rng, 2 + p->nr);
	play(p);
}

static void crowd(void)
{
	struct player *p = player_open(tap_count(5000, 100000));
	struct karena_heap_info own;
	pid_t pids[4];

	if (!p)
		return;
	p->crowd = true;
	for (p->nr = 0; p->nr < ARRAY_SIZE(pids); p->nr++)
		pids[p->nr] = tap_fork(play_in_crowd, p);
	for (p->nr = 0; p->nr < ARRAY_SIZE(pids); p->nr++)
		tap_join(pids[p->nr]);
	check_ret(heap_info(p->heap.fd, 0, 0, &own), 0);
	check_eq(own.live_objects, 0);
	check_eq(own.live_bytes, 0);
	check_eq(own.allocs, own.frees);
	check_eq(own.rejects[KARENA_REJECT_DOUBLE], 0);
	player_close(p);
}

/* Little room: calls fail now and then, and what lives is right. */
static void tight(void)
{
	struct heap heap;
	__u64 addrs[512] = { 0 }, sizes[512];
	unsigned int i, failed = 0, steps = tap_count(20000, 200000);
	struct rng rng;

	rng_init(&rng, 100);
	if (!heap_open(&heap, WINDOW, 2 * MIB))
		return;
	while (steps-- && !tap_failed()) {
		i = rng_below(&rng, 512);
		if (addrs[i]) {
			check(filled(as_ptr(addrs[i]), sizes[i], addrs[i]));
			check_ret(heap_drop(heap.fd, addrs[i]), 0);
		}
		sizes[i] = 1 + rng_below(&rng, rng_below(&rng, 4) ? 4096 : 40000);
		addrs[i] = heap_new(heap.fd, sizes[i], 0);
		failed += !addrs[i];
		if (addrs[i]) {
			check(zeroed(as_ptr(addrs[i]), sizes[i]));
			fill(as_ptr(addrs[i]), sizes[i], addrs[i]);
		}
	}
	check(failed);
	for (i = 0; i < 512; i++) {
		if (addrs[i])
			check_ret(heap_drop(heap.fd, addrs[i]), 0);
	}
	/* all of it can be had in one piece again */
	check(heap_new(heap.fd, MIB + MIB / 2, 0));
	heap_close(&heap);
}

static const struct tap_case cases[] = {
	{ "random steps, alone", alone },
	{ "random steps, four processes in one heap", crowd },
	{ "random steps, at the limit", tight },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
