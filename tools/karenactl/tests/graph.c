// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl's graphs without a kernel: random ones, in memory and in files, against what is
 * found out about them in the simplest way.  Built with sanitizers, and run by "make test".
 */
#include <stdlib.h>
#include <string.h>

#include "diff.h"
#include "random.h"
#include "why.h"

/* --- what is known of them --- */

/* Which objects roots lead to, if @without is not there. */
static void reach(const struct graph *graph, __u32 without, bool reached[MOST])
{
	__u32 objects[ROOT_OBJECTS], i, ref;
	unsigned int n, found;
	bool more = true;
	size_t root;

	memset(reached, 0, MOST * sizeof(*reached));
	for (root = 0; root < graph->nr_roots; root++) {
		found = graph_root_objects(graph, &graph->roots[root], objects);
		for (n = 0; n < found; n++)
			reached[objects[n]] = objects[n] != without;
	}
	while (more) {
		more = false;
		for (i = 0; i < graph->nr_objects; i++)
			for (ref = graph->first_ref[i]; reached[i] && ref < graph->first_ref[i + 1];
			     ref++)
				if (!reached[graph->ref_to[ref]] && graph->ref_to[ref] != without) {
					reached[graph->ref_to[ref]] = true;
					more = true;
				}
	}
}

/* How many steps it is from an object to each, at least; NO_OBJECT: there is no way. */
static void steps_from(const struct graph *graph, __u32 from, __u32 steps[MOST])
{
	bool more = true;
	__u32 i, ref, to;

	memset(steps, 0xff, MOST * sizeof(*steps));
	steps[from] = 0;
	while (more) {
		more = false;
		for (i = 0; i < graph->nr_objects; i++)
			for (ref = graph->first_ref[i];
			     steps[i] != NO_OBJECT && ref < graph->first_ref[i + 1]; ref++) {
				to = graph->ref_to[ref];
				if (steps[to] <= steps[i] + 1)
					continue;
				steps[to] = steps[i] + 1;
				more = true;
			}
	}
}

/* The object around an address, by looking at each. */
static __u32 find_slowly(const struct graph *graph, __u64 addr)
{
	__u32 i;

	for (i = 0; i < graph->nr_objects; i++)
		if (addr - graph->addr[i] < graph_size(graph, i))
			return i;
	return NO_OBJECT;
}

/* --- cases --- */

static void find(void)
{
	struct rng rng;
	unsigned int n;

	rng_init(&rng, 1);
	for (n = tap_count(200, 2000); n && !tap_failed(); n--) {
		struct graph *graph = make_graph(&rng, 6);
		__u32 i, objects[ROOT_OBJECTS], nr;
		struct graph_root root;
		__u64 addr;

		for (i = 0; i < 300; i++) {
			addr = BASE + rng_below(&rng, 20 * KARENA_PAGE_SIZE);
			if (graph->nr_objects && i < 150)
				addr = graph->addr[rng_below(&rng, graph->nr_objects)] +
				       rng_below(&rng, 200) - 20;
			check_eq(graph_find(graph, addr), find_slowly(graph, addr));
			root = (struct graph_root){ .word = addr, .kind = rng_below(&rng, 4) };
			nr = graph_root_objects(graph, &root, objects);
			check_eq(nr && objects[0] == find_slowly(graph, addr),
				 find_slowly(graph, addr) != NO_OBJECT);
			if (root.kind > KARENA_ROOT_STACK ||
			    find_slowly(graph, addr - 1) == NO_OBJECT)
				continue;
			/* Where one ends it is kept, too. */
			check(nr && objects[nr - 1] == find_slowly(graph, addr - 1));
		}
		graph_free(graph);
	}
}

static bool way_is_real(const struct graph *graph, const __u32 *steps, const struct way *way,
			__u32 target)
{
	__u32 at = way->object, left = way->steps, ref;

	for (; left; left--) {
		ref = step_from(graph, steps, at);
		if (ref < graph->first_ref[at] || ref >= graph->first_ref[at + 1])
			return false;
		at = graph->ref_to[ref];
	}
	return at == target;
}

