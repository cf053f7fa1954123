// SPDX-License-Identifier: GPL-2.0
/*
 * Proves of weak references and cleanups of kernel callers: a reference leads to its
 * object as long as that is there, and to nothing from then on, whenever it is asked
 * for; who gets the object has it, and all that it refers to; cleanups are called once,
 * in order, after the object is gone and not before, or not at all when they are taken
 * back; whatever the cycle is doing.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mutex.h>

#include "gc.h"

#define MOST	64u

static struct {
	struct karena_heap *heap;
	struct karena_type *type;
	struct node *root[MOST];
	struct karena_weak weak[MOST];
	struct karena_cleanup cleanup[MOST];
	struct completion seen;
	struct mutex lock;		/* of weak references that are made anew */
	enum karena_point point;
	unsigned int order[MOST];	/* of cleanups, as they were called */
	atomic_t nr;
	atomic_t wrong;
} world;

static void world_begin(struct kunit *test)
{
	memset(&world, 0, sizeof(world));
	init_completion(&world.seen);
	mutex_init(&world.lock);
	world.heap = gc_heap(test);
	world.type = node_type(test, world.heap);
	KUNIT_ASSERT_EQ(test, karena_root_add(world.heap, world.root, ARRAY_SIZE(world.root)), 0);
}

static void world_end(struct kunit *test)
{
	karena_hook = NULL;
	gc_heap_end(test, world.heap);
	KUNIT_EXPECT_EQ(test, atomic_read(&world.wrong), 0);
}

static struct node *new_node(unsigned long number, struct node *child)
{
	struct node *node = karena_new(world.type, 0, GFP_KERNEL);

	if (node) {
		node->number = number;
		node->check = ~number;
		karena_store(world.heap, &node->ref[0], child);
	}
	return node;
}

/* A node and its child at a root; false without memory. */
static bool make_pair(unsigned int i)
{
	int section = karena_enter(world.heap);
	struct node *node = new_node(i, new_node(i + MOST, NULL));

	karena_store(world.heap, &world.root[i], node);
	karena_exit(world.heap, section);
	return node && node->ref[0];
}

static void set_root(unsigned int i, struct node *node)
{
	int section = karena_enter(world.heap);

	karena_store(world.heap, &world.root[i], node);
	karena_exit(world.heap, section);
}

/* What make_pair() made, and nothing else. */
static bool is_whole(const struct node *node, unsigned int i)
{
	const struct node *child = node->ref[0];

	return node->number == i && node->check == ~(unsigned long)i && child &&
	       child->number == i + MOST && child->check == ~(unsigned long)(i + MOST);
}

static bool is_there(unsigned int i)
{
	int section = karena_enter(world.heap);
	struct node *node = karena_weak_get(world.heap, &world.weak[i]);

	if (node && !is_whole(node, i))
		atomic_inc(&world.wrong);
	karena_exit(world.heap, section);
	return node;
}

/* --- weak references --- */

static void weak_until_it_is_gone(struct kunit *test)
{
	struct karena_gc_stats stats;
	unsigned int i;

	world_begin(test);
	for (i = 0; i < MOST; i++) {
		KUNIT_ASSERT_TRUE(test, make_pair(i));
		KUNIT_EXPECT_EQ(test, karena_weak_add(world.heap, &world.weak[i], world.root[i]),
				0);
	}
	karena_collect(world.heap, true);
	for (i = 0; i < MOST; i += 2)
		set_root(i, NULL);
	karena_collect(world.heap, true);
	for (i = 0; i < MOST; i++)
		KUNIT_EXPECT_EQ(test, is_there(i), i % 2);
	KUNIT_EXPECT_EQ(test, live_objects(world.heap), MOST);
	karena_gc_stats(world.heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.weak, MOST / 2);
	KUNIT_EXPECT_EQ(test, stats.weak_cleared, MOST / 2);
	for (i = 0; i < MOST; i++)
		karena_weak_del(world.heap, &world.weak[i]);
	for (i = 0; i < MOST; i++)
		KUNIT_EXPECT_FALSE(test, is_there(i));
	karena_gc_stats(world.heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.weak, 0);
	world_end(test);
}

