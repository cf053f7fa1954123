// SPDX-License-Identifier: GPL-2.0
/*
 * KARENA_IOC_CHECK and karenactl check: nothing is wrong with heaps that are used at
 * random by several processes meanwhile, of all sorts; and where the module can be told
 * to damage a heap while it is checked (kmod/alloc/plant.h), each kind of damage is found,
 * and named by the tool, which fails.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

#define WORKERS 3
#define SLOTS 128
#define PLANT "/sys/module/karena/parameters/plant"
#define PLANT_DAMAGE 1000

/* --- used meanwhile --- */

static struct {
	struct heap heap;
	bool collected;
	unsigned int *busy;	/* shared by all */
} world;

static void one_step(struct rng *rng, __u64 *slot)
{
	struct karena_fill fill = { .size = sizeof(fill) };
	struct karena_flush flush = { .size = sizeof(flush), .flags = KARENA_FLUSH_ALL };
	int fd = world.heap.fd, drop;

	if (!rng_below(rng, 500)) {
		check_ret(kioctl(fd, KARENA_IOC_FLUSH, &flush), 0);
	} else if (*slot) {
		drop = heap_drop(fd, *slot);
		/* The collector may have been faster. */
		check(!drop || (world.collected && drop > 0));
		*slot = 0;
	} else if (!rng_below(rng, 4)) {
		/* Of noscan objects, which all heaps have such magazines for. */
		fill.magazine = 2 * (1 + rng_below(rng, 30)) + 2;
		if (!kioctl(fd, KARENA_IOC_FILL, &fill))
			*slot = fill.object;
	} else {
		*slot = heap_new(fd, 1 + rng_below(rng, rng_below(rng, 50) ? 2000 : 100000),
				 rng_below(rng, 2) ? KARENA_ALLOC_NOSCAN : 0);
	}
}

static void use(void *arg)
{
	unsigned int i, n = tap_count(4000, 40000);
	__u64 slots[SLOTS] = { };
	struct rng rng;

	rng_init(&rng, (unsigned long)arg);
	for (i = 0; i < n && !tap_failed(); i++)
		one_step(&rng, &slots[rng_below(&rng, SLOTS)]);
	__atomic_sub_fetch(world.busy, 1, __ATOMIC_RELEASE);
}

static bool heap_check(int fd, struct karena_check *c)
{
	static struct karena_damage_record record[KARENA_MAX_DAMAGES];
	unsigned int i;

	*c = (struct karena_check) {
		.size = sizeof(*c), .records = as_addr(record), .length = sizeof(record),
	};
	if (!check_ret(kioctl(fd, KARENA_IOC_CHECK, c), 0) || !check_eq(c->damages, 0))
		for (i = 0; i < c->length / sizeof(record[0]); i++)
			tap_diag("kind %u at %#llx size %llu: found %llu, wanted %llu",
				 record[i].kind, record[i].at, record[i].object_size,
				 record[i].found, record[i].wanted);
	return !tap_failed();
}

static void check_in_use(void)
{
	__u64 checks = 0, unsettled = 0;
	pid_t pids[WORKERS];
	struct karena_check c;
	unsigned long i;

	world.busy = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*world.busy = WORKERS;
	for (i = 0; i < WORKERS; i++)
		pids[i] = tap_fork(use, (void *)i);
	do {
		if (world.collected && checks % 4 == 0)
			heap_collect(world.heap.fd);
		heap_check(world.heap.fd, &c);
		unsettled += c.unsettled;
		checks++;
	} while (__atomic_load_n(world.busy, __ATOMIC_ACQUIRE) && !tap_failed());
	for (i = 0; i < WORKERS; i++)
		tap_join(pids[i]);
	tap_diag("%llu checks, %llu unsettled", checks, unsettled);
	/* When nobody uses it nothing is left out. */
	heap_check(world.heap.fd, &c);
	check_eq(c.unsettled, 0);
	check_eq(c.id, world.heap.id);
	check(c.spans && c.objects > c.spans);
	munmap(world.busy, 4096);
	heap_close(&world.heap);
}

static void shared_in_use(void)
{
	world.collected = false;
	if (heap_open(&world.heap, WINDOW, WINDOW))
		check_in_use();
}

static void collected_in_use(void)
{
	world.collected = true;
	if (heap_open_collected(&world.heap, WINDOW, WINDOW))
		check_in_use();
}

static void private_in_use(void)
{
	world.collected = false;
	if (heap_open_private(&world.heap, WINDOW, WINDOW))
		check_in_use();
}

/* --- damaged --- */

static char text[1 << 20];

