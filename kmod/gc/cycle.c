// SPDX-License-Identifier: GPL-2.0
/*
 * The cycle of a collected heap: snapshot, mark, sweep.
 *
 *	IDLE	nothing is marked
 *	MARK	stores go through the barrier, what is freed goes back to its span
 *	SWEEP	marks say what is alive, span by span, until it is swept
 *
 * begin():  spans stay from here on (heap->keep), as barriers and markers look at
 * them without a lock; the phase is set; then all mutator sections of before are
 * waited for, so that everybody sees it; what leaves a span from here on is marked
 * (heap->births), and all magazines are emptied, so that only marked objects come
 * out of them.  What a section got before that is shaded when it is stored, and is
 * garbage if it is not stored before the section ends: that is waited for as well.
 * Nothing is scanned before: a store that was about to happen without a barrier
 * could be into an object that is black already.
 *
 * mark():  until no grey object is left, and none comes up after one more grace
 * period of RCU: a barrier that had read its old value before the marking was
 * complete has shaded it by then.  What later ones shade is marked already, as it
 * was reachable at the snapshot, or is new.
 *
 * end():  the phase is set; sections that may still set marks are waited for, and
 * what their barriers have shaded is worked off: words that were no references (of
 * objects that were not zeroed, say) may lead to what is not marked yet.  Only then
 * births without a mark begin, together with the sweep, and spans may go.
 *
 * Programs (gc->world) have no sections, and their stores no barrier.  Their pages are
 * protected before the snapshot, which stops them and shades all that they can reach
 * from outside of the heap; from there on the first write to a page shades what it
 * refers to.  Their calls allocate and free in sections, so that all of the above
 * holds for them as well.  See user/collect.c.
 *
 * Lock order: cycle_lock, then roots_lock, specials.lock, reap_lock, and the rest as in
 * alloc/mheap.c.  cycle_lock guards the cycle itself and the parameters; nobody
 * takes it inside of a mutator section.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/export.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>

#include "kmod/observe/trace.h"
#include "gc.h"

#define SWEEP_STEP	32u
#define STUCK_AFTER	HZ		/* no section should be that long */

#ifdef KARENA_CAN_PLANT
enum karena_plant karena_planted;
KARENA_EXPORT_TEST(karena_planted);
module_param_named(plant, karena_planted, uint, 0600);
MODULE_PARM_DESC(plant, "for tests: a bug of enum karena_plant, by number");
void (*karena_hook)(struct karena_heap *heap, enum karena_point point);
KARENA_EXPORT_TEST(karena_hook);
#endif

static unsigned int slice_bucket(u64 ns)
{
	u64 us = ns / NSEC_PER_USEC;

	return us ? min_t(unsigned int, ilog2(us) + 1, KARENA_SLICE_BUCKETS - 1) : 0;
}

/* What a slice was to be, and was. */
struct slice {
	u64 budget;			/* ns */
	u64 begin;
	unsigned long jiffies;		/* at the begin */
	bool assist;
	struct karena_mark_work work;
};

/* All threads stood still for so long, or did not. */
void karena_count_stop(struct karena_gc *gc, u64 ns, bool done)
{
	trace_karena_stop(gc->heap->id, ns, done);
	spin_lock(&gc->stats_lock);
	gc->stats.stops += done;
	gc->stats.put_off += !done;
	gc->stats.stop_ns += ns;
	gc->stats.stop_max_ns = max(gc->stats.stop_max_ns, ns);
	gc->stats.stop_us[slice_bucket(ns)]++;
	spin_unlock(&gc->stats_lock);
}

static void count_slice(struct karena_gc *gc, const struct slice *slice)
{
	u64 ns = ktime_get_mono_fast_ns() - slice->begin;
	const struct karena_mark_work *work = &slice->work;
	bool late = ns > slice->budget;

	if (slice->assist)
		trace_karena_assist(gc->heap->id, ns, work->objects, work->scanned);
	else
		trace_karena_slice(gc->heap->id, ns, work->objects, work->scanned);
	spin_lock(&gc->stats_lock);
	gc->stats.slices++;
	gc->stats.assists += slice->assist;
	gc->stats.late += late;
	gc->stats.ticked += late && time_after(jiffies, slice->jiffies);
	gc->stats.mark_ns += ns;
	gc->stats.assist_ns += slice->assist ? ns : 0;
	gc->stats.slice_us[slice_bucket(ns)]++;
	gc->stats.assist_us[slice_bucket(ns)] += slice->assist;
	gc->marked.objects += work->objects;
	gc->marked.bytes += work->bytes;
	gc->marked.scanned += work->scanned;
	karena_limiter_count(gc, ns);
	spin_unlock(&gc->stats_lock);
}

