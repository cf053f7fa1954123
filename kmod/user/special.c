// SPDX-License-Identifier: GPL-2.0
/*
 * Weak references and cleanups of programs: gc/special.c has what they are.
 *
 * A weak reference is in a cell: an object without references, whose first word has the
 * address.  The program reads it without a call while no cycle runs, and the kernel
 * makes it 0 when the object is gone.  What the kernel knows of it is its own: a program
 * that writes to the cell spoils the cell.
 *
 * Cleanups whose objects are gone are events, which whoever reads the descriptor gets,
 * each once.  An event is not taken before it has been copied out, so that nothing is
 * lost with a reader that is killed: it is in the memory that it was read to.
 *
 * The page-to-class map says of the page of such an object that frees are for the kernel.
 */
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "user.h"

/* So many together are charged to the user as a page. */
#define SPECIALS_PER_PAGE	64

struct uspecial {
	struct karena_special special;
	u64 cookie;			/* of a cleanup */
};

static struct uspecial *to_uspecial(struct karena_special *special)
{
	return container_of(special, struct uspecial, special);
}

static int charge(struct karena_uheap *uh)
{
	int err = 0;

	static_assert(SPECIALS_PER_PAGE * 2 * sizeof(struct uspecial) <= 2 * KARENA_PAGE_SIZE);
	if (atomic_long_inc_return(&uh->specials) % SPECIALS_PER_PAGE == 1)
		err = karena_uheap_charge_meta(uh, KARENA_PAGE_SIZE);
	if (err)
		atomic_long_dec(&uh->specials);
	return err;
}

static void uncharge(struct karena_uheap *uh)
{
	if (atomic_long_dec_return(&uh->specials) % SPECIALS_PER_PAGE == 0)
		karena_uheap_uncharge_meta(uh, KARENA_PAGE_SIZE);
}

static struct uspecial *new_special(struct karena_uheap *uh, u64 target)
{
	struct uspecial *us;

	if (charge(uh))
		return NULL;
	us = kzalloc(sizeof(*us), GFP_KERNEL_ACCOUNT);
	if (us)
		us->special.target = target;
	else
		uncharge(uh);
	return us;
}

void karena_special_free(struct karena_heap *heap, struct karena_special *special)
{
	uncharge(to_uheap(heap));
	kfree(to_uspecial(special));
}

/* It is 0, unless the program has put something else there. */
void karena_weak_clear(struct karena_heap *heap, unsigned long cell, unsigned long target)
{
	struct karena_uheap *uh = to_uheap(heap);
	unsigned long *word = karena_writable_get(uh, cell);

	if (!word)
		return;
	cmpxchg(word, target, 0);
	karena_writable_put(uh, word);
}

/* Adds it, or it is gone. */
static int add(struct karena_uheap *uh, struct uspecial *us)
{
	int section, err;

	/* First: who frees it from here on asks the kernel. */
	karena_control_special(uh, us->special.target);
	if (us->special.cell)
		karena_control_special(uh, us->special.cell);
	section = karena_enter(&uh->heap);
	err = karena_special_add(uh->heap.gc, &us->special);
	karena_exit(&uh->heap, section);
	if (err)
		karena_special_free(&uh->heap, &us->special);
	return err;
}

/* Whether the object at an address is never looked into. */
static bool is_noscan(struct karena_uheap *uh, unsigned long addr)
{
	struct karena_span *span;
	bool noscan;
	u32 index;

	rcu_read_lock();
	span = karena_find_object(&uh->heap, addr, &index);
	noscan = span && span->layout->kind == KARENA_LAYOUT_NOSCAN;
	rcu_read_unlock();
	return noscan;
}

int karena_do_weak(struct karena_uheap *uh, const struct karena_weak_cell *req)
{
	u64 cell = req->cell, object = req->object;
	struct uspecial *us;

	if (req->flags || !uh->heap.gc || cell == object)
		return -EINVAL;
	if (!karena_in_window(uh, &cell) || !karena_in_window(uh, &object))
		return -ENOENT;
	if (!is_noscan(uh, cell))
		return -EINVAL;
	us = new_special(uh, object);
	if (!us)
		return -ENOMEM;
	us->special.cell = cell;
	return add(uh, us);
}

int karena_do_weak_get(struct karena_uheap *uh, struct karena_weak_cell *req,
		       struct karena_weak_cell __user *ureq)
{
	unsigned long object = 0;
	struct karena_inflight list = { .addrs = &object };
	u64 cell = req->cell;
	int section, err;

