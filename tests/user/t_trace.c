// SPDX-License-Identifier: GPL-2.0
/*
 * Trace events: each of them is seen through tracefs when it happens, with what it is to
 * tell, and no address of the kernel is in any; none is seen when they are off.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"
#include "world.h"

#define TRACING "/sys/kernel/tracing/"
#define MOST_TEXT (32 * MIB)

/* What has been traced since trace_on(), a line an event. */
static char *text;

static bool set_tracing(const char *file, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), TRACING "%s", file);
	return write_text(path, value);
}

/* Empties the buffer. */
static bool clear_trace(void)
{
	int fd = open(TRACING "trace", O_WRONLY | O_TRUNC);

	return fd >= 0 && !close(fd);
}

/* False, with the case skipped, where the kernel has no tracefs. */
static bool trace_on(void)
{
	if (access(TRACING "trace", F_OK)) {
		tap_skip("the kernel has no tracefs");
		return false;
	}
	return check(set_tracing("events/karena/enable", "1")) &&
	       check(clear_trace()) && check(set_tracing("tracing_on", "1"));
}

static void read_trace(void)
{
	int fd = open(TRACING "trace", O_RDONLY);
	size_t done = 0;
	ssize_t n;

	text = realloc(text, MOST_TEXT);
	if (!check(fd >= 0) || !check(text))
		return;
	while (done < MOST_TEXT - 1 && (n = read(fd, text + done, MOST_TEXT - 1 - done)) > 0)
		done += n;
	text[done] = '\0';
	close(fd);
}

static void trace_off(void)
{
	check(set_tracing("events/karena/enable", "0"));
	read_trace();
}

/* The numbers of an event of a heap, from line @from on; the line, NULL if there is none. */
static const char *find_event(const char *from, const char *event, __u32 heap)
{
	char start[64];

	snprintf(start, sizeof(start), " karena_%s: heap=%u ", event, heap);
	return strstr(from, start);
}

/* Value of a field on a line; -2 if it is not there. */
static long long field(const char *line, const char *name)
{
	const char *end = line ? strchrnul(line, '\n') : NULL, *at;
	char key[32];

	snprintf(key, sizeof(key), " %s=", name);
	at = line ? strstr(line, key) : NULL;
	return at && at < end ? strtoll(at + strlen(key), NULL, 10) : -2;
}

/* Sum of a field over all events of a kind of a heap, and how many there are. */
static long long sum(const char *event, __u32 heap, const char *name, unsigned int *nr)
{
	const char *line = text;
	long long all = 0;

	for (*nr = 0; (line = find_event(line, event, heap)); line++) {
		all += field(line, name);
		++*nr;
	}
	return all;
}

static bool has(const char *event, __u32 heap, const char *rest)
{
	const char *line = text;

	while ((line = find_event(line, event, heap))) {
		const char *end = strchrnul(line, '\n'), *at = strstr(line, rest);

		if (at && at < end)
			return true;
		line = end;
	}
	tap_diag("no karena_%s of heap %u with '%s'", event, heap, rest);
	return false;
}

/* --- cases --- */

#define MANY 20000u

static void objects(void)
{
	__u64 *addrs = calloc(MANY, sizeof(*addrs));
	struct heap heap;
	unsigned int nr;

	if (!trace_on() || !heap_open(&heap, WINDOW, 0))
		return;
	check_ret(heap_alloc(heap.fd, 64, 0, MANY, addrs), 0);
	check_ret(heap_free(heap.fd, addrs, MANY, NULL), 0);
	trace_off();
	check(sum("refill", heap.id, "count", &nr) >= MANY);
	check_eq(sum("refill", heap.id, "size", &nr), 64LL * nr);
	check(sum("flush", heap.id, "count", &nr) > 0);
	check_eq(sum("flush", heap.id, "size", &nr), 64LL * nr);
	check(sum("span_new", heap.id, "bytes", &nr) >= MANY * 64LL);
	check_eq(sum("span_new", heap.id, "size", &nr), 64LL * nr);
	check(sum("span_gone", heap.id, "bytes", &nr) > 0);
	heap_close(&heap);
	free(addrs);
}