/* Marks for a while; false if there was nothing to do. */
bool karena_slice(struct karena_gc *gc, u64 budget, bool assist)
{
	struct slice slice = {
		.budget = budget, .begin = ktime_get_mono_fast_ns(), .jiffies = jiffies,
		.assist = assist,
	};

	if (!karena_mark_slice(gc, budget, &slice.work))
		return false;
	if (!assist)
		atomic64_add(slice.work.scanned, &gc->credit);
	count_slice(gc, &slice);
	return true;
}

static u64 slice_ns(struct karena_gc *gc)
{
	return (u64)gc->params.slice_us * NSEC_PER_USEC;
}

static unsigned int nr_workers(struct karena_gc *gc)
{
	unsigned int n = gc->params.workers;

	if (!n)
		n = max(1u, num_online_cpus() * gc->params.share / 100);
	return min(n, gc->nr_markers);
}

/* A pause after a slice that took @ns, so that workers take no more than their share. */
static void throttle(struct karena_gc *gc, u64 ns)
{
	u64 share = num_online_cpus() * gc->params.share, all = 100 * nr_workers(gc);
	unsigned long us;

	cond_resched();
	if (atomic_read(&gc->waiters) || share >= all || !share)
		return;
	us = div64_u64(ns * (all - share), share * NSEC_PER_USEC);
	usleep_range(us + 1, 2 * us + 10);
}

/* Works until there is nothing to do. */
static void work_off(struct karena_gc *gc)
{
	u64 begin = ktime_get_mono_fast_ns(), now;

	while (karena_slice(gc, slice_ns(gc), false)) {
		now = ktime_get_mono_fast_ns();
		throttle(gc, now - begin);
		begin = ktime_get_mono_fast_ns();
	}
}

/* Until nobody marks, and nothing is grey. */
void karena_mark_all(struct karena_gc *gc)
{
	struct karena_queue *queue = &gc->queue;

	while (!karena_queue_idle(queue)) {
		work_off(gc);
		cond_resched();
		/* READ_ONCE: looked at under the lock by whoever is woken. */
		wait_event(queue->wait,
			   karena_queue_has_some(queue) || !READ_ONCE(queue->active));
	}
}

void karena_mark_work(struct work_struct *work)
{
	struct karena_mark_worker *w = container_of(work, struct karena_mark_worker, work);
	struct karena_gc *gc = w->gc;

	while (READ_ONCE(gc->marking)) {
		work_off(gc);
		cond_resched();
		/* As in karena_mark_all(). */
		wait_event(gc->queue.wait,
			   karena_queue_has_some(&gc->queue) || !READ_ONCE(gc->marking));
	}
}

static void start_workers(struct karena_gc *gc)
{
	unsigned int i;

	WRITE_ONCE(gc->marking, true);
	/* See karena_pacer_hold(). */
	wake_up_all(&gc->done_wait);
	/* Whoever runs the cycle is one. */
	for (i = 0; i + 1 < nr_workers(gc); i++)
		queue_work(system_dfl_wq, &gc->workers[i].work);
}

static void stop_workers(struct karena_gc *gc)
{
	unsigned int i;

	WRITE_ONCE(gc->marking, false);
	wake_up_all(&gc->queue.wait);
	for (i = 0; i < gc->nr_markers; i++)
		/* One that has not begun has nothing to do, and may have to wait for us. */
		cancel_work_sync(&gc->workers[i].work);
}

static void sweep_all(struct karena_gc *gc)
{
	while (karena_sweep_some(gc->heap, SWEEP_STEP))
		cond_resched();
}

/* Programs grow the heap meanwhile, without any assists that would hold them up. */
static bool in_a_hurry(struct karena_gc *gc)
{
	return gc->world || atomic_read(&gc->waiters);
}

