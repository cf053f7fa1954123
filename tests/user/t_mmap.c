// SPDX-License-Identifier: GPL-2.0
/*
 * The window as memory: the same place in each process, shared over fork and
 * over a passed descriptor, zeroed, whole when somebody dies, gone when nobody
 * needs it, and a signal where nothing is.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap.h"
#include "model.h"
#include "tap.h"

/* For cases that look at each page of it. */
#define SMALL_WINDOW (16 * MIB)

static sigjmp_buf back;

static void caught(int sig)
{
	siglongjmp(back, sig);
}

/* The signal that touching @addr raises, 0 for none. */
static int touch(__u64 addr, bool write)
{
	struct sigaction action = { .sa_handler = caught }, bus, segv;
	volatile char *p = as_ptr(addr);
	int sig;

	sigaction(SIGBUS, &action, &bus);
	sigaction(SIGSEGV, &action, &segv);
	sig = sigsetjmp(back, 1);
	if (!sig) {
		if (write)
			*p = 1;
		else
			(void)*p;
	}
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	return sig;
}

static void both_ways(void)
{
	struct heap heap;
	__u64 addr;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	addr = heap_new(heap.fd, 100, 0);
	check_eq(touch(addr, false), 0);
	check_eq(touch(addr, true), 0);
	heap_unmap(&heap);
	check_eq(touch(addr, false), SIGSEGV);
	check_ret(heap_map(&heap), 0);
	check_eq(*(char *)as_ptr(addr), 1);
	heap_close(&heap);
}

struct partner {
	struct heap heap;
	__u64 object;
	int to_child[2];
};

/* Takes the parent's descriptor and finds the object at the same address. */
static void use_taken(void *arg)
{
	struct partner *p = arg;
	int pidfd = syscall(SYS_pidfd_open, getppid(), 0);
	struct heap heap;

	check_eq(read(p->to_child[0], p, sizeof(*p)), sizeof(*p));
	heap = p->heap;
	heap.fd = syscall(SYS_pidfd_getfd, pidfd, p->heap.fd, 0);
	if (!check(heap.fd >= 0) || !check_ret(heap_map(&heap), 0))
		return;
	check_eq(as_addr(heap.objects), p->heap.base);
	check(filled(as_ptr(p->object), 1000, 1));
	fill(as_ptr(p->object), 1000, 2);
	heap_close(&heap);
}

static void two_processes(void)
{
	struct partner p = { 0 };
	pid_t pid;

	if (!check(!pipe(p.to_child)))
		return;
	pid = tap_fork(use_taken, &p);
	if (heap_open(&p.heap, WINDOW, 0)) {
		p.object = heap_new(p.heap.fd, 1000, 0);
		fill(as_ptr(p.object), 1000, 1);
	}
	check_eq(write(p.to_child[1], &p, sizeof(p)), sizeof(p));
	tap_join(pid);
	check(filled(as_ptr(p.object), 1000, 2));
	close(p.to_child[0]);
	close(p.to_child[1]);
	heap_close(&p.heap);
}

union rights {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

static struct msghdr rights_message(union rights *rights, struct iovec *iov)
{
	struct msghdr msg = {
		.msg_iov = iov, .msg_iovlen = 1, .msg_control = rights,
		.msg_controllen = sizeof(rights->room),
	};

	memset(rights, 0, sizeof(*rights));
	rights->header.cmsg_len = CMSG_LEN(sizeof(int));
	rights->header.cmsg_level = SOL_SOCKET;
	rights->header.cmsg_type = SCM_RIGHTS;
	return msg;
}

struct mail {
	int sockets[2];
};

static void receive(void *arg)
{
	struct mail *mail = arg;
	struct partner p;
	struct iovec iov = { &p, sizeof(p) };
	union rights rights;
	struct msghdr msg = rights_message(&rights, &iov);

	if (!check_eq(recvmsg(mail->sockets[1], &msg, MSG_CMSG_CLOEXEC), sizeof(p)))
		return;
	memcpy(&p.heap.fd, CMSG_DATA(&rights.header), sizeof(int));
	p.heap.objects = NULL;
	p.heap.control = NULL;
	if (!check_ret(heap_map(&p.heap), 0))
		return;
	check_eq(as_addr(p.heap.objects), p.heap.base);
	check(filled(as_ptr(p.object), 1000, 1));
	check_ret(heap_drop(p.heap.fd, p.object), 0);
	heap_close(&p.heap);
}

static void passed_by_socket(void)
{
	struct partner p = { 0 };
	struct iovec iov = { &p, sizeof(p) };
	union rights rights;
	struct msghdr msg = rights_message(&rights, &iov);
	struct mail mail;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, mail.sockets))
		return tap_skip("no unix sockets: %s", strerror(errno));
	pid = tap_fork(receive, &mail);
	if (heap_open(&p.heap, WINDOW, 0)) {
		p.object = heap_new(p.heap.fd, 1000, 0);
		fill(as_ptr(p.object), 1000, 1);
		memcpy(CMSG_DATA(&rights.header), &p.heap.fd, sizeof(int));
		check_eq(sendmsg(mail.sockets[0], &msg, 0), sizeof(p));
	}
	tap_join(pid);
	check_ret(heap_usable(p.heap.fd, p.object), -ENOENT);
	close(mail.sockets[0]);
	close(mail.sockets[1]);
	heap_close(&p.heap);
}

