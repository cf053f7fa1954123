// SPDX-License-Identifier: GPL-2.0
/*
 * What is to happen when an object is gone: weak references to it read as NULL, and
 * cleanups are due.  Go's weak.Pointer and runtime.AddCleanup (mheap.c: "specials").
 *
 * A special is known by the address of its object, and in the heap of a program a weak
 * reference also by that of its cell, an object in which the program finds the address.
 * Neither keeps its object, which is therefore never brought back: a cleanup does not
 * get it, and a weak reference leads to it or to nothing.
 *
 * Each cycle goes through all specials once nothing is marked any more, and nothing has
 * been swept (end() in gc/cycle.c): an object without a mark is gone then.  Who asks for
 * the object of a weak reference is in a mutator section, and sees
 *
 *	IDLE	it is there for as long as the section lasts, or is gone: the next cycle
 *		waits for the section
 *	MARK	the same; it is shaded, so that this cycle finds it alive: the end of
 *		marking waits for the section
 *	SWEEP	OPEN	the end of marking waits for the section, or it does not; it is
 *			shaded with the lock, without which nobody closes the set
 *		CLOSED	who asks waits until they have been gone through
 *		SETTLED	it is there, as when IDLE
 *
 * So what has been told to be gone is so for everybody, and what has been given to
 * somebody lives.
 *
 * lock guards the set, and comes after cycle_lock; inside of it programs' pages may be
 * written, and due_lock be taken.  Whoever has it waits for no section.
 */
#include <linux/export.h>
#include <linux/sched.h>

#include "gc.h"

#define BATCH	64u			/* objects that are gone through at a stretch */

static unsigned long key_of(unsigned long addr)
{
	return addr / sizeof(u64);
}

/* --- objects --- */

/* The span of the object that begins at an address; NULL if none does.  Under RCU. */
static struct karena_span *find_start(struct karena_heap *heap, unsigned long addr, u32 *index)
{
	struct karena_span *span = karena_find_object(heap, addr, index);

	return span && addr == span->base + (unsigned long)*index * span->size ? span : NULL;
}

/* Whether a live object begins at an address; of a program's heap it says so from then on. */
static int hold_object(struct karena_heap *heap, unsigned long addr)
{
	struct karena_span *span;
	bool live = false;
	u32 index;

	rcu_read_lock();
	/* Of those in one block only the first begins where the block does. */
	span = karena_find_object(heap, addr, &index);
	if (span && span->tiny) {
		rcu_read_unlock();
		return -EINVAL;
	}
	span = find_start(heap, addr, &index);
	if (span && heap->user)
		live = karena_is_live(cmpxchg(&span->state[index], KARENA_LIVE, KARENA_SPECIAL));
	else if (span)
		live = karena_usable_addr(heap, addr);
	rcu_read_unlock();
	return live ? 0 : -ENOENT;
}

/* That of an address, and of none that only has the same key. */
static struct karena_special *find_special(struct xarray *set, unsigned long addr)
{
	return IS_ALIGNED(addr, sizeof(u64)) ? xa_load(set, key_of(addr)) : NULL;
}

/* An object of a program that has no specials any more is one as all others. */
static void let_go(struct karena_gc *gc, unsigned long addr)
{
	struct karena_specials *set = &gc->specials;
	struct karena_span *span;
	u32 index;

	if (!gc->world || find_special(&set->objects, addr) || find_special(&set->cells, addr))
		return;
	rcu_read_lock();
	span = find_start(gc->heap, addr, &index);
	if (span)
		cmpxchg(&span->state[index], KARENA_SPECIAL, KARENA_LIVE);
	rcu_read_unlock();
}

/* Whether a cycle that has marked all has found an object alive. */
static bool is_marked(struct karena_heap *heap, unsigned long addr)
{
	struct karena_span *span;
	bool marked;
	u32 index;

	rcu_read_lock();
	span = karena_find_object(heap, addr, &index);
	marked = span && test_bit(index, span->mark);
	rcu_read_unlock();
	/* Kernel callers may have freed it by hand, against the rules. */
	return marked && (heap->user || karena_usable_addr(heap, addr));
}

/* --- the set --- */

static struct karena_special *first_of(struct karena_specials *set, unsigned long addr)
{
	return find_special(&set->objects, addr);
}

static int link_special(struct karena_gc *gc, struct karena_special *special)
{
	struct karena_specials *set = &gc->specials;
	struct karena_special *first = first_of(set, special->target);

	if (first) {
		/* Behind the last one of the ring. */
		list_add_tail(&special->node, &first->node);
		return 0;
	}
	INIT_LIST_HEAD(&special->node);
	return xa_err(xa_store(&set->objects, key_of(special->target), special,
			       GFP_KERNEL | gc->heap->gfp));
}

