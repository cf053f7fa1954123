// SPDX-License-Identifier: GPL-2.0
/*
 * Several processes share a collected heap and change their parts of it by plain
 * stores of all kinds (graph.c), while cycles run all the time.  They send each other
 * all they have or something new, through words in the heap and in shared memory;
 * they fork, and the child goes on with what it has inherited; they begin anew by
 * exec, with what they have left in the heap for themselves; they exit, and are
 * killed.  What the oracle of each knows is whole whenever it looks.  When all are
 * gone nothing is left.
 *
 * The first process keeps the mailboxes alive, and reads none of them: no word of its
 * stack can be what keeps something alive in the end.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
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

#define WORKERS 4
#define BOARD_FD 100
#define HEAP_FD 101

/* What they do besides changing their part. */
enum { SENDS, RECEIVES, VERIFIES, FORKS, EXECS, EXITS, COLLECTS, NR_DEEDS };

static const char *const deeds[NR_DEEDS] = {
	"sent", "received", "verified", "forked", "called exec", "exited", "collected",
};

/* Shared by all; after exec as well. */
struct board {
	/* A range of the first process: mail to each from each, some of it in the heap. */
	struct elem *mail[WORKERS][WORKERS];
	struct elem **heap_mail;
	char not_searched[0];
	struct heap heap;
	__u32 type;
	__u32 tags;
	__u32 ends;
	pid_t first;
	pid_t pid[WORKERS];
	__u32 steps[WORKERS];
	__u64 done[NR_DEEDS];
};

struct worker {
	struct board *board;
	unsigned int nr;
	struct graph *graph;
};

static void count(struct worker *worker, unsigned int deed)
{
	__atomic_add_fetch(&worker->board->done[deed], 1, __ATOMIC_RELAXED);
}

/* What @from has sent to @to; one that is both leaves it for the time after exec. */
static struct elem **mailbox(struct board *board, unsigned int to, unsigned int from)
{
	if ((to + from) % 2)
		return &board->mail[to][from];
	return &board->heap_mail[to * WORKERS + from];
}

static void leave(struct worker *worker)
{
	graph_verify(worker->graph);
	_exit(tap_failed() ? 1 : 0);
}

static void send_some(struct worker *worker, struct rng *rng)
{
	unsigned int to = rng_below(rng, WORKERS);
	struct elem **box = mailbox(worker->board, to, worker->nr);

	if (to == worker->nr || __atomic_load_n(box, __ATOMIC_ACQUIRE))
		return;
	if (graph_send(worker->graph, !rng_below(rng, 8), box))
		count(worker, SENDS);
}

static void receive(struct worker *worker, unsigned int from)
{
	struct elem **box = mailbox(worker->board, worker->nr, from);

	if (!__atomic_load_n(box, __ATOMIC_ACQUIRE))
		return;
	graph_receive(worker->graph, box);
	count(worker, RECEIVES);
}

static void verify(struct worker *worker)
{
	graph_verify(worker->graph);
	count(worker, VERIFIES);
}

static void collect(struct worker *worker, struct rng *rng)
{
	struct karena_step step = { .size = sizeof(step), .ns = rng_below(rng, 200000) };
	struct karena_collect req = { .size = sizeof(req), .flags = rng_below(rng, 2) };

	if (rng_below(rng, 2))
		check_ret(kioctl(worker->board->heap.fd, KARENA_IOC_COLLECT, &req), 0);
	else
		check_ret(kioctl(worker->board->heap.fd, KARENA_IOC_STEP, &step), 0);
	count(worker, COLLECTS);
}

/* Until the parent has said that this one is the worker now. */
static void be_worker(struct worker *worker, pid_t parent)
{
	pid_t *pid = &worker->board->pid[worker->nr];
	bool orphan;

	do {
		orphan = getppid() != parent;
		if (__atomic_load_n(pid, __ATOMIC_ACQUIRE) == getpid())
			return;
		sched_yield();
	} while (!orphan);
	_exit(0);
}

/* The child goes on and the parent ends, or the child looks at what it has and ends. */
static void fork_worker(struct worker *worker, bool go_on)
{
	pid_t parent = getpid(), pid = fork();

	if (!check(pid >= 0))
		return;
	if (!pid && !go_on)
		leave(worker);
	if (!pid) {
		be_worker(worker, parent);
		verify(worker);
		return;
	}
	count(worker, FORKS);
	if (!go_on) {
		tap_join(pid);
		return;
	}
	__atomic_store_n(&worker->board->pid[worker->nr], pid, __ATOMIC_RELEASE);
	_exit(tap_failed() ? 1 : 0);
}

