// SPDX-License-Identifier: GPL-2.0
/*
 * Return of memory: runs of free pages go back to the backing.
 *
 * In the background as in Go (runtime/mgcscavenge.go): what a heap has free, but for a
 * tenth of what it uses, or is about to use, goes back in whole pages, from the top
 * down, by a worker that takes a hundredth of a CPU.  It leaves runs alone that are in
 * a chunk which is nearly full: they are short, and soon used again.  In a heap that is
 * eager, or over a limit, it does neither rest nor choose.  Who needs memory at once, or
 * asks for it, gives back all that is free (karena_scavenge_now()).
 *
 * A run is off the tree and on its way with heap->reap_lock held, and so back when
 * another one has had the lock; but for karena_scavenge_try().  No lock is held for longer
 * than this one; how long it is decides how much goes at a time.  The counts are written
 * with it.
 */
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/sched.h>

#include "kmod/observe/trace.h"
#include "internal.h"

/* Free pages that are kept whatever the heap's size, and of what it uses a tenth. */
#define KEEP_PAGES	((unsigned long)SZ_1M / KARENA_PAGE_SIZE)
#define KEEP_SHARE	10

/*
 * Of its own a program keeps what it used within the last second: to give that back, and to
 * have it anew, is a page fault for each page.
 */
#define RECENT		HZ

/* Of what the control group has left, an eighth at most. */
#define ROOM_SHARE	8

/* A chunk is dense if so many of its pages are in spans: 31 of 32, as Go's. */
#define DENSE_PAGES	(KARENA_LEAF_PAGES - KARENA_LEAF_PAGES / 32)

/* Pages at a time: to begin with, and most; and the times that make it more, or less. */
#define FIRST_STEP	8u
#define MOST_STEP	64u
#define SHORT_NS	(10 * NSEC_PER_USEC)
#define LONG_NS		(25 * NSEC_PER_USEC)

/* The worker works for so long, and rests for that many times as long. */
#define WORK_NS		(500 * NSEC_PER_USEC)
#define MOST_NS		(20ULL * WORK_NS)
#define REST		99

/* Most pages to keep of what the control group has left: others may need that at any time. */
static u64 group_share(struct karena_heap *heap)
{
	return (karena_group_room(heap) >> KARENA_PAGE_SHIFT) / ROOM_SHARE;
}

/* What is worth keeping, in pages: nothing where there are limits to stay below. */
static unsigned long keep_pages(struct karena_heap *heap)
{
	/* Rough figures will do. */
	unsigned long used = data_race(heap->span_pages);
	/* As above. */
	unsigned long recent = data_race(minmax_get(&heap->scavenger.recent));
	unsigned long want = max3(used, READ_ONCE(heap->goal_pages), recent);
	unsigned long keep = max(KEEP_PAGES, want - used + want / KEEP_SHARE);

	if (karena_over(heap))
		return 0;
	return min_t(u64, keep, group_share(heap));
}

/* Whether it keeps back too much of that. */
static bool is_tight(struct karena_heap *heap)
{
	/* As above. */
	return data_race(heap->free.npages) > group_share(heap);
}

/* A run off the tree, of those that begin below @below, if more than @keep are free. */
static struct karena_run *take(struct karena_heap *heap, unsigned long keep,
			       unsigned long below, unsigned long max, gfp_t gfp)
{
	struct karena_run *spare, *run = NULL;

	/* Without one, a whole run goes: too much, and very rare. */
	spare = karena_run_new(0, 0, gfp | __GFP_NOWARN);
	spin_lock_irq(&heap->lock);
	if (heap->free.npages > keep)
		run = karena_runs_take_last(&heap->free, below,
					    min(heap->free.npages - keep, max), spare);
	spin_unlock_irq(&heap->lock);
	if (run != spare)
		karena_run_delete(spare);
	return run;
}

/* A program asks: what it has used since the last time, or uses, is recent. */
static void note_recent(struct karena_heap *heap)
{
	struct karena_scavenger *s = &heap->scavenger;

	spin_lock_irq(&heap->lock);
	minmax_running_max(&s->recent, RECENT, jiffies, s->peak);
	s->peak = heap->span_pages;
	spin_unlock_irq(&heap->lock);
}

