// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena-malloc, where the heap comes from and where it goes.
 *
 * It is made when the first object is asked for.  Whoever asks meanwhile, this thread
 * too, is served by glibc, as are all where there is no /dev/karena; free() tells objects
 * apart by their addresses.
 *
 * Windows of heaps that this process has lost - it was made by a clone() that ran no
 * handler, or has closed a descriptor that it did not know of - stay: their objects can
 * be used, but not freed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/membarrier.h>

#include "internal.h"

#define LEAST_WINDOW	(1UL << 32)
#define MOST_WINDOW	(1UL << 36)
#define TRIES		4
#define MOST_WINDOWS	16
#define HIGHEST_FD	1023

/* Beyond what has grown there is nothing to read. */
struct window {
	char *base;
	size_t grown;
};

static struct state none;
struct state *karena_state = &none;
static int busy;			/* somebody makes a heap */
static struct window windows[MOST_WINDOWS];
static int nr_windows;

void karena_close_fd(int fd)
{
	syscall(SYS_close, fd);
}

/* Out of the way of programs that count on their numbers; the same one if there is none. */
int karena_high_fd(int fd)
{
	struct rlimit limit;
	int high, most = HIGHEST_FD;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur <= HIGHEST_FD)
		most = limit.rlim_cur - 1;
	high = fcntl(fd, F_DUPFD_CLOEXEC, most * 7 / 8);
	if (high < 0)
		return fd;
	karena_close_fd(fd);
	return high;
}

/* Whether the descriptor is the heap's still; the program may have closed it. */
int karena_owns_fd(const struct state *state)
{
	struct karena_heap_info info = { .size = sizeof(info) };

	return !ioctl(state->fd, KARENA_IOC_HEAP_INFO, &info) && info.id == state->id;
}

/* In bytes: some times what can be used of it, as addresses cost nothing. */
static size_t window_size(void)
{
	size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE), size;

	for (size = LEAST_WINDOW; size < MOST_WINDOW && size < 2 * memory; size *= 2)
		;
	return size;
}

static int open_device(void)
{
	const char *path = secure_getenv("KARENA_DEVICE");
	/* Not open(2), nor close(2) above, where a thread may be cancelled. */
	int fd = syscall(SYS_openat, AT_FDCWD, path && *path ? path : "/dev/karena",
			 O_RDWR | O_CLOEXEC);

	return fd < 0 ? fd : karena_high_fd(fd);
}

/* glibc 2.35 registers threads for it; this may run with an older one. */
#pragma weak __rseq_size
#pragma weak __rseq_offset

/* Whether all threads can be kept out of the magazines for a fork(). */
static int has_rseq(void)
{
	return &__rseq_size && __rseq_size &&
	       !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0);
}

static int map_control(struct state *state)
{
	void *at = mmap(NULL, state->control_size, PROT_READ, MAP_SHARED, state->fd,
			KARENA_OFF_CONTROL);

	if (at == MAP_FAILED)
		return -1;
	state->control = at;
	return 0;
}

/* Where a thread finds that it has no CPU, if it has no such area of its own. */
static __thread struct {
	__u32 cpu_id_start;
	__s32 cpu_id;
	__u64 sequence;
} no_rseq INITIAL_EXEC = { .cpu_id = -1 };

/* Where an area of the thread's is, from its thread pointer. */
static long offset_of(void *area)
{
	return (char *)area - (char *)__builtin_thread_pointer();
}

static char *to_first_cpu(char *region)
{
	return region + (KARENA_NO_CPUS << KARENA_CPU_SHIFT);
}

static char *from_first_cpu(char *magazines)
{
	return magazines - (KARENA_NO_CPUS << KARENA_CPU_SHIFT);
}

/* Memory that is never written, and so never there. */
static int map_nothing(struct state *state)
{
	size_t least = KARENA_NO_CPUS << KARENA_CPU_SHIFT, size = state->control->magazines_size;
	char *at = mmap(NULL, size > least ? size : least, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);

	if (at == MAP_FAILED)
		return -1;
	state->nothing = to_first_cpu(at);
	return 0;
}