/* Each root that leads there is there with the shortest way, in order. */
static void check_ways(const struct graph *graph, __u32 target)
{
	__u32 *steps = steps_to(graph, target), from[MOST], objects[ROOT_OBJECTS];
	size_t nr, wanted = 0, i, root;
	struct way *ways = ways_find(graph, steps, &nr);
	unsigned int n, found;

	for (root = 0; root < graph->nr_roots; root++) {
		found = graph_root_objects(graph, &graph->roots[root], objects);
		for (n = 0; n < found; n++) {
			steps_from(graph, objects[n], from);
			wanted += from[target] != NO_OBJECT;
		}
	}
	check_eq(nr, wanted);
	for (i = 0; i < nr; i++) {
		steps_from(graph, ways[i].object, from);
		check_eq(ways[i].steps, from[target]);
		check(!i || ways[i - 1].steps <= ways[i].steps);
		check(way_is_real(graph, steps, &ways[i], target));
		found = graph_root_objects(graph, &graph->roots[ways[i].root], objects);
		check((found && objects[0] == ways[i].object) ||
		      (found > 1 && objects[1] == ways[i].object));
	}
	free(ways);
	free(steps);
}

static void why(void)
{
	struct rng rng;
	unsigned int n;
	int i;

	rng_init(&rng, 2);
	for (n = tap_count(300, 3000); n && !tap_failed(); n--) {
		struct graph *graph = make_graph(&rng, 5);

		for (i = 0; graph->nr_objects && i < 4; i++)
			check_ways(graph, rng_below(&rng, graph->nr_objects));
		graph_free(graph);
	}
}

static __u64 bytes_of(const struct graph *graph, const bool reached[MOST])
{
	__u64 sum = 0;
	__u32 i;

	for (i = 0; i < graph->nr_objects; i++)
		sum += reached[i] ? graph_size(graph, i) : 0;
	return sum;
}

/* dominates[x][y]: no root leads to y without x. */
static bool dominates[MOST][MOST];

static void check_above(const struct graph *graph, const struct dominators *doms, __u32 v)
{
	__u32 object = doms->object[v], x, w, nr = 0, wanted = 0;
	bool topmost = true;

	for (x = 0; x < graph->nr_objects; x++)
		wanted += x != object && dominates[x][object];
	for (w = doms->above[v]; w && nr <= wanted; w = doms->above[w]) {
		nr++;
		check(dominates[doms->object[w]][object]);
		if (!strcmp(graph_label(graph, doms->object[w]), graph_label(graph, object)))
			topmost = false;
	}
	check_eq(nr, wanted);
	check_eq(doms->topmost[v], topmost);
}

static void check_dominators(const struct graph *graph, const struct dominators *doms)
{
	bool all[MOST], reached[MOST];
	__u32 x, y, nr = 0;

	reach(graph, NO_OBJECT, all);
	for (x = 0; x < graph->nr_objects; x++) {
		check_eq(!!doms->place[x], all[x]);
		nr += all[x];
		reach(graph, x, reached);
		for (y = 0; y < graph->nr_objects; y++)
			dominates[x][y] = all[y] && !reached[y];
		if (all[x])
			check_eq(doms->retained[doms->place[x]],
				 bytes_of(graph, all) - bytes_of(graph, reached));
	}
	check_eq(doms->nr, nr);
	check_eq(doms->retained[0], bytes_of(graph, all));
	for (x = 1; x <= doms->nr; x++)
		check_above(graph, doms, x);
}

