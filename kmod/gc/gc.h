/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of the collector, from the bottom up:
 *
 *	types     registered layouts
 *	queue     grey objects, which markers share
 *	stack     those in the hands of one
 *	mark      following references, a slice at a time
 *	shade     what lives whether references to it are found or not
 *	barrier   references that mutators overwrite and store
 *	roots     registered words, pins
 *	section   mutator sections
 *	special   weak references, and what is to happen when an object is gone
 *	pacer     when a cycle begins, and who works for it
 *	cycle     snapshot, mark, sweep: all of it together
 *	verify    a second, simple marking that checks the first
 *	pressure  when memory is short
 */
#ifndef _KARENA_GC_H
#define _KARENA_GC_H

#include <linux/completion.h>
#include <linux/mutex.h>
#include <linux/srcu.h>
#include <linux/wait.h>

#include "kmod/alloc/internal.h"

/* Words that are to be shaded by whoever marks: shade.c. */
struct karena_words {
	struct llist_node node;
	unsigned int nr;
	unsigned long word[];
};

/* Grey objects that are in no marker's hands: queue.c. */
struct karena_queue {
	struct llist_head shaded;	/* spans of those that barriers have found */
	struct llist_head words;	/* what others may lead to */
	atomic_t words_left;		/* blocks of them that may be made */
	atomic_t chunks_left;		/* that may be made */
	atomic_t nr_chunks;		/* that there are */
	atomic_t most_chunks;		/* that there have been */
	spinlock_t lock;		/* all below */
	struct list_head chunks;	/* of objects: stack.h */
	struct list_head batches;	/* of spans */
	bool some;			/* of these two, to be looked at without the lock */
	unsigned int active;		/* markers that may have some */
	wait_queue_head_t wait;		/* for these, or for nobody to be active */
};

/* What a marker has; a batch is a chain of spans by grey, known by the first. */
struct karena_hand {
	struct karena_chunk *top;	/* of the stack, or NULL */
	struct karena_chunk *spare;	/* an empty one, or NULL */
	struct llist_node *words;	/* to be shaded */
	struct list_head chunks;	/* the rest of the stack, full ones */
	struct list_head taken;		/* batches to be scanned */
	struct list_head found;		/* full batches of spans that it has found grey */
	struct karena_span *first;	/* batch in the making */
	struct karena_span *last;
	unsigned int nr_made;		/* spans in it */
	bool active;
};

/* What was done, in a slice or in all. */
struct karena_mark_work {
	u64 objects;			/* marked */
	u64 bytes;			/* of these */
	u64 scanned;			/* bytes looked at */
};

struct karena_mark_worker {
	struct karena_gc *gc;
	struct work_struct work;
};

/* An open mutator section, in debug builds: who to blame if it is too long. */
struct karena_section {
	struct task_struct *task;	/* NULL: nobody; never followed */
	unsigned long jiffies;		/* when it began */
	unsigned long caller;
	pid_t pid;
};

/* Where a word of a program is. */
struct karena_origin {
	u32 kind;			/* KARENA_ROOT_* */
	unsigned long at;
	bool of_thread;
	struct task_struct *task;	/* the thread, or one of its process; or NULL */
};

/*
 * What is done with the words of programs, whatever they are.  In registers and on
 * stacks the address where an object ends is a reference to it: loops are compiled to
 * count up to zero from there, and may have nothing else of it.  (Boehm's collector makes
 * each object a byte longer for that.)
 */
struct karena_visitor {
	void (*word)(void *arg, unsigned long word);
	void (*thread_word)(void *arg, unsigned long word);	/* of registers and stacks */
	void *arg;
	/* All is visited anew, maybe not for the first time; or NULL. */
	void (*begin)(void *arg);
	/* It has been, and all stand still until this returns; or NULL. */
	void (*standing)(void *arg);
	/* Not all have stood still: whether to try again.  NULL: for ever. */
	bool (*again)(void *arg);
	struct karena_origin *origin;	/* is told where each word is; or NULL */
};

/*
 * Mutators that are programs, with roots of their own: user/collect.c.  Called by who
 * runs a cycle, which is a kernel thread then.
 */