/* A span of its own, told by where it is in the window. */
static void large_objects(void)
{
	const char *line;
	struct heap heap;
	__u64 addr;

	if (!trace_on() || !heap_open(&heap, WINDOW, 0))
		return;
	addr = heap_new(heap.fd, 100000, 0);
	check_ret(heap_drop(heap.fd, addr), 0);
	trace_off();
	line = find_event(text, "span_new", heap.id);
	check_eq(field(line, "offset"), addr - heap.base);
	check_eq(field(line, "bytes"), 106496);
	check_eq(field(line, "size"), 0);
	line = find_event(text, "span_gone", heap.id);
	check_eq(field(line, "offset"), addr - heap.base);
	check_eq(field(line, "bytes"), 106496);
	heap_close(&heap);
}

static void wrong_frees(void)
{
	struct heap heap;
	char rest[64];
	__u64 addr;

	if (!trace_on() || !heap_open(&heap, WINDOW, 0))
		return;
	addr = heap_new(heap.fd, 64, 0);
	check_ret(heap_drop(heap.fd, addr + 8), KARENA_REJECT_INTERIOR);
	check_ret(heap_drop(heap.fd, addr), 0);
	check_ret(heap_drop(heap.fd, addr), KARENA_REJECT_DOUBLE);
	check_ret(heap_drop(heap.fd, heap.base + WINDOW / 2), KARENA_REJECT_NOT_OBJECT);
	trace_off();
	snprintf(rest, sizeof(rest), "offset=%llu why=inside", addr + 8 - heap.base);
	check(has("wrong_free", heap.id, rest));
	snprintf(rest, sizeof(rest), "offset=%llu why=free already", addr - heap.base);
	check(has("wrong_free", heap.id, rest));
	snprintf(rest, sizeof(rest), "offset=%llu why=no object", WINDOW / 2);
	check(has("wrong_free", heap.id, rest));
	heap_close(&heap);
}

/* Each part of a cycle, in order; and what the numbers say of it. */
static void cycles(void)
{
	static const char * const parts[] = {
		"begin", "protect", "snapshot", "mark", "sweep", "idle"
	};
	struct karena_gc_info info;
	unsigned int i, nr;
	char rest[64];
	const char *at;
	struct world *w;

	if (!trace_on())
		return;
	w = world_new(1);
	if (!w)
		return;
	put(as_addr(&w->root[0]), world_chain(w, 0));
	world_collect_slowly(w);
	gc_info(w->heap.fd, &info);
	trace_off();
	for (i = 0, at = text; at && i < ARRAY_SIZE(parts); i++) {
		snprintf(rest, sizeof(rest), " karena_phase: heap=%u cycle=1 phase=%s\n",
			 w->heap.id, parts[i]);
		at = strstr(at, rest);
		if (!check(at))
			tap_diag("%s", rest);
	}
	check_eq(sum("stop", w->heap.id, "ns", &nr), info.stop_ns);
	check_eq(nr, info.stops + info.put_off);
	check(has("stop", w->heap.id, "done=1"));
	check_eq(sum("slice", w->heap.id, "ns", &nr) + sum("assist", w->heap.id, "ns", &i),
		 info.mark_ns);
	check_eq(nr + i, info.slices);
	check_eq(i, info.assists);
	world_delete(w);
}

/* Allocates beside a cycle until an allocation has helped. */
static void assists(void)
{
	struct karena_gc_control control;
	struct karena_gc_info info = { };
	unsigned int nr, tries;
	__u64 addrs[64];
	struct world *w;

	if (!trace_on())
		return;
	w = world_new(1);
	if (!w)
		return;
	put(as_addr(&w->root[0]), world_chain(w, 0));
	gc_get(w->heap.fd, &control);
	control.flags = KARENA_GC_SET;
	control.percent = 10;
	control.min_heap = 65536;
	control.assist_us = 10;
	control.slice_us = 10;
	control.share = 1;
	check_ret(kioctl(w->heap.fd, KARENA_IOC_GC_CONTROL, &control), 0);
	for (tries = 0; tries < 100000 && !info.assists && !tap_failed(); tries++) {
		check_ret(heap_alloc(w->heap.fd, 1024, 0, 64, addrs), 0);
		gc_info(w->heap.fd, &info);
	}
	trace_off();
	check(info.assists);
	check(sum("assist", w->heap.id, "ns", &nr) > 0);
	check(nr >= info.assists);
	world_delete(w);
}

