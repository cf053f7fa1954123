// SPDX-License-Identifier: GPL-2.0
/*
 * Magazines that programs work on by themselves: for each CPU and span class one, in
 * memory that all who have the heap map.  A program takes objects from its CPU's, and
 * gives them there, in restartable sequences (rseq(2)): who is preempted in between
 * begins anew, and nobody else runs on the CPU meanwhile.
 *
 * The kernel fills and empties a magazine on its CPU with preemption off, and so comes
 * between two of these sequences, never into one: to have run there it must have
 * preempted whoever was in one.  To it, what a magazine holds are objects like any
 * others that a program has.  What it reads there is whatever somebody wrote: counts
 * are bounded, objects are checked as at any free.
 *
 * In a collected heap they are cleared, and a root: a snapshot visits them while all
 * stand.  Who is about to give or to take one then has it in a register, too.
 *
 * The sequences are those of P. Turner, A. Hunter, "Restartable sequences" (Linux
 * Plumbers Conference 2013), as TCMalloc's per-CPU caches use them.
 */
#include <linux/cpu.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "user.h"

/* Bytes of objects that a magazine is for, and least objects. */
#define MOST_BYTES	SZ_128K
#define LEAST_ROOM	4

#define PER_PAGE	(PAGE_SIZE / sizeof(struct karena_cpu_magazine))
#define CPU_PAGES	DIV_ROUND_UP(KARENA_NR_MAGAZINES, PER_PAGE)
#define BATCH		64u
#define FEW		8u

static_assert(PAGE_SIZE % sizeof(struct karena_cpu_magazine) == 0);
static_assert(KARENA_NR_SPC + 1 == KARENA_NR_MAGAZINES);

/* Objects that a magazine is for; 0: what it would hold has no slot, or is not of a class. */
static unsigned int room_of(unsigned int number)
{
	unsigned int size;

	if (!number || number - 1 >= KARENA_SPC_TINY)
		return 0;
	/* Large objects are of class 0. */
	size = karena_class_size[(number - 1) / 2];
	if (!size || size % KARENA_SLOT_UNIT)
		return 0;
	return clamp_t(unsigned int, MOST_BYTES / size, LEAST_ROOM, KARENA_MAGAZINE_SLOTS);
}

static void fill_page(void *memory, pgoff_t pgoff)
{
	struct karena_cpu_magazine *magazine = memory;
	unsigned int i, first = pgoff % CPU_PAGES * PER_PAGE;

	if (pgoff < KARENA_NO_CPUS * CPU_PAGES)
		return;
	for (i = 0; i < PER_PAGE; i++)
		magazine[i].room = room_of(first + i);
}

void karena_magazines_region(struct karena_uheap *uh)
{
	unsigned long size = (KARENA_NO_CPUS + nr_cpu_ids) * CPU_PAGES << PAGE_SHIFT;
	unsigned long most = (u64)KARENA_SLOT_UNIT << 32;

	karena_region_init(&uh->magazines, uh->npages << KARENA_PAGE_SHIFT <= most ? size : 0,
			   fill_page);
}

unsigned int karena_magazines_stride(void)
{
	return CPU_PAGES << PAGE_SHIFT;
}

static pgoff_t pgoff_of(unsigned int cpu, unsigned int number)
{
	return (KARENA_NO_CPUS + cpu) * CPU_PAGES + number / PER_PAGE;
}

/* A magazine; NULL if nobody has had it yet. */
static struct karena_cpu_magazine *magazine_of(struct karena_uheap *uh, unsigned int cpu,
					       unsigned int number)
{
	struct karena_cpu_magazine *first;

	first = karena_region_find(&uh->magazines, pgoff_of(cpu, number));
	return first ? first + number % PER_PAGE : NULL;
}

/* How many objects are said to be in it; none, if that cannot be. */
static unsigned int count_of(const struct karena_cpu_magazine *magazine, unsigned int room)
{
	/* Programs write there. */
	unsigned int count = READ_ONCE(magazine->count);

	return count <= room ? count : 0;
}

