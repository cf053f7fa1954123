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

/*
 * Bytes of objects that a magazine is for, and most and least objects.  In a heap that is
 * shared they are had by other programs meanwhile, and a snapshot may have to visit them
 * all while everybody stands; in a private one they are the program's own.
 */
#define SHARED_BYTES	SZ_128K
#define SHARED_ROOM	500
#define PRIVATE_BYTES	SZ_512K
#define PRIVATE_ROOM	KARENA_MAGAZINE_SLOTS
#define LEAST_ROOM	4
#define LARGE_ROOM	2		/* least, of large ones */

/*
 * It begins with a few, and with twice as many each time that it has been empty or full:
 * what nobody asks for a second time is not spread over so much memory.
 */
#define FIRST_BYTES	SZ_8K
#define FIRST_ROOM	2u

/* Nothing is sampled: a call now and then, which does nothing but to count from there again. */
#define MOST_LEFT	U16_MAX

#define PER_PAGE	(PAGE_SIZE / sizeof(u32))
#define CPU_PAGES	((1UL << KARENA_CPU_SHIFT) >> PAGE_SHIFT)
#define BATCH		64u
#define FEW		8u

static_assert(sizeof(struct karena_cpu_magazine[KARENA_NR_MAGAZINES]) <= PAGE_SIZE);
static_assert(KARENA_NR_SPC + 1 == KARENA_LARGE_MAGAZINE);

/*
 * The first slot of each magazine, and that behind the last one, of heaps that are shared
 * and of private ones.  They lie side by side behind the first page, whose lines they
 * would share with the heads else; few begin at the same place of a page, where they would
 * be in each other's way in caches.
 */
static u16 first_slots[2][KARENA_NR_MAGAZINES + 1] __ro_after_init;

static bool is_large(unsigned int number)
{
	return number >= KARENA_LARGE_MAGAZINE;
}

/* Bytes of an object of a magazine; 0: they differ. */
unsigned int karena_magazine_bytes(unsigned int number)
{
	if (is_large(number))
		return karena_magazine_pages(number) << KARENA_PAGE_SHIFT;
	if (!number || number - 1 >= KARENA_SPC_TINY)
		return 0;
	/* Large objects are of class 0. */
	return karena_class_size[(number - 1) / 2];
}

/* Objects that a magazine is for; 0: what it would hold has no slot, or is not of a size. */
static unsigned int __init room_for(bool private, unsigned int number)
{
	unsigned int size = karena_magazine_bytes(number);

	if (!size || size % KARENA_SLOT_UNIT)
		return 0;
	if (is_large(number))
		return private ? max_t(unsigned int, PRIVATE_BYTES / size, LARGE_ROOM) : 0;
	if (!private)
		return clamp_t(unsigned int, SHARED_BYTES / size, LEAST_ROOM, SHARED_ROOM);
	/* Nobody looks for references there: all are of the second class of a size. */
	if ((number - 1) % 2 == 0)
		return 0;
	return clamp_t(unsigned int, PRIVATE_BYTES / size, LEAST_ROOM, PRIVATE_ROOM);
}

/* The magazine of large objects of a private heap that have so many pages; 0 if none is. */
unsigned int karena_magazine_of_pages(unsigned long npages)
{
	unsigned int number;

	for (number = KARENA_LARGE_MAGAZINE; number < KARENA_NR_MAGAZINES; number++)
		if (karena_magazine_pages(number) == npages)
			return number;
	return 0;
}

static int __init place_all(bool private)
{
	unsigned int number, at = PER_PAGE;

	for (number = 0; number < KARENA_NR_MAGAZINES; number++) {
		first_slots[private][number] = at;
		at += room_for(private, number);
	}
	first_slots[private][number] = at;
	return WARN_ON(at > CPU_PAGES * PER_PAGE || at > U16_MAX) ? -E2BIG : 0;
}

int __init karena_magazines_init(void)
{
	return place_all(false) ?: place_all(true);
}

static unsigned int first_of(const struct karena_uheap *uh, unsigned int number)
{
	return first_slots[uh->private][number];
}

static unsigned int room_of(const struct karena_uheap *uh, unsigned int number)
{
	return first_of(uh, number + 1) - first_of(uh, number);
}

/* With how many objects it begins. */
static unsigned int first_room(const struct karena_uheap *uh, unsigned int number)
{
	unsigned int most = FIRST_BYTES / max(karena_magazine_bytes(number), 1u);

	return min(room_of(uh, number), max(most, FIRST_ROOM));
}

