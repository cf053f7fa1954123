// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that a cycle comes to its end and the heap with it, whatever happens at
 * each of its points: a heap that goes, centrals that are made, objects that were
 * in somebody's hands when the magazines were emptied, births at any time, words that
 * markers are to shade, shades too late for them, frees of what is not swept yet; that
 * a heap at its limit fails or waits as it is told; and that a section that does not
 * end is reported.
 */
#include <linux/delay.h>
#include <linux/kthread.h>

#include "gc.h"

static struct {
	struct karena_heap *heap;
	struct karena_type *type;
	struct node *root[2];
	enum karena_point point;	/* at which something happens */
	struct completion seen;
	u32 id;
	unsigned long slot[64];
	unsigned int nr;
	unsigned long tiny;
	struct karena_tiny_cache block;
	struct karena_type *made;
	bool left;			/* words, after a slice */
} world;

static void world_begin(struct kunit *test)
{
	memset(&world, 0, sizeof(world));
	init_completion(&world.seen);
	world.heap = gc_heap(test);
	world.type = node_type(test, world.heap);
	KUNIT_ASSERT_EQ(test, karena_root_add(world.heap, world.root, ARRAY_SIZE(world.root)), 0);
}

/* What is handed out twice is noticed at the second time, and counted. */
static void world_end(struct kunit *test)
{
	struct karena_heap_info info;

	karena_hook = NULL;
	kt_info(world.heap, &info);
	KUNIT_EXPECT_EQ(test, info.rejects[KARENA_REJECT_DOUBLE], 0);
	gc_heap_end(test, world.heap);
}

/* A list of @n nodes at a root; how many could be made. */
static unsigned int make_list(unsigned int n)
{
	int section = karena_enter(world.heap);
	struct node *node;
	unsigned int i;

	for (i = 0; i < n; i++) {
		node = karena_new(world.type, 0, GFP_KERNEL);
		if (!node)
			break;
		node->number = i;
		node->check = ~node->number;
		karena_store(world.heap, &node->ref[0], world.root[0]);
		karena_store(world.heap, &world.root[0], node);
	}
	karena_exit(world.heap, section);
	return i;
}

static void drop_list(void)
{
	int section = karena_enter(world.heap);

	karena_store(world.heap, &world.root[0], NULL);
	karena_exit(world.heap, section);
}

/* How many nodes of the list are whole. */
static unsigned int walk_list(void)
{
	int section = karena_enter(world.heap);
	struct node *node = world.root[0];
	unsigned int n = 0;

	for (; node && node->check == ~node->number; node = node->ref[0])
		n++;
	karena_exit(world.heap, section);
	return n;
}

/* --- a heap goes while a cycle is at work --- */

static int put_heap(void *heap)
{
	karena_heap_put(heap);
	complete(&world.seen);
	return 0;
}

static bool is_registered(u32 id)
{
	struct karena_heap *heap = karena_heap_find(id, false);

	karena_heap_put(heap);
	return heap;
}

/*
 * Lets the heap go, and the cycle on only when its end has begun.  No reference is
 * taken to find out: the cycle's own worker could be the one that drops the last,
 * and would wait for itself.
 */
static void heap_goes(struct karena_heap *heap, enum karena_point point)
{
	struct task_struct *task;

	if (point != world.point)
		return;
	karena_hook = NULL;
	task = kthread_run(put_heap, heap, "karena-put");
	if (IS_ERR(task)) {
		complete(&world.seen);
		return;
	}
	while (refcount_read(&heap->ref))
		usleep_range(1000, 2000);
}

static void heaps_go_at_each_point(struct kunit *test)
{
	enum karena_point point;

	for (point = KARENA_POINT_PHASE; point <= KARENA_POINT_SWEEP; point++) {
		world_begin(test);
		KUNIT_ASSERT_EQ(test, make_list(2000), 2000);
		world.point = point;
		world.id = world.heap->id;
		karena_hook = heap_goes;
		/* By the worker, which the end of the heap waits for. */
		karena_collect(world.heap, false);
		wait_for_completion(&world.seen);
		KUNIT_EXPECT_FALSE(test, is_registered(world.id));
	}
	karena_hook = NULL;
}

/* --- centrals that are made while a cycle is at work --- */

