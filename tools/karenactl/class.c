// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl class list: the size classes of the module, or those that one
 * heap uses with their numbers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl.h"

static const char doc[] =
	"List the size classes, or with ID those that a heap uses." BELOW_OPTIONS
	"A request is served from the smallest class that is large enough;\n"
	"what is larger than all of them gets a span of its own (large).\n"
	"\nWith --json: an array, a class an object.";

/* How the two lists differ. */
struct list {
	void *entries;
	size_t size;		/* bytes of an entry */
	__u32 count;
	const struct column *columns;
	size_t nr_columns;
	void (*add)(struct table *table, __u32 index, const void *entry,
		    bool raw);
	json_t *(*json)(const void *entry);
};

static const struct column class_columns[] = {
	{ "CLASS", false }, { "OBJECT", false }, { "SPAN", false },
	{ "OBJECTS", false }, { "TAIL", false }, { "MAGAZINE", false },
};

static const struct column stat_columns[] = {
	{ "OBJECT", false }, { "POINTERS", true }, { "SPANS", false },
	{ "LIVE", false }, { "CACHED", false }, { "FREE", false },
	{ "ALLOCATED", false },
};

static void add_size(struct table *table, size_t column, __u32 size, bool raw)
{
	if (size)
		table_size(table, column, size, raw);
	else
		table_text(table, column, "large");
}

static void add_class(struct table *table, __u32 index, const void *entry,
		      bool raw)
{
	const struct karena_class_info *class = entry;
	__u64 span = (__u64)class->span_pages * KARENA_PAGE_SIZE;
	__u64 used = (__u64)class->object_size * class->span_objects;
	size_t column;

	table_count(table, 0, index);
	add_size(table, 1, class->object_size, raw);
	if (class->object_size) {
		table_size(table, 2, span, raw);
		table_count(table, 3, class->span_objects);
		table_size(table, 4, span - used, raw);
		table_count(table, 5, class->magazine);
	} else {
		for (column = 2; column < COUNT(class_columns); column++)
			table_text(table, column, "-");
	}
	table_row(table);
}

static void add_stat(struct table *table, __u32 index, const void *entry,
		     bool raw)
{
	const struct karena_class_stat *stat = entry;

	(void)index;
	add_size(table, 0, stat->object_size, raw);
	table_text(table, 1, stat->noscan ? "no" : "yes");
	table_count(table, 2, stat->spans);
	table_count(table, 3, stat->live_objects);
	table_count(table, 4, stat->cached_objects);
	table_count(table, 5, stat->free_objects);
	table_count(table, 6, stat->allocs);
	table_row(table);
}

static json_t *to_class_json(const void *entry)
{
	return class_json(entry);
}

static json_t *to_stat_json(const void *entry)
{
	return class_stat_json(entry);
}

static void *entry_of(const struct list *list, __u32 i)
{
	return (char *)list->entries + i * list->size;
}

static void print_as_table(const struct list *list, bool raw)
{
	struct table table;
	__u32 i;

	table_begin(&table, list->columns, list->nr_columns);
	for (i = 0; i < list->count; i++)
		list->add(&table, i, entry_of(list, i), raw);
	table_print(&table, table.nr_rows);
	table_end(&table);
}

static void print_as_json(const struct list *list)
{
	json_t *all = must_have(json_array());
	__u32 i;

	for (i = 0; i < list->count; i++)
		json_array_append_new(all, list->json(entry_of(list, i)));
	print_json(all, JSON_INDENT(2));
}

static void list_classes(struct list *list, int fd)
{
	list->entries = read_classes(fd, &list->count);
	list->size = sizeof(struct karena_class_info);
	list->columns = class_columns;
	list->nr_columns = COUNT(class_columns);
	list->add = add_class;
	list->json = to_class_json;
}

static void list_stats(struct list *list, int fd, __u32 id)
{
	list->entries = read_class_stats(fd, id, &list->count);
	list->size = sizeof(struct karena_class_stat);
	list->columns = stat_columns;
	list->nr_columns = COUNT(stat_columns);
	list->add = add_stat;
	list->json = to_stat_json;
}

int cmd_class_list(int argc, char **argv)
{
	struct options opts = { };
	struct list list = { };
	int fd;

	parse_options(&opts, MAY_TAKE_ID, "[ID]", doc, argc, argv);
	fd = device_open();
	if (fd < 0)
		return EXIT_FAILED;
	if (opts.has_id)
		list_stats(&list, fd, opts.id);
	else
		list_classes(&list, fd);
	close(fd);
	if (!list.entries)
		return EXIT_FAILED;
	if (opts.json)
		print_as_json(&list);
	else
		print_as_table(&list, opts.bytes);
	free(list.entries);
	return EXIT_OK;
}
