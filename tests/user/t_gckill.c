// SPDX-License-Identifier: GPL-2.0
/*
 * Processes are killed at random moments in a heap that is collected all the time,
 * while they allocate, store, free, fault, begin cycles, stand in a stop, change
 * their ranges, mappings and descriptors, fork, or end threads.  Survivors work on
 * meanwhile.  After each batch they rest: what they have is whole, and it is all
 * there is, to the object: what only the dead could reach is gone.
 *
 * No stale word keeps anything alive: survivors work in a thread that has ended when
 * they rest, and the killer never sees an address of an object.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "graph.h"
#include "heap.h"
#include "kill.h"
#include "tap.h"

#define SURVIVORS 2
#define VICTIMS 3
#define BATCH 24
#define LIMIT (192 * MIB)

/* Shared by all, and not searched. */
struct stage {
	struct heap heap;
	__u32 type;
	__u32 tags;
	/* Batches that have begun and ended; survivors rest between. */
	__u32 begun;
	__u32 ended;
	__u32 rest[SURVIVORS];
	__u32 objects[SURVIVORS];
	__u32 survivor_steps[SURVIVORS];
	__u32 steps[VICTIMS];
	bool over;
};

struct victim {
	struct stage *stage;
	unsigned int nr;
	__u32 tag;
};

static void steps(struct victim *victim, unsigned int nr)
{
	__atomic_add_fetch(&victim->stage->steps[victim->nr], nr, __ATOMIC_RELAXED);
}

static void step(struct victim *victim)
{
	steps(victim, 1);
}

/* --- what victims do until they die --- */

static void change_graph(struct victim *v, struct rng *rng)
{
	struct graph *graph = graph_new(v->stage->heap.fd, v->stage->type, v->tag, rng);

	while (graph) {
		graph_step(graph);
		step(v);
	}
}

/*
 * Many at a time, of all kinds; some are freed, while the stack has them.  None that
 * are packed: a block that has room is kept for the next one.
 */
static void allocate_in_bulk(struct victim *v, struct rng *rng)
{
	int fd = v->stage->heap.fd, ret;
	__u64 addrs[1000], size;
	__u32 nr;

	for (;;) {
		size = 16 << rng_below(rng, 8);
		nr = 1 + rng_below(rng, 64 * KIB / size < 1000 ? 64 * KIB / size : 1000);
		step(v);
		if (size >= 128 && rng_below(rng, 2))
			ret = heap_alloc_type(fd, v->stage->type, size, 0, nr, addrs);
		else
			ret = heap_alloc(fd, size, rng_below(rng, 2) ? KARENA_ALLOC_NOSCAN : 0,
					 nr, addrs);
		if (!ret && rng_below(rng, 2))
			heap_free(fd, addrs, nr, NULL);
	}
}

/* Large ones: each page is a fault, and a first write. */
static void fault_in_pages(struct victim *v, struct rng *rng)
{
	__u64 size, at, addr;

	for (;;) {
		size = 32 * KIB + rng_below(rng, 512) * KIB;
		addr = heap_new(v->stage->heap.fd, size, 0);
		for (at = 0; addr && at < size; at += 4096) {
			*(__u64 *)as_ptr(addr + at) = addr;
			step(v);
		}
	}
}

static void collect(struct victim *v, struct rng *rng)
{
	struct karena_collect req = { .size = sizeof(req) };
	struct karena_step work = { .size = sizeof(work) };

	for (;;) {
		heap_new(v->stage->heap.fd, 100, 0);
		req.flags = rng_below(rng, 2);
		kioctl(v->stage->heap.fd, KARENA_IOC_COLLECT, &req);
		work.ns = rng_below(rng, 100000);
		kioctl(v->stage->heap.fd, KARENA_IOC_STEP, &work);
		/* It takes long. */
		steps(v, 20);
	}
}

/* In user mode, to be stopped there. */
static void spin(struct victim *v, struct rng *rng)
{
	volatile __u64 hold = heap_new(v->stage->heap.fd, 1000, 0);

	for (;;) {
		spin_at_random(rng, 3000);
		hold++;
		step(v);
	}
}

static void change_ranges(struct victim *v, struct rng *rng)
{
	static __u64 words[1024];
	int fd = v->stage->heap.fd;
	unsigned int i;

	for (;;) {
		i = rng_below(rng, 1000);
		words[i] = heap_new(fd, 64, 0);
		if (!heap_root(fd, &words[i], 64, 0) && rng_below(rng, 2))
			heap_root(fd, &words[i], 64, KARENA_ROOT_DEL);
		step(v);
	}
}

