// SPDX-License-Identifier: GPL-2.0
/*
 * Clones of heaps that are shared: they have what the heap had at one moment, whoever
 * writes to it, and from there on neither sees what is done to the other.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <karena.h>

#include "heap.h"
#include "tap.h"

#define OBJECTS	600

struct node {
	struct node *next;
	struct node *other;
	__u64 value;
	char pad[40];
};

/* What is in a heap, as its makers know it; shared with children. */
struct known {
	__u64 seed;
	unsigned char *object[OBJECTS];
	size_t size[OBJECTS];
	struct node *list;
};

static struct karena *open_heap(__u64 flags)
{
	struct karena_options opts = { .window = WINDOW, .name = "clone", .flags = flags };
	struct karena *heap = karena_open(&opts);

	check(heap);
	return heap;
}

static __u64 user_bytes(int fd)
{
	struct karena_info info = { .size = sizeof(info) };

	check_ret(kioctl(fd, KARENA_IOC_INFO, &info), 0);
	return info.user_bytes;
}

static __u64 user_heaps(int fd)
{
	struct karena_info info = { .size = sizeof(info) };

	check_ret(kioctl(fd, KARENA_IOC_INFO, &info), 0);
	return info.user_heaps;
}

static size_t some_size(struct rng *rng)
{
	switch (rng_below(rng, 10)) {
	case 0:		return 1 + rng_below(rng, 15);
	case 1:		return 1 + rng_below(rng, 200000);
	case 2:		return 1 + rng_below(rng, 30000);
	default:	return 1 + rng_below(rng, 2000);
	}
}

static void fill(unsigned char *object, size_t size, __u64 seed)
{
	struct rng rng;
	size_t i;

	rng_init(&rng, seed);
	for (i = 0; i < size; i += 97)
		object[i] = rng_next(&rng);
	object[size - 1] = seed;
}

static bool is_filled(const unsigned char *object, size_t size, __u64 seed)
{
	struct rng rng;
	size_t i;

	rng_init(&rng, seed);
	for (i = 0; i < size; i += 97) {
		unsigned char want = rng_next(&rng);

		if (i != size - 1 && object[i] != want)
			return false;
	}
	return object[size - 1] == (unsigned char)seed;
}

static void make_objects(struct karena *heap, struct known *known, struct rng *rng)
{
	unsigned int i;

	for (i = 0; i < OBJECTS && !tap_failed(); i++) {
		known->size[i] = some_size(rng);
		known->object[i] = karena_alloc_flags(heap, known->size[i],
						      rng_below(rng, 2) ? KARENA_ALLOC_NOSCAN : 0);
		if (check(known->object[i]))
			fill(known->object[i], known->size[i], known->seed + i);
	}
}

static void check_objects(const struct known *known, __u64 seed)
{
	unsigned int i;

	for (i = 0; i < OBJECTS && !tap_failed(); i++)
		check(is_filled(known->object[i], known->size[i], seed + i));
}

static void write_objects(const struct known *known, __u64 seed)
{
	unsigned int i;

	for (i = 0; i < OBJECTS; i++)
		fill(known->object[i], known->size[i], seed + i);
}

/* Frees some objects and makes others, which are clear, and filled again. */
static void change_objects(struct karena *heap, struct known *known, struct rng *rng, __u64 seed)
{
	unsigned int i, j;

	for (i = 0; i < OBJECTS / 2 && !tap_failed(); i++) {
		j = rng_below(rng, OBJECTS);
		check_eq(karena_free(heap, known->object[j]), 0);
		known->size[j] = some_size(rng);
		known->object[j] = karena_alloc(heap, known->size[j]);
		if (check(known->object[j])) {
			check_eq(known->object[j][known->size[j] - 1], 0);
			fill(known->object[j], known->size[j], seed + j);
		}
	}
}

struct copy {
	struct karena *heap;
	struct known known;
	struct rng rng;
	int fd;
};

/* In a child: goes on with the clone as if it were its own copy. */
static void live_in_clone(void *arg)
{
	struct copy *copy = arg;
	struct karena *clone;

	karena_close(copy->heap);
	clone = karena_attach(copy->fd);
	if (!check(clone))
		return;
	check(heap_adds_up(copy->fd));
	check_objects(&copy->known, 1000);
	write_objects(&copy->known, 5000);
	change_objects(clone, &copy->known, &copy->rng, 5000);
	check_objects(&copy->known, 5000);
	check(heap_adds_up(copy->fd));
	karena_close(clone);
}

