// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that a wrong free is seen, counted under its reason, and changes
 * nothing else: all numbers of the heap are compared before and after, and the
 * contents of what lies around.
 */
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "test.h"

/* A free of @addr is refused for @why, and nothing but the count of it moves. */
static void expect_refused(struct kunit *test, struct karena_heap *heap, const void *addr,
			   enum karena_reject why)
{
	struct karena_heap_info before, after;

	kt_info(heap, &before);
	KUNIT_EXPECT_FALSE_MSG(test, karena_free(heap, addr), "%p was freed", addr);
	kt_info(heap, &after);
	KUNIT_EXPECT_EQ_MSG(test, after.rejects[why], before.rejects[why] + 1,
			    "reason %d for %p", why, addr);
	before.rejects[why]++;
	KUNIT_EXPECT_MEMEQ(test, &before, &after, sizeof(before));
}

/* An object that is filled, and full of it until it is freed. */
static struct kt_object filled(struct kunit *test, struct karena_heap *heap, size_t size)
{
	struct kt_object object = { .size = size, .id = size };

	object.addr = karena_alloc(heap, size, 0, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, object.addr);
	kt_fill(&object);
	return object;
}

static void expect_freed(struct kunit *test, struct karena_heap *heap,
			 struct kt_object *object)
{
	KUNIT_EXPECT_TRUE(test, kt_intact(object));
	KUNIT_EXPECT_TRUE(test, karena_free(heap, object->addr));
}

static void interior(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	struct kt_object object;
	unsigned int class;

	for (class = 1; class < KARENA_NR_CLASSES; class++) {
		size_t size = karena_class_size[class];

		object = filled(test, heap, size);
		expect_refused(test, heap, object.addr + 1, KARENA_REJECT_INTERIOR);
		expect_refused(test, heap, object.addr + size / 2, KARENA_REJECT_INTERIOR);
		expect_refused(test, heap, object.addr + size - 1, KARENA_REJECT_INTERIOR);
		KUNIT_EXPECT_EQ(test, karena_usable_size(heap, object.addr + 1), 0);
		KUNIT_EXPECT_EQ(test, karena_usable_size(heap, object.addr), size);
		expect_freed(test, heap, &object);
		expect_refused(test, heap, object.addr + size / 2, KARENA_REJECT_INTERIOR);
	}
	kt_expect_empty(test, heap);
}

/* What is left over at the end of a span belongs to no object. */
static void behind_the_last_object(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	struct kt_object object;
	unsigned int class;
	struct karena_span *span;

	for (class = 1; class < KARENA_NR_CLASSES; class++) {
		size_t size = karena_class_size[class];
		size_t bytes = karena_class_pages[class] * KARENA_PAGE_SIZE;
		u8 *end;

		if (!(bytes % size))
			continue;
		object = filled(test, heap, size);
		span = karena_span_at(heap, (unsigned long)object.addr);
		end = (u8 *)span->base + bytes;
		expect_refused(test, heap, end - bytes % size, KARENA_REJECT_NOT_OBJECT);
		expect_refused(test, heap, end - 1, KARENA_REJECT_NOT_OBJECT);
		KUNIT_EXPECT_EQ(test, karena_usable_size(heap, end - bytes % size), 0);
		expect_freed(test, heap, &object);
	}
	kt_expect_empty(test, heap);
}

static void twice_from_a_magazine(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	struct kt_object before, object, after;
	unsigned int class;

	for (class = 1; class < KARENA_NR_CLASSES; class++) {
		size_t size = karena_class_size[class];

		before = filled(test, heap, size);
		object = filled(test, heap, size);
		after = filled(test, heap, size);
		expect_freed(test, heap, &object);
		expect_refused(test, heap, object.addr, KARENA_REJECT_DOUBLE);
		expect_refused(test, heap, object.addr, KARENA_REJECT_DOUBLE);
		KUNIT_EXPECT_EQ(test, karena_usable_size(heap, object.addr), 0);
		expect_freed(test, heap, &before);
		expect_freed(test, heap, &after);
	}
	kt_expect_empty(test, heap);
}

/* The object went back to its span, which another one keeps. */
static void twice_from_a_span(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	struct kt_object object, other;

	object = filled(test, heap, 128);
	other = filled(test, heap, 128);
	expect_freed(test, heap, &object);
	karena_reclaim(heap);
	expect_refused(test, heap, object.addr, KARENA_REJECT_DOUBLE);
	expect_refused(test, heap, object.addr + 8, KARENA_REJECT_INTERIOR);
	expect_freed(test, heap, &other);
	/* Now the span is gone. */
	karena_reclaim(heap);
	expect_refused(test, heap, object.addr, KARENA_REJECT_NOT_OBJECT);
	kt_expect_empty(test, heap);
}