/* A run that a program is to give back, of what is not worth keeping, or of all; or NULL. */
struct karena_run *karena_scavenge_take(struct karena_heap *heap, bool all)
{
	note_recent(heap);
	return take(heap, all ? 0 : keep_pages(heap), ULONG_MAX, KARENA_LEAF_PAGES, GFP_NOIO);
}

static void put_back(struct karena_heap *heap, struct karena_run *run)
{
	spin_lock_irq(&heap->lock);
	karena_runs_insert(&heap->free, run);
	spin_unlock_irq(&heap->lock);
}

/* A time that a lock was held. */
struct hold {
	u64 begin;
	unsigned long switches;
};

static unsigned long switches(void)
{
	return current->nvcsw + current->nivcsw;
}

static void hold_begin(struct hold *hold)
{
	hold->switches = switches();
	hold->begin = ktime_get_mono_fast_ns();
}

static void hold_end(const struct hold *hold, struct karena_scavenger *s, unsigned long npages)
{
	u64 ns = ktime_get_mono_fast_ns() - hold->begin, us = ns / NSEC_PER_USEC;

	atomic64_add(npages, &s->returned);
	s->ns += ns;
	if (switches() != hold->switches) {
		s->switches++;
		return;
	}
	s->max_ns = max(s->max_ns, ns);
	s->hold_us[us ? min_t(unsigned int, ilog2(us) + 1, KARENA_GC_BUCKETS - 1) : 0]++;
	if (ns > LONG_NS)
		s->step = max(s->step / 2, 1u);
	else if (ns < SHORT_NS && npages == s->step)
		s->step = min(s->step * 2, MOST_STEP);
}

/* How many pages went, at most as many as may go at a time. */
static unsigned long step(struct karena_heap *heap, unsigned long keep, unsigned long below)
{
	struct karena_scavenger *s = &heap->scavenger;
	unsigned long npages = 0;
	struct karena_run *run;
	struct hold hold;

	mutex_lock(&heap->reap_lock);
	hold_begin(&hold);
	karena_move_begin(heap);
	/* Who waits for the mutex may be in the middle of reclaim. */
	run = take(heap, keep, below, s->step, GFP_NOIO);
	if (run) {
		npages = run->npages;
		heap->backing->release(heap, run);
		hold_end(&hold, s, npages);
		trace_karena_scavenge(heap->id, npages << KARENA_PAGE_SHIFT);
	}
	karena_move_end(heap);
	mutex_unlock(&heap->reap_lock);
	return npages;
}

/* Gives back all free pages but for @keep; how many.  May sleep. */
unsigned long karena_scavenge_now(struct karena_heap *heap, unsigned long keep)
{
	unsigned long sum = 0, npages;

	while ((npages = step(heap, keep, ULONG_MAX))) {
		sum += npages;
		cond_resched();
	}
	return sum;
}

/* Where memory is short, at once, for who is about to do something else.  May sleep. */
void karena_scavenge_settle(struct karena_heap *heap)
{
	if (!heap->backing->by_program && is_tight(heap))
		karena_scavenge_now(heap, keep_pages(heap));
}

/*
 * Up to @most pages, from where memory is being reclaimed: whoever it is may have any lock
 * of ours.  Without heap->reap_lock, as the worker has that most of the time just then, and
 * nothing that goes meanwhile would be seen as progress: the machine would run out of
 * memory.  So a page may be on its way when somebody else has had the lock.
 */
unsigned long karena_scavenge_try(struct karena_heap *heap, unsigned long most)
{
	struct karena_run *run;
	unsigned long n = 0;

	if (heap->backing->by_program)
		return 0;
	karena_move_begin(heap);
	while (n < most && (run = take(heap, 0, ULONG_MAX, 1, GFP_NOWAIT))) {
		if (run->npages > 1 || !heap->backing->try_release(heap, run)) {
			put_back(heap, run);
			break;
		}
		n++;
	}
	karena_move_end(heap);
	atomic64_add(n, &heap->scavenger.returned);
	if (n)
		trace_karena_scavenge(heap->id, n << KARENA_PAGE_SHIFT);
	return n;
}

KARENA_EXPORT_TEST(karena_scavenge_try);

