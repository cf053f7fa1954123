// SPDX-License-Identifier: GPL-2.0
/*
 * Where the only reference to an object may be: each register, the red zone, stacks
 * and what they are left for, ranges.  A child puts it there and runs, or sleeps,
 * while the heap is collected.  When the child is gone, so has to be the object: it
 * was not kept by anything else.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap.h"
#include "spot.h"
#include "tap.h"

static struct spot *const spot = (struct spot *)SPOT_ADDRESS;

/* --- registers --- */

#define HOLD_GENERAL(reg, how) \
	static void general_##reg##_##how(void) \
	{ \
		__asm__ volatile("movq %%" #reg ", " SAVED "\n" \
				 "movq " HIDDEN ", %%" #reg "\n" \
				 "notq %%" #reg "\n" \
				 how \
				 "movq %%" #reg ", " BACK "\n" \
				 "movq " SAVED ", %%" #reg "\n" \
				 ::: CLOBBERS); \
	} \
	struct spot /* for the semicolon behind */

/* All that there is of it is where it ends. */
static void behind_end(void)
{
	__asm__ volatile("movq %%rbx, " SAVED "\n"
			 "movq " HIDDEN ", %%rbx\n"
			 "notq %%rbx\n"
			 "addq $32, %%rbx\n"
			 SPIN
			 "subq $32, %%rbx\n"
			 "movq %%rbx, " BACK "\n"
			 "movq " SAVED ", %%rbx\n"
			 ::: CLOBBERS);
}

/* @in takes it from rax, @out puts it there. */
#define HOLD_VECTOR(name, in, out, how) \
	static void vector_##name##_##how(void) \
	{ \
		__asm__ volatile("movq " HIDDEN ", %%rax\n" \
				 "notq %%rax\n" \
				 in \
				 "xorl %%eax, %%eax\n" \
				 how \
				 out \
				 "movq %%rax, " BACK "\n" \
				 ::: "xmm0", "xmm3", "xmm7", "xmm15", "mm5", CLOBBERS); \
	} \
	struct spot /* for the semicolon behind */

#define LOW_IN(n)	"movq %%rax, %%xmm" #n "\n"
#define LOW_OUT(n)	"movq %%xmm" #n ", %%rax\n"
/* Word @at of the upper half of a 256-bit register. */
#define HIGH_IN(n, at)	"vpxor %%xmm3, %%xmm3, %%xmm3\n" \
			"vpxor %%xmm" #n ", %%xmm" #n ", %%xmm" #n "\n" \
			"vpinsrq $" #at ", %%rax, %%xmm3, %%xmm3\n" \
			"vinserti128 $1, %%xmm3, %%ymm" #n ", %%ymm" #n "\n" \
			"vpxor %%xmm3, %%xmm3, %%xmm3\n"
#define HIGH_OUT(n, at)	"vextracti128 $1, %%ymm" #n ", %%xmm3\n" \
			"vpextrq $" #at ", %%xmm3, %%rax\n" \
			"vzeroupper\n"

HOLD_GENERAL(rax, SPIN);
HOLD_GENERAL(rbx, SPIN);
HOLD_GENERAL(rcx, SPIN);
HOLD_GENERAL(rdx, SPIN);
HOLD_GENERAL(rsi, SPIN);
HOLD_GENERAL(rdi, SPIN);
HOLD_GENERAL(rbp, SPIN);
HOLD_GENERAL(r8, SPIN);
HOLD_GENERAL(r9, SPIN);
HOLD_GENERAL(r10, SPIN);
HOLD_GENERAL(r11, SPIN);
HOLD_GENERAL(r12, SPIN);
HOLD_GENERAL(r13, SPIN);
HOLD_GENERAL(r14, SPIN);
HOLD_GENERAL(r15, SPIN);
/* A system call needs the others. */
HOLD_GENERAL(rbx, SLEEP);
HOLD_GENERAL(rbp, SLEEP);
HOLD_GENERAL(r8, SLEEP);
HOLD_GENERAL(r9, SLEEP);
HOLD_GENERAL(r12, SLEEP);
HOLD_GENERAL(r13, SLEEP);
HOLD_GENERAL(r14, SLEEP);
HOLD_GENERAL(r15, SLEEP);

HOLD_VECTOR(mm5, "movq %%rax, %%mm5\n", "movq %%mm5, %%rax\nemms\n", SPIN);
HOLD_VECTOR(xmm0, LOW_IN(0), LOW_OUT(0), SPIN);
HOLD_VECTOR(xmm15, LOW_IN(15), LOW_OUT(15), SPIN);
HOLD_VECTOR(ymm0, HIGH_IN(0, 0), HIGH_OUT(0, 0), SPIN);
HOLD_VECTOR(ymm7, HIGH_IN(7, 1), HIGH_OUT(7, 1), SPIN);
HOLD_VECTOR(mm5, "movq %%rax, %%mm5\n", "movq %%mm5, %%rax\nemms\n", SLEEP);
HOLD_VECTOR(xmm7, LOW_IN(7), LOW_OUT(7), SLEEP);
HOLD_VECTOR(ymm0, HIGH_IN(0, 1), HIGH_OUT(0, 1), SLEEP);
HOLD_VECTOR(ymm15, HIGH_IN(15, 0), HIGH_OUT(15, 0), SLEEP);

