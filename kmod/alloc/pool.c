// SPDX-License-Identifier: GPL-2.0
/*
 * Pools: objects that cost something to make, kept for whoever wants one next, and dropped
 * when nobody did for two cycles (Go's sync.Pool).
 *
 * Each CPU has two magazines, as for objects of a heap, and the same fast path (fast.h).
 * Behind them is a depot with two generations of magazines.  At a cycle the older one, the
 * victims, is dropped, and all others become victims, those of the CPUs among them.  A get
 * that finds nothing else takes one victim, which is none any more when it comes back: so
 * what is in use stays, and as much of it as is.
 *
 * pool->lock guards the depot.  It is taken in any context, with interrupts off, inside of
 * a CPU's busy flag; nothing is called with it held.  pool->age_lock, a mutex outside of it,
 * is for whoever ages the pool.  CPUs are emptied by interrupts (karena_mcache_drain()), those
 * that are offline by hand.
 */
#include <linux/cpu.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "internal.h"

#define SLOTS		32u		/* of a magazine */
#define MOST_EMPTY	8u		/* magazines that are kept */
#define PERIOD		(30 * HZ)	/* a cycle, where no heap has them */

struct pool {
	struct karena_pool pool;	/* first: what callers have */
	struct karena_pool_attr attr;
	spinlock_t lock;		/* the next four */
	struct list_head full;		/* magazines with objects */
	struct list_head victims;	/* those of the cycle before */
	struct list_head empty;
	unsigned int nr_empty;
	struct llist_head drained;	/* taken from CPUs */
	struct mutex age_lock;
	struct delayed_work work;
	struct list_head node;		/* heap->pools */
};

static struct pool *to_pool(struct karena_pool *pool)
{
	return container_of(pool, struct pool, pool);
}

/* --- the depot --- */

static struct karena_magazine *first(struct list_head *list)
{
	return list_first_entry_or_null(list, struct karena_magazine, list);
}

/* False if there are enough of them; lock. */
static bool keep_empty(struct pool *p, struct karena_magazine *mag)
{
	if (p->nr_empty >= MOST_EMPTY)
		return false;
	list_add(&mag->list, &p->empty);
	p->nr_empty++;
	return true;
}

/* A magazine that a CPU does not need; karena_no_magazine is everybody's. */
static void depot_put(struct pool *p, struct karena_magazine *mag)
{
	bool kept = true;
	unsigned long flags;

	if (!mag->cap)
		return;
	spin_lock_irqsave(&p->lock, flags);
	if (mag->nr)
		list_add(&mag->list, &p->full);
	else
		kept = keep_empty(p, mag);
	spin_unlock_irqrestore(&p->lock, flags);
	if (!kept)
		kfree(mag);
}

static struct karena_magazine *depot_get_full(struct pool *p)
{
	struct karena_magazine *mag;
	unsigned long flags;

	spin_lock_irqsave(&p->lock, flags);
	mag = first(&p->full);
	if (mag)
		list_del(&mag->list);
	spin_unlock_irqrestore(&p->lock, flags);
	return mag;
}

static struct karena_magazine *new_magazine(void)
{
	struct karena_magazine *mag;

	mag = kmalloc(struct_size(mag, slot, SLOTS), GFP_NOWAIT | __GFP_NOWARN);
	if (mag) {
		mag->nr = 0;
		mag->cap = SLOTS;
	}
	return mag;
}

static struct karena_magazine *depot_get_empty(struct pool *p)
{
	struct karena_magazine *mag;
	unsigned long flags;

	spin_lock_irqsave(&p->lock, flags);
	mag = first(&p->empty);
	if (mag) {
		list_del(&mag->list);
		p->nr_empty--;
	}
	spin_unlock_irqrestore(&p->lock, flags);
	return mag ? mag : new_magazine();
}

/* One object of a list of magazines, 0 if that has none; lock. */
static unsigned long pop_from(struct pool *p, struct list_head *list, struct karena_magazine **old)
{
	struct karena_magazine *mag = first(list);
	unsigned long addr;

	if (!mag)
		return 0;
	addr = mag->slot[--mag->nr];
	if (!mag->nr) {
		list_del(&mag->list);
		*old = keep_empty(p, mag) ? NULL : mag;
	}
	return addr;
}

/* One object past the CPU's magazines, of this generation or else of the one before. */
static unsigned long depot_pop(struct pool *p)
{
	struct karena_magazine *old = NULL;
	unsigned long flags, addr;

	spin_lock_irqsave(&p->lock, flags);
	addr = pop_from(p, &p->full, &old);
	if (!addr)
		addr = pop_from(p, &p->victims, &old);
	spin_unlock_irqrestore(&p->lock, flags);
	kfree(old);
	return addr;
}

