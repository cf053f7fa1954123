// SPDX-License-Identifier: GPL-2.0
/*
 * The graphs of ../mark.c for the Boehm collector (libgc): CPU time of a full
 * collection for each object that is alive, in the same lines.
 *
 *	usage: boehm random|tree [OBJECTS [RUNS]]
 *
 * One graph a process: this collector may well see a stale reference to another.
 */
#include <gc.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROOTS 1024
#define MAX_RUNS 32

struct node {
	struct node *ref[2];
	unsigned long rest[6];
};

static struct node *root[ROOTS];
static __u64 rnd_state = 1;

/* splitmix64 */
static __u64 rnd(void)
{
	__u64 z = rnd_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static struct node *new_node(void)
{
	struct node *node = GC_MALLOC(sizeof(*node));

	if (!node)
		exit(1);
	return node;
}

static void build_random(unsigned int objects)
{
	struct node **all = GC_MALLOC_UNCOLLECTABLE(objects * sizeof(*all));
	unsigned int i;

	for (i = 0; i < objects; i++)
		all[i] = new_node();
	for (i = 0; i < objects; i++) {
		all[i]->ref[0] = all[rnd() % objects];
		all[i]->ref[1] = all[rnd() % objects];
	}
	for (i = 0; i < ROOTS; i++)
		root[i] = all[rnd() % objects];
	GC_FREE(all);
}

static struct node *build_subtree(unsigned int depth)
{
	struct node *node = new_node();

	if (depth) {
		node->ref[0] = build_subtree(depth - 1);
		node->ref[1] = build_subtree(depth - 1);
	}
	return node;
}

/* Objects that can be reached from the roots, none of them with @flag before. */
static unsigned int visit(unsigned int objects, unsigned long flag)
{
	struct node **stack = malloc((2 * (size_t)objects + ROOTS) * sizeof(*stack)), *node;
	unsigned int n = 0, live = 0, i;

	for (i = 0; i < ROOTS; i++)
		stack[n++] = root[i];
	while (n) {
		node = stack[--n];
		if (!node || node->rest[0] == flag)
			continue;
		node->rest[0] = flag;
		live++;
		stack[n++] = node->ref[0];
		stack[n++] = node->ref[1];
	}
	free(stack);
	return live;
}

static unsigned int count_live(unsigned int objects)
{
	visit(objects, 1);
	return visit(objects, 0);
}

static __u64 now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static int cmp(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return x < y ? -1 : x > y;
}

static void measure(const char *name, unsigned int objects, unsigned int runs)
{
	unsigned int live = count_live(objects), i;
	__u64 cpu[MAX_RUNS], wall[MAX_RUNS];

	for (i = 0; i < runs; i++) {
		__u64 c = now(CLOCK_PROCESS_CPUTIME_ID), w = now(CLOCK_MONOTONIC);

		GC_gcollect();
		cpu[i] = (now(CLOCK_PROCESS_CPUTIME_ID) - c) * 1000 / live;
		wall[i] = now(CLOCK_MONOTONIC) - w;
	}
	qsort(cpu, runs, sizeof(*cpu), cmp);
	qsort(wall, runs, sizeof(*wall), cmp);
	printf("boehm name=%s runs=%u objects=%u ", name, runs, live);
	printf("cpu_ps=%llu cpu_min=%llu cpu_max=%llu wall_us=%llu memory=%llu\n",
	       cpu[runs / 2], cpu[0], cpu[runs - 1], wall[runs / 2] / 1000,
	       (unsigned long long)GC_get_heap_size());
}

int main(int argc, char **argv)
{
	const char *graph = argc > 1 ? argv[1] : "random";
	unsigned int objects = argc > 2 ? atoi(argv[2]) : 4 << 20;
	unsigned int runs = argc > 3 ? atoi(argv[3]) : 5, depth;

	GC_INIT();
	if (runs > MAX_RUNS)
		runs = MAX_RUNS;
	if (!strcmp(graph, "random")) {
		build_random(objects);
	} else {
		for (depth = 0; 2U << (depth + 1) <= objects; depth++)
			;
		root[0] = build_subtree(depth);
	}
	measure(graph, objects, runs);
	return 0;
}
