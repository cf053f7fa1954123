// SPDX-License-Identifier: GPL-2.0
/*
 * A program whose objects come from functions that are known, for t_pprof: with malloc(),
 * which may be karena's.  Says where it is, and goes on at each line that it reads.
 *
 *	keep	20000 objects of 64 bytes, which stay
 *	waste	20000 of 128 bytes, which go at once
 *	large	200 of 100000 bytes, which stay
 *	later	10000 of 64 bytes, after the first line, which stay
 */
#include <stdio.h>
#include <stdlib.h>

static void *kept[40000];
static unsigned int nr;

/* Not folded into who calls it, and not gone from the stack before it returns. */
#define HERE __attribute__((noinline, noclone))
#define STAY(object) __asm__ volatile("" : : "r"(object) : "memory")

/* Its name is not one for linking. */
static HERE void *hidden(size_t size)
{
	void *object = malloc(size);	/* hidden allocates */

	STAY(object);
	return object;
}

HERE void keep(void)
{
	void *object = malloc(64);	/* keep allocates */

	STAY(object);
	kept[nr++] = object;
}

HERE void waste(void)
{
	void *object = hidden(128);

	STAY(object);
	free(object);
}

HERE void large(void)
{
	void *object = malloc(100000);	/* large allocates */

	STAY(object);
	kept[nr++] = object;
}

HERE void later(void)
{
	void *object = malloc(64);	/* later allocates */

	STAY(object);
	kept[nr++] = object;
}

static void pause_here(void)
{
	char line[16];

	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		exit(0);
}

int main(void)
{
	unsigned int i;

	for (i = 0; i < 20000; i++) {
		keep();
		waste();
		if (i % 100 == 0)
			large();
	}
	pause_here();
	for (i = 0; i < 10000; i++)
		later();
	pause_here();
	return 0;
}