static void make_central(struct karena_heap *heap, enum karena_point point)
{
	if (point == world.point)
		karena_central_get(heap, KARENA_SPC(10, 0), GFP_KERNEL);
}

static void centrals_made_at_each_point(struct kunit *test)
{
	enum karena_point point;

	for (point = KARENA_POINT_PHASE; point <= KARENA_POINT_SWEEP; point++) {
		world_begin(test);
		KUNIT_ASSERT_EQ(test, make_list(100), 100);
		world.point = point;
		karena_hook = make_central;
		karena_collect(world.heap, true);
		KUNIT_EXPECT_NOT_NULL(test, world.heap->central[KARENA_SPC(10, 0)]);
		gc_expect_clean(test, world.heap);
		karena_collect(world.heap, true);
		KUNIT_EXPECT_EQ(test, live_objects(world.heap), 100);
		world_end(test);
	}
}

/* --- what was in somebody's hands when the magazines were emptied --- */

/* As a refill that began before does it: takes slots, puts the magazine away after. */
static void refill_across(struct karena_heap *heap, enum karena_point point)
{
	struct karena_central *central = world.type->central;
	struct karena_magazine *mag;

	if (point == KARENA_POINT_PHASE) {
		world.nr = karena_central_take(central, world.slot, ARRAY_SIZE(world.slot),
					       GFP_KERNEL);
	} else if (point == KARENA_POINT_DRAINED) {
		mag = karena_depot_get_empty(central, GFP_KERNEL);
		if (!mag)
			return;
		memcpy(mag->slot, world.slot, world.nr * sizeof(world.slot[0]));
		mag->nr = world.nr;
		karena_depot_put(central, mag);
	}
}

/* Each object that is allocated has a number of its own: none comes twice. */
static void refills_across_the_drain(struct kunit *test)
{
	world_begin(test);
	KUNIT_ASSERT_EQ(test, make_list(50), 50);
	karena_hook = refill_across;
	karena_collect(world.heap, true);
	karena_hook = NULL;
	KUNIT_EXPECT_GT(test, world.nr, 0);
	KUNIT_EXPECT_EQ(test, make_list(1000), 1000);
	KUNIT_EXPECT_EQ(test, walk_list(), 1050);
	drop_list();
	karena_collect(world.heap, true);
	KUNIT_EXPECT_EQ(test, live_objects(world.heap), 0);
	world_end(test);
}

/* As an allocation that was interrupted does it: its block comes back after the drain. */
static void tiny_across(struct karena_heap *heap, enum karena_point point)
{
	struct karena_tiny_cache *tc = this_cpu_ptr(heap->tiny);

	if (point == KARENA_POINT_PHASE) {
		world.block = *tc;
		tc->block = 0;
	} else if (point == KARENA_POINT_DRAINED) {
		*tc = world.block;
	}
}

static int tiny_blocks(struct kt_thread *thread)
{
	struct kunit *test = thread->arg;
	unsigned long block, other;
	unsigned int i;
	int section, errors = 0;

	section = karena_enter(world.heap);
	world.tiny = (unsigned long)karena_alloc(world.heap, 2, KARENA_NOSCAN, GFP_KERNEL);
	karena_exit(world.heap, section);
	KUNIT_EXPECT_NE(test, world.tiny, 0);
	karena_hook = tiny_across;
	karena_collect(world.heap, true);
	karena_hook = NULL;
	block = world.block.block;
	KUNIT_EXPECT_EQ(test, block, round_down(world.tiny, KARENA_TINY_SIZE));
	/* Nobody else gets what the CPU still cuts from. */
	section = karena_enter(world.heap);
	for (i = 0; i < 2000; i++) {
		other = (unsigned long)karena_alloc(world.heap, 15, KARENA_NOSCAN, GFP_KERNEL);
		errors += other < block + KARENA_TINY_SIZE && other + 15 > block;
	}
	karena_exit(world.heap, section);
	return errors;
}

static void tiny_blocks_across_the_drain(struct kunit *test)
{
	world_begin(test);
	KUNIT_EXPECT_EQ(test, kt_on_cpu(test, 0, tiny_blocks, test), 0);
	karena_collect(world.heap, true);
	karena_collect(world.heap, true);
	world_end(test);
}

