// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl heap list and heap show: all heaps that the caller may see, and
 * one of them with the numbers of each tier.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl.h"

static const char list_doc[] =
	"List the heaps that you may see: your own, or all as root." BELOW_OPTIONS
	"With --json: an array, a heap an object.";

static const char show_doc[] =
	"Show one heap: what it holds, tier by tier." BELOW_OPTIONS
	"Objects come from magazines (a set for each CPU), these are filled from\n"
	"spans (pages that hold objects of one size), and spans are made of pages.\n"
	"\nWith --json: an object with the members of struct karena_heap_info.";

const char * const reject_names[KARENA_NR_REJECT] = {
	[KARENA_REJECT_NONE] = "none",
	[KARENA_REJECT_NOT_OBJECT] = "not_object",
	[KARENA_REJECT_INTERIOR] = "interior",
	[KARENA_REJECT_DOUBLE] = "double",
	[KARENA_REJECT_OTHER_HEAP] = "other_heap",
};

static const struct column list_columns[] = {
	{ "ID", false }, { "NAME", true }, { "KIND", true }, { "USER", true },
	{ "PID", false }, { "HELD", false }, { "LIVE", false },
	{ "OBJECTS", false }, { "SPANS", false }, { "LIMIT", false },
};

/* The first eight columns, up to OBJECTS. */
void add_heap_cells(struct table *table, const struct karena_heap_info *heap,
		    bool raw)
{
	char text[CELL_LEN];

	table_count(table, 0, heap->id);
	table_text(table, 1, heap->name);
	table_text(table, 2, kind_text(heap->kind));
	table_text(table, 3, user_text(text, heap->uid));
	table_text(table, 4, pid_text(text, heap->pid));
	table_size(table, 5, heap->held_bytes, raw);
	table_size(table, 6, heap->live_bytes, raw);
	table_count(table, 7, heap->live_objects);
}

static void add_heap(struct table *table, const struct karena_heap_info *heap,
		     bool raw)
{
	add_heap_cells(table, heap, raw);
	table_count(table, 8, heap->nr_spans);
	table_size(table, 9, heap->limit, raw);
	table_row(table);
}

static int list_as_table(int fd, bool raw)
{
	struct karena_heap_info heap = { };
	struct table table;
	int more;

	table_begin(&table, list_columns, COUNT(list_columns));
	while ((more = next_heap(fd, heap.id, &heap)) > 0)
		add_heap(&table, &heap, raw);
	if (!more)
		table_print(&table, table.nr_rows);
	table_end(&table);
	return more ? EXIT_FAILED : EXIT_OK;
}

static int list_as_json(int fd)
{
	json_t *all = must_have(json_array());
	struct karena_heap_info heap = { };
	int more;

	while ((more = next_heap(fd, heap.id, &heap)) > 0)
		json_array_append_new(all, heap_json(&heap));
	if (!more)
		print_json(all, JSON_INDENT(2));
	else
		json_decref(all);
	return more ? EXIT_FAILED : EXIT_OK;
}

int cmd_heap_list(int argc, char **argv)
{
	struct options opts = { };
	int fd, rc;

	parse_options(&opts, TAKES_NOTHING, NULL, list_doc, argc, argv);
	fd = device_open();
	if (fd < 0)
		return EXIT_FAILED;
	rc = opts.json ? list_as_json(fd) : list_as_table(fd, opts.bytes);
	close(fd);
	return rc;
}

static void print_owner(const struct karena_heap_info *heap, bool raw)
{
	char user[CELL_LEN], pid[CELL_LEN], text[3 * CELL_LEN];

	snprintf(text, sizeof(text), "heap %u  %s", heap->id, heap->name);
	heading(text);
	line_text("kind", kind_text(heap->kind));
	snprintf(text, sizeof(text), "user %s, process %s",
		 user_text(user, heap->uid), pid_text(pid, heap->pid));
	line_text("made by", text);
	if (heap->window) {
		snprintf(text, sizeof(text), "%#llx to %#llx",
			 (unsigned long long)heap->base,
			 (unsigned long long)(heap->base + heap->window));
		line_text("addresses", text);
		line_size("window", heap->window, raw);
	}
	line_size("limit", heap->limit, raw);
}

static void print_objects(const struct karena_heap_info *heap, bool raw)
{
	heading("objects");
	line_count("live", heap->live_objects);
	line_size("live, in bytes", heap->live_bytes, raw);
	line_count("allocated ever", heap->allocs);
	line_count("freed ever", heap->frees);
	line_count("failed for memory", heap->failed);
}

/* What is neither live nor in a magazine is free in its span, or its tail. */
static __u64 rest_of_spans(const struct karena_heap_info *heap)
{
	__u64 used = heap->live_bytes + heap->cached_bytes;

	return heap->span_bytes > used ? heap->span_bytes - used : 0;
}

static void print_tiers(const struct karena_heap_info *heap, bool raw)
{
	heading("tier 1: magazines of the CPUs");
	line_size("free objects in them", heap->cached_bytes, raw);
	line_count("filled from spans", heap->refills);
	line_count("emptied to spans", heap->flushes);
	heading("tier 2: spans");
	line_count("in use", heap->nr_spans);
	line_size("their memory", heap->span_bytes, raw);
	line_size("free in them", rest_of_spans(heap), raw);
	heading("tier 3: pages");
	line_size("held", heap->held_bytes, raw);
	line_size("free, kept for reuse", heap->free_bytes, raw);
	line_size("metadata, about", heap->meta_bytes, raw);
}

static void print_rejects(const struct karena_heap_info *heap)
{
	heading("wrong frees, ignored");
	line_count("not an object", heap->rejects[KARENA_REJECT_NOT_OBJECT]);
	line_count("inside of an object", heap->rejects[KARENA_REJECT_INTERIOR]);
	line_count("free already", heap->rejects[KARENA_REJECT_DOUBLE]);
	line_count("of another heap", heap->rejects[KARENA_REJECT_OTHER_HEAP]);
}

int cmd_heap_show(int argc, char **argv)
{
	struct karena_heap_info heap;
	struct options opts = { };
	int fd, err;

	parse_options(&opts, TAKES_ID, "ID", show_doc, argc, argv);
	fd = device_open();
	if (fd < 0)
		return EXIT_FAILED;
	err = read_heap(fd, opts.id, &heap);
	close(fd);
	if (err)
		return EXIT_FAILED;
	if (opts.json) {
		print_json(heap_json(&heap), JSON_INDENT(2));
		return EXIT_OK;
	}
	print_owner(&heap, opts.bytes);
	print_objects(&heap, opts.bytes);
	print_tiers(&heap, opts.bytes);
	print_rejects(&heap);
	return EXIT_OK;
}
