// SPDX-License-Identifier: GPL-2.0
/*
 * Tables of all heaps for root, in /sys/kernel/debug/karena:
 *
 *	heaps	a line a heap
 *	classes	its size classes, large objects as size 0
 *	gc	what its collector has done, of those that are collected
 *	why	where the memory that it holds is
 *
 * Each line begins with the number of its heap.  Sizes are in bytes; they are those of the
 * calls (uapi/karena.h), with the same names.  A heap has a reference while its lines are
 * written, and none between two calls of read(2): those that come or go meanwhile may be
 * in the table or not.
 */
#include <linux/debugfs.h>
#include <linux/pid.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "kmod/gc/gc.h"
#include "kmod/user/user.h"
#include "stats.h"

static struct dentry *folder;

/* Position 0 is the title, others are one more than the number above which a heap is. */
static void *heap_start(struct seq_file *m, loff_t *pos)
{
	return *pos ? karena_heap_find(*pos - 1, true) : SEQ_START_TOKEN;
}

static void heap_stop(struct seq_file *m, void *v)
{
	if (v != SEQ_START_TOKEN)
		karena_heap_put(v);
}

static void *heap_next(struct seq_file *m, void *v, loff_t *pos)
{
	struct karena_heap *heap = v;

	*pos = v == SEQ_START_TOKEN ? 1 : heap->id + 1;
	heap_stop(m, v);
	return heap_start(m, pos);
}

static u64 cycles_of(struct karena_heap *heap)
{
	struct karena_gc_stats stats;

	if (!heap->gc)
		return 0;
	karena_gc_stats(heap, &stats);
	return stats.cycles;
}

static int show_heap(struct seq_file *m, void *v)
{
	struct karena_heap_info info = {};
	struct karena_heap *heap = v;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "id name kind uid pid held_bytes live_bytes live_objects nr_spans cycles\n");
		return 0;
	}
	karena_stats_heap(heap, &info);
	if (heap->user)
		karena_magazines_info(to_uheap(heap), &info);
	seq_printf(m, "%u ", heap->id);
	/* A program chose it. */
	seq_escape(m, heap->name[0] ? heap->name : "-", " \t\n\\");
	seq_printf(m, " %s %u %d %llu %llu %llu %llu %llu\n", heap->user ? "user" : "kernel",
		   from_kuid_munged(seq_user_ns(m), heap->uid), pid_vnr(heap->pid),
		   info.held_bytes, info.live_bytes, info.live_objects, info.nr_spans,
		   cycles_of(heap));
	return 0;
}

static int show_classes(struct seq_file *m, void *v)
{
	struct karena_class_stat stat;
	struct karena_heap *heap = v;
	unsigned int spc;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "id object_size noscan spans live_objects cached_objects free_objects allocs\n");
		return 0;
	}
	for (spc = 0; spc < KARENA_NR_SPC; spc++) {
		if (!karena_stats_class(heap, spc, &stat))
			continue;
		if (heap->user)
			karena_magazines_class(to_uheap(heap), spc, &stat);
		seq_printf(m, "%u %u %u %llu %llu %llu %llu %llu\n", heap->id, stat.object_size,
			   stat.noscan, stat.spans, stat.live_objects, stat.cached_objects,
			   stat.free_objects, stat.allocs);
	}
	return 0;
}

static int show_gc(struct seq_file *m, void *v)
{
	static const char * const phases[] = {
		[KARENA_IDLE] = "idle", [KARENA_MARK] = "mark", [KARENA_SWEEP] = "sweep",
	};
	struct karena_gc_stats stats;
	struct karena_heap *heap = v;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "id phase cycles forced live_bytes goal_bytes marked_bytes freed_bytes mark_ns stops stop_max_ns weak cleanups\n");
		return 0;
	}
	if (!heap->gc)
		return 0;
	karena_gc_stats(heap, &stats);
	seq_printf(m, "%u %s %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu\n", heap->id,
		   phases[READ_ONCE(heap->head.phase)], stats.cycles, stats.forced,
		   stats.live_bytes, stats.goal_bytes, stats.marked_bytes, stats.freed_bytes,
		   stats.mark_ns, stats.stops, stats.stop_max_ns, stats.weak, stats.cleanups);
	return 0;
}

static int show_why(struct seq_file *m, void *v)
{
	struct karena_explain_class *classes;
	struct karena_explain why = {};
	struct karena_heap *heap = v;

	if (v == SEQ_START_TOKEN) {
		seq_puts(m, "id held_bytes live_bytes garbage_bytes cached_bytes slot_bytes tail_bytes free_bytes meta_bytes returned_bytes\n");
		return 0;
	}
	classes = kcalloc(KARENA_NR_CLASSES, sizeof(*classes), GFP_KERNEL_ACCOUNT);
	if (!classes)
		return -ENOMEM;
	karena_explain_all(heap, &why, classes);
	kfree(classes);
	seq_printf(m, "%u %llu %llu %llu %llu %llu %llu %llu %llu %llu\n", heap->id,
		   why.held_bytes, why.live_bytes, why.garbage_bytes, why.cached_bytes,
		   why.slot_bytes, why.tail_bytes, why.free_bytes, why.meta_bytes,
		   why.returned_bytes);
	return 0;
}

static const struct seq_operations heaps_sops = {
	.start = heap_start, .next = heap_next, .stop = heap_stop, .show = show_heap,
};

static const struct seq_operations classes_sops = {
	.start = heap_start, .next = heap_next, .stop = heap_stop, .show = show_classes,
};

static const struct seq_operations gc_sops = {
	.start = heap_start, .next = heap_next, .stop = heap_stop, .show = show_gc,
};

static const struct seq_operations why_sops = {
	.start = heap_start, .next = heap_next, .stop = heap_stop, .show = show_why,
};

DEFINE_SEQ_ATTRIBUTE(heaps);
DEFINE_SEQ_ATTRIBUTE(classes);
DEFINE_SEQ_ATTRIBUTE(gc);
DEFINE_SEQ_ATTRIBUTE(why);

/* Without debugfs, and if there is no memory, there are no tables. */
void karena_debugfs_init(void)
{
	folder = debugfs_create_dir("karena", NULL);
	debugfs_create_file("heaps", 0400, folder, NULL, &heaps_fops);
	debugfs_create_file("classes", 0400, folder, NULL, &classes_fops);
	debugfs_create_file("gc", 0400, folder, NULL, &gc_fops);
	debugfs_create_file("why", 0400, folder, NULL, &why_fops);
}

/* Waits for those who read. */
void karena_debugfs_exit(void)
{
	debugfs_remove(folder);
}
