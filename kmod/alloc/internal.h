/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of the allocator, from the bottom up:
 *
 *	runs      free ranges of pages, address-ordered, coalescing
 *	pagemap   page -> span, without a lock
 *	backing   where memory comes from: the kernel's page allocator for kernel
 *		  heaps, the same plus a window of addresses for user heaps
 *	group     what the control group says that pays for it
 *	limit     how much a heap may hold, and is to hold
 *	mheap     pages for spans: runs over a backing
 *	scavenge  free runs go back
 *	span      pages cut into objects of one class
 *	shape     what a marker needs to know of the objects of a central
 *	mcentral  the spans of one span class, and the depot of magazines
 *	mcache    magazines of one CPU
 *	tiny, large  what is too small or too big for a class of its own
 *	object, bulk  allocation and free, fast path first
 *	pool      objects that callers keep for later, whoever made them
 *	stacks    stacks of kernel callers, which grow
 *	clone     the same objects elsewhere
 *	heap      all of it together
 *
 * An address is what the user of the heap sees: a kernel address in a kernel
 * heap, an address in the window in a user heap.  Pages are counted from the
 * heap's base, in units of KARENA_PAGE_SIZE.
 */
#ifndef _KARENA_ALLOC_INTERNAL_H
#define _KARENA_ALLOC_INTERNAL_H

#include <linux/atomic.h>
#include <linux/idr.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/maple_tree.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>
#include <linux/win_minmax.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "kmod/compat/compat.h"
#include "kmod/karena.h"
#include "fast.h"
#include "plant.h"
#include "sizeclass.h"

#ifdef CONFIG_PREEMPT_RT
#error "karena takes spinlocks with preemption off and in interrupts: not for PREEMPT_RT yet"
#endif
static_assert(BITS_PER_LONG == 64);
static_assert(PAGE_SIZE <= KARENA_PAGE_SIZE);

#define KARENA_CHUNK_ORDER	4	/* largest contiguous piece asked for by default */
#define KARENA_CHUNK_PAGES	(PAGE_SIZE << KARENA_CHUNK_ORDER >> KARENA_PAGE_SHIFT)

/* Machine pages in a page. */
#define KARENA_SUBPAGES		(KARENA_PAGE_SIZE / PAGE_SIZE)
#define KARENA_PAGE_ORDER	(KARENA_PAGE_SHIFT - PAGE_SHIFT)

/*
 * Span class: twice the size class, plus 1 for objects that hold no pointers.
 * The tiny allocator's blocks are of class 16 B noscan, but keep to themselves.
 */
#define KARENA_SPC(class, noscan)	((class) * 2 + !!(noscan))
#define KARENA_SPC_TINY			(KARENA_NR_CLASSES * 2)
#define KARENA_NR_SPC			(KARENA_SPC_TINY + 1)
#define KARENA_TINY_SIZE		16
#define KARENA_TINY_CLASS		2

/* A range of pages: free and in a tree, or the pages of one span. */
struct karena_run {
	struct rb_node node;
	unsigned long start;
	unsigned long npages;
	unsigned long subtree_max;	/* largest npages at or below this node */
	bool zeroed;			/* its memory is: just come from the backing */
};

struct karena_runs {
	struct rb_root root;
	unsigned long npages;		/* in all runs */
	u64 changes;			/* times that a run came or went */
};

#define KARENA_DEPOT_MAGS	64u	/* most magazines in a list of a depot */

/* Where objects hold references, in spans of an array of elements. */
enum karena_layout_kind {
	KARENA_LAYOUT_CONSERVATIVE,	/* any word may be one */
	KARENA_LAYOUT_NOSCAN,
	KARENA_LAYOUT_MASK,		/* element of up to 64 words, a bit each */
	KARENA_LAYOUT_OFFSETS,
};

struct karena_layout {
	enum karena_layout_kind kind;
	u32 size;			/* of an element with references, in bytes */
	u32 type;			/* number of the program's type, or 0 */
	u64 mask;
	u32 nr;
	u32 offset[];			/* in words */
};

