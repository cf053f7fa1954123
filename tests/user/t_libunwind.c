// SPDX-License-Identifier: GPL-2.0
/*
 * libkarena, which calls have led somewhere: what is told is what libgcc tells, from frames
 * of all kinds, by whatever way one has come there.
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <pthread.h>
#include <search.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unwind.h>

#include "tap.h"
#include "../../tools/lib/unwind.h"

#define MOST	64

struct trace {
	__u64 frame[MOST];
	unsigned int count;
};

static struct rng rng;
static unsigned int traces;

static _Unwind_Reason_Code add_frame(struct _Unwind_Context *context, void *arg)
{
	struct trace *trace = arg;
	__u64 ip = _Unwind_GetIP(context);

	if (!ip || trace->count == MOST)
		return _URC_END_OF_STACK;
	trace->frame[trace->count++] = ip;
	return _URC_NO_REASON;
}

/* Both are called from here, but not from the same place: the first frame differs. */
static __attribute__((noinline)) void compare(void)
{
	struct trace ours, theirs = { .count = 0 };
	unsigned int i;

	ours.count = karena_backtrace(ours.frame, MOST);
	_Unwind_Backtrace(add_frame, &theirs);
	traces++;
	if (!check_eq(ours.count, theirs.count))
		return;
	for (i = 1; i < ours.count; i++)
		if (!check_eq(ours.frame[i], theirs.frame[i]))
			tap_diag("frame %u of %u", i, ours.count);
}

/* --- frames --- */

static void go_on(unsigned int depth);

/* So that it is there, until then. */
static void use(void *room)
{
	__asm__ volatile("" : : "r"(room) : "memory");
}

static __attribute__((noinline)) void small(unsigned int depth)
{
	go_on(depth);
	__asm__ volatile("");
}

static __attribute__((noinline)) void large(unsigned int depth)
{
	char room[3000];

	use(room);
	go_on(depth);
	use(room);
}

/* Longer than is believed. */
static __attribute__((noinline)) void huge(unsigned int depth)
{
	char room[40000];

	use(room);
	go_on(depth);
	use(room);
}

static __attribute__((noinline)) void variable(unsigned int depth)
{
	char *room = alloca(16 + rng_below(&rng, 2000));

	use(room);
	go_on(depth);
	use(room);
}

static __attribute__((noinline)) void aligned(unsigned int depth)
{
	char room[64] __attribute__((aligned(64)));

	use(room);
	go_on(depth);
	use(room);
}

static __attribute__((noinline, optimize("no-omit-frame-pointer"))) void pointed(unsigned int depth)
{
	go_on(depth);
	__asm__ volatile("");
}

/* Saves all registers that it may. */
static __attribute__((noinline)) void saving(unsigned int depth)
{
	__asm__ volatile("" : : : "rbx", "rbp", "r12", "r13", "r14", "r15");
	go_on(depth);
	__asm__ volatile("" : : : "rbx", "rbp", "r12", "r13", "r14", "r15");
}

static void (* const kinds[])(unsigned int depth) = {
	small, large, variable, pointed, saving, huge, aligned
};

static unsigned int kinds_used;

static void go_on(unsigned int depth)
{
	if (!depth)
		compare();
	else
		kinds[rng_below(&rng, kinds_used)](depth - 1);
	__asm__ volatile("");
}

/* Frames are of the first so many kinds. */
static void begin(unsigned int used)
{
	kinds_used = used;
	rng_init(&rng, used);
}

static void walk(unsigned int used)
{
	unsigned int i, n = tap_count(300, 30000);

	begin(used);
	for (i = 0; i < n && !tap_failed(); i++)
		go_on(rng_below(&rng, 30));
}

static void case_frames(void)
{
	walk(5);
}

static void case_odd_frames(void)
{
	walk(ARRAY_SIZE(kinds));
}

/* More than there is room for, and more places than are kept. */
static void case_deep(void)
{
	begin(5);
	go_on(MOST - 10);
	go_on(MOST);
	go_on(10 * MOST);
}

/* --- ways --- */

static int cmp_calling(const void *a, const void *b)
{
	go_on(rng_below(&rng, 4));
	return *(const int *)a - *(const int *)b;
}

static void case_callbacks(void)
{
	int i, number[50];
	void *root = NULL;

	begin(5);
	for (i = 0; i < 50; i++)
		number[i] = rng_below(&rng, 1000);
	for (i = 0; i < 50; i++)
		tsearch(&number[i], &root, cmp_calling);
	for (i = 0; i < 50; i++)
		tdelete(&number[i], &root, cmp_calling);
	qsort(number, 50, sizeof(*number), cmp_calling);
	bsearch(number, number, 50, sizeof(*number), cmp_calling);
}

