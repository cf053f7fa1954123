// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl, the report's page: a section for each question that one has about a heap.
 * It is well-formed XML as well as HTML.  All text that comes from the heap or from
 * programs goes through put_escaped().
 */
#include <stdlib.h>
#include <string.h>

#include "picture.h"
#include "report.h"

#define MOST_ROWS	12	/* of types and stacks */
#define MAP_CELLS	4608		/* most */
#define SMALL_MAP	2048		/* cells that stand in fewer columns */

static void begin_section(FILE *out, const char *title, const char *how)
{
	fprintf(out, "<section>\n<h2>%s</h2>\n<p>%s</p>\n", title, how);
}

static void end_section(FILE *out)
{
	fputs("</section>\n", out);
}

static void put_key(FILE *out, const char *class, const char *text)
{
	fprintf(out, "<li><i class=\"%s\"></i>%s</li>", class, text);
}

static double percent(__u64 part, __u64 whole)
{
	return whole ? 100.0 * part / whole : 0;
}

/* --- what it is --- */

static void put_fact(FILE *out, const char *value, const char *what)
{
	fprintf(out, "<div class=\"fact\"><b>%s</b><span>%s</span></div>\n", value, what);
}

static void put_time(FILE *out, __u64 ns, const char *what)
{
	char text[CELL_LEN];

	if (ns < 1000000)
		snprintf(text, sizeof(text), "%.3g \u00b5s", ns / 1e3);
	else if (ns < 1000000000)
		snprintf(text, sizeof(text), "%.3g ms", ns / 1e6);
	else
		snprintf(text, sizeof(text), "%.3g s", ns / 1e9);
	put_fact(out, text, what);
}

static void put_facts(FILE *out, const struct report *r)
{
	const struct karena_heap_info *heap = &r->heap.info;
	char text[CELL_LEN];

	fputs("<div class=\"facts\">\n", out);
	put_fact(out, size_text(text, r->explain.held_bytes, false), "memory held");
	put_fact(out, size_text(text, r->explain.live_bytes, false), "in live objects");
	put_fact(out, count_text(text, heap->live_objects), "live objects");
	put_fact(out, count_text(text, heap->nr_spans), "spans");
	put_fact(out, size_text(text, r->explain.meta_bytes, false), "metadata, about");
	put_fact(out, size_text(text, heap->limit, false), "limit");
	if (r->heap.collected) {
		put_fact(out, count_text(text, r->heap.gc.cycles), "cycles of the collector");
		put_time(out, r->heap.gc.stop_max_ns, "longest stop");
	}
	fputs("</div>\n", out);
}

static void put_header(FILE *out, const struct report *r)
{
	const struct karena_heap_info *heap = &r->heap.info;
	char text[CELL_LEN];

	fprintf(out, "<header>\n<h1>Heap %u <small>", heap->id);
	put_escaped(out, heap->name);
	fputs("</small></h1>\n<p>Made by user ", out);
	put_escaped(out, user_text(text, heap->uid));
	fprintf(out, ", process %s; ", pid_text(text, heap->pid));
	fputs(r->heap.collected ? "collected" : "freed by hand", out);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", localtime(&r->when));
	fprintf(out, ". Written by karenactl at %s.</p>\n", text);
	put_facts(out, r);
	fputs("</header>\n", out);
}

/* --- over time --- */

static const char how_collected[] =
	"Bytes while this report was made. The collector ends a cycle before live\n"
	"objects reach the goal; what is held above them is free, cached, or between objects.";

static const char how_freed[] =
	"Bytes while this report was made. What is held above live objects is free, cached, or\n"
	"between objects.";

static void put_history(FILE *out, const struct report *r)
{
	begin_section(out, "Heap over time", r->heap.collected ? how_collected : how_freed);
	if (r->nr_samples > 1) {
		fputs("<ul class=\"keys\">", out);
		put_key(out, "held", "held");
		put_key(out, "live", "live");
		if (r->heap.collected) {
			put_key(out, "goal", "goal");
			put_key(out, "cycle", "a cycle ended");
		}
		fputs("</ul>\n", out);
		put_time_chart(out, r->samples, r->nr_samples);
	} else {
		fputs("<p>It was looked at once only (<code>--seconds 0</code>).</p>\n", out);
	}
	end_section(out);
}

/* --- pauses --- */

static void put_times(FILE *out, const char *title, const char *how,
		      const __u64 counts[KARENA_GC_BUCKETS])
{
	char text[CELL_LEN];
	__u64 sum = 0;
	int i;

	for (i = 0; i < KARENA_GC_BUCKETS; i++)
		sum += counts[i];
	fprintf(out, "<div><h3>%s: %s</h3>\n", title, count_text(text, sum));
	put_histogram(out, counts);
	fprintf(out, "<p>%s</p></div>\n", how);
}