/* --- memory --- */

/* Below the stack pointer, where functions that call none have their variables. */
#define HOLD_BELOW(distance, how) \
	static __attribute__((noinline)) void below_##distance##_##how(void) \
	{ \
		__asm__ volatile("movq " HIDDEN ", %%rax\n" \
				 "notq %%rax\n" \
				 "movq %%rax, -" #distance "(%%rsp)\n" \
				 "xorl %%eax, %%eax\n" \
				 how \
				 "movq -" #distance "(%%rsp), %%rax\n" \
				 "movq %%rax, " BACK "\n" \
				 "movq $0, -" #distance "(%%rsp)\n" \
				 ::: CLOBBERS); \
	} \
	struct spot /* for the semicolon behind */

HOLD_BELOW(8, SPIN);
HOLD_BELOW(128, SPIN);
HOLD_BELOW(8, SLEEP);
HOLD_BELOW(128, SLEEP);

static void unhide(__u64 *word)
{
	__asm__ volatile("movq " HIDDEN ", %%rax\n"
			 "notq %%rax\n"
			 "movq %%rax, (%0)\n"
			 "xorl %%eax, %%eax\n"
			 : : "r"(word) : "rax", "memory", "cc");
}

static void wait_spinning(void)
{
	__asm__ volatile(SPIN ::: CLOBBERS);
}

static void wait_asleep(void)
{
	__asm__ volatile(SLEEP ::: CLOBBERS);
}

static void on_stack(void)
{
	__u64 word[1];

	unhide(word);
	wait_asleep();
	spot->back = *word;
}

/* In a signal handler, which is on a stack of its own. */
static void (*in_handler)(void);

static void handle(__attribute__((unused)) int number)
{
	in_handler();
}

#define STACK_SIZE 65536

static void take_stack(void *start, void (*fn)(void))
{
	stack_t stack = { .ss_sp = start, .ss_size = STACK_SIZE };
	struct sigaction action = { .sa_handler = handle, .sa_flags = SA_ONSTACK };

	in_handler = fn;
	check(!sigaltstack(&stack, NULL) && !sigaction(SIGUSR1, &action, NULL));
}

static void take_other_stack(void (*fn)(void))
{
	take_stack(mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0), fn);
}

static void on_other_stack(void)
{
	take_other_stack(on_stack);
	raise(SIGUSR1);
}

static __attribute__((noinline)) void raise_below(void)
{
	__u64 word[1];

	unhide(word);
	raise(SIGUSR1);
	spot->back = *word;
}

static void below_other_stack_spin(void)
{
	take_other_stack(wait_spinning);
	raise_below();
}

static void below_other_stack_sleep(void)
{
	take_other_stack(wait_asleep);
	raise_below();
}

/* The handler's stack is an array on the stack that it interrupts, above or below it. */
static void below_array(void)
{
	char array[STACK_SIZE];

	take_stack(array, wait_asleep);
	raise_below();
}

static __attribute__((noinline)) void raise_on_array(void)
{
	char array[STACK_SIZE];

	take_stack(array, wait_asleep);
	raise(SIGUSR1);
}

static void above_array(void)
{
	__u64 word[1];

	unhide(word);
	raise_on_array();
	spot->back = *word;
}

/* A variable in the red zone of who is interrupted. */
static __attribute__((noinline)) void interrupted(void)
{
	__asm__ volatile("movq " HIDDEN ", %%rax\n"
			 "notq %%rax\n"
			 "movq %%rax, -120(%%rsp)\n"
			 "movl $186, %%eax\n"	/* gettid() */
			 "syscall\n"
			 "movl %%eax, %%edi\n"
			 "movl $10, %%esi\n"	/* SIGUSR1 */
			 "movl $200, %%eax\n"	/* tkill() */
			 "syscall\n"
			 "movq -120(%%rsp), %%rax\n"
			 "movq %%rax, " BACK "\n"
			 "movq $0, -120(%%rsp)\n"
			 ::: CLOBBERS);
}

static void red_zone_below_other_stack(void)
{
	take_other_stack(wait_asleep);
	interrupted();
}

/* --- holding and looking --- */

#define PLACE(fn)	{ #fn, fn }

struct place {
	const char *name;
	void (*hold)(void);
};

static const struct place general[] = {
	PLACE(general_rax_SPIN), PLACE(general_rbx_SPIN), PLACE(general_rcx_SPIN),
	PLACE(general_rdx_SPIN), PLACE(general_rsi_SPIN), PLACE(general_rdi_SPIN),
	PLACE(general_rbp_SPIN), PLACE(general_r8_SPIN), PLACE(general_r9_SPIN),
	PLACE(general_r10_SPIN), PLACE(general_r11_SPIN), PLACE(general_r12_SPIN),
	PLACE(general_r13_SPIN), PLACE(general_r14_SPIN), PLACE(general_r15_SPIN),
	PLACE(general_rbx_SLEEP), PLACE(general_rbp_SLEEP), PLACE(general_r8_SLEEP),
	PLACE(general_r9_SLEEP), PLACE(general_r12_SLEEP), PLACE(general_r13_SLEEP),
	PLACE(general_r14_SLEEP), PLACE(general_r15_SLEEP),
};

