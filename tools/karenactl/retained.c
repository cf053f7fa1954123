// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl retained: how much would go if objects of a type were not there, and the
 * objects that keep most.
 */
#include <stdio.h>
#include <stdlib.h>

#include "dominate.h"

#define DEFAULT_TOP	10
#define MOST_TOP	10000

static const char doc[] =
	"Show what objects of a heap that is collected keep: an object retains itself, and\n"
	"all that no root would lead to without it." BELOW_OPTIONS
	"HEAP is a heap's number, or the file of a dump.  Of each type: its objects, their\n"
	"bytes, and what they retain; an object that one of the same type retains is not\n"
	"counted again.  Below are the objects that retain most, by the same rule: of a list\n"
	"only the first one is there.\n"
	"\n"
	"With --json: an object with types, an array, largest, an array, and garbage.";

static const struct column type_columns[] = {
	{ "RETAINED", false }, { "BYTES", false }, { "OBJECTS", false }, { "TYPE", true },
};

static const struct column object_columns[] = {
	{ "RETAINED", false }, { "SIZE", false }, { "ADDRESS", true }, { "TYPE", true },
};

struct retained_options {
	struct options common;
	const char *heap;
	size_t top;
};

/* What is made of a graph, and shown. */
struct result {
	const struct graph *graph;
	struct dominators doms;
	struct group_sum *sums;
	__u32 *largest;
	size_t nr_largest;
	__u64 garbage_objects;
	__u64 garbage_bytes;
};

static void print_types(const struct result *result, bool raw)
{
	const struct group_sum *sum = result->sums;
	struct table table;
	size_t i;

	table_begin(&table, type_columns, COUNT(type_columns));
	for (i = 0; i < result->graph->nr_groups; i++, sum++) {
		if (!sum->objects)
			continue;
		table_size(&table, 0, sum->retained, raw);
		table_size(&table, 1, sum->bytes, raw);
		table_count(&table, 2, sum->objects);
		table_text(&table, 3, result->graph->groups[sum->group]);
		table_row(&table);
	}
	table_print(&table, table.nr_rows);
	table_end(&table);
}

static void print_largest(const struct result *result, bool raw)
{
	const struct graph *graph = result->graph;
	char text[CELL_LEN];
	struct table table;
	__u32 object;
	size_t i;

	table_begin(&table, object_columns, COUNT(object_columns));
	for (i = 0; i < result->nr_largest; i++) {
		object = result->doms.object[result->largest[i]];
		snprintf(text, sizeof(text), "%#llx", (unsigned long long)graph->addr[object]);
		table_size(&table, 0, result->doms.retained[result->largest[i]], raw);
		table_size(&table, 1, graph_size(graph, object), raw);
		table_text(&table, 2, text);
		table_text(&table, 3, graph_label(graph, object));
		table_row(&table);
	}
	table_print(&table, table.nr_rows);
	table_end(&table);
}

static void show_text(const struct result *result, bool raw)
{
	heading("by type");
	print_types(result, raw);
	if (result->nr_largest) {
		heading("objects that retain most");
		print_largest(result, raw);
	}
	heading("garbage, not counted above");
	line_count("objects", result->garbage_objects);
	line_size("their bytes", result->garbage_bytes, raw);
}

static json_t *types_json(const struct result *result)
{
	const struct group_sum *sum = result->sums;
	json_t *all = must_have(json_array());
	size_t i;

	for (i = 0; i < result->graph->nr_groups; i++, sum++)
		if (sum->objects)
			json_array_append_new(all, json_pack("{ss sI sI sI}", "type",
							     result->graph->groups[sum->group],
							     "objects", (json_int_t)sum->objects,
							     "bytes", (json_int_t)sum->bytes,
							     "retained",
							     (json_int_t)sum->retained));
	return all;
}

static json_t *largest_json(const struct result *result)
{
	const struct graph *graph = result->graph;
	json_t *all = must_have(json_array());
	__u32 place, object;
	size_t i;

	for (i = 0; i < result->nr_largest; i++) {
		place = result->largest[i];
		object = result->doms.object[place];
		json_array_append_new(all, json_pack("{sI sI sI ss}", "address",
						     (json_int_t)graph->addr[object], "size",
						     (json_int_t)graph_size(graph, object),
						     "retained",
						     (json_int_t)result->doms.retained[place],
						     "type", graph_label(graph, object)));
	}
	return all;
}

static void show_json(const struct result *result)
{
	print_json(json_pack("{so so s{sI sI}}", "types", types_json(result),
			     "largest", largest_json(result), "garbage",
			     "objects", (json_int_t)result->garbage_objects,
			     "bytes", (json_int_t)result->garbage_bytes), JSON_INDENT(2));
}

static void show(const struct graph *graph, const struct retained_options *opts)
{
	struct result result = { .graph = graph };

	dominators_find(&result.doms, graph);
	result.sums = group_sums(graph, &result.doms);
	result.largest = must_have(calloc(opts->top + 1, sizeof(*result.largest)));
	result.nr_largest = largest(&result.doms, true, result.largest, opts->top);
	result.garbage_objects = graph->nr_objects - result.doms.nr;
	result.garbage_bytes = graph->nr_bytes - result.doms.retained[0];
	if (opts->common.json)
		show_json(&result);
	else
		show_text(&result, opts->common.bytes);
	free(result.largest);
	free(result.sums);
	dominators_free(&result.doms);
}

/* --- the command --- */

static const struct argp_option option_list[] = {
	{ "top", 't', "COUNT", 0, "Show so many of the objects that retain most (10)", 0 },
	{ }
};

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct retained_options *opts = state->input;
	__u64 top;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &opts->common;
		return 0;
	case 't':
		if (!to_count(arg, MOST_TOP, &top))
			argp_error(state, "'%s' is not a number of objects", arg);
		opts->top = top;
		return 0;
	case ARGP_KEY_ARG:
		if (opts->heap)
			argp_error(state, "'%s' is one argument too many", arg);
		opts->heap = arg;
		return 0;
	case ARGP_KEY_END:
		if (!opts->heap)
			argp_error(state, "which heap, or which file?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_retained(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { } };
	const struct argp argp = { option_list, take_option, "HEAP", doc, children, NULL, NULL };
	struct retained_options opts = { .top = DEFAULT_TOP };
	struct graph *graph;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opts))
		return EXIT_FAILED;
	graph = graph_open_collected(opts.heap);
	if (!graph)
		return EXIT_FAILED;
	show(graph, &opts);
	graph_free(graph);
	return EXIT_OK;
}
