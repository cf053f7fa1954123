// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl report: looks at a heap for some seconds, and writes a page about it.  The page
 * is one file, which needs nothing else and runs nothing.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

#define MOST_SECONDS	86400.0
#define MOST_SAMPLES	100000

static const char doc[] =
	"Write a page about a heap, to be looked at with a browser." BELOW_OPTIONS
	"The heap is looked at for 10 seconds, or as --seconds says, a hundred times.\n"
	"The page is one file.  It needs no other and runs no script.\n"
	"\nWith --json: an object with file and samples, how often it was looked at.";

struct report_options {
	struct options common;
	const char *output;
	double seconds;
	double interval;
};

static const struct argp_option option_list[] = {
	{ "output", 'o', "FILE", 0, "Write the page there, - for standard output", 0 },
	{ "seconds", 's', "N", 0, "Look at the heap for so long (10)", 0 },
	{ "interval", 'i', "N", 0, "Look every so many seconds (a hundredth of them)", 0 },
	{ }
};

static double to_seconds(const char *arg, double least, struct argp_state *state)
{
	char *end;
	double seconds = strtod(arg, &end);

	if (end == arg || *end || !(seconds >= least && seconds <= MOST_SECONDS))
		argp_error(state, "'%s' is not a number of seconds", arg);
	return seconds;
}

static int check_options(struct report_options *opts, struct argp_state *state)
{
	want_id(&opts->common, state);
	if (!opts->output)
		argp_error(state, "into which file? (--output)");
	else if (opts->common.json && !strcmp(opts->output, "-"))
		argp_error(state, "--json goes to standard output, and so would the page");
	if (!opts->interval)
		opts->interval = opts->seconds / 100;
	if (opts->seconds > MOST_SAMPLES * opts->interval)
		argp_error(state, "that is more than %d times", MOST_SAMPLES);
	return 0;
}

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct report_options *opts = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &opts->common;
		return 0;
	case 'o':
		opts->output = arg;
		return 0;
	case 's':
		opts->seconds = to_seconds(arg, 0, state);
		return 0;
	case 'i':
		opts->interval = to_seconds(arg, 0.001, state);
		return 0;
	case ARGP_KEY_ARG:
		return take_id(&opts->common, arg, state);
	case ARGP_KEY_END:
		return check_options(opts, state);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void wait_until(double when)
{
	struct timespec time = { .tv_sec = when, .tv_nsec = (when - (time_t)when) * 1e9 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
		;
}

static int take_sample(int fd, __u32 id, struct report *r, double time)
{
	struct heap_numbers *heap;
	struct sample *sample;
	size_t nr;

	heap = read_numbers(fd, id, &nr);
	if (!heap)
		return -1;
	r->heap = *heap;
	free(heap);
	r->samples = must_have(reallocarray(r->samples, r->nr_samples + 1, sizeof(*sample)));
	sample = &r->samples[r->nr_samples++];
	*sample = (struct sample) {
		.time = time, .held = r->heap.info.held_bytes, .live = r->heap.info.live_bytes,
		.goal = r->heap.collected ? r->heap.gc.goal_bytes : 0,
		.cycles = r->heap.collected ? r->heap.gc.cycles : 0,
	};
	return 0;
}

static int watch(int fd, const struct report_options *opts, struct report *r)
{
	double start = now(), next;
	size_t i;

	if (take_sample(fd, opts->common.id, r, 0))
		return -1;
	for (i = 1; i * opts->interval <= opts->seconds && opts->seconds; i++) {
		next = start + i * opts->interval;
		wait_until(next);
		if (take_sample(fd, opts->common.id, r, now() - start))
			return -1;
	}
	return 0;
}

/* Who may not have it gets a report without. */
static void add_profile(int fd, __u32 id, struct report *r)
{
	r->has_profile = !read_profile(fd, id, NULL, &r->profile);
	if (r->has_profile)
		read_stacks(&r->profile, &r->stacks);
}

/* What is read last is of the end of the time that it has been watched. */
static int gather(int fd, const struct report_options *opts, struct report *r)
{
	__u32 id = opts->common.id;

	if (watch(fd, opts, r) || read_explain(fd, id, &r->explain, r->classes) ||
	    read_types(fd, id, &r->types) || read_list(fd, KARENA_IOC_SPANS, 0, id, &r->spans))
		return -1;
	add_profile(fd, id, r);
	r->when = time(NULL);
	return 0;
}

static void report_free(struct report *r)
{
	free((void *)(uintptr_t)r->profile.records);
	stacks_free(&r->stacks);
	list_free(&r->spans);
	types_free(&r->types);
	free(r->samples);
}

static int write_file(const struct report *r, const struct report_options *opts)
{
	bool to_stdout = !strcmp(opts->output, "-");
	FILE *out = to_stdout ? stdout : fopen(opts->output, "w");

	if (out)
		write_page(out, r);
	if (to_stdout)
		return EXIT_OK;
	if (!out || (ferror(out) | fclose(out))) {
		fprintf(stderr, "karenactl: %s: %s\n", opts->output, strerror(errno));
		return EXIT_FAILED;
	}
	if (opts->common.json)
		print_json(json_pack("{ss sI}", "file", opts->output, "samples",
				     (json_int_t)r->nr_samples), JSON_INDENT(2));
	return EXIT_OK;
}

int cmd_report(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { } };
	const struct argp argp = {
		option_list, take_option, "ID -o FILE", doc, children, NULL, NULL
	};
	struct report_options opts = { .seconds = 10 };
	struct report report = { };
	int fd, rc = EXIT_FAILED;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opts))
		return EXIT_FAILED;
	fd = device_open();
	if (fd < 0)
		return EXIT_FAILED;
	if (!gather(fd, &opts, &report))
		rc = write_file(&report, &opts);
	report_free(&report);
	close(fd);
	return rc;
}
