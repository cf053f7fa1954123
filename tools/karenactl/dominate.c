// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, dominators: T. Lengauer and R. E. Tarjan, "A Fast Algorithm for Finding
 * Dominators in a Flowgraph", ACM TOPLAS 1 (1979), in its simpler form, which takes
 * O(m log n).  The names are theirs.  Nothing is recursive: a list may be millions long.
 *
 * All work is on numbers that a search in depth gives, which are the places of struct
 * dominators.  A vertex is linked into the forest when the vertices from the last one down
 * to it have been looked at; so a comparison tells whether it is.
 */
#include <stdlib.h>
#include <string.h>

#include "dominate.h"

struct search {
	const struct graph *graph;
	struct dominators *doms;
	__u32 *ancestor;	/* at first the parent in the tree of the search */
	__u32 *semi;		/* during the search: the reference to be looked at next */
	__u32 *label;
	__u32 *bucket;		/* lists of vertices, linked by what becomes doms->above */
	__u32 *path;		/* that is compressed */
	size_t room;
};

static __u32 *array(size_t nr)
{
	return must_have(calloc(nr, sizeof(__u32)));
}

/* --- the search in depth --- */

static __u32 visit(struct search *s, __u32 object, __u32 parent)
{
	__u32 place = ++s->doms->nr;

	s->doms->place[object] = place;
	s->doms->object[place] = object;
	s->ancestor[place] = parent;
	s->semi[place] = s->graph->first_ref[object];
	return place;
}

/* The place of an object that was not visited before and that a visited one refers to, or 0. */
static __u32 visit_next(struct search *s, __u32 place)
{
	__u32 end = s->graph->first_ref[s->doms->object[place] + 1], to;

	while (s->semi[place] < end) {
		to = s->graph->ref_to[s->semi[place]++];
		if (!s->doms->place[to])
			return visit(s, to, place);
	}
	return 0;
}

static void visit_all(struct search *s, __u32 object)
{
	__u32 place, next;

	if (s->doms->place[object])
		return;
	for (place = visit(s, object, 0); place;) {
		next = visit_next(s, place);
		place = next ? next : s->ancestor[place];
	}
}

/* --- dominators --- */

/* Each vertex is its own semidominator at first, or the roots are. */
static void begin(struct search *s)
{
	__u32 objects[ROOT_OBJECTS], v;
	unsigned int i, found;
	size_t root;

	for (root = 0; root < s->graph->nr_roots; root++) {
		found = graph_root_objects(s->graph, &s->graph->roots[root], objects);
		for (i = 0; i < found; i++)
			visit_all(s, objects[i]);
	}
	for (v = 0; v <= s->doms->nr; v++) {
		s->semi[v] = v;
		s->label[v] = v;
	}
	for (root = 0; root < s->graph->nr_roots; root++) {
		found = graph_root_objects(s->graph, &s->graph->roots[root], objects);
		for (i = 0; i < found; i++)
			s->semi[s->doms->place[objects[i]]] = 0;
	}
}

static void push(struct search *s, size_t nr, __u32 v)
{
	if (nr == s->room) {
		s->room = 2 * s->room + 1024;
		s->path = must_have(reallocarray(s->path, s->room, sizeof(*s->path)));
	}
	s->path[nr] = v;
}

/* Of @v and those above it in its tree but the root, the one with the lowest semidominator. */
static __u32 eval(struct search *s, __u32 v, __u32 linked)
{
	__u32 at, above;
	size_t nr = 0;

	if (v < linked)
		return v;
	for (at = v; s->ancestor[at] >= linked; at = s->ancestor[at])
		push(s, nr++, at);
	while (nr) {
		at = s->path[--nr];
		above = s->ancestor[at];
		if (s->semi[s->label[above]] < s->semi[s->label[at]])
			s->label[at] = s->label[above];
		s->ancestor[at] = s->ancestor[above];
	}
	return s->label[v];
}

static void find_semi(struct search *s, const struct referrers *referrers, __u32 w)
{
	__u32 object = s->doms->object[w], ref, v, semi;

	for (ref = referrers->first[object]; ref < referrers->first[object + 1]; ref++) {
		v = s->doms->place[referrers->from[ref]];
		/* Garbage keeps nothing. */
		if (!v)
			continue;
		/* One that is not linked yet is its own. */
		semi = v <= w ? v : s->semi[eval(s, v, w + 1)];
		if (semi < s->semi[w])
			s->semi[w] = semi;
	}
}

static void empty_bucket(struct search *s, __u32 parent, __u32 linked)
{
	__u32 v = s->bucket[parent], next, u;

	for (; v; v = next) {
		next = s->doms->above[v];
		u = eval(s, v, linked);
		s->doms->above[v] = s->semi[u] < s->semi[v] ? u : parent;
	}
	s->bucket[parent] = 0;
}