struct karena_world {
	/* The heap's phase or cycle has changed. */
	void (*phase)(struct karena_heap *heap);
	/* Before the snapshot: what can be done while they run. */
	void (*protect)(struct karena_heap *heap);
	/* Shades all roots, at one moment, and what may change unseen from then on. */
	void (*snapshot)(struct karena_heap *heap);
	/* Stops them, and visits all roots. */
	void (*visit)(struct karena_heap *heap, const struct karena_visitor *visitor);
	/* The object of the weak reference in a cell is gone. */
	void (*weak_clear)(struct karena_heap *heap, unsigned long cell, unsigned long target);
	/* Nobody needs a special of a program any more. */
	void (*special_free)(struct karena_heap *heap, struct karena_special *special);
};

/* Whether a cycle goes through specials: special.c. */
enum karena_specials_state {
	KARENA_SPECIALS_SETTLED,	/* no; what is there stays for now */
	KARENA_SPECIALS_OPEN,		/* not yet: what is shaded lives */
	KARENA_SPECIALS_CLOSED,		/* yes, or it is about to */
};

struct karena_specials {
	struct mutex lock;		/* all but those that are due */
	struct xarray objects;		/* a ring of struct karena_special by address / 8 */
	struct xarray cells;		/* one by address / 8 */
	enum karena_specials_state state;
	wait_queue_head_t settled;
	spinlock_t due_lock;		/* the next three */
	struct list_head due;
	u64 nr_due;
	struct karena_special *running;	/* never followed */
	wait_queue_head_t wait;		/* programs, for some to be due */
	struct work_struct work;	/* in kernel heaps */
};

#define KARENA_SECTIONS	32		/* that are remembered */

struct karena_gc {
	struct karena_heap *heap;
	const struct karena_world *world;	/* NULL: of a kernel heap */
	u64 born;			/* ns */
	struct srcu_struct sections;
	struct delayed_work stuck_work;
#ifdef CONFIG_PROVE_LOCKING
	struct karena_section open[KARENA_SECTIONS];
#endif

	struct karena_queue queue;
	struct karena_marker *markers;	/* one for each that may be active */
	unsigned int nr_markers;

	struct mutex roots_lock;	/* the set of roots, not what is in them */
	struct xarray roots;		/* struct karena_root by address / 8 */
	struct xarray pins;		/* count by address / 8 */
	u64 root_bytes;

	struct karena_specials specials;

	struct mutex cycle_lock;	/* held by who runs a cycle; params */
	struct karena_gc_params params;
	struct work_struct cycle_work;
	struct delayed_work period_work;
	struct karena_mark_worker *workers;
	bool marking;			/* workers go on */
	bool forced;			/* a cycle is wanted, used bytes or not */
	atomic_t waiters;		/* for a cycle: workers do not hold back */
	u32 done;			/* number of the last complete cycle */
	wait_queue_head_t done_wait;
	u64 cycles_at_period;

	/* Pacing: pacer.c. */
	atomic64_t shaded_bytes;	/* marked by roots and barriers, this cycle */
	u64 live_bytes;			/* marked by the last cycle */
	u64 trigger;
	u64 goal;
	u64 used_at_begin;
	u64 growth;			/* of used bytes while the last cycle marked */
	atomic64_t credit;		/* scanned bytes that assists may take */
	u64 assist_ratio;		/* bytes to scan for 1024 allocated ones */

	spinlock_t stats_lock;		/* all below */
	u64 bucket;			/* of the limiter, in ns */
	u64 bucket_at;			/* when it was looked at */
	bool limited;
	struct karena_mark_work marked;	/* by this cycle, but for shaded_bytes */
	struct karena_gc_stats stats;
};

/* When the parts of a cycle were over, in ns, and what there was. */
struct karena_cycle {
	bool forced;			/* asked for, by a caller or the period */
	u64 begin;
	u64 marking;
	u64 marked;
	u64 sweeping;
	u64 swept;
	u64 used;			/* bytes, at the begin */
	u64 used_marked;		/* and when all was marked */
	u64 mark_ns;			/* in all cycles before, */
	u64 assist_ns;			/* and by allocations of it */
};