/* The magazines of CPUs, or nothing. */
static void map_magazines(struct state *state)
{
	char *at = MAP_FAILED;

	if (state->control->magazines_size && has_rseq())
		at = mmap(NULL, state->control->magazines_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			  state->fd, KARENA_OFF_MAGAZINES);
	if (at == MAP_FAILED)
		return;
	state->fast.rseq = __rseq_offset;
	state->fast.magazines = to_first_cpu(at);
}

static void unmap_magazines(const struct state *state)
{
	if (karena_has_magazines(state))
		munmap(from_first_cpu(state->fast.magazines), state->control->magazines_size);
}

static void fill_small(struct state *state)
{
	unsigned int i;

	for (i = 0; i < sizeof(state->small); i++)
		state->small[i] = karena_magazine_for(i * KARENA_SLOT_UNIT) + 1;
	state->most_small = SMALL + 1;
}

/* Only what is written there is memory. */
static int map_large(struct state *state)
{
	size_t size = state->window / KARENA_PAGE_SIZE * sizeof(*state->large);
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return -1;
	state->large = at;
	return 0;
}

/* All that others look at, of a heap whose window is there. */
/* Objects are sampled from the first one on, if that is wanted; it is no matter if not. */
static void profile(const struct state *state)
{
	const char *text = secure_getenv("KARENA_MALLOC_PROFILE");
	struct karena_profile args = { .size = sizeof(args), .flags = KARENA_PROFILE_SET };

	for (; text && *text >= '0' && *text <= '9'; text++)
		args.rate = 10 * args.rate + *text - '0';
	if (args.rate)
		ioctl(state->fd, KARENA_IOC_PROFILE, &args);
}

static int map_rest(struct state *state, char *base)
{
	const struct karena_control *control;

	if (map_control(state))
		return -1;
	control = state->control;
	if (!state->nothing && map_nothing(state))
		return -1;
	/* A signal handler of a child may come to it at once. */
	state->fast = (struct karena_fast) {
		.magazines = state->nothing,
		.rseq = offset_of(&no_rseq),
		.base = base,
		.slots = state->window / KARENA_SLOT_UNIT,
		.map = (const void *)((const char *)control + control->map_offset),
		.phase = &control->phase,
	};
	map_magazines(state);
	profile(state);
	fill_small(state);
	return 0;
}

