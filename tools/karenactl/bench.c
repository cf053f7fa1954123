// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl bench: how fast this machine allocates from karena, at a glance, by a heap that
 * is made for it and closed.  One thread, nothing else is held still; tests/bench measures.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <karena.h>

#include "ctl.h"

#define ROUNDS		21
#define ROUND_NS	2e6		/* about, but at least */
#define LEAST_PAIRS	50
#define BATCH		256
#define BATCHES		4
#define MOST_OBJECTS	10000000

static const char doc[] =
	"See how fast this machine allocates from karena, at a glance." BELOW_OPTIONS
	"It makes a heap of its own, and closes it.  One thread takes the time of objects\n"
	"that are allocated and freed one by one and in batches, and of cycles over a list:\n"
	"nanoseconds an object, the median of 21 rounds, and what a tenth is below and above.\n"
	"That is a quick look, not a benchmark: whatever else runs is measured too.\n"
	"\nWith --json: an object with results and the memory at most (held_bytes).";

/* An object of the list that is collected. */
struct node {
	struct node *next;
	__u64 value[7];
};

struct bench {
	struct options common;
	unsigned long objects;
	struct karena *heap;
	__u64 held;		/* at most */
	struct table table;
	json_t *results;
};

static const struct argp_option option_list[] = {
	{ "objects", 'n', "N", 0, "Length of the list that cycles go over (200000)", 0 },
	{ }
};

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct bench *bench = state->input;
	char *end;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &bench->common;
		return 0;
	case 'n':
		bench->objects = strtoul(arg, &end, 10);
		if (end == arg || *end || *arg == '-' || !bench->objects ||
		    bench->objects > MOST_OBJECTS)
			argp_error(state, "'%s' is not a number of objects", arg);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s' is one argument too many", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct column columns[] = {
	{ "WHAT", true }, { "OBJECT", false }, { "NS", false }, { "10 %", false },
	{ "90 %", false },
};

static double now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void note_memory(struct bench *bench)
{
	struct karena_heap_info info = { .size = sizeof(info) };

	if (!karena_stats(bench->heap, &info) && info.held_bytes > bench->held)
		bench->held = info.held_bytes;
}

static void add_ns(struct table *table, size_t column, double ns)
{
	char text[CELL_LEN];

	snprintf(text, sizeof(text), "%.1f", ns);
	table_text(table, column, text);
}

/* Of nanoseconds an object in each round. */
static void add_result(struct bench *bench, const char *what, size_t size, double *ns)
{
	double median, low, high;

	qsort(ns, ROUNDS, sizeof(*ns), ascending);
	median = ns[ROUNDS / 2];
	low = ns[ROUNDS / 10];
	high = ns[ROUNDS - 1 - ROUNDS / 10];
	table_text(&bench->table, 0, what);
	table_size(&bench->table, 1, size, bench->common.bytes);
	add_ns(&bench->table, 2, median);
	add_ns(&bench->table, 3, low);
	add_ns(&bench->table, 4, high);
	table_row(&bench->table);
	json_array_append_new(bench->results,
			      json_pack("{sssIsfsfsf}", "what", what, "object_size",
					(json_int_t)size, "median_ns", median, "low_ns", low,
					"high_ns", high));
	note_memory(bench);
}

static int failed(const char *what)
{
	fprintf(stderr, "karenactl: %s: %s\n", what, strerror(errno));
	return -1;
}

/* Nanoseconds of @pairs objects, one after the other; below 0 if there was none. */
static double time_pairs(struct bench *bench, size_t size, size_t pairs)
{
	double start = now_ns();
	void *object;

	while (pairs--) {
		object = karena_alloc_flags(bench->heap, size, KARENA_ALLOC_NOZERO);
		if (!object)
			return failed("to allocate");
		karena_free(bench->heap, object);
	}
	return now_ns() - start;
}

