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
 * A heap that is made with @collect frees by itself what cannot be reached from
 * its roots: see karena_type_register(), karena_root_add(), karena_enter() and
 * karena_store().  karena_from_fd() leads to the heap of a program.
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
#include <linux/jump_label.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/types.h>

#include "kmod/alloc/fast.h"

/* What karena-escape, the compiler plugin, may rely on (tools/escape). */
#if __has_attribute(karena_allocator)
#define KARENA_ESCAPE(...)	__attribute__((__VA_ARGS__))
#else
#define KARENA_ESCAPE(...)
#endif

/* The object need not be zeroed: what an earlier one held may stand. */
#define KARENA_NOZERO	BIT(0)
/* The object will never hold a reference; below 16 bytes it may share a block. */
#define KARENA_NOSCAN	BIT(1)
/* Layouts only: any word may be a reference. */
#define KARENA_CONSERVATIVE	BIT(2)

/**
 * struct karena_heap_attr - what a heap may be asked to be
 * @limit: most bytes of memory for objects, 0 for no limit
 * @account: charge the memory to the control group of who allocates
 * @collect: objects that nobody can reach are found and freed; see karena_enter()
 */
struct karena_heap_attr {
	u64 limit;
	bool account;
	bool collect;
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
		   gfp_t gfp) __must_check __malloc
	KARENA_ESCAPE(karena_allocator, karena_size(2), karena_noscan(3, 2), karena_noescape(1));
bool karena_free(struct karena_heap *heap, const void *object)
	KARENA_ESCAPE(karena_deallocator(2), karena_noescape(1));
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
	u32 element;				/* as asked for */
	struct karena_layout *layout;		/* NULL: of a size only */
	struct karena_central **sized;		/* by size class, for arrays */
	struct hlist_node node;
	char name[32];
};

/**
 * struct karena_layout_attr - where objects of a type hold references
 * @name: shown by tools, cut to 31 characters; may be NULL
 * @size: bytes of an object, or of an element of an array
 * @refs: offsets in bytes of the words that hold references, ascending
 * @nr_refs: how many; 0: there are none
 * @flags: KARENA_NOSCAN: there are none; KARENA_CONSERVATIVE: any word may be
 *	one; both with nr_refs 0
 */
struct karena_layout_attr {
	const char *name;
	size_t size;
	const u32 *refs;
	unsigned int nr_refs;
	unsigned int flags;
};

/**
 * struct karena_gc_params - how a heap is collected
 * @percent: how much a heap may grow over what was found alive until the next
 *	cycle ends (GOGC), -1 for never
 * @workers: who mark at a time, 0: as @share needs
 * @min_heap: bytes; no goal is below @percent of it
 * @mem_limit: bytes of memory that the heap is to stay below by collecting, 0 for
 *	no limit (GOMEMLIMIT; a soft one)
 * @period_ms: milliseconds after which there is a cycle in any case, 0 for never
 * @slice_us: microseconds of marking at a stretch, 10 to 100000
 * @share: percent of all CPUs that marking in the background may take, 1 to 100
 * @assist_us: most microseconds that an allocation helps at a time, 0 for none
 * @trace: one line in the log for each cycle
 * @check: find what is reachable a second time, by other means, and compare
 */
struct karena_gc_params {
	int percent;
	u32 workers;
	u64 min_heap;
	u64 mem_limit;
	u32 period_ms;
	u32 slice_us;
	u32 share;
	u32 assist_us;
	bool trace;
	bool check;
};

#define KARENA_SLICE_BUCKETS	16