/* Which magazines of a CPU are to sample an object when @left is 0; NULL if none ever was. */
static unsigned long *due_on(struct karena_uheap *uh, unsigned int cpu)
{
	/* Set once, before any bit there is: karena_magazines_arm(). */
	unsigned long __percpu *due = READ_ONCE(uh->due);

	return due ? per_cpu_ptr(due, cpu) : NULL;
}

/*
 * After how many objects of a magazine there is one to be sampled: @left can tell only so
 * many, behind which nothing is known, and so it is drawn anew.
 */
static unsigned int draw_left(struct karena_uheap *uh, unsigned int cpu, unsigned int number)
{
	unsigned long *due = due_on(uh, cpu);
	unsigned int bytes = karena_magazine_bytes(number);
	u64 left = MOST_LEFT + 1;

	if (due && bytes && karena_profile_rate(&uh->heap))
		left = div_u64(karena_profile_draw(&uh->heap), bytes);
	if (due)
		assign_bit(number, due, left <= MOST_LEFT);
	return min_t(u64, left, MOST_LEFT);
}

static unsigned int first_left(struct karena_uheap *uh, pgoff_t pgoff, unsigned int number)
{
	return draw_left(uh, pgoff / CPU_PAGES - KARENA_NO_CPUS, number);
}

/* Of a new page: what is in it if it is the first of a CPU. */
static void fill_page(struct karena_uheap *uh, void *memory, pgoff_t pgoff)
{
	struct karena_cpu_magazine *magazine = memory;
	unsigned int number;

	if (pgoff < KARENA_NO_CPUS * CPU_PAGES || pgoff % CPU_PAGES)
		return;
	for (number = 0; number < KARENA_NR_MAGAZINES; number++)
		magazine[number] = (struct karena_cpu_magazine) {
			.top = first_of(uh, number),
			.left = first_left(uh, pgoff, number),
			.end = first_of(uh, number) + first_room(uh, number),
			.begin = first_of(uh, number),
		};
}

void karena_magazines_region(struct karena_uheap *uh)
{
	unsigned long size = (KARENA_NO_CPUS + nr_cpu_ids) * CPU_PAGES << PAGE_SHIFT;
	unsigned long most = (u64)KARENA_SLOT_UNIT << 32;

	karena_region_init(&uh->magazines, uh->npages << KARENA_PAGE_SHIFT <= most ? size : 0,
			   fill_page);
}

static pgoff_t pgoff_of(unsigned int cpu, unsigned int slot)
{
	return (KARENA_NO_CPUS + cpu) * CPU_PAGES + slot / PER_PAGE;
}

/* A magazine; NULL if nobody has had one of that CPU yet. */
static struct karena_cpu_magazine *magazine_of(struct karena_uheap *uh, unsigned int cpu,
					       unsigned int number)
{
	struct karena_cpu_magazine *first = karena_region_find(&uh->magazines, pgoff_of(cpu, 0));

	return first ? first + number : NULL;
}

/* How many objects are said to be in it; none, if that cannot be. */
static unsigned int count_of(const struct karena_uheap *uh,
			     const struct karena_cpu_magazine *magazine, unsigned int number)
{
	/* Programs write there. */
	unsigned int count = READ_ONCE(magazine->top) - first_of(uh, number);

	return count <= room_of(uh, number) ? count : 0;
}

/* For how many it is, so far. */
static unsigned int capacity_of(const struct karena_uheap *uh,
				const struct karena_cpu_magazine *magazine, unsigned int number)
{
	/* As above. */
	unsigned int capacity = READ_ONCE(magazine->end) - first_of(uh, number);

	return clamp(capacity, first_room(uh, number), room_of(uh, number));
}

static void set_capacity(const struct karena_uheap *uh, struct karena_cpu_magazine *magazine,
			 unsigned int number, unsigned int capacity)
{
	WRITE_ONCE(magazine->end, first_of(uh, number) + capacity);
}

static void set_count(const struct karena_uheap *uh, struct karena_cpu_magazine *magazine,
		      unsigned int number, unsigned int count)
{
	WRITE_ONCE(magazine->top, first_of(uh, number) + count);
}

/*
 * Slots of a CPU from @i on; fewer than @n, if not all are in one page.  NULL: that is not
 * there, as nobody has had any of them.
 */
