// SPDX-License-Identifier: GPL-2.0
/*
 * Coroutines: whatever they do, their stacks are as they left them; what is referred to
 * from there lives, wherever a collection stops a switch; an overflow says whose it was; and
 * memory that a stack does not use any more is given back.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <karena.h>

#include "heap.h"
#include "model.h"
#include "tap.h"

#define MOST	500u
#define SIZE	(64 * KIB)
#define PAGE	4096u

/* The errno of a call that has to fail, 0 when it did not. */
#define error_of(failed) (errno = 0, (failed) ? errno : 0)

static struct karena *heap;
static struct karena_stacks *stacks;

static bool begin(unsigned int flags, __u64 size, unsigned int count)
{
	struct karena_options opts = { .window = WINDOW, .name = "coroutines", .flags = flags };

	heap = karena_open(&opts);
	stacks = check(heap) ? karena_stacks_open(heap, size, count) : NULL;
	return check(stacks);
}

static void end(void)
{
	karena_stacks_close(stacks);
	karena_close(heap);
}

static unsigned long long live(void)
{
	struct karena_heap_info info = { .size = sizeof(info) };

	return check_eq(karena_stats(heap, &info), 0) ? info.live_objects : ~0ULL;
}

/* --- stacks are as they were left --- */

struct worker {
	struct karena_co *co;
	struct rng rng;
	__u64 seed;
};

static __attribute__((noinline)) void go_deep(struct worker *worker, unsigned int depth)
{
	__u64 seed = ++worker->seed;
	unsigned int size = 16 + rng_below(&worker->rng, 700);
	char *frame = __builtin_alloca(size);

	fill(frame, size, seed);
	if (!rng_below(&worker->rng, 4))
		karena_co_yield();
	if (depth)
		go_deep(worker, depth - 1);
	if (!rng_below(&worker->rng, 4))
		karena_co_yield();
	check(filled(frame, size, seed));
}

static void work(void *arg)
{
	struct worker *worker = arg;
	unsigned int n = rng_below(&worker->rng, 5);

	check(karena_co_self() == worker->co);
	while (n--)
		go_deep(worker, rng_below(&worker->rng, 60));
}

/* Random ones of many are resumed, deleted when they have ended, or before; and made. */
static void *run_many(void *arg)
{
	unsigned int i, at, steps = tap_count(30000, 500000);
	struct worker *worker = calloc(MOST, sizeof(*worker));
	struct rng rng;
	int ret;

	(void)arg;
	rng_init(&rng, 1);
	for (i = 0; i < steps && !tap_failed(); i++) {
		at = rng_below(&rng, MOST);
		if (!worker[at].co) {
			rng_init(&worker[at].rng, i);
			worker[at].seed = (__u64)i << 20;
			worker[at].co = karena_co_new(stacks, "worker", work, &worker[at]);
			if (!check(worker[at].co))
				break;
		}
		ret = karena_co_resume(worker[at].co);
		check(ret >= 0);
		if (!ret)
			check_eq(error_of(karena_co_resume(worker[at].co) < 0), EINVAL);
		if (!ret || !rng_below(&rng, 200)) {
			karena_co_delete(worker[at].co);
			worker[at].co = NULL;
		}
		if (i % 3000 == 0)
			karena_stacks_trim(stacks);
	}
	check(!karena_co_self());
	free(worker);
	return NULL;
}

static void many(void)
{
	if (!begin(0, SIZE, MOST))
		return;
	run_many(NULL);
	end();
}

/* --- references --- */

struct node {
	struct node *next;
	long number;
};

/* Keeps a list that nothing else refers to. */
static __attribute__((noinline)) void hold_list(struct karena_type type)
{
	struct node *list = NULL, *node;
	long i;

	for (i = 0; i < 20; i++) {
		node = karena_new(heap, type);
		node->number = i;
		node->next = list;
		list = node;
		if (i % 7 == 0)
			karena_co_yield();
	}
	while (i-- && check(list->number == i))
		list = list->next;
}

static void hold(void *arg)
{
	for (;;)
		hold_list(*(struct karena_type *)arg);
}