static void put_pauses(FILE *out, const struct report *r)
{
	begin_section(out, "Pauses",
		      "How often something took how long, since the heap was made: a bar from\n"
		      "each length to twice that. Bars to the left are good.");
	if (!r->heap.collected) {
		fputs("<p>This heap is not collected: nothing stops its programs.</p>\n", out);
		end_section(out);
		return;
	}
	fputs("<div class=\"columns\">\n", out);
	put_times(out, "Stops", "All threads stood still.", r->heap.gc.stop_us);
	put_times(out, "Slices", "Marking at a stretch; programs go on meanwhile.",
		  r->heap.gc.slice_us);
	put_times(out, "Assists", "Slices that an allocation had to wait for.",
		  r->heap.gc.assist_us);
	fputs("</div>\n", out);
	end_section(out);
}

/* --- where the memory is --- */

static void put_number(FILE *out, const struct bar_part *part, __u64 whole)
{
	char text[CELL_LEN];

	fprintf(out, "<div><dt><i class=\"%s\"></i>%s</dt><dd>%s, %.1f %%</dd></div>\n",
		part->class, part->label, size_text(text, part->value, false),
		percent(part->value, whole));
}

/* A large object's span is full, whatever is behind the object. */
static void put_fill(FILE *out, const struct report *r)
{
	const struct karena_span_record *span = NULL;
	__u64 bytes[10] = { };
	__u64 tenth;

	while ((span = list_next(&r->spans, span))) {
		if (!span->objects)
			continue;
		tenth = 10ULL * span->live / span->objects;
		bytes[tenth < 10 ? tenth : 9] += span->length;
	}
	put_fill_chart(out, bytes);
}

static void put_runs(FILE *out, const struct report *r)
{
	const struct karena_span_record *span = NULL;
	__u64 runs = 0, largest = 0, bytes = 0;
	char a[CELL_LEN], b[CELL_LEN];

	while ((span = list_next(&r->spans, span))) {
		if (!(span->flags & KARENA_SPAN_FREE))
			continue;
		runs++;
		bytes += span->length;
		largest = span->length > largest ? span->length : largest;
	}
	if (!runs) {
		fputs("<p class=\"after\">No free memory lies between the spans.</p>\n", out);
		return;
	}
	fprintf(out, "<p class=\"after\">Between the spans %s are free, in %s runs of pages",
		size_text(a, bytes, false), count_text(b, runs));
	fprintf(out, "; the largest has %s.</p>\n", size_text(a, largest, false));
}

static void put_fragmentation(FILE *out, const struct report *r)
{
	const struct karena_explain *e = &r->explain;
	const struct bar_part parts[] = {
		{ "live", "live objects", e->live_bytes },
		{ "garbage", "garbage, not swept yet", e->garbage_bytes },
		{ "cached", "cached for CPUs", e->cached_bytes },
		{ "slot", "free between objects", e->slot_bytes },
		{ "tail", "tails of spans", e->tail_bytes },
		{ "kept", "free pages, not returned", e->free_bytes },
	};
	size_t i;

	begin_section(out, "Where the memory is",
		      "All that the heap holds, in bytes, by what it is used for. Free places\n"
		      "between objects, and tails, are what fragmentation costs.");
	fputs("<div class=\"big\">", out);
	put_bar(out, parts, COUNT(parts), e->held_bytes);
	fputs("</div>\n<dl class=\"numbers\">\n", out);
	for (i = 0; i < COUNT(parts); i++)
		put_number(out, &parts[i], e->held_bytes);
	fputs("</dl>\n<h3 class=\"after\">How full the spans are</h3>\n"
	      "<p>Bytes of spans by the share of their objects that is live: memory to the left\n"
	      "is kept by few objects.</p>\n", out);
	put_fill(out, r);
	put_runs(out, r);
	end_section(out);
}

static void put_class(FILE *out, const struct karena_explain_class *class, __u64 most)
{
	const struct bar_part parts[] = {
		{ "live", "live", class->live_bytes },
		{ "garbage", "garbage", class->garbage_bytes },
		{ "cached", "cached", class->cached_bytes },
		{ "slot", "free", class->free_bytes },
		{ "tail", "tails", class->tail_bytes },
	};
	char text[CELL_LEN];

	fprintf(out, "<tr><td>%s</td>", class->object_size ?
		size_text(text, class->object_size, class->object_size < 10240) : "large");
	fprintf(out, "<td class=\"extra\">%s</td>", count_text(text, class->spans));
	fprintf(out, "<td>%s</td>", size_text(text, class->span_bytes, false));
	fprintf(out, "<td>%.0f %%</td><td class=\"bars\">",
		percent(class->live_bytes, class->span_bytes));
	put_bar(out, parts, COUNT(parts), most);
	fputs("</td></tr>\n", out);
}

