// SPDX-License-Identifier: GPL-2.0
/*
 * One line in the log for each cycle, as Go's GODEBUG=gctrace=1 prints it:
 *
 *	gc # @#s #%: #+#+# ms clock, #+#/#/#+# ms cpu, #->#-># MB, # MB goal,
 *		# MB stacks, #MB globals, # P (forced)
 *
 * number; seconds since the heap was made, and the share of all CPUs that marking
 * has taken since; by the clock: until all sections know of the cycle, marking,
 * until the last sections that may mark are over; CPU time of the same, of marking
 * that by allocations, by workers, and on idle CPUs (none do); bytes in use when it
 * began, when all was marked, and alive; the goal; stacks, of which kernel heaps
 * have none; registered roots; CPUs.  Nothing stops for the first and the last of
 * the three times, and nobody works then.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/math64.h>
#include <linux/ktime.h>

#include "gc.h"

#define MB(bytes) div_u64(bytes, 1000000)

/* Milliseconds with three digits behind the point. */
struct ms {
	char text[24];
};

static struct ms ms(u64 ns)
{
	u64 us = div_u64(ns, NSEC_PER_USEC);
	struct ms ms;

	scnprintf(ms.text, sizeof(ms.text), "%llu.%03u", div_u64(us, 1000), (u32)(us % 1000));
	return ms;
}

void karena_gc_trace(struct karena_gc *gc, const struct karena_cycle *cycle)
{
	u64 assists = gc->stats.assist_ns - cycle->assist_ns;
	u64 workers = gc->stats.mark_ns - cycle->mark_ns - assists;
	u64 age = max(cycle->swept - gc->born, 1ULL);
	u64 share = div64_u64(gc->stats.mark_ns * 100, age * num_online_cpus());

	pr_info("heap %u (%s): gc %llu @%ss %llu%%: %s+%s+%s ms clock, 0+%s/%s/0+0 ms cpu, %llu->%llu->%llu MB, %llu MB goal, 0 MB stacks, %llu MB globals, %u P%s\n",
		gc->heap->id, gc->heap->name, gc->stats.cycles,
		ms(div_u64(age, 1000)).text, share,
		ms(cycle->marking - cycle->begin).text, ms(cycle->marked - cycle->marking).text,
		ms(cycle->sweeping - cycle->marked).text, ms(assists).text, ms(workers).text,
		MB(cycle->used), MB(cycle->used_marked), MB(gc->live_bytes), MB(gc->goal),
		MB(gc->root_bytes), num_online_cpus(), cycle->forced ? " (forced)" : "");
}
