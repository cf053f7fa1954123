// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, dumps in files: a graph (graph.h) compressed by gzip.
 *
 * First a line of JSON: format "karena-dump" and version 1, what is known of the heap, its
 * types, and how long the tables are.  These follow, little-endian, without gaps:
 *
 *   spans		each struct file_span, by address
 *   words		of 64 bits: for each span which of its slots have objects, the first
 *			in the lowest bit, from a new word on
 *   objects		of 32 bits: how many references each has; objects are in the order
 *			of spans and slots, and have numbers from 0 up by that
 *   references		of 32 bits: where it is in its object, in words of 8 bytes
 *   references		of 32 bits: to which object it leads, as the difference of its
 *			number to that of the object where it is, modulo 2^32
 *   roots		each struct graph_root
 *
 * What a file says is checked before it is used: whatever is in it, it is a graph
 * or not read.  Tables grow as they are read, whatever length the header claims.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "gzip.h"

#define FORMAT		"karena-dump"
#define VERSION		1
#define MAX_HEADER	(64U << 20)
#define SOME		(1U << 16)	/* members of a table, read or written at a time */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tables are written as they are");

struct file_span {
	__u64 start;
	__u64 object_size;
	__u32 slots;
	__u32 flags;		/* KARENA_SPAN_* */
	__u32 type;		/* its id, 0 if none is known */
	__u32 reserved;
};

_Static_assert(sizeof(struct file_span) == 32, "no gaps");
_Static_assert(sizeof(struct graph_root) == 32, "no gaps");

/* --- to write --- */

struct out {
	gzFile file;
	const char *path;
	bool failed;
	__u32 word[SOME];
	size_t nr;
};

static void put(struct out *out, const void *data, size_t length)
{
	if (!out->failed && gzip_write(out->file, out->path, data, length))
		out->failed = true;
}

static void flush(struct out *out)
{
	put(out, out->word, out->nr * sizeof(*out->word));
	out->nr = 0;
}

static void put_word(struct out *out, __u32 word)
{
	if (out->nr == SOME)
		flush(out);
	out->word[out->nr++] = word;
}

static json_t *type_json(const struct graph_type *type)
{
	json_t *refs = must_have(json_array());
	__u32 i;

	for (i = 0; i < type->nr_refs; i++)
		json_array_append_new(refs, must_have(json_integer(type->refs[i])));
	return must_have(json_pack("{sI ss sI sI so}", "id", (json_int_t)type->id,
				   "name", type->name, "flags", (json_int_t)type->flags,
				   "element", (json_int_t)type->element, "refs", refs));
}

static void put_header(struct out *out, const struct graph *graph)
{
	json_t *types = must_have(json_array()), *all;
	char *text;
	size_t i;

	for (i = 0; i < graph->nr_types; i++)
		json_array_append_new(types, type_json(&graph->types[i]));
	all = json_pack("{ss sI sI ss sI sI sI sI sI sb so sI sI sI sI sI}",
			"format", FORMAT, "version", (json_int_t)VERSION,
			"id", (json_int_t)graph->id, "name", graph->name,
			"pid", (json_int_t)graph->pid, "uid", (json_int_t)graph->uid,
			"base", (json_int_t)graph->base, "window", (json_int_t)graph->window,
			"time", (json_int_t)graph->time, "collected", graph->collected,
			"types", types, "spans", (json_int_t)graph->nr_spans,
			"words", (json_int_t)graph->nr_words,
			"objects", (json_int_t)graph->nr_objects,
			"references", (json_int_t)graph->nr_refs,
			"roots", (json_int_t)graph->nr_roots);
	text = must_have(json_dumps(must_have(all), JSON_COMPACT));
	put(out, text, strlen(text));
	put(out, "\n", 1);
	free(text);
	json_decref(all);
}

