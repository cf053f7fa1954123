// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that a heap does not need: given back when asked for, in the background, under
 * pressure of the machine and of a control group; limits, and what becomes of calls above
 * them; and what explains a heap.  What went is seen by what the heap holds, what the
 * control group is charged with, and what the process has resident.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "group.h"
#include "heap.h"
#include "tap.h"

#define DROP_CACHES "/proc/sys/vm/drop_caches"
#define MODULE_LIMIT "/sys/module/karena/parameters/soft_limit"
#define BLOCK (64 * KIB)

static int reclaim(const struct heap *heap, __u32 flags, __u64 *returned)
{
	struct karena_reclaim req = { .size = sizeof(req), .flags = flags };
	int ret = kioctl(heap->fd, KARENA_IOC_RECLAIM, &req);

	if (returned)
		*returned = req.returned;
	return ret;
}

static bool get_memory(int fd, struct karena_memory *memory)
{
	*memory = (struct karena_memory){ .size = sizeof(*memory) };
	return check_ret(kioctl(fd, KARENA_IOC_MEMORY, memory), 0);
}

static bool set_memory(int fd, __u32 eager, __u32 policy, __u32 wait_ms, __u64 soft_limit)
{
	struct karena_memory memory = {
		.size = sizeof(memory), .flags = KARENA_MEMORY_SET, .eager = eager,
		.policy = policy, .wait_ms = wait_ms, .soft_limit = soft_limit,
	};

	return check_ret(kioctl(fd, KARENA_IOC_MEMORY, &memory), 0);
}

static __u64 held(const struct heap *heap)
{
	struct karena_heap_info info;

	check_ret(heap_info(heap->fd, 0, 0, &info), 0);
	return info.held_bytes;
}

/* Of this process, in the window: what is mapped there. */
static __u64 resident(const struct heap *heap)
{
	char line[256], start[32];
	FILE *f = fopen("/proc/self/smaps", "r");
	bool inside = false;
	__u64 kib = 0;

	snprintf(start, sizeof(start), "%llx-", heap->base);
	while (f && fgets(line, sizeof(line), f)) {
		if (strchr(line, '-') && strchr(line, '/'))
			inside = !strncmp(line, start, strlen(start));
		if (inside && sscanf(line, "Rss: %llu kB", &kib) == 1)
			break;
	}
	if (f)
		fclose(f);
	return kib * KIB;
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
}

/* Waits for the background, but not for ever. */
static __u64 held_down_to(const struct heap *heap, __u64 most)
{
	unsigned int looks;
	__u64 now = 0;

	for (looks = 0; looks < 60000; looks++) {
		now = held(heap);
		if (now <= most)
			break;
		nap();
	}
	return now;
}

/* --- a peak, and what is left of it --- */

/* Blocks of a heap, all written to. */
struct peak {
	struct heap heap;
	unsigned int nr;
	__u64 *block;
};

static bool peak_open(struct peak *p, __u64 bytes)
{
	unsigned int i;

	p->nr = bytes / BLOCK;
	p->block = calloc(p->nr, sizeof(*p->block));
	if (!check(p->block) || !heap_open(&p->heap, 2 * bytes, 0))
		return false;
	if (!check_ret(heap_alloc(p->heap.fd, BLOCK, 0, p->nr, p->block), 0))
		return false;
	for (i = 0; i < p->nr; i++)
		memset(as_ptr(p->block[i]), 1 + i % 255, BLOCK);
	return true;
}

static bool is_whole(const struct peak *p, unsigned int i)
{
	const char *at = as_ptr(p->block[i]);

	return *at == (char)(1 + i % 255) && !memcmp(at, at + 1, BLOCK - 1);
}

/* Frees all but @left bytes, which are anywhere. */
static void peak_fall(struct peak *p, __u64 left)
{
	unsigned int keep = left / BLOCK, i, j;
	struct rng rng;
	__u64 block;

	rng_init(&rng, p->nr);
	for (i = p->nr - 1; i >= keep; i--) {
		j = rng_below(&rng, i + 1);
		block = p->block[j];
		p->block[j] = p->block[i];
		memset(as_ptr(p->block[j]), 1 + j % 255, BLOCK);
		p->block[i] = block;
	}
	check_ret(heap_free(p->heap.fd, p->block + keep, p->nr - keep, NULL), 0);
	p->nr = keep;
}

