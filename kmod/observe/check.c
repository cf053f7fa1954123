// SPDX-License-Identifier: GPL-2.0
/*
 * Verifies what is known of a heap, of any kind, while it is used.
 *
 * What is to hold at each moment is looked at with the lock that guards it: of a span and
 * its central the central's, of free pages and the list of all spans the heap's.  Neither
 * is held for more than a piece of a list.  So sums are of several moments; they count if
 * nothing has changed from the first to the last one (the counts of changes beside the
 * lists).  If something has they are taken again, a few times, and at last are not
 * compared: a check says how many it had to leave out, and never takes what is under way
 * for damage.
 *
 * A pointer is followed if it leads into the kernel's memory and what is there agrees:
 * lists in both directions, spans with their heap.  Loops end: a list that agrees in both
 * directions ends where it began, and of trees and arrays the bounds are known.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "check.h"
#include "kmod/gc/gc.h"
#include "kmod/user/user.h"

#define SPECIALS	64		/* that are looked at in one hold of their lock */

/* Whether there is memory at an address where something was allocated. */
bool karena_is_sound(const void *at, size_t size)
{
	return IS_ALIGNED((unsigned long)at, sizeof(long)) && virt_addr_valid(at) &&
	       virt_addr_valid(at + size - 1);
}

/* Whether it is known already; something to be tried again may be seen again. */
static bool is_known(const struct karena_checker *c, const struct karena_damage_record *record)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		if (c->record[i].kind == record->kind && c->where[i] == record->at &&
		    c->record[i].object_size == record->object_size &&
		    c->record[i].wanted == record->wanted)
			return true;
	return false;
}

/* Something is wrong, at an address of the heap or nowhere.  Any context. */
void karena_damaged(struct karena_checker *c, const struct karena_damage_record *record)
{
	if (is_known(c, record))
		return;
	c->told.damages++;
	if (c->nr == KARENA_MAX_DAMAGES)
		return;
	c->where[c->nr] = record->at;
	c->record[c->nr] = *record;
	c->record[c->nr].size = sizeof(*record);
	/* Addresses of the kernel are not for programs. */
	if (!c->heap->user)
		c->record[c->nr].at = 0;
	c->nr++;
}

/* --- the sums of a heap --- */

struct sums {
	u64 moves;
	u64 held;
	u64 used;			/* pages of spans, and free ones */
	u64 bare;			/* without memory, or leaving; of user heaps */
	u64 window;			/* those and held ones are to be that many */
};

static void read_addresses(struct karena_uheap *uh, struct sums *sums)
{
	/* Gone from there before it is with the bare ones, which takes the lock. */
	const struct karena_run *leaving = READ_ONCE(uh->leaving);

	sums->bare = uh->bare.npages + (leaving ? leaving->npages : 0);
	/* A collected heap has no object where it begins. */
	sums->window = uh->private ? uh->grown : uh->npages - !!uh->heap.gc;
}

/* At one moment, if nothing was on its way; see karena_move_begin(). */
static bool read_sums(struct karena_heap *heap, struct sums *sums)
{
	sums->moves = atomic64_read(&heap->moves);
	/* Pairs with the full barriers there. */
	smp_mb();
	spin_lock_irq(&heap->lock);
	sums->held = atomic_long_read(&heap->held);
	sums->used = heap->span_pages + heap->free.npages;
	if (heap->user)
		read_addresses(to_uheap(heap), sums);
	spin_unlock_irq(&heap->lock);
	/* As above. */
	smp_mb();
	return !(sums->moves & KARENA_MOVING) && sums->moves == atomic64_read(&heap->moves);
}

static void sum_is(struct karena_checker *c, u64 found, u64 wanted)
{
	if (found != wanted)
		karena_damaged(c, &(struct karena_damage_record){
			.kind = KARENA_DAMAGE_SUM, .found = found, .wanted = wanted,
		});
}

static int check_sums(struct karena_checker *c)
{
	struct sums sums = {};
	unsigned int try;

	for (try = 0; try < KARENA_CHECK_TRIES; try++) {
		if (read_sums(c->heap, &sums)) {
			sum_is(c, sums.used, sums.held);
			sum_is(c, sums.held + sums.bare, c->heap->user ? sums.window : sums.held);
			return 0;
		}
		if (fatal_signal_pending(current))
			return -EINTR;
		schedule_timeout_killable(1);
	}
	c->told.unsettled++;
	return 0;
}

