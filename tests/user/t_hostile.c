// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that do to a collected heap what none should: forged references, a window
 * scribbled over, stacks and ranges that are not there, or that a program has to serve.
 * Whoever does it may lose his own data.  The kernel goes on, cycles end, metadata adds
 * up, and nobody else's data changes.  And what is only odd is searched all the same.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "graph.h"
#include "heap.h"
#include "kill.h"
#include "tap.h"

#define LENGTH 500
/* Of a process that would be waited for: then the wait ends, and the case fails. */
#define PATIENCE 60

struct shared {
	struct heap heap;
	struct heap other;
	__u32 steps;
	__u32 ready;
	__u64 word;
	char *memory;
	__u64 size;
};

static struct shared *setup(__u64 limit)
{
	struct shared *s = shared_memory(sizeof(*s));

	return s && heap_open_collected(&s->heap, WINDOW, limit) ? s : NULL;
}

static void teardown(struct shared *s)
{
	heap_close(&s->heap);
	munmap(s, sizeof(*s));
}

static __u64 live_objects(int fd)
{
	struct karena_heap_info own;

	return check_ret(heap_info(fd, 0, 0, &own), 0) ? own.live_objects : 0;
}

/* While nobody changes anything. */
static void is_sound(const struct heap *heap)
{
	struct karena_gc_info info;

	gc_check(heap->fd);
	check_ret(heap_collect(heap->fd), 0);
	gc_info(heap->fd, &info);
	check_eq(info.lost, 0);
	heap_adds_up(heap->fd);
}

static void kill_child(pid_t pid)
{
	kill(pid, SIGKILL);
	reap_killed(pid);
}

/* Until it says that it is where it wants to be; false if it ends instead. */
static bool wait_ready(const struct shared *s, pid_t pid)
{
	return wait_for_steps_from(&s->ready, 0, pid, 1);
}

/* --- references --- */

static __u64 forge(struct shared *s, struct rng *rng, __u64 object)
{
	const struct heap *heap = &s->heap;

	switch (rng_below(rng, 10)) {
	case 0:
		return object + rng_below(rng, 4096);
	case 1:
		return heap->base + heap->window + rng_below(rng, 2) * 4096 - rng_below(rng, 16);
	case 2:
		return s->other.base + rng_below(rng, MIB);
	case 3:
		return 0xffff800000000000ULL + rng_next(rng) % (1ULL << 47);
	case 4:
		return heap->base + rng_below(rng, heap->window);
	case 5:
		return heap->base + rng_below(rng, MIB);
	case 6:
		return heap->base - 1 - rng_below(rng, 100000);
	case 7:
		return as_addr(s) + rng_below(rng, 4096);
	case 8:
		return 1ULL << rng_below(rng, 64);
	default:
		return rng_next(rng);
	}
}

static void forge_references(void *arg)
{
	struct shared *s = arg;
	static __u64 words[512];
	__u64 *typed, *plain, freed;
	__u32 type = graph_type(s->heap.fd);
	struct rng rng;

	rng_init(&rng, 50);
	check_ret(heap_root(s->heap.fd, words, sizeof(words), 0), 0);
	check_ret(heap_alloc_type(s->heap.fd, type, 64 * sizeof(struct elem), 0, 1, &words[0]), 0);
	words[1] = heap_new(s->heap.fd, 100000, 0);
	typed = as_ptr(words[0]);
	plain = as_ptr(words[1]);
	if (!check(typed) || !check(plain))
		return;
	for (;;) {
		freed = heap_new(s->heap.fd, 16 + rng_below(&rng, 500), 0);
		heap_drop(s->heap.fd, freed);
		plain[rng_below(&rng, 100000 / 8)] = freed;
		plain[rng_below(&rng, 100000 / 8)] = forge(s, &rng, words[1]);
		typed[rng_below(&rng, 64 * 16)] = forge(s, &rng, words[0]);
		words[2 + rng_below(&rng, 510)] = forge(s, &rng, freed);
		__atomic_add_fetch(&s->steps, 1, __ATOMIC_RELAXED);
	}
}

