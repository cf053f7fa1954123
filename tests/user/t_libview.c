// SPDX-License-Identifier: GPL-2.0
/*
 * karenactl's lists and pictures of a heap whose contents are known: what they say adds up
 * to what the calls tell, pictures are well-formed XML with each page once, and names that
 * would be markup are text.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <jansson.h>
#include <karena.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"
#include "tool.h"

#define NODES		1000
#define SMALL		400
#define LARGE_SIZE	100000
#define EVIL		"<script>&\"'</td>"
#define EVIL_ESCAPED	"&lt;script&gt;&amp;&quot;&#39;&lt;/td&gt;"

struct known {
	struct karena *heap;
	int fd;
	__u32 id;
	__u64 base;
	__u32 node;		/* types */
	__u32 evil;
	__u64 nodes[NODES];	/* of 24 bytes, with a reference at 8 */
	__u64 small[SMALL];	/* of all sizes */
	__u64 large;
};

static __u32 register_type(int fd, const char *name, __u64 size, __u32 ref)
{
	struct karena_register arg = {
		.size = sizeof(arg), .object_size = size, .refs = as_addr(&ref), .nr_refs = 1,
	};

	strcpy(arg.name, name);
	return check_ret(kioctl(fd, KARENA_IOC_REGISTER, &arg), 0) ? arg.id : 0;
}

static void fill(struct known *k)
{
	__u64 evil[50];
	struct rng rng;
	int i;

	rng_init(&rng, 1);
	check_ret(heap_alloc_type(k->fd, k->node, 0, 0, NODES, k->nodes), 0);
	check_ret(heap_alloc_type(k->fd, k->evil, 0, 0, ARRAY_SIZE(evil), evil), 0);
	for (i = 0; i < SMALL; i++)
		k->small[i] = heap_new(k->fd, 16 + rng_below(&rng, 8000), KARENA_ALLOC_NOSCAN);
	k->large = heap_new(k->fd, LARGE_SIZE, 0);
	check(k->large);
	/* Some go, so that there are objects in caches and free places. */
	for (i = 0; i < SMALL; i += 1 + rng_below(&rng, 3)) {
		check_eq(heap_drop(k->fd, k->small[i]), 0);
		k->small[i] = 0;
	}
}

/* It is not collected meanwhile: nobody refers to its objects. */
static bool open_known(struct known *k)
{
	struct karena_options opts = {
		.flags = KARENA_COLLECT, .name = "t_libview <i>&\"", .window = WINDOW,
	};
	struct karena_gc_control control;

	memset(k, 0, sizeof(*k));
	k->heap = karena_open(&opts);
	if (!check(k->heap))
		return false;
	k->fd = karena_fd(k->heap);
	k->id = karena_id(k->heap);
	k->base = as_addr(karena_base(k->heap));
	karena_gc_get(k->heap, &control);
	control.percent = -1;
	control.period_ms = 0;
	check(!karena_gc_set(k->heap, &control));
	k->node = register_type(k->fd, "node", 24, 8);
	k->evil = register_type(k->fd, EVIL, 64, 0);
	fill(k);
	return true;
}

static void close_known(struct known *k)
{
	karena_close(k->heap);
}

/* What the last command has written, or an empty array. */
static json_t *parse(void)
{
	json_t *all = json_loads(tool_text, 0, NULL);

	if (!check(all))
		tap_diag("no JSON: %.300s", tool_text);
	return all ? all : json_array();
}

