// SPDX-License-Identifier: GPL-2.0
/*
 * Coroutines of libkarena: a switch against the shortest one that preserves what a call
 * does, and the memory of many of them against the pages that they touch.
 *
 *	usage: stack karena|by-hand SWITCHES	prints picoseconds for a switch
 *	       stack memory COUNT		prints bytes of memory, page tables included
 *	       stack pages COUNT		prints those of the pages
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <karena.h>

#define PAGE	4096

static long long time_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* --- by hand --- */

void switch_by_hand(void **save, void *load);

__asm__(".text\n"
	".p2align 4\n"
	"switch_by_hand:\n\t"
	"pushq %rbp\n\t"
	"pushq %rbx\n\t"
	"pushq %r12\n\t"
	"pushq %r13\n\t"
	"pushq %r14\n\t"
	"pushq %r15\n\t"
	"movq %rsp, (%rdi)\n\t"
	"movq %rsi, %rsp\n\t"
	"popq %r15\n\t"
	"popq %r14\n\t"
	"popq %r13\n\t"
	"popq %r12\n\t"
	"popq %rbx\n\t"
	"popq %rbp\n\t"
	"popq %rcx\n\t"
	"jmp *%rcx\n");

static void *here, *there;

static void bounce(void)
{
	for (;;)
		switch_by_hand(&there, here);
}

static void run_by_hand(long count)
{
	long i;

	if (!there) {
		/* Six registers, and where to go on. */
		void **sp = (void **)((char *)aligned_alloc(PAGE, 65536) + 65536) - 8;

		memset(sp, 0, 8 * sizeof(*sp));
		sp[6] = (void *)bounce;
		there = sp;
	}
	for (i = 0; i < count; i += 2)
		switch_by_hand(&here, there);
}

/* --- karena --- */

static struct karena *heap;
static struct karena_stacks *stacks;

static void yield(void *arg)
{
	(void)arg;
	for (;;)
		karena_co_yield();
}

static void open_stacks(long count)
{
	heap = karena_open(&(struct karena_options){ .flags = KARENA_COLLECT });
	stacks = heap ? karena_stacks_open(heap, 65536, count) : NULL;
	if (!stacks) {
		perror("stacks");
		exit(1);
	}
}

static void run_karena(long count)
{
	static struct karena_co *co;
	long i;

	if (!co) {
		open_stacks(1);
		co = karena_co_new(stacks, "bench", yield, NULL);
	}
	for (i = 0; i < count; i += 2)
		karena_co_resume(co);
}

/* --- memory --- */

static long status_kib(const char *name)
{
	FILE *f = fopen("/proc/self/status", "r");
	size_t len = strlen(name);
	char line[128];
	long kib = 0;

	while (f && !kib && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == ':')
			kib = atol(line + len + 1);
	if (f)
		fclose(f);
	return kib;
}

static long all_kib(void)
{
	return status_kib("VmRSS") + status_kib("VmPTE");
}

static long long run_memory(long count)
{
	long before, i;

	open_stacks(count);
	before = all_kib();
	for (i = 0; i < count; i++)
		karena_co_resume(karena_co_new(stacks, "bench", yield, NULL));
	return (all_kib() - before) * 1024LL;
}

int main(int argc, char **argv)
{
	void (*run)(long count) = run_by_hand;
	long long ns;
	long count;

	if (argc != 3)
		return 2;
	count = atol(argv[2]);
	if (!strcmp(argv[1], "memory"))
		return printf("bytes=%lld ", run_memory(count)) < 0;
	if (!strcmp(argv[1], "pages"))
		return printf("bytes=%lld ", count * (long long)PAGE) < 0;
	if (!strcmp(argv[1], "karena"))
		run = run_karena;
	run(10000);
	ns = time_ns();
	run(count);
	ns = time_ns() - ns;
	printf("ps=%lld ", ns * 1000 / count);
	return 0;
}