/* Of objects that have no type. */
extern const struct karena_layout karena_layout_conservative, karena_layout_noscan;

/* Whether it says which words are references. */
static inline bool karena_layout_has_refs(const struct karena_layout *layout)
{
	return layout->kind >= KARENA_LAYOUT_MASK;
}

/* What a marker needs to scan an object that it knows no more of: of a central. */
struct karena_shape {
	const struct karena_layout *layout;
	u32 size;			/* of an object */
};

#define KARENA_SHAPE_BLOCK	256u	/* shapes that are made at a time */
#define KARENA_SHAPE_BLOCKS	256u

/* Free objects next to each other, which leave their spans together. */
struct karena_extents {
	unsigned int room;		/* set by the caller, as nr is */
	unsigned int nr;
	struct karena_extent extent[KARENA_MAX_EXTENTS];
};

/* All spans of one span class in a heap, and the depot of its magazines. */
struct karena_central {
	struct karena_mcache __percpu *cache;
	struct karena_heap *heap;
	struct karena_central *next;	/* heap->centrals */
	const struct karena_layout *layout;
	u32 size;
	u16 spc;
	u16 shape;			/* number in heap->shapes; 0 if not collected */
	u8 class;
	struct llist_head drained;	/* magazines taken from CPUs */

	spinlock_t lock;		/* all below */
	struct list_head partial;	/* spans with free slots */
	struct list_head full;		/* spans without */
	struct list_head unswept;	/* either, from before the end of a cycle */
	struct list_head full_mags;	/* magazines with something in them */
	struct list_head empty_mags;
	u32 nr_cached;			/* objects in full_mags */
	u32 nr_full_mags;
	u32 nr_empty_mags;
	u32 nr_empty_spans;		/* on partial, with no object out */
	u64 nr_spans;
	u64 nr_free;			/* slots in spans */
	u64 allocs;			/* those that went past the magazines */
	u64 trades;			/* magazines with objects that came or went */
	u64 refills;
	u64 flushes;
	u64 changes;			/* times that spans may have: observe/check.c */
	u64 swept_objects;		/* that were found dead */
	u32 swept;			/* cycle that its spans are to be swept after */
	bool marking;			/* what leaves a span is marked */
};

/* The block that a CPU cuts tiny objects from; guarded like karena_mcache. */
struct karena_tiny_cache {
	u32 busy;
	unsigned long block;		/* its address, 0 for none */
	u16 *map;			/* its word, see tiny.c */
	unsigned long drained;		/* the block before, to be let go of */
};

struct karena_heap;

/**
 * struct karena_backing - where a heap's memory comes from
 * @grow: @n contiguous pages and whatever came with them; the rest goes to
 *	heap->free.  NULL when there are none.
 * @release: give back the memory of a run that is in no tree, and the run
 * @try_release: the same of a run of one page, without waiting for anybody, from where
 *	memory is being reclaimed; false leaves it as it is
 * @forget: give back what is known of pages that nobody has; may sleep, may be NULL
 * @drain: empty the caches that programs have; may sleep, may be NULL
 * @publish: tell the user of the heap that the pages of @run hold objects of
 *	this value (1 + span class, 0 for none any more); may be NULL
 * @clear: zero memory that is mapped at an address of the heap; may sleep
 * @wipe: the same without, of what was freed; it may leave it as it is
 * @charge: charge @n pages to whom they belong, beyond the heap's own limit;
 *	may be NULL
 * @uncharge: take that back; may be NULL
 * @destroy: free the heap itself, after karena_heap_teardown()
 * @by_program: memory of free runs goes back only when the program says so
 */
