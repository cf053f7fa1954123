// SPDX-License-Identifier: GPL-2.0
/*
 * Marking of large graphs: millions of objects of 64 bytes with two references
 * each, at random or as a tree, collected several times by one worker and by two.
 * One line for each in the log: CPU time for an object in picoseconds, wall time,
 * and how long the slices were.  tests/bench/mark/peers has the same graphs for
 * the Boehm collector and for Go.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/sort.h>

#include "kmod/karena.h"

static unsigned int objects = 4 << 20;
module_param(objects, uint, 0444);
MODULE_PARM_DESC(objects, "objects of a graph (4194304)");

static unsigned int runs = 5;
module_param(runs, uint, 0444);
MODULE_PARM_DESC(runs, "collections of each graph (5)");

#define MAX_RUNS	32
#define ROOTS		1024

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

static int cmp_u64(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static void measure(struct world *w, const char *name, unsigned int workers)
{
	u64 cpu[MAX_RUNS], wall[MAX_RUNS], slices = 0, late = 0, ticked = 0, n;
	struct karena_gc_stats before, after = {};
	struct karena_gc_params params;
	unsigned int i, many = clamp(runs, 1u, (unsigned int)MAX_RUNS);

	karena_gc_get(w->heap, &params);
	params.percent = -1;
	params.workers = workers;
	karena_gc_set(w->heap, &params);
	for (i = 0; i < many; i++) {
		karena_gc_stats(w->heap, &before);
		karena_collect(w->heap, true);
		karena_gc_stats(w->heap, &after);
		wall[i] = after.marking_ns - before.marking_ns;
		n = max(after.marked_objects - before.marked_objects, 1ULL);
		slices += after.slices - before.slices;
		late += after.late - before.late;
		ticked += after.ticked - before.ticked;
		cpu[i] = (after.mark_ns - before.mark_ns) * 1000 / n;
	}
	sort(cpu, many, sizeof(u64), cmp_u64, NULL);
	sort(wall, many, sizeof(u64), cmp_u64, NULL);
	pr_info("mark name=%s workers=%u runs=%u objects=%llu cpu_ps=%llu cpu_min=%llu cpu_max=%llu wall_us=%llu wall_min=%llu wall_max=%llu slices=%llu late=%llu ticked=%llu\n",
		name, workers, many, n, cpu[many / 2], cpu[0], cpu[many - 1],
		wall[many / 2] / 1000, wall[0] / 1000, wall[many - 1] / 1000,
		slices, late, ticked);
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
