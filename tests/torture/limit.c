// SPDX-License-Identifier: GPL-2.0
/*
 * A collected heap that is full of what is alive says so, each time and at once;
 * and has room again when the references are gone and a cycle is over.
 */
#include <linux/err.h>
#include <linux/sched.h>

#include "torture.h"

#define LIMIT		SZ_1M
#define MORE_TRIES	1000
#define LARGE_SIZE	SZ_128K

struct block {
	struct block *next;
	unsigned long rest[7];
};

struct full {
	struct karena_heap *heap;
	struct karena_type *type;
	struct block *root;
};

static bool add(struct full *f)
{
	int section = karena_enter(f->heap);
	struct block *block = karena_new(f->type, 0, GFP_KERNEL);

	if (block) {
		karena_store(f->heap, &block->next, f->root);
		karena_store(f->heap, &f->root, block);
	}
	karena_exit(f->heap, section);
	return block;
}

static bool add_large(struct full *f)
{
	int section = karena_enter(f->heap);
	void *object = karena_alloc(f->heap, LARGE_SIZE, 0, GFP_KERNEL);

	karena_exit(f->heap, section);
	return object;
}

/* How many objects there is room for; more than can be is an error. */
static unsigned int fill(struct full *f)
{
	unsigned int n = 0;

	while (n <= LIMIT / sizeof(struct block) && add(f)) {
		n++;
		cond_resched();
	}
	return n;
}

static void expect_full(struct full *f, unsigned int n)
{
	unsigned int i, more = 0;

	for (i = 0; i < MORE_TRIES; i++)
		more += add(f) + add_large(f);
	tt_equal("objects that a full heap still had", more, 0);
	tt_collect_twice(f->heap);
	tt_equal("objects alive in a full heap", tt_live(f->heap), n);
}

static void drop(struct full *f)
{
	int section = karena_enter(f->heap);

	karena_store(f->heap, &f->root, NULL);
	karena_exit(f->heap, section);
	tt_collect_twice(f->heap);
	tt_equal("objects alive in an empty heap", tt_live(f->heap), 0);
}

static void fill_and_drop(struct full *f)
{
	unsigned int first = fill(f), again;

	if (first < LIMIT / sizeof(struct block) / 2 || first > LIMIT / sizeof(struct block))
		tt_equal("objects in 1 MiB", first, LIMIT / sizeof(struct block));
	expect_full(f, first);
	drop(f);
	if (!add_large(f))
		tt_fail("no room for a large object in an empty heap");
	again = fill(f);
	if (again < first / 2)
		tt_equal("objects the second time", again, first);
	drop(f);
	tt_note("%u objects, then %u", first, again);
}

/* Cycles begin by themselves: who never drops below the limit need not see it. */
static void garbage_goes_in_time(struct full *f)
{
	struct karena_gc_params params;
	unsigned int i, failed = 0;
	int section;

	karena_gc_get(f->heap, &params);
	params.percent = 100;
	params.min_heap = LIMIT / 8;
	tt_equal("error of karena_gc_set()", karena_gc_set(f->heap, &params), 0);
	for (i = 0; i < 2 * LIMIT / sizeof(struct block); i++) {
		section = karena_enter(f->heap);
		if (!karena_new(f->type, 0, GFP_KERNEL))
			failed++;
		karena_exit(f->heap, section);
		cond_resched();
	}
	tt_note("%u of %u objects of garbage found no room before a cycle had made it", failed, i);
	tt_collect_twice(f->heap);
	tt_equal("objects alive of garbage", tt_live(f->heap), 0);
	if (!add(f))
		tt_fail("no room where all was garbage");
	drop(f);
}

void tt_limit(void)
{
	static const u32 refs[] = { offsetof(struct block, next) };
	const struct karena_layout_attr layout = {
		.name = "block", .size = sizeof(struct block), .refs = refs, .nr_refs = 1,
	};
	struct full f = { .heap = tt_heap(LIMIT, false) };

	if (!f.heap)
		return;
	f.type = karena_type_register(f.heap, &layout, NULL);
	if (IS_ERR(f.type) || karena_root_add(f.heap, &f.root, 1)) {
		tt_fail("no type or root");
	} else {
		fill_and_drop(&f);
		garbage_goes_in_time(&f);
	}
	tt_heap_end(f.heap);
}
