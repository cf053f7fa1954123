// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, charts of the report.  The SVG of each is stretched over the room that there
 * is; text is beside it, in HTML, so that it stays as large as other text.
 */
#include <math.h>
#include <string.h>

#include "report.h"

#define CHART_WIDTH	1000	/* units; height is 100 */

/* What the height of a chart stands for: a round number of KiB, MiB and so on. */
static __u64 round_up(__u64 bytes)
{
	static const int rounds[] = { 1, 2, 3, 4, 6, 8, 10 };
	__u64 unit = 1;
	size_t i = 0;

	while (bytes / unit >= 1024)
		unit *= 1024;
	while (bytes / unit >= 10)
		unit *= 10;
	while (i < COUNT(rounds) - 1 && rounds[i] * unit < bytes)
		i++;
	return rounds[i] * unit;
}

static __u64 most_of(const struct sample *samples, size_t nr)
{
	__u64 most = 1;
	size_t i;

	for (i = 0; i < nr; i++) {
		most = samples[i].held > most ? samples[i].held : most;
		most = samples[i].live > most ? samples[i].live : most;
		most = samples[i].goal > most ? samples[i].goal : most;
	}
	return most;
}

struct scale {
	double time;
	double most;
};

static double x_of(const struct scale *scale, const struct sample *s)
{
	return scale->time > 0 ? s->time / scale->time * CHART_WIDTH : 0;
}

static double y_of(const struct scale *scale, __u64 value)
{
	return 100 - 100 * value / scale->most;
}

static __u64 held(const struct sample *s)
{
	return s->held;
}

static __u64 live(const struct sample *s)
{
	return s->live;
}

static __u64 goal(const struct sample *s)
{
	return s->goal;
}

static void put_points(FILE *out, const struct scale *scale, const struct sample *samples,
		       size_t nr, __u64 (*value)(const struct sample *s))
{
	size_t i;

	for (i = 0; i < nr; i++)
		fprintf(out, "%.4g,%.4g ", x_of(scale, &samples[i]),
			y_of(scale, value(&samples[i])));
}

static void put_area(FILE *out, const struct scale *scale, const struct sample *samples,
		     size_t nr, const char *class, __u64 (*value)(const struct sample *s))
{
	fprintf(out, "<polygon class=\"area %s\" points=\"0,100 ", class);
	put_points(out, scale, samples, nr, value);
	fprintf(out, "%d,100\"/>\n<polyline class=\"line %s\" points=\"", CHART_WIDTH, class);
	put_points(out, scale, samples, nr, value);
	fputs("\"/>\n", out);
}

static void put_cycles(FILE *out, const struct scale *scale, const struct sample *samples,
		       size_t nr)
{
	size_t i;

	for (i = 1; i < nr; i++)
		if (samples[i].cycles > samples[i - 1].cycles)
			fprintf(out, "<line class=\"cycle\" x1=\"%.4g\" x2=\"%.4g\" y1=\"94\"\n"
				"y2=\"100\"/>\n", x_of(scale, &samples[i]),
				x_of(scale, &samples[i]));
}

/* Shown where the mouse rests: a strip for each sample. */
static void put_strips(FILE *out, const struct scale *scale, const struct sample *samples,
		       size_t nr)
{
	double width = (double)CHART_WIDTH / (nr - 1);
	char a[CELL_LEN], b[CELL_LEN], c[CELL_LEN];
	size_t i;

	for (i = 0; i < nr; i++) {
		fprintf(out, "<rect class=\"strip\" x=\"%.4g\" width=\"%.4g\" height=\"100\">",
			x_of(scale, &samples[i]) - width / 2, width);
		fprintf(out, "<title>%.2f s: held %s, live %s, goal %s</title></rect>\n",
			samples[i].time, size_text(a, samples[i].held, false),
			size_text(b, samples[i].live, false),
			samples[i].goal ? size_text(c, samples[i].goal, false) : "none");
	}
}

static void put_sizes(FILE *out, __u64 most)
{
	char whole[CELL_LEN], half[CELL_LEN];

	fprintf(out, "<div class=\"y\"><span>%s</span><span>%s</span><span>0</span></div>\n",
		size_text(whole, most, false), size_text(half, most / 2, false));
}

/* Of two samples or more. */
void put_time_chart(FILE *out, const struct sample *samples, size_t nr)
{
	const struct scale scale = {
		.time = samples[nr - 1].time, .most = round_up(most_of(samples, nr)),
	};

	fputs("<div class=\"chart\">\n", out);
	put_sizes(out, scale.most);
	fprintf(out, "<svg class=\"plot tall\" viewBox=\"0 0 %d 100\"\n"
		"preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Heap over time\">\n"
		"<path class=\"grid\" d=\"M0 0H%d M0 50H%d M0 100H%d\"/>\n", CHART_WIDTH,
		CHART_WIDTH, CHART_WIDTH, CHART_WIDTH);
	put_area(out, &scale, samples, nr, "held", held);
	put_area(out, &scale, samples, nr, "live", live);
	if (samples[nr - 1].goal) {
		fputs("<polyline class=\"line goal\" points=\"", out);
		put_points(out, &scale, samples, nr, goal);
		fputs("\"/>\n", out);
	}
	put_cycles(out, &scale, samples, nr);
	put_strips(out, &scale, samples, nr);
	fprintf(out, "</svg>\n<div class=\"x\"><span>0 s</span><span>%.3g s</span>\n"
		"<span>%.3g s</span></div>\n</div>\n", scale.time / 2, scale.time);
}