static void find_above(struct search *s)
{
	struct dominators *doms = s->doms;
	struct referrers referrers;
	__u32 w, parent;

	referrers_find(&referrers, s->graph);
	for (w = doms->nr; w; w--) {
		find_semi(s, &referrers, w);
		doms->above[w] = s->bucket[s->semi[w]];
		s->bucket[s->semi[w]] = w;
		/* Compression does not get to it before it is linked. */
		parent = s->ancestor[w];
		empty_bucket(s, parent, w);
	}
	for (w = 1; w <= doms->nr; w++)
		if (doms->above[w] != s->semi[w])
			doms->above[w] = doms->above[doms->above[w]];
	referrers_free(&referrers);
}

/* --- what is made of them --- */

static void find_retained(struct dominators *doms, const struct graph *graph)
{
	__u32 v;

	for (v = 1; v <= doms->nr; v++)
		doms->retained[v] = graph_size(graph, doms->object[v]);
	for (v = doms->nr; v; v--)
		doms->retained[doms->above[v]] += doms->retained[v];
}

/* Walks the tree of dominators, and counts groups on the way from the root to where it is. */
static void find_topmost(struct search *s)
{
	const struct graph *graph = s->graph;
	struct dominators *doms = s->doms;
	__u32 *child = s->bucket, *sibling = s->label, *group = s->semi, v;
	__u32 *counts = array(graph->nr_groups + 1);

	memset(child, 0, ((size_t)doms->nr + 1) * sizeof(*child));
	for (v = doms->nr; v; v--) {
		sibling[v] = child[doms->above[v]];
		child[doms->above[v]] = v;
		group[v] = graph_span_of(graph, doms->object[v])->group;
	}
	for (v = child[0]; v;) {
		doms->topmost[v] = !counts[group[v]]++;
		if (child[v]) {
			v = child[v];
			continue;
		}
		while (v && !sibling[v]) {
			counts[group[v]]--;
			v = doms->above[v];
		}
		if (v) {
			counts[group[v]]--;
			v = sibling[v];
		}
	}
	free(counts);
}

void dominators_find(struct dominators *doms, const struct graph *graph)
{
	size_t nr = (size_t)graph->nr_objects + 1;
	struct search s = {
		.graph = graph, .doms = doms, .ancestor = array(nr), .semi = array(nr),
		.label = array(nr), .bucket = array(nr),
	};

	*doms = (struct dominators) {
		.place = array(nr), .object = array(nr), .above = array(nr),
		.retained = must_have(calloc(nr, sizeof(*doms->retained))),
		.topmost = must_have(calloc(nr, sizeof(*doms->topmost))),
	};
	begin(&s);
	find_above(&s);
	find_retained(doms, graph);
	find_topmost(&s);
	free(s.ancestor);
	free(s.semi);
	free(s.label);
	free(s.bucket);
	free(s.path);
}

void dominators_free(struct dominators *doms)
{
	free(doms->place);
	free(doms->object);
	free(doms->above);
	free(doms->retained);
	free(doms->topmost);
}

static int by_retained(const void *a, const void *b)
{
	const struct group_sum *one = a, *other = b;

	if (one->retained != other->retained)
		return one->retained > other->retained ? -1 : 1;
	return one->group < other->group ? -1 : 1;
}

struct group_sum *group_sums(const struct graph *graph, const struct dominators *doms)
{
	struct group_sum *sums = must_have(calloc(graph->nr_groups + 1, sizeof(*sums)));
	const struct graph_span *span;
	struct group_sum *sum;
	size_t i;
	__u32 v;

	for (i = 0; i < graph->nr_groups; i++)
		sums[i].group = i;
	for (v = 1; v <= doms->nr; v++) {
		span = graph_span_of(graph, doms->object[v]);
		sum = &sums[span->group];
		sum->objects++;
		sum->bytes += span->object_size;
		if (doms->topmost[v])
			sum->retained += doms->retained[v];
	}
	qsort(sums, graph->nr_groups, sizeof(*sums), by_retained);
	return sums;
}

size_t largest(const struct dominators *doms, bool topmost, __u32 *places, size_t most)
{
	size_t nr = 0, i;
	__u32 v;

	for (v = 1; v <= doms->nr; v++) {
		if (!most || (topmost && !doms->topmost[v]))
			continue;
		if (nr == most && doms->retained[v] <= doms->retained[places[nr - 1]])
			continue;
		i = nr < most ? nr++ : nr - 1;
		/* In order, one moves down for it after the other. */
		for (; i && doms->retained[places[i - 1]] < doms->retained[v]; i--)
			places[i] = places[i - 1];
		places[i] = v;
	}
	return nr;
}
