// SPDX-License-Identifier: GPL-2.0
/*
 * Objects that programs allocate and free by calls, one or many at a time.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "user.h"

#define ADDR_BATCH	64u		/* addresses that are handled at a time */

static unsigned long alloc_one(struct karena_heap *heap, struct karena_type *type,
			       const struct karena_alloc *req)
{
	return type ? karena_alloc_typed(type, req->object_size, req->flags, GFP_KERNEL) :
		      karena_alloc_addr(heap, req->object_size, req->flags, GFP_KERNEL);
}

/* One object; or more of them, if they come from a central: how many. */
static unsigned int alloc_next(struct karena_uheap *uh, struct karena_central *central,
			       struct karena_type *type, const struct karena_alloc *req,
			       unsigned long *to, unsigned int n)
{
	size_t size = central ? central->size : req->object_size;
	unsigned int before = karena_profile_before(&uh->heap, size, n);

	if (!before) {
		karena_profile_again(&uh->heap);
		*to = karena_sample_one(uh, type, req->object_size, req->flags);
		if (*to)
			return 1;
		before = 1;
	}
	if (central)
		n = karena_alloc_some(central, req->flags, GFP_KERNEL, before, to);
	else
		n = (*to = alloc_one(&uh->heap, type, req)) != 0;
	karena_profile_count(&uh->heap, n * size);
	return n;
}

/* Where many objects of one size come from together; or NULL. */
static struct karena_central *find_central(struct karena_heap *heap, struct karena_type *type,
					   const struct karena_alloc *req)
{
	if (req->count == 1)
		return NULL;
	return type ? karena_type_central(type, req->object_size, GFP_KERNEL) :
		      karena_size_central(heap, req->object_size, req->flags, GFP_KERNEL);
}

/* Up to @n more objects, at the end of the list; how many. */
static unsigned int alloc_some(struct karena_uheap *uh, struct karena_type *type,
			       const struct karena_alloc *req, unsigned long *addrs,
			       struct karena_inflight *list, unsigned int n)
{
	struct karena_central *central = find_central(&uh->heap, type, req);
	int section = karena_uheap_enter(uh);
	unsigned int done, got;

	for (done = 0; done < n && !fatal_signal_pending(current); done += got) {
		got = alloc_next(uh, central, type, req, addrs + list->nr, n - done);
		if (!got)
			break;
		/* Pairs with smp_load_acquire() in visit_inflight(). */
		smp_store_release(&list->nr, list->nr + got);
	}
	karena_uheap_exit(uh, section);
	return done;
}

/*
 * At the limit: what the heap can do without; false if there is nothing to be had.  A
 * private heap's program rather lets it grow, or empties magazines by itself.
 */
bool karena_make_room(struct karena_uheap *uh)
{
	bool any = !uh->private && karena_magazines_drain(uh) >= 0;

	if (!uh->heap.gc)
		return any;
	karena_collect(&uh->heap, true);
	return true;
}

/* @count objects or none; a fatal signal can come between. */
static int alloc_all(struct karena_uheap *uh, struct karena_type *type,
		     const struct karena_alloc *req, unsigned long *addrs,
		     struct karena_inflight *list)
{
	bool again = true;
	unsigned int want;

	while (list->nr < req->count) {
		if (uh->heap.gc)
			karena_pacer_hold(uh->heap.gc);
		want = min(req->count - list->nr, ADDR_BATCH);
		if (alloc_some(uh, type, req, addrs, list, want) < want) {
			if (fatal_signal_pending(current))
				return -EINTR;
			if (!again || !karena_make_room(uh))
				return -ENOMEM;
			again = false;
		}
		karena_stand(uh);
	}
	return 0;
}

static int check_alloc(const struct karena_alloc *req)
{
	static_assert(KARENA_ALLOC_NOZERO == KARENA_NOZERO);
	static_assert(KARENA_ALLOC_NOSCAN == KARENA_NOSCAN);

	if (req->flags & ~(KARENA_ALLOC_NOZERO | KARENA_ALLOC_NOSCAN))
		return -EINVAL;
	if (!req->count || req->count > KARENA_MAX_BULK)
		return -EINVAL;
	if (req->type)
		return req->flags & KARENA_ALLOC_NOSCAN ? -EINVAL : 0;
	return req->object_size ? 0 : -EINVAL;
}

