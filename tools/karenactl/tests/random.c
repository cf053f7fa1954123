// SPDX-License-Identifier: GPL-2.0
/*
 * Random graphs, of a few hundred objects at most.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

bool one_in(struct rng *rng, __u64 n)
{
	return !rng_below(rng, n);
}

static void make_types(struct graph *graph, struct rng *rng)
{
	static const char * const names[] = { "node", "tree", "we\"ird\\ <b>", "node" };
	struct graph_type *type;
	__u32 at;
	size_t i;

	graph->nr_types = rng_below(rng, COUNT(names) + 1);
	graph->types = calloc(graph->nr_types + 1, sizeof(*graph->types));
	for (i = 0; i < graph->nr_types; i++) {
		type = &graph->types[i];
		type->id = 1 + 3 * i;
		type->element = 8 * (1 + rng_below(rng, 6));
		strcpy(type->name, names[i]);
		type->refs = calloc(type->element / 8, sizeof(*type->refs));
		for (at = 0; at < type->element; at += 8)
			if (one_in(rng, 2))
				type->refs[type->nr_refs++] = at;
	}
}

static void make_span(struct graph *graph, struct rng *rng, __u64 *at)
{
	static const __u32 sizes[] = { 8, 16, 24, 48, 64, 144 };
	static const __u32 flags[] = { 0, KARENA_SPAN_NOSCAN, KARENA_SPAN_CONSERVATIVE };
	struct graph_span *span = &graph->spans[graph->nr_spans++];
	__u32 slot;

	span->start = *at + KARENA_PAGE_SIZE * rng_below(rng, 3);
	span->object_size = sizes[rng_below(rng, COUNT(sizes))];
	span->slots = 1 + rng_below(rng, one_in(rng, 3) ? 100 : 8);
	span->flags = flags[rng_below(rng, COUNT(flags))];
	span->type = NO_TYPE;
	if (graph->nr_types && one_in(rng, 2))
		span->type = rng_below(rng, graph->nr_types);
	if (one_in(rng, 8)) {
		span->object_size = KARENA_MAX_SMALL + 8 * (1 + rng_below(rng, 10000));
		span->slots = 1;
		span->flags |= KARENA_SPAN_LARGE;
	}
	for (slot = 0; slot < span->slots; slot++)
		if (!one_in(rng, 4))
			graph->live[graph->nr_words + slot / 64] |= 1ULL << slot % 64;
	graph->nr_words += (span->slots + 63) / 64;
	*at = span->start + span->slots * span->object_size;
	*at += -*at % KARENA_PAGE_SIZE;
}

/* Where a reference may lead: to the next ones, or anywhere. */
static __u32 any_object(const struct graph *graph, struct rng *rng, __u32 from)
{
	if (one_in(rng, 2) && from + 1 < graph->nr_objects)
		return from + 1;
	if (one_in(rng, 4) && from)
		return from - 1;
	return rng_below(rng, graph->nr_objects);
}

static void make_refs(struct graph *graph, struct rng *rng)
{
	__u64 rare = 2 + rng_below(rng, 8), words, at;
	__u32 i;

	for (i = 0; i < graph->nr_objects; i++) {
		words = graph_size(graph, i) / 8;
		for (at = 0; at < (words < 18 ? words : 18); at++)
			if (one_in(rng, rare))
				graph_add_ref(graph, i, at, any_object(graph, rng, i));
	}
	graph_end_refs(graph);
}

static void make_roots(struct graph *graph, struct rng *rng)
{
	struct graph_root *root;
	size_t nr = rng_below(rng, 6);
	__u32 object;

	graph->roots = calloc(nr + 1, sizeof(*graph->roots));
	for (; nr; nr--) {
		root = &graph->roots[graph->nr_roots++];
		root->kind = rng_below(rng, KARENA_ROOT_CALL + 1);
		root->pid = 1 + rng_below(rng, 2);
		root->tid = root->pid + rng_below(rng, 2);
		root->at = 8 * rng_below(rng, 1000);
		root->word = BASE + rng_below(rng, WINDOW);
		if (!graph->nr_objects || one_in(rng, 8))
			continue;
		object = rng_below(rng, graph->nr_objects);
		root->word = graph->addr[object];
		if (one_in(rng, 3))
			root->word += rng_below(rng, graph_size(graph, object) + 1);
		else if (one_in(rng, 4))
			root->word += graph_size(graph, object);
	}
}

struct graph *make_graph(struct rng *rng, unsigned int spans)
{
	struct graph *graph = graph_new();
	__u64 at = BASE;
	const char *why;

	graph->id = 1 + rng_below(rng, 100);
	graph->pid = 17;
	graph->uid = 1000;
	graph->collected = true;
	graph->base = BASE;
	graph->window = WINDOW;
	graph->time = 1700000000;
	strcpy(graph->name, "a \"heap\"");
	make_types(graph, rng);
	graph->spans = calloc(spans + 1, sizeof(*graph->spans));
	graph->live = calloc(2 * spans + 1, sizeof(*graph->live));
	for (spans = rng_below(rng, spans + 1); spans; spans--)
		make_span(graph, rng, &at);
	if (graph_index(graph, &why)) {
		tap_diag("%s", why);
		abort();
	}
	make_refs(graph, rng);
	make_roots(graph, rng);
	return graph;
}

char *written(const struct graph *graph, const struct dominators *doms, size_t dot)
{
	char *text = NULL;
	size_t length;
	FILE *to = open_memstream(&text, &length);

	if (dot)
		write_dot(to, graph, doms, dot);
	else
		write_heapsnapshot(to, graph, doms);
	fclose(to);
	return text;
}
