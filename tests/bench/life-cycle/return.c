// SPDX-License-Identifier: GPL-2.0
/*
 * Return of memory, by what a heap tells of itself (karena_explain()): how long locks are
 * held while 1 GiB goes back, how much of a CPU that takes in the background, and what is
 * still held when a peak of 512 MiB has fallen to 16 MiB.
 *
 * A lock is held longer when whoever has it is interrupted, or its virtual CPU is not run:
 * so the longest time is told as it was, beside the longest gap of a loop that does nothing
 * but look at the clock, and the limit is for the time that one of a hundred is over.
 *
 *	usage: life-cycle-return lock|cpu|kept MIB	of what is given back
 *
 * Prints for lock the time that 99 of 100 locks are held at most, as ps=; for cpu that of
 * each millisecond; for kept the bytes that are held and not needed, as bytes=.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <karena.h>

#define KIB 1024ULL
#define MIB (1024 * KIB)
#define BLOCK (64 * KIB)

static struct karena *heap;
static void **block;
static size_t nr;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static long long now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

static void explain(struct karena_explain *e)
{
	*e = (struct karena_explain){ .size = sizeof(*e) };
	if (karena_explain(heap, e))
		die("karena_explain");
}

static void set_eager(int eager)
{
	struct karena_memory memory;

	if (karena_memory_get(heap, &memory))
		die("karena_memory_get");
	memory.eager = eager;
	if (karena_memory_set(heap, &memory))
		die("karena_memory_set");
}

/* A heap that held @mib, and of which @left are needed still. */
static void peak(size_t mib, size_t left, int eager)
{
	struct karena_options opts = { .window = 2 * mib * MIB };
	size_t i, keep = left * MIB / BLOCK;

	heap = karena_open(&opts);
	nr = mib * MIB / BLOCK;
	block = calloc(nr, sizeof(*block));
	if (!heap || !block)
		die("karena_open");
	set_eager(eager);
	for (i = 0; i < nr; i++) {
		block[i] = karena_alloc_flags(heap, BLOCK, KARENA_ALLOC_NOZERO);
		if (!block[i])
			die("karena_alloc");
		memset(block[i], 1, BLOCK);
	}
	/* Those that stay are spread over all of it. */
	for (i = 0; i < nr; i++)
		if (!keep || i % (nr / keep))
			karena_free(heap, block[i]);
}

static void end(void)
{
	karena_close(heap);
	free(block);
}

/* Until it holds no more than @mib, or nothing happens for ten seconds. */
static void wait_for(size_t mib)
{
	long long last = now_us();
	struct karena_explain e;
	__u64 before = 0;

	for (;;) {
		explain(&e);
		if (e.held_bytes <= mib * MIB)
			return;
		if (e.held_bytes != before)
			last = now_us();
		if (now_us() - last > 10000000)
			return;
		before = e.held_bytes;
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	}
}

/* The longest that this thread is off its CPU in half a second. */
static long long longest_gap_us(void)
{
	long long begin = now_us(), last = begin, now, gap = 0;

	while ((now = now_us()) - begin < 500000) {
		if (now - last > gap)
			gap = now - last;
		last = now;
	}
	return gap;
}

/* Microseconds that @share of all times were below, as if even in each bucket. */
static double below_us(const struct karena_explain *e, double share)
{
	double all = 0, sum = 0, low = 0, high = 1;
	int i;

	for (i = 0; i < KARENA_GC_BUCKETS; i++)
		all += e->return_us[i];
	for (i = 0; i < KARENA_GC_BUCKETS - 1; i++, low = high, high *= 2) {
		if (sum + e->return_us[i] >= share * all)
			return low + (high - low) * (share * all - sum) / e->return_us[i];
		sum += e->return_us[i];
	}
	return low;
}

static void locks(size_t mib)
{
	struct karena_explain e;
	long long begin;

	peak(mib, 0, 0);
	begin = now_us();
	set_eager(1);
	wait_for(8);
	explain(&e);
	printf("ps=%.0f ", below_us(&e, 0.99) * 1e6);
	/* for who reads the log */
	printf("took_us=%lld page_ns=%.0f us_999=%.0f most_us=%.0f switches=%llu gap_us=%lld ",
	       now_us() - begin, e.return_ns / (mib * MIB / 4096.0), below_us(&e, 0.999),
	       e.return_max_ns / 1e3, (unsigned long long)e.return_switches, longest_gap_us());
	end();
}

static void share(size_t mib)
{
	struct karena_explain before, after;
	long long begin;

	peak(mib, 0, 0);
	explain(&before);
	begin = now_us();
	wait_for(8);
	explain(&after);
	/* nanoseconds by milliseconds are picoseconds by microseconds, thousandfold */
	printf("ps=%.0f ", 1e6 * (after.return_ns - before.return_ns) / (now_us() - begin));
	end();
}

static void rest(size_t mib)
{
	size_t left = mib / 32;
	struct karena_explain e;

	peak(mib, left, 1);
	wait_for(left + (mib - left) / 100);
	explain(&e);
	printf("bytes=%llu ", (unsigned long long)(e.held_bytes - left * MIB));
	end();
}

int main(int argc, char **argv)
{
	size_t mib = argc == 3 ? atoi(argv[2]) : 0;

	if (mib && !strcmp(argv[1], "lock"))
		locks(mib);
	else if (mib && !strcmp(argv[1], "cpu"))
		share(mib);
	else if (mib && !strcmp(argv[1], "kept"))
		rest(mib);
	else
		return 2;
	return 0;
}
