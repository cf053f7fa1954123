// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * Many coroutines: each goes through the numbers from its own one on as Collatz has it, one
 * step at a time, and keeps what it has seen in a list in a heap that is collected, which
 * nothing but its stack refers to.
 *
 *	usage: karena-coroutines [COUNT]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <karena.h>

struct seen {
	struct seen *before;
	unsigned long number;
};

static struct karena *heap;
static struct karena_type type;
static unsigned long steps;

static void walk(void *arg)
{
	unsigned long number = *(unsigned int *)arg;
	struct seen *list = NULL, *seen;

	while (number > 1) {
		seen = karena_new(heap, type);
		if (!seen)
			return;
		seen->before = list;
		seen->number = number;
		list = seen;
		steps++;
		number = number % 2 ? 3 * number + 1 : number / 2;
		karena_co_yield();
	}
}

static long resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size, pages = 0;

	if (f && fscanf(f, "%ld %ld", &size, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Each in turn, until all have ended. */
static int run_all(struct karena_co **co, unsigned int count)
{
	unsigned int left = count, i;

	while (left)
		for (i = 0; i < count; i++) {
			if (!co[i])
				continue;
			switch (karena_co_resume(co[i])) {
			case -1:
				return -1;
			case 0:
				karena_co_delete(co[i]);
				co[i] = NULL;
				left--;
			}
		}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int count = argc > 1 ? atoi(argv[1]) : 100000, i, *start;
	struct karena_options opts = { .name = "coroutines", .flags = KARENA_COLLECT };
	struct karena_stacks *stacks;
	struct karena_co **co;
	double begin;
	long before;

	heap = karena_open(&opts);
	if (!heap)
		return perror("karena_open"), 1;
	type = KARENA_TYPE(heap, struct seen, before);
	stacks = karena_stacks_open(heap, 65536, count);
	if (!stacks)
		return perror("karena_stacks_open"), 1;
	co = calloc(count, sizeof(*co));
	start = calloc(count, sizeof(*start));
	if (!co || !start)
		return perror("calloc"), 1;
	before = resident();
	for (i = 0; i < count; i++) {
		start[i] = i + 1;
		co[i] = karena_co_new(stacks, "walker", walk, &start[i]);
		if (!co[i])
			return perror("karena_co_new"), 1;
	}
	printf("%u stacks take %ld KiB\n", count, resident() - before);
	begin = seconds();
	if (run_all(co, count))
		return perror("karena_co_resume"), 1;
	printf("%lu steps, %.0f ns each with two switches\n", steps,
	       (seconds() - begin) * 1e9 / steps);
	karena_stacks_close(stacks);
	karena_close(heap);
	return 0;
}