/* As long as it takes, or soon if somebody waits for the cycle. */
static void wait_for_sections(struct karena_gc *gc)
{
	mod_delayed_work(system_dfl_wq, &gc->stuck_work, STUCK_AFTER);
	if (in_a_hurry(gc))
		synchronize_srcu_expedited(&gc->sections);
	else
		synchronize_srcu(&gc->sections);
	cancel_delayed_work(&gc->stuck_work);
}

static void wait_for_readers(struct karena_gc *gc)
{
	if (in_a_hurry(gc))
		synchronize_rcu_expedited();
	else
		synchronize_rcu();
}

static void set_phase(struct karena_gc *gc, u8 phase)
{
	WRITE_ONCE(gc->heap->head.phase, phase);
	if (gc->world)
		gc->world->phase(gc->heap);
}

static void trace_part(struct karena_gc *gc, enum karena_trace_phase part)
{
	trace_karena_phase(gc->heap->id, gc->heap->cycle, part);
}

static void begin(struct karena_gc *gc)
{
	struct karena_heap *heap = gc->heap;

	WRITE_ONCE(heap->cycle, heap->cycle + 1);
	trace_part(gc, KARENA_TRACE_BEGIN);
	atomic64_set(&gc->shaded_bytes, 0);
	gc->marked = (struct karena_mark_work){};
	karena_keep_begin(heap);
	set_phase(gc, KARENA_MARK);
	wait_for_sections(gc);
	karena_at(heap, KARENA_POINT_PHASE);
	karena_marks_begin(heap);
	if (!karena_is_planted(KARENA_PLANT_CACHED_FREED))
		karena_caches_drain(heap);
	karena_at(heap, KARENA_POINT_DRAINED);
	karena_tiny_mark(heap);
	wait_for_sections(gc);
	/* What those sections had filled from spans before, and put away since. */
	if (!karena_is_planted(KARENA_PLANT_CACHED_FREED))
		karena_depots_drain(heap);
	karena_at(heap, KARENA_POINT_READY);
	karena_queue_begin(&gc->queue, atomic64_read(&heap->used));
	karena_pacer_begin(gc);
}

/* For the planted bug: what is grey stays so, and nobody knows. */
static void forget_greys(struct karena_gc *gc)
{
	struct karena_span *first, *span;
	struct karena_hand hand = {};

	karena_hand_init(&hand);
	while (karena_queue_trade(&gc->queue, &hand, UINT_MAX)) {
		while (hand.words)
			karena_shade_taken(gc, &hand);
		list_for_each_entry(first, &hand.taken, batch)
			llist_for_each_entry(span, &first->grey, grey)
				clear_bit(KARENA_INFO_QUEUED, span->info);
		INIT_LIST_HEAD(&hand.taken);
	}
}

static void protect(struct karena_gc *gc)
{
	u64 begin = ktime_get_mono_fast_ns();

	trace_part(gc, KARENA_TRACE_PROTECT);
	gc->world->protect(gc->heap);
	spin_lock(&gc->stats_lock);
	gc->stats.protect_ns += ktime_get_mono_fast_ns() - begin;
	spin_unlock(&gc->stats_lock);
}

static void mark(struct karena_gc *gc)
{
	karena_roots_mark(gc);
	if (gc->world) {
		protect(gc);
		trace_part(gc, KARENA_TRACE_SNAPSHOT);
		gc->world->snapshot(gc->heap);
		if (!karena_is_planted(KARENA_PLANT_BORN_UNSCANNED))
			karena_queue_born(gc);
	}
	trace_part(gc, KARENA_TRACE_MARK);
	karena_at(gc->heap, KARENA_POINT_ROOTS);
	if (karena_is_planted(KARENA_PLANT_EARLY_END)) {
		forget_greys(gc);
		return;
	}
	start_workers(gc);
	do {
		karena_mark_all(gc);
		wait_for_readers(gc);
	} while (!karena_queue_idle(&gc->queue));
	stop_workers(gc);
}

