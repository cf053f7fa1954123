// SPDX-License-Identifier: GPL-2.0
/*
 * One line in the log for each cycle, as Go's GODEBUG=gctrace=1 prints it:
 *
 *	gc # @#s #%: #+#+# ms clock, #->#-># MB, # MB goal, # P
 *
 * number, seconds since the heap was made, share of the CPUs since then; snapshot,
 * marking and sweeping; used when it began, when it ended, and alive; the goal;
 * CPUs.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/math64.h>
#include <linux/ktime.h>

#include "gc.h"

#define MB(bytes) div_u64(bytes, 1000000)

/* Thousandths of a millisecond. */
static unsigned int us(u64 begin, u64 end)
{
	return div_u64(end - begin, NSEC_PER_USEC);
}

void karena_gc_trace(struct karena_gc *gc, const u64 *t, u64 before)
{
	u64 age = max(t[3] - gc->born, 1ULL);
	u64 share = div64_u64(gc->stats.mark_ns * 100, age * num_online_cpus());
	unsigned int snapshot = us(t[0], t[1]), mark = us(t[1], t[2]), sweep = us(t[2], t[3]);

	pr_info("heap %u (%s): gc %llu @%llu.%03llus %llu%%: %u.%03u+%u.%03u+%u.%03u ms clock, %llu->%llu->%llu MB, %llu MB goal, %u P\n",
		gc->heap->id, gc->heap->name, gc->stats.cycles,
		div_u64(age, NSEC_PER_SEC), div_u64(age, NSEC_PER_MSEC) % 1000, share,
		snapshot / 1000, snapshot % 1000, mark / 1000, mark % 1000,
		sweep / 1000, sweep % 1000, MB(before), MB(atomic64_read(&gc->heap->used)),
		MB(gc->live_bytes), MB(gc->goal), num_online_cpus());
}
