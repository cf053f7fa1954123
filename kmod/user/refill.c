// SPDX-License-Identifier: GPL-2.0
/*
 * Objects of a type that a thread takes together, as extents, and hands out one by
 * one without a call: what Go's threads do with the spans in their mcache.
 *
 * The kernel does not know which ones were handed out.  It need not: those that were
 * not are in extents in a range that is registered as such (KARENA_ROOT_EXTENTS), which
 * the stop of each cycle reads; the rest lives or dies by who refers to it.
 */
#include <linux/rcupdate.h>
#include <linux/uaccess.h>

#include "user.h"

/* Whether these are objects of a span that begin where it says. */
static bool is_extent(const struct karena_span *span, const struct karena_extent *extent)
{
	u64 bytes;

	if (!span || !span->size)
		return false;
	bytes = (u64)span->size * span->nelems;
	return extent->end > extent->start && extent->end - span->base <= bytes &&
	       karena_is_start(extent->start - span->base, span->magic) &&
	       (extent->end - extent->start) % span->size == 0;
}

/*
 * All objects of an extent that has up to @most bytes: how many it has.  Of what is none,
 * either word.  May sleep, if @visit does.
 */
unsigned long karena_extent_visit(struct karena_uheap *uh, const struct karena_extent *extent,
				  unsigned long most, karena_visit_t *visit, void *arg)
{
	struct karena_span *span;
	unsigned long addr;
	u32 size;

	/* What has been handed out is of no interest. */
	if (extent->start == extent->end)
		return 0;
	rcu_read_lock();
	span = karena_span_at(&uh->heap, extent->start);
	size = is_extent(span, extent) ? span->size : 0;
	rcu_read_unlock();
	if (!size || extent->end - extent->start > most) {
		visit(arg, extent->start);
		visit(arg, extent->end);
		return 0;
	}
	for (addr = extent->start; addr < extent->end; addr += size)
		visit(arg, addr);
	return extent->end - extent->start;
}

static void take_back(struct karena_uheap *uh, const struct karena_extents *extents, u32 size)
{
	int section = karena_enter(&uh->heap);
	unsigned long addr;
	unsigned int i;

	for (i = 0; i < extents->nr; i++)
		for (addr = extents->extent[i].start; addr < extents->extent[i].end; addr += size)
			karena_free_addr(&uh->heap, addr);
	karena_exit(&uh->heap, section);
}

/* One object that is sampled; 0 if it cannot be. */
static unsigned int take_sample(struct karena_uheap *uh, const struct karena_type *type,
				struct karena_extents *extents)
{
	unsigned long addr = karena_sample_one(uh, type, type->element, 0);

	if (!addr)
		return 0;
	extents->extent[0] = (struct karena_extent){ addr, addr + type->size };
	extents->nr = 1;
	return 1;
}

/*
 * Some objects, on a list from before a cycle can begin without them; or, with a @most of
 * 0, one that is sampled.
 */
static unsigned int take(struct karena_uheap *uh, const struct karena_type *type,
			 struct karena_central *central, unsigned int most,
			 struct karena_extents *extents, struct karena_inflight *inflight)
{
	int section = karena_enter(&uh->heap);
	unsigned int n = most ? 0 : take_sample(uh, type, extents);

	if (!n)
		n = karena_alloc_extents(central, GFP_KERNEL, max(most, 1u), extents);
	if (n)
		/* Pairs with smp_load_acquire() in visit_inflight(). */
		smp_store_release(&inflight->extents, extents);
	karena_exit(&uh->heap, section);
	return n;
}

/* As take(); at the limit once more, after a cycle. */
static unsigned int take_or_collect(struct karena_uheap *uh, const struct karena_type *type,
				    struct karena_central *central, unsigned int most,
				    struct karena_extents *extents,
				    struct karena_inflight *inflight)
{
	unsigned int n;

	karena_pacer_hold(uh->heap.gc);
	karena_stand(uh);
	n = take(uh, type, central, most, extents, inflight);
	if (n || fatal_signal_pending(current))
		return n;
	karena_collect(&uh->heap, true);
	return take(uh, type, central, most, extents, inflight);
}

/* How many of the objects that are asked for come before one to be sampled. */
static unsigned int before_sample(struct karena_uheap *uh, const struct karena_refill *req,
				  u32 size)
{
	if (req->flags & KARENA_REFILL_SAMPLE)
		return 0;
	if (!karena_profile_rate(&uh->heap))
		return req->count;
	/* Without a memory: what is drawn in vain says nothing of the objects behind. */
	return min_t(u64, req->count, div_u64(karena_profile_draw(&uh->heap), size));
}

static int tell(const struct karena_extents *extents, const struct karena_refill *req,
		struct karena_refill __user *ureq)
{
	if (copy_to_user(u64_to_user_ptr(req->extents), extents->extent,
			 extents->nr * sizeof(*extents->extent)))
		return -EFAULT;
	return copy_to_user(ureq, req, sizeof(*req)) ? -EFAULT : 0;
}

static int refill(struct karena_uheap *uh, const struct karena_type *type,
		  struct karena_central *central, struct karena_refill *req,
		  struct karena_refill __user *ureq)
{
	unsigned int before = before_sample(uh, req, central->size), most = req->count;
	struct karena_extents extents = { .room = req->room };
	struct karena_inflight inflight = {};
	int err;

	karena_inflight_add(uh, &inflight);
	req->count = take_or_collect(uh, type, central, before, &extents, &inflight);
	req->flags = before && before < most && req->count == before ? KARENA_REFILL_SAMPLE : 0;
	req->room = extents.nr;
	req->distance = central->size;
	if (req->count)
		err = tell(&extents, req, ureq);
	else
		err = fatal_signal_pending(current) ? -EINTR : -ENOMEM;
	/* Still listed, or a cycle might free them as well. */
	if (err)
		take_back(uh, &extents, central->size);
	karena_inflight_del(uh, &inflight);
	return err;
}

int karena_do_refill(struct karena_uheap *uh, struct karena_refill *req,
		     struct karena_refill __user *ureq)
{
	struct karena_central *central;
	struct karena_type *type;

	if (req->flags & ~KARENA_REFILL_SAMPLE || !uh->heap.gc || !req->room ||
	    req->room > KARENA_MAX_EXTENTS || !req->count || req->count > KARENA_MAX_BULK)
		return -EINVAL;
	type = karena_uheap_type(uh, req->type);
	if (!type)
		return -EINVAL;
	central = karena_type_central(type, type->element, GFP_KERNEL);
	karena_admit(uh);
	return central ? refill(uh, type, central, req, ureq) : -ENOMEM;
}
