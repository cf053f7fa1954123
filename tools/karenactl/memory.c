// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl heap explain and heap reclaim: why a heap is as big as it is, and
 * having it give back what it does not need.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl.h"

static const char explain_doc[] =
	"Explain why a heap is as big as it is." BELOW_OPTIONS
	"What it holds for objects, with its parts, which add up; what it takes to\n"
	"know of it; and its size classes.  Of a span, FREE is between objects, TAIL\n"
	"behind the last one.\n"
	"\nWith --json: an object with the members of struct karena_explain, and\n"
	"classes.";

static const char reclaim_doc[] =
	"Have a heap give back all the memory that it does not need." BELOW_OPTIONS
	"It is collected before, if it is one of these, and its caches are emptied.\n"
	"\nWith --json: an object with the members of struct karena_reclaim.";

static const struct column columns[] = {
	{ "OBJECT", false }, { "SPANS", false }, { "MEMORY", false },
	{ "LIVE", false }, { "GARBAGE", false }, { "CACHED", false },
	{ "FREE", false }, { "TAIL", false }, { "IN USE", false },
};

static void print_part(const char *label, __u64 bytes, __u64 whole, bool raw)
{
	char size[CELL_LEN], text[2 * CELL_LEN];

	snprintf(text, sizeof(text), "%12s  %3.0f %%", size_text(size, bytes, raw),
		 whole ? 100.0 * bytes / whole : 0);
	line_text(label, text);
}

static void print_size(const char *label, __u64 bytes, bool raw)
{
	char size[CELL_LEN], text[2 * CELL_LEN];

	snprintf(text, sizeof(text), "%12s", size_text(size, bytes, raw));
	line_text(label, text);
}

/* As others show what there is no limit for. */
static __u64 or_none(__u64 limit)
{
	return limit ? limit : (__u64)-1;
}

static void print_held(const struct karena_explain *e, bool raw)
{
	heading("memory for objects");
	print_part("live", e->live_bytes, e->held_bytes, raw);
	print_part("garbage, not swept", e->garbage_bytes, e->held_bytes, raw);
	print_part("cached for CPUs", e->cached_bytes, e->held_bytes, raw);
	print_part("free between objects", e->slot_bytes, e->held_bytes, raw);
	print_part("tails of spans", e->tail_bytes, e->held_bytes, raw);
	print_part("free, not returned", e->free_bytes, e->held_bytes, raw);
	print_size("held", e->held_bytes, raw);
}

static void print_meta(const struct karena_explain *e, bool raw)
{
	heading("memory for metadata, about");
	print_size("spans and magazines", e->meta_span_bytes, raw);
	print_size("map of addresses", e->meta_map_bytes, raw);
	print_size("regions of programs", e->meta_region_bytes, raw);
	print_size("size classes and types", e->meta_class_bytes, raw);
	print_size("collector", e->meta_gc_bytes, raw);
}

static void print_limits(const struct karena_explain *e, bool raw)
{
	heading("limits");
	print_size("soft limit", or_none(e->soft_limit), raw);
	print_size("goal of the collector", or_none(e->goal_bytes), raw);
	print_size("left in control group", e->group_room, raw);
	print_size("all heaps hold", e->module_bytes, raw);
	print_size("and are to hold", or_none(e->module_soft_limit), raw);
	print_size("returned so far", e->returned_bytes, raw);
}

static void add_class(struct table *table, const struct karena_explain_class *class, bool raw)
{
	char text[CELL_LEN];

	if (class->object_size)
		table_size(table, 0, class->object_size, raw);
	else
		table_text(table, 0, "large");
	table_count(table, 1, class->spans);
	table_size(table, 2, class->span_bytes, raw);
	table_size(table, 3, class->live_bytes, raw);
	table_size(table, 4, class->garbage_bytes, raw);
	table_size(table, 5, class->cached_bytes, raw);
	table_size(table, 6, class->free_bytes, raw);
	table_size(table, 7, class->tail_bytes, raw);
	snprintf(text, sizeof(text), "%.0f %%", 100.0 * class->live_bytes / class->span_bytes);
	table_text(table, 8, text);
	table_row(table);
}

static void print_classes(const struct karena_explain_class *classes, bool raw)
{
	struct table table;
	int i;

	table_begin(&table, columns, COUNT(columns));
	for (i = 0; i < KARENA_NR_CLASSES && classes[i].spans; i++)
		add_class(&table, &classes[i], raw);
	table_print(&table, table.nr_rows);
	table_end(&table);
}

static void print_as_json(const struct karena_explain *e,
			  const struct karena_explain_class *classes)
{
	json_t *all = explain_json(e), *list = must_have(json_array());
	int i;

	for (i = 0; i < KARENA_NR_CLASSES && classes[i].spans; i++)
		json_array_append_new(list, explain_class_json(&classes[i]));
	json_object_set_new(all, "classes", list);
	print_json(all, JSON_INDENT(2));
}

int cmd_heap_explain(int argc, char **argv)
{
	struct karena_explain_class classes[KARENA_NR_CLASSES];
	struct karena_explain explain;
	struct options opts = { };
	int fd, err;

	parse_options(&opts, TAKES_ID, "ID", explain_doc, argc, argv);
	fd = device_open();
	if (fd < 0)
		return EXIT_FAILED;
	err = read_explain(fd, opts.id, &explain, classes);
	close(fd);
	if (err)
		return EXIT_FAILED;
	if (opts.json) {
		print_as_json(&explain, classes);
		return EXIT_OK;
	}
	print_held(&explain, opts.bytes);
	print_meta(&explain, opts.bytes);
	print_limits(&explain, opts.bytes);
	print_classes(classes, opts.bytes);
	return EXIT_OK;
}

int cmd_heap_reclaim(int argc, char **argv)
{
	struct karena_reclaim reclaim;
	struct options opts = { };
	char text[CELL_LEN];
	int fd, err;

	parse_options(&opts, TAKES_ID, "ID", reclaim_doc, argc, argv);
	fd = device_open_to_change();
	if (fd < 0)
		return EXIT_FAILED;
	err = reclaim_heap(fd, opts.id, &reclaim);
	close(fd);
	if (err)
		return EXIT_FAILED;
	if (opts.json) {
		print_json(reclaim_json(&reclaim), JSON_INDENT(2));
		return EXIT_OK;
	}
	line_text("returned", size_text(text, reclaim.returned, opts.bytes));
	line_text("of metadata, about", size_text(text, reclaim.meta, opts.bytes));
	return EXIT_OK;
}
