// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl dump: a heap as it is at one moment, as a graph (graph.h).
 *
 * The kernel clones the heap, and says which objects there are, how their types look, and
 * what the roots are, all of the same moment.  References are found here, in the clone's
 * memory, by the rules of the collector.  The programs run on meanwhile.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "graph.h"
#include "list.h"

static const char doc[] =
	"Write down a heap as it is now: objects, references between them, and roots." BELOW_OPTIONS
	"Programs stand still, some milliseconds for each GiB, and run on while the file is\n"
	"made.  What the objects hold beside references is not in it.\n"
	"\n"
	"  karenactl dump -o now.karena 1\n"
	"  karenactl why now.karena 0x7f5a00010040\n"
	"\n"
	"With --json: an object with what is in the file, its bytes, and seconds.";

/* --- progress, where somebody looks on --- */

#define PATIENCE	0.5	/* seconds */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void show_progress(double *last, __u64 done, __u64 all)
{
	if (!isatty(STDERR_FILENO) || now() - *last < PATIENCE)
		return;
	*last = now();
	fprintf(stderr, "\rreading references: %3.0f %% ", all ? 100.0 * done / all : 100.0);
}

static void end_progress(double began, double last)
{
	if (last > began)
		fputs("\r\033[K", stderr);
}

/* --- what the kernel tells --- */

static void take_types(struct graph *graph, const struct types *from)
{
	const struct karena_type_record *type;
	const void *at = NULL;
	struct graph_type *to;

	graph->types = must_have(calloc(KARENA_MAX_TYPES + 1, sizeof(*graph->types)));
	while ((at = list_next(&from->list, at)) && graph->nr_types < KARENA_MAX_TYPES) {
		type = at;
		to = &graph->types[graph->nr_types++];
		to->id = type->id;
		to->flags = type->flags;
		to->element = type->element;
		to->nr_refs = type->nr_refs;
		to->refs = must_have(calloc(type->nr_refs + 1, sizeof(*to->refs)));
		memcpy(to->refs, type + 1, type->nr_refs * sizeof(*to->refs));
		memcpy(to->name, type->name, sizeof(to->name));
	}
}

static int read_graph_types(int fd, struct graph *graph)
{
	struct types types;

	if (read_types(fd, 0, &types))
		return -1;
	take_types(graph, &types);
	types_free(&types);
	return 0;
}

static void take_span(struct graph *graph, const struct karena_span_record *from)
{
	size_t words = ((size_t)from->objects + 63) / 64;
	struct graph_span *to = &graph->spans[graph->nr_spans++];

	to->start = from->start;
	to->object_size = from->object_size;
	to->slots = from->objects;
	to->flags = from->flags;
	to->type = graph_find_type(graph, from->type);
	memcpy(graph->live + graph->nr_words, from + 1, words * sizeof(*graph->live));
	graph->nr_words += words;
}

static int read_spans(int fd, struct graph *graph)
{
	size_t nr = 0, words = 0;
	const struct karena_span_record *span;
	const void *at = NULL;
	struct list list;

	if (read_list(fd, KARENA_IOC_SPANS, KARENA_SPANS_LIVE, 0, &list))
		return -1;
	while ((at = list_next(&list, at))) {
		span = at;
		nr++;
		words += ((size_t)span->objects + 63) / 64;
	}
	graph->spans = must_have(calloc(nr + 1, sizeof(*graph->spans)));
	graph->live = must_have(calloc(words + 1, sizeof(*graph->live)));
	while ((at = list_next(&list, at))) {
		span = at;
		if (span->objects && span->live)
			take_span(graph, span);
	}
	list_free(&list);
	return 0;
}

static int read_roots(int fd, struct graph *graph)
{
	const struct karena_root_record *root;
	const void *at = NULL;
	struct list list;

	if (read_list(fd, KARENA_IOC_ROOTS, 0, 0, &list))
		return -1;
	graph->roots = must_have(calloc(list.length / sizeof(*root) + 1, sizeof(*graph->roots)));
	while ((at = list_next(&list, at))) {
		root = at;
		graph->roots[graph->nr_roots++] = (struct graph_root) {
			.word = root->word, .at = root->at, .kind = root->kind,
			.pid = root->pid, .tid = root->tid,
		};
	}
	list_free(&list);
	return 0;
}

/* --- references --- */

static void take_word(struct graph *graph, __u32 from, __u64 at)
{
	__u64 word = ((const __u64 *)(uintptr_t)graph->addr[from])[at];
	__u32 to;

	/* Most that are none are not of the heap. */
	if (word - graph->base >= graph->window)
		return;
	to = graph_find(graph, word);
	if (to != NO_OBJECT)
		graph_add_ref(graph, from, at, to);
}

/* As the collector does: elements as far as there is room for whole ones. */
static void take_typed(struct graph *graph, __u32 from, __u64 size, const struct graph_type *type)
{
	__u64 element;
	__u32 i;

	for (element = 0; element + type->element <= size; element += type->element)
		for (i = 0; i < type->nr_refs; i++)
			take_word(graph, from, (element + type->refs[i]) / sizeof(__u64));
}

static void take_conservative(struct graph *graph, __u32 from, __u64 size)
{
	__u64 at;

	for (at = 0; at < size / sizeof(__u64); at++)
		take_word(graph, from, at);
}

static void take_object(struct graph *graph, const struct graph_span *span, __u32 object)
{
	const struct graph_type *type = span->type == NO_TYPE ? NULL : &graph->types[span->type];

	if (type && !(type->flags & KARENA_TYPE_CONSERVATIVE))
		take_typed(graph, object, span->object_size, type);
	else
		take_conservative(graph, object, span->object_size);
}