static void put_spans(struct out *out, const struct graph *graph)
{
	const struct graph_span *span;
	struct file_span to;

	for (span = graph->spans; span < graph->spans + graph->nr_spans; span++) {
		to = (struct file_span) {
			.start = span->start,
			.object_size = span->object_size,
			.slots = span->slots,
			.flags = span->flags,
			.type = span->type == NO_TYPE ? 0 : graph->types[span->type].id,
		};
		put(out, &to, sizeof(to));
	}
	put(out, graph->live, graph->nr_words * sizeof(*graph->live));
}

static void put_refs(struct out *out, const struct graph *graph)
{
	__u32 i, ref;

	for (i = 0; i < graph->nr_objects; i++)
		put_word(out, graph->first_ref[i + 1] - graph->first_ref[i]);
	flush(out);
	put(out, graph->ref_at, graph->nr_refs * sizeof(*graph->ref_at));
	for (i = 0; i < graph->nr_objects; i++)
		for (ref = graph->first_ref[i]; ref < graph->first_ref[i + 1]; ref++)
			put_word(out, graph->ref_to[ref] - i);
	flush(out);
}

int graph_write(const struct graph *graph, const char *path)
{
	struct out *out = must_have(calloc(1, sizeof(*out)));
	int rc = -1;

	out->path = path;
	out->file = gzip_create(path, "wb3");
	if (out->file) {
		put_header(out, graph);
		put_spans(out, graph);
		put_refs(out, graph);
		put(out, graph->roots, graph->nr_roots * sizeof(*graph->roots));
		if (!out->failed)
			rc = gzip_finish(out->file, path);
		else
			gzclose(out->file);
	}
	free(out);
	return rc;
}

/* --- to read --- */

struct in {
	gzFile file;
	const char *why;	/* it cannot be read */
	json_t *header;
	size_t nr_spans;
	size_t nr_words;
	size_t nr_objects;
	size_t nr_refs;
	size_t nr_roots;
};

static int bad(struct in *in, const char *why)
{
	if (!in->why)
		in->why = why;
	return -1;
}

static int get(struct in *in, void *to, size_t length)
{
	int n = gzread(in->file, to, length);

	if (n < 0)
		return bad(in, "damaged");
	return (size_t)n == length ? 0 : bad(in, "cut short");
}

/* @nr members of @size bytes, SOME at a time: there may be less than that in the file. */
static void *get_table(struct in *in, size_t nr, size_t size)
{
	size_t done = 0, room = nr < SOME ? nr : SOME, some;
	char *table = must_have(calloc(room + 1, size));

	while (done < nr) {
		if (done == room) {
			room = nr - room < room ? nr : 2 * room;
			table = must_have(reallocarray(table, room + 1, size));
		}
		some = nr - done < SOME ? nr - done : SOME;
		some = room - done < some ? room - done : some;
		if (get(in, table + done * size, some * size))
			break;
		done += some;
	}
	return table;
}

static char *get_line(struct in *in)
{
	size_t length = 0, room = 4096;
	char *line = must_have(malloc(room));

	while (gzgets(in->file, line + length, room - length)) {
		length += strlen(line + length);
		if (length && line[length - 1] == '\n')
			return line;
		if (length + 1 < room || room > MAX_HEADER)
			break;
		room *= 2;
		line = must_have(realloc(line, room));
	}
	free(line);
	return NULL;
}

/* A number of the header that is not more than @most. */
static __u64 header_number(struct in *in, const json_t *object, const char *key,
			   __u64 most)
{
	const json_t *value = json_object_get(object, key);
	json_int_t n = json_integer_value(value);

	if (json_is_integer(value) && n >= 0 && (__u64)n <= most)
		return n;
	bad(in, "damaged: a number in the header");
	return 0;
}

static void take_name(struct in *in, const json_t *object, char name[KARENA_NAME_LEN])
{
	const char *text = json_string_value(json_object_get(object, "name"));

	if (!text || strlen(text) >= KARENA_NAME_LEN)
		bad(in, "damaged: a name in the header");
	else
		strcpy(name, text);
	clean_name(name);
}

