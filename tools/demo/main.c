// SPDX-License-Identifier: GPL-2.0
/*
 * karena-demo: an index of real text, in a heap that survives its writers.
 *
 * This file has the options.  Started by a user it is the server, which
 * starts this program again as the indexers.
 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "demo.h"

#define EXIT_USAGE	2

/* Where argp puts the list of options into the text of --help. */
#define BELOW_OPTIONS	"\v"

enum {
	OPT_INDEX = 256,
	OPT_GO_ON,
	OPT_LIST,
	OPT_MAX_FILES,
	OPT_MAX_BYTES,
	OPT_SHOW,
};

const char *argp_program_version = "karena-demo " KARENA_VERSION;

static const char * const default_queries[] = {
	"merchantability fitness", "copyright holder", "free software foundation",
};

static const char doc[] =
	"Index text in a heap that its writers do not survive, but it survives them." BELOW_OPTIONS
	"FILEs may be folders.  Without any, the licences and copyright files below\n"
	"/usr/share are indexed, up to 200 files and 4 MiB.\n"
	"\n"
	"The COMMAND of --show finds the heap's number in KARENA_HEAP, and in\n"
	"KARENA_STEP one of interrupted, indexed, killed, freed.\n"
	"\n"
	"Exit status: 0 all was as it should be, 1 it was not, 2 wrong usage.";

static const struct argp_option option_list[] = {
	{ "json", 'j', NULL, 0, "Write the outcome as JSON", 0 },
	{ "quiet", 'q', NULL, 0, "Write nothing but errors", 0 },
	{ "query", 'Q', "WORDS", 0, "Ask for documents with all WORDS (up to 8 times)", 0 },
	{ "seed", 's', "N", 0, "Repeat the random choices of another run", 0 },
	{ "max-files", OPT_MAX_FILES, "N", 0, "Take the first N files", 0 },
	{ "max-bytes", OPT_MAX_BYTES, "N", 0, "Leave out what makes it more", 0 },
	{ "show", OPT_SHOW, "COMMAND", 0, "Run COMMAND at each step", 0 },
	{ "index", OPT_INDEX, "FD", OPTION_HIDDEN, "Be the first indexer", 0 },
	{ "go-on", OPT_GO_ON, "FD", OPTION_HIDDEN, "Be the second", 0 },
	{ "list", OPT_LIST, "FD", OPTION_HIDDEN, "Paths for an indexer", 0 },
	{ }
};

static __u64 to_number(const char *arg, struct argp_state *state)
{
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(arg, &end, 0);
	if (errno || end == arg || *end || strchr(arg, '-'))
		argp_error(state, "'%s' is not a number", arg);
	return number;
}

static __u64 to_limit(const char *arg, struct argp_state *state)
{
	__u64 number = to_number(arg, state);

	if (!number)
		argp_error(state, "'%s' leaves nothing to index", arg);
	return number;
}

static void add_query(struct options *opts, const char *arg,
		      struct argp_state *state)
{
	if (opts->nr_queries == MAX_QUERIES)
		argp_error(state, "too many queries");
	opts->queries[opts->nr_queries++] = arg;
}

static int take_switch(int key, struct options *opts)
{
	if (key == 'j')
		opts->json = true;
	else if (key == 'q')
		opts->quiet = true;
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct options *opts = state->input;

	switch (key) {
	case 'Q':
		add_query(opts, arg, state);
		return 0;
	case 's':
		opts->seed = to_number(arg, state);
		return 0;
	case OPT_MAX_FILES:
		opts->max_files = to_limit(arg, state);
		return 0;
	case OPT_MAX_BYTES:
		opts->max_bytes = to_limit(arg, state);
		return 0;
	case OPT_SHOW:
		opts->show = arg;
		return 0;
	case OPT_INDEX:
	case OPT_GO_ON:
		opts->go_on = key == OPT_GO_ON;
		opts->socket = to_number(arg, state);
		return 0;
	case OPT_LIST:
		opts->list = to_number(arg, state);
		return 0;
	case ARGP_KEY_ARGS:
		opts->files = state->argv + state->next;
		opts->nr_files = state->argc - state->next;
		return 0;
	default:
		return take_switch(key, opts);
	}
}

static const struct argp argp = {
	.options = option_list,
	.parser = take_option,
	.args_doc = "[FILE...]",
	.doc = doc,
};

static __u64 any_seed(void)
{
	__u32 seed = 1;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
		return 1;
	return seed;
}

/* Text that is known can be asked something sensible. */
static void choose_queries(struct options *opts)
{
	if (opts->nr_queries || opts->nr_files)
		return;
	memcpy(opts->queries, default_queries, sizeof(default_queries));
	opts->nr_queries = COUNT(default_queries);
}

static int finish(const struct options *opts, const struct result *result,
		  bool ok)
{
	if (opts->json)
		report_json(result, ok);
	else if (ok)
		say(opts, "\nAll as it should be.\n");
	if (ferror(stdout) || fclose(stdout)) {
		perror("karena-demo: standard output");
		ok = false;
	}
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct options opts = { .socket = -1, .seed = any_seed() };
	static struct result result;

	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &opts))
		return EXIT_USAGE;
	if (opts.socket >= 0)
		return run_indexer(&opts);
	choose_queries(&opts);
	return finish(&opts, &result, !run_server(&opts, &result));
}