/* A tiny object from a block of before, whose CPU goes on to another one. */
static void tiny_block_goes(struct karena_heap *heap, enum karena_point point)
{
	unsigned int i;
	int section;

	if (point == KARENA_POINT_READY) {
		section = karena_enter(heap);
		world.tiny = (unsigned long)karena_alloc(heap, 8, KARENA_NOSCAN, GFP_KERNEL);
		for (i = 0; i < 10; i++)
			if (!karena_alloc(heap, 8, KARENA_NOSCAN, GFP_KERNEL))
				break;
		karena_exit(heap, section);
	} else if (point == KARENA_POINT_ENDED) {
		WRITE_ONCE(world.root[1], (struct node *)world.tiny);
	}
}

static int tiny_goes(struct kt_thread *thread)
{
	struct kunit *test = thread->arg;
	int section = karena_enter(world.heap);

	KUNIT_EXPECT_NOT_NULL(test, karena_alloc(world.heap, 8, KARENA_NOSCAN, GFP_KERNEL));
	karena_exit(world.heap, section);
	karena_hook = tiny_block_goes;
	karena_collect(world.heap, true);
	karena_hook = NULL;
	KUNIT_EXPECT_NE(test, world.tiny, 0);
	KUNIT_EXPECT_EQ(test, karena_usable_size(world.heap, (void *)world.tiny), 8);
	return 0;
}

static void tiny_blocks_of_before_are_kept(struct kunit *test)
{
	world_begin(test);
	KUNIT_EXPECT_EQ(test, kt_on_cpu(test, 0, tiny_goes, test), 0);
	world_end(test);
}

/* --- what is born when marking is over and sweeping has not begun --- */

static void born_late(struct karena_heap *heap, enum karena_point point)
{
	static const size_t sizes[] = { 640, 40000, 200000 };
	unsigned int i;
	int section;

	if (point != world.point)
		return;
	section = karena_enter(heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		world.slot[i] = (unsigned long)karena_alloc(heap, sizes[i], 0, GFP_KERNEL);
	karena_exit(heap, section);
	world.nr = ARRAY_SIZE(sizes);
}

static void births_at_each_point(struct kunit *test)
{
	enum karena_point point;
	unsigned int i;

	for (point = KARENA_POINT_READY; point <= KARENA_POINT_SWEEP; point++) {
		world_begin(test);
		KUNIT_ASSERT_EQ(test, make_list(10), 10);
		KUNIT_ASSERT_EQ(test, karena_root_add(world.heap, world.slot,
						      ARRAY_SIZE(world.slot)), 0);
		world.point = point;
		karena_hook = born_late;
		karena_collect(world.heap, true);
		karena_hook = NULL;
		KUNIT_EXPECT_EQ(test, world.nr, 3);
		for (i = 0; i < world.nr; i++)
			KUNIT_EXPECT_NE_MSG(test, karena_usable_size(world.heap,
								     (void *)world.slot[i]),
					    0, "object %u, born at point %u", i, point);
		world_end(test);
	}
}

/* --- nothing is scanned before the snapshot --- */

static void step_early(struct karena_heap *heap, enum karena_point point)
{
	int section;

	if (point >= KARENA_POINT_ROOTS)
		return;
	section = karena_enter(heap);
	karena_store(heap, &world.root[1], world.root[0]);
	karena_exit(heap, section);
	world.nr += karena_gc_step(heap, NSEC_PER_MSEC);
}

static void steps_wait_for_the_snapshot(struct kunit *test)
{
	world_begin(test);
	KUNIT_ASSERT_EQ(test, make_list(1000), 1000);
	karena_hook = step_early;
	karena_collect(world.heap, true);
	karena_hook = NULL;
	KUNIT_EXPECT_EQ(test, world.nr, 0);
	KUNIT_EXPECT_EQ(test, walk_list(), 1000);
	world_end(test);
}

/* --- words that are left for markers --- */

#define BLOCK_WORDS	8u
#define BLOCKS		(4u * SZ_4K / (BLOCK_WORDS * sizeof(long)))	/* for several slices */

/*
 * The same words again and again.  Before others mark there is a slice that ends when it
 * has seen some of them; when all is marked they are late.
 */
static void leave_words(struct karena_heap *heap, enum karena_point point)
{
	struct karena_gc *gc = heap->gc;
	struct karena_mark_work work;
	unsigned int i, at;
	int section;

	if (point != world.point)
		return;
	atomic_set(&gc->queue.words_left, world.nr);
	section = karena_enter(heap);
	for (i = 0; i < BLOCKS; i++) {
		at = i * BLOCK_WORDS % ARRAY_SIZE(world.slot);
		karena_shade_later(gc, world.slot + at, BLOCK_WORDS);
	}
	karena_exit(heap, section);
	if (point == KARENA_POINT_ROOTS)
		karena_mark_slice(gc, 0, &work);
	world.left = !llist_empty(&gc->queue.words);
}

/* Objects that nothing leads to, each with another one. */
static void make_pairs(struct kunit *test)
{
	int section = karena_enter(world.heap);
	struct node *node, *other;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(world.slot); i++) {
		node = karena_new(world.type, 0, GFP_KERNEL);
		other = karena_new(world.type, 0, GFP_KERNEL);
		KUNIT_EXPECT_TRUE(test, node && other);
		if (node)
			karena_store(world.heap, &node->ref[0], other);
		world.slot[i] = (unsigned long)node;
	}
	karena_exit(world.heap, section);
}

