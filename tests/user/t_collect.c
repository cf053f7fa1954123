// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps that are collected: what a program can reach, by plain pointers wherever
 * they are, stays with all its bytes; what nobody can reach goes.  Lists here are
 * made by children, so that no stale word of the own stack keeps them alive by
 * chance.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

struct node {
	struct node *next;
	__u64 number;
	__u64 check;
};

static __u64 check_of(__u64 number)
{
	return number * 0x9e3779b97f4a7c15ULL;
}

static struct node *node_new(int fd, struct node *next, __u64 number)
{
	struct node *node = as_ptr(heap_new(fd, sizeof(*node), 0));

	if (!node)
		return NULL;
	node->next = next;
	node->number = number;
	node->check = check_of(number);
	return node;
}

static struct node *make_list(int fd, unsigned int n)
{
	struct node *list = NULL;
	unsigned int i;

	for (i = 0; i < n; i++)
		list = node_new(fd, list, i);
	return list;
}

/* Whether it is the list that make_list() made. */
static bool list_is_whole(const struct node *list, unsigned int n)
{
	for (; n--; list = list->next)
		if (!list || list->number != n || list->check != check_of(n))
			return check(!"the list is whole");
	return check(!list);
}

static __u64 live_objects(int fd)
{
	struct karena_heap_info info;

	return check_ret(heap_info(fd, 0, 0, &info), 0) ? info.live_objects : 0;
}

/* What is to be shared by processes that fork: a page that is no root by itself. */
struct shared {
	struct heap heap;
	struct node *slot[8];
	__u64 hidden;
};

static struct shared *share(void)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return check(s != MAP_FAILED) ? s : NULL;
}

static struct shared *setup(void)
{
	struct shared *s = share();

	if (s && heap_open_collected(&s->heap, WINDOW, 0))
		return s;
	return NULL;
}

static void teardown(struct shared *s)
{
	heap_close(&s->heap);
	munmap(s, sizeof(*s));
}

/* --- who is a root --- */

#define LENGTH 1000

static void leave_list(void *arg)
{
	struct shared *s = arg;

	s->hidden = ~as_addr(make_list(s->heap.fd, LENGTH));
}

/* What @leave made and nobody refers to. */
static void goes(void (*leave)(void *arg))
{
	struct shared *s = setup();

	if (!s)
		return;
	tap_isolate(leave, s);
	check_eq(live_objects(s->heap.fd), LENGTH);
	check_ret(heap_collect(s->heap.fd), 0);
	check_eq(live_objects(s->heap.fd), 0);
	teardown(s);
}

static void garbage_goes(void)
{
	goes(leave_list);
}

static void ranges_are_roots(void)
{
	struct shared *s = setup();

	if (!s)
		return;
	check_ret(heap_root(s->heap.fd, s->slot, sizeof(s->slot), 0), 0);
	tap_isolate(leave_list, s);
	s->slot[3] = as_ptr(~s->hidden);
	check_ret(heap_collect(s->heap.fd), 0);
	check_eq(live_objects(s->heap.fd), LENGTH);
	list_is_whole(s->slot[3], LENGTH);
	teardown(s);
}

static void ring(struct node *list)
{
	struct node *last = list;

	while (last->next)
		last = last->next;
	last->next = list;
}

static void leave_ring(void *arg)
{
	struct shared *s = arg;

	ring(make_list(s->heap.fd, LENGTH));
}

static void rings_go(void)
{
	goes(leave_ring);
}

/* A local variable of a function that waits in a system call. */
static void hold_on_stack(void *arg)
{
	struct shared *s = arg;
	struct node *list = make_list(s->heap.fd, LENGTH);

	check_ret(heap_collect(s->heap.fd), 0);
	check_eq(live_objects(s->heap.fd), LENGTH);
	list_is_whole(list, LENGTH);
}

static void stacks_are_roots(void)
{
	struct shared *s = setup();

	if (!s)
		return;
	tap_isolate(hold_on_stack, s);
	check_ret(heap_collect(s->heap.fd), 0);
	check_eq(live_objects(s->heap.fd), 0);
	teardown(s);
}

/* --- changes while it marks --- */

#define CHAINS 64
#define MOST 48
#define MOVERS 3
#define FLIPPERS 2
#define SLOTS 32768

/* One of several processes, which goes on until all cycles are done. */
struct mover {
	struct shared *s;
	unsigned int id;
	void (*move)(struct mover *mover, struct rng *rng);
	bool flips;			/* forbids itself to write, and allows it again */
};

