// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl gc run, status, trace and set: the collector of one heap.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

static const char run_doc[] =
	"Collect a heap now, and wait until what was found dead is free." BELOW_OPTIONS
	"With --json: what gc status says afterwards.";

static const char status_doc[] =
	"Show what the collector of a heap has done, and how it is set." BELOW_OPTIONS
	"With --json: an object with the members of struct karena_gc_info, and those\n"
	"of struct karena_gc_control as control.";

static const char trace_doc[] =
	"Switch the line in the kernel's log on or off that a heap's collector writes\n"
	"after each cycle, in the format of Go's GODEBUG=gctrace=1 (dmesg, journalctl -k).";

static const char set_doc[] =
	"Change how a heap is collected; what is not named stays." BELOW_OPTIONS
	"  percent=N       growth over what is alive until a cycle ends (GOGC); off: never\n"
	"  min_heap=SIZE   no goal is below percent of it\n"
	"  mem_limit=SIZE  memory to stay below by collecting, 0: none (GOMEMLIMIT)\n"
	"  period_ms=N     a cycle at least so often, 0: no\n"
	"  slice_us=N      marking at a stretch\n"
	"  share=N         percent of all CPUs for marking in the background\n"
	"  assist_us=N     most that an allocation helps at a time, 0: not at all\n"
	"  workers=N       who mark at a time, 0: as share needs\n"
	"  trace=0|1       see gc trace\n"
	"  check=0|1       check the marks of each cycle by other means\n"
	"\n"
	"SIZE is in bytes, or ends with K, M, G or T.";

#define AT(member)	offsetof(struct karena_gc_control, member)

static const struct setting {
	const char *name;
	size_t offset;
	bool wide;		/* 8 bytes, else 4 */
} settings[] = {
	{ "percent", AT(percent), false },	/* first: it may be off */
	{ "min_heap", AT(min_heap), true },
	{ "mem_limit", AT(mem_limit), true },
	{ "period_ms", AT(period_ms), false },
	{ "slice_us", AT(slice_us), false },
	{ "share", AT(share), false },
	{ "assist_us", AT(assist_us), false },
	{ "workers", AT(workers), false },
	{ "trace", AT(trace), false },
	{ "check", AT(check), false },
};

/* Both of what there is to know; 0 or -1. */
static int read_both(int fd, __u32 id, struct karena_gc_info *info,
		     struct karena_gc_control *control)
{
	return read_gc(fd, id, info) ? -1 : read_gc_control(fd, id, control);
}

/* Below what time, as in struct karena_gc_info, all but @share of them were. */
static __u64 quantile_us(const __u64 *buckets, double share)
{
	__u64 all = 0, sum = 0;
	int i;

	for (i = 0; i < KARENA_GC_BUCKETS; i++)
		all += buckets[i];
	for (i = 0; i < KARENA_GC_BUCKETS - 1; i++) {
		sum += buckets[i];
		if (sum >= all * (1 - share))
			break;
	}
	return 1ULL << i;
}

static void print_times(const char *label, const __u64 *buckets)
{
	char text[2 * CELL_LEN];

	snprintf(text, sizeof(text), "half below %llu us, 99 %% below %llu us",
		 (unsigned long long)quantile_us(buckets, 0.5),
		 (unsigned long long)quantile_us(buckets, 0.01));
	line_text(label, text);
}

static void print_ms(const char *label, __u64 ns)
{
	char text[CELL_LEN];

	snprintf(text, sizeof(text), "%.3f ms", ns / 1e6);
	line_text(label, text);
}

static void print_control(const struct karena_gc_control *control, bool raw)
{
	heading("how it is set");
	if (control->percent < 0)
		line_text("percent", "off");
	else
		line_count("percent", control->percent);
	line_size("min_heap", control->min_heap, raw);
	line_size("mem_limit", control->mem_limit, raw);
	line_count("period_ms", control->period_ms);
	line_count("slice_us", control->slice_us);
	line_count("share", control->share);
	line_count("assist_us", control->assist_us);
	line_count("workers", control->workers);
	line_count("trace", control->trace);
	line_count("check", control->check);
}

