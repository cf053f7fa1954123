// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that kernel code which works in the heap of a program loses nothing to the
 * collector, at the points of a cycle where it could: what it got shortly before the
 * snapshot, while the program forgot it, and what it overwrites after that.  Each is
 * done twice, with the barrier and without the part of it that is needed, which the
 * check has to notice.  And that memory which leaves the heap meanwhile is not touched.
 *
 * There is no process here: stores of a program are plain ones to its memory, in pages
 * that count as written.
 */
#include <linux/slab.h>

#include "gc.h"
#include "kmod/user/user.h"

#define SLOTS	8

static struct {
	struct karena_heap *heap;
	unsigned long __user *table;	/* pinned, and scanned between ROOTS and MARKED */
	void __user *held;		/* by the kernel, or the program */
	int section;
} world;

static struct karena_heap *user_heap(struct kunit *test)
{
	const struct karena_setup setup = {
		.flags = KARENA_SETUP_COLLECT, .window = SZ_16M, .limit = SZ_16M, .name = "kunit",
	};
	struct karena_uheap *uh = karena_uheap_create(&setup, NULL);
	struct karena_gc_params params;

	KUNIT_ASSERT_FALSE(test, IS_ERR(uh));
	KUNIT_ASSERT_EQ(test, karena_gc_get(&uh->heap, &params), 0);
	params.percent = -1;
	params.check = true;
	KUNIT_ASSERT_EQ(test, karena_gc_set(&uh->heap, &params), 0);
	return &uh->heap;
}

/* As a program does it. */
static void plain_store(unsigned long __user *slot, void __user *value)
{
	struct karena_heap *heap = world.heap;

	*(unsigned long *)karena_memory_at(heap->map, heap->base, (unsigned long)slot) =
		(unsigned long)value;
}

/* An object that only the first word of a table refers to. */
static void world_begin(struct kunit *test)
{
	int section;

	world.heap = user_heap(test);
	section = karena_enter(world.heap);
	world.table = karena_user_new(world.heap, NULL, SLOTS * sizeof(*world.table));
	/* Of a size of its own: nothing marks its span. */
	world.held = karena_user_new(world.heap, NULL, 640);
	KUNIT_ASSERT_EQ(test, karena_user_pin(world.heap, world.table), 0);
	KUNIT_ASSERT_EQ(test, karena_user_store(world.heap, world.table, world.held), 0);
	karena_exit(world.heap, section);
}

/* --- what happens in a cycle; at its end the object is where marking has been --- */

static void hand_over(struct karena_heap *heap, enum karena_point point)
{
	if (point != KARENA_POINT_MARKED)
		return;
	plain_store(&world.table[1], world.held);
	karena_exit(heap, world.section);
}

static void load(struct karena_heap *heap, enum karena_point point)
{
	if (point == KARENA_POINT_READY) {
		world.section = karena_enter(heap);
		world.held = karena_user_load(heap, world.table);
		plain_store(world.table, NULL);
	}
	hand_over(heap, point);
}

static void read(struct karena_heap *heap, enum karena_point point)
{
	/* The word is not aligned in the copy. */
	u8 copy[SLOTS * sizeof(*world.table)];

	if (point == KARENA_POINT_READY) {
		plain_store(&world.table[2], world.held);
		world.section = karena_enter(heap);
		karena_user_read(heap, (void __user *)world.table + 3, copy, sizeof(copy) - 3);
		plain_store(world.table, NULL);
		plain_store(&world.table[2], NULL);
	}
	hand_over(heap, point);
}

static void look_up(struct karena_heap *heap, enum karena_point point)
{
	if (point == KARENA_POINT_READY) {
		plain_store(world.table, NULL);
		world.section = karena_enter(heap);
		karena_user_size(heap, world.held);
	}
	hand_over(heap, point);
}

static void make(struct karena_heap *heap, enum karena_point point)
{
	if (point == KARENA_POINT_READY) {
		world.section = karena_enter(heap);
		world.held = karena_user_new(heap, NULL, 768);
	}
	hand_over(heap, point);
}

static void make_later(struct karena_heap *heap, enum karena_point point)
{
	if (point == KARENA_POINT_ROOTS) {
		world.section = karena_enter(heap);
		world.held = karena_user_new(heap, NULL, 768);
	}
	hand_over(heap, point);
}

static void store_over(struct karena_heap *heap, enum karena_point point)
{
	if (point == KARENA_POINT_ROOTS) {
		world.section = karena_enter(heap);
		karena_user_store(heap, world.table, NULL);
	}
	hand_over(heap, point);
}

static void write_over(struct karena_heap *heap, enum karena_point point)
{
	u8 bytes[3] = {};

	if (point == KARENA_POINT_ROOTS) {
		world.section = karena_enter(heap);
		karena_user_write(heap, (void __user *)world.table + 2, bytes, sizeof(bytes));
	}
	hand_over(heap, point);
}

