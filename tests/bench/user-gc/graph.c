// SPDX-License-Identifier: GPL-2.0
/*
 * What a graph in a collected heap costs its program while cycles run over it.
 *
 *	usage: graph pause|walk|pages|dump MIB [WRITES [barrier]]
 *
 *	pause	how long threads stand still while others store references all over it
 *	walk	steps of a reader that stores at WRITES of 1,000 steps, in a
 *		millisecond while it is marked, in one before that (protection, and the
 *		stop) and in one while no cycle runs; with the MMU as the barrier, or
 *		the one that is called for each store
 *	pages	the first store to each page after a cycle, and the next ones; and what
 *		it takes to protect them
 *	dump	what karenactl dump takes, and how long threads stand still for it
 */
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layer.h"
#include "gaps.h"

#define CYCLES 12
#define BULK 1024
#define QUANTUM 1000		/* us */

/* 256 bytes, so that a large graph is made soon. */
struct vertex {
	struct vertex *to[2];
	__u64 payload[30];
};

struct graph {
	struct vertex **all;
	size_t nr;
};

static struct graph graph;
static struct kind vertices = KIND(struct vertex);
static bool over;			/* atomic */

static bool is_over(void)
{
	return __atomic_load_n(&over, __ATOMIC_RELAXED);
}

/* xorshift */
static __u64 next(__u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void set_percent(int percent)
{
	struct karena_gc_control control = { .size = sizeof(control) };

	if (karena_gc_get(heap, &control))
		need(NULL);
	control.percent = percent;
	if (karena_gc_set(heap, &control))
		need(NULL);
}

static struct karena_gc_info gc_info(void)
{
	struct karena_gc_info info = { .size = sizeof(info) };

	if (karena_gc_stats(heap, &info))
		need(NULL);
	return info;
}

/* The list of all is in the heap as well: what is in it can be reached. */
static void make_graph(size_t bytes)
{
	__u64 state = 88172645463325252ULL;
	size_t i;

	graph.nr = bytes / sizeof(struct vertex) / BULK * BULK;
	graph.all = need(karena_alloc(heap, graph.nr * sizeof(*graph.all)));
	for (i = 0; i < graph.nr; i++)
		graph.all[i] = make(&vertices);
	for (i = 0; i < graph.nr; i++) {
		graph.all[i]->to[0] = graph.all[next(&state) % graph.nr];
		graph.all[i]->to[1] = graph.all[next(&state) % graph.nr];
	}
}

static int cmp_u64(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return x < y ? -1 : x > y;
}

/* --- pause --- */

/* Some thousand stores a second, so that their number is not what is measured. */
static void *store_here_and_there(void *unused)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	__u64 state = 1234567;
	unsigned int i;

	while (!is_over()) {
		for (i = 0; i < 8; i++)
			graph.all[next(&state) % graph.nr]->to[i % 2] =
				graph.all[next(&state) % graph.nr];
		nanosleep(&pause, NULL);
	}
	return unused;
}

/* How long threads stood still for what @fn did: a cycle, or a dump. */
static __u64 stop_ns(void (*fn)(void))
{
	struct karena_gc_info before = gc_info(), after;

	fn();
	after = gc_info();
	return (after.stop_ns - before.stop_ns) / (after.stops - before.stops);
}

static void cycle(void)
{
	if (karena_gc(heap))
		need(NULL);
}

static void measure_pause(void)
{
	__u64 ns[CYCLES];
	unsigned int i;
	pthread_t thread;

	if (pthread_create(&thread, NULL, store_here_and_there, NULL))
		need(NULL);
	for (i = 0; i < CYCLES; i++)
		ns[i] = stop_ns(cycle);
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	qsort(ns, CYCLES, sizeof(*ns), cmp_u64);
	printf("stop_p50_ns=%llu stop_p90_ns=%llu stop_max_ns=%llu put_off=%llu ",
	       ns[CYCLES / 2], ns[CYCLES * 9 / 10], ns[CYCLES - 1], gc_info().put_off);
}

/* --- dump --- */

#define DUMPS 3

static char dump_path[32];

static void write_dump(void)
{
	struct karena_heap_info info = { .size = sizeof(info) };
	char command[200];

	if (karena_stats(heap, &info))
		need(NULL);
	/* No progress to be seen among the figures, but what went wrong. */
	snprintf(command, sizeof(command),
		 "said=$(karenactl dump -o %s %u 2>&1) || { echo \"$said\" >&2; false; }",
		 dump_path, info.id);
	if (system(command))
		need(NULL);
}

static void measure_dump(void)
{
	__u64 begin, stop[DUMPS], took[DUMPS];
	struct stat file;
	unsigned int i;
	pthread_t thread;

	snprintf(dump_path, sizeof(dump_path), "/tmp/graph.XXXXXX");
	if (mkstemp(dump_path) < 0 ||
	    pthread_create(&thread, NULL, store_here_and_there, NULL))
		need(NULL);
	for (i = 0; i < DUMPS; i++) {
		begin = now_ns();
		stop[i] = stop_ns(write_dump);
		took[i] = now_ns() - begin;
	}
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	if (stat(dump_path, &file))
		need(NULL);
	unlink(dump_path);
	qsort(stop, DUMPS, sizeof(*stop), cmp_u64);
	qsort(took, DUMPS, sizeof(*took), cmp_u64);
	printf("dump_stop_ns=%llu dump_ns=%llu dump_bytes=%llu ", stop[DUMPS / 2],
	       took[DUMPS / 2], (unsigned long long)file.st_size);
}

/* --- walk --- */

/* Lengths of time in a part of cycles, and what was done. */
struct spent {
	__u64 us;
	__u64 cpu_us;			/* of the thread: less, if others have its CPU */
	__u64 steps;
};

