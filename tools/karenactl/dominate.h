/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl: which object would go with which.  An object dominates another one if each
 * way from a root to that leads through it; it retains those, and itself.
 */
#ifndef KARENACTL_DOMINATE_H
#define KARENACTL_DOMINATE_H

#include "graph.h"

/* Reachable objects have places 1 to nr; place 0 stands for all roots together. */
struct dominators {
	__u32 nr;
	__u32 *place;		/* of each object, 0 of garbage */
	__u32 *object;		/* of each place; the others are by place as well */
	__u32 *above;		/* the nearest one that dominates it: a lower place */
	__u64 *retained;	/* bytes */
	bool *topmost;		/* none above it is of its group */
};

/* What there is of a group (graph.groups) that is no garbage. */
struct group_sum {
	__u32 group;
	__u64 objects;
	__u64 bytes;
	__u64 retained;		/* by the topmost ones */
};

void dominators_find(struct dominators *doms, const struct graph *graph);
void dominators_free(struct dominators *doms);
/* Of each group, those that retain most first. */
struct group_sum *group_sums(const struct graph *graph, const struct dominators *doms);
/* Up to @most places that retain most, topmost ones only if told so; how many. */
size_t largest(const struct dominators *doms, bool topmost, __u32 *places, size_t most);

#endif /* KARENACTL_DOMINATE_H */
