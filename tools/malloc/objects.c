// SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0
/*
 * libkarena-malloc, what cannot be had from a magazine: it asks the kernel, lets the heap
 * grow, and gives memory back.
 *
 * What is wrong with an object is told as glibc does it: a message, and the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define LEAST_GROWTH	(4UL << 20)
#define MOST_GROWTH	(64UL << 20)
#define GROWTH_UNIT	(2UL << 20)	/* of huge pages */

/* What comes after so much may be asked for in huge pages: KARENA_MALLOC_HUGE. */
#define HUGE_FROM	(32UL << 20)
#define FREED_STEP	(4UL << 20)	/* after so much some may be given back */
#define FLUSHED_BYTES	(64UL << 10)	/* about as much goes with a flush */
#define FLUSHED_LARGE	(256UL << 10)

static _Noreturn void die(const char *text)
{
	ssize_t written = write(STDERR_FILENO, text, strlen(text));

	(void)written;
	abort();
}

/* An error that no heap would give: the descriptor is another's. */
static int is_lost(int err)
{
	return err == EBADF || err == ENOTTY || err == ENXIO || err == EPERM || err == EACCES;
}

int karena_call(struct state *state, unsigned long command, void *args)
{
	int err = ioctl(state->fd, command, args);

	if (err && is_lost(errno))
		karena_lost(state);
	return err;
}

/* --- the heap to work in --- */

/* The heap, entered; NULL if there is none. */
static struct state *enter(void)
{
	struct state *state = karena_state;

	if (state->phase != PHASE_READY) {
		if (karena_forking || !karena_set_up())
			return NULL;
		state = karena_state;
	}
	return gate_enter(&state->gate) ? state : NULL;
}

static void leave(struct state *state)
{
	if (karena_forking)
		karena_fork_changed();
	gate_leave(&state->gate);
}

/* --- more and less memory --- */

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t max_size(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* By @size bytes or more; several may do the same at once.  0, or -1 if it cannot. */
static int grow(struct state *state, size_t size)
{
	size_t old = __atomic_load_n(&state->grown, __ATOMIC_RELAXED);
	size_t growth = max_size(LEAST_GROWTH, min_size(MOST_GROWTH, old / 4));
	struct karena_grow args = { .size = sizeof(args) };

	if (size > state->window - old)
		return -1;
	growth = (max_size(growth, size) + GROWTH_UNIT - 1) / GROWTH_UNIT * GROWTH_UNIT;
	args.length = min_size(old + growth, state->window);
	if (args.length == old ||
	    mprotect(state->fast.base + old, args.length - old, PROT_READ | PROT_WRITE) ||
	    karena_call(state, KARENA_IOC_GROW, &args))
		return -1;
	if (old >= HUGE_FROM && state->huge)
		madvise(state->fast.base + old, args.length - old, MADV_HUGEPAGE);
	karena_set_grown(state, args.length);
	return 0;
}

/* Gives memory to the system, as long as the kernel tells some; how much. */
static size_t give_back(struct state *state, int all)
{
	struct karena_release args = {
		.size = sizeof(args),
		.flags = all ? KARENA_RELEASE_ALL : 0,
	};
	size_t sum = 0;

	__atomic_store_n(&state->freed, 0, __ATOMIC_RELAXED);
	while (!karena_call(state, KARENA_IOC_RELEASE, &args) && args.length) {
		/* What is locked in memory stays. */
		madvise((void *)(uintptr_t)args.start, args.length, MADV_DONTNEED);
		sum += args.length;
	}
	return sum;
}

/* Once a second: what was used before that need not be kept any more. */
static int is_time(struct state *state)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return __atomic_exchange_n(&state->asked, now.tv_sec, __ATOMIC_RELAXED) != now.tv_sec;
}

static void count_freed(struct state *state, size_t bytes)
{
	if (__atomic_add_fetch(&state->freed, bytes, __ATOMIC_RELAXED) >= FREED_STEP ||
	    is_time(state))
		give_back(state, 0);
}

/* All that is free, with that in magazines; or what is not worth keeping. */
size_t karena_give_back(int all)
{
	struct karena_flush args = { .size = sizeof(args), .flags = KARENA_FLUSH_ALL };
	struct state *state = enter();
	int saved = errno;
	size_t sum;

	if (!state)
		return 0;
	karena_shared_flush(state);
	if (!karena_call(state, KARENA_IOC_FLUSH, &args) && args.rejected)
		die("free(): double free or invalid pointer\n");
	sum = give_back(state, all);
	leave(state);
	errno = saved;
	return sum;
}

/* --- objects --- */

/*
 * What is to be known of an object that the kernel has given, before anybody has it: how
 * many pages it has, if it is of no magazine; and where it comes from, if it is sampled.
 */
static void note(struct state *state, const void *object, size_t size)
{
	size_t page = ((const char *)object - state->fast.base) / KARENA_PAGE_SIZE;

	if (!karena_may_be_sampled(object) || !karena_in_window(state, object) ||
	    karena_fast_magazine(&state->fast, object))
		return;
	state->large[page] = (size + KARENA_PAGE_SIZE - 1) / KARENA_PAGE_SIZE;
	if (!state->fast.map[page])
		karena_tell_stack(state->fd, object);
}