static const struct place behind[] = { PLACE(behind_end) };

static const struct place vector[] = {
	PLACE(vector_mm5_SPIN), PLACE(vector_xmm0_SPIN), PLACE(vector_xmm15_SPIN),
	PLACE(vector_mm5_SLEEP), PLACE(vector_xmm7_SLEEP),
};

static const struct place upper[] = {
	PLACE(vector_ymm0_SPIN), PLACE(vector_ymm7_SPIN),
	PLACE(vector_ymm0_SLEEP), PLACE(vector_ymm15_SLEEP),
};

static const struct place red_zone[] = {
	PLACE(below_8_SPIN), PLACE(below_128_SPIN), PLACE(below_8_SLEEP), PLACE(below_128_SLEEP),
};

static const struct place stack[] = { PLACE(on_stack), PLACE(on_other_stack) };

static const struct place left[] = {
	PLACE(below_other_stack_spin), PLACE(below_other_stack_sleep),
	PLACE(red_zone_below_other_stack), PLACE(below_array), PLACE(above_array),
};

static const struct place *place;
static struct heap heap;

static void *run_place(void *unused)
{
	check_ret(heap_alloc(heap.fd, 32, 0, 1, &spot->hidden), 0);
	__asm__ volatile("notq " HIDDEN ::: "memory", "cc");
	place->hold();
	check_eq(~spot->back, spot->hidden);
	return unused;
}

/* The thread that a process begins with, or another one. */
static void run_first(void *unused)
{
	run_place(unused);
}

static void run_second(void *unused)
{
	pthread_t thread;

	if (check(!pthread_create(&thread, NULL, run_place, unused)))
		pthread_join(thread, NULL);
}

static void release(void)
{
	__atomic_store_n(&spot->released, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &spot->released, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0);
}

static void look(void (*run)(void *unused))
{
	pid_t pid;

	memset(spot, 0, sizeof(*spot));
	pid = tap_fork(run, NULL);
	while (!__atomic_load_n(&spot->held, __ATOMIC_ACQUIRE) && !waitpid(pid, NULL, WNOHANG))
		sched_yield();
	/* What the first cycle finds has to be found by the second one as well. */
	check_ret(heap_collect(heap.fd), 0);
	check_ret(heap_collect(heap.fd), 0);
	if (!check(heap_usable(heap.fd, ~spot->hidden) > 0))
		tap_diag("%s was not found, in the %s thread", place->name,
			 run == run_first ? "first" : "second");
	release();
	tap_join(pid);
	check_ret(heap_collect(heap.fd), 0);
	check_ret(heap_usable(heap.fd, ~spot->hidden), -ENOENT);
}

static void look_at(const struct place *places, unsigned int n)
{
	unsigned int i;

	if (!heap_open_collected(&heap, WINDOW, 0))
		return;
	for (i = 0; i < n; i++) {
		place = &places[i];
		look(run_first);
		look(run_second);
	}
	heap_close(&heap);
}

static void general_registers(void)
{
	look_at(general, ARRAY_SIZE(general));
}

static void ends_of_objects(void)
{
	look_at(behind, ARRAY_SIZE(behind));
}

static void vector_registers(void)
{
	look_at(vector, ARRAY_SIZE(vector));
}

static void upper_halves(void)
{
	if (__builtin_cpu_supports("avx2"))
		look_at(upper, ARRAY_SIZE(upper));
	else
		tap_skip("no AVX2");
}

static void red_zones(void)
{
	look_at(red_zone, ARRAY_SIZE(red_zone));
}

static void stacks(void)
{
	look_at(stack, ARRAY_SIZE(stack));
}

static void left_stacks(void)
{
	look_at(left, ARRAY_SIZE(left));
}

/* --- ranges --- */

static __u64 range[8];

static void in_inherited_range(void)
{
	unhide(&range[5]);
	wait_asleep();
	spot->back = range[5];
}

static void inherited_ranges(void)
{
	static const struct place inherited = PLACE(in_inherited_range);

	if (!heap_open_collected(&heap, WINDOW, 0))
		return;
	check_ret(heap_root(heap.fd, range, sizeof(range), 0), 0);
	place = &inherited;
	look(run_first);
	look(run_second);
	heap_close(&heap);
}

static const struct tap_case cases[] = {
	{ "general registers", general_registers },
	{ "ends of objects", ends_of_objects },
	{ "vector registers", vector_registers },
	{ "upper halves of vector registers", upper_halves },
	{ "red zones", red_zones },
	{ "the stack that a thread is on", stacks },
	{ "the stack that a handler has left", left_stacks },
	{ "ranges of a child", inherited_ranges },
};

int main(void)
{
	void *page = mmap(as_ptr(SPOT_ADDRESS), 4096, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (page != spot)
		return 1;
	return tap_main(cases, ARRAY_SIZE(cases));
}