static void forged_references(void)
{
	unsigned int rounds = tap_count(20, 1000), i, j;
	struct shared *s = setup(0);
	struct graph *graph, *other;
	struct rng rng;
	pid_t pid;

	rng_init(&rng, 1);
	if (!s || !heap_open_collected(&s->other, WINDOW, 0))
		return;
	pid = tap_fork(forge_references, s);
	graph = graph_new(s->heap.fd, graph_type(s->heap.fd), 1, &rng);
	other = graph_new(s->other.fd, graph_type(s->other.fd), 2, &rng);
	for (i = 0; i < rounds && !tap_failed(); i++) {
		wait_for_steps(&s->steps, pid, 20);
		for (j = 0; j < 300; j++) {
			graph_step(graph);
			graph_step(other);
		}
		check_ret(heap_collect(s->heap.fd), 0);
		check_ret(heap_collect(s->other.fd), 0);
		graph_verify(graph);
		graph_verify(other);
	}
	kill_child(pid);
	is_sound(&s->heap);
	is_sound(&s->other);
	heap_close(&s->other);
	teardown(s);
}

static sigjmp_buf not_there;

static void leave_page(int signal)
{
	siglongjmp(not_there, signal);
}

/* Pages that have a span, all of them in turn, one word in eight. */
static void scribble(void *arg)
{
	struct shared *s = arg;
	const __u16 *map = (const void *)((const char *)s->heap.control +
					  s->heap.control->map_offset);
	const struct sigaction action = { .sa_handler = leave_page, .sa_flags = SA_NODEFER };
	volatile __u64 page = 0;
	struct rng rng;
	__u64 *words;
	unsigned int i;

	rng_init(&rng, 60);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	for (;;) {
		page = (page + 1) % s->heap.control->map_entries;
		if (!map[page] || sigsetjmp(not_there, 0))
			continue;
		words = as_ptr(s->heap.base + page * KARENA_PAGE_SIZE);
		for (i = rng_below(&rng, 8); i < KARENA_PAGE_SIZE / 8; i += 8)
			words[i] = forge(s, &rng, as_addr(words));
		__atomic_add_fetch(&s->steps, 1, __ATOMIC_RELAXED);
	}
}

/* In the heap that is scribbled over: it follows no reference there. */
static void use_anyway(void *arg)
{
	struct shared *s = arg;
	__u64 *words[64] = { NULL };
	struct rng rng;
	unsigned int i;

	rng_init(&rng, 61);
	for (;;) {
		i = rng_below(&rng, ARRAY_SIZE(words));
		words[i] = as_ptr(heap_new(s->heap.fd, 8 + rng_below(&rng, 3000), 0));
		if (words[i])
			words[i][0] = as_addr(words[rng_below(&rng, ARRAY_SIZE(words))]);
		if (words[i] && !rng_below(&rng, 4))
			heap_drop(s->heap.fd, as_addr(words[i]));
	}
}

static void scribbled_over(void)
{
	unsigned int rounds = tap_count(20, 1000), i, j;
	/* It is kept by what is scribbled. */
	struct shared *s = setup(8 * MIB);
	struct graph *other;
	pid_t pid, user;
	struct rng rng;

	rng_init(&rng, 2);
	if (!s || !heap_open_collected(&s->other, WINDOW, 0))
		return;
	user = tap_fork(use_anyway, s);
	pid = tap_fork(scribble, s);
	other = graph_new(s->other.fd, graph_type(s->other.fd), 2, &rng);
	for (i = 0; i < rounds && !tap_failed(); i++) {
		wait_for_steps(&s->steps, pid, 50);
		for (j = 0; j < 300; j++)
			graph_step(other);
		check_ret(heap_collect(s->heap.fd), 0);
		check_ret(heap_collect(s->other.fd), 0);
		graph_verify(other);
	}
	kill_child(pid);
	kill_child(user);
	is_sound(&s->heap);
	check_ret(heap_collect(s->heap.fd), 0);
	/* The block that small ones are packed into. */
	check(live_objects(s->heap.fd) <= (__u64)sysconf(_SC_NPROCESSORS_CONF));
	heap_close(&s->other);
	teardown(s);
}

