// SPDX-License-Identifier: GPL-2.0
/*
 * Clones: a heap that has the same objects as another one, at the same addresses, as they
 * were at one moment.
 *
 * Of a private heap only what is known of its objects is cloned: who calls is about to
 * fork(), and lets nobody else allocate or free until then (private.c).
 *
 * Of a heap that is shared everything is.  What changes it stands still meanwhile:
 *
 *  1. calls that change it are over, or wait		uh->calls
 *  2. no cycle runs				gc->cycle_lock
 *  3. whoever comes to a page waits in the fault	uh->freeze, and all is unmapped:
 *     of a collected heap most of it before, so that nobody waits for long (mapped.c)
 *
 * The moment is the end of 3.: a thread goes on until it touches the heap, and what it
 * wrote before is in the clone, whatever page it is on.  Calls in 1. may have faults of
 * their own, so 1. comes before 3.; and faults on memory that some other program is to
 * bring, so that nobody may be kept waiting in 1. for long.  Kernel code that stores or
 * clears has uh->freeze to read; what it allocates meanwhile may be in the clone or not, as
 * no one has a reference to it yet.
 *
 * Memory is not copied but for what is pinned; see cow.c.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include "kmod/compat/compat.h"
#include "user.h"

#define CALL_WAIT	msecs_to_jiffies(20)
#define STOP_WAIT	(10 * HZ)

/* --- pages --- */

/* Puts back what of @rest is before or behind a run; -ENOMEM leaves all of it there. */
static int cut_out(struct karena_uheap *uh, struct karena_run *rest, const struct karena_run *run)
{
	unsigned long offset = run->start - rest->start;
	struct karena_run *before = NULL;

	/* Whoever changes the heap meanwhile may have led us anywhere. */
	if (run->start < rest->start || offset > rest->npages ||
	    run->npages > rest->npages - offset)
		goto fail;
	if (offset) {
		before = karena_run_new(rest->start, offset, GFP_KERNEL | uh->heap.gfp);
		if (!before)
			goto fail;
		karena_bare_put(uh, before);
	}
	rest->start = run->start + run->npages;
	rest->npages -= offset + run->npages;
	if (rest->npages)
		karena_bare_put(uh, rest);
	else
		karena_run_delete(rest);
	return 0;
fail:
	karena_bare_put(uh, rest);
	return -ENOMEM;
}

/* Out of the last bare pages, which in ascending order are all behind those taken before. */
static int take_bare_run(struct karena_uheap *uh, const struct karena_run *run)
{
	struct karena_run *rest;

	spin_lock_irq(&uh->heap.lock);
	rest = karena_runs_take_last(&uh->bare, ULONG_MAX, ULONG_MAX, NULL);
	spin_unlock_irq(&uh->heap.lock);
	return rest ? cut_out(uh, rest, run) : -ENOMEM;
}

/* Addresses of the clone for a run of the heap's, with what is known of pages. */
static struct karena_run *take_addresses(struct karena_uheap *uh, unsigned long start,
					 unsigned long npages, gfp_t gfp)
{
	struct karena_run *run;

	if (karena_mheap_charge(&uh->heap, npages))
		return NULL;
	run = karena_run_new(start, npages, gfp);
	if (!run || take_bare_run(uh, run))
		goto fail;
	if (!karena_window_map(uh, run, gfp))
		return run;
	karena_bare_put(uh, run);
	run = NULL;
fail:
	karena_run_delete(run);
	karena_mheap_uncharge(&uh->heap, npages);
	return NULL;
}

static struct karena_run *take_private(struct karena_cloner *cloner, unsigned long start,
				       unsigned long npages, gfp_t gfp)
{
	return take_addresses(to_uheap(cloner->to), start, npages, gfp);
}

