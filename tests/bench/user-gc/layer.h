/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Objects that nobody frees, from karena or, with PEER_BOEHM, from Boehm's collector:
 * so that a benchmark is one program.  To be included by one file of it.
 *
 *	static struct kind trees = KIND(struct tree);
 *
 *	layer_begin(0);
 *	kind_begin(&trees, struct tree, left, right);
 *	tree = make(&trees);
 *
 * Flags are those of karena_open(), beside KARENA_COLLECT.
 */
#ifndef LAYER_H
#define LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <karena.h>

#ifdef PEER_BOEHM
#define GC_THREADS
#include <gc.h>
#endif

#define KIND(object) { .size = sizeof(object) }

/* What objects of one sort are made of. */
struct kind {
	size_t size;
	struct karena_type type;
};

static inline void *need(void *object)
{
	if (!object) {
		perror("out of memory");
		exit(1);
	}
	return object;
}

#ifdef PEER_BOEHM

#define kind_begin(kind, ...)

static inline void layer_begin(unsigned int flags)
{
	(void)flags;
	GC_INIT();
}

static inline void *make(struct kind *kind)
{
	return need(GC_MALLOC(kind->size));
}

static inline void *make_bytes(size_t size)
{
	return need(GC_MALLOC_ATOMIC(size));
}

static inline void layer_report(void)
{
	printf("cycles=%lu ", (unsigned long)GC_get_gc_no());
}

#else

static struct karena *heap;

static inline void layer_begin(unsigned int flags)
{
	struct karena_options options = { .flags = KARENA_COLLECT | flags };

	heap = need(karena_open(&options));
}

static inline void kind_set(struct kind *kind, struct karena_type type)
{
	kind->type = type;
	if (!kind->type.id)
		need(NULL);
}

#define kind_begin(kind, ...) kind_set(kind, KARENA_TYPE(heap, __VA_ARGS__))

static inline void *make(struct kind *kind)
{
	return need(karena_new(heap, kind->type));
}

static inline void *make_bytes(size_t size)
{
	return need(karena_alloc_flags(heap, size, KARENA_ALLOC_NOSCAN));
}

/* What the kernel says of its cycles and stops. */
static inline void layer_report(void)
{
	struct karena_gc_info info = { .size = sizeof(info) };
	unsigned int i;

	if (karena_gc_stats(heap, &info))
		need(NULL);
	printf("cycles=%llu stops=%llu put_off=%llu stop_max_us=%llu mark_us=%llu ",
	       info.cycles, info.stops, info.put_off, info.stop_max_ns / 1000,
	       info.mark_ns / 1000);
	printf("assist_us=%llu protect_us=%llu stop_us=", info.assist_ns / 1000,
	       info.protect_ns / 1000);
	for (i = 0; i < KARENA_GC_BUCKETS; i++)
		printf("%llu%s", info.stop_us[i], i + 1 < KARENA_GC_BUCKETS ? "," : " ");
}

#endif /* PEER_BOEHM */

#endif /* LAYER_H */