/* Exit status of a command, whose output is in text. */
static __attribute__((format(printf, 1, 2))) int run(const char *fmt, ...)
{
	char command[256];
	va_list args;
	int status;
	FILE *pipe;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	pipe = popen(command, "r");
	text[pipe ? fread(text, 1, sizeof(text) - 1, pipe) : 0] = '\0';
	status = pipe ? pclose(pipe) : -1;
	return status < 0 ? status : status >> 8;
}

static bool says(const char *what)
{
	if (check(strstr(text, what)))
		return true;
	tap_diag("no '%s' in: %.500s", what, text);
	return false;
}

/* One that is collected, with magazines, free pages, a cleanup, and objects of each kind. */
static bool open_patient(struct heap *heap)
{
	static __u64 addrs[2000];
	struct karena_cleanup_call cleanup = { .size = sizeof(cleanup) };

	if (!heap_open_collected(heap, WINDOW, WINDOW) ||
	    !check_ret(heap_alloc(heap->fd, 48, KARENA_ALLOC_NOSCAN, 2000, addrs), 0) ||
	    !check_ret(heap_free(heap->fd, addrs + 1, 1999, NULL), 0) ||
	    !check_ret(heap_alloc(heap->fd, 112, 0, 10, addrs), 0))
		return false;
	cleanup.object = addrs[0];
	return check_ret(kioctl(heap->fd, KARENA_IOC_CLEANUP, &cleanup), 0);
}

static const struct {
	unsigned int kind;
	const char *name;
	const char *text;
} damages[] = {
	{ KARENA_DAMAGE_LINK, "link", "a list is torn" },
	{ KARENA_DAMAGE_SPAN, "span", "a span is not what it was made to be" },
	{ KARENA_DAMAGE_MAP, "map", "a page leads to" },
	{ KARENA_DAMAGE_FREE, "free", "marked as free" },
	{ KARENA_DAMAGE_STATE, "state", "an object is in state 2" },
	{ KARENA_DAMAGE_PLACE, "place", "a list that is not for it" },
	{ KARENA_DAMAGE_COUNT, "count", "the sums of a size class" },
	{ KARENA_DAMAGE_CACHE, "cache", "something that is no free object" },
	{ KARENA_DAMAGE_TWICE, "twice", "a free object is in two places" },
	{ KARENA_DAMAGE_RUN, "run", "free pages are out of order" },
	{ KARENA_DAMAGE_SUM, "sum", "the sums of the heap" },
	{ KARENA_DAMAGE_MEMORY, "memory", "a page has 0 pieces of memory" },
	{ KARENA_DAMAGE_CLASS, "class", "programs are told" },
	{ KARENA_DAMAGE_MARK, "mark", "1 marks are where no object is" },
	{ KARENA_DAMAGE_SPECIAL, "special", "a weak reference or cleanup" },
};

static void damage_is_named(const struct heap *heap, unsigned int i)
{
	char want[32], number[16];

	snprintf(number, sizeof(number), "%u", PLANT_DAMAGE + damages[i].kind);
	snprintf(want, sizeof(want), "\"kind\": \"%s\"", damages[i].name);
	check(write_text(PLANT, number));
	check_eq(run("karenactl check --json %u 2>&1", heap->id), 1);
	says(want);
	says(": damaged\n");
	check_eq(run("karenactl check %u 2>&1", heap->id), 1);
	says(damages[i].text);
	says("damaged\n  ");
	check(write_text(PLANT, "0"));
	check_eq(run("karenactl check %u 2>&1", heap->id), 0);
	says("nothing is wrong\n");
	if (tap_failed())
		tap_diag("damage %s", damages[i].name);
}

static void damages_are_named(void)
{
	struct heap heap;
	unsigned int i;

	if (access(PLANT, W_OK)) {
		tap_skip("the module cannot be told to damage heaps");
		return;
	}
	if (!open_patient(&heap))
		return;
	for (i = 0; i < ARRAY_SIZE(damages); i++)
		damage_is_named(&heap, i);
	heap_close(&heap);
}

static void sound_by_tool(void)
{
	struct heap heap;

	if (!open_patient(&heap))
		return;
	check_eq(run("karenactl check %u 2>&1", heap.id), 0);
	says("nothing is wrong\n");
	says("objects in magazines");
	check_eq(run("karenactl check --json %u 2>&1", heap.id), 0);
	says("\"damages\": []");
	says("\"unsettled\": 0");
	heap_close(&heap);
	check_eq(run("karenactl check %u 2>&1", heap.id), 1);
	says("not there, or not yours");
}

static const struct tap_case cases[] = {
	{ "a shared heap that is used", shared_in_use },
	{ "a collected heap that is used", collected_in_use },
	{ "a private heap that is used", private_in_use },
	{ "the tool says that nothing is wrong", sound_by_tool },
	{ "each damage is named by the tool", damages_are_named },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