static void several_of_one_object(struct kunit *test)
{
	struct karena_weak *weak = world.weak;
	struct node *node;
	unsigned int i;

	world_begin(test);
	KUNIT_ASSERT_TRUE(test, make_pair(0));
	node = world.root[0];
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ(test, karena_weak_add(world.heap, &weak[i], node), 0);
	/* The first of them, one in between, and the last. */
	karena_weak_del(world.heap, &weak[0]);
	karena_weak_del(world.heap, &weak[2]);
	karena_weak_del(world.heap, &weak[3]);
	karena_collect(world.heap, true);
	KUNIT_EXPECT_TRUE(test, karena_weak_get(world.heap, &weak[1]) == node);
	set_root(0, NULL);
	karena_collect(world.heap, true);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_NULL(test, karena_weak_get(world.heap, &weak[i]));
	KUNIT_EXPECT_EQ(test, live_objects(world.heap), 0);
	world_end(test);
}

static void nothing(struct karena_cleanup *cleanup)
{
}

static void what_cannot_be_is_refused(struct kunit *test)
{
	struct karena_heap *plain;
	struct node *node;
	void *tiny;

	world_begin(test);
	KUNIT_ASSERT_TRUE(test, make_pair(0));
	node = world.root[0];
	KUNIT_EXPECT_EQ(test, karena_weak_add(world.heap, world.weak, NULL), -ENOENT);
	KUNIT_EXPECT_EQ(test, karena_weak_add(world.heap, world.weak, &node->ref[1]), -ENOENT);
	KUNIT_EXPECT_EQ(test, karena_weak_add(world.heap, world.weak, &world), -ENOENT);
	tiny = karena_alloc(world.heap, 8, KARENA_NOSCAN, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, tiny);
	KUNIT_EXPECT_EQ(test, karena_cleanup_add(world.heap, world.cleanup, tiny, nothing),
			-EINVAL);
	plain = karena_heap_create("plain", NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(plain));
	KUNIT_EXPECT_EQ(test, karena_weak_add(plain, world.weak, node), -EINVAL);
	KUNIT_EXPECT_EQ(test, karena_cleanup_add(plain, world.cleanup, node, nothing), -EINVAL);
	karena_heap_put(plain);
	world_end(test);
}

/* Whoever gets the object, at any point, puts it where it stays. */
static void get_and_keep(struct karena_heap *heap, enum karena_point point)
{
	struct node *node;
	int section;

	if (point != world.point)
		return;
	section = karena_enter(heap);
	node = karena_weak_get(heap, world.weak);
	karena_store(heap, &world.root[1], node);
	karena_exit(heap, section);
}

static void got_at_each_point(struct kunit *test)
{
	enum karena_point point;
	unsigned int got = 0;

	for (point = KARENA_POINT_PHASE; point <= KARENA_POINT_SWEEP; point++) {
		world_begin(test);
		KUNIT_ASSERT_TRUE(test, make_pair(0));
		KUNIT_EXPECT_EQ(test, karena_weak_add(world.heap, world.weak, world.root[0]), 0);
		set_root(0, NULL);
		world.point = point;
		karena_hook = get_and_keep;
		karena_collect(world.heap, true);
		karena_hook = NULL;
		got += !!world.root[1];
		KUNIT_EXPECT_EQ(test, is_there(0), !!world.root[1]);
		/* With all that it refers to. */
		KUNIT_EXPECT_EQ(test, live_objects(world.heap), world.root[1] ? 2 : 0);
		set_root(1, NULL);
		karena_collect(world.heap, true);
		KUNIT_EXPECT_FALSE(test, is_there(0));
		world_end(test);
	}
	/* All but the last two, where it has been settled. */
	KUNIT_EXPECT_EQ(test, got, KARENA_POINT_SWEEP - 1);
}

