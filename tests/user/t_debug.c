// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps that are collected while others than their threads read and write them: disks
 * (O_DIRECT), debuggers, other processes through system calls, core dumps.
 *
 * A table has each reference once.  Whoever moves one writes it to its new place
 * before it is taken from the old one, as for a moment a stranger's copy counts for
 * nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap.h"
#include "model.h"
#include "tap.h"

#define PAGE 4096
#define SLOTS (2 * PAGE / sizeof(void *))
#define USED (SLOTS / 2)

struct node {
	struct node *self;
	__u64 number;
};

/* In memory that the processes of a case share, and that is no root but for @table. */
struct shared {
	struct heap heap;
	struct node **table;
	__u64 over;
	__u64 moved;			/* nobody moves anything any more */
	pid_t pid;
};

static struct node *node_new(int fd, __u64 number)
{
	struct node *node = as_ptr(heap_new(fd, sizeof(*node), 0));

	if (node)
		*node = (struct node){ node, number };
	return node;
}

static bool node_is_whole(const struct node *node)
{
	return node && node->self == node && node->number < USED;
}

/* Slots of a table: each node once. */
static void table_is_whole(struct node **table, unsigned int nr)
{
	char seen[USED] = { 0 };
	unsigned int i, n = 0;

	for (i = 0; i < nr; i++) {
		if (!table[i])
			continue;
		if (!node_is_whole(table[i]) || seen[table[i]->number]++) {
			check(!"each object is whole, and there once");
			return;
		}
		n++;
	}
	check_eq(n, USED);
}

static void fill_table(void *arg)
{
	struct shared *s = arg;
	unsigned int i;

	s->table = as_ptr(heap_new(s->heap.fd, SLOTS * sizeof(*s->table), 0));
	for (i = 0; check(s->table) && i < USED; i++)
		s->table[i] = node_new(s->heap.fd, i);
}

/* A heap with a table that is a root. */
static struct shared *setup(void)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (!check(s != MAP_FAILED) || !heap_open_collected(&s->heap, WINDOW, 0))
		return NULL;
	check_ret(heap_root(s->heap.fd, &s->table, sizeof(s->table), 0), 0);
	tap_isolate(fill_table, s);
	return s;
}

static void teardown(struct shared *s)
{
	heap_close(&s->heap);
	munmap(s, sizeof(*s));
}

static bool goes_on(const struct shared *s)
{
	return !__atomic_load_n(&s->over, __ATOMIC_RELAXED) && !tap_failed();
}

static void collect_and_end(struct shared *s, unsigned int cycles)
{
	unsigned int i;

	for (i = 0; i < cycles && !tap_failed(); i++)
		check_ret(heap_collect(s->heap.fd), 0);
	__atomic_store_n(&s->over, 1, __ATOMIC_RELAXED);
}

/* --- disks --- */

/*
 * One half of the table is saved in the other, read over with zeros from a disk, and
 * put back: the references are in one of them at any time.
 */
static void read_over(void *arg)
{
	struct shared *s = arg;
	int fd = direct_file(PAGE, 0);
	struct node **a = s->table, **b = s->table + USED;
	char *zeros = aligned_alloc(PAGE, PAGE);

	memset(zeros, 0, PAGE);
	if (!check(fd >= 0) || !check_eq(pwrite(fd, zeros, PAGE, 0), PAGE))
		return;
	while (goes_on(s)) {
		memcpy(b, a, PAGE);
		if (!check_eq(pread(fd, a, PAGE, 0), PAGE) || !check(zeroed(a, PAGE)))
			break;
		memcpy(a, b, PAGE);
		if (!check_eq(pread(fd, b, PAGE, 0), PAGE))
			break;
	}
	table_is_whole(s->table, SLOTS);
}

static void direct_reads(void)
{
	int fd = direct_file(PAGE, 0);
	struct shared *s;
	pid_t pid;

	if (fd < 0)
		return tap_skip("nothing here takes O_DIRECT");
	close(fd);
	s = setup();
	if (!s)
		return;
	pid = tap_fork(read_over, s);
	collect_and_end(s, tap_count(30, 1000));
	tap_join(pid);
	table_is_whole(s->table, SLOTS);
	teardown(s);
}

/* --- strangers --- */

/* Writes a word of the process @s->pid; false if that cannot be done here. */
typedef bool write_fn(const struct shared *s, void *at, void *word);

static bool poke(const struct shared *s, void *at, void *word)
{
	return !ptrace(PTRACE_POKEDATA, s->pid, at, word);
}

static bool write_proc(const struct shared *s, void *at, void *word)
{
	char path[64];
	bool done;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", s->pid);
	fd = open(path, O_RDWR);
	done = fd >= 0 && pwrite(fd, &word, sizeof(word), as_addr(at)) == sizeof(word);
	close(fd);
	return done;
}

static bool write_vm(const struct shared *s, void *at, void *word)
{
	struct iovec from = { &word, sizeof(word) }, to = { at, sizeof(word) };

	return process_vm_writev(s->pid, &from, 1, &to, 1, 0) == sizeof(word);
}

/* The owner of the memory: sleeps, or is stopped by who traces it. */
static void sleep_on(void *arg)
{
	struct shared *s = arg;

	while (!__atomic_load_n(&s->moved, __ATOMIC_ACQUIRE))
		usleep(1000);
	table_is_whole(s->table, SLOTS);
}

static void move_words(struct shared *s, write_fn *write)
{
	unsigned int i, j;
	struct rng rng;

	rng_init(&rng, 1);
	while (goes_on(s)) {
		i = rng_below(&rng, SLOTS);
		j = rng_below(&rng, SLOTS);
		if (!s->table[i] || s->table[j])
			continue;
		if (!check(write(s, &s->table[j], s->table[i])) ||
		    !check(write(s, &s->table[i], NULL)))
			return;
	}
}

