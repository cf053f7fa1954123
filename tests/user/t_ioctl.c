// SPDX-License-Identifier: GPL-2.0
/*
 * Each call of /dev/karena in the forms that it accepts, and what it answers:
 * every output is poisoned first, so that what the kernel leaves unwritten
 * shows.  Refused forms are in t_reject.c, who may do what in t_rights.c.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap.h"
#include "model.h"
#include "tap.h"

#define POISON 0xff

static void layout(void)
{
	check_eq(sizeof(struct karena_info), 80);
	check_eq(offsetof(struct karena_info, features), 8);
	check_eq(offsetof(struct karena_info, min_window), 32);
	check_eq(offsetof(struct karena_info, user_heaps), 56);
	check_eq(offsetof(struct karena_info, max_user_bytes), 72);
	check_eq(sizeof(struct karena_class_info), 16);
	check_eq(sizeof(struct karena_classes), 16);
	check_eq(sizeof(struct karena_setup), 80);
	check_eq(offsetof(struct karena_setup, base), 24);
	check_eq(offsetof(struct karena_setup, id), 40);
	check_eq(offsetof(struct karena_setup, name), 48);
	check_eq(sizeof(struct karena_alloc), 32);
	check_eq(offsetof(struct karena_alloc, addrs), 24);
	check_eq(sizeof(struct karena_free), 32);
	check_eq(offsetof(struct karena_free, rejected), 20);
	check_eq(sizeof(struct karena_usable), 24);
	check_eq(sizeof(struct karena_share), 16);
	check_eq(sizeof(struct karena_heap_info), 232);
	check_eq(offsetof(struct karena_heap_info, base), 24);
	check_eq(offsetof(struct karena_heap_info, rejects), 160);
	check_eq(offsetof(struct karena_heap_info, name), 200);
	check_eq(sizeof(struct karena_class_stat), 48);
	check_eq(sizeof(struct karena_class_stats), 24);
	check_eq(sizeof(struct karena_control), 80);
	check_eq(KARENA_IOC_INFO, 0xc050bb00);
	check_eq(KARENA_IOC_SETUP, 0xc050bb02);
	check_eq(KARENA_IOC_ALLOC, 0x4020bb03);
	check_eq(KARENA_IOC_CLASS_STATS, 0xc018bb08);
}

static void info(void)
{
	struct karena_info out;
	int fd = dev_open(O_RDONLY);

	memset(&out, POISON, sizeof(out));
	out.size = sizeof(out);
	if (!check(fd >= 0) || !check_ret(kioctl(fd, KARENA_IOC_INFO, &out), 0))
		return;
	check_eq(out.size, sizeof(out));
	check_eq(out.abi_version, KARENA_ABI_VERSION);
	check_eq(out.features & ~(KARENA_FEAT_TINY | KARENA_FEAT_SHARE |
			       KARENA_FEAT_TYPES | KARENA_FEAT_COLLECT |
			       KARENA_FEAT_BARRIER | KARENA_FEAT_REFILL |
			       KARENA_FEAT_MAGAZINES | KARENA_FEAT_PRIVATE |
			       KARENA_FEAT_CLONE | KARENA_FEAT_SPECIALS |
			       KARENA_FEAT_RETURN | KARENA_FEAT_PROFILE |
			       KARENA_FEAT_STACKS | KARENA_FEAT_DUMP |
			       KARENA_FEAT_CHECK), 0);
	check_eq(out.page_size, KARENA_PAGE_SIZE);
	check_eq(out.nr_classes, KARENA_NR_CLASSES);
	check_eq(out.max_small, KARENA_MAX_SMALL);
	check_eq(out.max_bulk, KARENA_MAX_BULK);
	check(out.min_window >= KARENA_PAGE_SIZE);
	check(out.min_window <= out.default_window);
	check(out.default_window <= out.max_window);
	check(out.max_window < 1ULL << 47);
	check_eq(out.user_heaps, 0);
	check(out.max_user_heaps > 0);
	check_eq(out.user_bytes, 0);
	check(out.max_user_bytes > 0);
	close(fd);
}

static void classes(void)
{
	struct karena_class_info table[KARENA_NR_CLASSES + 1];
	struct karena_classes arg = {
		.size = sizeof(arg), .count = ARRAY_SIZE(table), .classes = as_addr(table),
	};
	int fd = dev_open(O_RDONLY);
	unsigned int i;

	memset(table, POISON, sizeof(table));
	if (!check_ret(kioctl(fd, KARENA_IOC_CLASSES, &arg), 0))
		return;
	check_eq(arg.count, KARENA_NR_CLASSES);
	check_eq(table[0].object_size, 0);
	for (i = 1; i < KARENA_NR_CLASSES; i++) {
		check_eq(table[i].object_size, go_sizes[i]);
		check_eq(table[i].span_pages, go_pages[i]);
		check_eq(table[i].span_objects, go_pages[i] * 8192 / go_sizes[i]);
		check(table[i].magazine > 0 && table[i].magazine <= 512);
	}
	check_eq(table[i].object_size, ~0U);
	close(fd);
}

static void classes_short(void)
{
	struct karena_class_info table[4];
	struct karena_classes arg = {
		.size = sizeof(arg), .count = 3, .classes = as_addr(table),
	};
	int fd = dev_open(O_RDONLY);

	memset(table, POISON, sizeof(table));
	check_ret(kioctl(fd, KARENA_IOC_CLASSES, &arg), 0);
	check_eq(arg.count, KARENA_NR_CLASSES);
	check_eq(table[2].object_size, 16);
	check_eq(table[3].object_size, ~0U);
	arg.count = 0;
	arg.classes = 0;
	check_ret(kioctl(fd, KARENA_IOC_CLASSES, &arg), 0);
	check_eq(arg.count, KARENA_NR_CLASSES);
	close(fd);
}

/* Sets a fresh heap up from poison and checks the answer. */
static int setup_poisoned(struct karena_setup *arg, __u64 window, __u64 limit)
{
	int fd = dev_open(O_RDWR);

	memset(arg, POISON, sizeof(*arg));
	arg->size = sizeof(*arg);
	arg->flags = 0;
	arg->reserved = 0;
	arg->window = window;
	arg->limit = limit;
	strncpy(arg->name, "some name", sizeof(arg->name));
	if (!check(fd >= 0) || !check_ret(kioctl(fd, KARENA_IOC_SETUP, arg), 0))
		return -1;
	check_eq(arg->size, sizeof(*arg));
	check_eq(arg->flags, 0);
	check_eq(arg->reserved, 0);
	check(arg->base && arg->base % KARENA_PAGE_SIZE == 0);
	check(arg->base + arg->window <= 1ULL << 47);
	check(arg->control_size % 4096 == 0);
	check(arg->control_size >= sizeof(struct karena_control) +
				   arg->window / KARENA_PAGE_SIZE * 2);
	check(arg->id && arg->id != ~0U);
	check(!strcmp(arg->name, "some name"));
	return fd;
}

