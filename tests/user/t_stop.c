// SPDX-License-Identifier: GPL-2.0
/*
 * All threads stand still in a stop, whatever they do.  Each of some processes moves
 * the only reference to an object of its own from place to place without end: from a
 * register to the upper half of a vector register, below the stack pointer, to one
 * end of a range and to the other.  They spin, sleep, fault, get signals, are traced,
 * fork, and end their threads.  It is copied first and cleared then, so that it is
 * somewhere at any moment, but a search that takes a while does not find it if
 * it moves meanwhile.  Each cycle searches twice (karena_gc_control.check).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "heap.h"
#include "tap.h"

#define MACHINE_PAGE	4096u

struct agent {
	/* The assembler knows where these are. */
	__u64 hidden;			/* address of the object, inverted */
	__u32 held;			/* it has it */
	__u32 over;			/* it may stop */
	__u64 back;			/* what it had in the end */
	struct timespec nap;
	__u64 page;			/* to fault at */

	__u64 range[16384];		/* searched, in the agent's process */
	int fd;				/* of the heap */
};

_Static_assert(offsetof(struct agent, over) == 12 && offsetof(struct agent, nap) == 24 &&
	       offsetof(struct agent, page) == 40, "as the assembler has it");

/* What is done between two moves. */
#define SPIN	"movl $100, %%ecx\n" \
		"1: decl %%ecx\n" \
		"jnz 1b\n"
#define NAP	"movl $35, %%eax\n"		/* nanosleep() */ \
		"leaq 24(%%rbx), %%rdi\n" \
		"xorl %%esi, %%esi\n" \
		"syscall\n"
#define FAULT	"movl $28, %%eax\n"		/* madvise(MADV_DONTNEED) */ \
		"movq 40(%%rbx), %%rdi\n" \
		"movl $4096, %%esi\n" \
		"movl $4, %%edx\n" \
		"syscall\n" \
		"movq 40(%%rbx), %%rdi\n" \
		"movb $1, (%%rdi)\n"

#define MOVES \
	"movq %0, %%rbx\n" \
	"leaq %c1(%%rbx), %%r14\n" \
	"leaq %c2(%%rbx), %%r15\n" \
	"movq (%%rbx), %%r12\n" \
	"notq %%r12\n" \
	"movl $1, 8(%%rbx)\n" \
	"2: between\n" \
	"vpxor %%xmm3, %%xmm3, %%xmm3\n" \
	"vmovq %%r12, %%xmm1\n" \
	"vinserti128 $1, %%xmm1, %%ymm3, %%ymm3\n" \
	"vpxor %%xmm1, %%xmm1, %%xmm1\n" \
	"xorl %%r12d, %%r12d\n" \
	"between\n" \
	"vextracti128 $1, %%ymm3, %%xmm2\n" \
	"vmovq %%xmm2, -64(%%rsp)\n" \
	"vpxor %%xmm3, %%xmm3, %%xmm3\n" \
	"vpxor %%xmm2, %%xmm2, %%xmm2\n" \
	"between\n" \
	"movq -64(%%rsp), %%r13\n" \
	"movq $0, -64(%%rsp)\n" \
	"between\n" \
	"movq %%r13, (%%r14)\n" \
	"xorl %%r13d, %%r13d\n" \
	"between\n" \
	"movq (%%r14), %%r12\n" \
	"movq %%r12, (%%r15)\n" \
	"movq $0, (%%r14)\n" \
	"xorl %%r12d, %%r12d\n" \
	"between\n" \
	"movq (%%r15), %%r12\n" \
	"movq $0, (%%r15)\n" \
	"cmpl $0, 12(%%rbx)\n" \
	"je 2b\n" \
	"movq %%r12, 16(%%rbx)\n" \
	"xorl %%r12d, %%r12d\n" \
	".purgem between\n"