static void unlink_special(struct karena_gc *gc, struct karena_special *special)
{
	struct karena_specials *set = &gc->specials;
	unsigned long key = key_of(special->target);

	if (list_empty(&special->node))
		xa_erase(&set->objects, key);
	else if (xa_load(&set->objects, key) == special)
		/* In the place of another one: needs no memory. */
		xa_store(&set->objects, key, list_next_entry(special, node), GFP_KERNEL);
	list_del_init(&special->node);
}

static void count(struct karena_gc *gc, const struct karena_special *special, int n)
{
	spin_lock(&gc->stats_lock);
	if (special->cleanup)
		gc->stats.cleanups += n;
	else
		gc->stats.weak += n;
	spin_unlock(&gc->stats_lock);
}

static int add_locked(struct karena_gc *gc, struct karena_special *special)
{
	struct karena_specials *set = &gc->specials;
	int err = 0;

	if (special->cell) {
		err = hold_object(gc->heap, special->cell);
		if (!err && find_special(&set->cells, special->cell))
			err = -EEXIST;
		if (!err)
			err = xa_insert(&set->cells, key_of(special->cell), special,
					GFP_KERNEL | gc->heap->gfp);
	}
	if (!err)
		err = hold_object(gc->heap, special->target);
	if (!err)
		err = link_special(gc, special);
	if (err && special->cell && find_special(&set->cells, special->cell) == special)
		xa_erase(&set->cells, key_of(special->cell));
	if (!err)
		count(gc, special, 1);
	return err;
}

/*
 * Makes a special known, by its target, which is reachable until this returns, and its
 * cell: 0, -ENOENT if no live object begins there, -EINVAL if that is packed with
 * others, -EEXIST if the cell is one already, -ENOMEM.  May sleep.
 */
int karena_special_add(struct karena_gc *gc, struct karena_special *special)
{
	unsigned long target = special->target;
	int err;

	mutex_lock(&gc->specials.lock);
	err = add_locked(gc, special);
	if (err) {
		let_go(gc, target);
		if (special->cell)
			let_go(gc, special->cell);
	} else if (READ_ONCE(gc->heap->head.phase) == KARENA_MARK) {
		karena_shade(gc, target);
	}
	mutex_unlock(&gc->specials.lock);
	return err;
}

/* Its object is gone, and whoever waits for that may have it. */
static void make_due(struct karena_gc *gc, struct karena_special *cleanup)
{
	struct karena_specials *set = &gc->specials;

	spin_lock(&set->due_lock);
	list_add_tail(&cleanup->node, &set->due);
	WRITE_ONCE(set->nr_due, set->nr_due + 1);
	spin_unlock(&set->due_lock);
	if (gc->world)
		wake_up_interruptible(&set->wait);
	else
		queue_work(system_dfl_wq, &set->work);
}

/* Out of the set, and nobody's; with the lock. */
static void drop_weak(struct karena_gc *gc, struct karena_special *weak, bool gone)
{
	unsigned long cell = weak->cell, target = weak->target;

	if (cell)
		xa_erase(&gc->specials.cells, key_of(cell));
	if (gone && !karena_is_planted(KARENA_PLANT_WEAK_KEPT)) {
		/* Read without the lock, in a section: see the top. */
		WRITE_ONCE(weak->target, 0);
		if (cell)
			gc->world->weak_clear(gc->heap, cell, target);
		spin_lock(&gc->stats_lock);
		gc->stats.weak_cleared++;
		spin_unlock(&gc->stats_lock);
	}
	if (cell) {
		let_go(gc, cell);
		gc->world->special_free(gc->heap, weak);
	}
}

/* The object of a special is gone. */
static void object_gone(struct karena_gc *gc, struct karena_special *special)
{
	unlink_special(gc, special);
	count(gc, special, -1);
	if (special->cleanup) {
		special->target = 0;
		make_due(gc, special);
	} else {
		drop_weak(gc, special, true);
	}
}

/* A weak reference is, and its object may be there. */
static void cell_gone(struct karena_gc *gc, struct karena_special *weak)
{
	unsigned long target = weak->target;

	unlink_special(gc, weak);
	count(gc, weak, -1);
	drop_weak(gc, weak, false);
	let_go(gc, target);
}

static void all_gone(struct karena_gc *gc, unsigned long addr)
{
	struct karena_special *special;

	while ((special = first_of(&gc->specials, addr)))
		object_gone(gc, special);
	let_go(gc, addr);
}

