// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl why: what keeps an object, as the shortest way from a root to it.
 *
 * The graph is searched from the object backward, in order of distance: so it is known of
 * all roots at once how far they are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "why.h"

#define MOST_WAYS	10000
/* Of a longer way the begin and the end are shown. */
#define LONG_WAY	100

static const char doc[] =
	"Show what keeps an object of a heap that is collected: the shortest way that leads\n"
	"from a root to it, an object a line, and by which place in the object before."
	BELOW_OPTIONS
	"HEAP is a heap's number, or the file of a dump.  ADDRESS is that of any byte of the\n"
	"object, in hexadecimal.  BY is an offset in bytes; [3]+16 is that in element 3 of an\n"
	"array.  An object that no root leads to is garbage: that is said on standard error,\n"
	"and the exit status is 1.\n"
	"\n"
	"With --json: an object with address, size and type, and ways: for each a root and\n"
	"the path, an array of objects.";

/* --- the search --- */

__u32 *steps_to(const struct graph *graph, __u32 target)
{
	__u32 *steps = must_have(malloc(graph->nr_objects * sizeof(*steps)));
	__u32 *queue = must_have(malloc(graph->nr_objects * sizeof(*queue)));
	__u32 done = 0, nr = 0, at, ref, from;
	struct referrers referrers;

	referrers_find(&referrers, graph);
	memset(steps, 0xff, graph->nr_objects * sizeof(*steps));
	steps[target] = 0;
	queue[nr++] = target;
	while (done < nr) {
		at = queue[done++];
		for (ref = referrers.first[at]; ref < referrers.first[at + 1]; ref++) {
			from = referrers.from[ref];
			if (steps[from] != NO_OBJECT)
				continue;
			steps[from] = steps[at] + 1;
			queue[nr++] = from;
		}
	}
	referrers_free(&referrers);
	free(queue);
	return steps;
}

__u32 step_from(const struct graph *graph, const __u32 *steps, __u32 from)
{
	__u32 ref = graph->first_ref[from];

	while (steps[graph->ref_to[ref]] != steps[from] - 1)
		ref++;
	return ref;
}

static int by_steps(const void *a, const void *b)
{
	const struct way *one = a, *other = b;

	if (one->steps != other->steps)
		return one->steps < other->steps ? -1 : 1;
	if (one->root != other->root)
		return one->root < other->root ? -1 : 1;
	return 0;
}

struct way *ways_find(const struct graph *graph, const __u32 *steps, size_t *nr)
{
	struct way *ways = must_have(calloc(ROOT_OBJECTS * graph->nr_roots + 1, sizeof(*ways)));
	__u32 objects[ROOT_OBJECTS];
	unsigned int i, found;
	size_t root;

	*nr = 0;
	for (root = 0; root < graph->nr_roots; root++) {
		found = graph_root_objects(graph, &graph->roots[root], objects);
		for (i = 0; i < found; i++)
			if (steps[objects[i]] != NO_OBJECT)
				ways[(*nr)++] = (struct way) {
					.steps = steps[objects[i]], .object = objects[i],
					.root = root,
				};
	}
	qsort(ways, *nr, sizeof(*ways), by_steps);
	return ways;
}

/* --- for people --- */

static const struct column columns[] = {
	{ "BY", true }, { "ADDRESS", true }, { "SIZE", false }, { "TYPE", true },
};

static void add_row(struct table *table, const struct graph *graph, __u32 object,
		    const char *by, bool raw)
{
	char text[CELL_LEN];

	snprintf(text, sizeof(text), "%#llx", (unsigned long long)graph->addr[object]);
	table_text(table, 0, by);
	table_text(table, 1, text);
	table_size(table, 2, graph_size(graph, object), raw);
	table_text(table, 3, graph_label(graph, object));
	table_row(table);
}

static void print_root(const struct graph *graph, const struct way *way)
{
	const struct graph_root *root = &graph->roots[way->root];
	unsigned long long past = root->word - graph->addr[way->object];
	char text[2 * CELL_LEN], line[4 * CELL_LEN];

	graph_root_text(text, root);
	if (past)
		snprintf(line, sizeof(line), "%s (to byte %llu)", text, past);
	else
		snprintf(line, sizeof(line), "%s", text);
	heading(line);
}

static void add_gap(struct table *table, __u32 objects)
{
	char count[CELL_LEN], text[CELL_LEN + 16];

	snprintf(text, sizeof(text), "%s more objects", count_text(count, objects));
	table_text(table, 0, "...");
	table_text(table, 3, text);
	table_row(table);
}

static void print_way(const struct graph *graph, const __u32 *steps, const struct way *way,
		      bool raw)
{
	__u32 object = way->object, done = 0, ref;
	struct table table;
	char by[CELL_LEN];

	print_root(graph, way);
	table_begin(&table, columns, COUNT(columns));
	add_row(&table, graph, object, "root", raw);
	while (steps[object]) {
		ref = step_from(graph, steps, object);
		graph_ref_text(by, graph, object, graph->ref_at[ref]);
		object = graph->ref_to[ref];
		if (++done < LONG_WAY / 2 || steps[object] < LONG_WAY / 2)
			add_row(&table, graph, object, by, raw);
		else if (done == LONG_WAY / 2)
			add_gap(&table, steps[object] - LONG_WAY / 2 + 1);
	}
	table_print(&table, table.nr_rows);
	table_end(&table);
}