static void exec_worker(struct worker *worker, struct rng *rng)
{
	struct elem **box = mailbox(worker->board, worker->nr, worker->nr);
	char nr[16], seed[32];

	if (tap_failed() || __atomic_load_n(box, __ATOMIC_ACQUIRE) ||
	    !graph_send(worker->graph, true, box))
		return;
	count(worker, EXECS);
	snprintf(nr, sizeof(nr), "%u", worker->nr);
	snprintf(seed, sizeof(seed), "%llu", rng_next(rng));
	execl("/proc/self/exe", "t_processes", nr, seed, NULL);
	check(!"exec");
}

static void exit_worker(struct worker *worker)
{
	count(worker, EXITS);
	leave(worker);
}

static bool ends(const struct board *board)
{
	return __atomic_load_n(&board->ends, __ATOMIC_RELAXED) || kill(board->first, 0);
}

static void do_something(struct worker *worker, struct rng *rng)
{
	switch (rng_below(rng, 1024)) {
	case 0 ... 15:
		send_some(worker, rng);
		break;
	case 16 ... 31:
		receive(worker, rng_below(rng, WORKERS));
		break;
	case 32 ... 39:
		verify(worker);
		break;
	case 40 ... 42:
		collect(worker, rng);
		break;
	case 43 ... 44:
		fork_worker(worker, rng_below(rng, 2));
		break;
	case 45:
		exec_worker(worker, rng);
		break;
	case 46:
		if (!rng_below(rng, 4))
			exit_worker(worker);
		break;
	default:
		graph_step(worker->graph);
	}
}

static void work(struct worker *worker, struct rng *rng)
{
	struct board *board = worker->board;
	__u32 tag = __atomic_add_fetch(&board->tags, 1, __ATOMIC_RELAXED);

	worker->graph = graph_new(board->heap.fd, board->type, tag, rng);
	if (!worker->graph)
		return;
	receive(worker, worker->nr);
	while (!ends(board) && !tap_failed()) {
		do_something(worker, rng);
		__atomic_add_fetch(&board->steps[worker->nr], 1, __ATOMIC_RELAXED);
	}
	leave(worker);
}

/* After exec: the descriptors are what is left. */
static int begin_anew(char **argv)
{
	struct worker worker = { .nr = atoi(argv[1]) };
	struct rng rng = { strtoull(argv[2], NULL, 10) };
	struct heap heap;

	worker.board = mmap(NULL, sizeof(*worker.board), PROT_READ | PROT_WRITE, MAP_SHARED,
			    BOARD_FD, 0);
	if (!check(worker.board != MAP_FAILED))
		return 1;
	heap = worker.board->heap;
	if (!check_ret(heap_map(&heap), 0))
		return 1;
	work(&worker, &rng);
	return 1;
}

/* --- the first process --- */

static void start(void *arg)
{
	struct worker *worker = arg;
	struct rng rng;

	be_worker(worker, worker->board->first);
	rng_init(&rng, 1000 + __atomic_load_n(&worker->board->tags, __ATOMIC_RELAXED));
	work(worker, &rng);
}

static void start_worker(struct board *board, unsigned int nr)
{
	struct worker worker = { .board = board, .nr = nr };

	__atomic_store_n(&board->pid[nr], tap_fork(start, &worker), __ATOMIC_RELEASE);
}

/* Takes note of who has ended; false if there is nobody. */
static bool reap(struct board *board, int flags)
{
	int status = 0;
	pid_t pid = waitpid(-1, &status, flags);
	unsigned int i;

	if (pid <= 0)
		return false;
	if (WIFSIGNALED(status))
		check_eq(WTERMSIG(status), SIGKILL);
	else
		check_eq(WEXITSTATUS(status), 0);
	for (i = 0; i < WORKERS; i++)
		if (board->pid[i] == pid)
			board->pid[i] = 0;
	return true;
}

static void keep_working(struct board *board)
{
	unsigned int i;

	while (reap(board, WNOHANG))
		;
	for (i = 0; i < WORKERS && !tap_failed(); i++)
		if (!board->pid[i])
			start_worker(board, i);
}

/* Until a worker, whoever it is by then, has made some steps. */
static void let_work(struct board *board, unsigned int nr, __u32 steps)
{
	__u32 before = __atomic_load_n(&board->steps[nr], __ATOMIC_RELAXED);

	while (__atomic_load_n(&board->steps[nr], __ATOMIC_RELAXED) - before < steps &&
	       !tap_failed()) {
		keep_working(board);
		sched_yield();
	}
}

