// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that when any allocation inside of the allocator fails, the caller gets
 * what was asked for or nothing, nothing leaks, and the heap goes on to work.
 * The kernel's fault injection lets the n-th allocation of this task fail, for
 * n = 1, 2, ... until an operation ends before its n-th.
 *
 * A heap that is emptied afterwards and holds nothing has lost nothing; its end
 * warns otherwise.
 */
#include <linux/sched.h>
#include <linux/slab.h>

#include "test.h"

#ifdef CONFIG_FAULT_INJECTION

#define MOST 200

/* Far more than any operation here allocates. */
#define LAST_NTH 2000

struct request {
	const char *name;
	size_t size;
	unsigned int flags;
	gfp_t gfp;
	unsigned int count;
	bool bulk;
};

static const struct request requests[] = {
	{ "one small", 64, 0, GFP_KERNEL, 1 },
	{ "small", 64, 0, GFP_KERNEL, MOST },
	{ "small without pointers", 200, KARENA_NOSCAN, GFP_KERNEL, 40 },
	{ "small in an interrupt", 64, 0, GFP_ATOMIC, MOST },
	{ "small in bulk", 64, 0, GFP_KERNEL, MOST, true },
	{ "small in bulk in an interrupt", 1024, 0, GFP_ATOMIC, 100, true },
	{ "of many pages", 27264, 0, GFP_KERNEL, 20 },
	{ "tiny", 3, KARENA_NOSCAN, GFP_KERNEL, MOST },
	{ "tiny in bulk", 8, KARENA_NOSCAN, GFP_NOWAIT, 40, true },
	{ "large", 40000, 0, GFP_KERNEL, 5 },
	{ "large in an interrupt", 40000, 0, GFP_ATOMIC, 5 },
	{ "large in bulk", 65536, 0, GFP_KERNEL, 5, true },
	{ "mapped", 200000, 0, GFP_KERNEL, 3 },
	{ "mapped in bulk", 70000, 0, GFP_KERNEL, 5, true },
};

struct attempt {
	const struct request *request;
	struct karena_heap *heap;
	unsigned int got;
	void *objects[MOST];
};

static void start_faults(unsigned int nth)
{
	WRITE_ONCE(current->fail_nth, nth);
}

/* Returns whether the n-th allocation came, and so failed. */
static bool stop_faults(void)
{
	bool failed = !READ_ONCE(current->fail_nth);

	WRITE_ONCE(current->fail_nth, 0);
	return failed;
}

static void allocate(struct attempt *a)
{
	const struct request *r = a->request;

	if (r->bulk) {
		a->got = karena_alloc_bulk(a->heap, r->size, r->flags, r->gfp, r->count,
					   a->objects);
		return;
	}
	for (a->got = 0; a->got < r->count; a->got++) {
		a->objects[a->got] = karena_alloc(a->heap, r->size, r->flags, r->gfp);
		if (!a->objects[a->got])
			break;
	}
}

/* What there is can be used, and be freed. */
static void use_and_free(struct kunit *test, struct attempt *a)
{
	struct kt_object object = { .size = a->request->size };
	bool zero = true, intact = true;

	for (object.id = 0; object.id < a->got; object.id++) {
		object.addr = a->objects[object.id];
		zero &= kt_zeroed(object.addr, object.size);
		kt_fill(&object);
	}
	for (object.id = 0; object.id < a->got; object.id++) {
		object.addr = a->objects[object.id];
		intact &= kt_intact(&object);
	}
	KUNIT_EXPECT_TRUE(test, zero);
	KUNIT_EXPECT_TRUE(test, intact);
	KUNIT_EXPECT_EQ(test, karena_free_bulk(a->heap, a->got, a->objects), 0);
}

/* One allocation with a fault; false when the fault did not come to pass. */
static bool try_alloc(struct kunit *test, struct attempt *a, unsigned int nth)
{
	struct karena_heap_info info;
	bool failed;

	a->heap = kt_heap(test, 0);
	start_faults(nth);
	allocate(a);
	failed = stop_faults();
	kt_info(a->heap, &info);
	KUNIT_EXPECT_EQ(test, info.live_objects, a->got);
	KUNIT_EXPECT_EQ(test, info.failed, a->got != a->request->count);
	use_and_free(test, a);
	/* And once more, undisturbed. */
	allocate(a);
	KUNIT_EXPECT_EQ(test, a->got, a->request->count);
	use_and_free(test, a);
	kt_expect_empty(test, a->heap);
	kt_put_heap(test, a->heap);
	return failed;
}

