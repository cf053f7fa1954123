// SPDX-License-Identifier: GPL-2.0
/*
 * Free ranges of pages: a red-black tree by address in which each node knows
 * the longest range below it, so that the first fit in address order is found
 * in O(log n) (as in the kernel's own drm_mm and vmalloc).  Address order keeps
 * the low part of a heap dense and lets its upper end go back.
 *
 * Nothing here locks: who owns the tree does.
 */
#include <linux/rbtree_augmented.h>
#include <linux/slab.h>

#include "internal.h"

static struct kmem_cache *run_cache;

static inline unsigned long run_npages(struct karena_run *run)
{
	return run->npages;
}

RB_DECLARE_CALLBACKS_MAX(static, run_callbacks, struct karena_run, node,
			 unsigned long, subtree_max, run_npages)

struct karena_run *karena_run_new(unsigned long start, unsigned long npages, gfp_t gfp)
{
	struct karena_run *run = kmem_cache_alloc(run_cache, gfp);

	if (run) {
		run->start = start;
		run->npages = npages;
		run->zeroed = false;
	}
	return run;
}

KARENA_EXPORT_TEST(karena_run_new);

void karena_run_delete(struct karena_run *run)
{
	if (run)
		kmem_cache_free(run_cache, run);
}

KARENA_EXPORT_TEST(karena_run_delete);

static struct karena_run *run_of(struct rb_node *node)
{
	return rb_entry_safe(node, struct karena_run, node);
}

static void run_resize(struct karena_run *run, unsigned long start, unsigned long npages)
{
	run->start = start;
	run->npages = npages;
	run_callbacks.propagate(&run->node, NULL);
}

static void run_erase(struct karena_runs *runs, struct karena_run *run)
{
	rb_erase_augmented(&run->node, &runs->root, &run_callbacks);
}

static void run_link(struct karena_runs *runs, struct karena_run *run,
		     struct rb_node *parent, struct rb_node **link)
{
	struct rb_node *up;

	run->subtree_max = run->npages;
	for (up = parent; up; up = rb_parent(up)) {
		if (run_of(up)->subtree_max >= run->npages)
			break;
		run_of(up)->subtree_max = run->npages;
	}
	rb_link_node(&run->node, parent, link);
	rb_insert_augmented(&run->node, &runs->root, &run_callbacks);
}

/* Adds a run that overlaps none, merged with its neighbours. */
void karena_runs_insert(struct karena_runs *runs, struct karena_run *run)
{
	struct rb_node **link = &runs->root.rb_node, *parent = NULL;
	struct karena_run *before = NULL, *after = NULL;

	while (*link) {
		parent = *link;
		if (run->start < run_of(parent)->start) {
			after = run_of(parent);
			link = &parent->rb_left;
		} else {
			before = run_of(parent);
			link = &parent->rb_right;
		}
	}
	runs->npages += run->npages;
	runs->changes++;
	if (after && run->start + run->npages == after->start) {
		run_resize(after, run->start, after->npages + run->npages);
		karena_run_delete(run);
		run = after;
	}
	if (before && before->start + before->npages == run->start) {
		if (run == after)
			run_erase(runs, after);
		run_resize(before, before->start, before->npages + run->npages);
		karena_run_delete(run);
		return;
	}
	if (run != after)
		run_link(runs, run, parent, link);
}

KARENA_EXPORT_TEST(karena_runs_insert);

static struct karena_run *first_fit(struct karena_runs *runs, unsigned long n)
{
	struct rb_node *node = runs->root.rb_node;

	if (!node || run_of(node)->subtree_max < n)
		return NULL;
	for (;;) {
		if (node->rb_left && run_of(node->rb_left)->subtree_max >= n) {
			node = node->rb_left;
			continue;
		}
		if (run_of(node)->npages >= n)
			return run_of(node);
		node = node->rb_right;
	}
}

/*
 * Takes the first @n pages in address order.  They are put into @spare, unless
 * a whole run fits: that comes back instead, and @spare stays the caller's.
 */
struct karena_run *karena_runs_take(struct karena_runs *runs, unsigned long n,
				    struct karena_run *spare)
{
	struct karena_run *run = first_fit(runs, n);

	if (!run)
		return NULL;
	runs->npages -= n;
	runs->changes++;
	if (run->npages == n) {
		run_erase(runs, run);
		return run;
	}
	spare->start = run->start;
	spare->npages = n;
	run_resize(run, run->start + n, run->npages - n);
	return spare;
}

KARENA_EXPORT_TEST(karena_runs_take);

/* The last of the runs that begin below a page; NULL if none does. */
struct karena_run *karena_runs_last(struct karena_runs *runs, unsigned long below)
{
	struct rb_node *node = runs->root.rb_node;
	struct karena_run *last = NULL;

	while (node) {
		if (run_of(node)->start >= below) {
			node = node->rb_left;
			continue;
		}
		last = run_of(node);
		node = node->rb_right;
	}
	return last;
}

/* Takes up to @max pages from its end, in the same way; @spare may be NULL. */
struct karena_run *karena_runs_take_last(struct karena_runs *runs, unsigned long below,
					 unsigned long max, struct karena_run *spare)
{
	struct karena_run *run = karena_runs_last(runs, below);

	if (!run)
		return NULL;
	runs->changes++;
	if (run->npages <= max || !spare) {
		runs->npages -= run->npages;
		run_erase(runs, run);
		return run;
	}
	runs->npages -= max;
	spare->start = run->start + run->npages - max;
	spare->npages = max;
	run_resize(run, run->start, run->npages - max);
	return spare;
}

KARENA_EXPORT_TEST(karena_runs_take_last);

int karena_runs_init(void)
{
	run_cache = KMEM_CACHE(karena_run, 0);
	return run_cache ? 0 : -ENOMEM;
}

void karena_runs_exit(void)
{
	kmem_cache_destroy(run_cache);
}