	if (req->flags || !uh->heap.gc || !karena_in_window(uh, &cell))
		return -EINVAL;
	karena_inflight_add(uh, &list);
	section = karena_enter(&uh->heap);
	err = karena_cell_target(uh->heap.gc, cell, &object);
	/* Pairs with smp_load_acquire() in visit_inflight(). */
	smp_store_release(&list.nr, object ? 1 : 0);
	karena_exit(&uh->heap, section);
	req->object = object;
	/* The program has it before the list does not. */
	if (!err && put_user(req->object, &ureq->object))
		err = -EFAULT;
	karena_inflight_del(uh, &list);
	return err;
}

static bool has_cookie(const struct karena_special *special, const void *arg)
{
	const u64 *cookie = arg;

	return special->cleanup &&
	       container_of(special, const struct uspecial, special)->cookie == *cookie;
}

int karena_do_cleanup(struct karena_uheap *uh, const struct karena_cleanup_call *req)
{
	struct karena_special *special;
	u64 object = req->object;
	struct uspecial *us;

	if (req->flags & ~KARENA_CLEANUP_DEL || !uh->heap.gc)
		return -EINVAL;
	if (!karena_in_window(uh, &object))
		return -ENOENT;
	if (req->flags & KARENA_CLEANUP_DEL) {
		special = karena_special_remove(uh->heap.gc, object, has_cookie, &req->cookie);
		if (!special)
			return -ENOENT;
		karena_special_free(&uh->heap, special);
		return 0;
	}
	us = new_special(uh, object);
	if (!us)
		return -ENOMEM;
	us->special.cleanup = true;
	us->cookie = req->cookie;
	return add(uh, us);
}

/*
 * A clone has the weak references that the heap has, and no cleanups: what they stand
 * for is there once.  Nothing changes the heap meanwhile.
 */
int karena_weaks_copy(struct karena_uheap *to, struct karena_uheap *from)
{
	struct karena_special *weak;
	struct uspecial *us;
	unsigned long key;
	int err;

	if (!from->heap.gc)
		return 0;
	xa_for_each(&from->heap.gc->specials.cells, key, weak) {
		us = new_special(to, weak->target);
		if (!us)
			return -ENOMEM;
		us->special.cell = weak->cell;
		err = add(to, us);
		/* What a program has freed, and said to be special meanwhile, is free there. */
		if (err && err != -ENOENT)
			return err;
		cond_resched();
	}
	return 0;
}

/* --- events --- */

/* Copies out what is due, and fits; how many bytes, or -EFAULT if it is none. */
static ssize_t read_due(struct karena_uheap *uh, char __user *to, size_t room)
{
	struct karena_event event = { .type = KARENA_EVENT_CLEANUP };
	struct karena_gc *gc = uh->heap.gc;
	struct karena_special *cleanup;
	size_t done = 0;

	while (room - done >= sizeof(event)) {
		cleanup = karena_cleanup_take(gc);
		if (!cleanup)
			break;
		event.cookie = to_uspecial(cleanup)->cookie;
		if (copy_to_user(to + done, &event, sizeof(event))) {
			karena_cleanup_put_back(gc, cleanup);
			return done ?: -EFAULT;
		}
		karena_cleanup_done(gc);
		karena_special_free(&uh->heap, cleanup);
		done += sizeof(event);
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}
	return done;
}

ssize_t karena_read(struct file *file, char __user *to, size_t room, loff_t *pos)
{
	struct karena_uheap *uh = karena_file_heap(file);
	struct karena_specials *set;
	ssize_t done;

	/* Who may only ask takes nothing from the others. */
	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (!uh)
		return -ENXIO;
	if (!uh->heap.gc || room < sizeof(struct karena_event))
		return -EINVAL;
	set = &uh->heap.gc->specials;
	for (;;) {
		done = read_due(uh, to, room);
		if (done)
			return done;
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		/* READ_ONCE: looked at with the lock again. */
		if (wait_event_interruptible(set->wait, READ_ONCE(set->nr_due)))
			return -ERESTARTSYS;
	}
}

__poll_t karena_poll(struct file *file, poll_table *wait)
{
	struct karena_uheap *uh = karena_file_heap(file);
	__poll_t mask;

	if (!uh)
		return EPOLLERR;
	mask = karena_over_poll(uh, file, wait);
	if (!uh->heap.gc)
		return mask;
	poll_wait(file, &uh->heap.gc->specials.wait, wait);
	return mask | (READ_ONCE(uh->heap.gc->specials.nr_due) ? EPOLLIN | EPOLLRDNORM : 0);
}
