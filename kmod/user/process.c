// SPDX-License-Identifier: GPL-2.0
/*
 * The processes that have a collected heap's window mapped, and where they keep
 * references.  All threads of such a process count, whoever made them and however:
 * the stopper finds them (stop.c).  A process is there as long as the mapping is,
 * so that nothing is left of one that is killed, ends or calls exec; after fork()
 * the child's copy of the mapping makes it a process of its own, with the same
 * ranges, before the first instruction that it executes.
 *
 * world_lock guards the list and which ranges each has.  Nothing that sleeps is
 * under it: who opens and closes mappings holds their mm's lock, which searching its
 * memory needs.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "user.h"

#define MAX_RANGES	4096u

void karena_ranges_put(struct karena_ranges *ranges)
{
	if (ranges && refcount_dec_and_test(&ranges->ref))
		kvfree(ranges);
}

/* The ranges of a process, with a reference. */
struct karena_ranges *karena_ranges_get(struct karena_uheap *uh, struct karena_process *process)
{
	struct karena_ranges *ranges;

	spin_lock(&uh->world_lock);
	ranges = process->ranges;
	if (ranges)
		refcount_inc(&ranges->ref);
	spin_unlock(&uh->world_lock);
	return ranges;
}

static void add_process(struct karena_uheap *uh, struct karena_process *process,
			struct mm_struct *mm)
{
	refcount_set(&process->ref, 1);
	process->mm = mm;
	mmgrab(mm);
	spin_lock(&uh->world_lock);
	list_add(&process->node, &uh->processes);
	uh->opened++;
	spin_unlock(&uh->world_lock);
}

/* The process that maps the window just now; NULL without memory. */
struct karena_process *karena_process_open(struct karena_uheap *uh, struct mm_struct *mm)
{
	struct karena_process *process = kzalloc(sizeof(*process), GFP_KERNEL_ACCOUNT);

	if (!process)
		return NULL;
	process->born = true;
	add_process(uh, process, mm);
	return process;
}

/* Its copy is in another one, which has no thread yet.  Cannot fail, so small as it is. */
struct karena_process *karena_process_fork(struct karena_uheap *uh,
					   struct karena_process *parent, struct mm_struct *mm)
{
	struct karena_process *process;

	process = kzalloc(sizeof(*process), GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	if (!karena_is_planted(KARENA_PLANT_RANGES_LOST))
		process->ranges = karena_ranges_get(uh, parent);
	add_process(uh, process, mm);
	return process;
}

void karena_process_put(struct karena_process *process)
{
	if (!process || !refcount_dec_and_test(&process->ref))
		return;
	karena_ranges_put(process->ranges);
	mmdrop(process->mm);
	kfree(process);
}

/* The mapping goes, and all references that its process has with it. */
void karena_process_close(struct karena_uheap *uh, struct karena_process *process)
{
	spin_lock(&uh->world_lock);
	list_del_init_careful(&process->node);
	spin_unlock(&uh->world_lock);
	karena_process_put(process);
}

/*
 * All processes, with a reference each, if there is room for them, and how many
 * there have been; how many there are.
 */
unsigned int karena_processes_get(struct karena_uheap *uh, struct karena_process **list,
				  unsigned int room, u64 *opened)
{
	struct karena_process *process;
	unsigned int nr = 0;

	spin_lock(&uh->world_lock);
	list_for_each_entry(process, &uh->processes, node) {
		if (nr < room) {
			refcount_inc(&process->ref);
			list[nr] = process;
		}
		nr++;
	}
	*opened = uh->opened;
	spin_unlock(&uh->world_lock);
	return nr;
}

/* --- ranges --- */

static struct karena_process *find_process(struct karena_uheap *uh, struct mm_struct *mm)
{
	struct karena_process *process;

	list_for_each_entry(process, &uh->processes, node)
		if (process->mm == mm)
			return process;
	return NULL;
}

static struct karena_process *current_process(struct karena_uheap *uh)
{
	struct karena_process *process;

	spin_lock(&uh->world_lock);
	process = find_process(uh, current->mm);
	if (process)
		refcount_inc(&process->ref);
	spin_unlock(&uh->world_lock);
	return process;
}

static struct karena_ranges *new_ranges(u32 nr)
{
	struct karena_ranges *ranges;