/*
 * An object of a program is about to be freed by hand, or is not there: what is known of
 * it has happened.  May sleep.
 */
void karena_specials_forget(struct karena_gc *gc, unsigned long addr)
{
	struct karena_special *weak;

	mutex_lock(&gc->specials.lock);
	weak = find_special(&gc->specials.cells, addr);
	if (weak)
		cell_gone(gc, weak);
	all_gone(gc, addr);
	mutex_unlock(&gc->specials.lock);
}

static int add_for_kernel(struct karena_heap *heap, struct karena_special *special)
{
	if (!heap->gc || heap->user)
		return -EINVAL;
	return karena_special_add(heap->gc, special);
}

/*
 * Takes the first special of an object that @match says it is out of the set; NULL if
 * there is none.  May sleep.
 */
struct karena_special *
karena_special_remove(struct karena_gc *gc, unsigned long addr,
		      bool (*match)(const struct karena_special *special, const void *arg),
		      const void *arg)
{
	struct karena_special *special, *first;

	mutex_lock(&gc->specials.lock);
	first = first_of(&gc->specials, addr);
	special = first;
	while (special && !match(special, arg)) {
		special = list_next_entry(special, node);
		if (special == first)
			special = NULL;
	}
	if (special) {
		unlink_special(gc, special);
		count(gc, special, -1);
		let_go(gc, addr);
	}
	mutex_unlock(&gc->specials.lock);
	return special;
}

/* --- cycles --- */

static void check_cell(struct karena_gc *gc, struct karena_special *weak)
{
	if (!is_marked(gc->heap, weak->cell))
		cell_gone(gc, weak);
}

static void check_object(struct karena_gc *gc, struct karena_special *first)
{
	if (!is_marked(gc->heap, first->target))
		all_gone(gc, first->target);
}

/* What happens in between to those behind is seen. */
static void check_all(struct karena_gc *gc, struct xarray *set,
		      void (*check)(struct karena_gc *gc, struct karena_special *special))
{
	struct karena_special *special;
	unsigned long key;
	unsigned int n = 0;

	mutex_lock(&gc->specials.lock);
	xa_for_each(set, key, special) {
		check(gc, special);
		if (++n % BATCH)
			continue;
		mutex_unlock(&gc->specials.lock);
		cond_resched();
		mutex_lock(&gc->specials.lock);
	}
	mutex_unlock(&gc->specials.lock);
}

/* Before the phase is to sweep. */
void karena_specials_open(struct karena_gc *gc)
{
	mutex_lock(&gc->specials.lock);
	gc->specials.state = KARENA_SPECIALS_OPEN;
	mutex_unlock(&gc->specials.lock);
}

/* From here on nothing is shaded; false if something has been meanwhile. */
bool karena_specials_close(struct karena_gc *gc)
{
	bool idle;

	mutex_lock(&gc->specials.lock);
	idle = karena_queue_idle(&gc->queue);
	if (idle)
		WRITE_ONCE(gc->specials.state, KARENA_SPECIALS_CLOSED);
	mutex_unlock(&gc->specials.lock);
	return idle;
}

/* When nothing is marked any more.  May sleep. */
void karena_specials_settle(struct karena_gc *gc)
{
	struct karena_specials *set = &gc->specials;

	check_all(gc, &set->cells, check_cell);
	check_all(gc, &set->objects, check_object);
	mutex_lock(&set->lock);
	WRITE_ONCE(set->state, KARENA_SPECIALS_SETTLED);
	mutex_unlock(&set->lock);
	wake_up_all(&set->settled);
}

/* --- weak references --- */

/* READ_ONCE: looked at with the lock again. */
static bool is_closed(const struct karena_specials *set)
{
	return READ_ONCE(set->state) == KARENA_SPECIALS_CLOSED;
}

/* Takes the lock when it is told what of the set is there; false if not. */
static bool try_lock(struct karena_specials *set)
{
	mutex_lock(&set->lock);
	if (!is_closed(set))
		return true;
	mutex_unlock(&set->lock);
	return false;
}

static void shade_target(struct karena_gc *gc, unsigned long target)
{
	if (!karena_is_planted(KARENA_PLANT_WEAK_UNSHADED))
		karena_shade(gc, target);
}

/* The object, which is reachable from here on as any other; 0 if it is gone. */
static unsigned long target_of(struct karena_gc *gc, const struct karena_special *weak)
{
	if (READ_ONCE(gc->heap->head.phase) == KARENA_MARK ||
	    gc->specials.state == KARENA_SPECIALS_OPEN)
		shade_target(gc, weak->target);
	return weak->target;
}