/**
 * struct karena_gc_stats - what the collector has done for a heap
 * @cycles: complete ones
 * @forced: of these, those that a caller or the period asked for
 * @slices: stretches of marking, assists among them
 * @assists: those done by allocations
 * @stuck: times that a cycle waited for sections for more than a second
 * @late: slices that took longer than they were given, by the clock on the wall
 * @ticked: of these, those in which a timer tick fell
 * @mark_ns: nanoseconds of marking, all workers together
 * @snapshot_ns: nanoseconds until marking could begin, by the clock on the wall
 * @marking_ns: the same for marking
 * @sweep_ns: the same for sweeping
 * @assist_ns: of it, by allocations
 * @marked_objects: found alive, in all cycles; but for those that roots refer to
 * @marked_bytes: their bytes, and of those
 * @freed_objects: found dead, small ones
 * @freed_bytes: their bytes
 * @live_bytes: found alive by the last cycle
 * @goal_bytes: what may be in use when the next one ends
 * @lost: objects that a check found reachable and not marked
 * @stack_peak: most bytes that stacks of grey objects have taken at a time
 * @stops: times that all threads of programs were stopped
 * @put_off: times that they could not be in time
 * @stop_ns: nanoseconds that they were stopped, all together
 * @stop_max_ns: the longest time
 * @protect_ns: nanoseconds of protecting pages before that
 * @cleanups: that wait for their objects to go
 * @cleanups_due: whose objects are gone, and which have not been called or read
 * @cleanups_done: that have been
 * @weak: weak references whose objects are there
 * @weak_cleared: whose objects are gone, in all cycles
 * @slice_us: slices by length: below 1 microsecond, below 2, 4, 8, ...
 * @stop_us: stops by length
 * @assist_us: slices of allocations by length
 */
struct karena_gc_stats {
	u64 cycles;
	u64 forced;
	u64 slices;
	u64 assists;
	u64 stuck;
	u64 late;
	u64 ticked;
	u64 mark_ns;
	u64 snapshot_ns;
	u64 marking_ns;
	u64 sweep_ns;
	u64 assist_ns;
	u64 marked_objects;
	u64 marked_bytes;
	u64 freed_objects;
	u64 freed_bytes;
	u64 live_bytes;
	u64 goal_bytes;
	u64 lost;
	u64 stack_peak;
	u64 stops;
	u64 put_off;
	u64 stop_ns;
	u64 stop_max_ns;
	u64 protect_ns;
	u64 cleanups;
	u64 cleanups_due;
	u64 cleanups_done;
	u64 weak;
	u64 weak_cleared;
	u64 slice_us[KARENA_SLICE_BUCKETS];
	u64 stop_us[KARENA_SLICE_BUCKETS];
	u64 assist_us[KARENA_SLICE_BUCKETS];
};

struct karena_type *karena_type_create(struct karena_heap *heap, size_t size,
				       unsigned int flags)
	KARENA_ESCAPE(karena_type_of_size(2));
void *karena_new_slow(struct karena_type *type, unsigned long unsound, unsigned int flags,
		      gfp_t gfp);
void karena_del_slow(struct karena_type *type, unsigned long addr);

static void *karena_new(struct karena_type *type, unsigned int flags, gfp_t gfp)
	KARENA_ESCAPE(karena_allocator(1), karena_noescape(1));
static bool karena_del(struct karena_type *type, const void *object)
	KARENA_ESCAPE(karena_deallocator(2), karena_noescape(1));
static void karena_store_word(struct karena_heap *heap, void **slot, const void *value)
	KARENA_ESCAPE(karena_stores(2, 3));

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

struct karena_type *karena_type_register(struct karena_heap *heap,
					 const struct karena_layout_attr *attr,
					 unsigned int *bad);
void *karena_new_array(struct karena_type *type, size_t count, gfp_t gfp)
	KARENA_ESCAPE(karena_allocator(1, 2), karena_noescape(1));
void *karena_new_wait(struct karena_type *type, int *section, gfp_t gfp);

int karena_enter(struct karena_heap *heap);
void karena_exit(struct karena_heap *heap, int section);
int karena_root_add(struct karena_heap *heap, void *start, size_t count);
int karena_root_del(struct karena_heap *heap, void *start);
int karena_pin(struct karena_heap *heap, const void *object);
int karena_unpin(struct karena_heap *heap, const void *object);

/* What is to happen when an object is gone; nothing of it is for callers to look at. */
struct karena_special {
	struct list_head node;		/* of the same object, or of those that are due */
	unsigned long target;		/* the object; 0: gone */
	unsigned long cell;		/* where a program has a weak reference */
	bool cleanup;
};

/* A reference that does not keep its object. */
struct karena_weak {
	struct karena_special special;
};

