// SPDX-License-Identifier: GPL-2.0
/*
 * libkarena's heaps that are collected: wherever a program may keep a reference by
 * default, what it refers to stays; where it may not, it goes.  Lists are made by
 * threads that end, so that no stale word on a stack keeps one by chance.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <karena.h>

#include "tap.h"

#define MIB (1024UL * 1024)
#define LENGTH 1000

/* The errno of a call that has to fail, 0 when it did not. */
#define error_of(failed) (errno = 0, (failed) ? errno : 0)

struct node {
	long number;
	struct node *next;
};

static struct node *in_bss;
static struct node *in_data = (struct node *)1;
static __thread struct node *in_tls;
static __thread struct node *in_tls_data = (struct node *)1;

static struct karena *open_collected(void)
{
	struct karena_options opts = {
		.window = 256 * MIB, .name = "t_libgc", .flags = KARENA_COLLECT,
	};
	struct karena *heap = karena_open(&opts);

	check(heap);
	return heap;
}

static struct karena_type node_type(struct karena *heap)
{
	return KARENA_TYPE(heap, struct node, next);
}

static unsigned long long live(struct karena *heap)
{
	struct karena_heap_info info = { .size = sizeof(info) };

	return check_eq(karena_stats(heap, &info), 0) ? info.live_objects : ~0ULL;
}

/* What is to be made, and where its address is to be. */
struct maker {
	struct karena *heap;
	struct node **slot;
	struct karena_type type;
};

static void *make_list(void *arg)
{
	struct maker *maker = arg;
	struct node *node;
	long i;

	*maker->slot = NULL;
	for (i = 0; i < LENGTH; i++) {
		node = karena_new(maker->heap, maker->type);
		if (!check(node))
			break;
		node->number = i;
		node->next = *maker->slot;
		*maker->slot = node;
	}
	return NULL;
}

static void make_list_at(struct karena *heap, struct node **slot)
{
	struct maker maker = { heap, slot, node_type(heap) };

	run_thread(make_list, &maker);
}

static void list_is_whole(const struct node *node)
{
	long i;

	for (i = LENGTH; i--; node = node->next)
		if (!node || node->number != i) {
			check(!"the list is whole");
			return;
		}
	check(!node);
}

/* --- places --- */

static void stays_and_goes(struct karena *heap, struct node **slot)
{
	make_list_at(heap, slot);
	check_eq(karena_gc(heap), 0);
	check_eq(live(heap), LENGTH);
	list_is_whole(*slot);
	*slot = NULL;
	check_eq(karena_gc(heap), 0);
	check_eq(live(heap), 0);
}

static void data_is_searched(void)
{
	static struct node *local;
	struct karena *heap = open_collected();

	if (!heap)
		return;
	stays_and_goes(heap, &in_bss);
	stays_and_goes(heap, &in_data);
	stays_and_goes(heap, &local);
	karena_close(heap);
}

static void *in_thread_storage(void *heap)
{
	stays_and_goes(heap, &in_tls);
	stays_and_goes(heap, &in_tls_data);
	return NULL;
}

static void thread_storage_is_searched(void)
{
	struct karena *heap = open_collected();

	if (!heap)
		return;
	in_thread_storage(heap);
	run_thread(in_thread_storage, heap);
	karena_close(heap);
}

static void *with_key(void *heap)
{
	struct node *list;
	pthread_key_t key;

	if (!check_eq(pthread_key_create(&key, NULL), 0))
		return NULL;
	make_list_at(heap, &in_bss);
	pthread_setspecific(key, in_bss);
	in_bss = NULL;
	check_eq(karena_gc(heap), 0);
	check_eq(live(heap), LENGTH);
	list = pthread_getspecific(key);
	list_is_whole(list);
	pthread_setspecific(key, NULL);
	pthread_key_delete(key);
	return NULL;
}

static void keys_are_searched(void)
{
	struct karena *heap = open_collected();

	if (!heap)
		return;
	with_key(heap);
	run_thread(with_key, heap);
	karena_close(heap);
}

static void ranges_are_searched(void)
{
	struct karena *heap = open_collected();
	struct node **slot = malloc(64 * sizeof(*slot));

	if (!heap || !check(slot))
		return;
	make_list_at(heap, &slot[7]);
	check_eq(karena_root_add(heap, slot, 64 * sizeof(*slot)), 0);
	check_eq(karena_gc(heap), 0);
	list_is_whole(slot[7]);
	check_eq(error_of(karena_root_add(heap, slot, 8)), EEXIST);
	check_eq(error_of(karena_root_add(heap, (char *)slot + 1, 8)), EINVAL);
	check_eq(error_of(karena_root_del(heap, slot, 8)), ENOENT);
	check_eq(karena_root_del(heap, slot, 64 * sizeof(*slot)), 0);
	check_eq(karena_gc(heap), 0);
	check_eq(live(heap), 0);
	free(slot);
	karena_close(heap);
}

