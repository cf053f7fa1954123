// SPDX-License-Identifier: GPL-2.0
/*
 * The check of free pages: the tree of runs that have memory, and in the heap of a
 * program that of runs that have none, some pages in one hold of the heap's lock.
 */
#include <linux/rbtree.h>
#include <linux/sched/signal.h>

#include "check.h"
#include "kmod/user/user.h"

#define PAGES	1024u			/* looked at in one hold of the lock */
#define DEPTH	(2 * BITS_PER_LONG)	/* of a tree that is balanced */

struct runs_walk {
	struct karena_checker *c;
	const struct karena_runs *runs;
	bool bare;
	unsigned long next;		/* pages below have been looked at */
	u64 seen;			/* changes */
	bool steady;			/* there were none */
	bool torn;
	u64 nr;
	u64 npages;
};

static void wrong(struct runs_walk *w, unsigned long page, u64 found, u64 wanted)
{
	karena_damaged(w->c, &(struct karena_damage_record){
		.kind = KARENA_DAMAGE_RUN, .found = found, .wanted = wanted,
		.at = w->c->heap->base + (page << KARENA_PAGE_SHIFT),
	});
}

static const struct karena_run *run_of(struct runs_walk *w, const struct rb_node *node)
{
	const struct karena_run *run = rb_entry_safe(node, struct karena_run, node);

	if (!run || karena_is_sound(run, sizeof(*run)))
		return run;
	wrong(w, w->next, 0, 1);
	w->torn = true;
	return NULL;
}

/* The first run that ends behind a page; NULL if there is none. */
static const struct karena_run *first_behind(struct runs_walk *w, unsigned long page)
{
	const struct karena_run *run = run_of(w, w->runs->root.rb_node), *best = NULL;
	unsigned int depth;

	for (depth = 0; run && depth < DEPTH; depth++) {
		if (run->start + run->npages <= page) {
			run = run_of(w, run->node.rb_right);
			continue;
		}
		best = run;
		run = run_of(w, run->node.rb_left);
	}
	return w->torn ? NULL : best;
}

static unsigned long max_of(const struct karena_run *run)
{
	return run ? run->subtree_max : 0;
}

static void look_at_run(struct runs_walk *w, const struct karena_run *run)
{
	unsigned long most = max(max_of(run_of(w, run->node.rb_left)),
				 max_of(run_of(w, run->node.rb_right)));
	unsigned long end = run->start + run->npages;

	w->nr++;
	w->npages += run->npages;
	if (!run->npages || end > w->c->heap->map->npages || end < run->start) {
		wrong(w, run->start, run->npages, w->c->heap->map->npages);
		w->torn = true;
	} else if (run->subtree_max != max(most, run->npages)) {
		wrong(w, run->start, run->subtree_max, max(most, run->npages));
	}
}

/* Whether something is said to be at a page that is in no span. */
static void look_at_page(struct runs_walk *w, unsigned long page)
{
	struct karena_heap *heap = w->c->heap;
	unsigned long at = heap->base + (page << KARENA_PAGE_SHIFT);
	const struct karena_page *entry = karena_pagemap_get(heap->map, page);
	const unsigned long *memory;

	if (READ_ONCE(entry->span))
		karena_damaged(w->c, &(struct karena_damage_record){
			.kind = KARENA_DAMAGE_MAP, .at = at, .found = 1,
		});
	if (!heap->user)
		return;
	memory = karena_pagemap_memory(heap->map, page);
	if (w->bare && karena_memory_of(READ_ONCE(*memory)))
		karena_damaged(w->c, &(struct karena_damage_record){
			.kind = KARENA_DAMAGE_MEMORY, .at = at, .found = 1,
		});
	if (karena_control_value(to_uheap(heap), page))
		karena_damaged(w->c, &(struct karena_damage_record){
			.kind = KARENA_DAMAGE_CLASS, .at = at, .found = 1,
		});
}

/* Up to @most steps in a run, from w->next on: pages, or leaves that are not there. */
static unsigned int look_at_pages(struct runs_walk *w, const struct karena_run *run,
				  unsigned int most)
{
	unsigned long end = run->start + run->npages;
	unsigned int n;

	for (n = 0; n < most && w->next < end; n++) {
		if (!karena_pagemap_get(w->c->heap->map, w->next)) {
			w->next = min(end, round_down(w->next, KARENA_LEAF_PAGES) +
					   KARENA_LEAF_PAGES);
			continue;
		}
		look_at_page(w, w->next++);
	}
	return n;
}

/* Some pages; false at the end. */
static bool look_at_some(struct runs_walk *w)
{
	/* The run before, if there is one right before. */
	const struct karena_run *run = first_behind(w, w->next ? w->next - 1 : 0);
	unsigned int n = 0;

	while (run && n < PAGES) {
		unsigned long end = run->start + run->npages;

		if (run->start >= w->next) {
			/* They would be one if the one before ended there. */
			if (w->next && run->start == w->next && first_behind(w, w->next - 1) != run)
				wrong(w, run->start, 1, 0);
			look_at_run(w, run);
			w->next = run->start;
		}
		if (w->torn)
			return false;
		n += 1 + look_at_pages(w, run, PAGES - n);
		if (w->next < end)
			return true;
		run = first_behind(w, end);
	}
	return run;
}

/* Once through the tree; -EINTR if killed. */
static int walk(struct runs_walk *w)
{
	spinlock_t *lock = &w->c->heap->lock;
	bool more;

	spin_lock_irq(lock);
	w->seen = w->runs->changes;
	do {
		more = look_at_some(w);
		w->steady &= w->seen == w->runs->changes;
		spin_unlock_irq(lock);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		spin_lock_irq(lock);
	} while (more);
	w->steady &= w->seen == w->runs->changes;
	if (w->steady && !w->torn && w->npages != w->runs->npages)
		wrong(w, 0, w->npages, w->runs->npages);
	spin_unlock_irq(lock);
	return 0;
}

/* Free pages: with memory, or @bare without. */
int karena_check_runs(struct karena_checker *c, struct karena_runs *runs, bool bare)
{
	unsigned int try;
	int err;

	for (try = 0; try < KARENA_CHECK_TRIES; try++) {
		struct runs_walk w = { .c = c, .runs = runs, .bare = bare, .steady = true };

		err = walk(&w);
		if (err)
			return err;
		if (w.steady || w.torn) {
			c->told.runs += w.nr;
			return 0;
		}
	}
	c->told.unsettled++;
	return 0;
}