/* A free, and emptying the caches, always work. */
static bool try_free(struct kunit *test, struct attempt *a, unsigned int nth)
{
	unsigned int wrong;
	bool failed;

	a->heap = kt_heap(test, 0);
	allocate(a);
	KUNIT_EXPECT_EQ(test, a->got, a->request->count);
	start_faults(nth);
	wrong = karena_free_bulk(a->heap, a->got, a->objects);
	karena_reclaim(a->heap);
	failed = stop_faults();
	KUNIT_EXPECT_EQ(test, wrong, 0);
	kt_expect_empty(test, a->heap);
	kt_put_heap(test, a->heap);
	return failed;
}

typedef bool try_fn(struct kunit *test, struct attempt *a, unsigned int nth);

/* Runs @try with a fault in each place; at least @least of them have to come. */
static void fail_each(struct kunit *test, try_fn *try, unsigned int least)
{
	struct attempt *a = kunit_kzalloc(test, sizeof(*a), GFP_KERNEL);
	unsigned int i, nth, sum = 0;

	KUNIT_ASSERT_NOT_NULL(test, a);
	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		a->request = &requests[i];
		for (nth = 1; nth < LAST_NTH && try(test, a, nth); nth++)
			sum++;
		KUNIT_EXPECT_LT(test, nth, LAST_NTH);
		KUNIT_EXPECT_GT_MSG(test, nth, least, "%s: too few faults", a->request->name);
		if (test->status == KUNIT_FAILURE) {
			KUNIT_FAIL(test, "%s: fault %u", a->request->name, nth);
			break;
		}
	}
	kunit_info(test, "%u faults\n", sum);
}

static void each_allocation_fails(struct kunit *test)
{
	fail_each(test, try_alloc, 2);
}

static void frees_do_not_fail(struct kunit *test)
{
	fail_each(test, try_free, 0);
}

static void heap_create_fails(struct kunit *test)
{
	struct karena_heap *heap;
	unsigned int nth, errors = 0;

	for (nth = 1; nth < LAST_NTH; nth++) {
		start_faults(nth);
		heap = karena_heap_create("faults", NULL);
		if (!stop_faults())
			break;
		if (IS_ERR(heap))
			KUNIT_EXPECT_EQ(test, PTR_ERR(heap), -ENOMEM);
		else
			karena_heap_put(heap);
		errors += IS_ERR(heap);
	}
	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	karena_heap_put(heap);
	KUNIT_EXPECT_GE(test, errors, 1);
	kunit_info(test, "%u faults, %u heaps not made\n", nth - 1, errors);
}

/* Random faults in a long life, not in one operation of a new heap. */
static void faults_in_a_long_life(struct kunit *test)
{
	struct attempt *a = kunit_kzalloc(test, sizeof(*a), GFP_KERNEL);
	unsigned int n = kt_steps(20000), i, sum = 0;
	struct rnd_state rnd;
	void **slot;

	KUNIT_ASSERT_NOT_NULL(test, a);
	kt_seed(test, &rnd);
	a->heap = kt_heap(test, 0);
	for (i = 0; i < n; i++) {
		slot = &a->objects[kt_below(&rnd, MOST)];
		start_faults(1 + kt_below(&rnd, 3));
		if (*slot) {
			KUNIT_EXPECT_TRUE(test, karena_free(a->heap, *slot));
			*slot = NULL;
		} else {
			*slot = karena_alloc(a->heap, kt_any_size(&rnd), kt_below(&rnd, 4),
					     GFP_KERNEL);
		}
		sum += stop_faults();
		if (!(i % 1000))
			karena_reclaim(a->heap);
	}
	KUNIT_EXPECT_GT(test, sum, 10);
	KUNIT_EXPECT_EQ(test, karena_free_bulk(a->heap, MOST, a->objects), 0);
	kt_expect_empty(test, a->heap);
	kunit_info(test, "%u faults\n", sum);
}

/* Nothing here means anything unless a fault can be had. */
static void faults_come(struct kunit *test)
{
	void *page;

	start_faults(1);
	page = kmalloc(64, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, stop_faults());
	KUNIT_EXPECT_NULL(test, page);
	kfree(page);
	page = kmalloc(64, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, page);
	kfree(page);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(faults_come),
	KUNIT_CASE(heap_create_fails),
	KUNIT_CASE_SLOW(each_allocation_fails),
	KUNIT_CASE_SLOW(frees_do_not_fail),
	KUNIT_CASE_SLOW(faults_in_a_long_life),
	{}
};

#else

static void without_fault_injection(struct kunit *test)
{
	kunit_skip(test, "this kernel has no CONFIG_FAULT_INJECTION");
}

static struct kunit_case cases[] = {
	KUNIT_CASE(without_fault_injection),
	{}
};

#endif

static struct kunit_suite suite = {
	.name = "karena_faults",
	.test_cases = cases,
};

kunit_test_suite(suite);
