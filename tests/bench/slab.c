// SPDX-License-Identifier: GPL-2.0
/*
 * karena against kmem_cache, in the kernel: the same work done by both in turn,
 * as many times as asked, and one line for each case in the log with medians
 * and extremes in picoseconds for one object (its allocation and its free), and
 * what each holds in bytes while the objects of a batch are out.  report.awk
 * makes a table and JSON of them.
 *
 * Each piece of work is compiled for each allocator, zeroed and not, with both
 * as constants, so that neither pays for a choice that callers do not have.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "kmod/karena.h"
#include "tests/bench/bench.h"

static unsigned int runs = 7;
module_param(runs, uint, 0444);
MODULE_PARM_DESC(runs, "measurements of each case and allocator (7)");

static unsigned int millis = 10;
module_param(millis, uint, 0444);
MODULE_PARM_DESC(millis, "length of a measurement in milliseconds, about (10)");

#define MAX_BATCH	4096
#define MAX_THREADS	2

enum side { KARENA, PEER, NR_SIDES };

/* What a measurement works with; one for each thread. */
struct work {
	struct karena_heap *heap;
	struct karena_type *type;
	struct kmem_cache *cache;
	unsigned int size;
	bool zero;
	unsigned int batch;
	u16 *order;			/* in which a batch is freed */
	void **objects;
	unsigned long loops;
	unsigned long wrong;		/* objects that came over with other contents */
	u64 ns;
	struct ring *ring;
};

/* Objects on their way from one CPU to another. */
#define RING	1024
struct ring {
	unsigned long head ____cacheline_aligned_in_smp;
	unsigned long tail ____cacheline_aligned_in_smp;
	void *slot[RING];
};

typedef void (*body_fn)(struct work *w);

static __always_inline void *get_object(struct work *w, enum side who, bool zero)
{
	if (who == KARENA)
		return karena_new(w->type, zero ? 0 : KARENA_NOZERO, GFP_KERNEL);
	return kmem_cache_alloc(w->cache, zero ? GFP_KERNEL | __GFP_ZERO : GFP_KERNEL);
}

static __always_inline void put_object(struct work *w, enum side who, void *object)
{
	if (who == KARENA)
		karena_del(w->type, object);
	else
		kmem_cache_free(w->cache, object);
}

static __always_inline void do_pair(struct work *w, enum side who, bool zero)
{
	unsigned long i, loops = w->loops;

	for (i = 0; i < loops; i++)
		put_object(w, who, get_object(w, who, zero));
}

/* The same by size, as a caller does that has no type. */
static __always_inline void do_sized(struct work *w, enum side who, bool zero)
{
	unsigned int flags = zero ? 0 : KARENA_NOZERO;
	gfp_t gfp = zero ? GFP_KERNEL | __GFP_ZERO : GFP_KERNEL;
	unsigned long i, loops = w->loops;

	for (i = 0; i < loops; i++) {
		if (who == KARENA)
			karena_free(w->heap, karena_alloc(w->heap, w->size, flags, GFP_KERNEL));
		else
			kfree(kmalloc(w->size, gfp));
	}
}

static __always_inline void do_batch(struct work *w, enum side who, bool zero)
{
	unsigned long i, loops = w->loops;
	unsigned int j, n = w->batch;
	void **objects = w->objects;
	const u16 *order = w->order;

	for (i = 0; i < loops; i++) {
		for (j = 0; j < n; j++)
			objects[j] = get_object(w, who, zero);
		for (j = 0; j < n; j++)
			put_object(w, who, objects[order[j]]);
		cond_resched();
	}
}

static __always_inline void do_bulk(struct work *w, enum side who, bool zero)
{
	unsigned int flags = zero ? 0 : KARENA_NOZERO;
	gfp_t gfp = zero ? GFP_KERNEL | __GFP_ZERO : GFP_KERNEL;
	unsigned long i, loops = w->loops;
	unsigned int n = w->batch;

	for (i = 0; i < loops; i++) {
		if (who == KARENA) {
			if (karena_alloc_bulk(w->heap, w->size, flags, gfp, n, w->objects) == n)
				karena_free_bulk(w->heap, n, w->objects);
		} else if (kmem_cache_alloc_bulk(w->cache, gfp, n, w->objects)) {
			kmem_cache_free_bulk(w->cache, n, w->objects);
		}
		cond_resched();
	}
}

