// SPDX-License-Identifier: GPL-2.0
/*
 * What the control group says that pays for a heap's memory: of whoever made it grow
 * last.  Charges of before stay where they are, but most heaps have one group.
 *
 * That memory which a heap holds free does not show in the reclaim of a group: shrinkers
 * are asked for one only if they keep a list_lru of what it was charged with.  So the
 * heap looks for itself how much is left, whenever memory comes to be free or is asked
 * for.  Nor is the pressure known to a module (psi_system is not exported).
 */
#include <linux/memcontrol.h>

#include "internal.h"

#ifdef CONFIG_MEMCG

/* That of the caller with a reference, unless it is @but; or NULL. */
static struct mem_cgroup *get_group(const struct mem_cgroup *but)
{
	struct mem_cgroup *group;

	rcu_read_lock();
	group = mem_cgroup_from_task(current);
	if (group == but || !css_tryget(&group->css))
		group = NULL;
	rcu_read_unlock();
	return group;
}

/* For set_active_memcg() in who works for the caller; or NULL. */
struct mem_cgroup *karena_group_get(void)
{
	return mem_cgroup_disabled() ? NULL : get_group(NULL);
}

void karena_group_put(struct mem_cgroup *group)
{
	if (group)
		css_put(&group->css);
}

/* The caller has made the heap grow. */
void karena_group_note(struct karena_heap *heap)
{
	struct mem_cgroup *group, *old;

	if (mem_cgroup_disabled() || !(heap->gfp & __GFP_ACCOUNT) || !in_task())
		return;
	group = get_group(READ_ONCE(heap->group));
	if (!group)
		return;
	/* Who has just loaded the old one is under RCU, by which it goes. */
	old = xchg(&heap->group, group);
	karena_group_put(old);
}

void karena_group_forget(struct karena_heap *heap)
{
	karena_group_put(heap->group);
}

/* Pages of the machine that a level has left; all bits set without a limit. */
static unsigned long room_of(struct page_counter *counter)
{
	unsigned long most = min(READ_ONCE(counter->high), READ_ONCE(counter->max));
	unsigned long used = page_counter_read(counter);

	if (most == PAGE_COUNTER_MAX)
		return ULONG_MAX;
	return most - min(most, used);
}

/* Bytes that are left below all limits; U64_MAX if there is none.  Any context. */
u64 karena_group_room(struct karena_heap *heap)
{
	unsigned long room = ULONG_MAX;
	struct page_counter *counter;
	struct mem_cgroup *group;

	rcu_read_lock();
	/* Pairs with the xchg() in karena_group_note(). */
	group = READ_ONCE(heap->group);
	for (counter = group ? &group->memory : NULL; counter; counter = counter->parent)
		room = min(room, room_of(counter));
	rcu_read_unlock();
	return room == ULONG_MAX ? U64_MAX : (u64)room << PAGE_SHIFT;
}

#else

struct mem_cgroup *karena_group_get(void)
{
	return NULL;
}

void karena_group_put(struct mem_cgroup *group)
{
}

void karena_group_note(struct karena_heap *heap)
{
}

void karena_group_forget(struct karena_heap *heap)
{
}

u64 karena_group_room(struct karena_heap *heap)
{
	return U64_MAX;
}

#endif