static void live_apart(__u64 flags)
{
	struct copy copy = { .heap = open_heap(flags), .known.seed = 1000 };
	__u64 bytes;
	pid_t pid;

	if (!copy.heap)
		return;
	bytes = user_bytes(karena_fd(copy.heap));
	rng_init(&copy.rng, 1 + flags);
	make_objects(copy.heap, &copy.known, &copy.rng);
	copy.fd = karena_clone(copy.heap);
	check_ret(copy.fd < 0 ? -errno : 0, 0);
	pid = tap_fork(live_in_clone, &copy);
	/* At the same time. */
	write_objects(&copy.known, 9000);
	change_objects(copy.heap, &copy.known, &copy.rng, 9000);
	check(tap_join(pid));
	check_objects(&copy.known, 9000);
	check(heap_adds_up(karena_fd(copy.heap)));
	close(copy.fd);
	/* Once more, with pages that nobody else has any more. */
	write_objects(&copy.known, 9000);
	check_objects(&copy.known, 9000);
	if (!flags) {
		unsigned int i;

		for (i = 0; i < OBJECTS; i++)
			check_eq(karena_free(copy.heap, copy.known.object[i]), 0);
		check(heap_adds_up(karena_fd(copy.heap)));
	}
	check(user_bytes(karena_fd(copy.heap)) < bytes + 64 * MIB);
	karena_close(copy.heap);
}

static void apart_plain(void)
{
	live_apart(0);
}

static void apart_collected(void)
{
	live_apart(KARENA_COLLECT);
}

static void apart_barrier(void)
{
	live_apart(KARENA_COLLECT | KARENA_BARRIER);
}

/* --- a clone outlives the heap, and has clones --- */

static void last_of_them(void *arg)
{
	struct copy *copy = arg;
	struct karena *heap;
	int fd, i;

	karena_close(copy->heap);
	for (i = 0; i < 4 && !tap_failed(); i++) {
		heap = karena_attach(copy->fd);
		if (!check(heap))
			return;
		check_objects(&copy->known, 1000 + i * 1000);
		write_objects(&copy->known, 2000 + i * 1000);
		fd = karena_clone(heap);
		check(fd >= 0);
		/* Not in the clone any more. */
		write_objects(&copy->known, 77);
		karena_close(heap);
		copy->fd = fd;
	}
	close(copy->fd);
}

static void generations(void)
{
	struct copy copy = { .heap = open_heap(0), .known.seed = 1000 };
	__u64 bytes, heaps;
	int device = dev_open(0);

	if (!copy.heap)
		return;
	rng_init(&copy.rng, 7);
	make_objects(copy.heap, &copy.known, &copy.rng);
	copy.fd = karena_clone(copy.heap);
	check(copy.fd >= 0);
	check(tap_isolate(last_of_them, &copy));
	bytes = user_bytes(device);
	heaps = user_heaps(device);
	check_objects(&copy.known, 1000);
	close(copy.fd);
	karena_close(copy.heap);
	check_eq(user_heaps(device), heaps - 2);
	check(user_bytes(device) < bytes);
	close(device);
}

/* --- at one moment --- */

#define WRITERS	3u
#define PAGES	24u

/* Each writes the next number to its pages, one after the other. */
struct moment {
	struct heap heap;
	__u64 page[WRITERS][PAGES];	/* addresses */
	__u64 chain[WRITERS];		/* each copies the one before */
};

static volatile __u64 *at(__u64 addr)
{
	return (volatile __u64 *)(uintptr_t)addr;
}

struct writer {
	struct moment *moment;
	unsigned int i;
};

static void write_numbers(void *arg)
{
	struct writer *w = arg;
	struct moment *m = w->moment;
	unsigned int i;
	__u64 n;

	if (!check_ret(heap_map(&m->heap), 0))
		return;
	for (n = 1;; n++) {
		for (i = 0; i < PAGES; i++)
			*at(m->page[w->i][i]) = n;
		if (w->i)
			*at(m->chain[w->i]) = *at(m->chain[w->i - 1]);
		else
			*at(m->chain[0]) = n;
	}
}

