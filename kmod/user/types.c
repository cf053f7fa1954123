// SPDX-License-Identifier: GPL-2.0
/*
 * Types that programs register for their heaps, by number.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "user.h"

/* What the module's own interface calls them. */
static unsigned int kernel_flags(u32 flags)
{
	return (flags & KARENA_TYPE_NOSCAN ? KARENA_NOSCAN : 0) |
	       (flags & KARENA_TYPE_CONSERVATIVE ? KARENA_CONSERVATIVE : 0);
}

static int make_type(struct karena_uheap *uh, struct karena_register *req, const u32 *refs)
{
	const struct karena_layout_attr attr = {
		.name = req->name,
		.size = req->object_size,
		.refs = refs,
		.nr_refs = req->nr_refs,
		.flags = kernel_flags(req->flags),
	};
	struct karena_type *type;
	int err;

	err = karena_uheap_charge_meta(uh, KARENA_TYPE_CHARGE);
	if (err)
		return err;
	type = karena_type_register(&uh->heap, &attr, &req->bad);
	if (IS_ERR(type)) {
		karena_uheap_uncharge_meta(uh, KARENA_TYPE_CHARGE);
		return PTR_ERR(type);
	}
	/* The entry is there: needs no memory. */
	xa_store(&uh->types, req->id, type, GFP_KERNEL);
	return 0;
}

/* A type stays until its heap goes: a number that cannot be told is not given to any. */
static int register_type(struct karena_uheap *uh, struct karena_register *req, const u32 *refs,
			 struct karena_register __user *ureq)
{
	int err;

	err = xa_alloc(&uh->types, &req->id, NULL, XA_LIMIT(1, KARENA_MAX_TYPES), GFP_KERNEL);
	if (err)
		return err == -EBUSY ? -ENOSPC : err;
	err = put_user(req->id, &ureq->id) ? -EFAULT : make_type(uh, req, refs);
	if (err)
		xa_erase(&uh->types, req->id);
	return err;
}

/* Of a request whose flags and name have been checked; which word is bad in any case. */
int karena_uheap_register(struct karena_uheap *uh, struct karena_register *req,
			  struct karena_register __user *ureq)
{
	u32 *refs = NULL;
	int err;

	if (req->object_size > KARENA_MAX_SMALL || req->nr_refs > KARENA_MAX_SMALL / sizeof(u64))
		return -EINVAL;
	if (req->nr_refs) {
		refs = vmemdup_user(u64_to_user_ptr(req->refs), req->nr_refs * sizeof(*refs));
		if (IS_ERR(refs))
			return PTR_ERR(refs);
	}
	req->bad = req->nr_refs;
	err = register_type(uh, req, refs, ureq);
	kvfree(refs);
	if (err == -EINVAL && put_user(req->bad, &ureq->bad))
		return -EFAULT;
	return err;
}

/* The type of a number that a program gave, NULL if there is none.  It stays. */
struct karena_type *karena_uheap_type(struct karena_uheap *uh, u32 id)
{
	if (!id || id > KARENA_MAX_TYPES)
		return NULL;
	return xa_load(&uh->types, array_index_nospec(id, KARENA_MAX_TYPES + 1));
}