static int more_memory_first(const void *a, const void *b)
{
	const struct karena_explain_class *x = a, *y = b;

	return x->span_bytes < y->span_bytes ? 1 : x->span_bytes > y->span_bytes ? -1 : 0;
}

static void put_class_table(FILE *out, const struct karena_explain_class *classes, size_t nr,
			    __u64 most)
{
	size_t i;

	fputs("<div class=\"wide\"><table><thead><tr><th>object, bytes</th>\n"
	      "<th class=\"extra\">spans</th><th>memory</th><th>live</th>\n"
	      "<th class=\"text\">of its memory</th></tr></thead><tbody>\n", out);
	for (i = 0; i < nr; i++)
		put_class(out, &classes[i], most);
	fputs("</tbody></table></div>\n", out);
}

static void put_class_tables(FILE *out, const struct karena_explain_class *classes, size_t nr)
{
	size_t first = nr < MOST_ROWS ? nr : MOST_ROWS;

	put_class_table(out, classes, first, classes->span_bytes);
	if (nr == first)
		return;
	fprintf(out, "<details class=\"more\"><summary>And %zu with less</summary>\n", nr - first);
	put_class_table(out, classes + first, nr - first, classes->span_bytes);
	fputs("</details>\n", out);
}

static void put_classes(FILE *out, const struct report *r)
{
	struct karena_explain_class classes[KARENA_NR_CLASSES];
	size_t nr = 0;

	begin_section(out, "Size classes",
		      "Objects of a size share spans; a bar is as long as the class has bytes,\n"
		      "the most first. A class with little live has spans that few objects keep.");
	fputs("<ul class=\"keys\">", out);
	put_key(out, "live", "live");
	put_key(out, "garbage", "garbage");
	put_key(out, "cached", "cached");
	put_key(out, "slot", "free");
	put_key(out, "tail", "tails");
	fputs("</ul>\n", out);
	memcpy(classes, r->classes, sizeof(classes));
	while (nr < KARENA_NR_CLASSES && classes[nr].spans)
		nr++;
	qsort(classes, nr, sizeof(*classes), more_memory_first);
	put_class_tables(out, classes, nr);
	end_section(out);
}

/* --- types --- */

/* Of pointers. */
static int more_bytes_first(const void *a, const void *b)
{
	const struct karena_type_record *const *x = a, *const *y = b;
	__u64 one = (*x)->live_bytes, other = (*y)->live_bytes;

	return one < other ? 1 : one > other ? -1 : 0;
}

static void put_type(FILE *out, const struct karena_type_record *type, __u64 live)
{
	const struct bar_part part = { "live", "live", type->live_bytes };
	char text[CELL_LEN];

	fputs("<tr><td class=\"name text\">", out);
	put_escaped(out, type->name);
	fprintf(out, "</td><td class=\"extra\">%llu B</td>", (unsigned long long)type->element);
	fprintf(out, "<td>%s</td>", count_text(text, type->live_objects));
	fprintf(out, "<td>%s</td>", size_text(text, type->live_bytes, false));
	fprintf(out, "<td>%.1f %%</td><td class=\"bars extra\">", percent(type->live_bytes, live));
	put_bar(out, &part, 1, live);
	fputs("</td></tr>\n", out);
}

static void put_type_table(FILE *out, const struct karena_type_record **types, size_t nr,
			   __u64 live)
{
	size_t i;

	fputs("<div class=\"wide\"><table><thead><tr><th class=\"text\">type</th>\n"
	      "<th class=\"extra\">size</th><th>objects</th><th>bytes</th><th>of all</th>\n"
	      "<th class=\"text extra\">share of live bytes</th></tr></thead><tbody>\n", out);
	for (i = 0; i < nr && i < MOST_ROWS; i++)
		put_type(out, types[i], live);
	fputs("</tbody></table></div>\n", out);
	if (nr > MOST_ROWS)
		fprintf(out, "<p>And %zu with less.</p>\n", nr - MOST_ROWS);
}

static void put_types(FILE *out, const struct report *r)
{
	const struct karena_type_record *types[KARENA_MAX_TYPES + 1];
	const void *at = NULL;
	size_t nr = 0;

	begin_section(out, "Types",
		      "Live objects of the types that programs have registered, rounded up to\n"
		      "their size classes, those with the most bytes first.");
	while ((at = list_next(&r->types.list, at)) && nr < COUNT(types))
		types[nr++] = at;
	if (nr) {
		qsort(types, nr, sizeof(*types), more_bytes_first);
		put_type_table(out, types, nr, r->heap.info.live_bytes);
	} else {
		fputs("<p>None is registered.</p>\n", out);
	}
	end_section(out);
}