static void check_sums(const struct graph *graph, const struct dominators *doms)
{
	struct group_sum *sums = group_sums(graph, doms), sum;
	size_t i;
	__u32 v;

	for (i = 0; i < graph->nr_groups; i++) {
		sum = (struct group_sum){ .group = sums[i].group };
		for (v = 1; v <= doms->nr; v++) {
			if (strcmp(graph_label(graph, doms->object[v]), graph->groups[sum.group]))
				continue;
			sum.objects++;
			sum.bytes += graph_size(graph, doms->object[v]);
			sum.retained += doms->topmost[v] ? doms->retained[v] : 0;
		}
		check(!memcmp(&sum, &sums[i], sizeof(sum)));
		check(!i || sums[i - 1].retained >= sums[i].retained);
	}
	free(sums);
}

static void check_largest(const struct dominators *doms, bool topmost, size_t most)
{
	__u32 places[MOST], v;
	size_t nr = largest(doms, topmost, places, most), better, all = 0, i;

	for (v = 1; v <= doms->nr; v++)
		all += !topmost || doms->topmost[v];
	check_eq(nr, all < most ? all : most);
	for (i = 0; i < nr; i++) {
		better = 0;
		for (v = 1; v <= doms->nr; v++)
			if (doms->retained[v] > doms->retained[places[i]] &&
			    (!topmost || doms->topmost[v]))
				better++;
		check(better <= i);
		check(!topmost || doms->topmost[places[i]]);
		check(!i || doms->retained[places[i - 1]] >= doms->retained[places[i]]);
	}
}

static void retained(void)
{
	struct rng rng;
	unsigned int n;

	rng_init(&rng, 3);
	for (n = tap_count(400, 4000); n && !tap_failed(); n--) {
		struct graph *graph = make_graph(&rng, 1 + n % 5);
		struct dominators doms;

		if (graph->nr_objects > MOST / 8) {
			graph_free(graph);
			continue;
		}
		dominators_find(&doms, graph);
		check_dominators(graph, &doms);
		check_sums(graph, &doms);
		check_largest(&doms, n % 2, n % 9);
		dominators_free(&doms);
		graph_free(graph);
	}
}

/* A list and the way back: neither recursion nor time that grows with the square. */
static void retained_list(void)
{
	struct graph *graph = graph_new();
	struct dominators doms;
	const char *bad;
	__u32 i, nr;

	graph->base = BASE;
	graph->window = 1ULL << 32;
	graph->collected = true;
	graph->nr_spans = tap_count(300, 3000);
	graph->spans = calloc(graph->nr_spans, sizeof(*graph->spans));
	graph->nr_words = graph->nr_spans * 16;
	graph->live = malloc(graph->nr_words * sizeof(*graph->live));
	memset(graph->live, 0xff, graph->nr_words * sizeof(*graph->live));
	for (i = 0; i < graph->nr_spans; i++)
		graph->spans[i] = (struct graph_span) {
			.start = BASE + i * 16384ULL, .object_size = 16, .slots = 1024,
			.type = NO_TYPE,
		};
	check(!graph_index(graph, &bad));
	nr = graph->nr_objects;
	for (i = 0; i < nr; i++) {
		graph_add_ref(graph, i, 0, i + 1 < nr ? i + 1 : 0);
		graph_add_ref(graph, i, 1, i ? i - 1 : nr - 1);
	}
	graph_end_refs(graph);
	graph->nr_roots = 1;
	graph->roots = calloc(1, sizeof(*graph->roots));
	graph->roots[0] = (struct graph_root){ .word = BASE, .kind = KARENA_ROOT_RANGE };
	dominators_find(&doms, graph);
	check_eq(doms.nr, nr);
	/* A ring: each one can be reached from both sides. */
	check_eq(doms.retained[doms.place[0]], 16ULL * nr);
	for (i = 1; i < nr && !tap_failed(); i++)
		check_eq(doms.retained[doms.place[i]], 16);
	dominators_free(&doms);
	graph_free(graph);
}

