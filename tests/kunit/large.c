// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that objects above 32 KiB are whole pages of their own, zero and
 * usable to their last byte; that those above 64 KiB are had by callers who may
 * sleep only, may be freed by any, and are gone when the worker has run; that
 * sizes beyond reason are refused.  Wrong frees of them are in frees.c.
 */
#include <linux/mm.h>
#include <linux/vmalloc.h>

#include "test.h"

static const size_t sizes[] = {
	32769, 40000, 40960, 49152, 57345, 65535, 65536,	/* contiguous */
	65537, 100000, SZ_1M, SZ_1M + 1, 10 * SZ_1M,		/* mapped */
};

#define LARGEST_CONTIGUOUS 65536

static void sizes_are_served(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t usable = round_up(sizes[i], KARENA_PAGE_SIZE);
		struct kt_object object = { .size = usable, .id = i };

		object.addr = karena_alloc(heap, sizes[i], 0, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, object.addr);
		KUNIT_EXPECT_EQ(test, karena_usable_size(heap, object.addr), usable);
		KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(object.addr));
		KUNIT_EXPECT_EQ(test, is_vmalloc_addr(object.addr),
				sizes[i] > LARGEST_CONTIGUOUS);
		KUNIT_EXPECT_TRUE_MSG(test, kt_zeroed(object.addr, usable), "%zu", sizes[i]);
		kt_fill(&object);
		KUNIT_EXPECT_TRUE(test, kt_intact(&object));
		KUNIT_EXPECT_EQ(test, karena_usable_size(heap, object.addr + 8), 0);
		kt_expect_live(test, heap, 1);
		KUNIT_EXPECT_TRUE(test, karena_free(heap, object.addr));
		flush_work(&heap->reap_work);
		KUNIT_EXPECT_EQ(test, karena_usable_size(heap, object.addr), 0);
	}
	kt_expect_empty(test, heap);
}

/* All at once, filled, so that none lies over another. */
static void sizes_stand_side_by_side(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	struct kt_object objects[3 * ARRAY_SIZE(sizes)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		objects[i].size = sizes[i % ARRAY_SIZE(sizes)];
		objects[i].id = i;
		objects[i].addr = karena_alloc(heap, objects[i].size, KARENA_NOZERO, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, objects[i].addr);
		kt_fill(&objects[i]);
	}
	kt_expect_live(test, heap, ARRAY_SIZE(objects));
	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		KUNIT_EXPECT_TRUE_MSG(test, kt_intact(&objects[i]), "object %u", i);
		KUNIT_EXPECT_TRUE(test, karena_free(heap, objects[i].addr));
	}
	kt_expect_empty(test, heap);
}

/* What may not sleep gets contiguous objects only; anybody may free all. */
static void atomic_callers(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	void *mapped = karena_alloc(heap, 200000, 0, GFP_KERNEL), *object, *none;
	struct karena_heap_info info;
	bool freed, freed_mapped;

	KUNIT_ASSERT_NOT_NULL(test, mapped);
	local_irq_disable();
	object = karena_alloc(heap, LARGEST_CONTIGUOUS, 0, GFP_ATOMIC);
	none = karena_alloc(heap, LARGEST_CONTIGUOUS + 1, 0, GFP_ATOMIC);
	freed = object && karena_free(heap, object);
	freed_mapped = karena_free(heap, mapped);
	local_irq_enable();
	KUNIT_EXPECT_NOT_NULL(test, object);
	KUNIT_EXPECT_NULL(test, none);
	KUNIT_EXPECT_TRUE(test, freed);
	KUNIT_EXPECT_TRUE(test, freed_mapped);
	KUNIT_EXPECT_NULL(test, karena_alloc(heap, LARGEST_CONTIGUOUS + 1, 0, GFP_NOWAIT));
	kt_info(heap, &info);
	KUNIT_EXPECT_EQ(test, info.failed, 2);
	kt_expect_empty(test, heap);
}

static void refused(struct kunit *test, struct karena_heap *heap, size_t size)
{
	struct karena_heap_info before, after;

	kt_info(heap, &before);
	KUNIT_EXPECT_NULL_MSG(test, karena_alloc(heap, size, 0, GFP_KERNEL), "size %zu", size);
	kt_info(heap, &after);
	KUNIT_EXPECT_EQ(test, after.failed, before.failed + 1);
	KUNIT_EXPECT_EQ(test, after.live_objects, 0);
	KUNIT_EXPECT_EQ(test, after.held_bytes, 0);
}

static void beyond_reason(struct kunit *test)
{
	static const size_t absurd[] = {
		SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 8191, SIZE_MAX / 2, (size_t)1 << 62,
		(size_t)1 << 50, (size_t)1 << 43,
	};
	struct karena_heap *heap = kt_heap(test, 0);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(absurd); i++)
		refused(test, heap, absurd[i]);
	kt_expect_empty(test, heap);
}

static void beyond_the_limit(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, SZ_256K);

	refused(test, heap, SZ_256K + 1);
	refused(test, heap, SZ_1M);
	refused(test, heap, SIZE_MAX);
	kt_expect_empty(test, heap);
}

/* Room for one: each is had as soon as the one before was freed. */
static void room_again_at_once(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, SZ_256K);
	unsigned int i, got = 0;
	void *object;

	for (i = 0; i < 60; i++) {
		object = karena_alloc(heap, i % 3 ? SZ_256K : 40000, KARENA_NOZERO, GFP_KERNEL);
		got += object && karena_free(heap, object);
	}
	KUNIT_EXPECT_EQ(test, got, 60);
	kt_expect_empty(test, heap);
}

#define SLOTS 32

static void random_against_model(struct kunit *test)
{
	struct kt_object *objects = kunit_kcalloc(test, SLOTS, sizeof(*objects), GFP_KERNEL);
	struct karena_heap *heap = kt_heap(test, 0);
	unsigned int n = kt_steps(3000), i;
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, objects);
	kt_seed(test, &rnd);
	for (i = 0; i < n + SLOTS; i++) {
		/* In the end each of them once. */
		struct kt_object *object = &objects[i < n ? kt_below(&rnd, SLOTS) : i - n];

		if (object->addr) {
			KUNIT_ASSERT_TRUE_MSG(test, kt_intact(object), "step %u", i);
			KUNIT_ASSERT_TRUE_MSG(test, karena_free(heap, object->addr), "step %u", i);
			object->addr = NULL;
		} else if (i < n) {
			object->size = 32769 + kt_below(&rnd, 100000);
			object->id = i;
			object->addr = karena_alloc(heap, object->size, 0, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL_MSG(test, object->addr, "step %u", i);
			KUNIT_ASSERT_TRUE_MSG(test, kt_zeroed(object->addr, object->size),
					      "step %u", i);
			kt_fill(object);
		}
	}
	kt_expect_empty(test, heap);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(sizes_are_served),
	KUNIT_CASE(sizes_stand_side_by_side),
	KUNIT_CASE(atomic_callers),
	KUNIT_CASE(beyond_reason),
	KUNIT_CASE(beyond_the_limit),
	KUNIT_CASE(room_again_at_once),
	KUNIT_CASE(random_against_model),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_large",
	.test_cases = cases,
};

kunit_test_suite(suite);
