/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bugs that tests plant into the collector, to see that other tests notice them, and
 * points of a cycle at which tests want to act.  For kernels with KUnit, and where
 * the module is built with KARENA_PLANT=1: the module parameter "plant" has the
 * number of the bug.  Elsewhere there is nothing of it.
 */
#ifndef _KARENA_ALLOC_PLANT_H
#define _KARENA_ALLOC_PLANT_H

#include <linux/compiler.h>

struct karena_heap;

enum karena_plant {
	KARENA_PLANT_NONE,
	KARENA_PLANT_NO_OLD_SHADE,	/* barrier without its old half */
	KARENA_PLANT_NO_NEW_SHADE,	/* barrier without its new half */
	KARENA_PLANT_WHITE_ALLOC,	/* what is allocated while marking has no mark */
	KARENA_PLANT_MISSED_ROOT,	/* the last word of each range */
	KARENA_PLANT_EARLY_END,		/* grey objects are left */
	KARENA_PLANT_EARLY_SWEEP,	/* before anything is marked */
	KARENA_PLANT_CACHED_FREED,	/* magazines are not emptied */
	KARENA_PLANT_NO_LOAD_SHADE,	/* what kernel code gets from a program's heap */

	/* Of user heaps. */
	KARENA_PLANT_WRITE_UNSHADED,	/* a page's first write shades nothing */
	KARENA_PLANT_WRITE_UNLOCKED,	/* its page is not locked until the entry is made */
	KARENA_PLANT_PROTECT_UNLOCKED,	/* nor when it counts as not written any more */
	KARENA_PLANT_PINS_IGNORED,	/* pinned pages do not count as written */
	KARENA_PLANT_BORN_UNSCANNED,	/* what is born before the snapshot is black */
	KARENA_PLANT_FREE_UNSHADED,	/* what is freed shades nothing */
	KARENA_PLANT_INFLIGHT_MISSED,	/* objects on their way to a program */
	KARENA_PLANT_RANGES_LOST,	/* a child has none */
	KARENA_PLANT_NOT_STOPPED,	/* threads go on, and count as standing */
	KARENA_PLANT_NOT_INTERRUPTED,	/* CPUs are not, in a stop */
	KARENA_PLANT_MOVED_UNSEEN,	/* a look at threads that run meanwhile is good */
	KARENA_PLANT_WOKEN,		/* a stop ends system calls */
	KARENA_PLANT_NO_GENERAL,	/* registers */
	KARENA_PLANT_NO_VECTOR,
	KARENA_PLANT_NO_RED_ZONE,
	KARENA_PLANT_NO_PAST_END,	/* addresses behind an object */
	KARENA_PLANT_NO_STACK,		/* that a thread is on */
	KARENA_PLANT_NO_OTHER_STACK,	/* that it has left for it */
	KARENA_PLANT_SHARED_WRITTEN,	/* pages that a clone has as well */
	KARENA_PLANT_NOT_FROZEN,	/* programs go on while a clone is made */

	/* Appended, as tests know them by number. */
	KARENA_PLANT_WEAK_UNSHADED,	/* who asks for an object does not keep it */
	KARENA_PLANT_WEAK_KEPT,		/* weak references to what is gone */
	KARENA_PLANT_SHRINK_UNMAPPED,	/* what it gives back stays where it is mapped */
	KARENA_PLANT_DENSE_SCAVENGED,	/* what is free in a dense chunk goes as well */
	KARENA_PLANT_FREE_UNSEEN,	/* what is freed stays in the profile */
	KARENA_PLANT_TAKES_UNCOUNTED,	/* no magazine asks for a sample */
	KARENA_PLANT_NO_LEFT_STACK,	/* stacks that no thread is on */
	KARENA_PLANT_ROOTS_EARLY,	/* of a dump, before its heap is frozen */
	KARENA_PLANT_MAPPED_UNSEEN,	/* what is mapped again after it was unmapped */
};

/* And what a heap has while it is checked: so much, and of enum karena_damage. */
#define KARENA_PLANT_DAMAGE	1000u

enum karena_point {
	KARENA_POINT_PHASE,		/* all sections know that it marks */
	KARENA_POINT_DRAINED,		/* magazines are empty, old sections go on */
	KARENA_POINT_READY,		/* what sections hold from before is shaded */
	KARENA_POINT_ROOTS,		/* roots are marked, nothing has been scanned */
	KARENA_POINT_MARKED,		/* all has been */
	KARENA_POINT_OPEN,		/* sections may mark by weak references only */
	KARENA_POINT_ENDED,		/* no section marks any more */
	KARENA_POINT_SWEEP,		/* nothing has been swept */
};

#if defined(CONFIG_KUNIT) || defined(KARENA_PLANT)
#define KARENA_CAN_PLANT

extern enum karena_plant karena_planted;
extern void (*karena_hook)(struct karena_heap *heap, enum karena_point point);

static inline bool karena_is_planted(enum karena_plant plant)
{
	return unlikely(READ_ONCE(karena_planted) == plant);
}

static inline void karena_at(struct karena_heap *heap, enum karena_point point)
{
	if (karena_hook)
		karena_hook(heap, point);
}
#else
static inline bool karena_is_planted(enum karena_plant plant)
{
	return plant == KARENA_PLANT_NONE;
}

static inline void karena_at(struct karena_heap *heap, enum karena_point point)
{
}
#endif

#endif /* _KARENA_ALLOC_PLANT_H */
