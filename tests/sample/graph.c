// SPDX-License-Identifier: GPL-2.0
/*
 * The graph: places that are found by name, and links between them, in any shape,
 * cycles included.  Nothing is ever freed: a place whose name is forgotten lives on
 * as long as a link leads to it from one that is known, and so do its own links;
 * what nobody can reach the collector takes.
 *
 * The mutex keeps changes apart from each other; the collector needs none.
 */
#include <linux/err.h>
#include <linux/jhash.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "kmod/karena.h"
#include "graph.h"

#define GRAPH_BITS	8

struct link {
	struct link *next;
	struct place *to;
};

struct place {
	struct place *next;		/* of the same hash */
	struct link *links;
	struct place *after;		/* in a search */
	u64 search;			/* number of the last that came by */
	u32 hops;
	char name[GRAPH_MAX_NAME + 1];
};

static const u32 link_refs[] = { offsetof(struct link, next), offsetof(struct link, to) };
static const u32 place_refs[] = {
	offsetof(struct place, next), offsetof(struct place, links),
	offsetof(struct place, after),
};

struct graph {
	struct karena_heap *heap;
	struct karena_type *place_type;
	struct karena_type *link_type;
	struct mutex lock;		/* all below */
	u64 search;
	struct place *table[1 << GRAPH_BITS];	/* roots */
};

static struct place **bucket(struct graph *g, const char *name)
{
	return &g->table[jhash(name, strlen(name), 0) >> (32 - GRAPH_BITS)];
}

/* The word that refers to a place, in a section; *word is NULL if it is not known. */
static struct place **find(struct graph *g, const char *name)
{
	struct place **word = bucket(g, name);

	while (*word && strcmp((*word)->name, name))
		word = &(*word)->next;
	return word;
}

static struct karena_type *new_type(struct karena_heap *heap, const char *name, size_t size,
				    const u32 *refs, unsigned int nr)
{
	const struct karena_layout_attr attr = {
		.name = name, .size = size, .refs = refs, .nr_refs = nr,
	};

	return karena_type_register(heap, &attr, NULL);
}

/**
 * graph_create - make an empty graph
 * @name: of its heap
 *
 * Return: the graph or an ERR_PTR().
 */
struct graph *graph_create(const char *name)
{
	const struct karena_heap_attr attr = { .collect = true };
	struct graph *g = kzalloc(sizeof(*g), GFP_KERNEL);
	int err;

	if (!g)
		return ERR_PTR(-ENOMEM);
	mutex_init(&g->lock);
	g->heap = karena_heap_create(name, &attr);
	err = PTR_ERR_OR_ZERO(g->heap);
	if (err)
		goto free_graph;
	g->place_type = new_type(g->heap, "place", sizeof(struct place), place_refs,
				 ARRAY_SIZE(place_refs));
	g->link_type = new_type(g->heap, "link", sizeof(struct link), link_refs,
				ARRAY_SIZE(link_refs));
	err = PTR_ERR_OR_ZERO(g->place_type) ?: PTR_ERR_OR_ZERO(g->link_type);
	if (!err)
		err = karena_root_add(g->heap, g->table, ARRAY_SIZE(g->table));
	if (!err)
		return g;
	karena_heap_put(g->heap);
free_graph:
	kfree(g);
	return ERR_PTR(err);
}

/**
 * graph_destroy - the end of a graph and all in it
 * @graph: the graph
 */
void graph_destroy(struct graph *graph)
{
	karena_heap_put(graph->heap);
	kfree(graph);
}

static int add(struct graph *g, const char *name)
{
	struct place **word = find(g, name), *place;

	if (*word)
		return -EEXIST;
	place = karena_new(g->place_type, 0, GFP_KERNEL);
	if (!place)
		return -ENOMEM;
	strscpy(place->name, name, sizeof(place->name));
	karena_store(g->heap, word, place);
	return 0;
}

static int link(struct graph *g, const char *from, const char *to)
{
	struct place *a = *find(g, from), *b = *find(g, to);
	struct link *link;

	if (!a || !b)
		return -ENOENT;
	link = karena_new(g->link_type, 0, GFP_KERNEL);
	if (!link)
		return -ENOMEM;
	karena_store(g->heap, &link->to, b);
	karena_store(g->heap, &link->next, a->links);
	karena_store(g->heap, &a->links, link);
	return 0;
}