static bool goes_on(const struct mover *mover)
{
	return !__atomic_load_n(&mover->s->hidden, __ATOMIC_RELAXED) && !tap_failed();
}

/* The last node of a chain, and whether there are not too many. */
static struct node *last_of(struct node *node, bool *many)
{
	unsigned int n = 0;

	while (node && node->next && n++ <= MOST)
		node = node->next;
	*many = n > MOST;
	return node;
}

static void chain_is_whole(const struct node *node)
{
	for (; node; node = node->next)
		if (node->check != check_of(node->number)) {
			check(!"each node is as it was left");
			return;
		}
}

/* From behind the first node of one chain to the end of another. */
static void move_tail(struct node **from, struct node **to)
{
	struct node *tail = (*from)->next, *last;
	bool many;

	/* For a moment it is in this function only. */
	(*from)->next = NULL;
	last = last_of(*to, &many);
	if (many)
		*to = NULL;
	else if (last)
		last->next = tail;
	else
		*to = tail;
}

/* Chains, all in one object of which each process has a part. */
static void move_tails(struct mover *mover, struct rng *rng)
{
	struct node **head = (struct node **)mover->s->slot[0];
	unsigned int i, j;
	__u64 k;

	for (k = 0; goes_on(mover); k++) {
		i = mover->id + MOVERS * rng_below(rng, CHAINS / MOVERS);
		j = mover->id + MOVERS * rng_below(rng, CHAINS / MOVERS);
		if (!head[i] || !head[i]->next)
			head[i] = node_new(mover->s->heap.fd, head[i], k);
		else if (i != j)
			move_tail(&head[i], &head[j]);
		if (!check(head[i]))
			return;
	}
	for (i = mover->id; i < CHAINS; i += MOVERS)
		chain_is_whole(head[i]);
}

static void flip(const struct heap *heap)
{
	check(!mprotect(as_ptr(heap->base), heap->window, PROT_READ) &&
	      !mprotect(as_ptr(heap->base), heap->window, PROT_WRITE) &&
	      !mprotect(as_ptr(heap->base), heap->window, PROT_READ | PROT_WRITE));
}

/* References of an object change places: each is in one of them at any time, or here. */
static void swap_slots(struct mover *mover, struct rng *rng)
{
	unsigned int i, j, k;
	struct node **slot, *node;
	int fd = mover->s->heap.fd;

	slot = as_ptr(heap_new(fd, SLOTS * sizeof(*slot), 0));
	if (!check(slot) || !check_ret(heap_alloc(fd, sizeof(*node), 0, SLOTS, (__u64 *)slot), 0))
		return;
	for (i = 0; i < SLOTS; i++) {
		slot[i]->number = i;
		slot[i]->check = check_of(i);
	}
	for (k = 0; k % 1024 || goes_on(mover); k++) {
		if (mover->flips && !(k % 1024))
			flip(&mover->s->heap);
		i = rng_below(rng, SLOTS);
		j = rng_below(rng, SLOTS);
		node = slot[i];
		slot[i] = slot[j];
		slot[j] = node;
	}
	for (i = 0; i < SLOTS; i++) {
		node = slot[i];
		if (node->number >= SLOTS || node->check != check_of(node->number) || node->next) {
			check(!"each object is whole, and there once");
			return;
		}
		node->next = node;
	}
}

static void run_mover(void *arg)
{
	struct mover *mover = arg;
	struct rng rng;

	rng_init(&rng, 100 + mover->id);
	mover->move(mover, &rng);
}

static void changes_while_marking(void)
{
	unsigned int i, cycles = tap_count(10, 1000);
	struct mover mover[2 * MOVERS + FLIPPERS];
	pid_t pid[ARRAY_SIZE(mover)];
	struct shared *s = setup();
	struct karena_gc_info info;

	if (!s)
		return;
	gc_check(s->heap.fd);
	s->slot[0] = as_ptr(heap_new(s->heap.fd, CHAINS * sizeof(void *), 0));
	check_ret(heap_root(s->heap.fd, s->slot, sizeof(s->slot), 0), 0);
	for (i = 0; i < ARRAY_SIZE(mover); i++) {
		mover[i] = (struct mover){ s, i, i < MOVERS ? move_tails : swap_slots,
					   i >= 2 * MOVERS };
		pid[i] = tap_fork(run_mover, &mover[i]);
	}
	for (i = 0; i < cycles && !tap_failed(); i++)
		check_ret(heap_collect(s->heap.fd), 0);
	__atomic_store_n(&s->hidden, 1, __ATOMIC_RELAXED);
	for (i = 0; i < ARRAY_SIZE(mover); i++)
		tap_join(pid[i]);
	gc_info(s->heap.fd, &info);
	check(info.cycles >= cycles);
	check_eq(info.lost, 0);
	tap_diag("%llu cycles, %llu stops, %llu put off, %llu us the longest", info.cycles,
		 info.stops, info.put_off, info.stop_max_ns / 1000);
	teardown(s);
}