static void peak_close(struct peak *p)
{
	unsigned int i;

	for (i = 0; i < p->nr; i++)
		check(is_whole(p, i));
	heap_close(&p->heap);
	free(p->block);
}

/* Of a peak of 512 MiB, or @slice where time is short, a 32th is left. */
static __u64 peak_bytes(__u64 slice)
{
	return getenv("KARENA_LONG") ? 512 * MIB : slice;
}

static void given_back_at_once(void)
{
	__u64 bytes = peak_bytes(128 * MIB), left = bytes / 32, returned = 0;
	struct karena_explain e = { .size = sizeof(e) };
	struct peak p;

	if (!peak_open(&p, bytes))
		return;
	check(held(&p.heap) >= bytes);
	check(resident(&p.heap) >= bytes);
	peak_fall(&p, left);
	check_ret(reclaim(&p.heap, 0, &returned), 0);
	/* all of it, whatever is worth keeping */
	check_eq(held(&p.heap), left);
	/* some of it may have gone before the call, in the background */
	check(returned > 0 && returned <= bytes - left);
	check_ret(kioctl(p.heap.fd, KARENA_IOC_EXPLAIN, &e), 0);
	check_eq(e.returned_bytes, bytes - left);
	check_eq(resident(&p.heap), left);
	tap_diag("MiB held: %llu at the peak, %llu after, %llu given back by the call",
		 bytes / MIB, held(&p.heap) / MIB, returned / MIB);
	check_ret(reclaim(&p.heap, 0, &returned), 0);
	check_eq(returned, 0);
	peak_close(&p);
}

static __u64 map_bytes(const struct heap *heap)
{
	struct karena_explain e = { .size = sizeof(e) };

	check_ret(kioctl(heap->fd, KARENA_IOC_EXPLAIN, &e), 0);
	return e.meta_map_bytes;
}

/* What is known of pages goes as well, and is there again for the next ones. */
static void metadata_goes(void)
{
	__u64 bytes = 64 * MIB, peak = 0, now = 0;
	unsigned int round;
	struct peak p;

	for (round = 0; round < 3 && !tap_failed(); round++) {
		if (!peak_open(&p, bytes))
			return;
		peak = map_bytes(&p.heap);
		peak_fall(&p, BLOCK);
		check_ret(reclaim(&p.heap, 0, NULL), 0);
		now = map_bytes(&p.heap);
		/* all but one of 16 parts, beside what the window takes */
		check(now < peak / 4);
		check(heap_new(p.heap.fd, bytes / 2, 0));
		check(heap_new(p.heap.fd, 64, 0));
		peak_close(&p);
	}
	tap_diag("KiB of maps: %llu at the peak, %llu after", peak / KIB, now / KIB);
}

/* 95 of 100 pages that are not needed go without anybody's asking. */
static void given_back(__u32 eager)
{
	__u64 bytes = peak_bytes(64 * MIB), left = bytes / 32;
	__u64 most = left + (bytes - left) / 20;
	struct karena_explain e = { .size = sizeof(e) };
	struct peak p;

	if (!peak_open(&p, bytes) || !set_memory(p.heap.fd, eager, KARENA_OVER_GO_ON, 0, 0))
		return;
	/* a hundredth of a slow CPU is little: there some of it will do */
	if (getenv("KARENA_SLOW") && !eager)
		most = bytes - MIB;
	peak_fall(&p, left);
	check(held_down_to(&p.heap, most) <= most);
	check(resident(&p.heap) <= most);
	check_ret(kioctl(p.heap.fd, KARENA_IOC_EXPLAIN, &e), 0);
	check(e.returned_bytes >= bytes - most);
	tap_diag("MiB held: %llu at the peak, %llu after; locks %llu us at most", bytes / MIB,
		 held(&p.heap) / MIB, e.return_max_ns / 1000);
	peak_close(&p);
}

static void background(void)
{
	given_back(0);
}

static void eager(void)
{
	given_back(1);
}

#define CHUNK (4 * MIB)

static void read_it(void *arg)
{
	*(volatile char *)arg;
}

/* Whether there is memory at an address: else who reads there gets a signal. */
static bool is_there(__u64 addr)
{
	pid_t pid = tap_fork(read_it, as_ptr(addr));
	int status;

	check_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status);
}