struct karena_backing {
	bool by_program;
	struct karena_run *(*grow)(struct karena_heap *heap, unsigned long n, gfp_t gfp);
	void (*release)(struct karena_heap *heap, struct karena_run *run);
	bool (*try_release)(struct karena_heap *heap, struct karena_run *run);
	void (*forget)(struct karena_heap *heap);
	void (*drain)(struct karena_heap *heap);
	int (*publish)(struct karena_heap *heap, struct karena_run *run, u16 value);
	void (*clear)(struct karena_heap *heap, unsigned long addr, size_t size);
	void (*wipe)(struct karena_heap *heap, unsigned long addr, size_t size);
	int (*charge)(struct karena_heap *heap, unsigned long n);
	void (*uncharge)(struct karena_heap *heap, unsigned long n);
	void (*destroy)(struct karena_heap *heap);
};

/* How memory goes back: scavenge.c. */
struct karena_scavenger {
	struct delayed_work work;
	bool eager;			/* the worker does not rest: READ_ONCE() */
	unsigned long below;		/* runs that begin there are next; the worker's */
	unsigned long sparse;		/* first page of a chunk that is not dense; the same */
	unsigned long rested;		/* jiffies when it may work again */
	u64 peak;			/* pages in spans, since a program asked; heap->lock */
	struct minmax recent;		/* of such peaks, by jiffies; the same */
	atomic64_t returned;		/* pages */
	unsigned int step;		/* pages at a time; reap_lock, as all below */
	u64 ns;				/* that it took, with the lock held */
	u64 max_ns;			/* if it stayed on its CPU */
	u64 hold_us[KARENA_GC_BUCKETS];
	u64 switches;			/* times that it did not */
};

struct karena_heap {
	struct karena_heap_head head;	/* first of all: kernel callers look into it */
	/* Read by the fast path, written once. */
	unsigned long base;
	struct karena_pagemap *map;
	const struct karena_backing *backing;
	bool user;
	gfp_t gfp;			/* added to each allocation's */
	struct karena_central *central[KARENA_NR_SPC];
	struct karena_central *centrals;	/* all of them, of types as well */
	bool collected;			/* spans have mark bits */
	bool keep;			/* markers and barriers may have spans: none goes */
	bool births;			/* what leaves a span is marked */
	bool large_births;		/* the same of large objects; heap->lock */
	u16 tag;			/* of karena_page.info, 0 if not collected */
	struct ida shape_numbers;
	struct karena_shape **shapes;	/* blocks of them, NULL if not collected */
	u32 cycle;			/* number of the last that began */
	void (*paced)(struct karena_heap *heap, size_t bytes, gfp_t gfp);
	struct karena_profiler *profiler;	/* observe/profile.c; or NULL */
	/* The span of a sampled object goes. */
	void (*gone)(struct karena_heap *heap, struct karena_span *span);
	struct karena_tiny_cache __percpu *tiny;
	struct list_head pools;		/* aged by its cycles; heap->lock */
	struct hlist_head types;	/* heap->lock */
	u32 nr_types;			/* heap->lock */
	struct karena_gc *gc;		/* gc/gc.h; NULL if not collected */
	atomic64_t used;		/* bytes of objects that are out of spans */

	/* Page heap: mheap.c. */
	spinlock_t lock ____cacheline_aligned_in_smp;
	struct karena_runs free;	/* pages with memory, in no span */
	struct list_head spans;
	struct list_head large;		/* of these, large ones */
	struct list_head large_unswept;	/* the same, from before the end of a cycle */
	struct maple_tree mapped;	/* spans from vmalloc(), by address */
	u64 nr_spans;
	u64 span_pages;
	u64 changes;			/* times that a span came or went */
	unsigned long goal_pages;	/* what the next cycle keeps it below, or 0: READ_ONCE() */
	u64 large_live;			/* objects */
	u64 large_bytes;
	u64 large_allocs;
	u64 large_frees;
	atomic_long_t held;		/* pages of memory, spans and free */
	atomic64_t moves;		/* see karena_move_begin() */
	unsigned long limit;		/* of held */
	u64 soft_limit;			/* of the same in bytes, or 0: limit.c, READ_ONCE() */
	unsigned int policy;		/* above it, KARENA_OVER_*: READ_ONCE() */
	unsigned int wait_ms;
	unsigned int over;		/* who said that it is, last: xchg() */
	struct mem_cgroup *group;	/* with a reference, or NULL: group.c */
	struct karena_scavenger scavenger;
	bool closing;			/* it goes: nothing is left to workers any more */
	struct work_struct reap_work;
	struct llist_head retired;	/* large objects to unmap */
	struct mutex reap_lock;		/* who unmaps them, or gives back free runs */