static void end(struct karena_gc *gc)
{
	struct karena_heap *heap = gc->heap;
	u64 marked = gc->marked.bytes + atomic64_read(&gc->shaded_bytes);

	karena_at(heap, KARENA_POINT_MARKED);
	karena_specials_open(gc);
	/* Who has looked at it under the lock, and marks, is done. */
	mutex_lock(&gc->roots_lock);
	set_phase(gc, KARENA_SWEEP);
	trace_part(gc, KARENA_TRACE_SWEEP);
	mutex_unlock(&gc->roots_lock);
	/*
	 * Whoever has seen it mark and is about to set a mark does so before a span
	 * is swept: a mark that came later would hide its object from the next cycle.
	 */
	wait_for_sections(gc);
	karena_at(heap, KARENA_POINT_OPEN);
	do
		karena_mark_all(gc);
	while (!karena_specials_close(gc));
	if (gc->params.check)
		gc->stats.lost += karena_verify(gc);
	karena_specials_settle(gc);
	karena_at(heap, KARENA_POINT_ENDED);
	karena_sweep_begin(heap);
	WRITE_ONCE(heap->keep, false);
	karena_at(heap, KARENA_POINT_SWEEP);
	karena_pacer_end(gc, marked);
	spin_lock(&gc->stats_lock);
	gc->stats.marked_objects += gc->marked.objects;
	gc->stats.marked_bytes += marked;
	spin_unlock(&gc->stats_lock);
	karena_reap_want(heap);
}

static void count_cycle(struct karena_gc *gc, const struct karena_cycle *cycle)
{
	spin_lock(&gc->stats_lock);
	gc->stats.cycles++;
	gc->stats.forced += cycle->forced;
	gc->stats.snapshot_ns += cycle->marking - cycle->begin;
	gc->stats.marking_ns += cycle->marked - cycle->marking;
	gc->stats.sweep_ns += cycle->swept - cycle->sweeping;
	spin_unlock(&gc->stats_lock);
}

static void run_cycle(struct karena_gc *gc, bool forced)
{
	struct karena_heap *heap = gc->heap;
	struct karena_cycle cycle = { .forced = forced };

	lockdep_assert_held(&gc->cycle_lock);
	sweep_all(gc);
	cycle.used = atomic64_read(&heap->used);
	cycle.mark_ns = gc->stats.mark_ns;
	cycle.assist_ns = gc->stats.assist_ns;
	cycle.begin = ktime_get_mono_fast_ns();
	begin(gc);
	cycle.marking = ktime_get_mono_fast_ns();
	if (karena_is_planted(KARENA_PLANT_EARLY_SWEEP)) {
		karena_sweep_begin(heap);
		sweep_all(gc);
	}
	mark(gc);
	cycle.marked = ktime_get_mono_fast_ns();
	end(gc);
	cycle.sweeping = ktime_get_mono_fast_ns();
	cycle.used_marked = atomic64_read(&heap->used);
	sweep_all(gc);
	/* Who waits for the cycle is not to wait for the worker. */
	karena_large_reap(heap);
	set_phase(gc, KARENA_IDLE);
	trace_part(gc, KARENA_TRACE_IDLE);
	cycle.swept = ktime_get_mono_fast_ns();
	count_cycle(gc, &cycle);
	karena_pools_age(heap);
	WRITE_ONCE(gc->done, heap->cycle);
	wake_up_all(&gc->done_wait);
	if (gc->params.trace)
		karena_gc_trace(gc, &cycle);
}

void karena_cycle_work(struct work_struct *work)
{
	struct karena_gc *gc = container_of(work, struct karena_gc, cycle_work);
	bool forced;

	mutex_lock(&gc->cycle_lock);
	/* Who asks from here on wants one more. */
	forced = xchg(&gc->forced, false);
	/* It may have been done meanwhile. */
	if (atomic64_read(&gc->heap->used) >= (s64)min_t(u64, gc->trigger, S64_MAX) || forced)
		run_cycle(gc, forced);
	mutex_unlock(&gc->cycle_lock);
}

/* A cycle is due; any context. */
void karena_cycle_want(struct karena_gc *gc)
{
	queue_work(system_dfl_wq, &gc->cycle_work);
}