static void scavenging(void)
{
	struct karena_release req = { .size = sizeof(req), .flags = KARENA_RELEASE_ALL };
	long long told = 0;
	struct heap heap;
	unsigned int nr;

	if (!trace_on() || !heap_open_private(&heap, WINDOW, 8 * MIB))
		return;
	check_ret(heap_drop(heap.fd, heap_new(heap.fd, 4 * MIB, 0)), 0);
	while (check_ret(kioctl(heap.fd, KARENA_IOC_RELEASE, &req), 0) && req.length)
		told += req.length;
	trace_off();
	check(told >= (long long)(4 * MIB));
	check_eq(sum("scavenge", heap.id, "bytes", &nr), told);
	heap_close(&heap);
}

#define KERNEL_ADDRESSES 0xffff800000000000

/* Whether a line has a number that may be an address, however it is written. */
static bool has_address(const char *line, const char *end)
{
	__u64 value;

	for (; (line = strchr(line, '=')) && line < end; line++) {
		value = strtoull(line + 1, NULL, 0);
		/* That is how "nowhere" is told. */
		if (value >= KERNEL_ADDRESSES && value != -1ULL)
			return true;
	}
	return false;
}

static void no_kernel_addresses(void)
{
	const char *line, *end;
	unsigned int nr = 0;
	struct world *w;

	if (!trace_on())
		return;
	w = world_new(1);
	if (!w)
		return;
	heap_drop(w->heap.fd, heap_new(w->heap.fd, 100000, 0));
	heap_drop(w->heap.fd, w->heap.base + 8);
	put(as_addr(&w->root[0]), world_chain(w, 0));
	world_collect_slowly(w);
	world_delete(w);
	trace_off();
	for (line = text; (line = strstr(line, " karena_")); line = end) {
		end = strchrnul(line, '\n');
		nr++;
		if (!check(!has_address(line, end)))
			tap_diag("%.*s", (int)(end - line), line);
	}
	check(nr > 10);
	check(has_address(" =0xffff888000000000", " =0xffff888000000000" + 20));
}

static void off(void)
{
	struct heap heap;
	__u64 addrs[64];

	if (!trace_on() || !heap_open(&heap, WINDOW, 0))
		return;
	set_tracing("events/karena/enable", "0");
	clear_trace();
	check_ret(heap_alloc(heap.fd, 1024, 0, 64, addrs), 0);
	heap_drop(heap.fd, addrs[0] + 8);
	read_trace();
	check(!strstr(text, " karena_"));
	heap_close(&heap);
}

/* What perf and trace-cmd read: that each event has a format. */
static void formats(void)
{
	static const char * const events[] = {
		"refill", "flush", "span_new", "span_gone", "phase", "stop", "slice",
		"assist", "scavenge", "wrong_free"
	};
	char path[128];
	unsigned int i;

	if (access(TRACING "trace", F_OK))
		return tap_skip("the kernel has no tracefs");
	for (i = 0; i < ARRAY_SIZE(events); i++) {
		snprintf(path, sizeof(path), TRACING "events/karena/karena_%s/format", events[i]);
		if (!check(!access(path, R_OK)))
			tap_diag("%s", path);
	}
}

static const struct tap_case cases[] = {
	{ "each event has a format", formats },
	{ "objects between spans and magazines", objects },
	{ "spans of large objects", large_objects },
	{ "wrong frees", wrong_frees },
	{ "cycles, stops and slices", cycles },
	{ "assists", assists },
	{ "memory that goes back", scavenging },
	{ "no address of the kernel", no_kernel_addresses },
	{ "nothing when they are off", off },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
