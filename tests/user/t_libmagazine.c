// SPDX-License-Identifier: GPL-2.0
/*
 * The magazines of CPUs, which programs work on by themselves: no object is handed out
 * twice whoever is preempted, moved, interrupted or killed at it, what is forged in them
 * does no harm to the heap, and a collection knows what they have.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <karena.h>

#include "../../tools/lib/fast.h"
#include "heap.h"
#include "tap.h"

#define SIZES	7u
#define UNIT	KARENA_SLOT_UNIT

static const size_t sizes[SIZES] = { 16, 24, 64, 100, 512, 1024, 8192 };

static struct karena *open_heap(__u64 window, __u64 limit, __u64 flags)
{
	struct karena_options opts = { .window = window, .limit = limit, .name = "magazines",
				       .flags = flags };
	struct karena *heap = karena_open(&opts);

	check(heap);
	return heap;
}

static const struct karena_fast *fast_of(const struct karena *heap)
{
	return (const struct karena_fast *)heap;
}

/* False, and the case is skipped, where threads have magazines of their own. */
static bool has_magazines(struct karena *heap)
{
	if (fast_of(heap)->magazines)
		return true;
	tap_skip("no restartable sequences");
	return false;
}

static struct karena_cpu_magazines *magazines_of(struct karena *heap, unsigned int cpu)
{
	return (struct karena_cpu_magazines *)fast_of(heap)->magazines + cpu;
}

static struct karena_heap_info info_of(struct karena *heap)
{
	struct karena_heap_info info = { .size = sizeof(info) };

	check_eq(karena_stats(heap, &info), 0);
	return info;
}

static void flush_all(struct karena *heap)
{
	struct karena_flush req = { .size = sizeof(req), .flags = KARENA_FLUSH_ALL };

	check_ret(kioctl(karena_fd(heap), KARENA_IOC_FLUSH, &req), 0);
}

static void run_on(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	check(!sched_setaffinity(0, sizeof(set), &set));
}

static unsigned int nr_cpus(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN);
}

/* Out of the compiler's sight, for what it would rightly warn of. */
static void *hide(void *p)
{
	__asm__("" : "+r"(p));
	return p;
}

static bool is_clear(const void *object, size_t size)
{
	const char *byte = object;

	while (size && !byte[size - 1])
		size--;
	return !size;
}

/* --- one thread --- */

/* All different, clear, and as large as asked for; then all of them are back. */
static void take_and_give(struct karena *heap, size_t size, unsigned int n)
{
	void **object = calloc(n, sizeof(*object));
	unsigned int i;

	for (i = 0; i < n && !tap_failed(); i++) {
		object[i] = karena_alloc(heap, size);
		if (!check(object[i]) || !check(is_clear(object[i], size)) ||
		    !check((uintptr_t)object[i] % UNIT == 0))
			break;
		memset(object[i], 0xff, size);
		*(__u64 *)object[i] = i;
	}
	/* Magazines of threads have some that the heap takes for live. */
	if (fast_of(heap)->magazines)
		check_eq(info_of(heap).live_objects, n);
	while (i--) {
		check_eq(*(__u64 *)object[i], i);
		check(karena_usable_size(heap, object[i]) >= size);
		check_eq(karena_free(heap, object[i]), 0);
	}
	if (fast_of(heap)->magazines)
		check_eq(info_of(heap).live_objects, 0);
	free(object);
}

static bool is_near(unsigned int n, unsigned int room)
{
	return n + 2 > room && n < room + 2;
}

/* More and fewer than a magazine has room for, and each number of them around it. */
static void each_level(void)
{
	struct karena *heap = open_heap(WINDOW, 0, 0);
	unsigned int i, n, room;

	if (!heap)
		return;
	for (i = 0; i < SIZES && !tap_failed(); i++) {
		room = MIB / 8 / sizes[i] < KARENA_MAGAZINE_SLOTS ? MIB / 8 / sizes[i] :
		       KARENA_MAGAZINE_SLOTS;
		for (n = 0; n < 3 * room; n += is_near(n, room) ? 1 : 1 + room / 7)
			take_and_give(heap, sizes[i], n);
	}
	karena_close(heap);
}

/* Objects of one CPU's magazines make room for others on another one. */
static void room_for_others(void)
{
	struct karena *heap = open_heap(WINDOW, MIB, 0);
	static void *object[2 * MIB / 1024];
	unsigned int i, n;

	if (!heap || !has_magazines(heap))
		return;
	run_on(0);
	for (n = 0; n < ARRAY_SIZE(object) && (object[n] = karena_alloc(heap, 1024)); n++)
		;
	check_eq(errno, ENOMEM);
	for (i = 0; i < n; i++)
		karena_free(heap, object[i]);
	run_on(nr_cpus() - 1);
	for (i = 0; i < n / 2; i++)
		check(karena_alloc(heap, 2048));
	karena_close(heap);
}