/*
 * The same of the weak reference that a program has in a cell; -EINTR if killed before.
 * In a section.
 */
int karena_cell_target(struct karena_gc *gc, unsigned long cell, unsigned long *target)
{
	struct karena_specials *set = &gc->specials;
	struct karena_special *weak;

	/* Whoever checks a cycle may have to stop the caller meanwhile. */
	while (!try_lock(set))
		if (wait_event_killable(set->settled, !is_closed(set)))
			return -EINTR;
	weak = find_special(&set->cells, cell);
	*target = weak ? target_of(gc, weak) : 0;
	mutex_unlock(&set->lock);
	return 0;
}

/**
 * karena_weak_add - a reference that does not keep its object
 * @heap: heap that is collected
 * @weak: the reference; stays where it is until karena_weak_del() or the heap's end
 * @object: live object, by its start
 *
 * Such an object is freed by the collector, or after karena_weak_del().
 *
 * Context: process context, may sleep; inside of a mutator section, or the object is
 * reachable otherwise.
 * Return: 0, -EINVAL if the heap is not collected, or the object is packed (KARENA_NOSCAN
 * and below 16 bytes), -ENOENT if no object begins there, -ENOMEM.
 */
int karena_weak_add(struct karena_heap *heap, struct karena_weak *weak, const void *object)
{
	weak->special = (struct karena_special) { .target = (unsigned long)object };
	return add_for_kernel(heap, &weak->special);
}
EXPORT_SYMBOL_GPL(karena_weak_add);

/**
 * karena_weak_get - the object of a weak reference
 * @heap: heap that is collected
 * @weak: the reference
 *
 * Who gets NULL is followed by nobody who gets the object.
 *
 * Context: process context, may sleep while a cycle ends; in a mutator section, which is
 * as long as the object is the caller's, if it is not stored.
 * Return: the object, or NULL if it is gone.
 */
void *karena_weak_get(struct karena_heap *heap, struct karena_weak *weak)
{
	struct karena_gc *gc = heap->gc;
	/* Once: see the top. */
	u8 phase = READ_ONCE(heap->head.phase);
	unsigned long target;

	if (phase == KARENA_SWEEP) {
		while (!try_lock(&gc->specials))
			wait_event(gc->specials.settled, !is_closed(&gc->specials));
		target = target_of(gc, &weak->special);
		mutex_unlock(&gc->specials.lock);
		return (void *)target;
	}
	target = READ_ONCE(weak->special.target);
	if (phase == KARENA_MARK)
		shade_target(gc, target);
	return (void *)target;
}
EXPORT_SYMBOL_GPL(karena_weak_get);

/**
 * karena_weak_del - end of a weak reference
 * @heap: heap that is collected
 * @weak: the reference, whether its object is there or not
 *
 * Context: process context, may sleep.
 */
void karena_weak_del(struct karena_heap *heap, struct karena_weak *weak)
{
	struct karena_gc *gc = heap->gc;

	mutex_lock(&gc->specials.lock);
	if (weak->special.target) {
		unlink_special(gc, &weak->special);
		count(gc, &weak->special, -1);
		WRITE_ONCE(weak->special.target, 0);
	}
	mutex_unlock(&gc->specials.lock);
}
EXPORT_SYMBOL_GPL(karena_weak_del);

/* --- cleanups --- */

/* The next one that is due, the caller's; NULL if there is none. */
struct karena_special *karena_cleanup_take(struct karena_gc *gc)
{
	struct karena_specials *set = &gc->specials;
	struct karena_special *cleanup;

	spin_lock(&set->due_lock);
	cleanup = list_first_entry_or_null(&set->due, struct karena_special, node);
	if (cleanup) {
		list_del_init(&cleanup->node);
		WRITE_ONCE(set->nr_due, set->nr_due - 1);
		set->running = cleanup;
	}
	spin_unlock(&set->due_lock);
	return cleanup;
}

/* It could not be told: it is the next one again. */
void karena_cleanup_put_back(struct karena_gc *gc, struct karena_special *cleanup)
{
	struct karena_specials *set = &gc->specials;

	spin_lock(&set->due_lock);
	list_add(&cleanup->node, &set->due);
	WRITE_ONCE(set->nr_due, set->nr_due + 1);
	spin_unlock(&set->due_lock);
	wake_up_interruptible(&set->wait);
}

void karena_cleanup_done(struct karena_gc *gc)
{
	spin_lock(&gc->stats_lock);
	gc->stats.cleanups_done++;
	spin_unlock(&gc->stats_lock);
}