static u32 *slots_at(struct karena_uheap *uh, unsigned int cpu, unsigned int i, unsigned int *n)
{
	u32 *first = karena_region_find(&uh->magazines, pgoff_of(cpu, i));

	*n = min_t(unsigned int, *n, PER_PAGE - i % PER_PAGE);
	return first ? first + i % PER_PAGE : NULL;
}

/* What they say, which programs wrote. */
static void read_slots(struct karena_uheap *uh, unsigned int cpu, unsigned int i,
		       unsigned long *addrs, unsigned int n)
{
	unsigned int j, some;
	const u32 *slot;

	for (; n; n -= some, i += some, addrs += some) {
		some = n;
		slot = slots_at(uh, cpu, i, &some);
		for (j = 0; j < some; j++)
			addrs[j] = uh->heap.base +
				   (slot ? (u64)READ_ONCE(slot[j]) * KARENA_SLOT_UNIT : 0);
	}
}

/* How many have been written. */
static unsigned int write_slots(struct karena_uheap *uh, unsigned int cpu, unsigned int i,
				const unsigned long *addrs, unsigned int n)
{
	unsigned int j, some, done;
	u32 *slot;

	for (done = 0; done < n; done += some) {
		some = n - done;
		slot = slots_at(uh, cpu, i + done, &some);
		if (!slot)
			break;
		for (j = 0; j < some; j++)
			WRITE_ONCE(slot[j], (addrs[done + j] - uh->heap.base) / KARENA_SLOT_UNIT);
	}
	return done;
}

/* @count of them go down by @n. */
static void move_slots(struct karena_uheap *uh, unsigned int cpu, unsigned int i, unsigned int n,
		       unsigned int count)
{
	unsigned int some;
	u32 *from, *to;

	for (; count; count -= some, i += some) {
		some = count;
		to = slots_at(uh, cpu, i, &some);
		from = slots_at(uh, cpu, i + n, &some);
		if (to && from)
			memmove(to, from, some * sizeof(*to));
	}
}

/* Makes the pages of a magazine of a CPU; false without memory. */
static bool make_pages(struct karena_uheap *uh, unsigned int cpu, unsigned int number)
{
	pgoff_t last = pgoff_of(cpu, first_of(uh, number + 1) - 1), i;

	if (!karena_region_page(uh, &uh->magazines, pgoff_of(cpu, 0)))
		return false;
	for (i = pgoff_of(cpu, first_of(uh, number)); i <= last; i++)
		if (!karena_region_page(uh, &uh->magazines, i))
			return false;
	return true;
}

/* --- this CPU's --- */

/* Puts objects into it, as many as it is for; how many. */
static unsigned int give(struct karena_uheap *uh, unsigned int number, const unsigned long *addrs,
			 unsigned int n)
{
	unsigned int cpu, count = 0, capacity = 0;
	struct karena_cpu_magazine *magazine;

	preempt_disable();
	cpu = smp_processor_id();
	magazine = magazine_of(uh, cpu, number);
	if (magazine) {
		count = count_of(uh, magazine, number);
		capacity = capacity_of(uh, magazine, number);
	}
	n = min(n, capacity - min(count, capacity));
	n = write_slots(uh, cpu, first_of(uh, number) + count, addrs, n);
	if (n)
		set_count(uh, magazine, number, count + n);
	preempt_enable();
	return n;
}

/* For twice as many from here on, up to its room; for how many it was. */
static unsigned int widen(struct karena_uheap *uh, unsigned int number)
{
	struct karena_cpu_magazine *magazine;
	unsigned int capacity = first_room(uh, number);

	preempt_disable();
	magazine = magazine_of(uh, smp_processor_id(), number);
	if (magazine) {
		capacity = capacity_of(uh, magazine, number);
		set_capacity(uh, magazine, number, min(2 * capacity, room_of(uh, number)));
	}
	preempt_enable();
	return capacity;
}

/* As it was in the beginning, if it has no more objects than that. */
static void narrow(struct karena_uheap *uh, unsigned int number)
{
	struct karena_cpu_magazine *magazine;

	preempt_disable();
	magazine = magazine_of(uh, smp_processor_id(), number);
	if (magazine && count_of(uh, magazine, number) <= first_room(uh, number))
		set_capacity(uh, magazine, number, first_room(uh, number));
	preempt_enable();
}

/* What a call is for: an object for the caller, and @more for the magazine. */
struct demand {
	struct karena_central *central;	/* NULL: large ones */
	unsigned int number;
	unsigned int more;
	bool sampled;			/* the caller's is */
};