	atomic64_t failed;
	atomic64_t rejects[KARENA_NR_REJECT];
	atomic64_t tiny_allocs;
	atomic64_t tiny_frees;
	unsigned long reported;		/* bit 0: a wrong free was reported */
	atomic_long_t meta;		/* bytes of metadata */

	refcount_t ref;
	struct work_struct put_work;
	u32 id;
	kuid_t uid;
	struct pid *pid;
	char name[KARENA_NAME_LEN];
};

/* Where an address is, for a trace event: what a program knows, of kernel heaps nothing. */
static inline u64 karena_traced(const struct karena_heap *heap, unsigned long addr)
{
	return heap->user ? addr - heap->base : U64_MAX;
}

/*
 * Between these two are pages on their way: held, or about to be, and neither free nor in a
 * span.  Who compares the sums sees in moves whether there are any, or have been meanwhile:
 * the low bits say how many are at it, those above how often somebody was.  Full barriers.
 */
#define KARENA_MOVING	U16_MAX

static inline void karena_move_begin(struct karena_heap *heap)
{
	atomic64_add_return(KARENA_MOVING + 2, &heap->moves);
}

static inline void karena_move_end(struct karena_heap *heap)
{
	atomic64_dec_return(&heap->moves);
}

/* The newest of all centrals; they go on by next.  Pairs with karena_central_add(). */
static inline struct karena_central *karena_first_central(struct karena_heap *heap)
{
	return READ_ONCE(heap->centrals);
}

/* runs.c */
struct karena_run *karena_run_new(unsigned long start, unsigned long npages, gfp_t gfp);
void karena_run_delete(struct karena_run *run);
void karena_runs_insert(struct karena_runs *runs, struct karena_run *run);
struct karena_run *karena_runs_take(struct karena_runs *runs, unsigned long n,
				    struct karena_run *spare);
struct karena_run *karena_runs_last(struct karena_runs *runs, unsigned long below);
struct karena_run *karena_runs_take_last(struct karena_runs *runs, unsigned long below,
					 unsigned long max, struct karena_run *spare);
int karena_runs_init(void);
void karena_runs_exit(void);

extern unsigned long karena_secret;	/* of seals, see enum karena_state */

/* pagemap.c */
extern struct karena_pagemap *karena_kernel_map;
struct karena_pagemap *karena_pagemap_new(unsigned long npages, bool has_memory, gfp_t gfp);
size_t karena_leaf_bytes(const struct karena_pagemap *map);
struct karena_leaf *karena_pagemap_cut(struct karena_pagemap *map, unsigned long index);
void karena_leaf_delete(struct karena_pagemap *map, struct karena_leaf *leaf);
size_t karena_pagemap_bytes(struct karena_pagemap *map);
void karena_pagemap_delete(struct karena_pagemap *map);
int karena_pagemap_populate(struct karena_pagemap *map, unsigned long start,
			    unsigned long n, gfp_t gfp);
void karena_pagemap_set(struct karena_pagemap *map, const struct karena_run *run,
			struct karena_span *span);

/* Entry of a page, NULL when nothing was ever there. */
static inline struct karena_page *karena_pagemap_get(struct karena_pagemap *map,
						     unsigned long page)
{
	return karena_map_page(map, 0, page << KARENA_PAGE_SHIFT);
}

/*
 * Where the memory of a page is told: its address in the kernel, 0 if it has none, and
 * in the low bits which machine pages of it are written (user/pages.c).  NULL when
 * none was ever there.
 */
