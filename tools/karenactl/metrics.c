// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl stat --prometheus: numbers of heaps in Prometheus' text format (version
 * 0.0.4).  What Go's runtime/metrics has as well is called as its collector for
 * Prometheus calls it, with karena_ for go_.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

/* A number of each heap: where it is, or how to get it. */
struct family {
	const char *name;
	const char *type;
	const char *help;
	bool collected;		/* only of heaps that are */
	size_t at;		/* of a __u64 in struct heap_numbers */
	double (*value)(const struct heap_numbers *heap);
	bool seconds;		/* it is in nanoseconds */
};

#define INFO(member)	offsetof(struct heap_numbers, info.member)
#define GC(member)	offsetof(struct heap_numbers, gc.member)
#define CONTROL(member)	offsetof(struct heap_numbers, control.member)

static double automatic(const struct heap_numbers *heap)
{
	return heap->gc.cycles - heap->gc.forced;
}

static double percent(const struct heap_numbers *heap)
{
	return heap->control.percent;
}

static double held_bytes(const struct heap_numbers *heap)
{
	return heap->info.held_bytes + heap->info.meta_bytes;
}

static double unused_bytes(const struct heap_numbers *heap)
{
	__u64 used = heap->info.live_bytes + heap->info.cached_bytes;

	return heap->info.span_bytes > used ? heap->info.span_bytes - used : 0;
}

static double rejects(const struct heap_numbers *heap)
{
	__u64 sum = 0;
	int i;

	for (i = 0; i < KARENA_NR_REJECT; i++)
		sum += heap->info.rejects[i];
	return sum;
}

static double number(const struct heap_numbers *heap, const struct family *family)
{
	__u64 value;

	if (family->value)
		return family->value(heap);
	memcpy(&value, (const char *)heap + family->at, sizeof(value));
	return family->seconds ? value / 1e9 : value;
}

static const struct family families[] = {
	{ "gc_heap_live_bytes", "gauge",
	  "Bytes of objects that the last cycle found alive.", true, GC(live_bytes), NULL, false },
	{ "gc_heap_goal_bytes", "gauge",
	  "Bytes that may be in use when the next cycle ends.", true, GC(goal_bytes), NULL, false },
	{ "gc_cycles_total_gc_cycles_total", "counter",
	  "Complete cycles.", true, GC(cycles), NULL, false },
	{ "gc_cycles_forced_gc_cycles_total", "counter",
	  "Complete cycles that were asked for.", true, GC(forced), NULL, false },
	{ "gc_cycles_automatic_gc_cycles_total", "counter",
	  "Complete cycles by the pacer.", true, 0, automatic, false },
	{ "gc_gogc_percent", "gauge",
	  "Growth until a cycle ends, -1 if off.", true, 0, percent, false },
	{ "gc_gomemlimit_bytes", "gauge",
	  "Memory to stay below, 0 for none.", true, CONTROL(mem_limit), NULL, false },
	{ "cpu_classes_gc_total_cpu_seconds_total", "counter",
	  "Time of marking.", true, GC(mark_ns), NULL, true },
	{ "cpu_classes_gc_mark_assist_cpu_seconds_total", "counter",
	  "Time of marking by allocations.", true, GC(assist_ns), NULL, true },
	{ "gc_protect_seconds_total", "counter",
	  "Time of protecting pages before stops.", true, GC(protect_ns), NULL, true },
	{ "gc_heap_dead_objects_total", "counter",
	  "Small objects that cycles found dead.", true, GC(freed_objects), NULL, false },
	{ "gc_stops_put_off_total", "counter",
	  "Stops that did not come about in time.", true, GC(put_off), NULL, false },
	{ "gc_heap_objects_objects", "gauge",
	  "Live objects.", false, INFO(live_objects), NULL, false },
	{ "gc_heap_allocs_objects_total", "counter",
	  "Objects allocated.", false, INFO(allocs), NULL, false },
	{ "gc_heap_frees_objects_total", "counter",
	  "Objects freed.", false, INFO(frees), NULL, false },
	{ "memory_classes_heap_objects_bytes", "gauge",
	  "Bytes of live objects.", false, INFO(live_bytes), NULL, false },
	{ "memory_classes_heap_cached_bytes", "gauge",
	  "Bytes of free objects in magazines.", false, INFO(cached_bytes), NULL, false },
	{ "memory_classes_heap_unused_bytes", "gauge",
	  "Bytes that are free in spans.", false, 0, unused_bytes, false },
	{ "memory_classes_heap_free_bytes", "gauge",
	  "Bytes of free pages, kept for reuse.", false, INFO(free_bytes), NULL, false },
	{ "memory_classes_metadata_other_bytes", "gauge",
	  "Bytes of metadata.", false, INFO(meta_bytes), NULL, false },
	{ "memory_classes_total_bytes", "gauge",
	  "All memory that the heap has.", false, 0, held_bytes, false },
	{ "heap_limit_bytes", "gauge",
	  "Most memory that it may have for objects.", false, INFO(limit), NULL, false },
	{ "heap_spans", "gauge",
	  "Spans in use.", false, INFO(nr_spans), NULL, false },
	{ "heap_refills_total", "counter",
	  "Magazines filled from spans.", false, INFO(refills), NULL, false },
	{ "heap_flushes_total", "counter",
	  "Magazines emptied to spans.", false, INFO(flushes), NULL, false },
	{ "heap_failed_total", "counter",
	  "Allocations that found no memory.", false, INFO(failed), NULL, false },
	{ "heap_wrong_frees_total", "counter",
	  "Wrong frees, ignored.", false, 0, rejects, false },
};

