// SPDX-License-Identifier: GPL-2.0
/*
 * The tiny allocator: objects below 16 bytes that hold no pointers, packed into
 * blocks of 16 (Go's mallocgcTiny).  Go leaves it to the collector to find out
 * when a block is unused.  As objects may be freed by hand here, each block of
 * a tiny span has a word, changed by compare-and-exchange only:
 *
 *	 15    12 11   9  8      7             0
 *	+--------+------+-------+---------------+
 *	|  next  |   0  | owned |    starts     |
 *	+--------+------+-------+---------------+
 *
 * starts	bit i: a live object begins at byte 2 * i
 * owned	a CPU still cuts objects from the block
 * next		2-byte unit up to which the block has been handed out
 *
 * Who clears the last of starts and owned gives the block back.
 */
#include <linux/bitops.h>
#include <linux/kernel.h>

#include "internal.h"

#define TINY_UNIT	2
#define TINY_STARTS	0x00ff
#define TINY_OWNED	0x0100
#define TINY_NEXT_SHIFT	12

/* The word of a block that nobody cuts from, with the same objects; 0 if it has none. */
u16 karena_tiny_starts(u16 map)
{
	return map & TINY_STARTS ? map & ~TINY_OWNED : 0;
}

/* How many objects a block has. */
unsigned int karena_tiny_count(u16 map)
{
	return hweight16(map & TINY_STARTS);
}

static inline unsigned int tiny_next(u16 map)
{
	return (map >> TINY_NEXT_SHIFT) * TINY_UNIT;
}

static inline unsigned int tiny_align(size_t size)
{
	if (!(size & 7))
		return 8;
	return size & 3 ? TINY_UNIT : 4;
}

static inline u16 tiny_map(u16 map, unsigned int start, size_t size)
{
	map &= TINY_STARTS | TINY_OWNED;
	return map | 1 << (start / TINY_UNIT) |
	       (start + size) / TINY_UNIT << TINY_NEXT_SHIFT;
}

/* Cuts an object from an owned block; 0 if it does not fit. */
static unsigned long tiny_cut(struct karena_tiny_cache *tc, size_t size)
{
	unsigned int start;
	u16 old, new;

	if (!tc->block)
		return 0;
	do {
		old = READ_ONCE(*tc->map);
		start = ALIGN(tiny_next(old), tiny_align(size));
		if (start + size > KARENA_TINY_SIZE)
			return 0;
		new = tiny_map(old, start, size);
	} while (cmpxchg(tc->map, old, new) != old);
	return tc->block + start;
}

/* Clears bits of a block's word; true if the block is nobody's then. */
static bool tiny_clear(u16 *map, u16 bits, u16 *before)
{
	u16 old, new;

	do {
		old = READ_ONCE(*map);
		*before = old;
		if (!(old & bits))
			return false;
		new = old & ~bits;
	} while (cmpxchg(map, old, new) != old);
	return !(new & (TINY_STARTS | TINY_OWNED));
}

static void set_cached(struct karena_span *span, u32 index)
{
	if (!span->heap->user)
		karena_seal(span->base + index * span->size, karena_secret);
	WRITE_ONCE(span->state[index], KARENA_CACHED);
}

static void free_block(struct karena_central *central, unsigned long block)
{
	struct karena_span *span = karena_span_at(central->heap, block);

	set_cached(span, karena_span_index(span, block - span->base));
	karena_mcache_free(central, block);
}

/* A CPU is done with its block. */
static void tiny_disown(struct karena_heap *heap, struct karena_tiny_cache tc)
{
	u16 before;

	if (!tc.block)
		return;
	preempt_disable();
	if (tiny_clear(tc.map, TINY_OWNED, &before))
		free_block(heap->central[KARENA_SPC_TINY], tc.block);
	preempt_enable();
}

/* A new block with its first object cut from it. */
static bool tiny_block(struct karena_heap *heap, size_t size, gfp_t gfp,
		       struct karena_tiny_cache *tc)
{
	struct karena_central *central;
	struct karena_span *span;
	unsigned long block;
	u32 index;

	central = karena_central_get(heap, KARENA_SPC_TINY, gfp);
	block = central ? karena_take(central, gfp) : 0;
	if (!block)
		return false;
	heap->backing->clear(heap, block, KARENA_TINY_SIZE);
	preempt_disable();
	span = karena_span_at(heap, block);
	index = karena_span_index(span, block - span->base);
	tc->block = block;
	tc->map = &span->tiny[index];
	WRITE_ONCE(*tc->map, tiny_map(TINY_OWNED, 0, size));
	/* Pairs with smp_load_acquire() in karena_tiny_free(): the word is set. */
	smp_store_release(&span->state[index], KARENA_TINY);
	preempt_enable();
	return true;
}

