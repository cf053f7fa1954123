// SPDX-License-Identifier: GPL-2.0
/*
 * The caches of the CPUs, beyond the fast path in fast.h: getting a magazine
 * from the depot and giving one back, and emptying them.
 */
#include "internal.h"

/*
 * Puts @mag in the place of the loaded magazine, which becomes the previous
 * one; what comes back is the caller's to give to the depot.
 */
static struct karena_magazine *install(struct karena_central *central,
				       struct karena_magazine *mag)
{
	struct karena_mcache *mc;

	preempt_disable();
	mc = this_cpu_ptr(central->cache);
	if (mcache_enter(mc)) {
		swap(mag, mc->previous);
		swap(mc->loaded, mc->previous);
		mcache_exit(mc);
	}
	preempt_enable();
	return mag;
}

static void count_direct(struct karena_central *central, unsigned int allocs,
			 unsigned int frees)
{
	unsigned long flags;

	spin_lock_irqsave(&central->lock, flags);
	central->allocs += allocs;
	central->frees += frees;
	spin_unlock_irqrestore(&central->lock, flags);
}

static bool pop_cached(struct karena_central *central, struct karena_slot *slot)
{
	struct karena_magazine *mag = NULL;
	struct karena_mcache *mc;

	preempt_disable();
	mc = this_cpu_ptr(central->cache);
	if (mcache_enter(mc)) {
		mag = mcache_full(mc);
		if (mag) {
			*slot = mag->slot[--mag->nr];
			WRITE_ONCE(mc->allocs, mc->allocs + 1);
		}
		mcache_exit(mc);
	}
	preempt_enable();
	return mag;
}

/* Gets one object past the caches, and a magazine for the next ones. */
static bool pop_depot(struct karena_central *central, struct karena_slot *slot, gfp_t gfp)
{
	struct karena_magazine *mag = karena_depot_get_full(central, gfp);

	if (mag) {
		*slot = mag->slot[--mag->nr];
		karena_depot_put(central, install(central, mag));
	} else if (!karena_central_take(central, slot, 1, gfp & ~__GFP_DIRECT_RECLAIM)) {
		/* It was a magazine that there was no memory for, or everything. */
		return false;
	}
	count_direct(central, 1, 0);
	return true;
}

/*
 * Takes an object of a span class: CACHED, in nobody's magazine, and the
 * caller's to clear and to set the state of.  A slot that is in two magazines
 * was freed twice at the same instant; the second one is dropped here.
 */
bool karena_mcache_alloc(struct karena_central *central, struct karena_slot *slot, gfp_t gfp)
{
	for (;;) {
		if (!pop_cached(central, slot) && !pop_depot(central, slot, gfp))
			return false;
		if (likely(READ_ONCE(*slot->state) == KARENA_CACHED))
			return true;
		karena_reject(central->heap, slot->addr, KARENA_REJECT_DOUBLE);
	}
}

static bool push_cached(struct karena_central *central, struct karena_slot slot)
{
	struct karena_magazine *mag = NULL;
	struct karena_mcache *mc;

	preempt_disable();
	mc = this_cpu_ptr(central->cache);
	if (mcache_enter(mc)) {
		mag = mcache_room(mc);
		if (mag)
			mcache_push(mc, mag, slot.addr, slot.state);
		mcache_exit(mc);
	}
	preempt_enable();
	return mag;
}

static void push_depot(struct karena_central *central, struct karena_slot slot)
{
	gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN | (central->heap->gfp & __GFP_ACCOUNT);
	struct karena_magazine *mag = karena_depot_get_empty(central, gfp);

	if (mag) {
		mag->slot[mag->nr++] = slot;
		karena_depot_put(central, install(central, mag));
	} else {
		karena_central_put(central, &slot, 1);
	}
	count_direct(central, 0, 1);
}

/* Takes a slot back that is CACHED already. */
void karena_mcache_free(struct karena_central *central, struct karena_slot slot)
{
	if (!push_cached(central, slot))
		push_depot(central, slot);
}

/*
 * Empties the caches of a CPU that is this one, with interrupts off, or dead.
 * Takes no lock: a spinlock must not be taken in an inter-processor interrupt
 * (lockdep: invalid wait context).  karena_mcache_collect() does the rest.
 */
void karena_mcache_drain(struct karena_central *central, unsigned int cpu)
{
	struct karena_mcache *mc = per_cpu_ptr(central->cache, cpu);
	struct karena_magazine *loaded = &karena_no_magazine, *previous = &karena_no_magazine;

	if (!mcache_enter(mc))
		return;
	swap(loaded, mc->loaded);
	swap(previous, mc->previous);
	mcache_exit(mc);
	if (loaded != &karena_no_magazine)
		llist_add(&loaded->drained, &central->drained);
	if (previous != &karena_no_magazine)
		llist_add(&previous->drained, &central->drained);
}

/* Gives the depot what was drained. */
void karena_mcache_collect(struct karena_central *central)
{
	struct karena_magazine *mag, *next;

	llist_for_each_entry_safe(mag, next, llist_del_all(&central->drained), drained)
		karena_depot_put(central, mag);
}