static void data_may_be_left_out(void)
{
	struct karena *heap = open_collected();

	if (!heap)
		return;
	check_eq(karena_data_roots(heap, 0), 0);
	make_list_at(heap, &in_bss);
	check_eq(karena_gc(heap), 0);
	check_eq(live(heap), 0);
	check_eq(karena_data_roots(heap, 0), 0);
	check_eq(karena_data_roots(heap, 1), 0);
	check_eq(karena_data_roots(heap, 1), 0);
	stays_and_goes(heap, &in_bss);
	karena_close(heap);
}

/* Libraries that come are searched, and what has gone is not in the way. */
static void libraries_come_and_go(void)
{
	struct karena *heap = open_collected();
	struct node **slot;
	char path[4096];
	ssize_t len;
	void *lib;
	int i;

	len = readlink("/proc/self/exe", path, sizeof(path) - 16);
	if (!heap || !check(len > 0))
		return;
	path[len] = 0;
	strcpy(strrchr(path, '/'), "/plugin.so");
	for (i = 0; i < 3; i++) {
		lib = dlopen(path, RTLD_NOW);
		if (!check(lib))
			return;
		slot = dlsym(lib, "plugin_slot");
		stays_and_goes(heap, slot);
		dlclose(lib);
	}
	karena_close(heap);
}

/* --- processes --- */

static void in_child(void *arg)
{
	struct karena *heap = arg;

	/* What the parent has dropped since. */
	while (live(heap) != LENGTH + 1)
		usleep(1000);
	list_is_whole(in_bss);
	in_bss = NULL;
}

static void children_have_roots(void)
{
	struct karena *heap = open_collected();
	void *mark;
	pid_t pid;

	if (!heap)
		return;
	make_list_at(heap, &in_bss);
	pid = tap_fork(in_child, heap);
	in_bss = NULL;
	check_eq(karena_gc(heap), 0);
	/* Tells it that there was a cycle. */
	mark = karena_alloc(heap, 16);
	check_eq(live(heap), LENGTH + 1);
	tap_join(pid);
	check_eq(karena_free(heap, mark), 0);
	check_eq(karena_gc(heap), 0);
	check_eq(live(heap), 0);
	karena_close(heap);
}

static void receive(void *arg)
{
	int *pair = arg;
	struct karena *heap = karena_recv(pair[1]);
	char c = 0;

	if (!check(heap))
		return;
	make_list_at(heap, &in_bss);
	check_eq(write(pair[1], &c, 1), 1);
	pause();
}

static void the_dead_have_none(void)
{
	struct karena *heap;
	int pair[2];
	pid_t pid;
	char c;

	if (!check_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0))
		return;
	pid = fork();
	if (!pid) {
		receive(pair);
		_exit(1);
	}
	heap = open_collected();
	check_eq(karena_send(pair[0], heap, 0), 0);
	check_eq(read(pair[0], &c, 1), 1);
	make_list_at(heap, &in_bss);
	check_eq(karena_gc(heap), 0);
	check_eq(live(heap), 2 * LENGTH);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check_eq(karena_gc(heap), 0);
	check_eq(live(heap), LENGTH);
	list_is_whole(in_bss);
	in_bss = NULL;
	karena_close(heap);
	close(pair[0]);
	close(pair[1]);
}

static bool over;

static void *refresh(void *heap)
{
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED))
		check_eq(karena_data_roots(heap, 1), 0);
	return NULL;
}

static void collect(void *heap)
{
	check_eq(karena_gc(heap), 0);
}

/* No lock of the library, or of the loader by it, is held in the child. */
static void fork_beside_threads(void)
{
	struct karena *heap = open_collected();
	unsigned int i, n = tap_count(30, 300);
	pthread_t thread;

	if (!heap || !check_eq(pthread_create(&thread, NULL, refresh, heap), 0))
		return;
	for (i = 0; i < n; i++)
		tap_isolate(collect, heap);
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	karena_close(heap);
}

/* --- the barrier of the program --- */

#define SLOTS 32768

/* A table of lists in an object; the lists change places while it is collected. */
struct swapper {
	struct karena *heap;
	struct node **slot;
	unsigned int first;		/* of the slots that are this one's */
	unsigned int nr;
	unsigned int lost;
	void (*store)(struct karena *heap, void *slot, const void *value);
};

