// SPDX-License-Identifier: GPL-2.0
/*
 * Garbage: random commands with random arguments, hostile addresses among them,
 * from processes that share a heap with nobody and one with each other.  The
 * kernel stays up, and a heap that they have no descriptor of keeps its data.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap.h"
#include "model.h"
#include "tap.h"

#define GUARDS 500
/* Memory that the fuzzed heaps may use. */
#define LIMIT (16 * MIB)
#define PROCESSES 3
#define FDS 6
/* Bytes for arguments and answers; the largest answer does not reach past both. */
#define SCRATCH (64 * KIB)
#define BEHIND MIB

struct fuzzer {
	struct heap shared;
	struct heap own;
	struct rng rng;
	/* what the kernel may scribble over */
	char *scratch;
	/* objects seen in answers */
	__u64 seen[64];
	unsigned int nr;
	unsigned int steps;
	/* times that there was something due */
	unsigned int read;
	int fds[FDS];
	/* what a private heap gives back */
	struct karena_release told;
};

/* A place for an address: good, bad, and in between. */
static __u64 any_address(struct fuzzer *f)
{
	struct rng *rng = &f->rng;

	switch (rng_below(rng, 12)) {
	case 0:
		return 0;
	case 1:
		return as_addr(f->scratch) + SCRATCH - rng_below(rng, 64);
	case 2:
		return f->shared.base + rng_below(rng, WINDOW);
	case 3:
		return f->own.base + rng_below(rng, 64) * 8192 + rng_below(rng, 256) * 8;
	case 4:
		return 0xffff888000000000ULL + rng_below(rng, 1ULL << 40);
	case 5:
		return rng_next(rng) | 1ULL << 63;
	case 6:
		return ~rng_below(rng, 4096);
	case 7 ... 9:
		return f->seen[rng_below(rng, 64)] + (rng_below(rng, 4) ? 0 : 8);
	default:
		return as_addr(f->scratch) + rng_below(rng, 4096) / 8 * 8;
	}
}

static __u64 any_number(struct fuzzer *f)
{
	struct rng *rng = &f->rng;

	switch (rng_below(rng, 8)) {
	case 0:
		return rng_next(rng);
	case 1:
		return 1ULL << rng_below(rng, 64);
	case 2:
		return ~rng_below(rng, 5);
	case 3:
		return rng_below(rng, 100000);
	case 4:
		return KARENA_MAX_BULK + rng_below(rng, 3) - 1;
	default:
		return rng_below(rng, 5);
	}
}

static unsigned long any_command(struct fuzzer *f)
{
	static const unsigned long all[] = {
		KARENA_IOC_INFO, KARENA_IOC_CLASSES, KARENA_IOC_SETUP, KARENA_IOC_ALLOC,
		KARENA_IOC_ALLOC, KARENA_IOC_ALLOC, KARENA_IOC_FREE, KARENA_IOC_FREE,
		KARENA_IOC_USABLE, KARENA_IOC_SHARE, KARENA_IOC_HEAP_INFO,
		KARENA_IOC_CLASS_STATS, KARENA_IOC_REGISTER, KARENA_IOC_COLLECT,
		KARENA_IOC_STEP, KARENA_IOC_ROOT, KARENA_IOC_GC_CONTROL, KARENA_IOC_GC_INFO,
		KARENA_IOC_SHADE, KARENA_IOC_REFILL, KARENA_IOC_FILL, KARENA_IOC_FLUSH,
		KARENA_IOC_RELEASE, KARENA_IOC_CLONE, KARENA_IOC_GROW,
		KARENA_IOC_WEAK, KARENA_IOC_WEAK_GET, KARENA_IOC_CLEANUP,
		KARENA_IOC_RECLAIM, KARENA_IOC_MEMORY, KARENA_IOC_EXPLAIN,
		KARENA_IOC_PROFILE, KARENA_IOC_CALLS, KARENA_IOC_CALLS,
		KARENA_IOC_SPANS, KARENA_IOC_TYPES, KARENA_IOC_DUMP, KARENA_IOC_ROOTS,
		KARENA_IOC_CACHES, KARENA_IOC_CHECK,
	};

	if (rng_below(&f->rng, 50))
		return all[rng_below(&f->rng, ARRAY_SIZE(all))];
	return _IOC(rng_below(&f->rng, 4), KARENA_IOC_MAGIC, rng_below(&f->rng, 256),
		    rng_below(&f->rng, 512));
}