static void leave_at(struct kunit *test, enum karena_point point, unsigned int room)
{
	/* A slice does one before it looks at the clock. */
	unsigned int done = point == KARENA_POINT_ROOTS;

	world_begin(test);
	make_pairs(test);
	world.nr = room;
	world.point = point;
	karena_hook = leave_words;
	karena_collect(world.heap, true);
	karena_hook = NULL;
	KUNIT_EXPECT_EQ(test, world.left, room > done);
	KUNIT_EXPECT_EQ(test, live_objects(world.heap), 2 * ARRAY_SIZE(world.slot));
	KUNIT_EXPECT_TRUE(test, llist_empty(&world.heap->gc->queue.words));
	KUNIT_EXPECT_EQ(test, atomic_read(&world.heap->gc->queue.words_left), room);
	karena_collect(world.heap, true);
	KUNIT_EXPECT_EQ(test, live_objects(world.heap), 0);
	world_end(test);
}

/* With room for as many blocks as there are, for some, for none. */
static void words_left_are_shaded(struct kunit *test)
{
	static const unsigned int room[] = { BLOCKS, 100, 1, 0 };
	unsigned int i;

	static_assert(ARRAY_SIZE(world.slot) % BLOCK_WORDS == 0);
	for (i = 0; i < ARRAY_SIZE(room); i++) {
		leave_at(test, KARENA_POINT_ROOTS, room[i]);
		leave_at(test, KARENA_POINT_MARKED, room[i]);
	}
}

/* --- words that are no references are shaded when all is marked --- */

/* An old value that leads to a free slot: what an object holds that was not zeroed. */
static void shade_stale(struct karena_heap *heap, enum karena_point point)
{
	struct node *node;
	int section;

	if (point != KARENA_POINT_MARKED)
		return;
	section = karena_enter(heap);
	for (world.nr = 0; world.nr < 1000; world.nr++) {
		node = karena_new(world.type, KARENA_NOZERO, GFP_KERNEL);
		if (!node || (unsigned long)node->ref[1] == world.slot[0])
			break;
	}
	if (node)
		karena_store(heap, &node->ref[1], NULL);
	karena_exit(heap, section);
}

static void late_shades_are_worked_off(struct kunit *test)
{
	struct node *node;
	int section;

	world_begin(test);
	section = karena_enter(world.heap);
	world.slot[0] = (unsigned long)karena_alloc(world.heap, 640, 0, GFP_KERNEL);
	node = karena_new(world.type, 0, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, node);
	if (node) {
		karena_store(world.heap, &node->ref[1], (struct node *)world.slot[0]);
		karena_free(world.heap, node);
	}
	karena_free(world.heap, (void *)world.slot[0]);
	karena_exit(world.heap, section);
	karena_hook = shade_stale;
	karena_collect(world.heap, true);
	karena_hook = NULL;
	KUNIT_EXPECT_LT(test, world.nr, 1000);
	KUNIT_EXPECT_TRUE(test, llist_empty(&world.heap->gc->queue.shaded));
	karena_collect(world.heap, true);
	world_end(test);
}

/* --- frees of what is not swept yet --- */

