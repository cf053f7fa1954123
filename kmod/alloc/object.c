// SPDX-License-Identifier: GPL-2.0
/*
 * Objects: allocation, free and size by address, for kernel callers (exported)
 * and for the device.  The fast paths come first and call nothing; whatever is
 * out of the ordinary goes to a slow path that begins anew.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/sched.h>

#include "kmod/observe/trace.h"
#include "object.h"

static unsigned long alloc_failed(struct karena_heap *heap)
{
	atomic64_inc(&heap->failed);
	return 0;
}

/*
 * Takes an object of a span class, the caller's to clear; 0 without memory.  One
 * that is somebody's already is in two magazines, freed twice at the same
 * instant, or in a kernel heap was written to after it was freed; it is dropped.
 */
unsigned long karena_take(struct karena_central *central, gfp_t gfp)
{
	struct karena_heap *heap = central->heap;
	unsigned long addr;

	for (;;) {
		addr = karena_mcache_alloc(central, gfp);
		if (!addr || likely(claim_cached(heap, addr, heap->user)))
			return addr;
		karena_reject(heap, addr, KARENA_REJECT_DOUBLE);
	}
}

/*
 * Where objects of a size come from; NULL without memory, and for those that are large
 * or packed.
 */
struct karena_central *karena_size_central(struct karena_heap *heap, size_t size,
					   unsigned int flags, gfp_t gfp)
{
	return is_unusual(size, flags) ? NULL :
	       karena_central_get(heap, spc_of(size, flags), karena_gfp(heap, gfp));
}

static unsigned long alloc_small(struct karena_heap *heap, size_t size,
				 unsigned int flags, gfp_t gfp)
{
	struct karena_central *central;
	unsigned long addr;

	central = karena_central_get(heap, spc_of(size, flags), gfp);
	addr = central ? karena_take(central, gfp) : 0;
	if (!addr)
		return 0;
	if (wants_zero(flags, gfp))
		clear(heap, addr, central->size, heap->user);
	set_live(heap, addr, heap->user);
	return addr;
}

static noinline unsigned long alloc_slow(struct karena_heap *heap, size_t size,
					 unsigned int flags, gfp_t gfp)
{
	unsigned long addr;

	gfp = karena_gfp(heap, gfp);
	if (!is_unusual(size, flags))
		addr = alloc_small(heap, size, flags, gfp);
	else if (size > KARENA_MAX_SMALL)
		addr = karena_large_alloc(heap, size, flags & KARENA_NOSCAN ?
					  &karena_layout_noscan : &karena_layout_conservative,
					  flags, gfp);
	else
		addr = karena_tiny_alloc(heap, size, gfp);
	return addr ? addr : alloc_failed(heap);
}

/* After the fast path met an object that is somebody's already. */
static noinline unsigned long alloc_again(struct karena_heap *heap, unsigned long unsound,
					  size_t size, unsigned int flags, gfp_t gfp)
{
	karena_reject(heap, unsound, KARENA_REJECT_DOUBLE);
	return alloc_slow(heap, size, flags, gfp);
}

static __always_inline unsigned long alloc_fast(struct karena_heap *heap, size_t size,
						unsigned int flags, gfp_t gfp, bool user)
{
	struct karena_central *central;
	unsigned long addr;

	if (unlikely(is_unusual(size, flags)))
		return alloc_slow(heap, size, flags, gfp);
	/* Pairs with the cmpxchg in karena_central_get(). */
	central = READ_ONCE(heap->central[spc_of(size, flags)]);
	if (unlikely(!central))
		return alloc_slow(heap, size, flags, gfp);
	addr = karena_take_fast(central->cache);
	if (unlikely(!addr))
		return alloc_slow(heap, central->size, flags, gfp);
	if (unlikely(!claim_cached(heap, addr, user)))
		return alloc_again(heap, addr, central->size, flags, gfp);
	if (wants_zero(flags, gfp))
		clear(heap, addr, central->size, user);
	set_live(heap, addr, user);
	return addr;
}

