// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that a heap does what its callers are promised: each object is theirs
 * alone, large enough, and zero unless they said otherwise; the limit holds and
 * frees make room again; the numbers are exact while nobody is at work; the end
 * of a heap gives back every page.
 *
 * Contents are the witness: each object is filled from its own number and
 * checked before it goes, so whatever is handed out twice, or written by the
 * allocator, is seen.  Pages are watched by references of the test's own.
 */
#include <linux/mm.h>

#include "test.h"

#define SLOTS 1024

struct model {
	struct karena_heap *heap;
	struct kt_object objects[SLOTS];
	struct rnd_state rnd;
	u64 live;
	u64 allocs;
	u32 next_id;
};

static bool model_alloc(struct model *m, struct kt_object *object)
{
	unsigned int flags = kt_below(&m->rnd, 4);
	size_t size = kt_any_size(&m->rnd);
	u8 *addr = karena_alloc(m->heap, size, flags, GFP_KERNEL);
	size_t usable = addr ? karena_usable_size(m->heap, addr) : 0;

	if (!addr || usable < size || (!(flags & KARENA_NOZERO) && !kt_zeroed(addr, size)))
		return false;
	/* Use all that there is, now and then. */
	*object = (struct kt_object) {
		.addr = addr,
		.size = kt_below(&m->rnd, 2) ? usable : size,
		.id = ++m->next_id,
	};
	kt_fill(object);
	m->live++;
	m->allocs++;
	return true;
}

static bool model_free(struct model *m, struct kt_object *object)
{
	bool ok = kt_intact(object) && karena_free(m->heap, object->addr);

	object->addr = NULL;
	m->live--;
	return ok;
}

static bool model_step(struct model *m)
{
	struct kt_object *object = &m->objects[kt_below(&m->rnd, SLOTS)];

	return object->addr ? model_free(m, object) : model_alloc(m, object);
}

static void check_numbers(struct kunit *test, struct model *m)
{
	struct karena_heap_info info;

	kt_info(m->heap, &info);
	KUNIT_EXPECT_EQ(test, info.live_objects, m->live);
	KUNIT_EXPECT_EQ(test, info.allocs, m->allocs);
	KUNIT_EXPECT_EQ(test, info.frees, m->allocs - m->live);
	KUNIT_EXPECT_EQ(test, info.failed, 0);
	KUNIT_EXPECT_GE(test, info.span_bytes, info.live_bytes + info.cached_bytes);
	KUNIT_EXPECT_EQ(test, info.held_bytes - info.free_bytes, info.span_bytes);
}

static void random_against_model(struct kunit *test)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	unsigned int n = kt_steps(200000), i;

	KUNIT_ASSERT_NOT_NULL(test, m);
	m->heap = kt_heap(test, 0);
	kt_seed(test, &m->rnd);
	for (i = 0; i < n; i++) {
		if (!model_step(m)) {
			KUNIT_FAIL(test, "step %u went wrong", i);
			return;
		}
		if (!(i % (n / 16)))
			check_numbers(test, m);
		cond_resched();
	}
	for (i = 0; i < SLOTS; i++)
		if (m->objects[i].addr && !model_free(m, &m->objects[i]))
			KUNIT_FAIL(test, "object %u went wrong", m->objects[i].id);
	check_numbers(test, m);
	kt_expect_empty(test, m->heap);
}

/* A forged overlap of two objects is seen. */
static void model_sees_an_overlap(struct kunit *test)
{
	u8 bytes[48];
	struct kt_object a = { .addr = bytes, .size = 32, .id = 1 };
	struct kt_object b = { .addr = bytes + 31, .size = 17, .id = 7 };

	kt_fill(&a);
	KUNIT_EXPECT_TRUE(test, kt_intact(&a));
	kt_fill(&b);
	KUNIT_EXPECT_FALSE(test, kt_intact(&a));
	KUNIT_EXPECT_TRUE(test, kt_intact(&b));
	b.id++;
	KUNIT_EXPECT_FALSE(test, kt_intact(&b));
}

static bool fill_all(void **objects, unsigned int n, size_t size)
{
	unsigned int i;
	bool zero = true;

	for (i = 0; i < n; i++) {
		struct kt_object object = { .addr = objects[i], .size = size, .id = i };

		zero &= kt_zeroed(objects[i], size);
		kt_fill(&object);
	}
	return zero;
}

