/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For kernels with KUnit only: bugs that tests plant into the collector, to see
 * that other tests notice them, and points of a cycle at which tests want to act.
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
};

enum karena_point {
	KARENA_POINT_PHASE,		/* all sections know that it marks */
	KARENA_POINT_DRAINED,		/* magazines are empty, old sections go on */
	KARENA_POINT_READY,		/* what sections hold from before is shaded */
	KARENA_POINT_ROOTS,		/* roots are marked, nothing has been scanned */
	KARENA_POINT_MARKED,		/* all has been */
	KARENA_POINT_ENDED,		/* no section marks any more */
	KARENA_POINT_SWEEP,		/* nothing has been swept */
};

#ifdef CONFIG_KUNIT
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
