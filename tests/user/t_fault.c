// SPDX-License-Identifier: GPL-2.0
/*
 * Each allocation of the kernel in each operation fails once, in turn, by
 * /proc/self/fail-nth, until the operation runs without one to fail.  Each time
 * it either succeeds or says ENOMEM, works when it is tried again, and leaves
 * nothing behind.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap.h"
#include "model.h"
#include "tap.h"

/* More allocations than this in one operation: something is wrong. */
#define MAX_NTH 4000

static int nth_fd = -1;

/* All kinds of allocation may fail, and none is written to the log. */
static bool faults_on(void)
{
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (nth_fd < 0)
		return false;
	return write_text("/sys/kernel/debug/failslab/ignore-gfp-wait", "N") &&
	       write_text("/sys/kernel/debug/failslab/verbose", "0") &&
	       write_text("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N") &&
	       write_text("/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N") &&
	       write_text("/sys/kernel/debug/fail_page_alloc/min-order", "0") &&
	       write_text("/sys/kernel/debug/fail_page_alloc/verbose", "0");
}

/* The @nth allocation from now on fails. */
static void arm(unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	check_eq(pwrite(nth_fd, text, len, 0), len);
}

/* No more failing; true when one had. */
static bool disarm(void)
{
	char text[16] = { 0 };
	bool failed;

	check(pread(nth_fd, text, sizeof(text) - 1, 0) > 0);
	failed = atoi(text) == 0;
	check_eq(pwrite(nth_fd, "0", 1, 0), 1);
	return failed;
}

/* What the operations work on. */
static struct {
	struct heap heap;
	__u64 addrs[1000];
	unsigned int nr;
	int fd;
	__s64 mapped;
} bench;

static bool no_prepare(void)
{
	return true;
}

static int run_open(void)
{
	bench.fd = dev_open(O_RDWR);
	return bench.fd < 0 ? bench.fd : 0;
}

static void undo_fd(void)
{
	if (bench.fd >= 0)
		close(bench.fd);
	bench.fd = -1;
}

static bool prepare_open(void)
{
	return check(!run_open());
}

static int run_setup(void)
{
	struct karena_setup arg = { .size = sizeof(arg), .window = WINDOW };

	return kioctl(bench.fd, KARENA_IOC_SETUP, &arg);
}

static bool prepare_heap(void)
{
	bench.nr = 0;
	return check_ret(heap_make(&bench.heap, WINDOW, 0), 0);
}

static bool prepare_mapped(void)
{
	bench.nr = 0;
	return heap_open(&bench.heap, WINDOW, 0);
}

static void undo_heap(void)
{
	heap_close(&bench.heap);
}

static int run_map(void)
{
	__s64 addr = map_objects(bench.heap.fd, 0, WINDOW, PROT_READ | PROT_WRITE,
				 MAP_SHARED);

	if (map_failed(addr))
		return addr;
	bench.heap.objects = as_ptr(addr);
	return 0;
}

static int run_map_control(void)
{
	__s64 addr = map_control(bench.heap.fd, bench.heap.control_size, PROT_READ,
				 MAP_SHARED);

	if (map_failed(addr))
		return addr;
	bench.heap.control = as_ptr(addr);
	return 0;
}

static int take(__u64 size, __u32 flags, __u32 count)
{
	int ret = heap_alloc(bench.heap.fd, size, flags, count, bench.addrs);

	bench.nr = ret ? 0 : count;
	return ret;
}

static int run_small(void)
{
	return take(64, 0, 1);
}

static int run_tiny(void)
{
	return take(5, KARENA_ALLOC_NOSCAN, 1);
}

static int run_bulk(void)
{
	return take(200, 0, 1000);
}

static int run_spans(void)
{
	return take(27264, 0, 20);
}

static int run_large(void)
{
	return take(MIB, 0, 1);
}

static int run_larges(void)
{
	return take(100000, 0, 5);
}

static bool prepare_objects(void)
{
	return prepare_mapped() && check_ret(run_bulk(), 0);
}

/* A free never fails for lack of memory. */
static int run_free(void)
{
	struct karena_free out;
	int ret = heap_free(bench.heap.fd, bench.addrs, bench.nr, &out);

	check_ret(ret, 0);
	check_eq(out.rejected, 0);
	return ret;
}

static bool prepare_large(void)
{
	return prepare_mapped() && check_ret(run_large(), 0);
}

/* Nor is there a signal: the kernel tries a fault again. */
static int run_touch(void)
{
	unsigned int i;

	for (i = 0; i < bench.nr; i++)
		*(volatile char *)as_ptr(bench.addrs[i]) = 1;
	return 0;
}

static int run_share(void)
{
	bench.fd = heap_share(bench.heap.fd, 0);
	return bench.fd < 0 ? bench.fd : 0;
}

static void undo_share(void)
{
	undo_fd();
	undo_heap();
}

static int run_info(void)
{
	struct karena_info info;

	return dev_info(bench.heap.fd, &info);
}

static int run_heap_info(void)
{
	struct karena_heap_info info;

	return heap_info(bench.heap.fd, 0, 0, &info);
}