/* Lengths of time of each heap that is collected. */
static const struct histogram {
	const char *name;
	const char *help;
	size_t buckets;		/* where they are in struct karena_gc_info */
	size_t sum;		/* nanoseconds */
} histograms[] = {
	{ "gc_pauses_seconds", "Stops of all threads.",
	  offsetof(struct karena_gc_info, stop_us), offsetof(struct karena_gc_info, stop_ns) },
	{ "gc_slices_seconds", "Marking at a stretch.",
	  offsetof(struct karena_gc_info, slice_us), offsetof(struct karena_gc_info, mark_ns) },
	{ "gc_assists_seconds", "Marking at a stretch by allocations.",
	  offsetof(struct karena_gc_info, assist_us),
	  offsetof(struct karena_gc_info, assist_ns) },
};

static void print_help(const char *name, const char *type, const char *help)
{
	printf("# HELP karena_%s %s\n# TYPE karena_%s %s\n", name, help, name, type);
}

/* Names are printable; two characters have a meaning. */
static void print_labels(const struct heap_numbers *heap)
{
	const char *c;

	printf("{heap=\"%u\",name=\"", heap->info.id);
	for (c = heap->info.name; *c; c++) {
		if (*c == '"' || *c == '\\')
			putchar('\\');
		putchar(*c);
	}
	putchar('"');
}

static void print_family(const struct family *family, const struct heap_numbers *heaps,
			 size_t nr)
{
	size_t i;

	print_help(family->name, family->type, family->help);
	for (i = 0; i < nr; i++) {
		if (family->collected && !heaps[i].collected)
			continue;
		printf("karena_%s", family->name);
		print_labels(&heaps[i]);
		printf("} %.17g\n", number(&heaps[i], family));
	}
}

static void print_histogram(const struct histogram *h, const struct heap_numbers *heap)
{
	const char *gc = (const char *)&heap->gc;
	const __u64 *buckets = (const __u64 *)(gc + h->buckets);
	__u64 count = 0;
	int i;

	for (i = 0; i < KARENA_GC_BUCKETS; i++) {
		count += buckets[i];
		printf("karena_%s_bucket", h->name);
		print_labels(heap);
		if (i < KARENA_GC_BUCKETS - 1)
			printf(",le=\"%g\"} %" PRIu64 "\n", (1 << i) / 1e6, (uint64_t)count);
		else
			printf(",le=\"+Inf\"} %" PRIu64 "\n", (uint64_t)count);
	}
	printf("karena_%s_sum", h->name);
	print_labels(heap);
	printf("} %.17g\nkarena_%s_count", *(const __u64 *)(gc + h->sum) / 1e9, h->name);
	print_labels(heap);
	printf("} %" PRIu64 "\n", (uint64_t)count);
}

int print_metrics(int fd, __u32 id)
{
	struct heap_numbers *heaps;
	size_t i, j, nr;

	heaps = read_numbers(fd, id, &nr);
	if (!heaps)
		return EXIT_FAILED;
	for (i = 0; i < COUNT(families); i++)
		print_family(&families[i], heaps, nr);
	for (i = 0; i < COUNT(histograms); i++) {
		print_help(histograms[i].name, "histogram", histograms[i].help);
		for (j = 0; j < nr; j++)
			if (heaps[j].collected)
				print_histogram(&histograms[i], &heaps[j]);
	}
	free(heaps);
	return EXIT_OK;
}
