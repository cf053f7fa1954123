// SPDX-License-Identifier: GPL-2.0
/*
 * Proves that a CPU which goes offline leaves nothing behind: the objects in
 * its magazines and its tiny block are had by the others, allocation goes on
 * meanwhile, and the CPU works as before when it is back.
 *
 * What a CPU caches is read from its own magazines, which nobody else touches
 * while it is away.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/slab.h>

#include "test.h"

#ifdef CONFIG_HOTPLUG_CPU

static const size_t sizes[] = { 8, 64, 500, 4096, 20480 };

struct load {
	struct karena_heap *heap;
	bool stop;
	unsigned int rounds;
};

/* Allocates of all kinds, and frees all of it again: the caches are full then. */
static int fill_caches(struct kt_thread *thread)
{
	struct load *load = thread->arg;
	void *objects[100];
	unsigned int i, k;
	int errors = 0;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (k = 0; k < ARRAY_SIZE(objects); k++)
			objects[k] = karena_alloc(load->heap, sizes[i], k % 2 * KARENA_NOSCAN,
						  GFP_KERNEL);
		for (k = 0; k < ARRAY_SIZE(objects); k++)
			errors += !objects[k] || !karena_free(load->heap, objects[k]);
	}
	return errors;
}

/* Objects that a CPU has in its magazines. */
static unsigned int cached_on(struct karena_heap *heap, unsigned int cpu)
{
	struct karena_mcache *mc;
	unsigned int spc, sum = 0;

	for (spc = 0; spc < KARENA_NR_SPC; spc++) {
		if (!heap->central[spc])
			continue;
		mc = per_cpu_ptr(heap->central[spc]->cache, cpu);
		sum += kt_cached(mc);
	}
	return sum;
}

/* One that may be taken away, and is not where the test runs; or it is skipped. */
static unsigned int victim(struct kunit *test)
{
	unsigned int cpu = cpumask_last(cpu_online_mask);

	if (!cpu)
		kunit_skip(test, "there is one CPU only");
	return cpu;
}

static void leaves_nothing_behind(struct kunit *test)
{
	struct load load = { .heap = kt_heap(test, 0) };
	unsigned int cpu = victim(test);
	struct karena_heap_stats before, after;

	KUNIT_EXPECT_EQ(test, kt_on_cpu(test, cpu, fill_caches, &load), 0);
	KUNIT_EXPECT_GT(test, cached_on(load.heap, cpu), 100);
	KUNIT_EXPECT_NE(test, per_cpu_ptr(load.heap->tiny, cpu)->block, 0);
	karena_heap_stats(load.heap, &before);

	KUNIT_ASSERT_EQ(test, remove_cpu(cpu), 0);
	KUNIT_EXPECT_EQ(test, cached_on(load.heap, cpu), 0);
	KUNIT_EXPECT_EQ(test, per_cpu_ptr(load.heap->tiny, cpu)->block, 0);
	karena_heap_stats(load.heap, &after);
	KUNIT_EXPECT_EQ(test, after.live_objects, 0);
	KUNIT_EXPECT_EQ(test, after.held_bytes, before.held_bytes);
	KUNIT_EXPECT_EQ(test, kt_on_cpu(test, 0, fill_caches, &load), 0);
	karena_heap_stats(load.heap, &after);
	/* They were had from what the dead CPU left. */
	KUNIT_EXPECT_EQ(test, after.held_bytes, before.held_bytes);

	KUNIT_ASSERT_EQ(test, add_cpu(cpu), 0);
	KUNIT_EXPECT_EQ(test, kt_on_cpu(test, cpu, fill_caches, &load), 0);
	KUNIT_EXPECT_GT(test, cached_on(load.heap, cpu), 0);
	kt_expect_empty(test, load.heap);
}

/* What stays allocated does not care where it was allocated. */
static void objects_outlive_their_cpu(struct kunit *test)
{
	struct load load = { .heap = kt_heap(test, 0) };
	unsigned int cpu = victim(test), i;
	struct kt_object objects[32];

	KUNIT_EXPECT_EQ(test, kt_on_cpu(test, cpu, fill_caches, &load), 0);
	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		objects[i] = (struct kt_object){ .size = 1 + 100 * i, .id = i };
		objects[i].addr = karena_alloc(load.heap, objects[i].size, i % 4, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, objects[i].addr);
		kt_fill(&objects[i]);
	}
	KUNIT_ASSERT_EQ(test, remove_cpu(cpu), 0);
	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		KUNIT_EXPECT_TRUE(test, kt_intact(&objects[i]));
		KUNIT_EXPECT_TRUE(test, karena_free(load.heap, objects[i].addr));
	}
	KUNIT_ASSERT_EQ(test, add_cpu(cpu), 0);
	kt_expect_empty(test, load.heap);
}

static int work_until_stopped(void *arg)
{
	struct load *load = arg;
	struct kt_thread thread = { .arg = load };
	int errors = 0;

	while (!kthread_should_stop()) {
		errors += fill_caches(&thread);
		load->rounds++;
		cond_resched();
	}
	return errors;
}

/* Two threads, bound to nothing, are moved about while the CPU goes and comes. */
static void goes_while_others_work(struct kunit *test)
{
	unsigned int cpu = victim(test), i, went = 0, came = 0;
	struct task_struct *threads[2];
	struct load loads[2] = {};

	loads[0].heap = kt_heap(test, 0);
	loads[1].heap = loads[0].heap;
	for (i = 0; i < 2; i++) {
		threads[i] = kthread_run(work_until_stopped, &loads[i], "karena_test/%u", i);
		KUNIT_ASSERT_FALSE(test, IS_ERR(threads[i]));
	}
	for (i = 0; i < 5; i++) {
		msleep(50);
		went += !remove_cpu(cpu);
		msleep(50);
		came += !add_cpu(cpu);
	}
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, kthread_stop(threads[i]), 0);
		KUNIT_EXPECT_GT(test, loads[i].rounds, 0);
	}
	KUNIT_EXPECT_EQ(test, went, 5);
	KUNIT_EXPECT_EQ(test, came, 5);
	kt_expect_empty(test, loads[0].heap);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_SLOW(leaves_nothing_behind),
	KUNIT_CASE_SLOW(objects_outlive_their_cpu),
	KUNIT_CASE_SLOW(goes_while_others_work),
	{}
};

#else

static void without_hotplug(struct kunit *test)
{
	kunit_skip(test, "this kernel has no CONFIG_HOTPLUG_CPU");
}

static struct kunit_case cases[] = {
	KUNIT_CASE(without_hotplug),
	{}
};

#endif

static struct kunit_suite suite = {
	.name = "karena_hotplug",
	.test_cases = cases,
};

kunit_test_suite(suite);
