// SPDX-License-Identifier: GPL-2.0
/*
 * Proves what the magazines of a CPU promise: an interrupt in the middle of the
 * fast path, which finds the busy flag set, still gets and frees objects, and
 * nobody gets one that another has; the depot is visited no more often than
 * once in a magazine's length; a slot that is in two magazines is found.
 *
 * Each object carries its owner's number in its first word; claiming one that
 * somebody has is an error.  That the busy path was taken is seen from the
 * central's own counts, or by the interrupt looking at the flag.
 */
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>

#include "test.h"

#define SIZE		64
#define BURST		300	/* more than two magazines */

static struct karena_mcache *this_cache(struct karena_heap *heap)
{
	return this_cpu_ptr(kt_central(heap, SIZE)->cache);
}

/* The owner word tells of an object that was handed out twice. */
static void claim_sees_a_duplicate(struct kunit *test)
{
	unsigned long object[2] = {};

	KUNIT_EXPECT_TRUE(test, kt_claim(object, 1));
	KUNIT_EXPECT_FALSE(test, kt_claim(object, 2));
	KUNIT_EXPECT_FALSE(test, kt_disclaim(object, 2));
	KUNIT_EXPECT_TRUE(test, kt_disclaim(object, 1));
	KUNIT_EXPECT_FALSE(test, kt_disclaim(object, 1));
	KUNIT_EXPECT_TRUE(test, kt_claim(object, 2));
}

struct burst {
	struct karena_heap *heap;
	void *objects[BURST];
	unsigned int got;
	unsigned int errors;
	u64 direct_allocs;
	u64 cached_allocs;	/* those from the cache */
	unsigned int cached;	/* what it has, before and after */
	unsigned int left;
};

static void burst_alloc(struct burst *b)
{
	for (b->got = 0; b->got < BURST; b->got++) {
		b->objects[b->got] = karena_alloc(b->heap, SIZE, 0, GFP_ATOMIC);
		if (!b->objects[b->got])
			break;
		b->errors += !kt_claim(b->objects[b->got], b->got + 1);
	}
}

static void burst_free(struct burst *b)
{
	unsigned int i;

	for (i = 0; i < b->got; i++) {
		b->errors += !kt_disclaim(b->objects[i], i + 1);
		b->errors += !karena_free(b->heap, b->objects[i]);
	}
}

/* A burst as an interrupt does it that has hit the busy flag. */
static void burst_while_busy(struct burst *b)
{
	struct karena_central *central = kt_central(b->heap, SIZE);
	struct karena_mcache *mc;

	preempt_disable();
	mc = this_cache(b->heap);
	b->direct_allocs = central->allocs;
	b->cached_allocs = mc->allocs;
	b->cached = kt_cached(mc);
	WRITE_ONCE(mc->busy, 1);
	burst_alloc(b);
	burst_free(b);
	WRITE_ONCE(mc->busy, 0);
	b->direct_allocs = central->allocs - b->direct_allocs;
	b->cached_allocs = mc->allocs - b->cached_allocs;
	b->left = kt_cached(mc);
	preempt_enable();
}

static struct burst *new_burst(struct kunit *test)
{
	struct burst *b = kunit_kzalloc(test, sizeof(*b), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, b);
	b->heap = kt_heap(test, 0);
	/* Makes the central, fills magazines. */
	burst_alloc(b);
	burst_free(b);
	KUNIT_ASSERT_EQ(test, b->got, BURST);
	KUNIT_ASSERT_EQ(test, b->errors, 0);
	return b;
}

static void busy_goes_to_the_depot(struct kunit *test)
{
	struct burst *b = new_burst(test);

	burst_while_busy(b);
	KUNIT_EXPECT_EQ(test, b->got, BURST);
	KUNIT_EXPECT_EQ(test, b->errors, 0);
	KUNIT_EXPECT_EQ(test, b->direct_allocs, BURST);
	KUNIT_EXPECT_EQ(test, b->cached_allocs, 0);
	KUNIT_EXPECT_EQ(test, b->left, b->cached);
	kt_expect_empty(test, b->heap);
}

