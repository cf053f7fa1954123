// SPDX-License-Identifier: GPL-2.0
/*
 * Heap profiles: what is estimated from the samples is what there is, within the error
 * that sampling has, whichever way objects are had and freed; stacks lead to who asked;
 * and nothing that programs do breaks the tables.
 *
 * An estimate of n objects that are sampled with probability p has a standard deviation of
 * sqrt(n (1 - p) / p).  Five of them are allowed: one run in a million fails by chance.
 */
#define _GNU_SOURCE
#include <karena.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

#define SIGMAS 5
#define RATE 16384ULL
#define MANY 30000u
#define ROOM (16 * MIB)

static char *records;

static int profile(int fd, struct karena_profile *p, __u32 flags, __u64 rate)
{
	*p = (struct karena_profile) {
		.size = sizeof(*p), .flags = flags, .rate = rate,
		.records = as_addr(records), .length = ROOM,
	};
	return kioctl(fd, KARENA_IOC_PROFILE, p);
}

static bool sample_at(int fd, __u64 rate)
{
	struct karena_profile p;

	if (!records)
		records = malloc(ROOM);
	return check_ret(profile(fd, &p, KARENA_PROFILE_SET, rate), 0) && check_eq(p.rate, rate);
}

/* The descriptor of a heap that is sampled; -1 if that failed. */
static int sampled(struct karena *heap, __u64 rate)
{
	return check(heap) && sample_at(karena_fd(heap), rate) ? karena_fd(heap) : -1;
}

/* Estimates, with the square of what they may be wrong by. */
struct sum {
	double allocs, allocs_var;
	double in_use, in_use_var;
	__u64 samples;
	__u64 frees;
};

static const __u64 *frames_of(const struct karena_profile_record *r)
{
	return (const __u64 *)(r + 1);
}

/* Whether some return address is in a function, or close behind its begin. */
static bool passes(const struct karena_profile_record *r, const void *function)
{
	unsigned int i;

	for (i = 0; i < r->nr_frames; i++)
		if (frames_of(r)[i] - as_addr(function) < 150)
			return true;
	return false;
}

static void add(struct sum *sum, const struct karena_profile_record *r)
{
	double p = 1 - exp(-(double)r->object_size / r->rate);

	sum->allocs += r->allocs / p;
	sum->allocs_var += r->allocs * (1 - p) / (p * p);
	sum->in_use += (r->allocs - r->frees) / p;
	sum->in_use_var += (r->allocs - r->frees) * (1 - p) / (p * p);
	sum->samples += r->allocs;
	sum->frees += r->frees;
}

/* Of all objects of a size (0: any) that come by way of a function (NULL: any). */
static struct sum sum_of(int fd, __u64 size, const void *function)
{
	const struct karena_profile_record *r = (const void *)records;
	struct sum sum = { 0 };
	struct karena_profile p;

	if (!check_ret(profile(fd, &p, 0, 0), 0) || !check(p.length <= ROOM))
		return sum;
	for (; (char *)r < records + p.length; r = (const void *)((char *)r + r->size)) {
		if (!check(r->size >= sizeof(*r)) || !check(r->frees <= r->allocs))
			break;
		if ((!size || r->object_size == size) && (!function || passes(r, function)))
			add(&sum, r);
	}
	return sum;
}

static bool is_about(double estimate, double var, double want, double p, const char *what)
{
	double most = SIGMAS * sqrt(fmax(var, want * (1 - p) / p)) + 1;

	if (check(fabs(estimate - want) <= most))
		return true;
	tap_diag("%s: %.0f, want %.0f, may be wrong by %.0f", what, estimate, want, most);
	return false;
}

/* Objects of a size class at @rate: what was allocated, and is in use. */
static void expect(int fd, __u64 size, __u64 rate, const void *function, double allocs,
		   double in_use)
{
	struct sum sum = sum_of(fd, size, function);
	double p = 1 - exp(-(double)size / rate);

	is_about(sum.allocs, sum.allocs_var, allocs, p, "allocated");
	is_about(sum.in_use, sum.in_use_var, in_use, p, "in use");
}

