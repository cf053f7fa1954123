// SPDX-License-Identifier: GPL-2.0
/*
 * Proves what becomes of memory that a heap does not need: how much the worker gives back
 * and how much it keeps, what the shrinker may do and what not; that limits
 * are told of when they are passed; and that what explains a heap adds up, with garbage
 * that is not swept yet.  Frees are seen by what the heap holds.
 */
#include <linux/sched/mm.h>

#include "gc.h"
#include "kmod/observe/stats.h"

#define LARGE	(4 * KARENA_PAGE_SIZE + 1)	/* five pages each */
#define PAGES	5u

static unsigned long nr_free(struct karena_heap *heap)
{
	return READ_ONCE(heap->free.npages);
}

static void make_large(struct kunit *test, struct karena_heap *heap, void **objects,
		       unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		objects[i] = karena_alloc(heap, LARGE, KARENA_NOZERO, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, objects[i]);
	}
}

/* The worker has nothing left to do. */
static void finish(struct karena_heap *heap)
{
	do {
		flush_delayed_work(&heap->scavenger.work);
		cond_resched();
	} while (delayed_work_pending(&heap->scavenger.work));
}

static void worker(struct kunit *test, bool eager)
{
	struct karena_heap *heap = kt_heap(test, 0);
	static void *objects[512];
	unsigned int i;

	heap->scavenger.eager = eager;
	make_large(test, heap, objects, ARRAY_SIZE(objects));
	for (i = 16; i < ARRAY_SIZE(objects); i++)
		karena_free(heap, objects[i]);
	finish(heap);
	/* A MiB and the like is kept, and no worker for less than twice that. */
	KUNIT_EXPECT_LE(test, nr_free(heap), 2 * SZ_1M / KARENA_PAGE_SIZE);
	KUNIT_EXPECT_GE(test, nr_free(heap), SZ_1M / KARENA_PAGE_SIZE - PAGES);
	KUNIT_EXPECT_GE(test, atomic64_read(&heap->scavenger.returned),
			496 * PAGES - 2 * SZ_1M / KARENA_PAGE_SIZE);
	for (i = 0; i < 16; i++)
		karena_free(heap, objects[i]);
	kt_expect_empty(test, heap);
}

static void background(struct kunit *test)
{
	worker(test, false);
}

static void eager(struct kunit *test)
{
	worker(test, true);
}

/* What the next cycle may use is kept, and a tenth of it. */
static void goal_is_kept(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	const unsigned long goal = SZ_8M / KARENA_PAGE_SIZE;
	static void *objects[512];
	unsigned int i;

	WRITE_ONCE(heap->goal_pages, goal);
	make_large(test, heap, objects, ARRAY_SIZE(objects));
	for (i = 0; i < ARRAY_SIZE(objects); i++)
		karena_free(heap, objects[i]);
	karena_scavenge_want(heap);
	finish(heap);
	KUNIT_EXPECT_EQ(test, nr_free(heap), goal + goal / 10);
	WRITE_ONCE(heap->goal_pages, 0);
	kt_expect_empty(test, heap);
}

/* Calls the shrinker as reclaim does; lockdep sees it there. */
static unsigned long shrink(struct karena_heap *heap, gfp_t gfp, unsigned long most)
{
	unsigned long before = nr_free(heap);

	fs_reclaim_acquire(gfp);
	karena_shrink(gfp, most);
	fs_reclaim_release(gfp);
	return before - nr_free(heap);
}

static void free_some(struct kunit *test, struct karena_heap *heap)
{
	static void *objects[32];
	unsigned int i;

	make_large(test, heap, objects, ARRAY_SIZE(objects));
	for (i = 0; i < ARRAY_SIZE(objects); i++)
		karena_free(heap, objects[i]);
	finish(heap);
	KUNIT_EXPECT_GE(test, nr_free(heap), ARRAY_SIZE(objects) * PAGES);
}

static void shrinker_waits_for_nobody(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);

	free_some(test, heap);
	mutex_lock(&heap->reap_lock);
	KUNIT_EXPECT_EQ(test, shrink(heap, GFP_KERNEL, 3), 3);
	mutex_unlock(&heap->reap_lock);
	KUNIT_EXPECT_GT(test, shrink(heap, GFP_KERNEL, ULONG_MAX), 0);
	KUNIT_EXPECT_EQ(test, nr_free(heap), 0);
	kt_expect_empty(test, heap);
}

static void shrinker_enters_no_file_system(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	unsigned int nofs;

	free_some(test, heap);
	KUNIT_EXPECT_EQ(test, shrink(heap, GFP_NOFS, ULONG_MAX), 0);
	KUNIT_EXPECT_EQ(test, shrink(heap, GFP_NOIO, ULONG_MAX), 0);
	nofs = memalloc_nofs_save();
	KUNIT_EXPECT_EQ(test, shrink(heap, current_gfp_context(GFP_KERNEL), ULONG_MAX), 0);
	memalloc_nofs_restore(nofs);
	KUNIT_EXPECT_GT(test, shrink(heap, GFP_KERNEL, ULONG_MAX), 0);
	kt_expect_empty(test, heap);
}

/* --- limits --- */

static void over_and_back(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	static void *objects[64];
	unsigned int i;

	heap->soft_limit = SZ_1M;
	make_large(test, heap, objects, ARRAY_SIZE(objects));
	KUNIT_EXPECT_EQ(test, karena_over(heap), KARENA_OVER_HEAP);
	KUNIT_EXPECT_EQ(test, READ_ONCE(heap->over), KARENA_OVER_HEAP);
	for (i = 0; i < ARRAY_SIZE(objects); i++)
		karena_free(heap, objects[i]);
	/* Nothing is worth keeping then. */
	karena_scavenge_want(heap);
	finish(heap);
	KUNIT_EXPECT_EQ(test, karena_over(heap), 0);
	KUNIT_EXPECT_EQ(test, READ_ONCE(heap->over), 0);
	kt_expect_empty(test, heap);
}