static void take_refs(struct in *in, const json_t *refs, struct graph_type *type)
{
	const json_t *ref;
	size_t i;

	type->refs = must_have(calloc(json_array_size(refs) + 1, sizeof(*type->refs)));
	json_array_foreach(refs, i, ref)
		type->refs[type->nr_refs++] = json_integer_value(ref);
	for (i = 0; i < type->nr_refs; i++)
		if (type->refs[i] % 8 || type->refs[i] >= type->element ||
		    (i && type->refs[i] <= type->refs[i - 1]))
			bad(in, "damaged: references of a type");
}

static void take_types(struct in *in, struct graph *graph)
{
	const json_t *types = json_object_get(in->header, "types"), *from;
	struct graph_type *type;
	__u32 last = 0;
	size_t i;

	if (json_array_size(types) > KARENA_MAX_TYPES) {
		bad(in, "damaged: too many types");
		return;
	}
	graph->types = must_have(calloc(json_array_size(types) + 1, sizeof(*type)));
	json_array_foreach(types, i, from) {
		type = &graph->types[graph->nr_types++];
		type->id = header_number(in, from, "id", NO_TYPE - 1);
		type->flags = header_number(in, from, "flags", NO_TYPE);
		type->element = header_number(in, from, "element", KARENA_MAX_SMALL);
		take_name(in, from, type->name);
		take_refs(in, json_object_get(from, "refs"), type);
		if (type->id <= last || !type->element)
			bad(in, "damaged: a type");
		last = type->id;
	}
}

static int take_header(struct in *in, struct graph *graph)
{
	const json_t *header = in->header;
	const char *format = json_string_value(json_object_get(header, "format"));

	if (!format || strcmp(format, FORMAT))
		return bad(in, "not a dump of a heap");
	if (json_integer_value(json_object_get(header, "version")) != VERSION)
		return bad(in, "of a version that this karenactl does not know");
	graph->id = header_number(in, header, "id", NO_TYPE);
	graph->pid = header_number(in, header, "pid", NO_TYPE);
	graph->uid = header_number(in, header, "uid", NO_TYPE);
	graph->base = header_number(in, header, "base", INT64_MAX);
	graph->window = header_number(in, header, "window", INT64_MAX);
	graph->time = header_number(in, header, "time", INT64_MAX);
	graph->collected = json_is_true(json_object_get(header, "collected"));
	in->nr_spans = header_number(in, header, "spans", NO_OBJECT);
	in->nr_words = header_number(in, header, "words", NO_OBJECT);
	in->nr_objects = header_number(in, header, "objects", NO_OBJECT);
	in->nr_refs = header_number(in, header, "references", NO_OBJECT / 2);
	in->nr_roots = header_number(in, header, "roots", NO_OBJECT);
	take_name(in, header, graph->name);
	take_types(in, graph);
	return in->why ? -1 : 0;
}

static int get_header(struct in *in, struct graph *graph)
{
	char *line = get_line(in);

	if (!line)
		return bad(in, "not a dump of a heap");
	in->header = json_loads(line, 0, NULL);
	free(line);
	return take_header(in, graph);
}

static int get_spans(struct in *in, struct graph *graph)
{
	const struct file_span *from = get_table(in, in->nr_spans, sizeof(*from));
	struct graph_span *to;
	size_t i;

	/* Of all of them, if they have been read. */
	graph->spans = must_have(calloc(in->why ? 1 : in->nr_spans + 1, sizeof(*graph->spans)));
	for (i = 0; i < in->nr_spans && !in->why; i++) {
		to = &graph->spans[graph->nr_spans++];
		to->start = from[i].start;
		to->object_size = from[i].object_size;
		to->slots = from[i].slots;
		to->flags = from[i].flags;
		to->type = graph_find_type(graph, from[i].type);
		if (from[i].type && to->type == NO_TYPE)
			bad(in, "damaged: a span of no type");
	}
	free((void *)from);
	return in->why ? -1 : 0;
}