/* --- ways to have objects --- */

static __attribute__((noinline)) void *by_magazine(struct karena *heap, size_t size)
{
	void *object = karena_alloc(heap, size);

	/* No tail call. */
	__asm__ volatile("" : "+r"(object));
	return object;
}

static __attribute__((noinline)) void *by_call(struct karena *heap, size_t size)
{
	void *object;

	if (karena_alloc_bulk(heap, size, 0, 1, &object))
		return NULL;
	return object;
}

/* Each 64th call has 64. */
static __attribute__((noinline)) void *by_bulk(struct karena *heap, size_t size)
{
	static void *kept[64];
	static unsigned int nr;

	if (!nr && !karena_alloc_bulk(heap, size, KARENA_ALLOC_NOSCAN, 64, kept))
		nr = 64;
	return nr ? kept[--nr] : NULL;
}

static void give_one(struct karena *heap, void *object)
{
	check(!karena_free(heap, object));
}

static void give_bulk(struct karena *heap, void *object)
{
	check(!karena_free_bulk(heap, 1, &object, NULL));
}

static const struct way {
	const char *name;
	void *(*take)(struct karena *heap, size_t size);
	void (*give)(struct karena *heap, void *object);
	size_t size;		/* of a size class */
	unsigned int nr;
	__u64 rate;
	bool has_rseq;		/* it needs that */
} ways[] = {
	{ "magazines, 64 bytes", by_magazine, give_one, 64, MANY, RATE, true },
	{ "magazines, 16 bytes", by_magazine, give_one, 16, 4 * MANY, RATE, true },
	{ "magazines, 4 KiB", by_magazine, give_one, 4096, MANY / 10, RATE, true },
	{ "magazines, fewer samples", by_magazine, give_one, 64, 4 * MANY, 8 * RATE, true },
	{ "magazines, rate far below an object", by_magazine, give_one, 1024, 500, 10, true },
	{ "calls", by_call, give_one, 64, MANY / 3, RATE, false },
	{ "bulk calls", by_bulk, give_bulk, 48, MANY / 64 * 64, RATE, false },
	{ "large objects", by_call, give_one, 40960, 500, 8 * RATE, false },
};

/* Half of them are kept, and a quarter is freed and had again, many times. */
static void allocate(struct karena *heap, const struct way *way, struct rng *rng, void **kept)
{
	unsigned int i;

	for (i = 0; i < way->nr; i++) {
		kept[i] = way->take(heap, way->size);
		if (!check(kept[i]))
			return;
		if (rng_below(rng, 2)) {
			way->give(heap, kept[i]);
			kept[i] = NULL;
		}
	}
}

static unsigned int count(void **kept, unsigned int nr)
{
	unsigned int i, n = 0;

	for (i = 0; i < nr; i++)
		n += !!kept[i];
	return n;
}

/* Whether CPUs have magazines here: else threads have some, whose takes are not counted. */
static bool has_magazines(void)
{
	return __rseq_size;
}

static void one_way(const struct way *way, struct rng *rng)
{
	void **kept = calloc(way->nr, sizeof(*kept));
	struct karena *heap = karena_open(NULL);
	unsigned int i;
	int fd;

	fd = sampled(heap, way->rate);
	if (fd < 0)
		return;
	allocate(heap, way, rng, kept);
	expect(fd, way->size, way->rate, NULL, way->nr, count(kept, way->nr));
	expect(fd, way->size, way->rate, way->take, way->nr, count(kept, way->nr));
	for (i = 0; i < way->nr; i++)
		if (kept[i])
			way->give(heap, kept[i]);
	check_eq(sum_of(fd, 0, NULL).in_use, 0);
	check(sum_of(fd, 0, NULL).samples > 0);
	karena_close(heap);
	free(kept);
}