/* Address of a new object; 0 without memory. */
unsigned long karena_alloc_addr(struct karena_heap *heap, size_t size,
				unsigned int flags, gfp_t gfp)
{
	return alloc_fast(heap, size, flags, gfp, true);
}

KARENA_EXPORT_TEST(karena_alloc_addr);

/**
 * karena_alloc - allocate an object
 * @heap: heap to take it from
 * @size: its size in bytes; 0 gets the smallest object
 * @flags: KARENA_NOZERO, KARENA_NOSCAN
 * @gfp: GFP_KERNEL, GFP_ATOMIC, ...: what may be done when memory has to be
 *	found; zone modifiers have no meaning here
 *
 * The object is zeroed unless KARENA_NOZERO is given.  It is aligned to 8
 * bytes, to 16 if @size is a multiple of 16, to the machine's page above 32
 * KiB; with KARENA_NOSCAN and below 16 bytes only as its size asks for: to 8 or
 * 4 if @size is a multiple of that, else to 2.
 *
 * Context: process, softirq and hardirq context, any spinlock held; sleeps only
 * if @gfp allows.  Objects above 64 KiB need a @gfp that does.
 * Return: the object, or NULL without memory or at the heap's limit.
 */
void *karena_alloc(struct karena_heap *heap, size_t size, unsigned int flags, gfp_t gfp)
{
	return (void *)alloc_fast(heap, size, flags, gfp, false);
}
EXPORT_SYMBOL_GPL(karena_alloc);

/* Why the address of a size class's span is no live object, or frees a tiny one. */
static enum karena_reject free_tiny(struct karena_span *span, unsigned long addr)
{
	u32 offset = addr - span->base;
	u32 index = karena_span_index(span, offset);
	enum karena_reject why;
	bool last = false;

	if (index >= span->nelems)
		return KARENA_REJECT_NOT_OBJECT;
	offset -= index * span->size;
	if (!span->tiny)
		return offset ? KARENA_REJECT_INTERIOR : KARENA_REJECT_DOUBLE;
	why = karena_tiny_free(span, index, offset, &last);
	if (last)
		karena_mcache_free(span->central, addr - offset);
	return why;
}

/* Frees what the fast path could not: tiny and large objects, or says why not. */
static noinline bool free_slow(struct karena_heap *heap, unsigned long addr,
			       enum karena_reject *reason)
{
	struct karena_span *span;
	enum karena_reject why;
	bool large;

	preempt_disable();
	span = karena_span_at(heap, addr);
	large = !span || (span->heap == heap && !span->central);
	if (span && span->heap != heap)
		why = KARENA_REJECT_OTHER_HEAP;
	else if (!large)
		why = free_tiny(span, addr);
	preempt_enable();
	/* Many pages, maybe: with preemption on. */
	if (large)
		why = karena_large_free(heap, addr);
	if (why != KARENA_REJECT_NONE)
		karena_reject(heap, addr, why);
	if (reason)
		*reason = why;
	return why == KARENA_REJECT_NONE;
}

static __always_inline bool free_fast(struct karena_heap *heap, unsigned long addr,
				      enum karena_reject *why, bool user)
{
	struct karena_central *central;

	preempt_disable();
	central = claim_live(heap, addr, user);
	if (unlikely(!central)) {
		preempt_enable();
		return free_slow(heap, addr, why);
	}
	if (want_init_on_free() && user)
		heap->backing->wipe(heap, addr, central->size);
	else if (want_init_on_free())
		memset((void *)addr + KARENA_SEAL_SIZE, 0, central->size - KARENA_SEAL_SIZE);
	if (unlikely(!karena_give_fast(central->cache, addr)))
		karena_mcache_free(central, addr);
	preempt_enable();
	return true;
}