static void busy_in_bulk(struct kunit *test)
{
	struct burst *b = new_burst(test);
	unsigned int wrong;

	preempt_disable();
	WRITE_ONCE(this_cache(b->heap)->busy, 1);
	b->got = karena_alloc_bulk(b->heap, SIZE, 0, GFP_ATOMIC, BURST, b->objects);
	wrong = karena_free_bulk(b->heap, b->got, b->objects);
	WRITE_ONCE(this_cache(b->heap)->busy, 0);
	preempt_enable();
	KUNIT_EXPECT_EQ(test, b->got, BURST);
	KUNIT_EXPECT_EQ(test, wrong, 0);
	kt_expect_empty(test, b->heap);
}

/* The tiny allocator has a flag of its own: each object gets a block then. */
static void busy_tiny(struct kunit *test)
{
	struct burst *b = new_burst(test);
	struct karena_tiny_cache *tc;
	unsigned int i, wrong = 0, shared = 0;

	preempt_disable();
	tc = this_cpu_ptr(b->heap->tiny);
	WRITE_ONCE(tc->busy, 1);
	for (i = 0; i < 50; i++) {
		b->objects[i] = karena_alloc(b->heap, 2, KARENA_NOSCAN, GFP_ATOMIC);
		shared += (unsigned long)b->objects[i] % KARENA_TINY_SIZE;
	}
	for (i = 0; i < 50; i++)
		wrong += !b->objects[i] || !karena_free(b->heap, b->objects[i]);
	WRITE_ONCE(tc->busy, 0);
	preempt_enable();
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_EQ(test, shared, 0);
	kt_expect_empty(test, b->heap);
}

/* A drain leaves a busy cache alone, as its owner is in the middle of it. */
static void busy_is_not_drained(struct kunit *test)
{
	struct burst *b = new_burst(test);
	struct karena_central *central = kt_central(b->heap, SIZE);
	struct karena_mcache *mc;
	unsigned int cpu, before = 0, after = 0, drained = 0;

	for_each_possible_cpu(cpu) {
		mc = per_cpu_ptr(central->cache, cpu);
		before += kt_cached(mc);
		WRITE_ONCE(mc->busy, 1);
	}
	karena_reclaim(b->heap);
	for_each_possible_cpu(cpu) {
		mc = per_cpu_ptr(central->cache, cpu);
		after += kt_cached(mc);
		WRITE_ONCE(mc->busy, 0);
	}
	karena_reclaim(b->heap);
	for_each_possible_cpu(cpu) {
		mc = per_cpu_ptr(central->cache, cpu);
		drained += kt_cached(mc);
	}
	KUNIT_EXPECT_GT(test, before, 0);
	KUNIT_EXPECT_EQ(test, after, before);
	KUNIT_EXPECT_EQ(test, drained, 0);
	kt_expect_empty(test, b->heap);
}

/* An interrupt that allocates and frees in the heap of whom it interrupts. */
struct handler {
	struct karena_heap *heap;
	struct hrtimer timer;
	u64 runs;
	u64 busy;		/* times that it found the flag set */
	u64 failed;
	u64 errors;
	unsigned int at;
	unsigned long *held[64];
};

#define IN_HANDLER 1000000UL

static void handler_swap(struct handler *h)
{
	unsigned int at = h->at++ % ARRAY_SIZE(h->held);
	unsigned long *object = h->held[at];

	if (object) {
		h->errors += !kt_disclaim(object, IN_HANDLER + at);
		h->errors += !karena_free(h->heap, object);
	}
	object = karena_alloc(h->heap, SIZE, 0, GFP_ATOMIC);
	h->held[at] = object;
	if (object)
		h->errors += !kt_claim(object, IN_HANDLER + at);
	else
		h->failed++;
}

static enum hrtimer_restart handler_run(struct hrtimer *timer)
{
	struct handler *h = container_of(timer, struct handler, timer);
	unsigned int i;

	h->runs++;
	WRITE_ONCE(h->busy, h->busy + READ_ONCE(this_cache(h->heap)->busy));
	for (i = 0; i < 5; i++)
		handler_swap(h);
	hrtimer_forward_now(timer, us_to_ktime(KT_SLOW ? 300 : 70));
	return HRTIMER_RESTART;
}

