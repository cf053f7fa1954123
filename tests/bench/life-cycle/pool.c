// SPDX-License-Identifier: GPL-2.0
/*
 * What a get and a put of a pool of libkarena cost: prints picoseconds for both.
 *
 *	usage: pool OBJECTS PAIRS
 *
 * OBJECTS are taken before as many are put back, up to 16.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <karena.h>

#define MOST	16

static struct karena_pool *pool;

static void *make(void *arg)
{
	(void)arg;
	return malloc(64);
}

static void drop(void *object, void *arg)
{
	(void)arg;
	free(object);
}

static void pairs(int n, long count)
{
	void *object[MOST];
	long i;
	int j;

	for (i = 0; i < count; i += n) {
		for (j = 0; j < n; j++)
			object[j] = karena_pool_get(pool);
		for (j = 0; j < n; j++)
			karena_pool_put(pool, object[j]);
	}
}

static long long time_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

int main(int argc, char **argv)
{
	struct karena *heap = karena_open(&(struct karena_options){ .flags = KARENA_COLLECT });
	struct karena_pool_options opts = { make, drop, NULL };
	long long ns;
	long count;
	int n;

	pool = heap ? karena_pool_create(heap, &opts) : NULL;
	if (!pool) {
		perror("pool");
		return 1;
	}
	if (argc != 3)
		return 2;
	n = atoi(argv[1]);
	count = atol(argv[2]);
	if (n < 1 || n > MOST || count < n)
		return 2;
	pairs(n, 10000);
	ns = time_ns();
	pairs(n, count);
	ns = time_ns() - ns;
	printf("ps=%lld ", ns * 1000 / count);
	return 0;
}