static int one_by_one(struct bench *bench, size_t size)
{
	double ns[ROUNDS], first = time_pairs(bench, size, LEAST_PAIRS);
	size_t pairs = LEAST_PAIRS;
	int round;

	if (first > 0 && first < ROUND_NS)
		pairs *= ROUND_NS / first;
	for (round = 0; round < ROUNDS; round++) {
		ns[round] = time_pairs(bench, size, pairs) / pairs;
		if (ns[round] < 0)
			return -1;
	}
	add_result(bench, "allocate and free", size, ns);
	return 0;
}

static int in_batches(struct bench *bench, size_t size)
{
	double ns[ROUNDS], start;
	void *objects[BATCH];
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		start = now_ns();
		for (i = 0; i < BATCHES; i++) {
			if (karena_alloc_bulk(bench->heap, size, KARENA_ALLOC_NOZERO, BATCH,
					      objects))
				return failed("to allocate");
			karena_free_bulk(bench->heap, BATCH, objects, NULL);
		}
		ns[round] = (now_ns() - start) / BATCHES / BATCH;
	}
	add_result(bench, "the same, 256 a call", size, ns);
	return 0;
}

/* All of it is found alive, as the list begins on this stack. */
static int cycles(struct bench *bench)
{
	static const __u32 refs[] = { offsetof(struct node, next) };
	struct node *volatile list = NULL;
	struct karena_type type;
	double ns[ROUNDS], start;
	struct node *node;
	unsigned long i;
	int round;

	type = karena_type(bench->heap, "struct node", sizeof(*node), refs, COUNT(refs));
	for (i = 0; i < bench->objects; i++) {
		node = karena_new(bench->heap, type);
		if (!node)
			return failed("to allocate");
		karena_store(bench->heap, &node->next, list);
		list = node;
	}
	for (round = 0; round < ROUNDS; round++) {
		start = now_ns();
		if (karena_gc(bench->heap))
			return failed("to collect");
		ns[round] = (now_ns() - start) / bench->objects;
	}
	add_result(bench, "cycle, a list of it", sizeof(*node), ns);
	return 0;
}

static int measure(struct bench *bench)
{
	static const size_t sizes[] = { 16, 64, 256, 1024, 8192, 65536 };
	size_t i;

	for (i = 0; i < COUNT(sizes); i++)
		if (one_by_one(bench, sizes[i]))
			return -1;
	return in_batches(bench, 64) || cycles(bench) ? -1 : 0;
}

static void show(struct bench *bench)
{
	if (bench->common.json) {
		print_json(json_pack("{sO sI sI}", "results", bench->results, "objects",
				     (json_int_t)bench->objects, "held_bytes",
				     (json_int_t)bench->held), JSON_INDENT(2));
		return;
	}
	table_print(&bench->table, bench->table.nr_rows);
	line_size("memory, at most", bench->held, bench->common.bytes);
	puts("A quick look at this machine as it is now, not a benchmark.");
}

int cmd_bench(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { } };
	const struct argp argp = { option_list, take_option, NULL, doc, children, NULL, NULL };
	const struct karena_options options = { .flags = KARENA_COLLECT, .name = "bench" };
	struct bench bench = { .objects = 200000 };
	int fd, rc = EXIT_FAILED;

	if (argp_parse(&argp, argc, argv, 0, NULL, &bench))
		return EXIT_FAILED;
	/* Says what is wrong with the device. */
	fd = device_open_to_change();
	if (fd < 0)
		return EXIT_FAILED;
	close(fd);
	bench.heap = karena_open(&options);
	if (!bench.heap) {
		failed("to make a heap");
		return EXIT_FAILED;
	}
	bench.results = must_have(json_array());
	table_begin(&bench.table, columns, COUNT(columns));
	if (!measure(&bench)) {
		show(&bench);
		rc = EXIT_OK;
	}
	table_end(&bench.table);
	json_decref(bench.results);
	karena_close(bench.heap);
	return rc;
}