static inline unsigned long *karena_pagemap_memory(struct karena_pagemap *map, unsigned long page)
{
	struct karena_leaf *leaf;

	if (page >= map->npages)
		return NULL;
	/* Pairs with the cmpxchg in karena_pagemap_populate(). */
	leaf = READ_ONCE(map->leaf[page >> KARENA_LEAF_SHIFT]);
	return leaf ? &leaf->memory[page & (KARENA_LEAF_PAGES - 1)] : NULL;
}

static __always_inline unsigned long karena_memory_of(unsigned long word)
{
	return word & ~KARENA_PAGE_MASK;
}

/*
 * Where in the kernel's memory the byte is that a program has at an address.  Only of a
 * span that stays.
 */
static __always_inline unsigned long karena_memory_at(struct karena_pagemap *map,
						      unsigned long base, unsigned long addr)
{
	unsigned long page = (addr - base) >> KARENA_PAGE_SHIFT;
	struct karena_leaf *leaf = map->leaf[page >> KARENA_LEAF_SHIFT];

	/* READ_ONCE: the low bits change. */
	return karena_memory_of(READ_ONCE(leaf->memory[page & (KARENA_LEAF_PAGES - 1)])) +
	       (addr & KARENA_PAGE_MASK);
}

/* The word at an address of any collected heap; its user may be writing. */
static inline unsigned long karena_read_word(struct karena_heap *heap, unsigned long addr)
{
	if (heap->user)
		addr = karena_memory_at(heap->map, heap->base, addr);
	/* Any value will do, as long as it is one that was there. */
	return data_race(READ_ONCE(*(unsigned long *)addr));
}

/* mheap.c */
struct karena_run *karena_mheap_alloc(struct karena_heap *heap, unsigned long n, gfp_t gfp);
void karena_mheap_free(struct karena_heap *heap, struct karena_run *run);

/* limit.c */
extern struct wait_queue_head karena_over_wait;
u64 karena_all_held(void);
u64 karena_all_limit(void);
unsigned int karena_over(struct karena_heap *heap);
void karena_over_look(struct karena_heap *heap);
bool karena_add_below(atomic_long_t *counter, unsigned long n, unsigned long limit);
int karena_mheap_charge(struct karena_heap *heap, unsigned long n);
void karena_mheap_uncharge(struct karena_heap *heap, unsigned long n);

/* group.c */
struct mem_cgroup *karena_group_get(void);
void karena_group_put(struct mem_cgroup *group);
void karena_group_note(struct karena_heap *heap);
void karena_group_forget(struct karena_heap *heap);
u64 karena_group_room(struct karena_heap *heap);

/* scavenge.c */
void karena_scavenger_init(struct karena_heap *heap);
void karena_scavenge_look(struct karena_heap *heap, unsigned long npages);
void karena_scavenge_want(struct karena_heap *heap);
void karena_scavenge_settle(struct karena_heap *heap);
unsigned long karena_scavenge_now(struct karena_heap *heap, unsigned long keep);
unsigned long karena_scavenge_try(struct karena_heap *heap, unsigned long most);
struct karena_run *karena_scavenge_take(struct karena_heap *heap, bool all);

/* backing.c */
extern const struct karena_backing karena_kernel_backing;

/* span.c */
struct karena_span *karena_span_new(struct karena_heap *heap, struct karena_central *central,
				    const struct karena_layout *layout,
				    struct karena_run *run, size_t large_size, gfp_t gfp);
struct karena_run *karena_span_retire(struct karena_span *span);
void karena_span_delete(struct karena_span *span);
unsigned int karena_span_value(const struct karena_span *span);
bool karena_span_is_whole(const struct karena_span *span);
void karena_span_discard(struct karena_span *span);

static __always_inline struct karena_span *
karena_span_at(struct karena_heap *heap, unsigned long addr)
{
	return karena_map_span(heap->map, heap->base, addr);
}

/*
 * Marks the object that is at an address and out of its span, if it is to be.  One
 * that was freed twice may have lost its span.
 */