/* One free block in the last chunk of five is nothing to break it up for. */
static void dense_stays(void)
{
	__u64 last = 0, most = 5 * CHUNK - 2 * MIB;
	unsigned int i;
	struct peak p;

	if (!peak_open(&p, 5 * CHUNK))
		return;
	for (i = 0; i < p.nr; i++) {
		if (p.block[i] >= p.heap.base + 3 * CHUNK && p.block[i] < last)
			continue;
		if (p.block[i] < p.heap.base + 3 * CHUNK) {
			check_eq(heap_drop(p.heap.fd, p.block[i]), 0);
			p.block[i] = 0;
		} else {
			last = p.block[i];
		}
	}
	check(last >= p.heap.base + 4 * CHUNK);
	check_eq(heap_drop(p.heap.fd, last), 0);
	/* from the top down: it has been passed by then */
	check(held_down_to(&p.heap, most) <= most);
	check(is_there(last));
	check_ret(reclaim(&p.heap, 0, NULL), 0);
	check(!is_there(last));
	heap_close(&p.heap);
	free(p.block);
}

/* Who writes to what he has freed, while it goes, writes to nothing. */
static void write_after_free(void *arg)
{
	struct peak *p = arg;
	__u64 at = p->block[p->nr];

	for (;;)
		__atomic_fetch_add((__u64 *)as_ptr(at), 1, __ATOMIC_RELAXED);
}

/* All of what is free goes when the machine is short of it, and is unmapped then. */
static void shrinks(void)
{
	__u64 bytes = 32 * MIB;
	struct peak p;
	unsigned int tries;
	int status;
	pid_t pid;

	if (!peak_open(&p, bytes))
		return;
	peak_fall(&p, bytes / 2);
	pid = tap_fork(write_after_free, &p);
	/* what it could not lock at once goes the next time */
	for (tries = 0; tries < 1000 && held(&p.heap) > bytes / 2; tries++) {
		check(write_text(DROP_CACHES, "2"));
		nap();
	}
	check_eq(held(&p.heap), bytes / 2);
	check_eq(resident(&p.heap), bytes / 2);
	/* it would go on for ever, if it still had the page */
	if (tap_failed())
		kill(pid, SIGKILL);
	check_eq(waitpid(pid, &status, 0), pid);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	peak_close(&p);
}

/* --- control groups --- */