static void write_read_only(void *arg)
{
	struct shared *s = arg;
	int fd = heap_share(s->heap.fd, KARENA_SHARE_RDONLY);
	volatile __u64 *word = as_ptr(s->word);

	heap_unmap(&s->heap);
	check_ret(map_objects(fd, 0, s->heap.window, PROT_READ | PROT_WRITE, MAP_SHARED), -EACCES);
	check_eq(map_objects(fd, 0, s->heap.window, PROT_READ, MAP_SHARED), s->heap.base);
	check(mprotect(as_ptr(s->heap.base), s->heap.window, PROT_READ | PROT_WRITE) &&
	      errno == EACCES);
	check_eq(*word, 1);
	if (tap_failed())
		return;
	/* What it has is searched as anybody's. */
	s->word = 0;
	check_ret(heap_collect(s->heap.fd), 0);
	check_eq(*word, 1);
	*word = 2;
	check(!"a write to a mapping to read");
}

static void read_only_writers(void)
{
	struct shared *s = setup(0);
	struct heap heap;
	int status = 0;
	pid_t pid;

	if (!s)
		return;
	heap = s->heap;
	check_ret(heap_root(s->heap.fd, &s->word, sizeof(s->word), 0), 0);
	s->word = heap_new(s->heap.fd, 64, 0);
	*(__u64 *)as_ptr(s->word) = 1;
	pid = tap_fork(write_read_only, s);
	check_eq(waitpid(pid, &status, 0), pid);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	s->heap = heap;
	teardown(s);
}

/* --- stacks --- */

/*
 * Goes on another stack, says that it is there, and spins, with @word and nothing else
 * in its registers.
 */
static __attribute__((noreturn)) void spin_on(struct shared *s, __u64 sp, __u64 word)
{
	__asm__ volatile("mov %[sp], %%rsp\n\t"
			 "movl $1, (%[ready])\n\t"
			 "xor %%eax, %%eax\n\txor %%ecx, %%ecx\n\txor %%esi, %%esi\n\t"
			 "xor %%edi, %%edi\n\txor %%ebp, %%ebp\n\txor %%edx, %%edx\n\t"
			 "xor %%r8d, %%r8d\n\txor %%r9d, %%r9d\n\txor %%r10d, %%r10d\n\t"
			 "xor %%r11d, %%r11d\n\txor %%r12d, %%r12d\n\txor %%r13d, %%r13d\n\t"
			 "xor %%r14d, %%r14d\n\txor %%r15d, %%r15d\n\t"
			 ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
			 "pxor %%xmm\\n, %%xmm\\n\n\t"
			 ".endr\n\t"
			 "1: pause\n\tjmp 1b"
			 : : [sp] "a"(sp), [ready] "c"(&s->ready), "b"(word) : "memory");
	__builtin_unreachable();
}

static void spin_there(void *arg)
{
	struct shared *s = arg;

	spin_on(s, s->word, 0);
}

static void on_stack(struct shared *s, __u64 sp)
{
	unsigned int i;
	pid_t pid;

	s->ready = 0;
	s->word = sp;
	pid = tap_fork(spin_there, s);
	if (wait_ready(s, pid))
		for (i = 0; i < 3; i++)
			check_ret(heap_collect(s->heap.fd), 0);
	kill_child(pid);
}

static char *reserve(__u64 size, int prot)
{
	char *memory = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return check(memory != MAP_FAILED) ? memory : NULL;
}