/* Nearly right: the right size, small numbers, usable arrays. */
static void plausible(struct fuzzer *f, unsigned long cmd, __u64 *words)
{
	union {
		struct karena_alloc alloc;
		struct karena_free free;
		struct karena_setup setup;
		struct karena_register reg;
		struct karena_root_range root;
		struct karena_refill refill;
		struct karena_fill fill;
		struct karena_flush flush;
		struct karena_gc_control gc_control;
		struct karena_release release;
		struct karena_grow grow;
		struct karena_weak_cell weak_cell;
		struct karena_cleanup_call cleanup_call;
		struct karena_memory memory;
		struct karena_profile profile;
		struct karena_calls stack;
		struct karena_list list;
		struct karena_check check;
		__u32 size;
	} arg = { 0 };
	unsigned int i;

	arg.size = _IOC_SIZE(cmd);
	if (cmd == KARENA_IOC_ALLOC) {
		arg.alloc.flags = rng_below(&f->rng, 4);
		arg.alloc.object_size = 1 + rng_below(&f->rng, 50000) *
					    !rng_below(&f->rng, 4);
		arg.alloc.count = 1 + rng_below(&f->rng, 64);
		arg.alloc.addrs = as_addr(f->seen);
		if (!rng_below(&f->rng, 4)) {
			arg.alloc.type = rng_below(&f->rng, 20);
			arg.alloc.flags &= KARENA_ALLOC_NOZERO;
			arg.alloc.object_size = 8 * rng_below(&f->rng, 8);
		}
	} else if (cmd == KARENA_IOC_REGISTER) {
		arg.reg.object_size = 8 + 8 * rng_below(&f->rng, 8);
		arg.reg.nr_refs = rng_below(&f->rng, 4);
		arg.reg.refs = as_addr(f->scratch);
		for (i = 0; i < 4; i++)
			((__u32 *)f->scratch)[i] = 8 * i + !rng_below(&f->rng, 8);
	} else if (cmd == KARENA_IOC_FREE) {
		arg.free.count = 1 + rng_below(&f->rng, 64);
		arg.free.addrs = as_addr(f->scratch);
		for (i = 0; i < 64; i++)
			((__u64 *)f->scratch)[i] = any_address(f);
	} else if (cmd == KARENA_IOC_SETUP) {
		arg.setup.flags = rng_below(&f->rng, 5);
		arg.setup.window = WINDOW;
		arg.setup.limit = LIMIT;
	} else if (cmd == KARENA_IOC_REFILL) {
		arg.refill.type = rng_below(&f->rng, 20);
		arg.refill.count = 1 + rng_below(&f->rng, 1000);
		arg.refill.room = 1 + rng_below(&f->rng, KARENA_MAX_EXTENTS);
		arg.refill.extents = as_addr(f->scratch);
	} else if (cmd == KARENA_IOC_FILL) {
		arg.fill.magazine = rng_below(&f->rng, KARENA_NR_MAGAZINES + 1);
	} else if (cmd == KARENA_IOC_FLUSH) {
		arg.flush.flags = !rng_below(&f->rng, 3);
		arg.flush.magazine = arg.flush.flags ? 0 :
				     rng_below(&f->rng, KARENA_NR_MAGAZINES + 1);
		arg.flush.object = rng_below(&f->rng, 2) ? 0 : any_address(f);
	} else if (cmd == KARENA_IOC_RELEASE) {
		arg.release = f->told;
		arg.release.size = sizeof(arg.release);
		arg.release.flags = rng_below(&f->rng, 2);
	} else if (cmd == KARENA_IOC_MEMORY) {
		arg.memory.flags = rng_below(&f->rng, 2);
		arg.memory.eager = rng_below(&f->rng, 2);
		arg.memory.policy = rng_below(&f->rng, 3);
		arg.memory.soft_limit = rng_below(&f->rng, LIMIT);
	} else if (cmd == KARENA_IOC_GROW) {
		arg.grow.length = rng_below(&f->rng, LIMIT / KARENA_PAGE_SIZE) * KARENA_PAGE_SIZE;
	} else if (cmd == KARENA_IOC_WEAK || cmd == KARENA_IOC_WEAK_GET) {
		arg.weak_cell.cell = any_address(f);
		arg.weak_cell.object = any_address(f);
	} else if (cmd == KARENA_IOC_CLEANUP) {
		arg.cleanup_call.flags = !rng_below(&f->rng, 4);
		arg.cleanup_call.object = any_address(f);
		arg.cleanup_call.cookie = rng_below(&f->rng, 4);
	} else if (cmd == KARENA_IOC_PROFILE) {
		arg.profile.flags = rng_below(&f->rng, 2);
		arg.profile.rate = rng_below(&f->rng, 1000);
	} else if (cmd == KARENA_IOC_CALLS) {
		arg.stack.object = any_address(f);
		arg.stack.frames = as_addr(f->scratch);
		arg.stack.count = rng_below(&f->rng, 70);
	} else if (cmd == KARENA_IOC_SPANS || cmd == KARENA_IOC_TYPES ||
		   cmd == KARENA_IOC_ROOTS || cmd == KARENA_IOC_CACHES) {
		arg.list.flags = cmd == KARENA_IOC_SPANS && rng_below(&f->rng, 2);
		arg.list.from = any_number(f);
		arg.list.records = as_addr(f->scratch);
		arg.list.length = 4096;
	} else if (cmd == KARENA_IOC_CHECK) {
		arg.check.records = any_address(f);
		arg.check.length = any_number(f);
	} else if (cmd == KARENA_IOC_ROOT) {
		arg.root.flags = rng_below(&f->rng, 4);
		arg.root.start = as_addr(f->scratch) + 8 * rng_below(&f->rng, 8);
		arg.root.length = 8 * rng_below(&f->rng, 8);
	} else if (cmd == KARENA_IOC_GC_CONTROL) {
		arg.gc_control.flags = rng_below(&f->rng, 2);
		arg.gc_control.percent = (int)rng_below(&f->rng, 200) - 1;
		arg.gc_control.slice_us = 10;
		arg.gc_control.share = 1 + rng_below(&f->rng, 100);
	}
	memcpy(words, &arg, sizeof(arg));
}