void karena_period_work(struct work_struct *work)
{
	struct karena_gc *gc = container_of(work, struct karena_gc, period_work.work);
	u64 cycles = READ_ONCE(gc->stats.cycles);

	/* As in Go: only if there was none meanwhile, and not when it is off. */
	if (cycles == gc->cycles_at_period && READ_ONCE(gc->params.percent) >= 0) {
		WRITE_ONCE(gc->forced, true);
		karena_cycle_want(gc);
	}
	gc->cycles_at_period = cycles;
	if (gc->params.period_ms)
		queue_delayed_work(system_dfl_wq, &gc->period_work,
				   msecs_to_jiffies(gc->params.period_ms));
}

/*
 * Collects by the worker, and waits for a cycle that begins from here on; 0, or
 * -EINTR if the caller is killed before.
 */
static int collect_killable(struct karena_gc *gc)
{
	/* Written with the lock; one that begins from here on is as good. */
	u32 last = READ_ONCE(gc->heap->cycle);
	int err;

	atomic_inc(&gc->waiters);
	WRITE_ONCE(gc->forced, true);
	karena_cycle_want(gc);
	err = wait_event_killable(gc->done_wait, (s32)(READ_ONCE(gc->done) - last) > 0);
	atomic_dec(&gc->waiters);
	return err ? -EINTR : 0;
}

/**
 * karena_collect - collect now
 * @heap: heap that is collected
 * @wait: until it is done, and what is found dead is free again; else it is only
 *	asked for
 *
 * Context: process context, may sleep; with @wait not in a mutator section.
 * Return: 0, -EINVAL if the heap is not collected, or of a user heap -EINTR if the
 * caller is killed before it is done.
 */
int karena_collect(struct karena_heap *heap, bool wait)
{
	struct karena_gc *gc = heap->gc;
	u32 last;

	if (!gc)
		return -EINVAL;
	if (!wait) {
		WRITE_ONCE(gc->forced, true);
		karena_cycle_want(gc);
		return 0;
	}
	if (gc->world)
		return collect_killable(gc);
	/* As in collect_killable(). */
	last = READ_ONCE(heap->cycle);
	atomic_inc(&gc->waiters);
	mutex_lock(&gc->cycle_lock);
	if (heap->cycle == last)
		run_cycle(gc, true);
	mutex_unlock(&gc->cycle_lock);
	atomic_dec(&gc->waiters);
	return 0;
}
EXPORT_SYMBOL_GPL(karena_collect);

/**
 * karena_new_wait - allocate an object, if need be after a cycle
 * @type: the type, registered
 * @section: what karena_enter() returned; another number if it had to wait
 * @gfp: as for karena_alloc()
 *
 * For heaps at their limit, where karena_new() fails at once: leaves the section,
 * collects, enters again and tries once more.  So whoever calls this may not hold
 * references anywhere but in roots and reachable objects.
 *
 * Context: process context, may sleep if @gfp allows; in one mutator section, not
 * a nested one.
 * Return: the object, zeroed, or NULL if there is no memory even so.
 */
void *karena_new_wait(struct karena_type *type, int *section, gfp_t gfp)
{
	struct karena_heap *heap = type->heap;
	void *object = karena_new(type, 0, gfp);

	if (object || !heap->gc || !gfpflags_allow_blocking(gfp))
		return object;
	karena_exit(heap, *section);
	karena_collect(heap, true);
	*section = karena_enter(heap);
	return karena_new(type, 0, gfp);
}
EXPORT_SYMBOL_GPL(karena_new_wait);

/**
 * karena_gc_step - mark for a while
 * @heap: heap that is collected
 * @ns: about how long, in nanoseconds; a tenth of a second at most
 *
 * For callers with time to spare; a cycle has to run already.
 *
 * Context: process context, may sleep.
 * Return: whether there was anything to do.
 */
bool karena_gc_step(struct karena_heap *heap, u64 ns)
{
	struct karena_gc *gc = heap->gc;
	bool some = false;
	int section;

	if (!gc)
		return false;
	/* The end of a cycle waits for those who mark. */
	section = karena_enter(heap);
	if (READ_ONCE(gc->marking))
		some = karena_slice(gc, min(ns, 100ULL * NSEC_PER_MSEC), false);
	else if (READ_ONCE(heap->head.phase) == KARENA_SWEEP)
		some = karena_sweep_some(heap, SWEEP_STEP);
	karena_exit(heap, section);
	return some;
}
EXPORT_SYMBOL_GPL(karena_gc_step);