/*
 * The producer fills in what it hands over, a burst at a time, and the consumer
 * looks at it before it frees it.
 */
static __always_inline void do_produce(struct work *w, enum side who, bool zero)
{
	unsigned long i, j, n = w->loops * w->batch, burst = w->batch;
	struct ring *r = w->ring;
	unsigned long *object;

	for (i = 0; i < n; i += burst) {
		/* Pairs with the release of the tail: the slots are free. */
		while (i + burst - smp_load_acquire(&r->tail) > RING)
			cond_resched();
		for (j = i; j < i + burst; j++) {
			object = get_object(w, who, zero);
			*object = j;
			r->slot[j % RING] = object;
		}
		/* Pairs with the acquire in do_consume(). */
		smp_store_release(&r->head, i + burst);
	}
}

static __always_inline void do_consume(struct work *w, enum side who, bool zero)
{
	unsigned long i, j, n = w->loops * w->batch, burst = w->batch;
	struct ring *r = w->ring;
	unsigned long *object;

	for (i = 0; i < n; i += burst) {
		/* Pairs with the release of the head: the slots are filled. */
		while (smp_load_acquire(&r->head) == i)
			cond_resched();
		for (j = i; j < i + burst; j++) {
			object = r->slot[j % RING];
			w->wrong += *object != j;
			put_object(w, who, object);
		}
		/* Pairs with the acquire in do_produce(). */
		smp_store_release(&r->tail, i + burst);
	}
}

#define BODY(name)									\
static void name##_karena(struct work *w) { do_##name(w, KARENA, false); }		\
static void name##_karena_zero(struct work *w) { do_##name(w, KARENA, true); }		\
static void name##_peer(struct work *w) { do_##name(w, PEER, false); }			\
static void name##_peer_zero(struct work *w) { do_##name(w, PEER, true); }
BODY(pair)
BODY(sized)
BODY(batch)
BODY(bulk)
BODY(produce)
BODY(consume)

static void empty_loop(struct work *w)
{
	unsigned long i;

	for (i = 0; i < w->loops; i++)
		barrier();
}

struct bench_case {
	const char *name;
	unsigned int batch;
	bool shuffled;
	unsigned int threads;
	body_fn body[MAX_THREADS][NR_SIDES][2];	/* unzeroed, zeroed */
};