static void scribble(void *arg)
{
	struct partner *p = arg;

	check(filled(as_ptr(p->object), 1000, 1));
	fill(as_ptr(p->object), 1000, 2);
	p->object = heap_new(p->heap.fd, 500, 0);
	check(p->object);
	heap_unmap(&p->heap);
}

static void over_fork(void)
{
	struct partner p;

	if (!heap_open(&p.heap, WINDOW, 0))
		return;
	p.object = heap_new(p.heap.fd, 1000, 0);
	fill(as_ptr(p.object), 1000, 1);
	tap_isolate(scribble, &p);
	check(filled(as_ptr(p.object), 1000, 2));
	check_eq(touch(p.object, true), 0);
	check_ret(heap_drop(p.heap.fd, p.object), 0);
	heap_close(&p.heap);
}

static void dies(void *arg)
{
	struct partner *p = arg;

	fill(as_ptr(p->object), 1000, 2);
	raise(SIGKILL);
}

static void over_death(void)
{
	struct partner p;
	int status = 0;
	pid_t pid;

	if (!heap_open(&p.heap, WINDOW, 0))
		return;
	p.object = heap_new(p.heap.fd, 1000, 0);
	pid = tap_fork(dies, &p);
	check_eq(waitpid(pid, &status, 0), pid);
	check(WIFSIGNALED(status));
	check(filled(as_ptr(p.object), 1000, 2));
	check(heap_new(p.heap.fd, 1000, 0));
	heap_close(&p.heap);
}

static void outlives_descriptor(void)
{
	struct karena_info start;
	struct heap heap;
	__u64 object;

	if (!user_numbers(&start) || !heap_open(&heap, WINDOW, 0))
		return;
	object = heap_new(heap.fd, 100000, 0);
	close(heap.fd);
	heap.fd = -1;
	check(zeroed(as_ptr(object), 100000));
	fill(as_ptr(object), 100000, 1);
	check(filled(as_ptr(object), 100000, 1));
	check(!munmap((void *)heap.control, heap.control_size));
	heap.control = NULL;
	check(filled(as_ptr(object), 100000, 1));
	heap_close(&heap);
	user_back_to(&start);
}

/* The control region alone holds the heap too. */
static void control_outlives(void)
{
	struct karena_info start, now;
	struct heap heap;

	if (!user_numbers(&start) || !heap_open(&heap, WINDOW, 0))
		return;
	check(heap_new(heap.fd, 100000, 0));
	close(heap.fd);
	heap.fd = -1;
	check(!munmap(heap.objects, heap.window));
	heap.objects = NULL;
	check_eq(heap.control->magic, KARENA_CONTROL_MAGIC);
	user_numbers(&now);
	check_eq(now.user_heaps, start.user_heaps + 1);
	heap_close(&heap);
	user_back_to(&start);
}

static void read_only(void)
{
	struct heap heap;
	__u64 object;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	object = heap_new(heap.fd, 1000, 0);
	fill(as_ptr(object), 1000, 1);
	check(!munmap(heap.objects, WINDOW));
	check_eq(map_objects(heap.fd, 0, WINDOW, PROT_READ, MAP_SHARED), heap.base);
	check(filled(as_ptr(object), 1000, 1));
	check_eq(touch(object, true), SIGSEGV);
	check(!mprotect(heap.objects, WINDOW, PROT_READ | PROT_WRITE));
	check_eq(touch(object, true), 0);
	heap_close(&heap);
}

/* Where no span is, there is nothing to read or write. */
static void holes(void)
{
	struct heap heap;
	const __u16 *map;
	__u64 at;

	if (!heap_open(&heap, SMALL_WINDOW, 0))
		return;
	map = (const void *)((const char *)heap.control + heap.control->map_offset);
	check_eq(touch(heap.base, false), SIGBUS);
	check_eq(touch(heap.base, true), SIGBUS);
	check_eq(touch(heap.base + SMALL_WINDOW - 1, false), SIGBUS);
	check(heap_new(heap.fd, 64, 0));
	check(heap_new(heap.fd, MIB, 0));
	for (at = 0; at < SMALL_WINDOW; at += KARENA_PAGE_SIZE) {
		int want = map[at / KARENA_PAGE_SIZE] ? 0 : SIGBUS;

		if (!check_eq(touch(heap.base + at + 4096, false), want))
			break;
		if (!check_eq(touch(heap.base + at, true), want))
			break;
	}
	heap_close(&heap);
}