static void change_mappings(struct victim *v, struct rng *rng)
{
	struct heap heap = v->stage->heap;
	int fd, old = -1;

	for (;;) {
		step(v);
		munmap(heap.objects, heap.window);
		fd = heap_share(heap.fd, rng_below(rng, 4) ? 0 : KARENA_SHARE_RDONLY);
		close(old);
		old = fd;
		if (map_failed(map_objects(heap.fd, 0, heap.window, PROT_READ | PROT_WRITE,
					   MAP_SHARED)))
			break;
		memset(as_ptr(heap_new(heap.fd, 512, 0)), 1, 512);
	}
	pause();
}

static void fork_children(struct victim *v, struct rng *rng)
{
	struct graph *graph = graph_new(v->stage->heap.fd, v->stage->type, v->tag, rng);
	unsigned int i;
	pid_t pid;

	while (graph) {
		for (i = 0; i < 20; i++)
			graph_step(graph);
		step(v);
		pid = fork();
		if (!pid) {
			graph_verify(graph);
			_exit(tap_failed() ? 1 : 0);
		}
		/* Until then both have the same objects. */
		waitpid(pid, NULL, 0);
	}
}

static void *one_thread(void *arg)
{
	struct victim *v = arg;
	unsigned int i;

	for (i = 0; i < 5; i++) {
		memset(as_ptr(heap_new(v->stage->heap.fd, 300, 0)), 1, 300);
		step(v);
	}
	return NULL;
}

static void end_threads(struct victim *v, struct rng *rng)
{
	pthread_t thread[3];
	unsigned int i, nr;

	for (;;) {
		nr = 1 + rng_below(rng, ARRAY_SIZE(thread));
		for (i = 0; i < nr; i++)
			if (pthread_create(&thread[i], NULL, one_thread, v))
				abort();
		for (i = 0; i < nr; i++)
			pthread_join(thread[i], NULL);
	}
}

static void die(void *arg)
{
	static void (*const ways[])(struct victim *v, struct rng *rng) = {
		change_graph, change_graph, allocate_in_bulk, fault_in_pages, collect, spin,
		change_ranges, change_mappings, fork_children, end_threads,
	};
	struct victim *v = arg;
	struct rng rng;

	/* Its children are found by that. */
	setpgid(0, 0);
	rng_init(&rng, 1000 + v->tag);
	ways[rng_below(&rng, ARRAY_SIZE(ways))](v, &rng);
}

/* --- survivors --- */

struct survivor {
	struct stage *stage;
	unsigned int nr;
	struct graph *graph;
};

static void *survive(void *arg)
{
	struct survivor *s = arg;
	struct stage *stage = s->stage;

	while (__atomic_load_n(&stage->ended, __ATOMIC_ACQUIRE) !=
	       __atomic_load_n(&stage->begun, __ATOMIC_ACQUIRE) && !tap_failed()) {
		graph_step(s->graph);
		__atomic_add_fetch(&stage->survivor_steps[s->nr], 1, __ATOMIC_RELAXED);
	}
	graph_verify(s->graph);
	if (stage->over)
		graph_drop(s->graph);
	stage->objects[s->nr] = graph_count(s->graph);
	return NULL;
}

static void live_through_it(void *arg)
{
	struct survivor *s = arg;
	struct stage *stage = s->stage;
	pthread_t thread;
	struct rng rng;
	__u32 batch = 0;

	rng_init(&rng, 10 + s->nr);
	s->graph = graph_new(stage->heap.fd, stage->type, 1 + s->nr, &rng);
	while (s->graph && !stage->over && !tap_failed()) {
		while (__atomic_load_n(&stage->begun, __ATOMIC_ACQUIRE) == batch)
			sched_yield();
		batch++;
		if (!check(!pthread_create(&thread, NULL, survive, s)))
			return;
		pthread_join(thread, NULL);
		__atomic_store_n(&stage->rest[s->nr], batch, __ATOMIC_RELEASE);
	}
	while (s->graph && !tap_failed())
		pause();
}

/* --- the killer --- */

static bool all_rest(const struct stage *stage, const pid_t *pid)
{
	siginfo_t info;
	unsigned int i;

	for (i = 0; i < SURVIVORS; i++) {
		while (__atomic_load_n(&stage->rest[i], __ATOMIC_ACQUIRE) != stage->ended) {
			info.si_pid = 0;
			if (waitid(P_PID, pid[i], &info, WEXITED | WNOHANG | WNOWAIT) ||
			    info.si_pid)
				return check(!"survivors survive");
			sched_yield();
		}
	}
	return true;
}

static __u64 live_objects(int fd)
{
	struct karena_heap_info own;

	return check_ret(heap_info(fd, 0, 0, &own), 0) ? own.live_objects : 0;
}