/* In a section that began while it marked, and stores when that is over. */
static int keep_late(void *arg)
{
	int section = karena_enter(world.heap);
	struct node *node = karena_weak_get(world.heap, world.weak);

	complete(&world.seen);
	/* READ_ONCE: set by the cycle, which waits for us then. */
	while (READ_ONCE(world.heap->head.phase) == KARENA_MARK)
		usleep_range(100, 200);
	karena_store(world.heap, &world.root[1], node);
	karena_exit(world.heap, section);
	return 0;
}

static void start_late(struct karena_heap *heap, enum karena_point point)
{
	struct task_struct *task;

	if (point != KARENA_POINT_MARKED)
		return;
	karena_hook = NULL;
	task = kthread_run(keep_late, NULL, "karena-weak");
	if (!IS_ERR(task))
		wait_for_completion(&world.seen);
}

/* Whether what was got so late is kept; a check of the cycle says if it is not, and keeps it. */
static bool is_kept_late(struct kunit *test, enum karena_plant plant)
{
	struct karena_gc_stats stats;

	world_begin(test);
	KUNIT_EXPECT_TRUE(test, make_pair(0));
	KUNIT_EXPECT_EQ(test, karena_weak_add(world.heap, world.weak, world.root[0]), 0);
	set_root(0, NULL);
	karena_hook = start_late;
	WRITE_ONCE(karena_planted, plant);
	karena_collect(world.heap, true);
	WRITE_ONCE(karena_planted, KARENA_PLANT_NONE);
	karena_hook = NULL;
	karena_gc_stats(world.heap, &stats);
	KUNIT_EXPECT_EQ(test, live_objects(world.heap), 2);
	karena_heap_put(world.heap);
	return !stats.lost;
}

static void got_late_is_kept(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, is_kept_late(test, KARENA_PLANT_NONE));
	KUNIT_EXPECT_FALSE(test, is_kept_late(test, KARENA_PLANT_WEAK_UNSHADED));
}

/* --- cleanups --- */

static void called(struct karena_cleanup *cleanup)
{
	unsigned int i = cleanup - world.cleanup;

	world.order[atomic_fetch_inc(&world.nr)] = i;
	/* Gone before it is told. */
	if (world.weak[i / 2].special.target)
		atomic_inc(&world.wrong);
}

/* Until what is due has been called. */
static void wait_for_cleanups(void)
{
	struct karena_gc_stats stats;

	do {
		flush_work(&world.heap->gc->specials.work);
		karena_gc_stats(world.heap, &stats);
	} while (stats.cleanups_due);
	flush_work(&world.heap->gc->specials.work);
}

/* Two of each of 32 objects. */
static void add_cleanups(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < MOST; i++) {
		if (i % 2 == 0) {
			KUNIT_ASSERT_TRUE(test, make_pair(i / 2));
			KUNIT_EXPECT_EQ(test, karena_weak_add(world.heap, &world.weak[i / 2],
							      world.root[i / 2]), 0);
		}
		KUNIT_EXPECT_EQ(test, karena_cleanup_add(world.heap, &world.cleanup[i],
							 world.root[i / 2], called), 0);
	}
}

static void cleanups_once_and_in_order(struct kunit *test)
{
	struct karena_gc_stats stats;
	unsigned int i, times[MOST] = {};

	world_begin(test);
	add_cleanups(test);
	karena_collect(world.heap, true);
	wait_for_cleanups();
	KUNIT_EXPECT_EQ(test, atomic_read(&world.nr), 0);
	for (i = 0; i < MOST / 4; i++)
		set_root(i, NULL);
	karena_collect(world.heap, true);
	wait_for_cleanups();
	KUNIT_EXPECT_EQ(test, atomic_read(&world.nr), MOST / 2);
	karena_collect(world.heap, true);
	wait_for_cleanups();
	KUNIT_EXPECT_EQ(test, atomic_read(&world.nr), MOST / 2);
	for (i = 0; i < MOST / 2; i++) {
		times[world.order[i]]++;
		/* Of one object: the first one first. */
		if (i % 2)
			KUNIT_EXPECT_EQ(test, world.order[i], world.order[i - 1] + 1);
	}
	for (i = 0; i < MOST; i++)
		KUNIT_EXPECT_EQ(test, times[i], i < MOST / 2);
	karena_gc_stats(world.heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.cleanups, MOST / 2);
	KUNIT_EXPECT_EQ(test, stats.cleanups_done, MOST / 2);
	world_end(test);
	/* The others, with the heap. */
	KUNIT_EXPECT_EQ(test, atomic_read(&world.nr), MOST);
}