#define SIDES(name)	{ { name##_karena, name##_karena_zero },	\
			  { name##_peer, name##_peer_zero } }
#define ONE(name)	{ SIDES(name) }
#define TWO(a, b)	{ SIDES(a), SIDES(b) }

static const struct bench_case cases[] = {
	{ "pair", 1, false, 1, ONE(pair) },
	{ "pair-sized", 1, false, 1, ONE(sized) },
	{ "batch-16", 16, false, 1, ONE(batch) },
	{ "batch-128", 128, false, 1, ONE(batch) },
	{ "batch-4096", 4096, false, 1, ONE(batch) },
	{ "random-16", 16, true, 1, ONE(batch) },
	{ "random-128", 128, true, 1, ONE(batch) },
	{ "random-4096", 4096, true, 1, ONE(batch) },
	{ "bulk-16", 16, false, 1, ONE(bulk) },
	{ "bulk-128", 128, false, 1, ONE(bulk) },
	{ "pair-2cpu", 1, false, 2, TWO(pair, pair) },
	{ "batch-128-2cpu", 128, false, 2, TWO(batch, batch) },
	{ "random-4096-2cpu", 4096, true, 2, TWO(batch, batch) },
	{ "producer-consumer", 64, false, 2, TWO(produce, consume) },
};

struct runner {
	struct task_struct *task;
	struct work *work;
	body_fn body;
	struct completion *start;
	struct completion done;
};

static int run_thread(void *data)
{
	struct runner *r = data;
	u64 begin;

	wait_for_completion(r->start);
	begin = ktime_get_ns();
	r->body(r->work);
	r->work->ns = ktime_get_ns() - begin;
	complete(&r->done);
	return 0;
}

/* Runs the bodies at the same time, a CPU each; the longest time counts. */
static u64 run_together(struct work *works, const body_fn *bodies, unsigned int n)
{
	DECLARE_COMPLETION_ONSTACK(start);
	struct runner runner[MAX_THREADS];
	unsigned int i, cpu = cpumask_first(cpu_online_mask);
	u64 ns = 0;

	for (i = 0; i < n; i++) {
		runner[i].work = &works[i];
		runner[i].body = bodies[i];
		runner[i].start = &start;
		init_completion(&runner[i].done);
		runner[i].task = kthread_create(run_thread, &runner[i], "karena_bench/%u", i);
		if (IS_ERR(runner[i].task))
			return 0;	/* those before wait for ever: out of threads */
		kthread_bind(runner[i].task, cpu);
		wake_up_process(runner[i].task);
		cpu = cpumask_next(cpu, cpu_online_mask);
	}
	complete_all(&start);
	for (i = 0; i < n; i++) {
		wait_for_completion(&runner[i].done);
		ns = max(ns, works[i].ns);
	}
	return ns;
}

static void reset_ring(struct work *works)
{
	memset(works->ring, 0, sizeof(*works->ring));
}

static void set_loops(struct work *works, unsigned long loops)
{
	unsigned int i;

	for (i = 0; i < MAX_THREADS; i++)
		works[i].loops = loops;
}

/* Picoseconds for one object. */
static u64 measure(struct work *works, const struct bench_case *c, enum side who)
{
	body_fn bodies[MAX_THREADS];
	unsigned int i;
	u64 ns;

	for (i = 0; i < c->threads; i++)
		bodies[i] = c->body[i][who][works[i].zero];
	reset_ring(works);
	ns = run_together(works, bodies, c->threads);
	for (i = 0; i < c->threads; i++)
		WARN_ON(works[i].wrong);
	return ns * 1000 / ((u64)works->loops * c->batch);
}

/* So many loops that the slower one takes about the time that was asked for. */
static void calibrate(struct work *works, const struct bench_case *c)
{
	unsigned long loops = 1;
	u64 ps;

	do {
		loops *= 4;
		set_loops(works, loops);
		ps = measure(works, c, PEER);
	} while (ps * loops * c->batch < (u64)millis * 1000000000 / 4);
	set_loops(works, loops * 2);
	measure(works, c, KARENA);
}

static u64 slab_bytes(void)
{
	return (u64)(global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B) +
		     global_node_page_state_pages(NR_SLAB_RECLAIMABLE_B)) << PAGE_SHIFT;
}

/* Memory that is held with 32 batches out, more than before there were any. */
static u64 peer_memory(struct work *w, void **all, unsigned int n)
{
	struct kmem_cache *cache = w->cache;
	u64 before, after;
	unsigned int i;

	before = slab_bytes();
	for (i = 0; i < n; i++)
		all[i] = kmem_cache_alloc(cache, GFP_KERNEL);
	after = slab_bytes();
	for (i = 0; i < n; i++)
		kmem_cache_free(cache, all[i]);
	return after > before ? after - before : 0;
}

static u64 karena_memory(struct work *w, void **all, unsigned int n)
{
	struct karena_heap_stats stats = {};
	struct karena_heap *heap = karena_heap_create("bench memory", NULL);
	unsigned int i;

	if (IS_ERR(heap))
		return 0;
	for (i = 0; i < n; i++)
		all[i] = karena_alloc(heap, w->size, KARENA_NOZERO, GFP_KERNEL);
	karena_heap_stats(heap, &stats);
	karena_heap_put(heap);
	return stats.held_bytes + stats.meta_bytes;
}

#define MEMORY_OBJECTS	65536

static void report_memory(struct work *w)
{
	void **all = kvmalloc_array(MEMORY_OBJECTS, sizeof(*all), GFP_KERNEL);

	if (!all)
		return;
	pr_info("memory size=%u objects=%u karena=%llu kmem_cache=%llu\n", w->size,
		MEMORY_OBJECTS, karena_memory(w, all, MEMORY_OBJECTS),
		peer_memory(w, all, MEMORY_OBJECTS));
	kvfree(all);
}