static int unlink(struct graph *g, const char *from, const char *to)
{
	struct place *a = *find(g, from);
	struct link **word;

	if (!a)
		return -ENOENT;
	for (word = &a->links; *word; word = &(*word)->next) {
		if (strcmp((*word)->to->name, to))
			continue;
		karena_store(g->heap, word, (*word)->next);
		return 0;
	}
	return -ENOENT;
}

static int forget(struct graph *g, const char *name)
{
	struct place **word = find(g, name);

	if (!*word)
		return -ENOENT;
	karena_store(g->heap, word, (*word)->next);
	return 0;
}

/* Puts the places next to one behind @last of the search; the new last one. */
static struct place *spread(struct graph *g, struct place *place, struct place *last)
{
	struct link *link;

	for (link = place->links; link; link = link->next) {
		if (link->to->search == g->search)
			continue;
		link->to->search = g->search;
		link->to->hops = place->hops + 1;
		karena_store(g->heap, &last->after, link->to);
		last = link->to;
	}
	return last;
}

/* What a search leaves behind would keep places alive. */
static void end_search(struct graph *g, struct place *place)
{
	struct place *after;

	for (; place; place = after) {
		after = place->after;
		karena_store(g->heap, &place->after, NULL);
	}
}

static int hops(struct graph *g, const char *from, const char *to)
{
	struct place *first = *find(g, from), *place, *last = first;
	int result = -ENOENT;

	if (!first)
		return -ENOENT;
	first->search = ++g->search;
	first->hops = 0;
	for (place = first; place && result < 0; place = place->after) {
		if (!strcmp(place->name, to))
			result = place->hops;
		else
			last = spread(g, place, last);
	}
	end_search(g, first);
	return result;
}

/* Each operation is done under the mutex and in a section. */
static int begin(struct graph *g)
{
	mutex_lock(&g->lock);
	return karena_enter(g->heap);
}

static void end(struct graph *g, int section)
{
	karena_exit(g->heap, section);
	mutex_unlock(&g->lock);
}

/**
 * graph_add - a new place without links
 * @graph: the graph
 * @name: 1 to GRAPH_MAX_NAME characters
 *
 * Return: 0, -EINVAL for the name, -EEXIST, -ENOMEM.
 */
int graph_add(struct graph *graph, const char *name)
{
	int section, result;

	if (!*name || strlen(name) > GRAPH_MAX_NAME)
		return -EINVAL;
	section = begin(graph);
	result = add(graph, name);
	end(graph, section);
	return result;
}

/**
 * graph_link - one more link
 * @graph: the graph
 * @from: where it begins
 * @to: where it leads
 *
 * Return: 0, -ENOENT if one of them is not known, -ENOMEM.
 */
int graph_link(struct graph *graph, const char *from, const char *to)
{
	int section, result;

	section = begin(graph);
	result = link(graph, from, to);
	end(graph, section);
	return result;
}

/**
 * graph_unlink - one link less
 * @graph: the graph
 * @from: where it begins
 * @to: where it leads
 *
 * Return: 0, -ENOENT if there is none.
 */
int graph_unlink(struct graph *graph, const char *from, const char *to)
{
	int section, result;

	section = begin(graph);
	result = unlink(graph, from, to);
	end(graph, section);
	return result;
}

/**
 * graph_forget - a place is not known by its name any more
 * @graph: the graph
 * @name: its name
 *
 * It stays as long as links lead to it.
 *
 * Return: 0, -ENOENT if it is not known.
 */
int graph_forget(struct graph *graph, const char *name)
{
	int section, result;

	section = begin(graph);
	result = forget(graph, name);
	end(graph, section);
	return result;
}

/**
 * graph_hops - how far it is from one place to another
 * @graph: the graph
 * @from: known place
 * @to: place, known or forgotten
 *
 * Return: links on the shortest way, -ENOENT if there is none.
 */
int graph_hops(struct graph *graph, const char *from, const char *to)
{
	int section, result;

	section = begin(graph);
	result = hops(graph, from, to);
	end(graph, section);
	return result;
}

/**
 * graph_collect - free now what cannot be reached
 * @graph: the graph
 * @wait: until it is done
 *
 * Not needed: the collector comes by itself.
 *
 * Return: 0.
 */
int graph_collect(struct graph *graph, bool wait)
{
	return karena_collect(graph->heap, wait);
}

/**
 * graph_objects - places and links that take up memory
 * @graph: the graph
 *
 * Return: how many.
 */
u64 graph_objects(struct graph *graph)
{
	struct karena_heap_stats stats;

	karena_heap_stats(graph->heap, &stats);
	return stats.live_objects;
}
