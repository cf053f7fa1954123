// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena, coroutines on stacks that grow in place: a mapping of the kernel's has many of
 * them next to each other, takes a page when it is written to, and has a guard below each
 * (kmod/user/stacks.c).  A coroutine's record is at the top of its stack, so that one that
 * has not called much takes a single page, and nothing else.
 *
 * Who leaves a stack pushes the registers that a call preserves, stores the stack pointer in
 * the last words of the stack, and loads that of the other one.  A collection may stop the
 * thread at any of these instructions: it is on one of the two stacks then, which is
 * searched from its stack pointer up, and the other one from where it says that it was left.
 * Where that is out of date, it is so because the thread is on it.
 *
 * All of it is of one thread, which is why there are no locks.  What a stack has below its
 * stack pointer is given back when that is most of it, once after each cycle of the heap.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "internal.h"

#define PAGE		4096u
#define RED_ZONE	128u
#define BATCH		64u	/* stacks that are looked at together */
#define MOST_BYTES	(1ULL << 37)

struct karena_co {
	struct karena_stacks *stacks;
	struct karena_co *caller;	/* who has resumed it; NULL: the thread itself */
	const char *name;
	void (*run)(void *arg);
	void *arg;
	__u64 unused;
	struct karena_stack_top top;	/* the highest bytes of the stack */
};
KARENA_ASSERT(sizeof(struct karena_co) % 16 == 0);