static void set_params(struct board *board, struct rng *rng)
{
	static const __s32 percents[] = { -1, 10, 50, 100, 400 };
	static const __u32 slices[] = { 10, 100, 1000, 20000 };
	struct karena_gc_control control;

	if (!gc_get(board->heap.fd, &control))
		return;
	control.percent = percents[rng_below(rng, ARRAY_SIZE(percents))];
	control.slice_us = slices[rng_below(rng, ARRAY_SIZE(slices))];
	control.workers = rng_below(rng, 3);
	control.min_heap = rng_below(rng, 4) * MIB;
	control.share = 1 + rng_below(rng, 100);
	control.assist_us = rng_below(rng, 2) * 500;
	control.period_ms = rng_below(rng, 2) * 20;
	control.check = rng_below(rng, 2);
	gc_set(board->heap.fd, &control);
}

static void disturb(struct board *board, struct rng *rng)
{
	unsigned int nr = rng_below(rng, WORKERS);
	struct karena_collect req = { .size = sizeof(req) };

	let_work(board, nr, rng_below(rng, 600));
	switch (rng_below(rng, 8)) {
	case 0 ... 1:
		spin_at_random(rng, 20000);
		if (board->pid[nr])
			kill(board->pid[nr], SIGKILL);
		break;
	case 2:
		check_ret(kioctl(board->heap.fd, KARENA_IOC_COLLECT, &req), 0);
		break;
	case 3:
		set_params(board, rng);
		break;
	default:
		check_ret(heap_collect(board->heap.fd), 0);
	}
}

/* In a child, whose stack goes with it. */
static void make_mailboxes(void *arg)
{
	struct board *board = arg;

	board->heap_mail = as_ptr(heap_new(board->heap.fd,
					   WORKERS * WORKERS * sizeof(struct elem *), 0));
	check(board->heap_mail);
}

/* NULL when it failed. */
static struct board *new_board(void)
{
	int fd = memfd_create("board", 0);
	struct board *board;

	if (!check(fd >= 0) || !check(!ftruncate(fd, sizeof(*board))) ||
	    !check_eq(dup2(fd, BOARD_FD), BOARD_FD))
		return NULL;
	close(fd);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, BOARD_FD, 0);
	if (!check(board != MAP_FAILED) || !heap_open_collected(&board->heap, WINDOW, 0))
		return NULL;
	/* One that exec leaves open. */
	if (!check_eq(dup2(board->heap.fd, HEAP_FD), HEAP_FD))
		return NULL;
	close(board->heap.fd);
	board->heap.fd = HEAP_FD;
	board->type = graph_type(HEAP_FD);
	board->first = getpid();
	if (!check_ret(heap_root(HEAP_FD, board, offsetof(struct board, not_searched), 0), 0) ||
	    !tap_isolate(make_mailboxes, board))
		return NULL;
	return board;
}

/* Nobody is left, and with the mailboxes goes all that there is. */
static void nothing_is_left(struct board *board)
{
	struct karena_heap_info own;
	struct karena_gc_info info;

	memset(board, 0, offsetof(struct board, not_searched));
	check_ret(heap_collect(HEAP_FD), 0);
	check_ret(heap_collect(HEAP_FD), 0);
	check_ret(heap_info(HEAP_FD, 0, 0, &own), 0);
	check_eq(own.live_objects, 0);
	check_eq(own.live_bytes, 0);
	heap_adds_up(HEAP_FD);
	gc_info(HEAP_FD, &info);
	check_eq(info.lost, 0);
	tap_diag("%llu cycles, %llu put off; %llu objects, %llu freed by calls", info.cycles,
		 info.put_off, own.allocs, own.frees - info.freed_objects);
}

static void report(const struct board *board)
{
	unsigned int i;
	__u64 steps = 0;

	for (i = 0; i < WORKERS; i++)
		steps += board->steps[i];
	tap_diag("%llu steps of %u processes", steps, board->tags);
	for (i = 0; i < NR_DEEDS; i++)
		tap_diag("%s %llu times", deeds[i], board->done[i]);
}

static void share_and_change(void)
{
	unsigned int rounds = tap_count(50, 5000), i;
	struct karena_info before;
	struct board *board;
	struct rng rng;

	rng_init(&rng, 1);
	if (!check(!prctl(PR_SET_CHILD_SUBREAPER, 1)) || !user_numbers(&before))
		return;
	board = new_board();
	if (!board)
		return;
	for (i = 0; i < rounds && !tap_failed(); i++)
		disturb(board, &rng);
	__atomic_store_n(&board->ends, 1, __ATOMIC_RELAXED);
	while (reap(board, 0))
		;
	report(board);
	nothing_is_left(board);
	heap_close(&board->heap);
	munmap(board, sizeof(*board));
	user_back_to(&before);
}

static const struct tap_case cases[] = {
	{ "processes that share a heap and change it", share_and_change },
};

int main(int argc, char **argv)
{
	if (argc == 3)
		return begin_anew(argv);
	return tap_main(cases, ARRAY_SIZE(cases));
}
