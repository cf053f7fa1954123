// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl leak: what a heap has more of after some cycles, by type and by stack.  Each
 * time a full cycle goes before, so that what is counted is what is kept.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "diff.h"
#include "list.h"
#include "sites.h"

#define DEFAULT_CYCLES	3
#define MOST_CYCLES	1000000
#define PATIENCE	10	/* rounds of a tenth of a second, for a cycle of the heap's own */
#define TENTH		100000000
#define MOST_SITES	10

static const char doc[] =
	"Show what a heap that is collected has more of than before: by type, and, if it is\n"
	"sampled, by the stack that allocated it." BELOW_OPTIONS
	"Collects the heap, waits for three cycles of it, or runs one each second if it does\n"
	"none by itself, collects once more, and compares.  Ctrl-C shows at once what there\n"
	"is.  To have the stacks, sample the heap for a while before:\n"
	"\n"
	"  karenactl profile --rate 64K 1\n"
	"  karenactl leak --interval 60 1\n"
	"\n"
	"With --json: an object with types and stacks, both arrays, and sampled.";

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

/* What there is before (0) and after (1). */
struct leak {
	int fd;
	__u32 id;
	struct changes types;
	struct sites sites;
};

static void add_spans(struct changes *changes, const struct list *spans, const struct types *types,
		      int side)
{
	const struct karena_span_record *span;
	const void *at = NULL;
	char name[CELL_LEN];

	while ((at = list_next(spans, at))) {
		span = at;
		if (!span->objects || !span->live)
			continue;
		group_text(name, type_name(types, span->type), span->flags, span->object_size);
		changes_add(changes, name, side, span->live, span->live * span->object_size);
	}
}

static int count_types(struct leak *leak, int side)
{
	struct types types;
	struct list spans;

	if (read_types(leak->fd, leak->id, &types))
		return -1;
	if (read_list(leak->fd, KARENA_IOC_SPANS, 0, leak->id, &spans)) {
		types_free(&types);
		return -1;
	}
	add_spans(&leak->types, &spans, &types, side);
	list_free(&spans);
	types_free(&types);
	return 0;
}

static int look(struct leak *leak, int side)
{
	if (run_gc(leak->fd, leak->id) || count_types(leak, side))
		return -1;
	return sites_read(&leak->sites, leak->fd, leak->id, side);
}

/* Until another cycle of the heap is over. */
static int wait_cycle(const struct leak *leak)
{
	const struct timespec tenth = { .tv_nsec = TENTH };
	struct karena_gc_info before, now;
	int round;

	if (read_gc(leak->fd, leak->id, &before))
		return -1;
	for (round = 0; round < PATIENCE && !interrupted; round++) {
		nanosleep(&tenth, NULL);
		if (read_gc(leak->fd, leak->id, &now))
			return -1;
		if (now.cycles > before.cycles)
			return 0;
	}
	return interrupted ? 0 : run_gc(leak->fd, leak->id);
}

/* --- the command --- */

struct leak_options {
	struct options common;
	__u64 cycles;
	double interval;	/* instead of them, if not 0 */
};

static const struct argp_option option_list[] = {
	{ "cycles", 'c', "COUNT", 0, "Wait for so many cycles (3)", 0 },
	{ "interval", 'i', "SECONDS", 0, "Wait so long instead", 0 },
	{ }
};

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct leak_options *opts = state->input;
	char *end;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &opts->common;
		return 0;
	case 'c':
		if (!to_count(arg, MOST_CYCLES, &opts->cycles))
			argp_error(state, "'%s' is not a number of cycles", arg);
		return 0;
	case 'i':
		opts->interval = strtod(arg, &end);
		if (end == arg || *end || !(opts->interval > 0 && opts->interval < 1e9))
			argp_error(state, "'%s' is not a number of seconds", arg);
		return 0;
	case ARGP_KEY_ARG:
		return take_id(&opts->common, arg, state);
	case ARGP_KEY_END:
		return want_id(&opts->common, state);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int wait_for_it(const struct leak *leak, const struct leak_options *opts)
{
	const struct timespec interval = {
		.tv_sec = opts->interval,
		.tv_nsec = (opts->interval - floor(opts->interval)) * 1e9,
	};
	__u64 i;

	if (opts->interval) {
		nanosleep(&interval, NULL);
		return 0;
	}
	for (i = 0; i < opts->cycles && !interrupted; i++)
		if (wait_cycle(leak))
			return -1;
	return 0;
}

static bool is_sampled(const struct leak *leak)
{
	return leak->sites.profile[1].rate || leak->sites.profile[1].samples;
}

static void show_stacks(const struct leak *leak, bool raw)
{
	heading("by stack");
	if (!is_sampled(leak))
		printf("The heap is not sampled: karenactl profile --rate 64K %u, and again.\n",
		       leak->id);
	else if (!leak->sites.nr)
		puts("Nothing that is sampled grew.");
	else
		sites_print(&leak->sites, MOST_SITES, raw);
}

static void show(struct leak *leak, const struct options *opts)
{
	changes_sort(&leak->types);
	changes_only_growth(&leak->types);
	sites_sort(&leak->sites);
	if (opts->json) {
		print_json(json_pack("{so so sb}", "types", changes_json(&leak->types),
				     "stacks", sites_json(&leak->sites),
				     "sampled", is_sampled(leak)), JSON_INDENT(2));
		return;
	}
	heading("by type");
	if (leak->types.nr)
		changes_print(&leak->types, "TYPE", opts->bytes);
	else
		puts("Nothing grew.");
	show_stacks(leak, opts->bytes);
}

int cmd_leak(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { } };
	const struct argp argp = { option_list, take_option, "ID", doc, children, NULL, NULL };
	const struct sigaction action = { .sa_handler = interrupt };
	struct leak_options opts = { .cycles = DEFAULT_CYCLES };
	struct leak leak = { };
	int rc = EXIT_FAILED;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opts))
		return EXIT_FAILED;
	leak.id = opts.common.id;
	leak.fd = device_open_to_change();
	if (leak.fd < 0)
		return EXIT_FAILED;
	if (!look(&leak, 0)) {
		sigaction(SIGINT, &action, NULL);
		if (!wait_for_it(&leak, &opts) && !look(&leak, 1)) {
			show(&leak, &opts.common);
			rc = EXIT_OK;
		}
	}
	changes_free(&leak.types);
	sites_free(&leak.sites);
	close(leak.fd);
	return rc;
}
