// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that the check of a heap finds what is wrong with it, and nothing else: each
 * kind of damage (observe/damage.c) by its kind, in heaps of all sorts, and nothing
 * after it is mended; and nothing in heaps that are used at random by several threads
 * meanwhile, with cycles, reclaim and large objects.
 */
#include <linux/slab.h>

#include "gc.h"
#include "kmod/observe/check.h"
#include "kmod/user/user.h"

#define SIZES		8
#define OBJECTS		600		/* of each size: magazines and a depot full */
#define SLOTS		256		/* of a thread */

/* --- heaps --- */

static struct karena_heap *user_heap(struct kunit *test, u32 flags, struct karena_heap *like)
{
	const struct karena_setup setup = {
		.flags = flags, .window = SZ_64M, .limit = SZ_64M, .name = "kunit",
	};
	struct karena_uheap *uh = karena_uheap_create(&setup, like ? to_uheap(like) : NULL);

	KUNIT_ASSERT_FALSE(test, IS_ERR(uh));
	return &uh->heap;
}

/* There is no process whose memory it could be: it is where another one is. */
static struct karena_heap *private_heap(struct kunit *test)
{
	struct karena_heap *like = user_heap(test, 0, NULL);
	struct karena_heap *heap = user_heap(test, KARENA_SETUP_PRIVATE, like);

	karena_heap_put(like);
	KUNIT_ASSERT_EQ(test, karena_private_grow_to(to_uheap(heap), to_uheap(heap)->npages), 0);
	return heap;
}

static struct karena_heap *kernel_heap(struct kunit *test, bool collect)
{
	const struct karena_heap_attr attr = { .collect = collect };
	struct karena_heap *heap = karena_heap_create("kunit", &attr);

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	return heap;
}

enum kind {
	KERNEL,
	KERNEL_COLLECTED,
	PROGRAM,
	PROGRAM_COLLECTED,
	PRIVATE,
	NR_KINDS
};

static struct karena_heap *make_heap(struct kunit *test, enum kind kind)
{
	switch (kind) {
	case KERNEL:
	case KERNEL_COLLECTED:
		return kernel_heap(test, kind == KERNEL_COLLECTED);
	case PROGRAM:
		return user_heap(test, 0, NULL);
	case PROGRAM_COLLECTED:
		return user_heap(test, KARENA_SETUP_COLLECT, NULL);
	default:
		return private_heap(test);
	}
}

static unsigned long make_object(struct karena_heap *heap, size_t size, unsigned int flags)
{
	return heap->user ? karena_alloc_addr(heap, size, flags, GFP_KERNEL) :
			    (unsigned long)karena_alloc(heap, size, flags, GFP_KERNEL);
}

static bool drop_object(struct karena_heap *heap, unsigned long addr)
{
	return heap->user ? karena_free_addr(heap, addr) == KARENA_REJECT_NONE :
			    karena_free(heap, (void *)addr);
}

/* Objects of several sizes, of which most are freed again; a large one stays. */
static void use_heap(struct kunit *test, struct karena_heap *heap)
{
	unsigned long *addrs = kunit_kcalloc(test, OBJECTS, sizeof(*addrs), GFP_KERNEL);
	unsigned int i, j;

	KUNIT_ASSERT_NOT_NULL(test, addrs);
	for (j = 0; j < SIZES; j++) {
		for (i = 0; i < OBJECTS; i++)
			addrs[i] = make_object(heap, 48 << j % 6, j & 1 ? KARENA_NOSCAN : 0);
		for (i = 1; i < OBJECTS; i++)
			KUNIT_EXPECT_TRUE(test, drop_object(heap, addrs[i]));
	}
	KUNIT_EXPECT_NE(test, make_object(heap, 200000, 0), 0);
	KUNIT_EXPECT_NE(test, make_object(heap, 50000, 0), 0);
	KUNIT_EXPECT_NE(test, make_object(heap, 5, KARENA_NOSCAN), 0);
}

/* --- what is found --- */

/* Whether a damage of a kind is found, or anything if that is 0. */
static bool finds(struct kunit *test, struct karena_heap *heap, u32 kind)
{
	struct karena_checker *c = karena_checker_new(heap);
	bool found = false;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, c);
	KUNIT_EXPECT_EQ(test, karena_check_heap(c), 0);
	KUNIT_EXPECT_EQ(test, c->told.unsettled, 0);
	KUNIT_EXPECT_GT(test, c->told.spans, 0);
	KUNIT_EXPECT_GT(test, c->told.objects, c->told.spans);
	for (i = 0; i < c->nr; i++) {
		found |= !kind || c->record[i].kind == kind;
		/* Of kernel heaps no address is told. */
		KUNIT_EXPECT_TRUE(test, heap->user || !c->record[i].at);
		if (!kind)
			kunit_info(test, "kind %u size %llu: found %llu, wanted %llu\n",
				   c->record[i].kind, c->record[i].object_size,
				   c->record[i].found, c->record[i].wanted);
	}
	kvfree(c);
	return found;
}

/* Damages a heap in all ways that there are; sets the bits of those. */
static void damage_heap(struct kunit *test, struct karena_heap *heap, unsigned long *done)
{
	struct karena_wound wound;
	u32 kind;

	for (kind = KARENA_DAMAGE_LINK; kind < KARENA_NR_DAMAGES; kind++) {
		if (!karena_wound(heap, kind, &wound))
			continue;
		KUNIT_EXPECT_TRUE_MSG(test, finds(test, heap, kind), "kind %u is not found", kind);
		karena_mend(&wound);
		KUNIT_EXPECT_FALSE_MSG(test, finds(test, heap, 0), "kind %u stays", kind);
		*done |= BIT(kind);
	}
}