static void odd_stacks(void)
{
	static const __u64 sps[] = {
		0, 1, 8, 127, 128, 4096, 0x10000, 0x7fffffffefff, 0x7fffffffffff, 0x800000000000,
		0xffff800000000000, 0xffff888000000000, 0xffffffffff600000, -4096ULL, -8ULL, -1ULL,
	};
	__u64 huge = 64 * 1024 * MIB;
	struct shared *s = setup(0);
	struct graph *graph;
	struct rng rng;
	unsigned int i;
	char *memory;

	rng_init(&rng, 3);
	if (!s)
		return;
	graph = graph_new(s->heap.fd, graph_type(s->heap.fd), 1, &rng);
	for (i = 0; i < 300; i++)
		graph_step(graph);
	for (i = 0; i < ARRAY_SIZE(sps); i++)
		on_stack(s, sps[i]);
	on_stack(s, s->heap.base + KARENA_PAGE_SIZE + 64);
	on_stack(s, s->heap.base + s->heap.window);
	on_stack(s, as_addr(s->heap.control) + 64);
	memory = reserve(huge, PROT_READ | PROT_WRITE);
	on_stack(s, as_addr(memory) + 4096);
	memset(memory + huge / 2, 1, 4096);
	on_stack(s, as_addr(memory) + 4096);
	mprotect(memory, huge, PROT_NONE);
	on_stack(s, as_addr(memory) + huge / 2);
	munmap(memory, huge);
	graph_verify(graph);
	is_sound(&s->heap);
	teardown(s);
}

struct node {
	struct node *next;
	__u64 number;
};

static struct node *make_list(int fd)
{
	struct node *list = NULL, *node;
	unsigned int i;

	for (i = 0; i < LENGTH; i++) {
		node = as_ptr(heap_new(fd, sizeof(*node), 0));
		if (!check(node))
			break;
		node->next = list;
		node->number = i;
		list = node;
	}
	return list;
}

/* It has a list in a frame below its caller's, which a register points to. */
static __attribute__((noinline)) void hold_and_spin(struct shared *s, __u64 caller)
{
	/* More than a red zone is between them. */
	volatile struct {
		struct node *list;
		char room[1024];
	} frame = { .list = make_list(s->heap.fd) };

	check(frame.list);
	/* Far below where the stack has been; or on another one. */
	spin_on(s, s->word ? s->word : as_addr((void *)&frame) - 4 * MIB, caller);
}

static void hold(void *arg)
{
	volatile char local[64] = { 0 };

	hold_and_spin(arg, as_addr((void *)local));
}

static void keeps_list(__u64 sp)
{
	struct shared *s = setup(0);
	pid_t pid;

	if (!s)
		return;
	s->word = sp;
	pid = tap_fork(hold, s);
	if (wait_ready(s, pid)) {
		check_ret(heap_collect(s->heap.fd), 0);
		check_ret(heap_collect(s->heap.fd), 0);
		check_eq(live_objects(s->heap.fd), LENGTH);
	}
	kill_child(pid);
	check_ret(heap_collect(s->heap.fd), 0);
	check_eq(live_objects(s->heap.fd), 0);
	teardown(s);
}

static void frames_not_touched(void)
{
	keeps_list(0);
}

static void coroutines(void)
{
	char *memory = reserve(MIB, PROT_READ | PROT_WRITE);

	keeps_list(as_addr(memory) + MIB / 2);
	munmap(memory, MIB);
}

/* --- ranges --- */

static void add_range(struct shared *s, const void *start, __u64 size)
{
	check_ret(heap_root(s->heap.fd, start, size, 0), 0);
	check_ret(heap_collect(s->heap.fd), 0);
}

static void del_range(struct shared *s, const void *start, __u64 size)
{
	check_ret(heap_collect(s->heap.fd), 0);
	check_ret(heap_root(s->heap.fd, start, size, KARENA_ROOT_DEL), 0);
}

static void unmapped_range(struct shared *s)
{
	char *memory = reserve(MIB, PROT_READ | PROT_WRITE);

	add_range(s, memory, MIB);
	munmap(memory + 4096, 8192);
	check_ret(heap_collect(s->heap.fd), 0);
	munmap(memory, MIB);
	del_range(s, memory, MIB);
}

static void truncated_file(struct shared *s)
{
	int fd = memfd_create("truncated", 0);
	char *memory;

	check(!ftruncate(fd, MIB));
	memory = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memset(memory, 1, MIB);
	add_range(s, memory, MIB);
	check(!ftruncate(fd, 5000));
	check_ret(heap_collect(s->heap.fd), 0);
	check(!ftruncate(fd, 0));
	del_range(s, memory, MIB);
	munmap(memory, MIB);
	close(fd);
}