/* --- this CPU's magazines --- */

/* Makes @mag the loaded one, and that the previous one, which comes back. */
static struct karena_magazine *push_magazine(struct karena_mcache *mc, struct karena_magazine *mag)
{
	struct karena_magazine *old = mc->previous;

	mc->previous = karena_mcache_unload(mc);
	karena_mcache_load(mc, mag);
	return old;
}

static void swap_magazines(struct karena_mcache *mc)
{
	push_magazine(mc, mc->previous);
}

static bool load_full(struct pool *p, struct karena_mcache *mc)
{
	struct karena_magazine *mag;

	swap_magazines(mc);
	if (mc->top != mc->loaded->slot)
		return true;
	mag = depot_get_full(p);
	if (mag)
		depot_put(p, push_magazine(mc, mag));
	return mag;
}

static bool load_empty(struct pool *p, struct karena_mcache *mc)
{
	struct karena_magazine *mag;

	swap_magazines(mc);
	if (mc->top != mc->end)
		return true;
	mag = depot_get_empty(p);
	if (mag)
		depot_put(p, push_magazine(mc, mag));
	return mag;
}

static unsigned long pop(struct pool *p)
{
	struct karena_mcache *mc;
	unsigned long addr = 0;

	preempt_disable();
	mc = this_cpu_ptr(p->pool.cache);
	if (mcache_enter(mc)) {
		if (load_full(p, mc))
			addr = mcache_pop(mc);
		mcache_exit(mc);
	}
	preempt_enable();
	return addr;
}

static bool push(struct pool *p, unsigned long addr)
{
	struct karena_mcache *mc;
	bool pushed = false;

	preempt_disable();
	mc = this_cpu_ptr(p->pool.cache);
	if (mcache_enter(mc)) {
		pushed = load_empty(p, mc) && mcache_push(mc, addr);
		mcache_exit(mc);
	}
	preempt_enable();
	return pushed;
}

/* For who has interrupted the fast path. */
static bool push_depot(struct pool *p, unsigned long addr)
{
	struct karena_magazine *mag = depot_get_empty(p);

	if (!mag)
		return false;
	mag->slot[mag->nr++] = addr;
	depot_put(p, mag);
	return true;
}

/* karena_pool_get() where the loaded magazine is empty, or busy. */
void *karena_pool_get_slow(struct karena_pool *pool, gfp_t gfp)
{
	struct pool *p = to_pool(pool);
	unsigned long addr = pop(p);

	if (!addr)
		addr = depot_pop(p);
	if (addr)
		return (void *)addr;
	return p->attr.make ? p->attr.make(p->attr.arg, gfp) : NULL;
}
EXPORT_SYMBOL_GPL(karena_pool_get_slow);

/* karena_pool_put() where the loaded magazine is full, or busy. */
void karena_pool_put_slow(struct karena_pool *pool, void *object)
{
	struct pool *p = to_pool(pool);

	if (!push(p, (unsigned long)object) && !push_depot(p, (unsigned long)object))
		p->attr.drop(object, p->attr.arg);
}
EXPORT_SYMBOL_GPL(karena_pool_put_slow);

/* --- cycles --- */

struct drain {
	struct pool *pool;
	atomic_t busy;
};

static void drain_this_cpu(void *data)
{
	struct drain *drain = data;

	if (!karena_mcache_drain(this_cpu_ptr(drain->pool->pool.cache), &drain->pool->drained))
		atomic_inc(&drain->busy);
}

static void drain_cpus(struct pool *p)
{
	struct drain drain = { .pool = p };
	unsigned int cpu;

	cpus_read_lock();
	do {
		atomic_set(&drain.busy, 0);
		on_each_cpu(drain_this_cpu, &drain, true);
		cond_resched();
	} while (atomic_read(&drain.busy));
	for_each_possible_cpu(cpu)
		if (!cpu_online(cpu))
			karena_mcache_drain(per_cpu_ptr(p->pool.cache, cpu), &p->drained);
	cpus_read_unlock();
}

/* What the CPUs had counts as what the depot has. */
static void collect(struct pool *p)
{
	struct karena_magazine *mag, *next;

	llist_for_each_entry_safe(mag, next, llist_del_all(&p->drained), drained)
		depot_put(p, mag);
}

static void drop_all(struct pool *p, struct list_head *list)
{
	struct karena_magazine *mag;

	while ((mag = first(list))) {
		list_del(&mag->list);
		while (mag->nr)
			p->attr.drop((void *)mag->slot[--mag->nr], p->attr.arg);
		kfree(mag);
		cond_resched();
	}
}

