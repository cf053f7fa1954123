// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl stat: all heaps, or one, together on a line, again and again; or the numbers of
 * each for Prometheus (metrics.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

#define HEADER_EVERY	20

static const char doc[] =
	"Show what all heaps do together, or one of them: once since they were made, or\n"
	"again and again, then since the last line." BELOW_OPTIONS
	"INTERVAL is in seconds and may have a fraction; without COUNT it never ends.\n"
	"\nWith --json: an object a line.  With --prometheus: the numbers of each heap, with\n"
	"the names of Go's runtime/metrics behind karena_, for a scrape.";

struct stat_options {
	struct options common;
	bool prometheus;
	bool has_interval;
	double interval;
	unsigned long count;
};

static const struct argp_option option_list[] = {
	{ "heap", 'i', "ID", 0, "Of this heap only", 0 },
	{ "prometheus", 'p', NULL, 0, "Write Prometheus' text format, once", 0 },
	{ }
};

static void take_word(struct stat_options *opts, const char *arg, struct argp_state *state)
{
	char *end;

	if (!opts->has_interval) {
		opts->interval = strtod(arg, &end);
		if (end == arg || *end || !(opts->interval > 0 && opts->interval < 1e9))
			argp_error(state, "'%s' is not a number of seconds", arg);
		opts->has_interval = true;
		opts->count = -1UL;
	} else if (opts->count == -1UL) {
		opts->count = strtoul(arg, &end, 10);
		if (end == arg || *end || *arg == '-' || !opts->count || opts->count == -1UL)
			argp_error(state, "'%s' is not a number of rounds", arg);
	} else {
		argp_error(state, "'%s' is one argument too many", arg);
	}
}

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct stat_options *opts = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &opts->common;
		return 0;
	case 'i':
		return take_id(&opts->common, arg, state);
	case 'p':
		opts->prometheus = true;
		return 0;
	case ARGP_KEY_ARG:
		take_word(opts, arg, state);
		return 0;
	case ARGP_KEY_END:
		if (opts->prometheus && (opts->has_interval || opts->common.json))
			argp_error(state, "--prometheus goes with nothing else");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Sums over heaps. */
struct totals {
	double time;
	__u64 heaps;
	__u64 live_bytes;
	__u64 live_objects;
	__u64 held_bytes;
	__u64 allocs;
	__u64 frees;
	__u64 refills;
	__u64 cycles;
	__u64 stops;
	__u64 mark_ns;
	__u64 stop_ns;
};

static void add(struct totals *sum, const struct heap_numbers *heap)
{
	sum->heaps++;
	sum->live_bytes += heap->info.live_bytes;
	sum->live_objects += heap->info.live_objects;
	sum->held_bytes += heap->info.held_bytes;
	sum->allocs += heap->info.allocs;
	sum->frees += heap->info.frees;
	sum->refills += heap->info.refills;
	sum->cycles += heap->gc.cycles;
	sum->stops += heap->gc.stops;
	sum->mark_ns += heap->gc.mark_ns;
	sum->stop_ns += heap->gc.stop_ns;
}

static int look(int fd, const struct options *opts, struct totals *sum)
{
	struct heap_numbers *heaps;
	struct timespec now;
	size_t i, nr;

	heaps = read_numbers(fd, opts->has_id ? opts->id : 0, &nr);
	if (!heaps)
		return -1;
	clock_gettime(CLOCK_MONOTONIC, &now);
	*sum = (struct totals){ .time = now.tv_sec + now.tv_nsec / 1e9 };
	for (i = 0; i < nr; i++)
		add(sum, &heaps[i]);
	free(heaps);
	return 0;
}

/* A heap that is gone takes its numbers with it. */
static double rate(__u64 now, __u64 then, double seconds)
{
	return now > then && seconds > 0 ? (now - then) / seconds : 0;
}

static void print_title(void)
{
	char title[2 * CELL_LEN];

	snprintf(title, sizeof(title), "%5s %10s %12s %10s %10s %10s %9s %8s %8s %6s", "HEAPS",
		 "LIVE", "OBJECTS", "HELD", "ALLOC/S", "FREE/S", "REFILL/S", "CYCLES/S",
		 "STOP-MS", "MARK%");
	heading(title);
}

static void print_line(const struct totals *now, const struct totals *then, bool raw)
{
	double time = now->time - then->time;
	char live[CELL_LEN], held[CELL_LEN];

	printf("%5llu %10s %12llu %10s %10.0f %10.0f %9.1f %8.2f %8.2f %6.2f\n",
	       (unsigned long long)now->heaps, size_text(live, now->live_bytes, raw),
	       (unsigned long long)now->live_objects, size_text(held, now->held_bytes, raw),
	       rate(now->allocs, then->allocs, time), rate(now->frees, then->frees, time),
	       rate(now->refills, then->refills, time), rate(now->cycles, then->cycles, time),
	       rate(now->stop_ns, then->stop_ns, time) / 1e6,
	       rate(now->mark_ns, then->mark_ns, time) / 1e7);
}

/* Since the heaps were made there are no rates, but sums. */
static void print_sums(const struct totals *now, bool raw)
{
	line_count("heaps", now->heaps);
	line_size("live", now->live_bytes, raw);
	line_count("objects", now->live_objects);
	line_size("held", now->held_bytes, raw);
	line_count("allocated ever", now->allocs);
	line_count("freed ever", now->frees);
	line_count("magazines filled", now->refills);
	line_count("cycles", now->cycles);
	line_count("stops", now->stops);
}

static void print_totals(const struct totals *now)
{
	print_json(json_pack("{sf sI sI sI sI sI sI sI sI sI sI sI}", "time", now->time,
			     "heaps", (json_int_t)now->heaps,
			     "live_bytes", (json_int_t)now->live_bytes,
			     "live_objects", (json_int_t)now->live_objects,
			     "held_bytes", (json_int_t)now->held_bytes,
			     "allocs", (json_int_t)now->allocs,
			     "frees", (json_int_t)now->frees,
			     "refills", (json_int_t)now->refills,
			     "cycles", (json_int_t)now->cycles,
			     "stops", (json_int_t)now->stops,
			     "mark_ns", (json_int_t)now->mark_ns,
			     "stop_ns", (json_int_t)now->stop_ns), JSON_COMPACT);
}

static void wait_for(double seconds)
{
	struct timespec time = {
		.tv_sec = seconds, .tv_nsec = (seconds - (time_t)seconds) * 1e9,
	};

	nanosleep(&time, NULL);
}

static int repeat(int fd, const struct stat_options *opts)
{
	struct totals then, now;
	unsigned long i;

	if (look(fd, &opts->common, &then))
		return EXIT_FAILED;
	for (i = 0; i < opts->count; i++) {
		wait_for(opts->interval);
		if (look(fd, &opts->common, &now))
			return EXIT_FAILED;
		if (!opts->common.json && i % HEADER_EVERY == 0)
			print_title();
		if (opts->common.json)
			print_totals(&now);
		else
			print_line(&now, &then, opts->common.bytes);
		if (fflush(stdout))
			return EXIT_FAILED;
		then = now;
	}
	return EXIT_OK;
}

static int run(int fd, const struct stat_options *opts)
{
	struct totals now;

	if (opts->prometheus)
		return print_metrics(fd, opts->common.has_id ? opts->common.id : 0);
	if (opts->has_interval)
		return repeat(fd, opts);
	if (look(fd, &opts->common, &now))
		return EXIT_FAILED;
	if (opts->common.json)
		print_totals(&now);
	else
		print_sums(&now, opts->common.bytes);
	return EXIT_OK;
}

int cmd_stat(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { } };
	const struct argp argp = {
		option_list, take_option, "[INTERVAL [COUNT]]", doc, children, NULL, NULL
	};
	struct stat_options opts = { };
	int fd, rc;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opts))
		return EXIT_FAILED;
	fd = device_open();
	if (fd < 0)
		return EXIT_FAILED;
	rc = run(fd, &opts);
	close(fd);
	return rc;
}
