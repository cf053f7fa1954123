// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl gc and stat on a heap that is known: what they do and tell is what the calls
 * do and tell.  Prometheus' text is read by a small parser, as strict as Prometheus'.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <fcntl.h>
#include <karena.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"
#include "tool.h"

static struct karena *open_collected(void)
{
	struct karena_options opts = {
		.flags = KARENA_COLLECT, .name = "t_libctl \"\\", .window = WINDOW,
	};
	struct karena *heap = karena_open(&opts);

	check(heap);
	return heap;
}

static void collect_and_look(void)
{
	struct karena *heap = open_collected();
	struct karena_gc_info info = { .size = sizeof(info) };
	__u32 id;

	if (!heap)
		return;
	id = karena_id(heap);
	check_eq(run("karenactl gc run %u", id), 0);
	check_eq(run("karenactl gc run --json %u", id), 0);
	check_eq(json("cycles"), 2);
	check_eq(json("forced"), 2);
	check_eq(run("karenactl gc status %u", id), 0);
	says("complete               2\n");
	check(!karena_gc_stats(heap, &info));
	check_eq(info.cycles, 2);
	karena_close(heap);
}

static void set_and_look(void)
{
	struct karena *heap = open_collected();
	struct karena_gc_control before, after;
	__u32 id;

	if (!heap)
		return;
	id = karena_id(heap);
	karena_gc_get(heap, &before);
	check_eq(run("karenactl gc set %u percent=37 mem_limit=3M slice_us=50", id), 0);
	karena_gc_get(heap, &after);
	check_eq(after.percent, 37);
	check_eq(after.mem_limit, 3 * MIB);
	check_eq(after.slice_us, 50);
	check_eq(after.min_heap, before.min_heap);
	check_eq(after.share, before.share);
	check_eq(run("karenactl gc set --json %u percent=off", id), 0);
	check_eq(json("percent"), -1);
	/* All or nothing. */
	check_eq(run("karenactl gc set %u percent=50 share=101", id), 1);
	says("out of range");
	check_eq(run("karenactl gc set %u percent=50 nonsense=1", id), 2);
	karena_gc_get(heap, &after);
	check_eq(after.percent, -1);
	karena_close(heap);
}

/* Whether the kernel's log has a line of a heap's cycle; behind all of before. */
static bool logged(int log, __u32 id)
{
	char line[8192], want[64];
	bool found = false;
	ssize_t n;

	snprintf(want, sizeof(want), "karena: heap %u (", id);
	while ((n = read(log, line, sizeof(line) - 1)) > 0) {
		line[n] = '\0';
		found |= strstr(line, want) && strstr(line, ": gc ") && strstr(line, " MB goal");
	}
	return found;
}

static void trace_and_look(void)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	struct karena *heap = open_collected();
	__u32 id;

	if (!heap || !check(log >= 0))
		return;
	id = karena_id(heap);
	lseek(log, 0, SEEK_END);
	/* New heaps may begin otherwise. */
	check_eq(run("karenactl gc trace %u off", id), 0);
	check_eq(run("karenactl gc run %u", id), 0);
	check(!logged(log, id));
	check_eq(run("karenactl gc trace %u on", id), 0);
	check_eq(run("karenactl gc run %u", id), 0);
	/* The setting waits for the cycle, which writes the line before it is over. */
	check_eq(run("karenactl gc trace %u off", id), 0);
	check(logged(log, id));
	check_eq(run("karenactl gc run %u", id), 0);
	check_eq(run("karenactl gc trace %u off", id), 0);
	check(!logged(log, id));
	close(log);
	karena_close(heap);
}

static void not_collected(void)
{
	struct karena *heap = karena_open(NULL);
	__u32 id;

	if (!check(heap))
		return;
	id = karena_id(heap);
	check_eq(run("karenactl gc run %u", id), 1);
	says("not collected");
	check_eq(run("karenactl gc status %u", id), 1);
	says("not collected");
	check_eq(run("karenactl gc set %u percent=1", id), 1);
	says("not collected");
	karena_close(heap);
}