static void trace_and_move(void *arg)
{
	struct shared *s = arg;
	int status;

	if (!check(!ptrace(PTRACE_SEIZE, s->pid, NULL, NULL)) ||
	    !check(!ptrace(PTRACE_INTERRUPT, s->pid, NULL, NULL)) ||
	    !check_eq(waitpid(s->pid, &status, __WALL), s->pid))
		return;
	move_words(s, poke);
	check(!ptrace(PTRACE_DETACH, s->pid, NULL, NULL));
}

static void move_by_proc(void *arg)
{
	move_words(arg, write_proc);
}

static void move_by_vm(void *arg)
{
	move_words(arg, write_vm);
}

static void moved_by(void (*move)(void *arg))
{
	struct shared *s = setup();
	pid_t mover;

	if (!s)
		return;
	s->pid = tap_fork(sleep_on, s);
	mover = tap_fork(move, s);
	collect_and_end(s, tap_count(30, 1000));
	tap_join(mover);
	__atomic_store_n(&s->moved, 1, __ATOMIC_RELEASE);
	tap_join(s->pid);
	table_is_whole(s->table, SLOTS);
	teardown(s);
}

static void moved_by_tracer(void)
{
	moved_by(trace_and_move);
}

static void moved_through_proc(void)
{
	moved_by(move_by_proc);
}

static void moved_by_system_call(void)
{
	moved_by(move_by_vm);
}

/* --- single steps --- */

/* Rotates references in registers and memory; a tracer stops it after each step. */
static void rotate(void *arg)
{
	struct shared *s = arg;
	struct node **t = s->table, *node;
	unsigned int i;

	for (i = 0; goes_on(s); i = (i + 1) % (SLOTS - 1)) {
		node = t[i];
		t[i] = t[i + 1];
		t[i + 1] = node;
	}
	table_is_whole(t, SLOTS);
}

static void step(void *arg)
{
	struct shared *s = arg;
	int status;

	if (!check(!ptrace(PTRACE_SEIZE, s->pid, NULL, NULL)) ||
	    !check(!ptrace(PTRACE_INTERRUPT, s->pid, NULL, NULL)))
		return;
	while (goes_on(s) && check_eq(waitpid(s->pid, &status, __WALL), s->pid))
		check(!ptrace(PTRACE_SINGLESTEP, s->pid, NULL, NULL));
	waitpid(s->pid, &status, __WALL);
	ptrace(PTRACE_DETACH, s->pid, NULL, NULL);
}

static void single_steps(void)
{
	struct shared *s = setup();
	pid_t tracer;

	if (!s)
		return;
	s->pid = tap_fork(rotate, s);
	tracer = tap_fork(step, s);
	collect_and_end(s, tap_count(30, 1000));
	tap_join(tracer);
	tap_join(s->pid);
	teardown(s);
}

/* --- debuggers and dumps --- */

static void by_gdb(void)
{
	struct shared *s;
	char command[512], line[256] = "";
	bool found = false;
	FILE *gdb;

	if (access("/usr/bin/gdb", X_OK))
		return tap_skip("there is no gdb");
	s = setup();
	if (!s)
		return;
	s->pid = tap_fork(sleep_on, s);
	snprintf(command, sizeof(command),
		 "gdb -nx -batch -p %d -ex 'print *(unsigned long *)(*(char **)%p + 8) + 42' 2>&1",
		 s->pid, (void *)&s->table[7]);
	gdb = popen(command, "r");
	while (check(gdb) && fgets(line, sizeof(line), gdb))
		found |= !!strstr(line, "$1 = 49");
	if (!check(found))
		tap_diag("gdb: %s", line);
	pclose(gdb);
	collect_and_end(s, 10);
	__atomic_store_n(&s->moved, 1, __ATOMIC_RELEASE);
	tap_join(s->pid);
	teardown(s);
}

static void dump_core(const struct shared *s, const char *folder)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	if (chdir(folder) || setrlimit(RLIMIT_CORE, &all) || !node_is_whole(s->table[0]))
		_exit(1);
	abort();
}

static off_t size_of_core(const char *folder, pid_t pid)
{
	char path[256];
	off_t size;
	int fd;

	snprintf(path, sizeof(path), "%s/core.%d", folder, pid);
	fd = open(path, O_RDONLY);
	size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	close(fd);
	unlink(path);
	return size;
}

/* The heap is not in it: it would be there as often as it is shared. */
static void core_dumps(void)
{
	const char *folder = "/dev/shm";
	struct shared *s;
	int status = 0;
	off_t kib;
	pid_t pid;

	if (!write_text("/proc/sys/kernel/core_pattern", "core.%p"))
		return tap_skip("no core dumps here");
	s = setup();
	if (!s)
		return;
	check(heap_new(s->heap.fd, 64 * MIB, KARENA_ALLOC_NOSCAN));
	pid = fork();
	if (!pid)
		dump_core(s, folder);
	collect_and_end(s, 10);
	check_eq(waitpid(pid, &status, 0), pid);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && WCOREDUMP(status));
	kib = size_of_core(folder, pid) / KIB;
	tap_diag("%lld KiB of core", (long long)kib);
	check(kib > 0 && kib < 32 * 1024);
	table_is_whole(s->table, SLOTS);
	teardown(s);
}

static const struct tap_case cases[] = {
	{ "direct reads over references", direct_reads },
	{ "references that a tracer moves", moved_by_tracer },
	{ "that are moved through /proc", moved_through_proc },
	{ "that are moved by a system call", moved_by_system_call },
	{ "single steps", single_steps },
	{ "gdb", by_gdb },
	{ "core dumps", core_dumps },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