static int get_objects(struct in *in, struct graph *graph)
{
	const char *why;

	graph->live = get_table(in, in->nr_words, sizeof(*graph->live));
	if (in->why)
		return -1;
	graph->nr_words = in->nr_words;
	if (!graph_index(graph, &why))
		return graph->nr_objects == in->nr_objects ?
			       0 : bad(in, "damaged: not as many objects as it says");
	return bad(in, why);
}

/* References of one object, the differences made numbers. */
static bool take_object_refs(struct graph *graph, __u32 from)
{
	__u32 ref = graph->first_ref[from], end = graph->first_ref[from + 1];
	__u64 words = ref < end ? graph_size(graph, from) / 8 : 0;

	for (; ref < end; ref++) {
		graph->ref_to[ref] += from;
		if (graph->ref_to[ref] >= graph->nr_objects || graph->ref_at[ref] >= words)
			return false;
		if (ref > graph->first_ref[from] && graph->ref_at[ref] <= graph->ref_at[ref - 1])
			return false;
	}
	return true;
}

static int get_refs(struct in *in, struct graph *graph)
{
	__u32 *counts = get_table(in, in->nr_objects, sizeof(*counts));
	__u64 sum = 0;
	__u32 i;

	graph->ref_at = get_table(in, in->nr_refs, sizeof(*graph->ref_at));
	graph->ref_to = get_table(in, in->nr_refs, sizeof(*graph->ref_to));
	for (i = 0; i < graph->nr_objects && !in->why; i++) {
		sum += counts[i];
		if (sum > in->nr_refs)
			bad(in, "damaged: not as many references as it says");
		graph->first_ref[i + 1] = sum;
	}
	free(counts);
	if (!in->why && sum != in->nr_refs)
		bad(in, "damaged: not as many references as it says");
	graph->nr_refs = in->nr_refs;
	graph->nr_from = graph->nr_objects + 1;
	for (i = 0; i < graph->nr_objects && !in->why; i++)
		if (!take_object_refs(graph, i))
			bad(in, "damaged: a reference that leads nowhere");
	return in->why ? -1 : 0;
}

static int get_roots(struct in *in, struct graph *graph)
{
	char more;
	size_t i;

	graph->roots = get_table(in, in->nr_roots, sizeof(*graph->roots));
	if (in->why)
		return -1;
	graph->nr_roots = in->nr_roots;
	for (i = 0; i < graph->nr_roots; i++)
		if (graph->roots[i].kind > KARENA_ROOT_CALL)
			return bad(in, "damaged: an unknown root");
	/* The checksum is looked at behind the last byte. */
	switch (gzread(in->file, &more, 1)) {
	case 0:
		return 0;
	case 1:
		return bad(in, "damaged: more than it says");
	default:
		return bad(in, "damaged");
	}
}

static struct graph *get_graph(struct in *in)
{
	struct graph *graph = graph_new();

	if (!get_header(in, graph) && !get_spans(in, graph) && !get_objects(in, graph) &&
	    !get_refs(in, graph) && !get_roots(in, graph))
		return graph;
	graph_free(graph);
	return NULL;
}

struct graph *graph_read(const char *path)
{
	struct in in = { .file = gzopen(path, "rb") };
	struct graph *graph;

	if (!in.file) {
		fprintf(stderr, "karenactl: %s: %s\n", path, strerror(errno ? errno : ENOMEM));
		return NULL;
	}
	gzbuffer(in.file, 1 << 18);
	graph = get_graph(&in);
	json_decref(in.header);
	/* A file that ends early says so only now. */
	if (gzclose(in.file) == Z_BUF_ERROR)
		bad(&in, "cut short");
	if (!in.why)
		return graph;
	fprintf(stderr, "karenactl: %s: %s\n", path, in.why);
	graph_free(graph);
	return NULL;
}
