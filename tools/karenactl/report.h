/* SPDX-License-Identifier: GPL-2.0 */
/*
 * karenactl report: what is known of a heap, and the parts of the page that shows it.
 */
#ifndef KARENACTL_REPORT_H
#define KARENACTL_REPORT_H

#include <stdio.h>
#include <time.h>

#include "list.h"
#include "stacks.h"

/* The heap at one moment. */
struct sample {
	double time;		/* seconds since the first one */
	__u64 held;
	__u64 live;
	__u64 goal;		/* 0 if there is none */
	__u64 cycles;
};

struct report {
	time_t when;
	struct heap_numbers heap;
	struct karena_explain explain;
	struct karena_explain_class classes[KARENA_NR_CLASSES];
	struct types types;
	struct list spans;
	bool has_profile;	/* else it may not be had */
	struct karena_profile profile;
	struct stacks stacks;
	struct sample *samples;
	size_t nr_samples;
};

/* page.c */
void write_page(FILE *out, const struct report *r);
/* style.c */
extern const char page_style[];

/* chart.c: SVG that is as wide as there is room. */
void put_time_chart(FILE *out, const struct sample *samples, size_t nr);
/* Lengths of time, as in struct karena_gc_info. */
void put_histogram(FILE *out, const __u64 counts[KARENA_GC_BUCKETS]);

/* A part of a bar; its colour is that of a class of page_style. */
struct bar_part {
	const char *class;
	const char *label;
	__u64 value;		/* bytes */
};

/* @whole is as wide as there is room. */
void put_bar(FILE *out, const struct bar_part *parts, size_t nr, __u64 whole);
/* Memory of spans by how full they are, in tenths. */
void put_fill_chart(FILE *out, const __u64 bytes[10]);

#endif /* KARENACTL_REPORT_H */