/**
 * karena_pool_age - tell a pool that a cycle has passed
 * @pool: the pool
 *
 * Drops what has been in it since before the last call, or cycle, and returns when that
 * is done.
 *
 * Context: process context, may sleep; not from karena_pool_attr.drop.
 */
void karena_pool_age(struct karena_pool *pool)
{
	struct pool *p = to_pool(pool);
	LIST_HEAD(old);

	mutex_lock(&p->age_lock);
	drain_cpus(p);
	collect(p);
	spin_lock_irq(&p->lock);
	list_splice_init(&p->victims, &old);
	list_splice_init(&p->full, &p->victims);
	list_splice_init(&p->empty, &old);
	p->nr_empty = 0;
	spin_unlock_irq(&p->lock);
	drop_all(p, &old);
	mutex_unlock(&p->age_lock);
}
EXPORT_SYMBOL_GPL(karena_pool_age);

static bool is_aged_by_heap(const struct pool *p)
{
	return p->attr.heap && p->attr.heap->collected;
}

static void age_work(struct work_struct *work)
{
	struct pool *p = container_of(work, struct pool, work.work);

	karena_pool_age(&p->pool);
	if (!is_aged_by_heap(p))
		queue_delayed_work(system_dfl_wq, &p->work, PERIOD);
}

/* A cycle of the heap is over.  Who marks does not wait for what pools drop. */
void karena_pools_age(struct karena_heap *heap)
{
	struct pool *p;

	spin_lock_irq(&heap->lock);
	list_for_each_entry(p, &heap->pools, node)
		mod_delayed_work(system_dfl_wq, &p->work, 0);
	spin_unlock_irq(&heap->lock);
}

/* --- pools --- */

static int init_caches(struct pool *p)
{
	struct karena_mcache *mc;
	unsigned int cpu;

	p->pool.cache = alloc_percpu(struct karena_mcache);
	if (!p->pool.cache)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		mc = per_cpu_ptr(p->pool.cache, cpu);
		karena_mcache_load(mc, &karena_no_magazine);
		mc->previous = &karena_no_magazine;
	}
	return 0;
}

/* From now on it ages. */
static void begin_aging(struct pool *p)
{
	struct karena_heap *heap = p->attr.heap;

	if (heap)
		karena_heap_get(heap);
	if (!is_aged_by_heap(p)) {
		queue_delayed_work(system_dfl_wq, &p->work, PERIOD);
		return;
	}
	spin_lock_irq(&heap->lock);
	list_add(&p->node, &heap->pools);
	spin_unlock_irq(&heap->lock);
}

/**
 * karena_pool_create - make a pool, which is empty
 * @attr: what it is of; @attr->drop is not NULL
 *
 * Context: process context, may sleep.
 * Return: the pool; ERR_PTR(-EINVAL) without @attr->drop, ERR_PTR(-ENOMEM).
 */
struct karena_pool *karena_pool_create(const struct karena_pool_attr *attr)
{
	struct pool *p;

	if (!attr->drop)
		return ERR_PTR(-EINVAL);
	p = kzalloc(sizeof(*p), GFP_KERNEL);
	if (!p)
		return ERR_PTR(-ENOMEM);
	p->attr = *attr;
	spin_lock_init(&p->lock);
	INIT_LIST_HEAD(&p->full);
	INIT_LIST_HEAD(&p->victims);
	INIT_LIST_HEAD(&p->empty);
	INIT_LIST_HEAD(&p->node);
	init_llist_head(&p->drained);
	mutex_init(&p->age_lock);
	INIT_DELAYED_WORK(&p->work, age_work);
	if (init_caches(p)) {
		kfree(p);
		return ERR_PTR(-ENOMEM);
	}
	begin_aging(p);
	return &p->pool;
}
EXPORT_SYMBOL_GPL(karena_pool_create);

/**
 * karena_pool_destroy - drop all that is in a pool, and the pool
 * @pool: the pool, which nobody uses any more; or NULL
 *
 * Context: process context, may sleep.
 */
void karena_pool_destroy(struct karena_pool *pool)
{
	struct pool *p = to_pool(pool);
	struct karena_heap *heap;

	if (!pool)
		return;
	heap = p->attr.heap;
	if (heap) {
		spin_lock_irq(&heap->lock);
		list_del_init(&p->node);
		spin_unlock_irq(&heap->lock);
	}
	cancel_delayed_work_sync(&p->work);
	karena_pool_age(pool);
	karena_pool_age(pool);
	karena_heap_put(heap);
	free_percpu(pool->cache);
	kfree(p);
}
EXPORT_SYMBOL_GPL(karena_pool_destroy);