/* Calls those of a kernel heap, in the order in which they came to be due. */
static void call_due(struct karena_gc *gc)
{
	struct karena_specials *set = &gc->specials;
	struct karena_special *special;
	struct karena_cleanup *cleanup;

	while ((special = karena_cleanup_take(gc))) {
		cleanup = container_of(special, struct karena_cleanup, special);
		karena_cleanup_done(gc);
		cleanup->fn(cleanup);
		/* Not followed: it may be free. */
		WRITE_ONCE(set->running, NULL);
		wake_up_all(&set->settled);
		cond_resched();
	}
}

static void cleanup_work(struct work_struct *work)
{
	call_due(container_of(work, struct karena_gc, specials.work));
}

/**
 * karena_cleanup_add - a function to be called when an object is gone
 * @heap: heap that is collected
 * @cleanup: stays where it is until @fn is called, or karena_cleanup_del()
 * @object: live object, by its start
 * @fn: gets @cleanup, after the object is gone: what it needs is beside that, and must not
 *	refer to the object
 *
 * An object may have several; they are called in the order in which they were added,
 * one at a time in each heap, each once: after the cycle that finds the object dead, or
 * when the heap goes, if that is before.  They may sleep, allocate and collect, but not
 * drop the last reference to the heap.  Such an object is not freed by hand before
 * karena_cleanup_del().  Go's runtime.AddCleanup.
 *
 * Context: process context, may sleep; inside of a mutator section, or the object is
 * reachable otherwise.
 * Return: as karena_weak_add().
 */
int karena_cleanup_add(struct karena_heap *heap, struct karena_cleanup *cleanup,
		       const void *object, void (*fn)(struct karena_cleanup *cleanup))
{
	cleanup->fn = fn;
	cleanup->special = (struct karena_special) {
		.target = (unsigned long)object,
		.cleanup = true,
	};
	return add_for_kernel(heap, &cleanup->special);
}
EXPORT_SYMBOL_GPL(karena_cleanup_add);

static bool unlink_due(struct karena_specials *set, struct karena_special *cleanup)
{
	bool due;

	spin_lock(&set->due_lock);
	due = !list_empty(&cleanup->node);
	list_del_init(&cleanup->node);
	WRITE_ONCE(set->nr_due, set->nr_due - due);
	spin_unlock(&set->due_lock);
	return due;
}

/**
 * karena_cleanup_del - a function is not to be called any more
 * @heap: heap that is collected
 * @cleanup: what was added, and is still there
 *
 * Not from @fn itself.
 *
 * Context: process context, may sleep.
 * Return: true if it is not called; false if it was, and has returned.
 */
bool karena_cleanup_del(struct karena_heap *heap, struct karena_cleanup *cleanup)
{
	struct karena_special *special = &cleanup->special;
	struct karena_gc *gc = heap->gc;
	bool linked;

	mutex_lock(&gc->specials.lock);
	linked = special->target;
	if (linked) {
		unlink_special(gc, special);
		count(gc, special, -1);
		special->target = 0;
	} else {
		linked = unlink_due(&gc->specials, special);
	}
	mutex_unlock(&gc->specials.lock);
	/* READ_ONCE: call_due() clears it after the call. */
	wait_event(gc->specials.settled, READ_ONCE(gc->specials.running) != special);
	return linked;
}
EXPORT_SYMBOL_GPL(karena_cleanup_del);

/* --- heaps --- */

void karena_specials_init(struct karena_gc *gc)
{
	struct karena_specials *set = &gc->specials;

	mutex_init(&set->lock);
	xa_init(&set->objects);
	xa_init(&set->cells);
	init_waitqueue_head(&set->settled);
	spin_lock_init(&set->due_lock);
	INIT_LIST_HEAD(&set->due);
	init_waitqueue_head(&set->wait);
	INIT_WORK(&set->work, cleanup_work);
}

/* All objects are gone.  After the last cycle. */
void karena_specials_exit(struct karena_gc *gc)
{
	struct karena_specials *set = &gc->specials;
	struct karena_special *special;
	unsigned long key;

	cancel_work_sync(&set->work);
	mutex_lock(&set->lock);
	xa_for_each(&set->cells, key, special)
		cell_gone(gc, special);
	xa_for_each(&set->objects, key, special)
		all_gone(gc, special->target);
	mutex_unlock(&set->lock);
	if (!gc->world)
		call_due(gc);
	while ((special = karena_cleanup_take(gc)))
		gc->world->special_free(gc->heap, special);
	xa_destroy(&set->objects);
	xa_destroy(&set->cells);
}
