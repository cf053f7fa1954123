// SPDX-License-Identifier: GPL-2.0
/*
 * Registered layouts: types that say which words of an object hold references.
 * Objects of a type have span classes of their own, so that they carry it without
 * a header.
 */
#include <linux/export.h>
#include <linux/slab.h>

#include "kmod/alloc/object.h"
#include "gc.h"

#define WORD		sizeof(void *)

/* Index of the first bad reference of a layout, or -1. */
static int bad_ref(const struct karena_layout_attr *attr)
{
	unsigned int i;

	for (i = 0; i < attr->nr_refs; i++)
		if (attr->refs[i] % WORD || attr->refs[i] > attr->size - WORD ||
		    (i && attr->refs[i] <= attr->refs[i - 1]))
			return i;
	return -1;
}

static int check_attr(const struct karena_layout_attr *attr, unsigned int *bad)
{
	int at;

	if (!attr->size || attr->size > KARENA_MAX_SMALL ||
	    attr->flags & ~(KARENA_NOSCAN | KARENA_CONSERVATIVE) ||
	    attr->flags == (KARENA_NOSCAN | KARENA_CONSERVATIVE))
		return -EINVAL;
	if (attr->flags)
		return attr->nr_refs ? -EINVAL : 0;
	if (!attr->nr_refs)
		return 0;
	/* Elements of an array are next to each other: their words stay aligned. */
	if (attr->size % WORD || attr->nr_refs > attr->size / WORD)
		return -EINVAL;
	at = bad_ref(attr);
	if (at < 0)
		return 0;
	if (bad)
		*bad = at;
	return -EINVAL;
}

static enum karena_layout_kind kind_of(const struct karena_layout_attr *attr)
{
	if (attr->flags & KARENA_CONSERVATIVE)
		return KARENA_LAYOUT_CONSERVATIVE;
	if (!attr->nr_refs)
		return KARENA_LAYOUT_NOSCAN;
	return attr->size <= 64 * WORD ? KARENA_LAYOUT_MASK : KARENA_LAYOUT_OFFSETS;
}

static struct karena_layout *new_layout(const struct karena_layout_attr *attr, gfp_t gfp)
{
	struct karena_layout *layout;
	unsigned int i;

	layout = kzalloc(struct_size(layout, offset, attr->nr_refs), gfp);
	if (!layout)
		return NULL;
	layout->kind = kind_of(attr);
	if (!karena_layout_has_refs(layout))
		return layout;
	layout->size = attr->size;
	layout->nr = attr->nr_refs;
	for (i = 0; i < attr->nr_refs; i++) {
		layout->offset[i] = attr->refs[i] / WORD;
		if (layout->kind == KARENA_LAYOUT_MASK)
			layout->mask |= BIT_ULL(layout->offset[i]);
	}
	return layout;
}

/* The central of a type for objects of @size bytes, made on first use. */
static struct karena_central *sized(struct karena_type *type, size_t size, gfp_t gfp)
{
	unsigned int class = karena_size_to_class(size);
	struct karena_central *central, *old;

	/* Pairs with the cmpxchg below. */
	central = READ_ONCE(type->sized[class]);
	if (likely(central))
		return central;
	central = karena_central_new(type->heap,
				     KARENA_SPC(class, type->layout->kind == KARENA_LAYOUT_NOSCAN),
				     type->layout, gfp);
	if (!central)
		return NULL;
	karena_central_add(central);
	/* One that comes too late stays, unused. */
	old = cmpxchg(&type->sized[class], NULL, central);
	return old ? old : central;
}

static int add_type(struct karena_heap *heap, struct karena_type *type)
{
	int err = -ENOSPC;

	spin_lock_irq(&heap->lock);
	if (heap->nr_types < KARENA_MAX_TYPES) {
		heap->nr_types++;
		hlist_add_head(&type->node, &heap->types);
		err = 0;
	}
	spin_unlock_irq(&heap->lock);
	return err;
}

