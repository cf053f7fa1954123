// SPDX-License-Identifier: GPL-2.0
/*
 * What an object costs that lives no longer than a scope: from a scope of libkarena, or
 * with -DPEER from malloc() with a free() for each, whichever malloc LD_PRELOAD brings.
 * Prints picoseconds for each object, with its share of what opens and closes the scope.
 *
 *	usage: scope local|stores|collected OBJECTS-OF-A-SCOPE OBJECTS
 *
 * Objects have 64 bytes, which the compiler knows, and are not cleared by malloc().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef PEER
#include <karena.h>

static struct karena *heap;
#endif

#define SIZE		64
#define MOST		4096
#define WARM_UP		20000

static long long time_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static inline void use(char *object)
{
	if (!object) {
		fprintf(stderr, "no memory\n");
		exit(1);
	}
	*object = 1;
	/* Nobody is to know that nothing else is done with it. */
	__asm__ __volatile__("" : : "r"(object) : "memory");
}

#ifdef PEER
static void one_scope(long nr, unsigned int flags)
{
	static void *object[MOST];
	long i;

	(void)flags;
	for (i = 0; i < nr; i++) {
		object[i] = malloc(SIZE);
		use(object[i]);
	}
	for (i = 0; i < nr; i++)
		free(object[i]);
}
#else
static void one_scope(long nr, unsigned int flags)
{
	struct karena_scope scope;
	long i;

	if (karena_scope_open(&scope, heap, flags)) {
		perror("karena_scope_open");
		exit(1);
	}
	for (i = 0; i < nr; i++)
		use(karena_scope_alloc(&scope, SIZE));
	karena_scope_close(&scope);
}
#endif

int main(int argc, char **argv)
{
	long nr, scopes, i;
	unsigned int flags;
	long long ns;

	if (argc != 4)
		return 2;
	flags = !strcmp(argv[1], "local") ? 1 : !strcmp(argv[1], "stores") ? 2 : 0;
	nr = atol(argv[2]);
	if (nr < 1 || nr > MOST || atol(argv[3]) < nr)
		return 2;
	scopes = atol(argv[3]) / nr;
#ifndef PEER
	heap = karena_open(&(struct karena_options){ .flags = KARENA_COLLECT });
	if (!heap) {
		perror("karena_open");
		return 1;
	}
#endif
	/* The first ones pay for what is made once. */
	for (i = 0; i < WARM_UP / nr + 1; i++)
		one_scope(nr, flags);
	ns = time_ns();
	for (i = 0; i < scopes; i++)
		one_scope(nr, flags);
	ns = time_ns() - ns;
	printf("ps=%lld ", ns * 1000 / (scopes * nr));
	return 0;
}
