// SPDX-License-Identifier: GPL-2.0
/*
 * When a cycle begins, and how much those who allocate have to help.  As in Go
 * (Hudson and others, "Go 1.5 concurrent garbage collector pacing", 2015; Knyszek,
 * "GC pacer redesign", 2021): the goal is what the last cycle found alive, and
 * gc_percent of that and of the roots more; a cycle begins so long before that it
 * will be done in time; and for each byte that is allocated meanwhile, as many
 * bytes are scanned that both end together.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "gc.h"

#define RATIO_ONE	1024ULL
#define LEAST_HEADROOM	SZ_64K
#define HOLD		(HZ / 10)	/* most that a program is held up */
#define LIMITER_NS	(2 * NSEC_PER_SEC)	/* of marking in a row, for each CPU */

static u64 percent_of(u64 bytes, unsigned int percent)
{
	return mul_u64_u64_div_u64(bytes, percent, 100);
}

static u64 used_bytes(struct karena_gc *gc)
{
	return max_t(s64, atomic64_read(&gc->heap->used), 0);
}

/*
 * What the heap is to hold at most: its own limit; of that of the module its share, as it
 * is just now; and what its control group has left, but for an eighth.
 */
static u64 limit_of(struct karena_heap *heap, u64 held)
{
	u64 own = READ_ONCE(heap->soft_limit), limit = own ? own : U64_MAX;
	u64 all = karena_all_limit(), sum = max(karena_all_held(), held);
	u64 room = karena_group_room(heap);

	if (all && sum > all)
		limit = min(limit, mul_u64_u64_div_u64(all, held, sum));
	if (room != U64_MAX)
		limit = min(limit, held + room - room / 8);
	return limit;
}

/* A memory limit is one of held memory; what is not in objects counts as well. */
static u64 limited(struct karena_gc *gc, u64 goal)
{
	u64 held = (u64)atomic_long_read(&gc->heap->held) << KARENA_PAGE_SHIFT;
	u64 overhead = held - min(held, used_bytes(gc)), limit = limit_of(gc->heap, held);

	return min(goal, limit == U64_MAX ? limit : limit - min(overhead, limit));
}

static u64 goal_of(struct karena_gc *gc)
{
	u64 goal;

	if (gc->params.percent < 0)
		return limited(gc, U64_MAX);
	goal = gc->live_bytes + percent_of(gc->live_bytes + gc->root_bytes, gc->params.percent);
	return limited(gc, max(goal, percent_of(gc->params.min_heap, gc->params.percent)));
}

/* Sets goal and trigger after a cycle, or when a parameter has changed. */
void karena_pacer_set(struct karena_gc *gc)
{
	u64 goal = goal_of(gc), live = min(gc->live_bytes, goal), room = goal - live;
	u64 early = min(gc->growth + gc->growth / 4, room);

	WRITE_ONCE(gc->goal, goal);
	WRITE_ONCE(gc->heap->goal_pages, goal == U64_MAX ? 0 : goal >> KARENA_PAGE_SHIFT);
	if (goal == U64_MAX)
		WRITE_ONCE(gc->trigger, U64_MAX);
	else
		WRITE_ONCE(gc->trigger, clamp(goal - early, live + percent_of(room, 70),
					      live + percent_of(room, 95)));
}

void karena_pacer_begin(struct karena_gc *gc)
{
	u64 used = used_bytes(gc), goal = gc->goal;
	u64 room = goal > used + LEAST_HEADROOM ? goal - used : LEAST_HEADROOM;

	gc->used_at_begin = used;
	atomic64_set(&gc->credit, 0);
	/* All of it may be alive. */
	WRITE_ONCE(gc->assist_ratio, mul_u64_u64_div_u64(used, RATIO_ONE, room));
}

/* A cycle has marked so many bytes. */
void karena_pacer_end(struct karena_gc *gc, u64 marked)
{
	u64 used = used_bytes(gc);

	gc->growth = used - min(used, gc->used_at_begin);
	gc->live_bytes = marked;
	karena_pacer_set(gc);
}