static void each_damage_is_found(struct kunit *test)
{
	const unsigned long all = BIT(KARENA_NR_DAMAGES) - BIT(KARENA_DAMAGE_LINK);
	struct karena_weak weak = {};
	unsigned long done = 0;
	struct karena_heap *heap;
	enum kind kind;
	void *object;
	int section;

	for (kind = 0; kind < NR_KINDS; kind++) {
		heap = make_heap(test, kind);
		use_heap(test, heap);
		if (kind == KERNEL_COLLECTED) {
			section = karena_enter(heap);
			object = karena_alloc(heap, 96, 0, GFP_KERNEL);
			KUNIT_EXPECT_EQ(test, karena_weak_add(heap, &weak, object), 0);
			KUNIT_EXPECT_EQ(test, karena_pin(heap, object), 0);
			karena_exit(heap, section);
		}
		KUNIT_EXPECT_FALSE(test, finds(test, heap, 0));
		damage_heap(test, heap, &done);
		if (kind == KERNEL_COLLECTED)
			karena_weak_del(heap, &weak);
		karena_heap_put(heap);
	}
	KUNIT_EXPECT_EQ(test, done, all);
}

/* --- false alarms --- */

struct load {
	struct kunit *test;
	struct karena_heap *heap;
	atomic_t busy;			/* threads that use it */
	unsigned int checks;
	u64 unsettled;
};

/* Of heaps that are collected: who frees an object has to be able to reach it until then. */
static int pin(struct karena_heap *heap, unsigned long addr)
{
	return heap->user ? karena_user_pin(heap, (void __user *)addr) :
			    karena_pin(heap, (void *)addr);
}

static bool unpin_and_drop(struct karena_heap *heap, unsigned long addr)
{
	if (heap->gc && heap->user)
		karena_user_unpin(heap, (void __user *)addr);
	else if (heap->gc)
		karena_unpin(heap, (void *)addr);
	return drop_object(heap, addr);
}

static int use_at_random(struct kt_thread *thread)
{
	struct load *load = thread->arg;
	struct karena_heap *heap = load->heap;
	unsigned long *addrs = kcalloc(SLOTS, sizeof(*addrs), GFP_KERNEL);
	unsigned int i, slot, errors = !addrs, steps = kt_steps(40000);
	int section;

	for (i = 0; addrs && i < steps; i++) {
		slot = kt_below(&thread->rnd, SLOTS);
		section = heap->gc ? karena_enter(heap) : 0;
		if (addrs[slot]) {
			errors += !unpin_and_drop(heap, addrs[slot]);
			addrs[slot] = 0;
		} else {
			addrs[slot] = make_object(heap, kt_any_size(&thread->rnd),
						  kt_below(&thread->rnd, 4));
			/* Some are garbage at once. */
			if (heap->gc && (i % 8 == 0 || pin(heap, addrs[slot])))
				addrs[slot] = 0;
		}
		if (heap->gc)
			karena_exit(heap, section);
		if (!kt_below(&thread->rnd, 2000))
			karena_reclaim(heap);
		if (heap->gc && !kt_below(&thread->rnd, 1000))
			karena_collect(heap, false);
		cond_resched();
	}
	kfree(addrs);
	atomic_dec(&load->busy);
	return errors;
}

static int check_meanwhile(struct load *load)
{
	struct karena_checker *c;
	int errors = 0;

	do {
		c = karena_checker_new(load->heap);
		if (!c)
			return 1;
		errors += karena_check_heap(c) != 0;
		errors += c->told.damages;
		if (c->nr)
			kunit_info(load->test, "kind %u size %llu: found %llu, wanted %llu\n",
				   c->record[0].kind, c->record[0].object_size,
				   c->record[0].found, c->record[0].wanted);
		load->unsettled += c->told.unsettled;
		load->checks++;
		kvfree(c);
		cond_resched();
	} while (atomic_read(&load->busy) && !errors);
	return errors;
}

static int use_or_check(struct kt_thread *thread)
{
	return thread->index ? use_at_random(thread) : check_meanwhile(thread->arg);
}

static void nothing_is_found_in_use(struct kunit *test)
{
	struct load load = { .test = test };
	struct rnd_state rnd;
	enum kind kind;

	kt_seed(test, &rnd);
	for (kind = 0; kind < NR_KINDS; kind++) {
		load.heap = make_heap(test, kind);
		atomic_set(&load.busy, 3);
		load.checks = 0;
		load.unsettled = 0;
		KUNIT_EXPECT_EQ_MSG(test, kt_threads(test, 4, use_or_check, &load), 0,
				    "heap %u", kind);
		kunit_info(test, "heap %u: %u checks, %llu unsettled\n", kind, load.checks,
			   load.unsettled);
		use_heap(test, load.heap);
		KUNIT_EXPECT_FALSE_MSG(test, finds(test, load.heap, 0), "heap %u", kind);
		karena_heap_put(load.heap);
	}
}

static struct kunit_case cases[] = {
	KUNIT_CASE(each_damage_is_found),
	KUNIT_CASE_SLOW(nothing_is_found_in_use),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_check",
	.test_cases = cases,
};

kunit_test_suite(suite);