/* Counts an object that the caller gets beside the magazine; whether it is to be sampled. */
static bool count_one(struct karena_uheap *uh, struct karena_cpu_magazine *magazine,
		      unsigned int number)
{
	unsigned int cpu = smp_processor_id(), left = READ_ONCE(magazine->left);
	unsigned long *due = due_on(uh, cpu);
	bool sampled = !left && due && test_bit(number, due);

	if (!left && !sampled) {
		left = draw_left(uh, cpu, number);
		sampled = !left && due && test_bit(number, due);
	}
	left = sampled ? draw_left(uh, cpu, number) : max(left, 1u) - 1;
	WRITE_ONCE(magazine->left, left);
	return sampled && !karena_is_planted(KARENA_PLANT_TAKES_UNCOUNTED);
}

/* A sample that has come to nothing, as its call has, is the next one's. */
static void sample_later(struct karena_uheap *uh, unsigned int number)
{
	struct karena_cpu_magazine *magazine;

	preempt_disable();
	magazine = magazine_of(uh, smp_processor_id(), number);
	if (magazine) {
		WRITE_ONCE(magazine->left, 0);
		set_bit(number, due_on(uh, smp_processor_id()));
	}
	preempt_enable();
}

/* Counts, and looks whether the magazine needs objects: it may only have asked for a sample. */
static void count_demand(struct karena_uheap *uh, struct demand *demand)
{
	struct karena_cpu_magazine *magazine;
	bool some = false;

	preempt_disable();
	magazine = magazine_of(uh, smp_processor_id(), demand->number);
	if (magazine) {
		some = count_of(uh, magazine, demand->number) && !READ_ONCE(magazine->left);
		demand->sampled = count_one(uh, magazine, demand->number);
	}
	preempt_enable();
	if (!some && !demand->sampled)
		demand->more = max(widen(uh, demand->number) / 2, 1u);
}

/* Takes out what came first, but for @keep objects; how many. */
static unsigned int take(struct karena_uheap *uh, unsigned int number, unsigned int keep,
			 unsigned long *addrs, unsigned int most)
{
	unsigned int cpu, count, n = 0, first = first_of(uh, number);
	struct karena_cpu_magazine *magazine;

	preempt_disable();
	cpu = smp_processor_id();
	magazine = magazine_of(uh, cpu, number);
	count = magazine ? count_of(uh, magazine, number) : 0;
	if (count > keep)
		n = min(count - keep, most);
	if (n) {
		read_slots(uh, cpu, first, addrs, n);
		move_slots(uh, cpu, first, n, count - n);
		set_count(uh, magazine, number, count - n);
	}
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
	unsigned int i, n, wrong = 0;

	for (i = 0; i < list->nr; i += n) {
		/* In a collected heap there is more to do for each. */
		n = uh->heap.gc ? 0 : karena_free_some(&uh->heap, list->nr - i, list->addrs + i);
		if (n)
			continue;
		wrong += karena_free_in_window(uh, list->addrs[i]) != KARENA_REJECT_NONE;
		n = 1;
	}
	return wrong;
}

/* Empties it into the heap, but for @keep objects; how many of it were none. */
static unsigned int flush(struct karena_uheap *uh, unsigned int number, unsigned int keep)
{
	unsigned int most = room_of(uh, number), left = most, wrong = 0;
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

/* Objects in a CPU's magazine; @room gets how many it may have by now. */
unsigned int karena_magazine_count(struct karena_uheap *uh, unsigned int cpu,
				   unsigned int number, unsigned int *room)
{
	struct karena_cpu_magazine *magazine = magazine_of(uh, cpu, number);

	*room = 0;
	if (!room_of(uh, number) || !magazine)
		return 0;
	*room = min_t(unsigned int, READ_ONCE(magazine->end) - first_of(uh, number),
		      room_of(uh, number));
	return count_of(uh, magazine, number);
}

/* Objects in the magazines of a span class, of all CPUs; not more than @most. */
static u64 count_all(struct karena_uheap *uh, unsigned int number, u64 most)
{
	unsigned int cpu, room;
	u64 sum = 0;

	for (cpu = 0; room_of(uh, number) && cpu < nr_cpu_ids; cpu++)
		sum += karena_magazine_count(uh, cpu, number, &room);
	return min(sum, most);
}

/* To the heap they are live: a program took them.  Here they are what they are for it. */
void karena_magazines_class(struct karena_uheap *uh, unsigned int spc,
			    struct karena_class_stat *stat)
{
	unsigned int number = KARENA_LARGE_MAGAZINE;
	u64 n = 0;

	if (spc != KARENA_SPC(0, 0))
		n = count_all(uh, spc + 1, stat->live_objects);
	else
		for (; number < KARENA_NR_MAGAZINES; number++)
			n += count_all(uh, number, stat->live_objects - n);
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
		bytes = min(n * karena_magazine_bytes(number), info->live_bytes);
		info->live_objects -= n;
		info->live_bytes -= bytes;
		info->cached_bytes += bytes;
	}
}