/* As much as the group has, by turns in the heap and beside it. */
static void by_turns(void *arg)
{
	__u64 addrs[40 * MIB / BLOCK];
	unsigned int round, i;
	struct heap heap;
	char *own;

	(void)arg;
	if (!enter_group() || !heap_open(&heap, WINDOW, 0))
		return;
	for (round = 0; round < tap_count(5, 100) && !tap_failed(); round++) {
		if (!check_ret(heap_alloc(heap.fd, BLOCK, 0, ARRAY_SIZE(addrs), addrs), 0))
			break;
		for (i = 0; i < ARRAY_SIZE(addrs); i++)
			memset(as_ptr(addrs[i]), 1, BLOCK);
		check_ret(heap_free(heap.fd, addrs, ARRAY_SIZE(addrs), NULL), 0);
		own = mmap(NULL, 40 * MIB, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (!check(own != MAP_FAILED))
			break;
		memset(own, 1, 40 * MIB);
		munmap(own, 40 * MIB);
	}
	heap_close(&heap);
}

static void group_shared(void)
{
	if (!group_open(64 * MIB))
		return;
	tap_isolate(by_turns, NULL);
	group_close();
}

/* Garbage beyond any goal: the group's limit is one to collect for. */
static void make_garbage(void *arg)
{
	struct karena_gc_control gc;
	struct karena_gc_info info;
	unsigned int i;
	struct heap heap;

	(void)arg;
	if (!enter_group() || !heap_open_collected(&heap, WINDOW, 0) || !gc_get(heap.fd, &gc))
		return;
	gc.min_heap = 256 * MIB;
	if (!gc_set(heap.fd, &gc))
		return;
	for (i = 0; i < 256 * MIB / BLOCK && !tap_failed(); i++)
		check(heap_new(heap.fd, BLOCK, KARENA_ALLOC_NOSCAN));
	check(gc_info(heap.fd, &info));
	check(info.cycles > 0);
	tap_diag("%llu cycles, %llu asked for", info.cycles, info.forced);
	heap_close(&heap);
}

static void group_collected(void)
{
	if (!group_open(64 * MIB))
		return;
	tap_isolate(make_garbage, NULL);
	group_close();
}

/* What the heap says that its group has left. */
static __u64 group_room(const struct heap *heap)
{
	struct karena_explain e = { .size = sizeof(e) };

	check_ret(kioctl(heap->fd, KARENA_IOC_EXPLAIN, &e), 0);
	return e.group_room;
}

static void group_told(void *arg)
{
	struct heap heap;

	(void)arg;
	if (!enter_group() || !heap_open(&heap, WINDOW, 0))
		return;
	check_eq(group_room(&heap), ~0ULL);
	check(heap_new(heap.fd, MIB, 0));
	check(group_room(&heap) < 63 * MIB && group_room(&heap) > 16 * MIB);
	check(write_number(in_group("memory.high"), 8 * MIB));
	check(group_room(&heap) < 8 * MIB);
	heap_close(&heap);
}

static void group_seen(void)
{
	if (!group_open(64 * MIB))
		return;
	tap_isolate(group_told, NULL);
	group_close();
}

/* --- a machine with little memory --- */

#define LITTLE (512 * MIB)

/* Two thirds of what the machine has to give, by turns in a heap and beside it. */
static void machine_by_turns(void *arg)
{
	__u64 bytes = read_number("/proc/meminfo", "MemAvailable:") * KIB * 2 / 3 / BLOCK * BLOCK;
	unsigned int round, i, nr = bytes / BLOCK;
	__u64 *addrs = calloc(nr, sizeof(*addrs));
	struct heap heap;
	char *own;

	(void)arg;
	if (!check(addrs) || !heap_open(&heap, 2 * LITTLE, 0))
		return;
	for (round = 0; round < tap_count(3, 30) && !tap_failed(); round++) {
		if (!check_ret(heap_alloc(heap.fd, BLOCK, 0, nr, addrs), 0))
			break;
		for (i = 0; i < nr; i++)
			memset(as_ptr(addrs[i]), 1, BLOCK);
		check_ret(heap_free(heap.fd, addrs, nr, NULL), 0);
		own = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (!check(own != MAP_FAILED))
			break;
		memset(own, 1, bytes);
		munmap(own, bytes);
	}
	tap_diag("%llu MiB by turns", bytes / MIB);
	heap_close(&heap);
	free(addrs);
}

static void little_memory(void)
{
	__s64 total = read_number("/proc/meminfo", "MemTotal:") * KIB;
	__s64 kills = read_number("/proc/vmstat", "oom_kill ");

	if (total > (__s64)LITTLE)
		return tap_skip("the machine has %lld MiB", total / (__s64)MIB);
	tap_isolate(machine_by_turns, NULL);
	check_eq(read_number("/proc/vmstat", "oom_kill "), kills);
}

/* --- limits --- */

static bool is_over(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLPRI };

	return poll(&p, 1, 0) == 1 && p.revents == POLLPRI;
}

static void goes_on(void)
{
	struct karena_memory memory;
	struct heap heap;
	__u64 addr;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	set_memory(heap.fd, 0, KARENA_OVER_GO_ON, 0, 4 * MIB);
	get_memory(heap.fd, &memory);
	check_eq(memory.soft_limit, 4 * MIB);
	check_eq(memory.over, 0);
	check(!is_over(heap.fd));
	addr = heap_new(heap.fd, 8 * MIB, 0);
	check(addr);
	get_memory(heap.fd, &memory);
	check_eq(memory.over, KARENA_OVER_HEAP);
	check(is_over(heap.fd));
	check_eq(heap_drop(heap.fd, addr), 0);
	/* nothing is worth keeping then */
	check(held_down_to(&heap, 4 * MIB) <= 4 * MIB);
	check(!is_over(heap.fd));
	heap_close(&heap);
}

static void fails(void)
{
	struct heap heap;
	__u64 addr;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	set_memory(heap.fd, 0, KARENA_OVER_FAIL, 0, 4 * MIB);
	check_eq(heap_new(heap.fd, 8 * MIB, 0), 0);
	addr = heap_new(heap.fd, 3 * MIB, 0);
	check(addr);
	check_eq(heap_new(heap.fd, 2 * MIB, 0), 0);
	check(!is_over(heap.fd));
	check_eq(heap_drop(heap.fd, addr), 0);
	check(heap_new(heap.fd, 4 * MIB, 0));
	set_memory(heap.fd, 0, KARENA_OVER_GO_ON, 0, 4 * MIB);
	check(heap_new(heap.fd, 8 * MIB, 0));
	heap_close(&heap);
}

