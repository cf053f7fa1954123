// SPDX-License-Identifier: GPL-2.0
/*
 * Marking of large graphs: millions of objects of 64 bytes with two references
 * each, at random or as a tree, collected several times by one worker and by two.
 * One line for each in the log: CPU time for an object that is alive in
 * picoseconds, wall time, and how many slices were late.  And what storing a
 * reference costs.  tests/bench/mark/peers has the same graphs for the Boehm
 * collector and for Go; report.awk makes a table of all of them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/prandom.h>

#include "kmod/karena.h"
#include "tests/bench/bench.h"

static unsigned int objects = 4 << 20;
module_param(objects, uint, 0444);
MODULE_PARM_DESC(objects, "objects of a graph (4194304)");

static unsigned int runs = 5;
module_param(runs, uint, 0444);
MODULE_PARM_DESC(runs, "collections of each graph (5)");

#define ROOTS		1024
#define STORES		BIT(22)

struct node {
	struct node *ref[2];
	unsigned long rest[6];
};

struct world {
	struct karena_heap *heap;
	struct karena_type *type;
	struct node *root[ROOTS];
};

static struct node *new_node(struct world *w)
{
	return karena_new(w->type, 0, GFP_KERNEL);
}

/* Each refers to two others, from anywhere; some are roots. */
static int build_random(struct world *w)
{
	struct node **all = kvmalloc_array(objects, sizeof(*all), GFP_KERNEL);
	struct rnd_state rnd;
	unsigned int i;

	if (!all)
		return -ENOMEM;
	prandom_seed_state(&rnd, 1);
	for (i = 0; i < objects; i++) {
		all[i] = new_node(w);
		if (!all[i]) {
			kvfree(all);
			return -ENOMEM;
		}
	}
	for (i = 0; i < objects; i++) {
		karena_store(w->heap, &all[i]->ref[0], all[prandom_u32_state(&rnd) % objects]);
		karena_store(w->heap, &all[i]->ref[1], all[prandom_u32_state(&rnd) % objects]);
	}
	for (i = 0; i < ROOTS; i++)
		karena_store(w->heap, &w->root[i], all[prandom_u32_state(&rnd) % objects]);
	kvfree(all);
	return 0;
}

static struct node *build_subtree(struct world *w, unsigned int depth)
{
	struct node *node = new_node(w);

	if (!node || !depth)
		return node;
	karena_store(w->heap, &node->ref[0], build_subtree(w, depth - 1));
	karena_store(w->heap, &node->ref[1], build_subtree(w, depth - 1));
	return node;
}

static int build_tree(struct world *w)
{
	karena_store(w->heap, &w->root[0], build_subtree(w, ilog2(objects) - 1));
	return w->root[0] ? 0 : -ENOMEM;
}

/* Collects as often as asked, with so many workers. */
static void measure(struct world *w, const char *name, unsigned int workers)
{
	static struct series cpu, wall;
	static struct karena_gc_stats first, before, after;
	struct karena_heap_stats heap;
	struct karena_gc_params params;
	unsigned int i;
	u64 n = 0;

	cpu.nr = clamp(runs, 1u, (unsigned int)MAX_RUNS);
	wall.nr = cpu.nr;
	karena_gc_get(w->heap, &params);
	params.percent = -1;
	params.workers = workers;
	karena_gc_set(w->heap, &params);
	karena_gc_stats(w->heap, &first);
	for (i = 0; i < cpu.nr; i++) {
		karena_gc_stats(w->heap, &before);
		karena_collect(w->heap, true);
		karena_gc_stats(w->heap, &after);
		n = max(after.marked_objects - before.marked_objects, 1ULL);
		cpu.value[i] = (after.mark_ns - before.mark_ns) * 1000 / n;
		wall.value[i] = (after.marking_ns - before.marking_ns) / 1000;
	}
	series_sort(&cpu);
	series_sort(&wall);
	karena_heap_stats(w->heap, &heap);
	pr_info("mark name=%s workers=%u runs=%u objects=%llu cpu_ps=%llu cpu_min=%llu cpu_max=%llu wall_us=%llu wall_min=%llu wall_max=%llu slices=%llu late=%llu ticked=%llu memory=%llu\n",
		name, workers, cpu.nr, n, cpu.median, cpu.least, cpu.most,
		wall.median, wall.least, wall.most, after.slices - first.slices,
		after.late - first.late, after.ticked - first.ticked,
		heap.held_bytes + heap.meta_bytes);
}