/* All wait with some of a list; then all go on, and all are given up. */
static void *waiting(void *arg)
{
	static struct karena_co *co[MOST];
	struct karena_type type = KARENA_TYPE(heap, struct node, next);
	unsigned int i, round;

	(void)arg;
	for (i = 0; i < MOST; i++)
		co[i] = karena_co_new(stacks, "holder", hold, &type);
	for (round = 0; round < 8 && !tap_failed(); round++) {
		for (i = 0; i < MOST; i++)
			check_eq(karena_co_resume(co[i]), 1);
		check_eq(karena_gc(heap), 0);
		check(live() >= MOST * (1 + 7 * (round % 3)));
	}
	for (i = 0; i < MOST; i++)
		karena_co_delete(co[i]);
	return NULL;
}

static void references(void)
{
	if (!begin(KARENA_COLLECT, SIZE, MOST))
		return;
	run_thread(waiting, NULL);
	check_eq(karena_gc(heap), 0);
	check_eq(live(), 0);
	end();
}

static bool over;

static void *collect_all_the_time(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE))
		check_eq(karena_gc(heap), 0);
	return NULL;
}

/* What is in a register, or has just been pushed, when it is stopped. */
static void carry(void *arg)
{
	struct worker *worker = arg;
	__u64 *object, seed;

	for (;;) {
		seed = ++worker->seed;
		object = karena_alloc(heap, 64);
		fill(object, 64, seed);
		karena_co_yield();
		if (!check(filled(object, 64, seed)))
			return;
	}
}

static void *switch_all_the_time(void *arg)
{
	unsigned int i, steps = tap_count(100000, 1000000);
	struct worker worker[2] = { { .seed = 1 }, { .seed = 1ULL << 40 } };

	(void)arg;
	for (i = 0; i < 2; i++)
		worker[i].co = karena_co_new(stacks, "carrier", carry, &worker[i]);
	for (i = 0; i < steps && !tap_failed(); i++)
		check_eq(karena_co_resume(worker[i % 2].co), 1);
	return NULL;
}

static void switches(void)
{
	pthread_t collector;

	if (!begin(KARENA_COLLECT, SIZE, 2))
		return;
	over = false;
	check_eq(pthread_create(&collector, NULL, collect_all_the_time, NULL), 0);
	run_thread(switch_all_the_time, NULL);
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	pthread_join(collector, NULL);
	end();
}

/* --- overflow --- */

static __attribute__((noinline)) unsigned int sink(unsigned int depth)
{
	char frame[256];

	memset(frame, depth, sizeof(frame));
	__asm__ volatile("" : : "r"(frame) : "memory");
	return depth ? sink(depth - 1) + frame[depth % 256] : 0;
}

static void fall(void *arg)
{
	(void)arg;
	sink(1000000);
}

static void sink_a_little(void *arg)
{
	(void)arg;
	sink(100);
	karena_co_yield();
}

/* In a child that dies of it; the neighbours' stacks are whole until then. */
static void overflow(void)
{
	struct rlimit none = { 0, 0 };
	char text[256] = "";
	int pipes[2], status;
	ssize_t n;
	pid_t pid;

	check(!pipe(pipes));
	pid = fork();
	if (!pid) {
		dup2(pipes[1], STDERR_FILENO);
		setrlimit(RLIMIT_CORE, &none);
		if (!begin(0, SIZE, 3))
			_exit(1);
		karena_co_resume(karena_co_new(stacks, "first", sink_a_little, NULL));
		karena_co_resume(karena_co_new(stacks, "Icarus", fall, NULL));
		_exit(0);
	}
	close(pipes[1]);
	n = read(pipes[0], text, sizeof(text) - 1);
	check(n > 0);
	check(!strcmp(text, "karena: the stack of coroutine \"Icarus\" has overflowed\n"));
	check_eq(waitpid(pid, &status, 0), pid);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	close(pipes[0]);
}

static void own_handler(int number, siginfo_t *info, void *context)
{
	const char *name = karena_co_overflow(info->si_addr);

	(void)number;
	(void)context;
	_exit(name && !strcmp(name, "Icarus") && !karena_co_overflow(&name) ? 7 : 1);
}

