/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A graph of named places that changes and is never freed by hand: what kernel
 * code may do with a collected karena heap.
 */
#ifndef _KARENA_SAMPLE_GRAPH_H
#define _KARENA_SAMPLE_GRAPH_H

#include <linux/types.h>

#define GRAPH_MAX_NAME	63

struct graph;

struct graph *graph_create(const char *name);
void graph_destroy(struct graph *graph);
int graph_add(struct graph *graph, const char *name);
int graph_link(struct graph *graph, const char *from, const char *to);
int graph_unlink(struct graph *graph, const char *from, const char *to);
int graph_forget(struct graph *graph, const char *name);
int graph_hops(struct graph *graph, const char *from, const char *to);
int graph_collect(struct graph *graph, bool wait);
u64 graph_objects(struct graph *graph);

#endif /* _KARENA_SAMPLE_GRAPH_H */