/* One object at a time, then as many as a magazine and a half. */
static int spin_once(struct karena_heap *heap, void **objects)
{
	unsigned int i, n, errors = 0;

	for (i = 0; i < 100; i++) {
		void *object = karena_alloc(heap, SIZE, 0, GFP_KERNEL);

		errors += !object || !kt_claim(object, 1) || !kt_disclaim(object, 1) ||
			  !karena_free(heap, object);
	}
	for (n = 0; n < 200; n++) {
		objects[n] = karena_alloc(heap, SIZE, 0, GFP_KERNEL);
		errors += !objects[n] || !kt_claim(objects[n], n + 1);
	}
	for (i = 0; i < n; i++)
		errors += !kt_disclaim(objects[i], i + 1) || !karena_free(heap, objects[i]);
	return errors;
}

struct interrupted {
	struct handler *handler;
	enum hrtimer_mode mode;
	void *objects[200];
	u64 enough;		/* times that the flag has to be hit */
};

static int spin_interrupted(struct kt_thread *thread)
{
	struct interrupted *arg = thread->arg;
	struct handler *h = arg->handler;
	u64 end = local_clock() + 8ULL * NSEC_PER_SEC;
	int errors = 0;

	hrtimer_setup(&h->timer, handler_run, CLOCK_MONOTONIC, arg->mode);
	hrtimer_start(&h->timer, us_to_ktime(100), arg->mode);
	/* READ_ONCE: the handler counts on. */
	while (READ_ONCE(h->busy) < arg->enough && local_clock() < end) {
		errors += spin_once(h->heap, arg->objects);
		cond_resched();
	}
	hrtimer_cancel(&h->timer);
	return errors;
}