/* Waits for a heap to be over, and then makes room. */
static void make_room(void *arg)
{
	const struct heap *heap = arg;
	struct pollfd p = { .fd = heap->fd, .events = POLLPRI };

	check_eq(poll(&p, 1, -1), 1);
	check_eq(p.revents, POLLPRI);
	check_eq(heap_drop(heap->fd, heap->base), 0);
}

/* A call waits above the limit, until somebody has made room or for long enough. */
static void waits(void)
{
	struct heap heap;
	__u64 first;
	pid_t pid;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	set_memory(heap.fd, 0, KARENA_OVER_WAIT, 1000, 4 * MIB);
	first = heap_new(heap.fd, 3 * MIB, 0);
	check_eq(first, heap.base);
	pid = tap_fork(make_room, &heap);
	/* over from here on: who polls is told, and frees the first one */
	check(heap_new(heap.fd, 2 * MIB, 0));
	check(heap_new(heap.fd, KIB, 0));
	check(tap_join(pid));
	check(held_down_to(&heap, 4 * MIB) <= 4 * MIB);
	/* nobody does this time */
	check(heap_new(heap.fd, 8 * MIB, 0));
	set_memory(heap.fd, 0, KARENA_OVER_WAIT, 20, 4 * MIB);
	check(heap_new(heap.fd, MIB, 0));
	check(is_over(heap.fd));
	heap_close(&heap);
}

static void module_limit(void)
{
	struct karena_memory memory;
	struct heap one, two;

	if (!heap_open(&one, WINDOW, 0) || !heap_open(&two, WINDOW, 0))
		return;
	check(heap_new(one.fd, 4 * MIB, 0));
	check(write_number(MODULE_LIMIT, 6 * MIB));
	get_memory(two.fd, &memory);
	check_eq(memory.over, 0);
	check(heap_new(two.fd, 4 * MIB, 0));
	get_memory(two.fd, &memory);
	check_eq(memory.over, KARENA_OVER_MODULE);
	check(is_over(one.fd));
	set_memory(two.fd, 0, KARENA_OVER_FAIL, 0, 0);
	check_eq(heap_new(two.fd, MIB, 0), 0);
	check(heap_new(one.fd, MIB, 0));
	check(write_number(MODULE_LIMIT, 0));
	check(!is_over(one.fd));
	check(heap_new(two.fd, MIB, 0));
	heap_close(&one);
	heap_close(&two);
}

/* The limit of a collected heap is what it collects for. */
static void collected_limit(void)
{
	struct karena_gc_control gc;
	struct karena_memory memory;
	struct heap heap;

	if (!heap_open_collected(&heap, WINDOW, 0) || !gc_get(heap.fd, &gc))
		return;
	gc.mem_limit = 8 * MIB;
	check(gc_set(heap.fd, &gc));
	get_memory(heap.fd, &memory);
	check_eq(memory.soft_limit, 8 * MIB);
	set_memory(heap.fd, 0, KARENA_OVER_GO_ON, 0, 16 * MIB);
	check(gc_get(heap.fd, &gc));
	check_eq(gc.mem_limit, 16 * MIB);
	heap_close(&heap);
}

/* --- what explains a heap --- */

static void check_parts(const struct heap *heap)
{
	struct karena_explain_class class[KARENA_NR_CLASSES] = { };
	struct karena_explain e = {
		.size = sizeof(e), .classes = as_addr(class), .count = ARRAY_SIZE(class),
	};
	__u64 spans = 0;
	__u32 i;

	if (!check_ret(kioctl(heap->fd, KARENA_IOC_EXPLAIN, &e), 0))
		return;
	check_eq(e.live_bytes + e.garbage_bytes + e.cached_bytes + e.slot_bytes + e.tail_bytes +
		 e.free_bytes, e.held_bytes);
	check_eq(e.meta_span_bytes + e.meta_map_bytes + e.meta_region_bytes +
		 e.meta_class_bytes + e.meta_gc_bytes, e.meta_bytes);
	check(e.meta_map_bytes > 0);
	for (i = 0; i < e.count; i++) {
		check_eq(class[i].live_bytes + class[i].garbage_bytes + class[i].cached_bytes +
			 class[i].free_bytes + class[i].tail_bytes, class[i].span_bytes);
		check(class[i].spans > 0);
		spans += class[i].span_bytes;
	}
	check_eq(spans + e.free_bytes, e.held_bytes);
}