static inline void karena_mark_object(struct karena_heap *heap, unsigned long addr)
{
	struct karena_span *span;
	u32 index;

	preempt_disable();
	span = karena_span_at(heap, addr);
	if (span && span->heap == heap && span->mark) {
		index = karena_span_index(span, addr - span->base);
		if (index < span->nelems && !test_bit(index, span->mark))
			set_bit(index, span->mark);
	}
	preempt_enable();
}

/* shape.c */
int karena_shapes_init(struct karena_heap *heap);
void karena_shapes_exit(struct karena_heap *heap);
bool karena_shape_new(struct karena_central *central, gfp_t gfp);

/* sweep.c */
bool karena_span_sweep(struct karena_central *central, struct karena_span *span);
void karena_keep_begin(struct karena_heap *heap);
void karena_marks_begin(struct karena_heap *heap);
void karena_sweep_begin(struct karena_heap *heap);
unsigned int karena_sweep_some(struct karena_heap *heap, unsigned int most);

/* mcentral.c */
void karena_span_emptied(struct karena_central *central, struct karena_span *span,
			 struct list_head *gone);
void karena_spans_delete(struct list_head *gone);
struct karena_central *karena_central_get(struct karena_heap *heap, unsigned int spc, gfp_t gfp);
struct karena_central *karena_central_new(struct karena_heap *heap, unsigned int spc,
					  const struct karena_layout *layout, gfp_t gfp);
void karena_central_add(struct karena_central *central);
void karena_central_delete(struct karena_central *central);
void karena_central_adopt(struct karena_central *central, struct karena_span *span);
unsigned int karena_central_take_extents(struct karena_central *central,
					 struct karena_extents *to, unsigned int most, gfp_t gfp);
unsigned int karena_central_take(struct karena_central *central, unsigned long *slots,
				 unsigned int n, gfp_t gfp);
void karena_central_put(struct karena_central *central, unsigned long *slots, unsigned int n);
struct karena_magazine *karena_depot_trade(struct karena_central *central,
					   struct karena_magazine *mag, bool full);
struct karena_magazine *karena_depot_get_full(struct karena_central *central, gfp_t gfp);
struct karena_magazine *karena_depot_get_empty(struct karena_central *central, gfp_t gfp);
void karena_depot_put(struct karena_central *central, struct karena_magazine *mag);
void karena_central_drain(struct karena_central *central);
extern struct karena_magazine karena_no_magazine;
int karena_centrals_init(void);
void karena_centrals_exit(void);

/* mcache.c */
unsigned long karena_mcache_alloc(struct karena_central *central, gfp_t gfp);
void karena_central_count(struct karena_central *central, unsigned int n);
void karena_mcache_free(struct karena_central *central, unsigned long addr);
bool karena_mcache_drain(struct karena_mcache *mc, struct llist_head *drained);
void karena_mcache_collect(struct karena_central *central);
void karena_mcache_load(struct karena_mcache *mc, struct karena_magazine *mag);
struct karena_magazine *karena_mcache_unload(struct karena_mcache *mc);
bool karena_mcache_get_full(struct karena_central *central, struct karena_mcache *mc);
bool karena_mcache_get_room(struct karena_central *central, struct karena_mcache *mc);

/* bulk.c */
unsigned int karena_alloc_some(struct karena_central *central, unsigned int flags, gfp_t gfp,
			       unsigned int count, unsigned long *addrs);
unsigned int karena_alloc_extents(struct karena_central *central, gfp_t gfp,
				  unsigned int most, struct karena_extents *to);
unsigned int karena_free_some(struct karena_heap *heap, unsigned int count,
			      const unsigned long *addrs);

/* object.c */
struct karena_central *karena_size_central(struct karena_heap *heap, size_t size,
					   unsigned int flags, gfp_t gfp);
unsigned long karena_take(struct karena_central *central, gfp_t gfp);
unsigned long karena_alloc_addr(struct karena_heap *heap, size_t size,
				unsigned int flags, gfp_t gfp);
enum karena_reject karena_free_addr(struct karena_heap *heap, unsigned long addr);
size_t karena_usable_addr(struct karena_heap *heap, unsigned long addr);
void karena_reject(struct karena_heap *heap, unsigned long addr, enum karena_reject why);

