// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl span list: the spans of a heap, and the free memory between them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "list.h"

static const char doc[] =
	"List the spans of a heap: pages next to each other, with objects of one size."
	BELOW_OPTIONS
	"Sort keys: address (the default), size, object, objects, live, cached, age;\n"
	"all but the address with the largest first.  AGE is in cycles of the collector.\n"
	"\nWith --json: an array, a span an object with the members of\n"
	"struct karena_span_record, the flags as an array of words, and type_name.";

static const struct column columns[] = {
	{ "ADDRESS", false }, { "SIZE", false }, { "OBJECT", false }, { "TYPE", true },
	{ "OBJECTS", false }, { "LIVE", false }, { "CACHED", false }, { "AGE", false },
	{ "FLAGS", true },
};

/* By bit, from the lowest up. */
static const char * const flag_names[] = {
	"free", "large", "noscan", "conservative", "packed", "sampled", "unswept",
};

const char *span_flags_text(char buf[CELL_LEN], __u32 flags)
{
	size_t i, used = 0;

	strcpy(buf, "-");
	for (i = 0; i < COUNT(flag_names); i++)
		if (flags & 1U << i)
			used += snprintf(buf + used, CELL_LEN - used, "%s%s", used ? "," : "",
					 flag_names[i]);
	return buf;
}

static json_t *flags_json(__u32 flags)
{
	json_t *all = must_have(json_array());
	size_t i;

	for (i = 0; i < COUNT(flag_names); i++)
		if (flags & 1U << i)
			json_array_append_new(all, must_have(json_string(flag_names[i])));
	return all;
}

/* --- what is wanted, and in which order --- */

struct span_options {
	struct options common;
	bool has_class;
	__u64 class;
	const char *type;
	int (*order)(const void *a, const void *b);
};

/* Of pointers to spans. */
static const struct karena_span_record *at(const void *element)
{
	return *(const struct karena_span_record *const *)element;
}

static int more_first(__u64 x, __u64 y)
{
	return x < y ? 1 : x > y ? -1 : 0;
}

static int by_size(const void *a, const void *b)
{
	return more_first(at(a)->length, at(b)->length);
}

static int by_object(const void *a, const void *b)
{
	return more_first(at(a)->object_size, at(b)->object_size);
}

static int by_objects(const void *a, const void *b)
{
	return more_first(at(a)->objects, at(b)->objects);
}

static int by_live(const void *a, const void *b)
{
	return more_first(at(a)->live, at(b)->live);
}

static int by_cached(const void *a, const void *b)
{
	return more_first(at(a)->cached, at(b)->cached);
}

static int by_age(const void *a, const void *b)
{
	return more_first(at(a)->cycles, at(b)->cycles);
}

static const struct {
	const char *name;
	int (*order)(const void *a, const void *b);
} sort_keys[] = {
	{ "address", NULL }, { "size", by_size }, { "object", by_object },
	{ "objects", by_objects }, { "live", by_live }, { "cached", by_cached },
	{ "age", by_age },
};

static void take_sort_key(struct span_options *opts, const char *arg, struct argp_state *state)
{
	size_t i;

	for (i = 0; i < COUNT(sort_keys) && strcmp(arg, sort_keys[i].name); i++)
		;
	if (i == COUNT(sort_keys))
		argp_error(state, "'%s' is nothing to sort by (see --help)", arg);
	else
		opts->order = sort_keys[i].order;
}

static const struct argp_option option_list[] = {
	{ "class", 'c', "SIZE", 0, "Only spans with objects of so many bytes", 0 },
	{ "type", 't', "NAME", 0, "Only spans with objects of this type", 0 },
	{ "sort", 's', "KEY", 0, "What comes first", 0 },
	{ }
};

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct span_options *opts = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &opts->common;
		return 0;
	case 'c':
		opts->has_class = true;
		if (!to_size(arg, &opts->class) || !opts->class)
			argp_error(state, "'%s' is not a number of bytes", arg);
		return 0;
	case 't':
		opts->type = arg;
		return 0;
	case 's':
		take_sort_key(opts, arg, state);
		return 0;
	case ARGP_KEY_ARG:
		return take_id(&opts->common, arg, state);
	case ARGP_KEY_END:
		return want_id(&opts->common, state);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static bool is_wanted(const struct span_options *opts, const struct types *types,
		      const struct karena_span_record *span)
{
	const char *name = type_name(types, span->type);

	if (opts->has_class && span->object_size != opts->class)
		return false;
	return !opts->type || (name && !strcmp(name, opts->type));
}

