// SPDX-License-Identifier: GPL-2.0
/*
 * A get and a put of a pool against an allocation and a free of a kmem_cache, in turn: lines
 * in the log for ../report.awk.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "kmod/karena.h"
#include "tests/bench/bench.h"

#define RUNS	7
#define PAIRS	200000
#define SIZE	64
#define BATCH	16

static struct karena_pool *pool;
static struct kmem_cache *cache;

static void *make(void *arg, gfp_t gfp)
{
	return kmem_cache_alloc(cache, gfp);
}

static void drop(void *object, void *arg)
{
	kmem_cache_free(cache, object);
}

static __always_inline void *get_object(bool mine)
{
	return mine ? karena_pool_get(pool, GFP_KERNEL) : kmem_cache_alloc(cache, GFP_KERNEL);
}

static __always_inline void put_object(bool mine, void *object)
{
	if (mine)
		karena_pool_put(pool, object);
	else
		kmem_cache_free(cache, object);
}

/* Picoseconds for a pair, @n of them nested. */
static __always_inline u64 measure(bool mine, unsigned int n)
{
	u64 begin = ktime_get_ns();
	unsigned int i, j;
	void *object[BATCH];

	for (i = 0; i < PAIRS; i += n) {
		for (j = 0; j < n; j++)
			object[j] = get_object(mine);
		for (j = 0; j < n; j++)
			put_object(mine, object[j]);
		if (i % 4096 == 0)
			cond_resched();
	}
	return (ktime_get_ns() - begin) * 1000 / PAIRS;
}

static void run_case(const char *name, unsigned int n)
{
	unsigned int i;

	pr_info("life-cycle case=%s against=kmem_cache target=2\n", name);
	/* The first ones pay for what is made once. */
	measure(true, n);
	measure(false, n);
	for (i = 0; i < RUNS; i++) {
		pr_info("life-cycle case=%s peer=karena ps=%llu status=0\n", name,
			measure(true, n));
		pr_info("life-cycle case=%s peer=kmem_cache ps=%llu status=0\n", name,
			measure(false, n));
	}
}

static int __init bench_init(void)
{
	struct karena_pool_attr attr = { .make = make, .drop = drop };

	cache = kmem_cache_create("karena_bench_pool", SIZE, 0, 0, NULL);
	pool = cache ? karena_pool_create(&attr) : ERR_PTR(-ENOMEM);
	if (IS_ERR(pool)) {
		kmem_cache_destroy(cache);
		return PTR_ERR(pool);
	}
	run_case("pool-kernel", 1);
	run_case("pool-kernel-16", BATCH);
	karena_pool_destroy(pool);
	kmem_cache_destroy(cache);
	return 0;
}

static void __exit bench_exit(void)
{
}

module_init(bench_init);
module_exit(bench_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("karena's pools against kmem_cache");