static void print_status(const struct karena_gc_info *info,
			 const struct karena_gc_control *control, bool raw)
{
	heading("cycles");
	line_text("phase", phase_text(info->phase));
	line_count("complete", info->cycles);
	line_count("asked for", info->forced);
	line_size("found alive last", info->live_bytes, raw);
	line_size("goal", info->goal_bytes, raw);
	line_count("objects found dead", info->freed_objects);
	line_size("their bytes", info->freed_bytes, raw);
	heading("marking");
	print_ms("in all", info->mark_ns);
	print_ms("by allocations", info->assist_ns);
	print_times("slices", info->slice_us);
	print_times("assists", info->assist_us);
	heading("stops of all threads");
	line_count("made", info->stops);
	line_count("put off", info->put_off);
	print_ms("the longest", info->stop_max_ns);
	print_times("stops", info->stop_us);
	print_control(control, raw);
}

static int show(int fd, const struct options *opts)
{
	struct karena_gc_control control;
	struct karena_gc_info info;

	if (read_both(fd, opts->id, &info, &control))
		return EXIT_FAILED;
	if (opts->json)
		print_json(gc_json(&info, &control), JSON_INDENT(2));
	else
		print_status(&info, &control, opts->bytes);
	return EXIT_OK;
}

int cmd_gc_status(int argc, char **argv)
{
	struct options opts = { };
	int fd, rc;

	parse_options(&opts, TAKES_ID, "ID", status_doc, argc, argv);
	fd = device_open();
	if (fd < 0)
		return EXIT_FAILED;
	rc = show(fd, &opts);
	close(fd);
	return rc;
}

int cmd_gc_run(int argc, char **argv)
{
	struct options opts = { };
	int fd, rc = EXIT_FAILED;

	parse_options(&opts, TAKES_ID, "ID", run_doc, argc, argv);
	fd = device_open_to_change();
	if (fd < 0)
		return EXIT_FAILED;
	if (!run_gc(fd, opts.id))
		rc = opts.json ? show(fd, &opts) : EXIT_OK;
	close(fd);
	return rc;
}

static int wrong(const char *word)
{
	if (*word)
		fprintf(stderr, "karenactl: '%s' is not understood (see --help)\n", word);
	else
		fputs("karenactl: to what? (see --help)\n", stderr);
	return EXIT_USAGE;
}

/* One NAME=VALUE; false if it is none. */
static bool change(struct karena_gc_control *control, const char *word)
{
	const char *value = strchr(word, '=');
	const struct setting *s;
	__u64 number;
	__u32 narrow;

	for (s = settings; value && s < settings + COUNT(settings); s++)
		if (strlen(s->name) == (size_t)(value - word) &&
		    !strncmp(s->name, word, value - word))
			break;
	if (!value || s == settings + COUNT(settings))
		return false;
	value++;
	if (s == settings && !strcmp(value, "off")) {
		control->percent = -1;
		return true;
	}
	if (!to_size(value, &number))
		return false;
	narrow = number;
	if (s->wide)
		memcpy((char *)control + s->offset, &number, sizeof(number));
	else
		memcpy((char *)control + s->offset, &narrow, sizeof(narrow));
	return s->wide || narrow == number;
}

/* Changes what all words say, or nothing. */
static int change_all(const struct options *opts, int nr, const char *const *words)
{
	struct karena_gc_control control = { };
	int fd, i, rc = EXIT_FAILED;

	for (i = 0; i < nr; i++)
		if (!change(&control, words[i]))
			return wrong(words[i]);
	fd = device_open_to_change();
	if (fd < 0)
		return EXIT_FAILED;
	if (!read_gc_control(fd, opts->id, &control)) {
		for (i = 0; i < nr; i++)
			change(&control, words[i]);
		rc = set_gc_control(fd, &control) ? EXIT_FAILED : EXIT_OK;
	}
	if (rc == EXIT_OK && opts->json)
		rc = show(fd, opts);
	close(fd);
	return rc;
}

int cmd_gc_set(int argc, char **argv)
{
	struct options opts = { };

	parse_options(&opts, TAKES_ID_AND_WORDS, "ID NAME=VALUE...", set_doc, argc, argv);
	if (!opts.nr_words)
		return wrong("");
	return change_all(&opts, opts.nr_words, (const char *const *)opts.words);
}

int cmd_gc_trace(int argc, char **argv)
{
	struct options opts = { };
	const char *word;

	parse_options(&opts, TAKES_ID_AND_WORDS, "ID on|off", trace_doc, argc, argv);
	word = opts.nr_words == 1 ? opts.words[0] : "";
	if (!strcmp(word, "on"))
		return change_all(&opts, 1, (const char *[]){ "trace=1" });
	if (!strcmp(word, "off"))
		return change_all(&opts, 1, (const char *[]){ "trace=0" });
	return wrong(word);
}