/* For the control: how it is not to be done. */
static void plain_store(struct karena *heap, void *slot, const void *value)
{
	(void)heap;
	*(const void *volatile *)slot = value;
}

static void *swap_lists(void *arg)
{
	struct swapper *swapper = arg;
	struct node **slot = swapper->slot + swapper->first, *node;
	struct rng rng;
	unsigned int i, j;

	rng_init(&rng, swapper->first);
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		i = rng_below(&rng, swapper->nr);
		j = rng_below(&rng, swapper->nr);
		node = slot[i];
		swapper->store(swapper->heap, &slot[i], slot[j]);
		swapper->store(swapper->heap, &slot[j], node);
	}
	for (i = 0; i < swapper->nr; i++)
		swapper->lost += !karena_usable_size(swapper->heap, slot[i]);
	return NULL;
}

static __u64 cycles_of(struct karena *heap)
{
	struct karena_gc_info info = { .size = sizeof(info) };

	check_eq(karena_gc_stats(heap, &info), 0);
	return info.cycles;
}

/* Those that come by themselves, or else are asked for. */
static void wait_for_cycles(struct karena *heap, unsigned int cycles)
{
	struct karena_gc_control control = { .size = sizeof(control) };
	__u64 end = cycles_of(heap) + cycles;

	check_eq(karena_gc_get(heap, &control), 0);
	while (cycles_of(heap) < end) {
		if (control.period_ms > 1)
			check_eq(karena_gc(heap), 0);
		else
			usleep(1000);
	}
}

/* How many objects are lost while two threads swap references. */
static unsigned int swap_and_collect(struct karena *heap, unsigned int cycles,
				     void (*store)(struct karena *, void *, const void *))
{
	struct karena_type node = node_type(heap), ref;
	struct swapper swapper[2];
	pthread_t thread[2];
	struct node **slot;
	unsigned int i;

	ref = karena_type(heap, "reference", sizeof(void *), (__u32[]){ 0 }, 1);
	slot = karena_new_array(heap, ref, SLOTS);
	for (i = 0; check(slot) && i < SLOTS; i++)
		slot[i] = karena_new(heap, node);
	over = false;
	for (i = 0; i < 2; i++) {
		swapper[i] = (struct swapper){ heap, slot, i * SLOTS / 2, SLOTS / 2, 0, store };
		pthread_create(&thread[i], NULL, swap_lists, &swapper[i]);
	}
	wait_for_cycles(heap, cycles);
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	return swapper[0].lost + swapper[1].lost;
}

/* Cycles by themselves, one after the other, that take their time. */
static void collect_slowly(struct karena *heap)
{
	struct karena_gc_control control = { .size = sizeof(control) };

	check_eq(karena_gc_get(heap, &control), 0);
	control.period_ms = 1;
	control.slice_us = 10;
	control.share = 1;
	check_eq(karena_gc_set(heap, &control), 0);
}

static struct karena *open_with_barrier(void)
{
	struct karena_options opts = {
		.window = 256 * MIB, .flags = KARENA_COLLECT | KARENA_BARRIER,
	};
	struct karena *heap = karena_open(&opts);

	check(heap);
	return heap;
}

static void own_barrier(void)
{
	struct karena *heap = open_with_barrier();

	if (!heap)
		return;
	check_eq(swap_and_collect(heap, tap_count(30, 1000), karena_store), 0);
	karena_close(heap);
}

/* A heap that watches stores by itself needs none, and takes it. */
static void barrier_of_the_mmu(void)
{
	struct karena *heap = open_collected();

	if (!heap)
		return;
	check_eq(swap_and_collect(heap, tap_count(15, 300), karena_store), 0);
	check_eq(swap_and_collect(heap, tap_count(15, 300), plain_store), 0);
	karena_close(heap);
}

/* The test above does notice. */
static void no_barrier_at_all(void)
{
	struct karena *heap = open_with_barrier();
	unsigned int lost = 0, i;

	if (heap)
		collect_slowly(heap);
	for (i = 0; heap && i < 100 && !lost; i++)
		lost = swap_and_collect(heap, 10, plain_store);
	check(lost);
	karena_close(heap);
}

