// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel at work on pages of the window: file I/O, direct I/O, pipes that
 * hold the pages themselves, other processes' memory calls, shared futexes.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap.h"
#include "model.h"
#include "tap.h"

#define LEN (256 * KIB)

static void memfd_io(void)
{
	struct heap heap;
	__u64 from, to;
	int fd = memfd_create("t_mapio", MFD_CLOEXEC);

	if (!check(fd >= 0) || !heap_open(&heap, WINDOW, 0))
		return;
	from = heap_new(heap.fd, LEN, 0);
	to = heap_new(heap.fd, LEN, 0);
	fill(as_ptr(from), LEN, 1);
	check_eq(pwrite(fd, as_ptr(from), LEN, 0), LEN);
	/* the first touch of these pages is the kernel's */
	check_eq(pread(fd, as_ptr(to), LEN, 0), LEN);
	check(filled(as_ptr(to), LEN, 1));
	/* where no object has ever been */
	to = heap.base + WINDOW - LEN;
	check_eq(pread(fd, as_ptr(to), LEN, 0), -1);
	check_eq(errno, EFAULT);
	check_eq(pwrite(fd, as_ptr(to), LEN, 0), -1);
	check_eq(errno, EFAULT);
	close(fd);
	heap_close(&heap);
}

static void direct_io(void)
{
	int fd = direct_file(LEN, 1);
	struct heap heap;
	__u64 addr;

	if (fd < 0)
		return tap_skip("nothing here takes O_DIRECT");
	if (!heap_open(&heap, WINDOW, 0))
		return;
	addr = heap_new(heap.fd, LEN, 0);
	check_eq(pread(fd, as_ptr(addr), LEN, 0), LEN);
	check(filled(as_ptr(addr), LEN, 1));
	fill(as_ptr(addr), LEN, 2);
	check_eq(pwrite(fd, as_ptr(addr), LEN, 0), LEN);
	memset(as_ptr(addr), 0, LEN);
	check_eq(pread(fd, as_ptr(addr), LEN, 0), LEN);
	check(filled(as_ptr(addr), LEN, 2));
	close(fd);
	heap_close(&heap);
}

/*
 * Pages given to a pipe stay there when object, mapping and heap are gone, and
 * nobody else's data is ever seen through them.
 */
static void pipe_keeps_pages(void)
{
	struct karena_info start;
	struct heap heap, next;
	struct iovec iov = { .iov_len = 8192 };
	char out[8192];
	int ends[2], round;

	if (!user_numbers(&start) || !check(!pipe(ends)) ||
	    !heap_open(&heap, WINDOW, 0))
		return;
	iov.iov_base = as_ptr(heap_new(heap.fd, MIB, 0));
	fill(iov.iov_base, 8192, 1);
	if (vmsplice(ends[1], &iov, 1, 0) != 8192) {
		tap_skip("vmsplice: %s", strerror(errno));
		return heap_close(&heap);
	}
	check_ret(heap_drop(heap.fd, as_addr(iov.iov_base)), 0);
	heap_close(&heap);
	user_back_to(&start);
	for (round = 0; round < 4; round++) {
		__u64 addr;

		if (!heap_open(&next, WINDOW, 0))
			return;
		addr = heap_new(next.fd, 16 * MIB, 0);
		fill(as_ptr(addr), 16 * MIB, 2);
		heap_close(&next);
	}
	check_eq(read(ends[0], out, sizeof(out)), sizeof(out));
	check(filled(out, 4096, 1) || zeroed(out, 4096));
	check(filled(out, 8192, 1) || zeroed(out + 4096, 4096));
	close(ends[0]);
	close(ends[1]);
}

/* The same while the heap lives on and uses its memory again. */
static void pipe_and_reuse(void)
{
	struct heap heap;
	struct iovec iov = { .iov_len = 4096 };
	char out[4096];
	int ends[2], i;

	if (!check(!pipe(ends)) || !heap_open(&heap, WINDOW, 8 * MIB))
		return;
	iov.iov_base = as_ptr(heap_new(heap.fd, MIB, 0));
	fill(iov.iov_base, 4096, 1);
	if (vmsplice(ends[1], &iov, 1, 0) != 4096) {
		tap_skip("vmsplice: %s", strerror(errno));
		return heap_close(&heap);
	}
	check_ret(heap_drop(heap.fd, as_addr(iov.iov_base)), 0);
	for (i = 0; i < 16; i++) {
		__u64 addr = heap_new(heap.fd, MIB, 0);

		if (!check(addr) || !check(zeroed(as_ptr(addr), MIB)))
			break;
		fill(as_ptr(addr), MIB, ~0ULL);
		check_ret(heap_drop(heap.fd, addr), 0);
	}
	check_eq(read(ends[0], out, sizeof(out)), sizeof(out));
	close(ends[0]);
	close(ends[1]);
	heap_close(&heap);
}

static void pipe_io(void)
{
	struct heap heap;
	__u64 from, to;
	int ends[2];

	if (!check(!pipe(ends)) || !heap_open(&heap, WINDOW, 0))
		return;
	from = heap_new(heap.fd, 4096, 0);
	to = heap_new(heap.fd, 4096, 0);
	fill(as_ptr(from), 4096, 1);
	check_eq(write(ends[1], as_ptr(from), 4096), 4096);
	check_eq(read(ends[0], as_ptr(to), 4096), 4096);
	check(filled(as_ptr(to), 4096, 1));
	close(ends[0]);
	close(ends[1]);
	heap_close(&heap);
}

struct shared {
	struct heap heap;
	__u64 object;
};