static void free_some(struct karena_heap *heap, enum karena_point point)
{
	struct node *node, *next;
	int section;

	if (point != KARENA_POINT_SWEEP)
		return;
	section = karena_enter(heap);
	for (node = world.root[0]; node && node->ref[0]; node = node->ref[0]) {
		/* Each second one, out of the list first. */
		next = node->ref[0];
		karena_store(heap, &node->ref[0], next->ref[0]);
		world.nr += karena_free(heap, next);
		if (!node->ref[0])
			break;
	}
	karena_exit(heap, section);
	/* From the magazines to their spans. */
	karena_caches_drain(heap);
}

static void frees_before_the_sweep(struct kunit *test)
{
	unsigned int left;

	world_begin(test);
	KUNIT_ASSERT_EQ(test, make_list(3000), 3000);
	karena_hook = free_some;
	karena_collect(world.heap, true);
	karena_hook = NULL;
	left = 3000 - world.nr;
	KUNIT_EXPECT_EQ(test, world.nr, 1500);
	KUNIT_EXPECT_EQ(test, walk_list(), left);
	KUNIT_EXPECT_EQ(test, live_objects(world.heap), left);
	KUNIT_EXPECT_EQ(test, make_list(2000), 2000);
	karena_collect(world.heap, true);
	KUNIT_EXPECT_EQ(test, walk_list(), left + 2000);
	KUNIT_EXPECT_EQ(test, live_objects(world.heap), left + 2000);
	world_end(test);
}

/* --- a heap at its limit --- */

#define LIMIT	SZ_1M

static void limits_fail_or_wait(struct kunit *test)
{
	const struct karena_heap_attr attr = { .collect = true, .limit = LIMIT };
	struct karena_gc_stats before, after;
	unsigned int n;
	int section;

	world_begin(test);
	karena_heap_put(world.heap);
	world.heap = karena_heap_create("limited", &attr);
	KUNIT_ASSERT_FALSE(test, IS_ERR(world.heap));
	world.type = node_type(test, world.heap);
	KUNIT_ASSERT_EQ(test, karena_root_add(world.heap, world.root, ARRAY_SIZE(world.root)), 0);
	n = make_list(LIMIT / sizeof(struct node) + 1);
	KUNIT_EXPECT_LE(test, n, LIMIT / sizeof(struct node));
	KUNIT_EXPECT_GT(test, n, LIMIT / sizeof(struct node) / 2);
	KUNIT_EXPECT_EQ(test, walk_list(), n);

	/* All of it is alive: a cycle that frees nothing, and then it fails. */
	karena_gc_stats(world.heap, &before);
	section = karena_enter(world.heap);
	KUNIT_EXPECT_NULL(test, karena_new_wait(world.type, &section, GFP_KERNEL));
	karena_exit(world.heap, section);
	karena_gc_stats(world.heap, &after);
	KUNIT_EXPECT_GE(test, after.cycles, before.cycles + 1);

	/* None of it is. */
	drop_list();
	section = karena_enter(world.heap);
	KUNIT_EXPECT_NOT_NULL(test, karena_new_wait(world.type, &section, GFP_KERNEL));
	karena_exit(world.heap, section);
	world_end(test);
}

/* --- a section that does not end --- */

static void long_sections_are_reported(struct kunit *test)
{
	struct karena_gc_stats stats;
	int section;

	world_begin(test);
	section = karena_enter(world.heap);
	karena_collect(world.heap, false);
	do {
		msleep(20);
		karena_gc_stats(world.heap, &stats);
	} while (!stats.stuck);
	karena_exit(world.heap, section);
	karena_collect(world.heap, true);
	karena_gc_stats(world.heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.stuck, 1);
	world_end(test);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(heaps_go_at_each_point),
	KUNIT_CASE(centrals_made_at_each_point),
	KUNIT_CASE(refills_across_the_drain),
	KUNIT_CASE(tiny_blocks_across_the_drain),
	KUNIT_CASE(tiny_blocks_of_before_are_kept),
	KUNIT_CASE(births_at_each_point),
	KUNIT_CASE(steps_wait_for_the_snapshot),
	KUNIT_CASE(words_left_are_shaded),
	KUNIT_CASE(late_shades_are_worked_off),
	KUNIT_CASE(frees_before_the_sweep),
	KUNIT_CASE(limits_fail_or_wait),
	KUNIT_CASE_SLOW(long_sections_are_reported),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_gc_cycle",
	.test_cases = cases,
};

kunit_test_suite(suite);
