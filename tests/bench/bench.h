/* SPDX-License-Identifier: GPL-2.0 */
/* What the kernel's benchmarks share: median and spread of measurements. */
#ifndef _KARENA_BENCH_H
#define _KARENA_BENCH_H

#include <linux/sort.h>
#include <linux/types.h>

#define MAX_RUNS	64

struct series {
	u64 value[MAX_RUNS];
	unsigned int nr;
	u64 median, least, most;	/* of them, after series_sort() */
};

static inline int cmp_u64(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static inline void series_sort(struct series *s)
{
	sort(s->value, s->nr, sizeof(u64), cmp_u64, NULL);
	s->median = s->value[s->nr / 2];
	s->least = s->value[0];
	s->most = s->value[s->nr - 1];
}

#endif /* _KARENA_BENCH_H */
