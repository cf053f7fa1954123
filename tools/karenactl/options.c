// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, the options that all commands have, and the one operand that
 * some have: the number of a heap.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

static const struct argp_option option_list[] = {
	{ "json", 'j', NULL, 0, "Write JSON, with all numbers in bytes", 0 },
	{ "bytes", 'b', NULL, 0, "Show sizes in bytes, not in KiB, MiB, GiB", 0 },
	{ }
};

/* What a command's options are, and where they go while they are parsed. */
struct parse {
	struct options *opts;
	enum operand operand;
};

static int take_common_option(int key, char *arg, struct argp_state *state)
{
	struct options *opts = state->input;

	(void)arg;
	if (key == 'j')
		opts->json = true;
	else if (key == 'b')
		opts->bytes = true;
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

const struct argp common_argp = {
	.options = option_list,
	.parser = take_common_option,
};

bool to_count(const char *text, __u64 most, __u64 *count)
{
	char *end;

	errno = 0;
	*count = strtoull(text, &end, 10);
	return !errno && end != text && !*end && *text != '-' && *count <= most;
}

/* 0 asks the module for the descriptor's own heap, so it is nobody's number. */
bool is_id(const char *text, __u32 *id)
{
	__u64 number;

	if (!to_count(text, (__u32)-1, &number) || !number)
		return false;
	*id = number;
	return true;
}

bool to_size(const char *text, __u64 *bytes)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;

	errno = 0;
	*bytes = strtoull(text, &end, 10);
	if (errno || end == text || *text == '-')
		return false;
	if (!*end)
		return true;
	unit = strchr(units, *end);
	if (!unit || end[1])
		return false;
	return !__builtin_mul_overflow(*bytes, 1ULL << 10 * (unit - units + 1), bytes);
}

int take_id(struct options *opts, const char *arg, struct argp_state *state)
{
	if (opts->has_id)
		argp_error(state, "'%s' is one argument too many", arg);
	if (!is_id(arg, &opts->id))
		argp_error(state, "'%s' is not the number of a heap", arg);
	opts->has_id = true;
	return 0;
}

int want_id(const struct options *opts, struct argp_state *state)
{
	if (!opts->has_id)
		argp_error(state, "which heap? (see karenactl heap list)");
	return 0;
}

static int take_operand(int key, char *arg, struct argp_state *state)
{
	struct parse *parse = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = parse->opts;
		return 0;
	case ARGP_KEY_ARG:
		if (parse->operand == TAKES_ID_AND_WORDS && parse->opts->has_id) {
			parse->opts->words = &state->argv[state->next - 1];
			parse->opts->nr_words = state->argc - state->next + 1;
			state->next = state->argc;
			return 0;
		}
		if (parse->operand == TAKES_NOTHING)
			argp_error(state, "'%s' is one argument too many", arg);
		return take_id(parse->opts, arg, state);
	case ARGP_KEY_END:
		return parse->operand >= TAKES_ID ? want_id(parse->opts, state) : 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void parse_options(struct options *opts, enum operand operand,
		   const char *args_doc, const char *doc, int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { } };
	const struct argp argp = {
		.parser = take_operand,
		.args_doc = args_doc,
		.doc = doc,
		.children = children,
	};
	struct parse parse = { .opts = opts, .operand = operand };

	if (argp_parse(&argp, argc, argv, 0, NULL, &parse))
		exit(EXIT_FAILED);
}