static bool all_intact(void **objects, unsigned int n, size_t size)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct kt_object object = { .addr = objects[i], .size = size, .id = i };

		if (!kt_intact(&object))
			return false;
	}
	return true;
}

static void bulk_of(struct kunit *test, struct karena_heap *heap, size_t size,
		    unsigned int flags, unsigned int n)
{
	void **objects = kvcalloc(n + 1, sizeof(*objects), GFP_KERNEL);
	bool zero, intact;

	KUNIT_ASSERT_NOT_NULL(test, objects);
	KUNIT_EXPECT_EQ(test, karena_alloc_bulk(heap, size, flags, GFP_KERNEL, n, objects), n);
	KUNIT_EXPECT_NULL(test, objects[n]);
	kt_expect_live(test, heap, n);
	zero = fill_all(objects, n, size);
	intact = all_intact(objects, n, size);
	KUNIT_EXPECT_TRUE_MSG(test, zero, "%u of %zu are not zero", n, size);
	KUNIT_EXPECT_TRUE_MSG(test, intact, "%u of %zu overlap", n, size);
	/* The NULL behind the last one is skipped. */
	KUNIT_EXPECT_EQ(test, karena_free_bulk(heap, n + 1, objects), 0);
	kt_expect_live(test, heap, 0);
	kvfree(objects);
}

static void bulk_forms(struct kunit *test)
{
	static const unsigned int counts[] = { 0, 1, 2, 16, 127, 128, 129, 1000, 4096 };
	static const size_t sizes[] = { 4, 8, 64, 500, 4096 };
	struct karena_heap *heap = kt_heap(test, 0);
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (k = 0; k < ARRAY_SIZE(counts) - KT_SLOW; k++) {
			bulk_of(test, heap, sizes[i], 0, counts[k]);
			bulk_of(test, heap, sizes[i], KARENA_NOSCAN, counts[k]);
		}
	bulk_of(test, heap, 40000, 0, 20);
	bulk_of(test, heap, 100000, 0, 20);
	kt_expect_empty(test, heap);
}

/* What was left behind in a recycled object is not seen by who wants zeroes. */
static void recycled_is_zero(struct kunit *test)
{
	static const size_t sizes[] = { 3, 8, 64, 1000, 32768, 40000, 65536, 300000 };
	struct karena_heap *heap = kt_heap(test, 0);
	unsigned int i, k;
	u8 *object;

	for (i = 0; i < ARRAY_SIZE(sizes) * 64; i++) {
		size_t size = sizes[i / 64];
		unsigned int flags = i % 2 ? KARENA_NOSCAN : 0;

		for (k = 0; k < 2; k++) {
			object = karena_alloc(heap, size, flags | KARENA_NOZERO, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, object);
			memset(object, 0xa5, size);
			KUNIT_EXPECT_TRUE(test, karena_free(heap, object));
		}
		object = karena_alloc(heap, size, flags, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, object);
		KUNIT_EXPECT_TRUE_MSG(test, kt_zeroed(object, karena_usable_size(heap, object)),
				      "size %zu", size);
		memset(object, 0x5a, size);
		KUNIT_EXPECT_TRUE(test, karena_free(heap, object));
	}
	kt_expect_empty(test, heap);
}

/* Objects in a list through their first word. */
static unsigned int fill_heap(struct karena_heap *heap, size_t size, gfp_t gfp, void **list)
{
	unsigned int n = 0;
	void **object;

	while ((object = karena_alloc(heap, size, 0, gfp))) {
		*object = *list;
		*list = object;
		n++;
	}
	return n;
}

static unsigned int free_list(struct karena_heap *heap, void **list, unsigned int n)
{
	unsigned int done = 0;
	void **object;

	while (done < n && (object = *list)) {
		*list = *object;
		done += karena_free(heap, object);
	}
	return done;
}