/* --- bars --- */

static void put_column(FILE *out, int x, double height)
{
	/* What is there can be seen. */
	if (height > 0 && height < 1.5)
		height = 1.5;
	fprintf(out, "<rect class=\"column\" x=\"%g\" y=\"%.4g\" width=\".84\" height=\"%.4g\"/>",
		x + .08, 100 - height, height);
}

static void begin_columns(FILE *out, int nr, const char *most, const char *label)
{
	fprintf(out, "<div class=\"chart\">\n<div class=\"y\"><span>%s</span><span>0</span></div>\n"
		"<svg class=\"plot\" viewBox=\"0 0 %d 100\" preserveAspectRatio=\"none\"\n"
		"role=\"img\" aria-label=\"%s\">\n<path class=\"grid\" d=\"M0 0H%d M0 100H%d\"/>\n",
		most, nr, label, nr, nr);
}

static void put_strip_of(FILE *out, int x)
{
	fprintf(out, "<rect class=\"strip\" x=\"%d\" width=\"1\" height=\"100\"/>", x);
}

/* From how many microseconds on; none are the first one's. */
static const char *bucket_text(char buf[CELL_LEN], int bucket)
{
	unsigned long us = bucket ? 1UL << (bucket - 1) : 0;

	if (us >= 1000)
		snprintf(buf, CELL_LEN, "%.2g ms", us / 1000.0);
	else
		snprintf(buf, CELL_LEN, "%lu \u00b5s", us);
	return buf;
}

static void put_bucket(FILE *out, int i, __u64 count, __u64 most)
{
	char from[CELL_LEN], to[CELL_LEN], text[CELL_LEN];

	fputs("<g>", out);
	put_strip_of(out, i);
	put_column(out, i, 100.0 * count / most);
	if (i < KARENA_GC_BUCKETS - 1)
		fprintf(out, "<title>%s to %s: %s</title></g>\n", bucket_text(from, i),
			bucket_text(to, i + 1), count_text(text, count));
	else
		fprintf(out, "<title>%s or more: %s</title></g>\n", bucket_text(from, i),
			count_text(text, count));
}

void put_histogram(FILE *out, const __u64 counts[KARENA_GC_BUCKETS])
{
	char text[CELL_LEN];
	__u64 most = 1;
	int i;

	for (i = 0; i < KARENA_GC_BUCKETS; i++)
		most = counts[i] > most ? counts[i] : most;
	begin_columns(out, KARENA_GC_BUCKETS, count_text(text, most), "Histogram");
	for (i = 0; i < KARENA_GC_BUCKETS; i++)
		put_bucket(out, i, counts[i], most);
	fputs("</svg>\n<div class=\"x quarters\">", out);
	for (i = 0; i < KARENA_GC_BUCKETS; i += 4)
		fprintf(out, "<span>%s</span>", bucket_text(text, i));
	fputs("</div>\n</div>\n", out);
}

void put_fill_chart(FILE *out, const __u64 bytes[10])
{
	char text[CELL_LEN];
	__u64 most = 1;
	int i;

	for (i = 0; i < 10; i++)
		most = bytes[i] > most ? bytes[i] : most;
	begin_columns(out, 10, size_text(text, most, false), "Memory by how full spans are");
	for (i = 0; i < 10; i++) {
		fputs("<g>", out);
		put_strip_of(out, i);
		put_column(out, i, 100.0 * bytes[i] / most);
		fprintf(out, "<title>%d to %d %% live: %s</title></g>\n", 10 * i, 10 * i + 10,
			size_text(text, bytes[i], false));
	}
	fputs("</svg>\n<div class=\"x\"><span>empty</span><span>half full</span>\n"
	      "<span>full</span></div>\n</div>\n", out);
}

void put_bar(FILE *out, const struct bar_part *parts, size_t nr, __u64 whole)
{
	double x = 0, width;
	char text[CELL_LEN];
	size_t i;

	fputs("<svg class=\"bar\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\">", out);
	for (i = 0; i < nr; i++) {
		width = whole ? 100.0 * parts[i].value / whole : 0;
		if (width > 0)
			fprintf(out, "<rect class=\"%s\" x=\"%.4g\" width=\"%.4g\" height=\"10\">\n"
				"<title>%s: %s</title></rect>", parts[i].class, x, width,
				parts[i].label, size_text(text, parts[i].value, false));
		x += width;
	}
	fputs("</svg>", out);
}
