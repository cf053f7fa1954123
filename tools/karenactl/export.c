// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl export: a graph for Graphviz (dot.c), or for the developer tools of browsers
 * (snapshot.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export.h"

#define DEFAULT_MAX	300
#define MOST_MAX	100000

static const char doc[] =
	"Write a heap that is collected for a viewer; garbage is left out." BELOW_OPTIONS
	"HEAP is a heap's number, or the file of a dump.  FORMAT is\n"
	"  heapsnapshot    all objects, for DevTools of Chromium: Memory, Load profile;\n"
	"                  the file's name has to end with .heapsnapshot\n"
	"  dot             those that retain most, for Graphviz: dot -Tsvg\n"
	"If it is not given, the end of the file's name tells.";

struct export_options {
	struct options common;
	const char *heap;
	const char *format;
	const char *output;
	__u64 max;
};

static const struct argp_option option_list[] = {
	{ "output", 'o', "FILE", 0, "Write there, - for standard output", 0 },
	{ "format", 'f', "FORMAT", 0, "heapsnapshot or dot", 0 },
	{ "max", 'm', "COUNT", 0, "With dot: so many objects at most (300)", 0 },
	{ }
};

static bool is_dot(const struct export_options *opts)
{
	return !strcmp(opts->format, "dot");
}

static void check_options(struct export_options *opts, struct argp_state *state)
{
	const char *end;

	if (!opts->heap)
		argp_error(state, "which heap, or which file?");
	if (!opts->output)
		argp_error(state, "where to? (--output)");
	end = strrchr(opts->output, '.');
	if (!opts->format)
		opts->format = end ? end + 1 : "";
	if (!is_dot(opts) && strcmp(opts->format, "heapsnapshot"))
		argp_error(state, "in which format? (--format)");
}

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct export_options *opts = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &opts->common;
		return 0;
	case 'o':
		opts->output = arg;
		return 0;
	case 'f':
		opts->format = arg;
		return 0;
	case 'm':
		if (!to_count(arg, MOST_MAX, &opts->max))
			argp_error(state, "'%s' is not a number of objects", arg);
		return 0;
	case ARGP_KEY_ARG:
		if (opts->heap)
			argp_error(state, "'%s' is one argument too many", arg);
		opts->heap = arg;
		return 0;
	case ARGP_KEY_END:
		check_options(opts, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int complain(const char *path)
{
	fprintf(stderr, "karenactl: %s: %s\n", path, strerror(errno ? errno : EIO));
	return EXIT_FAILED;
}

static int write_graph(FILE *to, const struct graph *graph, const struct export_options *opts)
{
	struct dominators doms;
	__u32 left_out = 0;
	int err;

	dominators_find(&doms, graph);
	if (is_dot(opts))
		left_out = write_dot(to, graph, &doms, opts->max);
	else
		write_heapsnapshot(to, graph, &doms);
	if (opts->common.json && strcmp(opts->output, "-"))
		print_json(json_pack("{sI sI sI}", "objects", (json_int_t)(doms.nr - left_out),
				     "left_out", (json_int_t)left_out, "garbage",
				     (json_int_t)(graph->nr_objects - doms.nr)), JSON_INDENT(2));
	else if (left_out)
		fprintf(stderr, "karenactl: %u objects that retain less are left out (--max)\n",
			left_out);
	dominators_free(&doms);
	err = ferror(to);
	return err ? -1 : 0;
}

static int export(const struct graph *graph, const struct export_options *opts)
{
	bool standard = !strcmp(opts->output, "-");
	FILE *to = standard ? fdopen(dup(STDOUT_FILENO), "w") : fopen(opts->output, "w");
	int err;

	if (!to)
		return complain(opts->output);
	errno = 0;
	err = write_graph(to, graph, opts);
	if (fclose(to) || err)
		return complain(opts->output);
	return EXIT_OK;
}

int cmd_export(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { } };
	const struct argp argp = { option_list, take_option, "HEAP", doc, children, NULL, NULL };
	struct export_options opts = { .max = DEFAULT_MAX };
	struct graph *graph;
	int rc;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opts))
		return EXIT_FAILED;
	graph = graph_open_collected(opts.heap);
	if (!graph)
		return EXIT_FAILED;
	rc = export(graph, &opts);
	graph_free(graph);
	return rc;
}
