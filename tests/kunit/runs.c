// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that the free runs of the page heap are what a bitmap of free pages
 * says: each take is the first fit in address order, or the last pages; runs
 * that touch are one; sums and the largest run below each node are right.
 *
 * A step gives back, takes, or takes from the top at random; what it returned
 * is compared at once, the whole tree now and then.  A failure prints the step;
 * with the seed, which is printed too, it happens again.
 */
#include <linux/bitmap.h>
#include <linux/module.h>

#include "test.h"

#define PAGES		1024
#define MAX_TAKE	24

static unsigned int steps = 1000000;
module_param(steps, uint, 0444);
MODULE_PARM_DESC(steps, "random steps of the test of the page heap");

struct model {
	struct karena_runs runs;
	DECLARE_BITMAP(free, PAGES);
	struct karena_run *taken[PAGES];
	unsigned int nr_taken;
	struct karena_run *spare;
	struct rnd_state rnd;
};

static unsigned int end_of_run(const unsigned long *free, unsigned int start)
{
	return find_next_zero_bit(free, PAGES, start);
}

/* First @n free pages; PAGES if there are none. */
static unsigned int first_fit(const unsigned long *free, unsigned int n)
{
	unsigned int start = find_first_bit(free, PAGES), end;

	for (; start < PAGES; start = find_next_bit(free, PAGES, end)) {
		end = end_of_run(free, start);
		if (end - start >= n)
			return start;
	}
	return PAGES;
}

/* Start of the last run that begins below a page and its length; PAGES if there is none. */
static unsigned int last_run(const unsigned long *free, unsigned int below, unsigned int *n)
{
	unsigned int start = PAGES, next, end;

	for (next = find_next_bit(free, PAGES, 0); next < below && next < PAGES;
	     next = find_next_bit(free, PAGES, end)) {
		end = find_next_zero_bit(free, PAGES, next);
		start = next;
		*n = end - start;
	}
	return start;
}

static unsigned long subtree_max(struct rb_node *node)
{
	return node ? rb_entry(node, struct karena_run, node)->subtree_max : 0;
}

static bool node_is_sound(struct rb_node *node)
{
	struct karena_run *run = rb_entry(node, struct karena_run, node);

	return run->subtree_max == max3(run->npages, subtree_max(node->rb_left),
					subtree_max(node->rb_right));
}

/* The tree has the bitmap's runs, each whole and in order, and nothing else. */
static bool tree_matches(struct karena_runs *runs, const unsigned long *free)
{
	unsigned int start = find_first_bit(free, PAGES), end, sum = 0;
	struct rb_node *node;
	struct karena_run *run;

	for (node = rb_first(&runs->root); node; node = rb_next(node)) {
		if (start >= PAGES || !node_is_sound(node))
			return false;
		run = rb_entry(node, struct karena_run, node);
		end = end_of_run(free, start);
		if (run->start != start || run->npages != end - start)
			return false;
		sum += run->npages;
		start = find_next_bit(free, PAGES, end);
	}
	return start >= PAGES && sum == runs->npages;
}

static bool model_init(struct model *m)
{
	m->runs.root = RB_ROOT;
	m->taken[0] = karena_run_new(0, PAGES, GFP_KERNEL);
	m->nr_taken = !!m->taken[0];
	m->spare = karena_run_new(0, 0, GFP_KERNEL);
	return m->taken[0] && m->spare;
}

static void model_exit(struct model *m)
{
	struct karena_run *run;

	while (m->nr_taken)
		karena_run_delete(m->taken[--m->nr_taken]);
	while ((run = karena_runs_take_last(&m->runs, PAGES, PAGES, NULL)))
		karena_run_delete(run);
	karena_run_delete(m->spare);
}

/* Keeps what was taken; if it came in the spare, there is a new one. */
static bool keep(struct model *m, struct karena_run *run)
{
	bitmap_clear(m->free, run->start, run->npages);
	m->taken[m->nr_taken++] = run;
	if (run == m->spare)
		m->spare = karena_run_new(0, 0, GFP_KERNEL);
	return m->spare;
}

static bool step_take(struct model *m)
{
	unsigned int n = 1 + kt_below(&m->rnd, kt_below(&m->rnd, 16) ? MAX_TAKE : PAGES);
	unsigned int start = first_fit(m->free, n);
	struct karena_run *run = karena_runs_take(&m->runs, n, m->spare);
	bool whole;

	if (start == PAGES)
		return !run;
	whole = end_of_run(m->free, start) == start + n;
	return run && run->start == start && run->npages == n &&
	       (run != m->spare) == whole && keep(m, run);
}

static bool step_take_last(struct model *m)
{
	struct karena_run *spare = kt_below(&m->rnd, 4) ? m->spare : NULL, *run;
	unsigned int max = 1 + kt_below(&m->rnd, MAX_TAKE), n = 0, start;
	unsigned int below = kt_below(&m->rnd, 2) ? PAGES : kt_below(&m->rnd, PAGES);

	start = last_run(m->free, below, &n);
	run = karena_runs_take_last(&m->runs, below, max, spare);
	if (start == PAGES)
		return !run;
	if (spare && n > max) {
		start += n - max;
		n = max;
	}
	return run && run->start == start && run->npages == n && keep(m, run);
}

