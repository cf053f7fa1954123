// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl limit: the soft limit of a heap, and what happens to programs above it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

#define MOST_WAIT	1000	/* ms; more is not granted */

static const char doc[] =
	"Show the soft limit of a heap, or set it." BELOW_OPTIONS
	"The heap stays below SIZE by being collected, if it is one of these, and by giving\n"
	"back all that is free.  If that does not suffice, a call to allocate\n"
	"  go-on  succeeds all the same (the default),\n"
	"  wait   waits for room, and then succeeds: for 1000 ms at most, or --wait,\n"
	"  fail   fails, if it needs more memory.\n"
	"\nWith --json: an object with the members of struct karena_memory, policy as above;\n"
	"over_heap and over_module tell whether a limit is passed.";

static const char * const policies[] = {
	[KARENA_OVER_GO_ON] = "go-on",
	[KARENA_OVER_WAIT] = "wait",
	[KARENA_OVER_FAIL] = "fail",
};

/* What is not asked for stays as it is. */
struct limit_options {
	struct options common;
	bool has_limit;
	__u64 limit;
	int policy;
	int wait_ms;
};

static const struct argp_option option_list[] = {
	{ "policy", 'p', "WHAT", 0, "What happens above it: go-on, wait or fail", 0 },
	{ "wait", 'w', "MS", 0, "Wait so many milliseconds; implies --policy wait", 0 },
	{ }
};

static void take_word(struct limit_options *opts, const char *arg, struct argp_state *state)
{
	if (!opts->common.has_id) {
		take_id(&opts->common, arg, state);
		return;
	}
	if (opts->has_limit)
		argp_error(state, "'%s' is one argument too many", arg);
	opts->has_limit = true;
	opts->limit = 0;
	if (strcmp(arg, "none") && (!to_size(arg, &opts->limit) || !opts->limit))
		argp_error(state, "'%s' is not a number of bytes, nor none", arg);
}

static int to_policy(const char *arg, struct argp_state *state)
{
	size_t i;

	for (i = 0; i < COUNT(policies); i++)
		if (!strcmp(arg, policies[i]))
			return i;
	argp_error(state, "'%s' is not go-on, wait or fail", arg);
	return -1;
}

static int to_wait(const char *arg, struct argp_state *state)
{
	char *end;
	long ms = strtol(arg, &end, 10);

	if (end == arg || *end || ms < 1 || ms > MOST_WAIT)
		argp_error(state, "'%s' is not a number of milliseconds up to %d", arg, MOST_WAIT);
	return ms;
}

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct limit_options *opts = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &opts->common;
		return 0;
	case 'p':
		opts->policy = to_policy(arg, state);
		return 0;
	case 'w':
		opts->wait_ms = to_wait(arg, state);
		return 0;
	case ARGP_KEY_ARG:
		take_word(opts, arg, state);
		return 0;
	case ARGP_KEY_END:
		if (opts->wait_ms && opts->policy >= 0 && opts->policy != KARENA_OVER_WAIT)
			argp_error(state, "--wait goes with --policy wait only");
		return want_id(&opts->common, state);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void print_text(const struct karena_memory *memory, bool raw)
{
	line_size("soft limit", memory->soft_limit ? memory->soft_limit : (__u64)-1, raw);
	line_text("above it", memory->policy < COUNT(policies) ? policies[memory->policy] : "?");
	if (memory->policy == KARENA_OVER_WAIT)
		line_count("for milliseconds", memory->wait_ms);
	line_text("is above it", memory->over & KARENA_OVER_HEAP ? "yes" : "no");
	line_text("all heaps, of theirs", memory->over & KARENA_OVER_MODULE ? "yes" : "no");
}

static void print_as_json(const struct karena_memory *memory)
{
	const char *policy = memory->policy < COUNT(policies) ? policies[memory->policy] : "?";
	json_t *limit = memory->soft_limit ? json_integer(memory->soft_limit) : json_null();

	print_json(json_pack("{sIsosssIsbsbsb}", "id", (json_int_t)memory->id,
			     "soft_limit", limit, "policy", policy,
			     "wait_ms", (json_int_t)memory->wait_ms,
			     "eager", memory->eager != 0,
			     "over_heap", (memory->over & KARENA_OVER_HEAP) != 0,
			     "over_module", (memory->over & KARENA_OVER_MODULE) != 0),
		   JSON_INDENT(2));
}

static void change(struct karena_memory *memory, const struct limit_options *opts)
{
	if (opts->has_limit)
		memory->soft_limit = opts->limit;
	if (opts->policy >= 0)
		memory->policy = opts->policy;
	if (opts->wait_ms)
		memory->policy = KARENA_OVER_WAIT;
	if (memory->policy != KARENA_OVER_WAIT)
		memory->wait_ms = 0;
	else if (opts->wait_ms)
		memory->wait_ms = opts->wait_ms;
	else if (!memory->wait_ms)
		memory->wait_ms = MOST_WAIT;
}

/* Shows it, unless it has been set. */
static int run(int fd, const struct limit_options *opts, bool set)
{
	struct karena_memory memory;

	if (read_memory(fd, opts->common.id, &memory))
		return EXIT_FAILED;
	if (set) {
		change(&memory, opts);
		if (set_memory(fd, &memory) || read_memory(fd, opts->common.id, &memory))
			return EXIT_FAILED;
	}
	if (opts->common.json)
		print_as_json(&memory);
	else if (!set)
		print_text(&memory, opts->common.bytes);
	return EXIT_OK;
}

int cmd_limit(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { } };
	const struct argp argp = {
		option_list, take_option, "ID [SIZE|none]", doc, children, NULL, NULL
	};
	struct limit_options opts = { .policy = -1 };
	bool set;
	int fd, rc;

	if (argp_parse(&argp, argc, argv, 0, NULL, &opts))
		return EXIT_FAILED;
	set = opts.has_limit || opts.policy >= 0 || opts.wait_ms;
	fd = set ? device_open_to_change() : device_open();
	if (fd < 0)
		return EXIT_FAILED;
	rc = run(fd, &opts, set);
	close(fd);
	return rc;
}