/* Those that are wanted, in order; to be freed. */
static const struct karena_span_record **choose(const struct span_options *opts,
						const struct types *types,
						const struct list *list, size_t *nr)
{
	const struct karena_span_record **spans = NULL, *span = NULL;
	size_t room = 0;

	*nr = 0;
	while ((span = list_next(list, span))) {
		if (!is_wanted(opts, types, span))
			continue;
		if (*nr == room) {
			room = 2 * room + 64;
			spans = must_have(reallocarray(spans, room, sizeof(*spans)));
		}
		spans[(*nr)++] = span;
	}
	if (opts->order && *nr)
		qsort(spans, *nr, sizeof(*spans), opts->order);
	return spans;
}

/* --- to show them --- */

static void add_span(struct table *table, const struct karena_span_record *span,
		     const char *type, bool raw)
{
	char text[CELL_LEN];

	snprintf(text, sizeof(text), "%#llx", (unsigned long long)span->start);
	table_text(table, 0, text);
	table_size(table, 1, span->length, raw);
	if (span->flags & KARENA_SPAN_FREE) {
		table_text(table, 2, "-");
		table_text(table, 3, "-");
	} else {
		table_size(table, 2, span->object_size, raw);
		table_text(table, 3, type ? type : "-");
		table_count(table, 4, span->objects);
		table_count(table, 5, span->live);
		table_count(table, 6, span->cached);
		table_count(table, 7, span->cycles);
	}
	table_text(table, 8, span_flags_text(text, span->flags));
	table_row(table);
}

static void print_table(const struct karena_span_record **spans, size_t nr,
			const struct types *types, bool raw)
{
	struct table table;
	size_t i;

	table_begin(&table, columns, COUNT(columns));
	for (i = 0; i < nr; i++)
		add_span(&table, spans[i], type_name(types, spans[i]->type), raw);
	table_print(&table, table.nr_rows);
	table_end(&table);
}

static void print_as_json(const struct karena_span_record **spans, size_t nr,
			  const struct types *types)
{
	json_t *all = must_have(json_array()), *one;
	size_t i;

	for (i = 0; i < nr; i++) {
		one = span_json(spans[i], type_name(types, spans[i]->type));
		json_object_set_new(one, "flags", flags_json(spans[i]->flags));
		json_array_append_new(all, one);
	}
	print_json(all, JSON_INDENT(2));
}

static int list_spans(int fd, const struct span_options *opts)
{
	const struct karena_span_record **spans;
	struct types types;
	struct list list;
	size_t nr;

	if (read_types(fd, opts->common.id, &types))
		return EXIT_FAILED;
	if (read_list(fd, KARENA_IOC_SPANS, 0, opts->common.id, &list)) {
		types_free(&types);
		return EXIT_FAILED;
	}
	spans = choose(opts, &types, &list, &nr);
	if (opts->common.json)
		print_as_json(spans, nr, &types);
	else
		print_table(spans, nr, &types, opts->common.bytes);
	free(spans);
	list_free(&list);
	types_free(&types);
	return EXIT_OK;
}

int cmd_span_list(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { } };
	const struct argp argp = { option_list, take_option, "ID", doc, children, NULL, NULL };
	struct span_options opts = { };
	int fd, rc;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opts))
		return EXIT_FAILED;
	fd = device_open();
	if (fd < 0)
		return EXIT_FAILED;
	rc = list_spans(fd, &opts);
	close(fd);
	return rc;
}
