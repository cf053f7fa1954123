// SPDX-License-Identifier: GPL-2.0
/*
 * What the allocator hands out, against a model of Go's table: each size, large
 * objects, tiny ones that share a block, and frees that are wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"
#include "model.h"
#include "tap.h"

/* Objects of a size that live at once, and sizes between two thinnings. */
#define PER_SIZE 2
#define KEPT 256

struct sweep {
	struct heap heap;
	struct space space;
	const __u16 *map;
	bool noscan;
};

static bool sweep_open(struct sweep *s, __u64 window)
{
	if (!heap_open(&s->heap, window, 0))
		return false;
	s->map = (const void *)((const char *)s->heap.control +
				s->heap.control->map_offset);
	s->noscan = false;
	return check(space_init(&s->space, s->heap.base, window));
}

static void sweep_close(struct sweep *s)
{
	space_exit(&s->space);
	heap_close(&s->heap);
}

/* One fresh object, compared with the model in each respect. */
static bool as_modelled(struct sweep *s, __u64 addr, __u64 size)
{
	bool good = true;
	__u64 page;

	good &= check_eq(addr % go_align(size), 0);
	if (!check(space_take(&s->space, addr, go_usable(size))))
		return false;
	good &= check(zeroed(as_ptr(addr), go_usable(size)));
	for (page = addr / 8192; page <= (addr + go_usable(size) - 1) / 8192; page++)
		good &= check_eq(s->map[page - s->heap.base / 8192],
				 go_map_entry(size, s->noscan));
	fill(as_ptr(addr), go_usable(size), addr);
	if (!good)
		tap_diag("size %llu, address base+%#llx", size, addr - s->heap.base);
	return good;
}

/* The objects of one size end, contents whole. */
static void drop_modelled(struct sweep *s, const __u64 *addrs, __u64 size)
{
	struct karena_free out;
	unsigned int i;

	for (i = 0; i < PER_SIZE; i++) {
		check(filled(as_ptr(addrs[i]), go_usable(size), addrs[i]));
		space_give(&s->space, addrs[i], go_usable(size));
	}
	check_ret(heap_free(s->heap.fd, addrs, PER_SIZE, &out), 0);
	check_eq(out.rejected, 0);
}

/* Sizes from @first to @last; the objects of the latest KEPT sizes live. */
static void sizes_between(struct sweep *s, __u64 first, __u64 last, __u64 step)
{
	static __u64 addrs[KEPT][PER_SIZE], kept[KEPT];
	unsigned int i, at = 0;
	__u64 size;

	memset(kept, 0, sizeof(kept));
	for (size = first; size <= last && !tap_failed(); size += step) {
		if (kept[at])
			drop_modelled(s, addrs[at], kept[at]);
		kept[at] = size;
		if (!check_ret(heap_alloc(s->heap.fd, size,
					  s->noscan ? KARENA_ALLOC_NOSCAN : 0,
					  PER_SIZE, addrs[at]), 0))
			return;
		for (i = 0; i < PER_SIZE; i++)
			as_modelled(s, addrs[at][i], size);
		check_eq(heap_usable(s->heap.fd, addrs[at][i - 1]), go_usable(size));
		at = (at + 1) % KEPT;
	}
	for (at = 0; at < KEPT && !tap_failed(); at++) {
		if (kept[at])
			drop_modelled(s, addrs[at], kept[at]);
	}
}

static void small_sizes(void)
{
	struct sweep s;

	if (!sweep_open(&s, WINDOW))
		return;
	sizes_between(&s, 1, 32768, 1);
	sweep_close(&s);
}

static void small_noscan(void)
{
	struct sweep s;

	if (!sweep_open(&s, WINDOW))
		return;
	s.noscan = true;
	sizes_between(&s, 16, 32768, tap_count(31, 1));
	sweep_close(&s);
}

static void large_sizes(void)
{
	struct sweep s;
	__u64 size;

	if (!sweep_open(&s, WINDOW))
		return;
	for (size = 32769; size < MIB && !tap_failed(); size += 8191 * 7)
		sizes_between(&s, size, size + 4 * 4096, 4096);
	sweep_close(&s);
}

static __u64 free_memory(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	unsigned long long kib = 0;
	char line[128];

	while (file && !kib && fgets(line, sizeof(line), file))
		sscanf(line, "MemAvailable: %llu", &kib);
	if (file)
		fclose(file);
	return kib * KIB;
}