static void setup_default(void)
{
	struct karena_setup arg;
	struct karena_heap_info own;
	struct karena_info dev;
	int fd = setup_poisoned(&arg, 0, 0);

	if (fd < 0)
		return;
	check_ret(dev_info(fd, &dev), 0);
	check_eq(arg.window, dev.default_window);
	check_eq(dev.user_heaps, 1);
	check_ret(heap_info(fd, 0, 0, &own), 0);
	check_eq(own.limit, arg.window);
	close(fd);
}

static void setup_bounds(void)
{
	struct karena_setup arg;
	struct karena_info dev;
	int fd;

	if (!user_numbers(&dev))
		return;
	fd = setup_poisoned(&arg, dev.min_window, dev.min_window);
	check_eq(arg.window, dev.min_window);
	close(fd);
	fd = setup_poisoned(&arg, dev.min_window + 1, 0);
	check_eq(arg.window, dev.min_window + KARENA_PAGE_SIZE);
	close(fd);
	fd = setup_poisoned(&arg, dev.max_window, KARENA_PAGE_SIZE);
	check_eq(arg.window, dev.max_window);
	close(fd);
	user_back_to(&dev);
}

static void setup_names(void)
{
	struct karena_setup arg = { .size = sizeof(arg), .window = WINDOW };
	struct karena_heap_info own;
	int fd = dev_open(O_RDWR);

	check_ret(kioctl(fd, KARENA_IOC_SETUP, &arg), 0);
	check_ret(heap_info(fd, 0, 0, &own), 0);
	check_eq(own.name[0], 0);
	close(fd);
	fd = dev_open(O_RDWR);
	memset(arg.name, '~', sizeof(arg.name) - 1);
	check_ret(kioctl(fd, KARENA_IOC_SETUP, &arg), 0);
	check_ret(heap_info(fd, 0, 0, &own), 0);
	check(!memcmp(own.name, arg.name, sizeof(arg.name)));
	close(fd);
}