static void *in_thread(void *unused)
{
	go_on(5);
	return unused;
}

static void case_thread(void)
{
	begin(5);
	run_thread(in_thread, NULL);
}

static void on_signal(int signal)
{
	(void)signal;
	go_on(3);
}

static void raise_deep(unsigned int depth)
{
	if (depth)
		raise_deep(depth - 1);
	else
		raise(SIGUSR1);
	__asm__ volatile("");
}

static void case_signal(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	stack_t stack = { .ss_size = 1 << 20 }, before;

	begin(5);
	stack.ss_sp = malloc(stack.ss_size);
	check_ret(sigaction(SIGUSR1, &action, NULL), 0);
	raise_deep(4);
	check_ret(sigaltstack(&stack, &before), 0);
	action.sa_flags = SA_ONSTACK;
	check_ret(sigaction(SIGUSR1, &action, NULL), 0);
	raise_deep(4);
	sigaltstack(&before, NULL);
	signal(SIGUSR1, SIG_DFL);
	free(stack.ss_sp);
}

static ucontext_t here, there;

static void in_context(void)
{
	go_on(5);
}

static void case_context(void)
{
	size_t size = 1 << 20;

	begin(5);
	check_ret(getcontext(&there), 0);
	there.uc_stack.ss_sp = malloc(size);
	there.uc_stack.ss_size = size;
	there.uc_link = &here;
	makecontext(&there, in_context, 0);
	check_ret(swapcontext(&here, &there), 0);
	free(there.uc_stack.ss_sp);
}

#ifdef __x86_64__

/* --- code that comes and goes --- */

/* Of libgcc, for who makes code. */
typeof(void(void *table)) __register_frame, __deregister_frame;

/*
 * A function that calls its argument from a frame of @room bytes, in which there are two
 * words that look like a return address to nowhere.
 */
static void write_code(__u8 *code, __u8 room)
{
	const __u8 text[] = {
		0x48, 0x83, 0xec, room,					/* sub room, %rsp */
		0x48, 0xc7, 0x04, 0x24, 0x00, 0x10, 0x00, 0x00,		/* movq 0x1000, (%rsp) */
		0x48, 0xc7, 0x44, 0x24, 0x08, 0x00, 0x10, 0x00, 0x00,	/* movq 0x1000, 8(%rsp) */
		0xff, 0xd7,						/* call *%rdi */
		0x48, 0x83, 0xc4, room,					/* add room, %rsp */
		0xc3,							/* ret */
	};

	memcpy(code, text, sizeof(text));
}

/* What libgcc is to know of it: where the frame ends while it calls. */
static void write_table(__u8 *table, const __u8 *code, __u8 room)
{
	__u8 text[] = {
		20, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0,
		0x0c, 7, 8, 0x90, 1, 0, 0,
		24, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0,
		0, 0x0e, room + 8, 0,
		0, 0, 0, 0
	};

	memcpy(text + 32, &code, sizeof(code));
	memcpy(table, text, sizeof(text));
}

static void call_code(const __u8 *code)
{
	void (*fn)(void (*callee)(void));

	memcpy(&fn, &code, sizeof(fn));
	fn(compare);
	fn(compare);
}

/* Until what was known of the code before is forgotten. */
static void wait_for_others(void)
{
	__u64 frame[1];
	unsigned int i;

	for (i = 0; i < 1024; i++)
		karena_backtrace(frame, 1);
}

static void case_reloaded(void)
{
	static const __u8 rooms[] = { 24, 56, 24, 104, 40, 24 };
	__u8 *code = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *table = code + 4096;
	unsigned int i;

	if (!check(code != MAP_FAILED))
		return;
	for (i = 0; i < ARRAY_SIZE(rooms); i++) {
		write_code(code, rooms[i]);
		write_table(table, code, rooms[i]);
		__register_frame(table);
		wait_for_others();
		call_code(code);
		__deregister_frame(table);
	}
	wait_for_others();
	/* Without a table: nobody knows how to go on. */
	call_code(code);
	munmap(code, 8192);
}

#else

static void case_reloaded(void)
{
	tap_skip("the code for it is of x86_64");
}

#endif

static void case_done(void)
{
	tap_diag("%u traces", traces);
	check(traces > 600);
}

static const struct tap_case cases[] = {
	{ "frames", case_frames },
	{ "frames that are not simple", case_odd_frames },
	{ "more than there is room for", case_deep },
	{ "called back by libc", case_callbacks },
	{ "threads", case_thread },
	{ "signals", case_signal },
	{ "a stack of its own", case_context },
	{ "code that is unloaded and loaded", case_reloaded },
	{ "all of them were there", case_done },
};

int main(void)
{
	return tap_main(cases, ARRAY_SIZE(cases));
}
