// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that extents are what is free and next to each other, each slot in one of them:
 * whatever is taken from spans and put back, one by one or as extents, nobody gets what
 * another has.  Who has a slot is told by its second word; the first one has the seal.
 */
#include <linux/slab.h>

#include "test.h"

#define SIZE		48
#define MOST		4000u
#define STEPS		20000u

struct holder {
	struct karena_central *central;
	struct rnd_state rnd;
	unsigned long slot[MOST];
	unsigned int nr;
	unsigned int errors;
};

static unsigned long *owner(unsigned long addr)
{
	return (unsigned long *)addr + 1;
}

static void hold(struct holder *h, unsigned long addr)
{
	h->errors += *owner(addr) == ~addr;
	*owner(addr) = ~addr;
	h->slot[h->nr++] = addr;
}

static void take_extents(struct kunit *test, struct holder *h)
{
	struct karena_extents to = { .room = 1 + kt_below(&h->rnd, KARENA_MAX_EXTENTS) };
	unsigned int most = 1 + kt_below(&h->rnd, MOST - h->nr), i, n = 0, got;
	unsigned long addr;

	got = karena_central_take_extents(h->central, &to, most, GFP_KERNEL);
	KUNIT_EXPECT_GT(test, got, 0);
	KUNIT_EXPECT_LE(test, got, most);
	KUNIT_EXPECT_LE(test, to.nr, to.room);
	for (i = 0; i < to.nr; i++) {
		KUNIT_EXPECT_PTR_EQ(test, karena_span_at(h->central->heap, to.extent[i].start),
				    karena_span_at(h->central->heap, to.extent[i].end - 1));
		for (addr = to.extent[i].start; addr < to.extent[i].end; addr += SIZE, n++)
			hold(h, addr);
	}
	KUNIT_EXPECT_EQ(test, n, got);
}

static void take_slots(struct kunit *test, struct holder *h)
{
	unsigned int n = 1 + kt_below(&h->rnd, min(MOST - h->nr, 32u)), i;
	unsigned long slot[32];

	n = karena_central_take(h->central, slot, n, GFP_KERNEL);
	KUNIT_EXPECT_GT(test, n, 0);
	for (i = 0; i < n; i++)
		hold(h, slot[i]);
}

/* Any of them, up to so many. */
static void put_slots(struct holder *h, unsigned int n)
{
	unsigned int at;

	for (; n && h->nr; n--) {
		at = kt_below(&h->rnd, h->nr);
		*owner(h->slot[at]) = 0;
		karena_central_put(h->central, &h->slot[at], 1);
		h->slot[at] = h->slot[--h->nr];
	}
}

static void extents_are_what_is_free(struct kunit *test)
{
	struct holder *h = kunit_kzalloc(test, sizeof(*h), GFP_KERNEL);
	struct karena_heap *heap = kt_heap(test, 0);
	unsigned int step;

	KUNIT_ASSERT_NOT_NULL(test, h);
	kt_seed(test, &h->rnd);
	h->central = karena_central_get(heap, KARENA_SPC(karena_size_to_class(SIZE), 0),
					GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, h->central);
	for (step = 0; step < kt_steps(STEPS) && !h->errors; step++) {
		if (h->nr < MOST && kt_below(&h->rnd, 2)) {
			if (kt_below(&h->rnd, 2))
				take_extents(test, h);
			else
				take_slots(test, h);
		} else {
			put_slots(h, kt_below(&h->rnd, 2) ? 8 : MOST / 8);
		}
		cond_resched();
	}
	put_slots(h, MOST);
	KUNIT_EXPECT_EQ(test, h->errors, 0);
	kt_expect_empty(test, heap);
}

/* The check above does notice. */
static void twice_is_noticed(struct kunit *test)
{
	struct holder *h = kunit_kzalloc(test, sizeof(*h), GFP_KERNEL);
	unsigned long object[2] = {};

	KUNIT_ASSERT_NOT_NULL(test, h);
	hold(h, (unsigned long)object);
	KUNIT_EXPECT_EQ(test, h->errors, 0);
	hold(h, (unsigned long)object);
	KUNIT_EXPECT_EQ(test, h->errors, 1);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_SLOW(extents_are_what_is_free),
	KUNIT_CASE(twice_is_noticed),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_extents",
	.test_cases = cases,
};

kunit_test_suite(suite);
