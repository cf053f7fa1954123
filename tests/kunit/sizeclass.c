// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that the tables of the size classes are Go's, and that size to class,
 * offset to index and the sizes that callers get follow from them: each size
 * and each offset is tried.  The model is Go's table as text, searched from the
 * start; it shares nothing with the generated one.
 */
#include "test.h"

static const struct {
	u16 size;
	u8 pages;
} go_classes[] = {
	{ 8, 1 }, { 16, 1 }, { 24, 1 }, { 32, 1 }, { 48, 1 }, { 64, 1 }, { 80, 1 },
	{ 96, 1 }, { 112, 1 }, { 128, 1 }, { 144, 1 }, { 160, 1 }, { 176, 1 },
	{ 192, 1 }, { 208, 1 }, { 224, 1 }, { 240, 1 }, { 256, 1 }, { 288, 1 },
	{ 320, 1 }, { 352, 1 }, { 384, 1 }, { 416, 1 }, { 448, 1 }, { 480, 1 },
	{ 512, 1 }, { 576, 1 }, { 640, 1 }, { 704, 1 }, { 768, 1 }, { 896, 1 },
	{ 1024, 1 }, { 1152, 1 }, { 1280, 1 }, { 1408, 2 }, { 1536, 1 }, { 1792, 2 },
	{ 2048, 1 }, { 2304, 2 }, { 2688, 1 }, { 3072, 3 }, { 3200, 2 }, { 3456, 3 },
	{ 4096, 1 }, { 4864, 3 }, { 5376, 2 }, { 6144, 3 }, { 6528, 4 }, { 6784, 5 },
	{ 6912, 6 }, { 8192, 1 }, { 9472, 7 }, { 9728, 6 }, { 10240, 5 },
	{ 10880, 4 }, { 12288, 3 }, { 13568, 5 }, { 14336, 7 }, { 16384, 2 },
	{ 18432, 9 }, { 19072, 7 }, { 20480, 5 }, { 21760, 8 }, { 24576, 3 },
	{ 27264, 10 }, { 28672, 7 }, { 32768, 4 },
};

/* Class of a size in the model: the first that is large enough. */
static unsigned int go_class(size_t size)
{
	unsigned int i = 0;

	while (go_classes[i].size < size)
		i++;
	return i + 1;
}

static void table_is_gos(struct kunit *test)
{
	unsigned int class, bytes;

	KUNIT_ASSERT_EQ(test, ARRAY_SIZE(go_classes) + 1, KARENA_NR_CLASSES);
	for (class = 1; class < KARENA_NR_CLASSES; class++) {
		bytes = go_classes[class - 1].pages * 8192;
		KUNIT_EXPECT_EQ(test, karena_class_size[class], go_classes[class - 1].size);
		KUNIT_EXPECT_EQ(test, karena_class_pages[class], go_classes[class - 1].pages);
		KUNIT_EXPECT_EQ(test, karena_class_objects[class],
				bytes / go_classes[class - 1].size);
	}
	KUNIT_EXPECT_EQ(test, karena_class_size[0], 0);
	KUNIT_EXPECT_EQ(test, karena_class_pages[0], 0);
	KUNIT_EXPECT_EQ(test, karena_class_objects[0], 0);
}

/* What is not in a model, but must hold for any table. */
static void table_is_sound(struct kunit *test)
{
	unsigned int class, size, span;

	for (class = 1; class < KARENA_NR_CLASSES; class++) {
		size = karena_class_size[class];
		span = karena_class_pages[class] * KARENA_PAGE_SIZE;
		KUNIT_EXPECT_GT(test, size, karena_class_size[class - 1]);
		KUNIT_EXPECT_EQ(test, size % 8, 0);
		KUNIT_EXPECT_LE(test, karena_class_objects[class], 1024);
		/* Go's rule: at most an eighth of a span is left over. */
		KUNIT_EXPECT_LE_MSG(test, span % size, span / 8, "class %u", class);
	}
	KUNIT_EXPECT_EQ(test, karena_class_size[KARENA_NR_CLASSES - 1], KARENA_MAX_SMALL);
}