static unsigned long object_at(struct karena_uheap *uh, const struct karena_cpu_magazine *magazine,
			       unsigned int i)
{
	/* As above. */
	return uh->heap.base + (u64)READ_ONCE(magazine->slot[i]) * KARENA_SLOT_UNIT;
}

/* --- this CPU's --- */

/* Puts objects into it, as many as there is room for; how many. */
static unsigned int give(struct karena_uheap *uh, unsigned int number, const unsigned long *addrs,
			 unsigned int n)
{
	unsigned int i, count, room = room_of(number);
	struct karena_cpu_magazine *magazine;

	preempt_disable();
	magazine = magazine_of(uh, smp_processor_id(), number);
	count = magazine ? count_of(magazine, room) : room;
	n = min(n, room - count);
	for (i = 0; i < n; i++)
		WRITE_ONCE(magazine->slot[count + i],
			   (addrs[i] - uh->heap.base) / KARENA_SLOT_UNIT);
	if (n)
		WRITE_ONCE(magazine->count, count + n);
	preempt_enable();
	return n;
}

/* Takes out what came first, but for @keep objects; how many. */
static unsigned int take(struct karena_uheap *uh, unsigned int number, unsigned int keep,
			 unsigned long *addrs, unsigned int most)
{
	unsigned int i, count, n = 0, room = room_of(number);
	struct karena_cpu_magazine *magazine;

	preempt_disable();
	magazine = magazine_of(uh, smp_processor_id(), number);
	count = magazine ? count_of(magazine, room) : 0;
	if (count > keep)
		n = min(count - keep, most);
	for (i = 0; i < n; i++)
		addrs[i] = object_at(uh, magazine, i);
	for (; n && i < count; i++)
		WRITE_ONCE(magazine->slot[i - n], READ_ONCE(magazine->slot[i]));
	if (n)
		WRITE_ONCE(magazine->count, count - n);
	preempt_enable();
	return n;
}

/*
 * The same, on a list before they are out: who visits lists and magazines has the lock,
 * and finds each object in one of them.
 */
static void take_to_list(struct karena_uheap *uh, unsigned int number, unsigned int keep,
			 struct karena_inflight *list, unsigned long *addrs, unsigned int most)
{
	mutex_lock(&uh->inflight_lock);
	list->nr = take(uh, number, keep, addrs, most);
	mutex_unlock(&uh->inflight_lock);
}

/* Frees what is on a list; how many of it were no objects. */
static unsigned int free_list(struct karena_uheap *uh, const struct karena_inflight *list)
{
	unsigned int i, wrong = 0;

	for (i = 0; i < list->nr; i++)
		wrong += karena_free_in_window(uh, list->addrs[i]) != KARENA_REJECT_NONE;
	return wrong;
}

/* Empties it into the heap, but for @keep objects; how many of it were none. */
static unsigned int flush(struct karena_uheap *uh, unsigned int number, unsigned int keep)
{
	unsigned int most = room_of(number), left = most, wrong = 0;
	struct karena_inflight list = {};
	unsigned long few[FEW], *addrs;

	if (!most)
		return 0;
	addrs = kmalloc_array(most, sizeof(*addrs), GFP_KERNEL | __GFP_NOWARN);
	if (!addrs)
		most = FEW;
	list.addrs = addrs ?: few;
	karena_inflight_add(uh, &list);
	/* Not more than it has room for: a program could fill it as fast as this empties it. */
	do {
		take_to_list(uh, number, keep, &list, addrs ?: few, min(most, left));
		wrong += free_list(uh, &list);
		left -= list.nr;
		cond_resched();
	} while (list.nr && left);
	karena_inflight_del(uh, &list);
	kfree(addrs);
	return wrong;
}

/* --- all of them --- */