/* The same with the memory of the heap's. */
static struct karena_run *take_shared(struct karena_cloner *cloner, unsigned long start,
				      unsigned long npages, gfp_t gfp)
{
	struct karena_run *run = take_addresses(to_uheap(cloner->to), start, npages, gfp);
	unsigned long i;

	for (i = start; run && i < start + npages; i++) {
		if (karena_page_share(to_uheap(cloner->to), to_uheap(cloner->from), i)) {
			/* What it has got already goes with the heap. */
			karena_mheap_free(cloner->to, run);
			return NULL;
		}
		if (i % KARENA_LEAF_PAGES == 0)
			cond_resched();
	}
	return run;
}

/* --- types --- */

/* Of the clone of a shared heap, which has them by the same numbers. */
static struct karena_type *type_of(struct karena_cloner *cloner, u32 id)
{
	return karena_uheap_type(to_uheap(cloner->to), id);
}

/* --- at one moment --- */

/* Those that are in a fault have it mapped when its lock is had. */
static void unmap_magazines(struct karena_uheap *uh)
{
	struct address_space *mapping = uh->inode->i_mapping;
	struct page *page;
	unsigned long i;

	unmap_mapping_range(mapping, KARENA_OFF_MAGAZINES, uh->magazines.size, 1);
	xa_for_each(&uh->magazines.pages, i, page) {
		lock_page(page);
		if (folio_mapped(page_folio(page)))
			unmap_mapping_range(mapping, KARENA_OFF_MAGAZINES + i * PAGE_SIZE,
					    PAGE_SIZE, 1);
		unlock_page(page);
	}
}

/* A call that changes the heap begins; -EINTR if killed before. */
int karena_calls_enter(struct karena_uheap *uh)
{
	/* It may be that the clone waits for a program that waits for us. */
	if (READ_ONCE(uh->cloning))
		wait_event_killable_timeout(uh->cloned, !READ_ONCE(uh->cloning), CALL_WAIT);
	return down_read_killable(&uh->calls);
}

void karena_calls_exit(struct karena_uheap *uh)
{
	up_read(&uh->calls);
}

/* Both, or none. */
static bool try_to_stop(struct karena_uheap *uh)
{
	struct karena_gc *gc = uh->heap.gc;

	if (!down_write_trylock(&uh->calls))
		return false;
	if (!gc || mutex_trylock(&gc->cycle_lock))
		return true;
	up_write(&uh->calls);
	return false;
}

/*
 * Waits until calls are over, and no cycle runs: -EINTR if killed before, -EAGAIN if that
 * does not come.  Nobody waits for a lock that is asked for here, see at the top.
 */
static int stop_changes(struct karena_uheap *uh)
{
	unsigned long end = jiffies + STOP_WAIT;

	while (!try_to_stop(uh)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (time_after(jiffies, end))
			return -EAGAIN;
		/* For a stop it stands meanwhile. */
		schedule_timeout_killable(1);
	}
	return 0;
}

static void begin_changes(struct karena_uheap *uh)
{
	if (uh->heap.gc)
		mutex_unlock(&uh->heap.gc->cycle_lock);
	up_write(&uh->calls);
}

/* From here on nobody comes to what is in the heap. */
void karena_freeze(struct karena_uheap *uh)
{
	if (!karena_is_planted(KARENA_PLANT_NOT_FROZEN))
		down_write(&uh->freeze);
	karena_unmap_objects(uh);
	unmap_magazines(uh);
	karena_unmapped();
}

void karena_thaw(struct karena_uheap *uh)
{
	if (!karena_is_planted(KARENA_PLANT_NOT_FROZEN))
		up_write(&uh->freeze);
}

/* --- the clone --- */

static void free_in_clone(void *arg, unsigned long addr)
{
	struct karena_uheap *clone = arg;
	u64 at = addr;

	if (karena_in_window(clone, &at))
		karena_free_addr(&clone->heap, at);
}

/* What is in magazines of programs they have not got. */
static void free_magazines(struct karena_uheap *clone, struct karena_uheap *uh)
{
	int section = karena_uheap_enter(clone);

	mutex_lock(&uh->inflight_lock);
	karena_magazines_visit(uh, free_in_clone, clone);
	mutex_unlock(&uh->inflight_lock);
	karena_uheap_exit(clone, section);
}