static void check_numbers(const struct moment *m)
{
	__u64 first, n, last;
	unsigned int w, i;

	for (w = 0; w < WRITERS; w++) {
		first = *at(m->page[w][0]);
		last = first;
		for (i = 1; i < PAGES; i++) {
			n = *at(m->page[w][i]);
			check(n <= last && n + 1 >= first);
			last = n;
		}
		if (w)
			check(*at(m->chain[w]) <= *at(m->chain[w - 1]));
	}
}

/* Looks at a clone twice: it does not change. */
static void look_at(const struct moment *m, int fd)
{
	struct heap clone = m->heap;
	static __u64 seen[WRITERS][PAGES];
	unsigned int w, i;

	clone.fd = fd;
	clone.objects = NULL;
	clone.control = NULL;
	if (!check_ret(heap_map(&clone), 0))
		return;
	for (w = 0; w < WRITERS; w++)
		for (i = 0; i < PAGES; i++)
			seen[w][i] = *at(m->page[w][i]);
	check_numbers(m);
	sched_yield();
	for (w = 0; w < WRITERS; w++)
		for (i = 0; i < PAGES; i++)
			check_eq(*at(m->page[w][i]), seen[w][i]);
	heap_unmap(&clone);
}

static void one_moment(void)
{
	unsigned int i, w, rounds = tap_count(90, 5000);
	struct writer writer[WRITERS];
	struct karena_clone req;
	struct moment m;
	pid_t pid[WRITERS];

	if (!check_ret(heap_make(&m.heap, WINDOW, 0), 0))
		return;
	for (w = 0; w < WRITERS; w++) {
		for (i = 0; i < PAGES; i++)
			m.page[w][i] = heap_new(m.heap.fd, 8192, 0);
		m.chain[w] = heap_new(m.heap.fd, 8192, 0);
	}
	for (w = 0; w < WRITERS; w++) {
		writer[w] = (struct writer) { &m, w };
		pid[w] = tap_fork(write_numbers, &writer[w]);
	}
	for (i = 0; i < rounds && !tap_failed(); i++) {
		req = (struct karena_clone) { .size = sizeof(req) };
		if (!check_ret(kioctl(m.heap.fd, KARENA_IOC_CLONE, &req), 0))
			break;
		look_at(&m, req.fd);
		close(req.fd);
	}
	for (w = 0; w < WRITERS; w++) {
		kill(pid[w], SIGKILL);
		waitpid(pid[w], NULL, 0);
	}
	heap_close(&m.heap);
}

/* --- several at one page --- */

#define THREADS		4u

struct counter {
	volatile __u64 *word;
	volatile bool *over;
	__u64 n;
};

static void *count_up(void *arg)
{
	struct counter *c = arg;

	while (!*c->over) {
		*c->word = ++c->n;
		/* Nobody else writes there. */
		if (*c->word != c->n)
			break;
	}
	return NULL;
}

/* While there is a clone, each of them has its page copied, or waits for who does. */
static void hold_clone(const struct heap *heap)
{
	struct karena_clone req = { .size = sizeof(req) };
	unsigned int i;

	if (!check_ret(kioctl(heap->fd, KARENA_IOC_CLONE, &req), 0))
		return;
	for (i = 0; i < 3; i++)
		sched_yield();
	close(req.fd);
}

static void count_in_threads(void *arg)
{
	struct moment *m = arg;
	static volatile bool over;
	struct counter counter[THREADS];
	pthread_t thread[THREADS];
	unsigned int i, rounds = tap_count(90, 5000);

	if (!check_ret(heap_map(&m->heap), 0))
		return;
	for (i = 0; i < THREADS; i++) {
		counter[i] = (struct counter) { at(m->page[0][0]) + i, &over, 0 };
		check(!pthread_create(&thread[i], NULL, count_up, &counter[i]));
	}
	for (i = 0; i < rounds && !tap_failed(); i++)
		hold_clone(&m->heap);
	over = true;
	for (i = 0; i < THREADS; i++) {
		check(!pthread_join(thread[i], NULL));
		check_eq(*counter[i].word, counter[i].n);
	}
}

