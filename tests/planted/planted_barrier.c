// SPDX-License-Identifier: GPL-2.0
/*
 * A planted bug: references are moved between words without karena_store() while
 * cycles mark.  The collector's own check has to find an object that is lost
 * ("reachable and not marked").
 */
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

#include "kmod/karena.h"

#define WORDS	(4 << 20)
#define CYCLES	200

static void *planted_root;

static int collect(void *arg)
{
	struct karena_heap *heap = arg;
	struct karena_gc_stats stats = {};
	unsigned int i;

	for (i = 0; i < CYCLES && !stats.lost; i++) {
		karena_collect(heap, true);
		karena_gc_stats(heap, &stats);
	}
	while (!kthread_should_stop())
		cond_resched();
	return 0;
}

/*
 * Back and forth between both ends of an array, which is scanned from one.  The
 * collector runs between an odd number of moves, and finds the reference at either.
 */
static void move_about(struct karena_heap *heap, void **words)
{
	struct karena_gc_stats stats = {};
	unsigned long i;

	for (i = 0; !stats.lost && stats.cycles < CYCLES; i++) {
		words[i & 1 ? 0 : WORDS - 1] = words[i & 1 ? WORDS - 1 : 0];
		barrier();
		words[i & 1 ? WORDS - 1 : 0] = NULL;
		if (!(i % 1023)) {
			karena_gc_stats(heap, &stats);
			cond_resched();
		}
	}
}

static int __init planted_init(void)
{
	const struct karena_heap_attr attr = { .collect = true };
	struct karena_heap *heap = karena_heap_create("planted", &attr);
	struct karena_gc_params params;
	struct task_struct *task;
	void **words;
	int section;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	karena_gc_get(heap, &params);
	params.check = true;
	karena_gc_set(heap, &params);
	karena_root_add(heap, &planted_root, 1);
	section = karena_enter(heap);
	words = karena_alloc(heap, WORDS * sizeof(*words), 0, GFP_KERNEL);
	karena_store(heap, &planted_root, words);
	words[0] = karena_alloc(heap, 64, 0, GFP_KERNEL);
	karena_exit(heap, section);
	task = kthread_run(collect, heap, "planted");
	if (!IS_ERR(task)) {
		move_about(heap, words);
		kthread_stop(task);
	}
	karena_heap_put(heap);
	return 0;
}
module_init(planted_init);

MODULE_DESCRIPTION("planted bug: a store without the write barrier");
MODULE_LICENSE("GPL");