#define MOVE(who, between) \
	({ \
		__asm__ volatile(".macro between\n" between ".endm\n" MOVES \
				 : : "r"(who), "i"(offsetof(struct agent, range)), \
				     "i"(offsetof(struct agent, fd) - 8) \
				 : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r11", "r12", "r13", \
				   "r14", "r15", "xmm1", "xmm2", "xmm3", "memory", "cc"); \
	}) /* asm */

static __attribute__((noinline)) void move_spinning(struct agent *agent)
{
	MOVE(agent, SPIN);
}

static __attribute__((noinline)) void move_sleeping(struct agent *agent)
{
	MOVE(agent, NAP);
}

static __attribute__((noinline)) void move_faulting(struct agent *agent)
{
	MOVE(agent, FAULT);
}

static bool is_over(const struct agent *agent)
{
	return __atomic_load_n(&agent->over, __ATOMIC_ACQUIRE);
}

static void hold(struct agent *agent)
{
	__atomic_store_n(&agent->held, 1, __ATOMIC_RELEASE);
}

static void spin(struct agent *agent)
{
	move_spinning(agent);
}

static void nap(struct agent *agent)
{
	agent->nap.tv_nsec = 20000;
	move_sleeping(agent);
}

static void fault(struct agent *agent)
{
	agent->page = as_addr(mmap(NULL, MACHINE_PAGE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	move_faulting(agent);
}

static void handle(__attribute__((unused)) int number)
{
}

/* Every other millisecond, on a stack of its own. */
static void get_signals(struct agent *agent)
{
	struct itimerval every = { { .tv_usec = 2000 }, { .tv_usec = 2000 } }, never = { 0 };
	struct sigaction action = { .sa_handler = handle, .sa_flags = SA_ONSTACK };
	static char array[65536];
	stack_t stack = { .ss_sp = array, .ss_size = sizeof(array) };

	check(!sigaltstack(&stack, NULL) && !sigaction(SIGALRM, &action, NULL));
	setitimer(ITIMER_REAL, &every, NULL);
	move_spinning(agent);
	setitimer(ITIMER_REAL, &never, NULL);
}

static void trace(pid_t pid, struct agent *agent)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	unsigned int i;

	check(!ptrace(PTRACE_SEIZE, pid, NULL, NULL));
	while (!is_over(agent)) {
		check(!ptrace(PTRACE_INTERRUPT, pid, NULL, NULL));
		check_eq(waitpid(pid, NULL, __WALL), pid);
		for (i = 0; i < 20; i++) {
			check(!ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL));
			check_eq(waitpid(pid, NULL, __WALL), pid);
		}
		nanosleep(&pause, NULL);
		check(!ptrace(PTRACE_CONT, pid, NULL, NULL));
		nanosleep(&pause, NULL);
	}
	check(!ptrace(PTRACE_INTERRUPT, pid, NULL, NULL));
	check_eq(waitpid(pid, NULL, __WALL), pid);
	check(!ptrace(PTRACE_DETACH, pid, NULL, NULL));
}

struct tracer {
	pid_t pid;
	struct agent *agent;
};

static void run_tracer(void *arg)
{
	struct tracer *tracer = arg;

	trace(tracer->pid, tracer->agent);
}

static void be_traced(struct agent *agent)
{
	struct tracer tracer = { getpid(), agent };
	pid_t pid = tap_fork(run_tracer, &tracer);

	move_spinning(agent);
	tap_join(pid);
}

/* A child goes on with it while its parent ends, and so on. */
static void pass_on_by_fork(struct agent *agent)
{
	struct timespec pause = { .tv_nsec = 500000 };
	__u64 token = ~agent->hidden;

	/* Not to be kept inverted. */
	__asm__ volatile("" : "+r"(token));
	hold(agent);
	/* Without whoever waits for the end there is none to wait for. */
	while (!is_over(agent) && getppid() != 1) {
		nanosleep(&pause, NULL);
		if (fork())
			_exit(0);
	}
	agent->back = token;
	_exit(0);
}

static void fork_on(struct agent *agent)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!fork())
		pass_on_by_fork(agent);
	while (wait(NULL) > 0)
		;
}

static struct agent *thread_agent;

static void *pass_on_by_thread(void *token)
{
	struct timespec pause = { .tv_nsec = 200000 };
	pthread_attr_t attr;
	pthread_t thread;

	hold(thread_agent);
	nanosleep(&pause, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (is_over(thread_agent))
		__atomic_store_n(&thread_agent->back, as_addr(token), __ATOMIC_RELEASE);
	else
		check(!pthread_create(&thread, &attr, pass_on_by_thread, token));
	return NULL;
}

static void thread_on(struct agent *agent)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	pthread_t thread;

	thread_agent = agent;
	check(!pthread_create(&thread, NULL, pass_on_by_thread, as_ptr(~agent->hidden)));
	pthread_join(thread, NULL);
	while (!__atomic_load_n(&agent->back, __ATOMIC_ACQUIRE) && !tap_failed())
		nanosleep(&pause, NULL);
}

static const struct {
	const char *name;
	void (*run)(struct agent *agent);
} does[] = {
	{ "spins", spin }, { "spins too", spin }, { "sleeps", nap }, { "faults", fault },
	{ "gets signals", get_signals }, { "is traced", be_traced }, { "forks", fork_on },
	{ "ends threads", thread_on },
};

struct start {
	struct agent *agent;
	unsigned int what;
};

static void run_agent(void *arg)
{
	struct start *start = arg;
	struct agent *agent = start->agent;

	check_ret(heap_root(agent->fd, agent->range, sizeof(agent->range), 0), 0);
	check_ret(heap_alloc(agent->fd, 32, 0, 1, &agent->hidden), 0);
	*(__u64 *)as_ptr(agent->hidden) = ~agent->hidden;
	agent->hidden = ~agent->hidden;
	does[start->what].run(agent);
	if (check_eq(agent->back, ~agent->hidden))
		check_eq(*(__u64 *)as_ptr(agent->back), agent->hidden);
}

static void check_agents(const struct agent *agent, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (!check(heap_usable(agent[i].fd, ~agent[i].hidden) > 0))
			tap_diag("the object of one who %s", does[i].name);
}

static void collect_checked(int fd)
{
	struct karena_gc_control control;

	if (!gc_get(fd, &control))
		return;
	control.percent = -1;
	control.check = 1;
	gc_set(fd, &control);
}

/* Two stops each. */
static void stop_often(struct agent *agent, unsigned int cycles)
{
	struct karena_gc_info info;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(does); i++)
		while (!__atomic_load_n(&agent[i].held, __ATOMIC_ACQUIRE))
			usleep(1000);
	for (i = 0; i < cycles && !tap_failed(); i++) {
		check_ret(heap_collect(agent->fd), 0);
		check_agents(agent, ARRAY_SIZE(does));
		if (gc_info(agent->fd, &info))
			check_eq(info.lost, 0);
	}
	tap_diag("%llu cycles, %llu stops and as many to check, %llu put off, %llu us the longest",
		 info.cycles, info.stops, info.put_off, info.stop_max_ns / 1000);
}