static void each_size_finds_its_class(struct kunit *test)
{
	unsigned int size;

	for (size = 1; size <= KARENA_MAX_SMALL; size++)
		if (karena_size_to_class(size) != go_class(size))
			KUNIT_FAIL(test, "size %u: class %u, not %u", size,
				   karena_size_to_class(size), go_class(size));
	KUNIT_EXPECT_EQ(test, karena_size_to_class(0), 1);
}

/* The model can tell: a neighbouring class is not accepted. */
static void model_tells_classes_apart(struct kunit *test)
{
	KUNIT_EXPECT_NE(test, go_class(1024), go_class(1025));
	KUNIT_EXPECT_EQ(test, go_class(1025), go_class(1152));
	KUNIT_EXPECT_EQ(test, go_class(KARENA_MAX_SMALL), KARENA_NR_CLASSES - 1);
}

static void each_offset_finds_its_object(struct kunit *test)
{
	struct karena_span span = {};
	unsigned int class, offset, size;

	for (class = 1; class < KARENA_NR_CLASSES; class++) {
		size = karena_class_size[class];
		span.magic = karena_class_magic[class];
		for (offset = 0; offset < karena_class_pages[class] * KARENA_PAGE_SIZE; offset++)
			if (karena_span_index(&span, offset) != offset / size ||
			    karena_is_start(offset, span.magic) != !(offset % size))
				break;
		KUNIT_EXPECT_EQ_MSG(test, offset, karena_class_pages[class] * KARENA_PAGE_SIZE,
				    "class %u: offset %u is in object %u", class, offset,
				    karena_span_index(&span, offset));
	}
}

static void magazines_are_bounded(struct kunit *test)
{
	unsigned int class, cap;

	KUNIT_EXPECT_EQ(test, karena_class_magazine(0), 0);
	for (class = 1; class < KARENA_NR_CLASSES; class++) {
		cap = karena_class_magazine(class);
		KUNIT_EXPECT_GE(test, cap, 4);
		KUNIT_EXPECT_LE(test, cap, KARENA_MAGAZINE);
		if (karena_class_size[class] < 512)
			KUNIT_EXPECT_EQ(test, cap % 64, 0);
		KUNIT_EXPECT_LE(test, cap * karena_class_size[class], SZ_128K);
	}
}

static bool size_is_served(struct karena_heap *heap, size_t size, unsigned int flags)
{
	size_t want = go_classes[go_class(size) - 1].size;
	void *object = karena_alloc(heap, size, flags, GFP_KERNEL);
	bool ok;

	if (!object)
		return false;
	ok = karena_usable_size(heap, object) == want &&
	     IS_ALIGNED((unsigned long)object, 8) && kt_zeroed(object, want) &&
	     (size % 16 || IS_ALIGNED((unsigned long)object, 16)) &&
	     (size < KARENA_MAX_SMALL || IS_ALIGNED((unsigned long)object, PAGE_SIZE));
	memset(object, 0xff, want);
	return karena_free(heap, object) && ok;
}

/* Sizes below 16 without pointers are the tiny allocator's: see tiny.c. */
static void each_size_is_served(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	unsigned int size;

	for (size = 1; size <= KARENA_MAX_SMALL; size++) {
		/* With detectors each size to 2 KiB, and a few of each class. */
		if (KT_SLOW && size > 2048 && size % 64 > 1)
			continue;
		if (!size_is_served(heap, size, 0))
			KUNIT_FAIL(test, "size %u is not served right", size);
		if (size >= 16 && !size_is_served(heap, size, KARENA_NOSCAN))
			KUNIT_FAIL(test, "size %u is not served right without pointers", size);
	}
	kt_expect_empty(test, heap);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(table_is_gos),
	KUNIT_CASE(table_is_sound),
	KUNIT_CASE(each_size_finds_its_class),
	KUNIT_CASE(model_tells_classes_apart),
	KUNIT_CASE(each_offset_finds_its_object),
	KUNIT_CASE(magazines_are_bounded),
	KUNIT_CASE(each_size_is_served),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_sizeclass",
	.test_cases = cases,
};

kunit_test_suite(suite);