static void twice_large(struct kunit *test)
{
	static const size_t sizes[] = { 32769, 65536, 65537, 1000000 };
	struct karena_heap *heap = kt_heap(test, 0);
	struct kt_object object;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		object = filled(test, heap, sizes[i]);
		expect_refused(test, heap, object.addr + 1, KARENA_REJECT_INTERIOR);
		expect_refused(test, heap, object.addr + 8192, KARENA_REJECT_INTERIOR);
		expect_refused(test, heap, object.addr + sizes[i] - 1, KARENA_REJECT_INTERIOR);
		expect_freed(test, heap, &object);
		/* Nothing is there any more once the worker is done. */
		flush_work(&heap->reap_work);
		expect_refused(test, heap, object.addr, KARENA_REJECT_NOT_OBJECT);
		expect_refused(test, heap, object.addr + 8, KARENA_REJECT_NOT_OBJECT);
	}
	kt_expect_empty(test, heap);
}

/* The second free comes before the worker. */
static void twice_large_at_once(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	struct kt_object object = filled(test, heap, 100000);
	struct karena_heap_info info;

	expect_freed(test, heap, &object);
	KUNIT_EXPECT_FALSE(test, karena_free(heap, object.addr));
	kt_info(heap, &info);
	KUNIT_EXPECT_EQ(test, info.rejects[KARENA_REJECT_DOUBLE] +
			info.rejects[KARENA_REJECT_NOT_OBJECT], 1);
	kt_expect_empty(test, heap);
}

/* In a span of the heap, but never handed out. */
static void never_allocated(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	struct kt_object object = filled(test, heap, 64);
	struct karena_span *span = karena_span_at(heap, (unsigned long)object.addr);
	unsigned int i;

	for (i = 0; i < span->nelems; i++)
		if (span->base + i * 64 != (unsigned long)object.addr)
			expect_refused(test, heap, (void *)(span->base + i * 64),
				       KARENA_REJECT_DOUBLE);
	expect_freed(test, heap, &object);
	kt_expect_empty(test, heap);
}

static void no_address_of_a_heap(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	struct kt_object object = filled(test, heap, 64);
	const void *slab = kunit_kmalloc(test, 64, GFP_KERNEL), *mapped = vmalloc(100000);
	unsigned int on_stack;
	const void *addrs[] = {
		slab, mapped, mapped + 8192, &on_stack, karena_free, no_address_of_a_heap,
		schedule, heap, &karena_class_size, (void *)1, (void *)8, (void *)0x10000,
		(void *)PAGE_OFFSET, (void *)(PAGE_OFFSET - 1), (void *)(PAGE_OFFSET - 8192),
		(void *)LONG_MAX, (void *)(1UL << 63), ERR_PTR(-ENOMEM), (void *)ULONG_MAX,
	};
	unsigned int i;

	KUNIT_EXPECT_NOT_NULL(test, mapped);
	for (i = 0; i < ARRAY_SIZE(addrs); i++) {
		expect_refused(test, heap, addrs[i], KARENA_REJECT_NOT_OBJECT);
		KUNIT_EXPECT_EQ(test, karena_usable_size(heap, addrs[i]), 0);
	}
	vfree(mapped);
	expect_freed(test, heap, &object);
	kt_expect_empty(test, heap);
}

static void of_another_heap(struct kunit *test)
{
	static const size_t sizes[] = { 8, 64, 1000, 32768, 40000 };
	struct karena_heap *heap = kt_heap(test, 0), *other = kt_heap(test, 0);
	struct kt_object object;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		object = filled(test, heap, sizes[i]);
		expect_refused(test, other, object.addr, KARENA_REJECT_OTHER_HEAP);
		expect_refused(test, other, object.addr + 4, KARENA_REJECT_OTHER_HEAP);
		KUNIT_EXPECT_EQ(test, karena_usable_size(other, object.addr), 0);
		expect_freed(test, heap, &object);
	}
	/* Mapped objects are known to their own heap only. */
	object = filled(test, heap, 100000);
	expect_refused(test, other, object.addr, KARENA_REJECT_NOT_OBJECT);
	expect_freed(test, heap, &object);
	kt_expect_empty(test, heap);
	kt_expect_empty(test, other);
}

/* The wrong ones among many are counted, the right ones freed. */
static void in_bulk(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	void *objects[64], *wrong[64];
	unsigned int i;

	KUNIT_ASSERT_EQ(test, karena_alloc_bulk(heap, 48, 0, GFP_KERNEL, 64, objects), 64);
	for (i = 0; i < 64; i++)
		wrong[i] = objects[i] + (i % 4 ? 0 : 8);
	wrong[1] = NULL;
	wrong[2] = wrong[3];
	KUNIT_EXPECT_EQ(test, karena_free_bulk(heap, 64, wrong), 16 + 1);
	kt_expect_live(test, heap, 16 + 2);
	for (i = 0; i < 64; i += 4)
		KUNIT_EXPECT_TRUE(test, karena_free(heap, objects[i]));
	KUNIT_EXPECT_EQ(test, karena_free_bulk(heap, 2, objects + 1), 0);
	kt_expect_empty(test, heap);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(interior),
	KUNIT_CASE(behind_the_last_object),
	KUNIT_CASE(twice_from_a_magazine),
	KUNIT_CASE(twice_from_a_span),
	KUNIT_CASE(twice_large),
	KUNIT_CASE(twice_large_at_once),
	KUNIT_CASE(never_allocated),
	KUNIT_CASE(no_address_of_a_heap),
	KUNIT_CASE(of_another_heap),
	KUNIT_CASE(in_bulk),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_frees",
	.test_cases = cases,
};

kunit_test_suite(suite);