/*
 * Memory that is given back is taken away from whoever had touched it: what the
 * heap does not hold any more gets SIGBUS.  An allocation at the limit, which
 * cannot be had, makes it give back all that is free.
 */
static void given_back_is_gone(void)
{
	struct heap heap;
	__u64 object, kept;

	if (!heap_open(&heap, WINDOW, 8 * MIB))
		return;
	kept = heap_new(heap.fd, MIB, 0);
	object = heap_new(heap.fd, 4 * MIB, 0);
	fill(as_ptr(object), 4 * MIB, 1);
	check_ret(heap_drop(heap.fd, object), 0);
	check_eq(heap_new(heap.fd, 8 * MIB, 0), 0);
	check_eq(touch(object, false), SIGBUS);
	check_eq(touch(object + 4 * MIB - 1, true), SIGBUS);
	check_eq(touch(kept, true), 0);
	heap_close(&heap);
}

/* What an object held is never seen in the next one. */
static void zeroed_again(void)
{
	static const __u64 sizes[] = { 8, 24, 100, 1000, 8192, 30000, 100000, 3 * MIB };
	__u64 addrs[64];
	struct heap heap;
	unsigned int s, round, i;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		unsigned int nr = sizes[s] > 50000 ? 4 : 64;

		for (round = 0; round < 4; round++) {
			check_ret(heap_alloc(heap.fd, sizes[s], 0, nr, addrs), 0);
			for (i = 0; i < nr; i++) {
				__s64 len = heap_usable(heap.fd, addrs[i]);

				check(zeroed(as_ptr(addrs[i]), len));
				fill(as_ptr(addrs[i]), len, ~0ULL);
			}
			check_ret(heap_free(heap.fd, addrs, nr, NULL), 0);
		}
	}
	heap_close(&heap);
}

/* 0xff into all of the heap that can be written; free memory may go meanwhile. */
static void spoil(const struct heap *heap)
{
	struct sigaction action = { .sa_handler = caught }, bus;
	volatile __u64 at;

	sigaction(SIGBUS, &action, &bus);
	for (at = heap->base; at < heap->base + heap->window; at += 4096) {
		if (!sigsetjmp(back, 1))
			memset(as_ptr(at), 0xff, 4096);
	}
	sigaction(SIGBUS, &bus, NULL);
}

/* Stale writes, into freed objects and beside them, do not spoil later ones. */
static void zeroed_despite_writers(void)
{
	static const __u64 sizes[] = { 8, 100, 3072, 27264, 40000, 100000, MIB };
	static __u64 addrs[ARRAY_SIZE(sizes)][40];
	unsigned int s, round, i;
	struct heap heap;

	if (!heap_open(&heap, 64 * MIB, 0))
		return;
	for (round = 0; round < 3; round++) {
		for (s = 0; s < ARRAY_SIZE(sizes); s++)
			check_ret(heap_alloc(heap.fd, sizes[s], 0, 40 >> round, addrs[s]), 0);
		for (s = 0; s < ARRAY_SIZE(sizes); s++) {
			for (i = 0; i < 40U >> round; i++)
				check(zeroed(as_ptr(addrs[s][i]), sizes[s]));
		}
		spoil(&heap);
		for (s = 0; s < ARRAY_SIZE(sizes); s++)
			check_ret(heap_free(heap.fd, addrs[s], 40 >> round, NULL), 0);
		spoil(&heap);
	}
	heap_close(&heap);
}

/* Nor by the next heap, which gets the machine's pages of this one. */
static void zeroed_for_others(void)
{
	struct karena_info start;
	struct heap heap;
	unsigned int round;
	__u64 object;

	user_numbers(&start);
	for (round = 0; round < 8; round++) {
		if (!heap_open(&heap, WINDOW, 0))
			return;
		object = heap_new(heap.fd, 4 * MIB, KARENA_ALLOC_NOZERO);
		check(zeroed(as_ptr(object), 4 * MIB));
		fill(as_ptr(object), 4 * MIB, round);
		object = heap_new(heap.fd, 3000, KARENA_ALLOC_NOZERO);
		check(zeroed(as_ptr(object), 3000));
		fill(as_ptr(object), 3000, round);
		heap_close(&heap);
		user_back_to(&start);
	}
}

