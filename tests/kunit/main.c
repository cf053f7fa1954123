// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of karena: what the suites share (test.h) and the module itself.
 * The suites run when it is loaded:
 *
 *	insmod karena.ko; insmod karena_kunit.ko seed=1 long=0
 */
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/unaligned.h>

#include "test.h"

static unsigned long long seed;
module_param(seed, ullong, 0444);
MODULE_PARM_DESC(seed, "start of the random numbers, 0 for any");

static bool run_long;
module_param_named(long, run_long, bool, 0444);
MODULE_PARM_DESC(long, "ten times as many steps");

unsigned int kt_steps(unsigned int full)
{
	if (KT_SLOW)
		full /= 10;
	return run_long ? full * 10 : full;
}

void kt_seed(struct kunit *test, struct rnd_state *rnd)
{
	if (!seed)
		seed = get_random_u64();
	prandom_seed_state(rnd, seed);
	kunit_info(test, "seed=%llu\n", seed);
}

u32 kt_below(struct rnd_state *rnd, u32 n)
{
	return ((u64)prandom_u32_state(rnd) * n) >> 32;
}

/* Mostly small, sometimes of any class, seldom large. */
size_t kt_any_size(struct rnd_state *rnd)
{
	switch (kt_below(rnd, 64)) {
	case 0:
		return 1 + kt_below(rnd, 200000);
	case 1 ... 4:
		return 1 + kt_below(rnd, KARENA_MAX_SMALL);
	case 5 ... 20:
		return kt_below(rnd, 2048);
	default:
		return kt_below(rnd, 256);
	}
}

static void put_heap(void *heap)
{
	karena_heap_put(heap);
}

struct karena_heap *kt_heap(struct kunit *test, u64 limit)
{
	struct karena_heap_attr attr = { .limit = limit };
	struct karena_heap *heap = karena_heap_create(test->name, &attr);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, put_heap, heap), 0);
	return heap;
}

void kt_put_heap(struct kunit *test, struct karena_heap *heap)
{
	kunit_release_action(test, put_heap, heap);
}

void kt_info(struct karena_heap *heap, struct karena_heap_info *info)
{
	flush_work(&heap->reap_work);
	memset(info, 0, sizeof(*info));
	karena_stats_heap(heap, info);
}

void kt_expect_live(struct kunit *test, struct karena_heap *heap, u64 live)
{
	struct karena_heap_info info;

	kt_info(heap, &info);
	KUNIT_EXPECT_EQ(test, info.live_objects, live);
	KUNIT_EXPECT_EQ(test, info.allocs - info.frees, live);
}

void kt_expect_empty(struct kunit *test, struct karena_heap *heap)
{
	struct karena_heap_info info;

	kt_expect_live(test, heap, 0);
	karena_reclaim(heap);
	kt_info(heap, &info);
	KUNIT_EXPECT_EQ(test, info.live_bytes, 0);
	KUNIT_EXPECT_EQ(test, info.cached_bytes, 0);
	KUNIT_EXPECT_EQ(test, info.span_bytes, 0);
	KUNIT_EXPECT_EQ(test, info.free_bytes, 0);
	KUNIT_EXPECT_EQ(test, info.held_bytes, 0);
	KUNIT_EXPECT_EQ(test, info.nr_spans, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->meta), 0);
}

/* Not the byte of most other objects, and not zero. */
static u8 filler(const struct kt_object *object)
{
	return 1 + object->id % 255;
}

void kt_fill(const struct kt_object *object)
{
	memset(object->addr, filler(object), object->size);
	if (object->size >= sizeof(u32))
		put_unaligned(object->id, (u32 *)object->addr);
}

bool kt_intact(const struct kt_object *object)
{
	size_t head = 0;

	if (object->size >= sizeof(u32)) {
		head = sizeof(u32);
		if (get_unaligned((u32 *)object->addr) != object->id)
			return false;
	}
	return !memchr_inv(object->addr + head, filler(object), object->size - head);
}

bool kt_claim(void *object, unsigned long owner)
{
	return !cmpxchg((unsigned long *)object, 0, owner);
}

bool kt_disclaim(void *object, unsigned long owner)
{
	return cmpxchg((unsigned long *)object, owner, 0) == owner;
}

static int thread_main(void *arg)
{
	struct kt_thread *thread = arg;

	thread->errors = thread->fn(thread);
	complete(&thread->done);
	return 0;
}

static void thread_prepare(struct kunit *test, struct kt_thread *thread)
{
	init_completion(&thread->done);
	prandom_seed_state(&thread->rnd, seed + 1 + thread->index);
	thread->task = kthread_create(thread_main, thread, "karena_test/%u", thread->index);
	KUNIT_ASSERT_FALSE(test, IS_ERR(thread->task));
	kthread_bind(thread->task, thread->cpu);
	get_task_struct(thread->task);
}

static int thread_join(struct kt_thread *thread)
{
	wait_for_completion(&thread->done);
	kthread_stop_put(thread->task);
	return thread->errors;
}

int kt_on_cpu(struct kunit *test, unsigned int cpu, int (*fn)(struct kt_thread *),
	      void *arg)
{
	struct kt_thread thread = { .fn = fn, .arg = arg, .cpu = cpu };

	thread_prepare(test, &thread);
	wake_up_process(thread.task);
	return thread_join(&thread);
}

int kt_threads(struct kunit *test, unsigned int n, int (*fn)(struct kt_thread *),
	       void *arg)
{
	unsigned int cpu = nr_cpu_ids, errors = 0, i;
	struct kt_thread *threads;

	threads = kunit_kcalloc(test, n, sizeof(*threads), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, threads);
	for (i = 0; i < n; i++) {
		cpu = cpumask_next_wrap(cpu, cpu_online_mask);
		threads[i] = (struct kt_thread) {
			.fn = fn, .arg = arg, .index = i, .cpu = cpu,
		};
		thread_prepare(test, &threads[i]);
	}
	for (i = 0; i < n; i++)
		wake_up_process(threads[i].task);
	for (i = 0; i < n; i++)
		errors += thread_join(&threads[i]);
	return errors;
}

MODULE_IMPORT_NS(KARENA_TEST_NS);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit tests of karena");
