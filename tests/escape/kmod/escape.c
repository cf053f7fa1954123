// SPDX-License-Identifier: GPL-2.0
/*
 * karena_escape: a module that is built with karena-escape.  What does not outlive its
 * function is on the stack of the kernel, small, and holds no reference; all else is in the
 * heap, as the heap's own numbers tell.  All tests run when the module is loaded; their
 * results are in the log, as KUnit prints them.
 */
#include <linux/err.h>
#include <linux/module.h>

#include "kmod/karena.h"

struct shape {
	u32 width, height;
	u64 area;
};

struct link {
	struct link *next;
	u64 number;
};

static struct karena_heap *heap;
static struct karena_type *shape_type;
static struct link *kept;

static u64 heap_allocs(void)
{
	struct karena_heap_stats stats;

	karena_heap_stats(heap, &stats);
	return stats.allocs;
}

/* On the stack: it holds no reference, as its type says. */
static noinline u64 area_of(u32 width, u32 height)
{
	struct shape *shape = karena_alloc(heap, sizeof(*shape), 0, GFP_KERNEL);
	u64 area;

	if (!shape)
		return 0;
	shape->width = width;
	shape->height = height;
	shape->area += (u64)shape->width * shape->height;
	area = shape->area;
	karena_free(heap, shape);
	return area;
}

/* On the stack: nothing but constants is stored in it. */
static noinline u64 unit_area(void)
{
	struct shape *shape = karena_new(shape_type, 0, GFP_KERNEL);

	if (!shape)
		return 0;
	shape->width = 1;
	shape->area = 1;
	return shape->width + shape->area;
}

/* One place on the stack for all rounds; that it is no reference says a flag. */
static noinline u64 areas(u32 count)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < count; i++) {
		u64 *n = karena_alloc(heap, sizeof(*n), KARENA_NOSCAN, GFP_KERNEL);

		if (!n)
			return 0;
		*n += i;
		sum += *n;
	}
	return sum;
}

/* In the heap: it is kept. */
static noinline void keep(u64 number)
{
	struct link *link = karena_alloc(heap, sizeof(*link), 0, GFP_KERNEL);

	if (!link)
		return;
	link->number = number;
	link->next = kept;
	kept = link;
}

/* In the heap: it may hold a reference. */
static noinline u64 refers(void)
{
	struct link *link = karena_alloc(heap, sizeof(*link), 0, GFP_KERNEL);
	u64 number;

	if (!link)
		return 0;
	link->next = kept;
	number = link->next->number;
	karena_free(heap, link);
	return number;
}

/* In the heap: too large for the kernel's stack. */
static noinline u64 large(void)
{
	u64 *words = karena_alloc(heap, 512, KARENA_NOSCAN, GFP_KERNEL), sum;

	if (!words)
		return 0;
	words[63] = 7;
	sum = words[0] + words[63];
	karena_free(heap, words);
	return sum;
}

static unsigned int nr;
static bool all_good = true;

/* @allocs: how many objects of the heap it was to take. */
static void result(const char *name, u64 is, u64 should_be, u64 before, u64 allocs)
{
	u64 took = heap_allocs() - before;
	bool good = is == should_be && took == allocs;

	if (!good)
		pr_info("    # %llu, should be %llu; %llu objects, should be %llu\n", is,
			should_be, took, allocs);
	all_good &= good;
	pr_info("    %sok %u %s\n", good ? "" : "not ", ++nr, name);
}

static void run_all(void)
{
	u64 before = heap_allocs();

	result("numbers", area_of(6, 7), 42, before, 0);
	before = heap_allocs();
	result("constants", unit_area(), 2, before, 0);
	result("loop", areas(1000), 499500, before, 0);
	keep(5);
	result("kept", kept ? kept->number : 0, 5, before, 1);
	before = heap_allocs();
	result("refers", refers(), 5, before, 1);
	before = heap_allocs();
	result("large", large(), 7, before, 1);
}

static int __init escape_init(void)
{
	pr_info("KTAP version 1\n");
	pr_info("1..1\n");
	pr_info("    KTAP version 1\n");
	pr_info("    # Subtest: karena_escape\n");
	pr_info("    1..6\n");
	heap = karena_heap_create("escape", NULL);
	if (!IS_ERR(heap)) {
		shape_type = karena_type_create(heap, sizeof(struct shape), 0);
		if (!IS_ERR(shape_type))
			run_all();
		karena_heap_put(heap);
	}
	pr_info("%sok 1 karena_escape\n", nr == 6 && all_good ? "" : "not ");
	return 0;
}

static void __exit escape_exit(void)
{
}

module_init(escape_init);
module_exit(escape_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("karena: objects on the stack of the kernel");