/**
 * karena_type_register - objects with a layout
 * @heap: heap that they will be of
 * @attr: the layout
 * @bad: gets the index in attr->refs of the first offset that cannot be; may be
 *	NULL
 *
 * karena_new() and karena_new_array() make objects of the type.  It lives as long
 * as its heap.
 *
 * Context: process context, may sleep; not in a mutator section.
 * Return: the type; ERR_PTR(-EINVAL) for a size of 0, above 32768 or, with
 * references, no multiple of 8, for offsets that are not ascending multiples of 8
 * inside of the element, or unknown flags; ERR_PTR(-ENOSPC) if the heap has 1,024
 * types; ERR_PTR(-ENOMEM).
 */
struct karena_type *karena_type_register(struct karena_heap *heap,
					 const struct karena_layout_attr *attr,
					 unsigned int *bad)
{
	gfp_t gfp = GFP_KERNEL | heap->gfp;
	struct karena_type *type;
	int err;

	err = check_attr(attr, bad);
	if (err)
		return ERR_PTR(err);
	type = kzalloc(sizeof(*type), gfp);
	if (!type)
		return ERR_PTR(-ENOMEM);
	err = -ENOMEM;
	karena_type_init(type, heap);
	type->sized = kcalloc(KARENA_NR_CLASSES, sizeof(*type->sized), gfp);
	type->layout = new_layout(attr, gfp);
	if (!type->sized || !type->layout)
		goto free;
	strscpy(type->name, attr->name ? attr->name : "", sizeof(type->name));
	type->element = attr->size;
	err = add_type(heap, type);
	if (err)
		goto free;
	/* From here on the heap has it: without memory it is there and unused. */
	type->central = sized(type, attr->size, gfp);
	if (!type->central)
		return ERR_PTR(-ENOMEM);
	type->cache = type->central->cache;
	type->size = type->central->size;
	return type;
free:
	kfree(type->layout);
	kfree(type->sized);
	kfree(type);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_GPL(karena_type_register);

/* Where objects of a type come from, or small arrays of them; NULL without memory. */
struct karena_central *karena_type_central(struct karena_type *type, size_t size, gfp_t gfp)
{
	return size <= KARENA_MAX_SMALL ? sized(type, size, karena_gfp(type->heap, gfp)) : NULL;
}

/* An object of a type, or an array of @size bytes of them; 0 without memory. */
unsigned long karena_alloc_typed(struct karena_type *type, size_t size, unsigned int flags,
				 gfp_t gfp)
{
	struct karena_heap *heap = type->heap;
	struct karena_central *central;
	unsigned long addr = 0;

	gfp = karena_gfp(heap, gfp);
	if (size > KARENA_MAX_SMALL)
		return karena_large_alloc(heap, size, type->layout, flags, gfp);
	central = sized(type, size, gfp);
	if (central)
		addr = karena_take(central, gfp);
	if (!addr) {
		atomic64_inc(&heap->failed);
		return 0;
	}
	if (!(flags & KARENA_NOZERO) || want_init_on_alloc(gfp))
		clear(heap, addr, central->size, heap->user);
	set_live(heap, addr, heap->user);
	return addr;
}

/**
 * karena_new_array - allocate an array
 * @type: type of its elements, registered
 * @count: how many, from 1 up
 * @gfp: as for karena_alloc()
 *
 * Context: as karena_alloc(), in a mutator section.
 * Return: the array, zeroed, or NULL without memory, at the heap's limit, or if
 * it would be larger than memory.
 */
void *karena_new_array(struct karena_type *type, size_t count, gfp_t gfp)
{
	size_t size;

	if (!count || !type->sized || check_mul_overflow(count, (size_t)type->element, &size))
		return NULL;
	return (void *)karena_alloc_typed(type, size, 0, gfp);
}
EXPORT_SYMBOL_GPL(karena_new_array);