/* Whether the worker takes its time, and is choosy. */
static bool rests(struct karena_heap *heap)
{
	return !READ_ONCE(heap->scavenger.eager) && !karena_over(heap) && !is_tight(heap);
}

/* Whether nearly all pages of a chunk are in spans; changes all the time. */
static bool is_dense(struct karena_heap *heap, unsigned long first)
{
	struct karena_page *entry;
	unsigned long i, used = 0;

	if (karena_is_planted(KARENA_PLANT_DENSE_SCAVENGED))
		return false;
	rcu_read_lock();
	entry = karena_pagemap_get(heap->map, first);
	for (i = 0; entry && i < KARENA_LEAF_PAGES; i++)
		/* Not followed. */
		used += !!READ_ONCE(entry[i].span);
	rcu_read_unlock();
	return used >= DENSE_PAGES;
}

/* The first page and the last one of the next run; false if there is none. */
static bool look(struct karena_heap *heap, unsigned long *start, unsigned long *last)
{
	const struct karena_run *run;

	spin_lock_irq(&heap->lock);
	run = karena_runs_last(&heap->free, heap->scavenger.below);
	if (run) {
		*start = run->start;
		*last = run->start + run->npages - 1;
	}
	spin_unlock_irq(&heap->lock);
	return run;
}

/* The worker's next runs are not in dense chunks; false if it has seen them all. */
static bool skip_dense(struct karena_heap *heap)
{
	struct karena_scavenger *s = &heap->scavenger;
	unsigned long start, last, chunk;

	while (look(heap, &start, &last)) {
		chunk = round_down(last, KARENA_LEAF_PAGES);
		if (chunk == s->sparse || start < chunk || !rests(heap) ||
		    !is_dense(heap, chunk)) {
			s->sparse = chunk;
			return true;
		}
		s->below = start;
		cond_resched();
	}
	s->below = ULONG_MAX;
	return false;
}

/* Works for a while; whether there is more to do. */
static bool work_a_while(struct karena_heap *heap, u64 begin)
{
	heap->scavenger.sparse = ULONG_MAX;
	while (skip_dense(heap) && step(heap, keep_pages(heap), heap->scavenger.below)) {
		if (rests(heap) && ktime_get_mono_fast_ns() - begin > WORK_NS)
			return true;
		cond_resched();
	}
	heap->scavenger.below = ULONG_MAX;
	if (heap->backing->forget)
		heap->backing->forget(heap);
	return false;
}

static void scavenge_work(struct work_struct *work)
{
	struct karena_scavenger *s = container_of(work, struct karena_scavenger, work.work);
	struct karena_heap *heap = container_of(s, struct karena_heap, scavenger);
	u64 begin = ktime_get_mono_fast_ns();
	bool more = work_a_while(heap, begin);
	/* Much more than that it was off the CPU. */
	u64 took = min(ktime_get_mono_fast_ns() - begin, MOST_NS);

	/* A jiffy more, as one of these has begun already. */
	WRITE_ONCE(s->rested, jiffies + nsecs_to_jiffies(took * REST) + 1);
	if (more)
		karena_scavenge_want(heap);
}

/* The worker has something to do; any context. */
void karena_scavenge_want(struct karena_heap *heap)
{
	struct karena_scavenger *s = &heap->scavenger;
	unsigned long now = jiffies, rested = READ_ONCE(s->rested);
	unsigned long rest = time_before(now, rested) && rests(heap) ? rested - now : 0;

	if (!heap->backing->by_program && !READ_ONCE(heap->closing))
		mod_delayed_work(system_dfl_wq, &s->work, rest);
}

KARENA_EXPORT_TEST(karena_scavenge_want);

/* So many pages are free. */
void karena_scavenge_look(struct karena_heap *heap, unsigned long npages)
{
	/* Twice as many, so that the worker has something to do each time. */
	if (npages > 2 * keep_pages(heap))
		karena_scavenge_want(heap);
}

void karena_scavenger_init(struct karena_heap *heap)
{
	struct karena_scavenger *s = &heap->scavenger;

	INIT_DELAYED_WORK(&s->work, scavenge_work);
	s->below = ULONG_MAX;
	s->step = FIRST_STEP;
	s->rested = jiffies;
}