static void run_case(struct work *works, const struct bench_case *c)
{
	static struct series ps[NR_SIDES];
	unsigned int i, n = clamp(runs, 1u, (unsigned int)MAX_RUNS);
	enum side who;

	for (i = 0; i < MAX_THREADS; i++)
		works[i].batch = c->batch;
	calibrate(works, c);
	for (i = 0; i < n; i++)
		for (who = 0; who < NR_SIDES; who++)
			ps[(who + i) % NR_SIDES].value[i] = measure(works, c, (who + i) % NR_SIDES);
	for (who = 0; who < NR_SIDES; who++) {
		ps[who].nr = n;
		series_sort(&ps[who]);
	}
	pr_info("case name=%s size=%u zero=%d runs=%u karena=%llu karena_min=%llu karena_max=%llu peer=%llu peer_min=%llu peer_max=%llu\n",
		c->name, works->size, works->zero, n,
		ps[KARENA].median, ps[KARENA].least, ps[KARENA].most,
		ps[PEER].median, ps[PEER].least, ps[PEER].most);
}

static void set_order(struct work *w, bool shuffled, unsigned int batch)
{
	unsigned int i, j;

	for (i = 0; i < batch; i++)
		w->order[i] = i;
	for (i = batch - 1; shuffled && i > 0; i--) {
		j = get_random_u32() % (i + 1);
		swap(w->order[i], w->order[j]);
	}
}

static void drop_allocators(struct work *works)
{
	if (works->heap)
		karena_heap_put(works->heap);
	kmem_cache_destroy(works->cache);
}

/* A heap and a cache of their own for each case, so that none leaves its traces. */
static int make_allocators(struct work *works, unsigned int size, bool zero)
{
	struct kmem_cache *cache = kmem_cache_create("karena_bench", size, 0, 0, NULL);
	struct karena_heap *heap = karena_heap_create("bench", NULL);
	struct karena_type *type;
	unsigned int i;

	if (IS_ERR(heap))
		heap = NULL;
	type = heap ? karena_type_create(heap, size, 0) : NULL;
	for (i = 0; i < MAX_THREADS; i++) {
		works[i].heap = heap;
		works[i].type = type;
		works[i].cache = cache;
		works[i].size = size;
		works[i].zero = zero;
	}
	if (cache && !IS_ERR_OR_NULL(type))
		return 0;
	drop_allocators(works);
	return -ENOMEM;
}

static int run_cases(struct work *works, unsigned int size, bool zero)
{
	unsigned int i, t;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		if (cases[i].threads > num_online_cpus())
			continue;
		if (make_allocators(works, size, zero))
			return -ENOMEM;
		for (t = 0; t < MAX_THREADS; t++)
			set_order(&works[t], cases[i].shuffled, cases[i].batch);
		run_case(works, &cases[i]);
		drop_allocators(works);
	}
	return 0;
}

static int run_size(struct work *works, unsigned int size)
{
	int err = run_cases(works, size, false);

	if (!err)
		err = run_cases(works, size, true);
	if (!err)
		err = make_allocators(works, size, false);
	if (err)
		return err;
	report_memory(works);
	drop_allocators(works);
	return 0;
}

static void report_baseline(struct work *works)
{
	static const body_fn body[] = { empty_loop };
	u64 ns;

	set_loops(works, 10000000);
	ns = run_together(works, body, 1);
	pr_info("baseline name=empty-loop ps=%llu\n", ns * 1000 / works->loops);
}

static void free_works(struct work *works)
{
	unsigned int i;

	for (i = 0; i < MAX_THREADS; i++) {
		kvfree(works[i].objects);
		kvfree(works[i].order);
	}
	kvfree(works->ring);
}

static int init_works(struct work *works)
{
	struct ring *ring = kvzalloc(sizeof(*ring), GFP_KERNEL);
	unsigned int i;

	for (i = 0; i < MAX_THREADS; i++) {
		works[i].ring = ring;
		works[i].objects = kvmalloc_array(MAX_BATCH, sizeof(void *), GFP_KERNEL);
		works[i].order = kvmalloc_array(MAX_BATCH, sizeof(u16), GFP_KERNEL);
		if (!works[i].objects || !works[i].order)
			ring = NULL;
	}
	return ring ? 0 : -ENOMEM;
}

static int __init bench_init(void)
{
	static const unsigned int sizes[] = { 64, 256, 1024 };
	struct work works[MAX_THREADS] = {};
	unsigned int i;
	int err;

	err = init_works(works);
	if (!err)
		report_baseline(works);
	for (i = 0; i < ARRAY_SIZE(sizes) && !err; i++)
		err = run_size(works, sizes[i]);
	free_works(works);
	return err;
}

static void __exit bench_exit(void)
{
}

module_init(bench_init);
module_exit(bench_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("karena against kmem_cache");
