/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pauses as a program sees them: gaps between two looks at the time stamp counter (the
 * clock costs a system call in some machines), of GAP_FLOOR and longer.  They are kept
 * in memory where nobody looks for roots.
 */
#ifndef GAPS_H
#define GAPS_H

#include <linux/types.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define GAP_FLOOR 10			/* us */
#define MAX_GAPS 1048576U

struct gaps {
	__u64 length;		/* of the time that was looked at, in us, */
	__u64 sum;			/* and of it in gaps */
	unsigned int nr;
	bool stop;			/* atomic */
	unsigned int us[MAX_GAPS];
};

static inline __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static inline __u64 ticks(void)
{
	return __builtin_ia32_rdtsc();
}

static inline __u64 ticks_per_us(void)
{
	__u64 begin = now_ns(), first = ticks();

	while (now_ns() - begin < 20000000)
		;
	return (ticks() - first) * 1000 / (now_ns() - begin);
}

static inline void *shared_memory(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return at;
}

static inline void gap_add(struct gaps *gaps, __u64 us)
{
	if (us < GAP_FLOOR || gaps->nr == MAX_GAPS)
		return;
	gaps->us[gaps->nr++] = us;
	gaps->sum += us;
}

static inline void *spin(void *arg)
{
	__u64 rate = ticks_per_us(), begin = ticks(), last = begin, now;
	struct gaps *gaps = arg;

	while (!__atomic_load_n(&gaps->stop, __ATOMIC_RELAXED)) {
		now = ticks();
		gap_add(gaps, (now - last) / rate);
		last = now;
	}
	gaps->length = (last - begin) / rate;
	return NULL;
}

static inline int cmp_us(const void *a, const void *b)
{
	unsigned int x = *(const unsigned int *)a, y = *(const unsigned int *)b;

	return x < y ? -1 : x > y;
}

static inline unsigned int gap_at(const struct gaps *gaps, double share)
{
	unsigned int i = gaps->nr * share;

	return gaps->nr ? gaps->us[i < gaps->nr ? i : gaps->nr - 1] : 0;
}

static inline void gaps_report(struct gaps *gaps)
{
	qsort(gaps->us, gaps->nr, sizeof(*gaps->us), cmp_us);
	printf("gaps=%u gap_share=%.4f gap_p50=%u gap_p99=%u gap_p999=%u gap_max=%u ", gaps->nr,
	       (double)gaps->sum / gaps->length, gap_at(gaps, 0.5),
	       gap_at(gaps, 0.99), gap_at(gaps, 0.999), gap_at(gaps, 1));
}

#endif /* GAPS_H */