/* Objects in the magazines of a span class, of all CPUs; not more than @most. */
static u64 count_all(struct karena_uheap *uh, unsigned int number, u64 most)
{
	unsigned int cpu, room = room_of(number);
	struct karena_cpu_magazine *magazine;
	u64 sum = 0;

	for (cpu = 0; room && cpu < nr_cpu_ids; cpu++) {
		magazine = magazine_of(uh, cpu, number);
		sum += magazine ? count_of(magazine, room) : 0;
	}
	return min(sum, most);
}

/* To the heap they are live: a program took them.  Here they are what they are for it. */
void karena_magazines_class(struct karena_uheap *uh, unsigned int spc,
			    struct karena_class_stat *stat)
{
	u64 n = count_all(uh, spc + 1, stat->live_objects);

	stat->live_objects -= n;
	stat->cached_objects += n;
}

void karena_magazines_info(struct karena_uheap *uh, struct karena_heap_info *info)
{
	unsigned int number;
	u64 n, bytes;

	for (number = 1; number < KARENA_NR_MAGAZINES; number++) {
		n = count_all(uh, number, info->live_objects);
		if (!n)
			continue;
		bytes = min(n * karena_class_size[(number - 1) / 2], info->live_bytes);
		info->live_objects -= n;
		info->live_bytes -= bytes;
		info->cached_bytes += bytes;
	}
}

static long drain_here(void *arg)
{
	unsigned int number;
	long wrong = 0;

	for (number = 0; number < KARENA_NR_MAGAZINES; number++)
		wrong += flush(arg, number, 0);
	return wrong;
}

/*
 * Empties those of all CPUs; how many of it were no objects, or -ENOENT if there are
 * none.  May sleep.  A worker of each does it, so that whoever was in a sequence there
 * has been preempted.  Those of a CPU that is off keep what they have.
 */
long karena_magazines_drain(struct karena_uheap *uh)
{
	unsigned int cpu;
	long wrong = 0;

	if (xa_empty(&uh->magazines.pages))
		return -ENOENT;
	cpus_read_lock();
	for_each_online_cpu(cpu)
		wrong += work_on_cpu(cpu, drain_here, uh);
	cpus_read_unlock();
	return wrong;
}

static void visit_page(struct karena_uheap *uh, const struct karena_cpu_magazine *first,
		       unsigned int number, karena_visit_t *visit, void *arg)
{
	const struct karena_cpu_magazine *magazine;
	unsigned int i, count;

	for (magazine = first; magazine < first + PER_PAGE; magazine++, number++) {
		count = count_of(magazine, room_of(number));
		for (i = 0; i < count; i++)
			visit(arg, object_at(uh, magazine, i));
	}
	karena_rest(uh);
}

/* What all of them hold, for a snapshot; with the lock of the lists. */
void karena_magazines_visit(struct karena_uheap *uh, karena_visit_t *visit, void *arg)
{
	struct page *page;
	unsigned long i;

	lockdep_assert_held(&uh->inflight_lock);
	xa_for_each(&uh->magazines.pages, i, page)
		visit_page(uh, page_address(page), i % CPU_PAGES * PER_PAGE, visit, arg);
}

/* --- calls --- */

/* Up to @n objects, on a list from before a cycle can begin without them. */
static unsigned int alloc_list(struct karena_uheap *uh, struct karena_central *central,
			       struct karena_inflight *list, unsigned long *addrs, unsigned int n)
{
	int section = karena_uheap_enter(uh);

	n = karena_alloc_some(central, uh->heap.gc ? 0 : KARENA_NOZERO, GFP_KERNEL, n, addrs);
	/* Pairs with smp_load_acquire() in visit_inflight(). */
	smp_store_release(&list->nr, n);
	karena_uheap_exit(uh, section);
	return n;
}

/* As alloc_list(); at the limit once more, after what can be done about it. */
static unsigned int alloc_first(struct karena_uheap *uh, struct karena_central *central,
				struct karena_inflight *list, unsigned long *addrs, unsigned int n)
{
	if (alloc_list(uh, central, list, addrs, n) || fatal_signal_pending(current) ||
	    !karena_make_room(uh))
		return list->nr;
	return alloc_list(uh, central, list, addrs, n);
}