/* --- stacks --- */

static void put_stack(FILE *out, const struct stack *stack, __u64 most)
{
	const struct bar_part part = { "live", "in use", stack->bytes };
	char *first = must_have(strdup(stack->frames));
	char text[CELL_LEN];

	first[strcspn(first, "\n")] = '\0';
	fprintf(out, "<details><summary><b>%s</b><code>", size_text(text, stack->bytes, false));
	put_escaped(out, *first ? first : "no stack");
	fputs("</code>", out);
	put_bar(out, &part, 1, most);
	fprintf(out, "</summary><pre>%s objects\n", count_text(text, stack->objects));
	put_escaped(out, stack->frames);
	fputs("</pre></details>\n", out);
	free(first);
}

static void put_stack_list(FILE *out, const struct stacks *stacks)
{
	size_t i;

	for (i = 0; i < stacks->nr && i < MOST_ROWS; i++)
		put_stack(out, &stacks->stack[i], stacks->stack[0].bytes);
	if (stacks->nr > MOST_ROWS)
		fprintf(out, "<p>And %zu with less.</p>\n", stacks->nr - MOST_ROWS);
}

static void put_stacks(FILE *out, const struct report *r)
{
	char text[CELL_LEN];

	begin_section(out, "Stacks",
		      "Functions whose objects are in use, in bytes, estimated from samples; "
		      "open one to see who has called it.");
	if (!r->has_profile)
		fputs("<p>The profile is for the user who made the heap.</p>\n", out);
	else if (!r->profile.rate && !r->stacks.nr)
		fprintf(out, "<p>No profile is taken.\n"
			"<code>karenactl profile --rate 512K %u</code> begins one.</p>\n",
			r->heap.info.id);
	else if (!r->stacks.nr)
		fputs("<p>Nothing that has been sampled is in use.</p>\n", out);
	else
		put_stack_list(out, &r->stacks);
	if (r->has_profile && r->profile.rate)
		fprintf(out, "<p>One object in %s is sampled, on average; ",
			size_text(text, r->profile.rate, false));
	if (r->has_profile && r->profile.rate)
		fprintf(out, "%s are so far.</p>\n", count_text(text, r->profile.samples));
	end_section(out);
}

/* --- the map --- */

static void put_map_key(FILE *out, int band)
{
	struct colour c = colour_of(band == NR_BANDS - 1 ? 0 : 8U << band, 0);
	char text[CELL_LEN];

	fprintf(out, "<li><i style=\"background:#%02x%02x%02x\"></i>%s</li>", c.red, c.green,
		c.blue, band_text(text, band));
}

static void put_map(FILE *out, const struct report *r)
{
	bool small = r->explain.held_bytes / KARENA_PAGE_SIZE <= SMALL_MAP;
	struct grid grid;
	char how[512], size[CELL_LEN];
	__u32 bands;
	int band;

	grid_make(&grid, &r->spans, r->heap.info.base, small ? 64 : 96, MAP_CELLS);
	snprintf(how, sizeof(how), "A square is %s, by address, each row from left to right; "
		 "pages of a span are joined. Hue is the size of objects, darker spans are\n"
		 "older, and colour stands as high as the share that is live.",
		 size_text(size, grid.cell_bytes, false));
	begin_section(out, "Map", how);
	fputs("<ul class=\"keys\">", out);
	bands = grid_bands(&grid);
	for (band = 0; band < NR_BANDS; band++)
		if (bands >> 2 * band & 3)
			put_map_key(out, band);
	put_key(out, "hatched", "free");
	fputs("</ul>\n", out);
	svg_map(out, &grid, &r->types, false);
	grid_free(&grid);
	end_section(out);
}

void write_page(FILE *out, const struct report *r)
{
	fprintf(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
		"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n"
		"<title>karena: heap %u ", r->heap.info.id);
	put_escaped(out, r->heap.info.name);
	fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n", page_style);
	put_header(out, r);
	put_history(out, r);
	put_fragmentation(out, r);
	put_types(out, r);
	put_stacks(out, r);
	put_pauses(out, r);
	put_classes(out, r);
	put_map(out, r);
	fputs("<footer>Numbers are read without stopping anybody: each is right, their sums may\n"
	      "be off by what happened meanwhile. KiB, MiB and GiB are 1024 of the smaller\n"
	      "unit.</footer>\n</main>\n</body>\n</html>\n", out);
}