/* Two heaps that live together never overlap, and bases are not a constant. */
static void setup_bases(void)
{
	struct heap heaps[8];
	unsigned int i, j, moved = 0;

	for (i = 0; i < ARRAY_SIZE(heaps); i++) {
		if (!check_ret(heap_make(&heaps[i], WINDOW, 0), 0))
			return;
		for (j = 0; j < i; j++) {
			check_eq(heaps[i].id == heaps[j].id, 0);
			moved += heaps[i].base != heaps[j].base;
		}
	}
	check(moved);
	for (i = 0; i < ARRAY_SIZE(heaps); i++)
		heap_close(&heaps[i]);
}

static void alloc_forms(void)
{
	static const __u32 flags[] = {
		0, KARENA_ALLOC_NOZERO, KARENA_ALLOC_NOSCAN,
		KARENA_ALLOC_NOZERO | KARENA_ALLOC_NOSCAN,
	};
	static const __u64 sizes[] = { 1, 8, 16, 100, 32768, 32769, 1 << 20 };
	struct heap heap;
	__u64 addrs[5];
	unsigned int f, s;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		for (s = 0; s < ARRAY_SIZE(sizes); s++) {
			memset(addrs, 0, sizeof(addrs));
			check_ret(heap_alloc(heap.fd, sizes[s], flags[f], 4, addrs), 0);
			check(addrs[0] >= heap.base && addrs[3] >= heap.base);
			check_eq(addrs[4], 0);
			check_ret(heap_free(heap.fd, addrs, 4, NULL), 0);
		}
	}
	heap_close(&heap);
}

static void alloc_most(void)
{
	__u64 *addrs = calloc(KARENA_MAX_BULK, 8);
	struct karena_heap_info own;
	struct karena_free out;
	struct heap heap;

	if (!check(addrs) || !heap_open(&heap, WINDOW, 0))
		return;
	check_ret(heap_alloc(heap.fd, 8, 0, KARENA_MAX_BULK, addrs), 0);
	check_ret(heap_info(heap.fd, 0, 0, &own), 0);
	check_eq(own.live_objects, KARENA_MAX_BULK);
	check_eq(own.live_bytes, KARENA_MAX_BULK * 8);
	check_ret(heap_free(heap.fd, addrs, KARENA_MAX_BULK, &out), 0);
	check_eq(out.rejected, 0);
	check_ret(heap_info(heap.fd, 0, 0, &own), 0);
	check_eq(own.live_objects, 0);
	check_eq(own.allocs, KARENA_MAX_BULK);
	check_eq(own.frees, KARENA_MAX_BULK);
	heap_close(&heap);
	free(addrs);
}

static void free_forms(void)
{
	struct karena_free arg;
	struct heap heap;
	__u64 addrs[6] = { 0 };

	if (!heap_open(&heap, WINDOW, 0))
		return;
	check_ret(heap_alloc(heap.fd, 64, 0, 4, addrs + 1), 0);
	memset(&arg, POISON, sizeof(arg));
	arg.size = sizeof(arg);
	arg.flags = 0;
	arg.addrs = as_addr(addrs);
	arg.count = 6;
	check_ret(kioctl(heap.fd, KARENA_IOC_FREE, &arg), 0);
	check_eq(arg.rejected, 0);
	check_eq(arg.first_rejected, 0);
	check_eq(arg.reason, KARENA_REJECT_NONE);
	check_ret(heap_free(heap.fd, addrs, 1, &arg), 0);
	check_eq(arg.rejected, 0);
	heap_close(&heap);
}

static void free_reports(void)
{
	struct karena_heap_info own;
	struct karena_free out;
	struct heap heap;
	__u64 addrs[4];

	if (!heap_open(&heap, WINDOW, 0))
		return;
	check_ret(heap_alloc(heap.fd, 64, 0, 4, addrs), 0);
	addrs[1] += 8;
	addrs[2] = addrs[0];
	check_ret(heap_free(heap.fd, addrs, 4, &out), 0);
	check_eq(out.rejected, 2);
	check_eq(out.first_rejected, 1);
	check_eq(out.reason, KARENA_REJECT_INTERIOR);
	check_ret(heap_info(heap.fd, 0, 0, &own), 0);
	check_eq(own.live_objects, 2);
	check_eq(own.frees, 2);
	check_eq(own.rejects[KARENA_REJECT_INTERIOR], 1);
	check_eq(own.rejects[KARENA_REJECT_DOUBLE], 1);
	check_eq(own.rejects[KARENA_REJECT_NOT_OBJECT], 0);
	heap_close(&heap);
}

