// SPDX-License-Identifier: GPL-2.0
/*
 * The tables in debugfs: what they have of a heap is what the calls tell, a heap that is
 * gone is in none, only root may read them, and no address of the kernel is in any.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

#define FOLDER "/sys/kernel/debug/karena/"

static const char * const tables[] = { "heaps", "classes", "gc", "why" };

static char text[4 * MIB];

static bool read_table(const char *name)
{
	size_t n = 0;
	char path[64];
	ssize_t some;
	int fd;

	snprintf(path, sizeof(path), FOLDER "%s", name);
	fd = open(path, O_RDONLY);
	if (!check(fd >= 0))
		return false;
	/* In small pieces, as lines are made anew for each. */
	while ((some = read(fd, text + n, 100)) > 0 && n < sizeof(text) - 101)
		n += some;
	text[n] = '\0';
	close(fd);
	return check_eq(some, 0);
}

static bool is_there(void)
{
	if (!access(FOLDER, F_OK))
		return true;
	tap_skip("no debugfs");
	return false;
}

/* The first line of a heap in the table that was read; NULL if there is none. */
static const char *line_of(__u32 id)
{
	char begin[16];
	const char *at;

	snprintf(begin, sizeof(begin), "\n%u ", id);
	at = strstr(text, begin);
	return at ? at + 1 : NULL;
}

/* Some objects of two sizes and a large one, and some garbage that was collected. */
static bool open_some(struct heap *heap, __u64 *addrs)
{
	return heap_open_collected(heap, WINDOW, WINDOW) &&
	       check_ret(heap_alloc(heap->fd, 64, 0, 1000, addrs), 0) &&
	       check_ret(heap_alloc(heap->fd, 500, KARENA_ALLOC_NOSCAN, 100, addrs + 1000), 0) &&
	       check(heap_new(heap->fd, 100000, 0)) && check_ret(heap_collect(heap->fd), 0);
}

static void heaps_agree(const struct heap *heap)
{
	struct karena_heap_info info;
	unsigned long long held, live, objects, spans, cycles;
	char name[64], kind[16];
	const char *line;
	unsigned int uid;
	int pid;

	if (!read_table("heaps") || !check_ret(heap_info(heap->fd, 0, 0, &info), 0))
		return;
	check(!strncmp(text, "id name kind uid pid held_bytes ", 32));
	line = line_of(heap->id);
	if (!check(line) ||
	    !check_eq(sscanf(line, "%*u %63s %15s %u %d %llu %llu %llu %llu %llu\n", name, kind,
			     &uid, &pid, &held, &live, &objects, &spans, &cycles), 9))
		return;
	check(!strcmp(kind, "user"));
	check(info.name[0] ? !strcmp(name, info.name) : !strcmp(name, "-"));
	check_eq(uid, info.uid);
	check_eq(pid, info.pid);
	check_eq(held, info.held_bytes);
	check_eq(live, info.live_bytes);
	check_eq(objects, info.live_objects);
	check_eq(spans, info.nr_spans);
	check_eq(cycles, 1);
}

static void classes_agree(const struct heap *heap)
{
	struct karena_class_stat stats[2 * KARENA_NR_CLASSES];
	unsigned long long spans, live, cached;
	unsigned int size, noscan, i;
	const char *line;
	__u32 count;
	int n;

	if (!read_table("classes") ||
	    !check_ret(heap_classes(heap->fd, 0, stats, ARRAY_SIZE(stats), &count), 0))
		return;
	line = line_of(heap->id);
	/* In the same order. */
	for (i = 0; i < count && check(line); i++) {
		n = sscanf(line, "%*u %u %u %llu %llu %llu", &size, &noscan, &spans, &live,
			   &cached);
		check_eq(n, 5);
		check_eq(size, stats[i].object_size);
		check_eq(noscan, stats[i].noscan);
		check_eq(spans, stats[i].spans);
		check_eq(live, stats[i].live_objects);
		check_eq(cached, stats[i].cached_objects);
		line = strchr(line, '\n') + 1;
	}
	check(count >= 3);
}