	ranges = kvzalloc(struct_size(ranges, range, nr), GFP_KERNEL_ACCOUNT);
	if (ranges) {
		refcount_set(&ranges->ref, 1);
		ranges->nr = nr;
	}
	return ranges;
}

/* How many ranges are below an address. */
static u32 rank(const struct karena_ranges *ranges, unsigned long start)
{
	u32 i = 0;

	while (ranges && i < ranges->nr && ranges->range[i].start < start)
		i++;
	return i;
}

/* The ranges with one more; ERR_PTR(-EEXIST) if it overlaps one of them. */
static struct karena_ranges *with_range(const struct karena_ranges *old, struct karena_range add)
{
	u32 nr = old ? old->nr : 0, at = rank(old, add.start);
	struct karena_ranges *ranges;

	if ((at < nr && old->range[at].start < add.end) ||
	    (at && old->range[at - 1].end > add.start))
		return ERR_PTR(-EEXIST);
	if (nr == MAX_RANGES)
		return ERR_PTR(-ENOSPC);
	ranges = new_ranges(nr + 1);
	if (!ranges)
		return ERR_PTR(-ENOMEM);
	if (nr) {
		memcpy(ranges->range, old->range, at * sizeof(add));
		memcpy(ranges->range + at + 1, old->range + at, (nr - at) * sizeof(add));
	}
	ranges->range[at] = add;
	return ranges;
}

/* The ranges without one; ERR_PTR(-ENOENT) if it is none of them. */
static struct karena_ranges *without_range(const struct karena_ranges *old,
					   struct karena_range del)
{
	u32 nr = old ? old->nr : 0, at = rank(old, del.start);
	struct karena_ranges *ranges;

	if (at == nr || old->range[at].start != del.start || old->range[at].end != del.end)
		return ERR_PTR(-ENOENT);
	ranges = new_ranges(nr - 1);
	if (!ranges)
		return ERR_PTR(-ENOMEM);
	memcpy(ranges->range, old->range, at * sizeof(del));
	memcpy(ranges->range + at, old->range + at + 1, (nr - 1 - at) * sizeof(del));
	return ranges;
}

/* Whether a process still had @old; then it has @new, and the caller what it had. */
static bool replace(struct karena_uheap *uh, struct karena_process *process,
		    struct karena_ranges *old, struct karena_ranges *new)
{
	bool same;

	spin_lock(&uh->world_lock);
	same = process->ranges == old;
	if (same)
		process->ranges = new;
	spin_unlock(&uh->world_lock);
	karena_ranges_put(same ? old : new);
	return same;
}

static int change(struct karena_uheap *uh, struct karena_process *process,
		  struct karena_range range, bool add)
{
	struct karena_ranges *old, *new;
	bool done;

	do {
		old = karena_ranges_get(uh, process);
		new = add ? with_range(old, range) : without_range(old, range);
		done = IS_ERR(new) || replace(uh, process, old, new);
		karena_ranges_put(old);
	} while (!done);
	return PTR_ERR_OR_ZERO(new);
}

static bool is_good_range(const struct karena_uheap *uh, const struct karena_range *range)
{
	unsigned long window = uh->heap.base + (uh->npages << KARENA_PAGE_SHIFT);
	size_t unit = range->extents ? sizeof(struct karena_extent) : sizeof(long);

	if (range->stack_shift)
		unit = 1UL << range->stack_shift;
	return range->start < range->end && range->end <= TASK_SIZE &&
	       IS_ALIGNED(range->start | range->end, unit) &&
	       (range->start >= window || range->end <= uh->heap.base);
}

/*
 * Adds a range of the caller's memory to what is searched for references, or takes
 * it out; 0, -EINVAL, -ENXIO if the window is not mapped, -EEXIST, -ENOENT, -ENOSPC,
 * -ENOMEM.
 */
int karena_range_change(struct karena_uheap *uh, const struct karena_range *range, bool add)
{
	struct karena_process *process;
	int err;

	if (!is_good_range(uh, range))
		return -EINVAL;
	process = current_process(uh);
	if (!process)
		return -ENXIO;
	err = change(uh, process, *range, add);
	karena_process_put(process);
	return err;
}
