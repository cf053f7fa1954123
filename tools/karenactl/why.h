/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl: the shortest ways through a graph to one object.
 */
#ifndef KARENACTL_WHY_H
#define KARENACTL_WHY_H

#include "graph.h"

/* Of each object, how many references it takes to get to @target; NO_OBJECT: no way. */
__u32 *steps_to(const struct graph *graph, __u32 target);
/* The reference by which @from is one step nearer; there is one, if it is not there. */
__u32 step_from(const struct graph *graph, const __u32 *steps, __u32 from);

/* A root, and an object that it refers to, from where there is a way. */
struct way {
	__u32 steps;
	__u32 object;
	size_t root;
};

/* All of them, the shortest first. */
struct way *ways_find(const struct graph *graph, const __u32 *steps, size_t *nr);

#endif /* KARENACTL_WHY_H */