static void reach_parent(void *arg)
{
	struct shared *s = arg;
	char local[5000];
	struct iovec here = { local, sizeof(local) };
	struct iovec there = { as_ptr(s->object), sizeof(local) };
	pid_t parent = getppid();

	heap_unmap(&s->heap);
	if (process_vm_readv(parent, &here, 1, &there, 1, 0) < 0 && errno == ENOSYS)
		return;
	check(filled(local, sizeof(local), 1));
	fill(local, sizeof(local), 2);
	check_eq(process_vm_writev(parent, &here, 1, &there, 1, 0), sizeof(local));
}

static void process_vm(void)
{
	struct shared s;

	if (process_vm_readv(getpid(), NULL, 0, NULL, 0, 0) < 0 && errno == ENOSYS)
		return tap_skip("no process_vm_readv");
	if (!heap_open(&s.heap, WINDOW, 0))
		return;
	s.object = heap_new(s.heap.fd, 5000, 0);
	fill(as_ptr(s.object), 5000, 1);
	tap_isolate(reach_parent, &s);
	check(filled(as_ptr(s.object), 5000, 2));
	heap_close(&s.heap);
}

static void proc_mem(void)
{
	struct heap heap;
	__u64 addr, value = 0, other = 0x1122334455667788ULL;
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

	if (!check(fd >= 0) || !heap_open(&heap, WINDOW, 0))
		return;
	addr = heap_new(heap.fd, 64, 0);
	*(__u64 *)as_ptr(addr) = 0x8877665544332211ULL;
	check_eq(pread(fd, &value, 8, addr), 8);
	check_eq(value, 0x8877665544332211ULL);
	check_eq(pwrite(fd, &other, 8, addr), 8);
	check_eq(*(__u64 *)as_ptr(addr), other);
	/* no way round: the control region stays as the kernel wrote it */
	check_eq(pwrite(fd, &other, 8, as_addr(heap.control)), -1);
	check_eq(heap.control->magic, KARENA_CONTROL_MAGIC);
	close(fd);
	heap_close(&heap);
}

static long futex(__u32 *word, int op, __u32 value)
{
	return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static void wait_for_word(void *arg)
{
	struct shared *s = arg;
	__u32 *word = as_ptr(s->object);

	while (!__atomic_load_n(word, __ATOMIC_ACQUIRE)) {
		long ret = futex(word, FUTEX_WAIT, 0);

		if (ret && !check(errno == EAGAIN || errno == EINTR))
			return;
		/* woken by the parent that saw somebody wait */
		if (!ret)
			__atomic_add_fetch(word + 1, 1, __ATOMIC_RELEASE);
	}
}

static bool ended(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid;
}

static void shared_futex(void)
{
	struct shared s;
	__u32 *word;
	pid_t pid;

	if (!heap_open(&s.heap, WINDOW, 0))
		return;
	s.object = heap_new(s.heap.fd, 64, 0);
	word = as_ptr(s.object);
	pid = tap_fork(wait_for_word, &s);
	/* until the child was asleep on it, or gave up */
	while (futex(word, FUTEX_WAKE, 1) == 0 && !ended(pid))
		sched_yield();
	__atomic_store_n(word, 1, __ATOMIC_RELEASE);
	check(futex(word, FUTEX_WAKE, 1) >= 0);
	tap_join(pid);
	check(word[1] >= 1);
	heap_close(&s.heap);
}

/* A debugger reads and writes a stopped process' objects. */
static void stopped(void *arg)
{
	struct shared *s = arg;

	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	check_eq(*(long *)as_ptr(s->object), 43);
}

static void debugger(void)
{
	struct shared s;
	int status;
	pid_t pid;

	if (!heap_open(&s.heap, WINDOW, 0))
		return;
	s.object = heap_new(s.heap.fd, 64, 0);
	*(long *)as_ptr(s.object) = 42;
	pid = tap_fork(stopped, &s);
	check_eq(waitpid(pid, &status, 0), pid);
	if (check(WIFSTOPPED(status))) {
		check_eq(ptrace(PTRACE_PEEKDATA, pid, as_ptr(s.object), NULL), 42);
		check(!ptrace(PTRACE_POKEDATA, pid, as_ptr(s.object), 43));
		check(!ptrace(PTRACE_CONT, pid, NULL, NULL));
	}
	tap_join(pid);
	check_eq(*(long *)as_ptr(s.object), 43);
	heap_close(&s.heap);
}

/* The answer of a call may be put into an object of the heap itself. */
static void own_objects(void)
{
	struct karena_heap_info *info;
	struct heap heap;
	__u64 *addrs;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	addrs = as_ptr(heap_new(heap.fd, 8192, 0));
	info = as_ptr(heap_new(heap.fd, sizeof(*info), 0));
	check_ret(heap_alloc(heap.fd, 100, 0, 1024, addrs), 0);
	check_ret(heap_info(heap.fd, 0, 0, info), 0);
	check_eq(info->live_objects, 1026);
	check_ret(heap_free(heap.fd, addrs, 1024, NULL), 0);
	check_ret(heap_info(heap.fd, 0, 0, info), 0);
	check_eq(info->live_objects, 2);
	/* a list that names itself */
	addrs[0] = as_addr(addrs);
	addrs[1] = as_addr(info);
	check_ret(heap_free(heap.fd, addrs, 2, NULL), 0);
	heap_close(&heap);
}

static const struct tap_case cases[] = {
	{ "file I/O from and to objects", memfd_io },
	{ "direct I/O from and to objects", direct_io },
	{ "pipe I/O from and to objects", pipe_io },
	{ "pages in a pipe outlive the heap", pipe_keeps_pages },
	{ "pages in a pipe and their objects reused", pipe_and_reuse },
	{ "process_vm_readv and writev", process_vm },
	{ "/proc/self/mem", proc_mem },
	{ "shared futex", shared_futex },
	{ "ptrace", debugger },
	{ "answers into objects of the heap", own_objects },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