static void usable(void)
{
	struct karena_usable arg;
	struct heap heap;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	memset(&arg, POISON, sizeof(arg));
	arg.size = sizeof(arg);
	arg.flags = 0;
	arg.addr = heap_new(heap.fd, 33, 0);
	check_ret(kioctl(heap.fd, KARENA_IOC_USABLE, &arg), 0);
	check_eq(arg.usable, 48);
	check_eq(heap_usable(heap.fd, heap_new(heap.fd, 32769, 0)), 40960);
	heap_close(&heap);
}

static void share(void)
{
	struct karena_share arg;
	struct karena_heap_info own;
	struct karena_info dev;
	struct heap heap;
	__u64 addr;

	if (!user_numbers(&dev) || !heap_open(&heap, WINDOW, 0))
		return;
	memset(&arg, POISON, sizeof(arg));
	arg.size = sizeof(arg);
	arg.flags = 0;
	arg.reserved = 0;
	if (!check_ret(kioctl(heap.fd, KARENA_IOC_SHARE, &arg), 0))
		return;
	check(arg.fd >= 0);
	check_eq(fcntl(arg.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	check_eq(fcntl(arg.fd, F_GETFL) & O_ACCMODE, O_RDWR);
	addr = heap_new(heap.fd, 100, 0);
	check_eq(heap_usable(arg.fd, addr), 112);
	close(heap.fd);
	heap.fd = arg.fd;
	check_ret(heap_info(arg.fd, 0, 0, &own), 0);
	check_eq(own.id, heap.id);
	check_eq(own.base, heap.base);
	check_ret(heap_drop(arg.fd, addr), 0);
	heap_close(&heap);
	user_back_to(&dev);
}

static void heap_numbers(void)
{
	struct karena_heap_info own;
	struct heap heap;
	__u64 addrs[10];

	if (!heap_open(&heap, WINDOW, WINDOW / 2))
		return;
	check_ret(heap_alloc(heap.fd, 1000, 0, 10, addrs), 0);
	check_ret(heap_free(heap.fd, addrs, 3, NULL), 0);
	memset(&own, POISON, sizeof(own));
	own.size = sizeof(own);
	own.id = 0;
	own.next = 0;
	check_ret(kioctl(heap.fd, KARENA_IOC_HEAP_INFO, &own), 0);
	check_eq(own.size, sizeof(own));
	check_eq(own.id, heap.id);
	check_eq(own.next, 0);
	check_eq(own.kind, 0);
	check_eq(own.uid, getuid());
	check_eq(own.pid, getpid());
	check_eq(own.base, heap.base);
	check_eq(own.window, WINDOW);
	check_eq(own.limit, WINDOW / 2);
	check_eq(own.held_bytes, own.span_bytes + own.free_bytes);
	check(own.span_bytes >= own.live_bytes + own.cached_bytes);
	check_eq(own.live_bytes, 7 * 1024);
	check_eq(own.live_objects, 7);
	check_eq(own.cached_bytes % 1024, 0);
	check(own.meta_bytes > 0 && own.meta_bytes < WINDOW);
	check(own.nr_spans > 0 && own.nr_spans * KARENA_PAGE_SIZE <= own.span_bytes);
	check_eq(own.allocs, 10);
	check_eq(own.frees, 3);
	check(own.refills < 100);
	check(own.flushes < 100);
	check_eq(own.failed, 0);
	check(zeroed(own.rejects, sizeof(own.rejects)));
	check(!strcmp(own.name, "test"));
	check(zeroed(own.name + 4, sizeof(own.name) - 4));
	heap_close(&heap);
}

static void heap_walk(void)
{
	struct karena_heap_info info;
	struct heap heaps[3];
	unsigned int i, found = 0, steps = 0;
	__u32 id = 0;
	int fd = dev_open(O_RDONLY);

	for (i = 0; i < ARRAY_SIZE(heaps); i++) {
		if (!check_ret(heap_make(&heaps[i], WINDOW, 0), 0))
			return;
	}
	while (!heap_info(fd, id, 1, &info) && steps++ < 100000) {
		check(info.id > id);
		check_eq(info.next, 1);
		id = info.id;
		for (i = 0; i < ARRAY_SIZE(heaps); i++)
			found += heaps[i].id == id;
	}
	check_ret(heap_info(fd, id, 1, &info), -ENOENT);
	check_eq(found, 3);
	check_ret(heap_info(fd, heaps[1].id, 0, &info), 0);
	check_eq(info.base, heaps[1].base);
	for (i = 0; i < ARRAY_SIZE(heaps); i++)
		heap_close(&heaps[i]);
	check_ret(heap_info(fd, heaps[1].id, 0, &info), -ENOENT);
	close(fd);
}

static const struct karena_class_stat *
stat_of(const struct karena_class_stat *stats, __u32 count, __u32 size, __u32 noscan)
{
	__u32 i;

	for (i = 0; i < count; i++) {
		if (stats[i].object_size == size && stats[i].noscan == noscan)
			return &stats[i];
	}
	return NULL;
}

static void class_numbers(void)
{
	struct karena_class_stat stats[2 * KARENA_NR_CLASSES + 1];
	const struct karena_class_stat *stat;
	struct heap heap;
	__u32 count;
	__u64 addrs[10];

	if (!heap_open(&heap, WINDOW, 0))
		return;
	check_ret(heap_alloc(heap.fd, 100, 0, 10, addrs), 0);
	check_ret(heap_free(heap.fd, addrs, 4, NULL), 0);
	check_ret(heap_alloc(heap.fd, 500, KARENA_ALLOC_NOSCAN, 10, addrs), 0);
	memset(stats, POISON, sizeof(stats));
	check_ret(heap_classes(heap.fd, 0, stats, ARRAY_SIZE(stats), &count), 0);
	check(count >= 2 && count <= 2 * KARENA_NR_CLASSES);
	check_eq(stats[count].object_size, ~0U);
	stat = stat_of(stats, count, 112, 0);
	if (check(stat)) {
		check_eq(stat->live_objects, 6);
		check_eq(stat->allocs, 10);
		check_eq(stat->live_objects + stat->cached_objects + stat->free_objects,
			 stat->spans * (8192 / 112));
	}
	stat = stat_of(stats, count, 512, 1);
	if (check(stat)) {
		check_eq(stat->live_objects, 10);
		check_eq(stat->live_objects + stat->cached_objects + stat->free_objects,
			 stat->spans * 16);
	}
	heap_close(&heap);
}

static void class_room(void)
{
	struct karena_class_stat stats[2];
	struct heap heap;
	__u32 count;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	check_ret(heap_classes(heap.fd, 0, NULL, 0, &count), 0);
	check_eq(count, 0);
	heap_new(heap.fd, 100, 0);
	heap_new(heap.fd, 200, 0);
	memset(stats, POISON, sizeof(stats));
	check_ret(heap_classes(heap.fd, 0, stats, 1, &count), 0);
	check_eq(count, 2);
	check_eq(stats[0].object_size, 112);
	check_eq(stats[1].object_size, ~0U);
	check_ret(heap_classes(heap.fd, heap.id, stats, 2, &count), 0);
	check_eq(stats[1].object_size, 208);
	heap_close(&heap);
}

/* What a page of the window holds is told in the control region. */
static void control(void)
{
	const struct karena_control *control;
	const __u16 *map;
	struct heap heap;
	__u64 addr;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	control = heap.control;
	check_eq(control->magic, KARENA_CONTROL_MAGIC);
	check_eq(control->base, heap.base);
	check_eq(control->window, heap.window);
	check_eq(control->phase, 0);
	check_eq(control->cycle, 0);
	check_eq(control->map_entries, heap.window / KARENA_PAGE_SIZE);
	check(control->map_offset >= sizeof(*control));
	check(control->map_offset + control->map_entries * 2 <= heap.control_size);
	check_eq(control->flags, 0);
	check_eq(control->reserved[0], 0);
	check_eq(control->reserved[1], 0);
	map = (const void *)((const char *)control + control->map_offset);
	check(zeroed(map, control->map_entries * 2));
	addr = heap_new(heap.fd, 100, 0);
	check_eq(map[(addr - heap.base) / KARENA_PAGE_SIZE], go_map_entry(100, false));
	heap_close(&heap);
}

static const struct tap_case cases[] = {
	{ "layout of the structures", layout },
	{ "info tells versions and limits", info },
	{ "classes are Go's", classes },
	{ "classes with less room, and none", classes_short },
	{ "setup with defaults", setup_default },
	{ "setup at the bounds, rounded up", setup_bounds },
	{ "setup with the shortest and longest name", setup_names },
	{ "setup gives each heap its place", setup_bases },
	{ "alloc with each flag and kind of size", alloc_forms },
	{ "alloc and free of the most at once", alloc_most },
	{ "free skips zero and fills its answer", free_forms },
	{ "free reports the first wrong address", free_reports },
	{ "usable", usable },
	{ "share makes a second descriptor", share },
	{ "heap info adds up", heap_numbers },
	{ "heap info walks the heaps", heap_walk },
	{ "class stats add up", class_numbers },
	{ "class stats with less room, and none", class_room },
	{ "control region", control },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