static unsigned int class_of(unsigned int number)
{
	if (is_large(number))
		return 0;
	return number - 1 == KARENA_SPC_TINY ? KARENA_TINY_CLASS : (number - 1) / 2;
}

/* The same for what karena_explain_heap() says of size classes. */
void karena_magazines_explain(struct karena_uheap *uh, struct karena_explain_class *classes)
{
	struct karena_explain_class *class;
	unsigned int number;
	u64 bytes;

	for (number = 1; number < KARENA_NR_MAGAZINES; number++) {
		class = &classes[class_of(number)];
		bytes = count_all(uh, number, U64_MAX) * karena_magazine_bytes(number);
		bytes = min(bytes, class->live_bytes);
		class->live_bytes -= bytes;
		class->cached_bytes += bytes;
	}
}

static long drain_here(void *arg)
{
	unsigned int number;
	long wrong = 0;

	for (number = 0; number < KARENA_NR_MAGAZINES; number++) {
		wrong += flush(arg, number, 0);
		narrow(arg, number);
	}
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

static long arm_here(void *arg)
{
	struct karena_uheap *uh = arg;
	struct karena_cpu_magazine *first;
	unsigned int cpu, number;

	preempt_disable();
	cpu = smp_processor_id();
	first = magazine_of(uh, cpu, 0);
	for (number = 0; first && number < KARENA_NR_MAGAZINES; number++)
		WRITE_ONCE(first[number].left, draw_left(uh, cpu, number));
	preempt_enable();
	return 0;
}

/* The rate of samples has changed: they begin anew.  May sleep. */
int karena_magazines_arm(struct karena_uheap *uh)
{
	size_t bytes = BITS_TO_LONGS(KARENA_NR_MAGAZINES) * sizeof(long);
	unsigned long __percpu *due;
	unsigned int cpu;

	if (!uh->magazines.size)
		return 0;
	if (!READ_ONCE(uh->due)) {
		due = __alloc_percpu_gfp(bytes, sizeof(long), GFP_KERNEL_ACCOUNT);
		if (!due)
			return -ENOMEM;
		spin_lock_irq(&uh->heap.lock);
		if (!uh->due)
			swap(uh->due, due);
		spin_unlock_irq(&uh->heap.lock);
		free_percpu(due);
	}
	cpus_read_lock();
	for_each_online_cpu(cpu)
		work_on_cpu(cpu, arm_here, uh);
	cpus_read_unlock();
	return 0;
}

static void visit_slots(struct karena_uheap *uh, unsigned int cpu, unsigned int i,
			unsigned int n, karena_visit_t *visit, void *arg)
{
	unsigned long addrs[BATCH];
	unsigned int j, some;

	for (; n; n -= some, i += some) {
		some = min(n, BATCH);
		read_slots(uh, cpu, i, addrs, some);
		for (j = 0; j < some; j++)
			visit(arg, addrs[j]);
	}
}

static void visit_cpu(struct karena_uheap *uh, unsigned int cpu, karena_visit_t *visit, void *arg)
{
	const struct karena_cpu_magazine *first = magazine_of(uh, cpu, 0);
	unsigned int number;

	for (number = 0; first && number < KARENA_NR_MAGAZINES; number++) {
		visit_slots(uh, cpu, first_of(uh, number), count_of(uh, first + number, number),
			    visit, arg);
		karena_rest(uh);
	}
}

/* What all of them hold, for a snapshot; with the lock of the lists. */
void karena_magazines_visit(struct karena_uheap *uh, karena_visit_t *visit, void *arg)
{
	unsigned int cpu;

	lockdep_assert_held(&uh->inflight_lock);
	for (cpu = 0; cpu < nr_cpu_ids; cpu++)
		visit_cpu(uh, cpu, visit, arg);
}

/* --- calls --- */

static unsigned int alloc_large(struct karena_uheap *uh, unsigned int number,
				unsigned long *addrs, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		addrs[i] = karena_alloc_addr(&uh->heap, karena_magazine_bytes(number),
					     KARENA_NOZERO, GFP_KERNEL);
		if (!addrs[i])
			break;
	}
	return i;
}