/* --- Prometheus --- */

/* A metric's name, which has to come once, with all of its lines together. */
struct seen {
	char name[128];
	char type[16];
};

static struct seen seen[256];
static unsigned int nr_seen;

static bool is_name(const char *at, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++)
		if (!isalnum((unsigned char)at[i]) && at[i] != '_')
			return false;
	return length && !isdigit((unsigned char)at[0]);
}

/* {name="value",...}; where it ends, or NULL. */
static const char *skip_labels(const char *at)
{
	size_t length;

	do {
		length = strcspn(++at, "=");
		if (!is_name(at, length) || at[length] != '=' || at[length + 1] != '"')
			return NULL;
		for (at += length + 2; *at && *at != '"'; at++) {
			if (*at == '\\' && !strchr("\\\"n", *++at))
				return NULL;
			if (*at == '\n')
				return NULL;
		}
		if (!*at++)
			return NULL;
	} while (*at == ',');
	return *at == '}' ? at + 1 : NULL;
}

/* The name of a metric whose line this is, without what a histogram appends. */
static bool is_of(const struct seen *metric, const char *at, size_t length)
{
	static const char * const ends[] = { "_bucket", "_sum", "_count" };
	size_t name = strlen(metric->name), i;

	if (strncmp(at, metric->name, name) || length < name)
		return false;
	if (strcmp(metric->type, "histogram"))
		return length == name;
	for (i = 0; i < ARRAY_SIZE(ends); i++)
		if (length == name + strlen(ends[i]) && !strncmp(at + name, ends[i], length - name))
			return true;
	return false;
}

static bool parse_type(const char *line)
{
	struct seen *metric = &seen[nr_seen];
	unsigned int i;

	if (nr_seen == ARRAY_SIZE(seen) ||
	    sscanf(line, "# TYPE %127s %15s", metric->name, metric->type) != 2)
		return false;
	for (i = 0; i < nr_seen; i++)
		if (!strcmp(seen[i].name, metric->name))
			return false;
	nr_seen++;
	return !strcmp(metric->type, "counter") || !strcmp(metric->type, "gauge") ||
	       !strcmp(metric->type, "histogram");
}

static bool parse_sample(const char *line)
{
	size_t length = strcspn(line, "{ ");
	const char *at = line + length;
	char *end;

	if (!is_name(line, length) || !nr_seen || !is_of(&seen[nr_seen - 1], line, length))
		return false;
	if (*at == '{')
		at = skip_labels(at);
	if (!at || *at != ' ')
		return false;
	strtod(at + 1, &end);
	return end > at + 1 && *end == '\n';
}

static bool parse_line(const char *line)
{
	if (!strncmp(line, "# HELP ", 7))
		return true;
	return line[0] == '#' ? parse_type(line) : parse_sample(line);
}

/* All of tool_text, whose last line ends as the others do. */
static bool parses(void)
{
	const char *line, *next;

	nr_seen = 0;
	for (line = tool_text; *line; line = next + 1) {
		next = strchr(line, '\n');
		if (!next || !parse_line(line)) {
			tap_diag("not Prometheus: %.100s", line);
			return false;
		}
	}
	return true;
}

/* Value of a metric of a heap, with the begin of further labels; NAN if it is not there. */
static double metric(const char *name, __u32 id, const char *more)
{
	char start[128];
	const char *at;

	snprintf(start, sizeof(start), "\nkarena_%s{heap=\"%u\",name=\"", name, id);
	for (at = tool_text; (at = strstr(at, start)); at++) {
		const char *end = strchrnul(at + 1, '\n'), *label = strstr(at, more);

		if (label && label < end)
			return strtod(memrchr(at, ' ', end - at) + 1, NULL);
	}
	return NAN;
}

