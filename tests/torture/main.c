// SPDX-License-Identifier: GPL-2.0
/*
 * karena_torture: the collector against models and large graphs, on any kernel.
 * All tests run when the module is loaded:
 *
 *	insmod karena.ko; insmod karena_torture.ko seed=1 long=0 slow=0
 *
 * Their results are in the log, as KUnit prints them.
 */
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "torture.h"

static unsigned long long seed;
module_param(seed, ullong, 0444);
MODULE_PARM_DESC(seed, "start of the random numbers, 0 for any");

static bool run_long;
module_param_named(long, run_long, bool, 0444);
MODULE_PARM_DESC(long, "ten times as many steps");

static unsigned int slow = 1;
module_param(slow, uint, 0444);
MODULE_PARM_DESC(slow, "so many times slower than a fast machine, and as many times fewer steps (1)");

#define NOTED_FAILURES	10

static const struct {
	const char *name;
	void (*fn)(void);
} tests[] = {
	{ "model", tt_model },
	{ "mutators", tt_mutators },
	{ "list", tt_list },
	{ "deep_tree", tt_deep_tree },
	{ "wide_fan", tt_wide_fan },
	{ "random_graph", tt_random_graph },
	{ "all_garbage", tt_all_garbage },
	{ "no_garbage", tt_no_garbage },
	{ "limit", tt_limit },
};

static atomic_t failures;		/* of the test that runs */

u64 tt_scale(u64 full)
{
	return div_u64(run_long ? full * 10 : full, max(slow, 1u));
}

void tt_seed(struct rnd_state *rnd, unsigned int stream)
{
	prandom_seed_state(rnd, seed + ((u64)stream << 32));
}

u32 tt_below(struct rnd_state *rnd, u32 n)
{
	return ((u64)prandom_u32_state(rnd) * n) >> 32;
}

bool tt_equal(const char *what, u64 is, u64 should_be)
{
	if (is == should_be)
		return true;
	if (atomic_inc_return(&failures) <= NOTED_FAILURES)
		tt_note("%s: %llu, should be %llu", what, is, should_be);
	return false;
}

void tt_fail(const char *what)
{
	if (atomic_inc_return(&failures) <= NOTED_FAILURES)
		tt_note("%s", what);
}

struct karena_heap *tt_heap(u64 limit, bool check)
{
	const struct karena_heap_attr attr = { .limit = limit, .collect = true };
	struct karena_heap *heap = karena_heap_create("torture", &attr);
	struct karena_gc_params params;

	if (IS_ERR(heap)) {
		tt_fail("no memory for a heap");
		return NULL;
	}
	karena_gc_get(heap, &params);
	params.percent = -1;
	params.check = check;
	tt_equal("error of karena_gc_set()", karena_gc_set(heap, &params), 0);
	return heap;
}

/* Nothing is left when nothing refers to it, and nothing was lost on the way. */
void tt_heap_end(struct karena_heap *heap)
{
	struct karena_heap_stats stats;
	struct karena_gc_stats gc;

	karena_heap_stats(heap, &stats);
	karena_gc_stats(heap, &gc);
	tt_equal("objects lost", gc.lost, 0);
	tt_equal("wrong frees", stats.rejects, 0);
	karena_heap_put(heap);
}

u64 tt_live(struct karena_heap *heap)
{
	struct karena_heap_stats stats;

	karena_heap_stats(heap, &stats);
	return stats.live_objects;
}

void tt_collect_twice(struct karena_heap *heap)
{
	tt_equal("error of karena_collect()", karena_collect(heap, true), 0);
	tt_equal("error of karena_collect()", karena_collect(heap, true), 0);
}

static int thread_main(void *arg)
{
	struct tt_thread *thread = arg;

	thread->fn(thread);
	kthread_complete_and_exit(&thread->done, 0);
}

static bool thread_start(struct tt_thread *thread, unsigned int cpu)
{
	struct task_struct *task;

	init_completion(&thread->done);
	tt_seed(&thread->rnd, 1 + thread->index);
	task = kthread_create(thread_main, thread, "torture/%u", thread->index);
	if (IS_ERR(task)) {
		tt_fail("no memory for a thread");
		return false;
	}
	kthread_bind(task, cpu);
	wake_up_process(task);
	return true;
}

void tt_threads(unsigned int n, void (*fn)(struct tt_thread *), void *arg)
{
	struct tt_thread *threads = kcalloc(n, sizeof(*threads), GFP_KERNEL);
	unsigned int cpu = nr_cpu_ids, started = 0, i;

	if (!threads) {
		tt_fail("no memory for threads");
		return;
	}
	for (i = 0; i < n; i++) {
		if (cpu < nr_cpu_ids)
			cpu = cpumask_next(cpu, cpu_online_mask);
		if (cpu >= nr_cpu_ids)
			cpu = cpumask_first(cpu_online_mask);
		threads[i].fn = fn;
		threads[i].arg = arg;
		threads[i].index = i;
		if (!thread_start(&threads[i], cpu))
			break;
		started++;
	}
	for (i = 0; i < started; i++)
		wait_for_completion(&threads[i].done);
	kfree(threads);
}

static bool run_test(unsigned int i)
{
	ktime_t begin = ktime_get();
	bool good;

	atomic_set(&failures, 0);
	tests[i].fn();
	good = !atomic_read(&failures);
	tt_note("%s: %lld ms, seed=%llu", tests[i].name, ktime_ms_delta(ktime_get(), begin), seed);
	pr_info("    %sok %u %s\n", good ? "" : "not ", i + 1, tests[i].name);
	return good;
}

static int __init torture_init(void)
{
	bool good = true;
	unsigned int i;

	if (!seed)
		seed = get_random_u32();
	pr_info("KTAP version 1\n");
	pr_info("1..1\n");
	pr_info("    KTAP version 1\n");
	pr_info("    # Subtest: karena_torture\n");
	pr_info("    1..%zu\n", ARRAY_SIZE(tests));
	for (i = 0; i < ARRAY_SIZE(tests); i++)
		good &= run_test(i);
	pr_info("%sok 1 karena_torture\n", good ? "" : "not ");
	return 0;
}

static void __exit torture_exit(void)
{
}

module_init(torture_init);
module_exit(torture_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("karena: the collector against models and large graphs");