static void limit_of(struct kunit *test, size_t size, gfp_t gfp)
{
	u64 limit = SZ_1M;
	struct karena_heap *heap = kt_heap(test, limit);
	struct karena_heap_info info;
	void *list = NULL, *more = NULL;
	unsigned int n = fill_heap(heap, size, gfp, &list);

	kt_info(heap, &info);
	KUNIT_EXPECT_LE(test, info.held_bytes, limit);
	KUNIT_EXPECT_LE(test, n * size, limit);
	KUNIT_EXPECT_GE_MSG(test, n * size, limit / 4 * 3, "size %zu: only %u", size, n);
	KUNIT_EXPECT_EQ(test, info.failed, 1);
	KUNIT_EXPECT_EQ(test, info.live_objects, n);
	KUNIT_EXPECT_EQ(test, free_list(heap, &list, 3), 3);
	KUNIT_EXPECT_GE_MSG(test, fill_heap(heap, size, gfp, &more), 3, "size %zu", size);
	free_list(heap, &more, UINT_MAX);
	free_list(heap, &list, UINT_MAX);
	kt_expect_empty(test, heap);
	kt_put_heap(test, heap);
}

static void limit_holds(struct kunit *test)
{
	limit_of(test, 64, GFP_KERNEL);
	limit_of(test, 1024, GFP_KERNEL);
	limit_of(test, 8192, GFP_KERNEL);
	limit_of(test, 65536, GFP_KERNEL);
	limit_of(test, 100000, GFP_KERNEL);
	limit_of(test, 64, GFP_NOWAIT);
	limit_of(test, 8192, GFP_ATOMIC);
}

/* At the limit, memory that one class has cached serves another one. */
static void limit_empties_caches(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, SZ_1M);
	void *list = NULL;
	unsigned int n;

	n = fill_heap(heap, 64, GFP_KERNEL, &list);
	KUNIT_EXPECT_EQ(test, free_list(heap, &list, UINT_MAX), n);
	n = fill_heap(heap, 8192, GFP_KERNEL, &list);
	KUNIT_EXPECT_EQ(test, n, SZ_1M / 8192);
	KUNIT_EXPECT_EQ(test, free_list(heap, &list, UINT_MAX), n);
	n = fill_heap(heap, 131072, GFP_KERNEL, &list);
	KUNIT_EXPECT_EQ(test, n, SZ_1M / 131072);
	KUNIT_EXPECT_EQ(test, free_list(heap, &list, UINT_MAX), n);
	kt_expect_empty(test, heap);
}

struct strewn {
	struct karena_heap *heap;
	void *objects[SZ_1M / 1024];
	unsigned int n;
};

/* Frees an object here and there, so that no span is empty. */
static int free_strewn(struct kt_thread *thread)
{
	struct strewn *s = thread->arg;
	unsigned int freed = 0, i;

	for (i = thread->cpu; i < s->n; i += 64) {
		freed += karena_free(s->heap, s->objects[i]);
		s->objects[i] = NULL;
	}
	return freed;
}

/* At the limit, what other CPUs have in their magazines is found as well. */
static void limit_empties_other_cpus(struct kunit *test)
{
	struct strewn *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	unsigned int cpu, freed = 0;
	void *more = NULL;

	KUNIT_ASSERT_NOT_NULL(test, s);
	s->heap = kt_heap(test, SZ_1M);
	s->n = ARRAY_SIZE(s->objects);
	KUNIT_ASSERT_EQ(test, karena_alloc_bulk(s->heap, 1024, 0, GFP_KERNEL, s->n, s->objects),
			s->n);
	for_each_online_cpu(cpu)
		freed += kt_on_cpu(test, cpu, free_strewn, s);
	KUNIT_EXPECT_EQ(test, freed, s->n / 64 * num_online_cpus());
	KUNIT_EXPECT_EQ(test, fill_heap(s->heap, 1024, GFP_KERNEL, &more), freed);
	free_list(s->heap, &more, UINT_MAX);
	KUNIT_EXPECT_EQ(test, karena_free_bulk(s->heap, s->n, s->objects), 0);
	kt_expect_empty(test, s->heap);
}

static void bulk_at_limit(struct kunit *test)
{
	unsigned int n = SZ_1M / 1024;
	void **objects = kunit_kcalloc(test, n + 1, sizeof(*objects), GFP_KERNEL);
	struct karena_heap *heap = kt_heap(test, SZ_1M);

	KUNIT_ASSERT_NOT_NULL(test, objects);
	KUNIT_EXPECT_EQ(test, karena_alloc_bulk(heap, 1024, 0, GFP_KERNEL, n + 1, objects), 0);
	kt_expect_live(test, heap, 0);
	KUNIT_EXPECT_EQ(test, karena_alloc_bulk(heap, 1024, 0, GFP_KERNEL, n, objects), n);
	KUNIT_EXPECT_EQ(test, karena_free_bulk(heap, n, objects), 0);
	kt_expect_empty(test, heap);
}