static void estimates(void)
{
	unsigned int i, j, rounds = tap_count(3, 100);
	struct rng rng;

	rng_init(&rng, 1);
	for (i = 0; i < ARRAY_SIZE(ways) && !tap_failed(); i++)
		for (j = 0; (!ways[i].has_rseq || has_magazines()) && j < rounds; j++)
			one_way(&ways[i], &rng);
	for (i = 0; i < ARRAY_SIZE(ways) && tap_failed(); i++)
		tap_diag("%s", ways[i].name);
}

/* --- who asks --- */

static __attribute__((noinline)) void *keeper(struct karena *heap)
{
	void *object = karena_alloc(heap, 64);

	__asm__ volatile("" : "+r"(object));
	return object;
}

static __attribute__((noinline, aligned(256))) void waster(struct karena *heap)
{
	void *object = karena_alloc(heap, 64);

	__asm__ volatile("" : "+r"(object));
	karena_free(heap, object);
}

/*
 * Few objects that are kept among many, of the same size, that are freed at once: those
 * that come out of a magazine have been in it before, and are not told apart by that.
 */
static void by_stack(void)
{
	struct karena *heap = karena_open(NULL);
	unsigned int i, nr = 3000, j;
	int fd;

	if (!has_magazines())
		return tap_skip("CPUs have no magazines here");
	fd = sampled(heap, 4096);
	if (fd < 0)
		return;
	for (i = 0; i < nr; i++) {
		check(keeper(heap));
		for (j = 0; j < 20; j++)
			waster(heap);
	}
	expect(fd, 64, 4096, keeper, nr, nr);
	expect(fd, 64, 4096, waster, 20 * nr, 0);
	karena_close(heap);
}

struct node {
	struct node *next;
	char rest[72];
};

static struct node *list;

static __attribute__((noinline)) struct node *new_node(struct karena *heap,
							 struct karena_type type)
{
	struct node *node = karena_new(heap, type);

	__asm__ volatile("" : "+r"(node));
	return node;
}

struct made {
	struct karena *heap;
	struct karena_type type;
	unsigned int nr;
	bool keep;			/* every third, on the list */
};

static void *make_nodes(void *arg)
{
	const struct made *made = arg;
	struct node *node;
	unsigned int i;

	for (i = 0; i < made->nr; i++) {
		node = new_node(made->heap, made->type);
		if (!check(node))
			break;
		if (!made->keep || i % 3)
			continue;
		node->next = list;
		list = node;
	}
	return NULL;
}

/* Dead ones count until a cycle has found them, and new ones not before. */
static void collected(void)
{
	struct karena *heap = karena_open(&(struct karena_options){ .flags = KARENA_COLLECT });
	struct made made = { .heap = heap, .nr = MANY, .keep = true };
	int fd;

	fd = sampled(heap, RATE);
	if (fd < 0)
		return;
	made.type = KARENA_TYPE(heap, struct node, next);
	list = NULL;
	run_thread(make_nodes, &made);
	check(!karena_gc(heap));
	check(!karena_gc(heap));
	expect(fd, 80, RATE, new_node, MANY, MANY / 3);
	/* Nothing more is told of until there is a cycle. */
	made.nr = MANY / 10;
	made.keep = false;
	run_thread(make_nodes, &made);
	expect(fd, 80, RATE, NULL, MANY, MANY / 3);
	list = NULL;
	check(!karena_gc(heap));
	check(!karena_gc(heap));
	expect(fd, 80, RATE, NULL, MANY * 1.1, 0);
	karena_close(heap);
}

/* --- on, off, and how much --- */