/* Any: each word a number, an address or nothing. */
static void implausible(struct fuzzer *f, unsigned long cmd, __u64 *words)
{
	unsigned int i;

	for (i = 0; i < 40; i++) {
		words[i] = rng_below(&f->rng, 3) ? any_number(f) : any_address(f);
		if (rng_below(&f->rng, 2))
			words[i] = 0;
	}
	if (rng_below(&f->rng, 4))
		*(__u32 *)words = _IOC_SIZE(cmd) + 8 * !rng_below(&f->rng, 8);
	/* heaps of its own must not take all the memory */
	if (_IOC_NR(cmd) == _IOC_NR(KARENA_IOC_SETUP) && words[2] - 1 >= LIMIT)
		words[2] = LIMIT;
}

static void one_call(struct fuzzer *f)
{
	__u64 *words = (void *)(f->scratch + 8 * 4096);
	int fd = f->fds[rng_below(&f->rng, FDS)];
	unsigned long cmd = any_command(f);
	void *arg = words;

	if (rng_below(&f->rng, 2))
		plausible(f, cmd, words);
	else
		implausible(f, cmd, words);
	/* What is due, to anywhere. */
	if (!rng_below(&f->rng, 50))
		f->read += read(fd, as_ptr(any_address(f)), any_number(f)) > 0;
	if (!rng_below(&f->rng, 10))
		arg = as_ptr(any_address(f));
	if (kioctl(fd, cmd, arg) || arg != words)
		return;
	if (cmd == KARENA_IOC_SHARE)
		close(((struct karena_share *)words)->fd);
	if (cmd == KARENA_IOC_CLONE)
		close(((struct karena_clone *)words)->fd);
	if (cmd == KARENA_IOC_DUMP)
		close(((struct karena_dump *)words)->fd);
	if (cmd == KARENA_IOC_RELEASE)
		f->told = *(struct karena_release *)words;
}

