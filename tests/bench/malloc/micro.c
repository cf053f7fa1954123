// SPDX-License-Identifier: GPL-2.0
/*
 * Ways to use malloc and free, for whichever of them LD_PRELOAD brings; prints in one
 * line what an object costs, allocated and freed, and the most memory that there was.
 * With -DINLINE objects are those of a heap of libkarena, of a size that the compiler
 * knows, which has to be SIZE.
 *
 *	usage: micro CASE SIZE OBJECTS
 *
 *	pair	an object is freed at once
 *	batch	1,000 are allocated, then all of them freed in the same order
 *	small	1,000 objects of 8 bytes to SIZE; one at random is replaced by another
 *	large	the same with 200,000
 *	pipe	one thread allocates, another one frees
 *
 * small and large are those of P. Larson, M. Krishnan, "Memory allocation for
 * long-running server applications" (ISMM 1998), in one thread.  Time is that of all
 * CPUs, but for pipe, where threads wait for each other: there it is the clock's.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef INLINE
#include <karena.h>

#define INLINE_SIZE	64

static struct karena *heap;

#endif

#define BATCH		1000
#define LARGE		200000
#define RING		256	/* objects on their way, a power of two */
#define WARM_UP		10000
#define CACHE_LINE	64

static size_t size;
static long objects;

static long long time_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

#ifdef INLINE
static inline void *get(size_t bytes)
{
	(void)bytes;
	return karena_alloc(heap, INLINE_SIZE);
}

static inline void put(void *object)
{
	karena_free(heap, object);
}
#else
static inline void *get(size_t bytes)
{
	return malloc(bytes);
}

static inline void put(void *object)
{
	free(object);
}
#endif

static inline void *make(size_t bytes)
{
	char *object = get(bytes);

	if (!object) {
		fprintf(stderr, "no memory\n");
		exit(1);
	}
	*object = 1;
	/* Nobody is to know that nothing else is done with it. */
	__asm__ __volatile__("" : "+r"(object) : : "memory");
	return object;
}

static void pair(void)
{
	long i;

	for (i = 0; i < objects; i++)
		put(make(size));
}

static void batch(void)
{
	static void *object[BATCH];
	long done;
	int i;

	for (done = 0; done < objects; done += BATCH) {
		for (i = 0; i < BATCH; i++)
			object[i] = make(size);
		for (i = 0; i < BATCH; i++)
			put(object[i]);
	}
}

/* G. Marsaglia, "Xorshift RNGs" (2003). */
static unsigned int next_random(void)
{
	static unsigned long state = 88172645463325252UL;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 16;
}

static size_t random_size(void)
{
	return 8 + ((unsigned long)next_random() * (size - 7) >> 32);
}

static void *working[LARGE];

static void replace(long working_set)
{
	long i, at;

	for (i = 0; i < objects; i++) {
		at = (unsigned long)next_random() * working_set >> 32;
		put(working[at]);
		working[at] = make(random_size());
	}
}

/* One writes, one reads; each has its own line. */
static struct ring {
	void *object[RING];
	char before[CACHE_LINE];
	long given;
	char between[CACHE_LINE];
	long taken;
} ring;

static void *consume(void *unused)
{
	long i;

	for (i = 0; i < objects; i++) {
		while (__atomic_load_n(&ring.given, __ATOMIC_ACQUIRE) == i)
			__builtin_ia32_pause();
		put(ring.object[i % RING]);
		__atomic_store_n(&ring.taken, i + 1, __ATOMIC_RELEASE);
	}
	return unused;
}

static void pipe_through(void)
{
	pthread_t consumer;
	long i;

	ring.given = 0;
	ring.taken = 0;
	if (pthread_create(&consumer, NULL, consume, NULL))
		exit(1);
	for (i = 0; i < objects; i++) {
		while (i - __atomic_load_n(&ring.taken, __ATOMIC_ACQUIRE) == RING)
			__builtin_ia32_pause();
		ring.object[i % RING] = make(size);
		__atomic_store_n(&ring.given, i + 1, __ATOMIC_RELEASE);
	}
	pthread_join(consumer, NULL);
}

/* Of this program, and not of who started it. */
static long peak_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];
	long kib = 0;

	while (f && !kib && fgets(line, sizeof(line), f))
		sscanf(line, "VmHWM: %ld", &kib);
	if (f)
		fclose(f);
	return kib;
}

static void small(void)
{
	replace(BATCH);
}

static void large(void)
{
	replace(LARGE);
}

static const struct {
	const char *name;
	void (*run)(void);
	long working_set;
	clockid_t clock;
} cases[] = {
	{ "pair", pair, 0, CLOCK_PROCESS_CPUTIME_ID },
	{ "batch", batch, 0, CLOCK_PROCESS_CPUTIME_ID },
	{ "small", small, BATCH, CLOCK_PROCESS_CPUTIME_ID },
	{ "large", large, LARGE, CLOCK_PROCESS_CPUTIME_ID },
	{ "pipe", pipe_through, 0, CLOCK_MONOTONIC },
};

int main(int argc, char **argv)
{
	long long ns;
	size_t i;
	long n;

	if (argc != 4)
		return 2;
	size = strtoul(argv[2], NULL, 10);
	objects = strtol(argv[3], NULL, 10);
	for (i = 0; i < sizeof(cases) / sizeof(*cases) && strcmp(cases[i].name, argv[1]); i++)
		;
	if (i == sizeof(cases) / sizeof(*cases) || size < 8 || objects < 1)
		return 2;
#ifdef INLINE
	heap = karena_open(NULL);
	if (!heap || size != INLINE_SIZE || cases[i].working_set)
		return 2;
#endif
	for (n = 0; n < cases[i].working_set; n++)
		working[n] = make(random_size());
	/* The first ones pay for what is made once. */
	n = objects;
	objects = n < WARM_UP ? n : WARM_UP;
	cases[i].run();
	objects = n;
	ns = time_ns(cases[i].clock);
	cases[i].run();
	ns = time_ns(cases[i].clock) - ns;
	printf("ps=%lld rss_kib=%ld ", ns * 1000 / objects, peak_kib());
	return 0;
}