/* Free already, inside of an object, no object at all: found by who looks at a slot. */
static void wrong_frees(void)
{
	struct karena *heap = open_heap(WINDOW, 0, 0);
	char *object;

	if (!heap || !has_magazines(heap))
		return;
	object = karena_alloc(heap, 64);
	check_eq(karena_free(heap, hide(object)), 0);
	check_eq(karena_free(heap, hide(object)), 0);
	flush_all(heap);
	check_eq(info_of(heap).rejects[KARENA_REJECT_DOUBLE], 1);
	object = karena_alloc(heap, 64);
	check_eq(karena_free(heap, hide(object + UNIT)), 0);
	flush_all(heap);
	check_eq(info_of(heap).rejects[KARENA_REJECT_INTERIOR], 1);
	check_eq(karena_free(heap, hide(object + 1)), -1);
	check_eq(info_of(heap).live_objects, 1);
	check_eq(karena_free(heap, object), 0);
	karena_close(heap);
}

/* --- whatever is written there --- */

static void scribble(struct karena *heap, struct rng *rng)
{
	struct karena_cpu_magazines *cpu = magazines_of(heap, rng_below(rng, nr_cpus()));
	struct karena_cpu_magazine *magazine = &cpu->magazine[rng_below(rng, KARENA_NR_MAGAZINES)];
	unsigned int i, begin = magazine->begin % (ARRAY_SIZE(cpu->slot) - KARENA_MAGAZINE_SLOTS);

	if (rng_below(rng, 2))
		magazine->top = rng_below(rng, 3) ?
				begin + rng_below(rng, KARENA_MAGAZINE_SLOTS + 1) : rng_next(rng);
	if (!rng_below(rng, 8))
		magazine->end = rng_next(rng);
	if (!rng_below(rng, 64))
		magazine->begin = rng_next(rng);
	for (i = rng_below(rng, KARENA_MAGAZINE_SLOTS); i--;)
		cpu->slot[begin + i] = rng_below(rng, 2) ? rng_below(rng, WINDOW / UNIT) :
				       rng_next(rng);
}

/* What is known to be ours, before and after, by calls that use no magazine. */
static void forged(void)
{
	struct karena *heap = open_heap(WINDOW, 0, 0), *checked;
	unsigned int i, rounds = tap_count(3000, 300000);
	struct karena_flush flush = { .size = sizeof(flush) };
	struct karena_fill fill = { .size = sizeof(fill) };
	struct rng rng;

	if (!heap || !has_magazines(heap))
		return;
	checked = open_heap(WINDOW, 0, KARENA_CHECKED_FREE);
	rng_init(&rng, 500);
	for (i = 0; i < rounds && !tap_failed(); i++) {
		scribble(heap, &rng);
		fill.magazine = rng_below(&rng, KARENA_NR_MAGAZINES + 2);
		flush.magazine = fill.magazine;
		flush.object = rng_below(&rng, 2) ? 0 : rng_next(&rng);
		if (rng_below(&rng, 2))
			kioctl(karena_fd(heap), KARENA_IOC_FILL, &fill);
		else
			kioctl(karena_fd(heap), KARENA_IOC_FLUSH, &flush);
	}
	flush_all(heap);
	check(info_of(heap).rejects[KARENA_REJECT_NOT_OBJECT] > 0);
	check(heap_adds_up(karena_fd(heap)));
	take_and_give(checked, 64, 100);
	karena_close(heap);
	karena_close(checked);
}

/* --- never twice --- */

#define STRESS_WINDOW	(64 * MIB)
#define PROCESSES	4u
#define THREADS		2u
#define HOLD		300u
#define KILLS_TOGETHER	50	/* the dead have at most some MiB */

/* Shared by processes: who has the object that begins at a unit of the window. */
struct board {
	struct karena *heap;
	unsigned int steps;
	bool over;
	__u32 owner[STRESS_WINDOW / UNIT];
};

struct player {
	struct board *board;
	struct rng rng;
	__u32 name;
	unsigned int nr;
	__u32 *object[HOLD];
};

/* Of this process, among those of a board; and how many of its threads have a name. */
static unsigned int process, nr_named;

static unsigned int process_of(__u32 name)
{
	return (name - 1) / THREADS;
}

static __u32 *owner_of(struct board *board, const void *object)
{
	return &board->owner[((char *)object - (char *)karena_base(board->heap)) / UNIT];
}

