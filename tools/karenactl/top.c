// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl top: the heaps, largest first, again and again, with what has
 * happened in each since the last look.
 *
 * On a terminal each look overwrites the last and q ends it; else, and with
 * --batch, one stands below the other.  Keys come without echo and without
 * Enter, which is undone on each way out.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

#define HOME_AND_CLEAR	"\033[H\033[J"
#define OPT_BYTES	256
#define MAX_DELAY	86400.0

/* All heaps at one moment. */
struct look {
	struct karena_heap_info *heaps;
	size_t count;
	struct timespec when;
};

struct top {
	int fd;
	bool json;
	bool bytes;
	bool batch;
	unsigned long rounds;	/* 0 for no end */
	double delay;		/* seconds */
	struct look now, last;
};

static const char doc[] =
	"Show the heaps again and again, largest first; q quits." BELOW_OPTIONS
	"With --json: one line a round, an object with the time and the heaps.\n"
	"If the output is no terminal, --batch is implied.";

static const struct argp_option option_list[] = {
	{ "batch", 'b', NULL, 0, "One table below the other, no keys", 0 },
	{ "bytes", OPT_BYTES, NULL, 0, "Show sizes in bytes", 0 },
	{ "delay", 'd', "SECONDS", 0, "Time between two rounds (1)", 0 },
	{ "iterations", 'n', "COUNT", 0, "End after so many rounds", 0 },
	{ "json", 'j', NULL, 0, "Write JSON, with all numbers in bytes", 0 },
	{ }
};

static const struct column columns[] = {
	{ "ID", false }, { "NAME", true }, { "KIND", true }, { "USER", true },
	{ "PID", false }, { "HELD", false }, { "LIVE", false },
	{ "OBJECTS", false }, { "ALLOC/S", false }, { "FREE/S", false },
	{ "REFILL/S", false },
};

static int stop;	/* set by a signal, hence atomically */
static struct termios before;

static double to_delay(const char *arg, struct argp_state *state)
{
	char *end;
	double delay = strtod(arg, &end);

	if (end == arg || *end || !(delay >= 0 && delay <= MAX_DELAY))
		argp_error(state, "'%s' is not a number of seconds", arg);
	return delay;
}

static unsigned long to_rounds(const char *arg, struct argp_state *state)
{
	unsigned long rounds;
	char *end;

	errno = 0;
	rounds = strtoul(arg, &end, 10);
	if (errno || end == arg || *end || *arg == '-' || !rounds)
		argp_error(state, "'%s' is not a number of rounds", arg);
	return rounds;
}