/* The caller's object, if it is to be sampled. */
static unsigned int alloc_sampled(struct karena_uheap *uh, const struct demand *demand,
				  unsigned long *addrs)
{
	unsigned int flags = is_large(demand->number) || (demand->number - 1) % 2 ?
			     KARENA_NOSCAN : 0;

	if (!uh->heap.gc)
		flags |= KARENA_NOZERO;
	*addrs = demand->sampled ?
		 karena_sample_one(uh, NULL, karena_magazine_bytes(demand->number), flags) : 0;
	return !!*addrs;
}

/* Up to @n objects, on a list from before a cycle can begin without them. */
static unsigned int alloc_list(struct karena_uheap *uh, const struct demand *demand,
			       struct karena_inflight *list, unsigned long *addrs,
			       unsigned int n)
{
	int section = karena_uheap_enter(uh);
	unsigned int sampled = alloc_sampled(uh, demand, addrs);

	if (sampled)
		n = sampled;
	else if (demand->central)
		n = karena_alloc_some(demand->central, uh->heap.gc ? 0 : KARENA_NOZERO,
				      GFP_KERNEL, n, addrs);
	else
		n = alloc_large(uh, demand->number, addrs, n);
	/* Pairs with smp_load_acquire() in visit_inflight(). */
	smp_store_release(&list->nr, n);
	karena_uheap_exit(uh, section);
	return n;
}

/* As alloc_list(); at the limit once more, after what can be done about it. */
static unsigned int alloc_first(struct karena_uheap *uh, const struct demand *demand,
				struct karena_inflight *list, unsigned long *addrs,
				unsigned int n)
{
	if (alloc_list(uh, demand, list, addrs, n) || fatal_signal_pending(current) ||
	    !karena_make_room(uh))
		return list->nr;
	return alloc_list(uh, demand, list, addrs, n);
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
static int fill_first(struct karena_uheap *uh, const struct demand *demand,
		      struct karena_fill *req, struct karena_fill __user *ureq,
		      struct karena_inflight *list, unsigned long *addrs)
{
	if (!alloc_first(uh, demand, list, addrs, min(demand->more + 1, BATCH)))
		return fatal_signal_pending(current) ? -EINTR : -ENOMEM;
	req->object = addrs[0];
	if (put_user(req->object, &ureq->object)) {
		karena_take_back(uh, list->nr, addrs);
		return -EFAULT;
	}
	req->count = give_list(uh, req->magazine, list, 1);
	return 0;
}

/* What a call asks for, or as much of it as there is. */
static int fill(struct karena_uheap *uh, const struct demand *demand, struct karena_fill *req,
		struct karena_fill __user *ureq)
{
	unsigned long addrs[BATCH];
	struct karena_inflight list = { .addrs = addrs };
	unsigned int got = 1;
	int err;

	karena_inflight_add(uh, &list);
	err = fill_first(uh, demand, req, ureq, &list, addrs);
	while (!err && got && req->count < demand->more) {
		alloc_list(uh, demand, &list, addrs, min(demand->more - req->count, BATCH));
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
	struct demand demand = {};
	unsigned int room;
	int err;

	req->magazine = bounded(req->magazine);
	demand.number = req->magazine;
	room = room_of(uh, req->magazine);
	if (req->flags || !room || !uh->magazines.size)
		return -EINVAL;
	if (!is_large(req->magazine)) {
		demand.central = karena_central_get(&uh->heap, req->magazine - 1,
						    GFP_KERNEL | uh->heap.gfp);
		if (!demand.central)
			return -ENOMEM;
	}
	if (!make_pages(uh, raw_smp_processor_id(), req->magazine))
		return -ENOMEM;
	karena_admit(uh);
	if (uh->heap.gc)
		karena_pacer_hold(uh->heap.gc);
	count_demand(uh, &demand);
	err = fill(uh, &demand, req, ureq);
	if (err && demand.sampled)
		sample_later(uh, demand.number);
	return err;
}

/* One object, and half of a magazine that cannot be for more; or all magazines. */
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
	room = room_of(uh, req->magazine);
	if (!room)
		return -EINVAL;
	req->rejected = widen(uh, req->magazine) < room ? 0 : flush(uh, req->magazine, room / 2);
	req->reason = req->object ? karena_free_in_window(uh, req->object) : KARENA_REJECT_NONE;
	return 0;
}