/* Memory of devices: of this one, and what there is of others. */
static void device_ranges(struct shared *s)
{
	static const char *const names[] = { "/dev/zero", "/dev/mem" };
	unsigned int i;
	void *memory;
	int fd;

	add_range(s, s->heap.control, s->heap.control_size);
	del_range(s, s->heap.control, s->heap.control_size);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		fd = open(names[i], O_RDWR | O_CLOEXEC);
		memory = mmap(NULL, MIB, PROT_READ, MAP_SHARED, fd, 0);
		if (memory != MAP_FAILED) {
			add_range(s, memory, MIB);
			del_range(s, memory, MIB);
			munmap(memory, MIB);
		}
		close(fd);
	}
}

static void huge_range(struct shared *s)
{
	__u64 size = 1024 * 1024 * MIB;
	char *memory = reserve(size, PROT_READ | PROT_WRITE);

	add_range(s, memory, size);
	memset(memory + size / 3, 1, 3 * 4096);
	del_range(s, memory, size);
	munmap(memory, size);
}

/* In a child, so that nobody else's stack has its address. */
static void put_object(void *arg)
{
	struct shared *s = arg;

	*(__u64 *)s->memory = heap_new(s->heap.fd, 64, 0);
}

static void most_ranges(struct shared *s)
{
	__u64 *words = shared_memory(16 * MIB);
	unsigned int i;

	for (i = 0; i < 4096 && !tap_failed(); i++)
		check_ret(heap_root(s->heap.fd, words + 512 * i, 8, 0), 0);
	check_ret(heap_root(s->heap.fd, words + 512 * i, 8, 0), -ENOSPC);
	s->memory = (char *)&words[512 * 4095];
	tap_isolate(put_object, s);
	check_ret(heap_collect(s->heap.fd), 0);
	check_ret(heap_collect(s->heap.fd), 0);
	check_eq(live_objects(s->heap.fd), 1);
	munmap(words, 16 * MIB);
}

static void use_odd_ranges(void *arg)
{
	struct shared *s = arg;

	unmapped_range(s);
	truncated_file(s);
	device_ranges(s);
	huge_range(s);
	most_ranges(s);
}

static void odd_ranges(void)
{
	struct shared *s = setup(0);

	if (!s)
		return;
	tap_isolate(use_odd_ranges, s);
	check_ret(heap_collect(s->heap.fd), 0);
	check_ret(heap_collect(s->heap.fd), 0);
	check_eq(live_objects(s->heap.fd), 0);
	is_sound(&s->heap);
	teardown(s);
}

/* Its own stack has not seen the list. */
static void put_list(void *arg)
{
	struct shared *s = arg;

	*(struct node **)s->memory = make_list(s->heap.fd);
}

/* A list that @hide, a state of memory, does not make any less reachable. */
static void still_searched(int flags, bool (*hide)(char *memory))
{
	struct shared *s = setup(0);

	if (!s)
		return;
	/* Written by a child, it has to be shared first; then it is as asked for. */
	s->memory = shared_memory(4096);
	tap_isolate(put_list, s);
	if (flags & MAP_PRIVATE) {
		char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, flags, -1, 0);

		memcpy(memory, s->memory, 4096);
		munmap(s->memory, 4096);
		s->memory = memory;
	}
	check_ret(heap_root(s->heap.fd, s->memory, 4096, 0), 0);
	if (hide(s->memory)) {
		check_ret(heap_collect(s->heap.fd), 0);
		check_eq(live_objects(s->heap.fd), LENGTH);
	}
	munmap(s->memory, 4096);
	check_ret(heap_collect(s->heap.fd), 0);
	check_eq(live_objects(s->heap.fd), 0);
	teardown(s);
}

static bool no_access(char *memory)
{
	return check(!mprotect(memory, 4096, PROT_NONE));
}

static void without_permission(void)
{
	still_searched(MAP_PRIVATE | MAP_ANONYMOUS, no_access);
}

static bool with_key(char *memory)
{
	int key = pkey_alloc(0, PKEY_DISABLE_ACCESS);

	if (key < 0)
		tap_skip("no protection keys");
	return key >= 0 && check(!pkey_mprotect(memory, 4096, PROT_READ | PROT_WRITE, key));
}