/* New descriptors for old ones; those that were lost by a bad share too. */
static void renew(struct fuzzer *f)
{
	unsigned int i;

	close_range(100, ~0U, 0);
	f->fds[0] = f->shared.fd;
	f->fds[1] = f->own.fd;
	for (i = 2; i < FDS; i++) {
		int fd = i == 2 ? heap_share(f->shared.fd, KARENA_SHARE_RDONLY) :
				  dev_open(i == 3 ? O_RDONLY : O_RDWR);

		f->fds[i] = 100 + i;
		dup2(fd, f->fds[i]);
		close(fd);
	}
	for (i = 0; i < FDS; i++)
		fcntl(f->fds[i], F_SETFL, O_NONBLOCK);
}

/* Nothing of all that has done a heap any harm. */
static void look_for_damage(const struct heap *heap)
{
	struct karena_check verify = { .size = sizeof(verify) };

	check_ret(kioctl(heap->fd, KARENA_IOC_CHECK, &verify), 0);
	check_eq(verify.damages, 0);
}

static void fuzz(void *arg)
{
	struct fuzzer *f = arg;
	unsigned int i;

	rng_init(&f->rng, 1 + f->nr);
	f->scratch = mmap(NULL, SCRATCH + BEHIND, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!check(f->scratch != MAP_FAILED) ||
	    !check(!mprotect(f->scratch, SCRATCH, PROT_READ | PROT_WRITE)) ||
	    !heap_open(&f->own, WINDOW, LIMIT))
		return;
	for (i = 0; i < f->steps; i++) {
		if (i % 256 == 0)
			renew(f);
		one_call(f);
	}
	close_range(100, ~0U, 0);
	look_for_damage(&f->own);
	look_for_damage(&f->shared);
	heap_close(&f->own);
}

static void guards_fill(const struct heap *heap, __u64 *addrs)
{
	unsigned int i;

	for (i = 0; i < GUARDS; i++) {
		addrs[i] = heap_new(heap->fd, 16 + i * 8, 0);
		if (check(addrs[i]))
			fill(as_ptr(addrs[i]), 16 + i * 8, i);
	}
}

static void guards_look(const struct heap *heap, const __u64 *addrs)
{
	struct karena_heap_info own;
	unsigned int i;

	for (i = 0; i < GUARDS; i++)
		check(filled(as_ptr(addrs[i]), 16 + i * 8, i));
	check_ret(heap_info(heap->fd, 0, 0, &own), 0);
	check_eq(own.live_objects, GUARDS);
	check_eq(own.frees, 0);
	check(zeroed(own.rejects, sizeof(own.rejects)));
}

/* Child's half: the guarded heap is not even in its descriptors. */
static void fuzz_without_guard(void *arg)
{
	struct fuzzer *f = arg;

	close(f->fds[0]);
	fuzz(arg);
}

