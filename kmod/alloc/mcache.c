// SPDX-License-Identifier: GPL-2.0
/*
 * The caches of the CPUs, beyond the fast path in fast.h: getting a magazine
 * from the depot and giving one back, and emptying them.
 */
#include "internal.h"

/* Makes @mag the loaded magazine of a cache. */
void karena_mcache_load(struct karena_mcache *mc, struct karena_magazine *mag)
{
	mc->loaded = mag;
	mc->top = &mag->slot[mag->nr];
	mc->end = &mag->slot[mag->cap];
}

/*
 * While a cycle marks, what is freed goes back to its span at once, and what
 * comes into a magazine is marked: see gc/cycle.c.
 */
static bool is_marking(struct karena_central *central)
{
	/* Changed by the collector, which waits until all have seen it. */
	return READ_ONCE(central->heap->head.phase) == KARENA_MARK;
}

static void mark_magazine(struct karena_central *central, struct karena_magazine *mag)
{
	unsigned int i;

	if (karena_is_planted(KARENA_PLANT_CACHED_FREED) ||
	    karena_is_planted(KARENA_PLANT_WHITE_ALLOC))
		return;
	for (i = 0; i < mag->nr; i++)
		karena_mark_object(central->heap, mag->slot[i]);
}

/* Takes the loaded magazine out; the caller puts another one in. */
struct karena_magazine *karena_mcache_unload(struct karena_mcache *mc)
{
	struct karena_magazine *mag = mc->loaded;

	/* karena_no_magazine is everybody's. */
	if (mag->cap)
		mag->nr = mc->top - mag->slot;
	return mag;
}

/* @mag becomes the loaded magazine, and that the previous one. */
static void push_magazine(struct karena_central *central, struct karena_mcache *mc,
			  struct karena_magazine *mag)
{
	bool marking = is_marking(central);

	mc->previous = karena_mcache_unload(mc);
	/* WRITE_ONCE: statistics read it from other CPUs. */
	WRITE_ONCE(mc->nr_previous, mc->previous->nr);
	karena_mcache_load(mc, mag);
	if (!marking)
		return;
	mark_magazine(central, mag);
	mc->end = mag->slot;
}

/*
 * Gets @mag loaded in the place of the previous magazine, which is what comes
 * back and is the caller's to give to the depot.
 */
static struct karena_magazine *install(struct karena_central *central,
				       struct karena_magazine *mag)
{
	struct karena_magazine *old = mag;
	struct karena_mcache *mc;

	preempt_disable();
	mc = this_cpu_ptr(central->cache);
	if (mcache_enter(mc)) {
		old = mc->previous;
		push_magazine(central, mc, mag);
		mcache_exit(mc);
	}
	preempt_enable();
	return old;
}

/*
 * Trades the previous magazine, which is as full or as empty as the loaded one,
 * for the other kind, and loads that.
 */
static bool trade(struct karena_central *central, struct karena_mcache *mc, bool full)
{
	struct karena_magazine *mag = karena_depot_trade(central, mc->previous, full);

	if (mag)
		push_magazine(central, mc, mag);
	return mag;
}

/* Has a magazine loaded that is not empty, if there is one without new spans. */
bool karena_mcache_get_full(struct karena_central *central, struct karena_mcache *mc)
{
	if (mc->top != mc->loaded->slot)
		return true;
	push_magazine(central, mc, mc->previous);
	return mc->top != mc->loaded->slot || trade(central, mc, true);
}

/* Has a magazine loaded that is not full and open to frees, if there is one. */
bool karena_mcache_get_room(struct karena_central *central, struct karena_mcache *mc)
{
	if (is_marking(central))
		return false;
	/* It may have been closed by the cycle before. */
	mc->end = &mc->loaded->slot[mc->loaded->cap];
	if (mc->top != mc->end)
		return true;
	push_magazine(central, mc, mc->previous);
	return mc->top != mc->end || trade(central, mc, false);
}

