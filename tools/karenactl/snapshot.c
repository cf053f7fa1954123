// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, heap snapshots of V8, which the developer tools of Chromium, Edge and Node.js
 * read (learn.microsoft.com/microsoft-edge/devtools/memory-problems/heap-snapshot-schema).
 *
 * They are JSON with two arrays of numbers.  A node has seven, and its edges are next to
 * each other in the other array, in the order of nodes; an edge has three, the last of
 * which is where its node begins in the array of nodes.
 *
 * Node 0 is the root.  It leads to one for each process and kind of roots, these lead to
 * objects; and by shortcuts to the objects as well, so that the viewer counts distance
 * from there.  An object's number is its place in the heap: two snapshots can be compared.
 */
#include <stdlib.h>
#include <string.h>

#include "export.h"

#define NODE_FIELDS	7
#define LAST_ID		0xfffffff0u	/* of nodes that are no objects, down from here */

enum { NODE_OBJECT = 3, NODE_SYNTHETIC = 9 };
enum { EDGE_ELEMENT = 1, EDGE_SHORTCUT = 5 };

/* The first strings. */
enum { STRING_EMPTY, STRING_ROOTS, STRING_GROUPS };

/* One behind the other. */
static const char * const meta[] = {
	"{\"snapshot\":{\"meta\":{",
	"\"node_fields\":[\"type\",\"name\",\"id\",\"self_size\",\"edge_count\",",
	"\"trace_node_id\",\"detachedness\"],",
	"\"node_types\":[[\"hidden\",\"array\",\"string\",\"object\",\"code\",\"closure\",",
	"\"regexp\",\"number\",\"native\",\"synthetic\",\"concatenated string\",",
	"\"sliced string\",\"symbol\",\"bigint\",\"object shape\"],",
	"\"string\",\"number\",\"number\",\"number\",\"number\",\"number\"],",
	"\"edge_fields\":[\"type\",\"name_or_index\",\"to_node\"],",
	"\"edge_types\":[[\"context\",\"element\",\"property\",\"internal\",\"hidden\",",
	"\"shortcut\",\"weak\"],\"string_or_number\",\"node\"],",
	"\"trace_function_info_fields\":[\"function_id\",\"name\",\"script_name\",",
	"\"script_id\",\"line\",\"column\"],",
	"\"trace_node_fields\":[\"id\",\"function_info_index\",\"count\",\"size\",\"children\"],",
	"\"sample_fields\":[\"timestamp_us\",\"last_assigned_id\"],",
	"\"location_fields\":[\"object_index\",\"script_id\",\"line\",\"column\"]}",
};

/* A reference from a root, and to which node of roots it belongs. */
struct root_edge {
	__u32 pid;
	__u32 kind;
	__u32 place;		/* of the object, as in struct dominators */
};

struct snapshot {
	FILE *to;
	const struct graph *graph;
	const struct dominators *doms;
	struct root_edge *edges;	/* by process and kind */
	size_t nr_edges;
	__u32 nr_roots;			/* nodes of roots */
	__u32 *node;			/* of each object that is no garbage */
};

static int compare_node(const struct root_edge *one, const struct root_edge *other)
{
	if (one->pid != other->pid)
		return one->pid < other->pid ? -1 : 1;
	if (one->kind != other->kind)
		return one->kind < other->kind ? -1 : 1;
	return 0;
}

static int compare_edge(const void *a, const void *b)
{
	const struct root_edge *one = a, *other = b;
	int order = compare_node(one, other);

	if (order)
		return order;
	return one->place == other->place ? 0 : one->place < other->place ? -1 : 1;
}

/* Each object once for each node of roots. */
static void find_root_edges(struct snapshot *s)
{
	const struct graph *graph = s->graph;
	__u32 objects[ROOT_OBJECTS];
	const struct graph_root *root;
	unsigned int i, found;
	size_t nr = 0, n;

	s->edges = must_have(calloc(ROOT_OBJECTS * graph->nr_roots + 1, sizeof(*s->edges)));
	for (root = graph->roots; root < graph->roots + graph->nr_roots; root++) {
		found = graph_root_objects(graph, root, objects);
		for (i = 0; i < found; i++)
			s->edges[nr++] = (struct root_edge) {
				root->pid, root->kind, s->doms->place[objects[i]]
			};
	}
	qsort(s->edges, nr, sizeof(*s->edges), compare_edge);
	for (n = 0; n < nr; n++) {
		if (s->nr_edges && !compare_edge(&s->edges[n], &s->edges[s->nr_edges - 1]))
			continue;
		if (!s->nr_edges || compare_node(&s->edges[n], &s->edges[s->nr_edges - 1]))
			s->nr_roots++;
		s->edges[s->nr_edges++] = s->edges[n];
	}
}

/* Behind the root and the nodes of roots come objects, by address. */
static void find_nodes(struct snapshot *s)
{
	__u32 i, next = 1 + s->nr_roots;

	s->node = must_have(calloc((size_t)s->graph->nr_objects + 1, sizeof(*s->node)));
	for (i = 0; i < s->graph->nr_objects; i++)
		if (s->doms->place[i])
			s->node[i] = next++;
}

/* Where the edges of the next node of roots begin. */
static size_t next_root(const struct snapshot *s, size_t at)
{
	size_t first = at;

	while (at < s->nr_edges && !compare_node(&s->edges[at], &s->edges[first]))
		at++;
	return at;
}

