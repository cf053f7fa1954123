/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karena: the contract with kernel callers.
 *
 * A heap hands out objects from per-CPU magazines over spans of 67 size
 * classes, as Go's runtime does:
 *
 *	struct karena_heap *heap = karena_heap_create("index", NULL);
 *
 *	if (IS_ERR(heap))
 *		return PTR_ERR(heap);
 *	node = karena_alloc(heap, sizeof(*node), 0, GFP_KERNEL);
 *	...
 *	karena_free(heap, node);
 *	karena_heap_put(heap);
 *
 * Contexts: karena_alloc(), karena_free() and their bulk forms may be called
 * from process, softirq and hardirq context (not from NMI), with any spinlock
 * held; what may sleep is what @gfp says.  GFP_KERNEL sleeps when a magazine
 * has to be filled, GFP_ATOMIC and GFP_NOWAIT never do.  Objects are in the
 * kernel's linear mapping, except those above 64 KiB, which may be mapped
 * pages as from vmalloc().
 */
#ifndef _KARENA_H
#define _KARENA_H

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/types.h>

#include "kmod/alloc/fast.h"

/* The object need not be zeroed: what an earlier one held may stand. */
#define KARENA_NOZERO	BIT(0)
/* The object will never hold a reference; below 16 bytes it may share a block. */
#define KARENA_NOSCAN	BIT(1)

/**
 * struct karena_heap_attr - what a heap may be asked to be
 * @limit: most bytes of memory for objects, 0 for no limit
 * @account: charge the memory to the control group of who allocates
 */
struct karena_heap_attr {
	u64 limit;
	bool account;
};

/**
 * struct karena_heap_stats - numbers of a heap, in bytes or as counts
 * @held_bytes: memory held for objects, free spans included
 * @span_bytes: of it, in spans in use
 * @live_objects: objects that are allocated
 * @live_bytes: their bytes
 * @cached_objects: free objects in magazines and depots
 * @allocs: objects allocated since the heap was made
 * @frees: objects freed since then
 * @failed: allocations that found no memory
 * @rejects: wrong frees
 * @meta_bytes: memory for metadata, about
 */
struct karena_heap_stats {
	u64 held_bytes;
	u64 span_bytes;
	u64 live_objects;
	u64 live_bytes;
	u64 cached_objects;
	u64 allocs;
	u64 frees;
	u64 failed;
	u64 rejects;
	u64 meta_bytes;
};

struct karena_heap *karena_heap_create(const char *name,
				       const struct karena_heap_attr *attr);
struct karena_heap *karena_heap_get(struct karena_heap *heap);
void karena_heap_put(struct karena_heap *heap);
void karena_heap_stats(struct karena_heap *heap, struct karena_heap_stats *stats);

void *karena_alloc(struct karena_heap *heap, size_t size, unsigned int flags,
		   gfp_t gfp) __must_check __malloc;
bool karena_free(struct karena_heap *heap, const void *object);
unsigned int karena_alloc_bulk(struct karena_heap *heap, size_t size,
			       unsigned int flags, gfp_t gfp,
			       unsigned int count, void **objects) __must_check;
unsigned int karena_free_bulk(struct karena_heap *heap, unsigned int count,
			      void **objects);
size_t karena_usable_size(struct karena_heap *heap, const void *object);

/* Objects of one size: what is below is for the inline functions only. */
struct karena_type {
	struct karena_mcache __percpu *cache;
	struct karena_central *central;
	struct karena_pagemap *map;
	unsigned long base;
	unsigned long secret;
	struct karena_heap *heap;
	u32 size;
	struct hlist_node node;
};

struct karena_type *karena_type_create(struct karena_heap *heap, size_t size,
				       unsigned int flags);
void *karena_new_slow(struct karena_type *type, unsigned long unsound, unsigned int flags,
		      gfp_t gfp);
void karena_del_slow(struct karena_type *type, unsigned long addr);

/**
 * karena_new - allocate an object of a type
 * @type: the type
 * @flags: KARENA_NOZERO or 0; best a constant
 * @gfp: as for karena_alloc()
 *
 * The same as karena_alloc() with the size of the type, but faster, as it is
 * compiled into the caller and looks up nothing.  What one of them allocated
 * the other may free.
 *
 * Context: as karena_alloc().
 * Return: the object, or NULL without memory or at the heap's limit.
 */
static __always_inline void *karena_new(struct karena_type *type, unsigned int flags,
					gfp_t gfp)
{
	unsigned long addr = karena_take_fast(type->cache);

	if (unlikely(!addr || !karena_unseal(addr, type->secret)))
		return karena_new_slow(type, addr, flags, gfp);
	if (!(flags & KARENA_NOZERO) || want_init_on_alloc(gfp))
		memset((void *)addr, 0, type->size);
	return (void *)addr;
}

/**
 * karena_del - free an object of a type
 * @type: the type
 * @object: the object, or NULL
 *
 * The same as karena_free(), and as safe; an object of another type of the heap
 * is freed too, only not as fast.
 *
 * Context: as karena_free().
 * Return: true if the object was freed or NULL.
 */
static __always_inline bool karena_del(struct karena_type *type, const void *object)
{
	unsigned long addr = (unsigned long)object;
	struct karena_span *span;

	preempt_disable();
	span = karena_map_span(type->map, type->base, addr);
	if (unlikely(!span || span->central != type->central ||
		     !karena_claim(span, addr, type->secret))) {
		preempt_enable();
		return karena_free(type->heap, object);
	}
	if (want_init_on_free())
		memset((void *)addr + KARENA_SEAL_SIZE, 0, type->size - KARENA_SEAL_SIZE);
	if (unlikely(!karena_give_fast(type->cache, addr)))
		karena_del_slow(type, addr);
	preempt_enable();
	return true;
}

#endif /* _KARENA_H */