int karena_alloc_from_heap(struct state *state, size_t size, unsigned int count, void **objects)
{
	unsigned int i;
	struct karena_alloc args = {
		.size = sizeof(args),
		.flags = KARENA_ALLOC_NOZERO,
		.object_size = size,
		.count = count,
		.addrs = (uintptr_t)objects,
	};

	if (karena_call(state, KARENA_IOC_ALLOC, &args))
		return -1;
	for (i = 0; i < count; i++)
		note(state, objects[i], size);
	return 0;
}

int karena_free_to_heap(struct state *state, unsigned int count, void **objects)
{
	struct karena_free args = {
		.size = sizeof(args),
		.count = count,
		.addrs = (uintptr_t)objects,
	};

	if (!count)
		return 0;
	if (karena_call(state, KARENA_IOC_FREE, &args))
		return -1;
	if (args.rejected)
		die("free(): invalid pointer\n");
	return 0;
}

static void *fill(struct state *state, unsigned int number)
{
	struct karena_fill args = { .size = sizeof(args), .magazine = number };
	void *object;

	if (karena_call(state, KARENA_IOC_FILL, &args))
		return NULL;
	object = (void *)(uintptr_t)args.object;
	note(state, object, karena_magazine_bytes(number));
	return object;
}

/* As there is; NULL with errno. */
static void *ask(struct state *state, unsigned int number, size_t size)
{
	void *object;

	if (number && karena_has_magazines(state))
		return fill(state, number);
	object = number ? karena_shared_take(state, number) : NULL;
	if (object)
		return object;
	if (number)
		size = karena_magazine_bytes(number);
	return karena_alloc_from_heap(state, size, 1, &object) ? NULL : object;
}

static void *take(struct state *state, size_t size)
{
	unsigned int number = size <= KARENA_MAX_SMALL ? karena_magazine_for(size) + 1 :
							 karena_magazine_for_large(size);
	void *object;

	do
		object = ask(state, number, size);
	while (!object && errno == ENOMEM && !grow(state, size));
	if (!object)
		return NULL;
	if (!karena_in_window(state, object)) {
		/* Of another heap, whose descriptor has the number of ours. */
		karena_lost(state);
		return NULL;
	}
	return object;
}

void *karena_take_slowly(size_t size)
{
	int saved = errno;
	struct state *state = size <= PTRDIFF_MAX ? enter() : NULL;
	void *object = NULL;

	if (state) {
		object = take(state, size);
		leave(state);
	}
	if (!object)
		return __libc_malloc(size);
	errno = saved;
	return object;
}

static void flush(struct state *state, unsigned int number, void *object)
{
	struct karena_flush args = {
		.size = sizeof(args),
		.magazine = number,
		.object = (uintptr_t)object,
	};

	if (karena_call(state, KARENA_IOC_FLUSH, &args))
		return;
	if (args.reason != KARENA_REJECT_NONE)
		die("free(): invalid pointer\n");
	if (args.rejected)
		die("free(): double free or invalid pointer\n");
	count_freed(state, number < KARENA_LARGE_MAGAZINE ? FLUSHED_BYTES : FLUSHED_LARGE);
}

static size_t size_in(const struct state *state, const void *object)
{
	unsigned int number = karena_fast_magazine(&state->fast, object);
	size_t page = ((const char *)object - state->fast.base) / KARENA_PAGE_SIZE;

	return number ? karena_magazine_bytes(number) :
			(size_t)state->large[page] * KARENA_PAGE_SIZE;
}

/*
 * What has been freed with an object.  Another one of this size is soon to come, if only
 * those that are sampled have no magazine.
 */
static size_t freed_with(size_t size)
{
	if (size <= KARENA_MAX_SMALL || !karena_magazine_for_large(size))
		return size;
	return min_size(size, FLUSHED_BYTES);
}

static void give(struct state *state, void *object)
{
	unsigned int number = karena_fast_magazine(&state->fast, object);
	size_t size = size_in(state, object);

	if (number && karena_has_magazines(state)) {
		flush(state, number, object);
		return;
	}
	if (number && karena_shared_give(state, number, object))
		return;
	if (!karena_free_to_heap(state, 1, &object))
		count_freed(state, freed_with(size));
}

void karena_give_slowly(void *object)
{
	int saved = errno;
	struct state *state = enter();
	int own = state && karena_in_window(state, object);
	size_t left;

	if (own)
		give(state, object);
	if (state)
		leave(state);
	if (!own && !karena_is_foreign(object, &left))
		__libc_free(object);
	errno = saved;
}

/* Bytes that an object has; 0 if it is none of the heap's. */
size_t karena_size_of(const void *object)
{
	const struct state *state = karena_state;

	if (state->phase != PHASE_READY || !karena_in_window(state, object))
		return 0;
	return size_in(state, object);
}