static void everybody_stands(void)
{
	size_t size = sizeof(struct agent) * ARRAY_SIZE(does);
	struct start start[ARRAY_SIZE(does)];
	pid_t pid[ARRAY_SIZE(does)];
	struct agent *agent;
	struct heap heap;
	unsigned int i;

	if (!__builtin_cpu_supports("avx2")) {
		tap_skip("no AVX2");
		return;
	}
	agent = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!check(agent != MAP_FAILED) || !heap_open_collected(&heap, WINDOW, 0))
		return;
	collect_checked(heap.fd);
	for (i = 0; i < ARRAY_SIZE(does); i++) {
		agent[i].fd = heap.fd;
		start[i] = (struct start){ &agent[i], i };
		pid[i] = tap_fork(run_agent, &start[i]);
	}
	/* Who looks at the objects is no root of them. */
	heap_unmap(&heap);
	stop_often(agent, tap_count(100, 5000));
	for (i = 0; i < ARRAY_SIZE(does); i++)
		__atomic_store_n(&agent[i].over, 1, __ATOMIC_RELEASE);
	for (i = 0; i < ARRAY_SIZE(does); i++)
		tap_join(pid[i]);
	heap_close(&heap);
	munmap(agent, size);
}

/* --- moves in the kernel --- */

/*
 * A thread that sleeps in a system call stands, but may wake and go on there: one that
 * moves a reference, when the page of zeroes comes that it waits for.  The range
 * that it is moved to is searched before the one that it comes from.
 */
struct slider {
	struct agent agent;
	struct heap heap;
	__u64 *to, *from;		/* each in a range of its own, in this order */
	__u64 *late;			/* zeroes, that take time */
	int fault_fd;
	pid_t pid;
	unsigned int done;
};