static bool writable(__u64 addr, __u64 size)
{
	__u64 at;

	for (at = 0; at < size; at += 4096)
		*(__u64 *)as_ptr(addr + at) = at ^ addr;
	*(char *)as_ptr(addr + size - 1) = 7;
	for (at = 0; at < size; at += 4096) {
		if (*(__u64 *)as_ptr(addr + at) != (at ^ addr))
			return false;
	}
	return *(char *)as_ptr(addr + size - 1) == 7;
}

static void huge(void)
{
	__u64 room = free_memory() / 3, most = tap_count(256, 512) * MIB, size;
	struct karena_info start;
	struct heap heap;

	if (!user_numbers(&start) || !heap_open(&heap, 1024 * MIB, 0))
		return;
	for (size = 2 * MIB; size <= room && size <= most; size *= 2) {
		__u64 addr = heap_new(heap.fd, size, 0);

		if (!check(addr))
			break;
		check_eq(addr % KARENA_PAGE_SIZE, 0);
		check_eq(heap_usable(heap.fd, addr), size);
		check(zeroed(as_ptr(addr), size));
		check(writable(addr, size));
		check_ret(heap_drop(heap.fd, addr), 0);
	}
	tap_diag("up to %llu MiB", size / 2 / MIB);
	heap_close(&heap);
	user_back_to(&start);
}

static void bulk(void)
{
	static const __u32 counts[] = { 1, 2, 63, 64, 65, 127, 128, 129, 255, 1000, 5000 };
	static const __u64 sizes[] = { 8, 48, 500, 1024, 8192, 32768 };
	__u64 addrs[5000];
	struct karena_free out;
	struct sweep s;
	unsigned int c, z, i;

	if (!sweep_open(&s, WINDOW))
		return;
	for (z = 0; z < ARRAY_SIZE(sizes); z++) {
		for (c = 0; c < ARRAY_SIZE(counts) && !tap_failed(); c++) {
			__u32 count = counts[c];

			if (count * sizes[z] > 32 * MIB)
				continue;
			check_ret(heap_alloc(s.heap.fd, sizes[z], 0, count, addrs), 0);
			for (i = 0; i < count; i++)
				as_modelled(&s, addrs[i], sizes[z]);
			for (i = 0; i < count; i++)
				space_give(&s.space, addrs[i], go_usable(sizes[z]));
			check_ret(heap_free(s.heap.fd, addrs, count, &out), 0);
			check_eq(out.rejected, 0);
		}
	}
	sweep_close(&s);
}

/* Unzeroed memory is asked for, whole objects are still theirs alone. */
static void unzeroed(void)
{
	__u64 addrs[1000];
	struct heap heap;
	unsigned int i;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	check_ret(heap_alloc(heap.fd, 300, KARENA_ALLOC_NOZERO, 1000, addrs), 0);
	for (i = 0; i < 1000; i++)
		fill(as_ptr(addrs[i]), 320, i);
	for (i = 0; i < 1000; i++)
		check(filled(as_ptr(addrs[i]), 320, i));
	heap_close(&heap);
}

static unsigned int tiny_align(__u64 size)
{
	if (size % 8 == 0)
		return 8;
	if (size % 4 == 0)
		return 4;
	return size % 2 ? 1 : 2;
}

/* Packing is a feature: several tiny objects lie in one block. */
static void tiny_packs(void)
{
	__u64 addrs[4096];
	struct sweep s;
	unsigned int i, shared = 0;
	__u64 size;

	if (!sweep_open(&s, WINDOW))
		return;
	for (size = 1; size < TINY_BLOCK; size++) {
		unsigned int same = 0;

		check_ret(heap_alloc(s.heap.fd, size, KARENA_ALLOC_NOSCAN, 256, addrs), 0);
		for (i = 0; i < 256; i++) {
			check_eq(addrs[i] % tiny_align(size), 0);
			check(addrs[i] % TINY_BLOCK + size <= TINY_BLOCK);
			check(space_take(&s.space, addrs[i], size));
			check(zeroed(as_ptr(addrs[i]), size));
			memset(as_ptr(addrs[i]), i, size);
			same += i && addrs[i] / TINY_BLOCK == addrs[i - 1] / TINY_BLOCK;
		}
		for (i = 0; i < 256; i++) {
			__s64 usable = heap_usable(s.heap.fd, addrs[i]);

			check(usable >= (__s64)size && usable <= TINY_BLOCK);
			check(*(unsigned char *)as_ptr(addrs[i]) == (i & 0xff));
			check(*(unsigned char *)as_ptr(addrs[i] + size - 1) == (i & 0xff));
		}
		if (size <= 8)
			check(same >= 64);
		shared += same;
	}
	check(shared);
	sweep_close(&s);
}