static void off(void)
{
	struct karena *heap = karena_open(NULL);
	struct karena_profile p;
	unsigned int i;
	int fd;

	if (!check(heap))
		return;
	fd = karena_fd(heap);
	for (i = 0; i < MANY; i++)
		by_magazine(heap, 64);
	if (!records)
		records = malloc(ROOM);
	check_ret(profile(fd, &p, 0, 0), 0);
	check_eq(p.rate, 0);
	check_eq(p.samples, 0);
	check_eq(p.length, 0);
	sample_at(fd, 1000);
	for (i = 0; i < 1000; i++)
		by_magazine(heap, 64);
	check_ret(profile(fd, &p, KARENA_PROFILE_SET, 0), 0);
	check(!has_magazines() || p.samples > 0);
	i = p.samples;
	while (i--)
		by_magazine(heap, 64);
	i = p.samples;
	check_ret(profile(fd, &p, 0, 0), 0);
	check_eq(p.samples, i);
	karena_close(heap);
}

/* What does not fit is told, and nothing is written behind the room. */
static void room(void)
{
	struct karena_profile p = { .size = sizeof(p) };
	struct karena *heap = karena_open(NULL);
	unsigned int i;
	__u64 all;
	int fd;

	fd = sampled(heap, 1);
	if (fd < 0)
		return;
	for (i = 1; i < 50; i++)
		by_call(heap, 64 * i);
	check_ret(profile(fd, &p, 0, 0), 0);
	all = p.length;
	check(all > 0);
	for (p.length = all - 8; p.length < all; ) {
		__u64 told = p.length;

		memset(records, 0xee, all + 8);
		p.flags = 0;
		p.records = as_addr(records);
		check_ret(kioctl(fd, KARENA_IOC_PROFILE, &p), 0);
		check_eq(p.length, all);
		check_eq((unsigned char)records[told], 0xee);
	}
	p.length = 0;
	p.records = 0;
	check_ret(kioctl(fd, KARENA_IOC_PROFILE, &p), 0);
	check_eq(p.length, all);
	karena_close(heap);
}

/* Stacks that a program makes up, more than there is room for: all are counted even so. */
static void bounded(void)
{
	unsigned int i, j, nr = tap_count(12000, 50000);
	__u64 frames[KARENA_MAX_FRAMES];
	struct karena_calls stack = {
		.size = sizeof(stack), .frames = as_addr(frames), .count = KARENA_MAX_FRAMES,
	};
	struct karena_heap_info before, after;
	struct karena_profile p;
	struct heap heap;
	struct rng rng;

	rng_init(&rng, 2);
	if (!heap_open(&heap, WINDOW, 0))
		return;
	heap_info(heap.fd, 0, 0, &before);
	if (!sample_at(heap.fd, 1))
		return;
	for (i = 0; i < nr && !tap_failed(); i++) {
		stack.object = heap_new(heap.fd, 64, 0);
		for (j = 0; j < KARENA_MAX_FRAMES; j++)
			frames[j] = rng_next(&rng);
		check_ret(kioctl(heap.fd, KARENA_IOC_CALLS, &stack), 0);
		check_ret(kioctl(heap.fd, KARENA_IOC_CALLS, &stack), -ENOENT);
		check_ret(heap_drop(heap.fd, stack.object), 0);
	}
	check_ret(profile(heap.fd, &p, 0, 0), 0);
	check_eq(p.samples, nr);
	check(p.lost > 0 && p.lost < nr);
	check_eq(sum_of(heap.fd, 64, NULL).samples, nr);
	check_eq(sum_of(heap.fd, 64, NULL).frees, nr);
	heap_info(heap.fd, 0, 0, &after);
	check(after.meta_bytes - before.meta_bytes < 6 * MIB);
	heap_close(&heap);
}

/* --- processes --- */

static void child(void *arg)
{
	struct karena *heap = arg;
	unsigned int i;

	for (i = 0; i < 1000; i++)
		by_call(heap, 64);
}

