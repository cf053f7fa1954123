// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl type list and cache list: the types that programs have registered, and the
 * magazines that have objects.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "list.h"

static const char type_doc[] =
	"List the types of a heap, with what there is of them." BELOW_OPTIONS
	"SIZE is that of an object, or of an element of an array; REFS are the words of it\n"
	"that hold references.  LIVE and BYTES are without large arrays.\n"
	"\nWith --json: an array, a type an object with the members of\n"
	"struct karena_type_record, and offsets, those of the references.";

static const char cache_doc[] =
	"List the magazines of a heap that have objects." BELOW_OPTIONS
	"They are of a CPU, or in a depot, for all; the kernel's, or a program's, which it\n"
	"takes objects from by itself.\n"
	"\nWith --json: an array, a magazine an object with the members of\n"
	"struct karena_cache_record, the CPU null for a depot, and type_name.";

static const struct column type_columns[] = {
	{ "TYPE", false }, { "NAME", true }, { "SIZE", false }, { "REFS", false },
	{ "LIVE", false }, { "BYTES", false },
};

static const struct column cache_columns[] = {
	{ "CPU", false }, { "OBJECT", false }, { "TYPE", true }, { "POINTERS", true },
	{ "OBJECTS", false }, { "ROOM", false }, { "OF", true },
};

static void add_type(struct table *table, const struct karena_type_record *type, bool raw)
{
	table_count(table, 0, type->id);
	table_text(table, 1, type->name);
	table_size(table, 2, type->element, raw);
	if (type->flags & KARENA_TYPE_CONSERVATIVE)
		table_text(table, 3, "any");
	else
		table_count(table, 3, type->nr_refs);
	table_count(table, 4, type->live_objects);
	table_size(table, 5, type->live_bytes, raw);
	table_row(table);
}

static void print_types(const struct types *types, bool raw)
{
	const void *at = NULL;
	struct table table;

	table_begin(&table, type_columns, COUNT(type_columns));
	while ((at = list_next(&types->list, at)))
		add_type(&table, at, raw);
	table_print(&table, table.nr_rows);
	table_end(&table);
}

static void print_types_json(const struct types *types)
{
	json_t *all = must_have(json_array());
	const void *at = NULL;

	while ((at = list_next(&types->list, at)))
		json_array_append_new(all, type_json(at));
	print_json(all, JSON_INDENT(2));
}

static int list_types(int fd, const struct options *opts)
{
	struct types types;

	if (read_types(fd, opts->id, &types))
		return EXIT_FAILED;
	if (opts->json)
		print_types_json(&types);
	else
		print_types(&types, opts->bytes);
	types_free(&types);
	return EXIT_OK;
}

static void add_cache(struct table *table, const struct karena_cache_record *cache,
		      const char *type, bool raw)
{
	if (cache->cpu == KARENA_CACHE_DEPOT)
		table_text(table, 0, "depot");
	else
		table_count(table, 0, cache->cpu);
	table_size(table, 1, cache->object_size, raw);
	table_text(table, 2, type ? type : "-");
	table_text(table, 3, cache->flags & KARENA_CACHE_NOSCAN ? "no" : "yes");
	table_count(table, 4, cache->objects);
	table_count(table, 5, cache->room);
	table_text(table, 6, cache->flags & KARENA_CACHE_PROGRAM ? "program" : "kernel");
	table_row(table);
}

static void print_caches(const struct list *list, const struct types *types, bool raw)
{
	const struct karena_cache_record *cache = NULL;
	struct table table;

	table_begin(&table, cache_columns, COUNT(cache_columns));
	while ((cache = list_next(list, cache)))
		add_cache(&table, cache, type_name(types, cache->type), raw);
	table_print(&table, table.nr_rows);
	table_end(&table);
}

static void print_caches_json(const struct list *list, const struct types *types)
{
	const struct karena_cache_record *cache = NULL;
	json_t *all = must_have(json_array());

	while ((cache = list_next(list, cache)))
		json_array_append_new(all, cache_json(cache, type_name(types, cache->type)));
	print_json(all, JSON_INDENT(2));
}

/* Heaps of the kernel have no types, but magazines. */
static int list_caches(int fd, const struct options *opts)
{
	struct karena_heap_info heap;
	struct types types = { };
	struct list list;

	if (read_heap(fd, opts->id, &heap) || (!heap.kind && read_types(fd, opts->id, &types)))
		return EXIT_FAILED;
	if (read_list(fd, KARENA_IOC_CACHES, 0, opts->id, &list)) {
		types_free(&types);
		return EXIT_FAILED;
	}
	if (opts->json)
		print_caches_json(&list, &types);
	else
		print_caches(&list, &types, opts->bytes);
	list_free(&list);
	types_free(&types);
	return EXIT_OK;
}

static int run(int argc, char **argv, const char *doc,
	       int (*list)(int fd, const struct options *opts))
{
	struct options opts = { };
	int fd, rc;

	parse_options(&opts, TAKES_ID, "ID", doc, argc, argv);
	fd = device_open();
	if (fd < 0)
		return EXIT_FAILED;
	rc = list(fd, &opts);
	close(fd);
	return rc;
}

int cmd_type_list(int argc, char **argv)
{
	return run(argc, argv, type_doc, list_types);
}

int cmd_cache_list(int argc, char **argv)
{
	return run(argc, argv, cache_doc, list_caches);
}