static void move_in_kernel(struct slider *s)
{
	static __u64 zero, unused;
	struct iovec in[] = { { s->late, 8 }, { s->from, 8 }, { &zero, 8 } };
	struct iovec out[] = { { &unused, 8 }, { s->to, 8 }, { s->from, 8 } };

	check_eq(process_vm_writev(s->pid, in, 3, out, 3, 0), 24);
	check(!madvise(s->late, MACHINE_PAGE, MADV_DONTNEED));
}

static void move_back(struct slider *s)
{
	__asm__ volatile("movq (%0), %%rax\n"
			 "movq %%rax, (%1)\n"
			 "movq $0, (%0)\n"
			 "xorl %%eax, %%eax\n"
			 : : "r"(s->to), "r"(s->from) : "rax", "memory", "cc");
}

/* Serves the page after a while, from a process that no stop stops. */
static void run_server(void *arg)
{
	struct slider *s = arg;
	struct uffdio_zeropage zero = { .range = { as_addr(s->late), MACHINE_PAGE } };
	struct timespec pause = { 0 };
	struct heap own = s->heap;
	struct uffd_msg msg;
	struct rng rng;

	heap_unmap(&own);
	rng_init(&rng, 1);
	while (!__atomic_load_n(&s->done, __ATOMIC_ACQUIRE)) {
		if (read(s->fault_fd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		pause.tv_nsec = rng_below(&rng, 10000000);
		nanosleep(&pause, NULL);
		check(!ioctl(s->fault_fd, UFFDIO_ZEROPAGE, &zero));
	}
}

static void *new_page(void)
{
	return mmap(NULL, MACHINE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
}

static bool open_fault_fd(struct slider *s)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { as_addr(s->late), MACHINE_PAGE }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	s->fault_fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	return check(s->fault_fd >= 0) && check(!ioctl(s->fault_fd, UFFDIO_API, &api)) &&
	       check(!ioctl(s->fault_fd, UFFDIO_REGISTER, &reg));
}

static void run_slider(void *arg)
{
	struct slider *s = arg;
	__u64 *page[2] = { new_page(), new_page() };
	pid_t server;

	s->pid = getpid();
	s->to = page[page[0] > page[1]];
	s->from = page[page[0] < page[1]];
	s->late = new_page();
	check_ret(heap_root(s->agent.fd, s->to, 8, 0), 0);
	check_ret(heap_root(s->agent.fd, s->from, 8, 0), 0);
	if (!open_fault_fd(s))
		return;
	server = tap_fork(run_server, s);
	check_ret(heap_alloc(s->agent.fd, 32, 0, 1, s->from), 0);
	s->agent.hidden = ~*s->from;
	hold(&s->agent);
	while (!is_over(&s->agent)) {
		move_in_kernel(s);
		move_back(s);
	}
	/* Not before: a fault would wait for the server for ever. */
	__atomic_store_n(&s->done, 1, __ATOMIC_RELEASE);
	tap_join(server);
}

static void moves_are_noticed(void)
{
	unsigned int i, n = tap_count(200, 4000);
	struct heap heap;
	struct slider *s;
	pid_t pid;
	int fd;

	fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (fd < 0) {
		tap_skip("no userfaultfd()");
		return;
	}
	close(fd);
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!check(s != MAP_FAILED) || !heap_open_collected(&heap, WINDOW, 0))
		return;
	s->agent.fd = heap.fd;
	s->heap = heap;
	pid = tap_fork(run_slider, s);
	heap_unmap(&heap);
	while (!__atomic_load_n(&s->agent.held, __ATOMIC_ACQUIRE))
		usleep(1000);
	for (i = 0; i < n && !tap_failed(); i++) {
		check_ret(heap_collect(heap.fd), 0);
		check(heap_usable(heap.fd, ~s->agent.hidden) > 0);
	}
	__atomic_store_n(&s->agent.over, 1, __ATOMIC_RELEASE);
	tap_join(pid);
	heap_close(&heap);
	munmap(s, sizeof(*s));
}

static const struct tap_case cases[] = {
	{ "whatever threads do, they stand", everybody_stands },
	{ "who moved meanwhile is looked at again", moves_are_noticed },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