static void with_protection_key(void)
{
	still_searched(MAP_PRIVATE | MAP_ANONYMOUS, with_key);
}

static bool is_in_memory(char *memory)
{
	unsigned char there = 0;

	check(!mincore(memory, 4096, &there));
	return there & 1;
}

/* On each CPU in turn: a page that has just come to one is in a list of its own there. */
static bool swap_out(char *memory)
{
	unsigned int nr = sysconf(_SC_NPROCESSORS_ONLN), i;
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	for (i = 0; i < 64 && is_in_memory(memory); i++) {
		CPU_ZERO(&one);
		CPU_SET(i % nr, &one);
		sched_setaffinity(0, sizeof(one), &one);
		/* Only what is mapped is swapped out. */
		(void)*(volatile char *)(memory + 4000);
		madvise(memory, 4096, MADV_PAGEOUT);
	}
	sched_setaffinity(0, sizeof(all), &all);
	if (!is_in_memory(memory))
		return true;
	tap_skip("nothing is swapped out");
	return false;
}

static void swapped_out(void)
{
	still_searched(MAP_PRIVATE | MAP_ANONYMOUS, swap_out);
}

static void swapped_out_shared(void)
{
	still_searched(MAP_SHARED, swap_out);
}

/* --- memory that a program serves, and does not --- */

#define SERVED (64 * 4096)

/* Memory that userfaultfd has the faults of; -1 where there is no such thing. */
static int make_served(char *memory)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { as_addr(memory), SERVED }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return -1;
	check(!ioctl(fd, UFFDIO_API, &api));
	check(!ioctl(fd, UFFDIO_REGISTER, &reg));
	return fd;
}

/* Nobody answers; its end by SIGALRM says that somebody has waited for it. */
static void have_served_range(void *arg)
{
	struct shared *s = arg;

	/* Of its pages one is there, and searched. */
	*(__u64 *)(s->memory + 8 * 4096) = s->word;
	s->word = 0;
	if (make_served(s->memory) < 0)
		return;
	check_ret(heap_root(s->heap.fd, s->memory, SERVED, 0), 0);
	alarm(PATIENCE);
	spin_on(s, as_addr(s->memory) + (s->size ? SERVED - 4096 - 64 : SERVED), 0);
}

static void served(int flags, bool stack)
{
	struct shared *s = setup(0);
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	unsigned int i;
	pid_t pid;

	if (fd < 0)
		tap_skip("no userfaultfd");
	close(fd);
	if (!s || fd < 0)
		return;
	check_ret(heap_root(s->heap.fd, &s->word, sizeof(s->word), 0), 0);
	s->memory = (char *)&s->word;
	tap_isolate(put_object, s);
	s->memory = mmap(NULL, SERVED, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	s->size = stack;
	pid = tap_fork(have_served_range, s);
	if (wait_ready(s, pid)) {
		for (i = 0; i < 3; i++)
			check_ret(heap_collect(s->heap.fd), 0);
		check_eq(live_objects(s->heap.fd), 1);
	}
	kill_child(pid);
	munmap(s->memory, SERVED);
	teardown(s);
}

static void served_range(void)
{
	served(MAP_PRIVATE, false);
}

static void served_shared_range(void)
{
	served(MAP_SHARED, false);
}

static void served_stack(void)
{
	served(MAP_PRIVATE, true);
}

static const struct tap_case cases[] = {
	{ "forged references", forged_references },
	{ "a window scribbled over", scribbled_over },
	{ "writers that may read only", read_only_writers },
	{ "stacks that are not there, or of another kind", odd_stacks },
	{ "frames that were not touched yet", frames_not_touched },
	{ "another stack, and a word that points back", coroutines },
	{ "ranges that are not there, and as many as there may be", odd_ranges },
	{ "a range that may not be read just now", without_permission },
	{ "a range with a protection key", with_protection_key },
	{ "a range that is swapped out", swapped_out },
	{ "a shared range that is swapped out", swapped_out_shared },
	{ "a range that userfaultfd should serve", served_range },
	{ "a shared range that userfaultfd should serve", served_shared_range },
	{ "a stack that userfaultfd should serve", served_stack },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