struct walker {
	struct vertex *at;
	__u64 state;
	unsigned int writes;
	bool barrier;
};

static void store(const struct walker *walker, struct vertex **slot, struct vertex *value)
{
	if (walker->barrier)
		karena_store(heap, slot, value);
	else
		*slot = value;
}

/* 1,000 steps, of which some store what they have found. */
static void walk(struct walker *walker)
{
	struct vertex *at = walker->at;
	unsigned int i;
	__u64 random;

	for (i = 0; i < 1000; i++) {
		random = next(&walker->state);
		if (i < walker->writes)
			store(walker, &at->to[random >> 8 & 1],
			      graph.all[(random >> 9) % graph.nr]);
		at = at->to[random & 1];
	}
	walker->at = at;
}

/* In the background: nobody waits, so that it takes no more than its share. */
static void collect(void)
{
	struct karena_collect args = { .size = sizeof(args) };
	/* Seldom enough for nobody to be held up by it. */
	struct timespec pause = { .tv_nsec = 10000000 };
	__u64 cycles = gc_info().cycles;

	if (ioctl(karena_fd(heap), KARENA_IOC_COLLECT, &args))
		need(NULL);
	while (gc_info().cycles == cycles)
		nanosleep(&pause, NULL);
}

/* Cycles, and times of the same length without one. */
static void *collect_now_and_then(void *unused)
{
	struct timespec pause = { 0 };
	__u64 begin, took;
	unsigned int i;

	for (i = 0; i < CYCLES / 2; i++) {
		begin = now_ns();
		collect();
		took = now_ns() - begin;
		pause.tv_sec = took / 1000000000;
		pause.tv_nsec = took % 1000000000;
		nanosleep(&pause, NULL);
	}
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	return unused;
}

enum part {
	IDLE,
	BEGIN,
	MARKING,
	SWEEPING,
	PARTS
};

static enum part part_of_cycle(void)
{
	struct karena_gc_info info = gc_info();

	if (info.phase == KARENA_PHASE_MARK)
		return info.stops > info.cycles ? MARKING : BEGIN;
	return info.phase == KARENA_PHASE_SWEEP ? SWEEPING : IDLE;
}

static __u64 cpu_us(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts))
		need(NULL);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

/* Steps for a quantum. */
static struct spent walk_on(struct walker *walker, __u64 rate)
{
	struct spent spent = { .cpu_us = cpu_us() };
	__u64 begin = ticks();

	do {
		walk(walker);
		spent.steps += 1000;
		spent.us = (ticks() - begin) / rate;
	} while (spent.us < QUANTUM);
	spent.cpu_us = cpu_us() - spent.cpu_us;
	return spent;
}

static void print_steps(const char *name, const struct spent *spent)
{
	__u64 steps = spent->steps + !spent->steps;

	printf("%s_ps=%llu %s_cpu_ps=%llu %s_us=%llu ", name, spent->us * 1000000 / steps, name,
	       spent->cpu_us * 1000000 / steps, name, spent->us);
}

static void measure_walk(unsigned int writes, bool barrier)
{
	struct walker walker = { graph.all[0], 987654321, writes, barrier };
	struct spent all[PARTS] = { 0 }, spent;
	__u64 rate = ticks_per_us();
	enum part before, after;
	pthread_t thread;

	if (pthread_create(&thread, NULL, collect_now_and_then, NULL))
		need(NULL);
	after = part_of_cycle();
	while (!is_over()) {
		before = after;
		spent = walk_on(&walker, rate);
		after = part_of_cycle();
		if (before != after)
			continue;
		all[before].us += spent.us;
		all[before].cpu_us += spent.cpu_us;
		all[before].steps += spent.steps;
	}
	pthread_join(thread, NULL);
	print_steps("idle", &all[IDLE]);
	print_steps("begin", &all[BEGIN]);
	print_steps("marking", &all[MARKING]);
}

/* --- pages --- */

static __u64 store_to_each_page(void)
{
	__u64 begin = now_ns();
	size_t i;

	for (i = 0; i < graph.nr; i += 4096 / sizeof(struct vertex))
		graph.all[i]->to[0] = graph.all[i];
	return now_ns() - begin;
}

static void measure_pages(void)
{
	size_t nr = graph.nr * sizeof(struct vertex) / 4096;
	__u64 first[5], again[5], protect[5];
	struct karena_gc_info before;
	unsigned int i;

	for (i = 0; i < 5; i++) {
		store_to_each_page();
		before = gc_info();
		if (karena_gc(heap))
			need(NULL);
		protect[i] = gc_info().protect_ns - before.protect_ns;
		first[i] = store_to_each_page();
		again[i] = store_to_each_page();
	}
	qsort(first, 5, sizeof(*first), cmp_u64);
	qsort(again, 5, sizeof(*again), cmp_u64);
	qsort(protect, 5, sizeof(*protect), cmp_u64);
	printf("first_ns=%llu again_ns=%llu protect_ns=%llu ", first[2] / nr, again[2] / nr,
	       protect[2] / nr);
}

int main(int argc, char **argv)
{
	bool barrier = argc > 4;

	if (argc < 3)
		return 2;
	layer_begin(barrier ? KARENA_BARRIER : 0);
	kind_begin(&vertices, struct vertex, to[0], to[1]);
	set_percent(-1);
	make_graph(strtoul(argv[2], NULL, 0) << 20);
	if (karena_gc(heap))
		need(NULL);
	if (!strcmp(argv[1], "pause"))
		measure_pause();
	else if (!strcmp(argv[1], "dump"))
		measure_dump();
	else if (!strcmp(argv[1], "walk"))
		measure_walk(argc > 3 ? atoi(argv[3]) : 10, barrier);
	else
		measure_pages();
	layer_report();
	return 0;
}