static void put_node(FILE *to, int type, __u32 name, __u32 id, __u64 size, __u64 edges)
{
	/* The viewer has 32 bits for each number. */
	__u32 shown = size > (__u32)-1 ? (__u32)-1 : size;

	fprintf(to, "%s%d,%u,%u,%u,%llu,0,0", type == NODE_SYNTHETIC && id == LAST_ID ? "" : ",\n",
		type, name, id, shown, (unsigned long long)edges);
}

static void put_nodes(struct snapshot *s)
{
	const struct graph *graph = s->graph;
	__u32 name = STRING_GROUPS + graph->nr_groups, id = LAST_ID, i;
	bool by_place = graph->window / 8 < LAST_ID - s->nr_roots - 1;
	size_t at, end;

	put_node(s->to, NODE_SYNTHETIC, STRING_ROOTS, id--, 0, s->nr_roots + s->nr_edges);
	for (at = 0; at < s->nr_edges; at = end) {
		end = next_root(s, at);
		put_node(s->to, NODE_SYNTHETIC, name++, id--, 0, end - at);
	}
	for (i = 0; i < graph->nr_objects; i++) {
		if (!s->node[i])
			continue;
		id = by_place ? (graph->addr[i] - graph->base) / 8 + 1 : s->node[i];
		put_node(s->to, NODE_OBJECT, STRING_GROUPS + graph_span_of(graph, i)->group, id,
			 graph_size(graph, i), graph->first_ref[i + 1] - graph->first_ref[i]);
	}
}

static void put_edge(FILE *to, bool first, int type, __u64 name, __u64 node)
{
	fprintf(to, "%s%d,%llu,%llu", first ? "" : ",\n", type, (unsigned long long)name,
		(unsigned long long)node * NODE_FIELDS);
}

static __u32 node_of_place(const struct snapshot *s, __u32 place)
{
	return s->node[s->doms->object[place]];
}

/* Those to objects have the offset in bytes for their number. */
static void put_edges(struct snapshot *s)
{
	const struct graph *graph = s->graph;
	size_t at, end, first = 0;
	__u32 i, ref;

	for (i = 0; i < s->nr_roots; i++)
		put_edge(s->to, !i, EDGE_ELEMENT, i, 1 + i);
	for (at = 0; at < s->nr_edges; at++)
		put_edge(s->to, false, EDGE_SHORTCUT, STRING_EMPTY,
			 node_of_place(s, s->edges[at].place));
	for (; first < s->nr_edges; first = end) {
		end = next_root(s, first);
		for (at = first; at < end; at++)
			put_edge(s->to, false, EDGE_ELEMENT, at - first,
				 node_of_place(s, s->edges[at].place));
	}
	for (i = 0; i < graph->nr_objects; i++)
		for (ref = graph->first_ref[i]; s->node[i] && ref < graph->first_ref[i + 1]; ref++)
			put_edge(s->to, false, EDGE_ELEMENT, 8ULL * graph->ref_at[ref],
				 s->node[graph->ref_to[ref]]);
}

static void put_string(FILE *to, const char *text)
{
	json_t *string = must_have(json_string(text));

	json_dumpf(string, to, JSON_ENCODE_ANY);
	json_decref(string);
}

static void put_strings(struct snapshot *s)
{
	char text[CELL_LEN];
	size_t i, at;

	put_string(s->to, "");
	fputs(",\n", s->to);
	put_string(s->to, "(roots)");
	for (i = 0; i < s->graph->nr_groups; i++) {
		fputs(",\n", s->to);
		put_string(s->to, s->graph->groups[i]);
	}
	for (at = 0; at < s->nr_edges; at = next_root(s, at)) {
		snprintf(text, sizeof(text), "(%s roots of process %u)",
			 root_kind_text(s->edges[at].kind), s->edges[at].pid);
		fputs(",\n", s->to);
		put_string(s->to, text);
	}
}

static __u64 count_edges(const struct snapshot *s)
{
	const struct graph *graph = s->graph;
	__u64 nr = s->nr_roots + 2 * s->nr_edges;
	__u32 i;

	for (i = 0; i < graph->nr_objects; i++)
		if (s->node[i])
			nr += graph->first_ref[i + 1] - graph->first_ref[i];
	return nr;
}

void write_heapsnapshot(FILE *to, const struct graph *graph, const struct dominators *doms)
{
	struct snapshot s = { .to = to, .graph = graph, .doms = doms };
	size_t i;

	find_root_edges(&s);
	find_nodes(&s);
	for (i = 0; i < COUNT(meta); i++)
		fputs(meta[i], to);
	fprintf(to, ",\"node_count\":%u,\"edge_count\":%llu,\"trace_function_count\":0},\n",
		1 + s.nr_roots + doms->nr, (unsigned long long)count_edges(&s));
	fputs("\"nodes\":[", to);
	put_nodes(&s);
	fputs("],\n\"edges\":[", to);
	put_edges(&s);
	fputs("],\n\"trace_function_infos\":[],\"trace_tree\":[],\"samples\":[],\"locations\":[],\n"
	      "\"strings\":[", to);
	put_strings(&s);
	fputs("]}\n", to);
	free(s.edges);
	free(s.node);
}