/* Each object of a block is freed on its own, in any order. */
static void tiny_frees(void)
{
	__u64 addrs[1024];
	struct karena_heap_info own;
	struct heap heap;
	struct rng rng;
	unsigned int i, j, round;

	rng_init(&rng, 1);
	if (!heap_open(&heap, WINDOW, 0))
		return;
	for (round = 0; round < 20 && !tap_failed(); round++) {
		for (i = 0; i < 1024; i++)
			addrs[i] = heap_new(heap.fd, 1 + rng_below(&rng, 15),
					    KARENA_ALLOC_NOSCAN);
		for (i = 0; i < 1024; i++) {
			__u64 addr;

			j = i + rng_below(&rng, 1024 - i);
			addr = addrs[j];
			addrs[j] = addrs[i];
			addrs[i] = addr;
			*(char *)as_ptr(addr) = 1;
			check_ret(heap_drop(heap.fd, addr), 0);
			if (round == 0 && i % 64 == 0)
				check(heap_drop(heap.fd, addr) > 0);
		}
		check_ret(heap_info(heap.fd, 0, 0, &own), 0);
		check_eq(own.live_objects, 0);
	}
	check_eq(own.allocs, 20 * 1024);
	heap_close(&heap);
}

/* A neighbour in the same block is no excuse. */
static void tiny_wrong_frees(void)
{
	__u64 a, b, block;
	struct heap heap;
	unsigned int i;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	for (i = 0; i < 8; i++) {
		a = heap_new(heap.fd, 4, KARENA_ALLOC_NOSCAN);
		b = heap_new(heap.fd, 4, KARENA_ALLOC_NOSCAN);
		if (a / TINY_BLOCK == b / TINY_BLOCK)
			break;
	}
	if (!check_eq(a / TINY_BLOCK, b / TINY_BLOCK))
		return heap_close(&heap);
	block = a / TINY_BLOCK * TINY_BLOCK;
	check(heap_drop(heap.fd, a + 1) > 0);
	check(heap_drop(heap.fd, a + 2) > 0);
	check(heap_drop(heap.fd, block + 15) > 0);
	check_ret(heap_drop(heap.fd, a), 0);
	check(heap_drop(heap.fd, a) > 0);
	check_ret(heap_usable(heap.fd, a), -ENOENT);
	check(heap_usable(heap.fd, b) >= 4);
	check_ret(heap_drop(heap.fd, b), 0);
	check(heap_drop(heap.fd, b) > 0);
	heap_close(&heap);
}

/* A wrong free: its reason, its counter, and nothing else. */
static void wrong(const struct heap *heap, __u64 addr, enum karena_reject reason)
{
	struct karena_heap_info before, after;
	struct karena_free out;
	unsigned int i;

	check_ret(heap_info(heap->fd, 0, 0, &before), 0);
	check_ret(heap_free(heap->fd, &addr, 1, &out), 0);
	check_eq(out.rejected, 1);
	check_eq(out.first_rejected, 0);
	check_eq(out.reason, reason);
	check_ret(heap_info(heap->fd, 0, 0, &after), 0);
	for (i = 0; i < KARENA_NR_REJECT; i++)
		check_eq(after.rejects[i] - before.rejects[i], i == reason);
	memcpy(after.rejects, before.rejects, sizeof(after.rejects));
	check(!memcmp(&after, &before, sizeof(after)));
}