static __u64 sum_of(const struct graph *graph, const char *name, bool bytes)
{
	__u64 sum = 0;
	__u32 i;

	for (i = 0; i < graph->nr_objects; i++)
		if (!strcmp(graph_label(graph, i), name))
			sum += bytes ? graph_size(graph, i) : 1;
	return sum;
}

static void diff(void)
{
	struct rng rng;
	unsigned int n;

	rng_init(&rng, 4);
	for (n = tap_count(200, 2000); n && !tap_failed(); n--) {
		struct graph *old = make_graph(&rng, 6), *new = make_graph(&rng, 6);
		__u64 objects[2] = { }, bytes[2] = { };
		struct changes changes = { };
		struct change *row;
		size_t i;

		changes_of_dumps(&changes, old, new);
		for (i = 0; i < changes.nr; i++) {
			row = &changes.rows[i];
			check_eq(row->objects[0], sum_of(old, row->name, false));
			check_eq(row->objects[1], sum_of(new, row->name, false));
			check_eq(row->bytes[0], sum_of(old, row->name, true));
			check_eq(row->bytes[1], sum_of(new, row->name, true));
			check(!i || row[-1].bytes[1] - row[-1].bytes[0] >=
			      row->bytes[1] - row->bytes[0] || row->bytes[0] > row->bytes[1]);
			objects[0] += row->objects[0];
			objects[1] += row->objects[1];
			bytes[0] += row->bytes[0];
			bytes[1] += row->bytes[1];
		}
		check_eq(objects[0], old->nr_objects);
		check_eq(objects[1], new->nr_objects);
		check_eq(bytes[0], old->nr_bytes);
		check_eq(bytes[1], new->nr_bytes);
		changes_free(&changes);
		graph_free(old);
		graph_free(new);
	}
}

/* --- exports --- */

static __u64 at(const json_t *array, size_t i)
{
	return json_integer_value(json_array_get(array, i));
}

/* Nodes by the edges that lead to them, from the first one on. */
static size_t count_reached(const json_t *nodes, const json_t *edges)
{
	size_t nr = json_array_size(nodes) / 7, i, e = 0, end, reached = 0;
	bool *seen = calloc(nr, sizeof(*seen)), more = true;

	seen[0] = true;
	while (more) {
		more = false;
		e = 0;
		for (i = 0; i < nr; i++, e = end) {
			end = e + at(nodes, 7 * i + 4);
			for (; seen[i] && e < end; e++)
				if (!seen[at(edges, 3 * e + 2) / 7]) {
					seen[at(edges, 3 * e + 2) / 7] = true;
					more = true;
				}
		}
	}
	for (i = 0; i < nr; i++)
		reached += seen[i];
	free(seen);
	return reached;
}

static void check_objects(const struct graph *graph, const struct dominators *doms,
			  const json_t *snapshot)
{
	const json_t *nodes = json_object_get(snapshot, "nodes");
	const json_t *edges = json_object_get(snapshot, "edges");
	const json_t *strings = json_object_get(snapshot, "strings");
	size_t n, e = 0, to;
	__u32 object, ref;
	__u64 bytes = 0, objects = 0;

	for (n = 0; n < json_array_size(nodes); n += 7) {
		bytes += at(nodes, n + 3);
		if (at(nodes, n) != 3) {
			e += at(nodes, n + 4);
			continue;
		}
		objects++;
		object = graph_find(graph, BASE + 8 * (at(nodes, n + 2) - 1));
		if (!check(object != NO_OBJECT))
			return;
		check(doms->place[object]);
		check_eq(at(nodes, n + 3), graph_size(graph, object));
		check(!strcmp(json_string_value(json_array_get(strings, at(nodes, n + 1))),
			      graph_label(graph, object)));
		for (ref = graph->first_ref[object]; ref < graph->first_ref[object + 1]; ref++) {
			check_eq(at(edges, 3 * e + 1), 8 * graph->ref_at[ref]);
			to = at(edges, 3 * e++ + 2);
			check_eq(BASE + 8 * (at(nodes, to + 2) - 1),
				 graph->addr[graph->ref_to[ref]]);
		}
	}
	check_eq(objects, doms->nr);
	check_eq(bytes, doms->retained[0]);
	check_eq(3 * e, json_array_size(edges));
}

