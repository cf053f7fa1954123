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
	/* Nobody else has it yet. */
	type->layout->type = req->id;
	/* The entry is there: needs no memory. */
	xa_store(&uh->types, req->id, type, GFP_KERNEL);
	return 0;
}

static int register_type(struct karena_uheap *uh, struct karena_register *req, const u32 *refs)
{
	int err;

	err = xa_alloc(&uh->types, &req->id, NULL, XA_LIMIT(1, KARENA_MAX_TYPES), GFP_KERNEL);
	if (err)
		return err == -EBUSY ? -ENOSPC : err;
	err = make_type(uh, req, refs);
	if (err)
		xa_erase(&uh->types, req->id);
	return err;
}

/* KARENA_TYPE_* of what objects hold. */
u32 karena_type_flags(const struct karena_layout *layout)
{
	switch (layout->kind) {
	case KARENA_LAYOUT_CONSERVATIVE:
		return KARENA_TYPE_CONSERVATIVE;
	case KARENA_LAYOUT_NOSCAN:
		return KARENA_TYPE_NOSCAN;
	default:
		return 0;
	}
}

static bool is_layout(const struct karena_layout *layout, u32 flags, const u32 *refs, u32 nr)
{
	u32 i;

	if (!karena_layout_has_refs(layout))
		return !nr && (flags ?: KARENA_TYPE_NOSCAN) == karena_type_flags(layout);
	if (flags || layout->nr != nr)
		return false;
	for (i = 0; i < nr && layout->offset[i] * sizeof(u64) == refs[i]; i++)
		;
	return i == nr;
}

/* Whether a type is what a request asks for. */
static bool is_same(const struct karena_type *type, const struct karena_register *req,
		    const u32 *refs)
{
	return type->element == req->object_size && !strcmp(type->name, req->name) &&
	       is_layout(type->layout, req->flags, refs, req->nr_refs);
}

/* Its number, or 0. */
static u32 find_same(struct karena_uheap *uh, const struct karena_register *req, const u32 *refs)
{
	struct karena_type *type;
	unsigned long id;

	xa_for_each(&uh->types, id, type)
		if (is_same(type, req, refs))
			return id;
	return 0;
}

/* Several processes may register what they share, each for itself. */
static int find_or_register(struct karena_uheap *uh, struct karena_register *req, const u32 *refs,
			    struct karena_register __user *ureq)
{
	int err = 0;

	/*
	 * A type stays until its heap goes: none for whom its number cannot be told.  Not
	 * under the mutex, as a program may serve that memory.
	 */
	if (put_user(req->id, &ureq->id))
		return -EFAULT;
	if (mutex_lock_killable(&uh->types_lock))
		return -EINTR;
	req->id = find_same(uh, req, refs);
	if (!req->id)
		err = register_type(uh, req, refs);
	mutex_unlock(&uh->types_lock);
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
	err = find_or_register(uh, req, refs, ureq);
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

static int copy_type(struct karena_uheap *to, u32 id, const struct karena_type *type)
{
	const struct karena_layout *layout = type->layout;
	struct karena_register req = {
		.object_size = type->element,
		.nr_refs = layout->nr,
		.id = id,
		.flags = karena_type_flags(layout),
	};
	u32 *refs, i;
	int err;

	refs = kvmalloc_array(layout->nr + 1, sizeof(*refs), GFP_KERNEL | to->heap.gfp);
	if (!refs)
		return -ENOMEM;
	for (i = 0; i < layout->nr; i++)
		refs[i] = layout->offset[i] * sizeof(u64);
	strscpy(req.name, type->name, sizeof(req.name));
	err = xa_reserve(&to->types, id, GFP_KERNEL | to->heap.gfp);
	if (!err)
		err = make_type(to, &req, refs);
	kvfree(refs);
	return err;
}

/* Makes the types of @from those of @to, which has none, by the same numbers. */
int karena_types_copy(struct karena_uheap *to, struct karena_uheap *from)
{
	struct karena_type *type;
	unsigned long id;
	int err = 0;

	mutex_lock(&from->types_lock);
	xa_for_each(&from->types, id, type) {
		err = copy_type(to, id, type);
		if (err)
			break;
	}
	mutex_unlock(&from->types_lock);
	return err;
}