static long long number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const char *word(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static bool has_flag(const json_t *span, const char *flag)
{
	json_t *flags = json_object_get(span, "flags"), *one;
	size_t i;

	json_array_foreach(flags, i, one)
		if (!strcmp(json_string_value(one), flag))
			return true;
	return false;
}

/* --- lists --- */

struct sums {
	long long spans;
	long long span_bytes;
	long long free_bytes;
	long long live;
	long long live_bytes;
	long long cached_bytes;
};

static void add(struct sums *sums, const json_t *span)
{
	long long size = number(span, "object_size");

	if (has_flag(span, "free")) {
		sums->free_bytes += number(span, "length");
		return;
	}
	/* A large object is counted by its pages. */
	if (has_flag(span, "large"))
		size = number(span, "length");
	sums->spans++;
	sums->span_bytes += number(span, "length");
	sums->live += number(span, "live");
	sums->live_bytes += number(span, "live") * size;
	sums->cached_bytes += number(span, "cached") * size;
}

static void spans_add_up(void)
{
	struct karena_heap_info info;
	struct sums sums = { 0 };
	json_t *spans, *span;
	struct known k;
	size_t i;

	if (!open_known(&k))
		return;
	check_eq(run("karenactl span list --json %u", k.id), 0);
	spans = parse();
	json_array_foreach(spans, i, span)
		add(&sums, span);
	json_decref(spans);
	heap_info(k.fd, 0, 0, &info);
	check_eq(sums.spans, info.nr_spans);
	check_eq(sums.span_bytes, info.span_bytes);
	check_eq(sums.free_bytes, info.free_bytes);
	check_eq(sums.live, info.live_objects);
	check_eq(sums.live_bytes, info.live_bytes);
	check_eq(sums.cached_bytes, info.cached_bytes);
	check(info.cached_bytes);
	close_known(&k);
}

static void spans_chosen(void)
{
	long long live = 0, last = 1LL << 40;
	json_t *spans, *span;
	struct known k;
	size_t i;

	if (!open_known(&k))
		return;
	check_eq(run("karenactl span list --json --type node --sort live %u", k.id), 0);
	spans = parse();
	json_array_foreach(spans, i, span) {
		check(!strcmp(word(span, "type_name"), "node"));
		check_eq(number(span, "type"), k.node);
		check(number(span, "live") <= last);
		last = number(span, "live");
		live += last;
	}
	check(i > 1);
	check_eq(live, NODES);
	json_decref(spans);
	check_eq(run("karenactl span list --json --class 64 %u", k.id), 0);
	spans = parse();
	json_array_foreach(spans, i, span)
		check_eq(number(span, "object_size"), 64);
	check(i);
	json_decref(spans);
	check_eq(run("karenactl span list --type '%s' %u", "<script>&\"'\\''</td>", k.id), 0);
	says(EVIL);
	check_eq(run("karenactl span list --class 8T %u", k.id), 0);
	check(!strchr(strchr(tool_text, '\n') + 1, '\n'));
	close_known(&k);
}

static void types_listed(void)
{
	json_t *types, *type;
	struct known k;

	if (!open_known(&k))
		return;
	check_eq(run("karenactl type list --json %u", k.id), 0);
	types = parse();
	check_eq(json_array_size(types), 2);
	type = json_array_get(types, 0);
	check_eq(number(type, "id"), k.node);
	check(!strcmp(word(type, "name"), "node"));
	check_eq(number(type, "element"), 24);
	check_eq(number(type, "live_objects"), NODES);
	check_eq(number(type, "live_bytes"), NODES * 24);
	check_eq(json_array_size(json_object_get(type, "offsets")), 1);
	check_eq(json_integer_value(json_array_get(json_object_get(type, "offsets"), 0)), 8);
	type = json_array_get(types, 1);
	check(!strcmp(word(type, "name"), EVIL));
	check_eq(number(type, "live_objects"), 50);
	json_decref(types);
	check_eq(run("karenactl type list %u", k.id), 0);
	says("1,000");
	close_known(&k);
}

static void caches_add_up(void)
{
	struct karena_heap_info info;
	json_t *caches, *cache;
	long long bytes = 0;
	struct known k;
	size_t i;

	if (!open_known(&k))
		return;
	heap_info(k.fd, 0, 0, &info);
	check_eq(run("karenactl cache list --json %u", k.id), 0);
	caches = parse();
	json_array_foreach(caches, i, cache) {
		check(number(cache, "objects") <= number(cache, "room"));
		bytes += number(cache, "objects") * number(cache, "object_size");
	}
	check_eq(bytes, info.cached_bytes);
	check(bytes);
	json_decref(caches);
	check_eq(run("karenactl cache list %u", k.id), 0);
	says("kernel");
	close_known(&k);
}

/* --- objects --- */

static void show_object(const struct known *k, __u64 address, __u64 start, __u64 size,
			const char *state)
{
	json_t *object;

	check_eq(run("karenactl object show --json %u %#llx", k->id, (long long)address), 0);
	object = parse();
	check_eq(number(object, "start"), start);
	check_eq(number(object, "offset"), address - start);
	check_eq(number(object, "size"), size);
	if (!check(!strcmp(word(object, "state"), state)))
		tap_diag("%#llx is %s, not %s", (long long)address, word(object, "state"), state);
	json_decref(object);
}

static void show_nothing(const struct known *k, __u64 address, const char *why)
{
	check_eq(run("karenactl object show %u %llx", k->id, (long long)address), 1);
	says(why);
}

static void objects_shown(void)
{
	struct karena_reclaim reclaim = { .size = sizeof(reclaim) };
	struct known k;

	if (!open_known(&k))
		return;
	show_object(&k, k.nodes[7], k.nodes[7], 24, "live");
	check(strstr(tool_text, "\"node\""));
	check(strstr(tool_text, "at 8 of each 24 bytes"));
	show_object(&k, k.nodes[7] + 23, k.nodes[7], 24, "live");
	show_object(&k, k.nodes[NODES - 1] + 1, k.nodes[NODES - 1], 24, "live");
	show_object(&k, k.large + 70000, k.large, heap_usable(k.fd, k.large), "live");
	/* Caches are empty afterwards, so it can only be free. */
	check_eq(heap_drop(k.fd, k.nodes[7]), 0);
	check_ret(kioctl(k.fd, KARENA_IOC_RECLAIM, &reclaim), 0);
	show_object(&k, k.nodes[7] + 8, k.nodes[7], 24, "free");
	show_object(&k, k.nodes[8], k.nodes[8], 24, "live");
	check_eq(run("karenactl object show %u %llx", k.id, (long long)k.nodes[8]), 0);
	says("live");
	show_nothing(&k, k.base + WINDOW - 1, "no memory");
	show_nothing(&k, k.base + WINDOW, "not in its window");
	show_nothing(&k, k.base - 1, "not in its window");
	show_nothing(&k, 0, "not in its window");
	check_eq(run("karenactl object show %u 0x", k.id), 2);
	check_eq(run("karenactl object show %u 12z", k.id), 2);
	check_eq(run("karenactl object show %u", k.id), 2);
	close_known(&k);
}

/* Its pages are kept, or given back: told of as the list of spans does. */
static void free_pages_shown(void)
{
	json_t *spans, *span;
	bool found = false;
	struct known k;
	size_t i;

	if (!open_known(&k))
		return;
	check_eq(heap_drop(k.fd, k.large), 0);
	check_eq(run("karenactl span list --json %u", k.id), 0);
	spans = parse();
	json_array_foreach(spans, i, span)
		if (has_flag(span, "free") &&
		    k.large - number(span, "start") < (__u64)number(span, "length"))
			found = true;
	json_decref(spans);
	show_nothing(&k, k.large + 5000, found ? "free memory" : "in no span");
	close_known(&k);
}

/* --- limits --- */

static void limit_set(void)
{
	struct karena_memory memory = { .size = sizeof(memory) };
	struct known k;

	if (!open_known(&k))
		return;
	check_eq(run("karenactl limit %u", k.id), 0);
	says("none");
	check_eq(run("karenactl limit %u 3M --policy fail", k.id), 0);
	check_ret(kioctl(k.fd, KARENA_IOC_MEMORY, &memory), 0);
	check_eq(memory.soft_limit, 3 * MIB);
	check_eq(memory.policy, KARENA_OVER_FAIL);
	/* The rest stays. */
	check_eq(run("karenactl limit --json %u --wait 7", k.id), 0);
	check_eq(json("soft_limit"), 3 * MIB);
	check_eq(json("wait_ms"), 7);
	check_ret(kioctl(k.fd, KARENA_IOC_MEMORY, &memory), 0);
	check_eq(memory.soft_limit, 3 * MIB);
	check_eq(memory.policy, KARENA_OVER_WAIT);
	check_eq(memory.wait_ms, 7);
	check_eq(run("karenactl limit %u none --policy go-on", k.id), 0);
	check_ret(kioctl(k.fd, KARENA_IOC_MEMORY, &memory), 0);
	check_eq(memory.soft_limit, 0);
	check_eq(memory.policy, KARENA_OVER_GO_ON);
	check_eq(memory.wait_ms, 0);
	check_eq(run("karenactl limit %u 1Q", k.id), 2);
	check_eq(run("karenactl limit %u 1M --policy maybe", k.id), 2);
	check_eq(run("karenactl limit %u --wait 1001", k.id), 2);
	check_eq(run("karenactl limit %u --wait 1 --policy fail", k.id), 2);
	close_known(&k);
}

/* --- pictures --- */

/* A well-formed file; prints the sum of data-cells, and the names of its elements. */
#define READ_XML "python3 -c 'import sys, xml.etree.ElementTree as e\n" \
	"all = list(e.parse(sys.argv[1]).iter())\n" \
	"print(sum(int(x.get(\"data-cells\", 0)) for x in all), \"cells\")\n" \
	"print(sorted({x.tag.split(\"}\")[-1] for x in all}))' "

static char file[32] = "/tmp/t_libview.XXXXXX";

static long long pages_held(const struct known *k)
{
	struct karena_heap_info info;

	heap_info(k->fd, 0, 0, &info);
	return info.held_bytes / KARENA_PAGE_SIZE;
}

static void map_in_letters(void)
{
	const char *cells;
	long long pages = 0, large = 0;
	json_t *map, *row;
	struct known k;
	size_t i;

	if (!open_known(&k))
		return;
	check_eq(run("karenactl map %u", k.id), 0);
	says("Upper case: with references.");
	check(!strchr(tool_text, '\033'));
	check_eq(run("karenactl map --json %u", k.id), 0);
	map = parse();
	check_eq(number(map, "cell_bytes"), KARENA_PAGE_SIZE);
	check_eq(number(map, "pages"), pages_held(&k));
	json_array_foreach(json_object_get(map, "rows"), i, row) {
		for (cells = word(row, "cells"); *cells; cells++) {
			pages += *cells != ' ';
			large += *cells == 'Z';
		}
	}
	check_eq(pages, pages_held(&k));
	check_eq(large, (LARGE_SIZE + KARENA_PAGE_SIZE - 1) / KARENA_PAGE_SIZE);
	json_decref(map);
	close_known(&k);
}

static void map_in_colours(void)
{
	struct known k;

	if (!open_known(&k))
		return;
	check_eq(run("TERM=xterm COLORTERM=truecolor script -qec 'karenactl map %u' /dev/null",
		     k.id), 0);
	says("\033[38;2;0;0;0;48;2;");
	check_eq(run("COLORTERM= TERM=xterm-256color script -qec 'karenactl map %u' /dev/null",
		     k.id), 0);
	says("\033[38;5;16;48;5;");
	check_eq(run("COLORTERM= TERM=dumb script -qec 'karenactl map %u' /dev/null", k.id), 0);
	check(!strstr(tool_text, "\033[38"));
	check_eq(run("NO_COLOR=1 COLORTERM=truecolor script -qec 'karenactl map %u' /dev/null",
		     k.id), 0);
	check(!strchr(tool_text, '\033'));
	close_known(&k);
}

static void map_as_svg(void)
{
	char want[64];
	struct known k;

	if (!open_known(&k))
		return;
	check_eq(run("karenactl map --svg %s %u", file, k.id), 0);
	check_eq(run(READ_XML "%s", file), 0);
	snprintf(want, sizeof(want), "%lld cells\n", pages_held(&k));
	says(want);
	check(!strstr(tool_text, "script"));
	check_eq(run("cat %s", file), 0);
	says("type " EVIL_ESCAPED);
	check_eq(run("karenactl map --svg - %u", k.id), 0);
	says("<svg ");
	check_eq(run("karenactl map --svg /nowhere/x %u", k.id), 1);
	says("/nowhere/x: No such file");
	check_eq(run("karenactl map --svg - --json %u", k.id), 2);
	close_known(&k);
}

static void says_size(const char *label, __u64 bytes)
{
	char want[128];

	snprintf(want, sizeof(want), "<b>%.1f MiB</b><span>%s</span>", bytes / 1048576.0, label);
	says(want);
}

static void report_written(void)
{
	struct karena_heap_info info;
	char want[128];
	struct known k;

	if (!open_known(&k))
		return;
	karena_gc(k.heap);
	heap_info(k.fd, 0, 0, &info);
	check_eq(run("karenactl report --json --seconds 0 -o %s %u", file, k.id), 0);
	check_eq(json("samples"), 1);
	check_eq(run(READ_XML "%s", file), 0);
	check(!strstr(tool_text, "'script'"));
	check(!strstr(tool_text, "'i', 'i'"));
	check_eq(run("cat %s", file), 0);
	says_size("memory held", info.held_bytes);
	check(info.live_objects > 1000);
	snprintf(want, sizeof(want), "<b>%llu,%03llu</b><span>live objects",
		 info.live_objects / 1000, info.live_objects % 1000);
	says(want);
	says("t_libview &lt;i&gt;&amp;&quot;");
	says(EVIL_ESCAPED);
	says("No profile is taken.");
	check(!strstr(tool_text, "<script"));
	/* Nothing from elsewhere. */
	check(!strstr(tool_text, "src="));
	check(!strstr(tool_text, "href="));
	check(!strstr(tool_text, "@import"));
	check(!strstr(tool_text, "url(http"));
	close_known(&k);
}

static void report_over_time(void)
{
	struct known k;

	if (!open_known(&k))
		return;
	check(!karena_profile(k.heap, 4096));
	fill(&k);
	check_eq(run("karenactl report --json -s 0.05 -i 0.01 -o %s %u", file, k.id), 0);
	check(json("samples") >= 5);
	check_eq(run(READ_XML "%s", file), 0);
	says("polyline");
	check_eq(run("cat %s", file), 0);
	says("One object in 4.0 KiB is sampled");
	check_eq(run("karenactl report %u", k.id), 2);
	says("into which file?");
	check_eq(run("karenactl report -o - --json %u", k.id), 2);
	check_eq(run("karenactl report -s -1 -o - %u", k.id), 2);
	check_eq(run("karenactl report -s 1000 -i 0.001 -o - %u", k.id), 2);
	check_eq(run("karenactl report -s 0 -o /nowhere/x %u", k.id), 1);
	says("/nowhere/x: No such file");
	close_known(&k);
}

/* --- who may --- */

static const char * const looks[] = {
	"span list", "type list", "cache list", "map", "map --svg -", "report -s 0 -o -", "limit",
};

static void unknown(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(looks); i++) {
		check_eq(run("karenactl %s 4294967295", looks[i]), 1);
		says("not there, or not yours");
		check_eq(run("karenactl %s --nonsense 1", looks[i]), 2);
		says("unrecognized option");
	}
	check_eq(run("karenactl object show 4294967295 1000"), 1);
	says("not there, or not yours");
}