static void interrupted_by(struct kunit *test, enum hrtimer_mode mode)
{
	struct interrupted *arg = kunit_kzalloc(test, sizeof(*arg), GFP_KERNEL);
	struct handler *h = kunit_kzalloc(test, sizeof(*h), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_TRUE(test, arg && h);
	*arg = (struct interrupted){ .handler = h, .mode = mode, .enough = kt_steps(200) };
	h->heap = kt_heap(test, 0);
	karena_free(h->heap, karena_alloc(h->heap, SIZE, 0, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, kt_on_cpu(test, 0, spin_interrupted, arg), 0);
	KUNIT_EXPECT_EQ(test, h->errors, 0);
	KUNIT_EXPECT_EQ(test, h->failed, 0);
	KUNIT_EXPECT_GT(test, h->busy, 0);
	kunit_info(test, "%llu interrupts, of which %llu found the flag set\n",
		   h->runs, h->busy);
	for (i = 0; i < ARRAY_SIZE(h->held); i++)
		KUNIT_EXPECT_TRUE(test, karena_free(h->heap, h->held[i]));
	kt_expect_empty(test, h->heap);
}

static void interrupted_in_hardirq(struct kunit *test)
{
	/*
	 * Not _HARD: lockdep lets no spinlock be taken there (the allocator's
	 * are none of PREEMPT_RT's raw ones), but it is hardirq context as well.
	 */
	interrupted_by(test, HRTIMER_MODE_REL_PINNED);
}

static void interrupted_in_softirq(struct kunit *test)
{
	interrupted_by(test, HRTIMER_MODE_REL_PINNED_SOFT);
}

struct walk {
	struct karena_heap *heap;
	void **objects;
	unsigned int n;
	u64 trips;
};

#define WALK 2000

/* Allocates or frees as a coin falls, on one CPU. */
static int walk(struct kt_thread *thread)
{
	struct walk *w = thread->arg;
	struct karena_central *central;
	unsigned int i, steps = kt_steps(200000);

	w->objects[w->n++] = karena_alloc(w->heap, SIZE, 0, GFP_KERNEL);
	central = kt_central(w->heap, SIZE);
	w->trips = central->trades;
	for (i = 0; i < steps; i++) {
		if (!w->n || (w->n < WALK && kt_below(&thread->rnd, 2)))
			w->objects[w->n++] = karena_alloc(w->heap, SIZE, 0, GFP_KERNEL);
		else
			karena_free(w->heap, w->objects[--w->n]);
	}
	w->trips = central->trades - w->trips;
	return steps;
}

static void depot_is_visited_seldom(struct kunit *test)
{
	struct walk w = { .heap = kt_heap(test, 0) };
	unsigned int cap = karena_class_magazine(karena_size_to_class(SIZE));
	int steps;

	w.objects = kunit_kcalloc(test, WALK, sizeof(*w.objects), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, w.objects);
	steps = kt_on_cpu(test, 0, walk, &w);
	KUNIT_EXPECT_LE(test, w.trips, steps / cap + 1);
	KUNIT_EXPECT_EQ(test, karena_free_bulk(w.heap, w.n, w.objects), 0);
	kt_expect_empty(test, w.heap);
}

/*
 * Two CPUs freed an object at the very same instant: it is in the magazines
 * twice.  Only one gets it again; the other slot is dropped and counted.
 */
static void twice_at_once_is_found(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	struct karena_heap_info info;
	void *first, *second, *object = karena_alloc(heap, SIZE, 0, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, object);
	preempt_disable();
	karena_free(heap, object);
	karena_unseal((unsigned long)object, karena_secret);
	karena_free(heap, object);
	first = karena_alloc(heap, SIZE, 0, GFP_ATOMIC);
	second = karena_alloc(heap, SIZE, 0, GFP_ATOMIC);
	preempt_enable();
	KUNIT_EXPECT_PTR_EQ(test, first, object);
	KUNIT_EXPECT_NOT_NULL(test, second);
	KUNIT_EXPECT_PTR_NE(test, second, object);
	kt_info(heap, &info);
	KUNIT_EXPECT_EQ(test, info.rejects[KARENA_REJECT_DOUBLE], 1);
	KUNIT_EXPECT_TRUE(test, karena_free(heap, first));
	KUNIT_EXPECT_TRUE(test, karena_free(heap, second));
	kt_expect_empty(test, heap);
}

/*
 * An object that was written to after it was freed is dropped when it is to be
 * handed out or goes back to its span, and counted; the others are not affected.
 */
static void written_after_free_is_found(struct kunit *test)
{
	struct karena_heap *heap = kt_heap(test, 0);
	unsigned long *first = karena_alloc(heap, SIZE, 0, GFP_KERNEL);
	unsigned long *second = karena_alloc(heap, SIZE, 0, GFP_KERNEL);
	struct karena_heap_info info;
	void *again;

	KUNIT_ASSERT_TRUE(test, first && second);
	preempt_disable();
	karena_free(heap, second);
	karena_free(heap, first);
	*first = 1;
	again = karena_alloc(heap, SIZE, 0, GFP_ATOMIC);
	preempt_enable();
	KUNIT_EXPECT_PTR_EQ(test, again, (void *)second);
	kt_info(heap, &info);
	KUNIT_EXPECT_EQ(test, info.rejects[KARENA_REJECT_DOUBLE], 1);
	KUNIT_EXPECT_TRUE(test, karena_free(heap, again));
	*second = 1;
	karena_reclaim(heap);
	kt_info(heap, &info);
	KUNIT_EXPECT_EQ(test, info.rejects[KARENA_REJECT_DOUBLE], 2);
	KUNIT_EXPECT_EQ(test, info.live_objects, 2);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(claim_sees_a_duplicate),
	KUNIT_CASE(busy_goes_to_the_depot),
	KUNIT_CASE(busy_in_bulk),
	KUNIT_CASE(busy_tiny),
	KUNIT_CASE(busy_is_not_drained),
	KUNIT_CASE_SLOW(interrupted_in_hardirq),
	KUNIT_CASE_SLOW(interrupted_in_softirq),
	KUNIT_CASE(depot_is_visited_seldom),
	KUNIT_CASE(twice_at_once_is_found),
	KUNIT_CASE(written_after_free_is_found),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_mcache",
	.test_cases = cases,
};

kunit_test_suite(suite);
