// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, graphs in the language of Graphviz (graphviz.org/doc/info/lang.html): the
 * objects that retain most, and references between them.
 */
#include <stdlib.h>

#include "export.h"

/* In a string there, quotes and backslashes are escaped. */
static void put_text(FILE *to, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', to);
		fputc(*text, to);
	}
}

static void put_object(FILE *to, const struct graph *graph, const struct dominators *doms,
		       __u32 place)
{
	__u32 object = doms->object[place];
	char size[CELL_LEN], retained[CELL_LEN];

	fprintf(to, "\to%u [label=\"", object);
	put_text(to, graph_label(graph, object));
	fprintf(to, "\\n%#llx\\n%s, retains %s\"];\n", (unsigned long long)graph->addr[object],
		size_text(size, graph_size(graph, object), false),
		size_text(retained, doms->retained[place], false));
}

static void put_references(FILE *to, const struct graph *graph, __u32 object, const bool *shown)
{
	char text[CELL_LEN];
	__u32 ref;

	for (ref = graph->first_ref[object]; ref < graph->first_ref[object + 1]; ref++)
		if (shown[graph->ref_to[ref]])
			fprintf(to, "\to%u -> o%u [label=\"%s\"];\n", object, graph->ref_to[ref],
				graph_ref_text(text, graph, object, graph->ref_at[ref]));
}

/* Of a process one node for each kind; what refers there twice does so once. */
static void put_roots(FILE *to, const struct graph *graph, bool *shown)
{
	const struct graph_root *root;
	__u32 objects[ROOT_OBJECTS];
	unsigned int i, found;

	for (root = graph->roots; root < graph->roots + graph->nr_roots; root++) {
		found = graph_root_objects(graph, root, objects);
		for (i = 0; i < found; i++) {
			if (!shown[objects[i]])
				continue;
			fprintf(to, "\t\"%s roots of process %u\" [shape=ellipse];\n",
				root_kind_text(root->kind), root->pid);
			fprintf(to, "\t\"%s roots of process %u\" -> o%u;\n",
				root_kind_text(root->kind), root->pid, objects[i]);
		}
	}
}

__u32 write_dot(FILE *to, const struct graph *graph, const struct dominators *doms, size_t most)
{
	bool *shown = must_have(calloc((size_t)graph->nr_objects + 1, sizeof(*shown)));
	__u32 *places = must_have(calloc(most + 1, sizeof(*places)));
	size_t nr = largest(doms, false, places, most), i;

	for (i = 0; i < nr; i++)
		shown[doms->object[places[i]]] = true;
	fputs("strict digraph karena {\n\tnode [shape=box];\n\tlabel=\"heap ", to);
	fprintf(to, "%u ", graph->id);
	put_text(to, graph->name);
	fprintf(to, ": %zu objects that retain most, %zu others are not shown\";\n", nr,
		doms->nr - nr);
	for (i = 0; i < nr; i++)
		put_object(to, graph, doms, places[i]);
	for (i = 0; i < nr; i++)
		put_references(to, graph, doms->object[places[i]], shown);
	put_roots(to, graph, shown);
	fputs("}\n", to);
	free(places);
	free(shown);
	return doms->nr - nr;
}