static u64 stores_ns(struct world *w, bool barrier)
{
	u64 begin = ktime_get_ns();
	unsigned long i;

	for (i = 0; i < STORES; i++) {
		if (barrier)
			karena_store(w->heap, &w->root[i % ROOTS], w->root[(i + 1) % ROOTS]);
		else
			WRITE_ONCE(w->root[i % ROOTS], READ_ONCE(w->root[(i + 1) % ROOTS]));
		barrier();
	}
	return ktime_get_ns() - begin;
}

/* Picoseconds for a store of a reference: plain, and while no cycle runs. */
static void measure_idle_stores(struct world *w)
{
	static struct series plain, idle;
	unsigned int i;

	plain.nr = clamp(runs, 1u, (unsigned int)MAX_RUNS);
	idle.nr = plain.nr;
	for (i = 0; i < plain.nr; i++) {
		plain.value[i] = stores_ns(w, false) * 1000 / STORES;
		idle.value[i] = stores_ns(w, true) * 1000 / STORES;
	}
	series_sort(&plain);
	series_sort(&idle);
	pr_info("store plain_ps=%llu plain_min=%llu plain_max=%llu idle_ps=%llu idle_min=%llu idle_max=%llu\n",
		plain.median, plain.least, plain.most, idle.median, idle.least, idle.most);
}

/* The same while one runs, by stores that began and ended in it. */
static void measure_marking_stores(struct world *w)
{
	const struct karena_heap_head *head = (const struct karena_heap_head *)w->heap;
	u64 ns = 0, n = 0, begin;
	unsigned int i;
	int section;

	karena_collect(w->heap, false);
	while (READ_ONCE(head->phase) != KARENA_MARK)
		cond_resched();
	while (READ_ONCE(head->phase) == KARENA_MARK) {
		section = karena_enter(w->heap);
		begin = ktime_get_ns();
		for (i = 0; i < ROOTS; i++)
			karena_store(w->heap, &w->root[i], w->root[(i + 1) % ROOTS]);
		ns += ktime_get_ns() - begin;
		n += ROOTS;
		karena_exit(w->heap, section);
		cond_resched();
	}
	pr_info("store marking_ps=%llu stores=%llu\n", ns * 1000 / max(n, 1ULL), n);
}

static int run_graph(const char *name, int (*build)(struct world *))
{
	static const u32 refs[] = { 0, 8 };
	const struct karena_layout_attr layout = {
		.name = "node", .size = sizeof(struct node), .refs = refs, .nr_refs = 2,
	};
	const struct karena_heap_attr attr = { .collect = true };
	struct karena_gc_params params;
	static struct world w;
	int section, err;

	memset(&w, 0, sizeof(w));
	w.heap = karena_heap_create("bench", &attr);
	if (IS_ERR(w.heap))
		return PTR_ERR(w.heap);
	karena_gc_get(w.heap, &params);
	params.percent = -1;
	karena_gc_set(w.heap, &params);
	w.type = karena_type_register(w.heap, &layout, NULL);
	err = PTR_ERR_OR_ZERO(w.type);
	if (!err)
		err = karena_root_add(w.heap, w.root, ROOTS);
	if (!err) {
		section = karena_enter(w.heap);
		err = build(&w);
		karena_exit(w.heap, section);
	}
	if (!err) {
		measure(&w, name, 1);
		measure(&w, name, 2);
		measure_idle_stores(&w);
		measure_marking_stores(&w);
	}
	karena_heap_put(w.heap);
	return err;
}

static int __init bench_init(void)
{
	int err = run_graph("random", build_random);

	return err ? err : run_graph("tree", build_tree);
}

static void __exit bench_exit(void)
{
}

module_init(bench_init);
module_exit(bench_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("karena: marking of large graphs");