static int run_walk(void)
{
	struct karena_heap_info info;
	__u32 id = 0;
	int ret;

	while (!(ret = heap_info(bench.heap.fd, id, 1, &info)))
		id = info.id;
	return ret == -ENOENT ? 0 : ret;
}

static int run_class_stats(void)
{
	struct karena_class_stat stats[128];
	__u32 count;

	return heap_classes(bench.heap.fd, 0, stats, 128, &count);
}

/* Everything goes with the last of the three; goes on where it failed. */
static int run_close(void)
{
	struct heap *heap = &bench.heap;

	if (heap->fd >= 0)
		close(heap->fd);
	heap->fd = -1;
	if (heap->objects && munmap(heap->objects, WINDOW))
		return -errno;
	heap->objects = NULL;
	if (heap->control && munmap((void *)heap->control, heap->control_size))
		return -errno;
	heap->control = NULL;
	return 0;
}

static const struct operation {
	const char *name;
	bool (*prepare)(void);
	int (*run)(void);
	/* after a failure; @run where NULL */
	int (*again)(void);
	void (*undo)(void);
} operations[] = {
	{ "open", no_prepare, run_open, NULL, undo_fd },
	{ "setup", prepare_open, run_setup, NULL, undo_fd },
	{ "map the window", prepare_heap, run_map, NULL, undo_heap },
	{ "map the control region", prepare_heap, run_map_control, NULL, undo_heap },
	{ "alloc a small object", prepare_mapped, run_small, NULL, undo_heap },
	{ "alloc a tiny object", prepare_mapped, run_tiny, NULL, undo_heap },
	{ "alloc 1000 objects", prepare_mapped, run_bulk, NULL, undo_heap },
	{ "alloc of long spans", prepare_mapped, run_spans, NULL, undo_heap },
	{ "alloc a large object", prepare_mapped, run_large, NULL, undo_heap },
	{ "alloc large objects", prepare_mapped, run_larges, NULL, undo_heap },
	{ "alloc from a used heap", prepare_objects, run_small, NULL, undo_heap },
	{ "free 1000 objects", prepare_objects, run_free, run_small, undo_heap },
	{ "free a large object", prepare_large, run_free, run_small, undo_heap },
	{ "touch objects", prepare_objects, run_touch, NULL, undo_heap },
	{ "share", prepare_heap, run_share, NULL, undo_share },
	{ "info", prepare_heap, run_info, NULL, undo_heap },
	{ "heap info", prepare_heap, run_heap_info, NULL, undo_heap },
	{ "walk of the heaps", prepare_heap, run_walk, NULL, undo_heap },
	{ "class stats", prepare_objects, run_class_stats, NULL, undo_heap },
	{ "close", prepare_objects, run_close, NULL, undo_heap },
};

/* A refused allocation left the heap as it was, but for what it may keep. */
static void look_at_heap(int ret, __u64 live_before)
{
	struct karena_heap_info own;

	if (bench.heap.fd < 0 || heap_info(bench.heap.fd, 0, 0, &own))
		return;
	if (ret)
		check_eq(own.live_objects, live_before);
	check_eq(own.allocs - own.frees, own.live_objects);
	heap_adds_up(bench.heap.fd);
}

static __u64 live_now(void)
{
	struct karena_heap_info own;

	if (bench.heap.fd < 0 || heap_info(bench.heap.fd, 0, 0, &own))
		return 0;
	return own.live_objects;
}

/* True when the @nth allocation was reached and failed. */
static bool one_fault(const struct operation *op, unsigned int nth)
{
	struct karena_info before;
	bool failed;
	__u64 live;
	int ret;

	memset(&bench, 0, sizeof(bench));
	bench.fd = -1;
	bench.heap.fd = -1;
	if (!user_numbers(&before) || !op->prepare())
		return false;
	live = live_now();
	arm(nth);
	ret = op->run();
	failed = disarm();
	if (!check(ret == 0 || ret == -ENOMEM) || (!failed && !check_ret(ret, 0)))
		tap_diag("allocation %u of %s", nth, op->name);
	look_at_heap(ret, live);
	if (ret)
		check_ret(op->again ? op->again() : op->run(), 0);
	op->undo();
	if (!user_back_to(&before))
		tap_diag("allocation %u of %s", nth, op->name);
	return failed;
}

static void run_operation(const struct operation *op)
{
	unsigned int nth = 1;

	if (!tap_begin("%s", op->name))
		return;
	if (nth_fd < 0) {
		tap_skip("no fault injection in this kernel");
	} else {
		while (nth < MAX_NTH && !tap_failed() && one_fault(op, nth))
			nth++;
		check(nth < MAX_NTH);
		tap_diag("%s: %u allocations failed in turn", op->name, nth - 1);
	}
	tap_end();
}

int main(void)
{
	unsigned int i;

	tap_plan(ARRAY_SIZE(operations));
	if (!faults_on() && nth_fd >= 0) {
		tap_diag("fault injection, but its settings in debugfs do not take");
		return 1;
	}
	for (i = 0; i < ARRAY_SIZE(operations); i++)
		run_operation(&operations[i]);
	return tap_status();
}