/* Less than a page is no room at all. */
static void limit_without_room(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 1);

	KUNIT_EXPECT_NULL(test, karena_alloc(heap, 8, 0, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, karena_alloc(heap, 2, KARENA_NOSCAN, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, karena_alloc(heap, 40000, 0, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, karena_alloc(heap, 100000, 0, GFP_KERNEL));
	kt_expect_empty(test, heap);
}

static void numbers_are_exact(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	void **objects = kunit_kcalloc(test, 300, sizeof(*objects), GFP_KERNEL);
	struct karena_heap_stats stats;

	KUNIT_ASSERT_NOT_NULL(test, objects);
	KUNIT_ASSERT_EQ(test, karena_alloc_bulk(heap, 60, 0, GFP_KERNEL, 300, objects), 300);
	karena_heap_stats(heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.live_objects, 300);
	KUNIT_EXPECT_EQ(test, stats.live_bytes, 300 * 64);
	KUNIT_EXPECT_EQ(test, stats.allocs, 300);
	KUNIT_EXPECT_EQ(test, stats.frees, 0);
	KUNIT_EXPECT_EQ(test, karena_free_bulk(heap, 100, objects), 0);
	karena_heap_stats(heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.live_objects, 200);
	KUNIT_EXPECT_EQ(test, stats.live_bytes, 200 * 64);
	KUNIT_EXPECT_GE(test, stats.cached_objects, 100);
	KUNIT_EXPECT_EQ(test, stats.frees, 100);
	KUNIT_EXPECT_EQ(test, stats.failed, 0);
	KUNIT_EXPECT_EQ(test, stats.rejects, 0);
	KUNIT_EXPECT_GE(test, stats.held_bytes, stats.span_bytes);
	KUNIT_EXPECT_EQ(test, karena_free_bulk(heap, 200, objects + 100), 0);
	kt_expect_empty(test, heap);
}

static void ends_with_the_last_reference(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	void *object;

	KUNIT_EXPECT_PTR_EQ(test, karena_heap_get(heap), heap);
	karena_heap_put(heap);
	object = karena_alloc(heap, 64, 0, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, object);
	KUNIT_EXPECT_TRUE(test, karena_free(heap, object));
	KUNIT_EXPECT_TRUE(test, karena_free(heap, NULL));
	karena_heap_put(NULL);
	kt_expect_empty(test, heap);
}

static struct page *page_of(void *object)
{
	return is_vmalloc_addr(object) ? vmalloc_to_page(object) : virt_to_page(object);
}

/* After the heap, the references that the test took are the only ones left. */
static void end_gives_back_live_objects(struct kunit *test)
{
	static const size_t sizes[] = { 8, 64, 1000, 9472, 32768, 40000, 65536, 200000 };
	struct karena_heap *heap = kt_heap(test, 0);
	struct page *pages[ARRAY_SIZE(sizes)];
	unsigned int i;
	void *object;

	for (i = 0; i < ARRAY_SIZE(sizes) * 32; i++) {
		object = karena_alloc(heap, sizes[i / 32], KARENA_NOSCAN, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, object);
		if (i % 32) {
			KUNIT_EXPECT_TRUE(test, i % 2 || karena_free(heap, object));
			continue;
		}
		pages[i / 32] = page_of(object);
		get_page(pages[i / 32]);
		KUNIT_EXPECT_GT(test, page_count(pages[i / 32]), 1);
	}
	kt_put_heap(test, heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		KUNIT_EXPECT_EQ_MSG(test, page_count(pages[i]), 1, "size %zu", sizes[i]);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		put_page(pages[i]);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(model_sees_an_overlap),
	KUNIT_CASE_SLOW(random_against_model),
	KUNIT_CASE(bulk_forms),
	KUNIT_CASE(recycled_is_zero),
	KUNIT_CASE(limit_holds),
	KUNIT_CASE(limit_empties_caches),
	KUNIT_CASE(limit_empties_other_cpus),
	KUNIT_CASE(bulk_at_limit),
	KUNIT_CASE(limit_without_room),
	KUNIT_CASE(numbers_are_exact),
	KUNIT_CASE(ends_with_the_last_reference),
	KUNIT_CASE(end_gives_back_live_objects),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_heap",
	.test_cases = cases,
};

kunit_test_suite(suite);
