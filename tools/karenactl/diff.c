// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl diff: what two dumps have more and less of, by type.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff.h"

static const char doc[] =
	"Compare two dumps: objects and bytes of each type, those that grew most first."
	BELOW_OPTIONS
	"Types are the same if their names are.  OLD and NEW may be numbers of heaps as well;\n"
	"what is garbage already counts as the rest does (see karenactl gc run).\n"
	"\n"
	"With --json: an array of all types, with objects and bytes before and after.";

static const struct column columns[] = {
	{ "BYTES", false }, { "BEFORE", false }, { "AFTER", false }, { "OBJECTS", false },
	{ "BEFORE", false }, { "AFTER", false }, { "", true },
};

/* A hash would be faster, and there are no more rows than types and size classes. */
static struct change *find_row(struct changes *changes, const char *name)
{
	struct change *row;

	for (row = changes->rows; row < changes->rows + changes->nr; row++)
		if (!strcmp(row->name, name))
			return row;
	changes->rows = must_have(reallocarray(changes->rows, changes->nr + 1, sizeof(*row)));
	row = &changes->rows[changes->nr++];
	memset(row, 0, sizeof(*row));
	snprintf(row->name, sizeof(row->name), "%s", name);
	return row;
}

void changes_add(struct changes *changes, const char *name, int side, __u64 objects, __u64 bytes)
{
	struct change *row = find_row(changes, name);

	row->objects[side] += objects;
	row->bytes[side] += bytes;
}

static __s64 growth(const __u64 sides[2])
{
	return sides[1] - sides[0];
}

static int by_growth(const void *a, const void *b)
{
	const struct change *one = a, *other = b;
	__s64 more = growth(one->bytes) - growth(other->bytes);

	if (!more)
		more = growth(one->objects) - growth(other->objects);
	if (!more)
		return strcmp(one->name, other->name);
	return more > 0 ? -1 : 1;
}

void changes_sort(struct changes *changes)
{
	if (changes->nr)
		qsort(changes->rows, changes->nr, sizeof(*changes->rows), by_growth);
}

void changes_only_growth(struct changes *changes)
{
	while (changes->nr && growth(changes->rows[changes->nr - 1].bytes) <= 0)
		changes->nr--;
}

void changes_free(struct changes *changes)
{
	free(changes->rows);
	*changes = (struct changes){ };
}

static void add_dump(struct changes *changes, const struct graph *graph, int side)
{
	__u64 *objects = must_have(calloc(graph->nr_groups + 1, sizeof(*objects)));
	__u64 *bytes = must_have(calloc(graph->nr_groups + 1, sizeof(*bytes)));
	const struct graph_span *span;
	__u32 nr;
	size_t i;

	for (i = 0; i < graph->nr_spans; i++) {
		span = &graph->spans[i];
		nr = (i + 1 < graph->nr_spans ? span[1].first : graph->nr_objects) - span->first;
		objects[span->group] += nr;
		bytes[span->group] += nr * span->object_size;
	}
	for (i = 0; i < graph->nr_groups; i++)
		if (objects[i])
			changes_add(changes, graph->groups[i], side, objects[i], bytes[i]);
	free(objects);
	free(bytes);
}

void changes_of_dumps(struct changes *changes, const struct graph *old, const struct graph *new)
{
	add_dump(changes, old, 0);
	add_dump(changes, new, 1);
	changes_sort(changes);
}

/* "+1,234" */
static void put_growth(struct table *table, size_t column, const __u64 sides[2], bool count,
		       bool raw)
{
	__s64 more = growth(sides);
	__u64 size = more < 0 ? -(__u64)more : (__u64)more;
	char text[CELL_LEN], cell[CELL_LEN + 1];

	snprintf(cell, sizeof(cell), "%s%s", more < 0 ? "-" : "+",
		 count ? count_text(text, size) : size_text(text, size, raw));
	table_text(table, column, more ? cell : "0");
}

static void add_change(struct table *table, const struct change *row, bool raw)
{
	put_growth(table, 0, row->bytes, false, raw);
	table_size(table, 1, row->bytes[0], raw);
	table_size(table, 2, row->bytes[1], raw);
	put_growth(table, 3, row->objects, true, raw);
	table_count(table, 4, row->objects[0]);
	table_count(table, 5, row->objects[1]);
	table_text(table, 6, row->name);
	table_row(table);
}

void changes_print(const struct changes *changes, const char *title, bool raw)
{
	struct change all = { .name = "(all)" };
	struct column titles[COUNT(columns)];
	const struct change *row;
	struct table table;
	int side;

	memcpy(titles, columns, sizeof(titles));
	titles[COUNT(titles) - 1].title = title;
	table_begin(&table, titles, COUNT(titles));
	for (row = changes->rows; row < changes->rows + changes->nr; row++) {
		if (growth(row->bytes) || growth(row->objects))
			add_change(&table, row, raw);
		for (side = 0; side < 2; side++) {
			all.objects[side] += row->objects[side];
			all.bytes[side] += row->bytes[side];
		}
	}
	add_change(&table, &all, raw);
	table_print(&table, table.nr_rows);
	table_end(&table);
}

json_t *changes_json(const struct changes *changes)
{
	json_t *all = must_have(json_array());
	const struct change *row;

	for (row = changes->rows; row < changes->rows + changes->nr; row++)
		json_array_append_new(all, json_pack("{ss sI sI sI sI}", "name", row->name,
						     "objects_before", (json_int_t)row->objects[0],
						     "objects_after", (json_int_t)row->objects[1],
						     "bytes_before", (json_int_t)row->bytes[0],
						     "bytes_after", (json_int_t)row->bytes[1]));
	return all;
}

/* --- the command --- */

struct diff_options {
	struct options common;
	const char *heaps[2];
};

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct diff_options *opts = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &opts->common;
		return 0;
	case ARGP_KEY_ARG:
		if (opts->heaps[1])
			argp_error(state, "'%s' is one argument too many", arg);
		opts->heaps[opts->heaps[0] ? 1 : 0] = arg;
		return 0;
	case ARGP_KEY_END:
		if (!opts->heaps[1])
			argp_error(state, "which two dumps?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void show(const struct graph *old, const struct graph *new, const struct diff_options *opts)
{
	struct changes changes = { };

	changes_of_dumps(&changes, old, new);
	if (opts->common.json)
		print_json(changes_json(&changes), JSON_INDENT(2));
	else
		changes_print(&changes, "TYPE", opts->common.bytes);
	changes_free(&changes);
}

int cmd_diff(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { } };
	const struct argp argp = { NULL, take_option, "OLD NEW", doc, children, NULL, NULL };
	struct diff_options opts = { };
	struct graph *old, *new;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opts))
		return EXIT_FAILED;
	old = graph_open(opts.heaps[0]);
	new = old ? graph_open(opts.heaps[1]) : NULL;
	if (new)
		show(old, new, &opts);
	graph_free(old);
	graph_free(new);
	return new ? EXIT_OK : EXIT_FAILED;
}