struct karena_root {
	unsigned long start;
	unsigned long nr;		/* words */
};

/* queue.c */
void karena_queue_init(struct karena_queue *queue);
void karena_queue_begin(struct karena_queue *queue, u64 bytes);
void karena_hand_init(struct karena_hand *hand);
void karena_queue_shade(struct karena_queue *queue, struct karena_span *span);
void karena_queue_words(struct karena_queue *queue, struct karena_words *words);
void karena_hand_add(struct karena_hand *hand, struct karena_span *span);
bool karena_queue_trade(struct karena_queue *queue, struct karena_hand *hand, unsigned int most);
void karena_queue_share(struct karena_queue *queue, struct karena_hand *hand);
bool karena_queue_has_some(struct karena_queue *queue);
bool karena_queue_idle(struct karena_queue *queue);

/* stack.c */
void karena_stack_free(struct karena_queue *queue, struct karena_hand *hand);

/* mark.c */
size_t karena_markers_bytes(void);
int karena_markers_init(struct karena_gc *gc);
void karena_markers_exit(struct karena_gc *gc);
bool karena_mark_slice(struct karena_gc *gc, u64 budget, struct karena_mark_work *work);
void karena_queue_born(struct karena_gc *gc);

/* shade.c */
struct karena_span *karena_find_object(struct karena_heap *heap, unsigned long word, u32 *index);
void karena_shade(struct karena_gc *gc, unsigned long word);
void karena_shade_later(struct karena_gc *gc, const unsigned long *words, unsigned int nr);
unsigned int karena_shade_taken(struct karena_gc *gc, struct karena_hand *hand);

/* roots.c */
void karena_roots_init(struct karena_gc *gc);
void karena_roots_exit(struct karena_gc *gc);
void karena_roots_mark(struct karena_gc *gc);

/* special.c */
void karena_specials_init(struct karena_gc *gc);
void karena_specials_exit(struct karena_gc *gc);
int karena_special_add(struct karena_gc *gc, struct karena_special *special);
struct karena_special *
karena_special_remove(struct karena_gc *gc, unsigned long addr,
		      bool (*match)(const struct karena_special *special, const void *arg),
		      const void *arg);
void karena_specials_forget(struct karena_gc *gc, unsigned long addr);
void karena_specials_open(struct karena_gc *gc);
bool karena_specials_close(struct karena_gc *gc);
void karena_specials_settle(struct karena_gc *gc);
int karena_cell_target(struct karena_gc *gc, unsigned long cell, unsigned long *target);
struct karena_special *karena_cleanup_take(struct karena_gc *gc);
void karena_cleanup_put_back(struct karena_gc *gc, struct karena_special *cleanup);
void karena_cleanup_done(struct karena_gc *gc);

/* section.c */
void karena_stuck_work(struct work_struct *work);

/* pacer.c */
void karena_pacer_set(struct karena_gc *gc);
void karena_pacer_begin(struct karena_gc *gc);
void karena_pacer_end(struct karena_gc *gc, u64 marked);
void karena_limiter_count(struct karena_gc *gc, u64 ns);
void karena_pacer_hold(struct karena_gc *gc);
bool karena_pacer_has_garbage(struct karena_gc *gc);
void karena_pacer_refill(struct karena_heap *heap, size_t bytes, gfp_t gfp);

/* params.c */
int karena_params_init(struct karena_gc_params *params);

/* cycle.c */
void karena_cycle_work(struct work_struct *work);
void karena_period_work(struct work_struct *work);
void karena_mark_work(struct work_struct *work);
bool karena_slice(struct karena_gc *gc, u64 budget, bool assist);
void karena_mark_all(struct karena_gc *gc);
void karena_cycle_want(struct karena_gc *gc);
void karena_count_stop(struct karena_gc *gc, u64 ns, bool done);

/* trace.c */
void karena_gc_trace(struct karena_gc *gc, const struct karena_cycle *cycle);

/* verify.c */
u64 karena_verify(struct karena_gc *gc);

/* pressure.c */
unsigned long karena_shrink(gfp_t gfp, unsigned long most);
int karena_pressure_init(void);
void karena_pressure_exit(void);

#endif /* _KARENA_GC_H */