/* Who has gone is told so, and what it allocated counts still. */
static void processes(void)
{
	const struct karena_profile_record *r;
	struct karena *heap = karena_open(NULL);
	__u64 mine = 0, other = 0;
	struct karena_profile p;
	pid_t pid;
	int fd;

	fd = sampled(heap, 1);
	if (fd < 0)
		return;
	pid = tap_fork(child, heap);
	tap_join(pid);
	child(heap);
	check_ret(profile(fd, &p, 0, 0), 0);
	for (r = (const void *)records; (char *)r < records + p.length;
	     r = (const void *)((char *)r + r->size)) {
		mine += r->pid == (__u32)getpid() ? r->allocs : 0;
		other += r->pid == (__u32)pid ? r->allocs : 0;
		check_eq(r->gone, r->pid == (__u32)pid);
	}
	check_eq(mine, 1000);
	check_eq(other, 1000);
	karena_close(heap);
}

#define READY	32u	/* objects of a thread, at most, where there is no rseq */

/* Killed at any instruction, also between an object and its stack. */
static void killed(void)
{
	unsigned int i, rounds = tap_count(30, 1000);
	struct karena *heap = karena_open(NULL);
	struct rng rng;
	pid_t pid;

	rng_init(&rng, 3);
	if (!check(heap) || !sample_at(karena_fd(heap), 100))
		return;
	for (i = 0; i < rounds && !tap_failed(); i++) {
		pid = fork();
		if (!pid) {
			for (;;)
				give_one(heap, by_magazine(heap, 64));
		}
		usleep(rng_below(&rng, 5000));
		kill(pid, SIGKILL);
		check_eq(waitpid(pid, NULL, 0), pid);
		give_one(heap, by_magazine(heap, 64));
	}
	/* Each has left one object at most; without rseq those that its thread had ready. */
	check(sum_of(karena_fd(heap), 0, NULL).samples -
	      sum_of(karena_fd(heap), 0, NULL).frees <= rounds * (has_magazines() ? 1 : READY));
	karena_close(heap);
}

static void run_threads(void *arg)
{
	struct karena *heap = arg;
	struct rng rng;
	void *kept[64] = { 0 };
	unsigned int i, j, nr = tap_count(20000, 1000000);

	rng_init(&rng, getpid());
	for (i = 0; i < nr; i++) {
		j = rng_below(&rng, ARRAY_SIZE(kept));
		if (kept[j])
			give_one(heap, kept[j]);
		kept[j] = karena_alloc(heap, 1 + rng_below(&rng, 9000));
		if (!check(kept[j]))
			return;
		*(char *)kept[j] = 0x55;
	}
	for (j = 0; j < ARRAY_SIZE(kept); j++)
		if (kept[j])
			give_one(heap, kept[j]);
	/* With what this process has ready. */
	karena_close(heap);
}

/* All at once, with the rate changing below them. */
static void together(void)
{
	struct karena *heap = karena_open(NULL);
	struct sum sum;
	struct rng rng;
	pid_t pid[4];
	unsigned int i;
	int fd;

	rng_init(&rng, 4);
	fd = sampled(heap, 1000);
	if (fd < 0)
		return;
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		pid[i] = tap_fork(run_threads, heap);
	for (i = 0; i < 50; i++) {
		sample_at(fd, rng_below(&rng, 100000));
		sum_of(fd, 0, NULL);
	}
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		tap_join(pid[i]);
	sum = sum_of(fd, 0, NULL);
	check_eq(sum.samples, sum.frees);
	check(sum.samples > 0);
	karena_close(heap);
}

static const struct tap_case cases[] = {
	{ "nothing is sampled that is not asked for", off },
	{ "estimates are right, however objects are had", estimates },
	{ "stacks tell who keeps objects", by_stack },
	{ "what a collector finds dead is not in use", collected },
	{ "records that have no room", room },
	{ "stacks that have no room", bounded },
	{ "processes", processes },
	{ "processes that are killed", killed },
	{ "many at once", together },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