static void metrics(void)
{
	struct karena *heap = open_collected(), *plain = karena_open(NULL);
	struct karena_heap_info info = { .size = sizeof(info) };
	struct karena_gc_info gc = { .size = sizeof(gc) };
	double count, last = 0;
	char le[32];
	__u32 id;
	int i;

	if (!heap || !check(plain))
		return;
	id = karena_id(heap);
	check(karena_alloc(heap, 100000));
	check(karena_alloc(plain, 100000));
	karena_gc(heap);
	karena_gc(heap);
	check_eq(run("karenactl stat --prometheus"), 0);
	check(parses());
	check(nr_seen > 20);
	karena_stats(heap, &info);
	karena_gc_stats(heap, &gc);
	check_eq(metric("gc_cycles_total_gc_cycles_total", id, ""), gc.cycles);
	check_eq(metric("gc_heap_live_bytes", id, ""), gc.live_bytes);
	check_eq(metric("gc_heap_goal_bytes", id, ""), gc.goal_bytes);
	check_eq(metric("gc_gogc_percent", id, ""), 100);
	check_eq(metric("memory_classes_heap_objects_bytes", id, ""), info.live_bytes);
	check_eq(metric("gc_heap_allocs_objects_total", id, ""), info.allocs);
	check_eq(metric("gc_pauses_seconds_count", id, ""), gc.stops + gc.put_off);
	check(fabs(metric("gc_pauses_seconds_sum", id, "") - gc.stop_ns / 1e9) < 1 / 1e9);
	check_eq(metric("gc_slices_seconds_count", id, ""), gc.slices);
	check_eq(metric("gc_assists_seconds_count", id, ""), gc.assists);
	for (i = 0; i < KARENA_GC_BUCKETS; i++) {
		if (i < KARENA_GC_BUCKETS - 1)
			snprintf(le, sizeof(le), ",le=\"%g\"", (1 << i) / 1e6);
		else
			strcpy(le, ",le=\"+Inf\"");
		count = metric("gc_slices_seconds_bucket", id, le);
		check_eq(count - last, gc.slice_us[i]);
		last = count;
	}
	check(strstr(tool_text, "name=\"t_libctl \\\"\\\\\""));
	/* What has no collector has no such numbers. */
	check(isnan(metric("gc_heap_live_bytes", karena_id(plain), "")));
	check_eq(metric("memory_classes_heap_objects_bytes", karena_id(plain), ""), 106496);
	check_eq(run("karenactl stat --prometheus --heap %u", karena_id(plain)), 0);
	check(parses());
	check(isnan(metric("gc_heap_live_bytes", id, "")));
	karena_close(plain);
	karena_close(heap);
}

/* Found by the collector. */
static void *volatile kept;

static void stat_lines(void)
{
	struct karena *heap = open_collected();
	unsigned int lines = 0;
	const char *at;
	__u32 id;

	if (!heap)
		return;
	id = karena_id(heap);
	kept = karena_alloc(heap, 100000);
	check(kept);
	karena_gc(heap);
	check_eq(run("karenactl stat --json --heap %u", id), 0);
	check_eq(json("heaps"), 1);
	check_eq(json("cycles"), 1);
	check_eq(json("live_objects"), 1);
	check_eq(run("karenactl stat --json --heap %u 0.01 3", id), 0);
	for (at = tool_text; (at = strchr(at, '\n')); at++)
		lines++;
	check_eq(lines, 3);
	check_eq(run("karenactl stat 0.01 2"), 0);
	says("ALLOC/S");
	check_eq(run("karenactl stat --heap 2147483647"), 1);
	says("not there, or not yours");
	kept = NULL;
	karena_close(heap);
}

static const struct tap_case cases[] = {
	{ "gc run and status", collect_and_look },
	{ "gc set", set_and_look },
	{ "gc trace", trace_and_look },
	{ "gc of what is not collected", not_collected },
	{ "stat --prometheus", metrics },
	{ "stat", stat_lines },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