static int take_option(int key, char *arg, struct argp_state *state)
{
	struct top *top = state->input;

	switch (key) {
	case 'b':
		top->batch = true;
		return 0;
	case 'd':
		top->delay = to_delay(arg, state);
		return 0;
	case 'j':
		top->json = true;
		top->batch = true;
		return 0;
	case 'n':
		top->rounds = to_rounds(arg, state);
		return 0;
	case OPT_BYTES:
		top->bytes = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "'%s' is one argument too many", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_list,
	.parser = take_option,
	.doc = doc,
};

static int larger_first(const void *a, const void *b)
{
	const struct karena_heap_info *x = a, *y = b;

	if (x->held_bytes != y->held_bytes)
		return x->held_bytes < y->held_bytes ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static int take_look(int fd, struct look *look)
{
	struct karena_heap_info heap = { };
	int more;

	look->count = 0;
	while ((more = next_heap(fd, heap.id, &heap)) > 0) {
		look->heaps = must_have(reallocarray(look->heaps,
						     look->count + 1,
						     sizeof(heap)));
		look->heaps[look->count++] = heap;
	}
	clock_gettime(CLOCK_MONOTONIC, &look->when);
	if (look->count)
		qsort(look->heaps, look->count, sizeof(heap), larger_first);
	return more;
}

static const struct karena_heap_info *find(const struct look *look, __u32 id)
{
	size_t i;

	for (i = 0; i < look->count; i++)
		if (look->heaps[i].id == id)
			return &look->heaps[i];
	return NULL;
}

static double seconds_between(const struct look *a, const struct look *b)
{
	return b->when.tv_sec - a->when.tv_sec +
	       (b->when.tv_nsec - a->when.tv_nsec) / 1e9;
}

/* A heap that is new has no rate yet. */
static void add_rates(struct table *table, const struct top *top,
		      const struct karena_heap_info *heap)
{
	const struct karena_heap_info *old = find(&top->last, heap->id);
	double seconds = seconds_between(&top->last, &top->now);

	if (!old || seconds <= 0) {
		table_text(table, 8, "-");
		table_text(table, 9, "-");
		table_text(table, 10, "-");
		return;
	}
	table_count(table, 8, (heap->allocs - old->allocs) / seconds + 0.5);
	table_count(table, 9, (heap->frees - old->frees) / seconds + 0.5);
	table_count(table, 10, (heap->refills - old->refills) / seconds + 0.5);
}

static void add_heap(struct table *table, const struct top *top,
		     const struct karena_heap_info *heap)
{
	add_heap_cells(table, heap, top->bytes);
	add_rates(table, top, heap);
	table_row(table);
}

static void print_summary(const struct top *top)
{
	char clock[16], held[CELL_LEN], live[CELL_LEN];
	__u64 held_sum = 0, live_sum = 0;
	time_t now = time(NULL);
	size_t i;

	for (i = 0; i < top->now.count; i++) {
		held_sum += top->now.heaps[i].held_bytes;
		live_sum += top->now.heaps[i].live_bytes;
	}
	strftime(clock, sizeof(clock), "%H:%M:%S", localtime(&now));
	printf("%s  %zu heap%s, %s held, %s live%s\n", clock, top->now.count,
	       top->now.count == 1 ? "" : "s",
	       size_text(held, held_sum, top->bytes),
	       size_text(live, live_sum, top->bytes),
	       top->batch ? "" : "  (q quits)");
}

/* Without the summary, the titles and the line where the cursor rests. */
static size_t rows_of_screen(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_row < 5)
		return (size_t)-1;
	return size.ws_row - 3;
}

static void print_tables(const struct top *top)
{
	struct table table;
	size_t i;

	table_begin(&table, columns, COUNT(columns));
	for (i = 0; i < top->now.count; i++)
		add_heap(&table, top, &top->now.heaps[i]);
	if (!top->batch)
		fputs(HOME_AND_CLEAR, stdout);
	print_summary(top);
	table_print(&table, top->batch ? (size_t)-1 : rows_of_screen());
	if (top->batch)
		putchar('\n');
	table_end(&table);
}

static void print_round_json(const struct top *top)
{
	json_t *round = must_have(json_object());
	json_t *heaps = must_have(json_array());
	size_t i;

	for (i = 0; i < top->now.count; i++)
		json_array_append_new(heaps, heap_json(&top->now.heaps[i]));
	json_object_set_new(round, "time", must_have(json_integer(time(NULL))));
	json_object_set_new(round, "heaps", heaps);
	print_json(round, JSON_COMPACT);
}

/* Nobody may be left who reads: then there is nothing to go on for. */
static int show_round(const struct top *top)
{
	if (top->json)
		print_round_json(top);
	else
		print_tables(top);
	return fflush(stdout);
}

/* True when q was pressed, or the keyboard is gone. */
static bool wait_for_key(double delay)
{
	struct pollfd keys = { .fd = STDIN_FILENO, .events = POLLIN };
	char key = 0;

	if (poll(&keys, 1, delay * 1000) <= 0)
		return false;
	return read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q';
}

static bool rest(const struct top *top)
{
	struct timespec time = {
		.tv_sec = top->delay,
		.tv_nsec = (top->delay - (time_t)top->delay) * 1e9,
	};

	if (!top->batch)
		return wait_for_key(top->delay);
	nanosleep(&time, NULL);
	return false;
}

static int run(struct top *top)
{
	unsigned long round = 0;
	struct look look;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		if (take_look(top->fd, &top->now) || show_round(top))
			return EXIT_FAILED;
		if (++round == top->rounds || rest(top))
			break;
		look = top->last;
		top->last = top->now;
		top->now = look;
	}
	return EXIT_OK;
}

static void ask_to_stop(int number)
{
	(void)number;
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
}

static void restore_terminal(void)
{
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void take_keys(void)
{
	const struct sigaction action = { .sa_handler = ask_to_stop };
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &before))
		return;
	atexit(restore_terminal);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	raw = before;
	raw.c_lflag &= ~(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

int cmd_top(int argc, char **argv)
{
	struct top top = { .delay = 1 };
	int rc;

	if (argp_parse(&argp, argc, argv, 0, NULL, &top))
		return EXIT_FAILED;
	if (!is_terminal() || !isatty(STDIN_FILENO))
		top.batch = true;
	top.fd = device_open();
	if (top.fd < 0)
		return EXIT_FAILED;
	if (!top.batch)
		take_keys();
	rc = run(&top);
	free(top.now.heaps);
	free(top.last.heaps);
	close(top.fd);
	return rc;
}
