// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl: look at the karena module and its heaps from outside.
 *
 * This file finds the command that is meant; it and its options are then the
 * command's own, as if it were a program.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

#define TEXT(x)		#x
#define TEXT_OF(x)	TEXT(x)

const char *argp_program_version = "karenactl " KARENA_VERSION
				   " (ABI " TEXT_OF(KARENA_ABI_VERSION) ")";

static const struct command {
	const char *noun;
	const char *verb;	/* NULL where the noun says it all */
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "info", NULL, "karenactl info", cmd_info },
	{ "heap", "list", "karenactl heap list", cmd_heap_list },
	{ "heap", "show", "karenactl heap show", cmd_heap_show },
	{ "heap", "explain", "karenactl heap explain", cmd_heap_explain },
	{ "heap", "reclaim", "karenactl heap reclaim", cmd_heap_reclaim },
	{ "class", "list", "karenactl class list", cmd_class_list },
	{ "span", "list", "karenactl span list", cmd_span_list },
	{ "type", "list", "karenactl type list", cmd_type_list },
	{ "cache", "list", "karenactl cache list", cmd_cache_list },
	{ "object", "show", "karenactl object show", cmd_object_show },
	{ "map", NULL, "karenactl map", cmd_map },
	{ "report", NULL, "karenactl report", cmd_report },
	{ "limit", NULL, "karenactl limit", cmd_limit },
	{ "reclaim", NULL, "karenactl reclaim", cmd_heap_reclaim },
	{ "bench", NULL, "karenactl bench", cmd_bench },
	{ "gc", "run", "karenactl gc run", cmd_gc_run },
	{ "gc", "status", "karenactl gc status", cmd_gc_status },
	{ "gc", "trace", "karenactl gc trace", cmd_gc_trace },
	{ "gc", "set", "karenactl gc set", cmd_gc_set },
	{ "check", NULL, "karenactl check", cmd_check },
	{ "profile", NULL, "karenactl profile", cmd_profile },
	{ "dump", NULL, "karenactl dump", cmd_dump },
	{ "why", NULL, "karenactl why", cmd_why },
	{ "diff", NULL, "karenactl diff", cmd_diff },
	{ "retained", NULL, "karenactl retained", cmd_retained },
	{ "export", NULL, "karenactl export", cmd_export },
	{ "leak", NULL, "karenactl leak", cmd_leak },
	{ "stat", NULL, "karenactl stat", cmd_stat },
	{ "top", NULL, "karenactl top", cmd_top },
};

static const char doc[] =
	"Look at the karena module and its heaps." BELOW_OPTIONS
	"Commands:\n"
	"  info            what the module is, can, and allows you\n"
	"  heap list       the heaps that you may see\n"
	"  heap show ID    one heap, tier by tier\n"
	"  heap explain ID why it is as big as it is\n"
	"  heap reclaim ID have it give back what it does not need\n"
	"  class list [ID] the size classes, or those that a heap uses\n"
	"  span list ID    its spans: pages with objects of one size\n"
	"  type list ID    the types of its objects, and how many there are\n"
	"  cache list ID   its magazines: objects that are ready to be taken\n"
	"  object show ID ADDRESS  what is at an address\n"
	"  map ID          its pages, as a picture\n"
	"  report ID -o FILE  a page about it, for a browser\n"
	"  limit ID [SIZE] memory that it is to stay below\n"
	"  reclaim ID      as heap reclaim\n"
	"  bench           how fast this machine allocates, at a glance\n"
	"  gc run ID       collect a heap now\n"
	"  gc status ID    what its collector has done, and how it is set\n"
	"  gc trace ID on|off  a line in the kernel's log for each cycle\n"
	"  gc set ID NAME=VALUE...  how it is collected\n"
	"  check ID        verify what the kernel knows of a heap\n"
	"  profile ID      where a heap's objects come from, for pprof\n"
	"  dump ID -o FILE its objects, references and roots, as they are now\n"
	"  why HEAP ADDRESS  what keeps an object: the way from a root\n"
	"  diff OLD NEW    two dumps: what there is more of\n"
	"  retained HEAP   what would go with what\n"
	"  export HEAP -o FILE  for Graphviz, or DevTools of a browser\n"
	"  leak ID         what grows from cycle to cycle\n"
	"  stat [INTERVAL [COUNT]]  all heaps together on a line; --prometheus\n"
	"  top             the heaps, again and again\n"
	"  help [COMMAND]  this text, or that of a command\n"
	"\n"
	"HEAP is a heap's number, or a dump's file.\n"
	"Each takes --json and --help.  KARENA_DEVICE in the environment names\n"
	"another device than /dev/karena.\n"
	"\n"
	"Exit status: 0 done, 1 it did not work, 2 wrong usage.";

/* Where the command's own arguments begin. */
struct start {
	int at;
};

static int stop_at_command(int key, char *arg, struct argp_state *state)
{
	struct start *start = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_ARG:
		start->at = state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which command?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.parser = stop_at_command,
	.args_doc = "COMMAND [ARGUMENT...]",
	.doc = doc,
};

static int wrong_command(const char *noun, const char *verb)
{
	if (verb)
		fprintf(stderr, "karenactl: '%s %s' is not a command\n", noun, verb);
	else
		fprintf(stderr, "karenactl: '%s' is not a command\n", noun);
	fputs("Try 'karenactl help'.\n", stderr);
	return EXIT_USAGE;
}

static const struct command *find_command(int argc, char **argv)
{
	const struct command *command;

	for (command = commands; command < commands + COUNT(commands); command++) {
		if (strcmp(argv[0], command->noun))
			continue;
		if (!command->verb)
			return command;
		if (argc > 1 && !strcmp(argv[1], command->verb))
			return command;
	}
	return NULL;
}

/* argv[0] becomes the command's whole name, which argp shows. */
static int run_command(int argc, char **argv)
{
	const struct command *command = find_command(argc, argv);
	int skip;

	if (!command)
		return wrong_command(argv[0], argc > 1 ? argv[1] : NULL);
	skip = command->verb ? 1 : 0;
	argv[skip] = (char *)command->name;
	return command->run(argc - skip, argv + skip);
}

static int show_help(int argc, char **argv)
{
	const struct command *command;
	char *args[3] = { argv[0], (char *)"--help" };

	if (argc < 2)
		return argp_parse(&argp, 2, args, 0, NULL, NULL);
	command = find_command(argc - 1, argv + 1);
	if (!command)
		return wrong_command(argv[1], argc > 2 ? argv[2] : NULL);
	args[0] = (char *)command->name;
	return command->run(2, args);
}

/* What is written is only written when all of it has left the buffer. */
static int finish(int rc)
{
	if (!ferror(stdout) && !fclose(stdout))
		return rc;
	perror("karenactl: standard output");
	return rc == EXIT_OK ? EXIT_FAILED : rc;
}

int main(int argc, char **argv)
{
	struct start start;

	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &start))
		return EXIT_USAGE;
	argc -= start.at;
	argv += start.at;
	if (strcmp(argv[0], "help"))
		return finish(run_command(argc, argv));
	argv[0] = (char *)"karenactl";
	return show_help(argc, argv);
}