/*
 * Go's limiter: marking takes half of the CPUs at most, in the long run, whatever
 * the memory limit asks for.  A bucket fills with the time that it takes, drains
 * with half of the time that goes by, and while it is full nobody assists.  Call
 * with stats_lock.
 */
void karena_limiter_count(struct karena_gc *gc, u64 ns)
{
	u64 now = ktime_get_mono_fast_ns(), cpus = num_online_cpus();
	u64 drained = (now - gc->bucket_at) * cpus / 2, full = cpus * LIMITER_NS;

	gc->bucket_at = now;
	gc->bucket = min(gc->bucket - min(gc->bucket, drained) + ns, full);
	if (gc->bucket == full)
		WRITE_ONCE(gc->limited, true);
	else if (gc->bucket < full / 2)
		WRITE_ONCE(gc->limited, false);
}

/* Whether a cycle that nobody would begin yet is likely to find some. */
bool karena_pacer_has_garbage(struct karena_gc *gc)
{
	u64 live = READ_ONCE(gc->live_bytes);

	return READ_ONCE(gc->heap->head.phase) == KARENA_IDLE &&
	       READ_ONCE(gc->params.percent) >= 0 &&
	       used_bytes(gc) > live + live / 8 + LEAST_HEADROOM;
}

/* Takes what is there from the credit; what is left to do. */
static u64 take_credit(struct karena_gc *gc, u64 debt)
{
	s64 credit = atomic64_read(&gc->credit), part;

	do {
		part = min_t(s64, credit, debt);
		if (part <= 0)
			return debt;
	} while (!atomic64_try_cmpxchg(&gc->credit, &credit, credit - part));
	return debt - part;
}

static void assist(struct karena_gc *gc, size_t bytes)
{
	u64 debt = bytes * READ_ONCE(gc->assist_ratio) / RATIO_ONE;

	if (!gc->params.assist_us || READ_ONCE(gc->limited) || !take_credit(gc, debt))
		return;
	karena_slice(gc, (u64)gc->params.assist_us * NSEC_PER_USEC, true);
}

/* Whether the heap is well over its goal, and nobody can help yet. */
static bool is_ahead(struct karena_gc *gc)
{
	u64 used = used_bytes(gc), goal = READ_ONCE(gc->goal);

	return used > goal && used - goal > goal / 8 && !READ_ONCE(gc->marking) &&
	       READ_ONCE(gc->heap->head.phase) != KARENA_SWEEP;
}

/*
 * Holds up a program that allocates faster than a cycle begins, until it can assist, or
 * for a while; not in a section, which the begin of a cycle waits for.  Go lets a heap
 * grow to 1.1 times its goal.
 */
void karena_pacer_hold(struct karena_gc *gc)
{
	if (!gc->params.assist_us || READ_ONCE(gc->limited) || !is_ahead(gc))
		return;
	karena_cycle_want(gc);
	wait_event_killable_timeout(gc->done_wait, !is_ahead(gc), HOLD);
}

/* Whether memory is: the trigger may be from before that. */
static bool is_short(struct karena_heap *heap)
{
	u64 held = (u64)atomic_long_read(&heap->held) << KARENA_PAGE_SHIFT;

	return karena_over(heap) || karena_group_room(heap) < held / 8;
}

/* So many bytes have just left the spans. */
void karena_pacer_refill(struct karena_heap *heap, size_t bytes, gfp_t gfp)
{
	struct karena_gc *gc = heap->gc;
	/* Decides what is worth doing, no more: the cycle looks again. */
	u8 phase = READ_ONCE(heap->head.phase);

	if (phase == KARENA_IDLE && used_bytes(gc) >= READ_ONCE(gc->trigger))
		karena_cycle_want(gc);
	else if (phase == KARENA_IDLE && is_short(heap) && karena_pacer_has_garbage(gc))
		karena_collect(heap, false);
	if (!gfpflags_allow_blocking(gfp) || phase == KARENA_IDLE)
		return;
	/* Not before the snapshot: gc/cycle.c. */
	if (READ_ONCE(gc->marking))
		assist(gc, bytes);
	else if (phase == KARENA_SWEEP)
		karena_sweep_some(heap, 1 + bytes / SZ_16K);
}