unsigned long karena_tiny_alloc(struct karena_heap *heap, size_t size, gfp_t gfp)
{
	struct karena_tiny_cache *tc, fresh;
	unsigned long addr = 0;

	size = max_t(size_t, round_up(size, TINY_UNIT), TINY_UNIT);
	preempt_disable();
	tc = this_cpu_ptr(heap->tiny);
	if (!READ_ONCE(tc->busy)) {
		WRITE_ONCE(tc->busy, 1);
		barrier();
		addr = tiny_cut(tc, size);
		barrier();
		WRITE_ONCE(tc->busy, 0);
	}
	preempt_enable();
	if (addr)
		goto out;
	if (!tiny_block(heap, size, gfp, &fresh))
		return 0;
	addr = fresh.block;
	preempt_disable();
	tc = this_cpu_ptr(heap->tiny);
	if (!READ_ONCE(tc->busy)) {
		WRITE_ONCE(tc->busy, 1);
		barrier();
		/* It may be from before, and too late for karena_tiny_mark(). */
		if (READ_ONCE(heap->head.phase) == KARENA_MARK)
			karena_mark_object(heap, fresh.block);
		swap(tc->block, fresh.block);
		swap(tc->map, fresh.map);
		barrier();
		WRITE_ONCE(tc->busy, 0);
	}
	preempt_enable();
	tiny_disown(heap, fresh);
out:
	atomic64_inc(&heap->tiny_allocs);
	return addr;
}

/* Frees one object of a block; @last tells the caller to free the block. */
enum karena_reject karena_tiny_free(struct karena_span *span, u32 index,
				    unsigned int offset, bool *last)
{
	u16 before;

	/* Pairs with smp_store_release() in tiny_block(). */
	if (smp_load_acquire(&span->state[index]) != KARENA_TINY)
		return offset ? KARENA_REJECT_INTERIOR : KARENA_REJECT_DOUBLE;
	if (offset % TINY_UNIT)
		return KARENA_REJECT_INTERIOR;
	*last = tiny_clear(&span->tiny[index], 1 << (offset / TINY_UNIT), &before);
	if (!(before & 1 << (offset / TINY_UNIT)))
		return KARENA_REJECT_DOUBLE;
	if (*last)
		set_cached(span, index);
	atomic64_inc(&span->heap->tiny_frees);
	return KARENA_REJECT_NONE;
}

/*
 * What follows an object in its block and belongs to nobody is its own: it will
 * not be handed out again before the whole block is.
 */
size_t karena_tiny_usable(struct karena_span *span, u32 index, unsigned int offset)
{
	u16 map = READ_ONCE(span->tiny[index]);
	unsigned int start = offset / TINY_UNIT, end;

	if (offset % TINY_UNIT || !(map & 1 << start))
		return 0;
	end = map & TINY_OWNED ? tiny_next(map) / TINY_UNIT : KARENA_TINY_SIZE / TINY_UNIT;
	while (++start < end && !(map & 1 << start))
		;
	return start * TINY_UNIT - offset;
}

/*
 * Marks the blocks that CPUs cut from, while a cycle begins.  Those that come later
 * are marked then; of one that has just been let go of, objects are with sections
 * that will be waited for, and it is kept for a cycle if it is seen.
 */
void karena_tiny_mark(struct karena_heap *heap)
{
	struct karena_tiny_cache *tc;
	unsigned long block;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		tc = per_cpu_ptr(heap->tiny, cpu);
		/* Its CPU may be changing it. */
		block = data_race(READ_ONCE(tc->block));
		if (block)
			karena_mark_object(heap, block);
		block = READ_ONCE(tc->drained);
		if (block)
			karena_mark_object(heap, block);
	}
}

/* What is in a block is dead. */
void karena_tiny_swept(struct karena_span *span, u32 index)
{
	u16 map = xchg(&span->tiny[index], 0);

	atomic64_add(hweight16(map & TINY_STARTS), &span->heap->tiny_frees);
}

/*
 * Takes the block from a CPU that is this one, with interrupts off, or dead,
 * and takes no lock, as karena_mcache_drain().
 */
void karena_tiny_drain(struct karena_heap *heap, unsigned int cpu)
{
	struct karena_tiny_cache *tc = per_cpu_ptr(heap->tiny, cpu);

	/* Pairs with the xchg in karena_tiny_collect(). */
	if (READ_ONCE(tc->busy) || READ_ONCE(tc->drained))
		return;
	WRITE_ONCE(tc->drained, tc->block);
	tc->block = 0;
}

/* Lets go of the block that was taken from a CPU. */
void karena_tiny_collect(struct karena_heap *heap, unsigned int cpu)
{
	struct karena_tiny_cache *tc = per_cpu_ptr(heap->tiny, cpu), old = {};
	struct karena_span *span;

	old.block = xchg(&tc->drained, 0);
	if (!old.block)
		return;
	/* It is owned, so its span stays. */
	preempt_disable();
	span = karena_span_at(heap, old.block);
	old.map = &span->tiny[karena_span_index(span, old.block - span->base)];
	preempt_enable();
	tiny_disown(heap, old);
}