struct karena_stacks {
	struct karena *heap;
	char *start;
	size_t count;
	unsigned int shift;
	__u32 cycle;			/* of the heap, when it was trimmed */
	size_t nr_free;
	size_t nr_used;			/* that have ever been */
	__u32 *free;			/* numbers of those that are not used any more */
	struct karena_stacks *next;	/* of the process */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct karena_stacks *all;	/* for the handler: it has no lock */
static pthread_key_t signal_stack;
static __thread struct karena_co *current __attribute__((tls_model("initial-exec")));
static __thread __u64 thread_sp __attribute__((tls_model("initial-exec")));

#if defined(__x86_64__)
/* karena_co_switch(), and what a coroutine begins with: it has its record in rbx. */
__asm__(".text\n"
	".p2align 4\n"
	".globl karena_co_switch\n"
	".hidden karena_co_switch\n"
	".type karena_co_switch, @function\n"
	"karena_co_switch:\n\t"
	"pushq %rbp\n\t"
	"pushq %rbx\n\t"
	"pushq %r12\n\t"
	"pushq %r13\n\t"
	"pushq %r14\n\t"
	"pushq %r15\n\t"
	"movq %rsp, (%rdi)\n\t"
	"movq %rsi, %rsp\n\t"
	"movl %edx, %eax\n\t"
	"popq %r15\n\t"
	"popq %r14\n\t"
	"popq %r13\n\t"
	"popq %r12\n\t"
	"popq %rbx\n\t"
	"popq %rbp\n\t"
	"popq %rcx\n\t"
	"jmp *%rcx\n\t"
	".size karena_co_switch, . - karena_co_switch\n"
	".p2align 4\n"
	".globl karena_co_entry\n"
	".hidden karena_co_entry\n"
	".type karena_co_entry, @function\n"
	"karena_co_entry:\n\t"
	"movq %rbx, %rdi\n\t"
	"call karena_co_begin\n\t"
	"ud2\n\t"
	".size karena_co_entry, . - karena_co_entry\n");

/*
 * What karena_co_switch() finds on a stack that it goes to for the first time; so long that
 * karena_co_entry() finds the stack pointer at a multiple of 16.
 */
struct first_frame {
	__u64 r15, r14, r13, r12, rbx, rbp, ip, end[2];
};
KARENA_ASSERT((sizeof(struct first_frame) - offsetof(struct first_frame, end)) % 16 == 0);

static void make_frame(struct karena_co *co)
{
	struct first_frame *frame = (struct first_frame *)(void *)((char *)co - sizeof(*frame));

	*frame = (struct first_frame){ .rbx = (uintptr_t)co, .ip = (uintptr_t)karena_co_entry };
	co->top.sp = (uintptr_t)frame;
}
#else
int karena_co_switch(__u64 *save, __u64 load, int value)
{
	(void)save;
	(void)load;
	(void)value;
	abort();
}

static void make_frame(struct karena_co *co)
{
	(void)co;
	abort();
}
#endif

/* --- stacks --- */

static char *bottom_of(const struct karena_stacks *stacks, size_t number)
{
	return stacks->start + (number << stacks->shift);
}

static struct karena_co *co_of(const struct karena_stacks *stacks, size_t number)
{
	return (struct karena_co *)(void *)bottom_of(stacks, number + 1) - 1;
}

static size_t number_of(const struct karena_co *co)
{
	return ((const char *)co - co->stacks->start) >> co->stacks->shift;
}

/* Addresses for them, which begin at a multiple of a stack's bytes; NULL if there are none. */
static char *reserve(size_t bytes, size_t size)
{
	char *at = mmap(NULL, bytes + size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			-1, 0), *start;

	if (at == MAP_FAILED)
		return NULL;
	start = (char *)(((uintptr_t)at + size - 1) & -(uintptr_t)size);
	if (start > at)
		munmap(at, start - at);
	if (at + size > start)
		munmap(start + bytes, at + size - start);
	return start;
}

static int map_stacks(struct karena_stacks *stacks)
{
	size_t size = (size_t)1 << stacks->shift, bytes = stacks->count * size;

	stacks->start = reserve(bytes, size);
	if (!stacks->start)
		return -1;
	if (mmap(stacks->start, bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, stacks->heap->fd,
		 KARENA_OFF_STACKS(stacks->shift)) != MAP_FAILED &&
	    (!stacks->heap->fast.collected ||
	     !karena_add_stacks(stacks->heap, stacks->start, bytes, stacks->shift)))
		return 0;
	munmap(stacks->start, bytes);
	return -1;
}

/* --- overflow --- */

/* The coroutine whose guard is at an address; NULL if there is none.  For handlers. */
static const struct karena_co *overflowed(const char *addr)
{
	const struct karena_stacks *stacks;
	size_t offset;

	for (stacks = __atomic_load_n(&all, __ATOMIC_ACQUIRE); stacks; stacks = stacks->next) {
		offset = addr - stacks->start;
		if (offset < stacks->count << stacks->shift &&
		    (offset & (((size_t)1 << stacks->shift) - 1)) < PAGE)
			return co_of(stacks, offset >> stacks->shift);
	}
	return NULL;
}

EXPORT const char *karena_co_overflow(const void *addr)
{
	const struct karena_co *co = overflowed(addr);

	return co && co->name ? co->name : NULL;
}

/* Says which, and lets the fault end the program as it would have done. */
static void handle_fault(int number, siginfo_t *info, void *context)
{
	static const char before[] = "karena: the stack of coroutine \"";
	static const char after[] = "\" has overflowed\n";
	const char *name = karena_co_overflow(info->si_addr);
	struct iovec text[] = {
		{ (void *)before, sizeof(before) - 1 },
		{ (void *)name, name ? strlen(name) : 0 },
		{ (void *)after, sizeof(after) - 1 },
	};
	struct sigaction action = { .sa_handler = SIG_DFL };

	(void)context;
	if (name && writev(STDERR_FILENO, text, 3) < 0)
		name = NULL;
	sigaction(number, &action, NULL);
}

/* Unless the program has a handler of its own. */
static void watch_faults(void)
{
	struct sigaction action = { .sa_sigaction = handle_fault,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigaction old;

	if (!sigaction(SIGSEGV, NULL, &old) && !(old.sa_flags & SA_SIGINFO) &&
	    old.sa_handler == SIG_DFL)
		sigaction(SIGSEGV, &action, NULL);
}

static void end_signal_stack(void *stack)
{
	stack_t none = { .ss_flags = SS_DISABLE };

	sigaltstack(&none, NULL);
	free(stack);
}

static __attribute__((constructor)) void make_key(void)
{
	pthread_key_create(&signal_stack, end_signal_stack);
}

/* The handler needs one; a thread that has one keeps that. */
static int give_signal_stack(void)
{
	size_t size = sysconf(_SC_SIGSTKSZ) + 16384;
	stack_t old, stack = { .ss_size = size };

	if (sigaltstack(NULL, &old) || !(old.ss_flags & SS_DISABLE))
		return 0;
	stack.ss_sp = malloc(size);
	if (!stack.ss_sp)
		return -1;
	if (!pthread_setspecific(signal_stack, stack.ss_sp) && !sigaltstack(&stack, NULL))
		return 0;
	free(stack.ss_sp);
	return -1;
}

/* --- giving memory back --- */

/* Bytes of a stack that have memory, by its pages; the lowest is the guard. */
static size_t committed(const unsigned char *page, size_t pages)
{
	size_t i = 1;

	while (i < pages && !(page[i] & 1))
		i++;
	return (pages - i) * PAGE;
}

/* What is below a stack's pointer, if less than a quarter of it is above; how many bytes. */
static size_t trim_one(const struct karena_stacks *stacks, size_t number, size_t held)
{
	char *bottom = bottom_of(stacks, number) + PAGE, *end = bottom_of(stacks, number + 1);
	const struct karena_co *co = co_of(stacks, number);
	char *from = end - held, *sp;

	/* Without a page there is no record either. */
	if (!held)
		return 0;
	sp = co->top.sp ? (char *)(uintptr_t)co->top.sp - RED_ZONE : end;
	if (co == current || (size_t)(end - sp) >= held / 4)
		return 0;
	sp = (char *)((uintptr_t)sp & -(uintptr_t)PAGE);
	if (sp <= from || madvise(bottom, sp - bottom, MADV_DONTNEED))
		return 0;
	return sp - from;
}

/* Whether a coroutine is being waited for by the one that runs. */
static int is_calling(const struct karena_co *co)
{
	const struct karena_co *other;

	for (other = current; other; other = other->caller)
		if (other == co)
			return 1;
	return 0;
}

EXPORT size_t karena_stacks_trim(struct karena_stacks *stacks)
{
	size_t pages = ((size_t)1 << stacks->shift) / PAGE, done, i, sum = 0;
	unsigned char *page = malloc(BATCH * pages);

	for (done = 0; page && done < stacks->nr_used; done += BATCH) {
		size_t n = stacks->nr_used - done < BATCH ? stacks->nr_used - done : BATCH;

		if (mincore(bottom_of(stacks, done), n << stacks->shift, page))
			break;
		for (i = 0; i < n; i++)
			if (!is_calling(co_of(stacks, done + i)))
				sum += trim_one(stacks, done + i,
						committed(page + i * pages, pages));
	}
	free(page);
	return sum;
}

static void trim_if_due(struct karena_stacks *stacks)
{
	__u32 cycle = __atomic_load_n(&stacks->heap->control->cycle, __ATOMIC_RELAXED);

	if (__builtin_expect(stacks->cycle == cycle, 1))
		return;
	stacks->cycle = cycle;
	karena_stacks_trim(stacks);
}

/* --- calls --- */

EXPORT struct karena_stacks *karena_stacks_open(struct karena *heap, size_t size, size_t count)
{
	struct karena_stacks *stacks;
	unsigned int shift = KARENA_MIN_STACK_SHIFT;

	while (shift < KARENA_MAX_STACK_SHIFT && (size_t)1 << shift < size)
		shift++;
	if (!count || size > (size_t)1 << shift || count > MOST_BYTES >> shift || !heap->control) {
		errno = EINVAL;
		return NULL;
	}
	stacks = calloc(1, sizeof(*stacks));
	if (!stacks)
		return NULL;
	*stacks = (struct karena_stacks){ .heap = heap, .shift = shift, .count = count,
					  .cycle = heap->control->cycle };
	stacks->free = malloc(count * sizeof(*stacks->free));
	if (!stacks->free || give_signal_stack() || map_stacks(stacks)) {
		free(stacks->free);
		free(stacks);
		return NULL;
	}
	watch_faults();
	pthread_mutex_lock(&lock);
	stacks->next = all;
	__atomic_store_n(&all, stacks, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
	return stacks;
}

EXPORT void karena_stacks_close(struct karena_stacks *stacks)
{
	struct karena_stacks **at = &all;
	size_t bytes;
	int saved = errno;

	if (!stacks)
		return;
	bytes = stacks->count << stacks->shift;
	pthread_mutex_lock(&lock);
	while (*at != stacks)
		at = &(*at)->next;
	*at = stacks->next;
	pthread_mutex_unlock(&lock);
	if (stacks->heap->fast.collected)
		karena_root_del(stacks->heap, stacks->start, bytes);
	munmap(stacks->start, bytes);
	free(stacks->free);
	free(stacks);
	errno = saved;
}

EXPORT struct karena_co *karena_co_new(struct karena_stacks *stacks, const char *name,
				       void (*run)(void *arg), void *arg)
{
	struct karena_co *co;
	size_t number;

	trim_if_due(stacks);
	if (!stacks->nr_free && stacks->nr_used == stacks->count) {
		errno = ENOMEM;
		return NULL;
	}
	number = stacks->nr_free ? stacks->free[--stacks->nr_free] : stacks->nr_used++;
	co = co_of(stacks, number);
	*co = (struct karena_co){ .stacks = stacks, .name = name, .run = run, .arg = arg };
	make_frame(co);
	return co;
}

EXPORT void karena_co_delete(struct karena_co *co)
{
	struct karena_stacks *stacks;

	if (!co)
		return;
	stacks = co->stacks;
	co->top.sp = 0;
	stacks->free[stacks->nr_free++] = number_of(co);
}

/* Where a coroutine says that it was left; or the thread, whose stack is all searched. */
static __u64 *place_of(struct karena_co *co)
{
	return co ? &co->top.sp : &thread_sp;
}

/* The first thing on a new stack, and the last. */
void karena_co_begin(struct karena_co *co)
{
	__u64 last;

	co->run(co->arg);
	co->run = NULL;
	co->top.sp = 0;
	current = co->caller;
	karena_co_switch(&last, *place_of(co->caller), 0);
}

static int refuse(void)
{
	errno = EINVAL;
	return -1;
}

EXPORT int karena_co_resume(struct karena_co *co)
{
	struct karena_co *caller = current;

	trim_if_due(co->stacks);
	if (__builtin_expect(!co->run || is_calling(co), 0))
		return refuse();
	co->caller = caller;
	current = co;
	return karena_co_switch(place_of(caller), co->top.sp, 0);
}

EXPORT void karena_co_yield(void)
{
	struct karena_co *co = current;

	current = co->caller;
	karena_co_switch(&co->top.sp, *place_of(co->caller), 1);
}

EXPORT struct karena_co *karena_co_self(void)
{
	return current;
}