/* So many objects have not come from a magazine. */
void karena_central_count(struct karena_central *central, unsigned int n)
{
	unsigned long flags;

	spin_lock_irqsave(&central->lock, flags);
	central->allocs += n;
	spin_unlock_irqrestore(&central->lock, flags);
}

static unsigned long pop_cached(struct karena_central *central)
{
	struct karena_mcache *mc;
	unsigned long addr = 0;

	preempt_disable();
	mc = this_cpu_ptr(central->cache);
	if (mcache_enter(mc)) {
		if (karena_mcache_get_full(central, mc))
			addr = mcache_pop(mc);
		mcache_exit(mc);
	}
	preempt_enable();
	return addr;
}

/* Gets one object past the caches, and a magazine for the next ones. */
static unsigned long pop_depot(struct karena_central *central, gfp_t gfp)
{
	struct karena_magazine *mag = karena_depot_get_full(central, gfp);
	unsigned long addr = 0;

	if (mag) {
		addr = mag->slot[--mag->nr];
		karena_depot_put(central, install(central, mag));
	} else {
		/* It was a magazine that there was no memory for, or everything. */
		karena_central_take(central, &addr, 1, gfp & ~__GFP_DIRECT_RECLAIM);
	}
	if (addr)
		karena_central_count(central, 1);
	return addr;
}

/*
 * Takes an object of a span class out of the caches or the spans; 0 without
 * memory.  It is still marked as cached.
 */
unsigned long karena_mcache_alloc(struct karena_central *central, gfp_t gfp)
{
	unsigned long addr = pop_cached(central);

	return addr ? addr : pop_depot(central, gfp);
}

static bool push_cached(struct karena_central *central, unsigned long addr)
{
	struct karena_mcache *mc;
	bool put = false;

	preempt_disable();
	mc = this_cpu_ptr(central->cache);
	if (mcache_enter(mc)) {
		put = karena_mcache_get_room(central, mc) && mcache_push(mc, addr);
		mcache_exit(mc);
	}
	preempt_enable();
	return put;
}

static void push_depot(struct karena_central *central, unsigned long addr)
{
	gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN | (central->heap->gfp & __GFP_ACCOUNT);
	struct karena_magazine *mag = NULL;

	if (!is_marking(central))
		mag = karena_depot_get_empty(central, gfp);
	if (mag) {
		mag->slot[mag->nr++] = addr;
		karena_depot_put(central, install(central, mag));
	} else {
		karena_central_put(central, &addr, 1);
	}
}

/* Takes an object back that is marked as cached already. */
void karena_mcache_free(struct karena_central *central, unsigned long addr)
{
	if (!push_cached(central, addr))
		push_depot(central, addr);
}

/*
 * Empties the caches of a CPU that is this one, with interrupts off, or dead.
 * Takes no lock: a spinlock must not be taken in an inter-processor interrupt
 * (lockdep: invalid wait context).  Whoever has @drained does the rest.  False if this
 * CPU was interrupted in the middle of it.
 */
bool karena_mcache_drain(struct karena_mcache *mc, struct llist_head *drained)
{
	struct karena_magazine *loaded, *previous = &karena_no_magazine;

	if (!mcache_enter(mc))
		return false;
	loaded = karena_mcache_unload(mc);
	karena_mcache_load(mc, &karena_no_magazine);
	swap(previous, mc->previous);
	WRITE_ONCE(mc->nr_previous, 0);
	mcache_exit(mc);
	if (loaded != &karena_no_magazine)
		llist_add(&loaded->drained, drained);
	if (previous != &karena_no_magazine)
		llist_add(&previous->drained, drained);
	return true;
}

/*
 * Gives the depot what was drained.  In a collected heap a cycle may have been at
 * work since, which knew nothing of it: there each object goes to its span, where
 * it is looked at.
 */
void karena_mcache_collect(struct karena_central *central)
{
	struct karena_magazine *mag, *next;

	llist_for_each_entry_safe(mag, next, llist_del_all(&central->drained), drained) {
		if (central->heap->collected && mag->nr) {
			karena_central_put(central, mag->slot, mag->nr);
			mag->nr = 0;
		}
		karena_depot_put(central, mag);
	}
}
