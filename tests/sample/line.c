// SPDX-License-Identifier: GPL-2.0
/*
 * The commands of a guest, a line each: see sample.c.  Beside those for its tree and
 * for tables there is one for each function that works in a program's heap, so that
 * tests can try them with any address.
 */
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "kmod/karena.h"
#include "guest.h"

#define MAX_BYTES	1024u

/* A line: its words, and where the answer goes. */
struct line {
	const char *verb;
	const char *text;		/* the second word, */
	s64 arg[4];			/* and all behind the first as numbers */
	unsigned int nr;
	char *answer;
	size_t room;
};

static void __user *address(const struct line *line, unsigned int i)
{
	return (void __user *)(unsigned long)line->arg[i];
}

static int open(struct guest **guest, struct line *line)
{
	struct guest *new = guest_open(line->arg[0], line->arg[1]);

	if (IS_ERR(new))
		return PTR_ERR(new);
	guest_close(*guest);
	*guest = new;
	return 0;
}

static int tasks(struct guest **guest, struct line *line)
{
	int n = guest_add_tasks(*guest);

	if (n >= 0)
		snprintf(line->answer, line->room, "%d\n", n);
	return n;
}

static int add(struct guest **guest, struct line *line)
{
	return guest_add(*guest, line->arg[0], line->text);
}

static int root(struct guest **guest, struct line *line)
{
	snprintf(line->answer, line->room, "%#lx\n", (unsigned long)(*guest)->root);
	return 0;
}

static int forget(struct guest **guest, struct line *line)
{
	guest_forget(*guest);
	return 0;
}

static int pin(struct guest **guest, struct line *line)
{
	return karena_user_pin((*guest)->heap, address(line, 0));
}

static int unpin(struct guest **guest, struct line *line)
{
	return karena_user_unpin((*guest)->heap, address(line, 0));
}

static int size(struct guest **guest, struct line *line)
{
	snprintf(line->answer, line->room, "%zu\n",
		 karena_user_size((*guest)->heap, address(line, 0)));
	return 0;
}

static int load(struct guest **guest, struct line *line)
{
	void __user *value = karena_user_load((*guest)->heap, address(line, 0));

	if (IS_ERR(value))
		return PTR_ERR(value);
	snprintf(line->answer, line->room, "%#lx\n", (unsigned long)value);
	return 0;
}

static int store(struct guest **guest, struct line *line)
{
	return karena_user_store((*guest)->heap, address(line, 0), address(line, 1));
}

/* The sum of so many bytes. */
static int read(struct guest **guest, struct line *line)
{
	size_t i, len = line->arg[1];
	u8 bytes[MAX_BYTES];
	u64 sum = 0;
	int err;

	if (len > MAX_BYTES)
		return -EINVAL;
	err = karena_user_read((*guest)->heap, address(line, 0), bytes, len);
	for (i = 0; i < len && !err; i++)
		sum += bytes[i];
	if (!err)
		snprintf(line->answer, line->room, "%llu\n", sum);
	return err;
}

/* So many bytes, each as the third number says. */
static int write(struct guest **guest, struct line *line)
{
	u8 bytes[MAX_BYTES];

	if (line->arg[1] > MAX_BYTES)
		return -EINVAL;
	memset(bytes, line->arg[2], sizeof(bytes));
	return karena_user_write((*guest)->heap, address(line, 0), bytes, line->arg[1]);
}

static int move(struct guest **guest, struct line *line)
{
	const struct guest_table table = {
		address(line, 0), line->arg[1], line->arg[2], line->arg[3],
	};

	if (!table.nr)
		return -EINVAL;
	return strcmp(line->verb, "bare") ? guest_move(*guest, &table) : bare_swap(&table);
}

static const struct command {
	const char *verb;
	unsigned int nr;		/* of words behind it */
	int (*answer)(struct guest **guest, struct line *line);
	bool section;			/* needs one */
} commands[] = {
	{ "open", 2, open }, { "tasks", 0, tasks }, { "add", 2, add }, { "root", 0, root },
	{ "forget", 0, forget }, { "move", 4, move }, { "bare", 4, move }, { "unpin", 1, unpin },
	{ "pin", 1, pin, true }, { "size", 1, size, true }, { "load", 1, load, true },
	{ "store", 2, store, true }, { "read", 2, read, true }, { "write", 3, write, true },
};

static void parse(struct line *line, char *text)
{
	char *word;

	line->verb = strsep(&text, " ");
	while ((word = strsep(&text, " ")) && line->nr < ARRAY_SIZE(line->arg)) {
		/* What is no number is a name. */
		if (kstrtos64(word, 0, &line->arg[line->nr]) &&
		    kstrtou64(word, 0, (u64 *)&line->arg[line->nr]))
			line->text = word;
		line->nr++;
	}
}

static int do_command(const struct command *command, struct guest **guest, struct line *line)
{
	int section, result;

	if (!*guest && command->answer != open)
		return -ENOTTY;
	if (!command->section)
		return command->answer(guest, line);
	section = karena_enter((*guest)->heap);
	result = command->answer(guest, line);
	karena_exit((*guest)->heap, section);
	return result;
}

/**
 * guest_answer - do what a line says
 * @guest: the guest, NULL until a line has opened it
 * @line: the line, which is changed
 * @answer: gets the answer, if there is one but for ok and error
 * @room: bytes there
 *
 * Return: 0 or more, or -errno of what was done; -ENOTTY if the line says nothing.
 */
int guest_answer(struct guest **guest, char *line, char *answer, size_t room)
{
	struct line parsed = { .text = "", .answer = answer, .room = room };
	const struct command *command;

	parse(&parsed, strim(line));
	for (command = commands; command < commands + ARRAY_SIZE(commands); command++)
		if (!strcmp(parsed.verb, command->verb) && parsed.nr == command->nr)
			return do_command(command, guest, &parsed);
	return -ENOTTY;
}