static int fill(struct karena_uheap *clone, struct karena_uheap *uh)
{
	struct karena_cloner cloner = {
		.from = &uh->heap,
		.to = &clone->heap,
		.take = uh->private ? take_private : take_shared,
		.type = uh->private ? NULL : type_of,
	};
	int err = karena_heap_clone(&cloner);

	if (!err)
		free_magazines(clone, uh);
	return err;
}

static int fill_private(struct karena_uheap *clone, struct karena_uheap *uh)
{
	int err = karena_private_grow_to(clone, READ_ONCE(uh->grown));

	return err ? err : fill(clone, uh);
}

/* Not before somebody has it mapped, and wants it: else there is nothing but garbage. */
static int stop_collector(struct karena_uheap *uh)
{
	struct karena_gc_params params;
	int err = karena_gc_get(&uh->heap, &params);

	params.percent = -1;
	params.period_ms = 0;
	params.mem_limit = 0;
	return err ? err : karena_gc_set(&uh->heap, &params);
}

static int freeze(struct karena_uheap *clone, struct karena_uheap *uh)
{
	karena_unmap_most(uh);
	if (clone->roots)
		return karena_freeze_with_roots(uh, clone->roots);
	karena_freeze(uh);
	return 0;
}

static int fill_stopped(struct karena_uheap *clone, struct karena_uheap *uh)
{
	int err = karena_types_copy(clone, uh);

	if (err)
		return err;
	err = freeze(clone, uh);
	if (err)
		return err;
	err = fill(clone, uh);
	karena_thaw(uh);
	return err ? err : karena_weaks_copy(clone, uh);
}

static int fill_shared(struct karena_uheap *clone, struct karena_uheap *uh)
{
	int err = uh->heap.gc ? stop_collector(clone) : 0;

	if (err)
		return err;
	/* Of several at once some may have it less easy. */
	WRITE_ONCE(uh->cloning, true);
	err = stop_changes(uh);
	if (!err) {
		err = fill_stopped(clone, uh);
		begin_changes(uh);
	}
	WRITE_ONCE(uh->cloning, false);
	wake_up_all(&uh->cloned);
	return err;
}

static u32 setup_flags(const struct karena_uheap *uh)
{
	if (uh->private)
		return KARENA_SETUP_PRIVATE;
	if (!uh->heap.gc)
		return 0;
	return KARENA_SETUP_COLLECT | (uh->written ? 0 : KARENA_SETUP_BARRIER);
}

static int fill_clone(struct karena_uheap *clone, struct karena_uheap *uh, bool dump)
{
	if (uh->private)
		return fill_private(clone, uh);
	if (dump && uh->heap.gc) {
		clone->roots = karena_roots_new(clone);
		if (!clone->roots)
			return -ENOMEM;
	}
	return fill_shared(clone, uh);
}

/* A clone, with a reference; for a @dump with the roots of the moment. */
struct karena_uheap *karena_clone_make(struct karena_uheap *uh, bool dump)
{
	struct karena_setup setup = {
		.flags = setup_flags(uh),
		.window = (u64)uh->npages << KARENA_PAGE_SHIFT,
		.limit = (u64)uh->heap.limit << KARENA_PAGE_SHIFT,
	};
	struct karena_uheap *clone;
	int err;

	strscpy(setup.name, uh->heap.name, sizeof(setup.name));
	clone = karena_uheap_create(&setup, uh);
	if (IS_ERR(clone))
		return clone;
	err = fill_clone(clone, uh, dump);
	if (!err)
		return clone;
	karena_heap_put(&clone->heap);
	return ERR_PTR(err);
}

int karena_do_clone(struct karena_uheap *uh, struct karena_clone *req,
		    struct karena_clone __user *ureq)
{
	struct karena_uheap *clone;
	int err;

	if (req->flags || req->reserved)
		return -EINVAL;
	clone = karena_clone_make(uh, false);
	if (IS_ERR(clone))
		return PTR_ERR(clone);
	err = karena_file_give(clone, O_RDWR, &req->fd, &ureq->fd);
	karena_heap_put(&clone->heap);
	return err;
}