static void take_references(struct graph *graph)
{
	const struct graph_span *span;
	double began = now(), last = began;
	__u32 object, end;

	for (span = graph->spans; span < graph->spans + graph->nr_spans; span++) {
		if (span->flags & (KARENA_SPAN_NOSCAN | KARENA_SPAN_PACKED))
			continue;
		end = span + 1 < graph->spans + graph->nr_spans ? span[1].first : graph->nr_objects;
		for (object = span->first; object < end; object++)
			take_object(graph, span, object);
		show_progress(&last, end, graph->nr_objects);
	}
	graph_end_refs(graph);
	end_progress(began, last);
}

static int read_references(int fd, struct graph *graph)
{
	void *base = (void *)(uintptr_t)graph->base;
	void *at = mmap(base, graph->window, PROT_READ, MAP_SHARED, fd, KARENA_OFF_OBJECTS);

	if (at != base) {
		if (at != MAP_FAILED)
			munmap(at, graph->window);
		fprintf(stderr, "karenactl: heap %u: something is where it has to be\n", graph->id);
		return -1;
	}
	take_references(graph);
	munmap(at, graph->window);
	return 0;
}

static int read_graph(int fd, struct graph *graph)
{
	const char *why;

	if (read_graph_types(fd, graph) || read_spans(fd, graph))
		return -1;
	if (graph->collected && read_roots(fd, graph))
		return -1;
	if (!graph_index(graph, &why))
		return read_references(fd, graph);
	fprintf(stderr, "karenactl: heap %u: the module tells of %s\n", graph->id, why);
	return -1;
}

static void take_heap(struct graph *graph, const struct heap_numbers *heap)
{
	graph->id = heap->info.id;
	graph->pid = heap->info.pid;
	graph->uid = heap->info.uid;
	graph->base = heap->info.base;
	graph->window = heap->info.window;
	graph->collected = heap->collected;
	graph->time = time(NULL);
	memcpy(graph->name, heap->info.name, sizeof(graph->name));
}

static struct graph *read_dump(int fd, __u32 id)
{
	struct graph *graph = NULL;
	struct heap_numbers *heap;
	int dump = open_dump(fd, id), err;
	size_t nr;

	if (dump < 0)
		return NULL;
	heap = read_numbers(fd, id, &nr);
	if (heap) {
		graph = graph_new();
		take_heap(graph, heap);
		err = read_graph(dump, graph);
		free(heap);
		if (err) {
			graph_free(graph);
			graph = NULL;
		}
	}
	close(dump);
	return graph;
}

static struct graph *dump_heap(__u32 id)
{
	struct graph *graph;
	int fd = device_open();

	if (fd < 0)
		return NULL;
	graph = read_dump(fd, id);
	close(fd);
	return graph;
}

struct graph *graph_open(const char *heap_or_file)
{
	__u32 id;

	return is_id(heap_or_file, &id) ? dump_heap(id) : graph_read(heap_or_file);
}

struct graph *graph_open_collected(const char *heap_or_file)
{
	struct graph *graph = graph_open(heap_or_file);

	if (!graph || graph->collected)
		return graph;
	fprintf(stderr, "karenactl: heap %u: not collected, so there are no roots\n", graph->id);
	graph_free(graph);
	return NULL;
}

/* --- the command --- */

struct dump_options {
	struct options common;
	const char *output;
};

static const struct argp_option option_list[] = {
	{ "output", 'o', "FILE", 0, "Write the dump there, - for standard output", 0 },
	{ }
};

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct dump_options *opts = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &opts->common;
		return 0;
	case 'o':
		opts->output = arg;
		return 0;
	case ARGP_KEY_ARG:
		return take_id(&opts->common, arg, state);
	case ARGP_KEY_END:
		want_id(&opts->common, state);
		if (!opts->output)
			argp_error(state, "where to? (--output)");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void show(const struct graph *graph, const struct dump_options *opts, double seconds)
{
	struct stat file = { };
	char text[CELL_LEN];

	stat(opts->output, &file);
	if (opts->common.json) {
		print_json(json_pack("{sI sI sI sI sI sf}",
				     "objects", (json_int_t)graph->nr_objects,
				     "bytes", (json_int_t)graph->nr_bytes,
				     "references", (json_int_t)graph->nr_refs,
				     "roots", (json_int_t)graph->nr_roots,
				     "file_bytes", (json_int_t)file.st_size,
				     "seconds", seconds), JSON_INDENT(2));
		return;
	}
	line_count("objects", graph->nr_objects);
	line_size("their bytes", graph->nr_bytes, opts->common.bytes);
	line_count("references", graph->nr_refs);
	if (graph->collected)
		line_count("roots", graph->nr_roots);
	else
		line_text("roots", "not known: the heap is not collected");
	line_size("file", file.st_size, opts->common.bytes);
	snprintf(text, sizeof(text), "%.2f", seconds);
	line_text("seconds", text);
}

int cmd_dump(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { } };
	const struct argp argp = { option_list, take_option, "ID", doc, children, NULL, NULL };
	struct dump_options opts = { };
	double began = now();
	struct graph *graph;
	int err;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opts))
		return EXIT_FAILED;
	graph = dump_heap(opts.common.id);
	if (!graph)
		return EXIT_FAILED;
	err = graph_write(graph, opts.output);
	if (!err && strcmp(opts.output, "-"))
		show(graph, &opts, now() - began);
	graph_free(graph);
	return err ? EXIT_FAILED : EXIT_OK;
}