/* --- for programs --- */

static json_t *object_json(const struct graph *graph, __u32 object)
{
	return must_have(json_pack("{sI sI ss}", "address", (json_int_t)graph->addr[object],
				   "size", (json_int_t)graph_size(graph, object),
				   "type", graph_label(graph, object)));
}

static json_t *path_json(const struct graph *graph, const __u32 *steps, __u32 object)
{
	json_t *path = must_have(json_array()), *next = object_json(graph, object);
	__u32 ref;

	/* Each tells by which offset in the one before it is reached. */
	json_object_set_new(next, "offset", json_null());
	json_array_append_new(path, next);
	while (steps[object]) {
		ref = step_from(graph, steps, object);
		object = graph->ref_to[ref];
		next = object_json(graph, object);
		json_object_set_new(next, "offset", json_integer(8LL * graph->ref_at[ref]));
		json_array_append_new(path, next);
	}
	return path;
}

static json_t *way_json(const struct graph *graph, const __u32 *steps, const struct way *way)
{
	const struct graph_root *root = &graph->roots[way->root];

	return must_have(json_pack("{s{ss sI sI sI sI} so}", "root",
				   "kind", root_kind_text(root->kind),
				   "pid", (json_int_t)root->pid, "tid", (json_int_t)root->tid,
				   "at", (json_int_t)root->at, "word", (json_int_t)root->word,
				   "path", path_json(graph, steps, way->object)));
}

/* --- the command --- */

struct why_options {
	struct options common;
	const char *heap;
	bool has_address;
	__u64 address;
	size_t most;		/* ways that are shown */
};

static const struct argp_option option_list[] = {
	{ "all", 'a', "COUNT", 0, "Show the shortest ways from up to so many roots", 0 },
	{ }
};

/* As programs print it, with 0x or without. */
static void take_address(struct why_options *opts, const char *arg, struct argp_state *state)
{
	char *end;

	errno = 0;
	opts->address = strtoull(arg, &end, 16);
	if (errno || end == arg || *end || *arg == '-')
		argp_error(state, "'%s' is not an address", arg);
	opts->has_address = true;
}

static int take_word(struct why_options *opts, const char *arg, struct argp_state *state)
{
	if (!opts->heap) {
		opts->heap = arg;
		return 0;
	}
	if (opts->has_address)
		argp_error(state, "'%s' is one argument too many", arg);
	take_address(opts, arg, state);
	return 0;
}

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct why_options *opts = state->input;
	__u64 most;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &opts->common;
		return 0;
	case 'a':
		if (!to_count(arg, MOST_WAYS, &most) || !most)
			argp_error(state, "'%s' is not a number of roots", arg);
		opts->most = most;
		return 0;
	case ARGP_KEY_ARG:
		return take_word(opts, arg, state);
	case ARGP_KEY_END:
		if (!opts->has_address)
			argp_error(state, "which heap, and which address?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int complain(const struct why_options *opts, const char *what)
{
	fprintf(stderr, "karenactl: %#llx: %s\n", (unsigned long long)opts->address, what);
	return EXIT_FAILED;
}

static void show(const struct graph *graph, const struct why_options *opts, __u32 object,
		 const __u32 *steps, const struct way *ways, size_t nr)
{
	json_t *all, *list;
	size_t i;

	if (!opts->common.json) {
		for (i = 0; i < nr && i < opts->most; i++)
			print_way(graph, steps, &ways[i], opts->common.bytes);
		return;
	}
	list = must_have(json_array());
	for (i = 0; i < nr && i < opts->most; i++)
		json_array_append_new(list, way_json(graph, steps, &ways[i]));
	all = object_json(graph, object);
	json_object_set_new(all, "ways", list);
	print_json(all, JSON_INDENT(2));
}

static int explain(const struct graph *graph, const struct why_options *opts)
{
	__u32 object = graph_find(graph, opts->address), *steps;
	struct way *ways;
	size_t nr;

	if (object == NO_OBJECT)
		return complain(opts, "no object is there");
	steps = steps_to(graph, object);
	ways = ways_find(graph, steps, &nr);
	if (nr || opts->common.json)
		show(graph, opts, object, steps, ways, nr);
	free(ways);
	free(steps);
	return nr ? EXIT_OK : complain(opts, "garbage: no root leads to the object there");
}

int cmd_why(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { } };
	const struct argp argp = {
		option_list, take_option, "HEAP ADDRESS", doc, children, NULL, NULL
	};
	struct why_options opts = { .most = 1 };
	struct graph *graph;
	int rc;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opts))
		return EXIT_FAILED;
	graph = graph_open_collected(opts.heap);
	if (!graph)
		return EXIT_FAILED;
	rc = explain(graph, &opts);
	graph_free(graph);
	return rc;
}