static void wrong_frees(void)
{
	struct heap heap, other;
	__u64 small, large, gone, gone_large, foreign;

	if (!heap_open(&heap, WINDOW, 0) || !heap_open(&other, WINDOW, 0))
		return;
	small = heap_new(heap.fd, 64, 0);
	large = heap_new(heap.fd, 100000, 0);
	gone = heap_new(heap.fd, 64, 0);
	gone_large = heap_new(heap.fd, MIB, 0);
	foreign = heap_new(other.fd, 64, 0);
	fill(as_ptr(small), 64, 1);
	fill(as_ptr(large), 100000, 2);
	check_ret(heap_drop(heap.fd, gone), 0);
	check_ret(heap_drop(heap.fd, gone_large), 0);
	wrong(&heap, small + 1, KARENA_REJECT_INTERIOR);
	wrong(&heap, small + 8, KARENA_REJECT_INTERIOR);
	wrong(&heap, small + 63, KARENA_REJECT_INTERIOR);
	wrong(&heap, large + 8, KARENA_REJECT_INTERIOR);
	wrong(&heap, large + 8192, KARENA_REJECT_INTERIOR);
	wrong(&heap, large + 99999, KARENA_REJECT_INTERIOR);
	wrong(&heap, gone, KARENA_REJECT_DOUBLE);
	wrong(&heap, gone_large, KARENA_REJECT_NOT_OBJECT);
	wrong(&heap, heap.base + WINDOW - 8192, KARENA_REJECT_NOT_OBJECT);
	wrong(&heap, heap.base + WINDOW, KARENA_REJECT_NOT_OBJECT);
	wrong(&heap, heap.base - 8, KARENA_REJECT_NOT_OBJECT);
	wrong(&heap, 8, KARENA_REJECT_NOT_OBJECT);
	wrong(&heap, as_addr(&small), KARENA_REJECT_NOT_OBJECT);
	wrong(&heap, 0xffff888000000000ULL, KARENA_REJECT_NOT_OBJECT);
	wrong(&heap, ~0ULL, KARENA_REJECT_NOT_OBJECT);
	wrong(&heap, foreign, KARENA_REJECT_NOT_OBJECT);
	check(filled(as_ptr(small), 64, 1));
	check(filled(as_ptr(large), 100000, 2));
	check_ret(heap_drop(heap.fd, small), 0);
	check_ret(heap_drop(heap.fd, large), 0);
	check_ret(heap_drop(other.fd, foreign), 0);
	heap_close(&heap);
	heap_close(&other);
}

/* Slots of a span that no allocation has reached. */
static void never_allocated(void)
{
	struct karena_heap_info own;
	struct heap heap;
	__u64 addr, at, page;
	unsigned int rejected = 0;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	addr = heap_new(heap.fd, 64, 0);
	page = addr / 8192 * 8192;
	for (at = page; at < page + 8192; at += 64) {
		if (at != addr)
			rejected += heap_drop(heap.fd, at) > 0;
	}
	check_eq(rejected, 127);
	check_ret(heap_info(heap.fd, 0, 0, &own), 0);
	check_eq(own.live_objects, 1);
	check_ret(heap_drop(heap.fd, addr), 0);
	heap_close(&heap);
}

/* The same address many times in one call: one is right. */
static void double_in_bulk(void)
{
	struct karena_heap_info own;
	struct karena_free out;
	struct heap heap;
	__u64 addrs[300], keep;
	unsigned int i;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	addrs[0] = heap_new(heap.fd, 64, 0);
	keep = heap_new(heap.fd, 64, 0);
	for (i = 1; i < 300; i++)
		addrs[i] = i % 100 ? addrs[0] : 0;
	check_ret(heap_free(heap.fd, addrs, 300, &out), 0);
	check_eq(out.rejected, 297);
	check_eq(out.first_rejected, 1);
	check_eq(out.reason, KARENA_REJECT_DOUBLE);
	check_ret(heap_info(heap.fd, 0, 0, &own), 0);
	check_eq(own.live_objects, 1);
	check_eq(own.frees, 1);
	check_eq(heap_usable(heap.fd, keep), 64);
	heap_close(&heap);
}

static const struct tap_case cases[] = {
	{ "each size from 1 to 32768", small_sizes },
	{ "sizes without pointers", small_noscan },
	{ "large sizes", large_sizes },
	{ "huge sizes", huge },
	{ "bulk of each length", bulk },
	{ "unzeroed", unzeroed },
	{ "tiny objects share blocks", tiny_packs },
	{ "tiny objects are freed one by one", tiny_frees },
	{ "wrong frees among tiny objects", tiny_wrong_frees },
	{ "wrong frees by reason", wrong_frees },
	{ "free of what was never allocated", never_allocated },
	{ "double frees in one call", double_in_bulk },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