static int map_window(const struct state *state, char *base)
{
	/* Nothing is locked, counted or dumped before it is used. */
	char *at = mmap(base, state->window, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (at == base)
		return 0;
	if (at != MAP_FAILED)
		munmap(at, state->window);
	return -1;
}

/*
 * Random lifetimes are 10 to 20 % faster in huge pages (tests/bench/malloc); but what is
 * never touched of large objects becomes memory, so somebody has to ask for it.
 */
static int wants_huge(void)
{
	const char *text = secure_getenv("KARENA_MALLOC_HUGE");

	return text && !strcmp(text, "1");
}

static int make_heap(struct state *state)
{
	struct karena_setup setup = {
		.size = sizeof(setup),
		.flags = KARENA_SETUP_PRIVATE,
		.window = window_size(),
		.name = "malloc",
	};
	char *base;

	if (ioctl(state->fd, KARENA_IOC_SETUP, &setup) || !setup.control_size)
		return -1;
	base = (char *)(uintptr_t)setup.base;
	state->id = setup.id;
	state->window = setup.window;
	state->control_size = setup.control_size;
	state->huge = wants_huge();
	if (map_window(state, base))
		return -1;
	if (!map_large(state) && !map_rest(state, base))
		return 0;
	munmap(base, state->window);
	return -1;
}

/* Where the heap is may be taken by then: another one is elsewhere. */
static int open_heap(struct state *state)
{
	int i;

	for (i = 0; i < TRIES; i++) {
		state->fd = open_device();
		if (state->fd < 0)
			return -1;
		if (!make_heap(state))
			return 0;
		karena_close_fd(state->fd);
	}
	return -1;
}

static void raise_to(size_t *at, size_t value)
{
	size_t old = __atomic_load_n(at, __ATOMIC_RELAXED);

	while (old < value && !__atomic_compare_exchange_n(at, &old, value, 1, __ATOMIC_RELAXED,
							   __ATOMIC_RELAXED))
		;
}

/* So much of the window there is now. */
void karena_set_grown(struct state *state, size_t grown)
{
	int i, nr = __atomic_load_n(&nr_windows, __ATOMIC_ACQUIRE);

	for (i = 0; i < nr; i++)
		if (windows[i].base == state->fast.base)
			raise_to(&windows[i].grown, grown);
	raise_to(&state->grown, grown);
}

static struct state *new_state(void)
{
	struct state *state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (state == MAP_FAILED)
		return NULL;
	if (!madvise(state, sizeof(*state), MADV_WIPEONFORK)) {
		gate_init(&state->gate);
		return state;
	}
	munmap(state, sizeof(*state));
	return NULL;
}

static int make_state(void)
{
	struct state *state = nr_windows < MOST_WINDOWS ? new_state() : NULL;

	if (!state || karena_fork_init() || open_heap(state)) {
		if (state)
			munmap(state, sizeof(*state));
		karena_state->phase = PHASE_FAILED;
		return 0;
	}
	windows[nr_windows].base = state->fast.base;
	windows[nr_windows].grown = 0;
	__atomic_store_n(&nr_windows, nr_windows + 1, __ATOMIC_RELEASE);
	state->phase = PHASE_READY;
	__atomic_store_n(&karena_state, state, __ATOMIC_RELEASE);
	return 1;
}

/* Makes a heap, if none has been tried; whether there is one. */
int karena_set_up(void)
{
	int saved = errno, done;

	if (karena_state->phase == PHASE_FAILED ||
	    __atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE))
		return 0;
	done = karena_state->phase == PHASE_READY || make_state();
	__atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
	errno = saved;
	return done;
}

/* The heap does not answer any more: its descriptor is gone, or is another's. */
void karena_lost(struct state *state)
{
	enum phase ready = PHASE_READY;

	state->fast.magazines = state->nothing;
	__atomic_compare_exchange_n(&state->phase, &ready, PHASE_NONE, 0, __ATOMIC_ACQ_REL,
				    __ATOMIC_RELAXED);
}

/* The state of a child: what @before was, where that was, with @fd for its descriptor. */
static int adopt(struct state *state, const struct state *before, int fd)
{
	struct karena_heap_info info = { .size = sizeof(info) };

	unmap_magazines(before);
	munmap((void *)before->control, before->control_size);
	if (fd < 0 || ioctl(fd, KARENA_IOC_HEAP_INFO, &info))
		return -1;
	state->fd = fd;
	state->id = info.id;
	state->window = before->window;
	state->grown = before->grown;
	state->large = before->large;
	state->nothing = before->nothing;
	state->huge = before->huge;
	state->control_size = before->control_size;
	if (map_rest(state, before->fast.base))
		return -1;
	state->phase = PHASE_READY;
	return 0;
}

/*
 * In a child after fork(), of which @fd is the clone of the heap of @before, if there was
 * one.  Without, its parent's objects are those of a lost heap.
 */
int karena_child(const struct state *before, int fd)
{
	__atomic_store_n(&busy, 0, __ATOMIC_RELAXED);
	gate_init(&karena_state->gate);
	return before ? adopt(karena_state, before, fd) : -1;
}

/* Whether an object is of a heap that was lost, and how many bytes there are behind it. */
int karena_is_foreign(const void *object, size_t *left)
{
	int i, nr = __atomic_load_n(&nr_windows, __ATOMIC_ACQUIRE);
	size_t offset;

	for (i = 0; i < nr; i++) {
		offset = (const char *)object - windows[i].base;
		if (offset < windows[i].grown) {
			*left = windows[i].grown - offset;
			return 1;
		}
	}
	return 0;
}
