/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A process's part of a collected heap, changed at random by stores of all kinds,
 * and an oracle beside it that knows what has to be there.  The oracle has numbers
 * instead of addresses: nothing in it keeps anything alive.
 *
 * Parts are disjoint, so that nobody else changes what an oracle knows.  What goes
 * to another process goes whole, packed: whoever gets it counts it while he takes
 * it over.
 */
#ifndef _TESTS_USER_GRAPH_H
#define _TESTS_USER_GRAPH_H

#include <stdbool.h>

#include "heap.h"
#include "tap.h"

#define GRAPH_ROOTS	8
#define GRAPH_NODES	400
#define GRAPH_REFS	32	/* of a node, that are used */

/* A node is an array of these; the first one tells what it is. */
struct elem {
	__u64 head[4];
	struct elem *ref[8];
	__u64 load[4];
};

/* What the oracle knows of a node; 0 is none. */
struct known {
	__u64 seed;
	__u64 shape;
	__u64 hidden;		/* its address inverted, while all is verified */
	__u32 ref[GRAPH_REFS];
	bool reached;
	bool used;
};

struct graph {
	int fd;
	__u32 type;
	__u64 tag;		/* in all nodes of this part */
	struct rng rng;
	struct elem **root;	/* a range that is searched */
	__u32 known_root[GRAPH_ROOTS];
	struct known known[GRAPH_NODES];
	__u32 nr_free;
	__u64 steps;
};

/* The type of a heap's nodes, 0 if there is none to be had. */
__u32 graph_type(int fd);
/* An empty one; @tag is that of no other ever.  NULL when it failed. */
struct graph *graph_new(int fd, __u32 type, __u64 tag, const struct rng *rng);
/* One random change. */
void graph_step(struct graph *graph);
/* Whether all that the oracle knows is there, whole. */
bool graph_verify(struct graph *graph);
/* How many objects it has. */
unsigned int graph_count(struct graph *graph);
/* Leaves everything to the collector. */
void graph_drop(struct graph *graph);
/* Stores all of it, or a few new nodes, to be taken by another process. */
bool graph_send(struct graph *graph, bool all, struct elem **to);
/* Takes what another one has sent, if it has; false if it is not whole. */
bool graph_receive(struct graph *graph, struct elem **from);

#endif /* _TESTS_USER_GRAPH_H */