static void explained(void)
{
	struct rng rng;
	__u64 addrs[512];
	struct heap heap;
	unsigned int round, i;

	rng_init(&rng, 9);
	if (!heap_open(&heap, WINDOW, 0))
		return;
	for (round = 0; round < tap_count(20, 500) && !tap_failed(); round++) {
		for (i = 0; i < ARRAY_SIZE(addrs); i++)
			addrs[i] = heap_new(heap.fd, 1 + rng_below(&rng, 1U << rng_below(&rng, 18)),
					    rng_below(&rng, 2) ? KARENA_ALLOC_NOSCAN : 0);
		check_parts(&heap);
		for (i = 0; i < ARRAY_SIZE(addrs); i++)
			if (rng_below(&rng, 4))
				check_eq(heap_drop(heap.fd, addrs[i]), 0);
		if (rng_below(&rng, 2))
			check_ret(reclaim(&heap, 0, NULL), 0);
		/* what the background has in its hands is in no part */
		set_memory(heap.fd, 1, KARENA_OVER_GO_ON, 0, 0);
		check(heap_adds_up(heap.fd));
		check_parts(&heap);
	}
	heap_close(&heap);
}

/* --- many at once --- */

/* Allocates and frees, until it is killed. */
static void churn(void *arg)
{
	const struct heap *heap = arg;
	struct rng rng;
	__u64 addrs[64];

	rng_init(&rng, getpid());
	for (;;) {
		__u32 n = 1 + rng_below(&rng, ARRAY_SIZE(addrs)), i;

		if (heap_alloc(heap->fd, 1 + rng_below(&rng, 100000), 0, n, addrs))
			continue;
		for (i = 0; i < n; i++)
			*(__u64 *)as_ptr(addrs[i]) = addrs[i];
		for (i = 0; i < n; i++)
			if (*(__u64 *)as_ptr(addrs[i]) != addrs[i])
				_exit(1);
		heap_free(heap->fd, addrs, n, NULL);
	}
}

/* All ways to give back, against programs that allocate and free, and are killed. */
static void all_at_once(void)
{
	unsigned int round, i;
	struct heap heap;
	int status;
	pid_t pid[2];

	if (!heap_open(&heap, WINDOW, 64 * MIB))
		return;
	for (round = 0; round < tap_count(8, 200) && !tap_failed(); round++) {
		for (i = 0; i < ARRAY_SIZE(pid); i++)
			pid[i] = tap_fork(churn, &heap);
		for (i = 0; i < 10; i++) {
			check_ret(reclaim(&heap, 0, NULL), 0);
			check(write_text(DROP_CACHES, "2"));
			set_memory(heap.fd, i & 1, KARENA_OVER_GO_ON, 0, (i & 3) * MIB);
		}
		for (i = 0; i < ARRAY_SIZE(pid); i++) {
			kill(pid[i], SIGKILL);
			check_eq(waitpid(pid[i], &status, 0), pid[i]);
			check(WIFSIGNALED(status));
		}
	}
	heap_close(&heap);
}

static const struct tap_case cases[] = {
	{ "memory goes back when asked for", given_back_at_once },
	{ "metadata goes back", metadata_goes },
	{ "memory goes back in the background", background },
	{ "memory goes back at once from an eager heap", eager },
	{ "what is free in a dense chunk stays", dense_stays },
	{ "memory goes back when the machine is short of it", shrinks },
	{ "a control group is enough for a heap and others by turns", group_shared },
	{ "a control group is a limit to collect for", group_collected },
	{ "what a control group has left is told", group_seen },
	{ "a machine with little memory is enough by turns", little_memory },
	{ "above a soft limit calls go on", goes_on },
	{ "above a soft limit calls fail", fails },
	{ "above a soft limit calls wait", waits },
	{ "limit of the module", module_limit },
	{ "limit of a collected heap", collected_limit },
	{ "the parts of a heap add up", explained },
	{ "all ways to give back at once", all_at_once },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
