// SPDX-License-Identifier: GPL-2.0
/*
 * The profile of a program's heap: calls about it, and sampled objects for the calls that
 * allocate.  See observe/profile.c.
 */
#include <linux/uaccess.h>

#include "user.h"

/* An object that is sampled, of a type or not; 0: it is to be had as any other. */
unsigned long karena_sample_one(struct karena_uheap *uh, const struct karena_type *type,
				size_t size, unsigned int flags)
{
	const struct karena_layout *layout = flags & KARENA_NOSCAN ? &karena_layout_noscan :
								     &karena_layout_conservative;

	return karena_sample_alloc(&uh->heap, size, type ? type->layout : layout, flags,
				   GFP_KERNEL);
}

/* The same, if the next object that a call is for is to be sampled. */
unsigned long karena_sample_next(struct karena_uheap *uh, const struct karena_type *type,
				 size_t size, unsigned int flags)
{
	unsigned long addr = 0;

	if (!karena_profile_before(&uh->heap, size, 1)) {
		karena_profile_again(&uh->heap);
		addr = karena_sample_one(uh, type, size, flags);
	} else {
		karena_profile_count(&uh->heap, size);
	}
	return addr;
}

/* The stacks are charged for as a whole, by who has them taken first. */
static int switch_to(struct karena_uheap *uh, u64 rate)
{
	bool first = rate && !xchg(&uh->profiled, true);
	int err = first ? karena_uheap_charge_meta(uh, KARENA_PROFILE_ROOM) : 0;

	if (err) {
		WRITE_ONCE(uh->profiled, false);
		return err;
	}
	err = karena_profile_set(&uh->heap, rate);
	return err ?: karena_magazines_arm(uh);
}

int karena_do_profile(struct karena_heap *heap, struct karena_profile *req)
{
	int err = 0;

	if (req->flags & ~KARENA_PROFILE_SET || req->reserved || !heap->user)
		return -EINVAL;
	if (req->flags & KARENA_PROFILE_SET) {
		if (req->rate > KARENA_MAX_RATE)
			return -EINVAL;
		err = switch_to(to_uheap(heap), req->rate);
	}
	return err ?: karena_profile_read(heap, req);
}

int karena_do_stack(struct karena_uheap *uh, const struct karena_calls *req)
{
	u64 object = req->object, *frames;
	int err;

	if (req->flags || req->reserved || !req->count || req->count > KARENA_MAX_FRAMES)
		return -EINVAL;
	frames = memdup_user(u64_to_user_ptr(req->frames), req->count * sizeof(*frames));
	if (IS_ERR(frames))
		return PTR_ERR(frames);
	err = karena_in_window(uh, &object) ?
	      karena_sample_tell(&uh->heap, object, frames, req->count) : -ENOENT;
	kfree(frames);
	return err;
}