static void policy_fails(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	static void *objects[64];
	unsigned int i, n;

	heap->soft_limit = SZ_1M;
	heap->policy = KARENA_OVER_FAIL;
	for (n = 0; n < ARRAY_SIZE(objects); n++) {
		objects[n] = karena_alloc(heap, LARGE, KARENA_NOZERO, GFP_KERNEL);
		if (!objects[n])
			break;
	}
	KUNIT_EXPECT_EQ(test, n, SZ_1M / KARENA_PAGE_SIZE / PAGES);
	KUNIT_EXPECT_EQ(test, karena_over(heap), 0);
	for (i = 0; i < n; i++)
		karena_free(heap, objects[i]);
	kt_expect_empty(test, heap);
}

/* --- what explains a heap --- */

struct picture {
	struct karena_explain all;
	struct karena_explain_class class[KARENA_NR_CLASSES];
	u64 live, garbage, sum;		/* of the classes */
};

static struct picture *picture;

static void look(struct karena_heap *heap)
{
	const struct karena_explain_class *c;

	memset(picture, 0, sizeof(*picture));
	karena_explain_heap(heap, &picture->all, picture->class);
	for (c = picture->class; c < picture->class + KARENA_NR_CLASSES; c++) {
		picture->live += c->live_bytes;
		picture->garbage += c->garbage_bytes;
		picture->sum += c->live_bytes + c->garbage_bytes + c->cached_bytes +
				c->free_bytes + c->tail_bytes;
	}
}

static void expect_sum(struct kunit *test, struct karena_heap *heap)
{
	look(heap);
	KUNIT_EXPECT_EQ(test, picture->sum + picture->all.free_bytes, picture->all.held_bytes);
	KUNIT_EXPECT_EQ(test, picture->all.held_bytes,
			atomic_long_read(&heap->held) * KARENA_PAGE_SIZE);
}

static void adds_up(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	struct rnd_state rnd;
	static void *objects[4096];
	unsigned int i;

	kt_seed(test, &rnd);
	picture = kunit_kzalloc(test, sizeof(*picture), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, picture);
	for (i = 0; i < ARRAY_SIZE(objects); i++)
		objects[i] = karena_alloc(heap, kt_any_size(&rnd),
					  kt_below(&rnd, 2) * KARENA_NOSCAN, GFP_KERNEL);
	expect_sum(test, heap);
	for (i = 0; i < ARRAY_SIZE(objects); i++)
		if (kt_below(&rnd, 3)) {
			karena_free(heap, objects[i]);
			objects[i] = NULL;
		}
	finish(heap);
	flush_work(&heap->reap_work);
	finish(heap);
	expect_sum(test, heap);
	for (i = 0; i < ARRAY_SIZE(objects); i++)
		karena_free(heap, objects[i]);
	kt_expect_empty(test, heap);
	expect_sum(test, heap);
	KUNIT_EXPECT_EQ(test, picture->all.held_bytes, 0);
}

#define NODES	1000u

static void look_unswept(struct karena_heap *heap, enum karena_point point)
{
	if (point != KARENA_POINT_SWEEP)
		return;
	karena_hook = NULL;
	look(heap);
}

static void garbage_shows(struct kunit *test)
{
	struct karena_heap *heap = gc_heap(test);
	struct karena_type *type = node_type(test, heap);
	struct node *root[1] = { NULL }, *node;
	unsigned int i;
	int section;

	picture = kunit_kzalloc(test, sizeof(*picture), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, picture);
	KUNIT_ASSERT_EQ(test, karena_root_add(heap, root, 1), 0);
	section = karena_enter(heap);
	for (i = 0; i < 2 * NODES; i++) {
		node = karena_new(type, 0, GFP_KERNEL);
		KUNIT_EXPECT_NOT_NULL(test, node);
		/* Each other one is on the list. */
		if (!node || i % 2)
			continue;
		karena_store(heap, &node->ref[0], root[0]);
		karena_store(heap, &root[0], node);
	}
	karena_exit(heap, section);
	karena_hook = look_unswept;
	KUNIT_EXPECT_EQ(test, karena_collect(heap, true), 0);
	KUNIT_EXPECT_NULL(test, karena_hook);
	KUNIT_EXPECT_EQ(test, picture->garbage, NODES * sizeof(struct node));
	KUNIT_EXPECT_EQ(test, picture->live, NODES * sizeof(struct node));
	KUNIT_EXPECT_EQ(test, picture->sum + picture->all.free_bytes, picture->all.held_bytes);
	expect_sum(test, heap);
	KUNIT_EXPECT_EQ(test, picture->garbage, 0);
	KUNIT_EXPECT_EQ(test, karena_root_del(heap, root), 0);
	gc_heap_end(test, heap);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_SLOW(background),
	KUNIT_CASE(eager),
	KUNIT_CASE(goal_is_kept),
	KUNIT_CASE(shrinker_waits_for_nobody),
	KUNIT_CASE(shrinker_enters_no_file_system),
	KUNIT_CASE(over_and_back),
	KUNIT_CASE(policy_fails),
	KUNIT_CASE(adds_up),
	KUNIT_CASE(garbage_shows),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_memory",
	.test_cases = cases,
};

kunit_test_suite(suite);