static void moves(void)
{
	struct karena *heap = open_with_barrier();
	struct karena_type ref;
	void **word;
	long i;

	if (!heap)
		return;
	ref = karena_type(heap, "reference", sizeof(void *), (__u32[]){ 0 }, 1);
	word = karena_new_array(heap, ref, 32);
	for (i = 0; check(word) && i < 16; i++)
		karena_store(heap, &word[i], (void *)(i + 1));
	karena_move(heap, word + 3, word, 16 * sizeof(*word));
	for (i = 0; i < 16; i++)
		check_eq((long)word[3 + i], i + 1);
	karena_move(heap, word + 1, word + 3, 16 * sizeof(*word));
	for (i = 0; i < 16; i++)
		check_eq((long)word[1 + i], i + 1);
	karena_close(heap);
}

/* --- calls --- */

static void types(void)
{
	struct karena *heap = open_collected();
	struct karena_type type, same;
	struct node *array;

	if (!heap)
		return;
	type = node_type(heap);
	same = karena_type(heap, "struct node", sizeof(struct node),
			   (__u32[]){ offsetof(struct node, next) }, 1);
	check(type.id && type.id == same.id);
	check_eq(type.element, sizeof(struct node));
	type = KARENA_TYPE(heap, struct maker, slot, heap);
	same = KARENA_TYPE(heap, struct maker, heap, slot);
	check(type.id && type.id == same.id);
	check_eq(error_of(!karena_type(heap, "x", 0, NULL, 0).id), EINVAL);
	check_eq(error_of(!karena_type(heap, "x", 16, (__u32[]){ 0, 0 }, 2).id), EINVAL);
	check_eq(error_of(!karena_type(heap, "x", 16, (__u32[]){ 4 }, 1).id), EINVAL);
	check_eq(error_of(!karena_type(heap, "x", 16, NULL, 1UL << 32).id), EINVAL);
	array = karena_new_array(heap, node_type(heap), 100);
	check(array && karena_usable_size(heap, array) >= 100 * sizeof(*array));
	check_eq(array[99].number, 0);
	check_eq(error_of(!karena_new_array(heap, type, 0)), EINVAL);
	check_eq(error_of(!karena_new_array(heap, type, ~0UL)), ENOMEM);
	check_eq(error_of(!karena_new(heap, (struct karena_type){ 0 })), EINVAL);
	check_eq(error_of(!karena_new(heap, (struct karena_type){ 99, 8 })), EINVAL);
	karena_close(heap);
}

static void tuning(void)
{
	struct karena_gc_info info = { .size = sizeof(info) };
	struct karena *heap = open_collected();
	struct karena_gc_control control;

	if (!heap)
		return;
	check_eq(karena_gc_get(heap, &control), 0);
	check_eq(control.percent, 100);
	control.percent = 50;
	check_eq(karena_gc_set(heap, &control), 0);
	check_eq(karena_gc_get(heap, &control), 0);
	check_eq(control.percent, 50);
	control.share = 101;
	check_eq(error_of(karena_gc_set(heap, &control)), EINVAL);
	check_eq(karena_step(heap, 1000), 0);
	check_eq(karena_gc(heap), 0);
	check_eq(karena_gc_stats(heap, &info), 0);
	check_eq(info.forced, 1);
	info.size = 8;
	check_eq(error_of(karena_gc_stats(heap, &info)), EINVAL);
	karena_close(heap);
}

static void not_collected(void)
{
	struct karena_gc_info info = { .size = sizeof(info) };
	struct karena *heap = karena_open(NULL);
	struct karena_gc_control control;
	void *word[1];

	if (!check(heap))
		return;
	check_eq(error_of(karena_gc(heap)), EINVAL);
	check_eq(error_of(karena_step(heap, 1)), EINVAL);
	check_eq(error_of(karena_root_add(heap, word, 8)), EINVAL);
	check_eq(error_of(karena_data_roots(heap, 1)), EINVAL);
	check_eq(error_of(karena_gc_get(heap, &control)), EINVAL);
	check_eq(error_of(karena_gc_stats(heap, &info)), EINVAL);
	karena_close(heap);
	check_eq(error_of(!karena_open(&(struct karena_options){ .flags = 8 })), EINVAL);
	check_eq(error_of(!karena_open(&(struct karena_options){ .flags = KARENA_BARRIER })),
		 EINVAL);
}

/* At the limit the heap is collected before an allocation fails. */
static void full_of_garbage(void)
{
	struct karena_options opts = {
		.window = 64 * MIB, .limit = 2 * MIB, .flags = KARENA_COLLECT,
	};
	struct karena *heap = karena_open(&opts);
	struct karena_gc_control control;
	unsigned int i, failed = 0;

	if (!check(heap))
		return;
	check_eq(karena_gc_get(heap, &control), 0);
	control.percent = -1;
	check_eq(karena_gc_set(heap, &control), 0);
	for (i = 0; i < 20000; i++)
		failed += !karena_alloc(heap, 1024);
	check_eq(failed, 0);
	karena_close(heap);
}