/* Gives back one of those taken, or its first part. */
static bool step_insert(struct model *m)
{
	struct karena_run **slot, *run, *rest;
	unsigned int part;

	if (!m->nr_taken)
		return true;
	slot = &m->taken[kt_below(&m->rnd, m->nr_taken)];
	run = *slot;
	part = 1 + kt_below(&m->rnd, run->npages);
	if (part < run->npages && kt_below(&m->rnd, 2)) {
		rest = karena_run_new(run->start + part, run->npages - part, GFP_KERNEL);
		if (!rest)
			return false;
		run->npages = part;
		*slot = rest;
	} else {
		*slot = m->taken[--m->nr_taken];
	}
	bitmap_set(m->free, run->start, run->npages);
	karena_runs_insert(&m->runs, run);
	return true;
}

static bool step(struct model *m)
{
	switch (kt_below(&m->rnd, 16)) {
	case 0 ... 7:
		return step_insert(m);
	case 8:
		return step_take_last(m);
	default:
		return step_take(m);
	}
}

static struct model *new_model(struct kunit *test)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, m);
	KUNIT_ASSERT_TRUE(test, model_init(m));
	return m;
}

static void matches_bitmap(struct kunit *test)
{
	struct model *m = new_model(test);
	unsigned int n = kt_steps(steps), i;

	kt_seed(test, &m->rnd);
	for (i = 0; i < n; i++) {
		if (!step(m) || (!(i % 16) && !tree_matches(&m->runs, m->free))) {
			KUNIT_FAIL(test, "step %u went wrong", i);
			break;
		}
		if (!(i % 1024))
			cond_resched();
	}
	kunit_info(test, "%u steps\n", i);
	KUNIT_EXPECT_TRUE(test, tree_matches(&m->runs, m->free));
	while (m->nr_taken)
		step_insert(m);
	KUNIT_EXPECT_EQ(test, m->runs.npages, PAGES);
	KUNIT_EXPECT_TRUE(test, tree_matches(&m->runs, m->free));
	model_exit(m);
}

static void give(struct kunit *test, struct model *m, unsigned int start, unsigned int n)
{
	struct karena_run *run = karena_run_new(start, n, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, run);
	bitmap_set(m->free, start, n);
	karena_runs_insert(&m->runs, run);
	KUNIT_EXPECT_TRUE_MSG(test, tree_matches(&m->runs, m->free), "pages %u..%u", start,
			      start + n - 1);
}

/* Each way in which a run can touch those there are. */
static void neighbours_merge(struct kunit *test)
{
	struct model *m = new_model(test);

	give(test, m, 100, 10);
	give(test, m, 120, 10);
	give(test, m, 140, 10);
	give(test, m, 110, 5);		/* the one before */
	give(test, m, 115, 5);		/* both */
	give(test, m, 135, 5);		/* the one after */
	give(test, m, 130, 5);		/* both */
	give(test, m, 0, 1);		/* none */
	give(test, m, PAGES - 1, 1);
	KUNIT_EXPECT_EQ(test, m->runs.npages, 52);
	model_exit(m);
}

static void nothing_from_nothing(struct kunit *test)
{
	struct model *m = new_model(test);

	KUNIT_EXPECT_NULL(test, karena_runs_take(&m->runs, 1, m->spare));
	KUNIT_EXPECT_NULL(test, karena_runs_take_last(&m->runs, PAGES, 1, m->spare));
	KUNIT_EXPECT_NULL(test, karena_runs_take_last(&m->runs, PAGES, 1, NULL));
	give(test, m, 0, 4);
	KUNIT_EXPECT_NULL(test, karena_runs_take_last(&m->runs, 0, 1, m->spare));
	KUNIT_EXPECT_NULL(test, karena_runs_take(&m->runs, 5, m->spare));
	KUNIT_EXPECT_EQ(test, m->runs.npages, 4);
	model_exit(m);
}

/* A tree that differs by one page, a join or a sum is not accepted. */
static void model_sees_a_difference(struct kunit *test)
{
	struct model *m = new_model(test);
	struct karena_run *run;

	give(test, m, 10, 10);
	give(test, m, 30, 5);
	__change_bit(34, m->free);
	KUNIT_EXPECT_FALSE(test, tree_matches(&m->runs, m->free));
	__change_bit(34, m->free);
	m->runs.npages++;
	KUNIT_EXPECT_FALSE(test, tree_matches(&m->runs, m->free));
	m->runs.npages--;
	run = rb_entry(m->runs.root.rb_node, struct karena_run, node);
	run->subtree_max++;
	KUNIT_EXPECT_FALSE(test, tree_matches(&m->runs, m->free));
	run->subtree_max--;
	KUNIT_EXPECT_TRUE(test, tree_matches(&m->runs, m->free));
	model_exit(m);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(nothing_from_nothing),
	KUNIT_CASE(neighbours_merge),
	KUNIT_CASE(model_sees_a_difference),
	KUNIT_CASE_SLOW(matches_bitmap),
	{}
};

static struct kunit_suite suite = {
	.name = "karena_runs",
	.test_cases = cases,
};

kunit_test_suite(suite);