static void gc_agrees(const struct heap *heap)
{
	struct karena_gc_info info;
	unsigned long long cycles, forced, live;
	const char *line;
	char phase[16];
	int n;

	if (!read_table("gc") || !gc_info(heap->fd, &info))
		return;
	line = line_of(heap->id);
	if (!check(line))
		return;
	n = sscanf(line, "%*u %15s %llu %llu %llu", phase, &cycles, &forced, &live);
	if (!check_eq(n, 4))
		return;
	check_eq(cycles, info.cycles);
	check_eq(forced, info.forced);
	check_eq(live, info.live_bytes);
}

static void why_agrees(const struct heap *heap)
{
	struct karena_explain e = { .size = sizeof(e) };
	unsigned long long held, live, garbage, cached, slot, tail, freed;
	const char *line;

	if (!read_table("why") || !check_ret(kioctl(heap->fd, KARENA_IOC_EXPLAIN, &e), 0))
		return;
	line = line_of(heap->id);
	if (!check(line) ||
	    !check_eq(sscanf(line, "%*u %llu %llu %llu %llu %llu %llu %llu", &held, &live,
			     &garbage, &cached, &slot, &tail, &freed), 7))
		return;
	check_eq(held, e.held_bytes);
	check_eq(live, e.live_bytes);
	check_eq(garbage, e.garbage_bytes);
	check_eq(cached, e.cached_bytes);
	check_eq(slot, e.slot_bytes);
	check_eq(tail, e.tail_bytes);
	check_eq(freed, e.free_bytes);
	check_eq(live + garbage + cached + slot + tail + freed, held);
}

static void tables_agree(void)
{
	static __u64 addrs[1100];
	struct heap heap;

	if (!is_there() || !open_some(&heap, addrs))
		return;
	heaps_agree(&heap);
	classes_agree(&heap);
	gc_agrees(&heap);
	why_agrees(&heap);
	heap_close(&heap);
}

/* Heaps are in the order of their numbers, and those that are gone are not there. */
static void heaps_come_and_go(void)
{
	struct heap heaps[20];
	const char *before, *line;
	unsigned int i;

	if (!is_there())
		return;
	for (i = 0; i < ARRAY_SIZE(heaps); i++)
		if (!check_ret(heap_make(&heaps[i], WINDOW, 0), 0))
			return;
	for (i = 0; i < ARRAY_SIZE(heaps); i += 2)
		close(heaps[i].fd);
	if (!read_table("heaps"))
		return;
	before = text;
	for (i = 0; i < ARRAY_SIZE(heaps); i++) {
		line = line_of(heaps[i].id);
		check(!line == !(i % 2));
		if (line && check(line > before))
			before = line;
	}
	for (i = 1; i < ARRAY_SIZE(heaps); i += 2)
		close(heaps[i].fd);
}

static void read_as_nobody(void *arg)
{
	char path[64];
	unsigned int i;

	(void)arg;
	if (!check(become_nobody()))
		return;
	for (i = 0; i < ARRAY_SIZE(tables); i++) {
		snprintf(path, sizeof(path), FOLDER "%s", tables[i]);
		check_eq(open(path, O_RDONLY), -1);
		check_eq(errno, EACCES);
	}
}

static void only_root_reads(void)
{
	if (is_there())
		tap_isolate(read_as_nobody, NULL);
}

/* Whether a word is what an address of the kernel looks like. */
static bool is_address(const char *word)
{
	unsigned long long value = strtoull(word, NULL, 10);

	return value >= 0xffff800000000000ULL || !strncmp(word, "ffff", 4) ||
	       !strncmp(word, "0x", 2);
}

static void no_addresses(void)
{
	static __u64 addrs[1100];
	struct heap heap;
	unsigned int i;
	char *word;

	if (!is_there() || !open_some(&heap, addrs))
		return;
	for (i = 0; i < ARRAY_SIZE(tables); i++) {
		if (!read_table(tables[i]))
			continue;
		for (word = strtok(text, "\n "); word; word = strtok(NULL, "\n "))
			if (!check(!is_address(word)))
				tap_diag("%s: %s", tables[i], word);
	}
	heap_close(&heap);
}

static const struct tap_case cases[] = {
	{ "tables are what calls tell", tables_agree },
	{ "heaps come and go", heaps_come_and_go },
	{ "only root reads them", only_root_reads },
	{ "no addresses are in them", no_addresses },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
