// SPDX-License-Identifier: GPL-2.0
/*
 * Private heaps: the window is ordinary memory of one process, which has mapped it there
 * itself, and the kernel has what is known of its objects only.  So memory is what it is
 * for any program (copied on write by fork(), in huge pages, swapped, dumped), and none
 * of it is ever looked at from here.
 *
 * Bare are pages that the program has not touched, or has given back: they read as zero.
 * The process maps it bit by bit and tells how far (KARENA_IOC_GROW).  What is free in the
 * heap stays its own until it asks what to give back, and says that it has
 * (KARENA_IOC_RELEASE): one run at a time, which nobody can have meanwhile.
 *
 * After fork() the child's memory is as its parent's was, and so has to be its heap: a
 * clone, made before by who is about to fork and lets nobody else allocate until then.
 */
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "kmod/observe/trace.h"
#include "user.h"

static struct karena_run *private_grow(struct karena_heap *heap, unsigned long n, gfp_t gfp)
{
	struct karena_uheap *uh = to_uheap(heap);
	struct karena_run *run;

	if (karena_mheap_charge(heap, n))
		return NULL;
	run = karena_bare_take(uh, n, gfp);
	if (run && !karena_window_map(uh, run, gfp)) {
		run->zeroed = true;
		return run;
	}
	if (run)
		karena_bare_put(uh, run);
	karena_mheap_uncharge(heap, n);
	return NULL;
}

static void private_release(struct karena_heap *heap, struct karena_run *run)
{
	karena_mheap_uncharge(heap, run->npages);
	karena_bare_put(to_uheap(heap), run);
}

/*
 * The user is charged for what the kernel knows of each page, at most about a quarter of
 * it: in all as many quarters as there are pages.
 */
#define META_SHARE	4

static int private_charge(struct karena_heap *heap, unsigned long n)
{
	struct karena_uheap *uh = to_uheap(heap);
	unsigned long now = atomic_long_add_return(n, &uh->spanned);
	unsigned long some = now / META_SHARE - (now - n) / META_SHARE;

	if (!some || !karena_user_charge(uh->user, some))
		return 0;
	/* Others may have come between: what they have been charged for counts. */
	now = atomic_long_sub_return(n, &uh->spanned);
	karena_user_uncharge(uh->user, (now + n) / META_SHARE - now / META_SHARE - some);
	return -ENOMEM;
}

static void private_uncharge(struct karena_heap *heap, unsigned long n)
{
	struct karena_uheap *uh = to_uheap(heap);
	unsigned long now = atomic_long_sub_return(n, &uh->spanned);

	karena_user_uncharge(uh->user, (now + n) / META_SHARE - now / META_SHARE);
}

/* Objects are not to be had from here: who takes one clears it. */
static void private_clear(struct karena_heap *heap, unsigned long addr, size_t size)
{
}

/* Large objects of some numbers of pages have magazines. */
static int private_publish(struct karena_heap *heap, struct karena_run *run, u16 value)
{
	bool large = value == 1 + KARENA_SPC(0, 0) || value == 1 + KARENA_SPC(0, 1);
	unsigned int number = large ? karena_magazine_of_pages(run->npages) : 0;

	return karena_control_publish(heap, run, number ?: value);
}

static void private_drain(struct karena_heap *heap)
{
	karena_magazines_drain(to_uheap(heap));
}

const struct karena_backing karena_private_backing = {
	.by_program = true,
	.grow = private_grow,
	.release = private_release,
	.forget = karena_window_forget,
	.drain = private_drain,
	.publish = private_publish,
	.clear = private_clear,
	.wipe = private_clear,
	.charge = private_charge,
	.uncharge = private_uncharge,
	.destroy = karena_window_destroy,
};

/* The window's first @npages are there. */
int karena_private_grow_to(struct karena_uheap *uh, unsigned long npages)
{
	struct karena_run *run = karena_run_new(0, 0, GFP_KERNEL | uh->heap.gfp);

	if (!run)
		return -ENOMEM;
	spin_lock_irq(&uh->heap.lock);
	if (npages > uh->grown) {
		run->start = uh->grown;
		run->npages = npages - uh->grown;
		karena_runs_insert(&uh->bare, run);
		uh->grown = npages;
		run = NULL;
	}
	spin_unlock_irq(&uh->heap.lock);
	karena_run_delete(run);
	return 0;
}

KARENA_EXPORT_TEST(karena_private_grow_to);

int karena_do_grow(struct karena_uheap *uh, struct karena_grow *req)
{
	if (req->flags || !uh->private || req->length % KARENA_PAGE_SIZE ||
	    req->length >> KARENA_PAGE_SHIFT > uh->npages)
		return -EINVAL;
	return karena_private_grow_to(uh, req->length >> KARENA_PAGE_SHIFT);
}

/* What has been given back becomes bare; -EINVAL if it was not asked for. */
static int take_leaving(struct karena_uheap *uh, const struct karena_release *req)
{
	struct karena_run *run = uh->leaving;

	if (!req->length)
		return 0;
	if (!run || req->start != uh->heap.base + (run->start << KARENA_PAGE_SHIFT) ||
	    req->length != run->npages << KARENA_PAGE_SHIFT)
		return -EINVAL;
	/* Looked at without the lock, but with the heap's: observe/check.c. */
	WRITE_ONCE(uh->leaving, NULL);
	trace_karena_scavenge(uh->heap.id, run->npages << KARENA_PAGE_SHIFT);
	karena_bare_put(uh, run);
	return 0;
}

/* What is to be given back next, unless somebody else is at it. */
static void tell_leaving(struct karena_uheap *uh, struct karena_release *req)
{
	req->start = 0;
	req->length = 0;
	if (uh->leaving)
		return;
	/* As above. */
	WRITE_ONCE(uh->leaving, karena_scavenge_take(&uh->heap,
						     req->flags & KARENA_RELEASE_ALL));
	if (!uh->leaving)
		return;
	karena_mheap_uncharge(&uh->heap, uh->leaving->npages);
	req->start = uh->heap.base + (uh->leaving->start << KARENA_PAGE_SHIFT);
	req->length = uh->leaving->npages << KARENA_PAGE_SHIFT;
}

int karena_do_release(struct karena_uheap *uh, struct karena_release *req,
		      struct karena_release __user *ureq)
{
	int err;

	if (req->flags & ~KARENA_RELEASE_ALL || !uh->private)
		return -EINVAL;
	/* Nobody could give back what cannot be told. */
	if (put_user(req->length, &ureq->length))
		return -EFAULT;
	if (req->flags & KARENA_RELEASE_ALL && !req->length)
		karena_reclaim(&uh->heap);
	mutex_lock(&uh->leaving_lock);
	karena_move_begin(&uh->heap);
	err = take_leaving(uh, req);
	if (!err)
		tell_leaving(uh, req);
	karena_move_end(&uh->heap);
	mutex_unlock(&uh->leaving_lock);
	return err;
}