static char *vm_flags_of(__u64 addr, char *line, int len)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	char start[32], *found = NULL;
	bool inside = false;

	if (!smaps)
		return NULL;
	snprintf(start, sizeof(start), "%llx-", addr);
	while (!found && fgets(line, len, smaps)) {
		if (!strncmp(line, start, strlen(start)))
			inside = true;
		if (inside && !strncmp(line, "VmFlags:", 8))
			found = line;
	}
	fclose(smaps);
	return found;
}

static void flags_of(__u64 addr, const char *with, const char *without)
{
	char line[512], flag[4] = " xx";
	char *flags = vm_flags_of(addr, line, sizeof(line));

	if (!flags)
		return tap_skip("no VmFlags in /proc/self/smaps");
	for (; *with; with += 2) {
		memcpy(flag + 1, with, 2);
		if (!check(strstr(flags, flag)))
			tap_diag("%s lacks%s", flags, flag);
	}
	for (; *without; without += 2) {
		memcpy(flag + 1, without, 2);
		if (!check(!strstr(flags, flag)))
			tap_diag("%s has%s", flags, flag);
	}
}

static void flags(void)
{
	struct heap heap;

	if (!heap_open(&heap, WINDOW, 0))
		return;
	flags_of(heap.base, "rdwrshmrmwmsdedd", "exmeioht");
	flags_of(as_addr(heap.control), "rdmrdedd", "wrexmwmeio");
	heap_close(&heap);
}

struct writer {
	struct heap heap;
	unsigned int nr;
	__u64 steps;
};

/* Allocates, fills, checks and frees beside others that do the same. */
static void write_and_look(void *arg)
{
	struct writer *w = arg;
	__u64 addrs[32] = { 0 }, sizes[32], step;
	struct rng rng;

	rng_init(&rng, w->nr);
	for (step = 0; step < w->steps && !tap_failed(); step++) {
		unsigned int i = rng_below(&rng, 32);

		if (addrs[i]) {
			check(filled(as_ptr(addrs[i]), sizes[i], w->nr ^ addrs[i]));
			check_ret(heap_drop(w->heap.fd, addrs[i]), 0);
		}
		sizes[i] = 1 + rng_below(&rng, rng_below(&rng, 50) ? 4000 : 200000);
		addrs[i] = heap_new(w->heap.fd, sizes[i], 0);
		if (!check(addrs[i]))
			return;
		check(zeroed(as_ptr(addrs[i]), sizes[i]));
		fill(as_ptr(addrs[i]), sizes[i], w->nr ^ addrs[i]);
	}
}

static void writers(void)
{
	struct writer w = { .steps = tap_count(2000, 50000) };
	pid_t pids[3];

	if (!heap_open(&w.heap, WINDOW, 0))
		return;
	for (w.nr = 0; w.nr < ARRAY_SIZE(pids); w.nr++)
		pids[w.nr] = tap_fork(write_and_look, &w);
	for (w.nr = 0; w.nr < ARRAY_SIZE(pids); w.nr++)
		tap_join(pids[w.nr]);
	heap_close(&w.heap);
}

static void map_often(void)
{
	struct karena_info start;
	struct heap heap;
	unsigned int i;
	__u64 object;

	if (!user_numbers(&start) || !check_ret(heap_make(&heap, WINDOW, 0), 0))
		return;
	object = heap_new(heap.fd, 5000, 0);
	for (i = 0; i < 200 && !tap_failed(); i++) {
		check_ret(heap_map(&heap), 0);
		check(i ? filled(as_ptr(object), 5000, i) : zeroed(as_ptr(object), 5000));
		fill(as_ptr(object), 5000, i + 1);
		heap_unmap(&heap);
	}
	heap_close(&heap);
	user_back_to(&start);
}

static const struct tap_case cases[] = {
	{ "read, write, unmap, map again", both_ways },
	{ "the same place in an unrelated process", two_processes },
	{ "a descriptor passed over a socket", passed_by_socket },
	{ "shared over fork, whole after the child", over_fork },
	{ "whole after a child is killed", over_death },
	{ "the mapping outlives the descriptor", outlives_descriptor },
	{ "the control mapping outlives all else", control_outlives },
	{ "a mapping to read", read_only },
	{ "a signal where no span is", holes },
	{ "memory that is given back is gone", given_back_is_gone },
	{ "objects are zeroed, reused ones too", zeroed_again },
	{ "objects are zeroed whatever was written to free memory", zeroed_despite_writers },
	{ "no heap sees another one's data", zeroed_for_others },
	{ "flags of the mappings", flags },
	{ "three processes write and look", writers },
	{ "mapped and unmapped many times", map_often },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
