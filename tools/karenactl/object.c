// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl object show: what is at an address of a heap.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "list.h"

#define PACKED_BLOCK	16	/* bytes that KARENA_SPAN_PACKED tells of together */
#define REFS_LEN	512

static const char doc[] =
	"Show what is at an address of a heap: the object, its span, size and type."
	BELOW_OPTIONS
	"ADDRESS is in hex, with or without 0x, as programs and debuggers print it.\n"
	"\nWith --json: an object with start, size, offset, state, type_name, references\n"
	"and span.";

struct object {
	const struct karena_span_record *span;
	const struct karena_type_record *type;	/* or NULL */
	__u64 address;
	__u64 start;
	__u64 size;
	bool live;
};

static bool parse_address(const char *text, __u64 *address)
{
	char *end;

	errno = 0;
	*address = strtoull(text, &end, 16);
	return !errno && end != text && !*end && *text != '-';
}

static int nothing_there(const struct options *opts, __u64 address, const char *why)
{
	fprintf(stderr, "karenactl: heap %u: %#llx: %s\n", opts->id, (unsigned long long)address,
		why);
	return EXIT_FAILED;
}

/* The span of an address, from a list that may have it. */
static const struct karena_span_record *find_span(const struct list *list, __u64 address)
{
	const struct karena_span_record *span = NULL;

	while ((span = list_next(list, span)))
		if (address - span->start < span->length)
			break;
	return span;
}

static bool bit(const struct karena_span_record *span, __u64 nr)
{
	const __u64 *bits = (const __u64 *)(span + 1);

	return bits[nr / 64] >> nr % 64 & 1;
}

/* False if the address is behind the span's last object. */
static bool find_object(struct object *object)
{
	const struct karena_span_record *span = object->span;
	__u64 nr;

	object->size = span->flags & KARENA_SPAN_PACKED ? PACKED_BLOCK : span->object_size;
	nr = (object->address - span->start) / object->size;
	if (span->flags & KARENA_SPAN_LARGE && nr)
		return false;
	if (nr >= span->objects)
		return false;
	object->start = span->start + nr * object->size;
	object->live = bit(span, nr);
	return true;
}

/* The caches of the kernel do not tell which of the objects that are not live they have. */
static const char *state_text(const struct object *object)
{
	const struct karena_span_record *span = object->span;

	if (object->live)
		return "live";
	if (!span->cached)
		return "free";
	return span->live + span->cached >= span->objects ? "cached" : "free or cached";
}

/* Offsets of the words that hold references: "0, 8, 24 of each 32 bytes". */
static const char *references_text(char buf[REFS_LEN], const struct object *object)
{
	const struct karena_type_record *type = object->type;
	const __u32 *refs = (const __u32 *)(type + 1);
	size_t used = 0;
	__u32 i;

	if (object->span->flags & KARENA_SPAN_NOSCAN)
		return strcpy(buf, "none");
	if (!type || object->span->flags & KARENA_SPAN_CONSERVATIVE ||
	    type->flags & KARENA_TYPE_CONSERVATIVE)
		return strcpy(buf, "any word may be one");
	buf[0] = '\0';
	for (i = 0; i < type->nr_refs && used < REFS_LEN - 64; i++)
		used += snprintf(buf + used, REFS_LEN - used, "%s%u", i ? ", " : "at ", refs[i]);
	snprintf(buf + used, REFS_LEN - used, "%s of each %llu bytes",
		 i < type->nr_refs ? ", ..." : "", (unsigned long long)type->element);
	return buf;
}

static void print_text(const struct object *object, bool raw)
{
	const struct karena_span_record *span = object->span;
	char text[REFS_LEN];

	snprintf(text, sizeof(text), "%#llx  %s", (unsigned long long)object->start,
		 state_text(object));
	heading(text);
	line_size("size", object->size, raw);
	line_count("offset in it", object->address - object->start);
	line_text("type", object->type ? object->type->name : "-");
	line_text("references", references_text(text, object));
	heading("its span");
	snprintf(text, sizeof(text), "%#llx", (unsigned long long)span->start);
	line_text("address", text);
	line_size("size", span->length, raw);
	line_count("room for objects", span->objects);
	line_count("of these live", span->live);
	line_count("cached", span->cached);
	line_count("age in cycles", span->cycles);
	line_text("flags", span_flags_text(text, span->flags));
}

static void print_as_json(const struct object *object)
{
	char refs[REFS_LEN];
	const char *name = object->type ? object->type->name : NULL;

	print_json(json_pack("{sIsIsIssss?ssso}", "start", (json_int_t)object->start,
			     "size", (json_int_t)object->size,
			     "offset", (json_int_t)(object->address - object->start),
			     "state", state_text(object), "type_name", name,
			     "references", references_text(refs, object),
			     "span", span_json(object->span, name)), JSON_INDENT(2));
}

static int show_at(const struct options *opts, const struct types *types, const struct list *list,
		   __u64 address)
{
	struct object object = { .address = address };

	object.span = find_span(list, address);
	if (!object.span)
		return nothing_there(opts, address, "in no span: no memory is there");
	if (object.span->flags & KARENA_SPAN_FREE)
		return nothing_there(opts, address, "in no span: free memory");
	if (!find_object(&object))
		return nothing_there(opts, address, "behind the last object of its span");
	object.type = find_type(types, object.span->type);
	if (opts->json)
		print_as_json(&object);
	else
		print_text(&object, opts->bytes);
	return EXIT_OK;
}

static int show(int fd, const struct options *opts, __u64 address)
{
	struct karena_heap_info heap;
	int rc = EXIT_FAILED;
	__u64 page;
	struct list list = { };
	struct types types;

	if (read_heap(fd, opts->id, &heap) || read_types(fd, opts->id, &types))
		return EXIT_FAILED;
	page = (address - heap.base) / KARENA_PAGE_SIZE;
	if (address - heap.base >= heap.window)
		rc = nothing_there(opts, address, "not in its window");
	else if (read_part(fd, KARENA_IOC_SPANS, KARENA_SPANS_LIVE, opts->id, page, &list))
		complain_list(opts->id);
	else
		rc = show_at(opts, &types, &list, address);
	list_free(&list);
	types_free(&types);
	return rc;
}

int cmd_object_show(int argc, char **argv)
{
	struct options opts = { };
	__u64 address;
	int fd, rc;

	parse_options(&opts, TAKES_ID_AND_WORDS, "ID ADDRESS", doc, argc, argv);
	if (opts.nr_words != 1 || !parse_address(opts.words[0], &address)) {
		fprintf(stderr, "karenactl: %s (see --help)\n",
			opts.nr_words ? "that is not one address" : "what address?");
		return EXIT_USAGE;
	}
	fd = device_open();
	if (fd < 0)
		return EXIT_FAILED;
	rc = show(fd, &opts, address);
	close(fd);
	return rc;
}