/* A function that is called after an object is gone. */
struct karena_cleanup {
	struct karena_special special;
	void (*fn)(struct karena_cleanup *cleanup);
};

int karena_weak_add(struct karena_heap *heap, struct karena_weak *weak, const void *object);
void *karena_weak_get(struct karena_heap *heap, struct karena_weak *weak);
void karena_weak_del(struct karena_heap *heap, struct karena_weak *weak);
int karena_cleanup_add(struct karena_heap *heap, struct karena_cleanup *cleanup,
		       const void *object, void (*fn)(struct karena_cleanup *cleanup));
bool karena_cleanup_del(struct karena_heap *heap, struct karena_cleanup *cleanup);

int karena_collect(struct karena_heap *heap, bool wait);
bool karena_gc_step(struct karena_heap *heap, u64 ns);
int karena_gc_get(struct karena_heap *heap, struct karena_gc_params *params);
int karena_gc_set(struct karena_heap *heap, const struct karena_gc_params *params);
void karena_gc_stats(struct karena_heap *heap, struct karena_gc_stats *stats);

u64 karena_heap_reclaim(struct karena_heap *heap);

DECLARE_STATIC_KEY_FALSE(karena_barrier_key);
void karena_store_shade(struct karena_heap *heap, void *const *slot, const void *value);
void karena_store_bulk(struct karena_heap *heap, void **to, void *const *from, size_t count);

/**
 * karena_store_word - store a reference
 * @heap: heap that it belongs to
 * @slot: word of an object or a root
 * @value: object of the heap, or NULL
 *
 * Each store of a reference goes this way in a collected heap, those into an
 * object that nobody else has seen as well.  karena_store() is the same without
 * casts.  Orders nothing: as WRITE_ONCE().
 *
 * Context: any, inside of a mutator section.
 */
static __always_inline void karena_store_word(struct karena_heap *heap, void **slot,
					      const void *value)
{
	const struct karena_heap_head *head = (const struct karena_heap_head *)heap;

	/* Pairs with the SRCU grace period of a cycle: whoever is in a section sees it. */
	if (static_branch_unlikely(&karena_barrier_key) &&
	    unlikely(READ_ONCE(head->phase) == KARENA_MARK))
		karena_store_shade(heap, slot, value);
	WRITE_ONCE(*slot, (void *)value);
}

#define karena_store(heap, slot, value)						\
({										\
	typeof(slot) slot_ = (slot);						\
	typeof(*slot_) value_ = (value);					\
										\
	karena_store_word(heap, (void **)slot_, value_);			\
})

/**
 * struct karena_pool_attr - what a pool is of
 * @make: makes an object for karena_pool_get() with what that was given as @gfp, or returns
 *	NULL; NULL if there is no such thing
 * @drop: takes an object that nobody has used for two cycles.  Called in process context;
 *	by karena_pool_put() too, when there is no memory to keep the object
 * @arg: for @make and @drop
 * @heap: whose cycles they are; NULL, and for a heap that is not collected: there is one
 *	every 30 seconds
 *
 * Objects may be whatever their users make.  A pool is no root: objects of a heap that is
 * collected have to be reachable otherwise.
 */
struct karena_pool_attr {
	void *(*make)(void *arg, gfp_t gfp);
	void (*drop)(void *object, void *arg);
	void *arg;
	struct karena_heap *heap;
};

/* The begin of it: for the inline functions only. */
struct karena_pool {
	struct karena_mcache __percpu *cache;
};

struct karena_pool *karena_pool_create(const struct karena_pool_attr *attr);
void karena_pool_destroy(struct karena_pool *pool);
void karena_pool_age(struct karena_pool *pool);
void *karena_pool_get_slow(struct karena_pool *pool, gfp_t gfp) __must_check;
void karena_pool_put_slow(struct karena_pool *pool, void *object);

/**
 * karena_pool_get - take an object that somebody has put into a pool, or make one
 * @pool: the pool
 * @gfp: for making one
 *
 * As sync.Pool of Go: which of the objects comes back is not said, and it is as it was when
 * it was put there.
 *
 * Context: any but NMI; as karena_pool_attr.make, with @gfp.
 * Return: the object, the caller's alone; NULL if there is none and none was made.
 */