static void own_overflow(void)
{
	struct sigaction action = { .sa_sigaction = own_handler,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK };
	int status;
	pid_t pid = fork();

	if (!pid) {
		sigaction(SIGSEGV, &action, NULL);
		if (begin(0, SIZE, 2))
			karena_co_resume(karena_co_new(stacks, "Icarus", fall, NULL));
		_exit(0);
	}
	check_eq(waitpid(pid, &status, 0), pid);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

/* --- memory --- */

static size_t resident(void)
{
	unsigned long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	check(f && fscanf(f, "%lu %lu", &size, &pages) == 2);
	if (f)
		fclose(f);
	return pages * PAGE;
}

static void wait_shallow(void *arg)
{
	(void)arg;
	karena_co_yield();
}

/* A page for each that does not need more, and the tables for it. */
static void memory(void)
{
	/* A process of User mode Linux has a mapping of the host for each (vm.max_map_count). */
	const char *machine = getenv("KARENA_MACHINE");
	const bool uml = machine && !strncmp(machine, "uml", 3);
	const unsigned int count = tap_count(10000, uml ? 10000 : 100000);
	size_t before, after;
	unsigned int i;

	if (!begin(0, SIZE, count))
		return;
	before = resident();
	for (i = 0; i < count; i++)
		karena_co_resume(karena_co_new(stacks, "small", wait_shallow, NULL));
	after = resident();
	tap_diag("%u stacks: %zu KiB", count, (after - before) / 1024);
	check(after - before <= (size_t)count * PAGE * 11 / 10);
	end();
}

/* More than a quarter of it is in use. */
static __attribute__((noinline)) void wait_deep(void)
{
	char frame[20000];

	fill(frame, sizeof(frame), 5);
	karena_co_yield();
	check(filled(frame, sizeof(frame), 5));
}

static void sink_and_wait(void *arg)
{
	unsigned int i;

	(void)arg;
	for (i = 0; i < 2; i++) {
		sink(150);
		karena_co_yield();
	}
	wait_deep();
}

static void trimmed(void)
{
	struct karena_co *co;

	if (!begin(KARENA_COLLECT, SIZE, 4))
		return;
	co = karena_co_new(stacks, "deep", sink_and_wait, NULL);
	check_eq(karena_co_resume(co), 1);
	check(karena_stacks_trim(stacks) >= 9 * PAGE);
	check_eq(karena_stacks_trim(stacks), 0);
	check_eq(karena_co_resume(co), 1);
	/* After a cycle by itself, when a coroutine is made or resumed. */
	check_eq(karena_gc(heap), 0);
	check_eq(karena_co_resume(co), 1);
	check_eq(karena_stacks_trim(stacks), 0);
	check_eq(karena_co_resume(co), 0);
	end();
}

/* --- the rest --- */

static void in_child(void *arg)
{
	unsigned int i;

	for (i = 0; i < 3; i++)
		check_eq(karena_co_resume(arg), 1);
	check_eq(karena_co_resume(arg), 0);
}

/* A child has them as they were, and its own. */
static void children(void)
{
	struct karena_co *co;

	if (!begin(KARENA_COLLECT, SIZE, 2))
		return;
	co = karena_co_new(stacks, "forked", sink_and_wait, NULL);
	tap_isolate(in_child, co);
	in_child(co);
	end();
}

static void resume_caller(void *arg)
{
	check_eq(error_of(karena_co_resume(karena_co_self()) < 0), EINVAL);
	check_eq(error_of(karena_co_resume(arg) < 0), EINVAL);
}

static void call_another(void *arg)
{
	struct karena_co *co = karena_co_new(arg, "inner", resume_caller, karena_co_self());

	check_eq(karena_co_resume(co), 0);
	karena_co_delete(co);
}

static void errors(void)
{
	struct karena_co *co[3];
	unsigned int i;

	if (!begin(KARENA_COLLECT, 9000, 3))
		return;
	check_eq(error_of(!karena_stacks_open(heap, SIZE, 0)), EINVAL);
	check_eq(error_of(!karena_stacks_open(heap, 2048 * MIB, 1)), EINVAL);
	check_eq(error_of(!karena_stacks_open(heap, MIB, 131073)), EINVAL);
	for (i = 0; i < 3; i++)
		co[i] = karena_co_new(stacks, "one", i ? sink_and_wait : call_another, stacks);
	check_eq(error_of(!karena_co_new(stacks, "many", sink_and_wait, NULL)), ENOMEM);
	karena_co_delete(co[2]);
	karena_co_delete(NULL);
	check_eq(karena_co_resume(co[0]), 0);
	end();
	karena_stacks_close(NULL);
}

/* What the kernel refuses: the places and lengths that stacks cannot have. */
static void mappings(void)
{
	const __u64 at = 1ULL << 40, size = 1ULL << 16;
	const int fixed = MAP_PRIVATE | MAP_FIXED;
	const struct {
		__u64 at, size, offset;
		int prot, flags, err;
	} bad[] = {
		{ at, size, KARENA_OFF_STACKS(12), PROT_READ, fixed, EINVAL },
		{ at, 2048 * MIB, KARENA_OFF_STACKS(31), PROT_READ, fixed, EINVAL },
		{ at, size, KARENA_OFF_STACKS(16) + PAGE, PROT_READ, fixed, EINVAL },
		{ at + PAGE, size, KARENA_OFF_STACKS(16), PROT_READ, fixed, EINVAL },
		{ at, size + PAGE, KARENA_OFF_STACKS(16), PROT_READ, fixed, EINVAL },
		{ at, size, KARENA_OFF_STACKS(16), PROT_READ, MAP_SHARED | MAP_FIXED, EINVAL },
		{ at, size, KARENA_OFF_STACKS(16), PROT_READ, MAP_PRIVATE, EINVAL },
		{ at, size, KARENA_OFF_STACKS(16), PROT_EXEC, fixed, EPERM },
	};
	unsigned int i;
	char *p;

	if (!begin(0, SIZE, 1))
		return;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		check_eq(error_of(mmap(as_ptr(bad[i].at), bad[i].size, bad[i].prot, bad[i].flags,
				       karena_fd(heap), bad[i].offset) == MAP_FAILED), bad[i].err);
	p = mmap(as_ptr(at), 4 * size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, karena_fd(heap), KARENA_OFF_STACKS(16));
	if (!check(p == as_ptr(at)))
		return;
	check_eq(error_of(munmap(p, size)), EINVAL);
	check_eq(error_of(mprotect(p, size, PROT_READ)), EINVAL);
	check(zeroed(p + PAGE, size - PAGE));
	p[PAGE] = 1;
	check(p[PAGE] == 1 && zeroed(p + PAGE + 1, size - PAGE - 1));
	check_eq(madvise(p + PAGE, PAGE, MADV_DONTNEED), 0);
	check(zeroed(p + PAGE, size - PAGE));
	check_eq(munmap(p, 4 * size), 0);
	end();
}

/* And of their ranges. */
static void ranges(void)
{
	static const struct {
		__u64 at, size;
		__u32 flags;
		int err;
	} bad[] = {
		{ 1ULL << 40, 1 << 16, KARENA_ROOT_STACKS(12), -EINVAL },
		{ 1ULL << 40, 1ULL << 31, KARENA_ROOT_STACKS(31), -EINVAL },
		{ 1ULL << 40, 1 << 16, KARENA_ROOT_STACKS(32), -EINVAL },
		{ 1ULL << 40, 1 << 16, KARENA_ROOT_STACKS(16) | KARENA_ROOT_EXTENTS, -EINVAL },
		{ (1ULL << 40) + PAGE, 1 << 16, KARENA_ROOT_STACKS(16), -EINVAL },
		{ 1ULL << 40, 1 << 15, KARENA_ROOT_STACKS(16), -EINVAL },
		{ 1ULL << 40, 1 << 16, KARENA_ROOT_STACKS(16), 0 },
		{ 1ULL << 40, 1 << 16, KARENA_ROOT_STACKS(16), -EEXIST },
		{ 1ULL << 40, 1 << 16, KARENA_ROOT_STACKS(16) | KARENA_ROOT_DEL, 0 },
	};
	unsigned int i;

	if (!begin(KARENA_COLLECT, SIZE, 1))
		return;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		check_ret(heap_root(karena_fd(heap), as_ptr(bad[i].at), bad[i].size, bad[i].flags),
			  bad[i].err);
	end();
}

static const struct tap_case cases[] = {
	{ "many coroutines", many },
	{ "coroutines that wait", references },
	{ "a collection at each instruction of a switch", switches },
	{ "an overflow says whose it was", overflow },
	{ "to the program's own handler too", own_overflow },
	{ "memory of stacks", memory },
	{ "stacks are trimmed", trimmed },
	{ "coroutines of a child", children },
	{ "errors of coroutines", errors },
	{ "mappings of stacks", mappings },
	{ "ranges of stacks", ranges },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