static void one_page(void)
{
	struct moment m;

	if (!check_ret(heap_make(&m.heap, WINDOW, 0), 0))
		return;
	m.page[0][0] = heap_new(m.heap.fd, 8192, 0);
	check(tap_isolate(count_in_threads, &m));
	heap_close(&m.heap);
}

/* --- while others allocate and free --- */

#define PLAYERS	3u
#define HOLD	200u
#define READY	4000u		/* in magazines of a thread, where it has some */

static void play(void *arg)
{
	struct karena *heap = arg;
	static void *object[HOLD];
	struct rng rng;
	unsigned int i;

	rng_init(&rng, getpid());
	for (;;) {
		i = rng_below(&rng, HOLD);
		if (object[i])
			karena_free(heap, object[i]);
		object[i] = karena_alloc(heap, 1 + rng_below(&rng, 3000));
		if (object[i])
			*(__u64 *)object[i] = i;
	}
}

static void clone_and_check(int fd)
{
	struct karena_clone req = { .size = sizeof(req) };
	struct karena_heap_info info;
	unsigned int i;

	if (!check_ret(kioctl(fd, KARENA_IOC_CLONE, &req), 0))
		return;
	check(heap_adds_up(req.fd));
	check_ret(heap_info(req.fd, 0, 0, &info), 0);
	check(info.live_objects <= (HOLD + 1 + READY) * PLAYERS);
	for (i = 0; i < KARENA_NR_REJECT; i++)
		check_eq(info.rejects[i], 0);
	close(req.fd);
}