static void check_snapshot(const struct graph *graph, const struct dominators *doms,
			   const json_t *snapshot)
{
	const json_t *head = json_object_get(snapshot, "snapshot");
	const json_t *meta = json_object_get(head, "meta");
	const json_t *nodes = json_object_get(snapshot, "nodes");
	const json_t *edges = json_object_get(snapshot, "edges");
	const json_t *strings = json_object_get(snapshot, "strings");
	size_t nr = json_integer_value(json_object_get(head, "node_count")), i;

	check_eq(json_array_size(json_object_get(meta, "node_fields")), 7);
	check_eq(json_array_size(json_object_get(meta, "node_types")), 7);
	check_eq(json_array_size(json_object_get(meta, "edge_fields")), 3);
	check_eq(json_array_size(nodes), 7 * nr);
	check_eq(json_array_size(edges),
		 3 * json_integer_value(json_object_get(head, "edge_count")));
	for (i = 0; i < nr; i++)
		check(at(nodes, 7 * i + 1) < json_array_size(strings));
	for (i = 2; i < json_array_size(edges); i += 3)
		check(!(at(edges, i) % 7) && at(edges, i) < 7 * nr);
	if (tap_failed())
		return;
	check_eq(count_reached(nodes, edges), nr);
	check_objects(graph, doms, snapshot);
}

static void snapshot(void)
{
	struct rng rng;
	unsigned int n;

	rng_init(&rng, 5);
	for (n = tap_count(200, 2000); n && !tap_failed(); n--) {
		struct graph *graph = make_graph(&rng, 5);
		struct dominators doms;
		json_t *json;
		char *text;

		dominators_find(&doms, graph);
		text = written(graph, &doms, 0);
		json = json_loads(text, 0, NULL);
		if (check(json))
			check_snapshot(graph, &doms, json);
		json_decref(json);
		free(text);
		dominators_free(&doms);
		graph_free(graph);
	}
}

static size_t count(const char *text, const char *what)
{
	size_t nr = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		nr++;
	return nr;
}

static void dot(void)
{
	struct rng rng;
	unsigned int n;

	rng_init(&rng, 6);
	for (n = tap_count(100, 1000); n && !tap_failed(); n--) {
		struct graph *graph = make_graph(&rng, 5);
		size_t most = 1 + rng_below(&rng, 100), edges = 0;
		__u32 places[100], i, ref;
		bool shown[MOST] = { };
		struct dominators doms;
		char *text;

		dominators_find(&doms, graph);
		text = written(graph, &doms, most);
		most = largest(&doms, false, places, most);
		for (i = 0; i < most; i++)
			shown[doms.object[places[i]]] = true;
		for (i = 0; i < graph->nr_objects; i++)
			for (ref = graph->first_ref[i]; ref < graph->first_ref[i + 1]; ref++)
				edges += shown[i] && shown[graph->ref_to[ref]];
		check_eq(count(text, "\\n0x"), most);
		check_eq(count(text, "\" -> o") + edges, count(text, " -> o"));
		check_eq(count(text, "{") + count(text, "}"), 2);
		free(text);
		dominators_free(&doms);
		graph_free(graph);
	}
}

static const struct tap_case cases[] = {
	{ "find", find },
	{ "why", why },
	{ "retained", retained },
	{ "retained, of a long list", retained_list },
	{ "diff", diff },
	{ "heapsnapshot", snapshot },
	{ "dot", dot },
	{ "file", round_trip },
	{ "damaged file", damaged },
	{ "messages", messages },
};

int main(void)
{
	int rc;

	if (!files_begin())
		return 1;
	rc = tap_main(cases, COUNT(cases));
	files_end();
	return rc;
}