/* --- weak references and cleanups --- */

/* Whether an object that has such is there; of a program's heap it says so itself. */
static bool is_special(struct karena_heap *heap, unsigned long addr)
{
	struct karena_span *span;
	bool special;
	u32 index;

	if (!heap->user)
		return karena_usable_addr(heap, addr);
	rcu_read_lock();
	span = karena_find_object(heap, addr, &index);
	special = span && addr == span->base + (unsigned long)index * span->size &&
		  READ_ONCE(span->state[index]) == KARENA_SPECIAL;
	rcu_read_unlock();
	return special;
}

static int check_set(struct karena_checker *c, struct xarray *set, bool cells)
{
	struct karena_specials *specials = &c->heap->gc->specials;
	struct karena_special *special;
	unsigned long key, addr;
	unsigned int n = 0;

	mutex_lock(&specials->lock);
	xa_for_each(set, key, special) {
		addr = cells ? special->cell : special->target;
		if (addr / sizeof(u64) != key || !is_special(c->heap, addr))
			karena_damaged(c, &(struct karena_damage_record){
				.kind = KARENA_DAMAGE_SPECIAL, .at = key * sizeof(u64),
				.wanted = 1,
			});
		if (++n % SPECIALS)
			continue;
		mutex_unlock(&specials->lock);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		mutex_lock(&specials->lock);
	}
	mutex_unlock(&specials->lock);
	return 0;
}

static int check_specials(struct karena_checker *c)
{
	struct karena_gc *gc = c->heap->gc;

	return gc ? check_set(c, &gc->specials.objects, false) ?:
		    check_set(c, &gc->specials.cells, true) : 0;
}

/* --- all of it --- */

struct karena_checker *karena_checker_new(struct karena_heap *heap)
{
	struct karena_checker *c = kvzalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);

	if (c)
		c->heap = heap;
	return c;
}

KARENA_EXPORT_TEST(karena_checker_new);

static int check_free(struct karena_checker *c)
{
	int err = karena_check_runs(c, &c->heap->free, false);

	if (err || !c->heap->user)
		return err;
	return karena_check_runs(c, &to_uheap(c->heap)->bare, true);
}

/* 0, -ENOMEM, or -EINTR if killed.  Sleeps. */
int karena_check_heap(struct karena_checker *c)
{
	struct karena_central *central;
	int err = 0;

	for (central = karena_first_central(c->heap); central && !err; central = central->next)
		err = karena_check_central(c, central);
	err = err ?: karena_check_magazines(c);
	err = err ?: karena_check_spans(c);
	err = err ?: check_free(c);
	err = err ?: check_sums(c);
	return err ?: check_specials(c);
}

KARENA_EXPORT_TEST(karena_check_heap);

/* As much as there is room for. */
static int tell(const struct karena_checker *c, struct karena_check *req)
{
	u64 most = min_t(u64, req->length / sizeof(c->record[0]), c->nr);
	size_t bytes = most * sizeof(c->record[0]);
	u64 records = req->records;

	if (copy_to_user(u64_to_user_ptr(records), c->record, bytes))
		return -EFAULT;
	*req = c->told;
	req->size = sizeof(*req);
	req->id = c->heap->id;
	req->records = records;
	req->length = bytes;
	return 0;
}

/* For tests: with a damage that is there for as long as this lasts. */
static int check_planted(struct karena_checker *c)
{
#ifdef KARENA_CAN_PLANT
	u32 kind = READ_ONCE(karena_planted) - KARENA_PLANT_DAMAGE;
	struct karena_wound wound;
	int err;

	if (kind < KARENA_NR_DAMAGES && karena_wound(c->heap, kind, &wound)) {
		err = karena_check_heap(c);
		karena_mend(&wound);
		return err;
	}
#endif
	return karena_check_heap(c);
}

/* With a reference to the heap that the caller names. */
int karena_do_check(struct karena_heap *heap, struct karena_check *req)
{
	struct karena_checker *c;
	int err;

	if (req->flags || req->reserved)
		return -EINVAL;
	c = karena_checker_new(heap);
	if (!c)
		return -ENOMEM;
	err = check_planted(c) ?: tell(c, req);
	kvfree(c);
	return err;
}