/* All that is alive is what survivors have. */
static void look(struct stage *stage)
{
	struct karena_gc_info info;
	__u64 want = 0;
	unsigned int i;

	for (i = 0; i < SURVIVORS; i++)
		want += stage->objects[i];
	check_ret(heap_collect(stage->heap.fd), 0);
	check_ret(heap_collect(stage->heap.fd), 0);
	check_eq(live_objects(stage->heap.fd), want);
	gc_check(stage->heap.fd);
	check_ret(heap_collect(stage->heap.fd), 0);
	heap_adds_up(stage->heap.fd);
	gc_info(stage->heap.fd, &info);
	check_eq(info.lost, 0);
}

static void set_params(struct stage *stage, struct rng *rng)
{
	static const __s32 percents[] = { -1, 20, 100 };
	struct karena_gc_control control;

	if (!gc_get(stage->heap.fd, &control))
		return;
	control.percent = percents[rng_below(rng, ARRAY_SIZE(percents))];
	control.min_heap = rng_below(rng, 4) * MIB;
	control.period_ms = 1 + rng_below(rng, 20);
	control.slice_us = 10 << rng_below(rng, 10);
	control.workers = rng_below(rng, 3);
	control.check = 0;
	gc_set(stage->heap.fd, &control);
}

static void start_victim(struct victim *victim, pid_t *pid)
{
	victim->tag = 100 + victim->stage->tags++;
	*pid = tap_fork(die, victim);
}

/* The victim, and what it has forked. */
static void bury(pid_t pid)
{
	int status;

	reap_killed(pid);
	while (waitpid(-pid, &status, 0) > 0)
		check(!status);
}

/* Survivors do not end because of a batch. */
static bool kill_batch(struct stage *stage, struct rng *rng, unsigned int kills,
		       const pid_t *survivor)
{
	struct victim victim[VICTIMS];
	pid_t pid[VICTIMS];
	unsigned int i;

	set_params(stage, rng);
	__atomic_store_n(&stage->begun, stage->begun + 1, __ATOMIC_RELEASE);
	for (i = 0; i < VICTIMS; i++) {
		victim[i] = (struct victim){ .stage = stage, .nr = i };
		start_victim(&victim[i], &pid[i]);
	}
	for (; kills; kills--) {
		i = rng_below(rng, VICTIMS);
		kill_at_random(rng, &stage->steps[i], pid[i]);
		bury(pid[i]);
		start_victim(&victim[i], &pid[i]);
	}
	for (i = 0; i < VICTIMS; i++) {
		kill_at_random(rng, &stage->steps[i], pid[i]);
		bury(pid[i]);
	}
	__atomic_store_n(&stage->ended, stage->begun, __ATOMIC_RELEASE);
	return all_rest(stage, survivor);
}

/* Spans that are left have something in magazines, or are one for the next object. */
static void spans_are_back(int fd)
{
	struct karena_class_stat stats[2 * KARENA_NR_CLASSES];
	__u32 nr = 0, i;

	if (!check_ret(heap_classes(fd, 0, stats, ARRAY_SIZE(stats), &nr), 0))
		return;
	for (i = 0; i < nr; i++) {
		check_eq(stats[i].live_objects, 0);
		check(stats[i].spans <= stats[i].cached_objects + 1);
		if (!stats[i].object_size)
			check_eq(stats[i].spans, 0);
	}
}

static struct stage *new_stage(void)
{
	struct stage *stage = shared_memory(sizeof(*stage));

	if (!stage || !check(!prctl(PR_SET_CHILD_SUBREAPER, 1)) ||
	    !heap_open_collected(&stage->heap, WINDOW, LIMIT))
		return NULL;
	stage->type = graph_type(stage->heap.fd);
	return stage;
}

static void killed_in_a_collected_heap(void)
{
	unsigned int batches = tap_count(4, 10000 / BATCH + 1), i;
	struct survivor survivor[SURVIVORS];
	pid_t pid[SURVIVORS];
	struct karena_info before;
	struct stage *stage;
	struct rng rng;

	rng_init(&rng, 1);
	if (!user_numbers(&before))
		return;
	stage = new_stage();
	if (!stage)
		return;
	for (i = 0; i < SURVIVORS; i++) {
		survivor[i] = (struct survivor){ .stage = stage, .nr = i };
		pid[i] = tap_fork(live_through_it, &survivor[i]);
	}
	for (i = 0; i < batches && !tap_failed(); i++) {
		stage->over = i == batches - 1;
		if (kill_batch(stage, &rng, BATCH - VICTIMS, pid))
			look(stage);
	}
	tap_diag("%u killed, %u and %u steps of survivors", stage->tags,
		 stage->survivor_steps[0], stage->survivor_steps[1]);
	spans_are_back(stage->heap.fd);
	for (i = 0; i < SURVIVORS; i++) {
		kill(pid[i], SIGKILL);
		reap_killed(pid[i]);
	}
	heap_close(&stage->heap);
	munmap(stage, sizeof(*stage));
	user_back_to(&before);
}

static const struct tap_case cases[] = {
	{ "killed in a heap that is collected", killed_in_a_collected_heap },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