/* Runs a cycle with a bug in it; whether something would have been lost. */
static bool loses(struct kunit *test, enum karena_plant plant,
		  void (*hook)(struct karena_heap *heap, enum karena_point point))
{
	struct karena_gc_stats stats;
	int section;

	world_begin(test);
	karena_hook = hook;
	WRITE_ONCE(karena_planted, plant);
	KUNIT_EXPECT_EQ(test, karena_collect(world.heap, true), 0);
	WRITE_ONCE(karena_planted, KARENA_PLANT_NONE);
	karena_hook = NULL;
	section = karena_enter(world.heap);
	/* The check keeps what it finds. */
	KUNIT_EXPECT_GE(test, karena_user_size(world.heap, world.held), 640);
	karena_exit(world.heap, section);
	karena_gc_stats(world.heap, &stats);
	karena_user_unpin(world.heap, world.table);
	karena_heap_put(world.heap);
	return stats.lost;
}

static void barrier_loses_nothing(struct kunit *test)
{
	static const struct {
		const char *name;
		enum karena_plant plant;
		void (*hook)(struct karena_heap *heap, enum karena_point point);
	} cases[] = {
		{ "load", KARENA_PLANT_NO_LOAD_SHADE, load },
		{ "read", KARENA_PLANT_NO_LOAD_SHADE, read },
		{ "look up", KARENA_PLANT_NO_LOAD_SHADE, look_up },
		{ "make", KARENA_PLANT_WHITE_ALLOC, make },
		{ "make later", KARENA_PLANT_WHITE_ALLOC, make_later },
		{ "store over", KARENA_PLANT_NO_OLD_SHADE, store_over },
		{ "write over", KARENA_PLANT_NO_OLD_SHADE, write_over },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		KUNIT_EXPECT_TRUE_MSG(test, loses(test, cases[i].plant, cases[i].hook),
				      "%s: nobody notices the bug", cases[i].name);
		KUNIT_EXPECT_FALSE_MSG(test, loses(test, KARENA_PLANT_NONE, cases[i].hook),
				       "%s: something is lost", cases[i].name);
	}
}

/* --- memory that goes --- */

#define AREA	SZ_2M

/* Large objects come and go, and their memory with them. */
static int come_and_go(struct kt_thread *thread)
{
	struct karena_heap *heap = thread->arg;
	unsigned int i, steps = kt_steps(2000);
	void __user *object;
	int section;

	for (i = 0; i < steps; i++) {
		section = karena_enter(heap);
		object = karena_user_new(heap, NULL, 1 + kt_below(&thread->rnd, SZ_256K));
		if (object)
			karena_free_addr(heap, (unsigned long)object);
		karena_exit(heap, section);
		if (i % 4 == 3)
			karena_reclaim(heap);
	}
	WRITE_ONCE(world.section, 1);
	return 0;
}

/* Somebody who was there, and does not know that. */
static int look_around(struct kt_thread *thread)
{
	struct karena_heap *heap = thread->arg;
	static u8 bytes[5000];
	void __user *at;
	int section;

	memset(bytes, 1, sizeof(bytes));
	while (!READ_ONCE(world.section)) {
		at = (void __user *)(heap->base + kt_below(&thread->rnd, AREA));
		section = karena_enter(heap);
		karena_user_write(heap, at, bytes, kt_below(&thread->rnd, sizeof(bytes)));
		karena_user_read(heap, at, bytes, kt_below(&thread->rnd, sizeof(bytes)));
		karena_user_load(heap, at);
		karena_user_store(heap, at, NULL);
		karena_exit(heap, section);
	}
	return 0;
}

static int come_or_look(struct kt_thread *thread)
{
	return thread->index ? look_around(thread) : come_and_go(thread);
}

static void memory_may_go(struct kunit *test)
{
	struct karena_heap *heap = user_heap(test);

	world.section = 0;
	KUNIT_EXPECT_EQ(test, kt_threads(test, 2, come_or_look, heap), 0);
	kt_expect_live(test, heap, 0);
	karena_heap_put(heap);
}

/* --- what is not for such heaps --- */

static void others_are_refused(struct kunit *test)
{
	struct karena_heap *heap = user_heap(test);
	static void *root;
	int section;

	KUNIT_EXPECT_EQ(test, karena_root_add(heap, &root, 1), -EINVAL);
	KUNIT_EXPECT_NULL(test, karena_user_type(heap, 1));
	section = karena_enter(heap);
	KUNIT_EXPECT_FALSE(test, karena_user_new(heap, NULL, 0));
	KUNIT_EXPECT_FALSE(test, karena_user_new(heap, NULL, SZ_1G));
	KUNIT_EXPECT_FALSE(test, karena_user_new(heap, NULL, SIZE_MAX));
	karena_exit(heap, section);
	KUNIT_EXPECT_EQ(test, PTR_ERR(karena_from_fd(-1)), -EBADF);
	karena_heap_put(heap);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_SLOW(barrier_loses_nothing),
	KUNIT_CASE_SLOW(memory_may_go),
	KUNIT_CASE(others_are_refused),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_gc_user",
	.test_cases = cases,
};

kunit_test_suite(suite);