static void cleanups_taken_back(struct kunit *test)
{
	unsigned int i, kept = 0;

	world_begin(test);
	add_cleanups(test);
	for (i = 0; i < MOST; i += 2)
		KUNIT_EXPECT_TRUE(test, karena_cleanup_del(world.heap, &world.cleanup[i]));
	memset(world.root, 0, sizeof(world.root));
	karena_collect(world.heap, true);
	/* Some are due, some are over: each is one of both. */
	for (i = 1; i < MOST; i += 2)
		kept += karena_cleanup_del(world.heap, &world.cleanup[i]);
	wait_for_cleanups();
	KUNIT_EXPECT_EQ(test, atomic_read(&world.nr) + kept, MOST / 2);
	KUNIT_EXPECT_EQ(test, live_objects(world.heap), 0);
	world_end(test);
	KUNIT_EXPECT_EQ(test, atomic_read(&world.nr) + kept, MOST / 2);
}

/* --- races --- */

/* Drops objects that others may be asking for, and makes new ones. */
static int change(struct kt_thread *thread, unsigned int slot)
{
	int err = 0;

	if (kt_below(&thread->rnd, 2)) {
		set_root(slot, NULL);
	} else if (!is_there(slot)) {
		mutex_lock(&world.lock);
		karena_weak_del(world.heap, &world.weak[slot]);
		err = !make_pair(slot) ||
		      karena_weak_add(world.heap, &world.weak[slot], world.root[slot]);
		mutex_unlock(&world.lock);
	}
	return err;
}

/* Asks, and keeps what there is for a while, or no more. */
static int ask(unsigned int slot, bool keep)
{
	struct node *node;
	int section, err;

	/* Not while it is made anew. */
	mutex_lock(&world.lock);
	section = karena_enter(world.heap);
	node = karena_weak_get(world.heap, &world.weak[slot]);
	mutex_unlock(&world.lock);
	err = node && !is_whole(node, slot);
	karena_store(world.heap, &world.root[MOST / 2 + slot], keep ? node : NULL);
	karena_exit(world.heap, section);
	return err;
}

static int change_and_ask(struct kt_thread *thread)
{
	unsigned int i, slot, n = kt_steps(4000);
	int errors = 0;

	for (i = 0; i < n && !errors; i++) {
		slot = kt_below(&thread->rnd, MOST / 2);
		if (thread->index % 2)
			errors = ask(slot, kt_below(&thread->rnd, 2));
		else
			errors = change(thread, slot);
		if (i % 64 == 0)
			karena_collect(world.heap, thread->index == 0);
		cond_resched();
	}
	return errors;
}

static void asked_for_while_it_dies(struct kunit *test)
{
	struct karena_gc_stats stats;

	world_begin(test);
	KUNIT_EXPECT_EQ(test, kt_threads(test, 4, change_and_ask, NULL), 0);
	karena_gc_stats(world.heap, &stats);
	KUNIT_EXPECT_GT(test, stats.weak_cleared, 0);
	memset(world.root, 0, sizeof(world.root));
	karena_collect(world.heap, true);
	karena_collect(world.heap, true);
	KUNIT_EXPECT_EQ(test, live_objects(world.heap), 0);
	world_end(test);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(weak_until_it_is_gone),
	KUNIT_CASE(several_of_one_object),
	KUNIT_CASE(what_cannot_be_is_refused),
	KUNIT_CASE(got_at_each_point),
	KUNIT_CASE(got_late_is_kept),
	KUNIT_CASE(cleanups_once_and_in_order),
	KUNIT_CASE(cleanups_taken_back),
	KUNIT_CASE(asked_for_while_it_dies),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_gc_special",
	.test_cases = cases,
};

kunit_test_suite(suite);