/* Frees the object at @addr, or says why not. */
enum karena_reject karena_free_addr(struct karena_heap *heap, unsigned long addr)
{
	enum karena_reject why = KARENA_REJECT_NONE;

	free_fast(heap, addr, &why, true);
	return why;
}

KARENA_EXPORT_TEST(karena_free_addr);

/**
 * karena_free - free an object
 * @heap: heap that it is of
 * @object: the object, or NULL
 *
 * A wrong free (no object of this heap, an address inside of one, one that is
 * free already) is counted, reported once for each heap, and changes nothing.
 * Two frees of one object at the same instant on two CPUs, or with a write to
 * the object's first word between them, are seen as late as when it is about to
 * be handed out twice.
 *
 * In a collected heap the object has to be reachable until the call, or be from the
 * same mutator section: what was unreachable when a cycle began may be free
 * already, and somebody else's.
 *
 * Context: process, softirq and hardirq context, any spinlock held.  Never
 * sleeps.
 * Return: true if the object was freed or NULL.
 */
bool karena_free(struct karena_heap *heap, const void *object)
{
	if (unlikely(!object))
		return true;
	return free_fast(heap, (unsigned long)object, NULL, false);
}
EXPORT_SYMBOL_GPL(karena_free);

static bool is_live(struct karena_span *span, unsigned long addr, u32 index)
{
	if (span->state)
		return karena_is_live(READ_ONCE(span->state[index]));
	return !karena_is_sealed(addr, karena_secret);
}

/* Bytes that the live object at @addr has; 0 if none begins there. */
size_t karena_usable_addr(struct karena_heap *heap, unsigned long addr)
{
	struct karena_span *span;
	u32 offset, index;
	size_t usable = 0;

	preempt_disable();
	span = karena_span_at(heap, addr);
	if (!span || span->heap != heap || !span->central) {
		preempt_enable();
		return karena_large_usable(heap, addr);
	}
	offset = addr - span->base;
	index = karena_span_index(span, offset);
	offset -= index * span->size;
	if (span->tiny)
		usable = karena_tiny_usable(span, index, offset);
	else if (!offset && is_live(span, addr, index))
		usable = span->size;
	preempt_enable();
	return usable;
}

/**
 * karena_usable_size - bytes that an object really has
 * @heap: heap that it is of
 * @object: start of a live object
 *
 * Context: as karena_free().
 * Return: its size, at least what was asked for; 0 if no live object begins
 * there.
 */
size_t karena_usable_size(struct karena_heap *heap, const void *object)
{
	return karena_usable_addr(heap, (unsigned long)object);
}
EXPORT_SYMBOL_GPL(karena_usable_size);

static const char * const reject_names[] = {
	[KARENA_REJECT_NONE] = "right",
	[KARENA_REJECT_NOT_OBJECT] = "no object",
	[KARENA_REJECT_INTERIOR] = "inside of an object",
	[KARENA_REJECT_DOUBLE] = "free already",
	[KARENA_REJECT_OTHER_HEAP] = "of another heap",
};

static_assert(ARRAY_SIZE(reject_names) == KARENA_NR_REJECT);

/* Counts a wrong free, and reports the first one of a heap. */
void karena_reject(struct karena_heap *heap, unsigned long addr, enum karena_reject why)
{
	atomic64_inc(&heap->rejects[why]);
	trace_karena_wrong_free(heap->id, karena_traced(heap, addr), why);
	if (test_and_set_bit(0, &heap->reported))
		return;
	if (heap->user)
		pr_notice_ratelimited("heap %u (%s): wrong free by %s[%d] at offset %#lx: %s\n",
				      heap->id, heap->name, current->comm,
				      task_tgid_nr(current), addr - heap->base,
				      reject_names[why]);
	else
		pr_notice_ratelimited("heap %u (%s): wrong free of %p by %s[%d]: %s\n",
				      heap->id, heap->name, (void *)addr, current->comm,
				      task_tgid_nr(current), reject_names[why]);
}