/* --- what is refused --- */

static void only_collected_heaps(void)
{
	struct karena_gc_control control = { .size = sizeof(control) };
	struct karena_step step = { .size = sizeof(step) };
	struct karena_gc_info info = { .size = sizeof(info) };
	struct heap heap;
	__u64 word[8];

	if (!heap_open(&heap, WINDOW, 0))
		return;
	check_ret(heap_collect(heap.fd), -EINVAL);
	check_ret(heap_root(heap.fd, word, sizeof(word), 0), -EINVAL);
	check_ret(kioctl(heap.fd, KARENA_IOC_STEP, &step), -EINVAL);
	check_ret(kioctl(heap.fd, KARENA_IOC_GC_CONTROL, &control), -EINVAL);
	check_ret(kioctl(heap.fd, KARENA_IOC_GC_INFO, &info), -EINVAL);
	heap_close(&heap);
}

static void read_only_descriptors(void)
{
	struct karena_gc_control control = { .size = sizeof(control) };
	struct karena_step step = { .size = sizeof(step) };
	struct karena_gc_info info;
	struct heap heap;
	int fd;

	if (!heap_open_collected(&heap, WINDOW, 0))
		return;
	fd = heap_share(heap.fd, KARENA_SHARE_RDONLY);
	check_ret(heap_collect(fd), -EBADF);
	check_ret(kioctl(fd, KARENA_IOC_STEP, &step), -EBADF);
	check_ret(kioctl(fd, KARENA_IOC_GC_CONTROL, &control), 0);
	check_eq(control.percent, 100);
	control.flags = KARENA_GC_SET;
	check_ret(kioctl(fd, KARENA_IOC_GC_CONTROL, &control), -EBADF);
	gc_info(fd, &info);
	close(fd);
	heap_close(&heap);
}

static void ranges_refused(void)
{
	__attribute__((aligned(16))) __u64 word[8] = { 0 };
	struct heap heap;

	if (!heap_open_collected(&heap, WINDOW, 0))
		return;
	check_ret(heap_root(heap.fd, word + 1, 16, KARENA_ROOT_EXTENTS), -EINVAL);
	check_ret(heap_root(heap.fd, word, 24, KARENA_ROOT_EXTENTS), -EINVAL);
	check_ret(heap_root(heap.fd, word, 8, KARENA_ROOT_EXTENTS), -EINVAL);
	check_ret(heap_root(heap.fd, word, 32, 0), 0);
	check_ret(heap_root(heap.fd, word, 32, 0), -EEXIST);
	check_ret(heap_root(heap.fd, word + 3, 16, 0), -EEXIST);
	check_ret(heap_root(heap.fd, word + 4, 16, 0), 0);
	check_ret(heap_root(heap.fd, word, 24, KARENA_ROOT_DEL), -ENOENT);
	check_ret(heap_root(heap.fd, word, 32, KARENA_ROOT_DEL), 0);
	check_ret(heap_root(heap.fd, heap.objects + 64, 8, 0), -EINVAL);
	check_ret(heap_root(heap.fd, heap.objects + 64, 16, KARENA_ROOT_EXTENTS), -EINVAL);
	check_ret(heap_root(heap.fd, heap.objects - 64, 128, 0), -EINVAL);
	heap_unmap(&heap);
	check_ret(heap_root(heap.fd, word, 32, 0), -ENXIO);
	heap_close(&heap);
}

static const struct tap_case cases[] = {
	{ "what nobody can reach goes", garbage_goes },
	{ "and if it refers to itself", rings_go },
	{ "ranges are roots", ranges_are_roots },
	{ "stacks are roots", stacks_are_roots },
	{ "stores while it marks lose nothing", changes_while_marking },
	{ "only heaps that are to be collected are", only_collected_heaps },
	{ "descriptors that are read only", read_only_descriptors },
	{ "ranges that are refused", ranges_refused },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