static void garbage(void)
{
	struct fuzzer f = { .steps = tap_count(8000, 500000) };
	struct karena_info before;
	struct heap guard;
	__u64 addrs[GUARDS];
	pid_t pids[PROCESSES];
	int ret;

	if (!user_numbers(&before) || !heap_open(&guard, WINDOW, 0))
		return;
	guards_fill(&guard, addrs);
	check(!heap_make(&f.shared, WINDOW, LIMIT));
	f.fds[0] = guard.fd;
	for (f.nr = 0; f.nr < PROCESSES; f.nr++)
		pids[f.nr] = tap_fork(fuzz_without_guard, &f);
	for (f.nr = 0; f.nr < PROCESSES; f.nr++)
		tap_join(pids[f.nr]);
	guards_look(&guard, addrs);
	/* full, at worst */
	ret = heap_alloc(f.shared.fd, 64, 0, 1, addrs);
	check(ret == 0 || ret == -ENOMEM);
	heap_close(&f.shared);
	heap_close(&guard);
	user_back_to(&before);
}

/* Random pieces of the window are mapped, unmapped, protected, moved, advised. */
static void one_mapping_call(struct fuzzer *f)
{
	struct rng *rng = &f->rng;
	__u64 at = f->own.base + rng_below(rng, WINDOW / 4096) * 4096 * rng_below(rng, 2);
	__u64 len = rng_below(rng, 2) ? WINDOW : 4096ULL << rng_below(rng, 18);
	int prot = rng_below(rng, 8), flags = 1 << rng_below(rng, 5);

	switch (rng_below(rng, 7)) {
	case 0:
		munmap(as_ptr(at), len);
		break;
	case 1:
		mprotect(as_ptr(at), len, prot);
		break;
	case 2:
		madvise(as_ptr(at), len, rng_below(rng, 26));
		break;
	case 3:
		mremap(as_ptr(at), len, WINDOW, rng_below(rng, 2) * MREMAP_MAYMOVE);
		break;
	case 4:
		msync(as_ptr(at), len, MS_SYNC);
		break;
	case 5:
		mlock(as_ptr(at), len > MIB ? MIB : len);
		break;
	default:
		mmap(as_ptr(at), len, prot, flags | (rng_below(rng, 4) ? MAP_SHARED : 0),
		     f->own.fd, rng_below(rng, 2) ? KARENA_OFF_CONTROL :
						    rng_below(rng, 4) * 4096);
	}
}

static void fuzz_mappings(void *arg)
{
	struct fuzzer *f = arg;
	unsigned int i;

	rng_init(&f->rng, 50 + f->nr);
	f->own = f->shared;
	for (i = 0; i < f->steps; i++) {
		__u64 addr;

		one_mapping_call(f);
		if (i % 16)
			continue;
		addr = heap_new(f->own.fd, 1 + rng_below(&f->rng, 100000), 0);
		if (addr && i % 32)
			heap_drop(f->own.fd, addr);
	}
}

static void mappings(void)
{
	struct fuzzer f = { .steps = tap_count(2000, 200000) };
	struct karena_info before;
	pid_t pids[PROCESSES];
	__u64 object;

	if (!user_numbers(&before) || !heap_open(&f.shared, WINDOW, 64 * MIB))
		return;
	object = heap_new(f.shared.fd, MIB, 0);
	fill(as_ptr(object), MIB, 1);
	for (f.nr = 0; f.nr < PROCESSES; f.nr++)
		pids[f.nr] = tap_fork(fuzz_mappings, &f);
	for (f.nr = 0; f.nr < PROCESSES; f.nr++)
		tap_join(pids[f.nr]);
	check(filled(as_ptr(object), MIB, 1));
	check_ret(heap_drop(f.shared.fd, object), 0);
	heap_close(&f.shared);
	user_back_to(&before);
}

static const struct tap_case cases[] = {
	{ "garbage to the ioctls", garbage },
	{ "garbage to the mapping calls", mappings },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