static __always_inline void *karena_pool_get(struct karena_pool *pool, gfp_t gfp)
{
	unsigned long addr = karena_take_fast(pool->cache);

	return likely(addr) ? (void *)addr : karena_pool_get_slow(pool, gfp);
}

/**
 * karena_pool_put - leave an object to whoever wants one next
 * @pool: the pool
 * @object: the object, not to be used any more; not NULL
 *
 * Context: any but NMI.
 */
static __always_inline void karena_pool_put(struct karena_pool *pool, void *object)
{
	bool given;

	preempt_disable();
	given = karena_give_fast(pool->cache, (unsigned long)object);
	preempt_enable();
	if (unlikely(!given))
		karena_pool_put_slow(pool, object);
}

/**
 * struct karena_stack - a stack that grows, of an interpreter or of a walker of graphs
 * @low: the lowest byte of its memory
 * @high: behind the highest one
 * @sp: the last byte in use is here; the owner moves it
 * @relocate: told how many bytes further up the contents are than they were: the owner mends
 *	addresses of the stack that it has, on the stack too.  May be NULL
 * @heap: whose cycles make it shrink, or NULL
 * @cycle: of the heap, when it was looked at
 *
 *	if (karena_stack_need(&stack, sizeof(*frame), GFP_KERNEL))
 *		return -ENOMEM;
 *	stack.sp -= sizeof(*frame);
 *
 * No more than 1 MiB.  The collector does not know what is on it.
 */
struct karena_stack {
	char *low;
	char *high;
	char *sp;
	void (*relocate)(struct karena_stack *stack, ptrdiff_t by);
	struct karena_heap *heap;
	u32 cycle;
};

int karena_stack_init(struct karena_stack *stack, gfp_t gfp) __must_check;
void karena_stack_destroy(struct karena_stack *stack);
int karena_stack_enlarge(struct karena_stack *stack, size_t bytes, gfp_t gfp);
bool karena_stack_trim(struct karena_stack *stack);

/**
 * karena_stack_need - have room on a stack
 * @stack: the stack
 * @bytes: below @stack->sp
 * @gfp: how memory is allocated if it has to grow
 *
 * Context: as @gfp says.
 * Return: 0; -E2BIG, or -ENOMEM, and nothing has changed.
 */
static __always_inline int karena_stack_need(struct karena_stack *stack, size_t bytes, gfp_t gfp)
{
	if (likely(bytes <= (size_t)(stack->sp - stack->low)))
		return 0;
	return karena_stack_enlarge(stack, bytes, gfp);
}

/*
 * In the heap of a program, by the addresses that the program knows:
 *
 *	heap = karena_from_fd(fd);
 *	type = karena_user_type(heap, id);
 *
 *	section = karena_enter(heap);
 *	n = karena_user_new(heap, type, sizeof(node));
 *	err = karena_user_write(heap, n, &node, sizeof(node));
 *	err = karena_user_store(heap, &list->first, n);
 *	karena_exit(heap, section);
 *
 * Programs read and write there at any time, and free what they like.  What comes from
 * the heap is checked at each use, and has to be copied before it is relied upon.  A
 * reference is good until the section ends, unless it is in the heap or pinned by then.
 *
 * A task that works for long in a system call, and does not sleep, holds up the next
 * snapshot of the heap if its process has that mapped.
 */
struct karena_heap *karena_from_fd(int fd);
struct karena_type *karena_user_type(struct karena_heap *heap, u32 id);
void __user *karena_user_new(struct karena_heap *heap, struct karena_type *type, size_t size);
size_t karena_user_size(struct karena_heap *heap, const void __user *object);
int karena_user_pin(struct karena_heap *heap, const void __user *object);
int karena_user_unpin(struct karena_heap *heap, const void __user *object);
int karena_user_read(struct karena_heap *heap, const void __user *from, void *to, size_t len);
int karena_user_write(struct karena_heap *heap, void __user *to, const void *from, size_t len);
void __user *karena_user_load(struct karena_heap *heap, const void __user *slot);
int karena_user_store(struct karena_heap *heap, void __user *slot, const void __user *value);

#endif /* _KARENA_H */