/* clone.c */
/**
 * struct karena_cloner - how a heap gets the spans of another one
 * @from: the other one
 * @to: the clone
 * @take: gives the clone pages with these numbers, in ascending order; NULL without memory
 * @type: the clone's type that has the number of the other heap's.  May be NULL if there
 *	are no types
 */
struct karena_cloner {
	struct karena_heap *from;
	struct karena_heap *to;
	struct karena_run *(*take)(struct karena_cloner *cloner, unsigned long start,
				   unsigned long npages, gfp_t gfp);
	struct karena_type *(*type)(struct karena_cloner *cloner, u32 id);
};

int karena_heap_clone(struct karena_cloner *cloner);

/* type.c */
void karena_type_init(struct karena_type *type, struct karena_heap *heap);
void karena_types_delete(struct karena_heap *heap);

/* tiny.c */
u16 karena_tiny_starts(u16 map);
unsigned int karena_tiny_count(u16 map);
unsigned long karena_tiny_alloc(struct karena_heap *heap, size_t size, gfp_t gfp);
enum karena_reject karena_tiny_free(struct karena_span *span, u32 index,
				    unsigned int offset, bool *last);
size_t karena_tiny_usable(struct karena_span *span, u32 index, unsigned int offset);
void karena_tiny_drain(struct karena_heap *heap, unsigned int cpu);
void karena_tiny_collect(struct karena_heap *heap, unsigned int cpu);
void karena_tiny_mark(struct karena_heap *heap);
void karena_tiny_swept(struct karena_span *span, u32 index);

/* large.c */
unsigned long karena_large_alloc(struct karena_heap *heap, size_t size,
				 const struct karena_layout *layout, unsigned int flags,
				 gfp_t gfp);
enum karena_reject karena_large_free(struct karena_heap *heap, unsigned long addr);
unsigned long karena_large_alloc_sampled(struct karena_heap *heap, size_t size,
					 const struct karena_layout *layout, unsigned int flags,
					 gfp_t gfp, struct karena_sample *sample);
size_t karena_large_usable(struct karena_heap *heap, unsigned long addr);
void karena_large_reap(struct karena_heap *heap);
void karena_reap_work(struct work_struct *work);
void karena_reap_want(struct karena_heap *heap);
struct karena_span *karena_large_at(struct karena_heap *heap, unsigned long addr);
void karena_large_retire(struct karena_span *span);

/* pool.c */
void karena_pools_age(struct karena_heap *heap);

/* stacks.c */
int karena_kernel_stacks_init(void);
void karena_kernel_stacks_exit(void);

/* reclaim.c */
void karena_reclaim(struct karena_heap *heap);
void karena_depots_drain(struct karena_heap *heap);
void karena_caches_drain(struct karena_heap *heap);
int karena_hotplug_init(void);
void karena_hotplug_exit(void);

/* gc/types.c */
struct karena_central *karena_type_central(struct karena_type *type, size_t size, gfp_t gfp);
unsigned long karena_alloc_typed(struct karena_type *type, size_t size, unsigned int flags,
				 gfp_t gfp);

/* gc/heap.c, observe/profile.c: what is called upwards. */
int karena_gc_init(struct karena_heap *heap);
void karena_gc_exit(struct karena_heap *heap);
void karena_profile_exit(struct karena_heap *heap);

/* heap.c */
extern struct xarray karena_heaps;
int karena_heap_init(struct karena_heap *heap, const char *name,
		     const struct karena_backing *backing);
int karena_heap_register(struct karena_heap *heap);
int karena_heap_take_tag(struct karena_heap *heap);
struct karena_heap *karena_heap_find(u32 id, bool next);
void karena_heap_put_later(struct karena_heap *heap);
int karena_heaps_init(void);
void karena_heaps_exit(void);
void karena_heap_teardown(struct karena_heap *heap);

#endif /* _KARENA_ALLOC_INTERNAL_H */
