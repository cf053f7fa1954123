// SPDX-License-Identifier: GPL-2.0
/*
 * Types: objects of one size and kind, as kernel code asks for them with
 * karena_new().  A type leads straight to its span class, so that nothing has
 * to be looked up when the size is known.
 */
#include <linux/export.h>
#include <linux/slab.h>

#include "object.h"

/**
 * karena_type_create - objects of one size
 * @heap: heap to take them from
 * @size: bytes of each, 1 to 32768
 * @flags: KARENA_NOSCAN or 0
 *
 * The type lives as long as its heap.
 *
 * Context: process context, may sleep.
 * Return: the type, ERR_PTR(-EINVAL) for a size or flag that cannot be, or
 * ERR_PTR(-ENOMEM).
 */
struct karena_type *karena_type_create(struct karena_heap *heap, size_t size,
				       unsigned int flags)
{
	struct karena_central *central;
	struct karena_type *type;

	if (!size || size > KARENA_MAX_SMALL || flags & ~KARENA_NOSCAN)
		return ERR_PTR(-EINVAL);
	central = karena_central_get(heap, spc_of(size, flags), GFP_KERNEL | heap->gfp);
	type = kzalloc(sizeof(*type), GFP_KERNEL | heap->gfp);
	if (!type || !central) {
		kfree(type);
		return ERR_PTR(-ENOMEM);
	}
	type->cache = central->cache;
	type->central = central;
	karena_type_init(type, heap);
	type->size = central->size;
	spin_lock_irq(&heap->lock);
	hlist_add_head(&type->node, &heap->types);
	spin_unlock_irq(&heap->lock);
	return type;
}
EXPORT_SYMBOL_GPL(karena_type_create);

/* What each type has, whatever its objects hold. */
void karena_type_init(struct karena_type *type, struct karena_heap *heap)
{
	type->map = heap->map;
	type->base = heap->base;
	type->secret = karena_secret;
	type->heap = heap;
}

/* All types of a heap that goes. */
void karena_types_delete(struct karena_heap *heap)
{
	struct karena_type *type;
	struct hlist_node *next;

	hlist_for_each_entry_safe(type, next, &heap->types, node) {
		kfree(type->layout);
		kfree(type->sized);
		kfree(type);
	}
}

/*
 * The way of karena_new() when the CPU's magazine is empty, or what came from it
 * is somebody's already.
 */
void *karena_new_slow(struct karena_type *type, unsigned long unsound, unsigned int flags,
		      gfp_t gfp)
{
	unsigned long addr;

	if (unsound)
		karena_reject(type->heap, unsound, KARENA_REJECT_DOUBLE);
	addr = karena_take(type->central, karena_gfp(type->heap, gfp));
	if (!addr) {
		atomic64_inc(&type->heap->failed);
		return NULL;
	}
	if (wants_zero(flags, gfp))
		memset((void *)addr, 0, type->size);
	return (void *)addr;
}
EXPORT_SYMBOL_GPL(karena_new_slow);

/* The way of karena_del() when the CPU's magazine is full. */
void karena_del_slow(struct karena_type *type, unsigned long addr)
{
	karena_mcache_free(type->central, addr);
}
EXPORT_SYMBOL_GPL(karena_del_slow);