/* The type that a request names, if it does, and the size of one object of it. */
static int find_type(struct karena_uheap *uh, struct karena_alloc *req,
		     struct karena_type **type)
{
	*type = NULL;
	if (!req->type)
		return 0;
	*type = karena_uheap_type(uh, req->type);
	if (!*type)
		return -EINVAL;
	if (!req->object_size)
		req->object_size = (*type)->element;
	return req->object_size % (*type)->element ? -EINVAL : 0;
}

/* Nobody was told of them. */
void karena_take_back(struct karena_uheap *uh, unsigned int n, const unsigned long *addrs)
{
	int section = karena_uheap_enter(uh);
	unsigned int i;

	for (i = 0; i < n; i++)
		karena_free_addr(&uh->heap, addrs[i]);
	karena_uheap_exit(uh, section);
}

/* Allocates and tells the addresses; what cannot be told is free again. */
static int alloc_and_tell(struct karena_uheap *uh, struct karena_type *type,
			  const struct karena_alloc *req, unsigned long *addrs)
{
	struct karena_inflight list = { .addrs = addrs };
	int err;

	karena_inflight_add(uh, &list);
	err = alloc_all(uh, type, req, addrs, &list);
	if (!err && copy_to_user(u64_to_user_ptr(req->addrs), addrs,
				 req->count * sizeof(*addrs)))
		err = -EFAULT;
	/* Still listed, or a cycle might free them as well. */
	if (err)
		karena_take_back(uh, list.nr, addrs);
	karena_inflight_del(uh, &list);
	return err;
}

int karena_do_alloc(struct karena_uheap *uh, struct karena_alloc *req)
{
	unsigned long one, *addrs = &one;
	struct karena_type *type;
	int err;

	err = check_alloc(req);
	/* What is packed cannot be cloned; all others are of the classes of magazines. */
	if (uh->private && !err) {
		req->flags |= KARENA_ALLOC_NOSCAN;
		req->object_size = max_t(u64, req->object_size, KARENA_SLOT_UNIT);
	}
	if (!err)
		err = find_type(uh, req, &type);
	if (err)
		return err;
	if (req->object_size > (u64)uh->npages << KARENA_PAGE_SHIFT)
		return -ENOMEM;
	if (req->count > 1)
		addrs = kvmalloc_array(req->count, sizeof(*addrs),
				       GFP_KERNEL_ACCOUNT | __GFP_NOWARN |
				       __GFP_RETRY_MAYFAIL);
	if (!addrs)
		return -ENOMEM;
	karena_admit(uh);
	err = alloc_and_tell(uh, type, req, addrs);
	if (addrs != &one)
		kvfree(addrs);
	return err;
}

/* Frees what a program says that it has. */
enum karena_reject karena_free_in_window(struct karena_uheap *uh, u64 addr)
{
	enum karena_reject why;
	int section;

	if (!karena_in_window(uh, &addr)) {
		karena_reject(&uh->heap, addr, KARENA_REJECT_NOT_OBJECT);
		return KARENA_REJECT_NOT_OBJECT;
	}
	if (!uh->heap.gc)
		return karena_free_addr(&uh->heap, addr);
	section = karena_enter(&uh->heap);
	if (atomic_long_read(&uh->specials))
		karena_specials_forget(uh->heap.gc, addr);
	karena_free_shade(uh, addr);
	why = karena_free_addr(&uh->heap, addr);
	karena_exit(&uh->heap, section);
	return why;
}

static void free_one(struct karena_uheap *uh, struct karena_free *req,
		     unsigned int index, u64 addr)
{
	enum karena_reject why;

	if (!addr)
		return;
	why = karena_free_in_window(uh, addr);
	if (why == KARENA_REJECT_NONE)
		return;
	if (!req->rejected++) {
		req->first_rejected = index;
		req->reason = why;
	}
}

int karena_do_free(struct karena_uheap *uh, struct karena_free *req)
{
	u64 __user *in = u64_to_user_ptr(req->addrs);
	unsigned long missing;
	u64 addrs[ADDR_BATCH];
	unsigned int i, j, n;

	if (req->flags || !req->count || req->count > KARENA_MAX_BULK)
		return -EINVAL;
	req->rejected = 0;
	req->first_rejected = 0;
	req->reason = KARENA_REJECT_NONE;
	for (i = 0; i < req->count; i += n) {
		n = min(req->count - i, ADDR_BATCH);
		missing = copy_from_user(addrs, in + i, n * sizeof(*addrs));
		for (j = 0; j < n - DIV_ROUND_UP(missing, sizeof(*addrs)); j++)
			free_one(uh, req, i + j, addrs[j]);
		if (missing)
			return -EFAULT;
		karena_stand(uh);
	}
	return 0;
}
