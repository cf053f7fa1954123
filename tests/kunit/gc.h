/* SPDX-License-Identifier: GPL-2.0 */
/* What the suites of the collector have in common: heaps and nodes. */
#ifndef _KARENA_TEST_GC_H
#define _KARENA_TEST_GC_H

#include "kmod/gc/gc.h"
#include "test.h"

#define NODE_REFS	4

/* What the graphs are made of. */
struct node {
	struct node *ref[NODE_REFS];
	unsigned long number;
	unsigned long check;		/* ~number */
};

/* A collected heap whose cycles are asked for, and checked. */
struct karena_heap *gc_heap(struct kunit *test);

/* Nothing was lost, no mark is left; the heap goes. */
void gc_heap_end(struct kunit *test, struct karena_heap *heap);

struct karena_type *node_type(struct kunit *test, struct karena_heap *heap);

/* When nothing is cached. */
u64 live_objects(struct karena_heap *heap);

/* Between cycles: a mark that is left would hide its object from the next one. */
void gc_expect_clean(struct kunit *test, struct karena_heap *heap);

#endif /* _KARENA_TEST_GC_H */