/* --- what threads hold ready --- */

#define READY 200

struct holder {
	struct karena *heap;
	struct karena_type type;
	pthread_barrier_t barrier;
	struct node *first, *got[READY];
};

/* Takes one, and with it some more; the rest after others have collected. */
static void *take_in_two_steps(void *arg)
{
	struct holder *holder = arg;
	unsigned int i;

	for (i = 0; i < 30; i++)
		holder->first = karena_new(holder->heap, holder->type);
	pthread_barrier_wait(&holder->barrier);
	pthread_barrier_wait(&holder->barrier);
	for (i = 0; i < READY; i++)
		holder->got[i] = karena_new(holder->heap, holder->type);
	return NULL;
}

/* Each of them is an object, and new, and no other one. */
static void are_objects(struct karena *heap, struct node **got, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (!check(got[i]) || !check(karena_usable_size(heap, got[i]) > 0) ||
		    !check(!got[i]->number && !got[i]->next))
			return;
		got[i]->number = i + 1;
	}
	for (i = 0; i < n; i++)
		if (!check_eq(got[i]->number, i + 1))
			return;
}

static void ready_objects_stay(void)
{
	struct karena *heap = open_collected();
	static struct holder holder;
	struct node *other;
	pthread_t thread;
	unsigned int i;

	if (!heap)
		return;
	holder = (struct holder){ .heap = heap, .type = node_type(heap) };
	pthread_barrier_init(&holder.barrier, NULL, 2);
	/* What it holds is a root even so. */
	check_eq(karena_data_roots(heap, 0), 0);
	pthread_create(&thread, NULL, take_in_two_steps, &holder);
	pthread_barrier_wait(&holder.barrier);
	check_eq(karena_gc(heap), 0);
	check_eq(karena_gc(heap), 0);
	/* Who gets what has been freed by mistake. */
	for (i = 0; i < READY; i++) {
		other = karena_new_array(heap, holder.type, 1);
		if (check(other))
			other->number = -1;
	}
	check_eq(karena_data_roots(heap, 1), 0);
	pthread_barrier_wait(&holder.barrier);
	pthread_join(thread, NULL);
	are_objects(heap, holder.got, READY);
	pthread_barrier_destroy(&holder.barrier);
	karena_close(heap);
}

struct forked {
	struct karena *heap;
	struct karena_type type;
	struct node **table;		/* of the child, and then of its parent */
};

static void take_as_child(void *arg)
{
	struct forked *f = arg;
	unsigned int i;

	for (i = 0; i < READY; i++)
		karena_store(f->heap, &f->table[i], karena_new(f->heap, f->type));
}

/* Nothing that is ready is handed out by parent and child. */
static void children_have_others(void)
{
	struct karena *heap = open_collected();
	struct karena_type ref;
	struct forked f;
	unsigned int i;

	if (!heap)
		return;
	f = (struct forked){ .heap = heap, .type = node_type(heap) };
	ref = karena_type(heap, "reference", sizeof(void *), (__u32[]){ 0 }, 1);
	f.table = karena_new_array(heap, ref, 2 * READY);
	for (i = 0; i < 30; i++)
		in_bss = karena_new(heap, f.type);
	tap_isolate(take_as_child, &f);
	for (i = 0; i < READY; i++)
		f.table[READY + i] = karena_new(heap, f.type);
	are_objects(heap, f.table, 2 * READY);
	in_bss = NULL;
	karena_close(heap);
}

static const struct tap_case cases[] = {
	{ "writable data is searched", data_is_searched },
	{ "thread-local storage is searched", thread_storage_is_searched },
	{ "and what keys of threads have", keys_are_searched },
	{ "ranges are searched", ranges_are_searched },
	{ "data may be left out", data_may_be_left_out },
	{ "libraries come and go", libraries_come_and_go },
	{ "children have the roots of their parent", children_have_roots },
	{ "the dead have no roots", the_dead_have_none },
	{ "fork beside threads", fork_beside_threads },
	{ "a barrier of the program's own", own_barrier },
	{ "which does no harm elsewhere", barrier_of_the_mmu },
	{ "and is needed", no_barrier_at_all },
	{ "moves", moves },
	{ "what a thread holds ready stays", ready_objects_stay },
	{ "and is not its child's as well", children_have_others },
	{ "types", types },
	{ "tuning", tuning },
	{ "heaps that are not collected", not_collected },
	{ "full of garbage", full_of_garbage },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