/* Gives what a list has, but for the first @keep; what finds no room is free again. */
static unsigned int give_list(struct karena_uheap *uh, unsigned int number,
			      struct karena_inflight *list, unsigned int keep)
{
	unsigned int n = give(uh, number, list->addrs + keep, list->nr - keep);
	unsigned int done = keep + n;

	karena_take_back(uh, list->nr - done, list->addrs + done);
	WRITE_ONCE(list->nr, keep);
	return n;
}

/* One object for the caller, and some for the magazine; what cannot be told is free again. */
static int fill_first(struct karena_uheap *uh, struct karena_central *central,
		      struct karena_fill *req, struct karena_fill __user *ureq,
		      struct karena_inflight *list, unsigned long *addrs, unsigned int n)
{
	if (!alloc_first(uh, central, list, addrs, n))
		return fatal_signal_pending(current) ? -EINTR : -ENOMEM;
	req->object = addrs[0];
	if (put_user(req->object, &ureq->object)) {
		karena_take_back(uh, list->nr, addrs);
		return -EFAULT;
	}
	req->count = give_list(uh, req->magazine, list, 1);
	return 0;
}

/* One object for the caller, and @n for the magazine, or as many as there are. */
static int fill(struct karena_uheap *uh, struct karena_central *central, struct karena_fill *req,
		struct karena_fill __user *ureq, unsigned int n)
{
	unsigned long addrs[BATCH];
	struct karena_inflight list = { .addrs = addrs };
	unsigned int got = 1;
	int err;

	karena_inflight_add(uh, &list);
	err = fill_first(uh, central, req, ureq, &list, addrs, min(n + 1, BATCH));
	while (!err && got && req->count < n) {
		alloc_list(uh, central, &list, addrs, min(n - req->count, BATCH));
		got = give_list(uh, req->magazine, &list, 0);
		req->count += got;
	}
	karena_inflight_del(uh, &list);
	return err;
}

/* A number that a program gave; 0, which no magazine has, if it is none. */
static unsigned int bounded(unsigned int number)
{
	return number < KARENA_NR_MAGAZINES ? array_index_nospec(number, KARENA_NR_MAGAZINES) : 0;
}

int karena_do_fill(struct karena_uheap *uh, struct karena_fill *req,
		   struct karena_fill __user *ureq)
{
	struct karena_central *central;
	unsigned int room;

	req->magazine = bounded(req->magazine);
	room = room_of(req->magazine);
	if (req->flags || !room || !uh->magazines.size)
		return -EINVAL;
	central = karena_central_get(&uh->heap, req->magazine - 1, GFP_KERNEL | uh->heap.gfp);
	if (!central ||
	    !karena_region_page(uh, &uh->magazines,
				pgoff_of(raw_smp_processor_id(), req->magazine)))
		return -ENOMEM;
	if (uh->heap.gc)
		karena_pacer_hold(uh->heap.gc);
	return fill(uh, central, req, ureq, room / 2);
}

/* One object and half of a magazine, or all magazines. */
int karena_do_flush(struct karena_uheap *uh, struct karena_flush *req)
{
	unsigned int room;

	if (req->flags & ~KARENA_FLUSH_ALL || req->reserved || !uh->magazines.size)
		return -EINVAL;
	if (req->flags & KARENA_FLUSH_ALL) {
		if (req->magazine || req->object)
			return -EINVAL;
		req->rejected = max(karena_magazines_drain(uh), 0L);
		return 0;
	}
	req->magazine = bounded(req->magazine);
	room = room_of(req->magazine);
	if (!room)
		return -EINVAL;
	req->rejected = flush(uh, req->magazine, room / 2);
	req->reason = req->object ? karena_free_in_window(uh, req->object) : KARENA_REJECT_NONE;
	return 0;
}