static void while_others_play(void)
{
	struct karena *heap = open_heap(0);
	unsigned int i, rounds = tap_count(60, 2000);
	pid_t pid[PLAYERS];

	if (!heap)
		return;
	for (i = 0; i < PLAYERS; i++)
		pid[i] = tap_fork(play, heap);
	for (i = 0; i < rounds && !tap_failed(); i++)
		clone_and_check(karena_fd(heap));
	for (i = 0; i < PLAYERS; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	check(heap_adds_up(karena_fd(heap)));
	karena_close(heap);
}

/* --- and while who makes it is killed --- */

static void clone_for_ever(void *arg)
{
	struct karena *heap = arg;
	int fd;

	for (;;) {
		fd = karena_clone(heap);
		if (fd >= 0)
			close(fd);
	}
}

static void killed(void)
{
	struct copy copy = { .heap = open_heap(KARENA_COLLECT), .known.seed = 1000 };
	unsigned int i, kills = tap_count(60, 2000);
	__u64 heaps;
	struct rng rng;
	pid_t pid;

	if (!copy.heap)
		return;
	rng_init(&rng, 11);
	make_objects(copy.heap, &copy.known, &rng);
	heaps = user_heaps(karena_fd(copy.heap));
	for (i = 0; i < kills && !tap_failed(); i++) {
		pid = tap_fork(clone_for_ever, copy.heap);
		usleep(rng_below(&rng, 20000));
		write_objects(&copy.known, 1000 + i);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		check_objects(&copy.known, 1000 + i);
	}
	check(heap_adds_up(karena_fd(copy.heap)));
	/* The last one's descriptors go when it is reaped, its clones a little later. */
	for (i = 0; i < 1000 && user_heaps(karena_fd(copy.heap)) != heaps; i++)
		usleep(1000);
	check_eq(user_heaps(karena_fd(copy.heap)), heaps);
	karena_close(copy.heap);
}

/* --- collected --- */

static struct karena_type node_type(struct karena *heap)
{
	return KARENA_TYPE(heap, struct node, next, other);
}

static struct node *make_list(struct karena *heap, unsigned int n)
{
	struct karena_type type = node_type(heap);
	struct node *list = NULL, *node;

	while (n--) {
		node = karena_new(heap, type);
		if (!check(node))
			break;
		node->value = n;
		node->other = list ? list->other : NULL;
		node->next = list;
		list = node;
	}
	return list;
}

static unsigned int count_list(const struct node *node)
{
	unsigned int n = 0;

	for (; node; node = node->next)
		check_eq(node->value, n++);
	return n;
}

struct graph {
	struct karena *heap;
	struct node *volatile list;
	unsigned int n;
	int fd;
};

/* Collects the clone, which has just what its roots lead to, and makes more of it. */
static void collect_clone(void *arg)
{
	struct graph *graph = arg;
	struct karena_gc_info gc = { .size = sizeof(gc) };
	struct karena *clone;
	int i;

	karena_close(graph->heap);
	clone = karena_attach(graph->fd);
	if (!check(clone) || !check(gc_check(graph->fd)))
		return;
	for (i = 0; i < 4; i++) {
		check_eq(karena_gc(clone), 0);
		check_eq(count_list(graph->list), graph->n);
		graph->list->other = make_list(clone, 500);
		check_eq(count_list(graph->list->other), 500);
	}
	check_eq(karena_gc_stats(clone, &gc), 0);
	check_eq(gc.lost, 0);
	check(gc.freed_objects > 0);
	/* The same type has the same number. */
	check_eq(node_type(clone).id, 1);
	karena_close(clone);
}

static void clones_are_collected(void)
{
	struct karena_gc_info gc = { .size = sizeof(gc) };
	struct graph graph = { .heap = open_heap(KARENA_COLLECT), .n = 5000 };
	unsigned int i;
	pid_t pid;

	if (!graph.heap || !check(gc_check(karena_fd(graph.heap))))
		return;
	graph.list = make_list(graph.heap, graph.n);
	for (i = 0; i < tap_count(6, 60) && !tap_failed(); i++) {
		graph.fd = karena_clone(graph.heap);
		check(graph.fd >= 0);
		pid = tap_fork(collect_clone, &graph);
		/* Meanwhile in the heap itself. */
		graph.list->other = make_list(graph.heap, 1000);
		check_eq(karena_gc(graph.heap), 0);
		graph.list->other = NULL;
		check_eq(karena_gc(graph.heap), 0);
		check(tap_join(pid));
		check_eq(count_list(graph.list), graph.n);
		close(graph.fd);
	}
	check_eq(karena_gc_stats(graph.heap, &gc), 0);
	check_eq(gc.lost, 0);
	karena_close(graph.heap);
}

/* --- rights, and what it takes --- */

static void rights(void)
{
	struct karena *heap = open_heap(0);
	struct karena_clone req = { .size = sizeof(req) };
	int fd;

	if (!heap)
		return;
	fd = heap_share(karena_fd(heap), KARENA_SHARE_RDONLY);
	check_ret(kioctl(fd, KARENA_IOC_CLONE, &req), -EBADF);
	close(fd);
	fd = dev_open(0);
	check_ret(kioctl(fd, KARENA_IOC_CLONE, &req), -EBADF);
	close(fd);
	/* Both at the same place. */
	fd = karena_clone(heap);
	check(fd >= 0);
	check(!karena_attach(fd));
	check_eq(errno, EEXIST);
	close(fd);
	karena_close(heap);
}

static void cost(void)
{
	struct karena *heap = open_heap(0);
	unsigned int i, pages = tap_count(8192, 8192);
	struct timespec begin, end;
	int fd;

	if (!heap)
		return;
	for (i = 0; i < pages; i++)
		check(karena_alloc_flags(heap, 8192, KARENA_ALLOC_NOZERO));
	clock_gettime(CLOCK_MONOTONIC, &begin);
	fd = karena_clone(heap);
	clock_gettime(CLOCK_MONOTONIC, &end);
	check(fd >= 0);
	tap_diag("a clone of %u pages: %lld us", pages,
		 (end.tv_sec - begin.tv_sec) * 1000000LL + (end.tv_nsec - begin.tv_nsec) / 1000);
	close(fd);
	karena_close(heap);
}

static const struct tap_case cases[] = {
	{ "a heap and its clone live apart", apart_plain },
	{ "the same, collected", apart_collected },
	{ "the same, with a barrier", apart_barrier },
	{ "clones of clones outlive them", generations },
	{ "a clone is of one moment", one_moment },
	{ "threads that write to one page", one_page },
	{ "clones while others allocate and free", while_others_play },
	{ "clones while who makes them is killed", killed },
	{ "clones are collected", clones_are_collected },
	{ "rights and places", rights },
	{ "what a clone takes", cost },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