static char node[64];

static void look_as_nobody(void *arg)
{
	struct known *others = arg, own;
	size_t i;

	if (!become_nobody())
		return;
	for (i = 0; i < ARRAY_SIZE(looks); i++) {
		check_eq(run("karenactl %s %u", looks[i], others->id), 1);
		says("not there, or not yours");
	}
	check_eq(run("karenactl limit %u 1M", others->id), 1);
	says("not there, or not yours");
	if (!open_known(&own))
		return;
	for (i = 0; i < ARRAY_SIZE(looks); i++)
		check_eq(run("karenactl %s %u", looks[i], own.id), 0);
	/* Who may only read looks, and changes nothing. */
	for (i = 0; i < ARRAY_SIZE(looks); i++)
		check_eq(run("KARENA_DEVICE=%s karenactl %s %u", node, looks[i], own.id), 0);
	check_eq(run("KARENA_DEVICE=%s karenactl limit %u 1M", node, own.id), 1);
	says("not permitted");
	check_eq(run("karenactl limit --json %u", own.id), 0);
	check(strstr(tool_text, "\"soft_limit\": null"));
	close_known(&own);
}

static void strangers(void)
{
	struct known k;
	struct stat st;

	if (!open_known(&k) || !check(!stat("/dev/karena", &st)))
		return;
	snprintf(node, sizeof(node), "/dev/t_libview.%d", getpid());
	check(!mknod(node, S_IFCHR | 0444, st.st_rdev));
	check(!chmod(node, 0444));
	tap_isolate(look_as_nobody, &k);
	unlink(node);
	close_known(&k);
}