static __u32 *get_one(struct board *board, __u32 name, size_t size)
{
	__u32 *object = karena_alloc_flags(board->heap, size, KARENA_ALLOC_NOZERO), old = 0;

	if (!check(object))
		return NULL;
	if (!__atomic_compare_exchange_n(owner_of(board, object), &old, name, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		check_eq(old, 0);
	object[0] = name;
	object[size / 4 - 1] = name;
	return object;
}

static void put_one(struct board *board, __u32 name, __u32 *object)
{
	check_eq(*object, name);
	check_eq(__atomic_exchange_n(owner_of(board, object), 0, __ATOMIC_ACQ_REL), name);
	check_eq(karena_free(board->heap, object), 0);
}

static void step(struct player *p)
{
	unsigned int i = rng_below(&p->rng, HOLD);

	if (i < p->nr) {
		put_one(p->board, p->name, p->object[i]);
		p->object[i] = p->object[--p->nr];
		return;
	}
	p->object[p->nr] = get_one(p->board, p->name, sizes[rng_below(&p->rng, SIZES - 2)]);
	p->nr += !!p->object[p->nr];
}

static __thread struct player *self;

/* Comes at any instruction, and does the same. */
static void interrupt(int sig)
{
	int saved = errno;
	__u32 *object;

	(void)sig;
	if (self) {
		object = get_one(self->board, self->name, 64);
		if (object)
			put_one(self->board, self->name, object);
	}
	errno = saved;
}

static void *play(void *arg)
{
	struct board *board = arg;
	struct player player = { .board = board };
	unsigned int i;

	player.name = process * THREADS + __atomic_add_fetch(&nr_named, 1, __ATOMIC_RELAXED);
	rng_init(&player.rng, player.name);
	self = &player;
	for (i = 0; i < board->steps && !board->over && !tap_failed(); i++) {
		step(&player);
		if (!rng_below(&player.rng, 1000))
			run_on(rng_below(&player.rng, nr_cpus()));
		if (!rng_below(&player.rng, 300))
			sched_yield();
		/* All of them are emptied, and begin with a few, while others are at it. */
		if (fast_of(board->heap)->magazines && !rng_below(&player.rng, 5000))
			flush_all(board->heap);
	}
	self = NULL;
	while (player.nr)
		put_one(board, player.name, player.object[--player.nr]);
	return NULL;
}

static void play_together(void *arg)
{
	struct itimerval often = { { 0, 1500 }, { 0, 1500 } };
	struct sigaction act = { .sa_handler = interrupt, .sa_flags = SA_RESTART };
	pthread_t thread[THREADS];
	unsigned int i;

	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (i = 0; i < THREADS; i++)
		check(!pthread_create(&thread[i], NULL, play, arg));
	for (i = 0; i < THREADS; i++)
		check(!pthread_join(thread[i], NULL));
}

static pid_t fork_process(struct board *board, unsigned int number)
{
	process = number;
	return tap_fork(play_together, board);
}

static struct board *new_board(unsigned int steps, __u64 flags)
{
	struct board *board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (!check(board != MAP_FAILED))
		return NULL;
	board->heap = open_heap(STRESS_WINDOW, 0, flags);
	board->steps = steps;
	return board->heap ? board : NULL;
}

static void delete_board(struct board *board)
{
	karena_close(board->heap);
	munmap(board, sizeof(*board));
}

static void never_twice(void)
{
	struct board *board = new_board(tap_count(100000, 12500000), 0);
	pid_t pid[PROCESSES];
	unsigned int i;

	if (!board)
		return;
	for (i = 0; i < PROCESSES; i++)
		pid[i] = fork_process(board, i);
	for (i = 0; i < PROCESSES; i++)
		check(tap_join(pid[i]));
	flush_all(board->heap);
	if (fast_of(board->heap)->magazines)
		check_eq(info_of(board->heap).live_objects, 0);
	for (i = 0; i < KARENA_NR_REJECT; i++)
		check_eq(info_of(board->heap).rejects[i], 0);
	delete_board(board);
}

/* Frees what those of @nr have who are dead: all but the last PROCESSES. */
static void free_of_dead(struct board *board, unsigned int nr)
{
	char *base = karena_base(board->heap);
	unsigned int i;
	__u32 name;

	for (i = 0; i < ARRAY_SIZE(board->owner); i++) {
		name = __atomic_load_n(&board->owner[i], __ATOMIC_ACQUIRE);
		if (!name || process_of(name) + PROCESSES >= nr)
			continue;
		__atomic_store_n(&board->owner[i], 0, __ATOMIC_RELEASE);
		check_eq(karena_free(board->heap, base + (__u64)i * UNIT), 0);
	}
}

/* Of who is killed only what he is about to take or give is lost. */
static void killed(void)
{
	struct board *board = new_board(-1, 0);
	unsigned int i, kills = tap_count(100, 5000);
	pid_t pid[PROCESSES];
	struct rng rng;
	int status;

	if (!board || !has_magazines(board->heap))
		return;
	rng_init(&rng, 501);
	for (i = 0; i < PROCESSES; i++)
		pid[i] = fork_process(board, i);
	for (i = 0; i < kills && !tap_failed(); i++) {
		usleep(rng_below(&rng, 8000));
		kill(pid[i % PROCESSES], SIGKILL);
		check_eq(waitpid(pid[i % PROCESSES], &status, 0), pid[i % PROCESSES]);
		check(WIFSIGNALED(status));
		pid[i % PROCESSES] = fork_process(board, PROCESSES + i);
		if (i % KILLS_TOGETHER == 0)
			free_of_dead(board, PROCESSES + i + 1);
	}
	board->over = true;
	for (i = 0; i < PROCESSES; i++)
		check(tap_join(pid[i]));
	free_of_dead(board, -1);
	flush_all(board->heap);
	tap_diag("%llu objects lost by %u kills", info_of(board->heap).live_objects, kills);
	check(info_of(board->heap).live_objects <= 4ULL * kills * THREADS);
	for (i = 0; i < KARENA_NR_REJECT; i++)
		check_eq(info_of(board->heap).rejects[i], 0);
	delete_board(board);
}

/* --- collected --- */

static void cached_objects_are_kept(void)
{
	struct karena *heap = open_heap(WINDOW, 0, KARENA_COLLECT);
	struct karena_gc_info gc = { .size = sizeof(gc) };
	struct karena_collect req = { .size = sizeof(req), .flags = KARENA_COLLECT_WAIT };
	unsigned int i, n;
	__u64 cached = 0;

	if (!heap || !has_magazines(heap))
		return;
	check(gc_check(karena_fd(heap)));
	for (i = 0; i < SIZES; i++)
		check_eq(karena_free(heap, karena_alloc(heap, sizes[i])), 0);
	/* The kernel's own caches are empty after the first one. */
	for (i = 0; i < 4; i++) {
		check_ret(kioctl(karena_fd(heap), KARENA_IOC_COLLECT, &req), 0);
		if (!i)
			cached = info_of(heap).cached_bytes;
	}
	check(cached > 0);
	check_eq(info_of(heap).cached_bytes, cached);
	for (i = 0; i < SIZES; i++)
		for (n = 0; n < 3; n++)
			check(is_clear(karena_alloc(heap, sizes[i]), sizes[i]));
	/* And not for good. */
	check_eq(karena_gc(heap), 0);
	check_eq(karena_gc(heap), 0);
	check(info_of(heap).live_objects < 4);
	check_eq(karena_gc_stats(heap, &gc), 0);
	check_eq(gc.lost, 0);
	karena_close(heap);
}

static void collect_all_the_time(void *arg)
{
	struct board *board = arg;
	struct karena_collect req = { .size = sizeof(req), .flags = KARENA_COLLECT_WAIT };

	while (!__atomic_load_n(&board->over, __ATOMIC_RELAXED))
		check_ret(kioctl(karena_fd(board->heap), KARENA_IOC_COLLECT, &req), 0);
}

/* What the players hold is on their stacks. */
static void never_twice_while_collected(void)
{
	struct board *board = new_board(tap_count(20000, 1000000), KARENA_COLLECT);
	struct karena_gc_info gc = { .size = sizeof(gc) };
	pid_t pid[PROCESSES], collector;
	unsigned int i;

	if (!board)
		return;
	collector = tap_fork(collect_all_the_time, board);
	for (i = 0; i < PROCESSES; i++)
		pid[i] = fork_process(board, i);
	for (i = 0; i < PROCESSES; i++)
		check(tap_join(pid[i]));
	__atomic_store_n(&board->over, true, __ATOMIC_RELAXED);
	check(tap_join(collector));
	check_eq(karena_gc_stats(board->heap, &gc), 0);
	tap_diag("%llu cycles", gc.cycles);
	check_eq(gc.lost, 0);
	for (i = 0; i < KARENA_NR_REJECT; i++)
		check_eq(info_of(board->heap).rejects[i], 0);
	delete_board(board);
}

static const struct tap_case cases[] = {
	{ "magazines at each level", each_level },
	{ "what one CPU has makes room for another", room_for_others },
	{ "wrong frees are found later", wrong_frees },
	{ "forged magazines", forged },
	{ "nothing is handed out twice", never_twice },
	{ "whoever is killed", killed },
	{ "what is cached is kept by a collection", cached_objects_are_kept },
	{ "and handed out once", never_twice_while_collected },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
