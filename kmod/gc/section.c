// SPDX-License-Identifier: GPL-2.0
/*
 * Mutator sections: SRCU read-side critical sections, so that they may sleep, from
 * any context.  One that is held across a long sleep holds up the cycle, and with
 * it all memory that it would free: that is reported, and in kernels with lockdep
 * who it is.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/sched.h>

#include "gc.h"

#ifdef CONFIG_PROVE_LOCKING
static void note_enter(struct karena_gc *gc, unsigned long caller)
{
	struct karena_section *s;

	/* Those beyond are not remembered. */
	for (s = gc->open; s < gc->open + KARENA_SECTIONS; s++) {
		if (READ_ONCE(s->task) || cmpxchg(&s->task, NULL, current))
			continue;
		WRITE_ONCE(s->jiffies, jiffies);
		WRITE_ONCE(s->caller, caller);
		WRITE_ONCE(s->pid, current->pid);
		return;
	}
}

static void note_exit(struct karena_gc *gc)
{
	struct karena_section *s;

	/* The newest first, if they are nested. */
	for (s = gc->open + KARENA_SECTIONS - 1; s >= gc->open; s--) {
		/* Ours: nobody else sets or clears it. */
		if (READ_ONCE(s->task) != current)
			continue;
		WRITE_ONCE(s->task, NULL);
		return;
	}
}

/* A hint for whoever reads the log: a section may end at any time. */
static void report_open(struct karena_gc *gc)
{
	unsigned long now = jiffies, begin;
	struct karena_section *s;

	for (s = gc->open; s < gc->open + KARENA_SECTIONS; s++) {
		begin = READ_ONCE(s->jiffies);
		if (READ_ONCE(s->task) && time_after(now, begin + HZ / 2))
			pr_warn("  task %d in %pS since %u ms\n", READ_ONCE(s->pid),
				(void *)READ_ONCE(s->caller), jiffies_to_msecs(now - begin));
	}
}
#else
static void note_enter(struct karena_gc *gc, unsigned long caller)
{
}

static void note_exit(struct karena_gc *gc)
{
}

static void report_open(struct karena_gc *gc)
{
}
#endif

/* A cycle has waited for sections for too long. */
void karena_stuck_work(struct work_struct *work)
{
	struct karena_gc *gc = container_of(work, struct karena_gc, stuck_work.work);

	spin_lock(&gc->stats_lock);
	gc->stats.stuck++;
	spin_unlock(&gc->stats_lock);
	pr_warn("heap %u (%s): a cycle waits for a mutator section that does not end\n",
		gc->heap->id, gc->heap->name);
	report_open(gc);
}

/**
 * karena_enter - begin a mutator section
 * @heap: heap that is collected
 *
 * Until karena_exit() the caller may hold references to objects of the heap
 * anywhere, and only in a section it may: allocate, read references out of objects
 * and roots, and store them (with karena_store()).  A cycle begins only when the
 * sections from before are over, so they should be short; they may nest and sleep,
 * but if a cycle has to wait for more than a second, that is reported.
 *
 * Context: any but NMI.  karena_collect() must not be called inside (lockdep
 * knows), unless it is told not to wait.
 * Return: a number for karena_exit().
 */
int karena_enter(struct karena_heap *heap) __acquires(&heap->gc->sections)
{
	int section = srcu_read_lock(&heap->gc->sections);

	note_enter(heap->gc, _RET_IP_);
	return section;
}
EXPORT_SYMBOL_GPL(karena_enter);

/**
 * karena_exit - end a mutator section
 * @heap: heap that is collected
 * @section: what karena_enter() returned
 *
 * Context: as karena_enter(), and the same.
 */
void karena_exit(struct karena_heap *heap, int section) __releases(&heap->gc->sections)
{
	note_exit(heap->gc);
	srcu_read_unlock(&heap->gc->sections, section);
}
EXPORT_SYMBOL_GPL(karena_exit);