static void quick_look(void)
{
	json_t *all, *results, *one;
	size_t i;

	check_eq(run("karenactl bench --json --objects 1000"), 0);
	all = parse();
	results = json_object_get(all, "results");
	check_eq(json_array_size(results), 8);
	json_array_foreach(results, i, one) {
		check(json_real_value(json_object_get(one, "low_ns")) > 0);
		check(json_real_value(json_object_get(one, "low_ns")) <=
		      json_real_value(json_object_get(one, "median_ns")));
		check(json_real_value(json_object_get(one, "median_ns")) <=
		      json_real_value(json_object_get(one, "high_ns")));
	}
	check(number(all, "held_bytes") > 1000 * 64);
	json_decref(all);
	check_eq(run("karenactl bench --objects 0"), 2);
	check_eq(run("karenactl bench 1"), 2);
}

static const struct tap_case cases[] = {
	{ "span list adds up", spans_add_up },
	{ "span list of some", spans_chosen },
	{ "type list", types_listed },
	{ "cache list adds up", caches_add_up },
	{ "object show", objects_shown },
	{ "object show of free pages", free_pages_shown },
	{ "limit", limit_set },
	{ "map in letters", map_in_letters },
	{ "map in colours", map_in_colours },
	{ "map as SVG", map_as_svg },
	{ "report", report_written },
	{ "report over time", report_over_time },
	{ "heaps that are not there", unknown },
	{ "heaps of others, and to read only", strangers },
	{ "bench", quick_look },
};

int main(void)
{
	int rc;

	close(mkstemp(file));
	rc = tap_main(cases, ARRAY_SIZE(cases));
	unlink(file);
	return rc;
}
